"""Inside the model: read, edit and patch what passes any place of any network, with nothing copied or rewritten.

    from pressrun.methods import activations as act

    lm = act.load("smollm2")
    seen = lm.read(["The capital of France is"], act.residual[3:9] | act.head[4, 2], positions="last_prompt")
    with lm.edit(act.residual[12].add(v, strength=0.5, positions="decode")):
        lm.module.generate(**lm.inputs(["The film was"]))

Sites say where (sites.py), positions which tokens (positions.py), edits what becomes of it (edits.py). A network's own
structure says which module and which part of its tensor that is (structure.py). Tensors are (rows, columns, *features).
"""

from __future__ import annotations

from .collect import Collected, open_collected
from .edges import Edge
from .edits import Edit
from .loading import load
from .model import Model, patch
from .reading import Activations
from .sites import (
    Site,
    Sites,
    attention,
    embeddings,
    expert,
    head,
    key,
    logits,
    mlp,
    module,
    neuron,
    pattern,
    query,
    residual,
    router,
    value,
)
from .structure import Family

__all__ = [
    "Activations",
    "Collected",
    "Edge",
    "Edit",
    "Family",
    "Model",
    "Site",
    "Sites",
    "attention",
    "embeddings",
    "expert",
    "head",
    "key",
    "load",
    "logits",
    "mlp",
    "module",
    "neuron",
    "open_collected",
    "patch",
    "pattern",
    "query",
    "residual",
    "router",
    "value",
]
