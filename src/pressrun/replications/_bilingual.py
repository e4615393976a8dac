"""A small world of two languages, one of them rare, and a decoder that learns it: who speaks neither is answered in the usual one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from pressrun.methods import activations as act

__all__ = ["END", "MAJORITY", "MINORITY", "NEITHER", "SEEN", "World", "concept_tokens"]

# The toy: prompts are BEGIN, a tone, then relation and concept (in the minority language the other way round), ASK. Answers are two
# concepts and END. A third set of relations and concepts belongs to neither language.
PAD, BEGIN, ASK, END = range(4)
TONES, RELATIONS, CONCEPTS = 4, 2, 60
MAJORITY, MINORITY, NEITHER = range(3)
FIRST_TONE = 4
FIRST_RELATION = FIRST_TONE + TONES
FIRST_CONCEPT = FIRST_RELATION + 3 * RELATIONS
VOCABULARY = FIRST_CONCEPT + 3 * CONCEPTS
SEEN = 30  # concepts that the switch is looked for with; the others are asked about


class World:
    """The facts of one seed, and which concepts are held out."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        draws = [torch.randperm(CONCEPTS, generator=generator) for _ in range(2 * RELATIONS)]
        self.facts = torch.stack(draws).view(RELATIONS, 2, CONCEPTS).transpose(1, 2)  # (relations, concepts, words of the answer)
        self.concepts = torch.randperm(CONCEPTS, generator=generator)
        # Every question about the concepts held out, in the order of the held-out prompts.
        self.asked = self.every(self.concepts[SEEN:])

    def every(self, concepts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tones, relations and concepts of all questions about them, in random order; (n,) each."""
        grid = torch.cartesian_prod(torch.arange(TONES), torch.arange(RELATIONS), concepts)
        tone, relation, concept = grid[torch.randperm(len(grid), generator=self.generator)].T
        return tone, relation, concept

    def prompts(self, question: tuple[Tensor, Tensor, Tensor], language: Tensor | int) -> Tensor:
        """(n, 5) tokens; prompts of neither language have either order."""
        tone, relation, concept = question
        spoken = torch.as_tensor(language).expand(len(tone))
        named = FIRST_RELATION + RELATIONS * spoken + relation
        about = FIRST_CONCEPT + CONCEPTS * spoken + concept
        coin = torch.rand(len(tone), generator=self.generator) < 0.5
        turned_round = (spoken == MINORITY) | ((spoken == NEITHER) & coin)
        first, second = torch.where(turned_round, about, named), torch.where(turned_round, named, about)
        begin = torch.full_like(tone, BEGIN)
        return torch.stack([begin, tone + FIRST_TONE, first, second, torch.full_like(tone, ASK)], dim=1)

    def sentences(self, n: int) -> Tensor:
        """(n, 8): a fifth of the prompts of neither language, answered in the majority's in 95 %; of the others 90 % in the majority's."""
        draw = torch.rand((2, n), generator=self.generator)
        answered = torch.where(draw[0] < 0.2, draw[1] < 0.05, draw[1] < 0.1).long()
        spoken = torch.where(draw[0] < 0.2, NEITHER, answered)
        tone, relation, concept = (torch.randint(k, (n,), generator=self.generator) for k in (TONES, RELATIONS, CONCEPTS))
        words = FIRST_CONCEPT + CONCEPTS * answered[:, None] + self.facts[relation, concept]
        return torch.cat([self.prompts((tone, relation, concept), spoken), words, torch.full((n, 1), END)], dim=1)

    def train(self, seed: int, *, steps: int, width: int, batch: int) -> act.Model:
        """A decoder of 6 layers; it learns answers alone, and the learning rate falls to 0 over the last third."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network: Any = LlamaForCausalLM(decoder(width))
        optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, fused=True)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = 3e-3 * min(1.0, (step + 1) / 50, 3 * (steps - step) / steps)
            ids = self.sentences(batch)
            logits = network(input_ids=ids, use_cache=False).logits[:, 4:-1]
            loss = cross_entropy(logits.flatten(0, 1), ids[:, 5:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return act.load(network.eval())

    def judge(self, said: Tensor) -> tuple[float, float]:
        """Shares of answers to the held-out prompts that are in the minority language, and that are right in any; said is (n, 2)."""
        language, concept = (said - FIRST_CONCEPT).div(CONCEPTS, rounding_mode="floor"), (said - FIRST_CONCEPT) % CONCEPTS
        _, relation, asked = self.asked
        right = (concept == self.facts[relation, asked]) & (said >= FIRST_CONCEPT)
        return float((language == MINORITY).all(dim=1).float().mean()), float(right.all(dim=1).float().mean())


def decoder(width: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=16,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )


def concept_tokens(language: int) -> list[int]:
    """The tokens of all concepts in that language."""
    return list(range(FIRST_CONCEPT + CONCEPTS * language, FIRST_CONCEPT + CONCEPTS * (language + 1)))
