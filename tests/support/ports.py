# SPDX-License-Identifier: Apache-2.0
"""Ports for servers that must be told one (nsd, slapd, redis-server, PostgreSQL) and cannot report which they got.

A port from the range that the kernel deals out (`bind` to 0) may be dealt to somebody's connection between the probe and
the server's own bind. These are below that range, free for TCP and for UDP when they were looked at, and claimed against
other test processes by a lock that is held until this process ends.
"""

import fcntl
import os
import random
import socket
import tempfile

FIRST = 20000
AFTER_LAST = 32000  # Linux deals out 32768 and above

_claims: list[int] = []


def free_ports(count: int) -> list[int]:
    """That many different ports of 127.0.0.1 that nobody else gets from here as long as this process lives."""
    found = []
    for port in random.SystemRandom().sample(range(FIRST, AFTER_LAST), AFTER_LAST - FIRST):
        if _claim(port) and _is_free(port):  # in this order: a probe keeps the claimant's server out
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError(f"no {count} ports are free between {FIRST} and {AFTER_LAST}")


def free_port() -> int:
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True


def _claim(port: int) -> bool:
    path = os.path.join(tempfile.gettempdir(), f"gatepost-test-port-{port}")
    try:
        claim = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        return False
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return False
    _claims.append(claim)
    return True
