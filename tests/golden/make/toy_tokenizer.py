"""Small but complete tokenizers for the golden models, in GGUF form and as HF `tokenizers` objects.

Each builder returns a Toy: what the GGUF file has to say (`tokens`, `types`, `merges` or `scores`, ids), and
`encode`, done by HF tokenizers with the rules that the family's own tokenizer.json states.
"""
import re
from dataclasses import dataclass, field

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Fixed text from which the merges are learned.
CORPUS = """The router sends each token to the few experts that the token needs, and the other experts rest.
A token that is already sure leaves the layers early; the rest of the tokens go on in the other layers.
then there is the norm, the score, the route, the expert, the sum, and then the next layer is there again"""

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REGEX = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama3": CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
CAPITAL, SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REGEX["o200k"] = (rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}*{SMALL}+{CONTRACTION}?|[^\r\n\p{{L}}\p{{N}}]?{CAPITAL}+{SMALL}*{CONTRACTION}?"
                  r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKED = r"\p{L}\p{M}"
REGEX["qwen35"] = (CONTRACTION + rf"|[^\r\n\p{{L}}\p{{N}}]?[{MARKED}]+|\p{{N}}| ?[^\s{MARKED}\p{{N}}]+[\r\n]*"
                   r"|\s*[\r\n]+|\s+(?!\S)|\s+")
REGEX["bailing"] = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
REGEX["digits3"] = r"\p{N}{1,3}"
REGEX["lines"], REGEX["numbers"], REGEX["asian"] = r"[\r\n]", r"\p{N}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
REGEX["cased"], REGEX["signs"], REGEX["end"] = r"\s?[\p{Lu}\p{Ll}\p{Lt}]+", r"\s?[!-/:-~]+", r"\s+$"
REGEX["cjk"] = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
REGEX["deepseek3"] = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                      r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
REGEX["bloom"] = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"    # published with one class inside the other
REGEX["runs"] = r"[^\n]+|\n+"
# tokenizer.ggml.pre -> the stages of pre-tokenization
PRE = {
    "olmo": ["gpt2"],
    "refact": ["digits", "gpt2"],
    "qwen2": ["qwen2"],
    "qwen35": ["qwen35"],
    "llama-bpe": ["llama3"],
    "lfm2": ["llama3"],
    "pixtral": ["llama3"],
    "dbrx": ["llama3"],
    "smaug-bpe": ["llama3"],
    "deepseek-llm": ["lines", "cased", "signs", "end", "asian", "numbers"],
    "deepseek-v3": ["digits3", "cjk", "deepseek3"],
    "gpt-4o": ["o200k"],
    "minimax-m2": ["o200k"],
    "glm4": ["llama3"],
    "chatglm-bpe": ["llama3"],
    "llama4": ["o200k"],
    "hunyuan": ["qwen2"],
    "hunyuan-dense": ["digits3", "cjk", "deepseek3"],
    "bailingmoe": ["bailing"],
    "bailingmoe2": ["bailing"],
    "bloom": ["bloom"],
    "gemma4": ["runs"],
}


@dataclass
class Toy:
    model: str                      # tokenizer.ggml.model
    pre: str
    tokens: list
    types: list
    ids: dict                       # key of tokenizer.ggml.* -> value
    hf: Tokenizer = None
    merges: list = None
    scores: list = None
    first: list = field(default_factory=list)   # ids put before the text when a beginning is asked for

    def encode(self, text):
        return self.first + self.hf.encode(text, add_special_tokens=False).ids

    def text_ids(self):
        """Ids that stand for text, which a greedy continuation may contain."""
        return {i for i, t in enumerate(self.types) if t in (NORMAL, BYTE)}


def byte_map():
    """GPT-2's byte -> printable character map."""
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars = {b: chr(b) for b in kept}
    for n, b in enumerate(b for b in range(256) if b not in chars):
        chars[b] = chr(256 + n)
    return chars


def learn_merges(count):
    chars = byte_map()
    words = ["".join(chars[b] for b in w.encode()) for w in re.findall(r" ?[A-Za-z]+|[^A-Za-z]", CORPUS)]
    words = [list(w) for w in words]
    merges = []
    while len(merges) < count:
        pairs = {}
        for w in words:
            for pair in zip(w, w[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for w in words:
            i = 0
            while i + 1 < len(w):
                if (w[i], w[i + 1]) == best:
                    w[i:i + 2] = [w[i] + w[i + 1]]
                i += 1
    return merges


def bpe(pre, n_merges, specials, ids, specials_first=False, n_pad=0):
    """Byte-level BPE: 256 byte tokens, one token per merge, control tokens, unused padding rows.

    `specials` are control tokens; `ids` maps keys such as "eos" to one of them.
    """
    merges = learn_merges(n_merges)
    chars = byte_map()
    text = [chars[b] for b in sorted(chars, key=lambda b: ord(chars[b]))] + [a + b for a, b in merges]
    pads = [f"[PAD{len(text) + len(specials) + i}]" for i in range(n_pad)]
    tokens = specials + text if specials_first else text + specials
    types = [CONTROL if t in specials else NORMAL for t in tokens] + [UNUSED] * n_pad
    vocab = {t: i for i, t in enumerate(tokens)}
    hf = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=pre in ("llama-bpe", "lfm2", "pixtral")))
    stages = []
    for stage in PRE[pre]:
        if stage == "digits":
            stages.append(pre_tokenizers.Digits(individual_digits=True))
        else:
            stages.append(pre_tokenizers.Split(Regex(REGEX[stage]), "isolated"))
    stages.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    hf.pre_tokenizer = pre_tokenizers.Sequence(stages)
    if pre in ("qwen2", "qwen35", "hunyuan"):
        hf.normalizer = normalizers.NFC()
    keys = {f"{k}_token_id": vocab[t] for k, t in ids.items()}
    if pre in ("llama-bpe", "llama4", "minimax-m2", "lfm2", "pixtral") or pre.startswith("deepseek"):
        keys["add_bos_token"] = True
    elif pre in ("qwen2", "qwen35", "dbrx"):
        keys["add_bos_token"] = False
    first = [keys["bos_token_id"]] if keys.get("add_bos_token") else []
    return Toy("gpt2", pre, tokens + pads, types, keys, hf, merges=[f"{a} {b}" for a, b in merges], first=first)


def spm(pieces, controls=("<unk>", "<s>", "</s>"), unknown=0, bos=1, eos=2, has_prefix=True):
    """SentencePiece-like: <unk> and control tokens, 256 byte tokens, normal pieces with falling scores.

    has_prefix: texts begin as if a space stood before them, which files say only where it is not so.
    """
    tokens = list(controls) + [f"<0x{b:02X}>" for b in range(256)] + pieces
    types = [CONTROL] * len(controls) + [BYTE] * 256 + [NORMAL] * len(pieces)
    types[unknown] = UNKNOWN
    scores = [0.0] * (len(controls) + 256) + [-float(i) for i in range(len(pieces))]
    vocab = {t: i for i, t in enumerate(tokens)}
    assert len(vocab) == len(tokens)
    score = {t: s for t, s in zip(tokens, scores)}
    normal = set(pieces)
    merges = []
    for p in sorted((p for p in pieces if len(p) > 1), key=lambda p: -score[p]):
        splits = [(p[:i], p[i:]) for i in range(1, len(p)) if p[:i] in normal and p[i:] in normal]
        assert splits, f"piece {p!r} cannot be reached"
        merges += splits
    hf = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    prefix = [normalizers.Prepend("\u2581")] if has_prefix else []
    hf.normalizer = normalizers.Sequence(prefix + [normalizers.Replace(" ", "\u2581")])
    keys = {"bos_token_id": bos, "eos_token_id": eos, "unknown_token_id": unknown, "add_bos_token": True,
            "add_eos_token": False}
    if not has_prefix:
        keys["add_space_prefix"] = False
    return Toy("llama", "default", tokens, types, keys, hf, scores=scores, first=[bos])


SPM_PIECES = [
    "\u2581t", "he", "\u2581the", "\u2581a", "in", "er", "re", "ou", "\u2581to", "\u2581e", "xp", "\u2581exp", "ert", "\u2581expert",
    "\u2581", "e", "t", "a", "o", "i", "n", "s", "r", "h", "x", "p", "u", "d", "\u00e9",
]


def spm_toy(count):
    return spm(SPM_PIECES[:count])


def gemma3_toy(count):
    return spm(SPM_PIECES[:count], ("<pad>", "<eos>", "<bos>", "<unk>"), unknown=3, bos=2, eos=1, has_prefix=False)


def gemma4_toy(count):
    """The same pieces in the form of Gemma 4's files: merged by a list, not by scores."""
    toy = gemma3_toy(count)
    normal = [t for t, kind in zip(toy.tokens, toy.types) if kind == NORMAL]
    toy.merges = [f"{p[:i]} {p[i:]}" for p in normal for i in range(1, len(p)) if p[:i] in normal and p[i:] in normal]
    toy.model, toy.pre, toy.scores = "gemma4", "gemma4", None
    return toy
