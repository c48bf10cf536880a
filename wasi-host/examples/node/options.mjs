// The arguments that the drivers have in common.

import { parseArgs } from 'node:util';

const options = {
  listen: { type: 'string', multiple: true },
  'max-connections': { type: 'string', default: '10000' },
  'max-buffered': { type: 'string', default: String(64 << 20) },
  slice: { type: 'string', default: '20000' },
};

/** Reads `GUEST --listen ADDR:PORT... [-- arguments of the guest]`. */
export function parse(usage) {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [guest, ...rest] = positionals;
  if (!guest || !values.listen) refuse(`usage: ${usage}`);
  const settings = {
    arguments: rest,
    maxConnections: Number(values['max-connections']),
    maxBuffered: Number(values['max-buffered']),
    // The guest computes its jobs itself, a slice a turn.
    computes: false,
    slice: Number(values.slice),
  };
  return { guest, settings, listen: values.listen.map(address) };
}

/** Ends the program, because of what the user said. */
export function refuse(text) {
  console.error(text);
  process.exit(2);
}

function address(text) {
  const [, host, port] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text) ?? [];
  if (!port) refuse(`--listen ${text}: it takes an address and a port, 127.0.0.1:25000 or [::1]:25000`);
  return { host, port: Number(port) };
}
