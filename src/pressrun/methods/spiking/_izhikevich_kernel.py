"""The loop of `izhikevich` and `SpikingReservoir` compiled for a CPU; imported only where numba is installed.

The operations come in the order of `izhikevich.advance`, none is fused or reordered, so that both give the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._compiled import compiled

__all__ = ["simulate"]


def _simulate(
    x: NDArray[np.floating],
    weight_t: NDArray[np.floating],
    abcd: NDArray[np.floating],
    constants: NDArray[np.floating],
    v: NDArray[np.floating],
    u: NDArray[np.floating],
    current: NDArray[np.floating],
    spikes: NDArray[np.floating],
) -> None:
    """All steps of x, (T, B, N), written to `spikes`; v, u and the synaptic current, (B, N), are left as after the last step.

    `weight_t` is (from, to), with no rows where neurons are not connected. `abcd` is (4, N). `constants` are those of
    `izhikevich.CONSTANTS`, the peak, the step, half of it, and the factor by which the synaptic current decays in a step.
    """
    square, linear, offset, cap = constants[0], constants[1], constants[2], constants[3]
    peak, step, half, decay = constants[4], constants[5], constants[6], constants[7]
    a, b, c, d = abcd[0], abcd[1], abcd[2], abcd[3]
    fired = np.empty(x.shape[2], np.int64)
    delivered = np.empty_like(current[0])
    for t in range(x.shape[0]):
        for row in range(x.shape[1]):
            x_, v_, u_, current_, spikes_ = x[t, row], v[row], u[row], current[row], spikes[t, row]
            for i in range(x.shape[2]):
                total, p, q = x_[i] + current_[i], v_[i], u_[i]
                p = min(p, cap)
                p = p + (square * p * p + linear * p + offset - q + total) * half
                p = min(p, cap)
                p = p + (square * p * p + linear * p + offset - q + total) * half
                q = q + (b[i] * p - q) * a[i] * step
                spiked = p >= peak
                v_[i] = c[i] if spiked else p
                u_[i] = q + d[i] if spiked else q
                spikes_[i] = 1.0 if spiked else 0.0
                current_[i] = current_[i] * decay
            if len(weight_t):
                count = 0
                for i in range(x.shape[2]):
                    if spikes_[i] > 0:
                        fired[count] = i
                        count += 1
                # Whole rows: at 10 % connections, adding zeros to neighbours is faster than finding the targets. And apart from
                # the current, so that the weights, which add exactly, are rounded once.
                for k in range(count):
                    weights = weight_t[fired[k]]
                    if k == 0:
                        delivered[:] = weights
                    else:
                        for i in range(x.shape[2]):
                            delivered[i] += weights[i]
                if count:
                    for i in range(x.shape[2]):
                        current_[i] += delivered[i]


simulate = compiled(_simulate, error_model="numpy")
