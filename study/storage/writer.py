"""Writes trials beside the driver, in the order in which they ended, so that no slot waits for a disk or a bucket.

The plan goes on as soon as a trial is handed over. Because the order is kept, what a killed launcher leaves is what the
study was a moment before: no trial is there whose configuration came from one that is not.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from study.storage.store import Store

MOST_WAITING = 100
"""Trials that wait in memory at most, each with weights and codes of some megabytes; then the driver waits, too."""

_Ended = tuple[Mapping[str, Any], Mapping[str, Sequence[dict[str, Any]]], bytes | None]


class Writer:
    """Appends to a store in a thread of its own, from entry to exit; at exit all is written or kept by the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[_Ended | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._failure: Exception | None = None

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if kind is None:
            self.check()

    def __reduce__(self) -> tuple[type[Writer], tuple[Store]]:
        # Tune pickles its callbacks to a file that nothing reads; a copy writes nothing.
        return type(self), (self._store,)

    def append(
        self, trial: Mapping[str, Any], others: Mapping[str, Sequence[dict[str, Any]]], weights: bytes | None
    ) -> None:
        """Hand over a trial that ended, as to `Store.append`.

        Raises:
            StorageError: an earlier one could not be written.
        """
        self.check()
        self._waiting.put((trial, others, weights))

    def check(self) -> None:
        """Raise what stopped the writing, if anything did.

        Raises:
            StorageError: the folder could not be written for longer than the store's patience.
        """
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (ended := self._waiting.get()) is not None:
            try:
                if self._failure is None:
                    self._store.append(*ended)
                else:
                    self._store.keep(*ended)  # The store tries once more when it is closed.
            except Exception as error:
                self._failure = self._failure or error
