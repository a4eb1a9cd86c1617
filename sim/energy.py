# SPDX-License-Identifier: Apache-2.0
"""The energy that a substrate relaxes under: modules, the couplings between them, closed forms.

    E(z) = z' M z / 2 - b.z + j4 sum z_i^4,        M = 2 j2 I + couplings,

which generalises the two-module energy of the paper to any number of modules; see docs/physics.md,
"Energy and dynamics". Arrays are float64, and energies and temperatures share one arbitrary unit.
Dynamics and number formats are defined elsewhere.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import block_diag

from ornstein.sim.factoring import choose_leak, factor_symmetric

_SYMMETRY = 1e-9
"""Largest asymmetry of a precision matrix, as a share of its largest entry."""


class EnergyError(ValueError):
    """An energy that cannot be relaxed: inconsistent shapes, infinite values, or unbounded below.

    ``smallest`` is the eigenvalue of M that leaves it unbounded, None for any other reason.
    """

    def __init__(self, message: str, smallest: float | None = None):
        super().__init__(message)
        self.smallest = smallest


@dataclass(frozen=True)
class Module:
    """A named group of units, such as the encoder or the decoder of one resolution."""

    name: str
    units: int


@dataclass(frozen=True, eq=False)
class Coupling:
    """A low-rank coupling among s modules: project onto shared modes, mix each mode, expand.

    The force on module i is -F_i sum_j mix[i, j, :] * (F_j' z_j). A coupling of one module is a
    Gram term, one of two modules whose mix is zero on the diagonal is a skip.

    Attributes
    ----------
    modules : names of the s modules, each once
    factors : F_i, (units of module i, rank), for each module
    mix : (s, s, rank), symmetric in its first two axes
    """

    modules: tuple[str, ...]
    factors: tuple[np.ndarray, ...]
    mix: np.ndarray

    def __post_init__(self):
        """Raises EnergyError, which names the argument, unless each has its type and axes."""
        if not _all_of(self.modules, str):
            raise EnergyError(
                f"modules of a coupling must be a tuple of names, not {self.modules!r}"
            )
        label = f"coupling {'-'.join(self.modules)}"
        if not isinstance(self.factors, tuple) or any(np.ndim(f) != 2 for f in self.factors):
            raise EnergyError(
                f"{label}: factors must be a tuple of matrices (units, rank), one for each of the "
                f"{len(self.modules)} modules, not {_described(self.factors)}"
            )
        if np.ndim(self.mix) != 3:
            raise EnergyError(
                f"{label}: mix must have the shape (modules, modules, rank), not "
                f"{np.shape(self.mix)}; one coefficient a mode of one module is mix[None, None]"
            )

    @property
    def rank(self) -> int:
        """Number of modes the modules are coupled through."""
        return self.mix.shape[-1]

    def block(self, i: int, j: int) -> np.ndarray:
        """The contribution to M between the i-th and j-th of ``modules``, (units_i, units_j)."""
        return (self.factors[i] * self.mix[i, j]) @ self.factors[j].T


@dataclass(frozen=True, eq=False)
class Energy:
    """Modules and their couplings.

    Attributes
    ----------
    modules : in the order in which they lie in z
    couplings : any number of them
    j2 : leak, greater than 0
    j4 : quartic coefficient, 0 or more
    """

    modules: tuple[Module, ...]
    couplings: tuple[Coupling, ...] = ()
    j2: float = 0.1
    j4: float = 0.0

    def __repr__(self) -> str:
        sizes = ", ".join(f"{module.name}: {module.units}" for module in self.modules)
        return (
            f"Energy({sizes}; {len(self.couplings)} couplings; j2 = {self.j2:.6g}, "
            f"j4 = {self.j4:.6g})"
        )

    @classmethod
    def from_precision(
        cls,
        precision: ArrayLike,
        *,
        j4: float = 0.0,
        j2: float | None = None,
        rank: int | None = None,
        modules: tuple[Module, ...] | None = None,
    ) -> "Energy":
        """The energy z' P z / 2 - b.z + j4 sum z_i^4 of a precision matrix P.

        The matrix is divided into a leak 2 j2 and one coupling of its eigenvectors.

        Parameters
        ----------
        precision : P, (units, units), symmetric and finite; positive definite unless j4 > 0, which
            bounds directions of negative eigenvalue too
        j4 : quartic coefficient
        j2 : half the leak; by default the one whose couplings are least
            (:func:`ornstein.sim.factoring.choose_leak`)
        rank : modes that are kept, those of largest magnitude; by default the numerical rank.
            :meth:`loss` tells what was left out
        modules : the modules that share the units, in their order; by default one, named "z"

        Raises EnergyError, which names the argument.
        """
        matrix = _symmetric("the precision matrix", precision)
        units = len(matrix)
        modules = modules or (Module("z", units),)
        if (total := sum(module.units for module in modules)) != units:
            raise EnergyError(f"modules have {total} units, but the precision matrix has {units}")
        if rank is not None and not 0 <= rank <= units:
            raise EnergyError(f"rank {rank} must lie in 0..{units}")
        leak = choose_leak(np.linalg.eigvalsh(matrix)) if j2 is None else 2 * j2
        factors = factor_symmetric(matrix - leak * np.eye(units), rank)
        bare = cls(modules, (), leak / 2, j4)
        if not len(factors.values):
            return bare.check()
        size = len(modules)
        coupling = Coupling(
            tuple(module.name for module in modules),
            tuple(factors.vectors[part] for part in bare.slices.values()),
            np.broadcast_to(factors.values, (size, size, len(factors.values))).copy(),
        )
        return replace(bare, couplings=(coupling,)).check()

    @classmethod
    def from_edges(
        cls,
        units: int,
        edges: ArrayLike,
        weights: ArrayLike,
        *,
        diagonal: ArrayLike = 1.0,
        j4: float = 0.0,
        j2: float | None = None,
    ) -> "Energy":
        """The energy of a graph: sum_i d_i z_i^2 / 2 - sum_edges w z_i z_j - b.z + j4 sum z_i^4.

        A positive weight makes two units agree, as in the Ising model.

        Parameters
        ----------
        units : number of units
        edges : (edges, 2) integers, the two different units of each; an edge that is given twice
            counts twice
        weights : (edges,), or one number for all
        diagonal : d, (units,), or one number for all
        j4, j2 : see :meth:`from_precision`

        Raises EnergyError, which names the argument.
        """
        pairs = np.asarray(edges)
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise EnergyError(
                f"edges must be pairs of units, integers of shape (edges, 2), not "
                f"{_described(pairs)}"
            )
        first, second = pairs.T
        if ((pairs < 0) | (pairs >= units)).any() or (first == second).any():
            raise EnergyError(f"edges must join two different units out of 0..{units - 1}")
        try:
            strengths = np.broadcast_to(np.asarray(weights, float), (len(pairs),))
            own = np.broadcast_to(np.asarray(diagonal, float), (units,))
        except ValueError:
            raise EnergyError(
                f"weights must be one number or {len(pairs)}, and diagonal one or {units}, not of "
                f"shapes {np.shape(weights)} and {np.shape(diagonal)}"
            ) from None
        matrix = np.diag(own)
        np.subtract.at(matrix, (first, second), strengths)
        np.subtract.at(matrix, (second, first), strengths)
        return cls.from_precision(matrix, j4=j4, j2=j2)

    @property
    def units(self) -> int:
        """Total number of units, the length of z."""
        return sum(module.units for module in self.modules)

    @property
    def slices(self) -> dict[str, slice]:
        """The part of z that belongs to each module, in the order of modules."""
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

    def loss(self, precision: ArrayLike) -> float:
        """What the factors leave out of a precision matrix P: the Frobenius norm of P - M, relative
        to that of P.
        """
        matrix = np.asarray(precision, float)
        return float(np.linalg.norm(matrix - self.matrix()) / np.linalg.norm(matrix))

    def value(self, states: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        """The energy (...,) of states (..., units) under a bias (units,), by default none."""
        quadratic = np.sum(states @ self.matrix() * states, axis=-1) / 2
        linear = 0.0 if bias is None else states @ bias
        return quadratic - linear + self.j4 * np.sum(states**4, axis=-1)

    def without_couplings(self) -> "Energy":
        """The energy of the same units without couplings: M = 2 j2 I."""
        return replace(self, couplings=())

    def check(self) -> "Energy":
        """Return this energy. Raises EnergyError, which names the field or the eigenvalue."""
        self.check_shapes()
        for index, coupling in enumerate(self.couplings):
            if not np.array_equal(coupling.mix, coupling.mix.swapaxes(0, 1)):
                raise EnergyError(
                    f"coupling {index} ({'-'.join(coupling.modules)}): mix must be symmetric in "
                    "its first two axes, or M is not a Hessian"
                )
        smallest = float(self.eigenvalues()[0])
        # A quartic term bounds any energy from below; it may have many wells.
        if smallest <= 0 and not self.j4:
            raise EnergyError(
                f"M is not positive definite: its smallest eigenvalue is {smallest:.4g}; "
                "raise j2, weaken the coupling or choose another rank",
                smallest,
            )
        return self

    def check_shapes(self) -> None:
        """Raises EnergyError, which names the field, unless all parts fit each other and are
        finite.
        """
        for name, values, kind in (
            ("modules", self.modules, Module),
            ("couplings", self.couplings, Coupling),
        ):
            if not _all_of(values, kind):
                raise EnergyError(
                    f"{name} of an energy must be a tuple of {kind.__name__}, not "
                    f"{_described(values)}"
                )
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
                f"j2 = {self.j2} must be positive and j4 = {self.j4} not negative, both finite; "
                "Energy.from_precision chooses j2 for any matrix"
            )
        for index, coupling in enumerate(self.couplings):
            self._check_coupling(f"coupling {index} ({'-'.join(coupling.modules)})", coupling)

    def mean(self, bias: np.ndarray) -> np.ndarray:
        """Equilibrium mean M^-1 b for biases (n, units) or (units,), at any temperature.

        Raises EnergyError unless j4 = 0.
        """
        self._check_harmonic()
        return self.solve(bias)

    def covariance(self, kT: float) -> np.ndarray:
        """Equilibrium covariance kT M^-1, (units, units). Raises EnergyError unless j4 = 0."""
        self._check_harmonic()
        return kT * np.linalg.inv(self.matrix())

    def eigenvalues(self) -> np.ndarray:
        """Eigenvalues of M in rising order, that of the modes without coupling, 2 j2, only once."""
        values, vectors = self.modes
        rest = [2 * self.j2] if vectors.shape[1] < self.units else []
        return np.sort(np.concatenate([values, rest]))

    def solve(self, bias: np.ndarray) -> np.ndarray:
        """M^-1 b for biases (n, units) or (units,).

        The cost follows the rank of the couplings, not the cube of the number of units.
        """
        values, vectors = self.modes
        bias, leak = np.asarray(bias, float), 2 * self.j2
        return bias / leak + (bias @ vectors * (1 / values - 1 / leak)) @ vectors.T

    def spread(self, directions: np.ndarray, part: slice) -> np.ndarray:
        """d' M^-1 d, (n,), for every column d of ``directions`` (units of ``part``, n).

        Outside ``part`` of z the directions are zero.
        """
        values, vectors = self.modes
        return np.sum(directions**2, axis=0) / (2 * self.j2) + np.sum(
            (vectors[part].T @ directions) ** 2 * (1 / values - 1 / (2 * self.j2))[:, None], axis=0
        )

    def variances(self) -> np.ndarray:
        """Diagonal of M^-1, (units,)."""
        values, vectors = self.modes
        return 1 / (2 * self.j2) + vectors**2 @ (1 / values - 1 / (2 * self.j2))

    @cached_property
    def modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (m,) and orthonormal eigenvectors (units, m) of M.

        They span all couplings. On every vector orthogonal to them M is 2 j2.
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
                f"{label}: mix has shape {coupling.mix.shape}, "
                f"expected {(size, size, coupling.rank)}"
            )
        if not all(np.isfinite(array).all() for array in (*coupling.factors, coupling.mix)):
            raise EnergyError(f"{label}: factors and mix must be finite")

    def _check_harmonic(self) -> None:
        if self.j4:
            raise EnergyError(
                f"closed forms hold for j4 = 0 only, not {self.j4}; relax the quartic energy "
                "instead"
            )


def _all_of(values: object, kind: type) -> bool:
    """Whether the values are a tuple of that type."""
    return isinstance(values, tuple) and all(isinstance(value, kind) for value in values)


def _described(value: object) -> str:
    """An argument in a few words, for messages."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, tuple):
        return f"({', '.join(_described(part) for part in value)})"
    return type(value).__name__


def _symmetric(label: str, given: ArrayLike) -> np.ndarray:
    """The matrix as float64, its two halves averaged. Raises EnergyError unless it is square,
    finite and symmetric up to rounding.
    """
    matrix = np.asarray(given, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise EnergyError(f"{label} must be square, not of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise EnergyError(f"{label} is not finite at [{row}, {column}]")
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > _SYMMETRY * np.abs(matrix).max():
        raise EnergyError(
            f"{label} is not symmetric: it differs from its transpose by up to {gap:.4g}; "
            "use (P + P.T) / 2"
        )
    return (matrix + matrix.T) / 2
