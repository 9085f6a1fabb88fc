# SPDX-License-Identifier: Apache-2.0
"""Who is logged in can only be who the rules say: senders, authors, tenants, and relaying by auth.toml alone."""

import base64
import json
import urllib.request

import pytest
from gatepost import DEADLINE, Daemon, Sink, Talk
from policies import AUTHENTICATED_MAY_RELAY, STATIC_USERS, policy, smart_host

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
QUICK = ", auth_failure_delay = '0s'"
TO = ["x@dest.example"]

USERS = """
[user.ann]
password = '{PLAIN}tiger'
senders = ['ann@ok.example', '@lists.example', '*.sub.example']
[user.'bob@ok.example']
password = '{PLAIN}tiger'
[user.staffer]
password = '{PLAIN}tiger'
groups = ['staff']
[user.actor]
password = '{PLAIN}tiger'
senders = ['actor@ok.example']
may_act_as = ['ann']
[user.free]
password = '{PLAIN}tiger'
senders = ['*']
[group.staff]
senders = ['@staff.example']
tenants = ['blue']
"""

REJECT = USERS + "[identity]\nsenders = ['{user}']\n"


def text(header_from: str | bytes, more: bytes = b"") -> bytes:
    value = header_from.encode() if isinstance(header_from, str) else header_from
    return b"From: " + value + b"\r\nSubject: s\r\n" + more + b"\r\nbody\r\n"


def metric(daemon: Daemon, result: str) -> int:
    with urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE) as answer:
        lines = answer.read().decode().splitlines()
    [line] = [line for line in lines if line.startswith(f'gatepost_identity_total{{result="{result}"}}')]
    return int(line.split()[-1])


@pytest.fixture(scope="module")
def sink():
    with Sink() as made:
        yield made


@pytest.fixture(scope="module")
def daemon(sink):
    """No get_listener_domain and no handler for logins: all there is about users is the file."""
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files={"auth.toml": REJECT}) as made:
        yield made


def send(daemon, user, sender, data, authz=""):
    with Talk(daemon.port) as client:
        assert client.login(user, "tiger", authz).startswith("235")
        return client.mail(sender, TO, data)


# ---- MAIL FROM ----

@pytest.mark.parametrize("user, sender, code", [
    ("ann", "ann@ok.example", "250"), ("ann", "ANN@OK.EXAMPLE", "250"), ("ann", '"ann"@ok.example', "250"),
    ("ann", "any@lists.example", "250"), ("ann", "x@a.sub.example", "250"), ("ann", "", "250"),
    ("ann", "eve@ok.example", "553 5.7.1 ann may not send as eve@ok.example"),
    ("ann", "x@sub.example", "553 5.7.1 ann may not send as x@sub.example"),
    ("ann", "x@notlists.example", "553"), ("ann", "ann@ok.example.evil.example", "553"),
    ("ann", '"x@lists.example"@evil.example', "553"), ("ann", '"eve@evil.example"@lists.example', "553"),
    ("ann", "@lists.example:eve@evil.example", "553"), ("ann", "eve@[127.0.0.1]", "553"),
    ("bob@ok.example", "bob@ok.example", "250"), ("bob@ok.example", "ann@ok.example", "553"),
    ("staffer", "x@staff.example", "250"), ("staffer", "staffer@ok.example", "553"),
    ("free", "anybody@anywhere.example", "250"),
])
def test_mail_from(daemon, user, sender, code):
    with Talk(daemon.port) as client:
        assert client.login(user, "tiger").startswith("235")
        reply = client.ask(f"MAIL FROM:<{sender}>")
        assert reply.startswith(code), reply
        if not code.startswith("250"):
            client.expect("RCPT TO:<x@dest.example>", "503")
            client.expect("DATA", "503")


def test_the_reply_is_one_clean_line(daemon):
    with Talk(daemon.port) as client:
        client.login("ann", "tiger")
        reply = client.ask("MAIL FROM:<j\u00f6rg@evil.example> SMTPUTF8")
        assert reply.startswith("553 5.7.1 ann may not send as j??rg@evil.example")
        reply = client.ask("MAIL FROM:<" + "a" * 60 + "@" + ".".join(["b" * 45] * 4) + ">")
        assert reply.startswith("553 5.7.1") and "\n" not in reply and len(reply) < 510


def test_acting_as_another_lends_none_of_his_senders(daemon):
    assert send(daemon, "actor", "actor@ok.example", text("actor@ok.example"), "ann").startswith("250")
    assert send(daemon, "actor", "ann@ok.example", text("actor@ok.example"), "ann") == \
        "553 5.7.1 actor may not send as ann@ok.example"


# ---- From, Sender ----

FROM_REFUSED = [
    b"eve@evil.example", b"Ann <eve@evil.example>", b"ann@ok.example, eve@evil.example",
    b"eve@evil.example, ann@ok.example", b'"ann@ok.example" <eve@evil.example>', b"(ann@ok.example) eve@evil.example",
    b"Team: ann@ok.example, eve@evil.example;", b"Ann\r\n <eve@evil.example>", b"\r\n eve@evil.example",
    b'"eve@evil.example" <ann@ok.example>', b"=?utf-8?q?eve=40evil.example?= <ann@ok.example>",
    b"=?utf-8?b?ZXZlQGV2aWwuZXhhbXBsZQ==?=\r\n <ann@ok.example>", b"ann@ok.example (eve@evil.example)",
    b"eve@evil.example <ann@ok.example>", b"<ann@ok.example> <eve@evil.example>", b"<@evil.example:ann@ok.example>",
    b'"eve@evil.example"@lists.example', b"ann@ok.example(x).evil.example", b"ann @ ok.example",
    b"ann@ok.example; eve@evil.example", b"ann@ok.example,\r\n \r\n eve@evil.example", b"undisclosed:;", b"ann", b"<>",
    b"=?utf-8?q?eve=40evil.example?=", b"=?utf-7?q?eve+AEA-evil.example?= <ann@ok.example>", b"J\xf6rg <ann@ok.example>",
    b"ann@ok.example\x01", b"<ann@ok.example", b'"Ann <ann@ok.example>', b"ann@ok.example@evil.example",
    b"ann@ok.example,", b"",
    b"=?gb2312?b?ZXZlo8BldmlsLmV4YW1wbGU=?= <ann@ok.example>", b"=?utf-8?q?eve=EF?= =?utf-8?q?=BC=A0evil.example?= <ann@ok.example>",
    b'"\xe2\x80\xaeelpmaxe.live@eve" <ann@ok.example>', b'"@eve@evil.example" <ann@ok.example>',
    b"=?utf-8?q?x =?utf-8?q?=65ve=40evil.example?= <ann@ok.example>", b"=??q?eve=40evil.example?= <ann@ok.example>",
    b"=?utf-8?q?eve?= (c) =?utf-8?q?=40evil.example?= <ann@ok.example>",
    b"=?utf-8?q?eve?=\r\n (c)\r\n =?utf-8?q?=40evil.example?= <ann@ok.example>",
    b"ann@ok.example (eve(x)@evil.example)", b"ann@ok.example (=?utf-8?q?eve=40?=) (=?utf-8?q?evil.example?=)",
    b"=?utf-8?q?eve=40evil.example?= =?utf-8?q?.sub.example?= <ann@ok.example>",
    b"=?iso-8859-1?q?=E9=40evil.example?= <ann@ok.example>", b"=?koi8-r?q?eve=40evil.=D2=C6?= <ann@ok.example>",
    b"=?utf-8?q?=22eve=22=40evil.example?= <ann@ok.example>", b'"eve=?utf-8?q?_?=@evil.example" <ann@ok.example>',
    b"ann@ok.example\r\nFrom: eve@evil.example", b"ann@ok.example\r\nfrom : eve@evil.example",
    b"ann@ok.example\r\nFROM\t:eve@evil.example", b"ann@ok.example\r\nFrom\r\n : eve@evil.example",
    b"ann@ok.example\r\nFrom\xc2\xa0: eve@evil.example", b"ann@ok.example\r\nF\x02rom: eve@evil.example",
    b"ann@ok.example\r\nSender: eve@evil.example", b"ann@ok.example\r\nSender: Ann <eve@evil.example>",
    b"ann@ok.example\r\nResent-From: eve@evil.example", b"ann@ok.example\r\nresent-sender: eve@evil.example",
]

FROM_TAKEN = [
    b"ann@ok.example", b"ANN@OK.example", b"Ann <ann@ok.example>", b'"Ann, of Ok" <ann@ok.example>', b'"ann"@ok.example',
    b"ann@ok.example, Lists <all@lists.example>", b"Team: ann@ok.example, x@a.sub.example;", b"Ann\r\n <ann@ok.example>",
    b"=?utf-8?q?J=C3=B6rg?= <ann@ok.example>", b"=?iso-2022-jp?b?GyRCOzNFRBsoQg==?= <ann@ok.example>",
    b'"ann@ok.example" <ann@ok.example>', b"J\xc3\xb6rg <ann@ok.example>", b"ann@ok.example (Ann)",
    b"Ann O'Neill <ann@ok.example>", b"Who? Ann? <ann@ok.example>", b'"Who? Ann!" <ann@ok.example>',
    b'"=? Ann" <ann@ok.example>', b"Ann (at work) of Ok <ann@ok.example> (Sales (North))",
    b"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M=C3=BCller?=\r\n =?utf-8?q?_=40_Ok=3F?= (Sales) <ann@ok.example>",
    b"=?UTF-8?Q?J=C3=B6rg Mueller?= <ann@ok.example>", b'"=?utf-8?q?M=C3=BCller?=, =?utf-8?q?J=C3=B6rg?=" <ann@ok.example>',
    b"=?utf-8?b?5bGx55Sw5aSq6YOO?= (=?utf-8?q?B=C3=BCro?=) <ann@ok.example>", b"=?koi8-r?q?=E1=CE=CE=C1?= <ann@ok.example>",
    b"=?utf-8?q?Ann_=28ann=40ok.example=29?= <ann@ok.example>",
    b"ann@ok.example\r\nSender: x@lists.example", b"ann@ok.example\r\nReply-To: eve@evil.example\r\nTo: eve@evil.example",
]


@pytest.fixture(scope="module")
def ann(daemon):
    with Talk(daemon.port) as client:
        assert client.login("ann", "tiger").startswith("235")
        yield client


@pytest.mark.parametrize("value", FROM_REFUSED)
def test_from_refused(ann, value):
    reply = ann.mail("ann@ok.example", TO, text(value))
    assert reply.startswith("553 5.7.1 ann"), reply
    ann.expect("NOOP", "250")  # the next MAIL would be refused if the transaction were not over


@pytest.mark.parametrize("value", FROM_TAKEN)
def test_from_taken(ann, value):
    reply = ann.mail("ann@ok.example", TO, text(value))
    assert reply.startswith("250"), reply


def test_the_reply_names_login_address_and_field(ann):
    assert ann.mail("ann@ok.example", TO, text("eve@evil.example")) == \
        "553 5.7.1 ann may not send as eve@evil.example (From)"
    assert ann.mail("ann@ok.example", TO, text("ann@ok.example", b"Sender: <eve@evil.example>\r\n")) == \
        "553 5.7.1 ann may not send as eve@evil.example (Sender)"


def test_a_body_is_no_header(ann):
    data = b"From: ann@ok.example\r\n\r\nFrom: eve@evil.example\r\n"
    assert ann.mail("ann@ok.example", TO, data).startswith("250")


def test_one_wrong_author_refuses_it_for_all_recipients(ann):
    reply = ann.mail("ann@ok.example", ["x@one.example", "y@two.example", "z@three.example"], text("eve@evil.example"))
    assert reply.startswith("553")


def test_bdat(daemon):
    with Talk(daemon.port) as client:
        client.login("ann", "tiger")
        for value, code in ((b"eve@evil.example", "553"), (b"ann@ok.example", "250"),
                            (b"ann@ok.example,\r\n eve@evil.example", "553")):
            data = text(value)
            client.expect("MAIL FROM:<ann@ok.example>", "250")
            client.expect("RCPT TO:<x@dest.example>", "250")
            client.send(b"BDAT 9\r\n" + data[:9])  # the address is cut in two
            assert client.read_reply().startswith("250")
            client.send(b"BDAT %d LAST\r\n" % len(data[9:]) + data[9:])
            reply = client.read_reply()
            assert reply.startswith(code), reply


def test_pipelined():
    """A refused MAIL, with all that was sent on its back, makes no message; the next transaction is whole."""
    with Sink() as sink, Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK),
                                files={"auth.toml": REJECT}) as daemon:
        with Talk(daemon.port) as client:
            client.login("ann", "tiger")
            client.send(b"MAIL FROM:<eve@evil.example>\r\nRCPT TO:<x@dest.example>\r\nDATA\r\n"
                        b"MAIL FROM:<ann@ok.example>\r\nRCPT TO:<pipe@dest.example>\r\nDATA\r\n")
            codes = [client.read_reply()[:3] for _ in range(6)]
            assert codes == ["553", "503", "503", "250", "250", "354"]
            client.send(text("ann@ok.example") + b".\r\n")
            assert client.read_reply().startswith("250")
        [message] = sink.wait()
        assert "ann@ok.example" in message.sender and message.recipients == ["pipe@dest.example"]


# ---- bare line ends where the listener lets them pass ----

@pytest.mark.parametrize("data", [
    b"From: ann@ok.example\r\nSubject: x\rFrom: eve@evil.example\r\n\r\nb\r\n",
    b"From: ann@ok.example\r\nSubject: x\nFrom: eve@evil.example\r\n\r\nb\r\n",
    b"From: ann@ok.example,\r <eve@evil.example>\r\n\r\nb\r\n",
    b"From: ann@ok.example\r\n\rFrom: eve@evil.example\r\n\r\nb\r\n",
    b"From: ann@ok.example\r\n\x00From: eve@evil.example\r\n\r\nb\r\n",
    b"From: ann@ok.example\x00, eve@evil.example\r\n\r\nb\r\n",
])
def test_line_ends_that_readers_disagree_on(sink, data):
    lenient = QUICK + ", invalid_line_endings = 'Allow'"
    with Daemon(policy(SETUP, smart_host(sink.port), listener=lenient), files={"auth.toml": REJECT}) as daemon:
        assert send(daemon, "ann", "ann@ok.example", data).startswith("553 5.7.1 ann")
        assert send(daemon, "ann", "ann@ok.example", text("ann@ok.example")).startswith("250")


def test_line_ends_that_are_mended(sink):
    """What is checked is the text as it goes on."""
    mending = QUICK + ", invalid_line_endings = 'Fix'"
    with Daemon(policy(SETUP, smart_host(sink.port), listener=mending), files={"auth.toml": REJECT}) as daemon:
        for end in (b"\r", b"\n"):
            data = b"From: ann@ok.example\r\nSubject: x" + end + b"Sender: eve@evil.example\r\n\r\nb\r\n"
            assert send(daemon, "ann", "ann@ok.example", data) == "553 5.7.1 ann may not send as eve@evil.example (Sender)"


# ---- relaying without a line of Lua about it ----

def test_only_who_is_logged_in_may_relay(daemon, sink):
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect("MAIL FROM:<ann@ok.example>", "250")
        client.expect("RCPT TO:<x@dest.example>", "550 5.7.1 relaying not permitted")
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.starttls()
        client.expect("EHLO me", "250")
        client.expect("AUTH PLAIN " + base64.b64encode(b"\0ann\0lion").decode(), "535")
        assert client.mail("ann@ok.example", TO, text("ann@ok.example")).startswith("550 5.7.1 relaying")
        client.expect("RSET", "250")
        client.expect("AUTH PLAIN " + base64.b64encode(b"\0ann\0tiger").decode(), "235")
        assert client.mail("ann@ok.example", TO, text("ann@ok.example")).startswith("250")


DOMAIN = "kumo.on('get_listener_domain', function(domain)\n  return kumo.make_listener_domain " \
         "{ relay_to = domain == 'in.example' }\nend)\n"


@pytest.mark.parametrize("relay, handler, code", [
    ("", "", "250"), ("", DOMAIN, "550"), ("relay = true\n", DOMAIN, "250"), ("relay = true\n", "", "250"),
    ("relay = false\n", "", "550"),
])
def test_the_relay_setting(sink, relay, handler, code):
    files = {"auth.toml": USERS + "[identity]\n" + relay}
    with Daemon(policy(SETUP, handler, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        assert send(daemon, "ann", "ann@ok.example", text("ann@ok.example")).startswith(code)
        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            assert client.mail("ann@ok.example", TO, text("ann@ok.example")).startswith("550")


def test_a_handlers_own_users_do_not_relay_by_the_file(sink):
    parts = (SETUP, STATIC_USERS, smart_host(sink.port))
    with Daemon(policy(*parts, listener=QUICK), files={"auth.toml": USERS + "[identity]\nrelay = true\n"}) as daemon:
        with Talk(daemon.port) as client:
            assert client.login("scott", "tiger").startswith("235")
            assert client.mail("a@b.example", TO, text("a@b.example")).startswith("550 5.7.1 relaying")


# ---- the other modes ----

def test_log_mode(sink):
    files = {"auth.toml": USERS + "[identity]\nmode = 'log'\n"}
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        before = metric(daemon, "logged")
        assert send(daemon, "ann", "eve@evil.example", text("eve@evil.example")).startswith("250")
        daemon.err.wait(r"identity: ann may not send as eve@evil\.example: only logged")
        daemon.err.wait(r"identity: ann may not send as eve@evil\.example \(From\): only logged")
        assert metric(daemon, "logged") == before + 2
        assert metric(daemon, "refused") == 0


def test_off_mode(sink):
    files = {"auth.toml": USERS + "[identity]\nmode = 'off'\n"}
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        assert send(daemon, "ann", "eve@evil.example", text("eve@evil.example")).startswith("250")


def test_without_a_table_records_that_name_senders_are_kept(sink):
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files={"auth.toml": USERS}) as daemon:
        assert send(daemon, "ann", "eve@evil.example", text("ann@ok.example")).startswith("553")
        assert send(daemon, "bob@ok.example", "eve@evil.example", text("eve@evil.example")).startswith("250")
        assert send(daemon, "staffer", "eve@evil.example", text("eve@evil.example")).startswith("553")


@pytest.mark.parametrize("checks, sender, author, more, code", [
    ("['mail_from']", "ann@ok.example", "eve@evil.example", b"", "250"),
    ("['mail_from']", "eve@evil.example", "ann@ok.example", b"", "553"),
    ("['from']", "eve@evil.example", "ann@ok.example", b"Sender: eve@evil.example\r\n", "250"),
    ("['from']", "eve@evil.example", "eve@evil.example", b"", "553"),
    ("['sender']", "eve@evil.example", "eve@evil.example", b"Sender: ann@ok.example\r\n", "250"),
    ("['sender']", "eve@evil.example", "eve@evil.example", b"Sender: eve@evil.example\r\n", "553"),
    ("[]", "eve@evil.example", "eve@evil.example", b"", "250"),
])
def test_checks(sink, checks, sender, author, more, code):
    files = {"auth.toml": USERS + f"[identity]\nchecks = {checks}\n"}
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        assert send(daemon, "ann", sender, text(author, more)).startswith(code)


def test_no_null_sender(sink):
    files = {"auth.toml": USERS + "[identity]\nnull_sender = false\n"}
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        assert send(daemon, "ann", "", text("ann@ok.example")) == "553 5.7.1 ann may not send as <>"


# ---- rewrite ----

@pytest.fixture(scope="module")
def rewriting():
    with Sink() as sink:
        files = {"auth.toml": USERS + "[identity]\nmode = 'rewrite'\nsenders = ['@ok.example']\n"}
        with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files=files) as daemon:
            yield daemon, sink


def delivered(rewriting, user, sender, data):
    daemon, sink = rewriting
    before = len(sink.wait(0))
    assert send(daemon, user, sender, data).startswith("250")
    return sink.wait(before + 1)[before]


def test_rewritten(rewriting):
    message = delivered(rewriting, "ann", "eve@evil.example",
                        text(b"Eve\r\n <eve@evil.example>", b"X-Original-From: forged\r\n"))
    head = message.data.partition(b"\r\n\r\n")[0]
    assert "ann@ok.example" in message.sender and "evil" not in message.sender
    assert head.count(b"\r\nFrom: ") + head.startswith(b"From: ") == 1
    assert b"\nFrom: ann@ok.example\r\n" in b"\n" + head
    assert b"X-Original-From: Eve <eve@evil.example>\r\n" in head
    assert b"forged" not in head


def test_what_is_kept_cannot_break_out(rewriting):
    value = b'"a\x01b\xf6 =?utf-8?q?=0D=0ABcc:_x?=" <eve@evil.example>\r\nFrom: second@evil.example\r\nSender: eve@evil.example'
    head = delivered(rewriting, "ann", "ann@ok.example", text(value)).data.partition(b"\r\n\r\n")[0]
    lines = head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n")
    names = [line.partition(b":")[0].lower() for line in lines]
    assert names.count(b"from") == 1 and b"sender" not in names and b"bcc" not in names
    assert names.count(b"x-original-from") == 1 and names.count(b"x-original-sender") == 1
    [kept] = [line for line in lines if line.startswith(b"X-Original-From")]
    assert b"second@evil.example" in kept and b"\x01" not in kept and b"\xf6" not in kept


def test_what_is_right_is_left_alone(rewriting):
    head = delivered(rewriting, "ann", "ann@ok.example", text("Ann <ann@ok.example>")).data.partition(b"\r\n\r\n")[0]
    assert b"From: Ann <ann@ok.example>\r\n" in head and b"X-Original" not in head


def test_nothing_to_rewrite_to(rewriting):
    daemon, _ = rewriting
    assert send(daemon, "staffer", "eve@evil.example", text("x@staff.example")).startswith("553")
    assert send(daemon, "staffer", "x@staff.example", text("eve@evil.example")).startswith("553")
    message = delivered(rewriting, "bob@ok.example", "eve@evil.example", text("eve@evil.example"))
    assert "bob@ok.example" in message.sender and b"From: bob@ok.example\r\n" in message.data


# ---- rules that change ----

@pytest.mark.parametrize("more, then", [("", "553"), ("[identity]\nmode = 'rewrite'\nrewrite_to = 'no@reply.example'\n", "250")])
def test_new_rules_hold_in_sessions_that_began_before(sink, more, then):
    """Where senders are rewritten, the next MAIL is; and what it was rewritten to goes on, although it is not the user's."""
    with Daemon(policy(SETUP, smart_host(sink.port), listener=QUICK), files={"auth.toml": USERS}) as daemon:
        with Talk(daemon.port) as client:
            client.login("staffer", "tiger")
            client.expect("MAIL FROM:<x@staff.example>", "250")
            client.expect("RCPT TO:<a@dest.example>", "250")
            daemon.replace("auth.toml", USERS.replace("@staff.example", "@other.example") + more)
            daemon.reload()
            assert client.ask("RCPT TO:<b@dest.example>") == "553 5.7.1 staffer may not send as x@staff.example"
            client.expect("DATA", "503")
            client.expect("MAIL FROM:<x@other.example>", "250")
            client.expect("RSET", "250")
            client.expect("MAIL FROM:<x@staff.example>", then)
            if then == "250":
                client.expect("RCPT TO:<a@dest.example>", "250")


# ---- what policy sees, and says ----

LUA = """
kumo.on('smtp_server_authenticated', function(info, conn_meta)
  return { groups = { 'staff' } }
end)
kumo.on('smtp_server_mail_from', function(sender, conn_meta)
  kumo.reject(250 + 200, 'policy was asked')
end)
"""


def test_groups_that_a_policy_grants_count_and_refusals_come_first(sink):
    files = {"auth.toml": REJECT}
    with Daemon(policy(SETUP, LUA, smart_host(sink.port), listener=QUICK), files=files) as daemon:
        with Talk(daemon.port) as client:
            client.login("bob@ok.example", "tiger")
            client.expect("MAIL FROM:<x@staff.example>", "450")
            client.expect("MAIL FROM:<eve@evil.example>", "553")


ASK = """
kumo.on('smtp_server_ehlo', function(domain, conn_meta)
  local function say(what)
    return what == nil and 'nil' or tostring(what)
  end
  kumo.log_error('asked ' .. say(conn_meta:get_meta 'authn_id') .. ' ' ..
    table.concat(auth:tenants(conn_meta) or {}, '+') .. ' ' .. say(auth:may_use_tenant(conn_meta, 'blue')) .. ' ' ..
    say(auth:may_use_tenant(conn_meta, 'red')) .. ' ' .. say(auth:may_send_as(conn_meta, 'x@staff.example')) .. ' ' ..
    say(auth:may_send_as(conn_meta, 'eve@evil.example')))
end)
"""


def test_a_policy_can_ask_the_guard(sink):
    with Daemon(policy(SETUP, ASK, listener=QUICK), files={"auth.toml": REJECT}) as daemon:
        for user, said in (("staffer", "staffer blue true false true false"), ("free", "free  nil nil true true")):
            with Talk(daemon.port) as client:
                client.login(user, "tiger")
                client.expect("EHLO again", "250")
            daemon.err.wait("asked " + said)
        daemon.err.wait("asked nil  nil nil true true")


# ---- tenants ----

TENANTS = """
[user.one]
password = '{PLAIN}tiger'
tenant = 'blue'
[user.two]
password = '{PLAIN}tiger'
tenants = ['blue', 'green']
[user.grouped]
password = '{PLAIN}tiger'
groups = ['reds']
[user.none]
password = '{PLAIN}tiger'
[group.reds]
tenants = ['red']
[identity]
tenant_header = 'X-Tenant'
"""

NOTE = """
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  kumo.log_error('tenant is ' .. tostring(msg:get_meta 'tenant') .. ' for ' .. tostring(msg:recipient()))
end)
"""


@pytest.fixture(scope="module")
def tenants():
    with Sink() as sink:
        with Daemon(policy(SETUP, NOTE, smart_host(sink.port), listener=QUICK), files={"auth.toml": TENANTS}) as daemon:
            yield daemon, sink


@pytest.mark.parametrize("user, header, outcome", [
    ("one", b"", "blue"), ("two", b"", "blue"), ("grouped", b"", "red"), ("none", b"", "nil"),
    ("one", b"X-Tenant: blue\r\n", "blue"), ("two", b"X-Tenant: green\r\n", "green"),
    ("two", b"x-tenant :\r\n green\r\n", "green"), ("two", b"X-TENANT: green\r\nX-Tenant: green \r\n", "green"),
    ("one", b"X-Tenant: green\r\n", "550 5.7.1 one may not send as tenant 'green'"),
    ("grouped", b"X-Tenant: blue\r\n", "550 5.7.1 grouped may not send as tenant 'blue'"),
    ("none", b"X-Tenant: blue\r\n", "550 5.7.1 none may not send as tenant 'blue'"),
    ("two", b"X-Tenant: BLUE\r\n", "550 5.7.1"), ("two", b"X-Tenant: blue, green\r\n", "550 5.7.1"),
    ("two", b"X-Tenant: green\r\nX-Tenant: blue\r\n", "550 5.7.1"), ("one", b"x-tenant\t:\tgreen\r\n", "550 5.7.1"),
    ("one", b"X-Tenant:\r\n green\r\n", "550 5.7.1"), ("one", b"X-Tenant: gr\r\n een\r\n", "550 5.7.1"),
    ("one", b"\xef\xbb\xbfX-Tenant: green\r\n", "blue"), ("one", b"X-Tenant\xc2\xa0: green\r\n", "blue"),
    ("one", b" X-Tenant: green\r\n", "554 5.6.0"), ("one", b"X-Tenant\r\n : green\r\n", "blue"),
])
def test_tenants(tenants, user, header, outcome):
    daemon, sink = tenants
    with Talk(daemon.port) as client:
        client.login(user, "tiger")
        to = f"{user}{abs(hash((header, outcome)))}@dest.example"
        before = len(sink.wait(0))
        reply = client.mail("a@b.example", [to], header + text("a@b.example"))
        if outcome.startswith("55"):
            assert reply.startswith(outcome), reply
            return
        assert reply.startswith("250"), reply
        daemon.err.wait(f"tenant is {outcome} for {to}")
        assert b"x-tenant" not in sink.wait(before + 1)[before].data.lower()


def test_each_of_several_messages_is_the_tenants(tenants):
    daemon, _ = tenants
    with Talk(daemon.port) as client:
        client.login("two", "tiger")
        to = ["m1@one.example", "m2@two.example", "m3@three.example"]
        assert client.mail("a@b.example", to, b"X-Tenant: green\r\n" + text("a@b.example")).startswith("250")
    for one in to:
        daemon.err.wait(f"tenant is green for {one}")


QUEUES = """
tenant_header = 'X-Tenant'
remove_tenant_header = true
default_tenant = 'common'

[tenant.common]
[tenant.blue]
[tenant.green]
require_authz = ['two', 'none']
[tenant.red]
require_authz = ['somebody']
"""

HELPER = """
local queue_helper = require('policy-extras.queue'):setup { '@DIR@/queues.toml' }
kumo.on('smtp_server_message_received', function(msg, conn_meta)
  queue_helper:apply(msg, conn_meta)
  kumo.log_error('tenant is ' .. tostring(msg:get_meta 'tenant') .. ' for ' .. tostring(msg:recipient()))
end)
"""


@pytest.mark.parametrize("identity, user, header, outcome", [
    ("", "one", b"", "blue"), ("", "one", b"X-Tenant: blue\r\n", "blue"),
    ("", "one", b"X-Tenant: green\r\n", "550 5.7.1 authz_id 'one' is not authorized to send as tenant 'green'"),
    ("", "two", b"X-Tenant: green\r\n", "green"), ("", "two", b"", "blue"),
    ("", "none", b"", "common"), ("", "none", b"X-Tenant: green\r\n", "green"),
    ("", "none", b"X-Tenant: red\r\n", "550 5.7.1 authz_id 'none' is not authorized to send as tenant 'red'"),
    ("", "grouped", b"", "550 5.7.1 authz_id 'grouped' is not authorized to send as tenant 'red'"),
    ("[identity]\ntenant_header = 'X-Tenant'\n", "two", b"X-Tenant: green\r\n", "green"),
    ("[identity]\ntenant_header = 'X-Tenant'\n", "one", b"X-Tenant: green\r\n",
     "550 5.7.1 one may not send as tenant 'green'"),
])
def test_the_queue_helper_asks_the_same_guard(sink, identity, user, header, outcome):
    files = {"auth.toml": TENANTS.partition("[identity]")[0] + identity, "queues.toml": QUEUES}
    with Daemon(policy(SETUP, HELPER, listener=QUICK), files=files) as daemon:
        with Talk(daemon.port) as client:
            client.login(user, "tiger")
            reply = client.mail("a@b.example", TO, header + text("a@b.example"))
        if outcome.startswith("550"):
            assert reply.startswith(outcome), reply
        else:
            assert reply.startswith("250"), reply
            daemon.err.wait(f"tenant is {outcome} for x@dest.example")


ACTORS = """
[user.actor]
password = '{PLAIN}tiger'
may_act_as = ['two']
[user.served]
password = '{PLAIN}tiger'
may_act_as = ['two']
tenants = ['blue']
"""
OWN_WORD = """
kumo.on('smtp_server_auth_plain', function(authz, authc, password)
  return password == 'tiger' and { groups = {}, identities = {
    { identity = authz, context = 'SmtpAuthPlainAuthorization' },
    { identity = authc, context = 'SmtpAuthPlainAuthentication' } } }
end)
"""


@pytest.mark.parametrize("handler, user, header, outcome", [
    ("", "actor", b"X-Tenant: green\r\n", "550 5.7.1 authn_id 'actor' is not authorized to send as tenant 'green'"),
    ("", "actor", b"X-Tenant: own\r\n", "own"), ("", "actor", b"", "common"),
    ("", "served", b"X-Tenant: green\r\n", "550 5.7.1 authn_id 'served' is not authorized to send as tenant 'green'"),
    ("", "served", b"", "blue"),
    (OWN_WORD, "actor", b"X-Tenant: green\r\n", "green"),  # as with KumoMTA: the handler's word, and no record
    (OWN_WORD, "actor", b"X-Tenant: own\r\n", "550 5.7.1 authz_id 'two' is not authorized to send as tenant 'own'"),
])
def test_acting_as_another_lends_none_of_the_others_tenants(sink, handler, user, header, outcome):
    script = policy(SETUP, HELPER, handler, AUTHENTICATED_MAY_RELAY if handler else "", smart_host(sink.port), listener=QUICK)
    files = {"auth.toml": ACTORS, "queues.toml": QUEUES + "[tenant.own]\nrequire_authz = ['actor']\n"}
    with Daemon(script, files=files) as daemon:
        reply = send(daemon, user, "me@ok.example", text("me@ok.example", header), authz="two")
        if outcome.startswith("550"):
            assert reply == outcome
        else:
            assert reply.startswith("250"), reply
            daemon.err.wait(f"tenant is {outcome} for x@dest.example")


def test_faults_stop_the_start():
    for fault, complaint in (("[identity]\nmode = 'maybe'\n", "identity.mode"),
                             ("[group.g]\nsenders = ['a b']\n", "group.g.senders")):
        daemon = Daemon(policy(SETUP), files={"auth.toml": USERS + fault})
        ended = daemon.run_to_end()
        assert ended.returncode != 0
        assert complaint in json.dumps(ended.stderr if isinstance(ended.stderr, str) else ended.stderr.decode())
