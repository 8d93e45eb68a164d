"""How kernels are compiled: by Numba, once per machine, version and source, into a folder that other processes load.

A processor whose vectors are of another length has other tiles, so `INSTRUCTION_SET` decides their sizes; Numba's own
environment variables can hold a processor to a smaller set (docs/performance.md).
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import llvmlite
import numba
from filelock import FileLock
from numba import types
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache
from numba.core.registry import cpu_target

_TARGET = cpu_target.target_context.codegen().magic_tuple()
_FEATURES = set(_TARGET[2].split(","))
INSTRUCTION_SET: Final = "avx512" if "+avx512f" in _FEATURES else "avx2" if {"+avx2", "+fma"} <= _FEATURES else "plain"
LANES: Final = 16 if INSTRUCTION_SET == "avx512" else 8
"""Float32 in a vector."""

# The most columns of a tile of so many rows, which leave registers, 32 or 16 of them, for what is loaded.
GATHER_TILES = {1: 8, 2: 8, 3: 8, 4: 6, 5: 4, 6: 4} if LANES == 16 else {1: 4, 2: 4, 3: 4, 4: 3}
PRODUCT_TILES = {1: 6, 2: 6, 3: 6, 4: 6, 5: 5} if LANES == 16 else {1: 4, 2: 4, 3: 4}

FLOATS, DOUBLES, INTEGERS, BYTES = types.float32[::1], types.float64[::1], types.int32[::1], types.uint8[::1]
INTEGER, FLOAT = types.int64, types.float32
"""Types of what kernels take: contiguous arrays, and single values."""

_FLAGS: dict[str, Any] = {
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},  # what is not a number stays so
}

_kernels: list[tuple[Any, tuple[Any, ...]]] = []


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that kernels call."""
    return numba.njit(**_FLAGS)(function)  # type: ignore[no-any-return]


def kernel(*arguments: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function that Python calls, with arguments of these types."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = numba.njit(**_FLAGS)(function)
        _kernels.append((compiled, arguments))
        return compiled  # type: ignore[no-any-return]

    return decorate


def find_cache() -> Path:
    """Return the folder of the kernels of this machine, these versions and these sources, made where it is missing.

    It is below ``XDG_CACHE_HOME``, ``~/.cache``, or, where that cannot be written, a folder of this user's alone among
    temporary files.

    Raises:
        OSError: none of them can be used.
    """
    digest = hashlib.sha256(
        repr((_TARGET, platform.python_version(), numba.__version__, llvmlite.__version__)).encode()
    )
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.stem not in ("engine", "pooling"):  # which Numba never sees
            digest.update(source.read_bytes())
    folder = Path("cae-study") / "kernels" / digest.hexdigest()[:16]
    usual = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / folder
    try:
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK):
            return usual
    except OSError:
        pass
    own = _make_own_folder() / folder
    own.mkdir(parents=True, exist_ok=True)
    return own


def _make_own_folder() -> Path:
    """Return a folder among temporary files that no other user can write: what lies in it is loaded as code."""
    folder = Path(tempfile.gettempdir()) / f"cae-study-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(errno.EACCES, "others may write it", str(folder))
    return folder


class _Locator:
    """Tells Numba to keep compiled code in `find_cache`, wherever the sources lie and whenever they were copied."""

    @classmethod
    def from_function(cls, function: Any, path: str) -> _Locator:
        return cls()

    def ensure_cache_path(self) -> None:
        find_cache()

    def get_cache_path(self) -> str:
        return str(find_cache())

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return ""


class _Implementation(CompileResultCacheImpl):
    _locator_classes: list[Any] = [_Locator]  # noqa: RUF012


class _Cache(FunctionCache):
    _impl_class = _Implementation


def compile_kernels() -> str:
    """Compile every kernel, or load it where that was done before; return in words what was done.

    Of several processes that ask at once one compiles and the others wait and load. Where no folder can be written to,
    or its disk is full, kernels are compiled in memory.
    """
    if INSTRUCTION_SET == "plain":
        return "plain, PyTorch's own layers: this processor has neither AVX-512 nor AVX2"
    started, folder, trouble = time.perf_counter(), None, ""
    loaded = 0
    with ExitStack() as stack:
        try:
            folder = find_cache()
            stack.enter_context(FileLock(folder / "lock"))
        except OSError as error:
            trouble = f"{error.filename or folder} cannot be used: {error.strerror or error}"
        for compiled, arguments in _kernels:
            try:
                compiled._cache = NullCache() if trouble else _Cache(compiled.py_func)  # type: ignore[no-untyped-call]
                compiled.compile(arguments)
            except OSError as error:  # The kernel is compiled by then, and could not be kept.
                trouble = f"{folder} cannot be written: {error.strerror or error}"
            loaded += bool(compiled.stats.cache_hits)
    seconds = time.perf_counter() - started
    if trouble:
        return f"{INSTRUCTION_SET}, kernels compiled in memory in {seconds:.1f} s, since {trouble}"
    if loaded == len(_kernels):
        return f"{INSTRUCTION_SET}, kernels loaded in {seconds:.1f} s from {folder}"
    return f"{INSTRUCTION_SET}, kernels compiled in {seconds:.1f} s, kept in {folder}"
