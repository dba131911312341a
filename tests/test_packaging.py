"""What the repository says of itself in several places is the same in each."""

import ast
import hashlib
import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from project import missing_parts

import collapselab
from collapselab import study as studies
from collapselab.compose.regimes import REGIMES
from collapselab.data import DATASETS
from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STUDIES = [*sorted((ROOT / "config").glob("*.yaml")), *sorted((ROOT / "tests" / "papers").glob("*.yaml"))]
TEMPLATE = ROOT / "src" / "collapselab" / "study.yaml"


def pins(lines):
    """name -> version of ``name==version`` lines, by the names that package indexes treat as equal."""
    found = {}
    for line in lines:
        name, equal, version = line.partition("==")
        assert equal and re.fullmatch(r"[0-9][\w.+!]*", version), f"not pinned: {line!r}"
        name = re.sub(r"[-_.]+", "-", name).lower()
        assert name not in found, f"said twice: {line!r}"
        found[name] = version
    return found


def declared():
    extras = PROJECT["project"]["optional-dependencies"].values()
    return pins([*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)])


def constrained():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return pins(line for line in lines if line and not line.startswith("#"))


def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


# -- versions ---------------------------------------------------------------------------------------------------------


def test_the_three_lists_of_versions_agree():
    pip = next(entry["pip"] for entry in environment()["dependencies"] if isinstance(entry, dict))
    assert pip[-1] == "-e ."
    assert pins(pip[:-1]) == declared()
    constraints = constrained()
    assert {name: constraints.get(name) for name in declared()} == declared()


def test_torch_is_installed_before_what_needs_it():
    pip = next(entry["pip"] for entry in environment()["dependencies"] if isinstance(entry, dict))
    assert pip[0].startswith("torch==")


def test_this_environment_has_the_pinned_versions():
    wrong = {}
    for name, pinned in declared().items():
        try:
            found = version(name).partition("+")[0]  # torch says +cpu or +cu130
        except PackageNotFoundError:
            continue  # an extra that is not installed
        if found != pinned:
            wrong[name] = (found, pinned)
    assert not wrong, "installed, pinned"


def test_every_import_is_a_declared_dependency():
    """What the source imports, by the names under which it is distributed."""
    names = {
        "PIL": "pillow",
        "array_api_compat": "array-api-compat",
        "pynvml": "nvidia-ml-py",
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
        "vl_convert": "vl-convert-python",
    }
    nodes = [node for path in (ROOT / "src").rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))]
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    imported = {module.partition(".")[0] for module in modules}
    outside = {names.get(name, name) for name in imported} - set(sys.stdlib_module_names) - {"collapselab"}
    assert outside <= set(declared()), outside - set(declared())


def test_the_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert collapselab.__version__ == PROJECT["project"]["version"] == str(citation["version"])


def test_python_is_the_same_everywhere():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert PROJECT["tool"]["ruff"]["target-version"] == "py311"
    assert "python=3.11" in environment()["dependencies"]


# -- licence and citation ---------------------------------------------------------------------------------------------


def test_the_licence_is_apache_2_unchanged():
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert PROJECT["project"]["license-files"] == ["LICENSE"]


def test_the_citation_parses():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"] == PROJECT["project"]["name"]
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["message"] and citation["authors"] == [{"name": "The collapselab developers"}]
    assert citation["type"] == "software"


# -- commands ---------------------------------------------------------------------------------------------------------


def test_the_readmes_test_command_is_what_ci_runs():
    readme, script = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    commands = re.findall(r"^(make \w+)\b", readme, re.MULTILINE)
    assert commands[:2] == ["make demo", "make test"]
    assert re.search(r"^(exec )?make test$", script, re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_make_target_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"^make ([\w-]+)", text, re.MULTILINE)) | set(re.findall(r"`make ([\w-]+)", text))
    assert {"demo", "test"} <= named <= targets
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    assert targets == phony


def test_the_suite_leaves_out_by_default_what_is_marked_so():
    options = PROJECT["tool"]["pytest"]["ini_options"]
    marks = {line.partition(":")[0] for line in options["markers"]}
    assert {"slow", "gpu", "cluster", "browser"} <= marks
    assert all(f"not {mark}" in options["addopts"] for mark in ("slow", "gpu", "cluster"))


def test_the_import_contract_names_every_module():
    contract = next(one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    package = ROOT / "src" / "collapselab"
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    layers = {
        part.strip().removeprefix("collapselab.") for line in contract["layers"] for part in re.split("[|:]", line)
    }
    assert layers <= modules  # none that is gone
    assert {"cli", "study", "verbs", "metrics", "models", "engine", "compose", "store", "core"} <= layers
    order = [layer.removeprefix("collapselab.") for layer in contract["layers"]]
    assert order.index("cli") < order.index("study") < order.index("metrics") < order.index("compose")
    assert order.index("compose") < order.index("machine") < order.index("store") < order.index("core")


def test_the_import_contract_is_kept():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_package_runs_as_a_module_and_as_a_command():
    assert PROJECT["project"]["scripts"] == {"collapselab": "collapselab.cli:main"}
    done = subprocess.run([sys.executable, "-m", "collapselab", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "generative model" in done.stdout


# -- studies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*STUDIES, TEMPLATE], ids=lambda path: path.stem)
def test_every_study_points_editors_at_the_schema(path):
    first = path.read_text().partition("\n")[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, first
    folder = ROOT / "config" if path == TEMPLATE else path.parent  # where init puts it
    assert (folder / found[1]).resolve() == ROOT / "config" / "study.schema.json"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_validates(path):
    """But for data and weights that are not the repository's to ship (tests/test_studies.py says of which)."""
    study, _ = missing_parts(path)
    assert study.name == path.stem


def test_the_study_that_init_writes_validates(tmp_path):
    command = [sys.executable, "-m", "collapselab"]
    subprocess.run([*command, "init", "mine"], cwd=tmp_path, check=True, capture_output=True)
    assert studies.load(tmp_path / "config" / "mine.yaml").name == "mine"
    again = subprocess.run([*command, "init", "mine"], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 2 and "is there already" in again.stderr


# -- the table of keys ------------------------------------------------------------------------------------------------

KEYS = (ROOT / "config" / "README.md").read_text()


def rows(heading, following):
    """The first column of the table between two lines."""
    part = KEYS.partition(heading)[2].partition(following)[0]
    return re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)


def test_the_table_of_keys_has_all_keys():
    named = {word for row in rows("## Keys", "| key of an arm") for word in re.findall(r"`([\w.]+)`", row)}
    expected = set(studies.StudyFile.model_fields) - {"data"} | {f"data.{key}" for key in studies.Data.model_fields}
    assert named == expected
    arm = {word for row in rows("| key of an arm", "Where a number") for word in re.findall(r"`(\w+)`", row)}
    assert arm == set(studies.Arm.model_fields)


def test_the_table_of_presets_has_all_presets_with_their_numbers():
    table = dict(
        re.findall(r"^\| `(\w+)` \| (.*?) \|", KEYS.partition("## Presets")[2].partition("\n## ")[0], re.MULTILINE)
    )
    assert {name: re.findall(r"`(\w+)`", numbers) for name, numbers in table.items()} == {
        name: [key for key in inspect.signature(preset).parameters if key != "initial"]
        for name, preset in REGIMES.items()
    }


def test_the_texts_name_what_is_in_the_registries():
    for name in (*DATASETS, *POPULATIONS, *FEATURES, *studies.FAIRNESS):
        assert f"`{name}`" in KEYS, name
    readme = (ROOT / "README.md").read_text()
    for name in (*REGIMES, *MODELS, *METRICS, *FEATURES):
        assert f"`{name}`" in readme, name


@pytest.mark.parametrize("name", ["metrics", "models"])
def test_a_page_is_what_the_code_says(name):
    spec = importlib.util.spec_from_file_location(f"{name}_page", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), f"say python docs/{name}.py"
