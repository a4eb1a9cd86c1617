# SPDX-License-Identifier: Apache-2.0
"""Micro-operations: what the sequencer issues every cycle, and how it is carried along."""

from typing import NamedTuple

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from ornstein.hdl.config import FabricConfig


def micro_layout(config: FabricConfig) -> data.StructLayout:
    """The fields of a micro-operation.

    ``project``: the operation is PROJECT; ``first`` and ``last`` mark the ends of the inner loop;
    ``dest`` is a rank word or a vector word, ``bias`` a drive word, ``lane`` the rank lane of
    ACTIVATE; ``clear`` and ``sample`` hold for a whole step. ``begins``, of fabrics with a window
    of MIX, marks the first of a pass. The others are those of the pass.
    """
    begins = {"begins": 1} if config.mix_window else {}
    return data.StructLayout(
        {
            "operation": 2,
            "project": 1,
            "first": 1,
            "last": 1,
            "from_drive": 1,
            "to_drive": 1,
            "coupled": 1,
            "biased": 1,
            "shift": 3,
            "bias_shift": 2,
            "lane": range(max(2, config.rank_lanes)),
            "dest": range(config.longest_loop),
            "bias": range(config.drive_depth),
            "clear": 1,
            "sample": 1,
            **begins,
        }
    )


class Stage(NamedTuple):
    """A micro-operation in one cycle of the pipeline; ``micro`` means nothing unless ``valid``."""

    valid: Signal
    micro: data.View


class StageSignature(wiring.Signature):
    """A :class:`Stage` as an interface, from its producer's view."""

    def __init__(self, config: FabricConfig):
        super().__init__({"valid": Out(1), "micro": Out(micro_layout(config))})


class MicroPipe:
    """Delays a micro-operation cycle by cycle, so that it stays beside its data.

    ``pipe[time]`` is the :class:`Stage` at that time, from ``first`` to ``last``. The valid bits
    have a reset, the micro-operations have none.

    Parameters
    ----------
    m : module that gets the registers
    first : time of ``valid`` and ``micro``
    last : time of the last stage
    name : prefix of the registers' names
    """

    def __init__(
        self, m: Module, first: int, valid, micro: data.View, last: int, *, name: str = ""
    ):
        self._stages = {first: Stage(valid, micro)}
        for time in range(first + 1, last + 1):
            stage = Stage(
                Signal(name=f"{name}valid_{time}"),
                Signal(micro.shape(), name=f"{name}micro_{time}", reset_less=True),
            )
            before = self._stages[time - 1]
            m.d.sync += [stage.valid.eq(before.valid), stage.micro.eq(before.micro)]
            self._stages[time] = stage

    def __getitem__(self, time: int) -> Stage:
        return self._stages[time]
