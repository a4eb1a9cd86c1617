# SPDX-License-Identifier: Apache-2.0
"""Learning: a chip whose connections are wrong answers right after it; it resumes in every bit, is
the same on gateware and model, and stops where it diverges.
"""

from dataclasses import replace

import numpy as np
import pytest

from helpers import learning
from ornstein.host.compile.program import InputError
from ornstein.host.compile.program_file import load_program, save_program
from ornstein.host.devices.device import open_device
from ornstein.host.devices.imperfect import open_imperfect
from ornstein.host.devices.imperfections import Chip, Connections
from ornstein.host.learn import learner as learner_module
from ornstein.host.learn.learner import Learner, LearningError, Settings, random_factors
from ornstein.host.learn.steps import strength

CHIP = Chip(seed=7, connections=Connections(mismatch=0.3))
QUICK = Settings(steps=30, batch=24, every=10, rate=0.3, limit=0.9, beta=1.0)


@pytest.fixture(scope="module")
def program():
    return learning.program()


def learner(device, program, settings=QUICK, **options):
    given = learning.inputs()
    return Learner(program, device, given, learning.targets(given), settings, **options)


@pytest.fixture(scope="module")
def healed(program):
    """(learner, best validation) on the chip."""
    with open_imperfect("model:tiny", CHIP) as device:
        made = learner(device, program)
        return made, made.run()


def test_a_mismatched_chip_is_healed(healed):
    made, best = healed
    assert made.history[0].loss > 0.01
    assert best.loss < 1e-4
    assert [row.step for row in made.history] == [0, 10, 20, 30]
    assert all(row.words > 0 for row in made.history[1:])


def test_the_program_is_an_ordinary_one_and_made_for_its_chip(healed, program, tmp_path):
    made, _ = healed
    save_program(made.program, tmp_path / "healed.program")
    loaded = load_program(tmp_path / "healed.program")
    given = learning.inputs(50)
    wanted = learning.targets(given)

    def error(chip, of):
        with open_imperfect("model:tiny", chip) as device:
            device.load(of)
            return np.mean((of.problem.decode(device.run(given).mean) - wanted) ** 2)

    assert error(CHIP, loaded) < error(CHIP, program) / 10
    assert error(Chip(), loaded) > 5 * error(Chip(), program)
    differing = replace(loaded, factor=program.factor)
    for name in ("constants", "descriptors", "activation", "input_lsb"):
        assert np.array_equal(getattr(differing, name), getattr(program, name))


def test_random_couplings_learn_as_well(program):
    with open_device("model:tiny") as device:
        made = learner(device, program, replace(QUICK, steps=50), start=random_factors(program, 3))
        best = made.run()
    assert made.history[0].loss > 0.3 and best.loss < 0.01


def test_gateware_learns_what_the_model_learns_in_every_bit(program):
    settings = replace(QUICK, steps=200, every=100, batch=2)
    factors = []
    for uri in ("rtl:tiny", "model:tiny"):
        with open_imperfect(uri, CHIP) as device:
            made = learner(device, program, settings)
            made.run()
            factors.append((made.program.factor, made.history))
    assert np.array_equal(factors[0][0], factors[1][0]) and factors[0][1] == factors[1][1]
    assert factors[0][1][-1].loss < factors[0][1][0].loss / 100


def test_learning_resumes_in_every_bit(program, tmp_path):
    checkpoint = tmp_path / "learning.checkpoint"
    with open_imperfect("model:tiny", CHIP) as device:
        whole = learner(device, program)
        whole.run()
        first = learner(device, program)

        def interrupt(step, validation):
            if step == 20:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            first.run(checkpoint=checkpoint, progress=interrupt)
        second = learner(device, program)
        assert second.resume(checkpoint) == 20
        second.run()
    assert second.history == whole.history
    assert np.array_equal(second.program.factor, whole.program.factor)


def test_a_worse_validation_takes_the_factors_back(program, monkeypatch):
    """A sound device has little to learn, and at this rate its validations are worse."""
    monkeypatch.setattr(learner_module, "DIVERGED", np.inf)
    with open_device("model:tiny") as device:
        made = learner(device, program, replace(QUICK, rate=4.0, steps=6, every=2, limit=0.99))
        made.run()
        assert made.history[1].loss > made.history[0].loss
        assert made.validate().loss == made.best.loss


def test_a_checkpoint_of_something_else_is_refused(program, tmp_path):
    checkpoint = tmp_path / "learning.checkpoint"
    with open_device("model:tiny") as device:
        learner(device, program).save(checkpoint)
        with pytest.raises(LearningError, match="belongs to another program, other data or other"):
            learner(device, program, replace(QUICK, rate=0.1)).resume(checkpoint)
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
        with pytest.raises(LearningError, match="cannot be read as a checkpoint"):
            learner(device, program).resume(checkpoint)


def test_couplings_stay_below_the_limit(program):
    with open_device("model:tiny") as device:
        made = learner(device, program, replace(QUICK, limit=0.48))
        for _ in range(5):
            made.step()
        found = made.validate()
    assert found.strength <= 0.48 + 1e-9 and found.limited > 0
    assert strength(made.program.problem.energies[0]) <= 0.48 + 1e-9


def test_learning_that_diverges_stops_and_keeps_the_best(program):
    """A sound device has little left to learn, so that steps that are too long make it worse."""
    given = learning.inputs()
    with open_device("model:tiny") as device:
        made = Learner(
            program,
            device,
            given,
            learning.targets(given),
            replace(QUICK, rate=5.0, decay=False, steps=40, every=5, limit=0.99),
        )
        with pytest.raises(LearningError, match=r"diverged at rate 5 by step \d+; the fact"):
            made.run()
        made.take_best()
        assert made.validate().loss == pytest.approx(made.best.loss)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rate", 0.0, "rate = 0.0 must be above 0"),
        ("limit", 1.0, "limit = 1.0 must be above 0 and below 1"),
        ("beta", float("nan"), "beta = nan must be above 0"),
        ("steps", 0, "steps = 0 must be 1 or more"),
    ],
)
def test_settings_out_of_range_are_named(name, value, message):
    with pytest.raises(LearningError, match=message):
        replace(QUICK, **{name: value}).check()


def test_data_that_do_not_fit_are_refused(program):
    given = learning.inputs()
    with open_device("model:tiny") as device:
        for x, y, message in (
            (given, learning.targets(given)[:, :2], r"shape \(200, 2\); .* answers \(n, 3\)"),
            (given[:50], learning.targets(given), "there are 50 inputs and 200 targets"),
            (given[:5], learning.targets(given)[:5], "learning needs ten at least"),
            (given, np.full((200, 3), np.nan), "a target is not finite"),
        ):
            with pytest.raises(InputError, match=message):
                Learner(program, device, x, y, QUICK)
