# SPDX-License-Identifier: Apache-2.0
"""The servers that bench/run measures, each started on a loopback port of its own.

A server has a `name`, a `port`, `pids` (whose descendants pay, too) and is a context manager.
Everything lives below the folder it is given; nothing of the machine's own configuration is
read or changed.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

BENCH = Path(__file__).resolve().parent
START_SECONDS = 30
USER, PASSWORD = "scott", "tiger"
SERVICE_USER = "nobody"


def free_port() -> int:
    """For servers that cannot be asked which port they were given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(reached, what: str, seconds: float = START_SECONDS, step_seconds: float = 0.05) -> None:
    """Asks again and again: for what nothing tells, as when a stranger's server begins to answer."""
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} does not happen")
        time.sleep(step_seconds)


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def give_to(account: str, path: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def make_certificate(folder: Path) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=bench.example", "-days", "1", "-keyout", folder / "key.pem",
                    "-out", folder / "certificate.pem"], check=True, capture_output=True)


class Server:
    """One child process; subclasses say how it begins."""

    name = ""
    process: subprocess.Popen | None = None
    port = 0

    @property
    def pids(self) -> list[int]:
        return [self.process.pid]

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()  # what has begun must not stay
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Ceiling(Server):
    name = "ceiling"

    def __init__(self, build: Path, *, under: list[str] | None = None):
        """`under`: the command that runs the program."""
        self.command = [*(under or []), build / "bench" / "bench-ceiling"]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())


class Gatepost(Server):
    def __init__(self, build: Path, directory: Path, policy: str, sink_port: int = 0, *, name: str = "",
                 files: dict[str, str] | None = None, client_ca: Path | None = None, mechanism: str = "", failure_delay: str = "0s",
                 under: list[str] | None = None, flags: list[str] | None = None):
        """`files` are written into its folder, @DIR@ in them is its name; `under`: the command that runs the program."""
        self.name = name or f"gatepost-{policy}"
        self.files = files or {}
        self.command = [*(under or []), build / "src" / "gatepostd", *(flags or [])]
        self.dir = directory / self.name
        self.policy = BENCH / "policies" / f"{policy}.lua"
        self.env = {**os.environ, "GATEPOST_BENCH_DIR": str(self.dir), "GATEPOST_BENCH_SINK_PORT": str(sink_port)}
        self.env["GATEPOST_BENCH_FAILURE_DELAY"] = failure_delay
        self.env["GATEPOST_LUA_PATH"] = str(self.dir / "?.lua")
        if mechanism:  # that is not offered unasked
            self.env["GATEPOST_BENCH_MECHANISM"] = mechanism
        if client_ca:
            self.env["GATEPOST_BENCH_CLIENT_CA"] = str(client_ca)

    def start(self) -> None:
        self.dir.mkdir(exist_ok=True)
        give_to(SERVICE_USER, self.dir)
        # that user may not be able to reach this tree
        for path in (self.policy, self.policy.with_name("common.lua")):
            give_to(SERVICE_USER, Path(shutil.copy(path, self.dir)))
        self._make_users()
        for name, text in self.files.items():
            path = self.dir / name
            path.write_text(text.replace("@DIR@", str(self.dir)))
            give_to(SERVICE_USER, path)
        user = ["--user", SERVICE_USER] if os.geteuid() == 0 else []
        errors = self.dir / "stderr"
        with errors.open("wb") as log:
            self.process = subprocess.Popen([*self.command, "--policy", self.dir / self.policy.name, *user], env=self.env, stderr=log,
                                            stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.process.poll() is not None or "initialization complete" in errors.read_text(),
                   f"the start of {self.name}")
        found = re.search(r"smtp listener on \S+:(\d+)$", errors.read_text(), re.M)
        if self.process.poll() is not None or not found:
            raise SystemExit(f"bench: {self.name} did not start:\n{errors.read_text()}")
        self.port = int(found.group(1))

    def _make_users(self) -> None:
        path = self.dir / "auth.db"
        with sqlite3.connect(path) as database:
            database.execute("create table auth (user text primary key, pass text)")
            database.execute("insert into auth values (?, ?)", (USER, PASSWORD))
        give_to(SERVICE_USER, path)


class Sink(Server):
    """Postfix's smtp-sink; it counts."""

    name = "smtp-sink"

    def __init__(self, address: str = "127.0.0.1", sessions: int = 256):
        self.address, self.sessions = address, sessions

    def start(self) -> None:
        self.port = free_port()
        user = ["-u", SERVICE_USER] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(["smtp-sink", "-c", *user, "-m", str(self.sessions), "-h", "sink.example",
                                         f"{self.address}:{self.port}", "1024"], stdout=subprocess.PIPE)
        self.messages = self.counted = 0
        self.first_at = self.last_at = 0.0
        threading.Thread(target=self._count, daemon=True).start()
        wait_until(lambda: answers(self.port), "the start of smtp-sink")

    def _count(self) -> None:
        tail = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            tail = (tail + chunk)[-200:]
            if (found := re.findall(rb"mesg=(\d+)", tail)) and int(found[-1]) != self.messages:
                self.messages, self.last_at = int(found[-1]), time.time()
                self.first_at = self.first_at or time.time()


DOVECOT = """
base_dir = {dir}/dovecot
log_path = {dir}/dovecot.log
protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
# what a refusal costs is measured, not how long it is held back
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {dir}/queue/private/auth {{
    mode = 0666
  }}
}}
"""

MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/postfix.log
maillog_file_prefixes = {dir}
multi_instance_name = postfix-bench
myhostname = bench.example
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
default_transport = {transport}
relayhost = {relayhost}
default_process_limit = {processes}
message_size_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {dir}/certificate.pem
smtpd_tls_key_file = {dir}/key.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
smtp_tls_security_level = none
smtp_host_lookup = native
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Server):
    """Postfix with Dovecot's auth, configured to be fast: plain users, no chroot, no look-ups."""

    def __init__(self, directory: Path, sink_port: int = 0, processes: int = 300, *, name: str = "",
                 stored: str = PASSWORD):
        self.name = name or ("postfix-relay" if sink_port else "postfix")
        self.stored = stored
        self.dir = directory / self.name
        self.config = self.dir / "config"
        self.transport = "smtp" if sink_port else "discard"
        self.relayhost = f"[127.0.0.1]:{sink_port}" if sink_port else ""
        self.processes = processes

    @property
    def pids(self) -> list[int]:
        master = int((self.dir / "queue" / "pid" / "master.pid").read_text())
        return [master, self.process.pid]

    def start(self) -> None:
        for folder in (self.dir, self.config, self.dir / "queue", self.dir / "data", self.dir / "dovecot"):
            folder.mkdir()
        give_to("postfix", self.dir / "data")
        self._configure()
        self._postfix("start")
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.dir / "dovecot.conf"], stdin=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port) and (self.dir / "queue/private/auth").exists(), f"the start of {self.name}")

    def stop(self) -> None:
        self._postfix("stop")
        super().stop()

    def _configure(self) -> None:
        self.port = free_port()
        make_certificate(self.dir)
        (self.dir / "users").write_text(f"{USER}:{self.stored}\n")
        for name, text in (("config/main.cf", MAIN_CF), ("config/master.cf", MASTER_CF), ("dovecot.conf", DOVECOT)):
            (self.dir / name).write_text(text.format(**vars(self)))

    def _postfix(self, command: str) -> None:
        done = subprocess.run(["postfix", "-c", self.config, command], capture_output=True, text=True, check=False)
        if done.returncode and command == "start":
            log = self.dir / "postfix.log"
            raise SystemExit(f"bench: Postfix did not start: {done.stderr}{log.read_text() if log.exists() else ''}")
