"""Sites are values."""

from __future__ import annotations

import pytest

from pressrun.methods import activations as act


def test_a_site_is_a_value_that_says_what_it_is() -> None:
    assert act.residual[12] == act.residual[12]
    assert len({act.head[4, 2], act.head[4, 2], act.head[4, [2]]}) == 2
    assert str(act.residual.before[0] | act.head[4, [0, 3]] | act.residual[3:9]) == (
        "act.residual.before[0] | act.head[4, [0, 3]] | act.residual[[3, 4, 5, 6, 7, 8]]"
    )
    assert str(act.module("encoder.conv2", "input")) == 'act.module("encoder.conv2", "input")'


def test_iterating_gives_single_ones() -> None:
    assert list(act.head[0:2, [0, 3]]) == [act.head[0, 0], act.head[0, 3], act.head[1, 0], act.head[1, 3]]
    assert list(act.residual[2:4] | act.mlp[1]) == [act.residual[2], act.residual[3], act.mlp[1]]
    assert len(act.residual[2:4] | act.mlp[1]) == 3


def test_joining_keeps_the_order_and_drops_repetitions() -> None:
    assert (act.mlp[1] | act.residual[0] | act.mlp[1]).parts == (act.mlp[1], act.residual[0])
    assert (act.logits | (act.mlp[1] | act.logits)).parts == (act.logits, act.mlp[1])


def test_a_network_closes_open_ends_and_counts_from_the_back(llama: act.Model) -> None:
    assert llama.sites(act.residual[1:]) == [act.residual[1], act.residual[2]]
    assert llama.sites(act.residual[::2] | act.mlp[-1]) == [act.residual[0], act.residual[2], act.mlp[2]]
    assert llama.sites(act.head[-1, [0, 1]]) == [act.head[2, [0, 1]]]


def test_all_units_are_no_units() -> None:
    assert act.head[4, :] == act.head[4]


def test_it_refuses_what_is_no_index() -> None:
    with pytest.raises(ValueError, match=r"act.residual\[1:\] has an open end that only a model knows: iterate over lm.sites"):
        list(act.residual[1:])
    with pytest.raises(TypeError, match=r"the layer of act.head is an int, a slice or a list of ints, got 'four'"):
        act.head["four"]  # type: ignore[index]
    with pytest.raises(ValueError, match=r"the second index of act.head is an empty list; name at least one"):
        act.head[1, []]
    with pytest.raises(TypeError, match=r"act.head takes a layer, or a layer and units, got 3 indices"):
        act.head[1, 2, 3]  # type: ignore[index]
    with pytest.raises(ValueError, match='the side of a module is "input" or "output", got \'middle\''):
        act.module("x", "middle")
