"""The arguments of a guest: those behind `--` in the command line of the host."""

import re

from componentize_py_types import Err

UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9}


def idle_timeout(arguments):
    """Returns the nanoseconds of `--idle-timeout SPAN`, 5 minutes by default, or None for `off`."""
    match [word for argument in arguments for word in argument.split("=", 1)]:
        case []:
            return 5 * UNITS["m"]
        case ["--idle-timeout", "off"]:
            return None
        case ["--idle-timeout", span] if found := re.fullmatch(r"([1-9]\d{0,6})(ms|s|m)", span):
            return int(found[1]) * UNITS[found[2]]
        case _:
            raise Err(f"the only option is --idle-timeout SPAN, such as 500ms, 30s, 5m or off; not {arguments}")
