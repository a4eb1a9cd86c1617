# SPDX-License-Identifier: Apache-2.0
"""The demo's rows answer with the sums and in the cycles of the golden values; see :mod:`helpers.golden`.

The random programs' golden values are compared in :mod:`test_equality`, which runs them anyway.
"""

import json

import pytest

from helpers.golden import DEMO_RECIPES, GOLDEN, demo_fingerprint


@pytest.mark.parametrize("name", DEMO_RECIPES)
def test_demo_rows_are_golden(device, name):
    expected = json.loads(GOLDEN.read_text())["demo"][name]
    assert demo_fingerprint(name, device("rtl:reference")) == expected
