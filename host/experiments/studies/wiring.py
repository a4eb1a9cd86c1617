# SPDX-License-Identifier: Apache-2.0
"""Wiring: couplings that vary from device to device, and connections that are dead or stuck.

A connection is one entry of a coupling's factors, O(D k) of them, as the fabric holds them and as a
substrate that projects and expands through the same devices would; M stays symmetric. The interface
is the one fitted to perfect couplings, or, on the axis that says so, fitted again to the couplings
as they came out.
"""

from dataclasses import replace

import numpy as np

from ornstein.hdl.config import REFERENCE
from ornstein.host.experiments.studies.analysis import Axis, Study, percent, sentence_of
from ornstein.host.experiments.studies.subject import (
    ALIGNED,
    BUILDERS,
    FULL,
    IDEAL,
    MODEL,
    PROGRAMS,
    Subject,
    summary,
)
from ornstein.host.experiments.studies.sweep import grid
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
"""Many stuck connections overflow 32-bit accumulators; wider ones give the same answers otherwise.
"""


def disturbed(energy: Energy, change) -> Energy:
    """The energy with ``change(factor)`` in place of every factor (units, rank)."""
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
    """Every connection times 1 + ``variation`` times a normal number of its own."""
    return disturbed(
        energy, lambda factor: factor * (1 + variation * rng.standard_normal(factor.shape))
    )


def broken(energy: Energy, fraction: float, stuck: bool, rng: np.random.Generator) -> Energy:
    """Each connection lost with probability ``fraction``: zero, or at its column's largest
    magnitude, either sign.
    """

    def change(factor: np.ndarray) -> np.ndarray:
        lost = rng.random(factor.shape) < fraction
        value = np.abs(factor).max(axis=0) * rng.choice((-1.0, 1.0), factor.shape) if stuck else 0.0
        return np.where(lost, value, factor)

    return disturbed(energy, change)


def measure(
    subject: Subject, generators: list[np.random.Generator], program: str, axis: str, value: float
) -> dict:
    """Scores over draws of the substrate. One that no longer has an equilibrium answers nothing:
    score 0, counted.
    """
    recipe = subject.recipes[program]
    scores, unstable = [], 0
    for rng in generators if value else generators[:1]:
        if axis in (MISMATCH, REFITTED):
            energy = varied(recipe.energy, value, rng)
        elif axis in (DEAD, STUCK):
            energy = broken(recipe.energy, value, axis == STUCK, rng)
        else:
            energy = recipe.energy
        try:
            energy.check()
        except EnergyError:
            unstable += 1
            scores.append(0.0)
            continue
        made = (
            BUILDERS[program](subject.model, energy)
            if axis == REFITTED
            else replace(recipe, energy=energy)
        )
        # stuck connections can stiffen M until the usual step is too long
        scores.append(
            subject.relaxed(made, fabric=FABRIC, dt=min(1.0, 1 / float(energy.eigenvalues()[-1])))
        )
    return summary(MODEL, scores, unstable=unstable)


def conclude_mismatch(rows: list[dict]) -> str:
    """One sentence."""
    where = sentence_of(rows, MISMATCH_AXES, percent)
    return (
        f"The score loses 1 % at a device variation of {where[MISMATCH]}; with the interface fitted again to the "
        f"couplings as they came out, at {where[REFITTED]}."
    )


def conclude_yield(rows: list[dict]) -> str:
    """One sentence."""
    where = sentence_of(rows, YIELD_AXES, percent)
    unstable = sum(row["unstable"] for row in rows)
    return (
        f"The score loses 1 % when {where[DEAD]} of the connections are dead, or {where[STUCK]} stuck; "
        f"{unstable} of {sum(row['draws'] for row in rows)} drawn substrates had no equilibrium left."
    )


_IDEAL = grid(program=PROGRAMS, axis=(IDEAL,), value=(0.0,))
_METHOD = (
    "Every draw is a substrate of its own: its couplings are compiled and run on the integer model (bit for bit "
    "the gateware) at kT = 0. Error bars are standard errors over the substrates drawn. "
)
STUDY_MISMATCH = Study(
    name="mismatch",
    question="How much may couplings vary from device to device?",
    axes=MISMATCH_AXES,
    points=(
        *_IDEAL,
        *grid(axis=(MISMATCH,), value=VARIATIONS, program=PROGRAMS),
        *grid(axis=(REFITTED,), value=VARIATIONS, program=(FULL, ALIGNED)),
    ),
    measure=measure,
    conclude=conclude_mismatch,
    draws=12,
    method=_METHOD
    + "A connection is one entry of a factor, shared by projection and expansion; variations are normal "
    "and independent. The paper's gradient-trained interface is not refitted.",
)
STUDY_YIELD = Study(
    name="yield",
    question="How many connections may be lost?",
    axes=YIELD_AXES,
    points=(*_IDEAL, *grid(axis=(DEAD, STUCK), value=FRACTIONS, program=PROGRAMS)),
    measure=measure,
    conclude=conclude_yield,
    draws=16,
    method=_METHOD
    + "Each connection, an entry of a factor, is lost independently: dead is zero, stuck is the largest "
    "magnitude of its column with either sign. A substrate without an equilibrium scores 0.",
)
