# SPDX-License-Identifier: Apache-2.0
"""tools/check-hardening passes what is built, and finds each thing that a binary lacks."""

import re
import shutil
import subprocess

import pytest
from gatepost import BUILD, ROOT

CHECK = ROOT / "tools" / "check-hardening"
PLAIN = not any(word in BUILD.name for word in ("asan", "tsan", "coverage", "fuzz"))
# what a compiler that hardens by default is told to leave out, and what the tool must say then
WITHOUT = [
    (["-no-pie", "-fno-pie"], "not position-independent"), (["-Wl,-z,norelro"], "no RELRO"), (["-Wl,-z,lazy"], "lazy binding"),
    (["-Wl,-z,execstack"], "executable stack"), (["-fno-stack-protector"], "no stack protector"), (["-U_FORTIFY_SOURCE"], "no fortified calls"),
    (["-fcf-protection=none"], "no control-flow protection"), (["-Wl,-rpath,/tmp"], "a search path for libraries"),
]
GOOD = ["-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-fcf-protection=full", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",
        "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    char text[64], copy[64];
    if (argc > 1 && fgets(text, argc, stdin)) {
        strcpy(copy, text);
        printf("%s%s", copy, argv[0]);
    }
    return 0;
}
"""


def check(*programs) -> subprocess.CompletedProcess:
    return subprocess.run([CHECK, *programs], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not PLAIN, reason="a build for tests only")
@pytest.mark.parametrize("program", ["gatepostd", "gatectl"])
def test_what_is_shipped_is_hardened(program):
    path = next(path for path in BUILD.rglob(program) if path.is_file())
    found = check(path)
    assert found.returncode == 0, found.stdout


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a compiler")
@pytest.mark.parametrize("without, complaint", WITHOUT, ids=[complaint for _, complaint in WITHOUT])
def test_what_is_left_out_is_found(tmp_path, without, complaint):
    (tmp_path / "main.c").write_text(PROGRAM)
    command = ["cc", *GOOD, *without, "-o", str(tmp_path / "program"), str(tmp_path / "main.c")]
    subprocess.run(command, check=True, capture_output=True)
    found = check(tmp_path / "program")
    assert found.returncode == 1 and re.search(rf"program: .*{complaint}", found.stdout), found.stdout
