# SPDX-License-Identifier: Apache-2.0
"""The page and the results hold every module."""

from dataclasses import replace

from ornstein.hdl.config import WIDE
from ornstein.host.experiments.common import Runner, documents
from ornstein.host.experiments.hierarchy.large import run_large
from ornstein.host.experiments.hierarchy.report import conclusions, write_hierarchy_page
from ornstein.host.experiments.hierarchy.run import Hierarchy, relaxation
from ornstein.host.models import recipes


def test_report_and_results_hold_every_module(tmp_path, levels, aligned_recipe, on_the_model):
    (ours, cycles), (full, _) = on_the_model.values()
    renamed = [
        replace(row, recipe=f"{kind}, linked{ending}", variant=variant)
        for kind, rows in (("aligned", ours), ("bilinear", full))
        for variant, ending in (
            ("", ""),
            (recipes.UNLINKED, ", link zeroed"),
            (recipes.ZEROED, ", couplings zeroed"),
        )
        for row in rows
    ]
    with Runner("model:wide") as runner:
        curves = relaxation(aligned_recipe, levels, runner)
    result = Hierarchy(
        "model:wide",
        WIDE,
        renamed,
        curves,
        {"aligned, linked": cycles},
        links={"e1-d1": 0.1},
        gain=(1e-4, 2e-4),
        large=run_large(sizes=(40, 80)),
    )
    page = write_hierarchy_page(result, tmp_path)
    assert (
        "centred cosine of" in page.read_text()
        and (tmp_path / "figures" / "hierarchy_relaxation.png").is_file()
    )
    text = " ".join(conclusions(result))
    for rows in (ours, full):
        for row in rows:
            assert f"{row.gateware.centred_cosine:.4f}" in text
    assert "the norms 0.1 (e1-d1)." in text and "worth +1.0e-04" in text and "2.0e-04" in text
    assert "in every bit" not in text  # no gateware has run
    found = {(entry["row"], entry["quantity"]): entry for entry in documents(result.experiments())}
    for row in ours:
        entry = found["aligned, linked", f"{row.module} centred cosine"]
        assert (entry["gateware"], entry["paper"]) == (row.gateware.centred_cosine, None)
    assert found["model:ulx3s", "e2 relative error"]["gateware"] == result.large.error["e2"]
