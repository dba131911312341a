"""Numbers that others compute too, and numbers that are known: peers, closed forms and expectations."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from collapselab.core.errors import Undefined
from collapselab.features import Features
from collapselab.machine.compat import import_torchvision
from collapselab.metrics import METRICS, polynomial_mmd2
from collapselab.metrics.frechet import frechet_distance, frechet_distance_infinity
from collapselab.metrics.kernel import kernel_distance
from collapselab.metrics.neighbours import mean_rarity, median_realism, rarity, realism
from collapselab.metrics.vendi import vendi_score

torch = pytest.importorskip("torch")
BENCH = Path(__file__).parents[1] / "bench" / "metrics.py"


def normal(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def correlated(seed, rows, width, shift=0.0):
    """Float32 rows as networks give them: correlated columns, variances that fall like 1 / i, no negative numbers."""
    turn = np.linalg.qr(normal(99, width, width))[0]
    return np.abs((normal(seed, rows, width) / np.sqrt(1 + np.arange(width)) + shift) @ turn).astype(np.float32)


@pytest.fixture(scope="module")
def fidelity():
    """torch-fidelity's metrics of features."""
    import_torchvision()
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import metric_fid, metric_kid, metric_prc

    return {"fid": metric_fid, "kid": metric_kid, "prc": metric_prc}


# -- Fréchet distance -------------------------------------------------------------------------------------------------

SIZES = [(900, 700, 64), (900, 40, 64), (30, 40, 64), (64, 65, 64), (2000, 1500, 200)]


@pytest.mark.parametrize("rows_real, rows_fake, width", SIZES)
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_the_frechet_distance_is_that_of_torch_fidelity(fidelity, rows_real, rows_fake, width, library):
    """In float64: in float32 torch-fidelity's means have seven digits. 1e-6: it takes roots of rounded zeros."""
    real, fake = (correlated(s, n, width, 0.1 * s).astype(np.float64) for s, n in ((1, rows_real), (2, rows_fake)))
    statistics = [fidelity["fid"].fid_features_to_statistics(torch.from_numpy(side)) for side in (real, fake)]
    theirs = fidelity["fid"].fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(library(real), library(fake)) == pytest.approx(theirs, rel=1e-6)


def test_the_frechet_distance_is_that_of_torchmetrics():
    import_torchvision()
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance

    identity = torch.nn.Identity()
    identity.num_features = 32
    metric = FrechetInceptionDistance(feature=identity)
    real, fake = torch.from_numpy(normal(1, 400, 32)), torch.from_numpy(normal(2, 300, 32))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    assert frechet_distance(real, fake) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_the_quick_route_is_left_where_it_would_be_wrong(monkeypatch):
    """Half of the directions have no variance: their eigenvalues are rounding, and its root is 1e-8 of the largest.

    Against the unit law these directions add 1 each to what the distance is in the others alone.
    """
    inside, turn = normal(1, 500, 20), np.linalg.qr(normal(5, 40, 40))[0]
    expected = frechet_distance(Features(np.empty((0, 20)), moments=(np.zeros(20), np.eye(20))), inside) + 20
    unit, fake = Features(np.empty((0, 40)), moments=(np.zeros(40), np.eye(40))), inside @ turn[:20]
    assert frechet_distance(unit, fake) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("collapselab.metrics.frechet.ROUNDING", np.inf)
    assert abs(frechet_distance(unit, fake) / expected - 1) > 1e-8  # what is promised


def test_both_routes_agree_where_the_quick_one_is_taken(monkeypatch):
    real, fake = correlated(1, 3000, 128), correlated(2, 2500, 128, 0.1)
    quick = frechet_distance(real, fake)
    monkeypatch.setattr("collapselab.metrics.frechet.ROUNDING", 0)
    assert frechet_distance(real, fake) == pytest.approx(quick, rel=1e-8)  # what the bound promises


@pytest.mark.parametrize("rows, known", [(300, True), (300, False)])
def test_the_bias_of_the_frechet_distance_is_gone_at_infinity(rows, known):
    """One standard normal law: a sample of n adds d / n + d (d + 1) / 4 n, and d / n + d (d + 1) / 8 n where both sides
    are samples.

    The first is the expectation to first order in 1 / n, 8 % short here at most; the second order is what the line
    leaves over, about 2 % of the bias. Tolerance: four standard errors over the replicates beside that.
    """
    width = 6
    law = Features(np.empty((0, width)), moments=(np.zeros(width), np.eye(width)))
    plain, infinite = [], []
    for seed in range(60):
        real = law if known else normal([seed, 1], rows, width)
        fake = normal([seed, 2], rows, width)
        plain.append(frechet_distance(real, fake))
        infinite.append(frechet_distance_infinity(real, fake))
    bias = (1 if known else 2) * (width / rows + width * (width + 1) / (4 * rows))
    error = 4 * np.std(plain, ddof=1) / np.sqrt(60)
    assert np.mean(plain) == pytest.approx(bias, rel=0.08, abs=error)
    assert np.mean(infinite) == pytest.approx(0, abs=0.1 * bias + 4 * np.std(infinite, ddof=1) / np.sqrt(60))
    assert np.mean(plain) > 5 * abs(np.mean(infinite))


def test_at_infinity_the_distance_of_unlike_laws_is_left():
    real, fake = normal(0, 2000, 4), 2 * normal(1, 1500, 4) + 1
    found = frechet_distance_infinity(real, fake)
    assert found.low < found < found.high
    assert found == pytest.approx(8, abs=4 * 0.3)  # d (1 - 2)^2 + d; the sample's own error is about .3


def test_infinity_is_the_same_for_every_order_of_rows_and_another_for_another_seed():
    real, fake = normal(0, 300, 4), np.repeat(normal(1, 100, 4), 2, axis=0)  # some rows are equal
    order = np.random.default_rng(3).permutation(200)
    assert frechet_distance_infinity(real, fake) == pytest.approx(frechet_distance_infinity(real, fake[order]), 1e-9)
    assert frechet_distance_infinity(real, fake, seed=1) != frechet_distance_infinity(real, fake)


def test_infinity_needs_rows_well_above_the_columns():
    many, few = normal(0, 100, 9), normal(1, 39, 9)
    with pytest.raises(Undefined, match="fake: found 39 rows, needed are at least 40"):
        frechet_distance_infinity(many, few)
    with pytest.raises(Undefined, match="real: found 39 rows, needed are at least 40"):
        frechet_distance_infinity(few, many)
    known = Features(few, moments=(np.zeros(9), np.eye(9)))
    assert frechet_distance_infinity(known, many) < frechet_distance(known, many)
    with pytest.raises(Undefined, match="moments are exact"):
        frechet_distance_infinity(known, known)
    with pytest.raises(ValueError, match="points: found 2"):
        frechet_distance_infinity(many, many, points=2)


# -- kernel distance --------------------------------------------------------------------------------------------------


def direct_mmd2(real, fake):
    """The definition, over all pairs."""

    def kernel(one, other):
        return (one @ other.T / one.shape[1] + 1) ** 3

    m, n = len(real), len(fake)
    real_real, fake_fake = kernel(real, real), kernel(fake, fake)
    within = (real_real.sum() - np.trace(real_real)) / (m * (m - 1))
    within += (fake_fake.sum() - np.trace(fake_fake)) / (n * (n - 1))
    return within - 2 * kernel(real, fake).mean()


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("entries", [2**21, 500])
def test_the_kernel_distance_is_that_of_the_definition(library, entries, monkeypatch):
    monkeypatch.setattr("collapselab.core.distances.BLOCK_ENTRIES", entries)
    real, fake = normal(0, 70, 9), normal(1, 50, 9) + 0.3
    found = kernel_distance(library(real), library(fake))
    assert found == pytest.approx(direct_mmd2(real, fake), rel=1e-12)
    assert polynomial_mmd2(library(real), library(fake)) == pytest.approx(found, rel=1e-12)
    left = [direct_mmd2(np.delete(real, row, 0), fake) for row in range(70)]
    also = [direct_mmd2(real, np.delete(fake, row, 0)) for row in range(50)]
    error = np.sqrt(69 * np.var(left) + 49 * np.var(also))
    assert found.high - found == pytest.approx(1.959963984540054 * error, rel=1e-9)


def test_the_kernel_distance_is_that_of_torch_fidelity_on_its_subsets(fidelity):
    """On the subsets that torch-fidelity draws: its generator, its order of draws."""
    real, fake = correlated(1, 300, 64).astype(np.float64), correlated(2, 250, 64, 0.2).astype(np.float64)
    options = {"kid_subsets": 7, "kid_subset_size": 100, "rng_seed": 2020, "verbose": False}
    theirs = fidelity["kid"].kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(fake), **options)
    draw = np.random.RandomState(2020)
    ours = [
        polynomial_mmd2(real[draw.choice(300, 100, replace=False)], fake[draw.choice(250, 100, replace=False)])
        for _ in range(7)
    ]
    assert np.mean(ours) == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert np.std(ours) == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6)


def test_the_kernel_distance_of_numbers_is_that_of_their_moments():
    """d = 1: sum_j C(3, j) (m_j - m'_j)^2 of raw moments; N(0, 1) has 0, 1, 0 and N(1, 1) has 1, 2, 4.

    3 + 3 + 16 = 22. Tolerance: four of the standard errors that it states, over four seeds.
    """
    for seed in range(4):
        found = kernel_distance(normal([seed, 1], 4000, 1), normal([seed, 2], 4000, 1) + 1)
        assert found == pytest.approx(22, abs=4 * (found.high - found) / 1.96)


def test_the_kernel_distance_has_no_bias():
    """Of one law the mean is 0 at any number of rows. Tolerance: four standard errors over the replicates.

    The stated error is that of the replicates or more, at most twice: of a degenerate statistic the jackknife is wide.
    """
    found = [kernel_distance(normal([seed, 1], 30, 5), normal([seed, 2], 20, 5)) for seed in range(300)]
    spread = np.std(found, ddof=1)
    assert np.mean(found) == pytest.approx(0, abs=4 * spread / np.sqrt(300)) and min(found) < 0
    stated = np.sqrt(np.mean([((one.high - one) / 1.96) ** 2 for one in found]))
    assert 0.9 * spread < stated < 2 * spread
    shifted = [kernel_distance(normal([seed, 1], 60, 5), 0.5 + normal([seed, 2], 80, 5)) for seed in range(200)]
    stated = np.sqrt(np.mean([((one.high - one) / 1.96) ** 2 for one in shifted]))
    assert stated == pytest.approx(np.std(shifted, ddof=1), rel=0.25)  # 200 replicates know it to 5 %; the rest is bias


def test_the_kernel_distance_refuses_what_has_no_value():
    with pytest.raises(Undefined, match="fake: found 2 rows, needed are at least 3"):
        kernel_distance(normal(0, 9, 2), normal(1, 2, 2))
    with pytest.raises(Undefined, match="real: found 1 rows, needed are at least 2"):
        polynomial_mmd2(normal(0, 1, 2), normal(1, 2, 2))
    with pytest.raises(ValueError, match="of 2 and of 3 numbers"):
        kernel_distance(normal(0, 9, 2), normal(1, 9, 3))


# -- precision and recall, realism and rarity -------------------------------------------------------------------------


def test_precision_and_recall_are_those_of_torch_fidelity(fidelity):
    """It is asked for the fakes first; and a collapse tells the two apart."""
    real, fake = normal(0, 300, 8), 0.3 * normal(1, 200, 8)
    for k in (3, 5):
        options = {"prc_neighborhood": k, "verbose": False}
        theirs = fidelity["prc"].prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), **options)
        for name in ("precision", "recall"):
            assert METRICS[name](real, fake, k=k) == pytest.approx(theirs[name], abs=1e-6)  # it counts in float32


def direct_scores(real, fake, k):
    """Realism and rarity by their definitions, all distances at once."""
    apart = np.sqrt(((fake[:, None] - real[None]) ** 2).sum(axis=2))
    radii = np.sort(np.sqrt(((real[:, None] - real[None]) ** 2).sum(axis=2)), axis=1)[:, k]
    small = radii <= np.sort(radii)[(len(radii) - 1) // 2]
    depth = (radii[small] / apart[:, small]).max(axis=1)
    inside = np.where(apart <= radii, radii, np.inf).min(axis=1)
    return depth, np.where(np.isinf(inside), np.nan, inside)


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("rows", [80, 81])
def test_realism_and_rarity_are_those_of_the_definitions(library, rows, monkeypatch):
    monkeypatch.setattr("collapselab.core.distances.BLOCK_ENTRIES", 1000)
    real, fake = normal(0, rows, 3), 1.2 * normal(1, 60, 3)
    depth, radius = direct_scores(real, fake, 4)
    np.testing.assert_allclose(realism(library(real), library(fake), k=4), depth, rtol=1e-9)
    np.testing.assert_allclose(rarity(library(real), library(fake), k=4), radius, rtol=1e-9)
    assert median_realism(real, fake, k=4) == pytest.approx(np.median(depth), rel=1e-9)
    assert mean_rarity(real, fake, k=4) == pytest.approx(np.nanmean(radius), rel=1e-9)
    assert 0 < np.isnan(radius).sum() < 60


def test_half_of_the_balls_are_too_large_for_realism():
    """Real numbers 0, 1, 2, 3 have radius 1; 100, 300, 600 have more, and a fake beside them is not realistic.

    The rarity of that fake is their radius all the same.
    """
    real = np.array([0.0, 1, 2, 3, 100, 300, 600])[:, None]
    fake = np.array([0.5, 110, 4])[:, None]
    assert realism(real, fake, k=1).tolist() == pytest.approx([2, 1 / 107, 1])
    assert rarity(real, fake, k=1).tolist() == [1, 97, 1]


def test_copies_have_infinite_realism_and_no_median():
    real = normal(0, 50, 3)
    fake = np.concatenate([real[:10], normal(1, 11, 3)])
    assert np.array_equal(np.isinf(realism(real, fake)), np.arange(21) < 10)
    assert math.isfinite(median_realism(real, fake))
    with pytest.raises(Undefined, match="fake: half of the rows or more equal a real one"):
        median_realism(real, fake[:-1])
    same = np.ones((20, 3))
    assert np.isinf(realism(same, same)).all() and rarity(same, same).tolist() == [0] * 20
    assert realism(same, same + 1).tolist() == [0] * 20 and np.isnan(rarity(same, same + 1)).all()


def test_no_rarity_outside_of_all_balls():
    with pytest.raises(Undefined, match="fake: no row lies in a ball"):
        mean_rarity(normal(0, 50, 3), normal(1, 10, 3) + 1000)


def test_a_pair_is_scanned_once(monkeypatch):
    from collapselab.metrics import neighbours

    scans = []
    scan = neighbours.squared_distances
    monkeypatch.setattr(neighbours, "squared_distances", lambda *sides: scans.append(1) or scan(*sides))
    real, fake = Features(normal(0, 60, 3)), Features(normal(1, 50, 3))
    for name in ("precision", "recall", "density", "coverage"):
        for comparison in ("<", "<="):
            METRICS[name](real, fake, comparison=comparison)
    assert len(scans) == 1
    realism(real, fake), rarity(real, fake), median_realism(real, fake), mean_rarity(real, fake)
    assert len(scans) == 2
    METRICS["recall"](real, fake, k=3)
    METRICS["recall"](real, Features(fake.values))
    assert len(scans) == 4


# -- Vendi score ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [6, 40])  # the smaller matrix is one of columns, or one of rows
@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_equal_groups_at_right_angles_are_counted(width, order, library):
    """Whatever the lengths of the rows."""
    groups = np.repeat(np.eye(width)[:5], 4, axis=0) * np.geomspace(1e-200, 1e100, 20)[:, None]
    groups = library(groups)
    assert vendi_score(None, groups, order=order) == pytest.approx(5, rel=1e-6 if order < 1 else 1e-12)
    assert vendi_score(None, groups[:1], order=order) == pytest.approx(1)
    assert vendi_score(None, groups[:4], order=order) == pytest.approx(1)


def test_the_vendi_score_is_that_of_the_definition():
    fake = normal(1, 50, 7)
    rows = fake / np.linalg.norm(fake, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(rows @ rows.T / 50)[-7:]
    assert vendi_score(None, fake) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-12)
    assert vendi_score(None, fake, order=2) == pytest.approx(1 / np.sum(shares**2), rel=1e-12)


def test_the_vendi_score_sees_collapse():
    real = normal(0, 300, 16)
    assert vendi_score(real, real[:10].repeat(30, axis=0)) < 10 < vendi_score(real, real) < 16


def test_rows_of_zeros_have_no_direction():
    with pytest.raises(Undefined, match="fake: 2 of 5 rows are 0"):
        vendi_score(None, np.array([[0.0, 0], [1, 0], [0, 0], [0, 1], [1, 1]]))
    with pytest.raises(ValueError, match="order: found 0"):
        vendi_score(None, np.ones((2, 2)), order=0)


def test_numbers_of_arrays_need_neither_torch_nor_scipy():
    """Their import costs more than most measurements."""
    names = ("frechet_distance", "frechet_distance_infinity", "kernel_distance", "precision", "realism", "vendi_score")
    code = f"""
import sys
import numpy as np
from collapselab.metrics import METRICS
real, fake = np.random.default_rng(0).normal(size=(2, 100, 4))
for name in {names}:
    METRICS[name](real, fake)
sys.exit(bool({{"torch", "scipy", "sklearn"}} & set(sys.modules)))
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


# -- the table of the peers -------------------------------------------------------------------------------------------


def test_the_bench_runs_and_its_contenders_agree(monkeypatch, capsys):
    import_torchvision()
    for peer in ("prdc", "torch_fidelity", "torchmetrics"):
        pytest.importorskip(peer)
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the bench reads memory from /proc")
    specification = importlib.util.spec_from_file_location("bench_metrics", BENCH)
    bench = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(bench)
    monkeypatch.setattr(sys, "argv", [str(BENCH), "--quick"])
    bench.main()
    blocks = capsys.readouterr().out.split("Fréchet distance, ")[1:]
    assert len(blocks) == 2
    blocks[1], neighbours = blocks[1].split("precision, ")
    for block in blocks:
        values = [float(line.split()[-1]) for line in block.splitlines()[1:]]
        # their means in float32; a root of a rounded zero is off by 1e-8 of the largest
        assert len(values) == len(bench.FRECHET) and values == pytest.approx([values[0]] * len(values), rel=1e-6)
    lines = [
        [float(word) for word in line.split("MiB")[1].split()] for line in neighbours.splitlines() if "MiB" in line
    ]
    assert lines[1] == lines[0] and lines[2] == pytest.approx(lines[0][:2], abs=1e-6)
