# SPDX-License-Identifier: Apache-2.0
"""Every policy in the documentation loads, and no link in it leads nowhere.

A Lua block behind the comment "policy" is a whole policy; a block behind "file: NAME" is the
data file /etc/gatepost/NAME of the policies on the same page.
"""

import re
import shutil

import pytest
from gatepost import ROOT, Daemon

PAGES = sorted(page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
POLICY = re.compile(r"^<!-- policy -->\n+```lua\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"^<!-- file: (\S+) -->\n+```\w+\n(.*?)^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def policies():
    for page in PAGES:
        for number, text in enumerate(POLICY.findall(page.read_text()), 1):
            yield pytest.param(page, text, id=f"{page.relative_to(ROOT)}-{number}")


def own_paths(text: str) -> str:
    """Paths of the page under the test's folder."""
    return re.sub(r"/(?:var/spool|var/log|etc)/gatepost", "@DIR@", text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_policies_on_the_main_pages():
    pages = {param.values[0].name for param in policies()}
    assert {"README.md", "lua.md", "operating.md"} <= pages


@pytest.mark.parametrize("page, text", policies())
def test_policy_validates(page, text):
    files = {name: own_paths(content) for name, content in FILE.findall(page.read_text())}
    daemon = Daemon(own_paths(text), files=files)
    try:
        result = daemon.run_to_end("--validate")
    finally:
        shutil.rmtree(daemon.dir, ignore_errors=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for path, anchor in LINK.findall(page.read_text()):
        if "://" in path:
            continue
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target.read_text()), f"{path}#{anchor}"
