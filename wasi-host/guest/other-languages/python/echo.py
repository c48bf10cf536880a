"""Sends back what it receives."""

from service import Service


async def echo(conn):
    while data := await conn.recv():
        await conn.send_all(data)


service = Service(echo)


def Guest():
    """Returns the service. The bindings call this for each call of the host, so the state must not be in here."""
    return service
