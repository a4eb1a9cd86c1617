# SPDX-License-Identifier: Apache-2.0
"""What the numbers of each of the paper's experiments say, in paragraphs."""

from collections.abc import Callable

import numpy as np

from ornstein.host.experiments.common import Experiment, Result
from ornstein.host.experiments.paper import (
    deficit,
    energy_account,
    production,
    quartic,
    relaxation,
    reported,
    sampling,
    short_run,
    skip,
    sweep,
)
from ornstein.host.experiments.paper.prose import PROSE
from ornstein.host.experiments.paper.reported import TRAINED, UNTRAINED
from ornstein.host.experiments.paper.scoring import agrees
from ornstein.host.experiments.paper.subjects import Network
from ornstein.host.experiments.scores import CENTRED, COSINE
from ornstein.host.models.recipes import ALIGNED, FULL
from ornstein.host.models.run import LOSS


def paragraphs(experiment: Experiment) -> list[str]:
    """Returns what the results of an experiment say."""
    writers: dict[str, Callable[[Experiment], list[str]]] = {
        "A": _skip,
        "B": _sweep,
        "C": _production,
        "D": _quartic,
        "E": _deficit,
        "F": _energy,
        "G": _relaxation,
        "H": _sampling,
        "I": _short_run,
    }
    return [experiment.failure] if experiment.failure else writers[experiment.key](experiment)


def networks(experiment: Experiment) -> list[Network]:
    """Returns the networks that an experiment has results of, in the order of the table."""
    found = dict.fromkeys(result.subject for result in experiment.results)
    return [network for network in found if isinstance(network, Network)]


def number(value: float | None) -> float:
    """Returns a column that the result must have. Raises ValueError if it is empty."""
    if value is None:
        raise ValueError("a result lacks a number that the page needs")
    return value


def _skip(experiment: Experiment) -> list[str]:
    rows = [
        result
        for network in networks(experiment)
        if network.key == UNTRAINED
        for result in experiment.select(skip.SHIFT, network)
        if result.reference is not None
    ]
    same = sum(agrees(number(result.float64), number(result.reference), 0.0, 1) for result in rows)
    return PROSE.paragraphs("skip", draws=skip.SIGN_DRAWS, rows=len(rows), same=same)


def _sweep(experiment: Experiment) -> list[str]:
    return PROSE.paragraphs(
        "sweep",
        networks=[_swept(experiment, network) for network in networks(experiment)],
        seeds=sweep.SEEDS,
    )


def _swept(experiment: Experiment, network: Network) -> dict:
    linear = [
        result
        for result in experiment.select(sweep.DECODER_COSINE, network)
        if result.case.kind == sweep.LINEAR
    ]
    scores = [number(result.float64) for result in linear]
    widths = [result.case.width for result in linear]
    none, constant = (
        experiment.find(sweep.DECODER_COSINE, network, sweep.Encoder(kind)).float64
        for kind in (sweep.NONE, sweep.CONSTANT)
    )
    return {
        "name": network.name,
        "narrow": min(widths),
        "wide": max(widths),
        "low": min(scores),
        "high": max(scores),
        "constant": constant,
        "none": none,
    }


def _production(experiment: Experiment) -> list[str]:
    ours = production.LABELS[FULL]
    return PROSE.paragraphs(
        "production",
        networks=[
            {
                "name": network.name,
                "cosine": experiment.find(COSINE, network, production.PIPELINE),
                "constant": experiment.find(COSINE, network, production.CONSTANT_MEAN),
                "centred": experiment.find(CENTRED, network, production.PIPELINE),
                "weights": experiment.find(production.PARAMETERS, network, ours),
                "ours": experiment.find(CENTRED, network, ours),
            }
            for network in networks(experiment)
        ],
    )


def _quartic(experiment: Experiment) -> list[str]:
    network = networks(experiment)[-1]
    right, script, warm = (
        experiment.find(quartic.DIFFERENCE, network, case)
        for case in (quartic.RANDOM, quartic.SCRIPT_ENERGY, quartic.WARM)
    )
    to_minimum = experiment.find(quartic.TO_MINIMUM, network, quartic.RANDOM)
    gap = abs(number(warm.gateware) - number(warm.float64)) / number(warm.error)
    return PROSE.paragraphs(
        "quartic",
        right={"float64": right.float64, "row": right.row, "to_minimum": to_minimum.gateware},
        script=script,
        warm=gap,
    )


def _deficit(experiment: Experiment) -> list[str]:
    ratios = [number(result.float64) for result in experiment.select(deficit.CLAIMED)]
    return PROSE.paragraphs(
        "deficit",
        ratios=ratios,
        least=reported.DEFICIT / max(ratios),
        most=reported.DEFICIT / min(ratios),
    )


def _energy(experiment: Experiment) -> list[str]:
    found = {network.key: network for network in networks(experiment)}
    trained = found[TRAINED]
    script = found.get(UNTRAINED, trained)
    raw = number(experiment.find(energy_account.GAIN, script).float64)
    interface = energy_account.INTERFACE_GAIN[energy_account.INTEGERS]
    emulator = experiment.select(energy_account.ICEBREAKER_JOULES, trained, FULL)
    joules = number(emulator[0].float64) if emulator else None
    return PROSE.paragraphs(
        "energy",
        raw=raw,
        after_converters=raw / reported.CONVERTERS,
        interface=experiment.find(interface, trained).float64,
        microseconds=reported.GPU_JOULES / energy_account.A100_WATTS * 1e6,
        emulator=joules,
        share=None if joules is None else joules / reported.GPU_JOULES,
    )


def _relaxation(experiment: Experiment) -> list[str]:
    done = [
        result for result in experiment.select(relaxation.STEPS_TO) if result.gateware is not None
    ]
    return PROSE.paragraphs(
        "relaxation",
        steps=reported.STEPS,
        tolerance=relaxation.TOLERANCE,
        fastest=min(done, key=lambda result: number(result.gateware)),
    )


def pull(results: list[Result]) -> float:
    """Returns the rms distance of gateware from float64, in standard errors."""
    distances = [
        (number(result.gateware) - number(result.float64)) / number(result.error)
        for result in results
    ]
    return float(np.sqrt(np.mean(np.square(distances))))


def _sampling(experiment: Experiment) -> list[str]:
    ratios = experiment.select(sampling.SQUARED_ERROR)
    aligned, full = (
        experiment.find(sampling.STEPS_NEEDED, case=(key, 1.0)).float64 for key in (ALIGNED, FULL)
    )
    return PROSE.paragraphs(
        "sampling",
        pull=pull(ratios),
        settings=len(ratios),
        aligned=aligned,
        full=full,
        length=experiment.arrays["squared lengths of the targets"].mean(),
    )


def _short_run(experiment: Experiment) -> list[str]:
    last = [number(result.gateware) for result in experiment.select(f"{short_run.LAST}, {CENTRED}")]
    needed = sorted(
        experiment.select(sampling.STEPS_NEEDED), key=lambda result: number(result.float64)
    )
    return PROSE.paragraphs(
        "short_run",
        steps=reported.STEPS,
        low=min(last),
        high=max(last),
        spread=float(experiment.arrays["thermal spread"]),
        loss=LOSS,
        least=needed[0],
        most=needed[-1],
    )
