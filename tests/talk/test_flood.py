# SPDX-License-Identifier: Apache-2.0
"""Bad logins against users with argon2id, while good clients send and newcomers log in: the short form of bench/flood.

A busy machine is not the program's fault, so the bound on times is wide and may be missed once; that nobody good is
refused, and that memory stays bounded, is part of both tries. And what bench/flood cannot see: a crowd that waits for
its hashes does not keep a newcomer from another network waiting.
"""

import re
import subprocess
import sys
import threading

import pytest
from gatepost import BUILD, DEADLINE, ROOT, Daemon, Talk
from policies import policy
from sasl import Scram

SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
# of "tiger", at the usual cost
STORED = ("$argon2id$v=19$m=19456,t=2,p=1$qEPyS36XmKgEW+pdbbPQhw$ur3hIqZiwxqsnRkRKpfDP1b2BAtBf6+zw3R1U10QUMg")
CROWD, NEWCOMER = "127.0.0.3", "127.0.0.4"
# asked for keys, which take as long to make as is allowed
HANDLER = """
kumo.on('smtp_server_auth_scram', function(authc, mechanism, conn_meta)
  return { password = 'tiger', iterations = 100000 }
end)
"""


@pytest.mark.skipif(not (BUILD / "bench" / "bench-load").exists(), reason="the load generator is not built")
@pytest.mark.skipif(bool(re.search(rb"__[at]san_init", (BUILD / "src" / "gatepostd").read_bytes())),
                    reason="what sanitizers make of times is no measure")
def test_good_clients_do_not_notice_a_flood():
    for _ in range(2):
        done = subprocess.run([sys.executable, ROOT / "bench" / "flood", "--quick"], capture_output=True, text=True,
                              timeout=10 * DEADLINE, check=False)
        complaints = done.stderr.splitlines()
        assert not [line for line in complaints if "refused" in line or "memory" in line], done.stderr
        if done.returncode == 0:
            return
    pytest.fail(done.stdout + done.stderr)


@pytest.mark.parametrize("handlers, guessed, answers, right, welcome", [
    ("", "AUTH PLAIN AHZpY3RpbQBsaW9u", {"535", "454"}, "AUTH PLAIN AGFubgB0aWdlcg==", "235"),  # victim, lion; ann, tiger
    (HANDLER, "AUTH SCRAM-SHA-256 " + Scram("victim", "").first(), {"334", "454"},
     "AUTH SCRAM-SHA-256 " + Scram("ann", "").first(), "334 "),
], ids=["passwords", "keys for a handler"])
def test_a_full_queue_has_room_for_another_network(handlers, guessed, answers, right, welcome):
    """One thread, eight places; the crowd takes them all, and those of it beyond come again and again."""
    users = f"[user.ann]\npassword = '{STORED}'\n[user.victim]\npassword = '{STORED}'\n"
    rules = "[guessing]\nenabled = false\n[password]\nthreads = 1\nqueue_limit = 8\n"
    replies, is_full, is_over = [], threading.Event(), threading.Event()

    def guess():
        with Talk(daemon.port, source=CROWD) as client:
            client.expect("EHLO crowd.example", "250")
            client.starttls()
            client.expect("EHLO crowd.example", "250")
            while not is_over.is_set():
                reply = client.ask(guessed)
                replies.append(reply[:3])
                if reply.startswith("334"):
                    client.ask("*")
                if reply.startswith("454"):
                    is_full.set()

    listener = ", auth_failure_delay = '0s', auth_failure_limit = 1000, junk_command_limit = 10000, relay_hosts = {}"
    with Daemon(policy(SETUP, handlers, listener=listener), files={"auth.toml": rules + users}) as daemon:
        crowd = [threading.Thread(target=guess) for _ in range(40)]
        for thread in crowd:
            thread.start()
        with Talk(daemon.port, source=NEWCOMER) as client:
            client.expect("EHLO new.example", "250")
            client.starttls()
            client.expect("EHLO new.example", "250")
            try:
                assert is_full.wait(DEADLINE)
                client.expect(right, welcome)
            finally:
                is_over.set()
        for thread in crowd:
            thread.join(DEADLINE)
        assert set(replies) <= answers
