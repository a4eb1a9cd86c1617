# SPDX-License-Identifier: Apache-2.0
"""The demo's rows give the golden sums in the golden cycles; see :mod:`helpers.golden`.

The golden values of the random programs are compared in :mod:`test_equality`, which runs them.
"""

import json

import pytest

from helpers.golden import DEMO_RECIPES, GOLDEN, demo_fingerprint


@pytest.mark.parametrize("name", DEMO_RECIPES)
def test_demo_rows_are_golden(device, name):
    expected = json.loads(GOLDEN.read_text())["demo"][name]
    assert demo_fingerprint(name, device("rtl:reference")) == expected
