# SPDX-License-Identifier: Apache-2.0
"""The timed engine of the fabric: sequencer, multiply lanes, updates and noise."""
