"""The layout: which package may know which, and what the documentation shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from study import launch
from study.config.study_file import format_study_file, read_config, read_models
from tests.documents import write_shown_files
from tests.synthetic import write_synthetic_study

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("study", "trainables", "analysis")
MOST_MODULES = 9
MIRRORED = 0.95
MOST_WORDS = 1300
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]


def modules() -> list[Path]:
    """Return the modules of the packages, without the empty ones that make folders packages."""
    return [
        path.relative_to(ROOT)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]


def test_no_folder_holds_more_than_nine_modules() -> None:
    """A reader sees at a glance what lies in a room."""
    sizes = Counter(path.parent for path in modules())
    assert not {str(folder): size for folder, size in sizes.items() if size > MOST_MODULES}


def test_tests_mirror_the_tree() -> None:
    """The test of study/plan/search.py is tests/study/plan/test_search.py; few modules have none of their name."""
    untested = [str(path) for path in modules() if not (ROOT / "tests" / path.with_name(f"test_{path.name}")).exists()]
    assert len(untested) <= (1 - MIRRORED) * len(modules()), untested


def test_imports_go_one_way() -> None:
    """By import-linter: the contracts of pyproject.toml."""
    checked = [str(Path(sys.executable).with_name("lint-imports"))]
    done = subprocess.run(checked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_words_that_are_not_the_fields_stay_away() -> None:
    """Each was private to this project and has a better one, such as pending, recorder, convolution or im2col."""
    private = re.compile(r"\b(owe[ds]?|owing|ledger|prob(e|ed|ing)|formulations?|patches|spectra|code_usage)\b", re.I)
    found = {str(path): private.findall((ROOT / path).read_text(encoding="utf-8")) for path in modules()}
    assert not {path: words for path, words in found.items() if words}


def test_readme_says_of_every_folder_what_it_owns() -> None:
    """A line for each, which begins with its name."""
    tree = README.read_text(encoding="utf-8").partition("## Layout")[2].partition("\n## ")[0]
    folders = {f"{path.parent}/" for path in modules()}
    described = set(re.findall(r"^- `([\w/]+/)`: \S", tree, flags=re.M))
    assert {name for name in described if name.split("/")[0] in PACKAGES} == folders


def test_readme_is_short() -> None:
    """What it leaves out stands in the pages of docs."""
    words = [word for word in README.read_text(encoding="utf-8").split() if re.search(r"\w", word)]
    assert len(words) < MOST_WORDS


def test_every_page_is_reached_from_readme_and_every_link_of_a_page_leads_somewhere() -> None:
    """Files by their names; the anchors of pages by their headings."""
    seen, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8")
        ):
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in list_anchors(file), f"{page.name}: {target}#{anchor}"
            if file.suffix == ".md" and file not in seen:
                waiting.append(file)
    assert not set(DOCUMENTS) - seen


def list_anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its ids, or those that a renderer makes of its headings."""
    if page.suffix == ".html":
        return set(re.findall(r' id="([^"]+)"', page.read_text(encoding="utf-8")))
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = (re.sub(r"[`*]", "", heading).lower() for heading in re.findall(r"^#+ (.+)$", text, flags=re.M))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_nothing_by_themselves(package: str) -> None:
    """Importing one module imports no other."""
    assert all(path.read_text() == "" for path in (ROOT / package).rglob("__init__.py"))


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    """A script's folder comes first on the path, so such a name would hide the library's."""
    names = {path.stem for package in PACKAGES for path in (ROOT / package).glob("*.py")}
    assert not names & set(sys.stdlib_module_names)


def test_a_mistake_in_a_flag_does_not_wait_for_ray_or_torch() -> None:
    """The command line is parsed and checked before anything slow is imported."""
    code = (
        "import sys; from study import launch; status = launch.main(['--epochs', '0']); "
        "sys.exit(status != 2 or bool({'ray', 'torch'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def shown_commands(documents: Iterable[Path] = DOCUMENTS) -> list[list[str]]:
    """Return the commands of the shell blocks of documents, without comments."""
    commands = []
    for document in documents:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), flags=re.S):
            commands += [shlex.split(line, comments=True) for line in block.splitlines() if line.strip()]
    return commands


def test_every_launch_that_the_documents_show_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flags exist and its values make a configuration, where the files are that they show."""
    write_shown_files("docs/extending.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    for study, models in (("my_study-my_images", "my_models.py"), ("my_module-digits", "my_module.py")):
        written = tmp_path / "results" / study / "study.toml"
        written.parent.mkdir(parents=True)
        read = read_config(f"{study.partition('-')[0]}.toml", models=read_models(tmp_path / models).models)
        written.write_text(format_study_file(read))
    launches = [command[2:] for command in shown_commands() if command[:2] == ["python", "study/launch.py"]]
    assert len(launches) >= 4
    for arguments in launches:
        launch.make_config(launch.make_parser().parse_args(arguments))


def test_every_make_target_that_the_documents_show_exists() -> None:
    """Make is asked without running anything."""
    targets = {command[1] for command in shown_commands() if command and command[0] == "make"}
    assert {"study", "test"} <= targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_every_line_that_installs_finds_its_files(tmp_path: Path) -> None:
    """Constraints and project are where the line runs: in the checkout, or beside it if the line clones it first."""
    (tmp_path / "cae-study").symlink_to(ROOT)
    shown = read_page("install") + README.read_text(encoding="utf-8")
    lines = [line for line in re.findall(r"`([^`\n]+)`", shown) if "pip install -c" in line]
    assert len(lines) >= 10
    for line in lines:
        words = shlex.split(line.partition("pip install")[2].partition("&&")[0])
        folder = tmp_path if "git clone" in line else ROOT
        named = [words[words.index(flag) + 1].partition("[")[0] for flag in ("-c", "-e")]
        assert all((folder / name).exists() for name in named), line


def test_a_study_installs_what_it_needs_and_tests_what_they_need_besides(tmp_path: Path) -> None:
    """Make is asked without running anything, where nothing is installed yet."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for target, develops in (("study", False), ("test", True)):
        asked = ["make", "--dry-run", target]
        told = subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        assert "install --quiet -c constraints.txt -e .\n" in told
        assert ("[dev" in told) is develops


@pytest.mark.parametrize(
    ("found", "by_make", "kept", "goes_on"),
    [
        (None, False, False, True),
        ("", False, True, True),
        ("version = 3.13.99", False, True, True),
        ("version = 3.13.99", True, True, True),
        ("version = 3.11.7", True, False, True),
        ("version = 3.11.7", False, True, False),
        ("version_info = 3.13.99", False, True, False),
    ],
    ids=["none", "an empty folder", "the same, of venv", "the same, of make", "another, of make", "another", "of uv"],
)
def test_another_python_makes_anew_what_make_has_made(
    found: str | None, by_make: bool, kept: bool, goes_on: bool, tmp_path: Path
) -> None:
    """By a Python that says its version and then makes nothing; what somebody else made is not removed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && echo 3.13.99\n')
    python.chmod(0o755)
    if found is not None:
        (tmp_path / ".venv").mkdir()
    if found:
        (tmp_path / ".venv" / "pyvenv.cfg").write_text(f"home = /usr/bin\n{found}\n")
    if by_make:
        (tmp_path / ".venv" / ".installed-3.11.7").touch()
    asked = subprocess.run(["make", "--dry-run", "study", f"PYTHON={python}"], cwd=tmp_path, capture_output=True)
    assert asked.returncode == 0
    done = subprocess.run(["make", "study", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert (f"{python} -m venv .venv" in done.stdout) == goes_on
    assert ("remove it (rm -rf .venv) and run make again" in done.stderr) != goes_on
    assert (tmp_path / ".venv").exists() == kept


def test_the_image_has_the_project_alone_and_installs_as_without_docker() -> None:
    """What a checkout gathers stays out of it; the base of the pinned Ray is the one that clusters get."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".venv", "results"} <= set(ignored)
    file = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (install,) = re.findall(r"^RUN (pip install .*)$", file, flags=re.M)
    page = read_page("install")
    assert f"&& {install.replace(' --no-cache-dir', '')}`" in page
    builds = re.findall(r"docker build(.*) \.(?:$| &&)", page + read_page("cluster"), flags=re.M)
    assert len(builds) == 2
    for build in builds:
        assert set(re.findall(r"--build-arg (\w+)=", build)) <= set(re.findall(r"^ARG (\w+)", file, flags=re.M))
    (pinned,) = re.findall(r"^ray==(.*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.M)
    assert f"BASE=rayproject/ray:{pinned}-py" in builds[-1]


def read_page(name: str) -> str:
    """Return the text of a page of docs."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_reading_rows_works_as_readme_shows(tmp_path: Path) -> None:
    """The Python block and the report command, on a synthetic study in the place of the quick one."""
    write_synthetic_study(tmp_path / "results" / "quick-digits", name="quick-digits")
    # A block that begins with a file's name is a file.
    blocks = re.findall(r"```python\n(?!# )(.*?)```", README.read_text(), flags=re.S)
    assert len(blocks) == 1
    done = subprocess.run([sys.executable, "-c", blocks[0]], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "model_4" in done.stdout
    reports = [command for command in shown_commands([README]) if command[:2] == ["python", "analysis/report.py"]]
    assert reports
    for command in reports:
        subprocess.run(
            [sys.executable, str(ROOT / command[1]), *command[2:]], cwd=tmp_path, check=True, capture_output=True
        )
    assert (tmp_path / "results" / "quick-digits" / "report" / "report.md").exists()
