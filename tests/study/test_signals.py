"""What becomes of an interrupt on its way through the code that it meets."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from study import signals
from study.signals import _Stop
from tests.faults.launches import assert_ended_in_words

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = """
import os, signal, sys
from study import launch
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs these tests under nohup

def meet(_):
    if {sent}:
        try:
            os.kill(os.getpid(), {sent})
        except KeyboardInterrupt:
            pass
    raise ValueError("The zoneinfo module or pytz package must be installed.")

launch._run = meet
sys.exit(launch.main([]))
"""


def launch(sent: int) -> subprocess.CompletedProcess[str]:
    """Run a launch that meets a signal which a library makes an error of."""
    script = LAUNCH.format(sent=int(sent))
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_error_that_a_library_makes_of_an_interrupt_ends_in_words(sent: signal.Signals) -> None:
    """As pyarrow does where it is interrupted while it imports what it needs for a time stamp."""
    done = launch(sent)
    assert done.returncode == 130
    assert "the same command goes on" in done.stderr
    assert_ended_in_words(done.stderr)


@pytest.mark.parametrize(
    ("plan", "report", "told"),
    [
        (None, True, "stopped; the same command goes on"),
        ((0, 86), True, "stopped: 0 of 86 trials are kept; the same command goes on"),
        ((80, 86), True, "stopped: 80 of 86 trials are kept; the same command goes on"),
        ((86, 86), True, "stopped: all trials are done; the same command makes the report"),
        ((86, 86), False, "stopped: all trials are done; the same command goes on"),
    ],
)
def test_a_stop_says_how_many_trials_are_kept(
    plan: tuple[int, int] | None, report: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the launch that runs: of the one before it the next knows nothing."""
    with signals.interruptible():
        if plan:
            signals.count_on(SimpleNamespace(done=plan[0], total=plan[1]), report)
        signals.say_how_to_go_on()
    assert capsys.readouterr().err == f"\n{told}\n"
    with signals.interruptible():
        signals.say_how_to_go_on()
    assert capsys.readouterr().err == "\nstopped; the same command goes on\n"


def test_nohup_is_obeyed() -> None:
    """Who has a terminal's end ignored wants the study to go on."""
    script = "import signal; from study.signals import interruptible\nwith interruptible(): "
    script += "print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGTERM))"
    command = ["nohup", sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, check=True)
    assert done.stdout.startswith("True <study.signals._Stop")


def test_who_ends_at_once_leaves_nothing_behind() -> None:
    """Where work does not hear the interrupt, what was started is ended with it, whatever else fails then."""
    script = (
        "import os, signal, subprocess, sys, time; from study import signals; signals.STOP_SECONDS = 0.2\n"
        "child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "signals.left_behind += [lambda: 1 / 0, child.kill]\n"
        "with signals.interruptible():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except KeyboardInterrupt:\n"
        "        time.sleep(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert_ended_in_words(done.stderr)
    child = Path("/proc", done.stdout.strip(), "cmdline")
    deadline = time.monotonic() + 5
    while child.exists() and child.read_bytes() and time.monotonic() < deadline:  # A zombie has no command.
        time.sleep(0.05)
    assert not child.exists() or not child.read_bytes()


def test_what_was_interrupted_while_it_was_made_is_no_word_to_the_user() -> None:
    """Python tells on standard error what it cannot raise, as where a library's object lacks what its end needs."""
    script = (
        "import os, signal; from study import signals\n"
        "class Half:\n"
        "    def __del__(self):\n"
        "        del self.never_set\n"
        "def make():\n"
        "    half = Half()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "with signals.interruptible():\n"
        "    try:\n"
        "        make()\n"
        "    except KeyboardInterrupt:\n"
        "        signals.say_how_to_go_on()\n"
        "signals.leave(signals.STATUS)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "\nstopped; the same command goes on\n"


def test_an_error_without_an_interrupt_keeps_its_traceback() -> None:
    """It is a fault of ours."""
    done = launch(0)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_end_begins_once_however_many_threads_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the one that sends a signal and the main thread, which hears it, do at the same moment."""
    stop, begun = _Stop(), list[int]()

    def begin() -> None:
        begun.append(1)
        time.sleep(0.05)

    monkeypatch.setattr(stop._lingering, "start", begin)
    threads = [threading.Thread(target=stop.linger) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun == [1]
    assert stop.asked


LIBRARY = """
import ctypes, os, signal, time
from study.signals import keeps_answer_to_sigterm
signal.signal(signal.SIGTERM, lambda *_: print("answered"))
with keeps_answer_to_sigterm():
    ctypes.CDLL(None).signal(signal.SIGTERM, 0)  # as the end of Ray's core does
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
print("ended in order")
"""


def test_a_signal_that_a_library_gives_back_to_the_system_is_answered() -> None:
    """Of the main thread alone Python would take it back, which is in the library all the while."""
    done = subprocess.run([sys.executable, "-c", LIBRARY], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "answered\nended in order\n"), done.stderr


def test_a_signal_that_the_system_answered_before_is_left_to_it() -> None:
    """As in a program that runs a study and has no answer of its own."""
    script = "from study.signals import keeps_answer_to_sigterm as keeps\nwith keeps():\n    pass"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_launch_in_a_thread_is_interrupted_there() -> None:
    """Whoever runs it, as a server in its main thread, goes on."""
    heard, started = [], threading.Event()

    def run() -> None:
        try:
            started.set()
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            heard.append(threading.current_thread())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    signals.interrupt(thread)
    thread.join(10)
    assert heard == [thread]
