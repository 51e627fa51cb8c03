"""Operations on all children of a group at once: a block's field is one line of memory, and a few registers.

Loops over so few turns are not made into vectors by the compiler: unknown lengths are taken to be longer, known ones
are written out turn by turn. These are vectors from the start.
"""

from __future__ import annotations

import math
from typing import Any

import numba.extending
from llvmlite import ir
from numba import types
from numba.core import cgutils

from stream_ml.gating._layout import (
    BAYES_EXPERT,
    BIAS,
    COLUMN_COUNT,
    COUNT,
    EXPERTS,
    MASS,
    ODDS,
    PRIOR,
    PRIOR_EXPERT,
    SHARE,
    SQUARES,
    STEP_BIAS,
    STEP_SQUARES,
    STEP_WEIGHT,
    WEIGHT,
    WEIGHT_SQUARES,
)
from stream_ml.gating._vector_kernels import DOUBLE, FLOAT, INT, Lanes, Writer, either, exp, fetch_line, log, sqrt

__all__ = [
    "count_block",
    "fetch",
    "fetch_block",
    "lane_sum",
    "learn_lanes",
    "learn_own",
    "likely_lanes",
    "lowest_lane",
    "stack_lanes",
    "sum_blocks",
    "teach_block",
    "vote_lanes",
]

intrinsic: Any = numba.extending.intrinsic
F4, I8 = types.float32, types.intp
CLIP, CLIP_STACKED = 8.0, 10.0
ADAPTIVE_RATE = 0.3
LOWEST = 1e-4
MOST_ODDS = 999.0
"""Of a prior."""
ACTIVE = 0.01
NEARLY_LEAST = 0.0019
"""A little less than LEAST_P of the descent."""


@intrinsic
def fetch(typing, array, index):
    """Ask for an element of an array (n,) before it is needed."""

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        fetch_line(builder, write.at(0, args[1]))
        return write.none()

    return types.void(array, I8), generate


@intrinsic
def fetch_block(typing, blocks, number, fields):
    """Ask for the first fields of a block before they are needed."""

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        with cgutils.for_range(builder, args[2]) as loop:
            fetch_line(builder, write.at(0, args[1], loop.index, 0))
        return write.none()

    return types.void(blocks, I8, I8), generate


@intrinsic
def sum_blocks(typing, logits, values, group, blocks, numbers, first, unit, standard, present):
    """What blocks `numbers` (n,) say of a row's columns from `first` on, to `logits` (EXPERTS, WIDTH).

    Linear experts start at their biases in `values` (G, LANE_FIELDS, WIDTH); naive Bayes hears of the columns that are
    `present` (n,) other than 0. Numbers below 0 are of no block.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        _, _, group, _, _, first, *_ = args
        start = write.lanes(1, group, BIAS), write.lanes(1, group, STEP_BIAS), write.number(0.0)
        sums = [cgutils.alloca_once_value(builder, lanes.value) for lanes in start]
        with cgutils.for_range(builder, write.length(4)) as loop:
            number = builder.load(write.at(4, loop.index))
            with builder.if_then(builder.icmp_signed(">=", number, INT(0))):
                number = builder.sext(number, loop.index.type)
                column = builder.add(first, loop.index)

                def add(expert, part, number=number):
                    total = Lanes(builder, builder.load(sums[expert])) + part
                    builder.store(total.value, sums[expert])

                add(0, write.lanes(3, number, WEIGHT) * write.all_of(builder.load(write.at(6, column))))
                add(1, write.lanes(3, number, STEP_WEIGHT) * write.all_of(builder.load(write.at(7, column))))
                there = builder.fcmp_unordered("!=", builder.load(write.at(8, loop.index)), FLOAT(0.0))
                with builder.if_then(there):
                    add(2, write.lanes(3, number, ODDS))
        for expert, place in enumerate(sums):
            write.store(Lanes(builder, builder.load(place)), 0, expert)
        return write.none()

    return types.void(logits, values, I8, blocks, numbers, I8, unit, standard, present), generate


@intrinsic
def vote_lanes(typing, logits, votes, values, group, inside, pseudo, silence):
    """Log-odds by the neighbours' `votes` (G, WIDTH) among the `inside` ones for a group, with `pseudo` for the prior.

    A child without votes has its prior's, less by `silence`. They go to the last row of `logits` (EXPERTS, WIDTH).
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        group, inside, pseudo, silence = args[3:]
        votes = write.lanes(1, group)
        p = votes + write.lanes(2, group, SHARE) * write.all_of(pseudo)
        p = (p / write.all_of(builder.fadd(inside, pseudo))).above(LOWEST).below(1.0 - LOWEST)
        silent = (write.lanes(2, group, PRIOR) + write.all_of(silence)).above(math.log(LOWEST / (1.0 - LOWEST)))
        write.store(either(votes > 0.0, log(p / (1.0 - p)), silent), 0, EXPERTS - 1)
        return write.none()

    return types.void(logits, votes, values, I8, F4, F4, F4), generate


@intrinsic
def stack_lanes(typing, logits, values, group, temper, shared, own, below, chances):
    """Finish the experts' log-odds `logits` (EXPERTS, WIDTH) of a group, and stack them to `chances` (WIDTH,).

    Naive Bayes' evidence is tempered, and added to the log-odds of the prior, which is an expert itself; the last
    expert is left as it is. `shared` (2, EXPERTS + 1) are weights of gates and of labels, `values` (G, LANE_FIELDS,
    WIDTH), `own` (G, EXPERTS + 1, WIDTH) and `below` (G, WIDTH) are of all groups.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        group, temper = args[2:4]
        gates = write.not_negative(6, group)

        def weight(expert):
            both = [write.all_of(builder.load(write.at(4, kind, expert))) for kind in (0, 1)]
            return either(gates, *both) + write.lanes(5, group, expert)

        prior = write.lanes(1, group, PRIOR)
        z = weight(EXPERTS)
        for expert in range(EXPERTS):
            x = prior if expert == PRIOR_EXPERT else write.lanes(0, expert)
            if expert == BAYES_EXPERT:
                x = x * write.all_of(temper) + prior
            if expert <= BAYES_EXPERT:
                x = x.above(-CLIP).below(CLIP)
            write.store(x, 0, expert)
            z = z + weight(expert) * x
        odds_against = exp(0.0 - z.above(-CLIP_STACKED).below(CLIP_STACKED))
        write.store(1.0 / (odds_against + 1.0), 7)
        return write.none()

    return types.void(logits, values, I8, F4, shared, own, below, chances), generate


@intrinsic
def likely_lanes(typing, chances, likely):
    """Mask of the children of which `chances` (WIDTH,) times `likely` is not much less than LEAST_P, or more."""

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        return (write.lanes(0) * write.all_of(args[1]) >= NEARLY_LEAST).mask()

    return types.int64(chances, types.float64), generate


@intrinsic
def lowest_lane(typing, mask):
    """The first lane whose bit is set in a mask that is not 0."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def learn_lanes(
    typing, values, group, positive, known, keep, n_present, rows, logits, a, b, rate
):  # fmt: skip
    """Add a row to the priors of a group's children, and teach the biases of both linear experts.

    `positive` and `known` are masks of children. Counts `keep` a share of what they were, `rows` is the fading number
    of rows of the group, and `n_present` are the columns that naive Bayes heard of. To `a` (WIDTH,) go the gradients of
    the adaptive expert, to `b` (WIDTH,) the steps of the other: its gradients by `rate` and by how large they were.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        group, positive, known, keep, n_present, rows = args[1:7]
        positive, known = write.bits(positive), write.bits(known)
        target = either(positive, 1.0, write.number(0.0))

        def field(number):
            return write.lanes(0, group, number)

        def put(lanes, number):
            write.store(lanes, 0, group, number)

        def gradient(expert):
            wrong = 1.0 / (exp(0.0 - write.lanes(7, expert)) + 1.0) - target
            return either(known, wrong, 0.0)

        a, b = gradient(0), gradient(1)
        squares = field(SQUARES) + a * a
        put(squares, SQUARES)
        put(field(BIAS) - a * ADAPTIVE_RATE / sqrt(squares), BIAS)
        write.store(a, 8)
        squares = field(STEP_SQUARES) + b * b
        put(squares, STEP_SQUARES)
        b = b * (write.all_of(args[10]) / sqrt(squares))
        put(field(STEP_BIAS) - b, STEP_BIAS)
        write.store(b, 9)
        old = field(COUNT)
        count = either(known, old * write.all_of(keep) + target, old)
        put(count, COUNT)
        put(field(MASS) + target * write.all_of(n_present), MASS)
        with_it, without = count + 0.1, write.all_of(rows) - count + 0.9
        sure = with_it >= without * MOST_ODDS
        odds = either(sure, MOST_ODDS, with_it / without)
        put(either(known, odds / (odds + 1.0), field(SHARE)), SHARE)
        put(either(known, log(odds).above(-CLIP), field(PRIOR)), PRIOR)
        return write.none()

    f8, i8 = types.float64, types.int64
    return types.void(values, I8, i8, i8, F4, F4, f8, logits, a, b, F4), generate


@intrinsic
def learn_own(typing, own, squares, below, group, positive, known, rate, logits, chances, sums):
    """Steps on a group's own stacking weights (G, EXPERTS + 1, WIDTH), by AdaGrad with a `rate`.

    What it adds to gradient and curvature of the weights that gates, and that labels, share goes to `sums` (2, EXPERTS
    + 1 + TERMS, WIDTH), lane by lane. `logits` (EXPERTS, WIDTH) and `chances` (WIDTH,) are what was said.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        group, positive, known, rate = args[3:7]
        known, gates = write.bits(known), write.not_negative(2, group)
        wrong = either(known, write.lanes(8) - either(write.bits(positive), 1.0, write.number(0.0)), 0.0)
        size = wrong.above(0.0 - wrong)
        curvature = size * (1.0 - size)
        curvature = either(curvature >= ACTIVE, curvature, 0.0)
        x = [write.lanes(7, expert) for expert in range(EXPERTS)]
        gradient = [wrong * value for value in x] + [wrong]
        active = size >= ACTIVE
        with write.any(active):
            for i, g in enumerate(gradient):
                total = write.lanes(1, group, i) + either(active, g * g, 0.0)
                write.store(total, 1, group, i)
                step = g * write.all_of(rate) / sqrt(total)
                write.store(write.lanes(0, group, i) - either(active, step, 0.0), 0, group, i)
        scaled = [curvature * value for value in x] + [curvature]
        for kind, mine in enumerate((known & gates, known.but_not(gates))):
            with write.any(mine):
                for i, g in enumerate(gradient):
                    write.store(write.lanes(9, kind, i) + either(mine, g, 0.0), 9, kind, i)
                with write.any(mine & (curvature > 0.0)):
                    own = [either(mine, value, 0.0) for value in scaled]
                    at = EXPERTS + 1
                    for i in range(EXPERTS + 1):
                        for j in range(i + 1):
                            # with the intercept, which is the last one, the other factor is 1
                            part = own[j] if i == EXPERTS else own[i] * x[j]
                            write.store(write.lanes(9, kind, at) + part, 9, kind, at)
                            at += 1
        return write.none()

    f8, i8 = types.float64, types.int64
    return types.void(own, squares, below, I8, i8, i8, f8, logits, chances, sums), generate


@intrinsic
def lane_sum(typing, sums, kind, at):
    """The sum of all lanes of `sums[kind, at]`, in double precision; they are 0 from then on."""

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        total = write.lanes(0, args[1], args[2]).total()
        write.store(write.number(0.0), 0, args[1], args[2])
        return total

    return types.float64(sums, I8, I8), generate


@intrinsic
def teach_block(typing, blocks, number, a, b, u, v, step):
    """Steps of both linear experts of a block's children, whose gradients are `a` and `b` (WIDTH,), for one column.

    Adaptive ones for a value `u` in a row of unit length, and `b` times the standardised value `v`.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        _, number, _, _, u, v, step = args
        gradient = write.lanes(2) * write.all_of(u)
        total = write.lanes(0, number, WEIGHT_SQUARES) + gradient * gradient
        write.store(total, 0, number, WEIGHT_SQUARES)
        move = write.all_of(step) * gradient / sqrt(total)
        write.store(write.lanes(0, number, WEIGHT) - move, 0, number, WEIGHT)
        write.store(write.lanes(0, number, STEP_WEIGHT) - write.lanes(3) * write.all_of(v), 0, number, STEP_WEIGHT)
        return write.none()

    return types.void(blocks, I8, a, b, F4, F4, F4), generate


@intrinsic
def count_block(typing, blocks, number, values, group, positive, renewed, column, mass):
    """Count a column for naive Bayes of a group's `positive` children, and renew the log-odds of those `renewed`.

    Log-odds of a column's presence: multinomial likelihoods, smoothed towards the column's share in the group. Of
    `column` rows with it, `mass` are the occurrences of all columns.
    """

    def generate(context, builder, signature, args):
        write = Writer(context, builder, signature, args)
        _, number, _, group, positive, renewed, column, mass = args
        one = either(write.bits(positive), 1.0, write.number(0.0))
        count = write.lanes(0, number, COLUMN_COUNT) + one
        write.store(count, 0, number, COLUMN_COUNT)
        share = builder.fdiv(builder.fadd(column, DOUBLE(1.0)), builder.fadd(mass, DOUBLE(1.0)))
        share = write.all_of(builder.fmul(share, DOUBLE(2.0)))
        child = write.lanes(2, group, MASS)
        rest = (write.all_of(mass) - child).above(0.0)  # single precision stops counting one by one
        odds = (count + share) * (rest + 2.0) / ((child + 2.0) * (write.all_of(column) - count + share))
        fresh = either(write.bits(renewed), log(odds), write.lanes(0, number, ODDS))
        write.store(fresh, 0, number, ODDS)
        return write.none()

    f8, i8 = types.float64, types.int64
    return types.void(blocks, I8, values, I8, i8, i8, f8, f8), generate
