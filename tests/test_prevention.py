"""Measures against collapse at one budget: prices by hand, the front by brute force, advice from made-up records."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from project import ROOT
from scipy import stats

from collapselab import study as studies
from collapselab.core.spent import Spent
from collapselab.report.fronts import prevention_charts
from collapselab.report.numbers import prevention_rows, price_words
from collapselab.report.sections import used_words
from collapselab.study import find, prevention, results
from collapselab.study.loading import check
from collapselab.verdicts import Endpoint, Prevention, StudyFacts, analyse, standings
from collapselab.verdicts.many_to_one import apart, critical, gains, surely_above, within
from collapselab.verdicts.prevention import GOALS, Point, beaten, compared, table_of
from collapselab.verdicts.recommendations import AUDIENCES, DEEDS, NONE, recommendations, way_of
from collapselab.verdicts.records import indexed

SHIPPED = ROOT / "config" / "prevention.yaml"


@pytest.fixture(scope="module")
def shipped():
    return studies.load(SHIPPED)


# -- prices ------------------------------------------------------------------------------------------------------------


def test_prices_are_what_the_file_comes_to_by_hand(shipped):
    """Four generations of 800 samples; each line is images, real rows, evaluations and judgements in that order."""
    plain = (4 * 32_000, 400, 4 * 800 * 72, 0)
    by_hand = {
        **dict.fromkeys(shipped.file.arms, plain),
        "fresh_data": (4 * 32_000, 280 + 3 * 40, 4 * 800 * 72, 0),
        "sims": (4 * (28_000 + 4_000), 400, 4 * (800 * 2 * 30 + 320 * 30), 0),  # two networks; own samples by one
        "neon": (4 * (28_000 + 4_000), 400, 4 * (800 + 400) * 48, 0),
        "converged": (4 * 32_000, 400, 4 * 800 * 72, 0),
        "stopped_early": (4 * 16_000, 400, 4 * 800 * 72, 0),
        "taught": (*plain[:3], 4 * 10 * 80),
        "untaught": (*plain[:3], 4 * 10 * 80),
    }
    found = {arm: prevention.spent(shipped, arm) for arm in shipped.file.arms}
    assert {arm: one.price for arm, one in found.items()} == by_hand
    assert (found["accumulation"].kept, found["subsampling"].kept, found["nothing"].kept) == (1600, 1600, 400)
    assert (found["realism"].discarded, found["nothing"].discarded) == (4 * 400, 0)


def test_real_rows_that_a_selector_is_shown_are_counted_and_said(monkeypatch):
    """Of a population as many as are held out; of a data set the train split less what is trained on: 2,000 - 500."""
    monkeypatch.chdir(ROOT)
    drayson, chosen = find("config/papers/drayson.yaml"), find("text-chosen")
    said = "1,000 further real rows were shown to its selector"
    assert prevention.shown_in_words(drayson) == {"detector": said}
    assert {arm: prevention.real_of(drayson, arm) for arm in drayson.file.arms} == {"plain": 1000, "detector": 2000}
    assert set(prevention.shown_in_words(chosen).values()) == {said.replace("1,000", "1,500")}
    assert {prevention.real_of(chosen, arm) for arm in ("chance", "varied")} == {500}
    assert {prevention.real_of(chosen, arm) for arm in ("fluent", "detector")} == {2000}
    assert used_words(results.facts(drayson)).endswith(f": 1,000 in every arm. In detector {said}.")


def test_the_images_of_prices_are_those_that_plan_counts(shipped):
    """Plan counts generation 0 once for all arms that share it; prices count it for each arm."""
    found = studies.budget.work(shipped)
    arms, seeds = shipped.file.arms, shipped.file.seeds
    shared = sum(shipped.images_seen(arm, 0) for arm in arms) - sum(
        shipped.images_seen(one, 0) for one in shipped.bases
    )
    in_all = sum(prevention.spent(shipped, arm).images for arm in arms)
    assert sum(one.trained for one in found.values()) == seeds * (in_all - shared)


def test_what_each_arm_does_is_read_from_the_file(shipped):
    said = {arm: prevention.measures(shipped, arm) for arm in shipped.file.arms}
    assert said == {
        **dict.fromkeys(("realism", "reward", "tails"), ("filter",)),
        "nothing": (),
        "real_alone": ("kept",),
        "fresh_data": ("fresh",),
        "accumulation": ("accumulation",),
        "subsampling": ("subsampling",),
        "weights": ("weights", "accumulation"),
        "chance": ("chance",),
        "taught": ("taught",),
        "untaught": ("untaught",),
        "unmarked": ("purge",),
        "sims": ("guide",),
        "neon": ("adapter",),
        "converged": ("sampler",),
        "stopped_early": ("stopping",),
    }
    assert {one for of in said.values() for one in of} - {"chance"} <= set(DEEDS)
    assert {arm for arm in shipped.file.arms if prevention.simulates(shipped, arm)} == {"taught", "untaught"}


@pytest.mark.parametrize(
    "change, told",
    [
        ({"arms.sims.sampler": {"ddim": {"steps": 31}}}, ["arms.sims", "evaluations", "59,520 a generation", "57,600"]),
        ({"arms.neon.sampler": {"ddim": {"steps": 47}}}, ["arms", "evaluations", "neon 56,400", "waive"]),
        ({"arms.stopped_early.model": "long"}, ["arms.stopped_early", "images seen", "64,000", "32,000"]),
        ({"arms.fresh_data.regime": {"fresh_data": {"n": 400, "fresh": 40}}}, ["arms.fresh_data", "real rows", "520"]),
        ({"arms.fresh_data.regime": {"fresh_data": {"n": 400, "initial": 240, "fresh": 40}}}, ["real_rows: reason"]),
        ({"prevention.against": "nobody"}, ["prevention.against", "nobody"]),
        ({"prevention.yardstick": "nothing"}, ["prevention.yardstick", "nothing"]),
        ({"prevention.fidelity": {"metric": "density", "extractor": "lenet"}}, ["prevention.fidelity", "density"]),
        ({"prevention.fidelity": {"metric": "class_entropy", "extractor": "lenet"}}, ["better when higher or lower"]),
        ({"waive.evaluations": "why not"}, ["waive.evaluations", "nothing to waive"]),
        ({"prevention": None, "waive.real_rows": "why not"}, ["waive.real_rows", "nothing to waive"]),
        (
            {"arms.neon.adapt": {"rwr": {"reward": "brightness", "images_seen": 4000}}},
            ["arms.neon.adapt", "rwr", "nobody has counted"],
        ),
    ],
)
def test_what_makes_measures_unequal_is_a_fault(change, told, tmp_path):
    raw = yaml.safe_load(SHIPPED.read_text())
    raw["models"]["long"] = {"diffusion": {**raw["models"]["whole"]["diffusion"], "images_seen": 64_000}}
    for where, what in change.items():
        *path, last = where.split(".")
        part = raw
        for key in path:
            part = part[key]
        part[last] = what
    path = tmp_path / "prevention.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    with pytest.raises(studies.BadStudy) as error:
        studies.load(path)
    said = [f"{'.'.join(map(str, fault.path))}: {fault.message}" for fault in error.value.faults]
    assert any(all(words in one for words in told) for one in said), said


# -- the front ---------------------------------------------------------------------------------------------------------

FEW = st.integers(0, 3)  # of few values, so that there are ties


@given(st.lists(st.tuples(st.tuples(FEW, FEW), st.tuples(FEW, FEW)), min_size=1, max_size=12))
@settings(max_examples=200)
def test_the_front_is_that_of_brute_force(drawn):
    """By the definition over all pairs, on arrays: nobody is at least as good everywhere, and better somewhere."""
    points = {f"arm{index}": Point(goods, price) for index, (goods, price) in enumerate(drawn)}
    worth = np.array([[*goods, *(-one for one in price)] for goods, price in drawn])
    no_worse = (worth[:, None] >= worth[None]).all(axis=2)
    better = (worth[:, None] > worth[None]).any(axis=2)
    by = beaten(points)
    for index, arm in enumerate(points):
        expected = [f"arm{other}" for other in np.flatnonzero(no_worse[:, index] & better[:, index])]
        assert list(by[arm]) == expected
    assert any(not of for of in by.values())  # something is on every front


# -- many arms against one ---------------------------------------------------------------------------------------------


def test_bounds_are_dunnetts():
    """His table of 1964 for two sides, 5 % and endless degrees of freedom; one arm is Student's t; scipy's p-values."""
    assert [round(critical(k, 10**6), 2) for k in range(1, 10)] == [
        1.96,
        2.21,
        2.35,
        2.44,
        2.51,
        2.57,
        2.61,
        2.65,
        2.69,
    ]
    for freedom in (4, 32):  # of the quadrature over s
        assert critical(1, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-4)
    draws = np.random.default_rng(3)
    arms, control = draws.normal(0.8, 1, (4, 7)), draws.normal(size=7)
    theirs = stats.dunnett(*arms, control=control)  # by random points, to about .001
    ours = [1 - within(abs(one), 4, 5 * 6) for one in theirs.statistic]
    assert ours == pytest.approx(theirs.pvalue, abs=3e-3)


def test_an_interval_is_what_a_table_of_two_ways_gives_by_hand():
    numbers = {"none": {0: 1.0, 1: 2.0, 2: 3.0}, "a": {0: 2.0, 1: 3.5, 2: 3.5}, "b": {0: 0.0, 1: 1.0, 2: 5.0}}
    cells = np.array([list(of.values()) for of in numbers.values()])
    rest = cells - cells.mean(1, keepdims=True) - cells.mean(0) + cells.mean()
    error = np.sqrt((rest**2).sum() / 4) * np.sqrt(2 / 3)
    found = gains(numbers, "none")
    assert found["a"].mean == pytest.approx(1.0) and found["b"].mean == pytest.approx(0.0)
    assert found["a"].high - found["a"].low == pytest.approx(2 * critical(2, 4) * error, rel=1e-12)
    assert found["a"].agree and not found["b"].agree
    assert apart(numbers, "a", "none").high < found["a"].high  # one difference alone, by Student's t


def test_where_nothing_happens_few_studies_find_anything():
    """Of 150 studies of 16 arms and three seeds at most 5 % find a difference, but for four standard errors."""
    draws = np.random.default_rng(7).normal(size=(150, 17, 3))
    alarms = loose = 0
    for study in draws:
        numbers = {arm: dict(enumerate(row)) for arm, row in enumerate(study)}
        found = gains(numbers, 0).values()
        loose += any(one.low * one.high > 0 for one in found)
        alarms += any(one.side for one in found)
    assert alarms <= loose and 0 < loose / 150 < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 150)


def test_a_lineage_that_ended_is_not_compared_and_equal_numbers_have_no_interval():
    numbers = {"none": {0: 1.0, 1: 1.0, 2: 1.0}, "a": {0: 2.0, 1: 2.0}, "b": {0: 1.0, 1: 1.0, 2: 1.0}}
    found = gains(numbers, "none")
    assert list(found) == ["b"] and found["b"].unchanged and apart(numbers, "a", "none") is None
    assert not surely_above({"a": {0: 2.0, 1: 2.0, 2: 2.0}, "b": {0: 1.0, 1: 1.0, 2: 1.0}}, [("a", "b")])


# -- from records to advice --------------------------------------------------------------------------------------------

PLAIN = Spent(images=4000, real=100, evaluations=8000, kept=100)
ARMS = {  # arm -> what it does, and what it spends
    "nothing": ((), PLAIN),
    "real_alone": (("kept",), PLAIN),
    "fresh": (("fresh",), PLAIN),
    "growing": (("accumulation",), PLAIN._replace(kept=400)),
    "weighed": (("weights", "accumulation"), PLAIN._replace(kept=400)),
    "realism": (("filter",), PLAIN._replace(discarded=400)),
    "taught": (("taught",), PLAIN._replace(judgements=200, discarded=400)),
    "untaught": (("untaught",), PLAIN._replace(judgements=200, discarded=400)),
    "short": (("stopping",), PLAIN._replace(images=2000)),
}


def facts_of(**changes):
    said = Prevention(
        against="nothing",
        yardstick="real_alone",
        fidelity=Endpoint("precision", "lenet"),
        diversity=Endpoint("recall", "lenet"),
        spent={arm: spent for arm, (_, spent) in ARMS.items()},
        measures={arm: does for arm, (does, _) in ARMS.items() if arm not in ("nothing", "real_alone")},
    )
    given = {"name": "made_up", "arms": dict.fromkeys(ARMS, ""), "primary": Endpoint("recall", "lenet"), "seeds": 3}
    better = {"recall": "higher", "precision": "higher"}
    return StudyFacts(**(given | {"generations": 2, "better": better, "prevention": said} | changes))


def records_of(ends, noise=0.002, seeds=3):
    """Records whose first models have .8 of both, and whose last have ``ends``: arm -> (precision, recall)."""
    draws, found = np.random.default_rng(11), []
    for arm, seed in itertools.product(ARMS, range(seeds)):
        last = ends.get(arm, ends["nothing"])
        for generation, numbers in {0: (0.8, 0.8), 2: np.add(last, draws.normal(0, noise, 2))}.items():
            values = [
                {"set": "sampled", "extractor": "lenet", "metric": metric, "value": float(number), "fingerprint": "x"}
                for metric, number in zip(("precision", "recall"), numbers, strict=True)
            ]
            cell = {"arm": arm, "seed": seed, "generation": generation, "status": "ok", "composition": []}
            found.append(cell | {"values": values, "fingerprints": {"x": {}}})
    return found


def advice(records, facts=None):
    """(audience, arm, and what it is about) -> finding."""
    found = recommendations(facts or facts_of(), records)
    assert len({(one.question, one.arm) for one in found}) == len(found)  # verdicts.json has one of each
    return {(one.question.removeprefix("recommendation."), one.arm): one for one in found}


def test_recommendations_change_when_the_records_change():
    good = advice(records_of({"nothing": (0.7, 0.4), "fresh": (0.7, 0.6), "realism": (0.9, 0.2)}))
    bad = advice(records_of({"nothing": (0.7, 0.4), "fresh": (0.7, 0.2), "realism": (0.7, 0.4)}))
    assert [of["public", "fresh"].status for of in (good, bad)] == ["do", "avoid"]
    assert [of["practitioners", "realism"].status for of in (good, bad)] == ["weigh", "no advice"]
    assert good["public", "fresh"].sentence != bad["public", "fresh"].sentence
    assert good["public", "fresh"].numbers["diversity_mean"] == pytest.approx(0.25, abs=0.01)  # (.6 - .4) / .8
    assert "fidelity_mean" not in good["public", "fresh"].numbers  # nothing happened to it, and nothing rests on it
    said = good["practitioners", "realism"].sentence
    assert "points more of fidelity (precision)" in said and "points less of diversity (recall)" in said
    assert good["practitioners", "realism"].words["pro"] == "more fidelity"
    assert good["practitioners", "realism"].words["con"] == "less diversity; 400 samples are thrown away"
    assert good["researchers", "short"].words["pro"] == "2,000 fewer images to train on"


def test_what_weights_do_is_told_beside_the_arm_that_does_the_rest():
    """Accumulation by itself helps as much: weights are not to have its merit."""
    same = advice(records_of({"nothing": (0.7, 0.4), "growing": (0.7, 0.6), "weighed": (0.7, 0.6)}))
    more = advice(records_of({"nothing": (0.7, 0.4), "growing": (0.7, 0.6), "weighed": (0.7, 0.7)}))
    assert [of["practitioners", "weighed"].status for of in (same, more)] == ["no advice", "do"]
    assert [of["practitioners", "growing"].status for of in (same, more)] == ["do", "do"]
    assert "than in growing" in more["practitioners", "weighed"].sentence


def test_the_public_is_told_whether_to_be_taught_by_the_two_kinds_of_judges():
    found = advice(records_of({"nothing": (0.7, 0.4), "taught": (0.8, 0.5), "untaught": (0.7, 0.4)}))
    assert (
        found["public.taught", "taught"].status == "do"
        and "than in untaught" in found["public.taught", "taught"].sentence
    )
    assert found["public", "untaught"].status == "no advice"
    assert "200 judgements" in found["public", "taught"].words["con"]


def test_what_rests_on_simulated_judges_says_so():
    records = records_of({"nothing": (0.7, 0.4), "taught": (0.8, 0.5), "untaught": (0.7, 0.4)})
    people, simulated = advice(records), facts_of()
    simulated = advice(records, facts_of(prevention=simulated.prevention._replace(simulated=("taught", "untaught"))))
    for key in people:
        assert "simulated" not in people[key].words["con"]
        assert ("simulated" in simulated[key].words["con"]) == ("taught" in key[1]), key


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.05, 0.3])
def test_no_recommendation_rests_on_a_difference_whose_interval_includes_0(noise):
    chance = np.random.default_rng(5)
    for _ in range(25):
        ends = {arm: tuple(chance.uniform(0.3, 0.8, 2)) for arm in ARMS}
        for one in advice(records_of(ends, noise)).values():
            goals = [goal for goal in GOALS if f"{goal}_mean" in one.numbers]
            assert bool(goals) == (one.status != NONE)
            for goal in goals:
                low, mean, high = (one.numbers[f"{goal}_{end}"] for end in ("low", "mean", "high"))
                assert low <= mean <= high and low * high > 0
            assert one.words["pro"] and one.words["con"] and one.sentence.endswith(".")


def test_each_audience_is_told_why_nothing_is_advised():
    """By noise that hides all, and by too few seeds."""
    loud, few = (records_of({"nothing": (0.7, 0.4)}, noise, seeds) for noise, seeds in ((0.2, 3), (0.002, 2)))
    for records, words in ((loud, "95 % interval"), (few, "a test needs at least 3 seeds, and there are 2")):
        found = advice(records)
        assert {one.words["audience"] for one in found.values()} == set(AUDIENCES)
        assert {one.status for one in found.values()} == {NONE}
        assert all(one.sentence.startswith("Nothing is advised: ") and words in one.sentence for one in found.values())
    assert recommendations(facts_of(prevention=None), loud) == compared(facts_of(prevention=None), loud) == []


def test_standings_rank_by_both_goods_and_every_part_of_the_price():
    ends = {
        "nothing": (0.7, 0.4),
        "fresh": (0.75, 0.6),
        "realism": (0.9, 0.2),
        "taught": (0.75, 0.6),
        "short": (0.7, 0.4),
    }
    found = standings(facts_of(), records_of(ends, 0.0005))
    assert not found["fresh"].beaten_by and not found["realism"].beaten_by and not found["short"].beaten_by
    assert "fresh" in found["growing"].beaten_by and found["growing"].status == "beaten"
    assert [arm for arm, one in found.items() if "taught" in one.beaten_by] == ["untaught"]  # dearer than all others
    assert all("real_alone" not in one.beaten_by for one in found.values())
    rows = prevention_rows(facts_of(), records_of(ends, 0.0005))
    by = {(row["arm"], row["goal"]): row for row in rows}
    assert by["fresh", "diversity"]["value"] == pytest.approx(25, abs=1) and by["fresh", "diversity"]["front"]
    assert by["nothing", "diversity"]["value"] == 0 and by["nothing", "diversity"]["low"] is None
    assert len({row["x"] for row in rows}) == len(ARMS)  # none hides another


def test_the_report_has_the_front_the_prices_and_the_advice():
    ends = {"nothing": (0.7, 0.4), "fresh": (0.75, 0.6), "taught": (0.75, 0.6)}
    found = analyse(facts_of(), records_of(ends))
    assert {one.arm for one in found["prevention"]} == set(ARMS) and found["recommendations"]
    charts = prevention_charts(facts_of(), records_of(ends), 1040)
    assert list(charts) == ["prevention", "price"]
    for chart in charts.values():
        assert "no other beats" in chart["description"] and "fresh" in chart["description"]
        assert {row["arm"] for row in chart["data"]["values"]} == set(ARMS)
    assert prevention_charts(facts_of(prevention=None), records_of(ends), 1040) == {}


def test_where_less_is_better_what_is_kept_is_turned_round():
    facts = replace(facts_of(), better={"recall": "lower", "precision": "higher"})
    found = standings(facts, records_of({"nothing": (0.7, 0.4), "fresh": (0.7, 1.6)}, 0.0005))
    assert found["nothing"].kept["diversity"][0] == pytest.approx(2, rel=0.01)
    assert found["fresh"].kept["diversity"][0] == pytest.approx(0.5, rel=0.01)


def test_ways_and_prices_in_words():
    one, other = Spent(10, 5, 7), Spent(8, 5, 7, 3)
    assert price_words(one, one) == "the budget"
    assert price_words(other, one) == "2 images less and 3 judgements more"
    assert way_of({}) == NONE


def test_what_the_public_is_told_holds_beside_all_other_advice():
    """At this spread a gap of .05 is sure of two arms by themselves, and not of two among eight."""
    ends = {"nothing": (0.7, 0.4), "taught": (0.7, 0.4), "untaught": (0.75, 0.4)}
    records = records_of(ends, noise=0.022)
    numbers = table_of(facts_of(), indexed(records))["fidelity"]
    assert apart(numbers, "taught", "untaught").side == -1
    assert advice(records)["public.taught", "taught"].status == "no advice"


def test_the_arm_without_a_measure_has_none():
    said = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for changes, words in (
        ({"against": "accumulation"}, "is a measure itself"),
        ({"against": "taught"}, "is a measure itself"),
        ({"diversity": said["prevention"]["fidelity"]}, "same number as fidelity"),
    ):
        _, faults = check(said | {"prevention": said["prevention"] | changes}, "prevention")
        assert any(words in fault.message for fault in faults), changes
