"""The language that a model answers in by default is a small switch in sparse features, and can be turned (arXiv:2602.00945)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cross_entropy

from pressrun.methods import activations as act
from pressrun.methods.steering.controls import matched_random
from pressrun.methods.steering.directions import random_directions
from pressrun.methods.steering.languages import (
    LanguageFeatures,
    LanguageSwitch,
    language_features,
    language_mass,
    language_token_sets,
    relative_push,
    swept_lift,
    unit_rows,
)
from pressrun.methods.steering.subspaces import best_window, bootstrap_stability, shift_subspace
from pressrun.replicate import Above, All, Below, Claim, Difference, Evidence, Run, knob
from pressrun.replications._bilingual import END, MAJORITY, MINORITY, NEITHER, SEEN, World, concept_tokens
from pressrun.replications._english_spanish import ENGLISH, FRAMES, QUESTIONS, SPANISH, TEXTS, THINGS, sounds_spanish
from pressrun.replications._tiny import language_model

PAPER = "2602.00945"

PLUS = (0.05, 0.1, 0.2, 0.4)  # residual norms; the paper's 0.5 to 4 are absolute
MINUS = (0.0, 0.5, 1.0)  # times plus
ALPHAS = (0.1, 0.4, 1.2)  # of the lift, residual norms
RANDOM_SETS = 20
RANDOM_PUSHES = 10
ON = slice(-1, None)  # the last token of every forward pass, while generating


def turned(edited: str, unedited: str) -> All:
    """The rule on the default: hardly ever the minority language before, nearly always after."""
    return All(
        Above("minority_share", edited, at_least=0.8),
        Below("minority_share", unedited, at_most=0.2, chance=1.0),
    )


CLAIMS = (
    Claim(
        id="a-sparse-set-of-features",
        paper="Which language a model defaults to sits in a compact, sparse set of features.",
        where="abstract; its size was not at hand",
        tested=(
            "In a bilingual toy decoder the 2 % of the features with the best product of selectivity and lift, added at 0.2 of the residual "
            "norm in each of their layers, move the probability of the minority language on other prompts 5 times as much as the mean of "
            "20 random sets with like activations."
        ),
        scale="toy",
        rule=Above("gain_over_random", "chosen_features", at_least=5, chance=1),
        control=Above("gain_over_random", "one_more_set", at_least=5, chance=1),
        control_is="one more matched random set",
    ),
    Claim(
        id="a-low-rank-shift",
        paper="The shift from English to the target language is low-rank within those features, with a stable subspace.",
        where="abstract; values were not at hand",
        tested=(
            "In the layers of the window the effective rank of the shifts of translated pairs is at most a quarter of the features, and "
            "bootstrapped subspaces overlap by 0.8 or more; means over the layers, toy decoder."
        ),
        scale="toy",
        rule=All(Below("rank_share", "translations", at_most=0.25, chance=1.0), Above("overlap", "translations", at_least=0.8)),
        control=All(
            Below("rank_share", "one_language", at_most=0.25, chance=1.0), Above("overlap", "one_language", at_least=0.8)
        ),
        control_is="pairs within one language",
    ),
    Claim(
        id="the-edit-turns-the-default",
        paper="A signed edit, plus target and minus English, in a window of layers makes the target language the default.",
        where="abstract; LLaMA-3 8B in Hindi and Spanish; figures were not at hand",
        tested=(
            "The toy decoder answers prompts of neither language, about things no part of the edit has seen, in the minority language in at "
            "most 20 % of cases without the edit and in at least 80 % with it."
        ),
        scale="toy",
        rule=turned("edited", "unedited"),
        control=turned("random_push", "unedited"),
        control_is="random directions, same length",
    ),
    Claim(
        id="content-is-kept",
        paper="What the answers say is preserved.",
        where="abstract",
        tested="Under the same edit the share of right answers, in whichever language, falls by 5 points or less.",
        scale="toy",
        rule=Difference("content", "edited", minus="unedited", at_least=-0.05),
        control=Difference("content", "one_prompt_push", minus="unedited", at_least=-0.05),
        control_is="same length, shift to one other prompt",
    ),
    Claim(
        id="mass-moves-in-a-real-model",
        paper="The same edit makes LLaMA-3 8B more likely to begin its answers in Spanish.",
        where="abstract; figures were not at hand",
        tested=(
            "In SmolLM2-135M the probability of frequent Spanish words minus that of English ones, over 3 tokens after held-out English "
            "questions (the end of the text left out), rises by 5 times the mean change under 10 random pushes of the same length."
        ),
        scale="reduced",
        rule=Above("gain_over_random", "real_edited", at_least=5, chance=1),
        control=Above("gain_over_random", "real_random_push", at_least=5, chance=1),
        control_is="one more random push",
    ),
    Claim(
        id="a-real-default-turns",
        paper="The same edit makes Spanish the default language of LLaMA-3 8B.",
        where="abstract; figures were not at hand",
        tested=(
            "Of the answers of SmolLM2-135M to held-out English questions (20 tokens, greedy, no end before) at most 20 % have more Spanish than English "
            "function words without the edit, and at least 80 % with it."
        ),
        scale="reduced",
        rule=turned("real_edited", "real_unedited"),
        control=turned("real_random_push", "real_unedited"),
        control_is="random directions, same length",
    ),
)

METRICS = {
    "gain": "1",  # of the probability of the minority language minus that of the majority's, over no edit
    "gain_over_random": "1",
    "minority_share": "1",
    "content": "1",
    "plus": "residual norms",
    "minus_over_plus": "1",
    "features": "features",
    "effective_rank": "1",
    "rank_share": "1",
    "overlap": "1",
    "score": "1",  # mass times stability of a layer
    "in_window": "1",
    "singular_share": "1",
    "explained_variance": "1",
    "l0": "features",
    "dead": "1",
    "loss": "nats",
}

NOT_TESTED = (
    "Hindi, an 8B model, and the paper's tasks: a toy of two made-up languages and Spanish in SmolLM2-135M stand for them.",
    "That low and middle layers are the right place: the window is looked for in layers 2 to 5 of 6, and 9 to 24 of 30, alone.",
    "That the edit beats a difference of means: it is drawn beside it, at the same length in the same layers, without a threshold.",
    "Model units behind the features. The features are those of autoencoders trained here, on a few hundred activations a layer and for "
    "as long as time allows; in the real model four fifths of them were on nowhere on seed 0.",
    "Strengths as the paper has them: its edit is absolute. Here residuals have length 1 both when the autoencoder is trained and when "
    "it is at work, and strengths are in residual norms. Its residual is read before a block and written behind it; ours is read and "
    "written behind it.",
    "The paper's window, by the sum of its scores, under which the longest wins: ours is by their mean. Its autoencoder has no bias on "
    "the way out, ours has one.",
    "Shuffled labels of pairs, as a control of the rank: to turn a pair round does not change its singular values. Pairs within one "
    "language take their place.",
    "Strengths above 0.4 residual norms: the grid was fixed before the first run. On seed 0 the gain in the toy still grew at its end, "
    "and with 0.8 in the grid the default turned in all answers.",
    "A toy with three relations, and one that learns for 900 steps at a rate of 0.002: with no edit tried yet, it had not learnt the facts of the minority "
    "language on seed 0.",
    "Questions in the chat format of the real model. They are plain text here, and since it answered most of them with nothing, on seed 0 "
    "and with no edit tried yet, the end of the text is left out.",
    "Strengths are chosen for the largest gain of mass alone, as in the paper, so they may be too strong for anything else.",
    "Whether Spanish answers make sense. A list of function words decides on the language; loss on Spanish and English text is drawn.",
)

USE = """\
import torch
from pressrun.methods.steering.languages import language_mass
from pressrun.methods.steering.subspaces import bootstrap_stability, shift_subspace

logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])  # of the next token
print(language_mass(logits, target=[1], default=[0, 2]))  # P(target) - P(default)
shifts = torch.randn(200, 40) * 0.1 + torch.linspace(0, 1, 40)  # latents of translations, minus those of the originals
found = shift_subspace(shifts)
print(found.rank, found.effective_rank, found.mass, bootstrap_stability(shifts, found.rank, torch.Generator()))
"""


@dataclass(frozen=True)
class Config:
    steps: int = knob(1200, low=1, high=50_000, help="steps in which the toy decoder learns")
    width: int = knob(96, low=16, high=512, help="width of the toy decoder")
    batch: int = knob(64, low=4, high=1024, help="sentences a step sees")
    latents: int = knob(256, low=16, high=8192, help="features of each autoencoder of the toy")
    sae_steps: int = knob(600, low=1, high=50_000, help="steps in which each autoencoder of the toy is trained")
    kept: int = knob(50, low=2, high=200, help="most selective features of a layer whose lift is measured in the toy")
    lift_prompts: int = knob(16, low=1, high=200, help="prompts that a lift of the toy is measured on")
    model: str = knob("smollm2", choices=("tiny", "smollm2", "qwen2.5-coder-1.5b"), help="the real model; tiny is a random one")
    real_pairs: int = knob(120, low=8, high=144, help="translated sentences it reads")
    real_latents: int = knob(512, low=16, high=8192, help="features of each of its autoencoders")
    real_sae_steps: int = knob(300, low=1, high=50_000, help="steps in which each of its autoencoders is trained")
    real_kept: int = knob(8, low=2, high=200, help="features of a layer whose lift is measured in it")
    real_prompts: int = knob(6, low=1, high=12, help="questions that a lift in it is measured on")
    new_tokens: int = knob(20, low=3, high=200, unit="tokens", help="length of its answers")


PRESETS = {
    "smoke": Config(
        steps=30,
        width=32,
        latents=48,
        sae_steps=20,
        kept=4,
        lift_prompts=2,
        model="tiny",
        real_pairs=12,
        real_latents=48,
        real_sae_steps=20,
        real_kept=2,
        real_prompts=2,
        new_tokens=4,
    ),
    "laptop": Config(),
    "paper": Config(
        steps=5000,
        latents=1024,
        sae_steps=1500,
        model="qwen2.5-coder-1.5b",
        real_pairs=144,
        real_latents=1024,
        real_sae_steps=1500,
        real_kept=50,
    ),
}


Prompts = list[str] | Tensor


class Setting(NamedTuple):
    """A model, what its switch is looked for with, and tokens of either language."""

    model: act.Model
    layers: range
    target: Prompts  # pairwise translations of those in `default`
    default: Prompts
    weak: Prompts  # prompts that leave the language open
    held_out: Prompts  # others of them
    mass: Callable[[Tensor], Tensor]
    first_tokens: int  # over which the mass is averaged
    end: int


Switch = Sequence[LanguageSwitch]
Positions = str | slice


def replicate(config: Config, seed: int, run: Run) -> None:
    in_a_toy(config, seed, run)
    in_a_real_model(config, seed, run)


def in_a_toy(config: Config, seed: int, run: Run) -> None:
    generator = torch.Generator().manual_seed(seed)
    world = World(generator)
    setting = toy_setting(world, world.train(seed, steps=config.steps, width=config.width, batch=config.batch))
    layers = localise(setting, config.latents, config.kept, config.lift_prompts, config.sae_steps, generator, run)
    window = record_layers(run, "", setting, layers, range(2, 4), generator)
    compare_ranks([layers[i] for i in window], generator, run)
    add_features(setting, layers, generator, run)

    switch = [LanguageSwitch.of(layers[i], layers[i].chosen) for i in window]
    others = [LanguageSwitch.of(half.layer, half.layer.random(generator)) for half in switch]
    whole = [LanguageSwitch.of(half.layer, torch.arange(config.latents)) for half in switch]
    means = [half.layer.mean_difference for half in switch]
    draws = random_directions(len(switch), setting.model.width, generator)
    one, other = torch.randperm(len(setting.target), generator=generator)[:2].tolist()
    plus, ratio = strongest(setting, switch)
    arms = {
        "unedited": [],
        "edited": edits(switch, plus, ratio),
        "plus_alone": edits(switch, plus, 0.0),
        "minus_alone": [half.edit(0.0, plus, ON) for half in switch],
        "difference_of_means": pushes(switch, plus, ratio, means),
        "random_push": pushes(switch, plus, ratio, draws),
        "one_prompt_push": pushes(switch, plus, ratio, between(setting, switch, one, other)),
        "random_features": edits(others, plus, ratio),
        "all_features": edits(whole, plus, ratio),
    }
    base = mass(setting, setting.held_out, [])
    for arm, chosen in run.progress(list(arms.items()), "edits"):
        share, content = world.judge(said(setting, chosen, 2))
        run.record(arm, gain=mass(setting, setting.held_out, chosen) - base, minority_share=share, content=content)
    run.record("edited", plus=plus, minus_over_plus=ratio)
    for strength in PLUS:
        swept = {
            "edited": edits(switch, strength, ratio),
            "difference_of_means": pushes(switch, strength, ratio, means),
            "random_push": pushes(switch, strength, ratio, draws),
        }
        for arm, chosen in swept.items():
            run.record(f"{arm}_sweep", step=round(100 * strength), gain=mass(setting, setting.held_out, chosen) - base)


def toy_setting(world: World, model: act.Model) -> Setting:
    pairs = world.every(world.concepts[:SEEN])
    minority, majority = concept_tokens(MINORITY), concept_tokens(MAJORITY)
    return Setting(
        model,
        layers=range(1, 5),
        target=world.prompts(pairs, MINORITY),
        default=world.prompts(pairs, MAJORITY),
        weak=world.prompts(pairs, NEITHER)[:120],
        held_out=world.prompts(world.asked, NEITHER),
        mass=lambda logits: language_mass(logits, minority, majority),
        first_tokens=2,
        end=END,
    )


def localise(
    setting: Setting, latents: int, kept: int, prompts: int, steps: int, generator: torch.Generator, run: Run
) -> list[LanguageFeatures]:
    """Stage I, layer by layer; lifts are measured on the first of the weak prompts."""
    model, sites = setting.model, setting.model.sites(act.residual[setting.layers.start : setting.layers.stop])
    target, default, weak = (
        model.read(inputs, act.residual[:], "last_prompt") for inputs in (setting.target, setting.default, setting.weak)
    )

    def of(site: act.Site) -> LanguageFeatures:
        def lift(directions: Tensor) -> Tensor:
            return swept_lift(model, setting.weak[:prompts], site, directions, ALPHAS, setting.mass)

        return language_features(
            site,
            target[site],
            default[site],
            weak[site],
            lift,
            latents=latents,
            kept=kept,
            steps=steps,
            batch=64,
            generator=generator,
        )

    return [of(site) for site in run.progress(sites, "features")]


def record_layers(
    run: Run, prefix: str, setting: Setting, layers: Sequence[LanguageFeatures], sizes: range, generator: torch.Generator
) -> range:
    """The window with the best mean score, mass times stability of the shift; of as many layers as one of `sizes`."""
    scores = [shift(layer, layer.chosen, generator).score for layer in layers]
    window = best_window(scores, shortest=min(sizes.start, len(layers)), longest=sizes.stop - 1)
    for place, layer in enumerate(layers):
        run.record(
            f"{prefix}layers",
            step=setting.layers[place] + 1,
            score=scores[place],
            in_window=float(place in window),
            features=int((layer.score > 0).sum()),
            explained_variance=layer.quality.explained_variance,
            l0=layer.quality.l0,
            dead=layer.quality.dead,
        )
    return window


class Shift(NamedTuple):
    """What `shift` finds of the shifts in some features."""

    effective_rank: float
    rank_share: float
    overlap: float
    score: float


def shift(layer: LanguageFeatures, features: Tensor, generator: torch.Generator, shifts: Tensor | None = None) -> Shift:
    """Of translations, or of the `shifts` given, (pairs, latents)."""
    rows = layer.shifts(features) if shifts is None else shifts[:, features]
    space = shift_subspace(rows)
    overlap = bootstrap_stability(rows, space.rank, generator)
    return Shift(space.effective_rank, space.effective_rank / len(features), overlap, space.mass * overlap)


def compare_ranks(layers: Sequence[LanguageFeatures], generator: torch.Generator, run: Run) -> None:
    """What translations shift in the features and in random ones, and what another prompt of the same language shifts in them."""
    found: dict[str, list[Shift]] = {"translations": [], "one_language": [], "random_features_shift": []}
    for layer in layers:
        # As many pairs as there are translations, half of them in either language.
        within = torch.cat([z - z.roll(1, dims=0) for z in (layer.z_target, layer.z_default)])[::2]
        found["translations"].append(shift(layer, layer.chosen, generator))
        found["one_language"].append(shift(layer, layer.chosen, generator, within))
        found["random_features_shift"].append(shift(layer, layer.random(generator), generator))
        for arm, rows in (("translations", layer.shifts(layer.chosen)), ("one_language", within[:, layer.chosen])):
            if layer is layers[0]:
                shares = torch.linalg.svdvals(rows) ** 2 / rows.square().sum()
                for place, share in enumerate(shares[:12], start=1):
                    run.record(f"{arm}_spectrum", step=place, singular_share=share)
    for arm, values in found.items():
        rank, share, overlap, _ = np.mean(values, axis=0)
        run.record(arm, effective_rank=rank, rank_share=share, overlap=overlap)


def add_features(setting: Setting, layers: Sequence[LanguageFeatures], generator: torch.Generator, run: Run) -> None:
    """The 2 % of all features with the best scores, and random sets that are alike, each added at 0.2 of the residual norm."""
    scores, stats = torch.cat([layer.score for layer in layers]), torch.cat([layer.stats for layer in layers])
    latents = len(layers[0].score)
    number = torch.arange(len(scores)) // latents  # of the layer
    chosen = scores.argsort(descending=True, stable=True)[: max(1, len(scores) // 50)].tolist()
    *sets, control = matched_random(stats, chosen, RANDOM_SETS + 1, generator, groups=number)
    base = mass(setting, setting.held_out, [])

    def gain(features: list[int]) -> float:
        here = [[i % latents for i in features if i // latents == place] for place in range(len(layers))]
        written = [layer.sae.decoder.detach()[rows].sum(0) for layer, rows in zip(layers, here, strict=True)]
        added = [
            relative_push(layer.site, 0.2 * unit_rows(v), ON)
            for layer, v, rows in zip(layers, written, here, strict=True)
            if rows
        ]
        return mass(setting, setting.held_out, added) - base

    usual = np.mean([abs(gain(each)) for each in run.progress(sets, "random features")])
    for arm, features in {"chosen_features": chosen, "one_more_set": control}.items():
        found = gain(features)
        run.record(arm, features=len(features), gain=found, gain_over_random=found / usual)


def edits(switch: Switch, plus: float, ratio: float, positions: Positions = ON) -> list[act.Edit]:
    return [half.edit(plus, ratio * plus, positions) for half in switch]


def pushes(switch: Switch, plus: float, ratio: float, directions: Iterable[Tensor], positions: Positions = ON) -> list[act.Edit]:
    """Along other directions, in the same layers, as far as the edit goes there."""
    return [
        relative_push(half.layer.site, half.length(plus, ratio * plus) * unit_rows(direction), positions)
        for half, direction in zip(switch, directions, strict=True)
    ]


def between(setting: Setting, switch: Switch, one: int, other: int) -> list[Tensor]:
    """From a prompt in the default language to another one in the target's: the shift carries what the other is about."""
    near = setting.model.read(setting.default[one : one + 1], act.residual[:], "last_prompt")
    far = setting.model.read(setting.target[other : other + 1], act.residual[:], "last_prompt")
    return [(unit_rows(far[half.layer.site]) - unit_rows(near[half.layer.site]))[0] for half in switch]


def strongest(setting: Setting, switch: Switch) -> tuple[float, float]:
    """The strength, and minus over plus, with the largest mass on the prompts that the switch was found with."""
    return max(product(PLUS, MINUS), key=lambda at: mass(setting, setting.weak, edits(switch, *at)))


def mass(setting: Setting, prompts: Prompts, chosen: Sequence[act.Edit]) -> float:
    """Mean over prompts and the first few decoding steps."""
    logits = torch.stack(answers(setting, prompts, chosen, setting.first_tokens).logits)
    return float(setting.mass(logits).mean())


def said(setting: Setting, chosen: Sequence[act.Edit], tokens: int) -> Tensor:
    """(held-out prompts, tokens)."""
    return answers(setting, setting.held_out, chosen, tokens).sequences[:, -tokens:]  # type: ignore[no-any-return]


@torch.no_grad()
def answers(setting: Setting, prompts: Prompts, chosen: Sequence[act.Edit], tokens: int) -> Any:  # noqa: ANN401  # what `generate` returns
    """Greedy, and none of them ends before so many tokens."""
    inputs = (
        setting.model.inputs(prompts)
        if isinstance(prompts, list)
        else {"input_ids": prompts, "attention_mask": torch.ones_like(prompts)}
    )
    with setting.model.edit(*chosen):
        return setting.model.module.generate(
            **inputs,
            do_sample=False,
            min_new_tokens=tokens,
            max_new_tokens=tokens,
            return_dict_in_generate=True,
            output_logits=True,
            pad_token_id=setting.end,
        )


def in_a_real_model(config: Config, seed: int, run: Run) -> None:
    """The same in a language model that mostly knows English."""
    generator = torch.Generator().manual_seed(seed)
    setting = real_setting(config, generator)
    layers = localise(setting, config.real_latents, config.real_kept, config.real_prompts, config.real_sae_steps, generator, run)
    window = record_layers(run, "real_", setting, layers, range(3, 7), generator)
    switch = [LanguageSwitch.of(layers[i], layers[i].chosen) for i in window]
    plus, ratio = strongest(setting, switch)
    run.record("real_edited", plus=plus, minus_over_plus=ratio)
    base = mass(setting, setting.held_out, [])
    means = [half.layer.mean_difference for half in switch]
    draws = [random_directions(len(switch), setting.model.width, generator) for _ in range(RANDOM_PUSHES + 1)]
    gains = [
        mass(setting, setting.held_out, pushes(switch, plus, ratio, draw)) - base
        for draw in run.progress(draws[1:], "random pushes")
    ]
    for arm in run.progress(("real_unedited", "real_edited", "real_difference_of_means", "real_random_push"), config.model):

        def chosen(positions: Positions, arm: str = arm) -> list[act.Edit]:
            if arm == "real_unedited":
                return []
            if arm == "real_edited":
                return edits(switch, plus, ratio, positions)
            return pushes(switch, plus, ratio, draws[0] if arm == "real_random_push" else means, positions)

        gain = mass(setting, setting.held_out, chosen(ON)) - base
        texts = setting.model.tokenizer.batch_decode(said(setting, chosen(ON), config.new_tokens), skip_special_tokens=True)
        spanish = np.mean([sounds_spanish(text) for text in texts])
        run.record(arm, gain=gain, gain_over_random=gain / np.mean(np.abs(gains)), minority_share=spanish)
        for language, lines in TEXTS.items():
            run.record(f"{arm}_{language}", loss=text_loss(setting.model, lines, chosen("all")))


def real_setting(config: Config, generator: torch.Generator) -> Setting:
    pairs = [(frame[0].format(thing[0]), frame[1].format(thing[1])) for frame in FRAMES for thing in THINGS]
    pairs = [pairs[i] for i in torch.randperm(len(pairs), generator=generator)[: config.real_pairs].tolist()]
    order = torch.randperm(len(QUESTIONS), generator=generator).tolist()
    asked = [f"Question: {QUESTIONS[i]}\nAnswer:" for i in order]
    texts = [text for several in (*pairs, *TEXTS.values(), asked, [SPANISH, ENGLISH]) for text in several]
    model = language_model(config.model, texts)
    spanish, english = language_token_sets(model.tokenizer, SPANISH.split(), ENGLISH.split())
    end = torch.tensor(model.tokenizer.eos_token_id)
    return Setting(
        model,
        layers=range(model.layers * 8 // 30, max(1, model.layers * 24 // 30)),
        target=[pair[1] for pair in pairs],
        default=[pair[0] for pair in pairs],
        weak=asked[:12],
        held_out=asked[12:],
        # Without the end of the text, with which most questions would be answered.
        mass=lambda logits: language_mass(logits.index_fill(-1, end, -torch.inf), spanish, english),
        first_tokens=3,
        end=int(end),
    )


@torch.no_grad()
def text_loss(model: act.Model, texts: Sequence[str], chosen: Sequence[act.Edit]) -> float:
    """Mean over the tokens of all texts."""
    batch = model.inputs(list(texts), padding="right")
    with model.edit(*chosen):
        logits = model.module(**batch).logits[:, :-1].float()
    labels = batch["input_ids"][:, 1:].masked_fill(batch["attention_mask"][:, 1:] == 0, -100)
    return float(cross_entropy(logits.flatten(0, 1), labels.flatten()))


RED, BLUE, GREY = "#a63d1f", "#2f5d8a", "0.55"


def draw(evidence: Evidence) -> Figure:
    """Above the toy's strengths, spectrum and edits; below where the window lies in both, and what the real model does."""
    figure, panels = plt.subplots(2, 3, figsize=(12, 6.6), layout="constrained")
    sweeps = {"edited": RED, "difference_of_means": BLUE, "random_push": GREY}
    draw_curves(panels[0, 0], evidence, "gain", {f"{arm}_sweep": colour for arm, colour in sweeps.items()})
    panels[0, 0].set(xlabel="plus (% of the residual norm)", ylabel="gain of the minority language", title="toy: strength")
    draw_curves(panels[0, 1], evidence, "singular_share", {"translations_spectrum": RED, "one_language_spectrum": GREY})
    panels[0, 1].set(xlabel="direction", ylabel="share of the squared shift", title="toy: spectrum of the shift", ylim=(0, 1))
    names = ("unedited", "edited", "plus_alone", "minus_alone", "difference_of_means", "one_prompt_push", "random_push")
    arms = (*names, "random_features", "all_features")
    draw_shares(panels[0, 2], evidence, arms, {"minority_share": ("in the minority language", RED), "content": ("right", BLUE)})
    panels[0, 2].set(title="toy: answers (%)")
    draw_window(panels[1, 0], evidence)
    real = ("real_unedited", "real_edited", "real_difference_of_means", "real_random_push")
    shown = {"minority_share": ("in Spanish", RED), "gain": ("gain of Spanish", BLUE)}
    draw_shares(panels[1, 1], evidence, real, shown)
    panels[1, 1].set(title="real model: answers (%), gain (points)")
    draw_losses(panels[1, 2], evidence, real)
    return figure


def draw_curves(axes: Axes, evidence: Evidence, metric: str, arms: dict[str, str]) -> None:
    """A line a seed."""
    for arm, colour in arms.items():
        label = arm.removesuffix("_sweep").removesuffix("_spectrum").replace("_", " ")
        for number, line in enumerate(evidence.curves(metric, arm).values()):
            axes.plot(line.step, line.value, "o-", color=colour, markersize=3, alpha=0.6, label=None if number else label)
    axes.legend(frameon=False, fontsize=8)


def draw_shares(axes: Axes, evidence: Evidence, arms: Sequence[str], metrics: dict[str, tuple[str, str]]) -> None:
    """A row an arm: a dot a seed."""
    for shift_by, (metric, (label, colour)) in zip((-0.12, 0.12), metrics.items(), strict=True):
        for row, arm in enumerate(arms):
            values = [100 * value for value in evidence.values(metric, arm).values()]
            axes.plot(
                values, [row + shift_by] * len(values), "o", color=colour, markersize=4, alpha=0.6, label=None if row else label
            )
    axes.set(yticks=range(len(arms)), yticklabels=[arm.removeprefix("real_").replace("_", " ") for arm in arms])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)


def draw_window(axes: Axes, evidence: Evidence) -> None:
    """Scores over the layers of both models; filled dots are in the window."""
    for arm, colour, label in (("layers", RED, "toy, of 6 layers"), ("real_layers", BLUE, "real model")):
        inside = evidence.curves("in_window", arm)
        for number, (seed, line) in enumerate(evidence.curves("score", arm).items()):
            axes.plot(line.step, line.value, "-", color=colour, alpha=0.4, label=None if number else label)
            fill = [colour if chosen else "white" for chosen in inside[seed].value]
            axes.scatter(line.step, line.value, s=18, c=fill, edgecolors=colour, zorder=3)
    axes.set(xlabel="layer", ylabel="mass times stability", title="layers, and the window (filled)")
    axes.legend(frameon=False, fontsize=8)


def draw_losses(axes: Axes, evidence: Evidence, arms: Sequence[str]) -> None:
    """Loss on Spanish against loss on English text; a dot a seed."""
    for arm, colour in zip(arms, ("0.1", RED, BLUE, GREY), strict=True):
        english, spanish = (list(evidence.values("loss", f"{arm}_{language}").values()) for language in ("english", "spanish"))
        axes.plot(english, spanish, "o", color=colour, alpha=0.7, label=arm.removeprefix("real_").replace("_", " "))
    axes.set(xlabel="loss on English text (nats a token)", ylabel="loss on Spanish text", title="real model: at what price")
    axes.legend(frameon=False, fontsize=8)
