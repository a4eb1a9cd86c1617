# SPDX-License-Identifier: Apache-2.0
"""Rows of numbers in text: CSV and its relatives, as spreadsheets and programs write them.

NumPy's reader turns the lines into numbers. What is done here is what it leaves to its caller: the
encoding, the separator, a header, and to say which line of the file is wrong.
"""

import codecs
import csv
import io
from collections.abc import Iterator

import numpy as np

from ornstein.host.compile.program import InputError
from ornstein.host.files.source import ByteSource

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the mark at the beginning; that of UTF-32 begins like that of UTF-16."""
_SEPARATORS = ";\t|,"
"""In the order in which they are looked for: a comma may also be the decimal sign."""
_LONGEST_LINE = 1 << 24
_SHOWN = 40
"""Characters of a line or cell that a message shows."""


class TextRows:
    """Rows of numbers from lines of text.

    Lines that are empty or begin with ``#`` are left out, and so is a header: a first line without
    any number.

    Parameters
    ----------
    source : the bytes
    size : numbers in a row
    """

    def __init__(self, source: ByteSource, size: int):
        self.notes: list[str] = []
        self._source, self._size = source, size
        self._separator: str | None = None
        self._comma = False  # whether it is the decimal sign
        self._rows = 0
        self._numbers: list[int] = []  # line numbers of the last block
        self._first = 0  # its first row

    def line_of(self, row: int) -> int | None:
        """Returns the number of the line, from 1, of a row of the last block."""
        place = row - self._first
        return self._numbers[place] if 0 <= place < len(self._numbers) else None

    def blocks(self, job: int, most: int) -> Iterator[np.ndarray]:
        """Yields blocks (n, size) of rows: ``most`` of them, or as many as are there if they fill
        jobs of ``job`` rows each. A block without rows says that the next one has to be waited for.
        """
        waiting: list[tuple[int, str]] = []
        for line in self._lines():
            if line is not None:
                waiting.append(line)
                if len(waiting) < most:
                    continue
            whole = len(waiting) // job * job
            if whole:
                yield self._parse(waiting[:whole])
                del waiting[:whole]
            if line is None:
                yield np.zeros((0, self._size))
        if waiting:
            yield self._parse(waiting)

    # ---- lines -----------------------------------------------------------------------------------

    def _lines(self) -> Iterator[tuple[int, str] | None]:
        """Yields the lines of rows with their numbers, and None before a read has to wait."""
        encoding = self._encoding()
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        decode = io.IncrementalNewlineDecoder(decoder, translate=True).decode
        number, rest, begun = 0, "", False
        while True:
            if self._source.waits():
                yield None
            chunk = self._source.take()
            rest += decode(chunk, final=not chunk)
            if "\0" in rest or len(rest) > _LONGEST_LINE:
                raise InputError(f"{self._source.name} holds no lines of text")
            *lines, rest = rest.split("\n")
            if not chunk:
                lines.append(rest)
            for line in lines:
                number += 1
                content = line.strip(" \r\f\v\x1a\ufeff")
                if not content or content.startswith("#"):
                    continue
                if not begun:
                    begun = True
                    if self._is_header(content):
                        continue
                yield number, content
            if not chunk:
                return

    def _encoding(self) -> str:
        head = self._source.head(4)
        for mark, encoding in _BOMS.items():
            if head.startswith(mark):
                return encoding
        if len(head) >= 2 and not head[1] and head[0]:
            return "utf-16-le"
        if len(head) >= 2 and not head[0] and head[1]:
            return "utf-16-be"
        return "utf-8"

    def _is_header(self, line: str) -> bool:
        """Finds the separator in the first line. Whether that is a header."""
        found = [sign for sign in _SEPARATORS if sign in line.split("#")[0]]
        self._separator = found[0] if found else None
        cells = [cell.strip() for cell in self._cells(line)]
        return not any(_is_number(cell.replace(",", ".")) for cell in cells)

    def _cells(self, line: str) -> list[str]:
        if self._separator is None:
            return line.split("#")[0].split()
        (cells,) = csv.reader([line.split("#")[0]], delimiter=self._separator)
        return cells[:-1] if cells and not cells[-1].strip() else cells

    # ---- numbers ---------------------------------------------------------------------------------

    def _parse(self, lines: list[tuple[int, str]]) -> np.ndarray:
        self._numbers, self._first = [number for number, _ in lines], self._rows
        texts = [self._cleaned(text) for _, text in lines]
        try:
            rows = np.loadtxt(texts, delimiter=self._separator, ndmin=2, quotechar='"')
        except ValueError as error:
            rows, reason = np.zeros((0, 0)), str(error)
        else:
            reason = f"{rows.shape[1]} numbers in a row"
        if rows.shape != (len(lines), self._size):
            raise self._fault(lines, reason)
        if not self._rows and self._size > 2 and (rows[0] == np.arange(self._size)).all():
            self.notes.append(
                f"the first row of {self._source.name} is 0, 1, 2, ... and was taken as an input; "
                "if these are the names of columns, write the file without them"
            )
        self._rows += len(rows)
        return rows

    def _cleaned(self, line: str) -> str:
        """Returns a line without what follows its last number, and with decimal points."""
        if self._separator is None:
            return line
        line = line.split("#")[0].rstrip(" ").removesuffix(self._separator)
        return line if self._separator == "," else line.replace(",", ".")

    def _fault(self, lines: list[tuple[int, str]], reason: str) -> InputError:
        """Returns the error of the first line that is no row of numbers of the right size."""
        for row, (number, line) in enumerate(lines, self._first):
            cells = self._cells(line)
            wrong = next(
                (
                    place
                    for place, cell in enumerate(cells)
                    if not _is_number(self._cleaned(cell.strip()))
                ),
                None,
            )
            if wrong is None and len(cells) == self._size:
                continue
            if wrong is not None and len(cells) == self._size:
                cell = cells[wrong].strip()
                what = f"{cell[:_SHOWN]!r}" if cell else "nothing"
                reason = f"has {what} in column {wrong}, which is not a number"
            elif wrong is not None and len(cells) < 2:
                reason = f"{line[:_SHOWN]!r} is not a row of numbers"
            else:
                index = " (an index before them? leave it out)"
                reason = (
                    f"has {len(cells)} numbers; the program takes {self._size}"
                    f"{index if len(cells) == self._size + 1 else ''}"
                )
                if wrong is not None:
                    reason += f"; {cells[wrong].strip()[:_SHOWN]!r} in column {wrong} is no number"
            return InputError(f"{self._source.name}, line {number}, row {row} (from 0): {reason}")
        return InputError(f"{self._source.name} is not rows of numbers: {reason}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell
