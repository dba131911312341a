"""What is said to somebody who mistyped a command: what is needed, what was meant, which studies there are."""

import re

import pytest
from snakemake.cli import get_argument_parser

from collapselab.cli import run as frame
from collapselab.cli import running, slips
from collapselab.cli.run import VERBS
from collapselab.core.shipped import shipped
from collapselab.study.faults import BadStudy
from collapselab.study.reading import parse


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
        ("RUN smoke", "Did you mean 'run'? See collapselab run -h"),
        ("judge SERVE", "Did you mean 'serve'? See collapselab judge serve -h"),
        ("version", "Did you mean '--version'?"),
        ("help", "Did you mean '-h'?"),
        ("judge help", "Did you mean '-h'?"),
        ("judge version", "All of them: collapselab judge -h"),
        ("judge serv", "Did you mean 'serve'?"),
        ("judge evaluate", "All of them: collapselab judge -h"),
        ("xyzzy", "All of them: collapselab -h"),
    ],
)
def test_what_was_meant_is_said(capsys, line, words):
    assert words in told(capsys, line)


@pytest.mark.parametrize("word", [*slips.ELSEWHERE, *slips.BESIDE])
def test_one_thing_alone_is_said_to_be_meant(capsys, word):
    """And not beside it another, which is near in letters."""
    assert told(capsys, word).count("Did you mean") == 1


def test_what_others_call_a_verb_is_none_here_and_leads_to_one():
    assert set(slips.ELSEWHERE.values()) <= {name for name, verb in VERBS.items() if not verb.hidden}
    assert not set(slips.ELSEWHERE) & set(VERBS)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--opn", "found --opn (did you mean '--open'?)"),
        ("--cores 1 --forcrun record", "found --forcrun (did you mean '--forcerun'?)"),
        ("--browser", "found --browser (did you mean '--open'?)"),
        ("--fooo", "found --fooo; allowed are --open, and snakemake's"),
        ("--Cores 2", "found --Cores (did you mean '--cores'?)"),
        ("-x", "found -x; allowed"),
        ("--cores", "found --cores without a value; it takes one: --cores N"),
        ("--cores -n", "found --cores without a value; it takes one: --cores N"),
        ("-n -j", "found -j without a value; it takes one: -j N"),
        ("--until --cores 2", "found --until without a value"),
        ("--configfile", "found --configfile without a value"),
        ("-n --slurm-jobname-prefix=a --xyzzy=3", "found --xyzzy; allowed are --open, and snakemake's"),
    ],
)
def test_an_option_that_nobody_has_ends_a_run_before_it_begins(tmp_path, monkeypatch, capsys, words, hint):
    monkeypatch.chdir(tmp_path)
    said = told(capsys, f"run smoke {words}")
    assert hint in said and len(said.splitlines()) < 6
    assert not list(tmp_path.iterdir())


def test_no_option_of_snakemake_is_refused():
    actions = get_argument_parser()._option_string_actions
    for word, action in actions.items():
        values = [] if action.nargs == 0 else ["1"]
        running._expect_options([word, *values])
        running._expect_options([*([word] if action.nargs in (0, "*", "?") else [f"{word}=1"]), "--open"])
    for line in (
        "",
        "--",
        "-c2 -np --core 2",
        "-j 4 --",
        "--cores -1",
        "--until a b --forcerun",
        "--config a=-x",
        "-n -- -x --fooo",
    ):
        running._expect_options(line.split())
    running._expect_options(["--jobname", "--gres=a b"])


# -- files that are not YAML -------------------------------------------------------------------------------------------

ALIAS = "begins with *, to YAML an alias, the name of what another place marks by &; a text needs quotation marks"
SIGN = "begins with @, to YAML a sign that is kept for later; a text needs quotation marks"


def unread(tmp_path, text):
    """What is said of a file that is not YAML."""
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadStudy) as caught:
        parse(path)
    return str(caught.value).split("is not YAML: ")[1]


def leaves(part):
    """All values that are neither mappings nor lists."""
    if isinstance(part, dict | list):
        inner = part.values() if isinstance(part, dict) else part
        return [leaf for one in inner for leaf in leaves(one)]
    return [part]


@pytest.mark.parametrize(
    ("text", "cured", "said"),
    [
        ("question: *Does this hold?\n", "'*Does this hold?'", ALIAS),
        ("question: *important this\nseeds: 1\n", "'*important this'", ALIAS),
        ("about:\n- *important this\n- b\n", "'*important this'", ALIAS),
        ("about: [a, *b c]\n", "'*b c'", ALIAS),
        ("a: &one {b: 1}\nquestion: *one two\n", "'*one two'", ALIAS),
        ("c: *default\n", "'*default'", ALIAS),
        ("a: @b # see\n", "'@b'", SIGN),
        ("a: @it's # see\n", '"@it\'s"', SIGN),
        ("a: [@b, c]\n", "'@b'", SIGN),
        ("a: {b: @c}\n", "'@c'", SIGN),
        ("a:\n- @b\n- c\n", "'@b'", SIGN),
        ("a:\n- b: @b, c\n  c: 2\n", "'@b, c'", SIGN),
        # Whose end is not seen: a list of several lines, and texts that go on below.
        ("a: [\n  b, @c, d\n]\n", None, SIGN),
        ("a: [b, @c\n  d]\n", None, SIGN),
        ("a: @b goes on\n  in the next\nc: 1\n", None, SIGN),
        ("a: @b\n\n  c\n", None, SIGN),
        ("a:\n  @b goes\n  on\n", None, SIGN),
        ("- a: @b\n    c\n", None, SIGN),
    ],
)
def test_a_text_that_begins_with_a_sign_is_shown_as_it_should_be_written(tmp_path, text, cured, said):
    """What is shown, put in the place of the text, is YAML, and says the text."""
    line, _, told = unread(tmp_path, text).partition(": ")
    assert line == next(f"line {row}" for row, one in enumerate(text.split("\n"), 1) if re.search(r"[*@]\w", one))
    assert told == said + (f": {cured}" if cured else "")
    if cured:
        (tmp_path / "odd.yaml").write_text(f"{text.replace(cured[1:-1], cured)}", encoding="utf-8")
        assert cured[1:-1] in leaves(parse(tmp_path / "odd.yaml")[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &defaults {b: 1}\nc: *default\n", "line 2: no place above is marked &default (did you mean *defaults?); a "
         "text needs quotation marks"),
        ("a: &defaults {b: 1}\nc: {<<: *default}\n", "line 2: no place above is marked &default (did you mean"),
        ("c: {<<: *default}\n", "line 1: no place above is marked &default; a"),
        ("a: | text here\n", "line 1: begins with |, to YAML the beginning of a text that stands in the lines below; "
         "put the text into the lines below, indented, or leave out the |"),
        ("a: > text\n", "line 1: begins with >, to YAML the beginning of a text that stands in the lines below; put"),
        ("a: &x {b: [1, 2}\n", "line 1: a bracket opens and is not closed"),
        ("a: *\n", f"line 1: {ALIAS}"),
        ('a: "C:\\data\\y"\n', "line 1: a \\ in double quotes begins a sign; write '...' in single quotes, or /"),
        ('a: "C:\\xyz"\n', "line 1: a \\ in double quotes begins a sign; write '...' in single quotes, or /"),
        ("{a}: 1\n", "line 1: has a list or a mapping where a key must be a word; a text that begins with [ or {"),
        ("a: {{b}}\n", "line 1: has a list or a mapping where a key must be a word"),
        ("a: 1\n---\nb: 2\n", "line 2: a second study begins, and a file holds one: leave out the ---"),
        ("a: 1\n...\nb: 2\n", "line 3: stands behind the end of the study"),
        ("<<: 3\n", "line 1: << takes an alias, such as *name"),
    ],
)  # fmt: skip
def test_slips_are_told_in_plain_words(tmp_path, text, said):
    assert unread(tmp_path, text).startswith(said)


def test_anchors_and_what_stands_behind_them_are_read(tmp_path):
    text = "a: &one {b: 1}\nc: {<<: *one, d: 2} # *that @these\ne: &two words behind it\nf: *two\ng: |\n  text\n"
    (tmp_path / "right.yaml").write_text(text, encoding="utf-8")
    words = "words behind it"
    said = {"a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": words, "f": words, "g": "text\n"}
    assert parse(tmp_path / "right.yaml")[0] == said


def test_a_mark_at_the_beginning_of_a_file_is_passed_over(tmp_path):
    path = tmp_path / "windows.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: windows\r\nseeds: 3\r\n")
    raw, lines, _ = parse(path)
    assert raw == {"name": "windows", "seeds": 3} and lines["name",] == 1
    path.write_bytes(b"\xef\xbb\xbf\xff")
    with pytest.raises(BadStudy, match="no UTF-8"):
        parse(path)
