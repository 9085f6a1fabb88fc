# SPDX-License-Identifier: Apache-2.0
"""The common oracle of hostile conversations: afterwards the daemon is alive, serves, has given its descriptors and its
memory back, and no secret is in any file it writes."""

import base64
import contextlib
import os
import re
from collections import Counter
from pathlib import Path

from gatepost import BUILD, Daemon, Talk, until

# what allocators and caches keep; under a sanitizer freed memory is kept on purpose, and says nothing
GROWTH_KIB = 48 << 10
MEMORY_COUNTS = not any(word in BUILD.name for word in ("asan", "tsan", "coverage"))


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def descriptors(pid: int) -> Counter:
    """How many of each kind, files by name; without segments, of which the spool and the logs keep as many as they need."""
    kinds = Counter()
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:  # without root: the daemon lets nobody look
        return kinds
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):
            target = os.readlink(entry)
            if "/logs/" not in target and "/spool/segment-" not in target:
                kinds[re.sub(r":\[\d+\]$", "", target)] += 1
    return kinds


def left_open(pid: int, before: Counter) -> Counter:
    """What stays open beyond `before`. One look without anything more is enough: a second could meet the next delivery."""
    left = Counter()

    def is_nothing() -> bool:
        left.clear()
        left.update(descriptors(pid) - before)
        return not left

    with contextlib.suppress(AssertionError):
        until(is_nothing)
    return left


def forms_of(secret: str) -> set[bytes]:
    """Raw, in hexadecimal, and in base64 wherever in a text it begins."""
    raw = secret.encode()
    forms = {raw, raw.hex().encode()}
    for shift in range(3):
        # the first and last characters depend on the neighbours
        forms.add(base64.b64encode(b"\0" * shift + raw)[shift + 1 if shift else 0:].rstrip(b"=")[:-1])
    return forms


def files_with(secret: str, folder: Path) -> list[str]:
    """Zstandard segments are read as they are on disk and unpacked."""
    import subprocess

    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if not path.is_file() or path.suffix in (".lua", ".toml"):
                continue
            data = path.read_bytes()
            if "/logs/" in str(path):
                data += subprocess.run(["zstd", "-dcq", "--", str(path)], capture_output=True, check=False).stdout
            if any(form in data for form in forms_of(secret)):
                found.append(str(path))
    return found


class Unharmed:
    """As a context: what the daemon holds before and after must be the same."""

    def __init__(self, daemon: Daemon, secrets: tuple[str, ...] = (), growth_kib: int = GROWTH_KIB):
        self.daemon, self.secrets, self.growth_kib = daemon, secrets, growth_kib

    @property
    def pid(self) -> int:
        return self.daemon.process.pid

    def __enter__(self):
        self.serves()
        self.open_before, self.kib_before = descriptors(self.pid), resident_kib(self.pid)
        return self

    def serves(self) -> None:
        with Talk(self.daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("QUIT", "221")

    def __exit__(self, kind, value, trace):
        if kind is not None:
            return
        assert self.daemon.process.poll() is None, self.daemon.err.text()
        self.serves()
        left = left_open(self.pid, self.open_before)
        assert not left, f"left open: {dict(left)}"
        grown = resident_kib(self.pid) - self.kib_before
        assert not MEMORY_COUNTS or grown < self.growth_kib, f"resident memory grew by {grown} KiB"
        self.daemon.check_sanitizers()
        for secret in self.secrets:
            assert not files_with(secret, self.daemon.dir)
            assert not any(form in self.daemon.err.text().encode() for form in forms_of(secret))
