"""The form of answers."""
from __future__ import annotations

import json
from ctypes import byref, c_void_p
from typing import Any, Mapping, Optional, Union

from . import _abi
from ._model import Model
from ._native import Closing, Handle, lib, options


class Constraint(Closing):
    """A form that answers have, whatever the model would like to say (calmoe/constraint.h): Sampler(constraint=…)."""

    def __init__(self, model: Model, open_it: Any, *arguments: Any, compact: bool = False, after: Optional[str] = None,
                 may_end: bool = False) -> None:
        given = options(_abi.calmoe_constraint_options, dict(compact=compact, after=after, may_end=may_end))
        pointer = c_void_p()
        model.handle.context.check(open_it, model.handle.pointer, *arguments, byref(given), byref(pointer))
        self._handle = Handle(model.handle.context, pointer, lib.calmoe_constraint_close, model.handle)
        model._children.add(self)

    @classmethod
    def json_schema(cls, model: Model, schema: Union[str, Mapping[str, Any]], **keywords: Any) -> Constraint:
        """A JSON document that fits the schema. The keywords, here and below: compact (no white space), after (the form
        begins when this text has come), may_end (the answer may end before that)."""
        text = (schema if isinstance(schema, str) else json.dumps(schema)).encode()
        return cls(model, lib.calmoe_constraint_open_json_schema, text, len(text), **keywords)

    @classmethod
    def json_object(cls, model: Model, **keywords: Any) -> Constraint:
        """Any JSON object."""
        return cls(model, lib.calmoe_constraint_open_json_object, **keywords)

    @classmethod
    def pattern(cls, model: Model, pattern: str, **keywords: Any) -> Constraint:
        """The whole answer fits a regular expression, of those that constraint.h tells."""
        text = pattern.encode()
        return cls(model, lib.calmoe_constraint_open_pattern, text, len(text), **keywords)
