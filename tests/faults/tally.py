"""Counts the faults that tests meet and prints the table of `make test-faults`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import pytest
from hypothesis import settings

from tests.faults.invariants import Damage


@dataclass
class Count:
    """How often a fault was met, and what it did."""

    tried: int = 0
    lost: int = 0
    duplicated: int = 0
    unreadable: int = 0


class Tally:
    """One row a fault, in the order in which they were met first."""

    def __init__(self) -> None:
        self.counts: dict[str, Count] = {}

    def add(self, fault: str, damage: Damage, tried: int = 1) -> None:
        """Count a fault; a test goes on to assert that there is no damage."""
        count = self.counts.setdefault(fault, Count())
        count.tried += tried
        count.lost += damage.lost
        count.duplicated += damage.duplicated
        count.unreadable += damage.unreadable

    def merge(self, counts: Mapping[str, Sequence[int]]) -> None:
        """Add what another process has counted."""
        for fault, (tried, *damage) in counts.items():
            self.add(fault, Damage(*damage), tried)

    def table(self) -> str:
        """Return the table as Markdown."""
        lines = ["| fault | times tried | lost | duplicated | unreadable |", "|---|--:|--:|--:|--:|"]
        lines += [f"| {fault} | {' | '.join(map(str, astuple(count)))} |" for fault, count in self.counts.items()]
        total = [sum(column) for column in zip(*map(astuple, self.counts.values()), strict=True)]
        return "\n".join([*lines, f"| all | {' | '.join(map(str, total))} |"])


TALLY = pytest.StashKey[Tally]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make test-faults` ask for every fault; `make test` meets a few of each kind."""
    parser.addoption("--every-fault", action="store_true", help="meet every fault, many times, and print the table")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count; properties are tried on more examples when every fault is met."""
    config.stash[TALLY] = Tally()
    if config.getoption("--every-fault"):
        settings.register_profile("every fault", max_examples=2_000)
        settings.load_profile("every fault")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test that is marked with the name of its fault: it asserts by itself that nothing is lost."""
    report = yield
    marker = item.get_closest_marker("fault")
    if marker and marker.args and report.when == "call" and not report.skipped:
        item.config.stash[TALLY].add(marker.args[0], Damage(lost=int(report.failed)))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a process of pytest-xdist to the one that prints the table."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["faults"] = {fault: astuple(count) for fault, count in session.config.stash[TALLY].counts.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of such a process, unless it died."""
    node.config.stash[TALLY].merge(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if config.getoption("--every-fault") and config.stash[TALLY].counts:
        terminalreporter.section("faults")
        terminalreporter.write_line(config.stash[TALLY].table())


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """The counts of this session."""
    return request.config.stash[TALLY]


@pytest.fixture(scope="session")
def every_fault(pytestconfig: pytest.Config) -> bool:
    """Whether to meet every fault many times."""
    return bool(pytestconfig.getoption("--every-fault"))
