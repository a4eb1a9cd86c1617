# SPDX-License-Identifier: Apache-2.0
"""The documentation says what is so: commands, options, files, tables and examples exist and agree
with the code.
"""

import itertools
import re
import shlex
from pathlib import Path
from xml.etree import ElementTree

import docstrings
import drawings
import generate
import pytest
import several_boards
import upsets

from ornstein import host
from ornstein.hdl import isa, protocol, regmap
from ornstein.hdl.config import PRESETS, REFERENCE, ULX3S
from ornstein.hdl.isa import Operation, Pass
from ornstein.hdl.schedule import reads, writes
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing
from ornstein.host.cli.commands import COMMANDS, load_command
from ornstein.host.cli.exit_codes import EXIT_CODES

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
README_WORDS = 600


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- what pages name -----------------------------------------------------------------------------


def commands() -> dict[str, set[str]]:
    """Every command of the application and its options."""
    return {
        name: {
            option
            for parameter in load_command(name).params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for name in COMMANDS
    }


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_commands_and_options_exist(path):
    known = commands()
    for line in re.findall(r"(?:^ +|`|\| )(?:\S*/)?ornstein ([a-z][^`|\n#]*)", text(path), re.M):
        name, *arguments = line.split()
        assert name in known, f"ornstein {name}"
        for argument in arguments:
            if argument.startswith("--") and argument != "--help":
                assert argument in known[name], f"ornstein {name} {argument}"


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_commands_are_understood(path):
    """Every command on a line of its own, with its arguments and the values of its options."""
    for line in re.findall(r"^    (?:\S.* \| )?ornstein ([a-z][^\n]*)$", text(path), re.M):
        name, *arguments = shlex.split(line, comments=True)
        load_command(name).make_context(name, arguments)


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", text(ROOT / "Makefile"), re.M))
    named = re.findall(r"(?:^ {4}|`)make ((?:[a-z-]+ ?)+)", text(path), re.M)
    assert {target for group in named for target in group.split()} <= targets


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_files_exist(path):
    names = re.findall(r"`((?:hdl|sim|boards|host|tests|docs|\.ci)/[\w./-]*)`", text(path))
    assert [name for name in names if not (ROOT / name).exists()] == []
    rooms = "hdl", "sim", "boards", "host", "tests", "docs"
    files = {file.name for room in rooms for file in (ROOT / room).rglob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", text(path))) <= files


def test_sections_that_the_code_refers_to_exist():
    """Docstrings name them as ``docs/page.md``, section "Heading"."""
    for room in ("hdl", "sim", "boards", "host"):
        for file in (ROOT / room).rglob("*.py"):
            words = " ".join(text(file).split())
            for name, section in re.findall(r'``(docs/\w+\.md)``,(?: section)? "([^"]+)"', words):
                assert f"# {section}\n" in text(ROOT / name), f"{file}: {name}, {section}"


@pytest.mark.parametrize("path", PAGES[:3], ids=ids)
def test_links_exist(path):
    links = [link for link in re.findall(r"\]\(([^)#]+)", text(path)) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_is_short():
    assert len(text(ROOT / "README.md").split()) <= README_WORDS


def test_the_readmes_scores_are_those_of_the_results():
    """Each row of the short table has the figures of a row of the long one."""
    cells = [
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in text(ROOT / "docs" / "results.md").splitlines()
        if line.startswith("| ")
    ]
    long = [{row[2], row[3], row[5]} for row in cells if len(row) == 12]
    table = text(ROOT / "README.md").split("| program |")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    assert len(rows) == 6
    for row in rows:
        assert {cell.strip() for cell in row[2:]} in long


def test_exit_codes():
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text(ROOT / "docs" / "use.md"), re.M))
    assert {int(code) for code in rows} == {*EXIT_CODES.values(), 2, 130}


EXAMPLES = [
    (page, number, example)
    for page in ("use", "learning")
    for number, example in enumerate(
        re.findall(r"```python\n(.*?)```", text(ROOT / "docs" / f"{page}.md"), re.S)
    )
]


@pytest.mark.parametrize(
    "example", [row[2] for row in EXAMPLES], ids=[f"{page}-{n}" for page, n, _ in EXAMPLES]
)
def test_examples_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "example", "exec"), {})


# ---- generated pages -----------------------------------------------------------------------------


def assert_has(page: str, names):
    missing = [name for name in names if f"`{name}`" not in page]
    assert missing == []


def test_instructions():
    page = generate.isa_page()
    assert_has(page, Operation.__members__)
    for kind in (isa.Pass, isa.Level):
        assert_has(page, [name for name, *_ in kind.layout()])
        notes = generate.attribute_notes(kind)
        assert [name for name, *_ in kind.layout() if not notes.get(name)] == []


def test_protocol():
    page = generate.protocol_page()
    assert_has(page, [*protocol.Opcode.__members__, *protocol.Status.__members__])
    assert_has(page, [name for name, _ in protocol.REQUEST_HEADER])


def test_registers():
    page = generate.registers_page()
    for kind in (regmap.Space, regmap.Control, regmap.Event):
        assert_has(page, kind.__members__)
    registers = "StartRegister", "StatusRegister", "ScrubRegister", "WordsRegister"
    for kind in (getattr(regmap, name) for name in registers):
        assert_has(page, [name for name, _ in kind.as_shape()])
    assert_has(page, regmap.identity(REFERENCE))


def test_notes_of_enumerations():
    notes = generate.member_notes(protocol.Status)
    assert notes["FULL"] == "a job waits already"
    assert set(notes) == set(protocol.Status.__members__)
    notes = generate.member_notes(regmap.Control)
    assert notes["TAKEN"].startswith("RW: ")
    notes = generate.member_notes(regmap.Space)
    assert notes["FACTOR"].startswith("factors of the couplings, word")
    assert notes["SEED"].startswith("two halves of 32 bits") and "a read returns" in notes["SEED"]
    assert set(generate.member_notes(isa.Operation).values()) == {""}


def test_what_each_board_verifies_follows_from_its_fabric():
    rows = {board: row for board, *row in upsets.boards()}
    assert rows["`icebreaker`"][:2] == ["none", "-"] and "FACTOR" in rows["`icebreaker`"][2]
    assert rows["`ulx3s`"] == rows["`orangecrab`"]
    verified, cycles, rest = rows["`ulx3s`"]
    assert verified == "FACTOR, DRIVE, DESCRIPTOR, ACTIVATION"
    assert rest == "STATE, RANK, NOISE, SUM"
    assert 16 * 1024 + 8 * 2048 < int(cycles.replace(",", "")) < 45_000


def test_several_boards_send_what_their_formats_say():
    """A projection of rank 16 has 32 bytes; four of them go each way while half of a step's 1,760
    cycles pass at 90 MHz."""
    assert several_boards.step_bound() == 4 * 3520 * 16 // 128
    rows = {cut: (sent, states) for cut, sent, states in several_boards.cuts()}
    assert rows["through one skip of rank 16"] == ("64", "1,280 to 5,120")
    assert ("256", "14,080") in rows.values()
    shares = [share for *_, share in several_boards.links()]
    assert shares[0] == "26 %" and shares[-1] == "1,091 %"


def test_sections_of_docstrings():
    lines = ["Text.", "", "Attributes", "----------", "a, b : first", "    and more", "", "End."]
    assert docstrings.to_fields(lines) == [
        "Text.",
        "",
        ":ivar a,b: first",
        "    and more",
        "",
        "End.",
    ]
    lines = ["Raises", "------", "ValueError", "    It is wrong."]
    assert docstrings.to_fields(lines) == [":raises ValueError: ", "    It is wrong."]


def test_api():
    page = generate.api_page()
    shown = {name for names in generate.API.values() for name in names}
    assert set(host.__all__) <= shown
    assert [name for name in shown - {"linalg", "recipes"} if f".{name}\n" not in page] == []
    assert "`ours_aligned`" in page and "automodule:: ornstein.host.sampling.linalg" in page
    with pytest.raises(LookupError, match="nothing is called"):
        generate.definition("no_such_name")


def test_markup_is_escaped():
    assert generate.plain("a * b, ``c * d`` :attr:`e`") == "a \\* b, `c * d` `e`"


# ---- drawings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)
def test_block_diagram_shows_every_space(config):
    shown = ElementTree.fromstring(drawings.block_diagram(config)).itertext()
    assert {space.name for space in spaces(config)} <= set(shown)


def test_users_agree_with_the_schedule():
    """The memories that the compiler orders are those that the drawing connects."""
    engine = ("Multiply lanes", "Activation", "Update")
    for operation in Operation:
        for flag in (0, 1):
            step = Pass(operation, from_drive=flag, to_drive=flag, coupled=1, biased=1)
            read = {memory.upper() for memory, _, _ in reads(step, 0)}
            assert read <= {name for user in engine for name in drawings.USERS[user][0]}
            written = writes(step)[0].upper()
            assert written in {name for user in engine for name in drawings.USERS[user][1]}


def test_every_memory_has_a_user():
    used = {name for reads, writes in drawings.USERS.values() for name in (*reads, *writes)}
    assert used == set(regmap.Space.__members__) - {"IDENTITY", "CONTROL"}


@pytest.mark.parametrize("config", [REFERENCE, ULX3S], ids=["reference", "ulx3s"])
def test_stages_follow_each_other(config):
    """Without a gap, from the issue to the write; the write ends when a word may be read again."""
    timing = Timing.of(config)
    for parts in drawings.stages(config).values():
        assert parts[0][1] == 0 and parts[-1][0] == "write"
        assert all(end == begin for (_, _, end), (_, begin, _) in itertools.pairwise(parts))
        assert parts[-1][2] <= max(timing.rank_hazard, timing.unit_hazard)
    ElementTree.fromstring(drawings.timing_diagram(config))


# ---- continuous integration ----------------------------------------------------------------------


def test_unexpected_skips(tmp_path):
    from check_skips import ALLOWED, unexpected_skips

    (allowed, *_) = ALLOWED
    report = tmp_path / "tests.xml"
    report.write_text(
        f"""<testsuites><testsuite>
        <testcase classname="a" name="runs"/>
        <testcase classname="a" name="{allowed}"><skipped message="takes minutes"/></testcase>
        <testcase classname="b" name="left_out"><skipped message="no Icarus"/></testcase>
        </testsuite></testsuites>"""
    )
    assert unexpected_skips(str(report)) == ["b::left_out: no Icarus"]
