"""Exponentials and logarithms without a branch or a call: loops that take them become vectors.

Those of the C library stay scalar. These round the same everywhere, and alike in a vector and by themselves, to one
unit in the last place. Arguments are what probabilities and counts give: logarithms take positive normal numbers,
exponentials what neither overflows nor falls below the smallest normal number. Of others the result means nothing.
"""

from __future__ import annotations

from typing import Any

import numba.extending
from llvmlite import ir
from numba import types

__all__ = ["exp32", "exp64", "exponential", "log32", "log64", "logarithm"]

intrinsic: Any = numba.extending.intrinsic
LOG2_E = 1.44269504088896341
LN2_PARTS = {32: (0.693359375, -2.12194440e-4), 64: (6.93147180369123816490e-01, 1.90821492927058770002e-10)}
"""Of ln(2): one with so few digits that its multiples are exact, and the rest."""
EXP_TERMS = {
    32: (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
    64: tuple(1.0 / f for f in (6227020800, 479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2)),
}
"""Of (exp(r) - 1 - r) / r**2 for abs(r) up to ln(2) / 2, the highest first (Cephes, expf: Moshier, 1992; Taylor's)."""
LOG_TERMS = {
    32: (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    64: (
        1.479819860511658591e-01,
        1.531383769920937332e-01,
        1.818357216161805012e-01,
        2.222219843214978396e-01,
        2.857142874366239149e-01,
        3.999999999940941908e-01,
        6.666666666666735130e-01,
    ),
}
"""Of (log(1 + f) - 2 s) / (s**3) in s**2, s = f / (2 + f), for 1 + f between the roots of 1/2 and 2 (FreeBSD, msun:
e_log.c and e_logf.c, Sun Microsystems, 1993), the highest first."""
MANTISSA = {32: 23, 64: 52}
ROOT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
"""The bits of it."""


def _width(kind: Any) -> int:
    """Bits of a number, or of each in a vector."""
    scalar = kind.element if isinstance(kind, ir.VectorType) else kind
    return 32 if isinstance(scalar, ir.FloatType) else 64


def _words(kind: Any) -> Any:
    """Whole numbers of the same width, as many."""
    word = ir.IntType(_width(kind))
    return ir.VectorType(word, kind.count) if isinstance(kind, ir.VectorType) else word


def _constant(kind: Any, value: float) -> Any:
    """A number that is known now, in all lanes."""
    return ir.Constant(kind, [value] * kind.count if isinstance(kind, ir.VectorType) else value)


def _polynomial(builder: Any, x: Any, terms: tuple[float, ...]) -> Any:
    y = _constant(x.type, terms[0])
    for term in terms[1:]:
        y = builder.fadd(builder.fmul(y, x), _constant(x.type, term))
    return y


def exponential(builder: Any, x: Any) -> Any:
    """Code for exp(x), `x` a number or a vector, in single or double precision."""
    kind, width = x.type, _width(x.type)
    words, bits = _words(kind), MANTISSA[width]
    shifter = 1.5 * 2.0**bits  # what is added to it is rounded to a whole number, which its last bits then are
    shifted = builder.fadd(builder.fmul(x, _constant(kind, LOG2_E)), _constant(kind, shifter))
    n = builder.fsub(shifted, _constant(kind, shifter))
    for part in LN2_PARTS[width]:
        x = builder.fsub(x, builder.fmul(n, _constant(kind, part)))
    y = builder.fmul(_polynomial(builder, x, EXP_TERMS[width]), builder.fmul(x, x))
    y = builder.fadd(builder.fadd(y, x), _constant(kind, 1.0))
    scale = builder.shl(builder.bitcast(shifted, words), _constant(words, bits))
    return builder.bitcast(builder.add(builder.bitcast(y, words), scale), kind)


def logarithm(builder: Any, x: Any) -> Any:
    """Code for log(x), `x` as in `exponential`."""
    kind, width = x.type, _width(x.type)
    words, bits = _words(kind), MANTISSA[width]
    above = builder.sub(builder.bitcast(x, words), _constant(words, ROOT_HALF[width]))
    power = builder.ashr(above, _constant(words, bits))
    fraction = builder.and_(above, _constant(words, (1 << bits) - 1))
    one_and_f = builder.bitcast(builder.add(fraction, _constant(words, ROOT_HALF[width])), kind)
    f, k = builder.fsub(one_and_f, _constant(kind, 1.0)), builder.sitofp(power, kind)
    s = builder.fdiv(f, builder.fadd(f, _constant(kind, 2.0)))
    z = builder.fmul(s, s)
    rest = builder.fmul(_polynomial(builder, z, LOG_TERMS[width]), z)
    half = builder.fmul(builder.fmul(f, f), _constant(kind, 0.5))
    high, low = (builder.fmul(k, _constant(kind, part)) for part in LN2_PARTS[width])
    inner = builder.fadd(builder.fmul(s, builder.fadd(half, rest)), low)
    return builder.fsub(high, builder.fsub(builder.fsub(half, inner), f))


def _function(kind: Any, build: Any) -> Any:
    """A function of one number, for kernels."""

    @intrinsic
    def function(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return build(builder, args[0])

        return kind(kind), generate

    return function


exp32, exp64 = _function(types.float32, exponential), _function(types.float64, exponential)
log32, log64 = _function(types.float32, logarithm), _function(types.float64, logarithm)
