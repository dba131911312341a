"""The protocols of the field as studies: what each comes to, against numbers worked out by hand from the papers."""

import json
import re
from functools import reduce
from importlib.util import find_spec
from pathlib import Path

import in_process
import jsonschema
import pytest
import yaml

from collapselab import study as studies
from collapselab.cli import run as frame
from collapselab.study import jobs, toys
from collapselab.study.late import late_faults

ROOT = Path(__file__).parents[1]
PAPERS = {path.stem: path for path in sorted((Path(__file__).parent / "papers").glob("*.yaml"))}

COMPOSITIONS = {  # study: {(arm, generation): [(whose rows, of which generation, how many)]}
    "mad_images": {
        ("fully_synthetic", 0): [("fixed", 0, 400)],
        ("fully_synthetic", 9): [("fully_synthetic", 8, 400)],
        ("fully_synthetic_biased", 1): [("fully_synthetic_biased", 0, 400)],
        ("augmentation", 1): [("fixed", 0, 400), ("augmentation", 0, 400)],
        ("augmentation", 9): [("fixed", 0, 400), ("augmentation", 8, 400)],
        # The paper's D_t of 70,000 (t - 1) synthetic images has t = 1 + generation.
        ("augmentation_all", 3): [("fixed", 0, 400), *(("augmentation_all", t, 400) for t in range(3))],
        ("control", 9): [("fixed", 0, 400)],
    },
    "mad_fresh": {
        ("from_100", 0): [("fixed", 0, 100)],
        ("from_1000", 0): [("fixed", 0, 1000)],
        ("from_100", 1): [("fresh", 1, 100), ("from_100", 0, 900)],
        ("from_1000", 1): [("fresh", 1, 100), ("from_1000", 0, 900)],
        ("from_100_biased", 2): [("fresh", 2, 100), ("from_100_biased", 1, 900)],
        ("from_1000_biased", 40): [("fresh", 40, 100), ("from_1000_biased", 39, 900)],
        ("control", 40): [("fixed", 0, 1000)],
    },
    "mad_fresh_images": {
        ("fresh_loop", 0): [("fixed", 0, 30)],
        ("fresh_loop", 1): [("fresh", 1, 20), ("fresh_loop", 0, 20)],
        ("fresh_loop", 14): [("fresh", 14, 20), ("fresh_loop", 13, 20)],
    },
    "mad_k_memory": {
        ("k_1", 7): [("fresh", 7, 1000), ("k_1", 6, 10_000)],
        ("k_10", 1): [("fresh", 1, 1000), ("k_10", 0, 10_000)],
        # Of three models so far: 3,333 each, and the one that is left of the latest.
        ("k_10", 3): [("fresh", 3, 1000), ("k_10", 0, 3333), ("k_10", 1, 3333), ("k_10", 2, 3334)],
        ("k_10", 50): [("fresh", 50, 1000), *(("k_10", t, 1000) for t in range(40, 50))],
        ("k_100", 200): [("fresh", 200, 1000), *(("k_100", t, 100) for t in range(100, 200))],
    },
    "shumailov": {
        ("no_original", 1): [("no_original", 0, 400)],
        ("no_original", 9): [("no_original", 8, 400)],
        ("ten_percent", 0): [("fixed", 0, 400)],
        ("ten_percent", 1): [("redrawn", 1, 40), ("ten_percent", 0, 360)],
        ("ten_percent", 9): [("redrawn", 9, 40), ("ten_percent", 8, 360)],
    },
    "gerstgrasser": {
        ("replace", 4): [("replace", 3, 200)],
        ("accumulate", 1): [("fixed", 0, 200), ("accumulate", 0, 200)],
        ("accumulate", 4): [("fixed", 0, 200), *(("accumulate", t, 200) for t in range(4))],
    },
    "kazdan": {
        ("replace", 99): [("replace", 98, 100)],
        ("accumulate", 2): [("fixed", 0, 100), ("accumulate", 0, 100), ("accumulate", 1, 100)],
        ("accumulate_subsample", 2): [("fixed", 0, 100), *(("accumulate_subsample", t, 100) for t in range(2))],
        ("accumulate_subsample", 99): [("fixed", 0, 100), *(("accumulate_subsample", t, 100) for t in range(99))],
    },
    "bertrand": {
        ("lambda_0", 1): [("fixed", 0, 400), ("lambda_0", 0, 400)],
        ("lambda_quarter", 5): [("fixed", 0, 400), ("lambda_quarter", 4, 400)],
        ("lambda_1", 5): [("fixed", 0, 400), ("lambda_1", 4, 400)],
        ("lambda_counted", 5): [("fixed", 0, 400), ("lambda_counted", 4, 100)],
        ("control", 5): [("fixed", 0, 800)],
    },
    "ferbach": {
        ("curated", 1): [("curated", 0, 500)],
        ("curated", 10): [("curated", 9, 500)],
        ("curated_with_real", 10): [("fixed", 0, 250), ("curated_with_real", 9, 250)],
    },
    "gillman": {
        ("uncorrected", 50): [("fixed", 0, 120), ("uncorrected", 49, 180)],
        # gamma / (1 + gamma) of 180 corrected rows are the truth's: 90 and 120.
        ("gamma_1", 1): [("fixed", 0, 120), ("redrawn", 1, 90), ("gamma_1", 0, 90)],
        ("gamma_2", 50): [("fixed", 0, 120), ("redrawn", 50, 120), ("gamma_2", 49, 60)],
    },
    "feeding_each_other": {
        ("alone", 4): [("fresh", 4, 40), ("alone", 3, 360)],
        ("left", 1): [("fresh", 1, 40), ("left", 0, 180), ("right", 0, 180)],
        ("left", 4): [("fresh", 4, 40), ("left", 3, 180), ("right", 3, 180)],
        ("right", 1): [("fresh", 1, 40), ("left", 0, 180), ("right", 0, 180)],
        ("right", 4): [("fresh", 4, 40), ("left", 2, 90), ("left", 3, 90), ("right", 3, 180)],
    },
}


@pytest.fixture(params=PAPERS)
def name(request):
    return request.param


def load(name):
    return studies.load(PAPERS[name])


def test_every_protocol_has_its_numbers():
    assert PAPERS.keys() == COMPOSITIONS.keys()


def test_protocols_validate_and_come_to_the_papers_numbers(name):
    study = load(name)
    for (arm, generation), draws in COMPOSITIONS[name].items():
        assert [tuple(draw) for draw in study.recipe(arm, generation).draws] == draws, (arm, generation)
    assert set(study.file.arms) <= {arm for arm, _ in COMPOSITIONS[name]}


def test_protocols_name_their_paper_and_fit_the_schema(name):
    text = PAPERS[name].read_text()
    assert text.startswith("# yaml-language-server: $schema=../../config/study.schema.json\n")
    assert "https://" in text or "MAD" in text or name == "feeding_each_other"
    schema = json.loads((ROOT / "config" / "study.schema.json").read_text())
    raw = json.loads(json.dumps(yaml.safe_load(text)))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(raw)] == []


def sizes(study, arm):
    recipes = [study.recipe(arm, t) for t in range(study.file.generations + 1)]
    return [min(sum(draw.count for draw in one.draws), one.budget or 10**9) for one in recipes]


def test_mad_samples_with_bias():
    images, gaussian = load("mad_images"), load("mad_fresh")
    assert images.lineages["fully_synthetic_biased"].sampling_bias == 0.5
    assert images.lineages["fully_synthetic"].sampling_bias == 1.0
    assert {arm: one.sampling_bias for arm, one in gaussian.lineages.items()} == {
        "control": 1.0,
        "control_n1000": 1.0,
        "from_100": 1.0,
        "from_1000": 1.0,
        "from_100_biased": 0.8,
        "from_1000_biased": 0.8,
    }


def test_mad_starts_from_n_ini_and_trains_on_n_r_and_n_s():
    study = load("mad_fresh")
    assert sizes(study, "from_100") == [100] + 40 * [1000]
    assert sizes(study, "from_1000") == 41 * [1000]
    assert {arm: one.base for arm, one in study.lineages.items() if not one.is_control} == {
        "from_100": "base_moments",
        "from_100_biased": "base_moments",
        "from_1000": "base_moments-n1000",
        "from_1000_biased": "base_moments-n1000",
    }
    images = load("mad_fresh_images")
    assert sizes(images, "fresh_loop") == [30] + 14 * [40]
    assert images.recipe("fresh_loop", 14).fresh_before == {14: 260}  # 13 times 20, and 20 more are all 280


def test_mad_remembers_k_models_and_draws_anew_from_them():
    study = load("mad_k_memory")
    for arm, k in (("k_1", 1), ("k_10", 10), ("k_100", 100)):
        recipe = study.recipe(arm, 200)
        assert recipe.resamples and not recipe.keeps_rows
        assert len(study.resampled(arm, 0, 200)) == k
        assert sizes(study, arm) == [1000] + 200 * [11_000]


def test_shumailov_fine_tunes_from_generation_to_generation():
    study = load("shumailov")
    for arm in study.lineages:
        assert study.init_file(arm, 0, 0) is None
        assert study.init_file(arm, 0, 1).endswith("base_tiny/seed0/gen0/model.safetensors")
        assert study.init_file(arm, 0, 9).endswith(f"{arm}/seed0/gen8/model.safetensors")
    assert {study.images_seen(arm, t) for arm in study.lineages for t in range(10)} == {4000}


def test_gerstgrasser_accumulates_and_waives_what_that_breaks():
    study = load("gerstgrasser")
    assert sizes(study, "replace") == sizes(study, "control") == 5 * [200]
    assert sizes(study, "accumulate") == [200, 400, 600, 800, 1000]
    assert [study.images_seen("accumulate", t) for t in range(5)] == [20_000, 40_000, 60_000, 80_000, 100_000]
    assert study.file.waive.keys() == {"training_set_size", "images_seen"}
    raw = yaml.safe_load(PAPERS["gerstgrasser"].read_text())
    del raw["waive"]
    with pytest.raises(studies.BadStudy, match="training_set_size") as caught:
        studies.from_plan(json.dumps(raw))
    assert len(caught.value.faults) == 2


def test_kazdan_keeps_the_budget_of_a_pool_that_grows():
    study = load("kazdan")
    assert sizes(study, "accumulate_subsample") == 100 * [100]
    assert sizes(study, "accumulate")[99] == 10_000
    recipe = study.recipe("accumulate_subsample", 99)
    assert recipe.budget == 100 and recipe.keeps_rows and not recipe.resamples
    assert study.model_options("mle")["ddof"] == 0


def test_bertrand_weights_synthetic_rows_and_fine_tunes_a_little():
    study = load("bertrand")
    arms = {"lambda_0": 0.0, "lambda_quarter": 0.25, "lambda_1": 1.0, "lambda_counted": 1.0}
    for arm, weight in arms.items():
        assert study.recipe(arm, 3).weights == {"real": 1.0, "synthetic": weight}
        assert [study.images_seen(arm, t) for t in range(6)] == [100_000] + 5 * [2000]
        assert study.init_file(arm, 2, 4).endswith(f"{arm}/seed2/gen3/model.safetensors")
    assert study.bases.keys() == {"base_tiny"}  # all retrain one and the same model


def test_ferbach_keeps_one_of_four():
    study = load("ferbach")
    for arm in ("curated", "curated_with_real"):
        assert [(one.name, one.options) for one in study.lineages[arm].select] == [("random", {"share": 1 / 4})]
        assert sizes(study, arm) == 11 * [500]
        files = [source["kept"] for source in study.sources(arm, 0, 2) if "kept" in source]
        assert files == [f"results/ferbach/{arm}/seed0/gen1/kept.parquet"]
    assert study.init_file("curated", 0, 10).endswith("curated/seed0/gen9/model.safetensors")


def test_gillmans_ideal_corrector_leaves_the_size_as_it_is():
    study = load("gillman")
    for arm in study.lineages:
        assert sizes(study, arm) == [120] + 50 * [300]


def test_arms_that_feed_each_other_need_each_others_files_of_earlier_generations_only():
    study = load("feeding_each_other")
    files = [source["samples"] for source in study.sources("right", 1, 4) if source["arm"] in ("left", "right")]
    assert files == [
        "results/feeding_each_other/left/seed1/gen2/samples.safetensors",
        "results/feeding_each_other/left/seed1/gen3/samples.safetensors",
        "results/feeding_each_other/right/seed1/gen3/samples.safetensors",
    ]
    assert [study.lineages[arm].stream for arm in ("alone", "left", "right")] == [0, 1, 2]


# -- studies after papers ----------------------------------------------------------------------------------------------

TOYS = sorted((ROOT / "config" / "papers").glob("*.yaml"))
CELL_BY_CELL = [path for path in TOYS if "\ntogether: true\n" not in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", TOYS, ids=lambda path: path.stem)
def test_a_toy_study_validates_and_says_what_the_paper_did(path):
    text, study = path.read_text(), studies.load(path)
    head = text[: text.index("\nname:")].replace("\n# ", " ")
    assert head.startswith("# yaml-language-server: $schema=../study.schema.json ") and study.file.paper
    assert "https://arxiv.org/abs/" in head and re.search(r"\bhere\b", head.lower()) and study.file.question
    schema = json.loads((ROOT / "config" / "study.schema.json").read_text())
    raw = json.loads(json.dumps(yaml.safe_load(text)))
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(raw)] == []


def test_cures_have_one_budget_with_their_second_models():
    """Of the study that compares them: every loop sees as many images in each generation, whoever sees them."""
    study = studies.load(ROOT / "config" / "cures.yaml")
    seen = {
        (arm, generation): study.images_seen(arm, generation) + study.images_beside(arm, generation)
        for arm in study.file.arms
        for generation in range(study.file.generations + 1)
    }
    assert set(seen.values()) == {64_000}
    beside = {arm for arm in study.file.arms if study.images_beside(arm, 1)}
    assert beside == {"sims", "neon", "autoguidance", "towards_own"}


def until(last, raw):
    """What is said of a study, without what begins in generations after the last."""
    for fault in late_faults(raw, last):
        by_generation = reduce(lambda said, key: said[key], fault.path, raw)
        for key in [key for key in by_generation if int(key) > last]:
            del by_generation[key]
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("path", CELL_BY_CELL, ids=lambda path: path.stem)
def test_a_toy_study_runs_to_its_report(path, tmp_path, monkeypatch):
    """One seed and two generations of it, as the gallery runs it: by the verbs of its rules."""
    said = toys.toy(yaml.safe_load(path.read_text("utf-8")), path.stem)
    tuned = any("pretrained" in model for model in said["models"].values())
    if tuned and find_spec("peft") is None:
        pytest.skip("needs collapselab[pretrained]")
    shorter = until(2, {key: value for key, value in said.items() if key != "paper"}) | {"seeds": 1, "generations": 2}
    if tuned:
        shorter |= {"train": {"images_seen": 20}}  # steps of a pipeline are dear
    copy = tmp_path / "config" / path.name
    copy.parent.mkdir()
    copy.write_text(yaml.safe_dump(shorter), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = studies.load(copy)
    in_process.run(study)
    assert frame.run(in_process.words_of(study, "report", jobs.Place())) == 0
    results = tmp_path / "results" / path.stem
    assert (results / "report" / "report.html").stat().st_size > 50_000
    assert len(list(results.glob("*/seed*/gen*/metrics.json"))) == len(list(study.cells()))


def test_bohacek_feeds_shares_of_own_pictures_and_then_real_ones_alone():
    study = studies.load(ROOT / "config" / "papers" / "bohacek.yaml")
    for share in (3, 10, 25, 50, 75):
        draws = [tuple(draw) for draw in study.recipe(f"own_{share}", 4).draws]
        assert draws == [("fixed", 0, 100 - share), (f"own_{share}", 3, share)]
    assert [tuple(draw) for draw in study.recipe("own_100", 4).draws] == [("own_100", 3, 100)]
    healing = [[tuple(draw) for draw in study.recipe("healed", t).draws] for t in range(1, 5)]
    assert healing == [[("healed", 0, 100)], [("healed", 1, 100)], [("fixed", 0, 100)], [("fixed", 0, 100)]]
    for arm in ("own_3", "healed"):
        assert study.init_file(arm, 0, 4).endswith(f"{arm}/seed0/gen3/model.safetensors")  # the adapter, not the base
