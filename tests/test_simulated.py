"""Judges that only seem to be people: what they see, how they decide, what is fitted to them, and how they come by."""

import threading
import time

import numpy as np
import pytest

from collapselab import store
from collapselab.core.sets import SampleSet
from collapselab.features import FEATURES
from collapselab.judge.examples import alike, hatched, strip
from collapselab.judge.eyes import Eyes, Impression
from collapselab.judge.policies import FARTHEST, RIDGE, Turn, chance_in_training, chance_of_good, fitted, logistic
from collapselab.judge.visits import links_of
from collapselab.select.simulated import Simulated

FIRST, LAST = Turn(0, 101), Turn(100, 101)
GOOD, BAD = Impression(0.4, 3), Impression(-0.4, 3)


def judge(said, **options):
    named = {said: {}} if isinstance(said, str) else said
    return Simulated.model_validate(named | options)


# -- how they decide ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "of_good", "of_bad"),
    [
        ("perfect", 1, 0),
        ({"noisy": {"error": 0.2}}, 0.8, 0.2),
        ("adversarial", 0, 1),
        ({"biased": {"towards": 3, "bias": 0.7}}, 1, 0.7),
        ({"biased": {"towards": 4, "bias": 0.7}}, 1, 0),
        ({"graded": {"slope": 5, "threshold": 0.4}}, 0.5, 1 / (1 + np.exp(4))),
        ({"graded": {"slope": 0}}, 0.5, 0.5),
    ],
)
def test_each_kind_calls_good_what_its_name_says(said, of_good, of_bad):
    found = [chance_of_good(judge(said), seen, FIRST) for seen in (GOOD, BAD)]
    assert found == pytest.approx([of_good, of_bad])


def test_whoever_is_tired_errs_the_more_the_later_it_is():
    tired = judge({"tired": {"error": 0.1, "at_last": 0.5}})
    assert [chance_of_good(tired, GOOD, turn) for turn in (FIRST, Turn(50, 101), LAST)] == pytest.approx(
        [0.9, 0.7, 0.5]
    )
    assert [chance_of_good(tired, BAD, turn) for turn in (FIRST, LAST)] == pytest.approx([0.1, 0.5])


def test_the_threshold_is_where_good_begins_and_adversaries_pass_the_gate():
    strict = judge("perfect", threshold=0.5)
    assert chance_of_good(strict, GOOD, FIRST) == 0 and chance_of_good(strict, Impression(np.inf, -1), FIRST) == 1
    contrary = judge("adversarial")
    assert [chance_in_training(contrary, seen) for seen in (GOOD, BAD)] == [1, 0]
    assert chance_in_training(judge({"noisy": {"error": 0.2}}), BAD) == pytest.approx(0.2)


# -- what is fitted ----------------------------------------------------------------------------------------------------


def test_the_graded_judge_is_found_again_in_its_judgements():
    """Within four standard errors by the information of the logistic law; one copy of a real image is no harm."""
    slope, threshold, n = 3.0, 0.2, 4000
    dice = np.random.default_rng(0)
    quality = dice.normal(0, 0.5, n)
    quality[0] = np.inf
    p = logistic(slope * (np.clip(quality, -FARTHEST, FARTHEST) - threshold))
    found = fitted(quality, dice.random(n) < p)
    design = np.stack([np.clip(quality, -FARTHEST, FARTHEST), np.ones(n)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)))
    assert abs(found.slope - slope) < 4 * errors[0]
    assert abs(-found.slope * found.threshold + slope * threshold) < 4 * errors[1]


def test_judges_who_never_err_have_a_slope_and_contrary_ones_a_negative_one():
    quality = np.linspace(-1, 1, 200)
    sharp, contrary = fitted(quality, quality > 0.3), fitted(quality, quality < 0.3)
    assert sharp.slope > 20 and sharp.threshold == pytest.approx(0.3, abs=0.02)
    assert contrary.slope == pytest.approx(-sharp.slope, rel=1e-6)
    # At the maximum the gradient of the penalised likelihood vanishes.
    p = logistic(sharp.slope * (quality - sharp.threshold))
    gradient = ((quality > 0.3) - p) @ np.stack([quality, np.ones(200)], axis=1)
    assert gradient == pytest.approx([RIDGE * sharp.slope, 0], abs=1e-6)
    with pytest.raises(ValueError, match="one answer alone"):
        fitted(quality, np.ones(200, bool))


# -- what they see -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    from collapselab.data.digits import Digits

    return SampleSet(*Digits().read())


def eyes_of(real, *extractors):
    return Eyes({name: FEATURES[name].extract for name in extractors or ("pixels", "colours")}, real)


@pytest.fixture(scope="module")
def eyes(digits):
    return eyes_of(SampleSet(digits.data[:600], digits.labels[:600]))


def test_real_images_look_real_and_hatched_ones_do_not(eyes, digits):
    unseen = digits.data[600:900]
    real, spoilt = eyes.seen(unseen), eyes.seen(hatched(unseen))
    # By construction .95 of real ones are real enough, give or take .03: both the edge and these are of some hundred.
    assert 0.86 < np.mean([one.quality >= 0 for one in real]) < 1
    assert np.mean([one.quality >= 0 for one in spoilt]) < 0.35  # of 8 by 8 pixels; found .22
    assert eyes.look(digits.data[5]).quality == np.inf  # a copy
    right = np.mean([one.of_class == label for one, label in zip(real, digits.labels[600:900], strict=True)])
    assert right > 0.9  # the nearest neighbour knows digits


def test_noise_below_a_level_of_brightness_is_not_seen(digits):
    """Of real digits with noise of up to 12 of 255 about all are real to somebody who tells 8 levels apart, of 36."""
    real, unseen = SampleSet(digits.data[:600]), digits.data[600:800].astype(int)
    noisy = np.clip(unseen + np.random.default_rng(0).integers(0, 13, unseen.shape), 0, 255).astype(np.uint8)
    passed = {
        levels: np.mean(
            [one.quality >= 0 for one in Eyes({"colours": FEATURES["colours"].extract}, real, levels).seen(noisy)]
        )
        for levels in (256, 8)
    }
    assert passed[256] < 0.2 < 0.8 < passed[8]
    for levels in (2, 8, 255):
        seen = []
        Eyes({"pixels": lambda data, seen=seen: seen.append(data) or FEATURES["pixels"].extract(data)}, real, levels)
        assert len(np.unique(seen[0])) <= levels and seen[0].min() == 0 and seen[0].max() == 255


def test_a_strip_of_one_thing_is_told_from_one_of_many(eyes, digits):
    many = [strip(digits.data[rows]) for rows in np.random.default_rng(0).permutation(1000)[:500].reshape(100, 5)]
    seen = [eyes.look(one).quality >= 0 for one in many]
    assert np.mean(seen) > 0.85  # by construction .95, give or take .022 of 100
    same = [strip(digits.data[rows]) for rows in alike(digits.data[:900], 12, 0)]
    assert not any(eyes.look(one).quality >= 0 for one in same)
    with pytest.raises(ValueError, match="neither one of"):
        eyes.look(np.zeros((1, 8, 11), np.uint8))


# -- how they come by --------------------------------------------------------------------------------------------------


def test_links_are_read_as_they_were_printed():
    text = ["# study faces", "", "J01 http://host:8080/join/abc", "people J02  https://host/join/def"]
    found = links_of(text)
    assert [(one.url, one.token) for one in found] == [("http://host:8080", "abc"), ("https://host", "def")]
    with pytest.raises(ValueError, match="line 1: found 'J01 nothing'"):
        links_of(["J01 nothing"])
    with pytest.raises(ValueError, match="found none"):
        links_of(["# nothing"])


@pytest.fixture
def served(tmp_path):
    """A round of judging of 60 images, and its page on a port of this machine."""
    for part in ("fastapi", "uvicorn", "httpx2", "sqlalchemy"):
        pytest.importorskip(part, reason="the extra `judge` is not installed")
    import uvicorn
    from judged import Round

    from collapselab.judge.service import application
    from collapselab.judge.site import Site

    of = Round(tmp_path, samples=60, judges=4, per_judge=15, gold=0.2, repeats=0.2)
    site = Site(of.engine, of.study, "http://127.0.0.1")
    server = uvicorn.Server(uvicorn.Config(application(site), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    of.port = server.servers[0].sockets[0].getsockname()[1]
    yield of
    server.should_exit = True
    thread.join()


def test_simulated_judges_do_over_http_all_that_people_do(served):
    """Consent, training, every item, the survey; what is exported is what each kind was to say."""
    from collapselab.judge import rounds, survey
    from collapselab.judge.visits import Link, Simulation, visits

    data = store.read_samples(served.pool(0).samples).data
    through = eyes_of(SampleSet(served.real), "pixels", "spectrum")
    through.remember(data)
    kinds = [judge("perfect"), judge("adversarial"), judge({"noisy": {"error": 0.25}}), judge({"graded": {"slope": 9}})]
    links = [Link(one.code, f"http://127.0.0.1:{served.port}", one.token) for one in served.invite(4)]
    done = visits(links, lambda index: Simulation(kinds[index], through, 100 + index), at_once=4)
    assert [(one.judged, one.stage) for one in done] == [(15 + 3 + 3, "thanks")] * 4
    assert all(one.surveyed and one.attempts >= 1 for one in done)
    (one,) = served.rounds()
    ballots = store.read_ballots(rounds.close(served.engine, one))
    said = {link.code: {} for link in links}
    for place in ballots.votes:
        said[ballots.judges[place]][int(ballots.rows[place])] = ballots.answers[place]
    real = [(seen.quality >= 0) for seen in through.seen(data)]
    assert all((answer == "good") == real[row] for row, answer in said[links[0].code].items())
    assert all((answer == "good") != real[row] for row, answer in said[links[1].code].items())
    checks = ballots.lineage["checks"]
    assert checks[links[0].code] == {"gold": [3, 3], "repeats": [3, 3]}
    assert checks[links[1].code] == {"gold": [0, 3], "repeats": [3, 3]}
    with served.engine.connect() as connection:
        assert len(survey.answered(connection, served.study)) == 4
    again = visits(links, lambda index: Simulation(kinds[index], through, 100 + index), at_once=4)
    assert [(one.judged, one.stage) for one in again] == [(0, "thanks")] * 4  # there is nothing left to do


class Flaky:
    """A client of a page that has done what was asked, and then falls over before it answers."""

    def __init__(self, client, falls):
        self.client, self.falls = client, falls

    def request(self, verb, url, **more):
        from httpx2 import ReadError, Response

        answer = self.client.request(verb, url, **more)
        if self.falls.pop(url.rpartition("/")[2], None):
            if url.endswith("survey"):
                return Response(500)
            raise ReadError("gone")
        return answer


def test_what_the_page_did_without_an_answer_is_not_done_twice(served, monkeypatch):
    """Consent, training, a judgement, finish and survey: the first time each falls over after it is stored."""
    import httpx2

    from collapselab.judge import rounds, visits

    monkeypatch.setattr(visits, "PATIENCE_SECONDS", 0.0)
    (one,) = served.invite(1)
    through = eyes_of(SampleSet(served.real), "pixels", "spectrum")
    falls = dict.fromkeys(("consent", "training", "judgements", "finish", "survey"), True)
    link = visits.Link(one.code, f"http://127.0.0.1:{served.port}", one.token)
    with httpx2.Client(trust_env=False) as client:
        page = visits.Page(link, Flaky(client, falls))
        done = visits.visit(page, visits.Simulation(judge("perfect"), through, 1))
    assert (done.judged, done.stage, falls) == (21, "thanks", {})
    ballots = store.read_ballots(rounds.close(served.engine, served.rounds()[0], anyway=True))
    assert len(ballots) == 18  # 15 samples, of which 3 were shown again


def test_a_link_that_leads_nowhere_is_named(served):
    from collapselab.judge.visits import Link, Simulation, visits

    links = [Link("J09", f"http://127.0.0.1:{served.port}", "forged")]
    with pytest.raises(ValueError, match="J09: GET /api/state: 403 this link does not lead here"):
        visits(links, lambda index: Simulation(judge("perfect"), None, 0), at_once=1)
