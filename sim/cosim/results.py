# SPDX-License-Identifier: Apache-2.0
"""What a cosimulation gives: the result of each test, and the figures that tests have measured."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

FIGURES = "FIGURES"
"""Environment variable of a cocotb module: the file to which :func:`record` appends."""


class CosimulationError(RuntimeError):
    """Tests under a simulator failed, or there were none; one line that names the log."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A quantity that a test has measured on the gateware, beside its theory.

    Attributes
    ----------
    name : what was measured, and under which conditions
    measured : its value on the gateware
    expected : its exact value
    error : standard error of ``measured``
    reference : what the float64 reference of :mod:`ornstein.sim.reference` gives in as many steps;
        None where it was not run
    """

    name: str
    measured: float
    expected: float
    error: float
    reference: float | None = None

    @property
    def deviation(self) -> float:
        """Distance of measurement and theory in standard errors."""
        return (self.measured - self.expected) / self.error


def record(figure: Figure) -> None:
    """Notes a figure for whoever runs the cosimulation; call it in a cocotb test."""
    with open(os.environ[FIGURES], "a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(figure)) + "\n")


def read_figures(path: Path) -> list[Figure]:
    """Returns the figures that were recorded in a file; none if it does not exist."""
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass(frozen=True)
class Case:
    """One test of a cosimulation.

    Attributes
    ----------
    module, name : of the cocotb test
    result : ``passed``, ``failed`` or ``skipped``
    seconds : time that it took
    nanoseconds : simulated time that it took
    message : why it failed, in one line; empty otherwise
    """

    module: str
    name: str
    result: str
    seconds: float
    nanoseconds: float
    message: str = ""


def read_cases(path: Path) -> list[Case]:
    """Returns the tests of a JUnit file, in the order in which they ran."""
    cases = []
    for test in ElementTree.parse(path).getroot().iter("testcase"):
        unsound = [part for tag in ("failure", "error") for part in test.findall(tag)]
        lines = [line for part in unsound for line in (part.get("message") or "").splitlines()]
        result = "failed" if unsound else "passed" if test.find("skipped") is None else "skipped"
        properties = {item.get("name", ""): item.get("value", "") for item in test.iter("property")}
        cases.append(
            Case(
                module=test.get("classname", ""),
                name=test.get("name", ""),
                result=result,
                seconds=float(test.get("time", 0)),
                nanoseconds=float(properties.get("sim_time_duration", 0)),
                message=next(iter(lines), ""),
            )
        )
    return cases


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of one cosimulation.

    Attributes
    ----------
    cases : its tests
    figures : what they have measured
    seed : the seed of their random numbers
    results : their results as JUnit XML
    log : what simulator and tests have printed
    waves : the waveforms, an FST file; None if they were not asked for
    """

    cases: list[Case]
    figures: list[Figure]
    seed: int
    results: Path
    log: Path
    waves: Path | None

    @property
    def failed(self) -> list[Case]:
        return [case for case in self.cases if case.result == "failed"]

    def check(self) -> None:
        """Raises CosimulationError if a test failed, or if none ran."""
        ran = [case for case in self.cases if case.result != "skipped"]
        if not ran:
            raise CosimulationError(f"there was no test to run; see {self.log}")
        if self.failed:
            first = self.failed[0]
            raise CosimulationError(
                f"{len(self.failed)} of {len(ran)} tests failed with seed {self.seed}, first "
                f"{first.name}: {first.message or 'no message'}; see {self.log}"
            )


def join_results(parts: dict[str, Path], target: Path) -> None:
    """Writes JUnit files as one; each test's class begins with the name of its part."""
    joined = ElementTree.Element("testsuites", name="cosim")
    for name, path in parts.items():
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            suite.set("name", name)
            for test in suite.iter("testcase"):
                test.set("classname", f"{name}.{test.get('classname', '')}")
            joined.append(suite)
    ElementTree.ElementTree(joined).write(target, encoding="utf-8", xml_declaration=True)
