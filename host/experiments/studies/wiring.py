# SPDX-License-Identifier: Apache-2.0
"""Wiring: couplings that vary from device to device, and connections that are dead or stuck.

A connection is one entry of a coupling's factors, of which there are O(D k). The fabric holds them,
and a physical substrate would project and expand through the same devices, so M stays symmetric.
The interface is fitted to perfect couplings. On the axis "mismatch, refitted" that of the full
interface is fitted again to the couplings that vary; the aligned skip has no weights to refit.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.devices.imperfections import lost, mismatched
from ornstein.host.experiments.studies.analysis import Axis, Study, percent, sentence_of
from ornstein.host.experiments.studies.subject import (
    FULL,
    IDEAL,
    MODEL,
    PROGRAMS,
    PROSE,
    Subject,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
from ornstein.host.models import recipes
from ornstein.sim.energy import Coupling, Energy, EnergyError

VARIATIONS = (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1)
FRACTIONS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
MISMATCH, REFITTED, DEAD, STUCK = "mismatch", "mismatch, refitted", "dead", "stuck"
MISMATCH_AXES = (
    Axis(MISMATCH, "device variation of a connection, rms"),
    Axis(REFITTED, "device variation, rms; interface refitted"),
)
YIELD_AXES = (
    Axis(DEAD, "share of connections that are dead"),
    Axis(STUCK, "share of connections that are stuck"),
)
FABRIC = replace(REFERENCE, name="wide sums", accumulator_width=40)
"""Accumulators of 32 bits overflow with many stuck connections. Where they do not, wider ones give
the same answers."""


def disturbed(energy: Energy, change: Callable[[np.ndarray], np.ndarray]) -> Energy:
    """Returns the energy with ``change(factor)`` in place of every factor (units, rank)."""
    return replace(
        energy,
        couplings=tuple(
            Coupling(
                coupling.modules, tuple(change(factor) for factor in coupling.factors), coupling.mix
            )
            for coupling in energy.couplings
        ),
    )


def varied(energy: Energy, variation: float, rng: np.random.Generator) -> Energy:
    """Returns the energy with every connection times 1 + ``variation`` x a normal number."""
    return disturbed(
        energy, lambda factor: mismatched(factor, variation, rng.standard_normal(factor.shape))
    )


def broken(energy: Energy, fraction: float, stuck: bool, rng: np.random.Generator) -> Energy:
    """Returns the energy with each connection lost with probability ``fraction``.

    A lost connection is zero, or if it is ``stuck``, the largest magnitude of its column with
    either sign.
    """

    def change(factor: np.ndarray) -> np.ndarray:
        uniform = rng.random(factor.shape)
        return lost(
            factor, fraction, uniform, rng.choice((-1.0, 1.0), factor.shape) if stuck else None
        )

    return disturbed(energy, change)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Returns the scores over draws of the substrate.

    A substrate without an equilibrium scores 0, and is counted.
    """
    recipe = subject.recipes[program]
    scores, unstable = [], 0
    for rng in generators if value else generators[:1]:
        energy = _drawn(recipe.energy, axis, value, rng)
        try:
            energy.check()
        except EnergyError:
            unstable += 1
            scores.append(0.0)
            continue
        if axis == REFITTED:
            made = recipes.ours_full(subject.model, energy)
        else:
            made = replace(recipe, energy=energy)
        scores.append(subject.relaxed(made, fabric=FABRIC))
    return summary(MODEL, scores, unstable=unstable)


def _drawn(energy: Energy, axis: str, value: float, rng: np.random.Generator) -> Energy:
    """Returns one draw of the substrate that a point of an axis asks for."""
    if axis in (MISMATCH, REFITTED):
        return varied(energy, value, rng)
    if axis in (DEAD, STUCK):
        return broken(energy, value, axis == STUCK, rng)
    return energy


def conclude_mismatch(rows: list[dict]) -> str:
    """Returns one sentence on device variation."""
    where = sentence_of(rows, MISMATCH_AXES, percent)
    return PROSE("mismatch", plain=where[MISMATCH], refitted=where[REFITTED])


def conclude_yield(rows: list[dict]) -> str:
    """Returns one sentence on lost connections."""
    where = sentence_of(rows, YIELD_AXES, percent)
    return PROSE(
        "yield",
        dead=where[DEAD],
        stuck=where[STUCK],
        unstable=sum(row["unstable"] for row in rows),
        drawn=sum(row["draws"] for row in rows),
    )


_IDEAL = grid(program=PROGRAMS, axis=(IDEAL,), value=(0.0,))
STUDY_MISMATCH = Study(
    name="mismatch",
    question="How much may couplings vary from device to device?",
    axes=MISMATCH_AXES,
    points=(
        *_IDEAL,
        *grid(axis=(MISMATCH,), value=VARIATIONS, program=PROGRAMS),
        *grid(axis=(REFITTED,), value=VARIATIONS, program=(FULL,)),
    ),
    measure=measure,
    conclude=conclude_mismatch,
    draws=12,
    method=PROSE("mismatch_method"),
)
STUDY_YIELD = Study(
    name="yield",
    question="How many connections may be lost?",
    axes=YIELD_AXES,
    points=(*_IDEAL, *grid(axis=(DEAD, STUCK), value=FRACTIONS, program=PROGRAMS)),
    measure=measure,
    conclude=conclude_yield,
    draws=16,
    method=PROSE("yield_method"),
)
