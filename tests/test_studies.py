"""The studies that are shipped: they are right but for what others own, and their small copies run to the report."""

import contextlib
import json

import numpy as np
import pytest
from project import ROOT, Project, missing_parts

from collapselab import store
from collapselab.core.sets import Ballots
from collapselab.study.judged import waiting

REAL = ("cifar10-regimes", "faces64-mad", "ffhq1024-human")


def arms_of(name):
    """What a study and its small copy must share."""
    study, _ = missing_parts(ROOT / "config" / f"{name}.yaml")
    sizes = {"n", "fixed", "fresh"}

    def shape(arm):
        options = {key: value for key, value in arm.regime.options.items() if key not in sizes}
        return arm.regime.name, options, arm.sampling_bias, arm.select

    return {name: shape(arm) for name, arm in study.file.arms.items()}, study


@pytest.mark.parametrize("name", REAL)
def test_a_small_copy_has_the_same_arms_families_and_metrics(name):
    (arms, study), (small_arms, small) = arms_of(name), arms_of(f"{name}-smoke")
    assert arms == small_arms
    families = {model: (spec.name, spec.options["preset"]) for model, spec in study.file.models.items()}
    assert families == {m: (spec.name, spec.options["preset"]) for m, spec in small.file.models.items()}
    assert study.file.metrics == small.file.metrics and study.file.waive == small.file.waive
    assert study.file.seeds >= 3  # below there is no verdict
    for arm in small.lineages:
        for generation in range(1, small.file.generations + 1):
            options = small.model_options(small.lineages[arm].model)
            assert small.images_seen(arm, generation) == 2 * options["batch"]  # two steps


@pytest.mark.parametrize("name", REAL)
def test_augmentation_has_the_time_to_grow(name):
    """ADA's probability starts at 0 in every training: within a budget below ``ada_images`` it cannot reach 1."""
    study, _ = missing_parts(ROOT / "config" / f"{name}.yaml")
    for arm, lineage in study.lineages.items():
        options = study.model_options(lineage.model)
        if options.get("augment") == "ada":
            assert study.images_seen(arm, 1) >= options["ada_images"]


@pytest.mark.parametrize("name", REAL)
def test_a_study_says_at_once_all_that_it_lacks_which_is_what_others_own(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # neither data nor weights of others
    study, missing = missing_parts(ROOT / "config" / f"{name}.yaml")
    begins = {"init"} if name == "ffhq1024-human" else set()
    assert {path[0] for path in missing} == {"data", "extractors"} | begins
    assert study.file.data.source is not None


def close_rounds(project, study):
    """Close all rounds that wait: two people call every other image good, which the selector then keeps."""
    with contextlib.chdir(project.folder):
        for one in waiting(study):
            count = len(store.read_samples(one.pool))
            rows, judges = np.tile(np.arange(count), 2), ("J01",) * count + ("J02",) * count
            answers = tuple("good" if row % 2 else "bad" for row in rows)
            pool = {"pool": store.recorded_hash(one.pool)}
            one.export.parent.mkdir(parents=True, exist_ok=True)
            store.write_ballots(one.export, Ballots(rows, judges, answers, np.full(2 * count, np.nan), pool))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_small_copy_runs_to_the_report(name, tmp_path, published_network):
    project = Project.create(tmp_path / "project")
    if name == "ffhq1024-human":
        project.run("collapselab", "weights", "import", published_network, "--out", "data/smoke.safetensors")
    small = f"{name}-smoke"
    file = project.folder / "config" / f"{small}.yaml"
    study, _ = missing_parts(file)
    rounds = 1 + study.file.generations if any(map(study.awaits_ballots, study.lineages)) else 0
    for _ in range(rounds):
        assert "waiting for people" in project.snakemake(study=small, code=1, timeout=1500).stderr
        close_rounds(project, study)
    project.snakemake(study=small, timeout=1500)
    report = project.folder / "results" / small / "report"
    assert (report / "report.html").stat().st_size > 100_000
    records = list((project.folder / "results" / small).glob("*/seed0/gen*/metrics.json"))
    assert len(records) == len(list(study.cells()))
    for path in records:
        record = json.loads(path.read_text())
        assert not record.get("diverged")
    if name != "ffhq1024-human":
        assert "Nothing to be done" in project.snakemake(study=small).stderr
