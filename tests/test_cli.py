"""The command line as a person and a program use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pressrun import cli
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _no_shipped_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped catalogue and ledger have their own tests; here the papers are the ones that a test names."""
    monkeypatch.setattr("pressrun.web.serving.load_shipped", lambda: None)
    monkeypatch.setattr("pressrun.web.serving.runs.start_up", lambda: 0)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


BIB = """@article{a, title = {Inhibition in {E}xample Nets}, author = {Example, Erkki and Beispiel, Ada}, year = {2021}, doi = {10.1000/ex}}
@article{b, title = {Excitation}, author = {Third, T.}, year = {2022}}
"""


@pytest.fixture
def bib(tmp_path: Path) -> Path:
    path = tmp_path / "library.bib"
    path.write_text(BIB)
    return path


def test_import_adds_and_a_second_one_changes_nothing(indexed: object, bib: Path) -> None:
    first = json.loads(run("import", str(bib), "--json").stdout)[0]
    assert (first["read"], first["added"], first["rejected"]) == (2, 2, 0)
    second = json.loads(run("import", str(bib), "--json").stdout)[0]
    assert (second["added"], second["merged"], second["unchanged"]) == (0, 0, 2)


def test_an_imported_paper_is_found_at_once(indexed: object, bib: Path) -> None:
    run("import", str(bib), "--quiet")
    hits = json.loads(run("search", "excitation", "--json").stdout)["hits"]
    assert hits[0]["title"] == "Excitation"


def test_a_file_that_is_nothing_gets_one_sentence_and_exit_code_2(indexed: object, tmp_path: Path) -> None:
    junk = tmp_path / "junk.bin"
    junk.write_bytes(bytes(range(256)) * 50)
    before = models.ImportRun.objects.count()
    result = run("import", str(junk))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"pressrun: {junk}")
    assert result.stderr.count("\n") == 1
    assert models.ImportRun.objects.count() == before


def test_a_missing_file_gets_one_sentence(indexed: object) -> None:
    result = run("import", "/nowhere/at.all")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "/nowhere/at.all" in result.stderr


def test_a_file_whose_every_record_is_bad_ends_with_1(indexed: object, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"kind":"pressrun","version":1}\n{"kind":"paper","id":"x"}\n{"kind":"paper","title":3}\n')
    result = run("import", str(path))
    assert result.exit_code == 1
    assert result.stderr.count("rejected ") == 2


def test_an_export_restores_everything_elsewhere(indexed: object, tmp_path: Path) -> None:
    models.Paper.objects.filter(public_id="2510.06036").update(edited=["abstract"])
    before = {row.public_id: row.to_record() for row in models.Paper.objects.all()}
    path = tmp_path / "all.jsonl"
    assert run("export", str(path)).exit_code == 0
    models.Paper.objects.all().delete()
    models.ImportRun.objects.all().delete()
    assert run("import", str(path), "--quiet").exit_code == 0
    assert {row.public_id: row.to_record() for row in models.Paper.objects.all()} == before
    assert models.Paper.objects.get(public_id="2510.06036").edited == ["abstract"]


def test_an_export_that_fails_leaves_the_old_file(indexed: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    path = folder / "all.jsonl"
    path.write_text("the old one")

    def breaks(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pressrun.web.papers.imports.export_to", breaks)
    result = run("export", str(path))
    assert result.exit_code == 1
    assert path.read_text() == "the old one"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize(("format", "begins"), [("bibtex", "@"), ("ris", "TY  - "), ("csl", "["), ("jsonl", '{"kind"')])
def test_export_prints_each_format(indexed: object, format: str, begins: str) -> None:
    assert run("export", "--format", format).stdout.startswith(begins)


def test_export_into_a_folder_that_is_not_there_is_bad_input(indexed: object) -> None:
    result = run("export", "/nowhere/at/all.jsonl")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_show_takes_an_id_a_version_and_an_address(indexed: object) -> None:
    for text in ("2509.23253", "2509.23253v2", "https://arxiv.org/abs/2509.23253", "https://huggingface.co/papers/2509.23253"):
        assert json.loads(run("show", text, "--json").stdout)["arxiv_id"] == "2509.23253"


def test_show_of_an_unknown_paper_is_one_sentence(indexed: object) -> None:
    result = run("show", "9912.99999")
    assert result.exit_code == 2
    assert result.stderr == "pressrun: there is no paper '9912.99999' here; `pressrun search` finds papers by words.\n"


def test_control_characters_and_markup_of_a_source_do_not_reach_the_terminal(indexed: object) -> None:
    from pressrun.catalog import Paper

    save([Paper(title="[bold]Loud[/bold] paper", arxiv_id="2401.99999", note="\x1b[31mred")], Report())
    shown = run("show", "2401.99999").stdout
    assert "[bold]Loud[/bold] paper" in shown
    assert "\x1b" not in shown


def test_list_takes_one_list_at_a_time(indexed: object) -> None:
    assert json.loads(run("list", "--topic", "refusal", "--json").stdout)["total"] >= 1
    assert json.loads(run("list", "--trending", "--json").stdout)["title"] == "Trending"
    both = run("list", "--topic", "refusal", "--trending")
    assert both.exit_code == 2
    assert both.stderr.startswith("pressrun: give one of --date")


@pytest.mark.parametrize(
    "arguments", [("--date", "2026-02-30"), ("--week", "2026-W54"), ("--month", "2026-13"), ("--topic", "nope")]
)
def test_list_says_what_is_wrong_with_a_date_or_name(indexed: object, arguments: tuple[str, str]) -> None:
    result = run("list", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert arguments[1] in result.stderr


def test_similar_leaves_the_paper_itself_out(indexed: object) -> None:
    ids = [paper["id"] for paper in json.loads(run("similar", "2509.23253", "--json").stdout)]
    assert ids
    assert "2509.23253" not in ids


def test_a_query_that_cannot_be_used_is_bad_input(indexed: object) -> None:
    result = run("search", "x" * 100_001)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_feed_prints_what_a_feed_reader_reads(indexed: object) -> None:
    import feedparser

    parsed = feedparser.parse(run("feed", "--trending", "--base", "https://papers.example").stdout)
    assert not parsed.bozo
    assert parsed.entries
    assert parsed.entries[0].link.startswith("https://papers.example/papers/")


def test_index_rebuild_keeps_every_paper(indexed: object) -> None:
    before = json.loads(run("index", "--json").stdout)
    after = json.loads(run("index", "--rebuild", "--json").stdout)
    assert after["documents"] == before["documents"] == models.Paper.objects.visible().count()
    assert after["generation"] > before["generation"]


def test_doctor_is_content_with_a_sound_install_and_names_what_is_not(indexed: object) -> None:
    assert run("doctor").exit_code == 0
    models.ImportRun.objects.create(location="big.jsonl", identity="x", format="snapshot", state="stopped", why="disk full")
    findings = json.loads(run("doctor", "--json").stdout)
    (unwell,) = [finding for finding in findings if not finding["fine"]]
    assert unwell["state"] == "big.jsonl is stopped: disk full"
    assert unwell["advice"] == "run the same import again, it goes on where it stopped"


def test_the_shipped_catalogue_is_loaded_once(indexed: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pressrun.web.papers.imports import load_shipped

    models.Paper.objects.all().delete()
    report = load_shipped()
    assert report is not None
    assert (report.added, report.rejected) == (50, 0)
    assert load_shipped() is None
