"""rnn sweep: a text and a study -> trainings with other sizes and rates, and the best of them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import (
    DEFAULT_MODEL,
    Json,
    ModelPath,
    Quiet,
    Threads,
    announce_compiling,
    in_options,
    note,
    thread_count,
)
from rnn_cli.config import check_range
from rnn_cli.errors import DivergenceError, UsageError

if TYPE_CHECKING:
    from rnn_cli.cli.train.request import TrainRequest
    from rnn_cli.display.progress import TrainingDisplay
    from rnn_cli.sweep.space import About
    from rnn_cli.sweep.study import Outcome, Result, Running, Sweep
    from rnn_cli.training.trainer import Trainer

CONTEXT_SETTINGS = {"ignore_unknown_options": True}  # those of rnn train, which reads them
# Parameters of rnn train that are about one training, not about all trials.
OF_ONE_RUN = ("log", "resume", "overwrite", "dry_run", "plot", "mpi")
DEFAULT_SEED = 1  # the same for all trials, so that they hold out the same text
SHOWN = 10  # trials of the table


def sweep(
    context: typer.Context,
    study: Annotated[
        Path, typer.Option("--study", help="The file of the study; any number of processes may share it.")
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[corpus]... [option of rnn train]...",
            help="Texts and options that all trials have; default: those of the study.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Train until the study has N trials, those of other processes included."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Train the best trial again, and write its model.")] = False,
    model: ModelPath = DEFAULT_MODEL,
    as_json: Json = False,
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Try sizes, rates, dropout and cells, and print the best trainings with the rnn train line of the best one.

    A trial that is worse than half of the others after a part of its training ends early.

    Example: rnn sweep corpora/stars.txt --study stars.study --trials 2 --steps 60
    """
    if best and (trials is not None or as_json):
        raise UsageError(f"--best and {'--json' if as_json else '--trials'} contradict each other; give one of them")
    source = context.get_parameter_source("model")
    if not best and source is not None and source.name == "COMMANDLINE":
        raise UsageError("a sweep writes no model; give -m with --best")
    if trials is not None:
        check_range("trials", trials, 1, 10**6)
    cores = thread_count(threads, quiet)
    given = list(arguments or [])
    about = about_of(given) if given and not best else None
    if about and trials is None:
        raise UsageError("say how many trainings the study is to have, with --trials N")

    from rnn_cli.sweep.study import Sweep

    sweep = Sweep(str(study), about)
    check_arguments(sweep.about, study)
    if best:
        if read_train_line(given).params["files"]:
            raise UsageError("--best trains on the text of the study; leave it out")
        train_best(sweep, [*given, "-m", str(model), "--threads", str(cores), *(["-q"] if quiet else [])], quiet)
        return
    if trials is not None:
        announce_compiling(quiet)
        run_trials(sweep, trials, cores, quiet)
    show(sweep, as_json)


def read_train_line(arguments: list[str], runner: Any = None) -> Any:
    """Return the context of `rnn train` with these arguments, and `runner` in place of what trains and saves."""
    from rnn_cli.cli.commands import LazyCommands

    return LazyCommands()["train"].make_context("rnn train", list(arguments), obj=runner)


def run_train_line(arguments: list[str], runner: Any = None) -> None:
    """Run `rnn train`, with `runner` in place of what trains and saves."""
    with read_train_line(arguments, runner) as context:
        context.command.invoke(context)


def train_options() -> dict[str, str]:
    """Return the options of `rnn train` by the names of their parameters."""
    from rnn_cli.cli.commands import LazyCommands

    return {
        parameter.name: [*parameter.opts, *parameter.secondary_opts][0] for parameter in LazyCommands()["train"].params
    }


def about_of(arguments: list[str]) -> About:
    """Return what a sweep with these arguments of `rnn train` is about. Raises UsageError for those of one training."""
    from rnn_cli.sweep.space import About, varied

    context, options = read_train_line(arguments), train_options()
    given = {name for name in context.params if context.get_parameter_source(name).name == "COMMANDLINE"}
    if single := [options[name] for name in OF_ONE_RUN if name in given]:
        raise UsageError(f"{single[0]} is for one training, not for a sweep; leave it out")
    if "-" in (context.params["files"] or ()):
        raise UsageError("a sweep reads the text for each trial, and stdin comes only once; give a file")
    if not context.params["files"]:
        raise UsageError("name a text to train on; for example: rnn sweep corpus.txt --study S --trials 20")
    seed = context.params["random_seed"]
    if seed is None:
        arguments = [*arguments, options["random_seed"], str(DEFAULT_SEED)]
    check_range("random_seed", DEFAULT_SEED if seed is None else seed, 0, 2**63 - 1)
    try:
        names = varied(given)
    except UsageError as problem:
        raise UsageError(in_options(str(problem), context.command.params)) from problem
    return About(arguments, names, DEFAULT_SEED if seed is None else seed)


def check_arguments(about: About, study: Path) -> None:
    """Raise UsageError unless the arguments in a study, which may hold anything, are those that a sweep has."""
    if about_of(about.arguments) != about:
        raise UsageError(f"the arguments in the study {study} do not go together; name another file with --study")


def run_trials(sweep: Sweep, wanted: int, threads: int, quiet: bool) -> None:
    """Train trials until there are enough. One that is stopped is made again by whoever continues the study."""
    from rnn_cli.sweep.study import GivenUpError

    while trial := sweep.next(wanted):
        try:
            line = line_of(sweep, trial.values)
            note(f"trial {trial.number}: {shlex.join(['rnn', 'train', *line])}", quiet)
            ends = train_trial(trial, line, threads)
        except GivenUpError:
            ends = "was silent for too long; it is made again"
        except BaseException as problem:
            trial.abandon(retry=not isinstance(problem, Exception))  # a signal says nothing about the trial
            raise
        note(f"trial {trial.number}: {ends}", quiet)


def line_of(sweep: Sweep, values: dict[str, Any]) -> list[str]:
    """Return the arguments of `rnn train` that make a trial again."""
    options = train_options()
    return [*sweep.about.arguments, *(part for name, value in values.items() for part in (options[name], str(value)))]


def train_trial(trial: Running, line: list[str], threads: int) -> str:
    """Train a trial as `rnn train` does, without a file. Returns how it ended, in words."""
    from rnn_cli.cli.train.start import start_run
    from rnn_cli.display.report_line import bits_of

    ends = ""

    def run(request: TrainRequest, *_: Any, threads: int, display: TrainingDisplay, **__: Any) -> None:
        nonlocal ends
        trainer, _request = start_run(request, threads, display)
        if trainer.validation is None:
            raise UsageError("nothing is held out, so trials cannot be compared; give --validation-fraction 0.1")
        for report in trainer:
            trial.live()
            if report.validation_loss is not None and trial.report(result_of(trainer), trainer.fraction):
                trial.prune(result_of(trainer))
                ends = f"pruned at {trainer.fraction:.0%}"
                break
        else:
            trial.complete(result_of(trainer))
            ends = "complete"
        loss, score, step, unit = result_of(trainer)
        ends += f", {bits_of(loss, unit)}{'' if score is None else f', score {score:.1%}'} at step {step:,}"

    try:
        run_train_line([*line, "--threads", str(threads), "-q"], run)
    except DivergenceError:
        trial.prune(None)
        ends = "the training diverged"
    return ends


def result_of(trainer: Trainer) -> Result:
    """Return what a training has come to: its best model so far, by which it is judged."""
    from rnn_cli.sweep.study import Result

    progress = trainer.progress
    assert progress.best_loss is not None
    return Result(progress.best_loss, progress.best_score, progress.best_step, trainer.task.unit)


def train_best(sweep: Sweep, others: list[str], quiet: bool) -> None:
    """Run the `rnn train` line of the best trial, with further arguments."""
    outcomes = sweep.outcomes()
    if not outcomes:
        raise UsageError(f"the study {sweep.path} has no trial that is complete; add some with --trials N")
    winner = outcomes[0]
    line = line_of(sweep, winner.values)
    note(f"trial {winner.number} of {sweep.path}: {shlex.join(['rnn', 'train', *line])}", quiet)
    run_train_line([*line, *others])


def show(sweep: Sweep, as_json: bool) -> None:
    """Print the best trials as a table, or all as JSON."""
    from rnn_cli.display.columns import table
    from rnn_cli.display.report_line import bits_of
    from rnn_cli.display.stdout import TextWriter, visible

    outcomes, counts = sweep.outcomes(), sweep.counts()
    writer = TextWriter()
    if as_json:
        results = [json_of(sweep, each) for each in outcomes]
        best = results[0] if results else None
        writer.write_line(json.dumps({"study": sweep.path, "trials": counts, "best": best, "results": results}))
    elif not outcomes:
        writer.write_line(f"{visible(sweep.path)} has no trial that is complete")
    else:
        scored = any(each.result.score is not None for each in outcomes)
        heading = ["trial", "", "validation", *(["score"] if scored else []), *map(short, sweep.about.names)]
        rows = []
        for each in outcomes[:SHOWN]:
            score = [] if not scored else ["" if each.result.score is None else f"{each.result.score:.1%}"]
            cells = [str(value) for value in each.values.values()]
            shown = bits_of(each.result.loss, each.result.unit)
            rows.append([str(each.number), "pruned" if each.pruned else "", shown, *score, *cells])
        writer.write_line(table(heading, rows, bars=False))
        among = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
        writer.write_line(f"\n{among}; the best one again:")
        writer.write_line(visible(shlex.join(["rnn", "train", *line_of(sweep, outcomes[0].values)])))
    writer.close()


def short(name: str) -> str:
    """Return the heading of a column."""
    return {"hidden_size": "units", "num_layers": "layers", "learning_rate": "rate"}.get(name, name)


def json_of(sweep: Sweep, each: Outcome) -> dict[str, Any]:
    """Return a trial as JSON-ready values."""
    command = shlex.join(["rnn", "train", *line_of(sweep, each.values)])
    about = {"trial": each.number, "pruned": each.pruned, "value": each.result.value}
    return {**about, **each.result._asdict(), "values": each.values, "command": command}
