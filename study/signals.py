"""Ctrl-C, SIGTERM and a closed terminal end a launch once, soon and for sure, however often they are repeated."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, Protocol, TextIO

STATUS = 130
"""Exit status of a launch that the user stopped."""

STOP_SECONDS = 8.0
"""Time to stop Ray in order; then the process ends at once, and Ray's processes, which are bound to it, with it."""


class NotStarted(KeyboardInterrupt):
    """The user was asked whether to start, and said no."""


left_behind: list[Callable[[], None]] = []
"""What to end when a process ends at once, and would leave it behind."""


class Counted(Protocol):
    """A plan, as far as a stop tells of it."""

    done: int

    @property
    def total(self) -> int:
        """How many trials are planned, done ones included."""


_counted: list[tuple[Counted, bool]] = []
"""The plan of the launch that runs, once it has one, and whether a report follows its trials."""

_HANGUP = getattr(signal, "SIGHUP", None)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((_HANGUP,) if _HANGUP else ()))


class _Stop:
    """The answer of a launch to what ends it."""

    def __init__(self) -> None:
        self._lingering = threading.Timer(STOP_SECONDS, _end)
        self._lingering.daemon = True
        self._begun = threading.Lock()

    def __call__(self, *_: Any) -> None:
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_IGN)
        sys.unraisablehook = _pass_over
        self.linger()
        raise KeyboardInterrupt

    @property
    def asked(self) -> bool:
        """Whether the process is about to end."""
        return self._begun.locked()

    def linger(self) -> None:
        """End the process after `STOP_SECONDS`, whatever it does."""
        if self._begun.acquire(blocking=False):  # A signal and the thread that sent it ask for it at the same time.
            self._lingering.start()


def _pass_over(_: object) -> None:
    """Say nothing of what Python cannot raise: an object that was interrupted while it was made does not end well."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first of the signals, ignore further ones, and end the process if it lingers.

    An interrupt can get lost: Python drops what is raised while it collects garbage, and a library may be deaf. Or a
    library makes another error of it, as C++ does that imports a module itself: what fails after an interrupt, fails
    because of it. After the first one all this stays as it is: the process is about to end, and what still has to stop
    takes a second. A hangup that is ignored stays so: `nohup` asks for that.
    """
    _counted.clear()
    stop = _Stop()
    kept = [name for name in _SIGNALS if name == _HANGUP and signal.getsignal(name) == signal.SIG_IGN]
    before = {name: signal.signal(name, stop) for name in _SIGNALS if name not in kept}
    try:
        yield
    except Exception as error:
        if stop.asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        if not stop.asked:
            for name, handler in before.items():
                signal.signal(name, handler)


def ends_process() -> bool:
    """Return whether a process ends with the launch that it runs, if that is interrupted: a notebook does not."""
    return isinstance(signal.getsignal(signal.SIGINT), _Stop)


def interrupt(thread: threading.Thread) -> None:
    """Interrupt the launch that runs in ``thread`` as Ctrl-C does, from any thread.

    Its process ends if the main thread cannot hear it. A launch in another thread, as of a server, hears it as soon as
    it is back in Python; signals, which the main thread answers, are none of its business.
    """
    if thread is not threading.main_thread():
        raised, where = ctypes.py_object(KeyboardInterrupt), ctypes.c_ulong(thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(where, raised)
        return
    answer = signal.getsignal(signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    if isinstance(answer, _Stop):
        answer.linger()


class Drain:
    """Whether SIGUSR1 has asked, while this is entered, to let running trials end and start no other."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Drain:
        self._before = self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGUSR1, self._before)

    def listen(self) -> Any:
        """Answer the signal from here on; return what did before.

        Outside the main thread, and where there is no such signal, nobody asks.
        """
        if hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread():
            return signal.signal(signal.SIGUSR1, self._ask)
        return None

    def _ask(self, *_: Any) -> None:
        self.asked = True
        os.write(2, b"running trials end, no other starts; then the same command goes on with the rest\n")


def answer_sigterm(handler: Any) -> None:
    """Put back an answer to SIGTERM in the place of Ray's; outside the main thread Python and Ray have none."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def keeps_answer_to_sigterm() -> Iterator[None]:
    """Put the answer to SIGTERM back as soon as a library has given the signal back to the system, once.

    Until then a second signal, which comes as soon as the first has begun to end a launch, would end the process
    without a word. The library's threads leave no other moment to do so than this one, which a thread of ours awaits.
    """
    change = ctypes.CDLL(None).sigaction  # Python's own works in the main thread alone, which is in the library.
    answer, now = (ctypes.c_void_p * 64)(), (ctypes.c_void_p * 64)()  # larger than any system's structure
    change(signal.SIGTERM, None, answer)
    left = threading.Event()

    def watch() -> None:
        while not left.is_set():  # It does not sleep: the library takes a third of a second.
            change(signal.SIGTERM, None, now)
            if not now[0]:  # the address of what answers, which the system's own answer has none of
                change(signal.SIGTERM, answer, None)
                return

    watcher = threading.Thread(target=watch, name="answer to SIGTERM", daemon=True)
    if answer[0]:
        watcher.start()
    try:
        yield
    finally:
        left.set()
        if answer[0]:
            watcher.join()


@contextmanager
def reader_may_leave(out: TextIO | None = None) -> Iterator[None]:
    """End quietly what prints, to ``out`` or standard output, once its reader has seen enough: `| head`."""
    out = out or sys.stdout
    try:
        yield
        out.flush()
    except BrokenPipeError:
        # What is still in the buffer must not be written when Python ends, nor what is printed later.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def count_on(plan: Counted, report: bool) -> None:
    """Have a stop from here on say how many trials of ``plan`` are kept; after all of them a launch makes a report."""
    _counted[:] = [(plan, report)]


def say_how_to_go_on() -> None:
    """Print what is kept and what to do."""
    kept, goes_on = "stopped", "the same command goes on"
    for plan, report in _counted:
        if plan.done < plan.total:
            kept = f"stopped: {plan.done} of {plan.total} trials are kept"
        else:
            kept, goes_on = "stopped: all trials are done", "the same command makes the report" if report else goes_on
    print(f"\n{kept}; {goes_on}", file=sys.stderr, flush=True)


def leave(status: int) -> NoReturn:
    """End the process with what was registered for its end, but without taking the interpreter apart.

    That takes seconds after a study, in which a signal would be answered by Python and not in words; and threads of a
    Ray that was stopped while it started may still use the interpreter: it has ended in a segmentation fault there. A
    signal comes too late now to stop anything.
    """
    for name in _SIGNALS:
        signal.signal(name, signal.SIG_IGN)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end() -> None:
    say_how_to_go_on()  # first, since Ray's core may end the process as soon as its raylet is gone
    for end in left_behind:
        with suppress(Exception):  # The process ends in any case.
            end()
    os._exit(STATUS)
