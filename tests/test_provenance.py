"""What makes a stage run again: its own source and all that it imports, and nothing else."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from collapselab import provenance, store
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.provenance import PACKAGE, module_of, source_hash

# The verbs' modules, as the rules of the workflow name them.
STAGES = {
    "prepare": ("data",),
    "features": ("features",),
    "measure": ("features", "metrics"),
    "report": ("report",),
    "track": ("verdicts",),
    **{f"train {family}": ("compose", module_of(model)) for family, model in MODELS.items()},
    **{f"sample {family}": (module_of(model), "select", "guidance") for family, model in MODELS.items()},
}


def source_of(package, family):
    """The file in which a family stands."""
    path = package.joinpath(*module_of(MODELS[family]).split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that the hashes are taken of."""
    copy = tmp_path / "collapselab"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "PACKAGE", copy)
    provenance._read.cache_clear()
    yield copy
    provenance._read.cache_clear()


def hashes():
    provenance._read.cache_clear()
    return {stage: source_hash(*modules) for stage, modules in STAGES.items()}


def changed_by(path, edit):
    """The stages whose hash another text of a file changes."""
    before = hashes()
    path.write_text(edit(path.read_text()))
    return {stage for stage, found in hashes().items() if found != before[stage]}


def appended(code):
    return lambda text: f"{text}\n\n{code}\n"


NEW_CODE = appended("def _something_new():\n    return 1")


def test_stages_have_hashes_of_their_own_that_stay_the_same():
    first, second = hashes(), hashes()
    assert first == second
    assert len(set(first.values())) == len(first)
    assert all(len(value) == 12 and int(value, 16) >= 0 for value in first.values())


def test_a_copied_package_has_the_same_hashes(package):
    here = hashes()
    provenance.PACKAGE = PACKAGE  # undone by the fixture's monkeypatch
    assert hashes() == here


def rewritten(text):
    """Other comments, other docstrings, other white space: the same program."""
    lines = [f"{line}  # another comment" if line.startswith("import ") else line for line in text.splitlines()]
    return "# a comment\n\n" + "\n".join(lines).replace('"""', '"""Reworded: ', 1) + "\n\n# the end\n"


@pytest.mark.parametrize(
    "module", ["compose", "features/lenet", "models/gaussian", "metrics/neighbours", "select/__init__"]
)
def test_comments_docstrings_and_layout_change_nothing(package, module):
    path = package / f"{module}.py"
    assert changed_by(path, rewritten) == set()
    assert changed_by(path, NEW_CODE)


def test_docstrings_of_functions_and_classes_change_nothing(package):
    path = package / "models" / "gaussian.py"
    docstrings = [
        ast.get_docstring(node, clean=False)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)
    ]
    assert len(docstrings) > 5

    def reword(text):
        for docstring in docstrings:
            text = text.replace(docstring, "Reworded.")
        return text

    assert changed_by(path, reword) == set()


def test_a_description_of_an_option_is_code_and_counts(package):
    path = package / "models" / "gaussian.py"
    assert changed_by(path, lambda text: text.replace("number of dimensions", "how many dimensions"))


@pytest.mark.parametrize("family", MODELS)
def test_an_edit_of_one_family_changes_its_own_stages_only(package, family):
    """Neither another family's, nor those in which samples are measured."""
    assert changed_by(source_of(package, family), NEW_CODE) == {f"train {family}", f"sample {family}"}


@pytest.mark.parametrize("edge", ["store", "cli", "config", "tracking", "provenance", "regimes"])
def test_edges_change_nothing(package, edge):
    assert changed_by(package / f"{edge}.py", NEW_CODE) == set()


def test_another_layout_of_stored_files_changes_everything(package, monkeypatch):
    before = hashes()
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    assert all(found != before[stage] for stage, found in hashes().items())


def test_imports_inside_functions_are_followed(package):
    helper = package / "models" / "_helper.py"
    helper.write_text("WIDTH = 3\n")
    lazy = appended("def _later():\n    from ._helper import WIDTH\n\n    return WIDTH")
    assert changed_by(package / "models" / "gaussian.py", lazy) == {"train gaussian", "sample gaussian"}
    assert changed_by(helper, lambda text: "WIDTH = 4\n") == {"train gaussian", "sample gaussian"}


def test_the_networks_that_a_family_imports_late_count(package):
    late = {path.name: path for path in (package / "models" / "diffusion").glob("*.py") if path.name != "__init__.py"}
    assert changed_by(late.pop("published.py"), NEW_CODE) == set()  # it makes files, which a study names by their hash
    assert late
    for path in late.values():
        assert changed_by(path, NEW_CODE) == {"train diffusion", "sample diffusion"}, path.name


def test_imports_for_a_type_checker_alone_do_not_count(package):
    helper = package / "models" / "_helper.py"
    helper.write_text("WIDTH = 3\n")
    block = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from ._helper import WIDTH\nelse:\n    {}"
    family = package / "models" / "gaussian.py"
    before = family.read_text()
    for otherwise, expected in (("WIDTH = 4", set()), ("from . import _helper", {"train gaussian", "sample gaussian"})):
        family.write_text(f"{before}\n\n{block.format(otherwise)}\n")
        assert changed_by(helper, appended("HEIGHT = 3")) == expected


def test_how_features_are_made_does_not_count_where_nobody_looks_at_them(package):
    """An edit of the LeNet is no reason to sample a Gaussian again."""
    found = changed_by(package / "features" / "lenet.py", NEW_CODE)
    assert {"features", "measure"} <= found and not any(stage.startswith(("train", "sample")) for stage in found)


@pytest.mark.parametrize(
    "line",
    [
        "from collapselab.models import _helper",
        "from collapselab.models._helper import WIDTH",
        "from . import _helper",
        "from ._helper import WIDTH",
        "from ..models._helper import WIDTH",
        "import collapselab.models._helper",
        "import collapselab.models._helper as helper",
    ],
)
def test_every_way_to_import_is_followed(package, line):
    helper = package / "models" / "_helper.py"
    helper.write_text("WIDTH = 3\n")
    changed_by(package / "models" / "gaussian.py", appended(line))
    assert changed_by(helper, lambda text: "WIDTH = 4\n") == {"train gaussian", "sample gaussian"}


def test_a_new_metric_changes_the_measurements_only(package):
    assert changed_by(package / "metrics" / "frechet.py", NEW_CODE) == {"measure"}
    assert METRICS["frechet_distance"].function.__module__ == "collapselab.metrics.frechet"


def test_the_rules_name_modules_that_exist():
    """A misspelt module would never change; so would one that a rule forgets."""
    for modules in STAGES.values():
        for module in modules:
            assert provenance._path(module)[0].exists(), module
    for thing in (*MODELS.values(), *POPULATIONS.values()):
        assert provenance._path(provenance.module_of(thing))[0].exists()
    with pytest.raises(FileNotFoundError):
        source_hash("models.gausian")


def test_reading_the_source_imports_none_of_it():
    code = "import sys; from collapselab.provenance import source_hash; source_hash('models.diffusion', 'compose');"
    code += "print([name for name in ('torch', 'pandas', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_hashes_of_a_plan_take_little_time():
    """A dry run asks for the hash of every job: a module is read once."""
    import time

    begin = time.perf_counter()
    for _ in range(300):
        source_hash("compose", "models.diffusion")
    assert time.perf_counter() - begin < 3
    assert Path(provenance.PACKAGE).name == "collapselab"
