# SPDX-License-Identifier: Apache-2.0
"""What is preloaded into the daemon to make its world fail (the libraries of tests/fault), and the
power cut that is played afterwards from the journal one of them keeps."""

import contextlib
import mmap
import os
import random
import shutil
import struct
from pathlib import Path

import pytest
from gatepost import BUILD, give

LIBRARIES = BUILD / "tests" / "fault"
# as in tests/fault/control.h
KINDS = {"open": 1, "allocate": 2, "write": 4, "sync": 8, "rename": 16, "unlink": 32, "truncate": 64,
         "read": 128}
EVERY_KIND = sum(KINDS.values())
KILL = -1
FOR_GOOD = (1 << 64) - 1
WRITTEN, SYNCED, MADE, DIRECTORY_SYNCED, UNLINKED, SIZED = range(1, 7)
SECTOR = 512


def library(name: str) -> str:
    return str(LIBRARIES / f"libgatepost-{name}.so")


HAS_LIBRARIES = Path(library("fault")).exists()
needs_libraries = pytest.mark.skipif(not HAS_LIBRARIES, reason="a sanitizer build, which no library is preloaded into")


class Slot:
    """Which of the things that are counted fail."""

    def __init__(self, memory: mmap.mmap, at: int):
        self.memory, self.at = memory, at

    def _get(self, index: int) -> int:
        return struct.unpack_from("=Q", self.memory, self.at + 8 * index)[0]

    def _put(self, index: int, value: int) -> None:
        struct.pack_into("=Q", self.memory, self.at + 8 * index, value)

    @property
    def seen(self) -> int:
        return self._get(0)

    @property
    def fired(self) -> int:
        return self._get(3)

    def arm(self, nth: int, for_good: bool = False) -> None:
        """The nth from now on, once or for good."""
        self._put(3, 0)
        self._put(1, 0)
        first = self.seen + nth
        self._put(2, FOR_GOOD if for_good else first)
        self._put(1, first)

    def disarm(self) -> None:
        self._put(1, 0)


class Control:
    """The file that the preloaded libraries look at (tests/fault/control.h)."""

    def __init__(self, directory: Path):
        self.path = directory / "control"
        self.path.write_bytes(bytes(mmap.PAGESIZE))
        give(self.path)
        with self.path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.calls = Slot(self.memory, 0)
        self.allocations = Slot(self.memory, 32)

    def on_call(self, kinds: int, outcome: int) -> None:
        struct.pack_into("=Qq", self.memory, 64, kinds, outcome)

    def shift_clock(self, seconds: float) -> None:
        struct.pack_into("=q", self.memory, 80, int(seconds * 1e6))

    def env(self, *libraries: str, under: str = "") -> dict[str, str]:
        return {"LD_PRELOAD": " ".join(library(name) for name in libraries), "GATEPOST_FAULT_CONTROL": str(self.path),
                "GATEPOST_FAULT_UNDER": under}


class Power:
    """The disk of a spool as it would be without power: see tests/fault/lose_unsynced.c."""

    def __init__(self, directory: Path, syncs_lie: bool = False):
        self.spool, self.journal, self.kept = directory / "spool", directory / "power-journal", directory / "power-kept"
        self.syncs_lie = syncs_lie
        self.kept.mkdir()
        give(self.kept)

    def env(self) -> dict[str, str]:
        return {"GATEPOST_POWER_UNDER": str(self.spool), "GATEPOST_POWER_JOURNAL": str(self.journal),
                "GATEPOST_POWER_KEEP": str(self.kept), "GATEPOST_POWER_SYNCS": "lie" if self.syncs_lie else ""}

    def _entries(self):
        """Each with where it ends in the journal."""
        data = memoryview(self.journal.read_bytes()) if self.journal.exists() else memoryview(b"")
        at, head = 0, struct.Struct("=IIQQQQ")
        while at + head.size <= len(data):
            kind, name_len, inode, where, length, old_size = head.unpack_from(data, at)
            at += head.size
            assert WRITTEN <= kind <= SIZED, "the journal makes no sense: this proves nothing"
            if at + name_len + length > len(data):
                return
            name, before = bytes(data[at:at + name_len]).decode(), data[at + name_len:at + name_len + length]
            at += name_len + length
            yield at, (kind, inode, where, old_size, name, before)

    def life_ended(self) -> None:
        """It may have been killed while it wrote something down: then what it was about to do was not done. What the next
        life writes down must not be read as the rest of that."""
        whole = 0
        for end, _ in self._entries():
            whole = end
        if self.journal.exists() and self.journal.stat().st_size > whole:
            os.truncate(self.journal, whole)

    def _files(self) -> dict[int, Path]:
        return {path.stat().st_ino: path for folder in (self.kept, self.spool) for path in folder.iterdir()}

    def cut(self, dice: random.Random) -> int:
        """Takes away what was not synced; how many entries of the journal that touched."""
        pending, names = [], []
        for _, entry in self._entries():
            if entry[0] == SYNCED:
                pending = [other for other in pending if other[1] != entry[1]]
            elif entry[0] == DIRECTORY_SYNCED:
                names = []
            else:
                (names if entry[0] in (MADE, UNLINKED) else pending).append(entry)
        files, stayed = self._files(), set()
        for kind, inode, where, old_size, _, before in reversed(pending):
            if inode not in files:
                continue
            with files[inode].open("r+b") as file:
                if kind == SIZED:
                    file.truncate(old_size)
                else:
                    self._take_back(file, inode, where, before, stayed, dice)
        for kind, inode, _, _, name, _ in reversed(names):
            if dice.random() < 0.5:
                continue  # the directory was written early
            if kind == MADE:
                (self.spool / name).unlink(missing_ok=True)
            elif not (self.spool / name).exists() and (self.kept / str(inode)).exists():
                os.link(self.kept / str(inode), self.spool / name)
        self.forget()
        return len(pending) + len(names)

    @staticmethod
    def _take_back(file, inode, where, before, stayed, dice) -> None:
        early = dice.random() < 0.25
        for at in range(where - where % SECTOR, where + len(before), SECTOR):
            if (inode, at) in stayed:
                continue
            if early and dice.random() < 0.5:
                stayed.add((inode, at))  # and with it what was written there before
                continue
            first, last = max(at, where), min(at + SECTOR, where + len(before))
            file.seek(first)
            file.write(before[first - where:last - where])

    def forget(self) -> None:
        """What is there now is on the disk."""
        self.journal.unlink(missing_ok=True)
        for path in self.kept.iterdir():
            path.unlink()


def remove(directory: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(directory)
