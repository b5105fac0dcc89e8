"""What answers may leave out."""
from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional, Sequence

from . import _abi
from ._model import Model, PathLike
from ._native import Closing, Handle, answer, lib, options

if TYPE_CHECKING:
    from ._engine import Engine


@dataclass(frozen=True)
class Rung:
    """With confidence 1 - epsilon, the risk (the mean of `loss`) is at most delta, where is_proven."""
    is_proven: bool
    delta: float
    epsilon: float
    loss: str
    p_value: str
    p: float
    n_prompts: int
    exit_layers: tuple[int, ...]
    k_tail: Optional[int]
    has_width: bool
    member: int        #: of n_members that are proven for the same delta, from 1 on
    n_members: int
    is_taken: bool     #: of these
    cost: float        #: of a token against the full model, by the costs that it was chosen by; 0 = not known


class Policy(Closing):
    """A ladder of rungs, from the safest on: what a session's answers may leave out (calmoe/policy.h)."""

    def __init__(self, model: Model, path: Optional[PathLike] = None) -> None:
        """Reads a policy file; without a path, the one beside the model's file (NAME.policy.json)."""
        if path is None:
            path = os.path.splitext(model.info.path)[0] + ".policy.json"
        pointer = c_void_p()
        model.handle.context.check(lib.calmoe_policy_open, model.handle.pointer, os.fsencode(path), byref(pointer))
        self._own(model, pointer)

    def _own(self, model: Model, pointer: c_void_p) -> None:
        self._handle = Handle(model.handle.context, pointer, lib.calmoe_policy_close, model.handle)
        model._children.add(self)

    @classmethod
    def make(cls, model: Model, *, measure: Optional[str] = None, threshold: Optional[float] = None,
             exit_layers: Optional[Sequence[int]] = None, schedule: Optional[str] = None, tau: Optional[float] = None,
             length: Optional[int] = None, k_tail: Optional[int] = None, width: Optional[str] = None,
             width_bound: Optional[float] = None, width_k: Optional[int] = None, kv_fill: Optional[str] = None,
             max_pending: Optional[int] = None) -> Policy:
        """A policy of one rung of which nothing is proven; the keywords are those of calmoe_policy_options."""
        layers = None if exit_layers is None else (ctypes.c_int * len(exit_layers))(*exit_layers)
        given = options(_abi.calmoe_policy_options, dict(
            measure=measure, threshold=threshold, exit_layers=layers, n_exits=None if layers is None else len(layers),
            schedule=schedule, tau=tau, length=length, k_tail=k_tail, width=width, width_bound=width_bound,
            width_k=width_k, kv_fill=kv_fill, max_pending=max_pending))
        pointer = c_void_p()
        model.handle.context.check(lib.calmoe_policy_make, model.handle.pointer, byref(given), byref(pointer))
        made = cls.__new__(cls)
        made._own(model, pointer)
        return made

    def save(self, path: PathLike) -> None:
        """Writes the file of a proven policy."""
        self.handle.context.check(lib.calmoe_policy_save, self.handle.pointer, os.fsencode(path))

    def choose(self, engine: Engine, costs: Optional[PathLike] = None) -> None:
        """Of the policies proven for a bound takes the cheapest on the engine: by time, "bytes" or a costs file. Before
        sessions are opened."""
        path = None if costs is None else os.fsencode(costs)
        self.handle.context.check(lib.calmoe_policy_choose, self.handle.pointer, engine.handle.pointer, path)

    def fix(self, quality: float, member: int) -> None:
        """Of those proven for the largest delta up to quality takes this one, from 1 on."""
        self.handle.context.check(lib.calmoe_policy_fix, self.handle.pointer, quality, member)

    @property
    def rungs(self) -> list[Rung]:
        out = []
        for i in range(lib.calmoe_policy_n_rungs(self.handle.pointer)):
            info = answer(_abi.calmoe_rung_info)
            self.handle.context.check(lib.calmoe_policy_get_rung, self.handle.pointer, i, byref(info))
            out.append(Rung(bool(info.is_proven), info.delta, info.epsilon, info.loss.decode(), info.p_value.decode(),
                            info.p, info.n_prompts, tuple(info.exit_layers[:info.n_exits]),
                            None if info.k_tail < 0 else info.k_tail, bool(info.has_width),
                            info.member, info.n_members, bool(info.is_taken), info.cost))
        return out
