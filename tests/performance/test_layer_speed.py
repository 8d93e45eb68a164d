"""The benchmark of layers compares like with like."""

from __future__ import annotations

import layer_speed
import pytest
import torch


@pytest.mark.parametrize("name", [row[0] for row in layer_speed.LAYERS])
def test_both_forms_of_a_layer_compute_the_same(name: str) -> None:
    """What is timed as stock and as ours has the same values."""
    _, stock, ours, (maps, side), shape = next(row for row in layer_speed.LAYERS if row[0] == name)
    generator = torch.Generator().manual_seed(0)
    data, weight = torch.randn(2, maps, side, side, generator=generator), torch.randn(shape, generator=generator)
    bias = torch.zeros(layer_speed.out_maps(stock, shape))
    torch.testing.assert_close(ours(data, weight, bias), stock(data, weight, bias), rtol=1e-4, atol=1e-3)


def test_a_line_a_layer_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with both times and their ratio."""
    monkeypatch.setattr(layer_speed, "REPETITIONS", 1)
    monkeypatch.setattr(layer_speed, "BATCH", 2)
    layer_speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("   ")[0].strip() for line in lines[1:]] == [row[0] for row in layer_speed.LAYERS]
