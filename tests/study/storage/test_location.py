"""Paths and addresses name folders; what names none is refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from study.storage.location import describe_error, parse_location
from trainables.errors import InputError


def test_a_relative_path_means_the_folder_it_meant_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune changes the working directory."""
    monkeypatch.chdir(tmp_path)
    place = parse_location("results")
    assert place.local == tmp_path / "results"
    with pytest.raises(InputError, match="names no folder"):
        parse_location("hdfs://host/folder")


def test_a_file_address_is_the_folder_that_it_names(tmp_path: Path) -> None:
    """And what lies in it is found from it, as a path and as what the user calls it."""
    place = parse_location(tmp_path.as_uri()) / "study" / "study.json"
    assert place.local == tmp_path / "study" / "study.json"
    assert str(place) == f"{tmp_path}/study/study.json"


@pytest.mark.parametrize("address", ["file:///tmp/run#2", "s3://bucket/run#2"])
def test_an_address_of_which_part_would_be_lost_is_refused(address: str) -> None:
    """What follows a number sign would be no part of the path."""
    with pytest.raises(InputError, match=f"{address}: names no folder"):
        parse_location(address)


def test_a_folder_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """Arrow would not find it; where Python reads names by another encoding it is told what to export."""
    with pytest.raises(InputError, match="a name that is no UTF-8") as raised:
        parse_location(tmp_path / os.fsdecode(b"f\xfcr"))
    assert raised.value.remedy.startswith("rename the folder" if sys.getfilesystemencoding() == "utf-8" else "export")
    assert "\\udcfc" in str(raised.value)
    assert parse_location(tmp_path / "f\u00fcr").local == tmp_path / "f\u00fcr"


def test_an_address_with_credentials_is_refused_without_repeating_them() -> None:
    """They would stand in study.json."""
    with pytest.raises(InputError, match="holds credentials") as raised:
        parse_location("s3://key:secret@bucket/x")
    assert "secret" not in str(raised.value)


def test_an_error_of_the_system_is_said_without_its_number() -> None:
    """In one line."""
    assert describe_error(OSError(28, "No space left on device")) == "No space left on device"
    assert describe_error(ValueError("first\nsecond")) == "first"
    assert describe_error(ValueError()) == "ValueError"
