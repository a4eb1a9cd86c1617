# SPDX-License-Identifier: Apache-2.0
"""Memories are filled from the bottom, in a fixed order, and refuse what they cannot hold."""

from dataclasses import replace

import numpy as np
import pytest

from helpers.programs import toy, toy_energy, toy_inputs
from ornstein.hdl.config import TINY
from ornstein.hdl.timing import Timing
from ornstein.host.compile.allocation import Allotment, allocate_vectors, store_factors
from ornstein.host.compile.conditioning import QuantizedInterface, QuantizedLayer
from ornstein.host.compile.program import ProgramError
from ornstein.host.compile.relaxing import Mix, QuantizedEnergy
from ornstein.host.compile.request import Request
from ornstein.host.physics.interface import Interface, Layer
from ornstein.sim.energy import Coupling

LANES = replace(TINY, name="lanes", rank_lanes=2, unit_lanes=2)
"""Words of two ranks, of two units, and of four factors."""
ONE_BEAT = replace(LANES, name="one beat", descriptor_width=128)
"""The same, where a whole descriptor is read in one cycle."""
LAYER = Layer("input", np.ones((3, 2)), None, np.ones((2, 5)), "a")
NOTHING = QuantizedInterface((), np.zeros((256, 2), np.int16), {}, ())


def layer_of(project: np.ndarray, expand: np.ndarray) -> QuantizedLayer:
    return QuantizedLayer(LAYER, project, 0, expand, 0)


def energy_of(factors, mixes=None, couplings=None) -> QuantizedEnergy:
    energy = toy_energy() if couplings is None else replace(toy_energy(), couplings=couplings)
    return QuantizedEnergy(energy, factors, {}, {}, mixes or {}, energy, ())


def test_words_are_handed_out_from_the_bottom():
    rank = Allotment("rank_depth", replace(TINY, name="small", rank_depth=8))
    assert [rank.take(3), rank.take(0), rank.take(5)] == [0, 3, 3]
    with pytest.raises(
        ProgramError, match="the program needs rank_depth >= 9, but fabric 'small' has 8; lower the"
    ):
        rank.take(1)


# ---- factors -------------------------------------------------------------------------------------


def test_without_factors_the_image_is_empty():
    found = store_factors(LANES, (), (energy_of({}, couplings=()),), 1)
    assert found.image.shape == (0, 4) and found.image.dtype == np.int16


def test_layers_come_before_energies():
    layer = layer_of(np.full((3, 2), 7), np.full((5, 2), 8))
    energy = energy_of({(0, 0): np.full((5, 2), 1), (0, 1): np.full((3, 2), 2)})
    found = store_factors(LANES, (layer,), (energy,), 1)
    assert (found.layers[0].project, found.layers[0].expand) == (0, 2)
    assert found.energies[0].module == {"a": 5, "b": 8}
    assert found.image[:, 0].tolist() == [7, 7, 8, 8, 8, 1, 1, 1, 2, 2]
    assert found.image[1].tolist() == [7, 7, 0, 0], "three units fill one and a half words"


def test_couplings_of_a_module_lie_side_by_side_and_coefficients_behind():
    """Module a has two rank words of a skip of rank three, then one of a Gram term."""
    skip = Coupling(("a", "b"), (np.ones((5, 3)), np.ones((3, 3))), np.ones((2, 2, 3)))
    gram = Coupling(("a",), (np.ones((5, 1)),), np.ones((1, 1, 1)))
    factors = {(0, 0): np.full((5, 4), 1), (0, 1): np.full((3, 4), 2), (1, 0): np.full((5, 2), 3)}
    mixes = {
        (0, 0): Mix(np.array([[1, 2, 3, 0], [4, 5, 6, 0]]), 0),
        (1, 0): Mix(np.array([[9, 0]]), 0),
        (0, 1): Mix(np.array([[1, 2, 3, 0], [4, 5, 6, 0]]), 0),
    }
    found = store_factors(LANES, (), (energy_of(factors, mixes, (skip, gram)),), 4)
    (placed,) = found.energies
    assert placed.module == {"a": 0, "b": 9}
    assert placed.module_rank_words == {"a": 3, "b": 2}
    assert placed.first_rank_word == {(0, 0): 0, (1, 0): 2, (0, 1): 0}
    assert found.image[:9, 0].tolist() == [1, 1, 3] * 3
    assert placed.coefficients == {(0, 0): 13, (1, 0): 17, (0, 1): 18}
    assert set(placed.mixed_chains.values()) == {1}, "a module with two couplings keeps them apart"
    assert found.image[13:18].tolist() == [
        [1, 2, 0, 0],
        [4, 5, 0, 0],
        [3, 0, 0, 0],
        [6, 0, 0, 0],
        [9, 0, 0, 0],
    ]


@pytest.mark.parametrize(("chains", "together"), [(1, 1), (2, 1), (4, 2), (8, 2)])
def test_one_pass_mixes_chains_until_the_next_is_fetched(chains, together):
    """A pass is fetched in four cycles; one chain of rank two is mixed in two."""
    assert Timing.of(ONE_BEAT).fetch == 4
    factors = {(0, 0): np.full((5, 2), 1), (0, 1): np.full((3, 2), 2)}
    mixes = {side: Mix(np.array([[3, 4], [5, 6]]), 0) for side in factors}
    found = store_factors(ONE_BEAT, (), (energy_of(factors, mixes),), chains)
    (placed,) = found.energies
    assert placed.mixed_chains == dict.fromkeys(factors, together)
    assert placed.coefficients == {(0, 0): 5, (0, 1): 5 + 2 * together}
    coefficients = [[3, 4, 0, 0], [5, 6, 0, 0]] * together * 2
    assert found.image[5:].tolist() == coefficients, "so that all chains are mixed alike"


def test_coefficients_are_stored_once_where_there_is_no_room_for_more():
    factors = {(0, 0): np.full((5, 2), 1), (0, 1): np.full((3, 2), 2)}
    energy = energy_of(factors, {side: Mix(np.array([[3, 4], [5, 6]]), 0) for side in factors})
    for depth, together in ((13, 2), (12, 1), (9, 1)):
        config = replace(ONE_BEAT, name="small", factor_depth=depth)
        found = store_factors(config, (), (energy,), 4)
        assert set(found.energies[0].mixed_chains.values()) == {together}
        assert len(found.image) == 5 + 4 * together


def test_too_many_factors_are_refused():
    energy = energy_of({(0, 0): np.ones((5, 2)), (0, 1): np.ones((3, 2))})
    with pytest.raises(ProgramError, match="needs factor_depth >= 5, but fabric 'small' has 4"):
        store_factors(replace(LANES, name="small", factor_depth=4), (), (energy,), 1)


# ---- vectors -------------------------------------------------------------------------------------


def test_modules_start_words_and_chains_follow_each_other():
    found = allocate_vectors(Request(toy(), LANES, toy_inputs()), NOTHING, chains=2)
    assert found.module_parts == found.input_parts == ((0, 5), (3, 3))
    assert (found.state_words, found.input_words) == (5, 5)
    assert (found.input_word, found.bank_offset, found.constant_word) == (0, 10, 20)
    assert found.state_of("b", 1) == 5 + 3 and found.input_of(1) == 5
    assert found.bias_of("a", 0) is None and found.constants.shape == (0, 2)


def test_bias_sets_follow_each_other_in_an_input():
    request = Request(toy(bias_sets=2), LANES, np.zeros((1, 16)))
    found = allocate_vectors(request, NOTHING, chains=1)
    assert found.input_parts == ((0, 5), (3, 3), (5, 5), (8, 3)) and found.input_words == 10


def test_biases_lie_behind_the_inputs():
    """Three words of a bias of module a for each chain, then two of the constants of b."""
    interface = Interface(np.zeros(3), np.ones(3), (LAYER,), {})
    request = Request(toy(entry="interface", interface=interface), LANES, np.zeros((1, 3)))
    quantized = QuantizedInterface(
        (layer_of(np.ones((3, 2)), np.ones((5, 2))),),
        NOTHING.activation,
        {"b": np.array([1.0, 2.0, 3.0])},
        (),
    )
    found = allocate_vectors(request, quantized, chains=2)
    assert found.input_parts == ((0, 3),) and found.bank_offset == 4
    assert found.produced == {"a": (8, 11)} and found.constant == {"b": 14}
    assert found.constants.tolist() == [[1, 2], [3, 0]]
    assert (found.bias_of("a", 1), found.bias_of("b", 1)) == (11, 14)


@pytest.mark.parametrize(("memory", "needed"), [("state_depth", 10), ("drive_depth", 20)])
def test_too_many_vectors_are_refused(memory, needed):
    small = replace(LANES, name="small", **{memory: 8})
    with pytest.raises(ProgramError, match=f"needs {memory} >= {needed}, but fabric 'small' has 8"):
        allocate_vectors(Request(toy(), small, toy_inputs()), NOTHING, chains=2)
