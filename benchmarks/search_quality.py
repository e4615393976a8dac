"""How good is the ranking? nDCG@10, recall@100 and reciprocal rank on retrieval collections, beside what one might use instead.

    python benchmarks/search_quality.py --convert SMALL_LAYOUT BEIR_LAYOUT
    python benchmarks/search_quality.py --collection BEIR_LAYOUT [--collection ...] [--cache FOLDER]

A collection in the BEIR layout is a folder with corpus.jsonl (_id, title, text), queries.jsonl (_id, text) and qrels/*.tsv
(query-id, corpus-id, score; one header line). A query may hold "candidates", a list of ids: then only these are ranked, as
only these were judged. The small layout is docs.jsonl.gz (id, title, text), queries.jsonl (id, text) and qrels.tsv.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ir_measures
import numpy as np
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

from pressrun.search import Document, IndexWriter, SearchIndex, ladder, lexical
from pressrun.search.encoder import MiniLM
from pressrun.search.generation import current, folder
from pressrun.search.linear import LinearMap
from pressrun.search.query import LONGEST_QUERY, Query
from pressrun.search.vectors import VectorFiles

Floats = NDArray[np.float32]
Run = dict[str, dict[str, float]]
DEPTH = 1000


@dataclass(frozen=True)
class Collection:
    name: str
    documents: list[Document]
    queries: dict[str, str]
    judged: dict[str, dict[str, int]]
    candidates: dict[str, list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, action="append", default=[], help="a folder in the BEIR layout")
    parser.add_argument(
        "--convert", type=Path, nargs=2, metavar=("SRC", "DST"), help="write the small layout SRC as BEIR layout DST"
    )
    parser.add_argument("--cache", type=Path, help="keep the model's vectors here between runs")
    parser.add_argument("--queries", choices=("all", "even", "odd"), default="all", help="use every other query only")
    asked = parser.parse_args()
    if asked.convert:
        convert(*asked.convert)
    for path in asked.collection:
        report(halved(read(path), asked.queries), asked.cache)


def convert(source: Path, target: Path) -> None:
    """Write the small layout as BEIR layout."""
    (target / "qrels").mkdir(parents=True, exist_ok=True)
    with gzip.open(source / "docs.jsonl.gz", "rt") as lines, (target / "corpus.jsonl").open("w") as out:
        for one in map(json.loads, lines):
            out.write(json.dumps({"_id": one["id"], "title": one["title"] or "", "text": one["text"] or ""}) + "\n")
    with (source / "queries.jsonl").open() as lines, (target / "queries.jsonl").open("w") as out:
        for one in map(json.loads, lines):
            out.write(json.dumps({"_id": one.pop("id"), **one}) + "\n")
    rows = (source / "qrels.tsv").read_text().splitlines()[1:]
    (target / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")


def read(path: Path) -> Collection:
    """A collection in the BEIR layout; queries without a judgement are left out."""
    with (path / "corpus.jsonl").open() as lines:
        documents = [Document(one["_id"], one.get("title") or "", one.get("text") or "") for one in map(json.loads, lines)]
    judged: dict[str, dict[str, int]] = {}
    for file in sorted((path / "qrels").glob("*.tsv")):
        for line in file.read_text().splitlines()[1:]:
            query, document, grade = line.split("\t")
            judged.setdefault(query, {})[document] = round(float(grade))
    with (path / "queries.jsonl").open() as lines:
        queries = {one["_id"]: one for one in map(json.loads, lines) if any(judged.get(one["_id"], {}).values())}
    candidates = {name: one["candidates"] for name, one in queries.items() if "candidates" in one}
    texts = {name: one["text"] for name, one in queries.items()}
    return Collection(path.name, documents, texts, {name: judged[name] for name in queries}, candidates)


def halved(collection: Collection, which: str) -> Collection:
    if which == "all":
        return collection
    queries = dict(list(collection.queries.items())[which == "odd" :: 2])
    judged = {name: collection.judged[name] for name in queries}
    return Collection(f"{collection.name} ({which} queries)", collection.documents, queries, judged, collection.candidates)


def report(collection: Collection, cache: Path | None) -> None:
    print(f"\n{collection.name}: {len(collection.documents):,} documents, {len(collection.queries):,} queries\n")
    print("| ranking | nDCG@10 | recall@100 | MRR |\n|---|---|---|---|")
    for name, run in systems(collection, cache):
        found = ir_measures.calc_aggregate([nDCG @ 10, R @ 100, RR], collection.judged, restricted(run, collection))
        print(f"| {name} | {found[nDCG @ 10]:.4f} | {found[R @ 100]:.3f} | {found[RR]:.3f} |", flush=True)


def restricted(run: Run, collection: Collection) -> Run:
    """The run as it is; for queries with candidates these alone, those not found last and in their own order."""
    return {
        query: {one: found.get(one, -float(place)) for place, one in enumerate(collection.candidates[query], 1)}
        if query in collection.candidates
        else found
        for query, found in run.items()
    }


def systems(collection: Collection, cache: Path | None) -> Iterator[tuple[str, Run]]:
    """Each ranking and what it found."""
    vectors = embedded(collection, cache)
    # Where only candidates were judged, these have to be among what is found.
    depth = DEPTH if collection.candidates else 100
    queries = stored(cache, "queries", list(collection.queries.values()), lambda texts: MiniLM().encode(texts))
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "index"
        with IndexWriter(path) as writer:
            writer.add(collection.documents)
            writer.commit()
        index = SearchIndex(path)
        yield "BM25 alone", each(collection, lambda text: bm25(path, text))
        yield "words (BM25 and title overlap, mode=lexical)", each(collection, lambda text: answer(index, text, depth, "lexical"))
        for rung, rows in vectors.items():
            files = VectorFiles(folder(path, current(path)) / "vectors")
            files.put(np.arange(len(rows)), rows, ladder.LINEAR + list(vectors).index(rung))
            files.close()
            yield f"embeddings alone, {rung}", each(collection, lambda text: answer(index, text, depth, "semantic"))
            yield f"hybrid, {rung}", each(collection, lambda text: answer(index, text, depth, "hybrid"))
    yield from rivals(collection, vectors["whole text and title"], queries)


def each(collection: Collection, search: Callable[[str], dict[str, float]]) -> Run:
    return {name: search(text) for name, text in collection.queries.items()}


def answer(index: SearchIndex, text: str, depth: int, mode: str) -> dict[str, float]:
    query = Query(text, tuple(text[:LONGEST_QUERY].split()), meaning=text)
    hits = index.search(query, limit=depth, mode=mode).hits  # type: ignore[arg-type]
    return {hit.id: 1000.0 - place for place, hit in enumerate(hits)}


def bm25(path: Path, text: str) -> dict[str, float]:
    """What the words alone score in tantivy, without fusion or titles."""
    index = lexical.open_index(folder(path, current(path)) / "lexical", create=False)
    searcher = index.searcher()
    plan = lexical.plan(searcher, index.schema, Query(text, tuple(text.split())), prefix_last=False)
    hits = searcher.search(plan.condition, DEPTH).hits if plan else []
    return {str(searcher.doc(place).get_first("id")): score for score, place in hits}


def embedded(collection: Collection, cache: Path | None) -> dict[str, Floats]:
    """The vectors of every rung of the ladder; the linear map is fitted on one half of the papers and used on the other."""
    papers = [ladder.Paper(one.title, one.text) for one in collection.documents]
    texts = [f"{one.title}\n{one.text}" for one in papers]
    model = MiniLM()
    whole = stored(cache, "whole", texts, lambda _: ladder.whole_vectors(papers, model))
    opening = stored(cache, "opening", texts, lambda _: ladder.opening_vectors(papers, model))
    linear = np.empty_like(whole)
    pairs = [(one.title, one.text) for one in papers]
    shuffled = np.random.default_rng(0).permutation(len(papers))
    for use, fit in ((shuffled[::2], shuffled[1::2]), (shuffled[1::2], shuffled[::2])):
        fit = fit[: ladder.FIRST]
        linear[use] = LinearMap.fit([pairs[at] for at in fit], whole[fit]).vectors([pairs[at] for at in use])
    return {"linear map": linear, "title and opening": opening, "whole text and title": whole}


def stored(cache: Path | None, kind: str, texts: Sequence[str], compute: Callable[[Sequence[str]], Floats]) -> Floats:
    """What was computed for these texts before, or now."""
    if cache is None:
        return compute(texts)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{kind}-{hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        start = time.perf_counter()
        np.save(path, compute(texts))
        print(f"({kind}: {len(texts) / (time.perf_counter() - start):.0f} texts/s)")
    found: Floats = np.load(path)
    return found


def rivals(collection: Collection, vectors: Floats, queries: Floats) -> Iterator[tuple[str, Run]]:
    """The other ways; one that is not installed is skipped with a sentence."""
    ids = [one.id for one in collection.documents]
    texts = [f"{one.title}. {one.text}" for one in collection.documents]
    for name, rank in {
        "scikit-learn: tf-idf and a linear SVM": lambda: tfidf_svm(ids, texts, collection.queries),
        "bm25s (Lucene, English stemmer, stop words)": lambda: bm25s_run(ids, texts, collection.queries),
        "LanceDB hybrid (FTS, the same vectors, RRF)": lambda: lancedb_run(ids, texts, vectors, queries, collection.queries),
    }.items():
        try:
            yield name, rank()
        except ImportError as error:
            print(f"({name} is left out: {error})")


def tfidf_svm(ids: list[str], texts: list[str], queries: Mapping[str, str]) -> Run:
    """The query as the one positive example against all papers, as arxiv-sanity ranks papers for a tag."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.svm import LinearSVC

    tfidf = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=20_000, stop_words="english")
    papers = tfidf.fit_transform(texts)
    labels = np.r_[1, np.zeros(len(ids))]
    run: Run = {}
    for name, text in queries.items():
        asked = tfidf.transform([text])
        svm = LinearSVC(class_weight="balanced", C=0.1, max_iter=2000, tol=1e-4).fit(vstack([asked, papers]), labels)
        run[name] = best(ids, svm.decision_function(papers))
    return run


def bm25s_run(ids: list[str], texts: list[str], queries: Mapping[str, str]) -> Run:
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene")
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize(list(queries.values()), stopwords="en", stemmer=stemmer, show_progress=False)
    found, scores = index.retrieve(asked, k=min(DEPTH, len(ids)), show_progress=False)
    return {
        name: {ids[at]: float(score) for at, score in zip(places, row, strict=True) if score > 0}
        for name, places, row in zip(queries, found, scores, strict=True)
    }


def lancedb_run(ids: list[str], texts: list[str], vectors: Floats, asked: Floats, queries: Mapping[str, str]) -> Run:
    import lancedb
    import lancedb.index
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as home:
        columns = {"id": ids, "text": texts, "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])}
        table = lancedb.connect(home).create_table("papers", pa.table(columns))
        table.create_index("text", config=lancedb.index.FTS())
        run: Run = {}
        for (name, text), vector in zip(queries.items(), asked, strict=True):
            words = "".join(letter if letter.isalnum() else " " for letter in text)
            found = table.search(query_type="hybrid").vector(vector).text(words).limit(200).to_list()
            run[name] = {one["id"]: float(one["_relevance_score"]) for one in found}
        return run


def best(ids: list[str], scores: NDArray[np.float64]) -> dict[str, float]:
    return {ids[at]: float(scores[at]) for at in np.argsort(-scores, kind="stable")[:DEPTH]}


if __name__ == "__main__":
    main()
