"""Sums that stay in registers, of vectors from the start: the compiler makes none of loops that add up one number.

Each number is a sum in the order that is told, and rounds as a loop would.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

__all__ = [
    "DOTS",
    "LANES_64",
    "SEGMENT",
    "adaptive_steps",
    "add_columns",
    "add_lists",
    "add_outer",
    "add_parabolas",
    "dots",
    "extremes",
    "first_row",
    "n_above",
    "own_steps",
    "plain_steps",
    "rows_above",
]

intrinsic: Any = numba.extending.intrinsic
SEGMENT = 128
LANES = 16
F4, HALF, WORD = ir.FloatType(), ir.IntType(16), ir.IntType(64)
VECTOR = ir.VectorType(F4, LANES)
BITS = ir.VectorType(ir.IntType(1), LANES)
F8, LANES_64, DOTS = ir.DoubleType(), 8, 4
MOST = 8
"""Vectors that are summed at a time."""
EIGHT, EIGHT_SINGLE = ir.VectorType(F8, LANES_64), ir.VectorType(F4, LANES_64)


def _place(context: Any, builder: Any, kind: Any, value: Any, *indices: Any) -> Any:
    """Address of an element of an array."""
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, list(indices))


def _all_lanes(builder: Any, value: Any, kind: Any) -> Any:
    """One number in all lanes of a vector."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), None)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _halves(builder: Any, lanes: Any) -> list[Any]:
    """The lower and the upper half of a vector."""
    half, nothing = lanes.type.count // 2, ir.Constant(lanes.type, ir.Undefined)
    places = (range(half), range(half, 2 * half))
    kind = ir.VectorType(ir.IntType(32), half)
    return [builder.shuffle_vector(lanes, nothing, ir.Constant(kind, list(of))) for of in places]


@intrinsic
def add_lists(
    typing: Any, columns: Any, weights: Any, first: Any, storage: Any, lists: Any, values: Any, out: Any
) -> Any:
    """Add weights times values to the rows (SEGMENT,) that lists tell, of `columns[first:]` (n,) in one storage.

    `lists` (D, storages, SEGMENT / 64) are bits, `values` (D, storages) those of all entries of a list. Gives the
    first place in `columns` of which the value is no number: its entries differ; n where there is none.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_columns, of_weights, _, _, of_lists, of_values, of_out = signature.args
        columns, weights, first, storage, lists, values, out = args
        zero = context.get_constant(types.intp, 0)
        n = context.make_array(of_columns)(context, builder, columns).nitems
        start = _place(context, builder, of_out, out, zero)
        sums = builder.bitcast(start, VECTOR.as_pointer())
        places = [builder.gep(sums, [WORD(i)]) for i in range(SEGMENT // LANES)]
        loaded = [builder.load(place, align=4) for place in places]
        before = builder.block
        head, body, add, end = (builder.append_basic_block(name) for name in ("head", "body", "add", "end"))
        builder.branch(head)
        with builder.goto_block(head):
            at = builder.phi(n.type)
            totals = [builder.phi(VECTOR) for _ in places]
            builder.cbranch(builder.icmp_signed("<", at, n), body, end)
        with builder.goto_block(body):
            column = builder.load(_place(context, builder, of_columns, columns, at))
            column = builder.sext(column, WORD) if column.type.width < WORD.width else column
            value = builder.load(_place(context, builder, of_values, values, column, storage))
            builder.cbranch(builder.fcmp_ordered("ord", value, value), add, end)
        with builder.goto_block(add):
            weight = builder.load(_place(context, builder, of_weights, weights, at))
            amount = _all_lanes(builder, builder.fmul(weight, value), VECTOR)
            bits = _place(context, builder, of_lists, lists, column, storage, zero)
            bits = builder.bitcast(bits, HALF.as_pointer())
            sums_now = []
            for i, total in enumerate(totals):
                there = builder.bitcast(builder.load(builder.gep(bits, [WORD(i)]), align=2), BITS)
                sums_now.append(builder.select(there, builder.fadd(total, amount), total))
            following = builder.add(at, n.type(1))
            builder.branch(head)
        at.add_incoming(first, before)
        at.add_incoming(following, add)
        for total, was, now in zip(totals, loaded, sums_now, strict=True):
            total.add_incoming(was, before)
            total.add_incoming(now, add)
        builder.position_at_end(end)
        for total, place in zip(totals, places, strict=True):
            builder.store(total, place, align=4)
        return at

    signature = types.intp(columns, weights, types.intp, types.intp, lists, values, out)
    return signature, generate


@intrinsic
def rows_above(typing: Any, scores: Any, start: Any, least: Any) -> Any:
    """Which of the 64 scores from `start` on are above `least`, as bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature.args[0], args[0], args[1])
        place = builder.bitcast(place, VECTOR.as_pointer())
        bound, found = _all_lanes(builder, args[2], VECTOR), WORD(0)
        for i in range(64 // LANES):
            above = builder.fcmp_ordered(">", builder.load(builder.gep(place, [WORD(i)]), align=4), bound)
            word = builder.zext(builder.bitcast(above, HALF), WORD)
            found = builder.or_(found, builder.shl(word, WORD(i * LANES)))
        return found

    return types.int64(scores, types.intp, types.float32), generate


@intrinsic
def n_above(typing: Any, numbers: Any, least: Any) -> Any:
    """How many of the numbers (n,), a multiple of `LANES`, are above `least`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = context.get_constant(types.intp, 0)
        n = context.make_array(signature.args[0])(context, builder, args[0]).nitems
        bound, count = _all_lanes(builder, args[1], VECTOR), cgutils.alloca_once_value(builder, WORD(0))
        with cgutils.for_range_slice(builder, zero, n, n.type(LANES)) as (i, _):
            place = builder.bitcast(_place(context, builder, signature.args[0], args[0], i), VECTOR.as_pointer())
            above = builder.bitcast(builder.fcmp_ordered(">", builder.load(place, align=4), bound), HALF)
            found = builder.zext(builder.ctpop(above), WORD)
            builder.store(builder.add(builder.load(count), found), count)
        return builder.load(count)

    return types.int64(numbers, types.float32), generate


@intrinsic
def extremes(typing: Any, numbers: Any) -> Any:
    """The lowest and the highest of numbers (n,), a multiple of `LANES`, not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (kind,) = signature.args
        zero = context.get_constant(types.intp, 0)
        n = context.make_array(kind)(context, builder, args[0]).nitems

        def loaded(i: Any) -> Any:
            place = builder.bitcast(_place(context, builder, kind, args[0], i), VECTOR.as_pointer())
            return builder.load(place, align=4)

        found = []
        for sign in "<", ">":
            most = cgutils.alloca_once_value(builder, loaded(zero))
            with cgutils.for_range_slice(builder, zero, n, n.type(LANES)) as (i, _):
                new, old = loaded(i), builder.load(most)
                builder.store(builder.select(builder.fcmp_ordered(sign, new, old), new, old), most)
            lanes = builder.load(most)
            while lanes.type.count > 1:
                low, high = _halves(builder, lanes)
                lanes = builder.select(builder.fcmp_ordered(sign, low, high), low, high)
            found.append(builder.extract_element(lanes, ir.IntType(32)(0)))
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.float32, 2)(numbers), generate


@intrinsic
def first_row(typing: Any, rows: Any) -> Any:
    """The lowest bit of those that are set; there is one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.int64), generate


@intrinsic
def dots(typing: Any, numbers: Any, start: Any, stride: Any, factors: Any, n: Any, out: Any, at: Any) -> Any:
    """Inner products of `DOTS` rows of numbers, float32, with factors (n,), float64: added to `out[at:]`.

    Rows begin `stride` apart; n is a multiple of `LANES_64`. Eight sums, which then are added in pairs.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_numbers, _, _, of_factors, _, of_out, _ = signature.args
        numbers, start, stride, factors, n, out, at = args
        zero = context.get_constant(types.intp, 0)
        rows = [builder.add(start, builder.mul(stride, stride.type(i))) for i in range(DOTS)]
        rows = [_place(context, builder, of_numbers, numbers, row) for row in rows]
        weights = _place(context, builder, of_factors, factors, zero)
        sums = [cgutils.alloca_once_value(builder, ir.Constant(EIGHT, None)) for _ in rows]
        with cgutils.for_range_slice(builder, zero, n, n.type(LANES_64)) as (i, _):
            factor = builder.load(builder.bitcast(builder.gep(weights, [i]), EIGHT.as_pointer()), align=8)
            for row, total in zip(rows, sums, strict=True):
                number = builder.load(builder.bitcast(builder.gep(row, [i]), EIGHT_SINGLE.as_pointer()), align=4)
                product = builder.fmul(factor, builder.fpext(number, EIGHT))
                builder.store(builder.fadd(builder.load(total), product), total)
        for i, total in enumerate(sums):
            lanes = builder.load(total)
            while lanes.type.count > 1:
                lanes = builder.fadd(*_halves(builder, lanes))
            place = _place(context, builder, of_out, out, builder.add(at, at.type(i)))
            whole = builder.extract_element(lanes, ir.IntType(32)(0))
            builder.store(builder.fadd(builder.load(place), whole), place)
        return context.get_dummy_value()

    signature = types.void(numbers, types.intp, types.intp, factors, types.intp, out, types.intp)
    return signature, generate


@intrinsic
def add_outer(typing: Any, factors: Any, vectors: Any, n: Any, size: Any, out: Any) -> Any:
    """Add outer products of the first n `vectors` (rows, width) with themselves, times factors, to `out`.

    To the lower triangle of the first `size` rows of `out` (width, width); what is above the diagonal means nothing.
    All are float64, the width is a multiple of `LANES_64`.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_factors, of_vectors, _, _, of_out = signature.args
        factors, vectors, n, size, out = args
        zero = context.get_constant(types.intp, 0)

        def eight(kind: Any, array: Any, row: Any, column: Any) -> Any:
            return builder.bitcast(_place(context, builder, kind, array, row, column), EIGHT.as_pointer())

        with cgutils.for_range_slice(builder, zero, size, size.type(DOTS)) as (row, _):
            rows = [builder.add(row, row.type(i)) for i in range(DOTS)]
            with cgutils.for_range_slice(builder, zero, builder.add(row, row.type(1)), row.type(LANES_64)) as (
                column,
                _,
            ):
                places = [eight(of_out, out, i, column) for i in rows]
                sums = [cgutils.alloca_once(builder, EIGHT) for _ in rows]
                for total, place in zip(sums, places, strict=True):
                    builder.store(builder.load(place, align=8), total)
                with cgutils.for_range(builder, n) as loop:
                    others = builder.load(eight(of_vectors, vectors, loop.index, column), align=8)
                    factor = builder.load(_place(context, builder, of_factors, factors, loop.index))
                    for i, total in zip(rows, sums, strict=True):
                        number = builder.load(_place(context, builder, of_vectors, vectors, loop.index, i))
                        product = builder.fmul(_all_lanes(builder, builder.fmul(factor, number), EIGHT), others)
                        builder.store(builder.fadd(builder.load(total), product), total)
                for total, place in zip(sums, places, strict=True):
                    builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return types.void(factors, vectors, types.intp, types.intp, out), generate


@intrinsic
def own_steps(typing: Any, weights: Any, squares: Any, inputs: Any, stride: Any, errors: Any, n: Any, rate: Any) -> Any:
    """AdaGrad of weights (size, L), whose `squares` (size, L) are summed, for errors (n,) of the first n labels.

    `inputs` are rows of float32 that begin `stride` apart; n is a multiple of `LANES_64`. Eight labels without errors
    are passed over. Steps are of single precision, sums of double.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_weights, of_squares, of_inputs, _, of_errors, *_ = signature.args
        weights, squares, inputs, stride, errors, n, rate = args
        zero = context.get_constant(types.intp, 0)
        size = cgutils.unpack_tuple(builder, context.make_array(of_weights)(context, builder, weights).shape)[0]
        step, root = _all_lanes(builder, rate, EIGHT), ir.FunctionType(EIGHT_SINGLE, [EIGHT_SINGLE])
        root = cgutils.get_or_insert_function(builder.module, root, f"llvm.sqrt.v{LANES_64}f32")

        def lanes(kind: Any, array: Any, *indices: Any) -> Any:
            return builder.bitcast(_place(context, builder, kind, array, *indices), EIGHT.as_pointer())

        with cgutils.for_range_slice(builder, zero, n, n.type(LANES_64)) as (label, _):
            error = builder.load(lanes(of_errors, errors, label), align=8)
            wrong = builder.fcmp_unordered("!=", error, ir.Constant(EIGHT, None))
            wrong = builder.bitcast(wrong, ir.IntType(LANES_64))
            wrong = builder.icmp_unsigned("!=", wrong, wrong.type(0))
            with builder.if_then(wrong), cgutils.for_range(builder, size) as loop:
                place = builder.add(builder.mul(loop.index, stride), label)
                place = _place(context, builder, of_inputs, inputs, place)
                number = builder.load(builder.bitcast(place, EIGHT_SINGLE.as_pointer()), align=4)
                gradient = builder.fmul(error, builder.fpext(number, EIGHT))
                place = lanes(of_squares, squares, loop.index, label)
                total = builder.fadd(builder.load(place, align=8), builder.fmul(gradient, gradient))
                builder.store(total, place, align=8)
                move = builder.fptrunc(builder.fmul(step, gradient), EIGHT_SINGLE)
                move = builder.fdiv(move, builder.call(root, [builder.fptrunc(total, EIGHT_SINGLE)]))
                move = builder.fpext(move, EIGHT)
                place = lanes(of_weights, weights, loop.index, label)
                builder.store(builder.fsub(builder.load(place, align=8), move), place, align=8)
        return context.get_dummy_value()

    signature = types.void(weights, squares, inputs, types.intp, errors, types.intp, types.float64)
    return signature, generate


def _add_rows(
    context: Any, builder: Any, of_table: Any, tables: Any, columns: Any, values: Any, between: Any, n: Any, out: Any
) -> None:
    """Code that adds to `out`, in registers, polynomials of values; `tables` are the coefficients, highest first."""
    zero, (first, last) = context.get_constant(types.intp, 0), between

    def add(start: Any, count: int) -> None:
        """Eight numbers each of so many vectors."""
        places = builder.bitcast(_place(context, builder, *out, start), EIGHT_SINGLE.as_pointer())
        places = [builder.gep(places, [WORD(i)]) for i in range(count)]
        sums = [cgutils.alloca_once(builder, EIGHT_SINGLE) for _ in places]
        for total, place in zip(sums, places, strict=True):
            builder.store(builder.load(place, align=4), total)
        with cgutils.for_range_slice(builder, first, last, first.type(1)) as (k, _):
            column = builder.load(_place(context, builder, *columns, k))
            column = builder.sext(column, WORD) if column.type.width < WORD.width else column
            value = _all_lanes(builder, builder.load(_place(context, builder, *values, k)), EIGHT_SINGLE)
            rows = [_place(context, builder, of_table, table, column, start) for table in tables]
            rows = [builder.bitcast(row, EIGHT_SINGLE.as_pointer()) for row in rows]
            for i, total in enumerate(sums):
                numbers = [builder.load(builder.gep(row, [WORD(i)]), align=4) for row in rows]
                term = builder.fmul(numbers[0], value)
                for number in numbers[1:-1]:
                    term = builder.fmul(builder.fadd(term, number), value)
                if len(numbers) > 1:
                    term = builder.fadd(term, numbers[-1])
                builder.store(builder.fadd(builder.load(total), term), total)
        for total, place in zip(sums, places, strict=True):
            builder.store(builder.load(total), place, align=4)

    whole = builder.and_(n, n.type(-8 * MOST))
    with cgutils.for_range_slice(builder, zero, whole, n.type(8 * MOST)) as (start, _):
        add(start, MOST)
    rest = builder.sub(n, whole)
    for count in range(1, MOST):
        with builder.if_then(builder.icmp_signed("==", rest, n.type(8 * count))):
            add(whole, count)


@intrinsic
def add_columns(typing: Any, table: Any, columns: Any, values: Any, first: Any, last: Any, n: Any, out: Any) -> Any:
    """Add the rows of a table (D, L) that `columns[first:last]` tell, times their values, to `out` (L,): n numbers.

    All are float32; n is a multiple of eight. Terms are added in their order.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_table, of_columns, of_values, *_, of_out = signature.args
        table, columns, values, first, last, n, out = args
        arrays = (of_columns, columns), (of_values, values), (first, last), n, (of_out, out)
        _add_rows(context, builder, of_table, [table], *arrays)
        return context.get_dummy_value()

    return types.void(table, columns, values, types.intp, types.intp, types.intp, out), generate


@intrinsic
def add_parabolas(
    typing: Any, a: Any, b: Any, c: Any, columns: Any, values: Any, first: Any, last: Any, n: Any, out: Any
) -> Any:
    """The same of `(a u + b) u + c`, `u` the values."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_table, _, _, of_columns, of_values, *_, of_out = signature.args
        a, b, c, columns, values, first, last, n, out = args
        arrays = (of_columns, columns), (of_values, values), (first, last), n, (of_out, out)
        _add_rows(context, builder, of_table, [a, b, c], *arrays)
        return context.get_dummy_value()

    return types.void(a, b, c, columns, values, types.intp, types.intp, types.intp, out), generate


@intrinsic
def adaptive_steps(
    typing: Any, weights: Any, squares: Any, columns: Any, values: Any, first: Any, last: Any, n: Any, errors: Any,
    step: Any,
) -> Any:  # fmt: skip
    """AdaGrad of the rows of weights (D, L), whose `squares` (D, L) are summed, that `columns[first:last]` tell.

    Gradients are the errors (L,) of n labels times the values; all are float32, n is a multiple of eight.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_weights, of_squares, of_columns, of_values, *_, of_errors, _ = signature.args
        weights, squares, columns, values, first, last, n, errors, step = args
        zero = context.get_constant(types.intp, 0)
        step, root = _all_lanes(builder, step, EIGHT_SINGLE), ir.FunctionType(EIGHT_SINGLE, [EIGHT_SINGLE])
        root = cgutils.get_or_insert_function(builder.module, root, "llvm.sqrt.v8f32")

        def lanes(kind: Any, array: Any, *indices: Any) -> Any:
            return builder.bitcast(_place(context, builder, kind, array, *indices), EIGHT_SINGLE.as_pointer())

        with cgutils.for_range_slice(builder, first, last, first.type(1)) as (k, _):
            column = builder.load(_place(context, builder, of_columns, columns, k))
            column = builder.sext(column, WORD) if column.type.width < WORD.width else column
            value = _all_lanes(builder, builder.load(_place(context, builder, of_values, values, k)), EIGHT_SINGLE)
            with cgutils.for_range_slice(builder, zero, n, n.type(8)) as (label, _):
                error = builder.load(lanes(of_errors, errors, label), align=4)
                gradient = builder.fmul(error, value)
                place = lanes(of_squares, squares, column, label)
                total = builder.fadd(builder.load(place, align=4), builder.fmul(gradient, gradient))
                builder.store(total, place, align=4)
                move = builder.fdiv(builder.fmul(step, gradient), builder.call(root, [total]))
                place = lanes(of_weights, weights, column, label)
                builder.store(builder.fsub(builder.load(place, align=4), move), place, align=4)
        return context.get_dummy_value()

    signature = types.void(weights, squares, columns, values, types.intp, types.intp, types.intp, errors, types.float32)
    return signature, generate


@intrinsic
def plain_steps(typing: Any, weights: Any, columns: Any, values: Any, first: Any, last: Any, n: Any, steps: Any) -> Any:
    """Take steps (L,) of n labels times the values from the rows of weights (D, L) that `columns[first:last]` tell.

    All are float32; n is a multiple of eight.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of_weights, of_columns, of_values, *_, of_steps = signature.args
        weights, columns, values, first, last, n, steps = args
        zero = context.get_constant(types.intp, 0)
        with cgutils.for_range_slice(builder, first, last, first.type(1)) as (k, _):
            column = builder.load(_place(context, builder, of_columns, columns, k))
            column = builder.sext(column, WORD) if column.type.width < WORD.width else column
            value = _all_lanes(builder, builder.load(_place(context, builder, of_values, values, k)), EIGHT_SINGLE)
            with cgutils.for_range_slice(builder, zero, n, n.type(8)) as (label, _):
                step = _place(context, builder, of_steps, steps, label)
                step = builder.load(builder.bitcast(step, EIGHT_SINGLE.as_pointer()), align=4)
                place = _place(context, builder, of_weights, weights, column, label)
                place = builder.bitcast(place, EIGHT_SINGLE.as_pointer())
                move = builder.fmul(step, value)
                builder.store(builder.fsub(builder.load(place, align=4), move), place, align=4)
        return context.get_dummy_value()

    return types.void(weights, columns, values, types.intp, types.intp, types.intp, steps), generate
