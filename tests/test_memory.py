from vendor_bench import assert_equal

from ornstein.hdl.memory import FactorMemory


def test_factor_memory_equals_plain_memory(tmp_path):
    """Every lane is written somewhere first; then random reads, and writes with random lane masks."""
    lanes, depth = 8, 1024
    bits = (depth - 1).bit_length()
    assert_equal(lambda: FactorMemory(lanes, 12, depth), tmp_path, warm=depth, stimuli={
        "address": f"warm ? cycle : {bits}'($urandom)",
        "write_data": "{$urandom, $urandom, $urandom}",
        "write_lanes": "warm ? '1 : ($urandom % 2) ? 0 : $urandom",
    }, compare="write_lanes == 0", outputs=["read_data"])
