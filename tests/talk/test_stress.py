# SPDX-License-Identifier: Apache-2.0
"""Everything at once: mail in and out through a server that has moods, wrong passwords and cut connections, while policy
and rules are reloaded, users' mail is held and released, what is remembered is purged, addresses are blocked, sessions are
closed by order, and at last it is told to stop, once or twice. Meant for the thread sanitizer; here it shows that nothing
promised is lost."""

import contextlib
import json
import random
import signal
import ssl
import threading
import urllib.error
import urllib.request

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import AUTHENTICATED_MAY_RELAY, policy, smart_host

USERS = ("ada", "bob", "eve")
ROUNDS_OF_ORDERS = 3
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
    threads.append(threading.Thread(target=annoy, args=(daemon, stop), daemon=True))
    for thread in threads:
        thread.start()
    return threads


class Moods:
    """Every now and then the next server puts off, hangs up, or says something else than it should."""

    def __init__(self):
        self.dice, self.lock, self.is_calm = random.Random(6), threading.Lock(), False

    def __call__(self, verb: str, argument: str, session: int):
        with self.lock:
            number = self.dice.randrange(100)
        if self.is_calm or verb in ("CONNECT", "QUIT") or number > 6:
            return None
        return {0: "", 1: "421 4.3.2 not now", 2: "nonsense"}.get(number, "450 4.2.0 later")


def annoy(daemon: Daemon, stop: threading.Event) -> None:
    """Wrong passwords, and connections that end anywhere."""
    dice = random.Random(7)
    while not stop.is_set():
        with contextlib.suppress(OSError, EOFError, AssertionError, ssl.SSLError), Talk(daemon.port) as client:
            client.socket.settimeout(5)
            if dice.random() < 0.5:
                client.login(dice.choice([*USERS, "nobody"]), "wrong")
            client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 500\r\nhalf"[:dice.randrange(1, 80)])


def ask(daemon: Daemon, path: str, question: dict | None = None) -> None:
    body = json.dumps(question).encode() if question is not None else None
    request = urllib.request.Request(daemon.http + path, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path} {question}: {error.code} {error.read()}") from error


def rewrite_rules(daemon: Daemon, dice: random.Random) -> None:
    daemon.replace("auth.toml", AUTH + f"[user.u{dice.randrange(1000)}]\npassword = 'x'\n")


def give_orders(daemon: Daemon, mail: Mail, dice: random.Random) -> None:
    def post(path, question):
        return lambda: ask(daemon, f"/api/gatepost/{path}/v1", question)

    def get(path):
        return lambda: ask(daemon, path)

    orders = [
        lambda: daemon.process.send_signal(signal.SIGHUP),
        lambda: ask(daemon, "/api/admin/bump-config-epoch", {}),
        lambda: rewrite_rules(daemon, dice),
        post("auth/purge", {"all": True}),
        *[post("auth/purge", {"user": user, "sessions": True}) for user in USERS],
        *[post("sessions/close", {"user": user}) for user in USERS],
        *[post("hold", {"user": user}) for user in USERS],
        *[post("release", {"user": user}) for user in USERS],
        post("auth/block", {"who": "192.0.2.1", "seconds": 3600}),
        post("auth/unlock", {"who": "127.0.0.1"}),
        post("auth/test", {"user": "ada", "secret": "wrong", "from": "127.0.0.1"}),
        get("/api/gatepost/auth/show/v1?who=ada"),
        get("/api/gatepost/budget/v1?who=ada"),
        *[get(f"/api/gatepost/{what}/v1") for what in ("sessions", "queues", "held", "status")],
        get("/metrics"),
        get("/metrics.json"),
    ]
    for _ in range(ROUNDS_OF_ORDERS):
        for order in dice.sample(orders, len(orders)):
            mail.wait_for_more()
            order()


@pytest.mark.parametrize("signals", [1, 2])
def test_orders_and_a_stop_in_the_middle_of_mail(signals):
    dice, mail, moods, directory, stop = random.Random(5), Mail(), Moods(), make_dir(), threading.Event()
    with Sink(moods) as sink:
        text = policy(SETUP, smart_host(sink.port, queue="retry_interval = '1s', max_retry_interval = '1s'"),
                      listener=", auth_failure_delay = '0s'")
        daemon = Daemon(text, directory=directory, files={"auth.toml": AUTH}).start()
        threads = senders(daemon, mail, stop)
        try:
            give_orders(daemon, mail, dice)
            for _ in range(signals - 1):
                daemon.process.send_signal(signal.SIGTERM)
                daemon.err.wait("stopping: no new mail")
            daemon.stop()
        except BaseException:
            daemon.kill()
            print(daemon.err.text())
            raise
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        moods.is_calm = True
        with Daemon(text, directory=directory, files={"auth.toml": AUTH}) as again:
            for user in USERS:
                ask(again, "/api/gatepost/release/v1", {"user": user})
            assert mail.promised
            sink.wait_for(mail.promised)
