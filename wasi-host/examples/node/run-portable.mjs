// Runs a WASI 0.2 command, such as fib-portable.wasm: node run-portable.mjs GUEST.wasm [ARGUMENTS]
//
// The guest has its own sockets and its own loop; jco's preview2-shim implements WASI for it. The guest can use the
// network, and no files. While the guest runs, no JavaScript runs, and so no signal handler: to stop the guest, start
// it with --until-stdin-ends, and end its stdin.

import { WASIShim } from '@bytecodealliance/preview2-shim/instantiation';

import { load } from './component.mjs';
import { refuse } from './options.mjs';

const [path, ...rest] = process.argv.slice(2);
if (!path) refuse('usage: node run-portable.mjs GUEST.wasm [ARGUMENTS]');
const { instantiate } = await load(path);
const shim = new WASIShim({ sandbox: { args: [path, ...rest], preopens: {}, env: {} } });
instantiate(shim.getImportObject()).run.run();
