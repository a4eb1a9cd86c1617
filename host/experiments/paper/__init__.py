# SPDX-License-Identifier: Apache-2.0
"""Every experiment of the paper in float64 and on the gateware, beside the baselines and the
dynamics that it lacks.
"""

from ornstein.host.experiments.results import Experiment, Progress


def run_paper(
    subjects: list, gateware, seed: int = 1, progress: Progress = lambda what: None
) -> list[Experiment]:
    """All experiments, in the order of their letters.

    Parameters
    ----------
    subjects : a trained network and, if wanted, an untrained one
        (:mod:`ornstein.host.experiments.paper.subjects`)
    gateware : an open :class:`ornstein.host.experiments.paper.subjects.Gateware`
    progress : told what is being run

    Raises
    ------
    PaperError
        The device and the integer model differ in a bit.
    ProgramError
        No fabric holds a program.
    """
    from ornstein.host.experiments.paper import dynamics, energy_account, experiments

    runs = (
        experiments.skip_coupling,
        experiments.conditioning_sweep,
        experiments.production,
        experiments.quartic_check,
        experiments.signal_deficit,
        energy_account.energy_account,
        dynamics.relaxation,
        dynamics.sampling,
        dynamics.four_hundred_steps,
    )
    return [run(subjects, gateware, seed, progress) for run in runs]
