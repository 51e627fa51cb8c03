"""How code for all lanes of a vector is written: arithmetic on `Lanes` writes the instructions that do it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from stream_ml.elementary import exponential, logarithm
from stream_ml.gating._layout import WIDTH

__all__ = ["DOUBLE", "FLOAT", "INT", "Lanes", "Writer", "either", "exp", "fetch_line", "log", "sqrt"]

DOUBLE, FLOAT, INT, LONG = ir.DoubleType(), ir.FloatType(), ir.IntType(32), ir.IntType(64)
LANES, WORDS = ir.VectorType(FLOAT, WIDTH), ir.VectorType(INT, WIDTH)
BITS = ir.VectorType(ir.IntType(1), WIDTH)
LINE = 64
"""Bytes of a cache line."""


class Lanes:
    """Numbers in all lanes, single precision, or what is true in which lane; an operand may be a number known now."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _of(self, other: Lanes | float) -> Any:
        return other.value if isinstance(other, Lanes) else ir.Constant(LANES, [other] * WIDTH)

    def _done(self, operation: str, left: Any, right: Any) -> Lanes:
        return Lanes(self.builder, getattr(self.builder, operation)(left, right))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._done("fadd", self.value, self._of(other))

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._done("fsub", self.value, self._of(other))

    def __rsub__(self, other: float) -> Lanes:
        return self._done("fsub", self._of(other), self.value)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._done("fmul", self.value, self._of(other))

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._done("fdiv", self.value, self._of(other))

    def __rtruediv__(self, other: float) -> Lanes:
        return self._done("fdiv", self._of(other), self.value)

    def __gt__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fcmp_ordered(">", self.value, self._of(other)))

    def __ge__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fcmp_ordered(">=", self.value, self._of(other)))

    def __and__(self, other: Lanes) -> Lanes:
        return self._done("and_", self.value, other.value)

    def but_not(self, other: Lanes) -> Lanes:
        """What is true here and not there."""
        return self._done("and_", self.value, self.builder.not_(other.value))

    def above(self, least: Lanes | float) -> Lanes:
        """The larger of both; what is no number is `least`, so that it does not spread."""
        return either(self > least, self, least)

    def below(self, most: float) -> Lanes:
        """The smaller of both."""
        kept = self.builder.fcmp_ordered("<", self.value, self._of(most))
        return either(Lanes(self.builder, kept), self, most)

    def total(self) -> Any:
        """The sum of all lanes, halves added to halves, in double precision."""
        value, half = self.builder.fpext(self.value, ir.VectorType(DOUBLE, WIDTH)), WIDTH // 2
        while half:
            low, high = (ir.Constant(ir.VectorType(INT, half), [*range(at, at + half)]) for at in (0, half))
            parts = (self.builder.shuffle_vector(value, value, order) for order in (low, high))
            value, half = self.builder.fadd(*parts), half // 2
        return self.builder.extract_element(value, INT(0))

    def mask(self) -> Any:
        """What is true in which lane as the bits of a whole number."""
        return self.builder.zext(self.builder.bitcast(self.value, ir.IntType(WIDTH)), LONG)


def either(condition: Lanes, one: Lanes | float, other: Lanes | float) -> Lanes:
    """In each lane one or the other."""
    builder = condition.builder
    return Lanes(builder, builder.select(condition.value, condition._of(one), condition._of(other)))


def exp(x: Lanes) -> Lanes:
    """See `stream_ml.elementary`."""
    return Lanes(x.builder, exponential(x.builder, x.value))


def log(x: Lanes) -> Lanes:
    """See `stream_ml.elementary`."""
    return Lanes(x.builder, logarithm(x.builder, x.value))


def sqrt(x: Lanes) -> Lanes:
    """The processor's own."""
    kind = ir.FunctionType(LANES, [LANES])
    function = cgutils.get_or_insert_function(x.builder.module, kind, f"llvm.sqrt.v{WIDTH}f32")
    return Lanes(x.builder, x.builder.call(function, [x.value]))


def fetch_line(builder: Any, address: Any) -> None:
    """Ask for a line of memory and go on."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    builder.call(function, [builder.bitcast(address, byte), INT(0), INT(3), INT(1)])


class Writer:
    """Writes the code of an operation; its arguments go by their number."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args

    def at(self, argument: int, *indices: Any) -> Any:
        """Address of an element of an array; an index may be a number known now."""
        kind = self.kinds[argument]
        array = self.context.make_array(kind)(self.context, self.builder, self.args[argument])
        places = [LONG(i) if isinstance(i, int) else i for i in indices]
        return cgutils.get_item_pointer(self.context, self.builder, kind, array, places)

    def length(self, argument: int) -> Any:
        """Of the first axis of an array."""
        array = self.context.make_array(self.kinds[argument])(self.context, self.builder, self.args[argument])
        return cgutils.unpack_tuple(self.builder, array.shape)[0]

    def lanes(self, argument: int, *indices: Any) -> Lanes:
        """A row of an array."""
        place = self.builder.bitcast(self.at(argument, *indices, 0), LANES.as_pointer())
        return Lanes(self.builder, self.builder.load(place, align=4))

    def store(self, lanes: Lanes, argument: int, *indices: Any) -> None:
        """A row of an array anew."""
        place = self.builder.bitcast(self.at(argument, *indices, 0), LANES.as_pointer())
        self.builder.store(lanes.value, place, align=4)

    def all_of(self, value: Any) -> Lanes:
        """One number in all lanes."""
        if value.type != FLOAT:
            value = self.builder.fptrunc(value, FLOAT)
        first = self.builder.insert_element(ir.Constant(LANES, ir.Undefined), value, INT(0))
        return Lanes(self.builder, self.builder.shuffle_vector(first, first, ir.Constant(WORDS, None)))

    def number(self, value: float) -> Lanes:
        """One number that is known now in all lanes."""
        return Lanes(self.builder, ir.Constant(LANES, [value] * WIDTH))

    def not_negative(self, argument: int, *indices: Any) -> Lanes:
        """Where a row of whole numbers is not below 0."""
        place = self.builder.bitcast(self.at(argument, *indices, 0), WORDS.as_pointer())
        words = self.builder.load(place, align=4)
        return Lanes(self.builder, self.builder.icmp_signed(">=", words, ir.Constant(WORDS, [0] * WIDTH)))

    def bits(self, mask: Any) -> Lanes:
        """The lanes whose bit is set in a whole number."""
        return Lanes(self.builder, self.builder.bitcast(self.builder.trunc(mask, ir.IntType(WIDTH)), BITS))

    def any(self, lanes: Lanes) -> Any:
        """A block of code for when anything is true."""
        return self.builder.if_then(self.builder.icmp_unsigned("!=", lanes.mask(), LONG(0)))

    def none(self) -> Any:
        """What is given back."""
        return self.context.get_dummy_value()
