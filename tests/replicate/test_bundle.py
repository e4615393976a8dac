"""Bundles: made, proved, and every way to cheat caught and named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from pressrun.replicate import Above, Evidence, Row, card_hash
from pressrun.replicate.bundle import bundle, import_bundle, public_key, sign, signing_key
from pressrun.replicate.ending import cards_in, evidence_of, write_cards
from pressrun.replicate.proof import MANIFEST, SIGNATURE, Verification, verify
from pressrun.replicate.record import RunError, RunRecord, hashed_files, load_record, parse_record
from pressrun.replicate.runs import cancel, mark_lost, read_runs, redraw
from tests.replicate import runs

CLAIM = "loaded-coin-shows-heads"


@pytest.fixture(scope="module")
def packed(coin_run: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a run, on another machine: its key and its run are not where it is proved."""
    folder = tmp_path_factory.mktemp("other")
    return bundle(coin_run, folder / "key.pem", folder / "run.zip")


@pytest.fixture(scope="module")
def signer(packed: Path) -> str:
    return public_key(signing_key(packed.parent / "key.pem"))


def proof(path: Path, **options: object) -> Verification:
    return verify(path, **{"installed": {"coin": runs.fixture("coin")}, **options})


def tampered(packed: Path, to: Path, change: Callable[[Path], None], *, sign_with: Path | None = None) -> Path:
    """The bundle with its files changed, signed again where a key is given."""
    folder = to / "crate"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)
    change(folder)
    if sign_with:
        (folder / MANIFEST).unlink()
        (folder / SIGNATURE).unlink()
        sign(folder, json.loads((folder / "run.json").read_bytes())["id"], signing_key(sign_with))
    with zipfile.ZipFile(to / "tampered.zip", "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return to / "tampered.zip"


def edit_record(folder: Path, **changes: object) -> None:
    """Change run.json, and its hashes of the files, as a careful forger would."""
    files = {
        name: found for name, found in hashed_files(folder).items() if name not in (MANIFEST, SIGNATURE, "ro-crate-metadata.json")
    }
    record = parse_record((folder / "run.json").read_bytes(), "run.json")
    record = record.model_copy(update={"files": files, **changes})
    (folder / "run.json").write_text(record.model_dump_json(exclude={"path"}))


def test_a_sound_bundle_is_proved_elsewhere(packed: Path, signer: str, coin_run: RunRecord) -> None:
    found = proof(packed, known=[signer])
    assert found.problems == ()
    assert found.trusted
    assert found.run_id == coin_run.id
    assert [(pair.claim_id, pair.found.verdict) for pair in found.verdicts if pair.found] == [(CLAIM, "matched")]
    assert found.cards == {CLAIM: "as installed here"}
    assert found.sentence().startswith("Sound: 1 verdicts recomputed from the evidence; signed by a known key (")


def test_it_is_an_ro_crate(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    crate = ROCrate(tmp_path)
    root = crate.root_dataset
    assert json.loads((tmp_path / "ro-crate-metadata.json").read_bytes())["@context"] == "https://w3id.org/ro/crate/1.1/context"
    assert all(root.get(name) for name in ("name", "description", "datePublished", "license"))
    assert {part.id for part in root["hasPart"]} >= {
        "run.json",
        "cards.json",
        "evidence.parquet",
        "seeds/0.jsonl",
        "figures/figure.svg",
    }
    assert all((tmp_path / part.id).is_file() for part in root["hasPart"])
    assert root["about"].id == "https://arxiv.org/abs/2409.00001"
    action = root["mentions"]
    assert action.type == "CreateAction"
    assert {entity.id for entity in action["result"]} == {"evidence.parquet", "figures/figure.svg", "figures/figure.png"}
    assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert action["agent"]["name"] == "a test"


def test_a_bundle_has_the_same_bytes_each_time(packed: Path, coin_run: RunRecord, tmp_path: Path) -> None:
    again = bundle(coin_run, packed.parent / "key.pem", tmp_path / "again.zip")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(packed.read_bytes()).digest()


def test_the_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    first = public_key(signing_key(tmp_path / "keys" / "key.pem"))
    assert public_key(signing_key(tmp_path / "keys" / "key.pem")) == first
    assert (tmp_path / "keys" / "key.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "broken.pem").write_text("no key")
    with pytest.raises(RunError, match=r"broken\.pem holds no private key"):
        signing_key(tmp_path / "broken.pem")


def test_an_unknown_signer_is_told_apart_from_a_sound_bundle(packed: Path) -> None:
    found = proof(packed)
    assert (found.sound, found.signer_known, found.trusted) == (True, False, False)
    assert "signed by an unknown key, so who vouches for it is not known here" in found.sentence()


@pytest.mark.parametrize(
    "name", ["evidence.parquet", "cards.json", "seeds/1.jsonl", "run.json", "figures/figure.png", "ro-crate-metadata.json"]
)
def test_a_flipped_bit_is_caught_in_every_file(packed: Path, tmp_path: Path, name: str) -> None:
    def flip(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    assert f"{name} was changed: it is not what was signed" in proof(tampered(packed, tmp_path, flip)).problems


def test_a_flipped_bit_of_the_manifest_is_caught(packed: Path, tmp_path: Path) -> None:
    def flip(folder: Path) -> None:
        text = (folder / MANIFEST).read_text()
        (folder / MANIFEST).write_text(text.replace('"format": 1', '"format": 2'))

    assert proof(tampered(packed, tmp_path, flip)).problems == (
        "the signature does not fit: manifest.json or signature.json was changed after signing",
    )


@pytest.mark.parametrize("at", range(0, 4096, 256))
def test_a_flipped_bit_of_the_zip_is_never_sound_and_never_a_traceback(packed: Path, tmp_path: Path, at: int) -> None:
    content = bytearray(packed.read_bytes())
    content[at * len(content) // 4096] ^= 16
    (tmp_path / "flipped.zip").write_bytes(content)
    found = proof(tmp_path / "flipped.zip")
    # What a zip holds beside names and contents, such as the times of its files, is not signed.
    assert found.problems or found.verdicts
    with zipfile.ZipFile(packed) as one:
        names = one.namelist()
    if not found.problems:
        with zipfile.ZipFile(packed) as one, zipfile.ZipFile(tmp_path / "flipped.zip") as other:
            assert all(one.read(name) == other.read(name) for name in names)


def test_an_added_file_is_named(packed: Path, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, lambda folder: (folder / "notes.txt").write_text("trust me") and None))
    assert found.problems == (
        "notes.txt was added: it was not signed",
        "notes.txt is not from the run: run.json does not list it",
    )


def test_a_removed_file_is_named(packed: Path, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, lambda folder: (folder / "seeds" / "2.jsonl").unlink()))
    assert "seeds/2.jsonl was removed: it was signed and is missing" in found.problems
    assert "evidence.parquet does not hold what the seeds recorded" in found.problems


def forge_verdict(folder: Path) -> None:
    record = parse_record((folder / "run.json").read_bytes(), "run.json")
    edit_record(folder, verdicts=({**record.verdicts[0], "verdict": "not matched"},))


def test_a_forged_verdict_is_caught_even_when_signed(packed: Path, signer: str, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, forge_verdict, sign_with=packed.parent / "key.pem"), known=[signer])
    assert found.signer_known
    assert found.problems == (f"the verdict on {CLAIM} is forged: stated as 'not matched', evidence and card give 'matched'",)


def test_forged_numbers_under_a_right_verdict_are_caught(packed: Path, tmp_path: Path) -> None:
    def forge(folder: Path) -> None:
        verdict = json.loads((folder / "run.json").read_bytes())["verdicts"][0]
        verdict["rule"]["estimate"] += 0.01
        edit_record(folder, verdicts=(verdict,))

    found = proof(tampered(packed, tmp_path, forge, sign_with=tmp_path / "key.pem"))
    assert found.problems == (f"the numbers under the verdict on {CLAIM} are not those that the evidence gives",)


def test_a_left_out_verdict_is_caught(packed: Path, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, lambda folder: edit_record(folder, verdicts=()), sign_with=tmp_path / "key.pem"))
    assert found.problems == (f"the verdict on {CLAIM} is missing",)


def lower_threshold(folder: Path) -> None:
    cards = (folder / "cards.json").read_text()
    assert cards.count('"at_least": 0.2') == 2
    (folder / "cards.json").write_text(cards.replace('"at_least": 0.2', '"at_least": 0.1'))
    edit_record(folder)


def test_an_edited_threshold_is_caught_even_when_signed(packed: Path, signer: str, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, lower_threshold, sign_with=packed.parent / "key.pem"), known=[signer])
    assert f"claim card {CLAIM} was changed: it is not the card with the hash that the run was judged by" in found.problems


def test_a_threshold_edited_with_all_its_hashes_is_not_the_installed_card(packed: Path, tmp_path: Path) -> None:
    def forge(folder: Path) -> None:
        lower_threshold(folder)
        claims = cards_in((folder / "cards.json").read_bytes())
        record = parse_record((folder / "run.json").read_bytes(), "run.json")
        evidence = evidence_of(folder, record.seeds, record.metrics)
        from pressrun.replicate import judge

        edit_record(
            folder,
            cards=(record.cards[0].model_copy(update={"sha256": card_hash(claims[0])}),),
            verdicts=(judge(claims[0], evidence).to_json(),),
        )

    found = proof(tampered(packed, tmp_path, forge, sign_with=tmp_path / "key.pem"))
    assert found.cards == {CLAIM: "not the installed card"}
    assert f"claim card {CLAIM} is not the installed card" in found.notes
    assert not found.trusted


def test_an_older_version_of_a_card_is_told_as_one(packed: Path) -> None:
    here = runs.fixture("coin")
    newer = dataclasses.replace(
        here.cards[0],
        version=2,
        reason="a better threshold",
        rule=Above("heads", "loaded", at_least=0.7),
        control=Above("heads", "fair", at_least=0.7),
    )
    installed = dataclasses.replace(here, cards=(newer,), hashes={CLAIM: card_hash(newer)}, history=here.cards)
    found = proof(packed, installed={"coin": installed})
    assert found.sound
    assert found.cards == {CLAIM: "an older version of the installed card"}


def test_it_is_proved_where_the_replication_is_not_installed(packed: Path) -> None:
    found = proof(packed, installed={})
    assert found.sound
    assert found.notes == ("replication coin is not installed here, so its cards cannot be held against any",)


def swap_evidence(folder: Path) -> None:
    rows = [Row(*row[:3], min(1.0, row.value + 0.1), *row[4:]) for row in Evidence.read(folder / "evidence.parquet").rows()]
    Evidence.from_rows(rows).write(folder / "evidence.parquet")
    edit_record(folder)


def test_swapped_evidence_is_caught_even_when_signed(packed: Path, signer: str, tmp_path: Path) -> None:
    found = proof(tampered(packed, tmp_path, swap_evidence, sign_with=packed.parent / "key.pem"), known=[signer])
    assert found.problems == ("evidence.parquet does not hold what the seeds recorded",)


def test_rows_and_evidence_swapped_together_do_not_give_the_verdict(packed: Path, tmp_path: Path) -> None:
    def forge(folder: Path) -> None:
        for path in (folder / "seeds").glob("[0-9].jsonl"):
            path.write_text(
                path.read_text()
                .replace('"arm": "fair"', '"arm": "x"')
                .replace('"arm": "loaded"', '"arm": "fair"')
                .replace('"arm": "x"', '"arm": "loaded"')
            )
        record = parse_record((folder / "run.json").read_bytes(), "run.json")
        evidence_of(folder, record.seeds, record.metrics).write(folder / "evidence.parquet")
        edit_record(folder)

    found = proof(tampered(packed, tmp_path, forge, sign_with=tmp_path / "key.pem"))
    assert found.problems == (f"the verdict on {CLAIM} is forged: stated as 'matched', evidence and card give 'not matched'",)


def test_another_key_in_place_of_the_signers_is_caught(packed: Path, tmp_path: Path) -> None:
    def swap(folder: Path) -> None:
        signed = json.loads((folder / SIGNATURE).read_bytes())
        (folder / SIGNATURE).write_text(json.dumps({**signed, "public_key": public_key(signing_key(tmp_path / "key.pem"))}))

    assert (
        "the signature does not fit: manifest.json or signature.json was changed after signing"
        in proof(tampered(packed, tmp_path, swap)).problems
    )


def test_changed_knobs_that_are_kept_quiet_are_caught(packed: Path, tmp_path: Path) -> None:
    found = proof(
        tampered(
            packed,
            tmp_path,
            lambda folder: edit_record(folder, config={"tosses": 1000, "load": 0.9}),
            sign_with=tmp_path / "key.pem",
        )
    )
    assert found.problems == ("the knobs are not those of the preset laptop, and the run does not say so",)


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.txt",
        "/etc/escaped.txt",
        "a/../../escaped.txt",
        "a\\..\\..\\escaped.txt",
        "C:/escaped.txt",
        "a//b",
        "./a",
        "a\nb",
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as archive:
        archive.writestr(name, "escaped")
    found = proof(evil)
    assert len(found.problems) == 1
    assert found.problems[0].endswith("leads out of its folder, or is no plain file name")
    assert [path.name for path in tmp_path.rglob("*")] == ["evil.zip"]


def test_a_link_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        entry = zipfile.ZipInfo("run.json")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    assert proof(tmp_path / "evil.zip").problems == ("run.json in it is a link or a device, not a file",)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", bytes(5_000_000))
    assert proof(tmp_path / "bomb.zip", at_most=1_000_000).problems == (
        "it would unpack to 5,000,000 bytes; a bundle has at most 1,000,000",
    )


def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", bytes(5_000_000))
    content = (tmp_path / "bomb.zip").read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 50))
    (tmp_path / "bomb.zip").write_bytes(content)
    found = proof(tmp_path / "bomb.zip", at_most=1_000_000)
    assert len(found.problems) == 1


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("run.json", "{}")
        archive.writestr("RUN.json", "{}")
    assert proof(tmp_path / "twice.zip").problems == ("RUN.json is in it twice",)


def test_what_is_no_bundle_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_text("no zip")
    assert proof(tmp_path / "no.zip").problems == ("no.zip is no zip that can be read: File is not a zip file",)
    assert proof(tmp_path / "none.zip").problems == (f"there is no file {tmp_path / 'none.zip'}",)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert (
        proof(tmp_path / "empty.zip").problems[0].startswith("it is no bundle of a run: manifest.json, signature.json, run.json")
    )


def test_a_run_that_is_not_over_is_not_bundled(tmp_path: Path) -> None:
    record = runs.ask(tmp_path, "coin")
    with pytest.raises(RunError, match="is queued; it can be bundled when it is over"):
        bundle(record, tmp_path / "key.pem")


def test_a_run_whose_files_changed_is_not_vouched_for(coin_run: RunRecord, tmp_path: Path) -> None:
    copy = tmp_path / coin_run.id
    shutil.copytree(coin_run.path, copy)
    (copy / "stdout.txt").write_text("all is well")
    with pytest.raises(RunError, match="are no longer those that it left, so it cannot be vouched for"):
        bundle(load_record(copy), tmp_path / "key.pem")
    assert not (tmp_path / "key.pem").exists()


def test_a_failed_run_can_be_bundled_and_has_no_verdicts(tmp_path: Path) -> None:
    record = runs.seen_through(runs.trouble(tmp_path, "raise"))
    found = proof(bundle(record, tmp_path / "key.pem"), installed={})
    assert (found.problems, found.verdicts) == ((), ())


def test_an_imported_run_lives_beside_the_local_ones(packed: Path, signer: str, coin_run: RunRecord, tmp_path: Path) -> None:
    installed = {"coin": runs.fixture("coin")}
    record = import_bundle(packed, tmp_path, known=[signer], installed=installed)
    assert record.path == tmp_path / "imported" / coin_run.id
    assert record.imported
    assert not record.counts
    assert [each.id for each in read_runs(tmp_path) if isinstance(each, RunRecord)] == [coin_run.id]
    assert mark_lost(tmp_path) == []
    before = (record.path / "run.json").read_bytes()
    with pytest.raises(RunError, match=f"run {coin_run.id} was imported before"):
        import_bundle(packed, tmp_path, known=[signer], installed=installed)
    with pytest.raises(RunError, match="came in a bundle; pass on that one"):
        bundle(record, tmp_path / "key.pem")
    with pytest.raises(RunError, match="was imported, and stays as it came"):
        redraw(record)
    with pytest.raises(RunError, match="there is nothing to cancel"):
        cancel(record)
    assert (record.path / "run.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "imported").iterdir()) == [coin_run.id]


def test_an_import_never_touches_a_local_run_of_the_same_name(packed: Path, signer: str, coin_run: RunRecord) -> None:
    before = (coin_run.path / "run.json").read_bytes()
    record = import_bundle(packed, coin_run.path.parent, known=[signer], installed={})
    assert record.path != coin_run.path
    assert (coin_run.path / "run.json").read_bytes() == before
    shutil.rmtree(coin_run.path.parent / "imported")


def test_what_is_not_sound_is_not_imported(packed: Path, tmp_path: Path) -> None:
    forged = tampered(packed, tmp_path, forge_verdict, sign_with=tmp_path / "key.pem")
    with pytest.raises(RunError, match=rf"tampered.zip is not imported. Not sound: the verdict on {CLAIM} is forged"):
        import_bundle(forged, tmp_path / "runs", accept_unknown=True, installed={})
    assert list((tmp_path / "runs" / "imported").iterdir()) == []


def test_an_unknown_signer_is_imported_only_when_accepted(packed: Path, coin_run: RunRecord, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"run.zip is not imported: it is signed by an unknown key \([0-9a-f ]{19}\)"):
        import_bundle(packed, tmp_path, installed={})
    assert import_bundle(packed, tmp_path, accept_unknown=True, installed={}).id == coin_run.id


def test_the_cards_of_a_run_are_kept_in_full(coin_run: RunRecord, tmp_path: Path) -> None:
    assert cards_in((coin_run.path / "cards.json").read_bytes()) == runs.fixture("coin").cards
    write_cards(tmp_path, runs.fixture("coin").cards)
    assert (tmp_path / "cards.json").read_bytes() == (coin_run.path / "cards.json").read_bytes()
    with pytest.raises(RunError, match=r"cards\.json does not hold claim cards"):
        cards_in(b'[{"card": {}}]')
