"""The command line: exit codes, what it says, verbs in one process, and trainings that signals end."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
import yaml
from project import ENVIRONMENT, ROOT

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.sets import SampleSet
from collapselab.data.digest import digest
from collapselab.data.digits import Digits
from collapselab.data.export import export_folder
from collapselab.models import MODELS

WHERE = "--study-seed 1 --seed 0"
PLAIN = {"fresh_before": {}, "budget": None, "keeps_rows": False, "resamples": False}
RECIPE = PLAIN | {"generation": 0, "draws": [["fixed", 0, 50]], "weights": {"real": 1.0, "synthetic": 1.0}}
EATS = RECIPE | {"generation": 1, "draws": [["self", 0, 50]]}
OWN = [{"arm": "self", "generation": 0, "samples": "samples.safetensors", "kept": "kept.parquet"}]


def command_of(arguments):
    """A command and its environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | ENVIRONMENT | {"PATH": path, "PYTHONPATH": str(ROOT / "src")}
    return [sys.executable, "-m", "collapselab", *shlex.split(arguments)], environment


def start(arguments, folder, **options):
    command, environment = command_of(arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **options)


def run(arguments, folder, code=0, **options):
    """All that a command says, after checking its exit code; no command may end in a traceback."""
    command, environment = command_of(arguments)
    done = forked.run(command, folder, environment, timeout=120, **options)
    text = done.stdout + done.stderr
    assert done.returncode == code, f"{arguments}\nended with {done.returncode}\n{text}"
    assert "Traceback" not in text, text
    return text


def recipe(content, **changes):
    return shlex.quote(json.dumps(content | changes))


CHAIN = " + ".join(
    [
        "populate --population gaussian --held-out 100 --options '{\"dimension\": 2}' "
        "--part population=real/population.safetensors --part held_out=real/held_out.safetensors "
        "--part train=real/train.safetensors",
        f"draw --recipe {recipe(RECIPE)} {WHERE} --population real/population.safetensors --out drawn.safetensors",
        f"compose --recipe {recipe(RECIPE)} {WHERE} --sources [] --drawn drawn.safetensors --out training.parquet",
        "train --training training.parquet --family gaussian --options '{\"ddof\": 0}' "
        f"{WHERE} --generation 0 --out model.safetensors",
        f"sample --model model.safetensors --count 200 {WHERE} --generation 0 --out samples.safetensors",
        f"select --samples samples.safetensors {WHERE} --generation 0 --out kept.parquet",
        "extract --samples train=real/train.safetensors --samples held_out=real/held_out.safetensors "
        "--extractor identity --out real/features.safetensors",
        "extract --samples sampled=samples.safetensors --extractor identity --out features.safetensors",
        "record --features features.safetensors --reference real/features.safetensors --metrics "
        '\'{"frechet_distance": {}, "recall": {"k": 5}}\' --training training.parquet --kept kept.parquet '
        "--out metrics.json",
    ]
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which one process has run all verbs of a generation."""
    folder = tmp_path_factory.mktemp("chain")
    run(f"--cost cost.json {CHAIN}", folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "chain")
    return tmp_path / "chain"


# -- verbs -------------------------------------------------------------------------------------------------------------


def test_verbs_in_one_process_and_alone_write_the_same_files(made, tmp_path):
    for verb in CHAIN.split(" + "):
        run(verb, tmp_path)
    files = {file.relative_to(made) for file in made.rglob("*.sha256")} - {Path("cost.json.sha256")}
    assert len(files) == 11
    for file in files:
        assert (tmp_path / file).read_text() == (made / file).read_text(), file


def test_the_cost_of_a_process_is_written_beside_its_files(made):
    cost = store.read_json(made / "cost.json")
    assert cost["verbs"][:3] == ["populate", "draw", "compose"] and len(cost["verbs"]) == 9
    assert 0 < cost["compute_cpu_seconds"] <= cost["process_cpu_seconds"]
    assert 0 < cost["compute_wall_seconds"] <= cost["wall_seconds"] < 120
    assert 20 < cost["peak_memory_mb"] < 4000


def test_the_verb_that_fails_ends_the_process(tmp_path):
    first, second, *_ = CHAIN.split(" + ")
    text = run(
        f"--cost cost.json {first} + train --training nosuch.parquet --family gaussian --options "
        f"'{{\"ddof\": 0}}' {WHERE} --generation 0 --out model.safetensors + {second}",
        tmp_path,
        code=2,
    )
    assert "nosuch.parquet" in text
    assert (tmp_path / "real/population.safetensors").exists()
    assert not (tmp_path / "drawn.safetensors").exists() and not (tmp_path / "cost.json").exists()


def test_doctor_looks_at_this_machine(tmp_path):
    text = run("doctor", ROOT)
    assert "torch" in text and "free disk" in text and "FAULT" not in text
    assert "FAULT" not in run("doctor", tmp_path)  # the workflow comes with the package


@pytest.mark.slow
def test_a_new_study_validates_and_plans(tmp_path):
    for part in ("Snakefile", "workflow", "profiles", "config", "environment.yml"):
        target = tmp_path / part
        shutil.copytree(ROOT / part, target) if (ROOT / part).is_dir() else shutil.copy(ROOT / part, target)
    assert "config/mine.yaml" in run("init mine", tmp_path)
    assert "mine: ok" in run("validate mine", tmp_path)
    assert "mine: ok" in run("validate config/mine.yaml", tmp_path)
    planned = run("plan mine", tmp_path)
    assert "results/real/digits-" in planned and "train" in planned and "total" in planned
    assert "there already" in run("init mine", tmp_path, code=2)
    assert "'a b'" in run("init 'a b'", tmp_path, code=2)
    assert json.loads(run("schema", tmp_path))["title"]


@pytest.mark.slow
def test_a_plan_says_what_a_dry_run_has_said(tmp_path):
    assert "config/mine.yaml" in run("init mine", tmp_path)
    (tmp_path / "Snakefile").write_text('raise ValueError("another workflow")\n')  # somebody's own, which is not ours
    assert "not made yet" in run("plan mine --no-cost", tmp_path)
    profile = tmp_path / "profiles" / "default" / "profile.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("no-such-thing: 1\n")
    assert "no-such-thing" in run("plan mine --no-cost", tmp_path, code=2)


# -- bad input: 2 ------------------------------------------------------------------------------------------------------

TRAIN = f"train --training training.parquet {WHERE} --generation 0 --out other.safetensors"
SAMPLE = f"sample {WHERE} --generation 0 --out other.safetensors"
COMPOSE = f"compose {WHERE} --out other.parquet"
RECORD = "record --features features.safetensors --reference real/features.safetensors --out other.json"
SELECT = f"select --samples samples.safetensors {WHERE} --generation 0 --out other.parquet"
PREPARE = "prepare --part train=other/train.safetensors"
BAD = {
    "trian": ["trian"],
    "train --trainin x": ["--trainin"],
    f"{TRAIN} --family gausian": ["--family", "'gausian'", "gaussian"],
    f"{TRAIN} --family gaussian --options '{{bad'": ["--options", "JSON"],
    f"{TRAIN} --family gaussian --options []": ["--options"],
    f"{TRAIN} --family gaussian --options '{{\"ddof\": 2}}'": ["ddof", "2", "0 or 1"],
    f'{TRAIN} --family gaussian --options \'{{"ddof": 0, "dof": 1}}\'': ["dof: unknown; allowed: ddof"],
    f"{TRAIN} --family diffusion --options '{{\"betas\": [0.9, 1]}}'": ["--options: betas: found [0.9, 1.0], allowed"],
    f"{TRAIN} --family gaussian --options '{{\"ddof\": 0}}' --images-seen 0": ["--images-seen", "--init"],
    f"{TRAIN} --family multinomial --options '{{\"categories\": 3}}'": ["multinomial", "(50, 2)"],
    f"{TRAIN} --family gaussian --options '{{\"ddof\": 0}}' --init samples.safetensors": ["samples.safetensors"],
    f"{TRAIN.replace('training.parquet', 'kept.parquet')} --family gaussian --options '{{\"ddof\": 0}}'": [
        "kept.parquet"
    ],
    f"{SAMPLE} --count 9 --model nosuch.safetensors": ["no such file", "nosuch.safetensors"],
    f"{SAMPLE} --count 9 --model .": ["cannot write or read"],
    f"{SAMPLE} --count 9 --model samples.safetensors": ["samples.safetensors"],
    f"{SAMPLE} --count 0 --model model.safetensors": ["--count", "1"],
    f"{SAMPLE} --count many --model model.safetensors": ["--count", "integer"],
    f"{SAMPLE} --count 9 --model model.safetensors --sampling-bias 0": ["--sampling-bias"],
    f"{SAMPLE} --count 9 --model model.safetensors --sampling-bias nan": ["--sampling-bias"],
    f"{COMPOSE} --recipe '{{}}' --sources []": ["--recipe", "generation"],
    f"{COMPOSE} --recipe {recipe(EATS)} --sources '{{\"arm\": 1}}'": ["--sources", "array"],
    f'{COMPOSE} --recipe {recipe(EATS)} --sources \'[{{"arm": "self"}}]\'': ["generation"],
    f"{COMPOSE} --recipe {recipe(EATS)} --sources []": ["'self'", "generation 0"],
    f"{COMPOSE} --recipe {recipe(EATS, draws=[['self', 0, 300]])} --sources {shlex.quote(json.dumps(OWN))}": [
        "300",
        "200",
    ],
    f"{RECORD} --metrics []": ["--metrics"],
    f"{RECORD} --metrics '{{}}' --kept samples.safetensors": ["samples.safetensors: found no table"],
    "record --features samples.safetensors --reference real/features.safetensors --out other.json --metrics '{}'": [
        "samples.safetensors: found no features"
    ],
    "extract --samples samples.safetensors --extractor identity --out other.safetensors": ["--samples", "NAME=VALUE"],
    f"{RECORD} --metrics '{{\"recal\": {{}}}}'": ["--metrics", "'recal'", "recall"],
    f'{RECORD} --metrics \'{{"recall": {{"kk": 5}}}}\'': ["kk"],
    f'{RECORD} --metrics \'{{"recall": {{"k": 0}}}}\'': ["k", "0"],
    f'{RECORD.replace("--features features", "--features model")} --metrics \'{{"recall": {{"k": 5}}}}\'': [
        "model.safetensors"
    ],
    f"{SELECT} --selectors '[\"jury\"]'": ["--selectors", "'jury'", "nobody"],
    f'{SELECT} --selectors \'[{{"random": {{"share": 2}}}}]\'': ["share", "2"],
    f"{SELECT} --selectors '{{}}'": ["--selectors", "'{}'", "array"],
    f"{SELECT.replace('--samples samples', '--samples model')}": ["model.safetensors"],
    "extract --samples =x --extractor identity --out other.safetensors": ["--samples", "NAME=VALUE"],
    "extract --samples a=samples.safetensors --extractor incption --out other.safetensors": ["'incption'", "lenet"],
    "extract --samples a=samples.safetensors --extractor lenet --out other.safetensors": ["lenet", "weights"],
    f"{PREPARE} --source digit --sizes '{{\"held_out\": 9}}'": ["--source", "'digit'", "digits"],
    f'{PREPARE} --source digits --sizes \'{{"trane": 9, "held_out": 9}}\'': ["trane"],
    f'{PREPARE} --source digits --sizes \'{{"train": "many", "held_out": 9}}\'': ["many"],
    f'{PREPARE} --source digits --sizes \'{{"train": 1797, "held_out": 9}}\'': ["1797"],
    f'{PREPARE} --source folder --sizes \'{{"train": 9}}\' --options \'{{"path": "nosuch"}}\'': ["nosuch"],
    "validate nosuch": ["no such study"],
    "report nosuch": ["no such study"],
    "report smoke": ["nothing of it is measured yet", "run it: collapselab run smoke"],
    "report smoke --so-far": ["nothing of it is measured yet", "run it: collapselab run smoke"],
    "table smoke numbers": ["nothing of it is measured yet", "run it: collapselab run smoke"],
    "track smoke": ["nothing of it is measured yet", "run it: collapselab run smoke"],
}


@pytest.mark.parametrize("arguments", BAD)
def test_bad_input_is_named(made, arguments):
    before = sorted(made.rglob("*"))
    text = run(arguments, made, code=2)
    for word in BAD[arguments]:
        assert word in text, text
    assert sorted(made.rglob("*")) == before


# -- damage: 3; no room: 4; divergence: 7 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file", ["model.safetensors", "samples.safetensors", "training.parquet", "features.safetensors"]
)
def test_a_damaged_file_is_named_and_put_aside(folder, file):
    verbs = {
        "model.safetensors": f"{SAMPLE} --count 9 --model model.safetensors",
        "samples.safetensors": SELECT,
        "training.parquet": f"{TRAIN} --family gaussian --options '{{\"ddof\": 0}}'",
        "features.safetensors": f'{RECORD} --metrics \'{{"recall": {{"k": 5}}}}\'',
    }
    content = bytearray((folder / file).read_bytes())
    content[-1] ^= 1
    (folder / file).write_bytes(content)
    text = run(verbs[file], folder, code=3)
    assert f"{file}: damaged" in text and ".damaged" in text
    assert not (folder / file).exists() and (folder / f"{file}.damaged").read_bytes() == bytes(content)


@pytest.mark.parametrize(
    ("arguments", "room"),
    [
        (f"{SAMPLE} --count 5000 --model model.safetensors", 8192),  # by the library of the format
        (SELECT, 512),  # by pyarrow
        (f'{RECORD} --metrics \'{{"recall": {{"k": 5}}}}\'', 64),  # by Python
    ],
    ids=["safetensors", "parquet", "json"],
)
def test_no_room_is_said_and_leaves_nothing(folder, arguments, room):
    before = sorted(folder.rglob("*"))
    text = run(arguments, folder, code=4, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)))
    assert "other" in text and "None" not in text
    assert sorted(folder.rglob("*")) == before


def test_a_tensor_for_which_there_is_no_memory_is_said(capsys):
    assert frame.guarded(lambda: torch.empty(2**55, dtype=torch.uint8)) == 4
    assert "out of memory: " in capsys.readouterr().err


def test_what_looks_at_the_first_samples_is_not_measured_of_those_that_were_kept(folder):
    verbs = [
        f"select --samples samples.safetensors {WHERE} --generation 0 --out half.parquet "
        '--selectors \'[{"random": {"share": 0.5}}]\'',
        "extract --samples sampled=samples.safetensors --real held_out=real/held_out.safetensors "
        "--out seen.safetensors "
        '--extractor identity --extractor likelihood=model.safetensors --options \'{"likelihood": {"rows": 40}}\'',
        "record --features seen.safetensors --reference real/features.safetensors --kept half.parquet --out half.json "
        '--count 100 --metrics \'{"variance_ratio": {}, "coverage_calibration": {}}\'',
    ]
    run(" + ".join(verbs), folder)
    content = store.read_json(folder / "half.json")
    rows = {(v["set"], v["extractor"], content["fingerprints"][v["fingerprint"]]["n_fake"]) for v in content["values"]}
    assert rows == {("kept", "identity", 100), ("sampled", "identity", 100), ("sampled", "likelihood", 40)}


def test_the_same_images_are_the_same_reference_wherever_they_lay(folder):
    images, sizes = Digits().load(), shlex.quote(json.dumps({"train": 30, "held_out": 30}))
    for place in ("here", "there"):
        export_folder(SampleSet(images.data[:60]), folder / place)
        options = shlex.quote(json.dumps({"path": place, "channels": 1}))
        run(
            f"prepare --source folder --options {options} --sizes {sizes} "
            f"--part train={place}_p/train.safetensors --part held_out={place}_p/held_out.safetensors + "
            f"extract --samples held_out={place}_p/held_out.safetensors --samples train={place}_p/train.safetensors "
            f"--extractor pixels --out {place}_p/seen.safetensors + baseline --reference {place}_p/seen.safetensors "
            f"--metrics '{{\"recall\": {{}}}}' --count 30 --out {place}_p/baseline.json",
            folder,
        )
    assert "equal" in run("compare here_p/baseline.json there_p/baseline.json", folder)
    pair = "here_p/held_out.safetensors --against here_p/train.safetensors --extractor pixels --metric recall"
    run(f"measure {pair} --out swapped.json", folder)
    reference = {made["reference_hash"] for made in store.read_json(folder / "swapped.json")["fingerprints"].values()}
    assert digest(SampleSet(store.read_samples(folder / "there_p/train.safetensors").data)) in reference


def test_a_diverged_training_says_so_and_marks_what_comes_after(folder):
    heavy = recipe(EATS, weights={"real": 1.0, "synthetic": 1e308})
    compose = f"compose --recipe {heavy} {WHERE} --sources {shlex.quote(json.dumps(OWN))} --out eaten.parquet"
    train = f"train --training eaten.parquet --family gaussian --options '{{\"ddof\": 0}}' {WHERE} --generation 1"
    text = run(f"{compose} + {train} --out next.safetensors", folder, code=7)
    assert "next.safetensors: the training of generation 1 diverged" in text
    run(f"{train} --mark-diverged --out next.safetensors", folder)
    after = [
        f"sample --model next.safetensors --count 9 {WHERE} --generation 1 --out born.safetensors",
        f"select --samples born.safetensors {WHERE} --generation 1 --out chosen.parquet",
        "extract --samples sampled=born.safetensors --extractor identity --out seen.safetensors",
        "record --features seen.safetensors --reference real/features.safetensors --out end.json --metrics "
        '\'{"recall": {"k": 5}}\' --training eaten.parquet --kept chosen.parquet',
    ]
    run(" + ".join(after), folder)
    record = store.read_json(folder / "end.json")
    assert record["status"] == "diverged" and record["diverged"]["generation"] == 1 and record["values"] == []
    # The next generation is made of nothing, and says where it began; drawn anew from the model, too.
    born = [{"arm": "self", "generation": 1, "samples": "born.safetensors", "kept": "chosen.parquet"}]
    eats = EATS | {"generation": 2, "draws": [["self", 1, 50]]}
    run(
        f"compose --recipe {recipe(eats)} {WHERE} --sources {shlex.quote(json.dumps(born))} --out stored.parquet",
        folder,
    )
    about = shlex.quote(json.dumps({"self:1": {"stream": 0, "sampling_bias": 1.0}}))
    again = recipe(eats, resamples=True)
    run(
        f"draw --recipe {again} {WHERE} --model self:1=next.safetensors --about {about} --out redrawn.safetensors + "
        f"compose --recipe {again} {WHERE} --sources [] --drawn redrawn.safetensors --out redrawn.parquet",
        folder,
    )
    for file in ("stored.parquet", "redrawn.parquet"):
        table = store.read_training(folder / file)
        assert len(table) == 0 and table.lineage["diverged"]["generation"] == 1


# -- signals -----------------------------------------------------------------------------------------------------------

DIGITS = RECIPE | {"draws": [["fixed", 0, 96]]}
REAL = [{"arm": "fixed", "generation": 0, "samples": "real/train.safetensors"}]
NETWORK = {"network": "mlp", "channels": 32, "blocks": 1, "batch": 32, "warmup_images": 0}
BEGIN = (
    'prepare --source digits --sizes \'{"train": 96, "held_out": 10}\' '
    "--part train=real/train.safetensors --part held_out=real/held_out.safetensors + "
    f"compose --recipe {recipe(DIGITS)} {WHERE} --sources {shlex.quote(json.dumps(REAL))} --out training.parquet"
)


def diffusion(out, **options):
    settings = shlex.quote(json.dumps(NETWORK | options))
    return (
        f"train --training training.parquet --family diffusion --options {settings} {WHERE} --generation 0 --out {out}"
    )


@pytest.mark.trained
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGUSR1, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_the_training_which_goes_on_to_the_same_bits(tmp_path, number, code, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_CHECKPOINT_SECONDS", "0.05")
    options = {"images_seen": 32 * 600}
    run(f"{BEGIN} + {diffusion('whole/model.safetensors', **options)}", tmp_path)
    process = start(diffusion("model.safetensors", **options), tmp_path)
    state = tmp_path / ".model.training"
    deadline = time.monotonic() + 60
    while not list(state.glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == code, text
    assert "interrupted after" in text and "goes on from there" in text and "Traceback" not in text
    assert not (tmp_path / "model.safetensors").exists() and list(state.iterdir())
    run(diffusion("model.safetensors", **options), tmp_path)
    assert store.verify(tmp_path / "model.safetensors") == store.verify(tmp_path / "whole/model.safetensors")
    assert not state.exists()


def test_a_training_with_an_infinite_loss_diverges(tmp_path):
    text = run(f"{BEGIN} + {diffusion('model.safetensors', images_seen=32 * 50, learning_rate=1e30)}", tmp_path, code=7)
    assert "diverged after" in text and not (tmp_path / ".model.training").exists()


# -- several processes, published weights, what is left open -----------------------------------------------------------


def tensors(path):
    return {name: np.array(array) for name, array in store.read_tensors(path)[0].items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a training set and a model of it."""
    folder = tmp_path_factory.mktemp("trained")
    run(f"{BEGIN} + {diffusion('model.safetensors', images_seen=64)}", folder)
    return folder


def copied(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "copy"))


SAMPLING = f"sample --model model.safetensors --count 90 {WHERE} --generation 0"


@pytest.mark.slow
def test_several_processes_sample_the_same_file(trained, tmp_path, monkeypatch):
    folder = copied(trained, tmp_path)
    run(f"{SAMPLING} --out one.safetensors", folder)
    for count in ("2", "3"):
        monkeypatch.setenv("COLLAPSELAB_PROCESSES", count)
        run(f"--cost cost.json {SAMPLING} --out many.safetensors", folder)
        assert store.verify(folder / "many.safetensors") == store.verify(folder / "one.safetensors")
    cost = store.read_json(folder / "cost.json")
    assert cost["joules"] > 0 and cost["energy_source"] in ("rapl", "estimate")
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]  # what they handed over is gone


ADAPTER = """
from collapselab.adapt import Adapter
from collapselab.core.choice import NoOptions
from collapselab.models.capabilities import Trainable, Weighted
from collapselab.models.tuning import tuned


def shifted(model, given, options, run):
    by = given.own(40, 0).data.mean() / 1000
    return model.with_weights({name: array + array.dtype.type(by) for name, array in model.weights().items()})


SHIFT = Adapter(NoOptions, shifted, lambda options: 0, (Weighted,))
MORE = Adapter(NoOptions, lambda model, given, options, run: tuned(model, given.training, run), lambda options: 64)
"""


@pytest.mark.slow
@pytest.mark.trained
def test_several_processes_adapt_a_model_and_train_further_ones(trained, tmp_path, monkeypatch):
    folder = copied(trained, tmp_path)
    alone = {"stdin": subprocess.DEVNULL}  # in a process that looks for packages anew
    (folder / "theirs.py").write_text(ADAPTER)
    (folder / "theirs-1.0.dist-info").mkdir()
    (folder / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    offered = "[collapselab.adapters]\nshift = theirs:SHIFT\nmore = theirs:MORE\n"
    (folder / "theirs-1.0.dist-info" / "entry_points.txt").write_text(offered)
    told = f"--model model.safetensors --training training.parquet {WHERE} --generation 0"
    run(f"adapt {told} --adapter shift --out one.safetensors", folder, **alone)
    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "2")
    run(f"--cost cost.json adapt {told} --adapter shift --out two.safetensors", folder, **alone)
    assert store.verify(folder / "two.safetensors") == store.verify(folder / "one.safetensors")
    for name in ("more", "again"):
        run(f"adapt {told} --adapter more --out {name}.safetensors", folder, **alone)
    assert store.verify(folder / "again.safetensors") == store.verify(folder / "more.safetensors")
    own = shlex.quote(json.dumps({"on": "own", "images_seen": 64, "samples": 40}))
    run(f"auxiliary {told} --asked {own} --role bad --out bad.safetensors", folder, **alone)
    for name in ("more", "bad"):
        assert store.read_tensors(folder / f"{name}.safetensors")[1]["lineage"]["how"]["processes"] == 2


@pytest.mark.slow
@pytest.mark.trained
def test_several_processes_train_one_model_and_go_on_after_a_signal(trained, tmp_path, monkeypatch):
    folder = copied(trained, tmp_path)
    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "2")
    monkeypatch.setenv("COLLAPSELAB_CHECKPOINT_SECONDS", "0.1")
    options = {"images_seen": 32 * 300}
    run(diffusion("whole.safetensors", **options), folder)
    assert store.read_tensors(folder / "whole.safetensors")[1]["lineage"]["how"]["processes"] == 2
    process = start(diffusion("model.safetensors", **options), folder)
    deadline = time.monotonic() + 60
    while not list((folder / ".model.training").glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 143 and "goes on from there" in text and "Traceback" not in text, text

    # Fewer processes would end at other bits: that is refused, and marked where it is allowed.
    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "1")
    text = run(diffusion("model.safetensors", **options), folder, code=2)
    assert "processes" in text and "--allow-nonidentical" in text
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    run(diffusion("model.safetensors --allow-nonidentical", **options), other)
    assert "processes" in str(store.read_tensors(other / "model.safetensors")[1]["lineage"]["how"]["nonidentical"])

    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "2")
    run(diffusion("model.safetensors", **options), folder)
    one, other = tensors(folder / "model.safetensors"), tensors(folder / "whole.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_killed_process_ends_the_others_with_one_message(trained, tmp_path, monkeypatch):
    folder = copied(trained, tmp_path)
    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "2")
    monkeypatch.setenv("COLLAPSELAB_CHECKPOINT_SECONDS", "0.1")
    process = start(diffusion("killed.safetensors", images_seen=32 * 30_000), folder)
    deadline = time.monotonic() + 60
    while not list((folder / ".killed.training").glob("*.sha256")) and time.monotonic() < deadline:
        time.sleep(0.01)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(children.split()[-1]), signal.SIGKILL)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 137 and "one of 2 processes was ended by SIGKILL" in text, text
    assert "another of these processes is gone" in text and "Traceback" not in text, text
    assert not (folder / "killed.safetensors").exists()


def test_processes_are_counted_in_whole_numbers(trained, monkeypatch):
    monkeypatch.setenv("COLLAPSELAB_PROCESSES", "two")
    assert "COLLAPSELAB_PROCESSES: found 'two'" in run(f"{SAMPLING} --out no.safetensors", trained, code=2)


def test_a_budget_of_nothing_takes_a_model_as_it_is(trained, tmp_path):
    folder = copied(trained, tmp_path)
    run(diffusion("same.safetensors --init model.safetensors --images-seen 0", steps=5), folder)
    one, other = tensors(folder / "model.safetensors"), tensors(folder / "same.safetensors")
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert store.read_tensors(folder / "same.safetensors")[1]["options"]["steps"] == 5  # sampled by its own options


@pytest.mark.trained
@pytest.mark.slow
def test_what_generation_0_chooses_holds_for_later_ones(trained, tmp_path):
    folder = copied(trained, tmp_path)
    options = {"images_seen": 320, "ema": "power"}
    text = run(diffusion("open.safetensors", **options), folder, code=2)
    assert "ema_std" in text and "validation" in text
    larger = SampleSet(np.zeros((8, 1, 16, 16), np.uint8), np.zeros(8, np.int64))
    store.write_samples(folder / "larger.safetensors", larger)
    text = run(diffusion("open.safetensors --validation larger.safetensors", **options), folder, code=2)
    assert "validation data" in text and "(1, 16, 16)" in text
    text = run(diffusion("first.safetensors --validation real/held_out.safetensors", **options), folder)
    assert "Warning" not in text
    chosen = float(tensors(folder / "first.safetensors")["chosen.ema_std"])
    run(diffusion("later.safetensors --chosen-by first.safetensors", **options), folder)
    assert store.read_tensors(folder / "later.safetensors")[1]["options"]["ema_std"] == chosen
    # The same training: its average of that width is the one that generation 0 put together from its snapshots.
    one, other = tensors(folder / "first.safetensors"), tensors(folder / "later.safetensors")
    for name in (name for name in one if name.startswith("network.")):
        assert np.linalg.norm(one[name] - other[name]) < 0.01 * max(np.linalg.norm(other[name]), 0.1), name


def test_an_import_says_what_a_study_s_model_is(published_network, tmp_path):
    text = run(f"weights import {published_network} --out model.safetensors", tmp_path)
    said = yaml.safe_load(text.partition("as a model of a study: ")[2])
    metadata = store.read_tensors(tmp_path / "model.safetensors")[1]
    assert list(said) == [metadata["family"]] == ["stylegan2"] and "residual" not in said["stylegan2"]
    assert MODELS["stylegan2"].Options(**said["stylegan2"]).model_dump(mode="json") == metadata["options"]


@pytest.mark.trained
@pytest.mark.slow
def test_snapshots_are_kept_for_inspection_and_the_last_weights_count(trained, tmp_path):
    folder = copied(trained, tmp_path)
    run(diffusion("whole.safetensors", images_seen=320), folder)
    run(diffusion("kept.safetensors", images_seen=320, snapshots=2), folder)
    found = sorted((folder / "kept.snapshots").glob("*.safetensors"))
    assert [int(path.stem) for path in found] == [96, 224]  # after a third and two thirds of ten steps
    kept, whole = tensors(folder / "kept.safetensors"), tensors(folder / "whole.safetensors")
    assert all(np.array_equal(kept[name], whole[name]) for name in whole)
    run(diffusion("short.safetensors", images_seen=96), folder)
    early, short = tensors(found[0]), tensors(folder / "short.safetensors")
    assert all(np.array_equal(early[name], short[name]) for name in short if name.startswith("network."))


def test_families_are_listed_by_what_is_known_of_their_density(tmp_path):
    lines = [line for line in run("families", tmp_path).splitlines() if line]
    header, *rows = lines
    found = [row.split()[0] for row in rows]
    assert sorted(found) == sorted(MODELS)
    begin, end = header.index("density"), header.index("models")
    groups = [row[begin:end].strip() for row in rows]
    order = list(dict.fromkeys(groups))
    assert order == ["explicit, computed", "explicit, approximate", "implicit"]
    assert groups == sorted(groups, key=order.index)
    assert "guidance weight" in next(row for row in rows if row.startswith("diffusion"))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_verb_that_is_ended_says_by_which_signal(monkeypatch, sent, code):
    monkeypatch.setattr(frame, "_signals", [sent])
    assert frame.guarded(lambda: 130) == code


def test_seeds_that_ran_together_are_compared(tmp_path):
    arm = {
        "name": "eater",
        "family": "gaussian",
        "options": {"ddof": 0},
        "population": "gaussian",
        "population_options": {},
        "recipes": [PLAIN | {"generation": 0, "draws": [["fixed", 0, 20]], "weights": RECIPE["weights"]}],
        "sampling_bias": [1.0],
        "stream": 0,
        "samples": 20,
        "study_seed": 1,
        "seeds": 3,
        "metrics": {"variance_ratio": {}},
    }
    for name, seeds in (("one", 3), ("other", 2)):
        words = shlex.quote(json.dumps(arm | {"seeds": seeds}))
        run(f"replicate --arm {words} --out results/{name}/eater/replicates.parquet", tmp_path)
    said = run("compare results/one results/other", tmp_path)
    assert "2 of 2" in said and "variance_ratio" in said
