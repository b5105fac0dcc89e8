"""A model made ready to run, and batches of sessions."""
from __future__ import annotations

import ctypes
import dataclasses
import weakref
from ctypes import byref, c_double, c_int, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Callable, Iterator, NamedTuple, Optional, Sequence
from weakref import WeakSet, WeakValueDictionary

from . import _abi
from ._adapter import Adapter
from ._model import Model, PathLike
from ._native import Closing, Handle, answer, failure, int_array, interrupts, lib, options, record, texts_of
from ._profile import Profile
from ._session import Session, choice

LOGITS = {"none": _abi.CALMOE_LOGITS_NONE, "last": _abi.CALMOE_LOGITS_LAST, "all": _abi.CALMOE_LOGITS_ALL}


class RoutingEvent(NamedTuple):
    """One token's routing in one layer, best expert first; no experts in a dense layer, which all tokens run whole."""
    session: Optional[Session]
    layer: int
    position: int
    token: int
    experts: tuple[int, ...]
    weights: tuple[float, ...]


class Chunk(NamedTuple):
    """A run of tokens of one session; logits: "none", "last" or "all" of them."""
    session: Session
    tokens: Sequence[int]
    logits: str = "last"


class Event(NamedTuple):
    """What a step of Engine.run() brought to a session: a token, or why there is none: "end" (token: what ended the
    answer, if a token did), "full", "not_finite", "cancelled"."""
    session: Session
    token: Optional[int]
    status: str = "ok"


@dataclass(frozen=True)
class Stats:
    """What an engine did; the members are those of calmoe_stats (calmoe/stats.h)."""
    n_steps: int
    n_rows: int
    n_layers_run: int
    n_experts_run: int
    step_seconds: float
    wait_share: float
    n_packed_bytes: int
    n_threads: int
    n_nodes: int
    isa: str
    imbalance: float
    n_weight_bytes: int
    n_experts_touched: int
    node_bytes: tuple[int, ...]
    n_remote_bytes: int
    n_exits: int
    mean_threads: float
    n_thread_changes: int


class Engine(Closing):
    """Weights packed, threads pinned, memory in place: steps a batch of rows from many sessions at once. It serves one
    thread at a time; others wait."""

    def __init__(self, model: Model, *, threads: Optional[int] = None, pin_threads: Optional[bool] = None,
                 isa: Optional[str] = None, plan: Optional[PathLike] = None, max_rows: Optional[int] = None,
                 kv_float32: bool = False, profile: bool = False, exits: Optional[PathLike] = None,
                 fixed_threads: bool = False, draft_model: Optional[Model] = None,
                 routing: Optional[Callable[[RoutingEvent], object]] = None,
                 progress: Optional[Callable[[float], object]] = None, **others: Any) -> None:
        """The keywords are the members of calmoe_engine_options (calmoe/engine.h), threads its n_threads, `others`
        those without a keyword of their own. routing sees every routing decision while
        a step runs; progress is told fractions while weights are packed. What they raise goes to the caller of the
        step, which is undone."""
        given = options(_abi.calmoe_engine_options, dict(
            n_threads=threads, pin_threads=pin_threads, isa=isa, plan=plan, max_rows=max_rows, kv_float32=kv_float32,
            profile=profile, exits=exits, fixed_threads=fixed_threads,
            draft_model=None if draft_model is None else draft_model.handle.pointer, **others))
        self.model = model
        self._sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
        self._adapters: WeakSet[Adapter] = WeakSet()
        self._stepping: Sequence[int] = ()  # the sessions of the present step
        self._lent: list[tuple[weakref.ref[Any], weakref.ref[Any]]] = []  # views of logits, and their memory
        context = model.handle.context
        if routing is not None:
            given.routing = self._routing_callback(routing)
        if progress is not None:
            given.progress = self._progress_callback(progress)
        pointer = c_void_p()
        context.check(lib.calmoe_engine_open, model.handle.pointer, byref(given), byref(pointer))
        self._handle = Handle(context, pointer, lib.calmoe_engine_close, model.handle, given, draft_model)
        for each in (model, draft_model):
            if each is not None:
                each._children.add(self)

    def _routing_callback(self, routing: Callable[[RoutingEvent], object]) -> Any:
        myself = weakref.ref(self)  # a callback must not keep its engine alive

        def see(_user: Any, event: Any) -> None:
            engine = myself()
            if engine is None or engine.model.handle.context.problem is not None:
                return
            told = event.contents
            try:
                routing(RoutingEvent(engine._sessions.get(told.session), told.layer, told.position, told.token,
                                     tuple(told.experts[:told.n]), tuple(told.weights[:told.n])))
            except BaseException as problem:
                engine.model.handle.context.problem = problem
                for session in engine._stepping:
                    lib.calmoe_session_interrupt(session)

        return _abi.calmoe_routing_fn(see)

    def _progress_callback(self, progress: Callable[[float], object]) -> Any:
        context = self.model.handle.context

        def see(_user: Any, fraction: float) -> int:
            try:
                progress(fraction)
                return 0
            except BaseException as problem:
                context.problem = problem
                return 1

        return _abi.calmoe_progress_fn(see)

    def close(self) -> None:
        for session in list(self._sessions.values()):
            session.close()
        for adapter in list(self._adapters):
            adapter.close()
        super().close()

    # ---- one answer, many answers

    def session(self, **keywords: Any) -> Session:
        """Session(self, …)"""
        return Session(self, **keywords)

    def adapter(self, path: PathLike) -> Adapter:
        """Adapter(self, path)"""
        return Adapter(self, path)

    def restore(self, path: PathLike, **keywords: Any) -> Session:
        """A session with what Session.save() wrote; nothing is read again."""
        return Session(self, restore=path, **keywords)

    def stream(self, prompt: str, *, chat: bool = False, system: Optional[str] = None,
               **keywords: Any) -> Iterator[str]:
        """The text that follows the prompt, as it comes; chat: what answers it as a user's turn. The other keywords
        are those of Session."""
        with self.session(**keywords) as session:
            _feed(session, prompt, chat, system)
            yield from session.stream()

    def generate(self, prompt: str, **keywords: Any) -> str:
        """The same in one piece."""
        return "".join(self.stream(prompt, **keywords))

    def batch(self, prompts: Sequence[str], *, chat: bool = False, system: Optional[str] = None,
              **keywords: Any) -> list[str]:
        """What follows each prompt, all of them in one batch: weights are read once for all. A prompt's text is the
        same as if it were alone. Sessions that have something left to do run along."""
        sessions = []
        try:
            for prompt in prompts:
                sessions.append(self.session(**keywords))
                _feed(sessions[-1], prompt, chat, system)
            tokens: dict[Session, list[int]] = {session: [] for session in sessions}
            for event in self.run():
                if event.session not in tokens:
                    continue
                if event.status == "ok":
                    tokens[event.session].append(event.token)  # type: ignore[arg-type]
                elif event.status != "end":
                    raise failure(getattr(_abi, f"CALMOE_{event.status.upper()}"), "")
            return ["".join(self.model.text_of(tokens[session])) for session in sessions]
        finally:
            for session in sessions:
                session.close()

    def run(self) -> Iterator[Event]:
        """Steps all sessions that have something to do until none has, and tells each token."""
        while True:
            events = self.next()
            if not events:
                return
            yield from events

    def next(self) -> list[Event]:
        """One step with a piece of work of every session, and what it brought; [] when none has work left."""
        told: list[Event] = []
        while not told:
            sessions, context = list(self._sessions.values()), self.handle.context
            events = (_abi.calmoe_event * max(1, len(sessions)))()
            n = c_int()
            status = self._run(sessions, lib.calmoe_engine_next, self.handle.pointer, events, len(events), byref(n))
            if status == _abi.CALMOE_END:
                return []
            context.raise_if(status)
            for event in events[:n.value]:
                session = self._sessions.get(event.session)
                if session is None or event.status == _abi.CALMOE_CANCELLED and session._go_on():
                    continue
                session._has_ended = event.status != _abi.CALMOE_OK
                token = event.token if event.token >= 0 else None
                told.append(Event(session, token, lib.calmoe_status_name(event.status).decode().lower()))
        return told

    def set_step_rows(self, n: int) -> None:
        """Steps take at most n tokens of texts that are fed, so that a long one holds up answers no longer; 0 = all."""
        self.handle.context.check(lib.calmoe_engine_set_step_rows, self.handle.pointer, n)

    def step(self, chunks: Sequence[Chunk]) -> None:
        """Runs the tokens of all chunks through the model in one batch; Session.logits() has what came of it."""
        array = (_abi.calmoe_chunk * len(chunks))()
        kept = [int_array(tokens) for _, tokens, _ in chunks]
        for at, (session, tokens, logits) in zip(array, chunks):
            at.session, at.n_tokens, at.logits = session.handle.pointer, len(tokens), choice(LOGITS, "logits", logits)
        for at, tokens in zip(array, kept):
            at.tokens = ctypes.cast(tokens, ctypes.POINTER(ctypes.c_int32))
        context = self.handle.context
        status = self._run([chunk[0] for chunk in chunks], lib.calmoe_engine_step, self.handle.pointer, array,
                           len(chunks))
        context.raise_if(status)

    def _run(self, sessions: Sequence[Session], function: Any, *arguments: Any) -> int:
        """A call that steps these sessions. Where a signal interrupted them and its handler raised nothing, it is
        called again: that reads on, with the same bits."""
        self._take_back_logits()
        context = self.handle.context
        self._stepping = [session.handle.pointer for session in sessions]
        while True:
            try:
                status = context.call(interrupts.run, self._stepping, function, *arguments)
            except BaseException:
                for session in sessions:
                    session._go_on()
                raise
            if status != _abi.CALMOE_CANCELLED or not all([session._go_on() for session in sessions]):
                return int(status)

    def _take_back_logits(self) -> None:
        """Views of logits end here: the memory is about to change."""
        while self._lent:
            view, memory = self._lent[-1]
            lent = view()
            if lent is not None:
                try:
                    lent.release()
                except BufferError:
                    pass
            if memory() is not None:
                raise BufferError("logits of an earlier step are still held, by an array of numpy's or a slice; copy "
                                  "them (numpy.array(view)) or drop it before the engine's next step")
            self._lent.pop()

    # ---- what it did

    @property
    def stats(self) -> Stats:
        filled = answer(_abi.calmoe_stats)
        self.handle.context.check(lib.calmoe_engine_get_stats, self.handle.pointer, byref(filled))
        stats = record(Stats, filled)
        return dataclasses.replace(stats, node_bytes=stats.node_bytes[:stats.n_nodes])

    def reset_stats(self) -> None:
        self.handle.context.call(lib.calmoe_engine_reset_stats, self.handle.pointer)

    def stats_exposition(self) -> str:
        """The statistics in Prometheus' exposition format."""
        return texts_of(self.handle.context, lib.calmoe_engine_get_stats_text, self.handle.pointer)

    def phases(self) -> dict[str, float]:
        """Seconds by part of a step, mean over threads."""
        seconds = (c_double * _abi.CALMOE_N_PHASES)()
        self.handle.context.check(lib.calmoe_engine_get_phases, self.handle.pointer, seconds, len(seconds))
        return {lib.calmoe_phase_name(phase).decode(): value for phase, value in enumerate(seconds)}

    def exit_counts(self) -> list[int]:
        """Element i: tokens that left after i layers."""
        counts = (c_uint64 * self.model.info.n_layers)()
        self.handle.context.check(lib.calmoe_engine_get_exit_counts, self.handle.pointer, counts, len(counts))
        return list(counts)

    def expert_counts(self, layer: int) -> list[int]:
        """Element e: tokens that expert e of the layer got."""
        counts = (c_uint64 * self.model.info.n_experts)()
        self.handle.context.check(lib.calmoe_engine_get_expert_counts, self.handle.pointer, layer, counts, len(counts))
        return list(counts)

    def profile_domain(self, name: Optional[str] = None) -> None:
        """What the next steps run belongs to this domain of the profile."""
        self.handle.context.check(lib.calmoe_engine_profile_domain, self.handle.pointer,
                                  None if name is None else name.encode())

    def profile(self) -> Profile:
        """A copy of what an engine that was opened with profile=True has counted so far."""
        pointer = c_void_p()
        self.handle.context.check(lib.calmoe_engine_get_profile, self.handle.pointer, byref(pointer))
        return Profile._of(self.handle.context, pointer)


def _feed(session: Session, prompt: str, chat: bool, system: Optional[str]) -> None:
    if chat:
        session.feed_chat(prompt, system=system)
    else:
        session.feed(prompt)
