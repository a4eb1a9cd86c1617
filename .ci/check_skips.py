# SPDX-License-Identifier: Apache-2.0
"""Fails if a test was skipped that continuous integration must run.

Usage: python .ci/check_skips.py REPORT, where REPORT is what ``pytest --junitxml`` wrote.
"""

import sys
import xml.etree.ElementTree as ElementTree

ALLOWED = {
    "test_a_long_command_runs": "builds and verifies whole boards, with ORNSTEIN_BUILD=1",
}
"""Tests that may be skipped with any of their parameters, and why."""


def unexpected_skips(report: str) -> list[str]:
    """One line for every test that was skipped and may not be: its name and the reason given."""
    return [
        f"{case.get('classname')}::{case.get('name')}: {skipped.get('message')}"
        for case in ElementTree.parse(report).iter("testcase")
        if (skipped := case.find("skipped")) is not None
        and case.get("name", "").partition("[")[0] not in ALLOWED
    ]


if __name__ == "__main__":
    lines = unexpected_skips(sys.argv[1])
    for line in lines:
        print(f"skipped, but must run: {line}", file=sys.stderr)
    sys.exit(bool(lines))
