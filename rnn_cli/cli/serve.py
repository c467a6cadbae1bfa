"""rnn serve: models -> answers to requests, over HTTP or as lines of JSON."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from rnn_cli.cli.classify import default_model
from rnn_cli.cli.options import (
    COMPUTATION,
    MODEL_FILE,
    Precision,
    Quiet,
    Threads,
    announce_compiling,
    model_files,
    note,
    precision_for,
    thread_count,
    with_options,
)
from rnn_cli.errors import UsageError
from rnn_cli.serving.fields import Connecting, Limits

if TYPE_CHECKING:
    from rnn_cli.serving.access import Access
    from rnn_cli.serving.models import Models

HTTP = "HTTP"
HTTP_ONLY = ("host", "port", "token", "allow_host", "allow_origin", "max_connections", "grace")
SHORTEST_TOKEN = 16
EVERYWHERE = ("0.0.0.0", "::")  # addresses under which nobody asks


@with_options(Connecting, Limits)
def serve(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Models, by the names of their files.", show_default=False)
    ] = None,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model, by the name of its file; several if it is given several times.",
            show_default=False,
            autocompletion=model_files,
            rich_help_panel=MODEL_FILE,
        ),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Read requests from stdin, one JSON object a line.")] = False,
    host: Annotated[
        str,
        typer.Option(help="The address to listen on; beyond this machine only with a token.", rich_help_panel=HTTP),
    ] = "127.0.0.1",
    token: Annotated[
        Path | None,
        typer.Option(
            help="A file with a secret that requests must name; default: $RNN_TOKEN, if set.",
            show_default=False,
            rich_help_panel=HTTP,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name in the Host of requests.", show_default=False, rich_help_panel=HTTP),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="An origin that may send requests; usually none.", show_default=False, rich_help_panel=HTTP),
    ] = None,
    precision: Annotated[
        Precision, typer.Option("--precision", help="That of the products.", rich_help_panel=COMPUTATION)
    ] = "float32",
    threads: Threads = None,
    quiet: Quiet = False,
    **values: Any,
) -> None:
    """Answer requests over HTTP, as OpenAI's legacy completions; also labels, tags, translations, forecasts.

    Example: rnn serve model.safetensors
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    if files and models:
        raise UsageError("models are given as arguments and with --model; give all of them in one way")
    for name in HTTP_ONLY:
        if stdio and name in given:
            raise UsageError(f"--{name.replace('_', '-')} is for HTTP, not for --stdio; leave it out")
    if "max_states" in given and not stdio:
        raise UsageError("--max-states is for --stdio, as no states are kept over HTTP; leave it out")
    paths = files or models or default_model()
    names = [path.stem for path in paths]
    if not paths:
        raise UsageError("name a model to serve")
    if len(set(names)) < len(names):
        raise UsageError(f"two models have the same name, '{Counter(names).most_common(1)[0][0]}'; rename a file")
    limits = Limits(**{item.name: values[item.name] for item in fields(Limits)})
    connecting = Connecting(**{item.name: values[item.name] for item in fields(Connecting)})
    check_names([host, *(allow_host or [])], allow_origin or [])
    secret = None if stdio else secret_for(host, token)
    cores = thread_count(threads, quiet)
    if not stdio:
        check_library()

    from rnn_cli.checkpoint.checkpoint import load_checkpoint
    from rnn_cli.serving.models import Models

    announce_compiling(quiet)
    served = Models(
        {name: load_checkpoint(path) for name, path in zip(names, paths)}, limits, cores, precision_for(precision)
    )
    if stdio:
        note(f"serving {', '.join(names)}; one request a line", quiet)
        serve_lines(served)
        return

    from rnn_cli.serving.access import Access

    named = [f"[{host}]" if ":" in host else host] if host not in EVERYWHERE else []
    hosts = frozenset(name.lower() for name in [*named, *(allow_host or [])])
    serve_http(served, host, connecting, Access(hosts, frozenset(allow_origin or []), secret), quiet)


def check_names(hosts: Sequence[str], origins: Sequence[str]) -> None:
    """Raise UsageError for a text that cannot be the address of --host, which is the first, a host, or an origin."""
    for number, name in enumerate(hosts):
        option, wanted = ("--host", "an address") if number == 0 else ("--allow-host", "a name without a port")
        port = ":" in name and not (name.startswith("[") if number else name.count(":") > 1)
        if not name or not name.isascii() or not name.isprintable() or set(name) & set(" /?#@,") or port:
            raise UsageError(f"{option} '{name}' is not {wanted}")
    for origin in origins:
        scheme, separator, rest = origin.partition("://")
        if origin != "null" and not (
            scheme and separator and rest and origin.isascii() and not set(rest) & set(" /?#@,")
        ):
            raise UsageError(f"--allow-origin '{origin}' is not an origin such as https://editor.example")


def check_library() -> None:
    """Raise UsageError if the libraries of the extra are missing."""
    from importlib.util import find_spec

    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise UsageError(
                f"the library {name} is missing; install it with: pip install 'rnn-cli[serve]', or use --stdio"
            )


def is_loopback(host: str) -> bool:
    """Say whether only programs of this machine reach a host."""
    import ipaddress

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def secret_for(host: str, file: Path | None) -> str | None:
    """Return the token of the server, if it has one. Raises UsageError for a bad one, or if it needs one."""
    if file is None:
        secret, where = os.environ.get("RNN_TOKEN"), "RNN_TOKEN"
    else:
        where = str(file)
        try:
            secret = file.read_text("ascii").strip()
        except (OSError, UnicodeError) as error:
            raise UsageError(f"--token: {where} cannot be read as ASCII: {getattr(error, 'strerror', '')}") from error
    if secret is None:
        if not is_loopback(host):
            raise UsageError(f"others can reach --host '{host}': give --token FILE, or set RNN_TOKEN")
        return None
    if len(secret) < SHORTEST_TOKEN or not all("!" <= letter <= "~" for letter in secret):
        raise UsageError(
            f"{where} must hold at least {SHORTEST_TOKEN} printable ASCII characters without blanks, as 32 digits"
        )
    return secret


def serve_lines(served: Models) -> None:
    """Answer the lines of stdin."""
    from rnn_cli.display.stdout import TextWriter
    from rnn_cli.serving.stdio import LineServer

    writer = TextWriter()

    def write(line: str) -> None:
        writer.write_line(line)
        writer.flush()

    LineServer(served, write).serve(request_lines(sys.stdin.buffer, served.limits.max_body))
    served.close()
    writer.close()


def request_lines(stream: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield the lines of a stream as they come; of one of more than `limit` bytes only as much as shows that it is."""
    while line := stream.readline(limit + 2):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > limit:
            rest = stream.readline(limit + 2)
        yield line.removesuffix(b"\n")


def serve_http(served: Models, host: str, connecting: Connecting, access: Access, quiet: bool) -> None:
    """Answer requests over HTTP until a signal comes."""
    from rnn_cli.serving.connections import Watch, listen, serve
    from rnn_cli.serving.http import Service
    from rnn_cli.signals import Stopped, StopRequest

    def started(port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        note(f"serving {', '.join(served.checkpoints)} at http://{shown}:{port}/v1; Ctrl-C stops", quiet)

    def complain(error: BaseException) -> None:
        note(f"a request failed: unexpected {type(error).__name__}", quiet)

    with listen(host, connecting.port) as listener:
        served.warm_up()
        gc.freeze()  # or the collector would look at all of the compiler's objects now and then, while requests wait
        with StopRequest("stopping when the answers at work are complete; once more to stop at once") as stop:
            watch = Watch(lambda: stop.requested is not None, served.stop, started, complain)
            serve(Service(served, complain).application(access), listener, connecting, watch)
        served.close()
    raise Stopped(stop.requested or 0)
