"""Where a study comes in: names and paths mean the same for every verb and for the workflow, in every locale."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib import import_module

import forked
import pytest
from project import ENVIRONMENT, ROOT
from typer.main import get_group

from collapselab import study as studies
from collapselab.cli.run import VERBS

ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
PLANNED = ("Snakefile", "workflow", "profiles", "config", "environment.yml")
SMOKE = ROOT / "config" / "smoke.yaml"


@pytest.fixture
def folder(tmp_path):
    """A copy of the workflow and its studies."""
    for part in PLANNED:
        source, target = ROOT / part, tmp_path / "here" / part
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return tmp_path / "here"


def call(command, folder, code=0, **environment):
    """All that a command says, after checking its exit code; None accepts any but 0."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = os.environ | ENVIRONMENT | {"PATH": path, "PYTHONPATH": str(ROOT / "src")} | environment
    words = shlex.split(command)
    words = [sys.executable, "-m", *words] if words[0] == "collapselab" else words
    done = forked.run(words, folder, environment, timeout=120)
    text = done.stdout + done.stderr
    assert done.returncode == code if code is not None else done.returncode, f"{command}: {done.returncode}\n{text}"
    assert "Traceback" not in text, text
    return text


# -- the workflow's door -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--config stduy=smoke", ["'stduy'", "study=NAME"]),
        ("--config study=smoke seeds=5", ["'seeds'", "study=NAME"]),
        ("--configfile config/smoke.yaml", ["'arms'", "study=NAME"]),
        ("--config study=", ["--config: 1 fault", "study", "study=NAME"]),
        ("--config study=nosuch", ["no such study", "config/nosuch.yaml", "quickstart, rehearsal"]),
        ("--config study=elsewhere/nosuch.yaml", ["no such study", "elsewhere/nosuch.yaml"]),
    ],
)
def test_the_workflow_refuses_what_names_no_study(folder, arguments, words):
    text = call(f"snakemake -n {arguments}", folder, code=None)
    assert all(word in text for word in words), text


def test_a_name_and_a_path_are_the_same_study_of_the_workflow(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy2(SMOKE, tmp_path / "elsewhere")
    plans = {
        study: call(f"snakemake -n --quiet rules --config study={study}", folder).partition("Job stats")[2]
        for study in ("smoke", "config/smoke.yaml", "../elsewhere/smoke.yaml")
    }
    assert "train" in plans["smoke"] and len({tuple(sorted(plan.splitlines())) for plan in plans.values()}) == 1


# -- the verbs' door ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_may_lie_anywhere(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy2(SMOKE, tmp_path / "elsewhere")
    named, filed = (call(f"collapselab plan --no-cost {name}", folder) for name in ("smoke", "../elsewhere/smoke.yaml"))
    assert "study=../elsewhere/smoke.yaml" in filed and "train" in filed
    same = filed.replace("../elsewhere/smoke.yaml", "smoke")
    assert sorted(same.splitlines()) == sorted(named.splitlines())  # Snakemake lists its rules in no fixed order


@pytest.mark.parametrize("verb", ["validate", "plan", "throughput", "report", "track", "recipe"])
def test_a_missing_study_is_told_where_it_was_looked_for(tmp_path, verb):
    more = " control 0" if verb == "recipe" else ""
    for name, where in (("nosuch", "config/nosuch.yaml"), ("there/nosuch.yaml", "there/nosuch.yaml")):
        text = call(f"collapselab {verb} {name}{more}", tmp_path, code=2)
        assert "no such study" in text and str(tmp_path / where) in text


def test_an_empty_name_is_no_study(tmp_path):
    assert "found ''" in call("collapselab validate ''", tmp_path, code=2)
    with pytest.raises(studies.BadStudy, match="study=NAME"):
        studies.of_workflow({"study": ""})


# -- locales -----------------------------------------------------------------------------------------------------------


def test_a_locale_without_letters_stops_nothing(folder):
    assert "quickstart: ok" in call("collapselab validate quickstart", folder, **ASCII)
    planned = call("collapselab plan smoke --no-cost", folder, **ASCII)
    assert "train" in planned and "total" in planned


def test_a_question_may_have_any_letters(folder):
    text = SMOKE.read_text(encoding="utf-8")
    question = next(line for line in text.splitlines() if line.startswith("question:"))
    text = text.replace(question, "question: Fällt die Varianz – 分散は減るか?").replace("name: smoke", "name: wide")
    (folder / "config" / "wide.yaml").write_text(text, encoding="utf-8")
    assert "wide: ok" in call("collapselab validate wide", folder, **ASCII)
    text = text.replace("seeds: 2", "seeds: zwölf")
    (folder / "config" / "wide.yaml").write_text(text, encoding="utf-8")
    assert r"zw\xf6lf" in call("collapselab validate wide", folder, code=2, **ASCII)


# -- the list of verbs -------------------------------------------------------------------------------------------------


def test_the_list_of_verbs_is_what_their_modules_have():
    modules = {verb.module for verb in VERBS.values()}
    found = {}
    for module in modules:
        commands = get_group(import_module(f"collapselab.cli.{module}").app).commands
        found |= {name: (module, command) for name, command in commands.items()}
    assert found.keys() == VERBS.keys()
    for name, (module, command) in found.items():
        said = " ".join(command.help.split())
        assert module == VERBS[name].module and command.hidden == VERBS[name].hidden
        assert said.startswith(VERBS[name].help.removesuffix(".")), name


def test_help_imports_nothing_dear():
    code = "import sys; from collapselab.cli.run import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    for words in (["--help"], ["--version"], ["-h"], []):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        imported = set(done.stderr.split())
        assert not {"numpy", "pydantic", "yaml", "torch", "rich"} & imported
        assert not {f"collapselab.{name}" for name in ("models", "metrics", "store", "study")} & imported


def test_a_misspelt_verb_is_told_what_it_may_have_been(tmp_path):
    assert "Did you mean 'train'" in call("collapselab trian", tmp_path, code=2)
    assert "explain" not in call("collapselab explian", tmp_path, code=2)


def test_the_version_is_said(tmp_path):
    from collapselab import __version__

    assert call("collapselab --version", tmp_path) == f"collapselab {__version__}\n"


def test_names_of_a_registry_are_in_the_help_of_their_verb(tmp_path):
    from collapselab.models import MODELS

    text = "".join(call("collapselab train -h", tmp_path, COLUMNS="200").split())
    assert all(name in text for name in MODELS)
    assert json.loads(call("collapselab schema", tmp_path))["title"]
