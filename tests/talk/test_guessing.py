# SPDX-License-Identifier: Apache-2.0
"""Guessing passwords over the wire, from addresses of 127.0.0.0/8: what gets through, what is refused, and that the owner
of the account can always log in from a usual place. No address is trusted here, and refusals come without delay.
"""

import base64
import contextlib
import http.server
import json
import re
import threading
import time
import urllib.request

import pytest
from gatepost import DEADLINE, Daemon, Talk, until
from policies import STATIC_USERS, policy
from redis import RedisServer, wait_for_redis
from sasl import Scram

QUICK = ", auth_failure_delay = '0s', auth_failure_limit = 1000"
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
REFUSED = "535 5.7.8 authentication failed"
HOME = "127.0.0.9"
ATTACKER = "127.6.6.6"
USERS = "[user.ada]\npassword = 'tiger'\n[user.bob]\npassword = 'lion'\n"


def relay(settings: str = "", *, users: str = USERS, listener: str = "", parts=()) -> Daemon:
    toml = f"{users}\n[guessing]\ntrusted = []\n{settings}\n"
    return Daemon(policy(SETUP, *parts, listener=QUICK + listener), files={"auth.toml": toml})


def login(daemon: Daemon, user: str, password: str, source: str) -> str:
    with Talk(daemon.port, source=source) as client:
        return client.login(user, password)


def plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@contextlib.contextmanager
def session(daemon: Daemon, source: str):
    """A client under TLS that can try again and again."""
    with Talk(daemon.port, source=source) as client:
        client.expect("EHLO client.example", "250")
        client.starttls()
        client.expect("EHLO client.example", "250")
        yield client


def metric(daemon: Daemon, name: str) -> int:
    with urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE) as answer:
        text = answer.read().decode()
    found = re.search("^" + re.escape(name) + r" (\d+)$", text, re.M)
    assert found, text
    return int(found.group(1))


def post(daemon: Daemon, verb: str, question: dict) -> dict:
    request = urllib.request.Request(f"{daemon.http}/api/gatepost/auth/{verb}/v1", json.dumps(question).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return json.load(answer)


def results(daemon: Daemon, user: str) -> dict:
    """How often each reason was logged for the user."""
    counts: dict = {}
    for found in daemon.err.find(rf"login .*authcid={user} .*result=(\w+)"):
        counts[found.group(1)] = counts.get(found.group(1), 0) + 1
    return counts


# ---- attacks ----


def test_one_address_with_a_thousand_passwords():
    """The thirtieth is right, and too late: nine wrong ones were let through, then all is refused alike."""
    with relay("address_user_limit = 10") as daemon:
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        with session(daemon, ATTACKER) as client:
            replies = {client.ask(plain("ada", "tiger" if number == 30 else f"guess {number}"))
                       for number in range(1000)}
        assert replies == {REFUSED}
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        assert login(daemon, "ada", "tiger", ATTACKER) == REFUSED
        assert login(daemon, "bob", "lion", "127.6.6.7").startswith("235")
        daemon.err.wait("result=locked", 2)
        assert results(daemon, "ada") == {"ok": 2, "bad_password": 999, "locked": 2}
        assert metric(daemon, 'gatepost_guess_locks_total{rule="address_user"}') > 0


def test_a_thousand_addresses_on_one_account_while_its_owner_keeps_sending():
    """Each address has one try (some come by themselves, the others through a proxy); after a hundred tries none could
    come right, and the owner never notices."""
    sources = [f"192.0.{number // 250}.{1 + number % 250}" for number in range(1000)]
    may = "{allow_xclient = true}"  # whom the proxy speaks for is a peer with rows of its own
    with relay("user_limit = 100", listener=f", peer = {{['127.0.0.50'] = {may}, ['192.0.0.0/16'] = {may}}}") as daemon:
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        for number in range(30):
            assert login(daemon, "ada", f"guess {number}", f"127.7.0.{1 + number}") == REFUSED
        for first in range(30, 1000, 150):
            with session(daemon, "127.0.0.50") as proxy:
                for number in range(first, min(first + 150, 1000)):
                    password = "tiger" if number == 500 else f"guess {number}"
                    proxy.expect(f"XCLIENT ADDR={sources[number]}", "220")
                    proxy.expect("EHLO client.example", "250")
                    assert proxy.ask(plain("ada", password)) == REFUSED
            assert login(daemon, "ada", "tiger", HOME).startswith("235")
        assert login(daemon, "ada", "tiger", "127.7.9.9") == REFUSED  # at an unusual place even the owner has to wait
        assert login(daemon, "bob", "lion", "127.7.0.1").startswith("235")
        daemon.err.wait("result=locked", 2)
        assert results(daemon, "ada") == {"ok": 8, "bad_password": 999, "locked": 2}


class Receiver:
    """Takes the web hook's posts."""

    def __init__(self, status: int = 204):
        self.posts: list = []
        self.changed = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *unused):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.changed:
                    receiver.posts.append((self.headers.get("X-Gatepost-Secret"), json.loads(body)))
                    receiver.changed.notify_all()
                self.send_response(status)
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/suspects"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int) -> list:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.posts) >= count, DEADLINE), self.posts
            return list(self.posts)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()


TELL = """
kumo.on('auth_suspect', function(info)
  print('suspect', info.kind, info.user, info.users or info.prefixes or info.failures, info.address, info.is_held)
end)
"""


def test_one_password_over_a_thousand_accounts():
    """Forty-nine tries are let through, then the address is locked; who has that password gets in from elsewhere. The
    policy and the web hook hear of it at ten users, and at each doubling of that."""
    with Receiver() as receiver:
        webhook = f"[guessing.webhook]\nurl = '{receiver.url}'\nsecret = 'canary-of-the-hook'\ntimeout = '60s'\n"
        with relay("suspect_users = 10\n" + webhook, parts=[TELL]) as daemon:
            with session(daemon, ATTACKER) as client:
                replies = [client.ask(plain("bob" if number == 700 else f"user{number}", "lion"))
                           for number in range(1000)]
            assert set(replies) == {REFUSED}
            assert login(daemon, "bob", "lion", HOME).startswith("235")
            assert login(daemon, "ada", "tiger", ATTACKER) == REFUSED
            assert login(daemon, "ada", "tiger", HOME).startswith("235")
            posts = receiver.wait(7)
            assert [post["users"] for _, post in posts] == [10, 20, 40, 80, 160, 320, 640]
            secret, first = posts[0]
            assert secret == "canary-of-the-hook"
            assert first.pop("time") > 1.7e9 and first.pop("session_id")
            assert re.fullmatch(r"127\.0\.0\.1:\d+", first.pop("listener"))
            assert first == {"kind": "one_password_many_users", "users": 10, "address": ATTACKER,
                             "prefix": ATTACKER + "/32", "user": "user9", "mechanism": "PLAIN",
                             "ehlo_domain": "client.example", "is_held": False}
            daemon.err.wait(rf"login: suspicion one_password_many_users address={ATTACKER} user=user639 users=640")
            until(lambda: metric(daemon, 'gatepost_auth_webhooks_total{result="ok"}') == 7)
            assert "canary" not in daemon.err.text()


# ---- the same for every way to log in ----


def test_attempts_that_a_handler_judges():
    with relay("address_user_limit = 3", parts=[STATIC_USERS]) as daemon:
        assert login(daemon, "scott", "tiger", HOME).startswith("235")
        for number in range(3):
            assert login(daemon, "scott", f"guess {number}", ATTACKER) == REFUSED
        assert login(daemon, "scott", "tiger", ATTACKER) == REFUSED
        assert login(daemon, "SCOTT", "tiger", ATTACKER) == REFUSED
        assert login(daemon, "scott", "tiger", HOME).startswith("235")


def scram(client: Talk, user: str, password: str) -> str:
    exchange = Scram(user, password)
    reply = client.ask("AUTH SCRAM-SHA-256 " + exchange.first())
    assert reply.startswith("334 "), reply
    reply = client.ask(exchange.final(reply[4:]))
    return client.ask("") if reply.startswith("334 ") else reply


def test_wrong_proofs():
    users = "mechanisms = ['SCRAM-SHA-256', 'PLAIN']\n" + USERS
    with relay("address_user_limit = 3", users=users) as daemon:
        with session(daemon, ATTACKER) as client:
            wrong = {scram(client, "ada", "guess") for _ in range(3)}
            assert {scram(client, "ada", "tiger")} == wrong  # locked, although it was proved
            assert client.ask(plain("ada", "tiger")) == REFUSED
        with session(daemon, HOME) as client:
            assert scram(client, "ada", "tiger").startswith("235")
        daemon.err.wait("result=bad_proof", 3)
        daemon.err.wait("result=locked", 2)


BEARER = """
kumo.on('smtp_server_auth_bearer', function(authz, token, claims, conn_meta)
  if token == 'good' then
    return { identities = { { identity = 'ada', context = 'SmtpAuthPlainAuthentication' } } }
  end
  return false
end)
"""


def bearer(client: Talk, token: str) -> str:
    text = f"user=ada\1auth=Bearer {token}\1\1"
    reply = client.ask("AUTH XOAUTH2 " + base64.b64encode(text.encode()).decode())
    return client.ask("") if reply.startswith("334 ") else reply


def test_bad_tokens():
    with relay("address_user_limit = 3", parts=[BEARER], listener=", auth_mechanisms = {'XOAUTH2'}") as daemon:
        with session(daemon, ATTACKER) as client:
            for _ in range(10):  # the same one is one guess
                refused = bearer(client, "stale")
            assert refused.startswith("535")
            bearer(client, "guess1")
            with session(daemon, "127.6.6.7") as other:
                assert bearer(other, "good").startswith("235")
            bearer(client, "guess2")
            assert bearer(client, "good") == refused


def test_what_is_no_guess_is_not_counted():
    with relay("address_user_limit = 3\naddress_limit = 3") as daemon:
        with session(daemon, ATTACKER) as client:
            for _ in range(5):
                assert client.ask("AUTH PLAIN").startswith("334")
                assert client.ask("*").startswith("501")
                assert client.ask("AUTH PLAIN !!!").startswith("501")
            for _ in range(5):
                assert client.ask(plain("ada", "the old one")) == REFUSED
            assert client.ask(plain("ada", "tiger")).startswith("235")


def test_guesses_at_once_are_counted_together():
    """However many are under way, not more than the limit can find out anything."""
    with relay("address_user_limit = 5") as daemon:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(session(daemon, ATTACKER)) for _ in range(20)]
            for number, client in enumerate(clients):
                client.line(plain("ada", f"guess {number}"))
            assert {client.read_reply() for client in clients} == {REFUSED}
        assert login(daemon, "ada", "tiger", ATTACKER) == REFUSED


def test_refusals_come_later_and_later():
    """On fresh connections too, up to `delay`."""
    slow = QUICK.replace("'0s'", "'20ms'")
    with Daemon(policy(SETUP, listener=slow), files={"auth.toml": USERS + "[guessing]\ntrusted = []\n"}) as daemon:
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        for number in range(4):
            assert login(daemon, "ada", f"guess {number}", ATTACKER) == REFUSED
        with session(daemon, ATTACKER) as client:
            began = time.monotonic()
            assert client.ask(plain("ada", "guess")) == REFUSED
            assert time.monotonic() - began > 0.2  # 20 ms, doubled four times, less what the attempt took


# ---- who is spared ----


def test_a_proxy_is_not_blamed_for_its_clients():
    xclient = ", allow_xclient = true"
    with relay("address_limit = 3\naddress_user_limit = 3", listener=xclient) as daemon:
        def through_proxy(client_address: str, user: str, password: str) -> str:
            with Talk(daemon.port, source="127.0.0.50") as client:
                client.expect("EHLO proxy.example", "250")
                client.expect(f"XCLIENT ADDR={client_address}", "220")
                return client.login(user, password)

        for number in range(3):
            assert through_proxy("192.0.2.7", "ada", f"guess {number}") == REFUSED
            assert login(daemon, "ada", f"own guess {number}", "127.0.0.50") == REFUSED
        assert through_proxy("192.0.2.7", "ada", "tiger") == REFUSED
        assert through_proxy("192.0.2.8", "ada", "tiger").startswith("235")
        assert login(daemon, "ada", "tiger", "127.0.0.50").startswith("235")


def test_clients_of_a_balancer():
    """PROXY says for whom it speaks; its own checks (LOCAL) are nobody's guesses."""
    listener = ", require_proxy_protocol = true"
    with relay("address_limit = 3\nrefuse_before_tls = true", listener=listener) as daemon:
        def through_balancer(header: bytes, password: str) -> str:
            with Talk(daemon.port, source="127.0.0.50", banner=False) as client:
                client.send(header)
                banner = client.read_reply()
                return client.login("ada", password) if banner.startswith("220") else banner

        attacker = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n"
        itself = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
        for number in range(3):
            assert through_balancer(itself, f"own guess {number}") == REFUSED
            assert through_balancer(attacker, f"guess {number}") == REFUSED
        assert through_balancer(attacker, "tiger").startswith("421 4.7.0 too many failed logins")
        assert through_balancer(attacker.replace(b"2.7", b"2.8"), "tiger").startswith("235")
        assert through_balancer(itself, "tiger").startswith("235")


def test_trusted_networks():
    users = USERS + "[guessing]\ntrusted = ['127.6.0.0/16']\naddress_user_limit = 2\nuser_limit = 100\n"
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": users}) as daemon:
        for number in range(5):
            assert login(daemon, "ada", f"guess {number}", ATTACKER) == REFUSED
            assert login(daemon, "ada", f"guess {number}", "127.8.8.8") == REFUSED
        assert login(daemon, "ada", "tiger", ATTACKER).startswith("235")
        assert login(daemon, "ada", "tiger", "127.8.8.8") == REFUSED


# ---- before TLS ----

ACCEPTED = """
kumo.on('smtp_server_connection_accepted', function(conn_meta)
  kumo.log_info('accepted ' .. conn_meta:get_meta 'received_from')
end)
"""


def test_a_blocked_address_is_turned_away_before_tls():
    with relay("address_limit = 3\nrefuse_before_tls = true", parts=[ACCEPTED]) as daemon:
        for number in range(3):
            login(daemon, f"user{number}", "x", ATTACKER)
        daemon.err.wait(f"accepted {ATTACKER}:", 3)
        with Talk(daemon.port, source=ATTACKER) as client:
            assert client.banner == "421 4.7.0 too many failed logins from your address; try again later"
            assert client.closed()
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        assert metric(daemon, "gatepost_guess_connections_refused_total") == 1
        daemon.err.wait(f"accepted {HOME}:")
        assert len(daemon.err.find(f"accepted {ATTACKER}:")) == 3


def test_who_is_at_home_at_a_blocked_address_is_let_try():
    """Ada logs in from there; so the lock, which spares her, cannot turn away connections. It still locks bob, and an
    operator's block turns away everybody."""
    with relay("address_limit = 3\nrefuse_before_tls = true") as daemon:
        assert login(daemon, "ada", "tiger", ATTACKER).startswith("235")
        for number in range(4):
            login(daemon, f"user{number}", "x", ATTACKER)
        assert login(daemon, "ada", "tiger", ATTACKER).startswith("235")
        assert login(daemon, "bob", "lion", ATTACKER) == REFUSED
        assert metric(daemon, "gatepost_guess_connections_refused_total") == 0
        post(daemon, "block", {"who": ATTACKER})
        with Talk(daemon.port, source=ATTACKER) as client:
            assert client.banner.startswith("421 4.7.0") and client.closed()


def test_a_listener_may_say_otherwise():
    with relay("address_limit = 3\nrefuse_before_tls = true", listener=", refuse_before_tls = false") as daemon:
        for number in range(3):
            login(daemon, f"user{number}", "x", ATTACKER)
        assert login(daemon, "ada", "tiger", ATTACKER) == REFUSED
    with relay("address_limit = 3", listener=", refuse_before_tls = true, tls_mode = 'implicit'") as daemon:
        with Talk(daemon.port, source=ATTACKER, banner=False) as client:
            client.wrap()
            client.read_reply()
            client.expect("EHLO client.example", "250")
            for number in range(3):
                client.expect(plain(f"user{number}", "x"), "535")
        with Talk(daemon.port, source=ATTACKER, banner=False) as client:
            assert client.closed() and client.buffer == b""
        with Talk(daemon.port, source=HOME, banner=False) as client:
            client.wrap()
            assert client.read_reply().startswith("220")


# ---- suspicions ----


def test_a_guess_that_came_right_holds_the_user():
    with relay("suspect_failures = 3\nhold = true", parts=[TELL]) as daemon:
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        for number in range(4):
            assert login(daemon, "ada", f"guess {number}", ATTACKER) == REFUSED
        assert login(daemon, "ada", "tiger", ATTACKER) == REFUSED
        assert login(daemon, "ada", "tiger", HOME) == REFUSED  # somebody else has the password
        assert login(daemon, "bob", "lion", HOME).startswith("235")
        daemon.err.wait(rf"suspicion success_after_failures address={ATTACKER} user=ada failures=4: the user is held")


def test_a_webhook_that_is_away_harms_nobody():
    with relay("suspect_prefixes = 2\n[guessing.webhook]\nurl = 'http://127.0.0.1:1/x'\ntimeout = '2s'") as daemon:
        for number in range(8):
            assert login(daemon, "ada", "guess", f"127.6.6.{1 + number}") == REFUSED
        assert login(daemon, "ada", "tiger", HOME).startswith("235")
        daemon.err.wait("guessing.webhook: ", 3)
        until(lambda: metric(daemon, 'gatepost_auth_webhooks_total{result="failed"}') == 3)


# ---- several nodes ----


@pytest.fixture
def redis():
    with RedisServer() as made:
        yield made


def node(redis: RedisServer, settings: str, listener: str = "", timeout: str = "10s") -> Daemon:
    """Where Redis is well, it is not given up for being slow on a busy machine."""
    shared = f"[shared]\nredis = '{redis.address}'\nsecret = 'the same on every node'\ntimeout = '{timeout}'\n"
    return relay(settings + "\n" + shared, listener=listener)


def test_two_nodes_enforce_one_lockout(redis):
    with node(redis, "address_user_limit = 6") as one, node(redis, "address_user_limit = 6") as two:
        wait_for_redis(one, two)
        assert login(one, "ada", "tiger", HOME).startswith("235")
        for number in range(6):
            assert login((one, two)[number % 2], "ada", f"guess {number}", ATTACKER) == REFUSED
            assert login((two, one)[number % 2], "ada", f"guess {number}", ATTACKER) == REFUSED  # the same one
        assert login(one, "ada", "tiger", ATTACKER) == REFUSED
        assert login(two, "ada", "tiger", ATTACKER) == REFUSED
        assert login(two, "ada", "tiger", HOME).startswith("235")
        assert redis.keys("*tiger*") == [] and redis.keys("*guess 1*") == []


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_a_node_turns_away_whom_another_has_blocked(redis, mode):
    """The answer of Redis is waited for, and nothing that a client sends meanwhile is lost."""
    with (node(redis, "address_limit = 3") as one,
          node(redis, "address_limit = 3\nrefuse_before_tls = true", f", tls_mode = '{mode}'") as two):
        wait_for_redis(one, two)
        for number in range(3):
            assert login(one, f"user{number}", "x", ATTACKER) == REFUSED
        with Talk(two.port, source=ATTACKER, banner=False) as client:
            assert client.closed()
            assert client.buffer.startswith(b"421 4.7.0 ") if mode == "starttls" else client.buffer == b""
        with Talk(two.port, source=HOME, banner=False) as client:
            if mode == "implicit":
                client.wrap()
            assert client.read_reply().startswith("220")
            client.expect("EHLO client.example", "250")
            if mode == "starttls":
                client.starttls()
                client.expect("EHLO client.example", "250")
            client.expect(plain("ada", "tiger"), "235")


@pytest.mark.parametrize("ailment", ["kill", "pause"])
def test_without_redis_each_goes_on_by_itself(redis, ailment):
    with node(redis, "address_user_limit = 4", timeout="500ms") as one, node(redis, "address_user_limit = 4", timeout="500ms") as two:
        wait_for_redis(one, two)
        assert login(one, "ada", "tiger", HOME).startswith("235")
        getattr(redis, ailment)()
        for number in range(4):
            assert login(one, "ada", f"guess {number}", ATTACKER) == REFUSED
        assert login(one, "ada", "tiger", ATTACKER) == REFUSED
        assert login(two, "ada", "tiger", ATTACKER).startswith("235")  # nobody has told it
        assert login(one, "ada", "tiger", HOME).startswith("235")
        wait_for_redis(one, two, used=False)
        assert metric(one, "gatepost_tally_fallbacks_total") > 0
        redis.resume() if ailment == "pause" else redis.start()
        wait_for_redis(one, two)
        assert login(one, "ada", "tiger", ATTACKER) == REFUSED
        assert login(two, "bob", "lion", HOME).startswith("235")
