# SPDX-License-Identifier: Apache-2.0
"""Clients that mean harm, or are broken: what looks like an end of data, split at every byte; chunks of odd
sizes; commands in odd places; text without end; lines cut off in every state. After each, the common oracle
(tests/support/unharmed.py): it lives, holds no more than before, and exactly the expected mail exists."""

import base64
import contextlib
import itertools
import socket
import ssl
import struct

import pytest
from gatepost import Daemon, Sink, Talk
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, RELAY_FROM_LOOPBACK, STATIC_USERS, policy, smart_host
from unharmed import Unharmed

LISTENER = RELAY_FROM_LOOPBACK + ", max_message_size = 1000000, auth_failure_delay = '0s', junk_command_limit = 1000"
LOOK_ALIKES = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\x00.\r\n", b"\r\r\n.\r\r\n",
               b"\r\n.\x00\r\n", b"\r\n.\r\r\n", b"\r\n..\r\n", b"\r\n. \r\n", b"\x0b.\x0b", b"\xe2\x80\xa8.\xe2\x80\xa8"]
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<v@x.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"


@pytest.fixture(scope="module")
def relay():
    with Sink() as sink:
        road = smart_host(sink.port, path="idle_timeout = '200ms'")
        with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, road, listener=LISTENER)) as daemon:
            daemon.sink = sink
            with Talk(daemon.port) as client:  # so that what the first message opens for good is open
                client.expect("EHLO me", "250")
                assert client.mail("first@b.example", ["c@d.example"], MESSAGE).startswith("250")
            sink.wait()
            yield daemon


@pytest.fixture(autouse=True)
def unharmed(relay):
    with Unharmed(relay):
        yield


@pytest.fixture
def client(relay):
    with Talk(relay.port) as made:
        made.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.expect("EHLO me", "250")
        yield made


def start(client: Talk) -> None:
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect("RCPT TO:<c@d.example>", "250")


def smuggle(client: Talk, fake: bytes, cut: int) -> int:
    """How many messages came of it."""
    wire = b"Subject: outer\r\n\r\ntext" + fake + SMUGGLED + b"\r\n.\r\n"
    start(client)
    client.expect("DATA", "354")
    client.send(wire[:cut])
    client.send(wire[cut:])
    reply = client.read_reply()
    assert reply[:3] in ("250", "552", "554", "550"), reply
    client.expect("RCPT TO:<late@d.example>", "503")
    client.expect("RSET", "250")
    return reply.startswith("250")


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("fake", LOOK_ALIKES)
def test_no_look_alike_ends_data_wherever_it_is_split(relay, client, fake, secure):
    if secure:
        client.starttls()
        client.expect("EHLO me", "250")
    before = len(relay.sink.messages)
    at = len(b"Subject: outer\r\n\r\ntext")
    told = sum(smuggle(client, fake, cut) for cut in range(at - 1, at + len(fake) + 2))
    assert client.mail("marker@b.example", ["m@d.example"], MESSAGE).startswith("250")
    messages = relay.sink.wait(before + told + 1)[before:]
    assert len(messages) == told + 1
    assert "evil@x.example" not in {message.sender for message in messages}


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT ", b"BDAT 0x5", b"BDAT +5", b"BDAT 5.0", b"BDAT 5e0", b"BDAT 18446744073709551616", b"BDAT LAST",
                                  b"BDAT 5 LAST LAST", b"BDAT 5 LAST x", "BDAT \u0665".encode(), b"BDAT\t5", b"bdat\x005", b"BDAT 5\n", b"BDAT\r 5",
                                  b"BDAT 5" + b" " * 5000])
def test_a_chunk_whose_size_is_no_number_ends_the_session(client, line):
    """What follows is perhaps its chunk, and not read as commands."""
    start(client)
    client.send(line + b"\r\nhello\r\nMAIL FROM:<evil@x.example>\r\n")
    with contextlib.suppress(ConnectionError):
        assert client.read_reply().startswith("501 5.5.4")
    assert client.closed()
    assert client.buffer == b""


def test_a_chunk_of_a_size_without_sense_is_not_waited_for_without_end():
    with Daemon(policy(listener=RELAY_FROM_LOOPBACK + ", client_timeout = '200ms'")) as daemon, Talk(daemon.port) as client:
        client.send(b"EHLO me\r\nBDAT 9223372036854775807\r\nhello\r\nMAIL FROM:<evil@x.example>\r\n")
        assert client.last_line().startswith("421 4.4.2")
        assert b"250 2.1.0" not in client.buffer


def chunk(client: Talk, data: bytes, last: str = "") -> str:
    client.send(f"BDAT {len(data)}{last}\r\n".encode() + data)
    return client.read_reply()


def test_chunks_of_odd_sizes(relay, client):
    before = len(relay.sink.messages)
    start(client)
    for byte in MESSAGE:
        assert chunk(client, bytes([byte])).startswith("250")
    assert chunk(client, b"").startswith("250")
    assert chunk(client, b"", " LAST").startswith("250 OK ids=")
    client.expect("RCPT TO:<late@d.example>", "503")
    start(client)
    empty = chunk(client, b"", " LAST")[:3]  # a message of nothing at all
    assert empty in ("250", "550", "554")
    client.expect("RCPT TO:<late@d.example>", "503")
    start(client)
    assert chunk(client, MESSAGE, " last").startswith("250")
    assert relay.sink.wait(before + 2 + (empty == "250"))


def test_after_a_refused_chunk_nothing_is_left_of_it(relay, client):
    before = len(relay.sink.messages)
    start(client)
    assert chunk(client, b"x" * 2000000).startswith("552")
    # those that follow at once are swallowed, and not read as commands
    assert chunk(client, b"QUIT\r\n").startswith("503")
    assert chunk(client, b"QUIT\r\n", " LAST").startswith("503")
    start(client)
    client.send(b"BDAT 6\r\nQUIT\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
    assert [client.read_reply()[:3] for _ in range(4)] == ["250", "250", "503", "250"]
    assert client.mail("marker@b.example", ["m@d.example"], MESSAGE).startswith("250")
    assert [message.sender for message in relay.sink.wait(before + 1)[before:]] == ["marker@b.example"]


def test_chunks_after_data_that_failed(relay, client):
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect("DATA", "554 5.5.1")
    assert chunk(client, b"QUIT\r\n", " LAST")[:1] == "5"
    client.expect("RSET", "250")
    start(client)
    client.expect("DATA", "354")
    client.send(b"BDAT 5 LAST\r\nhello\r\nRSET\r\nQUIT\r\n.\r\n")  # text, all of it
    assert client.read_reply().startswith("250")
    assert chunk(client, b"QUIT\r\n", " LAST").startswith("503")
    client.expect("NOOP", "250")


@pytest.mark.parametrize("pieces", list(itertools.permutations(["RSET", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>", "NOOP"])))
def test_reset_in_odd_places_of_a_pipeline(client, pieces):
    """A reference of four lines says what each command must be answered."""
    mail, recipients, expected = False, 0, []
    for piece in [*pieces, "DATA"]:
        fine = {"R": True, "M": not mail, "N": True, "D": recipients > 0}[piece[0]] if not piece.startswith("RCPT") else mail
        expected.append("354" if piece == "DATA" and fine else "250" if fine else "554" if piece == "DATA" and mail else "503")
        if piece == "RSET":
            mail, recipients = False, 0
        elif fine and piece.startswith("MAIL"):
            mail = True
        elif fine and piece.startswith("RCPT"):
            recipients += 1
    client.send("".join(f"{piece}\r\n" for piece in [*pieces, "DATA"]))
    assert [client.read_reply()[:3] for _ in expected] == expected
    if expected[-1] == "354":
        client.send(MESSAGE + b".\r\n")
        assert client.read_reply().startswith("250")
    client.expect("NOOP", "250")


def test_ten_thousand_recipients_at_once(relay, client):
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.send(b"".join(b"RCPT TO:<c%d@d.example>\r\n" % number for number in range(10000)))
    codes = [client.read_reply()[:3] for _ in range(10000)]
    assert codes[:1024] == ["250"] * 1024 and set(codes[1024:]) <= {"452", "421"}
    client.expect("RSET", "250")


@pytest.mark.parametrize("line", [b"X-Endless: yes\r\n", b" folded\r\n", b"x" * 998 + b"\r\n", b"x" * 4096, b"\r\n", b"..\r\n"],
                         ids=["headers", "folds", "lines", "one line", "empty lines", "dots"])
def test_a_hundred_megabytes_without_end(relay, client, line):
    start(client)
    client.expect("DATA", "354")
    client.send(b"X-First: x\r\n")
    block = line * (1 << 20 // len(line)) if len(line) > 1 << 19 else line * ((1 << 20) // len(line))
    for _ in range(100):
        client.send(block)
    client.send(b"\r\n.\r\n")
    assert client.read_reply().startswith("552")
    client.expect("RCPT TO:<late@d.example>", "503")


def test_commands_whose_answers_are_never_read(relay):
    """The daemon stops reading when nobody takes its answers: it does not keep them all."""
    with Talk(relay.port) as client:
        client.expect("EHLO me", "250")
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(200):
                client.send(b"NOOP\r\n" * 20000)


TAIL = b"EHLO evil.example\r\nMAIL FROM:<evil@x.example>\r\n"


def hello() -> bytes:
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("length", [*range(1, len(TAIL) + 1, 3), "hello"])
def test_a_tail_of_any_length_behind_starttls(client, length):
    client.send(b"STARTTLS\r\n" + (hello() if length == "hello" else TAIL[:length]))
    assert client.closed()
    assert client.buffer.count(b"\r\n") <= 1 and b"evil" not in client.buffer


@pytest.mark.parametrize("where", ["ehlo", "mail", "rcpt", "data", "header", "body", "dot", "chunk", "half a chunk"])
@pytest.mark.parametrize("how", ["end", "end of sending", "reset", "end without close_notify"])
def test_whoever_goes_away_before_the_end_leaves_no_message(relay, client, where, how):
    before = len(relay.sink.messages)
    if how == "end without close_notify":
        client.starttls()
        client.expect("EHLO me", "250")
    steps = {"ehlo": 0, "mail": 1}.get(where, 2)
    for command in ["MAIL FROM:<gone@b.example>", "RCPT TO:<c@d.example>"][:steps]:
        client.expect(command, "250")
    if where in ("data", "header", "body", "dot"):
        client.expect("DATA", "354")
    client.send({"header": b"Subject: x", "body": MESSAGE, "dot": MESSAGE + b"\r\n.", "chunk": b"BDAT 5\r\nhello",
                 "half a chunk": b"BDAT 500 LAST\r\nhello"}.get(where, b""))
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "end of sending":
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed()
    client.close()
    with Talk(relay.port) as other:
        other.expect("EHLO me", "250")
        assert other.mail("marker@b.example", ["m@d.example"], MESSAGE).startswith("250")
    assert "gone@b.example" not in {message.sender for message in relay.sink.wait(before + 1)[before:]}


@pytest.mark.parametrize("name", [b"[127.0.0.1]", b"[IPv6:::1]", b"[IPv6:::ffff:127.0.0.1]", b"[tag:content]", b"-", b"_x_", b"a..b",
                                  b"a.", b"x" * 255, b"x" * 1000, b"a(b)", b"a;b", b'"a"', b"<a>", b"a\tb", b"a\x7fb", b"%n%s", b"a@b",
                                  b"[", b"]", b"[]", b"[IPv6:]", b"me ", b" me", b"me\x0b", b"=?utf-8?q?x?="])
def test_whatever_a_client_calls_itself_stays_in_its_line(relay, name):
    before = len(relay.sink.messages)
    with Talk(relay.port) as client:
        if not client.ask(b"EHLO " + name).startswith("250"):
            client.expect("NOOP", "250")
            return
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
    message = relay.sink.wait(before + 1)[before]
    ours = message.data.split(b"\r\nFrom:")[0].split(b"\r\n")
    assert all(line.startswith((b"X-KumoRef: ", b"Received: from ", b" ", b"\t")) for line in ours), ours
    assert sum(line.startswith(b"Received:") for line in ours) == 1


@pytest.mark.parametrize("command", ["VRFY", "VRFY <a@b.example>", "VRFY " + "x" * 500, "EXPN", "EXPN list", "HELP", "HELP MAIL", "TURN",
                                     "ETRN x", "SEND FROM:<a@b.example>", "SOML", "SAML", "NOOP " + "y" * 900, "QUIT now", "DATA x",
                                     "RSET x", "STARTTLS x", "MAIL", "RCPT", "MAIL FROM:", "MAIL FROM:<a@b.example>x", "MAIL FROM:<a@b.example>  SIZE=1",
                                     "MAIL FROM:<a@b.example> SIZE=-1", "MAIL FROM:<a@b.example> SIZE=99999999999999999999", "MAIL FROM:<a@b.example> SIZE=",
                                     "MAIL FROM:<a@b.example> SIZE=1 SIZE=2", "MAIL FROM:<a@b.example> BODY=", "MAIL FROM:<a@b.example> AUTH=<>",
                                     "MAIL FROM:<a@b.example> AUTH=+G0", "MAIL FROM:<a@b.example> RET=HDRS ENVID=" + "x" * 500,
                                     "MAIL FROM:<a@b.example> " + " ".join(f"X{number}=1" for number in range(150))])
def test_odd_commands_are_answered_once_and_change_nothing(client, command):
    reply = client.ask(command)
    assert reply[:1] in "25", reply
    assert reply.startswith("221") or client.ask("NOOP").startswith("250")
    if not reply.startswith("221"):
        client.ask("RSET")
        client.expect("RCPT TO:<c@d.example>", "503")


GOOD = base64.b64encode(b"\0scott\0tiger").decode()


@pytest.mark.parametrize("arguments", ["", " ", "PLAIN", "PLAIN " + GOOD + " x", "PLAIN =" + GOOD,
                                       "PLAIN " + GOOD + "=", "PLAIN " + GOOD[:-1], "PLAIN *", "PLAIN ==", "PLAIN\t" + GOOD, "LOGIN = =",
                                       "PLAIN " + "A" * 12000, "SCRAM-SHA-256 " + base64.b64encode(b"n,,n=,r=").decode(),
                                       "SCRAM-SHA-256 " + base64.b64encode(b"p=tls-unique,,n=scott,r=x").decode(), "EXTERNAL =", "XOAUTH2 =",
                                       "OAUTHBEARER " + base64.b64encode(b"n,,\x01\x01").decode(), "CRAM-MD5", "-", "PLAIN,LOGIN", "\u00e9"])
def test_odd_logins_are_refused_or_cancelled_and_the_next_works(client, arguments):
    client.starttls()
    client.expect("EHLO me", "250")
    reply = client.ask(f"AUTH {arguments}".rstrip("\n").encode())
    if reply.startswith("334"):
        reply = client.ask("*")
    assert reply[:1] == "5", reply
    client.expect(f"AUTH PLAIN {GOOD}", "235")
