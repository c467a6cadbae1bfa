"""The product on matrix registers (AMX): emulated, so that it runs on processors that have none.

The numbers are rounded by instructions of AVX512_BF16, which are not emulated.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from emulated_amx import EXPECTED_GRADIENTS, GRADIENTS, gradients_of
from llvmlite import binding, ir

from rnn_cli.kernels.matmul import amx
from rnn_cli.kernels.simd.cpu import HAS_BFLOAT16

HERE = Path(__file__).parent
CHILD = """
import sys
import pytest
sys.path.insert(0, sys.argv[1])
import amx_emulator
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]], plugins=[amx_emulator]))
"""
needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="the processor cannot round to bfloat16 (AVX512_BF16)")


def run_emulated(file, chosen, **environment):
    """Run tests of a file with all products in bfloat16 on emulated registers."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(HERE), str(HERE / file), "-k", chosen],
        cwd=HERE.parent.parent, env={**os.environ, "RNN_CACHE_DIR": "off", **environment},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@needs_bfloat16
@pytest.mark.parametrize(
    "file, chosen",
    [
        pytest.param("emulated_amx.py", "not gradients", id="memory"),
        pytest.param("test_products.py", "bfloat16 and (multiply or deep or bits)", id="products"),
    ],
)
def test_products_on_matrix_registers(file, chosen):
    run_emulated(file, chosen)


@needs_bfloat16
def test_gradients_on_matrix_registers_are_those_of_vectors(make_window, tmp_path):
    expected = {}
    for name, directions in GRADIENTS:
        losses, grad = gradients_of(make_window, name, directions)
        expected |= {f"{name}-{directions}-losses": losses, f"{name}-{directions}-grad": grad}
    np.savez(tmp_path / "expected.npz", **expected)
    run_emulated("emulated_amx.py", "gradients", **{EXPECTED_GRADIENTS: str(tmp_path / "expected.npz")})


def test_the_instructions_are_those_of_matrix_registers():
    """What is emulated elsewhere is compiled for a processor that has it, and looked at."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    pointer, index = amx.POINTER, ir.IntType(64)
    module = ir.Module("amx")
    module.triple = "x86_64-linux-gnu"
    kind = ir.FunctionType(ir.VoidType(), [pointer] * 5 + [index] * 7)
    function = ir.Function(module, kind, "product")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    configuration, *addresses = function.args[:5]
    amx.emit(builder, "sttilecfg", configuration)
    amx.emit(builder, "ldtilecfg", configuration)
    amx.emit_product(builder, (2, 2), list(zip(addresses, function.args[5:9])), function.args[9:])
    builder.ret_void()
    target = binding.Target.from_triple(module.triple).create_target_machine(
        cpu="sapphirerapids", features="+amx-tile,+amx-bf16", opt=3
    )
    lines = [line.split() for line in target.emit_assembly(binding.parse_assembly(str(module))).splitlines()]
    found = [words[0] for words in lines if words]
    counts = {"sttilecfg": 1, "ldtilecfg": 1, "tileloadd": 8, "tdpbf16ps": 4, "tilestored": 4}
    assert {name: found.count(name) for name in counts} == counts
