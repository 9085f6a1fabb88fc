# SPDX-License-Identifier: Apache-2.0
"""kill -9 while messages flow: every message that was answered 250 is delivered, whole, after a
restart; one that was not exists at most once; doubles only where the peer had accepted.

Rounds: GATEPOST_CRASH_ROUNDS. The seed is printed and may be given as GATEPOST_CRASH_SEED. With
a build that has fault points, the daemon also dies, or has its disk fail, at each of them.
"""

import os
import random
import re
import shutil
import subprocess

import pytest
from crash import HAS_FAULT_POINTS, QUEUE, SEED, SMALL_SEGMENTS, Holding, Oracle, Pumps
from gatepost import DEADLINE, ROOT, Daemon, Sink, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS = int(os.environ.get("GATEPOST_CRASH_ROUNDS", "20"))
# on the connections and with marks not yet written when it dies
IN_FLIGHT = 200


class Ground:
    """One spool folder, and the sink its mail goes to."""

    def __init__(self):
        self.holding = Holding()
        self.sink = Sink(self.holding)
        self.directory = make_dir()
        self.oracle = Oracle()
        self.text = policy(smart_host(self.sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)

    def daemon(self, **env: str) -> Daemon:
        return Daemon(self.text, directory=self.directory, env={**SMALL_SEGMENTS, **env})

    def run_until_promised(self, messages: int) -> None:
        """Leaves something to be read back, to be compacted and to be released."""
        daemon = self.daemon().start()
        pumps = Pumps(daemon, self.oracle)
        assert self.oracle.wait_for(messages), daemon.err.text()
        daemon.kill()
        pumps.end()

    def run_until_killed(self, seconds: float, **env: str) -> bool:
        """True when it died by itself, before its time."""
        daemon = self.daemon(**env)
        try:
            daemon.start()
        except AssertionError:
            assert daemon.process.wait(DEADLINE) == -9, daemon.err.text()
            return True
        pumps = Pumps(daemon, self.oracle)
        died = False
        try:
            daemon.process.wait(seconds)
            died = True
        except subprocess.TimeoutExpired:
            daemon.process.kill()
        assert daemon.process.wait() == -9, daemon.err.text()
        pumps.end()
        return died

    def run_until_failed(self, point: str, pass_number: int) -> None:
        """The disk fails it once there; and then a little longer, for it goes on."""
        daemon = self.daemon(GATEPOST_FAULT=f"{point}:{pass_number}:error")
        try:
            daemon.start()
        except AssertionError:  # it could not begin, and says so
            assert daemon.process.wait(DEADLINE) == 1, daemon.err.text()
            daemon.err.thread.join(DEADLINE)
            daemon.err.wait(f"fault point {point} fails")
            return
        pumps = Pumps(daemon, self.oracle)
        daemon.err.wait(f"fault point {point} fails")
        assert self.oracle.wait_for(20), daemon.err.text()
        daemon.kill()
        pumps.end()

    def settle(self, **env: str) -> int:
        """A last run delivers what is left; then the books must balance. How many came twice."""
        self.holding.holds_back = False
        with self.daemon(**env):
            counts = self.oracle.check(self.sink)
        return sum(count - 1 for count in counts.values())


@pytest.fixture
def ground():
    made = Ground()
    yield made
    made.sink.close()
    shutil.rmtree(made.directory, ignore_errors=True)


def test_random_kills(ground, capsys):
    dice = random.Random(SEED)
    for _ in range(ROUNDS):
        ground.run_until_killed(dice.uniform(0.02, 0.9))
    twice = ground.settle()
    assert twice <= ROUNDS * IN_FLIGHT
    assert len(ground.oracle.promised) > ROUNDS, "hardly anything was sent: this proves nothing"
    with capsys.disabled():
        print(f"\ncrash: {ROUNDS} kills, {len(ground.oracle.promised)} promised, 0 lost, {twice} twice, seed {SEED}")


def fault_points() -> list[str]:
    """Every point that the spool's sources name; but unlinking durably comes only after a disk fault,
    and dying there as well is for tests/unit/spool/test_crash.c; and putting aside after damage (test_damage.py)."""
    names = set()
    for source in (ROOT / "src" / "spool").rglob("*.c"):
        names |= set(re.findall(r'fault_point\("([a-z0-9_.-]+)"\)', source.read_text()))
    return sorted(names - {"spool.unlink", "spool.aside"})


needs_fault_points = pytest.mark.skipif(not HAS_FAULT_POINTS, reason="a build without fault points")


@needs_fault_points
@pytest.mark.parametrize("point", fault_points())
@pytest.mark.parametrize("pass_number", [1, 4])
def test_death_at_each_durable_step(ground, point, pass_number):
    ground.run_until_promised(200)
    assert ground.run_until_killed(DEADLINE, GATEPOST_FAULT=f"{point}:{pass_number}:kill"), f"{point} was not reached"
    ground.run_until_killed(0.1)
    assert ground.settle() <= 3 * IN_FLIGHT


@needs_fault_points
@pytest.mark.parametrize("point", fault_points())
def test_a_disk_that_fails_once_at_each_durable_step(ground, point):
    ground.run_until_promised(200)
    ground.run_until_failed(point, 2)
    assert ground.settle() <= 2 * IN_FLIGHT
