"""Tables that fit the terminal."""

import re
import shutil
import textwrap
from collections.abc import Callable, Sequence

GAP = "  "
NUMBERS = re.compile(r"[-+]?\d|none$|$")
"""Cells that are not wrapped, so that numbers and intervals stay complete."""


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, optional: Sequence[str] = (), width: int | None = None
) -> str:
    """Return a table as text. Columns of numbers are aligned to the right.

    If it is too wide, columns are left out, then texts are wrapped between words. If it is still too wide, each row
    becomes a list of its cells. optional: headings of columns that may be left out, in this order. width: in
    characters; by default that of the terminal, or 80.
    """
    width = width or shutil.get_terminal_size().columns
    columns = list(zip(head, *rows, strict=True))
    for heading in optional:
        if _total([_longest(column, str) for column in columns]) > width:
            columns = [column for column in columns if column[0] != heading]
    widths, least = (
        [_longest(column, str) for column in columns],
        [_longest(column, _widest_word) for column in columns],
    )
    if _total(least) > width:
        return "\n\n".join(_listed(columns, row, width) for row in range(1, len(rows) + 1))
    while _total(widths) > width:
        widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=widths.__getitem__)
        widths[widest] -= 1
    numeric = [all(map(NUMBERS.match, column[1:])) and any(column[1:]) for column in columns]
    lines = []
    for row in range(len(rows) + 1):
        cells = [_wrap(column[row], size) for column, size in zip(columns, widths, strict=True)]
        for number in range(max(map(len, cells))):
            pieces = [cell[number] if number < len(cell) else "" for cell in cells]
            aligned = (
                piece.rjust(size) if right else piece.ljust(size)
                for piece, size, right in zip(pieces, widths, numeric, strict=True)
            )
            lines.append(GAP.join(aligned).rstrip())
    return "\n".join(lines)


def _listed(columns: Sequence[Sequence[str]], row: int, width: int) -> str:
    """Return the cells of a row, one in each line, below the first."""
    lines = _wrap(columns[0][row], width)
    for column in columns[1:]:
        if column[row]:
            lines += _wrap(f"{column[0]}: {column[row]}", width, "  ")
    return "\n".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _longest(column: Sequence[str], part: Callable[[str], str]) -> int:
    return max(len(part(cell)) for cell in column)


def _widest_word(cell: str) -> str:
    return cell if NUMBERS.match(cell) else max(cell.split(), key=len)


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    if len(indent + text) <= width:
        return [indent + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )
