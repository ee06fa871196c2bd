"""Whatever reads foreign text takes some thousand mutated inputs; `make fuzz` gives it minutes of them."""

from __future__ import annotations

import pytest
from fuzz.readers import TARGETS, inputs, tried

COUNT = 250


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_reader_keeps_its_promises(name: str) -> None:
    target = TARGETS[name]
    wrong = {repr(data): said for data in inputs(name, COUNT, seed=1) if (said := tried(target, data))}
    assert not wrong


def test_the_whole_inputs_are_read() -> None:
    """Or the mutated ones would all end at the first line."""
    for target in TARGETS.values():
        for seed in target.seeds:
            assert tried(target, seed) == ""
