"""Eight numbers as one, compiled: a SIMD vector type for Numba, and what no others can express.

LLVM turns each operation into vector instructions of whatever width the machine has (fused
multiply-adds where it has them), and nothing depends on its auto-vectorizer, which reached a fifth
of the speed on these loops.  `lanes` builds the rest of the vocabulary on these.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable
from numba.np.arrayobj import populate_array

from twomode.engines.compiled.lanes_numpy import LANES


class LanesType(types.Type):
    """Numba type of eight floats of one precision."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: LanesType) -> None:
        super().__init__(manager, lanes, _vector(lanes))


def _vector(lanes: LanesType) -> ir.VectorType:
    element = ir.FloatType() if lanes.dtype == types.float32 else ir.DoubleType()
    return ir.VectorType(element, LANES)


def _register_arithmetic() -> None:
    """Give Lanes the operators + - * / between themselves, and the minus before one of them."""

    def binary(operation: Any, instruction: str) -> None:
        @type_callable(operation)
        def typer(context: Any) -> Any:
            def resolve(x: types.Type, y: types.Type) -> types.Type | None:
                return x if isinstance(x, LanesType) and x == y else None

            return resolve

        @lower_builtin(operation, LanesType, LanesType)
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args)

    for names, instruction in (
        ((operator.add, operator.iadd), "fadd"),
        ((operator.sub, operator.isub), "fsub"),
        ((operator.mul, operator.imul), "fmul"),
        ((operator.truediv, operator.itruediv), "fdiv"),
    ):
        for operation in names:
            binary(operation, instruction)

    @type_callable(operator.neg)
    def typer(context: Any) -> Any:
        return lambda x: x if isinstance(x, LanesType) else None

    @lower_builtin(operator.neg, LanesType)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fneg(*args)


_register_arithmetic()


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, row: Any, column: Any) -> Any:
    """Address of array[row, column, 0]; that the lanes are contiguous is known at compile time."""
    view = context.make_array(array_type)(context, builder, array)
    if array_type.layout == "C":
        _, columns, _ = cgutils.unpack_tuple(builder, view.shape, 3)
        item = builder.add(builder.mul(row, columns), column)
        first = builder.mul(item, ir.Constant(item.type, LANES))
        address = builder.gep(view.data, [first])
    else:
        row_bytes, column_bytes, _ = cgutils.unpack_tuple(builder, view.strides, 3)
        offset = builder.add(builder.mul(row, row_bytes), builder.mul(column, column_bytes))
        address = cgutils.pointer_add(builder, view.data, offset)
    return builder.bitcast(address, _vector(LanesType(array_type.dtype)).as_pointer())


@intrinsic
def transposed(typing: Any, array: Any) -> Any:
    """View of an array with rows and columns exchanged; NumPy's takes seconds to compile."""
    view = array.copy(layout="A")

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        old = context.make_array(array)(context, builder, args[0])
        new = context.make_array(view)(context, builder)
        exchanged = (
            [axes[1], axes[0], axes[2]]
            for axes in (cgutils.unpack_tuple(builder, x, 3) for x in (old.shape, old.strides))
        )
        populate_array(new, old.data, *exchanged, old.itemsize, old.meminfo, old.parent)
        return impl_ret_borrowed(context, builder, view, new._getvalue())

    return view(array), generate


@intrinsic
def load(typing: Any, array: Any, row: Any, column: Any) -> Any:
    """array[row, column, :] as Lanes."""
    lanes = LanesType(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _pointer(context, builder, sig.args[0], *args)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return lanes(array, types.intp, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, row: Any, column: Any, x: Any) -> Any:
    """array[row, column, :] = x."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _pointer(context, builder, sig.args[0], *args[:3])
        builder.store(args[3], address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, LanesType(array.dtype)), generate


@intrinsic
def fill(typing: Any, like: Any, value: Any) -> Any:
    """Lanes that all hold `value`, in the precision of `like`, an array or Lanes."""
    lanes = LanesType(like.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = context.cast(builder, args[1], sig.args[1], like.dtype)
        spread = ir.Constant(_vector(lanes), ir.Undefined)
        for lane in range(LANES):
            spread = builder.insert_element(spread, scalar, ir.Constant(ir.IntType(32), lane))
        return spread

    return lanes(like, value), generate


@intrinsic
def lane_sum(typing: Any, x: Any) -> Any:
    """Lanes that all hold the sum of the lanes of `x`, added pairwise in a fixed order."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        total = args[0]
        for shift in (4, 2, 1):
            order = [ir.Constant(ir.IntType(32), lane ^ shift) for lane in range(LANES)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
            total = builder.fadd(total, builder.shuffle_vector(total, total, mask))
        return total

    return x(x), generate


@intrinsic
def lane_of(typing: Any, x: Any, lane: Any) -> Any:
    """One of the eight numbers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(*args)

    return x.dtype(x, types.intp), generate


def _lane_by_lane(name: str) -> Any:
    """A function that LLVM has an intrinsic for."""

    @intrinsic
    def function(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            vector = _vector(x)
            intrinsic_name = f"llvm.{name}.v{LANES}f{x.dtype.bitwidth}"
            callee = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector]), intrinsic_name
            )
            return builder.call(callee, args)

        return x(x), generate

    return function


square_root, absolute = _lane_by_lane("sqrt"), _lane_by_lane("fabs")


def _where(comparison: str) -> Any:
    """A choice between a and b, lane by lane; b if x or y is NaN."""

    @intrinsic
    def function(typing: Any, x: Any, y: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, *args[:2]), *args[2:])

        return a(x, y, a, b), generate

    return function


where_less, where_equal = _where("<"), _where("==")


@intrinsic
def any_less(typing: Any, x: Any, y: Any) -> Any:
    """Whether x < y in some lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        lanes = builder.bitcast(builder.fcmp_ordered("<", *args), ir.IntType(LANES))
        return builder.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, 0))

    return types.boolean(x, y), generate


@intrinsic
def power_of_two(typing: Any, x: Any) -> Any:
    """2^n for the n in the low bits of x, a number to which 1.5 * 2^52 was added."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(64), LANES)
        bias, place = (ir.Constant(integers, [value] * LANES) for value in (1023, 52))
        exponent = builder.add(builder.bitcast(args[0], integers), bias)
        return builder.bitcast(builder.shl(exponent, place), args[0].type)

    return x(x), generate


@intrinsic
def widened(typing: Any, x: Any) -> Any:
    """`x` in double precision."""
    double = LanesType(types.float64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if x == double else builder.fpext(args[0], _vector(double))

    return double(x), generate


@intrinsic
def narrowed(typing: Any, x: Any, like: Any) -> Any:
    """`x`, of double precision, in that of `like`."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if x == like else builder.fptrunc(args[0], _vector(like))

    return like(x, like), generate
