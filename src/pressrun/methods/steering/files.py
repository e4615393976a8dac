"""Vector files: our own with its provenance, and those of repeng, llama.cpp and AISteer360.

Ours is a safetensors file, one tensor a site, whose header says what a number in it means. The others hold one absolute vector a
block of the model, added behind the block.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.activations.positions import Positions

from .vectors import Provenance, SteeringVector

__all__ = ["export_gguf", "export_svec", "import_gguf", "import_svec", "load_vector", "save_vector"]

FORMAT = "pressrun steering vector 1"
OWN_FIELD = "pressrun.provenance"


def save_vector(
    path: str | Path, vector: SteeringVector, *, strength: float | None = None, metric: str = "", licence: str = ""
) -> None:
    """Write the vector, whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        vector: learnt.
        strength: what it was calibrated to.
        metric: how it was judged, in words.
        licence: under which you pass it on.

    What is not given stays as the vector's provenance has it.
    """
    known = vector.provenance
    provenance = replace(
        known,
        strength=known.strength if strength is None else strength,
        metric=metric or known.metric,
        licence=licence or known.licence,
    )
    header = {
        "recipe": vector.recipe,
        "reads": _positions_out(vector.reads),
        "positions": _positions_out(vector.positions),
        "sites": [{"site": str(s), "norm": vector.norms.get(s, 1.0), **_site_out(s)} for s in vector.directions],
        "provenance": asdict(provenance),
    }
    if not vector.directions:
        raise ValueError("There is nothing to save: the vector holds no direction yet")
    tensors = {str(site): v.detach().cpu().contiguous() for site, v in vector.directions.items()}
    with _whole(path) as unfinished:
        save_file(tensors, unfinished, metadata={"format": FORMAT, "header": json.dumps(header)})


def load_vector(path: str | Path) -> SteeringVector:
    """Read a vector that `save_vector` wrote; it steers exactly as the one that was saved."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"{path} is not a steering vector of this kind: its header says {metadata.get('format')!r}")
            header = json.loads(metadata["header"])
            sites = [(_site_in(entry), entry) for entry in header["sites"]]
            return SteeringVector(
                sites=act.Sites(tuple(site for site, _ in sites)),
                recipe=header["recipe"],
                reads=_positions_in(header["reads"]),
                positions=_positions_in(header["positions"]),
                directions={site: file.get_tensor(entry["site"]) for site, entry in sites},
                norms={site: float(entry["norm"]) for site, entry in sites},
                provenance=Provenance(**header["provenance"]),
            )
    except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a whole steering vector: {error}") from error


def export_gguf(path: str | Path, vector: SteeringVector, *, strength: float | None = None) -> None:
    """Write a control vector for llama.cpp and repeng (`--control-vector-scaled FILE 1.0`, `ControlVector.import_gguf`).

    Args:
        path: of the file.
        vector: of residual sites, each behind a block. llama.cpp adds nothing behind block 0, so a vector with one there is refused.
        strength: scale 1.0 then means this strength. None: the scale is the strength, a fraction of the norm.

    It is added at every token; a vector for other positions is refused. Where the vector came from goes along in a field of ours.
    """
    layers = _absolute_by_block(vector, strength)
    if 0 in layers:
        raise ValueError("A control vector of llama.cpp starts behind block 1, and this vector has a direction behind block 0")
    with _whole(path) as unfinished:
        writer = gguf.GGUFWriter(unfinished, "controlvector")
        writer.add_string("controlvector.model_hint", vector.provenance.family)
        writer.add_uint32("controlvector.layer_count", len(layers))
        writer.add_string(OWN_FIELD, json.dumps(asdict(vector.provenance)))
        for block, direction in layers.items():
            writer.add_tensor(f"direction.{block}", direction.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def import_gguf(path: str | Path) -> SteeringVector:
    """Read a control vector of repeng or llama.cpp; strength 1 adds what is in the file."""
    if not Path(path).is_file():
        raise ValueError(f"There is no file {path}")
    try:
        reader = gguf.GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ValueError(f"{path} is not a GGUF file: {error}") from error
    kind, family, own = (_text(reader, name) for name in ("general.architecture", "controlvector.model_hint", OWN_FIELD))
    if kind != "controlvector":
        raise ValueError(f"{path} holds {kind or 'no architecture'}, not a control vector")
    found = {}
    for tensor in reader.tensors:
        name, _, block = tensor.name.partition(".")
        if name != "direction" or not block.isdigit():
            raise ValueError(f"{path} has a tensor {tensor.name}, where direction.<block> is meant")
        found[int(block)] = torch.from_numpy(np.array(tensor.data, dtype=np.float32))
    provenance = Provenance(**json.loads(own)) if own else Provenance(family=family)
    return _from_blocks(path, found, provenance)


def export_svec(path: str | Path, vector: SteeringVector, *, strength: float | None = None) -> None:
    """Write an AISteer360 `.svec`: JSON with one direction [1, width] a block; strength as in `export_gguf`."""
    layers = _absolute_by_block(vector, strength)
    written = {
        "model_type": vector.provenance.family,
        "directions": {str(block): [direction.tolist()] for block, direction in layers.items()},
    }
    with _whole(path) as unfinished:
        Path(unfinished).write_text(json.dumps(written), encoding="utf-8")


def import_svec(path: str | Path) -> SteeringVector:
    """Read an AISteer360 `.svec` with a single direction a block; strength 1 adds what is in the file."""
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8"))
        found = {int(block): torch.tensor(v, dtype=torch.float32) for block, v in read["directions"].items()}
        family = str(read["model_type"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a .svec file: {error}") from error
    several = [block for block, v in found.items() if v.ndim != 1 and v.shape[:-1].numel() != 1]
    if several:
        raise ValueError(
            f"{path} holds {tuple(found[several[0]].shape)} at block {several[0]}: only files with one direction a block are vectors"
        )
    return _from_blocks(path, {block: v.reshape(-1) for block, v in found.items()}, Provenance(family=family))


def _absolute_by_block(vector: SteeringVector, strength: float | None) -> dict[int, Tensor]:
    """block -> float32 (width,), what scale 1 adds behind it."""
    if vector.positions != "all":
        raise ValueError(
            f'These files are added at every token, and this vector is for positions={vector.positions!r}, not "all"'
        )
    layers = {}
    for site in vector.directions:
        if site.kind != "residual" or not isinstance(site.layer, int) or site.units is not None:
            raise ValueError(f"These files hold vectors behind a block, act.residual[l], and this one has one at {site}")
        layers[site.layer] = vector.absolute(site, 1.0 if strength is None else strength).detach().float().cpu().contiguous()
    if not layers:
        raise ValueError("There is nothing to write: the vector holds no direction yet")
    return dict(sorted(layers.items()))


def _from_blocks(path: str | Path, found: Mapping[int, Tensor], provenance: Provenance) -> SteeringVector:
    if not found:
        raise ValueError(f"{path} holds no direction")
    sites = {block: act.residual[block] for block in sorted(found)}
    return SteeringVector(
        sites=act.Sites(tuple(sites.values())),
        directions={site: found[block] for block, site in sites.items()},
        norms={site: float(found[block].norm()) for block, site in sites.items()},
        provenance=provenance,
    )


def _text(reader: gguf.GGUFReader, name: str) -> str:
    field = reader.get_field(name)
    return "" if field is None else str(field.contents())


def _site_out(site: act.Site) -> dict[str, Any]:
    return {"kind": site.kind, "layer": site.layer, "units": site.units, "path": site.path}


def _site_in(entry: Mapping[str, Any]) -> act.Site:
    units = tuple(entry["units"]) if isinstance(entry["units"], list) else entry["units"]
    return act.Site(entry["kind"], entry["layer"], units, entry["path"])


def _positions_out(positions: Positions) -> str | int | list[int] | dict[str, list[int | None]]:
    if isinstance(positions, slice):
        return {"slice": [positions.start, positions.stop, positions.step]}
    if isinstance(positions, Tensor):
        raise ValueError("Positions that are a tensor belong to one batch of inputs, and cannot be saved with a vector")
    return positions if isinstance(positions, str | int) else list(positions)


def _positions_in(saved: str | int | list[int] | dict[str, list[int | None]]) -> Positions:
    return slice(*saved["slice"]) if isinstance(saved, dict) else saved


@contextmanager
def _whole(path: str | Path) -> Iterator[str]:
    """A name to write to; the file takes its place at `path` when it is whole."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {path.parent} to write {path.name} to")
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / path.name
        yield str(unfinished)
        unfinished.replace(path)
