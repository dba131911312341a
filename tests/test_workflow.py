"""The workflow, as snakemake runs it: what it plans and never plans, and how it meets damage, kills and bad input."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from project import ROOT, Project, said

from collapselab import study as studies
from collapselab.study import words

SMOKE = studies.load(ROOT / "config" / "smoke.yaml")
ARMS, BASES, SEEDS, T = len(SMOKE.lineages), len(SMOKE.bases), SMOKE.file.seeds, SMOKE.file.generations
ABOUT_THE_STUDY = {"report": 1, "track": 1, "all": 1}


def jobs(measured=0, **counts):
    """The counts that are not zero, and the jobs about the whole study; what is measured is extracted and recorded."""
    counts = {"record": measured, "extract": measured} | counts
    return {rule: count for rule, count in counts.items() if count} | ABOUT_THE_STUDY


# -- what is planned ---------------------------------------------------------------------------------------------------


def test_a_bare_dry_run_plans_the_quickstart(tmp_path):
    # Snakemake without a default target says "Nothing to be done" with exit code 0: the counts must be right.
    study = studies.load(ROOT / "config" / "quickstart.yaml")
    cells = list(study.cells())
    later = [one for one in cells if one[2]]
    trainings = len(list(study.base_cells())) + len(later)
    raw = sum("raw" in study.measured_sets(arm) for arm, _, _ in cells)
    project = Project.create(tmp_path / "project")
    done = project.run("snakemake", "-n", "--quiet", "rules")
    planned = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
    extractors = study.measured_in
    real = {"prepare": 3, "learn": len(study.trained_extractors), "extract_real": len(extractors), "baseline": 1}
    made = {"train": trainings, "sample_raw": raw} | dict.fromkeys(("sample", "grid", "extract", "record"), len(cells))
    expected = real | made | ABOUT_THE_STUDY
    assert planned == expected | {"total": sum(expected.values())}
    # And plan says as many beforehand, of which Snakemake's own target is none.
    assert words.totals(study)["jobs"].startswith(f"{sum(expected.values()) - 1:,}, of which ")


def test_a_finished_study_runs_nothing(finished):
    assert "Nothing to be done" in said(finished.snakemake())


def test_touched_dates_replan_nothing(smoke):
    # One by one in a shuffled order, into the future and the past, as a checkout or another file system leaves them.
    now = time.time()
    files = sorted(file for file in (smoke.folder / "results").rglob("*") if file.is_file())
    assert len(files) > 300
    for index, file in enumerate(files):
        os.utime(file, (now, now + 7919 * index % 200_000 - 100_000))
    assert smoke.plan() == {}


# The counts follow from the study: 3 arms (one of which, fully synthetic, eats stored samples; the control and k_memory
# draw new rows at each generation), one base, 2 seeds, generations 0 to 2.
later = ARMS * SEEDS * T  # cells after generation 0
EDITS = {
    "one more generation": (
        [("generations: 2", "generations: 3")],
        jobs(draw=2 * SEEDS, train=ARMS * SEEDS, sample=ARMS * SEEDS, measured=ARMS * SEEDS),
    ),
    "one more seed": (
        [("seeds: 2", "seeds: 3")],
        jobs(draw=BASES + 2 * T, train=BASES + ARMS * T, sample=ARMS * (T + 1), measured=ARMS * (T + 1)),
    ),
    # Sampled anew with bias and without; at generation 0 too, but from the same model.
    "one arm's sampling bias": (
        [("    regime: fully_synthetic\n", "    regime: fully_synthetic\n    sampling_bias: 0.5\n")],
        jobs(train=SEEDS * T, sample=SEEDS * (T + 1), sample_raw=SEEDS * (T + 1), measured=SEEDS * (T + 1)),
    ),
    "one arm's regime": (
        [("fresh: 10, k: 2", "fresh: 20, k: 2")],
        jobs(draw=SEEDS * T, train=SEEDS * T, sample=SEEDS * T, measured=SEEDS * T),
    ),
    "a new arm": (
        [("arms:\n", "arms:\n  added: {model: moments, regime: {fresh_data: {fresh: 25}}}\n")],
        jobs(draw=SEEDS * T, train=SEEDS * T, sample=SEEDS * (T + 1), measured=SEEDS * (T + 1)),
    ),
    "a new arm with a new model": (
        [
            ("models:\n", "models:\n  unbiased: {gaussian: {ddof: 1}}\n"),
            ("arms:\n", "arms:\n  added: {model: unbiased, regime: fully_synthetic}\n"),
            # A second model brings a second control; to let the first keep its name, the study goes without.
            ("arms:\n  added", "control: none\narms:\n  added"),
        ],
        jobs(draw=SEEDS, train=SEEDS * (1 + T), sample=SEEDS * (T + 1), measured=SEEDS * (T + 1)),
    ),
    "the model's options": (
        [("ddof: 0", "ddof: 1")],
        jobs(
            draw=SEEDS * T,  # k_memory asks its ancestors' models again
            train=BASES * SEEDS + later,
            sample=ARMS * SEEDS * (T + 1),
            extract=ARMS * SEEDS * (T + 1),
            record=ARMS * SEEDS * (T + 1),
        ),
    ),
    "the study's seed": (
        [("\nseed: 1", "\nseed: 2")],
        jobs(
            draw=SEEDS * (BASES + 2 * T),
            train=BASES * SEEDS + later,
            sample=ARMS * SEEDS * (T + 1),
            extract=ARMS * SEEDS * (T + 1),
            record=ARMS * SEEDS * (T + 1),
        ),
    ),
    "the number of samples": (
        [("samples: 200", "samples: 300")],
        jobs(baseline=1, train=SEEDS * T, **dict.fromkeys(("sample", "extract", "record"), ARMS * SEEDS * (T + 1))),
    ),
    "the metrics": (
        [("recall, density", "recall, {density: {k: 3}}")],
        jobs(baseline=1, record=ARMS * SEEDS * (T + 1)),
    ),
    "a word for the report": ([("the variance falls", "its variance falls")], jobs()),
    "a comment and the order of keys": ([("\nseed: 1\nseeds: 2\n", "\nseeds: 2 # two\nseed: 1\n")], {}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_study_plans_what_hangs_from_it(smoke, name):
    changes, expected = EDITS[name]
    for change in changes:
        smoke.edit("config/smoke.yaml", change)
    assert smoke.plan() == expected


@pytest.mark.slow
def test_an_edit_of_the_source_plans_what_hangs_from_it(smoke):
    package = "src/collapselab"
    # Comments, docstrings, and code that this study does not run: the edges, other families, other software.
    smoke.edit(f"{package}/models/gaussian.py", ('"""The normal law', '# a comment\n    """A normal law'))
    smoke.edit(f"{package}/models/multinomial.py", ("import numpy as np", "import numpy as np\n\nUNUSED = 1"))
    smoke.edit(f"{package}/store/samples.py", ("from pathlib import Path", "from pathlib import Path\n\nUNUSED = 1"))
    smoke.edit(f"{package}/cli/sample.py", ("import numpy as np", "import numpy as np\n\nUNUSED = 1"))
    smoke.edit("environment.yml", ("  - pip\n", "  - pip\n  - cowpy\n"))
    assert smoke.plan() == {}
    smoke.edit(f"{package}/metrics/frechet.py", ("found rows of", "found some rows of"))
    assert smoke.plan() == jobs(baseline=1, record=ARMS * SEEDS * (T + 1))
    smoke.edit(f"{package}/models/gaussian.py", ("needs at least", "asks for at least"))
    everything = dict.fromkeys(("sample", "extract", "record"), ARMS * SEEDS * (T + 1))
    draws = SEEDS * (BASES + 2 * T)
    real = {"prepare": 3, "extract_real": 1, "baseline": 1, "draw": draws, "train": BASES * SEEDS + later}
    assert smoke.plan() == everything | real | ABOUT_THE_STUDY


def test_a_file_missing_in_the_middle_is_made_again(smoke):
    # Snakemake asks only for what it is asked for, and for what hangs from it.
    (smoke.folder / "results/smoke/control/seed0/gen1/metrics.json").unlink()
    assert smoke.plan() == jobs(record=1)
    (smoke.folder / "results/smoke/k_memory/seed1/gen2/samples.safetensors.sha256").unlink()
    assert smoke.plan() == jobs(record=2, extract=1, sample=1)
    (smoke.folder / SMOKE.part_file("held_out")).unlink()
    assert smoke.plan()["prepare"] == 1


@pytest.mark.slow
def test_a_report_is_whole_and_holds_nothing_else(smoke):
    report = smoke.folder / "results/smoke/report"
    for victim in ("verdicts.json", "primary.csv", "metrics.csv.sha256"):
        content = (report / victim).read_bytes()
        (report / victim).unlink()
        assert smoke.plan() == {"report": 1, "track": 1, "all": 1}, victim  # the mirror shows the report, too
        (report / victim).write_bytes(content)
    assert smoke.plan() == {}
    figures = {file.name for file in (report / "figures").glob("[!.]*")}
    assert {Path(name).suffix for name in figures} == {".pdf", ".sha256"}
    shutil.rmtree(report / "figures")
    assert smoke.plan() == {"report": 1, "track": 1, "all": 1}
    (report / "figures").mkdir()
    (report / "figures" / "dropped.pdf").write_text("of a metric that the study no longer names")
    (report / "verdicts.json").unlink()
    smoke.snakemake()
    assert {file.name for file in (report / "figures").glob("[!.]*")} == figures


def test_a_figure_that_is_deleted_is_named_and_drawn_again(smoke):
    """To the same bytes: nothing is made of it, so that nothing else would notice."""
    figure = "results/smoke/report/figures/density_identity.pdf"
    content = (smoke.folder / figure).read_bytes()
    (smoke.folder / figure).unlink()
    told = smoke.run("collapselab", "verify", "smoke", code=3).stdout
    assert f"{figure}: is missing; say collapselab report smoke" in told and "1 of " in told
    smoke.run("collapselab", "report", "smoke")
    assert (smoke.folder / figure).read_bytes() == content
    assert "files are whole" in smoke.run("collapselab", "verify", "smoke").stdout


def test_two_studies_share_their_real_data(smoke):
    text = (smoke.folder / "config" / "smoke.yaml").read_text()
    (smoke.folder / "config" / "other.yaml").write_text(text.replace("name: smoke", "name: other"))
    planned = smoke.plan(study="other")
    assert planned == jobs(
        baseline=1,
        draw=SEEDS * (BASES + 2 * T),
        train=BASES * SEEDS + later,
        sample=ARMS * SEEDS * (T + 1),
        measured=ARMS * SEEDS * (T + 1),
    )
    (smoke.folder / "config" / "other.yaml").write_text(
        text.replace("name: smoke", "name: other").replace("held_out: 400", "held_out: 401")
    )
    assert smoke.plan(study="other")["prepare"] == 2  # the held-out draws, and as many beside them


def test_the_graph_of_rules_does_not_grow(smoke):
    def boxes():
        graph = smoke.run("snakemake", "--rulegraph", "--config", "study=smoke").stdout
        return Counter(re.findall(r'label ?= ?"(\w+)"', graph))

    few = boxes()
    smoke.edit("config/smoke.yaml", ("generations: 2", "generations: 12"))
    assert boxes() == few
    assert set(few.values()) == {1} and len(few) <= 12


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "results/smoke/control/seed0/gen0/model.safetensors",  # its home is base_moments
        "results/smoke/control/seed0/gen0/training.parquet",
        "results/smoke/base_moments/seed0/gen1/model.safetensors",
        "results/smoke/base_moments/seed0/gen0/samples.safetensors",
        "results/smoke/control/seed2/gen0/metrics.json",
        "results/smoke/control/seed00/gen0/metrics.json",
        "results/smoke/control/seed0/gen3/metrics.json",
        "results/smoke/contol/seed0/gen0/metrics.json",
        SMOKE.extractor_file("features", "identity").replace(SMOKE.real, "gaussian-00000000"),
        SMOKE.extractor_file("features", "identity").replace("identity", "pixels"),
    ],
)
def test_a_target_outside_the_study_is_refused(finished, target):
    done = finished.run("snakemake", "-n", "--config", "study=smoke", "--", target, code=1)
    assert "Missing" in said(done) and "Traceback" not in said(done)
    assert not (finished.folder / target).exists()


def test_the_home_of_a_generation_0_is_named(finished):
    target = "results/smoke/control/seed0/gen0/model.safetensors"
    done = finished.run("snakemake", "-n", "--config", "study=smoke", "--", target, code=1)
    assert "generation 0 of control is trained in base_moments" in said(done)


def test_a_bad_study_ends_with_its_faults(smoke):
    smoke.edit("config/smoke.yaml", ("generations: 2", "generations: -1"), ("regime: fully_synthetic", "regime: fuly"))
    done = smoke.run("snakemake", "-n", "--config", "study=smoke", code=None)
    assert done.returncode != 0
    assert "2 faults" in said(done) and "generations" in said(done) and "fully_synthetic" in said(done)
    assert "Traceback" not in said(done)
    done = smoke.run("snakemake", "-n", "--config", "study=nosuch", code=None)
    assert done.returncode != 0 and "quickstart, rehearsal" in said(done) and "Traceback" not in said(done)


# -- the profiles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm"])
def test_a_profile_gives_every_rule_what_it_needs(finished, profile):
    study = studies.load(ROOT / "config" / "quickstart.yaml")
    arm = next(arm for arm in study.lineages if "raw" in study.measured_sets(arm))
    options = ("--config", "study=quickstart", "--workflow-profile", f"profiles/{profile}")
    whole = ("--logger-collapselab-show", "all")
    done = finished.run("snakemake", "-n", *options, *whole, "--", study.cell(arm, 0, 1, "metrics.json"))
    asked = {
        rule: dict(one.split("=", 1) for one in resources.split(", "))
        for rule, resources in re.findall(r"^ *rule (\w+):$.*?^ *resources: (.*?)$", said(done), re.M | re.S)
    }
    assert {"train", "sample", "sample_raw", "extract", "record"} <= asked.keys()
    heavy = {"train", "sample", "sample_raw"}
    counted = {rule for rule, resources in asked.items() if int(resources.get("gpu", 0))}
    on_gpu = {rule for rule, resources in asked.items() if resources.get("gres") == "gpu:1"}
    if profile == "slurm":  # where gpu would be added up over what runs side by side in one job
        assert not counted and heavy <= on_gpu
        assert all({"runtime", "mem_mb"} <= asked[rule].keys() for rule in heavy)
        assert asked["train"]["slurm_extra"] == "--signal=TERM@300"
    else:
        assert counted == heavy and not on_gpu
        assert not any({"runtime", "mem_mb"} & asked[rule].keys() for rule in heavy)


def test_what_trains_beside_the_training_is_given_what_a_training_is():
    said = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())["set-resources"]
    assert said["adapt"] == said["auxiliary"] == said["train"]


# -- the house ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow  # make test has done so before the suite begins
def test_lint_and_format_are_clean():
    project = Project(ROOT)
    project.run(sys.executable, "tests/lint.py", "--config", "study=smoke")
    project.run(sys.executable, "tests/lint.py")
    project.run("snakefmt", "--check", "Snakefile", "workflow")


def test_a_dry_run_imports_nothing_dear():
    code = """
import sys
from pathlib import Path
from collapselab import study as studies
from collapselab.study import jobs
for name in ("quickstart", "smoke", "cifar10-regimes-smoke", "faces64-mad-smoke"):
    study = studies.load(Path("config") / f"{name}.yaml")
    study.plan(), study.metric_options(), study.trained_extractors, list(study.cells())
    for arm in study.bases:
        study.recipe(arm, 0), study.sources(arm, 0, 0)
    for verb, place in jobs.every(study):
        jobs.inputs(study, verb, place), jobs.arguments(study, verb, place), jobs.identity(study, verb, place)
    study.dataset.fingerprint() if study.file.data.source else None
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "pydantic" in done.stdout.split()
    dear = {"torch", "torchvision", "scipy", "pandas", "sklearn", "mlflow", "altair", "pyarrow"}
    assert not dear & set(done.stdout.split())


# -- damage, failures and kills ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_flipped_bit_is_found_named_and_mended(smoke):
    before = smoke.hashes()
    victim = smoke.folder / "results/smoke/fully_synthetic/seed0/gen1/samples.safetensors"
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 4
    victim.write_bytes(content)
    assert smoke.plan() == {}  # nothing reads it now
    for cell in ("fully_synthetic/seed0/gen1", "k_memory/seed1/gen2"):
        (smoke.folder / "results/smoke" / cell / "features.safetensors").unlink()
    done = smoke.snakemake(code=1)
    # Found by its reader and named, at the end of all that Snakemake says; the other arm went on.
    message = "results/smoke/fully_synthetic/seed0/gen1/samples.safetensors: damaged: its SHA-256 is"
    assert message in said(done).split("run the same command again")[0]
    assert "Traceback" not in said(done)
    assert not victim.exists() and victim.with_name("samples.safetensors.damaged").exists()
    assert (smoke.folder / "results/smoke/k_memory/seed1/gen2/metrics.json").exists()
    smoke.snakemake()
    assert smoke.hashes() == before
    assert smoke.plan() == {}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_files(smoke):
    before = smoke.hashes()
    target = "results/smoke/k_memory/seed1/gen2/metrics.json"
    for generation in (1, 2):
        shutil.rmtree(smoke.folder / f"results/smoke/k_memory/seed1/gen{generation}")
    model = smoke.folder / "results/smoke/k_memory/seed1/gen1/model.safetensors"
    command = ["snakemake", "--cores", "2", "--config", "study=smoke", "--", target]
    run = subprocess.Popen(
        command,
        cwd=smoke.folder,
        env=smoke.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not model.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert model.exists() and not (smoke.folder / target).exists()
    done = smoke.run(*command, code=1)
    assert "--unlock" in said(done)
    smoke.run("snakemake", "--unlock", "--config", "study=smoke")
    smoke.snakemake(target, "results/smoke/k_memory/seed1/gen1/metrics.json")
    assert smoke.hashes() == before


DIVERGING = """
name: diverging
seeds: 1
generations: 3
data: {population: {gaussian: {dimension: 2}}, split: {held_out: 400}}
models: {moments: {gaussian: {ddof: 0}}}
initial: {real: 50}
samples: 200
extractors: [identity]
metrics: [frechet_distance, recall]
primary: {metric: frechet_distance, extractor: identity}
control: none
arms:
  steady: {model: moments, regime: fully_synthetic}
  # Each weight is a number, and their sum is not: the fit meets an infinity at generation 1.
  wild:
    model: moments
    regime: {algebra: {synthetic: [{n: 50}], weights: {synthetic: 1.0e+308}}}
"""


@pytest.mark.slow
def test_a_diverged_training_reaches_the_report(finished, tmp_path):
    project = Project.create(tmp_path / "project")
    shutil.copytree(finished.folder / "results/real", project.folder / "results/real")
    (project.folder / "config/diverging.yaml").write_text(DIVERGING)
    done = project.snakemake(study="diverging")
    assert "collapselab: wild seed 0: diverged at generation 1" in done.stderr
    folder = project.folder / "results/diverging"
    status = {}
    for arm in ("steady", "wild"):
        records = [json.loads((folder / arm / f"seed0/gen{t}/metrics.json").read_text()) for t in range(4)]
        status[arm] = [record["status"] for record in records]
    assert status == {"steady": ["ok"] * 4, "wild": ["ok", *["diverged"] * 3]}
    # Later generations pass on where it began, and are made of nothing.
    assert {record["diverged"]["generation"] for record in records[1:]} == {1}
    assert all(record["values"] == [] for record in records[1:]) and records[0]["values"]
    assert records[2]["composition"] == []
    page = (folder / "report/report.html").read_text()
    assert re.search(r"wild.{0,2000}diverged", page, re.DOTALL)
    assert project.plan(study="diverging") == {}


def test_an_unfinished_study_is_drawn_on_request(smoke):
    for file in (smoke.folder / "results/smoke/control").rglob("gen2/metrics.json"):
        file.unlink()
    shutil.rmtree(smoke.folder / "results/smoke/report")
    done = smoke.run("collapselab", "report", "smoke", code=2)
    assert "results/smoke/control/seed0/gen2/metrics.json" in said(done) and "--so-far" in said(done)
    assert not (smoke.folder / "results/smoke/report").exists()
    smoke.run("collapselab", "report", "smoke", "--so-far")
    page = (smoke.folder / "results/smoke/report/report.html").read_text()
    assert "16 of 18 cells" in " ".join(page.split())


def test_the_package_under_test_is_the_copied_one(finished):
    done = finished.run("python", "-c", "import collapselab; print(collapselab.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(finished.folder)


@pytest.mark.slow
def test_selected_samples_are_measured_at_the_n_of_all_and_reported(smoke):
    """Half of one arm's samples are kept: raw, sampled and kept sets of all arms are measured at that number."""
    text = (smoke.folder / "config" / "smoke.yaml").read_text().replace("name: smoke", "name: picky")
    text = text.replace("seeds: 2", "seeds: 1").replace("generations: 2", "generations: 1")
    text = text.replace("regime: fully_synthetic", "regime: fully_synthetic\n    select: {random: {share: 0.5}}")
    (smoke.folder / "config" / "picky.yaml").write_text(text)
    smoke.snakemake(study="picky")
    records = [json.loads(path.read_text()) for path in (smoke.folder / "results/picky").rglob("metrics.json")]
    assert {made["n_fake"] for record in records for made in record["fingerprints"].values()} == {100}
    sets = {
        arm: {value["set"] for record in records if record["arm"] == arm for value in record["values"]}
        for arm in ("control", "fully_synthetic")
    }
    assert sets == {"control": {"sampled"}, "fully_synthetic": {"sampled", "kept"}}
    assert (smoke.folder / "results/picky/report/report.html").exists()


@pytest.mark.slow
def test_a_mirror_that_another_process_holds_is_said_and_holds_no_study_up(smoke):
    """By hand the exit code says so; in the workflow the study is whole without its mirror."""
    from filelock import FileLock

    smoke.edit("src/collapselab/report/tracking.py", ("LOCK_SECONDS = 600", "LOCK_SECONDS = 0.5"))
    with FileLock(smoke.folder / "mlflow.db.lock"):
        said = smoke.run("collapselab", "track", "smoke", code=5)
        planned = SMOKE.plan()
        smoke.run("collapselab", "track", "smoke", "--planned", planned, code=0)
    assert "another process" in str(said)
    smoke.run("collapselab", "track", "smoke", code=0)


@pytest.mark.slow
def test_a_mirror_that_is_away_is_said_at_the_end_and_caught_up_by_the_next_run(smoke):
    (smoke.folder / "results/smoke/report/tracked.json").unlink()
    command = ("snakemake", "--cores", 1, "--config", "study=smoke")
    done = smoke.run("env", "MLFLOW_TRACKING_URI=http://127.0.0.1:9", *command)
    last = done.stderr.strip().splitlines()[-8:]
    assert any("collapselab: not mirrored: MLflow at http://127.0.0.1:9" in line for line in last), last
    assert smoke.plan() == {"track": 1, "all": 1}
    done = smoke.run(*command)
    assert (
        "runs in experiment 'smoke'" in done.stderr
        and "the arms side by side (while mlflow ui runs here): http" in done.stderr
    )
    assert smoke.plan() == {}
