# SPDX-License-Identifier: Apache-2.0
"""A hundred rounds of tools/crash, and the proof that its books would show a loss; then one call after the other
that touches a file fails, until a run passes untouched."""

import contextlib
import errno
import os
import random
import subprocess

import pytest
import rounds
from crash import HAS_FAULT_POINTS, QUEUE, SEED, SMALL_SEGMENTS, Holding, Manners, Oracle, arrived
from faults import KILL, KINDS, Control, Power, needs_libraries, remove
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS = int(os.environ.get("GATEPOST_CRASH_ROUNDS", "100"))
EACH = os.environ.get("GATEPOST_CRASH_EACH_CALL")  # minutes, instead of two
SECONDS = 60
# the last but two of those in the backlog and the second of each life's are larger than a small segment
BACKLOG = 148
MESSAGES = 4
MOST_CALLS = 1000

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


def send(daemon: Daemon, oracle: Oracle, messages: int) -> set[str]:
    """Whose were answered 250."""
    promised = set()
    for _ in range(messages):
        name, data = oracle.take()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            reply = client.mail(f"{name}@b.example", ["c@d.example"], data)
        assert reply[:3] in ("250", "451", "452", "421"), reply
        if reply.startswith("250"):
            oracle.promise(name)
            promised.add(name)
    return promised


def policy_to(sink: Sink) -> str:
    return policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)


class Backlog:
    """What a killed daemon left: a spool with mail that waits among mail that has left, and records that were not closed."""

    def __init__(self):
        self.directory, self.oracle = make_dir(), Oracle()
        # of another size than later ones, so that those it had not used are unlinked at the next start
        size = {name: str(2 * int(number)) for name, number in SMALL_SEGMENTS.items()}
        with Sink(Holding()) as sink:
            daemon = Daemon(policy_to(sink), directory=self.directory, env=size).start()
            send(daemon, self.oracle, BACKLOG)
            sink.wait_for({name for name in self.oracle.promised if int(name[1:]) % 7})
            daemon.kill()
            self.waiting = self.oracle.promised - set(arrived(sink))
        (self.directory / "spool" / "node-id").unlink()  # is made at each start then

    def copy(self) -> tuple:
        """A folder and books of its own."""
        directory, oracle = make_dir(), Oracle()
        subprocess.run(["cp", "-a", "--sparse=always", self.directory / "spool", self.directory / "logs", directory], check=True)
        oracle.next, oracle.sent, oracle.promised = self.oracle.next, dict(self.oracle.sent), set(self.waiting)
        return directory, oracle


@pytest.fixture(scope="module")
def backlog():
    made = Backlog()
    yield made
    remove(made.directory)


class Shelf:
    """A daemon's folder, in which one life with a failing call is followed by one without."""

    def __init__(self, backlog: Backlog | None = None):
        self.directory, self.oracle = backlog.copy() if backlog else (make_dir(), Oracle())
        self.segments = SMALL_SEGMENTS if backlog else {}
        self.sink, self.control = Sink(), Control(self.directory)

    def daemon(self, **env: str) -> Daemon:
        under = f"{self.directory / 'spool'}:{self.directory / 'logs'}"
        return Daemon(policy_to(self.sink), directory=self.directory,
                      env={**self.segments, **self.control.env("fault", under=under), **env})

    def life(self, kind: str, nth: int, for_good: bool) -> bool:
        """Mail, a kill, a good life after it; false when no call was touched."""
        self.control.on_call(KINDS[kind], errno.EIO)
        self.control.calls.arm(nth, for_good)
        daemon = self.daemon()
        try:
            daemon.start()
        except AssertionError:
            # a start that fails says so, and breaks no promise
            assert daemon.process.wait(DEADLINE) == 1, daemon.err.text()
        else:
            daemon.err.wait("spool enumerated")
            # what is new is in memory: no disk is between it and the sink
            self.sink.wait_for(send(daemon, self.oracle, MESSAGES))
        daemon.kill()
        touched = self.control.calls.fired > 0
        self.control.calls.disarm()
        with self.daemon() as good:
            send(good, self.oracle, MESSAGES)
            self.oracle.check(self.sink)
        return touched

    def close(self) -> None:
        self.sink.close()
        remove(self.directory)


def numbers():
    """Each of the first ones, and then here and there one: the seed says where. Or each of all."""
    dice, nth = random.Random(SEED), 1
    while nth < MOST_CALLS:
        yield nth
        nth += 1 if EACH else dice.randint(1, 1 + nth // 4)


# No file is cut off but where a write had failed. Segments of the usual size are never too many, nor of a size of their own,
# and reading them back takes hundreds of calls.
FAILING = sorted(KINDS.keys() - {"truncate"} - (set() if HAS_FAULT_POINTS else {"unlink", "read"}))


def each_fails(calls, make_shelf, kind: str, for_good: bool) -> None:
    """Until a life is untouched."""
    for nth in calls:
        with contextlib.closing(make_shelf()) as shelf:
            if not shelf.life(kind, nth, for_good):
                break
    else:
        raise AssertionError(f"there is still a call to fail behind the {MOST_CALLS}th")
    assert nth > 1, "there was no such call: this proves nothing"


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"truncate", "unlink", "read"}))  # which a new spool has none of
def test_each_call_of_a_new_spool_fails_in_turn(kind, for_good):
    each_fails(range(1, MOST_CALLS), Shelf, kind, for_good)


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("kind", FAILING)
def test_each_call_fails_in_turn(kind, for_good, backlog):
    each_fails(numbers(), lambda: Shelf(backlog), kind, for_good)


@pytest.mark.skipif(not HAS_FAULT_POINTS, reason="a build without fault points")
@pytest.mark.parametrize("rare", ["spool.segment.begin:2", "spool.compact:1", "spool.compact.marks:1", "spool.release:1"])
def test_among_those_calls_are_what_is_rare(rare, backlog):
    """Or failing each of them proves little: the same life with death there."""
    with contextlib.closing(Shelf(backlog)) as shelf:
        daemon = shelf.daemon(GATEPOST_FAULT=f"{rare}:kill")
        with contextlib.suppress(OSError, EOFError, AssertionError):
            daemon.start()
            send(daemon, shelf.oracle, MESSAGES)
        assert daemon.process.wait(DEADLINE) == -9, daemon.err.text()


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
