"""A tiny study in which every verb has work and every noun is there, and the entries that it takes for that."""

from contextlib import contextmanager

import numpy as np
import yaml
from pydantic import Field

from collapselab.adapt import ADAPTERS
from collapselab.adapt.base import Adapter
from collapselab.core.choice import Options
from collapselab.core.needs import ALL, Needs
from collapselab.guides import GUIDES
from collapselab.guides.base import Auxiliary, Guide
from collapselab.models.capabilities import Trainable, Weighted
from collapselab.models.tuning import tuned
from collapselab.select import SELECTORS
from collapselab.select.base import Selection, Selector, ShareOptions
from collapselab.study.loading import check

STUDY = """
name: NAME
seed: SEED
seeds: 2
generations: 2
data: {source: digits, split: {train: 120, held_out: 60, fresh: 20}}
models:
  plain: {ppca: {components: 4, ddof: 1}}
  net: {diffusion: {preset: tiny, channels: 8, blocks: 1, classes: 0, images_seen: 16, batch: 8, steps: 2}}
initial: {real: 20}
samples: 24
grid: 4
extractors: [pixels, {mark: {rows: 8}}]
metrics: [variance_ratio, mark_detection]
primary: {metric: variance_ratio, extractor: pixels}
control: none
yoked: false
too_few: top_up
waive:
  images_seen: nothing is compared here
  init: nothing is compared here
  training_set_size: nothing is compared here
arms:
  drawing: {model: plain, regime: {fully_synthetic: {n: 10}}, sampling_bias: 0.8, select: {random: {share: 0.5}}}
  memory: {model: plain, regime: {k_memory: {fresh: 10, k: 2}}, stream: 1}
  voted: {model: plain, regime: {fully_synthetic: {n: 10}}, stream: 2, select: {vote_of_trial: {share: 0.5}}}
  rings: {model: net, regime: fully_synthetic, mark: {tree_ring: {radius: 2}}}
  pattern: {model: plain, regime: fully_synthetic, stream: 3, mark: {spread_spectrum: {strength: 20}}}
  steered: {model: net, regime: fully_synthetic, stream: 4, guide: {away_of_trial: {weight: 0.5}}}
  adapted:
    model: net
    regime: {fully_synthetic: {init: {from: trained}}}
    stream: 5
    adapt: {more_of_trial: {images_seen: 8}}
"""


class AwayOptions(Options):
    weight: float = Field(gt=0)


def away(seen, at, state, draws, options):
    """Away from what the model's own samples teach."""
    return seen.conditional + options.weight * (seen.conditional - seen.others["own"]), state


def further(options, images_seen):
    return {"own": Auxiliary("own", 8, samples=8), "half": Auxiliary("training", 8)}


class MoreOptions(Options):
    images_seen: int = Field(gt=0)


def more(model, given, options, run):
    """Trained on with its training set, and moved by a little for each ancestor."""
    adapted = tuned(model, given.training, run)
    return adapted.with_weights({name: one + 1e-3 * len(given.ancestors) for name, one in adapted.weights().items()})


def images(options):
    return options.images_seen


def vote(pool, options, seed):
    """The samples with the most votes of yes; of equal ones the first."""
    votes = np.zeros(len(pool.samples))
    for row, answer in zip(pool.ballots.rows, pool.ballots.answers, strict=True):
        votes[row] += answer == "yes"
    kept = np.sort(np.argsort(-votes, kind="stable")[: options.keeps(len(pool.samples))])
    return Selection(kept, votes[kept], ("voted",) * len(kept), "people")


ADDED = (
    (GUIDES, "away_of_trial", Guide(AwayOptions, away, ("conditional",), further)),
    (ADAPTERS, "more_of_trial", Adapter(MoreOptions, more, images, (Trainable, Weighted), Needs(ancestors=ALL))),
    (SELECTORS, "vote_of_trial", Selector(ShareOptions, vote, Needs(ballots=True, model=True))),
)


@contextmanager
def entries():
    """What the study names is in its registry while this lasts: other tests read whole registries."""
    for registry, name, entry in ADDED:
        registry[name] = entry
    try:
        yield
    finally:
        for registry, name, _ in ADDED:
            del registry[name]


def study_of(name="whole", seed=0):
    """The study, while its entries are there. seed: of the study."""
    found, faults = check(yaml.safe_load(STUDY.replace("NAME", name).replace("SEED", str(seed))), name)
    assert not faults, faults
    return found
