"""Drives a service in a sandbox: python serve.py GUEST.wasm --listen ADDR:PORT... [-- arguments of the guest]

GUEST.wasm is a component of the world `sinbin:service/service`, such as fib.wasm. It imports no functions, and exports
`start` and `turn`; the sockets are in sockets.py. SIGTERM or Ctrl-C starts a drain.

wasmtime-py converts every value byte by byte in Python. If that is too slow, use core.py, which drives the core module
and copies whole byte strings.
"""

import sys

from wasmtime import Engine, Store, WasmtimeError
from wasmtime.component import Component, Linker, Record, Variant

from options import parse
from sockets import Answer, serve

SLICE = 20_000  # The budget per turn: the guest computes its jobs itself.


def main():
    options = parse("serve.py")
    service = Service(options.guest)
    serve(options.listen, service.start(options), service.turn)


class Service:
    """The functions that the component exports."""

    def __init__(self, path):
        engine = Engine()
        self.store = Store(engine)
        try:
            component = Component.from_file(engine, path)
            instance = Linker(engine).instantiate(self.store, component)
        except (OSError, WasmtimeError) as error:
            sys.exit(f"{path}: {error}")
        guest = instance.get_export_index(self.store, "sinbin:service/guest@0.1.0")
        if guest is None:
            sys.exit(f"{path} is not a service: it does not export sinbin:service/guest@0.1.0")
        self.functions = {
            name: instance.get_func(self.store, instance.get_export_index(self.store, name, guest))
            for name in ("start", "turn")
        }

    def call(self, name, *arguments):
        return self.functions[name](self.store, *arguments)

    def start(self, options):
        settings = record(
            arguments=options.arguments,
            max_connections=options.max_connections,
            max_buffered=options.max_buffered,
            computes=False,
            slice=SLICE,
        )
        limits = self.call("start", settings)
        if isinstance(limits, str):
            sys.exit(limits)
        return limits.connections, limits.block

    def turn(self, now, window, events, data):
        answer = self.call("turn", now, window, [event(*what) for what in events], data)
        commands = [command(what.tag, what.payload) for what in answer.commands]
        return Answer(answer.rest.tag, answer.rest.payload, answer.room, commands, answer.output)


def record(**fields):
    """Returns a record. The names of its fields have hyphens in the contract."""
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def event(name, handle, length, connection):
    if name == "accepted":
        return Variant(name, record(listener=handle, connection=connection, len=length))
    if name == "connect-failed":
        return Variant(name, record(request=handle, reason="not-permitted"))
    if name == "received":
        return Variant(name, record(source=handle, len=length))
    return Variant(name, None if name in ("stop", "more") else handle)


def command(name, payload):
    if name == "watch":
        return name, payload.source, payload.interest
    if isinstance(payload, int):
        return name, payload, 0
    if name == "connect":
        return name, payload.request, payload.len
    return name, getattr(payload, "source", 0), payload.len


if __name__ == "__main__":
    main()
