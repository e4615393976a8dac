"""What a client cannot show: clients that go away, strangers at the door, vectors that do not fit."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pressrun.methods import activations as act
from pressrun.methods.steering import SteeringVector, export_svec
from pressrun.serving import Engine, Shelf, Shelved, shelf
from pressrun.serving.engine import WAITING
from pressrun.serving.generation import Ask, Piece, _Follow
from pressrun.serving.server import listen

from .conftest import live, saved_vector, tiny, until

TINY = tiny()


class Gate:
    """Holds the model before its fifth token until it is opened; counts the tokens."""

    def __init__(self, model: act.Model) -> None:
        self.passes = 0
        self.reached, self.opened = threading.Event(), threading.Event()
        self.handle = model.module.register_forward_pre_hook(self._wait)

    def _wait(self, *_: Any) -> None:  # noqa: ANN401
        self.passes += 1
        if self.passes == 5:
            self.reached.set()
            assert self.opened.wait(30)


@contextmanager
def gated() -> Iterator[tuple[Gate, Engine, str]]:
    engine = Engine("tiny", tiny())
    gate = Gate(engine.model)
    with live(engine) as address:
        try:
            yield gate, engine, address
        finally:
            gate.opened.set()


def body(**keywords: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"model": "tiny", "prompt": "once", "temperature": 0, "max_tokens": 200, **keywords}


def test_a_stream_that_nobody_reads_any_more_is_not_generated_further() -> None:
    with gated() as (gate, engine, address):
        with httpx.stream("POST", f"{address}/completions", json=body(stream=True)) as answer:
            lines = answer.iter_lines()  # kept: when it goes, the connection goes
            next(lines)
            assert gate.reached.wait(20)
        assert until(lambda: engine.waiting == 0)
        gate.opened.set()
        follow = httpx.post(f"{address}/completions", json=body(max_tokens=1))
        assert follow.status_code == 200
        assert gate.passes <= 7


def test_an_answer_that_nobody_waits_for_is_not_generated_further() -> None:
    with gated() as (gate, engine, address):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/completions", json=body(), timeout=httpx.Timeout(20, read=0.5))
        assert gate.reached.wait(20)
        assert until(lambda: engine.waiting == 0)
        gate.opened.set()
        assert httpx.post(f"{address}/completions", json=body(max_tokens=1)).status_code == 200
        assert gate.passes <= 7


def test_the_line_has_an_end() -> None:
    engine = Engine("tiny", tiny())
    with live(engine) as address:
        engine.waiting = WAITING
        answer = httpx.post(f"{address}/completions", json=body())
        engine.waiting = 0
    assert answer.status_code == 429
    assert answer.json()["error"]["message"] == "64 answers wait already: try again in a moment."


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ({"Content-Type": "text/plain"}, 415, "Requests must be JSON, with Content-Type: application/json."),
        ({"Host": "evil.example:8019"}, 403, "This server is called localhost or 127.0.0.1 or [::1], not 'evil.example'."),
    ],
)
def test_a_page_in_a_browser_cannot_use_it(address: str, headers: dict[str, str], status: int, sentence: str) -> None:
    sent = {"Content-Type": "application/json", **headers}
    answer = httpx.post(f"{address}/completions", content=json.dumps(body()), headers=sent)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, sentence)


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/v1/nothing", 404, "There is no /v1/nothing; there are /v1/models, /v1/chat/completions and /v1/completions."),
        (
            "GET",
            "/v1/completions",
            405,
            "/v1/completions does not take GET; there are /v1/models, /v1/chat/completions and /v1/completions.",
        ),
    ],
)
def test_other_addresses_are_refused_in_the_same_shape(address: str, method: str, path: str, status: int, sentence: str) -> None:
    answer = httpx.request(method, address.removesuffix("/v1") + path)
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, sentence)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": NaN}', '"' + "[" * 500])
def test_what_is_no_request_is_refused(address: str, content: str) -> None:
    answer = httpx.post(f"{address}/completions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].endswith(".")


def test_a_failure_on_the_way_is_the_last_event_and_the_next_request_is_served() -> None:
    model = tiny()
    site = act.residual[0]
    broken = SteeringVector(site, directions={site: torch.ones(model.width)}, norms={site: float("inf")})
    with live(Engine("tiny", model, Shelf({"broken": Shelved(broken, 1.0)}))) as address:
        steered = {"steer": [{"vector": "broken"}], "temperature": 1}
        streamed = httpx.post(f"{address}/completions", json=body(stream=True, **steered))
        whole = httpx.post(f"{address}/completions", json=body(**steered))
        assert httpx.post(f"{address}/completions", json=body(max_tokens=2)).status_code == 200
    sentence = "The model gave no probabilities to draw from: the steering is too strong."
    assert json.loads(streamed.text.strip().splitlines()[-1].removeprefix("data: "))["error"]["message"] == sentence
    assert (whole.status_code, whole.json()["error"]["message"]) == (500, sentence)


def test_a_character_is_told_when_it_is_whole(model: act.Model) -> None:
    told: list[Piece] = []
    follow = _Follow(model, Ask((1,), 5), told.append, lambda: False)
    halves = model.tokenizer.encode("é")
    assert len(halves) == 2
    for token in (*halves, halves[0]):
        follow.take(token)
    assert [piece.text for piece in told] == ["é"]
    assert follow.end().tokens == 3
    # Half a character at the end is told as transformers decodes it.
    assert [piece.text for piece in told] == ["é", "\ufffd"]


@given(st.text("abc", max_size=12), st.lists(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_an_answer_ends_before_the_first_stop_word_that_is_whole(text: str, stops: list[str]) -> None:
    told: list[Piece] = []
    follow = _Follow(TINY, Ask((1,), len(text), stop=tuple(stops)), told.append, lambda: False)
    for token in TINY.tokenizer.encode(text):
        if follow.reason is None:
            follow.take(token)
    ended = next((text[:i] for i in range(len(text) + 1) if any(stop in text[:i] for stop in stops)), None)
    expected = text if ended is None else ended[: min(ended.find(stop) for stop in stops if stop in ended)]
    assert follow.end().reason == ("length" if ended is None else "stop")
    assert "".join(piece.text for piece in told) == expected


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        sentence = f"^cannot listen on 127.0.0.1 port {port}: Address already in use; choose another with --port$"
        with pytest.raises(ValueError, match=sentence):
            listen("127.0.0.1", port)


def test_every_request_is_steered_where_the_server_says_so(model: act.Model, tmp_path: Path) -> None:
    always = shelf(model, [saved_vector(tmp_path, model.width, 0, strength=0.5)], always=True)
    assert [(each.name, each.strength) for each in always.chosen(None)] == [("push", 0.5)]
    assert always.chosen([]) == ()


def test_it_reads_vectors_of_others(model: act.Model, tmp_path: Path) -> None:
    site = act.residual[1]
    export_svec(tmp_path / "theirs.svec", SteeringVector(site, directions={site: torch.ones(model.width)}))
    found = shelf(model, [str(tmp_path / "theirs.svec")], ["theirs=0.25"])
    assert found.vectors["theirs"].strength == 0.25


def test_a_vector_without_strength_is_refused_with_a_sentence(model: act.Model, tmp_path: Path) -> None:
    with live(Engine("tiny", model, shelf(model, [saved_vector(tmp_path, model.width, 0)]))) as here:
        answer = httpx.post(f"{here}/completions", json=body(steer=[{"vector": "push"}]))
    assert answer.json()["error"]["message"] == "The vector push has no default strength: give one."


@pytest.mark.parametrize(
    ("files", "strengths", "always", "sentence"),
    [
        (["{push}", "{push}"], [], False, "two vectors are called push"),
        (["{push}"], ["pull=1"], False, "there is no vector 'pull' to give a strength to; there are: push"),
        (["{push}"], ["push=much"], False, "a strength is NAME=NUMBER with a number from -100 to 100, got 'push=much'"),
        (["{push}"], [], True, "to steer every request each vector needs a default strength, and push has no strength"),
        ([], [], True, "to steer every request each vector needs a default strength, and there is no vector"),
        (["nothing.safetensors"], [], False, "nothing.safetensors is not a whole steering vector"),
        (["{wide}"], [], False, r"the vector push does not fit this model: a value of shape \(31,\)"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(
    model: act.Model, tmp_path: Path, files: list[str], strengths: list[str], always: bool, sentence: str
) -> None:
    wide = tmp_path / "wide"
    wide.mkdir()
    there = {"push": saved_vector(tmp_path, model.width, 0), "wide": saved_vector(wide, 31, 0)}
    with pytest.raises(ValueError, match=sentence):
        shelf(model, [file.format(**there) for file in files], strengths, always=always)


def test_a_vector_of_other_layers_is_refused(model: act.Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the vector push does not fit this model"):
        shelf(model, [saved_vector(tmp_path, model.width, 7)])


def test_shelved_vectors_keep_their_own_positions(model: act.Model) -> None:
    site = act.residual[0]
    vector = SteeringVector(site, positions="decode", directions={site: torch.ones(model.width)})
    (applied,) = Shelf({"v": Shelved(vector, 1.0)}, always=True).chosen(None)
    assert applied.facts() == {"vector": "v", "strength": 1.0, "positions": "decode"}
