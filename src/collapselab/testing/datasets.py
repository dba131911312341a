"""The laws of data sets."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from ..core.kinds import KINDS
from ..core.sequences import Vocabulary, check_tokens
from ..data import DATASETS
from ..data.base import Dataset, tally
from ..data.digest import digest
from ..data.resize import resize
from ..data.rights import Rights
from .said import law, named, refused, same

NOWHERE = Path("there is no such place")
SIDE = 5  # pixels


def check_dataset(dataset: Dataset, images: np.ndarray | None = None, labels: np.ndarray | None = None) -> None:
    """Hold a data set to its contract (:class:`~collapselab.data.base.Dataset`), by one that is there to be read.

    What ``count`` and ``shape`` say without decoding is what ``load`` gives; reading twice gives the same, and the
    lineage is enough to read it again; images come to another resolution as they say; a place where nothing lies is a
    fault that begins with its field, and so is a pipe, which nobody reads; unknown options are refused.

    dataset: small, with something to read. images: (N, C, H, W) uint8, or data of the kind that it ``gives``, that
    have to be read, labels: (N,) their labels; None where nobody can say. Raises AssertionError for the first law
    that is broken.
    """
    name, kind = dataset.source, type(dataset)
    law(isinstance(dataset, Dataset), f"{name}: it is no data.base.Dataset")
    law(name not in DATASETS or DATASETS[name] is kind, f"{name}: its source is the name of another data set")
    law(kind.__doc__, f"{name}: its class has no docstring")
    law(getattr(kind, "citation", ""), f"{name}: its citation has to say whose data it is")
    law(isinstance(dataset.rights(), Rights), f"{name}: its rights are no data.rights.Rights")
    unsaid = [field for field, one in kind.model_fields.items() if field != "source" and not one.description]
    law(not unsaid, f"{name}: the fields {named(unsaid)} have no description")
    faults = dataset.check()
    gives = kind.gives
    law(gives in KINDS, f"{name}: it gives {gives!r}, allowed are {named(KINDS)}")
    law(faults == [], f"{name}: check says of what is there: {'; '.join(map(str, faults))}")
    _check_what_is_planned(dataset)
    _check_what_is_read(dataset, images, labels)
    if gives == "images":
        _check_resolution(dataset)
    _check_refusals(dataset)


def _check_what_is_planned(dataset: Dataset) -> None:
    """Hold that what every job asks of a study's data does not read the samples."""
    kind = type(dataset)

    def read(self: Dataset) -> None:
        raise AssertionError(f"{dataset.source}: a plan has read all samples; asked are headers, lengths and labels")

    own = kind.__dict__.get("read")
    kind.read = read
    try:
        dataset.check(), dataset.at_most(), dataset.shape(), dataset.label_counts(), dataset.fingerprint()
    finally:
        if own is None:
            del kind.read
        else:
            kind.read = own


def _check_what_is_read(dataset: Dataset, images: np.ndarray | None, labels: np.ndarray | None) -> None:
    name, samples = dataset.source, dataset.load()
    data = samples.data
    gives = dataset.gives
    law(
        KINDS[gives].holds(data),
        f"{name}: it read {data.dtype} of shape {data.shape}, asked are {gives}",
    )
    law(
        (dataset.vocabulary is None) == (gives != "sequences"),
        f"{name}: a vocabulary is what sequences have, and no other",
    )
    if gives == "sequences":
        law(Vocabulary.of(samples.lineage) == dataset.vocabulary, f"{name}: the lineage tells of another vocabulary")
        check_tokens(data, dataset.vocabulary.size, name)
    law(dataset.count() == len(data), f"{name}: count says {dataset.count()}, load read {len(data)} images")
    law(
        dataset.at_most() >= len(data),
        f"{name}: at_most says {dataset.at_most()}, load read {len(data)}: it has to be as many or more",
    )
    law(isinstance(dataset.summary(), str), f"{name}: its summary is no text")
    law(
        tuple(dataset.shape()) == data.shape[1:],
        f"{name}: shape says {dataset.shape()}, load read images of shape {data.shape[1:]}",
    )
    if samples.labels is not None:
        law(
            samples.labels.dtype == np.int64 and samples.labels.shape == (len(data),),
            f"{name}: labels are {samples.labels.dtype} of shape {samples.labels.shape}, asked are int64, one an image",
        )
        law(samples.labels.min() >= 0, f"{name}: a label is {samples.labels.min()}, allowed are numbers from 0 up")
    most = 0 if samples.labels is None else int(samples.labels.max()) + 1
    law(
        dataset.labelled() >= most and (most > 0 or not dataset.labelled()),
        f"{name}: labelled says {dataset.labelled()} classes, load read labels of {most}",
    )
    counts = dataset.label_counts()
    there = None if samples.labels is None else tally(samples.labels)
    law(counts in (None, there), f"{name}: label_counts says {counts}, load read {there}")
    law(images is None or same(data, images), f"{name}: it read other images than those that were written")
    law(
        labels is None or np.array_equal(samples.labels, labels),
        f"{name}: it read the labels {samples.labels}, written were {labels}",
    )
    law(digest(dataset.load()) == digest(samples), f"{name}: read twice it is not the same")
    law(dataset.fingerprint() == dataset.fingerprint(), f"{name}: its fingerprint changes from one look to the next")
    said = json.loads(json.dumps(dict(samples.lineage)))
    law(said.get("source") == name, f"{name}: the lineage says the source {said.get('source')!r}")
    again = type(dataset)(**said["options"])
    kept = {field: getattr(again, field) for field in dataset.model_fields_set}
    law(
        kept == {field: getattr(dataset, field) for field in kept},
        f"{name}: the options of its lineage make another data set, {again!r}",
    )
    law(digest(again.load()) == digest(samples), f"{name}: read again as its lineage says it is not the same")


def _check_resolution(dataset: Dataset) -> None:
    name, kind, stored = dataset.source, type(dataset), dataset.load().data
    for method in ("area", "lanczos"):
        small = kind(**dataset.model_dump() | {"resolution": SIDE, "resize": method})
        found = small.load()
        law(
            tuple(small.shape()) == found.data.shape[1:] == (stored.shape[1], SIDE, SIDE),
            f"{name}: at a resolution of {SIDE} it read images of shape {found.data.shape[1:]}",
        )
        if dataset.resolution is None:
            law(
                same(found.data, resize(stored, SIDE, method)),
                f"{name}: images are not resized by {method!r} as it says",
            )
        said = found.lineage["options"]
        law((said["resolution"], said["resize"]) == (SIDE, method), f"{name}: the lineage does not say the resolution")


def _check_refusals(dataset: Dataset) -> None:
    name, kind, options = dataset.source, type(dataset), dataset.model_dump()
    of_images = [{"resolution": 0}, {"resolution": "small"}, {"resize": "nearest"}]
    for wrong in ({"shuffle": True}, {"source": "x"}, *(of_images if "resolution" in kind.model_fields else [])):
        refused(
            lambda wrong=wrong: kind(**options | wrong),
            next(iter(wrong)),
            f"{name}: the option {wrong}",
            ValidationError,
        )
    places = [field for field, value in dataset if isinstance(value, Path)]
    for field in places:
        missing = kind(**options | {field: NOWHERE})
        faults = missing.check()
        law(
            faults and all(fault.startswith(f"{field}: ") for fault in faults) and str(NOWHERE) in faults[0],
            f"{name}: where nothing lies check says {faults!r}; asked is a message that begins with '{field}: ' and "
            "has the place in it",
        )
        for read in (missing.load, missing.count):
            refused(read, str(NOWHERE), f"{name}: {read.__name__} where nothing lies")
        with _endless() as pipe:
            law(
                any(str(pipe) in fault for fault in kind(**options | {field: pipe}).check()),
                f"{name}: check has to say that a pipe is neither a file nor a folder, by its name, and not to read it",
            )


@contextmanager
def _endless() -> Iterator[Path]:
    """A pipe, whose reader waits for ever."""
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(pipe := Path(folder) / "pipe")
        yield pipe
