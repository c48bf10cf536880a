// Converts a component to JavaScript, with jco.

import { basename } from 'node:path';

import { transpile } from '@bytecodealliance/jco-transpile';

import { refuse } from './options.mjs';

/** Loads the component at `path`. Returns the names of its imports, and a function that maps imports to its exports. */
export async function load(path) {
  const options = { name: basename(path, '.wasm'), instantiation: 'sync', validLiftingOptimization: true };
  const { files, imports } = await transpile(path, options).catch((error) => {
    refuse(`${path}: ${error.payload ?? error.message}`);
  });
  const file = (end) => Object.entries(files).find(([name]) => name.endsWith(end))[1];
  const source = Buffer.from(file('.js')).toString('base64');
  const { instantiate } = await import(`data:text/javascript;base64,${source}`);
  return { imports, instantiate: (all) => instantiate((core) => new WebAssembly.Module(file(core)), all) };
}
