# SPDX-License-Identifier: Apache-2.0
"""The examples the product started from run as written: a static table, SQLite, Vault, and a
tenant that only its own user may use. Only the database path and the Vault address differ."""

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from gatepost import Daemon, Talk, give, make_dir
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, STATIC_USERS, policy

STATIC = """
-- Use this to lookup and confirm a user/password credential
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  local password_database = {
    ['scott'] = 'tiger',
  }
  if password == '' then
    return false
  end
  return password_database[authc] == password
end)
"""

SQLITE = """
local sqlite = require 'sqlite'

-- Consult a hypothetical sqlite database that has an auth table
-- with user and pass fields
function sqlite_auth_check(user, password)
  local db = sqlite.open '@DIR@/auth.db'
  local result = db:execute(
    'select user from auth where user=? and pass=?',
    user,
    password
  )
  -- if we return the username, it is because the password matched
  return result[1] == user
end

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return sqlite_auth_check(authc, password)
end)
"""

VAULT = """
function vault_auth_check(user, password)
  return password
    == kumo.secrets.load {
      vault_mount = 'secret',
      vault_path = 'smtp-auth/' .. user,
    }
end

kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return vault_auth_check(authc, password)
end)
"""

TENANT_TOML = """
[tenant.'mytenant']
# Which pool should be used for this tenant
egress_pool = 'pool-1'

# Only the authorized identities are allowed to use this tenant via the tenant_header
require_authz = ["scott"]
"""

TENANT_JSON = """
{
  "tenant": {
    "mytenant": {
      // Which pool should be used for this tenant
      "egress_pool": "pool-1",
      // Only the authorized identities are allowed to use this tenant via the tenant_header
      "require_authz": [
        "scott"
      ]
    }
  }
}
"""


def check_scott(daemon: Daemon) -> None:
    with Talk(daemon.port) as client:
        assert client.login("scott", "tiger").startswith("235 2.7.0")
    for user, password in [("scott", "lion"), ("nobody-here", "tiger"), ("SCOTT", "tiger")]:
        with Talk(daemon.port) as client:
            assert client.login(user, password).startswith("535 5.7.8")


def test_static_table():
    with Daemon(policy(STATIC)) as daemon:
        check_scott(daemon)


def make_database(path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table auth (user text primary key, pass text)")
        db.execute("insert into auth values ('scott', 'tiger')")
    give(path)


def test_sqlite():
    directory = make_dir()
    make_database(directory / "auth.db")
    with Daemon(policy(SQLITE), directory=directory) as daemon:
        check_scott(daemon)
        with Talk(daemon.port) as client:  # a bound parameter, never SQL
            assert client.login("scott", "' or '1'='1").startswith("535")


def test_sqlite_changes_are_seen_and_a_missing_database_is_temporary():
    directory = make_dir()
    make_database(directory / "auth.db")
    with Daemon(policy(SQLITE), directory=directory) as daemon:
        check_scott(daemon)
        with sqlite3.connect(directory / "auth.db") as db:
            db.execute("update auth set pass = 'leopard'")
        with Talk(daemon.port) as client:
            assert client.login("scott", "leopard").startswith("235")
        with Talk(daemon.port) as client:
            assert client.login("scott", "tiger").startswith("535")
        (directory / "auth.db").rename(directory / "away.db")
        with Talk(daemon.port) as client:
            assert client.login("scott", "leopard").startswith("454 4.7.0")
        (directory / "away.db").rename(directory / "auth.db")
        with Talk(daemon.port) as client:
            assert client.login("scott", "leopard").startswith("235")


class Vault:
    """KV v2 under /v1/secret/data/..., with Vault's own codes and bodies."""

    def __init__(self):
        self.secrets = {"smtp-auth/scott": {"key": "tiger"}}
        self.token = "s.test-token"
        self.sealed = False
        self.requests = []
        vault = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                vault.requests.append(self.path)
                code, body = vault.answer(self.path, self.headers.get("X-Vault-Token"))
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *unused):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path, token):
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        prefix = "/v1/secret/data/"
        secret = self.secrets.get(path[len(prefix):]) if path.startswith(prefix) else None
        if secret is None:
            return 404, {"errors": []}
        return 200, {"request_id": "9c3e0e2d", "lease_id": "", "renewable": False, "lease_duration": 0,
                     "data": {"data": secret, "metadata": {"created_time": "2026-01-01T00:00:00Z", "version": 1,
                                                           "destroyed": False, "deletion_time": ""}},
                     "wrap_info": None, "warnings": None, "auth": None}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def vault():
    made = Vault()
    yield made
    made.close()


def vault_daemon(vault: Vault) -> Daemon:
    return Daemon(policy(VAULT), env={"VAULT_ADDR": vault.address, "VAULT_TOKEN": vault.token})


def test_vault(vault):
    with vault_daemon(vault) as daemon:
        check_scott(daemon)
        assert "/v1/secret/data/smtp-auth/scott" in vault.requests
        assert vault.token not in daemon.err.text()


def test_vault_that_fails_is_temporary_and_recovers(vault):
    with vault_daemon(vault) as daemon:
        with Talk(daemon.port) as client:
            vault.sealed = True
            assert client.login("scott", "tiger").startswith("454 4.7.0")
            vault.sealed = False
            assert client.ask("AUTH PLAIN AHNjb3R0AHRpZ2Vy").startswith("235")  # same session, still usable
        vault.token = "another"
        with Talk(daemon.port) as client:
            assert client.login("scott", "tiger").startswith("454 4.7.0")


@pytest.mark.parametrize("user", ["../admin", "a/../../b", "..", "a\tb", "x/./y"])
def test_vault_path_is_never_left(vault, user):
    with vault_daemon(vault) as daemon, Talk(daemon.port) as client:
        assert client.login(user, "tiger")[:3] in ("454", "501", "535")
        assert all(path.startswith("/v1/secret/data/smtp-auth/") and "/../" not in path for path in vault.requests)


@pytest.mark.parametrize("name, text", [("queues.toml", TENANT_TOML), ("queues.json", TENANT_JSON)])
def test_tenant_belongs_to_its_user(sink, name, text):
    if name.endswith(".toml"):
        text += "\n[queue.default]\negress_pool = 'pool-1'\n"
    tenants = f"""
local queue_module = require 'policy-extras.queue'
local queue_helper = queue_module:setup {{ '@DIR@/{name}', '@DIR@/header.toml' }}
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  queue_helper:apply(msg)
end)
kumo.on('get_egress_pool', function(pool)
  return kumo.make_egress_pool {{ name = pool, entries = {{ {{ name = 'source-1' }} }} }}
end)
kumo.on('get_egress_source', function(source)
  return kumo.make_egress_source {{ name = source, remote_port = {sink.port} }}
end)
kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  return kumo.make_egress_path {{ enable_tls = 'Disabled', prohibited_hosts = {{}} }}
end)
"""
    files = {name: text, "header.toml": "tenant_header = 'X-Tenant'\nremove_tenant_header = true\n"}
    with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, tenants), files=files) as daemon:
        mail = b"X-Tenant: mytenant\r\n" + MESSAGE
        with Talk(daemon.port) as client:
            client.login("scott", "tiger")
            assert client.mail("scott@tiger.example", ["you@[127.0.0.1]"], mail).startswith("250")
        with Talk(daemon.port) as client:
            client.login("mia", "lion")
            reply = client.mail("mia@lion.example", ["you@[127.0.0.1]"], mail)
            assert reply.startswith("550 5.7.1") and "mytenant" in reply
        with Talk(daemon.port) as client:  # claiming to be scott needs scott's password
            assert client.login("mia", "lion", authz="scott").startswith("535 5.7.8")
        [message] = sink.wait()
        assert b"X-Tenant" not in message.data
        assert daemon.wait_records(lambda record: record["type"] == "Delivery")[0]["meta"]["tenant"] == "mytenant"
