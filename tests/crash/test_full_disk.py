# SPDX-License-Identifier: Apache-2.0
"""The disk fills up, or runs out of inodes, and has room again: mail is refused for now, none is lost, and nothing has to
be restarted. Needs a small file system of its own, so root and the right to mount."""

import contextlib
import os
import shutil
import subprocess

import pytest
from crash import QUEUE, SMALL_SEGMENTS, Manners, arrived
from gatepost import Daemon, Sink, Talk, give, make_dir, until
from policies import ANY_ROOM, RELAY_FROM_LOOPBACK, policy, smart_host

DISK_BYTES = 210 << 20  # three segments of the usual size
INODES = 1000
MESSAGE_BYTES = 4 << 20


class Disk:
    """A folder in which one (`spool` or `logs`) is a small file system."""

    def __init__(self, what: str = "spool"):
        self.directory = make_dir()
        self.small = self.directory / what
        self.small.mkdir()
        if os.geteuid() != 0:
            self.remove()
            pytest.skip("needs root, to mount a small file system")
        options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES},nr_inodes={INODES}", "none", str(self.small)]
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.remove()
            pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
        give(self.small)

    def fill(self, leave: int) -> None:
        free = os.statvfs(self.small)
        with (self.small / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, free.f_bavail * free.f_frsize - leave)

    def unfill(self) -> None:
        (self.small / "filler").unlink()

    def use_up_inodes(self, leave: int) -> None:
        (self.small / "many").mkdir()
        with contextlib.suppress(OSError):  # the daemon may have been faster with the last one
            for number in range(os.statvfs(self.small).f_ffree - leave):
                (self.small / "many" / str(number)).touch()

    def give_back_inodes(self) -> None:
        shutil.rmtree(self.small / "many")

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.small)], capture_output=True, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def disk():
    made = Disk()
    yield made
    made.remove()


@pytest.fixture
def log_disk():
    made = Disk("logs")
    yield made
    made.remove()


def daemon_on(disk: Disk, sink: Sink, floor: str, inodes: str = "0", logs: str = f"max_file_size = 1000000, {ANY_ROOM}",
              env: dict | None = None) -> Daemon:
    text = policy(smart_host(sink.port, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)
    text = text.replace(f"/spool', {ANY_ROOM}", f"/spool', min_free_space = {floor}, min_free_inodes = {inodes}")
    text = text.replace(f"/logs', {ANY_ROOM}", f"/logs', {logs}")
    return Daemon(text, directory=disk.directory, env=SMALL_SEGMENTS if env is None else env)


def ask_until(client: Talk, sender: str, data: bytes, code: str) -> None:
    """Tries the same transaction until it is answered so: space is looked at once a second, and tells nobody."""
    def is_answered_so() -> bool:
        client.expect("RSET", "250")
        reply = client.mail(sender, ["c@d.example"], data)
        assert reply.startswith(("250", "452")), reply
        return reply.startswith(code)

    until(is_answered_so, lambda: f"{sender} never got {code}", every=0.2)


def mail_waits_at_the_client(daemon: Daemon, sink: Sink, take_room, give_room) -> None:
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        ask_until(client, "before@b.example", b"x", "250")
        take_room()
        ask_until(client, "full@b.example", b"x", "452")
        assert client.ask("MAIL FROM:<refused@b.example>").startswith("452")
        give_room()
        ask_until(client, "after@b.example", b"x", "250")
        sink.wait_for({"before", "after"})
        assert "refused" not in arrived(sink)


def test_below_the_floor_mail_waits_at_the_client(disk):
    with Sink() as sink, daemon_on(disk, sink, "'10%'") as daemon:
        mail_waits_at_the_client(daemon, sink, lambda: disk.fill(leave=DISK_BYTES // 20), disk.unfill)


def fill_with_mail(client: Talk) -> tuple[set[str], str]:
    """Sends until there is no room: what was promised, and the refusal."""
    promised, data = set(), b"\r\n" + b"0123456789abcde\r\n" * (MESSAGE_BYTES // 17)
    for number in range(2 * DISK_BYTES // MESSAGE_BYTES):
        reply = client.mail(f"n{number}@b.example", ["c@d.example"], data)
        if not reply.startswith("250"):
            return promised, reply
        promised.add(f"n{number}")
    raise AssertionError("the disk never got full")


def test_a_disk_full_of_mail_empties_itself(disk):
    manners = Manners()
    with Sink(manners) as sink, daemon_on(disk, sink, "0") as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            promised, reply = fill_with_mail(client)
            assert reply.startswith("452"), reply
            assert promised
            manners.takes = True
            sink.wait_for(promised)
            ask_until(client, "after@b.example", b"x", "250")
            sink.wait_for({"after"})


def test_a_full_disk_is_no_reason_not_to_start(disk):
    manners = Manners()
    with Sink(manners) as sink:
        daemon = daemon_on(disk, sink, "0").start()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            promised, _ = fill_with_mail(client)
        daemon.kill()
        disk.fill(leave=0)
        with daemon_on(disk, sink, "0"):
            manners.takes = True
            sink.wait_for(promised)


def test_below_the_floor_of_inodes_mail_waits_at_the_client(disk):
    with Sink() as sink, daemon_on(disk, sink, "0", inodes="'10%'") as daemon:
        mail_waits_at_the_client(daemon, sink, lambda: disk.use_up_inodes(leave=INODES // 20), disk.give_back_inodes)


def test_a_disk_without_inodes_loses_nothing_and_recovers(disk):
    """New segments can not be had: what there is fills up and empties itself; one inode, and mail is taken again."""
    manners = Manners()
    # of the usual size: with smaller ones (fault points) each of these messages would want a segment of its own
    with Sink(manners) as sink, daemon_on(disk, sink, "0", env={}) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            ask_until(client, "before@b.example", b"x", "250")
            disk.use_up_inodes(leave=0)
            promised, reply = fill_with_mail(client)
            assert reply.startswith("452"), reply
            assert promised
            assert os.statvfs(disk.small).f_bavail > DISK_BYTES // 4 // os.statvfs(disk.small).f_frsize, "it was full of bytes"
            manners.takes = True
            sink.wait_for(promised | {"before"})
            disk.give_back_inodes()
            ask_until(client, "after@b.example", b"x", "250")
            sink.wait_for({"after"})


def test_no_inodes_are_no_reason_not_to_start(disk):
    manners = Manners()
    with Sink(manners) as sink:
        daemon = daemon_on(disk, sink, "0").start()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            ask_until(client, "before@b.example", b"x", "250")
        daemon.kill()
        disk.use_up_inodes(leave=0)
        with daemon_on(disk, sink, "0"):
            manners.takes = True
            sink.wait_for({"before"})


@pytest.mark.parametrize("floor, leave", [("min_free_inodes = 0, max_segment_duration = '1s'", 0), ("min_free_inodes = '10%'", INODES // 20)],
                         ids=["none left", "below the floor"])
def test_without_inodes_for_records_mail_waits_at_the_client(log_disk, floor, leave):
    with Sink() as sink, daemon_on(log_disk, sink, "0", logs=floor) as daemon:
        mail_waits_at_the_client(daemon, sink, lambda: log_disk.use_up_inodes(leave), log_disk.give_back_inodes)
    assert {record["sender"] for record in daemon.records() if record["type"] == "Delivery"} >= {"before@b.example", "after@b.example"}
