# SPDX-License-Identifier: Apache-2.0
"""Users in passwd-files, SQLite, PostgreSQL and PAM, through auth.toml and over SMTP, against the real engines; and
what sessions notice when an engine is killed, paused, slow, locked, or somebody else.

Caches are off where the store itself is looked at.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from gatepost import DEADLINE, Daemon, Talk, give, until
from policies import policy
from postgresql import Postgres

QUICK = ", auth_failure_delay = '0s'"
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
REFUSED = "535 5.7.8 authentication failed"
NO_CACHE = "[cache]\npositive_ttl = 0\nnegative_ttl = 0\nstale_for = 0\nrecheck = 0\n[password]\nremember = 0\n"
LOCAL = "[store.local]\ndriver = 'table'\n[user.local]\npassword = 'tiger'\n"

PATIENT = "timeout = 60\nconnect_timeout = 60\n"  # who is well may be slow on a busy machine

STRANGE_NAMES = ["o'neil", 'say "hi"', "'; DROP TABLE users; --", "' OR '1'='1", "back\\slash", "per%cent", "$1",
                 ":user", "ünïcode"]


def login(daemon: Daemon, user: str, password: str) -> str:
    with Talk(daemon.port) as client:
        return client.login(user, password)


def comes_to(reply: str, daemon: Daemon, user: str, password: str) -> None:
    """A store that was away is asked again after a pause, and a file is looked at every so often."""
    until(lambda: login(daemon, user, password).startswith(reply), daemon.err.text)


def start(auth: str, files: dict | None = None) -> Daemon:
    return Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": auth, **(files or {})}).start()


def in_background(count: int, *arguments) -> list[threading.Thread]:
    threads = [threading.Thread(target=login, args=arguments, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


# ---- PostgreSQL ----

QUOTED = {name: name.replace("'", "''") for name in STRANGE_NAMES}
TABLES = """
CREATE TABLE users (name text PRIMARY KEY, password text, disabled boolean NOT NULL DEFAULT false,
    groups text[], not_after timestamptz);
CREATE TABLE keys (name text, label text, password text, not_after timestamptz);
INSERT INTO users (name, password) VALUES ('ann', 'tiger'), ('slow', 'tiger'), ('none', NULL), ('empty', '');
INSERT INTO users VALUES ('gone', 'tiger', true, NULL, NULL), ('past', 'tiger', false, '{}', '2001-01-01'),
    ('fine', 'tiger', false, '{staff,"night shift"}', 'infinity');
INSERT INTO keys VALUES ('ann', 'old', 'lion', now() - interval '1 day'),
    ('ann', 'new', 'lynx', now() + interval '1 day'),
    ('ann', 'other', 'puma', NULL);
CREATE VIEW sleepy AS SELECT *, CASE WHEN name = 'slow' THEN pg_sleep(600)::text END AS nap FROM users;
GRANT SELECT ON users, keys, sleepy TO relay;
""" + "".join(f"INSERT INTO users (name, password) VALUES ('{quoted}', 'tiger');\n" for quoted in QUOTED.values())


@pytest.fixture(scope="module")
def engine():
    with Postgres(TABLES) as made:
        yield made


@pytest.fixture(scope="module")
def own_engine():
    """For those who kill it."""
    with Postgres(TABLES) as made:
        yield made


def people(engine: Postgres, more: str = "", **conninfo) -> str:
    if "timeout" not in more:
        more += PATIENT
    return f"[store.people]\ndriver = 'postgresql'\n{engine.conninfo(**conninfo)}{more}"


@pytest.fixture(scope="module")
def daemon(engine):
    with start(people(engine) + NO_CACHE) as made:
        yield made


@pytest.mark.parametrize("user", ["ann", "fine", *STRANGE_NAMES])
def test_postgresql_knows_its_users(daemon, user):
    assert login(daemon, user, "tiger").startswith("235")
    assert login(daemon, user, "lion") == REFUSED


@pytest.mark.parametrize("user, password", [
    ("nobody", "tiger"), ("Ann", "tiger"), ("gone", "tiger"), ("past", "tiger"), ("none", ""), ("empty", ""),
    ("ann' OR name = 'bob", "tiger"), ("%", "tiger"), ("ann'--", "tiger"),
])
def test_postgresql_refuses(daemon, user, password):
    assert login(daemon, user, password).startswith("5")


def test_postgresql_still_has_its_tables(daemon, engine):
    for name in STRANGE_NAMES:
        login(daemon, name, "x")
    assert int(engine.sql("SELECT count(*) FROM users")) == 7 + len(STRANGE_NAMES)


def test_postgresql_app_passwords(engine):
    query = "query = 'SELECT users.name, groups, keys.label, keys.password, keys.not_after FROM users JOIN keys " \
            "USING (name) WHERE name = $1'\n"
    with start(people(engine, query) + NO_CACHE) as daemon:
        assert login(daemon, "ann", "lynx").startswith("235")
        assert login(daemon, "ann", "puma").startswith("235")
        assert login(daemon, "ann", "lion") == REFUSED
        assert login(daemon, "ann", "tiger") == REFUSED
        assert login(daemon, "fine", "tiger") == REFUSED  # has no keys: no row


def test_postgresql_by_name_and_by_socket(engine):
    for host, more in (("localhost", ""), (str(engine.dir), ""),
                       ("no-such-host.invalid,localhost", "allow_plain = true\n")):
        with start(people(engine, more, host=host) + NO_CACHE) as daemon:
            comes_to("235", daemon, "ann", "tiger")


def validate(auth: str) -> subprocess.CompletedProcess:
    daemon = Daemon(policy(SETUP), files={"auth.toml": auth})
    try:
        return daemon.run_to_end("--validate")
    finally:
        shutil.rmtree(daemon.dir)


@pytest.mark.parametrize("conninfo", ["host=192.0.2.7", "host=192.0.2.7 sslmode=disable",
                                      "host=localhost,db.example sslmode=require", "postgresql://db.example/mail"])
def test_postgresql_elsewhere_without_proof_must_be_asked_for(conninfo):
    store = f"[store.people]\ndriver = 'postgresql'\nconninfo = '{conninfo}'\n"
    refused = validate(store)
    assert refused.returncode != 0
    for word in ("auth.toml:3", "store.people.conninfo", "sslmode=verify-full", "allow_plain = true"):
        assert word in refused.stderr
    taken = validate(store + "allow_plain = true\n")
    assert taken.returncode == 0, taken.stderr
    assert "store.people.conninfo" in taken.stderr
    assert "in clear" in taken.stderr
    proven = validate(store.replace(conninfo, "host=db.example sslmode=verify-full"))
    assert proven.returncode == 0, proven.stderr
    assert "in clear" not in proven.stderr


def certificate_of(folder: Path, host: str) -> Path:
    made = folder / f"{host}.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", folder / f"{host}.key",
                    "-out", made], check=True, capture_output=True)
    return made


def test_postgresql_proves_who_it_is(own_engine, tmp_path):
    trusted, other = certificate_of(tmp_path, "localhost"), certificate_of(tmp_path, "elsewhere.example")
    for name in ("localhost.pem", "localhost.key"):
        placed = Path(shutil.copy(tmp_path / name, own_engine.dir / name))
        placed.chmod(0o600)
        if own_engine.who:
            os.chown(placed, own_engine.who["user"], own_engine.who["group"])
    for name, value in (("ssl_cert_file", own_engine.dir / "localhost.pem"),
                        ("ssl_key_file", own_engine.dir / "localhost.key"), ("ssl", "on")):
        own_engine.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    own_engine.sql("SELECT pg_reload_conf()")
    strict = "sslmode=verify-full sslrootcert=@DIR@/ca.pem user="
    verifying = people(own_engine, host="localhost").replace("user=", strict)
    try:
        with start(verifying + NO_CACHE, {"ca.pem": trusted.read_text()}) as daemon:
            comes_to("235", daemon, "ann", "tiger")
        with start(verifying + NO_CACHE, {"ca.pem": other.read_text()}) as daemon:
            assert login(daemon, "ann", "tiger").startswith("454")
            daemon.err.wait("certificate verify failed")
    finally:
        own_engine.sql("ALTER SYSTEM RESET ALL")
        own_engine.sql("SELECT pg_reload_conf()")


@pytest.mark.parametrize("more, host_password, says", [
    ("", "canary-5f1d", "password authentication failed"),
    ("query = 'SELECT * FROM nobody WHERE name = $1'\n", None, "does not exist"),
    ("query = 'SELECT password::int AS password FROM users WHERE name = $1'\n", None, "SQLSTATE 22"),
    ("query = 'SELECT name, password FROM users WHERE $1 <> name'\n", None, "rows for one user"),
    ("query = 'DELETE FROM users WHERE name = $1 RETURNING *'\n", None, "SQLSTATE|permission denied"),
])
def test_postgresql_faults_are_temporary_and_told_without_secrets(engine, more, host_password, says):
    conninfo = {"password": host_password} if host_password else {}
    with start(people(engine, more, **conninfo) + NO_CACHE) as daemon:
        assert login(daemon, "ann", "tiger").startswith("454 4.7.0")
        assert login(daemon, "fine", "tiger").startswith("454 4.7.0")
        daemon.err.wait(says)
        for secret in ("canary-5f1d", "tiger", "secret of the relay"):
            assert secret not in daemon.err.text()


def test_postgresql_that_is_killed_and_comes_back(own_engine):
    with start(LOCAL + people(own_engine) + NO_CACHE) as daemon:
        comes_to("235", daemon, "ann", "tiger")
        own_engine.kill()
        assert login(daemon, "ann", "tiger").startswith("454")
        assert login(daemon, "local", "tiger").startswith("235")
        own_engine.start()
        comes_to("235", daemon, "ann", "tiger")
        assert login(daemon, "ann", "lion") == REFUSED


def test_postgresql_sessions_that_the_server_ends_are_not_noticed(engine):
    with start(people(engine) + NO_CACHE) as daemon:
        assert login(daemon, "ann", "tiger").startswith("235")
        for _ in range(3):
            engine.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'relay'")
            assert login(daemon, "ann", "tiger").startswith("235")


def test_postgresql_that_pauses_delays_nobody_else(own_engine):
    """Those who need it get a temporary failure in their time, everybody else an answer at once."""
    with start(LOCAL + people(own_engine, "timeout = 1\nconnect_timeout = 1\n") + NO_CACHE) as daemon:
        comes_to("235", daemon, "ann", "tiger")
        own_engine.pause()
        try:
            waiting = in_background(6, daemon, "ann", "tiger")
            with Talk(daemon.port) as client:
                for _ in range(20):
                    assert login(daemon, "local", "tiger").startswith("235")
                client.expect("NOOP", "250")
            assert login(daemon, "ann", "tiger").startswith("454")
            for thread in waiting:
                thread.join(DEADLINE)
                assert not thread.is_alive()
        finally:
            own_engine.cont()
        comes_to("235", daemon, "ann", "tiger")


def test_postgresql_that_is_slow_for_one_is_not_for_another(engine):
    more = "query = 'SELECT * FROM sleepy WHERE name = $1'\ntimeout = 10\nconnect_timeout = 60\n"
    with start(people(engine, more) + NO_CACHE) as daemon:
        assert login(daemon, "ann", "tiger").startswith("235")
        waiting = in_background(1, daemon, "slow", "tiger")
        for _ in range(10):
            assert login(daemon, "ann", "tiger").startswith("235")
        waiting[0].join(DEADLINE)
        assert login(daemon, "slow", "tiger").startswith("454")
        # the server was told to stop it, and the connection serves again
        comes_to("235", daemon, "ann", "tiger")
        until(lambda: engine.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleepy%' AND state = 'active'"
                                 " AND usename = 'relay'") == "0\n")


def test_postgresql_is_somebody_else():
    """Each connection is answered with what no PostgreSQL says."""
    answers = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"E\0\0\0\x05x", b"R\xff\xff\xff\xff", b"", b"N" * 4096]
    server = socket.create_server(("127.0.0.1", 0))
    count = [0]

    def serve():
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                with contextlib.suppress(OSError), peer:
                    peer.recv(512)
                    peer.sendall(answers[count[0] % len(answers)])
                    count[0] += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = server.getsockname()[1]
    store = f"[store.people]\ndriver = 'postgresql'\nconninfo = 'host=127.0.0.1 port={port} user=relay'\n" \
            "password = 'canary-5f1d'\ntimeout = 2\n"
    with start(LOCAL + store + NO_CACHE) as daemon:
        deadline = time.monotonic() + DEADLINE
        while count[0] < 2 * len(answers):
            assert login(daemon, "ann", "tiger").startswith("454")
            assert login(daemon, "local", "tiger").startswith("235")
            assert time.monotonic() < deadline
        assert "canary-5f1d" not in daemon.err.text()
    server.shutdown(socket.SHUT_RDWR)
    thread.join(DEADLINE)
    server.close()


def test_postgresql_stale_records_bridge_an_outage(own_engine):
    """With the caches as they are by default, who was seen before still comes in."""
    with start(people(own_engine) + "[cache]\npositive_ttl = 0.001\nrecheck = 0\n") as daemon:
        comes_to("235", daemon, "ann", "tiger")
        own_engine.kill()
        try:
            assert login(daemon, "ann", "tiger").startswith("235")
            assert login(daemon, "fine", "tiger").startswith("454")
        finally:
            own_engine.start()
        comes_to("235", daemon, "fine", "tiger")


# ---- SQLite ----


def make_database(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT, disabled INT, groups TEXT)")
        for statement in statements:
            db.execute(statement)
        db.commit()
    give(path)


SQLITE = "[store.people]\ndriver = 'sqlite'\npath = '@DIR@/users.db'\nbusy_timeout = 0.2\n"


@contextlib.contextmanager
def sqlite_daemon(*statements: str, more: str = ""):
    more += "" if "timeout" in more else "timeout = 60\n"
    daemon = Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": LOCAL + SQLITE + more + NO_CACHE})
    make_database(daemon.dir / "users.db", *statements)
    with daemon.start():
        yield daemon


ANN = "INSERT INTO users VALUES ('ann', 'tiger', 0, 'a,b'), ('gone', 'tiger', 1, NULL), ('empty', '', 0, NULL)"


def test_sqlite_knows_its_users():
    with sqlite_daemon(ANN, *[f"INSERT INTO users (name, password) VALUES ('{quoted}', 'tiger')"
                              for quoted in QUOTED.values()]) as daemon:
        for user in ["ann", *STRANGE_NAMES]:
            assert login(daemon, user, "tiger").startswith("235"), user
            assert login(daemon, user, "lion") == REFUSED
        for user, password in [("gone", "tiger"), ("nobody", "tiger"), ("empty", ""), ("ann' OR 'a'='a", "tiger")]:
            assert login(daemon, user, password).startswith("5")
        with contextlib.closing(sqlite3.connect(daemon.dir / "users.db")) as db:
            assert db.execute("SELECT count(*) FROM users").fetchone()[0] == 3 + len(STRANGE_NAMES)
        # they are plain, each of them; it is said once
        daemon.err.wait('store people: users with plain passwords or fast hashes, "ann" among them')
        assert len(daemon.err.find('store people: users with plain passwords or fast hashes, "ann" among them')) == 1


def test_sqlite_sees_a_change_and_a_new_file_at_once():
    with sqlite_daemon(ANN) as daemon:
        assert login(daemon, "ann", "tiger").startswith("235")
        make_database(daemon.dir / "users.db", "UPDATE users SET password = 'lion' WHERE name = 'ann'")
        assert login(daemon, "ann", "tiger") == REFUSED
        assert login(daemon, "ann", "lion").startswith("235")
        make_database(daemon.dir / "new.db", "INSERT INTO users (name, password) VALUES ('ann', 'puma')")
        os.rename(daemon.dir / "new.db", daemon.dir / "users.db")
        assert login(daemon, "ann", "puma").startswith("235")


def test_sqlite_that_is_locked_missing_or_broken():
    with sqlite_daemon(ANN) as daemon:
        path = daemon.dir / "users.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            waiting = in_background(4, daemon, "ann", "tiger")
            for _ in range(5):
                assert login(daemon, "local", "tiger").startswith("235")
            assert login(daemon, "ann", "tiger").startswith("454")
            for thread in waiting:
                thread.join(DEADLINE)
            db.execute("COMMIT")
        comes_to("235", daemon, "ann", "tiger")
        shutil.copy(path, daemon.dir / "good.db")
        for broken in (None, b"", b"no database at all, but a text of a hundred octets and some more of them" * 3):
            path.unlink(missing_ok=True)
            if broken is not None:
                path.write_bytes(broken)
                give(path)
            assert login(daemon, "ann", "tiger").startswith("454")
            assert login(daemon, "nobody", "tiger").startswith("454")
            assert login(daemon, "local", "tiger").startswith("235")
        shutil.copy(daemon.dir / "good.db", path)
        give(path)
        comes_to("235", daemon, "ann", "tiger")


def test_sqlite_query_that_never_ends():
    more = "query = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n WHERE " \
           "i <> :user'\ntimeout = 0.3\n"
    with sqlite_daemon(ANN, more=more) as daemon:
        waiting = in_background(4, daemon, "ann", "tiger")
        for _ in range(5):
            assert login(daemon, "local", "tiger").startswith("235")
        assert login(daemon, "ann", "tiger").startswith("454")
        for thread in waiting:
            thread.join(DEADLINE)


# ---- passwd-file ----

PASSWD = "[store.people]\ndriver = 'passwd-file'\npath = '@DIR@/passwd'\n"


def test_passwd_file_follows_its_file():
    with start(PASSWD + NO_CACHE, {"passwd": "# users\nann:{PLAIN}tiger\n"
                                   "bob:{PLAIN}tiger:1:1::/home:/bin/sh:groups=a,b disabled=y\n"
                                   "far:{PLAIN}tiger::::::allow_nets=192.0.2.0/24\n"}) as daemon:
        assert login(daemon, "ann", "tiger").startswith("235")
        assert login(daemon, "bob", "tiger") == REFUSED
        assert login(daemon, "far", "tiger") == REFUSED
        daemon.replace("passwd", "ann:{PLAIN}lion\nnew:{PLAIN}tiger\n")
        comes_to("235", daemon, "ann", "lion")
        assert login(daemon, "ann", "tiger") == REFUSED
        assert login(daemon, "new", "tiger").startswith("235")
        daemon.replace("passwd", "ann:{PLAIN}puma\ncanary-5f1d\n")
        deadline = time.monotonic() + DEADLINE
        while not daemon.err.find(r"passwd:2: "):
            assert login(daemon, "ann", "lion").startswith("235")
            assert time.monotonic() < deadline
        assert "canary-5f1d" not in daemon.err.text()
        daemon.replace("passwd", "ann:{PLAIN}puma\n")
        comes_to("235", daemon, "ann", "puma")


def test_passwd_file_of_htpasswd():
    if not shutil.which("htpasswd"):
        pytest.skip("there is no htpasswd")
    lines = ""
    for user, option in (("bcrypt", "-B"), ("sha512", "-5"), ("sha256", "-2")):
        made = subprocess.run(["htpasswd", "-nb", option, user, "tiger"], capture_output=True, text=True, check=False)
        lines += made.stdout if made.returncode == 0 else ""
    with start(PASSWD + NO_CACHE, {"passwd": lines}) as daemon:
        for user in [line.partition(":")[0] for line in lines.split()]:
            assert login(daemon, user, "tiger").startswith("235"), user
            assert login(daemon, user, "lion") == REFUSED


@pytest.mark.parametrize("text", ["ann\n", "ann:x\nann:y\n", "ann:x::::::nopassword\n",
                                  "ann:x::::::networks=,\n", "ann:x::::::allow_nets=,\n"])
def test_passwd_file_that_is_broken_stops_the_start(text):
    daemon = Daemon(policy(SETUP), files={"auth.toml": PASSWD, "passwd": text})
    ended = daemon.run_to_end("--validate")
    assert ended.returncode == 1
    assert "auth.toml:" in ended.stderr and "passwd:" in ended.stderr, ended.stderr
    daemon.__exit__(None, None, None)


# ---- PAM ----

JUDGE = """#!/bin/sh
password=$(tr -d '\\000')
case "$PAM_USER" in
slow) read line <@DIR@/gate ;;
esac
[ "$PAM_RHOST" = 127.0.0.1 ] && [ "$password" = tiger ]
"""
SERVICE = """auth [success=done default=ignore] pam_exec.so quiet expose_authtok @DIR@/judge
auth requisite pam_deny.so
account required pam_permit.so
"""
PAM = "[store.people]\ndriver = 'pam'\nconfdir = '@DIR@'\nthreads = 2\n" + "timeout = %d\n"


def pam_daemon(auth: str, service: str = SERVICE) -> Daemon:
    daemon = Daemon(policy(SETUP, listener=QUICK), files={"auth.toml": auth, "judge": JUDGE, "gatepost": service})
    (daemon.dir / "judge").chmod(0o755)
    os.mkfifo(daemon.dir / "gate")
    give(daemon.dir / "gate")
    return daemon.start()


def test_pam_judges():
    with pam_daemon(PAM % 60 + NO_CACHE) as daemon:
        assert login(daemon, "ann", "tiger").startswith("235")
        assert login(daemon, "ann", "lion") == REFUSED
        assert login(daemon, "o'neil; rm -rf /", "tiger").startswith("235")


def test_pam_unknown_users_go_on_to_the_next_store():
    service = "auth required pam_debug.so auth=user_unknown\naccount required pam_permit.so\n"
    with pam_daemon("stores = ['people', 'local']\n" + LOCAL + PAM % 60 + NO_CACHE, service) as daemon:
        assert login(daemon, "local", "tiger").startswith("235")
        assert login(daemon, "ann", "tiger") == REFUSED


def test_pam_that_does_not_know_is_a_temporary_failure():
    service = "auth required pam_debug.so auth=authinfo_unavail\naccount required pam_permit.so\n"
    with pam_daemon(PAM % 60 + NO_CACHE, service) as daemon:
        assert login(daemon, "ann", "tiger").startswith("454")
        assert "tiger" not in daemon.err.text()


def test_pam_module_that_hangs():
    with pam_daemon(PAM % 5 + NO_CACHE) as daemon:
        assert login(daemon, "slow", "tiger").startswith("454")  # its thread is still there
        for _ in range(5):
            comes_to("235", daemon, "ann", "tiger")
        assert login(daemon, "slow", "tiger").startswith("454")
        assert login(daemon, "ann", "tiger").startswith("454")  # now all are kept
        gate = os.open(daemon.dir / "gate", os.O_RDWR)  # never waits, and no reader sees an end before its line
        os.write(gate, b"go\ngo\n")
        comes_to("235", daemon, "ann", "tiger")
        os.close(gate)
