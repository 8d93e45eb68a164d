"""Data sets: their counts, splits and files are what is published, and wrong files are refused."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainables.data import datasets
from trainables.data.datasets import (
    DATASETS,
    DataSource,
    enlarge,
    load_dataset,
    mark_fifth_of_each_class,
    read_idx,
)
from trainables.data.download import RemoteFile
from trainables.data.images import Dataset, LabelledImages, hash_images
from trainables.errors import InputError

TOY_PIXELS = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
TOY_LABELS = np.arange(30, dtype=np.uint8) % 10


def idx(array: np.ndarray) -> bytes:
    """Return ``array`` as a gzipped IDX file."""
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


TOY_CONTENTS = (idx(TOY_PIXELS), idx(TOY_LABELS), idx(TOY_PIXELS[:10]), idx(TOY_LABELS[:10]))
TOY = DataSource(
    name="toy",
    training_size=30,
    validation_size=10,
    test_size=10,
    source="this test",
    files=tuple(
        RemoteFile(name, len(data), hashlib.sha256(data).hexdigest())
        for name, data in zip("abcd", TOY_CONTENTS, strict=True)
    ),
    mirrors=("http://one/", "http://two/"),
)


@pytest.fixture
def toy_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that holds the data set `toy`, which is known for the time of the test."""
    monkeypatch.setattr(datasets, "DATASETS", {"toy": TOY})
    monkeypatch.delenv("CAE_STUDY_DATA", raising=False)
    (tmp_path / "toy").mkdir()
    for file, data in zip(TOY.files, TOY_CONTENTS, strict=True):
        (tmp_path / "toy" / file.name).write_bytes(data)
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The data set that needs no folder."""
    return load_dataset("digits")


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    """The real MNIST where this machine has it."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    folder = Path(os.environ.get("CAE_STUDY_DATA") or beside)
    if not (folder / "mnist").is_dir():
        pytest.skip("no folder mnist in CAE_STUDY_DATA or in ../shared/data beside this repository")
    return load_dataset("mnist", folder)


def counts(images: LabelledImages) -> list[int]:
    """Return the number of images of each class."""
    assert images.labels is not None
    return list(np.bincount(images.labels))


def test_mnist_has_the_published_class_counts(mnist: Dataset) -> None:
    """Images and labels are the right ones, and validation is the last 10,000."""
    assert counts(mnist.training) == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts(mnist.test) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    # The split into 50,000 and 10,000 of deeplearning.net's mnist.pkl.
    assert counts(mnist.search_train) == [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988]
    assert counts(mnist.validation) == [991, 1064, 990, 1030, 983, 915, 967, 1090, 1009, 961]


def test_mnist_has_the_known_mean_and_error_of_its_mean_image(mnist: Dataset) -> None:
    """Pixels are in their places: .1307 is the usual constant, 52.90 the reference figure of the mean image."""
    mean_image = mnist.training.pixels.mean(axis=0) / 255
    assert mean_image.mean() == pytest.approx(0.1307, abs=5e-5)
    squared_error = np.square(mnist.test.pixels / 255 - mean_image).sum(axis=(1, 2)).mean()
    assert squared_error == pytest.approx(52.90, abs=0.005)


def test_mnist_is_the_same_on_every_machine(mnist: Dataset) -> None:
    """The digest that is stored with results is pinned."""
    assert mnist.sha256 == "c99534bf1bd9f6bbe7eb7db909ce0431ec0d8cb8fc9800628433b1a10b6c0673"


@pytest.mark.fault("data: as torchvision has unpacked them")
@pytest.mark.parametrize(("name", "place"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_files_that_torchvision_has_unpacked_are_found(name: str, place: str, data_dir: Path, tmp_path: Path) -> None:
    """In its own folder, without their gzip; the data are the same to the byte."""
    (tmp_path / place / "raw").mkdir(parents=True)
    if not (data_dir / name).is_dir():
        pytest.skip(f"needs the files of {name}")
    for file in datasets.DATASETS[name].files:
        unpacked = gzip.decompress((data_dir / name / file.name).read_bytes())
        (tmp_path / place / "raw" / file.name.removesuffix(".gz")).write_bytes(unpacked)
    assert load_dataset(name, tmp_path).sha256 == load_dataset(name, data_dir).sha256
    (tmp_path / place / "raw" / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\0")
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte: truncated"):
        load_dataset(name, tmp_path)


def test_digits_are_the_same_on_every_machine_and_in_every_version_of_scikit_learn(digits: Dataset) -> None:
    """Enlarging and splitting have no part that a library may change."""
    assert digits.sha256 == "8af15a8d9ae4bf25c159ab6069d8c9999dfa71c7e616cb2b061b50455869b799"


def test_digits_are_split_without_overlap_and_each_class_alike(digits: Dataset) -> None:
    """Each class has a fifth in the test and a fifth of the rest in validation, to within an image."""
    splits = (digits.search_train, digits.validation, digits.test)
    assert [len(split) for split in splits] == [1149, 288, 360]
    # The class counts of the test part of UCI's optdigits.
    published = np.array([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    train, validation, test = (np.array(counts(split)) for split in splits)
    assert (train + validation + test == published).all()
    assert (abs(test - published / 5) < 1).all()
    assert (abs(validation - (published - test) / 5) < 1).all()
    different = {image.tobytes() for split in splits for image in split.pixels}
    assert len(different) == 1797


def test_every_writer_of_digits_is_in_every_split() -> None:
    """The rule does not fall in step with the order of the hands."""
    from sklearn.datasets import load_digits

    labels = load_digits().target
    test = mark_fifth_of_each_class(labels)
    rest = np.flatnonzero(~test)
    validation = np.zeros(len(labels), bool)
    validation[rest[mark_fifth_of_each_class(labels[rest])]] = True
    # Each writer filled in the same form, so the labels repeat; where they start again a new hand begins.
    form = labels[:60]
    starts = [at for at in range(len(labels) - 60) if (labels[at : at + 60] == form).all()]
    assert len(starts) >= 11
    for start in starts:
        assert 0.15 < test[start : start + 110].mean() < 0.25
        assert 0.10 < validation[start : start + 110].mean() < 0.22


def test_a_fifth_is_taken_from_each_class_in_the_order_given() -> None:
    """Ten of each of two classes give two of each, the first and the sixth."""
    labels = np.array([1, 0] * 10)
    assert np.flatnonzero(mark_fifth_of_each_class(labels)).tolist() == [0, 1, 10, 11]


def test_enlarging_is_linear_interpolation_between_pixel_centres() -> None:
    """Whole-number arithmetic agrees with `numpy.interp` along both axes, to rounding."""
    small = np.random.default_rng(1).integers(0, 17, (3, 8, 8))
    at = (np.arange(20) + 0.5) * 8 / 20 - 0.5
    wide = np.apply_along_axis(lambda line: np.interp(at, np.arange(8), line), 2, small.astype(float))
    full = np.apply_along_axis(lambda line: np.interp(at, np.arange(8), line), 1, wide)
    enlarged = enlarge(small)
    assert abs(enlarged[:, 4:24, 4:24] - full * 255 / 16).max() <= 0.5 + 1e-9
    enlarged[:, 4:24, 4:24] = 0
    assert enlarged.max() == 0  # the border that MNIST has


def test_enlarging_keeps_blank_blank_and_full_full() -> None:
    """The range 0 to 16 becomes exactly 0 to 255."""
    assert (enlarge(np.zeros((1, 8, 8), int)) == 0).all()
    assert (enlarge(np.full((1, 8, 8), 16))[:, 4:24, 4:24] == 255).all()


def test_arrays_cannot_be_changed_by_one_trial_for_the_next(toy_folder: Path) -> None:
    """All arrays are read-only."""
    toy = load_dataset("toy", toy_folder)
    for array in (toy.training.pixels, toy.training.labels, toy.validation.pixels, toy.test.labels):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_pickled_arrays_stay_out_of_band(digits: Dataset) -> None:
    """Ray's object store shares the four arrays without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    inside = pickle.dumps(digits, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 4 and len(inside) < 2_000
    again = pickle.loads(inside, buffers=buffers)
    assert np.shares_memory(again.training.pixels, digits.training.pixels)
    assert hash_images(again.training, again.validation_size, again.test) == digits.sha256


@pytest.mark.fault("data: truncated, bit-flipped, empty, HTML, swapped")
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-100], "truncated"),
        (lambda data: data[:500] + bytes([data[500] ^ 8]) + data[501:], "damaged: the right length, but other bytes"),
        (lambda data: b"", "empty"),
        (lambda data: b"\n<html>404</html>", "HTML"),
        (lambda data: TOY_CONTENTS[2], "holds c"),
    ],
    ids=["truncated", "bit_flipped", "empty", "html", "swapped"],
)
def test_a_wrong_file_is_named_with_its_checksum_and_its_fault(
    toy_folder: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    """Only the wrong file is named, and it is left as it was."""
    wrong = damage(TOY_CONTENTS[0])
    (toy_folder / "toy" / "a").write_bytes(wrong)
    with pytest.raises(InputError) as caught:
        load_dataset("toy", toy_folder)
    message = caught.value.received
    assert any(line.strip().startswith("a: ") and said in line for line in message.splitlines())
    assert TOY.files[0].sha256 in message and hashlib.sha256(wrong).hexdigest() in message
    assert "b: " not in message
    assert (toy_folder / "toy" / "a").read_bytes() == wrong


@pytest.mark.fault("data: missing")
def test_missing_files_are_named_and_nothing_is_written_to_a_folder_of_the_users(toy_folder: Path) -> None:
    """The message says which files, where they are had and where they go."""
    (toy_folder / "toy" / "a").unlink()
    (toy_folder / "toy" / "d").unlink()
    with pytest.raises(InputError) as caught:
        load_dataset("toy", toy_folder)
    assert "a: missing" in caught.value.received and "d: missing" in caught.value.received
    assert "http://one/ and http://two/" in caught.value.accepted
    assert str(toy_folder / "toy") in caught.value.remedy
    assert {path.name for path in (toy_folder / "toy").iterdir()} == {"b", "c"}


def test_a_missing_data_folder_is_said_to_be_missing(toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says whether the flag or the variable named it."""
    nowhere = toy_folder / "nowhere"
    with pytest.raises(InputError, match="there is no such folder") as caught:
        load_dataset("toy", nowhere)
    assert f"--data-dir {nowhere}" in caught.value.received
    monkeypatch.setenv("CAE_STUDY_DATA", str(nowhere))
    with pytest.raises(InputError) as caught:
        load_dataset("toy")
    assert f"CAE_STUDY_DATA={nowhere}" in caught.value.received


def test_the_folder_given_goes_before_the_variable_and_the_variable_before_the_cache(
    toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most explicit wish wins."""
    monkeypatch.setattr(datasets, "read_cached", lambda *_: pytest.fail("the cache was asked"))
    monkeypatch.setenv("CAE_STUDY_DATA", str(toy_folder))
    assert load_dataset("toy").name == "toy"
    monkeypatch.setenv("CAE_STUDY_DATA", str(toy_folder / "nowhere"))
    assert load_dataset("toy", toy_folder).name == "toy"


@pytest.mark.parametrize("base", ["XDG_CACHE_HOME", "HOME"])
def test_without_a_folder_the_users_cache_is_asked(
    base: str, toy_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty variable counts as none, a relative XDG_CACHE_HOME too."""
    asked = []

    def cached(file: RemoteFile, folder: Path, mirrors: tuple[str, ...]) -> bytes:
        asked.append((file.name, folder, mirrors))
        return TOY_CONTENTS["abcd".index(file.name)]

    monkeypatch.setattr(datasets, "read_cached", cached)
    monkeypatch.setenv("CAE_STUDY_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv(base, str(toy_folder))
    folder = (toy_folder if base == "XDG_CACHE_HOME" else toy_folder / ".cache") / "cae-study" / "toy"
    assert load_dataset("toy").test.pixels.tolist() == TOY_PIXELS[:10].tolist()
    assert asked == [(name, folder, TOY.mirrors) for name in "abcd"]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """A typing error costs one look."""
    with pytest.raises(InputError, match="mnist, fashion-mnist, digits") as caught:
        load_dataset("minst")
    assert "'minst'" in caught.value.received


def test_every_downloaded_data_set_has_four_checksums_and_two_mirrors() -> None:
    """One mirror that is down never stops a study."""
    downloaded = [row for row in DATASETS.values() if row.name != "digits"]
    assert len(downloaded) == 2
    for row in downloaded:
        assert len({file.sha256 for file in row.files}) == 4
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in row.files)
        assert len(row.mirrors) >= 2 and all(mirror.endswith("/") for mirror in row.mirrors)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0,)])
def test_idx_files_are_read_in_the_shape_they_state(shape: tuple[int, ...]) -> None:
    """Any number of dimensions, empty ones included."""
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    assert read_idx(idx(array)).tolist() == array.tolist()


@pytest.mark.fault("data: truncated, bit-flipped, empty, HTML, swapped")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it starts with b''"),
        (b"plain", "not an IDX file of unsigned bytes"),
        (idx(TOY_LABELS)[:-9], "gzip"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\x01abcd"), "not an IDX file of unsigned bytes"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcd"), "5 elements, not 4"),
        (gzip.compress(b"\0\0\x08\x03\0\0"), "elements, not"),
    ],
    ids=["empty", "not_gzip", "cut_gzip", "floats", "too_short", "cut_header"],
)
def test_other_files_are_not_taken_for_idx(data: bytes, said: str) -> None:
    """Compression, type and sizes are checked."""
    with pytest.raises(ValueError, match=said):
        read_idx(data)


def test_reading_data_sets_needs_no_library_that_is_slow_to_import() -> None:
    """Those that download, train or hold the digits are imported where they are used."""
    code = "import sys, trainables.data.datasets; sys.exit(bool({'pooch', 'torch', 'sklearn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_missing_is_counted_and_stood_in_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what would be downloaded: a folder that is named is looked into, and never written."""
    monkeypatch.delenv("CAE_STUDY_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    files = DATASETS["mnist"].files
    assert datasets.count_missing_bytes("mnist") == sum(file.bytes for file in files)
    (tmp_path / "cae-study" / "mnist").mkdir(parents=True)
    (tmp_path / "cae-study" / "mnist" / files[0].name).write_bytes(b"")
    assert datasets.count_missing_bytes("mnist") == sum(file.bytes for file in files[1:])
    for name, folder in (("mnist", tmp_path), ("digits", None), ("mine.npz", None), ("unknown", None)):
        assert datasets.count_missing_bytes(name, folder) == 0
    stand_in = datasets.make_stand_in("mnist")
    assert (len(stand_in.training), len(stand_in.validation), len(stand_in.test)) == (60_000, 10_000, 10_000)
    assert stand_in.training.pixels.any(axis=(1, 2)).all()
