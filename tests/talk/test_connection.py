# SPDX-License-Identifier: Apache-2.0
"""From accept to EHLO: the greeting, what is announced when, limits, XCLIENT and PROXY."""

import contextlib
import socket
import ssl
import struct

import pytest
from gatepost import Daemon, Talk
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, RELAY_FROM_LOOPBACK, STATIC_USERS, policy


@pytest.fixture(scope="module")
def daemon():
    with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, listener=", banner = 'at your service'")) as made:
        yield made


def words(reply: str) -> list[str]:
    return [line[4:] for line in reply.split("\n")][1:]


def test_greeting_names_host_and_banner(daemon):
    with Talk(daemon.port) as client:
        assert client.banner == "220 mx.gatepost.test at your service"


def test_announced_in_clear_and_under_tls(daemon):
    with Talk(daemon.port) as client:
        clear = words(client.expect("EHLO me", "250"))
        for word in ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "STARTTLS"):
            assert word in clear
        assert "SIZE 20971520" in clear
        assert not any(word.startswith("AUTH") for word in clear)
        assert "XCLIENT" not in " ".join(clear)
        client.starttls()
        secure = words(client.expect("EHLO me", "250"))
        assert "STARTTLS" not in secure
        assert "AUTH PLAIN LOGIN" in secure


def test_ehlo_reply_is_one_write(daemon):
    """Some clients read one segment and take it for the whole reply."""
    with Talk(daemon.port) as client:
        client.line("EHLO me")
        chunk = client.socket.recv(65536)
        assert chunk.rstrip(b"\r\n").split(b"\r\n")[-1].startswith(b"250 ")


def segments_with_data(sock: socket.socket) -> int:
    """tcpi_data_segs_in of struct tcp_info (linux/tcp.h)."""
    return struct.unpack_from("=I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)[0]


def test_a_command_that_comes_with_the_end_of_the_handshake_is_answered_with_it(daemon):
    """The tickets and the reply are one write."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    with Talk(daemon.port) as client:
        client.expect("STARTTLS", "220")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.socket.sendall(outgoing.read())
                incoming.write(client.socket.recv(65536))
        tls.write(b"EHLO me\r\n")
        before = segments_with_data(client.socket)
        client.socket.sendall(outgoing.read())
        incoming.write(client.socket.recv(65536))
        assert tls.read(65536).rstrip(b"\r\n").split(b"\r\n")[-1].startswith(b"250 ")
        assert segments_with_data(client.socket) == before + 1


def test_helo_announces_nothing(daemon):
    with Talk(daemon.port) as client:
        assert "\n" not in client.expect("HELO me", "250")


@pytest.mark.parametrize("command, code", [
    ("EHLO", "501"), ("HELO", "501"), ("EHLO a b", "501"), ("EHLO [1.2.3", "501"),
    ("EHLO [127.0.0.1]", "250"), ("EHLO [IPv6:::1]", "250"), ("NOOP", "250"), ("NOOP anything", "250"),
    ("RSET", "250"), ("VRFY someone", "252"), ("EXPN list", "502"), ("XYZZY", "50"), ("QUIT", "221"),
    ("MAIL FROM:<a@b.example>", "503"), ("RCPT TO:<a@b.example>", "503"), ("DATA", "503"), ("XCLIENT NAME=x", "5"),
])
def test_commands_before_ehlo(daemon, command, code):
    with Talk(daemon.port) as client:
        client.expect(command, code)


@pytest.mark.parametrize("bad", [b"NOOP\x00", b"NO\rOP", b"EHLO m\xc3\xa9", b"MAIL FROM:<\xff@x>", b"\x01"])
def test_bad_bytes_in_commands_change_nothing(daemon, bad):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect(bad, "5")
        client.expect("NOOP", "250")


@pytest.mark.parametrize("pieces", [[b"NOOP\nMAIL FROM:<a@b.example>\r\n"], [b"NOOP\n", b"MAIL FROM:<a@b.example>\r\n"],
                                    [b"NOOP\nMAIL FROM:<a@b", b".example>\r\n"]], ids=["whole", "cut behind the LF", "cut later"])
def test_what_stands_behind_a_bare_lf_is_not_run(daemon, pieces):
    """However the network cuts it; and the session goes on."""
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        for i, piece in enumerate(pieces):
            client.send(piece)
            assert i > 0 or client.read_reply().startswith("500 5.5.2")
        if len(pieces) > 1:
            assert client.read_reply().startswith("500 5.5.2")
        client.expect("RCPT TO:<a@b.example>", "503")
        client.expect("MAIL FROM:<a@b.example>", "250")


def test_bare_lf_does_not_end_a_command(daemon):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.send(b"NOOP\nQUIT\r\n")
        assert client.read_reply().startswith("5")
        client.send(b"NOOP\n")
        assert client.read_reply().startswith("5")
        client.expect("NOOP", "250")


def test_a_line_without_end_is_refused_in_bounded_memory(daemon):
    with Talk(daemon.port) as client:
        client.send(b"NOOP " + b"x" * 500000 + b"\r\n")
        assert client.read_reply().startswith("500")


def test_junk_is_slowed_then_closed(daemon):
    with Talk(daemon.port) as client:
        reply = ""
        for _ in range(50):
            try:
                reply = client.ask("XYZZY")
            except (EOFError, ConnectionError):
                break
            if reply.startswith("421"):
                break
        assert reply.startswith("421")
        assert client.closed()


@pytest.mark.parametrize("bytes_sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\n",
                                        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 300])
def test_other_protocols_are_closed(daemon, bytes_sent):
    with Talk(daemon.port) as client:
        client.send(bytes_sent)
        assert client.closed()


def test_connection_limit():
    with Daemon(policy(listener=", max_connections = 3")) as daemon:
        clients = [Talk(daemon.port) for _ in range(3)]
        late = Talk(daemon.port)
        assert late.banner == "421 4.3.2 mx.gatepost.test too many concurrent sessions. Try later"
        assert late.closed()
        clients[0].expect("QUIT", "221")
        assert clients[0].closed()
        again = Talk(daemon.port)
        while again.banner.startswith("421"):  # its place is free once the server has seen the end
            again = Talk(daemon.port)
        for client in [*clients, late, again]:
            client.close()


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6_and_several_listeners():
    extra = """
kumo.on('pre_init', function()
end)
"""
    two = policy(extra).replace("  kumo.start_esmtp_listener {",
                                "  kumo.start_esmtp_listener { listen = '[::1]:0', hostname = 'six.gatepost.test' }\n"
                                "  kumo.start_esmtp_listener {", 1)
    with Daemon(two) as daemon:
        six, four = daemon.smtp_ports()
        with Talk(six, address="::1") as client:
            assert client.banner.startswith("220 six.gatepost.test")
        with Talk(four) as client:
            assert client.banner.startswith("220 mx.gatepost.test")


def test_implicit_tls():
    with Daemon(policy(STATIC_USERS, listener=", tls_mode = 'implicit'")) as daemon:
        client = Talk(daemon.port, banner=False)
        client.wrap()
        assert client.read_reply().startswith("220")
        reply = client.expect("EHLO me", "250")
        assert "STARTTLS" not in reply and "AUTH PLAIN" in reply
        client.expect("STARTTLS", "5")
        client.close()


def test_tls_1_2_and_up(daemon):
    for version, good in [(ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("STARTTLS", "220")
            if good:
                client.wrap(context=context)
                client.expect("EHLO me", "250")
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    client.wrap(context=context)


def test_xclient_from_allowed_peers_only():
    may = ", peer = { ['127.0.0.1'] = { allow_xclient = true } }, relay_hosts = { '192.0.2.7' }"
    with Daemon(policy(listener=may)) as daemon:
        with Talk(daemon.port) as client:
            assert "XCLIENT" in client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("550")
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("XCLIENT ADDR=192.0.2.7 PORT=4711", "220")
            client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("XCLIENT ADDR=not-an-address", "501")
            assert client.closed()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("XCLIENT", "501")
            assert client.closed()
        with Talk(daemon.port, source="127.0.0.2") as client:
            assert "XCLIENT" not in client.expect("EHLO me", "250")
            client.expect("XCLIENT ADDR=192.0.2.7", "5")


def proxy_v2(source: str, port: int) -> bytes:
    addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.1") + port.to_bytes(2, "big") + b"\x00\x19"
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + len(addresses).to_bytes(2, "big") + addresses


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", proxy_v2("192.0.2.7", 4711)])
def test_proxy_header_names_the_client(header):
    with Daemon(policy(listener=", require_proxy_protocol = true, relay_hosts = { '192.0.2.7' }")) as daemon:
        client = Talk(daemon.port, banner=False)
        client.send(header)
        assert client.read_reply().startswith("220")
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        client.close()


@pytest.mark.parametrize("header", [b"EHLO me\r\n", b"PROXY TCP4 x y 1 2\r\n", b"PROXY " + b"x" * 200 + b"\r\n",
                                    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff" + b"x" * 300])
def test_malformed_proxy_header_closes(header):
    with Daemon(policy(listener=", require_proxy_protocol = true")) as daemon:
        client = Talk(daemon.port, banner=False)
        client.send(header)
        assert client.closed()
        assert b"220" not in client.buffer
        client.close()


def test_peer_overrides():
    rows = (", peer = { ['127.0.0.2/32'] = { hostname = 'special.gatepost.test', max_message_size = 1000,"
            " relay_hosts = { '127.0.0.2' } } }")
    with Daemon(policy(listener=rows)) as daemon:
        with Talk(daemon.port, source="127.0.0.2") as client:
            assert client.banner.startswith("220 special.gatepost.test")
            assert "SIZE 1000" in client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        with Talk(daemon.port) as client:
            assert client.banner.startswith("220 mx.gatepost.test")


def test_messages_per_connection():
    listener = RELAY_FROM_LOOPBACK + ", max_messages_per_connection = 2, max_recipients_per_message = 3"
    with Daemon(policy(listener=listener)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            for _ in range(2):
                assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("4")
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("MAIL FROM:<a@b.example>", "250")
            for number in range(3):
                client.expect(f"RCPT TO:<c{number}@d.example>", "250")
            client.expect("RCPT TO:<one-more@d.example>", "452 4.5.3")
