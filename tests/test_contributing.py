"""CONTRIBUTING.md is kept true: its examples, taken from the page and put where they say, carry a whole study."""

import ast
import re
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
    "models": {"peaked": {"family": "laplace", "floor": 0.1}},
    "initial": {"real": 40},
    "samples": 80,
    "extractors": ["identity", "truth"],
    "metrics": ["frechet_distance", "true_precision", {"spread": {"power": 0.5}}],
    "primary": {"metric": "spread", "extractor": "identity"},
    "control": "none",
    "arms": {
        "picky": {
            "model": "peaked",
            "regime": {"preset": "half_real", "n": 30},
            "select": {"selector": "central", "share": 0.5},
        }
    },
}


def register(text, registry, line):
    """The source with one line more in a dict, which is all that a contributor writes there."""
    for node in ast.parse(text).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(one, ast.Name) and one.id == registry for one in targets) and isinstance(
            node.value, ast.Dict
        ):
            lines = text.splitlines(keepends=True)
            end = sum(map(len, lines[: node.value.end_lineno - 1])) + node.value.end_col_offset - 1
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
    (made.folder / "config" / "dummies.yaml").write_text(yaml.safe_dump(STUDY))
    return made


@pytest.fixture(scope="module")
def folder(project):
    """The last generation of the one lineage, after the study has run."""
    last = "results/dummies/picky/seed0/gen2"
    project.snakemake(f"{last}/metrics.json", study="dummies")
    return project.folder / last


def test_the_page_has_an_example_of_each_kind():
    package = "src/collapselab"
    assert [file for file, _ in BLOCKS] == [
        *(f"{package}/metrics/spread.py", f"{package}/metrics/__init__.py"),
        *(f"{package}/select/central.py", f"{package}/select/__init__.py"),
        f"{package}/regimes.py",
        *(f"{package}/models/laplace.py", f"{package}/models/__init__.py"),
        *(f"{package}/populations/disc.py", f"{package}/populations/__init__.py"),
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
    schema = project.run("collapselab", "schema").stdout
    for name in ("spread", "half_real", "laplace", "disc"):
        assert f'"{name}"' in schema
    bad = yaml.safe_dump(STUDY).replace("power: 0.5", "power: 0").replace("floor: 0.1", "floor: -1")
    bad = bad.replace("radius: 2.0", "radius: 0.0")
    (project.folder / "dummies.yaml").write_text(bad.replace("share: 0.5", "share: 5"))
    done = project.run("collapselab", "validate", "dummies.yaml", code=2)
    for key in ("data.options.radius", "metrics.2.spread.power", "models.peaked.floor", "arms.picky.select.share"):
        assert key in done.stderr


def test_the_example_of_a_test_passes(project):
    ((file, code),) = [one for one in PAGE if one not in BLOCKS]
    imports = (ROOT / file).read_text().partition("\n\n\n")[0].partition("\n\nNEIGHBOURS")[0]
    path = project.folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{imports}\n\n\n{code}")
    assert "1 passed" in project.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", path).stdout
    project.edit("src/collapselab/metrics/spread.py", ("(after / before) ** power", "(after / before)"))
    assert "1 failed" in project.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", path, code=1).stdout
    project.edit("src/collapselab/metrics/spread.py", ("(after / before)", "(after / before) ** power"))


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


def test_no_rule_of_the_workflow_was_touched(project):
    for path in [*(ROOT / "workflow").rglob("*.smk"), ROOT / "workflow" / "Snakefile", ROOT / "Snakefile"]:
        assert path.read_text() == (project.folder / path.relative_to(ROOT)).read_text()
