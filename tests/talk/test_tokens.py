# SPDX-License-Identifier: Apache-2.0
"""Logins with bearer tokens, end to end: JSON Web Tokens with keys that change, introspection, and issuers that are
slow, stopped, killed or broken. The tokens come from another implementation than ours (python3-cryptography)."""

import json
import re
import sqlite3
import subprocess
import threading
import time

import pytest
from gatepost import DEADLINE, Daemon, Talk, give, make_dir, until
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, policy
from sasl import b64, unb64
from tokens import AUDIENCE, CLIENT, Issuer, Key, claims, key_set

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
QUICK = ", auth_failure_delay = '1ms', auth_failure_limit = 100, junk_command_limit = 100"
WHO_AM_I = """
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  local info = conn_meta:auth_info()
  kumo.reject(599, (conn_meta:get_meta 'authz_id' or '-') .. ' ' .. (conn_meta:get_meta 'authn_id' or '-') .. ' ' ..
    (info and table.concat(info.groups, '+') or ''))
end)
"""
REFUSED = "535 5.7.8"
PATIENT = "\ntimeout = '60s'"  # who is well may be slow on a busy machine


def jwt_store(address: str, more: str = "", keys: str = "") -> str:
    keys = keys or f"jwks_url = '{address}/jwks'"
    more += "" if "timeout" in more else PATIENT
    return f"[store.sso]\ndriver = 'jwt'\nissuer = '{address}'\naudience = '{AUDIENCE}'\n{keys}\n{more}\n"


def introspection_store(address: str, more: str = "", name: str = "opaque") -> str:
    more += "" if "timeout" in more else PATIENT
    return (f"[store.{name}]\ndriver = 'introspection'\nendpoint = '{address}/introspect'\nclient_id = '{CLIENT[0]}'\n"
            f"client_secret = '{CLIENT[1]}'\n{more}\n")


def start(*tables: str, parts=(WHO_AM_I,)) -> Daemon:
    return Daemon(policy(SETUP, *parts, listener=QUICK), files={"auth.toml": "\n".join(tables)})


def secure(daemon: Daemon) -> Talk:
    client = Talk(daemon.port)
    client.expect("EHLO me", "250")
    client.starttls()
    client.expect("EHLO me", "250")
    return client


def attempt(client: Talk, token: str, authz: str = "", mechanism: str = "OAUTHBEARER") -> str:
    """The last reply; a refusal comes after the challenge that says so."""
    response = (f"n,{'a=' + authz if authz else ''},\1auth=Bearer {token}\1\1" if mechanism == "OAUTHBEARER" else
                f"user={authz}\1auth=Bearer {token}\1\1")
    reply = client.ask(f"AUTH {mechanism} {b64(response)}")
    if reply.startswith("334 "):
        assert "status" in json.loads(unb64(reply[4:]))
        reply = client.ask("AQ==")
    return reply


def login(daemon: Daemon, token: str, authz: str = "", mechanism: str = "OAUTHBEARER") -> str:
    """Who one is after it, or the reply that refused."""
    with secure(daemon) as client:
        reply = attempt(client, token, authz, mechanism)
        return client.ask("MAIL FROM:<a@b.example>")[4:].strip() if reply.startswith("235 ") else reply


def until_told(daemon: Daemon, token: str) -> str:
    """What login() says; where little time is given to an issuer, its answer may come too late once or twice."""
    deadline = time.monotonic() + DEADLINE
    while (said := login(daemon, token)).startswith("454"):
        assert time.monotonic() < deadline, daemon.err.text()
    return said


KEYS = {algorithm: Key(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}
THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
OPAQUE = {
    "2YotnFZFEjr1zCsicMWpAA": {"active": True, "username": "olga", "scope": "mail.send"},
    "without-a-name": {"active": True, "scope": "mail.send"},
    "ended": {"active": True, "username": "olga", "exp": 1},
    "bound": {"active": True, "username": "olga", "token_type": "DPoP", "cnf": {"jkt": THUMBPRINT}},
}


@pytest.fixture(scope="module")
def issuer():
    with Issuer(keys=KEYS.values()) as made:
        made.introspects(OPAQUE)
        yield made


@pytest.fixture(scope="module")
def daemon(issuer):
    with start(jwt_store(issuer.address, "groups_claim = 'realm.roles'"), introspection_store(issuer.address)) as made:
        yield made


# ---- what lets in ----


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("mechanism, authz", [("OAUTHBEARER", ""), ("OAUTHBEARER", "ann"), ("XOAUTH2", "ann")])
def test_a_token_opens_the_gate(daemon, issuer, algorithm, mechanism, authz):
    token = KEYS[algorithm].mint(claims(issuer.address, "ann", realm={"roles": ["staff", "ops"]}))
    assert login(daemon, token, authz, mechanism) == "ann ann staff+ops"


def test_an_audience_among_others_and_a_token_without_kid(daemon, issuer):
    token = KEYS["ES256"].mint(claims(issuer.address, "ann", aud=["web", AUDIENCE]), kid=None)
    assert login(daemon, token) == "ann ann"


@pytest.mark.parametrize("typ", [None, "JWT", "application/at+jwt", "AT+JWT"])
def test_a_type_that_an_access_token_may_have(daemon, issuer, typ):
    assert login(daemon, KEYS["ES256"].mint(claims(issuer.address, "ann"), typ=typ)) == "ann ann"


def test_another_implementation_sends_mail(issuer, tmp_path):
    letter = tmp_path / "letter"
    letter.write_bytes(MESSAGE)
    token = KEYS["EdDSA"].mint(claims(issuer.address, "ann"))
    with start(jwt_store(issuer.address), parts=(AUTHENTICATED_MAY_RELAY,)) as daemon:
        done = subprocess.run(
            ["curl", "-sS", "-v", "--ssl-reqd", "--insecure", f"smtp://127.0.0.1:{daemon.port}", "--user", "ann",
             "--oauth2-bearer", token, "--login-options", "AUTH=OAUTHBEARER", "--mail-from", "ann@tiger.example",
             "--mail-rcpt", "you@dest.example", "-T", letter],
            capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert done.returncode == 0, done.stderr
        assert "235 2.7.0" in done.stderr


# ---- what does not ----


def altered(token: str) -> str:
    at = len(token) - 20
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]


BAD = {
    "expired": lambda own, key: key.mint(claims(own, "ann", exp=int(time.time()) - 3600)),
    "not yet": lambda own, key: key.mint(claims(own, "ann", nbf=int(time.time()) + 3600)),
    "never ends": lambda own, key: key.mint(claims(own, "ann", exp=None)),
    "audience": lambda own, key: key.mint(claims(own, "ann", aud="web")),
    "no audience": lambda own, key: key.mint(claims(own, "ann", aud=None)),
    "issuer": lambda own, key: key.mint(claims("https://other.example", "ann")),
    "no user": lambda own, key: key.mint(claims(own, None)),
    "line end in the user": lambda own, key: key.mint(claims(own, "ann\r\nbob")),
    "altered": lambda own, key: altered(key.mint(claims(own, "ann"))),
    "cut": lambda own, key: key.mint(claims(own, "ann"))[:-1],
    "no signature": lambda own, key: key.mint(claims(own, "ann")).rpartition(".")[0] + ".",
    "alg none": lambda own, key: key.mint(claims(own, "ann"), alg="none").rpartition(".")[0] + ".",
    "alg of another": lambda own, key: key.mint(claims(own, "ann"), alg="RS256"),
    "crit": lambda own, key: key.mint(claims(own, "ann"), crit=["exp"]),
    "to log out with": lambda own, key: key.mint(claims(own, "ann"), typ="logout+jwt"),
    "a proof of a key": lambda own, key: key.mint(claims(own, "ann"), typ="dpop+jwt", jwk=key.jwk()),
    "an ID token that says so": lambda own, key: key.mint(claims(own, "ann"), typ="id_token+jwt"),
    "a type that is none": lambda own, key: key.mint(claims(own, "ann"), typ=["JWT"]),
    "bound by DPoP": lambda own, key: key.mint(claims(own, "ann", cnf={"jkt": THUMBPRINT})),
    "bound by mutual TLS": lambda own, key: key.mint(claims(own, "ann", cnf={"x5t#S256": THUMBPRINT})),
    "stranger's key": lambda own, key: Key("ES256", kid=key.kid).mint(claims(own, "ann")),
    "own key in the header": lambda own, key: (lambda k: k.mint(claims(own, "ann"), jwk=k.jwk()))(Key("ES256")),
    "opaque": lambda own, key: "unknown-to-all",
    "opaque, ended": lambda own, key: "ended",
    "opaque, bound": lambda own, key: "bound",
    "opaque, nobody": lambda own, key: "without-a-name",
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_refused(daemon, issuer, what):
    assert login(daemon, BAD[what](issuer.address, KEYS["ES256"])).startswith(REFUSED)


def test_a_token_is_not_a_licence_to_be_another(daemon, issuer):
    token = KEYS["ES256"].mint(claims(issuer.address, "ann"))
    assert login(daemon, token, "bob").startswith(REFUSED)
    assert login(daemon, token, "bob", "XOAUTH2").startswith(REFUSED)


def test_a_refusal_leaves_the_session_usable(daemon, issuer):
    with secure(daemon) as client:
        assert attempt(client, BAD["audience"](issuer.address, KEYS["ES256"])).startswith(REFUSED)
        assert attempt(client, KEYS["ES256"].mint(claims(issuer.address, "ann"))).startswith("235 ")


def test_the_operator_is_told_why(daemon, issuer):
    login(daemon, BAD["audience"](issuer.address, KEYS["RS256"]))
    daemon.err.wait("login: store sso: the token is meant for another audience")
    before = len(daemon.err.find("result=expired"))
    login(daemon, BAD["expired"](issuer.address, KEYS["RS256"]))
    daemon.err.wait("result=expired", before + 1)


@pytest.mark.parametrize("what, words", [
    ("to log out with", "sso: the token's type is not one that this store takes"),
    ("bound by DPoP", "sso: the token is bound to a key of its holder's, which is not checked here"),
    ("opaque, bound", "opaque: the token is bound to a key of its holder's, which is not checked here")])
def test_the_operator_is_told_what_kind_of_token_it_was(daemon, issuer, what, words):
    told, refused = (len(daemon.err.find(text)) for text in ("login: store " + words, "result=bad_token"))
    assert login(daemon, BAD[what](issuer.address, KEYS["ES256"])).startswith(REFUSED)
    daemon.err.wait("login: store " + words, told + 1)
    daemon.err.wait("result=bad_token", refused + 1)


def test_an_issuer_that_types_its_tokens_can_be_taken_at_its_word(issuer):
    """RFC 9068: then what it calls JWT, or nothing, is an ID token or the like."""
    with start(jwt_store(issuer.address, "types = ['application/at+jwt']")) as daemon:
        for typ, expected in [("at+jwt", "ann ann"), ("JWT", REFUSED), (None, REFUSED), ("id_token+jwt", REFUSED)]:
            assert login(daemon, KEYS["ES256"].mint(claims(issuer.address, "ann"), typ=typ)).startswith(expected)
        daemon.replace("auth.toml", jwt_store(issuer.address, "types = ['at+jwt', 'id_token+jwt']"))
        daemon.reload()
        assert login(daemon, KEYS["ES256"].mint(claims(issuer.address, "ann"), typ="id_token+jwt")) == "ann ann"


def test_a_record_of_a_store_that_is_away_does_not_make_a_token_bad(issuer):
    """Ann may have been let in again meanwhile."""
    token = KEYS["ES256"].mint(claims(issuer.address, "ann"))
    folder = make_dir()
    path = folder / "users.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT, disabled INT)")
        database.execute("INSERT INTO users VALUES ('ann', 'tiger', 1)")
    database.close()
    give(path)
    people = f"[store.people]\ndriver = 'sqlite'\npath = '{path}'\n[cache]\npositive_ttl = 0.001\nrecheck = 0\n"
    with start("stores = ['sso', 'people']", jwt_store(issuer.address), people) as daemon:
        assert login(daemon, token).startswith(REFUSED)
        daemon.err.wait("result=disabled")
        path.rename(folder / "away.db")
        path.write_text("no database " * 100)
        give(path)
        until(lambda: login(daemon, token).startswith("454 4.7.0"), daemon.err.text)
        daemon.err.wait("result=unverified")
        (folder / "away.db").rename(path)
        with sqlite3.connect(path) as database:
            database.execute("UPDATE users SET disabled = 0")
        database.close()
        give(path)
        until(lambda: login(daemon, token) == "ann ann", daemon.err.text)


def test_no_token_is_written_anywhere(issuer):
    tokens = [KEYS["ES256"].mint(claims(issuer.address, "ann")), BAD["audience"](issuer.address, KEYS["ES256"]),
              "2YotnFZFEjr1zCsicMWpAA", "an-opaque-token-that-nobody-knows"]
    with start(jwt_store(issuer.address), introspection_store(issuer.address, "cache_ttl = 60")) as daemon:
        for token in tokens:
            login(daemon, token)
        issuer.behaves(status=500)
        try:
            login(daemon, tokens[-1])
        finally:
            issuer.behaves()
        daemon.stop()
        texts = [daemon.err.text().encode(), *(path.read_bytes() for path in daemon.dir.rglob("*") if path.is_file()
                                               and path.name != "auth.toml")]
    for secret in [*tokens, CLIENT[1]]:
        for text in texts:
            for part in secret.split("."):
                assert part.encode() not in text and b64(part).encode() not in text


# ---- keys that change ----


def test_a_rotation_without_downtime():
    old, new = Key("RS256"), Key("ES256")
    with Issuer(keys=[old]) as issuer, start(jwt_store(issuer.address, "refresh = '1s'")) as daemon:
        tokens = {key: key.mint(claims(issuer.address, "ann")) for key in (old, new)}
        assert login(daemon, tokens[old]) == "ann ann"
        assert login(daemon, tokens[new]).startswith(REFUSED)
        issuer.publish(old, new)
        issuer.wait_for_requests("/jwks", 2)
        assert login(daemon, tokens[old]) == "ann ann"
        assert login(daemon, tokens[new]) == "ann ann"
        issuer.publish(new)
        issuer.wait_for_requests("/jwks", 2)
        assert login(daemon, tokens[old]).startswith(REFUSED)
        assert login(daemon, tokens[new]) == "ann ann"


def test_made_up_keys_do_not_reach_the_issuer():
    key = Key("ES256")
    with Issuer(keys=[key]) as issuer, start(jwt_store(issuer.address)) as daemon:
        began = time.monotonic()
        assert login(daemon, key.mint(claims(issuer.address, "ann"))) == "ann ann"
        for _ in range(20):
            assert login(daemon, Key("ES256").mint(claims(issuer.address, "ann"))).startswith(REFUSED)
        assert issuer.counts()["/jwks"] <= 2 + (time.monotonic() - began) / 10


def test_keys_of_a_file():
    key = Key("EdDSA")
    folder = make_dir()
    path = folder / "keys.json"
    path.write_text(key_set(key))
    path.chmod(0o644)
    with start(jwt_store("https://id.example", "refresh = '1s'", keys=f"jwks_file = '{path}'")) as daemon:
        assert login(daemon, key.mint(claims("https://id.example", "ann"))) == "ann ann"
        path.write_text("{")
        daemon.err.wait("jwks_file.*going on with the keys of before")
        assert login(daemon, key.mint(claims("https://id.example", "ann"))) == "ann ann"
        new = Key("EdDSA")
        path.write_text(key_set(new))
        daemon.err.wait("jwks_file.*the keys can be had again")
        assert login(daemon, new.mint(claims("https://id.example", "ann"))) == "ann ann"
        assert login(daemon, key.mint(claims("https://id.example", "ann"))).startswith(REFUSED)


# ---- issuers in trouble ----


AWAY, BACK = "going on with the keys of before", "the keys can be had again"


def test_an_issuer_that_is_away_locks_nobody_out():
    key = Key("ES256")
    with Issuer(keys=[key]) as issuer, start(jwt_store(issuer.address, "refresh = '1s'\ntimeout = '5s'")) as daemon:
        assert login(daemon, key.mint(claims(issuer.address, "ann"))) == "ann ann"
        for trouble in (issuer.pause, issuer.kill):
            away, back = (len(daemon.err.find(words)) for words in (AWAY, BACK))  # a busy machine may have been late before
            trouble()
            daemon.err.wait(AWAY, away + 1)
            assert login(daemon, key.mint(claims(issuer.address, "ann"))) == "ann ann"
            # a key that may have been published since: no verdict
            assert login(daemon, Key("ES256").mint(claims(issuer.address, "ann"))).startswith("454 4.7.0")
            if trouble == issuer.pause:
                issuer.resume()
            else:
                issuer.restart()
            daemon.err.wait(BACK, back + 1)
        assert login(daemon, key.mint(claims(issuer.address, "ann"))) == "ann ann"


def test_an_edit_about_others_leaves_the_keys_of_an_issuer_that_is_away():
    key = Key("ES256")
    with Issuer(keys=[key]) as issuer, start(jwt_store(issuer.address), "[user.home]\npassword = 'castle'") as daemon:
        token = key.mint(claims(issuer.address, "ann"))
        assert login(daemon, token) == "ann ann"
        issuer.kill()
        daemon.replace("auth.toml", jwt_store(issuer.address) + "[user.home]\npassword = 'tower'")
        daemon.reload()
        assert login(daemon, token) == "ann ann"
        daemon.replace("auth.toml", jwt_store(issuer.address, "leeway = '2m'") + "[user.home]\npassword = 'tower'")
        daemon.reload()
        assert login(daemon, token).startswith("454 4.7.0")


@pytest.mark.parametrize("trouble", ["pause", "kill", "hang", "drip", "cut", "garbage", "redirect", "500", "401"])
def test_no_verdict_without_the_introspection_server(trouble):
    key = Key("ES256")
    timeout = "1s" if trouble in ("pause", "hang", "drip") else "60s"
    with Issuer(keys=[key]) as issuer, \
            start(jwt_store(issuer.address), introspection_store(issuer.address, f"timeout = '{timeout}'")) as daemon:
        issuer.introspects(OPAQUE)
        good = key.mint(claims(issuer.address, "ann"))
        assert until_told(daemon, "2YotnFZFEjr1zCsicMWpAA") == "olga olga"
        assert login(daemon, good) == "ann ann"
        if trouble in ("pause", "kill"):
            getattr(issuer, trouble)()
        elif trouble.isdigit():
            issuer.behaves(status=int(trouble))
        else:
            issuer.behaves(way=trouble)
        replies = []
        waiting = [threading.Thread(target=lambda: replies.append(login(daemon, "2YotnFZFEjr1zCsicMWpAA")))
                   for _ in range(5)]
        for thread in waiting:
            thread.start()
        assert login(daemon, good) == "ann ann"  # others do not notice
        for thread in waiting:
            thread.join(DEADLINE)
        assert [reply[:9] for reply in replies] == ["454 4.7.0"] * 5
        if trouble == "pause":
            issuer.resume()
        elif trouble == "kill":
            issuer.restart()
        else:
            issuer.behaves()
        assert until_told(daemon, "2YotnFZFEjr1zCsicMWpAA") == "olga olga"  # by itself


def test_a_withdrawn_token_is_refused_at_once():
    with Issuer() as issuer, start(introspection_store(issuer.address)) as daemon:
        issuer.introspects(OPAQUE)
        assert login(daemon, "2YotnFZFEjr1zCsicMWpAA") == "olga olga"
        issuer.introspects({})
        assert login(daemon, "2YotnFZFEjr1zCsicMWpAA").startswith(REFUSED)


def test_a_token_of_the_second_introspection_server():
    """To the first one it is not active, which is all that such a server says of what was never its own."""
    with Issuer() as first, Issuer() as second:
        tables = [introspection_store(first.address, name="first"),
                  introspection_store(second.address, "issuer = 'https://second.example'", name="second")]
        with start("stores = ['first', 'second']", *tables, parts=("kumo.set_diagnostic_log_filter 'debug'", WHO_AM_I)
                   ) as daemon:
            first.introspects({"of-the-first": {"active": True, "username": "ann"}})
            second.introspects({"of-the-second": {"active": True, "username": "olga", "iss": "https://second.example"},
                                "of-a-third": {"active": True, "username": "eve", "iss": "https://third.example"},
                                "ended": {"active": True, "username": "olga", "iss": "https://second.example", "exp": 1}})
            assert login(daemon, "of-the-first") == "ann ann"
            assert login(daemon, "of-the-second") == "olga olga"
            assert second.counts() == {"/introspect": 1}
            daemon.err.wait("login: store first does not know the token: the token is not active")
            assert login(daemon, "of-a-third").startswith(REFUSED)
            daemon.err.wait("login: store second does not know the token: the token comes from another issuer")
            daemon.err.wait("result=bad_token")
            assert login(daemon, "ended").startswith(REFUSED)
            daemon.err.wait("login: store second: the token has expired")
            daemon.err.wait("result=expired")
            first.behaves(status=500)  # it may have known: no verdict
            assert login(daemon, "of-the-second").startswith("454 4.7.0")


# ---- TLS and settings ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    names = [str(folder / name) for name in ("cert.pem", "key.pem")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", names[0],
                    "-keyout", names[1]], check=True, capture_output=True)
    return names


def test_the_issuer_must_prove_who_it_is(certificate):
    key = Key("ES256")
    folder = make_dir()
    pinned = folder / "ca.pem"
    pinned.write_text(open(certificate[0], encoding="ascii").read())
    pinned.chmod(0o644)
    with Issuer(keys=[key], tls=tuple(certificate)) as issuer:
        issuer.introspects(OPAQUE)
        for ca_file, expected in [(f"ca_file = '{pinned}'", {"ann ann", "olga olga"}), ("", {"454 4.7.0"})]:
            with start(jwt_store(issuer.address, ca_file), introspection_store(issuer.address, ca_file)) as daemon:
                replies = {login(daemon, key.mint(claims(issuer.address, "ann"))),
                           login(daemon, "2YotnFZFEjr1zCsicMWpAA")}
                assert {reply[:9] if reply.startswith("454") else reply for reply in replies} == expected


@pytest.mark.parametrize("table, fault", [
    (jwt_store("https://id.example", keys="jwks_file = '/nowhere/keys.json'"), r"/nowhere/keys\.json"),
    (jwt_store("https://id.example", keys="jwks_url = 'http://id.example/keys'"), r"auth\.toml:5: store\.sso\.jwks_url"),
    (jwt_store("https://id.example", "algorithms = ['HS256']"), r"auth\.toml:6: store\.sso\.algorithms"),
    (jwt_store("https://id.example", "types = ['at+jwt', 'at jwt']"), r"auth\.toml:6: store\.sso\.types: must be media types"),
    (jwt_store("https://id.example", "types = []"), r"auth\.toml:6: store\.sso\.types: must name one"),
    (introspection_store("https://id.example", "cache = 60"), r"auth\.toml:6: store\.opaque\.cache"),
], ids=["file", "in clear", "algorithm", "type", "no type", "unknown"])
def test_a_mistake_names_its_line(table, fault):
    with_mistake = start(table)
    done = with_mistake.run_to_end()
    assert done.returncode != 0
    assert re.search(fault, done.stderr), done.stderr


# ---- what a token claims, beside a record ----


WHOSE = """
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  local info = conn_meta:auth_info()
  kumo.reject(599, (info.tenant or '-') .. ' ' .. table.concat(info.groups, '+'))
end)
"""


@pytest.mark.parametrize("record, whose, may", [
    ("", "blue staff", ["ann@ok.example"]),
    ("[user.ann]\npassword = 'x'", "blue staff", ["ann@ok.example"]),
    ("[user.ann]\npassword = 'x'\nsenders = []\ntenants = []", "blue staff", ["ann@ok.example"]),
    ("[user.ann]\npassword = 'x'\nsenders = ['ann@record.example']", "blue staff", ["ann@record.example"]),
    ("[user.ann]\npassword = 'x'\ntenant = 'red'", "red staff", ["ann@ok.example"]),
    ("[user.ann]\npassword = 'x'\nsenders = ['ann@record.example']\ntenant = 'red'\ngroups = ['ops']", "red ops+staff",
     ["ann@record.example", "ann@ops.example"]),
    ("[user.ann]\npassword = 'x'\ngroups = ['ops']", "blue ops+staff", ["ann@ok.example", "ann@ops.example"]),
], ids=["none", "bare", "empty", "senders", "tenant", "all", "group"])
def test_what_a_token_claims_holds_where_the_record_names_none(record, whose, may):
    key, address = Key("ES256"), "https://id.example"
    folder = make_dir()
    path = folder / "keys.json"
    path.write_text(key_set(key))
    path.chmod(0o644)
    claimed = "senders_claim = 'senders'\ntenant_claim = 'tenant'\ngroups_claim = 'groups'"
    token = key.mint(claims(address, "ann", senders=["ann@ok.example"], tenant="blue", groups=["staff"]))
    with start(jwt_store(address, claimed, keys=f"jwks_file = '{path}'"), "[group.ops]\nsenders = ['@ops.example']", record,
               parts=(WHOSE,)) as daemon, secure(daemon) as client:
        assert attempt(client, token).startswith("235 ")
        for sender in ("ann@ok.example", "ann@record.example", "ann@ops.example", "ceo@bank.example"):
            said = client.ask(f"MAIL FROM:<{sender}>").strip()
            assert said == f"599 {whose}" if sender in may else said.startswith("553 5.7.1 "), said
