"""Adapters: small matrices, trained beside a model, that change what it says."""
from __future__ import annotations

import os
from ctypes import byref, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _abi
from ._model import PathLike
from ._native import Closing, Handle, answer, lib

if TYPE_CHECKING:
    from ._engine import Engine


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter is; kind is "gguf" or "peft", fingerprint of all that it adds (calmoe/adapter.h)."""
    path: str
    name: str
    kind: str
    fingerprint: str
    n_changes: int
    rank: int
    alpha: float
    n_parameters: int
    n_bytes: int
    n_virtual_tokens: int  # of a prefix: positions before the first token; 0 = it is none


class Adapter(Closing):
    """An adapter (LoRA, or a prefix) of an engine, from a GGUF file or a folder by PEFT. Sessions use it: Session(adapters=…). One
    that is closed goes on for those that use it."""

    def __init__(self, engine: Engine, path: PathLike) -> None:
        pointer = c_void_p()
        engine.handle.context.check(lib.calmoe_adapter_open, engine.handle.pointer, os.fsencode(path), byref(pointer))
        self.engine = engine
        self._handle = Handle(engine.handle.context, pointer, lib.calmoe_adapter_close, engine.handle)
        engine._adapters.add(self)

    def __repr__(self) -> str:
        return f"<calmoe.Adapter, {self.info.path}>" if self._handle else "<calmoe.Adapter, closed>"

    @property
    def info(self) -> AdapterInfo:
        info = answer(_abi.calmoe_adapter_info)
        self.handle.context.check(lib.calmoe_adapter_get_info, self.handle.pointer, byref(info))
        return AdapterInfo(os.fsdecode(info.path), info.name.decode(errors="replace"), info.kind.decode(),
                           info.fingerprint.decode(), info.n_changes, info.rank, info.alpha, info.n_parameters,
                           info.n_bytes, info.n_virtual_tokens)
