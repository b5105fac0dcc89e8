"""Published clients against a running server: python3 clients.py http://127.0.0.1:8080

Each part is one client, used as its own documentation says; a part whose package is not installed is skipped, and says
so. It is run by hand, since it wants packages from PyPI:  pip install openai anthropic litellm langchain-openai lm-eval[api]
The embedded model does for all of it: forms are checked, not wits.
"""
import asyncio
import importlib.util
import json
import os
import sys

url = sys.argv[1].rstrip("/")
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
ask = [{"role": "user", "content": "What does ls do?"}]
weather = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 0, "maximum": 9}},
                   "required": ["city", "days"], "additionalProperties": False}}}
results = []


def part(*packages):
    """Runs the function now, unless a package is missing."""
    def run(function):
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            results.append((function.__name__, "skipped: no " + ", ".join(missing)))
            return
        try:
            function()
            results.append((function.__name__, "ok"))
        except Exception as error:  # what a client says is the finding
            results.append((function.__name__, f"FAILED: {type(error).__name__}: {error}"))
        print(*results[-1], sep=": ", flush=True)
    return run


def client():
    import openai
    return openai.OpenAI(base_url=url + "/v1", api_key="none")


@part("openai")
def openai_chat():
    answer = client().chat.completions.create(model="x", messages=ask, max_tokens=12, temperature=0)
    assert answer.choices[0].finish_reason in ("stop", "length"), answer
    assert answer.choices[0].message.content and answer.usage.completion_tokens > 0
    again = client().chat.completions.create(model="x", messages=ask, max_tokens=12, temperature=0)
    assert again.choices[0].message.content == answer.choices[0].message.content
    assert again.usage.prompt_tokens_details.cached_tokens > 0


@part("openai")
def openai_stream():
    stream = client().chat.completions.create(model="x", messages=ask, max_tokens=12, temperature=0, stream=True,
                                              stream_options={"include_usage": True}, logprobs=True, top_logprobs=3)
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text and chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")
    assert any(c.choices and c.choices[0].logprobs for c in chunks)


@part("openai")
def openai_async():
    import openai

    async def many():
        asynchronous = openai.AsyncOpenAI(base_url=url + "/v1", api_key="none")
        answers = await asyncio.gather(*[asynchronous.chat.completions.create(
            model="x", messages=[{"role": "user", "content": f"Say {i}"}], max_tokens=6) for i in range(8)])
        assert all(answer.choices[0].message.content is not None for answer in answers)
    asyncio.run(many())


@part("openai")
def openai_tools():
    answer = client().chat.completions.create(model="x", messages=ask, tools=[weather], tool_choice="required", max_tokens=80)
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and set(json.loads(call.function.arguments)) == {"city", "days"}, call
    assert answer.choices[0].finish_reason == "tool_calls"
    follow = ask + [answer.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    assert client().chat.completions.create(model="x", messages=follow, tools=[weather], max_tokens=6).choices


@part("openai")
def openai_tools_stream():
    names, arguments, ids = "", "", []
    for chunk in client().chat.completions.create(model="x", messages=ask, tools=[weather], tool_choice="required",
                                                  max_tokens=80, stream=True):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            names += call.function.name or ""
            arguments += call.function.arguments or ""
            ids += [call.id] if call.id else []
    assert names == "get_weather" and len(ids) == 1 and set(json.loads(arguments)) == {"city", "days"}, (names, arguments)


@part("openai", "pydantic")
def openai_structured():
    import pydantic

    class Place(pydantic.BaseModel):
        country: bool
        people: int

    answer = client().beta.chat.completions.parse(model="x", messages=ask, response_format=Place, max_tokens=80)
    assert isinstance(answer.choices[0].message.parsed, Place), answer


@part("openai")
def openai_responses():
    answer = client().responses.create(model="x", input="What does ls do?", max_output_tokens=8, instructions="Be brief")
    assert answer.output_text and answer.usage.output_tokens > 0
    kinds = [event.type for event in client().responses.create(model="x", input="Hello", max_output_tokens=8, stream=True)]
    assert kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete"), kinds
    assert "response.output_text.delta" in kinds


@part("openai")
def openai_completions():
    answer = client().completions.create(model="x", prompt="The function", max_tokens=4, logprobs=2, echo=True)
    assert answer.choices[0].text.startswith("The function") and answer.choices[0].logprobs.token_logprobs[0] is None


@part("openai")
def openai_errors():
    import openai
    try:
        client().chat.completions.create(model="x", messages=[{"role": "user", "content": "the " * 5000}])
        raise AssertionError("no error")
    except openai.BadRequestError as error:
        assert "exceeds the available context size" in str(error)
    assert client().models.list().data[0].id


@part("anthropic")
def anthropic_messages():
    import anthropic
    own = anthropic.Anthropic(base_url=url, api_key="none")
    answer = own.messages.create(model="x", max_tokens=12, messages=ask, system="Be brief")
    assert answer.content[0].text and answer.stop_reason in ("end_turn", "max_tokens")
    with own.messages.stream(model="x", max_tokens=12, messages=ask) as stream:
        assert "".join(stream.text_stream) and stream.get_final_message().usage.output_tokens > 0
    assert own.messages.count_tokens(model="x", messages=ask).input_tokens > 0


@part("anthropic")
def anthropic_tools():
    import anthropic
    own = anthropic.Anthropic(base_url=url, api_key="none")
    tool = {"name": "get_weather", "description": "The weather", "input_schema": weather["function"]["parameters"]}
    answer = own.messages.create(model="x", max_tokens=80, messages=ask, tools=[tool], tool_choice={"type": "any"})
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "get_weather" and set(call.input) == {"city", "days"} and answer.stop_reason == "tool_use"
    own.messages.create(model="x", max_tokens=6, tools=[tool], messages=ask + [
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]}])


@part("litellm")
def litellm_chat():
    import litellm
    answer = litellm.completion(model="openai/x", messages=ask, api_base=url + "/v1", api_key="none", max_tokens=8)
    assert answer.choices[0].message.content is not None
    pieces = list(litellm.completion(model="openai/x", messages=ask, api_base=url + "/v1", api_key="none", max_tokens=8,
                                     stream=True))
    assert any(piece.choices[0].delta.content for piece in pieces)


@part("langchain_openai")
def langchain_tools():
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI

    @tool
    def get_weather(days: int, warm: bool) -> str:
        """The weather of the next days."""
        return f"sunny for {days} days"

    model = ChatOpenAI(model="x", base_url=url + "/v1", api_key="none", max_tokens=80)
    messages = [HumanMessage("What does ls do?")]
    answer = model.bind_tools([get_weather], tool_choice="any").invoke(messages)
    assert answer.tool_calls and set(answer.tool_calls[0]["args"]) == {"days", "warm"}, answer
    messages += [answer, ToolMessage(get_weather.invoke(answer.tool_calls[0]["args"]), tool_call_id=answer.tool_calls[0]["id"])]
    assert model.bind_tools([get_weather]).invoke(messages).content is not None
    assert "".join(str(piece.content) for piece in model.stream("Hello"))


@part("lm_eval", "tenacity")
def lm_eval_completions():
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.api.instance import Instance
    own = LocalCompletionsAPI(model="x", base_url=url + "/v1/completions", tokenizer_backend="remote", max_length=256,
                              tokenized_requests=True, batch_size=2)
    pairs = [("The function returns the number of", " bytes"), ("The function returns the number of", " bananas")]
    asked = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i) for i, pair in enumerate(pairs)]
    likely, unlikely = own.loglikelihood(asked)
    assert likely[0] > unlikely[0], (likely, unlikely)
    until = Instance(request_type="generate_until", doc={}, idx=0,
                     arguments=("The function", {"until": ["\n"], "max_gen_toks": 8, "temperature": 0}))
    assert isinstance(own.generate_until([until])[0], str)


for name, result in results:
    if result.startswith("skipped"):
        print(name, result, sep=": ")
sys.exit(any(result.startswith("FAILED") for _, result in results))
