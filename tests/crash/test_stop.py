# SPDX-License-Identifier: Apache-2.0
"""SIGTERM while mail flows in and out, once and twice: it ends by itself with exit code 0, and the
books balance as after a crash. In a sanitizer build nothing may be leaked or used after it went."""

import contextlib
import random
import shutil
import signal
import subprocess

import pytest
from crash import QUEUE, SEED, SMALL_SEGMENTS, Manners, Oracle, Pumps
from gatepost import DEADLINE, Daemon, Sink, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

ROUNDS = 4


def stop_in_the_middle(daemon: Daemon, oracle: Oracle, messages: int, signals: int) -> None:
    """Lets some mail flow, and says stop as often as told."""
    pumps = Pumps(daemon, oracle)
    assert oracle.wait_for(messages), daemon.err.text()
    for number in range(signals):
        daemon.process.send_signal(signal.SIGTERM)
        if number == 0:
            daemon.err.wait("stopping: no new mail")
    assert daemon.process.wait(DEADLINE) == 0, daemon.err.text()
    pumps.end()
    daemon.err.thread.join(DEADLINE)
    daemon.check_sanitizers()


@pytest.mark.parametrize("signals", [1, 2])
def test_stopping_under_load(signals):
    dice, oracle, directory = random.Random(SEED), Oracle(), make_dir()
    with Sink() as sink:
        text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        for _ in range(ROUNDS):
            daemon = Daemon(text, directory=directory, env=SMALL_SEGMENTS).start()
            stop_in_the_middle(daemon, oracle, dice.randrange(1, 120), signals)
        with Daemon(text, directory=directory, env=SMALL_SEGMENTS):
            oracle.check(sink)
    shutil.rmtree(directory, ignore_errors=True)


def test_stopping_while_the_spool_is_read_back():
    dice, oracle, directory = random.Random(SEED), Oracle(), make_dir()
    manners = Manners()
    with Sink(manners) as sink:
        text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        daemon = Daemon(text, directory=directory, env=SMALL_SEGMENTS).start()
        stop_in_the_middle(daemon, oracle, 2000, signals=2)
        for _ in range(ROUNDS):
            daemon = Daemon(text, directory=directory, env=SMALL_SEGMENTS).start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.process.wait(dice.uniform(0, 0.1))
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(DEADLINE) == 0, daemon.err.text()
            daemon.err.thread.join(DEADLINE)
            daemon.check_sanitizers()
        manners.takes = True
        with Daemon(text, directory=directory, env=SMALL_SEGMENTS):
            oracle.check(sink)
    shutil.rmtree(directory, ignore_errors=True)
