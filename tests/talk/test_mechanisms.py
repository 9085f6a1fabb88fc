# SPDX-License-Identifier: Apache-2.0
"""SCRAM, bearer tokens, client certificates: with policies that answer, and clients that try to be somebody else."""

import hashlib
import json
import random
import re
import statistics
import subprocess
import time

import pytest
from gatepost import BUILD, DEADLINE, Daemon, Talk, give, insecure_context, make_dir
from OpenSSL import SSL
from policies import ACCT, AUTHENTICATED_MAY_RELAY, STATIC_USERS, policy
from sasl import Scram, b64, keys, scram_login, unb64
from tokens import AUDIENCE, Issuer, Key, claims

KEYS = keys("tiger", b"0123456789abcdef", 5000)
KEYS_1 = keys("tiger", b"0123456789abcdef", 5000, "sha1")
STORED = "{SCRAM-SHA-256}%(iterations)d,%(salt)s,%(stored_key)s,%(server_key)s" % KEYS


def lua_table(fields: dict) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in fields.items()) + " }"


SCRAM_USERS = """
kumo.on('smtp_server_auth_scram', function(authc, mechanism, conn_meta)
  local sha1 = mechanism == 'SCRAM-SHA-1'
  if authc == 'scott' then return { password = 'tiger' } end
  if authc == 'mia,=' then return { password = 'lion', iterations = 8192 } end
  if authc == 'keys' then if sha1 then return %s end return %s end
  if authc == 'stored' then return '%s' end
  if authc == 'waits' then kumo.sleep(0.01) return { password = 'tiger' } end
  if authc == 'hidden' then return { iterations = 8192 } end
  if authc == 'down' then error('no store today') end
  if authc == 'odd' then return true end
  if authc == 'empty' then return {} end
  if authc == 'passwordless' then return { password = '' } end
  if authc == 'nul' then return { password = '\\0tiger' } end
  if authc == 'short' then return { salt = 'AAAA', stored_key = 'AAAA', server_key = 'AAAA' } end
  if authc == 'locked' then kumo.reject(535, '5.7.13 locked') end
  return false
end)
""" % (lua_table(KEYS_1), lua_table(KEYS), STORED)

TOKENS = """
kumo.on('smtp_server_auth_bearer', function(authz, token, claims, conn_meta)
  assert(claims == nil)
  if token == 'scotts-token' then return 'scott' end
  if token == 'team-token' then
    return { identities = { { identity = 'team', context = 'SmtpAuthPlainAuthentication' },
                            { identity = 'scott', context = 'SmtpAuthPlainAuthorization' } }, groups = { 'g' } }
  end
  if token == 'true-token' then return true end
  if token == 'down-token' then error('cannot reach the issuer of ' .. token) end
  if token == 'locked-token' then kumo.reject(535, '5.7.13 locked') end
  if token == 'nobody-token' then return '' end
  return false
end)
"""

CERTIFICATES = """
kumo.on('smtp_server_auth_external', function(authz, certificate, conn_meta)
  if certificate.subject ~= 'CN=device-7.example' then return false end
  assert(#certificate.emails == 1 and #certificate.dns_names == 2, 'names')
  if authz == 'true' then return true end
  return certificate.emails[1]
end)
"""

WHO_AM_I = """
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  local info = conn_meta:auth_info()
  kumo.reject(599, (conn_meta:get_meta 'authz_id' or '-') .. ' ' .. (conn_meta:get_meta 'authn_id' or '-') .. ' ' ..
    (info and (table.concat(info.groups, '+') .. ' ' .. tostring(info.tenant)) or ''))
end)
"""

LISTENER = ", auth_failure_delay = '1ms', auth_failure_limit = 100, junk_command_limit = 100"
ALL = "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER XOAUTH2"


@pytest.fixture(scope="module")
def daemon():
    with Daemon(policy(STATIC_USERS, SCRAM_USERS, TOKENS, CERTIFICATES, WHO_AM_I, listener=LISTENER)) as made:
        yield made


def offered(reply: str) -> str:
    found = re.search(r"^250[- ]AUTH (.*)$", reply, re.M)
    return found[1] if found else ""


def passwd(*args: str, password: str) -> str:
    return subprocess.run([BUILD / "src" / "ctl" / "gatectl", "passwd", *args], input=password, capture_output=True,
                          text=True, check=True, timeout=DEADLINE).stdout.strip()


def secure(port: int, context=None) -> Talk:
    client = Talk(port)
    client.expect("EHLO me", "250")
    client.starttls(context=context)
    client.ehlo = client.expect("EHLO me", "250")
    return client


@pytest.fixture
def client(daemon):
    with secure(daemon.port) as made:
        yield made


def who(client) -> str:
    return client.ask("MAIL FROM:<a@b.example>")


# ---- what is offered ----


def test_ehlo_says_what_can_be_used(daemon, client):
    assert offered(client.ehlo) == ALL  # no SCRAM-SHA-1 unless asked for; EXTERNAL needs a certificate
    for name in ("SCRAM-SHA-1", "EXTERNAL", "CRAM-MD5"):
        client.expect(f"AUTH {name} biws", "504 5.5.4")
    with Talk(daemon.port) as clear:
        assert offered(clear.expect("EHLO me", "250")) == ""
        for name in ALL.split():
            clear.expect(f"AUTH {name} biws", "538 5.7.11")
        clear.expect("AUTH CRAM-MD5", "504 5.5.4")


def test_only_what_somebody_can_answer_is_offered():
    with Daemon(policy(SCRAM_USERS)) as daemon, secure(daemon.port) as client:
        assert offered(client.ehlo) == "SCRAM-SHA-256-PLUS SCRAM-SHA-256"
        client.expect("AUTH PLAIN " + b64("\0scott\0tiger"), "535 5.7.8")  # nobody is there to say yes
    with Daemon(policy(TOKENS)) as daemon, secure(daemon.port) as client:
        assert offered(client.ehlo) == "OAUTHBEARER XOAUTH2"


def test_a_listener_and_its_peers_choose():
    listener = (LISTENER + ", auth_mechanisms = { 'plain', 'SCRAM-SHA-1', 'SCRAM-SHA-256' }, "
                "peer = { ['127.0.0.2/32'] = { auth_mechanisms = { 'XOAUTH2' } } }")
    dynamic = """kumo.on('smtp_server_get_dynamic_parameters', function(listener, conn_meta)
      if conn_meta:get_meta('received_from'):find '^127.0.0.3:' then return { auth_mechanisms = {} } end end)"""
    with Daemon(policy(STATIC_USERS, SCRAM_USERS, TOKENS, dynamic, listener=listener)) as daemon:
        for source, names in [("127.0.0.1", "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN"), ("127.0.0.2", "XOAUTH2"),
                              ("127.0.0.3", "")]:
            with Talk(daemon.port, source=source) as client:
                client.expect("EHLO me", "250")
                client.starttls()
                assert offered(client.expect("EHLO me", "250")) == names
                client.expect("AUTH LOGIN", "504 5.5.4")
                if not names:
                    client.expect("AUTH PLAIN " + b64("\0scott\0tiger"), "504 5.5.4")
        with secure(daemon.port) as client:  # no -PLUS was on offer here: "y" is the truth
            assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger", flag="y")).startswith("235")
        for user in ("scott", "keys"):
            with secure(daemon.port) as client:
                assert scram_login(client, "SCRAM-SHA-1", Scram(user, "tiger", hash_name="sha1")).startswith("235")


def test_clear_text_logins_are_asked_for_by_name_and_warned_of():
    listener = LISTENER + ", auth_mechanisms_in_clear = { 'SCRAM-SHA-256' }"
    with Daemon(policy(STATIC_USERS, SCRAM_USERS, WHO_AM_I, listener=listener)) as daemon:
        assert "auth_mechanisms_in_clear lets clients log in without TLS" in daemon.err.text()
        with Talk(daemon.port) as client:
            assert offered(client.expect("EHLO me", "250")) == "SCRAM-SHA-256"
            client.expect("AUTH PLAIN " + b64("\0scott\0tiger"), "538 5.7.11")
            client.expect("AUTH SCRAM-SHA-256-PLUS biws", "538 5.7.11")
            assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger", flag="y")).startswith("235")
            assert who(client).startswith("599 scott scott")
            client.starttls()  # what was said in clear is forgotten, who it was too
            assert offered(client.expect("EHLO me", "250")) == "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"
            assert who(client).startswith("599 - -")
            client.expect("AUTH PLAIN " + b64("\0scott\0tiger"), "235")


@pytest.mark.parametrize("parameter, said", [
    ("auth_mechanisms_in_clear = { 'PLAIN' }", "'auth_mechanisms_in_clear': PLAIN needs TLS"),
    ("auth_mechanisms_in_clear = { 'SCRAM-SHA-256-PLUS' }", "needs TLS"),
    ("auth_mechanisms = { 'CRAM-MD5' }", "'auth_mechanisms': 'CRAM-MD5' is no SASL mechanism"),
    ("auth_mechanisms = 'PLAIN'", "'auth_mechanisms'"),
    ("auth_mechanisms = { 1 }", "'auth_mechanisms'"),
    ("peer = { ['10.0.0.0/8'] = { auth_mechanisms_in_clear = { 'LOGIN' } } }", "LOGIN needs TLS"),
])
def test_what_cannot_be_is_refused_at_start(parameter, said):
    daemon = Daemon(policy(STATIC_USERS, listener=", " + parameter))
    ended = daemon.run_to_end()
    assert ended.returncode != 0 and said in ended.stderr


# ---- SCRAM ----


@pytest.mark.parametrize("user, password", [("scott", "tiger"), ("mia,=", "lion"), ("keys", "tiger"),
                                            ("stored", "tiger"), ("waits", "tiger")])
def test_scram(client, user, password):
    scram = Scram(user, password)
    assert scram_login(client, "SCRAM-SHA-256", scram) == "235 2.7.0 authentication succeeded"
    assert scram.iterations == {"mia,=": 8192, "keys": 5000, "stored": 5000}.get(user, 4096)
    assert who(client).startswith(f"599 {user} {user}")


@pytest.mark.parametrize("user", ["scott", "keys", "stored", "hidden", "nobody", "\u00e4"])
def test_a_wrong_password_and_an_unknown_user_are_refused_alike(client, user):
    assert scram_login(client, "SCRAM-SHA-256", Scram(user, "wrong")) == "535 5.7.8 authentication failed"
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger")).startswith("235")


def test_who_does_not_exist_has_a_salt_that_stays(daemon):
    seen = set()
    for user, iterations in [("nobody", 4096), ("nobody", 4096), ("hidden", 8192), ("nobody2", 4096)]:
        with secure(daemon.port) as client:
            scram = Scram(user, "x")
            scram_login(client, "SCRAM-SHA-256", scram)
            assert scram.iterations == iterations and len(scram.salt) == 16
            seen.add((user, scram.salt))
    assert len(seen) == 3


def test_who_does_not_exist_costs_as_much():
    """Else the challenge would tell: without the work that is done for nothing it comes five times as fast. What counts is
    the daemon's own work, whatever else the machine has to do meanwhile."""
    took = {"scott": [], "nobody": []}
    with Daemon(policy(SCRAM_USERS, listener=", junk_command_limit = 100000")) as daemon, secure(daemon.port) as client:
        clock = (~daemon.process.pid << 3) | 2  # its processor time: see clock_getcpuclockid(3)
        for user in [*took, *random.choices(list(took), k=400)]:
            first = Scram(user, "x").first()
            began = time.clock_gettime_ns(clock)
            client.expect(f"AUTH SCRAM-SHA-256 {first}", "334 ")
            took[user].append(time.clock_gettime_ns(clock) - began)
            client.expect("*", "501")
    known, unknown = (statistics.median(times) for times in took.values())
    assert known / 1.5 < unknown < known * 1.5


def test_nobody_acts_as_another_by_scram(client):
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger", authzid="mia")).startswith("535 5.7.8")
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger", authzid="scott")).startswith("235")


@pytest.mark.parametrize("user, reply", [("down", "454 4.7.0"), ("odd", "454 4.7.0"), ("empty", "454 4.7.0"),
                                         ("short", "454 4.7.0"), ("locked", "535 5.7.13 locked")])
def test_a_scram_handler_that_cannot_or_will_not(client, user, reply):
    assert scram_login(client, "SCRAM-SHA-256", Scram(user, "x")).startswith(reply)
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger")).startswith("235")


@pytest.mark.parametrize("user", ["passwordless", "nul"])
def test_an_empty_password_of_a_handler_lets_nobody_in(daemon, client, user):
    assert scram_login(client, "SCRAM-SHA-256", Scram(user, "")).startswith("454 4.7.0")
    daemon.err.wait("smtp_server_auth_scram: the password is empty, or has a NUL")


@pytest.mark.parametrize("first", ["", "n,,", "n,,n=scott", "n,,n=scott,r=", "p=x,,n=scott,r=a", "n,,m=1,n=scott,r=a",
                                   "n,,n=sc=ott,r=a", "n,,n=scott\0,r=a", "\xff"])
def test_malformed_scram(client, first):
    client.expect("AUTH SCRAM-SHA-256 " + (b64(first.encode("latin-1")) or "="), "501 5.5.2")
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger")).startswith("235")


def test_scram_can_be_cancelled_at_every_step(client):
    for steps in range(3):
        scram = Scram("scott", "tiger")
        reply = client.ask("AUTH SCRAM-SHA-256" + (f" {scram.first()}" if steps else ""))
        if steps == 2:
            reply = client.ask(scram.final(reply[4:]))
        assert reply.startswith("334 ")
        client.expect("*", "501 5.7.0")
        assert who(client).startswith("599 - -")  # not even after the server has proved itself
    assert client.ask("AUTH SCRAM-SHA-256") == "334 "
    scram = Scram("scott", "tiger")
    reply = client.ask(scram.final(client.ask(scram.first())[4:]))
    assert scram.verify(reply[4:])
    client.expect("", "235")


# ---- channel bindings ----


def end_point_of(client) -> bytes:
    return hashlib.sha256(client.socket.getpeercert(True)).digest()


class ExportingTalk(Talk):
    """TLS by pyOpenSSL, which gives the keying material that Python's own module keeps to itself."""

    def wrap(self, name="localhost", context=None):
        plain = self.socket
        plain.settimeout(None)  # pyOpenSSL would raise WantRead
        self.socket = SSL.Connection(context or SSL.Context(SSL.TLS_CLIENT_METHOD), plain)
        self.socket.set_connect_state()
        self.socket.do_handshake()
        self.exported = self.socket.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")


def exporting(daemon) -> Talk:
    client = ExportingTalk(daemon.port)
    client.expect("EHLO me", "250")
    client.starttls()
    client.expect("EHLO me", "250")
    return client


def test_bound_to_the_certificate(client):
    scram = Scram("scott", "tiger", flag="p=tls-server-end-point", binding=end_point_of(client))
    assert scram_login(client, "SCRAM-SHA-256-PLUS", scram).startswith("235")


def test_bound_to_the_connection(daemon):
    with exporting(daemon) as client:
        scram = Scram("scott", "tiger", flag="p=tls-exporter", binding=client.exported)
        assert scram_login(client, "SCRAM-SHA-256-PLUS", scram).startswith("235")


def test_a_binding_to_another_connection_is_refused(daemon):
    with exporting(daemon) as other, exporting(daemon) as client:
        scram = Scram("scott", "tiger", flag="p=tls-exporter", binding=other.exported)
        assert scram_login(client, "SCRAM-SHA-256-PLUS", scram) == "535 5.7.8 authentication failed"
        daemon.err.wait("result=binding_mismatch")


def test_a_hidden_plus_is_found_out(daemon, client):
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger", flag="y")) == "535 5.7.8 authentication failed"
    daemon.err.wait("result=binding_downgrade")
    assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "tiger")).startswith("235")  # "n" never knew of it


def test_other_bindings_are_refused(client):
    for flag, reply in [("p=tls-unique", "535 5.7.8"), ("n", "501 5.5.2"), ("y", "501 5.5.2")]:
        assert scram_login(client, "SCRAM-SHA-256-PLUS", Scram("scott", "tiger", flag=flag)).startswith(reply)


# ---- bearer tokens ----


def oauthbearer(token: str, authz: str = "") -> str:
    return b64(f"n,{'a=' + authz if authz else ''},\1host=mx\1port=587\1auth=Bearer {token}\1\1")


def xoauth2(token: str, user: str) -> str:
    return b64(f"user={user}\1auth=Bearer {token}\1\1")


@pytest.mark.parametrize("response, name", [
    ("OAUTHBEARER " + oauthbearer("scotts-token"), "scott scott"),
    ("OAUTHBEARER " + oauthbearer("scotts-token", "scott"), "scott scott"),
    ("OAUTHBEARER " + oauthbearer("team-token"), "team team g"),
    ("OAUTHBEARER " + oauthbearer("team-token", "scott"), "scott team g"),
    ("XOAUTH2 " + xoauth2("scotts-token", "scott"), "scott scott"),
])
def test_tokens(client, response, name):
    client.expect(f"AUTH {response}", "235 2.7.0")
    assert who(client).startswith(f"599 {name}")


@pytest.mark.parametrize("response", [oauthbearer("wrong"), oauthbearer("scotts-token", "mia"),
                                      oauthbearer("team-token", "mia"), b64("n,,\1auth=\1\1")])
@pytest.mark.parametrize("last", [b64("\1"), "*", "", "!"])
def test_a_refused_token_is_told_twice(client, response, last):
    challenge = client.expect(f"AUTH OAUTHBEARER {response}", "334 ")
    assert json.loads(unb64(challenge[4:])) == {"status": "invalid_token"}
    assert client.ask(last) == "535 5.7.8 authentication failed"
    client.expect(f"AUTH OAUTHBEARER {oauthbearer('scotts-token')}", "235")


def test_a_refused_xoauth2_token_is_told_as_its_inventor_does(client):
    challenge = client.expect(f"AUTH XOAUTH2 {xoauth2('wrong', 'scott')}", "334 ")
    assert json.loads(unb64(challenge[4:]))["status"] == "401"
    client.expect("", "535 5.7.8")
    client.expect(f"AUTH XOAUTH2 {xoauth2('scotts-token', 'mia')}", "334 ")  # no claiming to be another
    client.expect("", "535 5.7.8")


def test_token_handlers_that_cannot_or_will_not(daemon, client):
    for token in ("true-token", "nobody-token", "down-token"):
        client.expect(f"AUTH OAUTHBEARER {oauthbearer(token, 'scott')}", "454 4.7.0")
    client.expect(f"AUTH OAUTHBEARER {oauthbearer('locked-token')}", "334 ")
    client.expect("AQ==", "535 5.7.13 locked")
    daemon.err.wait("cannot reach the issuer")
    assert "down-token" not in daemon.err.text() and b64("down-token") not in daemon.err.text()


def test_guesses_cannot_be_taken_back():
    listener = ", auth_failure_delay = '1ms', auth_failure_limit = 2"
    with Daemon(policy(TOKENS, listener=listener)) as daemon, secure(daemon.port) as client:
        for _ in range(2):
            client.expect(f"AUTH OAUTHBEARER {oauthbearer('wrong')}", "334 ")
            client.expect("*", "535 5.7.8")
        assert client.read_reply().startswith("421 4.7.0")
        assert client.closed()


def test_the_first_word_of_a_refusal_comes_when_refusals_come():
    with Daemon(policy(TOKENS, listener=", auth_failure_delay = '300ms'")) as daemon, secure(daemon.port) as client:
        began = time.monotonic()
        client.expect(f"AUTH OAUTHBEARER {oauthbearer('wrong')}", "334 ")
        assert time.monotonic() - began > 0.29
        client.expect("AQ==", "535 5.7.8")


# ---- certificates ----

OWN = ", tls_certificate = '@DIR@/own.pem', tls_private_key = '@DIR@/own.key', tls_required_client_ca = '@DIR@/device.pem'"


def make_certificate(directory, name: str, subject: str, extensions: str) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", f"/CN={subject}", "-addext", extensions, "-addext",
                    "subjectAltName=email:device@example.com,DNS:device-7.example,DNS:seven.example,IP:127.0.0.1",
                    "-keyout", directory / f"{name}.key", "-out", directory / f"{name}.pem"],
                   check=True, capture_output=True)
    give(directory / f"{name}.key")
    give(directory / f"{name}.pem")


@pytest.fixture(scope="module")
def certified():
    directory = make_dir()
    make_certificate(directory, "own", "mx.gatepost.test", "extendedKeyUsage=serverAuth")
    make_certificate(directory, "device", "device-7.example", "extendedKeyUsage=clientAuth")
    text = policy(STATIC_USERS, CERTIFICATES, WHO_AM_I, listener=LISTENER + OWN)
    with Daemon(text.replace("  kumo.start_http", ACCT + "  kumo.start_http", 1), directory=directory) as made:
        yield made


def with_certificate(daemon) -> Talk:
    context = insecure_context()
    context.load_cert_chain(daemon.dir / "device.pem", daemon.dir / "device.key")
    return secure(daemon.port, context)


def test_external_is_offered_to_whoever_shows_a_certificate(certified):
    with secure(certified.port) as client:
        assert "EXTERNAL" not in offered(client.ehlo)
        client.expect("AUTH EXTERNAL =", "504 5.5.4")
    with with_certificate(certified) as client:
        assert "EXTERNAL" in offered(client.ehlo)


@pytest.mark.parametrize("asked", ["", "device@example.com"])
@pytest.mark.parametrize("is_late", [False, True])
def test_external(certified, asked, is_late):
    with with_certificate(certified) as client:
        if is_late:
            assert client.ask("AUTH EXTERNAL") == "334 "
            client.expect(b64(asked), "235")
        else:
            client.expect("AUTH EXTERNAL " + (b64(asked) or "="), "235")
        assert who(client).startswith("599 device@example.com device@example.com")


def test_the_record_of_a_login_has_the_certificate(certified):
    with with_certificate(certified) as client:
        client.expect("AUTH EXTERNAL =", "235")
    record = certified.wait_records(lambda record: record["mechanism"] == "EXTERNAL" and record["success"], "acct")[-1]
    assert record["tls_peer_subject_name"] == "CN=device-7.example"
    with secure(certified.port) as client:
        client.expect("AUTH PLAIN " + b64("\0scott\0tiger"), "235")
    record = certified.wait_records(lambda record: record["mechanism"] == "PLAIN" and record["success"], "acct")[-1]
    assert record["tls_peer_subject_name"] is None


def test_a_certificate_is_nobody_elses(certified):
    with with_certificate(certified) as client:
        client.expect("AUTH EXTERNAL " + b64("scott"), "535 5.7.8")
        client.expect("AUTH EXTERNAL " + b64("true"), "454 4.7.0")  # a bare true would make any wish come true
        client.expect("AUTH EXTERNAL " + b64("a\nb"), "501 5.5.2")


# ---- the last word ----

LAST_WORD = """
kumo.on('smtp_server_authenticated', function(auth_info, conn_meta)
  local name = auth_info.identities[1].identity
  if name == 'scott' then return { groups = { 'staff' }, tenant = 'acme', limits = { messages_per_hour = 600 } } end
  if name == 'mia' then return false end
  if name == 'locked' then kumo.reject(535, '5.7.13 locked for now') end
  if name == 'down' then error('no verdict') end
  if name == 'odd' then return { grups = {} } end
end)
kumo.on('smtp_server_auth_plain', function(authz, authc, password) return password == 'x' end)
kumo.on('smtp_server_auth_scram', function(authc) return { password = 'x' } end)
"""


def test_the_last_word_after_any_success():
    with Daemon(policy(LAST_WORD, WHO_AM_I, listener=LISTENER)) as daemon:
        for user, reply in [("mia", "535 5.7.8 authentication failed"), ("locked", "535 5.7.13 locked for now"),
                            ("down", "454 4.7.0"), ("odd", "454 4.7.0"), ("scott", "235"), ("silent", "235")]:
            with secure(daemon.port) as client:
                client.expect("AUTH PLAIN " + b64(f"\0{user}\0x"), reply)
                if user == "scott":
                    assert who(client) == "599 scott scott staff acme"
            with secure(daemon.port) as client:
                assert scram_login(client, "SCRAM-SHA-256", Scram(user, "x")).startswith(reply)
        daemon.err.wait("'grups' is not a member of an AuthInfo")


def test_no_secret_is_left_anywhere():
    secrets = ["tiger-of-the-handler", "token-of-the-client"]
    leaky = """
kumo.on('smtp_server_auth_scram', function(authc) return { password = 'tiger-of-the-handler', stored_key = 1 } end)
kumo.on('smtp_server_auth_bearer', function(authz, token) error('with ' .. token) end)
"""
    with Daemon(policy(leaky, AUTHENTICATED_MAY_RELAY, listener=LISTENER)) as daemon:
        with secure(daemon.port) as client:
            assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "x")).startswith("454")
            client.expect("AUTH OAUTHBEARER " + oauthbearer(secrets[1]), "454")
            client.expect("AUTH OAUTHBEARER " + oauthbearer(secrets[1]) + "x", "501")
        daemon.wait_records(lambda record: record["type"] == "Rejection", count=3)
        text = daemon.err.text() + json.dumps(daemon.records())
        for secret in secrets:
            assert secret not in text and b64(secret) not in text and oauthbearer(secret) not in text


# ---- the same, with users from auth.toml; and a policy's word over them ----

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
RULES = """
mechanisms = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256', 'PLAIN', 'EXTERNAL']
[external]
source = 'dns'
[user.keys]
password = '%s'
groups = ['staff']
may_act_as = ['team']
[user.scott]
password = '{PLAIN}tiger'
[user.hash]
password = '$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2y13YMgLCAorxzCoZnLmWdp1'
[user.gone]
password = '%s'
disabled = true
[user.'device-7.example']
groups = ['devices']
""" % (STORED, STORED)
MEDDLING = """
kumo.on('smtp_server_auth_scram', function(authc)
  if authc == 'lua' then return { password = 'tiger' } end
  if authc == 'scott' then return false end
end)
kumo.on('smtp_server_authenticated', function(auth_info)
  return { groups = { 'seen-with-' .. #auth_info.groups } }
end)
"""


@pytest.fixture(scope="module")
def gate():
    directory = make_dir()
    make_certificate(directory, "own", "mx.gatepost.test", "extendedKeyUsage=serverAuth")
    make_certificate(directory, "device", "device-7.example", "extendedKeyUsage=clientAuth")
    with Daemon(policy(SETUP, WHO_AM_I, listener=LISTENER + OWN), directory=directory, files={"auth.toml": RULES}) as made:
        yield made


def test_the_rules_say_what_is_offered(gate):
    with secure(gate.port) as client:
        assert offered(client.ehlo) == "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"
        for name in ("LOGIN", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-1", "EXTERNAL"):
            client.expect(f"AUTH {name} =", "504 5.5.4")
    with with_certificate(gate) as client:
        assert offered(client.ehlo) == "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN EXTERNAL"
        client.expect("AUTH EXTERNAL " + b64("scott"), "535 5.7.8")
        client.expect("AUTH EXTERNAL =", "235")
        assert who(client).startswith("599 device-7.example device-7.example devices")


@pytest.mark.parametrize("user, authzid, name", [("keys", "", "keys keys staff"), ("keys", "team", "team keys staff"),
                                                 ("scott", "", "scott scott ")])
def test_scram_with_users_from_a_file(gate, user, authzid, name):
    with secure(gate.port) as client:
        scram = Scram(user, "tiger", authzid=authzid, flag="p=tls-server-end-point", binding=end_point_of(client))
        assert scram_login(client, "SCRAM-SHA-256-PLUS", scram).startswith("235")
        assert who(client).startswith(f"599 {name}")


@pytest.mark.parametrize("user, password, authzid", [("keys", "lion", ""), ("scott", "lion", ""), ("nobody", "tiger", ""),
                                                     ("hash", "tiger", ""), ("gone", "tiger", ""), ("keys", "tiger", "x")])
def test_scram_refusals_are_one(gate, user, password, authzid):
    with secure(gate.port) as client:
        assert scram_login(client, "SCRAM-SHA-256", Scram(user, password, authzid=authzid)) == \
            "535 5.7.8 authentication failed"


def test_scram_with_the_old_and_the_new_secret():
    """A password is changed without a moment in which neither works: as keys that share a salt, and as plain ones."""
    old = passwd("--scheme", "scram-sha-256", "--rounds", "4096", password="old")
    new = passwd("--beside", old, password="new")
    rules = f"mechanisms = ['SCRAM-SHA-256', 'PLAIN']\n[user.ann]\npassword = ['{old}', '{new}', '{{PLAIN}}newest']\n" \
            "[user.bob]\npassword = ['{PLAIN}old', '{PLAIN}new', '{PLAIN}newest']\n" \
            f"[user.max]\npassword = ['{{PLAIN}}1', '{{PLAIN}}2', '{{PLAIN}}newest', '{{PLAIN}}newer', '{old}', '{new}']\n"
    with Daemon(policy(SETUP, WHO_AM_I, listener=LISTENER), files={"auth.toml": rules}) as daemon:
        for user in ("ann", "bob"):
            for password, reply in (("old", "235"), ("new", "235"), ("newest", "235"), ("newer", "535")):
                with secure(daemon.port) as client:
                    assert scram_login(client, "SCRAM-SHA-256", Scram(user, password)).startswith(reply)
        for password, reply in (("old", "235"), ("1", "235"), ("newest", "235"), ("newer", "535"), ("new", "535")):
            with secure(daemon.port) as client:  # four at most, and the one with keys is the first
                assert scram_login(client, "SCRAM-SHA-256", Scram("max", password)).startswith(reply)


def test_a_handler_may_answer_in_place_of_the_rules():
    with Daemon(policy(SETUP, MEDDLING, WHO_AM_I, listener=LISTENER), files={"auth.toml": RULES}) as daemon:
        for user, reply, groups in [("lua", "235", "seen-with-0"), ("keys", "235", "staff+seen-with-1"), ("scott", "535", ""),
                                    ("nobody", "535", "")]:
            with secure(daemon.port) as client:
                assert scram_login(client, "SCRAM-SHA-256", Scram(user, "tiger")).startswith(reply)
                if groups:
                    assert who(client).startswith(f"599 {user} {user} {groups} ")
        with secure(daemon.port) as client:
            client.expect("AUTH PLAIN " + b64("\0keys\0tiger"), "235")
            assert who(client).startswith("599 keys keys staff+seen-with-1 ")


CLAIMS = """
kumo.on('smtp_server_auth_bearer', function(authz, token, claims, conn_meta)
  assert(#token > 100 and claims.iss)
  if claims.sub == 'ann' then return true end
  if claims.sub == 'eve' then return false end
  if claims.sub == 'bot' then return 'robot' end
  if claims.sub == 'max' then
    return { identities = { { identity = 'max', context = 'BearerToken' } }, groups = { claims.team } }
  end
end)
"""


@pytest.mark.parametrize("user, authz, name", [
    ("ann", "", "ann ann "), ("ann", "ann", "ann ann "), ("bob", "", "bob bob "), ("bot", "", "robot robot "),
    ("max", "", "max max crew "), ("eve", "", None), ("ann", "eve", None), ("bot", "bot", None),
])
def test_a_handler_is_told_what_a_verified_token_claims(user, authz, name):
    key = Key("ES256")
    with Issuer(keys=[key]) as issuer:
        store = (f"[store.sso]\ndriver = 'jwt'\nissuer = '{issuer.address}'\naudience = '{AUDIENCE}'\n"
                 f"jwks_url = '{issuer.address}/jwks'\ntimeout = '60s'\n")
        with Daemon(policy(SETUP, CLAIMS, WHO_AM_I, listener=LISTENER), files={"auth.toml": store}) as daemon:
            with secure(daemon.port) as client:
                token = key.mint(claims(issuer.address, user, team="crew"))
                reply = client.ask(f"AUTH OAUTHBEARER {oauthbearer(token, authz)}")
                assert reply.startswith("235" if name else "334 ")
                assert name is None or who(client).startswith(f"599 {name}")
            with secure(daemon.port) as client:  # what the gate refuses no handler is asked about
                forged = Key("ES256").mint(claims(issuer.address, user))
                client.expect(f"AUTH OAUTHBEARER {oauthbearer(forged)}", "334 ")
                client.expect("AQ==", "535 5.7.8")


def test_the_last_client_of_a_stopping_daemon():
    """Keys that are being made when the daemon is told to stop."""
    with Daemon(policy(SCRAM_USERS, listener=LISTENER)) as daemon:
        clients = [secure(daemon.port) for _ in range(8)]
        for client in clients:
            client.line("AUTH SCRAM-SHA-256 " + Scram("mia,=", "lion").first())
        for client in clients:
            client.close()
