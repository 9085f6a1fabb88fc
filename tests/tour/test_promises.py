# SPDX-License-Identifier: Apache-2.0
"""The table of promises names tests that exist, and tools/promises would say so if one did not."""

import re
import subprocess

from gatepost import BUILD, ROOT

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


def test_a_row_whose_tests_were_all_skipped_is_a_failure(tmp_path):
    """Death at a durable step, in a build that has none."""
    paragraphs = re.findall(r"^## (.*)$", PAGE.read_text(), re.M)
    page, row = tmp_path / "page.md", "| a promise | `tests/crash/test_kill.py::%s` | not run |\n"
    page.write_text("".join(f"## {paragraph}\n\n" + row % "test_death_at_each_durable_step" for paragraph in paragraphs))
    found = subprocess.run([ROOT / "tools" / "promises", "--page", page, "--fault", BUILD, "--run", "Operators"],
                           capture_output=True, text=True, check=False)
    assert found.returncode == 1 and "1 rows untried" in found.stdout, found.stdout
    assert re.search(r"^Operators: a promise: \d+ skipped$", found.stdout, re.M)
    assert re.search(r"\| \d+ skipped \|$", page.read_text(), re.M)
