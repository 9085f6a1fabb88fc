# SPDX-License-Identifier: Apache-2.0
"""gatectl auth as an operator uses it: what is remembered of users and addresses, and why somebody would get in or not."""

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import urllib.error
import urllib.request

import pytest
from gatepost import BUILD, DEADLINE, SERVICE_USER, Daemon, Talk, give, make_dir
from policies import policy
from redis import RedisServer, wait_for_redis
from tokens import AUDIENCE, Key, claims, key_set
from web import WebServer

GATECTL = BUILD / "src" / "ctl" / "gatectl"
RUN_AS = ["--run-as", SERVICE_USER] if os.geteuid() == 0 else []
PASSWORDS = ("tiger-canary-7", "laptop-canary-7", "wrong-canary-7")
RULES = """
mechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256"]
[user.ann]
password = "{PLAIN}tiger-canary-7"
groups = ["staff"]
tenants = ["blue"]
senders = ["@ann.example"]
may_act_as = ["@ann.example"]
[[user.ann.secrets]]
label = "laptop"
password = "{PLAIN}laptop-canary-7"
networks = ["10.0.0.0/8"]
[user.bob]
password = "{PLAIN}x"
disabled = true
[user.cat]
password = "$2b$04$saltsaltsaltsaltsaltse.lAjwcMekOoUr899AX17msOSsXnW5nm"
networks = ["192.0.2.0/24"]
[guessing]
trusted = []
delay = "0s"
address_user_limit = 3
half_life = "1h"
block_for = "1h"
[identity]
mode = "reject"
[budget.all]
messages_per_hour = 100
"""
POLICY = policy("require('gatepost.auth'):setup { '@DIR@/auth.toml' }", listener=", auth_failure_delay = '0s'")


def run(*args, stdin="") -> subprocess.CompletedProcess:
    words = [arg if isinstance(arg, bytes) else str(arg) for arg in args]
    shown = subprocess.run([GATECTL, "auth", *words], input=stdin, capture_output=True, text=True, check=False,
                           timeout=DEADLINE)
    for password in PASSWORDS:
        assert password not in shown.stdout + shown.stderr
    return shown


@pytest.fixture(scope="module")
def rules():
    path = make_dir() / "auth.toml"
    path.write_text(RULES)
    give(path)
    return path


def explain(*args, config=None, stdin="", code=0) -> dict:
    how = ["--config", config, *RUN_AS] if config else []
    shown = run("test", *how, "--json", *args, stdin=stdin)
    assert shown.returncode == code, shown
    answer = json.loads(shown.stdout)
    answer["by"] = {rule["rule"]: rule for rule in answer["rules"]}
    return answer


# ---- without a daemon

def test_an_explanation_for_people(rules):
    shown = run("test", "--config", rules, *RUN_AS, "--user", "ann", "--from", "192.0.2.7")
    assert shown.returncode == 0, shown
    assert shown.stdout.startswith("ann from 192.0.2.7 by PLAIN: let in, if the password is right\n")
    for line in ("  ok    store        user has the record of ann", "  ok    disabled     the user is not disabled",
                 "        groups       staff", '        tenants      ["blue"]',
                 "        budget       all of ann: messages_per_hour: 0 of 100"):
        assert line in shown.stdout.splitlines(), shown.stdout
    assert "Not asked: handlers of the policy" in shown.stdout


@pytest.mark.parametrize("args, stdin, reason, rule, result", [
    (["--user", "nobody", "--from", "192.0.2.7"], None, "no_user", "store", "refuses"),
    (["--user", "bob", "--from", "192.0.2.7"], None, "disabled", "disabled", "refuses"),
    (["--user", "cat", "--from", "198.51.100.7"], None, "address_not_allowed", "networks", "refuses"),
    (["--user", "ann", "--from", "192.0.2.7"], "wrong-canary-7", "bad_password", "secret", "refuses"),
    (["--user", "nobody", "--from", "192.0.2.7"], "wrong-canary-7", "no_user", "secret", "refuses"),
    (["--user", "ann", "--from", "192.0.2.7"], "laptop-canary-7", "address_not_allowed", "secret", "refuses"),
    (["--user", "ann", "--from", "192.0.2.7", "--authzid", "joe@other.example"], None, "authzid_refused", "authzid",
     "refuses"),
    (["--user", "cat", "--from", "192.0.2.7", "--mechanism", "SCRAM-SHA-256"], None, "bad_proof", "scram", "refuses"),
    (["--user", "ann", "--from", "192.0.2.7", "--mechanism", "SCRAM-SHA-1"], None, "no_handler", "mechanism", "refuses"),
])
def test_why_not(rules, args, stdin, reason, rule, result):
    more = ["--password-stdin"] if stdin else []
    answer = explain(*args, *more, config=rules, stdin=f"{stdin}\n" if stdin else "", code=1)
    assert (answer["decision"], answer["reason"]) == ("refused", reason)
    assert answer["by"][rule]["result"] == result, answer["by"]


def test_the_password_is_tried_and_the_secret_named(rules):
    answer = explain("--user", "ann", "--from", "10.1.2.3", "--password-stdin", config=rules, stdin="laptop-canary-7\n")
    assert (answer["decision"], answer["secret"], answer["label"]) == ("let_in", "right", "laptop")
    answer = explain("--user", "ann", "--from", "192.0.2.7", "--password-stdin", config=rules, stdin="tiger-canary-7\n")
    assert (answer["secret"], answer["label"]) == ("right", "")
    answer = explain("--user", "ann", "--from", "192.0.2.7", "--authzid", "info@ann.example", "--mechanism",
                     "SCRAM-SHA-256", config=rules)
    assert answer["by"]["authzid"]["result"] == answer["by"]["scram"]["result"] == "passes"


def test_a_sender_is_tried(rules):
    for address, result in (("x@ann.example", "passes"), ("x@other.example", "refuses")):
        answer = explain("--user", "ann", "--from", "192.0.2.7", "--mail-from", address, config=rules)
        assert answer["by"]["mail_from"]["result"] == result


def test_tokens_are_tried_too():
    key, issuer = Key("EdDSA"), "https://id.example"
    folder = make_dir()
    for name, text in {"keys.json": key_set(key), "auth.toml": f"""[store.sso]
driver = 'jwt'
issuer = '{issuer}'
audience = '{AUDIENCE}'
jwks_file = 'keys.json'
"""}.items():
        (folder / name).write_text(text)
        give(folder / name)
    how = ["--from", "192.0.2.7", "--mechanism", "OAUTHBEARER", "--password-stdin"]
    token = key.mint(claims(issuer, "ann"))
    answer = explain(*how, config=folder / "auth.toml", stdin=token + "\n")
    assert (answer["decision"], answer["user"], answer["store"]) == ("let_in", "ann", "sso")
    assert token not in json.dumps(answer)
    token = key.mint(claims(issuer, "bob", senders=["bob@ok.example"]))
    rules = (folder / "auth.toml").read_text() + "senders_claim = 'senders'\n[user.bob]\npassword = 'x'\n"
    for more, sender, allows in (("", "bob@ok.example", "token"), ("senders = ['@rec.example']\n", "x@rec.example", "record")):
        (folder / "more.toml").write_text(rules + more)
        give(folder / "more.toml")
        for address, result in ((sender, "passes"), ("ceo@bank.example", "refuses")):
            answer = explain(*how, "--mail-from", address, config=folder / "more.toml", stdin=token + "\n")
            assert answer["by"]["mail_from"]["result"] == result
            assert answer["by"]["identity"]["text"].startswith(f"mode reject; its {allows} allows "), answer
    answer = explain(*how, config=folder / "auth.toml", stdin=Key("EdDSA").mint(claims(issuer, "ann")) + "\n", code=1)
    assert (answer["decision"], answer["reason"], answer["secret"]) == ("refused", "bad_token", "wrong")


@pytest.mark.parametrize("stdin", ["", "tiger-canary-7\n"])
def test_a_store_that_fails_is_no_verdict(stdin):
    path = make_dir() / "auth.toml"
    path.write_text("[store.people]\ndriver = 'sqlite'\npath = '/nowhere/users.db'\n")
    give(path)
    more = ["--password-stdin"] if stdin else []
    answer = explain("--user", "ann", "--from", "::1", *more, config=path, stdin=stdin, code=1)
    assert (answer["decision"], answer["reason"]) == ("no_verdict", "store_error")
    assert answer["by"]["store"]["result"] == "fails" and "people: " in answer["by"]["store"]["text"]


def by_policy(daemon: Daemon, *args) -> subprocess.CompletedProcess:
    env = {**os.environ, "GATEPOST_LUA_PATH": daemon.env["GATEPOST_LUA_PATH"]}
    return subprocess.run([GATECTL, "auth", "test", "--config", daemon.policy, *RUN_AS, "--json", *args],
                          capture_output=True, text=True, check=False, timeout=DEADLINE, env=env)


def test_a_policys_rules_are_tested_without_running_it():
    never = "kumo.on('init', function() error('init was run') end)"
    daemon = Daemon(POLICY.replace("kumo.on('init'", never + "\nkumo.on('pre_init'", 1), files={"auth.toml": RULES})
    shown = by_policy(daemon, "--user", "bob", "--from", "::1")
    assert shown.returncode == 1, shown
    assert json.loads(shown.stdout)["reason"] == "disabled"
    assert not (daemon.dir / "spool").exists()


def test_a_policys_listeners_are_those_of_its_init():
    """Nothing is bound, opened or made for that, and validate_config is not asked. Somebody may have the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        here = f"127.0.0.1:{taken.getsockname()[1]}"
        text = POLICY.replace("kumo.start_esmtp_listener { listen = '127.0.0.1:0'",
                              f"kumo.start_esmtp_listener {{ listen = '{here}', auth_mechanisms = {{ 'LOGIN' }}, "
                              "peer = { ['192.0.2.9'] = { auth_mechanisms = { 'PLAIN' } } }")
        assert here in text
        text += "\nkumo.on('validate_config', function() error('validate_config was run') end)"
        daemon = Daemon(text, files={"auth.toml": RULES})
        for where, peer, result, decision in ((here, "192.0.2.9", "passes", "let_in"), (here, "192.0.2.7", "refuses", "refused"),
                                              ("127.0.0.1:1", "192.0.2.9", "refuses", "refused")):
            shown = by_policy(daemon, "--user", "ann", "--from", peer, "--listener", where)
            assert shown.returncode == (decision != "let_in"), shown
            answer = json.loads(shown.stdout)
            [rule] = [rule for rule in answer["rules"] if rule["rule"] == "listener"]
            assert (rule["result"], answer["decision"]) == (result, decision), answer
        assert sorted(path.name for path in daemon.dir.iterdir() if path.name in ("spool", "logs")) == []


def test_an_init_that_fails_is_told_where_a_listener_is_asked_for():
    daemon = Daemon(POLICY + "\nkumo.on('pre_init', function() error('no listeners today') end)", files={"auth.toml": RULES})
    shown = by_policy(daemon, "--user", "ann", "--from", "::1", "--listener", "127.0.0.1:25")
    assert shown.returncode == 1 and "no listeners today" in shown.stderr and not shown.stdout, shown


@pytest.mark.parametrize("args, word", [
    (["--user", "ann", "--from", "192.0.2"], "'from' must be an IP address"),
    (["--user", "ann", "--from", "192.0.2.7", "--mechanism", "CRAM-MD5"], "there is no mechanism 'CRAM-MD5'"),
    (["--user", "a\tb", "--from", "192.0.2.7"], "no user's name"),
])
def test_questions_that_cannot_be_answered(rules, args, word):
    shown = run("test", "--config", rules, *RUN_AS, *args)
    assert shown.returncode == 1 and word in shown.stderr and not shown.stdout, shown


def test_rules_that_cannot_be_read():
    path = make_dir() / "auth.toml"
    path.write_text("[user.ann]\npassord = 1\n")
    give(path)
    shown = run("test", "--config", path, *RUN_AS, "--user", "ann", "--from", "::1")
    assert shown.returncode == 1 and "auth.toml:" in shown.stderr and "passord" in shown.stderr, shown
    shown = run("test", "--config", path.parent / "none.toml", *RUN_AS, "--user", "ann", "--from", "::1")
    assert shown.returncode == 1 and "none.toml" in shown.stderr


@pytest.mark.parametrize("args", [[], ["nonsense"], ["unlock"], ["block"], ["purge"], ["show", "a", "b"], ["test"],
                                  ["test", "--user", "ann"], ["show", "--all"], ["purge", "ann", "--all"],
                                  ["test", "--user", "ann", "--from", "::1", "--config", "x.toml", "--listener", "[::1]:25"],
                                  ["block", "ann", "--for", "soon"], ["block", "ann", "--for", "1ms"],
                                  ["block", "ann", "--sessions"], ["unlock", "ann", "--for", "1h"],
                                  ["show", "--config", "x"], ["purge", "ann", "--user", "bob"], ["purge", "--all", "ann"],
                                  ["show", b"\xff"], ["test", "--user", b"\xff", "--from", "::1"]])
def test_wrong_command_lines(args):
    shown = run(*args)
    assert shown.returncode == 2 and shown.stderr and not shown.stdout, shown


# ---- with one

@pytest.fixture
def daemon():
    with Daemon(POLICY, files={"auth.toml": RULES}) as running:
        yield running


def ask(daemon, *args, code=0, **more) -> str:
    shown = run(*args, "--endpoint", daemon.http, **more)
    assert shown.returncode == code, shown
    return shown.stdout


def log_in(daemon, user, password, source="127.0.0.5") -> str:
    with Talk(daemon.port, source=source) as client:
        return client.login(user, password)[:3]


def entries(daemon, *who) -> dict:
    """By what they are."""
    answer = json.loads(ask(daemon, "show", *who, "--json"))
    assert answer["is_complete"] and not answer["is_local"]
    return {entry["what"]: entry for entry in answer["entries"]}


def test_a_lock_is_seen_explained_and_taken_away(daemon):
    assert ask(daemon, "show") == "nobody is locked, held or blocked\n"
    assert ask(daemon, "show", "ann") == "nothing is remembered of ann\n"
    for guess in ("one", "two", "three", "four"):
        assert log_in(daemon, "ann", guess) == "535"
    assert log_in(daemon, "ann", "tiger-canary-7") == "535"

    for who in ("ann", "127.0.0.5"):
        seen = entries(daemon, who)
        assert seen["locked"]["address"] == "127.0.0.5/32" and seen["locked"]["user"] == "ann", seen
        assert 3500 < seen["locked"]["left_seconds"] <= 3600
        assert seen["failures"]["value"] > 2
    table = ask(daemon, "show").splitlines()
    assert table[0].split() == ["what", "user", "address", "value", "left"]
    assert table[1].split()[:3] == ["locked", "ann", "127.0.0.5/32"]

    where = ["--endpoint", daemon.http, "--user", "ann", "--from"]
    answer = explain(*where, "127.0.0.5", "--password-stdin", stdin="tiger-canary-7\n", code=1)
    assert (answer["decision"], answer["reason"], answer["secret"]) == ("refused", "locked", "right")
    assert answer["by"]["address_user"]["result"] == "refuses" and answer["by"]["address_user"]["left_seconds"] > 3500
    assert explain(*where, "127.0.0.6")["decision"] == "let_in"

    assert ask(daemon, "unlock", "ann") == "ann is unlocked\n"
    assert ask(daemon, "unlock", "ann") == "ann was not locked; nothing was counted either\n"
    assert log_in(daemon, "ann", "tiger-canary-7") == "235"
    assert set(entries(daemon, "ann")) == {"known"}
    answer = explain(*where, "127.0.0.5")
    assert answer["by"]["known"]["applies"]
    used = [rule["text"] for rule in answer["rules"] if rule["rule"] == "secrets"]
    assert ", last used 20" in used[0] and "last used" not in used[1], used
    daemon.err.wait("an operator unlocks ann")


class Told(WebServer):
    """A daemon that answers one thing."""

    def __init__(self, answer: dict):
        self.answer = json.dumps(answer).encode()
        self.serve()

    def handle(self, request, body):
        request.send_response(200)
        request.send_header("Content-Length", str(len(self.answer)))
        request.end_headers()
        request.wfile.write(self.answer)


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("change, complaint", [
    ({"is_complete": True, "is_local": False}, None), ({}, None),  # an older daemon says nothing of it
    ({"is_complete": False, "is_local": False}, "locks of a user at an address may be left"),
    ({"is_complete": True, "is_local": True}, "do it again when Redis is back"),
])
def test_an_unlock_that_may_have_left_something_is_a_failure(change, complaint, options):
    with Told({"changed": 5, **change}) as told:
        shown = run("unlock", "192.0.2.7", "--endpoint", told.address, *options)
    assert shown.returncode == (1 if complaint else 0), shown
    assert (complaint in shown.stderr) if complaint else not shown.stderr
    assert options or shown.stdout == "192.0.2.7 is unlocked\n"


def test_an_unlock_without_redis_is_this_nodes_own():
    with RedisServer() as redis:
        rules = RULES + f"[shared]\nredis = '{redis.address}'\nsecret = '0123456789abcdef'\ntimeout = '10s'\n"
        with Daemon(POLICY, files={"auth.toml": rules}) as daemon:
            wait_for_redis(daemon)
            ask(daemon, "block", "192.0.2.7")
            ask(daemon, "unlock", "192.0.2.7")
            redis.kill()
            wait_for_redis(daemon, used=False)
            ask(daemon, "block", "192.0.2.7")
            shown = run("unlock", "192.0.2.7", "--endpoint", daemon.http)
            assert shown.returncode == 1 and shown.stdout == "192.0.2.7 is unlocked\n", shown
            assert "this node alone has forgotten it" in shown.stderr


def test_what_a_listener_says(daemon):
    here = f"127.0.0.1:{daemon.port}"
    where = ["--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5", "--listener"]
    by = explain(*where, here)["by"]
    assert by["listener"]["text"] == f"{here} takes PLAIN under TLS" and "relay_hosts" not in by
    assert explain(*where, "127.0.0.1:1", code=1)["by"]["listener"]["text"] == "there is no such listener"
    ask(daemon, "block", "127.0.0.5", "--for", "1h")
    assert explain(*where, here, code=1)["by"]["greeting"]["result"] == "note"


def test_what_a_listener_says_of_its_own():
    listener = (", auth_mechanisms = { 'LOGIN' }, refuse_before_tls = true, relay_hosts = { '127.0.0.5' },"
                " peer = { ['127.0.0.9'] = { auth_mechanisms = { 'PLAIN' } } }")
    setup = "require('gatepost.auth'):setup { '@DIR@/auth.toml' }"
    with Daemon(policy(setup, listener=listener), files={"auth.toml": RULES}) as daemon:
        here = f"127.0.0.1:{daemon.port}"
        where = ["--endpoint", daemon.http, "--user", "ann", "--listener", here, "--from"]
        answer = explain(*where, "127.0.0.5", code=1)
        assert answer["by"]["listener"]["result"] == "refuses" and answer["decision"] == "refused"
        assert answer["by"]["relay_hosts"]["result"] == "note"
        assert explain(*where, "127.0.0.9")["by"]["listener"]["result"] == "passes"
        ask(daemon, "block", "127.0.0.9")
        assert explain(*where, "127.0.0.9", code=1)["by"]["greeting"]["result"] == "refuses"


def test_a_test_counts_nothing(daemon):
    for guess in ("one", "two", "three", "four", "five"):
        answer = explain("--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5", "--password-stdin",
                         stdin=guess + "\n", code=1)
        assert (answer["reason"], answer["secret"]) == ("bad_password", "wrong")
    assert entries(daemon, "ann") == {} == entries(daemon, "127.0.0.5")
    assert log_in(daemon, "ann", "tiger-canary-7") == "235"


def test_an_address_is_blocked_for_a_while(daemon):
    assert ask(daemon, "block", "127.0.0.5", "--for", "2h") == "127.0.0.5 is blocked for 2h\n"
    assert log_in(daemon, "ann", "tiger-canary-7") == "535"
    assert log_in(daemon, "ann", "tiger-canary-7", source="127.0.0.6") == "235"
    assert 7000 < entries(daemon)["blocked"]["left_seconds"] <= 7200
    answer = explain("--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5", code=1)
    assert answer["by"]["blocked"]["result"] == "refuses"
    ask(daemon, "unlock", "127.0.0.5/32")
    assert log_in(daemon, "ann", "tiger-canary-7") == "235"
    for network in ("127.0.0.0/8", "127.0.0.5/33", "2001:db8::/32"):  # nothing would come of it
        shown = run("block", network, "--endpoint", daemon.http)
        assert shown.returncode == 1 and "network of another size" in shown.stderr, shown
    ask(daemon, "block", "2001:db8::/56")


def test_a_user_is_held_from_everywhere(daemon):
    assert log_in(daemon, "ann", "tiger-canary-7") == "235"
    assert ask(daemon, "block", "ann") == "ann is blocked until it is unlocked\n"
    assert log_in(daemon, "ann", "tiger-canary-7") == "535" == log_in(daemon, "ann", "tiger-canary-7", "127.0.0.6")
    assert entries(daemon, "ann")["held"]["left_seconds"] > 86400
    assert explain("--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5",
                   code=1)["by"]["held"]["result"] == "refuses"
    assert ask(daemon, "show").splitlines()[1].split(None, 2) == ["held", "ann", "-        -      until unlocked"]
    shown = run("test", "--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5").stdout
    assert "the user is held, until it is unlocked\n" in shown, shown
    ask(daemon, "unlock", "ann")
    assert log_in(daemon, "ann", "tiger-canary-7") == "235"


def test_sessions_in_use_refuse_the_next_one():
    rules = RULES + "sessions = 1\n"
    with Daemon(POLICY, files={"auth.toml": rules}) as daemon:
        where = ["--endpoint", daemon.http, "--user", "ann", "--from", "127.0.0.5", "--password-stdin"]
        assert explain(*where, stdin="tiger-canary-7\n")["decision"] == "let_in"
        with Talk(daemon.port, source="127.0.0.5") as first:
            assert first.login("ann", "tiger-canary-7")[:3] == "235"
            for _ in range(2):  # a test takes no session
                answer = explain(*where, stdin="tiger-canary-7\n", code=1)
                assert (answer["decision"], answer["reason"], answer["secret"]) == ("refused", "budget", "right")
            results = {rule["text"].split(":")[1]: rule["result"] for rule in answer["rules"] if rule["rule"] == "budget"}
            assert results == {" sessions": "refuses", " messages_per_hour": "note"}
            assert explain(*where[:-1], code=1)["reason"] == "budget"
            assert explain(*where, stdin="wrong-canary-7\n", code=1)["reason"] == "bad_password"
            with Talk(daemon.port, source="127.0.0.5") as second:
                assert second.login("ann", "tiger-canary-7").startswith("421 4.7.0 limit sessions of budget all")
            assert first.ask("QUIT").startswith("221")
            assert first.closed()
        assert log_in(daemon, "ann", "tiger-canary-7") == "235"


@pytest.mark.parametrize("hold", [True, False])
def test_a_right_password_that_looks_like_a_guess(hold):
    rules = RULES.replace("address_user_limit = 3", f"hold = {str(hold).lower()}")
    with Daemon(POLICY, files={"auth.toml": rules}) as daemon:
        where = ["--endpoint", daemon.http, "--user", "ann", "--from"]
        for guess in range(6):
            assert log_in(daemon, "ann", f"guess-{guess}") == "535"
        for _ in range(2):  # nobody is held for a test, nor doubted
            answer = explain(*where, "127.0.0.5", "--password-stdin", stdin="tiger-canary-7\n", code=int(hold))
            assert (answer["decision"], answer["reason"]) == (("refused", "locked") if hold else ("let_in", "ok"))
            assert answer["secret"] == "right"
            assert answer["by"]["success_after_failures"]["result"] == ("refuses" if hold else "note")
        answer = explain(*where, "127.0.0.6")
        assert "success_after_failures" not in answer["by"] and answer["by"]["held"]["result"] == "passes"
        assert set(entries(daemon, "ann")) == {"failures"}
        assert log_in(daemon, "ann", "tiger-canary-7") == ("535" if hold else "235")
        answer = explain(*where, "127.0.0.5", code=int(hold))
        assert answer["by"]["held"]["applies"] == hold
        assert "success_after_failures" not in answer["by"]  # it is held, or has been let in


def test_limits_that_make_no_sense_are_no_verdict():
    daemon = Daemon(POLICY, files={"auth.toml": "[store.people]\ndriver = 'sqlite'\npath = '@DIR@/users.db'\n"})
    with contextlib.closing(sqlite3.connect(daemon.dir / "users.db")) as db:
        db.execute("CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT, limits TEXT)")
        db.execute("""INSERT INTO users VALUES ('dan', '{PLAIN}old-canary-7', '{"messages_per_hour": "many"}')""")
        db.execute("""INSERT INTO users VALUES ('eve', '{PLAIN}old-canary-7', '{"messages_per_hour": 7}')""")
        db.commit()
    give(daemon.dir / "users.db")
    with daemon:
        where = ["--endpoint", daemon.http, "--from", "127.0.0.5", "--user"]
        for more, stdin in (["--password-stdin"], "old-canary-7\n"), ([], ""):
            answer = explain(*where, "dan", *more, stdin=stdin, code=1)
            assert (answer["decision"], answer["reason"]) == ("no_verdict", "store_error")
            assert answer["by"]["budget"]["result"] == "fails" and "messages_per_hour" in answer["by"]["budget"]["text"]
            assert explain(*where, "eve", *more, stdin=stdin)["decision"] == "let_in"
        assert log_in(daemon, "dan", "old-canary-7") == "454"
        assert log_in(daemon, "eve", "old-canary-7") == "235"


def test_cached_records_are_forgotten():
    users = "[store.people]\ndriver = 'sqlite'\npath = '@DIR@/users.db'\n[cache]\npositive_ttl = '1h'\n"
    daemon = Daemon(POLICY, files={"auth.toml": users})
    with contextlib.closing(sqlite3.connect(daemon.dir / "users.db")) as db:
        db.execute("CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT)")
        db.execute("INSERT INTO users VALUES ('dan', 'old-canary-7')")
        db.commit()
    give(daemon.dir / "users.db")
    with daemon:
        assert log_in(daemon, "dan", "old-canary-7") == "235"
        with contextlib.closing(sqlite3.connect(daemon.dir / "users.db")) as db:
            db.execute("DELETE FROM users")
            db.commit()
        assert log_in(daemon, "dan", "old-canary-7") == "235"
        assert ask(daemon, "purge", "dan") == "1 cached records are forgotten\n"
        assert log_in(daemon, "dan", "old-canary-7") == "535"
        ask(daemon, "purge", "--all")


def test_a_purge_closes_the_users_sessions_too(daemon):
    with Talk(daemon.port, source="127.0.0.5") as hers, Talk(daemon.port, source="127.0.0.5") as others:
        assert hers.login("ann", "tiger-canary-7")[:3] == "235"
        others.ask("EHLO other.example")
        assert ask(daemon, "purge", "ANN", "--sessions").endswith(" forgotten, 1 sessions are being closed\n")
        assert hers.read_reply().startswith("421 ") and hers.closed()
        assert others.ask("NOOP").startswith("250")
        assert ask(daemon, "purge", "ann", "--sessions").endswith(", 0 sessions are being closed\n")
    ask(daemon, "purge", "--all", "--sessions", code=1)


def test_without_a_gate_there_is_nobody_to_ask():
    with Daemon(policy()) as daemon:
        for args in (["show"], ["unlock", "ann"], ["block", "ann"], ["purge", "ann"],
                     ["test", "--user", "ann", "--from", "::1"]):
            shown = run(*args, "--endpoint", daemon.http)
            assert shown.returncode == 1 and "there is no gate to ask" in shown.stderr, shown


def post(daemon, verb, body, content_type="application/json") -> int:
    request = urllib.request.Request(f"{daemon.http}/api/gatepost/auth/{verb}/v1", data=body.encode(),
                                     headers={"Content-Type": content_type})
    try:
        return urllib.request.urlopen(request, timeout=DEADLINE).status
    except urllib.error.HTTPError as refusal:
        assert "error" in json.load(refusal)
        return refusal.code


def test_questions_over_http_that_make_no_sense(daemon):
    for verb in ("unlock", "block", "purge"):
        for body in ("{}", '{"who": 1, "user": 1}', '{"who": "", "user": ""}', '{"who": "a\\nb", "user": "a\\nb"}', "[]",
                     json.dumps({"who": "a" * 2000, "user": "a" * 2000})):
            assert post(daemon, verb, body) == 400, (verb, body)
    for seconds in ("0", "-1", "1e9", '"1"', "99999999999"):
        assert post(daemon, "block", f'{{"who": "ann", "seconds": {seconds}}}') == 400
    for body in ("{}", '{"user": "ann"}', '{"user": "ann", "from": "localhost"}', '{"from": "::1"}',
                 '{"from": "::1", "user": 7}', '{"from": "::1", "user": "ann", "mechanism": "X"}'):
        assert post(daemon, "test", body) == 400, body
    assert post(daemon, "unlock", '{"who": "ann"}', "text/plain") == 415
    assert entries(daemon) == {}


def test_questions_that_wait_leave_room_for_monitors():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(DEADLINE)
        store = f"""[store.slow]
driver = 'http-record'
url = 'http://127.0.0.1:{silent.getsockname()[1]}/{{user}}'
timeout = '60s'
"""
        with Daemon(POLICY, files={"auth.toml": store}) as daemon:
            ask_of = ["auth", "test", "--endpoint", daemon.http, "--from", "::1", "--user"]
            asking, held = [], []
            for number in range(4):
                asking.append(subprocess.Popen([GATECTL, *ask_of, f"user{number}"], stdout=subprocess.PIPE, text=True))
                held.append(silent.accept()[0])
            shown = run("show", "--endpoint", daemon.http)
            assert shown.returncode == 1 and "others are asking" in shown.stderr, shown
            assert subprocess.run([GATECTL, "status", "--endpoint", daemon.http], check=False, timeout=DEADLINE,
                                  stdout=subprocess.DEVNULL).returncode == 0
            for connection in held:
                connection.close()
            for one in asking:
                assert "no verdict: store_error" in one.communicate(timeout=DEADLINE)[0]
                assert one.returncode == 1
            assert ask(daemon, "show") == "nobody is locked, held or blocked\n"


def test_many_ask_at_once_and_a_stop_waits_for_the_answers():
    with Daemon(POLICY, files={"auth.toml": RULES}) as daemon:
        asking = [subprocess.Popen([GATECTL, "auth", "test", "--endpoint", daemon.http, "--user", "cat", "--from",
                                    "192.0.2.7", "--password-stdin"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL) for _ in range(20)]
        for one in asking[:10]:
            one.communicate(b"wrong-canary-7\n", timeout=DEADLINE)
            assert one.returncode == 1
        for one in asking[10:]:
            one.stdin.write(b"wrong-canary-7\n")
            one.stdin.close()
    for one in asking[10:]:
        one.wait(DEADLINE)
