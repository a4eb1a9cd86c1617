# SPDX-License-Identifier: Apache-2.0
"""What the paper on training reports (A. De, arXiv 2604.23806), beside float64 and the gateware.

Its claims are those of its abstract: one nudge has a bias of order beta and symmetric ones of order
beta^2; one dominant term of the bias vanishes for couplings; relaxations of finitely many steps
turn the gradient of one nudge around but not that of two; a step takes 10^3 to 10^4 times less
energy than on a GPU.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.hdl.config import ICEBREAKER, REFERENCE
from ornstein.host.compile.compiler import compile_problem
from ornstein.host.compile.coupling_memory import AdjustableCouplings, Factors
from ornstein.host.compile.program import Program
from ornstein.host.devices.comparison import check_equals_model
from ornstein.host.devices.device import Device, open_device
from ornstein.host.devices.float import FloatDevice
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.classify.classifier import Classifier, inputs_of
from ornstein.host.experiments.common import Experiment
from ornstein.host.experiments.images.digits import SIDE, load_images
from ornstein.host.experiments.learn.arithmetic import learning_multiplies
from ornstein.host.experiments.learn.gradients import compared, exact_gradient, length, weakened
from ornstein.host.experiments.paper.energy_account import (
    A100_FLOPS,
    A100_WATTS,
    FLOAT32_JOULES,
    ICEBREAKER_MHZ,
    floor_joules,
    icebreaker_watts,
)
from ornstein.host.learn.learner import Settings
from ornstein.host.learn.nudges import MEANS, Nudger, Phases, coupling_gradient, loss_gradient
from ornstein.host.learn.steps import ITERATIONS
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe
from ornstein.sim.energy import Energy
from ornstein.sim.stages import Stage

ORDERS = {False: 1.0, True: 2.0}
"""Of the error in beta, that the paper reports for one nudge and for symmetric ones."""
COSINES = {False: -0.73, True: 0.77}
"""Of the gradient with the exact one, that the paper reports for D = 64, rank 16, 300 steps."""
PAPER_STEPS, PAPER_GAIN = 300, 1e4
"""Steps of a relaxation, and the largest gain in energy over a GPU of its range of 10^3 to 10^4."""

WEAK, STRONG = 0.1, 0.5
"""Strengths of the nudges between which an order is measured."""
CUT_DT, CUT_STEPS, CUT_BETA = 0.25, 12, 0.05
"""A relaxation that ends long before equilibrium, and the strength of its nudges."""
HIDDEN, RANK, LONG = 16, 12, 100
"""Hidden units, modes and steps of the quartic program, which relaxes to the end."""
INPUTS, CONFIRMED = 32, 2
"""Inputs of every gradient, and those of each program that the gateware answers too."""
SYMMETRIC = {False: "one nudge", True: "symmetric nudges"}


@dataclass(frozen=True, eq=False)
class _Subject:
    """A program, the inputs and targets of its loss, and the energy that its integers realise."""

    name: str
    program: Program
    energy: Energy
    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(
        cls, name: str, couplings: AdjustableCouplings, inputs: np.ndarray, targets: np.ndarray
    ) -> "_Subject":
        program = couplings.program
        return cls(name, program, program.problem.energies[0], inputs, targets)


def second_paper(model: TrainedModel, gateware: str = "rtl", seed: int = 1) -> Experiment:
    """Returns the rows of all claims.

    Parameters
    ----------
    gateware : device that confirms the integer model, which makes the gateware column, on the first
        inputs of every program

    Raises ModelMismatchError if the two differ in a bit.
    """
    experiment = Experiment("learning", "The paper on training, run")
    harmonic, cut, quartic = _harmonic(model), _harmonic(model, cut=True), _quartic(seed)
    for subject in (harmonic, cut, quartic):
        _confirm(subject, gateware, seed)
    for subject in (harmonic, quartic):
        _order_rows(experiment, subject, seed)
    for subject in (harmonic, quartic):
        _vanishing_row(experiment, subject, seed)
    for subject in (harmonic, cut):
        _cosine_rows(experiment, subject, seed)
    small = compile_recipe(recipes.ours_aligned(model), model, ICEBREAKER)
    _energy_rows(experiment, harmonic.program, small.input_cycles)
    return experiment


def _harmonic(model: TrainedModel, *, cut: bool = False) -> _Subject:
    """The aligned program with weakened factors, relaxed to the end or cut short."""
    options = {"dt": CUT_DT, "stages": (Stage(CUT_STEPS - 1), Stage(1, accumulate=True))}
    program = compile_recipe(
        recipes.ours_aligned(model), model, REFERENCE, **(options if cut else {})
    )
    name = f"harmonic, cut at a time of {CUT_DT * CUT_STEPS:g}" if cut else "harmonic"
    return _Subject.of(name, weakened(program), model.x_train[:INPUTS], model.y_train[:INPUTS])


def _quartic(seed: int) -> _Subject:
    """A classifier of digits with random couplings, relaxed to the end."""
    digits = load_images()
    images = digits.train.reshape(-1, SIDE, SIDE)
    classes = int(digits.train_labels.max()) + 1
    made = Classifier.untrained(images, classes, REFERENCE, hidden=HIDDEN, rank=RANK, seed=seed)
    problem = replace(
        made.trained_program().problem, stages=(Stage(LONG), Stage(1, accumulate=True))
    )
    program = compile_problem(problem, REFERENCE, inputs_of(images[:INPUTS]))
    targets = np.eye(classes)[digits.train_labels[:INPUTS]]
    return _Subject.of(
        "quartic", AdjustableCouplings.of(program), inputs_of(images[:INPUTS]), targets
    )


def _confirm(subject: _Subject, gateware: str, seed: int) -> None:
    """Compares the gateware with the integer model on the first inputs of a program."""
    inputs = subject.inputs[:CONFIRMED]
    with open_device(gateware) as device:
        device.load(subject.program)
        outputs = device.run(inputs, seed=seed, selection=MEANS)
    check_equals_model(subject.program, inputs, outputs, seed)


def _devices() -> list[tuple[str, Device]]:
    """By the name of their column, a float device and the integer model."""
    return [("float64", FloatDevice()), ("gateware", ModelDevice(REFERENCE))]


def _measured(
    subject: _Subject, device: Device, beta: float, seed: int, *, warm: bool = False
) -> tuple[Phases, Factors]:
    """Returns the phases at a strength, and the exact gradient."""
    nudger = Nudger(subject.program, device, beta=beta, warm=warm, seed=seed)
    nudger.load(subject.program)
    phases = nudger.measure(subject.inputs, subject.targets)
    biases, wanted = nudger.biases(subject.inputs), nudger.states(subject.targets)
    exact = exact_gradient(subject.energy, biases, wanted, nudger.weights, nudger.part)
    return phases, exact


def _order_rows(experiment: Experiment, subject: _Subject, seed: int) -> None:
    """Adds the errors at two strengths, and the power of beta by which they differ."""
    errors = {
        (column, beta, symmetric): compared(
            loss_gradient(subject.energy, phases, symmetric=symmetric), exact
        )[0]
        for column, device in _devices()
        for beta in (WEAK, STRONG)
        for phases, exact in [_measured(subject, device, beta, seed)]
        for symmetric in ORDERS
    }
    power = float(np.log(STRONG / WEAK))
    for symmetric, reported in ORDERS.items():
        for beta in (WEAK, STRONG):
            experiment.add(
                f"{subject.name}, {SYMMETRIC[symmetric]}",
                f"relative error at beta = {beta:g}",
                float64=errors["float64", beta, symmetric],
                gateware=errors["gateware", beta, symmetric],
            )
        orders = {
            column: np.log(errors[column, STRONG, symmetric] / errors[column, WEAK, symmetric])
            / power
            for column in ("float64", "gateware")
        }
        experiment.add(
            f"{subject.name}, {SYMMETRIC[symmetric]}",
            "order of the error in beta",
            reference=reported,
            note=_order_note(subject, symmetric),
            **orders,
        )


def _order_note(subject: _Subject, symmetric: bool) -> str:
    rounding = "on integers the rounding of the states, which falls with beta, is in the error too"
    if symmetric and not subject.energy.j4:
        return (
            "a harmonic energy answers in proportion, so that nothing of beta is left: the error "
            f"is that of a relaxation of finitely many steps; {rounding}"
        )
    return rounding


def _vanishing_row(experiment: Experiment, subject: _Subject, seed: int) -> None:
    """Adds the part of one nudge's leading error that the curved response of the states makes.

    With states z0 + beta z1 + beta^2 z2 the error is beta (G(z1, z1) + 2 G(z0, z2)), for the
    bilinear form G of the couplings' gradient.
    """
    shares = {}
    for column, device in _devices():
        phases, _ = _measured(subject, device, STRONG, seed)
        beta = phases.beta[:, None]
        first = (phases.plus - phases.minus) / (2 * beta)
        second = (phases.plus + phases.minus - 2 * phases.free) / (2 * beta**2)
        ones = np.ones(len(beta))
        straight = coupling_gradient(subject.energy, first, ones)
        ahead, back = (
            coupling_gradient(subject.energy, phases.free + sign * second, ones) for sign in (1, -1)
        )
        curved = {side: (ahead[side] - back[side]) / 2 for side in ahead}
        shares[column] = length(curved) / (length(curved) + length(straight))
    experiment.add(
        f"{subject.name}, one nudge",
        "share of the leading error by the states' second response",
        reference=None if subject.energy.j4 else 0.0,
        note="read as the term that vanishes: states of a bilinear energy have no second response"
        if not subject.energy.j4
        else "the quartic term bends the response",
        **shares,
    )


def _cosine_rows(experiment: Experiment, subject: _Subject, seed: int) -> None:
    """Adds the cosines of weak warm nudges with the exact gradient."""
    found = {
        column: _measured(subject, device, CUT_BETA, seed, warm=True)
        for column, device in _devices()
    }
    for symmetric, reported in COSINES.items():
        experiment.add(
            f"{subject.name}, {SYMMETRIC[symmetric]}",
            f"cosine with the exact gradient, beta = {CUT_BETA:g}, warm",
            reference=reported,
            note="the abstract names neither problem, time step nor strength",
            **{
                column: compared(loss_gradient(subject.energy, phases, symmetric=symmetric), exact)[
                    1
                ]
                for column, (phases, exact) in found.items()
            },
        )


def _energy_rows(experiment: Experiment, program: Program, cycles: float) -> None:
    """Adds what a step takes, of a batch in three phases, by the paper's way of counting and on
    machines that exist. An input takes an iCEBreaker so many ``cycles``.
    """
    energy, batch = program.problem.energy, Settings().batch
    sizes = sum(factor.size for factor in energy.couplings[0].factors)
    multiplies = 3 * batch * sizes
    gpu = 2 * multiplies / A100_FLOPS * A100_WATTS
    floor = 3 * batch * floor_joules(energy.units, PAPER_STEPS)
    part = energy.slices[str(program.problem.target)]
    target = part.stop - part.start
    host = learning_multiplies(energy, target, batch, 1, ITERATIONS) * FLOAT32_JOULES
    rows = (
        (
            "k_B T x units x 300 steps, J",
            dict(float64=floor),
            f"three phases of {batch} inputs, {energy.units} units",
        ),
        (
            "GPU at its peak, J",
            dict(float64=gpu),
            f"forwards and backwards, {multiplies:,} multiply-adds on an A100",
        ),
        (
            "GPU / k_B T x units x steps",
            dict(reference=PAPER_GAIN, float64=gpu / floor),
            "the paper: 10^3 to 10^4; its share for converters and electronics is not in the "
            "abstract",
        ),
        (
            "iCEBreaker, J",
            dict(gateware=3 * batch * icebreaker_watts() * cycles / ICEBREAKER_MHZ / 1e6),
            f"{cycles:,.0f} cycles an input, upper estimate of the power",
        ),
        (
            "arithmetic of the host's step, float32, J",
            dict(float64=host),
            "Gauss-Newton step and projection; not in the paper's account",
        ),
    )
    for quantity, values, note in rows:
        experiment.add("energy of a step", quantity, note=note, **values)
