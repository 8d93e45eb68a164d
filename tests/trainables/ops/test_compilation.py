"""Kernels are compiled once and kept, and a machine on which that cannot be works all the same."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.ops import compilation

pytestmark = pytest.mark.skipif(compilation.INSTRUCTION_SET == "plain", reason="a machine without the engine")

REPORT = "import torch; from trainables.training.devices import describe_engine as d; print(d(torch.device('cpu')))"


def double(values: Any) -> None:
    """Double each of an array."""
    for e in range(len(values)):
        values[e] *= np.float32(2)


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A way to make `double` the only kernel, as in a new process, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def decorate() -> Any:
        monkeypatch.setattr(compilation, "_kernels", [])
        return compilation.kernel(compilation.FLOATS)(double)

    yield decorate


def check(kernel: Any) -> None:
    """Run the kernel."""
    values = np.arange(5, dtype=np.float32)
    kernel(values)
    assert values.tolist() == [0, 2, 4, 6, 8]


def test_what_one_process_compiles_the_next_loads(doubled: Any) -> None:
    """And says so, with the folder."""
    for expected in ("kernels compiled in", "kernels loaded in"):
        kernel = doubled()
        report = compilation.compile_kernels()
        assert report.startswith(f"{compilation.INSTRUCTION_SET}, {expected}")
        assert report.endswith(str(compilation.find_cache()))
        check(kernel)


@pytest.fixture
def own_folder(doubled: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where kernels go when no cache can be made: a file stands in its way, which stops even root."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"cae-study-{os.getuid()}"


def test_without_a_cache_kernels_are_kept_in_a_folder_of_the_user_alone(doubled: Any, own_folder: Path) -> None:
    """As in a container whose home cannot be written: the workers need not compile what the launch has compiled."""
    for expected in ("kernels compiled in", "kernels loaded in"):
        kernel = doubled()
        report = compilation.compile_kernels()
        assert expected in report
        assert str(own_folder) in report
        check(kernel)
    assert own_folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_is_not_used(doubled: Any, own_folder: Path) -> None:
    """What lies there would be run as code, so kernels stay in memory; the words say why."""
    own_folder.mkdir()
    own_folder.chmod(0o777)
    kernel = doubled()
    report = compilation.compile_kernels()
    assert re.search(r"kernels compiled in memory in \S+ s, since \S+ cannot be used: others may write it", report)
    assert not [*own_folder.iterdir()]
    check(kernel)


def test_a_full_disk_leaves_kernels_in_memory(doubled: Any) -> None:
    """As where no byte can be written."""
    kernel = doubled()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        report = compilation.compile_kernels()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert re.search(r"kernels compiled in memory in \S+ s, since .* cannot be written: File too large", report)
    check(kernel)


def test_other_sources_have_another_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Numba looks at the source of a kernel only, not at those that it is made of."""
    folders = set()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compilation, "__file__", str(tmp_path / "compilation.py"))
    for source in ("LANES = 1", "LANES = 2"):
        (tmp_path / "tiles.py").write_text(source)
        folders.add(compilation.find_cache())
    assert len(folders) == 2


def run(code: str, **environment: str) -> str:
    """Return what a process of its own prints."""
    given = {name: value for name, value in os.environ.items() if name != "NUMBA_CPU_FEATURES"} | environment
    return subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True).stdout


def test_a_processor_without_vectors_takes_the_plain_path() -> None:
    """Numba is told that there is neither AVX-512 nor AVX2."""
    code = (
        f"{REPORT}; from trainables.models.autoencoder import Autoencoder\n"
        "from trainables.models.architectures import BUILT_IN\n"
        "print(tuple(Autoencoder(BUILT_IN['model_3'], 2)(torch.rand(3, 1, 28, 28)).shape))"
    )
    shown = run(code, NUMBA_ENABLE_AVX="0").splitlines()
    assert shown == ["plain, PyTorch's own layers: this processor has neither AVX-512 nor AVX2", "(3, 1, 28, 28)"]


AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+popcnt"}
"""What holds a machine with AVX-512 to AVX2, as docs/performance.md has it."""

TRAINED = """
import sys, torch
from trainables.models.architectures import BUILT_IN
from trainables.trial_config import RECIPES
from trainables.training.devices import name_engine, prepare
from trainables.training.training import Training
prepare(torch.device("cpu"))
pixels = torch.randint(0, 256, (100, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
print(name_engine(torch.device("cpu")))
for name in ("model_1", "model_4"):
    config = RECIPES["modern"].trial_config(BUILT_IN[name], 4, 2, batch_size=20, filters=(5, 4))
    training = Training(config, 1, pixels)
    for _ in range(2):
        print(training.train_epoch().train_cross_entropy)
"""


@pytest.mark.slow
@pytest.mark.skipif(compilation.INSTRUCTION_SET != "avx512", reason="a machine without AVX-512")
def test_two_instruction_sets_differ_by_rounding() -> None:
    """The losses of ten steps, within a part in ten thousand."""
    wide, narrow = (run(TRAINED, **environment).split() for environment in ({}, AVX2))
    assert (wide[0], narrow[0]) == ("avx512", "avx2")
    assert [float(value) for value in narrow[1:]] == pytest.approx([float(value) for value in wide[1:]], rel=1e-4)


@pytest.mark.slow
def test_of_two_processes_at_once_one_compiles(tmp_path: Path) -> None:
    """The other waits and loads."""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", REPORT]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate()[0].split()[2] for process in both)
    assert said == ["compiled", "loaded"]
