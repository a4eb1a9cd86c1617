# SPDX-License-Identifier: Apache-2.0
"""Experiment F: the account's arithmetic."""

import pytest

from ornstein.host.experiments.paper import energy_account, reported


def test_the_papers_floor_and_gain():
    assert energy_account.floor_joules(256) == pytest.approx(4.24e-16, rel=1e-3)
    assert reported.GPU_JOULES / energy_account.floor_joules(256) == pytest.approx(
        1.89e13, rel=1e-2
    )


def test_multiplies_of_the_net_and_power_of_the_board():
    # one channel pair everywhere but for the shortcuts: stem, five blocks, head of a net of one
    # channel
    by_hand = (
        16 * 9
        + 16 * 18
        + 4 * 2 * (9 + 18 + 1)
        + 1 * 4 * (18 + 36 + 2)
        + 4 * 2 * (54 + 18 + 6)
        + 16 * (27 + 9 + 3)
        + 16
    )
    assert energy_account.net_multiplies(1, 1, side=4) == by_hand
    assert 1e-3 < energy_account.icebreaker_watts(cells=0) < energy_account.icebreaker_watts() < 0.1


def test_joules_of_the_cpu_say_how_they_were_found(monkeypatch):
    monkeypatch.setattr(energy_account, "_SECONDS", 0.001)
    joules, how = energy_account.measured_joules(lambda: sum(range(1000)), 10)
    assert joules > 0 and ("RAPL" in how or "assumed" in how)
    monkeypatch.setattr(energy_account, "_counter", iter((1_000_000, 3_000_000)).__next__)
    _, how = energy_account.measured_joules(lambda: None, 1)
    assert "RAPL" in how
