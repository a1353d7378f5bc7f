"""How the parts of kernels are compiled: into the kernels that call them, and only there.

Of whatever Numba compiles it makes machine code and an entry for Python, and it optimizes a
function in each of its callers anew.  Of a first start that was two thirds.  A part is left as it
was lowered, as what Numba calls a subroutine, and LLVM first sees it where a kernel needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import config
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher

__all__ = ["ARITHMETIC", "part"]

#: Division follows IEEE 754 (no ZeroDivisionError), multiply-adds may fuse, and nothing else about
#: the arithmetic is relaxed.  Kernels allocate nothing, so nothing counts references to arrays,
#: which every view of one would.
ARITHMETIC = {"error_model": "numpy", "fastmath": {"contract"}, "_nrt": False}


class _Lowered(JITCodeLibrary):
    """Code to be linked into other code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _Lowering(Compiler):
    def __init__(self, typing: Any, target: Any, library: Any, *rest: Any) -> None:
        super().__init__(typing, target, _Lowered(target.codegen(), "part"), *rest)
        flags = self.state.flags
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True


class _Part(CPUDispatcher):
    def add_overload(self, compiled: Any) -> None:
        key = object()  # by which Numba finds it, in place of an entry
        self.targetctx.insert_user_function(key, compiled.fndesc, [compiled.library])
        self.overloads[tuple(compiled.signature.args)] = compiled._replace(entry_point=key)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{self.__name__} is a part of kernels: only they call it")


def part(function: Callable[..., Any] | None = None, **options: Any) -> Callable[..., Any]:
    """Compile as a part of kernels, inlined; ``@part(forceinline=False)`` leaves that to LLVM."""
    if function is None:
        return lambda function: part(function, **options)
    if config.DISABLE_JIT:
        return function
    chosen = {"nopython": True, "forceinline": True, **ARITHMETIC, **options}
    return _Part(function, targetoptions=chosen, pipeline_class=_Lowering)
