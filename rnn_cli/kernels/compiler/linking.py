"""Kernels that kernels call: compiled once, as parts of the entry that contains them.

By default, Numba optimises each function and makes machine code of it before it compiles its callers, which contain it
and are optimised again with it. A function n calls deep is optimised n times, and the first training step takes twice
as long to compile. Here, inner kernels stay unoptimised LLVM IR, optimised once with the entry that calls them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import AnnotateTypes
from numba.core.typing.typeof import typeof


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
    """A function that is compiled, for each combination of types, into the kernels that call it with them."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        no_wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        super().__init__(function, targetoptions=options | no_wrappers, pipeline_class=LinkedCompiler)
        self._function, self._options = function, options

    @functools.cached_property
    def _alone(self) -> CPUDispatcher:
        return CPUDispatcher(self._function, targetoptions=self._options)

    def __call__(self, *args: Any) -> Any:
        """Call the function from Python, as tests do: compiled once more, as an entry that is not kept."""
        return self._alone(*args)


class ChoosingDispatcher(LinkedDispatcher):
    """A function that, given the types of its arguments, returns the kernel to call with them.

    The choice is made when a caller is compiled, so it costs nothing when it runs.
    """

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return what Numba needs to type a call: that of the chosen kernel."""
        return self.py_func(*args, **kws).get_call_template(args, kws)

    def get_overload(self, args: Any) -> Any:
        """Return the compiled code for these types: that of the chosen kernel."""
        return self.py_func(*args).get_overload(args)

    def __call__(self, *args: Any) -> Any:
        """Call the kernel for these arguments from Python, as tests do."""
        return self.py_func(*map(typeof, args))(*args)
