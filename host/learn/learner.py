# SPDX-License-Identifier: Apache-2.0
"""Learning of a program's couplings on the device that runs it.

The host keeps float factors. After each step they are rounded into the program's number formats,
and the words that changed are written to the device. Everything that is learned from is read from
the device; the host knows nothing of its imperfections.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ornstein.host.compile.coupling_memory import AdjustableCouplings, Factors
from ornstein.host.compile.program import InputError, Program
from ornstein.host.devices.device import Device
from ornstein.host.experiments.scores import Scores, score
from ornstein.host.files.replace import replacing
from ornstein.host.learn.errors import LearningError
from ornstein.host.learn.nudges import Nudger, loss_gradient
from ornstein.host.learn.steps import (
    DAMPING,
    DAMPING_HELD,
    Curvature,
    definite,
    moved,
    strength,
)

DIVERGED = 3.0
"""Times the loss before the first step at which learning counts as diverging."""
LARGEST_VALIDATION = 128
"""Inputs that are validated on, at most."""


@dataclass(frozen=True)
class Settings:
    """How to learn.

    Attributes
    ----------
    steps : batches in all
    batch : inputs of a batch
    rate : share of a Gauss-Newton step that each step takes, at first
    decay : whether the rate falls linearly to zero at the last step, and a validation that is worse
        than the best one takes the factors back to that; otherwise both stay, as for a chip that
        drifts
    beta : strength of the nudges
    warm : start nudged phases from the states of the phase before
    limit : largest strength S that the couplings may have; below 1 they stay positive definite
    every : steps between two validations
    seed : of the batches and of all runs
    """

    steps: int = 120
    batch: int = 128
    rate: float = 0.4
    decay: bool = True
    beta: float = 2.0
    warm: bool = True
    limit: float = 0.8
    every: int = 5
    seed: int = 1

    def check(self) -> None:
        """Raises LearningError, which names the setting, if one is out of range."""
        for name, low, high in (
            ("steps", 1, np.inf),
            ("batch", 1, np.inf),
            ("rate", 0, np.inf),
            ("beta", 0, np.inf),
            ("limit", 0, 1),
            ("every", 1, np.inf),
        ):
            value = getattr(self, name)
            if not (low <= value < high) or value == 0:
                raise LearningError(
                    f"{name} = {value} must be {f'{low} or more' if low else 'above 0'}"
                    f"{f' and below {high}' if high < np.inf else ''}"
                )


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes
    ----------
    step : steps done before
    loss : mean squared error of the answers, over the mean square of the targets about their mean
    centred : centred cosine
    strength : S of the couplings
    words : factor words that the steps since the last validation have written
    limited : of those steps, how many the definiteness of M has shortened
    """

    step: int
    loss: float
    centred: float
    strength: float
    words: int
    limited: int


@dataclass
class _State:
    """What a checkpoint holds."""

    step: int
    factors: Factors
    best: Factors
    curvature: Curvature = field(default_factory=Curvature)
    history: list[Validation] = field(default_factory=list)


class Learner:
    """Learns the couplings of one program on one device.

    Parameters
    ----------
    inputs, targets : (n, input_size) and (n, D) to learn from; a part of them, the last tenth of a
        random order but at most `LARGEST_VALIDATION`, is kept for validation
    start : float factors to begin with; by default the program's own

    Attributes
    ----------
    history : validations so far, the first before the first step
    program : the program with the best factors so far, by validated loss

    Raises
    ------
    ProgramError
        The program cannot be nudged, or has not one energy with couplings.
    DeviceError
        The device keeps no states for warm starts.
    InputError
        The targets do not fit the inputs or the program, or there are too few of them.
    LearningError
        A setting is out of range.
    """

    def __init__(
        self,
        program: Program,
        device: Device,
        inputs: np.ndarray,
        targets: np.ndarray,
        settings: Settings | None = None,
        *,
        start: Factors | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.settings.check()
        self._couplings = AdjustableCouplings.of(program)
        self._nudger = Nudger(
            self._couplings.program,
            device,
            beta=self.settings.beta,
            warm=self.settings.warm,
            seed=self.settings.seed,
        )
        self._target = str(program.problem.target)
        _check_data(inputs, targets, self._nudger)
        order = np.random.default_rng([self.settings.seed, 0]).permutation(len(inputs))
        kept = min(LARGEST_VALIDATION, -(-len(inputs) // 10))
        self._train, self._validation = order[:-kept], order[-kept:]
        self._inputs, self._targets = inputs, targets
        first = start or self._couplings.factors()
        first = self._couplings.within(first)
        first, _ = definite(self._couplings.energy(first), first, self.settings.limit)
        damping = DAMPING if self.settings.decay else DAMPING_HELD
        self._state = _State(0, first, first, Curvature(damping=damping))
        self._words = self._limited = 0
        self._loaded = False

    @property
    def history(self) -> list[Validation]:
        return self._state.history

    @property
    def program(self) -> Program:
        return self._couplings.with_factors(self._state.best)

    @property
    def best(self) -> Validation:
        """The validation of the best factors so far."""
        return min(self.history, key=lambda row: row.loss)

    def run(
        self,
        *,
        checkpoint: Path | None = None,
        progress: Callable[[int, Validation], None] | None = None,
    ) -> Validation:
        """Does the steps that are left; returns the best validation.

        Parameters
        ----------
        checkpoint : file that is written after each validation
        progress : is told the steps done and the last validation

        Raises
        ------
        LearningError
            The loss grows beyond all bounds; the best factors are kept.
        ProgramError, DeviceError, LinkError
            See :meth:`ornstein.host.devices.device.Device.run`.
        """
        self._load()
        if not self.history:
            self._validate(checkpoint)
        for step in range(self._state.step, self.settings.steps):
            self.step()
            last = step + 1 == self.settings.steps
            if last or (step + 1) % self.settings.every == 0:
                self._validate(checkpoint)
                self._check_converging()
            if progress:
                progress(step + 1, self.history[-1])
        return self.best

    def step(self) -> float:
        """Does one step; returns the loss of its batch, before the step, as validations have it."""
        self._load()
        settings, state = self.settings, self._state
        rng = np.random.default_rng([settings.seed, 1, state.step])
        size = min(settings.batch, len(self._train))
        batch = rng.choice(self._train, size, replace=False)
        phases = self._nudger.measure(self._inputs[batch], self._targets[batch], state.step)
        energy = self._couplings.energy(state.factors)
        state.curvature.note(phases.free)
        direction = state.curvature.step(
            energy, loss_gradient(energy, phases), self._target, self._nudger.weights
        )
        rate = settings.rate
        if settings.decay:
            rate *= 1 - state.step / settings.steps
        factors = self._couplings.within(moved(state.factors, direction, rate))
        factors, limited = definite(self._couplings.energy(factors), factors, settings.limit)
        self._write(factors)
        state.step += 1
        self._limited += limited
        wanted = self._nudger.states(self._targets[batch])
        spread = self._nudger.weights * (wanted - wanted.mean(axis=0)) ** 2
        return float(np.sum(self._nudger.weights * phases.error**2) / np.sum(spread))

    @property
    def saturations(self) -> int:
        """Words that saturated in all runs so far; 0 on a device that cannot count them."""
        return self._nudger.saturations

    @property
    def iterations(self) -> int:
        """Iterations of conjugate gradients in all steps so far that this object took."""
        return self._state.curvature.iterations

    def take_best(self) -> None:
        """Writes the best factors so far to the device, and goes on from them."""
        self._load()
        self._write(self._state.best)

    @property
    def training_mean(self) -> np.ndarray:
        """Mean (D,) of the targets that are learned from."""
        return self._targets[self._train].mean(axis=0)

    def answers(self, inputs: np.ndarray) -> np.ndarray:
        """Returns the device's answers (n, D) to any inputs; nothing is learned from them."""
        self._load()
        return self._nudger.answers(inputs, self._state.step)

    def score(self, inputs: np.ndarray, targets: np.ndarray) -> Scores:
        """Returns the scores of :meth:`answers`, with :attr:`training_mean`."""
        return score(self.answers(inputs), targets, self.training_mean)

    def validate(self) -> Validation:
        """Runs the inputs that are kept for validation."""
        inputs, targets = (values[self._validation] for values in (self._inputs, self._targets))
        scores = self.score(inputs, targets)
        found = Validation(
            self._state.step,
            1 - scores.r2,
            scores.centred_cosine,
            strength(self._couplings.energy(self._state.factors)),
            self._words,
            self._limited,
        )
        self._words = self._limited = 0
        return found

    def _load(self) -> None:
        """Loads the program at first use, so that resuming comes before."""
        if not self._loaded:
            self._nudger.load(self._couplings.with_factors(self._state.factors))
            self._loaded = True

    def _write(self, factors: Factors) -> None:
        """Writes the words that differ."""
        if not all(np.isfinite(factor).all() for factor in factors.values()):
            raise LearningError(self._diverged())
        self._words += self._nudger.update(self._couplings.with_factors(factors))
        self._state.factors = factors

    def _validate(self, checkpoint: Path | None) -> None:
        found, state = self.validate(), self._state
        first, better = not self.history, not self.history or found.loss < self.best.loss
        self.history.append(found)
        if better:
            state.best = state.factors
        if self.settings.decay and not first:
            state.curvature.adapt(better=better)
            if not better:
                self._write(state.best)
        if checkpoint is not None:
            self.save(checkpoint)

    def _check_converging(self) -> None:
        if not self.history[-1].loss < DIVERGED * self.history[0].loss:
            raise LearningError(self._diverged())

    def _diverged(self) -> str:
        return (
            f"learning diverged at rate {self.settings.rate:g} by step {self._state.step}; "
            f"the factors of step {self.best.step} are kept; choose a lower rate"
        )

    # ---- checkpoints -----------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Digest of the program, the data and the settings, which a checkpoint belongs to."""
        digest = hashlib.sha256(json.dumps(asdict(self.settings), sort_keys=True).encode())
        for array in (self._couplings.program.factor, self._inputs, self._targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Writes a checkpoint. An interrupted write leaves the old one."""
        state = self._state
        moments = state.curvature.moments
        arrays = {"moments": np.zeros((0, 0)) if moments is None else moments}
        for name, factors in (("factor", state.factors), ("best", state.best)):
            arrays |= {f"{name}.{n}.{i}": value for (n, i), value in factors.items()}
        document = {
            "fingerprint": self.fingerprint(),
            "step": state.step,
            "batches": state.curvature.batches,
            "damping": state.curvature.damping,
            "history": [asdict(row) for row in state.history],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        with replacing(path) as file:
            file.write(save(whole, metadata={"ornstein-learning": json.dumps(document)}))

    def resume(self, path: Path) -> int:
        """Goes on from a checkpoint; returns the steps that were done. The steps that follow are in
        every bit those that an uninterrupted run takes.

        Raises LearningError if the file is no checkpoint of this program, data and settings.
        """
        try:
            with safe_open(str(path), "numpy") as file:
                document = json.loads((file.metadata() or {})["ornstein-learning"])
                arrays = {name: file.get_tensor(name) for name in file.keys()}
            if document["fingerprint"] != self.fingerprint():
                raise LearningError(
                    f"{path} belongs to another program, other data or other settings; name "
                    "another checkpoint, or remove it to begin again"
                )
            moments = arrays["moments"] if arrays["moments"].size else None
            self._state = _State(
                document["step"],
                {side: arrays["factor.{}.{}".format(*side)] for side in self._state.factors},
                {side: arrays["best.{}.{}".format(*side)] for side in self._state.factors},
                Curvature(moments, document["batches"], document["damping"]),
                [Validation(**row) for row in document["history"]],
            )
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LearningError(
                f"{path} cannot be read as a checkpoint ({error}); remove it to begin again"
            ) from None
        self._loaded = False
        return self._state.step


def _check_data(inputs: np.ndarray, targets: np.ndarray, nudger: Nudger) -> None:
    """Raises InputError unless there are ten inputs at least, with a target each."""
    nudger.states(targets)
    if len(inputs) != len(targets) or len(inputs) < 10:
        raise InputError(
            f"there are {len(inputs)} inputs and {len(targets)} targets; learning needs ten at "
            "least, and as many of the one as of the other"
        )
    if not np.isfinite(targets).all():
        raise InputError("a target is not finite")


def random_factors(program: Program, seed: int, strength_at_first: float = 0.1) -> Factors:
    """Returns random float factors of a program's couplings, of that strength S."""
    couplings = AdjustableCouplings.of(program)
    rng = np.random.default_rng([seed, 2])
    drawn = {
        side: rng.standard_normal(factor.shape) for side, factor in couplings.factors().items()
    }
    found = strength(couplings.energy(drawn))
    return {side: factor * np.sqrt(strength_at_first / found) for side, factor in drawn.items()}
