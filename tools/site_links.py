"""Links of the documentation's site: those that leave folder docs, to files of the repository, become plain text."""

from __future__ import annotations

import re
from typing import Any

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:[\w.-]+/)*[\w.-]+(?:#[\w-]+)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's Markdown without its links out of docs; MkDocs calls it with the page."""
    depth = page.file.src_uri.count("/")
    return _OUTSIDE.sub(lambda link: link[1] if link[0].count("../") > depth else link[0], markdown)
