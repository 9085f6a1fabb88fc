# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md has every metric that a daemon shows, with its kind, and shows none that a daemon does not have."""

import re
import urllib.request

from gatepost import DEADLINE, ROOT, Daemon, Talk
from policies import policy

AUTH = """
[store.people]
driver = 'passwd-file'
path = '@DIR@/people'
[budget.each]
messages_per_day = 9
"""


def shown() -> set[tuple[str, str]]:
    """Of a daemon that has a store and a budget, and has let somebody in."""
    script = policy("require('gatepost.auth'):setup { 'auth.toml' }")
    with Daemon(script, files={"auth.toml": AUTH, "people": "ada:{PLAIN}tiger\n"}) as daemon:
        with Talk(daemon.port) as client:
            assert client.login("ada", "tiger").startswith("235")
            assert client.mail("ada@here.example", ["you@there.example"], b"Subject: s\r\n\r\n").startswith("250")
        with urllib.request.urlopen(daemon.http + "/metrics", timeout=DEADLINE) as answer:
            return set(re.findall(r"^# TYPE (\S+) (\S+)$", answer.read().decode(), re.M))


def written() -> set[tuple[str, str]]:
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `([^`{]+)[^`]*` \| (\w+) \|", page, re.M)
    return set(rows + re.findall(r"^- `([^`{]+)[^`]*` \((\w+)\): ", page, re.M))


def test_the_page_and_a_daemon_have_the_same_metrics():
    assert shown() == written()
