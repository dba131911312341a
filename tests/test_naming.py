"""What a name may have meant, the help of all verbs, and what a shell completes."""

import os
import re
import subprocess
import sys

import pytest
from project import ROOT

from collapselab import study as studies
from collapselab.adapt import ADAPTERS
from collapselab.cli import options
from collapselab.cli.run import PANELS, VERBS
from collapselab.compose.regimes import REGIMES
from collapselab.core.naming import COMMON_NAMES, meant
from collapselab.data import DATASETS
from collapselab.features import FEATURES
from collapselab.guides import GUIDES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.samplers import SAMPLERS
from collapselab.study.reading import parse
from collapselab.study.schema import schema

REGISTRIES = (METRICS, FEATURES, MODELS, ADAPTERS, GUIDES, SAMPLERS)


def keys_of(part):
    """All keys that a schema knows, anywhere in it."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
        for inner in part.values():
            yield from keys_of(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from keys_of(inner)


def test_every_common_name_leads_to_a_name():
    fields = {key for model in MODELS.values() for key in model.Options.model_fields}
    known = {*keys_of(schema()), *fields, *(name for registry in REGISTRIES for name in registry)}
    assert {one for names in COMMON_NAMES.values() for one in names} <= known


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("quickstart.yml", "quickstart"),
        ("quickstart.yaml", "quickstart"),
        ("config/quickstart", "quickstart"),
        ("config/quickstrat.yaml", "quickstart"),
        ("papers/shumailov", "config/papers/shumailov.yaml"),
        ("papers/shumailov.yaml", "config/papers/shumailov.yaml"),
        ("config/papers/shumailo.yaml", "config/papers/shumailov.yaml"),
        ("shumailov-toy.yaml", "config/papers/shumailov-toy.yaml"),
    ],
)
def test_almost_a_studys_file_leads_to_it_in_a_folder_of_ones_own(name, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(studies.BadStudy, match=rf"\(did you mean '{re.escape(meant)}'\?\)"):
        studies.find(name)
    studies.find(meant)


@pytest.mark.parametrize(
    ("name", "allowed", "found"),
    [
        ("fid", METRICS, " (did you mean 'frechet_distance'?)"),
        ("FID", METRICS, " (did you mean 'frechet_distance'?)"),
        ("prdc", METRICS, " (did you mean 'precision', 'recall', 'density' and 'coverage'?)"),
        ("Inception-v3", FEATURES, " (did you mean 'inception'?)"),
        ("recal", METRICS, " (did you mean 'recall'?)"),
        ("Frechet-Distance", METRICS, " (did you mean 'frechet_distance'?)"),
        ("CIFAR-10", ["tiny", "cifar10"], " (did you mean 'cifar10'?)"),
        ("MNIST", DATASETS, " (did you mean 'mnist-5k', 'mnist_idx' and 'torchvision'?)"),
        ("cifar", DATASETS, " (did you mean 'cifar10_batches' and 'torchvision'?)"),
        ("cifar10", DATASETS, " (did you mean 'cifar10_batches' and 'torchvision'?)"),
        ("replace", REGIMES, " (did you mean 'fully_synthetic'?)"),
        ("fid", ["recall"], ""),
        (3, METRICS, ""),
    ],
)
def test_a_name_says_what_it_may_have_meant(name, allowed, found):
    assert meant(name, allowed) == found


def test_a_study_and_an_option_say_what_was_meant(tmp_path):
    text = (ROOT / "config/smoke.yaml").read_text()
    path = tmp_path / "other.yaml"
    path.write_text(text.replace("name: smoke", "name: other").replace("metrics: [", "metrics: [fid, ", 1))
    assert "fid" in path.read_text()
    with pytest.raises(studies.BadStudy, match=r"unknown name 'fid' \(did you mean 'frechet_distance'\?\); allowed: "):
        studies.load(path)
    with pytest.raises(studies.BadStudy, match=r"no such study.*did you mean 'other'\?"):
        studies.load(tmp_path / "othr.yaml")
    with pytest.raises(studies.BadStudy, match=r"no such study.*did you mean 'config/papers/yi\.yaml'\?"):
        studies.find("yi")
    with pytest.raises(studies.BadStudy, match=r"no such study \(did you mean 'config/papers/yi-toy\.yaml'\?\)"):
        studies.find("yi-toy")
    with pytest.raises(studies.BadStudy, match=r"no such study \(did you mean 'config/papers/gerstgrasser\.yaml'\?\)"):
        studies.find("gerstgraser")
    with pytest.raises(studies.BadStudy, match=r"no such study \(did you mean 'config/papers/gerstgrasser\.yaml'\?\)"):
        studies.find("config/papers/gerstgraser.yaml")
    with pytest.raises(studies.BadStudy, match=r"no such study \(did you mean 'quickstart-toy'\?\)"):
        studies.find("quickstrat-toy")
    with pytest.raises(options.typer.BadParameter, match=r"did you mean 'kernel_distance'\?"):
        options.chosen(METRICS, "kid", "--metric")


@pytest.mark.parametrize(
    ("written", "meant_one"), [("cifra10", "cifar10"), ("CIFAR-10", "cifar10"), ("small", "small32"), ("tny", "tiny")]
)
def test_a_preset_and_a_word_of_few_say_what_was_meant(tmp_path, written, meant_one):
    text = (ROOT / "config/quickstart.yaml").read_text().replace("preset: tiny", f"preset: {written}")
    path = tmp_path / "quickstart.yaml"
    path.write_text(f"{text}\nnonidentical: alow\n")
    with pytest.raises(studies.BadStudy) as raised:
        studies.load(path)
    assert f"preset: found '{written}' (did you mean '{meant_one}'?), allowed are 'tiny', " in str(raised.value)
    assert "found 'alow' (did you mean 'allow'?); should be 'refuse' or 'allow'" in str(raised.value)


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "---\n", "null\n"])
def test_an_empty_study_file_says_that_it_is_empty(tmp_path, text):
    path = tmp_path / "empty.yaml"
    path.write_text(text)
    with pytest.raises(studies.BadStudy, match="the file is empty, or has comments alone") as raised:
        parse(path)
    assert "NoneType" not in str(raised.value)


# -- the help ----------------------------------------------------------------------------------------------------------


def collapselab(*words, **environment):
    command = [sys.executable, "-m", "collapselab", *words]
    known = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"} | environment
    return subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=True).stdout


def test_the_help_lists_every_verb_once_in_its_panel():
    lines = collapselab("-h").splitlines()
    where, found = "", {}
    for line in lines:
        if line and not line.startswith(" "):
            where = line.removesuffix(":")
        elif where in PANELS.values() and line.startswith("  ") and line[2] != " ":
            found.setdefault(line.split()[0], []).append(where)
    assert found == {name: [PANELS[verb.panel]] for name, verb in VERBS.items() if not verb.hidden}
    assert {verb.panel for verb in VERBS.values()} == {*PANELS}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("collapselab val", {"validate"}),
        ("collapselab run smo", {"smoke"}),
        ("collapselab validate config/smok", {"config/smoke.yaml"}),
        ("collapselab run smoke --op", {"--open"}),
        ("collapselab judge serv", {"serve"}),
    ],
)
def test_a_shell_completes(words, found):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    assert set(collapselab(_COLLAPSELAB_COMPLETE="complete_bash", **asked).split()) == found
