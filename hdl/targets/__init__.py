# SPDX-License-Identifier: Apache-2.0
"""Vendor-specific gateware of the FPGA families that Ornstein is built for."""
