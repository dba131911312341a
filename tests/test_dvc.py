"""DVC around a study: it runs it once, shares what it made, and a colleague's machine goes on from there."""

import asyncio
import getpass
import json
import os
import re
import shutil
import subprocess
import threading

import pytest
import yaml
from browsing import CHROMIUM, FLAGS
from project import ROOT, Project, missing_parts, said

from collapselab import study as studies
from collapselab.metrics import METRICS
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


def test_init_writes_the_stage_of_a_new_study_and_keeps_what_others_have_added(tmp_path):
    project = Project.create(tmp_path / "project")
    file = project.folder / "dvc.yaml"
    added = yaml.safe_load(file.read_text(encoding="utf-8"))
    paper = {"cmd": "latexmk paper.tex", "deps": ["results/smoke"], "outs": ["paper.pdf"]}
    added["stages"]["paper"] = paper
    added["metrics"].append("paper/pages.json")
    added["plots"].append({"paper/pages.csv": {"x": "day"}})
    added["artifacts"] = {"digits": {"path": "data/digits.zip", "type": "dataset"}}
    file.write_text(yaml.safe_dump(added), encoding="utf-8")
    assert "dvc.yaml has its stage: dvc repro mine" in project.run("collapselab", "init", "mine").stdout
    project.run("collapselab", "stages", "--check", "mine")
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert written["stages"]["mine"]["cmd"] == "snakemake --config study=mine"
    assert written["stages"]["paper"] == paper and written["artifacts"] == added["artifacts"]
    assert written["metrics"] == added["metrics"] and written["plots"] == added["plots"]
    project.run("collapselab", "stages", "--out", "dvc.yaml")
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == written
    # A stage of ours whose study is gone goes with it.
    (project.folder / "config/mine.yaml").unlink()
    project.run("collapselab", "stages", "--out", "dvc.yaml")
    assert "mine" not in yaml.safe_load(file.read_text(encoding="utf-8"))["stages"]


def test_init_begins_a_study_beside_a_file_of_stages_that_cannot_be_read(tmp_path):
    project = Project.create(tmp_path / "project")
    file = project.folder / "dvc.yaml"
    file.write_text("stages: [", encoding="utf-8")
    told = project.run("collapselab", "init", "mine").stdout
    assert "no stage in dvc.yaml yet: dvc.yaml: is no YAML" in told and "collapselab stages --out dvc.yaml" in told
    assert file.read_text(encoding="utf-8") == "stages: [" and (project.folder / "config/mine.yaml").exists()


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


def verbs(text):
    """The verb of each job that ended, of what a run has said."""
    return re.findall(r"^\[\d+/\d+[^]]*\] (\w+)", text, re.MULTILINE)


@pytest.mark.slow
def test_repro_runs_the_study_and_a_second_time_nothing(pushed):
    assert f"Running stage '{REAL}'" in pushed.said and "Running stage 'smoke'" in pushed.said
    assert "report" in verbs(pushed.said)
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
    shown = json.loads(pushed.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    last = {file.removeprefix("results/_metrics/smoke/"): one["data"] for file, one in shown.items()}
    assert set(last) == {f"{arm}.json" for arm in study.lineages}
    plots = json.loads(pushed.run("dvc", "plots", "show", "--json").stdout)["data"]
    better = [metric for metric in study.metric_options() if METRICS[metric].better]
    assert set(plots) == {f"results/_plots/smoke/{metric}_identity.csv" for metric in better}
    (plot,) = plots["results/_plots/smoke/frechet_distance_identity.csv"]
    content = plot["content"] if isinstance(plot["content"], dict) else json.loads(plot["content"])
    rows = content["data"]["values"]
    generations = range(study.file.generations + 1)
    # A line for each arm, from generation 0 to the last, which is the number that metrics show.
    arms = study.lineages
    assert {(row["arm"], int(row["generation"])) for row in rows} == {(arm, t) for arm in arms for t in generations}
    assert content["encoding"]["color"]["field"] == "arm"
    column = content["encoding"]["y"]["field"]
    for row in rows:
        if int(row["generation"]) == study.file.generations:
            assert float(row[column]) == pytest.approx(last[f"{row['arm']}.json"]["last"], rel=1e-5)


@pytest.mark.slow
def test_what_dvc_shows_fits_a_screen_and_names_no_study_that_has_not_run(pushed):
    shown = pushed.run("dvc", "metrics", "show")
    assert "failed to load" not in said(shown)
    heading, *lines = shown.stdout.splitlines()
    assert max(map(len, (heading, *lines))) <= 120
    assert [line.split()[0] for line in lines if not line.startswith("results/_metrics/smoke/")] == []
    assert len(lines) == 3 and not any("-" in line.split() for line in lines)
    drawn = pushed.run("dvc", "plots", "show", "--out", "shown")
    assert "failed to load" not in said(drawn)
    assert pushed.run("dvc", "metrics", "diff").stdout == ""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH")
def test_plots_are_drawn_without_a_network(pushed, tmp_path):
    pushed.run("dvc", "plots", "show", "--out", tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]+src=", page) and "default-src 'none'" in page
    offline = ("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom")
    command = [CHROMIUM, *FLAGS, *offline, (tmp_path / "index.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    drawn = re.findall(r'<svg[^>]*class="marks"', done.stdout)
    assert len(drawn) == page.count("vegaEmbed('#") == len(list(pushed.folder.glob("results/_plots/*/*.csv")))


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
    project.run("git", "checkout", "--", "results")  # the small text that DVC shows is git's
    assert project.hashes() == pushed.hashes()
    assert project.plan() == {}


@pytest.mark.slow
def test_make_restore_gives_a_colleague_a_workspace(pushed, tmp_path):
    """By the command that the docs name, and a generation more runs its own jobs alone."""
    pushed.run("git", "clone", "--quiet", pushed.folder, tmp_path / "project")
    project = Project(tmp_path / "project")
    shutil.copy2(ROOT / "Makefile", project.folder)
    project.run("dvc", "remote", "add", "--local", "--default", "shared", pushed.folder.parent / "remote")
    # The environment of this test stands for the one that make would set up.
    told = project.run("make", "restore", "STUDY=smoke", "READY=", "ACTIVATE=")
    assert "Nothing of smoke is to be run again" in told.stdout
    assert project.hashes() == pushed.hashes() and project.plan() == {}
    before = project.hashes()
    project.edit("config/smoke.yaml", ("generations: 2", "generations: 3"))
    ran = said(project.snakemake())
    assert verbs(ran).count("train") == 6
    assert before.items() <= project.hashes().items()
    # A run by hand, as on a cluster, is made known by one command.
    assert "results/smoke" in said(project.run("dvc", "status", "smoke"))
    project.run("dvc", "commit", "--force", "smoke")
    assert "up to date" in said(project.run("dvc", "status", "smoke"))
    assert "Running stage" not in said(project.run("dvc", "repro", "smoke"))
    changed = json.loads(project.run("dvc", "metrics", "diff", "--json").stdout)
    assert changed["results/_metrics/smoke/control.json"]["generation"]["new"] == 3
    project.run("dvc", "push", "smoke")


@pytest.mark.slow
def test_what_was_run_by_hand_reaches_a_colleague_by_the_lines_of_the_docs(finished, tmp_path):
    """As after a run on a cluster: no stage has ever run here, neither the study's nor that of its real data."""
    page = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
    commit, push = (re.search(rf"^dvc {verb} .*\bmine\b[^#\n]*", page, re.MULTILINE)[0] for verb in ("commit", "push"))
    project = finished.copy(tmp_path / "author")
    (tmp_path / "remote").mkdir()
    project.run("git", "init", "--quiet")
    project.run("dvc", "remote", "add", "--default", "shared", tmp_path / "remote")
    for line in (commit, "git add .", "git commit --quiet -m results", push):
        project.run(*line.replace("mine", "smoke").split())
    project.run("git", "clone", "--quiet", project.folder, tmp_path / "project")
    colleague = Project(tmp_path / "project")
    colleague.run("dvc", "pull", "smoke", "--with-deps")
    assert colleague.hashes() == project.hashes()
    colleague.run("snakemake", "--touch", "--forceall", "--config", "study=smoke")
    assert colleague.plan() == {}


@pytest.mark.slow
def test_an_experiment_runs_what_its_option_asks_for(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    ran = said(project.run("dvc", "exp", "run", "smoke", "-S", "config/smoke.yaml:data.split.held_out=300"))
    assert "record" in verbs(ran) and not {"train", "sample"} & {*verbs(ran)}
    assert "held_out: 300" in (project.folder / "config/smoke.yaml").read_text()
    assert project.plan() == {}


@pytest.mark.slow
def test_results_are_taken_from_another_repository(pushed, tmp_path):
    """``dvc get`` copies files, ``dvc import`` remembers of which commit they are."""
    author = pushed.copy(tmp_path / "author")
    author.run("dvc", "remote", "add", "--default", "shared", pushed.folder.parent / "remote")
    author.run("git", "commit", "--quiet", "-m", "where results lie", ".dvc/config")
    (tmp_path / "other").mkdir()
    other = Project(tmp_path / "other")
    other.run("git", "init", "--quiet")
    other.run("dvc", "init", "--quiet")
    where = f"file://{author.folder}"
    other.run("dvc", "get", where, "results/smoke/report/report.html", "--out", "theirs.html")
    theirs = (author.folder / "results/smoke/report/report.html").read_bytes()
    assert (other.folder / "theirs.html").read_bytes() == theirs
    other.run("dvc", "import", where, "results/smoke/report", "--out", "theirs")
    assert (other.folder / "theirs/report.html").read_bytes() == theirs
    commit = author.run("git", "rev-parse", "HEAD").stdout.strip()
    assert yaml.safe_load((other.folder / "theirs.dvc").read_text())["deps"][0]["repo"]["rev_lock"] == commit


@pytest.fixture
def bucket(monkeypatch):
    """The address of an S3 that runs here, with a bucket called lab."""
    server = pytest.importorskip("moto.server", reason="needs moto, of collapselab[dev]")
    pytest.importorskip("dvc_s3", reason="needs collapselab[remotes]")
    import boto3

    # No keys but these are ever looked for.
    keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    held = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    held.start()
    address = "http://{}:{}".format(*held.get_host_and_port())
    boto3.client("s3", endpoint_url=address).create_bucket(Bucket="lab")
    yield address
    held.stop()


@pytest.mark.slow
def test_results_go_through_a_bucket(pushed, bucket, tmp_path):
    author = pushed.copy(tmp_path / "author")
    author.run("dvc", "remote", "add", "--default", "bucket", "s3://lab/studies")
    author.run("dvc", "remote", "modify", "bucket", "endpointurl", bucket)
    author.run("git", "commit", "--quiet", "-m", "where results lie", ".dvc/config")
    author.run("dvc", "push", "smoke", "--with-deps", "--remote", "bucket")  # this copy has a default of its own
    author.run("git", "clone", "--quiet", author.folder, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.run("dvc", "pull", "smoke", "--with-deps")
    assert project.hashes() == pushed.hashes()


@pytest.fixture
def ssh(tmp_path):
    """The port of an SSH server that runs here, and the file of the key that it lets in; it writes below tmp_path."""
    asyncssh = pytest.importorskip("asyncssh", reason="needs collapselab[remotes]")
    pytest.importorskip("dvc_ssh", reason="needs collapselab[remotes]")
    key, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key.write_private_key(tmp_path / "key")
    (tmp_path / "authorized").write_bytes(key.export_public_key())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen():
        known = {"server_host_keys": [host], "authorized_client_keys": str(tmp_path / "authorized")}
        return await asyncssh.listen("127.0.0.1", 0, sftp_factory=True, **known)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result(60)
    yield server.get_port(), tmp_path / "key"
    loop.call_soon_threadsafe(server.close)
    asyncio.run_coroutine_threadsafe(server.wait_closed(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


@pytest.mark.slow
def test_files_go_through_ssh(ssh, tmp_path):
    port, key = ssh
    project = Project(tmp_path / "project")
    (project.folder / "results").mkdir(parents=True)
    (project.folder / "results" / "samples").write_bytes(os.urandom(1000))
    (project.folder / "config.yaml").write_text("a study")
    for words in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["dvc", "add", "--quiet", "results"]):
        project.run(*words)
    where = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path}/srv/dvc"
    project.run("dvc", "remote", "add", "-d", "shared", where)
    project.run("dvc", "remote", "modify", "--local", "shared", "keyfile", key)
    project.run("dvc", "push")
    assert len([one for one in (tmp_path / "srv" / "dvc").rglob("*") if one.is_file()]) == 2  # the folder's list, too
    before = (project.folder / "results" / "samples").read_bytes()
    shutil.rmtree(project.folder / "results")
    shutil.rmtree(project.folder / ".dvc" / "cache")
    project.run("dvc", "pull")
    assert (project.folder / "results" / "samples").read_bytes() == before


@pytest.mark.slow
def test_changed_parameters_are_seen_and_shown(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    project.edit("config/smoke.yaml", ("recall, density, coverage", "recall"))
    assert "config/smoke.yaml" in said(project.run("dvc", "status", "smoke"))
    ran = said(project.run("dvc", "repro", "smoke"))
    assert "record" in verbs(ran) and not {"train", "sample"} & {*verbs(ran)}
    whole = "results/smoke/report/summary.json"
    changed = json.loads(project.run("dvc", "metrics", "diff", "--json", "--targets", whole).stdout)
    arms = changed[whole]
    assert {name.split(".")[1] for name in arms} == {"coverage_identity", "density_identity"}


@pytest.mark.slow
def test_another_number_of_held_out_draws_is_measured_and_trains_nothing(pushed, tmp_path):
    project = pushed.copy(tmp_path / "project")
    project.edit("config/smoke.yaml", ("held_out: 400", "held_out: 300"))
    ran = said(project.run("dvc", "repro", "smoke"))
    assert "record" in verbs(ran) and not {"train", "sample", "draw"} & {*verbs(ran)}
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
