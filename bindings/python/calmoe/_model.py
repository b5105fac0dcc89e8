"""A model file, and text as its tokens."""
from __future__ import annotations

import ctypes
import itertools
import logging
import os
from ctypes import byref, c_char_p, c_size_t, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional, Union
from weakref import WeakSet

from . import _abi
from ._native import Closing, Context, Handle, answer, lib, options, record

if TYPE_CHECKING:
    from ._engine import Engine

PathLike = Union[str, "os.PathLike[str]"]

_log = logging.getLogger("calmoe")


@dataclass(frozen=True)
class ModelInfo:
    """What a model is; the members are those of calmoe_model_info (calmoe/model.h), which explains them."""
    path: str
    name: str
    family: str
    tokenizer: str
    chat_format: str
    n_layers: int
    width: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    n_experts: int
    n_experts_used: int
    expert_width: int
    shared_width: int
    n_vocab: int
    context_length: int
    n_parameters: int
    n_active_parameters: int
    n_file_bytes: int
    fingerprint: str
    n_dense_layers: int
    dense_width: int
    n_attention_layers: int
    chat_problem: str
    n_kept_values: int


@dataclass(frozen=True)
class TensorInfo:
    name: str
    type: str
    shape: tuple[int, ...]  # the first dimension is contiguous
    n_bytes: int
    shard: int


class Model(Closing):
    """A model file; without a path, the embedded model. It never changes, and engines may share it."""

    def __init__(self, path: Optional[PathLike] = None, *, vocabulary_only: bool = False, contents_only: bool = False,
                 n_experts_used: Optional[int] = None, rope_scaling: Optional[str] = None,
                 rope_scale: Optional[float] = None, rope_base: Optional[float] = None,
                 yarn_original_context: Optional[int] = None, yarn_attn_factor: Optional[float] = None,
                 yarn_beta_fast: Optional[float] = None, yarn_beta_slow: Optional[float] = None,
                 log: Callable[[str], object] = _log.warning, **others: Any) -> None:
        """The keywords are the members of calmoe_model_options (calmoe/model.h), `others` those without a keyword of
        their own. log is told remarks, one sentence each."""
        given = options(_abi.calmoe_model_options, dict(
            vocabulary_only=vocabulary_only, contents_only=contents_only, n_experts_used=n_experts_used,
            rope_scaling=rope_scaling, rope_scale=rope_scale, rope_base=rope_base,
            yarn_original_context=yarn_original_context, yarn_attn_factor=yarn_attn_factor,
            yarn_beta_fast=yarn_beta_fast, yarn_beta_slow=yarn_beta_slow, **others))
        context = Context(log)
        pointer = c_void_p()
        context.check(lib.calmoe_model_open, context.handle.pointer, None if path is None else os.fsencode(path),
                      byref(given), byref(pointer))
        self._handle = Handle(context, pointer, lib.calmoe_model_close, context.handle)
        self._children: WeakSet[Closing] = WeakSet()
        info = answer(_abi.calmoe_model_info)
        context.check(lib.calmoe_model_get_info, self.handle.pointer, byref(info))
        self.info = record(ModelInfo, info)

    def __repr__(self) -> str:
        return f"<calmoe.Model {self.info.name or self.info.path!r}, {self.info.n_parameters / 1e6:.0f} M parameters>"

    def close(self) -> None:
        for child in list(self._children):
            child.close()
        super().close()

    def engine(self, **keywords: Any) -> Engine:
        """Engine(self, …)"""
        from ._engine import Engine  # it stands on this module, which only names it
        return Engine(self, **keywords)

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata as text, in file order; long values are shortened by "..."."""
        out = {}
        key, text = c_char_p(), ctypes.create_string_buffer(1 << 16)
        for i in range(1 << 32):
            status = self.handle.context.call(lib.calmoe_model_get_metadata, self.handle.pointer, i, byref(key), text,
                                              len(text))
            if status == _abi.CALMOE_END:
                break
            self.handle.context.raise_if(status)
            out[(key.value or b"").decode("utf-8", "replace")] = text.value.decode("utf-8", "replace")
        return out

    def tensors(self) -> Iterator[TensorInfo]:
        """The file's tensors, in file order."""
        for i in range(1 << 32):
            info = answer(_abi.calmoe_tensor_info)
            status = self.handle.context.call(lib.calmoe_model_get_tensor, self.handle.pointer, i, byref(info))
            if status == _abi.CALMOE_END:
                return
            self.handle.context.raise_if(status)
            yield TensorInfo(info.name.decode("utf-8", "replace"), info.type.decode(), tuple(info.shape[:info.n_dims]),
                             info.n_bytes, info.shard)

    def tokenize(self, text: Union[str, bytes], *, bos: bool = False, special: bool = False) -> list[int]:
        """Token ids. bos: begin with BOS (end with EOS) where the file says so. special: control tokens such as
        <|im_start|> are cut out of the text; without it they are plain text."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        flags = bos * _abi.CALMOE_TOKENIZE_BOS | special * _abi.CALMOE_TOKENIZE_SPECIAL
        n, capacity = c_size_t(), len(data) + 16
        while True:
            tokens = (ctypes.c_int32 * capacity)()
            status = self.handle.context.call(lib.calmoe_tokenize, self.handle.context.handle.pointer,
                                              self.handle.pointer, data, len(data), flags, tokens, capacity, byref(n))
            if status != _abi.CALMOE_FULL or n.value <= capacity:
                self.handle.context.raise_if(status)
                return tokens[:n.value]
            capacity = n.value

    def token_bytes(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of one token, maybe half a character; b"" for control tokens, unless special."""
        n = c_size_t()
        start = lib.calmoe_token_bytes(self.handle.pointer, token, special, byref(n))
        return bytes(ctypes.string_at(start, n.value)) if n.value else b""

    def detokenize(self, tokens: Iterable[int], *, special: bool = False) -> str:
        """Their text; what is no UTF-8 becomes U+FFFD."""
        return b"".join(self.token_bytes(token, special=special) for token in tokens).decode("utf-8", "replace")

    def ends_answer(self, token: int) -> bool:
        """Is it an end of sequence or of a turn?"""
        return bool(lib.calmoe_token_ends(self.handle.pointer, token))

    def text_of(self, tokens: Iterable[int]) -> Iterator[str]:
        """Tokens in, text out as it comes: whole characters, never half of one."""
        stream = _abi.calmoe_text_stream()
        text = ctypes.create_string_buffer(1024)
        for token in itertools.chain(tokens, (-1,)):  # -1: the end
            while lib.calmoe_text_stream_put(self.handle.pointer, byref(stream), token, text,
                                             len(text)) == _abi.CALMOE_FULL:
                text = ctypes.create_string_buffer(2 * len(text))
            if text.value:
                yield text.value.decode("utf-8", "replace")


def chat_formats() -> list[str]:
    """The names that Session's chat_format may be."""
    out: list[str] = []
    while True:
        name = lib.calmoe_chat_format_name(len(out))
        if name is None:
            return out
        out.append(name.decode())
