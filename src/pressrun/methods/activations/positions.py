"""Which tokens are meant: the prompt's, the last of it, the generated ones, the i-th, or those of a mask.

Tokens are counted without padding. What is prompt and what was generated is a matter of the sequence, not of the
forward pass: a pass with a key-value cache brings the newest columns only, a pass without brings them all again, and
the same tokens are chosen in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["Call", "Positions", "Selector"]

Positions = str | int | slice | Sequence[int] | Tensor
WORDS = ("all", "prompt", "last_prompt", "decode")


def repeat_rows(value: Tensor, rows: int, what: str) -> Tensor:
    """(B, …) for a batch of `rows`: as `generate` does for beams, each row is repeated in place."""
    if len(value) in (1, rows):
        return value
    if rows % len(value):
        raise ValueError(f"{what} has {len(value)} rows, the batch has {rows}")
    return value.repeat_interleave(rows // len(value), dim=0)


@dataclass
class Call:
    """One forward pass over tokens.

    Attributes:
        batch: rows.
        columns: columns of this pass; None for a network without tokens.
        past: columns that came in earlier passes and live in a cache.
        mask: (rows, past + columns) true for real tokens; None if there is no padding.
        width: the first so many columns of the sequence are the prompt as it was given.
        sequence: number of the sequence since the hooks were set; generating goes on with the same one.
    """

    batch: int
    columns: int | None = None
    past: int = 0
    mask: Tensor | None = None
    width: int = 0
    sequence: int = 0
    device: torch.device | None = None
    chosen: dict[int, Any] = field(default_factory=dict)

    def real(self) -> Tensor:
        """(rows, past + columns) true where a token is not padding."""
        if self.mask is None:
            return torch.ones(self.batch, self.past + (self.columns or 0), dtype=torch.bool, device=self.device)
        return repeat_rows(self.mask, self.batch, "the attention mask")

    def lengths(self, prompt: int | Tensor | None) -> Tensor:
        """(rows,) how many real tokens the prompt has."""
        if prompt is None:
            return self.real()[:, : self.width].sum(dim=1)
        counts = torch.as_tensor(prompt, device=self.device)
        return counts.expand(self.batch) if counts.ndim == 0 else repeat_rows(counts, self.batch, "prompt")


class Selector:
    """Positions, understood: which columns of a call they mean."""

    def __init__(self, positions: Positions, prompt: int | Tensor | None = None) -> None:
        self.positions = _checked(positions)
        self.prompt = prompt

    @property
    def shape(self) -> Literal["all", "one", "some", "flat"]:
        """What reading gives: whole columns, one token a row, the same number for each row, or tokens in a line."""
        if isinstance(self.positions, str):
            return {"all": "all", "prompt": "all", "last_prompt": "one", "decode": "flat"}[self.positions]  # type: ignore[return-value]
        if isinstance(self.positions, int):
            return "one"
        if isinstance(self.positions, Tensor):
            return "flat" if self.positions.dtype == torch.bool else "one"
        return "flat" if isinstance(self.positions, slice) else "some"

    def choose(self, call: Call) -> Tensor | bool:
        """(rows, columns) true for the chosen ones; True and False for all and none. Remembered for the call."""
        if id(self) not in call.chosen:
            call.chosen[id(self)] = self._choose(call)
        chosen: Tensor | bool = call.chosen[id(self)]
        return chosen

    def _choose(self, call: Call) -> Tensor | bool:
        at = self.positions
        if isinstance(at, str) and at == "all":
            return True
        if call.columns is None:
            if isinstance(at, Tensor) and at.dtype == torch.bool:
                return at.to(call.device)
            raise ValueError(f'positions={_say(at)} needs tokens, and this network was not called with any: use "all" or a mask')
        if isinstance(at, Tensor) and at.dtype == torch.bool:
            return self._masked(at, call)
        whole = self._by_column(call)
        return whole if whole is not None else self._by_token(call)

    def _by_column(self, call: Call) -> bool | None:
        """The answer, if it is the same for the whole call: the usual case while generating."""
        if self.prompt is not None or not isinstance(self.positions, str):
            return None
        after, within = call.past >= call.width, call.past + (call.columns or 0) <= call.width
        if self.positions == "last_prompt":
            return False if after else None
        if not (after or within):
            return None
        return within == (self.positions == "prompt")

    def _by_token(self, call: Call) -> Tensor:
        real = call.real()
        number = (real.cumsum(dim=1) - 1)[:, call.past :]
        return self._numbers(number, call.lengths(self.prompt)[:, None], call) & real[:, call.past :]

    def _numbers(self, number: Tensor, length: Tensor, call: Call) -> Tensor:
        """Chosen by token number (rows, columns); `length` (rows, 1) is that of the prompt."""
        at = self.positions
        if isinstance(at, str):
            return {"prompt": number < length, "decode": number >= length, "last_prompt": number == length - 1}[at]
        if isinstance(at, slice):
            start = _from_end(at.start or 0, length)
            inside = number >= start if at.stop is None else (number >= start) & (number < _from_end(at.stop, length))
            return inside & ((number - start) % (at.step or 1) == 0)
        wanted = self.wanted(call, length)
        return (number[:, :, None] == wanted[:, None, :]).any(dim=2)

    def wanted(self, call: Call, length: Tensor) -> Tensor:
        """(rows, k) token numbers, for positions that name them."""
        at = self.positions
        if at == "last_prompt":
            return length - 1
        if isinstance(at, Tensor):
            given = repeat_rows(at.to(length.device), call.batch, "positions")[:, None].expand(call.batch, 1)
        else:
            numbers = [at] if isinstance(at, int) else list(at)  # type: ignore[arg-type]
            given = torch.tensor(numbers, device=length.device).expand(call.batch, -1)
        wanted = torch.where(given < 0, given + length, given)
        if call.past == 0 and bool((wanted < 0).any()):
            row = int((wanted < 0).any(dim=1).nonzero()[0])
            raise ValueError(
                f"positions={_say(at)} counts back past the start: the prompt in row {row} has {int(length[row])} tokens"
            )
        return wanted

    def columns(self, call: Call) -> Tensor:
        """(rows, k) columns of this call that hold the wanted tokens; an error names a row that has no such token."""
        real = call.real()
        wanted = self.wanted(call, call.lengths(self.prompt)[:, None])
        number = (real.cumsum(dim=1) - 1)[:, call.past :]
        found = (number[:, None, :] == wanted[:, :, None]) & real[:, None, call.past :]
        if not bool(found.any(dim=2).all()):
            row = int((~found.any(dim=2)).any(dim=1).nonzero()[0])
            raise ValueError(f"positions={_say(self.positions)}: row {row} has {int(real[row].sum())} tokens")
        return found.to(torch.uint8).argmax(dim=2)

    def _masked(self, mask: Tensor, call: Call) -> Tensor | bool:
        mask = mask.to(call.device) if mask.ndim == 2 else mask.to(call.device)[None]
        width = mask.shape[1]
        if call.past == 0 and width != call.width:
            raise ValueError(f"the positions mask has {width} columns, the prompt has {call.width}")
        if call.past >= width:
            return False
        mask = repeat_rows(mask, call.batch, "the positions mask").expand(call.batch, width)
        here = mask[:, call.past : call.past + (call.columns or 0)]
        return torch.nn.functional.pad(here, (0, (call.columns or 0) - here.shape[1]))


def _from_end(end: int, length: Tensor) -> int | Tensor:
    return length + end if end < 0 else end


def _checked(positions: Positions) -> Positions:
    if isinstance(positions, str):
        if positions not in WORDS:
            raise ValueError(f"positions is one of {', '.join(WORDS)}, an index, a slice, a list or a mask, got {positions!r}")
        return positions
    if isinstance(positions, bool):
        raise TypeError(f"positions is a word, an index, a slice, a list or a mask, got {positions!r}")
    if isinstance(positions, Tensor) and positions.dtype != torch.bool:
        if positions.is_floating_point() or positions.ndim != 1:
            raise ValueError(
                "a positions tensor is bool (rows, columns), or whole numbers (rows,), one a row; "
                f"got {positions.dtype} {tuple(positions.shape)}"
            )
        return positions
    if isinstance(positions, slice) and positions.step is not None and positions.step < 1:
        raise ValueError(f"a slice of positions goes forward, got step {positions.step}")
    return positions


def _say(positions: Positions) -> str:
    return f"{positions.dtype} {tuple(positions.shape)}" if isinstance(positions, Tensor) else repr(positions)


def tokens_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    """The tensor that carries the tokens, (rows, columns, …), and the 2-D attention mask, from the arguments of a call.

    Integers (rows, columns) and vectors (rows, columns, width) are tokens; anything else has none.
    """
    mask = kwargs.get("attention_mask")
    given = [kwargs.get(name) for name in ("input_ids", "inputs_embeds")]
    if isinstance(kwargs.get("decoder_input_ids"), Tensor):
        given, mask = [kwargs["decoder_input_ids"]], kwargs.get("decoder_attention_mask")
    tensors = [value for value in (*given, *args, *kwargs.values()) if isinstance(value, Tensor)]
    mask = mask if isinstance(mask, Tensor) and mask.ndim == 2 else None
    return (tensors[0] if tensors else None), mask


def has_tokens(tensor: Tensor) -> bool:
    return tensor.ndim == 3 if tensor.is_floating_point() else tensor.ndim == 2
