# SPDX-License-Identifier: Apache-2.0
"""What experiments share: a runner of programs, and the numbers, tables and files of results."""

import csv
from collections.abc import Callable, Hashable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from ornstein.hdl.config import FabricConfig, preset
from ornstein.host.compile.advice import compile_or_advise
from ornstein.host.compile.compiler import compile_first
from ornstein.host.compile.program import InputError, Program, ProgramError
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import Device, Outputs, open_device
from ornstein.host.devices.model import ModelDevice
from ornstein.host.models.model_file import Activations
from ornstein.host.models.recipes import Recipe
from ornstein.host.models.run import recipe_inputs, recipe_problems
from ornstein.host.physics.problem import Problem, ProblemError
from ornstein.host.physics.timestep import TimeStepError
from ornstein.sim.energy import EnergyError

DEVICE_KT, MODEL_KT = 1e-5, 1e-3
"""Temperatures of the rows that sample: on the device, and on the integer model, which is faster
and so takes the longer averages."""

UNABLE = (
    EnergyError,
    InputError,
    ProblemError,
    ProgramError,
    TimeStepError,
    np.linalg.LinAlgError,
)
"""Errors of a recipe that cannot be made of a network, of a program that no fabric holds, and of
held-out inputs beyond those that the training activations made room for."""

Say = Callable[[str], None]
"""Is told what is being run."""
Progress = Callable[[str, int, int], None]
"""Is told (what is being run, inputs done, inputs in all)."""


# ---- running programs ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Run:
    """One program's answers to some inputs.

    Attributes
    ----------
    program : what ran
    outputs : one row for each input
    device : URI of the device that answered or confirmed the answers
    compared : number of inputs for which the gateware and the integer model gave the same bits; 0
        if no gateware ran
    cycles : clock cycles that the gateware took for those inputs, None if no gateware ran
    """

    program: Program
    outputs: Outputs
    device: str
    compared: int = 0
    cycles: int | None = None

    @property
    def answers(self) -> np.ndarray:
        """The problem's decoded means, (n, D) in the units of its targets."""
        return self.program.problem.decode(self.outputs.mean)

    @property
    def cycles_per_input(self) -> float | None:
        """Clock cycles of one input, None if no gateware ran."""
        return None if self.cycles is None else self.cycles / self.compared

    @property
    def saturations(self) -> int | None:
        """How many values saturated, None for float64."""
        counters = self.outputs.counters
        rank, state = counters["rank_saturations"], counters["state_saturations"]
        return None if rank is None or state is None else rank + state


class Runner:
    """Compiles problems, runs them on one device, and compares gateware with the integer model.

    Use it as a context manager: devices stay open until the end. Every comparison covers all bits
    that :func:`ornstein.host.devices.comparison.check_equals_model` knows.

    Parameters
    ----------
    uri : of the device, see :func:`ornstein.host.devices.device.open_device`
    seed : of every run
    fabric : what to compile for if the device has no fabric of its own; default "reference"
    gateware_inputs : how many inputs of each run the gateware answers. Then the integer model
        answers all inputs, which is much faster, and the gateware confirms the first ones. With
        None, the default, the device answers all inputs.
    fallback : fabric for programs that do not fit the device's. They run on its Verilated gateware
        if the device is Verilated too, else on its integer model.

    Attributes
    ----------
    bit_exact : whether the device computes in integers
    compared, cycles : inputs that gateware and model have both answered so far, and the clock
        cycles that the gateware took for them
    confirmed : URIs of the gateware that confirmed them, in the order of its first use
    """

    def __init__(
        self,
        uri: str,
        seed: int = 1,
        *,
        fabric: FabricConfig | None = None,
        gateware_inputs: int | None = None,
        fallback: FabricConfig | None = None,
    ):
        self.uri, self.seed = uri, seed
        self.gateware_inputs, self.fallback = gateware_inputs, fallback
        self.compared = self.cycles = 0
        self.confirmed: list[str] = []
        self._stack = ExitStack()
        self._devices: dict[str, Device] = {}
        config = self._open(uri).config
        self.bit_exact = config is not None
        self.fabric: FabricConfig = config or fabric or preset("reference")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def run(
        self,
        problem: Problem,
        inputs: np.ndarray,
        calibration: np.ndarray | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Run:
        """Compiles a problem and returns the answers to inputs (n, input_size).

        Parameters
        ----------
        calibration : (m, input_size) inputs from which number formats are chosen; default
            ``inputs``
        progress : is told how many more inputs have been answered

        Raises
        ------
        ProgramError
            The fabric, or the fallback, cannot hold the program.
        ModelMismatchError
            The gateware and the integer model differ in a bit.
        """
        return self.run_first((problem,), inputs, calibration, progress)

    def run_first(
        self,
        problems: Iterable[Problem],
        inputs: np.ndarray,
        calibration: np.ndarray | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Run:
        """Runs the first of the problems that the fabric's number formats can hold.

        See :meth:`run` for the other parameters and the errors.
        """
        calibration = inputs if calibration is None else calibration
        uri, program = self._compile(tuple(problems), calibration)
        if self.gateware_inputs is None or not self.bit_exact:
            outputs = found = self._answer(self._open(uri), program, inputs, progress)
            first_inputs = inputs
        else:
            outputs = self._answer(self._model(program.config), program, inputs, progress)
            if uri.startswith("model"):
                return Run(program, outputs, uri)
            first_inputs = inputs[: self.gateware_inputs]
            found = self._answer(self._open(uri), program, first_inputs)
        cycles = found.counters["cycles"]
        if cycles is None:  # neither the integer model nor float64 has a clock
            return Run(program, outputs, uri)
        check_equals_model(program, first_inputs, found, self.seed)
        self.compared += len(first_inputs)
        self.cycles += cycles
        if uri not in self.confirmed:
            self.confirmed.append(uri)
        return Run(program, outputs, uri, len(first_inputs), cycles)

    def run_recipe(
        self,
        recipe: Recipe,
        model: Activations,
        *,
        progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> Run:
        """Runs a recipe on the held-out activations, with formats from the training activations.

        ``options`` are those of :func:`ornstein.host.models.run.recipe_problems`; see :meth:`run`
        for the errors.
        """
        return self.run_first(
            recipe_problems(recipe, model, **options),
            recipe_inputs(recipe, model.x_test, model.y_test),
            recipe_inputs(recipe, model.x_train, model.y_train),
            progress,
        )

    def _compile(
        self, problems: tuple[Problem, ...], calibration: np.ndarray
    ) -> tuple[str, Program]:
        """Returns the URI of the device that a problem fits, and its program."""
        if self.fallback is None:
            return self.uri, compile_or_advise(problems, self.fabric, calibration)
        try:
            return self.uri, compile_first(problems, self.fabric, calibration)
        except ProgramError:
            pass
        scheme = "rtl" if self.uri.startswith("rtl") else "model"
        program = compile_first(problems, self.fallback, calibration)
        return f"{scheme}:{self.fallback.name}", program

    def _answer(
        self,
        device: Device,
        program: Program,
        inputs: np.ndarray,
        progress: Callable[[int], None] | None = None,
    ) -> Outputs:
        device.load(program)
        return device.run(inputs, seed=self.seed, progress=progress)

    def _open(self, uri: str) -> Device:
        if uri not in self._devices:
            self._devices[uri] = self._stack.enter_context(open_device(uri))
        return self._devices[uri]

    def _model(self, config: FabricConfig) -> Device:
        """Returns the integer model of a fabric, which need not be one of the presets."""
        key = f"model of build {config.build_hash:08x}"
        if key not in self._devices:
            self._devices[key] = self._stack.enter_context(ModelDevice(config))
        return self._devices[key]


# ---- results -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One number: what somebody else reports, what float64 gives and what the gateware gives.

    A column that does not apply is None.

    Attributes
    ----------
    experiment, row, quantity : where a table shows the number
    reference : the number to compare with; its origin is the experiment's, for example the paper
    float64, gateware : our numbers
    error : standard error of the float64 and gateware columns
    note : what the error is taken over, and why columns differ by more
    subject, case : what the number was measured on and what was done with it, as keys by which
        pages find it; files do not hold them
    """

    experiment: str
    row: str
    quantity: str
    reference: float | None = None
    float64: float | None = None
    gateware: float | None = None
    error: float | None = None
    note: str = ""
    subject: Hashable = None
    case: Any = None


_COLUMNS = ("float64", "gateware", "error", "note")


@dataclass
class Experiment:
    """The results of one experiment, and the arrays behind its figures by key.

    ``failure`` says why it cannot run on a network; there are then no numbers.
    """

    key: str
    title: str
    results: list[Result] = field(default_factory=list)
    arrays: dict[Any, np.ndarray] = field(default_factory=dict)
    failure: str = ""

    def add(
        self,
        row: str,
        quantity: str,
        *,
        note: str = "",
        subject: Hashable = None,
        case: Any = None,
        **values: float | np.floating | None,
    ) -> Result:
        """Appends a result and returns it. Numbers of any type become plain floats."""
        numbers = {key: None if value is None else float(value) for key, value in values.items()}
        result = Result(self.key, row, quantity, note=note, subject=subject, case=case, **numbers)
        self.results.append(result)
        return result

    def select(self, quantity: str, subject: Hashable = None, case: Any = None) -> list[Result]:
        """Returns the results of a quantity, of any subject and any case unless they are given."""
        return [
            result
            for result in self.results
            if result.quantity == quantity
            and subject in (None, result.subject)
            and case in (None, result.case)
        ]

    def find(self, quantity: str, subject: Hashable = None, case: Any = None) -> Result:
        """Returns the first result that :meth:`select` finds. Raises KeyError if there is none."""
        for result in self.select(quantity, subject, case):
            return result
        raise KeyError((quantity, subject, case))


def documents(experiments: Iterable[Experiment], reference: str = "paper") -> list[dict]:
    """Returns all results as results.json holds them; ``reference`` names that column."""
    return [
        {
            "experiment": result.experiment,
            "row": result.row,
            "quantity": result.quantity,
            reference: result.reference,
            **{name: getattr(result, name) for name in _COLUMNS},
        }
        for experiment in experiments
        for result in experiment.results
    ]


def write_csv(path: Path, experiments: Iterable[Experiment], reference: str = "paper") -> None:
    """Writes all results as a table with a header; a cell is empty where nothing applies."""
    names = ["experiment", "row", "quantity", reference, *_COLUMNS]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(documents(experiments, reference))
