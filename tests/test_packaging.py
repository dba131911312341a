"""What the repository says of itself in several places is the same in each."""

import ast
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import forked
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from pages import PAGES
from project import missing_parts

import collapselab
from collapselab import study as studies
from collapselab.adapt import ADAPTERS
from collapselab.compose.regimes import REGIMES
from collapselab.data import DATASETS
from collapselab.features import FEATURES
from collapselab.guides import GUIDES
from collapselab.marks import MARKS
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.rewards import REWARDS
from collapselab.samplers import SAMPLERS
from collapselab.select import SELECTORS
from collapselab.study.choices import CHOICES
from collapselab.transforms import TRANSFORMS

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


def required():
    """Every requirement, of the package and of its extras: ``name>=tried,<next``."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    return list(map(Requirement, [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]))


def declared():
    """name -> the version from which on it is taken, which is the one that it was tried with."""
    found = {}
    for one in required():
        (floor,) = (spec.version for spec in one.specifier if spec.operator == ">=")
        assert found.setdefault(one.name, floor) == floor, f"{one.name}: said twice, and not alike"
    return found


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


def test_what_is_required_ends_before_the_version_that_may_break_it():
    """Whoever has a newer or an older package beside this one is told by pip, and not by a study's numbers."""
    for one in required():
        caps = [Version(spec.version) for spec in one.specifier if spec.operator == "<"]
        (floor,) = (Version(spec.version) for spec in one.specifier if spec.operator == ">=")
        assert [cap.release for cap in caps] == [(floor.major + 1,)], str(one)
        assert len(one.specifier) == 2, str(one)


def test_the_extra_of_measuring_names_what_the_package_needs_too_and_nothing_heavy():
    light = PROJECT["project"]["optional-dependencies"]["metrics"]
    assert set(light) < set(PROJECT["project"]["dependencies"])
    assert not {"mlflow", "dvc", "snakemake", "diffusers", "pyarrow"} & {Requirement(line).name for line in light}


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
        "crowdkit": "crowd-kit",
        "imwatermark": "invisible-watermark",
        "pynvml": "nvidia-ml-py",
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
        "pydantic_core": "pydantic",  # a part of it, which it pins
        "snakemake_interface_logger_plugins": "snakemake",  # what it hands to its loggers
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
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
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


# -- elsewhere --------------------------------------------------------------------------------------------------------


def test_the_container_is_written_as_its_linter_asks():
    linter = Path(sys.executable).parent / "hadolint"
    linter = str(linter) if linter.exists() else shutil.which("hadolint")
    if linter is None:
        pytest.skip("needs hadolint, which the extra dev brings")
    done = subprocess.run([linter, "Containerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_container_has_the_python_and_the_torch_that_were_tried():
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert len(set(bases)) == 1 and bases[0].startswith("python:3.11-")
    torch, rest = text.index("grep '^torch=="), text.index("collapselab-*.whl")
    assert torch < rest and text.count("-c /tmp/constraints.txt") == 2
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "results"} <= set(ignored)
    assert not {"src", "workflow", "profiles", "config", "constraints.txt"} & set(ignored)


def test_the_catalog_of_workflows_is_told_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment", "report"}
    assert studies.of_workflow(dict([usage["mandatory-flags"]["flags"].removeprefix("--config ").split("=")]))
    # No rule has an environment of its own: what is said is what is.
    assert not any(usage["software-stack-deployment"].values())
    assert (ROOT / "workflow" / "Snakefile").exists() and (ROOT / "config" / "README.md").exists()


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
    assert forked.run(["collapselab", "init", "mine"], tmp_path).returncode == 0
    assert studies.load(tmp_path / "config" / "mine.yaml").name == "mine"
    again = forked.run(["collapselab", "init", "mine"], tmp_path)
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


def test_the_fairness_rules_are_told():
    assert all(f"`{rule}`" in KEYS for rule in studies.FAIRNESS)


STEPS = (ADAPTERS, GUIDES, SAMPLERS, MARKS, TRANSFORMS, REWARDS, SELECTORS)
REGISTRIES = (DATASETS, POPULATIONS, MODELS, REGIMES, *STEPS, FEATURES, METRICS)


def test_the_page_of_names_has_all_registries():
    """Whoever adds an entry writes no row of a table: the page is written by a command."""
    page = (ROOT / "docs" / "registries.md").read_text(encoding="utf-8")
    assert set(map(id, REGISTRIES)) == {id(registry) for registry in registries_of_studies()}
    for registry in REGISTRIES:
        assert all(f"### `{name}`" in page or f"| `{name}` |" in page for name in registry)


def registries_of_studies():
    """All registries from which a study chooses by name."""
    for name, kind in CHOICES.items():
        yield REGIMES if name == "regimes" else kind.entries  # those have the algebra beside them


def test_the_page_of_ones_own_study_selects_names_that_there_are():
    """It tells of some, and no test asks for all; those that it tells of are right."""
    text = (ROOT / "docs" / "own-study.md").read_text(encoding="utf-8")
    tables = {"regime": REGIMES, "model family": MODELS, "metric": METRICS, "extractor": FEATURES}
    for heading, registry in tables.items():
        rows = re.search(rf"^\| {heading}, for one \|.*\n\|---.*\n((?:\|.*\n)+)", text, re.MULTILINE)[1]
        named = [name for row in rows.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
        assert named and not set(named) - set(registry)


WRITTEN = """
import runpy
written = runpy.run_path("docs/__main__.py", run_name="pages")["written"]
others = [path.name for path, text in written().items() if path.read_text(encoding="utf-8") != text]
assert not others, f"{others} are others: say make docs"
"""


@pytest.mark.slow
def test_what_is_written_from_the_code_is_what_the_code_says_with_all_that_is_counted():
    """Pages, pictures and the schema, all of which one command writes anew, in a process of its own as that does."""
    path = os.pathsep.join([str(ROOT / "docs"), str(ROOT / "src")])
    said = subprocess.run(
        [sys.executable, "-c", WRITTEN], cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr[-2000:]


def test_what_is_written_from_the_code_is_what_the_code_says(monkeypatch):
    """The same without the parameters and operations of the presets of networks, which take their layers to be laid
    out: they stand as the page has them, and the rest of it is compared.
    """
    monkeypatch.syspath_prepend(ROOT / "docs")
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows = re.findall(r"^\| `[\w-]+` \| [\d x]+ \| .* M \| .*$", module.models.PAGE.read_text("utf-8"), re.MULTILINE)
    left = iter(rows)
    monkeypatch.setattr(module.models, "_preset", lambda family, preset: next(left))
    for path, text in module.written().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is another: say make docs"
    assert len(rows) > 8 and next(left, None) is None
