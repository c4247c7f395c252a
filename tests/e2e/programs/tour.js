// SPDX-License-Identifier: Apache-2.0
// What programs do with Node, each part with a line of its own. The output is the same on each run.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const dgram = require('dgram');
const events = require('events');
const fs = require('fs');
const http = require('http');
const net = require('net');
const os = require('os');
const path = require('path');
const util = require('util');
const vm = require('vm');
const zlib = require('zlib');
const { pipeline } = require('stream/promises');
const { Worker, isMainThread, parentPort, workerData, MessageChannel } = require('worker_threads');

if (!isMainThread) {
  const { shared, turns } = workerData;
  const cells = new Int32Array(shared);
  for (let i = 0; i < turns; i++) Atomics.add(cells, 0, 1);
  Atomics.add(cells, 1, 1);
  Atomics.notify(cells, 1);
  parentPort.once('message', (m) => { parentPort.postMessage(m.toUpperCase()); });
  return;
}

const parts = {
  async jit() {
    let sum = 0;
    for (let i = 0; i < 2e7; i++) sum = (sum + (i ^ (i >> 3)) % 7) | 0;
    const shapes = [];
    for (let i = 0; i < 20000; i++) shapes.push(i % 3 ? { a: i } : { b: 1, a: i });
    return [sum, shapes.reduce((n, s) => n + s.a, 0)];
  },
  async garbage() {
    let kept = [];
    for (let i = 0; i < 300000; i++) { kept[i % 5000] = { text: 'x' + i, list: [i, i + 1] }; }
    return [kept.length, kept[4999].text];
  },
  async big_heap() {
    const blocks = [];
    for (let i = 0; i < 60; i++) blocks.push(Buffer.alloc(1 << 20, i), new Array(20000).fill(i));
    return blocks.reduce((n, b) => n + b[b.length - 1], 0);
  },
  async files() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tour-'));
    const file = path.join(folder, 'a');
    await fs.promises.writeFile(file, 'one\ntwo\n');
    await fs.promises.appendFile(file, 'three \u00e9\n');
    fs.linkSync(file, path.join(folder, 'b'));
    fs.symlinkSync('a', path.join(folder, 's'));
    fs.chmodSync(file, 0o640);
    fs.utimesSync(file, 1e9, 1e9);
    const stat = await fs.promises.stat(path.join(folder, 's'));
    const names = (await fs.promises.readdir(folder, { withFileTypes: true })).map((e) => e.name + (e.isSymbolicLink() ? '@' : '')).sort();
    await pipeline(fs.createReadStream(file), zlib.createGzip(), fs.createWriteStream(file + '.gz'));
    const back = zlib.gunzipSync(fs.readFileSync(file + '.gz')).toString();
    const missing = await fs.promises.readFile(path.join(folder, 'no')).catch((e) => e.code);
    await fs.promises.rm(folder, { recursive: true });
    return [names, stat.size, stat.mode.toString(8), stat.nlink, stat.mtimeMs, back.length, missing, fs.existsSync(folder)];
  },
  async many_reads() {
    const all = await Promise.all(Array.from({ length: 200 }, () => fs.promises.readFile('/etc/passwd', 'utf8')));
    return new Set(all).size;
  },
  async crypto() {
    const key = await util.promisify(crypto.scrypt)('password', 'salt', 32);
    const cipher = crypto.createCipheriv('aes-256-gcm', key, Buffer.alloc(12));
    const sealed = Buffer.concat([cipher.update('plain text'), cipher.final(), cipher.getAuthTag()]).toString('hex');
    const { publicKey, privateKey } = await util.promisify(crypto.generateKeyPair)('ed25519');
    const signature = crypto.sign(null, Buffer.from('text'), privateKey);
    return [sealed, crypto.verify(null, Buffer.from('text'), publicKey, signature), crypto.createHash('sha3-256').update('x').digest('hex'),
      crypto.pbkdf2Sync('p', 's', 1000, 16, 'sha256').toString('hex'), crypto.randomBytes(16).length, crypto.getHashes().length > 20];
  },
  async http() {
    const server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (d) => { body += d; }).on('end', () => { response.setHeader('x-path', request.url); response.end(body.toUpperCase()); });
    });
    server.listen(0, '127.0.0.1');
    await events.once(server, 'listening');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
    const ask = (n) => new Promise((resolve, reject) => {
      const request = http.request({ port: server.address().port, host: '127.0.0.1', path: '/' + n, method: 'POST', agent }, async (answer) => {
        let text = '';
        for await (const part of answer) text += part;
        resolve(answer.statusCode + answer.headers['x-path'] + text);
      });
      request.on('error', reject);
      request.end('body' + n);
    });
    const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => ask(n)));
    agent.destroy();
    server.close();
    return [answers.length, answers[7], new Set(answers).size];
  },
  async sockets() {
    const server = net.createServer((s) => s.pipe(s)).listen('/tmp/tour.sock');
    await events.once(server, 'listening');
    const client = net.connect('/tmp/tour.sock');
    const big = Buffer.alloc(1 << 20, 'ab');
    client.end(big);
    let got = 0;
    for await (const part of client) got += part.length;
    server.close();
    const refused = await events.once(net.connect(1, '127.0.0.1'), 'connect').catch((e) => e.code);
    const udp = dgram.createSocket('udp4');
    udp.bind(0, '127.0.0.1');
    await events.once(udp, 'listening');
    udp.send('datagram', udp.address().port, '127.0.0.1');
    const [message] = await events.once(udp, 'message');
    udp.close();
    return [got, refused, message.toString()];
  },
  async workers() {
    const shared = new SharedArrayBuffer(8);
    const cells = new Int32Array(shared);
    const workers = Array.from({ length: 4 }, () => new Worker(__filename, { workerData: { shared, turns: 50000 } }));
    const words = await Promise.all(workers.map(async (w, i) => { w.postMessage('word' + i); return (await events.once(w, 'message'))[0]; }));
    await Promise.all(workers.map((w) => w.terminate()));
    const { port1, port2 } = new MessageChannel();
    port1.postMessage({ map: new Map([[1, 'a']]), big: 12345678901234567890n });
    const [cloned] = await events.once(port2, 'message');
    port1.close();
    const waited = Atomics.wait(cells, 1, cells[1], 20);
    return [cells[0], cells[1], words, cloned.map.get(1), cloned.big, waited];
  },
  async wasm() {
    // (func (export "fib") (param i32) (result i32)): recursive; one page of memory, which a load may leave: a trap.
    const bytes = Buffer.from('0061736d0100000001060160017f017f03030200000503010001070e02036669620000047065656b00010a26021c00200041'
      + '0248044020000f0b200041016b1000200041026b10006a0b070020002802000b', 'hex');
    const { instance } = await WebAssembly.instantiate(bytes);
    let trap;
    try { instance.exports.peek(1 << 20); } catch (e) { trap = e.constructor.name + ': ' + e.message; }
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1000 });
    memory.grow(99);
    new Uint8Array(memory.buffer)[100 * 65536 - 1] = 7;
    const shared = new WebAssembly.Memory({ initial: 1, maximum: 100, shared: true });
    return [instance.exports.fib(24), instance.exports.peek(0), trap, memory.buffer.byteLength, shared.buffer instanceof SharedArrayBuffer];
  },
  async timers() {
    const order = [];
    const immediate = new Promise((resolve) => { setImmediate(() => resolve(order.push('immediate'))); });
    Promise.resolve().then(() => order.push('promise'));
    process.nextTick(() => order.push('tick'));
    await immediate;
    let ticks = 0;
    await new Promise((resolve) => { const timer = setInterval(() => { if (++ticks === 3) { clearInterval(timer); resolve(); } }, 2); });
    const start = process.hrtime.bigint();
    await new Promise((resolve) => { setTimeout(resolve, 30); });
    const took = Number(process.hrtime.bigint() - start) / 1e6;
    return [order, ticks, took >= 29 && took < 3000];
  },
  async signals() {
    setTimeout(() => process.kill(process.pid, 'SIGUSR2'), 5);
    await events.once(process, 'SIGUSR2');
    return 'SIGUSR2';
  },
  async errors() {
    function fall() { return fall() + 1; }
    let overflow = 0;
    for (let i = 0; i < 5; i++) { try { fall(); } catch (e) { overflow += e instanceof RangeError; } }
    let limit;
    try { vm.runInNewContext('while (true) {}', {}, { timeout: 50 }); } catch (e) { limit = e.code; }
    return [overflow, limit, vm.runInNewContext('a * 2', { a: 21 })];
  },
  async text() {
    return ['\u00e9\u00df'.normalize('NFD').length, 'a-b_c'.replace(/(?<l>[a-z])[-_]/gu, '$<l>+'), new Intl.NumberFormat('de-DE').format(1234567.891),
      new Date(0).toISOString(), JSON.stringify({ a: [1, null, 'x'] }), new TextDecoder('utf-16le').decode(Buffer.from('hi', 'utf16le')), 2n ** 100n];
  },
  async system() {
    return [os.platform(), os.arch(), os.cpus().length >= 1, os.totalmem() >= os.freemem(), os.loadavg().length, os.userInfo().username,
      process.memoryUsage().rss > 1e6, process.uptime() > 0, Object.keys(os.networkInterfaces()).includes('lo'), os.endianness(), process.cwd(), process.resourceUsage().maxRSS > 1000];
  },
};

(async () => {
  const wanted = process.argv.slice(2);
  for (const [name, part] of Object.entries(parts))
    if (!wanted.length || wanted.includes(name)) console.log(name, util.inspect(await part(), { breakLength: Infinity, depth: 5 }));
  process.on('exit', (status) => console.log('exit', status));
  process.exitCode = 4;
})();
