"""Effects, side effects, controls and calibration: against plain transformers, by hand, and on planted directions."""

import math

import pytest
import torch
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    Estimate,
    Evaluation,
    Neutral,
    SideEffects,
    SteeringVector,
    UnitSteering,
    calibrate,
    evaluate,
    learn,
    measure_effect,
    token_contrast,
    token_margin,
)
from pressrun.methods.steering._inputs import Batch

IDS = torch.randint(32, (24, 5), generator=torch.Generator().manual_seed(0))
LAST = act.residual[2]


def margin(model: act.Model, inputs: Batch) -> Tensor:
    logits = model.read(inputs, act.logits, "last_prompt")[act.logits]
    return logits[:, 3] - logits[:, 17]


def planted(tiny: act.Model) -> SteeringVector:
    """Towards the unembedding of token 3 and away from that of 17, behind the last block: it must move the margin."""
    norm = tiny.module.model.norm.weight.detach()
    direction = token_contrast(tiny.module.lm_head.weight.detach() * norm, [3], [17])
    return SteeringVector(LAST, directions={LAST: direction}, norms={LAST: 5.0}, positions="last_prompt")


def test_an_effect_is_measured_on_every_input_in_order(tiny: act.Model) -> None:
    logits = tiny.module(IDS).logits[:, -1].double()
    torch.testing.assert_close(measure_effect(tiny, margin, IDS, batch=7), (logits[:, 3] - logits[:, 17]).detach())


def test_an_effect_with_more_than_one_number_a_row_is_refused(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match=r"An effect returns one number a row, got \(24, 32\) for 24 inputs"):
        measure_effect(tiny, lambda m, x: m.read(x, act.logits, "last_prompt")[act.logits], IDS)


def test_steering_by_nothing_costs_nothing(tiny: act.Model) -> None:
    cost = Neutral(tiny, IDS, batch=5).cost(planted(tiny), 0.0)
    assert (cost.ratio, cost.kl) == (1.0, 0.0)


def test_the_costs_are_those_of_plain_logits(tiny: act.Model) -> None:
    vector = SteeringVector(LAST, directions={LAST: torch.ones(16)}, norms={LAST: 5.0})
    cost = Neutral(tiny, IDS).cost(vector, 0.4)
    with torch.no_grad(), tiny.edit(*vector.edits(tiny, IDS, 0.4)):
        steered = tiny.module(IDS, labels=IDS)
    plain = tiny.module(IDS, labels=IDS)
    assert cost.perplexity == pytest.approx(math.exp(steered.loss), rel=1e-4)
    assert cost.base_perplexity == pytest.approx(math.exp(plain.loss.detach()), rel=1e-4)
    p, q = plain.logits.detach().softmax(-1), steered.logits.softmax(-1)
    assert cost.kl == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-3)


@pytest.mark.parametrize("positions", ["prompt", "decode", "last_prompt"])
def test_steering_of_prompts_or_of_answers_costs_something_too(tiny: act.Model, positions: str) -> None:
    where = {"prompt": [0, 1, 2], "decode": [3, 4], "last_prompt": [2]}[positions]  # the middle of five tokens is the third
    vector = SteeringVector(act.residual[0], directions={act.residual[0]: torch.ones(16)}, positions=positions)
    expected = SteeringVector(act.residual[0], directions={act.residual[0]: torch.ones(16)}, positions=where)
    cost = Neutral(tiny, IDS).cost(vector, 3.0)
    assert cost.kl > 0
    assert cost == Neutral(tiny, IDS).cost(expected, 3.0)


def test_side_effects_need_two_tokens(tiny: act.Model) -> None:
    with pytest.raises(ValueError, match="Neutral texts need two tokens or more"):
        Neutral(tiny, IDS[:, :1])


def test_a_planted_direction_is_beyond_every_control(tiny: act.Model) -> None:
    report = evaluate(
        tiny,
        planted(tiny),
        prompts=IDS[:12],
        effect=margin,
        strength=0.5,
        wanted=IDS[12:18],
        unwanted=IDS[18:],
        neutral=IDS[12:],
        prompt_only=IDS[12:],
    )
    base = margin(tiny, IDS[:12])
    with tiny.edit(*planted(tiny).edits(tiny, IDS[:12], 0.5)):
        steered = margin(tiny, IDS[:12])
    assert report.effect.value == pytest.approx(float((steered - base).mean()), rel=1e-4)
    assert report.effect.low < report.effect.value < report.effect.high
    assert report.specific
    assert (len(report.random), len(report.shuffled)) == (10, 5)
    assert report.prompt_only.value == pytest.approx(float((margin(tiny, IDS[12:]) - base).mean()), rel=1e-4)
    assert report.side_effects.ratio != 1.0


def test_a_random_direction_is_not_beyond_the_controls(tiny: act.Model) -> None:
    found = [
        evaluate(
            tiny,
            planted(tiny).random(torch.Generator().manual_seed(seed)),
            prompts=IDS[:12],
            effect=margin,
            strength=0.5,
            wanted=IDS[12:18],
            unwanted=IDS[18:],
            neutral=IDS[12:],
            prompt_only=IDS[12:],
            seed=seed + 100,
        ).specific
        for seed in range(5)
    ]
    assert sum(found) <= 1


def test_any_method_can_be_evaluated(tiny: act.Model) -> None:
    method = learn(tiny, UnitSteering(act.mlp[:], k=4), IDS[12:18], IDS[18:])
    report = evaluate(
        tiny,
        method,
        prompts=IDS[:12],
        effect=margin,
        strength=1.0,
        wanted=IDS[12:18],
        unwanted=IDS[18:],
        neutral=IDS[12:],
        prompt_only=IDS[:12],
        random=3,
        shuffled=3,
    )
    assert report.prompt_only == Estimate(0.0, 0.0, 0.0)
    assert len({e.value for e in (*report.random, *report.shuffled)}) > 3


def test_the_same_seed_gives_the_same_report(tiny: act.Model) -> None:
    arguments = {
        "prompts": IDS[:6],
        "effect": margin,
        "strength": 0.3,
        "wanted": IDS[12:18],
        "unwanted": IDS[18:],
        "neutral": IDS[6:8],
        "prompt_only": IDS[6:12],
    }
    assert evaluate(tiny, planted(tiny), **arguments) == evaluate(tiny, planted(tiny), **arguments)


@pytest.mark.parametrize(
    ("value", "low", "high", "controls", "specific"),
    [
        (1.0, 0.8, 1.2, (0.5, -2.0), True),
        (1.0, 0.8, 1.2, (0.9, 0.0), False),
        (1.0, -0.1, 2.0, (-0.5, -0.5), False),
        (-1.0, -1.2, -0.8, (-0.5, 2.0), True),
        (-1.0, -1.2, -0.8, (-0.9, 0.0), False),
    ],
)
def test_specific_means_the_interval_is_beyond_zero_and_the_controls(
    value: float, low: float, high: float, controls: tuple[float, float], specific: bool
) -> None:
    estimates = tuple(Estimate(c, c, c) for c in controls)
    report = Evaluation(0.1, Estimate(value, low, high), estimates[:1], estimates[1:], Estimate(0, 0, 0), SideEffects(1, 1, 0))
    assert report.specific is specific


def test_a_report_reads_as_a_table() -> None:
    one, two = Estimate(1.0, 0.5, 1.5), Estimate(-0.25, -0.5, 0.0)
    report = Evaluation(0.1, one, (two, Estimate(0.125, 0.0, 0.25)), (two, two), two, SideEffects(22.0, 20.0, 0.03))
    assert str(report) == (
        "effect at strength 0.1      +1.000 [+0.500, +1.500]\n"
        "random directions           -0.250 to +0.125 (2 draws)\n"
        "shuffled labels             -0.250 to -0.250 (2 draws)\n"
        "asked in words              -0.250 [-0.500, +0.000]\n"
        "perplexity, neutral text    22.00 (unsteered 20.00)\n"
        "KL, neutral text            0.0300 nats a token\n"
        "beyond every control        yes"
    )


def test_controls_are_not_optional(tiny: act.Model) -> None:
    with pytest.raises(
        ValueError, match="Two or more controls of either kind and one prompt_only a prompt are needed, got 0 random"
    ):
        evaluate(
            tiny,
            planted(tiny),
            prompts=IDS,
            effect=margin,
            strength=1.0,
            wanted=IDS,
            unwanted=IDS,
            neutral=IDS,
            prompt_only=IDS,
            random=0,
        )


def test_calibration_reaches_the_effect_it_was_asked_for(tiny: act.Model) -> None:
    found = calibrate(tiny, planted(tiny), IDS[:12], margin, target=1.0, neutral=IDS[12:], budget=100.0, tolerance=0.01)
    assert found.reached
    steered = measure_effect(tiny, margin, IDS[:12], planted(tiny), found.strength).mean()
    assert float(steered - measure_effect(tiny, margin, IDS[:12]).mean()) == pytest.approx(1.0, abs=0.01)


def test_the_margin_of_words_is_the_log_odds_of_their_first_tokens(smollm2: act.Model) -> None:
    effect = token_margin(smollm2, [" good", " fine"], [" bad"])
    found = measure_effect(smollm2, effect, ["The soup was", "Everybody said that the long walk was"], batch=2)
    ids = {word: smollm2.tokenizer(word).input_ids for word in (" good", " fine", " bad")}
    assert all(len(i) == 1 for i in ids.values())
    for text, value in zip(["The soup was", "Everybody said that the long walk was"], found, strict=True):
        with torch.no_grad():
            p = smollm2.module(**smollm2.tokenizer(text, return_tensors="pt")).logits[0, -1].double().softmax(-1)
        odds = (p[ids[" good"]] + p[ids[" fine"]]) / p[ids[" bad"]]
        assert float(value) == pytest.approx(float(odds.log()), abs=2e-3)


def test_words_that_begin_alike_cannot_be_told_apart(smollm2: act.Model) -> None:
    with pytest.raises(ValueError, match="Wanted and unwanted words must begin with different tokens"):
        token_margin(smollm2, [" good"], [" bad", " good"])


def test_padding_does_not_change_the_cost(smollm2: act.Model) -> None:
    texts = ["A triangle has three sides.", "Rain.", "The train leaves from platform four at noon."]
    vector = SteeringVector(act.residual[12], directions={act.residual[12]: torch.ones(576)}, norms={act.residual[12]: 30.0})
    together, alone = (Neutral(smollm2, texts, batch=size).cost(vector, 0.1) for size in (3, 1))
    assert together.perplexity == pytest.approx(alone.perplexity, rel=1e-3)
    assert together.kl == pytest.approx(alone.kl, rel=1e-2)
