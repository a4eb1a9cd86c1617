# SPDX-License-Identifier: Apache-2.0
"""The paper's experiments: its own numbers where its network is known, and the laws behind the rest
on a small one.
"""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ornstein.host.cli.app import app
from ornstein.host.devices.device import DeviceError
from ornstein.host.experiments.common import documents
from ornstein.host.experiments.paper import (
    energy_account,
    networks,
    quartic,
    relaxation,
    reported,
    sampling,
    short_run,
    skip,
    sweep,
)
from ornstein.host.experiments.paper.conclusions import paragraphs
from ornstein.host.experiments.paper.figures import exhibits
from ornstein.host.experiments.paper.gateware import description, gateware_runner, relax
from ornstein.host.experiments.paper.report import write_paper
from ornstein.host.experiments.paper.reported import TRAINED, UNTRAINED
from ornstein.host.experiments.paper.run import run_paper
from ornstein.host.experiments.paper.scoring import agrees, scored, script_cosine
from ornstein.host.experiments.paper.subjects import (
    Network,
    Subject,
    decoder_part,
    halves,
    load_untrained,
    oracle_bias,
    with_signs,
    without_skip,
)
from ornstein.host.experiments.scores import CENTRED, COSINE, QUANTITIES
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import recipe_problem
from ornstein.host.physics.couplings import DECODER, aligned
from ornstein.host.physics.problem import BIAS, Problem, equilibrium
from ornstein.sim.energy import Energy, Module
from ornstein.sim.reference import average_variance
from ornstein.sim.stages import EM, LM

SIZE = 16


@pytest.fixture(scope="module")
def small():
    """A made-up trained network of 16 units a side: activations from 3 latent numbers."""
    rng = np.random.default_rng(5)
    latent = rng.normal(size=(160, 3))
    x = (
        0.3 * rng.normal(size=SIZE)
        + 0.1 * latent @ rng.normal(size=(3, SIZE))
        + 0.01 * rng.normal(size=(160, SIZE))
    )
    y = (
        0.3 * rng.normal(size=SIZE)
        + 0.1 * latent @ rng.normal(size=(3, SIZE))
        + 0.01 * rng.normal(size=(160, SIZE))
    )
    weights = (0.06 * rng.normal(size=(SIZE, SIZE)) for _ in range(2))
    model = TrainedModel(*weights, x[:136], y[:136], x[136:], y[136:], provenance={})
    return Subject(TRAINED, model)


@pytest.fixture(scope="module")
def untrained():
    return load_untrained()


# ---- scores --------------------------------------------------------------------------------------


def test_agreement_allows_for_two_errors_and_the_papers_rounding():
    assert agrees(0.99664, 0.9966, 0.0) and not agrees(0.99666, 0.9966, 0.0)
    assert agrees(21.34, 21.3, 0.0, decimals=1) and not agrees(21.36, 21.3, 0.0, decimals=1)
    assert agrees(0.0150, 0.0137, 0.0007) and not agrees(0.0152, 0.0137, 0.0007)


def test_scores_and_their_errors():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(40, 6)) + 3
    found = scored(target, target, target.mean(axis=0))
    assert set(found) == set(QUANTITIES) and all(
        value == pytest.approx(1) for value, _ in found.values()
    )
    assert all(error == pytest.approx(0, abs=1e-12) for _, error in found.values())
    noisy = scored(target + rng.normal(size=target.shape), target, target.mean(axis=0))
    assert 0.01 < noisy[CENTRED][1] < 0.15  # a spread of cosines over 40 inputs
    shifted = target + 7
    assert script_cosine(shifted, target) == pytest.approx(1)  # each side loses its own global mean


# ---- networks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("linear", [True, False])
def test_gradients_are_those_of_the_loss(linear):
    rng = np.random.default_rng(1)
    matrices, biases = (
        [rng.normal(size=(3, 5)), rng.normal(size=(5, 2))],
        [rng.normal(size=5), rng.normal(size=2)],
    )
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))

    def loss():
        return np.mean((networks.Network(tuple(matrices), tuple(biases), linear, True)(x) - y) ** 2)

    for weight, slope in zip(
        matrices + biases, networks.gradients(matrices, biases, linear, x, y), strict=True
    ):
        for place in np.ndindex(weight.shape):
            weight[place] += 1e-6
            above = loss()
            weight[place] -= 2e-6
            below = loss()
            weight[place] += 1e-6
            assert slope[place] == pytest.approx((above - below) / 2e-6, abs=1e-6)


@pytest.mark.parametrize(
    ("size", "biases", "parameters"), [(64, True, 2708), (64, False, 2560), (128, True, 5396)]
)
def test_parameters_are_the_papers(size, biases, parameters):
    rng = np.random.default_rng(2)
    encoder, transfer = (
        networks.train(
            np.zeros((1, size)), np.zeros((1, size)), (size, hidden, size), 0, rng, biases=biases
        )
        for hidden in (4, 16)
    )
    assert networks.Conditioning(encoder, transfer).parameters == parameters


@pytest.mark.parametrize("biases", [True, False])
def test_the_fabrics_interface_is_the_network(small, biases):
    model = small.model
    fit = networks.train_conditioning(model.x_train, model.x_train, model.y_train, 3, biases=biases)
    produced = fit.interface("encoder", "decoder")(fit.inputs(model.x_test))
    np.testing.assert_allclose(
        np.hstack([produced["encoder"], produced["decoder"]]), fit(model.x_test), atol=1e-12
    )


def test_training_lowers_the_error(small):
    x, y = small.model.x_train, 0.2 * small.model.x_train
    before, after = (
        networks.train(x, y, (SIZE, 4, SIZE), steps, np.random.default_rng(0), linear=True)
        for steps in (0, 200)
    )
    assert np.mean((after(x) - y) ** 2) < 0.05 * np.mean((before(x) - y) ** 2)


# ---- the untrained network, where the paper's numbers are known exactly --------------------------


def test_the_papers_shifts_follow_from_its_network_to_their_digits(untrained):
    x, y = untrained.model.x_test, untrained.model.y_test
    for rank, paper in reported.SHIFT[UNTRAINED].items():
        shift = skip.relative(skip.skip_shifts(untrained.energy(rank), x, y), y).mean()
        assert shift == pytest.approx(paper, abs=0.05), rank


def test_the_papers_oracle_skip_only_and_pipeline_follow_too(untrained):
    model, energy = untrained.model, untrained.energy()
    a, _, b = halves(energy)
    paper = reported.COSINE[UNTRAINED]

    def cosine(bias):
        return script_cosine(decoder_part(energy, energy.mean(bias)), model.y_test)

    assert cosine(oracle_bias(energy, model.x_test, model.y_test)) == pytest.approx(
        paper["oracle"], abs=5e-5
    )
    fit = networks.train_conditioning(model.x_train, model.x_train @ a, model.y_train @ b, 0)
    assert cosine(fit(model.x_test)) == pytest.approx(paper["full"], abs=1e-4)
    blind = np.hstack([fit.encoder(model.x_test), np.zeros_like(model.y_test)])
    assert cosine(blind) == pytest.approx(paper["skip only"], abs=2e-3)


def test_the_stored_network_is_the_one_its_seed_makes(untrained):
    pytest.importorskip("torch")
    from ornstein.host.experiments.paper.untrained import make_net, script_signs, square_weight

    net = make_net()
    weights = {name: square_weight(getattr(net, name).conv1.weight) for name in ("e1", "d1")}
    np.testing.assert_array_equal(weights["e1"], untrained.model.W_enc)
    np.testing.assert_array_equal(weights["d1"], untrained.model.W_dec)
    np.testing.assert_array_equal(script_signs(weights), untrained.signs)


# ---- A and D -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [2, 4, 8, 16])
def test_the_skip_has_one_norm_at_every_rank_and_sign(small, rank):
    signs = np.random.default_rng(rank).choice([-1.0, 1.0], rank)
    for energy in (small.energy(rank), small.energy(rank, signs)):
        assert np.linalg.norm(halves(energy)[1]) == pytest.approx(0.25)
    assert np.all(halves(without_skip(small.energy(rank)))[1] == 0)
    assert not np.allclose(
        with_signs(small.energy(2), np.array([1, -1])).matrix(), small.energy(2).matrix()
    )


def test_sign_draws_are_the_equilibria_of_those_energies(small, monkeypatch):
    monkeypatch.setattr(skip, "SIGN_DRAWS", 5)
    model, y = small.model, small.model.y_test
    signs = np.random.default_rng(4).choice([-1.0, 1.0], (5, 8))
    for target in (y, np.zeros_like(y)):
        found = list(skip.sign_draws(small, 8, target, np.random.default_rng(4)))
        for row, shift in zip(signs, found, strict=True):
            energy = small.energy(8, row)
            mean = energy.mean(oracle_bias(energy, model.x_test, target))
            np.testing.assert_allclose(shift, decoder_part(energy, mean) - target, atol=1e-12)


def test_the_quartic_minimum_is_stationary(small):
    energy = quartic.gram_module(small.model.W_enc, j4=0.05)
    bias = energy.matrix() @ small.model.x_test[0]
    state = quartic.quartic_minimum(energy, bias)
    np.testing.assert_allclose(energy.matrix() @ state + 4 * energy.j4 * state**3, bias, atol=1e-8)
    np.testing.assert_allclose(
        quartic.quartic_minimum(replace(energy, j4=0.0), bias), small.model.x_test[0], atol=1e-8
    )


def test_relaxation_finds_the_quartic_minimum(small):
    energy = quartic.gram_module(small.model.W_enc, j4=0.05)
    biases = small.model.x_test[:4] @ energy.matrix()
    with gateware_runner("model", 1) as runner:
        means, _ = relax(runner, energy, biases)
    minima = np.array([quartic.quartic_minimum(energy, bias) for bias in biases])
    np.testing.assert_allclose(means, minima, atol=2e-3)  # 12-bit factors and the state's rounding


# ---- F -------------------------------------------------------------------------------------------


def test_the_papers_floor_and_gain():
    assert energy_account.floor_joules(256) == pytest.approx(4.24e-16, rel=1e-3)
    assert reported.GPU_JOULES / energy_account.floor_joules(256) == pytest.approx(
        1.89e13, rel=1e-2
    )


def test_multiplies_of_the_net_and_power_of_the_board():
    # one channel pair everywhere but for the shortcuts: stem, five blocks, head of a net of one
    # channel
    by_hand = (
        16 * 9
        + 16 * 18
        + 4 * 2 * (9 + 18 + 1)
        + 1 * 4 * (18 + 36 + 2)
        + 4 * 2 * (54 + 18 + 6)
        + 16 * (27 + 9 + 3)
        + 16
    )
    assert energy_account.net_multiplies(1, 1, side=4) == by_hand
    assert 1e-3 < energy_account.icebreaker_watts(cells=0) < energy_account.icebreaker_watts() < 0.1


def test_joules_of_the_cpu_say_how_they_were_found(monkeypatch):
    monkeypatch.setattr(energy_account, "_SECONDS", 0.001)
    joules, how = energy_account.measured_joules(lambda: sum(range(1000)), 10)
    assert joules > 0 and ("RAPL" in how or "assumed" in how)
    monkeypatch.setattr(energy_account, "_counter", iter((1_000_000, 3_000_000)).__next__)
    _, how = energy_account.measured_joules(lambda: None, 1)
    assert "RAPL" in how


# ---- G and H -------------------------------------------------------------------------------------


def test_decay_is_that_of_the_matrix_power(small):
    energy, mean = small.energy(4), small.energy(4).mean(np.ones((2, 2 * SIZE)))
    left, found = mean, []
    for _ in range(5):
        left = left @ (np.eye(2 * SIZE) - 1.5 * energy.matrix())
        found.append(np.linalg.norm(left) / np.linalg.norm(mean))
    np.testing.assert_allclose(relaxation.decay(energy, mean, 1.5, 5), found)


@pytest.mark.parametrize("integrator", [LM, EM])
def test_variance_of_an_average_is_exact(integrator):
    """Against the covariance of the chain written out as a sum of its normals, long after it
    started from zero.
    """
    rate, kT, dt, steps, burn = 0.15, 0.7, 1.3, 9, 400
    total = burn + steps
    response = np.tril(
        (1 - dt * rate) ** np.subtract.outer(np.arange(total), np.arange(total)).clip(0)
    )
    normals = np.eye(total, total + 1)
    if integrator == LM:
        normals = (normals + np.eye(total, total + 1, 1)) / 2
    average = (response @ normals * np.sqrt(2 * kT * dt))[burn:].mean(axis=0)
    found = average_variance(np.array([rate]), kT, dt, steps, integrator)
    np.testing.assert_allclose(found, average @ average, rtol=1e-10)
    long = average_variance(np.array([rate]), kT, dt, 10**7, integrator)
    np.testing.assert_allclose(long, 2 * kT / (rate**2 * 10**7 * dt), rtol=1e-5)


@pytest.mark.parametrize("integrator", [LM, EM])
def test_the_fabrics_averages_follow_the_law(small, integrator):
    model, kT, dt, steps = small.model, 1e-3, 2.0, 300
    recipe = recipes.ours_aligned(model, aligned(model.x_train, model.y_train, 3))
    noise = sampling.Noise.of(recipe, recipe.predict(model.x_test), small.centre)
    problem = recipe_problem(recipe, kT=kT, samples=steps, dt=dt, integrator=integrator)
    with gateware_runner("model", 1) as runner:
        run = runner.run(problem, model.x_test, model.x_train)
    found = recipe.decode(run.outputs.mean)
    squares = np.sum((found - recipe.predict(model.x_test)) ** 2, axis=1)
    ratio = squares / noise.exact(kT, run.program.dt, steps, integrator)
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert noise.exact(kT, dt, steps, integrator) == pytest.approx(
        noise.law(kT, dt, steps), rel=0.1
    )


def test_steps_of_the_law_lose_what_was_asked():
    noise = sampling.Noise(np.array([0.1, 0.3]), np.array([1.0, 2.0]), np.full(4, 5.0))
    steps = noise.steps(0.1, 1.0, 0.002)
    assert noise.loss(noise.law(0.1, 1.0, steps)) == pytest.approx(0.002, rel=0.01)
    assert noise.steps(0.2, 1.0, 0.002) == pytest.approx(2 * steps, abs=2)
    assert noise.steps(0.1, 2.0, 0.002) == pytest.approx(steps / 2, abs=2)


# ---- the gateware column -------------------------------------------------------------------------


def _two_units():
    energy = Energy((Module("encoder", 1), Module(DECODER, 1)))
    return Problem("two", (energy,), equilibrium(energy, kT=0.1, samples=8), entry=BIAS), np.array(
        [[0.1, 0.2]] * 4
    )


def test_the_description_says_what_the_device_confirmed():
    problem, inputs = _two_units()
    with gateware_runner("rtl:tiny", 3) as runner:
        run = runner.run(problem, inputs)
    assert (run.compared, len(run.outputs.mean)) == (2, 4)
    assert "2 inputs run on rtl:tiny as well and equal in every bit" in description(runner)
    with gateware_runner("model:tiny", 3) as runner:
        assert description(runner) == "the integer model, which equals the gateware in every bit"


def test_what_does_not_fit_runs_on_the_wide_fabric(small):
    energy = small.energy()
    with gateware_runner("model:tiny", 1) as runner:
        problem = Problem("large", (energy,), equilibrium(energy, kT=0.0, samples=4), entry=BIAS)
        run = runner.run(problem, np.zeros((1, energy.units)) + 0.01)
    assert run.program.config.name == "wide"


def test_the_float_reference_answers_for_itself():
    problem, inputs = _two_units()
    with gateware_runner("float", 1) as runner:
        assert not runner.bit_exact and runner.run(problem, inputs).outputs.sums is None
        assert "no gateware" in description(runner)
    with pytest.raises(DeviceError, match="'float:exact' has none"):
        gateware_runner("float:exact", 1)


# ---- all of it -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(small):
    """All experiments on the small network, with fewer draws and temperatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skip, "SIGN_DRAWS", 10)
        patch.setattr(quartic, "DRAWS", 8)
        patch.setattr(sweep, "SEEDS", 2)
        patch.setattr(sampling, "TEMPERATURES", (1e-4, 1e-3))
        patch.setattr(energy_account, "_SECONDS", 0.001)
        said = []
        with gateware_runner("model", 1) as runner:
            yield run_paper([small], runner, 1, said.append)
        assert said[0].startswith("A: ") and said[-1].startswith("I: ")


def test_every_experiment_has_results_in_the_schema(everything):
    assert [experiment.key for experiment in everything] == list("ABCDEFGHI")
    for experiment in everything:
        assert paragraphs(experiment) and experiment.results
        for document in documents([experiment]):
            numbers = [document.pop(name) for name in ("paper", "float64", "gateware", "error")]
            assert all(isinstance(text, str) for text in document.values())
            assert all(
                number is None or (isinstance(number, float) and np.isfinite(number))
                for number in numbers
            )
            assert (
                any(number is not None for number in numbers) or document["note"]
            )  # nothing, but it says why


def test_rows_are_unique(everything):
    names = [
        (result.experiment, result.row, result.quantity) for e in everything for result in e.results
    ]
    assert len(names) == len(set(names))


def test_the_production_test_stands_beside_its_baselines(everything):
    production = everything[2]
    rows = {result.case for result in production.results}
    assert rows >= {
        "oracle",
        "exact oracle",
        "encoder and oracle",
        "skip only",
        "full",
        "full, no biases",
        "full, no couplings",
        "constant mean",
        "full, shuffled targets",
        "ours, closed form",
        "ours, aligned skip",
    }
    network = Network(TRAINED, SIZE)
    assert production.find(COSINE, network, "exact oracle").float64 == pytest.approx(1)
    assert production.find(CENTRED, network, "constant mean").float64 == 0
    for name in ("exact oracle", "ours, closed form"):
        result = production.find(CENTRED, network, name)
        assert result.gateware == pytest.approx(result.float64, abs=0.005)


def test_every_figure_is_drawn_and_the_page_holds_the_numbers(everything, tmp_path):
    names = {exhibit.name for experiment in everything for exhibit in exhibits(experiment)}
    assert names == {
        "skip-shift",
        "skip-dimensions",
        "skip-signs",
        "bottleneck",
        "production",
        "deficit",
        "joules",
        "relaxation",
        "law",
        "variance",
        "four-hundred",
    }
    page = write_paper(everything, "the integer model", tmp_path)
    assert {file.stem for file in (tmp_path / "figures").iterdir()} == names
    text = page.read_text()
    assert (
        "A. Skip coupling" in text
        and "I. 400 steps at kT = 1" in text
        and "nan" not in text.split()
    )


def test_the_command_writes_what_it_prints(everything, tmp_path, monkeypatch):
    from ornstein.host.cli import main as cli  # noqa: F401 - registers the other commands
    from ornstein.host.experiments.paper import run

    # one figure is soon drawn
    monkeypatch.setattr(run, "run_paper", lambda *arguments: everything[4:5])
    result = CliRunner().invoke(app, ["paper", "--device", "model", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "results.json").read_text()) == documents(everything[4:5])
    assert (tmp_path / "results.csv").exists() and (tmp_path / "report.html").exists()


def _changed(experiment, quantity, case=None, **values):
    """The experiment with other values in the results of a quantity."""
    results = [
        replace(result, **values)
        if result.quantity == quantity and case in (None, result.case)
        else result
        for result in experiment.results
    ]
    return replace(experiment, results=results)


@pytest.mark.parametrize(
    ("letter", "quantity", "case", "column", "value", "words"),
    [
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.LINEAR, 8), "float64", 0.1234, "0.1234"),
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.NONE), "float64", 0.2345, "0.2345"),
        ("B", sweep.DECODER_COSINE, sweep.Encoder(sweep.CONSTANT), "float64", 0.3456, "0.3456"),
        ("C", COSINE, "full", "float64", 0.1234, "cosine of 0.1234"),
        ("C", COSINE, "constant mean", "float64", 0.2345, "nothing of the input, 0.2345"),
        ("C", CENTRED, "full", "float64", 0.345, "keeps 0.345"),
        ("C", CENTRED, "ours, closed form", "gateware", 0.456, "(0.456 on the gateware)"),
        ("C", "parameters", "ours, closed form", "float64", 1234.0, "of 1,234 weights"),
        ("D", quartic.DIFFERENCE, quartic.RANDOM, "float64", 0.321, "by 32.1%"),
        ("D", quartic.DIFFERENCE, quartic.SCRIPT_ENERGY, "float64", 0.432, "too: 43.2%"),
        ("D", quartic.TO_MINIMUM, quartic.RANDOM, "gateware", 0.0123, "an rms of 0.012"),
        ("D", quartic.DIFFERENCE, quartic.WARM, "gateware", 1e6, "standard errors from where"),
        ("E", "correct / naive bias, encoder", None, "float64", 20.0, "ratio is 20.0, 130 to 130"),
        ("F", energy_account.GAIN, None, "float64", 1.7e12, "gain of 1.7e+12, or 1.7e+09"),
        ("F", "GPU / interface, 8-bit integers", None, "float64", 2.7e5, "allow 2.7e+05"),
        ("F", energy_account.ICEBREAKER_JOULES, recipes.FULL, "float64", 4e-6, "4e-06 J for"),
        ("G", relaxation.STEPS_TO, None, "gateware", 7.0, "is reached in 7 ("),
        ("H", sampling.SQUARED_ERROR, None, "gateware", 1e9, "standard errors from it"),
        ("H", sampling.STEPS_NEEDED, (recipes.ALIGNED, 1.0), "float64", 4321, "for 4,321 averaged"),
        ("H", sampling.STEPS_NEEDED, (recipes.FULL, 1.0), "float64", 8765, "8,765 for states"),
        ("I", f"{short_run.LAST}, {CENTRED}", None, "gateware", 0.111, "of 0.111 to 0.111"),
        ("I", sampling.STEPS_NEEDED, recipes.FULL, "float64", 9e9, "to 9,000,000,000"),
    ],
)
def test_conclusions_follow_the_numbers(everything, letter, quantity, case, column, value, words):
    """A conclusion changes with each number that it names."""
    experiment = next(experiment for experiment in everything if experiment.key == letter)
    before = " ".join(paragraphs(experiment))
    after = " ".join(paragraphs(_changed(experiment, quantity, case, **{column: value})))
    assert words in after and after != before


@pytest.mark.parametrize(
    ("letter", "quantity", "column", "value", "words"),
    [
        ("A", skip.SHIFT_SPREAD, "float64", 12.34, "over them: 12.3% of the mean"),
        ("A", skip.SHIFT, "gateware", 1e3, "of float64 throughout"),
        ("C", COSINE, "float64", 0.5, "the number is their value"),
        ("E", "correct / naive bias, encoder", "float64", 12.3, "by 12.3 (trained"),
        ("F", "interface, 8-bit integers, J", "float64", 1.0, "times the floor"),
        ("G", relaxation.DEPARTURE, "gateware", 0.5, "within 50%"),
        ("H", sampling.VARIANCE, "gateware", 1e9, "standard errors off"),
        ("I", f"{short_run.AVERAGE}, {CENTRED}", "gateware", 0.21, "is 0.21 to 0.21"),
    ],
)
def test_captions_follow_the_numbers(everything, letter, quantity, column, value, words):
    experiment = next(experiment for experiment in everything if experiment.key == letter)
    before = " ".join(exhibit.caption for exhibit in exhibits(experiment))
    changed = _changed(experiment, quantity, **{column: value})
    after = " ".join(exhibit.caption for exhibit in exhibits(changed))
    assert words in after
    assert after != before or letter == "C"  # its caption turns on which row is the higher one


def test_no_sentence_of_the_paper_types_what_the_table_of_its_numbers_holds():
    from pathlib import Path

    folder = Path(reported.__file__).parent
    files = [*folder.glob("*.py"), *folder.glob("templates/*"), *folder.parent.glob("demo/**/*.*")]
    typed = {f"{value}" for numbers in reported.COSINE.values() for value in numbers.values()} - {
        "1.0"
    }
    for path in files:
        if path.suffix in (".py", ".jinja") and path.name != "reported.py":
            found = set(re.findall(r"\b0\.\d{4}\b", path.read_text()))
            assert not found & typed, path.name
