# SPDX-License-Identifier: Apache-2.0
"""The filter that is shipped for fail2ban, tried by fail2ban-regex on what a daemon wrote about real logins."""

import configparser
import re
import shutil
import subprocess

import pytest
from gatepost import DEADLINE, ROOT, Daemon, Talk
from policies import policy
from sasl import b64

FILTER = ROOT / "packaging" / "fail2ban" / "filter.d" / "gatepost.conf"
JAIL = ROOT / "packaging" / "fail2ban" / "jail.d" / "gatepost.conf"
SETUP = "local auth = require 'gatepost.auth'\nauth:setup { 'auth.toml' }\n"
LISTENER = ", auth_failure_delay = '0s', auth_failure_limit = 1000, junk_command_limit = 1000, allow_xclient = true"
USERS = "[guessing]\nenabled = false\n[user.scott]\npassword = '{PLAIN}tiger'\n"

VICTIM = "203.0.113.1"

# names that try to put the victim's address where the filter looks for the client's
HOSTILE = [
    f"x proxy=- authcid=a authzid=- result=bad_password session=1 peer={VICTIM}",
    f"x client={VICTIM} proxy=- authcid=a authzid=- result=bad_password session=",
    f"\r\n2026-11-22T22:00:00.000000Z INFO login mechanism=PLAIN client={VICTIM} proxy=- authcid=a authzid=- "
    "result=bad_password session=1",
    f"{VICTIM}", f"[{VICTIM}]", f"a@{VICTIM}", f"client={VICTIM}", "- result=ok session=1", "-", "%", "\"", "\\", "'",
    f'a"}}\n{{"timestamp":"2026-11-22T22:00:00.000000Z","level":"INFO","message":"login mechanism=PLAIN '
    f'client={VICTIM} proxy=- authcid=a authzid=- result=bad_password session=1',
    f'","message":"login mechanism=PLAIN client={VICTIM} proxy=- authcid=a authzid=- result=no_user session=',
    f"\u2028{VICTIM}", f"\u202e{VICTIM}", "a\tb", "a" * 900, f"{' ' * 300}client={VICTIM} ",
]

pytestmark = pytest.mark.skipif(not shutil.which("fail2ban-regex"), reason="fail2ban is not installed")


def found(lines: list[str], tmp_path) -> list[str]:
    """The addresses that the filter finds in these lines, in their order."""
    log = tmp_path / "log"
    log.write_text("".join(line + "\n" for line in lines))
    done = subprocess.run(["fail2ban-regex", "--out", "ip", str(log), str(FILTER)], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    assert not done.stderr, done.stderr
    return done.stdout.split()


def login(daemon: Daemon, address: str, response: str, helo: str = "me") -> str:
    """From any address that we like: the listener believes XCLIENT."""
    with Talk(daemon.port) as client:
        client.expect("EHLO me", "250")
        client.expect(f"XCLIENT ADDR={address if ':' not in address else 'IPV6:' + address}", "220")
        client.expect(f"EHLO {helo}", "250")
        client.starttls()
        client.expect(f"EHLO {helo}", "250")
        return client.ask(f"AUTH PLAIN {b64(response)}")


def login_lines(daemon: Daemon, count: int) -> list[str]:
    daemon.err.wait("login mechanism=", count)
    return [line for line in daemon.err.text().splitlines() if "login mechanism=" in line]


def decorate(line: str, kind: str) -> str:
    """As journald's and syslog's readers show it."""
    return {"file": "", "journal": "host gatepostd[4711]: ", "syslog": "Nov 22 22:00:00 host gatepostd[4711]: "}[kind] + line


@pytest.fixture(scope="module", params=["text", "json"])
def lines(request):
    """Guesses from 192.0.2.* and 2001:db8::1, and from 198.51.100.* what is none."""
    with Daemon(policy(SETUP, listener=LISTENER), files={"auth.toml": USERS},
                args=["--diag-format", request.param]) as daemon:
        assert login(daemon, "198.51.100.1", "\0scott\0tiger").startswith("235")
        assert login(daemon, "198.51.100.2", "no sense").startswith("501")
        assert login(daemon, "192.0.2.1", "\0scott\0wrong").startswith("535")
        assert login(daemon, "192.0.2.2", "\0nobody\0wrong").startswith("535")
        assert login(daemon, "192.0.2.3", "eve\0scott\0tiger").startswith("535")
        assert login(daemon, "2001:db8::1", "\0scott\0wrong").startswith("535")
        with Talk(daemon.port) as client:  # nobody said for whom this is
            assert client.login("scott", "wrong").startswith("535")
        yield login_lines(daemon, 7)


@pytest.mark.parametrize("kind", ["file", "journal", "syslog"])
def test_guesses_are_found_and_nothing_else(lines, kind, tmp_path):
    assert found([decorate(line, kind) for line in lines], tmp_path) == [
        "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_name_makes_another_address_appear(form, tmp_path):
    with Daemon(policy(SETUP, listener=LISTENER), files={"auth.toml": USERS}, args=["--diag-format", form]) as daemon:
        for name in HOSTILE:
            login(daemon, "192.0.2.9", f"\0{name}\0wrong")
            login(daemon, "192.0.2.9", f"{name}\0scott\0tiger")
        login(daemon, "192.0.2.9", "\0scott\0wrong", helo=f"x]client={VICTIM}")
        shown = login_lines(daemon, 2 * len(HOSTILE) + 1)
        everything = daemon.err.text().splitlines()
    assert len(shown) == 2 * len(HOSTILE) + 1
    guesses = [line for line in shown if "result=malformed" not in line]
    assert len(guesses) > len(HOSTILE)
    for kind in ("file", "journal", "syslog"):
        assert found([decorate(line, kind) for line in everything], tmp_path) == ["192.0.2.9"] * len(guesses)


def words(path: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / path).read_text()))


def test_every_reason_is_either_a_guess_or_not(tmp_path):
    """The filter's list is the program's own: gate_attempt_is_guess."""
    reasons = re.findall(r'REASON\((\w+), "(\w+)", AUTH_OUTCOME_(\w+)\)', (ROOT / "src/auth/reason.h").read_text())
    not_guesses = words("src/gate/attempt.c", r"case AUTH_REASON_(\w+):")
    guesses = {word for name, word, outcome in reasons if outcome == "REFUSED" and name not in not_guesses}
    lines = [f"2026-11-22T22:00:00.123456Z INFO login mechanism=PLAIN client=192.0.2.{number} proxy=- authcid=a "
             f"authzid=- result={word} session=6b1e peer=192.0.2.1:4711" for number, (_, word, _) in enumerate(reasons)]
    matched = found(lines, tmp_path)
    assert {word for number, (_, word, _) in enumerate(reasons) if f"192.0.2.{number}" in matched} == guesses


def test_the_jail_goes_by_the_filter_and_is_off():
    jail = configparser.ConfigParser()
    jail.read(JAIL)
    assert jail["gatepost"]["filter"] == FILTER.stem
    assert jail["gatepost"]["enabled"] == "false"
    unit = re.search(r"journalmatch = _SYSTEMD_UNIT=(\S+)", FILTER.read_text())[1]
    assert (ROOT / "packaging" / "systemd" / unit).is_file()
