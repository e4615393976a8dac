"""Changing an index: step by step, beside readers, through crashes and a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pressrun.search import Document, IndexBusy, IndexDamaged, IndexWriter, SearchIndex, ladder
from tests.search.conftest import PAPERS, WordEncoder

SPIKING, GUARD, SPARSE, NOTE = (paper.id for paper in PAPERS)


def ids(index: SearchIndex, query: str) -> list[str]:
    return [hit.id for hit in index.search(query, limit=1000).hits]


def test_what_is_added_counts_from_the_commit_on(path: Path) -> None:
    index = SearchIndex.open(path)
    with IndexWriter(path) as writer:
        assert writer.add(PAPERS) == 4
        assert ids(index, "neurons") == []
        writer.commit()
        assert ids(index, "neurons") == [SPIKING, SPARSE]


def test_what_is_not_committed_is_forgotten(path: Path, index: SearchIndex) -> None:
    with IndexWriter(path) as writer:
        writer.add([Document("lost", "neurons", "")])
        writer.delete([SPIKING])
    assert ids(index, "neurons") == [SPIKING, SPARSE]
    with IndexWriter(path) as writer:
        writer.commit()
    assert ids(index, "neurons") == [SPIKING, SPARSE]


def test_a_paper_with_a_known_id_replaces_the_old_one(path: Path, embedded: SearchIndex) -> None:
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add([replace(PAPERS[0], title="Zebras", text="striped")])
        writer.commit()
        assert ids(embedded, "spiking") == []
        assert ids(embedded, "zebras") == [SPIKING]
        assert embedded.status().embedded["none"] == 1
        assert writer.embed() == 1


def test_a_paper_whose_text_stays_keeps_its_vector(path: Path, embedded: SearchIndex) -> None:
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add([replace(PAPERS[1], votes=99)])
        writer.commit()
        assert writer.embed() == 0
    assert embedded.status().embedded == {"none": 0, "linear": 0, "opening": 0, "whole": 4}
    assert ids(embedded, "refuses") == [GUARD]
    assert ids(embedded, "votes:99") == [GUARD]


def test_the_same_id_twice_in_a_batch_leaves_the_last(path: Path) -> None:
    with IndexWriter(path) as writer:
        writer.add([Document("a", "first", ""), Document("a", "second", "")])
        writer.commit()
    index = SearchIndex.open(path)
    assert (ids(index, "first"), ids(index, "second"), index.status().documents) == ([], ["a"], 1)


def test_deleted_papers_are_gone_from_words_and_meaning(path: Path, embedded: SearchIndex) -> None:
    with IndexWriter(path) as writer:
        assert writer.delete([GUARD, "nobody"]) == 1
        writer.commit()
    assert ids(embedded, "refuses latent guard") == []
    assert GUARD not in {hit.id for hit in embedded.similar(SPIKING)}
    assert embedded.status().documents == 3


def test_a_second_writer_waits_or_is_told_who_writes(path: Path) -> None:
    with IndexWriter(path):
        with pytest.raises(IndexBusy, match=rf"The index in {path} is being written by process {os.getpid()} since 20\d\d-"):
            IndexWriter(path, wait=0.05)
        with pytest.raises(IndexBusy):
            SearchIndex.rebuild(path, PAPERS)
    with IndexWriter(path, wait=5) as writer:
        writer.commit()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"year": 3}, "a field of Document.extra needs a name of lower-case letters that the query language has not, got 'year'"),
        ({"Runs": 3}, "a field of Document.extra needs a name of lower-case letters that the query language has not, got 'Runs'"),
        ({"runs": 2**63}, f"the field 'runs' of Document.extra needs a number of 64 bits, got {2**63}"),
        ({"runs": 1.5}, "the field 'runs' of Document.extra needs a whole number, a string or a tuple of strings, got 1.5"),
        ({"verdict": 1}, "the field 'verdict' of Document.extra holds a number in one paper and words in another"),
    ],
)
def test_an_extra_field_it_cannot_hold_is_refused(
    path: Path, index: SearchIndex, extra: dict[str, object], sentence: str
) -> None:
    with IndexWriter(path) as writer, pytest.raises(ValueError, match=r"Document\.extra") as caught:
        writer.add([Document("x", "X", "", extra=extra)])  # type: ignore[arg-type]
    assert str(caught.value) == sentence
    assert ids(index, "neurons") == [SPIKING, SPARSE]


def test_embedding_stops_in_time_and_goes_on_where_it_stopped(path: Path, index: SearchIndex) -> None:
    seen: list[tuple[str, int, int]] = []
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        assert writer.embed(budget_seconds=0) == 0
        assert writer.embed(batch=3, progress=lambda *step: seen.append(step)) == 4
        assert writer.embed() == 0
    assert seen == [("whole", 3, 4), ("whole", 4, 4)]
    assert index.status().embedded["whole"] == 4


def test_the_newest_and_most_voted_are_embedded_first(path: Path, index: SearchIndex) -> None:
    class Once(WordEncoder):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.read = texts
            return super().encode(texts)

    encoder, order = Once(), []
    with IndexWriter(path, encoder=encoder) as writer:
        writer.embed(batch=1, progress=lambda *_: order.append(encoder.read[0]))
    assert order == [PAPERS[at].title for at in (1, 0, 2, 3)]


def test_a_large_import_climbs_the_ladder(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "SMALL", 50)
    monkeypatch.setattr(ladder, "FIRST", 40)
    subjects = ["spiking neurons", "language guards", "visual codes", "electric drives"]
    papers = [Document(f"p{number}", subjects[number % 4], f"{subjects[number % 4]} word{number}") for number in range(200)]
    rungs: list[tuple[str, int]] = []
    index = SearchIndex.open(path, encoder=WordEncoder())
    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add(papers)
        writer.commit()
        writer.embed(progress=lambda name, done, of: rungs.append((name, of)) if done == of else None)
        # The first are the 20 most wanted and 20 spread over all; two of these are both.
        assert rungs == [("whole", 38), ("linear", 162), ("opening", 162), ("whole", 162)]
    assert index.status().embedded == {"none": 0, "linear": 0, "opening": 0, "whole": 200}


def test_papers_on_the_linear_rung_are_found_by_meaning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "SMALL", 50)
    monkeypatch.setattr(ladder, "FIRST", 40)
    subjects = ["spiking neurons", "language guards", "visual codes", "electric drives"]
    papers = [Document(f"p{number}", subjects[number % 4], f"{subjects[number % 4]} word{number}") for number in range(200)]
    index = SearchIndex.open(path, encoder=WordEncoder())

    class TimeIsUpError(Exception):
        pass

    def stop(name: str, done: int, of: int) -> None:
        if name == "opening":
            raise TimeIsUpError

    with IndexWriter(path, encoder=WordEncoder()) as writer:
        writer.add(papers)
        writer.commit()
        with pytest.raises(TimeIsUpError):
            writer.embed(progress=stop, batch=10)
    assert index.status().embedded == {"none": 0, "linear": 152, "opening": 10, "whole": 38}
    found = index.search("language guards", mode="semantic", limit=40).hits
    assert {int(hit.id[1:]) % 4 for hit in found} == {1}


def test_a_rebuild_replaces_everything_and_keeps_vectors_of_unchanged_texts(path: Path, embedded: SearchIndex) -> None:
    changed = replace(PAPERS[2], text="Something else")
    assert SearchIndex.rebuild(path, [PAPERS[0], replace(PAPERS[1], votes=1), changed]) == 3
    assert ids(embedded, "alpha") == []
    assert ids(embedded, "refuses") == [GUARD]
    status = embedded.status()
    assert (status.generation, status.documents, status.model) == (2, 3, "words")
    assert status.embedded == {"none": 1, "linear": 0, "opening": 0, "whole": 2}
    assert sorted(one.name for one in path.glob("g*")) == ["g2"]


def test_the_old_index_serves_while_a_new_one_is_built(path: Path, index: SearchIndex) -> None:
    def papers() -> Iterator[Document]:
        assert ids(index, "neurons") == [SPIKING, SPARSE]
        assert ids(SearchIndex.open(path), "neurons") == [SPIKING, SPARSE]
        yield Document("only", "neurons", "")

    SearchIndex.rebuild(path, papers())
    assert ids(index, "neurons") == ["only"]


def test_a_rebuild_that_fails_leaves_the_old_index(path: Path, index: SearchIndex) -> None:
    def papers() -> Iterator[Document]:
        yield Document("only", "neurons", "")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        SearchIndex.rebuild(path, papers())
    assert ids(index, "neurons") == [SPIKING, SPARSE]
    assert sorted(one.name for one in path.glob("g*")) == ["g1"]


@pytest.mark.parametrize("file", ["CURRENT", "g1/state.json", "g1/lexical/meta.json"])
def test_a_damaged_index_is_told_in_a_sentence_and_can_be_rebuilt(path: Path, index: SearchIndex, file: str) -> None:
    (path / file).write_text("{")
    with pytest.raises(IndexDamaged, match="rebuild"):
        SearchIndex.open(path)
    SearchIndex.rebuild(path, PAPERS)
    assert ids(SearchIndex.open(path), "neurons") == [SPIKING, SPARSE]


# Crashes: another process is killed in the middle, this one looks at what is left

PREAMBLE = """
import itertools, sys
from pathlib import Path
from pressrun.search import Document, IndexWriter, SearchIndex
from tests.search.conftest import WordEncoder
path = Path(sys.argv[1])
def endless(prefix):
    for number in itertools.count():
        yield Document(f"{prefix}{number}", f"neurons number{number}", "words of a paper " * 20)
"""
STEPS = {
    "add": """
        with IndexWriter(path) as writer:
            print("ready", flush=True)
            writer.add(endless("new"))
    """,
    "commit": """
        source = endless("new")
        with IndexWriter(path) as writer:
            for number in itertools.count():
                writer.add(itertools.islice(source, 50))
                writer.commit()
                if number == 2:
                    print("ready", flush=True)
    """,
    "embed": """
        with IndexWriter(path, encoder=WordEncoder()) as writer:
            writer.add(itertools.islice(endless("new"), 1500))
            writer.commit()
            writer.embed(batch=4, progress=lambda name, done, of: done == 40 and print("ready", flush=True))
    """,
    "rebuild": """
        def noisy():
            for number, paper in enumerate(endless("new")):
                if number == 3000:
                    print("ready", flush=True)
                yield paper
        SearchIndex.rebuild(path, noisy())
    """,
}


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_process_killed_while_writing_loses_only_its_batch(path: Path, embedded: SearchIndex, step: str) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(STEPS[step]), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    for index in (embedded, SearchIndex.open(path, encoder=WordEncoder())):
        assert {SPIKING, SPARSE} <= {hit.id for hit in index.search("neurons spiking images", limit=3).hits}
        assert ids(index, "refuses") == [GUARD]
    before = embedded.status().documents
    assert (before - 4) % 50 == 0
    assert before > 4 if step in ("commit", "embed") else before == 4
    if step == "embed":
        assert 40 <= embedded.status().embedded["whole"] - 4 < 1500
    with IndexWriter(path, wait=5, encoder=WordEncoder()) as writer:
        writer.add([Document("after", "zebra", "")])
        writer.commit()
        writer.embed(budget_seconds=2)
    assert ids(embedded, "zebra") == ["after"]
    assert embedded.status().documents == before + 1
    assert sorted(one.name for one in path.glob("g*")) == ["g1"]


def test_two_readers_see_every_commit_of_a_writer_in_another_process(path: Path, index: SearchIndex) -> None:
    script = """
    with IndexWriter(path) as writer:
        for number in range(5):
            writer.add([Document(f"new{number}", "zebra", "")])
            writer.commit()
            print(number, flush=True)
            sys.stdin.readline()
    """
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    other = SearchIndex.open(path)
    command = [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for number in range(5):
            assert process.stdout.readline() == f"{number}\n"
            assert len(ids(index, "zebra")) == len(ids(other, "zebra")) == number + 1
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
import json
try:
    if sys.argv[2] == "rebuild":
        SearchIndex.rebuild(path, itertools.islice(endless("new"), 20000))
    else:
        with IndexWriter(path, encoder=WordEncoder()) as writer:
            writer.add(itertools.islice(endless("new"), 20000))
            writer.commit()
    print(json.dumps(""))
except OSError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.parametrize("step", ["add", "rebuild"])
def test_a_full_disk_is_told_in_a_sentence_and_the_old_index_serves(path: Path, embedded: SearchIndex, step: str) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + FULL, str(path), step], capture_output=True, env=environment, text=True, check=True
    )
    sentence = json.loads(done.stdout)
    assert f"The index in {path} could not be written" in sentence
    assert sentence.endswith("it stays as it was.")
    assert ids(embedded, "refuses") == [GUARD]
    assert embedded.status().documents == 4
    with IndexWriter(path, wait=5) as writer:
        writer.add([Document("after", "zebra", "")])
        writer.commit()
    assert ids(embedded, "zebra") == ["after"]
