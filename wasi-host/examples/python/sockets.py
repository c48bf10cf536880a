"""The driver's half of the contract `sinbin:service`: the sockets, based on selectors. The caller runs the service.

    serve(listen, limits, turn)

`limits` is (connections, block), and `turn(now, window, events, input)` returns an `Answer`. An event is a tuple of the
contract's name, a handle, a length, and the connection's handle if it is an arrival; "took" has the nanoseconds in
place of the handle. This driver permits no connections: it answers "connect" with "connect-failed", which has the number
of the request in place of the handle, and the number of the reason, 0, in place of the length. A command is a tuple of name, handle and length; "watch" has a set of names in place of the length.
"""

import collections
import selectors
import signal
import socket
import sys
import time

WINDOW = 64 * 1024  # The maximum number of bytes that the service may send on a connection in one turn.
LONG_TURN = 1_000_000  # The minimum duration of a turn that is reported in the next one, in nanoseconds.
LINGER = 1.0  # The seconds that a closed connection waits for the peer to receive the last bytes and to close.
PATIENCE = 30.0  # The seconds that a closed connection waits until its bytes are sent.
HANGUPS = 0.1  # The seconds between two checks of sockets that are watched only for a hangup.

Answer = collections.namedtuple("Answer", "rest deadline room commands output")


def serve(listen, limits, turn):
    """Listens at each address of `listen`, and serves until the service is over."""
    loop = Loop(limits, turn)
    for address in listen:
        loop.listen(*address)
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, loop.stop)
    loop.run()


class Loop:
    """Waits for sockets, and passes the events to the service."""

    def __init__(self, limits, turn):
        self.room, self.block = limits
        self.call = turn
        self.selector = selectors.DefaultSelector()
        # The sources by the low half of their handles, and the generations of the slots.
        self.places, self.generations, self.free = [], [], []
        self.listeners = set()
        self.closed = set()
        self.events, self.input = [], {}
        # The connections with bytes that were returned with `unread`, which no socket reports.
        self.again = set()
        # The connections that are watched only for a hangup, and the time of the next check.
        self.busy, self.look_at = set(), 0.0
        self.took = 0
        self.stopping = False
        self.ignored = 0
        self.selector.register(*Wakeup.make())

    def listen(self, host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = Listener(self, socket.create_server((host, port), family=family, backlog=1024))
        self.insert(listener)
        self.listeners.add(listener)
        self.say("listener", listener)
        host, port = listener.socket.getsockname()[:2]
        print(f"listening on [{host}]:{port}" if ":" in host else f"listening on {host}:{port}", flush=True)

    def insert(self, source):
        if not self.free:
            self.free.append(len(self.places))
            self.places.append(None)
            self.generations.append(0)
        index = self.free.pop()
        self.generations[index] += 1
        self.places[index] = source
        source.handle = self.generations[index] << 32 | index

    def find(self, handle):
        index = handle & 0xFFFF_FFFF
        source = self.places[index] if index < len(self.places) else None
        return source if source and source.handle == handle else None

    def remove(self, source):
        index = source.handle & 0xFFFF_FFFF
        self.places[index] = None
        self.free.append(index)
        self.again.discard(source)
        self.busy.discard(source)

    def say(self, event, source, data=b"", connection=0):
        self.events.append((event, source.handle, len(data), connection))
        if data:
            self.input[source if not connection else connection] = data

    def stop(self, *_):
        self.stopping = True

    def run(self):
        told, answer = False, Answer("ready", 0, self.room, [], b"")
        while answer.rest != "over":
            self.wait(answer)
            if self.stopping and not told:
                told = True
                self.events.append(("stop", 0, 0, 0))
            answer = self.turn()
            if answer.rest == "stalled":
                raise SystemExit("the service has stalled: its tasks wait, and nothing can wake them")
        # Closed connections may still have bytes to send.
        while self.closed:
            self.wait(answer._replace(rest="waiting"))

    def turn(self):
        events, told = self.events, self.input
        self.events, self.input = [], {}
        if self.took >= LONG_TURN:
            events.append(("took", self.took, 0, 0))
        now = time.monotonic_ns()
        answer = self.call(now, WINDOW, events, b"".join(told.values()))
        self.took = time.monotonic_ns() - now
        self.room, at = answer.room, 0
        for command, handle, length in answer.commands:
            end = at + length if command in ("send", "submit", "connect", "log") else at
            source = self.find(handle)
            if command == "connect":
                self.events.append(("connect-failed", handle, 0, 0))
            elif command == "log":
                print(ascii(bytes(answer.output[at:end]).decode(errors="replace")), file=sys.stderr)
            elif source is None or command not in source.knows:
                self.ignored += 1
            elif command == "unread":
                source.take_back(told.get(source, b""), length)
            else:
                source.obey(command, length, answer.output[at:end])
            at = end
        for listener in self.listeners:
            listener.watch()
        return answer

    def wait(self, answer):
        """Waits until a socket is ready or the timeout expires, and collects the events."""
        ready = self.selector.select(self.timeout(answer))
        for key, mask in ready:
            key.data.happened(mask)
        for source in self.again:
            source.tell_again()
        self.again.clear()
        if self.stopping:
            self.tell_idle({key.data for key, _ in ready})
        if self.busy and time.monotonic() >= self.look_at:
            self.look_at = time.monotonic() + HANGUPS
            for source in list(self.busy):
                source.check()
        for source in [source for source in self.closed if time.monotonic() >= source.deadline]:
            source.drop()

    def timeout(self, answer):
        if self.events or self.again or answer.rest == "ready":
            return 0
        if self.stopping and any(is_unsure(source) for source in self.places):
            return 0
        ends = [source.deadline - time.monotonic() for source in self.closed]
        if self.busy:
            ends.append(self.look_at - time.monotonic())
        if answer.rest == "until":
            ends.append((answer.deadline - time.monotonic_ns()) / 1e9)
        return max(0, min(ends)) if ends else None

    def tell_idle(self, ready):
        """Reports `idle` for connections that the last poll watched and did not find ready: nothing has arrived."""
        for source in self.places:
            if is_unsure(source) and source not in ready:
                source.is_idle = True
                self.say("idle", source)


def is_unsure(source):
    is_watched = isinstance(source, Connection) and "recv" in source.interest
    return is_watched and not source.is_idle and not source.has_ended and not source.unread


class Wakeup:
    """A pair of sockets: a signal writes to one end, which wakes the selector that waits for the other end."""

    @classmethod
    def make(cls):
        wakeup = cls()
        wakeup.ends = socket.socketpair()
        for end in wakeup.ends:
            end.setblocking(False)
        signal.set_wakeup_fd(wakeup.ends[1].fileno())
        return wakeup.ends[0], selectors.EVENT_READ, wakeup

    def happened(self, _):
        self.ends[0].recv(64)


class Source:
    """A socket, which the selector watches as the service requests."""

    def __init__(self, loop, sock):
        sock.setblocking(False)
        self.loop, self.socket = loop, sock
        self.interest = frozenset()
        self.mask = 0

    def watch(self):
        mask = self.wanted()
        if mask == self.mask:
            return
        if not self.mask:
            self.loop.selector.register(self.socket, mask, self)
        elif not mask:
            self.loop.selector.unregister(self.socket)
        else:
            self.loop.selector.modify(self.socket, mask, self)
        self.mask = mask


class Listener(Source):
    """A listener, which accepts connections while the service is below its limit."""

    knows = {"watch", "close"}

    def wanted(self):
        return selectors.EVENT_READ if "recv" in self.interest and self.loop.room > 0 else 0

    def happened(self, _):
        while self.loop.room > 0:
            try:
                sock, peer = self.socket.accept()
            except OSError:
                return
            self.loop.room -= 1
            connection = Connection(self.loop, sock)
            self.loop.insert(connection)
            self.loop.say("accepted", self, address(sock.family, peer), connection.handle)

    def obey(self, command, interest, _):
        if command == "watch":
            self.interest = interest
        elif command == "close":
            self.interest = frozenset()
            self.watch()
            self.loop.remove(self)
            self.loop.listeners.discard(self)
            self.socket.close()


class Connection(Source):
    """A connection: its unread and its unsent bytes, and its state."""

    knows = {"watch", "send", "unread", "shutdown", "close"}

    def __init__(self, loop, sock):
        super().__init__(loop, sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unread, self.unsent = b"", bytearray()
        self.has_ended = self.has_failed = self.is_stuck = self.is_idle = False
        self.is_shut = self.is_closed = self.to_shut = False
        self.deadline = 0.0

    def wanted(self):
        if self.has_failed:
            return 0
        reads = self.is_closed or ("recv" in self.interest and not self.unread)
        writes = self.unsent or "send" in self.interest
        return (selectors.EVENT_READ if reads and not self.has_ended else 0) | (selectors.EVENT_WRITE if writes else 0)

    def happened(self, mask):
        try:
            if mask & selectors.EVENT_WRITE:
                self.flush()
                if not self.unsent and not self.is_closed:
                    self.is_stuck = False
                    self.loop.say("writable", self)
            if mask & selectors.EVENT_READ:
                self.receive()
        except OSError:
            self.fail()
        self.settle()

    def receive(self):
        try:
            data = self.socket.recv(self.loop.block)
        except BlockingIOError:
            return
        self.has_ended = not data
        self.is_idle = False
        if not self.is_closed:
            self.loop.say("received" if data else "ended", self, data)

    def flush(self):
        try:
            while self.unsent:
                del self.unsent[: self.socket.send(self.unsent)]
        except BlockingIOError:
            pass
        if self.to_shut and not self.unsent and not self.is_shut:
            self.is_shut = True
            self.deadline = time.monotonic() + LINGER
            self.socket.shutdown(socket.SHUT_WR)

    def obey(self, command, argument, data):
        try:
            if command == "watch":
                self.set_interest(argument)
            elif command == "send":
                self.unsent += data
            elif command == "close":
                self.close()
            self.to_shut |= command in ("shutdown", "close")
            self.flush()
        except OSError:
            self.fail()
        if self.unsent and not self.is_stuck and not self.is_closed:
            self.is_stuck = True
            self.loop.say("stuck", self)
        self.settle()

    def set_interest(self, interest):
        self.interest = interest
        if interest == {"hangup"}:
            self.loop.busy.add(self)
        else:
            self.loop.busy.discard(self)

    def close(self):
        """Invalidates the handle. The socket is closed after all bytes are sent and the peer had time to close."""
        self.loop.remove(self)
        self.loop.closed.add(self)
        self.is_closed = True
        self.deadline = time.monotonic() + PATIENCE

    def settle(self):
        """Watches the socket as its present state requires, or drops it."""
        if self.is_closed and (self.has_failed or (self.is_shut and self.has_ended)):
            self.drop()
            return
        if self.unread and "recv" in self.interest:
            self.loop.again.add(self)
        self.watch()

    def drop(self):
        self.loop.closed.discard(self)
        self.has_failed = True
        self.watch()
        self.socket.close()

    def take_back(self, data, length):
        self.unread = data[max(0, len(data) - length) :]
        self.settle()

    def tell_again(self):
        data, self.unread = self.unread, b""
        self.loop.say("received", self, data)
        self.watch()

    def check(self):
        """Checks the socket for an error, since selectors does not report a hangup."""
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.fail()
            self.watch()

    def fail(self):
        if not self.has_failed and not self.is_closed:
            self.loop.busy.discard(self)
            self.loop.say("failed", self)
        self.has_failed = True
        self.unsent.clear()


def address(family, peer):
    """Returns an address in the contract's form: 16 bytes of IPv6 address, and 2 bytes of port."""
    host, port = peer[:2]
    ip = socket.inet_pton(family, host.partition("%")[0])
    return (ip if len(ip) == 16 else bytes(10) + b"\xff\xff" + ip) + port.to_bytes(2, "big")
