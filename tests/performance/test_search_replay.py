"""What the benchmark of the search says of trainings whose outcomes are known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import search_replay
from search_replay import Configuration, choose_by_halving, choose_by_rounds, correlate, group_lines, replay

RANDOM = (0.37, 0.12, 0.91, 0.55, 0.73, 0.02, 0.64, 0.28, 0.83, 0.46, 0.19, 0.99)


def make_configurations(lie: bool = False) -> list[Configuration]:
    """Return twelve configurations that are the better the lower their rate; a long training's start may say else."""
    found = []
    for place in RANDOM:
        end = 100 + 10 * place
        start = [200 - end if lie else end] * 11
        curves = {2: [end + 5] * 2, 4: [end + 3] * 4, 12: [*start, end]}
        found.append(Configuration(0.0003 * 100**place, 0.5 + 0.5 * place, 3 ** (2 * place - 1), curves))
    return found


def test_a_long_training_that_is_looked_at_early_may_lie_where_a_short_one_does_not() -> None:
    """Kendall's tau is -1 where all pairs are the other way round."""
    for found, epochs in zip(correlate(make_configurations(lie=True)), (2, 4), strict=True):
        assert found == pytest.approx((epochs, -1.0, 1.0))


def test_rounds_choose_the_best_and_count_their_epochs() -> None:
    """Twelve for 2 epochs, four for 4, three for 12."""
    place, spent = choose_by_rounds(make_configurations())
    assert (RANDOM[place], spent) == (min(RANDOM), 12 * 2 + 4 * 4 + 3 * 12)


def test_halving_lets_the_first_pass_and_stops_what_starts_badly() -> None:
    """The first alone trains to its end where each later one starts worse: it goes by those that came before."""
    best_first = sorted(make_configurations(), key=lambda each: each.final)
    place, spent = choose_by_halving(best_first, 1_000)
    assert (place, spent) == (0, 12 + 11 * 2)
    place, spent = choose_by_halving(best_first[::-1], 12 * 12)
    assert (place, spent) == (11, 12 * 12)
    assert choose_by_halving(best_first[::-1], 30)[0] == 1
    lied_to, _ = choose_by_halving(sorted(make_configurations(lie=True), key=lambda each: each.final), 60)
    assert lied_to == 0


def test_a_training_that_diverged_has_reached_nothing() -> None:
    """A curve that ends early is none."""
    assert Configuration(0.01, 1, 1, {2: [5.0], 4: [1.0] * 4}).reach(2) == math.inf


@pytest.mark.parametrize("sampler", ["random", "multivariate_tpe"])
def test_a_replayed_search_is_the_better_the_longer_it_is(sampler: str) -> None:
    """Regret is that of the chosen one's end over the best end, and falls with the trials."""
    configurations = make_configurations()
    regrets = [
        sum(replay(configurations, "model_4", 10, sampler, trials, seed) for seed in range(3)) for trials in (2, 24)
    ]
    assert 0 <= regrets[1] < regrets[0]


@pytest.mark.slow
def test_trainings_are_recorded_once_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three configurations of digits for 2, 3 and 9 epochs; a second call finds nothing left to train."""
    file = tmp_path / "lines.jsonl"
    command = ["record", "--architecture", "unpool_only", "--dataset", "digits", "--epochs", "9"]
    for trainings in ("2", "3", "3"):
        assert search_replay.main([*command, "--trainings", trainings, "--file", str(file)]) == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["number"], line["epochs"]) for line in lines] == [(n, e) for n in (1, 2, 3) for e in (2, 3, 9)]
    assert all(len(line["curve"]) == line["epochs"] for line in lines)
    assert len(group_lines(lines[:-1])) == 2
    assert search_replay.main(["replay", str(file), "--seeds", "1", "--lengths", "2", "--samplers", "random"]) == 0
    said = capsys.readouterr().out
    assert "unpool_only, code size 10: 3 configurations, recipe modern" in said
    assert "| rounds | 42 |" in said
    assert "| random |" in said


@pytest.mark.parametrize("cell", ["model_2", "model_4", "model_5"])
def test_the_protocol_shows_what_the_kept_trainings_say(cell: str) -> None:
    """Correlations, and whom rounds and asynchronous halving choose; of 60 configurations, three lengths each."""
    root = Path(search_replay.__file__).resolve().parents[1]
    lines = search_replay.read_lines(root / "benchmarks" / "search_trainings" / f"{cell}.jsonl")
    configurations = group_lines(lines)
    assert len(configurations) == 60
    finals = np.array([each.final for each in configurations])
    cells = []
    for place, spent in (choice := choose_by_rounds(configurations), choose_by_halving(configurations, choice[1])):
        rank = 1 + int((finals < finals[place]).sum())
        cells.append(f"{finals[place]:.2f}, place {rank}, {spent} epochs")
    shown = (root / "docs" / "protocol.md").read_text(encoding="utf-8")
    for epochs, looked_at, short in correlate(configurations):
        chosen = f" {cells[0]} | {cells[1]} |" if epochs == 5 else " | |"
        assert f"| `{cell}-code10` | {epochs} | {looked_at:.2f} | {short:.2f} |{chosen}\n" in shown
