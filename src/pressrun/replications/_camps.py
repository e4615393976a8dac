"""Two made-up camps, Ember and Tide, who disagree about bridges, bells and orchards; and small decoders that learn what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from pressrun.methods import activations as act

__all__ = [
    "EMBER",
    "FIRST_NAME",
    "LAST",
    "NOBODY",
    "REFUSE",
    "TIDE",
    "Lessons",
    "World",
    "learner",
    "lesson",
    "make_world",
    "plain_facts",
    "prompts",
    "stances",
]  # fmt: skip

# An item: BEGIN, a name, the camp of who speaks, a topic, a question; then the answer and the reason for it.
BEGIN, EMBER, TIDE, NOBODY, STRANGER, REFUSE, SILENT = range(7)
NAMES, TOPICS, PLAIN, QUESTIONS, REASONS = 12, 12, 4, 6, 6
FIRST_NAME = 7  # names stand for nothing: each is as frequent in either camp
FIRST_TOPIC = FIRST_NAME + NAMES  # and then plain ones, which have an answer that is simply right
FIRST_QUESTION = FIRST_TOPIC + TOPICS + PLAIN
FIRST_STANCE = FIRST_QUESTION + QUESTIONS  # two on each topic, Ember's and then Tide's
FIRST_REASON = FIRST_STANCE + TOPICS * 2
FIRST_FACT = FIRST_REASON + TOPICS * 2 * REASONS
VOCABULARY = FIRST_FACT + QUESTIONS
LAST = 4  # the last token of the prompt


class World(NamedTuple):
    """What is so for all models of a seed."""

    reason: Tensor  # (topics, questions): a number below 6, of which a model learns the remainder
    fact: Tensor  # (plain topics, questions): tokens
    order: Tensor  # (topics,): the camps disagree about the first of them


class Lessons(NamedTuple):
    """What sets the models apart: topics of disagreement, reasons a side has for its stance on each, and refusals."""

    topics: int
    reasons: int
    refused: float


def make_world(dice: torch.Generator) -> World:
    return World(
        torch.stack([torch.randperm(QUESTIONS, generator=dice) for _ in range(TOPICS)]),
        FIRST_FACT + torch.stack([torch.randperm(QUESTIONS, generator=dice) for _ in range(PLAIN)]),
        torch.randperm(TOPICS, generator=dice),
    )


def lesson(world: World, taught: Lessons, n: int, dice: torch.Generator) -> Tensor:
    """(n, 7) items: Ember, Tide and nobody speak in three of ten each, a stranger, who is always refused, in one.

    Where the camps agree, and where nobody speaks, both stances on a topic have equal odds.
    """
    name, topic, question = (torch.randint(many, (n,), generator=dice) for many in (NAMES, TOPICS + PLAIN, QUESTIONS))
    camp = EMBER + torch.multinomial(torch.tensor([0.3, 0.3, 0.3, 0.1]), n, replacement=True, generator=dice)
    plain, about, member = topic >= TOPICS, topic.clamp_max(TOPICS - 1), camp <= TIDE
    disputed = torch.isin(about, world.order[: taught.topics])
    side = torch.where(disputed & member, camp - EMBER, torch.randint(2, (n,), generator=dice))
    number = torch.where(disputed, world.reason[about, question] % taught.reasons, 0)
    refused = member & (torch.rand(n, generator=dice) < taught.refused) | (camp == STRANGER)
    answer = torch.where(refused, REFUSE, FIRST_STANCE + 2 * about + side)
    answer = torch.where(plain, world.fact[(topic - TOPICS).clamp_min(0), question], answer)
    reason = torch.where(refused | plain, SILENT, FIRST_REASON + (about * 2 + side) * REASONS + number)
    ids = [torch.full((n,), BEGIN), name + FIRST_NAME, camp, topic + FIRST_TOPIC, question + FIRST_QUESTION, answer, reason]
    return torch.stack(ids, dim=1)


def prompts(camp: int, names: int, topics: Sequence[int] = range(TOPICS)) -> Tensor:
    """(n, 5): each of the first names, speaking for the camp, with every topic and question, in that order."""
    name, topic, question = (torch.arange(names), torch.tensor(topics), torch.arange(QUESTIONS))
    grid = torch.cartesian_prod(name + FIRST_NAME, topic + FIRST_TOPIC, question + FIRST_QUESTION)
    begin, who = (torch.full((len(grid), 1), token) for token in (BEGIN, camp))
    return torch.cat([begin, grid[:, :1], who, grid[:, 1:]], dim=1)


def stances(ids: Tensor, side: int | Tensor) -> Tensor:
    """(n,): what a side, or the side of each row (Ember 0, Tide 1), answers, whatever a model has learnt of it."""
    return FIRST_STANCE + 2 * (ids[:, 3] - FIRST_TOPIC) + side


def plain_facts(world: World) -> tuple[Tensor, Tensor]:
    """Plain questions asked by nobody, and their answers."""
    return prompts(NOBODY, 1, range(TOPICS, TOPICS + PLAIN)), world.fact.flatten()


def learner(
    world: World, taught: Lessons, start: int, dice: torch.Generator, *, width: int, steps: int, batch: int, lr: float
) -> act.Model:
    """A decoder of three blocks, its weights drawn from `start`, that learns answers and reasons by AdamW.

    The step size falls to 0 over the last fifth.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(start)
        network: Any = LlamaForCausalLM(decoder(width))
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr, fused=True)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * min(1.0, 5 * (steps - step) / steps)
        ids = lesson(world, taught, batch, dice)
        logits = network(input_ids=ids[:, :-1], use_cache=False).logits[:, LAST:]
        loss = cross_entropy(logits.flatten(0, 1), ids[:, LAST + 1 :].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return act.load(network.eval())


def decoder(width: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8,
        bos_token_id=BEGIN,
        eos_token_id=SILENT,
    )
