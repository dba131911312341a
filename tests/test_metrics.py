"""Metrics: closed forms, laws over the whole registry, exact expectations under the null, and collapse."""

import ast
import math
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from collapselab import metrics
from collapselab.core import distances
from collapselab.core.errors import Undefined
from collapselab.core.naming import COMMON_NAMES
from collapselab.features import Features
from collapselab.measure.outside import one_sided
from collapselab.measure.roles import losable, roles_of, standing_for, truths
from collapselab.metrics import METRICS, SCORES, Metric, Roles
from collapselab.metrics.estimates import share_of
from collapselab.metrics.frechet import frechet_distance
from collapselab.metrics.memorisation import copies
from collapselab.metrics.neighbours import COMPARISONS, coverage, density, hits, precision, recall
from collapselab.report.meaning import MEANINGS
from collapselab.store.provenance import named
from collapselab.store.provenance.source import ASIDE
from collapselab.testing import check_metric, check_score
from collapselab.testing.clouds import as_read, cloud, marked_of

NEIGHBOURS = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}


def gaussian(mean, covariance):
    """A population: no rows, exact moments."""
    mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
    return Features(np.empty((0, len(mean))), moments=(mean, covariance))


def rotation(seed, width):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0]


def numbers(value):
    """A metric's value as an array, whether it is one number or named ones."""
    return np.array(list(value.values()) if isinstance(value, dict) else [value])


LOOKS_AT_ONE_SIDE = {
    "inception_score": "fake",
    "vendi_score": "fake",
    "neighbour_entropy": "fake",
    "bits_per_dimension": "real",
    "likelihood_gap": "real",
    "surviving_categories": "fake",
    "perplexity": "real",
    **{name: "fake" for name, metric in METRICS.items() if metric.takes == ("sequences",) and name != "perplexity"},
    "memorised": "real",
    "mark_detection": "fake",
    "mark_robustness": "fake",
    "radioactivity": "fake",
    **{name: "fake" for name, metric in METRICS.items() if metric.extractors == ("truth",)},
    "silence_share": "fake",
    "tonal_share": "fake",
}


def value_of(name, real, fake):
    """The metric, given what its entry asks for, a second real set beside the first."""
    metric = METRICS[name]
    beside = {metric.beside: as_read(metric, cloud(9, 120))} if metric.beside else {}
    return metric(as_read(metric, real), as_read(metric, fake), **beside)


# -- laws over the registry -----------------------------------------------------------------------------------------


ON_ITSELF = {
    "frechet_distance": 0.0,
    "precision": 1.0,
    "recall": 1.0,
    "density": 1.0,  # with <, a ball around a row holds that row and k - 1 others
    "coverage": 1.0,
    "variance_ratio": 1.0,
    "class_total_variation": 0.0,
    "copies_of_real": 1.0,
    "copies_of_training": 1.0,
    "duplicates_of_real": 1.0,
    "duplicates_of_training": 1.0,
    "nearest_distance": 0.0,
}
OPTIONS = {
    "inception_score": {"splits": 1},  # its parts are cut in the rows' order
    "memorised": {"length": 8},  # a cloud's sequences have 16 tokens
}
SEEN = {
    "radioactivity": tuple(marked_of(cloud(seed, 130), marked=False) for seed in (0, 1))
}  # of what nobody has marked


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_keeps_its_contract(name):
    check_metric(name, SEEN.get(name), OPTIONS.get(name), ON_ITSELF.get(name))


@pytest.mark.parametrize("name", SCORES)
def test_a_score_keeps_its_contract(name):
    check_score(name)


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if metric.better and LOOKS_AT_ONE_SIDE.get(name) != "real"]
)
def test_better_points_in_the_right_direction(name):
    """New samples of the real law score better than what the metric is there to find: something else, or copies."""
    metric, real, good = METRICS[name], cloud(0, 200), cloud(1, 200)
    turned = real.values * np.where(np.arange(16) < 15, 1, -1)  # the last column is the response of a regression
    seen = np.full(200, int(name.startswith("retained")))  # of class 0, which is what those leave out, there are none
    elsewhere = Features(turned + 100, seen, np.full((200, 4), 0.25))
    bad = elsewhere if metric.against == "held_out" else real
    gain = numbers(value_of(name, real, good)).mean() - numbers(value_of(name, real, bad)).mean()
    assert gain > 0 if metric.better == "higher" else gain < 0


def second(name):
    return {METRICS[name].beside: cloud(9, 60)} if METRICS[name].beside else {}


ODD = {
    "words": np.full((30, 3), "a"),
    "objects": np.ones((30, 3), object),
    "complex": np.ones((30, 3), complex),
    "masked": np.ma.ones((30, 3)),
    "a list": [[1.0]] * 30,
    "nothing": None,
    "one axis": np.ones(30),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", METRICS)
def test_what_are_no_rows_of_numbers_is_refused(name, odd):
    role = LOOKS_AT_ONE_SIDE.get(name, "real")
    with pytest.raises(ValueError, match="features: found"):
        METRICS[name](**{"real": cloud(0, 30), "fake": cloud(1, 30), role: ODD[odd]}, **second(name))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name", ["frechet_distance", "kernel_distance", "precision", "copies_of_real", "variance_ratio"]
)
def test_kinds_of_arrays_are_not_mixed_and_other_numbers_become_float64(name):
    torch = pytest.importorskip("torch")
    whole = [np.random.default_rng(seed).integers(-9, 9, (60, 80)) for seed in (0, 1)]
    expected = METRICS[name](*(side.astype(np.float64) for side in whole))
    for kind in (np.int8, np.float16, np.longdouble):
        assert METRICS[name](*(side.astype(kind) for side in whole)) == expected
    for kind in (torch.int8, torch.bfloat16):
        tensors = [Features(torch.tensor(side, dtype=kind)) for side in whole]
        assert METRICS[name](*tensors) == pytest.approx(expected, rel=1e-12)
    slopes = [Features(torch.tensor(side, dtype=torch.float64, requires_grad=True)) for side in whole]
    assert METRICS[name](*slopes) == pytest.approx(expected, rel=1e-12)
    if name != "variance_ratio":
        with pytest.raises(ValueError, match="allowed is one kind of array"):
            METRICS[name](whole[0], torch.tensor(whole[1]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["frechet_distance", "kernel_distance", "precision", "data_copying"])
def test_numbers_whose_products_overflow_are_undetermined(name):
    sides = {role: 1e30 * cloud(seed, 60).values for seed, role in enumerate(["real", "fake"])} | second(name)
    with pytest.raises(Undefined, match="beyond 1e\\+25"):
        METRICS[name](**sides)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tail_coverage", {"q": 0.6}),
        ("tail_coverage", {"q": -0.1}),
        ("quantile_coverage", {"bins": -4}),
        ("quantile_coverage", {"bins": 2.5}),
        ("class_retention", {"below": math.nan}),
        ("class_retention", {"classes": "3,"}),
        ("vendi_score", {"order": math.inf}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found") as error:
        METRICS[name](cloud(0, 100), cloud(1, 100), **options)
    assert not isinstance(error.value, Undefined)


def test_every_function_is_public():
    functions = {entry.function for entry in (*METRICS.values(), *SCORES.values())}
    assert functions <= set(filter(callable, vars(metrics).values()))
    assert all(function.__doc__ for function in functions)


def test_options_are_ready_for_the_fingerprint():
    assert METRICS["recall"].options == {"k": 5, "comparison": "<="}
    assert METRICS["coverage"].options == {"k": 5, "comparison": "<"}
    assert METRICS["copies_of_real"].options == {"alpha": 0.5, "neighbours": 50}
    assert METRICS["frechet_distance"].options == {}


# -- Fréchet distance -----------------------------------------------------------------------------------------------

VARIANCES = np.random.default_rng(3).uniform(0.01, 9, (2, 24))


def test_frechet_of_commuting_covariances():
    mean = np.linspace(-1, 2, 24)
    expected = mean @ mean + np.sum((np.sqrt(VARIANCES[0]) - np.sqrt(VARIANCES[1])) ** 2)
    real, fake = gaussian(np.zeros(24), np.diag(VARIANCES[0])), gaussian(mean, np.diag(VARIANCES[1]))
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-10)
    turn = rotation(4, 24)
    turned = [gaussian(turn @ side.moments[0], turn @ side.moments[1] @ turn.T) for side in (real, fake)]
    assert frechet_distance(*turned) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(fake, real) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("deviation", [1e-6, 0.3, 1.0, 20.0])
def test_frechet_of_isotropic_gaussians(deviation):
    real, fake = gaussian(np.zeros(7), np.eye(7)), gaussian(np.full(7, 0.5), deviation**2 * np.eye(7))
    assert frechet_distance(real, fake) == pytest.approx(7 * (1 - deviation) ** 2 + 7 * 0.25, rel=1e-10)


def test_frechet_of_covariances_that_do_not_commute():
    """In two dimensions tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det A det B)), since the eigenvalues of AB are positive."""
    a, b = np.array([[2.0, 0.7], [0.7, 0.5]]), np.array([[1.0, -0.9], [-0.9, 3.0]])
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(gaussian([0, 0], a), gaussian([0, 0], b)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("rows", [10, 50, 400])  # fewer and more rows than the 50 columns, and as many
def test_frechet_of_a_shifted_or_scaled_sample(rows):
    real = cloud(5, rows, 50)
    delta = np.linspace(0, 1, 50)
    assert frechet_distance(real, Features(real.values + delta)) == pytest.approx(delta @ delta, rel=1e-10)
    spread = real.values.var(axis=0, ddof=1).sum()
    centre = real.values.mean(axis=0)
    narrow = Features(centre + 0.1 * (real.values - centre))
    assert frechet_distance(real, narrow) == pytest.approx(0.81 * spread, rel=1e-10)


def test_sample_covariance_divides_by_one_less():
    assert frechet_distance(gaussian([1.0], [[0.0]]), Features(np.array([[0.0], [2.0]]))) == pytest.approx(2, rel=1e-10)


def test_exact_moments_go_before_the_sample():
    sample = cloud(6, 40, 3)
    known = replace(sample, moments=(np.zeros(3), np.eye(3)))
    assert frechet_distance(known, gaussian(np.zeros(3), np.eye(3))) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(sample, gaussian(np.zeros(3), np.eye(3))) > 0.01


def by_eigenvalues(real, fake):
    """The textbook formula, by the eigenvalues of the product of the covariances."""
    (mean_r, cov_r), (mean_f, cov_f) = (
        (side.values.mean(axis=0, dtype=np.float64), np.cov(side.values.astype(np.float64), rowvar=False))
        for side in (real, fake)
    )
    eigenvalues = np.linalg.eigvals(cov_r @ cov_f).astype(complex).real.clip(0)
    return np.sum((mean_r - mean_f) ** 2) + np.trace(cov_r) + np.trace(cov_f) - 2 * np.sqrt(eigenvalues).sum()


@pytest.mark.parametrize("rows_real, rows_fake", [(500, 400), (500, 20), (20, 15)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frechet_agrees_with_the_textbook_formula_on_every_route(rows_real, rows_fake, dtype):
    """Tolerance: an eigenvalue of the product that should be 0 is off by 1e-16 of the largest, and its root by 1e-8."""
    real, fake = (Features(cloud(s, n, 60, shift=s).values.astype(dtype)) for s, n in ((0, rows_real), (1, rows_fake)))
    full_rank = min(rows_real, rows_fake) > 60
    assert frechet_distance(real, fake) == pytest.approx(by_eigenvalues(real, fake), rel=1e-10 if full_rank else 1e-6)


def test_frechet_routes_agree_on_one_sample():
    """The same 20 rows as a sample (centred rows are the factor) and as a covariance of rank 19 (eigenvectors are)."""
    real, fake = cloud(0, 300, 40), cloud(1, 20, 40, shift=0.2)
    as_moments = gaussian(fake.values.mean(axis=0), np.cov(fake.values, rowvar=False))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(as_moments.moments[1])
    assert frechet_distance(real, as_moments) == pytest.approx(frechet_distance(real, fake), rel=1e-7)


@pytest.mark.parametrize("rows", [5, 200])
def test_frechet_of_a_constant_generator(rows):
    real, constant = cloud(0, 100, 12), Features(np.full((rows, 12), 0.25))
    expected = np.sum((real.values.mean(axis=0) - 0.25) ** 2) + real.values.var(axis=0, ddof=1).sum()
    assert frechet_distance(real, constant) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(constant, constant) == 0


def test_frechet_is_never_negative():
    """Of ten samples against themselves rounding alone would put some below 0."""
    assert all(frechet_distance(sample, sample) >= 0 for sample in (cloud(seed, 50, 9) for seed in range(10)))


def test_frechet_of_complementary_directions():
    assert frechet_distance(gaussian([0, 0], np.diag([1, 0])), gaussian([0, 0], np.diag([0, 1]))) == pytest.approx(2)


def test_frechet_refuses_other_widths():
    with pytest.raises(ValueError, match="of 3 and of 4 numbers"):
        frechet_distance(cloud(0, 10, 3), cloud(0, 10, 4))


# -- precision, recall, density, coverage ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("rows_real, rows_fake", [(200, 200), (150, 90), (60, 180)])
def test_agreement_with_prdc(k, rows_real, rows_fake):
    compute_prdc = pytest.importorskip("prdc").compute_prdc
    real, fake = cloud(0, rows_real), cloud(1, rows_fake, scale=0.8, shift=0.2)
    theirs = compute_prdc(real.values, fake.values, nearest_k=k)
    ours = {name: metric(real, fake, k=k, comparison="<") for name, metric in NEIGHBOURS.items()}
    assert ours == pytest.approx({name: float(value) for name, value in theirs.items()}, abs=1e-6)


@pytest.mark.parametrize("rows_real, rows_fake, k, width", [(200, 200, 5, 16), (120, 60, 3, 2), (40, 100, 2, 5)])
def test_expectations_when_real_and_fake_have_one_law(rows_real, rows_fake, k, width):
    """By exchangeability, in any dimension: E density = 1, E coverage = 1 - prod_{i<k} (N-1-i) / (N+M-1-i).

    Tolerance: four standard errors of the mean over the replicates, as the replicates themselves show them.
    """
    i = np.arange(k)
    expected = {"density": 1.0, "coverage": 1 - np.prod((rows_real - 1 - i) / (rows_real + rows_fake - 1 - i))}
    found = {name: [] for name in expected}
    for seed in range(300):
        both = cloud(seed, rows_real + rows_fake, width).values
        real, fake = Features(both[:rows_real]), Features(both[rows_real:])
        for name, values in found.items():
            values.append(NEIGHBOURS[name](real, fake, k=k))
    for name, values in found.items():
        assert np.mean(values) == pytest.approx(expected[name], abs=4 * np.std(values, ddof=1) / np.sqrt(300)), name


def test_a_collapsed_cloud_is_precise_and_recalls_little():
    real, collapsed = cloud(0, 200, scale=3.0), cloud(1, 200, scale=0.1)
    assert precision(real, collapsed) > 0.8 and recall(real, collapsed) < 0.3
    assert density(real, collapsed) > 2 and coverage(real, collapsed) < coverage(real, cloud(2, 200, scale=3.0)) - 0.2
    assert precision(collapsed, real) < 0.3 and recall(collapsed, real) > 0.8  # the roles are not symmetric


def test_half_of_the_modes_are_half_of_the_recall():
    """Two modes far apart, of which the fakes have one: precise where they are, and half is missing."""
    left, right = cloud(0, 100, 8), cloud(1, 100, 8, shift=50)
    real = Features(np.concatenate([left.values, right.values]))
    fake = Features(np.concatenate([left.values, left.values[::-1]]))
    assert precision(real, fake) == 1 and recall(real, fake) == 0.5 and coverage(real, fake) == 0.5


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_hits_are_those_of_the_definition_ties_included(comparison):
    """On a lattice most distances tie: squares of whole numbers, exact in the definition's own arithmetic."""
    source = np.random.default_rng(0)
    fake, real = (source.integers(0, 3, (rows, 4)).astype(float) for rows in (70, 80))
    squared = ((fake[:, None] - real[None]) ** 2).sum(axis=2)
    inside = np.less if comparison == "<" else np.less_equal
    reach = [np.sort(((side[:, None] - side[None]) ** 2).sum(axis=2), axis=1)[:, 3] for side in (real, fake)]
    in_reals, in_fakes = inside(squared, reach[0]), inside(squared, reach[1][:, None])
    found = hits(Features(real), Features(fake), 3, comparison)
    assert np.array_equal(found.fakes, in_reals.sum(axis=1)) and np.array_equal(found.balls, in_reals.any(axis=0))
    assert np.array_equal(found.reals, in_fakes.any(axis=0))


def test_constant_features_on_both_sides():
    constant = Features(np.full((30, 512), 0.3, np.float32))
    assert all(NEIGHBOURS[name](constant, constant, comparison="<=") >= 1 for name in NEIGHBOURS)
    assert all(NEIGHBOURS[name](constant, constant, comparison="<") == 0 for name in NEIGHBOURS)
    apart = Features(constant.values + np.float32(1e-6))
    assert precision(constant, apart) == recall(constant, apart) == 0


def test_collapse_to_a_tight_cluster_far_from_the_origin():
    """Fakes of spread 1e-4 around an offset in float32: half of them as the manifold, half as the probes.

    Both halves have one law, so coverage has its null expectation (.97 at 200, sd below .02 for one sample) and density
    its own (1). With radii in float32 they would all be 0 or noise.
    """
    offset = np.random.default_rng(1).uniform(0, 0.8, 512)
    cluster = (offset + 1e-4 * np.random.default_rng(2).normal(size=(400, 512))).astype(np.float32)
    one, other = Features(cluster[:200]), Features(cluster[200:])
    origin = cluster.astype(np.float64) - offset
    assert coverage(one, other) == coverage(Features(origin[:200]), Features(origin[200:])) > 0.9
    assert density(one, other) == density(Features(origin[:200]), Features(origin[200:]))


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_blocks_change_nothing_but_memory(name, monkeypatch):
    real, fake = cloud(0, 2000, 4), cloud(1, 1800, 4, shift=0.5)
    at_once = NEIGHBOURS[name](real, fake)
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 2**16)
    real, fake = Features(real.values), Features(fake.values)  # without cached radii
    tracemalloc.start()
    in_blocks = NEIGHBOURS[name](real, fake)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert in_blocks == at_once
    assert peak < 8 * 2**16 * 8  # a few blocks; the whole matrix has fifty-five


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_neighbours_refuse_what_has_no_value(name):
    few, many = cloud(0, 5), cloud(1, 50)
    real, fake = (many, few) if name == "recall" else (few, many)
    with pytest.raises(
        Undefined, match=f"{'fake' if name == 'recall' else 'real'}: found 5 rows, needed are at least 6"
    ):
        NEIGHBOURS[name](real, fake)
    assert NEIGHBOURS[name](fake, real) >= 0  # five probes are enough
    with pytest.raises(ValueError, match="comparison: found '=<', allowed are '<', '<='"):
        NEIGHBOURS[name](many, many, comparison="=<")
    with pytest.raises(ValueError, match="k: found 0"):
        NEIGHBOURS[name](many, many, k=0)


# -- variance -------------------------------------------------------------------------------------------------------


def test_the_variance_ratio_is_that_of_the_traces():
    ratio = METRICS["variance_ratio"]
    one, other = gaussian([0, 5], np.diag([1.0, 3.0])), gaussian([9, 9], [[1.5, 0.5], [0.5, 0.5]])
    assert ratio(one, other) == 0.5 and ratio(other, one) == 2
    rows = Features(np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]))  # variances 1 and 3
    assert ratio(one, rows) == pytest.approx(1, abs=1e-15) and ratio(rows, other) == pytest.approx(0.5, abs=1e-15)


def test_the_variance_ratio_is_that_of_the_scales_wherever_the_clouds_lie(monkeypatch):
    ratio, sample = METRICS["variance_ratio"], cloud(0, 500, 8).values
    monkeypatch.setattr(distances, "BLOCK_ENTRIES", 64 * 8)
    turned = Features(1e3 + 0.1 * sample @ rotation(1, 8))
    # An offset of 1e3 leaves rows of size 0.1 twelve digits, and their squares no fewer.
    assert ratio(Features(sample), turned) == pytest.approx(0.01, rel=1e-11)


def test_the_trace_of_a_sample_is_unbiased_at_any_number_of_rows():
    """Over 2000 samples of 3 rows, within four of their own standard errors."""
    law = gaussian(np.zeros(16), np.eye(16))
    found = [METRICS["variance_ratio"](law, cloud(seed, 3)) for seed in range(2000)]
    assert np.mean(found) == pytest.approx(1, abs=4 * np.std(found, ddof=1) / np.sqrt(2000))


def test_one_sample_over_and_over_has_no_variance():
    """0.1 in float32 is no short binary fraction: a mean of equal rows may be off by a rounding."""
    constant, sample = Features(np.full((37, 5), 0.1, np.float32)), cloud(0, 20, 5)
    assert METRICS["variance_ratio"](sample, constant) == 0
    with pytest.raises(Undefined, match="real: all rows are equal"):
        METRICS["variance_ratio"](constant, sample)
    with pytest.raises(Undefined, match="fake: found 1 rows, needed are at least 2"):
        METRICS["variance_ratio"](sample, cloud(0, 1, 5))


# -- classes --------------------------------------------------------------------------------------------------------


def of_classes(*classes):
    return Features(np.zeros((len(classes), 1)), np.array(classes))


def test_classes_that_were_lost_or_invented_are_counted():
    real, fake = of_classes(0, 1, 2, 10), of_classes(1, 1, 1, 7)
    assert METRICS["class_histogram"](real, fake) == {"0": 0, "1": 0.75, "2": 0, "7": 0.25, "10": 0}
    assert METRICS["class_total_variation"](real, fake) == 0.75  # 0, 2 and 10 had a quarter each


def test_entropy_is_in_nats():
    real = of_classes(*range(8))
    entropy = METRICS["class_entropy"]
    assert entropy(real, of_classes(*range(8))) == pytest.approx(math.log(8))
    assert entropy(real, of_classes(3, 3, 3)) == 0 and math.copysign(1, entropy(real, of_classes(3))) == 1
    assert entropy(real, of_classes(0, 0, 0, 1)) == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


# -- copies ---------------------------------------------------------------------------------------------------------


def test_planted_copies_are_found_and_new_samples_are_not():
    real, new = cloud(0, 500, 20), cloud(1, 70, 20).values
    near = real.values[:30] + 1e-3 * cloud(2, 30, 20).values
    assert copies(real, Features(np.concatenate([near, new]))) == pytest.approx(0.3)
    assert METRICS["duplicates_of_real"](real, Features(np.concatenate([real.values[:7], near, new[:63]]))) == 0.07


@pytest.mark.parametrize("nearest, expected", [(1.44, 1.0), (1.53, 0.0)])
def test_the_adaptive_distance_is_the_published_one(nearest, expected):
    """One real sample at the given distance, 49 at 3, and others at 9 that are not among the 50 nearest.

    d < (d + 49 * 3) / 100 where d < 147 / 99 = 1.485.
    """
    real = Features(np.array([nearest] + [3.0] * 49 + [9.0] * 30)[:, None])
    assert copies(real, Features(np.zeros((1, 1)))) == expected


def test_a_duplicate_among_duplicates_is_a_copy():
    real = Features(np.ones((60, 3)))
    assert copies(real, real) == 1


def test_copies_refuse_what_has_no_value():
    sample = cloud(0, 49)
    with pytest.raises(Undefined, match="real: found 49 rows, needed are at least 50"):
        copies(sample, sample)
    with pytest.raises(ValueError, match="alpha: found 0"):
        copies(sample, sample, alpha=0)
    with pytest.raises(ValueError, match="neighbours: found 1"):
        copies(sample, sample, neighbours=1)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.5}, {"neighbours": 1}])
def test_a_study_is_told_before_any_work_what_copies_would_refuse(wrong):
    with pytest.raises(ValidationError):
        METRICS["copies_of_real"].Options(**wrong)
    METRICS["copies_of_real"].Options(alpha=1.0, neighbours=2)


# -- roles -------------------------------------------------------------------------------------------------------------

OTHER_WORDS = {"precision", "density"}  # of arithmetic, and of models
NAMED = {  # where a metric is named for itself: the law of it, the default of a study, the column that it is read from,
    # what statutes ask after, which no registry knows, by what an adapter chooses, what a search aims at unasked, what
    # others call a metric by, and what a report unfolds beside the primary endpoint
    *(("core/naming.py", name) for meant in COMMON_NAMES.values() for name in {*meant} & METRICS.keys() - OTHER_WORDS),
    ("report/page.py", "frechet_distance"),
    *(("report/meaning.py", name) for name in MEANINGS.keys() - OTHER_WORDS),
    *(("search/objectives.py", name) for name in ("recall", "frechet_distance", "vendi_score", "neighbour_entropy")),
    *(
        (f"adapt/{file}.py", name)
        for file in ("checked", "rewarding", "passing")
        for name in ("recall", "frechet_distance")
    ),
    *(("adapt/neon.py", name) for name in ("kernel_distance", "frechet_distance")),
    *(("theory/guided.py", name) for name in ("variance_ratio", "log_determinant_ratio")),
    ("theory/sampled.py", "variance_ratio"),
    ("theory/next_token.py", "type_token_ratio"),
    *(("publish/sayings.py", name) for name in ("recall", "class_retention", "copies_of_training")),
    *(("publish/sayings.py", name) for name in ("copies_of_real", "authenticity")),
    ("theory/laws.py", "mean_drift"),
    ("theory/laws.py", "variance_ratio"),
    ("theory/laws.py", "frechet_distance"),
    ("theory/laws.py", "log_determinant_ratio"),
    ("theory/laws.py", "surviving_categories"),
    ("theory/laws.py", "regression_error"),
    *(("theory/glm.py", name) for name in ("mean_drift", "variance_ratio", "surviving_dimensions")),
    *(("theory/glm.py", name) for name in ("frechet_distance", "regression_error")),
    *(("theory/smoothed.py", name) for name in ("true_precision", "hallucination_rate")),
    ("theory/chosen.py", "mean_drift"),
    ("theory/chosen.py", "variance_ratio"),
    ("theory/chosen.py", "regression_error"),
    ("study/checks.py", "recall"),
    ("study/file.py", "recall"),
    ("features/likelihood.py", "bits_per_dimension"),
}


def test_nothing_but_the_registry_knows_metrics_by_name():
    package, found = Path(metrics.__file__).parents[1], set()
    for path in package.rglob("*.py"):
        if path.parent.name not in ("metrics", "select"):  # what a selector keeps by may be called as what is measured
            words = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            found |= {(path.relative_to(package).as_posix(), name) for name in words & METRICS.keys() - OTHER_WORDS}
    assert found == NAMED
    page = (package / "report" / "page.html.jinja").read_text()
    assert not [name for name in METRICS.keys() - OTHER_WORDS if f"'{name}'" in page]


def test_what_stands_for_something_does_so_in_order_and_the_truth_is_asked_first():
    expected = {
        "risk": ["frechet_distance"],
        "variance": ["variance_ratio", "class_entropy"],
        "modes": ["class_histogram"],
        "tails": ["true_recall", "recall"],
        "reality": ["true_precision", "precision"],
    }
    for what, ours in expected.items():  # others may have a role too, and stand behind
        assert standing_for(what, METRICS)[: len(ours)] == standing_for(what, reversed(ours)) == ours
    lost = ["recall", "true_recall", "coverage", "true_coverage", "variance_ratio", "surviving_categories"]
    assert losable(METRICS)[: len(lost)] == lost and losable(reversed(lost[1:])) == lost[1:]
    assert truths(METRICS) == {
        "precision": ["true_precision", "hallucination_rate"],
        "recall": ["true_recall"],
        "coverage": ["true_coverage"],
    }
    assert roles_of("cross_hatching.all").artefact and roles_of("nobodys") == Roles()


def test_roles_fit_the_metrics_that_play_them():
    for name, metric in METRICS.items():
        roles = metric.roles
        assert roles.truth_of is None or (roles.truth_of in METRICS and metric.extractors == ("truth",)), name
        assert "modes" not in roles.stands_for or metric.shares, name
        assert metric.stacked is None or metric.of_moments or metric.extractors == ("moments",), name
        assert not metric.roles.rest or roles.truth_of, name


def test_the_fields_that_a_record_does_not_hang_on_are_there():
    aside = ASIDE[named(Metric)]
    assert aside == {one.name for one in fields(Metric) if one.kw_only}


# -- shares at their edges ---------------------------------------------------------------------------------------------


def test_the_interval_of_a_share_says_something_of_none_and_of_all():
    """Wilson 1927: of none among n the upper end is z^2 / (n + z^2)."""
    none, every = share_of(np.zeros(50, bool)), share_of(np.ones(50, bool))
    upper = 1.959963984540054**2 / (50 + 1.959963984540054**2)
    assert (none.low, none.high) == (0, pytest.approx(upper)) and (every.low, every.high) == (
        pytest.approx(1 - upper),
        1,
    )


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.98, 0.999])
def test_the_interval_of_a_share_holds_it_as_often_as_it_says(share):
    """Exactly, over the binomial law of 60 hits: never far below 95 %, where the bootstrap's comes down to 6 %."""
    counts = np.arange(61)
    law = stats.binom(60, share).pmf(counts)
    ends = [share_of(np.arange(60) < count) for count in counts]
    assert sum(chance for chance, end in zip(law, ends, strict=True) if end.low <= share <= end.high) > 0.9


@pytest.mark.parametrize("name", ["precision", "recall", "coverage"])
def test_a_metric_at_its_edge_has_an_interval(name):
    """Of 60 rows that are all there, and of 60 that are far off."""
    rows = np.random.default_rng(0).normal(size=(60, 2))
    at_edges = {"near": METRICS[name].function(rows, rows + 1e-9), "far": METRICS[name].function(rows, rows + 100)}
    for place, found in at_edges.items():
        assert found in (0.0, 1.0) and 0.04 < found.high - found.low < 0.1, place


def test_intervals_of_one_set_are_told():
    """Those of its chance alone: a metric whose interval is of all sets, or that has none, is not among them."""
    assert one_sided(["frechet_distance", "kernel_distance", "tail_coverage.0.low"]) == []
    (said,) = one_sided(["recall", "precision", "kernel_distance", "authenticity.fake"])
    assert "of the samples for precision, authenticity; of the real ones for recall." in said


@pytest.mark.parametrize("name", ["precision", "recall", "coverage"])
def test_the_interval_of_a_share_counts_the_rows_of_the_set_that_it_names(name):
    draws = np.random.default_rng(3)
    sides = {"real": draws.normal(size=(90, 2)), "fake": draws.normal(0.5, 1, size=(140, 2))}
    found = METRICS[name](sides["real"], sides["fake"])
    n = len(sides[METRICS[name].chance])
    expected = share_of(np.arange(n) < round(found * n))
    assert (found.low, found, found.high) == pytest.approx((expected.low, expected, expected.high))
