"""Metrics: how the fakes compare with the real samples, as a number or as named numbers.

Each is a function ``f(real, fake, *, options) -> float | dict[str, float]`` of features, which may be
:class:`~collapselab.features.Features`, numpy arrays (n, d) or torch tensors on any device. It raises
:class:`~collapselab.core.errors.Undefined` where the features at hand determine no value; the record then says why. A
number whose error is known is an :class:`Estimate`; of several named numbers, one that is not determined is an
``Undefined`` with its reason in the number's place.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from ..core.errors import Undefined
from ..features import FEATURES, Array, Features
from .artefacts import Growth, cross_hatching, growth_rate, lattice_scores
from .classes import class_entropy, class_histogram, class_total_variation, inception_score
from .colour import colour_distance, colour_share, hue_distance, hue_share, level_share
from .estimates import Estimate
from .frechet import frechet_distance, frechet_distance_infinity
from .kernel import kernel_distance, polynomial_mmd2
from .laws import classification_error, log_determinant_ratio, mean_drift, regression_error, surviving_categories
from .likelihood import bits_per_dimension, coverage_calibration, likelihood_gap
from .memorisation import authenticity, copies, data_copying, duplicates, nearest_distance, nearest_ratio
from .neighbours import coverage, density, mean_rarity, median_realism, precision, rarity, realism, recall
from .tails import class_retention, expected_quantile_coverage, quantile_coverage, tail_coverage
from .truth import (
    expected_true_coverage,
    expected_true_recall,
    hallucination_rate,
    rare_calibration,
    true_coverage,
    true_precision,
    true_recall,
    true_total_variation,
)
from .variance import variance_ratio
from .vendi import vendi_score

__all__ = [
    "METRICS",
    "SCORES",
    "Estimate",
    "Features",
    "Growth",
    "Metric",
    "Undefined",
    "authenticity",
    "bits_per_dimension",
    "class_entropy",
    "class_histogram",
    "class_retention",
    "class_total_variation",
    "classification_error",
    "colour_distance",
    "colour_share",
    "copies",
    "coverage",
    "coverage_calibration",
    "cross_hatching",
    "data_copying",
    "density",
    "duplicates",
    "expected_quantile_coverage",
    "expected_true_coverage",
    "expected_true_recall",
    "frechet_distance",
    "frechet_distance_infinity",
    "growth_rate",
    "hallucination_rate",
    "hue_distance",
    "hue_share",
    "inception_score",
    "kernel_distance",
    "lattice_scores",
    "level_share",
    "likelihood_gap",
    "log_determinant_ratio",
    "mean_drift",
    "mean_rarity",
    "median_realism",
    "nearest_distance",
    "nearest_ratio",
    "polynomial_mmd2",
    "precision",
    "quantile_coverage",
    "rare_calibration",
    "rarity",
    "realism",
    "recall",
    "regression_error",
    "surviving_categories",
    "tail_coverage",
    "true_coverage",
    "true_precision",
    "true_recall",
    "true_total_variation",
    "variance_ratio",
    "vendi_score",
]


@dataclass(frozen=True)
class Metric:
    """A metric and what the rest of the system must know about it.

    function: ``f(real, fake, *, options) -> float | dict[str, float]``; a second set of real samples, where ``beside``
    names one, is a keyword of that name.
    label: what it is called in figures.
    better: in which direction samples improve; None where neither is.
    against: what the role ``real`` is given: the held-out real samples, the real samples that the study may train on,
    or the model's own training set.
    beside: the second set of real samples that it needs; None for none.
    reads: the part of the features that it looks at.
    extractors: the feature spaces in which it means something; empty for all but those of statistics.
    takes: the kinds of data of which it can be determined.
    of_moments: whether mean and covariance determine it, so that it can compare laws as well as samples.
    shares: whether its named numbers are parts of a whole, which are drawn together.
    """

    function: Callable[..., float | dict[str, float]]
    label: str
    better: Literal["lower", "higher"] | None
    against: Literal["held_out", "train", "training_set"] = "held_out"
    beside: Literal["held_out"] | None = None
    reads: Literal["values", "classes", "probabilities"] = "values"
    extractors: tuple[str, ...] = ()
    of_moments: bool = False
    takes: tuple[Literal["images", "vectors", "categories"], ...] = ("images", "vectors", "categories")
    shares: bool = False

    def __call__(self, real: Features | Array, fake: Features | Array, **options: Any) -> float | dict[str, float]:
        return self.function(real, fake, **options)

    def suits(self, extractor: str) -> bool:
        """Whether it means something in a feature space."""
        if self.extractors:
            return extractor in self.extractors
        return self.of_moments if FEATURES[extractor].of_law else not FEATURES[extractor].statistic

    @property
    def Options(self) -> type[BaseModel]:
        """The options as a model: the annotations of the function say what is allowed."""
        hints = get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {name: (hints[name], default) for name, default in self.options.items()}
        strict = ConfigDict(extra="forbid", strict=True)
        return create_model(self.function.__name__, __config__=strict, **fields)

    @property
    def options(self) -> Mapping[str, Any]:
        """The options with their defaults, as they belong into the fingerprint of a value."""
        parameters = inspect.signature(self.function).parameters.values()
        return {
            option.name: option.default
            for option in parameters
            if option.kind is option.KEYWORD_ONLY and option.name != self.beside
        }


METRICS: dict[str, Metric] = {
    "frechet_distance": Metric(frechet_distance, "Fréchet distance", "lower", of_moments=True),
    "frechet_distance_infinity": Metric(frechet_distance_infinity, "Fréchet distance at infinity", "lower"),
    "kernel_distance": Metric(kernel_distance, "Kernel distance", "lower"),
    "precision": Metric(precision, "Precision", "higher"),
    "recall": Metric(recall, "Recall", "higher"),
    "density": Metric(density, "Density", None),
    "coverage": Metric(coverage, "Coverage", "higher"),
    "realism": Metric(median_realism, "Realism", "higher"),
    "rarity": Metric(mean_rarity, "Rarity", None),
    "vendi_score": Metric(vendi_score, "Vendi score", None),
    "variance_ratio": Metric(variance_ratio, "Variance against real", None, of_moments=True),
    "class_histogram": Metric(class_histogram, "Share of class", None, reads="classes", shares=True),
    "class_entropy": Metric(class_entropy, "Entropy of classes (nats)", None, reads="classes"),
    "class_total_variation": Metric(class_total_variation, "Total variation of classes", "lower", reads="classes"),
    "copies_of_real": Metric(copies, "Copies of real images", None, "train", extractors=("pixels",)),
    "copies_of_training": Metric(copies, "Copies of training images", None, "training_set", extractors=("pixels",)),
    "duplicates_of_real": Metric(duplicates, "Duplicates of real images", None, "train", extractors=("pixels",)),
    "duplicates_of_training": Metric(
        duplicates, "Duplicates of training images", None, "training_set", extractors=("pixels",)
    ),
    "authenticity": Metric(authenticity, "Authenticity", None, "train", beside="held_out"),
    "data_copying": Metric(data_copying, "Data copying (C_T)", None, "train", beside="held_out"),
    "inception_score": Metric(inception_score, "Inception score", "higher", reads="probabilities"),
    "bits_per_dimension": Metric(bits_per_dimension, "Bits per dimension", "lower", extractors=("likelihood",)),
    "likelihood_gap": Metric(
        likelihood_gap, "Bits of held-out over known", None, "train", beside="held_out", extractors=("likelihood",)
    ),
    "coverage_calibration": Metric(coverage_calibration, "Calibration of coverage", None, extractors=("likelihood",)),
    "colour_share": Metric(colour_share, "Share of colour", None, extractors=("colours",), shares=True),
    "level_share": Metric(level_share, "Share of levels", None, extractors=("colours",), shares=True),
    "hue_share": Metric(hue_share, "Share of hues", None, extractors=("colours",), shares=True),
    "colour_distance": Metric(colour_distance, "Distance of levels (of 255)", "lower", extractors=("colours",)),
    "hue_distance": Metric(hue_distance, "Distance of hues (degrees)", "lower", extractors=("colours",)),
    "cross_hatching": Metric(cross_hatching, "Cross-hatching against real", None, extractors=("spectrum",)),
    "class_retention": Metric(class_retention, "Rare classes against real", None, reads="classes"),
    "tail_coverage": Metric(tail_coverage, "Tail against real", None, extractors=("attributes", "identity")),
    "quantile_coverage": Metric(
        quantile_coverage, "Coverage of quantiles", "higher", extractors=("attributes", "identity")
    ),
    "true_precision": Metric(true_precision, "True precision", "higher", extractors=("truth",)),
    "hallucination_rate": Metric(hallucination_rate, "Hallucination rate", "lower", extractors=("truth",)),
    "true_recall": Metric(true_recall, "True recall", "higher", extractors=("truth",)),
    "true_coverage": Metric(true_coverage, "True coverage", "higher", extractors=("truth",)),
    "true_total_variation": Metric(true_total_variation, "True total variation", "lower", extractors=("truth",)),
    "rare_calibration": Metric(rare_calibration, "Rare cells against truth", None, extractors=("truth",)),
    "mean_drift": Metric(mean_drift, "Drift of the mean (of the variance)", "lower", extractors=("moments",)),
    "log_determinant_ratio": Metric(
        log_determinant_ratio,
        "Log determinant against real (nats/dimension)",
        None,
        extractors=("moments",),
        takes=("images", "vectors"),
    ),
    "surviving_categories": Metric(
        surviving_categories, "Categories that survive", None, extractors=("moments",), takes=("categories",)
    ),
    "regression_error": Metric(
        regression_error, "Excess risk of the regression", "lower", extractors=("moments",), takes=("vectors",)
    ),
    "classification_error": Metric(
        classification_error, "Error of the classifier", "lower", extractors=("moments",), takes=("vectors",)
    ),
}

# The same of every sample: functions give (n_fake,) float64, NaN where a sample has no score.
SCORES: dict[str, Metric] = {
    "nearest_distance": Metric(nearest_distance, "Distance to the nearest training sample", None, "train"),
    "nearest_ratio": Metric(nearest_ratio, "Distance to the nearest over that to its neighbours", None, "train"),
    "realism": Metric(realism, "Realism", "higher"),
    "rarity": Metric(rarity, "Rarity", None),
    "cross_hatching": Metric(lattice_scores, "Lattice against real", None, extractors=("spectrum",)),
}
