"""Activations of many inputs, one batch after the other, to memory or to a memory-mapped file."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.filesize import decimal
from rich.progress import track
from safetensors import safe_open
from torch import Tensor

from .positions import Call, Selector
from .sites import Site, Span

__all__ = ["Collected", "announce", "counted", "open_collected", "size_of", "spots", "storage"]

FILE = "activations.safetensors"
# What the header of a safetensors file calls the types.
TYPES = {torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class Collected(Mapping[Site, Tensor]):
    """(N, *features) by site.

    Attributes:
        rows: (N,) number of the input, counted through all batches.
        tokens: (N,) which of the real tokens of that input, from 0; 0 for networks without tokens.
        file: where it is, or None for memory. A tensor from a file is read where it is touched.
    """

    def __init__(self, tensors: Mapping[Site, Tensor], rows: Tensor, tokens: Tensor, file: Path | None) -> None:
        self._tensors, self.rows, self.tokens, self.file = dict(tensors), rows, tokens, file

    def __getitem__(self, site: Site) -> Tensor:
        if site not in self._tensors:
            raise KeyError(f"{site} was not collected; there is {', '.join(map(str, self._tensors))}")
        return self._tensors[site]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __repr__(self) -> str:
        return f"Collected({', '.join(f'{site}: {tuple(value.shape)}' for site, value in self.items())})"


@dataclass(frozen=True)
class Spot:
    """The chosen tokens of a batch: row, column and token number of each, (n,)."""

    rows: Tensor
    columns: Tensor
    tokens: Tensor

    def take(self, x: Tensor, call: Call, tokens: bool) -> Tensor:
        """(n, *features) out of a site's tensor, in memory of its own."""
        if not tokens and call.columns is not None:
            raise ValueError(f"a site whose tensor is {tuple(x.shape)} has no tokens to collect; read it")
        return x[self.rows.to(x.device), self.columns.to(x.device)] if tokens else x.clone()


def spots(call: Call, selector: Selector) -> Spot:
    """Which tokens of a batch are chosen, in row order; for "all" and "prompt" the real ones."""
    if call.columns is None:
        if selector.positions not in ("all", "last_prompt"):
            raise ValueError("a network without tokens is collected whole: leave positions as they are")
        rows = torch.arange(call.batch)
        return Spot(rows, torch.zeros_like(rows), torch.zeros_like(rows))
    real = call.real()
    if selector.shape in ("one", "some"):
        at = selector.columns(call)
        rows = torch.arange(call.batch, device=at.device)[:, None].expand_as(at).flatten()
        columns = at.flatten()
    else:
        rows, columns = (real & selector.choose(call)).nonzero(as_tuple=True)
    return Spot(rows.cpu(), columns.cpu(), (real.cumsum(dim=1) - 1)[rows, columns].cpu())


def announce(size: int, sites: int, rows: int, folder: str | os.PathLike[str] | None, *, show: bool) -> None:
    """Say what is coming; refuse what the disk has no room for."""
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OSError(f"collecting needs {decimal(size)}, {folder} has {decimal(free)} free")
    if show:
        where = f"{Path(folder) / FILE}" if folder is not None else "memory"
        Console(stderr=True).print(
            f"collecting {rows:,} tokens at {sites} sites: {decimal(size)} in {where}", highlight=False, soft_wrap=True
        )


def counted(count: int, *, show: bool) -> Iterator[int]:
    """Numbers up to count, with a bar on stderr."""
    yield from track(range(count), "collecting", disable=not show, console=Console(stderr=True), transient=True)


def size_of(shapes: Mapping[Site, tuple[tuple[int, ...], torch.dtype]]) -> int:
    return sum(prod(shape) * dtype.itemsize for shape, dtype in shapes.values())


@contextmanager
def storage(
    folder: str | os.PathLike[str] | None, shapes: Mapping[Site, tuple[tuple[int, ...], torch.dtype]], count: int
) -> Iterator[Collected]:
    """Tensors to fill: in memory, or in a file that has its name only when the context ends well."""
    index = torch.int64
    named = {"rows": ((count,), index), "tokens": ((count,), index)} | {str(site): there for site, there in shapes.items()}
    if folder is None:
        tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in named.items()}
        yield _collected(shapes, tensors, None)
        return
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".collecting-")
    os.close(descriptor)
    try:
        tensors = _mapped(Path(temporary), named, {"sites": json.dumps([asdict(site) for site in shapes])})
        yield _collected(shapes, tensors, Path(folder) / FILE)
        Path(temporary).replace(Path(folder) / FILE)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _collected(shapes: Mapping[Site, Any], tensors: Mapping[str, Tensor], file: Path | None) -> Collected:
    return Collected({site: tensors[str(site)] for site in shapes}, tensors["rows"], tensors["tokens"], file)


def _mapped(path: Path, named: Mapping[str, tuple[tuple[int, ...], torch.dtype]], metadata: dict[str, str]) -> dict[str, Tensor]:
    """Memory-mapped tensors in a new safetensors file: the length of the header, the header (JSON), the numbers.

    The library writes such a file only from tensors that are all in memory.
    """
    # Wide types first: then every tensor begins at a multiple of its own width.
    order = sorted(named, key=lambda name: -named[name][1].itemsize)
    header: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    for name in order:
        shape, dtype = named[name]
        if dtype not in TYPES:
            raise ValueError(f"{name} is {dtype}, a file keeps {', '.join(str(known) for known in TYPES)}: give dtype=")
        end = offset + prod(shape) * dtype.itemsize
        header[name] = {"dtype": TYPES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(start + offset)
    whole = torch.from_file(str(path), shared=True, size=start + offset, dtype=torch.uint8)
    return {
        name: whole[start + header[name]["data_offsets"][0] : start + header[name]["data_offsets"][1]]
        .view(named[name][1])
        .view(named[name][0])
        for name in order
    }


def open_collected(folder: str | os.PathLike[str]) -> Collected:
    """What `lm.collect(…, folder=…)` wrote; a tensor is read where it is touched."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; lm.collect(…, folder=…) writes it")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        if "sites" not in metadata:
            raise ValueError(f"{path} was not written by lm.collect: it does not say which sites it has")
        sites = [_site(entry) for entry in json.loads(metadata["sites"])]
        tensors = {name: file.get_tensor(name) for name in ("rows", "tokens", *map(str, sites))}
    return _collected(dict.fromkeys(sites), tensors, path)


def _site(entry: dict[str, Any]) -> Site:
    units = entry["units"]
    if isinstance(units, dict):
        units = Span(**units)
    return Site(entry["kind"], entry["layer"], tuple(units) if isinstance(units, list) else units, entry["path"])
