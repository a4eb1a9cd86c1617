# SPDX-License-Identifier: Apache-2.0
"""The large shape on its fabric, against its closed form and the model it imitates."""

import numpy as np
import pytest

from ornstein.hdl.config import ULX3S
from ornstein.host.experiments.bench.large import SD15_CHANNELS, block_rams
from ornstein.host.experiments.hierarchy.large import (
    LEADING,
    MEASURED_LEADING,
    MEASURED_SPECTRUM,
    SPECTRUM,
    large_program,
    run_large,
    scheduled_cycles,
    synthetic_energy,
)
from ornstein.host.physics.couplings import gram


def test_stable_diffusion_shape_fits_the_ulx3s():
    energy = synthetic_energy()
    assert [module.units for module in energy.modules[::2]] == list(SD15_CHANNELS)
    assert energy.units == 7040 and energy.couplings[0].rank == 16
    assert energy.eigenvalues()[0] > 0.03
    program = large_program(energy)
    program.check_fits(ULX3S)
    assert block_rams(ULX3S) <= 208
    assert scheduled_cycles(program) <= 1.1 * 4 * sum(SD15_CHANNELS) * 16 / 128


def test_a_large_hierarchy_relaxes_to_its_closed_form():
    large = run_large(sizes=(40, 80, 160), inputs=2)
    assert large.saturations == 0
    assert max(large.error.values()) < 0.01 < 0.1 < min(large.uncoupled.values())
    assert set(large.words) == {"factor", "state", "drive", "descriptor"}
    assert all(used <= there for used, there in large.words.values())


def test_the_spectrum_quoted_beside_the_synthetic_one_is_that_of_the_model(levels):
    leading, powers = {"e": [], "d": []}, []
    for name, weight in levels.by_module("W_enc", "W_dec").items():
        values = np.sort(np.linalg.eigvalsh(gram(weight)))[::-1]
        half = len(values) // 2
        ranks = np.arange(1, half + 1)
        powers.append(np.polyfit(np.log(ranks), np.log(values[:half]), 1)[0])
        leading[name[0]].append(values[0])
    assert (max(powers), min(powers)) == pytest.approx(MEASURED_SPECTRUM, abs=0.005)
    for side, quoted in MEASURED_LEADING.items():
        assert sorted(leading[side]) == pytest.approx(quoted, abs=0.0005)
        assert min(leading[side]) * 0.9 < LEADING[side] < max(leading[side])
    assert min(powers) < SPECTRUM < max(powers)


def test_the_large_numbers_are_those_of_its_energy_and_program():
    large = run_large(sizes=(40, 80), inputs=2)
    other = run_large(sizes=(60, 100), inputs=2)
    energy = synthetic_energy((40, 80))
    values = energy.eigenvalues()
    assert large.units == energy.units == 240
    assert large.eigenvalues == pytest.approx((values[0], values[-1]))
    assert large.cycles == scheduled_cycles(large_program(energy))
    assert large.bound == pytest.approx(4 * 120 * 16 / 128)
    for name in ("cycles", "bound", "eigenvalues", "error", "coefficients", "uncoupled", "words"):
        assert getattr(large, name) != getattr(other, name), name
    for module, error in large.error.items():
        assert 0 < large.coefficients[module] < error < 0.01 < large.uncoupled[module]
