# SPDX-License-Identifier: Apache-2.0
"""gatectl as an operator types it, against a running daemon."""

import os
import subprocess

from gatepost import BUILD, DEADLINE, SERVICE_USER, Daemon, Sink, Talk
from policies import ACCT, MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host

GATECTL = BUILD / "src" / "ctl" / "gatectl"
USER = ["--user", SERVICE_USER] if os.geteuid() == 0 else []


def gatectl(*args, **env) -> subprocess.CompletedProcess:
    return subprocess.run([GATECTL, *(arg if isinstance(arg, bytes) else str(arg) for arg in args)], capture_output=True, text=True, check=False, timeout=DEADLINE,
                          env={**os.environ, **env})


def test_the_endpoint_stands_before_or_behind_the_command_or_in_the_environment():
    with Daemon(policy()) as daemon:
        for shown in (gatectl("--endpoint", daemon.http, "status"), gatectl("status", "--endpoint", daemon.http),
                      gatectl("--endpoint", "http://127.0.0.1:1", "status", "--endpoint", daemon.http),
                      gatectl("status", GATEPOST_ENDPOINT=daemon.http)):
            assert shown.returncode == 0, shown
            assert str(daemon.process.pid) in shown.stdout
        assert gatectl("--endpoint", daemon.http, "queue", "list").returncode == 0


def test_a_command_that_is_not_one():
    assert gatectl("--help").stdout.startswith("usage: gatectl")
    assert gatectl("--version").returncode == 0
    for args in ([], ["--endpoint", "http://x"], ["nonsense"], ["--nonsense", "status"]):
        shown = gatectl(*args)
        assert shown.returncode == 2 and shown.stderr, shown


def test_names_that_are_no_text_are_not_asked_about():
    for args in (["hold", b"\xff"], ["release", b"\xff"], ["sessions", "close", "--user", b"\xff"],
                 ["sessions", "list", "--user", b"\xff"], ["budget", "show", b"\xff"]):
        shown = gatectl(*args, "--endpoint", "http://127.0.0.1:1")
        assert (shown.returncode, shown.stderr) == (2, "gatectl: a word of the command line is not UTF-8\n"), shown


def test_logs_end_after_a_count():
    with Sink() as sink:
        with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
            logs = ["logs", "--dir", daemon.dir / "logs"]
            waiting = subprocess.Popen([GATECTL, *logs, "--since", "1h", "--follow", "--type", "Delivery", "--count", "2"],
                                       stdout=subprocess.PIPE, text=True)
            with Talk(daemon.port) as client:
                client.ask("EHLO local")
                for _ in range(3):
                    assert client.mail("me@here.example", ["you@dest.example"], MESSAGE).startswith("250")
            shown, _ = waiting.communicate(timeout=DEADLINE)
            assert waiting.returncode == 0 and len(shown.splitlines()) == 2, shown
            assert len(gatectl(*logs, "--count", 1).stdout.splitlines()) == 1
    for count in ("0", "-1", "many"):
        assert gatectl(*logs, "--count", count).returncode == 2


def test_config_check_finds_the_daemon_and_passes_its_word_on():
    good, bad = Daemon(policy()), Daemon("kumo.on('init', function() kumo.start_esmtp_listener { lisen = 1 } end)")
    shown = gatectl("config", "check", *USER, good.policy)
    assert shown.returncode == 0, shown
    shown = gatectl("config", "check", *USER, bad.policy)
    assert shown.returncode == 1 and "lisen" in shown.stderr
    if USER:
        shown = gatectl("config", "check", good.policy)
        assert shown.returncode == 2 and "--user" in shown.stderr


def test_logins_by_user_reason_and_address():
    users = "[user.scott]\npassword = '{PLAIN}tiger'\n[user.mia]\npassword = '{PLAIN}lion'\n"
    before, after = policy("local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n",
                           listener=", auth_failure_delay = '0s'").split("  kumo.start_http_listener", 1)
    with Daemon(before + ACCT + "  kumo.start_http_listener" + after, files={"auth.toml": users}) as daemon:
        for user, password in (("scott", "tiger"), ("scott", "wrong"), ("mia", "wrong"), ("nobody", "wrong")):
            with Talk(daemon.port) as client:
                client.login(user, password)
        daemon.wait_records(lambda record: True, "acct", 4)
        logs = ["logs", "--dir", daemon.dir / "acct"]
        shown = gatectl(*logs).stdout.splitlines()
        assert len(shown) == 4 and " Login ok: ok user scott as scott from 127.0.0.1 (client.example) PLAIN " in shown[0]
        for args, count in ((["--user", "sc*"], 2), (["--reason", "bad_password"], 2), (["--reason", "ok,no_user"], 2),
                            (["--reason", "refused"], 3), (["--address", "127.0.0.0/8"], 4), (["--address", "192.0.2.1"], 0),
                            (["--user", "scott", "--reason", "refused"], 1), (["--type", "Authentication"], 4),
                            (["--type", "Delivery"], 0), (["--since", "1h"], 4), (["--since", "2100-01-01"], 0)):
            assert len(gatectl(*logs, *args, "--json").stdout.splitlines()) == count, args
        assert gatectl("logs", "--dir", daemon.dir / "logs", "--user", "scott").stdout == ""
    assert gatectl(*logs, "--address", "here").returncode == 2
