"""What is handed on of a study: data sets described in Croissant, one crate, a citation, and the dossier."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_formats import CASES, ORIGIN, samples_of

from collapselab import store
from collapselab.cli.run import app
from collapselab.core.sets import KeptTable, SampleSet
from collapselab.data.formats import FORMATS, Given
from collapselab.data.rights import Rights
from collapselab.models import MODELS
from collapselab.publish import answers, citation, crate, sayings
from collapselab.publish.croissant import About, croissant
from collapselab.publish.document import Document, Field, Section, Table, markdown, page
from collapselab.publish.dossier import dossier
from collapselab.publish.duties import LAWS
from collapselab.publish.known import Known
from collapselab.study.budget import work
from collapselab.study.loading import load

STUDY = """
name: pics
question: Is <this> a *question*?
seed: 3
seeds: 1
generations: 1
data: {source: digits, split: {train: 30, held_out: 20, fresh: 10}}
models: {tiny: {diffusion: {preset: tiny}}}
initial: {real: 30}
train: {images_seen: 300}
samples: 30
extractors: [pixels]
metrics: [precision, recall]
primary: {metric: recall, extractor: pixels}
arms:
  alone: {model: tiny, regime: fully_synthetic, about: its own samples}
  half:
    model: tiny
    regime: {synthetic_augmentation: {fixed: 15}}
    mark: {spread_spectrum: {}}
    select: {random: {share: 0.5}}
control: none
yoked: false
"""
ANSWERS = """
provider: {name: An Institute, authors: ["Lovelace, Ada", A group], monthly_users: 12}
system: {name: Pics, version: 2.0.1, licence: CC-BY-4.0, released: 2026-11-29}
sources: {personal: none}
"""


def lay(folder: Path) -> None:
    """A finished study of pictures, as its jobs would leave it, with made-up numbers."""
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "pics.yaml").write_text(STUDY)
    study = load(folder / "config" / "pics.yaml")
    draws = np.random.default_rng(0)

    def images(rows):
        return draws.integers(0, 256, (rows, 1, 8, 8), dtype=np.uint8)

    for part, rows in study.file.data.split.parts().items():
        said = {"source": "digits", "options": {}}
        store.write_samples(folder / study.part_file(part), SampleSet(images(rows), np.arange(rows) % 10, lineage=said))
    for arm, seed, generation in study.cells():
        where = {"study": "pics", "arm": arm, "seed": seed, "generation": generation}
        model = folder / study.cell(arm, seed, generation, "model.safetensors")
        if not model.exists():
            weights = {
                "network.a": np.zeros((3, 4), np.float32),
                "curve.loss": np.zeros(9),
                "shape": np.array([1, 8, 8]),
            }
            store.write_tensors(model, weights, {"family": "diffusion"})
        told = {"seed": seed, "generation": generation, "inputs": {str(model.name): "ab" * 32}}
        samples = SampleSet(images(30), np.arange(30) % 10, lineage=told)
        store.write_samples(folder / study.released_file(arm, seed, generation), samples)
        if study.selects(arm):
            kept = KeptTable(np.arange(15), np.zeros(15), ("drawn",) * 15, "chance")
            store.write_kept(folder / study.cell(arm, seed, generation, "kept.parquet"), kept)
        eaten = {"fixed": 30} if not generation else {"fixed": 15, arm: 15} if arm == "half" else {arm: 30}
        values = [
            {"set": "sampled", "extractor": "pixels", "metric": name, "value": 0.25, "fingerprint": "f"}
            for name in study.metric_options()
        ]
        record = where | {"status": "ok", "values": values, "fingerprints": {"f": {}}}
        record["composition"] = [{"arm": name, "generation": 0, "count": count} for name, count in eaten.items()]
        store.write_json(folder / study.cell(arm, seed, generation, "metrics.json"), record)
        cost = {"joules": 1.8e6, "energy_source": "estimate", "began_at": 86_400.0 + 3600 * generation}
        store.write_json(folder / study.cell(arm, seed, generation, "sample.cost.json"), cost)
    for name in ("report.html", "summary.csv"):
        store.write_hashed(folder / study.report_file(name), lambda temporary: temporary.write_text("told"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    lay(tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def run(*words):
    return app(list(map(str, words)), standalone_mode=False)


def known(said=None):
    return Known(load(Path("config/pics.yaml")), answers.Answers() if said is None else said)


# -- Croissant ---------------------------------------------------------------------------------------------------------

ABOUT = About("set", "What it is.", "https://spdx.org/licenses/MIT.html", "Somebody", "1.0.0", "2026-11-29", "Cite it.")


def described(folder, name, kind):
    """Samples written in a format, their folder, and their description beside them."""
    samples, place = samples_of(kind), folder / f"{name}-{kind}"
    path = place / f"samples{FORMATS[name].suffix}" if FORMATS[name].suffix else place
    FORMATS[name].write(Given(samples, ORIGIN), path)
    said = croissant(ABOUT, name, path, samples)
    (place / "croissant.json").write_text(json.dumps(said))
    return samples, place, said


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_croissant_names_files_by_their_hash_and_takes_every_field_from_one_of_them(tmp_path, name, kind):
    _, place, said = described(tmp_path, name, kind)
    files = {one["@id"]: one for one in said["distribution"]}
    for one in files.values():
        if one["@type"] == "cr:FileObject":
            content = (place / one["contentUrl"]).read_bytes()
            assert one["sha256"] == hashlib.sha256(content).hexdigest()
            assert one["contentSize"] == f"{len(content)} B"
        else:
            assert list(place.glob(one["includes"])) or one["containedIn"]["@id"] in files
    fields = [field for records in said.get("recordSet", ()) for field in records["field"]]
    assert bool(fields) == (name != "safetensors")
    for field in fields:
        source = field["source"].get("fileObject") or field["source"]["fileSet"]
        assert source["@id"] in files
    assert len({field["@id"] for field in fields}) == len(fields)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_reader_of_croissant_finds_no_fault_and_reads_the_records(tmp_path, name, kind, monkeypatch):
    mlcroissant = pytest.importorskip("mlcroissant", reason="the dev extra's mlcroissant is not here")
    # It unpacks zips into the user's home, by their names alone.
    from mlcroissant._src.operation_graph.operations import extract

    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "unpacked"))
    samples, place, said = described(tmp_path, name, kind)
    found = mlcroissant.Dataset(jsonld=str(place / "croissant.json"))
    assert not found.metadata.ctx.issues.errors and not found.metadata.ctx.issues.warnings
    records = list(found.records("samples")) if "recordSet" in said else []
    assert len(records) == (len(samples) if records else 0)
    for row, one in enumerate(records):
        if "samples/image" in one:
            np.testing.assert_array_equal(np.asarray(one["samples/image"]).transpose(2, 0, 1), samples.data[row])
        if "samples/vector" in one:
            np.testing.assert_array_equal(np.float32(one["samples/vector"]), samples.data[row])
        if "samples/label" in one and name != "folder":  # whose order is that of the manifest
            assert one["samples/label"] == samples.labels[row]


# -- the whole study ---------------------------------------------------------------------------------------------------


def test_an_exported_study_is_whole_and_says_so_in_every_file(project, tmp_path, capsys):
    (project / "answers.yaml").write_text(ANSWERS)
    run("export", "pics", "--out", "out", "--real", "--answers", "answers.yaml")
    assert "7 sample sets of 180 samples in all, as parquet" in capsys.readouterr().out
    out = project / "out"
    listed = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    files = {one.relative_to(out).as_posix(): one for one in out.rglob("*") if one.is_file()}
    assert files.keys() - {"SHA256SUMS"} == listed.keys()
    assert all(store.content_hash(files[name]) == digest for name, digest in listed.items())
    graph = {one["@id"]: one for one in json.loads((out / crate.FILE).read_text())["@graph"]}
    of_files = {name: one for name, one in graph.items() if "File" in np.atleast_1d(one["@type"])}
    assert of_files.keys() == listed.keys() - {crate.FILE}
    assert all(one["sha256"] == listed[name] for name, one in of_files.items())
    assert graph["./"]["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0.html"}
    assert graph["#run"]["instrument"] == {"@id": "workflow/Snakefile"}
    referred = re.findall(
        r'"hasPart": \[[^\]]*\]|"result": \[[^\]]*\]|"object": \[[^\]]*\]', (out / crate.FILE).read_text()
    )
    assert {name for part in referred for name in re.findall(r'"@id": "([^"]+)"', part)} <= graph.keys()
    cited = yaml.safe_load((out / "CITATION.cff").read_text())
    assert cited["authors"] == [{"family-names": "Lovelace", "given-names": "Ada"}, {"name": "A group"}]
    assert (cited["cff-version"], cited["license"], cited["version"]) == ("1.2.0", "CC-BY-4.0", "2.0.1")
    assert cited["references"][0]["license"] == "CC-BY-4.0" and "Alpaydin" in cited["references"][0]["title"]
    half = json.loads((out / "data/half/seed0/gen1/croissant.json").read_text())
    assert half["creator"]["name"] == "An Institute" and "generation 1 of the arm half" in half["description"]
    assert {field["name"] for field in half["recordSet"][0]["field"]} == {"image", "label", "kept"}
    real = json.loads((out / "data/real/train/croissant.json").read_text())
    assert real["license"] == "https://spdx.org/licenses/CC-BY-4.0.html" and "30 real images" in real["description"]
    header = (out / "README.md").read_text().split("---")[1]
    assert yaml.safe_load(header)["configs"][0] == {"config_name": "real", "data_files": "data/real/**/*.parquet"}


def test_a_reader_of_crates_finds_the_workflow_and_every_file(project):
    reader = pytest.importorskip("rocrate.rocrate", reason="the dev extra's rocrate is not here")
    run("export", "pics", "--out", "out", "--format", "zip", "--arm", "half")
    found = reader.ROCrate("out")
    assert found.mainEntity.id == "workflow/Snakefile" and "ComputationalWorkflow" in found.mainEntity.type
    assert {one.id for one in found.data_entities if one.type == "Dataset"} >= {"data/half/seed0/gen1/"}
    assert all(Path("out", one.id).exists() for one in found.data_entities)
    assert found.dereference("#run")["actionStatus"]


@pytest.mark.parametrize("form", [name for name, one in FORMATS.items() if "images" in one.takes])
def test_a_study_is_exported_in_every_format_of_its_data(project, form, capsys):
    run("export", "pics", "--out", "out", "--format", form, "--arm", "alone", "--generation", "1")
    place = project / "out/data/alone/seed0/gen1"
    assert (place / "croissant.json").is_file()
    assert len(list(place.rglob("*.png"))) == (0 if FORMATS[form].suffix else 30)
    assert not list((project / "out").rglob(".*.tmp"))


def test_no_two_sets_of_an_export_share_a_files_name(project):
    run("export", "pics", "--out", "out", "--format", "zip", "--real")
    names = [one.name for one in (project / "out").rglob("*.zip")]
    assert len(names) == 7 and len(set(names)) == 7


def test_all_faults_of_an_export_are_told_before_any_work(project, capsys):
    (project / "out").mkdir()
    with pytest.raises(ValueError) as caught:
        run("export", "pics", "--out", "out", "--arm", "hlaf", "--seed", "9", "--generation", "7", "--format", "csv")
    said = str(caught.value)
    assert said.startswith("pics: 5 faults") and "did you mean 'half'?" in said and "--seed: unknown value 9" in said
    assert "allowed: 0, 1" in said and "'csv' holds vectors and categories" in said and "is there already" in said
    released = load(Path("config/pics.yaml")).released_file("alone", 0, 1)
    Path(released).unlink()
    with pytest.raises(ValueError, match=f"1 of 4 sample sets are not there, such as {released}; --so-far"):
        run("export", "pics", "--out", "new")
    assert not (project / "new").exists()
    run("export", "pics", "--out", "new", "--so-far")
    assert "3 sample sets" in (said := capsys.readouterr().out) and "passed over: alone-seed0-gen1" in said
    run("export", "pics", "--out", "newer", "--so-far", "--dry-run")
    assert "(not there)" in capsys.readouterr().out and not (project / "newer").exists()


def test_real_data_of_nobody_knows_whom_are_not_handed_on(project, monkeypatch):
    monkeypatch.setattr(type(known().study.dataset), "rights", lambda self: Rights())
    with pytest.raises(ValueError, match=r"--real: nobody says under which licence they are; answer sources.licence"):
        run("export", "pics", "--out", "out", "--real")
    (project / "answers.yaml").write_text("sources: {licence: all rights reserved}")
    run("export", "pics", "--out", "out", "--real", "--answers", "answers.yaml", "--arm", "half")
    assert (
        json.loads(Path("out/data/real/train/croissant.json").read_text(encoding="utf-8"))["license"]
        == "all rights reserved"
    )


def test_lineages_that_diverged_are_passed_over_and_named(project, capsys):
    path = Path(load(Path("config/pics.yaml")).released_file("alone", 0, 1))
    store.write_samples(path, SampleSet(np.empty(0), lineage={}))
    run("export", "pics", "--out", "out")
    assert "passed over: alone-seed0-gen1" in capsys.readouterr().out


def test_a_crate_without_a_workflow_is_of_a_run_alone():
    run = crate.Run(
        "s", "a", "me", "words", "2026-11-29", "", "", "x", {"collapselab": "1"}, "", "", ["study.yaml"], []
    )
    graph = {one["@id"]: one for one in crate.crate(run, [crate.File("study.yaml", "0", 1)], [])["@graph"]}
    assert "mainEntity" not in graph["./"] and graph["#run"]["instrument"] == {"@id": "#collapselab"}
    assert graph["./"]["conformsTo"] == [{"@id": crate.PROCESS}] and graph["./"]["license"] == "words"


def test_a_citation_is_yaml_whatever_its_words_are():
    odd = 'a: "b" # c\n- d {é}'
    cited = citation.Cited(odd, odd, "1", "", "2026-11-29", (odd,), "", ("x",))
    found = yaml.safe_load(citation.cff(cited, odd, Rights(owner=odd)))
    assert found["title"] == odd and found["references"][0]["title"] == odd and "license" not in found
    assert {"cff-version", "message", "title", "authors"} <= found.keys()


# -- the dossier -------------------------------------------------------------------------------------------------------


def test_every_duty_names_a_question_that_is_asked_and_every_question_is_named_by_one():
    keys = {duty.answer for law in LAWS.values() for duty in law.duties if duty.answer}
    asked = {f"{section}.{name}" for section, part in answers.SECTIONS.items() for name in part.model_fields}
    assert asked == keys | {"provider.authors"}  # which a citation names
    template = yaml.safe_load(answers.template())
    assert {f"{section}.{name}" for section, part in template.items() for name in part} == asked


def test_every_field_is_known_answered_open_or_said_to_be_unknown(project):
    found = dossier(known(), "2026-11-29")
    fields = [field for section in found.sections for field in section.fields]
    assert len(fields) == sum(len(law.duties) for law in LAWS.values()) == found.asked
    assert all(field.said and all(words for _, words in field.said) for field in fields)
    assert found.open == sum(bool(duty.answer) for law in LAWS.values() for duty in law.duties)
    Path("answers.yaml").write_text(ANSWERS, encoding="utf-8")
    answered = dossier(known(answers.read(Path("answers.yaml"))), "2026-11-29")
    given = {"provider.name", "provider.monthly_users", "sources.personal"}
    given |= {f"system.{name}" for name in ("name", "version", "licence", "released")}
    assert found.open - answered.open == sum(duty.answer in given for law in LAWS.values() for duty in law.duties)
    said = markdown(answered)
    assert "*answered by the publisher:* 2026-11-29" in said and "*answered by the publisher:* 12" in said


def test_what_is_said_is_what_the_records_say(project):
    found = known()
    assert sayings.size(found) == "fewer than 1 million images: 60 real ones"
    assert sayings.licence(found) == "CC-BY-4.0" and "43 people" in sayings.people(found)
    assert sayings.models(found) == "tiny: diffusion, 12 parameters"  # neither curves nor the shape
    assert sayings.energy(found) == "2 kWh estimated from busy time, of trainings and samplings"  # 4 x 1.8 MJ
    assert "2 training sets of alone, half, 50% to 100% of the rows" in sayings.synthetic(found)
    assert sayings.marks(found).startswith("half: spread_spectrum, on the pixels, one key for all")
    assert "nobody was asked" in sayings.judges(found)
    assert "Recall: alone 0.250, half 0.250" in sayings.harms(found)
    rows = {(one.arm, one.generation): one for one in found.generations}
    assert (rows["half", 1].real, rows["half", 1].synthetic, rows["half", 1].share) == (15, 15, 0.5)
    assert (rows["half", 1].made, rows["half", 1].kept, rows["alone", 1].kept) == (30, 15, 30)
    assert rows["alone", 1].eaten == "30 of alone 0"
    assert (rows["alone", 1].depth, rows["half", 1].depth) == (1.0, 0.5)
    assert found.period == ("1970-01-02", "1970-01-02") and "first day" in sayings.first_used(found)


def test_operations_are_those_of_all_trainings_and_samplings(project):
    found = known()
    each = MODELS["diffusion"].flops_per_image(found.study.parsed_options("tiny"), (1, 8, 8))
    sampled = work(found.study)["tiny"].sampled
    trained = 3 * 300  # a model that both arms begin with, and one of each at generation 1
    assert found.flop["tiny"] == each["training"] * trained + each["sampling"] * sampled
    assert "below the indicative 1e+23" in sayings.flop(found)


def test_the_dossier_is_written_as_markdown_and_html_with_no_word_taken_for_markup(project, capsys):
    run("dossier", "pics", "--out", "out")
    assert "fields wait for an answer" in capsys.readouterr().out
    text, html = (Path("out", f"dossier.{suffix}").read_text(encoding="utf-8") for suffix in ("md", "html"))
    assert r"Is \<this\> a \*question\*?" in text
    assert "Is &lt;this&gt; a *question*?" in html and "<this>" not in html
    assert "<script" not in html and "http-equiv" in html and not re.search(r'(src|href)="(?!#)', html)
    for law in LAWS.values():
        assert law.title in html
    with pytest.raises(Exception, match="out is there already"):
        run("dossier", "pics", "--out", "out")


def test_questions_are_written_and_answers_with_faults_are_all_told(project, capsys):
    run("dossier", "pics", "--questions", "answers.yaml")
    assert answers.read(Path("answers.yaml")) == answers.Answers()  # nothing is answered yet
    Path("wrong.yaml").write_text(
        "provider: {nmae: x, monthly_users: -1}\nsystem: {name: ''}\nwho: me\n", encoding="utf-8"
    )
    with pytest.raises(ValueError) as caught:
        run("dossier", "pics", "--out", "out", "--answers", "wrong.yaml")
    said = str(caught.value)
    assert said.startswith("wrong.yaml: 4 faults") and "did you mean 'name'?" in said and "found -1" in said
    assert "line 3: who: unknown key" in said and not Path("out").exists()
    with pytest.raises(Exception, match="found neither; allowed is one of them"):
        run("dossier", "pics")


def test_a_study_of_which_nothing_is_measured_has_a_dossier_that_says_so(project):
    shutil.rmtree("results")
    said = markdown(dossier(known(), "2026-11-29"))
    assert "Nothing is measured yet." in said and "4 generations are not measured yet" in said


def test_tables_and_fields_are_markdown():
    table = Table("T|t", ("a", "b"), [["x|y", "1"]], (1,))
    field = Field("1", "Asked?", [("open", "Who?")])
    said = markdown(Document("D", ["f"], [Section("s", "S", ["w"], [table], [field])]))
    assert "| a | b |\n| --- | ---: |\n| x\\|y | 1 |" in said
    assert "### 1: Asked?\n\n- *not answered yet:* Who?" in said and "**1 of 1 fields wait" in said
    assert page(Document("D", [], [])).count("<h1>D</h1>") == 1


def test_a_real_run_is_exported_and_has_a_dossier(finished, tmp_path):
    """The smoke study as its workflow left it: vectors, and a formula for a model."""
    finished.run("collapselab", "export", "smoke", "--out", tmp_path / "out", "--format", "csv", "--seed", 0)
    table = next((tmp_path / "out/data/k_memory/seed0/gen2").glob("*.csv")).read_text().splitlines()
    study = load(finished.folder / "config/smoke.yaml")
    stored = store.read_samples(finished.folder / study.released_file("k_memory", 0, 2)).data
    np.testing.assert_array_equal(np.array([line.split(",") for line in table[1:]], np.float64), stored)
    said = (tmp_path / "out/dossier.md").read_text()
    assert "moments: gaussian, 6 parameters" in said and "k\\_memory | 2 | 10 | 40 | 80%" in said
