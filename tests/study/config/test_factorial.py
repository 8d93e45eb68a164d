"""The matched factorial as rows of models."""

from __future__ import annotations

from study.config.factorial import make_factorial
from study.config.presets import study_config
from study.config.search_space import Cell
from study.plan.plan import Plan
from study.plan.rounds import Round, list_rounds
from study.plan.search import CellSearch
from tests.study.plan.test_plan import run_all
from trainables.models.architectures import BUILT_IN, PLAIN, UNPOOL, ConvolutionalAutoencoder
from trainables.models.layers import count_parameters


def test_models_cross_pooling_and_unpooling_and_share_all_else() -> None:
    """Nine and one with switches, each with model 4's parameters; the first is model 4 itself."""
    rows = make_factorial()
    assert len({row.name for row in rows}) == 10
    assert {(row.pooling, row.unpooling) for row in rows} == {
        (pooling, unpooling) for pooling in ("max", "average", "stride") for unpooling in ("corner", "tile", "average")
    } | {("max", "switches")}
    assert {count_parameters(row, 10, row.published_filters) for row in rows} == {341_735}
    base = BUILT_IN["model_4"]
    assert (rows[0].pooling, rows[0].unpooling, rows[0].activation) == (base.pooling, base.unpooling, base.activation)


def test_each_model_is_trained_with_the_best_of_three_rates() -> None:
    """In full, with one validation seed each, at the published filter counts."""
    config = study_config("factorial", epochs=5, dataset="digits", seeds=2)
    assert list_rounds(config) == (Round(3, 5, 3, 1),)
    tried = CellSearch(config, Cell("stride_tile", 10)).suggest(range(3), [])
    assert [(round(each.learning_rate, 6), each.filters) for each in tried.values()] == [
        (rate, (26, 36)) for rate in (0.01, 0.003, 0.03)
    ]
    one = study_config("factorial", architectures=("stride_tile",), dataset="digits", epochs=5, seeds=2)
    taken = run_all(Plan(one, ()), {1: 50.0})
    confirmed = [found for planned, found in taken if planned.phase == "confirm" and found]
    assert [(found.learning_rate, found.pooling, found.unpooling) for found in confirmed] == [
        (0.003, "stride", "tile")
    ] * 2


def test_models_of_ones_own_join_the_factorial() -> None:
    """As they do those of any preset; a row that is there already is no second one."""
    own = ConvolutionalAutoencoder("mine", "Mine", "()", PLAIN, UNPOOL, (8, 4), unpooling="tile")
    config = study_config("factorial", models=(*make_factorial(), own))
    assert config.architectures == (*(row.name for row in make_factorial()), "mine")
    assert config.models == (*make_factorial(), own)
