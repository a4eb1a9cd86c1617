# SPDX-License-Identifier: Apache-2.0
import pytest

from helpers.vendor_bench import assert_equal
from ornstein.hdl.config import HX8K, ICEBREAKER
from ornstein.hdl.lanes import Multiplier


@pytest.mark.parametrize("config, device", [(ICEBREAKER, "iCE40UP5K"), (HX8K, "iCE40HX8K")])
def test_device_multiplier_equals_plain_one(tmp_path, config, device):
    """MAC16 and sum of multiples: random and extreme operands, addends and pauses."""

    def operand(width):
        return f"($urandom % 4 != 0) ? $urandom : ($urandom % 2 != 0) ? 1 << {width - 1} : (1 << {width - 1}) - 1"

    assert_equal(
        lambda: Multiplier(config, config.factor_width),
        tmp_path,
        warm=4,
        stimuli={
            "a": operand(config.factor_width),
            "b": operand(16),
            "addend": operand(32),
            "enable": "warm | ($urandom % 4 != 0)",
        },
        compare="1",
        outputs=["sum"],
        device=device,
    )
