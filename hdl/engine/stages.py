# SPDX-License-Identifier: Apache-2.0
"""Stages of the micro-operations' pipeline as ports of the components that use them."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.micro import MicroPipe, Stage, micro_layout


class StageSignature(wiring.Signature):
    """A micro-operation in one cycle of the pipeline. Directions are those of the pipeline.

    Members
    -------
    valid : Out(1)
    micro : Out(micro_layout(config)), undefined unless ``valid``
    """

    def __init__(self, config: FabricConfig):
        super().__init__({"valid": Out(1), "micro": Out(micro_layout(config))})


def stage_ports(config: FabricConfig, times: range) -> wiring.Member:
    """The port of a component that uses the stages of these times."""
    return In(StageSignature(config)).array(len(times))


def connect_stages(m: Module, pipe: MicroPipe, times: range, ports: list) -> None:
    """Drives a component's port from the pipeline."""
    for time, port in zip(times, ports, strict=True):
        m.d.comb += [port.valid.eq(pipe[time].valid), port.micro.eq(pipe[time].micro)]


def stages_at(times: range, ports: list) -> dict[int, Stage]:
    """The stages of a component's port by their times, as a :class:`MicroPipe` has them."""
    return {time: Stage(port.valid, port.micro) for time, port in zip(times, ports, strict=True)}
