# SPDX-License-Identifier: Apache-2.0
"""The daemon's own secrets (for Vault, web services, Redis, a database, the web hook, the next server) while everything
they are for refuses, hangs up or answers nonsense: they are in no log, record, metric, answer or file of ours."""

import base64
import contextlib
import hashlib
import socket
import threading
import urllib.error
import urllib.request

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk, until
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, policy, smart_host
from unharmed import files_with, forms_of

SETUP = "kumo.set_diagnostic_log_filter 'trace'\nlocal auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
SECRETS = {name: f"canary-{name}-8f3a1c77e2" for name in ("vault", "http", "redis", "shared", "database", "hook", "next", "user")}
RULES = """
stores = {stores}
[password]
remember = 0
[store.vault]
driver = 'vault'
address = 'http://127.0.0.1:{port}'
token = '{vault}'
path = 'users/{{user}}'
[store.http]
driver = 'http-record'
url = 'http://127.0.0.1:{port}/{{user}}'
bearer = '{http}'
[store.database]
driver = 'postgresql'
conninfo = 'host=127.0.0.1 port={port} user=gatepost dbname=x sslmode=disable'
password = '{database}'
query = 'SELECT password FROM users WHERE name = $1'
[store.table]
driver = 'table'
[user.scott]
password = '{{PLAIN}}{user}'
[shared]
redis = '127.0.0.1:{port}'
password = '{redis}'
secret = '{shared}'
[guessing]
trusted = []
delay = '0s'
suspect_failures = 1
[guessing.webhook]
url = 'http://127.0.0.1:{port}/hook'
secret = '{hook}'
"""


class Nonsense:
    """A server that says no more sense than it takes to be told the secret; then it repeats what it is told, and hangs up."""

    def __init__(self):
        self.heard: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _hear(self, connection) -> bytes:
        said = connection.recv(65536)
        self.heard.append(said)
        return said

    def has_heard(self, *words: str) -> bool:
        return any(all(word.encode() in said for word in words) for said in self.heard)

    def _talk(self, connection):
        with connection, contextlib.suppress(OSError):
            heard = self._hear(connection)
            if heard.startswith(b"\0"):  # PostgreSQL's first message: asked for a password in clear
                connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
                heard = self._hear(connection)
            if heard.startswith(b"*"):  # AUTH, SCRIPT LOAD, SET and GET of Redis; what is run next has the shared secret's digests
                size, _, script = heard.split(b"LOAD\r\n$", 1)[1].partition(b"\r\n")
                digest = hashlib.sha1(script[:int(size)]).hexdigest().encode()
                connection.sendall(b"+OK\r\n$40\r\n" + digest + b"\r\n+OK\r\n$5\r\nepoch\r\n")
                heard = self._hear(connection)
            connection.sendall(b"HTTP/1.1 500 oh\r\nX-Echo: " + heard.replace(b"\r\n", b" ") + b"\r\n\r\n" + heard)


def answers(daemon: Daemon) -> bytes:
    told = b""
    for path in ("/metrics", "/metrics.json", "/api/gatepost/status/v1", "/api/gatepost/queues/v1", "/api/gatepost/sessions/v1",
                 "/api/gatepost/auth/show/v1?user=scott"):
        try:
            told += urllib.request.urlopen(daemon.http + path, timeout=DEADLINE).read()
        except urllib.error.HTTPError as error:
            told += error.read()
    return told


# by the store that is asked: what its server must have been told in one breath
TOLD = {"vault": ("GET /v1/", SECRETS["vault"]), "http": ("GET /scott", SECRETS["http"]), "database": (SECRETS["database"],),
        "table": ("POST /hook", SECRETS["hook"], "success_after_failures")}


@pytest.mark.parametrize("first", TOLD)
def test_own_secrets_are_told_to_nobody_but_whom_they_are_for(first):
    away, told_next = Nonsense(), []
    stores = sorted(TOLD, key=lambda name: name != first)
    road = ("smtp_auth_plain_username = 'u', allow_smtp_auth_plain_without_tls = true, "
            f"smtp_auth_plain_password = {{ key_data = '{SECRETS['next']}' }}")

    def refuses(verb, argument, session):
        if verb != "AUTH":
            return None
        told_next.append(base64.b64decode(argument.split()[1]))
        return f"535 5.7.8 not you: {argument}"

    with Sink(refuses, extensions=["AUTH PLAIN"]) as sink:
        text = policy(SETUP, AUTHENTICATED_MAY_RELAY, smart_host(sink.port, path=road),
                      listener=", auth_failure_delay = '0s', relay_hosts = { '127.0.0.0/8' }")
        with Daemon(text, files={"auth.toml": RULES.format(stores=stores, port=away.port, **SECRETS)}) as daemon:
            replies = []
            for password in ("wrong", "worse", SECRETS["user"]):
                with Talk(daemon.port) as client:
                    replies.append(client.login("scott", password)[:3])
            assert replies == (["535", "535", "235"] if first == "table" else ["454"] * 3)
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
            daemon.wait_records(lambda record: record["type"] in ("TransientFailure", "Bounce"))
            until(lambda: away.has_heard(*TOLD[first]))
            until(lambda: away.has_heard(SECRETS["redis"]))
            if first == "table":
                until(lambda: away.has_heard("EVALSHA"))
            assert told_next and all(SECRETS["next"].encode() in told for told in told_next)
            told = answers(daemon) + daemon.err.text().encode()
            assert b" TRACE " in told
            for name, secret in SECRETS.items():
                assert not files_with(secret, daemon.dir), name
                assert not any(form in told for form in forms_of(secret)), name
