"""Tables' HTML, as a reader needs it: headers that a screen reader can follow, words and numbers on one line,
and on a phone a block for each row where a table is wider than it.
"""

from __future__ import annotations

import re
from copy import copy

from bs4 import BeautifulSoup
from bs4.element import Tag

WHOLE = re.compile(
    r"\[[^\]]{1,38}\]|^(?=.{1,18}$)\S+( → \S+)+|\S*\w-\S{1,38}|[+-]\d\S*"
)  # intervals, names with a hyphen, signed numbers
SHORT = re.compile(r"(?<!\S)(?:[\w.]{1,8}-[\w.:]{1,8}|\(?[+-]\d[\d.]*)(?!\S)")  # of these, in prose
ONE = r"[-+]?\d[\d.,]*(?:e[-+]\d+)?%?"
NUMBER = re.compile(rf"–|nan|{ONE}|(?:{ONE} )?\[{ONE}, {ONE}\]")  # an estimate, its interval, or both
NOTHING = "<tbody><tr><td>Nothing of it is known of these models.</td></tr></tbody>"
COLUMN, CHARACTER, PADDING = 640, 9, 17  # pixels: the page's text, a table's letter, around a cell
PHONE = 300, 7.5, 11  # the same on a phone


def tidy(html: str) -> tuple[str, str]:
    """A pandas table's HTML with one row of headers where two say the same, scopes, and no style of its own.

    Returns:
        The table, and the text of its caption, which is taken out.
    """
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style"):
        style.decompose()
    caption = soup.find("caption")
    title = caption.extract().get_text() if caption else ""
    for table in soup.find_all("table"):
        table.attrs = {"class": "table"}
        if not table.find("tr"):  # of models that lack what it is made of
            table.append(BeautifulSoup(NOTHING, "html.parser"))
        for part in table.find_all(["tr", "th", "td"]):
            part.attrs = {k: v for k, v in part.attrs.items() if k in ("rowspan", "colspan")}
        _join_headers(table)
        for cell in table.find_all(["th", "td"]):
            if cell.name == "th":
                cell["scope"] = "col" if cell.find_parent("thead") else "row"
            said = cell.get_text(strip=True)
            if NUMBER.fullmatch(said):
                cell["class"] = "number"
            elif len(said) > 40:
                cell["class"] = "sentence"
            _keep_whole(soup, cell)
        _notes_below(soup, table)
        _drop_empty(table)
    return str(soup), title


def _notes_below(soup: BeautifulSoup, table: Tag) -> None:
    """Columns of sentences beside many others become notes under the table, numbered at their rows."""
    head, *body = (row.find_all(["th", "td"]) for row in table.find_all("tr"))
    if len(head) < 5 or any(len(row) != len(head) for row in body):
        return
    notes: list[str] = []
    for i in [i for i in range(1, len(head)) if any("sentence" in row[i].get("class", "") for row in body)]:
        for row in body:
            if (said := row[i].get_text(" ", strip=True)) and said != "–":
                note = f"{head[i].get_text(strip=True)}: {said}"
                notes += [] if note in notes else [note]
                mark = soup.new_tag("sup", string=f" {notes.index(note) + 1}")
                row[0].append(mark)
        for row in (head, *body):
            row[i].decompose()
    if notes:
        below = soup.new_tag("ol", attrs={"class": "table-notes"})
        below.extend(soup.new_tag("li", string=note) for note in notes)
        table.insert_after(below)


def _drop_empty(table: Tag) -> None:
    """A column without a word in any row, as notes that no method needs, is left out."""
    head, *body = (row.find_all(["th", "td"]) for row in table.find_all("tr"))
    if body and all(len(row) == len(head) for row in body):
        for cells in zip(head, *body):
            if not any(cell.get_text(strip=True) for cell in cells[1:]):
                for cell in cells:
                    cell.decompose()


def is_wide(html: str, column: int = COLUMN, character: float = CHARACTER, padding: int = PADDING) -> bool:
    """Whether a table's longest words, side by side, take more room than the page's text has, in pixels."""
    longest: dict[int, int] = {}
    for row in BeautifulSoup(html, "html.parser").find_all("tr"):
        for i, cell in enumerate(row.find_all(["th", "td"])):
            whole = [span.extract().get_text() for span in cell.find_all(class_="whole")]
            longest[i] = max([longest.get(i, 0), *map(len, [*whole, *cell.get_text().split()])])
    return sum(character * n + padding for n in longest.values()) > column


def stack(html: str) -> str:
    """A table too wide for a phone, marked to stand there as one block a row, each cell beside its heading.

    Cells are counted from the right: headers that span rows are missing on the left. There they are repeated,
    and what says nothing is left out: empty cells, dashes, and row numbers that nobody named.
    """
    if not is_wide(html, *PHONE):
        return html
    soup = BeautifulSoup(html, "html.parser")
    rows = soup.find_all("tr")
    heads = len(soup.thead.find_all("tr")) if soup.thead else 1
    head = [cell.get_text(" ", strip=True) for cell in rows[heads - 1].find_all(["th", "td"])]
    _repeat_spanning(rows)
    for row in rows[heads:]:
        for cell, name in zip(reversed(row.find_all(["th", "td"])), reversed(head)):
            said = cell.get_text(strip=True)
            if name:
                cell["data-label"] = name
            if said in ("", "–") or (cell.name == "th" and not name and said.isdigit()):
                cell["class"] = [*cell.get_attribute_list("class", []), "nothing"]
            if cell.name == "td":  # one box beside the heading, whatever it is made of
                value = soup.new_tag("div", attrs={"class": "value"})
                value.extend(list(cell.contents))
                cell.append(value)
    soup.table["class"] = [*soup.table.get("class", []), "stacked"]
    return str(soup)


def _repeat_spanning(rows: list[Tag]) -> None:
    """Row headers that span rows, once more in each of these, hidden until the rows stand by themselves."""
    for at, row in enumerate(rows):
        for place, header in enumerate(row.find_all("th")):
            for below in rows[at + 1 : at + int(header.get("rowspan", 1))]:
                again = copy(header)
                del again["rowspan"]
                again["hidden"] = ""
                below.insert(place, again)


def _join_headers(table: Tag) -> None:
    """pandas prints the index's name in a row of its own: it goes into the empty corner above it."""
    rows = table.thead.find_all("tr") if table.thead else []
    if len(rows) < 2:
        return
    above, below = (row.find_all("th") for row in rows[-2:])
    names = [c for c in below if c.get_text(strip=True)]
    corner = above[: len(names)]
    if (
        below[: len(names)] == names
        and len(corner) == len(names)
        and not any(c.get_text(strip=True) for c in corner)
    ):
        for empty, name in zip(corner, names):
            empty.string = name.get_text(strip=True)
        rows[-1].decompose()


def keep_names(html: str) -> str:
    """A table of the prose, its short names and signed numbers on one line as in those that cells print."""
    if 'class="whole"' in html:
        return html
    soup = BeautifulSoup(html, "html.parser")
    for cell in soup.find_all(["th", "td"]):
        _keep_whole(soup, cell, SHORT)
    return str(soup)


def _keep_whole(soup: BeautifulSoup, cell: Tag, pattern: re.Pattern = WHOLE) -> None:
    """No line break within `[70.9%, 75.6%]`, `atlas-s` or `3B → 8B → 70B`."""
    for text in list(cell.find_all(string=True)):
        parts, at = [], 0
        for match in pattern.finditer(text):
            whole = soup.new_tag("span", attrs={"class": "whole"})
            whole.string = match[0]
            parts += [text[at : match.start()], whole]
            at = match.end()
        if parts:
            text.replace_with(*parts, text[at:])
