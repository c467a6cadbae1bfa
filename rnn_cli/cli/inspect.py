"""rnn inspect: a text and a model -> what the network does at each step."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rnn_cli.cli.options import DEFAULT_MODEL, OUTPUT, Json, Label, ModelPath, Quiet, note
from rnn_cli.cli.output import check_output, write_output
from rnn_cli.errors import UsageError

if TYPE_CHECKING:
    from rnn_cli.checkpoint.checkpoint import Checkpoint
    from rnn_cli.inspect.activations import Activations
    from rnn_cli.inspect.plain_model import PlainModel, Symbols
    from rnn_cli.text.codecs import Codec
    from rnn_cli.text.documents import Document

TextArgument = Annotated[str, typer.Argument(help="A text, a text file, or - for stdin.", show_default=False)]
CONTEXTS, EFFECTS, FOUND = 5, 6, 3


def inspect(
    text: TextArgument,
    model: ModelPath = DEFAULT_MODEL,
    label: Label = None,
    unit: Annotated[
        str | None,
        typer.Option("--unit", metavar="L:K", help="Shade the text by unit K of layer L; L:K:c is its cell state."),
    ] = None,
    units: Annotated[
        bool, typer.Option("--find-units", help="Find units that track quotes, brackets, position, vowels, ...")
    ] = False,
    as_json: Json = False,
    npz: Annotated[
        Path | None,
        typer.Option("--npz", help="Write all states, gates and log probabilities here.", rich_help_panel=OUTPUT),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show the network at each step of a text: active units, gates, and the next symbols it expects.

    Example: rnn inspect namaskar
    """
    if unit is not None and units:
        raise UsageError("--unit and --find-units contradict each other; give one of them")
    if npz is not None:
        check_output(npz, [".npz"], [model, text], "--npz")
    checkpoint, network, symbols = load(text, model, label, quiet)
    codec = checkpoint.codec

    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.inspect.activations import activations
    from rnn_cli.inspect.plain_model import pieces_of

    acts = activations(network, symbols)
    pieces = pieces_of(codec, symbols.inputs)
    if npz is not None:
        write_output(npz, arrays_of(acts), quiet)
    shading = False
    facts: Any
    if units:
        facts, shown = of_search(acts, pieces)
    elif unit is not None:
        from rnn_cli.display.shading import has_colours

        facts, shown = of_unit(network, codec, acts, pieces, unit)
        shading = has_colours() and not as_json
    else:
        facts, shown = of_steps(codec, acts)
    writer = TextWriter(raw=shading)
    writer.write_line(json.dumps(facts) if as_json else shown)
    writer.close()


def load(text: str, model: Path, label: str | None, quiet: bool) -> tuple[Checkpoint, PlainModel, Symbols]:
    """Return a language model, its network, and a text as it reads it."""
    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.inspect.plain_model import PlainModel, read_symbols
    from rnn_cli.tasks.labelled.model import language_model
    from rnn_cli.text.documents import text_for

    checkpoint = language_model(load_checkpoint(model), label).as_one_network()
    network = PlainModel.of_checkpoint(checkpoint)
    return checkpoint, network, read_symbols(checkpoint.codec, text_for(checkpoint.codec, document_of(text, quiet)))


def document_of(text: str, quiet: bool) -> Document:
    """Return what an argument names: stdin for -, a file if there is one, else the argument itself."""
    from rnn_cli.text.documents import Document, read_document

    if text != "-" and not os.path.isfile(text):
        return Document("the text", os.fsencode(text))
    if text != "-":
        note(f"reads the file {text}", quiet)
    return read_document(text)


def arrays_of(acts: Activations) -> bytes:
    """Return the arrays of a text as an npz file."""
    import numpy as np

    arrays: dict[str, Any] = {
        "inputs": acts.symbols.inputs,
        "targets": acts.symbols.targets,
        "log_probs": acts.log_probs,
        **{f"state_{name}": values for name, values in acts.states.items()},
        **{f"gate_{name}": values for name, values in acts.gates.items()},
    }
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def of_steps(codec: Codec, acts: Activations) -> tuple[list[dict[str, Any]], str]:
    """Return what happens at each step, for JSON and as a table."""
    from rnn_cli.display.columns import table_and_list
    from rnn_cli.display.tables import spaced
    from rnn_cli.inspect.activations import GATES

    names = {gate: name for gates in GATES.values() for gate, name in gates.items() if gate in acts.gates}
    facts, rows, guesses = [], [], []
    for t, (read, came) in enumerate(zip(acts.symbols.inputs.tolist(), acts.symbols.targets.tolist())):
        expected = [(codec.name(symbol), p) for symbol, p in acts.expected(t, 5)]
        active = [(f"{layer}:{unit}", h) for layer, unit, h in acts.most_active(t, 5)]
        gates = {name: acts.gates[gate][:, t].mean(axis=1).tolist() for gate, name in names.items()}
        shown, following = "start" if t == 0 else codec.name(read), None if came < 0 else codec.name(came)
        bits = None if came < 0 else float(acts.bits[t])
        facts.append(
            {
                "read": shown,
                "came": following,
                "bits": bits,
                "expected": [{"symbol": name, "probability": p} for name, p in expected],
                "gates": gates,
                "units": [{"unit": name, "value": value} for name, value in active],
            }
        )
        rows.append(
            [
                spaced(shown),
                spaced(following or ""),
                "" if bits is None else f"{bits:.2f}",
                *(f"{means[-1]:.2f}" for means in gates.values()),
                " ".join(f"{name} {value:+.2f}" for name, value in active[:2]),
            ]
        )
        guesses.append([f"{spaced(name)} {p:.0%}" for name, p in expected[:3]])
    heading = ["read", "came", "bits", *names.values(), "active units"]
    about = "bits: the cost of the symbol that came. Units L:K are furthest from their mean."
    if names:
        about += "\nGates: mean over the units of the last layer, 0 closed, 1 open."
    return facts, f"{table_and_list(heading, rows, ('expected', guesses), 2)}\n\n{about}"


def of_search(acts: Activations, pieces: list[str]) -> tuple[list[dict[str, Any]], str]:
    """Return the units that track a property, for JSON and as a table."""
    from rnn_cli.display.columns import table
    from rnn_cli.inspect.units import find_units

    found = find_units(acts.states, pieces, FOUND)
    if not found:
        raise UsageError("the text is too short to find units in it, or has none of the properties; give a longer one")
    rows = [
        [
            each.label,
            each.unit,
            each.measure,
            f"{each.score:.3f}",
            f"{each.chance:.3f}",
            "high" if each.sign > 0 else "low",
        ]
        for each in found
    ]
    about = (
        "score: on the second half of the text; the unit was chosen on the first half.\n"
        "chance: the best score of any unit on labels that are shifted against the text.\n"
        "A score that is not above chance says nothing. Use a text that the model has not learned."
    )
    heading = ["property", "unit", "measure", "score", "chance", "unit is"]
    return [each._asdict() for each in found], f"{table(heading, rows, 3)}\n\n{about}"


def of_unit(
    network: PlainModel, codec: Codec, acts: Activations, pieces: list[str], unit: str
) -> tuple[dict[str, Any], str]:
    """Return what one unit does on the text, for JSON and as a shaded text with tables."""
    import numpy as np

    from rnn_cli.display.columns import table
    from rnn_cli.display.shading import has_colours, shaded
    from rnn_cli.display.stdout import visible
    from rnn_cli.display.tables import bars
    from rnn_cli.inspect.units import contexts, histogram, logit_effect

    values = acts.unit(unit)
    low, high = float(values.min()), float(values.max())
    levels = np.clip((values - low) / max(high - low, 1e-12) * 5, 0, 4).astype(int).tolist()
    counts, edges = histogram(values, 8)
    effect = logit_effect(network, acts, unit)
    order = np.argsort(-effect, kind="stable").tolist()
    places = contexts(values, pieces, CONTEXTS)
    facts = {
        "unit": unit,
        "values": [{"text": piece, "value": value} for piece, value in zip(pieces, values.tolist())],
        "histogram": {"counts": counts.tolist(), "edges": edges.tolist()},
        "contexts": [{"step": k, "value": value, "before": a, "after": b} for k, value, a, b in places],
        "effect": [{"symbol": codec.name(k), "logit": float(effect[k])} for k in order],
    }
    key = "darker, then bold, then underlined" if has_colours() else "marks below: blank . : + #"
    shares = [(f"{a:+.2f}..{b:+.2f}", n / len(values)) for a, b, n in zip(edges, edges[1:], counts)]
    raised = [k for k in order if effect[k] > 0][:EFFECTS]
    lowered = [k for k in order[::-1] if effect[k] < 0][:EFFECTS]
    parts = [
        f"unit {unit}, from {low:+.2f} to {high:+.2f} ({key})",
        shaded(pieces, levels),
        f"\nshare of the steps in which the unit has a value:\n{bars(shares, 60)}",
        "\nhighest values, with the text up to there and after it:",
        table(["value", "text"], [[f"{v:+.2f}", f"{visible(a)} | {visible(b)}"] for _, v, a, b in places], 0),
        "\nchange of the logits of the next symbol, from low to high values of the unit:",
        *("  ".join(f"{visible(codec.name(k))} {effect[k]:+.2f}" for k in ends) for ends in (raised, lowered) if ends),
    ]
    return facts, "\n".join(parts)
