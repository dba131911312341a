"""The laws of known truths."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import chdtrc

from ..core.ask import Ask
from ..core.kinds import KINDS
from ..models.capabilities import Judges, Knows
from ..models.options import Options
from ..populations import POPULATIONS
from .asking import check_moments, check_refusals, check_samples
from .said import entry_of, law, named

DRAWS = 50_000
ERRORS = 4.5  # standard errors: of some hundred comparisons with fixed seeds none should be this far off by chance
LEAST = 5  # draws that a cell is expected to have, or it is counted with others: Pearson's statistic is of large counts


def check_population(population: Any, options: Mapping[str, Any] | None = None) -> None:
    """Hold a known truth to its contract (:class:`~collapselab.populations.base.Population`).

    Draw i depends on the seed and on i alone, and is of the kind that it gives; its options survive JSON; what it
    cannot be asked for is refused. One that Knows its moments has those of 50 000 draws, and one that Judges calls its
    own draws possible, hits each cell as often as its mass says, and calls impossible what is not finite or far away.

    population: the class, or its name in the registry. options: those of its ``PopulationOptions`` with which it is
    tried; None takes the defaults. Raises AssertionError for the first law that is broken.
    """
    name, kind = entry_of(population, POPULATIONS)
    law(kind.gives in KINDS, f"{name}: it gives {kind.gives!r}, allowed are {named(KINDS)}")
    law(issubclass(kind.PopulationOptions, Options), f"{name}: its PopulationOptions are no models.options.Options")
    law(kind.__doc__, f"{name}: its class has no docstring")
    said = kind.PopulationOptions.model_validate(dict(options or {}))
    again = kind.PopulationOptions.model_validate(json.loads(json.dumps(said.model_dump(mode="json"))))
    law(again == said, f"{name}: options that went through JSON are {again!r}, they were {said!r}")
    truth = kind.population(said)
    law(truth.options == said, f"{name}: its options are not those that it was made with")
    check_samples(name, truth, kind.gives)
    check_refusals(name, truth)
    if isinstance(truth, Knows):
        check_moments(name, truth, DRAWS, ERRORS)
    if isinstance(truth, Judges):
        _check_cells(name, truth)
        _check_what_is_impossible(name, truth)


def _check_cells(name: str, truth: Any) -> None:
    """Hold that the cells are hit as often as their masses say."""
    masses = truth.masses
    law(masses.dtype == np.float64 and masses.ndim == 1, f"{name}: masses are {masses.dtype}, asked are (K,) float64")
    law((masses > 0).all(), f"{name}: a cell has no mass; one that never occurs is impossible, and no cell")
    law(masses.sum() <= 1 + 1e-12, f"{name}: masses add up to {masses.sum()}, allowed is 1 at most")
    found = truth.judge(truth.sample(Ask(DRAWS, 3)).data)
    law(
        found.possible.dtype == bool and found.cell.dtype == np.int64,
        f"{name}: judge gave {found.possible.dtype} and {found.cell.dtype}, asked are bool and int64",
    )
    law(
        np.array_equal(found.cell >= 0, found.possible),
        f"{name}: a cell is -1 where a sample is impossible, and only there",
    )
    law(found.cell.max() < len(masses), f"{name}: judge gave cell {found.cell.max()}, there are {len(masses)}")
    counts = np.bincount(found.cell[found.possible], minlength=len(masses))
    law(
        agree(counts, masses),
        f"{name}: of {DRAWS} draws {found.possible.sum()} are possible, in cells as {counts[:8].tolist()}...; its "
        f"masses ask for {DRAWS * masses.sum():.0f}, as {(DRAWS * masses[:8]).round().astype(int).tolist()}...",
    )


def agree(counts: np.ndarray, masses: np.ndarray) -> bool:
    """Whether counts of DRAWS draws go with masses: each within 4.5 errors, and all together by Pearson's chi squared.

    What falls into no cell is one more part. Parts that expect fewer than 5 draws are one part together, since the
    statistic is chi squared of large counts only; where nothing is expected nothing may be.
    """
    counts = np.append(counts, DRAWS - counts.sum())
    expected = DRAWS * np.append(masses, max(1 - masses.sum(), 0.0))
    small = expected < LEAST
    counts = np.append(counts[~small], counts[small].sum())
    expected = np.append(expected[~small], expected[small].sum())
    if not (np.abs(counts - expected) <= ERRORS * np.sqrt(expected) + (ERRORS if expected[-1] > 1e-6 else 0)).all():
        return False  # a Poisson number of a small expectation has a longer tail than its error says
    large = expected >= LEAST
    statistic = (np.square(counts - expected)[large] / expected[large]).sum()
    return bool(1e-4 < chdtrc(max(large.sum() - 1, 1), statistic) < 1 - 1e-4)


def _check_what_is_impossible(name: str, truth: Any) -> None:
    if truth.gives == "images":
        odd = np.stack([np.full(truth.shape, grey, np.uint8) for grey in (0, 255)])
    elif truth.gives == "categories":
        odd = np.array([-1, 10**6])
    elif truth.gives == "sequences":
        odd = np.repeat(truth.sample(Ask(1, 0)).data, 3, axis=0)
        odd[0, 0], odd[1, -1], odd[2] = -1, 10**6, 2**31 - 1
    else:
        odd = np.repeat(truth.sample(Ask(1, 0)).data, 4, axis=0)
        rows = odd.reshape(4, -1)
        rows[:, 0] = np.nan, np.inf, -np.inf, 1e30
        rows[1:, -1] = 3.0  # no label, no place, no momentum, and too loud
    found = truth.judge(odd)
    law(
        not found.possible.any() and (found.cell == -1).all(),
        f"{name}: what is not finite, far away, or blank is called possible: {found.possible.tolist()}",
    )
