// The arguments that the drivers share.

import { parseArgs } from 'node:util';

const options = {
  listen: { type: 'string', multiple: true },
  'max-connections': { type: 'string', default: '10000' },
  'max-buffered': { type: 'string', default: String(64 << 20) },
  slice: { type: 'string', default: '20000' },
};

/** Parses `GUEST --listen ADDR:PORT... [-- arguments of the guest]`. */
export function parse(usage) {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [guest, ...rest] = positionals;
  if (!guest || !values.listen) refuse(`usage: ${usage}`);
  const settings = {
    arguments: rest,
    maxConnections: Number(values['max-connections']),
    maxBuffered: Number(values['max-buffered']),
    // The guest computes its jobs itself, one slice per turn.
    computes: false,
    slice: Number(values.slice),
  };
  return { guest, settings, listen: values.listen.map(address) };
}

/** Ends the program with an error message, because the arguments are wrong. */
export function refuse(text) {
  console.error(text);
  process.exit(2);
}

function address(text) {
  const [, host, port] = /^\[?([^\]]*?)\]?:(\d+)$/.exec(text) ?? [];
  if (!port) refuse(`--listen ${text}: expected an address and a port, such as 127.0.0.1:25000 or [::1]:25000`);
  return { host, port: Number(port) };
}
