"""CONTRIBUTING.md is kept true: its examples, taken from the page and put where they say, carry a whole study."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from project import Project

from collapselab import store
from collapselab.verbs.train import rows_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PAGE = [  # (file, code) in the order of the page
    (block.partition("\n")[0].removeprefix("# "), block.partition("\n")[2])
    for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
]
BLOCKS = [(file, code) for file, code in PAGE if not file.startswith("tests/")]
EXAMPLES = [one for one in PAGE if one not in BLOCKS]
KINDS = {  # heading of a section on a kind of entry -> the files of its examples, which are all that is written by hand
    heading: re.findall(r"^```python\n# (\S+)", section, re.MULTILINE)
    for heading, section in re.findall(r"^## (An? .*?)\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
}
STUDY = {
    "name": "dummies",
    "seeds": 1,
    "generations": 2,
    "data": {"population": {"disc": {"radius": 2.0}}, "split": {"held_out": 200}},
    "models": {"peaked": {"laplace": {"floor": 0.1}}},
    "initial": {"real": 40},
    "samples": 80,
    "extractors": ["identity", "truth"],
    "metrics": ["frechet_distance", "true_precision", {"spread": {"power": 0.5}}],
    "primary": {"metric": "spread", "extractor": "identity"},
    "control": "none",
    "arms": {
        "picky": {
            "model": "peaked",
            "regime": {"half_real": {"n": 30}},
            "select": {"central": {"share": 0.5}},
        }
    },
}
PICTURES = {
    "name": "pictures",
    "seeds": 1,
    "generations": 1,
    "data": {
        "source": {"cifar100": {"path": "raw", "labels": "coarse", "resolution": 8}},
        "split": {"train": 60, "held_out": 40},
    },
    "models": {"linear": {"ppca": {"components": 3, "ddof": 1}}},
    "initial": {"real": 60},
    "samples": 60,
    "extractors": ["thumbnail"],
    "metrics": ["frechet_distance"],
    "primary": {"metric": "frechet_distance", "extractor": "thumbnail"},
    "control": "none",
    "arms": {
        "plain": {"model": "linear", "regime": "fully_synthetic"},
        "coarse": {"model": "linear", "regime": "fully_synthetic", "transform": [{"quantised": {"levels": 52}}]},
    },
}
SMALL = {"channels": 8, "blocks": 1, "images_seen": 64, "batch": 16, "steps": 2, "sample_batch": 20}
POINTS = {
    "name": "points",
    "seeds": 1,
    "generations": 1,
    "data": {"population": "land", "split": {"held_out": 40}},
    "models": {"small": {"diffusion": {"preset": "points", **SMALL}}},
    "initial": {"real": 40},
    "samples": 40,
    "extractors": ["identity"],
    "metrics": ["variance_ratio"],
    "primary": {"metric": "variance_ratio", "extractor": "identity"},
    "control": "none",
    "arms": {
        "mild": {
            "model": "small",
            "regime": "fully_synthetic",
            "adapt": {"averaged": {"own": 0.25}},
            "guide": {"clipped": {"bound": 0.5}},
        }
    },
}

RAW = np.random.default_rng(0).integers(0, 20, (100, 2 + 3 * 32 * 32), dtype=np.uint8)  # rows of the data set's file


def register(text, registry, line):
    """The source with one line more in a dict, which is all that a contributor writes there."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        literals = [one for one in ast.walk(node) if isinstance(one, ast.Dict)]
        if any(isinstance(one, ast.Name) and one.id == registry for one in targets) and literals:
            lines = text.splitlines(keepends=True)
            end = sum(map(len, lines[: literals[0].end_lineno - 1])) + literals[0].end_col_offset - 1
            before = text[:end].rstrip()
            return before + ("" if before[-1] in ",{" else ",") + f"\n    {line},\n" + text[end:]
    raise AssertionError(f"no dict {registry}")


def apply(project, file, code):
    """Put a block of the page where its first line says."""
    path = project.folder / file
    if not path.exists():
        path.write_text(code)
        return
    tree = ast.parse(code)
    entry = tree.body[-1]
    (key,), (value,) = entry.value.keys, entry.value.values
    name, line = entry.targets[0].id, ": ".join(ast.get_source_segment(code, part) for part in (key, value))
    rest = "".join(code.splitlines(keepends=True)[: entry.lineno - 1]).strip()
    text = path.read_text()
    # New code stands before the dict that names it.
    place = re.search(rf"^{name}\b", text, re.MULTILINE).start()
    path.write_text(register(f"{text[:place]}{rest}\n\n\n{text[place:]}" if rest else text, name, line))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = Project.create(tmp_path_factory.mktemp("contributing"))
    for file, code in BLOCKS:
        apply(made, file, code)
    for study in (STUDY, PICTURES, POINTS):
        (made.folder / "config" / f"{study['name']}.yaml").write_text(yaml.safe_dump(study))
    (made.folder / "raw").mkdir()
    RAW.tofile(made.folder / "raw" / "train.bin")
    return made


@pytest.fixture(scope="module")
def folder(project):
    """The last generation of the one lineage, after the study has run."""
    last = "results/dummies/picky/seed0/gen2"
    project.snakemake(f"{last}/metrics.json", study="dummies")
    return project.folder / last


@pytest.fixture(scope="module")
def pictures(project):
    """The same of the study of images."""
    last = {arm: f"results/pictures/{arm}/seed0/gen1" for arm in PICTURES["arms"]}
    project.snakemake(*(f"{place}/metrics.json" for place in last.values()), study="pictures")
    return {arm: project.folder / place for arm, place in last.items()}


@pytest.fixture(scope="module")
def points(project):
    """The one lineage of the study of points: the folder of its generations."""
    project.snakemake("results/points/mild/seed0/gen1/metrics.json", study="points")
    return project.folder / "results" / "points" / "mild" / "seed0"


def test_the_page_has_an_example_of_each_kind():
    package = "src/collapselab"
    assert [file for file, _ in BLOCKS] == [
        *(f"{package}/metrics/spread.py", f"{package}/metrics/__init__.py"),
        *(f"{package}/select/central.py", f"{package}/select/__init__.py"),
        *(f"{package}/rewards/contrast.py", f"{package}/rewards/__init__.py"),
        *(f"{package}/transforms/quantised.py", f"{package}/transforms/__init__.py"),
        *(f"{package}/guides/clipped.py", f"{package}/guides/__init__.py"),
        *(f"{package}/adapt/averaged.py", f"{package}/adapt/__init__.py"),
        f"{package}/compose/regimes.py",
        *(f"{package}/models/laplace.py", f"{package}/models/__init__.py"),
        *(f"{package}/populations/disc.py", f"{package}/populations/__init__.py"),
        *(f"{package}/data/cifar100.py", f"{package}/data/__init__.py"),
        *(f"{package}/features/thumbnail.py", f"{package}/features/__init__.py"),
        *(f"{package}/verdicts/scatter.py", f"{package}/verdicts/registry.py"),
    ]


def test_the_examples_keep_the_style(tmp_path):
    for file, code in PAGE:
        if not (ROOT / file).exists():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
    options = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_new_names_are_validated_and_in_the_schema(project):
    assert "dummies: ok. Arms: picky" in project.run("collapselab", "validate", "dummies").stdout
    assert "pictures: ok. Arms: coarse, plain" in project.run("collapselab", "validate", "pictures").stdout
    assert "points: ok. Arms: mild" in project.run("collapselab", "validate", "points").stdout
    schema = project.run("collapselab", "schema").stdout
    names = ("spread", "central", "quantised", "clipped", "averaged", "half_real", "laplace", "disc", "cifar100")
    for name in (*names, "thumbnail"):
        assert f'"{name}"' in schema
    bad = yaml.safe_dump(STUDY).replace("power: 0.5", "power: 0").replace("floor: 0.1", "floor: -1")
    bad = bad.replace("radius: 2.0", "radius: 0.0")
    (project.folder / "dummies.yaml").write_text(bad.replace("share: 0.5", "share: 5"))
    done = project.run("collapselab", "validate", "dummies.yaml", code=2)
    keys = ["data.population.disc.radius", "metrics.2.spread.power", "models.peaked.laplace.floor"]
    for key in [*keys, "arms.picky.select.central.share"]:
        assert key in done.stderr
    wrong = yaml.safe_dump(PICTURES).replace("labels: coarse", "labels: rough").replace("levels: 52", "levels: 1")
    (project.folder / "pictures.yaml").write_text(wrong)
    done = project.run("collapselab", "validate", "pictures.yaml", code=2)
    for key in ("data.source.cifar100.labels", "arms.coarse.transform.0.quantised.levels"):
        assert key in done.stderr
    wrong = yaml.safe_dump(POINTS).replace("bound: 0.5", "bound: 0").replace("own: 0.25", "own: 2")
    (project.folder / "points.yaml").write_text(wrong)
    done = project.run("collapselab", "validate", "points.yaml", code=2)
    for key in ("arms.mild.guide.clipped.bound", "arms.mild.adapt.averaged.own"):
        assert key in done.stderr


MUTANTS = [  # file of tests, what is run there, in which module, which text, becomes another one that is wrong
    ("metrics", "spread_of_a_shrunken", "metrics/spread.py", "(after / before) ** power", "(after / before)"),
    ("selectors", "what_lies_closest", "select/central.py", "-np.linalg.norm", "np.linalg.norm"),
    ("rewards", "a_chessboard_has", "rewards/contrast.py", "to_unit(samples.data)", "samples.data"),
    ("steps", "levels_are_rounded", "transforms/quantised.py", "255 / (options.levels - 1)", "256 / options.levels"),
    ("steps", "predictions_are_cut", "guides/clipped.py", "clamp(-options", "clamp(-2 * options"),
    ("steps", "weights_are_averaged", "adapt/averaged.py", "(1 - options.own) *", "(2 - options.own) *"),
    ("regimes", "by_hand and half_real", "compose/regimes.py", "number // 2 for", "number // 3 for"),
    ("models", "laplace_law", "models/laplace.py", "check_ask(ask, self)", "check_ask(Ask(1, 0), self)"),
    ("populations", "a_disc_ends", "populations/disc.py", "2 * np.pi * uniform[", "1 * np.pi * uniform["),
    ("datasets", "source_is_read and cifar100", "data/cifar100.py", 'labels == "fine"', 'labels != "fine"'),
    ("features", "a_thumbnail_holds", "features/thumbnail.py", "cells.mean(axis=(3, 5))", "cells.max(axis=(3, 5))"),
    ("verdicts", "scatter", "verdicts/scatter.py", "np.std(ends, ddof=1)", "np.std(ends)"),
]


@pytest.fixture(scope="module")
def tested(project):
    """The copy with all tests, and those of the page among them."""
    shutil.copytree(ROOT / "tests", project.folder / "tests")
    for file, code in EXAMPLES:
        if not (project.folder / file).exists() or isinstance(ast.parse(code).body[-1], ast.Assign):
            apply(project, file, code)
        else:
            path = project.folder / file
            path.write_text(f"{path.read_text()}\n\n{code}")
    return project


@pytest.mark.slow
def test_the_examples_of_tests_pass_and_fail_where_the_code_is_wrong(tested):
    project, examples = tested, EXAMPLES
    assert [file for file, _ in examples] == [f"tests/test_{file}.py" for file, *_ in MUTANTS]
    chosen = " or ".join(f"({words})" for _, words, *_ in MUTANTS)
    command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *dict(examples)]
    assert f"{len(MUTANTS)} passed" in project.run(*command).stdout
    for *_, module, right, wrong in MUTANTS:
        project.edit(f"src/collapselab/{module}", (right, wrong))
    said = project.run(*command, code=1).stdout
    assert f"{len(MUTANTS)} failed" in said, said
    for *_, module, right, wrong in MUTANTS:
        project.edit(f"src/collapselab/{module}", (wrong, right))


FORCES = {  # file of tests -> which of them hold the registries against what is written elsewhere
    "test_packaging.py": "names or selects or table",
    "test_config.py": "shipped_schema",
    "test_contracts.py": "who_can or called_as",
    "test_selectors.py": "covered or options_are_said",
    "test_regimes.py": "by_hand or keep",
    "test_structure.py": "architecture",
    "test_steps.py": "contract",
    "test_tuning.py": "every_family",
}


@pytest.mark.slow
def test_an_entry_is_a_module_a_line_and_a_test(tested):
    """Beyond these files a command writes all that hangs from the code, and no test asks for more."""
    shown = {kind: files for kind, files in KINDS.items() if files}  # a mark is told of in words
    assert len(shown) == len(KINDS) - 1 == 12 and sum(map(len, KINDS.values())) == len(PAGE)
    for kind, files in shown.items():
        assert len(files) == len(set(files)) <= 3 and sum(file.startswith("tests/") for file in files) == 1, kind
    for part in ("docs", "README.md", "pyproject.toml", "Makefile"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, tested.folder / part)
    by_hand = {tested.folder / file for file, _ in PAGE}
    before = {path: path.read_bytes() for path in by_hand}
    tested.run("python", "docs")
    assert before == {path: path.read_bytes() for path in by_hand}
    chosen = " or ".join(f"({words})" for words in FORCES.values())
    files = [f"tests/{name}" for name in FORCES]
    tested.run("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", chosen, *files)


def test_no_line_of_the_page_is_too_long():
    assert max(map(len, TEXT.splitlines())) <= 120


@pytest.mark.slow
def test_the_metric_is_in_the_record(folder):
    record = store.read_json(folder / "metrics.json")
    found = {one["set"]: one for one in record["values"] if one["metric"] == "spread"}
    assert found.keys() == {"sampled", "kept"}
    assert found["kept"]["value"] < found["sampled"]["value"]  # what is central is spread less
    assert record["fingerprints"][found["kept"]["fingerprint"]]["option_power"] == 0.5
    # With power 1/2 it is the ratio of spreads; the covariance of the population is known, I.
    # As many samples of every set are measured as are kept.
    samples = store.read_samples(folder / "samples.safetensors").data[:40]
    expected = (samples.var(axis=0, ddof=1).sum() / 2) ** 0.5
    assert found["sampled"]["value"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_the_selector_has_kept_its_share(folder):
    kept = store.read_kept(folder / "kept.parquet")
    assert len(kept.rows) == 40 and set(kept.reasons) == {"central"}
    data = store.read_samples(folder / "samples.safetensors").data
    distance = ((data - data.mean(axis=0)) ** 2).sum(axis=1)
    assert distance[kept.rows].max() <= distance[[row for row in range(80) if row not in set(kept.rows)]].min()


@pytest.mark.slow
def test_the_regime_has_composed_the_training_set(folder):
    table = store.read_training(folder / "training.parquet")
    parts = {(part.arm, part.generation): len(part.rows) for part in table.references}
    assert parts == {("redrawn", 2): 15, ("picky", 0): 7, ("picky", 1): 8}


@pytest.mark.slow
def test_the_family_was_fitted_and_sampled(folder, project, monkeypatch):
    tensors, metadata = store.read_tensors(folder / "model.safetensors")
    assert metadata["family"] == "laplace" and metadata["options"] == {"floor": 0.1}
    monkeypatch.chdir(project.folder)  # references are relative to it
    table = store.read_training(folder / "training.parquet")
    data = rows_of(table, store.referred(table)).data
    # Of an even number of rows the lower middle one is a median, too, at the same mean distance.
    assert tensors["location"] == pytest.approx(np.sort(data, axis=0)[len(data) // 2 - 1], rel=1e-12)
    assert tensors["scale"] == pytest.approx(abs(data - np.median(data, axis=0)).mean(axis=0), rel=1e-12)
    samples = store.read_samples(folder / "samples.safetensors").data
    distance = abs(samples - tensors["location"]).mean(axis=0)
    # A mean of 80 exponential distances, at 4.5 standard errors.
    assert samples.shape == (80, 2) and (abs(distance / tensors["scale"] - 1) < 4.5 / 80**0.5).all()


@pytest.mark.slow
def test_the_known_truth_judges_the_samples(folder):
    record = store.read_json(folder / "metrics.json")
    found = {one["set"]: one["value"] for one in record["values"] if one["metric"] == "true_precision"}
    data = store.read_samples(folder / "samples.safetensors").data[:40]
    assert found["sampled"] == (np.hypot(*data.T) <= 2).mean() and found.keys() == {"sampled", "kept"}


@pytest.mark.slow
def test_the_data_set_was_read_resized_and_split(pictures, project):
    (held_out,) = (project.folder / "results" / "real").glob("cifar100-*/held_out-40.safetensors")
    samples = store.read_samples(held_out)
    rows = RAW[samples.aux["row"]]
    assert samples.data.shape == (40, 3, 8, 8) and samples.lineage["options"]["labels"] == "coarse"
    np.testing.assert_array_equal(samples.labels, rows[:, 0])
    cells = rows[:, 2:].reshape(40, 3, 8, 4, 8, 4).mean(axis=(3, 5))
    np.testing.assert_array_equal(samples.data, np.floor(cells + 0.5))


@pytest.mark.slow
def test_the_extractor_has_looked_at_real_and_fake_images(pictures, project):
    (file,) = (project.folder / "results" / "real").glob("cifar100-*/features-thumbnail.*.safetensors")
    tensors, _ = store.read_tensors(file)
    data = store.read_samples(file.with_name("held_out-40.safetensors")).data
    expected = data.reshape(40, 3, 4, 2, 4, 2).mean(axis=(3, 5)).reshape(40, 48)
    np.testing.assert_array_equal(tensors["held_out/thumbnail/values"], expected.astype(np.float32))
    record = store.read_json(pictures["plain"] / "metrics.json")
    (found,) = (one for one in record["values"] if one["set"] == "sampled")
    assert found["value"] > 0 and record["fingerprints"][found["fingerprint"]]["extractor_side"] == 4


@pytest.mark.slow
def test_the_transform_has_changed_what_is_released_and_eaten(pictures):
    made, seen = (
        store.read_samples(pictures["coarse"] / f"{name}.safetensors").data for name in ("samples", "released")
    )
    assert not (seen % 5).any() and (made % 5).any()  # of 52 levels the step is 5
    assert abs(made.astype(int) - seen).max() == 2  # the nearest of them
    record = store.read_json(pictures["coarse"] / "metrics.json")
    assert {one["set"] for one in record["values"]} == {"sampled", "released"}
    (part,) = store.read_training(pictures["coarse"] / "training.parquet").references
    assert part.path.endswith("coarse/seed0/gen0/released.safetensors")


@pytest.mark.slow
def test_the_guide_has_cut_what_the_sampler_ends_with(points):
    tensors, _ = store.read_tensors(points / "gen1" / "adapted.safetensors")
    location, scale = tensors["location"], tensors["scale"]
    steered, raw = (store.read_samples(points / "gen1" / f"{name}.safetensors").data for name in ("samples", "raw"))
    far, farther = (abs((data - location) / scale).max() for data in (steered, raw))
    assert farther > far == pytest.approx(0.5, abs=1e-6)  # the last step goes to what is predicted


@pytest.mark.slow
def test_the_adapter_has_averaged_the_model_with_the_earlier_one(points):
    trained, adapted = ({}, {})
    for generation in (0, 1):
        folder = points / f"gen{generation}"
        adapted[generation], metadata = store.read_tensors(folder / "adapted.safetensors")
        assert metadata["lineage"]["adapter"] == {"averaged": {"own": 0.25}}
        (file,) = [Path(one) for one in metadata["lineage"]["inputs"] if one.endswith("model.safetensors")]
        trained[generation], _ = store.read_tensors(points.parents[3] / file)
    names = [name for name in trained[0] if name.startswith("network.")]
    assert names
    for name in names:
        np.testing.assert_array_equal(adapted[0][name], trained[0][name])  # there is none before it
        expected = 0.25 * trained[1][name].astype(float) + 0.75 * trained[0][name]
        np.testing.assert_allclose(adapted[1][name], expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_analysis_answers_in_the_report(folder, project):
    project.run("collapselab", "report", "dummies", "--so-far")
    report = project.folder / "results" / "dummies" / "report"
    answer = store.read_json(report / "verdicts.json")["scatter"]["picky"]
    said = "A scatter needs at least 2 lineages; there are 1."
    assert answer == {"status": "cannot tell", "sentence": said, "numbers": {"lineages": 1}}
    page = (report / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="scatter">How far apart do lineages end?</h2>' in page and said in page


def test_no_rule_of_the_workflow_was_touched(project):
    for path in [*(ROOT / "workflow").rglob("*.smk"), ROOT / "workflow" / "Snakefile", ROOT / "Snakefile"]:
        assert path.read_text() == (project.folder / path.relative_to(ROOT)).read_text()
