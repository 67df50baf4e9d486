"""What a million tokens cost: the price table, and which of its rows a model goes by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cclib.names import API_PREFIXES, plain_name, slug

PRICES = Path(__file__).parent / "paper" / "tables" / "prices.csv"

Prices = str | Path | pd.DataFrame | Mapping[str, tuple[float, float]]


def read_prices(prices: Prices | None = None) -> pd.DataFrame:
    """Dollars a million tokens, indexed by the model's short name in lower case.

    Args:
        prices: {model: (input, output)}; or a table or CSV with the columns model,
            input_usd_per_million and output_usd_per_million, and date and source for the reader.
            Default: the paper's (Table 12, April 2025), in `cclib/paper/tables/prices.csv`.

    Raises:
        FileNotFoundError: the CSV is not there.
        ValueError: a column is missing, a model is priced twice, or a price is not a number >= 0.
    """
    wanted = ["input_usd_per_million", "output_usd_per_million"]
    if isinstance(prices, Mapping):
        table = pd.DataFrame.from_dict(dict(prices), orient="index", columns=wanted)
    else:
        given = PRICES if prices is None else prices
        if not isinstance(given, pd.DataFrame) and not Path(given).is_file():
            raise FileNotFoundError(f"no prices at {given}; give a CSV with {', '.join(('model', *wanted))}")
        table = given if isinstance(given, pd.DataFrame) else pd.read_csv(given)
        absent = {"model", *wanted} - set(table.columns)
        if absent:
            raise ValueError(f"a price table needs {sorted(absent)}; found {list(table.columns)}")
        table = table.set_index("model")
    table = table[[*wanted, *[c for c in ("date", "source") if c in table]]]
    table.index = table.index.astype(str).str.lower()
    values = table[wanted].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not (np.isfinite(values) & (values >= 0)).all() or table.index.has_duplicates:
        raise ValueError("prices must be numbers >= 0, in dollars a million tokens, one row a model")
    return table


def price_of(model: str, table: pd.DataFrame) -> tuple[float, float] | None:
    """Dollars a million tokens of prompt and output, or None where the table does not name the model."""
    # a trace names its model plainly: "openai-gpt-4o" for "openai:gpt-4o"
    known = sorted((form for p in API_PREFIXES for form in (p, plain_name(p))), key=len, reverse=True)
    bare = next((model.removeprefix(p) for p in known if model.startswith(p)), model)
    names = [model.lower(), slug(model), bare.lower(), slug(bare)]
    name = next((n for n in names if n in table.index), None)
    return None if name is None else tuple(table.loc[name].iloc[:2].astype(float))
