# SPDX-License-Identifier: Apache-2.0
"""The large hierarchy: it fits, it is counted right, and it is held against the integer model."""

import pytest

from ornstein.boards.baseline import baseline
from ornstein.hdl.config import ICEBREAKER, REFERENCE, ULX3S
from ornstein.host.devices.comparison import ModelMismatchError
from ornstein.host.devices.fabric import FabricDevice
from ornstein.host.experiments.bench.large import SD15_CHANNELS, block_rams, large_figures
from ornstein.host.experiments.bench.programs import skip_program


def test_stable_diffusion_shape_fits_the_large_fabric():
    program = skip_program(ULX3S, SD15_CHANNELS, 16, steps=1)
    assert program.problem.energies[0].units == 7040
    program.check_fits(ULX3S)
    assert block_rams(ULX3S) <= 208


def test_block_rams_are_those_of_the_build():
    assert block_rams(ULX3S) == baseline()["boards"]["ulx3s"]["block_ram"]


def test_small_fabric_takes_few_block_rams():
    assert block_rams(ICEBREAKER) < block_rams(ULX3S)


def small(channels=(16, 32), steps=8):
    (row,) = large_figures(lambda what: None, REFERENCE, channels, steps)
    return row


def test_the_figure_is_the_cycles_of_a_step_over_their_bound():
    row = small()
    assert row.reference == 4 * 48 * 16 / REFERENCE.lanes
    assert row.reference < row.value < 3 * row.reference
    words = len(skip_program(REFERENCE, (16, 32), 16, 8).factor)
    assert f"4 modules, rank 16, {REFERENCE.lanes} lanes, 8 steps" in row.note
    assert f"{words} of {REFERENCE.factor_depth} factor words" in row.note
    assert f"about {block_rams(REFERENCE)} of 208" in row.note
    assert small((16, 64)).value > 1.3 * row.value


def test_a_bit_that_differs_from_the_model_is_an_error(monkeypatch):
    run = FabricDevice.run

    def wrong(device, inputs, **options):
        outputs = run(device, inputs, **options)
        outputs.sums[1, 2] ^= 1
        return outputs

    monkeypatch.setattr(FabricDevice, "run", wrong)
    with pytest.raises(ModelMismatchError, match="1 of 192 differ, first unit 2 of input 1"):
        small()
