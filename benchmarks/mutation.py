"""Change the program in small ways, one at a time, and see which changes the tests notice.

Each mutation of `mutation_list.py` is made in a temporary copy of the project, never in the working tree. Then the
tests that should notice it run there, until the first failure. A mutation is caught if a test fails or takes too long,
and has lived if all of them pass. One that changes nothing, and so cannot be caught, says why; it does not count.

`--only lstm` makes those with the word in their file or texts, `--jobs 4` runs as many at a time, `--minutes 30` begins
no further one after that time. `--quick` runs no tests: it only checks that each mutation still fits the sources and
that its tests exist.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from common import ROOT, options, report, table
from mutation_list import MUTATIONS, Mutation

PACKAGE = "rnn_cli"
COPIED = (PACKAGE, "tests", "corpora", "docs", "benchmarks", "README.md", "pyproject.toml")
COMPILED = ("kernels/", "cells/")  # a change there gets a kernel cache of its own
SECONDS = 300  # for the tests of a mutation; one that makes a loop endless takes longer
FAILED, BROKEN = 1, 2  # exit codes of pytest: a test failed; a test module could not be imported


def problems(mutation: Mutation, root: Path = ROOT) -> list[str]:
    """Return what is wrong with a mutation: a text that does not occur exactly once, a test that does not exist."""
    found = []
    path = root / PACKAGE / mutation.file
    source = path.read_text("utf-8") if path.is_file() else ""
    if source.count(mutation.old) != 1:
        found.append(f"its text occurs {source.count(mutation.old)} times in {mutation.file}: {mutation.old!r}")
    elif mutation.file.endswith(".py"):
        try:
            ast.parse(source.replace(mutation.old, mutation.new))
        except SyntaxError as problem:
            found.append(f"it makes {mutation.file} invalid ({problem}): {mutation.new!r}")
    for test in mutation.tests.split():
        file, _, name = test.partition("::")
        if not (root / "tests" / file).is_file():
            found.append(f"there is no {file} in tests/")
        elif name and not re.search(rf"^def {re.escape(name)}\(", (root / "tests" / file).read_text("utf-8"), re.M):
            found.append(f"there is no test {name} in {file}")
    return found


def copy_project(target: Path) -> None:
    """Copy the parts of the project that the tests need."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "results")
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, target / name)


def run_tests(place: Path, tests: Sequence[str], cache: Path | None, arguments: Sequence[str] = ()) -> tuple[int, str]:
    """Run tests in a copy of the project; return pytest's exit code and its last lines. Too long counts as FAILED."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    command += [f"tests/{test}" for test in tests]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    if cache:
        environment["RNN_CACHE_DIR"] = str(cache)
    with tempfile.TemporaryFile() as output:  # not a pipe, which a process that a test left behind would hold open
        process = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # so that the programs that tests have started can be ended with it
        )
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return FAILED, f"not done after {SECONDS} s"
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return code, "\n".join(failed[:3] or lines[-3:])


def outcome(mutation: Mutation, place: Path) -> tuple[str, str]:
    """Make a mutation in a copy, run its tests, undo it; return "caught", "lived" or "unclear", and pytest's words."""
    path = place / PACKAGE / mutation.file
    source = path.read_text("utf-8")
    path.write_text(source.replace(mutation.old, mutation.new), "utf-8")
    with tempfile.TemporaryDirectory() as own:
        cache = Path(own) if mutation.file.startswith(COMPILED) else None
        try:
            code, words = run_tests(place, mutation.tests.split(), cache, ["-x"])
        finally:
            path.write_text(source, "utf-8")
    return {0: "lived", FAILED: "caught", BROKEN: "caught"}.get(code, "unclear"), words


def run(mutations: Sequence[Mutation], jobs: int, minutes: float) -> list[str]:
    """Return the outcome of each mutation, "not tried" if the time was over, and print it as it comes."""
    end = time.monotonic() + 60 * minutes
    places: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory() as root:
        for job in range(jobs):
            copy_project(Path(root) / str(job))
            places.put(Path(root) / str(job))

        def one(mutation: Mutation) -> str:
            if time.monotonic() > end:
                return "not tried"
            place = places.get()
            try:
                kind, words = outcome(mutation, place)
            finally:
                places.put(place)
            print(f"{kind}: {describe(mutation)}\n  {mutation.reason or words}", file=sys.stderr, flush=True)
            return kind

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, mutations))


def sound_tests(mutations: Sequence[Mutation]) -> str:
    """Run the tests of some mutations on the program as it is; return what failed, which would look like a catch."""
    with tempfile.TemporaryDirectory() as root:
        copy_project(Path(root))
        code, words = run_tests(Path(root), sorted({test for each in mutations for test in each.tests.split()}), None)
    return words if code else ""


def folder_of(mutation: Mutation) -> str:
    """Return the first folder of a mutation's file, empty for a file without one."""
    return "/".join(Path(mutation.file).parts[:-1][:1])


def describe(mutation: Mutation) -> str:
    """Return a mutation on one line."""
    old, new = (" ".join(text.split()) for text in (mutation.old, mutation.new))
    return f"{mutation.file}: `{old}` to `{new}`"


def cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def summary(pairs: Sequence[tuple[Mutation, str]]) -> list[str]:
    """Return the parts of a report on mutations and their outcomes."""
    rows = []
    for folder in sorted({folder_of(mutation) for mutation, _ in pairs}):
        own = [pair for pair in pairs if folder_of(pair[0]) == folder]
        changing = [kind for mutation, kind in own if not mutation.reason]
        rows.append([folder or "-", str(len(changing)), str(changing.count("caught")), str(len(own) - len(changing))])
    changing = [kind for mutation, kind in pairs if not mutation.reason]
    share = f" ({changing.count('caught') / len(changing):.1%})" if changing else ""
    parts = [
        f"{changing.count('caught')} of {len(changing)} mutations that change something are caught{share}. Tried: "
        f"{len(pairs)} of the {len(MUTATIONS)} in the list, each with the tests that it names.",
        table(["folder", "change something", "caught", "change nothing"], rows),
    ]
    rest = [
        [cell(describe(mutation)), kind, cell(mutation.reason or "no named test notices it")]
        for mutation, kind in pairs
        if kind != "caught"
    ]
    if rest:
        parts.append(table(["mutation", "outcome", "reason"], rest))
    wrong = [describe(mutation) for mutation, kind in pairs if mutation.reason and kind == "caught"]
    if wrong:
        parts.append("These were said to change nothing, and a test noticed them: " + "; ".join(wrong))
    return parts


def main() -> None:
    """Make the mutations, and print how many were caught and why the others lived."""
    parser = options(__doc__, timed=False)
    parser.add_argument(
        "--only", default="", metavar="PATTERN", help="only mutations that this regular expression finds"
    )
    parser.add_argument("--jobs", type=int, default=1, help="mutations at a time (default: 1)")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no mutation after that (default: never)"
    )
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests on the unchanged program first")
    chosen = parser.parse_args()
    mutations = [each for each in MUTATIONS if re.search(chosen.only, " ".join(each))]
    wrong = [f"{describe(each)}: {problem}" for each in mutations for problem in problems(each)]
    if wrong:
        sys.exit("\n".join(wrong))
    if chosen.quick:
        print(f"{len(mutations)} mutations fit the sources; none was run")
        return
    if not chosen.unchecked and (failed := sound_tests(mutations)):
        sys.exit(f"these tests fail without a mutation:\n{failed}")
    outcomes = run(mutations, chosen.jobs, chosen.minutes)
    pairs = [pair for pair in zip(mutations, outcomes) if pair[1] != "not tried"]
    report("mutation", summary(pairs), chosen.save)


if __name__ == "__main__":
    main()
