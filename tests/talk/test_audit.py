# SPDX-License-Identifier: Apache-2.0
"""What is written down about logins: every reason, every field, and no secret anywhere."""

import base64
import concurrent.futures
import contextlib
import hmac
import json
import os
import re
import sqlite3
import threading
import urllib.request
from pathlib import Path

import pytest
from gatepost import DEADLINE, ROOT, Daemon, Sink, Talk, give
from policies import ACCT, MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host
from sasl import Scram, b64, scram_login
from tokens import AUDIENCE, Key, claims

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
QUICK = ", auth_failure_delay = '0s', auth_failure_limit = 100, junk_command_limit = 100"

HANDLERS = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if authc == 'refused' then return false end
  if authc == 'rejected' then kumo.reject(535, '5.7.13 not you') end
  if authc == 'broken' then error('no store today') end
  if authc == 'odd' then return 42 end
  if authc == 'missing' then return kumo.secrets.load { vault_address = 'http://127.0.0.1:1', vault_token = 't', vault_mount = 'secret', vault_path = '../' .. authc } == password end
  return nil
end)
"""

# 64 MiB and ten passes: long enough for others to meet it at work
SLOW = "$argon2id$v=19$m=65536,t=10,p=1$c2FsdHNhbHRzYWx0c2FsdA$te/LjimOzlXB01fCP2dykTBFtsKVeFEphkJ4wc2C7SA"

AUTH_TOML = """
mechanisms = ['PLAIN', 'LOGIN', 'SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS', 'OAUTHBEARER', 'XOAUTH2']
stores = ['local', 'mixed', 'sso']
[store.local]
driver = 'table'
[store.mixed]
driver = 'passwd-file'
path = '@DIR@/passwd'
[store.sso]
driver = 'jwt'
issuer = 'https://id.example'
audience = '%s'
jwks_file = '@DIR@/keys.json'
[guessing]
trusted = []
delay = '0s'
address_limit = 1000
user_limit = 1000
address_user_limit = 20
[user.scott]
password = '{PLAIN}tiger'
[user.gone]
password = '{PLAIN}tiger'
disabled = true
[user.past]
password = '{PLAIN}tiger'
not_after = 2001-01-01T00:00:00Z
[user.elsewhere]
password = '{PLAIN}tiger'
networks = ['192.0.2.0/24']
[user.single]
password = '{PLAIN}tiger'
limits = { sessions = 1 }
[user.guessed]
password = '{PLAIN}tiger'
[user.apps]
[[user.apps.secrets]]
label = 'injector'
password = '{PLAIN}three'
scopes = ['inject']
[[user.apps.secrets]]
label = 'printer'
password = '{PLAIN}one'
""" % AUDIENCE


# one secret of theirs is of a kind that nobody knows
PASSWD = "".join(f"{user}:{{PLAIN}}tiger::::::label=old\n{user}:{{WHIRLPOOL}}x::::::label=new\n" for user in ("mixed", "unsure"))


def accounting(*parts: str, listener: str = "", times: int = 1) -> str:
    """A policy with an accounting log."""
    before, after = policy(*parts, listener=listener).split("  kumo.start_http_listener", 1)
    return before + times * ACCT + "  kumo.start_http_listener" + after


def reasons() -> list[str]:
    """Every word of src/auth/reason.h."""
    return re.findall(r'REASON\(\w+, "(\w+)"', (ROOT / "src" / "auth" / "reason.h").read_text())


KEY = Key("ES256")


def secure(daemon: Daemon, name: str = "client.example") -> Talk:
    client = Talk(daemon.port)
    client.expect(f"EHLO {name}", "250")
    client.starttls()
    client.expect(f"EHLO {name}", "250")
    return client


def plain(user: str, password: str, authz: str = "") -> str:
    return "PLAIN " + b64(f"{authz}\0{user}\0{password}")


def oauthbearer(token: str, authz: str = "") -> str:
    return "OAUTHBEARER " + b64(f"n,{'a=' + authz if authz else ''},\1host=mx\1port=587\1auth=Bearer {token}\1\1")


def auth(*lines: str):
    """One AUTH command and what follows it, on a connection of its own."""
    def run(daemon):
        with secure(daemon) as client:
            reply = client.ask("AUTH " + lines[0])
            for line in lines[1:]:
                reply = client.ask(line)
            if reply.startswith("334"):
                reply = client.ask("")
            return reply
    return run


def scram(mechanism: str = "SCRAM-SHA-256", **more):
    def run(daemon):
        with secure(daemon) as client:
            return scram_login(client, mechanism, Scram("scott", **{"password": "tiger", **more}))
    return run


def disconnect(daemon):
    with secure(daemon) as client:
        client.expect("AUTH LOGIN", "334")
        client.expect(b64("scott"), "334")


def guess_then_know(daemon):
    for number in range(21):
        auth(plain("guessed", str(number)))(daemon)
    auth(plain("guessed", "tiger"))(daemon)


def twice(daemon):
    with secure(daemon) as first:
        first.expect("AUTH " + plain("single", "tiger"), "235")
        return auth(plain("single", "tiger"))(daemon)


PROVOKERS = {
    "ok": auth(plain("scott", "tiger")),
    "bad_password": auth(plain("scott", "lion")),
    "no_user": auth("LOGIN", b64("nobody"), b64("lion")),
    "not_found": auth(plain("missing", "x")),
    "refused": auth(plain("refused", "x")),
    "authzid_refused": auth(plain("scott", "tiger", "eve")),
    "policy_reject": auth(plain("rejected", "x")),
    "store_error": auth(plain("broken", "x")),
    "unverified": auth(plain("mixed", "lion")),
    "bad_result": auth(plain("odd", "x")),
    "disabled": auth(plain("gone", "tiger")),
    "expired": auth(plain("past", "tiger")),
    "address_not_allowed": auth(plain("elsewhere", "tiger")),
    "not_for_relay": auth(plain("apps", "three")),
    "bad_proof": scram(password="lion"),
    "locked": guess_then_know,
    "budget": twice,
    "bad_token": auth(oauthbearer("no-token-of-ours")),
    "binding_downgrade": scram(flag="y"),
    "binding_mismatch": scram("SCRAM-SHA-256-PLUS", flag="p=tls-exporter", binding=b"of another connection, 32 bytes."),
    "binding_unsupported": scram("SCRAM-SHA-256-PLUS", flag="p=tls-unique", binding=b"x"),
    "malformed": auth("PLAIN !!!"),
    "too_long": auth("LOGIN", "A" * 70000),
    "cancelled": auth("LOGIN", "*"),
    "disconnected": disconnect,
}
ELSEWHERE = {"no_handler", "busy"}  # with daemons of their own


def key_set() -> str:
    return json.dumps({"keys": [KEY.jwk()]})


@pytest.fixture(scope="module")
def daemon():
    with Daemon(accounting(SETUP, HANDLERS, listener=QUICK),
                files={"auth.toml": AUTH_TOML, "keys.json": key_set(), "passwd": PASSWD}) as made:
        yield made


def provoke(daemon: Daemon, word: str, provoker) -> dict:
    """The record, and one line of the diagnostic log for it."""
    provoker(daemon)
    record = daemon.wait_records(lambda record: record["reason"] == word, "acct")[0]
    daemon.err.wait(rf"login .* result={word} session={record['session_id']}\b")
    return record


def test_every_reason_is_tried():
    assert set(PROVOKERS) | ELSEWHERE == set(reasons())


@pytest.mark.parametrize("word", PROVOKERS)
def test_every_reason_is_recorded(daemon, word):
    record = provoke(daemon, word, PROVOKERS[word])
    assert record["type"] == "Authentication"
    assert record["success"] == (word == "ok")
    assert record["auth_info"]["peer_address"] == record["peer_address"] == "127.0.0.1"
    assert record["ehlo_domain"] == "client.example"
    assert record["tls_protocol_version"] == "TLSv1.3" and record["tls_cipher"]
    assert record["listener"].startswith("127.0.0.1:") and record["session_id"] and record["nodeid"]
    assert 0 <= record["latency_us"] < DEADLINE * 1e6 and record["mechanism"]


def test_a_wrong_password_counts_though_there_is_no_verdict(daemon):
    for number in range(20):
        assert auth(plain("unsure", f"guess {number}"))(daemon).startswith("454 4.7.0")
    for password in ("guess", "tiger"):  # locked out, right or wrong
        assert auth(plain("unsure", password))(daemon) == "535 5.7.8 authentication failed"


def test_no_handler():
    with Daemon(accounting(listener=QUICK)) as daemon:
        assert provoke(daemon, "no_handler", auth(plain("scott", "tiger")))["result"] == "refused"


def test_busy():
    """More at once than there is room for; how fast they come is the machine's affair, so they come until there is none."""
    rules = f"[password]\nthreads = 1\nqueue_limit = 1\nremember = 0\n[user.slow]\npassword = '{SLOW}'\n"
    is_full = threading.Event()

    def guess(number):
        with secure(daemon) as client:
            for guesses in range(50):
                reply = client.ask("AUTH " + plain("slow", f"{number} {guesses}"))
                if reply.startswith("454 4.7.0"):
                    is_full.set()
                if is_full.is_set():
                    return

    with Daemon(accounting(SETUP, listener=QUICK), files={"auth.toml": rules}) as daemon:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(guess, range(8)))
        assert is_full.is_set()
        record = daemon.wait_records(lambda record: record["reason"] == "busy", "acct")[0]
        assert record["result"] == "error" and record["authcid"] == "slow"


def test_one_attempt_is_one_record(daemon):
    """The others' records may still be on their way to the file: these are told by the name that the client gave itself."""
    with secure(daemon, "one.example") as client:
        for response in (plain("scott", "lion"), plain("scott", "puma"), "PLAIN =", plain("scott", "tiger")):
            client.ask("AUTH " + response)
        client.expect("AUTH " + plain("scott", "tiger"), "503")  # is no attempt
        client.expect("QUIT", "221")
    records = daemon.wait_records(lambda record: record["ehlo_domain"] == "one.example", "acct", 4)
    assert [record["reason"] for record in records] == ["bad_password", "bad_password", "malformed", "ok"]
    assert len({record["session_id"] for record in records}) == 1


def test_who_came_in_and_with_which_secret(daemon):
    auth(plain("apps", "one", "apps"))(daemon)
    record = daemon.wait_records(lambda record: record["secret_label"] == "printer", "acct")[-1]
    assert record["success"] and record["result"] == "ok" and record["store"] == "local"
    assert record["attempted_identity"] == {"identity": "apps", "context": "SmtpAuthPlainAuthentication"}
    assert {one["identity"] for one in record["auth_info"]["identities"]} == {"apps"}
    auth(oauthbearer(KEY.mint(claims("https://id.example", "ann"))))(daemon)
    record = daemon.wait_records(lambda record: record["authcid"] == "ann", "acct")[-1]
    assert record["attempted_identity"]["context"] == "BearerToken" and record["store"] == "sso"
    provoke(daemon, "authzid_refused", auth(plain("scott", "tiger", "root")))
    records = daemon.wait_records(lambda record: record["authzid"] == "root", "acct")
    assert records[-1]["authcid"] == "scott"


def test_what_came_out_of_the_cache():
    users = "[store.people]\ndriver = 'sqlite'\npath = '@DIR@/users.db'\n[cache]\npositive_ttl = '1h'\n"
    daemon = Daemon(accounting(SETUP, listener=QUICK), files={"auth.toml": users})
    with contextlib.closing(sqlite3.connect(daemon.dir / "users.db")) as db:
        db.execute("CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT)")
        db.execute("INSERT INTO users VALUES ('dan', '{PLAIN}tiger')")
        db.commit()
    give(daemon.dir / "users.db")
    with daemon:
        for _ in range(2):
            auth(plain("dan", "tiger"))(daemon)
        records = daemon.wait_records(lambda record: True, "acct", 2)
        assert [(record["reason"], record["store"], record["cache_hit"]) for record in records] == [
            ("ok", "people", False), ("ok", "people", True)]


def test_one_log_only_and_in_init():
    again = Daemon(accounting(times=2))
    shown = again.run_to_end("--validate")
    assert shown.returncode != 0 and "the accounting log is configured twice" in shown.stderr
    with Daemon(accounting("kumo.on('smtp_server_ehlo', function() kumo.aaa.configure_acct_log { log_dir = '/x' } end)")) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "4")
        daemon.err.wait("kumo.aaa.configure_acct_log")


# ---- who spoke for whom ----


def test_the_proxy_is_in_it_too():
    with Daemon(accounting(SETUP, listener=QUICK + ", allow_xclient = true"),
                files={"auth.toml": "[user.scott]\npassword = '{PLAIN}tiger'\n"}) as daemon:
        with secure(daemon) as client:
            client.ask("AUTH " + plain("scott", "lion"))
        record = daemon.wait_records(lambda record: True, "acct")[0]
        assert record["is_proxy"] and record["proxy_address"] is None
        daemon.err.wait(r"login mechanism=PLAIN client=127\.0\.0\.1 proxy=self ")
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("XCLIENT ADDR=192.0.2.77 PORT=4711", "220")
            client.expect("EHLO me", "250")
            client.starttls()
            client.expect("EHLO me", "250")
            client.ask("AUTH " + plain("scott", "lion"))
        record = daemon.wait_records(lambda record: record["peer_address"] == "192.0.2.77", "acct")[0]
        assert record["proxy_address"] == "127.0.0.1" and not record["is_proxy"]
        daemon.err.wait(r"client=192\.0\.2\.77 proxy=127\.0\.0\.1 authcid=scott ")


# ---- names that nobody has ----


@pytest.mark.parametrize("what", ["keep", "hash", "drop"])
def test_a_password_typed_as_a_name(what):
    rules = f"[audit]\nunknown_users = '{what}'\nkey = 'sixteen bytes or more'\n[user.scott]\npassword = '{{PLAIN}}tiger'\n"
    with Daemon(accounting(SETUP, listener=QUICK), files={"auth.toml": rules}) as daemon:
        for _ in range(2):
            auth(plain("My Password!", "x"))(daemon)
        auth(plain("scott", "x"))(daemon)
        records = daemon.wait_records(lambda record: True, "acct", 3)
        shown = [record["authcid"] for record in records]
        assert shown[2] == "scott" and shown[0] == shown[1]
        if what == "keep":
            assert shown[0] == "My Password!"
            daemon.err.wait("authcid=My%20Password! ")
            return
        assert "Password" not in json.dumps(records) and "Password!" not in daemon.err.text()
        assert shown[0] is None if what == "drop" else re.fullmatch("unknown:[0-9a-f]{16}", shown[0])


TELL = """
kumo.on('auth_suspect', function(info)
  kumo.log_warn('suspected ' .. tostring(info.user) .. ' of ' .. info.kind)
end)
"""


@pytest.mark.parametrize("what", ["keep", "hash", "drop"])
def test_suspicions_show_names_as_records_do(what):
    """The last of the users that one password was tried on is nobody's name; its words cannot read as other fields."""
    rules = (f"[audit]\nunknown_users = '{what}'\nkey = 'sixteen bytes or more'\n"
             "[guessing]\ntrusted = []\nsuspect_users = 2\n[user.scott]\npassword = '{PLAIN}tiger'\n")
    with Daemon(accounting(SETUP, TELL, listener=QUICK), files={"auth.toml": rules}) as daemon:
        auth(plain("somebody", "x"))(daemon)
        auth(plain("My Password! users=9", "x"))(daemon)
        record = daemon.wait_records(lambda record: True, "acct", 2)[1]
        shown = {"keep": "my%20password!%20users%3D9", "hash": record["user"], "drop": "-"}[what]
        daemon.err.wait(f"suspicion one_password_many_users address=127.0.0.1 user={shown} users=2")
        told = {"keep": "my password! users=9", "hash": record["user"], "drop": "nil"}[what]
        assert told and daemon.err.wait(f"suspected {told} of one_password_many_users")
        assert what == "keep" or "assword!" not in daemon.err.text()


# ---- what is counted ----


def test_metrics_and_histograms(daemon):
    auth(plain("scott", "tiger"))(daemon)
    auth(plain("gone", "tiger"))(daemon)
    text = urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE).read().decode()
    assert re.search(r'gatepost_auth_attempts_total\{mechanism="PLAIN",result="ok",reason="ok"\} [1-9]', text)
    assert re.search(r'gatepost_auth_attempts_total\{mechanism="PLAIN",result="refused",reason="disabled"\} [1-9]', text)
    for name in ("gatepost_auth_seconds", "gatepost_store_lookup_seconds", "gatepost_password_hash_seconds"):
        assert f"# TYPE {name} histogram\n" in text
    buckets = [int(count) for count in
               re.findall(r'gatepost_auth_seconds_bucket\{result="ok",le="[^"]+"\} (\d+)', text)]
    assert buckets == sorted(buckets) and buckets[-1] > 0
    assert f'gatepost_auth_seconds_count{{result="ok"}} {buckets[-1]}\n' in text
    json.load(urllib.request.urlopen(daemon.http + "/metrics.json", timeout=DEADLINE))


# ---- what Received shows, and who logged in ----


def received(sink: Sink, trace: str, headers: bytes = b"", login: bool = True) -> str:
    """The header of a message that came through a listener with these trace_headers."""
    listener = RELAY_FROM_LOOPBACK + ", auth_failure_delay = '0s', trace_headers = { %s }" % trace
    with Daemon(policy(SETUP, smart_host(sink.port), listener=listener),
                files={"auth.toml": "[user.'odd =?utf-8?q?name?=']\npassword = '{PLAIN}tiger'\n"
                                    "[user.scott]\npassword = '{PLAIN}tiger'\n"}) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO laptop.of.scott", "250")
            if login:
                client.starttls()
                client.expect("EHLO laptop.of.scott", "250")
                client.expect("AUTH " + plain(login if isinstance(login, str) else "scott", "tiger"), "235")
            assert client.mail("scott@tiger.example", ["you@dest.example"], headers + MESSAGE).startswith("250")
        data = sink.wait(1)[-1].data
        return data.split(b"\r\n\r\n")[0].decode().replace("\r\n\t", " ").replace("\r", "")


@pytest.mark.parametrize("trace, shown", [
    ("", r"from laptop\.of\.scott \(\[127\.0\.0\.1\]\) by mx\.gatepost\.test "),
    ("client_address = 'keep'", r"from laptop\.of\.scott \(\[127\.0\.0\.1\]\) by "),
    ("client_address = 'mask'", r"from unknown \(127\.0\.0\.0/24\) by mx\.gatepost\.test "),
    ("client_address = 'hash', client_address_key = '0123456789abcdef'", rf"from unknown \(client-{hmac.digest(b'0123456789abcdef', b'127.0.0.1', 'sha256').hex()[:16]}\) by "),
    ("client_address = 'omit'", r"from unknown by mx\.gatepost\.test "),
])
def test_what_received_shows_of_the_client(sink, trace, shown):
    header = received(sink, trace)
    assert re.search("^Received: " + shown, header, re.M), header
    assert " with ESMTPSA " in header and "Authenticated" not in header
    if "_address = " in trace and "keep" not in trace:
        assert "127.0.0.1" not in header and "laptop" not in header


FORGED = (b"x-AUTHENTICATED-id: admin\r\nX-Authenticated-Id :\r\n admin\r\nX-Authenticated-Id\xc2\xa0: admin\r\n"
          b"\xef\xbb\xbfX-Authenticated-Id: admin\r\n")


def test_who_logged_in_is_told_to_those_who_come_after(sink):
    header = received(sink, "authenticated_id = 'X-Authenticated-Id'", FORGED)
    assert re.findall("(?im)^.*x-authenticated-id.*$", header) == ["X-Authenticated-Id: scott"]


@pytest.mark.parametrize("text", [b"\tadmin@corp.example\r\n", b" admin\r\n", b" \r\n", b"X-Tenant: blue\r\n\x0b\tadmin\r\n"])
def test_nothing_of_the_clients_continues_what_we_say(text):
    """In a chunk as in data; and also where a header that we take away stood before it."""
    listener = RELAY_FROM_LOOPBACK + ", auth_failure_delay = '0s', trace_headers = { authenticated_id = 'X-Id' }"
    files = {"auth.toml": "[user.scott]\npassword = '{PLAIN}tiger'\nsenders = ['*']\ntenants = ['blue']\n"
                          "[identity]\ntenant_header = 'X-Tenant'\n"}
    with Daemon(policy(SETUP, smart_host(1), listener=listener), files=files) as daemon, Talk(daemon.port) as client:
        assert client.login("scott", "tiger").startswith("235")
        assert client.mail("scott@tiger.example", ["you@dest.example"], text + MESSAGE).startswith("554 5.6.0 the first line")
        client.expect("MAIL FROM:<scott@tiger.example>", "250")
        client.expect("RCPT TO:<you@dest.example>", "250")
        client.send(b"BDAT %d LAST\r\n" % len(text) + text)
        assert client.read_reply().startswith("554 5.6.0 the first line")
        assert client.mail("scott@tiger.example", ["you@dest.example"], MESSAGE).startswith("250")


def test_nobody_is_nobody(sink):
    assert not re.search("(?i)authenticated", received(sink, "authenticated_id = 'X-Authenticated-Id'", FORGED, login=False))


def test_a_name_cannot_read_as_another(sink):
    from email.header import decode_header, make_header
    header = received(sink, "authenticated_id = 'X-Login'", login="odd =?utf-8?q?name?=")
    value = re.search("(?m)^X-Login: (.*)$", header)[1]
    assert str(make_header(decode_header(value))) == "odd =?utf-8?q?name?="


@pytest.mark.parametrize("trace", ["client_address = 'hide'", "client_address_key = 'short'", "authenticated_id = 'a b'",
                                   "authenticated_id = true", "authenticated_id = ''"])
def test_bad_trace_headers_stop_the_start(trace):
    shown = Daemon(policy(listener=", trace_headers = { %s }" % trace)).run_to_end("--validate")
    assert shown.returncode != 0 and trace.split(" ")[0] in shown.stderr


# ---- no secret anywhere ----

CANARY = "canary-9c41-tiger-KLÖTZE"


def spellings(secret: str) -> list[bytes]:
    """As it is, in hex, and as each of the three ways in which it can stand in base64."""
    raw = secret.encode()
    shown = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        coded = base64.b64encode(b"x" * shift + raw + b"x" * ((-len(raw) - shift) % 3))
        shown.append(coded[4 if shift else 0:-4])
    return shown


def shown_by(process: Path) -> bytes:
    """What /proc shows of it to root: its words, the names of its threads and of its files, and what is in those that are open."""
    shown = b"".join(path.read_bytes() for path in (process / "cmdline", process / "environ", *process.glob("task/*/comm")))
    assert b"--policy" in shown and b"GATEPOST_LUA_PATH" in shown
    for entry in (process / "fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            shown += os.readlink(entry).encode()
            if entry.is_file():  # one without a name, too
                shown += entry.read_bytes()
    return shown


def test_no_secret_is_written_anywhere():
    token = KEY.mint(claims("https://id.example", "ann"))
    bad_token = token[:-8] + "AAAAAAAA"
    rules = AUTH_TOML + f"[user.secretive]\npassword = '{{PLAIN}}{CANARY}'\n"
    tries = [
        auth(plain("secretive", CANARY)), auth(plain("secretive", CANARY + "x")), auth(plain("nobody", CANARY)),
        auth(plain("broken", CANARY)), auth(plain("odd", CANARY)), auth(plain("refused", CANARY)),
        auth(plain("secretive", CANARY, "eve")), auth("LOGIN", b64("secretive"), b64(CANARY)),
        auth("LOGIN", b64("secretive"), b64(CANARY + "x")), auth("LOGIN " + b64("secretive"), b64(CANARY)[:-1]),
        auth("PLAIN " + b64(f"\0secretive\0{CANARY}\0more")), auth("LOGIN", b64("secretive"), b64(CANARY) * 2000),
        auth(oauthbearer(token)), auth(oauthbearer(bad_token)), auth(oauthbearer(token, "eve")),
        auth("XOAUTH2 " + b64(f"user=ann\1auth=Bearer {token}\1\1")),
        auth("XOAUTH2 " + b64(f"user=ann\1auth=Bearer {bad_token}\1\1")),
        lambda daemon: scram_with(daemon, CANARY), lambda daemon: scram_with(daemon, CANARY + "x"),
    ]
    with Sink() as sink, Daemon(accounting("kumo.set_diagnostic_log_filter 'trace'\n" + SETUP, HANDLERS, smart_host(sink.port, queue="retry_interval = '1h'"),
                                       listener=QUICK + RELAY_FROM_LOOPBACK),
                                files={"auth.toml": rules, "keys.json": key_set(), "passwd": PASSWD}) as daemon:
        for run in tries:
            run(daemon)
        with secure(daemon) as client:
            client.expect("AUTH " + plain("secretive", CANARY), "235")
            client.mail("secretive@tiger.example", ["you@dest.example"], MESSAGE)
        daemon.wait_records(lambda record: True, "acct", len(tries) + 1)
        daemon.err.wait("login mechanism=.*authcid=", len(tries) + 1)
        seen = daemon.err.text().encode()
        assert b" TRACE " in seen and b"authcid=secretive" in seen
        for path in ("/metrics", "/metrics.json"):
            seen += urllib.request.urlopen(daemon.http + path, timeout=DEADLINE).read()
        for folder in ("logs", "acct"):
            seen += json.dumps(daemon.records(folder)).encode() + json.dumps(daemon.records(folder), ensure_ascii=False).encode()
        seen += b"".join(path.read_bytes() for path in (daemon.dir / "spool").rglob("*") if path.is_file())
        seen += b"".join(message.data for message in sink.messages)
        process = Path("/proc") / str(daemon.process.pid)
        assert re.search(r"^Max core file size +0 +0 ", (process / "limits").read_text(), re.M)
        if os.geteuid() == 0:  # root's, though the process is the service user's: no core, and no debugger of his
            assert process.stat().st_uid != 0
            assert {(process / name).stat().st_uid for name in ("environ", "mem", "maps", "fd")} == {0}
            seen += shown_by(process)
    secrets = (CANARY, token.split(".")[2], bad_token.split(".")[2][:40])
    assert not [shown for secret in secrets for shown in spellings(secret) if seen.find(shown) >= 0]


def scram_with(daemon, password: str) -> None:
    with secure(daemon) as client, contextlib.suppress(AssertionError):
        scram_login(client, "SCRAM-SHA-256", Scram("secretive", password))
