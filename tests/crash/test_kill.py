# SPDX-License-Identifier: Apache-2.0
"""kill -9 while messages flow: every message that was answered 250 is delivered, bounced or
still there; one that was not exists at most once; doubles only where the peer had accepted.

Rounds: GATEPOST_CRASH_ROUNDS (default 12 here). The seed is printed and may be given as
GATEPOST_CRASH_SEED. With a build that has fault points, the daemon also dies at each of them.
"""

import os
import random
import re
import subprocess
import threading
from collections import Counter

import pytest
from gatepost import BUILD, Daemon, Sink, Talk, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS = int(os.environ.get("GATEPOST_CRASH_ROUNDS", "12"))
SEED = int(os.environ.get("GATEPOST_CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
QUEUE = "retry_interval = '1s', max_retry_interval = '1s'"


class Oracle:
    """Outside the daemon: what was promised and what arrived."""

    def __init__(self):
        self.lock = threading.Lock()
        self.next = 0
        self.promised = set()

    def take(self) -> str:
        with self.lock:
            self.next += 1
            return f"n{self.next}"

    def promise(self, name: str) -> None:
        with self.lock:
            self.promised.add(name)


def pump(port: int, oracle: Oracle, stop: threading.Event, first: threading.Event) -> None:
    """Sends until the daemon is gone."""
    try:
        with Talk(port) as client:
            client.ask("EHLO me")
            while not stop.is_set():
                name = oracle.take()
                data = f"Subject: {name}\r\n\r\nbody of {name}\r\n".encode() * (1 + hash(name) % 3)
                if client.mail(f"{name}@b.example", ["c@d.example"], data).startswith("250"):
                    oracle.promise(name)
                    first.set()
    except (OSError, EOFError, AssertionError):
        pass
    first.set()


def arrived(sink: Sink) -> Counter:
    return Counter(message.sender.split("@")[0] for message in sink.messages)


def settle(text: str, directory, sink: Sink, oracle: Oracle) -> None:
    """A last run delivers what is left; then the books must balance."""
    with Daemon(text, directory=directory):
        with sink.changed:
            assert sink.changed.wait_for(lambda: oracle.promised <= set(arrived(sink)), 60), \
                f"promised and lost: {sorted(oracle.promised - set(arrived(sink)))} (seed {SEED})"


def one_round(text: str, directory, oracle: Oracle, dice: random.Random, env=None) -> bool:
    """Runs until it dies by itself (a fault point) or is killed; True when it died by itself."""
    daemon = Daemon(text, directory=directory, env=env)
    try:
        daemon.start()
    except AssertionError:
        return True  # it died at a fault point before it was ready
    stop, first = threading.Event(), threading.Event()
    pumps = [threading.Thread(target=pump, args=(daemon.port, oracle, stop, first)) for _ in range(4)]
    for thread in pumps:
        thread.start()
    first.wait(30)
    died = False
    try:
        daemon.process.wait(dice.uniform(0.01, 0.4) if env is None else 1.5)
        died = True
    except subprocess.TimeoutExpired:
        daemon.process.kill()
    daemon.process.wait()
    stop.set()
    for thread in pumps:
        thread.join()
    return died


def test_random_kills(capsys):
    dice = random.Random(SEED)
    oracle = Oracle()
    directory = make_dir()
    with Sink() as sink:
        text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        for _ in range(ROUNDS):
            one_round(text, directory, oracle, dice)
        settle(text, directory, sink, oracle)
        doubles = {name: count for name, count in arrived(sink).items() if count > 1}
        # a double needs a delivery that was cut between the sink's 250 and our record of it: at most
        # what was on connections at each kill
        assert len(doubles) <= ROUNDS * 200, doubles
    with capsys.disabled():
        print(f"\ncrash: {ROUNDS} kills, {len(oracle.promised)} promised, 0 lost, {len(doubles)} twice, seed {SEED}")


def fault_points() -> list[str]:
    """Every point named in the sources, when this build has them."""
    if "fault" not in BUILD.name:
        return []
    names = set()
    from gatepost import ROOT

    for source in (ROOT / "src").rglob("*.c"):
        names |= set(re.findall(r'fault_point\("([a-z0-9_.-]+)"\)', source.read_text()))
    return sorted(names)


@pytest.mark.parametrize("point", fault_points() or [pytest.param("", marks=pytest.mark.skip("a build without fault points"))])
@pytest.mark.parametrize("pass_number", [1, 3])
def test_kill_at_each_durable_step(point, pass_number):
    oracle = Oracle()
    directory = make_dir()
    dice = random.Random(SEED)
    with Sink() as sink:
        text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        one_round(text, directory, oracle, dice, env={"GATEPOST_FAULT": f"{point}:{pass_number}:kill"})
        one_round(text, directory, oracle, dice)
        settle(text, directory, sink, oracle)
