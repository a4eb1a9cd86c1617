# SPDX-License-Identifier: Apache-2.0
"""The sentences of ``ornstein paper``."""

from ornstein.host.experiments.prose import Prose

PROSE = Prose("ornstein.host.experiments.paper")
