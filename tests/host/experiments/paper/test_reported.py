# SPDX-License-Identifier: Apache-2.0
"""The paper's numbers stand in one table."""

import re
from pathlib import Path

from ornstein.host.experiments.paper import reported


def test_no_sentence_of_the_paper_types_what_the_table_of_its_numbers_holds():
    folder = Path(reported.__file__).parent
    files = [*folder.glob("*.py"), *folder.glob("templates/*"), *folder.parent.glob("demo/**/*.*")]
    typed = {f"{value}" for numbers in reported.COSINE.values() for value in numbers.values()} - {
        "1.0"
    }
    for path in files:
        if path.suffix in (".py", ".jinja") and path.name != "reported.py":
            found = set(re.findall(r"\b0\.\d{4}\b", path.read_text()))
            assert not found & typed, path.name
