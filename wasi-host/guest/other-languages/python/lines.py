"""Answers each line with the line in upper case. Bytes behind the last newline are answered without a newline."""

from itertools import takewhile

from service import Service

MAX_LINE = 200  # The maximum number of bytes of a line, without its newline.


async def upper_lines(conn):
    rest = b""
    while data := await conn.recv():
        *lines, rest = (rest + data).split(b"\n")
        answered = list(takewhile(lambda line: len(line) <= MAX_LINE, lines))
        await conn.send_all(b"".join(line.upper() + b"\n" for line in answered))
        if len(answered) < len(lines) or len(rest) > MAX_LINE:
            return await conn.send_all(b"a line is too long\n")
    await conn.send_all(rest.upper())


service = Service(upper_lines)


def Guest():
    """Returns the service. The bindings call this for each call of the host, so the state must not be in here."""
    return service
