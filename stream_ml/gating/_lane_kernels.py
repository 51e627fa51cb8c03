"""Operations on all children of a group at once: a block's field is one line of memory, and a few registers.

Loops over so few turns are not made into vectors by the compiler: unknown lengths are taken to be longer, known ones
are written out turn by turn. These are vectors from the start, and round as the loops do.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

from stream_ml.gating._layout import (
    BAYES_EXPERT,
    EXPERTS,
    PRIOR_EXPERT,
    STEP_WEIGHT,
    WEIGHT,
    WEIGHT_SQUARES,
    WIDTH,
)

__all__ = ["add_block", "fetch", "fetch_block", "stack_lanes", "teach_block"]

intrinsic: Any = numba.extending.intrinsic
LANES = ir.VectorType(ir.FloatType(), WIDTH)
INT = ir.IntType(32)
WORDS = ir.VectorType(INT, WIDTH)
CLIP, CLIP_STACKED = 8.0, 10.0
LOG2_E, LN2_HIGH, LN2_LOW = 1.44269504088896341, 0.693359375, -2.12194440e-4
EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""Of (exp(r) - 1 - r) / r**2 for abs(r) up to ln(2) / 2, the highest first (Cephes, expf: Moshier, 1992)."""
LINE = 64
"""Bytes of a cache line."""


def _place(context, builder, kind, value, *indices):
    """Address of an element of an array."""
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, list(indices))


def _lanes(builder, address):
    return builder.bitcast(address, LANES.as_pointer())


def _all_lanes(builder, value):
    """One number in all lanes."""
    first = builder.insert_element(ir.Constant(LANES, ir.Undefined), value, INT(0))
    return builder.shuffle_vector(first, ir.Constant(LANES, ir.Undefined), ir.Constant(WORDS, None))


def _number(value):
    """A number that is known now, in all lanes."""
    return ir.Constant(LANES, [value] * WIDTH)


def _function(builder, name, value):
    """A function of the processor, of all lanes."""
    kind = ir.FunctionType(LANES, [LANES])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f32"), [value])


def _clipped(builder, value, most):
    """Between both bounds; what is no number is the lower one, so that it does not spread."""
    for bound, sign in ((_number(-most), ">"), (_number(most), "<")):
        value = builder.select(builder.fcmp_ordered(sign, value, bound), value, bound)
    return value


def _exp(builder, x):
    """exp(x), to two units in the last place, where it is no more than 100 or so in size."""
    n = _function(builder, "rint", builder.fmul(x, _number(LOG2_E)))
    for part in (LN2_HIGH, LN2_LOW):
        x = builder.fsub(x, builder.fmul(n, _number(part)))
    y = _number(EXP_TERMS[0])
    for term in EXP_TERMS[1:]:
        y = builder.fadd(builder.fmul(y, x), _number(term))
    y = builder.fadd(builder.fadd(builder.fmul(y, builder.fmul(x, x)), x), _number(1.0))
    exponent = builder.add(builder.fptosi(n, WORDS), ir.Constant(WORDS, [127] * WIDTH))
    scale = builder.bitcast(builder.shl(exponent, ir.Constant(WORDS, [23] * WIDTH)), LANES)
    return builder.fmul(y, scale)


def _prefetch(builder, address):
    """Ask for a line of memory and go on."""
    byte = ir.IntType(8).as_pointer()
    function = builder.module.declare_intrinsic(
        "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
    )
    builder.call(function, [builder.bitcast(address, byte), INT(0), INT(3), INT(1)])


@intrinsic
def fetch(typing, array, index):
    """Ask for an element of an array (n,) before it is needed."""

    def generate(context, builder, signature, args):
        _prefetch(builder, _place(context, builder, signature.args[0], args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def fetch_block(typing, blocks, number, fields):
    """Ask for the first fields of a block before they are needed."""

    def generate(context, builder, signature, args):
        zero = context.get_constant(types.intp, 0)
        start = _place(context, builder, signature.args[0], args[0], args[1], zero, zero)
        with cgutils.for_range(builder, args[2]) as loop:
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, 4 * WIDTH))
            for line in range(0, 4 * WIDTH, LINE):
                _prefetch(builder, cgutils.pointer_add(builder, start, builder.add(offset, offset.type(line))))
        return context.get_dummy_value()

    return types.void(blocks, types.intp, types.intp), generate


@intrinsic
def add_block(typing, out, row, blocks, number, field, factor):
    """Add a field of a block, times a factor, to a row of `out` (rows, WIDTH)."""

    def generate(context, builder, signature, args):
        zero = context.get_constant(types.intp, 0)
        to = _lanes(builder, _place(context, builder, signature.args[0], args[0], args[1], zero))
        part = _lanes(builder, _place(context, builder, signature.args[2], args[2], args[3], args[4], zero))
        change = builder.fmul(builder.load(part, align=4), _all_lanes(builder, args[5]))
        builder.store(builder.fadd(builder.load(to, align=4), change), to, align=4)
        return context.get_dummy_value()

    return types.void(out, types.intp, blocks, types.intp, types.intp, types.float32), generate


@intrinsic
def teach_block(typing, blocks, number, a, b, u, v, step):
    """Steps of both linear experts of a block's children, whose gradients are `a` and `b` (WIDTH,), for one column.

    Adaptive ones for a value `u` in a row of unit length, and `b` times the standardised value `v`.
    """

    def generate(context, builder, signature, args):
        of_blocks, _, of_a, of_b, *_ = signature.args
        blocks, number, a, b, u, v, step = args
        zero = context.get_constant(types.intp, 0)

        def field(at):
            place = context.get_constant(types.intp, at)
            return _lanes(builder, _place(context, builder, of_blocks, blocks, number, place, zero))

        def loaded(kind, value):
            return builder.load(_lanes(builder, _place(context, builder, kind, value, zero)), align=4)

        weight, squares, step_weight = field(WEIGHT), field(WEIGHT_SQUARES), field(STEP_WEIGHT)
        gradient = builder.fmul(loaded(of_a, a), _all_lanes(builder, u))
        total = builder.fadd(builder.load(squares, align=4), builder.fmul(gradient, gradient))
        move = builder.fdiv(builder.fmul(_all_lanes(builder, step), gradient), _function(builder, "sqrt", total))
        builder.store(total, squares, align=4)
        builder.store(builder.fsub(builder.load(weight, align=4), move), weight, align=4)
        move = builder.fmul(loaded(of_b, b), _all_lanes(builder, v))
        builder.store(builder.fsub(builder.load(step_weight, align=4), move), step_weight, align=4)
        return context.get_dummy_value()

    f4 = types.float32
    return types.void(blocks, types.intp, a, b, f4, f4, f4), generate


@intrinsic
def stack_lanes(typing, logits, prior, temper, shared, own, group, below, chances):
    """Finish the experts' log-odds `logits` (EXPERTS, WIDTH) of a group, and stack them to `chances` (WIDTH,).

    Naive Bayes' evidence is tempered, and added to the log-odds of the `prior` (WIDTH,), which is an expert itself;
    the last expert is left as it is. `shared` (2, EXPERTS + 1) are weights of gates and of labels, `own` (G, EXPERTS +
    1, WIDTH) and `below` (G, WIDTH) are of all groups.
    """

    def generate(context, builder, signature, args):
        names = "logits", "prior", "temper", "shared", "own", "group", "below", "chances"
        kinds, values = (dict(zip(names, of, strict=True)) for of in (signature.args, args))
        fixed = [context.get_constant(types.intp, i) for i in range(EXPERTS + 1)]

        def at(name, *indices):
            return _place(context, builder, kinds[name], values[name], *indices)

        def lanes(name, *indices):
            return builder.load(_lanes(builder, at(name, *indices, fixed[0])), align=4)

        group = values["group"]
        words = builder.load(builder.bitcast(at("below", group, fixed[0]), WORDS.as_pointer()), align=4)
        gates = builder.icmp_signed(">=", words, ir.Constant(WORDS, [0] * WIDTH))

        def weight(expert):
            both = [builder.load(at("shared", fixed[kind], fixed[expert])) for kind in (0, 1)]
            both = [_all_lanes(builder, builder.fptrunc(value, ir.FloatType())) for value in both]
            return builder.fadd(builder.select(gates, *both), lanes("own", group, fixed[expert]))

        prior = lanes("prior")
        z = weight(EXPERTS)
        for expert in range(EXPERTS):
            x = prior if expert == PRIOR_EXPERT else lanes("logits", fixed[expert])
            if expert == BAYES_EXPERT:
                x = builder.fadd(builder.fmul(x, _all_lanes(builder, values["temper"])), prior)
            if expert <= BAYES_EXPERT:
                x = _clipped(builder, x, CLIP)
            builder.store(x, _lanes(builder, at("logits", fixed[expert], fixed[0])), align=4)
            z = builder.fadd(z, builder.fmul(weight(expert), x))
        one = _number(1.0)
        odds_against = _exp(builder, builder.fsub(_number(0.0), _clipped(builder, z, CLIP_STACKED)))
        chance = builder.fdiv(one, builder.fadd(one, odds_against))
        builder.store(chance, _lanes(builder, at("chances", fixed[0])), align=4)
        return context.get_dummy_value()

    f4 = types.float32
    return types.void(logits, prior, f4, shared, own, types.intp, below, chances), generate
