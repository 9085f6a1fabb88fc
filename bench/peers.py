# SPDX-License-Identifier: Apache-2.0
"""Exim, OpenSMTPD and Haraka for bench/run --peers, from where bench/install-peers put them. Each is set up to be as fast
as it is easily made while it does the same: STARTTLS with ECDSA P-256, AUTH PLAIN of one user, then the message is kept or
passed on. What each leaves out that Gatepost does is said at its class, and in docs/performance.md.

Debian's two have their folders compiled in, so they run in a mount namespace of their own, where /etc is a copy with their
users in it, and /var/lib, /var/spool, /run and /usr/libexec are folders of the benchmark on the same disk.
"""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from servers import PASSWORD, USER, Server, answers, free_port, make_certificate, wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import crypt  # leaves Python with 3.13; Debian 12 has 3.11

ACCOUNTS = {"Debian-exim": 64901, "opensmtpd": 64902, "opensmtpq": 64903}
NAMESPACE = """
mount --bind "$0/etc" /etc && mount --bind "$0/lib" /var/lib && mount --bind "$0/spool" /var/spool &&
mount --bind "$0/run" /run && mount --bind "$0/libexec" /usr/libexec && exec "$@"
"""


class Peer(Server):
    understated = False  # its figures are less than the truth

    def last_words(self) -> str:
        return (self.dir / "stderr").read_text(errors="replace")[-400:]


class Unpacked(Peer):
    """A server of Debian's, in its mount namespace."""

    folder = ""  # below bench/install-peers's

    def __init__(self, home: Path, base: Path, sink_port: int = 0):
        self.sink_port = sink_port
        self.name += "-relay" if sink_port else ""
        self.home = home / self.folder
        self.dir = base / self.name

    def make_room(self) -> None:
        self.dir.mkdir()
        self.port = free_port()
        shutil.copytree("/etc", self.dir / "etc", symlinks=True)
        for folder in ("lib", "spool", "run"):
            (self.dir / folder).mkdir(mode=0o755)
        libexec = self.home / "usr" / "libexec"
        if libexec.exists():
            shutil.copytree(libexec, self.dir / "libexec")
        else:
            (self.dir / "libexec").mkdir()
        for file, line in (("passwd", "{0}:x:{1}:{1}::/nonexistent:/bin/false\n"), ("group", "{0}:x:{1}:\n")):
            with (self.dir / "etc" / file).open("a") as accounts:
                accounts.writelines(line.format(name, number) for name, number in ACCOUNTS.items())
        make_certificate(self.dir)

    def run(self, *command) -> None:
        with (self.dir / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", NAMESPACE, self.dir, *command],
                                            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        wait_until(lambda: self.process.poll() is not None or answers(self.port), f"the start of {self.name}")
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} did not start: {self.last_words()}")


EXIM = """
exim_path = {home}/usr/sbin/exim4
spool_directory = /var/spool/exim4
log_file_path = /var/spool/exim4/%slog
primary_hostname = bench.example
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = /etc/exim4/certificate.pem
tls_privatekey = /etc/exim4/key.pem
# no look-ups, no ceilings that end a long session, deliver at once however many there are
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
message_size_limit = 0
keep_environment =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = accept_data

begin acl
check_rcpt:
  accept authenticated = *
  deny
accept_data:
  accept

begin routers
all:
{router}

begin transports
sink:
  driver = smtp
  port = {sink_port}
  hosts_avoid_tls = *
  hosts_try_dane =
  allow_localhost

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_advertise_condition = ${{if def:tls_in_cipher}}
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""
EXIM_RELAYS = "  driver = manualroute\n  route_list = * 127.0.0.1\n  transport = sink\n  self = send"
EXIM_DISCARDS = "  driver = redirect\n  data = :blackhole:"


class Exim(Unpacked):
    """A process per connection and one more per delivery. Syncs the message's two files before it says 250. Those processes
    are not waited for, and the kernel forgets what they took: its figures are too small (more than the half for messages)."""

    name, words, folder = "exim", "Exim", "exim4-daemon-light"
    understated = True

    def start(self) -> None:
        self.make_room()
        for folder in ("etc/exim4", "spool/exim4"):
            (self.dir / folder).mkdir(exist_ok=True)
            os.chown(self.dir / folder, ACCOUNTS["Debian-exim"], ACCOUNTS["Debian-exim"])
        for file in ("key.pem", "certificate.pem"):
            copy = shutil.copy(self.dir / file, self.dir / "etc" / "exim4")
            os.chown(copy, ACCOUNTS["Debian-exim"], ACCOUNTS["Debian-exim"])
        config = EXIM.format(**vars(self), user=USER, password=PASSWORD, router=EXIM_RELAYS if self.sink_port else EXIM_DISCARDS)
        (self.dir / "etc" / "exim4" / "exim4.conf").write_text(config)
        self.run(self.home / "usr" / "sbin" / "exim4", "-bdf", "-q30m")


OPENSMTPD = """
pki bench.example cert "/etc/bench/certificate.pem"
pki bench.example key "/etc/bench/key.pem"
table users file:/etc/bench/users
smtp limit max-mails 1000000
smtp limit max-rcpt 1000000
listen on 127.0.0.1 port {port} tls pki bench.example auth <users> hostname bench.example
action "on" relay host "smtp+notls://127.0.0.1:{sink_port}"
match auth from any for any action "on"
"""


class OpenSmtpd(Unpacked):
    """Seven processes. Syncs message and envelope before it says 250. It has no way to discard, so every message goes on to
    the sink. It takes crypt(3) hashes only: the cheapest kind (DES) stands in for a plain password. Debian 12's (6.8.0p2)
    ends every handshake with an error of OpenSSL 3, whatever the key: its process without keys cannot borrow a signature."""

    name, words, folder = "opensmtpd", "OpenSMTPD", "opensmtpd"

    def start(self) -> None:
        self.make_room()
        (self.dir / "etc" / "bench").mkdir()
        for file in ("key.pem", "certificate.pem"):
            shutil.copy(self.dir / file, self.dir / "etc" / "bench")
        (self.dir / "etc" / "bench" / "users").write_text(f"{USER} {crypt.crypt(PASSWORD, 'gp')}\n")
        (self.dir / "etc" / "mailname").write_text("bench.example\n")
        (self.dir / "lib" / "opensmtpd" / "empty").mkdir(parents=True)
        config = self.dir / "etc" / "bench" / "smtpd.conf"
        config.write_text(OPENSMTPD.format(**vars(self)))
        self.run(self.home / "usr" / "sbin" / "smtpd", "-d", "-f", "/etc/bench/smtpd.conf")


class Haraka(Peer):
    """Node.js, two workers. Keeps nothing: a message is discarded, or passed on before it says 250; no file, no sync."""

    name, words = "haraka", "Haraka"

    def __init__(self, home: Path, base: Path, sink_port: int = 0):
        self.sink_port = sink_port
        self.name += "-relay" if sink_port else ""
        self.program = home / "haraka" / "node_modules" / "Haraka" / "bin" / "haraka"
        self.dir = base / self.name

    def start(self) -> None:
        config = self.dir / "config"
        config.mkdir(parents=True)
        make_certificate(self.dir)
        self.port = free_port()
        # or it makes them beside its work, for a minute
        subprocess.run(["openssl", "dhparam", "-dsaparam", "-out", config / "dhparams.pem", "2048"], check=True, capture_output=True)
        shutil.copy(self.dir / "key.pem", config / "tls_key.pem")
        shutil.copy(self.dir / "certificate.pem", config / "tls_cert.pem")
        queue = "queue/smtp_forward" if self.sink_port else "queue/discard"
        for file, text in {
                "smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=2\n",
                "plugins": f"tls\nauth/flat_file\n{queue}\n",
                "me": "bench.example\n",
                "connection.ini": "[main]\n[haproxy]\n[headers]\n[max]\nbytes=0\n[message]\n[uuid]\n",
                "log.ini": "level=INFO\n",
                "tls.ini": "key=tls_key.pem\ncert=tls_cert.pem\n",
                "auth_flat_file.ini": f"[core]\nmethods=PLAIN\n[users]\n{USER}={PASSWORD}\n",
                "smtp_forward.ini": f"host=127.0.0.1\nport={self.sink_port}\nenable_outbound=true\nmax_connections=64\n",
        }.items():
            (config / file).write_text(text)
        with (self.dir / "stderr").open("wb") as log:
            self.process = subprocess.Popen(["node", self.program, "-c", self.dir], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or answers(self.port), f"the start of {self.name}")
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} did not start: {self.last_words()}")


PEERS = {"exim": Exim, "opensmtpd": OpenSmtpd, "haraka": Haraka}
# where bench/install-peers puts what has no folder of its own in the class
FOLDERS = {"exim": Exim.folder, "opensmtpd": OpenSmtpd.folder, "haraka": "haraka"}


def leave_out(name: str, why: str) -> None:
    print(f"bench: {PEERS[name].words} is left out: {why}", file=sys.stderr)


def install(home: Path, wanted: list[str]) -> list[str]:
    """The ones among `wanted` that are there now."""
    if wanted:
        subprocess.run([Path(__file__).resolve().parent / "install-peers", home], check=True, stdout=sys.stderr)
    there = [name for name in wanted if (home / FOLDERS[name]).is_dir()]
    for name in set(wanted) - set(there):
        leave_out(name, "bench/install-peers could not fetch it")
    return there


def start(stack, name: str, home: Path, base: Path, sinks: dict[str, int], works) -> list[Server]:
    """The one that keeps or discards and the one that relays, on `stack`; none when `works` says no of either."""
    started = []
    try:
        for sink in (sinks[name] if name == "opensmtpd" else 0, sinks[f"{name}-relay"]):
            server = PEERS[name](home, base, sink)
            server.name = f"{name}-relay" if started else name
            server.dir = base / server.name
            started.append(stack.enter_context(server))
            if not works(server):
                leave_out(name, "it does not get through one session; what it says is in its log:\n" + server.last_words())
                return []
    except (RuntimeError, SystemExit) as failure:
        leave_out(name, str(failure))
        return []
    return started
