#!/usr/bin/env python3
"""Greedy answers of a model to passages of its training text, as one more token stream for train.py --own.

    own_answers.py DIR MODEL.gguf --runtime build/shared/libcalmoe.so --answers 8000

Writes DIR/tokens/own.npy: passage, answer, <|endoftext|>, and so on; what is not the text's is marked (train.py: OWN)."""
import argparse
import ctypes as c
import multiprocessing
import os
import numpy as np

DOMAINS = ["en", "de", "fr", "ru", "ja", "c", "python"]
OWN = 1 << 15


class EngineOptions(c.Structure):                      # the first fields of calmoe_engine_options, and room for the others
    _fields_ = [("size", c.c_size_t), ("n_threads", c.c_int), ("pin_threads", c.c_int), ("rest", c.c_char * 1024)]


def answer(job):
    """Answers [lists of ids] to prompts, by one thread of the runtime."""
    library, path, prompts, length = job
    calmoe = c.CDLL(library)
    context, model, engine, session = (c.c_void_p() for _ in range(4))
    def must(status):
        calmoe.calmoe_context_message.restype = c.c_char_p
        if status: raise SystemExit(calmoe.calmoe_context_message(context).decode())
    must(calmoe.calmoe_context_open(None, c.byref(context)))
    must(calmoe.calmoe_model_open(context, path.encode(), None, c.byref(model)))
    options = EngineOptions()
    calmoe.calmoe_engine_options_init(c.byref(options))
    options.n_threads, options.pin_threads = 1, 0
    must(calmoe.calmoe_engine_open(model, c.byref(options), c.byref(engine)))
    must(calmoe.calmoe_session_open(engine, None, c.byref(session)))
    answers, token = [], c.c_int32()
    for prompt in prompts:
        must(calmoe.calmoe_session_rewind(session, 0))
        must(calmoe.calmoe_session_feed_tokens(session, (c.c_int32 * len(prompt))(*prompt), c.c_size_t(len(prompt))))
        said = []
        while len(said) < length and calmoe.calmoe_session_next(session, c.byref(token)) == 0:
            said.append(token.value)
        answers.append(said)
    calmoe.calmoe_session_close(c.byref(session))
    calmoe.calmoe_engine_close(c.byref(engine))
    return answers


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that prepare.py filled")
    ap.add_argument("model", help="GGUF file of export_gguf.py")
    ap.add_argument("--runtime", required=True, help="libcalmoe.so (cmake -DBUILD_SHARED_LIBS=ON)")
    ap.add_argument("--answers", type=int, default=8000, help="in all (default 8000)")
    ap.add_argument("--length", type=int, default=64, help="of an answer at most, in tokens (default 64)")
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    from tokenizers import Tokenizer
    end = Tokenizer.from_file(f"{a.dir}/tokenizer.json").token_to_id("<|endoftext|>")
    rng, prompts = np.random.default_rng(a.seed), []
    streams = {d: np.load(f"{a.dir}/tokens/{d}.npy") for d in DOMAINS}
    for i in range(a.answers):
        s, n = streams[DOMAINS[i % len(DOMAINS)]], int(rng.integers(24, 97))
        at = int(rng.integers(len(s) - n))
        prompts.append(s[at:at + n].tolist())
    parts = os.cpu_count()
    with multiprocessing.Pool(parts) as pool:
        answers = pool.map(answer, [(a.runtime, a.model, prompts[i::parts], a.length) for i in range(parts)], chunksize=1)
    stream = []
    for i, prompt in enumerate(prompts):
        stream += [*prompt, *(t | OWN for t in answers[i % parts][i // parts] if t != end), end | OWN]
    np.save(f"{a.dir}/tokens/own.npy", np.array(stream, np.uint16))
    print(f"{len(prompts)} answers of {np.mean([len(s) for part in answers for s in part]):.1f} tokens, {len(stream)} tokens in all")


if __name__ == "__main__":
    main()
