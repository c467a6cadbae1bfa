"""rnn info: a model file -> what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rnn_cli.cli.options import DEFAULT_MODEL, Json, ModelPath

if TYPE_CHECKING:
    from rnn_cli.checkpoint import Checkpoint


def info(model: ModelPath = DEFAULT_MODEL, as_json: Json = False) -> None:
    """Show what a model file is: sizes, vocabulary, training history. Safe on a file from a stranger.

    Example: rnn info -m model.safetensors
    """
    from rnn_cli.checkpoint import load_checkpoint
    from rnn_cli.display.tables import curve, key_values
    from rnn_cli.display.text import TextWriter

    checkpoint = load_checkpoint(model)
    facts = describe(checkpoint)
    facts["file_bytes"] = model.stat().st_size
    writer = TextWriter()
    if as_json:
        writer.write_line(json.dumps({"model": str(model), **facts}))
    else:
        losses = history(checkpoint)
        rows = [(name.replace("_", " "), readable(value)) for name, value in facts.items() if name != "history"]
        writer.write_line(key_values(rows))
        if len(losses) > 1:
            writer.write_line(f"\nloss, from {losses[0]:.2f} to {losses[-1]:.2f} nats per character:")
            writer.write_line(curve(losses, 60, 6))
    writer.close()


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint."""
    from rnn_cli.layout import parameter_count

    config, vocabulary, record = checkpoint.config, checkpoint.vocabulary, checkpoint.record
    return {
        "cell": config.cell if config.cell != "rnn" else f"{config.cell} ({config.activation})",
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "parameters": parameter_count(config),
        "symbols": len(vocabulary) - 1,
        "kind": vocabulary.kind,
        "mode": "lines" if vocabulary.lines else "stream",
        "vocabulary": vocabulary.symbols or "",
        "complete": checkpoint.progress is None,
        **record,
    }


def readable(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {readable(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def history(checkpoint: Checkpoint) -> list[float]:
    """Return the losses over the training: validation where there is one, else training."""
    losses = []
    for report in checkpoint.record.get("history", []):
        loss = report.get("validation_loss") if isinstance(report, dict) else None
        loss = loss if loss is not None else report.get("loss") if isinstance(report, dict) else None
        if isinstance(loss, (int, float)):
            losses.append(float(loss))
    return losses
