"""Which rows enter a training set: promises of composition over generations, replicates and arms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapselab.compose.regimes import REGIMES, Draw, Regime, recipe, size
from collapselab.compose.rows import choose, real_seed, resample_seed
from collapselab.core import seeds

STUDY_SEED, REPLICATE = 11, 2
TRAIN, FRESH, MADE = 300, 200, 150  # rows in the train split, in the fresh split, in every sample set
NUMBERS = {"synthetic_augmentation": {"fixed": 30}, "fresh_data": {"fresh": 30}, "k_memory": {"fresh": 30, "k": 3}}


def preset(name, n=100, initial=80):
    return REGIMES[name](n=n, initial=initial, **NUMBERS.get(name, {}))


def algebra(**parts):
    return Regime.model_validate({"initial": {"real": 80}, **parts})


def composed(regime, generation, arm="arm", replicate=REPLICATE, train=TRAIN, fresh=FRESH, made=MADE):
    """Rows by (arm, generation) of one training set."""
    wanted = recipe(regime, arm, generation)
    stored = {"fixed": train, "redrawn": train, "fresh": fresh}
    available = {(d.arm, d.generation): stored.get(d.arm, None if wanted.resamples else made) for d in wanted.draws}
    parts = choose(wanted, available, STUDY_SEED, replicate)
    return {(part.draw.arm, part.draw.generation): part.rows for part in parts}


every_preset = pytest.mark.parametrize("name", REGIMES)

# -- laws of all presets ----------------------------------------------------------------------------------------------


@every_preset
@pytest.mark.parametrize("generation", range(6))
def test_training_sets_have_their_size_and_no_row_twice(name, generation):
    parts = composed(preset(name), generation)
    assert sum(map(len, parts.values())) == size(preset(name), "arm", generation)
    for (arm, _), rows in parts.items():
        assert len(set(rows.tolist())) == len(rows)
        limit = {"fixed": TRAIN, "redrawn": TRAIN, "fresh": FRESH}.get(arm, MADE)
        assert rows.min() >= 0 and rows.max() < limit


@every_preset
def test_the_same_numbers_give_the_same_rows(name):
    one, other = (composed(preset(name), 3) for _ in range(2))
    assert one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


@every_preset
def test_arms_share_their_random_numbers(name):
    """Common random numbers: how an arm is called has no part in which rows it gets."""
    one = composed(preset(name), 3, "a")
    other = composed(preset(name), 3, "zz")
    assert [rows.tolist() for rows in one.values()] == [rows.tolist() for rows in other.values()]


@every_preset
def test_replicates_get_other_rows(name):
    if name == "k_memory":
        one, other = (composed(preset(name), 3, replicate=replicate)["fresh", 3] for replicate in (0, 1))
    else:
        one, other = (next(iter(composed(preset(name), 3, replicate=replicate).values())) for replicate in (0, 1))
    assert not np.array_equal(one, other)


def test_generation_0_is_the_same_in_all_arms():
    sets = [composed(preset(name), 0)["fixed", 0].tolist() for name in REGIMES]
    assert all(one == sets[0] for one in sets)


# -- real rows --------------------------------------------------------------------------------------------------------


def test_fixed_rows_never_change_and_are_a_part_of_the_initial_ones():
    regime = preset("synthetic_augmentation")
    initial = composed(regime, 0)["fixed", 0]
    for generation in range(1, 6):
        fixed = composed(regime, generation)["fixed", 0]
        assert np.array_equal(fixed, initial[: len(fixed)])


@given(st.integers(1, TRAIN), st.integers(1, TRAIN))
def test_fewer_fixed_rows_are_a_part_of_more(fewer, more):
    fewer, more = sorted((fewer, more))
    small, large = (composed(algebra(real={"fixed": count}), 1)["fixed", 0] for count in (fewer, more))
    assert np.array_equal(small, large[:fewer])


def test_fresh_rows_are_never_seen_again():
    regime = preset("fresh_data")
    rows = [row for generation in range(1, 7) for row in composed(regime, generation)["fresh", generation]]
    assert len(rows) == len(set(rows)) == 180


def test_fresh_rows_of_all_generations_can_use_up_the_split():
    regime = algebra(real={"fresh": {1: 70, 2: 50, 3: 80}})
    rows = [row for generation in (1, 2, 3) for row in composed(regime, generation)["fresh", generation]]
    assert sorted(rows) == list(range(FRESH))


def test_fresh_rows_that_accumulate_stay_the_same_rows():
    regime = algebra(real={"fresh": 20}, pool={"mode": "accumulate"})
    early, late = composed(regime, 2), composed(regime, 5)
    assert all(np.array_equal(early["fresh", t], late["fresh", t]) for t in (1, 2))
    assert len({row for (arm, _), rows in late.items() if arm == "fresh" for row in rows}) == 100


def test_redrawn_rows_are_other_rows_in_every_generation():
    regime = algebra(real={"redrawn": 100})
    sets = [set(composed(regime, t)["redrawn", t].tolist()) for t in range(1, 21)]
    overlaps = [len(a & b) for i, a in enumerate(sets) for b in sets[:i]]
    # Two draws of 100 of 300 share a hypergeometric number with mean 33.3 and sd 3.85; the mean over 190 pairs of 20
    # sets has a standard error of 0.28, since distinct pairs are uncorrelated; 5 of them are 1.4.
    assert abs(np.mean(overlaps) - 100 / 3) < 1.4
    assert len({frozenset(one) for one in sets}) == 20


def test_redrawn_rows_that_accumulate_stay_the_same_rows():
    regime = algebra(real={"redrawn": 20}, pool={"mode": "accumulate"})
    assert np.array_equal(composed(regime, 2)["redrawn", 1], composed(regime, 4)["redrawn", 1])


# -- synthetic rows ---------------------------------------------------------------------------------------------------


def test_a_pool_that_replaces_takes_other_rows_of_a_set_in_each_generation():
    regime = algebra(synthetic=[{"n": 90, "from": {"last": 3}}])
    sets = [set(composed(regime, generation)["arm", 2].tolist()) for generation in (3, 4, 5)]
    assert len({frozenset(one) for one in sets}) == 3


@pytest.mark.parametrize("mode", ["accumulate", "subsample"])
def test_a_pool_that_accumulates_keeps_the_rows_that_once_entered(mode):
    budget = {"budget": 10_000} if mode == "subsample" else {}
    regime = algebra(synthetic=[{"n": 60, "from": "all"}], pool={"mode": mode, **budget})
    before = composed(regime, 1)
    for generation in range(2, 6):
        now = composed(regime, generation)
        for key, rows in before.items():
            assert set(rows.tolist()) <= set(now[key].tolist())
        before = now


def test_what_is_made_for_a_training_set_is_taken_whole():
    parts = composed(preset("k_memory"), 4)
    assert [parts["arm", t].tolist() for t in (1, 2, 3)] == [list(range(23)), list(range(23)), list(range(24))]


# -- subsampling ------------------------------------------------------------------------------------------------------


def test_a_subsample_is_drawn_anew_without_replacement():
    regime = preset("accumulate_subsample")
    chosen = [composed(regime, t) for t in (4, 5)]
    assert [sum(map(len, parts.values())) for parts in chosen] == [100, 100]
    assert not np.array_equal(chosen[0]["fixed", 0], chosen[1]["fixed", 0])


def test_a_subsample_is_uniform_over_the_pool():
    """Every row of the pool has the same chance, wherever it comes from, and no two origins are tied."""
    regime, replicates = preset("accumulate_subsample"), 2_000
    generation, pool = 4, 80 + 4 * 100
    sets = [composed(regime, generation, replicate=replicate) for replicate in range(replicates)]
    counts = np.array(
        [[len(parts.get(key, ())) for key in [("fixed", 0), *(("arm", t) for t in range(4))]] for parts in sets]
    )
    share = np.array([80, 100, 100, 100, 100]) / pool
    # Multivariate hypergeometric: mean 100 p and variance 100 p (1 - p) (480 - 100) / 479; 5 standard errors.
    variance = 100 * share * (1 - share) * (pool - 100) / (pool - 1)
    assert (abs(counts.mean(axis=0) - 100 * share) < 5 * np.sqrt(variance / replicates)).all()
    # A sample variance of nearly normal numbers has a relative standard error sqrt(2 / 2000) = 3.2 %; 5 of them.
    assert (abs(counts.var(axis=0, ddof=1) / variance - 1) < 0.16).all()


def test_a_subsample_takes_rows_that_were_in_the_pool():
    budgeted = algebra(synthetic=[{"n": 40}], pool={"mode": "subsample", "budget": 50})
    whole = algebra(synthetic=[{"n": 40}], pool={"mode": "accumulate"})
    for generation in range(5):
        pool = composed(whole, generation)
        for key, rows in composed(budgeted, generation).items():
            assert set(rows.tolist()) <= set(pool[key].tolist())


def test_parts_of_which_nothing_was_drawn_are_left_out():
    regime = algebra(synthetic=[{"n": 40}], pool={"mode": "subsample", "budget": 1})
    assert [len(rows) for rows in composed(regime, 5).values()] == [1]


def test_a_budget_that_the_pool_does_not_fill_takes_all():
    regime = algebra(synthetic=[{"n": 40}], pool={"mode": "subsample", "budget": 121})
    assert {key: len(rows) for key, rows in composed(regime, 1).items()} == {("fixed", 0): 80, ("arm", 0): 40}


# -- too few rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "generation", "message"),
    [
        ({"real": {"fixed": 301}}, 1, "301 rows of 'fixed' at generation 0 were asked for; there are 300"),
        ({"real": {"redrawn": 301}}, 2, "301 rows of 'redrawn' at generation 2 were asked for; there are 300"),
        ({"synthetic": [{"n": 151}]}, 2, "151 rows of 'arm' at generation 1 were asked for; there are 150"),
        ({"real": {"fresh": 70}}, 3, "70 rows of 'fresh' at generation 3 .* after 140 in earlier .* there are 200"),
    ],
)
def test_too_few_rows_are_an_error_with_both_numbers(parts, generation, message):
    with pytest.raises(ValueError, match=message):
        composed(algebra(**parts), generation)


def test_as_many_rows_as_there_are_are_enough():
    regime = algebra(real={"fixed": 300, "redrawn": 300, "fresh": 200}, synthetic=[{"n": 150}])
    assert all(sorted(rows) == list(range(len(rows))) for rows in composed(regime, 1).values())


# -- seeds of rows that are made --------------------------------------------------------------------------------------


def test_fixed_draws_of_a_population_are_the_same_in_every_generation_and_others_are_not():
    def of(arm, generation, replicate=0):
        return real_seed(STUDY_SEED, replicate, Draw(arm, generation, 5))

    assert of("fixed", 0) == of("fixed", 3)
    assert len({of("fixed", 0), of("fresh", 1), of("fresh", 2), of("redrawn", 1), of("redrawn", 2)}) == 5
    assert of("fresh", 1) != of("fresh", 1, replicate=1)
    assert real_seed(1, 0, Draw("fresh", 1, 5)) == real_seed(1, 0, Draw("fresh", 1, 9))  # more rows, the same first


def test_resampled_rows_are_new_in_each_generation_and_differ_between_streams_and_ancestors():
    made = {
        resample_seed(STUDY_SEED, replicate, generation, Draw("arm", ancestor, 5), stream)
        for replicate in range(2)
        for generation in (3, 4)
        for ancestor in (0, 1, 2)
        for stream in (0, 1)
    }
    assert len(made) == 24
    sampled = {
        seeds.seed_of(STUDY_SEED, 0, generation, f"sample/{stream}") for generation in range(5) for stream in (0, 1)
    }
    assert not made & sampled  # nor are they the samples that are stored
    one, other = (resample_seed(STUDY_SEED, 0, 3, Draw(arm, 1, 5), 0) for arm in ("a", "b"))
    assert one == other
