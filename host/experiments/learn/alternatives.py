# SPDX-License-Identifier: Apache-2.0
"""What can be done about a chip without learning: measure it, and compute on the host.

Both alternatives measure the couplings first. One fits the digital interface again to the
couplings that were measured. The other divides each programmed factor by its measured gain.
"""

from dataclasses import dataclass, replace

import numpy as np

from ornstein.host.compile.coupling_memory import AdjustableCouplings
from ornstein.host.compile.program import INPUT_LIMIT, Program
from ornstein.host.devices.imperfect import ImperfectDevice
from ornstein.host.devices.imperfections import Chip
from ornstein.host.devices.model import ModelDevice
from ornstein.host.experiments.learn.arithmetic import compensation_multiplies, refit_multiplies
from ornstein.host.experiments.scores import score, score_errors
from ornstein.host.learn.nudges import MEANS, with_free_biases
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe
from ornstein.host.physics.problem import BIAS
from ornstein.sim.energy import Energy

PROBE = 0.5
"""Share of the range of a bias that a probe fills."""
_LEVEL = 0.5
"""Share of its largest value at which a factor is measured."""


@dataclass(frozen=True)
class Alternative:
    """Centred cosines before and after, the standard error of the latter over the held-out inputs,
    and the costs: inputs, the fabric's cycles for them, means read, factor words written, and
    multiply-adds of the host.
    """

    before: float
    after: float
    error: float
    inputs: int
    cycles: int
    reads: int
    words: int
    multiplies: int

    @property
    def scores(self) -> tuple[float, float, float]:
        return self.before, self.after, self.error

    @property
    def costs(self) -> tuple[int, int, int, int, int]:
        return self.inputs, self.cycles, self.reads, self.words, self.multiplies


def refitted(aligned: Program, model: TrainedModel, chip: Chip) -> Alternative:
    """Measures M of the full interface's couplings on the chip, one impulse a unit, and fits the
    interface to it.
    """
    recipe = recipes.ours_full(model)
    plain = compile_recipe(recipe, model, aligned.config)
    probes = compile_recipe(
        replace(recipe, interface=None, oracle=np.eye(recipe.energy.units)), model, aligned.config
    )
    assert probes.problem.entry == BIAS
    units = recipe.energy.units
    amplitude = PROBE * INPUT_LIMIT * probes.input_lsb
    with _chip(aligned, chip) as device:
        device.load(plain)
        before, _ = _score(plain, device, model)
        device.load(probes)
        begun = device.answered
        response = device.run(np.diag(amplitude), selection=MEANS).mean / amplitude[:, None]
        inputs = device.answered - begun
        inverse = (response + response.T) / 2
        measured = Energy.from_precision(np.linalg.inv(inverse), modules=recipe.energy.modules)
        fitted = replace(recipes.ours_full(model, measured), energy=recipe.energy)
        again = compile_recipe(fitted, model, aligned.config)
        device.load(again)
        after, error = _score(again, device, model)
    cycles = round(inputs * probes.input_cycles)
    rows, width = model.x_train.shape
    multiplies = refit_multiplies(units, rows, width, model.y_train.shape[1])
    return Alternative(
        before, after, error, inputs, cycles, inputs * units, len(again.factor), multiplies
    )


def compensated(aligned: Program, model: TrainedModel, chip: Chip) -> Alternative:
    """Measures every connection of the aligned program, mode by mode, and divides its factor by its
    gain.

    With one mode alone, a single unit i on its one side and all units j on the other, an input that
    drives i answers with the products of the factor of i and those of all j. One such program gives
    the decoder's connections, and a second one, whose inputs drive the encoder's units in turn and
    are read at one decoder unit, those of the encoder.
    """
    couplings = AdjustableCouplings.of(aligned)
    energy = couplings.program.problem.energy
    encoder, decoder = energy.slices.values()
    mix, leak = energy.couplings[0].mix[0, 1], 2 * energy.j2
    ideal = couplings.factors()
    amplitude = PROBE * INPUT_LIMIT * aligned.input_lsb[encoder]
    drives = np.zeros((encoder.stop, energy.units))
    drives[:, encoder] = np.diag(amplitude)
    gains = {side: np.ones_like(factor) for side, factor in ideal.items()}
    words = 0
    with _chip(aligned, chip) as device:
        device.load(aligned)
        before, _ = _score(aligned, device, model)
        device.load(with_free_biases(aligned))
        begun = device.answered
        for mode in range(len(mix)):

            def products(first: bool, mode: int = mode) -> np.ndarray:
                """Products of the realised factors: of encoder unit 0 with all decoder units, or of
                all encoder units with decoder unit 0.
                """
                nonlocal words
                probe = {side: np.zeros_like(factor) for side, factor in ideal.items()}
                probe[0, 0][0 if first else slice(None), mode] = _LEVEL
                probe[0, 1][slice(None) if first else 0, mode] = _LEVEL
                words += device.update(with_free_biases(couplings.with_factors(probe)))
                states = device.run(drives[:1] if first else drives, selection=MEANS).mean
                driven = states[:, encoder].diagonal()[: len(states)]
                answers = states[0, decoder] if first else states[:, decoder][:, 0]
                return -answers * leak / (mix[mode] * driven) / _LEVEL**2

            of_decoder, of_encoder = products(True), products(False)
            gains[0, 1][:, mode] = of_decoder
            gains[0, 0][:, mode] = of_encoder / of_decoder[0]
        inputs = device.answered - begun
        factors = {
            side: np.divide(factor, gains[side], out=factor.copy(), where=gains[side] > 0.1)
            for side, factor in ideal.items()
        }
        program = couplings.with_factors(couplings.within(factors))
        words += device.update(with_free_biases(program))
        device.load(program)
        after, error = _score(program, device, model)
    cycles = round(inputs * aligned.input_cycles)
    reads, multiplies = inputs * energy.units, compensation_multiplies(energy)
    return Alternative(before, after, error, inputs, cycles, reads, words, multiplies)


def _chip(program: Program, chip: Chip) -> ImperfectDevice:
    return ImperfectDevice(ModelDevice(program.config), chip, "model")


def _score(program: Program, device: ImperfectDevice, model: TrainedModel) -> tuple[float, float]:
    """Returns the centred cosine of the held-out inputs, and its standard error."""
    answers = program.problem.decode(device.run(model.x_test, selection=MEANS).mean)
    scored = answers, model.y_test, model.y_train.mean(axis=0)
    return score(*scored).centred_cosine, score_errors(*scored).centred_cosine
