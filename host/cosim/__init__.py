# SPDX-License-Identifier: Apache-2.0
"""cocotb testbenches that drive the gateware with the host's code.

The testbenches that need only the gateware and the integer model are in
:mod:`ornstein.sim.cosim`.
"""
