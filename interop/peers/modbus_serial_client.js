"use strict";
// Runs the script on stdin with modbus-serial's client: MEDIUM HOST PORT, or rtu | ascii PATH.

const readline = require("node:readline");
const ModbusRTU = require("modbus-serial");

const TIMEOUT = 2000;
const NOT_OFFERED = "not offered";

const join = (values) => values.join(" ");
const written = () => "written";
const digits = (bits) => bits.map((bit) => (bit ? "1" : "0")).join("");

/** The parts of a device identification, in order. */
function identity(objects) {
    const keys = Object.keys(objects).map(Number).sort((a, b) => a - b);
    return keys.map((key) => `${key}=${objects[key]}`).join(" ");
}

/** FC 20: modbus-serial asks for 100 registers of one group, always, and returns bytes. */
async function readFile(client, args) {
    const [file, record, count] = args[0].split(":").map(Number);
    if (args.length !== 1 || count !== 100) return NOT_OFFERED;
    const { data } = await client.readFileRecords(file, record);
    const words = [];
    for (let i = 0; i < data.length; i += 2) words.push(data[i] * 256 + data[i + 1]);
    return join(words);
}

/** `times` reads in flight at once. */
async function pipeline(client, [address, each, times]) {
    const reads = Array.from({ length: times }, (_, i) =>
        client.readHoldingRegisters(address + i * each, each));
    const results = await Promise.all(reads);
    return results.map(({ data }) => join(data)).join(" | ");
}

/** One step. */
async function call(client, op, args) {
    const n = args.map(Number);
    switch (op) {
        case "coils": return digits((await client.readCoils(n[0], n[1])).data.slice(0, n[1]));
        case "discrete":
            return digits((await client.readDiscreteInputs(n[0], n[1])).data.slice(0, n[1]));
        case "holding": return join((await client.readHoldingRegisters(n[0], n[1])).data);
        case "input": return join((await client.readInputRegisters(n[0], n[1])).data);
        case "write-coil": return client.writeCoil(n[0], n[1] === 1).then(written);
        case "write-register": return client.writeRegister(n[0], n[1]).then(written);
        case "write-coils":
            return client.writeCoils(n[0], [...args[1]].map((bit) => bit === "1")).then(written);
        case "write-registers": return client.writeRegisters(n[0], n.slice(1)).then(written);
        case "mask": return client.maskWriteRegister(n[0], n[1], n[2]).then(written);
        case "read-write": {
            const values = n.slice(3);
            const reply = await client.readWriteRegisters(n[0], n[1], n[2], values.length, values);
            return join(reply.data);
        }
        case "file-read": return readFile(client, args);
        case "server-id": {
            // The two arguments are not sent; without them the promise never settles.
            const { serverId, running, additionalData } = await client.reportServerID(0, 0);
            const id = serverId.toString(16).padStart(2, "0");
            return `id ${id} ${running ? "on" : "off"} ${additionalData.toString("hex") || "-"}`;
        }
        case "device-id": {
            const { data } = await client.readDeviceIdentification(n[0], n[1]);
            return identity(data);
        }
        case "raw": {
            const body = Buffer.from(args[1], "hex");
            const reply = await client.customFunction(n[0], [...body]);
            // Known codes are parsed as such: a success has another shape than a custom one's.
            return n[0] > 64 ? `reply ${Buffer.from(reply.data).toString("hex")}` : "accepted";
        }
        case "pipeline": return pipeline(client, n);
        default: return NOT_OFFERED;
    }
}

/** Some replies settle no promise and cancel the library's timer, too. */
function guarded(promise) {
    let timer;
    const hung = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error("the promise never settled")), 2 * TIMEOUT);
    });
    return Promise.race([promise, hung]).finally(() => clearTimeout(timer));
}

/** What a user of modbus-serial would see. */
async function outcome(client, unit, op, args) {
    try {
        client.setID(unit);
        const detail = await guarded(call(client, op, args));
        return { ok: detail !== NOT_OFFERED, detail };
    } catch (error) {
        if (error.modbusCode !== undefined) {
            return { ok: true, detail: `exception ${error.modbusCode}` };
        }
        if (error.errno === "ETIMEDOUT") return { ok: false, detail: "timeout" };
        return { ok: false, detail: `error: ${error.message}` };
    }
}

const LINE = { baudRate: 19200, parity: "none" };

/** A client on this medium. */
async function connect(medium, place, port) {
    const client = new ModbusRTU();
    client.on("error", () => {});
    switch (medium) {
        case "tcp": await client.connectTCP(place, { port }); break;
        case "udp": await client.connectUDP(place, { port }); break;
        // connectTcpRTUBuffered speaks Modbus TCP, whatever its name says.
        case "rtu+tcp": await client.connectTelnet(place, { port }); break;
        case "rtu": await client.connectRTUBuffered(place, LINE); break;
        case "ascii": await client.connectAsciiSerial(place, LINE); break;
        default: throw new Error(`no call for ${medium}`);
    }
    // UDP is said to be connected before there is a socket.
    while (!client.isOpen) await new Promise(setImmediate);
    client.setTimeout(TIMEOUT);
    return client;
}

/** Where there is nothing to destroy, a port is closed, and may be opened again only then. */
function end(medium, client) {
    const way = medium.endsWith("tcp") ? "destroy" : "close";
    return new Promise((resolve) => { client[way](resolve); });
}

async function main() {
    const [medium, place, port] = process.argv.slice(2);
    let client = null;
    let before = "";
    for await (const line of readline.createInterface({ input: process.stdin })) {
        const [name, unit, op, ...args] = line.split(" ");
        if (client === null || name !== before) {
            if (client !== null) await end(medium, client);
            client = await connect(medium, place, Number(port));
        }
        const { ok, detail } = await outcome(client, Number(unit), op, args);
        process.stdout.write(`${JSON.stringify({ case: name, ok, detail })}\n`);
        before = ok || detail === NOT_OFFERED ? name : "";
    }
    if (client !== null) await end(medium, client);
}

main();
