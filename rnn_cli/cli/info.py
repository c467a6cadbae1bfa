"""rnn info: a model file -> its sizes, vocabulary and training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, Json, ModelPath, Quiet, model_files, one_model

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint

LONGEST_VALUE = 64
RESERVED = {"model", "repeat_with", "file_bytes"}  # names that a record, which is untrusted, cannot set
WRITTEN = {
    *("corpus", "training", "steps", "total_steps", "seconds", "best_step", "best_loss", "rollbacks"),
    *("history", "versions", "fingerprint", "best_score", "mixture"),
}  # the parts of a record that rnn writes; others are printed in JSON only, where nobody takes them for facts


def info(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]", help="The model file, as --model.", show_default=False, autocompletion=model_files
        ),
    ] = None,
    model: ModelPath = DEFAULT_MODEL,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describe a model file: sizes, vocabulary, training history. Safe on untrusted files.

    Example: rnn info model.safetensors
    """
    model = one_model(context, file, model)

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.display.tables import curve, key_values

    checkpoint = load_checkpoint(model)
    facts = describe(checkpoint)
    facts["file_bytes"] = model.stat().st_size
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": str(model), **facts}))
    else:
        losses = history(checkpoint)
        per = {"classify": "nats per label", "forecast": "per step"}
        unit = per.get(facts.get("task", ""), "nats per character")
        unexpected = checkpoint.record.keys() - WRITTEN
        writer.write_line(key_values(flatten({name: value for name, value in facts.items() if name not in unexpected})))
        if len(losses) > 1:
            span = f"{losses[0]:.2f} to {losses[-1]:.2f} {unit}, best {min(losses):.2f}"
            writer.write_line(f"\nloss over the training, {span}:")
            writer.write_line(curve(losses))
    writer.close()


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint."""
    from rnn_cli.checkpoint.checkpoint import LANGUAGE
    from rnn_cli.network.parameters import parameter_count
    from rnn_cli.text.codecs import TokenCodec, WordCodec, codec_from_dict
    from rnn_cli.text.fingerprint import Fingerprint

    config, record = checkpoint.config, checkpoint.record
    language = checkpoint.task["name"] == LANGUAGE
    facts: dict[str, Any] = {} if language else {"task": checkpoint.task["name"]}
    facts |= {
        "cell": config.cell if config.cell != "rnn" else f"{config.cell} ({config.activation})",
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
    }
    if config.directions > 1:
        facts["directions"] = config.directions
    if config.members > 1:
        facts["networks"] = config.members
    if config.readout != "last":
        facts["readout"] = config.readout
    facts["parameters"] = parameter_count(config)
    if checkpoint.task["name"] == "forecast":
        return facts | series_facts(checkpoint) | recorded(checkpoint, facts)
    codec = checkpoint.codec if language else codec_from_dict(checkpoint.task.get("codec", {}))
    facts |= {"symbols": len(codec) - 1, "kind": codec.kind}
    if language:
        facts["mode"] = "stream" if not codec.line_mode else "lines" if codec.ends_at_newline else "texts"
    symbols = codec.words if isinstance(codec, WordCodec) else codec.tokens if isinstance(codec, TokenCodec) else None
    facts["vocabulary"] = codec.alphabet if symbols is None else " ".join(symbols)
    if isinstance(form := checkpoint.task.get("form"), str):
        facts["normal_form"] = form
    if isinstance(outputs := checkpoint.task.get("outputs"), list):
        facts["target_symbols"] = len(outputs)
    if isinstance(labels := checkpoint.task.get("labels", checkpoint.task.get("tags")), list):
        facts["answers"] = len(labels)
        facts["labels"] = ", ".join(map(str, labels))
    facts["fingerprint"] = None
    if "fingerprint" in record:
        facts["fingerprint"] = Fingerprint.from_dict(record["fingerprint"]).describe()
    facts["counts"] = None
    if checkpoint.counts:
        sizes = [tensor.nbytes for tensor in checkpoint.counts.values()]
        orders = checkpoint.counts["spread" if checkpoint.task["name"] == LANGUAGE else "feature_sizes"]
        facts["counts"] = {"order": len(orders), "bytes": sum(sizes)}
    return facts | recorded(checkpoint, facts)


def series_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a forecaster reads and predicts."""
    from rnn_cli.tasks.forecast.forecaster import read_description

    about = read_description(checkpoint)
    shape = {"season": about.shape.season, "longer_season": about.shape.longer, "horizon": about.shape.horizon}
    levels = ", ".join(f"{level:g}" for level in checkpoint.config.quantiles)
    return {**shape, "quantiles": levels or "none: the mean", "context": about.context, "series": len(about.known)}


def recorded(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether the run is complete, how to repeat it, and what else its record holds."""
    found: dict[str, Any] = {"complete": checkpoint.progress is None}
    if (again := repetition(checkpoint)) is not None:
        found["repeat_with"] = again
    return found | {
        name: value for name, value in checkpoint.record.items() if name not in facts.keys() | found.keys() | RESERVED
    }


def repetition(checkpoint: Checkpoint) -> str | None:
    """Return the options that repeat a run of --minutes, whose length depended on the speed of the machine.

    None for other runs, for a run that is not complete, and if the record holds anything but numbers.
    """
    training, steps = checkpoint.record.get("training"), checkpoint.record.get("total_steps")
    if not isinstance(training, dict) or training.get("minutes") is None or checkpoint.progress is not None:
        return None
    values = {
        "steps": steps,
        "hidden-size": checkpoint.config.hidden_size,
        "dropout": training.get("dropout"),
        "recurrent-dropout": training.get("recurrent_dropout", 0.0),
        "random-seed": training.get("random_seed"),
        **({"groups": groups} if (groups := training.get("groups", 1)) != 1 else {}),
    }
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values()):
        return None
    return " ".join(f"--{name} {value}" for name, value in values.items())


def flatten(facts: Mapping[str, Any], group: str = "") -> list[tuple[str, str]]:
    """Return the facts as rows of a name and a readable value; `group` comes before each name."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        label = f"{group} {name.replace('_', ' ')}".strip()[:LONGEST_VALUE]
        if isinstance(value, Mapping):
            rows += flatten(value, label)
        elif isinstance(value, bool):
            rows.append((label, "yes" if value else "no"))
        elif isinstance(value, int):
            rows.append((label, str(value) if name == "random_seed" else f"{value:,}"))
        elif isinstance(value, float):
            rows.append((label, f"{value:.6g}"))
        elif isinstance(value, str):
            whole = len(value) <= LONGEST_VALUE or (name == "repeat_with" and not group)
            rows.append((label, value if whole else f"{value[:LONGEST_VALUE]}..."))
    return rows


def history(checkpoint: Checkpoint) -> list[float]:
    """Return the losses over the training: the validation loss if there is one, else the training loss."""
    losses = []
    for report in checkpoint.record.get("history", []):
        loss = report.get("validation_loss") if isinstance(report, dict) else None
        loss = loss if loss is not None else report.get("loss") if isinstance(report, dict) else None
        if isinstance(loss, (int, float)):
            losses.append(float(loss))
    return losses
