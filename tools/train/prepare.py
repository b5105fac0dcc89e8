#!/usr/bin/env python3
"""Turn the packages fetched by get_data.sh, and what tasks.py made of them, into text, a tokenizer and token streams.

Writes into DIR: text/<domain>.{train,heldout}.jsonl ({"key", "text"} a document), tokenizer.json,
tokens/<domain>.npy (uint16, documents ended by <|endoftext|>), tokens/tasks.npz (the exchanges) and prepare.json (counts).
"""
import argparse, glob, gzip, hashlib, html, json, os, re
from html.parser import HTMLParser
import numpy as np
from clean import bucket, lines, prompt_text

LANGS = {"en": "en", "de": "de", "fr": "fr", "ru": "ru", "ja": "ja"}
DOMAINS = [*LANGS, "c", "python"]
PROMPT = 1 << 14                                       # marks a token of tasks.npz that is not the answer's
HELD_OUT = 320                                         # of 10,000 buckets: 3.2 % of the pages
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")

# ---------------------------------------------------------------- man pages

# Sections that repeat on every page: authorship, licence, translators.
DROP = re.compile(r"^(COPYRIGHT|COLOPHON|AUTHORS?|REPORTING BUGS|ÜBERSETZUNG|AUTOR(EN)?|COPYRIGHT.*|FEHLER (BERICHTEN|MELDEN)|TRADUCTION|"
                  r"AUTEURS?|SIGNALER DES BOGUES|SIGNALEMENT.*|ПЕРЕВОД|АВТОРЫ?|АВТОРСКИЕ ПРАВА|ОБ ОШИБКАХ|СООБЩЕНИЯ? ОБ ОШИБКАХ|ЗАМЕЧАНИЯ|"
                  r"著者|作者|著作権|翻訳.*|この文書について|バグの報告|バグ報告|MPL|ЛИЦЕНЗИЯ)$", re.I)
NAMED = {"em": "—", "en": "–", "hy": "-", "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "bu": "•", "co": "©",
         "ga": "`", "ha": "^", "ti": "~", "rs": "\\", "->": "→", "<-": "←", "mu": "×", "+-": "±", "<=": "≤", ">=": "≥", "Fo": "«", "Fc": "»", "ci": "○", "mi": "-", "tm": "™", "rg": "®", "..": "…"}

def unescape(s):
    s = re.sub(r'\\".*', "", s)
    s = re.sub(r"\\f(\[[^]]*\]|\(..|.)|\\s[-+]?\d+|\\[&,/:%|^]|\\[hv]'[^']*'|\\m\[[^]]*\]|\\[kn](\[[^]]*\]|\(..|.)|\\c", "", s)
    s = re.sub(r"\\\[([^]]*)\]", lambda m: chr(int(m[1][1:], 16)) if re.fullmatch(r"u[0-9A-Fa-f]{4,5}", m[1]) else NAMED.get(m[1], ""), s)
    s = re.sub(r"\\\((..)", lambda m: NAMED.get(m[1], ""), s)
    s = re.sub(r"\\\*(\[([^]]*)\]|\((..)|.)", lambda m: NAMED.get(m[2] or m[3] or "", ""), s)
    return s.replace("\\-", "-").replace("\\e", "\\").replace("\\ ", " ").replace("\\~", " ").replace("\\0", " ").replace("\\'", "'").replace("\\`", "`").replace("\\.", ".").replace("\\\\", "\\")

def macro_args(s):
    return [a[1:-1].replace('""', '"') if a[:1] == '"' else a for a in re.findall(r'"(?:[^"]|"")*"?|(?:\\ |\S)+', s)]

def man_text(src):
    """Plain text of a man(7) page and its NAME line. Tables, equations and mdoc pages are left out."""
    out, para, skip, nofill, table, name, section, brk = [], [], False, False, False, None, "", False
    def flush():
        if para:
            out.append(("\n" if nofill else " ").join(para))
            para.clear()
    if re.search(r"^\.(Dd|Sh) ", src, re.M) or src.startswith(".so "):
        return None, None
    lines = src.replace("\\\n", "").split("\n")
    pending = False                                   # after .TP the next line is a label of its own
    n = 0
    for ln in lines:
        if ln.startswith((".\\\"", "'\\\"", "'\\", "...")): continue
        if table:
            table = not ln.startswith(".TE"); continue
        m = re.match(r"^[.']\s*([A-Za-z]{1,3})\b\s*(.*)$", ln)
        if m:
            mac, arg = m[1], m[2]
            if mac == "TS": table = True; continue
            if mac in ("SH", "SS"):
                flush(); title = unescape(" ".join(macro_args(arg))).strip()
                if mac == "SH":
                    n += 1; section = title; skip = bool(DROP.match(title))
                if not skip: out.append(("## " if mac == "SH" else "### ") + title)
                continue
            if skip: continue
            if mac in ("PP", "LP", "P", "sp", "HP", "RS", "RE", "IP", "TP", "TQ"):
                if mac != "RE" or para: flush()
                if mac == "IP" and arg:
                    a = macro_args(arg)[0]; a = unescape(a).strip()
                    if a: para.append(a)
                pending = mac in ("TP", "TQ")
                continue
            if mac in ("nf", "EX"): flush(); nofill = True; continue
            if mac in ("fi", "EE"): flush(); nofill = False; continue
            if mac == "br":
                if para: para[-1] += "\n"
                continue
            if mac in ("B", "I", "SM", "SB"): t = unescape(" ".join(macro_args(arg)))
            elif mac in ("BR", "RB", "BI", "IB", "RI", "IR"): t = unescape("".join(macro_args(arg)))
            elif mac in ("UR", "MT"): t = unescape(arg)
            else: continue
        else:
            if skip: continue
            t = unescape(ln)
            if not t.strip():
                flush(); continue
        t = t if nofill else t.strip()
        if t: para.append(t)
        if n == 1 and name is None and " - " in t: name = t
        if pending: para.append("\n"); pending = False
    flush()
    text = "\n\n".join(p for p in out if p.strip())
    text = re.sub(r" *\n(?!\n) ?", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text), name

# ---------------------------------------------------------------- html, pod

class Plain(HTMLParser):
    BLOCK = {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "dt", "dd", "tr", "pre", "blockquote", "table", "ul", "ol", "dl", "section", "article"}
    SKIP = {"script", "style", "head", "nav", "footer", "header", "aside", "select", "button"}
    SKIP_CLASS = re.compile(r"navheader|navfooter|toc\b|legalnotice|copyright|headerlink|docnav|noindex|relatedtopics|breadcrumb|sphinxsidebar|related\b|footer|BreadCrumbs|search", re.I)
    VOID = {"br", "img", "hr", "input", "meta", "link", "col", "area", "base", "wbr", "source"}
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.paras, self.cur, self.stack, self.skipping, self.pre = [], [], [], 0, 0
    def end(self):
        t = "".join(self.cur); self.cur = []
        t = t.strip("\n") if self.pre else re.sub(r"\s+", " ", t).strip()
        if t.strip(): self.paras.append(t)
    def handle_starttag(self, tag, attrs):
        if tag in self.VOID:
            if tag == "br": self.cur.append("\n" if self.pre else " ")
            return
        a = dict(attrs)
        bad = tag in self.SKIP or bool(self.SKIP_CLASS.search((a.get("class") or "") + " " + (a.get("id") or "")))
        if tag in self.BLOCK: self.end()
        self.stack.append((tag, bad)); self.skipping += bad
        if tag == "pre": self.pre += 1
        if not self.skipping:
            if tag == "li": self.cur.append("- ")
            elif tag in ("h1", "h2"): self.cur.append("## ")
            elif tag in ("h3", "h4", "h5"): self.cur.append("### ")
            elif tag in ("td", "th") and self.cur: self.cur.append(" ")
    def handle_endtag(self, tag):
        if tag in self.VOID or not any(t == tag for t, _ in self.stack): return
        while self.stack:
            t, bad = self.stack.pop()
            if t in self.BLOCK: self.end()
            self.skipping -= bad
            if t == "pre": self.pre -= 1
            if t == tag: break
    def handle_data(self, d):
        if not self.skipping: self.cur.append(d)

def html_text(src):
    p = Plain(); p.feed(src); p.close(); p.end()
    t = "\n\n".join(p.paras)
    return re.sub(r"(?m)^- \n\n", "- ", t.replace("¶", "").replace("\u200b", "").replace("\xa0", " "))

def pod_text(src):
    src = re.sub(r"(?ms)^=(begin|for)\b.*?(^=end.*?$|\n\n)", "", src)
    src = re.sub(r"(?m)^=head(\d) ", lambda m: "## " if m[1] == "1" else "### ", src)
    src = re.sub(r"(?m)^=item \* *", "- ", src); src = re.sub(r"(?m)^=item ", "", src)
    src = re.sub(r"(?m)^=\w+.*\n", "", src)
    for _ in range(3): src = re.sub(r"[IBCFSXL]<{1,3} ?([^<>]*?) ?>{1,3}", r"\1", src)
    return html.unescape(re.sub(r"E<(\w+)>", r"&\1;", src))

# ---------------------------------------------------------------- sources

def read(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f: b = f.read()
    for enc in ("utf-8", "latin-1"):
        try: return b.decode(enc)
        except UnicodeDecodeError: pass

def sources(root, lang):
    """(key, kind, path): the key is the same for every translation or packaged copy of one page."""
    g = lambda pat: sorted(f for f in glob.glob(os.path.join(root, "pkg", pat), recursive=True) if os.path.isfile(f) and not os.path.islink(f))
    base = lambda f: re.sub(r"(\.(html|gz|txt|rst|xhtml|%s))+$" % lang, "", os.path.basename(f))
    if lang == "c":
        for d in ("lib", "kernel", "mm", "ipc", "block", "init", "fs"):
            for f in g(f"linux-source-6.1/src/{d}/**/*.c"):
                if not re.search("/nls/|unicode/utf8|crc.*table", f): yield f.split("/src/")[1], "code", f
        return
    if lang == "python":
        for p in ("libpython3.11-stdlib", "libpython3.11-minimal", "python3-*", "mercurial-common"):
            for f in g(f"{p}/usr/**/*.py"):           # not the tables of names and of character sets
                if not re.search(r"/encodings/|/lexers/_|/conf/locale/|_lsprof|reserved_words", f): yield "/".join(f.split("/")[-2:]), "code", f
        return
    m = "" if lang == "en" else lang + "/"
    for p in (["manpages", "manpages-dev", "coreutils"] if lang == "en" else [f"manpages-{lang}", f"manpages-{lang}-dev"]):
        for f in g(f"{p}/usr/share/man/{m}man*/*.gz"): yield "man/" + base(f), "man", f
    for f in g(f"libreoffice-help-{'en-us' if lang == 'en' else lang}/usr/share/libreoffice/help/*/text/**/*.html"):
        yield "lo/" + f.split("/text/")[1], "html", f
    for f in g(f"debian-reference-{lang}/usr/share/debian-reference/*.{lang}.html"): yield "reference/" + base(f), "html", f
    for f in g(f"debian-handbook/usr/share/doc/debian-handbook/html/{lang}-*/*.html"): yield "handbook/" + base(f), "html", f
    for f in g(f"installation-guide-amd64/usr/share/doc/installation-guide-amd64/{lang}/*.html"): yield "install/" + base(f), "html", f
    for f in g(f"debian-faq*/usr/share/doc/debian/FAQ/{'' if lang == 'en' else lang + '/'}*.html"):
        if lang != "en" or "/debian-faq/" in f: yield "faq/" + base(f), "html", f
    for f in g(f"aptitude-doc-{lang}/usr/share/doc/aptitude/html/{lang}/*.html"): yield "aptitude/" + base(f), "html", f
    for f in g(f"gimp-help-{lang}/usr/share/gimp/2.0/help/{lang}/*.html"): yield "gimp/" + base(f), "html", f
    if lang == "en":
        for f in g("git-doc/usr/share/doc/git-doc/*.txt") + g("git-doc/usr/share/doc/git-doc/[a-z]*/*.txt"): yield "git/" + base(f), "text", f
        for f in g("python3.11-doc/usr/share/doc/python3.11/html/**/*.html"):
            if "_sources" not in f and "genindex" not in f: yield "pydoc/" + "/".join(f.split("/")[-2:]), "html", f
        for f in g("perl-doc/usr/share/perl/*/pod/*.pod"):
            if not re.search(r"delta|perl(cn|jp|ko|tw|toc|uniprops|modlib)\.pod", f): yield "perl/" + base(f), "pod", f

def in_language(t, lang):
    """Rejects pages that were left untranslated."""
    letters = sum(c.isalpha() for c in t) or 1
    if lang == "ru": return sum("а" <= c.lower() <= "я" for c in t) > 0.3 * letters
    if lang == "ja": return sum("\u3040" <= c <= "\u9fff" for c in t) > 0.25 * letters
    if lang in ("de", "fr"):
        w = re.findall(r"[^\W\d_]+", t.lower())
        own = {"de": {"der", "die", "das", "und", "ist", "den", "sie", "ein", "eine", "für", "von", "mit", "zu", "wird"},
               "fr": {"le", "la", "les", "de", "des", "et", "est", "un", "une", "pour", "du", "en", "dans", "que"}}[lang]
        return sum(x in own for x in w) > 1.5 * sum(x in {"the", "of", "and", "is", "to", "for"} for x in w)
    return True

ENGLISH = {"the", "of", "and", "is", "to", "for", "you", "are", "this", "that", "with", "or", "by", "be", "can", "from"}

def untranslated(p, lang):
    """An English paragraph on a page in another language."""
    if lang not in ("de", "fr", "ru", "ja"): return False
    w = re.findall(r"[^\W\d_]+", p.lower())
    eng = sum(x in ENGLISH for x in w)
    if lang in ("ru", "ja"): return eng >= 2 and eng > 0.1 * len(w) and sum(c > "\u024f" for c in p) < 0.1 * len(p)
    return eng >= 2 and eng > 0.15 * len(w)

def clean_code(t):
    t = re.sub(r"\A(#!.*\n|# -\*-.*\n|// SPDX.*\n|/\* SPDX.*\n)+", "", t)
    t = re.sub(r"\A\s*/\*.*?\*/\s*", lambda m: "" if re.search(r"copyright|licen[cs]e", m[0], re.I) else m[0], t, flags=re.S)
    t = re.sub(r"\A(#.*\n|\s*\n)+", lambda m: "" if re.search(r"copyright|licen[cs]e", m[0], re.I) else m[0], t)
    return t.strip() + "\n"

def documents(a):
    """Writes text/<domain>.{train,heldout}.jsonl; returns sizes, and the training documents by domain."""
    seen, stats, docs = {}, {}, {}
    def dedupe(t, code, lang):
        """Keeps the first copy of a long paragraph anywhere, and at most 20 copies of a short one."""
        keep = []
        for p in t.split("\n\n"):
            norm = re.sub(r"\W+", " ", p).strip().lower()
            if not norm or p.startswith("#"): keep.append(p); continue
            if untranslated(p, lang): continue
            limit = 1 if len(norm) >= (120 if code else 40) else (10**9 if code else 20)
            h = hashlib.md5(norm.encode()).digest()[:8]
            seen[h] = seen.get(h, 0) + 1
            if seen[h] <= limit: keep.append(p)
        t = "\n\n".join(keep)
        if not code: t = re.sub(r"(?m)^(#+ .*\n\n)+(?=## |\Z)", "", t + "\n\n")   # headings left without text
        return t.strip() + "\n"
    def select(items, limit, dom):
        out, size = [], 0
        for key, kind, t in items:                     # in the order of the hash: a random subset
            t = dedupe(t, kind == "code", dom)
            if len(t) < 200: continue
            size += len(t.encode())
            if size > limit: break
            out.append({"key": key, "text": t})
        return out
    for dom in DOMAINS:
        train, held = [], []
        for key, kind, path in sorted(sources(a.dir, dom), key=lambda s: (bucket(s[0]), s[0], s[2])):
            t = read(path)
            if t is None: continue
            if kind == "man": t, _ = man_text(t)
            elif kind == "html": t = html_text(t)
            elif kind == "pod": t = pod_text(t)
            elif kind == "code": t = clean_code(t)
            if not t or len(t) < 200 or len(t) > (150_000 if kind != "code" else 120_000) or not in_language(t, dom): continue
            (held if bucket(key) < HELD_OUT else train).append((key, kind, t))
        docs[dom] = select(train, a.cap * 1e6, dom)
        # After training text: paragraphs seen there are dropped.
        for part, items in (("train", docs[dom]), ("heldout", select(held, a.heldout * 1e6, dom))):
            with open(f"{a.dir}/text/{dom}.{part}.jsonl", "w") as f:
                for d in items: f.write(json.dumps(d, ensure_ascii=False) + "\n")
            stats[f"{dom}.{part}"] = {"documents": len(items), "bytes": sum(len(d["text"].encode()) for d in items)}
        print(dom, stats[f"{dom}.train"], stats[f"{dom}.heldout"], flush=True)
    return stats, docs

def train_tokenizer(a, docs):
    """Byte pairs of documents and of tasks: as many bytes of every domain, and half as many of the answers of every task."""
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers, Regex
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    def sample():
        for dom in DOMAINS:
            size = 0
            for d in docs[dom]:
                if size > 1e6: break
                size += len(d["text"].encode()); yield d["text"]
        for path in sorted(glob.glob(f"{a.dir}/tasks/*.train.jsonl")):
            size = 0
            for d in sorted(lines(path), key=lambda d: (-d["weight"], bucket(d["key"]))):   # the frequent ones first
                if size > 5e5: break
                size += len(d["answer"].encode()); yield d["answer"]
    tok.train_from_iterator(sample(), trainers.BpeTrainer(vocab_size=a.vocab, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    tok.save(f"{a.dir}/tokenizer.json")
    return tok

def task_tokens(a, tok):
    """tokens/tasks.npz: the exchanges one after another, what is not the answer's marked; where each begins, its weight and its task."""
    end, eos, gap = tok.token_to_id("<|im_end|>"), tok.token_to_id("<|endoftext|>"), tok.encode("\n").ids
    ids, starts, weights, tasks, names, counts = [], [0], [], [], [], {}
    for path in sorted(glob.glob(f"{a.dir}/tasks/*.train.jsonl")):
        items = [d for d in lines(path) if max(len(d["user"]), len(d["answer"])) <= a.longest]
        names.append(items[0]["task"]); n = 0
        prompts = tok.encode_batch([prompt_text(d["user"]) for d in items])
        answers = tok.encode_batch([d["answer"] for d in items])
        for d, p, s in zip(items, prompts, answers):
            one = [*(t | PROMPT for t in p.ids), *s.ids, end, *(t | PROMPT for t in gap), eos | PROMPT]
            ids.append(np.array(one, np.uint16)); starts.append(starts[-1] + len(one))
            weights.append(d["weight"]); tasks.append(len(names) - 1); n += len(one)
        counts[names[-1]] = {"exchanges": len(items), "tokens": n, "weight": round(sum(d["weight"] for d in items))}
        print(names[-1], counts[names[-1]], flush=True)
    np.savez(f"{a.dir}/tokens/tasks.npz", ids=np.concatenate(ids), starts=np.array(starts, np.int64), weights=np.array(weights, np.float32),
             tasks=np.array(tasks, np.uint8), names=np.array(names))
    return counts

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that get_data.sh filled, and tasks.py")
    ap.add_argument("--vocab", type=int, default=5120, help="tokenizer entries, specials included (default 5120)")
    ap.add_argument("--cap", type=float, default=7, help="largest size of a domain's training text in MB (default 7)")
    ap.add_argument("--heldout", type=float, default=0.2, help="largest size of a domain's held-out text in MB (default 0.2)")
    ap.add_argument("--longest", type=int, default=100, help="characters of a question or answer to learn (default 100)")
    ap.add_argument("--step", choices=["text", "tokens", "all"], default="all", help="only the text, or only tokenizer and tokens of text that is there (default: all)")
    a = ap.parse_args()
    os.makedirs(f"{a.dir}/text", exist_ok=True); os.makedirs(f"{a.dir}/tokens", exist_ok=True)
    stats = {}
    if a.step != "tokens": stats, docs = documents(a)
    else: docs = {dom: list(lines(f"{a.dir}/text/{dom}.train.jsonl")) for dom in DOMAINS}
    if a.step == "text": return
    tok = train_tokenizer(a, docs)
    eos = tok.token_to_id(SPECIAL[0])
    for dom in DOMAINS:
        ids = []
        np.random.default_rng(1).shuffle(docs[dom])
        for e in tok.encode_batch([d["text"] for d in docs[dom]]): ids += e.ids + [eos]
        np.save(f"{a.dir}/tokens/{dom}.npy", np.array(ids, np.uint16))
        stats.setdefault(f"{dom}.train", {})["tokens"] = len(ids)
        print(dom, stats[f"{dom}.train"], flush=True)
    stats["tasks"] = task_tokens(a, tok)
    json.dump(stats, open(f"{a.dir}/prepare.json", "w"), indent=1)

if __name__ == "__main__":
    main()
