"""Mechanical load on the shaft."""

from __future__ import annotations

from dataclasses import dataclass

from pressrun.methods.control._checks import require_not_negative, require_positive
from pressrun.methods.control._elementwise import Value, clip

__all__ = ["PolynomialLoad"]


@dataclass(frozen=True)
class PolynomialLoad:
    """A load torque that is a polynomial of the speed: T_L = sgn(ω) c ω² + b ω + a sgn(ω) (arXiv:1910.09434, load model).

    Near standstill the constant term is replaced by the line J ω / τ_d, which meets it at |ω| = a τ_d / J: a jump there
    would make every solver chatter.

    Args:
        a: constant friction in Nm.
        b: viscous friction in Nm s.
        c: fan-like friction in Nm s².
        j: inertia of the load in kg m².
        tau_d: time constant τ_d in s of the line near standstill.

    Raises:
        ValueError: if a coefficient is negative, or tau_d not positive.
    """

    a: float = 0.01
    b: float = 0.05
    c: float = 0.0
    j: float = 1e-4
    tau_d: float = 1e-3

    def __post_init__(self) -> None:
        require_not_negative(self, "a", "b", "c", "j")
        require_positive(self, "tau_d")

    def torque(self, omega: Value, inertia: float) -> Value:
        """Load torque in Nm at `omega` rad/s on a shaft of `inertia` kg m² in all (rotor and load)."""
        torque = self.b * omega + clip(inertia / self.tau_d * omega, -self.a, self.a)
        if self.c:
            torque = torque + self.c * omega * abs(omega)
        return torque
