"""The arguments that the drivers share."""

import argparse
import sys


def parse(program):
    """Parses `GUEST --listen ADDR:PORT... [-- arguments of the guest]`."""
    arguments, guest_arguments = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, guest_arguments = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(prog=program, epilog="The arguments after -- are for the guest.")
    parser.add_argument("guest", metavar="GUEST.wasm")
    parser.add_argument("--listen", metavar="ADDR:PORT", type=address, action="append", required=True)
    parser.add_argument("--max-connections", type=int, default=10_000)
    parser.add_argument("--max-buffered", type=int, default=64 << 20)
    options = parser.parse_args(arguments)
    options.arguments = guest_arguments
    return options


def address(text):
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise argparse.ArgumentTypeError("expected an address and a port, such as 127.0.0.1:25000 or [::1]:25000")
    return host.strip("[]"), int(port)
