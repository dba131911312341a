"""Axes of a study: which arms a sweep makes, where their faults are told, and that a study without one is untouched."""

import json

import pytest
import yaml

from collapselab import study as studies
from collapselab.study import results
from collapselab.study.sweep import ARMS_MAX
from collapselab.study.words import describe_arm, totals

STUDY = """
name: swept
seeds: 2
generations: 2
data: {population: gaussian, split: {held_out: 50}}
models:
  normal: {gaussian: {ddof: 0}}
  other: {gaussian: {ddof: 1}}
initial: {real: 20}
samples: 80
extractors: [moments]
metrics: [frechet_distance]
primary: {metric: frechet_distance, extractor: moments}
waive: {training_set_size: the pool of accumulate grows}
arms:
  replace: {model: normal, regime: fully_synthetic}
  accumulate: {model: other, regime: {accumulate: {n: 10}}}
sweep:
  initial.real: [20, 40, 80]
"""


def said(**changes):
    return yaml.safe_load(STUDY) | changes


def of(raw):
    return studies.from_plan(json.dumps(raw))


def faults_of(**changes):
    with pytest.raises(studies.BadStudy) as caught:
        of(said(**changes))
    return {".".join(map(str, fault.path)): fault.message for fault in caught.value.faults}


def test_every_arm_stands_at_every_point_with_a_control_of_its_size():
    study = of(said())
    assert list(study.file.arms) == [f"{arm}_real{n}" for arm in ("replace", "accumulate") for n in (20, 40, 80)]
    for n in (20, 40, 80):
        replace, accumulate = f"replace_real{n}", f"accumulate_real{n}"
        # what the study says of its real rows is the arm's: its n where it says none, and its generation 0
        assert study.sizes(replace) == [n, n, n]
        assert study.sizes(accumulate) == [n, n + 10, n + 20]
        assert study.sizes(study.controls[replace]) == study.sizes(replace)
        assert study.sizes(study.controls[accumulate]) == study.sizes(accumulate)
        assert study.model_of(study.controls[accumulate]) == "other"
        assert not study.lineages[study.controls[replace]].regime.synthetic
    assert study.sweep.points["replace_real40"].at == {"initial.real": 40}


def test_what_a_point_comes_to_is_what_one_would_have_typed():
    typed = said(initial={"real": 40})
    del typed["sweep"]
    alone, study = of(typed), of(said())
    for arm in ("replace", "accumulate"):
        assert study.lineages[f"{arm}_real40"].regime == alone.lineages[arm].regime


def test_options_of_models_make_models_and_only_their_arms_are_copied():
    study = of(said(sweep={"models.normal.ddof": [0, 1]}))
    assert list(study.file.arms) == ["replace_ddof0", "replace_ddof1", "accumulate"]
    assert list(study.file.models) == ["other", "normal_ddof0", "normal_ddof1"]
    assert [study.model_options(f"normal_ddof{n}")["ddof"] for n in (0, 1)] == [0, 1]
    assert study.lineages["replace_ddof1"].model == "normal_ddof1"
    spelled = of(said(sweep={"models.normal.gaussian.ddof": [0, 1]}))  # with the family's name, as it stands there
    assert spelled.file.arms == study.file.arms


def test_axes_multiply_in_the_files_order_and_names_tell_them_apart():
    study = of(said(sweep={"arms": ["replace"], "initial.real": [20, 40], "models.normal.ddof": [0, 1]}))
    assert [arm for arm in study.file.arms if arm != "accumulate"] == [
        "replace_real20_ddof0",
        "replace_real20_ddof1",
        "replace_real40_ddof0",
        "replace_real40_ddof1",
    ]
    both = of(said(sweep={"models.normal.ddof": [0], "models.other.ddof": [1]}))
    assert set(both.file.arms) == {"replace_normal_ddof0", "accumulate_other_ddof1"}


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("arms.replace.sampling_bias", [0.5, 1], ["replace_sampling_bias0p5", "replace_sampling_bias1"]),
        ("arms.replace.regime.n", [10, 30], ["replace_n10", "replace_n30"]),
        ("arms.replace.select.share", [0.5, 0.25], ["replace_share0p5", "replace_share0p25"]),
    ],
)
def test_keys_of_arms_and_of_what_they_choose(key, values, names):
    raw = said(sweep={key: values})
    raw["arms"]["replace"] |= {"select": "random"} if "select" in key else {}
    study = of(raw | {"waive": {"training_set_size": "sizes differ"}})
    assert [arm for arm in study.file.arms if arm != "accumulate"] == names


def test_arms_that_eat_one_another_eat_at_their_own_point():
    raw = said()
    raw["arms"]["eater"] = {
        "model": "normal",
        "stream": 1,
        "regime": {"algebra": {"synthetic": [{"n": 20, "of": "replace"}]}},
    }
    study = of(raw)
    assert study.lineages["eater_real40"].regime.synthetic[0].of == "replace_real40"


def test_faults_stand_where_they_were_typed():
    sweeps = {
        "sweep.initial.fake": ({"initial.fake": [1]}, "allowed: initial.real, models.MODEL.OPTION"),
        "sweep.samples": ({"samples": [10, 20]}, "is one for all arms of a study"),
        "sweep.models.norml.ddof": (
            {"models.norml.ddof": [0]},
            "unknown model 'norml' (did you mean 'normal'?); allowed: normal, other",
        ),
        "sweep.arms.nobody.stream": ({"arms.nobody.stream": [1]}, "unknown arm 'nobody'"),
        "sweep.arms.replace.colour": ({"arms.replace.colour": [1]}, "unknown key of an arm 'colour'"),
        "sweep.arms.0": ({"arms": ["replaced"], "initial.real": [20]}, "unknown arm 'replaced'"),
        "sweep.initial.real.1": ({"initial.real": [20, 20]}, "say each once"),
        "sweep.initial.real": ({"initial.real": []}, "allowed is a list of values"),
        "sweep": ({"arms": ["replace"]}, "has no axis"),
    }
    for place, (sweep, words) in sweeps.items():
        found = faults_of(sweep=sweep)
        assert words in found[place], (place, found)
    # what only the registry knows: an option that is not there, and one of the wrong type, at its value
    assert "unknown key 'dof'" in faults_of(sweep={"models.normal.dof": [0, 1]})["sweep.models.normal.dof.0"]
    wrong = faults_of(sweep={"initial.real": [20, "many"]})
    assert list(wrong) == ["sweep.initial.real.1"] and "'many'" in wrong["sweep.initial.real.1"]
    assert list(faults_of(sweep={"initial.real": [20, 0]})) == ["sweep.initial.real.1"]


def test_a_product_without_bound_is_refused_before_it_is_made():
    many = {"initial.real": list(range(1, 2001)), "models.normal.ddof": [0, 1]}
    found = faults_of(sweep=many)
    assert f"comes to 6,000 arms (values of its axes: 2000 x 2); allowed are {ARMS_MAX}" in found["sweep"]


def test_names_that_two_would_have_are_refused():
    raw = said()
    raw["arms"]["replace_real20"] = {"model": "other", "regime": {"fully_synthetic": {"initial": 20, "n": 20}}}
    with pytest.raises(studies.BadStudy, match="comes to two arms that are called 'replace_real20'"):
        of(raw)


def test_arms_are_comparable_at_each_point_and_nowhere_else():
    raw = said()
    del raw["waive"]
    del raw["arms"]["accumulate"]
    of(raw)  # sizes differ along the axis, which is what it is for
    raw["arms"]["small"] = {"model": "normal", "regime": {"fully_synthetic": {"n": 10}}}
    with pytest.raises(studies.BadStudy, match=r"not comparable.*found at initial.real 20 .*small_real20"):
        of(raw)


def test_the_plan_says_the_sweep_as_it_was_typed_and_is_read_again_alike():
    study = of(said())
    again = studies.from_plan(study.plan())
    assert again.plan() == study.plan() and again.file.arms == study.file.arms
    assert json.loads(study.plan())["arms"].keys() == {"replace", "accumulate"}
    assert study.longer(3).sweep.points == study.sweep.points


def test_a_study_without_a_sweep_says_nothing_of_one():
    raw = said()
    del raw["sweep"]
    study = of(raw)
    assert "sweep" not in study.plan() and not study.sweep.points
    assert json.loads(study.plan())["arms"] == json.loads(json.dumps(raw["arms"]))


def test_readers_are_told_the_points():
    study = of(said())
    assert totals(study)["  sweep of replace"] == "3 points: initial.real 20, 40, 80"
    told = describe_arm(study, "replace_real40")
    assert told["copy_of"] == "replace" and told["at.initial.real"] == 40
    facts = results.facts(study)
    assert facts.points["accumulate_real80"].at == {"initial.real": 80} and "control" not in facts.points


@pytest.mark.parametrize(
    "sweep",
    [
        {"models.normal.ddof": [0, 1], "models.normal.gaussian.ddof": [0, 1]},
        {"arms.replace.model": ["normal", "other"], "models.normal.ddof": [0, 1]},
        {"arms.replace.model": ["normal", "nobody"], "models.normal.ddof": [0, 1]},
        {"arms.accumulate.regime": ["fully_synthetic"], "arms.accumulate.regime.fully_synthetic.n": [10, 20]},
    ],
)
def test_two_axes_that_speak_of_one_place_are_a_fault(sweep):
    found = faults_of(sweep=sweep)
    assert any("speaks of the same place as" in message for message in found.values()), found
