"""Ray's Trainable, asked here as Tune asks it, in this process."""

from __future__ import annotations

import faulthandler
from typing import Any

import pytest
import torch

from trainables import trial as trainable
from trainables.data.datasets import load_dataset
from trainables.data.images import Dataset
from trainables.errors import InputError
from trainables.models.architectures import BUILT_IN
from trainables.run_trial import Trial, TrialBatch
from trainables.trial import START_LIMIT, BatchTrainable, TrialError
from trainables.trial_config import RECIPES


def make_batch(*seeds: int) -> TrialBatch:
    """Return a search trial of a small model, two epochs each seed."""
    trial_config = RECIPES["modern"].trial_config(BUILT_IN["model_1"], 2, 2, batch_size=20, filters=(2, 2))
    return TrialBatch("search", BUILT_IN["model_1"], 2, trial_config, tuple(Trial(f"t{seed}", seed) for seed in seeds))


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> BatchTrainable:
    """An actor on the processor that was given its data; nobody watches its time."""
    monkeypatch.setattr(trainable, "find_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)
    made: Any = BatchTrainable.__new__(BatchTrainable)
    made._trial_info = None
    digits = load_dataset("digits")
    dataset = Dataset("digits", digits.training.select(0, 60), 20, digits.test.select(0, 20), "0" * 64)
    made.setup({"batch": make_batch(1)}, dataset, 60.0)
    return made  # type: ignore[no-any-return]


def test_a_step_is_an_epoch_and_the_last_says_that_it_is(actor: BatchTrainable) -> None:
    """Each with its figures."""
    first, second = actor.step(), actor.step()
    assert [step["report"].epoch.epoch for step in (first, second)] == [1, 2]
    assert [first["done"], second["done"]] == [False, True]
    assert first["report"].epoch.validation_cross_entropy > 0


def test_an_actor_is_used_again_and_knows_nothing_of_the_trial_before(actor: BatchTrainable) -> None:
    """In the middle of one, too."""
    actor.step()
    assert actor.reset_config({"batch": make_batch(2)})
    assert [(result["report"].trial_id, result["done"]) for result in (actor.step(), actor.step())] == [
        ("t2", False),
        ("t2", True),
    ]


def test_a_worker_that_hangs_is_ended_from_its_start_on(actor: BatchTrainable, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it gets ready, which may take longer than an epoch, as it is given a trial, and in every step."""
    limits: list[tuple[float, bool]] = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda limit, exit: limits.append((limit, exit)))
    actor.setup({"batch": make_batch(1)}, actor._dataset, 60.0)
    actor.step()
    assert limits == [(START_LIMIT, True), (60.0, True), (60.0, True)]


def test_what_goes_wrong_is_told_in_one_line_with_its_place(
    actor: BatchTrainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was raised, any process can read it."""

    def fails(*_: object) -> Any:
        raise InputError("first line", "second", "third")
        yield

    monkeypatch.setattr(trainable, "run_trial", fails)
    actor.reset_config({"batch": make_batch(1)})
    with pytest.raises(TrialError, match=r"^InputError: first line \(test_trial\.py:\d+\)$"):
        actor.step()
