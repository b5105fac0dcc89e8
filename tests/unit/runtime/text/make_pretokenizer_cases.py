"""Writes pretokenizer_cases.inc: where Python's `regex` cuts, with the patterns as the models' own
tokenizer.json files write them (not as pretokenizer_list.c does).

    python3 make_pretokenizer_cases.py > pretokenizer_cases.inc
"""
import regex

C = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = C + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN35 = (C + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def cased(ending, exclude=""):
    upper = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}" + exclude + "]"
    lower = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}" + exclude + "]"
    first = r"[^\r\n\p{L}\p{N}]?"
    return f"{first}{upper}*{lower}+{ending}|{first}{upper}+{lower}*{ending}|"


O200K = cased(C + "?") + r"\p{N}{1,3}|" + TAIL
YOUTU = [("[\uac00-\ud7a3\u3131-\u318e]+|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
          "|[\u3105-\u312f]+|[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), cased(C + "?") + r"\p{N}|" + TAIL]
TEKKEN = cased("") + r"\p{N}|" + TAIL
KIMI = (r"[\p{Han}]+|" + cased(C + "?", r"&&[^\p{Han}]") +
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DS3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
       r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LETTERS = "".join("-".join(chr(int(end, 16)) for end in item.split("-")) for item in """
0041-005A 0061-007A 00B5 00C0-00D6 00D8-00F6 00F8-01BA 01BC-01BF 01C4-0293 0295-02AF
0370-0373 0376 0377 037B-037D 037F 0386 0388-038A 038C 038E-03A1 03A3-03F5 03F7-0481
048A-052F 0531-0556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B
1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D
1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC
1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D
212F-2134 2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2
2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17
FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2
118A0-118DF 1E900-1E943
""".split())
ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DSLLM = ["[\r\n]", r"\s?[" + LETTERS + "]+",
         r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", ASIAN, r"\p{N}+"]
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
           r"|\s+(?!\S)|\s+")
EXAONE = (C + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?"
          r"|\s*[\r\n]|\s+(?!\S)|\s+")
# A class within a class: Python's `regex` takes it so in its newer version.
BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"

AFMOE = ("[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u3040-\u309f\u30a0-\u30ff\uff65-\uff9f\u2f00-\u2fdf\u0e40-\u0e7f\u0e80-\u0eff"
         "\u1780-\u17ff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\uac00-\ud7af\u1100-\u11ff]+")

ROWS = {
    "gpt-2": [GPT2],
    "olmo": [GPT2],
    "refact": [r"\p{N}", GPT2],
    "command-r": [r"\p{N}", GPT2],
    "llama-bpe": [LLAMA3],
    "dbrx": [LLAMA3],
    "chatglm-bpe": [LLAMA3],
    "glm4": [LLAMA3],
    "minicpm5": [r"\p{N}{1,3}", LLAMA3.replace("{1,3}", "+")],
    "seed-coder": [QWEN2.replace(r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}\r\n]+")],
    "youtu": YOUTU,
    "qwen2": [QWEN2],
    "megrez": [QWEN2],
    "qwen35": [QWEN35],
    "gpt-4o": [O200K],
    "tekken": [TEKKEN],
    "kimi-k2": [KIMI],
    "deepseek-v3": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DS3],
    "deepseek-llm": DSLLM,
    "deepseek-coder": ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", ASIAN, r"\p{N}"],
    "bailingmoe": [BAILING],
    "exaone-moe": [EXAONE],
    "bloom": [BLOOM],
    "viking": [BLOOM, r"\p{N}"],
    "gemma4": [r"[^\n]+|\n+"],
    "afmoe": [r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE, DS3],
    "laguna": [r"[^\n]+|[\n]+", QWEN2],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
}
TEXTS = [
    "Hello, world!  It's 12345 o'clock\n\n  and we'LL go.",
    "HTTPServer camelCase iPhone's ÉCOLE école ǅungla",
    "a  b   c\t\td \n e\r\n\r\nf   ",
    "x=1; y+=22; z**=333 // 4444/55555\n/\n",
    "東京タワーへ行く。 中文 123 한국어 ไทย คำ हिन्दी",
    "🚀 (normal) 😶‍🌫️ … ‘quoted’ — №5 ½ ² ٣٤٥",
    "line\u00a0one\u3000two\u2028three\u180efour \u200b five",
    "     1",
    "\n \n  \n",
    "e\u0301te\u0301 A\u030aB 'S 'Ve it'\u017f",
    "foo_bar->baz[0] !important #tag $VAR %d @user \\n",
    "ends in spaces   ",
    "  中 々 〇 !中 A中b",
    "a(b|c) [d], e... (f)!!  है। کیا۔ نعم، 好、好，好。…",
]


def split(stages, text):
    if not stages:
        return [text]
    pieces, done = [], 0
    version = regex.V1 if "&&" in stages[0] or stages[0] == BLOOM else regex.V0
    for match in regex.compile(stages[0], version).finditer(text):
        if match.start() > done:
            pieces += split(stages[1:], text[done:match.start()])
        pieces += split(stages[1:], match.group())
        done = match.end()
    return pieces + (split(stages[1:], text[done:]) if done < len(text) else [])


def quoted(text):
    out = ""
    for c in text:
        if c in '"\\':
            out += "\\" + c
        elif c.isprintable():
            out += c
        else:
            out += "".join(f"\\{byte:03o}" for byte in c.encode())
    return '"' + out + '"'


print("/* Made by make_pretokenizer_cases.py: row, text, pieces with U+2502 between them. */")
for name, stages in ROWS.items():
    for text in TEXTS:
        pieces = split(stages, text)
        assert "".join(pieces) == text
        line, lines = "", []
        for i, piece in enumerate(pieces):
            part = quoted(piece)[1:-1] + ("│" if i + 1 < len(pieces) else "")
            if len((line + part).encode()) > 90:
                lines.append(line)
                line = ""
            line += part
        lines.append(line)
        print(f'{{ "{name}",\n  {quoted(text)},')
        print("\n".join(f'  "{line}"' for line in lines) + " },")
