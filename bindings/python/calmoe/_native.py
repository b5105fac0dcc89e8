"""The shared library, its failures as exceptions, and the life of what it opens."""
from __future__ import annotations

import ctypes
import dataclasses
import os
import select
import signal
import socket
import threading
from collections import deque
from ctypes import byref, c_void_p
from typing import Any, Callable, Optional, Sequence, Type, TypeVar

from . import _abi

Record = TypeVar("Record")


# ---- the library ------------------------------------------------------------------------------------------------

def _load() -> ctypes.CDLL:
    """CALMOE_LIBRARY names the file; without it, it is looked for where the system's linker looks."""
    major = _abi.VERSION.split(".")[0]
    given = os.environ.get("CALMOE_LIBRARY")
    name = given or f"libcalmoe.so.{major}"
    try:
        library = ctypes.CDLL(name)
    except OSError as problem:
        raise ImportError(f"calmoe: the library cannot be loaded: {problem}; install it (and run ldconfig), or name "
                          "the file in the environment variable CALMOE_LIBRARY") from None
    for function, (result, arguments) in _abi.FUNCTIONS.items():
        try:
            bound = getattr(library, function)
        except AttributeError:
            raise ImportError(f"calmoe: {name} has no function {function}; this module is for version "
                              f"{_abi.VERSION}") from None
        bound.restype, bound.argtypes = result, arguments
    found = library.calmoe_version().decode()
    if found.split(".")[:2] != _abi.VERSION.split(".")[:2]:
        raise ImportError(f"calmoe: {name} is of version {found}; this module is for version {_abi.VERSION}")
    return library


lib = _load()


# ---- failures ---------------------------------------------------------------------------------------------------

class CalmoeError(Exception):
    """A call of the library failed. str() is the library's sentence: where, what was found, what is wanted."""
    status = -1


class InvalidArgument(CalmoeError, ValueError):
    status = _abi.CALMOE_INVALID_ARGUMENT


class NoMemory(CalmoeError, MemoryError):
    status = _abi.CALMOE_NO_MEMORY


class FileFailure(CalmoeError, OSError):
    """The system could not read or write a file."""
    status = _abi.CALMOE_IO


class BadFile(CalmoeError, ValueError):
    """The file is malformed."""
    status = _abi.CALMOE_BAD_FILE


class Unsupported(CalmoeError):
    """Well-formed, but of a kind that this version does not run."""
    status = _abi.CALMOE_UNSUPPORTED


class Full(CalmoeError):
    """No room is left in the context window, batch or engine."""
    status = _abi.CALMOE_FULL


class Cancelled(CalmoeError):
    """Session.interrupt() was called."""
    status = _abi.CALMOE_CANCELLED


class SystemRefused(CalmoeError):
    """The operating system refused threads or memory binding."""
    status = _abi.CALMOE_SYSTEM


class NotFinite(CalmoeError, ArithmeticError):
    """The model computed NaN or infinite logits."""
    status = _abi.CALMOE_NOT_FINITE


_ERRORS = {error.status: error for error in CalmoeError.__subclasses__()}


def failure(status: int, sentence: str) -> CalmoeError:
    error = _ERRORS.get(status, CalmoeError)
    return error(sentence or lib.calmoe_status_text(status).decode())


# ---- life -------------------------------------------------------------------------------------------------------

class Context:
    """A context of the library, which with everything under it serves one thread at a time: calls go through call(),
    so threads wait for one another. What is dropped while a call runs is closed when it ends."""

    def __init__(self, log: Callable[[str], object]) -> None:
        self._lock = threading.RLock()
        self._is_busy = False
        self._dropped: deque[tuple[Callable[..., Any], int]] = deque()  # to be closed, in this order
        self.problem: Optional[BaseException] = None  # what a callback of the present call raised

        def say(_user: Any, sentence: bytes) -> None:
            try:
                log(sentence.decode("utf-8", "replace"))
            except BaseException as problem:  # it goes to the caller, behind the call
                self.problem = problem

        options = _abi.calmoe_context_options()
        lib.calmoe_context_options_init(byref(options))
        self._say = options.log = _abi.calmoe_log_fn(say)
        pointer = c_void_p()
        status = lib.calmoe_context_open(byref(options), byref(pointer))
        if status != _abi.CALMOE_OK:
            raise failure(status, "")
        self.handle = Handle(self, pointer, lib.calmoe_context_close, None, options)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            if self._is_busy:
                raise RuntimeError("a callback of calmoe must not call into the engine that it is called by")
            self._is_busy = True
            try:
                result = function(*arguments)
            finally:
                self._is_busy = False
                problem, self.problem = self.problem, None
                self._close_dropped()
            if problem is not None:
                raise problem
            return result

    def check(self, function: Callable[..., int], *arguments: Any) -> None:
        """A call that answers a status: raises unless it is OK."""
        with self._lock:  # another thread's call would change the sentence
            self.raise_if(self.call(function, *arguments))

    def raise_if(self, status: int) -> None:
        if status != _abi.CALMOE_OK:
            raise failure(status, lib.calmoe_context_message(self.handle.pointer).decode("utf-8", "replace"))

    def drop(self, close: Callable[..., Any], pointer: int) -> None:
        """Called by the garbage collector too, at any time and on any thread."""
        self._dropped.append((close, pointer))
        if self._lock.acquire(blocking=False):
            try:
                if not self._is_busy:
                    self._close_dropped()
            finally:
                self._lock.release()

    def _close_dropped(self) -> None:
        self._is_busy = True
        try:
            while self._dropped:
                close, pointer = self._dropped.popleft()
                close(byref(c_void_p(pointer)))
        finally:
            self._is_busy = False


class Handle:
    """A thing that the library opened. It is closed when nobody refers to it any more, and all that was opened from it,
    or borrows it, is closed: a garbage collector that finds them at once takes them in any order. kept: what the
    library borrows as long."""
    __slots__ = ("context", "pointer", "_close", "parents", "kept", "_n_users", "_is_over", "__weakref__")

    def __init__(self, context: Context, pointer: c_void_p, close: Callable[..., Any], parent: Optional[Handle],
                 *kept: Any) -> None:
        assert pointer.value is not None
        self.context, self.pointer, self._close = context, pointer.value, close
        borrowed = [thing._handle for thing in kept if isinstance(thing, Closing)]
        self.parents = [handle for handle in (parent, *borrowed) if handle is not None]
        for handle in self.parents:
            handle._n_users += 1
        self._n_users, self._is_over = 0, False
        self.kept = kept

    def __del__(self) -> None:
        if hasattr(self, "kept"):
            self._is_over = True
            self._close_unused()

    def _close_unused(self) -> None:
        if not self._is_over or self._n_users > 0:
            return
        self.context.drop(self._close, self.pointer)
        for handle in self.parents:
            handle._n_users -= 1
            handle._close_unused()


class Closing:
    """What has a handle: close() drops it, as leaving a `with` block does."""
    _handle: Optional[Handle] = None

    @property
    def handle(self) -> Handle:
        if self._handle is None:
            raise ValueError(f"this {type(self).__name__} is closed")
        return self._handle

    def close(self) -> None:
        """Drops it. What was opened from it is closed too. Closing twice is fine."""
        self._handle = None

    def __enter__(self: Record) -> Record:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


# ---- Ctrl-C -----------------------------------------------------------------------------------------------------

class Interrupts:
    """Ends a step within a layer when a signal comes. Python itself handles a signal only when the library's call has
    come back, which may take minutes for a long prompt. But it writes the signal's number to a socket at once: a
    thread reads it there, and interrupts the sessions that the call is about. Then Python's own handler has its turn,
    and raises KeyboardInterrupt."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._sessions: Sequence[int] = ()
        self._others = -1  # the socket that Python wrote to before: it gets the numbers, too

    def _start(self) -> None:
        self._pid = os.getpid()  # threads do not live on in a forked process
        self._lock = threading.Lock()
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        threading.Thread(target=self._watch, args=(self._read,), name="calmoe-interrupts", daemon=True).start()

    def _watch(self, read: socket.socket) -> None:
        while True:
            select.select([read], [], [])
            with self._lock:
                self._hear()

    def _hear(self) -> None:
        """Under the lock: what was written to the socket until now."""
        try:
            numbers = self._read.recv(4096)
        except BlockingIOError:
            return
        if any(number in self.SIGNALS for number in numbers):
            for session in self._sessions:
                lib.calmoe_session_interrupt(session)
        if self._others >= 0:
            try:
                os.write(self._others, numbers)
            except OSError:  # theirs is full, or closed
                pass

    def run(self, sessions: Sequence[int], function: Callable[..., int], *arguments: Any) -> int:
        """Calls the function, which works on these sessions."""
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments)
        if self._pid != os.getpid():
            self._start()
        before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        try:
            self._sessions, self._others = sessions, before
            return function(*arguments)
        finally:
            with self._lock:
                self._sessions = ()
                self._hear()
                self._others = -1
            signal.set_wakeup_fd(before)


interrupts = Interrupts()


# ---- structs ----------------------------------------------------------------------------------------------------

def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, ctypes.Array):
        return tuple(value)
    return value


def record(kind: Type[Record], struct: ctypes.Structure) -> Record:
    """The dataclass with what the struct's members of the same names hold; bool members say so in their annotation."""
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = _plain(getattr(struct, field.name))
        values[field.name] = bool(value) if field.type == "bool" else value
    return kind(**values)


def answer(struct: Type[ctypes.Structure]) -> Any:
    """A struct for the library to fill in."""
    made = struct()
    setattr(made, "size", ctypes.sizeof(struct))
    return made


def options(struct: Type[ctypes.Structure], values: dict[str, Any]) -> Any:
    """The library's defaults, and what is not None of the values: a member that the struct does not have is refused."""
    made = struct()
    members = [field[0] for field in made._fields_]
    getattr(lib, f"{struct.__name__}_init")(byref(made))
    for name, value in values.items():
        if name not in members:
            raise TypeError(f"there is no option {name!r}; {struct.__name__} has {', '.join(members[1:])}")
        if value is None:
            continue
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            value = os.fsencode(value)
        try:
            setattr(made, name, value)
        except TypeError as problem:
            raise TypeError(f"{name}: {problem}") from None
    return made


def int_array(numbers: Sequence[int]) -> Any:
    """int32 numbers as C sees them; borrowed where they already lie so in memory."""
    if isinstance(numbers, ctypes.Array):
        return numbers
    return (ctypes.c_int32 * len(numbers))(*numbers)


def texts_of(context: Context, function: Callable[..., int], *arguments: Any) -> str:
    """What a function that wants (text, capacity, &n) writes, of any length."""
    n = ctypes.c_size_t(4095)
    while True:
        room = ctypes.create_string_buffer(n.value + 1)
        status = context.call(function, *arguments, room, len(room), byref(n))
        if status != _abi.CALMOE_FULL:
            context.raise_if(status)
            return room.value.decode("utf-8", "replace")
