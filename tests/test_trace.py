"""A sample's line back to real data, and how far from it the rows of training sets are."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from project import ROOT, Project, said

from collapselab import store
from collapselab.compose.ancestry import ancestry
from collapselab.compose.tracing import trace
from collapselab.core.sets import KeptTable, Reference, SampleSet, TrainingTable
from collapselab.data.provenance import Origin, encode_told
from collapselab.study.loading import check
from collapselab.verdicts.descent import real_ancestry

GENERATIONS = 12

# -- real ancestry -----------------------------------------------------------------------------------------------------


def planned(regime, generations=GENERATIONS):
    """What the training sets of an arm consist of by the study's own recipes: (arm, generation) -> parts."""
    raw = yaml.safe_load((ROOT / "config/smoke.yaml").read_text()) | {"generations": generations}
    raw |= {"arms": {"a": {"model": "moments", "regime": regime}}, "waive": {"training_set_size": "as it is"}}
    found, _ = check(raw, "smoke")  # that sizes are equal is waived in vain by some, which is another test's
    recipes = {t: found.recipe("a" if t else found.lineages["a"].base, t) for t in range(generations + 1)}
    return {("a", t): [(one.arm, one.generation, one.count) for one in of.draws] for t, of in recipes.items()}


def course(regime):
    """(direct share, mean depth) of each generation."""
    found = ancestry(planned(regime))
    return [tuple(found["a", t]) for t in range(GENERATIONS + 1)]


def test_each_generation_of_a_fully_synthetic_loop_is_one_model_deeper():
    assert course("fully_synthetic") == [(1.0, 0.0), *((0.0, float(t)) for t in range(1, GENERATIONS + 1))]


def test_what_accumulates_is_as_deep_as_the_harmonic_numbers():
    found = course("accumulate")
    for t, (real, depth) in enumerate(found):
        assert real == pytest.approx(1 / (t + 1))
        assert depth == pytest.approx(sum(1 / i for i in range(1, t + 2)) - 1)


def test_fresh_data_holds_the_depth_at_a_limit():
    # D = p (1 + D) with a share p of synthetic rows: D_t = p + p^2 + ... + p^t, below p / (1 - p).
    found = course({"fresh_data": {"fresh": 10}})
    p = 0.8
    for t, (real, depth) in enumerate(found[1:], 1):
        assert real == pytest.approx(1 - p) and depth == pytest.approx(p * (1 - p**t) / (1 - p))


def test_real_data_alone_is_no_model_deep():
    eaten = {("c", t): [("redrawn", t, 50)] for t in range(4)}
    assert set(ancestry(eaten).values()) == {(1.0, 0.0)}


def test_depth_goes_through_other_arms_and_ends_where_one_is_not_known():
    eaten = {
        ("a", 0): [("fixed", 0, 10)],
        ("b", 0): [("fixed", 0, 10)],
        ("a", 1): [("a", 0, 10)],
        ("b", 1): [("a", 0, 5), ("fresh", 1, 5)],
        ("b", 2): [("a", 1, 6), ("b", 1, 3), ("fixed", 0, 1)],
        ("a", 2): [],  # of a lineage that ended
        ("a", 3): [("a", 2, 10)],
        ("b", 3): [("elsewhere", 2, 1), ("fixed", 0, 9)],
    }
    found = ancestry(eaten)
    assert found["b", 1] == (0.5, 0.5)
    assert found["b", 2] == pytest.approx((0.1, (6 * 2 + 3 * 1.5) / 10))
    assert not {("a", 2), ("a", 3), ("b", 3)} & found.keys()


def test_records_say_the_same(finished):
    paths = (finished.folder / "results/smoke").glob("*/seed*/gen*/metrics.json")
    found = real_ancestry([json.loads(path.read_text()) for path in paths])
    assert [found["fully_synthetic"][seed][t] for seed in (0, 1) for t in range(3)] == [(1, 0), (0, 1), (0, 2)] * 2
    # Ten fresh rows, and the rest of the last two models: 0.8 (1 + 0), then 0.4 (1 + 0) + 0.4 (1 + 0.8).
    assert found["k_memory"][0][2] == pytest.approx((0.2, 0.4 + 0.4 * 1.8))
    verdicts = json.loads((finished.folder / "results/smoke/report/verdicts.json").read_text())
    assert verdicts["descent"]["k_memory"]["numbers"]["depth"] == pytest.approx(1.12)


# -- lines -------------------------------------------------------------------------------------------------------------

CELL = "results/s/a/seed0/gen{}"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Pictures of a data set, a model of generation 0 and one of generation 1, with what hangs on them; no training."""
    monkeypatch.chdir(tmp_path)
    pictures = np.zeros((6, 1, 4, 4), np.uint8)
    real = {"source": "digits", "digest": "abc", "options": {}, "split_seed": 0, "part": "train"}
    part = "results/real/digits/train-0-6.safetensors"
    raw = np.array([50, 40, 30, 20, 10, 0])
    digest = store.write_samples(Path(part), SampleSet(pictures, aux={"row": raw}, lineage=real))
    base = "results/s/base_m/seed0/gen0"
    _train(base, [Reference(digest, part, np.arange(6), "real", "fixed", 0, None, 1.0)], 0)
    first = _sample(0, f"{base}/model.safetensors")
    kept = KeptTable(np.array([1, 4]), np.zeros(2), ("best", "good"), "nobody", {"inputs": first})
    store.write_kept(Path(f"{CELL.format(0)}/kept.parquet"), kept)
    parts = [Reference(digest, part, np.array([5]), "real", "fixed", 0, None, 1.0)]
    ((path, source),) = first.items()
    parts.append(Reference(source, path, np.array([1, 4, 2]), "synthetic", "a", 0, None, 1.0))
    _train(CELL.format(1), parts, 1)
    _sample(1, f"{CELL.format(1)}/model.safetensors")
    return tmp_path


def _train(folder, parts, generation):
    table = Path(f"{folder}/training.parquet")
    digest = store.write_training(table, TrainingTable(tuple(parts), {"recipe": {"generation": generation}, "seed": 0}))
    lineage = {"generation": generation, "seed": 0, "inputs": {str(table): digest}}
    store.write_tensors(Path(f"{folder}/model.safetensors"), {}, {"family": "m", "options": {}, "lineage": lineage})


def _sample(generation, model):
    path = Path(f"{CELL.format(generation)}/samples.safetensors")
    inputs = {model: store.recorded_hash(Path(model))}
    lineage = {"generation": generation, "seed": 0, "stream": 0, "sampling_bias": 0.5, "inputs": inputs}
    return {str(path): store.write_samples(path, SampleSet(np.zeros((5, 1, 4, 4), np.uint8), lineage=lineage))}


def test_a_real_row_of_a_training_set_is_the_very_picture(project):
    line = trace(Path(f"{CELL.format(1)}/training.parquet"), 0)
    assert line.holds and line.sets == []
    assert line.links[0].said.startswith("row 0 of the training set is row 5 of results/real/digits/train-0-6.safetens")
    assert line.links[1].said.startswith("real: number 0 of the data set 'digits', digest abc")  # its row there
    first = trace(Path("results/s/base_m/seed0/gen0/training.parquet"), 1)
    assert "number 40 of the data set" in first.links[1].said


def test_a_synthetic_row_leads_through_its_model_to_real_data(project):
    line = trace(Path(f"{CELL.format(1)}/training.parquet"), 2)
    assert "row 4 of results/s/a/seed0/gen0/samples.safetensors, of a, generation 0" in line.links[0].said
    assert "sample 4 that the model of generation 0 made, with seed 0, random stream 0" in line.links[1].said
    assert "sampling bias 0.5" in line.links[1].said
    assert [one.parts for one in line.sets] == [(("fixed", 0, 6),)] and line.sets[0].ancestry == (1.0, 0.0)
    assert [link.file for link in line.real] == ["results/real/digits/train-0-6.safetensors"]


def test_a_sample_says_what_all_models_before_it_were_trained_on(project):
    line = trace(Path(f"{CELL.format(1)}/samples.safetensors"), 3)
    assert [(one.generation, one.parts) for one in line.sets] == [
        (1, (("fixed", 0, 1), ("a", 0, 3))),
        (0, (("fixed", 0, 6),)),
    ]
    assert line.sets[0].ancestry == (0.25, 0.75)
    assert line.holds


def test_what_the_models_learnt_that_a_model_began_from_is_on_its_line(project):
    """A model that goes on from another, and an adapter that is handed all earlier models and their training sets."""
    base, one, two = "results/s/base_m/seed0/gen0", CELL.format(1), CELL.format(2)
    part = "results/real/digits/train-0-6.safetensors"
    digest = store.recorded_hash(Path(part))
    _train(two, [Reference(digest, part, np.array([0, 2]), "real", "fresh", 2, None, 1.0)], 2)
    before, own, last = f"{base}/model.safetensors", f"{one}/model.safetensors", f"{two}/model.safetensors"
    for folder, generation, file, names in (
        (two, 2, last, [own, f"{two}/training.parquet"]),
        (two, 2, f"{two}/adapted.safetensors", [f"{base}/training.parquet", before, last, f"{two}/training.parquet"]),
    ):
        inputs = {name: store.recorded_hash(Path(name)) for name in names}
        lineage = {"generation": generation, "seed": 0, "inputs": inputs}
        store.write_tensors(Path(file), {}, {"family": "m", "options": {}, "lineage": lineage})
        _sample(2, file)
        line = trace(Path(f"{folder}/samples.safetensors"), 0)
        assert line.holds and [(found.generation, found.file) for found in line.sets] == [
            (2, f"{two}/training.parquet"),
            (1, f"{one}/training.parquet"),
            (0, f"{base}/training.parquet"),
        ]
    store.write_tensors(Path(own), {}, {"family": "m", "options": {}, "lineage": {}})
    line = trace(Path(f"{two}/samples.safetensors"), 0)
    assert not line.holds and [link.file for link in line.links if not link.holds] == [last]  # made of another
    assert [found.generation for found in line.sets] == [2, 0]


def test_a_kept_row_and_a_picture_lead_to_their_sample(project):
    line = trace(Path(f"{CELL.format(0)}/kept.parquet"), 1)
    assert line.links[0].said.startswith("row 1 of those that nobody kept is sample 4 of") and len(line.links) == 2
    picture = project / "somewhere.png"
    picture.write_bytes(encode_told(np.zeros((1, 4, 4), np.uint8), Origin("s", "a", 0, 1, 2)))
    line = trace(picture)
    assert "by its own words sample 2 of a, seed 0, generation 1, of the study 's'" in line.links[0].said
    assert line.links[1].said.startswith("sample 2 that the model of generation 1 made") and len(line.sets) == 2
    picture.write_bytes(encode_told(np.zeros((1, 4, 4), np.uint8), Origin("s", "a", 0, 1)))
    with pytest.raises(ValueError, match="is a sheet of several samples"):
        trace(picture)
    picture.write_bytes(encode_told(np.zeros((1, 4, 4), np.uint8), Origin(source="digits", index=7, generated=False)))
    assert "a real picture of the data set 'digits', its number 7" in trace(picture).links[0].said


def test_a_picture_that_is_damaged_or_tells_no_numbers_is_named(project):
    picture = project / "cut.png"
    content = encode_told(np.zeros((1, 4, 4), np.uint8), Origin("s", "a", 0, 1, 2))
    picture.write_bytes(content[:-40])
    with pytest.raises(ValueError, match=r"cut\.png: cannot be read as a picture"):
        trace(picture)
    told = PngInfo()
    for name, text in {"study": "s", "arm": "a", "seed": "²", "generation": "1", "index": "0"}.items():
        told.add_itxt(f"collapselab:{name}", text)
    Image.new("L", (4, 4)).save(picture, pnginfo=told)
    with pytest.raises(ValueError, match=r"cut\.png: says as its seed '²'; allowed are whole numbers"):
        trace(picture)


def test_a_file_that_was_made_again_or_is_gone_ends_the_line_and_is_named(project):
    path = Path(f"{CELL.format(0)}/samples.safetensors")
    _sample(0, "results/s/base_m/seed0/gen0/model.safetensors")  # the same bytes: nothing has happened
    assert trace(Path(f"{CELL.format(1)}/samples.safetensors"), 0).holds
    store.write_samples(path, SampleSet(np.ones((5, 1, 4, 4), np.uint8), lineage=store.read_samples(path).lineage))
    line = trace(Path(f"{CELL.format(1)}/samples.safetensors"), 0)
    (lost,) = [link for link in line.links if not link.holds]
    assert lost.file == str(path) and "was used: it was made again since" in lost.said and len(line.sets) == 1
    path.unlink()
    line = trace(Path(f"{CELL.format(1)}/training.parquet"), 1)
    assert not line.holds and "is not there any more" in line.links[1].said
    with pytest.raises(ValueError, match=r"--row: found 9; allowed are 0 to 3"):
        trace(Path(f"{CELL.format(1)}/training.parquet"), 9)
    with pytest.raises(ValueError, match="say --row N"):
        trace(Path(f"{CELL.format(1)}/samples.safetensors"))
    with pytest.raises(FileNotFoundError):
        trace(Path("nowhere.png"))
    Path("study.yaml").write_text("name: study", encoding="utf-8")
    for other in ("study.yaml", CELL.format(1)):
        with pytest.raises(ValueError, match=rf"{other}: .*; allowed is an exported picture, a sample set"):
            trace(Path(other), 0)


def test_the_verb_prints_a_line_of_a_study_that_has_run(smoke: Project):
    told = smoke.run("collapselab", "trace", "results/smoke/k_memory/seed0/gen2/training.parquet", "--row", 45).stdout
    assert "number 15 of 20, of k_memory, generation 1: drawn anew from its model" in told
    assert "20 % real (fresh), 80 % of k_memory, generation 0; 20 % real, 0.8 models from real data on average" in told
    assert "drawn for one training set from the population 'gaussian'" in told
    found = json.loads(
        smoke.run(
            "collapselab", "trace", "results/smoke/fully_synthetic/seed1/gen2/samples.safetensors", "--row", 0, "--json"
        ).stdout
    )
    assert [one["ancestry"]["depth"] for one in found["training_sets"]] == [2, 1, 0] and found["holds"]
    (smoke.folder / "results/smoke/fully_synthetic/seed1/gen1/samples.safetensors").unlink()
    done = smoke.run(
        "collapselab", "trace", "results/smoke/fully_synthetic/seed1/gen2/samples.safetensors", "--row", 0, code=3
    )
    assert "gen1/samples.safetensors: is not there any more" in said(done)
