# SPDX-License-Identifier: Apache-2.0
"""Couplings in integers: which skips need no mixing, and what energy the integers make."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import TINY, FabricConfig
from ornstein.host.compile.formats import (
    FormatError,
    choose_state,
    clipped_fraction,
    expect_states,
    realise_time_step,
)
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.relaxing import (
    QuantizedEnergy,
    quantize_energy,
    rank_values,
    sides_by_module,
)
from ornstein.host.compile.request import Request
from ornstein.sim.energy import Coupling, Energy, Module

GRAM = Coupling(("a",), (np.full((5, 1), 0.2),), np.full((1, 1, 1), 0.1))


def quantized(
    energy: Energy, config: FabricConfig = TINY, inputs: np.ndarray | None = None
) -> QuantizedEnergy:
    if inputs is None:
        inputs = np.random.default_rng(1).uniform(-1, 1, (3, energy.units))
    request = Request(toy(energies=(energy,)), config, inputs)
    step = realise_time_step(request)
    states = expect_states(request, step)
    return quantize_energy(request, 0, step, choose_state(request, step, states, 0), states)


def test_sides_are_listed_by_module_in_the_order_of_couplings():
    energy = replace(toy_energy(), couplings=(GRAM, *toy_energy().couplings))
    assert sides_by_module(energy) == {"a": [(0, 0), (1, 0)], "b": [(1, 1)]}


def test_a_skip_alone_needs_no_mixing():
    found = quantized(toy_energy())
    assert not found.mixes
    assert list(found.factors) == [(0, 0), (0, 1)]
    assert found.factors[0, 0].shape == (5, 2)


@pytest.mark.parametrize(
    ("energy", "config"),
    [
        (replace(toy_energy(), couplings=(GRAM, *toy_energy().couplings)), TINY),
        (replace(toy_energy(), couplings=(GRAM,)), TINY),
        (toy_energy(), replace(TINY, expand_shifts=(0, 2, 4))),
    ],
    ids=["beside another coupling", "a Gram term", "without all expand shifts"],
)
def test_other_couplings_are_mixed(energy, config):
    found = quantized(energy, config)
    assert set(found.mixes) == set(found.factors)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_realised_energy_is_that_of_the_integers(mixed):
    """The force on module a, computed from the integers as the fabric does, in state LSBs."""
    energy = toy_energy()
    if mixed:
        energy = replace(energy, couplings=(*energy.couplings, GRAM))
    found = quantized(energy)
    problem = toy(energies=(energy,))
    dt = realise_time_step(Request(problem, TINY, toy_inputs())).dt
    state = np.random.default_rng(5).normal(size=8)
    parts, force = energy.slices, np.zeros(5)
    for number, place in sides_by_module(energy)["a"]:
        coupling = energy.couplings[number]
        projected = [
            state[parts[name]]
            @ found.factors[number, term]
            * 2.0 ** -TINY.project_shifts[found.project_shift[number, term]]
            for term, name in enumerate(coupling.modules)
        ]
        if mixed:
            mix = found.mixes[number, place]
            word = sum(c * p for c, p in zip(mix.coefficients, projected, strict=True))
            word = word * 2.0 ** -TINY.project_shifts[mix.shift]
        else:
            word = projected[1 - place]
        force += found.factors[number, place] @ word
    force *= 2.0 ** -(TINY.coupling_bits + TINY.expand_shifts[found.expand_shift["a"]])
    coupled = found.realised.matrix() - 0.2 * np.eye(8)
    np.testing.assert_allclose(force, -dt * (coupled @ state)[parts["a"]], rtol=1e-9)
    np.testing.assert_allclose(found.realised.matrix(), energy.matrix(), atol=3e-4)


def test_projections_are_counted_against_16_bits():
    """Formats follow the expected states. One of four states that is far from them exceeds them in
    both modes of both modules, and after mixing.
    """
    energy = replace(toy_energy(), couplings=(*toy_energy().couplings, GRAM))
    found = quantized(energy)
    assert [row.clipped for row in found.ranges] == [0.0, 0.0]
    steps = np.concatenate([np.zeros((3, 8)), np.full((1, 8), 1e9)])
    values = rank_values(TINY, found, 0, steps)
    assert [part.shape for part in values] == [(4, 2)] * 4
    assert clipped_fraction(*values) == 1 / 4
    assert len(rank_values(TINY, quantized(toy_energy()), 0, steps)) == 2, "nothing is mixed"


def test_a_row_names_its_coupling_and_its_largest_entry():
    energy = toy_energy()
    (row,) = quantized(energy).ranges
    block = energy.couplings[0].block(0, 1)
    assert abs(row.requested) == np.abs(block).max()
    assert row.realised == pytest.approx(row.requested, abs=1e-3)
    assert row.bits == 12 and row.lsb == max(np.abs([row.low, row.high])) / 2047


def test_a_mode_that_a_module_takes_no_part_in_has_no_coefficient():
    factors = np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.5, 1.0]])
    mix = np.full((2, 2, 2), 0.05)
    energy = Energy((Module("a", 2), Module("b", 1)), (Coupling(("a", "b"), factors, mix),))
    found = quantized(energy)
    assert not found.mixes[0, 0].coefficients[:, 1].any()
    assert found.mixes[0, 1].coefficients[1, 1] and not found.mixes[0, 1].coefficients[0, 1]


def test_couplings_that_fit_no_format_are_refused():
    with pytest.raises(FormatError, match="the couplings of module 'a' fit no format of fabric"):
        quantized(replace(toy_energy(), couplings=(GRAM,)), replace(TINY, project_shifts=(1,)))


def test_a_matrix_that_loses_definiteness_by_its_bits_is_refused():
    """Twelve bits round this skip of 0.19995 up past the leak of 0.2; sixteen do not."""
    rng = np.random.default_rng(0)
    factor = np.linalg.qr(rng.normal(size=(6, 2)))[0]
    mix = np.zeros((2, 2, 2))
    mix[0, 1] = mix[1, 0] = 0.19995
    energy = Energy(
        (Module("a", 6), Module("b", 6)), (Coupling(("a", "b"), (factor, factor), mix),)
    )
    inputs = rng.normal(size=(3, 12))
    with pytest.raises(
        ProgramError,
        match="quantized to 12 bits M is no longer positive definite: its smallest eig",
    ):
        quantized(energy, TINY, inputs)
    quantized(energy, replace(TINY, name="fine", factor_width=16, accumulator_width=40), inputs)
