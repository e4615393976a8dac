"""Running papers from the command line, from the first run to a bundle that another data directory proves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.test_faults import pressrun

PAPER = "2409.19841"  # the quickest of the shipped ones


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "home"


@pytest.fixture(scope="module")
def run(home: Path) -> str:
    """A finished smoke run."""
    result = pressrun(home, "run", PAPER, "--preset", "smoke", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["states"][-1]["state"] == "succeeded"
    assert record["paper"] == PAPER
    return str(record["id"])


@pytest.fixture(scope="module")
def zipped(home: Path, run: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "run.zip"
    result = pressrun(home, "bundle", run, str(path))
    assert result.returncode == 0, result.stderr
    return path


def test_a_smoke_run_gives_a_figure_and_no_verdict(home: Path, run: str) -> None:
    shown = pressrun(home, "show", run).stdout
    assert "succeeded" in shown
    assert "smoke proves only that it runs" in shown
    figure = home / "runs" / run / "figures" / "figure.svg"
    assert str(figure) in shown
    assert figure.read_text().lstrip().startswith("<?xml")


def test_the_run_is_listed(home: Path, run: str) -> None:
    listed = json.loads(pressrun(home, "runs", "--json").stdout)
    assert run in [each["id"] for each in listed]


def test_the_same_again_gives_the_same_evidence(home: Path, run: str) -> None:
    again = json.loads(pressrun(home, "rerun", run, "--json").stdout)
    assert again["parent"] == run
    assert pressrun(home, "compare", run, again["id"]).stdout.startswith("The evidence is identical, to the last bit.")


def test_a_figure_can_be_drawn_again(home: Path, run: str) -> None:
    figure = home / "runs" / run / "figures" / "figure.svg"
    figure.unlink()
    assert pressrun(home, "redraw", run).returncode == 0
    assert figure.exists()


def test_a_bundle_is_proved_where_the_run_was_never_seen(zipped: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    proved = json.loads(pressrun(elsewhere, "verify", str(zipped), "--json").stdout)
    assert (proved["sound"], proved["trusted"], proved["problems"]) == (True, False, [])
    refused = pressrun(elsewhere, "verify", str(zipped), "--import")
    assert refused.returncode == 2
    assert "signed by an unknown key" in refused.stderr
    taken = pressrun(elsewhere, "verify", str(zipped), "--import", "--trust")
    assert taken.returncode == 0, taken.stderr
    assert "imported as" in taken.stderr


def test_a_changed_bundle_is_not_sound(home: Path, zipped: Path, tmp_path: Path) -> None:
    import zipfile

    forged = tmp_path / "forged.zip"
    with zipfile.ZipFile(zipped) as old, zipfile.ZipFile(forged, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("cards.json"):
                content = content.replace(b"0.05", b"0.99", 1)
            new.writestr(item, content)
    result = pressrun(home, "verify", str(forged))
    assert result.returncode == 1
    assert "cards.json" in result.stderr


def test_a_file_that_is_no_bundle_is_not_sound(home: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.zip"
    junk.write_text("not a zip")
    assert pressrun(home, "verify", str(junk)).returncode == 1


def test_the_ledger_names_every_claim_of_every_replication(home: Path) -> None:
    from pressrun.replicate import replications

    rows = json.loads(pressrun(home, "ledger", "--json").stdout)
    assert {(row["paper"], row["claim"]) for row in rows} == {
        (r.paper, card.id) for r in replications().values() for card in r.cards
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "9912.99999"), "there is no replication of '9912.99999' here"),
        (("run", PAPER, "--preset", "huge"), "the preset must be one of smoke, laptop, paper, got 'huge'"),
        (("run", PAPER, "--set", "epochs"), "--set takes KNOB=VALUE, got 'epochs'"),
        (("run", PAPER, "--set", "no_such=1"), "there is no knob 'no_such'"),
        (("run", PAPER, "--set", "epochs=-3"), "epochs"),
        (("cancel", "nothing-at-all"), "there is no run nothing-at-all"),
    ],
)
def test_bad_input_is_one_sentence_and_starts_nothing(home: Path, arguments: tuple[str, ...], said: str) -> None:
    before = sorted((home / "runs").glob("*")) if (home / "runs").is_dir() else []
    result = pressrun(home, *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert (sorted((home / "runs").glob("*")) if (home / "runs").is_dir() else []) == before


def test_a_finished_run_cannot_be_cancelled(home: Path, run: str) -> None:
    result = pressrun(home, "cancel", run)
    assert result.returncode == 2
    assert "there is nothing to cancel" in result.stderr


def test_the_lock_is_in_line_with_the_modules() -> None:
    import pressrun as package
    from pressrun.replicate import lock

    assert lock(Path(package.__file__).parent / "replications", write=False) == ()
