"""calmoe from Python: mixture-of-experts language models on CPUs.

    import calmoe

    engine = calmoe.Model().engine()            # without a path, the embedded model
    for text in engine.stream("class Reader:", max_new_tokens=40):
        print(text, end="")

Model, Engine and Session are what the C library's handles are. They are closed when nobody refers to them, by close(),
or at the end of a `with` block, in any order. Whatever fails raises a CalmoeError with the library's sentence.
What has no method here can be called as in C: `calmoe.lib` is the library, `calmoe.abi` its structs and constants.
"""
from . import _abi as abi
from ._adapter import Adapter, AdapterInfo
from ._constraint import Constraint
from ._engine import Chunk, Engine, Event, RoutingEvent, Stats
from ._model import Model, ModelInfo, TensorInfo, chat_formats
from ._native import (BadFile, CalmoeError, Cancelled, FileFailure, Full, InvalidArgument, NoMemory, NotFinite,
                      SystemRefused, Unsupported, lib)
from ._policy import Policy, Rung
from ._profile import Domain, ExpertLoad, Profile, ProfileInfo, Specialist
from ._session import Audit, Depth, Logprobs, Sampler, Session, Speculation

__version__ = abi.VERSION

__all__ = [
    "Adapter", "AdapterInfo", "Audit", "BadFile", "CalmoeError", "Cancelled", "Chunk", "Constraint", "Depth", "Domain",
    "Engine", "Event", "ExpertLoad", "FileFailure", "Full", "InvalidArgument", "Logprobs", "Model", "ModelInfo", "NoMemory",
    "NotFinite", "Policy", "Profile", "ProfileInfo", "RoutingEvent", "Rung", "Sampler", "Session", "Specialist",
    "Speculation", "Stats", "SystemRefused", "TensorInfo", "Unsupported", "abi", "chat_formats", "lib",
]
