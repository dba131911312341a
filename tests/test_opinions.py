"""What the report says of people: the closing survey in percent, how far they agree, and what was kept and what not."""

import re

import made_up
import numpy as np
import pytest

from collapselab.core.sets import Ballots
from collapselab.judge.opinions import opinions, percentages
from collapselab.judge.told import SCALE, Judged, Round, surveys_of
from collapselab.report import build
from collapselab.report.people import of_people
from collapselab.report.pictures import kept_and_discarded
from collapselab.select.people import PeopleOptions
from collapselab.study.selected import Selecting

TOPPED = {"fully_synthetic": {0: 0.4, 1: 0.55}}
OPTIONS = PeopleOptions(share=0.5, judges=25, overlap=2, languages=("en",))
# Made up for 25 people: how many chose each of the four points, question by question.
CHOSEN = {
    "inclined": (1, 4, 12, 8),
    "understood_1": (10, 10, 5, 0),  # a tie of two
    "understood_2": (0, 0, 0, 25),
    "understood_3": (6, 6, 6, 7),
    "understood_4": (5, 10, 0, 10),
    "concentrated": (7, 6, 6, 6),
    "good_work": (2, 3, 9, 11),
}


def surveys():
    given = {name: np.repeat(SCALE, counts).tolist() for name, counts in CHOSEN.items()}
    return [{name: points[person] for name, points in given.items()} for person in range(25)]


def rounds(count=3, judges=6, samples=30, seed=0):
    """Rounds in which everybody judges everything, and two images a second time."""
    draws = np.random.default_rng(seed)
    found = []
    for generation in range(count):
        truth = draws.random(samples) < 0.6
        rows = np.concatenate([np.append(np.arange(samples), [0, 1]) for _ in range(judges)])
        names = tuple(f"J{index + 1:02d}" for index in range(judges) for _ in range(samples + 2))
        good = truth[rows] ^ (draws.random(len(rows)) < 0.1)
        checks = {f"J{index + 1:02d}": {"gold": [index, 6], "repeats": [2, 2]} for index in range(judges)}
        answers = tuple("good" if one else "bad" for one in good)
        found.append(
            Round(
                "fully_synthetic",
                0,
                generation,
                Ballots(rows, names, answers, np.full(len(rows), 1.5), {"checks": checks}),
            )
        )
    return found


def judged(**changes):
    given = {
        "options": {"fully_synthetic": OPTIONS},
        "rounds": rounds(),
        "turns": 4,
        "surveys": {"fully_synthetic": surveys()},
    }
    return Judged(**(given | changes))


def test_of_25_answers_every_share_is_a_multiple_of_four_and_every_most_frequent_one_a_mode():
    found = opinions(surveys(), OPTIONS, 4, SCALE)
    assert len(found) == 7 and all(one.answered == 25 for one in found)
    for one, counts in zip(found, CHOSEN.values(), strict=True):
        assert [share.percent for share in one.shares] == [4.0 * count for count in counts]
        assert sum(share.percent for share in one.shares) == 100
        assert [share.is_mode for share in one.shares] == [count == max(counts) for count in counts]
    assert [share.is_mode for share in found[1].shares] == [True, True, False, False]
    assert found[1].words == "In round 1 I understood which images to discard."
    assert [share.percent for share in percentages([], SCALE)] == [0.0] * 4
    assert not any(share.is_mode for share in percentages([], SCALE))
    with pytest.raises(ValueError, match=r"found \[5\], allowed are \[1, 2, 3, 4\]"):
        percentages([1, 5], SCALE)


def test_who_left_a_question_out_is_not_counted_in_it():
    some = surveys()
    some[0]["inclined"] = None
    (first, *_) = opinions(some, OPTIONS, 4, SCALE)
    assert first.answered == 24 and sum(share.percent for share in first.shares) == pytest.approx(100)


def test_the_export_is_read_as_it_was_written():
    rows = [
        {"arm": "a", "inclined": "3", "understood_1": "", "age_group": "25-34", "profession": "x"},
        {"arm": "b", "inclined": "1", "understood_1": "4", "age_group": "", "profession": ""},
    ]
    assert surveys_of(rows) == {"a": [{"inclined": 3, "understood_1": None}], "b": [{"inclined": 1, "understood_1": 4}]}
    with pytest.raises(ValueError, match="row 1: inclined: found '7', allowed are 1, 2, 3, 4"):
        surveys_of([{"arm": "a", "inclined": "7"}])


def test_a_judge_is_told_over_all_rounds_and_no_sample_of_one_is_that_of_another():
    found = of_people(judged())
    assert [one["where"] for one in found["rounds"]] == ["0", "1", "2"]
    (judges,) = found["judges"].values()
    assert [one["judged"] for one in judges] == [90] * 6  # 30 in each of three rounds: repeats count once
    assert [one["right"][0] for one in judges] == [f"{100 * index / 6:.0f} %" for index in range(6)]
    assert {one["seconds"] for one in judges} == {"1.50"} and found["simulated"] == []
    assert of_people(None) is None and of_people(judged(rounds=[])) is None


def test_the_page_has_the_survey_with_its_modes_in_bold_and_says_who_is_simulated():
    facts, records = made_up.facts(), made_up.records()
    simulated = OPTIONS.model_copy(update={"simulated": PeopleOptions(share=0.5, simulated="noisy").simulated})
    told = judged(options={"fully_synthetic": simulated})
    pictures = {"fully_synthetic": {0: (images(3), images(5)), 1: (images(0), images(4))}}
    page = build(facts, records, figures=False, selecting=Selecting(told, pictures, TOPPED, TOPPED))[
        "report.html"
    ].decode()
    bold = re.findall(r"<td class=\"number\"><strong>(\d+ %)</strong></td>", page)
    assert bold == ["48 %", "40 %", "40 %", "100 %", "28 %", "40 %", "40 %", "28 %", "44 %"]
    assert "chance added others: 40.0% at generation 0, 55.0% at generation 1 of what was kept" in page
    assert "all weigh alike: 40.0% of them at generation 0, 55.0% of them at generation 1" in page
    assert "only seem to be people" in page and "Krippendorff&#39;s alpha" in page
    assert page.count('alt="Kept samples of fully_synthetic') == 1  # of generation 1 nothing was kept
    assert page.count('alt="Discarded samples of fully_synthetic') == 2


def images(count):
    return np.random.default_rng(count).integers(0, 256, (count, 1, 8, 8), np.uint8)


def test_contact_sheets_keep_to_their_share_of_bytes():
    large = {"arm": {t: (np.zeros((10, 3, 96, 96), np.uint8),) * 2 for t in range(8)}}
    (sheet,) = kept_and_discarded("made_up", large)
    (small,) = kept_and_discarded("made_up", {"arm": {0: (images(10), images(10))}})
    widths = [width(one["rows"][0][1]) for one in (sheet, small)]
    assert widths[0] < 10 * 98 and widths[1] == 10 * (4 * 8 + 2)
    assert (
        kept_and_discarded("made_up", {}) == []
        and kept_and_discarded("made_up", {"arm": {0: (images(0), images(0))}}) == []
    )


def width(png):
    import base64
    import io

    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(png))).width
