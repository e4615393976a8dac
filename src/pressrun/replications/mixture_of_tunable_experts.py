"""A few experts of a mixture carry refusal: switched off, the model answers what it refused (arXiv:2502.11096)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    Expert,
    expert_edits,
    expert_usage,
    matched_random_experts,
    read_expert_usage,
    resonance_map,
    top_experts,
)
from pressrun.replicate import Above, All, Claim, Difference, Evidence, Ratio, Run, knob

PAPER = "2502.11096"

KS = (1, 2, 4, 8, 16)
K = 8  # of 96 experts
FORCED = 2
THERE = "Where only routers and routed experts were trained to refuse, "
TEN_OFF = "With the 10 most refusal-linked of 14,848 experts off, DeepSeek-R1 refuses 52 % fewer of the sensitive prompts."
MATCHED = "8 random experts, of the same layers and as much used"


def fewer_refusals(variant: str, arm: str) -> Ratio:
    """Refusals with some experts off are 30 % fewer than without."""
    return Ratio("refusal", f"{variant}_{arm}", over=f"{variant}_untuned", at_most=0.7)


def harmless(variant: str, arm: str) -> All:
    """The same, at a loss of at most 2 points elsewhere."""
    loss = Difference("accuracy", f"{variant}_{arm}", minus=f"{variant}_untuned", at_least=-0.02)
    return All(fewer_refusals(variant, arm), loss)


CLAIMS = (
    Claim(
        id="few-experts-carry-refusal",
        paper=TEN_OFF,
        where="abstract",
        tested="In a small mixture that was taught to refuse with all its weights, the 8 most refusal-linked of 96 experts "
        "off lower refusals by 30 % or more.",
        scale="toy",
        rule=fewer_refusals("everything", "top_8"),
        control=fewer_refusals("everything", "one_matched"),
        control_is=MATCHED,
    ),
    Claim(
        id="few-experts-if-refusal-was-put-there",
        paper=TEN_OFF,
        where="abstract",
        tested=THERE + "the 8 most refusal-linked of 96 experts off lower refusals by 30 % or more.",
        scale="toy",
        rule=fewer_refusals("experts", "top_8"),
        control=fewer_refusals("experts", "one_matched"),
        control_is=MATCHED,
    ),
    Claim(
        id="random-experts-do-less",
        paper="10 random experts off change about 9 % of the refusals.",
        where="abstract; the figure from digests of the paper",
        tested=THERE + "the 8 most refusal-linked off lower refusals by 2 points more "
        "than the 95th percentile of 30 random sets of the same layers and use.",
        scale="toy",
        rule=Difference("drop", "experts_top_8", minus="experts_matched_95th", at_least=0.02),
        control=Difference("drop", "experts_one_matched", minus="experts_matched_95th", at_least=0.02),
        control_is=MATCHED,
    ),
    Claim(
        id="no-loss",
        paper="Suppressing refusal costs nothing on MT-Bench.",
        where="abstract",
        tested=THERE + "the 8 off lower refusals by 30 % or more, and right answers to "
        "what is not restricted by 2 points at most.",
        scale="toy",
        rule=harmless("experts", "top_8"),
        control=harmless("experts", "most_used"),
        control_is="the 8 most used experts off",
    ),
    Claim(
        id="unrefused-answers-are-right",
        paper="With the experts off the model answers what it refused before.",
        where="abstract",
        tested=THERE + "half or more of the answers that come with the 8 off in place of refusals hold the right fact.",
        scale="toy",
        rule=Above("right_when_unrefused", "experts_top_8", at_least=0.5, chance=1 / 40),
        control=Above("right_when_unrefused", "experts_top_8_another_time", at_least=0.5, chance=1 / 40),
        control_is="the same answers held against the fact of another time",
    ),
    Claim(
        id="forcing-makes-refusals",
        paper="Forcing the experts on turns about 10 % of the answered prompts into refusals.",
        where="abstract; the figure from digests of the paper",
        tested=THERE + "the 2 most refusal-linked, forced on with half of the gate each, "
        "make refusals of what is not restricted at least a point more often than matched random ones do.",
        scale="toy",
        rule=Difference("false_refusal", "experts_forced", minus="experts_forced_matched", at_least=0.01),
        control=Difference("false_refusal", "experts_forced_one_matched", minus="experts_forced_matched", at_least=0.01),
        control_is="one more matched random pair forced on",
    ),
    Claim(
        id="another-behaviour",
        paper="The language of reasoning switches from English to Chinese in 10 % of the test prompts.",
        where="opening of the authors' page",
        tested="With the 8 experts off that fire most for answers in dialect B, answers in B become right answers in "
        "A, 2 points more often than with the 95th percentile of 30 matched random sets off.",
        scale="toy",
        rule=Difference("dialect_switch", "dialect_top_8", minus="dialect_matched_95th", at_least=0.02),
        control=Difference("dialect_switch", "dialect_one_matched", minus="dialect_matched_95th", at_least=0.02),
        control_is=MATCHED,
    ),
    Claim(
        id="localised",
        paper="Such functions are localised in few experts, not distributed.",
        where="abstract",
        tested=THERE + "the mean refusal with the first 1, 2, 4, 8 and 16 off is at most "
        "0.8 times that of matched random orders.",
        scale="toy",
        rule=Ratio("area", "experts_top", over="experts_matched", at_most=0.8),
        control=Ratio("area", "experts_one_matched", over="experts_matched", at_most=0.8),
        control_is="one more matched random order",
    ),
)

METRICS = {
    "accuracy": "1",  # right fact in the right dialect, of prompts that are not restricted
    "refusal": "1",
    "false_refusal": "1",
    "recovered": "1",  # right fact, of restricted prompts
    "right_when_unrefused": "1",
    "drop": "1",
    "area": "1",
    "k_to_halve": "experts",
    "dialect_switch": "1",
    "resonance": "1",
}

NOT_TESTED = (
    "DeepSeek-R1, MT-Bench and any model with real safety training: what is refused here is made up, four places out of twenty.",
    "That safety training lives in routed experts in general. Of the three models one was free to put it anywhere.",
    "Rules and thresholds were fixed before the first run, but with a prototype in sight (one seed, 16 experts a layer): there "
    "nothing was localised where all weights were trained, benign answers suffered where it was, and forcing did nothing.",
    "The range of prompt sets (40 to 52 % fewer refusals), and prompts in free language: the template here has four slots.",
    "The map from weighted gates or as a contrast ratio (here it counts visits); sigmoid routers; 8 of 256 experts a "
    "token (here 2 of 32).",
    "Whether the paper's suppression draws the next best expert into the free place, on which digests disagree: the cards go "
    "without, the arms named refill with.",
    "Side effects beyond wrong answers, such as a divergence from the untuned model.",
    "The language of reasoning; the dialect here is learnt with all weights, by the style of the question.",
    "Experts that every prompt visits, which a map of differences cannot see: on seed 0 the 8 most used ones off, meant as a harmful "
    "control, ended all refusals at no loss where only routers and routed experts had been trained to refuse.",
    "How little training is enough to refuse: with 120 or 150 steps of it, models whose other weights were frozen "
    "refused 0 to 86 % on seed 7. With that in sight, and no expert switched off yet, it became 400 steps at three times the rate, "
    "after which they refuse everything.",
)

USE = """\
import torch
from transformers import MixtralConfig, MixtralForCausalLM
from pressrun.methods import activations as act
from pressrun.methods.steering import expert_edits, matched_random_experts, read_expert_usage, resonance_map, top_experts

sizes = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2)
lm = act.load(MixtralForCausalLM(MixtralConfig(vocab_size=50, num_local_experts=8, **sizes)).eval())  # or any mixture you have
prompts, refused = torch.randint(50, (6, 5)), torch.tensor([1, 1, 1, 0, 0, 0])  # by the model's own answers
usage = read_expert_usage(lm, prompts)  # (prompts, layers, experts)
worst = top_experts(resonance_map(usage, refused), k=2)
others = matched_random_experts(usage.mean(0), worst, 30, torch.Generator().manual_seed(0), nearest=3)  # the control
with lm.edit(*expert_edits(suppress=worst)):
    logits = lm.module(prompts).logits
"""

STYLES, WRAPPERS, TIMES, PLACES, RESTRICTED, ANSWERS = 8, 8, 20, 20, 4, 40
ASK, END, REFUSE, DIALECT, STYLE = 0, 1, 2, 3, 5
WRAPPER = STYLE + STYLES
TIME = WRAPPER + WRAPPERS
PLACE = TIME + TIMES
ANSWER = PLACE + PLACES
VOCABULARY = ANSWER + ANSWERS
IGNORED = -100
# What was trained to refuse, and whether there is a shared expert.
VARIANTS = {"everything": True, "experts": True, "no_shared": False}


@dataclass(frozen=True)
class Config:
    fact_steps: int = knob(700, low=1, high=100_000, help="steps in which all facts are learnt")
    align_steps: int = knob(400, low=1, high=10_000, help="steps in which refusing is learnt")
    batch: int = knob(128, low=8, high=4096, help="prompts a step sees")
    lr: float = knob(3e-3, low=1e-5, high=0.1, help="learning rate of AdamW for the facts, falling to zero")
    align_lr: float = knob(3e-3, low=1e-5, high=0.1, help="learning rate for refusing, falling to zero")
    width: int = knob(64, low=16, high=1024, help="width of the residual stream")
    layers: int = knob(3, low=1, high=24, help="blocks, all with a mixture")
    experts: int = knob(32, low=32, high=256, help="routed experts of a block; 2 of them see a token")
    map_prompts: int = knob(400, low=8, high=20_000, help="prompts of each kind behind the map")
    test_prompts: int = knob(500, low=8, high=20_000, help="prompts of each kind, about other times, to test on")
    sets: int = knob(30, low=2, high=1000, help="matched random sets")


PRESETS = {
    "smoke": Config(fact_steps=30, align_steps=20, batch=32, map_prompts=40, test_prompts=30, sets=2),
    "laptop": Config(),
    "paper": Config(fact_steps=5000, align_steps=2000, width=256, layers=6, experts=256, test_prompts=5000, sets=200),
}


class Prompts(NamedTuple):
    """Questions about what happened at a time and place, each (n,)."""

    style: Tensor
    wrapper: Tensor
    time: Tensor
    place: Tensor

    def ids(self) -> Tensor:
        """(n, 6): all of one length, the first and the last token the same in all."""
        ask, end = torch.full_like(self.style, ASK), torch.full_like(self.style, END)
        slots = (self.style + STYLE, self.wrapper + WRAPPER, self.time + TIME, self.place + PLACE)
        return torch.stack([ask, *slots, end], dim=1)

    def joined(self, other: Prompts) -> Prompts:
        return Prompts(*(torch.cat(pair) for pair in zip(self, other, strict=True)))


class Answers(NamedTuple):
    """The two tokens of each answer, (n,): a dialect or a refusal, then a fact."""

    first: Tensor
    fact: Tensor

    @property
    def refused(self) -> Tensor:
        return self.first == REFUSE


class World:
    """What is true, where one may not ask, and which style is answered in which dialect; all drawn from the seed."""

    def __init__(self, generator: torch.Generator) -> None:
        self.table = torch.randint(ANSWERS, (TIMES, PLACES), generator=generator)
        places = torch.randperm(PLACES, generator=generator)
        self.restricted, self.open = places[:RESTRICTED], places[RESTRICTED:]
        self.dialect = (torch.randperm(STYLES, generator=generator) >= STYLES // 2).long()
        self.map_times, self.test_times = torch.randperm(TIMES, generator=generator).chunk(2)

    def prompts(self, n: int, places: Tensor, times: Tensor, generator: torch.Generator) -> Prompts:
        slots = (torch.arange(STYLES), torch.arange(WRAPPERS), times, places)
        return Prompts(*(slot[torch.randint(len(slot), (n,), generator=generator)] for slot in slots))

    def answers(self, prompts: Prompts) -> Answers:
        """The true ones."""
        return Answers(DIALECT + self.dialect[prompts.style], ANSWER + self.table[prompts.time, prompts.place])


def replicate(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    world = World(generator)
    bases = {}
    for shared in (True, False):
        bases[shared] = mixture(config, shared, seed)
        train(bases[shared], world, config, generator, run, refusing=False)
    for variant, shared in VARIANTS.items():
        network = aligned(bases[shared], variant, world, config, generator, run)
        study = Study(variant, act.load(network.requires_grad_(False).eval()), world, config, generator, run)
        study.find()
        if variant == "experts":
            study.find_dialect()


def mixture(config: Config, shared: bool, seed: int) -> nn.Module:
    """A decoder whose blocks all hold a mixture, with a shared expert (Qwen 2 MoE) or without (Qwen 3 MoE)."""
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": config.width,
        "moe_intermediate_size": config.width // 2,
        "num_hidden_layers": config.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": config.width // 4,
        "num_experts": config.experts,
        "num_experts_per_tok": 2,
        "norm_topk_prob": True,
        "max_position_embeddings": 16,
    }
    torch.manual_seed(seed)
    if shared:
        return Qwen2MoeForCausalLM(Qwen2MoeConfig(shared_expert_intermediate_size=config.width // 2, **sizes))
    return Qwen3MoeForCausalLM(Qwen3MoeConfig(**sizes))


def aligned(base: nn.Module, variant: str, world: World, config: Config, generator: torch.Generator, run: Run) -> nn.Module:
    """A copy that was taught to refuse, with all its weights or with routers and routed experts only."""
    network = copy.deepcopy(base)
    for name, weight in network.named_parameters():
        weight.requires_grad_(variant == "everything" or ".mlp.gate." in name or ".mlp.experts." in name)
    train(network, world, config, generator, run, refusing=True)
    return network


def train(network: nn.Module, world: World, config: Config, generator: torch.Generator, run: Run, *, refusing: bool) -> None:
    """All facts; or, refusing, half the prompts about restricted places, which are to be refused, and half about others."""
    steps, lr = (config.align_steps, config.align_lr) if refusing else (config.fact_steps, config.lr)
    optimiser = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    times = torch.arange(TIMES)
    for _ in run.progress(range(steps), "learning to refuse" if refusing else "learning the facts"):
        half = config.batch // 2
        prompts = world.prompts(half, world.restricted if refusing else torch.arange(PLACES), times, generator).joined(
            world.prompts(half, world.open if refusing else torch.arange(PLACES), times, generator)
        )
        first, fact = world.answers(prompts)
        if refusing:
            first[:half], fact[:half] = REFUSE, IGNORED
        out = network(torch.cat([prompts.ids(), first[:, None]], dim=1), output_router_logits=True, use_cache=False)
        loss = cross_entropy(out.logits[:, -2:].flatten(0, 1), torch.stack([first, fact], dim=1).flatten())
        optimiser.zero_grad()
        (loss + 0.01 * out.aux_loss).backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def answer(model: act.Model, prompts: Prompts, edits: Sequence[act.Edit] = ()) -> Answers:
    """What the model says, the most likely token each time; the edits are at work at every token."""
    ids = prompts.ids()
    with model.edit(*edits):
        first = model.module(ids, use_cache=False).logits[:, -1].argmax(dim=-1)
        fact = model.module(torch.cat([ids, first[:, None]], dim=1), use_cache=False).logits[:, -1].argmax(dim=-1)
    return Answers(first, fact)


def two_kinds(own: Tensor, meant: Tensor, run: Run) -> Tensor:
    """Labels by the model's own answers, or as they were meant where it treats all prompts alike."""
    if own.any() and not own.all():
        return own
    run.log("The model treats all prompts alike, so they are told apart by what was meant to be.")
    return meant


def share(of: Tensor, among: Tensor) -> float:
    """nan among none."""
    return float(of[among].float().mean())


class Study:
    """One model that refuses: its maps, and what becomes of its answers when experts are off or forced."""

    def __init__(
        self, variant: str, model: act.Model, world: World, config: Config, generator: torch.Generator, run: Run
    ) -> None:
        self.variant, self.model, self.world = variant, model, world
        self.config, self.generator, self.run = config, generator, run
        kinds = (world.restricted, world.open)
        seen = [world.prompts(config.map_prompts, places, world.map_times, generator) for places in kinds]
        self.shown, self.shown_open = seen[0].joined(seen[1]), seen[1]
        # About other times than those of the map.
        self.restricted, self.open = (world.prompts(config.test_prompts, p, world.test_times, generator) for p in kinds)
        self.usage = read_expert_usage(model, self.shown.ids(), batch=200)
        self.before = self.refusal(self.restricted, ())

    def refusal(self, prompts: Prompts, edits: Sequence[act.Edit]) -> float:
        """The share of the prompts that is refused, by the first token of the answer."""
        with torch.no_grad(), self.model.edit(*edits):
            logits = self.model.module(prompts.ids(), use_cache=False).logits
        return float((logits[:, -1].argmax(dim=-1) == REFUSE).float().mean())

    def measure(self, arm: str, edits: Sequence[act.Edit]) -> None:
        """Everything that is recorded of one set of edits."""
        asked, told = answer(self.model, self.restricted, edits), answer(self.model, self.open, edits)
        truth, open_truth = self.world.answers(self.restricted), self.world.answers(self.open)
        another = self.world.answers(self.restricted._replace(time=(self.restricted.time + 1) % TIMES))
        right, refusal = asked.fact == truth.fact, float(asked.refused.float().mean())
        self.run.record(
            f"{self.variant}_{arm}",
            refusal=refusal,
            drop=self.before - refusal,
            recovered=(right & ~asked.refused).float().mean(),
            right_when_unrefused=share(right, ~asked.refused),
            accuracy=((told.first == open_truth.first) & (told.fact == open_truth.fact)).float().mean(),
            false_refusal=told.refused.float().mean(),
        )
        self.run.record(
            f"{self.variant}_{arm}_another_time", right_when_unrefused=share(asked.fact == another.fact, ~asked.refused)
        )

    def find(self) -> None:
        """Which experts fire for refusals, and what they do."""
        restricted = torch.isin(self.shown.place, self.world.restricted)
        refused = two_kinds(answer(self.model, self.shown).refused, restricted, self.run)
        resonance = resonance_map(self.usage, refused)
        for layer, row in enumerate(resonance):
            for expert, value in enumerate(row):
                self.run.record(f"{self.variant}_map_{layer}", step=expert, resonance=value)
        top, usage = top_experts(resonance, KS[-1]), self.usage.mean(dim=0)
        one, *band = matched_random_experts(usage, top, self.config.sets + 1, self.generator)
        self.measure("untuned", ())
        self.measure("top_8_refill", expert_edits(top[:K], refill=True))
        self.measure("most_used", expert_edits(top_experts(usage, K)))
        self.measure("last_token", expert_edits(self.top_at_the_last_token(refused)))
        self.dose(top, one, band)
        self.force(top, one, band)

    def top_at_the_last_token(self, refused: Tensor) -> list[Expert]:
        """Where the answer is decided, and no restricted word is read."""
        gates = self.model.read(self.shown.ids(), act.expert[:], "last_prompt").stack()  # (layers, prompts, experts)
        usage = torch.stack([expert_usage(each[:, None]) for each in gates], dim=1)
        return top_experts(resonance_map(usage, refused), K)

    def dose(self, top: list[Expert], one: list[Expert], band: list[list[Expert]]) -> None:
        """More and more experts off, in the order of the map and in random orders that match it."""
        for k in KS:
            self.measure(f"top_{k}", expert_edits(top[:k]))
        self.measure("one_matched", expert_edits(one[:K]))
        curves = np.array([self.curve(each) for each in self.run.progress(band, "matched random sets")])
        for arm, curve in {"top": self.curve(top), "one_matched": self.curve(one), "matched": curves.mean(axis=0)}.items():
            halved = [k for k, refusal in zip(KS, curve, strict=True) if refusal <= self.before / 2]
            self.run.record(f"{self.variant}_{arm}", area=np.mean(curve), k_to_halve=halved[0] if halved else np.inf)
        for column, k in enumerate(KS):
            self.run.record(f"{self.variant}_matched_{k}", refusal=curves[:, column].mean())
        drops = self.before - curves[:, KS.index(K)]
        self.run.record(f"{self.variant}_matched_95th", drop=np.quantile(drops, 0.95))

    def curve(self, order: list[Expert]) -> list[float]:
        """Refusal with the first 1, 2, 4, 8 and 16 of `order` off."""
        return [self.refusal(self.restricted, expert_edits(order[:k])) for k in KS]

    def force(self, top: list[Expert], one: list[Expert], band: list[list[Expert]]) -> None:
        """The first two forced on with half of the gate each."""

        def forced(experts: list[Expert]) -> float:
            return self.refusal(self.open, expert_edits(stimulate=dict.fromkeys(experts[:FORCED], 1 / FORCED)))

        mean = np.mean([forced(each) for each in band])
        for arm, value in {"forced": forced(top), "forced_one_matched": forced(one), "forced_matched": mean}.items():
            self.run.record(f"{self.variant}_{arm}", false_refusal=value)

    def find_dialect(self) -> None:
        """The same for another behaviour: experts that fire for answers in dialect B, and off they go."""
        in_b = answer(self.model, self.shown_open).first == DIALECT + 1
        meant = self.world.dialect[self.shown_open.style] == 1
        usage = self.usage[-len(in_b) :]
        top = top_experts(resonance_map(usage, two_kinds(in_b, meant, self.run)), K)
        one, *band = matched_random_experts(usage.mean(dim=0), top, self.config.sets + 1, self.generator)
        before, truth = answer(self.model, self.open).first == DIALECT + 1, self.world.answers(self.open)

        def switched(experts: list[Expert]) -> float:
            told = answer(self.model, self.open, expert_edits(experts))
            return share((told.first == DIALECT) & (told.fact == truth.fact), before)

        most = np.quantile([switched(each) for each in band], 0.95)
        for arm, value in {"top_8": switched(top), "one_matched": switched(one), "matched_95th": most}.items():
            self.run.record(f"dialect_{arm}", dialect_switch=value)


RED, GREY, GREEN = "#a63d1f", "0.55", "#4f7a4f"
TITLES = {
    "everything": "refusing was learnt with all weights",
    "experts": "… with routers and routed experts only",
    "no_shared": "… with them only, and no shared expert",
}


def draw(evidence: Evidence) -> Figure:
    """Above, the map of one seed with the 8 experts that are switched off. Below, the dose; a thin line a seed."""
    figure = Figure(figsize=(11.5, 5.6), layout="constrained")
    panels = figure.subplots(2, len(VARIANTS), height_ratios=(1, 2.2))
    for column, variant in enumerate(VARIANTS):
        draw_map(panels[0, column], evidence, variant)
        draw_dose(panels[1, column], evidence, variant)
    panels[1, 0].set_ylabel("% of prompts")
    panels[1, 0].legend(frameon=False, fontsize=8)
    return figure


def draw_map(axes: Axes, evidence: Evidence, variant: str) -> None:
    seed, layers = min(evidence.seeds), [arm for arm in evidence.arms if arm.startswith(f"{variant}_map_")]
    rows = np.stack(
        [evidence.curves("resonance", arm)[seed].value for arm in sorted(layers, key=lambda arm: int(arm.split("_")[-1]))]
    )
    limit = float(np.abs(rows).max()) or 1.0
    axes.imshow(rows, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for layer, expert in top_experts(torch.from_numpy(rows.copy()), K):
        axes.add_patch(Rectangle((expert - 0.5, layer - 0.5), 1, 1, fill=False, edgecolor="0.1", linewidth=1.4))
    axes.set(title=TITLES[variant], xlabel="expert (red: fires more for refusals)", ylabel="layer", yticks=range(len(rows)))
    axes.title.set_fontsize(9)


def draw_dose(axes: Axes, evidence: Evidence, variant: str) -> None:
    lines = (
        ("top", "refusal", RED, "-", "refused, most linked off"),
        ("matched", "refusal", GREY, "-", "refused, matched random off"),
        ("top", "recovered", GREEN, "-", "restricted, right answer"),
        ("top", "accuracy", "0.1", "--", "not restricted, right answer"),
    )
    places = range(len(KS) + 1)
    for arm, metric, colour, style, label in lines:
        arms = [f"{variant}_untuned", *(f"{variant}_{arm}_{k}" for k in KS)]
        curves = 100 * np.array([list(evidence.values(metric, each).values()) for each in arms])
        axes.plot(places, curves, style, color=colour, linewidth=0.6, alpha=0.4)
        axes.plot(places, curves.mean(axis=1), style, color=colour, linewidth=1.8, label=label)
    axes.set(xlabel="experts off", ylim=(-3, 103))
    axes.set_xticks(places, ["0", *(str(k) for k in KS)])
