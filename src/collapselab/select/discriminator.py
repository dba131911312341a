"""Keeping what the discriminator takes for real: the other half of a model that was trained against one."""

from typing import Literal

from pydantic import Field

from .base import Pool, Selection, ShareOptions
from .ranking import best, nothing


class DiscriminatorOptions(ShareOptions):
    """Which end is kept."""

    end: Literal["real", "fake"] = Field("real", description="keep what looks most real to it, or most made up")


def discriminator(pool: Pool, options: DiscriminatorOptions, seed: int) -> Selection:
    """The samples that the discriminator of their own generation's model takes for the most real.

    scores: its logit of being real, log D / (1 - D), which for the best discriminator is log p_data / p_model
    (Goodfellow et al. 2014, arXiv 1406.2661, proposition 1); it saw the training set of that generation, so that what
    it takes for real are the samples of earlier generations, too. Raises ValueError for a model whose discriminator is
    not known, as that of published weights may not be.
    """
    if not len(pool):
        return nothing("discriminator")
    logits = pool.model.realness(pool.samples.data, pool.samples.labels)
    sign = 1 if options.end == "real" else -1
    found = best(sign * logits, options.keeps(len(pool)), f"most {options.end}", "discriminator")
    return Selection(found.rows, logits[found.rows], found.reasons, found.judge)
