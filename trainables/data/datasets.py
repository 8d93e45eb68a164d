"""The data sets of the study: images of 28x28 pixels, checked against their SHA-256, in fixed splits.

MNIST and Fashion-MNIST are read from ``<folder>/<name>/``, or from where torchvision has them in ``<folder>``, which is
the first of: the one given (flag --data-dir), the environment variable CAE_STUDY_DATA, the user's cache. Only the cache
is ever written: missing files are downloaded to it. ``digits`` comes with scikit-learn and needs no folder. A file of
one's own stands in the place of a name (`custom`).
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from trainables.data.download import RemoteFile, read_cached, read_placed
from trainables.data.images import Dataset, LabelledImages, build_dataset, freeze_images
from trainables.errors import InputError

DATA_VARIABLE = "CAE_STUDY_DATA"


@dataclass(frozen=True, slots=True)
class DataSource:
    """What is known of a data set before it is read."""

    name: str
    training_size: int
    validation_size: int
    test_size: int
    source: str
    files: tuple[RemoteFile, ...] = ()
    """Training images, training labels, test images, test labels; none where the data come with scikit-learn."""
    mirrors: tuple[str, ...] = ()
    torchvision: str = ""
    """Where torchvision keeps the files, unpacked."""


_IDX_FILES = (
    ("train-images-idx3-ubyte", 47_040_016),
    ("train-labels-idx1-ubyte", 60_008),
    ("t10k-images-idx3-ubyte", 7_840_016),
    ("t10k-labels-idx1-ubyte", 10_008),
)
"""Names and sizes of the files of MNIST, and of all that stand in its place."""


def _list_idx_files(*facts: tuple[int, str, str]) -> tuple[RemoteFile, ...]:
    """Return the files of sizes and checksums as they lie on mirrors, and checksums of what they hold."""
    return tuple(
        RemoteFile(f"{name}.gz", size, sha256, RemoteFile(name, unpacked_size, unpacked))
        for (name, unpacked_size), (size, sha256, unpacked) in zip(_IDX_FILES, facts, strict=True)
    )


_ROWS = (
    DataSource(
        name="mnist",
        training_size=60_000,
        validation_size=10_000,
        test_size=10_000,
        source="LeCun, Cortes, Burges: The MNIST database of handwritten digits",
        files=_list_idx_files(
            (
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            (
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            (
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            (
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        torchvision="MNIST/raw",
    ),
    DataSource(
        name="fashion-mnist",
        training_size=60_000,
        validation_size=10_000,
        test_size=10_000,
        source="Xiao, Rasul, Vollgraf (2017), arXiv 1708.07747",
        files=_list_idx_files(
            (
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            (
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            (
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            (
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        torchvision="FashionMNIST/raw",
    ),
    DataSource(
        name="digits",
        training_size=1_437,
        validation_size=288,
        test_size=360,
        source="Alpaydin, Kaynak (1998): Optical recognition of handwritten digits, test part, from scikit-learn",
    ),
)

DATASETS: Mapping[str, DataSource] = MappingProxyType({row.name: row for row in _ROWS})
"""Every data set by name."""

OWN_DATA = (".npz", ".parquet")
"""Suffixes of files that stand in the place of a name."""


def is_own_data(dataset: object) -> bool:
    """Whether a data set is given as a file of the user's own, rather than by a name."""
    return isinstance(dataset, str) and dataset.endswith(OWN_DATA)


def data_name(dataset: str) -> str:
    """Return what a data set is called in rows and tables; one in a file is called as the file is."""
    return Path(dataset).stem if is_own_data(dataset) else dataset


def load_dataset(name: str, data_dir: Path | None = None) -> Dataset:
    """Return the data set called ``name``, every file checked against its SHA-256.

    Args:
        name: key of `DATASETS`, or the path of a file with a suffix of `OWN_DATA`.
        data_dir: folder that holds the folder ``name``; when None, see the top of this module.

    Raises:
        InputError: there is no such data set, or its files are missing, wrong or not to be had.
    """
    if is_own_data(name):
        from trainables.data.custom import load_custom  # here, as pyarrow takes its time to import

        return load_custom(Path(name))
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}", ", ".join(DATASETS), "choose one of these names")
    facts = DATASETS[name]
    if facts.files:
        contents = [read_idx(data) for data in _read_contents(facts, data_dir)]
        training, test = freeze_images(*contents[:2]), freeze_images(*contents[2:])
    else:
        training, test = _load_digits()
    if (len(training), len(test)) != (facts.training_size, facts.test_size):
        raise ValueError(f"{name} has {len(training)} training and {len(test)} test images, unlike its row in DATASETS")
    return build_dataset(name, training, facts.validation_size, test)


def count_missing_bytes(name: str, data_dir: Path | None = None) -> int:
    """Return how many bytes `load_dataset` would download; 0 where it finds its files, or looks in a named folder."""
    if is_own_data(name) or name not in DATASETS or data_dir is not None or os.environ.get(DATA_VARIABLE):
        return 0
    folder = _find_cache() / name
    return sum(file.bytes for file in DATASETS[name].files if not (folder / file.name).exists())


def make_stand_in(name: str) -> Dataset:
    """Return as many images as data set ``name`` has, digits of scikit-learn again and again: what takes as long.

    They serve to plan a study whose images are not here.
    """
    facts, (digits, _) = DATASETS[name], _load_digits()
    assert digits.labels is not None

    def repeat(count: int) -> LabelledImages:
        places = np.resize(np.arange(len(digits)), count)
        return freeze_images(digits.pixels[places], np.asarray(digits.labels)[places])

    return build_dataset(name, repeat(facts.training_size), facts.validation_size, repeat(facts.test_size))


def read_idx(data: bytes) -> NDArray[np.uint8]:
    """Return the array in an IDX file of unsigned bytes, gzipped or not.

    Source: the format is described on MNIST's page: two zero bytes, 8 for unsigned bytes, the number of dimensions,
    each dimension in four bytes, most significant first, then the elements, the last dimension fastest.

    Raises:
        ValueError: the data are not such a file.
    """
    try:
        raw = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"not a whole gzip file: {error}") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"not an IDX file of unsigned bytes: it starts with {raw[:4]!r}")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[at : at + 4], "big") for at in range(4, start, 4))
    size = math.prod(shape)
    if len(raw) - start != size:
        raise ValueError(f"an IDX file of shape {shape} has {size} elements, not {len(raw) - start}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)


def mark_fifth_of_each_class(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark a stratified fifth of ``labels``: sorted by class, otherwise in the order given, each fifth from the first.

    No random numbers, so no library's version moves an image to another split.
    """
    marked = np.zeros(len(labels), np.bool_)
    marked[np.argsort(labels, kind="stable")[::5]] = True
    return marked


def enlarge(small: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Scale (n, 8, 8) images of 0 to 16 to 0 to 255 in the middle 20x20 pixels of (n, 28, 28), as MNIST's digits stand.

    The blank border matters: a decoder that unpools to the corner can draw nothing in the last row and column. Linear
    interpolation between pixel centres, because each value is a count of inked dots in a 4x4 block: between two counts
    it adds no edge of its own (nearest) and leaves the range nowhere (cubic). In whole numbers, so that all machines
    round alike.
    """
    # Pixel i of 20 has its centre at ((i + 1/2) 8/20 - 1/2) = (4 i - 3) / 10 of the 8; outside the outermost, theirs.
    centres = np.clip(4 * np.arange(20) - 3, 0, 7 * 10)
    weights = np.maximum(10 - np.abs(centres[:, None] - 10 * np.arange(8)), 0)
    full = 16 * 10 * 10
    sums = weights @ small.astype(np.int64) @ weights.T
    middle: NDArray[np.uint8] = ((255 * sums + full // 2) // full).astype(np.uint8)
    return np.pad(middle, ((0, 0), (4, 4), (4, 4)))


def _load_digits() -> tuple[LabelledImages, LabelledImages]:
    """Read the digits of scikit-learn: a fifth is the test, a fifth of the rest validation.

    The images come in 14 runs of about 130, each by one hand: a cut by position would test on three hands. Every
    fifth of a class spreads each hand over all splits, so the test's hands are known ones, unlike MNIST's.
    """
    from sklearn.datasets import load_digits  # here, as the import takes a second

    bunch = load_digits()
    pixels, labels = enlarge(bunch.images), np.asarray(bunch.target, np.int64)
    for_test = mark_fifth_of_each_class(labels)
    rest, test = np.flatnonzero(~for_test), np.flatnonzero(for_test)
    for_validation = mark_fifth_of_each_class(labels[rest])
    training = np.concatenate([rest[~for_validation], rest[for_validation]])
    return freeze_images(pixels[training], labels[training]), freeze_images(pixels[test], labels[test])


def _read_contents(facts: DataSource, data_dir: Path | None) -> list[bytes]:
    from_variable = os.environ.get(DATA_VARIABLE)
    if data_dir is None and not from_variable:
        folder = _find_cache() / facts.name
        return [read_cached(file, folder, facts.mirrors) for file in facts.files]
    origin = f"{DATA_VARIABLE}={from_variable}" if data_dir is None else f"--data-dir {data_dir}"
    # Not Path.expanduser: that raises for a user who does not exist.
    folder = Path(os.path.expanduser(data_dir or from_variable or "")).absolute()
    if not folder.is_dir():
        raise InputError(
            f"{origin}: there is no such folder",
            f"a folder that holds {facts.name}/ with its files",
            f"correct it, or leave out --data-dir and {DATA_VARIABLE} to have the files downloaded to the user's cache",
        )
    place = folder / facts.name
    if facts.torchvision and not place.exists() and (folder / facts.torchvision).is_dir():
        place = folder / facts.torchvision
    return read_placed(facts.files, place, facts.mirrors)


def _find_cache() -> Path:
    # Relative paths are ignored, as the XDG Base Directory Specification has it.
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "cae-study"
