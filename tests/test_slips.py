"""What is said to somebody who mistyped a command: what is needed, what was meant, which studies there are."""

import re

import pytest

from collapselab.cli import run as frame
from collapselab.cli import slips
from collapselab.cli.run import VERBS
from collapselab.core.shipped import shipped


def told(capsys, line, code=2):
    """What a command says of itself that could not be read."""
    assert frame.run(line.split()) == code
    said = capsys.readouterr()
    assert not said.out and "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize("verb", ["run", "plan", "status", "report", "judge close"])
def test_a_study_that_is_not_named_is_asked_for_with_all_that_there_are(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mine.yaml").write_text("name: mine\n")
    lines = told(capsys, verb).splitlines()
    assert f"Say which study: collapselab {verb} quickstart" in lines
    assert "Studies in config/ here: mine" in lines
    (line,) = (line for line in lines if line.startswith("Studies that come with the package: "))
    assert {"smoke", "theory-gaussian"} <= set(line.partition(": ")[2].split(", "))
    papers = sorted(file.stem for file in (shipped("config") / "papers").glob("*.yaml"))
    (line,) = (line for line in lines if line.startswith("After published papers: "))
    assert all(re.search(rf"\b{paper}\b", line) for paper in papers)
    assert lines[-1] == "One of your own begins with: collapselab new NAME"


def test_where_no_study_lies_one_of_the_package_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said = told(capsys, "run")
    assert "Say which study: collapselab run quickstart" in said and "in config/ here" not in said


def test_all_that_is_needed_is_said_at_once(capsys):
    said = told(capsys, "sample --count 3")
    needed = re.findall(r"^  (--[\w-]+) +\w", said, re.MULTILINE)
    assert needed == ["--model", "--count", "--study-seed", "--seed", "--generation", "--out"]
    assert "Say which study" not in said and "It needs:" not in told(capsys, "new")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("measure a --against b --extractr pixels", "Possible options: --extractor"),
        ("measure a --against b -o x", "(did you mean '--out'?)"),
        ("measure a --real b", "(did you mean '--against'?)"),
        ("measure a --against b --resize 8", "(did you mean '--resolution'?)"),
        ("validate smoke --strict", "Allowed are --help\n"),
        ("measure a --against b --crop center", "found 'center' (did you mean 'centre'?); allowed: none, centre"),
        ("table smoke --format marckdown", "found 'marckdown' (did you mean 'markdown'?); allowed: markdown, csv"),
        ("weights fetch dino", "found 'dino' (did you mean 'dinov2'?); allowed: inception, "),
        ("measure a --crop", "--crop takes one of none, centre\n"),
        ("table smoke --format", "--format takes one of markdown, csv, latex, bibtex\n"),
        ("new --from", "--from takes a value: look at your pictures, a folder or a .zip"),
        ("adapt --model", "--model takes a value: model as it was trained"),
        ("measure a --against b --out", "--out takes a value: record to write"),
        ("judge serve quickstart --port", "--port takes a value"),
        ("run quickstart --open=yes", "--open is said by itself, without a value"),
        ("evaluate a", "Did you mean 'measure'? See collapselab measure -h"),
        ("judge serv", "Did you mean 'serve'?"),
        ("judge evaluate", "All of them: collapselab judge -h"),
        ("xyzzy", "All of them: collapselab -h"),
    ],
)
def test_what_was_meant_is_said(capsys, line, words):
    assert words in told(capsys, line)


def test_what_others_call_a_verb_is_none_here_and_leads_to_one():
    assert set(slips.ELSEWHERE.values()) <= {name for name, verb in VERBS.items() if not verb.hidden}
    assert not set(slips.ELSEWHERE) & set(VERBS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--opn", "found --opn (did you mean '--open'?)"),
        ("--cores 1 --forcrun record", "found --forcrun (did you mean '--forcerun'?)"),
        ("-n --slurm-jobname-prefix=a --xyzzy=3", "found --xyzzy; allowed are --open, and snakemake's"),
    ],
)
def test_an_option_that_nobody_has_ends_a_run_before_it_begins(tmp_path, monkeypatch, capsys, words, hint):
    monkeypatch.chdir(tmp_path)
    said = told(capsys, f"run smoke {words}")
    assert hint in said and len(said.splitlines()) < 6
    assert not list(tmp_path.iterdir())
