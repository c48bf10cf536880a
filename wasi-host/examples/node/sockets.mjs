// The driver's half of the contract `sinbin:service`: the sockets, based on node:net. The caller runs the service.
//
//     await serve(listen, limits, (now, window, events, input) => answer)
//
// Events, commands and answers have the form in which jco represents those of service.wit in JavaScript. Node reads
// ahead by itself, up to a block and one read of its own. These bytes wait until the service watches the source.

import net from 'node:net';

/** The maximum number of bytes that the service may send on a connection in one turn. */
const WINDOW = 64 * 1024;
/** The minimum duration of a turn that is reported in the next one, in nanoseconds. */
const LONG_TURN = 1_000_000n;
/** The time that a closed connection waits for the peer to receive the last bytes and to close, in milliseconds. */
const LINGER = 1000;
/** The time without progress after which a closed connection with unsent bytes is dropped, in milliseconds. */
const PATIENCE = 30_000;
/** The maximum number of connections that wait while the service is at its limit. */
const BACKLOG = 511;

/** The commands that own bytes of the output. */
const OWNERS = new Set(['send', 'submit', 'connect', 'log']);

const nothing = new Uint8Array();

/** Listens at each address of `listen`, and serves until the service is over. */
export async function serve(listen, limits, turn) {
  const loop = new Loop(limits, turn);
  for (const at of listen) await loop.listen(at);
  const stop = () => loop.stop();
  process.once('SIGTERM', stop).once('SIGINT', stop);
  try {
    await loop.over;
  } finally {
    process.off('SIGTERM', stop).off('SIGINT', stop);
  }
}

/** Calls the service whenever there may be events for it. */
class Loop {
  /** The sources by the low half of their handles; null for a free slot. */
  #places = [];
  #generations = [];
  #free = [];
  /** The sources that may have events. */
  #looked = new Set();
  /** The requests for connections in the last turn. This driver permits none. */
  #refused = [];
  #isDue = false;
  #timer;
  /** The duration of the last turn, in nanoseconds. */
  #took = 0n;
  /** The number of commands whose handle named nothing. */
  ignored = 0;
  stopping = false;

  constructor(limits, turn) {
    this.limits = limits;
    this.room = limits.connections;
    this.call = turn;
    this.over = new Promise((end, fail) => Object.assign(this, { end, fail }));
  }

  async listen(at) {
    const { block, connections } = this.limits;
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, highWaterMark: block };
    const server = net.createServer(options);
    server.maxConnections = connections + BACKLOG;
    await new Promise((done, fail) => server.once('error', fail).listen({ ...at, backlog: BACKLOG }, done));
    const { address, family, port } = server.address();
    this.look(this.insert(new Listener(this, server)));
    console.log(`listening on ${family === 'IPv6' ? `[${address}]` : address}:${port}`);
  }

  insert(source) {
    const index = this.#free.pop() ?? this.#places.length;
    const generation = (this.#generations[index] = (this.#generations[index] ?? 0) + 1);
    source.handle = (BigInt(generation) << 32n) | BigInt(index);
    this.#places[index] = source;
    return source;
  }

  #find(handle = -1n) {
    const source = this.#places[Number(BigInt.asUintN(32, handle))];
    return source?.handle === handle ? source : undefined;
  }

  #remove(source) {
    const index = Number(BigInt.asUintN(32, source.handle));
    this.#places[index] = null;
    this.#free.push(index);
    this.#looked.delete(source);
  }

  /** Adds a source to those that may have events. */
  look(source) {
    this.#looked.add(source);
    this.#schedule();
  }

  /** Schedules a turn after the current round of Node's event loop. */
  #schedule() {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      try {
        this.#turn();
      } catch (error) {
        this.fail(error);
      }
    });
  }

  /** Stops the service after two rounds: bytes that have already arrived are read first. */
  stop() {
    rounds(() => {
      this.stopping = true;
      for (const source of this.#places) if (source) this.look(source);
      this.#schedule();
    });
  }

  #turn() {
    const [events, input] = [[], new Map()];
    for (const source of this.#looked) {
      source.tell((tag, val, bytes) => {
        events.push({ tag, val });
        if (bytes) input.set(source, bytes);
      });
    }
    if (this.stopping && !this.told) {
      this.told = true;
      events.push({ tag: 'stop' });
    }
    for (const request of this.#refused) events.push({ tag: 'connect-failed', val: { request, reason: 'not-permitted' } });
    this.#refused = [];
    if (this.#took >= LONG_TURN) events.push({ tag: 'took', val: this.#took });
    const all = Buffer.concat([...input.values()]);
    const now = process.hrtime.bigint();
    const answer = this.call(now, WINDOW, events, all);
    this.#took = process.hrtime.bigint() - now;
    this.room = answer.room;
    let output = answer.output;
    for (const { tag, val } of answer.commands) {
      const source = this.#find(typeof val === 'bigint' ? val : val.source);
      const len = OWNERS.has(tag) ? val.len : 0;
      if (tag === 'log') console.error(`${val.level}: ${JSON.stringify(Buffer.from(output.subarray(0, len)).toString())}`);
      else if (tag === 'connect') this.#refused.push(val.request);
      else if (!source?.knows(tag)) this.ignored += 1;
      else if (tag === 'unread') source.takeBack(input.get(source) ?? nothing, val.len);
      else this.#obey(source, tag, val, output.subarray(0, len));
      output = output.subarray(len);
    }
    this.#rest(answer.rest);
  }

  #obey(source, tag, val, bytes) {
    this.#looked.add(source);
    if (tag === 'watch') source.interest = val.interest;
    else if (tag === 'send') source.send(bytes);
    else if (tag === 'shutdown') source.socket.end();
    else if (tag === 'close') {
      this.#remove(source);
      source.close();
    }
  }

  /** Schedules the next turn as `rest` requires. */
  #rest({ tag, val }) {
    clearTimeout(this.#timer);
    if (tag === 'over') return this.end();
    if (tag === 'stalled') throw new Error('the service has stalled: its tasks wait, and nothing can wake them');
    for (const source of this.#looked) {
      if (source.isDue()) this.#schedule();
      else if (!source.isStuck()) this.#looked.delete(source);
    }
    if (tag === 'ready' || this.#refused.length > 0) this.#schedule();
    if (tag === 'until') this.#timer = setTimeout(() => this.#schedule(), until(val));
  }
}

/** A listener, which keeps accepted connections waiting while the service is at its limit. */
class Listener {
  interest = {};
  #waiting = [];

  constructor(loop, server) {
    this.server = server.on('connection', (socket) => {
      this.#waiting.push(socket);
      loop.look(this);
    });
    this.loop = loop;
  }

  tell(say) {
    if (!this.isTold) say('listener', this.handle);
    this.isTold = true;
    while (this.isDue()) {
      this.loop.room -= 1;
      const connection = this.loop.insert(new Connection(this.loop, this.#waiting.shift()));
      say('accepted', { listener: this.handle, connection: connection.handle, len: 0 });
    }
  }

  isDue() {
    return this.interest.recv && this.loop.room > 0 && this.#waiting.length > 0;
  }

  isStuck() {
    return this.#waiting.length > 0;
  }

  knows(tag) {
    return tag === 'watch' || tag === 'close';
  }

  close() {
    this.server.close();
    for (const socket of this.#waiting) socket.destroy();
  }
}

/** A connection: the state of its socket, and the state that the service knows. */
class Connection {
  interest = {};
  /** The bytes that were returned with `unread`. */
  #unread = nothing;
  /** The state that the service knows. */
  #stuck = false;
  #ended = false;
  #gone;
  /** The state of the socket. */
  #hasEnded = false;
  #hasGone;
  /** During a stop, if there is nothing to read: the check that confirms it, then a mark that `idle` is reported. */
  #idle;

  constructor(loop, socket) {
    this.loop = loop;
    this.socket = socket;
    socket.on('readable', this.look);
    socket.on('end', () => this.look((this.#hasEnded = true)));
    socket.on('error', () => this.look((this.#hasGone = 'failed')));
    socket.on('close', () => this.look((this.#hasGone ??= 'hangup')));
  }

  /** Handles an event of the socket. Discards the bytes that arrive after the connection is closed. */
  look = () => {
    if (this.isClosed) this.socket.read();
    else this.loop.look(this);
  };

  tell(say) {
    if (this.#hasGone !== this.#gone) say(this.#hasGone, this.handle);
    this.#gone = this.#hasGone;
    const stuck = this.isStuck();
    if (stuck !== this.#stuck || (this.interest.send && !stuck)) say(stuck ? 'stuck' : 'writable', this.handle);
    this.#stuck = stuck;
    if (this.interest.recv) this.#receive(say);
  }

  #receive(say) {
    const bytes = this.#read();
    if (bytes.length > 0) {
      this.#idle = undefined;
      say('received', { source: this.handle, len: bytes.length }, bytes);
    } else if (this.#hasEnded && !this.#ended) {
      this.#ended = true;
      say('ended', this.handle);
    } else if (this.#idle?.isOver) {
      this.#idle = { isTold: true };
      say('idle', this.handle);
    } else if (this.loop.stopping) {
      this.#idle ??= this.#confirm();
    }
  }

  /** Starts a check: bytes that had arrived before it are available after two rounds. */
  #confirm() {
    const look = {};
    rounds(() => this.look((look.isOver = true)));
    return look;
  }

  /** Returns the next bytes. Bytes that were returned with `unread` come first, and alone. */
  #read() {
    const bytes = this.#unread;
    this.#unread = nothing;
    if (bytes.length > 0) return bytes;
    return this.socket.read(Math.min(this.socket.readableLength, this.loop.limits.block) || undefined) ?? nothing;
  }

  /** Returns true if the connection has an event that the service waits for. */
  isDue() {
    const { interest, socket } = this;
    const received = this.#unread.length > 0 || socket.readableLength > 0 || (this.#hasEnded && !this.#ended);
    const unsure = this.loop.stopping && !this.#idle;
    return (interest.recv && (received || unsure)) || (interest.send && !this.isStuck());
  }

  isStuck() {
    return this.socket.writableLength > 0;
  }

  /** Returns true if a command is valid for a connection. This driver does not compute jobs. */
  knows(tag) {
    return tag !== 'submit' && tag !== 'cancel';
  }

  takeBack(bytes, len) {
    this.#unread = bytes.subarray(Math.max(0, bytes.length - len));
  }

  send(bytes) {
    this.socket.write(bytes, this.look);
  }

  /**
   * Closes the connection after all bytes are sent, and then waits a moment for the peer: destroying a socket with
   * unread bytes resets the connection, and the peer could lose the last bytes.
   */
  close() {
    this.isClosed = true;
    this.socket.setTimeout(PATIENCE, () => this.socket.destroy());
    this.socket.end(() => setTimeout(() => this.socket.destroy(), LINGER).unref());
    this.socket.read();
  }
}

/** Calls `then` after Node has polled every socket once more. */
function rounds(then) {
  setImmediate(() => setImmediate(then));
}

/** Returns the milliseconds until a deadline, limited to the 31 bits that setTimeout accepts. */
function until(deadline) {
  const left = deadline - process.hrtime.bigint();
  return left > 0n ? Math.min(Number((left + 999_999n) / 1_000_000n), 0x7fff_ffff) : 0;
}
