# SPDX-License-Identifier: Apache-2.0
"""What a check of this installation or of a device found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of a report; ``needed`` says whether the whole fails without it."""

    name: str
    ok: bool
    detail: str
    needed: bool = True
