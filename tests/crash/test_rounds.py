# SPDX-License-Identifier: Apache-2.0
"""A hundred rounds of tools/crash, and the proof that its books would show a loss; then each single
call that changes a file fails in turn, until a run passes untouched."""

import contextlib
import errno
import os
import random

import pytest
import rounds
from crash import QUEUE, SEED, Manners, Oracle
from faults import KILL, KINDS, Control, Power, needs_libraries, remove
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS = int(os.environ.get("GATEPOST_CRASH_ROUNDS", "100"))
SECONDS = 60
MESSAGES = 4
MOST_CALLS = 200

pytestmark = needs_libraries


def test_a_hundred_deaths_and_power_cuts(capsys):
    figures = rounds.run(ROUNDS, SEED, seconds=SECONDS)
    with capsys.disabled():
        print(f"\ncrash: {figures}, seed {SEED}")
    assert not figures.lost, "\n".join(figures.evidence)
    assert figures.promised > figures.rounds, "hardly anything was sent: this proves nothing"
    assert figures.taken_back > 0, "no power cut took anything: this proves nothing"


def test_syncs_that_lie_are_found_out(capsys):
    figures = rounds.run(ROUNDS, SEED, seconds=SECONDS, syncs_lie=True, patience=3)
    with capsys.disabled():
        print(f"\ncrash with lying syncs: {figures}, seed {SEED}")
    assert figures.lost


class Shelf:
    """A daemon's folder, in which one life with a failing call is followed by one without."""

    def __init__(self, kind: str):
        self.sink, self.oracle, self.directory = Sink(), Oracle(), make_dir()
        self.control = Control(self.directory)
        self.kind = kind
        self.text = policy(smart_host(self.sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)

    def daemon(self) -> Daemon:
        under = f"{self.directory / 'spool'}:{self.directory / 'logs'}"
        return Daemon(self.text, directory=self.directory, env=self.control.env("fault", under=under))

    def send(self, daemon: Daemon) -> None:
        for _ in range(MESSAGES):
            name, data = self.oracle.take()
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                reply = client.mail(f"{name}@b.example", ["c@d.example"], data)
            assert reply[:3] in ("250", "451", "452", "421"), reply
            if reply.startswith("250"):
                self.oracle.promise(name)

    def life(self, nth: int, for_good: bool) -> bool:
        """Mail, a kill, a good life after it; false when no call was touched."""
        self.control.on_call(KINDS[self.kind], errno.EIO)
        self.control.calls.arm(nth, for_good)
        daemon = self.daemon()
        try:
            daemon.start()
        except AssertionError:
            # a start that fails says so, and breaks no promise
            assert daemon.process.wait(DEADLINE) == 1, daemon.err.text()
        else:
            self.send(daemon)
        daemon.kill()
        touched = self.control.calls.fired > 0
        self.control.calls.disarm()
        with self.daemon() as good:
            self.send(good)
            self.oracle.check(self.sink)
        return touched

    def close(self) -> None:
        self.sink.close()
        remove(self.directory)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("rename", "truncate")])
def test_each_call_fails_in_turn(kind, for_good):
    for nth in range(1, MOST_CALLS):
        shelf = Shelf(kind)
        try:
            if not shelf.life(nth, for_good):
                return
        finally:
            shelf.close()
    raise AssertionError(f"after {MOST_CALLS} runs there is still a call to fail")


class Worst(random.Random):
    """The power cut that takes all it may."""

    def random(self) -> float:
        return 0.9


@pytest.mark.parametrize("nth", range(1, 5))
def test_what_one_life_made_and_did_not_sync_is_safe_in_the_next(nth):
    """Death before the n-th sync, the directory's after a segment was made among them; a life that promises; no power."""
    directory, manners = make_dir(), Manners()
    control, power = Control(directory), Power(directory)
    env = {**control.env("fault", "lose-unsynced", under=str(directory / "spool")), **power.env()}
    with Sink(manners) as sink:
        text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        control.on_call(KINDS["sync"], KILL)
        control.calls.arm(nth)
        first = Daemon(text, directory=directory, env=env)
        with contextlib.suppress(AssertionError):
            first.start()
        first.kill()
        control.calls.disarm()
        power.life_ended()
        second = Daemon(text, directory=directory, env=env).start()
        with Talk(second.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("n1@b.example", ["c@d.example"], b"x").startswith("250")
        second.kill()
        power.cut(Worst())
        manners.takes = True
        with Daemon(text, directory=directory, env=env):
            sink.wait()
    remove(directory)
