"""The package as others get it: a wheel, built from this tree, installed in an environment of its own, outside a clone.

That environment has the packages that the wheel's metadata ask for, and what those ask for, and nothing else of what is
installed here: they are linked into it and not downloaded. So a requirement that is forgotten is found here.
"""

import os
import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_string
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image
from project import ENVIRONMENT, FOREIGN, ROOT

SHIPPED = ("workflow", "profiles", "config")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree, as pip builds it; what builds it is not installed here, and may be out of reach."""
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--retries", "0", "-w", str(out), str(ROOT)],
        capture_output=True,
        text=True,
    )
    if done.returncode and re.search("No matching distribution|Could not find a version", done.stderr):
        pytest.skip("needs hatchling, which pip finds nowhere")
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


def files_in(folder):
    """The files of the tree; what Python and tests leave there is none of them."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


# -- what it holds ----------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package_the_workflow_the_profiles_and_the_studies(wheel):
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = files_in(ROOT / "src")
    beside = {f"collapselab/shipped/{part}/{name}" for part in SHIPPED for name in files_in(ROOT / part)}
    assert held == package | beside
    named = ("py.typed", "study.yaml", "report/page.html.jinja", "judge/static/judge.css", "judge/static/judge.js")
    named += ("shipped/workflow/Snakefile", "shipped/profiles/slurm/profile.yaml", "shipped/config/study.schema.json")
    assert {f"collapselab/{name}" for name in named} <= held


def test_the_wheel_says_what_it_is_and_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        said = message_from_string(archive.read(name).decode())
        assert any(one.endswith("licenses/LICENSE") for one in archive.namelist())
    assert said["License-Expression"] == "Apache-2.0" and said["Author"] and said["Keywords"]
    assert "Topic :: Scientific/Engineering :: Artificial Intelligence" in said.get_all("Classifier")
    assert {"metrics", "judge", "provenance", "pretrained"} <= set(said.get_all("Provides-Extra"))
    assert all({spec.operator for spec in one.specifier} == {">=", "<"} for one in needs(said))


def needs(said):
    return list(map(Requirement, said.get_all("Requires-Dist")))


# -- where it is installed --------------------------------------------------------------------------------------------


class Installed:
    """An environment that has the wheel, and of other packages those that an installation of it would bring."""

    def __init__(self, folder, wheel, extra=None):
        self.folder = folder
        venv.create(folder / "venv", with_pip=False)
        self.bin = folder / "venv" / "bin"
        (self.site,) = (folder / "venv" / "lib").glob("python*/site-packages")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site)  # which is what pip does with a wheel of Python alone
        (said,) = self.site.glob("*.dist-info")
        asked = needs(message_from_string((said / "METADATA").read_text()))
        wanted = [one for one in asked if (one.marker is None if extra is None else said_of(one, extra))]
        for name, one in closure(wanted).items():
            self._link(name, one)
        self._script("collapselab", "collapselab.cli", "main")

    def _link(self, name, one):
        for top in {file.parts[0] for file in one.files if file.parts[0] not in ("..", "__pycache__")}:
            target, source = self.site / top, Path(one.locate_file(top))
            self._place(target, source)
        for point in one.entry_points.select(group="console_scripts"):
            if name in ("snakemake", "mlflow", "dvc"):
                self._script(point.name, point.module, point.attr)

    def _place(self, target, source):
        if not target.exists():
            target.symlink_to(source)
        elif target.is_symlink() and target.resolve() != source.resolve():
            raise AssertionError(f"{target.name} is of two packages")

    def _script(self, name, module, function):
        path = self.bin / name
        path.write_text(
            f"#!{self.bin / 'python'}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        )
        path.chmod(0o755)

    def run(self, *command, where, code=0):
        """What a command of the environment says, in a folder; nothing of the tree is on its path."""
        inherited = {name: value for name, value in os.environ.items() if name not in (*FOREIGN, "PYTHONPATH")}
        path = os.pathsep.join([str(self.bin), "/usr/bin", "/bin"])
        done = subprocess.run(
            [str(self.bin / command[0]), *map(str, command[1:])],
            cwd=where,
            env=inherited | ENVIRONMENT | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=1_800,
        )
        said = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == code, f"{command} ended with {done.returncode}\n{said}"
        return said


def said_of(one, extra):
    return one.marker is not None and one.marker.evaluate({"extra": extra})


def closure(wanted):
    """name -> distribution, of all that some requirements bring, as they are installed here."""
    found: dict[str, Distribution] = {}
    todo = [(one.name, one.extras) for one in wanted]
    seen = set()
    while todo:
        name, extras = todo.pop()
        name = re.sub(r"[-_.]+", "-", name).lower()
        if (name, *sorted(extras)) in seen:
            continue
        seen.add((name, *sorted(extras)))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue  # of another platform, or older than what took its place
        for line in found[name].requires or []:
            one = Requirement(line)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                todo.append((one.name, one.extras))
    return found


@pytest.fixture(scope="module")
def whole(wheel, tmp_path_factory):
    """``pip install collapselab``."""
    return Installed(tmp_path_factory.mktemp("whole"), wheel)


@pytest.fixture(scope="module")
def light(wheel, tmp_path_factory):
    """The package by itself, and what its extra ``metrics`` names."""
    return Installed(tmp_path_factory.mktemp("light"), wheel, "metrics")


@pytest.mark.slow
def test_a_study_begins_and_runs_in_an_empty_folder(whole, tmp_path):
    assert "config/my-study.yaml" in whole.run("collapselab", "new", "my-study", "--like", "smoke", where=tmp_path)
    assert "my-study: ok" in whole.run("collapselab", "validate", "my-study", where=tmp_path)
    planned = whole.run("collapselab", "plan", "my-study", "--no-cost", where=tmp_path)
    assert "--snakefile" in planned and re.search(r"^train +14  not made yet$", planned, re.MULTILINE)
    said = whole.run("collapselab", "run", "my-study", where=tmp_path)
    assert str(tmp_path / "results/my-study/report/report.html") in said.strip().splitlines()[-1]
    page = (tmp_path / "results/my-study/report/report.html").read_text(encoding="utf-8")
    assert "Does the workflow run from one end to the other?" in page
    assert (tmp_path / "results/my-study/report/verdicts.json").exists()
    assert "nothing to be done" in whole.run("collapselab", "plan", "my-study", "--no-cost", where=tmp_path)
    # A study that comes with the package needs no file here.
    assert "quickstart: ok" in whole.run("collapselab", "validate", "quickstart", where=tmp_path)
    assert "shipped/workflow" in whole.run("collapselab", "doctor", where=tmp_path)


@pytest.mark.slow
def test_a_finished_study_is_finished_for_the_wheel_too(whole, tmp_path):
    """Jobs hang on the source by its definitions: where they are installed does not count."""
    ask = (
        "from collapselab import study; from collapselab.study import jobs; from collapselab.study.jobs import Place;"
        "one = study.find('quickstart');"
        "print([jobs.identity(one, verb, Place('fully_synthetic', 0, 1)) for verb in ('train', 'sample', 'record')])"
    )
    theirs = whole.run("python", "-c", ask, where=tmp_path)
    done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert theirs.split() == done.stdout.split()


@pytest.mark.slow
def test_measuring_needs_what_the_extra_metrics_names_and_no_more(light, tmp_path):
    random = np.random.default_rng(0)
    for folder in ("made", "real"):
        (tmp_path / folder).mkdir()
        for row in range(40):
            Image.fromarray(random.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / folder / f"{row}.png")
    spaces = [word for name in ("pixels", "random-conv", "spectrum") for word in ("--extractor", name)]
    measured = ("collapselab", "measure", "made", "--against", "real", *spaces, "--out", "m.json", "--scores", "s.csv")
    assert "frechet_distance" in light.run(*measured, where=tmp_path)
    assert "recall" in light.run("collapselab", "compare", "m.json", "m.json", where=tmp_path)
    assert "40 PNG; grey" in light.run("collapselab", "look", "made", where=tmp_path)
    assert "smoke: ok" in light.run("collapselab", "validate", "smoke", where=tmp_path)
    there = light.run("python", "-m", "collapselab.core.extras", "metrics", where=tmp_path)
    assert re.search("^torch<3,>=", there, re.MULTILINE) and "mlflow" not in there
    # What needs more says what, and how to get it.
    said = light.run("collapselab", "plan", "smoke", "--no-cost", where=tmp_path, code=2)
    assert "snakemake is not on the PATH" in said and "pip install collapselab" in said
    said = light.run("collapselab", "report", "smoke", where=tmp_path, code=4)
    assert "found no altair, which this needs; run: pip install collapselab" in said
