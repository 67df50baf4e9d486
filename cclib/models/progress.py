"""How far a long run is: a bar on a terminal, a plain line now and then in a log or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

EVERY = 30.0  # seconds between two lines


class Progress(tqdm):
    """tqdm's bar; where stderr is no terminal, whole lines in place of a bar that is drawn anew."""

    def __init__(self, *given: Any, **options: Any) -> None:
        if not sys.stderr.isatty():
            options |= {"mininterval": EVERY, "maxinterval": EVERY, "ncols": 0, "leave": True}
        super().__init__(*given, **options)

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        if file.isatty():
            return tqdm.status_printer(file)
        return lambda text: print(text.strip(), file=file, flush=True)
