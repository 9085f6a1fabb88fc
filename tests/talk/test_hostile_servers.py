# SPDX-License-Identifier: Apache-2.0
"""Next servers that never end, never answer, answer too much or too early, or go away at any word. The mail
waits, or is refused where the server said so, and arrives once the server behaves; the daemon is as
small afterwards as before (tests/support/unharmed.py)."""

import contextlib
import itertools
import socket
import struct
import threading

import pytest
from gatepost import DEADLINE, Daemon, Talk
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host
from unharmed import Unharmed

TIMEOUTS = ", ".join(f"{name}_timeout = '1s'" for name in (
    "connect", "banner", "ehlo", "starttls", "auth", "mail_from", "rcpt_to", "data", "data_dot", "rset", "idle"))
QUEUE = "retry_interval = '1s', max_retry_interval = '1s'"
PATH = TIMEOUTS + ", max_deliveries_per_connection = 1, connection_limit = 64"
LINE = b"x" * 900 + b"\r\n"
NUMBERS = itertools.count()
VERBS = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"]
MOST = 4 << 20  # bytes that an endless server says to one connection


class Gone(Exception):
    """A conversation is over."""


class Server:
    """Speaks to the next connections as the functions in `talks` do, and after that as a good server does."""

    def __init__(self):
        self.talks = []
        self.messages: list[bytes] = []
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(DEADLINE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            talk = self.talks.pop() if self.talks else self.good
        with contextlib.suppress(OSError, Gone), connection:
            talk(Peer(connection))

    def good(self, peer: "Peer", before: dict[str, bytes] | None = None) -> None:
        """Answers as it should; but what `before` has for a verb is sent instead."""
        before, taken = before or {}, None
        peer.send(before.get("CONNECT", b"220 hostile.example\r\n"))
        for verb in peer.verbs():
            if verb == "DATA" and verb not in before:
                peer.send(b"354 go\r\n")
                data = peer.data()
                peer.send(before.get("DOT", b"250 taken\r\n"))
                if "DOT" not in before and data:  # without any: whoever pipelines ends so what it can not call off
                    taken = data.partition(b"\r\nbody\r\n")[2]
                continue
            if taken is not None:  # and it was heard: on a busy machine a yes may come too late
                with self.changed:
                    self.messages.append(taken)
                    self.changed.notify_all()
                taken = None
            peer.send(before.get(verb, {"EHLO": b"250-hostile.example\r\n250 PIPELINING\r\n", "QUIT": b"221 bye\r\n"}.get(
                verb, b"250 ok\r\n")))
            if verb == "QUIT":
                return

    def wait(self, bodies: set[bytes]) -> list[bytes]:
        """Until all of these have come; all that came."""
        with self.changed:
            assert self.changed.wait_for(lambda: bodies <= set(self.messages), DEADLINE), \
                f"still to come: {[body[:40] for body in bodies - set(self.messages)]}"
            return list(self.messages)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(DEADLINE)
        self.listener.close()


class Peer:
    """The other end of one connection."""

    def __init__(self, connection):
        self.connection, self.stream = connection, connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def verbs(self):
        while line := self.stream.readline():
            yield line.split()[0].decode("ascii", "replace").upper() if line.strip() else ""

    def data(self) -> bytes:
        lines = []
        while (line := self.stream.readline()) not in (b".\r\n", b""):
            lines.append(line)
        if line == b"":
            raise Gone
        return b"".join(lines)

    def endless(self, piece: bytes) -> None:
        """Until the daemon has had enough of it."""
        for _ in range(MOST // len(piece)):
            self.send(piece)
        self.silence()

    def silence(self) -> None:
        while self.connection.recv(65536):
            pass

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.close()
        self.connection.close()
        raise Gone


@pytest.fixture(scope="module")
def relay():
    server = Server()
    with Daemon(policy(smart_host(server.port, path=PATH, queue=QUEUE), listener=RELAY_FROM_LOOPBACK)) as daemon:
        daemon.server = server
        submit(daemon, b"first")
        server.wait({b"first\r\n"})
        yield daemon
    server.close()


def submit(daemon: Daemon, body: bytes) -> None:
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE + body).startswith("250")


def all_arrive(relay: Daemon, talks: list, body: bytes = b"", may_come_twice: bool = False) -> None:
    """One message for each of the talks: each meets one of them, and arrives after that."""
    server, names = relay.server, [b"%d" % next(NUMBERS) for _ in talks]
    with Unharmed(relay):
        server.talks = list(reversed(talks))
        for name in names:
            submit(relay, name + b"\r\n" + body)
        messages = server.wait({name + b"\r\n" + body + b"\r\n" for name in names})
        assert not server.talks
    assert may_come_twice or all(sum(got.startswith(name + b"\r\n") for got in messages) == 1 for name in names)


def saying(relay: Daemon, verb: str, words: bytes):
    return lambda peer: relay.server.good(peer, {verb: words})


def test_a_banner_without_end(relay):
    pieces = [b"2", b"220-x\r\n", b"220-" + b"x" * 500 + b"\r\n", b"\r\n", b"\0" * 1000, b"220 x\r", b"x" * 65536]
    all_arrive(relay, [lambda peer, piece=piece: peer.endless(piece) for piece in pieces])


def test_an_answer_without_end(relay):
    def talk(verb, piece):
        def speak(peer):
            relay.server.good(peer, {verb: piece * (MOST // len(piece))})
            peer.silence()
        return speak

    all_arrive(relay, [talk(verb, piece) for verb in VERBS for piece in (b"250-x\r\n", b"9" * 4096)])


class Slow(Peer):
    def send(self, data):
        for byte in data:
            self.connection.sendall(bytes([byte]))


def test_answers_in_pieces_of_one_byte(relay):
    all_arrive(relay, [lambda peer: relay.server.good(Slow(peer.connection))] * 2)


GARBAGE = [b"421 4.3.2 going away\r\n", b"999 what\r\n", b"25\r\n", b"abc\r\n", b"\r\n", b"250\0ok\r\n", b"250-a\r\n550 b\r\n", b"250+ok\r\n",
           b"199 hm\r\n", b"2500 ok\r\n", b"-250 ok\r\n", b"250-\r\n250-\r\n\r\n", b"\xff\xff\xff\xff\r\n", b"450 4.2.0 not now\r\n",
           b"334 dXNlcg==\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"250", b"250 ok\n", b"250 ok\n354 go\r\n250 2.0.0 taken\r\n"]


@pytest.mark.parametrize("verb", VERBS)
def test_nonsense_is_never_taken_for_yes(relay, verb):
    # the former is a yes, ended oddly; behind the latter the text is sent, and its end may find a 250
    said = [garbage for garbage in GARBAGE if (verb, garbage) not in (("DOT", b"250 ok\n"), ("DATA", b"334 dXNlcg==\r\n"))]
    all_arrive(relay, [saying(relay, verb, garbage) for garbage in said])


def leaving(relay: Daemon, verb: str, how: str):
    class Leaving(dict):
        """Looked into where the server is about to answer `verb`."""

        def get(self, key, default=None):
            if key == verb:
                {"silence": self.peer.silence, "reset": self.peer.reset, "end": lambda: None}[how]()
                raise Gone
            return default

    def talk(peer):
        words = Leaving({verb: b""})
        words.peer = peer
        relay.server.good(peer, words)

    return talk


@pytest.mark.parametrize("how", ["silence", "reset", "end"])
def test_a_server_that_is_gone_at_any_word(relay, how):
    all_arrive(relay, [leaving(relay, verb, how) for verb in VERBS])


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT"])
def test_more_than_was_asked_is_not_taken_for_the_next_answer(relay, verb):
    usual = {"CONNECT": b"220 x\r\n", "EHLO": b"250 x\r\n"}.get(verb, b"250 ok\r\n")
    # the surplus may be found only when the message was sent
    extras = [b"250 ok\r\n", b"250 ok\r\n" * 20, b"450 no\r\n", b"354 go\r\n"]
    all_arrive(relay, [saying(relay, verb, usual + extra) for extra in extras], may_come_twice=True)


def test_yes_to_a_message_that_was_not_yet_sent_counts_for_nothing(relay):
    """The end of the data has not been said when the 250 comes."""
    all_arrive(relay, [saying(relay, "DATA", b"354 go\r\n250 2.0.0 taken\r\n")], body=LINE * 5000)


def test_a_server_that_stops_reading_in_the_middle(relay):
    gone = threading.Event()

    def talk(peer):
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.send(b"220 x\r\n")
        for verb in peer.verbs():
            peer.send(b"354 go\r\n" if verb == "DATA" else b"250 ok\r\n")
            if verb == "DATA":
                gone.wait(DEADLINE)
                raise Gone

    try:
        all_arrive(relay, [talk], body=LINE * 10000)
    finally:
        gone.set()
