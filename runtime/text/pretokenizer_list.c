/* pretokenizer_list.c - the table of pre-tokenizers: data, no code but the search by name.
 *
 * The patterns are those of the models' tokenizer.json files, written for PCRE2. Four things look
 * different and match the same: white space is spelled out (PCRE2's \s has U+180E besides); a class
 * without Han is written as the complement of all it lacks (PCRE2 has no intersection of classes), and Han as the
 * script alone (PCRE2's \p{Han} has signs besides that other scripts use, too);
 * what would need time or stack beyond linear got a possessive quantifier or a look-behind. */
#include "runtime/text/pretokenizer_list.h"

#include <string.h>

/* ---- parts ---- */

/* White space (Unicode's White_Space), for use inside a class. */
#define WS "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define SPACE "[" WS "]"

/* A run of white space gives its last character to the next piece, unless it ends the text. */
#define SPACES "|" SPACE "+(?![^" WS "])|" SPACE "+"
#define LINES_AND_SPACES "|" SPACE "*[\\r\\n]+" SPACES

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SIGNS " ?[^" WS "\\p{L}\\p{N}]+"

/* Words by letter case: small letters that may follow capitals. */
#define CAPITAL "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define SMALL   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CAPITAL_NOT_HAN "[^\\p{Ll}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"
#define SMALL_NOT_HAN   "[^\\p{Lu}\\p{Lt}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}\\p{sc:Han}]"
#define CASED(capital, small, ending)                                    \
    "[^\\r\\n\\p{L}\\p{N}]?" capital "*" small "+" ending                  \
    "|[^\\r\\n\\p{L}\\p{N}]?" capital "+" small "*" ending

/* ---- whole patterns ---- */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" SIGNS SPACES
#define WORDS(digits) CONTRACTION "|" WORD "|" digits "|" SIGNS "[\\r\\n]*" LINES_AND_SPACES
#define LLAMA3 WORDS("\\p{N}{1,3}")
#define SEEDCODER CONTRACTION "|" WORD "|\\p{N}| ?[^" WS "\\p{L}\\p{N}]+" LINES_AND_SPACES
#define QWEN2 WORDS("\\p{N}")
#define QWEN35                                                              \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}"              \
    "| ?[^" WS "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" LINES_AND_SPACES
#define O200K                                                               \
    CASED(CAPITAL, SMALL, CONTRACTION "?")                                  \
    "|\\p{N}{1,3}|" SIGNS "[\\r\\n/]*" LINES_AND_SPACES
#define YOUTU CASED(CAPITAL, SMALL, CONTRACTION "?") "|\\p{N}|" SIGNS "[\\r\\n/]*" LINES_AND_SPACES
#define TEKKEN CASED(CAPITAL, SMALL, "") "|\\p{N}|" SIGNS "[\\r\\n/]*" LINES_AND_SPACES
#define KIMI                                                                \
    "\\p{sc:Han}+|" CASED(CAPITAL_NOT_HAN, SMALL_NOT_HAN, CONTRACTION "?")     \
    "|\\p{N}{1,3}|" SIGNS "[\\r\\n]*" LINES_AND_SPACES
#define BAILING                                                             \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"            \
    "| ?[^" WS "\\p{L}\\p{N}]++[\\r\\n]*|" SPACE "*[\\r\\n]" SPACES
#define BLOOM " ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define EXAONEMOE                                                           \
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}" \
    "|" SIGNS "[\\r\\n/]?|" SPACE "*[\\r\\n]" SPACES

#define DEEPSEEK3                                                           \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                 \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" LINES_AND_SPACES

/* Letters that have case, as one model's tokenizer.json lists them. */
#define CASED_LETTERS \
    "\\x{41}-\\x{5a}\\x{61}-\\x{7a}\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}" \
    "\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}" \
    "\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}" \
    "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}" \
    "\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}" \
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}" \
    "\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}" \
    "\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}" \
    "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}" \
    "\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}" \
    "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}" \
    "\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}" \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}" \
    "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}" \
    "\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}" \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}" \
    "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}" \
    "\\x{1e900}-\\x{1e943}"
#define ASIAN "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

/* Scripts without spaces between words, as AFMoE's tokenizer has them. */
#define AFMOE_CJK \
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-\\x{309f}" \
    "\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}" \
    "\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}" \
    "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+"

/* ---- the rows ---- */

static const struct pretokenizer_row rows[] = {
    { .names = { "gpt-2", "jais", "trillion", "exaone4", "mellum", "phi-2", "gigachat", "a.x-4.0",
                 "granite-docling" },
      .stages = { GPT2 } },
    { .names = { "olmo", "mpt" }, .stages = { GPT2 }, .nfc = true },
    { .names = { "refact", "starcoder", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2" },
      .stages = { "\\p{N}", GPT2 } },
    { .names = { "command-r" }, .stages = { "\\p{N}", GPT2 }, .nfc = true },
    { .names = { "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                 "lfm2" },
      .stages = { LLAMA3 }, .ignore_merges = true, .add_bos = true },
    { .names = { "dbrx", "smaug-bpe" }, .stages = { LLAMA3 } },
    { .names = { "chatglm-bpe" }, .stages = { LLAMA3 }, .no_bos = true },
    { .names = { "glm4", "glm5" }, .stages = { LLAMA3 }, .ignore_merges = true, .no_bos = true },
    { .names = { "minicpm5" }, .stages = { "\\p{N}{1,3}", WORDS("\\p{N}+") }, .ignore_merges = true },
    { .names = { "seed-coder" }, .stages = { SEEDCODER } },
    { .names = { "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan" }, .stages = { QWEN2 }, .nfc = true },
    { .names = { "megrez", "solar-open", "grok-2", "kormo" }, .stages = { QWEN2 } },
    { .names = { "qwen35" }, .stages = { QWEN35 }, .nfc = true },
    { .names = { "gpt-4o", "llama4", "kanana2", "minimax-m2", "talkie" }, .stages = { O200K } },
    { .names = { "tekken" }, .stages = { TEKKEN }, .ignore_merges = true, .add_bos = true },
    { .names = { "kimi-k2" }, .stages = { KIMI }, .ignore_merges = true, .merges_may_lack = true },
    { .names = { "youtu" },
      .stages = { "[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}"
                  "\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+"
                  "|[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+", YOUTU },
      .ignore_merges = true },
    { .names = { "deepseek-v3", "joyai-llm", "hunyuan-dense" },
      .stages = { "\\p{N}{1,3}", "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
                  DEEPSEEK3 } },
    { .names = { "deepseek-llm" },
      .stages = { "[\\r\\n]", SPACE "?[" CASED_LETTERS "]+",
                  SPACE "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
                        "\\x{3000}-\\x{3002}]+",
                  "(?<!" SPACE ")" SPACE "++$", ASIAN, "\\p{N}+" } },
    { .names = { "deepseek-coder" },
      .stages = { "[\\r\\n]", SPACE "?\\p{L}+", SPACE "?\\p{P}+", ASIAN, "\\p{N}" } },
    { .names = { "bailingmoe", "bailingmoe2", "llada-moe" }, .stages = { BAILING } },
    { .names = { "bloom", "poro-chat", "gpt3-finnish" }, .stages = { BLOOM } },
    { .names = { "viking" }, .stages = { BLOOM, "\\p{N}" } },
    { .names = { "exaone-moe" }, .stages = { EXAONEMOE } },
    { .names = { "afmoe" }, /* digits by threes from the end of a number */
      .stages = { "\\p{N}+", "\\A\\p{N}{1,2}(?=(?:\\p{N}{3})*+\\z)|\\p{N}{3}", AFMOE_CJK, DEEPSEEK3 } },
    { .names = { "laguna" }, .stages = { "[^\\n]+|\\n+", QWEN2 } },
    { .names = { "gemma4" }, .stages = { "[^\\n]+|\\n+" }, .always_bos = true, .no_bos = true, .is_plain = true },
    { .names = { "default" },
      .stages = { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" } },
};

const struct pretokenizer_row *cm_pretokenizer_row_at(size_t i)
{
    return i < sizeof rows / sizeof rows[0] ? &rows[i] : NULL;
}

const struct pretokenizer_row *cm_pretokenizer_row(const char *name, size_t n_bytes)
{
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++)
        for (size_t i = 0; i < PRETOKENIZER_MAX_NAMES && rows[row].names[i]; i++)
            if (strlen(rows[row].names[i]) == n_bytes && !memcmp(rows[row].names[i], name, n_bytes))
                return &rows[row];
    return NULL;
}
