# SPDX-License-Identifier: Apache-2.0
"""The public Python API: from trained weights, or an energy of your own, to a device's answers.

::

    from ornstein.hdl.config import REFERENCE
    from ornstein.host import TrainedModel, compile_recipe, open_device, recipes

    model = TrainedModel.load()
    recipe = recipes.ours_aligned(model)
    program = compile_recipe(recipe, model, REFERENCE, kT=0.001, samples=64)
    with open_device("rtl") as device:
        device.load(program)
        outputs = device.run(model.x_test, seed=1)
    answers = program.problem.decode(outputs.mean)

For an energy of your own, make an `Energy` of `Module` and `Coupling`, put it into a `Problem` with
its `Stage` schedule, and compile it with `compile_problem`.
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
    from ornstein.host.physics.interface import Interface
    from ornstein.host.physics.problem import Problem
    from ornstein.sim.energy import Coupling, Energy, Module
    from ornstein.sim.stages import Stage

__all__ = [
    "Coupling",
    "Energy",
    "Interface",
    "Module",
    "Problem",
    "Program",
    "Stage",
    "TrainedModel",
    "compile_problem",
    "compile_recipe",
    "open_device",
    "recipes",
]

_MODULES = {
    "Coupling": "ornstein.sim.energy",
    "Energy": "ornstein.sim.energy",
    "Interface": "ornstein.host.physics.interface",
    "Module": "ornstein.sim.energy",
    "Problem": "ornstein.host.physics.problem",
    "Program": "ornstein.host.compile.program",
    "Stage": "ornstein.sim.stages",
    "TrainedModel": "ornstein.host.models.model_file",
    "compile_problem": "ornstein.host.compile.compiler",
    "compile_recipe": "ornstein.host.models.run",
    "open_device": "ornstein.host.devices.device",
    "recipes": "ornstein.host.models",
}
"""The module that each public name is in. It is imported when the name is first used, so that
``ornstein --help`` does not load the compiler."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "recipes":
        return import_module(f"{_MODULES[name]}.{name}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
