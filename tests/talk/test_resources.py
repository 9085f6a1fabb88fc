# SPDX-License-Identifier: Apache-2.0
"""What runs out: descriptors, memory for mail, a policy's patience. Others are unharmed."""

import resource
import subprocess

from gatepost import Daemon, Lines, Sink, Talk
from policies import MESSAGE, RELAY_FROM_LOOPBACK, policy, smart_host


class Limited(Daemon):
    """With few descriptors."""

    def start(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))

        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self.env,
                                        stdin=subprocess.DEVNULL, cwd=self.dir, preexec_fn=limit)
        self.err = Lines(self.process.stderr)
        self.err.wait("initialization complete")
        return self


def cpu_seconds(daemon: Daemon) -> float:
    fields = open(f"/proc/{daemon.process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def is_let_in(client: Talk) -> bool:
    try:
        return client.read_reply().startswith("220")
    except (EOFError, ConnectionError):
        return False


def test_no_descriptors_left():
    with Sink() as sink, Limited(policy(smart_host(sink.port), listener=RELAY_FROM_LOOPBACK)) as daemon:
        clients = []
        turned_away = 0
        while turned_away < 3 and len(clients) < 300:
            client = Talk(daemon.port, banner=False)
            if is_let_in(client):
                clients.append(client)
            else:
                turned_away += 1
                client.close()
        assert turned_away == 3 and len(clients) > 10
        before = cpu_seconds(daemon)
        clients[0].expect("EHLO me", "250")  # those who are in go on
        assert clients[0].mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        sink.wait()  # delivering and writing records have a reserve
        daemon.wait_records(lambda record: record["type"] == "Delivery")
        assert cpu_seconds(daemon) - before < 2
        for client in clients[1:]:
            client.close()
        late = Talk(daemon.port, banner=False)
        while not is_let_in(late):  # its place is free once the server has seen the ends
            late.close()
            late = Talk(daemon.port, banner=False)
        for client in (late, clients[0]):
            client.close()


RUNAWAY = """
kumo.on('smtp_server_mail_from', function(sender)
  if sender.user == 'loop' then
    while true do end
  elseif sender.user == 'guarded' then
    while true do pcall(function() while true do end end) end
  elseif sender.user == 'memory' then
    local all = {}
    local piece = string.rep('x', 1000) -- Lua copies as often as it is told to: a million times is long under a sanitizer
    while true do table.insert(all, string.rep(piece, 1000)) end
  elseif sender.user == 'deep' then
    local function down(n) return 1 + down(n + 1) end
    down(1)
  elseif sender.user == 'coroutine' then
    coroutine.wrap(function() while true do end end)()
  elseif sender.user == 'string' then
    string.rep('x', 1 << 40)
  end
end)
"""


def test_runaway_policy_is_a_temporary_failure_and_others_are_unharmed():
    with Daemon(policy(RUNAWAY, listener=RELAY_FROM_LOOPBACK), args=["--workers", "1"]) as daemon:
        for kind in ("loop", "guarded", "memory", "deep", "coroutine", "string"):
            with Talk(daemon.port) as client:
                client.expect("EHLO me", "250")
                client.expect(f"MAIL FROM:<{kind}@b.example>", "451")
                assert client.mail("fine@b.example", ["c@d.example"], MESSAGE).startswith("250")


def test_mail_without_end_is_bounded():
    with Daemon(policy(listener=RELAY_FROM_LOOPBACK + ", max_message_size = 100000")) as daemon:
        def rss() -> int:
            return int(open(f"/proc/{daemon.process.pid}/statm").read().split()[1]) * 4

        with Talk(daemon.port) as client:
            client.expect("EHLO me", "250")
            client.expect("MAIL FROM:<a@b.example>", "250")
            client.expect("RCPT TO:<c@d.example>", "250")
            client.expect("DATA", "354")
            before = rss()
            line = b"x" * 98 + b"\r\n"
            for _ in range(300):
                client.send(line * 1000)
            assert rss() - before < 20000
            client.send(b".\r\n")
            assert client.read_reply().startswith("552 5.3.4")
            assert client.mail("a@b.example", ["c@d.example"], MESSAGE).startswith("250")
        with Talk(daemon.port) as client:  # a header that never ends, and commands that do not either
            client.expect("EHLO me", "250")
            reply = client.mail("a@b.example", ["c@d.example"], b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n")
            assert reply[:3] in ("250", "552", "554")
            client.expect(b"MAIL FROM:<" + b"a" * 20000 + b"@b>", "5")
