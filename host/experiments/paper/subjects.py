# SPDX-License-Identifier: Apache-2.0
"""What the experiments are run on: a trained and an untrained network, and the gateware that holds
their energies.
"""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ornstein.hdl.config import WIDE, FabricConfig, preset
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.devices.device import Device, DeviceError, Outputs, open_device
from ornstein.host.devices.model import ModelDevice
from ornstein.host.models.model_file import WEIGHTS, WEIGHTS_FILE, TrainedModel
from ornstein.host.physics.couplings import DECODER, ENCODER, hierarchical_bilinear, paper_energy
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.sim.energy import Energy

UNTRAINED_MODEL = WEIGHTS / "untrained"
SIGNS_NAME = "skip_signs"
COLD_SAMPLES = 16
"""Averaged steps at kT = 0: they only smooth the rounding."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network whose couplings and activations an experiment is run on.

    ``signs`` are the signs of the skip's modes relative to the convention of
    :mod:`ornstein.host.physics.couplings`, None for the convention itself. ``trained`` says which of the
    paper's numbers it stands beside.
    """

    name: str
    model: TrainedModel
    trained: bool
    signs: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Units D of each module."""
        return len(self.model.W_enc)

    @property
    def centre(self) -> np.ndarray:
        """Training mean (D,) of the decoder's activations."""
        return self.model.y_train.mean(axis=0)

    def energy(self, rank: int = 16, signs: np.ndarray | None = None) -> Energy:
        """The paper's energy with Gram terms of full rank; ``signs`` (rank,) multiply the skip's
        modes.
        """
        energy = self._energies.setdefault(
            rank, paper_energy(self.model.W_enc, self.model.W_dec, rank)
        )
        signs = self.signs if signs is None else signs
        return energy if signs is None else with_signs(energy, signs[:rank])

    def short_energy(self, rank: int = 16) -> Energy:
        """The energy with its Gram terms cut to the skip's rank: one coupling, O(Dk)
        connections.
        """
        return hierarchical_bilinear(self.model.W_enc, self.model.W_dec, rank)

    @cached_property
    def _energies(self) -> dict[int, Energy]:
        return {}


def with_signs(energy: Energy, signs: np.ndarray) -> Energy:
    """The energy with every mode of its last coupling, the skip, multiplied by its sign (rank,)."""
    *others, skip = energy.couplings
    first, *rest = skip.factors
    return replace(energy, couplings=(*others, replace(skip, factors=(first * signs, *rest))))


def without_skip(energy: Energy) -> Energy:
    """The energy without its last coupling, the skip."""
    return replace(energy, couplings=energy.couplings[:-1])


def halves(energy: Energy) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The blocks A, J_skip and B of M."""
    matrix, encoder, decoder = energy.matrix(), energy.slices[ENCODER], energy.slices[DECODER]
    return matrix[encoder, encoder], matrix[encoder, decoder], matrix[decoder, decoder]


def load_untrained(path: Path = UNTRAINED_MODEL) -> Subject:
    """The stored network of the paper's own script, D = 128, with the signs that its skip has
    there.
    """
    with safe_open(path / WEIGHTS_FILE, framework="np") as file:
        signs = file.get_tensor(SIGNS_NAME).astype(float)
    model = TrainedModel.load(path)
    return Subject(f"untrained, D = {len(model.W_enc)}", model, False, signs)


def load_trained(path: str | Path) -> Subject:
    """The network in a folder of ``ornstein train``."""
    model = TrainedModel.load(path)
    return Subject(f"trained, D = {len(model.W_enc)}", model, True)


class PaperError(RuntimeError):
    """The gateware and the integer model disagree: the one thing that must never happen."""


class Gateware:
    """Runs float programs on the integer model of a device's fabric, and the first inputs on the
    device itself.

    The device must give the model's bits, so that the model's answers are the gateware's. Programs
    that do not fit the device's memories run on the ``wide`` fabric: Verilated where the device is,
    else on its integer model alone. The float reference has no fabric and answers for itself.

    Attributes
    ----------
    checked : inputs of every program that the device answers too
    bit_exact : whether it computes in integers
    compared, cycles : inputs compared in every bit so far, and what they took on a device with a
        clock
    """

    def __init__(self, uri: str, seed: int, checked: int = 2):
        if uri == "float:exact":
            raise DeviceError(
                "the experiments run dynamics, and device 'float:exact' has none; use float, model or "
                "rtl"
            )
        self.uri, self.seed, self.checked = uri, seed, checked
        self.compared = self.cycles = 0
        self._confirmed: dict[str, None] = {}  # devices, in the order of their first confirmation
        self._stack, self._devices = ExitStack(), {}
        config = self._open(uri).config
        self.bit_exact = config is not None
        self._fabric = config or preset("reference")

    def __enter__(self) -> "Gateware":
        return self

    def __exit__(self, *exception):
        self._stack.close()

    @property
    def description(self) -> str:
        """Where the gateware column comes from, in words."""
        if not self.bit_exact:
            return "the float64 dynamics, no gateware"
        if self.uri.startswith("model"):
            return "the integer model, which equals the gateware in every bit"
        where = " and ".join(self._confirmed) or self.uri
        return f"the integer model, with {self.compared:,} inputs run on {where} as well and equal in every bit"

    def run(
        self, problem: Problem, inputs: np.ndarray, calibration: np.ndarray | None = None
    ) -> tuple[Outputs, Program]:
        """Outputs for inputs (n, input_size) and the program they came from; ranges from
        ``calibration`` or inputs.

        Raises ProgramError if no fabric holds the program, PaperError if device and model differ.
        """
        calibration = inputs if calibration is None else calibration
        try:
            uri, program = self.uri, compile_problem(problem, self._fabric, calibration)
        except ProgramError:
            uri = "rtl:wide" if self.uri.startswith("rtl") else "model:wide"
            program = compile_problem(problem, WIDE, calibration)
        if not self.bit_exact:
            return self._answer(self._open(self.uri), program, inputs), program
        outputs = self._answer(self._model(program.config), program, inputs)
        if not uri.startswith("model"):
            few = inputs[: self.checked]
            found = self._answer(self._open(uri), program, few)
            if not (
                np.array_equal(found.sums, outputs.sums[: len(few)])
                and np.array_equal(found.samples, outputs.samples[: len(few)])
            ):
                raise PaperError(
                    f"{problem.name}: {uri} and the integer model differ; run ornstein doctor"
                )
            self._confirmed[uri] = None
            self.compared += len(few)
            self.cycles += found.counters["cycles"]
            outputs.counters["cycles"] = found.counters["cycles"] * len(inputs) // len(few)
        return outputs, program

    def relax(self, energy: Energy, biases: np.ndarray) -> tuple[np.ndarray, Energy]:
        """Means (n, units) that biases (n, units) relax to at kT = 0, and the energy that the
        factors realise.
        """
        problem = Problem(
            "relax", (energy,), equilibrium(energy, kT=0.0, samples=COLD_SAMPLES), entry=BIAS
        )
        outputs, program = self.run(problem, biases)
        return outputs.mean, program.realised[0]

    def _answer(self, device: Device, program: Program, inputs: np.ndarray) -> Outputs:
        device.load(program)
        return device.run(inputs, seed=self.seed)

    def _open(self, uri: str) -> Device:
        if uri not in self._devices:
            self._devices[uri] = self._stack.enter_context(open_device(uri))
        return self._devices[uri]

    def _model(self, config: FabricConfig) -> ModelDevice:
        return self._devices.setdefault(config.build_hash, ModelDevice(config))
