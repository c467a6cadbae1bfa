"""Kernels that kernels call are compiled once, with the entry that contains them."""

import numba
import numpy as np
import pytest
from numba.core import dispatcher
from numba.core.codegen import JITCodeLibrary

from rnn_cli.kernels.compiler.jit import OPTIONS, chosen_by_type, kernel
from rnn_cli.kernels.threads import Team
from rnn_cli.language.stepper import Stepper
from rnn_cli.network.config import NetworkConfig
from rnn_cli.network.model import Model


@kernel
def third(x):
    return x / 3


@kernel
def third_and_one(x):
    return third(x) + 1


def chain(x):
    return third_and_one(x) * third(x)


@pytest.fixture
def made(monkeypatch):
    """The names of the functions that machine code is made for."""
    names = []
    original = JITCodeLibrary._finalize_specific

    def finalize(self):
        if self.name != "nrt":  # Numba's own runtime
            names.append(self.name)
        original(self)

    monkeypatch.setattr(JITCodeLibrary, "_finalize_specific", finalize)
    return names


def test_machine_code_is_made_for_entries_only(made):
    assert numba.jit(**OPTIONS)(chain)(6.0) == 6.0
    assert made == ["chain"]


def test_python_calls_a_kernel_before_and_after_kernels(made):
    assert third_and_one(3) == 2
    assert numba.jit(**OPTIONS)(chain)(3) == 2
    assert third_and_one(3) == 2
    assert made == ["third_and_one", "chain"]


def test_division_by_zero_is_as_in_numpy():
    assert third_and_one(float("inf")) == float("inf")
    assert numba.jit(**OPTIONS)(lambda x: third(x) / x)(0.0) != 0  # NaN, not an exception


@kernel
def of_whole_numbers(x):
    return x + 1


@kernel
def of_fractions(x):
    return x / 2


@chosen_by_type
def either(x):
    return of_whole_numbers if isinstance(x, numba.types.Integer) else of_fractions


def test_a_kernel_is_chosen_by_type(made):
    function = numba.jit(**OPTIONS)(lambda x: either(x))
    assert (function(3), function(3.0)) == (4, 1.5)
    assert (either(3), either(3.0)) == (4, 1.5)
    assert [name for name in made if "either" in name] == []


def test_kernels_do_not_count_references():
    function = numba.jit(**OPTIONS)(lambda values: third(values[0]) + values[1])
    assert function(np.array([3.0, 1.0])) == 2
    assert "NRT_incref" not in function.inspect_llvm(function.signatures[0])


def test_a_network_is_looked_into_once(monkeypatch):
    looks, find = [], dispatcher.typeof
    monkeypatch.setattr(dispatcher, "typeof", lambda value, purpose: looks.append(value) or find(value, purpose))
    configs = [NetworkConfig.for_symbols(5, hidden_size=4, cell=cell) for cell in ("lstm", "gru")]
    models = [Model.initialised(config, np.random.default_rng(0)) for config in configs]
    expected = [Stepper(model, 1, Team(1)).read([1, 2, 3]) for model in models]
    first, second = (Stepper(model, 1, Team(1)) for model in models)
    one = first.read([1])
    looks.clear()
    one = np.append(one, first.read([2]))
    assert looks == []
    other = second.read([1, 2])  # another type, in between
    assert looks != []
    assert np.append(one, first.read([3])).tolist() == expected[0].tolist()
    assert np.append(other, second.read([3])).tolist() == expected[1].tolist()
