"""The proof of a bundle, offline, on a machine that never saw the run.

It trusts nothing that the bundle says of itself. It holds every file against the signed hash, every card against the
hash under which the run was asked for, the evidence against the rows that the seeds recorded, and every verdict against
the one that evidence and card give here and now; and it says whether the cards are those that are installed here. A
signature only says who vouches, so a known signer is told apart from a sound bundle.
"""

from __future__ import annotations

import json
import math
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pressrun.replicate.claims import Claim, card_hash, judge
from pressrun.replicate.discovery import Replication, replications
from pressrun.replicate.ending import CARDS, EVIDENCE, evidence_of, not_judged, read_cards
from pressrun.replicate.evidence import Evidence, EvidenceError
from pressrun.replicate.knobs import changed
from pressrun.replicate.record import FileHash, RunError, RunRecord, load_record
from pressrun.replicate.rules import RuleError
from pressrun.replicate.run import sha256_of
from pressrun.replicate.verdicts import JSON, Judgement, Verdict, verdict_from_json

MANIFEST, SIGNATURE, METADATA, RECORD = "manifest.json", "signature.json", "ro-crate-metadata.json", "run.json"
WRAPPING = (MANIFEST, SIGNATURE, METADATA, RECORD)  # what a bundle holds beside the files that run.json lists
AT_MOST_FILES, AT_MOST_BYTES = 10_000, 2 * 2**30
SAFE_NAME = re.compile(r"[\w .+=@,()-]{1,120}")
SAME = 1e-9  # two versions of SciPy may differ in the last digits of an interval


@dataclass(frozen=True)
class Recomputed:
    """A verdict as the bundle states it, and as evidence and card give it; None where there is none."""

    claim_id: str
    stated: Verdict | None
    found: Verdict | None


@dataclass(frozen=True)
class Verification:
    """What the proof of a bundle found. `problems` is empty for a sound one; each says one thing that is wrong.

    `signer` is the public key in hexadecimal digits ("" when unknown even that), `signer_known` whether it is among the keys that
    were given. `cards` says for each claim how its card stands to the installed ones. `notes` are worth reading and no fault.
    """

    run_id: str
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    signer: str = ""
    signer_known: bool = False
    verdicts: tuple[Recomputed, ...] = ()
    cards: Mapping[str, str] | None = None
    record: RunRecord | None = None

    @property
    def sound(self) -> bool:
        """Whether everything in it agrees with the signature and with itself."""
        return not self.problems

    @property
    def trusted(self) -> bool:
        """Sound, and signed by a key that is known here."""
        return self.sound and self.signer_known

    def sentence(self) -> str:
        if self.problems:
            more = f" ({len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
            return f"Not sound: {self.problems[0]}{more}."
        who = "a known key" if self.signer_known else "an unknown key, so who vouches for it is not known here"
        return f"Sound: {len(self.verdicts)} verdicts recomputed from the evidence; signed by {who} ({fingerprint(self.signer)})."


class NotSound(Exception):
    """A file that cannot even be unpacked safely, in one sentence."""


def verify(
    path: Path, *, known: Collection[str] = (), installed: Mapping[str, Replication] | None = None, at_most: int = AT_MOST_BYTES
) -> Verification:
    """Prove a bundle, offline. Nothing in it is executed, and nothing of it is left behind.

    Args:
        path: of the zip.
        known: public keys, in hexadecimal digits, of people who are known here.
        installed: replications by name to hold the cards against; those of this machine when not given.
        at_most: bytes that it may unpack to.
    """
    with tempfile.TemporaryDirectory(prefix="pressrun-verify-") as folder:
        try:
            unpack(path, Path(folder), at_most)
        except NotSound as problem:
            return Verification("", (str(problem),))
        return prove(Path(folder), known, replications() if installed is None else installed)


def unpack(path: Path, folder: Path, at_most: int = AT_MOST_BYTES) -> None:
    """Unpack a zip that nobody vouches for: no name leads out of the folder, and there is not more in it than allowed.

    Raises:
        NotSound: saying why it is not unpacked. The folder may hold a part of it then.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_entries(entries, at_most)
            left = at_most
            for entry in entries:
                left -= _extract(archive, entry, folder, left)
    except FileNotFoundError:
        raise NotSound(f"there is no file {path}") from None
    except OSError as problem:
        raise NotSound(f"{path} cannot be read: {problem.strerror or problem}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as problem:
        raise NotSound(f"{path.name} is no zip that can be read: {problem}") from None


def _check_entries(entries: list[zipfile.ZipInfo], at_most: int) -> None:
    if len(entries) > AT_MOST_FILES:
        raise NotSound(f"it holds {len(entries):,} files; a bundle has at most {AT_MOST_FILES:,}")
    if sum(entry.file_size for entry in entries) > at_most:
        raise NotSound(
            f"it would unpack to {sum(entry.file_size for entry in entries):,} bytes; a bundle has at most {at_most:,}"
        )
    seen: set[str] = set()
    for entry in entries:
        parts = entry.orig_filename.split("/")
        if not all(SAFE_NAME.fullmatch(part) and part.strip(". ") for part in parts) or len(entry.orig_filename) > 240:
            raise NotSound(f"the name {entry.orig_filename[:80]!r} in it leads out of its folder, or is no plain file name")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise NotSound(f"{entry.filename} in it is a link or a device, not a file")
        if entry.filename.casefold() in seen:
            raise NotSound(f"{entry.filename} is in it twice")
        seen.add(entry.filename.casefold())


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, left: int) -> int:
    """Unpack one file and return its size. What the zip says of sizes is not believed."""
    target, size = folder / entry.filename, 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as file:
        while piece := source.read(2**20):
            size += len(piece)
            if size > left:
                raise NotSound("it unpacks to more than it says, and more than a bundle may hold")
            file.write(piece)
    return size


def fingerprint(public: str) -> str:
    """The first 16 digits of a public key, in fours, for people."""
    return " ".join(public[start : start + 4] for start in range(0, 16, 4))


def hashes(folder: Path) -> dict[str, FileHash]:
    """Of every file under a folder; here run.json is a file like the others."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): FileHash(sha256=sha256_of(path), size=path.stat().st_size) for path in files}


def prove(folder: Path, known: Collection[str], installed: Mapping[str, Replication]) -> Verification:
    """Prove an unpacked bundle."""
    missing = [name for name in (MANIFEST, SIGNATURE, RECORD, CARDS, METADATA) if not (folder / name).is_file()]
    if missing:
        return Verification("", (f"it is no bundle of a run: {', '.join(missing)} is missing",))
    signer, problems = _check_signature(folder)
    problems += _check_manifest(folder)
    try:
        record = load_record(folder)
        cards = read_cards(folder)
    except RunError as problem:
        return Verification("", (*problems, str(problem).replace(f"{folder}/", "")), signer=signer, signer_known=signer in known)
    problems += _check_files(folder, record) + _check_cards(record, cards)
    verdicts: tuple[Recomputed, ...] = ()
    try:
        evidence = raw_evidence(folder, record)
        verdicts = recompute(record, cards, evidence)
        problems += [wrong for pair in verdicts if (wrong := _told_wrong(pair))]
    except (EvidenceError, RuleError, ValueError, OSError) as problem:
        problems.append(str(problem).replace(f"{folder}/", ""))
    standing, notes = _against_installed(record, cards, installed.get(record.replication))
    problems += _check_preset(record, installed.get(record.replication))
    if record.source_changed:
        notes = (*notes, f"the source of {record.module} that ran is not the one that its author had locked")
    return Verification(record.id, tuple(dict.fromkeys(problems)), notes, signer, signer in known, verdicts, standing, record)


def _check_signature(folder: Path) -> tuple[str, list[str]]:
    try:
        signed = json.loads((folder / SIGNATURE).read_bytes())
        signer, signature = bytes.fromhex(signed["public_key"]), bytes.fromhex(signed["signature"])
        if signed["algorithm"] != "ed25519":
            return "", [f"it is signed by {signed['algorithm']!s:.40}, only ed25519 is known here"]
        key = Ed25519PublicKey.from_public_bytes(signer)
    except (ValueError, KeyError, TypeError):
        return "", [f"{SIGNATURE} is no signature"]
    try:
        key.verify(signature, (folder / MANIFEST).read_bytes())
    except InvalidSignature:
        return signer.hex(), [f"the signature does not fit: {MANIFEST} or {SIGNATURE} was changed after signing"]
    return signer.hex(), []


def _check_manifest(folder: Path) -> list[str]:
    """Every file against the hash that was signed."""
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        signed = {name: FileHash.model_validate(found) for name, found in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{MANIFEST} is no manifest"]
    there = {name: found for name, found in hashes(folder).items() if name not in (MANIFEST, SIGNATURE)}
    changed_files = [name for name in there if name in signed and there[name] != signed[name]]
    return [
        *(f"{name} was changed: it is not what was signed" for name in changed_files),
        *(f"{name} was added: it was not signed" for name in there if name not in signed),
        *(f"{name} was removed: it was signed and is missing" for name in signed if name not in there),
    ]


def _check_files(folder: Path, record: RunRecord) -> list[str]:
    """The files against the hashes that the run itself noted when it ended."""
    there = {name: found for name, found in hashes(folder).items() if name not in WRAPPING}
    return [
        *(
            f"{name} is not what the run left: {RECORD} has another hash for it"
            for name in there
            if record.files.get(name, there[name]) != there[name]
        ),
        *(f"{name} is not from the run: {RECORD} does not list it" for name in there if name not in record.files),
        *(f"{name} is missing: {RECORD} lists it" for name in record.files if name not in there),
    ]


def _check_cards(record: RunRecord, cards: tuple[Claim, ...]) -> list[str]:
    """The cards against the hashes under which the run was asked for."""
    asked = {ref.id: ref for ref in record.cards}
    problems = [f"claim card {claim.id} is not one of the run's" for claim in cards if claim.id not in asked]
    problems += [f"claim card {name} of the run is missing" for name in asked if name not in {claim.id for claim in cards}]
    return problems + [
        f"claim card {claim.id} was changed: it is not the card with the hash that the run was judged by"
        for claim in cards
        if claim.id in asked and (asked[claim.id].sha256, asked[claim.id].version) != (card_hash(claim), claim.version)
    ]


def raw_evidence(folder: Path, record: RunRecord) -> Evidence:
    """The evidence from the rows that the seeds recorded.

    Raises:
        EvidenceError: if evidence.parquet does not hold the same.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    raw = evidence_of(folder, record.seeds, record.metrics)
    try:
        # Before it is read: a small file of this kind can hold any number of equal rows.
        rows = pq.read_metadata(folder / EVIDENCE).num_rows
    except (OSError, ValueError) as problem:
        raise EvidenceError(f"{EVIDENCE} cannot be read: {str(problem).splitlines()[0]}") from None
    if rows != len(raw) or Evidence.read(folder / EVIDENCE) != raw:
        raise EvidenceError(f"{EVIDENCE} does not hold what the seeds recorded")
    return raw


def recompute(record: RunRecord, cards: tuple[Claim, ...], evidence: Evidence) -> tuple[Recomputed, ...]:
    """The stated verdicts beside those that evidence and cards give."""
    stated = {verdict.claim_id: verdict for verdict in map(verdict_from_json, cast(list[JSON], list(record.verdicts)))}
    found = {} if not_judged(record) else {claim.id: judge(claim, evidence) for claim in cards}
    return tuple(
        Recomputed(claim, stated.get(claim), found.get(claim)) for claim in [*found, *(c for c in stated if c not in found)]
    )


def _told_wrong(pair: Recomputed) -> str:
    """What is wrong with a stated verdict; empty when nothing is."""
    stated, found = pair.stated, pair.found
    if stated is None or found is None:
        return f"the verdict on {pair.claim_id} is {'missing' if stated is None else 'stated, though a run like this has none'}"
    if stated.verdict != found.verdict:
        return f"the verdict on {pair.claim_id} is forged: stated as {stated.verdict!r}, evidence and card give {found.verdict!r}"
    if not (_same(stated.rule, found.rule) and _same(stated.control, found.control)) or stated.version != found.version:
        return f"the numbers under the verdict on {pair.claim_id} are not those that the evidence gives"
    return "" if stated.sentence == found.sentence else f"the sentence on {pair.claim_id} is not the one that its numbers give"


def _same(a: Judgement, b: Judgement) -> bool:
    """Whether two judgements say the same, up to the last digits of their numbers."""
    return _alike(a.to_json(), b.to_json())


def _alike(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
    return a == b


def _against_installed(
    record: RunRecord, cards: tuple[Claim, ...], here: Replication | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """How each card stands to the installed ones, and what there is to say of it."""
    if here is None:
        note = f"replication {record.replication} is not installed here, so its cards cannot be held against any"
        return {claim.id: "not installed here" for claim in cards}, (note,)
    older = {card_hash(claim) for claim in here.history}
    standing = {}
    for claim in cards:
        if here.hashes.get(claim.id) == card_hash(claim):
            standing[claim.id] = "as installed here"
        elif card_hash(claim) in older:
            standing[claim.id] = "an older version of the installed card"
        else:
            standing[claim.id] = "not the installed card"
    notes = [f"claim card {claim} is {how}" for claim, how in standing.items() if how != "as installed here"]
    notes += [f"the installed replication also has claim {claim}" for claim in here.hashes if claim not in standing]
    return standing, tuple(notes)


def _check_preset(record: RunRecord, here: Replication | None) -> list[str]:
    """Whether the knobs are those of the preset, where the same source is installed and so knows."""
    if here is None or here.source_sha256 != record.source_sha256 or record.preset not in here.presets:
        return []
    if changed(here.presets[record.preset], record.config) == record.changed:
        return []
    return [f"the knobs are not those of the preset {record.preset}, and the run does not say so"]
