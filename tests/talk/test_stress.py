# SPDX-License-Identifier: Apache-2.0
"""Everything at once: mail in and out, while the policy is reloaded, users' mail is held and
released, what is remembered is purged, sessions are closed by order, and at last it is told to stop. Meant for
the thread sanitizer; here it shows that nothing promised is lost."""

import contextlib
import json
import random
import signal
import ssl
import threading
import urllib.request

from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import AUTHENTICATED_MAY_RELAY, policy, smart_host

USERS = ("ada", "bob", "eve")
ORDERS = 60
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n" + AUTHENTICATED_MAY_RELAY
AUTH = "".join(f"[user.{name}]\npassword = 'tiger'\n" for name in USERS)


class Mail:
    """What was answered, and what was promised."""

    def __init__(self):
        self.changed = threading.Condition()
        self.answers = 0
        self.promised: set[str] = set()

    def wait_for_more(self) -> None:
        """So that orders fall into the middle of mail."""
        with self.changed:
            wanted = self.answers + 1
            assert self.changed.wait_for(lambda: self.answers >= wanted, DEADLINE)

    def note(self, name: str, reply: str) -> None:
        with self.changed:
            self.answers += 1
            assert reply[:1] in "24", reply
            if reply.startswith("250"):
                self.promised.add(name)
            self.changed.notify_all()

    def send(self, daemon: Daemon, user: str, number: int) -> None:
        with contextlib.suppress(OSError, EOFError, AssertionError, ssl.SSLError), Talk(daemon.port) as client:
            if not client.login(user, "tiger").startswith("235"):
                return
            for part in range(5):
                name = f"{user}-{number}-{part}"
                self.note(name, client.mail(f"{name}@b.example", ["c@d.example"], b"body of mail\r\n" * 200))


def senders(daemon: Daemon, mail: Mail, stop: threading.Event) -> list[threading.Thread]:
    def pump(user):
        number = 0
        while not stop.is_set():
            mail.send(daemon, user, number)
            number += 1

    threads = [threading.Thread(target=pump, args=(user,), daemon=True) for user in USERS]
    for thread in threads:
        thread.start()
    return threads


def ask(daemon: Daemon, path: str, question: dict | None = None) -> None:
    body = json.dumps(question).encode() if question is not None else None
    request = urllib.request.Request(daemon.http + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        answer.read()


def give_orders(daemon: Daemon, mail: Mail, dice: random.Random) -> None:
    orders = [
        lambda: daemon.process.send_signal(signal.SIGHUP),
        lambda: ask(daemon, "/api/admin/bump-config-epoch", {}),
        lambda: ask(daemon, "/api/gatepost/auth/purge/v1", {"all": True}),
        lambda: ask(daemon, "/api/gatepost/auth/purge/v1", {"user": dice.choice(USERS), "sessions": True}),
        lambda: ask(daemon, "/api/gatepost/sessions/close/v1", {"user": dice.choice(USERS)}),
        lambda: ask(daemon, "/api/gatepost/hold/v1", {"user": dice.choice(USERS)}),
        lambda: ask(daemon, "/api/gatepost/release/v1", {"user": dice.choice(USERS)}),
        lambda: ask(daemon, "/api/gatepost/sessions/v1"),
        lambda: ask(daemon, "/api/gatepost/queues/v1"),
        lambda: ask(daemon, "/metrics"),
    ]
    for _ in range(ORDERS):
        mail.wait_for_more()
        dice.choice(orders)()


def test_orders_and_a_stop_in_the_middle_of_mail():
    dice, mail, directory, stop = random.Random(5), Mail(), make_dir(), threading.Event()
    with Sink() as sink:
        text = policy(SETUP, smart_host(sink.port), listener=", auth_failure_delay = '0s'")
        daemon = Daemon(text, directory=directory, files={"auth.toml": AUTH}).start()
        threads = senders(daemon, mail, stop)
        try:
            give_orders(daemon, mail, dice)
            daemon.stop()
        except BaseException:
            daemon.kill()
            print(daemon.err.text())
            raise
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        with Daemon(text, directory=directory, files={"auth.toml": AUTH}) as again:
            for user in USERS:
                ask(again, "/api/gatepost/release/v1", {"user": user})
            with sink.changed:
                assert mail.promised
                assert sink.changed.wait_for(
                    lambda: mail.promised <= {message.sender.split("@")[0] for message in sink.messages}, DEADLINE)
