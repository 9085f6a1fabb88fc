# SPDX-License-Identifier: Apache-2.0
"""Puts tests/support on the path; fixtures that several files share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from gatepost import Sink  # noqa: E402


@pytest.fixture
def sink():
    with Sink() as made:
        yield made
