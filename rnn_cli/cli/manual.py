"""Manual pages, made from the tree of commands: rnn(1), and a page for each command. hatch_build.py calls it."""

from __future__ import annotations

from typing import Any

from typer.main import get_command

from rnn_cli import __version__


def manual_pages(date: str) -> dict[str, str]:
    """Return the pages by the names of their files; `date` is written as YYYY-MM-DD."""
    from rnn_cli.cli import app

    group: Any = get_command(app)
    others = [f"rnn-{name}" for name in group.commands]
    context = group.make_context("rnn", [], resilient_parsing=True)
    pages = {"rnn.1": page("rnn", group, context, date, others)}
    for name, command in group.commands.items():
        own = command.make_context(name, [], parent=context, resilient_parsing=True)
        pages[f"rnn-{name}.1"] = page(f"rnn-{name}", command, own, date, ["rnn"])
    return pages


def page(title: str, command: Any, context: Any, date: str, others: list[str]) -> str:
    """Return the page of a command in the man macros."""
    first, *rest = [part.strip() for part in (command.help or "").split("\n\n") if part.strip()]
    summary = " ".join(first.split()).rstrip(".")
    lines = [
        f'.TH "{roff(title.upper())}" 1 "{date}" "rnn {__version__}"',
        ".SH NAME",
        f"{roff(title)} \\- {roff(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        f".B {roff(context.command_path)}",
        roff(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        roff(" ".join(first.split())),
    ]
    for paragraph in rest:
        lines += [".PP", roff(" ".join(paragraph.split()))]
    if hasattr(command, "commands"):
        lines.append(".SH COMMANDS")
        for name, each in command.commands.items():
            lines += [".TP", f".B {roff(name)}", roff(each.get_short_help_str(200))]
    sections: dict[str, list[str]] = {}
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            kind = "ARGUMENTS" if parameter.param_type_name == "argument" else "OPTIONS"
            names, text = record[0].strip(" /"), " ".join(record[1].split())
            sections.setdefault(kind, []).extend([".TP", f".B {roff(names)}", roff(text)])
    for kind in ("ARGUMENTS", "OPTIONS"):
        if kind in sections:
            lines += [f".SH {kind}", *sections[kind]]
    lines.append(".SH SEE ALSO")
    lines += [f".BR {roff(name)} (1){',' * (name != others[-1])}" for name in others]
    return "\n".join(lines) + "\n"


def roff(text: str) -> str:
    """Return text in which nothing is a request or an escape."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped[:1] in (".", "'", "") else escaped
