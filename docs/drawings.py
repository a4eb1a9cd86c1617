# SPDX-License-Identifier: Apache-2.0
"""The block diagram and the timing diagram of a fabric, as SVG, from the fabric's own tables."""

from dataclasses import dataclass, field
from html import escape

from ornstein.hdl.config import FabricConfig
from ornstein.hdl.spaces import spaces
from ornstein.hdl.timing import Timing

INK, SOFT, PAPER = "#22262b", "#5f666d", "#ffffff"
READ, WRITE, BUS = "#0072b2", "#d55e00", "#9aa0a6"
FILLS = "#e8f1f8", "#fdf0e6", "#e9f5f0", "#f7ecf3", "#eef0f2"
CHARACTER = 6.4
"""Width of a character of the drawings' text, in pixels."""

USERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Sequencer": (("DESCRIPTOR",), ()),
    "Multiply lanes": (("FACTOR", "STATE", "DRIVE", "RANK"), ("RANK",)),
    "Activation": (("RANK", "ACTIVATION"), ("RANK",)),
    "Update": (("STATE", "DRIVE", "NOISE"), ("STATE", "DRIVE")),
    "Noise generators": (("SEED",), ("NOISE",)),
    "Accumulators": (("SUM", "SQUARE"), ("SUM", "SQUARE")),
    "Sample stream": ((), ("SAMPLE",)),
}
"""Components of the engine: the memories that each reads, and those that it writes."""


@dataclass
class Drawing:
    """An SVG picture; elements are drawn in the order in which they are added."""

    width: float
    height: float
    elements: list[str] = field(default_factory=list)

    def box(self, x, y, width, height, lines, fill=PAPER, weight="normal") -> None:
        """A box with centred lines of text, the first one in the given weight."""
        self.elements.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="3" '
            f'fill="{fill}" stroke="{SOFT}"/>'
        )
        for number, line in enumerate(lines):
            self.text(
                x + width / 2,
                y + height / 2 + 14 * (number - (len(lines) - 1) / 2) + 4,
                line,
                weight=weight if number == 0 else "normal",
            )

    def text(self, x, y, line, anchor="middle", weight="normal", colour=INK) -> None:
        """A line of text with its baseline at ``y``."""
        self.elements.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-weight="{weight}" '
            f'fill="{colour}">{escape(line)}</text>'
        )

    def line(self, points, colour=INK, arrow=False, width=1.3) -> None:
        """A line through points, with an arrow at its end if wanted."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = f' marker-end="url(#{colour.lstrip("#")})"' if arrow else ""
        self.elements.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{end}/>'
        )

    def curve(self, start, end, colour) -> None:
        """A curved arrow between two columns."""
        (x, y), (u, v) = start, end
        middle = (x + u) / 2
        self.elements.append(
            f'<path d="M{x:g},{y:g} C{middle:g},{y:g} {middle:g},{v:g} {u:g},{v:g}" fill="none" '
            f'stroke="{colour}" stroke-width="1.3" marker-end="url(#{colour.lstrip("#")})"/>'
        )

    def svg(self, title: str) -> str:
        """The file."""
        markers = "".join(
            f'<marker id="{colour.lstrip("#")}" viewBox="0 0 8 8" refX="7" refY="4" '
            f'markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
            for colour in (INK, READ, WRITE, BUS)
        )
        body = "\n".join(self.elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" font-family="sans-serif" '
            f'font-size="12">\n<title>{escape(title)}</title>\n<defs>{markers}</defs>\n'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>\n{body}\n</svg>\n'
        )


def block_diagram(config: FabricConfig) -> str:
    """Link and bus on the left, a box for every space in the middle, the engine on the right."""
    memories = spaces(config).values()
    pitch, height = 46, 36
    drawing = Drawing(900, 70 + pitch * len(memories))
    rows = {row.space.name: 44 + pitch * number for number, row in enumerate(memories)}
    middle = 44 + pitch * len(memories) / 2 - (pitch - height) / 2
    drawing.text(350, 24, f"fabric {config.name!r}: words x lanes x bits", weight="bold")
    drawing.text(740, 24, "engine", weight="bold")
    drawing.box(
        20, middle - 40, 120, 80, ["Link", "SLIP frames", "CRC, requests"], FILLS[4], "bold"
    )
    drawing.line([(200, 44), (200, 44 + pitch * len(memories) - 10)], BUS, width=4)
    drawing.text(200, 36, "bus", colour=SOFT)
    drawing.line([(140, middle), (198, middle)], BUS, arrow=True, width=2.5)
    for row in memories:
        name = row.space.name
        y = rows[name]
        words = f"{row.depth:,} x {row.lanes} x {row.bits} bits"
        drawing.line([(200, y + height / 2), (238, y + height / 2)], BUS, arrow=True)
        drawing.box(240, y, 220, height, [name, words], FILLS[0 if row.memory else 4], "bold")
    ends = dict.fromkeys(rows, 0)
    uses = [
        (user, reads, writes)
        for user, (reads, writes) in USERS.items()
        if any(name in rows for name in (*reads, *writes))
    ]
    step = (pitch * len(memories) - 10) / len(uses)
    for number, (user, reads, writes) in enumerate(uses):
        y = 44 + step * (number + 0.5)
        drawing.box(660, y - 22, 160, 44, [user], FILLS[1], "bold")
        arrows = [(name, READ) for name in reads] + [(name, WRITE) for name in writes]
        arrows = [(name, colour) for name, colour in arrows if name in rows]
        for place, (name, colour) in enumerate(sorted(arrows, key=lambda arrow: rows[arrow[0]])):
            ends[name] += 1
            at = 460, rows[name] + 4 + 7 * ends[name]
            to = 660, y - 18 + 36 * (place + 1) / (len(arrows) + 1)
            drawing.curve(*((at, to) if colour == READ else (to, at)), colour)
    bottom = drawing.height - 10
    drawing.text(660, bottom, "blue: reads", anchor="start", colour=READ)
    drawing.text(750, bottom, "orange: writes", anchor="start", colour=WRITE)
    return drawing.svg(f"Block diagram of the fabric {config.name}")


def stages(config: FabricConfig) -> dict[str, list[tuple[str, int, int]]]:
    """For each operation the stages of one micro-operation: (name, first cycle, end), counted from
    its issue."""
    t = Timing.of(config)
    operands = [("read", 0, t.read), ("spread", t.read, t.read + t.spread)]
    products = [*operands, ("multiply", t.read + t.spread, t.products)]
    steps = {
        "PROJECT, MIX": [
            *products,
            ("sum over units", t.products, t.rank_total),
            ("round", t.rank_total, t.rank),
            ("write", t.rank, t.rank + 1),
        ],
        "EXPAND": [
            *products,
            ("sum over ranks", t.products, t.unit),
            ("leak, cubic", t.unit, t.unit + t.draw),
            ("noise, sums, round", t.unit + t.draw, t.unit + t.update),
            ("write", t.unit + t.update, t.unit + t.update + 1),
        ],
        "ACTIVATE": [
            ("read", 0, t.read),
            ("pick lane", t.read, t.read + t.pick),
            ("table", t.read + t.pick, t.lookup),
            ("interpolate", t.lookup, t.activation),
            ("write", t.activation, t.activation + 1),
        ],
    }
    return {
        operation: [(name, first, end) for name, first, end in parts if end > first]
        for operation, parts in steps.items()
    }


def timing_diagram(config: FabricConfig) -> str:
    """Cycle by cycle, the stages that one micro-operation of each operation goes through."""
    t = Timing.of(config)
    shown = stages(config)
    last = max(end for parts in shown.values() for _, _, end in parts)
    last = max(last, t.rank_hazard, t.unit_hazard)
    cycle = min(44.0, 760 / last)
    left, top, height = 110, 40, 26
    rows = sum(len(parts) for parts in shown.values())
    drawing = Drawing(left + cycle * last + 170, top + rows * height + 3 * 16 + 30)
    drawing.text(left, 20, f"fabric {config.name!r}: cycles after issue", "start", "bold")
    for now in range(last + 1):
        x = left + cycle * now
        drawing.line([(x, top - 4), (x, drawing.height - 24)], "#e4e7ea", width=0.8)
        if now < last:
            drawing.text(x + cycle / 2, top - 8, str(now), colour=SOFT)
    y = float(top)
    hazards = {"PROJECT, MIX": t.rank_hazard, "EXPAND": t.unit_hazard, "ACTIVATE": t.rank_hazard}
    for operation, parts in shown.items():
        drawing.text(left - 10, y + 17, operation, "end", "bold")
        begin = y
        for number, (name, first, end) in enumerate(parts):
            x, width = left + cycle * first, cycle * (end - first)
            fits = len(name) * CHARACTER < width
            drawing.box(x, y + 3, width, height - 6, [name] if fits else [], FILLS[number % 5])
            if not fits:
                drawing.text(x + width + 5, y + 17, name, "start")
            y += height
        safe = left + cycle * hazards[operation]
        drawing.line([(safe, begin), (safe, y)], WRITE, width=1.8)
        y += 16
    drawing.text(
        left,
        drawing.height - 8,
        "orange: from here on, counted from a pass's last issue, a dependent read may be issued",
        "start",
        colour=WRITE,
    )
    return drawing.svg(f"Pipeline of the fabric {config.name}")
