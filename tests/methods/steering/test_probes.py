"""Probes over groups: leaks, shuffles and words."""

import pytest
import torch

from pressrun.methods.steering import lexical_baseline, probe


def test_a_label_that_is_there_is_read_and_a_shuffled_one_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 2
    x = torch.randn(120, 10, generator=generator)
    x[:, 3] += 3.0 * y
    report = probe(x, y)
    assert report.auc > 0.95
    assert report.accuracy > 0.85
    assert report.interval[0] <= report.auc <= report.interval[1]
    assert abs(report.shuffled_auc - 0.5) < 0.12
    assert report.scores.shape == (120,)


def test_what_only_names_the_group_is_worth_nothing_on_other_groups() -> None:
    # Each group has a random place in space and one label: rows alone look separable, groups do not.
    generator = torch.Generator().manual_seed(1)
    groups = torch.arange(20).repeat_interleave(6)
    y = groups % 2
    x = 5 * torch.randn(20, 40, generator=generator)[groups] + torch.randn(120, 40, generator=generator)
    assert probe(x, y, shuffles=0).auc > 0.95
    assert probe(x, y, groups.tolist(), shuffles=0).auc < 0.8


def test_copies_of_a_row_in_one_group_do_not_narrow_the_interval() -> None:
    generator = torch.Generator().manual_seed(2)
    y = torch.arange(40) % 2
    x = torch.randn(40, 3, generator=generator)
    x[:, 0] += y
    copied = torch.arange(40).repeat_interleave(10)
    once, tenfold = probe(x, y, shuffles=0).interval, probe(x[copied], y[copied], copied.tolist(), shuffles=0).interval
    # Counted as rows, ten times the data would be narrower by √10.
    assert tenfold[1] - tenfold[0] > 0.6 * (once[1] - once[0])


def test_components_are_cut_to_what_a_training_part_has() -> None:
    x = torch.randn(20, 50, generator=torch.Generator().manual_seed(3))
    x[::2] += 5.0
    y = (torch.arange(20) % 2 == 0).long()
    assert probe(x, y, components=128, shuffles=0).auc == 1.0


def test_words_tell_texts_apart_that_differ_in_a_word_and_not_minimal_pairs_of_order() -> None:
    glad = [f"The {thing} was good" for thing in ("cat", "dog", "hen", "pig", "cow")]
    sad = [text.replace("good", "bad") for text in glad]
    y = torch.tensor([1] * 5 + [0] * 5)
    assert lexical_baseline(glad + sad, y).auc == 1.0
    turned = [f"{b} follows {a}" for a, b in (("cat", "dog"), ("hen", "pig"), ("cow", "ox"), ("fox", "owl"), ("bee", "ant"))]
    straight = [" ".join(reversed(text.split())) for text in turned]
    assert lexical_baseline(turned + straight, y, [*range(5), *range(5)]).auc == 0.5


def test_characters_see_what_words_do_not() -> None:
    texts = [f"{stem}ing" for stem in ("walk", "jump", "sing", "read", "cook")] + [
        f"{stem}ed" for stem in ("pick", "open", "wash", "talk", "lift")
    ]
    y = torch.tensor([1] * 5 + [0] * 5)
    assert lexical_baseline(texts, y, by="characters").auc == 1.0
    assert lexical_baseline(texts, y, by="words").auc == 0.5


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="5 folds need 5 groups or more, got 2"):
        probe(torch.randn(8, 2), torch.arange(8) % 2, ["a", "b"] * 4)


def test_one_label_is_refused() -> None:
    with pytest.raises(ValueError, match="Labels must be 0 and 1, both present"):
        probe(torch.randn(8, 2), torch.ones(8))
