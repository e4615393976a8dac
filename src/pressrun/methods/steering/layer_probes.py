"""In which layer can a label be read, and does a probe still read it off subjects it has never seen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .probes import ProbeReport, probe

__all__ = ["LayerProbe", "NumbersComputed", "probe_layers"]


def probe_layers(
    x: Tensor,
    y: Tensor,
    groups: Sequence[object] | None = None,
    *,
    folds: int = 5,
    c: float = 1.0,
    components: int | None = None,
    shuffles: int = 0,
    seed: int = 0,
) -> list[ProbeReport]:
    """A cross-validated probe a layer (see `probe`), all with the same folds.

    Args:
        x: (layers, n, width), as `seen.stack()` of one token a row gives them.
        y, groups, folds, c, components, shuffles, seed: see `probe`.
    """
    if x.ndim != 3:
        raise ValueError(f"x must be (layers, n, width), got {tuple(x.shape)}")
    return [probe(rows, y, groups, folds=folds, c=c, components=components, shuffles=shuffles, seed=seed) for rows in x]


@dataclass
class LayerProbe:
    """A logistic probe on the activations of one layer, fitted once and asked about others.

    Scaler and principal components are fitted on the same rows as the probe, so nothing of what it is asked about leaks into it.

    Attributes:
        c: inverse of the L2 penalty.
        components: principal components kept before the probe; None keeps all dimensions.
    """

    c: float = 1.0
    components: int | None = None
    _model: Any = field(default=None, repr=False)

    def fit(self, x: Tensor, y: Tensor) -> LayerProbe:
        """Learn from x, (n, width), and labels 0 and 1, (n,)."""
        if x.ndim != 2 or y.shape != x.shape[:1] or set(y.tolist()) != {0, 1}:
            raise ValueError(
                f"x must be (n, width) with labels 0 and 1, both there, got {tuple(x.shape)} and {sorted(set(y.tolist()))}"
            )
        steps: list[Any] = [StandardScaler()]
        if self.components is not None:
            steps.append(PCA(min(self.components, len(x) - 1, x.shape[1]), random_state=0))
        model = make_pipeline(*steps, LogisticRegression(C=self.c, class_weight="balanced", max_iter=2000))
        self._model = model.fit(x.double().cpu().numpy(), y.cpu().numpy())
        return self

    def predict_proba(self, x: Tensor) -> Tensor:
        """(n,): the probability of label 1 of each row."""
        if self._model is None:
            raise ValueError("This probe has learnt nothing yet: fit it first")
        return torch.from_numpy(self._model.predict_proba(x.double().cpu().numpy())[:, 1])

    def auc(self, x: Tensor, y: Tensor) -> float:
        """The area under the curve on other rows."""
        return float(roc_auc_score(y.cpu().numpy(), self.predict_proba(x).numpy()))


class NumbersComputed(TorchDispatchMode):
    """Counts the numbers that tensor operations write while the context is open: `.total`.

    A price that is the same on every machine, unlike a time. Views write nothing and count nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(  # torch decides what comes here
        self,
        func: Any,  # noqa: ANN401
        types: Any,  # noqa: ANN401
        args: Any = (),  # noqa: ANN401
        kwargs: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        out = func(*args, **(kwargs or {}))
        if not getattr(func, "is_view", False):
            written = out if isinstance(out, tuple | list) else (out,)
            self.total += int(np.sum([each.numel() for each in written if isinstance(each, Tensor)], dtype=np.int64))
        return out
