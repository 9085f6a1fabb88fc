# SPDX-License-Identifier: Apache-2.0
"""What the crash tests share: the books outside the daemon, and the clients that fill them.

When only the daemon is killed, the kernel outlives it and takes nothing that was written: power cuts, after which what
was not synced is gone, are played by rounds.py on the shelf of tests/fault, and by tests/unit/spool/test_crash.c.
"""

import os
import random
import threading
from collections import Counter

from gatepost import BUILD, DEADLINE, Daemon, Sink, Talk

SEED = int(os.environ.get("GATEPOST_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
HAS_FAULT_POINTS = "fault" in BUILD.name
# small segments, so that rare steps (a new segment, compaction, release) come all the time
SMALL_SEGMENTS = {"GATEPOST_FAULT_SEGMENT_BYTES": "65536"} if HAS_FAULT_POINTS else {}
QUEUE = "retry_interval = '1s', max_retry_interval = '1s'"
CLIENTS = 4


class Oracle:
    """What was promised, and what arrived."""

    def __init__(self):
        self.lock = threading.Condition()
        self.next = 0
        self.sent: dict[str, bytes] = {}
        self.promised: set[str] = set()

    def take(self) -> tuple[str, bytes]:
        with self.lock:
            self.next += 1
            name = f"n{self.next}"
            # now and then one that needs a segment of its own, where segments are small
            lines = 8000 if self.next % 50 == 0 else 1 + self.next % 90
            self.sent[name] = f"Subject: {name}\r\n".encode() + f"\r\nbody of {name}".encode() * lines
            return name, self.sent[name]

    def promise(self, name: str) -> None:
        with self.lock:
            self.promised.add(name)
            self.lock.notify_all()

    def wait_for(self, more: int) -> bool:
        """Until so many more have been promised."""
        with self.lock:
            for wanted in range(len(self.promised) + 1, len(self.promised) + more + 1):
                if not self.lock.wait_for(lambda wanted=wanted: len(self.promised) >= wanted, DEADLINE):
                    return False
            return True

    def check(self, sink: Sink) -> Counter:
        """Waits until all that was promised is there; how often each came."""
        sink.wait_for(self.promised)
        with sink.changed:
            for message in sink.messages:
                name = message.sender.split("@")[0]
                assert message.data.endswith(self.sent[name] + b"\r\n"), f"{name} came as {message.data!r} (seed {SEED})"
            return arrived(sink)


def arrived(sink: Sink) -> Counter:
    return Counter(message.sender.split("@")[0] for message in sink.messages)


class Manners:
    """A sink that puts everybody off until it is told otherwise."""

    def __init__(self):
        self.takes = False

    def __call__(self, verb: str, argument: str, session: int):
        return None if self.takes or verb != "MAIL" else "450 4.2.0 later"


class Holding:
    """A sink's manners: while it holds back, every seventh message is told to wait."""

    def __init__(self):
        self.holds_back = True

    def __call__(self, verb: str, argument: str, session: int):
        if verb == "MAIL" and self.holds_back and int(argument[7:].split("@")[0]) % 7 == 0:
            return "450 4.2.0 later"
        return None


def pump(port: int, oracle: Oracle, stop: threading.Event) -> None:
    """Sends until the daemon is gone."""
    try:
        with Talk(port) as client:
            client.expect("EHLO me", "250")
            while not stop.is_set():
                name, data = oracle.take()
                if client.mail(f"{name}@b.example", ["c@d.example"], data).startswith("250"):
                    oracle.promise(name)
    except (OSError, EOFError, AssertionError):
        pass  # it died under our hands: nothing was promised


class Pumps:
    """Clients that send all the while."""

    def __init__(self, daemon: Daemon, oracle: Oracle):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=pump, args=(daemon.port, oracle, self.stop), daemon=True)
                        for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()
