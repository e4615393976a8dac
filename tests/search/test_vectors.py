"""Vectors on disk, the nearest of them, and where they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pressrun.search import vectors as vectors_module
from pressrun.search.encoder import minilm
from pressrun.search.fusion import fuse, telling_stems, title_overlap
from pressrun.search.linear import LinearMap
from pressrun.search.vectors import VectorFiles, Vectors


def directions(count: int, seed: int = 0) -> NDArray[np.float32]:
    found = np.random.default_rng(seed).standard_normal((count, 384)).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@pytest.fixture
def files(tmp_path: Path) -> VectorFiles:
    return VectorFiles(tmp_path)


def test_a_vector_comes_back_within_the_precision_of_int8(files: VectorFiles, tmp_path: Path) -> None:
    written = directions(20)
    files.put(np.arange(3, 23), written, 2)
    view = Vectors(tmp_path)
    for row, vector in enumerate(written, 3):
        found = view.vector(row)
        assert found is not None
        assert float(found @ vector) > 0.9999
    assert view.vector(0) is None
    assert view.vector(99) is None


def test_a_row_without_a_vector_has_no_cosine_and_is_never_near(files: VectorFiles, tmp_path: Path) -> None:
    written = directions(2)
    files.grow(5)
    files.put(np.array([1, 4]), written, 1)
    view = Vectors(tmp_path)
    assert np.isnan(view.cosines(written[0], np.array([0, 1, 2, 3, 4, 50]))).tolist() == [True, False, True, True, False, True]
    rows, cosines = view.nearest(written[1], 10)
    assert rows.tolist() == [4, 1]
    assert cosines[0] == pytest.approx(1, abs=1e-3)


def test_nearest_can_be_asked_among_some_rows(files: VectorFiles, tmp_path: Path) -> None:
    written = directions(50)
    files.put(np.arange(50), written, 3)
    rows, _ = Vectors(tmp_path).nearest(written[7], 2, among=np.array([3, 5, 99]))
    assert set(rows.tolist()) == {3, 5}


def test_signs_and_lists_find_nearly_what_looking_at_every_vector_finds(
    files: VectorFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    centres = directions(40, seed=1)
    spread = centres[np.random.default_rng(2).integers(0, 40, 12_000)] + 0.06 * np.random.default_rng(3).standard_normal(
        (12_000, 384)
    )
    written = (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)
    files.put(np.arange(12_000), written, 3)
    exact = np.argsort(-(written @ written[5]))[:20]
    by_signs, _ = Vectors(tmp_path).nearest(written[5], 20)
    assert len(set(by_signs.tolist()) & set(exact.tolist())) >= 18
    monkeypatch.setattr(vectors_module, "WITHOUT_LISTS", 5000)
    files.arrange(changed=0)
    view = Vectors(tmp_path)
    assert view.lists == 219
    by_lists, _ = view.nearest(written[5], 20)
    assert len(set(by_lists.tolist()) & set(exact.tolist())) >= 16


def test_rows_that_come_after_the_lists_are_found_and_folded_in(
    files: VectorFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors_module, "WITHOUT_LISTS", 1000)
    written = directions(1700)
    files.put(np.arange(1100), written[:1100], 3)
    files.arrange(changed=0)
    first = Vectors(tmp_path)
    assert first.lists == 66
    files.put(np.arange(1100, 1700), written[1100:], 3)
    assert not first.is_current
    view = Vectors(tmp_path)
    assert view.nearest(written[1650], 1)[0].tolist() == [1650]
    called: list[bool] = []
    files.arrange(changed=0, done=lambda: called.append(True))
    assert called == [True]
    assert Vectors(tmp_path).lists == 82
    assert Vectors(tmp_path).nearest(written[1650], 1)[0].tolist() == [1650]
    assert [one.name for one in tmp_path.glob("lists-*")] == ["lists-2"]


def test_what_waits_comes_in_the_order_of_its_priority(files: VectorFiles) -> None:
    files.grow(5)
    files.rank(0, np.array([10, 30, 20, 30, 5], np.int32))
    files.drop(np.array([4]))
    files.put(np.array([2]), directions(1), 3)
    assert files.waiting(3).tolist() == [3, 1, 0]
    assert files.at_least(3).tolist() == [2]


def test_a_linear_map_learns_which_words_point_where() -> None:
    subjects = {"neurons spike in layers": 0, "language models refuse": 1, "electric motors turn": 2}
    aims = directions(3)
    texts = [(subject, f"{subject} number {number}") for number in range(20) for subject in subjects]
    fitted = LinearMap.fit(texts, np.array([aims[subjects[title]] for title, _ in texts]))
    found = fitted.vectors([("", "models that refuse language"), ("motors", "")])
    assert (found @ aims.T).argmax(axis=1).tolist() == [1, 2]
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_saved_map_says_the_same(tmp_path: Path) -> None:
    texts = [(f"word{number}", "neurons") for number in range(20)]
    fitted = LinearMap.fit(texts, directions(20))
    fitted.save(tmp_path / "linear.npz")
    again = LinearMap.load(tmp_path / "linear.npz").vectors(texts[:3])
    assert (again * fitted.vectors(texts[:3])).sum(axis=1) == pytest.approx(1, abs=1e-3)


def test_the_model_puts_like_meanings_together() -> None:
    texts = ["treatment of a heart attack", "therapy after myocardial infarction", "speed control of an electric motor"]
    vectors = minilm().encode(texts)
    assert vectors.shape == (3, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > 0.3 > vectors[0] @ vectors[2]


def test_the_model_reads_any_text() -> None:
    vectors = minilm().encode(["", "🙂", "x" * 100_000, "漢字", "\ud800", "\x00"])
    assert np.isfinite(vectors).all()


def test_fusion_adds_what_words_and_meaning_say() -> None:
    bm25 = np.array([10, 5, 0, 5], np.float32)
    cosines = np.array([0.2, 0.6, 0.4, np.nan], np.float32)
    # All on the top rung (weight 2): the median of .2, .6, .4 is .4; the last is not embedded, so words alone count.
    found = fuse(bm25, cosines, np.array([3, 3, 3, 0], np.uint8), best=10.0)
    assert found == pytest.approx([1 + 2 * -0.2, 0.5 + 2 * 0.2, 0.0, 0.5])


def test_a_title_that_was_typed_overlaps_wholly() -> None:
    title, longer, other = telling_stems(["The Sparse Coding of Images", "Sparse coding of many natural images", "Motors"])
    assert title == {"spars", "code", "imag"}
    assert title_overlap(title, title, lambda _: 1.0) == 1.0
    # Three of three and three of five stems: 2 * 3 / (3 + 5) = 3/4, cubed. "Many" tells little but is no stop word.
    assert title_overlap(title, longer, lambda _: 1.0) == pytest.approx(0.421875)
    assert title_overlap(title, other, lambda _: 1.0) == 0.0
