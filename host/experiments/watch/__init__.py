# SPDX-License-Identifier: Apache-2.0
"""``ornstein watch``: a running device on the terminal, time step by time step."""
