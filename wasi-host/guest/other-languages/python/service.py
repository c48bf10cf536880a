"""Runs a coroutine for each connection: in each turn, the coroutines with an event run until they wait again."""

from collections import OrderedDict
from itertools import takewhile

from arguments import idle_timeout
from conn import Broken, Conn
from wit_world.imports.types import *

BLOCK = 4096  # The maximum number of bytes that the host delivers from a connection in one turn.


class Service:
    """A service, with the functions of the contract. Calls the coroutine function `serve` with each connection."""

    def __init__(self, serve):
        self.serve = serve

    def start(self, settings):
        self.idle_timeout = idle_timeout(settings.arguments)
        self.max_connections = settings.max_connections
        self.conns, self.listeners, self.stopping = {}, [], False
        self.deadlines = OrderedDict()  # The time when each connection has been idle for too long, earliest first.
        self.armed = []  # The connections whose deadlines were set in the previous turn.
        self.before = self.ignored = 0  # The time of the previous turn; the number of events that named nothing.
        return Limits(self.max_connections, BLOCK, Wants(0))

    def turn(self, now, window, events, input):
        self.commands, self.output = [], bytearray()
        ready = self.note_all(events, input)
        # A deadline expires in the turn after the one that reached it: what arrived before it is delivered first.
        if Event_More() not in events:
            expired = takewhile(lambda item: item[1] <= self.before, self.deadlines.items())
            for conn in [conn for conn, _ in expired if conn not in ready]:
                self.close(conn)
        self.before, self.armed = now, []
        for conn in ready:
            self.run(conn, now, window)
        return Answer(self.rest(now), self.max_connections - len(self.conns), self.commands, bytes(self.output))

    def note_all(self, events, input):
        """Notes the events. Returns the connections whose coroutines have to run, in the order of the events."""
        ready, told = {}, 0  # A dictionary keeps the order, and has each connection once.
        for event in events:
            match event:
                case Event_Listener(source):
                    self.listeners.append(source)
                    self.say(Command_Watch(Watch(source, Interest.RECV)))
                case Event_Accepted(Arrival(connection=source, len=count)):
                    told += count  # The address of the client, which is not needed.
                    conn = self.conns[source] = Conn(source, self.say)
                    conn.task = self.serve(conn)
                    ready[conn] = True
                case Event_Received(Piece(source, count)):
                    data, told = input[told : told + count], told + count
                    self.note(ready, source, input=data, returned=False, idle=False)
                case Event_Ended(source):
                    self.note(ready, source, ended=True)
                case Event_Failed(source):
                    self.note(ready, source, failed=True)
                case Event_Stuck(source):
                    self.note(ready, source, stuck=True)
                case Event_Writable(source):
                    self.note(ready, source, stuck=False)
                case Event_Idle(source):
                    self.note(ready, source, idle=True)
                case Event_Took(span):
                    for conn in self.armed:
                        self.deadlines[conn] += span
                case Event_Stop():
                    self.stopping = True
                    for source in self.listeners:
                        self.say(Command_Close(source))
        return ready

    def note(self, ready, source, **conditions):
        if conn := self.conns.get(source):
            vars(conn).update(conditions)
            ready[conn] = True
        else:
            self.ignored += 1

    def run(self, conn, now, window):
        """Runs the coroutine of a connection until it waits, and tells the host what it waits for."""
        conn.room = 0 if conn.stuck else window
        try:
            interest = conn.task.send(None)
        except (StopIteration, Broken):
            return self.close(conn)
        except Exception as error:
            text = f"a connection was closed: {error!r}".encode()
            self.say(Command_Log(Entry(Level.ERROR, len(text))), text)
            return self.close(conn)
        if conn.input:
            self.say(Command_Unread(Piece(conn.source, len(conn.input))))
            conn.input, conn.returned = b"", True
        if interest != conn.interest:
            self.say(Command_Watch(Watch(conn.source, interest)))
            conn.interest = interest
        if self.idle_timeout is not None:
            self.deadlines[conn] = now + self.idle_timeout
            self.deadlines.move_to_end(conn)
            self.armed.append(conn)

    def close(self, conn):
        conn.task.close()
        self.say(Command_Close(conn.source))
        del self.conns[conn.source]
        self.deadlines.pop(conn, None)

    def say(self, command, data=b""):
        self.commands.append(command)
        self.output += data

    def rest(self, now):
        """Returns when the host has to call again."""
        if self.stopping and not self.conns:
            return Rest_Over()
        if not self.deadlines:
            return Rest_Waiting()
        first = next(iter(self.deadlines.values()))
        return Rest_Until(first) if first > now else Rest_Ready()

    def compute(self, job, budget):
        return Progress_Nonsense()  # This service submits no jobs.

    def counts(self):
        return Tally(0, 0, self.ignored)
