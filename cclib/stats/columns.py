"""What every statistic here takes: columns, one entry a question."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def columns(kind: type | None = None, **given: ArrayLike) -> list[np.ndarray]:
    """The columns as (n,) arrays, after checking that they are that and of one length.

    Raises:
        ValueError: other shapes; or, where `kind` is bool, other values than true and false (1 and 0).
    """
    arrays = [np.asarray(column) for column in given.values()]
    shapes = {name: a.shape for name, a in zip(given, arrays)}
    if any(a.ndim != 1 for a in arrays) or len(set(shapes.values())) > 1:
        raise ValueError(f"expected one-dimensional arrays of one length, found shapes {shapes}")
    if kind is bool:
        odd = [a for a in arrays if a.dtype.kind not in "biuf" or not np.isin(a, (0, 1)).all()]
        if odd:
            raise ValueError(f"expected true or false (1 or 0) for each question, found {odd[0][:3]}")
    return [a if kind is None else a.astype(kind) for a in arrays]


def check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level}; 0.95 is usual")
