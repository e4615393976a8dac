"""OpenAI's own client against a live server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import torch
from openai import OpenAI

from pressrun.methods import activations as act
from pressrun.methods.steering import steered
from pressrun.serving import Engine

from .conftest import live

pytestmark = pytest.mark.client

HELLO: list[Any] = [{"role": "user", "content": "hello"}]
PUSH = {"steer": [{"vector": "push"}]}


def chat(client: OpenAI, **keywords: Any) -> str:  # noqa: ANN401
    given: dict[str, Any] = {"model": "tiny", "messages": HELLO, "temperature": 0, "max_tokens": 30}
    answer = client.chat.completions.create(**given | keywords)
    return answer.choices[0].message.content or ""


def plain(model: act.Model, prompt: str, tokens: int = 30) -> str:
    """What transformers itself answers, greedily."""
    batch = model.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    out = model.module.generate(**batch, max_new_tokens=tokens, do_sample=False, pad_token_id=0)
    return str(model.tokenizer.decode(out[0, batch["input_ids"].shape[1] :], skip_special_tokens=True))


def test_it_names_its_model_and_its_vectors(client: OpenAI) -> None:
    (found,) = client.models.list().data
    assert (found.id, found.owned_by) == ("tiny", "pressrun")
    steering = found.model_dump()["steering"]
    assert [(v["vector"], v["strength"], v["sites"], v["licence"]) for v in steering] == [
        ("push", 2.0, ["act.residual[0]"], "CC0-1.0"),
        ("weak", 0.0, ["act.residual[0]"], "CC0-1.0"),
    ]
    assert client.models.retrieve("tiny").id == "tiny"


def test_a_plain_answer_is_that_of_transformers(client: OpenAI, model: act.Model) -> None:
    assert chat(client) == plain(model, "user: hello\nassistant:")
    answer = client.completions.create(model="tiny", prompt="once", max_tokens=30, temperature=0)
    assert answer.choices[0].text == plain(model, "once")


def test_a_steered_answer_is_that_of_the_vector_and_the_next_is_plain_again(
    client: OpenAI, model: act.Model, engine: Engine
) -> None:
    before = chat(client)
    with steered(model, engine.shelf.vectors["push"].vector, "unused", 2.0):
        expected = plain(model, "user: hello\nassistant:")
    assert chat(client, extra_body=PUSH) == expected != before
    assert chat(client) == before


def test_strength_and_positions_are_those_of_the_request(client: OpenAI) -> None:
    before = chat(client)
    assert chat(client, extra_body={"steer": [{"vector": "push", "strength": 0}]}) == before
    assert chat(client, extra_body={"steer": [{"vector": "weak"}]}) == before
    late = client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        temperature=0,
        max_tokens=30,
        extra_body={"steer": [{"vector": "push", "strength": 3, "positions": "decode"}]},
    )
    assert late.model_dump()["steer"] == [{"vector": "push", "strength": 3.0, "positions": "decode"}]
    # The first token comes from the prompt, which is not steered.
    text = late.choices[0].message.content or ""
    assert text != before
    assert text[0] == before[0]


@pytest.mark.parametrize("body", [None, PUSH])
def test_a_stream_says_what_the_whole_answer_says(client: OpenAI, body: dict[str, Any] | None) -> None:
    parts = list(
        client.chat.completions.create(
            model="tiny",
            messages=HELLO,
            temperature=0,
            max_tokens=30,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=body,
        )
    )
    told = [part.choices[0] for part in parts if part.choices]
    assert told[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in told) == chat(client, extra_body=body)
    assert len(told) > 10
    assert told[-1].finish_reason == "length"
    assert parts[-1].usage is not None
    assert (parts[-1].usage.prompt_tokens, parts[-1].usage.completion_tokens) == (22, 30)


def test_a_stream_of_text_says_what_the_whole_text_says(client: OpenAI) -> None:
    given: dict[str, Any] = {"model": "tiny", "prompt": "once", "max_tokens": 20, "temperature": 0}
    parts = client.completions.create(**given, stream=True)
    assert "".join(part.choices[0].text for part in parts) == client.completions.create(**given).choices[0].text


@pytest.mark.parametrize("stream", [False, True])
def test_it_ends_before_a_stop_word_and_tells_none_of_it(client: OpenAI, stream: bool) -> None:
    whole = chat(client)
    stop = whole[12:15]
    assert "\ufffd" not in stop
    cut = whole[: whole.index(stop)]
    if stream:
        parts = list(
            client.chat.completions.create(model="tiny", messages=HELLO, temperature=0, max_tokens=30, stop=[stop], stream=True)
        )
        assert "".join(part.choices[0].delta.content or "" for part in parts) == cut
        assert parts[-1].choices[0].finish_reason == "stop"
    else:
        answer = client.chat.completions.create(model="tiny", messages=HELLO, temperature=0, max_tokens=30, stop=stop)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (cut, "stop")
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 15


def test_what_begins_like_a_stop_word_is_told_in_the_end(client: OpenAI) -> None:
    whole = chat(client)
    assert chat(client, stop=whole[-2:] + "never") == whole


def test_a_seed_gives_the_same_answers_again_and_each_choice_is_its_own(client: OpenAI) -> None:
    def drawn(seed: int) -> list[str]:
        answer = client.completions.create(model="tiny", prompt="once", max_tokens=20, temperature=1.0, n=3, seed=seed)
        return [choice.text for choice in answer.choices]

    first = drawn(5)
    assert len(set(first)) == 3
    assert drawn(5) == first
    assert drawn(1000) != first
    # Nearly all probability but one token's is cut away.
    narrow = client.completions.create(model="tiny", prompt="once", max_tokens=20, temperature=1.0, top_p=1e-6, seed=5)
    greedy = client.completions.create(model="tiny", prompt="once", max_tokens=20, temperature=0)
    assert narrow.choices[0].text == greedy.choices[0].text


def test_without_a_seed_answers_differ(client: OpenAI) -> None:
    answers = {client.completions.create(model="tiny", prompt="once", max_tokens=20).choices[0].text for _ in range(3)}
    assert len(answers) == 3


def test_log_probabilities_are_those_of_the_model(client: OpenAI, model: act.Model) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=HELLO, temperature=0.5, seed=1, max_tokens=3, logprobs=True, top_logprobs=2
    )
    assert answer.choices[0].logprobs is not None
    first = (answer.choices[0].logprobs.content or [])[0]
    batch = model.tokenizer("user: hello\nassistant:", return_tensors="pt")
    with torch.no_grad():
        expected = model.module(**batch).logits[0, -1].log_softmax(dim=-1)
    assert first.logprob == pytest.approx(float(expected[model.tokenizer.encode(first.token)[0]]), abs=1e-5)
    assert [top.logprob for top in first.top_logprobs] == pytest.approx(expected.topk(2).values.tolist(), abs=1e-5)
    assert len(answer.choices[0].logprobs.content or []) == 3


def test_log_probabilities_of_a_text_have_their_place_in_it(client: OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="once", max_tokens=4, temperature=0, logprobs=1)
    found = answer.choices[0].logprobs
    assert found is not None
    assert found.text_offset == [0, 1, 2, 3]
    assert found.tokens is not None
    assert "".join(found.tokens) == answer.choices[0].text


def test_several_prompts_have_their_answers_in_order(client: OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["once", "hello"], max_tokens=8, temperature=0, n=2)
    one, again, two, _ = (choice.text for choice in answer.choices)
    assert one == again != two
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 9
    assert answer.usage.completion_tokens == 32


def test_token_ids_are_a_prompt(client: OpenAI, model: act.Model) -> None:
    ids = model.tokenizer.encode("once")
    by_ids = client.completions.create(model="tiny", prompt=ids, max_tokens=8, temperature=0).choices[0].text
    assert by_ids == plain(model, "once", 8)


def test_many_at_once_get_what_each_gets_alone(client: OpenAI) -> None:
    asked: list[dict[str, Any]] = [
        {
            "messages": [{"role": "user", "content": f"hello {i}"}],
            "extra_body": {"steer": [{"vector": "push", "strength": i % 3}]},
        }
        for i in range(9)
    ]
    alone = [chat(client, **each) for each in asked]
    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(lambda each: chat(client, **each), asked)) == alone
    assert len(set(alone)) == 9


BAD: list[tuple[type[openai.APIStatusError], int, dict[str, Any], str]] = [
    (openai.NotFoundError, 404, {"model": "gpt"}, "There is no model 'gpt' here; there is tiny."),
    (openai.BadRequestError, 400, {"temperature": 3}, "temperature: Input should be less than or equal to 2, got 3."),
    (openai.BadRequestError, 400, {"n": 0}, "n: Input should be greater than or equal to 1, got 0."),
    (openai.BadRequestError, 400, {"presence_penalty": 1}, "presence_penalty: Input should be less than or equal to 0, got 1."),
    (openai.BadRequestError, 400, {"tools": []}, "This server does not know the parameter tools."),
    (
        openai.BadRequestError,
        400,
        {"messages": []},
        "messages: List should have at least 1 item after validation, not 0, got [].",
    ),
    (
        openai.BadRequestError,
        400,
        {"extra_body": {"steer": [{"vector": "pull"}]}},
        "There is no vector 'pull' here; there are: push, weak.",
    ),
    (
        openai.BadRequestError,
        400,
        {"extra_body": {"steer": [{"vector": "push", "strength": 1000}]}},
        "steer.0.strength: Input should be less than or equal to 100, got 1000.",
    ),
    (
        openai.BadRequestError,
        400,
        {"messages": [{"role": "user", "content": "forbidden"}]},
        "The chat template of tiny refuses these messages: not that.",
    ),
    (
        openai.APIStatusError,
        413,
        {"max_tokens": 300},
        "22 tokens of the prompt and 300 of the answer are more than the 256 of tiny.",
    ),
    (
        openai.APIStatusError,
        413,
        {"messages": [{"role": "user", "content": "a" * 300}]},
        "The prompt has 317 tokens, and tiny takes 256 with the answer.",
    ),
    (openai.APIStatusError, 413, {"messages": [{"role": "user", "content": "a" * 2**20}]}, "A request may have 1,048,576 bytes."),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("kind", "status", "given", "sentence"), BAD)
def test_it_refuses_in_one_sentence(
    client: OpenAI, kind: type[openai.APIStatusError], status: int, given: dict[str, Any], sentence: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        chat(client, **given, stream=stream)
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"] == sentence
    assert caught.value.body["type"] == "invalid_request_error"


def test_it_refuses_a_token_that_is_not_there(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Token ids of tiny are from 0 to 98, got 99"):
        client.completions.create(model="tiny", prompt=[1, 99])


def test_it_refuses_an_empty_prompt(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="The prompt is empty"):
        client.completions.create(model="tiny", prompt="")


def test_a_key_is_asked_for(engine: Engine, model: act.Model) -> None:
    with live(Engine("tiny", model), key="secret") as address:
        with OpenAI(base_url=address, api_key="wrong", max_retries=0) as stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with OpenAI(base_url=address, api_key="secret", max_retries=0) as friend:
            assert friend.models.list().data[0].id == "tiny"
