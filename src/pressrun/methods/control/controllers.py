"""Classical controllers for DC drives with one current: the cascaded PI controller and two-point control.

A controller maps the observation of an `ElectricMotorEnv`, (observations,), or those of a `VectorMotorEnv`,
(num_envs, observations), to an action for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pressrun.methods.control._elementwise import FloatArray
from pressrun.methods.control.environments import ElectricMotorEnv, VectorMotorEnv
from pressrun.methods.control.motors import PermExDCMotor, SeriesDCMotor

__all__ = ["CascadedPI", "bang_bang"]


class CascadedPI:
    """Speed loop → current set-point → current loop with feed-forward of the back EMF, tuned by the symmetric optimum.

    In units normalised by the limits, with a step τ and t_n = τ a²:
    current loop k_p = L i_lim / (τ a u_lim), k_i = k_p / (τ a²);
    speed loop k_p = J ω_lim / (a t_n T_lim), k_i = k_p / (a t_n).
    The torque set-point becomes a current by the motor's torque equation, i* = √(T* / l_e') or T* / ψ_e, within the nominal
    current. A loop integrates only while its output is not clipped.

    Args:
        env: environment of a series or permanently excited DC motor with a continuous converter and a speed reference.
        a: damping of the symmetric optimum; larger is slower and better damped.
        interlocking_time: t_il in s for which the duty cycle is corrected by sgn(i) t_il / τ; 0 for no correction.

    Raises:
        ValueError: if the motor or the converter is of another kind, nothing asks for a speed, a is not above 1, or the
            interlocking time is negative.
    """

    def __init__(self, env: ElectricMotorEnv | VectorMotorEnv, a: float = 4.0, *, interlocking_time: float = 0.0) -> None:
        self._motor = _dc_motor(env)
        self._columns = _columns(env)
        if a <= 1:
            raise ValueError(f"a must be above 1, got {a}")
        if interlocking_time < 0:
            raise ValueError(f"interlocking_time must not be negative, got {interlocking_time} s")
        drive, limits = env.drive, self._motor.limits
        motor = self._motor
        inductance = motor.l_a + motor.l_e if isinstance(motor, SeriesDCMotor) else motor.l_a
        t_n = drive.tau * a**2
        speed_gain = drive.inertia * limits.omega / (a * t_n * limits.torque)
        current_gain = inductance * limits.current / (drive.tau * a * drive.supply)
        rated = motor.nominal.current
        torque = float(motor.torque((rated,))) / limits.torque
        self._speed = _PI(speed_gain, speed_gain / (a * t_n), drive.tau, drive.lowest("torque") * torque, torque)
        self._current = _PI(current_gain, current_gain / t_n, drive.tau, drive.lowest("u"), 1.0)
        self._supply = drive.supply
        self._correction = interlocking_time / drive.tau

    def reset(self) -> None:
        """Forget the integrals, as for a drive at standstill."""
        self._speed.integral = self._current.integral = np.zeros(())

    def __call__(self, observation: FloatArray) -> FloatArray:
        """The duty cycle, (1,) or (num_envs, 1), for an observation, (observations,) or (num_envs, observations)."""
        motor, limits = self._motor, self._motor.limits
        omega, current, reference = (observation[..., column] for column in self._columns)
        torque = self._speed(reference - omega) * limits.torque
        if isinstance(motor, SeriesDCMotor):
            wanted = np.sqrt(torque / motor.l_e_prime)
            emf = motor.l_e_prime * omega * limits.omega * current * limits.current
        else:
            wanted = torque / motor.psi_e
            emf = motor.psi_e * omega * limits.omega
        duty = self._current(wanted / limits.current - current, emf / self._supply)
        return (duty + self._correction * np.sign(current))[..., None]


class _PI:
    """y = k_p e + ∫ k_i e dt + feed-forward within [low, high]; the integral rests where y is clipped."""

    def __init__(self, k_p: float, k_i: float, tau: float, low: float, high: float) -> None:
        self.k_p, self.k_i, self.tau, self.low, self.high = k_p, k_i, tau, low, high
        self.integral: FloatArray = np.zeros(())

    def __call__(self, error: FloatArray, feed_forward: FloatArray | float = 0.0) -> FloatArray:
        wanted = self.k_p * error + self.integral + feed_forward
        given: FloatArray = np.minimum(np.maximum(wanted, self.low), self.high)
        self.integral = self.integral + self.k_i * self.tau * error * (given == wanted)
        return given


def bang_bang(env: ElectricMotorEnv | VectorMotorEnv) -> Callable[[FloatArray], FloatArray]:
    """Two-point control: full voltage while the speed is below its reference and the current below its nominal value.

    Otherwise the lowest voltage that the converter has. Needs the kind of environment that `CascadedPI` needs.

    Raises:
        ValueError: if the motor or the converter is of another kind, or nothing asks for a speed.
    """
    motor = _dc_motor(env)
    omega, current, reference = _columns(env)
    rated = motor.nominal.current / motor.limits.current
    lowest = env.drive.lowest("u")

    def act(observation: FloatArray) -> FloatArray:
        on = (observation[..., omega] < observation[..., reference]) & (observation[..., current] < rated)
        return np.where(on, 1.0, lowest)[..., None]

    return act


def _dc_motor(env: ElectricMotorEnv | VectorMotorEnv) -> SeriesDCMotor | PermExDCMotor:
    motor, converter = env.drive.motor, env.drive.converter
    if not isinstance(motor, SeriesDCMotor | PermExDCMotor):
        raise ValueError(f"the controller needs a series or permanently excited DC motor, got {type(motor).__name__}")
    if converter.finite:
        raise ValueError(f"the controller needs a continuous converter, got {type(converter).__name__}")
    return motor


def _columns(env: ElectricMotorEnv | VectorMotorEnv) -> tuple[int, int, int]:
    """Where speed, current and speed reference stand in an observation."""
    if "omega_reference" not in env.observation_names:
        raise ValueError("the controller needs an environment with a reference for omega")
    omega, current, reference = (env.observation_names.index(name) for name in ("omega", "i", "omega_reference"))
    return omega, current, reference
