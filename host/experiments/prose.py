# SPDX-License-Identifier: Apache-2.0
"""Numbers as text, and the sentences of an experiment as macros of a template beside its code."""

from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from ornstein.host.pages.page import NONE, sentence, short


def score_text(value: float | None, digits: int = 4) -> str:
    """Returns a score with so many decimals, or with none if it is below -10."""
    if value is None:
        return NONE
    if not np.isfinite(value):
        return str(float(value))
    text = f"{value:.{digits}f}" if value > -10 else f"{value:.0f}"
    return text.removeprefix("-") if float(text) == 0 else text


def percent(value: float | None) -> str:
    """Returns a share in percent with one decimal."""
    return NONE if value is None else f"{100 * value:.1f}%"


def count(value: float | None) -> str:
    """Returns a count with separators between thousands."""
    return NONE if value is None else f"{value:,.0f}"


class Prose:
    """The macros of ``templates/prose.jinja`` in one package, each rendered to plain text.

    A template gets the filters ``fmt`` (Python's format), ``score``, ``percent``, ``count``,
    ``short`` (a few digits) and ``sentence`` (capital first letter). A name that is not defined is
    an error.
    """

    def __init__(self, package: str):
        environment = Environment(
            loader=PackageLoader(package, "templates"),
            undefined=StrictUndefined,
            autoescape=False,
            trim_blocks=True,
        )
        environment.filters |= {
            "fmt": format,
            "score": score_text,
            "percent": percent,
            "count": count,
            "short": short,
            "sentence": sentence,
        }
        self._template = environment.get_template("prose.jinja")

    def __call__(self, macro: str, **values: Any) -> str:
        """Returns the text of a macro on one line."""
        return " ".join(self._render(macro, values).split())

    def paragraphs(self, macro: str, **values: Any) -> list[str]:
        """Returns the paragraphs of a macro, which empty lines separate, each on one line."""
        blocks = self._render(macro, values).split("\n\n")
        return [text for block in blocks if (text := " ".join(block.split()))]

    def _render(self, macro: str, values: dict[str, Any]) -> str:
        return str(getattr(self._template.module, macro)(**values))
