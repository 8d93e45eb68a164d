"""study.json is read and checked once for all who open a study's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from study.storage.location import parse_location
from study.storage.manifest import read_manifest, require_manifest
from study.storage.store import Store
from trainables.errors import InputError


def test_what_study_json_lacks_is_empty(tmp_path: Path) -> None:
    """One that was written by hand, or by an older version, is read; where there is none, nothing is."""
    assert read_manifest(parse_location(tmp_path)) is None
    (tmp_path / "study.json").write_text('{"name": "mine", "more": 1}')
    lacked = {"schema_version": 0, "config": {}, "dataset": {}, "models": [], "launches": []}
    assert read_manifest(parse_location(tmp_path)) == {"name": "mine", "more": 1} | lacked


@pytest.mark.fault("rows: damaged file")
@pytest.mark.parametrize(
    "value", ['{"name": 3}', '{"name": "x", "config": []}', '{"name": "x", "schema_version": "1"}']
)
def test_a_value_of_another_kind_is_refused(tmp_path: Path, value: str) -> None:
    """With its key."""
    (tmp_path / "study.json").write_text(value)
    with pytest.raises(InputError, match=r"study\.json: (name|config|schema_version) is"):
        require_manifest(parse_location(tmp_path))


def test_the_studies_in_a_folder_are_named_where_it_is_none_itself(tmp_path: Path) -> None:
    """Those with a study.json only."""
    for name in ("b", "a", "none"):
        (tmp_path / name).mkdir()
    for name in ("b", "a"):
        (tmp_path / name / "study.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds no study\.json") as raised:
        require_manifest(parse_location(tmp_path))
    assert raised.value.remedy == f"give one of {tmp_path}/a, {tmp_path}/b"


@pytest.mark.fault("rows: damaged file")
@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"schema_version": 1})])
def test_a_damaged_manifest_is_refused(tmp_path: Path, content: str) -> None:
    """With the file's path."""
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=r"study\.json: "):
        Store(tmp_path).read_manifest()


@pytest.mark.fault("rows: newer schema")
def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An old program must not guess what new rows mean."""
    (tmp_path / "study.json").write_text(json.dumps({"name": "some", "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        Store(tmp_path).read_manifest()
