# SPDX-License-Identifier: Apache-2.0
"""Every experiment of the paper, in float64 and on the gateware.

The baselines and the dynamics that the paper lacks are beside its own numbers.
"""

from string import ascii_uppercase

from ornstein.host.experiments.common import UNABLE, Experiment, Runner, Say
from ornstein.host.experiments.paper.deficit import signal_deficit
from ornstein.host.experiments.paper.energy_account import energy_account
from ornstein.host.experiments.paper.production import production
from ornstein.host.experiments.paper.quartic import quartic_check
from ornstein.host.experiments.paper.relaxation import relaxation
from ornstein.host.experiments.paper.sampling import sampling
from ornstein.host.experiments.paper.short_run import four_hundred_steps
from ornstein.host.experiments.paper.skip import skip_coupling
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.experiments.paper.sweep import conditioning_sweep

EXPERIMENTS = (
    skip_coupling,
    conditioning_sweep,
    production,
    quartic_check,
    signal_deficit,
    energy_account,
    relaxation,
    sampling,
    four_hundred_steps,
)
"""The experiments in the order of their letters, A to I."""


def run_paper(
    subjects: list[Subject], runner: Runner, seed: int = 1, say: Say = lambda what: None
) -> list[Experiment]:
    """Runs all experiments. One that cannot run on the networks gives the reason in its place.

    Parameters
    ----------
    subjects : a trained network and, if wanted, an untrained one
    runner : made by :func:`ornstein.host.experiments.paper.gateware.gateware_runner`
    seed : of everything that is drawn outside the runner
    say : is told what is being run

    Raises
    ------
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    """
    results = []
    for letter, experiment in zip(ascii_uppercase, EXPERIMENTS, strict=False):
        try:
            results.append(experiment(subjects, runner, seed, say))
        except UNABLE as error:
            title = experiment.__name__.replace("_", " ").capitalize()
            failed = Experiment(letter, title, failure=f"It cannot run on this network: {error}.")
            failed.add(subjects[0].name, "cannot run", note=str(error))
            results.append(failed)
    return results
