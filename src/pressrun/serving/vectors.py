"""The vectors that a server has at hand, by name, each with the strength that holds where a request names none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pressrun.methods import activations as act
from pressrun.methods.steering import SteeringVector, import_gguf, import_svec, load_vector

from .asking import Steer
from .problems import Refused

__all__ = ["Applied", "Shelf", "Shelved", "shelf"]

READERS = {".gguf": import_gguf, ".svec": import_svec}


@dataclass(frozen=True)
class Shelved:
    """A vector and the strength that holds where a request names none; None where nobody named one."""

    vector: SteeringVector
    strength: float | None = None


@dataclass(frozen=True)
class Applied:
    """A vector as one request uses it."""

    name: str
    vector: SteeringVector
    strength: float

    def facts(self) -> dict[str, Any]:
        return {"vector": self.name, "strength": self.strength, "positions": _told(self.vector.positions)}


@dataclass(frozen=True)
class Shelf:
    """Vectors by name.

    Attributes:
        vectors: name -> vector.
        always: whether requests that say nothing about steering are steered by all of them.
    """

    vectors: Mapping[str, Shelved]
    always: bool = False

    def chosen(self, steer: list[Steer] | None) -> tuple[Applied, ...]:
        """What a request asks for: None says nothing about steering, an empty list asks for none.

        Raises:
            Refused: there is no such vector, or neither the request nor the server says how strongly.
        """
        if steer is None:
            steer = [Steer(vector=name) for name in self.vectors] if self.always else []
        return tuple(self._applied(each) for each in steer)

    def _applied(self, steer: Steer) -> Applied:
        shelved = self.vectors.get(steer.vector)
        if shelved is None:
            there = ", ".join(self.vectors) or "none"
            raise Refused(
                f"There is no vector {steer.vector[:80]!r} here; there are: {there}.", param="steer", code="vector_not_found"
            )
        strength = shelved.strength if steer.strength is None else steer.strength
        if strength is None:
            raise Refused(f"The vector {steer.vector} has no default strength: give one.", param="steer", code="invalid_value")
        vector = replace(shelved.vector, positions=steer.positions) if steer.positions else shelved.vector
        return Applied(steer.vector, vector, strength)

    def facts(self) -> list[dict[str, Any]]:
        """What /v1/models tells of each."""
        return [
            {
                "vector": name,
                "strength": shelved.strength,
                "positions": _told(shelved.vector.positions),
                "sites": [str(site) for site in shelved.vector.directions],
                "model": shelved.vector.provenance.model,
                "metric": shelved.vector.provenance.metric,
                "licence": shelved.vector.provenance.licence,
            }
            for name, shelved in self.vectors.items()
        ]


def shelf(model: act.Model, files: Iterable[str], strengths: Iterable[str] = (), *, always: bool = False) -> Shelf:
    """The vectors in files, each tried on the model once.

    Args:
        files: FILE or NAME=FILE, of `save_vector`, `.gguf` (llama.cpp, repeng) or `.svec` (AISteer360). Without a name it is the
            file's, less its ending.
        strengths: NAME=NUMBER, the default strength; else what the file was calibrated to.
        always: requests that say nothing about steering are steered by all of them.

    Raises:
        ValueError: a file is no vector, does not fit the model, or two have one name; a strength has no vector.
    """
    found: dict[str, Shelved] = {}
    for given in files:
        name, path = _named(given)
        if name in found:
            raise ValueError(f"two vectors are called {name}: give one another name, as in other={path}")
        vector = READERS.get(path.suffix.lower(), load_vector)(path)
        _try(model, name, vector)
        found[name] = Shelved(vector, vector.provenance.strength)
    for given in strengths:
        name, number = _strength(given)
        if name not in found:
            raise ValueError(f"there is no vector {name!r} to give a strength to; there are: {', '.join(found) or 'none'}")
        found[name] = replace(found[name], strength=number)
    weak = [name for name, shelved in found.items() if shelved.strength is None]
    if always and (weak or not found):
        lacking = f"{', '.join(weak)} has no strength" if weak else "there is no vector"
        raise ValueError(f"to steer every request each vector needs a default strength, and {lacking}")
    return Shelf(found, always)


def _named(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if equals and name and "/" not in name:
        return name, Path(path)
    return Path(given).stem, Path(given)


def _strength(given: str) -> tuple[str, float]:
    name, _, number = given.rpartition("=")
    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not name or not abs(strength) <= 100:
        raise ValueError(f"a strength is NAME=NUMBER with a number from -100 to 100, got {given!r}")
    return name, strength


def _try(model: act.Model, name: str, vector: SteeringVector) -> None:
    """One pass under the vector at strength 0: its sites must be there, and of its size."""
    ids = torch.zeros((1, 2), dtype=torch.long, device=model.device)
    try:
        with torch.no_grad(), model.edit(*replace(vector, positions="all").edits(model, ids, 0.0)):
            model.run({"input_ids": ids})
    except (ValueError, IndexError) as error:
        raise ValueError(f"the vector {name} does not fit this model: {error}") from error


def _told(positions: Any) -> str:  # noqa: ANN401  whatever a vector was saved with
    return positions if isinstance(positions, str) else repr(positions)
