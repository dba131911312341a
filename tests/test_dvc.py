"""DVC around a study: it runs it once, shares what it made, and a colleague's machine goes on from there."""

import json
import shutil

import pytest
import yaml
from project import ROOT, Project, missing_parts, said

from collapselab import study as studies
from collapselab.study.loading import written_in
from collapselab.study.stages import stages

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())
REAL = f"real_{studies.load(ROOT / 'config' / 'smoke.yaml').real}"
# Small copies are for trying a study, and their results for nobody.
SHIPPED = sorted(file.stem for file in (ROOT / "config").glob("*.yaml") if not file.stem.endswith("-smoke"))


def test_the_stages_are_those_of_the_studies():
    """No name in them is copied by hand: the file is what the command writes."""
    assert (ROOT / "dvc.yaml").read_text(encoding="utf-8") == stages(written_in(ROOT / "config"))


def test_every_study_is_a_stage_after_its_real_data():
    for name in SHIPPED:
        study, _ = missing_parts(ROOT / "config" / f"{name}.yaml")
        stage = STAGES["stages"][name]
        assert stage["cmd"] == f"snakemake --config study={name}"
        assert stage["outs"] == [{f"results/{name}": {"persist": True}}]
        assert stage["params"] == [{f"config/{name}.yaml": None}]
        source, folder = {"Snakefile", "workflow", "src/collapselab"}, study.real_file("").rstrip("/")
        if study.file.together:  # draws its real data as it goes
            assert set(stage["deps"]) == source
        else:
            (real,) = (one for one in STAGES["stages"].values() if one["outs"] == [{folder: {"persist": True}}])
            assert set(stage["deps"]) == {*source, folder} and set(real["deps"]) == source
        assert f"results/{name}/report/summary.json" in STAGES["metrics"]
        curves = [
            plot
            for entry in STAGES["plots"]
            for plot in entry.values()
            if f"results/{name}/report/curves.csv" in plot["y"]
        ]
        primary = study.file.primary
        assert f"{primary.metric}_{primary.extractor}" in {column for plot in curves for column in plot["y"].values()}


def test_a_study_of_ones_own_becomes_a_stage(tmp_path):
    project = Project.create(tmp_path / "project")
    text = (ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8").replace("dimension: 2", "dimension: 3")
    (project.folder / "config" / "mine.yaml").write_text(text.replace("name: smoke", "name: mine"), encoding="utf-8")
    done = project.run("collapselab", "stages", "--check", "mine", code=2)
    assert "does not have the stages of 'mine' as it is; run: collapselab stages --out dvc.yaml" in done.stderr
    project.run("collapselab", "stages", "--out", "dvc.yaml")
    project.run("collapselab", "stages", "--check", "mine")
    written = yaml.safe_load((project.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert written.keys() - STAGES["stages"].keys() == {
        "mine",
        f"real_{studies.load(project.folder / 'config/mine.yaml').real}",
    }
    assert all(written[name] == stage for name, stage in STAGES["stages"].items())


@pytest.fixture(scope="module")
def pushed(finished, tmp_path_factory):
    """A repository in which ``dvc repro smoke`` has run and pushed, with the remote beside it."""
    folder = tmp_path_factory.mktemp("author")
    project = finished.copy(folder / "project")
    # The study's jobs have run; the report is left for DVC's run to make.
    shutil.rmtree(project.folder / "results/smoke/report")
    project.run("git", "init", "--quiet")
    project.run("git", "add", ".")
    project.run("git", "commit", "--quiet", "-m", "a study")
    project.said = said(project.run("dvc", "repro", "smoke"))
    project.run("git", "add", ".")
    project.run("git", "commit", "--quiet", "-m", "its results")
    (folder / "remote").mkdir()
    project.run("dvc", "remote", "add", "--local", "--default", "shared", folder / "remote")
    project.run("dvc", "push", "smoke", "--with-deps")
    return project


@pytest.mark.slow
def test_repro_runs_the_study_and_a_second_time_nothing(pushed):
    assert f"Running stage '{REAL}'" in pushed.said and "Running stage 'smoke'" in pushed.said
    assert "rule report" in pushed.said
    assert (pushed.folder / "results/smoke/report/report.html").exists()
    again = said(pushed.run("dvc", "repro", "smoke"))
    assert f"Stage '{REAL}' didn't change" in again and "Stage 'smoke' didn't change" in again
    assert "Running stage" not in again
    assert pushed.run("git", "status", "--porcelain").stdout == ""
    # Mirrored once more by hand, a study is still what DVC knows.
    pushed.run("collapselab", "track", "smoke")
    pushed.run("collapselab", "report", "smoke")
    assert "up to date" in said(pushed.run("dvc", "status", "smoke"))


@pytest.mark.slow
def test_metrics_and_plots_show_the_curves(pushed):
    study = studies.load(ROOT / "config" / "smoke.yaml")
    shown = json.loads(pushed.run("dvc", "metrics", "show", "--json").stdout)
    last = shown[""]["data"]["results/smoke/report/summary.json"]["data"]
    assert set(last) == set(study.lineages)
    plots = json.loads(pushed.run("dvc", "plots", "show", "--json").stdout)["data"]
    (plot,) = plots["smoke_frechet_distance"]
    content = plot["content"] if isinstance(plot["content"], dict) else json.loads(plot["content"])
    rows = content["data"]["values"]
    generations = range(study.file.generations + 1)
    # A line for each arm, from generation 0 to the last, which is the number that metrics show.
    assert {(row["arm"], int(row["generation"])) for row in rows} == {(arm, t) for arm in last for t in generations}
    assert content["encoding"]["color"]["field"] == "arm"
    column = content["encoding"]["y"]["field"]
    for row in rows:
        if int(row["generation"]) == study.file.generations:
            assert float(row[column]) == pytest.approx(last[row["arm"]][column], abs=1e-6)


@pytest.mark.slow
def test_a_colleague_goes_on_from_what_was_pulled(pushed, tmp_path):
    """The README's how-to: clone, pull, touch; nothing is to be done, and a later edit runs only what hangs from it."""
    pushed.run("git", "clone", "--quiet", pushed.folder, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.run("dvc", "remote", "add", "--local", "--default", "shared", pushed.folder.parent / "remote")
    project.run("dvc", "pull", "smoke", "--with-deps")
    assert project.hashes() == pushed.hashes()
    project.run("snakemake", "--touch", "--forceall", "--config", "study=smoke")
    assert project.plan() == {}
    assert "Running stage" not in said(project.run("dvc", "repro", "smoke"))
    # Every job is remembered, those of generation 0 too (without --forceall their options could change unseen).
    before = (project.folder / "config/smoke.yaml").read_text()
    project.edit("config/smoke.yaml", ("ddof: 0", "ddof: 1"))
    assert project.plan()["train"] == 14
    project.edit("config/smoke.yaml", ("ddof: 1", "ddof: 0"), ("generations: 2", "generations: 3"))
    assert project.plan()["train"] == 6
    (project.folder / "config/smoke.yaml").write_text(before)
    # A checkout in the same place replans nothing, though it writes every file anew.
    shutil.rmtree(project.folder / "results")
    project.run("dvc", "checkout", "smoke", "--with-deps")
    assert project.hashes() == pushed.hashes()
    assert project.plan() == {}


@pytest.mark.slow
def test_changed_parameters_are_seen_and_shown(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    project.edit("config/smoke.yaml", ("recall, density, coverage", "recall"))
    assert "config/smoke.yaml" in said(project.run("dvc", "status", "smoke"))
    ran = said(project.run("dvc", "repro", "smoke"))
    assert "rule record" in ran and "rule train" not in ran and "rule sample" not in ran
    changed = json.loads(project.run("dvc", "metrics", "diff", "--json").stdout)
    arms = changed["results/smoke/report/summary.json"]
    assert {name.split(".")[1] for name in arms} == {"coverage_identity", "density_identity"}


@pytest.mark.slow
def test_another_number_of_held_out_draws_is_measured_and_trains_nothing(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    project.edit("config/smoke.yaml", ("held_out: 400", "held_out: 300"))
    ran = said(project.run("dvc", "repro", "smoke"))
    assert "rule record" in ran and "rule train" not in ran and "rule sample" not in ran and "rule draw" not in ran
    assert project.plan() == {}


@pytest.mark.slow
def test_other_data_is_refused_until_its_stages_are_written(pushed, tmp_path):
    """The folder of the real data follows from what the study says of them: one command writes it down."""
    project = pushed.copy(tmp_path / "project")
    project.edit("config/smoke.yaml", ("dimension: 2", "dimension: 3"))
    done = project.run("dvc", "repro", "smoke", code=None)
    assert done.returncode != 0 and "run: collapselab stages --out dvc.yaml" in said(done)
    project.run("collapselab", "stages", "--out", "dvc.yaml")
    ran = said(project.run("dvc", "repro", "--dry", "smoke", code=None))  # which makes no input of the next stage
    assert f"Running stage 'real_{studies.load(project.folder / 'config/smoke.yaml').real}'" in ran
