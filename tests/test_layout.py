"""The layout: which package may know which, and what the documentation shows."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from study import launch
from study.config.study_file import format_study_file, read_config, read_models
from tests.documents import write_shown_files
from tests.synthetic import write_synthetic_study

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("study", "trainables", "analysis")
KNOWS_RAY = {
    "study/execution/cluster.py",
    "study/execution/nodes.py",
    "study/execution/early_stopping.py",
    "study/execution/tuner.py",
    "trainables/trial.py",
}
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(package: str) -> list[Path]:
    """Return the modules of a package."""
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", files("trainables"), ids=lambda path: str(path.relative_to(ROOT)))
def test_trainables_know_nothing_of_study_or_analysis(path: Path) -> None:
    """How a trial runs does not depend on who asked for it."""
    assert not {name for name in imported(path) if name.split(".")[0] in ("study", "analysis")}


@pytest.mark.parametrize("path", files("analysis"), ids=lambda path: str(path.relative_to(ROOT)))
def test_analysis_knows_rows_where_they_lie_and_the_table_of_architectures_at_most(path: Path) -> None:
    """Rows can be analysed where neither Ray nor PyTorch is installed."""
    names = imported(path)
    assert not {name for name in names if name.split(".")[0] in ("ray", "torch")}
    ours = {name for name in names if name.split(".")[0] in ("study", "trainables")}
    known = (
        "study.storage.schema",
        "study.storage.location",
        "trainables.models.architectures",
        "trainables.models.layers",
        "trainables.models.custom",
        "trainables.errors",
    )
    assert all(name.startswith(known) or any(one.startswith(name) for one in known) for name in ours)


@pytest.mark.parametrize("path", [*files("study"), *files("trainables")], ids=lambda path: str(path.relative_to(ROOT)))
def test_few_files_know_ray(path: Path) -> None:
    """What Ray changes is changed here."""
    knows = any(name.split(".")[0] == "ray" for name in imported(path))
    assert knows == (str(path.relative_to(ROOT)) in KNOWS_RAY)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_nothing_by_themselves(package: str) -> None:
    """Importing one module imports no other."""
    assert all(path.read_text() == "" for path in (ROOT / package).rglob("__init__.py"))


def test_no_module_is_named_like_one_of_the_standard_library() -> None:
    """A script's folder comes first on the path, so such a name would hide the library's."""
    names = {path.stem for package in PACKAGES for path in (ROOT / package).glob("*.py")}
    assert not names & set(sys.stdlib_module_names)


def test_analysis_loads_neither_ray_nor_torch() -> None:
    """Not through anything else either."""
    code = "import analysis.report, sys; assert not {'ray', 'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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
    written = tmp_path / "results" / "my_study-my_images" / "study.toml"
    written.parent.mkdir(parents=True)
    written.write_text(format_study_file(read_config("my_study.toml", models=read_models(tmp_path / "my_models.py"))))
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
