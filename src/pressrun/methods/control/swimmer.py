"""A swimming chain of links in a viscous fluid, as a Gymnasium environment on MuJoCo.

The body is that of the swimmer of dm_control (Y. Tassa et al., "DeepMind Control Suite", arXiv:1801.00690): a head and links of
0.1 m in a plane, hinged to each other, pushed forward by drag alone. The task is that of N. X. Bhattasali, A. M. Zador,
T. A. Engel, "Neural circuit architectural priors for embodied control", NeurIPS 2022, arXiv:2201.05242: swim forward at 0.1 m/s.
"""

from __future__ import annotations

from math import pi
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

__all__ = ["SwimmerEnv"]

Array = NDArray[np.float64]

CONTROL_STEP = 0.03  # s, fifteen steps of the physics
PHYSICS_STEPS = 15


class SwimmerEnv(gymnasium.Env[Array, Array]):
    """Swim forward.

    Observation, (n_joints + 3 n_links,): the joint angles in units of their limit, 2 pi / n_links rad, so that they lie around [-1, 1]; then
    for each link, head first, its velocity along x and y in m/s and its rate of turn in rad/s, in its own frame.
    Action, (n_joints,): torques in [-1, 1]; what lies outside is clipped.
    Reward: forward speed of the head over the desired speed, clipped to [0, 1]. `info["speed"]` has the speed itself, m/s.
    An episode is cut after `steps` control steps of 0.03 s. It begins at rest with random heading and joint angles.

    Args:
        n_links: links with the head, at least 2; there is a joint fewer.
        desired_speed: m/s.
        steps: control steps of an episode.

    Raises:
        ModuleNotFoundError: if mujoco is not installed.
        ValueError: if n_links is below 2, desired_speed is not positive or steps is below 1.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and kind)

    def __init__(self, n_links: int = 6, *, desired_speed: float = 0.1, steps: int = 1000) -> None:
        if n_links < 2 or steps < 1 or not desired_speed > 0:
            raise ValueError(
                f"n_links must be at least 2, steps at least 1 and desired_speed positive, got {n_links}, {steps} and {desired_speed}"
            )
        import mujoco

        self._mujoco = mujoco
        self.model = mujoco.MjModel.from_xml_string(_body(n_links))
        self.data = mujoco.MjData(self.model)
        self.n_links, self.n_joints, self.steps, self.desired_speed = n_links, n_links - 1, steps, desired_speed
        self.joint_limit = 2 * pi / n_links
        self._step = 0
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.n_joints + 3 * n_links,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (self.n_joints,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed, options=options)
        self._mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[2] = self.np_random.uniform(-pi, pi)
        self.data.qpos[3:] = self.np_random.uniform(-self.joint_limit, self.joint_limit, self.n_joints)
        self._mujoco.mj_forward(self.model, self.data)
        self._step = 0
        return self._observed(), {"speed": self._speed()}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        if np.shape(action) != (self.n_joints,):
            raise ValueError(f"action must be ({self.n_joints},), got {np.shape(action)}")
        self.data.ctrl[:] = np.clip(action, -1.0, 1.0)
        self._mujoco.mj_step(self.model, self.data, PHYSICS_STEPS)
        self._step += 1
        speed = self._speed()
        reward = min(max(speed / self.desired_speed, 0.0), 1.0)
        return self._observed(), reward, False, self._step >= self.steps, {"speed": speed}

    def _speed(self) -> float:
        """Forward is against the y axis of the head."""
        return -float(self.data.sensordata[1])

    def _observed(self) -> Array:
        motion = self.data.sensordata.reshape(self.n_links, 2, 3)
        velocities = np.concatenate([motion[:, 0, :2], motion[:, 1, 2:]], axis=1)
        return np.concatenate([self.data.qpos[3:] / self.joint_limit, velocities.ravel()])


def _body(n_links: int) -> str:
    """The model as MuJoCo's XML: a head that slides and turns in the plane, and behind it one link hinged to the other."""
    limit = 360 / n_links  # degrees
    link = '<geom type="box" size=".001 .05 .01" mass=".01"/><site name="site{0}"/>'
    tail = ""
    for number in range(n_links - 1, 0, -1):
        hinge = f'<joint name="joint{number}" class="link" range="{-limit} {limit}"/>'
        tail = f'<body pos="0 .1 0">{hinge}{link.format(number)}{tail}</body>'
    motors = "".join(f'<motor joint="joint{number}" gear="5e-4" ctrlrange="-1 1"/>' for number in range(1, n_links))
    sensors = "".join(f'<velocimeter site="site{number}"/><gyro site="site{number}"/>' for number in range(n_links))
    return f"""
<mujoco>
  <option timestep="{CONTROL_STEP / PHYSICS_STEPS}" density="3000"><flag contact="disable"/></option>
  <default><default class="link">
    <joint type="hinge" axis="0 0 1" pos="0 -.05 0" limited="true" armature="1e-6" solreflimit=".05 1" solimplimit="0 .8 .1"/>
  </default></default>
  <worldbody><body name="head" pos="0 0 .05">
    <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint type="hinge" axis="0 0 1"/>
    {link.format(0)}{tail}
  </body></worldbody>
  <actuator>{motors}</actuator>
  <sensor>{sensors}</sensor>
</mujoco>"""
