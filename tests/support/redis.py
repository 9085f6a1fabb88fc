# SPDX-License-Identifier: Apache-2.0
"""A real redis-server of a test's own: on a port of loopback and on a unix socket, with nothing saved, so
that a restart is an empty one. It can be killed, stopped, filled and locked.

    with RedisServer() as redis:
        ... redis.address ...
        redis.pause()
"""

import os
import shutil
import signal
import socket
import subprocess

from gatepost import DEADLINE, Lines, make_dir
from ports import free_port


class RedisError(Exception):
    """What Redis answered with a minus sign."""


class RedisServer:
    def __init__(self, *options: str):
        self.options = options
        self.dir = make_dir()
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.path = str(self.dir / "redis.sock")
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        """Returns when it answers; a second time at the same address."""
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", self.path,
             "--unixsocketperm", "777", "--save", "", "--dir", str(self.dir), *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        Lines(self.process.stdout).wait("Ready to accept connections")

    def kill(self):
        """At once, with everything in it."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def restart_empty(self):
        self.kill()
        self.start()

    def pause(self):
        """It accepts connections, by the kernel's grace, and never answers."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def fill(self):
        """Every write is refused (-OOM) until make_room()."""
        self.command("CONFIG", "SET", "maxmemory", "1")

    def make_room(self):
        self.command("CONFIG", "SET", "maxmemory", "0")

    def keys(self, pattern: str = "*") -> list[str]:
        return sorted(self.command("KEYS", pattern))

    def command(self, *words: str):
        """One command on a connection of its own; strings, numbers, lists, or RedisError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE) as link:
            parts = [word.encode() for word in words]
            link.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            with link.makefile("rb") as answers:
                return read_answer(answers)


def wait_for_redis(*daemons, used: bool = True) -> None:
    """Until the last that each daemon has said of it is that it shares its counts, or that it counts alone."""
    for daemon in daemons:
        with daemon.err.changed:
            assert daemon.err.changed.wait_for(lambda said=daemon.err: _shares(said) == used, DEADLINE), daemon.err.lines


def _shares(said: Lines) -> bool:
    found = said.find("counts are shared through it|this node counts alone")
    return bool(found) and found[-1].group().startswith("counts are shared")


def read_answer(answers):
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("redis closed the connection")
    kind, rest = line[:1], line[1:-2]
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        raise RedisError(rest.decode())
    if kind == b":":
        return int(rest)
    length = int(rest)
    if length < 0:
        return None
    if kind == b"*":
        return [read_answer(answers) for _ in range(length)]
    return answers.read(length + 2)[:-2].decode("utf-8", "backslashreplace")
