"""The grammar of results: which generation a file is of, and which rule of the workflow leaves it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collapselab.store.cells import CELL, NOUNS, Cell, left_by

ROOT = Path(__file__).parents[1]
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
ROLE = "weak_2"
NAMES = [noun.format(role=ROLE) for noun in NOUNS]

words = st.from_regex(r"[a-z][a-z0-9_.-]{0,12}", fullmatch=True)
numbers = st.integers(0, 10**6)


@given(
    words, words, numbers, numbers, st.sampled_from(NAMES), st.sampled_from(["", "/", "/tmp/a b/", "results/", "x/"])
)
def test_a_path_says_its_cell_and_its_noun(study, arm, seed, generation, noun, before):
    cell = Cell(study, arm, seed, generation)
    assert Cell.parse(before + cell.path(noun)) == (cell, noun)


@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_has_one_place(noun):
    name = noun.format(role=ROLE)
    cell = Cell("study", "arm", 2, 13)
    assert cell.path(name) == f"results/study/arm/seed2/gen13/{name}" == f"{cell.folder}/{name}"
    assert Cell.parse(cell.path(name)) == (cell, name)
    assert CELL.format(study="study", arm="arm", seed=2, generation=13) == cell.folder


@pytest.mark.parametrize(
    "path",
    [
        *(f"results/study/arm/seed0/gen1/{name}" for name in ("model.safetensors.sha256", "model", "other.json", "")),
        "results/study/arm/seed0/gen1/model.safetensors/more",
        "results/study/arm/seed0/gen1",
        "results/study/arm/seed0/model.safetensors",
        "results/study/arm/seed/gen1/model.safetensors",
        "results/study/arm/seed0/gen-1/model.safetensors",
        "results/study/arm/seed0/gen1.5/model.safetensors",
        "results/study/arm/seedA/gen1/model.safetensors",
        "results/study/arm/seed01/gen1/model.safetensors",
        "results/study/arm/seed1/gen01/model.safetensors",
        "results/study/arm/seed\u0663/gen1/model.safetensors",
        "results/study/seed0/gen1/model.safetensors",
        "logs/study/arm/seed0/gen1/model.safetensors",
        "myresults/study/arm/seed0/gen1/model.safetensors",
        "results/study/arm/more/seed0/gen1/model.safetensors",
        "results/real/digits/train.safetensors",
        "results/study/arm/replicates.parquet",
        "results/study/report/baseline.json",
        # A role is a lower-case word, and there is one.
        *(
            f"results/study/arm/seed0/gen1/auxiliary{role}.safetensors"
            for role in ("", "-", "-Weak", "-a-b", "-{role}", "-a.b")
        ),
        "results/study/arm/seed0/gen1/model.snapshots/000000000512.safetensors",
        "results/study/arm/seed0/gen1/.model.training/state0.safetensors",
        "",
    ],
)
def test_other_files_are_of_no_cell(path):
    assert Cell.parse(path) is None


def test_a_verb_leaves_its_nouns():
    assert left_by("train") == ["training.parquet", "model.safetensors", "train.cost.json"]
    assert left_by("auxiliary", "weak") == ["auxiliary-weak.safetensors", "auxiliary-weak.cost.json"]
    assert left_by("nobody") == []
    assert {noun for verb in {one.verb for one in NOUNS.values()} for noun in left_by(verb, "{role}")} == set(NOUNS)
    assert {one.keep for one in NOUNS.values()} == {"always", "until_measured"}


def outputs():
    """Of each rule of the workflow the nouns that it puts into a generation's folder."""
    found = {}
    for path in RULES:
        for rule in re.split(r"(?m)^(?=(?:checkpoint|rule) )", path.read_text()):
            name = re.match(r"(?:checkpoint|rule) (\w+):", rule)
            output = re.search(r"(?m)^    output:\n((?:        .*\n|\n)+)", rule)
            if name and output:
                nouns = re.findall(r'\bcell\("([^"]+)"\)', output[1])
                nouns += re.findall(r"seed\{seed\}/gen\{generation\}/([^\"]+)\"", output[1])
                found[name[1]] = nouns
    return {rule: nouns for rule, nouns in found.items() if nouns}


def test_what_a_rule_leaves_in_a_generation_is_a_noun_of_the_verb_of_that_name():
    found = outputs()
    assert found == {verb: left_by(verb, "{role}") for verb in dict.fromkeys(one.verb for one in NOUNS.values())}, found


def test_no_rule_writes_the_grammar_out_again():
    for path in RULES:
        assert "gen{generation}" not in path.read_text(), path
