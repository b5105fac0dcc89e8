"""How experts are used, counted by an engine that was opened with profile=True."""
from __future__ import annotations

import os
from ctypes import byref, c_double, c_int, c_void_p
from dataclasses import dataclass
from typing import Optional, Union

from . import _abi
from ._model import Model, PathLike
from ._native import Closing, Context, Handle, answer, lib, record, texts_of


@dataclass(frozen=True)
class ProfileInfo:
    fingerprint: str
    n_layers: int
    n_experts: int
    n_used: int
    n_domains: int


@dataclass(frozen=True)
class Domain:
    """Counts of one domain of text (calmoe_profile_domain): a tuple for each layer."""
    name: str
    n_tokens: int
    tokens: tuple[tuple[int, ...], ...]     # (n_layers, n_experts): tokens that took the expert
    weights: tuple[tuple[float, ...], ...]  # (n_layers, n_experts): sum of what they weighed it
    reuse: tuple[tuple[int, ...], ...]      # (n_layers, 16): how long ago the expert was last used
    exits: tuple[int, ...]                  # (n_layers): tokens that left after the layer
    used: tuple[int, ...]                   # (n_used + 1): (token, layer) pairs that took 0, 1, 2 … experts


@dataclass(frozen=True)
class ExpertLoad:
    peak: float
    gini: float
    entropy: float
    n_dead: int
    busiest: int


@dataclass(frozen=True)
class Specialist:
    layer: int
    expert: int
    share: float
    lift: float
    bits: float


class Profile(Closing):
    """Which experts texts use, by domain (calmoe/profile.h)."""

    def __init__(self, model: Model, path: PathLike) -> None:
        """Reads a file."""
        pointer = c_void_p()
        context = model.handle.context
        context.check(lib.calmoe_profile_open, context.handle.pointer, os.fsencode(path), byref(pointer))
        self._own(context, pointer)

    def _own(self, context: Context, pointer: c_void_p) -> None:
        self._handle = Handle(context, pointer, lib.calmoe_profile_close, context.handle)

    @classmethod
    def _of(cls, context: Context, pointer: c_void_p) -> Profile:
        made = cls.__new__(cls)
        made._own(context, pointer)
        return made

    @property
    def info(self) -> ProfileInfo:
        info = answer(_abi.calmoe_profile_info)
        self.handle.context.check(lib.calmoe_profile_get_info, self.handle.pointer, byref(info))
        return record(ProfileInfo, info)

    @property
    def domains(self) -> list[Domain]:
        info, out = self.info, []
        for i in range(info.n_domains):
            domain = answer(_abi.calmoe_profile_domain)
            self.handle.context.check(lib.calmoe_profile_get_domain, self.handle.pointer, i, byref(domain))

            def rows(numbers, n: int):  # type: ignore[no-untyped-def]
                return tuple(tuple(numbers[layer * n:(layer + 1) * n]) for layer in range(info.n_layers))

            out.append(Domain(domain.name.decode("utf-8", "replace"), domain.n_tokens,
                              rows(domain.tokens, info.n_experts), rows(domain.weights, info.n_experts),
                              rows(domain.reuse, _abi.CALMOE_REUSE_BINS), tuple(domain.exits[:info.n_layers]),
                              tuple(domain.used[:info.n_used + 1])))
        return out

    def _index(self, domain: Union[str, int, None]) -> int:
        """-1: all of them together."""
        if domain is None:
            return -1
        if isinstance(domain, int):
            return domain
        names = [each.name for each in self.domains]
        if domain not in names:
            raise KeyError(f"the profile has no domain {domain!r}; it has {', '.join(map(repr, names))}")
        return names.index(domain)

    def load(self, layer: int, domain: Union[str, int, None] = None) -> ExpertLoad:
        """How evenly the experts of a layer are used; None: by all domains together."""
        load = answer(_abi.calmoe_expert_load)
        self.handle.context.check(lib.calmoe_profile_get_load, self.handle.pointer, self._index(domain), layer,
                                  byref(load))
        return record(ExpertLoad, load)

    def similarity(self, domain: Union[str, int], other: Union[str, int], layer: Optional[int] = None) -> float:
        """Cosine of the counts of two domains; None: the mean over layers."""
        cosine = c_double()
        self.handle.context.check(lib.calmoe_profile_get_similarity, self.handle.pointer, self._index(domain),
                                  self._index(other), -1 if layer is None else layer, byref(cosine))
        return cosine.value

    def specialists(self, domain: Union[str, int], n: int = 10) -> list[Specialist]:
        """The experts that tell the domain from the others, best first."""
        found = c_int()
        array = (_abi.calmoe_specialist * n)()
        self.handle.context.check(lib.calmoe_profile_get_specialists, self.handle.pointer, self._index(domain), array,
                                  n, byref(found))
        return [record(Specialist, array[i]) for i in range(found.value)]

    def merge(self, more: Profile) -> None:
        """Adds the counts of another profile of the same model."""
        self.handle.context.check(lib.calmoe_profile_merge, self.handle.pointer, more.handle.pointer)

    def write(self, path: PathLike) -> None:
        self.handle.context.check(lib.calmoe_profile_write, self.handle.pointer, os.fsencode(path))

    def exposition(self) -> str:
        """All but pairs in Prometheus' exposition format."""
        return texts_of(self.handle.context, lib.calmoe_profile_get_text, self.handle.pointer)
