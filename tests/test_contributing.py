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
STUDY = {
    "name": "dummies",
    "seeds": 1,
    "generations": 2,
    "data": {"population": "disc", "options": {"radius": 2.0}, "split": {"held_out": 200}},
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
        "source": "cifar100",
        "options": {"path": "raw", "labels": "coarse", "resolution": 8},
        "split": {"train": 60, "held_out": 40},
    },
    "models": {"linear": {"ppca": {"components": 3, "ddof": 1}}},
    "initial": {"real": 60},
    "samples": 60,
    "extractors": ["thumbnail"],
    "metrics": ["frechet_distance"],
    "primary": {"metric": "frechet_distance", "extractor": "thumbnail"},
    "control": "none",
    "arms": {"plain": {"model": "linear", "regime": "fully_synthetic"}},
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
            return before + ("" if before.endswith(",") else ",") + f"\n    {line},\n" + text[end:]
    raise AssertionError(f"no dict {registry}")


def apply(project, file, code):
    """Put a block of the page where its first line says."""
    path = project.folder / file
    if not path.exists():
        path.write_text(code)
        return
    tree = ast.parse(code)
    entry = tree.body[-1]
    name, line = entry.targets[0].id, ast.get_source_segment(code, entry.value)[1:-1]
    rest = "".join(code.splitlines(keepends=True)[: entry.lineno - 1]).strip()
    text = path.read_text()
    # New code stands before the dict that names it.
    place = re.search(rf"^{name}\b", text, re.MULTILINE).start()
    path.write_text(register(f"{text[:place]}{rest}\n\n\n{text[place:]}", name, line))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = Project.create(tmp_path_factory.mktemp("contributing"))
    for file, code in BLOCKS:
        apply(made, file, code)
    for study in (STUDY, PICTURES):
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
    last = "results/pictures/plain/seed0/gen1"
    project.snakemake(f"{last}/metrics.json", study="pictures")
    return project.folder / last


def test_the_page_has_an_example_of_each_kind():
    package = "src/collapselab"
    assert [file for file, _ in BLOCKS] == [
        *(f"{package}/metrics/spread.py", f"{package}/metrics/__init__.py"),
        *(f"{package}/select/central.py", f"{package}/select/__init__.py"),
        f"{package}/compose/regimes.py",
        *(f"{package}/models/laplace.py", f"{package}/models/__init__.py"),
        *(f"{package}/populations/disc.py", f"{package}/populations/__init__.py"),
        *(f"{package}/data/cifar100.py", f"{package}/data/__init__.py"),
        *(f"{package}/features/thumbnail.py", f"{package}/features/__init__.py"),
        *(f"{package}/verdicts/scatter.py", f"{package}/verdicts/registry.py"),
    ]


def test_the_examples_keep_the_style(tmp_path):
    for file, code in BLOCKS:
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
    assert "pictures: ok. Arms: plain" in project.run("collapselab", "validate", "pictures").stdout
    schema = project.run("collapselab", "schema").stdout
    for name in ("spread", "half_real", "laplace", "disc", "cifar100", "thumbnail"):
        assert f'"{name}"' in schema
    bad = yaml.safe_dump(STUDY).replace("power: 0.5", "power: 0").replace("floor: 0.1", "floor: -1")
    bad = bad.replace("radius: 2.0", "radius: 0.0")
    (project.folder / "dummies.yaml").write_text(bad.replace("share: 0.5", "share: 5"))
    done = project.run("collapselab", "validate", "dummies.yaml", code=2)
    wrong = yaml.safe_dump(PICTURES).replace("labels: coarse", "labels: rough")
    (project.folder / "pictures.yaml").write_text(wrong)
    assert "data.options.labels" in project.run("collapselab", "validate", "pictures.yaml", code=2).stderr
    for key in ("data.options.radius", "metrics.2.spread.power", "models.peaked.floor", "arms.picky.select.share"):
        assert key in done.stderr


MUTANTS = {  # file of tests -> what is run there, in which module which text becomes another one that is wrong
    "test_metrics.py": ("spread_of_a_shrunken", "metrics/spread.py", "(after / before) ** power", "(after / before)"),
    "test_datasets.py": ("every_source_is_read", "data/cifar100.py", 'self.labels == "fine"', 'self.labels != "fine"'),
    "test_features.py": ("thumbnail", "features/thumbnail.py", "cells.mean(axis=(3, 5))", "cells.max(axis=(3, 5))"),
    "test_verdicts.py": ("scatter", "verdicts/scatter.py", "np.std(ends, ddof=1)", "np.std(ends)"),
}


def test_the_examples_of_tests_pass_and_fail_where_the_code_is_wrong(project):
    shutil.copytree(ROOT / "tests", project.folder / "tests")
    examples = [one for one in PAGE if one not in BLOCKS]
    assert [Path(file).name for file, _ in examples] == list(MUTANTS)
    for file, code in examples:
        if isinstance(ast.parse(code).body[-1], ast.Assign):
            apply(project, file, code)
        else:
            path = project.folder / file
            path.write_text(f"{path.read_text()}\n\n{code}")
        chosen, module, right, wrong = MUTANTS[Path(file).name]
        command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, file]
        assert " passed" in project.run(*command).stdout
        project.edit(f"src/collapselab/{module}", (right, wrong))
        assert " failed" in project.run(*command, code=1).stdout
        project.edit(f"src/collapselab/{module}", (wrong, right))


def test_no_line_of_the_page_is_too_long():
    assert max(map(len, TEXT.splitlines())) <= 120


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


def test_the_selector_has_kept_its_share(folder):
    kept = store.read_kept(folder / "kept.parquet")
    assert len(kept.rows) == 40 and set(kept.reasons) == {"central"}
    data = store.read_samples(folder / "samples.safetensors").data
    distance = ((data - data.mean(axis=0)) ** 2).sum(axis=1)
    assert distance[kept.rows].max() <= distance[[row for row in range(80) if row not in set(kept.rows)]].min()


def test_the_regime_has_composed_the_training_set(folder):
    table = store.read_training(folder / "training.parquet")
    parts = {(part.arm, part.generation): len(part.rows) for part in table.references}
    assert parts == {("redrawn", 2): 15, ("picky", 0): 7, ("picky", 1): 8}


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


def test_the_known_truth_judges_the_samples(folder):
    record = store.read_json(folder / "metrics.json")
    found = {one["set"]: one["value"] for one in record["values"] if one["metric"] == "true_precision"}
    data = store.read_samples(folder / "samples.safetensors").data[:40]
    assert found["sampled"] == (np.hypot(*data.T) <= 2).mean() and found.keys() == {"sampled", "kept"}


def test_the_data_set_was_read_resized_and_split(pictures, project):
    (held_out,) = (project.folder / "results" / "real").glob("cifar100-*/held_out-40.safetensors")
    samples = store.read_samples(held_out)
    rows = RAW[samples.aux["row"]]
    assert samples.data.shape == (40, 3, 8, 8) and samples.lineage["options"]["labels"] == "coarse"
    np.testing.assert_array_equal(samples.labels, rows[:, 0])
    cells = rows[:, 2:].reshape(40, 3, 8, 4, 8, 4).mean(axis=(3, 5))
    np.testing.assert_array_equal(samples.data, np.floor(cells + 0.5))


def test_the_extractor_has_looked_at_real_and_fake_images(pictures, project):
    (file,) = (project.folder / "results" / "real").glob("cifar100-*/features-thumbnail.*.safetensors")
    tensors, _ = store.read_tensors(file)
    data = store.read_samples(file.with_name("held_out-40.safetensors")).data
    expected = data.reshape(40, 3, 4, 2, 4, 2).mean(axis=(3, 5)).reshape(40, 48)
    np.testing.assert_array_equal(tensors["held_out/thumbnail/values"], expected.astype(np.float32))
    record = store.read_json(pictures / "metrics.json")
    (found,) = (one for one in record["values"] if one["set"] == "sampled")
    assert found["value"] > 0 and record["fingerprints"][found["fingerprint"]]["extractor_side"] == 4


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
