# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: the daemon under test, a scriptable sink, a raw client.

Every wait is for an event (a line on stderr, a message at the sink, a reply) with a deadline
that only a hang can reach; what tells nobody is asked for again by `until`, and by nothing else.
"""

import atexit
import contextlib
import functools
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from changes import Changes

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("GATEPOST_BUILD", ROOT / "build"))
DEADLINE = float(os.environ.get("GATEPOST_TEST_DEADLINE", "60"))
SERVICE_USER = "nobody"


_made: set[Path] = set()


@atexit.register
def _remove_what_was_made() -> None:
    for path in _made:
        shutil.rmtree(path, ignore_errors=True)


def make_dir() -> Path:
    """A fresh folder that the daemon's user may write. It goes with this process, if the caller does not remove it before."""
    path = Path(tempfile.mkdtemp(prefix="gatepost-test-"))
    _made.add(path)
    if os.geteuid() == 0:
        account = pwd.getpwnam(SERVICE_USER)
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def keep(path: Path) -> None:
    """Of make_dir(), for somebody to look into."""
    _made.discard(path)


def give(path: Path) -> Path:
    """Makes a file or folder the daemon user's own."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(SERVICE_USER)
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


@functools.cache
def lua_folder() -> Path:
    """The Lua helpers where the daemon's user can read them: it may not be able to reach this tree."""
    if os.geteuid() != 0:
        return ROOT / "lua"
    folder = Path(tempfile.mkdtemp(prefix="gatepost-lua-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(ROOT / "lua", folder / "lua")
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder / "lua"


def until(reached, what=lambda: "it never came to that", seconds: float = DEADLINE, every: float = 0.02):
    """Asks again until the answer is true, and gives it back: only for what nothing tells."""
    deadline = time.monotonic() + seconds
    while not (answer := reached()):
        assert time.monotonic() < deadline, what()
        time.sleep(every)
    return answer


class Lines:
    """The lines a process wrote, with waiting for one that matches."""

    def __init__(self, stream):
        self.lines: list[str] = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for raw in stream:
            with self.changed:
                self.lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, pattern: str):
        return [found for line in self.lines if (found := re.search(pattern, line))]

    def wait(self, pattern: str, count: int = 1):
        """The count-th match of the pattern over all lines so far and to come."""
        deadline = time.monotonic() + DEADLINE
        with self.changed:
            while len(found := self.find(pattern)) < count:
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError(f"no line matches {pattern!r}; the output was:\n" + "\n".join(self.lines))
                self.changed.wait(left)
            return found[count - 1]

    def text(self) -> str:
        with self.changed:
            return "\n".join(self.lines)


class Daemon:
    """gatepostd with a policy; `dir` is its working folder (spool, logs, data files)."""

    def __init__(self, policy: str, *, directory: Path | None = None, env: dict | None = None, args=(), files=None):
        self.dir = directory or make_dir()
        self.owns_dir = directory is None
        for name, text in (files or {}).items():
            give(self._write(name, text))
        self.policy = self._write("policy.lua", policy.replace("@DIR@", str(self.dir)))
        give(self.policy)
        self.env = {**os.environ, "GATEPOST_LUA_PATH": str(lua_folder() / "?.lua"), **(env or {})}
        self.args = list(args)
        self.process = None
        self.err = None

    def _write(self, name: str, text: str) -> Path:
        path = self.dir / name
        path.write_text(text.replace("@DIR@", str(self.dir)))
        return path

    def replace(self, name: str, text: str) -> None:
        """As an editor does it: whoever looks at the file, at whatever moment, finds a whole one."""
        give(self._write(f"{name}.new", text)).rename(self.dir / name)

    def command(self, *extra) -> list[str]:
        user = ["--user", SERVICE_USER] if os.geteuid() == 0 else []
        return [str(BUILD / "src" / "gatepostd"), "--policy", str(self.policy), *user, *self.args, *extra]

    def start(self) -> "Daemon":
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        stdin=subprocess.DEVNULL, env=self.env, cwd=self.dir)
        self.err = Lines(self.process.stderr)
        self.err.wait("initialization complete")
        return self

    def run_to_end(self, *extra) -> subprocess.CompletedProcess:
        """For --validate and starts that must fail."""
        return subprocess.run(self.command(*extra), capture_output=True, text=True, env=self.env, cwd=self.dir,
                              timeout=DEADLINE, check=False)

    def smtp_ports(self) -> list[int]:
        return [int(found.group(1)) for found in self.err.find(r"smtp listener on \S+?:(\d+)(?:$|\")")]

    @property
    def port(self) -> int:
        return self.smtp_ports()[0]

    @property
    def http(self) -> str:
        return "http://" + self.err.wait(r"http listener on (\S+:\d+)$").group(1)

    def stop(self) -> None:
        """SIGTERM; the daemon must end by itself with exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE)
        self.err.thread.join(DEADLINE)
        assert code == 0, f"exit code {code}:\n{self.err.text()}"
        self.check_sanitizers()

    def reload(self) -> None:
        """What begins after it goes by the new policy, files and certificates, if they are good."""
        before = len(self.err.find("reloading: policy"))
        self.process.send_signal(signal.SIGHUP)
        self.err.wait("reloading: policy", before + 1)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE)
        self.err.thread.join(DEADLINE)

    def check_sanitizers(self) -> None:
        text = self.err.text()
        for sign in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "ThreadSanitizer", "MUST("):
            assert sign not in text, text

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, value, trace):
        try:
            if self.process and self.process.poll() is None:
                if kind is None:
                    self.stop()
                else:
                    self.kill()
                    print(self.err.text())
        finally:
            if self.owns_dir:
                shutil.rmtree(self.dir, ignore_errors=True)

    def records(self, folder: str = "logs") -> list[dict]:
        """Every disposition record on disk now."""
        import json

        records = []
        for segment in sorted((self.dir / folder).glob("*")):
            if segment.name.startswith(".") or not segment.is_file():
                continue
            # zstd reports the open end of a segment still being written; what came out is whole lines
            text = subprocess.run(["zstd", "-dcq", "--", str(segment)], capture_output=True, check=False).stdout
            for line in text.splitlines():
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
        return records

    def wait_records(self, wanted, folder: str = "logs", count: int = 1) -> list[dict]:
        """Until `count` records match; then all that do."""
        deadline = time.monotonic() + DEADLINE
        with Changes(self.dir / folder) as changes:
            while len(found := [record for record in self.records(folder) if wanted(record)]) < count:
                assert changes.wait(deadline - time.monotonic()), f"records so far: {self.records(folder)}\n{self.err.text()}"
            return found


class SinkMessage:
    def __init__(self, sender, recipients, data, session):
        self.sender, self.recipients, self.data, self.session = sender, recipients, data, session

    def __repr__(self):
        return f"<{self.sender} -> {self.recipients}: {len(self.data)} bytes>"


class Sink:
    """An SMTP server that keeps what it is given.

    `reply(verb, argument, session)` may return a reply line to give instead of the usual one,
    or None; returning "" closes the connection.
    """

    def __init__(self, reply=None, extensions=("PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 0"), address="127.0.0.1",
                 tls: ssl.SSLContext | None = None, port: int = 0):
        self.reply = reply or (lambda verb, argument, session: None)
        self.extensions = list(extensions)
        self.tls = tls
        self.messages: list[SinkMessage] = []
        self.sessions = 0
        self.changed = threading.Condition()
        self.server = socket.create_server((address, port), backlog=512)
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with self.changed:
                self.sessions += 1
                number = self.sessions
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, ssl.SSLError), connection:
            self._talk(connection, number)

    def _talk(self, connection, number):
        stream = connection.makefile("rwb")
        secure = False

        def say(text):
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        say(self.reply("CONNECT", "", number) or "220 sink.example ESMTP")
        sender, recipients = None, []
        while line := stream.readline():
            verb, _, argument = line.decode("utf-8", "replace").rstrip("\r\n").partition(" ")
            verb = verb.upper()
            special = self.reply(verb, argument, number)
            if special == "":
                return
            if special is not None:
                say(special)
                if verb == "MAIL" and not special.startswith("2"):
                    sender, recipients = None, []
                if not special.startswith(("2", "3")):
                    continue
            if verb == "EHLO" and special is None:
                offered = ["sink.example", *self.extensions, *(["STARTTLS"] if self.tls and not secure else [])]
                for index, word in enumerate(offered):
                    say(("250 " if index == len(offered) - 1 else "250-") + word)
            elif verb == "HELO" and special is None:
                say("250 sink.example")
            elif verb == "STARTTLS" and self.tls:
                say("220 go")
                connection = self.tls.wrap_socket(connection, server_side=True)
                stream = connection.makefile("rwb")
                secure = True
            elif verb == "MAIL":
                sender, recipients = argument[5:].split()[0].strip("<>"), []
                special is None and say("250 2.1.0 ok")
            elif verb == "RCPT":
                recipients.append(argument[3:].split()[0].strip("<>"))
                special is None and say("250 2.1.5 ok")
            elif verb == "DATA" and special is None and (sender is None or not recipients):
                say("503 5.5.1 nothing to send")
            elif verb == "DATA":
                special is None and say("354 go")
                data = bytearray()
                while (line := stream.readline()) not in (b".\r\n", b""):
                    data += line[1:] if line.startswith(b".") else line
                if line == b"":
                    return
                final = self.reply("EOM", bytes(data), number)
                if final == "":
                    return
                if final is None or final.startswith("2"):
                    with self.changed:
                        self.messages.append(SinkMessage(sender, recipients, bytes(data), number))
                        self.changed.notify_all()
                say(final or "250 2.0.0 taken")
                sender, recipients = None, []
            elif verb in ("RSET", "NOOP"):
                special is None and say("250 2.0.0 ok")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            elif special is None:
                say("502 5.5.1 what?")

    def wait(self, count: int = 1) -> list[SinkMessage]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= count, DEADLINE), self.messages
            return list(self.messages)

    def wait_for(self, names: set[str]) -> None:
        """Until a message from each of these (the local parts of senders) has come; however many, as long as it goes on."""
        missing, seen = set(names), 0
        with self.changed:
            while True:
                missing -= {message.sender.split("@")[0] for message in self.messages[seen:]}
                seen = len(self.messages)
                if not missing:
                    return
                assert self.changed.wait_for(lambda: len(self.messages) > seen, DEADLINE), f"still to come: {sorted(missing)}"

    def close(self):
        # wakes the thread in accept(): left there, it might go on with whatever gets the same number next
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def insecure_context() -> ssl.SSLContext:
    """For the daemon's self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Talk:
    """A raw SMTP client: what is sent is exactly what the test says."""

    def __init__(self, port: int, address: str = "127.0.0.1", source: str | None = None, banner: bool = True):
        self.socket = socket.create_connection((address, port), DEADLINE,
                                               source_address=(source, 0) if source else None)
        self.buffer = b""
        self.banner = self.read_reply() if banner else None

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def line(self, text: str | bytes) -> None:
        self.send((text.encode() if isinstance(text, str) else text) + b"\r\n")

    def read_line(self) -> bytes:
        while b"\n" not in self.buffer:
            chunk = self.socket.recv(65536)
            if not chunk:
                raise EOFError(f"connection closed; unread: {self.buffer!r}")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\n")
        assert line.endswith(b"\r"), f"a reply line without CR: {line!r}"
        return line[:-1]

    def read_reply(self) -> str:
        """A whole reply, its lines joined with newlines, codes included."""
        lines = [self.read_line().decode("utf-8", "replace")]
        while lines[-1][3:4] == "-":
            lines.append(self.read_line().decode("utf-8", "replace"))
        return "\n".join(lines)

    def ask(self, text: str | bytes) -> str:
        self.line(text)
        return self.read_reply()

    def expect(self, text: str | bytes, code: str) -> str:
        reply = self.ask(text)
        assert reply.startswith(code), f"{text!r} was answered {reply!r}, not {code}"
        return reply

    def starttls(self, name: str = "localhost", context: ssl.SSLContext | None = None) -> None:
        self.expect("STARTTLS", "220")
        self.wrap(name, context)

    def wrap(self, name: str = "localhost", context: ssl.SSLContext | None = None) -> None:
        self.socket = (context or insecure_context()).wrap_socket(self.socket, server_hostname=name)

    def login(self, user: str, password: str, authz: str = "", ehlo: str = "client.example") -> str:
        """STARTTLS, EHLO and AUTH PLAIN; the reply to AUTH."""
        import base64

        self.expect(f"EHLO {ehlo}", "250")
        self.starttls()
        self.expect(f"EHLO {ehlo}", "250")
        token = base64.b64encode(f"{authz}\0{user}\0{password}".encode()).decode()
        return self.ask(f"AUTH PLAIN {token}")

    def mail(self, sender: str, recipients: list[str], data: bytes) -> str:
        """One transaction; the last reply, or the first that refuses."""
        for command in [f"MAIL FROM:<{sender}>", *[f"RCPT TO:<{to}>" for to in recipients]]:
            reply = self.ask(command)
            if not reply.startswith("2"):
                return reply
        reply = self.ask("DATA")
        if not reply.startswith("354"):
            return reply
        self.send(re.sub(rb"(?m)^\.", b"..", data) + b"\r\n.\r\n")
        return self.read_reply()

    def closed(self) -> bool:
        """True once the server has closed; waits for it."""
        try:
            while chunk := self.socket.recv(65536):
                self.buffer += chunk
        except (ConnectionError, ssl.SSLError):
            pass
        return True

    def last_line(self) -> str:
        """What the server said last, once it has closed."""
        self.closed()
        return self.buffer.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r\n")[2]

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
