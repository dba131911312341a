"""Cards of a generation, as Markdown: what its model is, and what it was trained on."""

from collections.abc import Mapping
from typing import Any

Record = Mapping[str, Any]


def model_card(record: Record, options: Mapping[str, Any]) -> str:
    """What the model of a generation is: how it was made, and what was measured of it (Mitchell et al. 2018).

    options: the arm's, flat. arXiv:1810.03993.
    """
    of_model = {name: value for name, value in options.items() if name == "family" or name.startswith("model.")}
    others = {name: value for name, value in options.items() if name not in of_model}
    where = ("metric", "extractor", "set")
    measured = [[*(one[name] for name in where), _number(one["value"])] for one in record["values"]]
    parts = [
        f"# Model of {_place(record)}",
        "Trained in an experiment on models that learn from their own samples. It is meant for measuring what becomes "
        "of them, and for no other use.",
        f"Status: {record['status']}. SHA-256 of the model: {_hash(record, 'model')}.",
        "## The model",
        _table(["option", "value"], of_model.items()),
        "## Its arm",
        _table(["option", "value"], others.items()),
        "## What was measured of it",
        _table(["metric", "features", "samples", "value"], measured),
    ]
    return "\n\n".join(parts) + "\n"


def data_card(record: Record, data: str) -> str:
    """What the training set of a generation is: its sources with their numbers of rows (Gebru et al. 2018).

    data: a line on the real data. arXiv:1803.09010.
    """
    eaten = list(record.get("composition") or ())
    total = sum(part["count"] for part in eaten)
    real = sum(part["count"] for part in eaten if part["arm"] in ("fixed", "fresh", "redrawn"))
    rows = [[_source(part), part["generation"], f"{part['count']:,}"] for part in eaten]
    parts = [
        f"# Training set of {_place(record)}",
        f"{total:,} rows, of which {real:,} are real and {total - real:,} are samples of models.",
        _table(["source", "generation", "rows"], rows),
        f"Real data: {data or 'not told'}.",
        f"SHA-256 of the table that names each row: {_hash(record, 'training')}.",
    ]
    return "\n\n".join(parts) + "\n"


def _place(record: Record) -> str:
    return f"{record['study']}: {record['arm']}, seed {record['seed']}, generation {record['generation']}"


def _source(part: Mapping[str, Any]) -> str:
    real = part["arm"] in ("fixed", "fresh", "redrawn")
    return f"real, {part['arm']}" if real else f"samples of {part['arm']}"


def _hash(record: Record, noun: str) -> str:
    return (record.get("lineage") or {}).get(noun, "not recorded")


def _number(value: float | None) -> str:
    return "not determined" if value is None else f"{value:.6g}"


def _table(columns: list[str], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in line)} |" for line in lines)
