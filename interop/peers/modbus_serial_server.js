"use strict";
// Serves the suite's data set with modbus-serial: tcp, or rtu PATH. Prints the port it listens on, or that
// it is ready.

const { ServerSerial, ServerTCP } = require("modbus-serial");

const SIZE = 1000;
const ILLEGAL_ADDRESS = 2;
const GATEWAY_TARGET = 11;

/** An error that modbus-serial turns into this exception code. */
function refuse(code) {
    const error = new Error(`exception ${code}`);
    error.modbusErrorCode = code;
    return error;
}

/** All the cells of one unit. */
function makeUnit(unit) {
    const cells = (formula) => Array.from({ length: SIZE }, (_, address) => formula(address));
    return {
        coils: cells((a) => (a + unit - 1) % 3 === 0),
        discretes: cells((a) => (a + unit - 1) % 5 === 0),
        holdings: cells((a) => (a * 7 + unit) % 65536),
        inputs: cells((a) => a * 3 + 1 + unit),
    };
}

const units = new Map([[1, makeUnit(1)], [2, makeUnit(2)]]);

/** The table that holds all of address..address+count, or the right exception. */
function table(unit, name, address, count) {
    if (!units.has(unit)) throw refuse(GATEWAY_TARGET);
    if (address + count > SIZE) throw refuse(ILLEGAL_ADDRESS);
    return units.get(unit)[name];
}

function read(name) {
    return (address, unit) => table(unit, name, address, 1)[address];
}

function readMany(name) {
    return (address, count, unit) =>
        table(unit, name, address, count).slice(address, address + count);
}

function write(name) {
    return (address, value, unit) => {
        table(unit, name, address, 1)[address] = value;
    };
}

function writeMany(name) {
    return (address, values, unit) => {
        const cells = table(unit, name, address, values.length);
        values.forEach((value, i) => { cells[address + i] = value; });
    };
}

const vector = {
    getCoil: read("coils"),
    getDiscreteInput: read("discretes"),
    getHoldingRegister: read("holdings"),
    getInputRegister: read("inputs"),
    getMultipleHoldingRegisters: readMany("holdings"),
    getMultipleInputRegisters: readMany("inputs"),
    setCoil: write("coils"),
    setRegister: write("holdings"),
    setCoilArray: writeMany("coils"),
    setRegisterArray: writeMany("holdings"),
    readDeviceIdentification: () => ({
        0: "dinrail", 1: "interop", 2: "1.0", 4: "peer",
        128: "a".repeat(120), 129: "b".repeat(120), 130: "c".repeat(120),
    }),
    reportServerID: () => ({ id: 17, running: true, additionalData: Buffer.from("pump") }),
};

/** Serves any free port; a port of 0 would mean 502 to modbus-serial. */
function serveTcp() {
    const server = new ServerTCP(vector, { host: "127.0.0.1", port: "0" });
    server.on("initialized", () => console.log(server._server.address().port));
    return server;
}

function serveLine(path) {
    const server = new ServerSerial(vector, { path, baudRate: 19200, parity: "none" });
    server.on("initialized", () => console.log("ready"));
    return server;
}

const server = process.argv[2] === "rtu" ? serveLine(process.argv[3]) : serveTcp();
server.on("socketError", () => {});
server.on("error", (error) => { console.error(error.message); process.exit(1); });
server.on("serverError", (error) => { console.error(error.message); process.exit(1); });
