"""Real sequences of which the predictable tokens are drawn again: token editing."""

from dataclasses import replace

import numpy as np
from pydantic import Field

from ..core import seeds
from ..core.choice import Options
from ..core.run import Run
from ..core.sets import SampleSet, TrainingSet
from ..models.ngram import NGram, NGramOptions
from ..models.tokens import drawn, sharpened
from .base import Given

PARTNERS = "partners"


class EditOptions(Options):
    """Which tokens are drawn again, and by what."""

    above: float = Field(
        0.99, ge=0, le=1, description="tokens are drawn again that the editor gives such a probability or more; 0: all"
    )
    order: int = Field(4, ge=1, le=8, description="tokens that the editor looks at together: it counts the samples")
    alpha: float = Field(0.1, gt=0, allow_inf_nan=False, description="rows added to every token after every context")
    top_k: int | None = Field(8, ge=1, description="likeliest tokens that are drawn from; null: all")


def edit(given: Given, options: EditOptions, seed: int) -> SampleSet:
    """Real sequences in which a token is drawn again wherever the editor is sure of it; all others stay.

    x_i' = x_i if q(x_i | x_1 .. x_i-1) < above, else a draw of the top-k law of q(. | x_1 .. x_i-1)

    Zhu et al. 2024 (arXiv 2412.14689, eq. 6, there .99 and top-8): human text is edited by a language model and never
    wholly replaced, so that a loop of it cannot lose the support of the real data. Here the editor q is an n-gram model
    (:class:`models.ngram.NGram`, hierarchical) of the samples, which is what a model says without asking it; sample i
    has a real sequence of the training split in its place, each as often as the others to within one. The context of a
    token is that of the real text, as it was.

    given.train: sequences as long as the samples. Raises ValueError for others.
    """
    samples = given.samples
    if not len(samples):
        return samples
    real = np.asarray(given.train.data)
    if real.dtype != samples.data.dtype or real.shape[1:] != samples.data.shape[1:]:
        raise ValueError(f"train: found {real.dtype} of shape {real.shape}, allowed are sequences as the samples")
    order = seeds.generator(seeds.seed_of(seed, None, None, PARTNERS)).permutation(len(real))
    rows = real[order[np.arange(len(samples)) % len(real)]]
    size = int(max(samples.data.max(), real.max())) + 1
    said = NGramOptions(vocabulary=size, order=options.order, alpha=options.alpha, smoothing="hierarchical")
    editor = NGram.fit(TrainingSet(samples.data, None, np.ones(len(samples))), said, Run(seed))
    uniform = seeds.uniforms(seed, 0, len(rows), rows.shape[1])
    back = options.order - 1
    padded = np.concatenate([np.full((len(rows), back), size, np.int32), rows], axis=1)
    edited = rows.copy()
    for at in range(rows.shape[1]):
        laws = editor.laws(padded[:, at : at + back])
        sure = laws[np.arange(len(rows)), rows[:, at]] >= options.above
        if sure.any():
            edited[sure, at] = drawn(sharpened(laws[sure], 1.0, options.top_k), uniform[sure, at])
    return replace(samples, data=edited)
