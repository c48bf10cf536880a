"""Connections, as the coroutines of a service see them."""

from types import coroutine

from wit_world.imports.types import Command_Send, Interest, Piece


class Broken(Exception):
    """The connection has failed, or the service stops and the client has sent nothing more."""


class Conn:
    """A connection. Bytes that the coroutine has not received return to the host at the end of a turn."""

    def __init__(self, source, say):
        self.source, self.say = source, say
        self.input = b""  # The bytes of this turn that the coroutine has not received.
        self.room = 0  # The number of bytes that the coroutine may still send in this turn.
        self.interest = Interest(0)  # The interest that the host knows.
        self.ended = self.failed = self.stuck = self.idle = False  # What the host has reported, while it holds.
        self.returned = False  # True while the host holds bytes that were returned to it.

    async def recv(self):
        """Returns the next bytes, at most a block, or b"" at the end of the stream."""
        while not self.input:
            if self.failed or self.idle:
                raise Broken
            if self.ended and not self.returned:
                return b""
            await wait(Interest.RECV)
        data, self.input = self.input, b""
        return data

    async def send_all(self, data):
        """Sends bytes as fast as the client accepts them. Bytes from the client wait in the host meanwhile."""
        while data:
            if self.failed:
                raise Broken
            if self.room > 0:
                part, data = data[: self.room], data[self.room :]
                self.room -= len(part)
                self.say(Command_Send(Piece(self.source, len(part))), part)
            else:
                await wait(Interest.SEND)


@coroutine
def wait(interest):
    """Suspends the coroutine until the next event of its connection, which need not be the one that it waits for."""
    yield interest
