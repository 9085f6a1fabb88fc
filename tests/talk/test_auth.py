# SPDX-License-Identifier: Apache-2.0
"""AUTH: every row of the table of replies, authzid, cancelling, limits, and what is never said."""

import base64
import json

import pytest
from gatepost import Daemon, Talk
from policies import AUTHENTICATED_MAY_RELAY, MESSAGE, STATIC_USERS, policy


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def plain(user: str, password: str, authz: str = "") -> str:
    return b64(f"{authz}\0{user}\0{password}")


GOOD = plain("scott", "tiger")


@pytest.fixture(scope="module")
def daemon():
    with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY)) as made:
        yield made


@pytest.fixture
def client(daemon):
    """Under TLS, greeted, not logged in."""
    with Talk(daemon.port) as made:
        made.expect("EHLO me", "250")
        made.starttls()
        made.expect("EHLO me", "250")
        yield made


def test_in_clear_it_is_neither_offered_nor_taken(daemon):
    with Talk(daemon.port) as client:
        assert "AUTH" not in client.expect("EHLO me", "250")
        client.expect(f"AUTH PLAIN {GOOD}", "538 5.7.11")
        client.expect("AUTH PLAIN", "538 5.7.11")
        client.expect("NOOP", "250")


def test_once_only(client):
    client.expect(f"AUTH PLAIN {GOOD}", "235 2.7.0")
    client.expect(f"AUTH PLAIN {GOOD}", "503 5.5.1")


def test_not_inside_a_transaction(client):
    client.expect("MAIL FROM:<a@b.example>", "250")
    client.expect(f"AUTH PLAIN {GOOD}", "503 5.5.1")
    client.expect("RSET", "250")
    client.expect(f"AUTH PLAIN {GOOD}", "235")


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "NTLM", "ANONYMOUS", "PLAINX", "PLAI", "x" * 100])
def test_unknown_mechanism(client, mechanism):
    client.expect(f"AUTH {mechanism}", "504 5.5.4")
    client.expect(f"AUTH PLAIN {GOOD}", "235")


def test_mechanism_in_any_case(client):
    client.expect(f"auth pLaIn {GOOD}", "235")


def test_plain_in_two_steps(client):
    assert client.ask("AUTH PLAIN") == "334 "
    client.expect(GOOD, "235")


def test_login(client):
    assert client.ask("AUTH LOGIN") == "334 " + b64("Username:")
    assert client.ask(b64("scott")) == "334 " + b64("Password:")
    client.expect(b64("tiger"), "235")


def test_login_with_initial_response(client):
    assert client.ask("AUTH LOGIN " + b64("scott")) == "334 " + b64("Password:")
    client.expect(b64("tiger"), "235")


@pytest.mark.parametrize("start, steps", [("AUTH PLAIN", 0), ("AUTH LOGIN", 0), ("AUTH LOGIN", 1)])
def test_cancel_and_try_again(client, start, steps):
    client.expect(start, "334")
    for _ in range(steps):
        client.expect(b64("scott"), "334")
    client.expect("*", "501 5.7.0")
    client.expect(f"AUTH PLAIN {GOOD}", "235")


@pytest.mark.parametrize("response", [
    "!!!!", "Zm9", b64("no separators"), b64("a\0b"), b64("a\0b\0c\0d"), b64(b"\0sc\xffott\0tiger"),
    b64(b"\0scott\0ti\xffger"), b64("\0\0tiger"), GOOD + " extra", GOOD + "=",
])
def test_malformed_responses(client, response):
    client.expect(f"AUTH PLAIN {response}", "501 5.5.2")
    client.expect(f"AUTH PLAIN {GOOD}", "235")


def test_oversized_response_harms_nobody(daemon, client):
    client.expect("AUTH PLAIN", "334")
    client.expect("A" * 13000, "500 5.5.6")
    with Talk(daemon.port) as other:
        assert other.login("scott", "tiger").startswith("235")


def test_empty_initial_response_is_one(client):
    # "=" is an empty response (RFC 4954, section 4): it has no fields
    client.expect("AUTH PLAIN =", "501 5.5.2")


@pytest.mark.parametrize("user, password", [("scott", "wrong"), ("nobody-here", "tiger"), ("scott", ""), ("mia", "tiger"),
                                            ("scott", "tiger\u00e9"), ("s" * 500, "p" * 500)])
def test_refusals_are_the_same_bytes(client, user, password):
    assert client.ask(f"AUTH PLAIN {plain(user, password)}") == client.ask(f"AUTH PLAIN {plain('x', 'y')}")


def test_refusals_are_limited_per_connection(client):
    replies = []
    for _ in range(30):
        replies.append(client.ask(f"AUTH PLAIN {plain('scott', 'wrong')}")[:3])
        if replies[-1] == "421":
            break
    assert "535" in replies and replies[-1] == "421" and len(replies) < 30


def test_claiming_another_identity_needs_a_rule(daemon, client):
    assert client.ask(f"AUTH PLAIN {plain('mia', 'lion', authz='scott')}").startswith("535 5.7.8")
    client.expect(f"AUTH PLAIN {plain('mia', 'lion', authz='mia')}", "235")


AUTH_INFO = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if password ~= 'pw' then
    return false
  end
  if authc == 'none' then
    return { identities = {}, groups = {} }
  end
  return {
    identities = {
      { identity = 'shared-mailbox', context = 'SmtpAuthPlainAuthorization' },
      { identity = authc, context = 'SmtpAuthPlainAuthentication' },
    },
    groups = { 'staff' },
  }
end)
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  local info = conn_meta:auth_info()
  local names = {}
  for _, identity in ipairs(info.identities) do
    table.insert(names, identity.context .. '=' .. identity.identity)
  end
  kumo.reject(599, tostring(conn_meta:get_meta 'authz_id') .. ' ' .. tostring(conn_meta:get_meta 'authn_id') .. ' '
    .. table.concat(names, ',') .. ' ' .. info.groups[1])
end)
"""


def test_handler_may_name_the_authorization_identity():
    with Daemon(policy(AUTH_INFO)) as daemon:
        with Talk(daemon.port) as client:
            assert client.login("mia", "pw", authz="shared-mailbox").startswith("235")
            reply = client.ask("MAIL FROM:<a@b.example>")
            assert reply == ("599 shared-mailbox mia SmtpAuthPlainAuthorization=shared-mailbox,"
                             "SmtpAuthPlainAuthentication=mia staff")
        with Talk(daemon.port) as client:  # not the one that the handler named
            assert client.login("mia", "pw", authz="root").startswith("535")
        with Talk(daemon.port) as client:  # an AuthInfo without identities is the policy's mistake
            assert client.login("none", "pw").startswith("454")


FAILING = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password, conn_meta)
  if authc == 'broken' then
    error('the store is down: ' .. password)
  elseif authc == 'spin' then
    while true do pcall(function() while true do end end) end
  elseif authc == 'reject' then
    kumo.reject(432, '4.7.12 A password transition is needed')
  elseif authc == 'close' then
    kumo.reject(421, '4.7.0 go away')
  elseif authc == 'number' then
    return 42
  end
  return password == 'tiger'
end)
"""


def test_failing_handlers_are_temporary_and_the_session_goes_on():
    with Daemon(policy(FAILING)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.starttls()
        client.expect("EHLO me", "250")
        client.expect(f"AUTH PLAIN {plain('broken', 'canary-5f1d')}", "454 4.7.0")
        client.expect(f"AUTH PLAIN {plain('number', 'tiger')}", "454 4.7.0")
        client.expect(f"AUTH PLAIN {plain('spin', 'tiger')}", "454 4.7.0")
        assert client.ask(f"AUTH PLAIN {plain('reject', 'x')}") == "432 4.7.12 A password transition is needed"
        client.expect(f"AUTH PLAIN {plain('scott', 'tiger')}", "235")
        daemon.err.wait("policy.lua:")
        assert "canary-5f1d" not in daemon.err.text()
    with Daemon(policy(FAILING)) as daemon, Talk(daemon.port) as client:
        assert client.login("close", "x") == "421 4.7.0 go away"
        assert client.closed()


def test_no_handler_is_a_refusal():
    with Daemon(policy()) as daemon, Talk(daemon.port) as client:
        assert client.login("scott", "tiger").startswith("535 5.7.8")


def test_records_carry_no_credentials():
    with Daemon(policy(STATIC_USERS)) as daemon:
        with Talk(daemon.port) as client:
            assert client.login("scott", "canary-77aa").startswith("535")
            client.expect("AUTH LOGIN", "334")
            client.expect(b64("scott"), "334")
            client.expect(b64("canary-77aa"), "535")
        daemon.wait_records(lambda record: record["type"] == "Rejection", count=2)
        text = json.dumps(daemon.records()) + daemon.err.text()
        for secret in ("canary-77aa", b64("canary-77aa"), plain("scott", "canary-77aa")):
            assert secret not in text
        assert {record["response"]["command"] for record in daemon.records() if record["type"] == "Rejection"} == {
            "AUTH PLAIN", "AUTH LOGIN"}


def test_starttls_discards_what_was_said_before(daemon):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect("MAIL FROM:<a@b.example>", "250")
        client.starttls()
        client.expect("MAIL FROM:<a@b.example>", "503")  # EHLO has to be said again
        client.expect("EHLO me", "250")
        client.expect("RCPT TO:<c@d.example>", "503")  # and no transaction is open


@pytest.mark.parametrize("tail", [b"EHLO evil\r\n", b"NOOP", b"\r\n", b"\x16\x03\x01", b"x" * 5000])
def test_text_behind_starttls_never_runs(daemon, tail):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.send(b"STARTTLS\r\n" + tail)
        assert client.closed()
        assert b"mx.gatepost.test" not in client.buffer


def test_failed_handshake_closes(daemon):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect("STARTTLS", "220")
        client.send(b"this is no handshake\r\n" * 10)
        assert client.closed()


def test_logging_in_is_not_yet_permission():
    with Daemon(policy(STATIC_USERS)) as daemon, Talk(daemon.port) as client:
        assert client.login("scott", "tiger").startswith("235")
        reply = client.mail("scott@tiger.example", ["you@dest.example"], MESSAGE)
        port = client.socket.getsockname()[1]
        assert reply == f"550 5.7.1 relaying not permitted for 127.0.0.1:{port}"


def test_received_header_says_esmtpsa_and_not_who(sink):
    from policies import smart_host

    with Daemon(policy(STATIC_USERS, AUTHENTICATED_MAY_RELAY, smart_host(sink.port))) as daemon:
        with Talk(daemon.port) as client:
            client.login("scott", "tiger", ehlo="laptop.example")
            assert client.mail("x@tiger.example", ["you@dest.example"], MESSAGE).startswith("250")
        [message] = sink.wait()
        received = message.data.split(b"\r\nFrom:")[0]
        assert b"Received:" in received and b"with ESMTPSA" in received and b"laptop.example" in received
        assert b"scott" not in received
