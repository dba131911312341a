"""What varies between seeds: what intervals are conditional on, and where the variance of a lineage comes from."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
from project import Project
from scipy import stats

from collapselab import report, store
from collapselab.core.seeds import Levels
from collapselab.store.cells import left_by
from collapselab.study import crossing, jobs, layout, load, results, words
from collapselab.study.loading import check
from collapselab.verdicts import analyse
from collapselab.verdicts.variance import components

ROOT = Path(__file__).parents[1]
RAW = {
    "name": "varied",
    "seeds": 2,
    "generations": 1,
    "seeds_vary": {"split": True},
    "data": {"source": "digits", "split": {"train": 64, "held_out": 64, "fresh": 32}},
    "models": {"tiny": {"diffusion": {"preset": "tiny", "channels": 32, "batch": 32, "steps": 2}}},
    "initial": {"real": 64},
    "train": {"images_seen": 64},
    "samples": 64,
    "grid": 8,
    "extractors": ["lenet", "pixels"],
    "metrics": ["frechet_distance"],
    "primary": {"metric": "frechet_distance", "extractor": "lenet"},
    "control": "none",
    "calibration": [32],
    "arms": {"renewed": {"model": "tiny", "regime": {"fresh_data": {"fresh": 16}}}},
}


def study(**changes):
    found, faults = check(RAW | changes, "varied")
    assert not faults, faults
    return found


def faults(**changes):
    return {fault.path: fault.message for fault in check(RAW | changes, "varied")[1]}


# -- components of variance --------------------------------------------------------------------------------------------

SHAPE = (3, 2, 2)
TRUE = {(0,): 4.0, (1,): 1.0, (2,): 0.25, (0, 1): 0.5, (0, 2): 0.0, (1, 2): 2.0, (0, 1, 2): 0.7}


def drawn(rng, variances, shape):
    """Numbers of a crossed design whose random effects have these variances, around a mean."""
    values = np.full(shape, 10.0)
    for factors, variance in variances.items():
        size = [n if axis in factors else 1 for axis, n in enumerate(shape)]
        values = values + rng.normal(0, np.sqrt(variance), size)
    return values


def test_components_are_unbiased_and_have_their_degrees_of_freedom():
    rng, studies = np.random.default_rng(7), 4000
    found = [components(drawn(rng, TRUE, SHAPE)) for _ in range(studies)]
    for place, factors in enumerate(TRUE):
        estimates = np.array([one[place].variance for one in found])
        assert found[0][place].factors == factors
        error = estimates.std() / np.sqrt(studies)
        assert abs(estimates.mean() - TRUE[factors]) < 4.5 * error, factors
        assert found[0][place].degrees == np.prod([SHAPE[f] - 1 for f in factors])
    # The last one is its mean square alone: so many degrees of freedom has its chi-square law.
    scaled = np.array([one[-1].variance for one in found]) / TRUE[0, 1, 2] * found[0][-1].degrees
    assert stats.kstest(scaled, stats.chi2(found[0][-1].degrees).cdf).pvalue > 0.001


def test_components_of_one_and_of_two_factors():
    rng = np.random.default_rng(3)
    alone = rng.normal(size=5)
    assert components(alone)[0] == ((0,), pytest.approx(alone.var(ddof=1)), 4)
    two = rng.normal(size=(4, 3))
    rows, columns, rest = components(two)
    residual = two - two.mean(1, keepdims=True) - two.mean(0) + two.mean()
    assert rest.variance == pytest.approx((residual**2).sum() / 6)
    assert rows.variance == pytest.approx(two.mean(1).var(ddof=1) - rest.variance / 3)
    assert columns.variance == pytest.approx(two.mean(0).var(ddof=1) - rest.variance / 4)


@pytest.mark.parametrize("values", [np.ones((3, 1)), np.array([[1, np.nan], [2, 3]]), np.float64(3)])
def test_what_is_no_design_is_refused(values):
    with pytest.raises(ValueError, match="two levels or more"):
        components(values)


# -- what each seed takes ----------------------------------------------------------------------------------------------


def test_seeds_take_their_own_numbers_unless_a_study_says_otherwise():
    plain = study(seeds_vary={})
    assert plain.levels == {0: Levels(0, 0, 0), 1: Levels(0, 1, 1)} and crossing.design(plain.file) == []
    fixed = study(seeds_vary={"training": False})
    assert fixed.levels == {0: Levels(0, 0, 0), 1: Levels(0, 0, 1)}
    assert list(plain.cells()) == list(plain.all_cells()) and plain.splits == [plain]


def test_a_design_is_crossed_and_takes_nobodys_place():
    two, five = study(), study(seeds=5)
    design = crossing.design(two.file)
    assert len(design) == len(set(design)) == 12 and crossing.design(five.file) == design
    beside = {seed: one for seed, one in two.levels.items() if not two.is_own(seed)}
    assert beside == {seed: one for seed, one in five.levels.items() if not five.is_own(seed)}
    assert len(beside) == 10 and min(beside) > 10_000  # the seeds 0 and 1 are of the design
    assert {arm for arm, seed, _ in two.all_cells() if not two.is_own(seed)} == {"renewed"}  # and no calibration is
    assert len(crossing.design(study(seeds_vary={"split": True, "sampling": False}).file)) == 6


def outputs(found, verb, place):
    """The files that a job makes."""
    there = found.with_split(place.seed, place.real)
    if nouns := left_by(verb, place.role):
        return [found.cell(*place.cell, noun) for noun in nouns]
    if verb == "prepare":
        return [there.part_file(place.part)]
    if verb in ("learn", "extract_real"):
        return [there.extractor_file({"learn": "weights"}.get(verb, "features"), place.extractor)]
    if verb == "report":
        return [found.report_file(noun) for noun in layout.WRITTEN]
    return layout.baseline(found) if verb == "baseline" else []


def test_every_file_that_a_job_reads_is_made_by_another_of_its_split():
    found = study()
    every = list(jobs.every(found))
    made = {file: (verb, place) for verb, place in every for file in outputs(found, verb, place)}
    for verb, place in every:
        assert set(jobs.inputs(found, verb, place)) <= made.keys(), (verb, place)
        real = {file for file in jobs.inputs(found, verb, place) if file.startswith("results/real/")}
        folder = found.with_split(place.seed, place.real).real_file("")
        assert all(file.startswith(folder) for file in real), (verb, place)
    assert set(layout.whole(found)) <= made.keys() and set(layout.real(found)) <= made.keys()
    assert len({one.real for one in found.splits}) == 3


def flag(found, verb, place, name):
    told = shlex.split(jobs.arguments(found, verb, place))
    return told[told.index(f"--{name}") + 1]


def test_every_job_is_told_its_levels():
    found = study()
    for seed, (split, training, sampling) in found.levels.items():
        place = jobs.Place("renewed", seed, 1)
        for verb, number in {"compose": training, "train": training, "sample": sampling}.items():
            assert flag(found, verb, place, "seed") == str(number), (seed, verb)
        cell = json.loads(flag(found, "record", place, "cell"))
        assert cell["seed"] == seed
        where = found.splits[split].real_file("")
        assert {source["samples"].startswith(where) or source["arm"] == "renewed"
                for source in json.loads(flag(found, "compose", place, "sources"))} == {True}  # fmt: skip
    seeds = {flag(found, "prepare", jobs.Place(part="train", real=one.real), "split-seed") for one in found.splits}
    assert (
        seeds
        == {"0", "1", "2"}
        == {flag(found, "learn", jobs.Place(extractor="lenet", real=one.real), "split-seed") for one in found.splits}
    )


def test_a_study_that_says_nothing_has_the_jobs_that_it_had():
    said, unsaid = study(seeds_vary={"split": False, "training": True, "sampling": True}), study(seeds_vary={})
    told = [
        [
            (verb, place, jobs.inputs(one, verb, place), jobs.arguments(one, verb, place))
            for verb, place in jobs.every(one)
        ]
        for one in (said, unsaid)
    ]
    assert told[0][:-2] == told[1][:-2]  # but for report and track, which are handed the file


def test_what_cannot_vary_is_refused():
    assert faults(seeds_vary={"training": False, "sampling": False}).keys() == {("seeds_vary",)}
    assert not faults(seeds_vary={"training": False, "sampling": False, "split": True}, seeds=1)
    assert "found 3" in faults(seeds_vary={"split": 3})["seeds_vary", "split"]
    known = {"data": {"population": "jars", "split": {"held_out": 64}}, "extractors": ["pixels"], "arms": {
        "renewed": {"model": "tiny", "regime": "fully_synthetic"}
    }, "primary": {"metric": "frechet_distance", "extractor": "pixels"}}  # fmt: skip
    found = faults(**known, models={"tiny": {"diffusion": {"preset": "tiny", "classes": 0}}})
    assert found.keys() == {("seeds_vary", "split")} and "has no splits" in found["seeds_vary", "split"]
    theory = load(ROOT / "config" / "theory-gaussian.yaml")
    raw = json.loads(theory.plan()) | {"seeds_vary": {"sampling": False}}
    assert [fault.path for fault in check(raw, theory.name)[1]] == [("seeds_vary",)]


def test_records_of_the_table_are_read_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = study()
    for arm, seed, generation in found.all_cells():
        said = {"study": found.name, "arm": arm, "seed": seed, "generation": generation, "status": "ok"}
        record = said | {"values": [], "fingerprints": {}}
        store.write_json(Path(found.cell(arm, seed, generation, "metrics.json")), record)
    records, missing = results.records(found)
    assert not missing and {record["seed"] for record in records} == {0, 1}
    crossed = results.crossed(found)
    assert {record["arm"] for _, record in crossed} == {"renewed"} and len(crossed) == 12 * 2
    assert all(found.levels[record["seed"]] == levels for levels, record in crossed)
    assert {levels for levels, _ in crossed} == set(crossing.design(found.file))
    Path(found.cell("renewed", 0, 1, "metrics.json")).unlink()
    assert len(results.records(found)[1]) == 1 and len(results.crossed(found)) == 23


def test_lineages_of_the_table_are_counted_in_what_a_study_costs():
    plain, crossed = words.totals(study(seeds_vary={})), words.totals(study())
    assert plain["lineages"] == "4" and crossed["lineages"] == "14, of which 10 only for a table of variances"
    assert plain["trainings"].startswith("6, ") and crossed["trainings"].startswith("26, ")
    assert crossed["samples"].endswith("and 48 for pictures") and plain["samples"].endswith("and 48 for pictures")


# -- what is said ------------------------------------------------------------------------------------------------------


def crossed(effects, generations=4, arm="fully_synthetic"):
    """Made-up records of a crossed design: recall whose slope has an effect of each level, and the design."""
    design = [Levels(s, t, q) for s in range(3) for t in range(2) for q in range(2)]
    told = []
    for one in design:
        slope = -0.05 + sum(effect[getattr(one, name)] for name, effect in effects.items())
        for t in range(generations + 1):
            record = made_up.record(arm, 99, t)
            values = [
                value | {"value": 0.8 + slope * t}
                if (value["metric"], value["extractor"]) == ("recall", "lenet")
                else value
                for value in record["values"]
            ]
            told.append((one, record | {"values": values}))
    return {"design": design, "crossed": told}


def test_the_table_says_where_the_variance_comes_from():
    effects = {"split": (-0.03, 0.0, 0.03), "training": (-0.01, 0.01)}
    arms = {"fully_synthetic": "only samples of the last generation"}
    records = made_up.records(["fully_synthetic"])
    plain = made_up.facts(arms=arms, control=None)
    varied = replace(plain, **crossed(effects))
    found = {one.question: one for one in analyse(varied, records)["variance"]}
    assert list(found) == ["variance.split", "variance.training", "variance.sampling", "variance.what_they_do_together"]
    told = {name.partition(".")[2]: one.numbers for name, one in found.items()}
    assert told["split"]["variance"] == pytest.approx(0.0009) and told["training"]["variance"] == pytest.approx(0.0002)
    assert "no variance that could be seen" in found["variance.sampling"].sentence and told["split"][
        "share"
    ] == pytest.approx(9 / 11)
    assert [one["degrees"] for one in told.values()] == [2, 1, 1, 7]
    # No other analysis knows of these lineages, nor does a number or a band of the page.
    with_table, without = ({**analyse(facts, records), "variance": None} for facts in (varied, plain))
    assert with_table == without and analyse(plain, records)["variance"] == []
    built = report.build(varied, made_up.only(records, "recall"), figures=False)
    table = built["report.html"].decode().partition('id="variance"')[2].partition("</section>")[0]
    assert "Of 12 lineages of each arm" in table and "82%" in table
    same = report.build(plain, made_up.only(records, "recall"), figures=False)
    assert built["summary.csv"] == same["summary.csv"] and built["curves.csv"] == same["curves.csv"]
    assert 'id="variance"' not in same["report.html"].decode()


def test_a_table_of_lineages_that_are_not_whole_is_not_made():
    varied = crossed({"split": (0, 1, 2)})
    arms = {"fully_synthetic": ""}
    for broken in (
        varied["crossed"][:-1],
        [(one, made_up.diverge([r], r["arm"], 99, 3)[0]) for one, r in varied["crossed"]],
    ):
        facts = made_up.facts(arms=arms, control=None, design=varied["design"], crossed=broken)
        found = analyse(facts, made_up.records(["fully_synthetic"]))["variance"]
        assert [one.status for one in found] == ["not testable"]
    assert found[0].sentence == "Not testable: 0 of 12 lineages that it needs are whole."
    facts = made_up.facts(arms=arms, control=None, generations=0, **crossed({"split": (0, 1, 2)}, generations=0))
    (one,) = analyse(facts, made_up.records(["fully_synthetic"]))["variance"]
    assert one.sentence == "Not testable: a slope needs a generation after generation 0."


def test_what_intervals_are_conditional_on_stands_where_they_do():
    quickstart = load(ROOT / "config" / "quickstart.yaml")
    given = words.shared_by_seeds(quickstart)
    assert given == [
        "one split of the data (split seed 0)",
        "its 597 held-out images",
        "the 800 images of generation 0",
        "one lenet, learnt once",
    ]
    assert results.facts(quickstart).shared == given
    assert words.shared_by_seeds(load(ROOT / "config" / "theory-gaussian.yaml")) == []
    assert words.shared_by_seeds(load(ROOT / "config" / "land.yaml")) == ["1,000 held-out draws"]
    assert "the random numbers of training" in words.shared_by_seeds(study(seeds_vary={"training": False}))
    facts = made_up.facts(shared=given)
    page = report.build(facts, made_up.only(made_up.records(), "recall"), figures=False)["report.html"].decode()
    for anchor in ("verdict", "definitions", "forecast"):
        assert facts.given in page.partition(f'id="{anchor}"')[2].partition("</section>")[0], anchor
    assert facts.given == (
        "Intervals are over seeds, given one split of the data (split seed 0), its 597 held-out images, the 800 images "
        "of generation 0 and one lenet, learnt once, which all seeds share."
    )


@pytest.mark.slow
def test_a_study_whose_split_varies_runs_and_its_table_is_drawn(tmp_path):
    import yaml

    project = Project.create(tmp_path / "project")
    raw = {key: value for key, value in RAW.items() if key != "calibration"}
    (project.folder / "config" / "varied.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    project.run("snakemake", "--cores", 2, "--config", "study=varied", timeout=1800)
    trained = {
        seed: project.folder / f"results/varied/base_tiny/seed{seed}/gen0/model.safetensors" for seed in (0, 10_001)
    }
    tensors = [store.read_tensors(path)[0] for path in trained.values()]  # the same training, of which others are drawn
    assert all(np.array_equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    drawn = [store.read_samples(project.folder / f"results/varied/renewed/seed{seed}/gen0/samples.safetensors").data
             for seed in trained]  # fmt: skip
    assert not np.array_equal(*drawn)
    told = json.loads((project.folder / "results/varied/report/verdicts.json").read_text(encoding="utf-8"))
    assert {name for name in told if name.startswith("variance.")} == {
        *("variance.split", "variance.training", "variance.sampling", "variance.what_they_do_together")
    }
    curve = (project.folder / "results/varied/report/metrics.csv").read_text(encoding="utf-8")
    assert {line.split(",")[2] for line in curve.splitlines()[1:]} == {"0", "1"}  # no other seed is in any number
    assert project.plan(study="varied") == {}
