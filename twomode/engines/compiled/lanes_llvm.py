"""Eight numbers as one, compiled: a SIMD vector type for Numba.

LLVM turns each operation into vector instructions of whatever width the machine has (fused
multiply-adds where it has them), and nothing depends on its auto-vectorizer, which reached a fifth
of the speed on these loops.  See `twomode.engines._lanes` for how the type is used.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

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


def _constant(lanes: LanesType, value: float) -> ir.Constant:
    return ir.Constant(_vector(lanes), [value] * LANES)


_FUSE = ("contract",)


def _register_arithmetic() -> None:
    """Give Lanes the operators + - * / between themselves."""

    def binary(operation: Any, instruction: str) -> None:
        @type_callable(operation)
        def typer(context: Any) -> Any:
            def resolve(x: types.Type, y: types.Type) -> types.Type | None:
                return x if isinstance(x, LanesType) and x == y else None

            return resolve

        @lower_builtin(operation, LanesType, LanesType)
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args, flags=_FUSE)

    for names, instruction in (
        ((operator.add, operator.iadd), "fadd"),
        ((operator.sub, operator.isub), "fsub"),
        ((operator.mul, operator.imul), "fmul"),
        ((operator.truediv, operator.itruediv), "fdiv"),
    ):
        for operation in names:
            binary(operation, instruction)


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


def _call(builder: Any, name: str, lanes: LanesType, *args: Any) -> Any:
    """Call an LLVM intrinsic that maps vectors to a vector."""
    vector = _vector(lanes)
    bits = 32 if lanes.dtype == types.float32 else 64
    signature = ir.FunctionType(vector, [vector] * len(args))
    function = cgutils.get_or_insert_function(
        builder.module, signature, f"llvm.{name}.v{LANES}f{bits}"
    )
    return builder.call(function, args)


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
    """Lanes that all hold `value`, in the precision of the array `like`."""
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
def square_root(typing: Any, x: Any) -> Any:
    """Lane by lane."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, "sqrt", sig.return_type, *args)

    return x(x), generate


@intrinsic
def clamp(typing: Any, x: Any, bound: Any) -> Any:
    """`x` limited to [-bound, bound], lane by lane; `bound` is Lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, high = args
        low = builder.fsub(_constant(sig.return_type, -0.0), high)
        value = builder.select(builder.fcmp_ordered("<", value, high), value, high)
        return builder.select(builder.fcmp_ordered(">", value, low), value, low)

    return x(x, bound), generate


@intrinsic
def within(typing: Any, x: Any, bound: Any, y: Any) -> Any:
    """y where x lies in [-bound, bound], else 0, lane by lane; all are Lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = _call(builder, "fabs", sig.return_type, args[0])
        inside = builder.fcmp_ordered("<=", size, args[1])
        return builder.select(inside, args[2], _constant(sig.return_type, 0.0))

    return x(x, bound, y), generate


@intrinsic
def larger(typing: Any, x: Any, y: Any) -> Any:
    """The larger of x and y, lane by lane; y if either is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return x(x, y), generate


@intrinsic
def divide_or_zero(typing: Any, x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        zero = _constant(sig.return_type, 0.0)
        nonzero = builder.fcmp_unordered("!=", args[1], zero)
        return builder.select(nonzero, builder.fdiv(*args), zero)

    return x(x, y), generate


#: Taylor coefficients of exp up to x^13; the rest is below rounding for abs(x) <= ln(2)/2.
_TAYLOR = [1 / math.factorial(k) for k in range(14)]
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


def _exp_of_minus_abs(builder: Any, x: Any) -> Any:
    """exp(-abs(x)) for eight doubles: 2^n exp(r) with n = round(-abs(x)/ln 2), abs(r) <= ln(2)/2.

    Below exp(-708) the result stays at about 3e-308 instead of becoming subnormal.
    """
    double = LanesType(types.float64)

    def number(value: float) -> ir.Constant:
        return _constant(double, value)

    y = builder.fsub(number(-0.0), _call(builder, "fabs", double, x))
    y = builder.select(builder.fcmp_ordered("<", y, number(-708.0)), number(-708.0), y)
    # Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits.
    shifter = number(1.5 * 2.0**52)
    shifted = builder.fadd(builder.fmul(y, number(1.4426950408889634)), shifter)
    n = builder.fsub(shifted, shifter)
    r = builder.fsub(y, builder.fmul(n, number(_LN2_HIGH)), flags=_FUSE)
    r = builder.fsub(r, builder.fmul(n, number(_LN2_LOW)), flags=_FUSE)
    terms, power = [number(c) for c in _TAYLOR], r  # Estrin's scheme: pairs, pairs of pairs, ...
    while len(terms) > 1:
        terms = [
            builder.fadd(low, builder.fmul(high, power, flags=_FUSE), flags=_FUSE)
            for low, high in zip(terms[0::2], terms[1::2], strict=False)
        ] + terms[len(terms) // 2 * 2 :]
        power = builder.fmul(power, power)
    integers = ir.VectorType(ir.IntType(64), LANES)

    def integer(value: int) -> ir.Constant:
        return ir.Constant(integers, [value] * LANES)

    exponent = builder.add(builder.bitcast(shifted, integers), integer(1023))
    power = builder.bitcast(builder.shl(exponent, integer(52)), _vector(double))
    return builder.fmul(terms[0], power)


@intrinsic
def sigmoid(typing: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), accurate in both tails, in double precision inside."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        double = LanesType(types.float64)
        value = args[0]
        single = sig.return_type.dtype == types.float32
        if single:
            value = builder.fpext(value, _vector(double))
        e = _exp_of_minus_abs(builder, value)
        one = _constant(double, 1.0)
        positive = builder.fcmp_ordered(">=", value, _constant(double, 0.0))
        result = builder.fdiv(builder.select(positive, one, e), builder.fadd(one, e))
        return builder.fptrunc(result, _vector(sig.return_type)) if single else result

    return x(x), generate
