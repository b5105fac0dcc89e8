"""Writes chat_templates/conversations.jsonl, and beside each chat_templates/NAME.jinja what Jinja makes of them: a line for
each conversation in NAME.jsonl, {"text": …}, or {"refused": true} where the template refuses it or fails.

    python3 make_chat_template_cases.py      (wants the package jinja2)

The templates are written for these tests, in the shapes of published ones: what they call, how they set white space, how
they treat thoughts, tools, results and parallel calls."""
import copy
import datetime
import glob
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1700000000  # the test's clock


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("inside"), [], [], body).set_lineno(line)

    def inside(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                    extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = lambda x, ensure_ascii=False, indent=None, separators=None, sort_keys=False: json.dumps(
    x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).strftime(form)

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The \"weather\" of <a city>\u00e9", "parameters": {
            "type": "object", "properties": {
                "city": {"type": "string", "description": "Its name"},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "units": {"type": "string", "enum": ["c", "f"], "default": "c"},
                "tags": {"type": "array", "items": {"type": "string"}, "nullable": True},
                "more": {"type": "object", "properties": {"deep": {"type": ["array", "null"], "items": {
                    "type": "number"}}}, "required": ["deep"]}},
            "required": ["city"], "additionalProperties": False}}},
    {"type": "function", "function": {"name": "noop", "description": "", "parameters": {
        "type": "object", "properties": {}}}},
]


def call(number, name, arguments):
    return {"id": "call_%d0000" % number, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = {"role": "system", "content": "Be brief.\n"}
USER = {"role": "user", "content": " Hi <|im_end|> \u00e9\u4e2d "}
ANSWER = {"role": "assistant", "content": "Hello!\n"}
THOUGHT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nAnswer \n"}
APART = {"role": "assistant", "content": "\nDone", "reasoning_content": "I think\n"}
MORE = {"role": "user", "content": "More\n\nlines"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    call(1, "get_weather", {"city": "Z\u00fcrich \"x\"", "days": 2, "more": {"deep": [1.5, None, True]}})]}
CALLS = {"role": "assistant", "content": "Let me look.", "tool_calls": [
    call(1, "get_weather", {"city": "A", "tags": []}), call(2, "noop", {})], "reasoning_content": "Need it"}
RESULT = {"role": "tool", "tool_call_id": "call_10000", "name": "get_weather", "content": "{\"t\": 3}"}
SECOND = {"role": "tool", "tool_call_id": "call_20000", "name": "noop", "content": "ok\n"}

CONVERSATIONS = {  # what is different from the defaults; "more": further variables
    "plain": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": [SYSTEM, USER, ANSWER, MORE]},
    "many turns": {"messages": [USER, ANSWER, MORE, THOUGHT, USER, APART, MORE]},
    "no prompt": {"messages": [SYSTEM, USER, ANSWER], "add_generation_prompt": False},
    "thinking": {"messages": [SYSTEM, USER], "more": {"enable_thinking": True, "thinking": True}},
    "not thinking": {"messages": [SYSTEM, USER], "more": {"enable_thinking": False, "thinking": False}},
    "effort": {"messages": [USER], "more": {"reasoning_effort": "high"}},
    "tools": {"messages": [SYSTEM, USER], "tools": TOOLS},
    "tools alone": {"messages": [USER], "tools": TOOLS},
    "call": {"messages": [SYSTEM, USER, CALL, RESULT], "tools": TOOLS},
    "calls": {"messages": [USER, CALLS, RESULT, SECOND], "tools": TOOLS},
    "behind calls": {"messages": [SYSTEM, USER, CALL, RESULT, ANSWER, MORE], "tools": TOOLS},
    "calls at the end": {"messages": [USER, CALLS], "tools": TOOLS, "add_generation_prompt": False},
    "call without tools": {"messages": [USER, CALL, RESULT]},
    "empty": {"messages": [{"role": "user", "content": ""}]},
    "odd": {"messages": [
        {"role": "user", "content": "\u200b\u3000x\u2028 '\"\\ \t\U0001f600 \x7f\x01{{ y }} {% if %}\ufeff"},
        {"role": "assistant", "content": "</think><think>"},
        {"role": "user", "content": "<tool_response>z</tool_response>"}]},
    "no user": {"messages": [SYSTEM]},
    "role": {"messages": [{"role": "critic", "content": "No."}, USER]},
    "documents": {"messages": [USER], "documents": [{"title": "T", "text": "body", "doc_id": "1"}]},
    "variables": {"messages": [USER, APART, MORE], "more": {"clear_thinking": False, "model_identity": "I"}},
}


def as_asked(conversation):
    """In OpenAI's form: arguments are texts."""
    asked = copy.deepcopy(conversation)
    for message in asked["messages"]:
        for one in message.get("tool_calls", []):
            one["function"]["arguments"] = json.dumps(one["function"]["arguments"], ensure_ascii=False)
    if "more" in asked:
        asked["chat_template_kwargs"] = asked.pop("more")
    return json.dumps(asked, ensure_ascii=False)


def as_seen(conversation, source):
    """As templates see it, with the thoughts of an answer under the name that the template looks for, too."""
    seen = copy.deepcopy(conversation)
    for message in seen["messages"]:
        thought = message.get("reasoning_content")
        if thought and "thinking" in source and not (message["content"] and message.get("tool_calls")):
            message["thinking"] = thought
    return dict(seen.pop("more", {}), bos_token="<s>", eos_token="</s>",
                **{"tools": None, "documents": None, "add_generation_prompt": True, **seen})


with open("chat_templates/conversations.jsonl", "w") as out:
    for conversation in CONVERSATIONS.values():
        print(as_asked(conversation), file=out)
for path in sorted(glob.glob("chat_templates/*.jinja")):
    source = open(path).read()
    template = env.from_string(source)
    with open(path.replace(".jinja", ".jsonl"), "w") as out:
        for name, conversation in CONVERSATIONS.items():
            try:
                made = {"text": template.render(as_seen(conversation, source))}
            except Exception as error:
                print(path, name, error)
                made = {"refused": True}
            print(json.dumps(made, ensure_ascii=False), file=out)
