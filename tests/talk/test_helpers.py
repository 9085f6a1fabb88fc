# SPDX-License-Identifier: Apache-2.0
"""policy-extras over a running daemon: listener domains, tenants that cannot be posed as, queues
and sources from data files."""

import pytest
from gatepost import Daemon, Talk
from policies import MESSAGE, STATIC_USERS, policy

DOMAINS = """
["ours.example"]
relay_from_authz = ['scott']

["inbound.example"]
relay_to = true

["listed.example"]
relay_from = ['127.0.0.7']
"""

USE_DOMAINS = """
local listener_domains = require 'policy-extras.listener_domains'
kumo.on('get_listener_domain', listener_domains:setup { '@DIR@/domains.toml' })
"""


@pytest.fixture(scope="module")
def gate():
    with Daemon(policy(STATIC_USERS, USE_DOMAINS), files={"domains.toml": DOMAINS}) as daemon:
        yield daemon


@pytest.mark.parametrize("user, sender, recipient, code", [
    ("scott", "a@ours.example", "x@else.example", "250"), ("mia", "a@ours.example", "x@else.example", "550 5.7.1"),
    (None, "a@ours.example", "x@else.example", "550 5.7.1"), ("scott", "a@foreign.example", "x@else.example", "550 5.7.1"),
    (None, "a@foreign.example", "x@inbound.example", "250"), ("mia", "a@OURS.example", "x@else.example", "550"),
])
def test_relay_from_authz(gate, user, sender, recipient, code):
    with Talk(gate.port) as client:
        if user:
            assert client.login(user, {"scott": "tiger", "mia": "lion"}[user]).startswith("235")
        else:
            client.expect("EHLO me", "250")
        assert client.mail(sender, [recipient], MESSAGE).startswith(code)


def test_relay_from_is_by_address(gate):
    for source, code in (("127.0.0.7", "250"), ("127.0.0.8", "550")):
        with Talk(gate.port, source=source) as client:
            client.expect("EHLO me", "250")
            assert client.mail("a@listed.example", ["x@else.example"], MESSAGE).startswith(code)


def test_permission_is_forgotten_at_login(gate):
    """What was decided before AUTH does not hold after it, nor the other way about."""
    with Talk(gate.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@ours.example", ["x@else.example"], MESSAGE).startswith("550")
        client.expect("RSET", "250")
        client.starttls()
        client.expect("EHLO me", "250")
        client.expect("AUTH PLAIN AHNjb3R0AHRpZ2Vy", "235")
        assert client.mail("a@ours.example", ["x@else.example"], MESSAGE).startswith("250")


TENANTS = """
tenant_header = 'X-Tenant'
remove_tenant_header = true

[tenant.'blue']
egress_pool = 'pool-1'
require_authz = ['scott']
allowed_domains = ['blue.example']

[tenant.'green']
require_authz = ['mia']

[queue.default]
max_age = '1 day'
egress_pool = 'pool-1'
"""

SOURCES = """
[source.'one']
remote_port = @PORT@

[pool.'pool-1'.'one']
"""


def tenant_policy(port: int) -> str:
    return policy(STATIC_USERS, """
local queue_helper = require('policy-extras.queue'):setup { '@DIR@/queues.toml' }
require('policy-extras.sources'):setup { '@DIR@/sources.toml' }
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  return kumo.make_listener_domain { relay_to = conn_meta:get_meta 'authz_id' ~= nil }
end)
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  queue_helper:apply(msg, conn_meta)
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path { enable_tls = 'Disabled', prohibited_hosts = {} }
end)
""")


FROM_BLUE = b"From: <a@blue.example>\r\nSubject: s\r\n\r\nb\r\n"

SPELLINGS = [b"X-Tenant: blue\r\n", b"x-tenant:blue\r\n", b"X-TENANT: \r\n blue\r\n", b"X-Tenant : blue\r\n",
             b"X-Tenant:\tblue \r\n", b"X-Tenant: green\r\nX-Tenant: blue\r\n", b"X-Tenant: blue\r\nX-Tenant: green\r\n"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_header_poses_as_another_tenant(sink, spelling):
    files = {"queues.toml": TENANTS, "sources.toml": SOURCES.replace("@PORT@", str(sink.port))}
    with Daemon(tenant_policy(sink.port), files=files) as daemon, Talk(daemon.port) as client:
        client.login("mia", "lion")
        reply = client.mail("a@blue.example", ["x@[127.0.0.1]"], spelling + FROM_BLUE)
        assert reply.startswith("550 5.7.1"), reply
        client.expect("RCPT TO:<y@z.example>", "503")
        assert client.mail("m@green.example", ["x@[127.0.0.1]"], b"X-Tenant: green\r\n" + MESSAGE).startswith("250")
        [message] = sink.wait()
        assert b"x-tenant" not in message.data.lower()


@pytest.mark.parametrize("sender, header_from, code", [
    ("a@blue.example", "a@blue.example", "250"), ("a@BLUE.example", "Scott <a@Blue.Example>", "250"),
    ("a@other.example", "a@blue.example", "550 5.7.1"), ("a@blue.example", "a@other.example", "550 5.7.1"),
    ("a@blue.example", "a@blue.example, b@other.example", "550 5.7.1"), ("", "a@blue.example", "250"),
    ("a@blue.example.evil.example", "a@blue.example", "550 5.7.1"),
    ("a@blue.example", "\"a@blue.example\" <a@other.example>", "550 5.7.1"),
])
def test_allowed_domains(sink, sender, header_from, code):
    files = {"queues.toml": TENANTS, "sources.toml": SOURCES.replace("@PORT@", str(sink.port))}
    with Daemon(tenant_policy(sink.port), files=files) as daemon, Talk(daemon.port) as client:
        client.login("scott", "tiger")
        data = b"X-Tenant: blue\r\nFrom: " + header_from.encode() + b"\r\nSubject: s\r\n\r\nb\r\n"
        assert client.mail(sender, ["x@[127.0.0.1]"], data).startswith(code)


def test_two_from_headers_are_one_too_many(sink):
    files = {"queues.toml": TENANTS, "sources.toml": SOURCES.replace("@PORT@", str(sink.port))}
    with Daemon(tenant_policy(sink.port), files=files) as daemon, Talk(daemon.port) as client:
        client.login("scott", "tiger")
        data = b"X-Tenant: blue\r\nFrom: a@blue.example\r\nFrom: b@other.example\r\n\r\nb\r\n"
        assert client.mail("a@blue.example", ["x@[127.0.0.1]"], data).startswith("550 5.7.1")
