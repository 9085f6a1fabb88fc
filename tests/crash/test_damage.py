# SPDX-License-Identifier: Apache-2.0
"""A disk that gives back other bytes than were written: the damaged message cannot be delivered, all others are, and
the file that holds it stays where the operator is told to look."""

import contextlib
import re
import urllib.request
from pathlib import Path

import pytest
from crash import HAS_FAULT_POINTS, QUEUE, SMALL_SEGMENTS, Manners, arrived
from faults import remove
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import RELAY_FROM_LOOPBACK, policy, smart_host

KEPT = r"is damaged and kept as (\S+), out of use"


class Ground:
    """Three messages in a spool, the first of them damaged."""

    def __init__(self):
        self.manners = Manners()
        self.sink = Sink(self.manners)
        self.directory = make_dir()
        self.text = policy(smart_host(self.sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
        self._fill()
        self._damage()
        self.manners.takes = True

    def daemon(self, **env: str) -> Daemon:
        return Daemon(self.text, directory=self.directory, env={**SMALL_SEGMENTS, **env})

    def _fill(self) -> None:
        daemon = self.daemon().start()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            for number in range(3):
                assert client.mail(f"n{number}@b.example", ["c@d.example"], b"body of number %d" % number).startswith("250")
        daemon.kill()

    def _damage(self) -> None:
        hit = 0
        for path in (self.directory / "spool").glob("segment-*"):
            data = path.read_bytes()
            while (at := data.find(b"body of number 0")) >= 0:
                data = data[:at] + b"B" + data[at + 1:]
                hit += 1
            with path.open("r+b") as file:
                file.write(data)
        assert hit == 1

    def close(self) -> None:
        self.sink.close()
        remove(self.directory)


@pytest.fixture
def ground():
    made = Ground()
    yield made
    made.close()


def expect_kept(ground: Ground, daemon: Daemon) -> None:
    ground.sink.wait_for({"n1", "n2"})
    kept = Path(daemon.err.wait(KEPT).group(1))
    assert kept.parent == ground.directory / "spool"
    assert b"Body of number 0" in kept.read_bytes()


def test_damaged_mail_is_kept_for_a_person_and_the_rest_is_delivered(ground):
    with ground.daemon() as daemon:
        expect_kept(ground, daemon)
        metrics = urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE).read().decode()
        assert re.search(r"^gatepost_spool_segments_aside 1$", metrics, re.M)
        assert re.search(r"^gatepost_spool_damaged_total 1$", metrics, re.M)
    with ground.daemon() as daemon:
        daemon.err.wait("1 damaged segments are kept")
        daemon.err.wait("spool enumerated: 0 messages are back, 0 damaged")
    assert "n0" not in arrived(ground.sink)


@pytest.mark.skipif(not HAS_FAULT_POINTS, reason="a build without fault points")
# its start syncs the directory for a segment it makes, and then it does so for the new name
@pytest.mark.parametrize("fault", ["spool.aside:1", "spool.directory.sync:2"])
def test_death_while_it_is_put_aside(ground, fault):
    dying = ground.daemon(GATEPOST_FAULT=f"{fault}:kill")
    with contextlib.suppress(AssertionError):
        dying.start()
    assert dying.process.wait(DEADLINE) == -9, dying.err.text()
    with ground.daemon() as daemon:
        ground.sink.wait_for({"n1", "n2"})
        if not list((ground.directory / "spool").glob("damaged-segment-*")):
            daemon.err.wait(KEPT)
    kept, = (ground.directory / "spool").glob("damaged-segment-*")
    assert b"Body of number 0" in kept.read_bytes()
