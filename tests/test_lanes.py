from vendor_bench import assert_equal

from ornstein.hdl.config import ICEBREAKER
from ornstein.hdl.lanes import Multiplier


def test_mac16_equals_plain_multiplier(tmp_path):
    """Random and extreme operands, addends and pauses."""
    def operand(width):
        return f"($urandom % 4 != 0) ? $urandom : ($urandom % 2 != 0) ? 1 << {width - 1} : (1 << {width - 1}) - 1"

    assert_equal(lambda: Multiplier(ICEBREAKER), tmp_path, warm=4, stimuli={
        "a": operand(12), "b": operand(16), "addend": operand(32),
        "enable": "warm | ($urandom % 4 != 0)",
    }, compare="1", outputs=["sum"])
