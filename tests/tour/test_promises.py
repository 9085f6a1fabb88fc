# SPDX-License-Identifier: Apache-2.0
"""The table of promises names tests that exist, and tools/promises would say so if one did not."""

import subprocess

from gatepost import ROOT

PAGE = ROOT / "docs" / "security" / "promises.md"


def check(page) -> subprocess.CompletedProcess:
    return subprocess.run([ROOT / "tools" / "promises", "--page", page], capture_output=True, text=True, check=False)


def test_every_promise_has_tests_that_exist():
    found = check(PAGE)
    assert found.returncode == 0, found.stdout


def test_a_test_that_is_gone_is_missed(tmp_path):
    text = PAGE.read_text()
    for old, new in (("test_auth.py::test_failed_handshake_closes", "test_auth.py::test_that_nobody_wrote"),
                     ("tests/fuzz/smtp_data.c", "tests/fuzz/nothing.c")):
        assert old in text
        page = tmp_path / "page.md"
        page.write_text(text.replace(old, new))
        found = check(page)
        assert found.returncode == 1 and "there is no" in found.stdout


def test_a_paragraph_without_promises_is_missed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text().replace("## Dependencies\n", "## Something else\n"))
    found = check(page)
    assert found.returncode == 1 and "Dependencies: nothing is promised" in found.stdout
