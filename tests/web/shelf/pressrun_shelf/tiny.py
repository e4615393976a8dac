"""Every verdict there is comes out of this one (a stand-in for the replication of a paper)."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from matplotlib.figure import Figure

from pressrun.replicate import Above, Claim, Difference, Evidence, Run, knob

PAPER = "2509.23253"

CLAIMS = (
    Claim(
        id="learns",
        paper="The network reaches 92 % where the plain one stays at chance (table 1).",
        tested="Its score is higher than that of the plain one by 0.3.",
        scale="toy",
        rule=Difference("score", "ours", minus="plain", at_least=0.3),
        control=Difference("score", "shuffled", minus="plain", at_least=0.3),
        where="table 1",
        control_is="labels shuffled",
    ),
    Claim(
        id="learns-a-lot",
        paper="The gap is wide (abstract).",
        tested="Its score is higher by 0.6.",
        scale="toy",
        rule=Difference("score", "ours", minus="plain", at_least=0.6),
        control=Difference("score", "shuffled", minus="plain", at_least=0.6),
        control_is="labels shuffled",
    ),
    Claim(
        id="stays-small",
        paper="The weights stay small <script>alert(1)</script>.",
        tested="The norm is at least 2.",
        scale="reduced",
        rule=Above("norm", "ours", at_least=2.0, chance=1.5),
        control=Above("norm", "plain", at_least=2.0, chance=1.5),
    ),
    Claim(
        id="is-steady",
        paper="It is steady.",
        tested="The drift is at least 0.",
        scale="toy",
        rule=Above("drift", "ours", at_least=0.01, chance=-1.0),
        control=Above("drift", "plain", at_least=0.01, chance=-1.0),
    ),
    Claim(
        id="cannot-tell",
        paper="The score rises.",
        tested="The score is at least 0.1; the plain one's too.",
        scale="full",
        rule=Above("score", "ours", at_least=0.1),
        control=Above("score", "plain", at_least=0.1),
        control_is="the plain network",
    ),
    Claim(
        id="counts",
        paper="There are four of them.",
        tested="The count is four, exactly.",
        scale="full",
        rule=Above("count", "ours", at_least=4.0, exact=True),
        control=Above("count", "plain", at_least=4.0, exact=True),
        control_is="one taken away",
    ),
)
METRICS = {"score": "1", "norm": "1", "drift": "mm", "count": "1"}
NOT_TESTED = ("Anything <b>larger</b> than this.",)


@dataclass(frozen=True)
class Config:
    steps: int = knob(20, low=2, high=1000, help="steps of training")
    rate: float = knob(0.1, low=0.0, high=1.0, unit="1/s", help="step size")
    pace: float = knob(0.0, low=0.0, high=60.0, unit="s", help="seconds to wait at every step")
    ending: str = knob("well", choices=("well", "badly"), help="how it ends")
    loud: bool = knob(False, help="say more")


PRESETS = {"smoke": Config(steps=3), "laptop": Config(), "paper": Config(steps=200)}


def replicate(config: Config, seed: int, run: Run) -> None:
    dice = random.Random(seed)
    ends = {"ours": 0.9, "plain": 0.4, "shuffled": 0.38}
    for arm, end in ends.items():
        for step in run.progress(range(config.steps), f"{arm} <i>"):
            time.sleep(config.pace)
            share = (step + 1) / config.steps
            run.record(arm, step=step, score=end * share + dice.gauss(0, 0.01))
    run.log("warning: <script>alert(2)</script> & co")
    if config.ending == "badly":
        raise ValueError(f"the rate {config.rate} led nowhere in seed {seed}")
    run.record("ours", norm=1.0 + dice.gauss(0, 0.01), drift=(0.5, -0.4, 0.3, -0.45, 0.2)[seed % 5], count=4)
    run.record("plain", norm=0.5 + dice.gauss(0, 0.01), drift=-0.5 + dice.gauss(0, 0.01), count=3)


def draw(evidence: Evidence) -> Figure:
    figure = Figure(figsize=(4, 2.5), layout="constrained")
    axes = figure.subplots()
    for arm in ("ours", "plain"):
        for line in evidence.curves("score", arm).values():
            axes.plot(line.step, line.value, color="0.2", linestyle="-" if arm == "ours" else ":")
    axes.set(xlabel="step", ylabel="score")
    return figure
