# SPDX-License-Identifier: Apache-2.0
"""An energy put together from modules and the matrices that couple them.

energy = (
    EnergyBuilder()
    .module("left", 8)
    .module("right", 8, precision=P)
    .couple("left", "right", W)
    .build()
)
"""

import numpy as np
from numpy.typing import ArrayLike

from ornstein.sim.energy import Coupling, Energy, EnergyError, Module
from ornstein.sim.factoring import choose_leak, factor_symmetric, numerical_rank


class EnergyBuilder:
    """Collects modules and couplings; :meth:`build` makes their energy

        sum_modules x' P x / 2 - sum_couplings x' W y - b.z + j4 sum z_i^4

    Every matrix is factored to its numerical rank.

    Parameters
    ----------
    j4 : quartic coefficient
    """

    def __init__(self, *, j4: float = 0.0):
        self._j4 = j4
        self._own: dict[str, np.ndarray] = {}  # (units, units) precision of each module
        self._couplings: list[Coupling] = []

    def module(self, name: str, units: int, precision: ArrayLike = 1.0) -> "EnergyBuilder":
        """Add a module; returns the builder.

        ``precision`` is one number or (units,) for units that are not coupled inside the module, or
        the symmetric matrix P, (units, units). Raises EnergyError, which names the argument.
        """
        if name in self._own:
            raise EnergyError(f"there is a module {name!r} already; choose another name")
        given = np.asarray(precision, float)
        if units < 1 or given.shape not in ((), (units,), (units, units)):
            raise EnergyError(
                f"module {name!r}: units must be 1 or more, and precision one number or of shape "
                f"({units},) or ({units}, {units}), not {given.shape}"
            )
        matrix = given if given.ndim == 2 else np.diag(np.broadcast_to(given, (units,)))
        if not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9):
            raise EnergyError(f"module {name!r}: precision must be finite and symmetric")
        self._own[name] = (matrix + matrix.T) / 2
        return self

    def couple(
        self, first: str, second: str, weights: ArrayLike, *, rank: int | None = None
    ) -> "EnergyBuilder":
        """Add the energy -x' W y between two modules; returns the builder.

        Parameters
        ----------
        first, second : names of two modules, of states x and y
        weights : W, (units of x, units of y); a positive weight makes two units agree
        rank : modes that are kept, those of the largest singular values; by default the numerical
            rank

        Raises EnergyError, which names the argument.
        """
        for name in (first, second):
            if name not in self._own:
                raise EnergyError(f"there is no module {name!r} to couple; add it first")
        if first == second:
            raise EnergyError(f"{first!r} is coupled to itself; use its precision")
        matrix = np.asarray(weights, float)
        shape = len(self._own[first]), len(self._own[second])
        if matrix.shape != shape or not np.isfinite(matrix).all():
            raise EnergyError(
                f"weights of {first!r} and {second!r} must be finite and of shape {shape}, not "
                f"{matrix.shape}"
            )
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        kept = numerical_rank(values) if rank is None else rank
        if not 0 <= kept <= len(values):
            raise EnergyError(f"rank {kept} must lie in 0..{len(values)}")
        if kept:
            mix = np.zeros((2, 2, kept))
            mix[0, 1] = mix[1, 0] = -values[:kept]
            self._couplings.append(Coupling((first, second), (left[:, :kept], right[:kept].T), mix))
        return self

    def build(self) -> Energy:
        """The energy; its leak is chosen (:func:`ornstein.sim.factoring.choose_leak`).

        Raises EnergyError if there is no module, or if the energy has no lower bound.
        """
        if not self._own:
            raise EnergyError("an energy needs a module; add one with module(name, units)")
        leak = choose_leak(np.concatenate([np.linalg.eigvalsh(own) for own in self._own.values()]))
        couplings = []
        for name, own in self._own.items():
            factors = factor_symmetric(own - leak * np.eye(len(own)))
            if len(factors.values):
                couplings.append(Coupling((name,), (factors.vectors,), factors.values[None, None]))
        modules = tuple(Module(name, len(own)) for name, own in self._own.items())
        return Energy(modules, (*couplings, *self._couplings), leak / 2, self._j4).check()
