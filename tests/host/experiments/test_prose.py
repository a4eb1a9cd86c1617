# SPDX-License-Identifier: Apache-2.0
"""Sentences from templates, and numbers as text."""

import pytest
from jinja2 import DictLoader, Environment, UndefinedError

from ornstein.host.experiments import prose
from ornstein.host.experiments.prose import Prose, count, percent, score_text

TEMPLATE = """
{% macro line(value) %}
{{ value | score }} of
  {{ 12345 | count }}{% if value < 0 %}, below{% endif %}.
{% endmacro %}
{% macro two() %}
one
line

two {{ 0.5 | percent }}
{% endmacro %}
{% macro wrong() %}{{ missing }}{% endmacro %}
"""


@pytest.fixture
def sentences(monkeypatch):
    monkeypatch.setattr(prose, "PackageLoader", lambda *path: DictLoader({"prose.jinja": TEMPLATE}))
    assert prose.Environment is Environment
    return Prose("package")


def test_a_macro_is_one_line_of_text(sentences):
    assert sentences("line", value=-0.25) == "-0.2500 of 12,345, below."


def test_paragraphs_are_separated_by_empty_lines(sentences):
    assert sentences.paragraphs("two") == ["one line", "two 50.0%"]


def test_unknown_names_are_errors(sentences):
    with pytest.raises(UndefinedError):
        sentences("wrong")
    with pytest.raises(TypeError):
        sentences("two", extra=1)


def test_numbers_as_text():
    assert score_text(-0.00001) == "0.0000" and score_text(-229.07) == "-229"
    assert score_text(0.98765, 3) == "0.988" and score_text(None) == "-"
    assert percent(0.9844) == "98.4%" and count(1234567) == "1,234,567" and count(None) == "-"
