# SPDX-License-Identifier: Apache-2.0
"""Every inbound event: its order, arguments and results."""

import re
import socket
import urllib.request

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk, until
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host

TRACE = """
local function note(name, ...)
  local parts = {}
  for i = 1, select('#', ...) do
    table.insert(parts, tostring((select(i, ...))))
  end
  kumo.log_info('EVENT ' .. name .. ' ' .. table.concat(parts, '|'))
end
kumo.on('smtp_server_get_dynamic_parameters', function(listener, conn_meta)
  note('get_dynamic_parameters', conn_meta:get_meta 'reception_protocol', conn_meta:get_meta 'hostname')
  return {}
end)
kumo.on('smtp_server_connection_accepted', function(conn_meta)
  conn_meta:set_meta('colour', 'blue')
  note('connection_accepted', conn_meta:get_meta('received_from'):match '^127.0.0.1:%d+$' and 'from-ok',
    conn_meta:get_meta('received_via'):match '^127.0.0.1:%d+$' and 'via-ok')
end)
kumo.on('smtp_server_ehlo', function(domain, conn_meta, extensions)
  note('ehlo', domain, type(extensions))
end)
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  note('mail_from', sender, sender.domain, conn_meta:get_meta 'ehlo_domain')
end)
kumo.on('get_listener_domain', function(domain, listener, conn_meta)
  note('get_listener_domain', domain)
  return kumo.make_listener_domain { relay_to = domain == 'd.example' }
end)
kumo.on('smtp_server_rcpt_to', function(rcpt, conn_meta)
  note('rcpt_to', rcpt, rcpt.user)
end)
kumo.on('smtp_server_data', function(msg, conn_meta)
  note('data', msg:sender())
end)
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  note('message_received', msg:recipient(), msg:get_meta 'colour', msg:get_first_named_header_value 'subject')
end)
"""


def events(daemon: Daemon) -> list[str]:
    return [found.group(1).strip() for found in daemon.err.find(r"EVENT (.*?)(?: \w+=.*)?$")]


def test_order_and_arguments(sink):
    with Daemon(policy(TRACE, smart_host(sink.port))) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me.example", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        daemon.err.wait("EVENT message_received ")
        seen = events(daemon)
        order = ["get_dynamic_parameters ESMTP|mx.gatepost.test", "connection_accepted from-ok|via-ok",
                 "ehlo me.example|table", "mail_from a@b.example|b.example|me.example", "get_listener_domain b.example",
                 "get_listener_domain d.example", "rcpt_to c@d.example|c", "data a@b.example",
                 "message_received c@d.example|blue|hello"]
        positions = [seen.index(event) for event in order]
        assert positions == sorted(positions), seen


def rejecting(event: str, arguments: str, call: str) -> str:
    return f"kumo.on('{event}', function({arguments}) {call} end)"


@pytest.mark.parametrize("event, arguments, step", [
    ("smtp_server_connection_accepted", "meta", "connect"), ("smtp_server_ehlo", "domain, meta", "ehlo"),
    ("smtp_server_mail_from", "sender, meta", "mail"), ("smtp_server_rcpt_to", "rcpt, meta", "rcpt"),
    ("smtp_server_data", "msg, meta", "data"), ("smtp_server_message_received", "msg, meta", "end"),
])
@pytest.mark.parametrize("call, expected, closes", [
    ("kumo.reject(451, '4.7.1 not now')", "451 4.7.1 not now", False),
    ("kumo.reject(550, '5.7.1 never')", "550 5.7.1 never", False),
    ("kumo.reject(421, '4.3.2 leave')", "421 4.3.2 leave", True),
    ("error('a mistake of the policy')", "4", None),
])
def test_reject_in_each_event(event, arguments, step, call, expected, closes):
    with Daemon(policy(rejecting(event, arguments, call), listener=RELAY_FROM_LOOPBACK)) as daemon:
        client = Talk(daemon.port)
        replies = {"connect": client.banner}
        if step != "connect":
            replies["ehlo"] = client.ask("EHLO me")
            if step != "ehlo":
                replies["mail"] = client.ask("MAIL FROM:<a@b.example>")
                if step != "mail":
                    replies["rcpt"] = client.ask("RCPT TO:<c@d.example>")
                    if step != "rcpt":
                        replies["data"] = client.ask("DATA")
                        if replies["data"].startswith("354"):
                            client.send(MESSAGE + b".\r\n")
                            replies["end"] = client.read_reply()
        last = replies.get(step) or replies["data"]
        if step == "data" and last.startswith("354"):
            last = replies["end"]  # the handler may see the content, so it is asked at the end of data
        assert last.startswith(expected), replies
        if closes:
            assert client.closed()
        assert "a mistake of the policy" not in last
        client.close()


def test_after_a_reject_at_the_end_the_transaction_is_empty():
    bad = rejecting("smtp_server_message_received", "msg", "kumo.reject(550, '5.7.1 no')")
    with Daemon(policy(bad, listener=RELAY_FROM_LOOPBACK)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE) == "550 5.7.1 no"
        client.expect("RCPT TO:<c@d.example>", "503")
        client.expect("DATA", "503")


def test_one_rejected_message_refuses_the_transaction():
    some = """
kumo.on('smtp_server_message_received', function(msg)
  if msg:recipient().user == 'bad' then
    kumo.reject(550, '5.7.1 not for bad')
  end
end)"""
    with Sink() as sink, Daemon(policy(some, smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            reply = client.mail("a@b.example", ["good@d.example", "bad@d.example"], MESSAGE)
            assert reply == "550 5.7.1 not for bad"
            assert client.mail("a@b.example", ["good@d.example"], MESSAGE).startswith("250")
        assert len(sink.wait()) == 1


def test_rewrite_response():
    rewrite = """
kumo.on('smtp_server_rewrite_response', function(status, response, command, conn_meta)
  if status == 235 or (command and command:find '^NOOP') then
    return 299, 'changed ' .. response
  end
end)"""
    with Daemon(policy(rewrite)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.expect("NOOP", "299").startswith("299 changed ")
        client.expect("RSET", "250")


def test_ehlo_extensions_can_be_replaced():
    fewer = """
kumo.on('smtp_server_ehlo', function(domain, conn_meta, extensions)
  local kept = {}
  for _, extension in ipairs(extensions) do
    if extension ~= 'PIPELINING' then
      table.insert(kept, extension)
    end
  end
  return kept
end)"""
    with Daemon(policy(fewer)) as daemon, Talk(daemon.port) as client:
        reply = client.expect("EHLO me", "250")
        assert "PIPELINING" not in reply and "STARTTLS" in reply


def test_dynamic_parameters():
    dynamic = """
kumo.on('smtp_server_get_dynamic_parameters', function(listener, conn_meta)
  return { hostname = 'dynamic.gatepost.test', relay_hosts = { '127.0.0.1' }, max_message_size = 2000 }
end)"""
    with Daemon(policy(dynamic)) as daemon, Talk(daemon.port) as client:
        assert client.banner.startswith("220 dynamic.gatepost.test")
        assert "SIZE 2000" in client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")


def test_split_transaction_and_batches():
    split = """
kumo.on('smtp_server_message_received', function(msg)
  local names = {}
  for _, rcpt in ipairs(msg:recipient_list()) do
    table.insert(names, tostring(rcpt))
  end
  kumo.log_info('BATCH ' .. table.concat(names, ','))
end)"""
    listener = RELAY_FROM_LOOPBACK + ", batch_handling = 'BatchByDomain'"
    with Sink() as sink, Daemon(policy(split, smart_host(sink.port), listener=listener)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            reply = client.mail("a@b.example", ["1@d.example", "2@e.example", "3@d.example"], MESSAGE)
            assert len(reply.split("=")[1].split()) == 2
        messages = sink.wait(2)
        assert sorted(message.recipients for message in messages) == [["1@d.example", "3@d.example"], ["2@e.example"]]


def test_policy_changes_what_is_sent(sink):
    change = """
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  msg:prepend_header('X-First', 'one')
  msg:append_header('X-Last', 'two')
  msg:remove_all_named_headers 'subject'
  msg:set_sender 'bounces@b.example'
end)"""
    with Daemon(policy(change, smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        [message] = sink.wait()
        assert message.sender == "bounces@b.example"
        assert b"X-First: one\r\nReceived:" in message.data and b"X-Last: two\r\n\r\nbody" in message.data
        assert b"Subject" not in message.data


def test_header_injection_by_policy_is_refused():
    inject = """
kumo.on('smtp_server_message_received', function(msg)
  msg:append_header('X-Note', 'a\\r\\nBcc: everyone@x.example')
end)"""
    with Daemon(policy(inject, listener=RELAY_FROM_LOOPBACK)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("451")


def test_waiting_handlers_hold_up_nobody():
    wait = """
kumo.on('smtp_server_mail_from', function(sender)
  if sender.user == 'slow' then
    kumo.sleep(30)
  end
end)"""
    with Daemon(policy(wait, listener=RELAY_FROM_LOOPBACK), args=["--workers", "1", "--drain-seconds", "0"]) as daemon:
        slow = Talk(daemon.port)
        slow.expect("EHLO me", "250")
        slow.line("MAIL FROM:<slow@b.example>")
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        slow.close()


def test_handlers_after_the_data_have_a_limit_of_time():
    slow = "kumo.on('smtp_server_message_received', function(msg) kumo.sleep(60) end)"
    listener = RELAY_FROM_LOOPBACK + ", data_processing_timeout = '1s'"
    with Daemon(policy(slow, listener=listener)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("451 4.4.5")
        client.expect("RCPT TO:<c@d.example>", "503")


def test_disconnect():
    leave = "kumo.on('smtp_server_mail_from', function(sender) kumo.disconnect(451, '4.7.1 enough') end)"
    with Daemon(policy(leave)) as daemon, Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        assert client.ask("MAIL FROM:<a@b.example>").startswith(("451", "421"))
        assert client.closed()


def test_split_transaction():
    split = """
kumo.on('smtp_server_split_transaction', function(msg, conn_meta)
  local vip, others = {}, {}
  for _, rcpt in ipairs(msg:recipient_list()) do
    table.insert(rcpt.user == 'vip' and vip or others, rcpt)
  end
  return { vip, others }
end)"""
    with Sink() as sink, Daemon(policy(split, smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            reply = client.mail("a@b.example", ["1@d.example", "vip@d.example", "2@e.example"], MESSAGE)
            assert len(reply.split("=")[1].split()) == 2, reply
        assert sorted(len(message.recipients) for message in sink.wait(2)) == [1, 2]


def test_local_address_overrides():
    rows = ", via = { ['127.0.0.0/8'] = { hostname = 'via.gatepost.test' } }"
    with Daemon(policy(listener=rows)) as daemon, Talk(daemon.port) as client:
        assert client.banner.startswith("220 via.gatepost.test")


INHERITS = """
kumo.on('smtp_server_auth_plain', function() return true end)
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  if sender.user == 'notes' then
    conn_meta:set_meta('colour', 'blue')
  end
end)
kumo.on('get_listener_domain', function() return kumo.make_listener_domain { relay_to = true } end)
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  kumo.log_info(string.format('INHERITED %s %s %s %s', msg:get_meta 'ehlo_domain', msg:get_meta 'authn_id',
    msg:get_meta 'colour', msg:get_meta 'own'))
  msg:set_meta('own', msg:sender().user)
  msg:set_meta('queue', 'null')
end)
"""


def test_each_message_inherits_what_is_known_when_it_comes_and_nothing_from_the_one_before():
    with Daemon(policy(INHERITS)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO clear.example", "250")
            client.mail("first@b.example", ["c@d.example"], MESSAGE)
            client.starttls()
            client.expect("EHLO one.example", "250")
            client.mail("second@b.example", ["c@d.example"], MESSAGE)
            client.expect("EHLO two.example", "250")
            client.expect("AUTH PLAIN AHNjb3R0AHg=", "235")
            client.mail("third@b.example", ["c@d.example"], MESSAGE)
            client.expect("EHLO three.example", "250")
            client.mail("notes@b.example", ["c@d.example"], MESSAGE)
        daemon.err.wait(r"INHERITED three")
        seen = [found.group(1).split() for found in daemon.err.find(r"INHERITED (.*?)(?: \w+=.*)?$")]
        assert seen == [["clear.example", "nil", "nil", "nil"], ["one.example", "nil", "nil", "nil"],
                        ["two.example", "scott", "nil", "nil"], ["three.example", "scott", "blue", "nil"]]


MOVES = """
kumo.on('get_queue_config', function(domain, tenant, campaign, routing_domain)
  local port = routing_domain == 'backup.example' and {backup} or {first}
  return kumo.make_queue_config {{ protocol = {{ smtp = {{ mx_list = {{ '[127.0.0.1]:' .. port }} }} }} }}
end)
kumo.on('get_egress_path_config', function()
  return kumo.make_egress_path {{ enable_tls = 'Disabled', prohibited_hosts = {{}},
    consecutive_connection_failures_before_delay = 1 }}
end)
kumo.on('requeue_message', function(msg, response)
  msg:set_meta('routing_domain', 'backup.example')
  msg:set_meta('tenant', 'moved')
end)
"""


def test_large_messages_that_requeue_message_moves_go_on_at_once(sink):
    """More of them than may wait in memory: those read back from the spool had the old name, and the daemon died of it."""
    count = 8
    large = MESSAGE + 160000 * (b"x" * 76 + b"\r\n")

    def are_ready(daemon):
        with urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE) as answer:
            return re.search(rf"^ready_count{{.*}} {count}$", answer.read().decode(), re.MULTILINE)

    with socket.create_server(("127.0.0.1", 0)) as first:  # takes connections and says nothing
        rules = MOVES.format(first=first.getsockname()[1], backup=sink.port)
        with Daemon(policy(rules, listener=RELAY_FROM_LOOPBACK)) as daemon:
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                assert client.mail("a@b.example", [f"{number}@d.example" for number in range(count)], large).startswith("250")
            until(lambda: are_ready(daemon))
            first.close()  # and with it all that was connected
            assert len({message.recipients[0] for message in sink.wait(count)}) == count
            daemon.stop()
            deliveries = [record for record in daemon.records() if record["type"] == "Delivery"]
            assert [record["queue"] for record in deliveries] == ["moved@d.example!backup.example"] * count
