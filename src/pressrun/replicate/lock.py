"""`claims.lock`: the claim cards of a folder of replications, each with its hash, so that no threshold moves unseen.

A card that changes needs a higher version and a reason; the older card stays in the history. The file also holds what a page
or a command line needs to know of a replication without importing it: title, metrics, knobs, presets.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import cast

from pressrun.replicate.claims import Claim, ClaimError, card_hash
from pressrun.replicate.knobs import KnobError, check_config, knobs_of
from pressrun.replicate.rules import RuleError
from pressrun.replicate.verdicts import JSON

__all__ = ["LOCK", "PRESETS", "LockError", "describe", "dotted_name", "lock", "read_lock"]

LOCK = "claims.lock"
FORMAT = 1
PRESETS = ("smoke", "laptop", "paper")


class LockError(Exception):
    """A card that changed without saying so, a module that is no replication, or a lock file that cannot be read."""


def lock(package_dir: Path | str, *, write: bool = True) -> tuple[str, ...]:
    """Bring `claims.lock` in line with the replications in a folder; what changed, a sentence each, nothing if it was in line.

    Args:
        package_dir: the folder. Its replications are the modules that assign PAPER. They are imported.
        write: False leaves the file as it is, to find out whether it is in line.

    Raises:
        LockError: if a module is no replication, a card changed without a higher version and a reason, a card is gone without a
            word in WITHDRAWN, or the lock file cannot be read. Then nothing is written.
    """
    folder = Path(package_dir).resolve()
    if not folder.is_dir():
        raise LockError(f"{package_dir} is no folder, so it has no replications to lock")
    path = folder / LOCK
    old = read_lock(path) if path.exists() else {}
    new: dict[str, JSON] = {}
    changes: list[str] = []
    for source in _sources(folder):
        with _imported(source) as module:
            entry = describe(module, source)
        name = cast(str, entry["name"])
        changes += _carry_over(name, old.get(name), entry)
        new[name] = entry
    changes += [f"{name} is gone" for name in old if name not in new]
    if write and (changes or not path.exists()):
        _write(path, new)
    return tuple(changes)


def read_lock(path: Path) -> dict[str, JSON]:
    """The entries of a lock file by name of the replication.

    Raises:
        LockError: if it is missing or not in the format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LockError(f"{path} cannot be read: {error}") from None
    try:
        document = json.loads(text)
        entries = document["replications"]
        if document["format"] != FORMAT or not all(isinstance(entry, dict) for entry in entries.values()):
            raise LockError(f"{path} is in format {document['format']!r:.20}, this version reads format {FORMAT}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockError(
            f"{path} is no lock file ({error}); take it back from version control or delete it and lock anew"
        ) from None
    return cast(dict[str, JSON], entries)


def describe(module: ModuleType, source: Path) -> JSON:
    """What the lock file says of a replication.

    Raises:
        LockError: if the module lacks one of the names of the contract, or one of them is not as it has to be.
    """
    where = source.name
    title = (module.__doc__ or "").strip().splitlines()
    if not title:
        raise LockError(f"{where} needs a docstring whose first line says what is true")
    for name in ("replicate", "draw"):
        if not callable(getattr(module, name, None)):
            raise LockError(f"{where} needs a function {name}")
    claims = _claims(module, where)
    config = getattr(module, "Config", None)
    presets = getattr(module, "PRESETS", None)
    if not isinstance(config, type):
        raise LockError(f"{where} needs a class Config, a frozen dataclass whose fields are made by knob")
    if (
        not isinstance(presets, Mapping)
        or set(presets) != set(PRESETS)
        or any(type(each) is not config for each in presets.values())
    ):
        raise LockError(f"{where} needs PRESETS, a Config for each of {', '.join(PRESETS)} and for nothing else")
    try:
        knobs = [each.to_json() for each in knobs_of(config)]
        values = {name: check_config(presets[name]) for name in PRESETS}
    except KnobError as error:
        raise LockError(f"{where}: {error}") from None
    withdrawn = _texts(module, where, "WITHDRAWN", default={})
    both = [claim.id for claim in claims if claim.id in withdrawn]
    if both:
        raise LockError(f"{where} has claim {both[0]} both in CLAIMS and in WITHDRAWN")
    return {
        "name": module.__name__.rpartition(".")[2],
        "paper": _paper(module, where),
        "title": title[0],
        "module": module.__name__,
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "cards": [{"card": claim.to_json(), "hash": card_hash(claim)} for claim in claims],
        "metrics": _metrics(module, where, claims),
        "not_tested": _not_tested(module, where),
        "use": _use(module, where),
        "config": knobs,
        "presets": values,
        "withdrawn": withdrawn,
        "history": [],
    }


def dotted_name(source: Path) -> tuple[str, Path]:
    """The module name of a source file, and the folder from which it is imported by that name."""
    parts = [] if source.stem == "__init__" else [source.stem]
    root = source.parent
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    return ".".join(parts), root


def _sources(folder: Path) -> list[Path]:
    """The modules that assign PAPER. The others, helpers beside them, are not imported."""
    found = []
    for path in sorted(folder.glob("*.py")):
        try:
            body = ast.parse(path.read_bytes(), str(path)).body
        except (SyntaxError, ValueError) as error:
            raise LockError(f"{path.name} is no Python: {error}") from None
        if "PAPER" in {name for statement in body for name in _assigned(statement)}:
            found.append(path)
    return found


def _assigned(statement: ast.stmt) -> Iterator[str]:
    targets: Sequence[ast.expr] = ()
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = (statement.target,)
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


@contextmanager
def _imported(source: Path) -> Iterator[ModuleType]:
    """The module as its source is now, whatever was imported under its name before; that is put back afterwards."""
    name, root = dotted_name(source)
    before = sys.modules.get(name)
    sys.path.insert(0, str(root))
    try:
        importlib.invalidate_caches()
        package = name if source.stem == "__init__" else name.rpartition(".")[0]
        if package and package != name:
            importlib.import_module(package)
        module = ModuleType(name)
        module.__file__ = str(source)
        module.__package__ = package
        if source.stem == "__init__":
            module.__path__ = [str(source.parent)]
        sys.modules[name] = module
        # Compiled here, not imported: a cached .pyc may be older than the source when both are of the same second.
        exec(compile(source.read_bytes(), str(source), "exec"), module.__dict__)  # nosec  # noqa: S102
        yield module
    except (ClaimError, RuleError, KnobError) as error:
        raise LockError(f"{source.name}: {error}") from None
    except LockError:
        raise
    except Exception as error:
        raise LockError(f"{source.name} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(root))
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before


def _paper(module: ModuleType, where: str) -> str:
    paper = module.PAPER
    if not isinstance(paper, str) or not paper.strip():
        raise LockError(f"{where} needs in PAPER an arXiv id or a DOI, got {paper!r:.80}")
    return paper


def _claims(module: ModuleType, where: str) -> tuple[Claim, ...]:
    claims = getattr(module, "CLAIMS", None)
    if not isinstance(claims, tuple) or not claims or not all(isinstance(claim, Claim) for claim in claims):
        raise LockError(f"{where} needs CLAIMS, a tuple of at least one Claim")
    ids = [claim.id for claim in claims]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise LockError(f"{where} has two claims with the id {twice[0]}")
    return claims


def _metrics(module: ModuleType, where: str, claims: Sequence[Claim]) -> dict[str, str]:
    metrics = _texts(module, where, "METRICS")
    for claim in claims:
        for metric, _ in sorted(claim.rule.reads() | claim.control.reads()):
            if metric not in metrics:
                raise LockError(f"{where}: claim {claim.id} reads metric {metric!r}, which METRICS does not declare")
    return metrics


def _texts(module: ModuleType, where: str, name: str, default: dict[str, str] | None = None) -> dict[str, str]:
    given = getattr(module, name, default)
    if not isinstance(given, dict) or not all(isinstance(text, str) and text.strip() for pair in given.items() for text in pair):
        raise LockError(f"{where} needs in {name} a dict from name to text, got {given!r:.80}")
    return dict(given)


def _not_tested(module: ModuleType, where: str) -> list[str]:
    sentences = getattr(module, "NOT_TESTED", None)
    if not isinstance(sentences, tuple) or not all(isinstance(each, str) and each.strip() for each in sentences):
        raise LockError(f"{where} needs NOT_TESTED, a tuple of sentences, got {sentences!r:.80}")
    return list(sentences)


def _use(module: ModuleType, where: str) -> str:
    text = getattr(module, "USE", "")
    try:
        compile(text, "USE", "exec")
    except (SyntaxError, TypeError, ValueError) as error:
        raise LockError(f"{where} needs in USE a few lines of Python that use the method, got {text!r:.80}: {error}") from None
    return cast(str, text).strip()


def _carry_over(name: str, old: JSON | None, new: JSON) -> list[str]:
    """Check the new cards against the old ones, put the old ones that changed into the history of `new`, and tell the changes."""
    if old is None:
        return [f"{name} is new, with {len(_cards(new, 'cards'))} claims"]
    history, latest = list(_cards(old, "history")), {}
    for entry in (*history, *_cards(old, "cards")):
        latest[_id(entry)] = entry
    before = {_id(entry): entry for entry in _cards(old, "cards")}
    changes = []
    for entry in _cards(new, "cards"):
        known = latest.get(_id(entry))
        if known is None:
            changes.append(f"{name}: claim {_id(entry)} is new")
        elif known["hash"] != entry["hash"]:
            changes.append(_raised(name, known, entry))
        elif _id(entry) not in before:
            raise LockError(f"{name}: claim {_id(entry)} was withdrawn; to bring it back it needs a higher version and a reason")
        elif known != entry:
            changes.append(f"{name}: claim {_id(entry)} gives another reason")
    now = {_id(entry): entry for entry in _cards(new, "cards")}
    withdrawn = cast(dict[str, str], new["withdrawn"])
    for claim_id, entry in before.items():
        if claim_id not in now and claim_id not in withdrawn:
            raise LockError(f"{name}: claim {claim_id} is gone; a claim is withdrawn by saying why in WITHDRAWN")
        if claim_id not in now:
            changes.append(f"{name}: claim {claim_id} is withdrawn: {withdrawn[claim_id]}")
        if claim_id not in now or now[claim_id]["hash"] != entry["hash"]:
            history.append(entry)
    new["history"] = history
    others = {key: (old.get(key), new[key]) for key in new if key not in ("cards", "history")}
    return changes + [f"{name}: {key} changed" for key, (was, now_is) in others.items() if was != now_is]


def _raised(name: str, old: JSON, new: JSON) -> str:
    """The sentence on a changed card. Raises LockError unless its version is higher; Claim itself asks for the reason."""
    was, now = cast(JSON, old["card"]), cast(JSON, new["card"])
    if cast(int, now["version"]) <= cast(int, was["version"]):
        differs = ", ".join(key for key in now if key not in ("version", "reason") and now[key] != was.get(key)) or "version"
        raise LockError(
            f"{name}: claim {now['id']} changed ({differs}) and is still at version {now['version']}; "
            f"it needs version {cast(int, was['version']) + 1} and a reason"
        )
    return f"{name}: claim {now['id']} goes from version {was['version']} to {now['version']}: {now['reason']}"


def _cards(entry: JSON, key: str) -> list[JSON]:
    return cast(list[JSON], entry.get(key, []))


def _id(entry: JSON) -> str:
    return cast(str, cast(JSON, entry["card"])["id"])


def _write(path: Path, entries: Mapping[str, JSON]) -> None:
    text = json.dumps({"format": FORMAT, "replications": dict(sorted(entries.items()))}, indent=1, ensure_ascii=False)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)
