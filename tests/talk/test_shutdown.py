# SPDX-License-Identifier: Apache-2.0
"""Stopping: no new mail, what is in flight ends, nothing accepted is lost; and the limits of time
and rate that end slow clients."""

import signal

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host


def test_a_transaction_in_flight_ends_well():
    with Sink() as sink:
        first = Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK))
        first.owns_dir = False
        first.start()
        client = Talk(first.port)
        client.expect("EHLO me", "250")
        client.expect("MAIL FROM:<a@b.example>", "250")
        client.expect("RCPT TO:<c@d.example>", "250")
        client.expect("DATA", "354")
        first.process.send_signal(signal.SIGTERM)
        first.err.wait("stopping")
        client.send(MESSAGE + b".\r\n")
        assert client.read_reply().startswith("250")
        assert client.closed()
        assert first.process.wait(DEADLINE) == 0
        with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK), directory=first.dir):
            assert len(sink.wait()) == 1


def test_idle_sessions_are_told():
    daemon = Daemon(policy()).start()
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        daemon.process.send_signal(signal.SIGTERM)
        assert client.read_reply().startswith("421")
        assert client.closed()
    assert daemon.process.wait(DEADLINE) == 0


def test_a_second_signal_stops_at_once_and_loses_nothing():
    with Sink(lambda verb, *_: "451 later" if verb == "MAIL" else None) as sink:
        text = policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)
        daemon = Daemon(text)
        daemon.owns_dir = False
        daemon.start()
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
            client.expect("MAIL FROM:<a@b.example>", "250")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.err.wait("stopping")
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(DEADLINE) == 0
    with Sink() as sink:
        with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK), directory=daemon.dir) as again:
            again.err.wait(r"spool enumerated: 1 messages")


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_exit_code_is_0(signal_number):
    daemon = Daemon(policy()).start()
    daemon.process.send_signal(signal_number)
    assert daemon.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_while_it_ends_do_not_kill_it(signal_number):
    for _ in range(5):
        with Daemon(policy()) as daemon:
            daemon.process.send_signal(signal.SIGTERM)
            while daemon.process.poll() is None:
                daemon.process.send_signal(signal_number)
            assert daemon.process.returncode == 0


def test_silent_clients_are_closed():
    with Daemon(policy(listener=", client_timeout = '1 second'")) as daemon, Talk(daemon.port) as client:
        client.line("EHLO me")
        assert client.last_line().startswith("421 4.4")


def test_threads_share_nothing_they_should_not(sink):
    """Many sessions over several workers at once; run under the thread sanitizer."""
    import threading

    with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK), args=["--workers", "4"]) as daemon:
        def session():
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                for _ in range(10):
                    assert client.mail("a@b.example", ["c@d.example", "e@f.example"], MESSAGE).startswith("250")
                client.expect("QUIT", "221")

        threads = [threading.Thread(target=session) for _ in range(8)]
        for thread in threads:
            thread.start()
        daemon.process.send_signal(signal.SIGHUP)
        for thread in threads:
            thread.join()
        sink.wait(160)
        assert len(sink.messages) == 160
