# SPDX-License-Identifier: Apache-2.0
"""cocotb testbenches that drive the gateware with the host's own code.

Those that need the gateware and the integer model only are in :mod:`ornstein.sim.cosim`.
"""
