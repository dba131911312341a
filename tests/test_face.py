"""What a reader of a report meets first and last: the answer, what arms are, real pictures, and how to run it again."""

import html
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest

from collapselab import report
from collapselab.compose.supply import Used
from collapselab.machine import revision
from collapselab.metrics import METRICS
from collapselab.report import footer, headline, pictures
from collapselab.report import made as making
from collapselab.report.made import Made
from collapselab.report.meaning import MEANINGS, meaning
from collapselab.study import composed, results
from collapselab.study.loading import all_written_in, check, find
from collapselab.theory.setting import Prediction
from collapselab.verdicts import ANALYSES, Endpoint, StudyFacts, indexed

ASKED = ("primary_slope", "slope_against_control", "contrasts", "theory")
COLLAPSES = "Does a model collapse when it is trained on its own output, and what slows it?"


def small(slopes, seeds=4, generations=4, start=0.8, noise=0.002, arms_noise=None, **changes):
    """Facts and records of a study with one metric: each arm has a slope, and seeds differ by a little of their own."""
    records = []
    for arm, fall in slopes.items():
        for seed in range(seeds):
            draws = np.random.default_rng([seed, *arm.encode()]).normal(0, (arms_noise or {}).get(arm, noise), 20)
            for t in range(generations + 1):
                value = {"set": "sampled", "extractor": "lenet", "metric": "recall", "fingerprint": "f"}
                value |= {"value": float(start + fall * t + (draws[t] if t else 0))}
                cell = {"study": "s", "arm": arm, "seed": seed, "generation": t, "status": "ok", "diverged": None}
                records.append(cell | {"values": [value], "fingerprints": {"f": {}}, "composition": []})
    given = {
        "name": "s",
        "question": COLLAPSES,
        "arms": dict.fromkeys(slopes, ""),
        "primary": Endpoint("recall", "lenet"),
        "seeds": seeds,
        "generations": generations,
        "control": "control" if "control" in slopes else None,
        "better": {"recall": "higher"},
    }
    return StudyFacts(**(given | changes)), records


def said(slopes, unfinished=False, records=None, **changes):
    """What the page says first of such a study."""
    facts, made = small(slopes, **changes)
    made = indexed(made if records is None else records(made))
    found = {name: ANALYSES[name].run(facts, made) for name in ASKED}
    return headline.headline(facts, made, found, unfinished)


FALL, LEVEL = -0.1, 0.0
FOUR = {"control": LEVEL, "a": FALL, "b": -0.12, "c": -0.15, "d": -0.05}
ARMS = {"arms_noise": {"b": 0.3}}  # nobody can tell what b does
CASES = {
    "all": (
        lambda: said(FOUR),
        "Yes: recall falls faster than in the control in all four arms; recall falls least in d.",
    ),
    "all, by a deed": (
        lambda: said(FOUR, remedies={"d": "keeping 400 real images", "a": "adding 10 fresh real images a generation"}),
        "Yes: recall falls faster than in the control in all four arms; keeping 400 real images (d) slows it most.",
    ),
    "two arms have one deed": (
        lambda: said(FOUR, remedies={"d": "keeping 400 real images", "a": "keeping 400 real images"}),
        "Yes: recall falls faster than in the control in all four arms; recall falls least in d.",
    ),
    "some": (
        lambda: said({"control": LEVEL, "a": FALL, "b": 0.1, "c": -0.2}),
        "In part: recall falls faster than in the control in two of three arms (a and c); no such fall is seen in b; "
        "recall is kept best in b.",
    ),
    "some are not known": (
        lambda: said({"control": LEVEL, "a": FALL, "b": LEVEL}, **ARMS),
        "In part: recall falls faster than in the control in one of two arms (a); in b it cannot be "
        "told; recall falls least in b, though not surely less than in a.",
    ),
    "none": (
        lambda: said({"control": LEVEL, "a": 0.1, "b": 0.1}),
        "No: recall does not fall faster than in the control in any of the two arms.",
    ),
    "one, and it does not": (
        lambda: said({"control": LEVEL, "a": 0.1}),
        "No: recall does not fall faster than in the control in a.",
    ),
    "one, and nobody knows": (
        lambda: said({"control": LEVEL, "b": LEVEL}, **ARMS),
        "It cannot be told: it is not sure that recall falls faster than in the control in b; a fall that is faster by "
        "more than 0.118 a generation is ruled out.",
    ),
    "two seeds": (
        lambda: said(FOUR, seeds=2),
        "It cannot be told: a test needs three seeds with two generations, and there are two; recall falls least in d, "
        "though not surely less than in any other.",
    ),
    "one seed": (
        lambda: said({"control": LEVEL, "a": FALL}, seeds=1),
        "It cannot be told: a test needs three seeds with two generations, and there is one.",
    ),
    "two seeds, and another question": (
        lambda: said({"control": LEVEL, "a": FALL}, seeds=2, question="Does the workflow run?"),
        "Whether recall falls cannot be told: a test needs three seeds with two generations, and there are two.",
    ),
    "nobody knows, and another question": (
        lambda: said({"control": LEVEL, "b": LEVEL}, question="Does it run?", arms_noise={"b": 3.0}),
        "It is not sure that recall falls faster than in the control in b.",
    ),
    "no control": (
        lambda: said({"a": FALL, "b": -0.2}),
        "Yes: recall falls in both arms; recall falls least in a.",
    ),
    "lower is better": (
        lambda: said({"control": LEVEL, "a": 0.1, "b": 0.2}, better={"recall": "lower"}),
        "Yes: recall rises faster than in the control in both arms; recall rises least in a.",
    ),
    "neither is better": (
        lambda: said({"control": LEVEL, "a": FALL, "b": 0.2}, better={}),
        "Recall falls faster than in the control in one of two arms (a); no such fall is seen in b; recall changes "
        "least in a.",
    ),
    "the best of several is asked": (
        lambda: said(FOUR, question="Which cure keeps most of it, and why?"),
        "Recall falls least in d; recall falls faster than in the control in all four arms.",
    ),
    "the best of several, and it does not fall": (
        lambda: said({"control": LEVEL, "a": FALL, "b": 0.1}, question="Which way slows it?"),
        "Recall is kept best in b; recall falls faster than in the control in one of two arms (a); no such fall is "
        "seen in b.",
    ),
    "another question": (
        lambda: said(FOUR, question="Do judges who were taught to see collapse slow it down?"),
        "Recall falls faster than in the control in all four arms; recall falls least in d.",
    ),
    "several controls": (
        lambda: said(
            {"control": LEVEL, "other": LEVEL, "a": FALL, "b": FALL - 0.1}, controls={"a": "control", "b": "other"}
        ),
        "Yes: recall falls faster than in their controls in both arms; recall falls least in a.",
    ),
    "so far": (
        lambda: said(FOUR, unfinished=True),
        "So far: yes: recall falls faster than in the control in all four arms; recall falls least in d.",
    ),
    "no second generation yet": (
        lambda: said(FOUR, records=lambda made: [one for one in made if one["generation"] == 0]),
        "It cannot be told yet: no lineage has two generations of recall.",
    ),
    "nothing": (lambda: said(FOUR, records=lambda made: []), "Nothing is measured yet."),
    "no generations": (
        lambda: said({"a": 0.0, "b": 0.0}, generations=0, start=0.7),
        "Recall is best in a (0.700), though its seeds overlap with those of b, and worst in b (0.700).",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_made_of_the_verdicts(name):
    found, words = CASES[name]
    assert found().answer == words


def test_what_is_ruled_out_is_said_where_nothing_is_seen():
    """A level arm of small spread: no fall is seen, and a large one is ruled out, in the answer and in the badge."""
    facts, records = small({"control": LEVEL, "a": LEVEL}, arms_noise={"a": 0.01, "control": 0.01})
    found = {name: ANALYSES[name].run(facts, records) for name in ASKED}
    answer = headline.headline(facts, records, found).answer
    bound = re.search(
        r"not sure that recall falls faster than in the control in a; "
        r"a fall that is faster by more than (0\.0\d+) a generation is ruled out",
        answer,
    )
    (one,) = [finding for finding in found["slope_against_control"] if finding.arm == "a"]
    assert float(bound[1]) == pytest.approx(-one.numbers["low"], rel=0.01)
    control = found["primary_slope"][0]
    badge = headline.badge(facts, control)
    assert re.fullmatch(r"no fall larger than 0\.0\d+ a generation", badge)
    assert float(badge.split()[4]) == pytest.approx(-control.numbers["low"], rel=0.01)
    said = headline.headline(facts, records, found).beneath[0]
    assert said == f"In the control recall does not fall by more than {badge.split()[4]} a generation."
    lower = replace(facts, better={"recall": "lower"})
    rises = ANALYSES["primary_slope"].run(lower, records)[0]
    assert float(headline.badge(lower, rises).removeprefix("no rise larger than ").split()[0]) == pytest.approx(
        rises.numbers["high"], rel=0.01
    )


@pytest.mark.parametrize(
    "numbers", [{"low": -0.5, "high": 0.4, "first": 0.8}, {"low": -0.3, "high": -0.1, "first": 0.8}, {"first": 0.8}]
)
def test_a_bound_that_says_nothing_is_no_badge(numbers):
    """One that allows all to be lost, one of an interval without 0 (left open by Holm's correction alone), none."""
    facts, records = small({"a": LEVEL})
    one = ANALYSES["primary_slope"].run(facts, records)[0]
    assert headline.badge(facts, replace(one, status="inconclusive", numbers=numbers)) == "inconclusive"


def test_the_answer_changes_when_the_records_do():
    """The same study, with the best arm and the worst exchanged, and then with all of them level."""
    assert said(FOUR | {"d": -0.2, "c": -0.03}).answer.endswith("recall falls least in c.")
    assert said(dict.fromkeys(FOUR, 0.0) | {"a": 0.05}).answer.startswith("It cannot be told: in none of the four arms")


@pytest.mark.parametrize(
    "slope, noise, words",
    [
        (-0.1, 0.002, r"In the control recall falls, too, by 0\.\d+ a generation\."),
        (0.1, 0.002, r"In the control recall does not fall\."),
        (0.0, 0.9, r"Whether recall falls in the control cannot be told\."),
    ],
)
def test_what_the_control_does_is_said(slope, noise, words):
    assert re.fullmatch(words, said({"control": slope, "a": FALL}, arms_noise={"control": noise}).beneath[0])


def test_diverged_lineages_are_said():
    def diverge(records):
        return [
            one | {"status": "diverged", "diverged": {"generation": 2}, "values": []}
            if (one["arm"], one["seed"]) == ("a", 1) and one["generation"] >= 2
            else one
            for one in records
        ]

    assert said(FOUR, records=diverge).beneath[-1] == "Training diverged in 1 of 4 lineages of a."
    assert not any("diverged" in one for one in said(FOUR).beneath)


def law(mean):
    return Prediction("a_law", "recall", "lenet", np.asarray(mean), np.full(5, 0.01), "equal", "what the law says")


def test_a_question_after_laws_is_answered_by_them():
    holds, fails = law(0.8 - 0.1 * np.arange(5)), law(0.8 + 0.1 * np.arange(5))
    asked = {"question": "Does the loop do what the exact laws say?"}
    slopes = {"a": FALL, "b": FALL}
    both = said(slopes, predictions={"a": [holds], "b": [holds]}, **asked)
    assert both.answer == "Yes: recall follows its law in both arms that have one."
    one = said(slopes, predictions={"a": [holds], "b": [fails]}, **asked)
    assert one.answer == "No: recall leaves its law in one of two arms (b)."
    other = said(slopes, predictions={"a": [holds], "b": [fails]})
    assert (
        other.answer.startswith("Yes: recall falls")
        and "Recall leaves its law in one of two arms (b)." in other.beneath
    )
    lone = said(slopes, seeds=1, predictions={"a": [replace(holds, mean=holds.mean + 0.01, sd=None)]}, **asked)
    assert lone.answer == "It cannot be told: in a it cannot be told whether recall follows its law."


@pytest.mark.parametrize(
    "question, kind",
    [
        (COLLAPSES, "collapses"),
        ("Does recall fall when a model eats its own samples, and does fresh data stop it?", "collapses"),
        ("Do judges who were taught to see collapse slow it down?", "other"),
        ("Does choosing samples for their entropy keep a loop from collapse?", "other"),
        ("Is model collapse inevitable?", "other"),
        ("Which cure keeps most of a loop?", "which"),
        ("What does a reward cost?", "other"),
        ("Does the loop do what the exact laws of a Gaussian say, in every regime?", "laws"),
        ("", "other"),
    ],
)
def test_yes_and_no_are_said_to_questions_that_ask_for_them(question, kind):
    assert headline.kind_of(question) == kind


def test_a_poor_model_is_said_with_what_would_be_possible():
    poor = {"start": 0.31, "reference": {"lenet": {"recall": 0.97}}}
    facts, poor_records = small({"a": FALL, "b": FALL}, noise=0.0, **poor)
    words = "At generation 0 recall is 0.310 of a possible 0.970: results are about this model."
    assert headline.start(facts, poor_records) == (words, True)
    good, records = small({"a": FALL}, noise=0.0, start=0.8, reference=poor["reference"])
    assert headline.start(good, records) == ("At generation 0 recall is 0.800 of a possible 0.970.", False)
    assert headline.start(replace(good, reference={}), records) == ("", False)
    changed = replace(facts, adaptations={(arm, 0, 0): () for arm in facts.arms})
    assert headline.start(changed, small({"a": 0.0, "b": 0.0}, **poor)[1]) == ("", False)
    page = report.build(facts, poor_records, figures=False)["report.html"].decode()
    assert f"Poor from the start:</strong> {words}" in page


# -- what arms are -----------------------------------------------------------------------------------------------------


def changed(name, **arms):
    """A study of the project with other options of some arms."""
    said = json.loads(find(name).plan())
    for arm, options in arms.items():
        said["arms"][arm] |= options
    study, faults = check(said, said["name"])
    assert all("not comparable" in fault.message for fault in faults)  # which is no matter of words
    return study


def test_sentences_on_arms_follow_the_study_s_numbers():
    study = changed("quickstart")
    assert composed.about(study, "fresh_data") == (
        "100 real images that no model has seen, and 700 samples of the last model"
    )
    other = changed(
        "quickstart",
        fresh_data={"regime": {"fresh_data": {"fresh": 50}}},
        synthetic_augmentation={"regime": {"synthetic_augmentation": {"fixed": 200}}},
    )
    assert composed.about(other, "fresh_data").startswith("50 real images that no model has seen, and 750 samples")
    assert composed.about(other, "synthetic_augmentation").startswith("200 real images that never change, and 600")
    assert composed.remedies(other)["synthetic_augmentation"] == "keeping 200 real images"
    assert "fully_synthetic_biased" not in composed.remedies(other)  # it is guided, too


def test_what_a_file_says_against_its_regime_is_not_printed_as_true():
    about = "100 real images that no model has seen, and 700 samples"
    right = changed("quickstart", fresh_data={"about": about})
    assert composed.about(right, "fresh_data") == about and composed.contradicted(right) == {}
    wrong = changed("quickstart", fresh_data={"about": about, "regime": {"fresh_data": {"fresh": 50}}})
    assert composed.about(wrong, "fresh_data").startswith("50 real images")
    assert composed.contradicted(wrong) == {"fresh_data": about}
    (remark,) = composed.remarks(wrong)
    assert "arms.fresh_data.about" in remark and "700" in remark and "50 real images" in remark


def test_no_study_of_the_project_contradicts_its_regimes():
    for study in all_written_in(Path(__file__).parents[1] / "config"):
        assert list(composed.remarks(study)) == [], study.name
        assert all(composed.about(study, arm) for arm in study.lineages)


@pytest.mark.parametrize(
    "regime, words",
    [
        ("fully_synthetic", "800 samples of the last model, and nothing else"),
        ("ten_percent_real", "80 real images, drawn anew in every generation, and 720 samples of the last model"),
        ("accumulate", "all data so far, 800 samples of the last model more in every generation"),
        (
            "accumulate_subsample",
            "800 images drawn from all data so far, 800 samples of the last model more in every generation",
        ),
        (
            {"k_memory": {"fresh": 100, "k": 2}},
            "100 real images that no model has seen, and 700 new samples of the last 2 models",
        ),
        (
            {"synthetic_augmentation": {"fixed": {1: 400, 3: 100}}},
            "400 to 100 real images that never change, and 400 to 700 samples of the last model",
        ),
    ],
)
def test_every_regime_has_words_of_its_own(regime, words):
    assert composed.about(changed("quickstart", fresh_data={"regime": regime, "about": ""}), "fresh_data") == words


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_real_images_have_the_classes_of_the_pictures():
    labels, wanted = np.array([1, 0, 1, 2, 0]), np.array([0, 1, 0, 1, 7])
    assert list(results._alike(labels, wanted)) == [1, 0, 4, 2, 3]  # of class 7 there is none
    assert list(results._alike(np.array([3]), np.array([3, 3]))) == [0, 0]


def test_a_real_row_stands_first_in_every_sheet():
    real = np.full((10, 1, 8, 8), 7, np.uint8)
    facts = made_up.facts()
    found = pictures.sheets_and_rows(facts, made_up.grids(), real)
    assert found["real"] and found["generations"] == list(range(5))
    records = made_up.only(made_up.records(), "recall")
    page = report.build(facts, records, made_up.grids(), figures=False, real=real)["report.html"].decode()
    sheets = re.findall(r'<figure class="sheet">.*?</figure>', page, re.S)
    assert len(sheets) == 6
    for sheet in sheets:
        rows = re.findall(r"<tr.*?</tr>", sheet, re.S)
        assert len(rows) == 2 and ">real</th>" in rows[0] and found["real"] in rows[0]
    plain = report.build(facts, records, made_up.grids(), figures=False)["report.html"].decode()
    assert ">real</th>" not in plain.split('id="samples"')[1].split("</section>")[0]


# -- the end of the page -----------------------------------------------------------------------------------------------

KNOWN = Made(
    "config/made_up.yaml", "name: made_up\nseed: 1 # <all>\n", 7, "feed" * 16, 41, "3.11.9",
    {"collapselab": "0", "torch": "2.13.0"}, ("1904.06991", "10.1038/s41586-024-07566-y", "1234.56789"),
)  # fmt: skip
WHEN = {"began_at": 1795974721.6, "ended_at": 1795974730.2, "commit": "0123456789abcdef", "uncommitted": True}


@pytest.fixture(scope="module")
def told():
    """The page of a whole study whose making is known."""
    used = {arm: Used(800, 0, 0, 3200) for arm in made_up.ARMS} | {"fresh_data": Used(800, 400, 0, 2800)}
    facts = made_up.facts(used=used, unit="images", question=COLLAPSES)
    records = made_up.only(made_up.records(), "recall")
    costs = [cost | WHEN for cost in made_up.costs(records)]
    return facts, report.build(facts, records, costs=costs, figures=False, made=KNOWN)["report.html"].decode()


def text_of(part):
    """What is read in a part of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", part)).split())


QUESTIONS = {
    "did it collapse?": ("header", "Yes: recall falls faster than in the control in"),
    "which arm keeps recall best?": ("header", "is 0.85 in control, 0.8"),
    "what is recall?": ("header", "Recall is the share of the real images that the model still reaches"),
    "did the control fall?": ("header", "In the control recall does not fall"),
    "how many real images did it use?": ("header", "Distinct real images used by generation 4: 800 in control"),
    "of what data?": ("header", "Data: 1797 handwritten digits"),
    "which model?": ("header", "Model diffusion: EDM U-Net, preset tiny"),
    "how many seeds?": ("header", "5 arms, 3 seeds each, generations 0 to 4"),
    "which metric counts?": ("header", "Primary endpoint: Recall in the lenet features, as sampled"),
    "how do I run it again?": ("footer", "Run it again collapselab run made_up , with the file below"),
    "what do I cite?": ("footer", "@misc{madeup2026,"),
    "when, and in which environment?": ("footer", "Computed 2026-11-29 17:52 UTC"),
}


def test_only_what_has_plain_words_is_explained():
    assert set(MEANINGS) <= set(METRICS)
    facts = made_up.facts(primary=Endpoint("vendi_score", "lenet"))
    assert meaning(facts) == ""


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_anybody_asks_is_answered_at_the_top_or_at_the_end(told, question):
    where, words = QUESTIONS[question]
    _, page = told
    assert words in text_of(re.search(rf"<{where}.*?</{where}>", page, re.S)[0])


def test_the_end_of_the_page_is_enough_to_run_and_cite_the_study(told):
    _, page = told
    assert "Poor from the start" not in page and "At generation 0 recall is 0.8" in page
    end = re.search(r"<footer.*?</footer>", page, re.S)[0]
    words = text_of(end)
    assert f"Commit {WHEN['commit']}, with changes that are not committed" in words
    assert f"Python 3.11.9, torch 2.13.0; 41 packages, SHA-256 {KNOWN.environment}" in words
    assert "3, all drawn from the study's seed 7" in words and "seed: 1 # &lt;all&gt;" in end
    assert 'href="https://doi.org/10.1038/s41586-024-07566-y">Shumailov et al. (2024)' in end
    assert 'href="https://arxiv.org/abs/1234.56789">arXiv 1234.56789' in end
    assert "@inproceedings{kynkaanniemi2019improved," in words and "author = {{the authors of the study}}" in words
    for name in (*footer.TABLES, "figures/recall_lenet.pdf"):
        assert f'href="{name}"' in end


def test_a_report_without_a_repository_or_costs_says_so():
    records = made_up.only(made_up.records(generations=1), "recall")
    page = report.build(made_up.facts(), records, figures=False)["report.html"].decode()
    words = text_of(re.search(r"<footer.*?</footer>", page, re.S)[0])
    assert f"Commit {footer.NO_COMMIT}" in words and "Computed not recorded" in words
    assert "year = " not in words.split("@misc{collapselab")[0]


def test_dates_are_the_jobs_and_not_the_clock_s():
    costs = [WHEN, {"began_at": WHEN["began_at"] - 86400, "ended_at": WHEN["began_at"]}, {}]
    assert footer.period(costs) == ("2026-11-28 17:52", "2026-11-29 17:52")
    assert footer.period([{}]) == ("", "")


def test_the_commits_at_which_a_study_was_trained_come_from_its_jobs():
    later, first = {"commit": "b", "uncommitted": True, "ended_at": 2.0}, {"commit": "a", "ended_at": 1.0}
    assert footer.commits([later, {"ended_at": 3.0}, first, later]) == [("a", False), ("b", True)]
    assert footer.commits([{"ended_at": 1.0}]) == []
    none = footer.footer(made_up.facts(), KNOWN, [], [])
    assert none.facts["Commit"] == footer.NO_COMMIT and "commit" not in none.bibtex.partition("}\n")[0]


def test_what_a_report_is_made_by_is_read_where_it_is_drawn(tmp_path, monkeypatch):
    study = find("quickstart")
    text = (tmp_path / "quickstart.yaml").parent
    found = making.made(study, "quickstart")
    assert found.text.startswith("# yaml-language-server") and found.seed == 1 and found.software["collapselab"]
    assert "1904.06991" in found.papers and len(found.environment) == 64 and found.packages > 10
    again = making.made(changed("quickstart", fresh_data={"regime": {"fresh_data": {"fresh": 50}}}), "quickstart")
    assert "fresh: 50" in again.text and not again.text.startswith("#")  # the file says another study by now
    monkeypatch.chdir(text)
    assert revision.revision() == ("", False) and revision.facts() == {}
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True, capture_output=True, cwd=tmp_path
        )
    commit, altered = revision.revision()
    assert re.fullmatch("[0-9a-f]{40}", commit) and not altered
    assert revision.facts() == {"commit": commit, "uncommitted": False}


def test_papers_in_a_text_become_links():
    assert footer.cited("as (Shi, arXiv 2509.16499) says") == [
        ("as (Shi, ", ""),
        ("arXiv 2509.16499", "https://arxiv.org/abs/2509.16499"),
        (") says", ""),
    ]
    assert footer.cited("nothing") == [("nothing", "")] and footer.cited("") == []
