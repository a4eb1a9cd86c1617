# SPDX-License-Identifier: Apache-2.0
"""Writes microprograms of :class:`ornstein.hdl.link.usb.engine.Engine`, with names for words and
bytes.
"""

from ornstein.hdl.link.usb.engine import PAGE, WORDS, Source, When

__all__ = ["Assembler"]


class Assembler:
    """Collects words in the order in which they follow each other.

    Every word takes the keywords ``test`` and ``then``, the word that follows where the test holds;
    ``go``, the word that follows otherwise, by default the one written next; and the fields of a
    ``Word``. Addresses are those of the memory's lower half; ``half`` 0 or 1 means the byte of that
    half that the pointer points at.
    """

    def __init__(self):
        self._written: list[dict] = []
        self._labels: dict[str, int] = {}
        self._bytes: dict[str | int, int] = {}
        self.contents = bytearray(2 * PAGE)

    # ---- the memory ------------------------------------------------------------------------------

    def variable(self, name: str, value: int = 0) -> int:
        """Address of a byte with that value at power-up."""
        return self._byte(name, value)

    def constant(self, value: int) -> int:
        """Address of a byte that always has the value, modulo 256."""
        return self._bytes.get(value % 256) or self._byte(value % 256, value % 256)

    def _byte(self, key, value):
        # byte zero is left out: a pointer that has run over a buffer's end writes there
        self._bytes[key] = address = len(self._bytes) + 1
        self.contents[address] = value
        return address

    # ---- words -----------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Names the word written next."""
        if name in self._labels:
            raise ValueError(f"two words are called {name!r}")
        self._labels[name] = len(self._written)

    def word(
        self,
        *,
        address: int = 0,
        half: int | None = None,
        test: When = When.NEVER,
        then: str | None = None,
        go: str | None = None,
        **fields,
    ) -> None:
        """Any word."""
        self._written.append(
            {
                **fields,
                "address": address if half is None else half,
                "pointed": int(half is not None),
                "test": test,
                "then": then or "",
                "go": go or "",
            }
        )

    def load(self, address: int = 0, **rest) -> None:
        """The accumulator becomes a byte of memory."""
        self.word(address=address, source=Source.MEMORY, load=1, **rest)

    def load_byte(self, **rest) -> None:
        """The accumulator becomes the next byte received."""
        self.word(source=Source.LINE, load=1, wait=1, **rest)

    def clear(self, **rest) -> None:
        """The accumulator becomes zero."""
        self.word(source=Source.ZERO, load=1, **rest)

    def add(self, address: int = 0, **rest) -> None:
        """Adds a byte of memory to the accumulator."""
        self.word(address=address, source=Source.MEMORY, add=1, load=1, **rest)

    def subtract(self, address: int = 0, **rest) -> None:
        """Subtracts a byte of memory from the accumulator."""
        self.word(address=address, source=Source.MEMORY, add=1, negate=1, load=1, **rest)

    def store(self, address: int = 0, **rest) -> None:
        """A byte of memory becomes the accumulator."""
        self.word(address=address, source=Source.ZERO, add=1, write=1, **rest)

    def point(self, address: int, **rest) -> None:
        """The pointer becomes a byte of memory."""
        self.word(address=address, source=Source.MEMORY, point=1, **rest)

    def store_pointer(self, address: int, **rest) -> None:
        """A byte of memory becomes the pointer."""
        self.word(address=address, source=Source.POINTER, write=1, **rest)

    def send(self, address: int = 0, **rest) -> None:
        """Sends a byte of memory."""
        self.word(address=address, source=Source.MEMORY, wait=1, send=1, **rest)

    def send_checksum(self, **rest) -> None:
        """Sends a byte of the checksum."""
        self.word(wait=1, send=1, checksum=1, **rest)

    def pass_(self, **rest) -> None:
        """Nothing but a test, or a way to another word."""
        self.word(**rest)

    # ---- layout ----------------------------------------------------------------------------------

    def program(self) -> list[dict]:
        """The words in the order written. Raises ValueError if they are too many, KeyError if a
        name means nothing.
        """
        if len(self._written) > WORDS:
            raise ValueError(
                f"the microprogram takes {len(self._written)} words, there are {WORDS}"
            )
        labels = self._labels
        return [
            {
                **word,
                "go": labels[word["go"]] if word["go"] else place + 1,
                "then": labels[word["then"]] if word["then"] else 0,
            }
            for place, word in enumerate(self._written)
        ]
