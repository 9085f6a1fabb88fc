# SPDX-License-Identifier: Apache-2.0
"""Clients that type at random: commands, chunks, logins, half lines and junk in any order, cut into pieces anywhere, in clear
and in TLS, against short time limits and a policy that waits, rejects and fails. What came is what was promised; nothing
else is asked of them but the common oracle (tests/support/unharmed.py)."""

import base64
import contextlib
import os
import random
import select
import socket
import struct
import threading

from gatepost import Daemon, Sink, Talk, insecure_context
from policies import policy, smart_host
from unharmed import Unharmed

SEED = int(os.environ.get("GATEPOST_MONKEY_SEED", random.SystemRandom().randrange(1 << 32)))
SESSIONS = int(os.environ.get("GATEPOST_MONKEYS", "400"))
MONKEYS = 8
LIMITS = (", client_timeout = '60ms', handshake_timeout = '80ms', auth_timeout = '60ms', request_deadline = '150ms', "
          "junk_command_delay = '5ms', junk_command_limit = 6, auth_failure_delay = '10ms', max_message_size = 3000, "
          "max_recipients_per_message = 5, max_messages_per_connection = 4, allow_xclient = true, "
          "relay_hosts = { '0.0.0.0/0' }, data_processing_timeout = '50ms'")
# what comes first has all the time it wants
PATIENT = " }\n  kumo.start_esmtp_listener { listen = '127.0.0.1:0', relay_hosts = { '0.0.0.0/0' }"
MOODY = """
local function mood(name)
  if name == 'no' then kumo.reject(550, '5.7.1 no') end
  if name == 'later' then kumo.reject(450, '4.7.1 later') end
  if name == 'bad' then error('a fault') end
  if name == 'bye' then kumo.disconnect(421, '4.3.2 bye') end
  if name == 'wait' then kumo.sleep(0) end
end
kumo.on('smtp_server_mail_from', function(sender) mood(sender.user) end)
kumo.on('smtp_server_rcpt_to', function(to) mood(to.user) end)
kumo.on('smtp_server_message_received', function(msg) mood(msg:recipient().user) end)
kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  mood(authc)
  return password == 'tiger'
end)
"""
MOODS = ["a", "no", "later", "bad", "bye", "wait"]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def words(dice: random.Random) -> bytes:
    """Something a client might say."""
    name = dice.choice(MOODS)
    size = dice.choice([0, 1, 5, 20, 5000])
    return dice.choice([
        lambda: b"EHLO me\r\n", lambda: b"EHLO me\r\n", lambda: b"HELO me\r\n", lambda: b"RSET\r\n", lambda: b"NOOP\r\n", lambda: b"QUIT\r\n",
        lambda: f"MAIL FROM:<{name}@b.example>\r\n".encode(), lambda: f"MAIL FROM:<{name}@b.example> SIZE=10\r\n".encode(),
        lambda: f"RCPT TO:<{name}@d.example>\r\n".encode(), lambda: f"RCPT TO:<{name}@d.example>\r\n".encode() * 7,
        lambda: b"DATA\r\n", lambda: b"DATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n", lambda: b".\r\n", lambda: b"text\r\n" * size,
        lambda: f"BDAT {size}\r\n".encode() + b"x" * dice.choice([size, size, size // 2]),
        lambda: f"BDAT {size} LAST\r\n".encode() + b"Subject: x\r\n\r\n" * (size // 14) + b"y" * (size % 14),
        lambda: b"BDAT\r\n", lambda: b"XYZZY\r\n", lambda: b"\r\n", lambda: b"NO\0OP\r\n", lambda: b"x" * dice.choice([10, 3000, 20000]),
        lambda: b"x\n", lambda: f"AUTH PLAIN {b64(chr(0) + name + chr(0) + 'tiger')}\r\n".encode(), lambda: b"AUTH PLAIN\r\n",
        lambda: f"AUTH PLAIN {b64(chr(0) + name + chr(0) + 'wrong')}\r\n".encode(), lambda: b"AUTH LOGIN\r\n", lambda: b"*\r\n",
        lambda: f"{b64(name)}\r\n".encode(), lambda: b"AUTH SCRAM-SHA-256 biwsbj1hLHI9eA==\r\n", lambda: b"XCLIENT ADDR=192.0.2.1\r\n",
        lambda: b"VRFY x\r\n", lambda: b"STARTTLS\r\n", lambda: b"\x16\x03\x01\x02\x00\x01\x00",
    ])()


def whole_mail(dice: random.Random) -> bytes:
    return (b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<" + dice.choice(MOODS).encode()
            + b"@d.example>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n")


BEGINNINGS = [b"", b"EHLO me\r\n", b"EHLO me\r\nMAIL FROM:<a@b.example>\r\n",
              b"EHLO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<a@d.example>\r\n"]


def type_at_random(client: Talk, dice: random.Random) -> None:
    text = dice.choice([whole_mail(dice), *BEGINNINGS]) + b"".join(words(dice) for _ in range(dice.randrange(1, 9)))
    while text:
        cut = dice.choice([len(text), dice.randrange(1, len(text) + 1), 1])
        client.send(text[:cut])
        text = text[cut:]
        if dice.random() < 0.4 and select.select([client.socket], [], [], dice.choice([0, 0.01, 0.1]))[0]:
            if not client.socket.recv(65536):
                return


def leave(client: Talk, dice: random.Random) -> None:
    how = dice.randrange(4)
    if how == 0:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how == 1:
        client.socket.shutdown(socket.SHUT_WR)
        client.closed()
    elif how == 2:
        client.closed()


def monkey(port: int, seed: int, sessions: int) -> None:
    dice = random.Random(seed)
    for _ in range(sessions):
        with contextlib.suppress(OSError, EOFError, AssertionError, ValueError), Talk(port, banner=dice.random() < 0.7) as client:
            client.socket.settimeout(5)
            if dice.random() < 0.4:
                client.expect("EHLO me", "250")
                client.expect("STARTTLS", "220")
                client.wrap(context=CONTEXT)
            type_at_random(client, dice)
            leave(client, dice)


CONTEXT = insecure_context()


def test_a_thousand_monkeys(capsys):
    with capsys.disabled():
        print(f"\nmonkeys: seed {SEED}")
    with Sink() as sink:
        text = policy(MOODY, smart_host(sink.port, path="idle_timeout = '100ms'"), listener=LIMITS + PATIENT)
        with Daemon(text) as daemon:
            with Talk(daemon.smtp_ports()[1]) as client:
                client.expect("EHLO me", "250")
                assert client.mail("a@b.example", ["first@d.example"], b"Subject: x\r\n\r\n").startswith("250")
            sink.wait()
            with Unharmed(daemon):
                threads = [threading.Thread(target=monkey, args=(daemon.port, SEED + number, SESSIONS // MONKEYS)) for number in range(MONKEYS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            daemon.stop()  # so that all records are there
            promised = [record for record in daemon.records() if record["type"] == "Reception"]
            daemon.start()  # and what is left is delivered
            assert len(sink.wait(len(promised))) == len(promised)
