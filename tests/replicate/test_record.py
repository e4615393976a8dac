"""The record on disk: whole, checked, and readable in a sentence when it is broken."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from pressrun.replicate.machine import allowed_cores, environment, machine, packages_hash
from pressrun.replicate.record import (
    Limits,
    RunError,
    RunRecord,
    State,
    checked_seeds,
    find_run,
    load_record,
    new_id,
    parse_record,
    run_directories,
    write_record,
)
from pressrun.replicate.runs import read_runs, share_cores
from tests.replicate import runs


def test_it_comes_back_from_disk_as_it_was_written(coin_run: RunRecord) -> None:
    assert load_record(coin_run.path) == coin_run
    assert parse_record(coin_run.model_dump_json(exclude={"path"}).encode(), "x").config == {"tosses": 1000, "load": 0.8}


def test_it_holds_who_what_and_on_what(coin_run: RunRecord) -> None:
    assert (coin_run.paper, coin_run.replication, coin_run.version) == ("2409.00001", "coin", "fixtures 1.0")
    assert (coin_run.requester, coin_run.command, coin_run.parent) == ("a test", "pressrun run 2409.00001", None)
    assert (coin_run.seeds, coin_run.preset, coin_run.changed) == ((0, 1, 2), "laptop", {})
    assert [card.id for card in coin_run.cards] == ["loaded-coin-shows-heads"]
    assert coin_run.environment is not None
    assert coin_run.environment.packages["numpy"]
    assert (coin_run.environment.time_zone, coin_run.environment.locale) == ("UTC", "C.UTF-8")
    assert coin_run.machine is not None
    assert coin_run.machine.cores == allowed_cores()
    assert coin_run.network == "cut" or coin_run.network.startswith("open: ")
    assert coin_run.determinism["random"] == "the seed"
    assert coin_run.code[coin_run.module] == coin_run.source_sha256
    assert [data.path for data in coin_run.data] == ["__init__.py"]
    assert coin_run.supervisor is not None


def test_it_holds_the_course_of_the_run(coin_run: RunRecord) -> None:
    assert [change.state for change in coin_run.states] == ["queued", "starting", "running", "succeeded"]
    assert sorted(change.at for change in coin_run.states) == [change.at for change in coin_run.states]
    assert [(result.seed, result.state, result.exit_code, result.signal) for result in coin_run.results] == [
        (0, "succeeded", 0, None),
        (1, "succeeded", 0, None),
        (2, "succeeded", 0, None),
    ]
    assert all(result.peak_memory > 10 * 2**20 for result in coin_run.results)
    assert {"evidence.parquet", "cards.json", "stdout.txt", "figures/figure.svg", "figures/figure.png", "seeds/0.jsonl"} <= set(
        coin_run.files
    )


def test_a_final_state_is_final(coin_run: RunRecord) -> None:
    with pytest.raises(RunError, match=rf"run {coin_run.id} is over \(succeeded\) and cannot become running"):
        coin_run.moved(State.RUNNING)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "run.json is not JSON, so the run cannot be read: "),
        (b'{"format": 1, "id"', "run.json is not JSON, so the run cannot be read: "),
        (b"[]", "run.json must hold an object, it holds list"),
        (b'{"format": 2}', "run.json has record format 2; this version of pressrun reads format 1"),
        (b"{}", "run.json has record format 'none'; this version of pressrun reads format 1"),
        (b'{"format": 1, "id": "../../x"}', "run.json is not a run record: id: "),
        (b"\xff\xfe", "run.json is not JSON, so the run cannot be read: "),
    ],
)
def test_it_says_what_is_wrong_with_a_broken_record(content: bytes, sentence: str) -> None:
    with pytest.raises(RunError) as told:
        parse_record(content, "run.json")
    assert str(told.value).startswith(sentence)
    assert "\n" not in str(told.value)


def test_a_broken_run_does_not_hide_the_others(tmp_path: Path) -> None:
    good, broken = runs.ask(tmp_path, "coin"), runs.ask(tmp_path, "coin")
    (broken.path / "run.json").write_text("{")
    found = list(read_runs(tmp_path))
    assert [each.id for each in found if isinstance(each, RunRecord)] == [good.id]
    assert [str(each).startswith(str(broken.path)) for each in found if isinstance(each, RunError)] == [True]


def test_it_is_put_in_place_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = runs.ask(tmp_path, "coin")
    before = (record.path / "run.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_record(record.moved(State.STARTING))
    assert (record.path / "run.json").read_bytes() == before
    assert not list(record.path.glob(".run.json*"))


def test_an_id_sorts_by_time_and_reads_at_a_glance() -> None:
    at = datetime(2026, 4, 20, 18, 15, tzinfo=UTC)
    assert new_id("EI snn/../x", at).startswith("ei-snn-x-20260420-181500-")
    assert new_id("a", at) < new_id("a", at + timedelta(seconds=1))
    assert new_id("a", at) != new_id("a", at)


def test_it_finds_a_run_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    one, other = runs.ask(tmp_path, "coin"), runs.ask(tmp_path, "trouble")
    assert find_run(tmp_path, "coi") == one.path
    assert find_run(tmp_path, other.id) == other.path
    assert set(run_directories(tmp_path)) == {one.path, other.path}
    with pytest.raises(RunError, match="there is no run spin"):
        find_run(tmp_path, "spin")
    with pytest.raises(RunError, match=r"'\.\./etc' is not a run id"):
        find_run(tmp_path, "../etc")


def test_an_ambiguous_beginning_is_refused(tmp_path: Path) -> None:
    runs.ask(tmp_path, "coin")
    runs.ask(tmp_path, "coin")
    with pytest.raises(RunError, match="2 runs begin with coin; give more of the id"):
        find_run(tmp_path, "coin")


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ([], "a run needs at least one seed"),
        ([0, -1], "seeds must be whole numbers from 0 up, got -1"),
        ([True], "seeds must be whole numbers from 0 up, got True"),
        ([1, 2, 1], "each seed runs once, got 1, 2, 1"),
    ],
)
def test_it_refuses_seeds_that_are_none(seeds: list[int], sentence: str) -> None:
    with pytest.raises(RunError) as told:
        checked_seeds(seeds)
    assert str(told.value) == sentence


@pytest.mark.parametrize("limits", [{"wall": 0}, {"wall": float("inf")}, {"memory": -1}, {"cpu": float("nan")}, {"disk": 1}])
def test_it_refuses_limits_that_limit_nothing(limits: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate(limits)


def test_it_refuses_a_preset_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="coin has no preset 'huge'; it has smoke, laptop, paper"):
        runs.submit(tmp_path, runs.fixture("coin"), {}, "huge", {}, [0], requester="a test", command="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seeds", "cores", "shared"), [(5, 2, (2, 1)), (1, 2, (1, 2)), (2, 8, (2, 4)), (5, 8, (5, 1)), (3, 1, (1, 1))]
)
def test_seeds_share_the_cores(seeds: int, cores: int, shared: tuple[int, int]) -> None:
    assert share_cores(seeds, cores) == shared


def test_equal_environments_have_equal_hashes() -> None:
    assert packages_hash({"b": "2", "a": "1"}) == packages_hash({"a": "1", "b": "2"})
    assert packages_hash({"a": "1"}) != packages_hash({"a": "1.0"})
    assert environment({}).hash_seed == "random"


def test_it_knows_the_machine() -> None:
    here = machine()
    assert here.cores >= 1
    assert here.memory > 2**28
    assert here.cpu
    assert "core" in here.sentence()


def test_the_record_of_a_run_is_plain_json(coin_run: RunRecord) -> None:
    json.loads((coin_run.path / "run.json").read_bytes(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
