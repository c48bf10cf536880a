"""Drives the core module, sinbin_core.wasm: python core.py GUEST.wasm --listen ADDR:PORT... [-- arguments of the guest]

The documentation of its crate and docs/src/embedding.md describe its functions and records.
"""

import struct
import sys

from wasmtime import Engine, Instance, Module, Store, WasmtimeError

from options import parse
from sockets import Answer, serve

EVENTS = (
    "listener accepted received ended writable stuck hangup failed idle computed lost stop took more "
    "connected connect-failed wall-clock entropy"
).split()
KINDS = {name: kind for kind, name in enumerate(EVENTS)}
COMMANDS = "watch send unread shutdown close submit cancel connect abandon log".split()
RESTS = "ready until waiting stalled over".split()
INTERESTS = [
    frozenset(name for bit, name in enumerate(("recv", "send", "hangup")) if bits >> bit & 1) for bits in range(8)
]
RECORD = struct.Struct("<IIQQ")
ANSWER = struct.Struct("<IIQIIII")
SLICE = 20_000  # The budget per turn: the guest computes its jobs itself.


def main():
    options = parse("core.py")
    service = Service(options.guest)
    serve(options.listen, service.start(options), service.turn)


class Service:
    """The functions that the module exports, and its memory."""

    def __init__(self, path):
        engine = Engine()
        self.store = Store(engine)
        try:
            instance = Instance(self.store, Module.from_file(engine, path), [])
        except (OSError, WasmtimeError) as error:
            sys.exit(f"{path}: {error}")
        self.exports = instance.exports(self.store)
        self.memory = self.exports["memory"]

    def call(self, name, *arguments):
        return self.exports[f"sinbin_{name}"](self.store, *arguments)

    def start(self, options):
        self.write("input", b"".join(text.encode() + b"\0" for text in options.arguments))
        numbers = options.max_connections, options.max_buffered, False, SLICE
        kind, block, _, _, output = self.answer(self.call("start", *numbers))
        if kind != 0:
            sys.exit(output.decode())
        return options.max_connections, block

    def turn(self, now, window, events, data):
        self.write("input", data)
        records = b"".join(RECORD.pack(KINDS[name], length, source, new) for name, source, length, new in events)
        self.write("events", records, RECORD.size)
        kind, room, deadline, records, output = self.answer(self.call("turn", now, window))
        return Answer(RESTS[kind], deadline, room, [command(*record) for record in records], output)

    def write(self, place, data, size=1):
        """Writes `data`, which consists of items of `size` bytes, to the buffer `place` of the module."""
        address = self.call(place, len(data) // size)
        if address == 0:
            sys.exit("the module is out of memory")
        self.memory.write(self.store, data, address & 0xFFFF_FFFF)

    def answer(self, address):
        kind, room, deadline, commands, count, output, length = ANSWER.unpack(self.read(address, ANSWER.size))
        records = RECORD.iter_unpack(self.read(commands, count * RECORD.size))
        return kind, room, deadline, records, self.read(output, length)

    def read(self, address, length):
        address &= 0xFFFF_FFFF
        return bytes(self.memory.read(self.store, address, address + length))


def command(kind, length, handle, _):
    name = COMMANDS[kind]
    return name, handle, INTERESTS[length & 7] if name == "watch" else length


if __name__ == "__main__":
    main()
