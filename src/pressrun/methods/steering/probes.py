"""Can a label be read off an activation, and could it have been read off the words as well?

Standardising, principal components and the logistic probe are fitted within the training part of each fold, and rows of one group
(a template, a subject) are never on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

__all__ = ["ProbeReport", "lexical_baseline", "probe"]

RESAMPLES = 1000


@dataclass(frozen=True)
class ProbeReport:
    """What a probe achieves on groups it was not trained on.

    `auc` is over the held-out scores of all folds, with a 95 % `interval` from resampling groups; `accuracy` is balanced over the two
    labels; `shuffled_auc` is the mean over refits with shuffled labels (nan where none were asked for); `scores` are the held-out
    probabilities of label 1, (n,).
    """

    auc: float
    interval: tuple[float, float]
    accuracy: float
    shuffled_auc: float
    scores: Tensor


def probe(
    x: Tensor,
    y: Tensor,
    groups: Sequence[object] | None = None,
    *,
    folds: int = 5,
    c: float = 1.0,
    components: int | None = None,
    shuffles: int = 5,
    seed: int = 0,
) -> ProbeReport:
    """Logistic probe on standardised activations, cross-validated over groups.

    Args:
        x: (n, width); y: (n,) of 0 and 1.
        groups: one name a row; rows of a group stay on one side of each split. None: every row by itself.
        folds: how many parts.
        c: inverse of the L2 penalty.
        components: keep that many principal components before the probe, at most what a training part has rows.
        shuffles: how often to refit with shuffled labels.
        seed: of the folds, the shuffles and the interval.
    """
    if x.ndim != 2 or len(x) != len(y):
        raise ValueError(f"x must be (n, width) with one label a row, got x {tuple(x.shape)} and y {tuple(y.shape)}")
    steps: list[Any] = [StandardScaler()]
    if components is not None:
        smallest = len(x) - -(-len(x) // folds)
        steps.append(PCA(min(components, smallest - 1, x.shape[1]), random_state=seed))
    model = make_pipeline(*steps, LogisticRegression(C=c, class_weight="balanced", max_iter=2000))
    return _report(model, x.detach().float().cpu().numpy(), y, groups, folds, shuffles, seed)


def lexical_baseline(
    texts: Sequence[str],
    y: Tensor,
    groups: Sequence[object] | None = None,
    *,
    by: Literal["words", "characters"] = "words",
    folds: int = 5,
    c: float = 1.0,
    shuffles: int = 0,
    seed: int = 0,
) -> ProbeReport:
    """The same probe on counts of words, or of runs of two to four characters: what a representation must beat to be one."""
    if by not in ("words", "characters") or len(texts) != len(y):
        raise ValueError(
            f'by must be "words" or "characters" with one label a text, got {by!r}, {len(texts)} texts, {len(y)} labels'
        )
    words = CountVectorizer(token_pattern=r"(?u)\b\w+\b")  # noqa: S106  # not a password
    characters = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    model = make_pipeline(
        words if by == "words" else characters,
        StandardScaler(with_mean=False),
        LogisticRegression(C=c, class_weight="balanced", max_iter=2000),
    )
    return _report(model, np.asarray(texts, dtype=object), y, groups, folds, shuffles, seed)


def _report(
    model: Pipeline, x: NDArray[Any], y: Tensor, groups: Sequence[object] | None, folds: int, shuffles: int, seed: int
) -> ProbeReport:
    labels = y.cpu().numpy().astype(int)
    names = np.arange(len(labels)) if groups is None else np.unique([repr(g) for g in groups], return_inverse=True)[1]
    if len(names) != len(labels) or set(labels) != {0, 1}:
        raise ValueError(
            f"Labels must be 0 and 1, both present, and one group a row: got {len(labels)} rows, {len(names)} groups"
        )
    if len(set(names)) < folds:
        raise ValueError(f"{folds} folds need {folds} groups or more, got {len(set(names))}")
    rng = np.random.default_rng(seed)
    scores = _held_out(model, x, labels, names, folds, seed)
    chance = []
    for _ in range(shuffles):
        mixed = rng.permutation(labels)
        chance.append(roc_auc_score(mixed, _held_out(model, x, mixed, names, folds, seed)))
    return ProbeReport(
        auc=float(roc_auc_score(labels, scores)),
        interval=_interval(scores, labels, names, rng),
        accuracy=float(((scores > 0.5)[labels == 1].mean() + (scores <= 0.5)[labels == 0].mean()) / 2),
        shuffled_auc=float(np.mean(chance)) if chance else float("nan"),
        scores=torch.from_numpy(scores),
    )


def _held_out(
    model: Pipeline, x: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any], folds: int, seed: int
) -> NDArray[np.float64]:
    """(n,): the probability of label 1 of each row, by the probe that did not see its group."""
    scores = np.empty(len(labels))
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(x, labels, groups):
        if len(set(labels[train])) < 2:
            raise ValueError("A training part holds one label only: use fewer folds, or groups that mix the labels")
        scores[test] = clone(model).fit(x[train], labels[train]).predict_proba(x[test])[:, 1]
    return scores


def _interval(
    scores: NDArray[np.float64], labels: NDArray[Any], groups: NDArray[Any], rng: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval of the area under the curve, resampling whole groups."""
    members = np.unique(groups, return_inverse=True)[1]
    weight = rng.multinomial(members.max() + 1, np.full(members.max() + 1, 1 / (members.max() + 1)), RESAMPLES)[:, members]
    ones, zeros = labels == 1, labels == 0
    wins = np.sign(scores[ones][:, None] - scores[zeros]) / 2 + 0.5
    pairs = weight[:, ones].sum(1) * weight[:, zeros].sum(1)
    areas = np.einsum("bi,ij,bj->b", weight[:, ones], wins, weight[:, zeros], optimize=True)[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)
