# SPDX-License-Identifier: Apache-2.0
"""Attributes of memories that live in block RAM."""

UNCHECKED = {"no_rw_check": 1}
"""Of a memory of which no word is read in the cycle that writes it, so that no logic for that case
is needed.
"""


def output(platform) -> dict[str, str]:
    """Of the register behind a read port, which on a chip is the block RAM's own and has no initial
    value: to pretend that it had one would take a cell for each bit. Simulators get the initial
    value that they ask for.
    """
    return {} if platform is None else {"init": ""}
