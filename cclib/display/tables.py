"""The book's tables: a number's format goes by its column's name, gaps are dashes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

PERCENT, POINTS, DECIMAL = "{:.1%}", "{:+.2f}", "{:.4f}"


FORMATS = {
    "accuracy": PERCENT,
    "share": PERCENT,
    "answers right": PERCENT,
    "reduced": PERCENT,
    "time": "{:+.1%}",
    "PD (points)": POINTS,
    "PD (relative)": "{:+.2f}%",
    "precision": DECIMAL,
    "recall": DECIMAL,
    "F1": DECIMAL,
    "AUROC": "{:.3f}",
    "ECE": "{:.3f}",
    "Brier": "{:.3f}",
    "AUPRC": "{:.3f}",
    "AURC": "{:.3f}",
    "extra cost": PERCENT,
    "AIQ": PERCENT,
    "APGR": "{:.3f}",
    "gap closed": PERCENT,
    "CPT": PERCENT,
    "cost": PERCENT,
    "sent": PERCENT,
    "p": "{:.3g}",
    "chi-squared": "{:.2f}",
    "difference": POINTS,
    "above": POINTS,
    "gain": POINTS,
}


UNITS = {"_percent": "{:.2f}%", "_usd": "${:.3f}"}  # endings of published columns: values as printed


def show(table: pd.DataFrame, caption: str = "") -> Styler:
    """A table as the book prints it: a number's format goes by its column's name, gaps are dashes.

    The interval of a column ("x interval", "x, interval") stands in its cells, after the estimate. Row
    numbers that nobody named are left out.
    """
    formats = {}
    for column in table.columns:
        if pd.api.types.is_float_dtype(table[column]) or table[column].dtype == object:
            formats[column] = _formatter(_pattern(column, table[column]))
        elif pd.api.types.is_integer_dtype(table[column]):
            formats[column] = "{:,}"
    table = _with_intervals(table)
    formats = {column: formats[column] for column in formats if column in table}
    styler = table.style.format(formats, na_rep="–", escape="html")
    styler.format_index(_heading, axis=1, escape="html")  # names are others' text as much as the cells
    styler.format_index(str, axis=0, escape="html")
    if isinstance(table.index, pd.RangeIndex) and table.index.name is None:
        styler.hide(axis="index")  # mere row numbers
    styler.set_table_attributes('class="table"')
    return styler.set_caption(html.escape(caption)) if caption else styler


def by_unit(table: pd.DataFrame) -> pd.DataFrame:
    """Headlines as text, each row in its own unit: two decimals of points and per cent, p-values as p.

    The interval stands beside the number here; a dagger marks what the paper does not print (`derived`).
    """
    text = {"p": _formatter(FORMATS["p"])}
    rows = []
    for row in table.to_dict("records"):
        number = text.get(row["unit"], _formatter("{:.2f}"))
        moved = text.get(row["unit"], _formatter(POINTS))
        rows.append(
            {
                "unit": row["unit"],
                "paper": number(row["paper"]) + " †" * row["derived"],
                "here": number((row["here"], row["interval"])),
                "difference": moved(row["difference"]),
                "if missing": row["if missing"],
            }
        )
    return pd.DataFrame(rows, table.index)


def _pattern(column: object, values: pd.Series) -> str:
    """How a column's numbers are printed: by its name, else with digits that suit its largest number."""
    name = str(column)
    if unit := next((u for u in UNITS if name.endswith(u)), None):
        return UNITS[unit]
    if name.startswith("USD") or name.endswith("usd_per_million"):
        return f"{{:,.{_decimals(values)}f}}"
    if "(points)" in name or name.startswith("points above"):
        return POINTS
    if key := next((k for k in FORMATS if re.match(rf"{re.escape(k)}(?!\w)", name)), None):
        return FORMATS[key]
    if not pd.api.types.is_float_dtype(values):
        return "{:,.4g}"
    sizes = values.abs()[np.isfinite(values) & (values != 0)]
    if len(sizes) == 0 or sizes.max() >= 1e7 or sizes.min() < 1e-3 * min(1, sizes.max()):
        return "{:,.3g}"  # no number of decimals suits all of them
    return f"{{:,.{max(0, 2 - int(np.floor(np.log10(sizes.max()))))}f}}"


def _decimals(values: pd.Series) -> int:
    """Decimals of dollars: cents, or so many more that the smallest amount shows two digits."""
    least = values[values > 0].min()
    most = 2 if np.isnan(least) else max(2, 1 - int(np.floor(np.log10(least))))
    return next((d for d in range(2, most) if np.allclose(values.round(d), values, rtol=1e-9, atol=0)), most)


def _with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each interval beside its estimate, as pairs in the estimate's column."""
    if table.columns.has_duplicates:
        return table
    for column in table.columns:
        of = re.sub(r",? interval(?=$|,)", "", str(column))
        of = next((c for c in (of, f"{of} (points)", f"{of}, here") if c != column and c in table), None)
        numbers = of is not None and pd.api.types.is_float_dtype(table[of])
        if numbers and table[column].map(_is_interval).all():
            ends = [e if isinstance(e, tuple) else (np.nan, np.nan) for e in table[column]]
            pairs = pd.Series(list(zip(table[of], ends)), index=table.index, dtype=object)
            table = table.assign(**{of: pairs}).drop(columns=column)
    return table


def _is_interval(value: object) -> bool:
    return isinstance(value, tuple) or bool(pd.isna(value))


def _heading(name: object) -> str:
    """A column's name in words: "reduced_tokens_percent" is printed "reduced tokens"."""
    ending = next((u for u in UNITS if str(name).endswith(u)), "")
    return str(name).removesuffix(ending).replace("_", " ")


def _formatter(pattern: str) -> Callable[[object], str]:
    def text(value: object) -> str:
        if isinstance(value, tuple) and isinstance(value[1], tuple):  # an estimate and its interval
            return text(value[0]) if np.isnan(value[1][0]) else f"{text(value[0])} {text(value[1])}"
        if isinstance(value, tuple):  # an interval
            return "–" if np.isnan(value[0]) else f"[{pattern.format(value[0])}, {pattern.format(value[1])}]"
        if isinstance(value, int | float | np.number):
            return "–" if np.isnan(value) else pattern.format(value)
        return str(value)

    return text
