# SPDX-License-Identifier: Apache-2.0
"""Clients that fall silent, or send a byte now and then, in every state a session can be in: each is ended in time,
and leaves nothing behind."""

import base64
import contextlib
import select
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from gatepost import DEADLINE, Daemon, Talk
from policies import RELAY_FROM_LOOPBACK, STATIC_USERS, policy
from unharmed import Unharmed

LIMITS = ", client_timeout = '1s', handshake_timeout = '1s', auth_timeout = '2s', request_deadline = '2s'"
# the first, which has no limits, is for the oracle
LISTENERS = f"""{RELAY_FROM_LOOPBACK} }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:0' {RELAY_FROM_LOOPBACK} {LIMITS} }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:0', require_proxy_protocol = true {LIMITS} }}
  kumo.start_esmtp_listener {{ listen = '127.0.0.1:0', tls_mode = 'implicit' {LIMITS}"""
PLAIN = base64.b64encode(b"\0scott\0tiger")

# what is sent before, and what dribbles in afterwards; STARTTLS is played for whoever logs in
STATES = {
    "greeted": ([], b"EHLO me"),
    "said hello": ([b"EHLO me\r\n"], b"NOOP x"),
    "in a line": ([b"EHLO me\r\n", b"MAIL FROM:<a@b"], b".example"),
    "in an endless line": ([b"EHLO me\r\n"], b"x" * 3000),
    "in a handshake": ([b"EHLO me\r\n", b"STARTTLS\r\n"], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "in a login": ([b"EHLO me\r\n", "tls", b"EHLO me\r\n", b"AUTH PLAIN\r\n"], PLAIN),
    "between two answers": ([b"EHLO me\r\n", "tls", b"EHLO me\r\n", b"AUTH LOGIN\r\n", b"c2NvdHQ=\r\n"], b"dGln"),
    "after a sender": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n"], b"RCPT TO:<c@d.exam"),
    "after a recipient": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n"], b"DATA"),
    "in data": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n"], b"Subject: x\r\n\r\n.\r"),
    "in a chunk": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"BDAT 99999\r\nhello"], b"more" * 50),
    "in a second chunk": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"BDAT 5\r\nhello", b"BDAT 99999\r\nhello"],
                          b"more" * 50),
    "in a refused chunk": ([b"EHLO me\r\n", b"MAIL FROM:<a@b.example>\r\n", b"BDAT 99999\r\nhello"], b"more" * 50),
    "in a chunk for nobody": ([b"EHLO me\r\n", b"BDAT 99999\r\nhello"], b"more" * 50),
    "by proxy": ([], b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2"),
    "in TLS from the start": ([], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.fixture(scope="module")
def daemon():
    with Daemon(policy(STATIC_USERS, listener=LISTENERS)) as made:
        yield made


def begin(daemon: Daemon, state: str) -> Talk:
    listener = {"by proxy": 2, "in TLS from the start": 3}.get(state, 1)
    client = Talk(daemon.smtp_ports()[listener], banner=listener == 1)
    for step in STATES[state][0]:
        if step == "tls":
            client.line("STARTTLS")
            client.read_reply()
            client.wrap()  # what fails where it has been ended in the meantime
            continue
        client.send(step)
        if step.endswith(b"\r\n") or step == b"BDAT 5\r\nhello":
            client.read_reply()
    return client


def ends_within(client: Talk, dribble: bytes, seconds: float) -> None:
    """What is sent goes out one byte at a time, for as long as there is any."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            if dribble:
                client.send(dribble[:1])
                dribble = dribble[1:]
            if select.select([client.socket], [], [], 0.05)[0] and not client.socket.recv(65536):
                return
        raise AssertionError(f"still there after {seconds} s")


@pytest.mark.parametrize("how", ["silent", "slow"])
def test_no_state_lasts_for_ever(daemon, how):
    def one(state):
        # on a busy machine it may be ended before it is where it should be
        with contextlib.suppress(OSError, EOFError), begin(daemon, state) as client:
            ends_within(client, STATES[state][1] * 20 if how == "slow" else b"", DEADLINE)

    with Unharmed(daemon), ThreadPoolExecutor(len(STATES)) as pool:
        list(pool.map(one, STATES))
