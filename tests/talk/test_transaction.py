# SPDX-License-Identifier: Apache-2.0
"""MAIL, RCPT, DATA and BDAT: order, syntax, sizes, the one true end of data, loops, headers that
claim what only we may say."""

import itertools

import pytest
from gatepost import Daemon, Sink, Talk
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host


@pytest.fixture(scope="module")
def relay():
    """A daemon that relays for loopback to a sink of its own."""
    with Sink() as sink, Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        daemon.sink = sink
        yield daemon


@pytest.fixture
def client(relay):
    with Talk(relay.port) as made:
        made.expect("EHLO me", "250")
        yield made


def start(client: Talk) -> None:
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect("RCPT TO:<c@d.example>", "250")


@pytest.mark.parametrize("command, code", [
    ("MAIL FROM:<>", "250"), ("MAIL FROM:<a@b.example> SIZE=1000", "250"), ("mail from:<a@b.example>", "250"),
    ("MAIL FROM: <a@b.example>", "250"), ("MAIL FROM:<@route.example:a@b.example>", "250"),
    ('MAIL FROM:<"a b"@b.example>', "250"), ("MAIL FROM:<a@[192.0.2.1]>", "250"),
    ("MAIL FROM:<a@b.example> BODY=8BITMIME", "250"), ("MAIL FROM:<\u00fc@b.example> SMTPUTF8", "250"),
    ("MAIL FROM:<a@b.example> SIZE=99999999999", "552 5.3.4"), ("MAIL FROM:<a@b.example> SIZE=x", "501"),
    ("MAIL FROM:<a@b.example> XYZZY=1", "555"), ("MAIL FROM:<a@b.example> BODY=9BIT", "501"),
    ("MAIL FROM:<a@b.example", "501"), ("MAIL a@b.example", "501"), ("MAIL FROM:<a@b@c>", "501"),
    ("MAIL FROM:<\u00fc@b.example>", "5"), ("MAIL", "501"), ("MAIL FROM:<" + "a" * 65 + "@b.example>", "501"),
    ("MAIL FROM:<a@" + "b" * 300 + ">", "501"),
])
def test_mail(client, command, code):
    client.expect(command.encode(), code)


@pytest.mark.parametrize("command, code", [
    ("RCPT TO:<c@d.example>", "250"), ("RCPT TO:<>", "501"), ("RCPT TO:<c>", "501"), ("RCPT TO:c@d.example", "501"),
    ("RCPT TO:<c@d.example> XYZZY", "555"), ("RCPT TO:<c@[IPv6:::1]>", "250"), ("RCPT", "501"),
])
def test_rcpt(client, command, code):
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect(command, code)


def test_order(client):
    client.expect("RCPT TO:<c@d.example>", "503")
    client.expect("DATA", "503")
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect("MAIL FROM:<a@b.example>", "503")
    client.expect("DATA", "554 5.5.1")  # RFC 5321, section 3.3: no valid recipients
    client.expect("RSET", "250")
    client.expect("RCPT TO:<c@d.example>", "503")


def test_one_message_for_each_recipient(relay, client):
    before = len(relay.sink.messages)
    reply = client.mail("a@b.example", ["c@d.example", "e@f.example", "g@d.example"], MESSAGE)
    assert reply.startswith("250 OK ids=") and len(reply.split("=")[1].split()) == 3
    messages = relay.sink.wait(before + 3)[before:]
    assert sorted(message.recipients for message in messages) == [["c@d.example"], ["e@f.example"], ["g@d.example"]]


def test_pipelined_transaction(relay, client):
    before = len(relay.sink.messages)
    client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<p@d.example>\r\nDATA\r\n")
    assert [client.read_reply()[:3] for _ in range(3)] == ["250", "250", "354"]
    client.send(MESSAGE + b".\r\nMAIL FROM:<a2@b.example>\r\nRCPT TO:<q@d.example>\r\nDATA\r\n")
    assert [client.read_reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
    client.send(MESSAGE + b".\r\nQUIT\r\n")
    assert [client.read_reply()[:3] for _ in range(2)] == ["250", "221"]
    relay.sink.wait(before + 2)


LOOK_ALIKES = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\x00.\r\n", b"\r\r\n.\r\r\n",
               b"\r\n.\x00\r\n", b"\n\r.\r\n", b"\r\n.\r\r\n", b"\n.\r"]


@pytest.mark.parametrize("fake", LOOK_ALIKES)
def test_one_session_never_becomes_two_messages(relay, client, fake):
    """SMTP smuggling: only CRLF.CRLF ends data; what looks like it makes at most one message."""
    before = len(relay.sink.messages)
    start(client)
    client.expect("DATA", "354")
    smuggled = b"MAIL FROM:<evil@x>\r\nRCPT TO:<v@x>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
    client.send(MESSAGE + b"text" + fake + smuggled + b"\r\n.\r\n")
    reply = client.read_reply()
    assert reply.startswith(("552 5.6.0", "250", "5"))
    client.expect("RCPT TO:<late@d.example>", "503")  # whatever the reply, the transaction is empty
    assert client.mail("marker@b.example", ["m@d.example"], MESSAGE).startswith("250")
    count = 2 if reply.startswith("250") else 1
    messages = relay.sink.wait(before + count)[before:]
    assert len(messages) == count and all(message.sender != "evil@x" for message in messages)


def test_true_end_found_however_split(relay, client):
    body = MESSAGE + b"..\r\n...dots\r\nend"
    wire = body.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n"
    cuts = itertools.chain(range(len(wire) - 7, len(wire)), range(len(MESSAGE) - 3, len(MESSAGE) + 8))
    for cut in cuts:
        before = len(relay.sink.messages)
        start(client)
        client.expect("DATA", "354")
        client.send(wire[:cut])
        client.send(wire[cut:])
        assert client.read_reply().startswith("250")
        message = relay.sink.wait(before + 1)[before]
        assert message.data.endswith(body[body.index(b"From:"):] + b"\r\n")


@pytest.mark.parametrize("mode, code", [("Deny", "552"), ("Allow", "250"), ("Fix", "250")])
def test_bare_line_ends(mode, code):
    listener = RELAY_FROM_LOOPBACK + f", invalid_line_endings = '{mode}'"
    with Sink() as sink, Daemon(policy(smart_host(sink.port), listener=listener)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        reply = client.mail("a@b.example", ["c@d.example"], MESSAGE + b"one\ntwo\rthree")
        assert reply.startswith(code)
        if code == "250":
            [message] = sink.wait()
            if mode == "Fix":
                assert b"one\r\ntwo\r\nthree" in message.data


def test_too_big():
    listener = RELAY_FROM_LOOPBACK + ", max_message_size = 5000"
    with Daemon(policy(listener=listener)) as daemon, Talk(daemon.port) as client:
        assert "SIZE 5000" in client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE + b"x" * 60 + b"\r\n").startswith("250")
        reply = client.mail("a@b.example", ["c@d.example"], MESSAGE + (b"x" * 70 + b"\r\n") * 200)
        assert reply.startswith("552 5.3.4")
        client.expect("RCPT TO:<c@d.example>", "503")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")


def test_long_lines(relay, client):
    reply = client.mail("a@b.example", ["c@d.example"], MESSAGE + b"x" * 5000)
    assert reply.startswith("5")
    client.expect("NOOP", "250")


def test_8_bit_and_nul_in_the_body(relay, client):
    before = len(relay.sink.messages)
    body = MESSAGE + "gr\u00fc\u00dfe".encode()
    assert client.mail("a@b.example", ["c@d.example"], body).startswith("250")
    assert "gr\u00fc\u00dfe".encode() in relay.sink.wait(before + 1)[before].data


def bdat(client: Talk, chunk: bytes, last: bool = False) -> str:
    client.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
    return client.read_reply()


def test_bdat(relay, client):
    before = len(relay.sink.messages)
    start(client)
    assert bdat(client, MESSAGE[:50]).startswith("250")
    assert bdat(client, MESSAGE[50:]).startswith("250")
    assert bdat(client, b"\r\n.\r\nstill the same message\r\n", last=True).startswith("250 OK ids=")
    message = relay.sink.wait(before + 1)[before]
    assert message.data.endswith(b"\r\n.\r\nstill the same message\r\n")


def test_bdat_order(client):
    client.send(b"BDAT 5\r\nhello")
    assert client.read_reply().startswith("503")
    start(client)
    assert bdat(client, b"part").startswith("250")
    client.expect("DATA", "503")
    client.expect("RSET", "250")
    client.expect("RCPT TO:<c@d.example>", "503")


@pytest.mark.parametrize("command", ["BDAT x", "BDAT -1", "BDAT 5 FIRST", "BDAT 99999999999999999999999"])
def test_bdat_without_a_size_closes(client, command):
    """Where its chunk ends is unknown, and the bytes behind it must not be read as commands."""
    start(client)
    client.expect(command, "501")
    assert client.closed()


def test_bdat_too_big_is_swallowed():
    listener = RELAY_FROM_LOOPBACK + ", max_message_size = 1000"
    with Daemon(policy(listener=listener)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        start(client)
        assert bdat(client, b"x" * 5000).startswith("552")
        client.expect("RCPT TO:<c@d.example>", "503")


def test_cut_in_data_makes_no_message(relay, client):
    before = len(relay.sink.messages)
    start(client)
    client.expect("DATA", "354")
    client.send(MESSAGE + b"half a line")
    client.close()
    with Talk(relay.port) as other:
        other.expect("EHLO me", "250")
        assert other.mail("a@b.example", ["after@d.example"], MESSAGE).startswith("250")
    messages = relay.sink.wait(before + 1)[before:]
    assert [message.recipients for message in messages] == [["after@d.example"]]


def test_loops_end(client):
    hops = b"".join(b"Received: from h%d by h%d; Sun, 22 Nov 2026 10:00:00 +0000\r\n" % (n, n + 1) for n in range(150))
    assert client.mail("a@b.example", ["c@d.example"], hops + MESSAGE).startswith("554 5.4.6")


def test_headers_that_only_we_may_write_are_removed(relay, client):
    before = len(relay.sink.messages)
    forged = (b"Return-Path: <boss@bank.example>\r\nauthentication-results:\r\n mx.gatepost.test; auth=pass\r\n"
              b"Authentication-Results: other.example; auth=pass\r\n")
    assert client.mail("a@b.example", ["c@d.example"], forged + MESSAGE).startswith("250")
    data = relay.sink.wait(before + 1)[before].data.lower()
    assert b"return-path" not in data and b"mx.gatepost.test; auth" not in data
    assert b"authentication-results: other.example" in data


def test_no_permission_no_relay():
    with Daemon(policy()) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect("MAIL FROM:<a@b.example>", "250")
        port = client.socket.getsockname()[1]
        assert client.ask("RCPT TO:<c@d.example>") == f"550 5.7.1 relaying not permitted for 127.0.0.1:{port}"


DOMAINS = """
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  if domain == 'inbound.example' then
    return kumo.make_listener_domain { relay_to = true }
  elseif domain == 'ours.example' then
    return kumo.make_listener_domain { relay_from = { '127.0.0.0/24' } }
  end
end)
"""


@pytest.mark.parametrize("sender, recipient, code", [
    ("a@b.example", "c@inbound.example", "250"), ("a@ours.example", "c@d.example", "250"),
    ("a@b.example", "c@d.example", "550 5.7.1"), ("a@INBOUND.example", "c@d.example", "550"),
    ("a@b.example", "c@Inbound.Example", "250"), ("", "c@ours.example", "550"),
])
def test_listener_domains(sender, recipient, code):
    with Daemon(policy(DOMAINS)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail(sender, [recipient], MESSAGE).startswith(code)


def test_relay_from_is_for_its_addresses_only():
    with Daemon(policy(DOMAINS)) as daemon, Talk(daemon.port, source="127.0.9.9") as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@ours.example", ["c@d.example"], MESSAGE).startswith("550")
