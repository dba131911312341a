"""Rounds of judging for tests: a small pool of images, opened in a folder, and people who are invited to it."""

import numpy as np
import pytest

for needed in ("fastapi", "multipart", "sqlalchemy", "uvicorn"):
    pytest.importorskip(needed, reason="needs collapselab[judge]")

from sqlalchemy import select  # noqa: E402

from collapselab import store  # noqa: E402
from collapselab.core.sets import SampleSet  # noqa: E402
from collapselab.judge import database, panel, rounds  # noqa: E402
from collapselab.judge.examples import Example  # noqa: E402
from collapselab.select.judging import Judging  # noqa: E402

SIDE = 16
SMALL = {"judges": 2, "per_judge": 40, "gate": {"questions": 10, "right": 8}}


def images(count, seed=0):
    """(count, 1, SIDE, SIDE) uint8 smooth blobs on a dark ground, each at a place of its own."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    places = draws.uniform(4, SIDE - 4, (count, 2))
    widths = draws.uniform(2, 4, count)
    square = (y - places[:, :1, None]) ** 2 + (x - places[:, 1:, None]) ** 2
    return (40 + 180 * np.exp(-square / (2 * widths[:, None, None] ** 2))).astype(np.uint8)[:, None]


class Round:
    """A study ``faces`` with one arm ``people``, whose database and images lie in a folder."""

    study, arm = "faces", "people"

    def __init__(self, folder, samples=80, generations=1, url=None, **options):
        self.folder, self.generations = folder, generations
        self.options = Judging.model_validate(SMALL | options)
        self.engine = database.opened(url or f"sqlite:///{folder / 'judging.db'}")
        self.real = images(120, seed=1)
        self.samples = samples
        self.open(0)

    def pool(self, generation, seed=0):
        """The pool of a generation, written down."""
        path = self.folder / f"seed{seed}-gen{generation}.safetensors"
        if not path.exists():
            store.write_samples(path, SampleSet(images(self.samples, seed=2 + generation + 100 * seed)))
        export = self.folder / "ballots" / f"seed{seed}" / f"gen{generation}.parquet"
        return rounds.Pool(self.study, self.arm, seed, generation, path, export, 1, self.generations, 1)

    def open(self, generation):
        """The number of a new round."""
        return rounds.open_round(self.engine, self.pool(generation), lambda: self.real, self.options, self.folder)

    def invite(self, count=1):
        """People with their links."""
        with database.writing(self.engine) as connection:
            return panel.invite(connection, self.study, self.arm, self.options.judges, count)

    def rounds(self, **which):
        """The rounds that there are."""
        with self.engine.connect() as connection:
            return rounds.rounds_of(connection, self.study, **which)


def right_answers(held):
    """The right answer to every picture of the training screen, by its name."""
    with held.engine.connect() as connection:
        rows = connection.execute(select(database.images.c.word, database.images.c.about)).all()
    return {word: Example(None, about).answer for word, about in rows if word}
