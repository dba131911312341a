"""What people read is true: links lead somewhere, commands and keys exist, and what is shown in Python runs.

A block that is not looked at says why in the line before it: ``<!-- not run: needs a GPU -->``, or by which test it is:
``<!-- run by tests/test_scale.py -->``. Its commands are still held against the programs.
"""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache

import pages
import pytest
import typer
import yaml
from pages import PAGES, ROOT

from collapselab.cli.run import VERBS, app
from collapselab.study.file import Arm, StudyFile
from collapselab.study.loading import check

BLOCKS = [block for path in PAGES for block in pages.blocks(path)]
OF = {
    language: [block for block in BLOCKS if block.language in names]
    for language, names in {"bash": ("bash", "sh"), "yaml": ("yaml",), "python": ("python",), "toml": ("toml",)}.items()
}
LONGEST_README = 900  # words
ABSENT = re.compile("(?i)no such file|there is no|is not at|is not there|no folder")


def test_every_block_says_its_language_and_every_mark_its_reason():
    for block in BLOCKS:
        assert block.language in {"bash", "sh", "yaml", "python", "toml", "json", "text", "bibtex"}, str(block)
        if block.mark.startswith("run by "):
            assert (ROOT / block.mark.removeprefix("run by ")).is_file(), str(block)
    assert len(OF["bash"]) > 40 and len(OF["yaml"]) > 20 and len(OF["python"]) > 30


# -- README ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_short_and_shows_what_it_speaks_of():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= LONGEST_README
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", text)
    assert len(pictures) == 2 and all(told and (ROOT / path).is_file() for told, path in pictures)


def test_the_numbers_of_the_quickstart_are_the_same_on_every_page():
    """One run is quoted: the table of README.md, that of the tutorial, and the sentences about them."""
    row = re.compile(r"^\| `?([a-z][\w ']+)`? \|(?:.*\|)? (\d[\d.]*) \| (\d[\d.]*) \| (\d[\d.]*) \|$", re.MULTILINE)
    readme, tutorial = (
        {name: numbers for name, *numbers in row.findall((ROOT / page).read_text(encoding="utf-8"))}
        for page in ("README.md", "docs/tutorial.md")
    )
    assert readme == tutorial and len(readme) == 6
    quoted = (ROOT / "docs" / "quoting.md").read_text(encoding="utf-8")
    assert f"distance at {readme['fully_synthetic_biased'][1]}" in quoted
    assert f"Recall {readme['fully_synthetic'][0].lstrip('0')} (" in quoted


# -- links -------------------------------------------------------------------------------------------------------------


@cache
def anchors(path):
    """Where links into a page may lead, as code hosts and MyST name its headings."""
    found, seen = set(), {}
    code = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} (.*)$", code.sub("", path.read_text(encoding="utf-8")), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
    return found


WRITTEN = sorted((ROOT / "docs" / "gallery").glob("*.md"))  # by collapselab gallery


@pytest.mark.parametrize("path", [*PAGES, *WRITTEN, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_every_link_inside_leads_to_a_file_and_a_heading(path):
    text = re.sub(
        r"^(`{3,})[^{].*?^\1$|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for link in re.findall(r"\]\(([^()\s]+)\)|^```\{(?:figure|include)\} (\S+)", text, re.MULTILINE):
        target, _, anchor = "".join(link).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        leads = (path.parent / target).resolve() if target else path
        assert leads.exists(), f"{path.name}: {target}"
        if anchor and leads.suffix == ".md":
            assert anchor in anchors(leads), f"{path.name}: {target}#{anchor}"


def test_every_page_is_in_the_table_of_contents():
    listed = set()
    for path in [*PAGES, *WRITTEN]:
        trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", path.read_text(encoding="utf-8"), re.M | re.S)
        entries = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
        names = [re.sub(r".*<(.*)>", r"\1", line) for line in entries]
        listed |= {(path.parent / name).relative_to(ROOT / "docs").as_posix() for name in names}
    there = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    there = {name for name in there if not name.startswith(("_build", "jupyter_execute"))}
    assert there - listed == {"index"}


def test_no_page_has_the_name_of_one_that_the_site_makes_by_itself():
    """It would be written over, without a warning: a page search.md is the form in which one searches the site."""
    assert not {path.stem for path in (ROOT / "docs").glob("*.md")} & {"search", "genindex", "modindex", "py-modindex"}


@pytest.mark.parametrize("page", ["howto", "findings", "reference", "project"])
def test_what_stands_in_a_table_of_contents_can_be_chosen_on_its_page(page):
    """The tables are hidden: they make the menu, and the page itself says what each leads to."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    body, _, tree = text.partition("```{toctree}")
    entries = [line for line in tree.splitlines()[1:] if line and not line.startswith((":", "`"))]
    assert len(entries) > 4
    assert [name for name in entries if f"({name}.md)" not in body] == []


def test_every_page_says_first_what_its_reader_gets():
    """Before its first part, its first list and its first command stands a sentence, of more than a few words."""
    for path in sorted((ROOT / "docs").glob("*.md")):
        text = re.sub(r"\A---\n.*?^---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE).strip()
        first = text.partition("\n\n")[2].partition("\n\n")[0]
        if text.startswith("#") and path.stem not in ("howto", "project"):  # others include a file of the root
            assert len(first.split()) >= 12 and re.match(r"[A-Z*`\[]|collapselab", first), f"{path.name}: {first[:80]}"
            assert not first.startswith(("This page is written", "```", ":::")), f"{path.name}: {first[:80]}"


# -- commands ----------------------------------------------------------------------------------------------------------


def parsed(words):
    """A command as the command line reads it: unknown or lacking options, and values that are none, raise."""
    command, context = typer.main.get_command(app), None
    name, left = "collapselab", list(words)
    while getattr(command, "commands", None) is not None:
        context = typer.Context(command, info_name=name, parent=context)
        if left[:1] in (["--help"], ["--version"], []):
            return
        name = left.pop(0)
        command = command.get_command(context, name)
        assert command is not None, f"there is no {name!r}"
    context = typer.Context(command, info_name=name, parent=context, **command.context_settings)
    values, extra, _ = command.make_parser(context).parse_args(left)
    assert not extra or context.allow_extra_args, extra  # of run, what it does not know is for snakemake
    for one in command.params:
        try:
            one.process_value(context, values.get(one.name))
        except Exception as fault:
            if not re.search("does not exist|is not a file", str(fault)):  # of the reader's
                raise


def test_a_wrong_flag_is_found():
    parsed(["measure", "samples", "--against", "b", "--count", "5"])
    for wrong in (
        ["measure", "a", "--agianst", "b"],
        ["measure", "a"],
        ["measure", "a", "--against", "b", "--count", "x"],
    ):
        with pytest.raises(Exception, match=r"(?i)no such option|missing|valid integer"):
            parsed(wrong)


STUDIES = {path.stem for path in (ROOT / "config").glob("*.yaml")}
OWN = {"mine", "faces", "NAME", "STUDY"}  # names that a reader's own studies have on these pages
MADE = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def snakemake(words):
    from snakemake.cli import get_argument_parser

    said = get_argument_parser().parse_args(words)
    for pair in said.config or []:
        study = str(pair).partition("=")[2]
        assert study in STUDIES | OWN or (ROOT / study).is_file(), study
    assert said.workflow_profile in (None, "none") or (ROOT / said.workflow_profile).is_dir()


def dvc(words):
    from dvc.cli.parser import get_main_parser

    get_main_parser().parse_args(words)


def make(words):
    assert words[0] in MADE, words


def pip(words):
    for extra in re.findall(r"collapselab\[(\w+)\]", " ".join(words)):
        assert extra in EXTRAS, extra


def python(words):
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), words
    else:
        assert words[0].startswith("-c") or (ROOT / words[0]).exists(), words


OTHERS = {
    *("source", "git", "mlflow", "squeue", "tail", "cat", "cp", "sed", "for", "done", "export", "pytest"),
    *("cd", "mkdir", "podman"),
}
PROGRAMS = {"collapselab": parsed, "snakemake": snakemake, "dvc": dvc, "make": make, "pip": pip, "python": python}


@pytest.mark.parametrize("block", OF["bash"], ids=str)
def test_every_command_is_one_that_its_program_reads(block):
    for program, *words in pages.commands(block.text):
        if program in PROGRAMS:
            PROGRAMS[program]([word for word in words if word != ">"][: words.index(">") if ">" in words else None])
        else:
            assert program in OTHERS or "=" in program, f"{block}: {program}"


def test_what_is_named_within_a_sentence_exists():
    """Verbs, files that Python is to run, among them those of the benchmarks, and targets of make."""
    verbs, said = set(VERBS) | {"VERB"}, 0
    for path in PAGES:
        for words in re.findall(r"`([^`\n]+)`", path.read_text(encoding="utf-8")):
            if found := re.match(r"(?:collapselab (\w+)|python (\S+\.py)|make ([a-z-]+))(?: |$)", words):
                verb, file, target = found.groups()
                assert verb is None or verb in verbs, f"{path.name}: {words}"
                assert file is None or (ROOT / file).is_file(), f"{path.name}: {words}"
                assert target is None or target in MADE, f"{path.name}: {words}"
                said += 1
    assert said > 100


# -- studies, and parts of them ----------------------------------------------------------------------------------------

BASE = {
    "name": "shown",
    "seeds": 3,
    "generations": 4,
    "data": {"source": "digits", "split": {"train": 800, "held_out": 597, "fresh": 400}},
    "models": {"tiny": {"diffusion": {"preset": "tiny"}}},
    "initial": {"real": 200},
    "samples": 2000,
    "extractors": ["lenet", "pixels", "random-conv"],
    "metrics": ["recall", "frechet_distance"],
    "primary": {"metric": "recall", "extractor": "lenet"},
    "control": "none",
    "arms": {"one": {"model": "tiny", "regime": "fully_synthetic"}},
}


def completed(shown):
    """A study that has in it what a page shows: a whole one, some keys, some arms, or the keys of an arm."""
    if set(shown) <= set(StudyFile.model_fields):
        data, models = ({**BASE[key], **shown.get(key, {})} for key in ("data", "models"))
        arms = (
            BASE["arms"]
            if "tiny" in shown.get("models", models)
            else {"one": BASE["arms"]["one"] | {"model": next(iter(shown["models"]))}}
        )
        return {**BASE, "arms": arms, **shown, "data": data, "models": models}
    if set(shown) <= set(Arm.model_fields):
        return BASE | {"arms": {"one": BASE["arms"]["one"] | shown}}
    return BASE | {"arms": shown}


@pytest.mark.parametrize("block", [block for block in OF["yaml"] if not block.mark], ids=str)
def test_every_study_that_is_shown_is_valid(block):
    """But for files that are the reader's, and for rules between arms that a page shows side by side."""
    whole = completed(yaml.safe_load(block.text))
    _, faults = check(whole, whole["name"])
    between = ("training_set_size", "images_seen", "init", "sampler")
    wrong = [
        one for one in faults if not ABSENT.search(one.message) and not any(rule in one.message for rule in between)
    ]
    assert not wrong, [(one.path, one.message) for one in wrong]


def test_a_wrong_key_is_found():
    for text in ("arms: {a: {model: tiny, regme: fully_synthetic}}", "stop: {when: colapsed}", "keep: {weights: some}"):
        assert check(completed(yaml.safe_load(text)), "shown")[1], text


# -- Python ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", sorted({block.page for block in OF["python"]} - {"CONTRIBUTING.md"}))
def test_what_is_shown_in_python_runs(page, capsys):
    """All blocks of a page, one after the other; what a comment at the end of a print promises is printed."""
    names = {"__name__": page}
    for block in (block for block in OF["python"] if block.page == page and not block.mark):
        exec(compile(block.text, str(block), "exec"), names)
        promised = re.findall(r"^print\(.*\)  # (.+)$", block.text, re.MULTILINE)
        said = capsys.readouterr().out.splitlines()
        assert len(promised) == len(said) or not promised
        for words, found in zip(promised, said, strict=False):
            assert found == words or float(found) == pytest.approx(float(words), rel=1e-3), f"{block}: {found}"


def test_what_is_shown_as_toml_and_json_is_that():
    for block in BLOCKS:
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "json":
            json.loads(block.text)


# -- studies that a page changes ---------------------------------------------------------------------------------------

CHANGED = [block for block in OF["bash"] if re.search(r"^sed -i .* config/\w+\.yaml", block.text, re.MULTILINE)]


@pytest.mark.parametrize("block", CHANGED, ids=str)
def test_a_study_that_a_page_begins_and_changes_is_valid_at_its_whole_size(block, tmp_path):
    """The commands of the page are run in studies that are small, in which other changes are possible."""
    begun = re.findall(r"^collapselab new .*--like .*$|^sed -i .*$|^collapselab validate .*$", block.text, re.MULTILINE)
    assert [line.split()[0] for line in begun] == ["collapselab", "sed", "collapselab"], str(block)
    known = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    def run(line):
        words = shlex.split(line, comments=True)
        words = [sys.executable, "-m", *words] if words[0] == "collapselab" else words
        return subprocess.run(words, cwd=tmp_path, env=known, capture_output=True, text=True, check=False)

    begins, changes, checks = begun
    assert run(begins).returncode == 0
    (path,) = (tmp_path / "config").glob("*.yaml")
    text = path.read_text(encoding="utf-8")
    assert run(changes).returncode == 0 and path.read_text(encoding="utf-8") != text
    done = run(checks)
    assert done.returncode == 0, done.stderr
