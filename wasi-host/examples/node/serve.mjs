// Drives a service in a sandbox: node serve.mjs GUEST.wasm --listen ADDR:PORT... [-- arguments of the guest]
//
// GUEST.wasm is a component of the world `sinbin:service/service`, such as fib.wasm. It imports no functions, and
// exports `start` and `turn`; the sockets are in sockets.mjs. SIGTERM or Ctrl-C starts a drain.

import { load } from './component.mjs';
import { parse, refuse } from './options.mjs';
import { serve } from './sockets.mjs';

const { guest, settings, listen } = parse('node serve.mjs GUEST.wasm --listen ADDR:PORT... [-- ARGUMENTS]');
const { imports, instantiate } = await load(guest);
if (imports.length > 0) refuse(`${guest} is not a service: it imports ${imports.join(', ')}`);
const { guest: service } = instantiate({});
if (!service?.turn) refuse(`${guest} is not a service: it does not export sinbin:service/guest`);
await serve(listen, start(), service.turn);

/** Starts the service, and returns its limits. jco throws the error of a `result`. */
function start() {
  try {
    return service.start(settings);
  } catch (error) {
    return refuse(error.payload ?? error);
  }
}
