"""Free TCP ports."""

import random
import socket


def free_ports(number: int) -> int:
    """The first of ``number`` consecutive free ports."""
    starts = list(range(21000, 29000, 53))
    random.shuffle(starts)  # so that two processes do not find the same ones
    for start in starts:
        sockets = [socket.socket() for _ in range(number)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("", start + offset))  # on any address: Ray may listen on another than loopback
        except OSError:
            continue
        else:
            return start
        finally:
            for one in sockets:
                one.close()
    raise OSError("no free ports")
