"""Options that several commands share, in one wording."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rnn_cli.cpu_count import available_processors, usable_cores

DEFAULT_MODEL = Path("model.safetensors")


class Precision(StrEnum):
    """The precisions of the matrix products; auto is what suits the processor."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


def model_files(incomplete: str) -> list[str]:
    """Return the model files whose path begins so; where there are none, the shell itself offers directories."""
    folder, name = os.path.split(incomplete)
    try:
        found = os.listdir(folder or ".")
    except OSError:
        return []
    return sorted(
        os.path.join(folder, file) for file in found if file.startswith(name) and file.endswith(".safetensors")
    )


ModelPath = Annotated[
    Path,
    typer.Option(
        "--model",
        "-m",
        envvar="RNN_MODEL",
        help="The model file.",
        show_default=True,
        autocompletion=model_files,
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", help="Threads to use; default: all cores that one may use.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but errors.")]
RandomSeed = Annotated[int | None, typer.Option("--random-seed", help="Makes the result repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def thread_count(threads: int | None, quiet: bool = False) -> int:
    """Return the number of threads to use, checked: no more than processors, as more only wait for one another."""
    from rnn_cli.config import check_range

    if threads is None:
        return usable_cores()
    check_range("threads", threads, 1, 1024)
    processors = available_processors()
    if threads > processors:
        note(f"this process may use {processors} processor{'s' * (processors > 1)}: --threads {processors}", quiet)
    elif threads > usable_cores():
        note(f"--threads {threads} is more than the CPU quota allows; --threads {usable_cores()} is faster", quiet)
    return min(threads, processors)


def precision_for(chosen: Precision) -> str:
    """Return the precision, for `auto` the one that the processor is fastest in."""
    if chosen is not Precision.auto:
        return chosen.value
    from rnn_cli.kernels.simd.cpu import HAS_FAST_BFLOAT16

    return "bfloat16" if HAS_FAST_BFLOAT16 else "float32"


def random_seed(given: int | None) -> int:
    """Return the seed that was given, checked, or draw one."""
    from rnn_cli.config import check_range

    if given is None:
        return int.from_bytes(os.urandom(4), "little") >> 1  # the module secrets would take milliseconds to import
    check_range("random-seed", given, 0, 2**63 - 1)
    return given


def note(sentence: str, quiet: bool) -> None:
    """Say something on stderr, unless that is not wanted; one that is closed or full is no reason to fail."""
    if not quiet:
        with suppress(OSError):
            print(sentence, file=sys.stderr, flush=True)


def announce_compiling(quiet: bool) -> None:
    """Say once, on stderr, when kernels have to be compiled, because that takes seconds."""
    from rnn_cli.kernels.compiler.cache import announcement, on_compile, on_unkept

    def say() -> None:
        on_compile.clear()
        note(announcement(), quiet)

    on_compile.append(say)
    on_unkept.append(lambda sentence: note(sentence, quiet))
