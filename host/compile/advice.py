# SPDX-License-Identifier: Apache-2.0
"""Which preset holds a program that a fabric does not."""

from collections.abc import Iterable

import numpy as np

from ornstein.hdl.config import FabricConfig
from ornstein.host.compile.compiler import compile_first, compile_smallest
from ornstein.host.compile.program import Program, ProgramError
from ornstein.host.physics.problem import Problem


def compile_or_advise(
    problems: Iterable[Problem], config: FabricConfig, calibration: np.ndarray, *, spare: int = 0
) -> Program:
    """:func:`ornstein.host.compile.compiler.compile_first`, whose error names a preset that fits.

    Raises ProgramError.
    """
    problems = tuple(problems)
    try:
        return compile_first(problems, config, calibration, spare=spare)
    except ProgramError as error:
        fitting = preset_for(problems, calibration, config.factor_width)
        advice = f"fabric {fitting!r} holds it" if fitting else "no preset holds it"
        raise type(error)(f"{error}; {advice}") from None


def preset_for(
    problems: tuple[Problem, ...], calibration: np.ndarray, factor_width: int
) -> str | None:
    """Returns the name of the preset with the least state and factor memory that holds one of the
    problems, with couplings of ``factor_width`` bits if there is one. None if no preset does.

    Calibration inputs are those of the compiler.
    """
    try:
        return compile_smallest(problems, calibration, factor_width=factor_width).config.name
    except ProgramError:
        return None
