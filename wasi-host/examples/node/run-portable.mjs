// Runs a WASI 0.2 command, such as fib-portable.wasm: node run-portable.mjs GUEST.wasm [ARGUMENTS]
//
// Here the guest has the sockets, and drives itself; jco's preview2-shim plays WASI for it. It may use the network,
// and sees no file. While it runs no JavaScript does, so no handler of a signal either: to stop it, give it
// --until-stdin-ends, and end stdin.

import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';

import { load } from './component.mjs';
import { refuse } from './options.mjs';

const [path, ...rest] = process.argv.slice(2);
if (!path) refuse('usage: node run-portable.mjs GUEST.wasm [ARGUMENTS]');
const { instantiate } = await load(path);
const shim = new WASIShim({ sandbox: { args: [path, ...rest], preopens: {}, env: {} } });
instantiate(shim.getImportObject()).run.run();
