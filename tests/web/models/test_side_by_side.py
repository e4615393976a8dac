"""The page with two answers, before a live model server with a tiny random model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from openai import OpenAI
from pytest_django import Settings

from pressrun.serving import Engine, shelf
from pressrun.web.models import client as models
from pressrun.web.models.address import parse_address
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from tests.serving.conftest import live, saved_vector, tiny, until
from tests.web.people.conftest import PASSWORD, sign_in

GIVEN = {"prompt": "hello", "vector": "push", "strength": "2", "tokens": "20"}
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    model = tiny()
    file = saved_vector(tmp_path_factory.mktemp("vectors"), model.width, 0, strength=2.0, licence="CC0-1.0")
    return Engine("tiny", model, shelf(model, [file]))


@pytest.fixture(scope="module")
def address(engine: Engine) -> Iterator[str]:
    with live(engine) as found:
        yield found


@pytest.fixture
def served(address: str, settings: Settings) -> str:
    settings.MODEL_SERVER = address.removesuffix("/v1")
    return address


@pytest.fixture
def owner(db: None) -> Client:
    make_account("ada", "ada@example.org", PASSWORD, Role.OWNER)
    return sign_in("ada")


def answers(address: str) -> tuple[str, str]:
    """What the model server itself says, without and with."""
    with OpenAI(base_url=address, api_key="none") as client:
        plain, steered = (
            client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "hello"}],
                temperature=0,
                max_tokens=20,
                extra_body={"steer": steer},
            )
            for steer in ([], [{"vector": "push", "strength": 2}])
        )
    return plain.choices[0].message.content or "", steered.choices[0].message.content or ""


@pytest.mark.django_db
def test_it_says_how_to_start_a_model_where_none_answers(client: Client, settings: Settings) -> None:
    settings.MODEL_SERVER = NOBODY
    response = client.get("/models/")
    assert response.status_code == 200
    assert "No model server answers." in response.text
    assert "pressrun serve-model smollm2 --steer mine.safetensors" in response.text


@pytest.mark.django_db
def test_it_does_not_take_another_server_for_a_model(client: Client, settings: Settings, served: str) -> None:
    settings.MODEL_SERVER = served  # whose /v1/v1/models is none
    assert "What answers where the model server should be is not one." in client.get("/models/").text


@pytest.mark.django_db
def test_whoever_looks_sees_the_model_and_its_vectors_but_no_button(client: Client, served: str) -> None:
    text = client.get("/models/").text
    assert "tiny, 1 vector" in text
    assert "act.residual[0], usually at 2, CC0-1.0" in text
    assert "Answer twice" not in text
    assert 'max="4"' in text


def test_a_model_server_without_vectors_says_how_to_give_it_one(owner: Client, engine: Engine, settings: Settings) -> None:
    with live(Engine("bare", engine.model)) as address:
        settings.MODEL_SERVER = address.removesuffix("/v1")
        assert "pressrun serve-model bare --steer FILE" in owner.get("/models/").text
        assert owner.post("/models/", GIVEN).context["problem"] == "There is no vector 'push' here; there are: none."


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/models/", "/models/stream"])
def test_whoever_may_not_run_may_not_ask(client: Client, served: str, path: str) -> None:
    response = client.post(path, GIVEN)
    assert response.status_code == 403
    assert "Only the owner of this installation" in response.text


def test_the_form_gives_both_answers_without_a_script(owner: Client, served: str) -> None:
    response = owner.post("/models/", GIVEN)
    assert response.status_code == 200
    plain, steered = answers(served)
    assert plain != steered
    assert response.context["answers"] == {"plain": plain, "steered": steered}
    assert 'value="2"' in response.text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"strength": "nan"}, "Strength: Enter a number."),
        ({"strength": "101"}, "Strength: Ensure this value is less than or equal to 100."),
        ({"vector": "pull"}, "There is no vector 'pull' here; there are: push."),
        ({"prompt": ""}, "Prompt: This field is required."),
        ({"tokens": "513"}, "Tokens: Ensure this value is less than or equal to 512."),
        ({"prompt": "a" * 400}, "The prompt has 417 tokens, and tiny takes 256 with the answer."),
    ],
)
def test_what_does_not_fit_comes_back_with_a_sentence(owner: Client, served: str, wrong: dict[str, str], sentence: str) -> None:
    response = owner.post("/models/", GIVEN | wrong)
    assert response.status_code == 400
    assert response.context["problem"] == sentence
    assert response.context["answers"] is None


def test_it_streams_one_answer_after_the_other(owner: Client, served: str) -> None:
    response = owner.post("/models/stream", GIVEN)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/x-ndjson"
    with pytest.warns(Warning, match="consume asynchronous iterators"):  # the test client is no ASGI server
        told = [json.loads(line) for line in b"".join(response).splitlines()]
    plain, steered = answers(served)
    assert "".join(line["text"] for line in told if line["side"] == "plain") == plain
    assert "".join(line["text"] for line in told if line["side"] == "steered") == steered
    sides = [line["side"] for line in told]
    assert sides == sorted(sides)
    assert len(told) > 20


def test_a_stream_that_does_not_fit_is_refused_before_it_begins(owner: Client, served: str) -> None:
    response = owner.post("/models/stream", GIVEN | {"tokens": "0"}, headers={"Accept": "application/json"})
    assert response.status_code == 400
    assert response.json() == {"error": "Tokens: Ensure this value is greater than or equal to 1."}


def test_asking_where_no_model_answers_is_refused(owner: Client, settings: Settings) -> None:
    settings.MODEL_SERVER = NOBODY
    assert owner.post("/models/", GIVEN).status_code == 503
    streamed = owner.post("/models/stream", GIVEN, headers={"Accept": "application/json"})
    assert (streamed.status_code, streamed.json()) == (503, {"error": "No model server answers."})


def test_a_prompt_is_text_and_never_markup(owner: Client, served: str) -> None:
    response = owner.post("/models/", GIVEN | {"prompt": "</textarea><script>alert(1)</script>"})
    assert response.status_code == 200
    assert "<script>alert" not in response.text


def test_the_model_stops_when_nobody_reads_on(served: str, engine: Engine) -> None:
    async def first() -> None:
        async with aclosing(models.answer(models.find(), "hello", [], 200)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if piece:
                    return

    asyncio.run(first())
    assert until(lambda: engine.waiting == 0)


def test_the_key_goes_to_the_server_that_was_named_alone(engine: Engine, settings: Settings) -> None:
    settings.MODEL_KEY = "secret"
    settings.MODEL_SERVER = ""
    assert models._headers() == {}
    with live(Engine("tiny", engine.model), key="secret") as address:
        settings.MODEL_SERVER = address.removesuffix("/v1")
        assert models.find().model == "tiny"
        settings.MODEL_KEY = "other"
        with pytest.raises(models.NoServer, match="asks for its key"):
            models.find()


@pytest.mark.parametrize(
    ("named", "address"),
    [("", ""), ("http://models.example:8019", "http://models.example:8019"), ("https://[::1]/v1/", "https://[::1]")],
)
def test_an_address_is_taken_with_and_without_its_path(named: str, address: str) -> None:
    assert parse_address(named) == address


@pytest.mark.parametrize("named", ["models.example", "ftp://models.example", "http://models.example/v2", "http://"])
def test_what_is_no_address_is_refused(named: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="PRESSRUN_MODEL_SERVER must be an address such as"):
        parse_address(named)
