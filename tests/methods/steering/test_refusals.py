from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods.steering.refusals import distinct_n, phrase_tokens, refusal_rates, set_log_probability


class Words:
    """A tokenizer with one token a word: its length."""

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert add_special_tokens is False
        return {"input_ids": [len(word) for word in text.split()]}


def test_rates_are_those_counted_by_hand() -> None:
    # Restricted: 9 (the refusal), 4. Others: 9 wrongly, 5 right, 6 for 7.
    predicted, answers = torch.tensor([9, 4, 9, 5, 6]), torch.tensor([3, 4, 5, 5, 7])
    restricted = torch.tensor([True, True, False, False, False])
    rates = refusal_rates(predicted, answers, restricted, refuse=9)
    assert rates == (0.5, pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_a_share_of_no_prompts_is_not_a_number() -> None:
    rates = refusal_rates(torch.tensor([1]), torch.tensor([1]), torch.tensor([False]), refuse=9)
    assert math.isnan(rates.refused)
    assert (rates.refused_wrongly, rates.accuracy) == (0.0, 1.0)


def test_rates_need_one_label_a_prompt() -> None:
    with pytest.raises(ValueError, match=r"must be \(n,\), restricted of bools, got \(2,\), \(2,\) and \(1,\)"):
        refusal_rates(torch.zeros(2), torch.zeros(2), torch.tensor([True]), refuse=1)


def test_phrases_give_all_their_pieces_or_the_first_of_each() -> None:
    assert phrase_tokens(Words(), ["I am sorry", "cannot do"]) == [1, 2, 5, 6]
    assert phrase_tokens(Words(), ["I am sorry", "cannot do"], first=True) == [1, 6]


@pytest.mark.parametrize("phrases", [[], ["sorry", ""]])
def test_an_empty_phrase_is_refused(phrases: list[str]) -> None:
    with pytest.raises(ValueError, match="Phrases are needed, and none may be empty"):
        phrase_tokens(Words(), phrases)


def test_the_log_probability_of_a_set_adds_its_tokens() -> None:
    logits = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]).log()
    assert set_log_probability(logits, [0, 1, 1]).exp().tolist() == pytest.approx([0.3, 0.75])
    with pytest.raises(ValueError, match="One token or more is needed"):
        set_log_probability(logits, [])


def test_distinct_pairs_are_counted_over_all_texts() -> None:
    # Pairs: 12 21 12, and 12: two different ones of four.
    assert distinct_n([[1, 2, 1, 2], [1, 2]]) == 0.5
    assert distinct_n([[5, 5, 5, 5, 5]]) == 0.25
    assert math.isnan(distinct_n([[1]]))
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        distinct_n([[1]], 0)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_saying_everything_twice_never_makes_it_more_diverse(tokens: list[int]) -> None:
    assert distinct_n([tokens, tokens]) <= distinct_n([tokens])
