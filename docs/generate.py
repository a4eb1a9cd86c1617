# SPDX-License-Identifier: Apache-2.0
"""Writes the reference pages and the drawings of this documentation from the code's own tables."""

import ast
import enum
import inspect
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import drawings
import several_boards
import upsets

from ornstein import host
from ornstein.boards.notes import attribute_notes, member_notes
from ornstein.hdl import isa, protocol, regmap
from ornstein.hdl.config import PRESETS, REFERENCE, ULX3S
from ornstein.hdl.spaces import When, spaces
from ornstein.host import linalg, recipes

ROOT = Path(__file__).parents[1]

API = {
    "Sampling and linear algebra": ("sample", "Samples", "linalg", "anneal", "Annealed"),
    "Devices": ("open_device", "Device", "Outputs"),
    "Programs": ("compile_recipe", "equilibrium_problem", "compile_problem", "Program"),
    "Problems": (
        "Problem",
        "Stage",
        "Energy",
        "EnergyBuilder",
        "Module",
        "Coupling",
        "Interface",
    ),
    "Models and recipes": ("TrainedModel", "recipes"),
    "Beside them": ("FabricConfig", "Recipe", "Layer", "Readout", "Scores", "score"),
}
"""What a user of the package meets, by heading: the names of :mod:`ornstein.host`, and types that
those take or return."""


def write(folder: Path) -> None:
    """Write every page and drawing into ``folder``, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "isa.md": isa_page(),
        "protocol.md": protocol_page(),
        "registers.md": registers_page(),
        "api.md": api_page(),
        "fabric.svg": drawings.block_diagram(REFERENCE),
        "timing-reference.svg": drawings.timing_diagram(REFERENCE),
        "timing-ulx3s.svg": drawings.timing_diagram(ULX3S),
        "upsets-boards.inc": table(
            ("board", "verified", "cycles of a pass, at most", "not verified"), upsets.boards()
        ),
        "several-boards-cuts.inc": table(
            ("cut", "bytes a step, both ways", "if states were sent instead"),
            several_boards.cuts(),
        ),
        "several-boards-links.inc": table(
            ("link between boards", "time for the projections, each way", "share of half a step"),
            several_boards.links(),
        ),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


# ---- pages ---------------------------------------------------------------------------------------


def isa_page() -> str:
    """The descriptors: operations, and the fields of passes and levels."""
    parts = ["# Instructions", module_text(isa)]
    parts.append(
        table(
            ("operation", "code"), ((f"`{member.name}`", member.value) for member in isa.Operation)
        )
    )
    for kind in (isa.Pass, isa.Level):
        notes = attribute_notes(kind)
        parts += [
            f"## {kind.__name__}",
            summary(kind),
            table(
                ("field", "word", "bits", "meaning"),
                (
                    (f"`{name}`", word, bit_range(low, width), plain(notes.get(name, "")))
                    for name, word, low, width in kind.layout()
                ),
            ),
        ]
    return page(parts)


def protocol_page() -> str:
    """The link: framing, headers, opcodes and status codes."""
    sizes = "REQUEST_HEADER_BYTES", "ANSWER_HEADER_BYTES", "CRC_BYTES", "MAX_REQUEST"
    sizes += "MAX_WRITE_BYTES", "MAX_READ_BYTES", "WAIT_UNIT"
    return page(
        [
            "# Protocol",
            module_text(protocol),
            f"The protocol's version is {regmap.PROTOCOL_VERSION}.",
            "## Header of a request",
            table(
                ("field", "bits"), ((f"`{name}`", bits) for name, bits in protocol.REQUEST_HEADER)
            ),
            "## Opcodes",
            enum_table(protocol.Opcode),
            "## Status",
            enum_table(protocol.Status),
            "## Sizes",
            table(
                ("constant", "value"), ((f"`{name}`", getattr(protocol, name)) for name in sizes)
            ),
        ]
    )


def registers_page() -> str:
    """The address spaces of every preset, and the control and identity registers."""
    parts = [
        "# Registers",
        module_text(regmap),
        "## Spaces",
        summary(regmap.Space),
        enum_table(regmap.Space),
        "The rows of the preset `reference`. Reading and writing say when the bus may do so:",
        enum_table(When),
        table(
            ("space", "bits", "signed", "lanes", "words", "reading", "writing"),
            (
                (
                    f"`{space.name}`",
                    row.bits,
                    "yes" if row.signed else "no",
                    row.lanes,
                    f"{row.depth:,}",
                    f"`{row.read.name}`",
                    f"`{row.write.name}`",
                )
                for space, row in spaces(REFERENCE).items()
            ),
        ),
        "Elements in each preset; a dash means that the fabric does not have the space:",
        table(
            ("space", *PRESETS),
            (
                (
                    f"`{space.name}`",
                    *(
                        f"{spaces(config)[space].size:,}" if space in spaces(config) else "-"
                        for config in PRESETS.values()
                    ),
                )
                for space in regmap.Space
            ),
        ),
        "## Control registers",
        enum_table(regmap.Control),
    ]
    for kind in (
        regmap.StartRegister,
        regmap.StatusRegister,
        regmap.ScrubRegister,
        regmap.WordsRegister,
    ):
        notes = attribute_notes(kind, "Members")
        parts += [
            summary(kind),
            table(
                ("field", "bits", "meaning"),
                (
                    (f"`{name}`", bit_range(place.offset, place.width), plain(notes.get(name, "")))
                    for name, place in kind.as_shape()
                ),
            ),
        ]
    parts += [
        "## Events",
        enum_table(regmap.Event),
        "## Identity registers",
        "In address order, with the values of the preset `reference`:",
        table(
            ("address", "register", "value"),
            (
                (address, f"`{name}`", f"{value:#x}" if value > 1 << 16 else value)
                for address, (name, value) in enumerate(regmap.identity(REFERENCE).items())
            ),
        ),
    ]
    return page(parts)


def api_page() -> str:
    """The functions and classes that a user of the package meets, with their docstrings."""
    parts = [
        "# Python API",
        "The names of `ornstein`, and the types that they take or return. "
        "[Your energy](../your-energy.md) and the [examples](examples/index.rst) use them.",
    ]
    for heading, names in API.items():
        parts.append(f"## {heading}")
        for name in names:
            if name == "recipes":
                parts.append(recipes_table())
                continue
            if name == "linalg":
                parts.append(module_text(linalg, members=True))
                continue
            module, kind = definition(name)
            members = "   :members:\n" if kind == "class" else ""
            parts.append(f"```{{eval-rst}}\n.. auto{kind}:: {module}.{name}\n{members}```")
    return page(parts)


def recipes_table() -> str:
    """The functions of ``ornstein.host.recipes`` that make a recipe from a trained model."""
    rows = [
        (f"`{name}`", summary(function))
        for name, function in vars(recipes).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and inspect.signature(function).return_annotation is recipes.Recipe
    ]
    return f"`recipes` holds:\n\n{table(('function', 'recipe'), rows)}"


# ---- what the code says --------------------------------------------------------------------------


def definition(name: str) -> tuple[str, str]:
    """(module, "class" or "function") of a public name: the one of :mod:`ornstein.host`, else the
    one that is defined in ``host``, else in ``sim``, else in ``hdl``.

    Raises
    ------
    LookupError
        There is none, or the room has more than one.
    """
    for room in ("host", "sim", "hdl"):
        found = public_definitions(room).get(name, [])
        if name in host.__all__:
            module = getattr(host, name).__module__
            found = [(place, kind) for place, kind in found if place == module]
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{name} is defined more than once: {found}")
    raise LookupError(f"nothing is called {name}")


@cache
def public_definitions(room: str) -> dict[str, list[tuple[str, str]]]:
    """(module, "class" or "function") of every class and function of a package, by name."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(("ornstein", *(part for part in parts if part != "__init__")))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                found.setdefault(node.name, []).append((module, kind))
    return found


def summary(kind) -> str:
    """The first paragraph of a docstring."""
    return plain(" ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split()))


# ---- Markdown ------------------------------------------------------------------------------------


def page(parts: Iterable[str]) -> str:
    """A page of paragraphs and tables."""
    return "\n\n".join(parts) + "\n"


def module_text(module, *, members: bool = False) -> str:
    """A module's docstring, which is in reStructuredText, for Sphinx to render; with ``members``
    those of its functions and classes too.
    """
    options = "   :members:\n" if members else ""
    return f"```{{eval-rst}}\n.. automodule:: {module.__name__}\n{options}```"


def table(columns: Iterable[str], rows: Iterable[Iterable]) -> str:
    """A table; its cells hold Markdown."""
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def enum_table(kind: type[enum.Enum]) -> str:
    """Name, value and comment of every member."""
    notes = member_notes(kind)
    return table(
        ("name", "value", "meaning"),
        ((f"`{member.name}`", member.value, plain(notes[member.name])) for member in kind),
    )


def bit_range(low: int, width: int) -> str:
    """Bits as a data sheet writes them: the highest, and the lowest where there are several. Fields
    longer than a word go on in the words that follow it."""
    return str(low) if width == 1 else f"{low + width - 1}:{low}"


def plain(text: str) -> str:
    """A docstring's or comment's text in Markdown: roles become code, and what Markdown would take
    for markup is escaped."""
    for role in ("attr", "class", "func", "mod", "meth", "data"):
        text = text.replace(f":{role}:`", "`")
    parts = text.replace("``", "`").replace("|", "\\|").split("`")
    parts[::2] = [part.replace("*", "\\*").replace("<", "\\<") for part in parts[::2]]
    return "`".join(parts)
