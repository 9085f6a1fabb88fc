# SPDX-License-Identifier: Apache-2.0
"""Bad configuration is named by file and line, at start and at reload; --validate, --script,
flags, and the HTTP side."""

import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest
from gatepost import BUILD, DEADLINE, Daemon, Talk, give, make_dir
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy


def init(body: str) -> str:
    return "local kumo = require 'kumo'\nkumo.on('init', function()\n" + body + "\nend)\n"


SPOOL = "kumo.define_spool { name = 'data', path = '@DIR@/spool' }\n"


@pytest.mark.parametrize("text, wanted", [
    ("this is not lua", "policy.lua:1:"),
    ("local kumo = require 'kumo'\n\nerror('on line three')", "policy.lua:3: on line three"),
    (init("kumo.start_esmtp_listener { listen = '127.0.0.1:0', lisen = 1 }"), "policy.lua:3:.*lisen"),
    (init("kumo.start_esmtp_listener { listen = 25 }"), "policy.lua:3:.*listen"),
    (init("kumo.start_esmtp_listener { listen = '127.0.0.1:0', max_message_size = 'big' }"), "policy.lua:3:.*max_message_size"),
    (init("kumo.start_esmtp_listener { listen = '127.0.0.1:0', tls_certificate = '/no/such.pem', tls_private_key = '/no/such.key' }"),
     "policy.lua:3:.*/no/such.pem"),
    (init("kumo.define_spool { name = 'data' }"), "policy.lua:3:.*path"),
    (init("kumo.define_spool { name = 'data', path = '/x', flush = 'yes' }"), "policy.lua:3:.*flush"),
    (init("kumo.no_such_function {}"), "policy.lua:3:.*no_such_function"),
    (init("kumo.configure_local_logs { log_dirr = '/x' }"), "policy.lua:3:.*log_dirr"),
    ("local kumo = require 'kumo'\nkumo.on('init', function() end)\nkumo.on('init', function() end)", "policy.lua:3:.*init"),
    ("local q = require 'policy-extras.queue'\nq:setup { '/no/such.toml' }", "/no/such.toml"),
    ("require 'policy-extras.shaping'", "policy-extras.shaping"),
])
def test_mistakes_name_file_and_line(text, wanted):
    import re

    daemon = Daemon(text)
    for extra in ([], ["--validate"]):
        ended = daemon.run_to_end(*extra)
        assert ended.returncode != 0
        assert re.search(wanted, ended.stderr), ended.stderr


@pytest.mark.parametrize("file, wanted", [
    ("[tenant.'a']\negress_pol = 'x'\n", "egress_pol"), ("[tenant.'a'\n", "queues.toml"),
    ("[queue.default]\nretry_interval = 'often'\n", "retry_interval"), ("[tenant.'a']\nrequire_authz = 'scott'\n", "require_authz"),
])
def test_mistakes_in_data_files_name_file_and_key(file, wanted):
    text = policy("local q = require 'policy-extras.queue'\nlocal helper = q:setup { '@DIR@/queues.toml' }")
    ended = Daemon(text, files={"queues.toml": file}).run_to_end("--validate")
    assert ended.returncode != 0 and wanted in ended.stderr and "queues.toml" in ended.stderr, ended.stderr


def test_validate_binds_and_opens_nothing():
    daemon = Daemon(policy("kumo.on('validate_config', function() kumo.log_info 'asked' end)"))
    ended = daemon.run_to_end("--validate")
    assert ended.returncode == 0, ended.stderr
    assert "asked" in ended.stderr and "listener on" not in ended.stderr
    assert not (daemon.dir / "spool").exists() and not (daemon.dir / "logs").exists()


def test_validation_failed_lets_the_other_checks_look():
    text = policy("kumo.on('validate_config', function() kumo.log_error 'first' kumo.validation_failed() end)",
                  "kumo.on('validate_config', function() kumo.log_error 'second' end)")
    ended = Daemon(text).run_to_end("--validate")
    assert ended.returncode == 1 and "first" in ended.stderr and "second" in ended.stderr, ended.stderr
    assert "fine" not in ended.stdout


@pytest.mark.parametrize("module, files", [
    ("queue", {"queue.toml": "default_tenant = 'nobody'"}), ("sources", {"sources.toml": "[pool.p.a]\n"})])
def test_data_files_that_do_not_fit_together_fail_the_validation(module, files):
    text = policy(f"require('policy-extras.{module}'):setup {{ '@DIR@/{module}.toml' }}")
    ended = Daemon(text, files=files).run_to_end("--validate")
    assert ended.returncode == 1 and f"{module}.toml" in ended.stderr, ended.stderr


QUEUE_HELPER = """
local helper = require('policy-extras.queue'):setup { '@DIR@/queues.toml' }
kumo.on('smtp_server_message_received', function(msg) helper:apply(msg) end)
"""


@pytest.mark.parametrize("module", ["queue", "listener_domains", "sources"])
def test_a_broken_data_file_stops_a_start(module):
    text = policy(f"local handler = require('policy-extras.{module}'):setup {{ '@DIR@/data.toml' }}")
    ended = Daemon(text, files={"data.toml": "[tenant.'a']\negress_pol = 'x'\n"}).run_to_end()
    assert ended.returncode == 1 and "data.toml" in ended.stderr and "tenant" in ended.stderr, ended.stderr


def test_a_data_file_that_breaks_later_leaves_the_old_data_serving():
    text = policy(QUEUE_HELPER, listener=RELAY_FROM_LOOPBACK)
    with Daemon(text, files={"queues.toml": "tenant_header = 'X-Tenant'\n[tenant.'a']\n"}) as daemon:
        def send(tenant):
            with Talk(daemon.port) as client:
                client.ask("EHLO local")
                return client.mail("me@here.example", ["you@dest.example"], b"X-Tenant: " + tenant + b"\r\n" + MESSAGE)

        assert send(b"a").startswith("250") and send(b"b").startswith("550")
        for number, broken in enumerate(("[tenant.'a']\negress_pol = 'x'\n", "[tenant"), 1):
            daemon.replace("queues.toml", broken)
            daemon.reload()
            assert send(b"a").startswith("250") and send(b"b").startswith("550")
        daemon.err.wait("the one before it goes on serving.*queues.toml.*egress_pol")
        daemon.replace("queues.toml", "tenant_header = 'X-Tenant'\n[tenant.'b']\n")
        daemon.reload()
        assert send(b"b").startswith("250") and send(b"a").startswith("550")


def test_a_port_in_use_is_named():
    with Daemon(policy()) as daemon:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            text = policy().replace("127.0.0.1:0', hostname", f"127.0.0.1:{port}', hostname")
            ended = Daemon(text).run_to_end()
            assert ended.returncode != 0 and f"127.0.0.1:{port}" in ended.stderr and "policy.lua:" in ended.stderr
        assert daemon.port


def test_a_spool_in_use_is_named():
    with Daemon(policy()) as daemon:
        second = Daemon(policy().replace("@DIR@", str(daemon.dir)), directory=None)
        ended = second.run_to_end()
        assert ended.returncode != 0 and "spool" in ended.stderr


def test_script():
    text = "kumo.on('main', function(...) kumo.sleep(0.01) kumo.log_info('ARGS ' .. table.concat({ ... }, '+')) end)"
    ended = Daemon(text).run_to_end("--script", "--", "one", "two")
    assert ended.returncode == 0 and "ARGS one+two" in ended.stderr
    assert Daemon("kumo.on('main', function() error 'x' end)").run_to_end("--script").returncode == 1


@pytest.mark.parametrize("args, code", [(["--version"], 0), (["--help"], 0), (["--nonsense"], 2), (["stray"], 2),
                                        (["--diag-format", "xml"], 2), (["--policy", "/no/such/policy.lua"], 1)])
def test_flags(args, code):
    user = ["--user", "nobody"] if os.geteuid() == 0 and args[0] == "--policy" else []
    ended = subprocess.run([BUILD / "src" / "gatepostd", *user, *args], capture_output=True, text=True, check=False,
                           timeout=DEADLINE)
    assert ended.returncode == code, ended
    if args == ["--version"]:
        assert all(name in ended.stdout for name in ("gatepostd", "Lua 5.4", "OpenSSL", "SQLite"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give it up")
def test_root_is_given_up():
    with Daemon(policy()) as daemon:
        status = open(f"/proc/{daemon.process.pid}/status").read()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split() and "0" not in fields["Gid"].split()
        assert int(fields["CapEff"], 16) in (0, 1 << 10) and fields["NoNewPrivs"].strip() == "1"
        assert open(f"/proc/{daemon.process.pid}/limits").read().split("Max core file size")[1].split()[0] == "0"
    ended = subprocess.run([BUILD / "src" / "gatepostd", "--policy", daemon.policy], capture_output=True, text=True,
                           check=False, timeout=DEADLINE)
    assert ended.returncode != 0 and "--user" in ended.stderr


def test_the_service_manager_is_told():
    import socket

    directory = make_dir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(give(directory) / "notify"))
        os.chmod(directory / "notify", 0o777)
        manager.settimeout(DEADLINE)
        with Daemon(policy(), directory=directory, env={"NOTIFY_SOCKET": str(directory / "notify")}):
            assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1"


def test_json_diagnostics():
    with Daemon(policy(listener=RELAY_FROM_LOOPBACK), args=["--diag-format", "json"]) as daemon:
        with Talk(daemon.port) as client:
            client.ask("EHLO me\x1b[31m\u00fc\"quote")
            client.ask("XYZZY \x07 {\"a\":1}\\")
        for line in daemon.err.text().splitlines():
            assert isinstance(json.loads(line), dict)


def login_policy(password: str) -> str:
    return policy(f"kumo.on('smtp_server_auth_plain', function(z, c, p) return c == 'scott' and p == '{password}' end)")


def logs_in(daemon: Daemon, password: str) -> bool:
    with Talk(daemon.port) as client:
        return client.login("scott", password).startswith("235")


def test_reload_on_sighup_and_a_broken_policy_keeps_the_old():
    with Daemon(login_policy("one")) as daemon:
        assert logs_in(daemon, "one")
        daemon.replace("policy.lua", "this is not lua")
        daemon.reload()
        assert logs_in(daemon, "one")
        daemon.err.wait("policy.lua:1:")
        daemon.replace("policy.lua", login_policy("two"))
        daemon.reload()
        assert logs_in(daemon, "two") and not logs_in(daemon, "one")


def test_watched_files_reload_by_themselves():
    watch = """
kumo.on('pre_init', function() end)
kumo.on('smtp_server_auth_plain', function(z, c, p)
  return kumo.serde.json_load('@DIR@/users.json')[c] == p
end)
"""
    text = policy(watch).replace("kumo.define_spool", "kumo.set_config_monitor_globs { '@DIR@/*.json' }\n  kumo.define_spool", 1)
    with Daemon(text, files={"users.json": '{ "scott": "one" } // comment'}) as daemon:
        assert logs_in(daemon, "one")
        daemon.replace("users.json", '{ "scott": "two" }')
        assert logs_in(daemon, "two")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_http_side(sink):
    with Daemon(policy(listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@nowhere.invalid"], MESSAGE).startswith("250")
        assert get(daemon.http + "/api/check-liveness/v1")[0] == 200
        code, metrics = get(daemon.http + "/metrics")
        assert code == 200
        assert 'total_messages_received{service="esmtp_listener"} 1' in metrics
        assert 'total_connection_count{service="esmtp_listener"} 1' in metrics
        assert get(daemon.http + "/nothing/here")[0] == 404
        for command in (["status"], ["queue", "list"]):
            shown = subprocess.run([BUILD / "src" / "ctl" / "gatectl", "--endpoint", daemon.http, *command],
                                   capture_output=True, text=True, check=False, timeout=DEADLINE)
            assert shown.returncode == 0, shown.stderr
        daemon.wait_records(lambda record: record["type"] == "Reception")
        shown = subprocess.run([BUILD / "src" / "ctl" / "gatectl", "logs", "--dir", daemon.dir / "logs"],
                               capture_output=True, text=True, check=False, timeout=DEADLINE)
        assert "Reception" in shown.stdout
    shown = subprocess.run([BUILD / "src" / "ctl" / "gatectl", "--endpoint", daemon.http, "status"],
                           capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert shown.returncode != 0 and "127.0.0.1" in shown.stderr


# ---- an open relay is warned of ----

OPEN_DOMAINS = """
["sender.example"]
relay_from = ["10.0.0.0/8", "::/0"]
["*"]
relay_to = true
[listener."127.0.0.1:1"."part.example"]
relay_from = ["0.0.0.0/1"]
["ours.example"]
relay_to = true
relay_from = ["192.0.2.0/24"]
"""
USE_DOMAINS = ("local domains = require 'policy-extras.listener_domains'\n"
               "kumo.on('get_listener_domain', domains:setup { '@DIR@/domains.toml' })\n")


def open_relays(listener: str = "", parts=(), files=None) -> list[str]:
    """The warnings of a start, which are those of --validate."""
    daemon = Daemon(policy(*parts, listener=listener), files=files)
    validated = daemon.run_to_end("--validate")
    assert validated.returncode == 0, validated.stderr
    with daemon:
        started = [line for line in daemon.err.text().splitlines() if "is an open relay" in line]
    asked = [line for line in validated.stderr.splitlines() if "is an open relay" in line]
    assert all(" WARN " in line for line in started) and len(asked) == len(started)
    return started


@pytest.mark.parametrize("listener, said", [
    ("relay_hosts = { '127.0.0.1', '0.0.0.0/0' }", "relay_hosts with 0.0.0.0/0 is an open relay"),
    ("relay_hosts = { '::/0' }", "relay_hosts with ::/0 is an open relay"),
    ("via = { ['127.0.0.1'] = { relay_hosts = { '0.0.0.0/0' } } }", "via: relay_hosts with 0.0.0.0/0 is an open relay"),
    ("peer = { ['0.0.0.0/0'] = { relay_hosts = { '128.0.0.0/1' } } }", "peer: relay_hosts with 128.0.0.0/1 is an open relay"),
])
def test_a_listener_that_is_an_open_relay_is_warned_of_at_every_start(listener, said):
    warnings = open_relays(", " + listener)
    assert len(warnings) == 1 and said in warnings[0]


@pytest.mark.parametrize("listener", [
    "relay_hosts = { '10.0.0.0/8', '203.0.113.0/24', 'fc00::/7', '2001:db8::/32' }",
    "peer = { ['10.0.0.0/8'] = { relay_hosts = { '0.0.0.0/0' } } }",
])
def test_a_network_of_ones_own_is_no_open_relay(listener):
    assert not open_relays(", " + listener)


def test_listener_domains_that_are_an_open_relay_are_warned_of_at_every_start():
    warnings = open_relays(parts=[USE_DOMAINS], files={"domains.toml": OPEN_DOMAINS})
    told = sorted(line.split("domains.toml: ")[1].split(" is ")[0] for line in warnings)
    assert told == ["'*'", "'part.example'", "'sender.example'"]


def test_a_handler_that_opens_the_relay_is_told_of_once():
    opens = "kumo.on('smtp_server_get_dynamic_parameters', function() return { relay_hosts = { '0.0.0.0/0' } } end)"
    with Daemon(policy(opens)) as daemon:
        for _ in range(2):
            Talk(daemon.port).close()
    assert len(daemon.err.find("smtp_server_get_dynamic_parameters: relay_hosts with 0.0.0.0/0 is an open relay")) == 1
