"""Studies of many generations and arms: what is planned of them, what is kept of them, and what may go."""

import re
import shutil

import pytest
from project import ROOT

from collapselab import study as studies
from collapselab.features import FEATURES
from collapselab.store import content_hash
from collapselab.store.cells import NOUNS
from collapselab.study import clearing, layout, storage
from collapselab.study.file import Keep
from collapselab.study.loading import check
from collapselab.study.thinning import keeps

SMOKE = studies.load(ROOT / "config" / "smoke.yaml")


# -- planning ----------------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_what_is_missing(smoke):
    # The whole study, file by file, plans the same as what is asked for of it, wherever something is missing.
    assert layout.missing(SMOKE, smoke.folder) == []
    results = smoke.folder / "results" / "smoke"
    shutil.rmtree(results / "control" / "seed0" / "gen1")
    shutil.rmtree(results / "base_moments" / "seed1")
    (results / "fully_synthetic" / "seed0" / "gen2" / "train.cost.json").unlink()
    for file in (results / "k_memory" / "seed1" / "gen2").glob("sample*"):
        file.unlink()
    asked = layout.missing(SMOKE, smoke.folder)
    assert len(asked) == 4 + 1 + 1 + 2 < len(layout.whole(SMOKE)) / 10
    every = [*layout.reported(SMOKE), *layout.whole(SMOKE)]
    planned = smoke.plan()
    assert planned == smoke.plan(*(name for file in every for name in (file, f"{file}.sha256"))) | {"all": 1}
    assert planned["train"] and planned["extract"]


def test_a_module_with_a_prefix_is_refused_with_what_to_do(finished, tmp_path):
    (tmp_path / "Snakefile").write_text(
        f"""
module loops:
    snakefile: {str(finished.folder / "workflow" / "Snakefile")!r}
    config: {{"study": {str(finished.folder / "config" / "smoke.yaml")!r}}}
    prefix: "elsewhere"

use rule * from loops as loops_*
"""
    )
    done = finished.run("snakemake", "-n", "--snakefile", tmp_path / "Snakefile", "--directory", tmp_path, code=2)
    assert "found prefix: 'elsewhere/'" in done.stderr and "leave it out" in done.stderr


# -- what is kept ------------------------------------------------------------------------------------------------------


def thinned(**keep):
    return SMOKE.__class__(SMOKE.file.model_copy(update={"keep": Keep(**keep), "generations": 12}), SMOKE._regimes)


def test_no_rule_names_software_that_would_have_to_be_installed_beside_it():
    """The workflow's files import the package: jobs use what is installed where snakemake runs."""
    for path in (ROOT / "workflow").rglob("*"):
        if path.is_file():
            said = path.read_text(encoding="utf-8")
            assert not re.search(r"^\s*(conda|container|containerized|envmodules):", said, re.MULTILINE), path


def test_two_studies_in_one_workflow_make_what_they_share_once(smoke):
    """As the docs write it, of which studies whose real data is the same, but for an extractor."""
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    (smoke.folder / "Two").write_text(
        next(one for one in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "module" in one)
    )
    text = (smoke.folder / "config/smoke.yaml").read_text().replace("name: smoke", "name: mine")
    (smoke.folder / "config/mine.yaml").write_text(
        text.replace("extractors: [identity]", "extractors: [identity, moments]")
    )
    said = smoke.run("snakemake", "-s", "Two", "-n", "--quiet", "rules").stdout
    planned = dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE))
    assert planned["two_extract_real"] == "1" and planned["two_record"] == "18"
    assert not any(name.startswith("one_") or name == "two_prepare" for name in planned)


def test_a_policy_says_which_generations_stay():
    study = thinned(weights="every 5th", features="none")
    kept = {noun: [t for t in range(13) if keeps(study, t, noun)] for noun in NOUNS}
    everything = list(range(13))
    for noun in ("model.safetensors", "adapted.safetensors", "auxiliary-{role}.safetensors"):
        assert kept.pop(noun) == [0, 5, 10, 12], noun  # and the last
    assert kept.pop("features.safetensors") == []
    assert all(generations == everything for generations in kept.values())
    study = thinned(samples="none", features="none", weights="none")
    gone = {noun for noun in NOUNS if not keeps(study, 3, noun)}
    assert gone == {noun for noun, one in NOUNS.items() if one.keep == "until_measured"} | {
        noun for noun in NOUNS if re.match("(model|adapted|auxiliary-.role.).safetensors", noun)
    }
    assert not any(re.search("cost|metrics|ballots|kept|training|grid", noun) for noun in gone)


@pytest.mark.parametrize("said", ["some", "every 0th", "every fifth", "every 5", 5, "ALL"])
def test_another_policy_is_a_fault_that_says_what_is_allowed(said):
    raw = SMOKE.file.model_dump(mode="json", by_alias=True, exclude_unset=True)
    faults = check(raw | {"keep": {"weights": said}}, "smoke")[1]
    assert [fault.path for fault in faults] == [("keep", "weights")]
    assert "every 5th" in faults[0].message or "string" in faults[0].message


def test_what_is_kept_is_no_part_of_what_jobs_are_told():
    # Else a finished study would be drawn again when it is thinned.
    assert thinned(weights="none").plan() == thinned().plan()


@pytest.fixture(scope="module")
def cleared(finished, tmp_path_factory):
    """A finished study that was thinned, with things left over, and what gc said of it before and after."""
    project = finished.copy(tmp_path_factory.mktemp("cleared") / "project")
    results = project.folder / "results" / "smoke"
    project.edit("config/smoke.yaml", ("samples: 200", f"samples: 200\nkeep: {KEEP}"))
    as_run = shutil.copytree(results / "report", tmp_path_factory.mktemp("report"), dirs_exist_ok=True)
    project.run("collapselab", "report", "smoke")  # its footer shows the study file as it is now
    report = {name: content_hash(results / "report" / name) for name in ("report.html", "metrics.csv")}
    shutil.copytree(as_run, results / "report", dirs_exist_ok=True)  # of which the study is not drawn again
    shutil.copytree(results / "k_memory", results / "renamed")
    (results / "renamed/seed0/gen1/ballots.parquet").write_bytes(b"what somebody said")
    cell = results / "control/seed0/gen1"
    (cell / ".model.training").mkdir()
    (cell / ".model.training/state0.safetensors").write_bytes(b"0" * 1000)
    (cell / "samples.safetensors.damaged").write_bytes(b"0" * 100)
    for folder in ("digits-00000000", SMOKE.real):
        stray = project.folder / "results/real" / folder / "held_out-401.safetensors"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"0" * 10)
    shown = project.run("collapselab", "gc", "smoke", "--list").stdout
    done = project.run("collapselab", "gc", "smoke", "--yes").stdout
    return project, report, shown, done


KEEP = "{weights: none, samples: every 2nd, features: none}"


def test_gc_says_what_it_would_free_before_it_does(cleared):
    project, _, shown, done = cleared
    table = dict(re.findall(r"^ +[\d,]+ files +([\d,]+) bytes  (.*)$", shown, re.M))
    assert {why: int(size.replace(",", "")) for size, why in table.items()}["in all"] > 0
    for why in ("weights that keep", "samples that keep", "features that keep", "of an arm", "damaged", "checkpoint"):
        assert any(why in one for one in table.values()), why
    listed = re.findall(r"^ +[\d,]+  (results/.*)$", shown, re.M)
    assert f"in {len(listed)} files" in done and not any((project.folder / name).exists() for name in listed)
    assert not any(re.search(r"metrics\.json|\.cost\.json|ballots", name) for name in listed)


def test_what_people_judged_and_what_was_found_out_stays(cleared):
    results = cleared[0].folder / "results" / "smoke"
    stays = {file.name.removesuffix(".sha256") for file in (results / "renamed").rglob("*") if file.is_file()}
    costs = {name for name in NOUNS if name.endswith(".cost.json")}
    assert {"ballots.parquet", "metrics.json"} <= stays <= {"ballots.parquet", "metrics.json"} | costs
    assert all((results / cell).exists() for cell in ("control/seed0/gen1/metrics.json", "report/report.html"))


def test_after_gc_nothing_is_trained_sampled_or_measured(cleared):
    project, report, _, _ = cleared
    gone = project.folder / "results/smoke/control/seed0/gen1/model.safetensors"
    assert not gone.exists() and gone.with_name(f"{gone.name}.sha256").exists()
    assert project.plan() == {}
    project.run("collapselab", "report", "smoke")
    folder = project.folder / "results/smoke/report"
    assert {name: content_hash(folder / name) for name in report} == report
    said = project.run("collapselab", "status", "smoke").stdout  # what was thinned is measured all the same
    assert "smoke: 18 of 18 generations done" in said and not re.search("later|next|silent|failed", said)


def test_one_more_generation_runs_its_own_jobs_alone(cleared, tmp_path):
    project = cleared[0].copy(tmp_path / "longer")
    project.edit("config/smoke.yaml", ("generations: 2", "generations: 3"))
    cells = len(SMOKE.lineages) * SMOKE.file.seeds
    made = dict.fromkeys(("train", "sample", "extract", "record"), cells)
    later = {"draw": project.plan()["draw"], "report": 1, "track": 1, "all": 1}
    assert project.plan() == made | later and later["draw"] <= cells
    # Two generations of models are read again: k_memory asks them for new samples.
    models = [f"k_memory/seed0/gen{t}/model.safetensors" for t in (1, 2)]
    assert all((project.folder / "results/smoke" / name).exists() for name in models)


def test_what_was_thinned_and_is_read_again_is_said_before_it_is_made(cleared, tmp_path):
    project = cleared[0].copy(tmp_path / "measured")
    project.edit("config/smoke.yaml", ("density, coverage]", "density, coverage, variance_ratio]"))
    said = project.run("collapselab", "plan", "smoke", "--no-cost").stdout
    told = re.search("these read what gc has thinned: (.*); it is made again, and all that hangs from it", said)[1]
    # 3 arms, 2 seeds and 3 generations of features, and of generation 1 the samples, which need their models, and what
    # two of the arms had drawn.
    assert {"18 features", "10 samples"} <= set(told.split(", "))


def test_while_a_run_is_going_on_nothing_goes(cleared, tmp_path):
    project = cleared[0].copy(tmp_path / "locked")
    lock = project.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/smoke/report/report.html\n")
    done = project.run("collapselab", "gc", "smoke", "--yes", code=5)
    assert "a run is going on" in done.stderr and "--unlock" not in done.stderr


def test_real_data_goes_that_no_study_reads(cleared):
    project, _, shown, _ = cleared
    assert re.search(r" 2 files +20 bytes  real data that no study in config/ reads", shown)
    left = {file.name for file in (project.folder / "results/real").rglob("*.safetensors")}
    assert left == {file.rsplit("/", 1)[1] for file in layout.real(SMOKE)}


def test_real_data_stays_where_a_study_is_not_known(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("real", "smoke", "elsewhere", "_metrics"):  # no study is called like the last
        (tmp_path / "results" / name).mkdir(parents=True)
    assert clearing.others({"smoke", "quickstart"}) == ["elsewhere"]


# -- what is planned to be kept ----------------------------------------------------------------------------------------


def test_a_plan_counts_what_a_run_leaves_on_disk(finished):
    # Headers, tables and records are counted by measured constants: a few hundred bytes of a file.
    counted, there = storage.disk(SMOKE), storage.written(SMOKE, finished.folder)
    assert set(there) == set(counted.bytes) - {"real data"} and not counted.unknown
    for kind in ("weights", "samples", "features"):
        assert counted.bytes[kind] == pytest.approx(there[kind], rel=0.15), kind
    assert counted.total - counted.bytes["real data"] == pytest.approx(sum(there.values()), rel=0.2)


def test_a_plan_says_what_thinning_saves():
    saved = storage.disk(thinned(features="none")).saved
    assert saved == storage.disk(thinned()).bytes["features"] > 0
    assert storage.disk(thinned()).saved == 0
    assert storage.disk(thinned(weights="every 5th")).saved < storage.disk(thinned(weights="none", next=False)).saved


@pytest.mark.parametrize("name", sorted(FEATURES))
def test_how_wide_features_are_is_known_of_every_extractor(name):
    known = name in storage.NUMBERS_A_ROW or FEATURES[name].needs.through != "published"
    assert known, "say in study/storage.py how many numbers its features have"
