"""What a model can be exported to: for each target the files that it makes, by their paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rnn_cli.checkpoint.checkpoint import Checkpoint
from rnn_cli.errors import UsageError
from rnn_cli.export.portable import Portable, grown, left_out


@dataclass(frozen=True)
class Request:
    """An export: the model, the path of its file or folder, the licence for a hub, 8-bit weights for a page.

    `measure_on` are the files on whose texts the cost of 8 bits is measured.
    """

    checkpoint: Checkpoint
    path: Path
    licence: str | None = None
    int8: bool = False
    measure_on: tuple[str, ...] = ()

    @property
    def model(self) -> Portable:
        """The model as other programs need it."""
        return Portable.of_checkpoint(self.checkpoint)


Files = tuple[dict[Path, bytes], list[str]]
"""The files of an export, and remarks for the user."""


def onnx_files(request: Request) -> Files:
    """Return an ONNX file, or of an encoder with a decoder PATH-encoder.onnx and PATH-decoder.onnx."""
    from rnn_cli.export.onnx import onnx_models

    model, path = request.model, request.path
    remarks = [f"labels are given by number, as the input `label`: 0 is '{model.labels[0]}'"] if model.labels else []
    graphs = onnx_models(model).items()
    return {
        path.with_stem(path.stem + suffix) if suffix else path: graph.SerializeToString(deterministic=True)
        for suffix, graph in graphs
    }, remarks


def numpy_files(request: Request) -> Files:
    """Return a Python file and its weights, PATH.py and PATH.npz."""
    from rnn_cli.export.numpy_file import numpy_source, numpy_weights

    source, weights = request.path.with_suffix(".py"), request.path.with_suffix(".npz")
    model = request.model
    return {weights: numpy_weights(model), source: numpy_source(model, weights.name)}, []


def c_files(request: Request) -> Files:
    """Return a C header."""
    from rnn_cli.export.c import c_header

    return {request.path: c_header(request.model)}, []


def hub_files(request: Request) -> Files:
    """Return a folder for a hub. Raises UsageError without a licence."""
    from rnn_cli.export.hub import hub_folder

    if request.licence is None:
        raise UsageError("say under which `licence` others may use the weights, such as mit or cc-by-4.0")
    folder = hub_folder(request.model, request.checkpoint.record, request.licence)
    return {request.path / name: data for name, data in folder.items()}, ["nothing is uploaded"]


def html_files(request: Request) -> Files:
    """Return one page."""
    from rnn_cli.export.html import html_page
    from rnn_cli.export.rounding import int8_loss

    page = html_page(request.model, request.path.stem, request.int8)
    return {request.path: page}, [int8_loss(request.checkpoint, request.measure_on)] if request.int8 else []


TARGETS: dict[str, Callable[[Request], Files]] = {
    "onnx": onnx_files,
    "numpy": numpy_files,
    "c": c_files,
    "hub": hub_files,
    "html": html_files,
}


def export_files(target: str, request: Request) -> Files:
    """Return the files of an export. Raises UsageError for an unknown target, and for a directory as a file."""
    if target not in TARGETS:
        raise UsageError(f"`to` must be one of {', '.join(TARGETS)}, not {target}")
    if target != "hub" and request.path.name in ("", ".."):
        raise UsageError(f"cannot write '{request.path}': it is a directory; give a file name in it")
    files, remarks = TARGETS[target](request)
    return files, [*remarks, *filter(None, [left_out(request.checkpoint), grown(request.checkpoint)])]
