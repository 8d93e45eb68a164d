"""The documentation is a site whose links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of ``folder`` to ``site``, any warning being an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_it_and_the_report_of_the_reference_study(site: Path) -> None:
    """As it was published, letter by letter; its rows are not."""
    names = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert names <= {page.stem for page in site.glob("*.html")}
    report = site / "reference" / "report.html"
    assert report.read_bytes() == (ROOT / "docs" / "reference" / "report.html").read_bytes()
    index = (site / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in index for name in names - {"index"})
    assert 'href="reference/report.html"' in index
    assert not [*site.rglob("*.parquet")]


def test_it_loads_nothing_from_elsewhere_and_every_file_that_a_page_names_is_there(site: Path) -> None:
    """Links to files of the repository outside docs have become text."""
    for page in (page for page in site.rglob("*.html") if page.name not in ("report.html", "404.html")):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(
            r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* rel="stylesheet"[^>]* href="https?:', text
        )
        for address in re.findall(r' (?:href|src)="([^"#]+)', text):
            if not re.match(r"https?:|data:|mailto:", address):
                target = page.parent / unescape(address).partition("?")[0]
                assert target.exists(), f"{page.name}: {address}"
    assert "study/config/presets.py" in (site / "protocol.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", ["[lost](no_such_page.md)", "[lost](install.md#no-such-heading)"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, link: str) -> None:
    """A page that is missing, and a heading."""
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "site_links.py", tmp_path / "tools")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("rows*", "gpu-search", "sample"))
    shutil.copy(ROOT / "docs" / "rows.md", tmp_path / "docs")
    with (tmp_path / "docs" / "install.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{link}\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert link.partition("(")[2].rstrip(")").partition("#")[0] in done.stdout + done.stderr
