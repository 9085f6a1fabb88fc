# SPDX-License-Identifier: Apache-2.0
"""tools/allocations counts, and what it counts is about what docs/performance.md says."""

import re
import subprocess

import pytest
from gatepost import BUILD, ROOT

ROW = re.compile(r"^\| (session: .*|10 KB message in a long session, .*) \| (\d+) \|$", re.M)

pytestmark = pytest.mark.skipif(not (BUILD / "tests" / "fault" / "libgatepost-fail-allocation.so").exists(),
                                reason="a sanitizer build, which no library is preloaded into")


def rows(text: str) -> dict[str, int]:
    return {name: int(count) for name, count in ROW.findall(text)}


def test_allocations_are_as_documented():
    page = (ROOT / "docs" / "performance.md").read_text()
    documented = rows(page.split("\n## Allocations\n")[1].split("\n## ")[0])
    counted = rows(subprocess.run([ROOT / "tools" / "allocations", "--units", "40", "--build", BUILD], capture_output=True,
                                  text=True, check=True).stdout)
    assert counted.keys() == documented.keys() and len(counted) == 4
    for name, count in counted.items():
        # another version of a library may take some more or fewer
        assert documented[name] / 1.5 < count < documented[name] * 1.5, name
