# SPDX-License-Identifier: Apache-2.0
import json
from types import SimpleNamespace

import pytest

from ornstein.boards import BOARDS, ORNSTEIN, build, timing
from ornstein.boards.build import BuildError
from ornstein.hdl.config import TINY
from ornstein.hdl.link.usb.transceiver import CLOCK_HZ
from ornstein.hdl.targets import ecp5, ice40
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe


def part(kind, delay, start, end):
    return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}


ROUTED = {
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [part("routing", 30.0, "pad", "rx")]},
        {
            "from": "posedge clk",
            "to": "posedge clk",
            "path": [
                part("clk-to-q", 1.39, "a", "a"),
                part("routing", 1.76, "a", "b"),
                part("logic", 1.28, "b", "b"),
                part("routing", 2.5, "b", "c"),
                part("setup", 0.1, "c", "c"),
            ],
        },
    ],
    "fmax": {"clk": {"achieved": 61.5, "constraint": 24.001535415649414}},
    "utilization": {
        "ICESTORM_DSP": {"available": 8, "used": 8},
        "ICESTORM_LC": {"available": 5280, "used": 5223},
        "ICESTORM_RAM": {"available": 30, "used": 29},
        "ICESTORM_SPRAM": {"available": 4, "used": 4},
        "SB_IO": {"available": 39, "used": 3},
    },
}
LOG = """Info: Device utilisation:
Info: \t         ICESTORM_LC:    {cells:5d}/   5280   114%
Info: \t        ICESTORM_RAM:      28/     30    93%
{last}
"""


def test_report_counts_and_clamps():
    report = build.summary(BOARDS["icebreaker"], ROUTED, {"amaranth": "0.5.10"}, {"sync": 24e6})
    assert report == {
        "board": "icebreaker",
        "device": "iCE40UP5K",
        "lanes": 8,
        "cells": 5223,
        "cells_available": 5280,
        "multipliers": 8,
        "multipliers_available": 8,
        "block_ram": 29,
        "block_ram_available": 30,
        "spram": 4,
        "spram_available": 4,
        "clocks": {"sync": {"target_mhz": 24.0, "achieved_mhz": 50.0, "limit_mhz": 50.0}},
        "critical_path": {
            "start": "a",
            "end": "c",
            "levels": 1,
            "logic_ns": 2.77,
            "routing_ns": 4.26,
        },
        "tool_versions": {"amaranth": "0.5.10"},
    }


def test_report_of_an_ecp5_names_its_clocks():
    """Domains are found by frequency, since a net has many names; only the fabric's clock knows a
    limit.
    """
    routed = {
        "critical_paths": [],
        "fmax": {
            "$glbnet$clocks.sync_clk": {"achieved": 190.0, "constraint": 96.0},
            "$glbnet$usb_clk": {"achieved": 80.5, "constraint": 24.001},
        },
        "utilization": {
            "TRELLIS_COMB": {"available": 83640, "used": 30000},
            "DP16KD": {"available": 208, "used": 200},
            "MULT18X18D": {"available": 156, "used": 128},
            "TRELLIS_FF": {"available": 83640, "used": 9},
        },
    }
    report = build.summary(BOARDS["orangecrab"], routed, {}, {"sync": 96e6, "usb": 24e6})
    assert (report["lanes"], report["multipliers"], report["block_ram"], report["spram"]) == (
        128,
        128,
        200,
        0,
    )
    assert report["cells_available"] == 83640
    assert {name: clock["achieved_mhz"] for name, clock in report["clocks"].items()} == {
        "sync": 178.0,
        "usb": 80.5,
    }
    assert report["clocks"]["usb"]["limit_mhz"] is None


@pytest.mark.parametrize(
    "cells, last, message",
    [
        (
            6052,
            "ERROR: Failed to expand region",
            "does not fit iCE40UP5K: cells needed 6052, available 5280",
        ),
        (5000, "ERROR: Unable to route", "the build failed: Unable to route"),
        (5000, "", "the build failed; see build.log"),
    ],
)
def test_failures_name_the_cause(cells, last, message):
    assert message in build.failure(
        BOARDS["icebreaker"], LOG.format(cells=cells, last=last), "build.log"
    )


def test_a_clock_that_is_missed():
    routed = {
        "fmax": {
            "clk": {"achieved": 23.912, "constraint": 24.0},
            "usb": {"achieved": 61.0, "constraint": 60.0},
        }
    }
    assert timing.missed_mhz(routed) == pytest.approx(0.088)
    assert "the clock clk of iCE40UP5K reaches 23.91 MHz in the best" in build.too_slow(
        BOARDS["icebreaker"], routed
    )
    assert timing.missed_mhz(ROUTED) <= 0


@pytest.mark.parametrize("reached, tried", [([20, 21, 25, 30, 30], 3), ([20, 22, 21, 19, 18], 5)])
def test_seeds_are_tried_until_the_clock_is_met(tmp_path, monkeypatch, reached, tried):
    """Tools that reach so many MHz with one seed after the other; the files of the best
    are kept.
    """
    seeds = []

    def route(info, place, script, bitstream, environment, seed):
        seeds.append(seed)
        bitstream.write_text(str(seed))
        (place / build.NETLIST).write_text(f"netlist {seed}")
        return ROUTED | {"fmax": {"clk": {"achieved": reached[seed - 1], "constraint": 24.0}}}

    plan = SimpleNamespace(
        digest=lambda: b"",
        script="script",
        extract=lambda place: (place.mkdir(parents=True), (place / "script.sh").write_text("")),
    )
    module = SimpleNamespace(
        Platform=lambda: SimpleNamespace(build=lambda *_, **__: plan),
        Board=lambda config: None,
        CLOCKS={"sync": 24e6},
    )
    info = SimpleNamespace(**vars(BOARDS["icebreaker"]), module=module)
    monkeypatch.setattr(build, "BOARDS", {"icebreaker": info})
    monkeypatch.setattr(build, "_environment", lambda toolchain: {})
    monkeypatch.setattr(build, "tool_versions", lambda toolchain: {})
    monkeypatch.setattr(build, "_route", route)
    if max(reached) < 24:
        with pytest.raises(
            BuildError, match=r"reaches 22.00 MHz in the best of 5 builds, needed are 24.00 MHz"
        ):
            build.build("icebreaker", tmp_path)
    else:
        assert build.build("icebreaker", tmp_path)["seed"] == tried
    assert seeds == list(range(1, tried + 1))
    best = 1 + max(range(tried), key=reached.__getitem__)
    assert (tmp_path / "icebreaker" / "top.bin").read_text() == str(best)
    assert (tmp_path / "icebreaker" / build.NETLIST).read_text() == f"netlist {best}"
    assert json.loads((tmp_path / "icebreaker" / build.REPORT).read_text())["seed"] == best


def test_unknown_board(tmp_path):
    with pytest.raises(BuildError, match=r"no board is called 'nonesuch'; there are icebreaker"):
        build.build("nonesuch", tmp_path)


def test_missing_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(BuildError, match="no-such-yosys is missing; install it with"):
        build.build("icebreaker", tmp_path)


def plan(board, config=None):
    """Amaranth's build plan: the design and its constraints, before any tool runs."""
    pytest.importorskip("amaranth_boards")
    module = BOARDS[board].module
    return module.Platform().build(
        module.Board(config or BOARDS[board].config), name="top", do_build=False, emit_src=False
    )


def cells(plan, kind):
    """How many cells of a kind the design instantiates."""
    design = plan.files["top.il"]
    return (design if isinstance(design, str) else design.decode()).count(f"cell \\{kind} ")


@pytest.mark.parametrize(
    "board, pins, cell_counts",
    [
        (
            "icebreaker",
            {"uart_0__tx__io": "9", "uart_0__rx__io": "6"},
            {"SB_MAC16": 8, "SB_SPRAM256KA": ice40.SPRAM_COUNT, "SB_PLL40_PAD": 1},
        ),
        (
            "hx8k",
            {"uart_0__tx__io": "B12", "uart_0__rx__io": "B10", "clk12_0__io": "J3"},
            {"SB_MAC16": 0, "SB_SPRAM256KA": 0, "SB_PLL40_CORE": 1},
        ),
        (
            "bitsy",
            {"usb_0__d_p__io": "42", "usb_0__d_n__io": "38", "usb_0__pullup__io": "37"},
            {"SB_MAC16": 8, "SB_SPRAM256KA": ice40.SPRAM_COUNT, "SB_PLL40_PAD": 1},
        ),
        (
            "ulx3s",
            {"uart_0__tx__io": "L4", "uart_0__rx__io": "M1", "clk25_0__io": "G2"},
            {"EHXPLLL": 1},
        ),
        (
            "orangecrab",
            {"usb_0__d_p__io": "N1", "usb_0__d_n__io": "M2", "usb_0__pullup__io": "N2"},
            {"EHXPLLL": 1},
        ),
    ],
)
def test_plan_uses_the_device(board, pins, cell_counts):
    """Its primitives and its pins; on the large chips with a small fabric, which the platform does
    not change.
    """
    made = plan(board, None if BOARDS[board].family == "ice40" else TINY)
    assert {kind: cells(made, kind) for kind in cell_counts} == cell_counts
    constraints = made.files.get("top.pcf") or made.files["top.lpf"]
    for name, pin in pins.items():
        assert (
            f"set_io {name} {pin}\n" in constraints
            or f'LOCATE COMP "{name}" SITE "{pin}";' in constraints
        )


@pytest.mark.parametrize(
    "board, recipe",
    [
        ("icebreaker", recipes.ours_full),
        ("bitsy", recipes.ours_full),
        ("hx8k", recipes.ours_aligned),
    ],
)
def test_small_boards_hold_programs_of_the_demo(board, recipe):
    model = TrainedModel.load()
    program = compile_recipe(recipe(model), model, BOARDS[board].config)
    program.check_fits(BOARDS[board].config)


@pytest.mark.parametrize("board", BOARDS)
def test_clocks_are_those_of_the_fabric_and_its_link(board):
    """The UART's clock is a multiple of its baud rate, and USB has its own; the data sheet allows
    every clock asked for."""
    pytest.importorskip("amaranth_boards")
    module, info = BOARDS[board].module, BOARDS[board]
    assert info.limit_mhz is None or module.CLOCKS["sync"] <= info.limit_mhz * 1e6
    if info.usb == ORNSTEIN:
        assert CLOCK_HZ in module.CLOCKS.values()
    else:
        assert all(module.CLOCKS["sync"] % divisor == 0 for divisor in module.LINE.divisors)


@pytest.mark.parametrize("frequency, settings", [(24e6, (64, 5)), (36e6, (48, 4)), (48e6, (64, 4))])
def test_pll_settings(frequency, settings):
    assert ice40.PllClock.settings(12e6, frequency) == settings
    multiplier, exponent = settings
    assert 12e6 * multiplier / 2**exponent == frequency


def test_pll_refuses():
    with pytest.raises(ValueError, match="the PLL cannot make 23 MHz out of 12 MHz"):
        ice40.PllClock.settings(12e6, 23e6)


@pytest.mark.parametrize(
    "reference, frequencies, settings",
    [
        (25e6, (90e6,), (1, 18, (5,))),
        (48e6, (96e6, 24e6), (1, 10, (5, 20))),
        (25e6, (87.5e6,), (1, 21, (6,))),
    ],
)
def test_ecp5_pll_settings(reference, frequencies, settings):
    assert ecp5.Clocks.settings(reference, frequencies) == settings
    divider, feedback, dividers = settings
    assert all(
        reference / divider * feedback / each == f
        for each, f in zip(dividers, frequencies, strict=True)
    )


def test_ecp5_pll_refuses():
    with pytest.raises(ValueError, match="the PLL cannot make 97 MHz out of 25 MHz"):
        ecp5.Clocks.settings(25e6, (97e6,))
