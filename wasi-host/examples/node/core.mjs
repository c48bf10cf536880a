// Drives the core module, sinbin_core.wasm: node core.mjs GUEST.wasm --listen ADDR:PORT... [-- arguments of the guest]
//
// It needs no package. The documentation of its crate and docs/src/embedding.md describe its functions and records.

import { readFile } from 'node:fs/promises';

import { parse, refuse } from './options.mjs';
import { serve } from './sockets.mjs';

const EVENTS = (
  'listener accepted received ended writable stuck hangup failed idle computed lost stop took more ' +
  'connected connect-failed wall-clock entropy'
).split(' ');
const COMMANDS = 'watch send unread shutdown close submit cancel connect abandon log'.split(' ');
/** The number of the reason `not-permitted`, the only one with which this driver refuses a connection. */
const NOT_PERMITTED = 0;
const LEVELS = 'error warn info debug trace'.split(' ');
const RESTS = 'ready until waiting stalled over'.split(' ');
const RECORD = 24;

const { guest, settings, listen } = parse('node core.mjs GUEST.wasm --listen ADDR:PORT... [-- ARGUMENTS]');
const { instance } = await WebAssembly.instantiate(await readFile(guest), {});
const module = instance.exports;
await serve(listen, start(settings), turn);

function start({ arguments: args, maxConnections, maxBuffered, computes, slice }) {
  write(Buffer.from(args.map((text) => `${text}\0`).join('')));
  const { kind, room, output } = answer(module.sinbin_start(maxConnections, maxBuffered, computes, slice));
  if (kind !== 0) refuse(Buffer.from(output).toString());
  return { connections: maxConnections, block: room };
}

function turn(now, window, events, input) {
  write(input);
  const records = place(module.sinbin_events(events.length), events.length * RECORD);
  events.forEach((event, index) => put(records, index * RECORD, event));
  const { kind, room, deadline, commands, output } = answer(module.sinbin_turn(now, window));
  return { rest: { tag: RESTS[kind], val: deadline }, room, commands, output };
}

/** Returns a view of the module's memory. The view is invalid once the memory grows. */
function place(address, length) {
  if (address === 0) throw new Error('the module is out of memory');
  return new DataView(module.memory.buffer, address >>> 0, length);
}

function write(input) {
  const { buffer, byteOffset } = place(module.sinbin_input(input.length), input.length);
  new Uint8Array(buffer, byteOffset).set(input);
}

function put(records, at, { tag, val }) {
  records.setUint32(at, EVENTS.indexOf(tag), true);
  if (val === undefined) return;
  records.setUint32(at + 4, val.reason === undefined ? (val.len ?? 0) : NOT_PERMITTED, true);
  records.setBigUint64(at + 8, val.source ?? val.listener ?? val.request ?? val, true);
  records.setBigUint64(at + 16, val.connection ?? 0n, true);
}

function answer(address) {
  const head = place(address, 32);
  const [kind, room, , , commands, count, output, length] = new Uint32Array(head.buffer, head.byteOffset, 8);
  const records = place(commands, count * RECORD);
  return {
    kind,
    room,
    deadline: head.getBigUint64(8, true),
    commands: Array.from({ length: count }, (_, index) => command(records, index * RECORD)),
    // A copy, since the next call overwrites the output.
    output: new Uint8Array(module.memory.buffer.slice(output, output + length)),
  };
}

function command(records, at) {
  const tag = COMMANDS[records.getUint32(at, true)];
  const [len, source] = [records.getUint32(at + 4, true), records.getBigUint64(at + 8, true)];
  if (tag === 'log') return { tag, val: { level: LEVELS[Number(source)], len } };
  if (tag === 'connect') return { tag, val: { request: source, len } };
  if (tag !== 'watch') return { tag, val: { source, len } };
  return { tag, val: { source, interest: { recv: (len & 1) !== 0, send: (len & 2) !== 0, hangup: (len & 4) !== 0 } } };
}
