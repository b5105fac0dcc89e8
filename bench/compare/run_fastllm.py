"""run_fastllm.py MODULE MODEL THREADS N_PROMPT N_TOKENS REPEATS [device=cpu|numa]

Runs in the virtual environment of ftllm and prints {"pp": [tokens/s …], "tg": [tokens/s …]}, by the functions of its own
`ftllm bench`: a prompt of N_PROMPT random tokens until its first answer token is there, then N_TOKENS tokens after a
prompt of one. The prompt's time includes sampling one token."""
import json
import os
import random
import sys


def main(_module, path, threads, n_prompt, n_tokens, repeats, *flags):
    switches = dict(flag.split("=", 1) for flag in flags)
    n_prompt, n_tokens, repeats = int(n_prompt), int(n_tokens), int(repeats)
    stdout = os.dup(1)
    os.dup2(2, 1)  # the library prints its progress, and why it ends
    from ftllm import benchmark
    sys.argv = ["bench", path, "--device", switches.get("device", "cpu"), "--moe_device", switches.get("device", "cpu"),
                "-t", threads, "--max_batch", "1", "--prefix_cache", "false", "--cache_history", "false"]
    args = benchmark.args_parser()
    args.path = args.path or path
    model = benchmark.make_normal_llm_model(args)
    how = benchmark._generation_args(model, args)

    random.seed(1)

    def request(n_in, n_out):
        tokens = [random.randrange(1000, 20000) for _ in range(n_in)]  # of the middle: no special ones
        result = benchmark._run_batch(model, tokens, n_out, 1, how)
        if result["total_output_tokens"] < n_out:
            sys.exit(f"{result['total_output_tokens']} of {n_out} tokens were generated")
        return result

    rates = {"pp": [], "tg": []}
    for i in range(repeats + 1):  # the first is the warm-up
        if n_prompt:
            rates["pp"].append(request(n_prompt, 1)["prefill_tokens_per_second"])
        if n_tokens:
            rates["tg"].append(request(1, n_tokens + 1)["batch_decode_tokens_per_second"])
    os.write(stdout, json.dumps({test: values[1:] for test, values in rates.items()}).encode())
    os._exit(0)  # its threads do not end by themselves


if __name__ == "__main__":
    main(*sys.argv[1:])
