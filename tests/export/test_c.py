"""The C header, compiled strictly by two compilers, computes and writes what this program does."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from portable_models import (
    BIO,
    CASES,
    CHARACTERS,
    CODECS,
    FORECASTERS,
    SERIES,
    SOURCES,
    case_ids,
    plain_logits,
    random_checkpoint,
)

from rnn_cli.cells import CELLS
from rnn_cli.export.c import c_header, quoted
from rnn_cli.export.portable import Portable
from rnn_cli.language.config import SamplingConfig
from rnn_cli.language.sampling import sample_texts
from rnn_cli.tasks.forecast.forecaster import Forecaster
from rnn_cli.tasks.forecast.series import numbered
from rnn_cli.tasks.tag.bio import allowed_after, best_valid
from rnn_cli.tasks.tag.tagger import Tagger
from rnn_cli.tasks.translate.translator import Translator

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

TRANSLATES = """
#include "model.h"
#include <stdio.h>
int main(int argc, char **argv) {
  static struct rnn net;
  static float work[RNN_SOURCE(100)];
  for (int k = 1; k < argc; k++) {
    const char *text = argv[k];
    int symbols[100], count = 0, left = RNN_LONGEST;
    while ((symbols[count] = rnn_encode(&text)) > 0) count++;
    symbols[count++] = 0;
    rnn_read_source(&net, symbols, count, work);
    for (int symbol = 0; rnn_answer(&net, symbol), symbol = rnn_best(&net), symbol && left; left--)
      printf("%s%s", left < RNN_LONGEST ? RNN_BETWEEN : "", rnn_outputs[symbol]);
    puts("");
  }
  return 0;
}
"""
TAGS = """
#include "model.h"
#include <stdio.h>
int main(int argc, char **argv) {
  static struct rnn net;
  static float work[RNN_WORK(200)], logits[200 * RNN_OUTPUTS];
  static int back[50 * RNN_OUTPUTS], tags[50], ends[50], symbols[200], count = 1;
  const char *blank = " ", *text;
  for (int k = 1; k < argc; k++) {
    if (k > 1) text = blank, symbols[count++] = rnn_encode(&text);
    for (text = argv[k]; *text;) symbols[count++] = rnn_encode(&text);
    ends[k - 1] = count - 1;
  }
  rnn_read(&net, symbols, count, work, logits);
  rnn_best_tags(logits, ends, argc - 1, back, tags);
  for (int k = 0; k < argc - 1; k++) printf("%s\\n", rnn_outputs[tags[k]]);
  return 0;
}
"""
VITERBI = """
#include "model.h"
#include <stdio.h>
int main(void) {
  static float logits[40 * RNN_OUTPUTS];
  static int back[40 * RNN_OUTPUTS], tags[40], ends[40];
  for (int k = 0; k < 40 * RNN_OUTPUTS; k++) if (scanf("%f", &logits[k]) != 1) return 1;
  for (int k = 0; k < 40; k++) ends[k] = k;
  rnn_best_tags(logits, ends, 40, back, tags);
  for (int k = 0; k < 40; k++) printf("%d ", tags[k]);
  return 0;
}
"""
FORECASTS = """
#include "model.h"
#include <stdio.h>
int main(void) {
  static struct rnn net;
  static double values[1000], found[RNN_HORIZON][RNN_QUANTILES];
  int count = 0;
  while (scanf("%lf", &values[count]) == 1) count++;
  count = rnn_forecast(&net, values, count, found);
  for (int h = 0; h < count; h++)
    for (int q = 0; q < RNN_QUANTILES; q++) printf("%.17g ", found[h][q]);
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


def output_of(program, *arguments, text=""):
    done = subprocess.run([program, *arguments], input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


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


@pytest.mark.parametrize("directions", [1, 2])
def test_c_translates(tmp_path, cell, directions):
    checkpoint = random_checkpoint("translate", cell, CHARACTERS, directions=directions, seed=9)
    translator = Translator.of_checkpoint(checkpoint, 1)
    expected = [translator.symbols.decode(each[0].symbols) for each in translator.translate(SOURCES)]
    program = compiled(COMPILERS[directions % len(COMPILERS)], tmp_path, checkpoint, TRANSLATES)
    normal = [translator.symbols.normal(source) for source in SOURCES]
    assert output_of(program, *normal).splitlines() == expected


@pytest.mark.parametrize("tags, directions", [(BIO, 2), (("NOUN", "VERB"), 1)])
def test_c_tags(tmp_path, tags, directions):
    checkpoint = random_checkpoint("tag", codec=CHARACTERS, tags=tags, directions=directions, seed=4)
    words = [*SOURCES[0], "zé<", "fedcba", "ag", *"gfedcba"]
    (expected,) = Tagger.of_checkpoint(checkpoint, 1).tag([words])
    program = compiled(COMPILERS[0], tmp_path, checkpoint, TAGS)
    assert output_of(program, *words).splitlines() == expected
    logits = np.log(np.random.default_rng(1).dirichlet(np.ones(len(tags)) / 2, 40) + 1e-30)
    program = compiled(COMPILERS[-1], tmp_path, checkpoint, VITERBI)
    found = output_of(program, text=" ".join(map(str, logits.ravel().tolist())))
    allowed = allowed_after(tags) if tags == BIO else np.ones((len(tags) + 1, len(tags)), bool)
    assert list(map(int, found.split())) == best_valid(logits.astype(np.float32).astype(float), allowed).tolist()


@pytest.mark.parametrize("own, quantiles", FORECASTERS)
def test_c_forecasts(tmp_path, own, quantiles):
    checkpoint = random_checkpoint("forecast", own, quantiles=quantiles)
    forecaster = Forecaster.of_checkpoint(checkpoint)
    programs = [compiled(compiler, tmp_path, checkpoint, FORECASTS) for compiler in COMPILERS]
    for number, values in enumerate(SERIES):
        expected = forecaster.forecast([numbered("y", values)])[0].ravel()
        text = "\n".join(map(repr, values.tolist()))
        found = np.array(output_of(programs[number % len(programs)], text=text).split(), float)
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert output_of(programs[0], text="1 2") == ""


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
