"""The report as one page: the answer, verdicts, tables, figures, what is missing, and where it all comes from.

Everything is inside the file, and its policy forbids it to load anything else. Whatever comes from rows is escaped by
the template's environment.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd

from analysis.claims.claims import PRIMARY_CODE_SIZE
from analysis.claims.findings import COMPARISONS, FINDINGS, MATRIX
from analysis.provenance import list_missing, provenance
from analysis.rendering.text import FORMATS, Line, format_lines
from analysis.results import StudyResults
from analysis.tables.summary import answers
from analysis.tables.table import Absent, Column, Table, choose_code_size

if TYPE_CHECKING:
    from analysis.drawing import Illustration

_HERE = Path(__file__).parent
LEADING = "difference_from_model_4"
"""The figure of the first screen."""
_LONG = 60
"""Letters from which a text needs a wide column."""


def render_page(
    results: StudyResults,
    tables: Sequence[Table | Absent],
    illustrations: Sequence[Illustration | Absent] = (),
    *,
    has_files: bool = True,
) -> str:
    """Return the report as HTML.

    Args:
        results: what is reported.
        tables: in the order of the report; those of the findings come first wherever they stand.
        illustrations: figures as they were written.
        has_files: whether tables and figures lie beside the page as files, to which it then links.
    """
    shown = {table.name: table for table in tables if isinstance(table, Table)}
    findings, matrix, comparisons = (shown.pop(name, None) for name in (FINDINGS, MATRIX, COMPARISONS))
    first, rest = choose_code_size(shown["summary"], PRIMARY_CODE_SIZE) if "summary" in shown else (None, [])
    drawn = [each for each in illustrations if not isinstance(each, Absent)]
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    facts, lacking = provenance(results), [*results.problems, *list_missing(results)]
    return _load_template().render(
        title=f"Report of {' and '.join(study.name for study in results.studies)}",
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        summaries=[_summarize(name if len(facts) > 1 else "", known) for name, known in facts],
        answers=answers(results),
        gaps=[*lacking, *_list_absent([*tables, *illustrations])],
        lacking=lacking,
        findings=findings,
        claims=_describe_claims(findings, matrix, comparisons),
        tables=[table for table in shown.values() if not table.detail],
        details=[table for table in (matrix, comparisons, *shown.values()) if table is not None and table.detail],
        lead=[each for each in drawn if each.name == LEADING],
        asked=shown.get("ablations") if _were_ablated_last(results) else None,
        summary=first,
        other_code_sizes=rest,
        figures=[each for each in drawn if each.name != LEADING],
        provenance=facts,
        table_files=tuple(FORMATS) if has_files else (),
        figure_files=("svg", "pdf", "png") if has_files else (),
    )


def _were_ablated_last(results: StudyResults) -> bool:
    """Whether the last launch of each study, whose configuration study.json has, was for its ablations alone."""
    return all(each.manifest["config"].get("phases") == ["ablate"] for each in results.studies)


def _load_template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis.rendering", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Jinja's own filter `capitalize` makes the other letters small.
    environment.filters |= {"capital": lambda text: text[:1].upper() + text[1:], "base64": _encode_svg}
    environment.globals |= {"group_lines": _group_lines, "class_columns": _class_columns}
    return environment.get_template("page.html")


def _group_lines(table: Table, columns: Sequence[Column]) -> list[tuple[str, list[Line]]]:
    """Return the heading and the lines of each section."""
    sections = itertools.groupby(format_lines(table, columns), lambda line: line.section)
    return [(heading, list(group)) for heading, group in sections]


def _class_columns(columns: Sequence[Column], groups: Iterable[tuple[str, Sequence[Line]]]) -> list[str]:
    """Return each column's class: of text, of text that is long, or none."""
    lines = [line for _, group in groups for line in group]
    classes = []
    for place, column in enumerate(columns):
        long = any(len(line.cells[place].text) > _LONG for line in lines)
        classes.append("" if column.kind != "text" else "text long" if long else "text")
    return classes


def _describe_claims(findings: Table | None, *behind: Table | None) -> list[tuple[dict[Any, Any], list[Table]]]:
    """Return the row of each claim, with its ``facts`` by name, and its parts of the tables ``behind``."""
    names = {
        "Figures": "reason",
        "Hold (authors'; ours)": "holding",
        "Comparison": "comparison",
        "Rule": "rule",
        "Missing": "missing",
        "To get it": "command",
    }
    claims = []
    for row in [] if findings is None else findings.frame.to_dict("records"):
        facts = {name: row[column] for name, column in names.items() if row[column] and not pd.isna(row[column])}
        parts = [_select_evidence(row, table) for table in behind if table is not None]
        claims.append((row | {"facts": facts}, [part for part in parts if part is not None]))
    return claims


def _select_evidence(claim: Mapping[Any, Any], table: Table) -> Table | None:
    frame = table.frame
    frame = frame[(frame["claim"] == claim["claim"]) & (frame["study"].astype("str") == str(claim["study"]))]
    sections = tuple(column for column in table.sections if column.name not in ("claim", "study"))
    title = f"{table.title}: claim {claim['claim']}"
    return dataclasses.replace(table, title=title, frame=frame, sections=sections) if len(frame) else None


def _list_absent(parts: Iterable[object]) -> list[str]:
    titles: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, Absent) and part.reason:
            titles.setdefault(part.reason, []).append(part.title)
    # No full stop: most reasons end in a command to be copied.
    return [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in titles.items()]


def _summarize(name: str, facts: Mapping[str, str]) -> str:
    known = "; ".join(facts[fact] for fact in ("data", "trials", "dates") if fact in facts)
    return f"{name}: {known}" if name else known


def _encode_svg(svg: str) -> str:
    return base64.b64encode(re.sub(r"\n\s+", "\n", svg).encode()).decode()
