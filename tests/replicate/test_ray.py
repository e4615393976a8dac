"""Runs on a Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pressrun.replicate.compare import compare
from pressrun.replicate.ray_executor import Recorder, enough_cores, news
from pressrun.replicate.record import Limits, RunError, RunRecord
from pressrun.replicate.runs import start
from tests.replicate import runs
from tests.replicate.test_crash import evidence, worker_of

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """Two nodes with a core each; runs find it by RAY_ADDRESS."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        both = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        both.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", both.address)
        yield both
        both.shutdown()


def on_ray(record: RunRecord) -> RunRecord:
    start(record)
    return runs.finished(record)


@pytest.mark.ray
def test_the_same_run_gives_the_same_evidence_on_both(cluster: object, coin_run: RunRecord, tmp_path: Path) -> None:
    record = on_ray(runs.ask(tmp_path, "coin", seeds=(0, 1, 2), on="ray"))
    assert record.state == "succeeded", record.note
    assert compare(coin_run, record).identical
    assert record.verdicts == coin_run.verdicts
    assert (record.path / "figures" / "figure.svg").read_bytes() == (coin_run.path / "figures" / "figure.svg").read_bytes()
    assert {"random": "the seed"}.items() <= record.determinism.items()


@pytest.mark.ray
def test_a_killed_worker_is_tried_again(cluster: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "outlives-a-try"
    place.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{runs.ROOT}{os.pathsep}{place}")
    record = on_ray(runs.trouble(tmp_path, "once", on="ray", threads=1))
    assert (place / "tried").exists()
    assert record.state == "succeeded", record.note
    assert record.results[0].attempts == 2
    assert evidence(record) == {0: 1.0}
    assert (record.path / "seeds" / "attempt-1" / "0.jsonl").read_bytes() == (record.path / "seeds" / "0.jsonl").read_bytes()


@pytest.mark.ray
def test_a_lost_node_loses_no_evidence_that_was_recorded(cluster: object, tmp_path: Path) -> None:
    record = runs.trouble(tmp_path, "hang", on="ray", threads=1, seeds=(0, 1), limits=Limits(wall=60))
    node = cluster.add_node(num_cpus=1)  # type: ignore[attr-defined]
    start(record)
    runs.recording(record, seeds=2)
    before = {seed: worker_of(record, seed) for seed in (0, 1)}
    cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]
    (record.path / "cancel").write_text("a test")
    record = runs.finished(record)
    assert record.state == "cancelled"
    assert evidence(record) == {0: 1.0, 1: 2.0}
    assert all(runs.soon(lambda: runs.gone(pid)) for pid in before.values())  # noqa: B023


@pytest.mark.ray
def test_a_failure_is_told_as_on_this_machine(cluster: object, tmp_path: Path) -> None:
    record = on_ray(runs.trouble(tmp_path, "raise", on="ray", threads=1))
    assert (record.state, record.note) == ("failed", "seed 0 failed: ValueError: lr must be positive, got 0")
    assert evidence(record) == {0: 1.0}
    assert "ValueError: lr must be positive" in (record.path / "stdout.txt").read_text()


def test_it_says_when_no_node_is_large_enough() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
        {"Alive": True, "Resources": {}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes)
    enough_cores(ray, 2)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="a seed needs 4 cores, and no node of the Ray cluster has more than 2"):
        enough_cores(ray, 4)  # type: ignore[arg-type]


def test_rows_of_an_attempt_that_was_given_up_are_left_out(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path))
    assert recorder.begin(0) == 1
    recorder.append(0, 1, {"0.jsonl": b"one\n"})
    recorder.append(0, 1, {"0.jsonl": b"two\n"})
    assert recorder.begin(0) == 2
    recorder.append(0, 1, {"0.jsonl": b"late\n"})
    recorder.append(0, 2, {"0.jsonl": b"again\n"})
    assert (tmp_path / "seeds" / "0.jsonl").read_bytes() == b"again\n"
    assert (tmp_path / "seeds" / "attempt-1" / "0.jsonl").read_bytes() == b"one\ntwo\n"
    # The seed never succeeded, so of its attempts the one that recorded most counts.
    assert recorder.settle([0]) == {0: 2}
    assert (tmp_path / "seeds" / "0.jsonl").read_bytes() == b"one\ntwo\n"


def test_only_what_is_new_is_sent(tmp_path: Path) -> None:
    sent: dict[str, int] = {}
    (tmp_path / "0.jsonl").write_text("one\n")
    (tmp_path / "0.json").write_text("{}")
    assert news(tmp_path, sent) == {"0.jsonl": b"one\n", "0.json": b"{}"}
    assert news(tmp_path, sent) == {}
    with (tmp_path / "0.jsonl").open("a") as file:
        file.write("two\n")
    assert news(tmp_path, sent) == {"0.jsonl": b"two\n"}
