# SPDX-License-Identifier: Apache-2.0
"""All benchmarks together: the order of the table, and the first figure."""

from ornstein.host.experiments.bench import run
from ornstein.host.experiments.bench.figures import DEFINITIONS, figure
from ornstein.host.models.model_file import TrainedModel

GROUPS = (
    "lane_figures",
    "streaming_figures",
    "simulator_figures",
    "model_figures",
    "peer_figures",
    "large_figures",
    "limit_figures",
    "board_figures",
    "line_figures",
    "memory_figures",
)


def test_compiling_is_timed(clock):
    clock.step = 0.5
    program, row = run.compile_default(TrainedModel.load())
    assert (row.name, row.value, row.ratio) == ("compile_s", 0.5, 0.25)
    assert program.problem.samples == 64


def test_groups_are_measured_in_the_order_of_the_table(monkeypatch):
    """Each group is replaced by one row that says how many arguments it was given."""
    asked = []

    def fake(name):
        def measure(*arguments):
            asked.append(name)
            yield figure("rtl_start_s", float(len(arguments)))

        return measure

    for name in GROUPS:
        monkeypatch.setattr(run, name, fake(name))
    told = []
    rows = list(run.bench(told.append))
    assert asked == list(GROUPS)
    assert rows[0].name == "compile_s" and rows[0].value > 0
    assert [row.value for row in rows[1:]] == [1, 3, 3, 3, 1, 1, 0, 1, 2, 1]
    assert told == ["compiling the default program"]


def test_definitions_of_goals_are_whole_phrases():
    for name, definition in DEFINITIONS.items():
        assert definition.unit and definition.note, name
        assert not definition.note.endswith((".", " "))
