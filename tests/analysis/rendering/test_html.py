"""The page is one well-formed file that loads nothing, and shows what tables and figures show."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.claims.findings import FINDINGS
from analysis.drawing import Illustration
from analysis.rendering import text as rendering
from analysis.rendering.html import render_page
from analysis.report import comparison_tables, main
from analysis.results import StudyResults, load_study
from analysis.tables.summary import answers
from analysis.tables.table import Absent, Table
from tests.synthetic import write_synthetic_study

SVG = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">\n    <rect/>\n</svg>'
FIGURES = (
    Illustration("curves", "Learning <curves>", "A & B.", SVG, 400, 300),
    Absent("codes_2d", "Codes of two units", "no run kept its codes. To get it: make"),
    Absent("learned_filters", "Filters", "no run kept its codes. To get it: make"),
)
VERDICTS = "Verdicts on the paper's claims"
VOID = {"meta", "img", "br", "link", "input", "hr"}


def shown_table(text: str, name: str) -> str:
    """Return the table of a page."""
    found = re.search(rf'<section id="table-{name}">.*?(<table.*?</table>)', text, re.DOTALL)
    assert found is not None
    return found[1]


class Page(HTMLParser):
    """Elements of a page as (tag, attributes), and the text of each; refuses tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Refuse an end that is not that of the element."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text with its element."""
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def attributes(self, tag: str, name: str) -> list[str]:
        """Return attribute ``name`` of every ``tag`` that has it, or of every element."""
        return [value for found, attrs in self.elements if found == tag or not tag if (value := attrs.get(name))]

    def text(self, tag: str) -> list[str]:
        """Return the texts that stand in ``tag`` itself."""
        return [text for found, text in self.texts if found == tag]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    """A study of a few models, without its last code size's second seed."""
    folder = tmp_path_factory.mktemp("study")
    names = ["model_1", "model_3", "model_4", "classic_autoencoder"]
    return load_study(write_synthetic_study(folder, architectures=names, code_sizes=(2, 10), ablations=True))


@pytest.fixture(scope="module")
def tables(results: StudyResults) -> tuple[Table | Absent, ...]:
    """Its tables."""
    return comparison_tables(results)


@pytest.fixture(scope="module")
def text(results: StudyResults, tables: tuple[Table | Absent, ...]) -> str:
    """Its page."""
    return render_page(results, tables, FIGURES)


@pytest.fixture(scope="module")
def parsed(text: str) -> Page:
    """The page's elements."""
    return Page(text)


def test_the_page_is_well_formed(parsed: Page) -> None:
    """Tags match, ids are unique, and every link within the page leads somewhere."""
    ids = parsed.attributes("", "id")
    assert len(ids) == len(set(ids))
    inner = [link for link in parsed.attributes("a", "href") if link.startswith("#")]
    assert inner
    assert {link[1:] for link in inner} <= set(ids)
    assert parsed.attributes("html", "lang") == ["en"]
    assert "width=device-width, initial-scale=1" in parsed.attributes("meta", "content")


def test_the_page_loads_nothing(parsed: Page, text: str) -> None:
    """Pictures are inside, links to files are relative, and the policy lets only the one script run."""
    assert not parsed.attributes("link", "href") + parsed.attributes("script", "src")
    for address in parsed.attributes("", "src") + parsed.attributes("a", "href"):
        assert re.match(r"data:image/|#|tables/|figures/", address), address
    assert not re.search(r"@import|url\(|\bon\w+=", re.sub(r"base64,[^\"]*", "", text))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (policy,) = [content for content in parsed.attributes("meta", "content") if "default-src" in content]
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_the_first_screen_answers(results: StudyResults, tables: tuple[Table | Absent, ...]) -> None:
    """One sentence, the figure of differences, the summary at the code size of claims; then what else is known."""
    leading = Illustration("difference_from_model_4", "Differences", "C.", SVG, 400, 300)
    text = render_page(results, tables, (*FIGURES, leading))
    first = text.partition('<section id="answer">')[2].partition("</section>")[0]
    parsed = Page(f"<section>{first}</section>")
    told = answers(results)
    assert len(told) > 1
    order = [
        first.index(part)
        for part in (f'<p class="answer">{html.escape(told[0], quote=False)[:20]}', "<figure", "<table", "<li>")
    ]
    assert order == sorted(order)
    assert parsed.attributes("figure", "id") == ["figure-difference_from_model_4"]
    assert text.count("figure-difference_from_model_4") == 1
    assert parsed.text("span") == ["Code size 10"]
    assert "Other code sizes (2): " in parsed.text("p")
    assert len(parsed.text("li")) == len(told) - 1


def test_what_is_wider_than_its_box_says_so(text: str) -> None:
    """The script marks it, which a style turns into words."""
    assert 'classList.toggle("wide"' in text
    assert '.scroll.wide::before {\n  content: "Scroll sideways' in text


def test_verdicts_come_first(parsed: Page, tables: tuple[Table | Absent, ...]) -> None:
    """Then tables, figures, what is missing and provenance; the table of contents has the same order."""
    assert parsed.text("h2") == [VERDICTS, "Tables", "Figures", "What is missing", "Provenance"]
    (findings,) = [table for table in tables if table.name == FINDINGS]
    assert isinstance(findings, Table)
    verdicts = [
        text for text in parsed.text("span") if text in ("supported", "contradicted", "not decided", "not testable")
    ]
    assert verdicts == findings.frame["verdict"].to_list()
    assert findings.frame["text"].iloc[0] in " ".join(parsed.text("blockquote"))
    main = [table.title for table in tables if isinstance(table, Table) and not table.detail and table is not findings]
    contents = parsed.text("a")
    assert [title for title in contents if title in main] == main
    assert parsed.text("dt").count("Rule") == len(findings.frame)


def test_every_main_table_is_there_with_all_its_values(parsed: Page, tables: tuple[Table | Absent, ...]) -> None:
    """Reference tables are files, others are shown as they are rendered elsewhere."""
    cells = {"", *(cell.strip() for tag in ("td", "strong") for cell in parsed.text(tag))}
    for table in tables:
        if isinstance(table, Table) and not table.detail and table.name != FINDINGS:
            assert f"table-{table.name}" in parsed.attributes("section", "id")
            for line in rendering.format_lines(table):
                assert {cell.text if cell.bold else f"{cell.text} {cell.mark}".rstrip() for cell in line.cells} <= cells
        if isinstance(table, Table):
            assert f"tables/{table.name}.csv" in parsed.attributes("a", "href")


def test_tables_can_be_sorted_by_every_column(text: str, tables: tuple[Table | Absent, ...]) -> None:
    """A button in each header; the key of a cell is its number, and nothing where there is none."""
    (table,) = [table for table in tables if table.name == "reconstruction"]
    assert isinstance(table, Table)
    shown = shown_table(text, "reconstruction")
    parsed = Page(shown)
    assert "data-sortable" in dict(parsed.elements)["table"]
    headers = [attrs for tag, attrs in parsed.elements if tag == "th" and attrs.get("scope") == "col"]
    assert [attrs["aria-sort"] for attrs in headers] == ["none"] * len(table.columns)
    assert parsed.text("button") == [column.header for column in table.columns]
    (place,) = [place for place, column in enumerate(table.columns) if column.header == "Squared error"]
    rows = re.findall(r"<tr>(<td.*?)</tr>", shown)
    keys = [re.findall(r'<td[^>]*?(?:data-sort="([^"]*)")?>', row)[place] for row in rows]
    values = table.frame["reconstruction_squared_error"].to_list()
    assert [float(key) for key in keys] == values
    sections = parsed.text("span")
    assert sections[:2] == ["Code size 2, tuned", "Code size 2, published"]
    assert shown.count("<tbody>") == len(sections)


def test_what_stands_out_does(text: str, tables: tuple[Table | Absent, ...]) -> None:
    """The best is bold, and marks follow their values."""
    for table in tables:
        if isinstance(table, Table) and not table.detail and table.name != FINDINGS:
            bold = sum(cell.bold for line in rendering.format_lines(table) for cell in line.cells)
            assert shown_table(text, table.name).count("<strong>") == bold


def test_figures_are_inside(parsed: Page) -> None:
    """As pictures of their own, so that nothing of one reaches another or the page."""
    (source,) = parsed.attributes("img", "src")
    svg = base64.b64decode(source.removeprefix("data:image/svg+xml;base64,"))
    assert ET.fromstring(svg).tag.endswith("svg")
    assert parsed.attributes("img", "alt") == ["Learning <curves>"]
    assert "Learning <curves>" in parsed.text("h3")
    assert {f"figures/curves.{suffix}" for suffix in ("svg", "pdf", "png")} <= set(parsed.attributes("a", "href"))


def test_what_is_missing_is_said(parsed: Page) -> None:
    """With the command, each reason once."""
    assert "Codes of two units, Filters: no run kept its codes. To get it: make" in parsed.text("li")


def test_a_whole_study_misses_nothing(tmp_path: Path) -> None:
    """Then there is no such section."""
    folder = write_synthetic_study(tmp_path, architectures=["model_1", "model_4"], code_sizes=(10,), mishaps={})
    results = load_study(folder)
    whole = [table for table in comparison_tables(results) if isinstance(table, Table)]
    parsed = Page(render_page(results, whole))
    assert parsed.text("h2") == [VERDICTS, "Tables", "Provenance"]
    assert "missing" not in parsed.attributes("", "id")


def test_after_a_launch_for_ablations_they_stand_under_the_answer(
    results: StudyResults, tables: tuple[Table | Absent, ...], text: str
) -> None:
    """Before the summary; not where they were asked for together with the rest."""
    caption = next(table.caption for table in tables if table.name == "ablations" and isinstance(table, Table))[:40]
    assert text.count(caption) == 1
    for phases, times in ((["ablate"], 2), (["search", "ablate"], 1)):
        (study,) = results.studies
        config = {**study.manifest["config"], "phases": phases}
        last = dataclasses.replace(study, manifest={**study.manifest, "config": config})
        page = render_page(dataclasses.replace(results, studies=(last,)), tables, FIGURES)
        assert page.count(caption) == times
        assert (page.index(caption) < page.index('<section id="findings">')) is (times == 2)
        assert (page.index(caption) < page.index("Arm tuned (our recipe, each model after a search)")) is (times == 2)


def test_what_was_not_asked_for_makes_no_study_incomplete(tmp_path: Path) -> None:
    """An ablation that nobody ran: the page says how to have it, and that every trial of the plan is there."""
    folder = write_synthetic_study(tmp_path, architectures=["model_1", "model_4"], code_sizes=(10,), mishaps={})
    results = load_study(folder)
    parsed = Page(render_page(results, comparison_tables(results)))
    assert "Complete as it was asked for. Under " in parsed.text("p")
    linked = [text for tag, text in parsed.texts if tag == "a" and text == "What is missing"]
    assert linked == ["What is missing"] * 2  # from the contents and from the notice, by the section's heading
    lost = results.trials["trial_id"] == "confirm-model_1-10-tuned-1"
    fewer = dataclasses.replace(results, trials=results.trials[~lost])
    short = Page(render_page(fewer, comparison_tables(fewer)))
    assert "Incomplete: " in short.text("p")
    assert any(re.fullmatch(r"\d+ items missing", text) for text in short.text("a"))
    assert not any(text.startswith("Incomplete") for text in parsed.text("p"))
    assert any("no ablation was run" in text for text in parsed.text("li"))


def test_names_cannot_write_the_page(tmp_path: Path) -> None:
    """A model's or study's name is text wherever it stands."""
    hostile = "<script>alert('x')</script>\" onload=\"&amp;"
    name = "<img src=http://example.org>"
    folder = write_synthetic_study(tmp_path, name=name, architectures=["model_1", hostile], code_sizes=(10,))
    results = load_study(folder)
    text = render_page(results, comparison_tables(results), FIGURES)
    parsed = Page(text)
    assert [tag for tag, _ in parsed.elements].count("script") == 1
    assert [tag for tag, _ in parsed.elements].count("img") == 1
    assert "onload" not in {name for _, attrs in parsed.elements for name in attrs}
    assert hostile in parsed.text("td")
    assert f"Report of {name}" in parsed.text("h1")


def test_provenance_ends_the_page(parsed: Page) -> None:
    """Data, code, versions, hardware, dates and seeds."""
    names = parsed.text("dt")
    assert {"data", "configuration", "seeds of confirmed trials", "code", "versions", "hardware", "dates"} <= set(names)


def test_the_script_writes_the_page_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every link of the written page leads to a file that is there; t-SNE is left out as asked for."""
    folder = write_synthetic_study(
        tmp_path, architectures=["model_4"], code_sizes=(10,), search_trials=1, seeds=2, codes=True, mishaps={}
    )
    assert main([str(folder), "--no-tsne"]) == 0
    written = folder / "report" / "report.html"
    assert f"{written}\n" in capsys.readouterr().out
    parsed = Page(written.read_text(encoding="utf-8"))
    figures = [name for name in parsed.attributes("figure", "id")]
    assert figures == [
        f"figure-{name}"
        for name in ("error_by_code_size", "reconstructions", "learning_curves", "error_by_cost", "learning_rate")
    ]
    assert not (folder / "report" / "tsne.parquet").exists()
    files = [link for link in parsed.attributes("a", "href") if not link.startswith("#")]
    assert files
    for link in files:
        assert (folder / "report" / link).is_file(), link


def test_a_folder_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file stands where the figures should."""
    folder = write_synthetic_study(
        tmp_path, architectures=["model_4"], code_sizes=(10,), search_trials=1, controls=False
    )
    (folder / "report").mkdir()
    (folder / "report" / "figures").write_text("")
    assert main([str(folder)]) == 2
    assert "cannot be written" in capsys.readouterr().err
