"""Commands that the user is told to type, so that they can be pasted: by interpreter and path, quoted."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.config.options import RunOptions
from study.config.study_config import StudyConfig
from study.storage.location import Location
from study.storage.store import STUDY_FILE
from trainables.models.architectures import ModuleAutoencoder


def suggest_report(folder: Location, options: RunOptions) -> str:
    """Return what to type when nothing is pending: what shows the report, or makes one."""
    if folder.local is not None and options.report:
        return shlex.join([name_python(), "-m", "webbrowser", str(folder.local / "report" / "report.html")])
    script = Path(options.command[0] if options.command else "")
    beside = script.parent.parent / "analysis" / "report.py"
    if script.suffix == ".py" and beside.is_file():  # study/launch.py, from wherever it was started
        return shlex.join([name_python(), str(beside), str(folder)])
    installed = options.command and script.suffix != ".py"  # no script of the user's own
    starts = [_name_program(script), "report"] if installed else [name_python(), "-m", "analysis.report"]
    return shlex.join([*starts, str(folder)])


def make_command(options: RunOptions, phase: str = "") -> str:
    """Return the command that was typed, with ``phase`` in the place of its phases; nothing where none was.

    It writes a report at its end, though the typed one may have been told not to.
    """
    if not options.command:
        return ""
    script, flags = Path(options.command[0]), [flag for flag in options.command[1:] if flag not in _NO_REPORT_FLAG]
    if phase:
        kept, dropping = [], False
        for flag in flags:
            dropping = flag.split("=")[0] in _PHASE_FLAG if flag.startswith("-") else dropping
            kept += [] if dropping else [flag]
        flags = [*kept, "--phase", phase]
    return shlex.join([*_name_script(script), *flags])


_PHASE_FLAG = ("--phase", "--phas", "--pha", "--ph")
"""What the command line takes for --phase: unambiguous beginnings too."""

_NO_REPORT_FLAG = tuple("--no-report"[:length] for length in range(len("--no"), len("--no-report") + 1))
"""The same for --no-report."""


def make_resuming_command(
    config: StudyConfig,
    folder: Location,
    manifest: Mapping[str, Any],
    typed: Sequence[str],
    retry_failed: bool,
    added: Sequence[str] = (),
) -> str:
    """Return the command that goes on with the study in ``folder``, whichever it was begun with; nothing if none does.

    Where study.toml cannot be given again, as in an object store, it is that of the last launch. Else what stands in no
    study file is taken from that, as it was typed: where data, models and a Ray are.

    Args:
        config: of the last launch.
        folder: of the study.
        manifest: its study.json.
        typed: the command that asks.
        retry_failed: whether trials that failed are to be tried anew.
        added: flags that take the place of those of the last launch.
    """
    added = [*added, *(["--retry-failed"] if retry_failed else [])]
    begun = shlex.split(manifest["launches"][-1]["command"]) if manifest["launches"] else []
    if begun and Path(begun[0]).name != "launch.py" and begun[1:2] != ["run"]:
        begun = []  # a notebook, or a script that calls `run`, has flags of its own
    if folder.local is None or not (folder.local / STUDY_FILE).is_file():
        return make_command(RunOptions(command=(*begun, *added))) if begun else ""
    script, local = Path(typed[0]), folder.local
    starts = [*_name_script(script), *([] if script.suffix == ".py" else ["run"])]
    flags = ["--preset", _shorten(local / STUDY_FILE)]
    flags += ["--name", local.name] if local.name != config.name else []
    flags += ["--results-dir", _shorten(local.parent)] if local.parent != Path("results").absolute() else []
    where = {flag: value for flag, value in vars(_WHERE.parse_known_args(begun[1:])[0]).items() if value is not None}
    flags += [word for flag, value in where.items() for word in (f"--{flag.replace('_', '-')}", value)]
    own = config.own_objectives or any(isinstance(row, ModuleAutoencoder) for row in config.models)
    missing = " --models FILE  # the file of your own" if own and "models" not in where else ""
    return shlex.join([*starts, *flags, *added]) + missing


_WHERE = argparse.ArgumentParser(add_help=False)
for _flag in ("--data-dir", "--models", "--address"):
    _WHERE.add_argument(_flag)


def _name_script(script: Path) -> list[str]:
    """Return what starts a script, or the installed command."""
    return [name_python(), str(script)] if script.suffix == ".py" else [_name_program(script)]


def _name_program(script: Path) -> str:
    """Return what starts the installed command: by its name where that is it."""
    found = shutil.which(script.name)
    if found and Path(found).absolute() == Path(shutil.which(script) or script).absolute():
        return script.name
    return _shorten(script)


def name_python() -> str:
    """Return what starts the interpreter that runs here: by the name ``python`` where that is it."""
    running, found = Path(sys.executable), shutil.which("python")
    return "python" if found and Path(found).absolute() == running else _shorten(running)


def _shorten(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
