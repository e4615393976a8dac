"""Knobs take what they say, and say what they take."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressrun.replicate import Knob, KnobError, changed, check_config, knob, knobs_of, make_config, settings
from pressrun.replicate.knobs import knob_from_json


@dataclass(frozen=True)
class Config:
    epochs: int = knob(60, low=1, high=1000, help="passes over the data")
    lr: float = knob(5e-2, low=1e-5, high=1e-1, unit="1/step", help="step size")
    scale: float = knob(1, help="of the weights at the start")
    noisy: bool = knob(False, help="whether noise is added")
    rule: str = knob("oja", choices=("oja", "hebb"), help="which rule learns")


def test_it_is_read_from_the_fields_of_a_config() -> None:
    assert knobs_of(Config) == (
        Knob("epochs", "int", 60, 1, 1000, (), "", "passes over the data"),
        Knob("lr", "float", 0.05, 1e-5, 0.1, (), "1/step", "step size"),
        Knob("scale", "float", 1.0, None, None, (), "", "of the weights at the start"),
        Knob("noisy", "bool", False, None, None, (), "", "whether noise is added"),
        Knob("rule", "str", "oja", None, None, ("oja", "hebb"), "", "which rule learns"),
    )
    assert isinstance(knobs_of(Config)[2].default, float)


def test_a_config_without_knobs_is_one() -> None:
    @dataclass(frozen=True)
    class Empty:
        pass

    assert knobs_of(Empty) == ()
    assert make_config(Empty, None, {}) == Empty()


def test_overrides_given_as_text_take_the_place_of_the_preset() -> None:
    preset = Config(epochs=3, rule="hebb")
    overrides = {"lr": "1e-3", "noisy": "yes", "scale": "2"}
    assert make_config(Config, preset, overrides) == Config(epochs=3, lr=0.001, scale=2.0, noisy=True, rule="hebb")
    assert make_config(Config, None, {}) == Config()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("On", True), ("1", True), ("no", False), ("0", False), (" FALSE ", False)]
)
def test_a_bool_knows_the_usual_words(text: str, value: bool) -> None:
    assert make_config(Config, None, {"noisy": text}).noisy is value


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"epochs": "0"}, "epochs must be a whole number from 1 to 1000, got '0'"),
        ({"epochs": "1001"}, "epochs must be a whole number from 1 to 1000, got '1001'"),
        ({"epochs": "1.5"}, "epochs must be a whole number from 1 to 1000, got '1.5'"),
        ({"epochs": "1_0"}, "epochs must be a whole number from 1 to 1000, got '1_0'"),
        ({"epochs": "٣"}, "epochs must be a whole number from 1 to 1000, got '٣'"),
        ({"epochs": "9" * 5000}, "epochs must be a whole number from 1 to 1000, got '" + "9" * 79),
        ({"epochs": ""}, "epochs must be a whole number from 1 to 1000, got ''"),
        ({"lr": "nan"}, "lr must be a number from 1e-05 to 0.1, got 'nan'"),
        ({"lr": "inf"}, "lr must be a number from 1e-05 to 0.1, got 'inf'"),
        ({"lr": "0x1"}, "lr must be a number from 1e-05 to 0.1, got '0x1'"),
        ({"scale": "1e999"}, "scale must be a number, got 'inf'"),
        ({"noisy": "perhaps"}, "noisy must be true or false, got 'perhaps'"),
        ({"rule": "bcm"}, "rule must be one of oja, hebb, got 'bcm'"),
        ({"speed": "1"}, "there is no knob 'speed'; knobs are epochs, lr, scale, noisy, rule"),
    ],
)
def test_it_refuses_what_it_does_not_take_in_one_sentence(overrides: dict[str, str], sentence: str) -> None:
    with pytest.raises(KnobError) as refused:
        make_config(Config, None, overrides)
    assert str(refused.value) == sentence


@given(st.dictionaries(st.sampled_from(["epochs", "lr", "scale", "noisy", "rule"]), st.text()))
def test_any_text_is_either_a_value_within_bounds_or_refused(overrides: dict[str, str]) -> None:
    with suppress(KnobError):
        config = make_config(Config, None, overrides)
        assert 1 <= config.epochs <= 1000
        assert 1e-5 <= config.lr <= 0.1
        assert config.rule in ("oja", "hebb")


def test_the_same_works_without_the_config_from_its_json() -> None:
    knobs = [knob_from_json(json.loads(json.dumps(each.to_json()))) for each in knobs_of(Config)]
    assert knobs == list(knobs_of(Config))
    preset = check_config(Config(epochs=3))
    values = settings(knobs, preset, {"lr": "0.1"})
    assert values == {"epochs": 3, "lr": 0.1, "scale": 1.0, "noisy": False, "rule": "oja"}
    assert changed(preset, values) == {"lr": 0.1}


def test_a_preset_out_of_bounds_is_found() -> None:
    with pytest.raises(KnobError, match=r"^epochs must be a whole number from 1 to 1000, got '0'$"):
        check_config(Config(epochs=0))
    with pytest.raises(KnobError, match=r"^noisy must be true or false, got '1'$"):
        check_config(Config(noisy=1))  # type: ignore[arg-type]


def declared(hint: type, value: object) -> type:
    return dataclass(frozen=True)(type("Declared", (), {"__annotations__": {"x": hint}, "x": value}))


@pytest.mark.parametrize(
    ("hint", "value", "sentence"),
    [
        (int, 3, "x must be made by knob(...)"),
        (list, knob(3, help="h"), "x must be an int, float, bool or str, got list"),
        (int, knob(0.5, help="h"), "x must be a whole number, got '0.5'"),
        (int, knob(0, low=1, help="h"), "x must be a whole number of 1 or more, got '0'"),
        (float, knob(2.0, high=1, help="h"), "x must be a number of 1 or less, got '2.0'"),
        (str, knob("a", help="h"), "x needs choices"),
        (int, knob(1, choices=("1",), help="h"), "x is no str and takes no choices"),
        (bool, knob(True, low=0, help="h"), "x is a bool and takes no bounds"),
    ],
)
def test_it_refuses_a_knob_declared_wrongly(hint: type, value: object, sentence: str) -> None:
    with pytest.raises(KnobError) as refused:
        knobs_of(declared(hint, value))
    assert str(refused.value) == sentence


def test_a_config_that_can_be_changed_is_refused() -> None:
    with pytest.raises(KnobError, match=r"^Loose must be a frozen dataclass$"):
        knobs_of(dataclass(type("Loose", (), {})))
    with pytest.raises(KnobError, match=r"^int must be a frozen dataclass$"):
        knobs_of(int)


def test_json_that_is_no_knob_is_refused() -> None:
    with pytest.raises(KnobError, match=r"^a knob cannot be made of "):
        knob_from_json({"name": "x"})
