# SPDX-License-Identifier: Apache-2.0
"""What changes in a folder, as the kernel tells it: inotify(7), for which Python has no module."""

import ctypes
import os
import select
from pathlib import Path

IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100

_libc = ctypes.CDLL(None, use_errno=True)


class Changes:
    """Of the files in one folder, from now on."""

    def __init__(self, folder: Path):
        self.inotify = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.inotify < 0 or _libc.inotify_add_watch(self.inotify, os.fsencode(folder),
                                                       IN_MODIFY | IN_MOVED_TO | IN_CREATE) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
        self.ready = select.poll()
        self.ready.register(self.inotify, select.POLLIN)

    def wait(self, seconds: float) -> bool:
        """For something new since the last time; false when there is nothing for so long."""
        if not self.ready.poll(max(seconds, 0) * 1000):
            return False
        while True:
            try:
                os.read(self.inotify, 1 << 16)
            except BlockingIOError:
                return True

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        os.close(self.inotify)
