"""The event-wise update of `PairSTDP`, compiled by numba: it touches rows and columns of spiking neurons and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._compiled import compiled

Floats = NDArray[np.floating[Any]]


def _update(
    weight: Floats,  # (n_post, n_pre)
    pre: NDArray[Any],  # (T, B, n_pre)
    post: NDArray[Any],  # (T, B, n_post)
    early: Floats,  # (B, n_pre), traces
    late: Floats,  # (B, n_post)
    decay: NDArray[np.float64],  # (T, 2)
    potentiation: float,
    depression: float,
    lowest: float,
    highest: float,
    soft: bool,
    nearest: bool,
    coincident_ltp: bool,
    coincident_ltd: bool,
) -> None:
    steps, trials, n_pre = pre.shape
    n_post = weight.shape[0]
    # In the precision of the weight throughout, as torch does it.
    real = weight.dtype.type
    one, a_plus, a_minus, w_min, w_max = real(1), real(potentiation), real(depression), real(lowest), real(highest)
    firing = np.empty((trials, n_pre), dtype=np.int32)  # who fires before the synapse, trial by trial
    count = np.empty(trials, dtype=np.int32)
    union = np.empty(n_pre, dtype=np.int32)  # who does in any trial
    is_in = np.zeros(n_pre, dtype=np.bool_)
    up = np.empty(n_pre, dtype=weight.dtype)  # sums over the trials, of one row
    down = np.zeros(n_pre, dtype=weight.dtype)
    for t in range(steps):
        fired = 0
        for b in range(trials):
            early[b] *= real(decay[t, 0])
            late[b] *= real(decay[t, 1])
            count[b] = 0
            for i in range(n_pre):
                if pre[t, b, i]:
                    firing[b, count[b]] = i
                    count[b] += 1
                    if not is_in[i]:
                        is_in[i] = True
                        union[fired] = i
                        fired += 1
                    if coincident_ltp:
                        early[b, i] = one if nearest else early[b, i] + one
            if coincident_ltd:
                for j in range(n_post):
                    if post[t, b, j]:
                        late[b, j] = one if nearest else late[b, j] + one
        for j in range(n_post):
            row = weight[j]
            spikes = False
            depressed = False
            for b in range(trials):
                spikes |= bool(post[t, b, j])
            for b in range(trials):
                if late[b, j] != 0:
                    depressed = True
                    if spikes or trials > 1:
                        for k in range(count[b]):
                            down[firing[b, k]] += late[b, j]
            if spikes:
                up[:] = 0
                for b in range(trials):
                    if post[t, b, j]:
                        for i in range(n_pre):
                            up[i] += early[b, i]
                if soft:
                    for i in range(n_pre):
                        w = row[i]
                        row[i] = w + a_plus * (w_max - w) * up[i] - a_minus * (w - w_min) * down[i]
                else:
                    for i in range(n_pre):
                        row[i] = row[i] + a_plus * up[i] - a_minus * down[i]
                for i in range(n_pre):
                    row[i] = min(max(row[i], w_min), w_max)
            elif depressed and trials == 1:
                # The common case needs no sums.
                y = a_minus * late[0, j]
                for k in range(fired):
                    i = union[k]
                    w = row[i]
                    w -= y * (w - w_min) if soft else y
                    row[i] = min(max(w, w_min), w_max)
            elif depressed:
                for k in range(fired):
                    i = union[k]
                    w = row[i]
                    w -= a_minus * down[i] * (w - w_min) if soft else a_minus * down[i]
                    row[i] = min(max(w, w_min), w_max)
            if depressed and (spikes or trials > 1):
                for k in range(fired):
                    down[union[k]] = 0
        for b in range(trials):
            if not coincident_ltp:
                for k in range(count[b]):
                    i = firing[b, k]
                    early[b, i] = one if nearest else early[b, i] + one
            if not coincident_ltd:
                for j in range(n_post):
                    if post[t, b, j]:
                        late[b, j] = one if nearest else late[b, j] + one
        for k in range(fired):
            is_in[union[k]] = False


update = compiled(_update)
