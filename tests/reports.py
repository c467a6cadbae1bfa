"""What people reported of tools that do this job, as cases for this one: the input, and what a user must see.

Each row is one kind of report. `thread` names a public tracker and its number if one is known, otherwise it is empty.
`files` are written first. The words are regular expressions: those of `says` must be on stderr, those of `prints` on
stdout, and none of `never` on either.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SMALL = "--hidden-size 8 --batch-size 4 --sequence-length 8 --augment 0 --random-seed 1 --steps 1 -m new"
NAMES = "".join(f"{first}{last}{number}\n" for first in ("an", "bel", "cor") for last in "aeiou" for number in range(9))
LIST = [r"read as lines: ", r"--stream"]
STREAM = [r"read as one stream: ", r"--lines"]
VERSE = "A line of verse,\nand a second line,\nand then a third.\n"


@dataclass(frozen=True)
class Report:
    """One kind of report: what was said of another tool, and a case for this one."""

    kind: str
    what: str
    command: str
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    code: int = 0
    says: Sequence[str] = ()
    prints: Sequence[str] = ()
    never: Sequence[str] = ("Traceback", "unexpected ")
    stdin: str = ""
    thread: str = ""


def trained(kind: str, what: str, text: str | bytes, says: Sequence[str], code: int = 0, name: str = "text") -> Report:
    """Return a report about a text to train on."""
    return Report(kind, what, f"train {name} {SMALL}", {name: text}, code, says)


REPORTS = [
    trained("validation", "repeated lines leak into the held-out part", NAMES * 3, ["270 of 405 lines are repeats"]),
    trained("validation", "one line many times is no list to hold out from", "one\n" * 90, ["fewer than 20 different"]),
    Report(
        "validation",
        "the same file is given twice",
        f"train text text --stream {SMALL}",
        {"text": VERSE * 9},
        says=["text is given twice, and read once"],
    ),
    Report(
        "validation",
        "the text to validate on was trained on",
        f"train text --validation-file held {SMALL}",
        {"text": NAMES, "held": NAMES[:60]},
        says=[r"of its \d+ lines are in the training text too"],
    ),
    trained("detection", "one long line among names", NAMES * 4 + "x" * 124 + "\n", LIST),
    trained("detection", "a blank line between groups of names", NAMES.replace("9\n", "9\n\n"), LIST),
    trained("detection", "headlines that ask", "Will it rain today?\nThe town has a mayor\n" * 30, LIST),
    trained("detection", "names that end in a point", "".join(f"Firm {n} Inc.\n" for n in range(90)), LIST),
    trained(
        "detection", "prose wrapped at a width", "all the words of a story that has no end at all go on\n" * 9, STREAM
    ),
    trained(
        "detection", "FASTA", ">one\nACGTACGT\nACG\n>two\nGGGTTTAC\nCC\n" * 9, ["it looks like FASTA; awk ", *STREAM]
    ),
    trained("detection", "verse", VERSE * 9, STREAM),
    trained("symptoms", "carriage returns only", NAMES.replace("\n", "\r"), [r"tr '\\r' '\\n'"]),
    trained("symptoms", "carriage returns and newlines", NAMES.replace("\n", "\r\n"), [r"tr -d '\\r'"]),
    trained("symptoms", "two files with marks joined", f"\ufeff{NAMES}\ufeff{NAMES}", ["U\\+FEFF", "sed 's/"]),
    trained("symptoms", "UTF-16 without a mark", NAMES.encode("utf-16-le"), ["iconv -f UTF-16LE -t UTF-8"], 2),
    trained("symptoms", "a zip file", b"PK\x03\x04\xff\xfe" * 30, ["it is a zip file", "unzip -p"], 2),
    trained("symptoms", "a PDF", "%PDF-1.4\n1 0 obj\n" * 30, ["it is a PDF", "pdftotext"], 2),
    trained("symptoms", "gzip under another name", gzip.compress(NAMES.encode()), ["gzip -dc"], 2),
    trained("symptoms", "a compressed text", gzip.compress(NAMES.encode()), LIST, name="text.gz"),
    trained("symptoms", "a text in bzip2", bz2.compress(NAMES.encode()), LIST, name="text.bz2"),
    trained("symptoms", "a text in xz", lzma.compress(NAMES.encode()), LIST, name="text.xz"),
    trained("symptoms", "a cut archive", gzip.compress(NAMES.encode())[:-20], ["text.gz", "damaged"], 2, "text.gz"),
    Report(
        "escapes",
        "a newline in a prompt of the shell",
        "sample -m lines.model --seed 'a\\nb' -l 5",
        code=2,
        says=[r"\$'\\n'"],
        thread="char-rnn#117",
    ),
    Report(
        "prompts",
        "a prompt in capitals for a model of small letters",
        "sample -m lines.model --seed AN -l 5",
        code=2,
        says=["it knows lower case: 'an'"],
        thread="char-rnn#218",
    ),
    Report(
        "symptoms",
        "scoring a file with carriage returns",
        "evaluate -m lines.model text",
        {"text": "anna\r\nbela\r\nan\u00e9\r\n"},
        says=[r"unknown characters: \\r 3, '\u00e9' 1; the lines end in CR LF: tr -d '\\r'"],
    ),
    Report(
        "symptoms",
        "scoring the lines of a file with carriage returns",
        "evaluate -m lines.model text --per-line",
        {"text": "anna\r\nbela\r\n"},
        says=[r"unknown characters: 2, at [0-9.]+ bits each: \\r 2; "],
    ),
    Report(
        "symptoms",
        "labels for a file with carriage returns",
        "classify -m lines.model -m other.model text",
        {"text": "anna\r\nbela\r\n"},
        says=[r"unknown to lines: \\r 2; ", r"unknown to other: \\r 2; "],
    ),
    Report(
        "symptoms",
        "a seed with characters that are left out",
        "sample -m lines.model --seed an\u00e9 --unknown skip -l 5",
        says=["left out of the seed: '\u00e9' 1"],
    ),
    Report(
        "texts",
        "poems that blank lines separate",
        f"train poems --paragraphs {SMALL}",
        {"poems": f"{VERSE}\n" * 3 + "".join(f"Verse {n}\nends here.\n\n" for n in range(30))},
        says=["read as texts of several lines: as requested", "of 33 texts, at random"],
        thread="char-rnn#47",
    ),
    Report(
        "texts",
        "each file of a directory is a text",
        f"train letters --files {SMALL}",
        {f"letters/{n}.txt": f"Letter {n}\n\nends here.\n" for n in range(30)},
        says=["read as texts of several lines: as requested", "of 30 texts, at random"],
    ),
    Report(
        "texts",
        "one line for a model of paragraphs",
        f"train text --paragraphs --lines {SMALL}",
        {"text": VERSE},
        2,
        ["--lines and --paragraphs contradict each other"],
    ),
    Report(
        "columns",
        "a column of a table",
        f"train table.csv --column name {SMALL}",
        {"table.csv": "id,name\n" + "".join(f"{n},{name}\n" for n, name in enumerate(NAMES.split()))},
        says=["read as lines", "of 135 lines, at random"],
    ),
    Report(
        "columns",
        "a field of JSON lines",
        f"train rows.jsonl --column name {SMALL}",
        {"rows.jsonl": "".join(f'{{"name": "{name}"}}\n' for name in NAMES.split())},
        says=["read as lines", "of 135 lines, at random"],
    ),
    Report(
        "rare characters",
        "characters that occur once",
        f"train text --min-count 2 {SMALL}",
        {"text": f"{NAMES}\u00e9\n\u4e2d\n"},
        says=["2 characters that occur less than 2 times are left out"],
    ),
    Report(
        "directories",
        "a directory of texts",
        f"train poems {SMALL}",
        {"poems/b.txt": VERSE * 9, "poems/a.txt": VERSE * 9, "poems/x.bin": b"\0\1\2"},
        says=["a.txt, b.txt: ", "1 files that are not text are left out"],
    ),
    Report("directories", "a directory without texts", f"train poems {SMALL}", {"poems/x": b"\0"}, 2, ["no text file"]),
    Report(
        "resources",
        "more threads than processors",
        f"train text --threads 1000 {SMALL}",
        {"text": NAMES},
        says=[r"this process may use \d+ processors?: --threads \d+"],
    ),
]
