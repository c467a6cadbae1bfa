"""The tiles of other processors: run here as far as this one can, and else at least compiled and looked at."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SMALL, STREAM_TEXT, run_process
from llvmlite import binding, ir
from numba.core import types

from rnn_cli.checkpoint.checkpoint import load_checkpoint
from rnn_cli.kernels.matmul import tile
from rnn_cli.kernels.simd import cpu as host
from rnn_cli.kernels.simd import vector
from rnn_cli.kernels.simd.cpu import tile_shape

TESTS = Path(__file__).parent.parent
# Numba takes the features of the host, whatever the name of the processor, unless both are given.
LESSER = {"avx2": ("haswell", "+avx,+avx2,+fma"), "plain": ("x86-64", "+sse,+sse2")}
# The gradients of one cell in float64, the product and the functions of vectors in float32.
GRADIENTS = {
    "avx2": "gradient and lstm and not 3-layers and not finite and not numbers and not mean",
    "plain": "gradient and lstm and 1-layer",
}
PRODUCTS = "float32 and (multiply or pack or deep or exp or activations)"
CHILD = """
import sys
import pytest
from rnn_cli.kernels.simd import cpu as host
assert str((host.VECTOR_BYTES, host.TILE_ROWS, host.TILE_VECTORS)) == sys.argv[1], "not the tile that was meant"
sys.exit(pytest.main(sys.argv[2:]))
"""
FILES = ["network/test_gradients.py", "kernels/test_products.py", "kernels/test_kernels.py"]


def lesser(name):
    """Return the environment in which code is compiled for a lesser processor."""
    processor, features = LESSER[name]
    return {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="these are tiles of x86")
@pytest.mark.parametrize("name", LESSER)
def test_older_processors_compute_the_same(name):
    if name == "avx2" and not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("this processor has no AVX2")
    _, features = LESSER[name]
    shape = tile_shape(set(features.replace("+", "").split(",")), "x86_64")
    if shape == (host.VECTOR_BYTES, host.TILE_ROWS, host.TILE_VECTORS):
        pytest.skip("this is the tile of this processor, which all the other tests run on")
    chosen = f"({GRADIENTS[name]}) or ({PRODUCTS})"
    arguments = [str(shape), "-q", "-p", "no:cacheprovider", "-k", chosen, *(str(TESTS / file) for file in FILES)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], cwd=TESTS.parent, env=lesser(name), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="this is a processor of x86")
def test_bfloat16_is_refused_and_auto_is_float32_without_it(tmp_path):
    (tmp_path / "text.txt").write_text(STREAM_TEXT, "utf-8")
    train = ["train", "text.txt", *SMALL, "--steps", "1"]
    for command in ([*train, "--dry-run"], train, ["sample", "-l", "3"], ["evaluate", "text.txt"]):
        refused = run_process(*command, "--precision", "bfloat16", cwd=tmp_path, env=lesser("plain"))
        assert refused.code == 2, refused.stderr
        assert "no products in bfloat16 (AVX512_BF16); use --precision float32" in refused.stderr
        done = run_process(*command, "--precision", "auto", cwd=tmp_path, env=lesser("plain"))
        assert done.code == 0, done.stderr
    assert load_checkpoint(tmp_path / "model.safetensors").record["training"]["precision"] == "float32"


@pytest.mark.skipif(not host.HAS_AMX, reason="there are no matrix registers to do without")
def test_bfloat16_products_use_vectors_without_amx():
    features = ",".join(f"+{name}" for name in sorted(host.cpu_features()) if not name.startswith("amx"))
    environment = {**os.environ, "NUMBA_CPU_NAME": binding.get_host_cpu_name(), "NUMBA_CPU_FEATURES": features}
    check = (
        "from rnn_cli.kernels.simd import cpu; assert cpu.HAS_BFLOAT16 and not (cpu.HAS_AMX or cpu.HAS_FAST_BFLOAT16)"
    )
    tests = 'import sys, pytest; sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]]))'
    chosen = [
        "-k",
        "bfloat16",
        *(str(TESTS / file) for file in ("kernels/test_products.py", "language/test_sampling.py")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", f"{check}; {tests}", *chosen],
        cwd=TESTS.parent, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("answer", [0, -1])
def test_matrix_registers_are_used_if_linux_lets_this_process(monkeypatch, answer):
    asked = []

    class Library:
        def __init__(self, name):
            self.syscall = lambda *numbers: asked.append(numbers) or answer

    monkeypatch.setattr(host.ctypes, "CDLL", Library)
    monkeypatch.setattr(host.sys, "platform", "linux")
    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    assert host.may_use_matrix_registers({"amx-bf16"}) == (answer == 0)
    assert not host.may_use_matrix_registers({"avx512bf16"})
    assert asked == [(158, 0x1023, 18)]


def tile_assembly(monkeypatch, triple, processor, features, shape, dtype):
    """Return the machine code of the tile for any processor, as text."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    for module, name, value in zip((vector, tile, tile), ("VECTOR_BYTES", "TILE_ROWS", "TILE_VECTORS"), shape):
        monkeypatch.setattr(module, name, value)
    module = ir.Module("tile")
    module.triple = triple
    tile.emit_tiles(module, vector.VectorType(dtype))
    target = binding.Target.from_triple(triple).create_target_machine(cpu=processor, features=features, opt=3)
    parsed = binding.parse_assembly(str(module))
    parsed.data_layout = str(target.target_data)
    passes = binding.create_pass_builder(target, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    return target.emit_assembly(parsed)


def loops_of(assembly):
    """Return the lines of each block that jumps back to its own beginning."""
    _, *blocks = re.split(r"^(\.L\w+):", assembly, flags=re.MULTILINE)
    loops = []
    for label, body in zip(blocks[::2], blocks[1::2]):
        lines = [line.strip() for line in body.splitlines()]
        jumps = [number for number, line in enumerate(lines) if re.match(rf"[bj]\S*\s+{re.escape(label)}$", line)]
        if jumps:
            loops.append(lines[: jumps[-1] + 1])
    return loops


@pytest.mark.parametrize("dtype", [types.float32, types.float64], ids=str)
@pytest.mark.parametrize(
    "triple, processor, features, instruction, stack",
    [
        ("aarch64-linux-gnu", "generic", "+neon", "fmla", r"\[sp\b"),
        ("x86_64-linux-gnu", *LESSER["avx2"], "vfmadd", "%rsp.*mm|mm.*%rsp"),
        ("x86_64-linux-gnu", *LESSER["plain"], "mulp", "%rsp.*mm|mm.*%rsp"),
    ],
    ids=["neon", "avx2", "plain"],
)
def test_the_sums_of_a_tile_stay_in_registers(monkeypatch, triple, processor, features, instruction, stack, dtype):
    """The loop of the largest tile is there, with a multiply-add for each vector of sums, and no loop spills a vector.

    On ARM, with twice the registers for addresses, no loop touches the stack at all.
    """
    shape = tile_shape(set(features.replace("+", "").split(",")), triple.partition("-")[0])
    _, rows, vectors = shape
    loops = loops_of(tile_assembly(monkeypatch, triple, processor, features, shape, dtype))
    products = [sum(line.startswith(instruction) for line in loop) for loop in loops]
    assert rows * vectors in products
    spills = [line for loop in loops for line in loop if re.search(stack, line)]
    assert spills == []


def test_the_lines_of_a_loop_are_found():
    code = ".LBB0_1:\n\tldr q0, [sp, #16]\n\tfmla v0.4s, v1.4s, v2.4s\n\tb.ne\t.LBB0_1\n\tret\n.LBB0_2:\n\tret\n"
    assert loops_of(code) == [["", "ldr q0, [sp, #16]", "fmla v0.4s, v1.4s, v2.4s", "b.ne\t.LBB0_1"]]
