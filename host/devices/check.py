# SPDX-License-Identifier: Apache-2.0
"""The result of one check of the installation or of a device."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One line of a report.

    Attributes
    ----------
    name : what was checked
    ok : whether the check passed
    detail : what was found, or what to do
    needed : whether the report as a whole fails if this check does
    """

    name: str
    ok: bool
    detail: str
    needed: bool = True
