"""What a policy saves: answers to the same prompts by the full model and under the policy, in turns, one thread."""
import collections
import os
import statistics

import prompts  # noqa: F401 (finds the module calmoe)


def open_library(build):
    """The module calmoe with the library of that build."""
    os.environ.setdefault("CALMOE_LIBRARY", os.path.abspath(f"{build}/libcalmoe.so"))
    import calmoe
    return calmoe


class Writer:
    """Greedy answers of an engine with one thread, and what they cost: of the steps behind the prompt alone."""

    def __init__(self, model, longest):
        self.model, self.longest = model, longest
        self.engine = model.engine(threads=1)

    def answer(self, tokens, **policy):
        with self.engine.session(max_new_tokens=self.longest, audit="never", **policy) as session:
            session.feed_tokens(tokens)
            said = [session.next_token()]
            before = self.engine.stats
            while said[-1] is not None:
                said.append(session.next_token())
            after = self.engine.stats
        cost = collections.Counter(tokens=after.n_rows - before.n_rows, seconds=after.step_seconds - before.step_seconds,
                                   layers=after.n_layers_run - before.n_layers_run,
                                   bytes=after.n_weight_bytes - before.n_weight_bytes)
        return [token for token in said if token is not None and not self.model.ends_answer(token)], cost


def measure(writer, policy, delta, asked, block, see=lambda item, full, early: None):
    """Figures of answers to prompts (lists of tokens); `see` gets each pair of answers. Speeds are compared block by
    block of prompts: the median and the range of their ratios."""
    off, on, ratios = collections.Counter(), collections.Counter(), []
    for first in range(0, len(asked), block):
        full_cost, early_cost = collections.Counter(), collections.Counter()
        for item, tokens in enumerate(asked[first:first + block], first):
            full, cost = writer.answer(tokens)
            full_cost += cost
            early, cost = writer.answer(tokens, policy=policy, quality=delta)
            early_cost += cost
            see(item, full, early)
        off, on = off + full_cost, on + early_cost
        if full_cost["tokens"] and early_cost["tokens"]:
            ratios.append(per_token(full_cost, "seconds") / per_token(early_cost, "seconds"))
    return {"prompts": len(asked), "layers": per_token(on, "layers"), "layers_off": per_token(off, "layers"),
            "bytes": per_token(on, "bytes") / per_token(off, "bytes"), "rate_off": 1 / per_token(off, "seconds"),
            "rate": 1 / per_token(on, "seconds"), "speed_up": statistics.median(ratios),
            "speed_up_range": [min(ratios), max(ratios)]}


def per_token(cost, what):
    return cost[what] / cost["tokens"]


def speed_cell(figures):
    low, high = figures["speed_up_range"]
    return f"**{figures['speed_up']:.2f}** ({low:.2f}–{high:.2f})"
