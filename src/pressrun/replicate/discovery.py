"""Which replications are installed, found by entry point and read from `claims.lock`: none of their modules is imported."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from pressrun.replicate.claims import Claim, ClaimError, card_hash, claim_from_json
from pressrun.replicate.knobs import Knob, KnobError, Value, knob_from_json
from pressrun.replicate.lock import LOCK, LockError, read_lock
from pressrun.replicate.rules import RuleError
from pressrun.replicate.verdicts import JSON

__all__ = ["GROUP", "Found", "Replication", "discover", "replication_for", "replications"]

GROUP = "pressrun.replications"

Shipper = tuple[str, str]
"""Name and version of a package."""


@dataclass(frozen=True)
class Replication:
    """What is known of a replication without importing it.

    `hashes` gives the hash of each card by claim id; `metrics` the unit of each metric; `presets` the value of each knob by
    preset. `use` is a few lines of Python
    that use the method elsewhere, or empty. `history` holds older versions of cards, oldest first. `distribution` and `version` name the package that ships it.
    """

    name: str
    paper: str
    title: str
    module: str
    cards: tuple[Claim, ...]
    hashes: Mapping[str, str]
    metrics: Mapping[str, str]
    not_tested: tuple[str, ...]
    use: str
    knobs: tuple[Knob, ...]
    presets: Mapping[str, Mapping[str, Value]]
    withdrawn: Mapping[str, str]
    history: tuple[Claim, ...]
    source: Path
    source_sha256: str
    distribution: str = ""
    version: str = ""

    @property
    def source_changed(self) -> bool:
        """Whether the module's source is another one than when it was locked."""
        try:
            return hashlib.sha256(self.source.read_bytes()).hexdigest() != self.source_sha256
        except OSError:
            return True

    def load(self) -> ModuleType:
        """Import the module, with all that it needs.

        Raises:
            LockError: if its claims are not those of the lock file.
        """
        module = importlib.import_module(self.module)
        claims = getattr(module, "CLAIMS", ())
        if tuple(claims) != self.cards:
            raise LockError(f"the claims of {self.name} are not those in its {LOCK}; run pressrun lock")
        return module


@dataclass(frozen=True)
class Found:
    """What there is by name, and a sentence for each entry point that leads to nothing."""

    replications: Mapping[str, Replication]
    problems: tuple[str, ...]


def replications() -> Mapping[str, Replication]:
    """Every installed replication by name, in alphabetical order. Those that cannot be read are left out: see `discover`."""
    return discover().replications


def replication_for(paper: str) -> Replication | None:
    """The replication of a paper, given its arXiv id (a version, "arXiv:" or an address is ignored) or its DOI. Of several,
    ours, then the first by name."""
    wanted = _plain_id(paper)
    matching = [each for each in replications().values() if _plain_id(each.paper) == wanted]
    return min(matching, key=lambda each: (each.distribution != "pressrun", each.name), default=None)


def discover() -> Found:
    """Look through the installed packages. A broken one never hides the others."""
    found: dict[str, Replication] = {}
    problems: list[str] = []
    for point, shipper in _entry_points():
        try:
            replication = _replication(point, shipper)
        except LockError as error:
            problems.append(str(error))
            continue
        other = found.setdefault(replication.name, replication)
        if other is not replication:
            problems.append(
                f"two packages have a replication {point.name}: {other.distribution}, which is used, and {replication.distribution}"
            )
    return Found(dict(sorted(found.items())), tuple(problems))


def _entry_points() -> list[tuple[EntryPoint, Shipper]]:
    """Each once, with the package that ships it; ours first, then by package and name."""
    points = list(entry_points(group=GROUP))
    packages = {id(point.dist): point.dist for point in points}
    # A package's name is read from the whole of its metadata, so once a package, not once a point.
    shippers = {key: (dist.name, dist.version) if dist else ("", "") for key, dist in packages.items()}
    found = {(point.name, point.value, shippers[id(point.dist)]): point for point in points}
    pairs = [(point, shipper) for (_, _, shipper), point in found.items()]
    return sorted(pairs, key=lambda pair: (pair[1][0] != "pressrun", pair[1], pair[0].name))


def _replication(point: EntryPoint, shipper: Shipper) -> Replication:
    source = _source(point)
    path = source.parent / LOCK
    if not path.is_file():
        raise LockError(f"replication {point.name} has no {LOCK} beside {source}; its author makes one with pressrun lock")
    status = path.stat()
    for entry in _entries(path, status.st_mtime_ns, status.st_size):
        if entry.module == point.module:
            if entry.name != point.name:
                raise LockError(f"entry point {point.name} leads to the replication {entry.name}; both need the same name")
            distribution, version = shipper
            return Replication(**vars(entry) | {"source": source, "distribution": distribution, "version": version})
    raise LockError(f"replication {point.name} is not in {path}; its author puts it there with pressrun lock")


def _source(point: EntryPoint) -> Path:
    """Where the module of an entry point is. Only the packages around it are imported."""
    try:
        spec = find_spec(point.module)
    except Exception as error:  # whatever the package around it does wrong
        raise LockError(f"replication {point.name} cannot be found: {type(error).__name__}: {error}") from None
    if spec is None or not spec.origin or not spec.has_location:
        raise LockError(f"replication {point.name} cannot be found: there is no module {point.module}")
    return Path(spec.origin)


@lru_cache(maxsize=64)
def _entries(path: Path, modified: int, size: int) -> tuple[Replication, ...]:  # noqa: ARG001  # a changed file is another entry
    return tuple(_parsed(path, entry) for entry in read_lock(path).values())


def _parsed(path: Path, entry: JSON) -> Replication:
    try:
        cards = tuple(_checked_cards(path, cast(list[JSON], entry["cards"])))
        return Replication(
            name=cast(str, entry["name"]),
            paper=cast(str, entry["paper"]),
            title=cast(str, entry["title"]),
            module=cast(str, entry["module"]),
            cards=cards,
            hashes={claim.id: card_hash(claim) for claim in cards},
            metrics=cast(dict[str, str], entry["metrics"]),
            not_tested=tuple(cast(list[str], entry["not_tested"])),
            use=cast(str, entry.get("use", "")),
            knobs=tuple(knob_from_json(each) for each in cast(list[JSON], entry["config"])),
            presets=cast(dict[str, dict[str, Value]], entry["presets"]),
            withdrawn=cast(dict[str, str], entry["withdrawn"]),
            history=tuple(_checked_cards(path, cast(list[JSON], entry["history"]))),
            source=path,
            source_sha256=cast(str, entry["source_sha256"]),
        )
    except (KeyError, TypeError, AttributeError, ClaimError, RuleError, KnobError) as error:
        raise LockError(f"{path} cannot be read: {error}") from None


def _checked_cards(path: Path, entries: list[JSON]) -> Iterator[Claim]:
    for entry in entries:
        claim = claim_from_json(cast(JSON, entry["card"]))
        if card_hash(claim) != entry["hash"]:
            raise LockError(f"{path} was edited by hand: the card of claim {claim.id} does not have the hash beside it")
        yield claim


def _plain_id(paper: str) -> str:
    """An id without prefix, address, version and case. (The catalogue knows more forms; this package knows no catalogue.)"""
    plain = re.sub(r"^(https?://)?(dx\.|www\.)?(doi\.org/|arxiv\.org/(abs|pdf)/)|^(doi|arxiv):\s*", "", paper.strip().lower())
    return re.sub(r"^(\d{4}\.\d{4,5}|[a-z.-]+/\d{7})(v\d+)?(\.pdf)?$", r"\1", plain)
