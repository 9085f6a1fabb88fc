# SPDX-License-Identifier: Apache-2.0
"""Here and there an allocation is refused over a session, a delivery and a reload; tools/alloc-failure
does it for each."""

import memory
from crash import SEED
from faults import needs_libraries

TRIES = 60
STRIDE = 37


@needs_libraries
def test_want_of_memory_breaks_no_promise(capsys):
    figures = memory.run(first=1 + SEED % STRIDE, stride=STRIDE, most=TRIES)
    with capsys.disabled():
        print(f"\nmemory: {figures}, seed {SEED}")
    assert not figures.findings, "\n".join(figures.findings)
    assert figures.tried > 20, "hardly any allocation was refused: this proves nothing"
