# SPDX-License-Identifier: Apache-2.0
"""Experiment A: how far the skip moves the decoder, by rank, by dimension and by signs of modes.

The float64 column is the paper's linear solve, the gateware column the relaxation at kT = 0.
"""

from collections.abc import Iterator

import numpy as np

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.gateware import relax
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.scoring import agrees, script_cosine
from ornstein.host.experiments.paper.subjects import (
    Subject,
    decoder_part,
    halves,
    oracle_bias,
    without_skip,
)
from ornstein.sim.energy import Energy, EnergyError

RANKS = (2, 4, 8, 16, 32, 48, 64)
PAPER_RANK = 16
"""Rank of the skip in the paper's other experiments."""
SIGN_DRAWS = 200
"""Random choices of the signs of singular vectors whose spread is given."""

SHIFT, SKIP_NORM = "decoder shift, %", "|J_skip|_F"
SHIFT_SPREAD = "shift over inputs, spread / mean, %"
LARGEST_SHIFT = "largest mean shift of one dimension"
SMALLEST_EIGENVALUE = "smallest eigenvalue of M"
LOWEST, MEDIAN, HIGHEST = (
    f"skip-only cosine, {which} over signs" for which in ("lowest", "median", "highest")
)
"""Quantities of the table."""


def skip_coupling(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment A."""
    experiment = Experiment("A", "Skip coupling")
    for subject in subjects:
        say(f"A: skip coupling, {subject.name}")
        _by_rank(experiment, subject, runner, np.random.default_rng(seed))
        _skip_only_signs(experiment, subject, np.random.default_rng(seed))
        _rank_one(experiment, subject)
    return experiment


def skip_shifts(energy: Energy, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns what the skip moves each decoder by, (n, D).

    The bias b = [A x; B y] would hold the decoder at y without a skip.
    """
    return decoder_part(energy, energy.mean(oracle_bias(energy, x, y))) - y


def relative(shifts: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the length (n,) of each shift in percent of its target's."""
    return 100 * np.linalg.norm(shifts, axis=1) / np.linalg.norm(y, axis=1)


def sign_draws(
    subject: Subject, rank: int, y: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yields the decoder's distance (n, D) from y under b = [A x; B y], for random signs of modes.

    There are SIGN_DRAWS of them. J_skip = P Q' has few modes, so with u = P'x_eq and v = Q'y_eq the
    equilibrium is u = P'x - P'A^-1 P v and v = Q'y - Q'B^-1 Q u; signs multiply the columns of P.
    """
    energy, x = subject.energy(rank), subject.model.x_test
    a, _, b = halves(energy)
    skip = energy.couplings[-1]
    p, q = skip.factors[0] * skip.mix[0, 1], skip.factors[1]
    out = np.linalg.solve(b, q)
    inner_p, inner_q, seen = p.T @ np.linalg.solve(a, p), q.T @ out, x @ p
    for signs in rng.choice([-1.0, 1.0], (SIGN_DRAWS, rank)):
        signed = inner_p * np.outer(signs, signs)
        u = np.linalg.solve(np.eye(rank) - signed @ inner_q, (seen * signs - y @ q @ signed).T)
        yield -(out @ u).T


def sign_spread(subject: Subject, rank: int, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the smallest and the largest mean shift in percent over random signs of modes."""
    y = subject.model.y_test
    found = [relative(shifts, y).mean() for shifts in sign_draws(subject, rank, y, rng)]
    return min(found), max(found)


def _by_rank(
    experiment: Experiment, subject: Subject, runner: Runner, rng: np.random.Generator
) -> None:
    x, y = subject.model.x_test, subject.model.y_test
    bias = oracle_bias(subject.energy(), x, y)
    bare = without_skip(subject.energy())
    unshifted = decoder_part(bare, relax(runner, bare, bias)[0])
    ranks = [rank for rank in RANKS if rank <= subject.size]
    band = []
    for rank in ranks:
        energy = subject.energy(rank)
        shifts = skip_shifts(energy, x, y)
        means, realised = relax(runner, energy, bias)
        gateware_shifts = decoder_part(energy, means) - unshifted
        quantized = realised.mean(bias) - without_skip(realised).mean(bias)
        band.append(sign_spread(subject, rank, rng))
        experiment.add(
            f"{subject.name}, rank {rank}",
            SHIFT,
            subject=subject.network,
            case=rank,
            reference=reported.SHIFT[subject.key].get(rank),
            float64=relative(shifts, y).mean(),
            gateware=relative(gateware_shifts, y).mean(),
            error=relative(shifts, y).std(ddof=1) / np.sqrt(len(y)),
            note=_shift_note(
                subject,
                rank,
                relative(shifts, y).mean(),
                band[-1],
                relative(decoder_part(energy, quantized), y).mean(),
            ),
        )
        experiment.add(
            f"{subject.name}, rank {rank}",
            SKIP_NORM,
            subject=subject.network,
            case=rank,
            reference=reported.SKIP_NORM,
            float64=np.linalg.norm(halves(energy)[1]),
            gateware=np.linalg.norm(halves(realised)[1]),
            note=PROSE("note_skip_norm"),
        )
        if rank == PAPER_RANK:
            _per_dimension(experiment, subject, shifts, gateware_shifts)
    experiment.arrays |= {
        (subject.network, "ranks"): np.array(ranks),
        (subject.network, "band"): np.array(band),
    }


def _shift_note(
    subject: Subject, rank: int, value: float, band: tuple[float, float], quantized: float
) -> str:
    paper = reported.SHIFT[subject.key].get(rank)
    return PROSE(
        "note_shift",
        low=band[0],
        high=band[1],
        paper=paper,
        equal=paper is not None and agrees(value, paper, 0.0, 1),
        trained=subject.trained,
        quantized=quantized,
    )


def _per_dimension(
    experiment: Experiment, subject: Subject, shifts: np.ndarray, gateware_shifts: np.ndarray
) -> None:
    row = f"{subject.name}, rank {PAPER_RANK}"
    experiment.add(
        row,
        SHIFT_SPREAD,
        subject=subject.network,
        float64=_variation(shifts),
        gateware=_variation(gateware_shifts),
        note=PROSE("note_shift_spread"),
    )
    largest = np.abs(shifts.mean(axis=0)).argmax()
    experiment.add(
        row,
        LARGEST_SHIFT,
        subject=subject.network,
        float64=np.abs(shifts.mean(axis=0)).max(),
        gateware=np.abs(gateware_shifts.mean(axis=0)).max(),
        error=shifts.std(axis=0, ddof=1)[largest] / np.sqrt(len(shifts)),
    )
    experiment.arrays |= {
        (subject.network, "shifts"): shifts,
        (subject.network, "gateware shifts"): gateware_shifts,
    }


def _variation(shifts: np.ndarray) -> float:
    return 100 * float(shifts.std(axis=0).mean() / np.abs(shifts.mean(axis=0)).mean())


def _skip_only_signs(experiment: Experiment, subject: Subject, rng: np.random.Generator) -> None:
    """Adds the cosine of the decoder that is driven through the skip alone, over random signs."""
    y = subject.model.y_test
    draws = sign_draws(subject, PAPER_RANK, np.zeros_like(y), rng)
    found = np.array([script_cosine(states, y) for states in draws])
    paper = reported.COSINE[subject.key]["skip only"]
    for quantity, value in ((LOWEST, found.min()), (MEDIAN, np.median(found))):
        experiment.add(
            f"{subject.name}, rank {PAPER_RANK}",
            quantity,
            subject=subject.network,
            float64=value,
            note=PROSE("note_signs", draws=SIGN_DRAWS),
        )
    among = bool(found.min() <= paper <= found.max())
    experiment.add(
        f"{subject.name}, rank {PAPER_RANK}",
        HIGHEST,
        subject=subject.network,
        reference=paper,
        float64=found.max(),
        note=PROSE("note_highest_sign", draws=SIGN_DRAWS, among=among),
    )
    experiment.arrays[subject.network, "signs"] = found


def _rank_one(experiment: Experiment, subject: Subject) -> None:
    """Adds the smallest eigenvalue at rank 1, where one mode holds the whole norm of the skip.

    M may lose positive definiteness then.
    """
    try:
        smallest, note = subject.energy(1).eigenvalues()[0], PROSE("note_relaxes")
    except EnergyError as error:
        if error.smallest is None:
            raise
        smallest, note = error.smallest, PROSE("note_refused", error=error)
    experiment.add(
        f"{subject.name}, rank 1",
        SMALLEST_EIGENVALUE,
        subject=subject.network,
        float64=smallest,
        note=note,
    )
