"""Cleaning of the training data's parallel messages (tools/train/clean.py), by what catalogues really hold; and how answers are counted."""
import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(sys.argv.pop()) / "tools" / "train"))
import clean as C
import evaluate_tasks as E


def catalogue(pairs, order="<"):
    """A compiled catalogue of (message, translation)."""
    n, at = len(pairs), 28 + 16 * len(pairs)
    tables, body = [b"", b""], b""
    for side in (0, 1):
        for pair in pairs:
            data = pair[side].encode()
            tables[side] += struct.pack(order + "II", len(data), at + len(body))
            body += data + b"\0"
    return struct.pack(order + "7I", 0x950412DE, 0, n, 28, 28 + 8 * n, 0, 0) + tables[0] + tables[1] + body


class Messages(unittest.TestCase):
    def test_accelerators_are_taken_off_on_both_sides(self):
        for english, other, wanted in (("_Open", "Ö_ffnen", ("Open", "Öffnen")), ("E&xit", "&Beenden", ("Exit", "Beenden")),
                                       ("Save ~As...", "Speichern ~unter...", ("Save As…", "Speichern unter…")),
                                       ("_File:", "ファイル(_F):", ("File", "ファイル"))):
            source, mark = C.clean(english)
            self.assertEqual((source, C.clean(other, mark)[0]), wanted)

    def test_what_only_looks_like_an_accelerator_stays(self):
        self.assertEqual(C.clean("the file_name of it")[0], "the file_name of it")
        self.assertEqual(C.clean("a & b & c")[0], "a & b & c")

    def test_good_pairs(self):
        for pair in (("Open file", "Datei öffnen", "de"), ("Open file", "Ouvrir le fichier", "fr"), ("Open file", "Открыть файл", "ru"),
                     ("Open file", "ファイルを開く", "ja"), ("Delete 3 files?", "3 Dateien löschen?", "de")):
            self.assertTrue(C.good_pair(*pair), pair)

    def test_bad_pairs(self):
        for pair in (("Open file %s", "Datei %s öffnen", "de"), ("Open %'d", "Öffnen %'d", "de"), ("<b>Open</b>", "<b>Öffnen</b>", "de"), ("translator-credits", "Jemand", "de"),
                     ("Open file", "Open file", "de"), ("Open file", "Open the file", "ru"), ("Open file", "Datei", "ja"),
                     ("Open the file that was saved last", "Öffnen", "de"), ("Open", "Öffnen oder auch nicht, das hängt von allerlei Dingen ab", "de"),
                     ("Open file?", "Datei öffnen", "de"), ("Delete 3 files", "2 Dateien löschen", "de"), ("SIG_IGN", "SIG_IGN", "de"), ("x", "y", "de"),
                     ("Open file", "", "de"), ("QWidget", "Fenster", "de"), ("See https://a.b", "Siehe https://a.b", "de")):
            self.assertFalse(C.good_pair(*pair), pair)

    def test_spellings_are_held_out_together(self):
        self.assertEqual(C.key("Open File…"), C.key("open file"))
        self.assertNotEqual(C.key("Open file"), C.key("Open files"))
        share = sum(C.held_out(f"message {i}") for i in range(20000)) / 20000
        self.assertTrue(0.015 < share < 0.025, share)


class Sources(unittest.TestCase):
    def test_catalogues(self):
        pairs = [("", "Language: de"), ("menu\4Open", "Öffnen"), ("one file\0%d files", "eine Datei\0%d Dateien"), ("Save", "Speichern")]
        for order in "<>":
            self.assertEqual(list(C.read_mo(catalogue(pairs, order))), [("Open", "Öffnen"), ("one file", "eine Datei"), ("Save", "Speichern")])
        self.assertEqual(list(C.read_mo(b"no catalogue")), [])

    def test_desktop_files(self):
        text = "[Desktop Entry]\nName=Files\nName[de]=Dateien\nName[de_AT]=Akten\nComment=Access files\nComment[de]=Auf Dateien zugreifen\n"
        self.assertEqual(list(C.read_desktop(text, "de")), [("Files", "Dateien"), ("Access files", "Auf Dateien zugreifen")])

    def test_help_pages(self):
        page = '<h1 id="tit">Title</h1><p id="par_1" class="x">A <b>bold</b> word &amp; more</p><p>without</p><p id="par_2"> </p>'
        self.assertEqual(C.paragraphs_by_id(page), {"tit": "Title", "par_1": "A bold word & more"})


class Measures(unittest.TestCase):
    def test_chrf(self):
        self.assertEqual(E.chrf([("Datei öffnen", "Datei öffnen")]), 100)
        self.assertEqual(E.chrf([("xyz", "Datei öffnen")]), 0)
        # Only the length 1 has n-grams: precision 1/2, recall 1, and recall counts twice.
        self.assertAlmostEqual(E.chrf([("ab", "a")]), 100 * 5 * 0.5 / (4 * 0.5 + 1))

    def test_rouge(self):
        self.assertAlmostEqual(E.rouge_l("list the directory", "list directory contents"), 2 / 3)
        self.assertAlmostEqual(E.rouge_l("ファイルを開く", "ファイルを閉じる"), 2 * 5 / (7 + 8))
        self.assertEqual(E.rouge_l("", "a"), 0)

    def test_same(self):
        self.assertTrue(E.same(" open  File.", "Open file"))
        self.assertFalse(E.same("Open files", "Open file"))


if __name__ == "__main__":
    unittest.main()
