# SPDX-License-Identifier: Apache-2.0
"""Every policy under examples/ runs, and does what its first lines say."""

import re
import sqlite3
import subprocess

import pytest
from gatepost import ROOT, Daemon, Sink, Talk, give, make_dir
from policies import MESSAGE, without_floors
from ports import free_port

EXAMPLES = ROOT / "examples"


def example(name: str, **replace: str) -> str:
    """The example with its paths under the test's folder and its port free to choose."""
    text = without_floors((EXAMPLES / name).read_text())
    text = re.sub(r"/(var/spool|var/log|etc)/gatepost", r"@DIR@", text)
    text = re.sub(r"listen = '[^']*:\d+'", "listen = '127.0.0.1:0'", text)
    for what, value in replace.items():
        assert what in text, what
        text = text.replace(what, value)
    return text


def accepts_scott_only(daemon: Daemon) -> None:
    with Talk(daemon.port) as client:
        assert client.login("scott", "tiger").startswith("235")
        assert client.mail("scott@tiger.example", ["you@dest.example"], MESSAGE).startswith("250")
    with Talk(daemon.port) as client:
        assert client.login("scott", "lion").startswith("535")
        assert client.mail("scott@tiger.example", ["you@dest.example"], MESSAGE).startswith("5")


def test_static_table():
    with Daemon(example("static-table.lua")) as daemon:
        accepts_scott_only(daemon)


@pytest.mark.parametrize("name", ["sqlite.lua", "sqlite-memoize.lua"])
def test_sqlite(name):
    directory = make_dir()
    with sqlite3.connect(directory / "auth.db") as db:
        db.execute("create table auth (user text primary key, pass text)")
        db.execute("insert into auth values ('scott', 'tiger')")
    give(directory / "auth.db")
    with Daemon(example(name), directory=directory) as daemon:
        accepts_scott_only(daemon)


def test_vault():
    import sys

    sys.path.insert(0, str(ROOT / "tests" / "talk"))
    from test_seed_page import Vault

    vault = Vault()
    with Daemon(example("vault.lua"), env={"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token}) as daemon:
        accepts_scott_only(daemon)
    vault.close()


@pytest.mark.parametrize("kind", ["toml", "json"])
def test_tenants(kind):
    files = {name: (EXAMPLES / name).read_text() for name in (f"tenants.{kind}", "sources.toml")}
    with Daemon(example(f"tenants-{kind}.lua"), files=files) as daemon:
        def send(user, password, tenant, sender):
            with Talk(daemon.port) as client:
                assert client.login(user, password).startswith("235")
                mail = b"X-Tenant: " + tenant + b"\r\n" + MESSAGE.replace(b"scott@tiger.example", sender.encode())
                return client.mail(sender, ["you@dest.example"], mail)

        assert send("scott", "tiger", b"mytenant", "scott@tiger.example").startswith("250")
        assert send("mia", "lion", b"othertenant", "mia@lion.example").startswith("250")
        assert send("mia", "lion", b"mytenant", "mia@tiger.example").startswith("550 5.7.1")
        assert send("scott", "tiger", b"mytenant", "scott@lion.example").startswith("550 5.7.1")
        assert send("scott", "tiger", b"nosuch", "scott@tiger.example").startswith("550 5.7.1")


def test_smart_host_asks_for_verified_tls():
    with Sink() as sink:
        text = example("smart-host.lua", **{"'smtp.provider.example'": f"'[127.0.0.1]:{sink.port}'",
                                            "smtp_port = 587,": "prohibited_hosts = {},"})
        with Daemon(text) as daemon:
            with Talk(daemon.port) as client:
                client.ask("EHLO local")
                assert client.mail("me@here.example", ["you@dest.example"], MESSAGE).startswith("250")
            # the sink offers no TLS: the password must not leave, the mail must wait
            [record] = daemon.wait_records(lambda record: record["type"] == "TransientFailure", ".")
            assert "STARTTLS" in record["response"]["content"]
            assert sink.messages == []


def test_sink():
    with Daemon(example("sink.lua")) as daemon:
        with Talk(daemon.port) as client:
            client.ask("EHLO local")
            assert client.mail("me@here.example", ["you@dest.example"], MESSAGE).startswith("250")
        [record] = daemon.wait_records(lambda record: record["type"] == "Reception", "sink")
        assert record["headers"]["Subject"] == "hello"


def test_demo_shows_what_the_readme_says():
    import os

    ports = {f"GATEPOST_DEMO_{name}_PORT": str(free_port()) for name in ("SMTP", "SINK", "HTTP")}
    shown = subprocess.run([ROOT / "tools" / "demo", "once"], capture_output=True, text=True, check=False, timeout=600,
                           env={**os.environ, **ports})
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for wanted in ("235 2.7.0", "250 OK ids=", "550 5.7.1", "535 5.7.8", "Delivery"):
        assert wanted in shown.stdout, shown.stdout
