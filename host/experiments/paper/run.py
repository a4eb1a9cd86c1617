# SPDX-License-Identifier: Apache-2.0
"""Every experiment of the paper, in float64 and on the gateware.

The baselines and the dynamics that the paper lacks are beside its own numbers. Every run starts
from the runner's seed and linear algebra uses one thread, so that the results do not depend on the
number of processes.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from string import ascii_uppercase
from typing import Any

from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits

from ornstein.host.devices.device import may_be_shared
from ornstein.host.experiments.common import UNABLE, Experiment, Progress, Runner, Say
from ornstein.host.experiments.paper.deficit import signal_deficit
from ornstein.host.experiments.paper.energy_account import energy_account
from ornstein.host.experiments.paper.gateware import Source, gateware_runner
from ornstein.host.experiments.paper.production import production
from ornstein.host.experiments.paper.quartic import quartic_check
from ornstein.host.experiments.paper.relaxation import relaxation
from ornstein.host.experiments.paper.sampling import sampling
from ornstein.host.experiments.paper.short_run import four_hundred_steps
from ornstein.host.experiments.paper.skip import skip_coupling
from ornstein.host.experiments.paper.subjects import Subject
from ornstein.host.experiments.paper.sweep import conditioning_sweep
from ornstein.sim.cores import VARIABLE, cores

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
LONGEST = (conditioning_sweep, production, quartic_check)
"""Experiments that begin first, so that no process is left with one of them at the end."""
ALONE = (energy_account,)
"""Experiments that measure this machine, so that nothing else may run meanwhile."""

_Lettered = tuple[str, Callable[..., Experiment]]
_log = logging.getLogger("ornstein")


def run_paper(
    subjects: list[Subject],
    device: str,
    seed: int = 1,
    say: Progress = lambda what, done, total: None,
    processes: int = 1,
) -> tuple[list[Experiment], Source]:
    """Runs all experiments. One that cannot run on the networks gives the reason in its place.

    Parameters
    ----------
    subjects : a trained network and, if wanted, an untrained one
    device : URI, see :func:`ornstein.host.experiments.paper.gateware.gateware_runner`
    seed : of everything that is drawn
    say : is told what is being run, or has been; how many experiments are finished, and how many
        there are
    processes : how many run experiments at the same time. There is one, this one, if only one may
        open the device.

    Returns
    -------
    experiments : in the order of their letters
    source : where the gateware column comes from

    Raises
    ------
    DeviceError
        There is no such device, or it has no dynamics.
    ModelMismatchError
        The gateware and the integer model differ in a bit.
    """
    here = lettered = list(zip(ascii_uppercase, EXPERIMENTS, strict=False))
    elsewhere: list[_Lettered] = []
    if processes > 1 and may_be_shared(device):
        here = [pair for pair in lettered if pair[1] in ALONE]
        elsewhere = [pair for pair in lettered if pair[1] not in ALONE]
    results: list[Experiment] = []

    def tell(what: str) -> None:
        say(what, len(results), len(lettered))

    # What runs here comes first: it also opens the device, so that what is wrong with that is said
    # at once, and a simulator is built once.
    with threadpool_limits(1), gateware_runner(device, seed) as runner:
        for pair in here:
            results.append(_result(pair, subjects, runner, seed, tell))
        sources = {"": Source.of(runner)}
    if elsewhere:
        tell("running in several processes")
    for result, source in _in_processes(elsewhere, subjects, device, seed, processes):
        results.append(result)
        sources[result.key] = source
        tell(f"{result.key}: {result.title}, finished")
    results.sort(key=lambda result: result.key)
    return results, Source.join([sources[key] for key in sorted(sources)])


def _result(
    lettered: _Lettered, subjects: list[Subject], runner: Runner, seed: int, say: Say
) -> Experiment:
    """Returns the results of an experiment, or why it cannot run."""
    letter, experiment = lettered
    try:
        return experiment(subjects, runner, seed, say)
    except UNABLE as error:
        title = experiment.__name__.replace("_", " ").capitalize()
        failed = Experiment(letter, title, failure=f"It cannot run on this network: {error}.")
        failed.add(subjects[0].name, "cannot run", note=str(error))
        return failed


# ---- processes -----------------------------------------------------------------------------------


def _in_processes(
    experiments: list[_Lettered], subjects: list[Subject], device: str, seed: int, processes: int
) -> Iterator[tuple[Experiment, Source]]:
    """Yields the results of every experiment as it finishes, in so many processes or fewer. They
    share the cores, and end with the first error, which is raised here.
    """
    if not experiments:
        return
    order = sorted(experiments, key=lambda pair: pair[1] not in LONGEST)
    processes = min(processes, len(order))
    settings = os.getpid(), max(1, cores() // processes), _log.getEffectiveLevel()
    with parallel_config("loky", n_jobs=processes, initializer=_begin, initargs=settings):
        # of no type, since joblib's own fits lists too
        parallel: Any = Parallel(return_as="generator_unordered", max_nbytes=None)
        yield from parallel(delayed(_alone)(pair, subjects, device, seed) for pair in order)


def _begin(parent: int, cores: int, level: int) -> None:
    """Prepares a process that runs experiments on so many cores, and logs from a level on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this one
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    os.environ[VARIABLE] = str(cores)
    _log.setLevel(level)
    if level < logging.WARNING:
        _log.addHandler(logging.StreamHandler())


def _end_after(parent: int) -> None:
    """Ends this process soon after its parent, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _alone(
    experiment: _Lettered, subjects: list[Subject], device: str, seed: int
) -> tuple[Experiment, Source]:
    """Runs one experiment with a runner of its own."""
    with threadpool_limits(1), gateware_runner(device, seed) as runner:
        return _result(experiment, subjects, runner, seed, lambda what: None), Source.of(runner)
