"""Cleaning of parallel messages for tasks.py: no outside module, so that tests run wherever Python does.

A message catalogue holds menu entries with accelerator marks, formats of printf, markup and credits. What is left of it here are short
texts that a person would write: clean() takes the marks off, good_pair() says whether a text and its translation are worth learning."""
import glob
import hashlib
import json
import re

LANGUAGES = ("de", "fr", "ru", "ja")
HELD_OUT = 200                                         # of 10,000 buckets: 2 % of the messages

# "Open (_O)", "Open(&O)…": in Japanese the accelerator stands behind the text.
BEHIND = re.compile(r"\s*[(（][_&~][A-Za-z0-9][)）]")
FORMATS = re.compile(r"%(?:\d+\$)?[-+#0 ']*\d*(?:\.\d+)?(?:hh|ll|[hlqjzt])?[a-zA-Z@]|%\d+|%[\[({<]|[{}<>|\\^\x00-\x1f]|\$[({a-zA-Z]"
                     r"|&[a-z]+;|&#|https?:|www\.|@[a-z]|--[a-z]|__|\*\*|==")
CREDITS = re.compile(r"translator|your (names|emails)|copyright|\(c\) ?\d{4}|©", re.I)
LETTER = re.compile(r"[^\W\d_]")
# Shortest and longest translation, by characters of it for a character of the English text (texts of ten characters and more).
RATIO = {"de": (0.6, 2.2), "fr": (0.6, 2.4), "ru": (0.5, 2.2), "ja": (0.18, 1.1)}


def clean(text, accelerator=None):
    """The text without accelerator marks, trailing colons, line ends and doubled spaces, and the accelerator's mark or None.

    accelerator: the mark that was found in the English text; one of the same is then taken out of the translation, wherever it stands."""
    text = BEHIND.sub("", text.replace("\u200b", "").replace("\u00ad", "").replace("\xa0", " ").replace("\u202f", " "))
    found = None
    if accelerator:
        text = text.replace(accelerator, "", 1)
    else:
        # A mark stands once, before a letter at the beginning of a word ("_Open", "Save &As"), or inside ("E&xit", but not "file_name").
        for mark in "&~_":
            if text.count(mark) == 1 and re.search(rf"(?:^|[\s(\"“]){mark}\w" if mark == "_" else rf"{mark}\w", text):
                text, found = text.replace(mark, ""), mark
                break
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s*[:：]$", "", text).replace("...", "…"), found


def script_is(text, language):
    """Whether the letters are those of the language: not an English text that nobody translated."""
    letters = LETTER.findall(text)
    if not letters: return False
    if language == "ru": return sum("\u0400" <= c <= "\u04ff" for c in letters) >= 0.6 * len(letters)
    if language == "ja": return sum("\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" for c in letters) >= 0.4 * len(letters)
    return sum(c < "\u0250" for c in letters) == len(letters)


def good_text(text, most):
    """A text of 2 to most characters, mostly letters, without formats, markup, addresses and credits."""
    if not 2 <= len(text) <= most or FORMATS.search(text) or CREDITS.search(text): return False
    if any(c in text for c in "\n\t&_~"): return False
    letters = len(LETTER.findall(text))
    if letters < 2 or letters < 0.6 * len(text.replace(" ", "")): return False
    # Names of constants and files are not translated.
    return not re.fullmatch(r"\S*[A-Z]\S*[A-Z]\S*|[\w-]+\.\w+|[A-Z0-9]+|\S+\d\S*", text)


def good_pair(english, other, language, most=240):
    """Whether a cleaned text and its cleaned translation are worth learning."""
    if not good_text(english, most) or not 1 <= len(other) <= 2 * most: return False
    if FORMATS.search(other) or CREDITS.search(other) or any(c in other for c in "\n\t&_~"): return False
    if not script_is(english, "en") or not script_is(other, language): return False
    if english.lower() == other.lower(): return False
    low, high = RATIO[language]
    if len(english) >= 10 and not low <= len(other) / len(english) <= high: return False
    if len(english) < 10 and len(other) > 40: return False
    # What ends a sentence on one side does so on the other; digits are the same.
    ends = lambda t: "?" if t[-1] in "?？" else "." if t[-1] in ".。!！" else "…" if t[-1] == "…" else ""
    return ends(english) == ends(other) and sorted(re.findall(r"\d+", english)) == sorted(re.findall(r"\d+", other))


def key(english):
    """The same for all spellings of a message: "&Open File..." and "open file" are held out together."""
    return re.sub(r"[\W_\d]+", " ", english.lower()).strip()


def bucket(key):
    """0 … 9999 by a hash, the same for all translations of a message or page."""
    return int(hashlib.md5(key.encode()).hexdigest()[:8], 16) % 10000


def held_out(key):
    return bucket(key) < HELD_OUT


def read_mo(data):
    """(message, translation) of a compiled catalogue: without contexts, the singular where there are plurals."""
    if len(data) < 28: return
    order = {b"\xde\x12\x04\x95": "little", b"\x95\x04\x12\xde": "big"}.get(data[:4])
    if not order: return
    word = lambda at: int.from_bytes(data[at:at + 4], order)
    count, ids, strings = word(8), word(12), word(16)
    for i in range(count):
        both = []
        for table in (ids, strings):
            size, at = word(table + 8 * i), word(table + 8 * i + 4)
            both.append(data[at:at + size].decode("utf-8", "replace"))
        # \4 ends a context, \0 a plural's form.
        source, target = both[0].split("\x04")[-1].split("\0")[0], both[1].split("\0")[0]
        if source and target and "\ufffd" not in target: yield source, target


def read_desktop(text, language):
    """(name or comment, translation) of a .desktop file."""
    plain = dict(re.findall(r"^(Name|Comment|GenericName)=(.*)$", text, re.M))
    for what, other in re.findall(rf"^(Name|Comment|GenericName)\[{language}\]=(.*)$", text, re.M):
        if what in plain: yield plain[what].strip(), other.strip()


def paragraphs_by_id(page):
    """{id: text} of a help page: headings and paragraphs keep their id in every language."""
    out = {}
    for _, name, body in re.findall(r"<(p|h\d)\b[^>]*?\bid=\"(\w+)\"[^>]*>(.*?)</\1>", page, re.S):
        body = re.sub(r"<[^>]*>", "", body)
        for code, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&nbsp;", " "), ("&#8203;", ""), ("&amp;", "&")): body = body.replace(code, char)
        body = re.sub(r"\s+", " ", body).strip()
        if body: out[name] = body
    return out


def prompt_text(user):
    """What stands before an answer, as the model's chat template writes it."""
    return f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def lines(pattern):
    """The records of files of a JSON value a line."""
    for path in sorted(glob.glob(pattern)):
        with open(path) as f:
            for line in f: yield json.loads(line)
