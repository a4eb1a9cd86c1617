# SPDX-License-Identifier: Apache-2.0
"""What each board verifies of its memories while it works, computed from its configuration."""

from collections.abc import Iterator

from ornstein.boards import BOARDS
from ornstein.hdl.regmap import SCRUBBED
from ornstein.hdl.scrub import pass_cycles
from ornstein.hdl.spaces import spaces


def boards() -> Iterator[tuple[str, str, str, str]]:
    """Rows: board, verified memories, cycles of a pass over all of them, other memories."""
    for name, board in BOARDS.items():
        infos = spaces(board.config)
        memories = {info.space for info in infos.values() if info.memory}
        verified = [space for space in SCRUBBED if board.config.scrub]
        cycles = pass_cycles(board.config, {space: infos[space].depth for space in verified})
        yield (
            f"`{name}`",
            ", ".join(space.name for space in verified) or "none",
            f"{cycles:,}" if verified else "-",
            ", ".join(space.name for space in sorted(memories - set(verified))),
        )
