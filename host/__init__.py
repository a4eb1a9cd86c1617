# SPDX-License-Identifier: Apache-2.0
"""The public Python API: from trained weights, or an energy of your own, to a device's answers.

``ornstein`` itself gives these names.

::

    from ornstein import TrainedModel, compile_recipe, open_device, recipes
    from ornstein.hdl.config import REFERENCE

    model = TrainedModel.load()
    recipe = recipes.ours_aligned(model)
    program = compile_recipe(recipe, model, REFERENCE, kT=0.001, samples=64)
    with open_device("rtl") as device:
        device.load(program)
        outputs = device.run(model.x_test, seed=1)
    answers = program.problem.decode(outputs.mean)

For an energy of your own, `sample`, `linalg.solve`, `linalg.inv` and `anneal` choose the fabric,
the time step and the schedule. `Energy.from_precision`, `Energy.from_edges` and `EnergyBuilder`
make energies of matrices; `Module` and `Coupling` are what they consist of. For biases of your
own, `equilibrium_problem` makes a `Problem` for `compile_problem`; a `Problem` with a list of
`Stage` has a schedule of your own.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ornstein.host.compile.compiler import compile_problem
    from ornstein.host.compile.program import Program
    from ornstein.host.devices.device import open_device
    from ornstein.host.models import recipes
    from ornstein.host.models.model_file import TrainedModel
    from ornstein.host.models.run import compile_recipe
    from ornstein.host.physics.builder import EnergyBuilder
    from ornstein.host.physics.interface import Interface
    from ornstein.host.physics.problem import Problem
    from ornstein.host.sampling import linalg
    from ornstein.host.sampling.annealing import anneal
    from ornstein.host.sampling.equilibrium import sample
    from ornstein.host.sampling.problems import equilibrium_problem
    from ornstein.sim.energy import Coupling, Energy, Module
    from ornstein.sim.stages import Stage

__all__ = [
    "Coupling",
    "Energy",
    "EnergyBuilder",
    "Interface",
    "Module",
    "Problem",
    "Program",
    "Stage",
    "TrainedModel",
    "anneal",
    "compile_problem",
    "compile_recipe",
    "equilibrium_problem",
    "linalg",
    "open_device",
    "recipes",
    "sample",
]

_MODULES = {
    "Coupling": "ornstein.sim.energy",
    "Energy": "ornstein.sim.energy",
    "EnergyBuilder": "ornstein.host.physics.builder",
    "Interface": "ornstein.host.physics.interface",
    "Module": "ornstein.sim.energy",
    "Problem": "ornstein.host.physics.problem",
    "Program": "ornstein.host.compile.program",
    "Stage": "ornstein.sim.stages",
    "TrainedModel": "ornstein.host.models.model_file",
    "anneal": "ornstein.host.sampling.annealing",
    "compile_problem": "ornstein.host.compile.compiler",
    "compile_recipe": "ornstein.host.models.run",
    "equilibrium_problem": "ornstein.host.sampling.problems",
    "linalg": "ornstein.host.sampling",
    "open_device": "ornstein.host.devices.device",
    "recipes": "ornstein.host.models",
    "sample": "ornstein.host.sampling.equilibrium",
}
"""The module that each public name is in. It is imported when the name is first used, so that
``ornstein --help`` does not load the compiler."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in ("linalg", "recipes"):  # modules themselves
        return import_module(f"{_MODULES[name]}.{name}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
