#!/usr/bin/env python3
"""Questions with right answers from the packages that get_data.sh fetched: translations, commands, error numbers, Python functions.

Writes DIR/tasks/<task>.{train,heldout}.jsonl, an exchange a line: {"task", "key", "weight", "user", "answer"}; and prints their sizes.
Held out are whole messages in all languages and directions (translation), and of the facts not the fact but a way to ask for it:
nobody can know what a command does that he never heard of."""
import argparse
import ast
import collections
import errno
import functools
import json
import multiprocessing
import os
import re
import signal

import clean as C
from prepare import HELD_OUT, man_text, read

NAMES = {"en": "English", "de": "German", "fr": "French", "ru": "Russian", "ja": "Japanese"}
# The first form is the usual one.
ASK_TRANSLATION = ["Translate to {}: {}", "Translate into {}: {}", "{1}\nIn {0}?"]
ASK_WHAT = {"en": ["What does {} do?", "What is {}?", "Explain {}."], "de": ["Was macht {}?", "Was ist {}?", "Erkläre {}."],
            "fr": ["Que fait {} ?", "À quoi sert {} ?", "Explique {}."], "ru": ["Что делает {}?", "Что такое {}?", "Объясни {}."],
            "ja": ["{} は何をしますか?", "{} とは何ですか?", "{} を説明してください。"]}
ASK_MEANING = {"en": ["What does {} mean?", "What is {}?"], "de": ["Was bedeutet {}?", "Was ist {}?"], "fr": ["Que signifie {} ?", "Qu'est-ce que {} ?"],
               "ru": ["Что означает {}?", "Что такое {}?"], "ja": ["{} の意味は?", "{} とは何ですか?"]}
ASK_WHICH = {"en": ["Which command: {}?", "Which command can {}?"], "de": ["Welcher Befehl: {}?"], "fr": ["Quelle commande : {} ?"],
             "ru": ["Какая команда: {}?"], "ja": ["どのコマンド: {}?"]}
# "Which command can …?" needs a description that begins with one of these.
VERBS = set("""add adjust apply archive build calculate change check clear clone close collect combine compare compile compress concatenate
configure control convert copy count create debug decode decompress define delete describe determine disable display download dump edit
enable encode encrypt evaluate examine execute expand export extract fetch filter find fix format generate get give identify import inspect
install join kill limit link list load lock log make manage manipulate merge modify monitor mount move number open output pack parse
perform print process produce query read receive reformat remove rename repair replace report reset resize restore retrieve return reverse
run save scan search select send set show shuffle sign sort specify split start stop strip summarize switch synchronize test trace
transfer translate truncate unmount unpack update upload validate verify view wait write""".split())
# Commands that everybody meets are asked for more often.
COMMON = set("""awk basename bash bzip2 cat chgrp chmod chown chroot cmp comm cp cut date dd df diff dirname dmesg dpkg du echo env expand expr
false file find fold free getent grep groups gzip head hostname iconv id install join kill killall less ln locale login logname ls lsblk
lscpu make man mkdir mkfifo mknod mktemp more mount mv nano nice nl nohup nproc od passwd paste patch pgrep pidof ping printf ps pwd
readlink realpath rm rmdir rsync sed seq sh shred sleep sort split ssh stat su sum sync tac tail tar tee test time top touch tr true
truncate tsort tty umount uname unexpand uniq uptime users vim w watch wc wget which who whoami xargs xz yes zip gcc git apt apt-get
crontab cron systemctl fdisk mkfs fsck swapon swapoff useradd userdel usermod groupadd chsh chfn gdb ld ar nm objdump strip strings
open read write close fork execve wait pipe dup mmap munmap brk malloc free printf scanf fopen fclose fread fwrite strlen strcpy strcmp
strcat memcpy memset strtol qsort bsearch socket bind listen accept connect send recv select poll epoll signal sigaction""".split())


@functools.cache
def listing(root):
    """Paths of all files below root/pkg, relative to it, but not links."""
    found = []
    for folder, _, names in os.walk(f"{root}/pkg"):
        if re.search(r"/LC_MESSAGES$", folder) and not re.search(r"/(de|fr|ru|ja)(_\w\w)?/LC_MESSAGES$", folder): continue
        inside = os.path.relpath(folder, f"{root}/pkg")
        found += [f"{inside}/{n}" for n in names if n.endswith((".mo", ".desktop", ".html", ".py")) or "/man/" in folder]
    return sorted(f for f in found if not os.path.islink(f"{root}/pkg/{f}"))


def files(root, pattern):
    """Files whose path below root/pkg matches the regular expression."""
    wanted = re.compile(pattern)
    return [f"{root}/pkg/{f}" for f in listing(root) if wanted.search(f)]


# ---------------------------------------------------------------- translation

def catalogue_pairs(root, language):
    """(English, translation, collection) from compiled catalogues, desktop files and the office help, as they stand there."""
    # Of the lists of names only the short ones: thousands of languages nobody heard of are no task.
    names = re.compile(r"/iso_(?!3166-1|3166\.|639-2|4217)|/iso_3166-2|/iso_639-[35]|/xkeyboard|/kgeography|/marble|/kalzium|/kstars|/stellarium|geany.*filetypes")
    for f in files(root, rf"/{language}(_{language.upper()}|_JP)?/LC_MESSAGES/[^/]+\.mo$"):
        if names.search(f): continue
        package = f.split("/pkg/")[1].split("/")[0]
        for pair in C.read_mo(open(f, "rb").read()): yield *pair, package
    for f in files(root, r"\.desktop$"):
        for pair in C.read_desktop(read(f) or "", language): yield *pair, "desktop"
    base = f"libreoffice-help-{language}/usr/share/libreoffice/help/{language}/text/"
    for f in files(root, base + r".*\.html$"):
        other = f.replace(f"-{language}/usr", "-en-us/usr").replace(f"/help/{language}/", "/help/en-US/")
        # What stands on a page that is held out is read by nobody.
        if not os.path.exists(other) or C.bucket("lo/" + f.split("/text/")[1]) < HELD_OUT: continue
        english = C.paragraphs_by_id(read(other))
        for name, text in C.paragraphs_by_id(read(f)).items():
            if name in english: yield english[name], text, "help"


def translations(job):
    """[(English, language, translation, packages)]: of every spelling of a message the translation that most packages have."""
    root, language, most = job
    votes, raw = collections.defaultdict(lambda: collections.defaultdict(set)), 0
    for source, target, package in catalogue_pairs(root, language):
        raw += 1
        source, mark = C.clean(source)
        target, _ = C.clean(target, mark)
        if C.good_pair(source, target, language, most): votes[source][target].add(package)
    # "open file" and "Open File" are one message, "Open file…" is another: the commonest spelling stays.
    spellings, out = collections.defaultdict(list), []
    for source, found in votes.items():
        spellings[C.key(source), source[-1] if not source[-1].isalnum() else ""].append((sum(map(len, found.values())), source))
    for same in spellings.values():
        _, source = max(same)
        target = max(votes[source].items(), key=lambda item: (len(item[1]), item[0]))[0]
        out.append((source, language, target, len(set().union(*votes[source].values()))))
    print(f"translation {language}: {raw} messages, {len(out)} of them kept", flush=True)
    return out


def translation_exchanges(root, most):
    listing(root)                                      # once, for all
    with multiprocessing.Pool(len(C.LANGUAGES)) as pool:
        found = pool.map(translations, [(root, language, most) for language in C.LANGUAGES], chunksize=1)
    for english, language, target, packages in sorted(sum(found, [])):
        key = C.key(english)
        # Messages of many packages, and short ones, are what people meet and what a small model can learn.
        weight = min(4, 1 + packages / 3) * (1.0 if len(english) <= 30 else 0.5 if len(english) <= 80 else 0.25)
        draw = C.bucket(key + language)
        form = ASK_TRANSLATION[0 if draw % 10 < 7 else 1 + draw % 2]
        for to, user, answer in ((language, english, target), ("en", target, english)):
            task = f"en-{language}" if to == language else f"{language}-en"
            yield task, key, weight, form.format(NAMES[to], user), answer, C.held_out(key)


# ---------------------------------------------------------------- commands and functions by manual page

def manual_pages(root):
    """(name, section, description, language) from the NAME lines of all pages."""
    seen = set()
    for f in files(root, r"/man/(.*/)?man[1-8]/[^/]+$"):
        m = re.search(r"/man/(?:([a-z]{2})/)?man(\d)/([^/]+?)\.\d\w*(?:\.gz)?$", f)
        if not m or (m[1] or "en") not in NAMES: continue
        language, section, page = m[1] or "en", int(m[2]), m[3]
        text = read(f)
        if not text: continue
        try: _, line = man_text(text)
        except Exception: continue
        if not line:                                   # mdoc pages
            n, d = re.search(r"^\.Nm (\S+)", text, re.M), re.search(r"^\.Nd (.+)", text, re.M)
            line = f"{n[1]} - {d[1]}" if n and d else None
        if not line or " - " not in line: continue
        names, description = re.split(r" +- +", line, maxsplit=1)
        description = re.sub(r"\s+", " ", description).strip().rstrip(".。")
        names = [n.strip() for n in names.split(",")]
        name = page if page in names else names[0]
        if not re.fullmatch(r"[\w.+-]{1,32}", name) or not 5 <= len(description) <= 120 or "\\" in description: continue
        if not C.script_is(description, language) or (name, section, language) in seen: continue
        seen.add((name, section, language))
        yield name, section, description, language


def command_exchanges(root):
    first = {}
    for name, section, description, language in manual_pages(root):
        if section in (1, 2, 3, 5, 7, 8): first.setdefault((name, language), (section, description))
    for (name, language), (section, description) in sorted(first.items()):
        weight = (6 if name in COMMON else 2 if section in (1, 8) else 1) * (1 if language == "en" else 0.6)
        # Of two common ways to ask one is held out, so that the fact is learnt and the question is new.
        away = C.bucket(name + language) < 600
        for i, form in enumerate(ASK_WHAT[language]):
            yield "what", name, weight / 2, form.format(name), description, away and i == 1
        if section in (1, 8) and name == name.lower():
            forms = ASK_WHICH[language]
            for i, form in enumerate(forms):
                if i == 0 or description.split()[0] in VERBS: yield "which", name, weight / len(forms), form.format(description), name, away and i == len(forms) - 1 and len(forms) > 1


def number_exchanges(root):
    """Error numbers and signals, and what the C library calls them in other languages."""
    english = {errno.errorcode[n]: (n, os.strerror(n)) for n in errno.errorcode}
    english |= {s.name: (int(s), signal.strsignal(s)) for s in signal.Signals if s.name not in ("SIGRTMIN", "SIGRTMAX")}
    spoken = {"en": {}}
    for language in C.LANGUAGES:
        spoken[language] = {}
        for f in files(root, f"/locale/{language}/LC_MESSAGES/libc\\.mo$"): spoken[language] |= dict(C.read_mo(open(f, "rb").read()))
    for name, (number, text) in sorted(english.items()):
        for language in NAMES:
            said = text if language == "en" else spoken[language].get(text)
            if not said: continue
            for i, form in enumerate(ASK_MEANING[language]):
                yield "number", name, 4, form.format(name), said, C.bucket(name + language) < 600 and i == 1
        what = "error" if name.startswith("E") else "signal"
        yield "number", name, 4, f"Which {what}: {text}?", name, False
        yield "number", name, 4, f"What is the number of {name}?", str(number), False


def python_exchanges(root):
    """Functions and methods of Python's library by the first line of their docstrings."""
    found = {}
    for f in files(root, r"^libpython3.11-[^/]+/usr/lib/python3.11/.*\.py$"):
        module = f.split("/python3.11/")[1][:-3].replace("/", ".").removesuffix(".__init__")
        if any(p.startswith("_") or p in ("test", "idlelib", "lib2to3", "encodings", "distutils") for p in module.split(".")): continue
        try: tree = ast.parse(read(f))
        except SyntaxError: continue
        for node in tree.body:
            inner = [(node.name + ".", n) for n in node.body] if isinstance(node, ast.ClassDef) else []
            for prefix, n in [("", node), *inner]:
                if not isinstance(n, (ast.FunctionDef, ast.ClassDef)) or n.name.startswith("_") or prefix.startswith("_"): continue
                text = (ast.get_docstring(n) or "").split("\n\n")[0]
                text = re.sub(r"\s+", " ", text).strip().rstrip(".")
                if 10 <= len(text) <= 120 and "->" not in text and text.split("(")[0] != n.name: found[f"{module}.{prefix}{n.name}".replace("posixpath", "os.path")] = text
    for name, text in sorted(found.items()):
        away = C.bucket(name) < 600
        for i, form in enumerate(ASK_WHAT["en"]):
            yield "function", name, 1 if name.count(".") < 2 else 0.5, form.format(name), text, away and i == 1


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("dir", help="the folder that get_data.sh filled")
    ap.add_argument("--most", type=int, default=240, help="longest message in characters (default 240)")
    a = ap.parse_args()
    os.makedirs(f"{a.dir}/tasks", exist_ok=True)
    out, sizes = {}, collections.Counter()
    def write(exchanges):
        for task, key, weight, user, answer, away in exchanges:
            part = "heldout" if away else "train"
            if (task, part) not in out: out[task, part] = open(f"{a.dir}/tasks/{task}.{part}.jsonl", "w")
            out[task, part].write(json.dumps({"task": task, "key": key, "weight": round(weight, 2), "user": user, "answer": answer}, ensure_ascii=False) + "\n")
            sizes[task, part] += 1; sizes[task, part, "bytes"] += len((user + answer).encode())
    write(command_exchanges(a.dir)); write(number_exchanges(a.dir)); write(python_exchanges(a.dir))
    write(translation_exchanges(a.dir, a.most))
    for f in out.values(): f.close()
    for task, part in sorted(out): print(f"{task}.{part}: {sizes[task, part]} exchanges, {sizes[task, part, 'bytes']} bytes")


if __name__ == "__main__":
    main()
