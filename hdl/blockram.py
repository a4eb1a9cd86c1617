# SPDX-License-Identifier: Apache-2.0
"""Attributes of memories in block RAM that all synthesis shares; those of one FPGA family are in
:mod:`ornstein.hdl.targets`.
"""

UNCHECKED = {"no_rw_check": 1}
"""For a memory in which no word is read in the cycle that writes it. Synthesis then adds no logic for
that case."""
