"""Regimes are arithmetic: laws over all presets and schedules, and the numbers of each by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from collapselab.compose.regimes import (
    REAL,
    REGIMES,
    Bias,
    Draw,
    FromGeneration,
    Initial,
    LastK,
    Pool,
    Positive,
    Real,
    Recipe,
    Regime,
    Synthetic,
    Weight,
    Weights,
    ancestors,
    at,
    draws,
    entering,
    fresh_before,
    recipe,
    size,
)
from collapselab.testing import check_preset

N, INITIAL = 100, 80
NUMBERS = {  # what each preset needs besides n and initial
    "synthetic_augmentation": {"fixed": 30},
    "fresh_data": {"fresh": 30},
    "k_memory": {"fresh": 30, "k": 3},
}


def preset(name, n=N, initial=INITIAL, **numbers):
    return REGIMES[name](n=n, initial=initial, **(NUMBERS.get(name, {}) | numbers))


def algebra(**parts):
    return Regime.model_validate({"initial": {"real": INITIAL}, **parts})


every_preset = pytest.mark.parametrize("name", REGIMES)

# -- laws of all regimes ----------------------------------------------------------------------------------------------

counts = st.integers(0, 40)
generations = st.integers(0, 12)
schedules = counts | st.dictionaries(generations, counts, min_size=1, max_size=3)
sizes = st.integers(1, 60) | st.builds(
    lambda start, first, later: later | {start: first},
    st.integers(0, 1),
    st.integers(1, 60),
    st.dictionaries(generations, st.integers(1, 60), max_size=2),
)
windows = st.sampled_from(["last", "all"]) | st.builds(lambda k: {"last": k}, st.integers(1, 5))


@st.composite
def regimes(draw):
    mode = draw(st.sampled_from(["replace", "accumulate", "subsample"]))
    pool = {"mode": mode} | ({"budget": draw(sizes)} if mode == "subsample" else {})
    pool["includes"] = draw(st.lists(st.sampled_from(["real", "synthetic"]), unique=True))
    drawn = draw(st.sampled_from(["stored", "resample"])) if mode == "replace" else "stored"
    eaten = st.fixed_dictionaries({"n": schedules, "of": st.sampled_from(["self", "other"]), "from": windows})
    return algebra(
        real={origin: draw(schedules) for origin in REAL},
        synthetic=[{**part, "draw": drawn} for part in draw(st.lists(eaten, max_size=3))],
        pool=pool,
        weights={"real": draw(st.floats(0, 4)), "synthetic": draw(st.floats(0, 4))},
        init=draw(st.sampled_from(["scratch", "previous", {"generation": 0}, {"weights": "model"}])),
    )


@given(regimes(), generations)
def test_what_holds_for_every_regime(regime, t):
    pool = draws(regime, "arm", t)
    keys = [(draw.arm, draw.generation) for draw in pool]
    assert len(keys) == len(set(keys))  # one draw for each file
    assert all(draw.count > 0 for draw in pool)
    assert all(draw.generation < t for draw in pool if not draw.is_real)  # only ancestors are eaten
    assert all(draw.generation <= t for draw in pool)
    assert ancestors(regime, "arm", t) == [key for key, draw in zip(keys, pool, strict=True) if not draw.is_real]
    assert size(regime, "arm", t) <= sum(draw.count for draw in pool)
    if regime.pool.mode != "subsample":
        assert size(regime, "arm", t) == sum(draw.count for draw in pool)
    elif t:
        assert size(regime, "arm", t) == min(at(regime.pool.budget, t), sum(draw.count for draw in pool))


@given(regimes(), st.integers(1, 12))
def test_a_pool_that_keeps_only_grows(regime, t):
    if regime.pool.mode == "replace":
        return
    before, now = ({(d.arm, d.generation): d.count for d in draws(regime, "arm", when)} for when in (t - 1, t))
    for (arm, generation), count in before.items():
        # What entered at t - 1 and is not included has left; all that entered earlier and is included is there.
        if ("real" if arm in REAL else "synthetic") in regime.pool.includes:
            assert now[arm, generation] >= count


@given(regimes(), st.integers(1, 12))
def test_what_enters_is_what_was_asked_for(regime, t):
    asked = sum(at(number, t) for number in (regime.real.fixed, regime.real.fresh, regime.real.redrawn))
    asked += sum(at(part.n, t) for part in regime.synthetic)
    assert sum(draw.count for draw in entering(regime, "arm", t)) == asked


@given(regimes(), generations)
def test_regimes_and_recipes_survive_json(regime, t):
    assert Regime.model_validate_json(regime.model_dump_json(by_alias=True)) == regime
    assert Regime.model_validate(json.loads(json.dumps(regime.model_dump(mode="json", by_alias=True)))) == regime
    found = recipe(regime, "arm", t)
    assert Recipe.model_validate_json(found.model_dump_json()) == found


@given(regimes(), st.integers(1, 12))
def test_the_arms_name_stands_for_self_and_for_nothing_else(regime, t):
    renamed = [draw._replace(arm="another") if draw.arm == "arm" else draw for draw in draws(regime, "arm", t)]
    assert sorted(renamed) == sorted(draws(regime, "another", t))
    assert size(regime, "arm", t) == size(regime, "another", t)


@given(regimes(), regimes())
def test_generation_0_depends_on_the_initial_data_alone(one, other):
    first = recipe(one, "arm", 0)
    assert first == recipe(other, "brm", 0)  # or an edit of one arm's regime would plan everybody's generation 0 again
    assert first.draws == [Draw("fixed", 0, INITIAL)] and first.budget is None
    assert first.weights == {"real": 1.0, "synthetic": 1.0} and not first.keeps_rows and not first.resamples


# -- laws of all presets ----------------------------------------------------------------------------------------------


@every_preset
@pytest.mark.parametrize("t", range(1, 6))
def test_presets_have_the_size_that_they_are_given(name, t):
    total = INITIAL + t * N if name == "accumulate" else N
    assert size(preset(name), "arm", t) == total
    assert size(preset(name), "arm", 0) == INITIAL


@every_preset
def test_presets_take_schedules(name):
    growing = preset(name, n={1: 60, 3: 90})
    sums = {"accumulate": [INITIAL, INITIAL + 60, INITIAL + 120, INITIAL + 210, INITIAL + 300]}
    assert [size(growing, "arm", t) for t in range(5)] == sums.get(name, [INITIAL, 60, 60, 90, 90])


@every_preset
def test_every_preset_names_its_paper_or_its_role(name):
    words = ("et al.", "MAD", "control")
    assert any(word in REGIMES[name].__doc__ for word in words)


@every_preset
def test_a_preset_keeps_what_all_of_them_keep(name):
    check_preset(name, **NUMBERS.get(name, {}))


BY_HAND = {  # preset: its draws at generations 1 and 4, with n = 100 and 80 initial rows
    "real_only": ([("fixed", 0, 100)], [("fixed", 0, 100)]),
    "fully_synthetic": ([("arm", 0, 100)], [("arm", 3, 100)]),
    "synthetic_augmentation": ([("fixed", 0, 30), ("arm", 0, 70)], [("fixed", 0, 30), ("arm", 3, 70)]),
    "fresh_data": ([("fresh", 1, 30), ("arm", 0, 70)], [("fresh", 4, 30), ("arm", 3, 70)]),
    "ten_percent_real": ([("redrawn", 1, 10), ("arm", 0, 90)], [("redrawn", 4, 10), ("arm", 3, 90)]),
    "accumulate": (
        [("fixed", 0, 80), ("arm", 0, 100)],
        [("fixed", 0, 80), ("arm", 0, 100), ("arm", 1, 100), ("arm", 2, 100), ("arm", 3, 100)],
    ),
    "accumulate_subsample": (
        [("fixed", 0, 80), ("arm", 0, 100)],
        [("fixed", 0, 80), ("arm", 0, 100), ("arm", 1, 100), ("arm", 2, 100), ("arm", 3, 100)],
    ),
    # 70 rows of three generations: 23 each, and the one that is left of the latest.
    "k_memory": (
        [("fresh", 1, 30), ("arm", 0, 70)],
        [("fresh", 4, 30), ("arm", 1, 23), ("arm", 2, 23), ("arm", 3, 24)],
    ),
}


@every_preset
def test_presets_by_hand(name):
    regime = preset(name)
    assert tuple(draws(regime, "arm", t) for t in (1, 4)) == BY_HAND[name]


def test_only_k_memory_draws_anew_and_only_pools_keep_their_rows():
    found = {name: recipe(preset(name), "arm", 3) for name in REGIMES}
    assert {name for name, one in found.items() if one.resamples} == {"k_memory"}
    assert {name for name, one in found.items() if one.keeps_rows} == {"accumulate", "accumulate_subsample"}
    assert {name: one.budget for name, one in found.items() if one.budget} == {"accumulate_subsample": N}


def test_a_part_that_exceeds_the_whole_is_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"fixed is part of n.* n = 100, fixed = 120 from generation 0 on"):
        preset("synthetic_augmentation", fixed=120)
    with pytest.raises(ValueError, match=r"n = 50, fresh = 60 from generation 3 on"):
        preset("fresh_data", n={1: 100, 3: 50}, fresh=60)


# -- schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (7, [7, 7, 7, 7, 7]),
        ({0: 1, 2: 5}, [1, 1, 5, 5, 5]),
        ({1: 4, 3: 2}, [4, 4, 4, 2, 2]),
        ({2: 5, 4: 0}, [0, 0, 5, 5, 0]),
        ({3: 100}, [0, 0, 0, 100, 100]),
    ],
)
def test_a_schedule_holds_from_each_generation_that_it_names_and_never_backwards(schedule, values):
    assert [at(schedule, t) for t in range(5)] == values


def test_rows_may_come_later():
    regime = preset("fresh_data", fresh={3: 30})
    assert draws(regime, "arm", 2) == [("arm", 1, 100)]
    assert draws(regime, "arm", 3) == [("fresh", 3, 30), ("arm", 2, 70)]
    assert [fresh_before(regime, t) for t in range(6)] == [0, 0, 0, 0, 30, 60]


@pytest.mark.parametrize(
    ("kind", "number"), [(Positive, 50), (Weight, 0.5), (Bias, 0.5)], ids=["Positive", "Weight", "Bias"]
)
def test_what_has_no_number_before_its_first_generation_is_refused(kind, number):
    for start in (0, 1):
        assert TypeAdapter(kind).validate_python({start: number, 3: number}) == {start: number, 3: number}
    with pytest.raises(ValidationError, match=r"starts at generation 3; say what holds before: \{1: \.\.\., 3: "):
        TypeAdapter(kind).validate_python({5: number, 3: number})


def test_fresh_data_can_end():
    regime = preset("fresh_data", fresh={1: 30, 3: 0})
    assert draws(regime, "arm", 2) == [("fresh", 2, 30), ("arm", 1, 70)]
    assert draws(regime, "arm", 3) == [("arm", 2, 100)]
    assert [fresh_before(regime, t) for t in range(6)] == [0, 0, 30, 60, 60, 60]


def test_recipes_say_how_many_fresh_rows_were_used_up_before_each_of_their_draws():
    regime = algebra(real={"fresh": {1: 5, 2: 7}}, pool={"mode": "accumulate"})
    assert recipe(regime, "arm", 3).fresh_before == {1: 0, 2: 5, 3: 12}


def test_weights_follow_their_schedule_from_generation_1_on():
    regime = algebra(synthetic=[{"n": 10}], weights={"real": 2, "synthetic": {1: 0.5, 3: 0.25}})
    assert [recipe(regime, "arm", t).weights["synthetic"] for t in range(5)] == [1.0, 0.5, 0.5, 0.25, 0.25]
    assert [recipe(regime, "arm", t).weights["real"] for t in range(3)] == [1.0, 2.0, 2.0]


def test_a_later_generations_numbers_do_not_touch_an_earlier_recipe():
    one, other = (preset("fresh_data", n={1: 100, 3: late}) for late in (50, 60))
    assert [recipe(one, "arm", t) == recipe(other, "arm", t) for t in range(5)] == [True, True, True, False, False]


# -- windows, pools and other arms ------------------------------------------------------------------------------------


@given(st.integers(0, 500), st.integers(1, 8), st.integers(1, 20))
def test_shares_of_the_last_k_are_equal_but_for_one_row(n, k, t):
    regime = algebra(synthetic=[{"n": n, "from": {"last": k}, "draw": "resample"}], real={"fixed": 1})
    shares = [draw for draw in draws(regime, "arm", t) if not draw.is_real]
    counts = dict.fromkeys(range(max(0, t - k), t), 0) | {d.generation: d.count for d in shares}
    assert len(counts) == min(k, t) and sum(counts.values()) == n
    assert max(counts.values()) - min(counts.values()) <= 1
    assert list(counts.values()) == sorted(counts.values())  # what does not divide goes to the latest


def test_all_eats_every_generation():
    assert draws(algebra(synthetic=[{"n": 10, "from": "all"}]), "arm", 4) == [
        ("arm", 0, 2), ("arm", 1, 2), ("arm", 2, 3), ("arm", 3, 3)
    ]  # fmt: skip


def test_a_pool_keeps_what_it_includes():
    parts = {"real": {"redrawn": 4}, "synthetic": [{"n": 6}]}
    keeps = {name: algebra(**parts, pool={"mode": "accumulate", "includes": [name]}) for name in ("real", "synthetic")}
    real = [("fixed", 0, 80), ("redrawn", 1, 4), ("redrawn", 2, 4), ("redrawn", 3, 4)]
    assert draws(keeps["real"], "arm", 3) == [*real, ("arm", 2, 6)]
    assert draws(keeps["synthetic"], "arm", 3) == [("redrawn", 3, 4), ("arm", 0, 6), ("arm", 1, 6), ("arm", 2, 6)]


def test_fixed_rows_are_in_a_pool_once():
    regime = algebra(real={"fixed": 100}, synthetic=[{"n": 6}], pool={"mode": "accumulate"})
    assert draws(regime, "arm", 2) == [("fixed", 0, 100), ("arm", 0, 6), ("arm", 1, 6)]
    assert draws(algebra(real={"fixed": 10}, pool={"mode": "accumulate"}), "arm", 2) == [("fixed", 0, INITIAL)]


def test_a_budget_larger_than_the_pool_takes_all():
    regime = algebra(synthetic=[{"n": 10}], pool={"mode": "subsample", "budget": {1: 200, 3: 50}})
    assert [size(regime, "arm", t) for t in range(4)] == [80, 90, 100, 50]


def test_another_arm_is_eaten_by_its_name():
    regime = algebra(synthetic=[{"n": 10, "of": "other"}, {"n": 6}, {"n": 4, "of": "other", "from": {"last": 2}}])
    assert draws(regime, "arm", 2) == [("arm", 1, 6), ("other", 0, 2), ("other", 1, 12)]


# -- what cannot be said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"pool": {"mode": "subsample"}}, "a budget goes with mode: subsample"),
        ({"pool": {"mode": "accumulate", "budget": 5}}, "found mode 'accumulate'"),
        ({"synthetic": [{"n": 1, "draw": "resample"}, {"n": 1}]}, "both 'stored' and 'resample'"),
        ({"synthetic": [{"n": 1, "draw": "resample"}], "pool": {"mode": "accumulate"}}, "mode 'accumulate' keeps"),
        ({"real": {"fixed": -1}}, "greater than or equal to 0"),
        ({"real": {"fixed": True}}, "valid integer"),
        ({"real": {"fresh": {"soon": 3}}}, "valid integer"),
        ({"real": {"fresh": {}}}, "at least 1 item"),
        ({"synthetic": [{"n": 1, "from": {"last": 0}}]}, "greater than or equal to 1"),
        ({"weights": {"real": float("inf")}}, "finite"),
        ({"weights": {"real": -1.0}}, "greater than or equal to 0"),
        ({"initial": {"real": 0}}, "greater than or equal to 1"),
        ({"reel": {}}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(parts, message):
    with pytest.raises(ValidationError, match=message):
        algebra(**parts)


def test_the_algebra_writes_as_it_reads():
    """The parts by name, as Python code and as a study's words."""
    spelled = Regime(
        initial=Initial(real=INITIAL),
        real=Real(fixed=10),
        synthetic=[Synthetic(n=5, of="other", from_=LastK(last=2))],
        pool=Pool(mode="subsample", budget=20, includes=["synthetic"]),
        init=FromGeneration(generation=0),
        weights=Weights(synthetic=0.5),
    )
    assert spelled == algebra(
        real={"fixed": 10},
        synthetic=[{"n": 5, "of": "other", "from": {"last": 2}}],
        pool={"mode": "subsample", "budget": 20, "includes": ["synthetic"]},
        init={"generation": 0},
        weights={"synthetic": 0.5},
    )
