# SPDX-License-Identifier: Apache-2.0
"""Parts that whoever builds a fabric may replace, as fault injection does."""

from collections.abc import Callable

from amaranth.lib.wiring import Component

Substitute = Callable[[str, Component], Component]
"""Takes a part's name and the part; returns what to build in its place, with the same signature.

The names are those of the memories (``state``, ``factor_0``, ...), ``multiplier_U_R`` of unit lane
U and rank lane R, and ``noise_U``.
"""


def as_designed(name: str, part: Component) -> Component:
    """Replaces nothing."""
    return part
