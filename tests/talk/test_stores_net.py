# SPDX-License-Identifier: Apache-2.0
"""Users who live in Vault, in a directory, behind a web service: what they may do, and what happens when it is away.

Each daemon has a second store, a table with one user: whatever befalls the first, that user logs in.
"""

import shutil
import subprocess
import threading
from contextlib import contextmanager

import pytest
from callout import Callout
from gatepost import BUILD, DEADLINE, Daemon, Talk, make_dir, until
from policies import policy
from slapd import ACCOUNT, ACCOUNT_PASSWORD, SUFFIX, Slapd, make_ca
from vault import ROOT_TOKEN, Vault
from web import WebProcess

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
REFUSED = "535 5.7.8"
LATER = "454 4.7.0"
PATIENT, IMPATIENT = "60s", "2s"  # who is well may be slow on a busy machine; who hangs is waited for
CACHE = "[cache]\npositive_ttl = 0\nnegative_ttl = 0\nstale_for = 0\nrecheck = 0\n"
HOME = "[user.home]\npassword = '{PLAIN}castle'\n"


@contextmanager
def daemon_with(store: str, cache: str = CACHE, directory=None, files=None):
    text = policy(SETUP, listener=", auth_failure_delay = '0s'")
    files = {"auth.toml": rules(store, cache), **(files or {})}
    with Daemon(text, directory=directory, files=files) as daemon:
        yield daemon


def rules(store: str, cache: str = CACHE, home: str = HOME) -> str:
    return f"stores = ['people', 'user']\n[store.people]\n{store}\n{cache}\n{home}"


def login(daemon, user: str, password: str) -> str:
    with Talk(daemon.port) as client:
        return client.login(user, password)


def expect(daemon, user: str, password: str, code: str) -> None:
    reply = login(daemon, user, password)
    assert reply.startswith(code), f"{user}: {reply}\n{daemon.err.text()}"


def until_in(daemon, user: str, password: str) -> None:
    """Where little time is given to a server, its answer may come too late once or twice."""
    def is_in() -> bool:
        reply = login(daemon, user, password)
        assert reply.startswith(("235", LATER)), reply
        return reply.startswith("235")

    until(is_in, daemon.err.text)


def home_is_well(daemon) -> None:
    """The other store's user: a question passes on when the first does not know her."""
    expect(daemon, "home", "castle", "235")


@contextmanager
def meanwhile(daemon, user: str, password: str):
    """A login that is under way while the block runs; its reply afterwards in the list."""
    replies = []
    thread = threading.Thread(target=lambda: replies.append(login(daemon, user, password)))
    thread.start()
    yield replies
    thread.join(DEADLINE)
    assert replies


def no_secret_in(daemon, *secrets: str) -> None:
    text = daemon.err.text()
    for path in daemon.dir.rglob("*"):
        if path.is_file() and path.name != "auth.toml":
            text += path.read_bytes().decode("latin-1")
    for secret in secrets:
        assert secret not in text


@pytest.fixture
def vault():
    with Vault() as made:
        made.put("secret", "users/ann", {"password": "{PLAIN}tiger"})
        yield made


def approle(vault, more: str = "", timeout: str = PATIENT) -> str:
    return (f"driver = 'vault'\naddress = '{vault.address}'\npath = 'users/{{user}}'\nauth = 'approle'\n"
            f"role_id = 'relay-role'\nsecret_id = 's3cret-id'\ntimeout = '{timeout}'\n{more}")


def pause_kill_and_bring_back(daemon, server) -> None:
    until_in(daemon, "ann", "tiger")
    server.stop()
    try:
        with meanwhile(daemon, "ann", "tiger") as replies:
            pass
        assert replies[0].startswith(LATER)
    finally:
        server.cont()
    until_in(daemon, "ann", "tiger")
    server.kill()
    expect(daemon, "ann", "tiger", LATER)
    server.start()
    until_in(daemon, "ann", "tiger")


@pytest.mark.parametrize("program, store", [
    ("vault.py", f"driver = 'vault'\npath = 'users/{{user}}'\ntoken = '{ROOT_TOKEN}'\naddress = '@ADDRESS@'\n"),
    ("callout.py", "driver = 'http'\nurl = '@ADDRESS@/verify'\n"),
    ("callout.py", "driver = 'http-record'\nurl = '@ADDRESS@/users/{user}'\n"),
], ids=["vault", "http", "http-record"])
def test_a_web_server_paused_killed_and_back(program, store):
    with WebProcess(program) as server, \
            daemon_with(store.replace("@ADDRESS@", server.address) + f"timeout = '{IMPATIENT}'") as daemon:
        pause_kill_and_bring_back(daemon, server)


# ---- Vault ----


def test_vault(vault):
    with daemon_with(approle(vault)) as daemon:
        expect(daemon, "ann", "tiger", "235")
        expect(daemon, "ann", "lion", REFUSED)
        expect(daemon, "nobody", "tiger", REFUSED)
        expect(daemon, "../users/ann", "tiger", REFUSED)
        home_is_well(daemon)
        vault.put("secret", "users/ann", {"password": "{PLAIN}panther"})
        expect(daemon, "ann", "panther", "235")
        expect(daemon, "ann", "tiger", REFUSED)
        no_secret_in(daemon, "s3cret-id", "hvs.", "panther")
    assert vault.counts["logins"] == 1


@pytest.mark.parametrize("user", ["denied", "busy", "standby-472", "standby-473", "sealed", "broken", "bad-request",
                                  "garbage", "not-vault", "number", "truncated", "endless", "hang"])
def test_vault_that_gives_no_verdict(vault, user):
    with daemon_with(approle(vault, timeout=IMPATIENT if user == "hang" else PATIENT)) as daemon:
        expect(daemon, user, "tiger", LATER)
        if user == "hang":
            until_in(daemon, "ann", "tiger")
        else:
            expect(daemon, "ann", "tiger", "235")


def test_vault_redirects_are_not_followed(vault):
    with Callout() as elsewhere, daemon_with(approle(vault)) as daemon:
        vault.elsewhere = elsewhere.address
        expect(daemon, "redirect", "tiger", LATER)
        assert elsewhere.requests == 0


def test_vault_sealed_and_unsealed(vault):
    with daemon_with(approle(vault)) as daemon:
        vault.sealed = True
        expect(daemon, "ann", "tiger", LATER)
        vault.sealed = False
        until_in(daemon, "ann", "tiger")
        vault.sealed = True
        expect(daemon, "ann", "tiger", LATER)
        vault.sealed = False
        expect(daemon, "ann", "tiger", "235")


def test_vault_away_for_a_stated_time(vault):
    """What it said before serves while it is away; who is not known yet has to wait."""
    cache = "[cache]\npositive_ttl = '1ms'\nnegative_ttl = 0\nstale_for = '1h'\nrecheck = '1ms'\n"
    vault.put("secret", "users/bob", {"password": "{PLAIN}leopard"})
    with daemon_with(approle(vault), cache) as daemon:
        expect(daemon, "ann", "tiger", "235")
        vault.sealed = True
        expect(daemon, "ann", "tiger", "235")
        expect(daemon, "bob", "leopard", LATER)
        vault.sealed = False
        expect(daemon, "bob", "leopard", "235")


@pytest.mark.parametrize("auth", ["approle", "token_file"])
def test_an_edit_about_others_leaves_vault_what_it_knows(vault, auth):
    """What it said of ann, that it does not know home, and its token."""
    store = approle(vault)
    if auth == "token_file":
        store = f"driver = 'vault'\naddress = '{vault.address}'\npath = 'users/{{user}}'\ntoken_file = 'token'"
    cache = "[cache]\npositive_ttl = '1ms'\nnegative_ttl = '1h'\nstale_for = '1h'\nrecheck = '1ms'\n"
    home = HOME.replace("castle", "tower")
    with daemon_with(store, cache, files={"token": vault.grant("hvs.first")}) as daemon:
        expect(daemon, "ann", "tiger", "235")
        home_is_well(daemon)
        vault.sealed = True
        daemon.replace("token", vault.grant("hvs.second"))
        daemon.replace("auth.toml", rules(store, cache, home))
        daemon.reload()
        expect(daemon, "home", "tower", "235")
        expect(daemon, "ann", "tiger", "235")
        expect(daemon, "ann", "lion", LATER)
        daemon.replace("auth.toml", rules(store, cache.replace("stale_for = '1h'", "stale_for = 0"), home))
        daemon.reload()
        expect(daemon, "ann", "tiger", LATER)
        vault.sealed = False
        until_in(daemon, "ann", "tiger")
    assert vault.counts["logins"] == (1 if auth == "approle" else 0)


def test_an_edit_about_vault_begins_afresh(vault):
    cache = "[cache]\npositive_ttl = '1h'\nnegative_ttl = '1h'\nstale_for = '1h'\n"
    vault.put("secret", "others/ann", {"password": "{PLAIN}panther"})
    with daemon_with(approle(vault), cache) as daemon:
        expect(daemon, "ann", "tiger", "235")
        home_is_well(daemon)
        vault.sealed = True
        daemon.replace("auth.toml", rules(approle(vault).replace("users/", "others/"), cache))
        daemon.reload()
        expect(daemon, "ann", "tiger", LATER)
        expect(daemon, "home", "castle", LATER)
        vault.sealed = False
        until_in(daemon, "ann", "panther")
        expect(daemon, "ann", "tiger", REFUSED)
        home_is_well(daemon)
    assert vault.counts["logins"] == 2


def test_vault_that_hangs_holds_up_nobody_else(vault):
    with daemon_with(approle(vault)) as daemon:
        expect(daemon, "ann", "tiger", "235")
        with meanwhile(daemon, "hang", "x") as replies:
            assert vault.is_hanging.wait(DEADLINE)
            expect(daemon, "ann", "tiger", "235")
            home_is_well(daemon)
            assert not replies  # it hangs still
            vault.ended.set()
        assert replies[0].startswith(LATER)


def test_vault_token_revoked(vault):
    with daemon_with(f"driver = 'vault'\naddress = '{vault.address}'\npath = 'users/{{user}}'\ntoken_file = '@DIR@/token'"
                     ) as daemon:
        expect(daemon, "ann", "tiger", LATER)
        daemon.replace("token", vault.grant("hvs.first"))
        until_in(daemon, "ann", "tiger")
        vault.revoke()
        expect(daemon, "ann", "tiger", LATER)
        daemon.replace("token", vault.grant("hvs.second"))
        expect(daemon, "ann", "tiger", "235")


def test_vault_over_tls_is_pinned():
    folder, other = make_dir(), make_dir()
    make_ca(folder)
    make_ca(other)
    try:
        with Vault((str(folder / "cert.pem"), str(folder / "key.pem"))) as vault:
            vault.put("secret", "users/ann", {"password": "{PLAIN}tiger"})
            with daemon_with(approle(vault, f"ca_file = '{folder / 'ca.pem'}'")) as daemon:
                expect(daemon, "ann", "tiger", "235")
            with daemon_with(approle(vault, f"ca_file = '{other / 'ca.pem'}'")) as daemon:
                expect(daemon, "ann", "tiger", LATER)
            with daemon_with(approle(vault)) as daemon:
                expect(daemon, "ann", "tiger", LATER)
            assert vault.counts["logins"] == 1
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(other)


# ---- a web service ----


def test_http_judges():
    with Callout() as service:
        store = f"driver = 'http'\nurl = '{service.address}/verify'\nbearer = 'b.e.arer'\n"
        with daemon_with(store + f"timeout = '{IMPATIENT}'") as daemon:
            expect(daemon, "hang", "tiger", LATER)
            until_in(daemon, "ann", "tiger")
        with daemon_with(store + f"timeout = '{PATIENT}'") as daemon:
            expect(daemon, "ann", "tiger", "235")
            assert service.last["authorization"] == "Bearer b.e.arer"
            assert service.last["json"]["peer"] == "127.0.0.1"
            expect(daemon, "ann", "lion", REFUSED)
            expect(daemon, "nobody", "tiger", REFUSED)
            home_is_well(daemon)
            for user in ("broken", "garbage", "truncated", "endless", "redirect", "cut"):
                expect(daemon, user, "tiger", LATER)
            service.down = True
            expect(daemon, "ann", "tiger", LATER)
            service.down = False
            expect(daemon, "ann", "tiger", "235")
            no_secret_in(daemon, "b.e.arer", "tiger")


def test_http_gives_records():
    with Callout() as service:
        store = f"driver = 'http-record'\nurl = '{service.address}/users/{{user}}'\ntimeout = '{PATIENT}'"
        with daemon_with(store) as daemon:
            expect(daemon, "ann", "tiger", "235")
            expect(daemon, "ann", "lion", REFUSED)
            expect(daemon, "../users/ann", "tiger", REFUSED)
            home_is_well(daemon)


def test_a_secret_in_a_file_is_read_again_when_it_changes():
    with Callout() as service:
        store = f"driver = 'http'\nurl = '{service.address}/verify'\ntimeout = '{PATIENT}'\nbearer_file = 'bearer'"
        with daemon_with(store, files={"bearer": "first\n"}) as daemon:
            expect(daemon, "ann", "tiger", "235")
            assert service.last["authorization"] == "Bearer first"
            daemon.replace("bearer", "second\n")
            daemon.err.wait("a configuration file has changed")
            expect(daemon, "ann", "tiger", "235")
            assert service.last["authorization"] == "Bearer second"


# ---- a directory ----


@pytest.fixture(scope="module")
def slapd():
    with Slapd() as made:
        made.dir.chmod(0o755)
        yield made


def ldap(slapd, driver: str, more: str = "", timeout: str = PATIENT) -> str:
    return (f"driver = '{driver}'\nuri = '{slapd.uri}'\nbind_dn = '{ACCOUNT}'\n"
            f"bind_password = '{ACCOUNT_PASSWORD}'\nbase = 'ou=people,{SUFFIX}'\ntimeout = '{timeout}'\n{more}")


@pytest.mark.parametrize("driver", ["ldap", "ldap-bind"])
def test_ldap(slapd, driver):
    with daemon_with(ldap(slapd, driver, f"start_tls = true\nca_file = '{slapd.ca}'")) as daemon:
        expect(daemon, "ann", "tiger", "235")
        expect(daemon, "ann", "lion", REFUSED)
        expect(daemon, "ann", "tiger ", REFUSED)
        expect(daemon, "*", "tiger", REFUSED)
        expect(daemon, "ann)(uid=*", "tiger", REFUSED)
        expect(daemon, "nobody", "tiger", REFUSED)
        expect(daemon, "twin", "x", LATER)
        home_is_well(daemon)
        slapd.password("panther", "bob")
        expect(daemon, "bob", "panther", "235")
        expect(daemon, "bob", "leopard", REFUSED)
        no_secret_in(daemon, ACCOUNT_PASSWORD, "panther")


def test_ldap_gives_secrets_and_limits(slapd):
    store = ldap(slapd, "ldap", "attributes = { secrets = 'description', limits = 'departmentNumber' }\n")
    with daemon_with(store) as daemon:
        expect(daemon, "shop", "web-1", REFUSED)  # has ended
        expect(daemon, "apps", "1", REFUSED)  # from another network
        expect(daemon, "apps", "2", "235")
        expect(daemon, "torn", "torn-1", LATER)
        with Talk(daemon.port) as client:
            assert client.login("shop", "till-1").startswith("235")
            expect(daemon, "shop", "till-1", "421 4.7.0 limit sessions")
        home_is_well(daemon)
        no_secret_in(daemon, "till-1", "torn-1")


@pytest.mark.parametrize("limits, reply", [("", "235"), (", limits = 'departmentNumber'", LATER)])
def test_ldap_bind_gives_limits(slapd, limits, reply):
    """The directory judges; what it says besides has to make sense."""
    slapd.password("judged", "limitless")
    with daemon_with(ldap(slapd, "ldap-bind", f"attributes = {{ name = 'uid'{limits} }}\n")) as daemon:
        expect(daemon, "limitless", "judged", reply)


def test_ldap_bind_never_sends_an_empty_password(slapd):
    with daemon_with(ldap(slapd, "ldap-bind")) as daemon:
        assert not login(daemon, "ann", "").startswith("2")
        assert not login(daemon, "nopass", "").startswith("2")


ALIASES = ["ann ", " ann", "  ann  ", "a\u00adnn", "\uff41nn", "\uff41\uff4e\uff4e"]


@pytest.mark.parametrize("driver", ["ldap", "ldap-bind"])
def test_ldap_knows_nobody_by_many_names(slapd, driver):
    """The directory finds ann by each of these; users of their own they would be to whoever counts, limits and blocks."""
    with daemon_with(ldap(slapd, driver)) as daemon:
        for alias in ALIASES:
            expect(daemon, alias, "tiger", REFUSED)
        for name in ("ANN", "Ann"):
            expect(daemon, name, "tiger", "235")
        subprocess.run([BUILD / "src" / "ctl" / "gatectl", "auth", "block", "ann", "--for", "1h", "--endpoint", daemon.http],
                       check=True, timeout=DEADLINE)
        for name in ("ann", "ANN", *ALIASES):
            expect(daemon, name, "tiger", REFUSED)


def test_ldap_bind_by_a_made_name_knows_nobody_by_many(slapd):
    store = (f"driver = 'ldap-bind'\nuri = '{slapd.uri}'\ndn = 'uid={{user}},ou=people,{SUFFIX}'\ntimeout = '{PATIENT}'\n")
    with daemon_with(store) as daemon:
        for name in ("ann", "ANN"):
            expect(daemon, name, "tiger", "235")
        for alias in ALIASES:
            expect(daemon, alias, "tiger", REFUSED)


@pytest.mark.parametrize("user", ["ann", "nobody"])
def test_ldap_bind_costs_one_search_and_one_login(slapd, user):
    """Whoever it is: the directory's work is seen by a stopwatch."""
    with daemon_with(ldap(slapd, "ldap-bind")) as daemon:
        expect(daemon, user, "wrong", REFUSED)  # connections are up
        before = [slapd.operations(kind) for kind in ("Bind", "Search")]
        own = slapd.operations("Bind") - before[0]  # what asking for the two numbers comes to
        for _ in range(5):
            expect(daemon, user, "wrong", REFUSED)
        after = [slapd.operations(kind) for kind in ("Bind", "Search")]
        binds, searches = after[0] - before[0] - own - 1, after[1] - before[1] - own - 1
        assert (binds, searches) == (5, 5)


@pytest.mark.parametrize("driver", ["ldap", "ldap-bind"])
def test_ldap_stopped_killed_and_back(slapd, driver):
    with daemon_with(ldap(slapd, driver, timeout=IMPATIENT)) as daemon:
        pause_kill_and_bring_back(daemon, slapd)


def test_ldap_that_hangs_holds_up_nobody_else(slapd):
    """Not even who is asked for in a store behind it: she is in another, that stands before it here."""
    text = policy(SETUP, listener=", auth_failure_delay = '0s'")
    toml = f"stores = ['user', 'people']\n[store.people]\n{ldap(slapd, 'ldap')}\n{CACHE}\n{HOME}"
    with Daemon(text, files={"auth.toml": toml}) as daemon:
        expect(daemon, "ann", "tiger", "235")
        slapd.stop()
        try:
            with meanwhile(daemon, "ann", "tiger") as replies:
                for _ in range(5):
                    home_is_well(daemon)
                assert not replies
                slapd.cont()
            assert replies[0].startswith("235")
        finally:
            slapd.cont()


def test_ldap_in_clear_to_elsewhere_must_be_asked_for():
    text = policy(SETUP)
    store = "driver = 'ldap'\nuri = 'ldap://ldap.example'\nbase = 'dc=example'\n"
    toml = f"[store.people]\n{store}"
    with_flag = Daemon(text, files={"auth.toml": toml + "allow_plain = true\n"})
    without = Daemon(text, files={"auth.toml": toml})
    try:
        refused = without.run_to_end("--validate")
        assert refused.returncode != 0
        assert "auth.toml:3" in refused.stderr
        assert "store.people.uri" in refused.stderr
        taken = with_flag.run_to_end("--validate")
        assert taken.returncode == 0, taken.stderr
        assert "in clear" in taken.stderr
    finally:
        shutil.rmtree(with_flag.dir)
        shutil.rmtree(without.dir)
