# SPDX-License-Identifier: Apache-2.0
"""From the queue to the next server: retries, bounces, reuse, smart hosts, MX, TLS, 8 bit, and a
second Gatepost behind the first."""

import pytest
from gatepost import Daemon, Sink, Talk
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host
from ports import free_port


def send(daemon: Daemon, recipients=("c@d.example",), data: bytes = MESSAGE, sender="a@b.example", mail="") -> None:
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        if mail:
            client.expect(f"MAIL FROM:<{sender}> {mail}".encode(), "250")
            for recipient in recipients:
                client.expect(f"RCPT TO:<{recipient}>".encode(), "250")
            client.expect("DATA", "354")
            client.send(data + b"\r\n.\r\n")
            assert client.read_reply().startswith("250")
        else:
            assert client.mail(sender, list(recipients), data).startswith("250")


def of_type(kind: str):
    return lambda record: record["type"] == kind


def test_delivered_and_recorded(sink):
    with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        [message] = sink.wait()
        assert (message.sender, message.recipients) == ("a@b.example", ["c@d.example"])
        assert message.data.endswith(MESSAGE[MESSAGE.index(b"From:"):] + b"\r\n")
        [record] = daemon.wait_records(of_type("Delivery"))
        assert record["response"]["code"] == 250 and record["recipient"] == "c@d.example"
        assert record["peer_address"]["addr"].startswith("127.0.0.1")
        assert record["num_attempts"] >= 1 or record["num_attempts"] == 0
        [reception] = daemon.wait_records(of_type("Reception"))
        assert reception["id"] == record["id"] and reception["reception_protocol"] == "ESMTP"


def test_connection_is_reused(sink):
    with Daemon(policy(smart_host(sink.port, path="connection_limit = 1"), listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            for _ in range(20):
                assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        sink.wait(20)
        assert sink.sessions == 1


def test_deliveries_per_connection(sink):
    path = "connection_limit = 1, max_deliveries_per_connection = 5"
    with Daemon(policy(smart_host(sink.port, path=path), listener=RELAY_FROM_LOOPBACK)) as daemon:
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            for _ in range(20):
                assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        messages = sink.wait(20)
        per_session = [sum(m.session == n for m in messages) for n in range(1, sink.sessions + 1)]
        assert max(per_session) <= 5


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "EOM"])
def test_refused_for_good_is_a_bounce(verb):
    def reply(command, argument, session):
        return "550 5.1.1 no such user" if command == verb else None

    with Sink(reply) as sink, Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        [record] = daemon.wait_records(of_type("Bounce"))
        assert record["response"]["code"] == 550
        assert record["response"]["content"] == "no such user"
        assert record["response"]["enhanced_code"] == {"class": 5, "subject": 1, "detail": 1}
        assert sink.messages == []


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "EOM"])
def test_put_off_is_tried_again(verb):
    failures = []

    def reply(command, argument, session):
        if command in (verb, "HELO" if verb == "EHLO" else verb) and len(failures) < 2:
            failures.append(command)
            return "451 4.3.0 later"
        return None

    fast = "retry_interval = '1s', max_retry_interval = '1s'"
    with Sink(reply) as sink, Daemon(policy(smart_host(sink.port, queue=fast), listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        sink.wait()
        assert daemon.wait_records(of_type("TransientFailure"))[0]["response"]["code"] == 451
        daemon.wait_records(of_type("Delivery"))


def test_cut_after_the_end_of_data_is_tried_again():
    cuts = []

    def reply(command, argument, session):
        if command == "EOM" and not cuts:
            cuts.append(1)
            return ""
        return None

    fast = "retry_interval = '1s'"
    with Sink(reply) as sink, Daemon(policy(smart_host(sink.port, queue=fast), listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        sink.wait()
        daemon.wait_records(of_type("TransientFailure"))


def test_expiry():
    queue = "retry_interval = '1s', max_age = '2s'"
    with Sink(lambda verb, *_: "451 no" if verb == "MAIL" else None) as sink:
        with Daemon(policy(smart_host(sink.port, queue=queue), listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon)
            daemon.wait_records(of_type("Expiration"))


def test_recipients_of_a_batch_fare_differently():
    def reply(command, argument, session):
        return "550 5.1.1 unknown" if command == "RCPT" and "bad" in argument else None

    listener = RELAY_FROM_LOOPBACK + ", batch_handling = 'BatchByDomain'"
    with Sink(reply) as sink, Daemon(policy(smart_host(sink.port), listener=listener)) as daemon:
        send(daemon, ("good@d.example", "bad@d.example", "fine@d.example"))
        sink.wait()
        [bounce] = daemon.wait_records(of_type("Bounce"))
        assert bounce["recipient"] in ("bad@d.example", ["bad@d.example"])
        deliveries = daemon.wait_records(of_type("Delivery"), count=2)
        assert "bad@d.example" not in str([record["recipient"] for record in deliveries])


def test_8_bit_is_not_sent_where_it_is_not_offered():
    with Sink(extensions=["PIPELINING"]) as sink:
        with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon, data=MESSAGE + b"gr\xc3\xbc\xc3\x9fe", mail="BODY=8BITMIME")
            [record] = daemon.wait_records(of_type("Bounce"))
            assert record["response"]["enhanced_code"]["subject"] == 6
            send(daemon, sender="m\u00fc@b.example", mail="SMTPUTF8")
            daemon.wait_records(of_type("Bounce"), count=2)
            assert sink.messages == []


def test_dot_stuffing_and_a_large_body(sink):
    body = MESSAGE + b"".join(b".%d%s\r\n" % (n, b"x" * (n % 60)) for n in range(40000))
    with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon, data=body)
        [message] = sink.wait()
        assert message.data.endswith(body + b"\r\n")


def mx_policy(port: int) -> str:
    return f"""
kumo.on('pre_init', function() end)
kumo.on('get_egress_path_config', function(domain, egress_source, site_name)
  kumo.log_info('SITE ' .. site_name)
  return kumo.make_egress_path {{ enable_tls = 'Disabled', prohibited_hosts = {{}}, smtp_port = {port} }}
end)
kumo.on('get_queue_config', function(domain)
  return kumo.make_queue_config {{ retry_interval = '1h' }}
end)
"""


RESOLVER = "kumo.dns.configure_test_resolver { [[\n%s\n]] }"


def with_zone(text: str, *parts: str) -> str:
    return policy(*parts, listener=RELAY_FROM_LOOPBACK).replace(
        "  kumo.start_esmtp_listener", "  " + RESOLVER % text + "\n  kumo.start_esmtp_listener", 1)


def test_mx_fallback_null_mx_and_missing_domains(sink):
    zone = """d.example MX 10 dead.d.example
d.example MX 20 alive.d.example
dead.d.example A 127.0.0.9
alive.d.example A 127.0.0.1
implicit.example A 127.0.0.1
nullmx.example MX 0 .
gone.example NXDOMAIN
broken.example SERVFAIL"""
    with Daemon(with_zone(zone, mx_policy(sink.port))) as daemon:
        send(daemon, ("1@d.example", "2@implicit.example", "3@nullmx.example", "4@gone.example", "5@broken.example"))
        assert sorted(m.recipients[0] for m in sink.wait(2)) == ["1@d.example", "2@implicit.example"]
        bounced = daemon.wait_records(of_type("Bounce"), count=2)
        assert sorted(record["recipient"] for record in bounced) == ["3@nullmx.example", "4@gone.example"]
        daemon.wait_records(lambda r: r["type"] == "TransientFailure" and r["recipient"] == "5@broken.example")


def test_an_mx_that_is_ourselves_is_a_loop():
    port = free_port()
    text = with_zone("loop.example MX 10 me.example\nme.example A 127.0.0.1", mx_policy(port))
    with Daemon(text.replace("listen = '127.0.0.1:0', hostname", f"listen = '127.0.0.1:{port}', hostname")) as daemon:
        send(daemon, ("x@loop.example",))
        record = daemon.wait_records(lambda r: r["type"] in ("Bounce", "TransientFailure"))[0]
        assert record["type"] == "Bounce" and "loop" in record["response"]["content"].lower()


def test_prohibited_hosts_protect_this_machine(sink):
    path = smart_host(sink.port).replace("prohibited_hosts = {},", "")
    with Daemon(policy(path, listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        [record] = daemon.wait_records(of_type("Bounce"))
        assert record["response"]["code"] == 550
        assert sink.sessions == 0


def second_gatepost() -> Daemon:
    null = "kumo.on('smtp_server_message_received', function(msg) msg:set_meta('queue', 'null') end)"
    return Daemon(policy(null, listener=RELAY_FROM_LOOPBACK))


def test_a_second_gatepost_behind_over_tls():
    with second_gatepost() as behind:
        path = smart_host(behind.port).replace("'Disabled'", "'RequiredInsecure'")
        with Daemon(policy(path, listener=RELAY_FROM_LOOPBACK)) as front:
            send(front, sender="s@b.example")
            [record] = front.wait_records(of_type("Delivery"))
            assert record["tls_protocol_version"] == "TLSv1.3"
            [reception] = behind.wait_records(of_type("Reception"))
            assert reception["reception_protocol"] == "ESMTPS"


@pytest.mark.parametrize("mode", ["Required", "RequiredInsecure"])
def test_tls_that_is_required_is_never_downgraded(sink, mode):
    path = smart_host(sink.port).replace("'Disabled'", f"'{mode}'")
    with Daemon(policy(path, listener=RELAY_FROM_LOOPBACK)) as daemon:
        send(daemon)
        daemon.wait_records(of_type("TransientFailure"))
        assert sink.messages == []


def test_a_self_signed_server_does_not_pass_verification():
    with second_gatepost() as behind:
        path = smart_host(behind.port).replace("'Disabled'", "'Required'")
        with Daemon(policy(path, listener=RELAY_FROM_LOOPBACK)) as front:
            send(front)
            front.wait_records(of_type("TransientFailure"))
            assert behind.records() == []


def test_text_behind_starttls_from_the_server_fails_the_attempt():
    import ssl

    class Injecting(Sink):
        pass

    def reply(verb, argument, session):
        if verb == "EHLO":
            return "250-sink.example\r\n250 STARTTLS"
        if verb == "STARTTLS":
            return "220 go\r\n250 injected"
        return None

    with Injecting(reply) as sink:
        path = smart_host(sink.port).replace("'Disabled'", "'RequiredInsecure'")
        with Daemon(policy(path, listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon)
            daemon.wait_records(of_type("TransientFailure"))
            assert sink.messages == []
    assert ssl


def test_login_at_the_next_server_only_under_tls():
    logins = []

    def reply(verb, argument, session):
        if verb == "AUTH":
            logins.append(argument)
            return "235 2.7.0 ok"
        return None

    with Sink(reply, extensions=["AUTH PLAIN", "8BITMIME"]) as sink:
        credentials = "smtp_auth_plain_username = 'u', smtp_auth_plain_password = { key_data = 'canary-out' }"
        with Daemon(policy(smart_host(sink.port, path=credentials), listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon)
            daemon.wait_records(of_type("TransientFailure"))
            assert logins == [] and "canary-out" not in daemon.err.text()
        allowed = credentials + ", allow_smtp_auth_plain_without_tls = true"
        with Daemon(policy(smart_host(sink.port, path=allowed), listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon)
            sink.wait()
            assert len(logins) == 1
            assert "canary-out" not in daemon.err.text()


def test_fresh_mail_goes_to_a_waiting_connection(sink):
    with Daemon(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        for count in range(1, 6):
            send(daemon)
            sink.wait(count)
        assert sink.sessions == 1


def test_requeue_and_metadata_survive_a_restart(sink):
    down = smart_host(1, queue="retry_interval = '1s', max_retry_interval = '2s'")
    first = Daemon(policy(down, listener=RELAY_FROM_LOOPBACK))
    first.owns_dir = False
    with first as daemon:
        send(daemon)
        daemon.wait_records(of_type("TransientFailure"))
    up = smart_host(sink.port, queue="retry_interval = '1s', max_retry_interval = '2s'")
    with Daemon(policy(up, listener=RELAY_FROM_LOOPBACK), directory=first.dir) as daemon:
        [message] = sink.wait()
        assert message.recipients == ["c@d.example"]
        daemon.wait_records(of_type("Delivery"))


TELL = "kumo.on('requeue_message', function(msg, response) kumo.reject(554, 'told: ' .. response) end)"


@pytest.mark.parametrize("first", ["550 5.1.1 no such user", "250 2.1.5 ok"])
@pytest.mark.parametrize("is_told", [True, False])
def test_who_is_put_off_is_judged_by_his_own_answer(first, is_told):
    """Not by that of the one before him, who is settled."""
    def reply(command, argument, session):
        return (first if "first" in argument else "451 4.2.1 mailbox busy") if command == "RCPT" else None

    listener = RELAY_FROM_LOOPBACK + ", batch_handling = 'BatchByDomain'"
    queue = "" if is_told else "retry_interval = '10m', max_age = '1m'"
    with Sink(reply) as sink:
        with Daemon(policy(smart_host(sink.port, queue=queue), TELL if is_told else "", listener=listener)) as daemon:
            send(daemon, ("first@d.example", "second@d.example"))
            [end] = daemon.wait_records(lambda record: record["type"] in ("Bounce", "Expiration")
                                        and "second@d.example" in record["recipient"])
            assert end["type"] == ("Bounce" if is_told else "Expiration")
            told = "told: 451 4.2.1 mailbox busy" if is_told else "the last answer was: 451 mailbox busy"
            assert told in end["response"]["content"]


def test_a_server_that_leaves_with_the_first_message_costs_no_other_an_attempt():
    asked = []

    def reply(command, argument, session):
        if command != "MAIL":
            return None
        asked.append(session)
        return "" if len(asked) == 1 else "451 4.3.0 later"

    with Sink(reply) as sink:
        with Daemon(policy(smart_host(sink.port, path="connection_limit = 1"), listener=RELAY_FROM_LOOPBACK)) as daemon:
            send(daemon, [f"{number}@d.example" for number in range(6)])
            failures = daemon.wait_records(of_type("TransientFailure"), count=6)
            assert sorted(record["recipient"] for record in failures) == [f"{number}@d.example" for number in range(6)]
            assert len(asked) == 6  # each was sent
