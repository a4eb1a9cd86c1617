# SPDX-License-Identifier: Apache-2.0
"""The report of the demo: one self-contained HTML page with its figures, tables and findings.

Every number and every conclusion in the page is computed from the
:class:`ornstein.host.experiments.demo.run.Demo` that it shows. What a demo lacks is left out.
"""

from collections.abc import Iterator
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ornstein.host.experiments.demo.figures import PROSE, attribution, exhibits
from ornstein.host.experiments.demo.run import (
    COEFFICIENTS,
    CONSTANT,
    FIT,
    LINEAR,
    RANK,
    ROUNDING,
    SAMPLING,
    SHUFFLED,
    TIME_STEP,
    Demo,
    ErrorShare,
)
from ornstein.host.experiments.demo.table import find, groups, print_table
from ornstein.host.experiments.paper import reported
from ornstein.host.experiments.prose import count, percent, score_text
from ornstein.host.models.recipes import ALIGNED, FULL, PAPER, REFITTED, ZEROED
from ornstein.host.models.run import LOSS
from ornstein.host.pages.page import NONE, sentence, short, write_template

__all__ = ["print_table", "write_report"]

HOW_MEASURED = {
    FIT: "how_fit",
    RANK: "how_rank",
    COEFFICIENTS: "how_coefficients",
    ROUNDING: "how_rounding",
    TIME_STEP: "how_time_step",
    SAMPLING: "how_sampling",
}
"""The macro of the template that says how the error of a stage was measured."""


def write_report(demo: Demo, folder: Path) -> Path:
    """Writes ``report.html`` and ``figures/*.png`` into ``folder``, which is made if need be.

    The page is self-contained: figures and styles are in it, and it loads nothing.

    Returns
    -------
    Path of the page
    """
    return write_template(
        folder,
        "report.html",
        exhibits(demo),
        summary=_summary(demo),
        findings=list(findings(demo)),
        groups=groups(demo),
        score=score_text,
        count=count,
        percent=percent,
        temperature=short,
        attribution=attribution(demo),
        how=how_measured,
        demo=demo,
        ranges=demo.ranges,
        difference=_difference,
        value=_value,
        loss=LOSS,
        provenance=_flat(demo.provenance),
        fabric=_fabric(demo),
    )


def how_measured(share: ErrorShare) -> str:
    """Returns how the error of a stage was measured, in words."""
    return PROSE(HOW_MEASURED[share.stage], **share.facts)


def _summary(demo: Demo) -> str:
    inputs, units = (None, None) if demo.target is None else demo.target.shape
    return PROSE(
        "summary",
        rows=len(demo.rows),
        inputs=inputs,
        units=units,
        device=demo.device,
        fabric=demo.fabric and demo.fabric.name,
        lanes=demo.fabric and demo.fabric.lanes,
    )


# ---- findings ------------------------------------------------------------------------------------


def findings(demo: Demo) -> Iterator[tuple[str, str]]:
    """Yields what the rows say, as (lead, text); a finding is left out if a row is missing."""
    yield from _our_scores(demo)
    constant, shuffled = (
        find(demo, CONSTANT),
        find(demo, FULL, SHUFFLED) or find(demo, ALIGNED, SHUFFLED),
    )
    if constant and shuffled:
        yield PROSE("cosine_lead"), PROSE("cosine", constant=constant, shuffled=shuffled)
    yield from _linear_finding(demo)
    yield from _time_step_finding(demo)
    yield from _coupling_findings(demo)
    paper = find(demo, PAPER)
    if paper:
        yield (
            PROSE("paper_lead"),
            PROSE(
                "paper",
                row=paper,
                uncoupled=find(demo, PAPER, REFITTED),
                reported=reported.COSINE[reported.TRAINED]["full"],
            ),
        )
    compared = [row for row in demo.rows if row.equals_model is not None]
    if compared:
        yield (
            PROSE("bits_lead"),
            PROSE(
                "bits",
                compared=len(compared),
                equal=sum(bool(row.equals_model) for row in compared),
                saturations=sum(row.saturations or 0 for row in compared),
                device=demo.device,
            ),
        )


def _our_scores(demo: Demo) -> Iterator[tuple[str, str]]:
    for key in (ALIGNED, FULL):
        row, exact = find(demo, key), find(demo, key, device="float:exact")
        if row and exact:
            difference = abs(exact.centred_cosine - row.centred_cosine)
            text = PROSE("ours", row=row, exact=exact, difference=difference, asked=LOSS)
            yield f"{sentence(row.recipe)}.", text


def _linear_finding(demo: Demo) -> Iterator[tuple[str, str]]:
    linear, aligned = find(demo, LINEAR), find(demo, ALIGNED)
    if linear and aligned:
        yield PROSE("linear_lead"), PROSE("linear", linear=linear, aligned=aligned)


def _time_step_finding(demo: Demo) -> Iterator[tuple[str, str]]:
    if demo.time_steps:
        yield PROSE("time_step_lead"), PROSE("time_step", time_steps=demo.time_steps)


def _coupling_findings(demo: Demo) -> Iterator[tuple[str, str]]:
    full, refitted = find(demo, FULL), find(demo, FULL, REFITTED)
    if full and refitted:
        change = refitted.centred_cosine - full.centred_cosine
        yield (
            PROSE("full_couplings_lead", change=change, asked=LOSS),
            PROSE(
                "full_couplings",
                full=full,
                refitted=refitted,
                zeroed=find(demo, FULL, ZEROED),
                change=change,
                asked=LOSS,
            ),
        )
    aligned, zeroed = find(demo, ALIGNED), find(demo, ALIGNED, ZEROED)
    if aligned and zeroed:
        work = aligned.centred_cosine - zeroed.centred_cosine
        yield (
            PROSE("aligned_couplings_lead", work=work, asked=LOSS),
            PROSE("aligned_couplings", aligned=aligned, zeroed=zeroed, work=work, asked=LOSS),
        )


# ---- tables of the page --------------------------------------------------------------------------


def _value(value: float | None) -> str:
    return short(value, 4)


def _difference(requested: float | None, realised: float | None) -> str:
    """Returns the relative difference of what was realised from what was requested."""
    if requested is None or realised is None:
        return NONE
    if requested == realised:
        return "0"
    if not requested:
        return "infinite"
    return f"{short(100 * (realised - requested) / abs(requested), 2)}%"


def _flat(document: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Returns a nested dictionary as (name, text) pairs."""
    pairs = []
    for key, value in document.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        pairs += _flat(value, f"{name}: ") if isinstance(value, dict) else [(name, _text(value))]
    return pairs


def _text(value: Any) -> str:
    """Returns a value of a provenance in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(value)
    if isinstance(value, Real):
        return _value(float(value))
    if isinstance(value, (list, tuple)):
        if len(value) > 8:
            return f"{len(value)} values, {_text(value[0])} first, {_text(value[-1])} last"
        return ", ".join(map(_text, value))
    return str(value)


def _fabric(demo: Demo) -> list[tuple[str, str]]:
    if demo.fabric is None:
        return []
    return [
        *_flat(asdict(demo.fabric)),
        ("multiply lanes", str(demo.fabric.lanes)),
        ("build hash", f"{demo.fabric.build_hash:08x}"),
    ]
