"""Studies as files: YAML 1.2 within bounds, in a time linear in its size; whatever stands there, an answer in words."""

import os
import random
import time

import pytest
import yaml
from effort import calls
from project import ROOT

from collapselab.cli import run as frame
from collapselab.compose.regimes import Initial, LastK, Pool, Real, Regime, Synthetic, draws, pooled, size
from collapselab.study import BadStudy
from collapselab.study.loading import load
from collapselab.study.reading import parse

TWENTY_S = 20  # that any study may take


def faults_of(path):
    try:
        load(path)
    except BadStudy as error:
        return {".".join(map(str, fault.path)): fault.message for fault in error.faults}, str(error)
    return {}, ""


def study(tmp_path, name="study", **changes):
    raw = {
        "name": name,
        "seeds": 1,
        "generations": 2,
        "data": {"population": {"gaussian": {"dimension": 2}}, "split": {"held_out": 50}},
        "models": {"m": {"gaussian": {"ddof": 0}}},
        "initial": {"real": 100},
        "samples": 100,
        "extractors": ["identity"],
        "metrics": ["recall"],
        "primary": {"metric": "recall", "extractor": "identity"},
        "arms": {"own": {"model": "m", "regime": "fully_synthetic"}},
    }
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**raw, **changes}, sort_keys=False))
    return path


def with_line(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


# -- YAML 1.2 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("12", 12),
        ("-3", -3),
        ("0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("~", None),
        ("", None),
        # Words, though numbers, truths and days of YAML 1.1.
        *((word, word) for word in ("010", "1:30", "1_000", "0b11", "no", "Yes", "off", "2024-01-31", "=", "10^15")),
    ],
)
def test_words_are_read_as_yaml_1_2_says(tmp_path, said, found):
    path = tmp_path / "study.yaml"
    path.write_text(f"value: {said}\n")
    raw, _, faults = parse(path)
    assert raw == {"value": found} and type(raw["value"]) is type(found) and not faults


@pytest.mark.parametrize("number", ["010", "1:30", "0b11", "1_000", "10^15", "2024-01-31"])
def test_what_is_a_number_of_yaml_1_1_alone_is_none(tmp_path, number):
    path = with_line(study(tmp_path, seeds=77), "seeds: 77", f"seeds: {number}")
    found, said = faults_of(path)
    assert found == {"seeds": f"found {number!r}; should be a valid integer"} and "line 2: seeds" in said


def test_numbers_have_bounds(tmp_path):
    for key in ("samples", "grid", "seed", "seeds", "generations"):
        found, _ = faults_of(study(tmp_path, **{key: 10**19}))
        assert "less than" in found[key], key
    found, _ = faults_of(study(tmp_path, initial={"real": 10**15}))
    assert found["initial.real"] == "found 1000000000000000; should be less than or equal to 1000000000"


def test_names_that_are_one_folder_to_some_file_systems_are_refused(tmp_path):
    arm = {"model": "m", "regime": "fully_synthetic"}
    found, _ = faults_of(study(tmp_path, arms={"k_memory": arm, "K_Memory": arm, "other": arm}))
    said = "differs from 'k_memory' in small and large letters alone; choose another name"
    assert found == {"arms.K_Memory": said}
    models = {"m": {"gaussian": {"ddof": 0}}, "M": {"gaussian": {"ddof": 1}}}
    assert list(faults_of(study(tmp_path, models=models))[0]) == ["models.M"]


def test_names_leave_room_in_a_file_systems_255_bytes(tmp_path):
    for length, allowed in ((100, True), (101, False), (300, False)):
        arms = {"a" * length: {"model": "m", "regime": "fully_synthetic"}}
        found, _ = faults_of(study(tmp_path, arms=arms))
        assert bool(found) != allowed
        assert allowed or "at most 100 characters" in next(iter(found.values()))
        other = {"model": "m", "regime": "fully_synthetic"}
        models = {"b" * length: {"gaussian": {"ddof": 0}}, "m": {"gaussian": {"ddof": 1}}}
        arms = {"own": {"model": "b" * length, "regime": "fully_synthetic"}, "other": other}
        assert bool(faults_of(study(tmp_path, models=models, arms=arms))[0]) != allowed
    models = {"b" * 100: {"gaussian": {"ddof": 0}}, "m": {"gaussian": {"ddof": 1}}}
    arms = {"a" * 100: {"model": "b" * 100, "regime": "fully_synthetic"}, "other": other}
    found = load(study(tmp_path, models=models, arms=arms, calibration=[10**6]))
    folders = [part for arm in (*found.lineages, *found.bases) for part in found.cell(arm, 0, 0, "x").split("/")]
    assert 100 < max(map(len, folders)) < 200


# -- texts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ['"\\ud800"', '"a\\0b"', '"\\e[2J"', '"\\u0007"'])
def test_texts_have_no_signs_that_no_process_can_be_told(tmp_path, sign):
    path = with_line(study(tmp_path, question="WHAT"), "question: WHAT", f"question: {sign}")
    found, said = faults_of(path)
    if "is not YAML" in said:  # half a pair of surrogates, where libyaml reads
        return
    assert list(found) == ["question"] and "found the character U+" in found["question"] and "line 28: " in said
    for where in ("arms", "models"):
        assert any(
            "found the character U+" in one
            for one in faults_of(with_line(study(tmp_path), f"{where}:\n", f"{where}:\n  {sign}: 3\n"))[0].values()
        )


def test_braces_in_paths_that_the_workflow_reads_are_refused(tmp_path):
    folder = tmp_path / "a{study}b"
    folder.mkdir()
    from collapselab import store

    weights = folder / "w.safetensors"
    store.write_tensors(weights, {}, {"family": "gaussian"})
    found, _ = faults_of(study(tmp_path, init={"weights": str(weights)}))
    assert list(found) == ["init.weights"] and "braces" in found["init.weights"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_pipes_and_devices_are_no_studies(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    link = tmp_path / "zero.yaml"
    link.symlink_to("/dev/zero")
    for path in (pipe, link):
        found, _ = faults_of(path)
        assert found == {"": "cannot be read: it is a folder, a pipe or a device, and no file"}


@pytest.mark.parametrize(
    "text",
    [
        "seed: " + ":".join(["30"] * 130_000),  # ninety, and so on, to YAML 1.1
        "seed: 0x" + "f" * 400_000,
        "seed: " + "9" * 400_000,
        "seed: 1e" + "9" * 400_000,
        "seed: ." + "9" * 400_000,
        "seed: 0o" + "7" * 400_000,
        "? " + "9" * 400_000 + "\n: 1",
        "a: " + "[" * 490_000 + "]" * 490_000,
        "a: " + "{a: " * 190_000,
        "- " * 490_000,
        "? " * 490_000,
        "&a [" + "*a," * 300_000 + "]",
        "a: " + "x" * 900_000,
        "a" * 900_000 + ": 1",
        "\n".join(f"k{number}: 1" for number in range(12_500)),
        "\n".join(f"k{number % 7}: 1" for number in range(12_500)),
        "arms:\n" + "\n".join(f"  a{number}: {{model: m{number}}}" for number in range(6_000)),
        "models:\n" + "\n".join(f"  a{number}: gaussian{number}" for number in range(6_000)),
        "metrics: [" + ",".join(f"m{number}" for number in range(15_000)) + "]",
        "extractors: [" + ",".join("lenet" for number in range(15_000)) + "]",
        "calibration: [" + ",".join(str(number + 2) for number in range(15_000)) + "]",
        "train: {images_seen: {" + ", ".join(f"{number}: 1" for number in range(10_000)) + "}}",
        "data: {rare: {" + ", ".join(f"{number}: .00001" for number in range(10_000)) + "}}",
        "waive: {" + ", ".join(f"r{number}: x" for number in range(10_000)) + "}",
    ],
    ids=range(24),
)
def test_a_study_without_bound_is_refused_in_no_time(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    (found, said), spent = calls(faults_of, path)
    assert found and len(said) < 200_000
    assert spent < 4_000_000  # a second or two; of a square of their number it would be ten times that


def test_many_arms_are_checked_in_linear_time(tmp_path):
    spent = {}
    for arms in (100, 400):
        path = study(
            tmp_path, arms={f"a{number}": {"model": "m", "regime": "fully_synthetic"} for number in range(arms)}
        )
        (found, _), spent[arms] = calls(faults_of, path)
        assert found == {}
    assert spent[400] < 4.2 * spent[100], spent


def test_of_many_faults_the_first_are_shown_and_the_others_counted(tmp_path):
    path = study(tmp_path)
    path.write_text(path.read_text() + "\n".join(f"k{number}: 1" for number in range(5_000)))
    found, said = faults_of(path)
    assert len(found) == 5_000 and said.splitlines()[-1] == "  and 4800 more" and "study.yaml: 5000 faults" in said


@pytest.mark.parametrize("mode", ["accumulate", "accumulate_subsample", {"k_memory": {"fresh": 0, "k": 5}}])
def test_generations_are_checked_in_linear_time(tmp_path, mode):
    spent = {}
    for generations in (500, 2_000):
        arms = {"own": {"model": "m", "regime": mode}}
        path = study(tmp_path, generations=generations, arms=arms)
        (found, _), spent[generations] = calls(faults_of, path)
        assert found == {}
    assert spent[2_000] < 4.1 * spent[500], spent


POOLS = [
    {},
    {"mode": "accumulate"},
    {"mode": "accumulate", "includes": ["synthetic"]},
    {"mode": "accumulate", "includes": ["real"]},
    {"mode": "accumulate", "includes": []},
    {"mode": "subsample", "budget": 7},
]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("eaten", ["last", "all", LastK(last=3)])
def test_a_pool_grows_to_what_each_generation_draws(pool, eaten):
    regime = Regime(
        initial=Initial(real=9),
        real=Real(fixed={1: 4, 3: 2}, fresh={2: 3}, redrawn={4: 5}),
        synthetic=[Synthetic(n={1: 8, 4: 0, 5: 3}, from_=eaten), Synthetic(n=2, of="other", from_=eaten)],
        pool=Pool(**pool),
    )
    counts = {}
    for generation, found in enumerate(pooled(regime, "own", 8)):
        expected = {draw[:2]: draw.count for draw in draws(regime, "own", generation)}
        assert found.size == size(regime, "own", generation)
        kinds = {draw.is_real for draw in draws(regime, "own", generation)}
        assert (found.real, found.synthetic) == (True in kinds, False in kinds)
        counts = {key: count for key, count in counts.items() if key in expected}
        counts |= {draw[:2]: draw.count for draw in found.changed}
        assert counts == expected, generation


# -- mutants -----------------------------------------------------------------------------------------------------------

SHIPPED = sorted((ROOT / "config").glob("*.yaml"))
ODD = [
    *("{x}", "{study}", "[", "'", '"', "&a", "*a", "!!int x", "!x", "<<: *a", "? ", "- ", "#", "|", ">", "%", "@", "`"),
    *("\t", "\x00", "\ud7ff", "é", "𝒳", "''", '"\\ud800"', '"\\0"', "on", "=", "=cmd|x", "null", "~", "{}", "[]"),
    *("010", "1:30", "0x" + "f" * 99, "9" * 99, "1e999", "-0", ".inf", ".nan", "2000", "10000", "-1", "0", "1e-300"),
    *("../..", "/dev/zero", "/proc/self/mem", "a" * 300, "self", "control", "real", "real_only", "accumulate"),
    *("{algebra: {real: {fixed: 3}}}", "{gaussian: {}}", "{k_memory: {k: 2000, fresh: 0}}", "[1, 2]", "{1: 2}"),
]


def mutated(text, chance):
    """A study's text with a few words, lines or letters replaced, moved, doubled or lost."""
    for _ in range(chance.choice([1, 1, 1, 2, 3, 5])):
        what = chance.randrange(6)
        lines = text.splitlines(keepends=True)
        place = chance.randrange(len(lines))
        if what == 0:
            lines.pop(place)
        elif what == 1:
            lines.insert(chance.randrange(len(lines)), lines[place])
        elif what == 2:
            lines[place] = lines[place].replace("  ", "", 1) if "  " in lines[place] else "  " + lines[place]
        elif what == 3 and ":" in lines[place]:
            lines[place] = f"{lines[place].partition(':')[0]}: {chance.choice(ODD)}\n"
        elif what == 4 and len(lines[place]) > 1:
            at = chance.randrange(len(lines[place]))
            lines[place] = lines[place][:at] + chance.choice(ODD) + lines[place][at + chance.randrange(3) :]
        else:
            words = lines[place].split(" ")
            words[chance.randrange(len(words))] = chance.choice(ODD)
            lines[place] = " ".join(words)
        text = "".join(lines)
    return text


@pytest.mark.parametrize(
    "mutants", [range(20), pytest.param(range(20, 500), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_500_mutated_studies_end_in_words_and_soon(tmp_path, monkeypatch, capsys, mutants):
    """No traceback, none over 20 s; what is wrong is said with the file."""
    monkeypatch.chdir(tmp_path)
    codes = {0: 0, 2: 0}
    for number in mutants:
        chance = random.Random(number)
        origin = chance.choice(SHIPPED)
        path = tmp_path / origin.name
        path.write_text(mutated(origin.read_text(encoding="utf-8"), chance), encoding="utf-8")
        begin = time.process_time()
        code = frame.run(["validate", str(path)])
        spent = time.process_time() - begin
        said = capsys.readouterr()
        assert code in codes, f"mutant {number}: {code}\n{said.err[-2000:]}"
        assert spent < TWENTY_S, f"mutant {number}: {spent:.0f} s"
        assert code == 0 or f"{path}: " in said.err, f"mutant {number}: {said.err[:500]}"
        codes[code] += 1
        path.unlink()
    assert codes[2] > len(mutants) / 3, codes  # the mutations are worth their name
