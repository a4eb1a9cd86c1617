# SPDX-License-Identifier: Apache-2.0
"""FPGA families: gateware for cells that synthesis does not infer, behind one interface.

The neutral gateware asks ``targets.of(platform)`` for multipliers, adders and memories. The
platform alone decides which target answers; the fabric's configuration decides the latencies.
"""

from ornstein.hdl.targets.ecp5 import Ecp5Target
from ornstein.hdl.targets.generic import GenericTarget
from ornstein.hdl.targets.ice40 import Ice40Target, UltraPlusTarget

__all__ = ["of"]

_GENERIC = GenericTarget()
_BY_DEVICE = {
    "iCE40UP5K": UltraPlusTarget(),
    "iCE40HX": Ice40Target(),
    "iCE40LP": Ice40Target(),
    "LFE5U": Ecp5Target(),
}
"""Targets by the first characters of the device's name. No key is the beginning of another."""


def of(platform) -> GenericTarget:
    """The target of an Amaranth platform. It is the generic one for unknown devices and for
    simulation, which has no platform."""
    device = getattr(platform, "device", "")
    for prefix, target in _BY_DEVICE.items():
        if device.startswith(prefix):
            return target
    return _GENERIC
