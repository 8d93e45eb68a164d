"""Processes that draw end with the one that began them, however it ends, and Ctrl-C does not concern them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.launches import children

# A shell's background jobs ignore Ctrl-C, and what they start inherits that; a terminal's own do not.
CODE = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from analysis.workers import drawing_processes
with drawing_processes():
    time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_and_none_says_a_word(sent: signal.Signals) -> None:
    """Also where the signal goes to all of them, as a terminal sends Ctrl-C."""
    parent = subprocess.Popen([sys.executable, "-c", CODE], stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (drawing := [pid for pid, command in children(parent.pid).items() if "LokyProcess" in command]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(parent.pid, sent) if sent == signal.SIGINT else parent.send_signal(sent)
    _, said = parent.communicate(timeout=30)
    assert said.count("Traceback") == (1 if sent == signal.SIGINT else 0), said
    while any(os.path.exists(f"/proc/{pid}") for pid in drawing):
        assert time.monotonic() < deadline
        time.sleep(0.1)
