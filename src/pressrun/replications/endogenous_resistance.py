"""Language models that are pushed off their topic sometimes notice it and start again (arXiv:2602.06941)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, one_hot
from transformers import LlamaConfig, LlamaForCausalLM

from pressrun.methods import activations as act
from pressrun.methods.steering.controls import derangement, matched_random
from pressrun.methods.steering.directions import random_directions
from pressrun.methods.steering.resistance import (
    Resistance,
    calibrate_each,
    is_repetitive,
    recovery_batch,
    resistance,
    split_attempts,
    split_text,
)
from pressrun.methods.steering.sae import SparseAutoencoder, exclusive_latents, latent_edit, train_sae
from pressrun.methods.steering.vectors import SteeringVector, learn
from pressrun.replicate import (
    Above,
    All,
    Below,
    Claim,
    Contrast,
    Difference,
    Equivalent,
    Evidence,
    Monotone,
    Rate,
    Ratio,
    Run,
    knob,
)
from pressrun.replications._tiny import language_model

PAPER = "2602.06941"

SHARES = (0.0, 0.1, 0.3, 0.6)  # of self-correction among the examples of the fine-tuning
LEVELS = tuple(1 + 0.2 * z for z in np.linspace(-3, 3, 8))  # times the calibrated strength; a fifth of it stands for a sigma
RANDOM_SETS = 12


def tuned(share: float) -> str:
    return f"tuned_{round(100 * share)}"


def induced(prefix: str) -> All:
    """The rule on fine-tuning, for what `prefix` steers with."""
    arms = tuple(prefix + tuned(share) for share in SHARES)
    return All(
        Ratio("multi_attempt", arms[-1], over=arms[0], at_least=10),
        Above("multi_attempt", arms[-1], at_least=0.01),
        Above("esr", arms[-1], at_least=0.001),
        Monotone("multi_attempt", arms, "rises", at_least=0.8),
    )


def middle_band(prefix: str) -> All:
    """The rule on the course over the strength: the two levels about the calibrated one above the weakest and the strongest."""
    middle = (f"{prefix}level_4", f"{prefix}level_5")
    return All(
        *(
            Contrast(metric, plus=middle, minus=(f"{prefix}level_{end}",), at_least=least)
            for metric, least in (("multi_attempt", 0.01), ("esr", 0.002))
            for end in (1, 8)
        )
    )


def specific(arm: str) -> All:
    """The rule on an ablation: fewer restarts than with any random set and than without, at the same first score."""
    return All(
        Difference("multi_attempt", arm, minus="fewest_of_random", at_most=-0.002),
        Difference("multi_attempt", arm, minus=tuned(0.6), at_most=-0.002),
        Equivalent("first_score", arm, to=tuned(0.6), margin=5),
    )


CLAIMS = (
    Claim(
        id="small-models-hardly-restart",
        paper=(
            "Llama-3.3-70B makes several attempts in 7.4 % of steered answers and improves in 3.8 %; smaller models make several "
            "in at most 1.1 %."
        ),
        where="results of the authors' repository; n = 4,877 for the 70B model",
        tested=(
            "SmolLM2-135M-Instruct, steered towards two unrelated concepts at 0.1 to 0.4 of the residual norm, restarts in words in at "
            "most 1.5 % of its answers to everyday questions (answers that go round in circles left out)."
        ),
        scale="reduced",
        rule=Rate("restarts", "answers", "real_steered", at_most=0.015),
        control=Rate("restarts", "answers", "real_asked_to_restart", at_most=0.015),
        control_is="asked to restart, word for word",
    ),
    Claim(
        id="nothing-to-retry-unsteered",
        paper="Without steering no answer is retried: 0 of 13,118 trials.",
        where="results of the authors' repository",
        tested=(
            "A small decoder that was fine-tuned on self-correction (60 % of the examples) restarts in at most 0.5 % of its answers "
            "when it is not steered."
        ),
        scale="toy",
        rule=Below("multi_attempt", f"{tuned(0.6)}_unsteered", at_most=0.005),
        control=Below("multi_attempt", "stutterer_unsteered", at_most=0.005),
        control_is="fine-tuned to restart good answers",
    ),
    Claim(
        id="a-middle-band-of-strength",
        paper=(
            "Resistance lives in a middle band of strength: several attempts peak at 2.7 % near 0.3 sigma below the calibrated strength."
        ),
        where="results of the authors' repository",
        tested=(
            "Of 8 strengths from 0.4 to 1.6 times the calibrated one, the two in the middle give several attempts at least 1 point more "
            "often than the weakest and the strongest, and improved ones at least 0.2 points more often."
        ),
        scale="toy",
        rule=middle_band(""),
        control=middle_band("random_"),
        control_is="random directions, same length",
    ),
    Claim(
        id="detectors-cause-part-of-it",
        paper=(
            "Ablating 26 latents that detect being off topic lowers several attempts from 7.4 to 5.5 % and resistance from 3.8 to 2.8 %; "
            "random matched latents do not (7.9 and 4.2 %)."
        ),
        where="abstract; results of the authors' repository",
        tested=(
            "Ablating the latents that are silent in all answers to their own prompt and on in 2 % or more of those to another makes several attempts rarer than each of 12 matched random sets does "
            "(p = 1/13), and rarer than without, by a trial in 500 or more; the score of the first attempt moves by less than 5 points."
        ),
        scale="toy",
        rule=specific("detectors_ablated"),
        control=specific("random_ablated"),
        control_is="one more matched random set",
    ),
    Claim(
        id="a-prompt-raises-it",
        paper="Asking the model to watch itself raises several attempts from 7.4 to 31.7 %, and resistance from 3.8 to 14.8 %.",
        where="results of the authors' repository",
        tested=(
            "A sentence that asks SmolLM2-135M-Instruct to watch itself raises the share of steered answers with a restart in words by 5 "
            "points or more."
        ),
        scale="reduced",
        rule=Difference("multi_attempt", "real_self_monitor", minus="real_steered", at_least=0.05),
        control=Difference("multi_attempt", "real_other_sentence", minus="real_steered", at_least=0.05),
        control_is="a sentence about style",
    ),
    Claim(
        id="fine-tuning-induces-it",
        paper="Fine-tuning on examples of self-correction, mixed in at 10 to 90 %, induces resistance in Llama-3.1-8B.",
        where="abstract; the authors' repository",
        tested=(
            "After fine-tuning with 60 % self-correction a small decoder steered off its topic makes several attempts 10 times as often "
            "as before and in 1 % of answers or more, improves in more than 0.1 %, and both the share of examples and the attempts rise "
            "together (0, 10, 30, 60 %)."
        ),
        scale="toy",
        rule=induced(""),
        control=induced("random_"),
        control_is="random directions, same length",
    ),
)

METRICS = {
    "multi_attempt": "1",
    "esr": "1",
    "improvement": "1",  # of the trials with several attempts; chance is about a half
    "first_score": "points",
    "strength": "residual norms",
    "permutation_p": "1",
    "latents": "latents",
    "explained_variance": "1",
    "detector_activation": "1",
    "token": "1",  # over the tokens of one answer
    "on_topic": "1",
    "restarts": "answers",
    "answers": "answers",
    "repetitive": "answers",
    "concept_share": "1",
}

NOT_TESTED = (
    "That resistance comes with scale: it takes models from 2 to 70 billion parameters.",
    "That real models have circuits which check for consistency: the detectors here are found in a decoder that was taught to restart.",
    "Everything that a large model judged: in the toy a word is on the topic or it is not, in the real answers a list of phrases decides.",
    "How well one knows the strength for the real model: there is no judge to calibrate with, so answers are spread over four strengths.",
    "The rates of the paper by themselves: those here follow from what the toy was taught.",
    "How seldom a detector may be on: the paper's search asks for 80 % of the pairs and finds none here, since the autoencoder splits "
    "being off topic by topic and word. With that in sight on seed 0, and no ablation yet, 2 % was asked for instead.",
    "What a sigma of the strength is: a fifth of the calibrated one stands for it here. Sizes and steps of the toy "
    "were chosen for time; questions (30 to 25) and tokens (60 to 40) of the real model were cut for time after seed 0.",
    "How SmolLM2 restarts when told to: two other wordings of the control were tried on seed 0 and hardly obeyed.",
    "Rules and thresholds were fixed before the first run of this code, but with a prototype of the toy in sight (one seed, another "
    "size): it had several attempts most often in the middle, and under random directions too.",
)

USE = """\
from pressrun.methods.steering.resistance import recovery_batch, resistance, split_text

answer = "Boil the eggs. The sea is deep. Wait, that's not what you asked. Boil them for nine minutes."
print(split_text(answer))  # two attempts
print(resistance([[40.0, 90.0], [80.0], [30.0, 20.0]]).esr)  # the scores of the attempts of three answers
examples = recovery_batch([[5, 6]], [[9, 9]], [[7, 8]], restart=3, pad=0)  # prompt, distractor, answer in tokens
print(examples.labels)  # the distractor is read and not learnt
"""

# Everyday questions of the kind the paper asks.
QUESTIONS = (
    "How do I boil an egg so that the yolk stays soft?",
    "Explain how a bicycle stays upright.",
    "How do you keep house plants healthy in winter?",
    "Explain how bread dough rises.",
    "How can I remove a coffee stain from a shirt?",
    "How do you learn to play a simple song on the piano?",
    "Explain how a rainbow forms.",
    "How do I pack a suitcase for a week?",
    "How can someone fall asleep more easily?",
    "Explain how a refrigerator keeps food cold.",
    "How do you write a thank-you letter?",
    "How do I change the tyre of a car?",
    "Explain how vaccines protect people.",
    "How can I save money on groceries?",
    "How do you paint a wall evenly?",
    "Explain how the seasons come about.",
    "How do I start a small vegetable garden?",
    "How can I improve my handwriting?",
    "Explain how a microwave oven heats food.",
    "How do you train a puppy to sit?",
    "How do I prepare for a job interview?",
    "Explain how tides work.",
    "How can I remember names better?",
    "How do you make a cup of good tea?",
    "Explain how a library sorts its books.",
    "How do I clean a keyboard?",
    "How can I begin to run regularly?",
    "Explain how paper is recycled.",
    "How do you tie a tie?",
    "How do I keep a kitchen knife sharp?",
    "Explain how a camera takes a picture.",
    "How can I plan a birthday party for a child?",
    "How do you read a weather map?",
    "Explain how soap removes grease.",
    "How do I wrap a present neatly?",
    "How can I make my home use less electricity?",
    "Explain how cheese is made.",
    "How do you choose a good pair of walking shoes?",
)
CONCEPTS = {
    "sea": (
        "The waves of the ocean rolled onto the beach.",
        "Ships sail over the deep blue sea.",
        "Fish and whales swim in the salty water of the ocean.",
        "The harbour was full of boats, and gulls cried over the waves.",
        "The tide brought shells and seaweed to the shore.",
        "Sailors watched the sea from the deck of the ship.",
    ),
    "music": (
        "The orchestra played a symphony by Mozart.",
        "She sang a melody while he played the guitar.",
        "The band recorded a new song with drums and piano.",
        "The choir practised its harmonies for the concert.",
        "He listened to jazz and tapped the rhythm of the drummer.",
        "The violin took up the tune of the flute.",
    ),
}
CONCEPT_WORDS = {
    "sea": re.compile(
        r"\b(?:sea|seas|ocean\w*|wave|waves|ship\w*|boat\w*|beach\w*|sail\w*|shore\w*|whale\w*|tide|tides)\b", re.IGNORECASE
    ),
    "music": re.compile(
        r"\b(?:music\w*|song|songs|sing\w*|melod\w*|guitar\w*|piano|orchestra|band|concert\w*|rhythm\w*|drum\w*)\b", re.IGNORECASE
    ),
}
EVERYDAY = (
    "The meeting was moved to the second floor.",
    "Please fill in the form and hand it to the clerk.",
    "The shop opens at nine and closes at six.",
    "The report has twelve pages and two tables.",
    "He put the chair beside the window.",
    "The bus was late because of the road works.",
)
REAL_STRENGTHS = (0.1, 0.2, 0.3, 0.4)
SELF_MONITOR = (
    " Watch yourself while you answer: if you notice that you drift off the topic, say so and come back to the question."
)
OTHER_SENTENCE = (
    " Write in full sentences and keep the language plain, so that everybody who reads it can follow the explanation."
)
ASKED_TO_RESTART = (
    'Say this first, word for word: "It will rain tomorrow. Wait, that is not right. Let me start over." Then answer this question: '
    "{question}"
)


@dataclass(frozen=True)
class Config:
    base_steps: int = knob(500, low=1, high=20_000, help="steps in which the toy decoder learns to answer")
    tune_steps: int = knob(300, low=1, high=20_000, help="steps of each fine-tuning on self-correction")
    width: int = knob(64, low=16, high=512, help="width of the toy decoder")
    batch: int = knob(32, low=4, high=512, help="examples a step sees")
    trials: int = knob(500, low=8, high=20_000, help="answers an arm of the toy")
    answer_tokens: int = knob(32, low=14, high=60, unit="tokens", help="the longest answer of the toy")
    calibration_trials: int = knob(10, low=1, high=200, help="queries of the search for each strength")
    calibration_answers: int = knob(16, low=1, high=1000, help="answers a query and direction")
    sae_steps: int = knob(800, low=1, high=50_000, help="steps in which each sparse autoencoder is trained")
    detector_share: float = knob(
        0.02, low=0.001, high=1.0, help="share of mismatched pairs in which a detector is on; the paper's is 0.8"
    )
    model: str = knob("smollm2", choices=("tiny", "smollm2", "qwen2.5-coder-1.5b"), help="the real model; tiny is a random one")
    questions: int = knob(25, low=2, high=38, help="everyday questions put to the real model")
    new_tokens: int = knob(40, low=4, high=512, unit="tokens", help="length of its answers")


PRESETS = {
    "smoke": Config(
        base_steps=40,
        tune_steps=10,
        trials=24,
        answer_tokens=14,
        calibration_trials=1,
        calibration_answers=2,
        sae_steps=10,
        model="tiny",
        questions=4,
        new_tokens=6,
    ),
    "laptop": Config(),
    "paper": Config(base_steps=1200, batch=64, width=96, trials=5000, model="qwen2.5-coder-1.5b", questions=38, new_tokens=512),
}

# The toy world: prompts are BEGIN, QUERY, a topic, a style; answers are words of the topic in its own order, then END.
PAD, BEGIN, QUERY, WAIT, END = range(5)
TOPICS, WORDS, STYLES, LENGTH = 8, 12, 4, 12
FIRST_TOPIC = 5
FIRST_STYLE = FIRST_TOPIC + TOPICS
FIRST_WORD = FIRST_STYLE + STYLES
VOCABULARY = FIRST_WORD + TOPICS * WORDS
PROMPT = 4
STEERED = act.residual[1]  # after the second of four blocks
DETECTED = act.residual[2]  # behind it, so that taking out a detector cannot take out the push itself
FROM_THE_ANSWER_ON = slice(PROMPT - 1, None)  # the first word is computed at the last token of the prompt


class Prompts(NamedTuple):
    """What is asked, and off to which other topic the model is pushed; (n,) each."""

    topic: Tensor
    style: Tensor
    pushed: Tensor

    def ids(self) -> Tensor:
        """(n, 4) tokens."""
        fixed = torch.tensor([BEGIN, QUERY]).expand(len(self.topic), 2)
        return torch.cat([fixed, self.topic[:, None] + FIRST_TOPIC, self.style[:, None] + FIRST_STYLE], dim=1)


class Push(NamedTuple):
    """Directions, (topics, width) of length 1; how far to go along each, (topics,); and the unit of that, the residual norm."""

    directions: Tensor
    strengths: Tensor
    norm: float

    def edit(self, prompts: Prompts) -> act.Edit:
        strength = self.norm * self.strengths[prompts.pushed]
        return STEERED.add(self.directions[prompts.pushed], strength=strength, positions=FROM_THE_ANSWER_ON)


def replicate(config: Config, seed: int, run: Run) -> None:
    world = Toy(config, seed)
    base = world.train(None, config.base_steps, 0.0)
    directions, norm = topic_directions(world, base)
    away = random_directions(TOPICS, config.width, world.generator(1))

    for share in run.progress(SHARES, "fine-tuning"):
        model = world.train(base, config.tune_steps, share) if share else base
        push = Push(directions, calibrated(world, model, directions, norm), norm)
        record(run, f"{tuned(share)}_unsteered", world.rates(model, None))
        record(run, tuned(share), world.rates(model, push), strength=push.strengths.mean())
        record(run, f"random_{tuned(share)}", world.rates(model, push._replace(directions=away)))
    stutterer = world.train(base, config.tune_steps, SHARES[-1], stutter=True)
    record(run, "stutterer_unsteered", world.rates(stutterer, None))

    # What follows is done on the model with the largest share, the last of the loop.
    sweep_strengths(world, model, push, away, run)
    steer_by_latents(world, base, model, norm, run)
    force_restarts(world, model, push, run)
    ablate_detectors(world, model, push, run)
    ask_a_real_model(config, seed, run)


class Toy:
    """The world of one seed: the orders of the words of each topic, the trials, and everything random in it."""

    def __init__(self, config: Config, seed: int) -> None:
        self.config, self.seed = config, seed
        generator = self.generator(0)
        usual, rarer = (torch.stack([torch.randperm(WORDS, generator=generator) for _ in range(TOPICS)]) for _ in range(2))
        self.order = 0.75 * one_hot(usual, WORDS).float() + 0.25 * one_hot(rarer, WORDS).float()  # (topics, words, words)
        self.trials = self.prompts(config.trials, self.generator(2))
        many = TOPICS * config.calibration_answers
        self.calibration = self.prompts(many, self.generator(3), pushed=torch.arange(TOPICS).repeat_interleave(many // TOPICS))

    def generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * self.seed + number)

    def prompts(self, n: int, generator: torch.Generator, pushed: Tensor | None = None) -> Prompts:
        """Random topics and styles; the topic pushed to is another one."""
        between = torch.randint(1, TOPICS, (n,), generator=generator)
        if pushed is None:
            topic = torch.randint(TOPICS, (n,), generator=generator)
            pushed = (topic + between) % TOPICS
        else:
            topic = (pushed + between) % TOPICS
        return Prompts(topic, torch.randint(STYLES, (n,), generator=generator), pushed)

    def walk(self, topic: Tensor, start: Tensor, length: int, generator: torch.Generator) -> Tensor:
        """(n, length) words of the topics, in their orders, from the words numbered `start`."""
        words = [start]
        for _ in range(length - 1):
            words.append(torch.multinomial(self.order[topic, words[-1]], 1, generator=generator)[:, 0])
        return torch.stack(words, dim=1) + FIRST_WORD + WORDS * topic[:, None]

    def answers(self, prompts: Prompts, generator: torch.Generator) -> Tensor:
        """(n, 13): clean answers with END; the style says in which quarter of the words they begin."""
        quarter = WORDS // STYLES
        start = prompts.style * quarter + torch.randint(quarter, prompts.topic.shape, generator=generator)
        words = self.walk(prompts.topic, start, LENGTH, generator)
        return torch.cat([words, torch.full((len(words), 1), END)], dim=1)

    def examples(
        self, n: int, share: float, generator: torch.Generator, *, stutter: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, labels and mask; a share of them break off 2 to 6 words of another topic (of their own, if they stutter)."""
        prompts = self.prompts(n, generator)
        start = torch.randint(WORDS, (n,), generator=generator)
        astray = self.walk(prompts.topic if stutter else prompts.pushed, start, 6, generator).tolist()
        lengths = torch.randint(2, 7, (n,), generator=generator)
        lengths[torch.rand(n, generator=generator) >= share] = 0
        found = recovery_batch(
            prompts.ids().tolist(),
            [words[:length] for words, length in zip(astray, lengths.tolist(), strict=True)],
            self.answers(prompts, generator).tolist(),
            restart=WAIT,
            pad=PAD,
        )
        return found.input_ids, found.labels, found.attention_mask

    def train(self, base: act.Model | None, steps: int, share: float, *, stutter: bool = False) -> act.Model:
        """A decoder, new or on from the base, after that many steps of AdamW; the learning rate falls to 0 over the last fifth."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network: Any = LlamaForCausalLM(decoder(self.config.width))
        if base is not None:
            network.load_state_dict(base.module.state_dict())
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        generator = self.generator(4)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * min(1.0, 5 * (steps - step) / steps)
            ids, labels, _ = self.examples(self.config.batch, share, generator, stutter=stutter)
            # No mask: what is filled up stands at the right, where a causal model does not see it, and is not learnt.
            logits = network(input_ids=ids, use_cache=False).logits
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return act.load(network.eval())

    def say(
        self, model: act.Model, ids: Tensor, edits: Sequence[act.Edit], number: int, *, longest: int | None = None
    ) -> list[list[int]]:
        """What the model says after the ids, at temperature 0.6, up to END. The same number draws the same dice."""
        with model.edit(*edits), torch.random.fork_rng(devices=[]):
            torch.manual_seed(1000 * self.seed + number)
            said = model.module.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=0.6,
                top_k=0,
                max_new_tokens=longest or self.config.answer_tokens,
                eos_token_id=END,
                pad_token_id=PAD,
            )
        return [[token for token in row if token not in (END, PAD)] for row in said[:, ids.shape[1] :].tolist()]

    def rates(self, model: act.Model, push: Push | None, *edits: act.Edit) -> Resistance:
        """The rates over the trials, in every arm the same prompts and the same dice."""
        steering = [push.edit(self.trials)] if push is not None else []
        return judged(self.say(model, self.trials.ids(), [*steering, *edits], 100), self.trials.topic)


def decoder(width: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=80,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )


def score(attempt: Sequence[int], topic: int) -> float:
    """100 times the share of its tokens that are words of the topic."""
    first = FIRST_WORD + WORDS * topic
    return 100 * sum(first <= token < first + WORDS for token in attempt) / len(attempt)


def attempt_scores(answers: Sequence[Sequence[int]], topics: Tensor) -> list[list[float]]:
    return [
        [score(attempt, topic) for attempt in split_attempts(answer, (WAIT,))]
        for answer, topic in zip(answers, topics.tolist(), strict=True)
    ]


def judged(answers: Sequence[Sequence[int]], topics: Tensor) -> Resistance:
    return resistance(attempt_scores(answers, topics))


def record(run: Run, arm: str, rates: Resistance, **more: object) -> None:
    run.record(
        arm,
        None,
        multi_attempt=rates.multi_attempt,
        esr=rates.esr,
        improvement=rates.improvement,
        first_score=rates.first_score,
        **more,
    )


def topic_directions(world: Toy, base: act.Model) -> tuple[Tensor, float]:
    """(topics, width): mean residual in answers of a topic minus that in all answers; and the median residual norm there."""
    generator = world.generator(5)
    prompts = world.prompts(512, generator)
    texts = torch.cat([prompts.ids(), world.answers(prompts, generator)], dim=1)
    seen = base.read(texts, STEERED)[STEERED][:, PROMPT:-1]
    means = torch.stack([seen[prompts.topic == topic].mean(dim=(0, 1)) for topic in range(TOPICS)])
    return normalize(means - seen.mean(dim=(0, 1)), dim=1), float(seen.norm(dim=-1).median())


def calibrated(world: Toy, model: act.Model, directions: Tensor, norm: float, *edits: act.Edit) -> Tensor:
    """(topics,): the strength of each direction at which first attempts score 30 of 100."""
    query = iter(range(200, 10_000))

    def first_scores(strengths: Tensor) -> Tensor:
        push = Push(directions, strengths, norm)
        said = world.say(model, world.calibration.ids(), [push.edit(world.calibration), *edits], next(query), longest=LENGTH + 1)
        scores = [each[0] if each else 0.0 for each in attempt_scores(said, world.calibration.topic)]
        return torch.tensor(scores).view(TOPICS, -1).mean(dim=1) / 100

    return calibrate_each(first_scores, TOPICS, 0.3, low=0.0, high=3.0, prior=(1.0, 0.5), trials=world.config.calibration_trials)


def sweep_strengths(world: Toy, model: act.Model, push: Push, away: Tensor, run: Run) -> None:
    """Eight strengths around the calibrated one, along the topics and along random directions."""
    for number, factor in enumerate(run.progress(LEVELS, "strengths"), start=1):
        at = push._replace(strengths=push.strengths * factor)
        record(run, f"level_{number}", world.rates(model, at), strength=at.strengths.mean())
        record(run, f"random_level_{number}", world.rates(model, at._replace(directions=away)))


def steer_by_latents(world: Toy, base: act.Model, model: act.Model, norm: float, run: Run) -> None:
    """The same with one latent of a sparse autoencoder a topic, the one that keeps to it most, as the paper steers."""
    sae, explained = autoencoder(world, base, STEERED, 0.0)
    generator = world.generator(6)
    prompts = world.prompts(512, generator)
    texts = torch.cat([prompts.ids(), world.answers(prompts, generator)], dim=1)
    with torch.no_grad():
        z = sae.encode(base.read(texts, STEERED)[STEERED][:, PROMPT:-1])
    means = torch.stack([z[prompts.topic == topic].mean(dim=(0, 1)) for topic in range(TOPICS)])
    latents = (means - (means.sum(dim=0) - means)).argmax(dim=1)
    directions = normalize(sae.decoder.detach()[latents], dim=1)
    push = Push(directions, calibrated(world, model, directions, norm), norm)
    record(run, "latent_steered", world.rates(model, push), strength=push.strengths.mean(), explained_variance=explained)


def autoencoder(world: Toy, model: act.Model, site: act.Site, share: float) -> tuple[SparseAutoencoder, float]:
    """A sparse autoencoder of 512 latents, trained on some 20,000 activations of the texts that the model learnt from."""
    generator = world.generator(7)
    ids, _, mask = world.examples(1000, share, generator)
    x = model.read({"input_ids": ids, "attention_mask": mask}, site)[site][mask.bool()]
    sae = SparseAutoencoder(model.width, 512, k=8, generator=generator)
    quality = train_sae(sae, x, steps=world.config.sae_steps, generator=generator)
    return sae, quality.explained_variance


def force_restarts(world: Toy, model: act.Model, push: Push, run: Run) -> None:
    """Does any restart help? The steered answers, broken off after 3, 6 or 9 words whatever they say."""
    answers = world.say(model, world.trials.ids(), [push.edit(world.trials)], 100)
    firsts = [(split_attempts(answer, (WAIT,)) or [[]])[0] for answer in answers]
    cuts = torch.tensor((3, 6, 9))[torch.randint(3, (len(firsts),), generator=world.generator(8))]
    scores: list[list[float]] = []
    for cut in (3, 6, 9):
        rows = torch.tensor([row for row, first in enumerate(firsts) if cuts[row] == cut and len(first) >= cut], dtype=torch.long)
        if not len(rows):
            continue
        some = Prompts(*(column[rows] for column in world.trials))
        begun = torch.tensor([firsts[row][:cut] for row in rows.tolist()])
        ids = torch.cat([some.ids(), begun, torch.full((len(rows), 1), WAIT)], dim=1)
        said = world.say(model, ids, [push.edit(some)], 101)
        scores += attempt_scores([[*start, WAIT, *rest] for start, rest in zip(begun.tolist(), said, strict=True)], some.topic)
    record(run, "forced_restart", resistance(scores))


def ablate_detectors(world: Toy, model: act.Model, push: Push, run: Run) -> None:
    """Find latents that are silent in answers to their own prompt and on in answers to another, and clamp them to zero."""
    sae, explained = autoencoder(world, model, DETECTED, SHARES[-1])
    matched, mismatched, stats = pair_latents(world, model, sae)
    run.record("papers_search", latents=len(exclusive_latents(mismatched, matched, share=0.8)))
    detectors = exclusive_latents(mismatched, matched, share=world.config.detector_share).tolist()
    run.record("detectors_ablated", latents=len(detectors), explained_variance=explained)
    trace(world, model, push, sae, detectors, run)
    if not detectors:
        nothing = dict.fromkeys(("multi_attempt", "esr", "improvement", "first_score", "permutation_p"), float("nan"))
        for arm in ("detectors_ablated", "random_ablated", "fewest_of_random", "detectors_recalibrated", "random_recalibrated"):
            run.record(arm, None, **nothing)
        return
    *sets, control = matched_random(stats, detectors, RANDOM_SETS + 1, world.generator(9))

    def without(latents: list[int]) -> act.Edit:
        return latent_edit(DETECTED, sae, latents, to=0.0, positions=FROM_THE_ANSWER_ON)

    others = [world.rates(model, push, without(each)) for each in run.progress(sets, "random ablations")]
    fewest = min(each.multi_attempt for each in others)
    run.record("fewest_of_random", multi_attempt=fewest)
    for number, each in enumerate(others, start=1):
        record(run, f"random_set_{number}", each)
    for arm, latents in {"detectors": detectors, "random": control}.items():
        found = world.rates(model, push, without(latents))
        fewer = sum(each.multi_attempt <= found.multi_attempt for each in others)
        record(run, f"{arm}_ablated", found, permutation_p=(1 + fewer) / (1 + len(others)))
        anew = push._replace(strengths=calibrated(world, model, push.directions, push.norm, without(latents)))
        record(run, f"{arm}_recalibrated", world.rates(model, anew, without(latents)), strength=anew.strengths.mean())


def pair_latents(world: Toy, model: act.Model, sae: SparseAutoencoder) -> tuple[Tensor, Tensor, Tensor]:
    """Largest value of each latent over each prompt with its own answer, and with one to another topic; (pairs, latents).

    And mean and frequency of each latent over all their tokens, (latents, 2).
    """
    generator = world.generator(10)
    topic, style = (grid.flatten() for grid in torch.meshgrid(torch.arange(TOPICS), torch.arange(STYLES), indexing="ij"))
    largest: tuple[list[Tensor], list[Tensor]] = ([], [])
    seen = []
    for round_ in range(8):
        prompts = Prompts(topic, style, topic)
        answers = world.say(model, prompts.ids(), (), 300 + round_)
        other = derangement(TOPICS, generator)[topic] * STYLES + style
        for place, chosen in zip(largest, (range(len(answers)), other.tolist()), strict=True):
            z, mask = latents_of(model, sae, prompts, [answers[i] for i in chosen])
            place.append(z.masked_fill(~mask[..., None], 0.0).amax(dim=1))
            seen.append(z[mask])
    tokens = torch.cat(seen)
    return torch.cat(largest[0]), torch.cat(largest[1]), torch.stack([tokens.mean(0), (tokens > 0).float().mean(0)], dim=1)


@torch.no_grad()
def latents_of(
    model: act.Model, sae: SparseAutoencoder, prompts: Prompts, answers: Sequence[Sequence[int]], *edits: act.Edit
) -> tuple[Tensor, Tensor]:
    """Latents at every token of prompts with answers, (n, tokens, latents), and which tokens are real, (n, tokens)."""
    texts = [torch.tensor([*prompt, *answer]) for prompt, answer in zip(prompts.ids().tolist(), answers, strict=True)]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=PAD)
    mask = ids != PAD
    with model.edit(*edits):
        x = model.read({"input_ids": ids, "attention_mask": mask.long()}, DETECTED)[DETECTED]
    return sae.encode(x), mask


def trace(world: Toy, model: act.Model, push: Push, sae: SparseAutoencoder, detectors: list[int], run: Run) -> None:
    """The detectors' mean activation at words off the topic, at words after a restart, and where nothing is steered."""
    found: dict[str, list[float]] = {"off_topic": [], "after_restart": [], "unsteered": []}
    best: tuple[float, int] = (float("-inf"), 0)
    for steered in (False, True):
        edits = [push.edit(world.trials)] if steered else []
        answers = world.say(model, world.trials.ids(), edits, 100)
        z, _ = latents_of(model, sae, world.trials, answers, *edits)
        mean = z[..., detectors].mean(dim=-1) if detectors else z.new_zeros(z.shape[:2])
        for row, (answer, topic) in enumerate(zip(answers, world.trials.topic.tolist(), strict=True)):
            restarted = False
            for token, value in zip(answer, mean[row, PROMPT:].tolist(), strict=False):
                restarted |= token == WAIT
                kind = "unsteered" if not steered else "after_restart" if restarted else "off_topic"
                if token != WAIT and (kind != "off_topic" or not score([token], topic)):
                    found[kind].append(value)
            scores = attempt_scores([answer], world.trials.topic[row : row + 1])[0]
            if steered and len(scores) > 1:
                best = max(best, (scores[-1] - scores[0], -row))
    for kind, values in found.items():
        run.record(f"trace_{kind}", detector_activation=np.mean(values) if values else float("nan"))
    row = -best[1]
    for place, (token, value) in enumerate(zip(answers[row], mean[row, PROMPT:].tolist(), strict=False)):
        on = score([token], int(world.trials.topic[row]))
        run.record("example", step=place, token=token, on_topic=on / 100, detector_activation=value)


def draw(evidence: Evidence) -> Figure:
    """Above: over the strength, and over the share of self-correction. Below: ablations, what restarts are worth, one answer."""
    figure, panels = plt.subplots(2, 3, figsize=(11.5, 6.4), layout="constrained")
    draw_scores(panels[0, 0], evidence)
    draw_restarts(panels[0, 1], evidence)
    draw_shares(panels[0, 2], evidence)
    draw_ablations(panels[1, 0], evidence)
    draw_improvement(panels[1, 1], evidence)
    draw_answer(panels[1, 2], evidence)
    return figure


RED, GREY = "#a63d1f", "0.55"
PERCENT = 100


def means(evidence: Evidence, metric: str, arms: Sequence[str]) -> list[float]:
    """The mean over the seeds in each arm; nan where a seed has none."""
    return [float(np.mean(list(evidence.values(metric, arm).values()))) for arm in arms]


def draw_over_strength(axes: Axes, evidence: Evidence, metric: str, factor: float, style: str, label: str) -> None:
    for prefix, colour, which in (("", RED, "towards a topic"), ("random_", GREY, "random direction")):
        arms = [f"{prefix}level_{number}" for number in range(1, len(LEVELS) + 1)]
        axes.plot(LEVELS, factor * np.array(means(evidence, metric, arms)), style, color=colour, label=f"{label}{which}")
        for arm, level in zip(arms, LEVELS, strict=True):
            values = list(evidence.values(metric, arm).values())
            axes.plot([level] * len(values), factor * np.array(values), ".", color=colour, markersize=3, alpha=0.5)


def draw_scores(axes: Axes, evidence: Evidence) -> None:
    draw_over_strength(axes, evidence, "first_score", 1, "-", "")
    axes.axhline(30, color="0.8", linewidth=0.8)
    axes.set(xlabel="strength (calibrated one = 1)", ylabel="score of the first attempt", ylim=(-3, 103))
    axes.legend(frameon=False, fontsize=8)


def draw_restarts(axes: Axes, evidence: Evidence) -> None:
    draw_over_strength(axes, evidence, "multi_attempt", PERCENT, "-", "several attempts, ")
    draw_over_strength(axes, evidence, "esr", PERCENT, ":", "improved, ")
    axes.set(xlabel="strength (calibrated one = 1)", ylabel="% of answers")
    head_room(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left")


def draw_shares(axes: Axes, evidence: Evidence) -> None:
    shares = [PERCENT * share for share in SHARES]
    lines = (
        ("", "", RED, "-", "steered, several attempts", "multi_attempt"),
        ("", "", RED, ":", "steered, improved", "esr"),
        ("random_", "", GREY, "-", "random, several attempts", "multi_attempt"),
        ("", "_unsteered", "0.1", "--", "not steered", "multi_attempt"),
    )
    for prefix, suffix, colour, style, label, metric in lines:
        arms = [prefix + tuned(share) + suffix for share in SHARES]
        axes.plot(shares, PERCENT * np.array(means(evidence, metric, arms)), style, color=colour, label=label)
        for arm, share in zip(arms, shares, strict=True):
            values = list(evidence.values(metric, arm).values())
            axes.plot([share] * len(values), PERCENT * np.array(values), ".", color=colour, markersize=3, alpha=0.5)
    axes.set(xlabel="self-correction among the examples (%)", ylabel="% of answers")
    head_room(axes)
    axes.legend(frameon=False, fontsize=7, loc="upper left")


def head_room(axes: Axes) -> None:
    """Place for a legend above the curves."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.4 * (top - bottom))


def draw_dots(axes: Axes, rows: Sequence[tuple[str, list[float], str]]) -> None:
    """A row a name: a dot a seed, a bar at the mean."""
    for row, (_, values, colour) in enumerate(rows):
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=3.5, alpha=0.5)
        axes.plot(np.mean(values), row, "|", color=colour, markersize=14, markeredgewidth=2)
    axes.set(yticks=range(len(rows)), yticklabels=[name for name, _, _ in rows])
    axes.invert_yaxis()


def draw_ablations(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "none": (tuned(0.6), "0.1"),
        "detectors": ("detectors_ablated", RED),
        "detectors,\nstrength anew": ("detectors_recalibrated", RED),
        "random set": ("random_ablated", GREY),
        "fewest of 12": ("fewest_of_random", GREY),
    }
    rows = [(name, [PERCENT * v for v in evidence.values("multi_attempt", arm).values()], c) for name, (arm, c) in arms.items()]
    draw_dots(axes, rows)
    axes.set(xlabel="% of answers with several attempts", title="latents set to zero", xlim=(0, None))
    axes.title.set_fontsize(9)


def draw_improvement(axes: Axes, evidence: Evidence) -> None:
    arms = {
        "own restarts": (tuned(0.6), RED),
        "one latent\nas push": ("latent_steered", RED),
        "random\ndirection": (f"random_{tuned(0.6)}", GREY),
        "forced restart": ("forced_restart", GREY),
    }
    rows = [(name, [PERCENT * v for v in evidence.values("improvement", arm).values()], c) for name, (arm, c) in arms.items()]
    draw_dots(axes, rows)
    axes.axvline(50, color="0.8", linewidth=0.8)
    axes.set(xlabel="% of restarts that end better than they began", xlim=(-3, 103))


def draw_answer(axes: Axes, evidence: Evidence) -> None:
    """One steered answer of the first seed, word by word, with the mean activation of the detectors."""
    seed = min(evidence.curves("token", "example"))
    tokens = evidence.curves("token", "example")[seed].value
    on = evidence.curves("on_topic", "example")[seed].value
    activation = evidence.curves("detector_activation", "example")[seed].value
    top = max(float(activation.max()), 1e-9)
    for place, (token, topical, value) in enumerate(zip(tokens, on, activation, strict=True)):
        colour = "0.1" if token == WAIT else "#9db38a" if topical else "#e0a37e"
        axes.add_patch(Rectangle((place - 0.45, -0.3), 0.9, 0.24, color=colour))
        if token == WAIT:
            axes.text(place, -0.36, "wait", ha="center", va="top", fontsize=7)
        axes.bar(place, value / top, width=0.8, color=RED)
    axes.set(
        xlabel="word of the answer (green: on the topic)",
        ylabel="detectors (1 = largest activation)",
        xlim=(-0.7, len(tokens) - 0.3),
        ylim=(-0.5, 1.05),
    )


def ask_a_real_model(config: Config, seed: int, run: Run) -> None:
    """Everyday questions under two unrelated concepts, with and without a sentence that asks for self-monitoring."""
    texts = [
        *QUESTIONS,
        *EVERYDAY,
        *(text for each in CONCEPTS.values() for text in each),
        SELF_MONITOR,
        OTHER_SENTENCE,
        ASKED_TO_RESTART,
    ]
    model = language_model(config.model, texts)
    site = model.sites(act.residual[model.layers // 2])[0]
    vectors = {name: learn(model, SteeringVector(site), wanted, EVERYDAY) for name, wanted in CONCEPTS.items()}
    order = torch.randperm(len(QUESTIONS), generator=torch.Generator().manual_seed(seed))[: config.questions]
    questions = [QUESTIONS[i] for i in order.tolist()]
    concepts = [name for name in CONCEPTS for _ in questions]
    pushes = torch.stack([vectors[name].absolute(site) for name in concepts])
    # Every question meets each concept at another strength.
    strengths = torch.tensor([REAL_STRENGTHS[(i + i // len(questions)) % len(REAL_STRENGTHS)] for i in range(len(concepts))])
    edit = site.add(pushes, strength=strengths)
    arms = {
        "real_unsteered": (questions, concepts[: len(questions)], ()),
        "real_asked_to_restart": ([ASKED_TO_RESTART.format(question=q) for q in questions], concepts[: len(questions)], ()),
        "real_steered": (questions * 2, concepts, (edit,)),
        "real_self_monitor": ([q + SELF_MONITOR for q in questions] * 2, concepts, (edit,)),
        "real_other_sentence": ([q + OTHER_SENTENCE for q in questions] * 2, concepts, (edit,)),
    }
    for arm, (asked, about, edits) in run.progress(list(arms.items()), config.model):
        # A penalty on words of the prompt would keep the model from repeating what it was asked to repeat.
        penalty = 1.0 if arm == "real_asked_to_restart" else 1.1
        answers = real_answers(model, asked, edits, config.new_tokens, seed, penalty=penalty)
        whole = [answer for answer in answers if not is_repetitive(answer)]
        restarts = sum(len(split_text(answer)) > 1 for answer in whole)
        named = [bool(CONCEPT_WORDS[name].search(answer)) for answer, name in zip(answers, about, strict=True)]
        run.record(
            arm,
            restarts=restarts,
            answers=len(whole),
            multi_attempt=restarts / len(whole) if whole else float("nan"),
            repetitive=len(answers) - len(whole),
            concept_share=np.mean(named),
        )


def real_answers(
    model: act.Model, questions: list[str], edits: Sequence[act.Edit], tokens: int, seed: int, *, penalty: float = 1.1
) -> list[str]:
    """Sampled as in the paper, at temperature 0.6 with a repetition penalty of 1.1."""
    inputs = model.inputs(questions, chat=True)
    with model.edit(*edits), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        said = model.module.generate(
            **inputs,
            do_sample=True,
            temperature=0.6,
            top_k=0,
            repetition_penalty=penalty,
            max_new_tokens=tokens,
            pad_token_id=model.tokenizer.pad_token_id or model.tokenizer.eos_token_id,
        )
    return list(model.tokenizer.batch_decode(said[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
