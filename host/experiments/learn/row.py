# SPDX-License-Identifier: Apache-2.0
"""One line of the benchmark's table."""

from dataclasses import dataclass

CENTRED, DECIBELS = "centred cosine", "PSNR in dB"


@dataclass(frozen=True)
class Row:
    """One chip, and what was done about it.

    Attributes
    ----------
    what : what was done
    chip : seed of the chip
    mismatch, dead, kT, read_bits : of the chip and its program; None reads without a converter
    before, after : scores of the held-out inputs or images
    error : standard error of ``after`` over them
    steps : of learning; 0 where nothing was learned
    inputs : inputs that the device answered for it, phases and validations included
    cycles : of the fabric's clock for them, by the schedule
    reads : means that were read for it
    words : factor words that were written for it
    multiplies : multiply-adds of the host for it, see
        :mod:`ornstein.host.experiments.learn.arithmetic`
    saturations : words that saturated meanwhile
    score : what the scores are
    """

    what: str
    chip: int
    mismatch: float
    dead: float
    kT: float
    read_bits: int | None
    before: float
    after: float
    error: float
    steps: int
    inputs: int
    cycles: int
    reads: int
    words: int
    multiplies: int
    saturations: int = 0
    score: str = CENTRED
