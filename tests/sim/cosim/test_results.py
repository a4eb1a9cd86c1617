# SPDX-License-Identifier: Apache-2.0
"""Results of cosimulations: read from JUnit files, judged, and joined."""

from pathlib import Path

import pytest

from ornstein.sim.cosim import results
from ornstein.sim.cosim.results import Case, CosimulationError, Figure, Outcome

JUNIT = """<testsuites><testsuite name="bench">
<testcase classname="bench" name="holds" time="0.5"><properties>
<property name="sim_time_duration" value="120.0"/></properties></testcase>
<testcase classname="bench" name="differs" time="0.25">
<failure message="assert 1 == 2&#10; +  more"/></testcase>
<testcase classname="bench" name="waits" time="0"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def junit(tmp_path) -> Path:
    path = tmp_path / "results.xml"
    path.write_text(JUNIT)
    return path


def outcome(cases: list[Case]) -> Outcome:
    return Outcome(
        cases=cases, figures=[], seed=7, results=Path("r.xml"), log=Path("the.log"), waves=None
    )


def test_cases(junit):
    assert results.read_cases(junit) == [
        Case("bench", "holds", "passed", 0.5, 120.0),
        Case("bench", "differs", "failed", 0.25, 0.0, "assert 1 == 2"),
        Case("bench", "waits", "skipped", 0.0, 0.0),
    ]


def test_a_failure_names_test_seed_and_log(junit):
    cases = results.read_cases(junit)
    with pytest.raises(
        CosimulationError,
        match=r"1 of 2 tests failed with seed 7, first differs: assert 1 == 2; see the.log",
    ):
        outcome(cases).check()
    outcome(cases[:1]).check()


def test_no_test_is_a_failure(junit):
    for cases in ([], results.read_cases(junit)[2:]):
        with pytest.raises(CosimulationError, match=r"there was no test to run; see the.log"):
            outcome(cases).check()


def test_joined_results_keep_every_test(junit, tmp_path):
    target = tmp_path / "all.xml"
    results.join_results({"noise": junit, "top": junit}, target)
    found = results.read_cases(target)
    assert [case.module for case in found] == ["noise.bench"] * 3 + ["top.bench"] * 3
    assert [case.result for case in found] == ["passed", "failed", "skipped"] * 2


def test_figures(tmp_path, monkeypatch):
    path = tmp_path / "figures.jsonl"
    assert results.read_figures(path) == []
    monkeypatch.setenv(results.FIGURES, str(path))
    figures = [
        Figure(name="mean", measured=1.5, expected=1.0, error=0.25),
        Figure(name="variance", measured=1.0, expected=1.0, error=0.5, reference=1.25),
    ]
    for figure in figures:
        results.record(figure)
    assert results.read_figures(path) == figures
    assert [figure.deviation for figure in figures] == [2.0, 0.0]
