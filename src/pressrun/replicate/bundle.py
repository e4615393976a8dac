"""A run as one signed file, to pass on; and such a file put among the runs here.

A bundle is a zip that is an RO-Crate (https://w3id.org/ro/crate/1.1): the run's files, `ro-crate-metadata.json` that
describes them, `manifest.json` with the sha256 of each, and `signature.json`, an ed25519 signature over the manifest.
`proof` says what it is worth.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key
from rocrate.model.contextentity import ContextEntity  # type: ignore[import-untyped]
from rocrate.model.person import Person  # type: ignore[import-untyped]
from rocrate.model.softwareapplication import SoftwareApplication  # type: ignore[import-untyped]
from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

from pressrun.replicate.discovery import Replication, replications
from pressrun.replicate.ending import EVIDENCE
from pressrun.replicate.proof import MANIFEST, RECORD, SIGNATURE, NotSound, fingerprint, hashes, prove, unpack
from pressrun.replicate.record import IMPORTED, RunError, RunRecord, State, hashed_files, load_record, write_whole

# Numbers without a creative spark of anybody; whoever passes a run on can name another licence.
LICENCE = "https://creativecommons.org/publicdomain/zero/1.0/"


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The key that signs; made on first use, readable by its owner only.

    Raises:
        RunError: if the file holds no ed25519 key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_bytes(pem)
        try:
            os.link(fresh, path)  # fails when another process was first, and then its key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as problem:
        raise RunError(f"{path} holds no private key: {problem}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RunError(f"{path} must hold an ed25519 key, it holds another kind")
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    """The public half in hexadecimal digits: what others add to their known keys."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def bundle(record: RunRecord, key_path: Path, to: Path | None = None, *, licence: str = LICENCE) -> Path:
    """Pack a run that is over into a signed RO-Crate zip. Returns where it is: `to`, else `<run id>.zip` beside the run.

    Raises:
        RunError: if the run is not over, came in a bundle itself, or its files are no longer what it left.
    """
    if record.imported:
        raise RunError(f"run {record.id} came in a bundle; pass on that one, its signature says who ran it")
    record = load_record(record.path)
    if not record.state.final:
        raise RunError(f"run {record.id} is {record.state}; it can be bundled when it is over")
    if hashed_files(record.path) != record.files:
        raise RunError(f"the files of run {record.id} are no longer those that it left, so it cannot be vouched for")
    target = to or record.path.parent / f"{record.id}.zip"
    with tempfile.TemporaryDirectory(prefix="pressrun-bundle-") as folder:
        crate = Path(folder)
        describe(record, licence).write(crate)
        sign(crate, record.id, signing_key(key_path))
        _zip(crate, target, record.states[-1].at)
    return target


def describe(record: RunRecord, licence: str = LICENCE) -> ROCrate:
    """The run as an RO-Crate: the files, the paper, and the act of running, with who, when, with what and from what."""
    crate = ROCrate(version="1.1")
    ended = record.states[-1].at
    crate.name = f"{record.title} (run {record.id})"
    crate.description = (
        f"One run of the replication {record.replication} of paper {record.paper}: evidence, verdicts and how they came about."
    )
    crate.datePublished = ended
    crate.license = crate.add(
        ContextEntity(crate, licence, properties={"@type": "CreativeWork", "name": "Licence of the run", "url": licence})
    )
    files = {name: crate.add_file(record.path / name, name, properties=_about(name, record)) for name in (RECORD, *record.files)}
    paper = crate.add(
        ContextEntity(crate, _address(record.paper), properties={"@type": "ScholarlyArticle", "name": record.paper})
    )
    software = crate.add(
        SoftwareApplication(
            crate, f"#{record.replication}", properties={"name": record.module, "version": record.version or "unknown"}
        )
    )
    knobs = [
        crate.add(ContextEntity(crate, f"#knob-{name}", properties={"@type": "PropertyValue", "name": name, "value": str(value)}))
        for name, value in {**record.config, "seeds": ", ".join(map(str, record.seeds))}.items()
    ]
    crate.root_dataset["about"] = paper
    crate.root_dataset["mentions"] = crate.add_action(
        software,
        identifier="#run",
        object=knobs,
        result=[file for name, file in files.items() if name == EVIDENCE or name.startswith("figures/")],
        properties={
            "name": record.command,
            "startTime": record.created.isoformat(),
            "endTime": ended.isoformat(),
            "actionStatus": f"http://schema.org/{'CompletedActionStatus' if record.state is State.SUCCEEDED else 'FailedActionStatus'}",
            **({"error": record.note} if record.note else {}),
        },
    )
    requester = crate.add(Person(crate, "#requester", properties={"name": record.requester}))
    crate.root_dataset["mentions"]["agent"] = requester
    crate.root_dataset["author"] = requester
    return crate


def _about(name: str, record: RunRecord) -> dict[str, str]:
    kinds = {
        ".json": "application/json",
        ".jsonl": "application/x-ndjson",
        ".parquet": "application/vnd.apache.parquet",
        ".svg": "image/svg+xml",
        ".png": "image/png",
    }
    size = record.files[name].size if name in record.files else (record.path / name).stat().st_size
    return {"name": name, "encodingFormat": kinds.get(PurePosixPath(name).suffix, "text/plain"), "contentSize": str(size)}


def _address(paper: str) -> str:
    return f"https://doi.org/{paper}" if paper.startswith("10.") else f"https://arxiv.org/abs/{paper}"


def sign(crate: Path, run_id: str, key: Ed25519PrivateKey) -> None:
    """Write the manifest over all files of a crate, and the signature over the manifest."""
    files = {name: found.model_dump() for name, found in hashes(crate).items() if name not in (MANIFEST, SIGNATURE)}
    manifest = json.dumps({"format": 1, "run": run_id, "files": files}, indent=1, sort_keys=True).encode()
    (crate / MANIFEST).write_bytes(manifest)
    signed = {"algorithm": "ed25519", "over": MANIFEST, "public_key": public_key(key), "signature": key.sign(manifest).hex()}
    (crate / SIGNATURE).write_text(json.dumps(signed, indent=1))


def _zip(folder: Path, target: Path, at: datetime) -> None:
    """A zip of the folder, put in place when it is whole. The same content gives the same bytes."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), at.timetuple()[:6])
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def import_bundle(
    path: Path,
    runs_dir: Path,
    *,
    known: Collection[str] = (),
    accept_unknown: bool = False,
    installed: Mapping[str, Replication] | None = None,
) -> RunRecord:
    """Put a sound bundle among the runs, under `imported/<run id>`. It never replaces anything.

    Raises:
        RunError: if it is not sound, its signer is not known and `accept_unknown` is not set, or the run is there already.
    """
    folder = runs_dir / IMPORTED
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))
    try:
        unpack(path, incoming)
        proof = prove(incoming, known, replications() if installed is None else installed)
        if not proof.sound:
            raise RunError(f"{path.name} is not imported. {proof.sentence()}")
        if not proof.signer_known and not accept_unknown:
            raise RunError(f"{path.name} is not imported: it is signed by an unknown key ({fingerprint(proof.signer)})")
        origin = {"signer": proof.signer, "known": proof.signer_known, "at": datetime.now(UTC).isoformat()}
        write_whole(incoming / "imported.json", json.dumps(origin, indent=1).encode())
        try:
            incoming.rename(folder / proof.run_id)  # a folder with anything in it is not replaced
        except OSError:
            raise RunError(f"run {proof.run_id} was imported before") from None
        return load_record(folder / proof.run_id)
    except NotSound as problem:
        raise RunError(f"{path.name} is not imported: {problem}") from None
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
