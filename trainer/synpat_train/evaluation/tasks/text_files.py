"""Reading of the text files of data sets: CSV, lists and JSON. Every error names the file, the line and the remedy."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synpat_shards import InputError, some


def read_text(path: Path) -> str:
    """Read a text in UTF-8, with or without a byte order mark.

    Raises InputError that names the line of the first byte which is not UTF-8.
    """
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is in UTF-16: save it in UTF-8")
    try:
        text, bad = data.decode("utf-8-sig"), data.find(b"\0")
    except UnicodeDecodeError as fault:
        text, bad = "", fault.start
    if bad >= 0:
        line = data.count(b"\n", 0, bad) + 1
        raise InputError(f"{path}, line {line}, is not in UTF-8: it has the byte {data[bad]:#04x}. Save it in UTF-8")
    return text


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the content of each line of a text that is not blank."""
    for number, line in enumerate(io.StringIO(read_text(path), newline=None), 1):
        if line.strip():
            yield number, line.strip()


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises InputError if it is not valid."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as fault:
        raise InputError(f"{path}, line {fault.lineno}, is not valid JSON: {fault.msg}") from None


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    path: Path
    header: Sequence[str]
    """Names of the columns."""
    lines: Sequence[tuple[int, Sequence[str]]]
    """Number of the line and fields of each row."""

    def rows(self, *columns: str) -> list[dict[str, str]]:
        """Return the fields of each row by column. Missing fields at the end of a row are empty.

        columns: names that the header must have, each once. Raises InputError that names the line of a row with more
        fields than columns.
        """
        if missing := [column for column in columns if column not in self.header]:
            commas = " Columns must be separated by commas." if len(self.header) == 1 else ""
            raise InputError(
                f"{self.path} has no column {' and no column '.join(missing)}; it has {some(self.header, 20)}.{commas}"
            )
        if repeated := [column for column in columns if self.header.count(column) > 1]:
            raise InputError(f"{self.path} has the column {repeated[0]} more than once: rename one of them")
        return [self._row(line, fields) for line, fields in self.lines]

    def _row(self, line: int, fields: Sequence[str]) -> dict[str, str]:
        if any(fields[len(self.header) :]):
            raise InputError(
                f"{self.path}, line {line}, has {len(fields)} fields instead of {len(self.header)}: put fields that "
                "contain commas in quotes"
            )
        return dict(zip(self.header, [*fields, *[""] * len(self.header)], strict=False))


def read_csv(path: Path) -> Table:
    """Read a CSV file with a header.

    Raises InputError that names the line of a field with several lines or without an end: usually a quote is missing,
    and the field has swallowed rows.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    lines, start = [], 1
    try:
        for fields in reader:
            if reader.line_num > start:
                raise InputError(_unbalanced(path, start, f"has a field of {reader.line_num - start + 1} lines"))
            lines.append((start, fields))
            start = reader.line_num + 1
    except csv.Error as fault:
        raise InputError(_unbalanced(path, start, f"is not valid CSV ({fault})")) from None
    header, *rows = [(line, fields) for line, fields in lines if fields] or [(1, [])]
    if not header[1]:
        raise InputError(f"{path} is empty")
    return Table(path, [name.strip() for name in header[1]], rows)


def _unbalanced(path: Path, line: int, fault: str) -> str:
    return f"{path}, line {line}, {fault}: check its quotes, and remove line breaks from fields"
