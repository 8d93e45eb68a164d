"""Files that a document shows: fenced blocks whose first line is a comment with the file's name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def write_shown_files(document: str, folder: Path) -> list[str]:
    """Write the files that ``document`` shows to ``folder`` and return their names."""
    text = (ROOT / document).read_text(encoding="utf-8")
    shown = re.findall(r"^```\w+\n(# (\S+\.\w+)\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for content, name in shown:
        (folder / name).write_text(content)
    return [name for _, name in shown]
