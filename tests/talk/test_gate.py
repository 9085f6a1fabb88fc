# SPDX-License-Identifier: Apache-2.0
"""Users from auth.toml: every hash, several secrets, times and networks, reloading, and a policy's word over it.

The hashes come from other programs than ours (libargon2's tool, libxcrypt, Python's hashlib).
"""

import base64
import hashlib
import hmac
import re
import shutil
import signal
import threading
import time

import pytest
from gatepost import DEADLINE, ROOT, Daemon, Talk, make_dir
from policies import policy, without_floors
from sasl import Scram, scram_login
from test_budgets import gatectl

QUICK = ", auth_failure_delay = '0s'"
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
REFUSED = "535 5.7.8 authentication failed"


def scram(password: str, name: str, rounds: int = 4096, salt: bytes = b"saltsaltsaltsalt") -> str:
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, rounds)
    stored = hashlib.new(name, hmac.digest(salted, b"Client Key", name)).digest()
    server = hmac.digest(salted, b"Server Key", name)
    return ",".join([str(rounds), *(base64.b64encode(part).decode() for part in (salt, stored, server))])


# all of "tiger"
HASHES = {
    "plain": "{PLAIN}tiger",
    "argon2id": "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$te/LjimOzlXB01fCP2dykTBFtsKVeFEphkJ4wc2C7SA",
    "argon2i": "$argon2i$v=19$m=1024,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$GcjOm40vgq2KiqU8AsApTMrrmQYUFMOM1BtRcNaC+qI",
    "bcrypt": "$2b$04$saltsaltsaltsaltsaltse.lAjwcMekOoUr899AX17msOSsXnW5nm",
    "yescrypt": "$y$j75$saltsaltsalt$gmhZt/nmzcr/s94n54qeSGwWIVEikIBMFDnGUlR5Y83",
    "scrypt": "$7$CU..../....saltsaltsalt$Cn285BbprNlZCzTPDOOt9EAApTiT2J2i/czlEL92j.9",
    "sha512-crypt": "$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2y13YMgLCAorx"
                    "zCoZnLmWdp1",
    "sha256-crypt": "$5$rounds=1000$saltsalt$jRDOaS.YCZkAi9nWXuG0lR9NKGXyETLlFy0B4y5ivzC",
    "md5-crypt": "$1$saltsalt$qAJipg6knFNk327HJvFhb/",
    "pbkdf2": "$pbkdf2-sha256$1000$c2FsdHNhbHRzYWx0c2FsdA$wYb3qbqHD2CymgMlfeB9jq6fWzX6JqollFXP7B9BpBU",
    "scram-sha-256": "{SCRAM-SHA-256}" + scram("tiger", "sha256"),
    "scram-sha-1": "{SCRAM-SHA-1}" + scram("tiger", "sha1"),
    "prefixed": "{SHA512-CRYPT}$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2"
                "y13YMgLCAorxzCoZnLmWdp1",
}

USERS = "".join(f"[user.'{name}']\npassword = '{stored}'\n" for name, stored in HASHES.items()) + """
[user.gone]
password = 'tiger'
disabled = true
[user.past]
password = 'tiger'
not_after = 2001-01-01T00:00:00Z
[user.elsewhere]
password = 'tiger'
networks = ['192.0.2.0/24']
[user.here]
password = 'tiger'
networks = ['127.0.0.0/8', '192.0.2.0/24']
[user.'Ann@Example.COM']
password = 'tiger'
groups = ['staff']
may_act_as = ['bob', '@lists.example']

[user.apps]
[[user.apps.secrets]]
label = 'printer'
password = 'one'
scopes = ['relay']
[[user.apps.secrets]]
label = 'old phone'
password = 'two'
not_after = '2001-01-01T00:00:00Z'
[[user.apps.secrets]]
label = 'injector'
password = 'three'
scopes = ['inject']
"""


def login(daemon: Daemon, user: str, password: str, authz: str = "") -> str:
    with Talk(daemon.port) as client:
        return client.login(user, password, authz)


@pytest.fixture(scope="module")
def daemon():
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": USERS}) as made:
        yield made


@pytest.mark.parametrize("user", HASHES)
def test_every_kind_of_hash(daemon, user):
    assert login(daemon, user, "tiger").startswith("235 2.7.0")
    assert login(daemon, user, "tiger").startswith("235 2.7.0")
    assert login(daemon, user, "lion") == REFUSED
    assert login(daemon, user, "").startswith("5")
    assert login(daemon, user, HASHES[user]) == REFUSED


@pytest.mark.parametrize("user, password", [
    ("nobody", "tiger"), ("gone", "tiger"), ("gone", "lion"), ("past", "tiger"), ("elsewhere", "tiger"),
    ("apps", "two"), ("apps", "three"), ("apps", "four"), ("ANN@example.com", "tiger"),
])
def test_all_refusals_are_one(daemon, user, password):
    assert login(daemon, user, password) == REFUSED


@pytest.mark.parametrize("user, password, word", [
    ("nobody", "tiger", "no_user"), ("gone", "tiger", "disabled"), ("gone", "lion", "bad_password"),
    ("past", "tiger", "expired"), ("elsewhere", "tiger", "address_not_allowed"), ("apps", "two", "expired"),
    ("apps", "three", "not_for_relay"), ("apps", "four", "bad_password"),
])
def test_the_log_says_which(daemon, user, password, word):
    before = len(daemon.err.find(rf"login .*authcid={user} .*result={word}\b"))
    login(daemon, user, password)
    daemon.err.wait(rf"login .*authcid={user} .*result={word}\b", before + 1)


def test_networks_and_app_passwords(daemon):
    assert login(daemon, "here", "tiger").startswith("235")
    assert login(daemon, "apps", "one").startswith("235")


@pytest.mark.parametrize("authz, allowed", [
    ("", True), ("Ann@Example.COM", True), ("bob", True), ("x@lists.example", True), ("x@LISTS.EXAMPLE", True),
    ("eve", False), ("x@sub.lists.example", False), ("@lists.example", False), ("ann@example.com", False),
])
def test_acting_as_another(daemon, authz, allowed):
    assert login(daemon, "Ann@Example.COM", "tiger", authz).startswith("235" if allowed else "535")


def test_many_at_once(daemon):
    """More logins than the pool has threads: each gets its own answer."""
    replies = {}

    def one(number):
        right = number % 2 == 0
        replies[number] = (right, login(daemon, "argon2id", "tiger" if right else "lion"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(replies) == 24
    for right, reply in replies.values():
        assert reply.startswith("235" if right else "535")


# ---- reloading ----


def test_a_rotation_without_downtime():
    two = "[user.ann]\n[[user.ann.secrets]]\nlabel = 'a'\npassword = 'old'\n"
    new = "[[user.ann.secrets]]\nlabel = 'b'\npassword = 'new'\n"
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": two}) as daemon:
        assert login(daemon, "ann", "old").startswith("235")
        assert login(daemon, "ann", "new") == REFUSED
        daemon.replace("auth.toml", two + new)
        daemon.reload()
        assert login(daemon, "ann", "new").startswith("235")
        assert login(daemon, "ann", "old").startswith("235")
        daemon.replace("auth.toml", "[user.ann]\n" + new)
        daemon.reload()
        assert login(daemon, "ann", "old") == REFUSED
        assert login(daemon, "ann", "new").startswith("235")


def test_a_broken_file_keeps_the_old_rules():
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": "[user.ann]\npassword = 'old'\n"}) as daemon:
        assert login(daemon, "ann", "old").startswith("235")
        daemon.replace("auth.toml", "[user.ann]\npassword = 'new'\nnetwork = '10.0.0.0/8'\n")
        daemon.reload()
        for _ in range(4):
            assert login(daemon, "ann", "old").startswith("235")
        daemon.err.wait(r"auth\.toml:\d+: user\.ann")
        daemon.replace("auth.toml", "[user.ann]\npassword = 'new'\n")
        daemon.reload()
        assert login(daemon, "ann", "new").startswith("235")
        assert login(daemon, "ann", "old") == REFUSED


def test_an_edit_is_noticed_wherever_the_file_is():
    folder = make_dir()
    path = folder / "users.toml"
    path.write_text("[user.ann]\npassword = 'old'\n")
    folder.chmod(0o755)
    setup = f"local auth = require 'gatepost.auth'\nauth:setup('{path}')\n"
    with Daemon(policy(setup, listener=QUICK)) as daemon:
        assert login(daemon, "ann", "old").startswith("235")
        path.write_text("[user.ann]\npassword = 'another'\n")
        daemon.err.wait("a configuration file has changed")
        assert login(daemon, "ann", "another").startswith("235")
    path.unlink()
    folder.rmdir()


def test_cut_while_passwords_are_hashed():
    """Verifications come back to loops that still run, or their sessions' memory would be lost or used after its end."""
    users = "[user.ann]\npassword = '$2b$10$" + "a" * 53 + "'\n[password]\nthreads = 1\n"
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": users}) as daemon:
        clients = [Talk(daemon.port) for _ in range(12)]
        for client in clients:
            client.expect("EHLO me", "250")
            client.starttls()
            client.expect("EHLO me", "250")
        for client in clients:
            client.line("AUTH PLAIN " + base64.b64encode(b"\0ann\0lion").decode())
        daemon.process.send_signal(signal.SIGTERM)
        daemon.err.wait("stopping")
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.wait(DEADLINE) == 0
        daemon.err.thread.join(DEADLINE)
        daemon.check_sanitizers()
        for client in clients:
            client.close()


# ---- when secrets were last used ----


def test_when_secrets_were_used_outlives_the_daemon():
    """Else an operator who looks after a restart takes away what is in use."""
    directory = make_dir()
    users = "last_used = 'used'\n[user.ann]\npassword = 'tiger'\n[user.bob]\npassword = 'lion'\n"

    def run(user: str, password: str) -> dict[str, int]:
        with Daemon(policy(SETUP, listener=QUICK), directory=directory, files={"auth.toml": users}) as daemon:
            assert login(daemon, user, password).startswith("235")
        rows = [line.split("\t") for line in (directory / "used").read_text().splitlines()]
        return {name: int(at) for at, name, label in rows if not label}

    try:
        before = time.time() * 1000 - 1
        first = run("ann", "tiger")
        assert list(first) == ["ann"] and before < first["ann"] < time.time() * 1000 + 1
        second = run("bob", "lion")
        assert second["ann"] == first["ann"] and second["bob"] > second["ann"]
        assert (directory / "used").stat().st_mode & 0o777 == 0o600
        (directory / "used").write_text("something else\n")
        refused = Daemon(policy(SETUP), directory=directory, files={"auth.toml": users}).run_to_end("--validate")
        assert refused.returncode != 0 and "auth.toml:1: last_used: " in refused.stderr, refused.stderr
    finally:
        shutil.rmtree(directory)


# ---- what is refused at the start ----

BAD = {
    "no such setting": ("[user.ann]\npassword = 'x'\n\n[cache]\nttl = 5\n", r"auth\.toml:5: cache\.ttl: "),
    "no such field": ("[user.ann]\npassword = 'x'\ncolour = 'red'\n", r"auth\.toml:\d: user\.ann"),
    "no such scheme": ("[user.ann]\npassword = 'x'\n[password]\nscheme = 'md6'\n", r"auth\.toml:4: password\.scheme: "),
    "no such driver": ("[store.people]\ndriver = 'rolodex'\n", r"auth\.toml:2: store\.people\.driver: "),
    "no such mechanism": ("mechanisms = ['CRAM-MD5']\n[user.ann]\npassword = 'x'\n", r"auth\.toml:1: mechanisms: "),
    "no TOML": ("[user.ann]\npassword = \n", r"auth\.toml:2:"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("extra", [[], ["--validate"]])
def test_a_bad_file_stops_the_start(name, extra):
    text, complaint = BAD[name]
    daemon = Daemon(policy(SETUP), files={"auth.toml": text})
    with_daemon = daemon.run_to_end(*extra)
    assert with_daemon.returncode == 1


    assert re.search(complaint, with_daemon.stderr), with_daemon.stderr
    daemon.__exit__(None, None, None)


def test_a_missing_file_stops_the_start():
    daemon = Daemon(policy(SETUP))
    ended = daemon.run_to_end("--validate")
    assert ended.returncode == 1 and "auth.toml" in ended.stderr, ended.stderr
    daemon.__exit__(None, None, None)


def test_a_good_file_is_fine():
    daemon = Daemon(policy(SETUP), files={"auth.toml": USERS})
    ended = daemon.run_to_end("--validate")
    assert ended.returncode == 0, ended.stderr
    assert "plain passwords or fast hashes" in ended.stderr
    daemon.__exit__(None, None, None)


# ---- a policy's word over it ----

OVERRIDE = SETUP + """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if authc == 'banned' then
    return false
  end
  if authc == 'guest' then
    return password == 'welcome'
  end
  if authc:find('^checked') then
    return auth:check_password(authz, authc:sub(9), password, conn_meta)
  end
end)
kumo.on('smtp_server_authenticated', function(info, conn_meta)
  for _, group in ipairs(info.groups) do
    if group == 'suspended' then
      return false
    end
  end
  return { groups = { 'seen' } }
end)
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  kumo.reject(550, '5.7.1 ' .. table.concat(conn_meta:auth_info().groups, ','))
end)
"""
OVERRIDDEN = """
[user.ann]
password = 'tiger'
groups = ['staff']
[user.banned]
password = 'tiger'
[user.late]
password = 'tiger'
groups = ['suspended']
"""


@pytest.fixture(scope="module")
def overridden():
    with Daemon(policy(OVERRIDE, listener=QUICK), files={"auth.toml": OVERRIDDEN}) as made:
        yield made


def test_nil_asks_the_gate(overridden):
    with Talk(overridden.port) as client:
        assert client.login("ann", "tiger").startswith("235")
        assert "staff,seen" in client.expect("MAIL FROM:<a@b.example>", "550")
    assert login(overridden, "ann", "lion") == REFUSED


def test_a_handler_decides_alone(overridden):
    assert login(overridden, "banned", "tiger") == REFUSED
    assert login(overridden, "guest", "welcome").startswith("235")
    assert login(overridden, "guest", "tiger") == REFUSED


def test_after_the_password_there_is_a_last_word(overridden):
    assert login(overridden, "late", "tiger") == REFUSED
    overridden.err.wait("login .*authcid=late .*result=refused")


def test_a_handler_asks_the_gate(overridden):
    with Talk(overridden.port) as client:
        assert client.login("checked-ann", "tiger", "checked-ann").startswith("535")  # as whom it is not
    assert login(overridden, "checked-ann", "lion") == REFUSED


HAND_ON = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  %s
end)
"""
SPELT = """
[store.people]
driver = 'passwd-file'
path = '@DIR@/passwd'
lower_case = true
[budget.b]
sessions = 1
"""


@pytest.mark.parametrize("typed, handler", [
    ("ANN", "return auth:check_password(authz, authc, password, conn_meta)"),
    ("ANN", "return auth:check_password(authz, authc, password, conn_meta) and true"),
    ("ann@office", "local name = authc:gsub('@.*', '') return auth:check_password(name, name, password, conn_meta)"),
], ids=["AuthInfo", "true", "another name"])
def test_whom_a_handler_found_by_the_gate_is_who_it_is(typed, handler):
    """However the name was spelt: the record binds, and blocks, budgets and counters go by the record's name."""
    files = {"auth.toml": SPELT, "passwd": "ann:{PLAIN}tiger:::::: senders=ann@ok.example\n"}
    with Daemon(policy(SETUP, HAND_ON % handler, listener=QUICK), files=files) as daemon:
        with Talk(daemon.port) as client:
            assert client.login(typed, "tiger").startswith("235")
            assert client.ask("MAIL FROM:<boss@evil.example>") == "553 5.7.1 ann may not send as boss@evil.example"
            client.expect("MAIL FROM:<ann@ok.example>", "250")
            assert login(daemon, "ann", "tiger").startswith("421 4.7.0 limit sessions of budget b")
        daemon.err.wait("login .*authcid=ann authzid=ann result=ok")
        assert login(daemon, typed, "lion") == REFUSED
        shown = gatectl(daemon, "auth", "show", "ann")
        assert re.search(r"failures +ann +- +1\b", shown), shown
        gatectl(daemon, "auth", "block", "ann", "--for", "1h")
        assert login(daemon, typed, "tiger") == REFUSED


def test_true_lets_in_with_all_that_the_record_says():
    """Groups and limits too, as the AuthInfo would have it."""
    handler = HAND_ON % "return auth:check_password(authz, authc, password, conn_meta) and true"
    tell = """
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  local info = conn_meta:auth_info()
  kumo.reject(599, table.concat(info.groups, ',') .. ' ' .. tostring(info.limits and info.limits.messages_per_day))
end)
"""
    users = "[user.ann]\npassword = 'tiger'\ngroups = ['staff']\nlimits = { messages_per_day = 7 }\n[budget.b]\nmessages_per_day = 99\n"
    with Daemon(policy(SETUP, handler, tell, listener=QUICK), files={"auth.toml": users}) as daemon, Talk(daemon.port) as client:
        assert client.login("ann", "tiger").startswith("235")
        assert client.ask("MAIL FROM:<ann@ok.example>").startswith("599 staff 7")


def test_guesses_count_for_whom_the_right_one_would_let_in():
    """Where a handler tries a second name: by the name it tried first, if there is such a user, and as the right one does."""
    handler = HAND_ON % """
  return auth:check_password(authz, authc, password, conn_meta) or
    auth:check_password(authz .. '@x.example', authc .. '@x.example', password, conn_meta)"""
    files = {"auth.toml": "[user.ann]\npassword = 'tiger'\n[user.'bob@x.example']\npassword = 'tiger'\n"}
    with Daemon(policy(SETUP, handler, listener=QUICK), files=files) as daemon:
        for typed, user in (("ann", "ann"), ("bob", "bob@x.example")):
            assert login(daemon, typed, "lion") == REFUSED
            shown = gatectl(daemon, "auth", "show", user)
            assert re.search(rf"failures +{user} +- +1\b", shown), shown
            assert login(daemon, typed, "tiger").startswith("235")


def test_who_passes_on_leaves_nothing_of_what_it_asked():
    handler = HAND_ON % "auth:check_password('bob', 'bob', password, conn_meta)"
    files = {"auth.toml": "[user.ann]\npassword = 'tiger'\n[user.bob]\npassword = 'leopard'\n"}
    with Daemon(policy(SETUP, handler, listener=QUICK), files=files) as daemon:
        gatectl(daemon, "auth", "block", "bob", "--for", "1h")
        assert login(daemon, "ann", "tiger").startswith("235")
        gatectl(daemon, "auth", "block", "ann", "--for", "1h")
        assert login(daemon, "ann", "tiger") == REFUSED


def test_what_a_handler_asked_the_gate_before_is_not_about_now():
    """Nor is what it asked about somebody else, whose AuthInfo it does not hand on."""
    handler = HAND_ON % """
  if password == 'tiger' then auth:check_password('ann', 'ann', password, conn_meta) end
  return password == 'own' or (password == 'tiger' and authc == 'eve')"""
    files = {"auth.toml": SPELT, "passwd": "ann:{PLAIN}tiger:::::: senders=ann@ok.example\n"}
    with Daemon(policy(SETUP, handler, listener=QUICK), files=files) as daemon, Talk(daemon.port) as client:
        assert client.login("ann", "tiger") == REFUSED
        client.expect("AUTH PLAIN " + base64.b64encode(b"\0ann\0own").decode(), "235")  # in the handler's own words
        client.expect("MAIL FROM:<boss@evil.example>", "250")
    with Daemon(policy(SETUP, handler, listener=QUICK), files=files) as daemon, Talk(daemon.port) as client:
        assert client.login("eve", "tiger").startswith("235")
        client.expect("MAIL FROM:<boss@evil.example>", "250")
        daemon.err.wait("login .*authcid=eve authzid=eve result=ok")


def test_purge_and_names():
    script = SETUP + """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if authc == 'purge' then
    kumo.log_warn('purged ' .. math.type(auth:purge('ann')))
    return true
  end
  local ok, problem = pcall(auth.check_password, auth, '', 5)
  kumo.log_warn(tostring(ok) .. ' ' .. tostring(problem))
  local info, why = auth:check_password(authc, authc, password)
  kumo.log_warn(type(info) .. ' ' .. tostring(why))
  return info
end)
"""
    with Daemon(policy(script, listener=QUICK), files={"auth.toml": OVERRIDDEN}) as daemon:
        assert login(daemon, "purge", "x").startswith("235")
        daemon.err.wait("purged integer")
        assert login(daemon, "ann", "tiger").startswith("235")
        daemon.err.wait("false .*not a user's name")
        daemon.err.wait("table nil")
        assert login(daemon, "ann", "lion") == REFUSED
        daemon.err.wait("boolean bad_password")


def test_without_setup_it_says_so():
    script = """
local auth = require 'gatepost.auth'
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  return auth:check_password(authz, authc, password, conn_meta)
end)
"""
    with Daemon(policy(script, listener=QUICK)) as daemon:
        assert login(daemon, "ann", "tiger").startswith("454")
        daemon.err.wait("call auth:setup first")


def test_no_password_is_in_any_output(daemon):
    login(daemon, "argon2id", "Unm1stakable")
    login(daemon, "nobody", "Unm1stakable")
    daemon.err.wait(r"authcid=nobody .*result=no_user")
    text = daemon.err.text()
    for form in ("Unm1stakable", base64.b64encode(b"Unm1stakable").decode(), HASHES["argon2id"][-20:]):
        assert form not in text


def test_the_example_works_as_it_is_written():
    folder = ROOT / "examples"
    text = (folder / "auth.lua").read_text()
    for old, new in (("0.0.0.0:587", "127.0.0.1:0"), ("'/var/spool/gatepost/data'", "'@DIR@/spool'"),
                     ("'/var/log/gatepost'", "'@DIR@/logs'"), ("relay_hosts = {}", "relay_hosts = {}" + QUICK)):
        assert old in text
        text = text.replace(old, new)
    users = (folder / "auth.toml").read_text().replace("192.0.2.0/24", "127.0.0.0/8")
    with Daemon(without_floors(text), files={"auth.toml": users}) as daemon:
        with Talk(daemon.port) as client:
            assert client.login("shop", "example", "x@shop.example.com").startswith("235")
            client.expect("MAIL FROM:<support@example.com>", "250")
            client.expect("RCPT TO:<you@dest.example>", "250")
        assert login(daemon, "news@example.com", "example").startswith("235")
        daemon.err.wait("a bulk sender has logged in")
        assert login(daemon, "former", "example") == REFUSED


def test_who_is_purged_on_the_way_in_does_not_come_in():
    purge = "kumo.on('smtp_server_authenticated', function(info) auth:purge(info.identities[1].identity == 'ann' and 'ANN' or 'x') end)\n"
    users = "[user.ann]\npassword = 'tiger'\n[user.bob]\npassword = 'tiger'\n"
    with Daemon(policy(SETUP, purge, listener=QUICK), files={"auth.toml": users}) as daemon:
        with Talk(daemon.port) as ann, Talk(daemon.port) as bob:
            assert ann.login("ann", "tiger").startswith("421 4.7.0 ") and ann.closed()
            assert bob.login("bob", "tiger").startswith("235")


def test_who_is_locked_in_the_file_is_refused_like_anybody():
    passwd = f"ann:!{HASHES['sha512-crypt']}\nbob:*\neve:{HASHES['sha512-crypt']}\n"
    rules = "[store.people]\ndriver = 'passwd-file'\npath = '@DIR@/passwd'\n"
    with Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": rules, "passwd": passwd}) as daemon:
        for user in ("ann", "bob", "nobody"):
            for password in ("tiger", "!", "*", "lion"):
                with Talk(daemon.port) as client:
                    assert client.login(user, password) == REFUSED
        with Talk(daemon.port) as client:
            assert client.login("eve", "tiger").startswith("235")


def test_what_policy_does_not_announce_is_no_downgrade():
    """A client that could bind the channel says that it was not offered that (RFC 5802, section 6): rightly so."""
    unbound = """
kumo.on('smtp_server_ehlo', function(domain, conn_meta, extensions)
  for i, line in ipairs(extensions) do extensions[i] = line:gsub(' SCRAM%-SHA%-256%-PLUS', '') end
  return extensions
end)
"""
    users = "mechanisms = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']\n[user.ann]\npassword = '{PLAIN}tiger'\n"
    for parts, code in ((), "535"), ((unbound,), "235"):
        with Daemon(policy(SETUP, *parts, listener=QUICK), files={"auth.toml": users}) as daemon, Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.starttls()
            client.expect("EHLO me", "250")
            assert scram_login(client, "SCRAM-SHA-256", Scram("ann", "tiger", flag="y")).startswith(code)
            client.expect("QUIT", "221")
            with Talk(daemon.port) as other:  # said by somebody in the middle who wants no list
                other.expect("EHLO me", "250")
                other.starttls()
                other.expect("HELO me", "250")
                assert scram_login(other, "SCRAM-SHA-256", Scram("ann", "tiger", flag="y")).startswith("535")
