# SPDX-License-Identifier: Apache-2.0
"""Annealing: where an energy ends when it is cooled."""

import itertools

import numpy as np
import pytest

from ornstein.host import Energy, anneal
from ornstein.host.devices.device import DeviceError
from ornstein.sim.energy import EnergyError

WELLS = Energy.from_precision(-np.eye(3), j4=0.25)
COOLING = [1.0, 0.5, 0.25, 0.125, 0.0]


def test_every_chain_ends_in_a_well():
    """E = sum of -z^2 / 2 + z^4 / 4, whose wells at +-1 have the energy -1/4 each."""
    ended = anneal(WELLS, COOLING, chains=6)
    assert ended.final.shape == (6, 3)
    np.testing.assert_allclose(abs(ended.final), 1.0, atol=0.01)
    np.testing.assert_allclose(ended.energies, -0.75, atol=1e-3)
    assert len(np.unique(np.sign(ended.final), axis=0)) > 1
    assert ended.energies[np.argmin(ended.energies)] == WELLS.value(ended.best)


def test_the_final_state_is_the_last_one():
    """At constant temperature on float64, where every step can be made again."""
    one = anneal(WELLS, [0.5], steps=9, chains=2, device="float")
    more = anneal(WELLS, [0.5, 0.5], steps=5, chains=2, device="float")
    assert [stage.steps for stage in one.program.problem.stages] == [9, 1]
    assert [stage.steps for stage in more.program.problem.stages] == [5, 5, 1]
    assert one.final.shape == more.final.shape == (2, 3)
    last = one.program.problem.stages[-1]
    assert last.accumulate and one.program.problem.samples == 1
    np.testing.assert_allclose(one.realised.kT, 0.5)


def test_a_frustrated_graph_ends_in_its_ground_state():
    """A ring of five units whose neighbours must differ: one bond always stays unsatisfied. The
    lowest energy is found by trying all signs."""
    edges = [(i, (i + 1) % 5) for i in range(5)]
    graph = Energy.from_edges(5, edges, -0.5, diagonal=-1.0, j4=0.25)
    ended = anneal(graph, [1.0, 0.5, 0.2, 0.05, 0.0], steps=200, chains=8)
    signs = np.sign(ended.best)
    bonds = {
        tuple(s): sum(s[i] * s[j] for i, j in edges)
        for s in itertools.product((-1.0, 1.0), repeat=5)
    }
    assert bonds[tuple(signs)] == min(bonds.values())


def test_a_bias_chooses_the_well():
    ended = anneal(WELLS, COOLING, bias=[0.3, -0.3, 0.3], chains=4)
    np.testing.assert_array_equal(np.sign(ended.best), [1, -1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"T": [1.0, -1.0]}, "T must be temperatures of 0 or more"),
        ({"T": []}, "T must be temperatures"),
        ({"T": 1.0, "steps": 0}, "steps = 0 must be at least 1"),
        ({"T": 1.0, "chains": 0}, "chains = 0 must be at least 1"),
        ({"T": 1.0, "bias": np.zeros(4)}, "bias must be 3 finite numbers"),
    ],
)
def test_what_is_wrong_is_named(arguments, message):
    with pytest.raises(EnergyError, match=message):
        anneal(WELLS, **arguments)


def test_the_closed_form_device_cannot_anneal():
    with pytest.raises(DeviceError, match="use 'float'"):
        anneal(Energy.from_precision(np.eye(2)), [1.0, 0.0], device="float:exact")
