# SPDX-License-Identifier: Apache-2.0
"""Pages of sections: everything is on them, nothing is loaded from elsewhere, and numbers read
well.
"""

import base64
import re
from importlib.metadata import version

import numpy as np
import plotly.graph_objects as go
import pytest

from helpers.pages import page_words, plots, without_scripts
from ornstein.host.pages.page import (
    BLUE,
    Exhibit,
    Grid,
    Section,
    cell,
    house_style,
    new_figure,
    plain,
    sentence,
    short,
    write_page,
)
from ornstein.host.pages.provenance import made_within


@house_style
def _exhibit(name="line", caption="From 0 to 1 & <on>."):
    figure = new_figure(3)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=BLUE, label=plain("costs $1 and $2"))
    axes.legend()
    return Exhibit(name, "A line", figure, caption)


def _sections():
    table = Grid(
        "Numbers",
        ("name", "count", "value"),
        [("a<b", 12345, 0.123456), ("nothing", None, np.float64(-0.0))],
    )
    return [
        Section("First", ["One paragraph.", "Another & more."], exhibits=[_exhibit()]),
        Section(
            "Second",
            [],
            grids=[table, Grid("", ("x",), [("text",), (1,)])],
            exhibits=[_exhibit("other")],
        ),
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page(
        tmp_path_factory.mktemp("page") / "new" / "folder", "A <title>", "A summary.", _sections()
    )


def test_sections_stand_in_order_with_figures_before_tables(page):
    text = page_words(page)
    text = text.replace("First Second", "", 1)  # the list of sections
    parts = [
        "A <title>",
        "A summary.",
        "First",
        "One paragraph.",
        "Another & more.",
        "A line. From 0 to 1 & <on>.",
        "Second",
        "A line.",
        "Numbers name count value a<b 12,345 0.1235 nothing - 0",
    ]
    places = [text.index(part, 0 if part != "A line." else text.index("Second")) for part in parts]
    assert places == sorted(places)


def test_figures_are_in_the_page_and_beside_it(page):
    assert {file.name for file in (page.parent / "figures").iterdir()} == {"line.png", "other.png"}
    assert [plot["data"][0]["name"] for plot in plots(page)] == ["costs $1 and $2"] * 2


@house_style
def _images(labelled: bool):
    figure = new_figure(1)
    for axes in figure.subplots(1, 2):
        axes.imshow(np.eye(3))
        if not labelled:
            axes.set_axis_off()
    return Exhibit("images", "Images", figure, "")


@pytest.mark.parametrize("labelled", [True, False])
def test_images_stay_a_picture(tmp_path, labelled):
    """On a phone only one with labels is wider than the screen."""
    page = write_page(tmp_path, "A", "B.", [Section("Images", [], exhibits=[_images(labelled)])])
    ((kind, source),) = re.findall(
        r'<img( class="labelled")? src="data:image/svg\+xml;base64,([^"]+)" alt="Images"',
        page.read_text(),
    )
    assert bool(kind) == labelled
    assert b"<svg" in base64.b64decode(source)
    assert not plots(page) and (tmp_path / "figures" / "images.png").is_file()


def test_the_page_loads_nothing(page):
    text = without_scripts(page)
    for word in (
        "http:",
        "https:",
        "file:",
        "url(",
        "@import",
        "<link",
        str(page.parent),
    ):
        assert word not in text


def test_sections_are_listed_and_linked(page):
    source = page.read_text()
    for number, title in ((1, "First"), (2, "Second")):
        assert f'<a href="#section-{number}">{title}</a>' in source
        assert f'<h2 id="section-{number}">{title}</h2>' in source


def test_one_section_needs_no_list(tmp_path):
    source = write_page(tmp_path, "A", "B.", _sections()[:1]).read_text()
    assert "<nav" not in source and "contents" not in source


def test_tables_behind_figures_are_folded(tmp_path, page):
    """A short table in a section without figures is open."""
    assert page.read_text().count("<details>") == 2
    alone = [Section("Alone", [], grids=[Grid("Open", ("x",), [(1,)])])]
    assert "<details open>" in write_page(tmp_path, "A", "B.", alone).read_text()


def test_the_page_says_what_made_it(page, tmp_path):
    """Within a command its command line is there, as a shell reads it."""
    made = f"Made by ornstein {version('ornstein')}"
    assert f"<footer>{made}.</footer>" in page.read_text()
    with made_within(["ornstein", "study", "two words", "--seed", "7"]):
        text = write_page(tmp_path, "A", "B.", _sections()[:1]).read_text()
    assert f"<footer>{made} with: ornstein study &#39;two words&#39; --seed 7</footer>" in text


def test_plots_stand_in_the_page_with_one_script(tmp_path):
    """Their data cannot end the element that holds them, and their pictures are not written."""
    made = [
        Exhibit(name, name, go.Figure(go.Scatter(y=[1, 2], name="</script>")), "") for name in "ab"
    ]
    page = write_page(tmp_path, "A", "B.", [Section("Plots", [], exhibits=made)])
    assert [plot["data"][0]["name"] for plot in plots(page)] == ["</script>"] * 2
    assert not (tmp_path / "figures").exists()


def test_columns_of_numbers_stand_to_the_right(page):
    source = page.read_text()
    assert '<th class="n">count</th>' in source and '<td class="n">12,345</td>' in source
    assert "<th>name</th>" in source and "<th>x</th>" in source  # text, and text with a number


def test_the_same_sections_give_the_same_page(page, tmp_path):
    other = write_page(tmp_path, "A <title>", "A summary.", _sections(), name="other.html")
    assert other.name == "other.html" and other.read_bytes() == page.read_bytes()


def test_figures_are_drawn_in_the_house_style():
    axes = _exhibit().figure.axes[0]
    assert not axes.spines["top"].get_visible() and not axes.get_legend().get_frame_on()
    with pytest.raises(RuntimeError, match="decorate the function that draws with @house_style"):
        new_figure(3)


def test_numbers_as_text():
    assert [short(value) for value in (None, 1e-5, -0.0, 1234567.0, 0.5)] == [
        "-",
        "1e-5",
        "0",
        "1.23e6",
        "0.5",
    ]
    assert [cell(value) for value in (None, True, np.int64(1000), 0.00012345, "text")] == [
        "-",
        "yes",
        "1,000",
        "0.0001234",
        "text",
    ]
    assert sentence("ours, full.") == "Ours, full." and plain("$x$") == r"\$x\$"
