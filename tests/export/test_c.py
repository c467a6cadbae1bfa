"""The C header, compiled strictly by two compilers, computes and writes what this program does."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from portable_models import CASES, CODECS, case_ids, plain_logits, random_checkpoint

from rnn_cli.cells import CELLS
from rnn_cli.export.c import c_header, quoted
from rnn_cli.export.portable import Portable
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts

FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler")

STEPS = """
#include "model.h"
#include <stdio.h>
int main(void) {
  static struct rnn net;
  const int symbols[] = {%(ids)s};
  int count = (int)(sizeof symbols / sizeof *symbols);
#if RNN_DIRECTIONS == 1
  net.label = %(label)s;
  for (int t = 0; t < count; t++) {
    if (t == 0) rnn_restart(&net); else rnn_step(&net, symbols[t]);
    for (int k = 0; k < RNN_OUTPUTS; k++) printf("%%.9g ", net.logits[k]);
  }
#else
  static float work[RNN_WORK(%(count)s)], logits[%(count)s * RNN_OUTPUTS];
  rnn_read(&net, symbols, count, work, logits);
  for (int k = 0; k < count * RNN_OUTPUTS; k++) printf("%%.9g ", logits[k]);
#endif
  return 0;
}
"""
WRITES = """
#include "model.h"
#include <stdio.h>
int main(int argc, char **argv) {
  static struct rnn net;
  const char *text = argc > 1 ? argv[1] : "";
  int symbol = *text || RNN_NEWLINE < 1 ? 0 : RNN_NEWLINE;
  rnn_reset(&net);
  if (symbol) rnn_step(&net, symbol);
  while ((symbol = rnn_encode(&text)) >= 0) rnn_step(&net, symbol);
  for (int left = 40; left > 0 && (symbol = rnn_sample(&net, 0.0f, 0.5f)) != 0; left--) {
    printf("%d ", symbol);
    rnn_step(&net, symbol);
  }
  return 0;
}
"""


def compiled(compiler, folder, checkpoint, source):
    """Return the program of a source with the header of a model."""
    (folder / "model.h").write_bytes(c_header(Portable.of_checkpoint(checkpoint)))
    (folder / "main.c").write_text(source)
    done = subprocess.run([compiler, *FLAGS, "main.c", "-o", compiler + ".out", "-lm"], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return folder / (compiler + ".out")


def output_of(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, check=True).stdout.decode()


PAIRS = [(CELLS[index % len(CELLS)], *case) for index, case in enumerate(CASES)]
PAIRS += [(cell, "language", {}) for cell in CELLS] + [(cell, "tag", {"directions": 2}) for cell in CELLS]


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_logits_of_c_are_those_of_the_equations(tmp_path, number):
    cell, task, values = PAIRS[number]
    if task == "tag":
        values = dict(CASES[-1][1])
    checkpoint = random_checkpoint(task, cell, **values)
    ids, label = case_ids(checkpoint), 2 if task == "labelled" else 0
    source = STEPS % {"ids": ", ".join(map(str, ids)), "label": label, "count": len(ids)}
    expected = plain_logits(checkpoint, ids, label if task == "labelled" else None)
    program = compiled(COMPILERS[number % len(COMPILERS)], tmp_path, checkpoint, source)
    found = np.array(output_of(program).split(), float).reshape(expected.shape)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", CODECS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_writes_the_greedy_text(tmp_path, compiler, kind):
    checkpoint = random_checkpoint("language", codec=CODECS[kind], seed=8)
    program = compiled(compiler, tmp_path, checkpoint, WRITES)
    for prompt in ("", "the cat" if kind == "words" else "ab"):
        config = SamplingConfig(temperature=0, length=40)
        (expected,) = sample_texts(checkpoint, prompt.encode() if kind == "bytes" else prompt, config=config)
        last = checkpoint.codec.encode(prompt.encode() if kind == "bytes" else prompt)[-1:]
        symbols = list(map(int, output_of(program, prompt).split()))
        text = checkpoint.codec.decode_after(int(last[0]) if len(last) else 0, symbols)
        assert text.decode(errors="ignore").encode() == expected  # which has no incomplete last character


def test_strings_of_a_stranger_stay_strings():
    assert quoted(b'a"\\?\n1\xc3') == '"a\\042\\134\\077\\0121\\303"'


@pytest.mark.parametrize("compiler", COMPILERS)
def test_main_of_the_documentation_writes(tmp_path, compiler):
    checkpoint = random_checkpoint("language", seed=8)
    source = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8").split("```c\n")[1].split("```")[0]
    program = compiled(compiler, tmp_path, checkpoint, source.replace("names.h", "model.h"))
    (expected,) = sample_texts(checkpoint, "ab", config=SamplingConfig(temperature=0, length=50))
    assert output_of(program, "ab", "0") == "ab" + expected.decode() + "\n"
    assert len(source.splitlines()) <= 24
