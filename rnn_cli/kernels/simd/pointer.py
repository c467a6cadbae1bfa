"""The address of the elements of a contiguous array, which kernels pass to each other.

address(array)        the address of the first element
pointer[k]            element k, to read or write
"""

from __future__ import annotations

import operator

from numba.core import types
from numba.core.extending import intrinsic, models, register_model
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature


class PointerType(types.Type):
    """The Numba type of the address of the first element of a contiguous array of `dtype`.

    Kernels pass addresses to each other: an array is seven values, and to compile functions of so many takes long.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Pointer({dtype})")


@register_model(PointerType)
class PointerModel(models.PrimitiveModel):
    """An address."""

    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, dmm.lookup(fe_type.dtype).get_data_type().as_pointer())


@intrinsic
def address(typingctx, array):
    """Return the address of a contiguous array, or the argument if it is an address already."""
    if isinstance(array, PointerType):
        return array(array), lambda context, builder, sig, args: args[0]

    def lower(context, builder, sig, args):
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return PointerType(array.dtype)(array), lower


@infer_global(operator.getitem)
class ReadElement(AbstractTemplate):
    """Typing of pointer[index]."""

    def generic(self, args, kws):
        """Return the signature for a pointer."""
        if isinstance(args[0], PointerType) and isinstance(args[1], types.Integer):
            return signature(args[0].dtype, args[0], types.intp)
        return None


@infer_global(operator.setitem)
class WriteElement(AbstractTemplate):
    """Typing of pointer[index] = value."""

    def generic(self, args, kws):
        """Return the signature for a pointer."""
        if isinstance(args[0], PointerType) and isinstance(args[1], types.Integer):
            return signature(types.none, args[0], types.intp, args[0].dtype)
        return None


@lower_builtin(operator.getitem, PointerType, types.Integer)
def read_element(context, builder, sig, args):
    """Emit a load."""
    return context.unpack_value(builder, sig.args[0].dtype, builder.gep(args[0], [args[1]]))


@lower_builtin(operator.setitem, PointerType, types.Integer, types.Any)
def write_element(context, builder, sig, args):
    """Emit a store."""
    context.pack_value(builder, sig.args[0].dtype, args[2], builder.gep(args[0], [args[1]]))
    return context.get_dummy_value()


def element_pointer(context, builder, array_type, array, index):
    """Emit the address of element `index` of a contiguous array, or of a pointer to one."""
    data = (
        array if isinstance(array_type, PointerType) else context.make_array(array_type)(context, builder, array).data
    )
    return builder.gep(data, [index])
