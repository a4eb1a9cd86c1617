# SPDX-License-Identifier: Apache-2.0
"""Experiment E: how little of the signal the couplings carry.

The naive bias is J x, what the couplings alone make of an input x; the correct bias A x holds the
state at x.
"""

import numpy as np

from ornstein.host.experiments.common import Experiment, Runner, Say
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.paper.gateware import relax
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.scoring import scored
from ornstein.host.experiments.paper.subjects import Subject, decoder_part, halves
from ornstein.host.experiments.scores import QUANTITIES
from ornstein.host.physics.couplings import DECODER, ENCODER, gram

CLAIMED = "correct / naive bias, encoder"
"""The quantity that the script prints beside its claim."""


def signal_deficit(subjects: list[Subject], runner: Runner, seed: int, say: Say) -> Experiment:
    """Returns experiment E."""
    experiment = Experiment("E", "Signal deficit")
    for subject in subjects:
        say(f"E: signal deficit, {subject.name}")
        model = subject.model
        a, _, b = halves(subject.energy())
        j_enc, j_dec = gram(model.W_enc), gram(model.W_dec)
        _eigenvalue_rows(experiment, subject, j_enc)
        experiment.arrays |= {
            (subject.network, "target"): model.x_test,
            (subject.network, "naive"): model.x_test @ j_enc,
            (subject.network, "correct"): model.x_test @ a,
        }
        train_mean = model.x_train.mean(axis=0)
        _ratio_rows(experiment, subject, ENCODER, model.x_test, train_mean, j_enc, a)
        _ratio_rows(experiment, subject, DECODER, model.y_test, subject.centre, j_dec, b)
        naive = np.hstack([model.x_test @ j_enc, model.y_test @ j_dec])
        _relaxed_rows(experiment, subject, naive, runner)
    return experiment


def _eigenvalue_rows(experiment: Experiment, subject: Subject, j_enc: np.ndarray) -> None:
    values = np.sort(np.linalg.eigvalsh(j_enc))[::-1]
    experiment.arrays[subject.network, "eigenvalues"] = values
    for name, value in (("largest", values[0]), ("mean", values.mean())):
        experiment.add(
            subject.name,
            f"{name} eigenvalue of J_enc",
            subject=subject.network,
            float64=value,
        )


def _ratio_rows(
    experiment: Experiment,
    subject: Subject,
    side: str,
    state: np.ndarray,
    centre: np.ndarray,
    coupling: np.ndarray,
    correct: np.ndarray,
) -> None:
    """Adds ratios of standard deviations of the correct and the naive bias of states (n, D)."""
    centred = state - centre
    ratio = (state @ correct).std() / (state @ coupling).std()
    claimed = side == ENCODER
    experiment.add(
        subject.name,
        f"correct / naive bias, {side}",
        subject=subject.network,
        float64=ratio,
        reference=reported.DEFICIT if claimed else None,
        note=PROSE("note_deficit", less=reported.DEFICIT / ratio) if claimed else "",
    )
    experiment.add(
        subject.name,
        f"correct / naive bias, {side}, input-dependent part",
        subject=subject.network,
        float64=(centred @ correct).std() / (centred @ coupling).std(),
    )
    experiment.add(
        subject.name,
        f"correct / input-dependent naive bias, {side}",
        subject=subject.network,
        float64=(state @ correct).std() / (centred @ coupling).std(),
        note=PROSE("note_largest_deficit"),
    )


def _relaxed_rows(
    experiment: Experiment, subject: Subject, naive: np.ndarray, runner: Runner
) -> None:
    """Adds what the decoder relaxes to under the naive bias (n, units)."""
    energy, y = subject.energy(), subject.model.y_test
    exact = decoder_part(energy, energy.mean(naive))
    relaxed = decoder_part(energy, relax(runner, energy, naive)[0])
    experiment.add(
        subject.name,
        "decoder under the naive bias, length / target's",
        subject=subject.network,
        float64=np.linalg.norm(exact) / np.linalg.norm(y),
        gateware=np.linalg.norm(relaxed) / np.linalg.norm(y),
    )
    before, after = (scored(mean, y, subject.centre) for mean in (exact, relaxed))
    for quantity in QUANTITIES:
        experiment.add(
            subject.name,
            f"naive bias, {quantity}",
            subject=subject.network,
            float64=before[quantity][0],
            gateware=after[quantity][0],
            error=before[quantity][1],
        )
