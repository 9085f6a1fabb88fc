# SPDX-License-Identifier: Apache-2.0
"""What bench/run --quick calls a finding; the servers themselves are measured by tools/check."""

import importlib.machinery
import importlib.util

import pytest
from gatepost import ROOT


@pytest.fixture(scope="module")
def bench():
    loader = importlib.machinery.SourceFileLoader("bench_run", str(ROOT / "bench" / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench_run", loader))
    loader.exec_module(module)
    return module


def measured(bench, failures: int = 0, refused_us: float = 400) -> dict:
    def one(us, failed=0):
        return [{"failures": failed, "cpu_us_per_unit": us}]

    return {("session", "ceiling"): one(372), ("session", bench.STATIC): one(390), ("session", "postfix"): one(1060),
            ("refused", bench.STATIC): one(refused_us, failures), ("refused", "postfix"): one(1193)}


def test_what_is_as_usual_is_no_finding(bench):
    assert bench.out_of_bounds(measured(bench)) == []


def test_a_session_that_failed_is_a_finding(bench):
    assert bench.out_of_bounds(measured(bench, failures=1)) == [f"refused: 1 sessions with {bench.STATIC} failed"]


def test_refusals_have_bounds(bench):
    found = bench.out_of_bounds(measured(bench, refused_us=1100))
    assert len(found) == 2 and all(finding.startswith("refused: ") for finding in found)


def test_every_row_has_a_bound_against_postfix(bench):
    assert set(bench.LEAST_TIMES_BELOW_POSTFIX) == {*bench.ROWS, "idle"}
