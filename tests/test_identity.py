"""Files that are whole and belong elsewhere: every reader says so, names them, and refuses nothing else."""

import os
import shutil
from collections import Counter
from pathlib import Path

import in_process
import numpy as np
import pytest
import whole_study
import yaml
from trials import swaps

from collapselab import store
from collapselab.cli import run as frame
from collapselab.core.errors import Damaged
from collapselab.core.sets import SampleSet
from collapselab.report.tables import metrics_csv
from collapselab.study import jobs, results, verifying
from collapselab.study.loading import check

SURE = ("model.", "adapted.", "auxiliary", "features.safetensors", "kept.", "metrics.", "marked.", "released.")
"""Files that have always said enough of themselves; of others some did: not costs, nor what is made of real data."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study with every noun, run in a folder of its own, and that folder. Not to be written to."""
    folder = tmp_path_factory.mktemp("whole")
    with whole_study.entries():
        study = whole_study.study_of()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            in_process.run(study)
        yield study, folder


@pytest.fixture
def there(whole, tmp_path, monkeypatch):
    """The study, in a copy of its folder, in which this process then is."""
    study, folder = whole
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return study


def test_every_noun_is_there_and_every_verb_reads(whole):
    study, folder = whole
    nouns = {path.name for path in folder.rglob("*.safetensors")} | {path.name for path in folder.rglob("*.parquet")}
    for noun in store.cells.NOUNS:
        assert noun.endswith(".json") or noun.format(role="own") in nouns, noun
    assert {verb for verb, _ in jobs.every(study)} > {"adapt", "auxiliary", "ballots", "select", "transform", "grid"}


def test_a_swapped_file_is_found_by_whoever_reads_it_and_is_named(there):
    records = list(swaps.run(there, 120))
    assert len(records) == 120 and len({(one["noun"], one["verb"]) for one in records}) > 40
    assert [one for one in records if not (one["found"] and one["named"])] == []


def test_files_of_earlier_versions_are_known_by_what_they_were_made_of(there):
    records = list(swaps.run(there, 80, forgotten=True, unread=("report",)))
    missed = [one for one in records if not (one["found"] and one["named"])]
    assert len(records) == 80 and len(missed) <= len(records) // 4
    assert [one for one in missed if one["noun"].startswith(SURE) and "real" not in one["file"]] == []


def test_nothing_else_is_refused(there):
    made = verifying.made_of(there)
    found = [one for one in verifying.faults(there, verifying.listed(there, made), verifying.eaten_by(made)) if one]
    assert found == []
    before = store.recorded_hash(Path(there.cell("memory", 0, 1, "model.safetensors")))
    for verb, place in in_process.in_order(there):
        if place.generation == 1 and place.seed == 0 and verb != "ballots":  # over what is there, with equal bytes
            assert frame.run(in_process.words_of(there, verb, place)) == 0, (verb, place)
    assert store.recorded_hash(Path(there.cell("memory", 0, 1, "model.safetensors"))) == before


def test_a_folder_of_another_seed_is_foreign_with_all_that_is_in_it(there):
    one, other = (Path(there.cell("memory", seed, 1, "metrics.json")).parent for seed in (0, 1))
    shutil.rmtree(one)
    shutil.copytree(other, one)
    for path in one.glob("*.sha256"):
        with pytest.raises(Damaged, match=r"belongs elsewhere|was made of"):
            store.examine(path.with_suffix(""))


def test_a_study_works_in_another_place_and_is_clear_under_another_name(there, tmp_path, monkeypatch):
    shutil.copytree("results", tmp_path / "results" / "else" / "results")
    monkeypatch.chdir(tmp_path / "results" / "else")
    made = verifying.made_of(there)
    assert not any(verifying.faults(there, made, {}))
    os.rename("results/whole", "results/renamed")
    with pytest.raises(Damaged, match=r"study whole.*lies in study renamed.*delete both"):
        store.read_json(Path("results/renamed/memory/seed0/gen1/metrics.json"))
    with pytest.raises(Damaged, match=r"was written as results/whole/.*lies at results/renamed/"):
        store.read_json(Path("results/renamed/memory/seed0/gen1/train.cost.json"))


def test_files_outside_the_results_belong_wherever_they_are(there):
    for end in ("", ".sha256"):
        shutil.copy(there.cell("memory", 0, 1, f"model.safetensors{end}"), f"mine.safetensors{end}")
    assert store.read_tensors(Path("mine.safetensors"))
    assert not Path(".train.made").exists()


def test_what_was_written_before_is_still_known_after_a_kill(tmp_path, monkeypatch):
    path = tmp_path / "results" / "s" / "a" / "seed0" / "gen1" / "samples.safetensors"
    first, second = (SampleSet(np.full((2, 3), float(value)), lineage={"generation": 1}) for value in (0, 1))
    store.write_samples(path, first)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("collapselab.store.bytes._sync_folder", lambda folder: None)
        replace = os.replace
        patch.setattr(os, "replace", lambda a, b: killed() if Path(b) == path else replace(a, b))
        with pytest.raises(KeyboardInterrupt):
            store.write_samples(path, second)
    assert np.all(store.read_samples(path).data == 0)  # noted are both, and the first is still there
    store.write_samples(path, second)
    store.write_samples(path, second)
    lines = (path.parent / ".sample.made").read_text().splitlines()
    assert len(lines) == 2 and lines[1].endswith("  results/s/a/seed0/gen1/samples.safetensors")
    (path.parent / ".sample.made").write_bytes(b"\xff no line\n" * 3)  # says nothing
    assert np.all(store.read_samples(path).data == 1)


# -- verify ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def verify(there, monkeypatch, capsys):
    """The verb in the copy, on the study that has no file in config/: its exit code and what it says."""
    monkeypatch.setattr("collapselab.cli.verify.study_of", lambda name: there)

    def call(*options):
        code = frame.run(["verify", "whole", *options])
        return code, capsys.readouterr().out

    return call


def test_verify_finds_nothing_in_a_whole_study(verify):
    code, said = verify()
    assert code == 0 and "are whole, and lie where they belong" in said


def test_verify_names_what_is_damaged_foreign_and_missing_and_what_hangs_on_it(there, verify):
    model, kept, samples, cost = (
        Path(there.cell(*where))
        for where in (
            ("memory", 0, 1, "model.safetensors"),
            ("drawing", 1, 1, "kept.parquet"),
            ("pattern", 0, 0, "samples.safetensors"),
            ("rings", 0, 2, "sample.cost.json"),
        )
    )
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    for end in ("", ".sha256"):
        shutil.copy(f"{there.cell('drawing', 0, 1, 'kept.parquet')}{end}", f"{kept}{end}")
        Path(f"{samples}{end}").unlink()
    store.hash_path(cost).write_text("nothing\n")
    code, said = verify()
    blocks = dict(part.split(": ", 1) for part in said.replace("\n  ", "@").splitlines() if ": " in part)
    assert code == frame.EXIT_DAMAGED
    assert "damaged: its SHA-256" in blocks[str(model)] and "memory, seed 0: generation 1 to 2" in blocks[str(model)]
    assert "belongs elsewhere" in blocks[str(kept)] and "drawing, seed 1: generation 1 to 2" in blocks[str(kept)]
    assert "is missing" in blocks[str(samples)] and "pattern, seed 0: generation 0 to 2" in blocks[str(samples)]
    assert "no SHA-256" in blocks[str(cost)]
    assert "4 of" in said and "--set-aside; collapselab run" in said and model.exists()
    code, said = verify("--set-aside")
    assert code == frame.EXIT_DAMAGED and not model.exists() and not kept.exists()
    assert Path(f"{model}.damaged").exists() and Path(f"{kept}.damaged").exists()


def test_generations_and_seeds_that_a_study_is_given_after_its_report_are_not_made_yet(there, verify, monkeypatch):
    """A generation that the report's table has was there: where it is gone it is missing."""
    page, table = (Path(there.report_file(name)) for name in ("report.html", "metrics.csv"))
    page.parent.mkdir(parents=True, exist_ok=True)
    table.write_bytes(metrics_csv(results.facts(there), results.records(there)[0]))
    page.write_text("drawn before the study grew")
    for path in (page, table):
        store.hash_path(path).write_text(f"{store.content_hash(path)}  {path.name}\n")
    last = Path(there.cell("memory", 0, 2, "metrics.json")).parent
    text = whole_study.STUDY.replace("NAME", "whole").replace("SEED", "0")
    text = text.replace("generations: 2", "generations: 3").replace("seeds: 2", "seeds: 3")
    text = text.replace("fresh: 10,", "fresh: 6,")  # there are 20 for three generations, too
    text += "  new: {model: plain, regime: fully_synthetic, stream: 6}\nstop: {when: diverged}\n"
    grown, faults = check(yaml.safe_load(text), "whole")
    assert not faults
    monkeypatch.setattr("collapselab.cli.verify.study_of", lambda name: grown)
    code, said = verify()
    assert code == 0 and "more are not made yet" in said and "is missing" not in said
    shutil.rmtree(last)
    code, said = verify()
    assert code == frame.EXIT_DAMAGED and f"{last}/metrics.json: is missing" in said and "gen3" not in said


NOUNS = ("training.parquet", "model.safetensors", "samples.safetensors", "features.safetensors", "metrics.json")


@pytest.mark.parametrize("noun", NOUNS)
def test_of_a_file_and_its_hash_the_one_that_is_wrong_is_named(there, verify, noun):
    """The hash of a neighbour, or of nobody: the file is one that was written there, and is left where it is."""
    path = Path(there.cell("memory", 0, 1, noun))
    beside, content = store.hash_path(path), path.read_bytes()
    for said in (store.hash_path(Path(there.cell("memory", 1, 1, noun))).read_text(), f"{'a' * 64}  {noun}\n"):
        beside.write_text(said)
        with pytest.raises(Damaged, match=f"{noun} is whole: write it anew: sha256sum {noun} > {beside.name}") as fault:
            store.verify(path)
        assert fault.value.path == beside and path.read_bytes() == content
        code, told = verify()
        assert code == frame.EXIT_DAMAGED and f"{beside}: is of another file" in told and "1 of" in told
        assert "belongs elsewhere" not in told and f"{path}: " not in told
    code, told = verify("--set-aside")
    assert f"renamed to {beside}.damaged" in told and path.read_bytes() == content and not beside.exists()


def test_verify_grows_with_the_files_and_not_faster(whole):
    """Every file is looked at once, and each of its inputs once for each job that reads it."""
    study, _ = whole
    made = verifying.made_of(study)
    eaten = verifying.eaten_by(made)
    assert sum(map(len, eaten.values())) == sum(map(len, made.values()))
    counted = Counter(verifying.listed(study, made))
    assert set(counted.values()) == {1}
