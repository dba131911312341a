"""Controls: one for each size and each supply of real rows, whatever the order of the arms; and what arms have used."""

import csv
import io
import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from collapselab import report
from collapselab.compose import regimes, rows
from collapselab.compose.supply import used
from collapselab.populations import POPULATIONS
from collapselab.study import results, words
from collapselab.study.loading import check
from collapselab.study.reading import parse
from collapselab.together import loop
from collapselab.together import records as together
from collapselab.verbs import compose
from collapselab.verdicts import analyse

ROOT = Path(__file__).parents[1]
FILES = {path.stem: path for folder in ("config", "tests/papers") for path in sorted((ROOT / folder).glob("*.yaml"))}
REAL = ("fixed", "fresh", "redrawn")
WAIVED = {"waive": {"training_set_size": "that is the question"}}
ARMS = {
    "renewed": {"fresh_data": {"fresh": 20}},
    "synthetic": "fully_synthetic",
    "growing": "accumulate",
    "larger": {"fully_synthetic": {"n": 250}},
    "started": {"fully_synthetic": {"initial": 250, "n": 250}},
}


def study(arms=ARMS, population=True, **changes):
    """A study whose arms have these regimes; of normal numbers, or of the digits."""
    raw = {
        "name": "study",
        "seeds": 3,
        "generations": 4,
        "data": {"population": "gaussian", "split": {"held_out": 50}},
        "models": {"one": {"gaussian": {"ddof": 0}}},
        "initial": {"real": 100},
        "samples": 300,
        "extractors": ["moments"],
        "metrics": ["variance_ratio", "frechet_distance"],
        "primary": {"metric": "variance_ratio", "extractor": "moments"},
        "together": True,
        "arms": {name: {"model": "one", "regime": regime} for name, regime in arms.items()},
    }
    if not population:
        raw |= {
            "data": {"source": "digits", "split": {"train": 200, "held_out": 50, "fresh": 100}},
            "models": {"one": {"diffusion": {"preset": "tiny"}}},
            "extractors": ["pixels"],
            "metrics": ["recall"],
            "primary": {"metric": "recall", "extractor": "pixels"},
            "together": False,
        }
    return checked(raw | changes)


def checked(raw):
    found, faults = check(raw, raw["name"])
    assert not faults, faults
    return found


def controls(found):
    """What the controls of a study are, by name, without the order in which they stand."""
    shown = ("base", "model", "regime", "about", "stands_beside", "epochs_of")
    return {name: {key: getattr(one, key) for key in shown} for name, one in found.lineages.items() if one.is_control}


def sizes(found, arm):
    return [regimes.size(found.lineages[arm].regime, arm, t) for t in range(found.file.generations + 1)]


def measured(found):
    """The records of a study whose seeds run together."""
    records = []
    for arm in found.lineages:
        whole = found.replicated(arm)
        records += together.records("study", whole, loop.run(whole))
    return records


# -- one control for each size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["real_only", "real_supply", "both"])
def test_the_order_of_arms_changes_no_control(kind):
    first = study(control=kind, **WAIVED)
    for order in list(permutations(ARMS))[::7]:
        other = study({arm: ARMS[arm] for arm in order}, control=kind, **WAIVED)
        assert controls(other) == controls(first)
        assert (other.controls, other.supplies) == (first.controls, first.supplies)


@pytest.mark.slow
def test_the_order_of_arms_changes_no_finding():
    arms = {name: ARMS[name] for name in ("renewed", "synthetic", "growing")}

    def findings(order):
        found = study({arm: arms[arm] for arm in order}, control="both", seeds=4, **WAIVED)
        found = analyse(results.facts(found), measured(found))
        return {(name, one.question, one.arm): one for name, answers in found.items() for one in answers}

    first = findings(arms)
    assert {arm for *_, arm in first} >= {"renewed", "synthetic", "growing", "control", "control_n100_to_500"}
    for order in list(permutations(arms))[1::2]:
        assert findings(order) == first


@pytest.mark.parametrize("name", FILES)
def test_every_arm_stands_beside_a_control_of_its_own_sizes(name):
    found = check(parse(FILES[name])[0] | {"control": "real_only"}, name)[0]
    split = found.file.data.split.train
    for arm in found.file.arms:
        most = [n if found.population_name or not t else min(n, split) for t, n in enumerate(sizes(found, arm))]
        control = found.lineages[found.controls[arm]]
        assert sizes(found, control.name) == most, arm
        assert control.model == found.lineages[arm].model
        assert {draw.arm for t in range(1, 3) for draw in regimes.draws(control.regime, "", t)} <= {"fixed"}


def test_a_control_is_called_by_its_size_but_for_the_one_of_most_arms():
    found = study(**WAIVED)
    assert found.controls == {
        "renewed": "control",
        "synthetic": "control",
        "growing": "control_n100_to_500",
        "larger": "control_n100_to_250",
        "started": "control_n250",
    }
    assert found.lineages["control"].about == "real data only, at renewed and synthetic's total size"
    assert study({"synthetic": "fully_synthetic"}).lineages["control"].about == (
        "real data only, at the arms' total size"
    )
    jumps = {"a": {"fully_synthetic": {"n": {1: 100, 3: 500}}}, "b": {"fully_synthetic": {"n": {1: 100, 4: 500}}}}
    names = set(
        study({**jumps, "c": "fully_synthetic", "d": "fully_synthetic"}, samples=500, **WAIVED).controls.values()
    )
    assert len(names) == 3 and "control" in names  # two schedules with the same ends are told apart


def test_a_control_has_no_more_images_than_there_are():
    found = study({"growing": "accumulate", "synthetic": "fully_synthetic"}, population=False, **WAIVED)
    assert sizes(found, found.controls["growing"]) == [100, 200, 200, 200, 200]
    said = "every arm stands beside a control that has its total size in real data"
    assert words.describe_controls(found) == [f"{said}, or all 200 images where growing had more"]
    about = found.lineages[found.controls["growing"]].about
    assert about == "real data only, at growing's total size, or all 200 images where growing had more"


# -- the real rows without the synthetic ones --------------------------------------------------------------------------


def rows_of(found, arm, generation, seed=1):
    """The real rows of a training set, by what they are: places in a split, or the numbers that were drawn."""
    recipe = found.recipe(arm, generation)
    if found.population_name is None:
        parts = {draw: found.file.data.split.fresh if draw.arm == "fresh" else 200 for draw in recipe.draws}
        there = {draw[:2]: count if draw.is_real else found.kept(draw.arm) for draw, count in parts.items()}
        chosen = rows.choose(recipe, there, found.file.seed, seed)
        return [("fresh" if d.arm == "fresh" else "train", int(row)) for d, some in chosen if d.is_real for row in some]
    population = POPULATIONS["gaussian"].population(POPULATIONS["gaussian"].PopulationOptions())
    drawn = compose.draw(recipe, found.file.seed, seed, population, {})
    return drawn.data.ravel().tolist()


ALONE = {
    "renewed": {"fresh_data": {"fresh": {1: 20, 3: 5}}},
    "kept": {"synthetic_augmentation": {"fixed": {1: 30, 2: 120}, "n": {1: 100, 2: 130}}},
    "synthetic": "fully_synthetic",
    "growing": "accumulate",
    "subsampled": "accumulate_subsample",
}


@pytest.mark.parametrize("population", [True, False])
def test_a_supply_is_the_real_rows_that_an_arm_has_used_by_then(population):
    tenth = {"tenth": "ten_percent_real"} if population else {}
    found = study(ALONE | tenth, population, control="real_supply", **WAIVED)
    for arm, supply in found.controls.items():
        by_then = set()
        for t in range(found.file.generations + 1):
            by_then |= set(rows_of(found, arm, t))
            alone = rows_of(found, supply, t)
            assert len(alone) == len(set(alone)) and set(alone) == by_then, (arm, t)
            assert all(draw.is_real for draw in found.recipe(supply, t).draws)
            assert found.used[arm][t].real == found.used[supply][t].real == len(by_then)
            assert found.used[supply][t].generated == 0


def test_of_rows_redrawn_from_a_split_there_are_as_many_as_are_expected():
    found = study({"tenth": "ten_percent_real"}, population=False, initial={"real": 50}, control="real_supply")
    supply = found.controls["tenth"]
    seen = []
    for seed in range(200):
        by_then = {row for t in range(5) for row in rows_of(found, "tenth", t, seed)}
        seen.append(len(by_then))
    assert sizes(found, supply) == [50, 54, 57, 61, 64]
    error = np.std(seen) / np.sqrt(len(seen))
    assert abs(np.mean(seen) - sizes(found, supply)[-1]) < 4 * error + 0.5  # of rounding to a row


def test_a_supply_needs_no_waiver_and_sees_as_many_images():
    arms = {"renewed": {"fresh_data": {"fresh": 20}}, "half": {"synthetic_augmentation": {"fixed": 50}}}
    found = study(arms, population=False, control="both", train={"epochs": 3})
    assert sizes(found, found.supplies["renewed"]) == [100, 120, 140, 160, 180]
    assert found.controls == {"renewed": "control", "half": "control"}
    assert found.supplies["half"] == "control"  # all real rows that it has are those of the control
    seen = {arm: [found.images_seen(arm, t) for t in range(5)] for arm in found.lineages}
    assert all(one == [300] * 5 for one in seen.values()), seen
    larger = {"larger": {"fully_synthetic": {"n": 150}}}
    found = study(larger, population=False, control="both", train={"epochs": 3}, samples=150)
    assert sizes(found, found.supplies["larger"]) == [100] * 5
    assert [found.images_seen(found.supplies["larger"], t) for t in range(5)] == [300, 450, 450, 450, 450]


def test_what_an_arm_eats_of_another_brings_that_ones_real_rows():
    regime = {"algebra": {"synthetic": [{"n": 50}, {"n": 50, "of": "renewed"}]}}
    arms = {"eater": {"model": "one", "regime": regime, "stream": 1}}
    arms["renewed"] = {"model": "one", "regime": {"fresh_data": {"fresh": 20}}}
    raw = json.loads(study(**WAIVED).plan()) | {"arms": arms, "together": False, "control": "real_supply", "waive": {}}
    raw |= {"extractors": ["identity"], "metrics": ["recall"], "primary": {"metric": "recall", "extractor": "identity"}}
    found = checked(raw)
    assert [one.real for one in found.used["renewed"]] == [100, 120, 140, 160, 180]
    assert [one.real for one in found.used["eater"]] == [100, 100, 120, 140, 160]  # of the models that it eats
    assert sizes(found, found.controls["eater"]) == [100, 100, 120, 140, 160]


def test_generated_samples_are_counted_once():
    one = {
        "stored": regimes.Regime(
            initial=regimes.Initial(real=10), synthetic=[regimes.Synthetic(n=30, from_=regimes.LastK(last=2))]
        ),
        "growing": regimes.accumulate(n=20, initial=10),
    }
    found = used(one, 4, None, {"stored": 35, "growing": 20})
    assert [amount.generated for amount in found["growing"]] == [0, 20, 40, 60, 80]
    # 30 of the first; then 15 of each of two: at most 35 of the first are there, and so on.
    assert [amount.generated for amount in found["stored"]] == [0, 30, 50, 80, 110]
    assert [amount.generated for amount in used(one, 4, None)["stored"]] == [0, 30, 60, 90, 120]


def test_names_of_controls_are_theirs():
    raw = json.loads(study(**WAIVED).plan()) | WAIVED
    for kind, name, refused in [
        ("real_only", "supply_a", False),
        ("real_supply", "supply_a", True),
        ("real_supply", "control_a", False),
        ("both", "control_a", True),
        ("both", "supply", True),
        ("none", "supply", False),
    ]:
        faults = check(raw | {"control": kind, "arms": raw["arms"] | {name: raw["arms"]["synthetic"]}}, "study")[1]
        assert [fault.path for fault in faults] == ([("arms", name)] if refused else []), (kind, name)


# -- where it is told --------------------------------------------------------------------------------------------------


def test_a_plan_says_what_each_arm_uses():
    found = study({name: ARMS[name] for name in ("renewed", "synthetic")}, control="both")
    assert words.used(found) == {
        "control": "100 distinct real rows",
        "supply_n100_to_180": "180 distinct real rows",
        "renewed": "180 distinct real rows and 320 generated samples",
        "synthetic": "100 distinct real rows and 400 generated samples",
    }


def test_the_report_has_arms_beside_their_real_rows_alone():
    found = study({name: ARMS[name] for name in ("renewed", "synthetic")}, control="both", seeds=200)
    built = report.build(results.facts(found), measured(found), figures=False)
    page, told = built["report.html"].decode(), json.loads(built["verdicts.json"])["slope_against_supply"]
    assert told.keys() == {"renewed", "synthetic"} and told["synthetic"]["status"] == "falls"
    assert "relative to supply_n100_to_180" in told["renewed"]["sentence"]
    assert told["renewed"]["numbers"]["real_rows"] == 180 and told["renewed"]["numbers"]["generated"] == 320
    table = page.partition('id="supply"')[2].partition("</section>")[0]
    assert '<td class="number">180</td><td class="number">320</td>' in table
    assert "180 distinct real rows and 320 generated samples by generation 4" in page.partition('id="samples"')[0]
    last = json.loads(built["summary.json"])["renewed"]
    assert (last["distinct_real_rows"], last["generated_samples"]) == (180, 320)
    rows = list(csv.DictReader(io.StringIO(built["summary.csv"].decode())))
    used_by = {row["arm"]: (row["distinct_real_rows"], row["generated_samples"]) for row in rows}
    assert used_by["renewed"] == ("180", "320") and used_by["supply_n100_to_180"] == ("180", "0")


def test_where_arms_stand_beside_their_real_rows_alone_that_is_the_control():
    found = study({"renewed": ARMS["renewed"]}, control="real_supply", seeds=3)
    facts = results.facts(found)
    assert facts.matched == [
        "every arm stands beside a control that has the real rows that it used by then, and no others"
    ]
    assert facts.control == facts.control_of("renewed") == "supply_n100_to_180" and not facts.supplies
    told = analyse(facts, measured(found))
    assert told["slope_against_supply"] == []
    assert [one.status for one in told["slope_against_control"] if one.arm == facts.control] == ["not testable"]
    assert not study({"renewed": ARMS["renewed"]}, control="none").controls
