"""Whether the rules by which claims are judged are older than the rows: their digest, and what to say of it.

study.json has the digest of the rules with which a study began. They are files: whatever was changed in one since then,
a comment included, leaves open whether the rows had been seen, so nothing is said of rules written before them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from analysis.results import Study

RULES = (
    "claims/claims.py",
    "claims/evidence.py",
    "claims/verdicts.py",
    "stats/contrasts.py",
    "stats/headline.py",
    "stats/intervals.py",
)
"""What is compared, by which test and at which level, and what follows from it; not how it is written down."""

DIGEST = "rules_sha256"
"""Its name in study.json."""

_FOLDER = Path(__file__).resolve().parents[1]


def digest_rules(folder: Path = _FOLDER) -> str:
    """Return the SHA-256 of the rules in ``folder``, that of package analysis."""
    texts = "\0".join((folder / name).read_text(encoding="utf-8") for name in RULES)
    return hashlib.sha256(texts.encode()).hexdigest()


def describe_age(study: Study, *, several: bool) -> str:
    """Say whether the rules were written before the rows of ``study``, by its name where there are ``several``."""
    begun, prefix = study.manifest.get(DIGEST), f"{study.name}: " if several else ""
    if begun is None:
        return f"{prefix}The rules of judging were not recorded before the study began."
    if begun == digest_rules():
        return (
            f"{prefix}The rules of judging were written before the rows: study.json had their digest before the first."
        )
    commit = (study.manifest["launches"] or [{}])[0].get("git_commit")
    where = f", which are those of commit {commit[:12]}" if commit else ""
    return f"{prefix}The rules of judging are not, in every letter, those with which the study began{where}."
