"""A study's file at the edge: what is wrong with it is said all at once, in the user's words, before any work."""

import copy
import dataclasses
import json
import random
import re
import shlex
from pathlib import Path

import forked
import jsonschema
import pytest
import yaml

from collapselab import store
from collapselab import study as studies
from collapselab.adapt import ADAPTERS, Adapter
from collapselab.compose.regimes import REGIMES
from collapselab.core.choice import NoOptions
from collapselab.core.needs import Needs
from collapselab.guides import GUIDES
from collapselab.guides.base import Auxiliary, Guide
from collapselab.models.capabilities import Trainable
from collapselab.select import SELECTORS
from collapselab.study import budget, jobs, looking, results, storage, words
from collapselab.study.loading import check
from collapselab.transforms import TRANSFORMS, Transform

ROOT = Path(__file__).parents[1]
SHIPPED = sorted(path for path in (ROOT / "config").glob("*.yaml"))
TEMPLATE = ROOT / "src" / "collapselab" / "study.yaml"

BASE = """
name: study
seeds: 2
generations: 3
data:
  population: {gaussian: {dimension: 2}}
  split: {held_out: 50}
models:
  moments: {gaussian: {ddof: 0}}
initial: {real: 50}
samples: 100
extractors: [identity]
metrics: [frechet_distance, recall]
primary: {metric: frechet_distance, extractor: identity}
arms:
  eater: {model: moments, regime: fully_synthetic}
"""
IMAGES = {
    "data": {"source": "digits", "split": {"train": 100, "held_out": 50, "fresh": 60}},
    "models": {"tiny": {"diffusion": {"preset": "tiny"}}},
    "extractors": ["pixels", "lenet"],
    "primary": {"metric": "recall", "extractor": "lenet"},
    "arms": {"eater": {"model": "tiny", "regime": "fully_synthetic"}},
}


def written(folder, text, name="study"):
    path = folder / f"{name}.yaml"
    path.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    return path


def changed(**changes):
    """The base study with other values: ``arms__eater__regime=...`` goes down into mappings."""
    raw = yaml.safe_load(BASE)
    for keys, value in changes.items():
        *above, last = keys.split("__")
        part = raw
        for key in above:
            part = part[key]
        part[last] = copy.deepcopy(value)
    return raw


def study(folder, raw):
    return studies.load(written(folder, raw))


def faults(folder, raw):
    """Faults as ``{path: message}``; none if the study is right."""
    try:
        study(folder, raw)
    except studies.BadStudy as error:
        return {".".join(map(str, fault.path)): fault.message for fault in error.faults}
    return {}


def only(found, path, *words):
    """There is one fault, it is at ``path``, and it says these words."""
    assert list(found) == [path], found
    for word in words:
        assert word in found[path], found


# -- all at once ------------------------------------------------------------------------------------------------------

FOUR_FAULTS = """\
name: bad
seeds: 2
generations: -1
data:
  source: {folder: {path: data/nowhere}}
  split: {train: 50, held_out: 50}
models:
  tiny: {diffusion: {preset: tiny}}
initial: {real: 50}
samples: 50
extractors: [pixels]
metrics: [recall]
primary: {extractor: pixels}
arms:
  misspelt: {model: tiny, regime: fully_synthetc}
  homeless: {regime: fully_synthetic}
"""
FOUR_MESSAGES = [
    "4 faults",
    "line 3: generations: found -1; should be greater than or equal to 0",
    "line 5: data.source.folder.path: there is no folder 'data/nowhere'",
    "line 15: arms.misspelt.regime: unknown name 'fully_synthetc' (did you mean 'fully_synthetic'?); "
    "allowed: real_only, fully_synthetic",
    "line 16: arms.homeless.model: is missing",
]


def test_four_faults_are_reported_at_once_by_the_cli(tmp_path):
    (tmp_path / "config").mkdir()
    written(tmp_path, FOUR_FAULTS, "config/bad")
    done = forked.run(["collapselab", "validate", "bad"], tmp_path)
    assert done.returncode == 2
    assert not done.stdout
    assert "Traceback" not in done.stderr
    for message in FOUR_MESSAGES:
        assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 5
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.yaml", "config"]  # nothing was begun


def test_four_faults_stop_snakemake_before_any_work(tmp_path):
    (tmp_path / "config").mkdir()
    written(tmp_path, FOUR_FAULTS, "config/bad")
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    done = forked.run([*command, "--cores", "1", "--dry-run", "--config", "study=bad"], tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for message in FOUR_MESSAGES:
        assert message in done.stderr
    assert not (tmp_path / "results").exists()


# -- files that are no studies ----------------------------------------------------------------------------------------

BOMB = zip("abcdefg", "bcdefgh", strict=True)  # each ten times the one before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a study is a mapping of keys to values; found nothing"),
        ("- a\n- b\n", "found a list"),
        ("42", "found 42"),
        ("name: [unclosed", "is not YAML"),
        ("name: \x07", "is not YAML"),
        ("a: 1\n? [x]\n: 2\n", "is not YAML"),
        ("--- a\n--- b\n", "is not YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("[" * 5000, "cannot be read as a study"),
        ("a: " + "{a: " * 150 + "1" + "}" * 150, "more than 100 deep"),
        ("seed: " + "9" * 5000, "cannot be read as a study"),
        ("name: study\n" + "# filler\n" * 120_000, "a study has at most 1000000"),
        ("a: &a [*a]\n", "more than 100 deep"),
        (
            "a: &a [x, x]\n" + "".join(f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in BOMB),
            "expands to more than 100000 values",
        ),
    ],
)  # fmt: skip
def test_files_that_are_no_studies_are_refused_in_one_line(tmp_path, text, message):
    found = faults(tmp_path, text)
    assert len(found) == 1 and message in next(iter(found.values())), found


SIGNED = (
    *("*bold* words, or not", "*bold", "* item", "& more", "!tag", "!important, this", "%d of it", "@home", "`code`"),
    *("? why", "- x", ", x", "] x", "} x"),
)
"""Texts that begin with a sign that none may begin with in YAML."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: study\n\tseeds: 3\n", "line 2: begins with a tab; YAML is indented by spaces alone"),
        ("arms:\n  \tone: 1\n", "line 2: begins with a tab"),
        ('name: study\nquestion: "What?\nseeds: 3\n', "line 2: a quotation mark opens a text that nothing ends"),
        ("name: study\nmetrics: [recall, precision\nseeds: 3\n", "line 2: a bracket opens and is not closed"),
        ("name: study\ninitial: {real: 3\n", "line 2: a bracket opens and is not closed"),
        ("name: study\nquestion: Real: or not?\n", "line 2: has a second ': '.* needs quotation marks"),
        ("name: study\n  seeds: 3\n", "line 2: .*is indented more than the line that it belongs to"),
        ("name: study\nseeds 3\nseed: 1\n", "line 2: has no ': ' between a key and its value"),
        ("name: study\nquestion: @home\n", "line 2: .* needs quotation marks"),
        ("name: study\n- a\n", "line 2: is indented otherwise"),
        ("name: study\nmetrics: [recall, , precision]\n", "line 2: a value is missing"),
        *(
            (
                f"name: study\nquestion: {text}\n",
                f"line 2: begins with {re.escape(text[0])}, .* quotation marks: '{re.escape(text)}'$",
            )
            for text in SIGNED
        ),
        ("name: study\nquestion: @it's\n", 'line 2: begins with @, .* quotation marks: "@it\'s"$'),
        ("name: study\nmetrics: [recall, *b*, c]\n", r"line 2: begins with \*, .* quotation marks: '\*b\*'$"),
        ("name: study\n*a* : 3\n", r"line 2: begins with \*, .* needs quotation marks$"),
        ("name: study\nquestion: 'Doesn't it?'\n", "line 2: .* a quotation mark .* ends"),
        ("name: study\ndata:\n  source:digits\n  split: {}\n", "line [34]: .*or the line above lacks ': '"),
    ],
)
def test_slips_in_yaml_are_told_with_their_line_and_in_plain_words(tmp_path, text, message):
    (said,) = faults(tmp_path, text).values()
    assert re.search(f"^is not YAML: {message}", said), said


@pytest.mark.parametrize("tag", ["!!bool", "!!timestamp"])
def test_a_tag_before_what_is_none_is_no_trace(tmp_path, tag):
    (said,) = faults(tmp_path, f"name: study\nseeds: {tag} foo\n").values()
    assert "leave out its tags" in said


def test_bytes_that_are_no_text_and_folders_are_refused(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(studies.BadStudy, match="cannot be read"):
        studies.load(path)
    path.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(studies.BadStudy, match=r"its bytes are no UTF-8 .*; save it as UTF-8"):
        studies.load(path)
    for text, found in {"": "nothing", "- a": "a list", "hello": "'hello'", "3": "3"}.items():
        path.write_text(text, encoding="utf-8")
        with pytest.raises(studies.BadStudy, match=f"mapping of keys to values; found {found}$"):
            studies.load(path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(studies.BadStudy, match="cannot be read"):
        studies.load(tmp_path / "folder.yaml")


def test_a_study_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    written(tmp_path, BASE, "other")
    with pytest.raises(studies.BadStudy, match=r"no such study: looked for .*; beside it there are: other"):
        studies.load(tmp_path / "missing.yaml")


def test_keys_said_twice_are_faults_with_their_line(tmp_path):
    text = BASE + "  eater: {model: moments, regime: real_only}\nseeds: 5\nsed: 1\n"
    with pytest.raises(studies.BadStudy) as caught:
        study(tmp_path, text)
    assert "line 17: arms.eater: is said twice" in str(caught.value)
    assert "line 18: seeds: is said twice" in str(caught.value)
    assert "line 19: sed: unknown key 'sed'" in str(caught.value)


def test_merged_mappings_are_allowed(tmp_path):
    text = BASE + "  biased:\n    <<: {model: moments, regime: fully_synthetic}\n    sampling_bias: 0.5\n"
    assert list(study(tmp_path, text).lineages) == ["control", "eater", "biased"]


# -- keys and values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"seed": -1}, "seed", ["found -1", "greater than or equal to 0"]),
        ({"seeds": "three"}, "seeds", ["found 'three'", "valid integer"]),
        ({"seeds": 0}, "seeds", ["found 0"]),
        ({"seeds": True}, "seeds", ["found True"]),
        ({"samples": 10.0}, "samples", ["found 10.0"]),
        ({"generations": 10**9}, "generations", ["found 1000000000", "less than or equal to 2000"]),
        ({"seedz": 1}, "seedz", ["unknown key 'seedz'", "allowed: name, question, paper, toy, seed,", "did you mean"]),
        ({"name": "other"}, "name", ["found 'other' in the file study.yaml"]),
        ({"data__split__held_out": 1}, "data.split.held_out", ["found 1", "greater than or equal to 2"]),
        ({"data__split__test": 1}, "data.split.test", ["unknown key 'test'", "train, held_out, fresh"]),
        ({"data__population": "gausian"}, "data.population", ["unknown name 'gausian'", "did you mean 'gaussian'?"]),
        ({"data__population": {"gaussian": {"dimension": 0}}}, "data.population.gaussian.dimension", ["found 0"]),
        ({"data__population": {"gaussian": {"sd": -1}}}, "data.population.gaussian", ["sd must be greater than 0"]),
        ({"data__split__train": 5}, "data.split.train", ["a population has no splits"]),
        ({"models__moments": "gausian"}, "models.moments", ["did you mean 'gaussian'?"]),
        ({"models__moments": "gaussian"}, "models.moments.ddof", ["is missing"]),
        ({"models__moments__gaussian__ddof": 2}, "models.moments.gaussian.ddof", ["found 2", "0 or 1"]),
        (
            {"models__moments__gaussian__ddoff": 1},
            "models.moments.gaussian.ddoff",
            ["unknown key 'ddoff'", "did you mean 'ddof'?"],
        ),
        ({"initial": {"real": 0}}, "initial.real", ["found 0"]),
        ({"init": "scrach"}, "init", ["found 'scrach'", "'scratch' or 'previous'"]),
        ({"init": {"generation": 7}}, "init", ["generation 7 is not before the others"]),
        ({"init": {"weights": "nowhere"}}, "init.weights", ["no such file: 'nowhere'"]),
        (
            {"metrics": ["frechet_distance", {"recall": None}]},
            "metrics.1",
            ["found {'recall': None}; should be a name, or {name: {option: value}}"],
        ),
        ({"extractors": ["identity", "lenett"]}, "extractors.1", ["did you mean 'lenet'?"]),
        ({"extractors": ["identity", "identity"]}, "extractors.1", ["said twice"]),
        ({"extractors": ["identity", "lenet"]}, "extractors.1", ["'lenet' looks at images", "data are vectors"]),
        ({"metrics": ["frechet_distance", "recal"]}, "metrics.1", ["did you mean 'recall'?"]),
        ({"metrics": ["frechet_distance", {"recall": {"kk": 3}}]}, "metrics.1.recall.kk", ["unknown key 'kk'"]),
        ({"metrics": ["frechet_distance", {"recall": {"k": "3"}}]}, "metrics.1.recall.k", ["found '3'"]),
        ({"metrics": ["frechet_distance", "recall", {"recall": {"k": 3}}]}, "metrics.2", ["'recall' is said twice"]),
        ({"primary__metric": "precision"}, "primary.metric", ["not among the study's metrics"]),
        ({"primary__extractor": "pixels"}, "primary.extractor", ["not among the study's extractors: identity"]),
        ({"train": {"images_seen": 5, "epochs": 2}}, "train", ["either images_seen or epochs"]),
        ({"train": {"images_seen": 0}}, "train.images_seen", ["found 0"]),
        ({"control": "fake"}, "control", ["found 'fake'", "'real_only', 'real_supply', 'both' or 'none'"]),
        ({"arms": {}}, "arms", ["at least 1 item"]),
        (
            {"arms__eater__model": "momets"},
            "arms.eater.model",
            ["unknown name 'momets' (did you mean 'moments'?); allowed: moments"],
        ),
        (
            {"arms__eater__regime": {"preset": 5}},
            "arms.eater.regime",
            ["found {'preset': 5}", "should be a name, or {name"],
        ),
        ({"arms__eater__regime": 5}, "arms.eater.regime", ["found 5"]),
        ({"arms__eater__sampling_bias": -1}, "arms.eater.sampling_bias", ["found -1", "greater than 0"]),
        ({"arms__eater__sampling_bias": {1: 0}}, "arms.eater.sampling_bias.1", ["found 0", "greater than 0"]),
        ({"arms__eater__select": "randm"}, "arms.eater.select", ["did you mean 'random'?"]),
        ({"arms__eater__select": "random"}, "arms.eater.select.share", ["is missing"]),
        (
            {"arms__eater__select": {"selector": 7}},
            "arms.eater.select",
            ["found {'selector': 7}", "should be a name, or {name"],
        ),
        (
            {"arms__eater__adapt": "lora"},
            "arms.eater.adapt",
            ["unknown name 'lora' (did you mean 'low_rank'?); allowed: "],
        ),
        ({"arms__eater__stream": -1}, "arms.eater.stream", ["found -1"]),
        (
            {"waive": {"sizes": "why"}},
            "waive.sizes",
            ["'training_set_size', 'images_seen', 'init', 'sampler', 'real_rows', 'evaluations' or 'primary_space'"],
        ),
    ],
)
def test_faults_name_the_key_what_was_found_and_what_is_allowed(tmp_path, changes, path, words):
    only(faults(tmp_path, changed(**changes)), path, *words)


@pytest.mark.parametrize(
    ("regime", "path", "words"),
    [
        ("synthetic_augmentation", ".fixed", ["is missing"]),
        ({"fully_synthetic": {"n": "50"}}, ".fully_synthetic.n", ["found '50'"]),
        ({"fully_synthetic": {"n": {1: -5}}}, ".fully_synthetic.n.1", ["found -5"]),
        ({"fully_synthetic": {"n": {"one": 5}}}, ".fully_synthetic.n.one", ["found 'one'"]),
        ({"fully_synthetic": {"m": 5}}, ".fully_synthetic.m", ["unknown key 'm'; allowed: n, initial"]),
        ({"fully_synthetic": {"init": "prev"}}, ".fully_synthetic.init", ["found 'prev'"]),
        ({"fully_synthetic": {"init": {"weights": "gone"}}}, ".fully_synthetic.init.weights", ["no such file: 'gone'"]),
        ({"synthetic_augmentation": {"fixed": 80}}, ".synthetic_augmentation", ["n = 50, fixed = 80"]),
        ({"k_memory": {"fresh": 5, "k": {1: 2}}}, ".k_memory.k", ["found {1: 2}"]),
        ({"k_memory": {"fresh": 5, "k": 0}}, ".k_memory.k", ["found 0"]),
        ({"algebra": {"reel": {"fixed": 50}}}, ".algebra.reel", ["unknown key 'reel'", "did you mean 'real'?"]),
        ({"algebra": {"real": {"fixd": 50}}}, ".algebra.real.fixd", ["did you mean 'fixed'?"]),
        ({"algebra": {"real": {"fresh": {1: 2.5}}}}, ".algebra.real.fresh.1", ["found 2.5"]),
        (
            {"algebra": {"synthetic": [{"n": 50, "from": "lst"}]}},
            ".algebra.synthetic.0.from",
            ["found 'lst'", "'last' or 'all'"],
        ),
        ({"algebra": {"synthetic": [{"n": 50, "from": {"last": 0}}]}}, ".algebra.synthetic.0.from.last", ["found 0"]),
        (
            {"algebra": {"synthetic": [{"n": 50, "of": "eatr"}]}},
            ".algebra.synthetic.0.of",
            ["allowed: self, control, eater"],
        ),
        (
            {"algebra": {"synthetic": [{"n": 50}], "pool": {"mode": "subsample"}}},
            ".algebra.pool",
            ["a budget goes with mode: subsample"],
        ),
        ({"algebra": {"pool": {"mode": "replace"}}}, "", ["the training set of generation 1 is empty"]),
        ({"algebra": {"real": {"fixed": {1: 50, 3: 0}}}}, "", ["the training set of generation 3 is empty"]),
        (
            {"algebra": {"synthetic": [{"n": 50}], "weights": {"synthetic": 0}}},
            "",
            ["the training set of generation 1 is empty"],
        ),
    ],
)
def test_faults_of_regimes_stand_at_the_users_keys(tmp_path, regime, path, words):
    found = faults(tmp_path, changed(arms__eater__regime=regime))
    only(found, f"arms.eater.regime{path}", *words)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.Inf", "+.INF"])
def test_numbers_are_finite(tmp_path, number):
    text = BASE.replace("regime: fully_synthetic", f"regime: fully_synthetic, sampling_bias: {number}")
    only(faults(tmp_path, text), "arms.eater.sampling_bias", f"found {number}", "finite")


def test_norway_is_a_name_and_not_false(tmp_path):
    """YAML 1.1 reads no, on and y as true or false; editors and DVC read YAML 1.2, where only true and false are."""
    raw = BASE + "".join(f"  {name}: {{model: moments, regime: fully_synthetic}}\n" for name in ("no", "on", "y"))
    assert list(study(tmp_path, raw).lineages) == ["control", "eater", "no", "on", "y"]
    only(faults(tmp_path, BASE + "control: no\n"), "control", "found 'no'")
    only(faults(tmp_path, BASE + "control: false\n"), "control", "found False")
    only(faults(tmp_path, BASE + "  12: {model: moments, regime: fully_synthetic}\n"), "arms.12", "found 12")
    # A name may begin with such a word.
    raw = BASE + "  true_to_life: {model: moments, regime: fully_synthetic}\n"
    assert "true_to_life" in study(tmp_path, raw).lineages


def test_calibrations_are_models_of_real_data_alone_beside_the_arms(tmp_path):
    found = study(tmp_path, changed(calibration=[20, 50]))
    assert found.calibrations == {"real_n20": 20, "real_n50": 50}
    cells = [cell for cell in found.cells() if cell[0] in found.calibrations]
    assert cells == [(arm, seed, 0) for arm in ("real_n20", "real_n50") for seed in (0, 1)]
    assert found.lineages["real_n20"].base == "base_moments-n20"
    assert found.recipe("real_n20", 0).draws == [("fixed", 0, 20)]
    assert found.lineages["real_n50"].base == found.lineages["eater"].base  # it is generation 0 of all arms
    assert "real_n20" not in found.controls
    raw = changed(calibration=[20])
    raw["arms"]["real_n30"] = raw["arms"]["eater"]
    only(faults(tmp_path, raw), "arms.real_n30", "begins with real_")
    raw = changed(**IMAGES, calibration=[200])
    only(faults(tmp_path, raw), "calibration", "asks for 200 real images", "holds 100")


TOGETHER = {
    "together": True,
    "extractors": ["moments"],
    "metrics": ["variance_ratio"],
    "primary": {"metric": "variance_ratio", "extractor": "moments"},
}


def test_seeds_run_together_where_fits_are_formulas(tmp_path):
    found = study(tmp_path, changed(**TOGETHER, calibration=[20]))
    arm = found.replicated("eater")
    assert (arm.family, arm.population, arm.seeds, len(arm.recipes)) == ("gaussian", "gaussian", 2, 4)
    assert (
        arm.recipes == [found.recipe("eater", t) for t in range(4)] and len(found.replicated("real_n20").recipes) == 1
    )
    assert found.table("eater", "parquet") == "results/study/eater/replicates.parquet"
    raw = changed(**TOGETHER | {"extractors": ["moments", "identity"]})
    only(faults(tmp_path, raw), "extractors", "together", "moments, identity")
    raw = changed(**TOGETHER, arms__eater__select={"random": {"share": 0.5}})
    only(faults(tmp_path, raw), "arms.eater.select", "together", "'random'")
    raw = changed(**TOGETHER, models__moments="kde")
    assert "'kde'" in faults(tmp_path, raw)["models.moments"]
    raw = changed(**TOGETHER)
    raw["arms"]["thief"] = {
        "model": "moments",
        "stream": 1,
        "regime": {"algebra": {"synthetic": [{"n": 50, "of": "eater", "from": "last"}]}},
    }
    only(faults(tmp_path, raw), "arms.thief.regime.synthetic.0.of", "together", "'eater'")


def of_truth(population, model, **more):
    """A study of one model of what a population draws, with 50 rows in every training set."""
    raw = changed(models__moments=model, **more)
    raw["data"] = {"population": population, "split": {"held_out": 100}}
    if population == "outfits":
        raw |= {"metrics": ["class_entropy"], "primary": {"metric": "class_entropy", "extractor": "identity"}}
    return raw


@pytest.mark.parametrize(
    ("population", "model", "said"),
    [
        ("outfits", {"naive-bayes": {"levels": [3, 8, 4]}}, "allowed with levels [3, 8, 4] are 0 to 95"),
        ("outfits", {"multinomial": {"categories": 400}}, "takes 0 .. 399"),
        ("gaussians", {"ppca": {"components": 3, "ddof": 0}}, "allowed for rows of 2 numbers are 1 to 2"),
        ("gaussians", {"gmm": {"components": 51}}, "needs as many rows; got 50"),
        ("gaussian", "linear-regression", "allowed are 2 or more"),
        ("land", "linear-classifier", "a label, which is -1 or 1"),
    ],
)
def test_formulas_that_cannot_be_fitted_to_a_truth_are_refused_before_any_work(tmp_path, population, model, said):
    only(faults(tmp_path, of_truth(population, model)), "models.moments", said, "as a trial")


def test_formulas_are_tried_on_the_fewest_rows_of_any_arm(tmp_path):
    mixture = {"gmm": {"components": 20}}
    assert not faults(tmp_path, of_truth("gaussians", mixture, calibration=[20]))
    only(faults(tmp_path, of_truth("gaussians", mixture, calibration=[19])), "models.moments", "got 19")
    only(faults(tmp_path, of_truth("gaussian", {"gaussian": {"ddof": 1}}, initial={"real": 1})), "models.moments")


def test_what_looks_at_a_known_truth_needs_one(tmp_path):
    raw = changed(extractors=["identity", "truth"])
    only(faults(tmp_path, raw), "extractors.1", "needs a population with judge", "'gaussian'", "land")
    images = IMAGES | {"models": {"counts": "multinomial"}, "arms__eater__model": "counts"}
    raw = changed(**{k: v for k, v in images.items() if k != "arms__eater__model"}, train={})
    raw["arms"]["eater"]["model"] = "counts"
    raw["extractors"] = ["pixels", "lenet", "moments"]
    only(faults(tmp_path, raw), "extractors.2", "known truth", "'digits'")
    raw = changed(extractors=["identity", "moments"], models__moments={"diffusion": {"preset": "points"}})
    only(faults(tmp_path, raw), "extractors.1", "needs models with moments", "'moments'")


def test_families_that_are_sampled_as_they_are_take_no_bias(tmp_path):
    raw = changed(models__moments="box", arms__eater__sampling_bias=0.8)
    only(faults(tmp_path, raw), "arms.eater.sampling_bias", "is a box", "allowed is 1")


def test_a_temperature_above_one_is_of_families_whose_samples_it_widens(tmp_path):
    assert not faults(tmp_path, changed(arms__eater__sampling_bias={1: 1.5, 3: 1}))
    raw = changed(models__moments="box", arms__eater__sampling_bias=1.5)
    only(faults(tmp_path, raw), "arms.eater.sampling_bias", "is a box", "allowed is 1")
    raw = unfair("sampler", waive={"sampler": "it is what this study asks"})
    raw["arms"]["odd"]["sampling_bias"] = 1.5
    only(faults(tmp_path, raw), "arms.odd.sampling_bias", "found 1.5", "guidance weight", "allowed is at most 1")


@pytest.mark.parametrize(
    "name", ["fixed", "fresh", "redrawn", "self", "report", "reference", "base_moments", "control"]
)
def test_reserved_names_are_refused(tmp_path, name):
    raw = changed()
    raw["arms"][name] = raw["arms"]["eater"]
    found = faults(tmp_path, raw)
    assert "name" in found[f"arms.{name}"]


def test_the_name_of_the_prepared_data_is_no_studys(tmp_path):
    with pytest.raises(studies.BadStudy, match="'real' is the folder of the prepared data"):
        studies.load(written(tmp_path, changed(name="real"), "real"))


@pytest.mark.parametrize("name", ["a-b", "a b", "../up", "ä", "1a", "", "a.b", "a/b"])
def test_names_become_paths_and_so_are_plain(tmp_path, name):
    assert len(faults(tmp_path, changed(arms={name: {"model": "moments", "regime": "fully_synthetic"}}))) == 1
    models = {name: {"gaussian": {"ddof": 0}}}
    assert faults(tmp_path, changed(models=models, arms__eater__model=name))


def test_data_is_either_a_source_or_a_population(tmp_path):
    only(faults(tmp_path, changed(data={"split": {"held_out": 5}})), "data", "found neither")
    found = faults(tmp_path, changed(data__source="digits"))
    assert "found source and population" in found["data"]


def test_an_endpoint_that_no_record_would_hold_is_refused(tmp_path):
    raw = changed(**IMAGES, metrics=["recall", "copies_of_real", "class_histogram"])
    raw["primary"] = {"metric": "copies_of_real", "extractor": "lenet"}
    only(faults(tmp_path, raw), "primary", "'copies_of_real' is measured in pixels; found 'lenet'")
    raw["primary"] = {"metric": "class_histogram", "extractor": "lenet"}
    only(faults(tmp_path, raw), "primary.metric", "gives several numbers")
    # Where metrics are no list, that is the one fault.
    for metrics in ("recall", []):
        only(faults(tmp_path, raw | {"metrics": metrics}), "metrics", "found")


def test_faults_speak_plain_english(tmp_path):
    found = faults(tmp_path, changed(arms={"a b": {"model": "moments", "regime": "fully_synthetic"}}))
    assert found == {"arms.a b": "found 'a b'; allowed is a name of letters, digits and _ that begins with a letter"}
    only(faults(tmp_path, changed(metrics=[])), "metrics", "found []; needed is at least 1 item")


# -- supply -----------------------------------------------------------------------------------------------------------


def test_fresh_data_that_runs_out_says_how_many_were_asked_for_and_how_many_there_are(tmp_path):
    raw = changed(**IMAGES, arms__eater__regime={"fresh_data": {"fresh": 20}})
    assert not faults(tmp_path, raw)  # three generations of 20 use up the 60
    raw["generations"] = 4
    only(faults(tmp_path, raw), "arms.eater.regime.real.fresh", "4 generations ask for 80 fresh images", "holds 60")
    raw["arms"]["eater"]["regime"]["fresh_data"]["fresh"] = {1: 20, 4: 0}
    assert not faults(tmp_path, raw)


def test_splits_cannot_be_larger_than_the_data(tmp_path):
    raw = changed(**IMAGES)
    raw["data"] = {"source": "digits", "split": {"train": 1000, "held_out": 597, "fresh": 201}}
    only(faults(tmp_path, raw), "data", "1798 images were asked for", "there are 1797")


def test_fixed_rows_cannot_be_more_than_the_train_split_holds(tmp_path):
    raw = changed(**IMAGES, initial={"real": 101}, samples=200)
    assert "asks for 101 real images at once; the train split holds 100" in faults(tmp_path, raw)["arms.eater.regime"]


def test_a_generation_cannot_eat_more_than_its_ancestors_gave(tmp_path):
    only(faults(tmp_path, changed(samples=49)), "arms.eater.regime", "eats 50 samples", "49 are kept", "raise samples")
    half = changed(arms__eater__select={"random": {"share": 0.49}})
    only(faults(tmp_path, half), "arms.eater.regime", "49 are kept")
    # From all generations only the first asks for all of them from one.
    early = changed(samples=40, arms__eater__regime={"algebra": {"synthetic": [{"n": 50, "from": "all"}]}})
    only(faults(tmp_path, early), "arms.eater.regime", "eats 50 samples of 'eater' at generation 0", "40 are kept")
    anew = changed(samples=6, arms__eater__regime={"k_memory": {"fresh": 10, "k": 2}})
    assert not faults(tmp_path, anew)


def test_samples_drawn_anew_cannot_pass_by_a_selector(tmp_path):
    raw = changed(arms__eater__regime={"k_memory": {"fresh": 10, "k": 2}})
    raw["arms"]["eater"]["select"] = {"random": {"share": 0.5}}
    only(faults(tmp_path, raw), "arms.eater.regime", "pass no selector", "allowed: draw: stored")


# -- fairness ---------------------------------------------------------------------------------------------------------

UNFAIR = {
    "training_set_size": {"regime": {"fully_synthetic": {"n": 60}}},
    "init": {"regime": {"fully_synthetic": {"init": "previous"}}},
    "images_seen": {"model": "longer"},
    "sampler": {"sampler": {"heun": {"steps": 40}}},
}


def unfair(rule, **more):
    raw = changed(**IMAGES, samples=100)
    raw["models"]["longer"] = {"diffusion": {"preset": "tiny", "images_seen": 5000}}
    raw["control"] = "none"
    raw["arms"]["odd"] = raw["arms"]["eater"] | UNFAIR[rule]
    return raw | more


@pytest.mark.parametrize("rule", studies.FAIRNESS)
def test_a_fairness_rule_is_kept_or_waived_with_a_reason(tmp_path, rule):
    only(faults(tmp_path, unfair(rule)), "arms", studies.FAIRNESS[rule], f"waive: {{{rule}: reason}}", "eater", "odd")
    assert not faults(tmp_path, unfair(rule, waive={rule: "it is what this study asks"}))
    only(faults(tmp_path, unfair(rule, waive={rule: ""})), f"waive.{rule}", "at least 1 character")


@pytest.mark.parametrize("rule", studies.FAIRNESS)
def test_there_must_be_something_to_waive(tmp_path, rule):
    only(faults(tmp_path, changed(waive={rule: "why not"})), f"waive.{rule}", "nothing to waive")


@pytest.mark.parametrize(
    ("regime", "control", "rows"),
    [
        ({"fully_synthetic": {"initial": 10**9}}, "real_only", None),
        ("accumulate", "real_only", "4,000,000,000"),
        ({"fresh_data": {"fresh": 10**9, "n": 10**9, "initial": 100}}, "real_supply", "3,000,000,100"),
    ],
)
def test_training_sets_of_arms_and_of_their_controls_have_a_largest_size(tmp_path, regime, control, rows):
    raw = changed(control=control, generations=3, initial__real=10**9, samples=10**9, arms__eater__regime=regime)
    found = faults(tmp_path, raw).get("arms.eater.regime", "")
    assert bool(found) == bool(rows)
    assert not rows or found == f"comes to {rows} rows; allowed are 1,000,000,000 and fewer"


def test_epochs_give_larger_sets_more_images_and_so_are_waived(tmp_path):
    raw = unfair("training_set_size", train={"epochs": 2}, waive={"training_set_size": "they accumulate"})
    only(faults(tmp_path, raw), "arms", studies.FAIRNESS["images_seen"], "eater 100 at every generation", "120")
    raw["waive"]["images_seen"] = "epochs, as in the paper"
    found = study(tmp_path, raw)
    assert [found.images_seen("odd", t) for t in range(3)] == [100, 120, 120]


def test_generation_0_is_compared_too(tmp_path):
    raw = changed(control="none")
    raw["arms"]["larger"] = {"model": "moments", "regime": {"fully_synthetic": {"initial": 60, "n": 50}}}
    only(faults(tmp_path, raw), "arms", studies.FAIRNESS["training_set_size"], "larger [60, 50, 50, 50]")
    found = study(tmp_path, raw | {"waive": {"training_set_size": "whether the start matters is the question"}})
    assert found.bases.keys() == {"base_moments", "base_moments-n60"}
    raw["arms"]["as_large"] = raw["arms"]["larger"]
    raw["waive"] = {"training_set_size": "whether the start matters is the question"}
    assert study(tmp_path, raw).bases.keys() == {"base_moments", "base_moments-n60"}  # one start, one training


def test_the_images_of_generation_0_are_compared_too(tmp_path):
    """With epochs a larger first training set shows more images once, and never again."""
    raw = changed(**IMAGES, samples=100, control="none", train={"epochs": 2})
    raw["arms"]["larger"] = {"model": "tiny", "regime": {"fully_synthetic": {"initial": 60, "n": 50}}}
    raw["waive"] = {"training_set_size": "whether the start matters is the question"}
    only(faults(tmp_path, raw), "arms", studies.FAIRNESS["images_seen"], "larger [120, 100, 100, 100]")
    found = study(tmp_path, raw | {"waive": raw["waive"] | {"images_seen": "so are its images"}})
    assert [found.images_seen(arm, 0) for arm in ("eater", "larger")] == [100, 120]


# -- the control ------------------------------------------------------------------------------------------------------


def composition(found, arm, generation):
    return [tuple(draw) for draw in found.recipe(arm, generation).draws]


def test_every_study_gets_the_real_only_control_at_the_arms_total_size(tmp_path):
    found = study(tmp_path, changed(arms__eater__regime={"fresh_data": {"n": 80, "fresh": 20}}))
    assert list(found.lineages) == ["control", "eater"] and found.controls == {"eater": "control"}
    assert found.lineages["control"].is_control
    assert [composition(found, "control", t) for t in (0, 1, 3)] == [[("fixed", 0, n)] for n in (50, 80, 80)]
    assert found.bases.keys() == {"base_moments"}  # generation 0 is shared


def test_the_controls_size_follows_a_schedule(tmp_path):
    found = study(tmp_path, changed(arms__eater__regime={"fully_synthetic": {"n": {1: 60, 3: 90}}}))
    assert [composition(found, "control", t)[0][2] for t in range(4)] == [50, 60, 60, 90]
    growing = study(tmp_path, changed(arms__eater__regime="accumulate"))
    assert [composition(growing, "control", t)[0][2] for t in range(4)] == [50, 100, 150, 200]


def test_the_control_starts_its_trainings_as_the_study_does(tmp_path):
    assert study(tmp_path, changed(init="previous")).lineages["control"].regime.init == "previous"


def test_a_study_can_go_without_a_control(tmp_path):
    found = study(tmp_path, changed(control="none"))
    assert list(found.lineages) == ["eater"] and not found.controls
    own = changed(control="none", arms={"control": {"model": "moments", "regime": "fully_synthetic"}})
    assert not study(tmp_path, own).lineages["control"].is_control


def test_every_model_has_its_own_control(tmp_path):
    raw = changed()
    raw["models"]["unbiased"] = {"gaussian": {"ddof": 1}}
    raw["arms"]["other"] = {"model": "unbiased", "regime": "fully_synthetic"}
    found = study(tmp_path, raw)
    assert list(found.lineages) == ["control_moments", "control_unbiased", "eater", "other"]
    assert found.controls == {"eater": "control_moments", "other": "control_unbiased"}


# -- arms and generations ---------------------------------------------------------------------------------------------


def pair(first_stream=0, second_stream=1, of=("b", "a")):
    halves = [{"algebra": {"synthetic": [{"n": 25}, {"n": 25, "of": other}]}} for other in of]
    arms = {
        name: {"model": "moments", "regime": regime, "stream": stream}
        for name, regime, stream in zip("ab", halves, (first_stream, second_stream), strict=True)
    }
    return changed(arms=arms)


def test_arms_can_feed_each_other_from_streams_of_their_own(tmp_path):
    found = study(tmp_path, pair())
    assert composition(found, "a", 2) == [("a", 1, 25), ("b", 1, 25)]
    assert composition(found, "b", 2) == [("a", 1, 25), ("b", 1, 25)]
    files = [source["samples"] for source in found.sources("a", 1, 2)]
    assert files == [f"results/study/{arm}/seed1/gen1/samples.safetensors" for arm in "ab"]


def test_arms_that_feed_each_other_share_no_noise(tmp_path):
    found = faults(tmp_path, pair(second_stream=0))
    assert found.keys() == {"arms.a.regime", "arms.b.regime"}
    assert "'b' and 'a' both have stream 0" in found["arms.a.regime"]
    assert faults(tmp_path, pair(of=("control", "a")))  # the control's stream is 0
    assert not faults(tmp_path, pair(first_stream=2, of=("control", "a")))


def test_two_arms_that_a_third_eats_share_no_noise_either(tmp_path):
    raw = pair(of=("self", "self"))
    third = {"algebra": {"synthetic": [{"n": 25, "of": "a"}, {"n": 25, "of": "b"}]}}
    raw["arms"]["c"] = {"model": "moments", "regime": third, "stream": 2}
    assert not faults(tmp_path, raw)
    raw["arms"]["b"]["stream"] = 0
    only(faults(tmp_path, raw), "arms.c.regime", "'b' and 'a' both have stream 0")


def test_a_model_whose_name_looks_like_another_start_keeps_its_own_generation_0(tmp_path):
    raw = changed(control="none", waive={"training_set_size": "other starts"})
    raw["models"] = {"m": {"gaussian": {"ddof": 0}}, "m_n60": {"gaussian": {"ddof": 1}}}
    raw["arms"] = {
        "a": {"model": "m", "regime": {"fully_synthetic": {"initial": 60, "n": 50}}},
        "b": {"model": "m_n60", "regime": "fully_synthetic"},
    }
    assert study(tmp_path, raw).bases.keys() == {"base_m-n60", "base_m_n60"}


def test_generation_0_lies_in_the_base_and_all_after_it_in_the_arm(tmp_path):
    found = study(tmp_path, changed())
    assert found.cell("eater", 1, 0, "model.safetensors") == "results/study/base_moments/seed1/gen0/model.safetensors"
    assert found.cell("eater", 1, 0, "samples.safetensors") == "results/study/eater/seed1/gen0/samples.safetensors"
    assert found.cell("eater", 1, 1, "model.safetensors") == "results/study/eater/seed1/gen1/model.safetensors"
    assert len(list(found.cells())) == 2 * 2 * 4 and len(list(found.base_cells())) == 2


@pytest.mark.parametrize(
    ("init", "starts"),
    [("scratch", [None] * 4), ("previous", [None, 0, 1, 2]), ({"generation": 1}, [None, 0, 1, 1])],
)
def test_what_a_training_starts_from(tmp_path, init, starts):
    found = study(tmp_path, changed(init=init))
    files = [None if start is None else found.cell("eater", 0, start, "model.safetensors") for start in starts]
    assert [found.init_file("eater", 0, generation) for generation in range(4)] == files


def test_weights_from_a_file_start_every_generation_and_make_a_base_of_their_own(tmp_path):
    weights = tmp_path / "weights.safetensors"
    store.write_tensors(weights, {}, {"family": "gaussian"})
    raw = changed(waive={"init": "what it starts from is the question"})
    raw["arms"]["pretrained"] = {
        "model": "moments",
        "regime": {"fully_synthetic": {"init": {"weights": str(weights)}}},
    }
    found = study(tmp_path, raw)
    assert {found.init_file("pretrained", 0, generation) for generation in range(4)} == {str(weights)}
    assert found.lineages["pretrained"].base != found.lineages["eater"].base


def test_studies_that_say_the_same_of_their_data_share_it(tmp_path):
    one = study(tmp_path, changed())
    other = studies.load(written(tmp_path, changed(name="other", seeds=5), "other"))
    third = study(tmp_path, changed(data__split__held_out=60))
    assert one.real == other.real == third.real != study(tmp_path, changed(data__split_seed=1)).real
    # A part is a file named by its rows: others are held out, and the truth is the same.
    assert one.part_file("held_out") == other.part_file("held_out") != third.part_file("held_out")
    assert one.part_file("population") == third.part_file("population")


def test_a_plan_is_the_study_again(tmp_path):
    raw = changed(
        seeds=3, arms__eater__sampling_bias={1: 0.5, 3: 1}, metrics=["frechet_distance", {"recall": {"k": 3}}]
    )
    raw["arms"]["ending"] = {"model": "moments", "regime": {"fresh_data": {"fresh": {1: 10, 3: 0}}}}
    found = study(tmp_path, raw)
    again = studies.from_plan(found.plan())
    assert again.lineages == found.lineages and again.plan() == found.plan()
    assert again.metric_options()["recall"]["k"] == 3
    with pytest.raises(studies.BadStudy):
        studies.from_plan(found.plan().replace('"seeds":3', '"seeds":0'))


# -- shipped studies, mutated -----------------------------------------------------------------------------------------

VALUES = [
    *(None, -1, 0, 1, 3, 10**9, 1.5, float("nan"), True, "no", "", "x", [], {}, [1], [[1]], [None], {"a": 1}, {1: 2}),
    *({-1: 3}, {"preset": 5}, {"selector": 7}, {"generation": 0}, {"weights": "nowhere"}, {"last": 2}, "previous"),
    *("control", "fully_synthetic", {"k_memory": {"k": {1: 2}, "fresh": 5}}, "\0", "x" * 5000, 10**400),
    *({"fresh_data": {"fresh": {1: 10, 3: 0}}}, {"fresh_data": {"fresh": 10**6}}),
]
KEYS = ["x", 1, None, "self", "base_a", "report", "control", True]


def places(node, here=()):
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*here, key)
        yield from places(value, (*here, key))


def mutated(raw, chance):
    raw = copy.deepcopy(raw)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        *above, key = chance.choice(list(places(raw)))
        part = raw
        for step in above:
            part = part[step]
        what = chance.choice(["set", "set", "set", "delete", "rename"])
        if what == "delete":
            del part[key]
        elif what == "rename" and isinstance(part, dict):
            part[chance.choice(KEYS)] = part.pop(key)
        else:
            part[key] = copy.deepcopy(chance.choice(VALUES))
    return raw


@pytest.mark.parametrize(
    "mutants", [range(15), pytest.param(range(15, 150), marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_mutated_study_loads_or_is_refused(path, mutants, tmp_path):
    """Any other exception than BadStudy would be a traceback at the user."""
    raw, outcomes = yaml.safe_load(path.read_text()), {"ok": 0, "bad": 0}
    for number in mutants:
        mutant = written(tmp_path, mutated(raw, random.Random(number)), path.stem)
        try:
            studies.load(mutant)
            outcomes["ok"] += 1
        except studies.BadStudy as error:
            outcomes["bad"] += 1
            assert error.faults and all(fault.message for fault in error.faults)
    assert outcomes["bad"] > len(mutants) / 2  # the mutations are worth their name


# -- the JSON schema --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads((ROOT / "config" / "study.schema.json").read_text()))


def as_editors_see(raw):
    """Keys of YAML mappings are text to a schema."""
    return json.loads(json.dumps(raw))


def test_the_shipped_schema_is_what_the_cli_prints(schema):
    done = forked.run(["collapselab", "schema"], ROOT)
    assert done.returncode == 0
    remedy = "run: collapselab schema --out config/study.schema.json"
    assert done.stdout == (ROOT / "config" / "study.schema.json").read_text(), remedy
    schema.check_schema(schema.schema)


@pytest.mark.parametrize("path", [*SHIPPED, TEMPLATE], ids=lambda path: path.stem)
def test_shipped_studies_fit_the_schema(schema, path):
    assert [error.message for error in schema.iter_errors(as_editors_see(yaml.safe_load(path.read_text())))] == []


REGIMES_IN_WORDS = [
    *("real_only", {"real_only": {"n": {1: 40, 2: 50}}}, {"fully_synthetic": {"n": 40}}),
    *({"synthetic_augmentation": {"fixed": 10}}, {"fresh_data": {"fresh": {1: 10, 3: 0}}}),
    *({"ten_percent_real": {"init": "previous"}}, {"accumulate": {"initial": 40}}),
    *({"accumulate_subsample": {"init": {"generation": 0}}}, {"k_memory": {"fresh": 10, "k": 2}}),
    {
        "algebra": {
            "real": {"fixed": {1: 20, 2: 25}},
            "synthetic": [{"n": 25, "of": "self", "from": {"last": 2}, "draw": "stored"}],
        }
    },
    {"algebra": {"synthetic": [{"n": 50}], "pool": {"mode": "subsample", "budget": 50, "includes": ["synthetic"]}}},
    {
        "algebra": {
            "initial": {"real": 50},
            "synthetic": [{"n": 50}],
            "weights": {"real": 1, "synthetic": {1: 0.5}},
        }
    },
]


@pytest.mark.parametrize("regime", [*REGIMES_IN_WORDS, *(name for name in REGIMES if name not in (
    "synthetic_augmentation", "fresh_data", "k_memory"))], ids=str)  # fmt: skip
def test_what_validates_fits_the_schema(schema, tmp_path, regime):
    raw = changed(arms__eater__regime=regime, control="none")
    raw["arms"]["eater"] |= {"sampling_bias": {1: 0.9}, "adapt": None, "guide": None, "about": "a line"}
    raw |= {"train": {"epochs": {0: 3, 1: 1}}, "metrics": ["recall", {"frechet_distance": {}}]}
    raw["data"]["source"] = None
    assert faults(tmp_path, raw) == {}
    assert [error.message for error in schema.iter_errors(as_editors_see(raw))] == []


@pytest.mark.parametrize("name", REGIMES)
def test_the_schema_knows_the_numbers_of_every_preset(schema, name):
    raw = changed(arms__eater__regime={"preset": name, "numbr": 5})
    assert not schema.is_valid(as_editors_see(raw))


def test_the_schema_refuses_what_an_editor_should_underline(schema):
    for changes in (
        {"seeds": 0}, {"generation": 3}, {"arms__eater__regime": "fully_synthetc"}, {"metrics": ["recal"]},
        {"models__moments__family": "gam"}, {"waive": {"sizes": "x"}}, {"arms__eater__sampling_bias": 0},
    ):  # fmt: skip
        assert not schema.is_valid(as_editors_see(changed(**changes))), changes


# -- kinds of data, and who may judge ----------------------------------------------------------------------------------


def test_parts_that_cannot_work_on_the_data_are_faults(tmp_path):
    raw = changed(**IMAGES) | {
        "models": {"tiny": {"gaussian": {"ddof": 0}}},
        "extractors": ["lenet", "identity"],
        "metrics": ["recall"],
    }
    found = faults(tmp_path, raw)
    assert found.keys() == {"models.tiny", "extractors.1"}
    assert found["models.tiny"] == "'gaussian' models vectors; the study's data are images"
    assert found["extractors.1"] == "'identity' looks at vectors and categories; the study's data are images"


def test_the_judge_is_not_the_prosecutor(tmp_path, monkeypatch):
    """A selector that looks through an extractor may not be measured by it."""
    monkeypatch.setitem(SELECTORS, "seer", dataclasses.replace(SELECTORS["random"], needs=Needs(features=("lenet",))))
    raw = changed(**IMAGES) | {"metrics": ["recall"]}
    raw["arms"] = {"eater": raw["arms"]["eater"] | {"select": {"seer": {"share": 0.5}}}}
    only(faults(tmp_path, raw), "primary.extractor", "who selects is not who measures")
    study(tmp_path, raw | {"waive": {"primary_space": "to see by how much it flatters"}})
    raw["primary"] = {"metric": "recall", "extractor": "pixels"}
    found = study(tmp_path, raw | {"extractors": ["pixels"]})
    assert found.extractors == ["pixels", "lenet"] and found.trained_extractors == ["lenet"]


def test_a_selector_is_told_its_own_options_beside_the_extractor_that_it_looks_through(tmp_path, monkeypatch):
    monkeypatch.setitem(SELECTORS, "seer", dataclasses.replace(SELECTORS["random"], needs=Needs(features=("lenet",))))
    raw = changed(**IMAGES) | {"extractors": ["pixels"], "metrics": ["recall"]}
    raw["primary"] = {"metric": "recall", "extractor": "pixels"}
    raw["arms"] = {"eater": raw["arms"]["eater"] | {"select": {"seer": {"share": 0.5}}}}
    found = study(tmp_path, raw)
    flags = shlex.split(jobs.arguments(found, "select", jobs.Place("eater")))
    said = json.loads(flags[flags.index("--selectors") + 1])
    assert flags.count("--selectors") == 1 and said == [{"seer": {"share": 0.5}}]
    assert flags[flags.index("--extractor") + 1] == f"lenet={found.weights('lenet')}"


def test_options_of_metrics_have_ranges(tmp_path):
    found = faults(tmp_path, changed(metrics=["frechet_distance", {"recall": {"k": 0, "comparison": "=="}}]))
    assert "found 0" in found["metrics.1.recall.k"] and "found '=='" in found["metrics.1.recall.comparison"]


# -- what the measures need to know -----------------------------------------------------------------------------------


def test_as_many_samples_are_measured_as_the_strictest_selector_keeps(tmp_path):
    assert study(tmp_path, changed()).measured == 100
    picky = {"model": "moments", "regime": "fully_synthetic"}
    raw = changed(
        samples=190,
        arms__half=picky | {"select": {"random": {"share": 0.5}}},
        arms__third=picky | {"select": {"random": {"share": 0.3}}},
    )
    assert study(tmp_path, raw).measured == 57


def test_a_conditional_model_is_told_classes(tmp_path):
    assert study(tmp_path, changed()).classes_given == []
    for classes in (0, 10):
        models = {"tiny": {"diffusion": {"preset": "tiny", "classes": classes}}}
        found = study(tmp_path, changed(**IMAGES) | {"models": models})
        assert found.classes_given == (list(found.lineages) if classes else [])


# -- what would be found out too late ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", [{"classes": 0}, {"label_dropout": 0.0}])
def test_a_sampling_bias_needs_classes_to_guide_by(tmp_path, lacking):
    raw = changed(**IMAGES)
    raw["models"]["tiny"]["diffusion"] |= lacking
    assert not faults(tmp_path, raw)
    for bias in (0.5, {1: 1.0, 3: 0.9}):
        raw["arms"]["eater"]["sampling_bias"] = bias
        only(faults(tmp_path, raw), "arms.eater.sampling_bias", f"{next(iter(lacking))}: 0", "allowed is 1")
    raw["models"]["tiny"] = {"diffusion": {"preset": "tiny"}}
    assert not faults(tmp_path, raw)
    assert not faults(tmp_path, changed(arms__eater__sampling_bias=0.5))  # a Gaussian's is of another kind


def test_the_endpoint_reads_classes_where_there_are_some(tmp_path):
    endpoint = {"metric": "class_entropy", "extractor": "pixels"}
    raw = changed(**IMAGES | {"metrics": ["class_entropy"], "primary": endpoint})
    only(faults(tmp_path, raw), "primary", "'class_entropy' reads classes, which 'pixels' does not tell from images")
    raw["primary"]["extractor"] = "lenet"
    assert not faults(tmp_path, raw)


def categories(**changes):
    law = {"probabilities": {"categories": 10, "law": "zipf"}}
    raw = changed(data__population={"multinomial": law}, metrics=["class_total_variation"])
    raw["models"] = {"moments": {"multinomial": {"categories": 10}}}
    return raw | {"primary": {"metric": "class_total_variation", "extractor": "identity"}} | changes


def test_categories_have_no_distances(tmp_path):
    assert not faults(tmp_path, categories())
    found = faults(tmp_path, categories(metrics=["recall", "class_total_variation", "frechet_distance"]))
    assert list(found) == ["metrics.0", "metrics.2"]
    assert found["metrics.0"].startswith("'recall' measures distances, and categories have none; allowed: class_")


def test_a_metric_that_no_extractor_serves_is_a_fault(tmp_path):
    raw = changed(**IMAGES, metrics=["recall", "copies_of_real"])
    assert not faults(tmp_path, raw)
    only(faults(tmp_path, raw | {"extractors": ["lenet"]}), "metrics.1", "'copies_of_real' is measured in pixels")


def test_there_are_as_many_neighbours_as_are_asked_for(tmp_path):
    def asking(k, **changes):
        return faults(tmp_path, changed(metrics=["frechet_distance", {"recall": {"k": k}}], **changes))

    assert not asking(49) and not asking(49, samples=50)
    only(asking(50), "metrics.1", "50 neighbours", "50 real ones held out", "k is at most 49")
    only(asking(60, data__split__held_out=90, samples=60), "metrics.1", "60 samples are measured", "at most 59")


def test_a_selector_keeps_something(tmp_path):
    anew = "real_only"
    raw = changed(arms__eater__select={"random": {"share": 0.004}}, arms__eater__regime=anew)
    assert faults(tmp_path, raw)["arms.eater.select"] == "keeps none of 100 samples"


def test_published_weights_can_be_generation_0_and_later_ones_go_on_from_the_last(tmp_path):
    weights = tmp_path / "weights.safetensors"
    store.write_tensors(weights, {}, {"family": "gaussian"})
    init = {"weights": str(weights), "then": "previous"}
    raw = changed(init=init, train={"images_seen": {0: 0, 1: 100}}, generations=2)
    found = study(tmp_path, raw)
    starts = [found.init_file("eater", 0, generation) for generation in range(3)]
    assert starts == [
        str(weights),
        found.cell("eater", 0, 0, "model.safetensors"),
        "results/study/eater/seed0/gen1/model.safetensors",
    ]
    assert [found.images_seen("eater", generation) for generation in range(3)] == [0, 100, 100]
    only(faults(tmp_path, changed(train={"images_seen": {0: 0, 1: 100}})), "train.images_seen", "generation 0", "init")
    only(faults(tmp_path, raw | {"train": {"images_seen": {0: 0, 2: 0}}}), "train.images_seen", "generation 1 of")


def test_what_a_model_leaves_open_needs_a_validation_split(tmp_path):
    raw = changed(**IMAGES)
    raw["models"]["tiny"]["diffusion"]["ema"] = "power"
    only(faults(tmp_path, raw), "data.split.validation", "'tiny' leaves ema_std open", "found 0")
    usual = study(tmp_path, changed(**IMAGES))
    raw["data"]["split"]["validation"] = 40
    found = study(tmp_path, raw)
    assert found.chosen_by("base_tiny", 1, 0) == {"validation": found.part_file("validation")}
    assert found.chosen_by("eater", 1, 2) == {"model": found.cell("eater", 1, 0, "model.safetensors")}
    assert usual.chosen_by("eater", 0, 1) == {}
    raw["models"]["tiny"]["diffusion"]["ema_std"] = 0.05
    assert study(tmp_path, raw).chosen_by("eater", 1, 2) == {}


def test_weights_are_a_model_of_the_arms_family_with_its_hash(tmp_path):
    weights = tmp_path / "weights.safetensors"
    raw = changed(init={"weights": str(weights)})
    store.write_tensors(weights, {}, {"family": "multinomial"})
    only(faults(tmp_path, raw), "init.weights", "holds a 'multinomial' model; the arm's is 'gaussian'")
    store.write_tensors(weights, {}, {"family": "gaussian"})
    assert not faults(tmp_path, raw)
    for content in (b"", b"\xff" * 100, (5).to_bytes(8, "little") + b"[[]]]", (2).to_bytes(8, "little") + b"[]"):
        weights.write_bytes(content)
        only(faults(tmp_path, raw), "init.weights", "is not a model of this program")
    store.hash_path(weights).unlink()
    only(faults(tmp_path, raw), "init.weights", "comes without its hash", "weights.safetensors.sha256")


@pytest.mark.parametrize(
    ("changes", "path", "new"),
    [
        ({"models__moments": {"family": "gaussian", "ddof": 0}}, "models.moments", "{gaussian: {ddof: 0}}"),
        ({"models__moments": {"family": "box"}}, "models.moments", "is now box"),
        ({"arms__eater__select": {"selector": "random", "share": 0.5}}, "arms.eater.select", "{random: {share: 0.5}}"),
        (
            {"arms__eater__regime": {"preset": "fresh_data", "fresh": 5}},
            "arms.eater.regime",
            "{fresh_data: {fresh: 5}}",
        ),
        ({"arms__eater__regime": {"preset": "accumulate"}}, "arms.eater.regime", "is now accumulate"),
        (
            {"arms__eater__regime": {"real": {"fixed": 50}}},
            "arms.eater.regime",
            "is now {algebra: {real: {fixed: 50}}}",
        ),
        (
            {"data": {"population": "gaussian", "options": {"dimension": 2}, "split": {"held_out": 50}}},
            "data.options",
            "population: {gaussian: {dimension: 2}}",
        ),
    ],
)
def test_a_form_of_earlier_files_is_answered_with_its_new_one(tmp_path, changes, path, new):
    """There is one fault, where the old form stands, and what it shows can be written there."""
    only(faults(tmp_path, changed(**changes)), path, new)


def test_what_is_measured_and_what_is_eaten_is_checked_at_once_in_the_files_order(tmp_path):
    raw = changed(samples=40, metrics=["recal"], primary={"metric": "frechet_distance", "extractor": "identiy"})
    with pytest.raises(studies.BadStudy) as error:
        study(tmp_path, raw)
    lines = [int(number) for number in re.findall(r"line (\d+):", str(error.value))]
    assert lines == sorted(lines) and len(lines) >= 4
    paths = {".".join(map(str, fault.path)) for fault in error.value.faults}
    assert {"metrics.0", "primary.metric", "primary.extractor", "arms.eater.regime"} <= paths


def test_the_size_on_disk_is_told_without_drawing_a_sample(tmp_path):
    told = study(
        tmp_path,
        changed(
            data__population={"gaussian": {"dimension": 100_000}}, models__moments__gaussian__covariance="diagonal"
        ),
    )
    # 2 arms, 2 seeds and 4 generations of 100 samples in float64, of which there are no pictures; as wide are their
    # features, and the rows that training sets draw.
    said = words.totals(told)["disk"]
    mib = int(re.search(r"samples ([0-9,]+) MiB", said)[1].replace(",", ""))
    features = int(re.search(r"features ([0-9,]+) MiB", said)[1].replace(",", ""))
    assert features == pytest.approx(2 * 2 * 4 * 100 * 100_000 * 8 / 2**20, rel=0.02)
    assert mib > features
    assert re.match(r"\d+ KiB", words.totals(study(tmp_path, categories(control="none")))["disk"])


def test_what_is_made_beside_trainings_and_samples_is_counted(tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTERS, "more", Adapter(NoOptions, lambda model, *given: model, lambda options: 100))
    rule = lambda seen, at, state, draws, options: (seen.conditional, state)  # noqa: E731
    beside = {"bad": Auxiliary("training", 64), "own": Auxiliary("own", 32, 50)}
    monkeypatch.setitem(GUIDES, "worse", Guide(NoOptions, rule, auxiliary=lambda options, seen: beside))
    monkeypatch.setitem(TRANSFORMS, "mark", Transform(NoOptions, lambda samples, options, seed: samples))
    raw = changed(**IMAGES, control="none")
    plain = study(tmp_path, raw)
    raw["arms"]["eater"] |= {"adapt": "more", "guide": "worse", "transform": ["mark"]}
    full, cells = study(tmp_path, raw), 8
    assert words.totals(plain)["trainings"] == "8, of which 2 of generation 0 are shared by arms"
    assert words.totals(full)["trainings"].endswith("shared by arms, and 8 adaptations and 16 further models")
    apart = cells * (100 + 64 + 32)
    assert words.totals(full)["images seen in training"].endswith(
        f", of which {apart:,} for adaptations and further models"
    )
    before, after = budget.work(plain)["tiny"], budget.work(full)["tiny"]
    assert before.sampled == cells * (100 + 40)
    assert after.sampled == cells * (2 * 100 + 40 + 50)  # raw and sampled; what is released is no sample of a model
    assert after.trained - before.trained == cells * (100 + 64 + 32)
    before, after = storage.disk(plain).bytes, storage.disk(full).bytes
    head = storage.HEAD_BYTES  # and each sample has its class beside its 64 pixels
    assert before["samples"] == cells * (100 * 72 + head) and before["pictures"] == cells * (40 * 72 + head)
    assert after["samples"] == cells * 3 * (100 * 72 + head) and after["pictures"] == before["pictures"]
    assert after["weights"] == 4 * before["weights"]


def test_arms_of_closed_forms_are_said_to_have_no_budget(tmp_path):
    raw = changed(models__points={"diffusion": {"preset": "points"}})
    raw["arms"]["other"] = {"model": "points", "regime": "fully_synthetic"}
    said = faults(tmp_path, raw)["arms"]
    assert "eater no budget (a closed form) at every generation" in said and "None" not in said and "null" not in said


def test_rare_classes_have_real_data_of_their_own(tmp_path):
    raw = changed(**IMAGES)
    usual = study(tmp_path, raw)
    rare = study(tmp_path, raw | {"data": raw["data"] | {"rare": {7: 0.003}}})
    assert rare.real != usual.real and "class 7 thinned to a share of 0.003" in words.describe_data(rare)
    assert studies.from_plan(rare.plan()).file.data.rare == {7: 0.003}
    found = faults(tmp_path, raw | {"data": raw["data"] | {"rare": {7: 0.6, 3: 0.4, -1: 0}}})
    assert {"data.rare.-1"} <= found.keys()
    only(faults(tmp_path, raw | {"data": raw["data"] | {"rare": {7: 0.6, 3: 0.4}}}), "data.rare", "less than 1")
    # 1,797 digits, 179 sevens and 183 threes: beside 1,435 others a share of .2 would be 383 sevens
    found = faults(tmp_path, raw | {"data": raw["data"] | {"rare": {7: 0.2, 3: 0.05}}})
    only(found, "data.rare.7", "a share of 0.2 of label 7 beside 1435 others is 383 samples, allowed are 1 to 179")
    found = faults(tmp_path, raw | {"data": raw["data"] | {"rare": {7: 1e-9, 3: 0.9}}})
    assert list(found) == ["data.rare.7", "data.rare.3"]
    only(faults(tmp_path, raw | {"data": raw["data"] | {"rare": {12: 0.2}}}), "data.rare", "found the label 12")
    many = {"source": "digits", "split": {"train": 1100, "held_out": 597}}
    assert not faults(tmp_path, raw | {"data": many})
    left = 1797 - 179 + round(1618 * 0.003 / 0.997)
    only(faults(tmp_path, raw | {"data": many | {"rare": {7: 0.003}}}), "data", f"but there are {left}")
    population = changed()
    population["data"]["rare"] = {0: 0.1}
    only(faults(tmp_path, population), "data.rare", "population")


def test_extractors_have_options_and_files_of_their_own(tmp_path):
    raw = changed(**IMAGES)
    usual = study(tmp_path, raw)
    other = study(tmp_path, raw | {"extractors": ["pixels", {"lenet": {"epochs": 3}}]})
    assert usual.measured_in == other.measured_in == ["pixels", "lenet"]
    assert other.extractor_options("lenet")["epochs"] == 3 and usual.extractor_options("lenet")["epochs"] == 30
    assert usual.extractor_file("features", "pixels") == other.extractor_file("features", "pixels")
    assert usual.weights("lenet") != other.weights("lenet")
    only(
        faults(tmp_path, raw | {"extractors": ["pixels", {"lenet": {"epoch": 3}}]}),
        "extractors.1.lenet.epoch",
        "epochs",
    )
    only(faults(tmp_path, raw | {"extractors": ["lenet", {"pixels": {"a": 3}}]}), "extractors.1.pixels.a", "a")


def test_published_weights_are_looked_for_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    raw = changed(**IMAGES)
    missing = raw | {"extractors": ["lenet", "inception"]}
    only(faults(tmp_path, missing), "extractors.1", str(tmp_path), "collapselab weights fetch inception")
    missing["extractors"] = ["lenet", {"dinov2": {"weights": "nowhere/dinov2"}}]
    only(faults(tmp_path, missing), "extractors.1", "nowhere/dinov2")


def test_statistics_are_read_by_metrics_that_name_them(tmp_path):
    raw = changed(**IMAGES) | {"extractors": ["colours"], "metrics": ["recall", "colour_share"]}
    found = faults(tmp_path, raw | {"primary": {"metric": "recall", "extractor": "colours"}})
    assert "is measured in" in found["primary"] and "not among the study's extractors" in found["metrics.0"]


def test_the_reference_is_one_of_three(tmp_path):
    assert [study(tmp_path, changed(reference=part)).file.reference for part in ("held_out", "train", "all")]
    only(faults(tmp_path, changed(reference="test")), "reference", "'test'", "held_out")


def test_metrics_that_no_data_of_a_kind_determine_are_refused(tmp_path):
    raw = changed(**TOGETHER | {"metrics": ["variance_ratio", "surviving_categories"]})
    only(faults(tmp_path, raw), "metrics.1", "measures categories", "vectors")
    only(faults(tmp_path, changed(calibration=[20, 30, 20])), "calibration", "20 is said twice")
    assert "calibration.0" in faults(tmp_path, changed(calibration=[10**12]))


def test_rows_are_those_that_a_training_set_is_drawn_from(tmp_path):
    raw = changed(waive={"training_set_size": "pools grow"})
    raw["arms"] |= {name: {"model": "moments", "regime": name} for name in ("accumulate", "accumulate_subsample")}
    raw["arms"]["new_rows"] = {"model": "moments", "regime": {"fresh_data": {"fresh": 10}}}
    found = study(tmp_path, raw)
    rows = {name: results.rows_of(found, name) for name in raw["arms"]}
    assert rows == {
        "eater": (0, 50),
        "accumulate": (50, 150),
        "accumulate_subsample": (50, 150),
        "new_rows": (10, 40),
    }


def test_a_selector_needs_a_gpu_where_its_extractor_or_its_model_does(tmp_path, monkeypatch):
    needs = {"blind": Needs(), "seer": Needs(features=("random-conv",)), "asker": Needs(model=True)}
    needs["reader"] = Needs(features=("dinov2",))
    for name, one in needs.items():
        monkeypatch.setitem(SELECTORS, name, dataclasses.replace(SELECTORS["random"], needs=one))
    raw = changed(**IMAGES)
    raw["models"]["moments"] = {"gaussian": {"ddof": 0}}

    def asks(name, model="tiny"):
        raw["arms"]["eater"] = {"model": model, "regime": "fully_synthetic", "select": {name: {"share": 0.5}}}
        return looking.selects_on_gpu(check(raw, "study")[0], "eater")

    assert [asks(name) for name in needs] == [False, False, True, True]
    assert not asks("asker", "moments")


def test_a_capability_is_asked_for_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(ADAPTERS, "more", Adapter(NoOptions, lambda *given: given[0], lambda options: 0, (Trainable,)))
    said = faults(tmp_path, changed(arms__eater__adapt="more"))["arms.eater.adapt"]
    assert (
        "'more' works with a model that is a network, trained in steps, and 'gaussian' is no such model; families"
        in said
    )


def test_a_name_where_a_list_is_asked_is_told_how_to_write_it(tmp_path, monkeypatch):
    monkeypatch.setitem(TRANSFORMS, "mark", Transform(NoOptions, lambda samples, options, seed: samples))
    said = faults(tmp_path, changed(arms__eater__transform="mark"))["arms.eater.transform"]
    assert said == "found 'mark'; should be a valid list, such as [mark]"
    said = faults(tmp_path, changed(metrics={"recall": {"k": 3}}))["metrics"]
    assert said.endswith("should be a valid list, such as [{recall: {k: 3}}]")


def test_an_option_of_what_has_none_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setitem(TRANSFORMS, "mark", Transform(NoOptions, lambda samples, options, seed: samples))
    said = faults(tmp_path, changed(arms__eater__transform=[{"mark": {"size": 3}}]))
    assert list(said.values()) == ["unknown key 'size'; there are no options"]
