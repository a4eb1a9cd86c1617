# SPDX-License-Identifier: Apache-2.0
"""The page about a program: every module, coupling, pass, format and memory of it is there."""

import re

import numpy as np
import pytest

from helpers.programs import toy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.regmap import Space
from ornstein.hdl.schedule import step_cycles
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.pages import program_page
from ornstein.host.pages.program_page import memory_use, write_program_page


@pytest.fixture(scope="module")
def program():
    return compile_problem(toy(), TINY, toy_inputs(3))


def test_the_page_is_one_file_with_every_section(program, tmp_path):
    path = write_program_page(program, tmp_path / "new" / "toy.html")
    assert [file.name for file in path.parent.iterdir()] == ["toy.html"]
    text = path.read_text()
    assert re.findall(r'<h2 id="[^"]*">(.*?)</h2>', text) == [
        "Modules and couplings",
        "Spectra",
        "Passes",
        "Number formats",
        "Memory map",
    ]
    assert "<script src" not in text and "<link" not in text


def test_modules_and_couplings(program):
    section = program_page.modules(program)
    energy = program.problem.energies[0]
    names = {text for trace in section.exhibits[0].figure.data for text in trace.hovertext or ()}
    assert {f"{module.name}: {module.units:,} units" for module in energy.modules} <= names
    assert [row[:2] for row in section.grids[0].rows] == [
        (" - ".join(coupling.modules), coupling.rank) for coupling in energy.couplings
    ]


def test_spectra_are_those_of_the_quantized_energy(program):
    """The strength of a mode is its singular value where factors are orthogonal."""
    section = program_page.spectra(program)
    asked, realised = section.exhibits[0].figure.data
    np.testing.assert_allclose(realised.y, np.linalg.eigvalsh(program.matrices[0])[::-1])
    np.testing.assert_allclose(
        asked.y, np.linalg.eigvalsh(program.problem.energies[0].matrix())[::-1]
    )
    assert len(section.exhibits[1].figure.data) == len(program.realised[0].couplings)


def test_passes_add_up_to_the_schedule(program):
    section = program_page.passes(program)
    schedule = program.schedule
    assert len(section.grids) == len(schedule)
    for grid, (_, steps) in zip(section.grids, schedule, strict=True):
        assert sum(row[-1] for row in grid.rows) == step_cycles(program.config, steps)
    drawn = sum(sum(bar.x) for bar in section.exhibits[0].figure.data)
    assert drawn == program.input_cycles * program.layout.chains


def test_formats(program):
    section = program_page.formats(program)
    assert [row[0] for row in section.grids[0].rows] == [row.name for row in program.ranges]
    (bars,) = section.exhibits[0].figure.data
    assert max(bars.x) <= 100


def test_memories_hold_the_program_once(program):
    """No two parts overlap, and the descriptors and factors are all there."""
    use = memory_use(program)
    depths = {Space.FACTOR: TINY.factor_depth, Space.STATE: TINY.state_depth}
    for space, parts in use.items():
        taken = [word for _, first, words in parts for word in range(first, first + words)]
        assert len(taken) == len(set(taken)), space
        assert max(taken) < depths.get(space, TINY.drive_depth)
    assert sum(words for _, _, words in use[Space.DESCRIPTOR]) == len(program.descriptors)
    assert sum(words for _, _, words in use[Space.FACTOR]) == len(program.factor)
