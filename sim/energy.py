# SPDX-License-Identifier: Apache-2.0
"""The energy a substrate relaxes under: modules of units, factored couplings between them, and its
closed forms.

    E(z) = z' M z / 2 - b.z + j4 sum z_i^4,        M = 2 j2 I + couplings,

which is the two-module energy of the paper (spec, section 1) for any number of modules. Arrays are
float64; energies and temperatures share one arbitrary unit. Only the algebra lives here: no
dynamics and no number formats.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag


class EnergyError(ValueError):
    """An energy that cannot be relaxed: shapes that disagree, values not finite, or unbounded
    below.

    ``smallest`` is the eigenvalue of M that rules it out, None where something else does.
    """

    def __init__(self, message: str, smallest: float | None = None):
        super().__init__(message)
        self.smallest = smallest


@dataclass(frozen=True)
class Module:
    """A named group of ``units`` units, such as the encoder or the decoder side of one
    resolution.
    """

    name: str
    units: int


@dataclass(frozen=True, eq=False)
class Coupling:
    """A low-rank coupling among s modules: project onto shared modes, mix per mode, expand.

    ``factors[i]`` is (units of module i, rank); ``mix`` is (s, s, rank), symmetric in its first two
    axes. The force on module i is -F_i sum_j mix[i, j, :] * (F_j' z_j). One module is a Gram term,
    two with a zero diagonal a skip.
    """

    modules: tuple[str, ...]
    factors: tuple[np.ndarray, ...]
    mix: np.ndarray

    @property
    def rank(self) -> int:
        """Number of modes the modules are coupled through."""
        return self.mix.shape[-1]

    def block(self, i: int, j: int) -> np.ndarray:
        """The contribution to M between the i-th and j-th of ``modules``, (units_i, units_j)."""
        return (self.factors[i] * self.mix[i, j]) @ self.factors[j].T


@dataclass(frozen=True, eq=False)
class Energy:
    """Modules in the order of z, their couplings, the leak ``j2`` > 0 and the quartic coefficient
    ``j4`` >= 0.
    """

    modules: tuple[Module, ...]
    couplings: tuple[Coupling, ...] = ()
    j2: float = 0.1
    j4: float = 0.0

    @property
    def units(self) -> int:
        """Total number of units, the length of z."""
        return sum(module.units for module in self.modules)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each module lies in z, in module order."""
        ends = np.cumsum([module.units for module in self.modules])
        return {
            m.name: slice(int(end) - m.units, int(end))
            for m, end in zip(self.modules, ends, strict=True)
        }

    def matrix(self) -> np.ndarray:
        """M, (units, units), symmetric: the Hessian of the harmonic part."""
        matrix = 2 * self.j2 * np.eye(self.units)
        slices = self.slices
        for coupling in self.couplings:
            for i, row in enumerate(coupling.modules):
                for j, column in enumerate(coupling.modules):
                    matrix[slices[row], slices[column]] += coupling.block(i, j)
        return matrix

    def without_couplings(self) -> "Energy":
        """The same units with every coupling left out: M = 2 j2 I. What remains is not the
        substrate's work.
        """
        return replace(self, couplings=())

    def check(self) -> "Energy":
        """Return this energy, or raise EnergyError naming the field or the eigenvalue that rules it
        out.
        """
        names = [module.name for module in self.modules]
        if (
            len(set(names)) != len(names)
            or not names
            or min(module.units for module in self.modules) < 1
        ):
            raise EnergyError(
                f"modules {names} must be at least one, of distinct names and one unit or more each"
            )
        if not (np.isfinite([self.j2, self.j4]).all() and self.j2 > 0 and self.j4 >= 0):
            raise EnergyError(
                f"j2 = {self.j2} must be positive and j4 = {self.j4} not negative, both finite"
            )
        for index, coupling in enumerate(self.couplings):
            self._check_coupling(f"coupling {index} ({'-'.join(coupling.modules)})", coupling)
        smallest = float(self.eigenvalues()[0])
        if (
            smallest <= 0 and not self.j4
        ):  # a quartic term bounds any energy, which may have many wells
            raise EnergyError(
                f"M is not positive definite: its smallest eigenvalue is {smallest:.4g}; "
                "raise j2, weaken the coupling or choose another rank",
                smallest,
            )
        return self

    def mean(self, bias: np.ndarray) -> np.ndarray:
        """Equilibrium mean M^-1 b for biases (n, units) or (units,), at any temperature.
        EnergyError unless j4 = 0.
        """
        self._check_harmonic()
        return self.solve(bias)

    def covariance(self, kT: float) -> np.ndarray:
        """Equilibrium covariance kT M^-1, (units, units). EnergyError unless j4 = 0."""
        self._check_harmonic()
        return kT * np.linalg.inv(self.matrix())

    def eigenvalues(self) -> np.ndarray:
        """The distinct modes of M in rising order: those of the couplings, and 2 j2 once where none
        reaches.
        """
        values, vectors = self._modes
        rest = [2 * self.j2] if vectors.shape[1] < self.units else []
        return np.sort(np.concatenate([values, rest]))

    def solve(self, bias: np.ndarray) -> np.ndarray:
        """M^-1 b for biases (n, units) or (units,), at the cost of the couplings' rank, not of the
        units' cube.
        """
        values, vectors = self._modes
        bias, leak = np.asarray(bias, float), 2 * self.j2
        return bias / leak + (bias @ vectors * (1 / values - 1 / leak)) @ vectors.T

    def spread(self, directions: np.ndarray, part: slice) -> np.ndarray:
        """d' M^-1 d for every column d of ``directions`` (units of ``part``, n), zero outside
        ``part``.
        """
        values, vectors = self._modes
        return np.sum(directions**2, axis=0) / (2 * self.j2) + np.sum(
            (vectors[part].T @ directions) ** 2 * (1 / values - 1 / (2 * self.j2))[:, None], axis=0
        )

    def variances(self) -> np.ndarray:
        """Diagonal of M^-1, (units,)."""
        values, vectors = self._modes
        return 1 / (2 * self.j2) + vectors**2 @ (1 / values - 1 / (2 * self.j2))

    @cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        """(values (m,), orthonormal vectors (units, m)): M is 2 j2 off their span, which holds
        every coupling's.
        """
        leak, slices = 2 * self.j2, self.slices
        columns, blocks = [], []
        for coupling in self.couplings:
            for factor, name in zip(coupling.factors, coupling.modules, strict=True):
                column = np.zeros((self.units, coupling.rank))
                column[slices[name]] = factor
                columns.append(column)
            size = len(coupling.modules)
            blocks.append(
                np.block([[np.diag(coupling.mix[i, j]) for j in range(size)] for i in range(size)])
            )
        if sum(column.shape[1] for column in columns) >= self.units:
            return np.linalg.eigh(self.matrix())
        if not columns:
            return np.zeros(0), np.zeros((self.units, 0))
        basis, triangle = np.linalg.qr(np.concatenate(columns, axis=1))
        inner = triangle @ block_diag(*blocks) @ triangle.T
        values, vectors = np.linalg.eigh((inner + inner.T) / 2)
        return leak + values, basis @ vectors

    def _check_coupling(self, label: str, coupling: Coupling) -> None:
        units = {module.name: module.units for module in self.modules}
        if missing := [name for name in coupling.modules if name not in units]:
            raise EnergyError(f"{label}: no module named {missing[0]!r} among {list(units)}")
        if len(set(coupling.modules)) != len(coupling.modules):
            raise EnergyError(f"{label}: a module is named twice; use the diagonal of mix")
        expected = [(units[name], coupling.rank) for name in coupling.modules]
        if (found := [factor.shape for factor in coupling.factors]) != expected:
            raise EnergyError(f"{label}: factors have shapes {found}, expected {expected}")
        size = len(coupling.modules)
        if coupling.mix.shape != (size, size, coupling.rank):
            raise EnergyError(
                f"{label}: mix has shape {coupling.mix.shape}, expected {(size, size, coupling.rank)}"
            )
        if not all(np.isfinite(array).all() for array in (*coupling.factors, coupling.mix)):
            raise EnergyError(f"{label}: factors and mix must be finite")
        if not np.array_equal(coupling.mix, coupling.mix.swapaxes(0, 1)):
            raise EnergyError(
                f"{label}: mix must be symmetric in its first two axes, or M is not a Hessian"
            )

    def _check_harmonic(self) -> None:
        if self.j4:
            raise EnergyError(
                f"closed forms hold for j4 = 0 only, not {self.j4}; relax the quartic energy instead"
            )
