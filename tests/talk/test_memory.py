# SPDX-License-Identifier: Apache-2.0
"""What the daemon's memory holds when logins are over."""

import os
import re
import shutil
import subprocess
import urllib.request

import pytest
from gatepost import BUILD, DEADLINE, Daemon, Talk
from test_audit import (AUTH_TOML, KEY, PASSWD, QUICK, SETUP, accounting, auth, b64, claims, key_set, oauthbearer,
                        plain, secure, spellings)


def is_sanitized() -> bool:
    text = (BUILD / "src" / "gatepostd").read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


@pytest.mark.skipif(not shutil.which("gcore") or is_sanitized() or os.geteuid() != 0,
                    reason="needs root, gcore, and a program of the usual size")
def test_no_secret_stays_in_memory(tmp_path):
    """Where the store has a hash, what a client said is gone when its login is over; a cut connection is an end too.
    Not so where a Lua handler was told a password: Lua frees its strings, and wipes none."""
    token = KEY.mint(claims("https://id.example", "ann"))
    bad_token = KEY.mint(claims("https://other.example", "ann"))
    hashed = "$6$rounds=1000$saltsalt$7hDy.dMiDulXrQRhqJAfnrX/Kto5IHlwaaMWV0.t6L4k5cyiSgHVmxIYAgoRUb2y13YMgLCAorxzCoZnLmWdp1"
    rules = AUTH_TOML + f"[user.hashed]\npassword = '{hashed}'\n"
    next_token = KEY.mint(claims("https://next.example", "ann"))
    said = ["memory-canary-" + letter * 12 for letter in "pqrst"]

    def cut(daemon):
        with secure(daemon) as client:
            client.expect("AUTH LOGIN", "334")
            client.expect(b64("hashed"), "334")
            client.send(b64(said[3])[:-4])

    def in_pieces(daemon):
        with secure(daemon) as client:
            for piece in re.findall(r".{1,3}", f"AUTH {plain('hashed', said[4] + 'x' * 600)}"):
                client.send(piece)
            client.send(b"\r\n")
            assert client.read_reply().startswith("535")

    def all_are_gone():
        """The last session has left, and what it left behind is gone when the one worker greets again."""
        while "\nconnection_count{service=\"esmtp_listener\"} 0\n" not in urllib.request.urlopen(
                daemon.http + "/metrics", timeout=DEADLINE).read().decode():
            pass
        Talk(daemon.port).close()

    with Daemon(accounting(SETUP, listener=QUICK), files={"auth.toml": rules, "keys.json": key_set(), "passwd": PASSWD},
                args=["--workers", "1"]) as daemon:
        for run in (auth(plain("hashed", said[0])), auth("LOGIN", b64("hashed"), b64(said[1])), auth(plain("nobody", said[2])),
                    cut, in_pieces, auth(oauthbearer(token)), auth(oauthbearer(bad_token)),
                    auth(oauthbearer(next_token))):  # whoever looks into the last one may still have it in hand
            run(daemon)
        daemon.wait_records(lambda record: True, "acct", 8)
        all_are_gone()
        subprocess.run(["gcore", "-o", str(tmp_path / "core"), str(daemon.process.pid)], capture_output=True, check=True,
                       timeout=10 * DEADLINE)
        memory = next(tmp_path.glob("core.*")).read_bytes()
    assert len(memory) > 1 << 20 and b"hashed" in memory
    secrets = (*said, token.split(".")[2], bad_token.split(".")[2])
    assert not [shown for secret in secrets for shown in spellings(secret) if memory.find(shown) >= 0]
