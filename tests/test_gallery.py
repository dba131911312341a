"""The gallery of the field: small studies that are derived, claims that a file says, pages, the index of all papers."""

import json
import re
from pathlib import Path

import made_up
import pytest
import yaml
from project import ROOT, Project

from collapselab.cli import run
from collapselab.metrics import METRICS
from collapselab.metrics.parts import several
from collapselab.report import field, gallery
from collapselab.study import BadStudy, jobs, loading, papers, toys
from collapselab.study.claimed import claims_of
from collapselab.verdicts import Claim
from collapselab.verdicts.claims import said

PAGES = ROOT / "docs" / "gallery"
FIELD = field.rows(papers.field(), papers.names())
MISSING_AT_MOST = 3  # rows of the field that no study can say yet


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.chdir(ROOT)


def raw_of(name):
    return yaml.safe_load((ROOT / "config" / "papers" / f"{name}.yaml").read_text(encoding="utf-8"))


def faults(raw):
    _, found = loading.check(raw, raw["name"])
    return {".".join(map(str, fault.path)): fault.message for fault in found}


# -- small studies -----------------------------------------------------------------------------------------------------


def test_a_patch_changes_keys_inside_keys_and_null_takes_one_away():
    """The example of RFC 7396, section 3, without its names."""
    before = {"a": "b", "c": {"d": "e", "f": "g"}, "list": [1, 2]}
    assert toys.merged(before, {"a": "z", "c": {"f": None}}) == {"a": "z", "c": {"d": "e"}, "list": [1, 2]}
    assert toys.merged(before, {"list": [3]})["list"] == [3]
    assert toys.merged("text", {"new": {"key": 1}}) == {"new": {"key": 1}}
    assert before == {"a": "b", "c": {"d": "e", "f": "g"}, "list": [1, 2]}


def test_a_small_study_is_the_study_with_what_its_file_says_over_it():
    whole, small = (loading.load(Path(f"config/papers/kazdan{end}.yaml")) for end in ("", toys.SUFFIX))
    changes = raw_of("kazdan")["toy"]
    assert small.name == "kazdan-toy" and small.file.seeds == changes["seeds"] < whole.file.seeds
    assert small.file.generations == changes["generations"] < whole.file.generations
    assert small.file.arms == whole.file.arms and small.real == whole.real
    assert small.file.toy is None and small.file.paper == whole.file.paper


def test_a_file_of_that_name_goes_before_what_would_be_derived(tmp_path):
    raw = raw_of("zhao")
    (tmp_path / "zhao.yaml").write_text(yaml.safe_dump(raw))
    raw = {key: value for key, value in raw.items() if key != "toy"} | {"name": "zhao-toy", "seeds": 9}
    (tmp_path / "zhao-toy.yaml").write_text(yaml.safe_dump(raw))
    assert loading.load(tmp_path / "zhao-toy.yaml").file.seeds == 9


def test_a_study_without_a_small_one_says_what_to_write(tmp_path):
    raw = {key: value for key, value in raw_of("zhao").items() if key != "toy"}
    (tmp_path / "zhao.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(BadStudy, match=r"found no key toy in .*zhao\.yaml.*such as toy: \{seeds: 3"):
        loading.load(tmp_path / "zhao-toy.yaml")
    with pytest.raises(BadStudy, match="no such study"):
        loading.load(tmp_path / "zhau-toy.yaml")


def test_what_is_wrong_with_a_small_study_is_told_of_the_file_that_makes_it():
    raw = raw_of("zhao")
    raw["toy"] = {"seeds": 0, "arms": {"of_two_minds": None}}
    found = faults(raw)
    assert "in zhao-toy: " in found["toy.seeds"]
    raw["toy"] = {"arms": {"of_two_minds": None}}
    assert "unknown arm 'of_two_minds'" in found_at(faults(raw), "toy.paper.expect.1.arm")


@pytest.mark.parametrize(
    ("toy", "line", "said"),
    [
        ("{arms: {of_two: null}}", "toy.arms.of_two", "null takes a key away that is not there: unknown key 'of_two'"),
        ("{yoked: null, seeds: 3}", "toy.yoked", "unknown key 'yoked'; allowed: question, paper, "),
        ("{train: {epochs: null}}", "toy.train.epochs", "unknown key 'epochs'; allowed: none yet"),
        ("{name: tiny, seeds: 3}", "toy.name", "is that of the study with -toy behind it; leave it out"),
        ("{toy: {seeds: 2}, seeds: 3}", "toy.toy", "is of the study alone; leave it out"),
        ("{arms: {}, seeds: 3}", "toy.arms", "changes nothing of the study's arms; say what is other"),
        ("{generations: 3}", "toy", "changes nothing of the study; say what is smaller"),
        ("{}", "toy", "changes nothing of the study"),
    ],
)
@pytest.mark.parametrize("name", ["zhao", "zhao-toy"])
def test_a_change_that_changes_nothing_is_a_fault_of_both_studies(tmp_path, name, toy, line, said):
    raw = {key: value for key, value in raw_of("zhao").items() if key not in ("toy", "train", "yoked")}
    text = yaml.safe_dump(raw | {"generations": 3}, sort_keys=False)
    (tmp_path / "zhao.yaml").write_text(f"{text}toy: {toy}\n", encoding="utf-8")
    with pytest.raises(BadStudy) as found:
        loading.load(tmp_path / f"{name}.yaml")
    assert f"line {text.count(chr(10)) + 1}: {line}: " in str(found.value) and said in str(found.value)
    assert len(found.value.faults) == 1


def found_at(found, where):
    assert where in found, found
    return found[where]


def test_no_training_hangs_on_what_a_paper_claims_or_on_a_small_study():
    """Only what people read is drawn again: the words of all other jobs, and their identity, are the same."""
    raw = raw_of("zhao")
    plain = {key: value for key, value in raw.items() if key not in ("paper", "toy")}
    with_claims, without = (loading.check(one, "zhao")[0] for one in (raw, plain))
    compared = 0
    for verb, place in jobs.every(without):
        if verb not in ("report", "track"):
            assert jobs.arguments(with_claims, verb, place) == jobs.arguments(without, verb, place)
            assert jobs.inputs(with_claims, verb, place) == jobs.inputs(without, verb, place)
            compared += verb == "train"
    assert compared > 10 and "toy" not in json.loads(with_claims.plan())


# -- claims in a file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "key", "message"),
    [
        ({"arm": "of_one", "is": "rises"}, "arm", "unknown arm 'of_one'"),
        ({"arm": "of_one_mind", "is": "below", "than": "nobody"}, "than", "unknown arm 'nobody'"),
        ({"arm": "of_one_mind", "is": "below", "than": "of_one_mind"}, "than", "the arm itself"),
        ({"arm": "of_one_mind", "is": "rises", "metric": "recall"}, "metric", "unknown metric of this study 'recall'"),
        ({"arm": "of_one_mind", "is": "rises", "extractor": "lenet"}, "extractor", "unknown extractor of this study"),
        ({"arm": "of_one_mind", "is": "rises", "extractor": "identity"}, "extractor", "is measured in moments"),
        ({"arm": "of_one_mind", "is": "rises", "metric": "mean_drift.x"}, "metric", "is one number; leave .x out"),
        ({"arm": "of_one_mind", "is": "rises", "at": 4}, "at", "last generation is 3"),
        ({"arm": "of_one_mind", "is": "rises", "since": 3}, "since", "before 3"),
        ({"arm": "of_one_mind", "is": "rises", "than": "of_two_minds"}, "than", "leave out one of the two"),
        ({"arm": "of_one_mind", "is": "stays"}, "within", "how far on either side"),
        ({"arm": "of_one_mind", "is": "rises", "within": 0.1}, "within", "leave it out"),
        ({"arm": "of_one_mind", "is": "rises", "value": -2}, "value", "a number from 0"),
        ({"arm": "of_one_mind", "is": "above"}, "value", "say which number it is above"),
        ({"arm": "of_one_mind", "is": "above", "value": 1, "by": "ratio"}, "by", "say than, the arm, or since"),
        ({"arm": "of_one_mind", "is": "stays", "within": 1, "value": 2}, "value", "what stays has none"),
    ],
)
def test_a_claim_that_no_record_could_answer_is_a_fault(claim, key, message):
    raw = raw_of("zhao")
    raw["paper"]["expect"] = [{"arm": "of_one_mind", "is": "rises"}, claim]
    del raw["toy"]
    assert message in found_at(faults(raw), f"paper.expect.1.{key}")


def test_a_claim_about_classes_is_of_a_space_that_tells_them():
    """As the primary's: else no record would have the number, and the verdict be that nobody can tell."""
    raw = raw_of("taori")
    del raw["toy"], raw["paper"]["expect"][0]["extractor"]
    told = found_at(faults(raw), "paper.expect.0.extractor")
    assert "'class_total_variation' reads classes, which 'pixels' does not tell from images" in told


@pytest.mark.parametrize(
    ("metric", "extractor", "message"),
    [
        ("class_histogram.3", "lenet", ""),
        ("class_histogram.10", "lenet", "found '10' of 'class_histogram'; say which, as class_histogram.PART; "),
        ("class_histogram.10", "lenet", "; allowed: the number of a class from 0 to 9"),
        ("class_histogram", "lenet", "'class_histogram' gives several numbers; say which, as class_histogram.PART"),
        ("class_retention.kept", "lenet", ""),
        ("class_retention.lost", "lenet", "allowed: kept, the number of a class from 0 to 9"),
        ("tail_coverage.brightness.low", "attributes", ""),
        ("tail_coverage.ink.low", "attributes", "allowed: brightness.low, contrast.low, "),
        ("hue_share.around 31", "colours", "allowed: around 0, around 30, "),
        ("level_share.grey from 32", "colours", ""),
        ("level_share.grey above 32", "colours", "allowed: grey from a level, "),
        ("recall.3", "lenet", "found recall.3, and 'recall' is one number; leave .3 out"),
    ],
)
def test_a_claim_names_a_number_that_its_metric_gives(metric, extractor, message):
    raw = yaml.safe_load((ROOT / "config" / "quickstart.yaml").read_text(encoding="utf-8"))
    raw["extractors"] = ["lenet", "attributes", "colours"]
    raw["metrics"] = ["recall", "class_histogram", "class_retention", "tail_coverage", "hue_share", "level_share"]
    claim = {"arm": next(iter(raw["arms"])), "is": "rises", "metric": metric, "extractor": extractor}
    raw["paper"] = {"cite": "Who (2026)", "claim": "It rises.", "reported": "much", "expect": [claim]}
    found = faults(raw)
    assert (message in found_at(found, "paper.expect.0.metric")) if message else not found


def test_every_metric_of_several_numbers_says_what_they_are_called():
    """Whether it is so is a law of metrics (``check_metric``)."""
    assert [name for name, metric in METRICS.items() if several(metric) and not metric.roles.parts] == []


# -- pages -------------------------------------------------------------------------------------------------------------


def entry(found=None):
    study = loading.load(Path("config/papers/zhao.yaml"))
    return field.Entry("zhao", study.file.paper, study.file.question, papers.size(study), found)


def seen(*claims):
    endpoint = made_up.facts().primary
    facts = made_up.facts(claims=tuple(Claim(arm, endpoint, is_) for arm, is_ in claims))
    return facts, made_up.records()


def test_a_page_says_claim_figure_interval_verdict_and_fingerprint():
    facts, records = seen(("fully_synthetic", "falls"))
    found = field.found(facts, records, 12.3, "`zhao`: small")
    text = field.page(entry(found))
    assert found["status"] == "agrees" and "**✓ agrees**" in text and "**The claim is found here.**" in text
    assert re.search(r"\| Recall \(lenet\) of `fully_synthetic` falls from generation 0 to 4 \| −0\.3\d+, 95 %", text)
    assert "```{image} zhao.svg" in text and f"`{found['fingerprint']}`" in text
    assert "[arXiv 2511.09002](https://arxiv.org/abs/2511.09002)" in text


def test_a_claim_that_is_not_found_is_said_not_to_be():
    facts, records = seen(("fully_synthetic", "rises"), ("fresh_data", "falls"))
    text = field.page(entry(field.found(facts, records, 1, "`zhao`: small")))
    assert "✗ does not agree" in text and "**The claim is not found here**: row 1 of the table is otherwise." in text
    facts, records = seen(("fully_synthetic", "rises"), ("fresh_data", "rises"))
    text = field.page(entry(field.found(facts, records, 1, "`zhao`: small")))
    assert "rows 1 and 2 of the table are otherwise." in text
    facts, records = seen(("fully_synthetic", "falls"))
    few = [one for one in records if one["seed"] < 2]
    text = field.page(entry(field.found(facts, few, 1, "`zhao`: small")))
    assert "? cannot tell" in text and "nobody can tell of row 1" in text and "at least 3 lineages" in text


def test_a_fingerprint_is_of_the_numbers_and_of_nothing_else():
    _, records = seen()
    shuffled = list(reversed(records))
    assert field.fingerprint(records) == field.fingerprint(shuffled)
    records[0]["values"][0]["value"] += 1e-9  # below the six digits
    assert field.fingerprint(records) == field.fingerprint(shuffled)
    changed = json.loads(json.dumps(records))
    changed[0]["values"][0]["value"] += 0.01
    assert field.fingerprint(changed) != field.fingerprint(records)


def test_the_figure_is_small_and_speaks_through_its_alternative_text():
    drawn = field.figure(*seen(("fully_synthetic", "falls")))
    assert drawn.startswith("<svg") and len(drawn) < 100_000 and "aria-" not in drawn
    assert "fully_synthetic" in drawn


# -- the field ---------------------------------------------------------------------------------------------------------


def test_every_row_of_the_field_has_a_study_or_says_what_is_missing():
    assert len(FIELD) == 39
    for row in FIELD:
        assert bool(row.studies) or row.missing, row
    assert sum(not row.studies for row in FIELD) <= MISSING_AT_MOST
    named = [name for row in FIELD for name in row.studies]
    assert sorted(named) == papers.names() and len(set(named)) == len(named)


@pytest.mark.parametrize("name", papers.names())
def test_every_paper_validates_at_both_sizes_and_has_its_page(name):
    whole = loading.load(Path(f"config/papers/{name}.yaml"))
    small = loading.find(papers.small(name))
    assert whole.file.paper.claim.endswith(".") and small.file.paper.expect
    assert small.file.seeds >= 3  # below there is no verdict
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert whole.file.paper.claim in text
    assert (PAGES / f"{name}.svg").exists() == (PAGES / f"{name}.json").exists()


def test_pages_are_what_the_studies_and_what_was_found_say():
    stale = [
        file.name
        for file, text in gallery.written(PAGES).pages.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run: collapselab gallery --pages ({', '.join(stale)})"


def test_what_is_kept_of_a_run_is_what_the_rule_concludes():
    for file in sorted(PAGES.glob("*.json")):
        kept = json.loads(file.read_text(encoding="utf-8"))
        expected = loading.find(papers.small(file.stem)).file.paper.expect
        assert kept["status"] == field.concluded(one["status"] for one in kept["claims"])
        assert len(kept["claims"]) == len(expected), file.name
        study = loading.find(papers.small(file.stem))
        for one, claim in zip(kept["claims"], claims_of(study), strict=True):
            label = one["claimed"].partition(" of `")[0]
            assert one["claimed"] == said(claim, study.file.generations, label), file.name
            if one["status"] == "agrees" and claim.is_ in ("rises", "above", "falls", "below"):
                assert one["low"] >= claim.goal if claim.is_ in ("rises", "above") else one["high"] <= claim.goal
        for one, claim in zip(kept["claims"], expected, strict=True):
            if one["status"] == "agrees" and claim.is_ == "near" and one["low"] is not None:
                assert claim.value - claim.within <= one["low"] <= one["high"] <= claim.value + claim.within
        assert file.with_suffix(".svg").stat().st_size < 150_000


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_name_that_is_no_paper_is_refused(capsys):
    assert run.run(["gallery", "kasdan"]) == run.EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert "unknown paper 'kasdan'" in said and "kazdan" in said


def test_pages_of_what_has_not_run_say_so(tmp_path, capsys):
    (tmp_path / "config").symlink_to(ROOT / "config")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run.run(["gallery", "kazdan", "--pages", "--out", "pages"]) == 0
    assert "records are missing" in capsys.readouterr().out
    text = (tmp_path / "pages" / "kazdan.md").read_text(encoding="utf-8")
    assert "not run here yet" in text and "collapselab gallery kazdan" in text
    assert "not run here yet" in (tmp_path / "pages" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["seeds: [", "seeds: many"])
def test_a_study_with_faults_stops_no_other_and_is_told(tmp_path, capsys, monkeypatch, fault):
    """A fault of YAML and one of the study: of the one nobody can even say that it is made after a paper."""
    folder = tmp_path / "config" / "papers"
    folder.mkdir(parents=True)
    for name in ("kazdan", "zhao"):
        text = (ROOT / "config" / "papers" / f"{name}.yaml").read_text(encoding="utf-8")
        (folder / f"{name}.yaml").write_text(text if name == "zhao" else f"{text}{fault}\n", encoding="utf-8")
    (folder / "other.yaml").write_text("about: |\n  x\n\n  paper: none\n", encoding="utf-8")
    (folder / "first.yaml").write_text('{"paper": {}, "name": "first"}\n', encoding="utf-8")
    (folder / "field.csv").write_text("row,studies,missing\nBoth,kazdan zhao,\nFirst,first,\n", encoding="utf-8")
    monkeypatch.setattr(papers, "places", lambda: [Path("config/papers")])
    monkeypatch.chdir(tmp_path)
    assert papers.names() == ["first", "kazdan", "zhao"]
    assert run.run(["gallery", "kazdan", "zhao", "--pages", "--out", "pages"]) == 1
    out, err = capsys.readouterr()
    assert "kazdan is left out: its study cannot run" in err and "zhao is left out" not in err and "seeds" in err
    assert "first has no page:\nconfig/papers/first.yaml" in err and err.count("left out") == 1
    assert "papers with faults: kazdan, first; correct them" in err and "0 of 2 papers" in out
    assert sorted(path.name for path in Path("pages").iterdir()) == ["index.md", "zhao.md"]
    index = Path("pages/index.md").read_text(encoding="utf-8")
    assert "| Both | kazdan | its study cannot run: its file has faults |" in index and "| [zhao](zhao.md) |" in index
    assert index.count("not run here yet") == 3 and "of 1 studies" in index  # in the count, the table and the card


@pytest.mark.slow
def test_the_gallery_runs_what_has_not_run_and_one_that_fails_stops_no_other(tmp_path):
    project = Project.create(tmp_path / "project")
    project.edit("config/papers/bertrand.yaml", ("toy:\n  seeds: 200", "toy:\n  seeds: 20"))
    project.edit("config/papers/kanabar.yaml", ("toy:\n  seeds: 500", "toy:\n  seeds: 3"))
    blocked = project.folder / "results" / "kanabar-toy"
    blocked.parent.mkdir()
    blocked.write_text("in the way")
    command = ("collapselab", "gallery", "kanabar", "bertrand", "--out", "pages")
    done = project.run(*command, code=1, timeout=900)
    assert "not finished: kanabar" in done.stderr
    kept = json.loads((project.folder / "pages" / "bertrand.json").read_text())
    assert kept["claims"] and "1 of 2 papers" in done.stdout
    blocked.unlink()
    dry = project.run("collapselab", "gallery", "kanabar", "bertrand", "--dry-run", timeout=300).stdout
    assert "bertrand: nothing to be done" in dry and "kanabar: 2 jobs: not made yet" in dry
    again = project.run(*command, timeout=900)
    assert "2 of 2 papers" in again.stdout and "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize("content", ["garbage", "[]", '{"size": "", "claims": []}'])
def test_damaged_numbers_of_a_paper_are_named_and_stop_no_other(tmp_path, content):
    (tmp_path / "yi.json").write_text(content)
    pages, told = gallery.written(tmp_path)
    assert list(told) == ["yi"] and f"{tmp_path / 'yi.json'}: " in told["yi"] and "delete it" in told["yi"]
    assert tmp_path / "zhao.md" in pages and tmp_path / "yi.md" not in pages
