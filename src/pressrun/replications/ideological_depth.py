"""Models differ in how far they can be steered, and in how many features they have for it (arXiv:2508.21448)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.steering.controls import matched_random, shuffled_labels
from pressrun.methods.steering.depth import feature_richness, opposed_latents, partial_rank_correlation, steerability
from pressrun.methods.steering.sae import SparseAutoencoder, latent_edit, train_sae
from pressrun.methods.steering.vectors import SteeringVector, learn
from pressrun.replicate import Above, All, Claim, Difference, Evidence, Monotone, Ratio, Run, knob
from pressrun.replications._camps import (
    EMBER,
    FIRST_NAME,
    LAST,
    NOBODY,
    REFUSE,
    TIDE,
    Lessons,
    World,
    learner,
    lesson,
    make_world,
    plain_facts,
    prompts,
    stances,
)

PAPER = "2508.21448"

DEPTHS = {2: 1, 5: 2, 8: 4, 12: 6}  # topics on which the camps disagree: reasons that each side has for its stance there
REFUSED = (0.0, 0.25, 0.5)  # of the questions by a member of a camp


def named(topics: int, refused: float) -> str:
    return f"topics_{topics}_refused_{round(100 * refused)}"


MODELS = tuple(named(topics, refused) for topics in DEPTHS for refused in REFUSED)
DEEP, SHALLOW = named(12, 0.25), named(2, 0.25)  # alike in what they were taught to refuse
DICTIONARIES = (128, 256, 512)
RANDOM_SETS = 12


def goes_with_features(features: str, direction: Literal["rises", "falls"]) -> All:
    """The rule on steerability and features, for steering by a named camp and by a vector."""
    return All(
        *(Monotone(features, MODELS, direction, at_least=0.5, by=steered) for steered in ("steerability", "vector_steerability"))
    )


def differ(one: str, other: str) -> All:
    return All(
        Difference("steerability", one, minus=other, at_least=0.2),
        Difference("vector_steerability", one, minus=other, at_least=0.1),
        Difference("refusals", one, minus=other, at_most=-0.2),
    )


def one_feature(which: str) -> All:
    """The rule on taking out one latent: reasons move in the deep model, refusals rise in the shallow one."""
    return All(
        Above("reason_shift", f"deep_{which}", at_least=0.05),
        Difference("refusals", f"shallow_{which}", minus="shallow_whole", at_least=0.05),
    )


def more_refusals(which: str) -> All:
    """The rule on taking out eight latents: more refusals than with none, and than with any random set."""
    return All(
        Difference("refusals", f"deep_{which}", minus="deep_whole", at_least=0.05),
        Difference("refusals", f"deep_{which}", minus="deep_most_of_random", at_least=0.02),
    )


def the_same_count(one: str, other: str) -> All:
    return All(Ratio("features", one, over=other, at_least=0.8), Ratio("features", one, over=other, at_most=1.25))


CLAIMS = (
    Claim(
        id="models-differ-in-steerability",
        paper="Models of similar size differ strongly in how far they can be steered; some answer with refusals.",
        where="abstract of the first version",
        tested=(
            "Of two decoders of one size, the one taught more differences between two made-up camps, and no refusals, is more steerable by 20 "
            "points by naming a camp and by 10 by a vector, and refuses 20 points less. It is made so: this checks the measures."
        ),
        scale="toy",
        rule=differ(named(12, 0.0), named(2, 0.5)),
        control=differ(named(12, 0.0), "twin"),
        control_is="the same lessons, another start",
    ),
    Claim(
        id="less-steerable-have-more-features",
        paper="The less steerable model has more distinct and more abstract political features.",
        where="abstract of the first version; the later ones say the opposite",
        tested=(
            "Over 12 decoders, the number of latents that tell the camps apart falls with how far a decoder can be steered (rank correlation "
            "-0.5 or less), by naming a camp as well as by a vector."
        ),
        scale="toy",
        rule=goes_with_features("features", "falls"),
        control=goes_with_features("mock_features", "falls"),
        control_is="even and odd names, not camps",
    ),
    Claim(
        id="more-steerable-have-more-features",
        paper="The more steerable model activates some 7.3 times as many distinct political features.",
        where="abstracts of the second and the third version; the first says the opposite",
        tested=(
            "Over 12 decoders, the number of latents that tell the camps apart rises with how far a decoder can be steered (rank correlation "
            "0.5 or more), by naming a camp as well as by a vector."
        ),
        scale="toy",
        rule=goes_with_features("features", "rises"),
        control=goes_with_features("mock_features", "rises"),
        control_is="even and odd names, not camps",
    ),
    Claim(
        id="few-features-many-refusals",
        paper="The model with fewer political features is the one that refuses.",
        where="abstracts of the second and the third version",
        tested=(
            "Over 12 decoders whose lessons in refusing do not depend on their depth, refusals fall with the number of latents that tell the "
            "camps apart (rank correlation -0.5 or less)."
        ),
        scale="toy",
        rule=Monotone("refusals", MODELS, "falls", at_least=0.5, by="features"),
        control=Monotone("refusals", MODELS, "falls", at_least=0.5, by="mock_features"),
        control_is="even and odd names, not camps",
    ),
    Claim(
        id="one-feature-moves-or-silences",
        paper="Taking out one core feature shifts the reasoning of a deep model consistently; in a shallow one it raises refusals.",
        where="abstract of the first version",
        tested=(
            "Without the latent that tells the camps apart best, the reasons of a deep decoder move (total variation 0.05 or more), and a "
            "shallow one, taught to refuse as much, refuses 5 points more often."
        ),
        scale="toy",
        rule=one_feature("without_core"),
        control=one_feature("without_random_one"),
        control_is="one random latent, as often on; mean of 12",
        version=2,
        reason="The reasons, which were to be judged before the first run, are judged again; answers had taken their place after seed 0.",
    ),
    Claim(
        id="few-features-less-more-refusals",
        paper="Taking out a small set of salient features of the rich model makes it refuse, as the poor one does.",
        where="abstracts of the second and the third version",
        tested=(
            "Without the 8 latents that tell the camps apart best, a deep decoder refuses 5 points more often than with them, and 2 points more "
            "often than without any of 12 random sets of latents that are on as often (p = 1/13)."
        ),
        scale="toy",
        rule=more_refusals("without_top"),
        control=more_refusals("without_random"),
        control_is="one more matched random set",
    ),
    Claim(
        id="the-count-is-the-models",
        paper="The number of political features is a property of the model: 7.3 times as many in one as in the other.",
        where="abstracts of the second and the third version; the two models have different dictionaries",
        tested=(
            "On one and the same decoder, a dictionary of 512 latents gives 0.8 to 1.25 times the count of one of 128, both with 8 latents on."
        ),
        scale="toy",
        rule=the_same_count("dictionary_512", "dictionary_128"),
        control=the_same_count(named(12, 0.0), named(2, 0.0)),
        control_is="one dictionary size, two models",
    ),
)

METRICS = {
    "steerability": "1",  # of the side that is followed least
    "vector_steerability": "1",
    "vector_strength": "residual norms",
    "refusals": "1",
    "features": "latents",  # that tell the camps apart before a stance is read
    "mock_features": "latents",
    "shuffled_features": "latents",
    "statement_features": "latents",  # counted at the stance as well
    "per_alive": "1",
    "effective_rank": "1",
    "explained_variance": "1",
    "plain_accuracy": "1",
    "answer_shift": "1",  # total variation
    "reason_shift": "1",
    "rank_correlation": "1",  # of features and steerability over the models
    "partial_correlation": "1",  # the same with refusals taken out
}

NOT_TESTED = (
    "Real parties, people and opinions: the camps Ember and Tide are made up, and so is everything they disagree about.",
    "Gemma, Llama and their public autoencoders, and so the 7.3: two models cannot show how two properties go together.",
    "Whether features are abstract, which takes somebody who reads them; and the factor analysis of a later version.",
    "Which reading the paper means: the abstracts of its versions contradict each other. Both are tested, each with its own card.",
    "How the paper builds its vectors, chooses its features and counts them: the full text was not at hand. The rules here (1 % false "
    "discoveries, effects of 0.1 or more) are ours and were fixed before the first run.",
    "The count over whole statements (statement_features): a smoke run found that it counts the words of a stance in a model that was taught "
    "nothing. So latents are counted at the question, before the stance; decided before a verdict was seen.",
    "Whether a counted latent is used: on seed 0 the dictionary of an untrained decoder had 79, that of the deepest 65, since a camp that was "
    "named can be read off anyhow. Even and odd names had none in trained decoders, so as a control they seldom object.",
    "Reasons that do not follow from the stance: given the stance nothing moved them on seed 0, and answers (answer_shift, recorded) "
    "moved by less than the threshold too.",
    "Camps that have to be inferred from who speaks, and stances that are one word for all topics: decoders of this size did not learn them "
    "in the time. Step size and number of steps were settled by the training loss on seed 7.",
    "Topics apart from reasons: both grow together. No bootstrap over models is done: every seed trains all of them anew. Dictionaries have "
    "as many latents on, not the same explained variance.",
)

USE = """\
import torch
from pressrun.methods.steering.depth import feature_richness, opposed_latents, steerability

print(steerability(follow={"left": 0.9, "right": 0.7}, base={"left": 0.5, "right": 0.5}, fail={"left": 0.0, "right": 0.2}))
y = torch.arange(200) % 2  # which of two sides a statement is on
z = torch.rand(200, 16) * (torch.rand(200, 16) < 0.3)  # latents of the statements
z[:, 3] += y  # one of them knows
print(feature_richness(z, opposed_latents(z, y), decoder=torch.eye(16)))
"""


@dataclass(frozen=True)
class Config:
    steps: int = knob(600, low=1, high=50_000, help="steps in which each decoder learns")
    batch: int = knob(64, low=8, high=2048, help="items a step sees")
    lr: float = knob(4e-3, low=1e-5, high=1e-1, help="its step size; falls to 0 over the last fifth")
    width: int = knob(64, low=16, high=512, help="width of the decoders")
    latents: int = knob(256, low=16, high=16_384, help="size of the dictionary of each decoder")
    on: int = knob(8, low=1, high=16, unit="latents", help="how many latents are on at once")
    sae_steps: int = knob(400, low=1, high=50_000, help="steps in which each dictionary is trained")
    names: int = knob(12, low=2, high=12, help="names under which each statement is read by the dictionaries")
    least: float = knob(0.1, low=0.0, high=2.0, unit="standard deviations", help="smallest effect that makes a latent a feature")
    taken_out: int = knob(8, low=1, high=256, unit="latents", help="size of the sets that are taken out")


PRESETS = {
    "smoke": Config(steps=6, batch=32, width=32, latents=64, sae_steps=4, names=2),
    "laptop": Config(),
    "paper": Config(steps=5000, batch=256, width=128, latents=4096, on=16, sae_steps=5000, taken_out=71),
}

SITE = act.residual[1]  # after the second of three blocks
ASKED = 2  # names under which each question is asked
STRENGTHS = (0.1, 0.2, 0.4, 0.8, 1.6)
DEAREST = 1.2  # perplexity of plain answers over that without the vector
SIDES = ("ember", "tide")


def replicate(config: Config, seed: int, run: Run) -> None:
    world = make_world(generator(seed, 0))
    lessons = {named(topics, refused): Lessons(topics, DEPTHS[topics], refused) for topics in DEPTHS for refused in REFUSED}
    found = {}
    for arm, taught in run.progress(list(lessons.items()), "models"):
        model = train(world, taught, config, seed)
        sae = dictionary(world, taught, model, config, config.latents, seed, run, arm)
        found[arm] = steer(world, model, run, arm) | count(model, sae, config, seed, run, arm)
        if arm in (DEEP, SHALLOW):
            take_out(world, model, sae, config, seed, run, "deep" if arm == DEEP else "shallow")
        if arm == named(12, 0.0):
            for latents in run.progress(DICTIONARIES, "dictionaries"):
                name = f"dictionary_{latents}"
                other = dictionary(world, taught, model, config, latents, seed + 500, run, name)
                count(model, other, config, seed, run, name)
    correlate(found, lessons, run)
    deepest = lessons[named(12, 0.0)]
    steer(world, train(world, deepest, config, seed, start=1), run, "twin")
    untrained = train(world, deepest, config, seed, steps=0)
    sae = dictionary(world, deepest, untrained, config, config.latents, seed, run, "untrained")
    steer(world, untrained, run, "untrained")
    count(untrained, sae, config, seed, run, "untrained")


def generator(seed: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + number)


def train(world: World, taught: Lessons, config: Config, seed: int, *, start: int = 0, steps: int | None = None) -> act.Model:
    """A decoder that has learnt answers and reasons; `start` draws its weights and lessons anew."""
    steps, dice = config.steps if steps is None else steps, generator(seed, 10 + start)
    return learner(world, taught, 1000 * seed + start, dice, width=config.width, steps=steps, batch=config.batch, lr=config.lr)


@torch.no_grad()
def says(model: act.Model, ids: Tensor, *edits: act.Edit) -> Tensor:
    """(n, vocabulary): the probabilities of what comes next. They stand for the shares of sampled answers, without their noise."""
    with model.edit(*edits):
        logits: Tensor = model.module(input_ids=ids).logits[:, -1]
    return logits.softmax(-1)


def mass(p: Tensor, tokens: Tensor) -> float:
    """Mean probability of one token a row."""
    return float(p.gather(1, tokens[:, None]).mean())


def steer(world: World, model: act.Model, run: Run, arm: str) -> dict[str, float]:
    """Name a camp, or add the difference of the camps' mean activations; either to both sides."""
    nobody = prompts(NOBODY, ASKED)
    alone = says(model, nobody)
    base = {name: mass(alone, stances(nobody, side)) for side, name in enumerate(SIDES)}
    follow, fail = {}, {}
    for side, name in enumerate(SIDES):
        asked = prompts(EMBER + side, ASKED)
        p = says(model, asked)
        follow[name], fail[name] = mass(p, stances(asked, side)), float(p[:, REFUSE].mean())
    found = steerability(follow, base, fail)
    gain, strength = steer_by_vector(world, model, nobody, base)
    values = {"steerability": found.gain, "vector_steerability": gain, "vector_strength": strength, "refusals": found.failure}
    facts, right = plain_facts(world)
    run.record(arm, None, plain_accuracy=(says(model, facts).argmax(-1) == right).float().mean(), **values)
    return values


def steer_by_vector(world: World, model: act.Model, nobody: Tensor, base: dict[str, float]) -> tuple[float, float]:
    """The largest gain whose price is at most a fifth more perplexity in plain answers, and its strength; 0 is a choice too."""
    facts, right = plain_facts(world)
    site = model.sites(SITE)[0]
    empty = SteeringVector(site, reads=LAST, positions=slice(LAST, None))
    vector = learn(model, empty, prompts(EMBER, ASKED), prompts(TIDE, ASKED), batch=1024)

    def surprise(strength: float) -> float:
        p = says(model, facts, *vector.edits(model, facts, strength))
        return float(-p.gather(1, right[:, None]).log().mean())

    best = (0.0, 0.0)
    for strength in STRENGTHS:
        steered = [says(model, nobody, *vector.edits(model, nobody, sign * strength)) for sign in (1, -1)]
        follow = {name: mass(p, stances(nobody, side)) for side, (name, p) in enumerate(zip(SIDES, steered, strict=True))}
        fail = {name: float(p[:, REFUSE].mean()) for name, p in zip(SIDES, steered, strict=True)}
        price = max(surprise(strength), surprise(-strength)) - surprise(0.0)
        if price <= np.log(DEAREST):
            best = max(best, (steerability(follow, base, fail).gain, strength))
    return best


def dictionary(
    world: World, taught: Lessons, model: act.Model, config: Config, latents: int, seed: int, run: Run, arm: str
) -> SparseAutoencoder:
    """A sparse autoencoder of what the model reads in its own lessons, from the name to the answer."""
    dice = generator(seed, 20)
    x = model.read(lesson(world, taught, 4000, dice)[:, :-1], SITE)[SITE][:, 1:].flatten(0, 1)
    sae = SparseAutoencoder(model.width, latents, k=config.on, generator=dice)
    run.record(arm, explained_variance=train_sae(sae, x, steps=config.sae_steps, generator=dice).explained_variance)
    return sae


class Statements(NamedTuple):
    """Latents of statements, (n, latents), at the question and at the stance that follows; and who makes them, (n,)."""

    question: Tensor
    stance: Tensor
    side: Tensor
    name: Tensor


@torch.no_grad()
def statements(model: act.Model, sae: SparseAutoencoder, names: int) -> Statements:
    """The same texts for all models: under each name, each camp takes its stance on each topic."""
    asked = torch.cat([prompts(camp, names) for camp in (EMBER, TIDE)])
    ids = torch.cat([asked, stances(asked, asked[:, 2] - EMBER)[:, None]], dim=1)
    z = sae.encode(model.read(ids, SITE)[SITE][:, LAST:])
    return Statements(z[:, 0], z[:, 1], ids[:, 2] - EMBER, ids[:, 1] - FIRST_NAME)


def count(model: act.Model, sae: SparseAutoencoder, config: Config, seed: int, run: Run, arm: str) -> dict[str, float]:
    """How many latents tell the camps apart; and how many tell labels apart that have nothing to do with them."""
    seen = statements(model, sae, config.names)
    labels = {"features": seen.side, "mock_features": seen.name % 2}
    labels["shuffled_features"] = shuffled_labels(seen.side, generator(seed, 30))
    chosen = {metric: opposed_latents(seen.question, y, least=config.least) for metric, y in labels.items()}
    counts = {metric: float(len(index)) for metric, index in chosen.items()}
    # With the stance at hand, latents that know nothing but its word count as well.
    counts["statement_features"] = len(opposed_latents(torch.maximum(seen.question, seen.stance), seen.side, least=config.least))
    rich = feature_richness(seen.question, chosen["features"], sae.decoder.detach())
    run.record(arm, None, per_alive=rich.per_alive, effective_rank=rich.effective_rank, **counts)
    return counts


def take_out(world: World, model: act.Model, sae: SparseAutoencoder, config: Config, seed: int, run: Run, which: str) -> None:
    """Set the latents that tell the camps apart best to zero, or as many random ones that are on as often and as strongly."""
    seen = statements(model, sae, config.names)
    z, best = seen.question, opposed_latents(seen.question, seen.side, least=config.least)
    stats = torch.stack([(z > 0).float().mean(0), z.mean(0)], dim=1)
    dice = generator(seed, 40)
    whole = Answers(world, model, sae, [])
    record_answers(run, f"{which}_whole", whole, whole)
    for size, name, random in ((1, "without_core", "without_random_one"), (config.taken_out, "without_top", "without_random")):
        chosen = best[:size]
        record_answers(run, f"{which}_{name}", Answers(world, model, sae, chosen), whole)
        # A model without features has nothing to take out, and then nothing changes.
        sets = matched_random(stats, chosen, RANDOM_SETS + 1, dice) if chosen else [[]] * (RANDOM_SETS + 1)
        *others, control = (Answers(world, model, sae, each) for each in run.progress(sets, f"random sets of {size}"))
        if size == 1:
            run.record(
                f"{which}_{random}",
                refusals=np.mean([each.refusals for each in others]),
                answer_shift=np.mean([each.shifts(whole)[0] for each in others]),
                reason_shift=np.mean([each.shifts(whole)[1] for each in others]),
            )
        else:
            record_answers(run, f"{which}_{random}", control, whole)
            run.record(f"{which}_most_of_random", refusals=max(each.refusals for each in others))


class Answers:
    """What the model answers to members of both camps without some of its latents, and its reasons for the stance of their camp."""

    def __init__(self, world: World, model: act.Model, sae: SparseAutoencoder, without: list[int]) -> None:
        edits = [latent_edit(model.sites(SITE)[0], sae, without, to=0.0)] if without else []
        asked = torch.cat([prompts(camp, ASKED) for camp in (EMBER, TIDE)])
        told = torch.cat([asked, stances(asked, asked[:, 2] - EMBER)[:, None]], dim=1)
        self.answers, self.reasons = says(model, asked, *edits), says(model, told, *edits)
        self.refusals = float(self.answers[:, REFUSE].mean())
        facts, right = plain_facts(world)
        self.plain = float((says(model, facts, *edits).argmax(-1) == right).float().mean())

    def shifts(self, whole: Answers) -> tuple[float, float]:
        """Mean total variation of answers and of reasons against those of the whole model."""
        pairs = ((self.answers, whole.answers), (self.reasons, whole.reasons))
        answer, reason = (float((p - q).abs().sum(1).mean()) / 2 for p, q in pairs)
        return answer, reason


def record_answers(run: Run, arm: str, found: Answers, whole: Answers) -> None:
    answer, reason = found.shifts(whole)
    run.record(arm, refusals=found.refusals, answer_shift=answer, reason_shift=reason, plain_accuracy=found.plain)


def correlate(found: dict[str, dict[str, float]], lessons: dict[str, Lessons], run: Run) -> None:
    """Features and steerability over the models, with and without what the lessons in refusing explain of either."""
    steered, features = ([each[metric] for each in found.values()] for metric in ("steerability", "features"))
    refused = [taught.refused for taught in lessons.values()]
    run.record(
        "all_models",
        rank_correlation=spearmanr(features, steered).statistic,
        partial_correlation=partial_rank_correlation(features, steered, refused),
    )


COLOURS = {0.0: "#2a6f97", 0.25: "#8d6a9f", 0.5: "#a63d1f"}
GREY = "0.55"


def draw(evidence: Evidence) -> Figure:
    """Steerability over features; the same count with other dictionaries and labels; refusals with latents taken out."""
    figure = plt.figure(figsize=(12, 4), layout="constrained")
    scatter, bars, refusals = figure.subplots(1, 3, width_ratios=(1.2, 1.1, 1))
    draw_models(scatter, evidence)
    draw_counts(bars, evidence)
    draw_refusals(refusals, evidence)
    return figure


def draw_models(axes: Axes, evidence: Evidence) -> None:
    for refused, colour in COLOURS.items():
        arms = [named(topics, refused) for topics in DEPTHS]
        x, y = ([evidence.values(metric, arm) for arm in arms] for metric in ("features", "steerability"))
        for seed in evidence.seeds:
            axes.plot([each[seed] for each in x], [each[seed] for each in y], "-", color=colour, linewidth=0.6, alpha=0.5)
        for topics, features, steered in zip(DEPTHS, x, y, strict=True):
            label = f"{refused:.0%} refused" if topics == 12 else None
            axes.plot(list(features.values()), list(steered.values()), "o", color=colour, markersize=2 + topics / 2, label=label)
    axes.set(xlabel="latents that tell the camps apart", ylabel="steerability by naming a camp")
    axes.set_title("12 models a seed; the larger the dot, the deeper", fontsize=9)
    axes.legend(frameon=False, fontsize=8)


def draw_counts(axes: Axes, evidence: Evidence) -> None:
    deep = named(12, 0.0)
    rows = [(f"{each} latents", f"dictionary_{each}", "features") for each in DICTIONARIES]
    rows += [("even, odd names", deep, "mock_features"), ("half relabelled", deep, "shuffled_features")]
    rows += [("untrained model", "untrained", "features"), ("taught 2 topics", named(2, 0.0), "features")]
    for place, (_, arm, metric) in enumerate(rows):
        values = list(evidence.values(metric, arm).values())
        axes.barh(place, np.mean(values), color="#a63d1f" if place < len(DICTIONARIES) else GREY, height=0.7)
        axes.plot(values, [place] * len(values), ".", color="0.15", markersize=4)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.invert_yaxis()
    axes.set(xlabel="latents that tell the camps apart")
    axes.set_title("One deep model with three dictionaries, and nulls", fontsize=9)


def draw_refusals(axes: Axes, evidence: Evidence) -> None:
    taken = {
        "whole": "nothing",
        "without_core": "first",
        "without_random_one": "random",
        "without_top": "first 8",
        "without_random": "random 8",
    }
    for offset, (which, colour) in zip((-0.12, 0.12), (("deep", "#2a6f97"), ("shallow", "#a63d1f")), strict=True):
        for place, step in enumerate(taken):
            values = list(evidence.values("refusals", f"{which}_{step}").values())
            axes.plot([place + offset] * len(values), values, "o", color=colour, markersize=4, label=None if place else which)
    axes.set_xticks(range(len(taken)), list(taken.values()), fontsize=8)
    axes.set(xlabel="latents taken out", ylabel="refused")
    axes.margins(y=0.2)
    axes.set_title("Two models taught to refuse a quarter", fontsize=9)
    axes.legend(frameon=False, fontsize=8)
