"""Hooks: what passes a place is shown to a function, which may return something else. All of them go when the context ends.

A visit gets the site's tensor, (rows, columns, *features) where there are tokens, and the call it is part of.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .positions import Call, has_tokens, tokens_of
from .structure import Place

__all__ = ["Tracker", "Visit", "attach", "call_of", "first_tensor"]

# (tensor, call, does it have tokens) → another tensor, or None to leave it.
Visit = Callable[[Tensor, Call, bool], Tensor | None]
Through = Callable[[Tensor], Tensor | None]
PATTERN = "pressrun_pattern"


class Tracker:
    """Knows, while hooks are set, what the columns of the forward pass under way are."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.call: Call | None = None
        self.editing = 0
        self._users = 0
        self._undo = ExitStack()
        self._sequences = 0
        self._prompt: tuple[int, Tensor | None] | None = None
        self._generating = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._users += 1
        try:
            if self._users == 1:
                self._prompt = self.call = None
                self._leave_compiled()
                hook = self.module.register_forward_pre_hook(self._begin, with_kwargs=True, prepend=True)
                self._undo.callback(hook.remove)
                self._follow_generate()
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._undo.close()

    def _leave_compiled(self) -> None:
        """What was compiled before does not look for hooks again: while there are some, it runs as it was written."""
        if "torch._dynamo" in sys.modules:
            self._undo.enter_context(torch.compiler.set_stance("force_eager"))

    def _follow_generate(self) -> None:
        """While hooks are set, `module.generate` says what the prompt was; without a cache nothing else does."""
        generate = getattr(self.module, "generate", None)
        if generate is None:
            return

        def followed(*args: Any, **kwargs: Any) -> Any:
            tokens, mask = tokens_of(args, {**kwargs, **({"input_ids": kwargs["inputs"]} if "inputs" in kwargs else {})})
            encodes = bool(getattr(getattr(self.module, "config", None), "is_encoder_decoder", False))
            start = kwargs.get("decoder_input_ids") if encodes else tokens
            self._prompt = (start.shape[1], None if encodes else mask) if isinstance(start, Tensor) else (1, None)
            self._sequences += 1
            self._generating = True
            try:
                return generate(*args, **kwargs)
            finally:
                self._generating, self._prompt = False, None

        own = vars(self.module).get("generate")
        self.module.generate = followed  # type: ignore[assignment]
        self._undo.callback(self._restore_generate, own)

    def _restore_generate(self, own: Any) -> None:
        if own is None:
            del self.module.generate
        else:
            self.module.generate = own

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = call_of(args, kwargs)
        if call.columns is not None:
            call.past = _past(kwargs.get("past_key_values"))
            if not self._generating and call.past == 0:
                self._prompt = (call.columns, call.mask)
                self._sequences += 1
            call.width, first = self._prompt if self._prompt is not None else (call.past, None)
            call.sequence = self._sequences
            if call.mask is None or call.mask.shape[1] != call.past + call.columns:
                call.mask = _extended(first, call.past + call.columns)
        self.call = call


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """The columns of a call with these arguments, all of them prompt."""
    tokens, mask = tokens_of(args, kwargs)
    if tokens is None or not has_tokens(tokens):
        return Call(len(tokens) if tokens is not None and tokens.ndim else 0, device=getattr(tokens, "device", None))
    rows, columns = tokens.shape[:2]
    return Call(rows, columns, mask=mask.bool() if mask is not None else None, width=columns, device=tokens.device)


def _past(cache: Any) -> int:
    """Columns already in a key-value cache."""
    return int(cache.get_seq_length()) if hasattr(cache, "get_seq_length") else 0


def _extended(mask: Tensor | None, columns: int) -> Tensor | None:
    """The prompt's mask, with every later column real."""
    if mask is None or mask.shape[1] > columns:
        return None
    return functional.pad(mask.bool(), (0, columns - mask.shape[1]), value=True)


@contextmanager
def attach(tracker: Tracker, visits: list[tuple[Place, Visit]]) -> Iterator[None]:
    """Set the hooks, in the order given; remove them all, whatever happens."""
    with ExitStack() as undo:
        undo.enter_context(tracker())
        patterns = [place for place, _ in visits if place.how == "pattern"]
        if patterns:
            undo.enter_context(_showing_patterns(tracker.module, patterns))
        for place, visit in visits:
            undo.callback(_hook(place, _through(place, tracker, visit)))
        yield


def _through(place: Place, tracker: Tracker, visit: Visit) -> Through:
    """From the tensor in the module to the site's and back."""

    def through(x: Tensor) -> Tensor | None:
        call = tracker.call
        if call is None:
            call = Call(len(x), device=x.device)
        shaped, call, tokens = _arranged(x, call, place)
        part = place.get(shaped)
        new = visit(part, call, tokens)
        return None if new is None or new is part else place.put(shaped, new).reshape(x.shape)

    return through


def _arranged(x: Tensor, call: Call, place: Place) -> tuple[Tensor, Call, bool]:
    """x as (rows, columns, …) where it has tokens. Inside mixtures of experts rows and columns are one axis."""
    if call.columns is None:
        if place.site.path or x.ndim < 3 or place.site.kind == "logits":
            return x, call, False
        return x, Call(len(x), x.shape[1], width=x.shape[1], device=x.device), True
    if x.ndim == 2 and call.batch * call.columns == len(x):
        return x.unflatten(0, (call.batch, call.columns)), call, True
    narrower = place.site.kind == "logits" and x.ndim == 3 and x.shape[1] <= call.columns
    named = bool(place.site.path) or place.site.kind == "logits"
    whole = x.ndim >= 2 and x.shape[:2] == (call.batch, call.columns) and (x.ndim == 3 or not named)
    return x, call, whole or narrower


def _hook(place: Place, through: Through) -> Callable[[], None]:
    """Register; return what removes it."""
    module = place.module
    if place.how == "output":
        return module.register_forward_hook(lambda _, __, output: _on_output(output, through)).remove
    if place.how == "input":
        hook = module.register_forward_pre_hook(lambda _, args, kwargs: _on_input(args, kwargs, through), with_kwargs=True)
        return hook.remove
    if place.how == "router":
        return module.register_forward_hook(lambda router, args, output: _on_router(router, args, output, through)).remove
    if place.how == "expert":
        hook = module.register_forward_pre_hook(
            lambda experts, args, kwargs: _on_experts(experts, args, kwargs, through), with_kwargs=True
        )
        return hook.remove
    visits = _patterns.setdefault(module, [])
    visits.append(through)
    return lambda: visits.remove(through)


def _on_output(output: Any, through: Through) -> Any:
    if isinstance(output, Tensor):
        return through(output)
    key = _main(output)
    new = through(output[key])
    if new is None:
        return None
    if isinstance(output, tuple):
        return (*output[:key], new, *output[key + 1 :])
    return type(output)(**{**output, key: new})


def first_tensor(output: Any) -> Tensor:
    """The tensor meant in what a module returns: itself, the logits, or the first."""
    found: Tensor = output if isinstance(output, Tensor) else output[_main(output)]
    return found


def _main(output: Any) -> Any:
    """Key of the tensor meant in an output that is a tuple or a mapping."""
    if isinstance(output, tuple | list):
        return next(number for number, value in enumerate(output) if isinstance(value, Tensor))
    for name in ("logits", "last_hidden_state"):
        if isinstance(output.get(name), Tensor):
            return name
    return next(name for name, value in output.items() if isinstance(value, Tensor))


def _on_input(args: tuple[Any, ...], kwargs: dict[str, Any], through: Through) -> tuple[Any, ...] | None:
    for number, value in enumerate(args):
        if isinstance(value, Tensor):
            new = through(value)
            return None if new is None else ((*args[:number], new, *args[number + 1 :]), kwargs)
    for name, value in kwargs.items():
        if isinstance(value, Tensor):
            new = through(value)
            return None if new is None else (args, {**kwargs, name: new})
    return None


class _Instead(TorchFunctionMode):
    """The first call of one torch function gives what `change` makes of its result."""

    def __init__(self, function: Callable[..., Tensor], change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function, self.change, self.done = function, change, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is self.function and not self.done:
            self.done = True
            return self.change(result)
        return result


def _on_router(router: nn.Module, args: tuple[Any, ...], output: Any, through: Through) -> Any:
    """Edited logits have to choose again: the router runs once more with them in place of its own."""
    if isinstance(output, Tensor):
        return through(output)
    new = through(output[0])
    if new is None:
        return None
    with _Instead(functional.linear, lambda logits: new.reshape(logits.shape).to(logits.dtype)):
        again = router.forward(*args)
    if again[0].shape != new.shape or not torch.equal(again[0].detach(), new.detach()):
        raise ValueError(
            f"{type(router).__name__} does not choose from the logits it returns, so they cannot be edited; edit act.expert"
        )
    return again


def _on_experts(experts: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], through: Through) -> tuple[Any, ...] | None:
    """Gates as (tokens, experts), 0 where an expert was not chosen. Newly opened ones are run beside the chosen."""
    tensors: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
    at, indices = next((k, v) for k, v in tensors.items() if isinstance(v, Tensor) and not v.is_floating_point())
    by, weights = next(
        (k, v) for k, v in tensors.items() if isinstance(v, Tensor) and v is not indices and v.shape == indices.shape
    )
    count = getattr(experts, "num_experts", None) or len(list(experts.children()))
    gates = weights.new_zeros(len(weights), count).scatter(1, indices, weights)
    new = through(gates)
    if new is None:
        return None
    others = new.scatter(1, indices, 0.0)
    opened = int((others != 0).sum(dim=1).max())
    # Where a token opens fewer than another, the rest have gate 0.
    more = others.detach().abs().topk(opened, dim=1).indices
    tensors[at] = torch.cat([indices, more.to(indices.dtype)], dim=1)
    tensors[by] = torch.cat([new.gather(1, indices), others.gather(1, more)], dim=1)
    return tuple(tensors[number] for number in range(len(args))), {name: tensors[name] for name in kwargs}


_patterns: WeakKeyDictionary[nn.Module, list[Through]] = WeakKeyDictionary()


@contextmanager
def _showing_patterns(root: nn.Module, places: list[Place]) -> Iterator[None]:
    """Attention that computes its weights (eager), for the time of the context, so that there is something to see."""
    configs: dict[int, Any] = {}
    for place in places:
        own = getattr(place.module, "config", None)
        if not hasattr(own, "_attn_implementation") or _eager(place.module) is None:
            raise ValueError(
                f"{place.site}: {type(place.module).__name__} is not an attention of transformers whose weights can be shown; "
                'name the module that computes them: act.module("…")'
            )
        for part in (root, *root.modules()):
            config = getattr(part, "config", None)
            if type(config) is type(own):
                configs[id(config)] = config
    _register_pattern_attention()
    before = [(config, config._attn_implementation) for config in configs.values()]
    try:
        for config, _ in before:
            config._attn_implementation_internal = PATTERN
        yield
    finally:
        for config, name in before:
            config._attn_implementation_internal = name


def _eager(attention: nn.Module) -> Callable[..., tuple[Tensor, Tensor]] | None:
    return getattr(sys.modules[type(attention).__module__], "eager_attention_forward", None)


def _register_pattern_attention() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if PATTERN not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(PATTERN, _pattern_attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(PATTERN, ALL_MASK_ATTENTION_FUNCTIONS["eager"])


def _pattern_attention(module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The family's own eager attention; its weights, (rows, heads, queries, keys), pass the visits of this module."""
    eager = _eager(module)
    assert eager is not None  # noqa: S101

    def shown(weights: Tensor) -> Tensor:
        for through in list(_patterns.get(module, ())):
            new = through(weights.transpose(1, 2))
            weights = weights if new is None else new.transpose(1, 2)
        return weights

    with _Instead(functional.softmax, shown):
        return eager(module, *args, **kwargs)
