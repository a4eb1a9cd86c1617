# SPDX-License-Identifier: Apache-2.0
"""Coverage-guided fuzzing of the host's parsers with atheris, run by hand:

    pip install atheris
    python tests/fuzz/parsers.py TARGET -max_total_time=300

TARGET is ``frames``, ``identity`` or ``table``; what follows are options of libFuzzer. A run ends
at the first input that a parser does not answer as it must. Such an input becomes a named test of
the parser. Program files have a campaign of their own: ``ornstein selftest --files``.
"""

import gzip
import io
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["ornstein", "sliplib"]):
    from ornstein.hdl import protocol
    from ornstein.hdl.config import TINY, ConfigError, FabricConfig
    from ornstein.hdl.regmap import Line, identity
    from ornstein.hdl.spaces import spaces
    from ornstein.host.compile.program import InputError
    from ornstein.host.devices.link import Link
    from ornstein.host.files.inputs import open_inputs
    from ornstein.sim.transport import Transport

FOLDER = Path(tempfile.mkdtemp())
SIZE = 3
"""Numbers in a row of the tables."""


class _Silence(Transport):
    """A line on which nothing comes."""

    def write(self, data):
        pass

    def read(self, timeout):
        return b""

    def close(self):
        pass


def frames(data: bytes) -> None:
    """The same answers come out however the bytes are divided, each with its right CRC.

    The input chooses pieces of the line; some are given a right CRC and escapes.
    """
    provider = atheris.FuzzedDataProvider(data)
    line = b""
    while provider.remaining_bytes():
        piece = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 40))
        if provider.ConsumeBool():
            piece = protocol.sealed(piece)
            piece = piece.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        line += piece + b"\xc0" * provider.ConsumeBool()
    whole = list(Link(_Silence())._answers(line + b"\xc0"))
    link, found = Link(_Silence()), []
    chunk = 1 + len(data) % 7
    for first in range(0, len(line), chunk):
        found += link._answers(line[first : first + chunk])
    found += link._answers(b"\xc0")
    assert found == whole
    for number, status, body in found:
        frame = protocol.answer(number, status, body)
        escaped = frame.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc")
        assert escaped + b"\xc0" in line + b"\xc0"


def identity_registers(data: bytes) -> None:
    """Registers describe a fabric that has memories, or one that cannot be."""
    values = dict(identity(TINY))
    provider = atheris.FuzzedDataProvider(data)
    names = list(values)
    while provider.remaining_bytes():
        name = names[provider.ConsumeIntInRange(0, len(names) - 1)]
        values[name] = provider.ConsumeUInt(provider.PickValueInList([1, 2, 4]))
    try:
        config = FabricConfig.from_identity("device", values)
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert all(info.depth > 0 and info.bits > 0 for info in spaces(config).values())
        assert FabricConfig.from_identity("device", identity(config)) == config
        for name, described in config.identity().items():
            flag = isinstance(getattr(config, name), bool)
            assert described == (bool(values[name]) if flag else values[name]), name
    line = Line.from_identity(values)
    assert set(line.divisors) <= set(values["line_divisors"].to_bytes(4, "little"))


def table(data: bytes) -> None:
    """A file holds rows of the right size or is refused in one line, also as a .safetensors file;
    packed, it holds the same.
    """
    first = _rows("rows", data)
    assert _rows("packed", gzip.compress(data, 1)) == first or data.startswith(b"\x1f\x8b\x08")
    _rows("rows.safetensors", data)


def _rows(name: str, data: bytes) -> bytes | None:
    """Returns the rows of a file with these bytes; None if it is refused."""
    path = FOLDER / name
    path.write_bytes(data)
    found = b""
    try:
        with open_inputs(str(path), SIZE) as inputs:
            for block in inputs.blocks:
                assert block.dtype == float and block.shape[1:] == (SIZE,)
                found += block.tobytes()
    except InputError as error:
        assert "\n" not in str(error)
        return None
    return found


def _table_seeds() -> list[bytes]:
    """Tables of each kind, from which the fuzzer starts."""
    rows = np.arange(6.0).reshape(2, SIZE) / 2
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, rows)
    np.savez_compressed(archive, rows=rows)
    texts = "1,2,3\n4,5,6\n", "a;b;c\n1,5;2;3\n", "1 2 3 # note\r\n", '"1"\t"2"\t"3"\n'
    encodings = "utf-8-sig", "utf-16", "utf-32"
    encoded = [texts[1].encode(encoding) for encoding in encodings]
    return [array.getvalue(), archive.getvalue(), *(text.encode() for text in texts), *encoded]


TARGETS = {
    "frames": frames,
    "identity": identity_registers,
    "table": table,
}

if __name__ == "__main__":
    chosen = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if chosen not in TARGETS:
        sys.exit(f"usage: python {sys.argv[0]} {{{','.join(TARGETS)}}} [options of libFuzzer]")
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    if chosen == "table":
        for number, seed in enumerate(_table_seeds()):
            (corpus / str(number)).write_bytes(seed)
    atheris.Setup([*sys.argv, str(corpus)], TARGETS[chosen])
    atheris.Fuzz()
