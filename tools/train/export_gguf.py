#!/usr/bin/env python3
"""Write a checkpoint of train.py as an ordinary GGUF v3 file: architecture qwen3moe, matrices Q8_0, norms and routers F32."""
import argparse, json
import gguf
import numpy as np
import model as M

CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
ABOUT = ("Small mixture-of-experts model trained from scratch for the tests and demonstrations of the calmoe runtime, with a loss at every layer "
         "so that tokens may leave early. Training text: English, German, French, Russian and Japanese documentation, C and Python source code, "
         "all from packages of Debian 12 (main), listed with their licences in models/README.md.")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("tokenizer", help="tokenizer.json of prepare.py")
    ap.add_argument("out", help="the GGUF file to write")
    src = ap.add_mutually_exclusive_group(required=True)
    src.add_argument("--checkpoint", help="checkpoint of train.py (nano.pt)")
    src.add_argument("--random", action="store_true", help="untrained weights of the same shapes")
    ap.add_argument("--context", type=int, help="context_length to declare (default: the checkpoint's)")
    a = ap.parse_args()

    tok = json.load(open(a.tokenizer))
    vocab = tok["model"]["vocab"] | {t["content"]: t["id"] for t in tok["added_tokens"]}
    special = {t["content"] for t in tok["added_tokens"]}
    names = sorted(vocab, key=vocab.get)
    assert [vocab[n] for n in names] == list(range(len(names)))
    if a.random:
        cfg = M.Config(vocab=len(names)); w = M.init(cfg)
    else:
        cfg, w, _ = M.load(a.checkpoint)
    assert cfg.vocab == len(names)

    g = gguf.GGUFWriter(a.out, "qwen3moe")
    g.add_type("model")
    g.add_name("calmoe-nano"); g.add_basename("calmoe-nano"); g.add_license("mit"); g.add_description(ABOUT)
    g.add_size_label(f"{cfg.experts}x{sum(w[n].numel() for n in w) / 1e6:.0f}M-total")
    g.add_languages(["en", "de", "fr", "ru", "ja"])
    g.add_quantization_version(gguf.GGML_QUANT_VERSION); g.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    g.add_context_length(a.context or cfg.context); g.add_embedding_length(cfg.embd); g.add_block_count(cfg.layers)
    g.add_feed_forward_length(cfg.width * cfg.used)
    g.add_head_count(cfg.heads); g.add_head_count_kv(cfg.kv_heads); g.add_key_length(cfg.head_dim); g.add_value_length(cfg.head_dim)
    g.add_layer_norm_rms_eps(cfg.eps); g.add_rope_freq_base(cfg.rope_base); g.add_rope_dimension_count(cfg.head_dim)
    g.add_expert_count(cfg.experts); g.add_expert_used_count(cfg.used); g.add_expert_feed_forward_length(cfg.width)
    g.add_vocab_size(cfg.vocab)

    g.add_tokenizer_model("gpt2"); g.add_tokenizer_pre("qwen2")
    g.add_token_list(names)
    g.add_token_types([gguf.TokenType.CONTROL if n in special else gguf.TokenType.NORMAL for n in names])
    g.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tok["model"]["merges"]])
    end = vocab["<|endoftext|>"]
    g.add_bos_token_id(end); g.add_eos_token_id(end); g.add_pad_token_id(end); g.add_eot_token_id(vocab["<|im_end|>"])
    g.add_add_bos_token(False); g.add_add_eos_token(False)
    g.add_chat_template(CHATML)

    for n, t in w.items():
        t = t.numpy().astype(np.float32)
        if M.is_float(n): g.add_tensor(n, t)
        else: g.add_tensor(n, gguf.quants.quantize(t, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    g.write_header_to_file(); g.write_kv_data_to_file(); g.write_tensors_to_file(); g.close()

if __name__ == "__main__":
    main()
