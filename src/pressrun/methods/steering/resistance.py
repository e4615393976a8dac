"""Does a steered model notice that it went astray, and start again? Attempts, their rates, and examples that teach it.

After "Endogenous resistance to activation steering" (arXiv:2602.06941): an answer falls into attempts at explicit restarts, each attempt
has a score, and a model resists where the last is better than the first although the push goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from scipy.stats import binomtest
from torch import Tensor

from .calibration import ProbabilisticBisection

__all__ = [
    "RESTART",
    "RecoveryBatch",
    "Resistance",
    "calibrate_each",
    "is_repetitive",
    "recovery_batch",
    "resistance",
    "split_attempts",
    "split_text",
]

RESTART = re.compile(
    r"""
    \bwait\b\s*(?:[,.!:…—-]|\ba\ (?:minute|moment|second)\b)        # "Wait, that's …"; not "wait until it boils"
    | \b(?:let\ me|i(?:'ll|\ will|\ should)|let's)\ (?:try\ (?:that\ |this\ )?again|start\ (?:over|again)|rephrase|correct\ (?:myself|that))
    | \b(?:that|this)(?:\ is|'s|\ was)\ (?:not|n't)\ (?:right|correct|what\ you\ asked|relevant|on\ topic)
    | \b(?:i\ (?:got|was)\ (?:distracted|side-?tracked|off[\ -]topic)|i(?:'ve|\ have)?\ (?:made|make)\ (?:a|an)\ (?:mistake|error))
    | \b(?:scratch|ignore)\ that\b
    | \b(?:getting\ |get\ |going\ |go\ )?back\ to\ (?:your|the)\ (?:actual\ |original\ )?(?:question|topic)\b
    | \b(?:sorry|apologi[sz]e)\b[^.!?\n]{0,20}\b(?:confusion|mistake|error|digress)
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Words with which an English answer breaks off and starts again."""


def split_attempts(answer: Sequence[int], restarts: Collection[int]) -> list[list[int]]:
    """The attempts of an answer in tokens: what lies between tokens that announce a restart; empty ones are none."""
    attempts: list[list[int]] = [[]]
    for token in answer:
        if token in restarts:
            attempts.append([])
        else:
            attempts[-1].append(token)
    return [attempt for attempt in attempts if attempt]


def split_text(answer: str, restart: re.Pattern[str] = RESTART) -> list[str]:
    """The attempts of an answer in words: each but the first begins with the words that announce it; empty ones are none."""
    cuts = [0, *(match.start() for match in restart.finditer(answer)), len(answer)]
    parts = [answer[start:end].strip() for start, end in pairwise(cuts)]
    # Two announcements in one sentence ("Wait, that's not right") are one restart.
    attempts: list[str] = []
    for part in parts:
        if attempts and not re.search(r"[.!?\n]", attempts[-1]) and restart.match(attempts[-1]):
            attempts[-1] = f"{attempts[-1]} {part}".strip()
        elif part:
            attempts.append(part)
    return attempts


def is_repetitive(answer: str, *, words: int = 4, share: float = 0.5) -> bool:
    """Whether more than `share` of the runs of `words` words in an answer occurred in it before: text that goes round in circles."""
    said = answer.lower().split()
    runs = [tuple(said[i : i + words]) for i in range(len(said) - words + 1)]
    return len(runs) > 0 and 1 - len(set(runs)) / len(runs) > share


@dataclass(frozen=True)
class Resistance:
    """Rates over trials.

    `multi_attempt` is the share of trials with two attempts or more, `esr` the share whose last attempt scores above the first,
    `improvement` the share of those among the trials with two attempts or more (nan where there are none; by chance about one half, since
    noisy scores regress to the mean). `first_score` is the mean score of the first attempt.
    """

    trials: int
    multi_attempts: int
    improved: int
    first_score: float

    @property
    def multi_attempt(self) -> float:
        return self.multi_attempts / self.trials

    @property
    def esr(self) -> float:
        return self.improved / self.trials

    @property
    def improvement(self) -> float:
        return self.improved / self.multi_attempts if self.multi_attempts else float("nan")

    def interval(self, successes: int) -> tuple[float, float]:
        """Wilson's 95 % interval of so many of the trials: rates here are near 0, where p ± 2 standard errors is no use."""
        found = binomtest(successes, self.trials).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


def resistance(scores: Sequence[Sequence[float]]) -> Resistance:
    """The rates of trials, each the scores of its attempts in order; a trial without any attempt scores 0 in one."""
    if not scores:
        raise ValueError("There must be one trial or more, got none")
    trials = [list(each) or [0.0] for each in scores]
    several = [each for each in trials if len(each) > 1]
    return Resistance(
        trials=len(trials),
        multi_attempts=len(several),
        improved=sum(each[-1] > each[0] for each in several),
        first_score=sum(each[0] for each in trials) / len(trials),
    )


def calibrate_each(
    score: Callable[[Tensor], Tensor],
    directions: int,
    target: float,
    *,
    low: float,
    high: float,
    trials: int = 10,
    prior: tuple[float, float] | None = None,
    grid: int = 10_000,
) -> Tensor:
    """(directions,): the strength of each direction at which its noisy score falls to the target, all searched side by side.

    Args:
        score: strengths (directions,) -> mean scores (directions,), within 0 and 1; one batch serves all directions.
        directions: how many.
        target: within 0 and 1.
        low, high, prior, grid: see `ProbabilisticBisection`.
        trials: queries.
    """
    searches = [ProbabilisticBisection(low, high, grid=grid, prior=prior) for _ in range(directions)]
    for _ in range(trials):
        asked = torch.tensor([search.query() for search in searches])
        found = score(asked)
        if found.shape != (directions,):
            raise ValueError(f"score must return one number a direction, ({directions},), got {tuple(found.shape)}")
        for search, x, seen in zip(searches, asked.tolist(), found.tolist(), strict=True):
            search.update(x, seen, target)
    return torch.tensor([search.median() for search in searches])


@dataclass(frozen=True)
class RecoveryBatch:
    """Token ids, labels (-100 where nothing is learnt) and attention mask, (n, longest) each, filled at the right."""

    input_ids: Tensor
    labels: Tensor
    attention_mask: Tensor


def recovery_batch(
    prompts: Sequence[Sequence[int]],
    distractors: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    restart: int,
    pad: int,
) -> RecoveryBatch:
    """Examples of self-correction: prompt, distractor, restart token, answer; only the last two are learnt.

    So the model learns to break off and to answer, and not to go astray. A row with an empty distractor is an ordinary example: prompt
    and answer, without a restart.
    """
    if not len(prompts) == len(distractors) == len(answers) or not prompts:
        raise ValueError(
            f"There must be one distractor (empty for none) and one answer a prompt, got {len(prompts)} prompts, "
            f"{len(distractors)} distractors and {len(answers)} answers"
        )
    ids, labels = [], []
    for prompt, distractor, answer in zip(prompts, distractors, answers, strict=True):
        learnt = [restart, *answer] if distractor else list(answer)
        ids.append(torch.tensor([*prompt, *distractor, *learnt]))
        labels.append(torch.tensor([-100] * (len(prompt) + len(distractor)) + learnt))
    padded = torch.nn.utils.rnn.pad_sequence
    input_ids = padded(ids, batch_first=True, padding_value=pad)
    lengths = torch.tensor([len(each) for each in ids])
    mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
    return RecoveryBatch(input_ids, padded(labels, batch_first=True, padding_value=-100), mask)
