"""Tables as CSV, that a spreadsheet shows and does not run."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # what begins so is computed by spreadsheets when they open a table
BadTable = csv.Error  # what csv_rows raises of some texts that are none
UNSHOWN = "'"  # before such a text: it is then one, and most programs do not show the sign


def neutral(value: Any) -> Any:
    """A value as a cell: a text that a spreadsheet would take for a formula gets a ' before it; others stay.

    Lines within a text end with a newline: of other ends some programs make a new row.
    """
    if not isinstance(value, str):
        return value
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return f"{UNSHOWN}{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()


def csv_rows(text: str) -> list[dict[str, str]]:
    """The rows of such a text, each by the columns' names."""
    return list(csv.DictReader(text.splitlines()))


def write_csv(stream: TextIO, columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    """Write a line of the columns' names, and one for each row, each with its end; nothing stands where there is None.

    stream: opened with ``newline=""``, which leaves ends of lines as they are.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(neutral, columns))
    writer.writerows(map(neutral, row) for row in rows)


def csv_text(columns: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """The same as a text."""
    stream = io.StringIO()
    write_csv(stream, columns, rows)
    return stream.getvalue()
