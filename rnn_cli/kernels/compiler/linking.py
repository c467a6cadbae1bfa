"""Kernels that kernels call: compiled once, as parts of the entry that contains them.

Left to itself, Numba optimises each function, and makes machine code of it, before it compiles the functions that call
it; they contain it, and are optimised again with it. What stands n calls deep is so optimised n times, and the first
training step takes twice as long to compile. Here, an inner kernel stays as it was written down for LLVM until the
entry is optimised as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import AnnotateTypes


class LinkedLibrary(JITCodeLibrary):
    """Code that is linked into that of its callers, and has no address of its own."""

    def _optimize_final_module(self) -> None:
        """Do nothing: the entry is optimised as a whole."""

    def _finalize_final_module(self) -> None:
        """Make no machine code."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Return 0: there is no address."""
        return 0

    @property
    def codegen(self) -> Any:
        """What is asked to set the environment of a function by its address: this library, which has nothing to set."""
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Do nothing: kernels use nothing of Python's, and so no environment."""


@register_pass(mutates_CFG=False, analysis_only=True)
class LinkLater(LoweringPass):
    """Choose the library that a function is written down in."""

    _name = "link_later"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Say that nothing of the function itself was changed."""
        state["library"] = LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


class LinkedCompiler(CompilerBase):
    """Numba's own passes, but for the library."""

    def define_pipelines(self) -> list[Any]:
        """Return the one pipeline."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(LinkLater, AnnotateTypes)
        passes.finalize()
        return [passes]


class LinkedDispatcher(CPUDispatcher):
    """Stands for a function of which each combination of types is compiled into the kernels that call it so."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        no_wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions=options | no_wrappers, pipeline_class=LinkedCompiler)
        self._alone = CPUDispatcher(function, targetoptions=options)

    def __call__(self, *args: Any) -> Any:
        """Call the function from Python, as tests do: compiled once more, as an entry that is not kept."""
        return self._alone(*args)
