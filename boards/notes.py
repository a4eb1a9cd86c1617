# SPDX-License-Identifier: Apache-2.0
"""What the source says of the members of enumerations and classes, for documentation and register
maps: the notes are written once, beside what they explain.
"""

import ast
import enum
import inspect
import io
import textwrap
import tokenize


def member_notes(kind: type[enum.Enum]) -> dict[str, str]:
    """The comment of every member of an enumeration: the one in its own lines, else the lines above
    it."""
    source = textwrap.dedent(inspect.getsource(kind))
    comments, alone = {}, {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
            if token.line.strip().startswith("#"):
                alone[token.start[0]] = token.string.lstrip("# ")
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    notes = {}
    for node in body.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        assert node.end_lineno is not None
        said = [
            comments[line] for line in range(node.lineno, node.end_lineno + 1) if line in comments
        ]
        line = node.lineno
        while line - 1 in alone:
            line -= 1
        said = said or [alone[above] for above in range(line, node.lineno)]
        notes[node.targets[0].id] = " ".join(said)
    return notes


def attribute_notes(kind: type, heading: str = "Attributes") -> dict[str, str]:
    """What a section of a docstring says of each name; lines are joined."""
    text = inspect.getdoc(kind) or ""
    _, _, section = text.partition(f"{heading}\n{'-' * len(heading)}\n")
    notes: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if not line.strip():
            break
        if not line.startswith(" "):
            left, _, right = line.partition(" : ")
            names = [name.strip() for name in left.split(",")]
            notes |= dict.fromkeys(names, right)
        else:
            notes |= {name: f"{notes[name]} {line.strip()}".strip() for name in names}
    return notes
