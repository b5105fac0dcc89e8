"""One sequence: its tokens, what layers keep of it, its sampler."""
from __future__ import annotations

import ctypes
import os
import weakref
from ctypes import byref, c_float, c_int32, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterator, Mapping, NamedTuple, Optional, Sequence, Type, Union

from . import _abi
from ._adapter import Adapter
from ._constraint import Constraint
from ._model import Model, PathLike
from ._native import Closing, Handle, Record, answer, failure, int_array, lib, options, record
from ._policy import Policy

if TYPE_CHECKING:
    import numpy

    from ._engine import Engine

AUDITS = {"where_proven": _abi.CALMOE_AUDIT_WHERE_PROVEN, "required": _abi.CALMOE_AUDIT_REQUIRED,
          "never": _abi.CALMOE_AUDIT_NEVER}
LOSSLESS = {"off": _abi.CALMOE_LOSSLESS_OFF, "where_faster": _abi.CALMOE_LOSSLESS_WHERE_FASTER,
            "always": _abi.CALMOE_LOSSLESS_ALWAYS}


class Sampler:
    """How tokens are chosen. The keywords are the members of calmoe_sampler_options (calmoe/sampler.h); `others` are
    those that have no keyword of their own here. What is not given is the library's default. biases: what is added to
    the logits of tokens; -inf: the token never comes."""

    def __init__(self, *, temperature: Optional[float] = None, top_k: Optional[int] = None,
                 top_p: Optional[float] = None, min_p: Optional[float] = None, repeat_penalty: Optional[float] = None,
                 repeat_last: Optional[int] = None, presence_penalty: Optional[float] = None,
                 frequency_penalty: Optional[float] = None, biases: Optional[Mapping[int, float]] = None,
                 constraint: Optional[Constraint] = None, seed: Optional[int] = None, **others: Any) -> None:
        self._constraint = None if constraint is None else constraint.handle  # lives as long as who uses it
        if biases:
            others.update(n_biases=len(biases), bias_tokens=(c_int32 * len(biases))(*biases.keys()),
                          biases=(c_float * len(biases))(*biases.values()))
        self._struct = options(_abi.calmoe_sampler_options, dict(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repeat_penalty=repeat_penalty,
            repeat_last=repeat_last, presence_penalty=presence_penalty, frequency_penalty=frequency_penalty, seed=seed,
            constraint=None if constraint is None else constraint.handle.pointer, **others))

    @classmethod
    def of_model(cls, model: Model) -> Sampler:
        """As the model's file advises; the library's defaults where it gives no advice."""
        made = cls()
        model.handle.context.check(lib.calmoe_model_sampler_defaults, model.handle.pointer, byref(made._struct))
        return made

    def __repr__(self) -> str:
        members = (f"{name}={getattr(self._struct, name)}" for name, kind in self._struct._fields_[1:]
                   if not hasattr(kind, "contents"))
        return f"Sampler({', '.join(members)})"


class Logprobs(NamedTuple):
    """How likely a token was behind those before it, and the likeliest ones in its place, best first."""
    logprob: float
    top: list[tuple[int, float]]


@dataclass(frozen=True)
class Depth:
    """How a row of logits was computed: layers, routed experts, confidence at the exit."""
    layers: int
    experts: int
    confidence: float


@dataclass(frozen=True)
class Audit:
    """What the audit of a proven policy has seen (calmoe_audit)."""
    share: float
    n_tokens: int
    n_different: int
    n_answers: int
    ln_evidence: float
    ln_limit: float
    rung: int
    n_alarms: int


@dataclass(frozen=True)
class Speculation:
    rounds: int
    drafted: int
    accepted: int
    plain: int
    rounds_by: tuple[int, ...]  # by early exits, lookup, the block that predicts a further token, the draft model
    drafted_by: tuple[int, ...]
    accepted_by: tuple[int, ...]


def choice(words: dict[str, int], name: str, value: Optional[str]) -> Optional[int]:
    if value is None:
        return None
    if value not in words:
        raise ValueError(f"{name} is {value!r}; one of {', '.join(map(repr, words))} is wanted")
    return words[value]


class Session(Closing):
    """A sequence in an engine: feed it, then let it write. A logit, to the bit, depends on the model and the tokens
    before it alone, not on what else the engine does."""

    def __init__(self, engine: Engine, *, context: Optional[int] = None, max_new_tokens: Optional[int] = None,
                 ignore_end: bool = False, hash_logits: bool = False, sampler: Optional[Sampler] = None,
                 policy: Optional[Policy] = None, quality: Optional[float] = None, audit: Optional[str] = None,
                 audit_share: Optional[float] = None, audit_alpha: Optional[float] = None,
                 audit_seed: Optional[int] = None, lossless: Optional[str] = None,
                 chat_format: Optional[str] = None, restore: Optional[PathLike] = None,
                 adapters: Union[Mapping[Adapter, float], Sequence[Adapter], None] = None, **others: Any) -> None:
        """The keywords are the members of calmoe_session_options (calmoe/session.h), `others` those without a keyword
        of their own. audit is "where_proven", "required" or "never", lossless "off", "where_faster" or "always".
        restore: a file of save() to go on from; it names the adapters that it was read with, which must be open.
        adapters: those that it uses from its first token on, with scales or of scale 1."""
        given = options(_abi.calmoe_session_options, dict(
            context=context, max_new_tokens=max_new_tokens, ignore_end=ignore_end, hash_logits=hash_logits,
            policy=None if policy is None else policy.handle.pointer, quality=quality,
            audit=choice(AUDITS, "audit", audit), audit_share=audit_share, audit_alpha=audit_alpha,
            audit_seed=audit_seed, lossless=choice(LOSSLESS, "lossless", lossless), chat_format=chat_format, **others))
        if sampler is not None:
            given.sampler = ctypes.pointer(sampler._struct)
        pointer = c_void_p()
        engine._take_back_logits()
        if restore is None:
            engine.handle.context.check(lib.calmoe_session_open, engine.handle.pointer, byref(given), byref(pointer))
        else:
            engine.handle.context.check(lib.calmoe_session_restore, engine.handle.pointer, os.fsencode(restore),
                                        byref(given), byref(pointer))
        self._own(engine, pointer, None if policy is None else policy.handle, sampler)
        if adapters is not None:
            self.set_adapters(adapters)

    def _own(self, engine: Engine, pointer: c_void_p, policy: Optional[Handle], sampler: Optional[Sampler]) -> None:
        self.engine = engine
        self._policy, self._sampler = policy, sampler
        self._handle = Handle(engine.handle.context, pointer, lib.calmoe_session_close, engine.handle, policy, sampler)
        self._is_interrupted = False  # by interrupt(), and nothing was fed since
        self._has_ended = False       # its answer
        engine._sessions[self._handle.pointer] = self

    def __repr__(self) -> str:
        return f"<calmoe.Session, {self.n_tokens} tokens>" if self._handle else "<calmoe.Session, closed>"

    @property
    def model(self) -> Model:
        return self.engine.model

    def set_sampler(self, sampler: Optional[Sampler]) -> None:
        """Another sampler for what comes next; None = greedy."""
        self.handle.context.check(lib.calmoe_session_set_sampler, self.handle.pointer,
                                  None if sampler is None else byref(sampler._struct))
        self._sampler = sampler
        self.handle.kept = (self._policy, sampler)

    def set_adapters(self, adapters: Union[Mapping[Adapter, float], Sequence[Adapter]]) -> None:
        """Uses these and no others, with scales or of scale 1. It must have no tokens: rewind(0) takes them off."""
        scales = adapters if isinstance(adapters, Mapping) else {adapter: 1.0 for adapter in adapters}
        pointers = (c_void_p * len(scales))(*(adapter.handle.pointer for adapter in scales))
        self.handle.context.check(lib.calmoe_session_set_adapters, self.handle.pointer, pointers,
                                  (c_float * len(scales))(*scales.values()), len(scales))

    @property
    def adapters(self) -> list[tuple[str, float]]:
        """Fingerprints of those that it uses, with their scales."""
        out = []
        for i in range(lib.calmoe_session_n_adapters(self.handle.pointer)):
            pointer, scale, info = c_void_p(), c_float(), answer(_abi.calmoe_adapter_info)
            self.handle.context.check(lib.calmoe_session_adapter, self.handle.pointer, i, byref(pointer), byref(scale))
            self.handle.context.check(lib.calmoe_adapter_get_info, pointer, byref(info))
            out.append((info.fingerprint.decode(), scale.value))
        return out

    def set_limits(self, max_new_tokens: int = 0, ignore_end: bool = False) -> None:
        """Other limits for what comes next."""
        self.handle.context.check(lib.calmoe_session_set_limits, self.handle.pointer, max_new_tokens, ignore_end)

    # ---- what it is to read

    def feed(self, text: Union[str, bytes], *, bos: Optional[bool] = None, special: bool = False) -> None:
        """Appends text to what it has yet to read. bos: begin with BOS where the file says so; None: at the session's
        beginning. special: control tokens are cut out of the text; without it they are plain text."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        with_bos = self.n_tokens == 0 if bos is None else bos
        flags = with_bos * _abi.CALMOE_TOKENIZE_BOS | special * _abi.CALMOE_TOKENIZE_SPECIAL
        self._feed(lib.calmoe_session_feed_text, data, len(data), flags)

    def feed_tokens(self, tokens: Sequence[int]) -> None:
        self._feed(lib.calmoe_session_feed_tokens, int_array(tokens), len(tokens))

    def feed_chat(self, user: str, *, system: Optional[str] = None) -> None:
        """Appends a user's turn, as the model's chat template writes it; system counts on the first turn only."""
        self._feed(lib.calmoe_session_feed_chat, None if system is None else system.encode(), user.encode())

    def _feed(self, function: Any, *arguments: Any) -> None:
        self.handle.context.check(function, self.handle.pointer, *arguments)
        self._is_interrupted = self._has_ended = False

    # ---- what it writes

    def next_token(self) -> Optional[int]:
        """Reads what was fed, then samples one token; None: the answer ended. Full: no position is left."""
        token, context = c_int32(), self.handle.context
        status = self.engine._run([self], lib.calmoe_session_next, self.handle.pointer, byref(token))
        if status == _abi.CALMOE_END:
            self._has_ended = True
            return None
        context.raise_if(status)
        return token.value

    def tokens(self) -> Iterator[int]:
        """The tokens of its answer, as they come."""
        while True:
            token = self.next_token()
            if token is None:
                return
            yield token

    def stream(self) -> Iterator[str]:
        """The text of its answer, as it comes: whole characters."""
        return self.model.text_of(self.tokens())

    def generate(self) -> str:
        """The text of its answer."""
        return "".join(self.stream())

    def interrupt(self) -> None:
        """Ends what it is doing, or will be asked to do next, with Cancelled; until something is fed. Of all methods,
        this one may be called while another thread runs the engine, or by a callback."""
        self._is_interrupted = True
        lib.calmoe_session_interrupt(self.handle.pointer)

    def _go_on(self) -> bool:
        """Takes an interruption back that was not asked for by interrupt(), but came of a signal or of a callback that
        raised. To feed nothing does that (max_new_tokens counts anew then); an answer that ended shall not go on."""
        if self._is_interrupted:
            return False
        if self._handle is not None and not self._has_ended:
            self.handle.context.check(lib.calmoe_session_feed_tokens, self.handle.pointer, None, 0)
        return True

    # ---- where it stands

    @property
    def n_tokens(self) -> int:
        """Tokens that it read, and those that were fed or sampled and are not read yet."""
        return int(lib.calmoe_session_n_tokens(self.handle.pointer))

    @property
    def n_positions(self) -> int:
        """Tokens that it read."""
        return int(lib.calmoe_session_n_positions(self.handle.pointer))

    @property
    def context(self) -> int:
        """Tokens at most."""
        return int(lib.calmoe_session_context(self.handle.pointer))

    @property
    def turn_begin(self) -> Optional[int]:
        """Where the last turn of feed_chat() begins: to rewind to it takes the turn back."""
        begin = int(lib.calmoe_session_turn_begin(self.handle.pointer))
        return None if begin < 0 else begin

    def rewind(self, n: int) -> None:
        """Forgets all but the first n tokens."""
        self.handle.context.check(lib.calmoe_session_rewind, self.handle.pointer, n)
        self._is_interrupted = self._has_ended = False

    def fork(self) -> Session:
        """A second session that stands where this one does and goes on with the same bits."""
        pointer = c_void_p()
        self.handle.context.check(lib.calmoe_session_fork, self.handle.pointer, byref(pointer))
        made = Session.__new__(Session)
        made._own(self.engine, pointer, self._policy, self._sampler)
        return made

    def save(self, path: PathLike) -> None:
        """Writes what it has read, with its keys and values: engine.restore(path) goes on from there."""
        status = self.engine._run([self], lib.calmoe_session_save, self.handle.pointer, os.fsencode(path))
        self.handle.context.raise_if(status)

    # ---- what was computed

    @property
    def n_logits(self) -> int:
        """Rows of logits that its last step left."""
        n = 0
        while lib.calmoe_session_logits(self.handle.pointer, n):
            n += 1
        return n

    def logits(self, row: int = -1) -> memoryview[float]:
        """Logits (n_vocab float32) of a row of its last step, -1 = the last: the engine's own memory, nothing is
        copied. The view ends with the next step of the engine; copy what is to stay: list(view), numpy.array(view)."""
        address = lib.calmoe_session_logits(self.handle.pointer, row if row >= 0 else self.n_logits + row)
        if not address:
            raise failure(_abi.CALMOE_INVALID_ARGUMENT, f"row {row} of the last step has no logits of this session")
        array = (ctypes.c_float * self.model.info.n_vocab).from_address(ctypes.addressof(address.contents))
        setattr(array, "owner", self._handle)  # the memory lives as long as somebody looks at it
        view = memoryview(array).cast("B").cast("f").toreadonly()
        self.engine._lent.append((weakref.ref(view), weakref.ref(array)))
        return view

    def logits_numpy(self, row: int = -1) -> numpy.ndarray[Any, Any]:
        """The same as an array of numpy's, on the same memory: the next step of the engine fails with BufferError
        while it is held."""
        import numpy
        return numpy.frombuffer(self.logits(row).cast("B"), dtype=numpy.float32)

    def logprobs(self, token: int, *, row: int = -1, top: int = 0) -> Logprobs:
        """How likely the token is by a row of logits of its last step."""
        return self._logprobs(lib.calmoe_session_logprobs, top, row if row >= 0 else self.n_logits + row, token)

    def keep_logprobs(self, top: int = 0) -> None:
        """From now on it keeps how likely each token is that it is fed: kept_logprobs() tells when it was read."""
        self.handle.context.check(lib.calmoe_session_keep_logprobs, self.handle.pointer, top)

    def kept_logprobs(self, position: int, *, top: int = 0) -> Logprobs:
        return self._logprobs(lib.calmoe_session_kept_logprobs, top, position)

    def _logprobs(self, function: Any, top: int, *which: int) -> Logprobs:
        logprob, tokens, logprobs = c_float(), (c_int32 * top)(), (c_float * top)()
        self.handle.context.check(function, self.handle.pointer, *which, byref(logprob), top, tokens, logprobs)
        return Logprobs(logprob.value, list(zip(tokens, logprobs)))

    def sample(self) -> int:
        """Chooses from the last row of logits with its sampler; hand the token to the next step."""
        token = c_int32()
        self.handle.context.check(lib.calmoe_session_sample, self.handle.pointer, byref(token))
        return token.value

    def begin_answer(self) -> None:
        """Tokens from now on are an answer's, which its policy is for: for own loops round Engine.step()."""
        lib.calmoe_session_begin_answer(self.handle.pointer)

    @property
    def rung(self) -> Optional[int]:
        """Which rung of its policy it is on; None = OFF."""
        rung = int(lib.calmoe_session_rung(self.handle.pointer))
        return None if rung < 0 else rung

    def depth(self, row: int = -1) -> Depth:
        return self._record(Depth, _abi.calmoe_depth, lib.calmoe_session_depth, row)

    def audit(self) -> Audit:
        return self._record(Audit, _abi.calmoe_audit, lib.calmoe_session_audit)

    def speculation(self) -> Speculation:
        return self._record(Speculation, _abi.calmoe_speculation, lib.calmoe_session_speculation)

    def _record(self, kind: Type[Record], struct: Any, function: Any, *arguments: Any) -> Record:
        filled = answer(struct)
        self.handle.context.check(function, self.handle.pointer, *arguments, byref(filled))
        return record(kind, filled)

    def logit_hash(self) -> str:
        """SHA-256 over every logit so far, of a session that was opened with hash_logits."""
        text = ctypes.create_string_buffer(65)
        self.handle.context.check(lib.calmoe_session_logit_hash, self.handle.pointer, text)
        return text.value.decode()
