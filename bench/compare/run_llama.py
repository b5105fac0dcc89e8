"""run_llama.py MODULE MODEL THREADS N_PROMPT N_TOKENS REPEATS [repack=0|1] [fa=0|1] [greedy=PROMPT]

Runs in the virtual environment of llama-cpp-python (MODULE llama_cpp) or ik-llama-cpp-python (ik_llama_cpp) and
prints {"pp": [tokens/s …], "tg": [tokens/s …]}: prompts of N_PROMPT random tokens read in one batch, then N_TOKENS
tokens one by one, from an empty cache, as llama-bench does. With greedy=PROMPT instead: {"tokens": [ids]}."""
import ctypes
import json
import random
import sys
import time

WARM_UP = 128  # tokens: enough to touch every expert


def bindings(module):
    if module == "ik_llama_cpp":
        from ik_llama_cpp import _ctypes_api as api
        return api
    import llama_cpp
    return llama_cpp


def set_if_there(params, **values):
    for name, value in values.items():
        if hasattr(params, name):
            setattr(params, name, value)


class Runner:
    def __init__(self, module, path, threads, n_context, switches):
        self.api = api = bindings(module)
        self.is_ik = module == "ik_llama_cpp"
        api.llama_backend_init()
        repack, flash = switches.get("repack", "1") == "1", switches.get("fa", "1") == "1"
        params = api.llama_model_default_params()
        set_if_there(params, n_gpu_layers=0, use_extra_bufts=repack, repack_tensors=repack)
        if self.is_ik:
            set_if_there(params, flash_attn=flash)
        self.model = api.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            sys.exit("the model was not loaded")
        params = api.llama_context_default_params()
        set_if_there(params, n_ctx=n_context, n_batch=2048, n_ubatch=512, n_threads=threads,
                     n_threads_batch=threads, no_perf=True)
        if self.is_ik:
            params.flash_attn = flash
        else:
            params.flash_attn_type = 1 if flash else 0
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            sys.exit("no context was made")
        self.vocab = api.llama_model_get_vocab(self.model)
        self.n_vocab = api.llama_vocab_n_tokens(self.vocab)
        self.batch = api.llama_batch_init(max(n_context, 1), 0, 1)

    def clear(self):
        if self.is_ik:
            self.api.llama_kv_cache_clear(self.context)
        else:
            self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def decode(self, tokens, at):
        """Reads the tokens at positions at, at + 1, …; logits of the last."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, at + i, 1, i == len(tokens) - 1
            batch.seq_id[i][0] = 0
        if self.api.llama_decode(self.context, batch) != 0:
            sys.exit("llama_decode failed")
        return self.api.llama_get_logits_ith(self.context, len(tokens) - 1)

    def read_prompt(self, n):
        self.decode([random.randrange(self.n_vocab) for _ in range(n)], 0)

    def generate(self, n):
        for at in range(n):
            self.decode([random.randrange(self.n_vocab)], at)

    def rates(self, work, n, repeats):
        rates = []
        self.clear()
        work(min(n, WARM_UP))
        for _ in range(repeats):
            self.clear()
            start = time.perf_counter()
            work(n)
            rates.append(n / (time.perf_counter() - start))
        return rates

    def greedy(self, prompt, n):
        raw = prompt.encode()
        ids = (ctypes.c_int32 * (len(raw) + 8))()
        n_ids = self.api.llama_tokenize(self.vocab, raw, len(raw), ids, len(ids), True, False)
        tokens, at, new = list(ids[:n_ids]), 0, []
        while len(new) < n:
            logits = self.decode(tokens, at)
            at += len(tokens)
            new.append(max(range(self.n_vocab), key=logits.__getitem__))
            tokens = new[-1:]
        return new


def main(module, path, threads, n_prompt, n_tokens, repeats, *flags):
    switches = dict(flag.split("=", 1) for flag in flags)
    threads, n_prompt, n_tokens, repeats = int(threads), int(n_prompt), int(n_tokens), int(repeats)
    random.seed(1)
    runner = Runner(module, path, threads, max(n_prompt, n_tokens + 256, 512), switches)
    if "greedy" in switches:
        print(json.dumps({"tokens": runner.greedy(switches["greedy"], n_tokens)}))
        return
    print(json.dumps({"pp": runner.rates(runner.read_prompt, n_prompt, repeats) if n_prompt else [],
                      "tg": runner.rates(runner.generate, n_tokens, repeats) if n_tokens else []}))


if __name__ == "__main__":
    main(*sys.argv[1:])
