# SPDX-License-Identifier: Apache-2.0
"""``ornstein noise``: what the noise generators are worth, judged by statistics and standard
tests."""
