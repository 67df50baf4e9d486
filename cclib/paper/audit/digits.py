"""What printed digits can stand for."""

from __future__ import annotations

from cclib.paper.published import decimals

SLACK = 1e-9  # of binary fractions, far under any printed digit


def span(cell: str) -> tuple[float, float]:
    """(low, high): the values that round to a printed number."""
    value, half = float(cell), 0.5 * 10.0 ** -decimals(cell)
    return value - half, value + half


def prints_as(value: float, cell: str) -> str:
    """How a value comes to be printed as `cell`: "rounded", "cut off" (digits dropped), or "no"."""
    low, high = span(cell)
    if low - SLACK <= value <= high + SLACK:
        return "rounded"
    more = abs(value) - abs(float(cell))
    same_sign = value * float(cell) >= 0
    return "cut off" if same_sign and -SLACK <= more < 10.0 ** -decimals(cell) else "no"


def overlap(computed: tuple[float, float], cell: str) -> bool:
    """Whether a computed range (low, high) and the values that round to `cell` meet."""
    low, high = span(cell)
    return computed[0] <= high + SLACK and computed[1] >= low - SLACK


def reduction_range(total: str, reference: str) -> tuple[float, float]:
    """(low, high) of 1 - total / reference in per cent, over all values that round to the two."""
    (low, high), (reference_low, reference_high) = span(total), span(reference)
    return 100 * (1 - high / reference_low), 100 * (1 - low / reference_high)
