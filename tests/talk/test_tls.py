# SPDX-License-Identifier: Apache-2.0
"""Certificates: one's own, by name, reloaded without a restart; client certificates; and the
limits of time that end slow clients."""

import ssl
import subprocess

import pytest
from gatepost import Daemon, Talk, give, insecure_context, make_dir
from policies import RELAY_FROM_LOOPBACK, policy


def make_certificate(directory, name: str, common_name: str, usage: str = "serverAuth") -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", f"/CN={common_name}", "-addext", f"subjectAltName=DNS:{common_name}", "-addext",
                    f"extendedKeyUsage={usage}", "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem"],
                   check=True, capture_output=True)
    give(directory / f"{name}.key")
    give(directory / f"{name}.pem")


def shown_name(daemon: Daemon, server_name: str) -> str:
    """The common name of the certificate the server shows for a name."""
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.starttls(server_name)
        der = client.socket.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, check=True,
                          capture_output=True).stdout.decode()
    return text.split("CN")[1].strip(" =\n")


OWN = ", tls_certificate = '@DIR@/own.pem', tls_private_key = '@DIR@/own.key'"


def test_own_certificate_and_sni_and_reload():
    directory = make_dir()
    make_certificate(directory, "own", "mx.gatepost.test")
    make_certificate(directory, "two", "two.example")
    make_certificate(directory, "wild", "wild.example")
    names = OWN + """, tls_certificates = {
      { server_name = 'two.example', certificate = '@DIR@/two.pem', private_key = '@DIR@/two.key' },
      { server_name = '*.wild.example', certificate = '@DIR@/wild.pem', private_key = '@DIR@/wild.key' },
    }"""
    with Daemon(policy(listener=names), directory=directory) as daemon:
        assert shown_name(daemon, "mx.gatepost.test") == "mx.gatepost.test"
        assert shown_name(daemon, "two.example") == "two.example"
        assert shown_name(daemon, "a.wild.example") == "wild.example"
        assert shown_name(daemon, "a.b.wild.example") == "mx.gatepost.test"

        with Talk(daemon.port) as kept:
            kept.expect("EHLO me", "250")
            kept.starttls()
            make_certificate(directory, "own", "renewed.gatepost.test")
            daemon.reload()
            assert shown_name(daemon, "x.example") == "renewed.gatepost.test"
            kept.expect("EHLO me", "250")  # what was there goes on

        (directory / "own.pem").write_text("not a certificate")
        daemon.reload()
        daemon.err.wait("certificates were not reloaded")
        assert shown_name(daemon, "x.example") == "renewed.gatepost.test"


def test_a_client_certificate_is_verified_and_named():
    directory = make_dir()
    make_certificate(directory, "own", "mx.gatepost.test")
    make_certificate(directory, "device", "device-7.example", "clientAuth")
    make_certificate(directory, "stranger", "stranger.example", "clientAuth")
    ask = """
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  kumo.reject(599, tostring(conn_meta:get_meta 'tls_peer_subject_name'))
end)"""
    listener = OWN + ", tls_required_client_ca = '@DIR@/device.pem'"
    with Daemon(policy(ask, listener=listener), directory=directory) as daemon:
        def subject(certificate):
            context = insecure_context()
            if certificate:
                context.load_cert_chain(directory / f"{certificate}.pem", directory / f"{certificate}.key")
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                client.expect("STARTTLS", "220")
                client.wrap(context=context)
                client.expect("EHLO me", "250")
                return client.ask("MAIL FROM:<a@b.example>")

        assert subject("device") == "599 CN=device-7.example"
        assert subject(None) == "599 nil"
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            subject("stranger")


def test_a_ticket_is_good_for_its_listener_until_the_certificates_are_reloaded():
    directory = make_dir()
    make_certificate(directory, "own", "mx.gatepost.test")
    listener = f"  kumo.start_esmtp_listener {{ listen = '127.0.0.1:0'{OWN} }}\n"
    two = policy(listener=OWN).replace("  kumo.start_esmtp_listener", listener + "  kumo.start_esmtp_listener", 1)
    context = insecure_context()
    with Daemon(two, directory=directory) as daemon:
        def resumes(port, session=None):
            """Whether a session was resumed, and what it may be resumed with."""
            with Talk(port) as client:
                client.expect("EHLO me", "250")
                client.expect("STARTTLS", "220")
                client.socket = context.wrap_socket(client.socket, server_hostname="mx.gatepost.test", session=session)
                client.expect("EHLO me", "250")  # the ticket comes before the reply
                return client.socket.session_reused, client.socket.session

        one, other = daemon.smtp_ports()
        _, session = resumes(one)
        assert session.has_ticket
        assert resumes(one, session)[0]
        assert not resumes(other, session)[0]
        _, session = resumes(one)
        daemon.reload()
        assert not resumes(one, session)[0]


def test_a_client_that_puts_chacha_first_gets_it():
    def cipher(daemon, version, suites):
        context = insecure_context()
        context.maximum_version = version
        if suites:
            context.set_ciphers(suites)
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.starttls(context=context)
            client.expect("EHLO me", "250")
            return client.socket.cipher()[0]

    with Daemon(policy()) as daemon:
        aes, chacha = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"
        assert cipher(daemon, ssl.TLSVersion.TLSv1_3, None) == "TLS_AES_128_GCM_SHA256"
        assert cipher(daemon, ssl.TLSVersion.TLSv1_2, f"ECDHE-ECDSA-AES256-GCM-SHA384:{aes}:{chacha}") == aes
        assert cipher(daemon, ssl.TLSVersion.TLSv1_2, f"{chacha}:{aes}") == chacha


def test_no_tls_1_1_cipher_and_no_renegotiation():
    with Daemon(policy()) as daemon:
        shown = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-tls1_2", "-connect",
                                f"127.0.0.1:{daemon.port}"], input=b"R\n", capture_output=True, check=False, timeout=60)
        assert b"Compression: NONE" in shown.stdout
        assert b"no renegotiation" in shown.stderr or b"RENEGOTIATING" in shown.stdout


def test_a_stalled_handshake_is_freed():
    with Daemon(policy(listener=", handshake_timeout = '1s'")) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect("STARTTLS", "220")
        client.send(b"\x16\x03\x01\x02\x00")  # the beginning of a ClientHello, and no more
        assert client.closed()


def test_a_whole_request_has_a_deadline():
    listener = RELAY_FROM_LOOPBACK + ", request_deadline = '1s', client_timeout = '30s'"
    with Daemon(policy(listener=listener)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
        assert client.last_line().startswith("421")


def test_one_line_a_byte_at_a_time_is_ended():
    with Daemon(policy(listener=", client_timeout = '1s'")) as daemon, Talk(daemon.port) as client:
        client.line("EHLO me")
        try:
            while True:  # never silent, never done
                client.send(b"x")
                client.socket.settimeout(0.05)
                try:
                    if not client.socket.recv(1000):
                        break
                except TimeoutError:
                    pass
        except ConnectionError:
            pass
