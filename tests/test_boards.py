import json
from types import SimpleNamespace

import pytest

from ornstein.boards import BOARDS, build, speed
from ornstein.boards.build import BuildError
from ornstein.hdl import ice40


def part(kind, delay, start, end):
    return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}


ROUTED = {
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [part("routing", 30.0, "pad", "rx")]},
        {"from": "posedge clk", "to": "posedge clk", "path": [
            part("clk-to-q", 1.39, "a", "a"), part("routing", 1.76, "a", "b"), part("logic", 1.28, "b", "b"),
            part("routing", 2.5, "b", "c"), part("setup", 0.1, "c", "c")]},
    ],
    "fmax": {"clk": {"achieved": 61.5, "constraint": 24.001535415649414}},
    "utilization": {
        "ICESTORM_DSP": {"available": 8, "used": 8}, "ICESTORM_LC": {"available": 5280, "used": 5223},
        "ICESTORM_RAM": {"available": 30, "used": 29}, "ICESTORM_SPRAM": {"available": 4, "used": 4},
        "SB_IO": {"available": 39, "used": 3},
    },
}
LOG = """Info: Device utilisation:
Info: \t         ICESTORM_LC:    {cells:5d}/   5280   114%
Info: \t        ICESTORM_RAM:      28/     30    93%
{last}
"""


def test_report_counts_and_clamps():
    report = build.summary(BOARDS["icebreaker"], ROUTED, {"amaranth": "0.5.10"})
    assert report == {
        "board": "icebreaker", "device": "iCE40UP5K", "lanes": 8, "cells": 5223, "cells_available": 5280,
        "multipliers": 8, "multipliers_available": 8, "block_ram": 29, "block_ram_available": 30, "spram": 4,
        "spram_available": 4, "clocks": {"clk": {"target_mhz": 24.0, "achieved_mhz": 50.0, "limit_mhz": 50.0}},
        "cycles_per_step": 272.0, "steps_per_s": round(24e6 / 272, 1),
        "inferences_per_s": round(24e6 / (128 + 144 + 234 * 272), 2),
        "critical_path": {"start": "a", "end": "c", "levels": 1, "logic_ns": 2.77, "routing_ns": 4.26},
        "tool_versions": {"amaranth": "0.5.10"},
    }


@pytest.mark.parametrize("cells, last, message", [
    (6052, "ERROR: Failed to expand region", "does not fit iCE40UP5K: cells needed 6052, available 5280"),
    (5000, "ERROR: Unable to route", "the build failed: Unable to route"),
    (5000, "", "the build failed; see build.log"),
])
def test_failures_name_the_cause(cells, last, message):
    assert message in build.failure(BOARDS["icebreaker"], LOG.format(cells=cells, last=last), "build.log")


def test_a_clock_that_is_missed():
    routed = {"fmax": {"clk": {"achieved": 23.912, "constraint": 24.0}, "usb": {"achieved": 61.0, "constraint": 60.0}}}
    assert speed.missed_mhz(routed) == pytest.approx(0.088)
    assert "the clock clk of iCE40UP5K reaches 23.91 MHz in the best" in build.too_slow(BOARDS["icebreaker"], routed)
    assert speed.missed_mhz(ROUTED) <= 0


@pytest.mark.parametrize("reached, tried", [([20, 21, 25, 30, 30], 3), ([20, 22, 21, 19, 18], 5)])
def test_seeds_are_tried_until_the_clock_is_met(tmp_path, monkeypatch, reached, tried):
    """Tools that reach so many MHz with one seed after the other; the files of the best are kept."""
    seeds = []

    def route(info, place, script, environment, seed):
        seeds.append(seed)
        (place / build.BITSTREAM).write_text(str(seed))
        return ROUTED | {"fmax": {"clk": {"achieved": reached[seed - 1], "constraint": 24.0}}}

    plan = SimpleNamespace(digest=lambda: b"", script="script", extract=lambda place: (
        place.mkdir(parents=True), (place / "script.sh").write_text("")))
    module = SimpleNamespace(Platform=lambda: SimpleNamespace(build=lambda *_, **__: plan), Board=lambda config: None)
    info = SimpleNamespace(**vars(BOARDS["icebreaker"]), module=module)
    monkeypatch.setattr(build, "BOARDS", {"icebreaker": info})
    monkeypatch.setattr(build, "_environment", dict)
    monkeypatch.setattr(build, "tool_versions", dict)
    monkeypatch.setattr(build, "_route", route)
    if max(reached) < 24:
        with pytest.raises(BuildError, match=r"reaches 22.00 MHz in the best of 5 builds, needed are 24.00 MHz"):
            build.build("icebreaker", tmp_path)
    else:
        assert build.build("icebreaker", tmp_path)["seed"] == tried
    assert seeds == list(range(1, tried + 1))
    best = 1 + max(range(tried), key=reached.__getitem__)
    assert (tmp_path / "icebreaker" / build.BITSTREAM).read_text() == str(best)
    assert json.loads((tmp_path / "icebreaker" / build.REPORT).read_text())["seed"] == best


def test_unknown_board(tmp_path):
    with pytest.raises(BuildError, match=r"no board is called 'nonesuch'; there are icebreaker"):
        build.build("nonesuch", tmp_path)


def test_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(BuildError, match="no-such-yosys is missing; install it with"):
        build.build("icebreaker", tmp_path)


def test_plan_uses_the_device(tmp_path):
    pytest.importorskip("amaranth_boards")
    module = BOARDS["icebreaker"].module
    plan = module.Platform().build(module.Board(), name="top", do_build=False, emit_src=False)
    design = plan.files["top.il"]
    design = design if isinstance(design, str) else design.decode()
    assert design.count("cell \\SB_MAC16") == BOARDS["icebreaker"].config.lanes
    assert design.count("cell \\SB_SPRAM256KA") == ice40.SPRAM_COUNT
    assert "set_io uart_0__tx__io 9" in plan.files["top.pcf"]


@pytest.mark.parametrize("frequency, settings", [(24e6, (64, 5)), (36e6, (48, 4)), (48e6, (64, 4))])
def test_pll_settings(frequency, settings):
    assert ice40.PllClock.settings(12e6, frequency) == settings
    multiplier, exponent = settings
    assert 12e6 * multiplier / 2 ** exponent == frequency


def test_pll_refuses():
    with pytest.raises(ValueError, match="the PLL cannot make 23 MHz out of 12 MHz"):
        ice40.PllClock.settings(12e6, 23e6)
