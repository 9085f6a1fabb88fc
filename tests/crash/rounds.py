# SPDX-License-Identifier: Apache-2.0
"""The rounds of tools/crash: mail flows, the daemon dies somehow, and the books are kept outside it.

A round ends by SIGKILL at a random moment, by death just before the n-th call that changes a
file of the spool, or with such a call failing (once, or for good) and SIGKILL later. After half of
them the power goes as well, which takes what was not synced. Now and then a last run
delivers what is left, and the books must balance.
"""

import errno
import random
import subprocess
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

from crash import QUEUE, SMALL_SEGMENTS, Holding, Oracle, Pumps, arrived
from faults import EVERY_KIND, HAS_LIBRARIES, KILL, Control, Power, remove
from gatepost import DEADLINE, Daemon, Sink, keep, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS_OF_A_GROUND = 10
PATIENCE = 30.0
TURNS_OF_PATIENCE = 10  # as long as the daemon says that it has mail: a busy machine is late, and loses nothing


# gauges of mail that waits for its turn, or is on its way
QUEUED = ("gatepost_scheduled_messages", "gatepost_ready_messages")


@dataclass
class Figures:
    rounds: int = 0
    promised: int = 0
    lost: list[str] = field(default_factory=list)
    twice: int = 0
    endings: Counter = field(default_factory=Counter)
    evidence: list[str] = field(default_factory=list)
    power_cuts: int = 0
    taken_back: int = 0

    def __str__(self) -> str:
        endings = ", ".join(f"{count} {name}" for name, count in sorted(self.endings.items()))
        return (f"{self.rounds} rounds ({endings}; {self.power_cuts} power cuts took back {self.taken_back} changes), "
                f"{self.promised} promised, {len(self.lost)} lost, {self.twice} extra copies")


def has_mail(daemon: Daemon) -> bool:
    text = urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE).read().decode()
    return any(float(line.split()[-1]) > 0 for line in text.splitlines() if line.startswith(QUEUED))


class Ground:
    """One spool, its clients and its sink, for some lives in a row."""

    def __init__(self, dice: random.Random, figures: Figures, syncs_lie: bool):
        self.dice, self.figures = dice, figures
        self.holding = Holding()
        self.sink = Sink(self.holding)
        self.directory = make_dir()
        self.control = Control(self.directory)
        self.power = Power(self.directory, syncs_lie)
        self.oracle = Oracle()
        self.lives = 0
        self.is_evidence = False
        self.text = policy(smart_host(self.sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)

    def daemon(self) -> Daemon:
        env = self.control.env("fault", "lose-unsynced", under=str(self.directory / "spool"))
        return Daemon(self.text, directory=self.directory, env={**SMALL_SEGMENTS, **env, **self.power.env()})

    def prepare_ending(self) -> str:
        kind = self.dice.choice(["killed at a moment", "killed before a call", "a call failed once", "calls failed for good"])
        nth = self.dice.choice([self.dice.randrange(1, 12), self.dice.randrange(1, 400)])
        if kind == "killed at a moment":
            self.control.calls.disarm()
        else:
            outcome = KILL if kind == "killed before a call" else self.dice.choice([errno.EIO, errno.ENOSPC])
            self.control.on_call(EVERY_KIND, outcome)
            self.control.calls.arm(nth, kind == "calls failed for good")
        return kind

    def round(self) -> None:
        ending = self.prepare_ending()
        daemon = self.daemon()
        try:
            daemon.start()
        except AssertionError:  # the disk failed it, or it was killed
            assert daemon.process.wait(DEADLINE) in (-9, 1), daemon.err.text()
        else:
            pumps = Pumps(daemon, self.oracle)
            try:
                daemon.process.wait(self.dice.uniform(0.02, 0.4))
            except subprocess.TimeoutExpired:
                daemon.process.kill()
            assert daemon.process.wait() == -9, daemon.err.text()
            pumps.end()
        daemon.err.thread.join(DEADLINE)
        self.power.life_ended()
        if self.dice.random() < 0.5:
            self.figures.power_cuts += 1
            self.figures.taken_back += self.power.cut(self.dice)
        self.lives += 1
        self.figures.rounds += 1
        self.figures.endings[ending] += 1

    def settle(self, patience: float) -> None:
        """What is left is delivered, and the books are closed."""
        self.holding.holds_back = False
        self.control.calls.disarm()
        with self.daemon() as daemon:
            daemon.err.wait("spool enumerated")  # what it has not read yet it does not say that it has
            for _ in range(TURNS_OF_PATIENCE):
                with self.sink.changed:
                    if self.sink.changed.wait_for(lambda: self.oracle.promised <= set(arrived(self.sink)), patience):
                        break
                if not has_mail(daemon):
                    break
            else:
                self.figures.evidence.append(f"{self.directory}: the daemon still has mail, and does not deliver it")
            said = daemon.err.text()
        counts = arrived(self.sink)
        if not self.oracle.promised <= set(counts):
            self.is_evidence = True
            self.figures.evidence.append(f"{self.directory} is kept; the last life said:\n{said}")
        self.figures.promised += len(self.oracle.promised)
        self.figures.lost += sorted(self.oracle.promised - set(counts))
        self.figures.twice += sum(counts.values()) - len(counts)
        for message in self.sink.messages:
            name = message.sender.split("@")[0]
            assert message.data.endswith(self.oracle.sent[name] + b"\r\n"), f"{name} came as {message.data!r}"
            assert counts[name] <= 1 + self.lives, f"{name} came {counts[name]} times in {self.lives} lives"

    def close(self) -> None:
        self.sink.close()
        if not self.is_evidence or self.power.syncs_lie:
            remove(self.directory)
        else:
            keep(self.directory)


def run(rounds: int, seed: int, *, seconds: float = float("inf"), syncs_lie: bool = False, patience: float = PATIENCE,
        say=lambda text: None) -> Figures:
    """Until so many rounds, or so many seconds, have passed; or something was lost."""
    assert HAS_LIBRARIES, "build the libraries of tests/fault first"
    dice, figures, end = random.Random(seed), Figures(), time.monotonic() + seconds
    while figures.rounds < rounds and not figures.lost and time.monotonic() < end:
        ground = Ground(dice, figures, syncs_lie)
        try:
            for _ in range(min(ROUNDS_OF_A_GROUND, rounds - figures.rounds)):
                ground.round()
            ground.settle(patience)
        finally:
            ground.close()
        say(str(figures))
    return figures
