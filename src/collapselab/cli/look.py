"""What lies at a place, before anything is measured or trained."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ..data.pictures import Pictures
from ..measure import pools

app = typer.Typer(rich_markup_mode=None)


@app.command()
def look(
    path: Annotated[Path, typer.Argument(help=f"what is looked at: {pools.READABLE}")],
) -> None:
    """Say what a folder, zip or array holds: what is read, what is passed over and why.

    Of labelled pictures it says which label is which folder, and how many there are; all pictures are decoded once.
    """
    dataset = pools.dataset_at(path)
    if dataset is None:
        print(f"{path}: {pools.read(path).said}")
        return
    if faults := dataset.check():
        dataset = pools.dataset_at(path, labels="ignore")
        dataset.require()  # of what is wrong with more than labels nothing is said
        print(f"labels cannot be read: {'; '.join(faults)}")
    found = dataset.listing()
    print(f"{path}: {found.said}")
    if found.labels is not None:
        counts = Counter(found.labels)
        labels = range(len(found.classes)) if found.classes else sorted(counts)
        print("\n".join(f"  label {label}: {counts[label]} images{_folder(found.classes, label)}" for label in labels))
    for line in _stored(dataset, found.names):
        print(f"  {line}")


def _folder(classes: list[str], label: int) -> str:
    return f" of {classes[label]}/" if classes else ""


def _stored(dataset: Pictures, names: list[str]) -> list[str]:
    """How the pictures are stored, after each was decoded. Raises ValueError that names each that cannot be read."""
    pictures = pools.Pictures(dataset, names)
    pictures.survey()
    kinds = dataset.kinds(names)
    sizes = sorted({shape[1:] for shape in pictures.shapes}, key=lambda side: side[0] * side[1])
    sides = " to ".join(dict.fromkeys(" x ".join(map(str, side)) for side in (sizes[0], sizes[-1])))
    told = ["grey" if dataset.depth(names) == 1 else "colour", f"{sides} pixels (height x width)"]
    return [f"{', '.join(f'{many} {kind}' for kind, many in sorted(kinds.items()))}; {'; '.join(told)}"]
