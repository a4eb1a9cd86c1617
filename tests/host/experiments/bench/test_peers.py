# SPDX-License-Identifier: Apache-2.0
"""Samples beside the peers: processes of their own, and what is made of their answers."""

import subprocess
import sys

import numpy as np
import pytest

from ornstein.hdl.config import ICEBREAKER
from ornstein.host.experiments.bench import peers
from ornstein.host.experiments.bench.figures import figure
from ornstein.host.experiments.bench.peers import Speed, crossing, icebreaker_joules, speed
from ornstein.host.experiments.bench.programs import GAIN, skip_program


def test_figures_are_the_model_s_over_each_peer_s(monkeypatch):
    speeds = {
        "model": (Speed(100.0, 20.0), ""),
        "thermox": (Speed(50.0, 80.0), ""),
        "thrml": (None, "thrml takes more than 120 s of a core for 128 units"),
    }
    asked = []

    def speed(sampler, units):
        asked.append((sampler, units))
        return speeds[sampler]

    monkeypatch.setattr(peers, "speed", speed)
    monkeypatch.setattr(peers, "icebreaker_joules", lambda units: 2e-6)
    rows = {row.name: row for row in peers.peer_figures(lambda what: None, (128, 512))}
    assert rows["samples_over_thermox_d128"].ratio == 2.0
    assert rows["memory_over_thermox_d128"].ratio == 0.25
    assert rows["samples_over_thrml_d128"].ratio is None
    for units in (128, 512):
        assert "takes more than 120 s" in rows[f"samples_over_thrml_d{units}"].note
    assert [sampler for sampler, units in asked if units == 512] == ["model", "thermox"]
    assert rows["joules_icebreaker_d128"].value == 2e-6
    assert "modelled" in rows["joules_icebreaker_d128"].note


def test_the_crossing_lies_on_a_line_of_logarithms():
    rows = [
        figure(f"samples_over_thermox_d{units}", ratio, 1.0, outcome="")
        for units, ratio in ((64, 0.25), (128, 0.5), (512, 2.0), (2048, 9.0))
    ]
    assert crossing(rows, "thermox") == pytest.approx(256.0)
    assert crossing(rows[2:], "thermox") is None is crossing(rows, "thrml")


def test_a_peer_runs_on_one_core_for_so_long(monkeypatch):
    asked = []

    answers = [
        (0, 'noise\n{"rate": 5.0, "memory": 7.0}\n'),
        (-24, ""),
        (1, ""),
    ]

    def run(command, **options):
        asked.append((command, options["env"]["ORNSTEIN_CORES"]))
        return subprocess.CompletedProcess(command, *answers.pop(0), "the end\n")

    monkeypatch.setattr(peers.subprocess, "run", run)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: True)
    assert speed("thermox", 64) == (Speed(5.0, 7.0), "")
    assert asked == [([sys.executable, "-m", peers.__name__, "thermox", "64"], "1")]
    for message in ("takes more than 300 s of a core", "failed: the end"):
        found, reason = speed("thermox", 64)
        assert found is None and message in reason


def test_without_a_peer_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    found, reason = speed("thrml", 64)
    assert found is None and "thrml is not installed" in reason and "pip install" in reason


def test_joules_are_those_of_the_steps_of_a_sample():
    assert icebreaker_joules(7040) is None
    small, large = icebreaker_joules(64), icebreaker_joules(128)
    assert 1e-7 < small < large < 1e-3
    dt = 4.9
    steps = peers._steps(128, dt)
    assert (1 - dt * 0.2 * (1 - GAIN)) ** steps < np.exp(-peers.SPACING)
    assert (1 - dt * 0.2 * (1 - GAIN)) ** (steps - 1) > np.exp(-peers.SPACING)
    watts = peers.icebreaker_watts()
    cycles = skip_program(ICEBREAKER, (64,), 16, peers.STEPS, dt=dt).input_cycles / peers.STEPS
    assert large == pytest.approx(watts * cycles * steps / 48e6, rel=0.05)


def test_a_rate_is_that_of_the_faster_of_one_chain_and_many(monkeypatch):
    drawn = []
    seconds = iter((4.0, 2.0))
    monkeypatch.setattr(peers, "core_seconds", lambda action: next(seconds))
    rate = peers._faster(lambda chains, count: lambda: drawn.append((chains, count)), 64)
    assert drawn == [(1, 8192), (64, 128)]
    assert rate == 8192 / 2.0


def test_gibbs_samples_have_the_covariance_of_the_energy():
    jax = pytest.importorskip("jax")
    pytest.importorskip("thrml")
    from ornstein.host.experiments.bench.thrml_units import gaussian_program

    energy = peers.energy_of(64)
    sample = jax.jit(gaussian_program(energy, peers.KT, 5), static_argnums=1)
    states = np.concatenate(sample(jax.random.PRNGKey(1), 4000), axis=-1)[100:]
    found, expected = np.cov(states.T), peers.KT * np.linalg.inv(energy.matrix())
    size = np.sqrt((np.sum(expected**2) + np.trace(expected) ** 2) / len(states))
    assert np.linalg.norm(found - expected) < 2 * size
