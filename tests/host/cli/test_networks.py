# SPDX-License-Identifier: Apache-2.0
"""The commands on files of weights."""

import json

from ornstein.host.cli import networks
from ornstein.host.models.model_file import DEFAULT_MODEL


def test_layers_lists_what_a_skip_can_join(tmp_path, capsys):
    networks.layers(DEFAULT_MODEL, match="conv1", json_file=tmp_path / "layers.json")
    listed = json.loads((tmp_path / "layers.json").read_text())
    assert list(listed) == [f"{b}.conv1.weight" for b in ("bottleneck", "d1", "d2", "e1", "e2")]
    assert listed["d1.conv1.weight"] == [64, 192, 3, 3]
    shown = capsys.readouterr().out
    assert "64 x 192 x 3 x 3" in shown and "bias" not in shown
