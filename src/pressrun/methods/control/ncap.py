"""A locomotion circuit of the worm C. elegans as a small network that swims untrained.

N. X. Bhattasali, A. M. Zador, T. A. Engel, "Neural circuit architectural priors for embodied control", NeurIPS 2022,
arXiv:2201.05242, and its authors' code. A head oscillator starts a bend; in every segment a dorsal and a ventral B-neuron feel the
bend of the segment before (proprioception), excite the muscle of their own side and inhibit that of the other. With d and v the dorsal
and ventral part of the joint angles, g clipping to [0, 1], o the oscillator, and weights e (excitatory) and i (inhibitory):

    b_d[j] = g(e_prop d[j-1] + [j = 0] e_osc o_d + i_speed (1 - speed) + [j < turning] e_turn right)        b_v likewise
    m_d[j] = g(e_ipsi b_d[j] + i_contra b_v[j])      torque[j] = m_d[j] - m_v[j]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["NCAPSwimmer", "excitatory", "graded", "inhibitory", "square_wave"]


def excitatory(weight: Tensor) -> Tensor:
    """The weight where it is positive, else 0. The gradient is 0 where it is clamped: with gradients, project after each step instead."""
    return weight.clamp(min=0)


def inhibitory(weight: Tensor) -> Tensor:
    """The weight where it is negative, else 0; see `excitatory`."""
    return weight.clamp(max=0)


def graded(potential: Tensor) -> Tensor:
    """A neuron whose rate is its potential, clipped to [0, 1]."""
    return potential.clamp(0, 1)


def square_wave(timestep: Tensor, period: int) -> tuple[Tensor, Tensor]:
    """The two halves of the head oscillator: (1, 0) for the first period // 2 steps of each period, then (0, 1).

    Raises:
        ValueError: if period is below 2.
    """
    if period < 2:
        raise ValueError(f"period must be at least 2 steps, got {period}")
    dorsal = (timestep % period < period // 2).to(torch.get_default_dtype())
    return dorsal, 1 - dorsal


class NCAPSwimmer(nn.Module):
    """Joint angles to torques by the circuit; four weights in all when they are shared and it only swims.

    The module keeps no time: give the step of the episode with each call. Parameters are `prop`, `osc`, `ipsi`, `contra` and, when
    asked for, `speed` and `turn`, shaped (1, 1) when shared and (sides, joints) otherwise. They broadcast: with
    `torch.func.functional_call` and parameters of (P, 1, 1), P circuits drive P bodies, joint_pos (P, n), in one call.

    Args:
        n_joints: joints of the body, head first.
        n_turn_joints: joints from the head that a turn signal reaches.
        oscillator_period: control steps.
        shared: the same weights along the body and on both sides.
        signed: excitatory weights count where they are positive, inhibitory ones where negative. Without it all are used as they are.
        init: "constant", +1 and -1; or "uniform", in [0, 1] and [-1, 0]. Without `signed`: +1 or -1 at random, or in [-1, 1].
        proprioception, oscillator: False cuts that input.
        speed, turn: whether those commands are wired in.
        generator: of the initial weights.

    Raises:
        ValueError: if n_joints or n_turn_joints is below 1, the period below 2, or init is unknown.
    """

    def __init__(
        self,
        n_joints: int,
        *,
        n_turn_joints: int = 1,
        oscillator_period: int = 60,
        shared: bool = True,
        signed: bool = True,
        init: str = "constant",
        proprioception: bool = True,
        oscillator: bool = True,
        speed: bool = False,
        turn: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if n_joints < 1 or n_turn_joints < 1:
            raise ValueError(f"n_joints and n_turn_joints must be at least 1, got {n_joints} and {n_turn_joints}")
        if oscillator_period < 2:
            raise ValueError(f"oscillator_period must be at least 2 steps, got {oscillator_period}")
        if init not in ("constant", "uniform"):
            raise ValueError(f'init must be "constant" or "uniform", got {init!r}')
        self.n_joints, self.n_turn_joints, self.oscillator_period = n_joints, n_turn_joints, oscillator_period
        self.signed, self.proprioception, self.oscillator = signed, proprioception, oscillator
        signs = {"prop": 1, "osc": 1, "ipsi": 1, "contra": -1} | ({"speed": -1} if speed else {}) | ({"turn": 1} if turn else {})
        joints = {"prop": n_joints - 1, "osc": 1, "turn": min(n_turn_joints, n_joints)}
        for name, sign in signs.items():
            shape = (1, 1) if shared else (2, joints.get(name, n_joints))
            self.register_parameter(name, nn.Parameter(_initial(shape, sign, signed, init, generator)))

    def forward(
        self,
        joint_pos: Tensor,
        timestep: Tensor | int,
        *,
        right: Tensor | float = 0.0,
        left: Tensor | float = 0.0,
        speed: Tensor | float = 1.0,
    ) -> Tensor:
        """Torques in [-1, 1].

        Args:
            joint_pos: (..., n_joints), angles in units of their limit; what lies outside [-1, 1] is clipped.
            timestep: control steps since the episode began; a number, or (...).
            right, left: turn commands in [0, 1], numbers or (...); used when `turn` was wired in.
            speed: 1 for full speed, 0 to halt; used when `speed` was wired in.

        Returns:
            (..., n_joints).

        Raises:
            ValueError: if joint_pos has another number of joints.
        """
        if joint_pos.shape[-1:] != (self.n_joints,):
            raise ValueError(f"joint_pos must be (..., {self.n_joints}), got {tuple(joint_pos.shape)}")
        sides = graded(torch.stack([joint_pos, -joint_pos], dim=-2))  # (..., 2, n), dorsal and ventral
        neurons = torch.zeros_like(sides)
        if self.proprioception:
            neurons[..., 1:] += self._weight("prop", 1) * sides[..., :-1]
        if self.oscillator:
            wave = torch.stack(square_wave(torch.as_tensor(timestep, device=joint_pos.device), self.oscillator_period), dim=-1)
            neurons[..., :1] += self._weight("osc", 1) * wave.to(sides).unsqueeze(-1)
        if hasattr(self, "speed"):
            halt = 1 - torch.as_tensor(speed, dtype=sides.dtype, device=sides.device)
            neurons += self._weight("speed", -1) * halt[..., None, None]
        if hasattr(self, "turn"):
            command = torch.stack([_like(right, sides), _like(left, sides)], dim=-1)
            neurons[..., : self.n_turn_joints] += self._weight("turn", 1) * command.unsqueeze(-1)
        neurons = graded(neurons)
        muscles = graded(self._weight("ipsi", 1) * neurons + self._weight("contra", -1) * neurons.flip(-2))
        return muscles[..., 0, :] - muscles[..., 1, :]

    def _weight(self, name: str, sign: int) -> Tensor:
        weight: Tensor = getattr(self, name)
        if not self.signed:
            return weight
        return excitatory(weight) if sign > 0 else inhibitory(weight)

    def extra_repr(self) -> str:
        return f"n_joints={self.n_joints}, oscillator_period={self.oscillator_period}, signed={self.signed}"


def _initial(shape: tuple[int, int], sign: int, signed: bool, init: str, generator: torch.Generator | None) -> Tensor:
    uniform = torch.rand(shape, generator=generator)
    if signed:
        return sign * (torch.ones(shape) if init == "constant" else uniform)
    return torch.where(uniform < 0.5, -1.0, 1.0) if init == "constant" else 2 * uniform - 1


def _like(command: Tensor | float, sides: Tensor) -> Tensor:
    """A command for every body: (...), of the kind of `sides` (..., 2, n)."""
    return torch.as_tensor(command, dtype=sides.dtype, device=sides.device).expand(sides.shape[:-2])
