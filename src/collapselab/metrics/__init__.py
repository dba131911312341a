"""Metrics: how the fakes compare with the real samples, as a number or as named numbers.

Each is a function ``f(real, fake, *, options) -> float | dict[str, float]`` of features, which may be
:class:`~collapselab.features.Features`, numpy arrays (n, d) or torch tensors on any device. It raises
:class:`~collapselab.core.errors.Undefined` where the features at hand determine no value; the record then says why. A
number whose error is known is an :class:`Estimate`; of several named numbers, one that is not determined is an
``Undefined`` with its reason in the number's place.
"""

from ..core.errors import Undefined as Undefined
from ..core.registry import Registry
from ..features.base import Features as Features
from . import stacks
from .artefacts import Growth as Growth
from .artefacts import cross_hatching as cross_hatching
from .artefacts import growth_rate as growth_rate
from .artefacts import lattice_scores as lattice_scores
from .base import Metric as Metric
from .classes import class_entropy as class_entropy
from .classes import class_histogram as class_histogram
from .classes import class_total_variation as class_total_variation
from .classes import inception_score as inception_score
from .colour import colour_distance as colour_distance
from .colour import colour_share as colour_share
from .colour import hue_distance as hue_distance
from .colour import hue_share as hue_share
from .colour import level_share as level_share
from .downstream import downstream_accuracy as downstream_accuracy
from .downstream import downstream_loss as downstream_loss
from .entropy import neighbour_entropy as neighbour_entropy
from .estimates import Estimate as Estimate
from .frechet import frechet_distance as frechet_distance
from .frechet import frechet_distance_infinity as frechet_distance_infinity
from .kernel import kernel_distance as kernel_distance
from .kernel import polynomial_mmd2 as polynomial_mmd2
from .labels import label_entropy as label_entropy
from .labels import within_class_variance as within_class_variance
from .laws import classification_error as classification_error
from .laws import log_determinant_ratio as log_determinant_ratio
from .laws import mean_drift as mean_drift
from .laws import regression_error as regression_error
from .laws import surviving_categories as surviving_categories
from .laws import surviving_dimensions as surviving_dimensions
from .likelihood import bits_per_dimension as bits_per_dimension
from .likelihood import coverage_calibration as coverage_calibration
from .likelihood import likelihood_gap as likelihood_gap
from .logos import logo_false_positives as logo_false_positives
from .logos import logo_share as logo_share
from .marks import mark_detection as mark_detection
from .marks import mark_false_alarms as mark_false_alarms
from .marks import mark_robustness as mark_robustness
from .marks import radioactivity as radioactivity
from .marks import residual_share as residual_share
from .memorisation import authenticity as authenticity
from .memorisation import copies as copies
from .memorisation import data_copying as data_copying
from .memorisation import duplicates as duplicates
from .memorisation import mean_nearest_distance as mean_nearest_distance
from .memorisation import nearest_distance as nearest_distance
from .memorisation import nearest_ratio as nearest_ratio
from .neighbours import coverage as coverage
from .neighbours import density as density
from .neighbours import mean_rarity as mean_rarity
from .neighbours import median_realism as median_realism
from .neighbours import precision as precision
from .neighbours import rarity as rarity
from .neighbours import realism as realism
from .neighbours import recall as recall
from .odds import attribute_odds as attribute_odds
from .regions import least_coverage as least_coverage
from .regions import region_coverage as region_coverage
from .roles import Roles as Roles
from .roles import Stacked as Stacked
from .sequences import distinct_runs as distinct_runs
from .sequences import impossible_share as impossible_share
from .sequences import memorised as memorised
from .sequences import perplexity as perplexity
from .sequences import repetition as repetition
from .sequences import run_entropy as run_entropy
from .sequences import sample_perplexity as sample_perplexity
from .sequences import self_bleu as self_bleu
from .sequences import type_token_ratio as type_token_ratio
from .sequences import zipf_slope as zipf_slope
from .sounds import loudness_range_kept as loudness_range_kept
from .sounds import pitch_range_kept as pitch_range_kept
from .sounds import silence_share as silence_share
from .sounds import tonal_share as tonal_share
from .tails import class_retention as class_retention
from .tails import expected_quantile_coverage as expected_quantile_coverage
from .tails import quantile_coverage as quantile_coverage
from .tails import tail_coverage as tail_coverage
from .truth import expected_true_coverage as expected_true_coverage
from .truth import expected_true_recall as expected_true_recall
from .truth import hallucination_rate as hallucination_rate
from .truth import rare_calibration as rare_calibration
from .truth import true_coverage as true_coverage
from .truth import true_precision as true_precision
from .truth import true_recall as true_recall
from .truth import true_total_variation as true_total_variation
from .unlearning import forgotten_precision as forgotten_precision
from .unlearning import retained_accuracy as retained_accuracy
from .unlearning import retained_frechet_distance as retained_frechet_distance
from .unlearning import retained_precision as retained_precision
from .unlearning import retained_recall as retained_recall
from .unlearning import unlearning_accuracy as unlearning_accuracy
from .variance import variance_ratio as variance_ratio
from .vendi import vendi_score as vendi_score

ROWS, FORGETS = ("images", "vectors"), Roles(forgets=True)
LABELLED = ("images", "vectors", "audio")
TEXT, TOKENS = ("sequences",), ("tokens",)
COLOURS = ("black", "blue", "brown", "grey", "green", "orange", "pink", "purple", "red", "white", "yellow")
LEVELS = ("grey from {level}", "red from {level}", "green from {level}", "blue from {level}")
HUES = tuple(f"around {degrees}" for degrees in range(0, 360, 30))

METRICS: Registry[Metric] = Registry(
    "collapselab.metrics",
    {
        "frechet_distance": Metric(
            frechet_distance,
            "Fréchet distance",
            "lower",
            of_moments=True,
            roles=Roles(stands_for=("risk",), squares=True, filtered=True),
            stacked=Stacked(stacks.frechet_distance, covariances=True),
        ),
        "frechet_distance_infinity": Metric(frechet_distance_infinity, "Fréchet distance at infinity", "lower"),
        "kernel_distance": Metric(kernel_distance, "Kernel distance", "lower", roles=Roles(filtered=True)),
        "precision": Metric(precision, "Precision", "higher", roles=Roles(stands_for=("reality",)), chance="fake"),
        "recall": Metric(
            recall, "Recall", "higher", roles=Roles(stands_for=("tails",), losable=True, filtered=True), chance="real"
        ),
        "density": Metric(density, "Density", None, chance="fake"),
        "coverage": Metric(coverage, "Coverage", "higher", roles=Roles(losable=True), chance="real"),
        "realism": Metric(median_realism, "Realism", "higher"),
        "rarity": Metric(mean_rarity, "Rarity", None, chance="fake"),
        "vendi_score": Metric(vendi_score, "Vendi score", None),
        "neighbour_entropy": Metric(neighbour_entropy, "Entropy by neighbours (nats)", None),
        "variance_ratio": Metric(
            variance_ratio,
            "Variance against real",
            None,
            of_moments=True,
            roles=Roles(stands_for=("variance",), losable=True, squares=True),
            stacked=Stacked(stacks.variance_ratio),
        ),
        "class_histogram": Metric(
            class_histogram,
            "Share of class",
            None,
            reads="classes",
            shares=True,
            roles=Roles(stands_for=("modes",), parts=("{class}",)),
        ),
        "class_entropy": Metric(
            class_entropy, "Entropy of classes (nats)", None, reads="classes", roles=Roles(stands_for=("variance",))
        ),
        "class_total_variation": Metric(class_total_variation, "Total variation of classes", "lower", reads="classes"),
        "copies_of_real": Metric(copies, "Copies of real images", None, "train", extractors=("pixels",), chance="fake"),
        "copies_of_training": Metric(
            copies, "Copies of training images", None, "training_set", extractors=("pixels",), chance="fake"
        ),
        "duplicates_of_real": Metric(
            duplicates, "Duplicates of real images", None, "train", extractors=("pixels",), chance="fake"
        ),
        "duplicates_of_training": Metric(
            duplicates, "Duplicates of training images", None, "training_set", extractors=("pixels",), chance="fake"
        ),
        "nearest_distance": Metric(
            mean_nearest_distance, "Distance to the nearest training sample", None, "training_set", chance="fake"
        ),
        "authenticity": Metric(
            authenticity,
            "Authenticity",
            None,
            "train",
            beside="held_out",
            roles=Roles(parts=("fake", "held_out", "difference")),
            chance="fake",
        ),
        "data_copying": Metric(data_copying, "Data copying (C_T)", None, "train", beside="held_out"),
        "inception_score": Metric(inception_score, "Inception score", "higher", reads="probabilities", chance="fake"),
        "bits_per_dimension": Metric(
            bits_per_dimension, "Bits per dimension", "lower", extractors=("likelihood",), chance="real"
        ),
        "likelihood_gap": Metric(
            likelihood_gap, "Bits of held-out over known", None, "train", beside="held_out", extractors=("likelihood",)
        ),
        "coverage_calibration": Metric(
            coverage_calibration,
            "Calibration of coverage",
            None,
            extractors=("likelihood",),
            roles=Roles(parts=("kolmogorov", "mean_absolute", "overconfidence")),
        ),
        "colour_share": Metric(
            colour_share,
            "Share of colour",
            None,
            extractors=("colours",),
            shares=True,
            roles=Roles(parts=COLOURS),
            chance="fake",
        ),
        "level_share": Metric(
            level_share, "Share of levels", None, extractors=("colours",), shares=True, roles=Roles(parts=LEVELS)
        ),
        "hue_share": Metric(
            hue_share, "Share of hues", None, extractors=("colours",), shares=True, roles=Roles(parts=HUES)
        ),
        "colour_distance": Metric(
            colour_distance,
            "Distance of levels (of 255)",
            "lower",
            extractors=("colours",),
            roles=Roles(filtered=True, parts=("red", "green", "blue", "mean")),
        ),
        "hue_distance": Metric(hue_distance, "Distance of hues (degrees)", "lower", extractors=("colours",)),
        "cross_hatching": Metric(
            cross_hatching,
            "Cross-hatching against real",
            None,
            extractors=("spectrum",),
            roles=Roles(artefact=True, filtered=True),
        ),
        "class_retention": Metric(
            class_retention, "Rare classes against real", None, reads="classes", roles=Roles(parts=("kept", "{class}"))
        ),
        "attribute_odds": Metric(
            attribute_odds, "Odds against real", None, reads="classes", roles=Roles(parts=("{class}",))
        ),
        "unlearning_accuracy": Metric(
            unlearning_accuracy, "Unlearned", "higher", reads="classes", takes=ROWS, roles=FORGETS, chance="fake"
        ),
        "forgotten_precision": Metric(
            forgotten_precision,
            "Forgotten and still there",
            None,
            reads="classes",
            takes=ROWS,
            roles=FORGETS,
            chance="fake",
        ),
        "retained_accuracy": Metric(
            retained_accuracy,
            "Retained as asked for",
            "higher",
            reads="classes",
            takes=ROWS,
            roles=Roles(forgets=True, parts=("all", "neighbours", "others")),
            chance="fake",
        ),
        "retained_recall": Metric(
            retained_recall, "Retained recall", "higher", reads="classes", takes=ROWS, roles=FORGETS, chance="real"
        ),
        "retained_precision": Metric(
            retained_precision,
            "Retained precision",
            "higher",
            reads="classes",
            takes=ROWS,
            roles=FORGETS,
            chance="fake",
        ),
        "retained_frechet_distance": Metric(
            retained_frechet_distance,
            "Retained Fréchet distance",
            "lower",
            reads="classes",
            takes=ROWS,
            roles=FORGETS,
        ),
        "tail_coverage": Metric(
            tail_coverage,
            "Tail against real",
            None,
            extractors=("attributes", "identity"),
            roles=Roles(parts=("{column}.low", "{column}.high")),
        ),
        "quantile_coverage": Metric(
            quantile_coverage,
            "Coverage of quantiles",
            "higher",
            extractors=("attributes", "identity"),
            roles=Roles(parts=("{column}",)),
        ),
        "true_precision": Metric(
            true_precision,
            "True precision",
            "higher",
            extractors=("truth",),
            roles=Roles(stands_for=("reality",), truth_of="precision"),
        ),
        "hallucination_rate": Metric(
            hallucination_rate,
            "Hallucination rate",
            "lower",
            extractors=("truth",),
            roles=Roles(truth_of="precision", rest=True),
        ),
        "true_recall": Metric(
            true_recall,
            "True recall",
            "higher",
            extractors=("truth",),
            roles=Roles(stands_for=("tails",), losable=True, truth_of="recall"),
        ),
        "true_coverage": Metric(
            true_coverage,
            "True coverage",
            "higher",
            extractors=("truth",),
            roles=Roles(losable=True, truth_of="coverage"),
        ),
        "true_total_variation": Metric(true_total_variation, "True total variation", "lower", extractors=("truth",)),
        "rare_calibration": Metric(rare_calibration, "Rare cells against truth", None, extractors=("truth",)),
        "mean_drift": Metric(
            mean_drift,
            "Drift of the mean (of the variance)",
            "lower",
            extractors=("moments",),
            roles=Roles(squares=True),
            stacked=Stacked(stacks.mean_drift),
        ),
        "log_determinant_ratio": Metric(
            log_determinant_ratio,
            "Log determinant against real (nats/dimension)",
            None,
            extractors=("moments",),
            takes=("images", "vectors"),
            roles=Roles(censored=True),
            stacked=Stacked(stacks.log_determinant_ratio, covariances=True),
        ),
        "surviving_categories": Metric(
            surviving_categories,
            "Categories that survive",
            None,
            extractors=("moments",),
            takes=("categories",),
            roles=Roles(losable=True),
            stacked=Stacked(stacks.surviving_categories),
        ),
        "surviving_dimensions": Metric(
            surviving_dimensions,
            "Dimensions that still vary",
            None,
            extractors=("moments",),
            takes=("images", "vectors"),
            roles=Roles(losable=True),
            stacked=Stacked(stacks.surviving_dimensions),
        ),
        "least_coverage": Metric(
            least_coverage, "Coverage of the least covered region", "higher", roles=Roles(losable=True), chance="real"
        ),
        "region_coverage": Metric(
            region_coverage, "Coverage of region", "higher", roles=Roles(parts=("{region}",)), chance="real"
        ),
        "regression_error": Metric(
            regression_error,
            "Excess risk of the regression",
            "lower",
            extractors=("moments",),
            takes=("vectors",),
            roles=Roles(squares=True),
            stacked=Stacked(stacks.regression_error, covariances=True),
        ),
        "classification_error": Metric(
            classification_error, "Error of the classifier", "lower", extractors=("moments",), takes=("vectors",)
        ),
        "logo_share": Metric(
            logo_share, "Share with the logo", None, extractors=("logo",), roles=FORGETS, chance="fake"
        ),
        "logo_false_positives": Metric(
            logo_false_positives, "Logo found in real images", None, extractors=("logo",), chance="real"
        ),
        "mark_detection": Metric(mark_detection, "Marks found", None, extractors=("mark",), chance="fake"),
        "mark_false_alarms": Metric(
            mark_false_alarms, "Marks found in real images", None, extractors=("mark",), chance="real"
        ),
        "mark_robustness": Metric(
            mark_robustness,
            "Marks found after",
            None,
            extractors=("mark",),
            roles=Roles(parts=("jpeg", "crop", "resize")),
        ),
        "radioactivity": Metric(radioactivity, "Marks learnt (over chance)", None, extractors=("mark",), chance="fake"),
        "residual_share": Metric(
            residual_share,
            "Synthetic share after a purge",
            None,
            extractors=("mark",),
            roles=Roles(parts=("theory", "found")),
        ),
        "perplexity": Metric(
            perplexity,
            "Perplexity of real text",
            "lower",
            extractors=("surprisal",),
            takes=TEXT,
            roles=Roles(stands_for=("risk",)),
            chance="real",
        ),
        "sample_perplexity": Metric(
            sample_perplexity,
            "Perplexity of samples",
            None,
            extractors=("true-surprisal", "reference"),
            takes=TEXT,
            chance="fake",
        ),
        "impossible_share": Metric(
            impossible_share, "Impossible samples", "lower", extractors=("true-surprisal",), takes=TEXT, chance="fake"
        ),
        "distinct_runs": Metric(
            distinct_runs,
            "Distinct runs of tokens",
            None,
            extractors=TOKENS,
            takes=TEXT,
            roles=Roles(stands_for=("tails",), losable=True),
        ),
        "type_token_ratio": Metric(type_token_ratio, "Types over tokens", None, extractors=TOKENS, takes=TEXT),
        "run_entropy": Metric(
            run_entropy,
            "Entropy of runs (nats)",
            None,
            extractors=TOKENS,
            takes=TEXT,
            roles=Roles(stands_for=("variance",)),
        ),
        "zipf_slope": Metric(zipf_slope, "Zipf's exponent", None, extractors=TOKENS, takes=TEXT),
        "repetition": Metric(
            repetition, "Repetition within samples", None, extractors=TOKENS, takes=TEXT, chance="fake"
        ),
        "self_bleu": Metric(self_bleu, "Self-BLEU", None, extractors=TOKENS, takes=TEXT),
        "memorised": Metric(
            memorised, "Memorised from real text", None, "train", extractors=TOKENS, takes=TEXT, chance="fake"
        ),
        "pitch_range_kept": Metric(
            pitch_range_kept,
            "Pitch range kept",
            None,
            extractors=("heard",),
            takes=("audio",),
            roles=Roles(losable=True),
        ),
        "loudness_range_kept": Metric(
            loudness_range_kept,
            "Loudness range kept",
            None,
            extractors=("heard",),
            takes=("audio",),
            roles=Roles(losable=True),
        ),
        "silence_share": Metric(
            silence_share, "Share of silence", None, extractors=("heard",), takes=("audio",), chance="fake"
        ),
        "tonal_share": Metric(
            tonal_share, "Share that sounds like one tone", None, extractors=("heard",), takes=("audio",), chance="fake"
        ),
        "downstream_accuracy": Metric(
            downstream_accuracy, "Accuracy that samples teach", "higher", takes=LABELLED, chance="real", labelled=True
        ),
        "downstream_loss": Metric(
            downstream_loss,
            "Accuracy lost against real rows",
            "lower",
            beside="train",
            takes=LABELLED,
            chance="real",
            labelled=True,
        ),
        "label_entropy": Metric(label_entropy, "Entropy of labels (nats)", None, takes=LABELLED, labelled=True),
        "within_class_variance": Metric(
            within_class_variance,
            "Variance within a label",
            None,
            takes=LABELLED,
            roles=Roles(losable=True, squares=True),
            labelled=True,
        ),
    },
    Metric,
)

# The same of every sample: functions give (n_fake,) float64, NaN where a sample has no score.
SCORES: Registry[Metric] = Registry(
    "collapselab.scores",
    {
        "nearest_distance": Metric(nearest_distance, "Distance to the nearest training sample", None, "train"),
        "nearest_ratio": Metric(nearest_ratio, "Distance to the nearest over that to its neighbours", None, "train"),
        "realism": Metric(realism, "Realism", "higher"),
        "rarity": Metric(rarity, "Rarity", None),
        "cross_hatching": Metric(lattice_scores, "Lattice against real", None, extractors=("spectrum",)),
    },
    Metric,
)
