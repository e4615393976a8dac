"""Motor environments beside gym-electric-motor: steps a second, and whether the trajectories agree.

    python benchmarks/motors.py [--peer-python PATH] [--rounds 5]

The peer (gym-electric-motor 3.0.3) is looked for in this Python; if its requirements clash with ours, install it in an
environment of its own and give that environment's Python:

    python -m venv /tmp/gem && /tmp/gem/bin/pip install gym-electric-motor==3.0.3
    python benchmarks/motors.py --peer-python /tmp/gem/bin/python

Both sides run in one process each, on one thread, in turn and never at once; every round times all of them, and a ratio is the
median over rounds of the ratios within a round, so that a machine whose speed drifts does not decide. The task is speed
control of the series DC motor with Wiener references, reward, limits and automatic resets.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - the number of threads must be set before

if TYPE_CHECKING:
    import gymnasium

    from pressrun.methods.control import Drive, VectorMotorEnv

LOAD = {"a": 0.01, "b": 0.05, "c": 1e-5, "j_load": 1e-4}
MOTORS = ("SeriesDc", "ShuntDc", "PermExDc", "ExtExDc", "PMSM")
VARIANTS = [f"{kind}-{motor}" for motor in MOTORS for kind in ("Cont", "Finite")]
STEPS = 2_000


# The peer's side. It is run by the peer's Python, which need not have pressrun.


def peer_environment(variant: str, solver: str) -> gymnasium.Env[Any, Any]:
    """The peer's speed-control environment with our load, supply and converters, and no limits that end an episode."""
    import gym_electric_motor as gem
    from gym_electric_motor import physical_systems as ps

    kind, motor = variant.split("-")
    converters = {
        ("Cont", "PMSM"): ps.ContB6BridgeConverter,
        ("Finite", "PMSM"): ps.FiniteB6BridgeConverter,
        ("Cont", "ExtExDc"): lambda: ps.ContMultiConverter([ps.ContFourQuadrantConverter(), ps.ContTwoQuadrantConverter()]),
        ("Finite", "ExtExDc"): lambda: ps.FiniteMultiConverter(
            [ps.FiniteFourQuadrantConverter(), ps.FiniteTwoQuadrantConverter()]
        ),
    }
    four_quadrants = ps.ContFourQuadrantConverter if kind == "Cont" else ps.FiniteFourQuadrantConverter
    return gem.make(
        f"{kind}-SC-{motor}-v0",
        supply=ps.IdealVoltageSupply(u_nominal=300.0 if motor == "PMSM" else 60.0),
        converter=converters.get((kind, motor), four_quadrants)(),
        load=ps.PolynomialStaticLoad(load_parameter=dict(LOAD)),
        ode_solver=ps.EulerSolver() if solver == "euler" else ps.ScipyOdeSolver(),
        tau=1e-4 if kind == "Cont" else 1e-5,
        constraints=(),
        visualization=(),
    ).unwrapped


def peer_trajectory(variant: str, solver: str, actions: list[Any]) -> list[list[float]]:
    """(omega, currents) after each action, in SI units."""
    env = peer_environment(variant, solver)
    names = list(env.physical_system.state_names)
    wanted = [names.index(name) for name in ("omega", "i", "i_a", "i_e", "i_sd", "i_sq") if name in names]
    if "PMSM" in variant:
        wanted = [names.index(name) for name in ("omega", "i_sd", "i_sq")]
    env.reset(seed=0)
    states = []
    for action in actions:
        (state, _), *_ = env.step(action if isinstance(action, int) else np.array(action))
        states.append([float(state[k] * env.physical_system.limits[k]) for k in wanted])
    return states


def peer_speeds(solver: str) -> Callable[[int], float]:
    """A function that steps the peer's own default environment so many times and returns steps a second."""
    import gym_electric_motor as gem
    from gym_electric_motor import physical_systems as ps

    chosen = {"ode_solver": ps.EulerSolver()} if solver == "euler" else {}
    env = gem.make("Cont-SC-SeriesDc-v0", visualization=(), **chosen)
    env.reset(seed=0)
    return lambda steps: timed_single(env, steps)


def peer_worker() -> None:
    """Answer requests, one JSON line each, until the input ends."""
    speeds = {solver: peer_speeds(solver) for solver in ("default", "euler")}
    for line in sys.stdin:
        request = json.loads(line)
        if "steps" in request:
            answer: Any = speeds[request["solver"]](request["steps"])
        else:
            answer = peer_trajectory(request["variant"], request["solver"], request["actions"])
        print(json.dumps(answer), flush=True)


# Our side.


def our_drive(variant: str, solver: str) -> Drive:
    from pressrun.methods import control as c

    kind, motor = variant.split("-")
    finite = kind == "Finite"
    motors = {
        "SeriesDc": c.SeriesDCMotor,
        "ShuntDc": c.ShuntDCMotor,
        "PermExDc": c.PermExDCMotor,
        "ExtExDc": c.ExtExDCMotor,
        "PMSM": c.PMSM,
    }
    converter = c.Finite4QC() if finite else c.Cont4QC()
    if motor == "PMSM":
        converter = c.FiniteB6() if finite else c.ContB6()
    if motor == "ExtExDc":
        converter = c.MultiConverter((c.Finite4QC(), c.Finite2QC()) if finite else (c.Cont4QC(), c.Cont2QC()))
    return c.Drive(
        motor=motors[motor](),
        converter=converter,
        load=c.PolynomialLoad(a=LOAD["a"], b=LOAD["b"], c=LOAD["c"], j=LOAD["j_load"]),
        supply=300.0 if motor == "PMSM" else 60.0,
        tau=1e-5 if finite else 1e-4,
        solver="euler" if solver == "euler" else "rk4",
    )


def our_trajectory(drive: Drive, actions: list[Any]) -> np.ndarray:
    state, states = (0.0,) * drive.state_size, []
    previous: list[Any] = [-1] * drive.action_size
    for action in actions:
        components = action if isinstance(action, list) else [action]
        state, _ = drive.advance(state, components, previous)
        previous = components
        states.append(list(state[: 1 + len(drive.motor.CURRENTS)]))
    return np.array(states)


def random_actions(drive: Drive) -> list[Any]:
    """Small random actions, each held for 25 steps.

    The seed is one whose first switching state of the bridge is not zero volts: an adaptive solver of the peer's that starts at
    rest without voltage gives up and never moves.
    """
    space = drive.converter.action_space
    space.seed(3)
    held = [space.sample() for _ in range(STEPS // 25)]
    if not drive.converter.finite:
        held = [0.3 * action for action in held]
    return [action.tolist() if isinstance(action, np.ndarray) else int(action) for action in held for _ in range(25)]


def timed_single(env: gymnasium.Env[Any, Any], steps: int) -> float:
    """Steps a second of one environment with a constant duty cycle."""
    action = np.array([0.3])
    start = time.perf_counter()
    for _ in range(steps):
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - start)


def timed_vector(env: VectorMotorEnv, steps: int) -> float:
    """Steps a second, counted over all environments."""
    actions = np.full((env.num_envs, 1), 0.3)
    start = time.perf_counter()
    for _ in range(steps):
        env.step(actions)
    return steps * env.num_envs / (time.perf_counter() - start)


class Peer:
    """The peer in a process of its own; it only works while it is asked."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, __file__, "--peer-worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def speed(self, solver: str, steps: int) -> float:
        """Steps a second of its default environment with the default solver or with Euler."""
        return float(self._ask({"solver": solver, "steps": steps}))

    def trajectory(self, variant: str, solver: str, actions: list[Any]) -> np.ndarray:
        """(steps, components) in SI units."""
        return np.array(self._ask({"variant": variant, "solver": solver, "actions": actions}))

    def _ask(self, request: dict[str, object]) -> Any:  # noqa: ANN401 - whatever the answer is
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit("The peer's Python cannot run gym-electric-motor: install it there, or name another with --peer-python.")
        return json.loads(answer)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def compare_trajectories(peer: Peer) -> None:
    print(f"Largest deviation over {STEPS} steps, by each component's largest value\n")
    print(f"{'environment':18}{'both Euler':>14}{'RK4 / dopri5':>14}")
    for variant in VARIANTS:
        row = f"{variant:18}"
        for solver in ("euler", "default"):
            drive = our_drive(variant, solver)
            actions = random_actions(drive)
            ours = our_trajectory(drive, actions)
            theirs = peer.trajectory(variant, solver, actions)
            row += f"{(np.abs(ours - theirs) / np.abs(theirs).max(axis=0)).max():14.1e}"
        print(row)


def compare_speeds(peer: Peer, rounds: int) -> None:
    from pressrun.methods.control import ElectricMotorEnv, VectorMotorEnv

    single, vector = ElectricMotorEnv(), VectorMotorEnv(1024)
    single.reset(seed=0)
    vector.reset(seed=0)
    subjects: dict[str, Callable[[], float]] = {
        "gym-electric-motor, default solver": lambda: peer.speed("default", 5_000),
        "gym-electric-motor, Euler": lambda: peer.speed("euler", 10_000),
        "ElectricMotorEnv": lambda: timed_single(single, 60_000),
        "VectorMotorEnv, 1,024 drives": lambda: timed_vector(vector, 3_000),
    }
    for measure in subjects.values():
        measure()
    speeds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, measure in subjects.items():
            speeds[name].append(measure())
    base, euler = (speeds[name] for name in list(subjects)[:2])
    print(f"\nSteps a second, median of {rounds} rounds; ratios within a round\n")
    print(f"{'':36}{'steps/s':>12}{'x default':>11}{'x Euler':>9}")
    for name, values in speeds.items():
        ratios = [statistics.median(a / b for a, b in zip(values, other, strict=True)) for other in (base, euler)]
        print(f"{name:36}{statistics.median(values):12,.0f}{ratios[0]:11.1f}{ratios[1]:9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Motor environments beside gym-electric-motor")
    parser.add_argument("--peer-python", default=sys.executable, help="Python that has gym-electric-motor (default: this one)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing")
    parser.add_argument("--peer-worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer_worker:
        peer_worker()
        return
    peer = Peer(arguments.peer_python)
    compare_trajectories(peer)
    compare_speeds(peer, arguments.rounds)
    peer.close()


if __name__ == "__main__":
    main()
