# SPDX-License-Identifier: Apache-2.0
"""The paper's experiments: its own numbers where its network is known, and the laws behind the rest
on a small one.
"""

import csv
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ornstein.host.cli.app import app
from ornstein.host.devices.device import DeviceError
from ornstein.host.experiments.paper import (
    dynamics,
    energy_account,
    experiments,
    networks,
    run_paper,
)
from ornstein.host.experiments.paper.report import exhibits, write_paper
from ornstein.host.experiments.paper.subjects import (
    Gateware,
    PaperError,
    Subject,
    halves,
    load_untrained,
    with_signs,
    without_skip,
)
from ornstein.host.experiments.results import (
    CENTRED,
    COSINE,
    QUANTITIES,
    Experiment,
    agrees,
    documents,
    scored,
    script_cosine,
    write_csv,
)
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
    return Subject(
        f"trained, D = {SIZE}",
        TrainedModel(*weights, x[:136], y[:136], x[136:], y[136:], provenance={}),
        True,
    )


@pytest.fixture(scope="module")
def untrained():
    return load_untrained()


# ---- results -------------------------------------------------------------------------------------


def test_results_are_plain_numbers_in_json_and_csv(tmp_path):
    experiment = Experiment("A", "Title")
    experiment.add("row", "quantity", float64=np.float32(0.5), gateware=None, note="because")
    assert experiment.find("row", "quantity").float64 == 0.5
    with pytest.raises(KeyError):
        experiment.find("row", "other")
    found = documents([experiment])
    assert (
        json.loads(json.dumps(found))
        == found
        == [
            {
                "experiment": "A",
                "row": "row",
                "quantity": "quantity",
                "paper": None,
                "float64": 0.5,
                "gateware": None,
                "error": None,
                "note": "because",
            }
        ]
    )
    write_csv(tmp_path / "results.csv", [experiment])
    with (tmp_path / "results.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {key: "" if value is None else str(value) for key, value in found[0].items()}
        ]


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
    for rank, paper in experiments.PAPER_SHIFT[False].items():
        shift = experiments.relative(
            experiments.skip_shifts(untrained.energy(rank), x, y), y
        ).mean()
        assert shift == pytest.approx(paper, abs=0.05), rank


def test_the_papers_oracle_skip_only_and_pipeline_follow_too(untrained):
    model, energy = untrained.model, untrained.energy()
    a, _, b = halves(energy)
    paper = experiments.PAPER_COSINE[False]

    def cosine(bias):
        return script_cosine(experiments.decoder(energy, energy.mean(bias)), model.y_test)

    assert cosine(experiments.oracle_bias(energy, model.x_test, model.y_test)) == pytest.approx(
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
    monkeypatch.setattr(experiments, "SIGN_DRAWS", 5)
    model, y = small.model, small.model.y_test
    signs = np.random.default_rng(4).choice([-1.0, 1.0], (5, 8))
    for target in (y, np.zeros_like(y)):
        found = list(experiments.sign_draws(small, 8, target, np.random.default_rng(4)))
        for row, shift in zip(signs, found, strict=True):
            energy = small.energy(8, row)
            mean = energy.mean(experiments.oracle_bias(energy, model.x_test, target))
            np.testing.assert_allclose(
                shift, experiments.decoder(energy, mean) - target, atol=1e-12
            )


def test_the_quartic_minimum_is_stationary(small):
    energy = experiments.gram_module(small.model.W_enc, j4=0.05)
    bias = energy.matrix() @ small.model.x_test[0]
    state = experiments.quartic_minimum(energy, bias)
    np.testing.assert_allclose(energy.matrix() @ state + 4 * energy.j4 * state**3, bias, atol=1e-8)
    np.testing.assert_allclose(
        experiments.quartic_minimum(replace(energy, j4=0.0), bias), small.model.x_test[0], atol=1e-8
    )


def test_relaxation_finds_the_quartic_minimum(small):
    energy = experiments.gram_module(small.model.W_enc, j4=0.05)
    biases = small.model.x_test[:4] @ energy.matrix()
    with Gateware("model", 1) as gateware:
        means, _ = gateware.relax(energy, biases)
    minima = np.array([experiments.quartic_minimum(energy, bias) for bias in biases])
    np.testing.assert_allclose(means, minima, atol=2e-3)  # 12-bit factors and the state's rounding


# ---- F -------------------------------------------------------------------------------------------


def test_the_papers_floor_and_gain():
    assert energy_account.floor_joules(256) == pytest.approx(4.24e-16, rel=1e-3)
    assert energy_account.GPU_JOULES / energy_account.floor_joules(256) == pytest.approx(
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
    np.testing.assert_allclose(dynamics.decay(energy, mean, 1.5, 5), found)


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
    noise = dynamics.Noise.of(recipe, recipe.predict(model.x_test), small.centre)
    problem = recipe_problem(recipe, kT=kT, samples=steps, dt=dt, integrator=integrator)
    with Gateware("model", 1) as gateware:
        outputs, program = gateware.run(problem, model.x_test, model.x_train)
    squares = np.sum((recipe.decode(outputs.mean) - recipe.predict(model.x_test)) ** 2, axis=1)
    ratio = squares / noise.exact(kT, program.dt, steps, integrator)
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / np.sqrt(len(ratio))
    assert noise.exact(kT, dt, steps, integrator) == pytest.approx(
        noise.law(kT, dt, steps), rel=0.1
    )


def test_steps_of_the_law_lose_what_was_asked():
    noise = dynamics.Noise(np.array([0.1, 0.3]), np.array([1.0, 2.0]), np.full(4, 5.0))
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


def test_the_device_confirms_the_models_bits():
    problem, inputs = _two_units()
    with Gateware("rtl:tiny", 3) as gateware:
        outputs, _ = gateware.run(problem, inputs)
        assert gateware.compared == 2 and gateware.cycles > 0
        assert outputs.counters["cycles"] == 2 * gateware.cycles  # four inputs, two of them counted
        assert "2 inputs run on rtl:tiny as well and equal in every bit" in gateware.description
    with Gateware("model:tiny", 3) as model:
        np.testing.assert_array_equal(model.run(problem, inputs)[0].sums, outputs.sums)


def test_a_device_that_differs_is_an_error():
    problem, inputs = _two_units()
    with Gateware("model:tiny", 3) as gateware:
        wrong = gateware.run(problem, inputs)[0]
        wrong.sums[0, 0] += 1
        wrong.sums, wrong.samples = wrong.sums[:2], wrong.samples[:2]
        gateware.uri, right = "rtl:tiny", gateware._answer
        gateware._open = lambda uri: None
        gateware._answer = lambda device, *rest: wrong if device is None else right(device, *rest)
        with pytest.raises(
            PaperError, match="two: rtl:tiny and the integer model differ; run ornstein doctor"
        ):
            gateware.run(problem, inputs)


def test_what_does_not_fit_runs_on_the_wide_fabric(small):
    energy = small.energy()
    with Gateware("model:tiny", 1) as gateware:
        problem = Problem("large", (energy,), equilibrium(energy, kT=0.0, samples=4), entry=BIAS)
        _, program = gateware.run(problem, np.zeros((1, energy.units)) + 0.01)
    assert program.config.name == "wide"


def test_the_float_reference_answers_for_itself():
    problem, inputs = _two_units()
    with Gateware("float", 1) as gateware:
        assert not gateware.bit_exact and gateware.run(problem, inputs)[0].sums is None
        assert "no gateware" in gateware.description
    with pytest.raises(DeviceError, match="'float:exact' has none"):
        Gateware("float:exact", 1)


# ---- all of it -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything(small):
    """All experiments on the small network, with fewer draws and temperatures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "SIGN_DRAWS", 10)
        patch.setattr(experiments, "QUARTIC_DRAWS", 4)
        patch.setattr(experiments, "SEEDS", 2)
        patch.setattr(dynamics, "TEMPERATURES", (1e-4, 1e-3))
        patch.setattr(energy_account, "_SECONDS", 0.001)
        said = []
        with Gateware("model", 1) as gateware:
            yield run_paper([small], gateware, 1, said.append)
        assert said[0].startswith("A: ") and said[-1].startswith("I: ")


def test_every_experiment_has_results_in_the_schema(everything):
    assert [experiment.letter for experiment in everything] == list("ABCDEFGHI")
    for experiment in everything:
        assert experiment.paragraphs and experiment.results
        for result in experiment.results:
            document = asdict(result)
            numbers = [document.pop(name) for name in ("paper", "float64", "gateware", "error")]
            assert all(isinstance(text, str) for text in document.values())
            assert all(
                number is None or (isinstance(number, float) and np.isfinite(number))
                for number in numbers
            )
            assert (
                any(number is not None for number in numbers) or result.note
            )  # nothing, but it says why


def test_rows_are_unique(everything):
    names = [
        (result.experiment, result.row, result.quantity) for e in everything for result in e.results
    ]
    assert len(names) == len(set(names))


def test_the_production_test_stands_beside_its_baselines(everything):
    production = everything[2]
    rows = {result.row.split(", ", 2)[2] for result in production.results}
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
    prefix = f"trained, D = {SIZE}"
    assert production.find(f"{prefix}, exact oracle", COSINE).float64 == pytest.approx(1)
    assert production.find(f"{prefix}, constant mean", CENTRED).float64 == 0
    for name in ("exact oracle", "ours, closed form"):
        result = production.find(f"{prefix}, {name}", CENTRED)
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
    from ornstein.host.cli.app import paper  # noqa: F401
    from ornstein.host.experiments import paper as package

    monkeypatch.setattr(
        package, "run_paper", lambda *arguments: everything[4:5]
    )  # one figure is soon drawn
    result = CliRunner().invoke(app, ["paper", "--device", "model", "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "results.json").read_text()) == documents(everything[4:5])
    assert (tmp_path / "results.csv").exists() and (tmp_path / "report.html").exists()
