# SPDX-License-Identifier: Apache-2.0
"""All benchmarks of ``ornstein bench``, in the order of the table; cycles come before seconds.

What cannot be measured on a machine has the value None and the reason in its note.
"""

from collections.abc import Iterator

from ornstein.hdl.config import REFERENCE
from ornstein.host.compile.program import Program
from ornstein.host.experiments.bench.figures import Figure, Progress, Stopwatch, figure
from ornstein.host.experiments.bench.lanes import lane_figures
from ornstein.host.experiments.bench.large import large_figures
from ornstein.host.experiments.bench.links import (
    board_figures,
    limit_figures,
    line_figures,
    streaming_figures,
)
from ornstein.host.experiments.bench.models import memory_figures, model_figures
from ornstein.host.experiments.bench.peers import peer_figures
from ornstein.host.experiments.bench.simulators import simulator_figures
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


def bench(progress: Progress = lambda what: None) -> Iterator[Figure]:
    """Yields every figure as it is measured; ``progress`` is told what comes next.

    Raises ModelMismatchError if the gateware and the integer model differ in a bit.
    """
    model = TrainedModel.load()
    progress("compiling the default program")
    program, compiling = compile_default(model)
    yield compiling
    yield from lane_figures(progress)
    yield from streaming_figures(program, model.x_test, progress)
    yield from simulator_figures(program, model.x_test, progress)
    yield from model_figures(program, model.x_test, progress)
    yield from peer_figures(progress)
    yield from large_figures(progress)
    yield from limit_figures()
    yield from board_figures(progress)
    yield from line_figures(program, progress)
    yield from memory_figures(progress)


def compile_default(model: TrainedModel) -> tuple[Program, Figure]:
    """Returns the aligned program on the reference fabric, and the figure of its compilation."""
    recipe = recipes.ours_aligned(model)
    with Stopwatch() as watch:
        program = compile_recipe(recipe, model, REFERENCE, kT=1e-3, samples=64)
    return program, figure("compile_s", watch.seconds)
