"""Tables that people bring, CSV or Parquet: read as they are written, or refused with file and line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
LONGEST_CELL = 1 << 30  # characters; Python's own limit is 131,072
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


@dataclass(frozen=True)
class OwnTable:
    """n rows of named columns. Cells of a CSV are texts, those of a Parquet table what they are."""

    name: str  # of the file
    columns: dict[str, list]  # of n cells each
    lines: list[int] | None  # n: where each row begins in a CSV
    has_header: bool = True

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def where(self, row: int) -> str:
        """How a message names a row, counted from 0."""
        line = f"line {self.lines[row]} (row {row})" if self.lines else f"row {row}"
        return f"{self.name}, {line}"


def read_own_table(
    path: Path,
    needed: Collection[str],
    known: Collection[str] = (),
    without_header: Callable[[list[str]], list[str] | None] = lambda cells: None,
) -> OwnTable:
    """A table in CSV (comma, semicolon, tab or bar between cells; UTF-8) or Parquet.

    Args:
        needed, known: names of columns, which a file may write in other case and with blanks about them.
        without_header: names of the columns, told by the cells of the first line where it is no header.

    Raises:
        ValueError: a column is missing or named twice, a row has other cells than the header, a quotation
            mark is not closed, it is not UTF-8, or not a table.
    """
    if path.suffix.lower() == ".parquet":
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise ValueError(f"{path.name}: expected a Parquet table, found: {error}") from error
        names = _named(path.name, table.column_names, {*needed, *known})
        _require(path.name, needed, names)
        return OwnTable(path.name, {n: c.to_pylist() for n, c in zip(names, table.columns)}, None)
    text, first_line, separators = text_of(path), 1, list(SEPARATORS)
    if stated := re.match(r'"?sep=(.)"?\r?\n', text):  # Excel's
        text, first_line, separators = text[stated.end() :], 2, [stated[1]]
    if not text.strip():
        raise ValueError(f"{path.name}: expected a CSV in UTF-8 with a header line, found: an empty file")
    heads = {s: _first(path.name, text, s, first_line) for s in separators}
    fits = [s for s, head in heads.items() if set(needed) <= {_plain(c) for c in head}]
    bare = {s: names for s, head in heads.items() if (names := without_header(head))}
    separator = next(iter([*fits, *bare]), max(heads, key=lambda s: len(heads[s])))
    rows = cells_of(path.name, text, separator, first_line)
    has_header = separator in fits or separator not in bare
    header = [c.strip() for c in rows.pop(0)[1]] if has_header else bare[separator]
    for line, cells in rows:
        if len(cells) != len(header):
            raise ValueError(
                f"{path.name}, line {line}: expected {len(header)} cells ({', '.join(header)}), found "
                f"{len(cells)}: {_short(cells)}; put a cell that holds a "
                f"{SEPARATORS.get(separator, separator)} into quotation marks, with no blank before the first"
            )
    names = _named(path.name, header, {*needed, *known})
    columns = {}
    for at, name in enumerate(names):
        cells = [row[at] for _, row in rows]
        if name or (at and any(c.strip() for c in cells)):
            columns[name] = cells
    if "" in columns:
        raise ValueError(
            f"{path.name}: a column beside {', '.join(filter(None, names))} has cells but no name"
        )
    _require(path.name, needed, list(columns))
    return OwnTable(path.name, columns, [line for line, _ in rows], has_header)


def cells_of(name: str, text: str, separator: str, first_line: int = 1) -> list[tuple[int, list[str]]]:
    """The line where each row of a CSV begins, and its cells; rows without any text are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before, rows, begins = csv.field_size_limit(LONGEST_CELL), [], first_line
    try:
        for cells in reader:
            if any(c.strip() for c in cells):
                rows.append((begins, cells))
            begins = first_line + reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {begins}: this row cannot be read ({error}); close every quotation mark, and "
            'write one inside a cell twice ("")'
        ) from error
    finally:
        csv.field_size_limit(before)
    return rows


def ids(cells: Sequence[Any], where: Callable[[int], str]) -> list[str]:
    """Ids as texts, none empty or twice; whole numbers alike, whether they come as 1, 1.0 or "1"."""
    texts = ["" if _absent(c) else str(c).strip() for c in cells]
    if texts and all(re.fullmatch(r"\d+\.0", t) for t in texts):
        texts = [t[:-2] for t in texts]
    seen: dict[str, int] = {}
    for row, text in enumerate(texts):
        if not text:
            raise ValueError(f"{where(row)}: the id is empty; give every row one")
        if text in seen:
            raise ValueError(
                f"{where(row)}: the id {text!r} occurs twice, first at row {seen[text]}; ids must be unique"
            )
        seen[text] = row
    return texts


def truths(cells: Sequence[Any], name: str, where: Callable[[int], str]) -> list[bool]:
    """Cells that say true or false: as such, as words, or as 1 and 0."""
    found = [TRUTH.get(str(c).strip().lower()) for c in cells]
    if None in found:
        row = found.index(None)
        raise ValueError(f"{where(row)}: {name} must be true or false (or 1 or 0), found {cells[row]!r}")
    return found


def probabilities(cells: Sequence[Any], name: str, where: Callable[[int], str]) -> list[float]:
    """Numbers in [0, 1], as such or as texts."""
    found = [_number(c) for c in cells]
    odd = [row for row, p in enumerate(found) if not 0 <= p <= 1]  # NaN too
    if odd:
        raise ValueError(
            f"{where(odd[0])}: {name} must be a probability in [0, 1], with a decimal point, in every row, "
            f"found {cells[odd[0]]!r} ({len(odd)} such rows); divide per cent by 100, and leave the column "
            "out where it was not measured"
        )
    return found


def checked_answers(columns: Mapping[str, Sequence], where: Callable[[int], str]) -> dict[str, list]:
    """Of a trace from outside: ids as texts, `correct` as bool, confidences as numbers in [0, 1].

    A confidence that no row has is left as it is; one that only some rows lack is refused.
    """
    made = {
        "question_id": ids(list(columns["question_id"]), where),
        "correct": truths(list(columns["correct"]), "correct", where),
    }
    for name in ("p_t", "p_ik"):
        cells = list(columns.get(name, ()))
        if any(not _absent(c) and str(c).strip() for c in cells):
            made[name] = probabilities(cells, name, where)
    return made


def numbers_or_texts(cells: Sequence[str]) -> list:
    """A CSV's column: numbers where all its cells are, nothing for empty ones, else the texts."""
    found = [_number(c) for c in cells]
    if all(not math.isnan(n) or not c.strip() for n, c in zip(found, cells)):
        whole = all(n.is_integer() for n in found)
        return [None if math.isnan(n) else int(n) if whole else n for n in found]
    return [c or None for c in cells]


def _number(cell: Any) -> float:
    """NaN where it is none."""
    if isinstance(cell, bool) or _absent(cell):
        return math.nan
    try:
        return float(cell) if "_" not in str(cell) else math.nan
    except (TypeError, ValueError):
        return math.nan


def _absent(cell: Any) -> bool:
    return cell is None or cell != cell


def text_of(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path.name}, line {line}: expected a CSV in UTF-8 with a header line, found: {error}; save it "
            'anew as "CSV UTF-8"'
        ) from error


def _first(name: str, text: str, separator: str, first_line: int) -> list[str]:
    """The cells of the first row that has any."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return next(cells for cells in reader if any(c.strip() for c in cells))
    except (csv.Error, StopIteration) as error:
        raise ValueError(f"{name}, line {first_line}: this is no line of a CSV ({error})") from error


def _plain(name: str) -> str:
    name = str(name).strip()
    return name.upper() if len(name) == 1 else name.lower()


def _named(file: str, names: Sequence[str], known: Collection[str]) -> list[str]:
    made = [_plain(n) if _plain(n) in known else str(n).strip() for n in names]
    twice = [n for at, n in enumerate(made) if n and n in made[:at]]
    if twice:
        raise ValueError(f"{file}: the column {twice[0]!r} stands there twice; rename or remove one")
    return made


def _require(file: str, needed: Collection[str], names: Sequence[str]) -> None:
    if missing := set(needed) - set(names):
        raise ValueError(
            f"{file}: needs the columns {', '.join(sorted(needed))}; missing {', '.join(sorted(missing))}; "
            f"found {', '.join(map(str, names))}"
        )


def _short(cells: Sequence[str]) -> list[str]:
    return [c if len(c) <= 40 else c[:37] + "..." for c in cells]
