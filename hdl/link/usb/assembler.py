# SPDX-License-Identifier: Apache-2.0
"""An assembler for the microprograms of :class:`ornstein.hdl.link.usb.engine.Engine`: words and
bytes of memory have names.
"""

from ornstein.hdl.link.usb.engine import PAGE, WORDS, Source, When

__all__ = ["Assembler"]


class Assembler:
    """Collects the words of a microprogram, in order.

    Every method that writes a word takes these keywords: ``test``, a condition; ``then``, the label
    of the next word if the condition is true; ``go``, the label of the next word otherwise; and the
    fields of a ``Word``. Either label is by default the word written next. An address is one of the
    memory's lower half, unless ``half`` is given: 0 or 1 selects the lower or the upper half, and
    the pointer is the address in it.

    Attributes
    ----------
    contents : the memory at power-up
    """

    def __init__(self):
        self._written: list[dict] = []
        self._labels: dict[str, int] = {}
        self._bytes: dict[str | int, int] = {}
        self.contents = bytearray(2 * PAGE)

    # ---- the memory ------------------------------------------------------------------------------

    def variable(self, name: str, value: int = 0) -> int:
        """Reserves a byte with that value at power-up, and returns its address."""
        return self._byte(name, value)

    def constant(self, value: int) -> int:
        """Returns the address of a byte that always has the value, modulo 256."""
        return self._bytes.get(value % 256) or self._byte(value % 256, value % 256)

    def _byte(self, key, value):
        # byte zero is not used, because a pointer that runs beyond the end of a buffer writes there
        self._bytes[key] = address = len(self._bytes) + 1
        self.contents[address] = value
        return address

    # ---- words -----------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Gives the word written next a name. Raises ValueError if the name is taken."""
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
        """Writes a word with any fields."""
        self._written.append(
            {
                **fields,
                "address": address if half is None else half,
                "pointed": int(half is not None),
                "test": test,
                "then": then,
                "go": go,
            }
        )

    def load(self, address: int = 0, **rest) -> None:
        """Writes a byte of the memory to the accumulator."""
        self.word(address=address, source=Source.MEMORY, load=1, **rest)

    def load_byte(self, **rest) -> None:
        """Writes the next byte received to the accumulator."""
        self.word(source=Source.LINE, load=1, wait=1, **rest)

    def clear(self, **rest) -> None:
        """Sets the accumulator to zero."""
        self.word(source=Source.ZERO, load=1, **rest)

    def add(self, address: int = 0, **rest) -> None:
        """Adds a byte of the memory to the accumulator."""
        self.word(address=address, source=Source.MEMORY, add=1, load=1, **rest)

    def subtract(self, address: int = 0, **rest) -> None:
        """Subtracts a byte of the memory from the accumulator."""
        self.word(address=address, source=Source.MEMORY, add=1, negate=1, load=1, **rest)

    def store(self, address: int = 0, **rest) -> None:
        """Writes the accumulator to a byte of the memory."""
        self.word(address=address, source=Source.ZERO, add=1, write=1, **rest)

    def point(self, address: int, **rest) -> None:
        """Writes a byte of the memory to the pointer."""
        self.word(address=address, source=Source.MEMORY, point=1, **rest)

    def store_pointer(self, address: int, **rest) -> None:
        """Writes the pointer to a byte of the memory."""
        self.word(address=address, source=Source.POINTER, write=1, **rest)

    def send(self, address: int = 0, **rest) -> None:
        """Sends a byte of the memory to the host."""
        self.word(address=address, source=Source.MEMORY, wait=1, send=1, **rest)

    def send_checksum(self, **rest) -> None:
        """Sends a byte of the checksum to the host."""
        self.word(wait=1, send=1, checksum=1, **rest)

    def pass_(self, **rest) -> None:
        """Has no effect but to choose the next word."""
        self.word(**rest)

    # ---- layout ----------------------------------------------------------------------------------

    def program(self) -> list[dict]:
        """Returns the words in the order written, with numbers of words for labels. Raises
        ValueError if there are too many words, KeyError if a label is not defined.
        """
        if len(self._written) > WORDS:
            raise ValueError(
                f"the microprogram takes {len(self._written)} words, there are {WORDS}"
            )

        def place_of(label: str | None, default: int) -> int:
            return default if label is None else self._labels[label]

        return [
            {
                **word,
                "go": place_of(word["go"], place + 1),
                "then": place_of(word["then"], place + 1 if word["test"] != When.NEVER else 0),
            }
            for place, word in enumerate(self._written)
        ]
