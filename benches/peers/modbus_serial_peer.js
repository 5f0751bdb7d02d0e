// modbus-serial as a peer of the benchmarks: `server`, or `client PORT CONNECTIONS CALLS MILLISECONDS`, or `version`.
// The server ends when its standard input closes. The client keeps CALLS promises open on each connection.
"use strict";

const net = require("node:net");
const path = require("node:path");

const home = path.join(__dirname, "..", ".work", "node_modules", "modbus-serial");
const ModbusRTU = require(home);

const UNIT = 1;
const BLOCK = 10;
const SPAN = 65536 - 125;
const VALUES = Array.from({ length: 65536 }, (_, address) => (address * 7 + 1) & 0xffff);

/** modbus-serial takes port 0 for "not given", so a free one is looked for first. */
function freePort() {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function serve() {
  const vector = {
    getHoldingRegister: (address) => VALUES[address],
    getMultipleHoldingRegisters: (address, length) => VALUES.slice(address, address + length),
    setRegister: (address, value) => { VALUES[address] = value; },
    setRegisterArray: (address, values) => {
      for (let i = 0; i < values.length; i++) VALUES[address + i] = values[i];
    },
  };
  const port = await freePort();
  const server = new ModbusRTU.ServerTCP(vector, { host: "127.0.0.1", port, unitID: UNIT });
  server.on("initialized", () => console.log(`ready ${port}`));
  server.on("socketError", () => {});
  process.stdin.on("end", () => process.exit(0)).resume();
}

async function connect(port) {
  const client = new ModbusRTU();
  await client.connectTCP("127.0.0.1", { port });
  client.setID(UNIT);
  client.setTimeout(2000);
  return client;
}

async function work(client, deadline, count) {
  while (performance.now() < deadline) {
    const address = Math.floor(Math.random() * SPAN);
    try {
      const { data } = await client.readHoldingRegisters(address, BLOCK);
      let right = data.length === BLOCK;
      for (let i = 0; right && i < BLOCK; i++) right = data[i] === VALUES[address + i];
      if (right) count.requests++;
      else count.errors++;
    } catch {
      count.errors++;
    }
  }
}

async function window(clients, calls, milliseconds) {
  const deadline = performance.now() + milliseconds;
  const count = { requests: 0, errors: 0 };
  const workers = clients.flatMap((client) => Array.from({ length: calls }, () => work(client, deadline, count)));
  await Promise.all(workers);
  return count;
}

async function call(port, connections, calls, milliseconds) {
  const clients = [];
  for (let i = 0; i < connections; i++) clients.push(await connect(port));
  await window(clients, calls, 1000); // warm: V8 compiles what has run hot
  const wall = performance.now();
  const cpu = process.cpuUsage();
  const count = await window(clients, calls, milliseconds);
  const used = process.cpuUsage(cpu);
  const seconds = (performance.now() - wall) / 1000;
  console.log(JSON.stringify({ ...count, seconds, cpu_seconds: (used.user + used.system) / 1e6 }));
  process.exit(0);
}

const [what, ...numbers] = process.argv.slice(2);
if (what === "server") serve();
else if (what === "version") console.log(require(path.join(home, "package.json")).version);
else if (what === "client" && numbers.length === 4) call(...numbers.map(Number));
else {
  console.error("usage: server | version | client PORT CONNECTIONS CALLS MILLISECONDS");
  process.exit(2);
}
