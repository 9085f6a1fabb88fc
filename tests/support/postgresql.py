# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL in a folder of its own, on a port of loopback and a unix socket, run by an account that is not root."""

import contextlib
import glob
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from gatepost import DEADLINE, Lines
from ports import free_port

ACCOUNT = "postgres"
ADMIN = "admin"
ROLE, ROLE_PASSWORD = "relay", "secret of the relay"


def binary(name: str) -> str:
    return sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))[-1]


def children_of(pid: int) -> list[int]:
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            text = Path(stat).read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == pid:
            found.append(int(text.split()[0]))
    return found


class Postgres:
    """`setup` is run as the superuser once the server is there."""

    def __init__(self, setup: str):
        self.dir = Path(tempfile.mkdtemp(prefix="gatepost-postgres-"))
        self.who = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(self.dir, account.pw_uid, account.pw_gid)
            self.who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.dir.chmod(0o755)
        made = subprocess.run([binary("initdb"), "-D", str(self.dir / "data"), "-U", ADMIN, "--auth-local=trust",
                               "--auth-host=scram-sha-256", "--no-sync", "--no-locale", "-E", "UTF8"],
                              capture_output=True, text=True, check=False, cwd=self.dir, **self.who)
        assert made.returncode == 0, made.stderr
        self.process = None
        self.port = free_port()
        try:
            self.start()
            self.sql(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE_PASSWORD}';" + setup)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Returns when it serves."""
        self.process = subprocess.Popen(
            [binary("postgres"), "-D", str(self.dir / "data"), "-p", str(self.port), "-k", str(self.dir), "-c",
             "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=40"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.dir, **self.who)
        Lines(self.process.stderr).wait("database system is ready to accept connections")

    def sql(self, text: str) -> str:
        done = subprocess.run([binary("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(self.dir),
                               "-p", str(self.port), "-U", ADMIN, "-d", "postgres", "-f", "-"], input=text,
                              capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def conninfo(self, password: str | None = ROLE_PASSWORD, host: str = "127.0.0.1") -> str:
        """Lines of a [store.NAME] table."""
        lines = f'conninfo = "host={host} port={self.port} user={ROLE} dbname=postgres"\n'
        return lines + (f'password = "{password}"\n' if password else "")

    def pause(self) -> None:
        """The whole server, so that connections that are there say nothing either."""
        self.stop_first()
        for pid in children_of(self.process.pid):
            os.kill(pid, signal.SIGSTOP)

    def stop_first(self) -> None:
        """The first process alone: it has no other child from now on, and those that end stay to be seen."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def cont(self) -> None:
        for pid in children_of(self.process.pid):
            with contextlib.suppress(ProcessLookupError):  # if it was not stopped
                os.kill(pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a machine that loses power: nobody says goodbye. While a child lives, it holds the server's memory, and no
        other starts."""
        self.stop_first()
        for pid in [self.process.pid, *children_of(self.process.pid)]:
            try:
                process = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            signal.pidfd_send_signal(process, signal.SIGKILL)
            assert select.select([process], [], [], DEADLINE)[0]
            os.close(process)
        self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.cont()
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
