# SPDX-License-Identifier: Apache-2.0
"""Energy: M built from factors, closed forms and the refusals."""

from dataclasses import replace

import numpy as np
import pytest

from ornstein.sim.energy import Coupling, Energy, EnergyError, Module


def small_energy(across: float = 0.05) -> Energy:
    """Two modules of 2 and 1 units; Gram term on the first, a rank-1 skip between them."""
    gram = Coupling(("a",), (np.array([[1.0], [2.0]]),), np.full((1, 1, 1), 0.5))
    mix = np.array([[0.0, across], [across, 0.0]])[:, :, None]
    skip = Coupling(("a", "b"), (np.array([[1.0], [0.0]]), np.array([[2.0]])), mix)
    return Energy((Module("a", 2), Module("b", 1)), (gram, skip), j2=0.25)


def random_energy(sizes=(3, 5, 2), rank=2, seed=0) -> Energy:
    """Three modules of unequal size, every pair coupled, positive definite by a strong leak."""
    rng = np.random.default_rng(seed)
    names = tuple("abc")
    mix = rng.normal(size=(3, 3, rank)) * 0.05
    factors = tuple(rng.normal(size=(size, rank)) for size in sizes)
    modules = tuple(Module(name, size) for name, size in zip(names, sizes, strict=True))
    return Energy(modules, (Coupling(names, factors, mix + mix.swapaxes(0, 1)),), j2=1.0).check()


def test_matrix_is_leak_plus_couplings():
    expected = 0.5 * np.eye(3) + [[0.5, 1.0, 0.1], [1.0, 2.0, 0.0], [0.1, 0.0, 0.0]]
    assert np.array_equal(small_energy().matrix(), expected)


def test_modules_lie_in_z_in_order():
    energy = random_energy()
    assert energy.units == 10
    assert energy.slices == {"a": slice(0, 3), "b": slice(3, 8), "c": slice(8, 10)}


def test_coupling_is_project_mix_expand():
    energy = random_energy()
    coupling = energy.couplings[0]
    z = np.random.default_rng(1).normal(size=energy.units)
    parts = [z[energy.slices[name]] for name in coupling.modules]
    projected = np.array([f.T @ part for f, part in zip(coupling.factors, parts, strict=True)])
    mixed = np.einsum("ijr,jr->ir", coupling.mix, projected)
    expanded = np.concatenate([f @ r for f, r in zip(coupling.factors, mixed, strict=True)])
    np.testing.assert_allclose(energy.matrix() @ z, 2 * energy.j2 * z + expanded, rtol=1e-12)


def test_mean_and_covariance_are_the_closed_forms():
    energy = random_energy()
    bias = np.random.default_rng(2).normal(size=(4, energy.units))
    np.testing.assert_allclose(energy.mean(bias) @ energy.matrix(), bias, atol=1e-12)
    np.testing.assert_allclose(energy.mean(bias[0]), energy.mean(bias)[0])
    np.testing.assert_allclose(
        energy.covariance(0.5) @ energy.matrix(), 0.5 * np.eye(energy.units), atol=1e-12
    )


def test_without_couplings_only_the_leak_is_left():
    energy = random_energy().without_couplings()
    assert np.array_equal(energy.matrix(), 2.0 * np.eye(10))


def test_quartic_energy_has_no_closed_form():
    with pytest.raises(EnergyError, match=r"j4 = 0 only, not 0\.05"):
        replace(random_energy(), j4=0.05).mean(np.zeros(10))


def test_indefinite_matrix_is_refused_by_its_eigenvalue():
    energy = small_energy(across=1.0)
    smallest = np.linalg.eigvalsh(energy.matrix())[0]
    with pytest.raises(EnergyError, match=f"smallest eigenvalue is {smallest:.4g}") as refused:
        energy.check()
    assert refused.value.smallest == pytest.approx(smallest)


def broken(change) -> Energy:
    energy = small_energy()
    return replace(energy, couplings=(energy.couplings[0], change(energy.couplings[1])))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: replace(c, modules=("a", "x")), "no module named 'x'"),
        (lambda c: replace(c, modules=("a", "a")), "named twice"),
        (
            lambda c: replace(c, factors=(np.ones((3, 1)), c.factors[1])),
            r"factors have shapes .* expected",
        ),
        (lambda c: replace(c, factors=c.factors[:1]), r"factors have shapes .* expected"),
        (
            lambda c: replace(c, mix=np.zeros((1, 1, 1))),
            r"mix has shape \(1, 1, 1\), expected \(2, 2, 1\)",
        ),
        (lambda c: replace(c, mix=c.mix * np.nan), "must be finite"),
        (lambda c: replace(c, mix=c.mix * [[[1.0], [2.0]], [[1.0], [1.0]]]), "must be symmetric"),
    ],
)
def test_inconsistent_couplings_are_refused_by_name(change, message):
    with pytest.raises(EnergyError, match=rf"coupling 1 .*{message}"):
        broken(change).check()


def test_a_quartic_term_bounds_an_energy_whose_m_is_indefinite():
    energy = small_energy(across=1.0)
    assert np.linalg.eigvalsh(energy.matrix())[0] < 0
    with pytest.raises(
        EnergyError, match="M is not positive definite: its smallest eigenvalue is -"
    ):
        energy.check()
    assert replace(energy, j4=0.1).check().j4 == 0.1


@pytest.mark.parametrize("field, value", [("j2", 0.0), ("j2", np.nan), ("j4", -1.0)])
def test_bad_coefficients_are_refused(field, value):
    with pytest.raises(EnergyError, match=field):
        replace(random_energy(), **{field: value}).check()


def test_modules_need_distinct_names():
    with pytest.raises(EnergyError, match="distinct names"):
        Energy((Module("a", 1), Module("a", 2))).check()
