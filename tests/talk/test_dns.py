# SPDX-License-Identifier: Apache-2.0
"""The way is found through a real name server: nsd with a zone of the test's."""

import os
import signal
import subprocess

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk, make_dir
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy
from ports import free_port

ZONE = """$ORIGIN example.
$TTL 60
@ IN SOA ns.example. root.example. 1 3600 600 86400 60
@ IN NS ns.example.
ns IN A 127.0.0.1
d IN MX 10 dead.d
d IN MX 20 alive.d
dead.d IN A 127.0.0.9
alive.d IN A 127.0.0.1
implicit IN A 127.0.0.1
nullmx IN MX 0 .
alias IN CNAME d
"""


class NameServer:
    def __init__(self):
        self.port = free_port()
        self.dir = make_dir()
        (self.dir / "example.zone").write_text(ZONE)
        (self.dir / "nsd.conf").write_text(f"""server:
  ip-address: 127.0.0.1
  port: {self.port}
  username: ""
  chroot: ""
  zonesdir: "{self.dir}"
  database: ""
  pidfile: "{self.dir}/nsd.pid"
  xfrdfile: "{self.dir}/xfrd.state"
  zonelistfile: "{self.dir}/zone.list"
  verbosity: 1
remote-control:
  control-enable: no
zone:
  name: "example"
  zonefile: "example.zone"
""")
        self.process = subprocess.Popen(["/usr/sbin/nsd", "-d", "-c", self.dir / "nsd.conf"], stderr=subprocess.PIPE)
        said = []
        for line in self.process.stderr:
            if b"nsd started" in line:
                return
            said.append(line)
        raise AssertionError(f"nsd did not start: {said}")

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)


@pytest.fixture
def names():
    server = NameServer()
    yield server
    if server.process.poll() is None:
        server.stop()


def through(names: NameServer, port: int, *parts: str, **more) -> Daemon:
    text = policy(f"""
kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  kumo.log_info('SITE ' .. site_name)
  return kumo.make_egress_path {{ enable_tls = 'Disabled', prohibited_hosts = {{}}, smtp_port = {port} }}
end)
kumo.on('get_queue_config', function()
  return kumo.make_queue_config {{ retry_interval = '1s', max_retry_interval = '1s' }}
end)
""", *parts, listener=RELAY_FROM_LOOPBACK)
    resolver = f"  kumo.dns.configure_resolver {{ name_servers = {{ '127.0.0.1:{names.port}' }} }}\n"
    return Daemon(text.replace("  kumo.start_esmtp_listener", resolver + "  kumo.start_esmtp_listener", 1), **more)


def send(daemon: Daemon, *recipients: str) -> None:
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", list(recipients), MESSAGE).startswith("250")


def test_mx_address_alias_null_mx_and_missing(names):
    with Sink() as sink, through(names, sink.port) as daemon:
        send(daemon, "1@d.example", "2@implicit.example", "3@alias.example", "4@nullmx.example", "5@missing.example")
        assert sorted(m.recipients[0][0] for m in sink.wait(3)) == ["1", "2", "3"]
        bounced = daemon.wait_records(lambda record: record["type"] == "Bounce", count=2)
        assert sorted(record["recipient"][0] for record in bounced) == ["4", "5"]
        daemon.err.wait(r"SITE \(dead\|alive\)\.d\.example")


def test_who_writes_to_domains_that_do_not_exist_writes_to_wrong_recipients(names):
    auth = "[budget.b]\ninvalid_recipients = 0.5\ninvalid_recipients_least = 2\n[user.ada]\npassword = 'tiger'\n"
    setup = "require('gatepost.auth'):setup { 'auth.toml' }\n"
    with Sink() as sink, through(names, sink.port, setup, files={"auth.toml": auth}) as daemon, Talk(daemon.port) as client:
        assert client.login("ada", "tiger").startswith("235")
        assert client.mail("a@b.example", ["1@nullmx.example", "2@missing.example"], MESSAGE).startswith("250")
        daemon.wait_records(lambda record: record["type"] == "Bounce", count=2)
        client.expect("MAIL FROM:<a@b.example>", "450 4.7.1 limit invalid_recipients of budget b")


def test_a_name_server_that_hangs_puts_mail_off_and_is_not_held_against_it(names):
    with Sink() as sink, through(names, sink.port) as daemon:
        os.kill(names.process.pid, signal.SIGTERM)
        names.process.wait(DEADLINE)
        send(daemon, "1@d.example")
        daemon.wait_records(lambda record: record["type"] == "TransientFailure")
        assert sink.messages == []
        assert not [record for record in daemon.records() if record["type"] == "Bounce"]
