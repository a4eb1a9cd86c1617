# SPDX-License-Identifier: Apache-2.0
"""The gateware for other toolchains: its Verilog, and its register map as JSON, as a C header, and
as a CMSIS-SVD description. All numbers come from :mod:`ornstein.hdl.regmap`,
:mod:`ornstein.hdl.spaces` and :mod:`ornstein.hdl.protocol`.
"""

import enum
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from amaranth.back import verilog as back

from ornstein.boards.notes import attribute_notes, member_notes
from ornstein.hdl import protocol, regmap
from ornstein.hdl.config import FabricConfig
from ornstein.hdl.spaces import SpaceInfo, When, spaces
from ornstein.hdl.top import Top

STRIDE = 8
"""Bytes from one element to the next in the map of a bridge to a memory-mapped bus: the widest
element has 48 bits.
"""

SPACE_SHIFT = 27
"""Bits of a byte address below the number of the space: 24 of the element, three of its bytes."""

FIELDS = {
    regmap.Control.START: regmap.StartRegister,
    regmap.Control.STATUS: regmap.StatusRegister,
    regmap.Control.SCRUB: regmap.ScrubRegister,
    **{regmap.words_register(space): regmap.WordsRegister for space in regmap.SCRUBBED},
}
"""The control registers that have fields."""

_ACCESS = {"R": "read-only", "W": "write-only", "RW": "read-write"}
_KINDS = re.compile(r"(?:^|[.;] )(RW|R|W): ")
"""How the note of a control register says what may be done with it."""


def module_name(config: FabricConfig) -> str:
    """Name of the Verilog module of a fabric."""
    return f"ornstein_{config.name}"


def verilog(config: FabricConfig) -> str:
    """Returns the machine as Verilog-2001 without primitives of any vendor.

    The module has the ports of :class:`ornstein.hdl.top.Top`, ``clk``, and the synchronous
    ``rst``. Registers have initial values, and memories are arrays for the toolchain to infer.
    """
    head = f"""// SPDX-License-Identifier: Apache-2.0
// Ornstein, fabric {config.name}: link and fabric behind two streams of bytes.
//
// clk                           the only clock
// rst                           synchronous reset; it leaves memories as they are
// i__payload, i__valid, i__ready  bytes from the host; one moves when valid and ready are both 1
// o__payload, o__valid, o__ready  bytes to the host
// idle                          tie to 1
// rate                          leave open
//
// Yosys has written this file. It leaves widths and default cases implicit.
// verilator lint_off ASCRANGE
// verilator lint_off CASEINCOMPLETE
// verilator lint_off WIDTHEXPAND
// verilator lint_off WIDTHTRUNC

"""
    return head + back.convert(
        Top(config), name=module_name(config), emit_src=False, strip_internal_attrs=True
    )


# ---- the map -------------------------------------------------------------------------------------


def register_map(config: FabricConfig) -> dict:
    """Returns the register map as plain data: the parts of the other formats, with their notes."""
    return {
        "module": module_name(config),
        "fabric": asdict(config),
        "protocol": {
            "version": regmap.PROTOCOL_VERSION,
            "opcodes": _numbers(protocol.Opcode),
            "statuses": _numbers(protocol.Status),
            "request_header": [
                {"name": name, "bits": bits} for name, bits in protocol.REQUEST_HEADER
            ],
            "sizes": {
                name.lower(): getattr(protocol, name)
                for name in (
                    *("REQUEST_HEADER_BYTES", "ANSWER_HEADER_BYTES", "CRC_BYTES", "MAX_REQUEST"),
                    *("MAX_WRITE_BYTES", "MAX_READ_BYTES", "WAIT_UNIT"),
                )
            },
        },
        "memory_map": {"stride": STRIDE, "space_shift": SPACE_SHIFT},
        "spaces": [_space(info) for info in spaces(config).values()],
        "control": list(_control(config)),
        "identity": [
            {"name": name, "address": address, "value": value}
            for address, (name, value) in enumerate(regmap.identity(config).items())
        ],
        "events": _numbers(regmap.Event),
    }


def _numbers(kind: type[enum.IntEnum] | type[enum.IntFlag]) -> list[dict]:
    """Returns the members of an enumeration with their notes."""
    notes = member_notes(kind)
    return [
        {"name": member.name, "value": member.value, "note": notes[str(member.name)]}
        for member in kind
    ]


def _space(info: SpaceInfo) -> dict:
    return {
        "name": info.space.name,
        "number": int(info.space),
        "note": member_notes(regmap.Space)[info.space.name],
        "bits": info.bits,
        "bytes": info.bytes,
        "signed": info.signed,
        "lanes": info.lanes,
        "words": info.depth,
        "elements": info.size,
        "read": info.read.value,
        "write": info.write.value,
        "memory": info.memory,
    }


def _control(config: FabricConfig) -> Iterator[dict]:
    """Yields the control registers of a fabric. Their notes name the kinds of access they allow."""
    texts = member_notes(regmap.Control)
    for register in regmap.registers(config):
        note = texts[register.name]
        kinds = "".join(sorted(set("".join(_KINDS.findall(note)))))
        fields = []
        if layout := FIELDS.get(register):
            notes = attribute_notes(layout, "Members")
            fields = [
                {
                    "name": field,
                    "low": place.offset,
                    "bits": place.width,
                    "note": notes[field],
                }
                for field, place in layout.as_shape()
                if field != "reserved"
            ]
        yield {
            "name": register.name,
            "address": int(register),
            "access": _ACCESS[kinds],
            "note": re.sub(f"^{kinds}: ", "", note),
            "fields": fields,
        }


# ---- C -------------------------------------------------------------------------------------------


def c_header(config: FabricConfig) -> str:
    """Returns the map as macros, each an unsigned constant of at most 32 bits."""
    found = register_map(config)
    lines = []

    def define(name: str, value: int, note: str = "") -> None:
        remark = f" /* {note} */" if note else ""
        lines.append(f"#define ORNSTEIN_{name.upper()} {value:#x}u{remark}")

    def heading(text: str) -> None:
        lines.extend(["", f"/* {text} */"])

    heading("The link's protocol")
    define("protocol_version", found["protocol"]["version"])
    for prefix, rows in (("opcode", "opcodes"), ("status", "statuses")):
        for row in found["protocol"][rows]:
            define(f"{prefix}_{row['name']}", row["value"], row["note"])
    for name, value in found["protocol"]["sizes"].items():
        define(name, value)
    heading("Address spaces")
    for row in found["spaces"]:
        define(f"space_{row['name']}", row["number"], row["note"])
        for key in ("elements", "bits", "bytes", "lanes", "signed"):
            define(f"space_{row['name']}_{key}", int(row[key]))
    heading("Registers of the control space, and the fields of those that have some")
    for row in found["control"]:
        register = f"control_{row['name']}"
        define(register, row["address"], f"{row['access']}; {row['note']}")
        for field in row["fields"]:
            define(f"{register}_{field['name']}_shift", field["low"], field["note"])
            mask = ((1 << field["bits"]) - 1) << field["low"]
            define(f"{register}_{field['name']}_mask", mask)
    heading("Registers of the identity space, and what they hold")
    for row in found["identity"]:
        define(f"identity_{row['name']}", row["address"])
        define(f"identity_{row['name']}_value", row["value"])
    heading("Events that WAIT can wait for")
    for row in found["events"]:
        define(f"event_{row['name']}", row["value"], row["note"])
    guard = f"{module_name(config).upper()}_H"
    return "\n".join(
        [
            "/* SPDX-License-Identifier: Apache-2.0 */",
            f"/* Register map of the fabric {config.name}. */",
            f"#ifndef {guard}",
            f"#define {guard}",
            *lines,
            "",
            f"#endif /* {guard} */",
            "",
        ]
    )


# ---- SVD -----------------------------------------------------------------------------------------


def svd(config: FabricConfig) -> str:
    """Returns the map as CMSIS-SVD 1.3, as a bridge to a memory-mapped bus would show it: a
    peripheral for each space, element n at byte ``STRIDE * n`` of it.
    """
    found = register_map(config)
    device = ElementTree.Element(
        "device",
        {
            "schemaVersion": "1.3",
            "xmlns:xs": "http://www.w3.org/2001/XMLSchema-instance",
            "xs:noNamespaceSchemaLocation": "CMSIS-SVD.xsd",
        },
    )
    _texts(
        device,
        name=found["module"],
        version=str(found["protocol"]["version"]),
        description=f"Ornstein, fabric {config.name}, behind a bridge to a memory-mapped bus",
        addressUnitBits="8",
        width="64",
    )
    peripherals = ElementTree.SubElement(device, "peripherals")
    for space in found["spaces"]:
        peripheral = ElementTree.SubElement(peripherals, "peripheral")
        _texts(
            peripheral,
            name=space["name"],
            description=space["note"],
            baseAddress=f"{space['number'] << SPACE_SHIFT:#x}",
        )
        block = ElementTree.SubElement(peripheral, "addressBlock")
        _texts(block, offset="0x0", size=f"{STRIDE * space['elements']:#x}", usage="registers")
        registers = ElementTree.SubElement(peripheral, "registers")
        match space["name"]:
            case "CONTROL":
                for row in found["control"]:
                    _register(registers, space, row, access=row["access"])
            case "IDENTITY":
                for row in found["identity"]:
                    _register(registers, space, row, access="read-only", value=row["value"])
            case _:
                _elements(registers, space)
    ElementTree.indent(device)
    return ElementTree.tostring(device, encoding="unicode", xml_declaration=True) + "\n"


def _texts(parent: ElementTree.Element, **texts: str) -> None:
    """Adds an element for each text, in the order that the schema demands of the caller."""
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = text


def _register(
    parent: ElementTree.Element, space: dict, row: dict, *, access: str, value: int = 0
) -> None:
    """Adds one register of a space that consists of registers."""
    register = ElementTree.SubElement(parent, "register")
    _texts(
        register,
        name=row["name"].upper(),
        description=row.get("note") or row["name"],
        addressOffset=f"{STRIDE * row['address']:#x}",
        size=str(space["bits"]),
        access=access,
        resetValue=f"{value:#x}",
    )
    if row.get("fields"):
        fields = ElementTree.SubElement(register, "fields")
        for field in row["fields"]:
            part = ElementTree.SubElement(fields, "field")
            _texts(
                part,
                name=field["name"].upper(),
                description=field["note"],
                bitOffset=str(field["low"]),
                bitWidth=str(field["bits"]),
            )


def _elements(parent: ElementTree.Element, space: dict) -> None:
    """Adds the elements of a memory as an array of registers, each with its number as a field."""
    never = When.NEVER.value
    access = {(False, True): "read-only", (True, False): "write-only", (False, False): "read-write"}
    register = ElementTree.SubElement(parent, "register")
    size = next(bits for bits in (8, 16, 32, 64) if bits >= space["bits"])
    _texts(
        register,
        dim=str(space["elements"]),
        dimIncrement=str(STRIDE),
        name="ELEMENT[%s]",
        description=space["note"],
        addressOffset="0x0",
        size=str(size),
        access=access[space["read"] == never, space["write"] == never],
    )
    fields = ElementTree.SubElement(register, "fields")
    part = ElementTree.SubElement(fields, "field")
    _texts(
        part,
        name="VALUE",
        description="two's complement" if space["signed"] else "unsigned",
        bitOffset="0",
        bitWidth=str(space["bits"]),
    )


# ---- files ---------------------------------------------------------------------------------------


def write(config: FabricConfig, folder: Path) -> list[Path]:
    """Writes the Verilog and the three register maps into a folder, which is made if need be;
    returns the files.
    """
    texts = {
        "v": verilog(config),
        "json": json.dumps(register_map(config), indent=1) + "\n",
        "h": c_header(config),
        "svd": svd(config),
    }
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for suffix, text in texts.items():
        files.append(folder / f"{module_name(config)}.{suffix}")
        files[-1].write_text(text, encoding="utf-8")
    return files
