"""The book's tables: a number's format goes by its column's name, gaps are dashes."""

from __future__ import annotations

import html

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
    "p": "{:.4g}",
    "chi-squared": "{:.2f}",
    "USD": "{:,.4g}",
    "difference": POINTS,
    "above": POINTS,
    "gain": POINTS,
}


UNITS = {"_percent": "{:.2f}%", "_usd": "${:.3f}"}  # endings of published columns: values as printed


def show(table: pd.DataFrame, caption: str = "") -> Styler:
    """A table as the book prints it: a number's format goes by its column's name, gaps are dashes.

    Row numbers that nobody named are left out.
    """
    formats = {}
    for column in table.columns:
        unit = next((u for u in UNITS if str(column).endswith(u)), None)
        key = next((k for k in FORMATS if str(column).startswith(k)), None)
        if pd.api.types.is_float_dtype(table[column]) or table[column].dtype == object:
            formats[column] = _formatter(UNITS[unit] if unit else FORMATS.get(key, "{:,.4g}"))
        elif pd.api.types.is_integer_dtype(table[column]):
            formats[column] = "{:,}"
    styler = table.style.format(formats, na_rep="–", escape="html")
    styler.format_index(_heading, axis=1, escape="html")  # names are others' text as much as the cells
    styler.format_index(str, axis=0, escape="html")
    if isinstance(table.index, pd.RangeIndex) and table.index.name is None:
        styler.hide(axis="index")  # mere row numbers
    styler.set_table_attributes('class="table"')
    return styler.set_caption(html.escape(caption)) if caption else styler


def _heading(name: object) -> str:
    """A column's name in words: "reduced_tokens_percent" is printed "reduced tokens"."""
    ending = next((u for u in UNITS if str(name).endswith(u)), "")
    return str(name).removesuffix(ending).replace("_", " ")


def _formatter(pattern: str):
    def text(value: object) -> str:
        if isinstance(value, tuple):  # an interval
            return "–" if np.isnan(value[0]) else f"[{pattern.format(value[0])}, {pattern.format(value[1])}]"
        if isinstance(value, int | float | np.number):
            return "–" if np.isnan(value) else pattern.format(value)
        return str(value)

    return text
