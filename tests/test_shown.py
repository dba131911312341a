"""The commands on the pages are run, block by block, in a copy in which the quickstart is small.

A block that says ``<!-- not run: ... -->`` is left out. So are single lines that need a network, a cluster or published
weights (``LEFT_OUT`` has the reasons), and studies that take long are planned instead of run.
"""

import re
import shutil
import subprocess
import zipfile

import numpy as np
import pages
import pytest
import yaml
from PIL import Image
from project import Project

pytestmark = pytest.mark.slow

SHOWN = {
    page: found
    for path in pages.PAGES
    if path.name != "CONTRIBUTING.md"
    if (found := [one for one in pages.blocks(path) if one.language in ("bash", "sh") and not one.mark])
    for page in [found[0].page]
}
LEFT_OUT = {  # what a line has in it -> why it is not run
    r"^source ": "the environment is there",
    r"^make ": "it runs the whole of it: .ci/run does",
    r"^pip ": "it needs a network",
    r"profiles/(slurm|gpu)": "it needs a cluster, or GPUs",
    r"weights fetch": "it needs a network",
    r"measure (samples/ --against (real.zip +#|held_out)|a.npz)": "it needs published weights",
}
SMALL = {
    "seeds": 1,
    "models": {"tiny": {"diffusion": {"preset": "tiny", "images_seen": 320, "steps": 4}}},
    "initial": {"real": 80},
    "samples": 160,
    "extractors": ["pixels"],
    "metrics": ["recall", "frechet_distance"],
    "primary": {"metric": "recall", "extractor": "pixels"},
    "control": "none",
    "arms": {"fresh_data": {"model": "tiny", "regime": {"fresh_data": {"fresh": 10}}}},
}


def shrunken(folder, name):
    """Make a study of digits small."""
    path = folder / "config" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | SMALL))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A copy of the project in which the quickstart, made small, has run."""
    project = Project.create(tmp_path_factory.mktemp("shown") / "lab")
    shrunken(project.folder, "quickstart")
    project.snakemake(study="quickstart", timeout=1500)
    return project


def pictures(folder, count, seed):
    folder.mkdir(parents=True)
    drawn = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    for index, one in enumerate(drawn):
        Image.fromarray(one).save(folder / f"{index}.png")
    return folder


def sets_of_pictures(folder):
    for seed, name in enumerate(("samples", "held_out", "training")):
        pictures(folder / name, 60, seed)
    with zipfile.ZipFile(folder / "real.zip", "w") as archive:
        for path in pictures(folder / "real", 60, 3).iterdir():
            archive.write(path, path.name)
    alike = ("--against", "real.zip", "--extractor", "pixels", "--metric", 'recall={"k": 3}')
    Project(folder).run("collapselab", "measure", "held_out", *alike, "--out", "b.json")
    shutil.copytree(folder / "results" / "quickstart", folder.parent / "theirs" / "results" / "quickstart")


def a_loop_of_mine(folder):
    study = yaml.safe_load((folder / "config" / "quickstart.yaml").read_text())
    arm = {"model": "tiny", "regime": "fully_synthetic", "select": {"random": {"share": 0.5}}}
    mine = study | {"name": "mine", "generations": 3, "arms": {"loop": arm}, "yoked": False}
    (folder / "config" / "mine.yaml").write_text(yaml.safe_dump(mine))
    project = Project(folder)
    project.snakemake(study="mine", timeout=1500)
    shown = "results/mine/loop/seed0/gen3/samples.safetensors"
    project.run("collapselab", "export", shown, "--out", "pictures")
    shutil.copy2(min((folder / "pictures").rglob("*.png")), folder / "picture.png")


def photos(folder):
    pictures(folder / "photos" / "bird", 8, 0)


NEEDED = {  # page -> what stands there before its commands are given
    "docs/measuring.md": sets_of_pictures,
    "docs/provenance.md": a_loop_of_mine,
    "docs/watching.md": a_loop_of_mine,
    "docs/own-images.md": lambda folder: pictures(folder / "data" / "faces", 12, 0),
    "docs/pretrained.md": photos,
}


def as_run(text):
    """The lines of a block that are run here: init makes a small study, and long studies are planned."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if any(re.search(what, line) for what in LEFT_OUT):
            continue
        line = line.replace("study=NAME", "study=quickstart")
        line = line.replace("1 2 3 4 5 6 7 8", "1 2").replace("$part/8", "$part/2")  # it has few parts
        line = re.sub(r"\bcollapselab run (?!mine\b|quickstart\b)(\S+).*", r"collapselab plan \1", line)
        long = re.search(r"snakemake .*study=(?!mine\b|quickstart\b)", line)
        line = re.sub(r"\bsnakemake ", f"snakemake --cores 2 {'--dry-run --quiet all ' if long else ''}", line)
        yield line
        if re.match("collapselab new mine|sed -i .*config/mine.yaml", line):
            yield "python -c 'import sys, pathlib, test_shown as t; t.shrunken(pathlib.Path(), \"mine\")'"


@pytest.mark.parametrize("page", SHOWN)
def test_every_block_of_a_page_does_what_it_says(lab, page, tmp_path):
    project = lab.copy(tmp_path / "lab")
    NEEDED.get(page, lambda folder: None)(project.folder)
    environment = project.environment
    environment["PYTHONPATH"] += f":{pages.ROOT / 'tests'}"
    named: list[str] = []  # what earlier blocks of the page have called something
    for block in SHOWN[page]:
        script = "\n".join(["set -euo pipefail", *named, *as_run(block.text)])
        named += re.findall(r"^\w+=\S+$", block.text, re.MULTILINE)
        done = subprocess.run(
            ["bash", "-c", script], cwd=project.folder, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{block}\n{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def test_studies_that_take_long_are_planned_and_not_run():
    lines = [line for found in SHOWN.values() for block in found for line in as_run(block.text)]
    runs = [line for line in lines if re.search(r"\bcollapselab run |\bsnakemake (?!.*--dry-run).*study=", line)]
    assert len(runs) > 3 and not [line for line in runs if not re.search(r"\b(run |study=)(mine|quickstart)\b", line)]


def test_what_is_left_out_is_there_to_be_left_out():
    lines = [line for found in SHOWN.values() for block in found for line in block.text.splitlines()]
    for what in LEFT_OUT:
        assert any(re.search(what, line) for line in lines), what
