# SPDX-License-Identifier: Apache-2.0
"""What whoever is logged in may send, live sessions, and mail on hold.

Numbers are small and windows are hours, so nothing here depends on time but that an hour does not begin while a test
runs; where one does, a window slides and lets nothing through at once.
"""

import base64
import contextlib
import json
import re
import signal
import subprocess
import urllib.request

import pytest
from gatepost import BUILD, DEADLINE, Daemon, Sink, Talk, until
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, policy, smart_host
from redis import RedisServer, wait_for_redis

QUICK = ", auth_failure_delay = '0s'"
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n" + AUTHENTICATED_MAY_RELAY
DROP = """
kumo.on('smtp_server_message_received', function(msg)
  msg:set_meta('queue', 'null')
end)
"""
REFUSING = """
kumo.on('smtp_server_rcpt_to', function(rcpt, conn_meta)
  local text = tostring(rcpt)
  if text:find 'bad' then kumo.reject(550, '5.1.1 no such mailbox') end
  if text:find 'later' then kumo.reject(451, '4.2.0 later') end
end)
kumo.on('smtp_server_data', function(msg)
  if msg:get_data():find 'Subject: spam' then kumo.reject(550, '5.7.1 no spam') end
end)
"""


def users(*names: str, limits: str = "", budgets: str = "") -> str:
    return budgets + "".join(f"[user.{name}]\npassword = 'tiger'\n{limits}\n" for name in names)


def daemon_of(auth: str, *parts: str) -> Daemon:
    return Daemon(policy(SETUP, *(parts or (DROP,)), listener=QUICK), files={"auth.toml": auth})


@contextlib.contextmanager
def session(daemon: Daemon, user: str = "ada"):
    with Talk(daemon.port) as client:
        assert client.login(user, "tiger").startswith("235"), daemon.err.text()
        yield client


def send(client: Talk, *to: str, data: bytes = MESSAGE) -> str:
    return client.mail("ada@dest.example", list(to) or ["you@dest.example"], data)


def gatectl(daemon: Daemon, *words: str, code: int = 0) -> str:
    done = subprocess.run([str(BUILD / "src" / "ctl" / "gatectl"), *words, "--endpoint", daemon.http],
                          capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == code, done
    return done.stdout + done.stderr


def used(daemon: Daemon, user: str, limit: str) -> float:
    rows = json.loads(gatectl(daemon, "budget", "show", user, "--json"))["limits"]
    return next(row["used"] for row in rows if row["limit"] == limit)


def metrics(daemon: Daemon) -> str:
    with urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE) as answer:
        return answer.read().decode()


# ---- each limit ----

def test_messages_per_hour():
    with daemon_of(users("ada", "bob", budgets="[budget.staff]\nmessages_per_hour = 2\n")) as daemon:
        with session(daemon) as client:
            assert send(client).startswith("250")
            assert send(client, "a@dest.example", "b@dest.example").startswith("250")
            assert re.match(r"452 4\.7\.1 limit messages_per_hour of budget staff is reached; try again in \d+ \w+$",
                            send(client))
        with session(daemon) as client:  # not forgotten with the session
            assert client.ask("MAIL FROM:<ada@dest.example>").startswith("452 4.7.1 limit messages_per_hour")
        with session(daemon, "bob") as client:
            assert send(client).startswith("250")
        assert used(daemon, "ada", "messages_per_hour") == pytest.approx(2, abs=0.1)
        assert 'gatepost_budget_refused_total{budget="staff",limit="messages_per_hour"} 2' in metrics(daemon)
        table = gatectl(daemon, "budget", "show", "ada")
        assert "messages_per_hour" in table and "staff" in table
        assert "no limit applies" not in table


def test_recipients_and_pipelining():
    with daemon_of(users("ada", budgets="[budget.b]\nrecipients_per_day = 3\n")) as daemon, session(daemon) as client:
        client.send("MAIL FROM:<ada@dest.example>\r\n" + "".join(f"RCPT TO:<u{i}@dest.example>\r\n" for i in range(5))
                    + "DATA\r\n")
        replies = [client.read_reply()[:9] for _ in range(7)]
        assert replies[:4] == ["250 2.1.0", "250 2.1.5", "250 2.1.5", "250 2.1.5"]
        assert replies[4:6] == ["452 4.7.1", "452 4.7.1"]
        assert replies[6].startswith("354")
        client.send(MESSAGE + b"\r\n.\r\n")
        assert client.read_reply().startswith("250")
        assert send(client).startswith("452 4.7.1 limit recipients_per_day of budget b")


@pytest.mark.parametrize("rewritten", ["451", "535", "235"])
@pytest.mark.parametrize("wait", ["", "kumo.sleep(0.001)"])
def test_a_session_too_many_is_closed_whatever_policy_makes_of_its_421(rewritten, wait):
    """It holds nothing of the budget, and does not come back for another login."""
    words = f"""
kumo.on('smtp_server_rewrite_response', function(status, text)
  {wait}
  if status == 421 then return {rewritten}, text end
end)
"""
    with daemon_of(users("ada", budgets="[budget.b]\nsessions = 1\n"), words, DROP) as daemon, session(daemon) as one:
        with Talk(daemon.port) as other:
            other.expect("EHLO me", "250")
            other.starttls()
            other.expect("EHLO me", "250")
            other.send(2 * (b"AUTH PLAIN " + base64.b64encode(b"\0ada\0tiger") + b"\r\n"))
            assert other.read_reply().startswith(f"{rewritten} 4.7.0 limit sessions of budget b is reached")
            assert other.closed() and other.buffer == b""
        assert send(one).startswith("250")
        assert used(daemon, "ada", "sessions") == 1
        assert json.loads(gatectl(daemon, "sessions", "list", "--json"))["sessions"][0]["user"] == "ada"


def test_new_recipients():
    with daemon_of(users("ada", budgets="[budget.b]\nnew_recipients_per_day = 2\n")) as daemon:
        with session(daemon) as client:
            assert send(client, "a@dest.example", "b@dest.example").startswith("250")
            assert send(client, "A@dest.example", "b@DEST.example").startswith("250")  # known by now
            client.expect("MAIL FROM:<ada@dest.example>", "250")
            client.expect("RCPT TO:<c@dest.example>", "452 4.7.1 limit new_recipients_per_day of budget b")
            client.expect("RCPT TO:<a@dest.example>", "250")  # in the same transaction, and
            client.expect("RSET", "250")
            assert send(client, "a@dest.example", "b@dest.example").startswith("250")  # in the next
        assert used(daemon, "ada", "new_recipients_per_day") == pytest.approx(2, abs=0.1)


def test_a_recipient_named_in_a_transaction_that_was_given_up_stays_unknown():
    """Or one session could make recipients known for another, which would then write to them for nothing."""
    with daemon_of(users("ada", budgets="[budget.b]\nnew_recipients_per_day = 2\n")) as daemon, \
            session(daemon) as one, session(daemon) as other:
        one.expect("MAIL FROM:<ada@dest.example>", "250")
        one.expect("RCPT TO:<a@dest.example>", "250")
        other.expect("MAIL FROM:<ada@dest.example>", "250")
        other.expect("RCPT TO:<a@dest.example>", "250")
        one.expect("RSET", "250")
        other.expect("DATA", "354")
        other.send(MESSAGE + b"\r\n.\r\n")
        assert other.read_reply().startswith("250")
        assert used(daemon, "ada", "new_recipients_per_day") == pytest.approx(1, abs=0.1)


def test_bytes_per_day():
    with daemon_of(users("ada", budgets="[budget.b]\nbytes_per_day = 1000\n")) as daemon, session(daemon) as client:
        assert client.ask("MAIL FROM:<ada@dest.example> SIZE=2000").startswith("552 5.3.4 more than limit bytes")
        assert send(client, data=MESSAGE + b"x" * 700).startswith("250")
        assert client.ask("MAIL FROM:<ada@dest.example> SIZE=600").startswith("450 4.7.1 limit bytes_per_day of budget")
        assert send(client, data=MESSAGE + b"y" * 300).startswith("450 4.7.1 limit bytes_per_day of budget b")
        large = MESSAGE + b"y" * 900 + b"\r\n" + b"y" * 900
        assert send(client, data=large).startswith("552 5.3.4 more than limit bytes_per_day of budget b")
        assert send(client, data=b"Subject: x\r\n\r\n").startswith("250")


def test_sessions_at_once():
    with daemon_of(users("ada", "bob", budgets="[budget.b]\nsessions = 2\n")) as daemon:
        with session(daemon), session(daemon) as second:
            with Talk(daemon.port) as third:
                assert third.login("ada", "tiger").startswith("421 4.7.0 limit sessions of budget b is reached")
                assert third.closed()
            daemon.err.wait("authcid=ada .*result=budget")
            with session(daemon, "bob"):
                pass
            second.expect("QUIT", "221")
            assert second.closed()
            until(lambda: used(daemon, "ada", "sessions") < 2)
            with session(daemon):
                pass


def test_wrong_recipients():
    budgets = "[budget.b]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 4\n"
    with daemon_of(users("ada", budgets=budgets), REFUSING, DROP) as daemon:
        with session(daemon) as client:
            assert send(client, *[f"u{i}@dest.example" for i in range(3)]).startswith("250")
            client.expect("MAIL FROM:<ada@dest.example>", "250")
            for i in range(3):
                client.expect(f"RCPT TO:<bad{i}@dest.example>", "550")
            client.expect("RCPT TO:<later@dest.example>", "451")  # not their fault
            client.expect("RCPT TO:<bad@dest.example>", "550")
            client.expect("RCPT TO:<you@dest.example>", "450 4.7.1 limit invalid_recipients of budget b")
        with session(daemon) as client:
            client.expect("MAIL FROM:<ada@dest.example>", "450 4.7.1 limit invalid_recipients of budget b")
        assert used(daemon, "ada", "invalid_recipients") == pytest.approx(4 / 7, abs=0.05)


@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "redis"])
def test_wrong_recipients_in_a_pipeline(is_shared):
    """Who asks about hundreds at once gets no further than who waits for each answer."""
    with RedisServer() if is_shared else contextlib.nullcontext() as redis:
        budgets = (shared(redis, "10s") if is_shared else "") + "[budget.b]\ninvalid_recipients = 0.3\ninvalid_recipients_least = 5\n"
        with daemon_of(users("ada", budgets=budgets), REFUSING) as daemon:
            if is_shared:
                wait_for_redis(daemon)
            with session(daemon) as client:
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                client.send(b"".join(b"RCPT TO:<bad%d@dest.example>\r\n" % number for number in range(300)))
                codes = [client.read_reply()[:3] for _ in range(300)]
                assert codes == ["550"] * 5 + ["450"] * 295


DELIVERED_TO = [  # what the next server says, and whether it is held against the sender
    ("RCPT", "550 5.1.1 no such mailbox", True), ("RCPT", "550 no such mailbox", True), ("EOM", "550 5.1.1 none of them", True),
    ("RCPT", "550 5.7.1 not from you", False), ("RCPT", "553 5.1.8 who is that sender", False), ("MAIL", "550 no", False),
    ("RCPT", "450 4.1.1 not yet", False),
]


@pytest.mark.parametrize("verb, said, counts", DELIVERED_TO)
def test_recipients_that_prove_wrong_on_delivery(verb, said, counts):
    """The first two of three are refused by their own server, after the client has heard 250."""
    def reply(asked, argument, session):
        return said if asked == verb and (verb != "RCPT" or "bad" in argument) else None

    budgets = "[budget.b]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 2\n"
    with Sink(reply) as sink, daemon_of(users("ada", budgets=budgets), smart_host(sink.port)) as daemon:
        with session(daemon) as client:
            assert send(client, "bad1@dest.example", "bad2@dest.example", "good@dest.example").startswith("250")
        outcome = "TransientFailure" if said.startswith("4") else "Bounce"
        daemon.wait_records(lambda record: record["type"] == outcome, count=2)
        if not counts:
            with session(daemon) as client:
                client.expect("MAIL FROM:<ada@dest.example>", "250")
            assert used(daemon, "ada", "invalid_recipients") == 0
            return
        until(lambda: used(daemon, "ada", "invalid_recipients") > 0.6)
        with session(daemon) as client:
            client.expect("MAIL FROM:<ada@dest.example>", "450 4.7.1 limit invalid_recipients of budget b")


def test_wrong_recipients_are_known_after_a_restart():
    """Whose they are is written in the message, so the one that is delivered by another process counts all the same."""
    answers = {"RCPT": "451 4.2.0 later"}
    budgets = "[budget.b]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 1\n"
    with Sink(lambda verb, argument, number: answers.get(verb)) as sink:
        with daemon_of(users("ada", budgets=budgets), smart_host(sink.port, queue="retry_interval = '1s',")) as daemon:
            with session(daemon) as client:
                assert send(client, "bad@dest.example").startswith("250")
            daemon.wait_records(lambda record: record["type"] == "TransientFailure")
            daemon.stop()
            answers["RCPT"] = "550 5.1.1 no such mailbox"
            daemon.start()
            until(lambda: used(daemon, "ada", "invalid_recipients") == 1)


# ---- given back ----

def test_what_is_refused_is_given_back():
    budgets = ("[budget.b]\nmessages_per_day = 1\nrecipients_per_day = 2\nnew_recipients_per_day = 2\n"
               "bytes_per_day = 600\n")
    two = ["a@dest.example", "b@dest.example"]
    with daemon_of(users("ada", budgets=budgets), REFUSING, DROP) as daemon:
        def nothing_is_taken():
            return all(used(daemon, "ada", limit) == 0 for limit in
                       ("messages_per_day", "recipients_per_day", "new_recipients_per_day", "bytes_per_day"))

        with session(daemon) as client:
            assert send(client, *two, data=b"Subject: spam\r\n\r\n").startswith("550 5.7.1 no spam")
            assert nothing_is_taken()
            assert send(client, *two, data=b"a\rb\n\r\n").startswith("552 5.6.0")
            assert nothing_is_taken()
            assert send(client, *two, data=MESSAGE + b"x" * 600).startswith("552 5.3.4")
            assert nothing_is_taken()
            for give_up in ("RSET", "EHLO again.example"):
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                for to in two:
                    client.expect(f"RCPT TO:<{to}>", "250")
                client.expect("RCPT TO:<c@dest.example>", "452 4.7.1")
                client.expect(give_up, "250")
                assert nothing_is_taken()
        with session(daemon) as client:  # gone in the middle of the text
            client.expect("MAIL FROM:<ada@dest.example>", "250")
            client.expect(f"RCPT TO:<{two[0]}>", "250")
            client.expect("DATA", "354")
            client.send(b"Subject: half\r\n")
            assert used(daemon, "ada", "recipients_per_day") > 0.9
        until(nothing_is_taken)
        with session(daemon) as client:
            assert send(client, *two).startswith("250")
            assert send(client).startswith("452 4.7.1")


def test_what_was_taken_and_given_back_is_counted_by_limit_and_not_by_user():
    budgets = "[budget.b]\nrecipients_per_day = 9\nbytes_per_day = 100000\nsessions = 2\n"
    with daemon_of(users("ada", "bob", budgets=budgets), REFUSING, DROP) as daemon:
        def counts(name):
            lines = re.findall(rf'^gatepost_budget_{name}_total{{budget="b",limit="(\w+)"}} (\d+)$', metrics(daemon), re.M)
            return {limit: int(count) for limit, count in lines}

        with session(daemon) as client, session(daemon, "bob") as other:
            assert send(client, "a@dest.example", "b@dest.example").startswith("250")
            assert send(other, "a@dest.example").startswith("250")
            taken = counts("taken")
            assert taken == {"recipients_per_day": 3, "bytes_per_day": taken["bytes_per_day"], "sessions": 2}
            assert taken["bytes_per_day"] >= 2 * len(MESSAGE)
            assert counts("given_back") == {}
            assert send(client, "a@dest.example", data=b"Subject: spam\r\n\r\n").startswith("550")
            assert counts("given_back") == {"recipients_per_day": 1,
                                            "bytes_per_day": counts("taken")["bytes_per_day"] - taken["bytes_per_day"]}
        until(lambda: counts("given_back").get("sessions") == 2)
        assert not re.search(r"\b(ada|bob)\b", metrics(daemon))


# ---- whose ----

def test_tenants_groups_and_all():
    auth = """
[budget.tenants]
per = 'tenant'
messages_per_day = 2
[budget.interns]
per = 'group'
groups = ['interns']
recipients_per_day = 1
[budget.house]
per = 'all'
messages_per_day = 4
""" + "".join(f"[user.{name}]\npassword = 'tiger'\n{more}\n" for name, more in {
        "ada": "tenant = 'red'", "bob": "tenant = 'red'", "cid": "tenant = 'blue'\ngroups = ['interns', 'x']",
        "dan": "groups = ['interns']", "eve": ""}.items())
    with daemon_of(auth) as daemon:
        def said(user, *to):
            with session(daemon, user) as client:
                return send(client, *to)

        assert said("ada").startswith("250")
        assert said("bob").startswith("250")
        assert said("bob").startswith("452 4.7.1 limit messages_per_day of budget tenants")
        assert said("cid").startswith("250")
        assert said("dan").startswith("452 4.7.1 limit recipients_per_day of budget interns")
        assert said("eve").startswith("250")
        assert said("eve").startswith("452 4.7.1 limit messages_per_day of budget house")


def test_a_tenants_budget_holds_for_those_who_have_it_from_a_group():
    """Mail is the tenant's by the same rules, so its numbers are too; and for whoever chooses it by a header."""
    auth = (users("ada", limits="groups = ['staff']") + users("bea", limits="tenants = ['red']") +
            users("cat", limits="tenants = ['blue', 'red']") +
            "[group.staff]\ntenants = ['red']\n[identity]\ntenant_header = 'X-Tenant'\nsenders = ['*']\n"
            "[budget.b]\nper = 'tenant'\ntenants = ['red']\nmessages_per_day = 2\n")
    with daemon_of(auth) as daemon:
        for user, answer in (("ada", "250"), ("bea", "250"), ("ada", "452 4.7.1 limit messages_per_day of budget b")):
            with session(daemon, user) as client:
                assert send(client).startswith(answer)
        with session(daemon, "cat") as client:
            assert send(client, data=b"X-Tenant: red\r\n" + MESSAGE).startswith("452 4.7.1 limit messages_per_day of budget b")
            assert send(client).startswith("250")  # as blue, which it does not name
        assert used(daemon, "ada", "messages_per_day") == pytest.approx(2, abs=0.1)


def test_each_message_is_counted_for_the_tenant_that_it_is_of():
    """A user of two tenants sends as the second: nothing of it is the first one's. Its recipients are counted when it is
    known whose they are, with all the rest or not at all."""
    auth = (users("cat", limits="tenants = ['blue', 'green']") + users("gil", limits="tenant = 'green'") +
            "[identity]\ntenant_header = 'X-Tenant'\nsenders = ['*']\n"
            "[budget.t]\nper = 'tenant'\nmessages_per_day = 2\nrecipients_per_day = 4\nnew_recipients_per_day = 3\n"
            "[budget.each]\nmessages_per_day = 9\nrecipients_per_day = 9\n")
    green = b"X-Tenant: green\r\n"

    def usage(daemon):
        rows = json.loads(gatectl(daemon, "budget", "show", "cat", "--json"))["limits"]
        return {(row["whose"], row["limit"].split("_per")[0]): round(row["used"]) for row in rows}

    with daemon_of(auth, REFUSING, DROP) as daemon, session(daemon, "cat") as client:
        assert send(client, "a@dest.example", "b@dest.example", data=green + MESSAGE).startswith("250")
        expected = {("blue", "messages"): 0, ("blue", "recipients"): 0, ("blue", "new_recipients"): 0,
                    ("green", "messages"): 1, ("green", "recipients"): 2, ("green", "new_recipients"): 2,
                    ("cat", "messages"): 1, ("cat", "recipients"): 2}
        assert usage(daemon) == expected
        three = [f"{name}@dest.example" for name in "abc"]
        assert send(client, *three, data=green + MESSAGE).startswith("452 4.7.1 limit recipients_per_day of budget t is reached")
        assert send(client, "c@dest.example", "d@dest.example",
                    data=green + MESSAGE).startswith("452 4.7.1 limit new_recipients_per_day of budget t is reached")
        assert send(client, *three, "d@dest.example", "e@dest.example",
                    data=green + MESSAGE).startswith("452 4.7.1 limit recipients_per_day of budget t is reached; try again later")
        spam = b"Subject: spam\r\n\r\n"
        assert send(client, "a@dest.example", data=green + spam).startswith("550 5.7.1 no spam")
        assert usage(daemon) == expected  # of what was refused, nothing
        with session(daemon, "gil") as other:  # who has one tenant hears of it at once
            assert send(other, "a@dest.example").startswith("250")
            other.expect("MAIL FROM:<gil@dest.example>", "452 4.7.1 limit messages_per_day of budget t")
        assert send(client, *three).startswith("250")
        assert usage(daemon) == {**expected, ("green", "messages"): 2, ("green", "recipients"): 3,
                                 ("blue", "messages"): 1, ("blue", "recipients"): 3, ("blue", "new_recipients"): 3,
                                 ("cat", "messages"): 2, ("cat", "recipients"): 5}


def test_a_user_has_limits_of_his_own():
    auth = """
[budget.b]
messages_per_day = 1
recipients_per_day = 5
[user.ada]
password = 'tiger'
limits = { messages_per_day = 2 }
[user.bob]
password = 'tiger'
limits = { messages_per_day = 'unlimited' }
"""
    with daemon_of(auth) as daemon:
        with session(daemon) as client:
            assert send(client).startswith("250")
            assert send(client).startswith("250")
            assert send(client).startswith("452 4.7.1 limit messages_per_day of budget own")
        with session(daemon, "bob") as client:
            for _ in range(5):
                assert send(client).startswith("250")
            assert send(client).startswith("452 4.7.1 limit recipients_per_day of budget b")


ANY_SPELLING = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return authc:lower() == 'ann' and password == 'tiger'
end)
"""


def test_spelling_a_name_in_capitals_opens_no_budget_and_escapes_no_hold():
    """A handler, like many a data base, may take a name in any case: it is one user's all the same."""
    auth = "[budget.b]\nmessages_per_day = 3\nsessions = 3\n"
    with Sink() as sink, daemon_of(auth, ANY_SPELLING, smart_host(sink.port)) as daemon:
        with session(daemon, "ann") as lower, session(daemon, "ANN") as upper, session(daemon, "Ann") as other:
            gatectl(daemon, "hold", "aNN")
            assert [send(client)[:3] for client in (lower, upper, other, lower, upper)] == ["250"] * 3 + ["452"] * 2
            with Talk(daemon.port) as one_more:
                assert one_more.login("anN", "tiger").startswith("421 4.7.0 limit sessions of budget b")
        until(lambda: re.search(r"held queues: 1\n", gatectl(daemon, "queue", "list")))
        until(lambda: re.search(r"(?i)\bann +3\b", gatectl(daemon, "queue", "list")))
        assert gatectl(daemon, "hold") == "aNN\n"
        assert used(daemon, "aNn", "messages_per_day") == pytest.approx(3, abs=0.1)
        assert gatectl(daemon, "release", "ANn") == "released; messages that had waited: 3\n"
        assert len(sink.wait(3)) == 3


def test_a_policy_gives_limits():
    script = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  local limits = authc == 'odd' and { messages_per_day = 'many' } or { messages_per_day = 1 }
  return { identities = { { identity = authc, context = 'SmtpAuthPlainAuthentication' },
                          { identity = authc, context = 'SmtpAuthPlainAuthorization' } }, groups = {}, limits = limits }
end)
"""
    with Daemon(policy(AUTHENTICATED_MAY_RELAY, DROP, script, listener=QUICK)) as daemon:
        with session(daemon) as client:
            assert send(client).startswith("250")
            assert send(client).startswith("452 4.7.1 limit messages_per_day of budget own")
        with Talk(daemon.port) as client:
            assert client.login("odd", "tiger").startswith("454 4.7.0")
        daemon.err.wait("messages_per_day: must be a whole number")


@pytest.mark.parametrize("budget, complaint", [
    ("[budget.b]\nmessages_per_hour = 0", "messages_per_hour: must be a whole number from 1"),
    ("[budget.b]\nmessages_per_hour = '5'", "messages_per_hour: must be a whole number from 1"),
    ("[budget.b]\ninvalid_recipients = 30", "invalid_recipients: must be a share"),
    ("[budget.b]\nmessages_per_minute = 1", "messages_per_minute"),
    ("[budget.b]\nper = 'nobody'", "per"),
    ("[budget.own]\nsessions = 1", "own"),
    ("[budget.'a b']\nsessions = 1", "the name of a budget"),
    ("[user.eve]\npassword = 'x'\nlimits = { sessions = 5000 }",
     "limits: sessions: must be a whole number from 1 to 4096"),
])
def test_faults_are_told(budget, complaint):
    made = daemon_of(users("ada") + budget + "\n")
    with contextlib.ExitStack() as stack:
        stack.callback(made.__exit__, None, None, None)
        done = made.run_to_end("--validate")
        assert done.returncode != 0
        assert complaint in done.stderr and "auth.toml" in done.stderr, done.stderr


# ---- two nodes ----

def shared(redis: RedisServer, timeout: str = "200ms") -> str:
    return f"[shared]\nredis = '{redis.address}'\nsecret = '0123456789abcdef0123456789abcdef'\ntimeout = '{timeout}'\n"


def test_two_nodes_share_one_budget_and_each_goes_on_alone():
    with RedisServer() as redis:
        # a dead one is noticed at once; one that is slow on a busy machine is not given up
        auth = users("ada", budgets=shared(redis, "10s") + "[budget.b]\nmessages_per_day = 3\nsessions = 2\n")
        with daemon_of(auth) as one, daemon_of(auth) as other:
            wait_for_redis(one, other)
            with session(one) as client, session(other) as second:
                assert send(client).startswith("250")
                assert send(second).startswith("250")
                with Talk(other.port) as third:
                    assert third.login("ada", "tiger").startswith("421 4.7.0 limit sessions of budget b")
                assert send(client).startswith("250")
                assert send(second).startswith("452 4.7.1 limit messages_per_day of budget b")
                redis.kill()
                wait_for_redis(one, other, used=False)
                assert send(client).startswith("250")  # each knows what it has let through itself: two, and one
                assert send(client).startswith("452 4.7.1 limit messages_per_day of budget b")
                assert [send(second)[:3] for _ in range(3)] == ["250", "250", "452"]


def about(amount: float):
    """A window that began before the test leaves a little less behind at each look."""
    return pytest.approx(amount, abs=0.1)


def test_what_is_given_back_goes_where_it_was_taken():
    """Or an outage would be credit: Redis would give back what it never took. The other way about it errs to the strict side."""
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as redis:  # a restart forgets nothing
        auth = users("ada", budgets=shared(redis, "10s") + "[budget.b]\nrecipients_per_day = 9\n")
        with daemon_of(auth) as one, daemon_of(auth) as other:
            wait_for_redis(one, other)
            with session(other) as client:
                assert send(client, "a@dest.example", "b@dest.example").startswith("250")
            with session(one) as client, session(one) as before:
                before.expect("MAIL FROM:<ada@dest.example>", "250")
                before.expect("RCPT TO:<c@dest.example>", "250")
                redis.kill()
                wait_for_redis(one, other, used=False)
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                client.expect("RCPT TO:<d@dest.example>", "250")
                client.expect("RCPT TO:<e@dest.example>", "250")
                assert used(one, "ada", "recipients_per_day") == about(3)  # its own, here or before
                before.expect("RSET", "250")
                assert used(one, "ada", "recipients_per_day") == about(2)
                redis.start()
                wait_for_redis(one, other)
                client.expect("RSET", "250")
                assert [used(node, "ada", "recipients_per_day") for node in (one, other)] == [about(3)] * 2
                redis.kill()
                wait_for_redis(one, used=False)
                assert used(one, "ada", "recipients_per_day") == 0


def test_a_client_that_leaves_while_redis_is_silent_takes_nothing():
    with RedisServer() as redis:
        auth = users("ada", budgets=shared(redis) + "[budget.b]\nrecipients_per_day = 3\nsessions = 9\n")
        with daemon_of(auth) as daemon:
            wait_for_redis(daemon)
            with session(daemon) as client:
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                redis.pause()
                try:
                    client.line("RCPT TO:<you@dest.example>")
                    client.close()
                    wait_for_redis(daemon, used=False)
                    until(lambda: used(daemon, "ada", "recipients_per_day") == 0)
                    with session(daemon) as again:  # and all goes on without it
                        assert send(again).startswith("250")
                finally:
                    redis.resume()


def test_a_tenants_recipients_are_looked_for_in_redis():
    """Round by round, since there are more of them than one call asks about; and who leaves in the middle takes nothing."""
    names = [f"r{number}@dest.example" for number in range(70)]
    text = b"X-Tenant: green\r\n" + MESSAGE
    with RedisServer() as redis:
        auth = users("cat", limits="tenants = ['blue', 'green']",
                     budgets=shared(redis, "3s") + "[identity]\ntenant_header = 'X-Tenant'\nsenders = ['*']\n"
                     "[budget.t]\nper = 'tenant'\ntenants = ['green']\nnew_recipients_per_day = 80\n")
        with daemon_of(auth) as daemon:
            wait_for_redis(daemon)
            with session(daemon, "cat") as client:
                assert send(client, *names, data=text).startswith("250")
                assert used(daemon, "cat", "new_recipients_per_day") == pytest.approx(70, abs=1)
                assert send(client, *names, *(f"more{number}@dest.example" for number in range(9)),
                            data=text).startswith("250")
                assert send(client, *names, "a@dest.example", "b@dest.example",
                            data=text).startswith("452 4.7.1 limit new_recipients_per_day of budget t is reached")
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                for name in (*names[:40], "c@dest.example"):
                    client.expect(f"RCPT TO:<{name}>", "250")
                client.expect("DATA", "354")
                redis.pause()
                try:
                    client.send(text + b"\r\n.\r\n")
                    client.close()
                    wait_for_redis(daemon, used=False)
                finally:
                    redis.resume()
            wait_for_redis(daemon)
            assert used(daemon, "cat", "new_recipients_per_day") == pytest.approx(79, abs=1)


def test_a_stop_while_redis_is_silent_loses_nothing_of_ours():
    with RedisServer() as redis:
        auth = users("ada", budgets=shared(redis) + "[budget.b]\nrecipients_per_day = 3\nsessions = 9\n")
        with daemon_of(auth) as daemon:
            wait_for_redis(daemon)
            with session(daemon) as client:
                client.expect("MAIL FROM:<ada@dest.example>", "250")
                redis.pause()
                try:
                    client.line("RCPT TO:<you@dest.example>")
                    daemon.process.send_signal(signal.SIGTERM)
                    daemon.err.wait("stopping: no new mail")
                    daemon.stop()  # again: at once
                finally:
                    redis.resume()


# ---- live sessions ----

def test_sessions_are_listed_and_closed():
    with daemon_of(users("ada", "bob")) as daemon:
        assert gatectl(daemon, "sessions", "list") == "nobody is logged in\n"
        with session(daemon) as one, session(daemon) as busy, session(daemon, "bob") as bob, \
                Talk(daemon.port) as nobody:
            rows = json.loads(gatectl(daemon, "sessions", "list", "--json"))["sessions"]
            assert sorted(row["user"] for row in rows) == ["ada", "ada", "bob"]
            assert all(row["peer"].startswith("127.0.0.1:") and len(row["id"]) == 36 for row in rows)
            assert "bob" not in gatectl(daemon, "sessions", "list", "--user", "ada")
            busy.expect("MAIL FROM:<ada@dest.example>", "250")
            busy.expect("RCPT TO:<you@dest.example>", "250")
            busy.expect("DATA", "354")
            busy.send(b"Subject: half\r\n")
            assert gatectl(daemon, "sessions", "close", "--user", "ada") == "2 closed\n"
            for client in (one, busy):
                assert client.read_reply().startswith("421 4.7.0")
                assert client.closed()
            bob.expect("NOOP", "250")
            nobody.expect("NOOP", "250")
            own = json.loads(gatectl(daemon, "sessions", "list", "--json"))["sessions"]
            assert [row["user"] for row in own] == ["bob"]
            assert gatectl(daemon, "sessions", "close", "--id", own[0]["id"]) == "1 closed\n"
            assert bob.read_reply().startswith("421 4.7.0")
        assert gatectl(daemon, "sessions", "close", "--user", "eve") == "0 closed\n"
        gatectl(daemon, "sessions", "close", code=2)
        assert not daemon.wait_records(lambda record: record["type"] == "Reception", count=0)


def test_a_session_that_waits_for_policy_is_closed_after_it_and_its_message_is_not_taken():
    waits = """
kumo.on('smtp_server_data', function(msg)
  while not io.open('@DIR@/go') do kumo.sleep(0.02) end
end)
"""
    with daemon_of(users("ada"), waits, DROP) as daemon, session(daemon) as client:
        client.expect("MAIL FROM:<ada@dest.example>", "250")
        client.expect("RCPT TO:<you@dest.example>", "250")
        client.expect("DATA", "354")
        client.send(MESSAGE + b".\r\n")
        until(lambda: gatectl(daemon, "sessions", "close", "--user", "ada") == "1 closed\n")
        (daemon.dir / "go").write_text("now")
        assert client.read_reply().startswith("421 4.7.0")
        assert client.closed()


def test_a_policy_closes_sessions_with_what_is_remembered():
    purges = """
kumo.on('smtp_server_rcpt_to', function(rcpt)
  local records, sessions = auth:purge('ada', { sessions = true })
  if sessions ~= 2 or auth:purge 'ada' ~= 0 then error('closed ' .. tostring(sessions)) end
end)
"""
    with daemon_of(users("ada", "bob"), purges, DROP) as daemon:
        with session(daemon) as one, session(daemon) as other, session(daemon, "bob") as bob:
            bob.expect("MAIL FROM:<bob@dest.example>", "250")
            bob.expect("RCPT TO:<you@dest.example>", "250")
            for client in (one, other):
                assert client.read_reply().startswith("421 4.7.0")


# ---- mail on hold ----

def test_mail_of_one_user_is_held_over_a_restart_and_released():
    with Sink() as sink:
        with daemon_of(users("ada", "bob"), smart_host(sink.port)) as daemon:
            assert gatectl(daemon, "hold") == "nobody's mail is held\n"
            gatectl(daemon, "hold", "ada")
            assert gatectl(daemon, "hold") == "ada\n"
            with session(daemon) as client:
                for name in "abc":
                    assert send(client, f"{name}@dest.example").startswith("250")
            with session(daemon, "bob") as client:
                assert send(client, "bob@dest.example").startswith("250")
            assert [message.recipients for message in sink.wait(1)] == [["bob@dest.example"]]
            until(lambda: re.search(r"held queues: 1\n", gatectl(daemon, "queue", "list")))
            until(lambda: re.search(r"ada +3\b", gatectl(daemon, "queue", "list")))
            daemon.stop()
            daemon.start()
            until(lambda: re.search(r"ada +3\b", gatectl(daemon, "queue", "list")))
            assert len(sink.messages) == 1
            assert gatectl(daemon, "release", "ada") == "released; messages that had waited: 3\n"
            assert sorted(message.recipients[0][0] for message in sink.wait(4)) == ["a", "b", "b", "c"]
            with session(daemon) as client:
                assert send(client, "d@dest.example").startswith("250")
            sink.wait(5)
            assert gatectl(daemon, "hold") == "nobody's mail is held\n"
            gatectl(daemon, "release", code=2)


def test_orders_come_from_trusted_hosts_and_make_sense():
    with daemon_of(users("ada")) as daemon:
        def post(path, body, **headers):
            request = urllib.request.Request(daemon.http + path, body.encode(),
                                             {"Content-Type": "application/json", **headers}, method="POST")
            try:
                with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        for path in ("sessions/close", "hold", "release"):
            route = f"/api/gatepost/{path}/v1"
            assert post(route, '{"user": "ada"}') == 200
            assert post(route, "{}") == 400
            assert post(route, '{"user": 5}') == 400
            assert post(route, '{"user": "a\\u0000b"}') == 400
            assert post(route, '{"user": "ada"}', Origin="http://page.example") == 403
