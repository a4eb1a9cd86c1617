# SPDX-License-Identifier: Apache-2.0
"""The sections of this project's docstrings as fields that Sphinx knows.

A section has a heading that is underlined with hyphens. Its items are ``name, name : text``, and go
on in indented lines; in ``Raises`` the text is in the indented lines alone.
"""

import re

FIELDS = {
    "Attributes": "ivar",
    "Members": "ivar",
    "Parameters": "param",
    "Raises": "raises",
    "Returns": "returns",
}
"""The field of every heading."""


def to_fields(lines: list[str]) -> list[str]:
    """The lines of a docstring with its sections turned into fields; other text stays as it is."""
    result: list[str] = []
    field = None
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line in FIELDS and re.fullmatch("-{3,}", following):
            field = FIELDS[line]
        elif field and re.fullmatch("-{3,}", line):
            continue
        elif field and not line.strip():
            result.append("")
            field = None
        elif field and not line.startswith(" "):
            names, _, text = line.partition(" : ")
            if field == "returns":
                result.append(f":returns: {line}")
            else:
                named = ",".join(name.strip() for name in names.split(","))
                result.append(f":{field} {named}: {text}")
        else:
            result.append(line)
    return result
