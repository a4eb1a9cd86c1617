# SPDX-License-Identifier: Apache-2.0
"""The gateware for other toolchains: Verilator accepts the Verilog, a C compiler the header, and
Arm's schema the SVD; every number in them is that of the definitions.
"""

import json
import re
import subprocess
from importlib.resources import files

import pytest
from cmsis_svd.parser import SVDParser
from lxml import etree

from ornstein.boards import export
from ornstein.hdl import protocol, regmap
from ornstein.hdl.config import PRESETS, TINY
from ornstein.hdl.spaces import When, spaces
from ornstein.sim.toolchain import verilator_environment

EVERY_PRESET = pytest.mark.parametrize("config", PRESETS.values(), ids=PRESETS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the small fabric."""
    folder = tmp_path_factory.mktemp("verilog") / "new"
    names = [path.name for path in export.write(TINY, folder)]
    assert names == [f"ornstein_tiny.{suffix}" for suffix in ("v", "json", "h", "svd")]
    return folder


def test_verilator_accepts_the_verilog(folder):
    """Without any warning; the module has the streams of bytes, one clock and one reset."""
    command = ["verilator", "--lint-only", "--top-module", "ornstein_tiny", "ornstein_tiny.v"]
    done = subprocess.run(
        command, cwd=folder, env=verilator_environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    text = (folder / "ornstein_tiny.v").read_text()
    (ports,) = re.findall(r"^module ornstein_tiny\((.*)\);", text, re.M)
    streams = [f"{side}__{part}" for side in "io" for part in ("payload", "valid", "ready")]
    assert set(ports.split(", ")) == {"clk", "rst", "idle", "rate", *streams}


def test_the_header_compiles_and_holds_the_definitions(folder):
    """A C program prints every macro; the compiler warns about none."""
    header = (folder / "ornstein_tiny.h").read_text()
    names = re.findall(r"^#define (ORNSTEIN_\w+) ", header, re.M)
    assert len(set(names)) == len(names)
    prints = "\n".join(f'printf("{name} %u\\n", {name});' for name in names)
    source = '#include <stdio.h>\n#include "ornstein_tiny.h"\n#include "ornstein_tiny.h"\n'
    (folder / "print.c").write_text(f"{source}int main(void) {{ {prints} return 0; }}\n")
    compile = ["cc", "-std=c99", "-pedantic", "-Wall", "-Werror", "print.c", "-o", "print"]
    subprocess.run(compile, cwd=folder, check=True)
    printed = subprocess.run([folder / "print"], capture_output=True, text=True, check=True).stdout
    found = {name: int(value) for name, value in map(str.split, printed.splitlines())}
    expected = {f"SPACE_{space.name}": int(space) for space in spaces(TINY)}
    for space, info in spaces(TINY).items():
        expected[f"SPACE_{space.name}_ELEMENTS"] = info.size
        expected[f"SPACE_{space.name}_BITS"] = info.bits
        expected[f"SPACE_{space.name}_BYTES"] = info.bytes
    expected |= {f"CONTROL_{register.name}": int(register) for register in regmap.registers(TINY)}
    expected |= {f"OPCODE_{name}": int(code) for name, code in protocol.Opcode.__members__.items()}
    expected |= {f"STATUS_{name}": int(code) for name, code in protocol.Status.__members__.items()}
    expected |= {f"EVENT_{event.name}": int(event) for event in regmap.Event}
    for address, (name, value) in enumerate(regmap.identity(TINY).items()):
        expected[f"IDENTITY_{name.upper()}"] = address
        expected[f"IDENTITY_{name.upper()}_VALUE"] = value
    assert (
        expected.items()
        <= {name.removeprefix("ORNSTEIN_"): value for name, value in found.items()}.items()
    )
    job = regmap.StartRegister.const({"levels": 3, "bank": 1, "tag": 9}).as_bits()
    for field, value in (("LEVELS", 3), ("BANK", 1), ("TAG", 9), ("FIRST", 0)):
        shift, mask = (
            found[f"ORNSTEIN_CONTROL_START_{field}_{part}"] for part in ("SHIFT", "MASK")
        )
        assert (job & mask) >> shift == value


@EVERY_PRESET
def test_the_svd_follows_arms_schema(config):
    schema = files("cmsis_svd") / "schemas" / "CMSIS-SVD_1_3_9.xsd"
    document = etree.fromstring(export.svd(config).encode())
    etree.XMLSchema(etree.fromstring(schema.read_bytes())).assertValid(document)


def test_the_svd_has_every_register(folder):
    """As a parser of others reads it."""
    device = SVDParser.for_xml_file(str(folder / "ornstein_tiny.svd")).get_device()
    found = {peripheral.name: peripheral for peripheral in device.peripherals}
    assert set(found) == {space.name for space in spaces(TINY)}
    for space, info in spaces(TINY).items():
        peripheral = found[space.name]
        assert peripheral.base_address == space << export.SPACE_SHIFT
        registers = {register.name: register for register in peripheral.get_registers()}
        assert len(registers) == info.size
        if info.memory or space == regmap.Space.SEED:
            for number in (0, info.size - 1):
                register = registers[f"ELEMENT[{number}]"]
                assert register.address_offset == export.STRIDE * number
                (field,) = register.get_fields()
                assert (field.bit_offset, field.bit_width) == (0, info.bits)
    control = {register.name: register for register in found["CONTROL"].get_registers()}
    assert [control[name].address_offset // export.STRIDE for name in control] == list(
        regmap.registers(TINY)
    )
    for register in regmap.registers(TINY):
        layout = export.FIELDS.get(register)
        if layout is None:
            continue
        fields = {field.name: field for field in control[register.name].get_fields()}
        for name, place in layout.as_shape():
            if name != "reserved":
                field = fields.pop(name.upper())
                assert (field.bit_offset, field.bit_width) == (place.offset, place.width)
        assert not fields
    values = [register.reset_value for register in found["IDENTITY"].get_registers()]
    assert values == list(regmap.identity(TINY).values())


@EVERY_PRESET
def test_elements_fit_the_memory_map(config):
    """Every element lies in its space's part of the map, and in its stride."""
    for info in spaces(config).values():
        assert info.size * export.STRIDE <= 1 << export.SPACE_SHIFT
        assert info.bytes <= export.STRIDE


def test_the_json_holds_every_definition(folder):
    document = json.loads((folder / "ornstein_tiny.json").read_text())
    assert document == json.loads(json.dumps(export.register_map(TINY)))
    assert {row["name"]: row["value"] for row in document["identity"]} == regmap.identity(TINY)
    for row, info in zip(document["spaces"], spaces(TINY).values(), strict=True):
        assert (row["number"], row["elements"]) == (info.space, info.size)
        assert (row["read"], row["write"]) == (info.read.value, info.write.value)
    assert [row["name"] for row in document["control"]] == [
        register.name for register in regmap.registers(TINY)
    ]
    notes = [
        row["note"]
        for rows in (document["spaces"], document["control"], document["events"])
        for row in rows
    ]
    assert all(notes)


def test_every_access_is_that_of_the_space(folder):
    """A memory that cannot be written is read-only; counters are, and commands are write-only."""
    device = SVDParser.for_xml_file(str(folder / "ornstein_tiny.svd")).get_device()
    for peripheral in device.peripherals:
        info = spaces(TINY)[regmap.Space[peripheral.name]]
        kinds = {register.access.value for register in peripheral.get_registers()}
        if info.write == When.NEVER:
            assert kinds == {"read-only"}
        elif peripheral.name != "CONTROL":
            assert kinds == {"read-write"}
        else:
            access = {
                register.name: register.access.value for register in peripheral.get_registers()
            }
            counters = {counter.name for counter in regmap.COUNTERS}
            assert {access[name] for name in counters} == {"read-only"}
            assert {access[name] for name in ("START", "CLEAR", "ABORT")} == {"write-only"}
