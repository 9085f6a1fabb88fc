# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/authentication.md: each is read by the daemon, and those that need no server of others let in
whom the page says. (Policies and links are tested with those of all pages.)

Stores connect when somebody asks, so the servers that the examples name need not exist.
"""

import base64
import re
import shutil
import sqlite3
import subprocess

import pytest
from gatepost import ROOT, Daemon, Talk, give, make_dir
from policies import policy
from sasl import Scram, b64, scram_login
from tokens import Key, claims, key_set

PAGE = (ROOT / "docs" / "authentication.md").read_text()
EXAMPLES = dict(re.findall(r"^<!-- auth: (\S+) -->\n+```toml\n(.*?)^```$", PAGE, re.M | re.S))
FIRST = re.search(r"^<!-- file: auth.toml -->\n+```toml\n(.*?)^```$", PAGE, re.M | re.S).group(1)
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { '@DIR@/auth.toml' }\n"
QUICK = ", auth_failure_delay = '0s'"
ARGON2ID = re.search(r"\$argon2id\$\S+(?=\")", PAGE).group(0)  # of "example"
KEY = Key("ES256")
ENVIRONMENT = {"ACCOUNTS_TOKEN": "abc"}


@pytest.fixture
def folder():
    """What the examples expect in /etc/gatepost, and what systemd hands over."""
    made = make_dir()
    with sqlite3.connect(made / "users.db") as database:
        database.execute("CREATE TABLE users (name text primary key, password text, disabled int, groups text, "
                         "not_after text)")
        database.executemany("INSERT INTO users VALUES (?, ?, ?, ?, ?)",
                             [("ann", ARGON2ID, 0, "staff, night shift", None), ("gone", ARGON2ID, 1, None, None),
                              ("past", ARGON2ID, 0, None, "2001-01-01 00:00:00")])
    (made / "passwd").write_text(f"ann:{ARGON2ID}\nbob:{{ARGON2ID}}{ARGON2ID}::::::disabled=yes\n")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/CN=Example CA", "-keyout", made / "ca.key", "-out", made / "ca.pem"], check=True, capture_output=True)
    for name in ("ldap-password", "vault-token", "database", "accounts-token", "vault-secret-id", "introspection"):
        (made / name).write_text("s3cret\n")
    (made / "keys.json").write_text(key_set(KEY))
    for path in (made, *made.iterdir()):
        give(path)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def daemon_of(example: str, folder, listener: str = QUICK) -> Daemon:
    env = {**ENVIRONMENT, "CREDENTIALS_DIRECTORY": str(folder)}
    return Daemon(policy(SETUP, listener=listener), directory=folder, env=env,
                  files={"auth.toml": example.replace("/etc/gatepost", "@DIR@")})


def login(daemon: Daemon, user: str, password: str, authz: str = "") -> str:
    with Talk(daemon.port) as client:
        return client.login(user, password, authz)[:3]


def test_all_examples_are_here():
    blocks = len(re.findall(r"^```toml$", PAGE, re.M))
    assert blocks == len(EXAMPLES) + 1, "a block without <!-- auth: NAME --> before it, or a name that is used twice"


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_understood(name, folder):
    listener = ", tls_required_client_ca = '@DIR@/ca.pem'" if name == "external" else QUICK
    done = daemon_of(EXAMPLES[name], folder, listener).run_to_end("--validate")
    assert done.returncode == 0, done.stdout + done.stderr


def test_larger_example_is_understood(folder):
    done = daemon_of((ROOT / "examples" / "auth.toml").read_text(), folder).run_to_end("--validate")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", [FIRST, EXAMPLES["password"], EXAMPLES["order"]], ids=["first", "password", "order"])
def test_scott_logs_in(example, folder):
    with daemon_of(example, folder) as daemon:
        assert login(daemon, "scott", "example") == "235"
        assert login(daemon, "scott", "example") == "235"
        assert login(daemon, "scott", "other") == "535"
        assert login(daemon, "nobody", "example") == "535"


def test_several_secrets(folder):
    with daemon_of(EXAMPLES["secrets"], folder) as daemon:
        assert login(daemon, "shop", "example") == "235"
        assert login(daemon, "shop", "till-1234") == "235"
        assert login(daemon, "shop", "till-1233") == "535"
        assert login(daemon, "shop", "example", "support@example.com") == "235"
        assert login(daemon, "shop", "example", "x@shop.example.com") == "235"
        assert login(daemon, "shop", "example", "ceo@example.com") == "535"


def test_every_kind_of_hash(folder):
    """Of each that the table says is verified."""
    users = re.findall(r"^\[user\.(\S+)\]$", EXAMPLES["hashes"], re.M)
    table = re.search(r"^\| scheme \| verified .*?\n\n", PAGE, re.M | re.S).group(0)
    named = [name for row in re.findall(r"^\| (`.*?) \| yes", table, re.M) for name in re.findall(r"`([^`]+)`", row)]
    assert users == named
    with daemon_of(EXAMPLES["hashes"], folder) as daemon:
        for user in users:
            assert login(daemon, user, "example") == "235", user
            assert login(daemon, user, "other") == "535", user


def test_every_field_of_a_record(folder):
    fields = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE.split("## The record")[1].split("A list may be")[0], re.M))))
    shown = set(re.findall(r"^([a-z_]+) =", EXAMPLES["record"], re.M)) | {"name", "secrets", "tenant"}
    assert fields == shown
    with daemon_of(EXAMPLES["record"], folder) as daemon:
        assert login(daemon, "scott", "example", "support@example.com") == "235"
        with Talk(daemon.port) as client:
            assert client.login("scott", "example").startswith("235")
            client.expect("MAIL FROM:<you@example.com>", "553 5.7.1")
            client.expect("MAIL FROM:<news@lists.example.com>", "250")


def test_when_a_secret_was_used_is_kept(folder):
    with daemon_of(EXAMPLES["last-used"], folder) as daemon:
        assert login(daemon, "till", "till-1234") == "235"
    assert "till" in (folder / "last-used").read_text()


def test_tokens_and_old_clients(folder):
    listener = ", auth_mechanisms = { 'OAUTHBEARER', 'XOAUTH2', 'SCRAM-SHA-1' }" + QUICK
    token = KEY.mint(claims("https://id.example", "ann", aud="smtp"))
    logins = [lambda client: client.ask("AUTH OAUTHBEARER " + b64(f"n,,\1auth=Bearer {token}\1\1")),
              lambda client: client.ask("AUTH XOAUTH2 " + b64(f"user=ann\1auth=Bearer {token}\1\1")),
              lambda client: scram_login(client, "SCRAM-SHA-1", Scram("scanner", "example", hash_name="sha1"))]
    with daemon_of(EXAMPLES["more-mechanisms"], folder, listener) as daemon:
        for log_in in logins:
            with Talk(daemon.port) as client:
                client.expect("EHLO me.example", "250")
                client.starttls()
                client.expect("EHLO me.example", "250")
                assert log_in(client).startswith("235")


def test_mechanisms(folder):
    with daemon_of(EXAMPLES["mechanisms"], folder) as daemon:
        assert login(daemon, "scott", "example") == "235"
        with Talk(daemon.port) as client:
            client.expect("EHLO me.example", "250")
            client.starttls()
            offered = re.search(r"AUTH (.*)", client.expect("EHLO me.example", "250")).group(1).split()
            assert set(offered) == {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}
            assert scram_login(client, "SCRAM-SHA-256", Scram("scott", "example")).startswith("235")


def test_passwd_file_beside_the_rules_wherever_the_daemon_runs(folder):
    """The path is relative to the file in which it stands."""
    daemon = daemon_of(EXAMPLES["passwd-file"], folder)
    daemon.policy = give(daemon._write("policy.lua", daemon.policy.read_text()))
    elsewhere = make_dir()
    try:
        done = subprocess.run(daemon.command("--validate"), cwd=elsewhere, env=daemon.env, capture_output=True, text=True,
                              timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        shutil.rmtree(elsewhere)
    with daemon:
        assert login(daemon, "ann", "example") == "235"
        assert login(daemon, "bob", "example") == "535"


@pytest.mark.parametrize("name", ["sqlite", "cache"])
def test_users_in_sqlite(name, folder):
    with daemon_of(EXAMPLES[name], folder) as daemon:
        assert login(daemon, "ann", "example") == "235"
        for user in ("gone", "past", "nobody"):
            assert login(daemon, user, "example") == "535"


def test_a_store_that_is_away_is_no_verdict(folder):
    """The page's own PostgreSQL does not exist."""
    with daemon_of(EXAMPLES["postgresql"].replace("db1.example,db2.example", "127.0.0.1 port=1"), folder) as daemon:
        assert login(daemon, "ann", "example") == "454"


def test_certificates(folder):
    """Offered to who has shown one; whose it is says the map."""
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/O=Example/CN=device-7", "-keyout", folder / "device.key", "-out", folder / "device.csr"],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "x509", "-req", "-in", folder / "device.csr", "-CA", folder / "ca.pem", "-CAkey",
                    folder / "ca.key", "-CAcreateserial", "-out", folder / "device.pem"], check=True, capture_output=True)
    listener = ", tls_required_client_ca = '@DIR@/ca.pem'"
    with daemon_of(EXAMPLES["external"], folder, listener + QUICK) as daemon, Talk(daemon.port) as client:
        from gatepost import insecure_context

        context = insecure_context()
        context.load_cert_chain(folder / "device.pem", folder / "device.key")
        client.expect("EHLO me.example", "250")
        client.starttls(context=context)
        assert "EXTERNAL" in client.expect("EHLO me.example", "250")
        client.expect("AUTH EXTERNAL " + base64.b64encode(b"device-7").decode(), "235")
