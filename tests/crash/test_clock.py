# SPDX-License-Identifier: Apache-2.0
"""Somebody sets the clock: mail is neither stuck nor given up because of it."""

import pytest
from crash import QUEUE, Manners
from faults import Control, needs_libraries, remove
from gatepost import Daemon, Sink, Talk, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

HOUR, DAY = 3600, 86400

pytestmark = needs_libraries


@pytest.fixture
def directory():
    made = make_dir()
    yield made
    remove(made)


def send(daemon: Daemon, name: str) -> None:
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail(f"{name}@b.example", ["c@d.example"], b"x").startswith("250")


def send_and_fail(daemon: Daemon) -> None:
    send(daemon, "before")
    daemon.wait_records(lambda record: record["type"] == "TransientFailure")


def life(sink: Sink, directory, control: Control) -> Daemon:
    text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
    return Daemon(text, directory=directory, env=control.env("fault"))


@pytest.mark.parametrize("jump", [-30 * DAY, -HOUR, HOUR, DAY, 30 * DAY])
def test_a_jump_while_mail_waits(directory, jump):
    manners, control = Manners(), Control(directory)
    with Sink(manners) as sink:
        with life(sink, directory, control) as daemon:
            send_and_fail(daemon)
            control.shift_clock(jump)
            send(daemon, "after")
            manners.takes = True
            sink.wait_for({"before", "after"})


@pytest.mark.parametrize("jump", [-30 * DAY, HOUR, 30 * DAY])
def test_a_jump_between_two_lives(directory, jump):
    manners, control = Manners(), Control(directory)
    with Sink(manners) as sink:
        with life(sink, directory, control) as daemon:
            send_and_fail(daemon)
        control.shift_clock(jump)
        manners.takes = True
        with life(sink, directory, control) as daemon:
            send(daemon, "after")
            sink.wait_for({"before", "after"})


def test_tried_by_a_clock_that_was_ahead(directory):
    """The due time that the attempt left in the spool is two days away in the next life."""
    manners, control = Manners(), Control(directory)
    with Sink(manners) as sink:
        with life(sink, directory, control) as daemon:
            send_and_fail(daemon)
            control.shift_clock(2 * DAY)
            daemon.wait_records(lambda record: record["type"] == "TransientFailure" and record["num_attempts"] > 1)
        control.shift_clock(0)
        manners.takes = True
        with life(sink, directory, control) as daemon:
            send(daemon, "after")
            sink.wait_for({"before", "after"})
