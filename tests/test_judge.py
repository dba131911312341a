"""Rounds of judging: who judges what, what is stored of it, and what is exported."""

import hashlib
import io
import json
import secrets
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import SIDE, Round, images
from PIL import Image
from sqlalchemy import select

from collapselab import store
from collapselab.data.pictures import encode
from collapselab.features.spectrum import spectrum
from collapselab.judge import answers, database, examples, panel, rounds, survey, texts, training
from collapselab.judge.assignment import APART, assigned
from collapselab.judge.texts import PLACE, shipped
from collapselab.metrics.artefacts import cross_hatching
from collapselab.select.judging import BAD, GOOD, LANGUAGES, SHIPPED, Judging, Question
from collapselab.select.people import tally_of

# -- options -----------------------------------------------------------------------------------------------------------


def test_the_closing_survey_has_the_seven_questions_after_four_rounds():
    assert Judging().questions(4) == (
        "inclined",
        *(f"understood_{turn}" for turn in (1, 2, 3, 4)),
        "concentrated",
        "good_work",
    )
    assert len(survey.SCALE) == 4


def test_all_faults_of_options_are_said_at_once():
    said = {"judges": 2, "overlap": 3, "survey": ["x", "good_work", "good_work", {"id": "own", "text": {"en": "?"}}]}
    with pytest.raises(ValueError) as error:
        Judging(**said, consent={"en": "yes"}, texts={"fr": {"bad": "non"}}, languages=["en", "lt", "de"])
    for words in (
        "overlap: found 3, allowed are at most the 2 judges",
        f"found 'x'; allowed are {', '.join(SHIPPED)}, or {{id, text}}",
        "found 'good_work' more than once",
        "own: has no words in 'lt'",
        "consent: has no words in 'lt'",
        "texts: found 'fr', which is not among languages",
        "languages: found 'de'; shipped are en, lt, pl, es",
    ):
        assert words in str(error.value)


# -- who judges what ---------------------------------------------------------------------------------------------------

SOME = st.builds(
    Judging,
    judges=st.integers(3, 9),
    per_judge=st.integers(1, 60),
    overlap=st.integers(1, 3),
    gold=st.sampled_from([0, 0.05, 0.3]),
    repeats=st.sampled_from([0, 0.05, 0.3]),
)


@settings(max_examples=60)
@given(options=SOME, count=st.integers(1, 200), seed=st.integers(0, 9))
def test_every_sample_has_as_many_judges_and_every_judge_as_many_samples(options, count, seed):
    table = assigned(count, 5, options, seed)
    assert len(table) == options.judges and table == assigned(count, 5, options, seed)
    study = [[item.row for item in order if item.kind == "study"] for order in table]
    by_row = np.bincount([row for rows in study for row in rows], minlength=count)
    assert (
        (by_row > 0).sum() == options.judged(count) == min(count, options.judges * options.per_judge // options.overlap)
    )
    assert set(by_row.tolist()) <= {0, options.overlap}
    assert all(len(set(rows)) == len(rows) <= options.per_judge for rows in study)
    assert max(map(len, study)) - min(map(len, study)) <= 1
    for order, rows in zip(table, study, strict=True):
        kinds = [item.kind for item in order]
        assert kinds.count("gold") == round(options.gold * len(rows))
        assert kinds.count("repeat") <= round(options.repeats * len(rows))
        first = {item.row: place for place, item in enumerate(order) if item.kind == "study"}
        apart = min(APART, (len(rows) + kinds.count("gold")) // 4)
        for place, item in enumerate(order):
            assert item.kind != "repeat" or place - first[item.row] >= apart


def test_orders_are_private_and_follow_the_seed():
    options = Judging(judges=4, per_judge=100, overlap=4, gold=0, repeats=0)
    table = [[item.row for item in order] for order in assigned(100, 0, options, 3)]
    assert all(sorted(order) == list(range(100)) for order in table)
    assert len({tuple(order) for order in table}) == 4
    assert table != [[item.row for item in order] for order in assigned(100, 0, options, 4)]


def test_pairs_of_judges_share_samples_by_lot():
    # 300 samples, 2 of 6 judges each: 15 pairs, 20 samples a pair on average. Dealt in turn, most pairs have none.
    options = Judging(judges=6, per_judge=100, overlap=2, gold=0, repeats=0)
    hands = [{item.row for item in order} for order in assigned(300, 0, options, 1)]
    shared = [len(hands[one] & hands[other]) for one in range(6) for other in range(one)]
    assert sum(shared) == 300 and min(shared) > 0


def test_without_samples_or_gold_nothing_is_assigned():
    with pytest.raises(ValueError, match="found no samples"):
        assigned(0, 5, Judging(), 0)
    with pytest.raises(ValueError, match="found no image whose answer is known; 20 are needed a judge"):
        assigned(10_000, 0, Judging(), 0)


# -- examples ----------------------------------------------------------------------------------------------------------


def test_a_hatched_image_shows_what_the_metric_of_cross_hatching_looks_for():
    clean = images(40)
    index = cross_hatching(spectrum(clean), spectrum(examples.hatched(clean)))
    assert index.low > 5
    # x + s sin(2 pi i / 4) sin(2 pi j / 4): on mid-grey, where nothing is clipped, to half a step of 255.
    grey = np.full((1, 1, 8, 8), 128, np.uint8)
    wave = np.array([0, 1, 0, -1, 0, 1, 0, -1])
    expected = 128 + 127.5 * examples.STRENGTH * np.outer(wave, wave)
    assert abs(examples.hatched(grey)[0, 0] - expected).max() <= 0.5


def test_a_strip_of_what_is_alike_is_one_image_and_its_nearest():
    pool = np.concatenate([images(30), images(1, seed=9).repeat(examples.STRIP, axis=0)])  # five equal ones
    first = examples.alike(pool, 3, seed=0)[0]
    assert sorted(first.tolist()) == list(range(30, 30 + examples.STRIP))
    chosen = [set(rows.tolist()) for rows in examples.alike(images(200), 4, seed=0)]
    assert all(not one & other for place, one in enumerate(chosen) for other in chosen[:place])
    made = examples.strip(pool[first])
    assert made.shape == (1, SIDE, examples.STRIP * SIDE + (examples.STRIP - 1) * examples.GAP)
    assert (made[0, :, SIDE : SIDE + examples.GAP] == 255).all()


def test_few_real_images_are_enough():
    found = examples.examples(images(2), images(3), seed=0)
    assert {one.about: one.answer for one in found} == {"good": GOOD, "hatched": BAD, "alike": BAD, "diverse": GOOD}
    assert {one.about for one in examples.gold(images(1), seed=0)} == {"good", "hatched"}


# -- words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_text_with_the_same_places(language):
    english, words = shipped("en"), shipped(language)
    assert list(words) == list(english)
    for key, text in words.items():
        assert isinstance(text, str) and text.strip(), key
        assert set(PLACE.findall(text)) == set(PLACE.findall(english[key])), key
    same = [key for key in words if language != "en" and words[key] == english[key]]
    assert not same, f"not translated: {same}"


def test_a_study_changes_words_and_brings_languages():
    options = Judging(texts={"en": {"good": "Keep"}}, languages=["en"], consent={"en": "Code {code}, {other}"})
    words = texts.Words(options, "en")
    assert words("good") == "Keep" and words("bad") == "Bad"
    assert words("consent_text", code="J01") == "Code J01, {other}"
    assert texts.faults(Judging(texts={"en": {"god": "x"}})) == [
        "texts: en: unknown key 'god'; the keys are those of judge/texts/en.yaml"
    ]
    missing = texts.faults(Judging(languages=["fr"], texts={"fr": {"good": "Bonne"}}))
    assert len(missing) == 1 and "is not shipped, and lacks" in missing[0]
    assert not texts.faults(Judging(languages=["fr"], texts={"fr": dict(shipped("en"))}))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("lt-LT,lt;q=0.9,en;q=0.8", "lt"),
        ("de, es;q=.5, pl;q=.7", "pl"),
        ("", "en"),
        ("fr", "en"),
        ("lt;q=x, es", "es"),
        (",;q=,", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_asks_for(accepted, language):
    assert texts.chosen(accepted, Judging()) == language


# -- where it is stored ------------------------------------------------------------------------------------------------

MOUNTS = r"""/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local\040disk xfs rw 0 0
server:/old /scratch nfs rw 0 0
/dev/vdc /scratch ext4 rw 0 0
C: /mnt/c 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/tmp/judging.db", "ext4"),
        ("/home/ada/judging.db", "nfs4"),
        ("/home/local disk/judging.db", "xfs"),
        ("/homework/judging.db", "ext4"),
        ("/scratch/judging.db", "ext4"),
        ("/mnt/c/x/judging.db", "9p"),
    ],
)
def test_a_database_on_a_network_file_system_is_refused(tmp_path, path, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert database.mounted(path, mounts)[0] == kind
    if kind in database.NETWORK:
        with pytest.raises(ValueError, match=rf"network file system \({kind}\).*--database sqlite:////FOLDER"):
            database.expect_local(path, mounts)
    else:
        database.expect_local(path, mounts)
    database.expect_local(path, tmp_path / "no such list")


def test_opening_asks_where_the_file_lies(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(database, "MOUNTS", mounts)
    with pytest.raises(ValueError, match="network file system"):
        database.opened(f"sqlite:///{tmp_path}/deep/judging.db")
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("judging.db", "allowed is sqlite:///FILE or postgresql"),
        ("sqlite://", "SQLite in memory"),
        ("mysql://x/y", "found 'mysql'; allowed are sqlite and postgresql"),
        ("postgresql://nobody:secret@127.0.0.1:9/none", "cannot be opened"),
    ],
)
def test_a_database_that_is_none_is_refused_and_keeps_its_secret(url, words):
    with pytest.raises(ValueError) as error:
        database.opened(url)
    assert words in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE rounds DROP COLUMN turns", "its table rounds lacks turns;"),
        ("ALTER TABLE judges ADD COLUMN shoe_size INTEGER", "its table judges has besides shoe_size;"),
    ],
)
def test_a_database_of_another_version_is_refused_in_words(tmp_path, change, words):
    url = f"sqlite:///{tmp_path}/judging.db"
    with database.writing(database.opened(url)) as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(ValueError, match="another version of collapselab") as error:
        database.opened(url)
    assert words in str(error.value)


def test_writers_of_a_file_take_turns_without_looking_again(tmp_path):
    engine, order = database.opened(f"sqlite:///{tmp_path}/judging.db"), []

    def write(name):
        with database.writing(engine):
            order.append(name)

    with database.writing(engine):
        other = threading.Thread(target=write, args=("second",))
        other.start()
        assert database.TURNS[engine].locked() and not order
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_every_commit_is_synced_to_the_disk(tmp_path):
    engine = database.opened(f"sqlite:///{tmp_path}/judging.db")
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]  # 2 is FULL


# -- rounds ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A round that nobody changes."""
    return Round(tmp_path_factory.mktemp("round"), overlap=2)


def test_images_are_stored_as_they_are_served(opened):
    (one,) = opened.rounds()
    pool = store.read_samples(opened.pool(0).samples).data
    with opened.engine.connect() as connection:
        rows = connection.execute(select(database.images)).mappings().all()
    pack = Path(one["pack"]).read_bytes()
    assert len(pack) == sum(row["length"] for row in rows)
    seen = set()
    for row in rows:
        png = pack[row["start"] : row["start"] + row["length"]]
        assert hashlib.sha256(png).hexdigest() == row["sha256"]
        pixels = np.asarray(Image.open(io.BytesIO(png)))
        assert pixels.shape == (row["height"], row["width"])
        if row["role"] == "pool":
            assert png == encode(pool[row["row"]]) and (pixels == pool[row["row"], 0]).all()
            seen.add(row["row"])
    assert seen == set(range(len(pool)))
    assert store.content_hash(one["pack"]) == store.recorded_hash(one["pack"])


def test_what_teaches_is_not_what_tests(opened):
    with opened.engine.connect() as connection:
        rows = connection.execute(select(database.images)).mappings().all()
    hashes = {role: {row["sha256"] for row in rows if row["role"] == role} for role in ("pool", "gold", "lesson")}
    assert not hashes["gold"] & hashes["lesson"] and not hashes["gold"] & hashes["pool"]


def test_a_round_is_opened_once_and_ends_when_its_samples_are_made_anew(tmp_path):
    held = Round(tmp_path)
    assert rounds.open_round(held.engine, held.pool(0), None, held.options, tmp_path) is None  # nothing is read again
    pool = held.pool(0)
    pool.samples.unlink()  # nor is the file of the samples: its hash beside it is enough
    assert rounds.open_round(held.engine, pool, None, held.options, tmp_path) is None
    assert len(held.rounds()) == 1
    store.write_samples(held.pool(0).samples, store.read_samples(held.pool(0).samples).__class__(images(30, seed=7)))
    assert held.open(0) == 2
    old, new = sorted(held.rounds(), key=lambda one: one["id"])
    assert old["closed"] is not None and new["closed"] is None
    assert not rounds.is_last(held.engine, old) and rounds.is_last(held.engine, new)


def test_what_is_no_image_is_not_judged(tmp_path):
    with pytest.raises(ValueError, match=r"people judge uint8 images"):
        examples.expect_images(np.zeros((4, 2)), "pool")
    held = Round(tmp_path)
    with pytest.raises(ValueError, match=r"found images of \(1, 16, 16\), real ones have \(1, 8, 8\)"):
        rounds.open_round(held.engine, held.pool(1), lambda: np.zeros((9, 1, 8, 8), np.uint8), held.options, tmp_path)


# -- acts --------------------------------------------------------------------------------------------------------------


class Person:
    """Somebody who judges, in the database itself."""

    def __init__(self, held, trained=True):
        self.held = held
        (self.invited,) = held.invite()
        with database.writing(held.engine) as connection:
            answers.consent(connection, self.row(connection))
            if trained:
                table = database.judges
                connection.execute(table.update().where(table.c.code == self.invited.code).values(trained=1.0))

    def row(self, connection):
        return panel.of_token(connection, self.held.study, self.invited.token)

    def do(self, act, *given):
        with database.writing(self.held.engine) as connection:
            return act(connection, self.row(connection), *given)

    def place(self):
        with self.held.engine.connect() as connection:
            return answers.place_of(connection, self.row(connection))

    def next(self):
        place = self.place()
        with self.held.engine.connect() as connection:
            return answers.next_items(connection, self.row(connection), place.round["id"])[0]

    def judge(self, answer=GOOD, nonce=None, seconds=1.0):
        word = self.next()["word"]
        self.do(answers.record, answers.Judgement(word, answer, nonce or f"nonce-{word}", seconds))
        return word

    def judge_all(self, answer=lambda word: GOOD):
        words = []
        while self.place().stage == "judging":
            words.append(self.judge(answer(len(words))))
        return words

    def answers(self):
        with self.held.engine.connect() as connection:
            asked = select(database.items.c.word, database.judgements.c.answer).join(
                database.judgements, database.judgements.c.item == database.items.c.id
            )
            return dict(connection.execute(asked).all())


def test_a_nonce_is_heard_once(tmp_path):
    person = Person(Round(tmp_path))
    first = person.judge(BAD, "nonce-one")
    again = answers.Judgement(first, BAD, "nonce-one")
    assert person.do(answers.record, again)[:2] == (BAD, True)  # what is stored, and that it was heard before
    assert person.answers() == {first: BAD}
    assert person.do(answers.record, answers.Judgement(first, GOOD, "nonce-two"))[:2] == (GOOD, False)
    # The first one comes late: it does not take the place of the second.
    assert person.do(answers.record, answers.Judgement(first, BAD, "nonce-one"))[:2] == (GOOD, True)
    with person.held.engine.connect() as connection:
        events = connection.execute(select(database.events).where(database.events.c.kind == "judgement")).mappings()
        told = [(event["said"]["before"], event["said"]["answer"]) for event in events]
    assert told == [(None, BAD), (BAD, GOOD)] and person.answers() == {first: GOOD}


def test_a_nonce_stands_for_one_act_alone(tmp_path):
    person = Person(Round(tmp_path))
    first = person.judge(BAD, "nonce-one")
    second = person.next()["word"]
    for act in (
        (answers.record, answers.Judgement(first, GOOD, "nonce-one")),  # another answer
        (answers.record, answers.Judgement(second, BAD, "nonce-one")),  # another item
        (answers.undo, "nonce-one"),  # another kind
    ):
        with pytest.raises(answers.Refused, match="came before with something else; nothing was stored"):
            person.do(*act)
        assert person.answers() == {first: BAD}
    person.do(answers.undo, "nonce-two")
    with pytest.raises(answers.Refused, match="nothing was stored"):
        person.do(answers.record, answers.Judgement(second, GOOD, "nonce-two"))
    # The first one comes late, when it was taken back: nothing is stored, and that is said.
    assert person.do(answers.record, answers.Judgement(first, BAD, "nonce-one"))[:2] == (None, True)
    assert person.answers() == {}


def test_ten_answers_in_a_row_are_taken_back_and_no_eleventh(tmp_path):
    person = Person(Round(tmp_path))
    words = [person.judge() for _ in range(12)]
    for back in range(answers.UNDOES):
        assert person.do(answers.undo, f"undo-{back:04d}") is False
        assert person.next()["word"] == words[-1 - back]
    assert person.do(answers.undo, "undo-0009") is True  # heard before: nothing more is taken back
    with pytest.raises(answers.Refused, match="the last 10 answers were taken back"):
        person.do(answers.undo, "undo-0010")
    assert set(person.answers()) == set(words[:2])
    person.judge(BAD, "another-one")
    person.do(answers.undo, "undo-0011")  # after an answer there are ten again
    person.do(answers.undo, "undo-0012")
    person.do(answers.undo, "undo-0013")
    with pytest.raises(answers.Refused, match="nothing is left"):
        person.do(answers.undo, "undo-0014")


def test_nothing_is_judged_before_consent_and_training_or_after_the_end(tmp_path):
    held = Round(tmp_path, gold=0, repeats=0)
    person = Person(held, trained=False)
    with held.engine.connect() as connection:
        word = connection.scalar(select(database.items.c.word).where(database.items.c.slot == 0))
    told = answers.Judgement(word, GOOD, "nonce-one")
    with pytest.raises(answers.Refused, match="training comes first"):
        person.do(answers.record, told)
    with database.writing(held.engine) as connection:
        connection.execute(database.judges.update().values(trained=1.0))
    with pytest.raises(answers.Refused, match="not every image"):
        person.do(answers.finish)
    words = person.judge_all()
    person.do(answers.record, answers.Judgement(words[0], BAD, "nonce-changed"))  # until Finish
    person.do(answers.finish)
    for act in (lambda: person.do(answers.record, answers.Judgement(words[0], GOOD, "too-late-1")),):
        with pytest.raises(answers.Refused, match="finished"):
            act()
    assert person.place().stage == "survey"


def test_an_item_of_somebody_else_is_forbidden(tmp_path):
    held = Round(tmp_path)
    first, second = Person(held), Person(held)
    for word in (first.next()["word"], "no-such-item"):
        with pytest.raises(answers.Forbidden):
            second.do(answers.record, answers.Judgement(word, GOOD, "nonce-one"))
    assert not first.answers()


def test_rounds_come_one_after_the_other_and_the_survey_after_the_last(tmp_path):
    held = Round(tmp_path, generations=2, gold=0, repeats=0, per_judge=3)
    person = Person(held)
    person.judge_all()
    person.do(answers.finish)
    assert person.place().stage == "waiting"
    held.open(1)
    assert person.place().stage == "judging"  # neither consent nor training is asked for again
    person.judge_all()
    person.do(answers.finish)
    place = person.place()
    assert place.stage == "survey" and place.options.questions(place.turns)[1:3] == ("understood_1", "understood_2")


def test_a_newcomer_between_rounds_waits_for_the_training(tmp_path):
    held = Round(tmp_path, generations=2, gold=0, repeats=0, per_judge=3)
    Person(held).judge_all()
    rounds.close(held.engine, held.rounds()[0], anyway=True)
    newcomer = Person(held, trained=False)
    assert newcomer.place().stage == "waiting"
    with pytest.raises(answers.Refused, match="the training waits for the next round"):
        newcomer.do(lambda connection, judge: training.grade(connection, judge, newcomer.place(), 1, {}))
    held.open(1)
    assert newcomer.place().stage == "training"
    with database.writing(held.engine) as connection:
        connection.execute(database.rounds.update().values(closed=1.0))
    assert newcomer.place().stage == "thanks"  # who has judged nothing is asked nothing


def test_without_training_nobody_is_taught(tmp_path):
    person = Person(Round(tmp_path, training=False), trained=False)
    assert person.place().stage == "judging"
    with person.held.engine.connect() as connection:
        assert not connection.scalar(select(database.images.c.id).where(database.images.c.role == "lesson"))


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_the_gate_opens_for_enough_right_answers_and_every_attempt_is_written_down(tmp_path):
    held = Round(tmp_path)
    person = Person(held, trained=False)

    def attempt(number, wrong):
        with database.writing(held.engine) as connection:
            judge, place = person.row(connection), person.place()
            asked = training.questions(connection, judge, place, number)
            said = {image["word"]: training.answer_of(image) for image in asked}
            for word in list(said)[:wrong]:
                said[word] = {GOOD: BAD, BAD: GOOD}[said[word]]
            return list(said), training.grade(connection, judge, place, number, said)

    first, graded = attempt(1, wrong=3)
    assert (graded.passed, graded.right, graded.questions) == (False, 7, 10) and set(graded.wrong) == set(first[:3])
    with pytest.raises(answers.Refused, match="handed in already"):
        attempt(1, wrong=0)
    second, graded = attempt(2, wrong=2)
    assert graded.passed and set(first) != set(second)
    assert person.place().stage == "judging"
    with held.engine.connect() as connection:
        rows = connection.execute(select(database.attempts).order_by(database.attempts.c.number)).mappings().all()
    assert [(row["number"], row["right"], row["passed"]) for row in rows] == [(1, 7, False), (2, 8, True)]
    with pytest.raises(answers.Refused, match="the training is done"):
        attempt(3, wrong=0)


def test_questions_are_half_good_and_half_bad_and_none_is_shown_beforehand(tmp_path):
    held = Round(tmp_path, gate={"questions": 16, "right": 12})
    person = Person(held, trained=False)
    with held.engine.connect() as connection:
        judge, place = person.row(connection), person.place()
        asked = training.questions(connection, judge, place, 1)
        shown = training.shown(connection, place.round["id"])
    counts = {about: sum(image["about"] == about for image in asked) for about in training.SHOWN}
    assert counts == {"good": 6, "diverse": 2, "alike": 4, "hatched": 4}
    assert {about: len(images) for about, images in shown.items()} == training.SHOWN
    words = {image["word"] for images in shown.values() for image in images}
    assert len({image["word"] for image in asked}) == 16 and not words & {image["word"] for image in asked}


# -- people ------------------------------------------------------------------------------------------------------------


def test_a_token_is_stored_nowhere(tmp_path):
    held = Round(tmp_path)
    invited = held.invite(2)
    with database.writing(held.engine) as connection:
        admin = panel.new_admin(connection, held.study)
        assert panel.is_admin(connection, held.study, admin) and not panel.is_admin(connection, "other", admin)
    held.engine.dispose()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("judging.db*"))
    for token in (*(one.token for one in invited), admin):
        assert len(token) >= 43 and token.encode() not in stored
        assert panel.digest(token).encode() in stored


def test_places_are_limited_and_each_code_is_one_person(tmp_path):
    held = Round(tmp_path)
    with pytest.raises(ValueError, match="3 are to be invited, but 2 of the 2 places of faces/people are free"):
        held.invite(3)
    first, second = held.invite(2)
    assert (first.code, second.code) == ("J01", "J02")
    with database.writing(held.engine) as connection:
        third = panel.replace(connection, held.study, held.arm, "J01")
        assert third.code == "J01.2"
        assert panel.of_token(connection, held.study, first.token) is None
        panel.revoke(connection, held.study, held.arm, "J02")
        assert panel.of_token(connection, held.study, second.token) is None
        renewed = panel.renew(connection, held.study, held.arm, "J01.2")
        assert panel.of_token(connection, held.study, third.token) is None
        assert panel.of_token(connection, held.study, renewed.token)["code"] == "J01.2"
        assert panel.free(connection, held.study, held.arm, 2) == 1
        with pytest.raises(ValueError, match=r"found 'J09'; the judges of faces/people are J01, J02, J01.2"):
            panel.revoke(connection, held.study, held.arm, "J09")


def test_a_place_is_one_persons_at_a_time(tmp_path):
    held = Round(tmp_path, judges=3)
    held.invite(3)

    def refused(act, code, words):
        with pytest.raises(ValueError, match=words), database.writing(held.engine) as connection:
            act(connection, held.study, held.arm, code)

    with database.writing(held.engine) as connection:
        panel.replace(connection, held.study, held.arm, "J02")
        panel.revoke(connection, held.study, held.arm, "J03")
        panel.forget(connection, held.study, held.arm, "J01")
    for act in (panel.replace, panel.renew):
        refused(act, "J02", r"found 'J02', .*its place is J02.2's now: say J02.2 instead")
        refused(act, "J03", "found 'J03', which was revoked, .*its place is free: invite somebody new")
        refused(act, "forgotten-1", "its place is free")
    assert [one.code for one in held.invite(2)] == ["J01.2", "J03.2"]
    refused(panel.renew, "forgotten-1", "its place is J01.2's now")
    with held.engine.connect() as connection:
        slots = connection.scalars(select(database.judges.c.slot).where(~database.judges.c.revoked)).all()
    assert sorted(slots) == [0, 1, 2]


def test_who_takes_over_a_place_goes_on_where_the_other_stopped(tmp_path):
    held = Round(tmp_path, gold=0, repeats=0, per_judge=5)
    person = Person(held)
    done = [person.judge(), person.judge()]
    with database.writing(held.engine) as connection:
        person.invited = panel.replace(connection, held.study, held.arm, person.invited.code)
        connection.execute(database.judges.update().values(consented=1.0, trained=1.0))
    with pytest.raises(answers.Forbidden):  # what another has said is not changed
        person.do(answers.record, answers.Judgement(done[0], BAD, "nonce-one"))
    rest = person.judge_all()
    assert len(rest) == 3 and not set(rest) & set(done)
    person.do(answers.finish)
    path = rounds.close(held.engine, held.rounds()[0], anyway=True)
    assert sorted(set(store.read_ballots(path).judges)) == ["J01", "J01.2"]


def test_who_is_forgotten_leaves_nothing_behind(tmp_path):
    held = Round(tmp_path)
    person, other = Person(held), Person(held)
    person.judge(), person.judge(), other.judge()
    with database.writing(held.engine) as connection:
        person.invited = panel.renew(connection, held.study, held.arm, "J01")
    with database.writing(held.engine) as connection:
        number = person.row(connection)["id"]
        assert panel.forget(connection, held.study, held.arm, "J01") == 2
    with held.engine.connect() as connection:
        for table in (database.judgements, database.events, database.attempts, database.finishes):
            assert not connection.execute(select(table).where(table.c.judge == number)).all()
        assert len(connection.execute(select(database.judgements)).all()) == 1
        assert "J01" not in str(connection.execute(select(database.events)).all())
        assert panel.of_token(connection, held.study, person.invited.token) is None
        kept = connection.execute(select(database.judges).where(database.judges.c.id == number)).mappings().one()
    assert kept["consented"] is kept["trained"] is kept["language"] is None and "J01" not in kept["code"]
    (new,) = held.invite()
    assert new.code == "J01.2"


def test_the_files_have_no_byte_of_who_was_forgotten(tmp_path, monkeypatch):
    # Words by lot have no J here: among some kilobytes of base64, J01 stands by chance in one run of forty.
    monkeypatch.setattr(secrets, "token_urlsafe", secrets.token_hex)
    held = Round(tmp_path)
    person, other = Person(held), Person(held)
    for place in range(30):
        person.judge(nonce=f"of-the-forgotten-{place}")
    other.judge(nonce="of-another")
    words = [b"of-the-forgotten", panel.digest(person.invited.token).encode()]
    with database.writing(held.engine) as connection:
        panel.renew(connection, held.study, held.arm, "J01")  # an event that has the code alone

    def stored():
        return b"".join(path.read_bytes() for path in tmp_path.glob("judging.db*"))

    assert all(word in stored() for word in words)
    with database.writing(held.engine) as connection:
        panel.forget(connection, held.study, held.arm, "J01")
    assert database.emptied(held.engine)
    assert not any(word in stored() for word in [*words, b"J01"]) and b"of-another" in stored()


def _answer_survey(person, point):
    def answer(points, *background):
        def act(connection, judge):
            survey.answer(connection, judge, answers.place_of(connection, judge), points, *background)

        person.do(act)

    person.judge_all()
    person.do(answers.finish)
    points = dict.fromkeys(person.place().options.questions(1), point)
    with pytest.raises(answers.Invalid, match="good_work; allowed are 1 to 4"):
        answer({name: value for name, value in points.items() if name != "good_work"})
    with pytest.raises(answers.Invalid, match="age_group: the survey does not ask for it"):
        answer(points, "25-34")
    answer(points, None, "=cmd()\x00 x")
    assert person.place().stage == "thanks"
    with pytest.raises(answers.Refused, match="answered already"):
        answer(points)


def test_a_survey_leads_to_nobody(tmp_path):
    held = Round(tmp_path, gold=0, repeats=0, per_judge=2, background=["profession"])
    for point in (1, 4):
        _answer_survey(Person(held), point)
    with held.engine.connect() as connection:
        found = survey.answered(connection, held.study)
        assert survey.answered(connection, held.study, "another arm") == []
        columns = set(database.surveys.c.keys())
    assert columns == {"word", "study", "arm", "answers", "age_group", "profession"}
    assert sorted(row["inclined"] for row in found) == [1, 4]
    text = survey.table(found)
    assert text.splitlines()[0] == "arm,inclined,understood_1,concentrated,good_work,age_group,profession"
    assert "J0" not in text and "'=cmd() x" in text


# -- export ------------------------------------------------------------------------------------------------------------


def test_the_export_is_what_people_said_of_samples_and_no_gold(tmp_path):
    held = Round(tmp_path, overlap=2)
    people = [Person(held), Person(held)]
    said = {}
    for shift, person in enumerate(people):
        for place, word in enumerate(person.judge_all(lambda place, shift=shift: GOOD if (place + shift) % 3 else BAD)):
            said[word] = GOOD if (place + shift) % 3 else BAD
    one = held.rounds()[0]
    with pytest.raises(ValueError, match=r"2 have not finished: J01 \(0 to go\), J02 \(0 to go\).*--anyway"):
        rounds.close(held.engine, one)
    with pytest.raises(ValueError, match="is open; close it first"):
        rounds.export(held.engine, one)
    for person in people:
        person.do(answers.finish)
    path = rounds.close(held.engine, one)
    found = store.read_ballots(path)
    with held.engine.connect() as connection:
        items = connection.execute(
            select(database.items, database.images.c.row, database.images.c.about)
            .join(database.images, database.images.c.id == database.items.c.image)
            .order_by(database.items.c.slot, database.items.c.position)
        ).mappings()
        items = list(items)
    expected = [(f"J0{item['slot'] + 1}", item["row"], said[item["word"]]) for item in items if item["kind"] != "gold"]
    assert list(zip(found.judges, found.rows.tolist(), found.answers, strict=True)) == expected
    assert (found.seconds == 1).all() and found.lineage["pool"] == store.recorded_hash(held.pool(0).samples)
    assert found.lineage["counts"] == {"study": 80, "repeat": 4, "gold": 4}
    gold = [item for item in items if item["kind"] == "gold" and item["slot"] == 0]
    right = sum(said[item["word"]] == (GOOD if item["about"] == "good" else BAD) for item in gold)
    assert found.lineage["checks"]["J01"]["gold"] == [right, 2]
    assert Judging.model_validate(found.lineage["options"]) == held.options
    before = path.read_bytes()
    assert rounds.close(held.engine, one) == path == rounds.export(held.engine, one)
    path.unlink()
    assert rounds.export(held.engine, one).read_bytes() == before  # the same judgements, the same bytes
    with pytest.raises(answers.Refused, match="closed"):
        people[0].do(answers.record, answers.Judgement(next(iter(said)), BAD, "too-late-1"))


def test_a_place_that_was_taken_over_has_one_vote_on_a_sample(tmp_path):
    held = Round(tmp_path, samples=40, judges=1, overlap=1, repeats=0.5)
    person = Person(held)
    for _ in range(20):
        person.judge(BAD)
    with database.writing(held.engine) as connection:
        person.invited = panel.replace(connection, held.study, held.arm, "J01")
        connection.execute(database.judges.update().values(consented=1.0, trained=1.0))
    person.judge_all()
    found = store.read_ballots(rounds.close(held.engine, held.rounds()[0], anyway=True))
    with held.engine.connect() as connection:
        asked = select(database.items.c.kind, database.items.c.position, database.images.c.row)
        items = connection.execute(asked.join(database.images).order_by(database.items.c.position)).all()
    first = {item.row: "J01" if item.position <= 20 else "J01.2" for item in items if item.kind == "study"}
    taken = {item.row for item in items if item.kind == "repeat" and item.position > 20 and first[item.row] == "J01"}
    assert taken  # samples that the one judged and the other saw again
    tally = tally_of(found, 40)
    assert (tally.good + tally.bad == 1).all()
    votes = {int(found.rows[at]): found.judges[at] for at in found.votes}
    assert votes == first and set(votes.values()) == {"J01", "J01.2"}
    # What somebody said again of their own is there; the answers to another's repeats are not.
    again = [item for item in items if item.kind == "repeat" and (item.row not in taken or item.position <= 20)]
    assert len(found) == 40 + len(again) < 40 + sum(item.kind == "repeat" for item in items)


def test_gold_never_can_be_a_sample(tmp_path):
    held = Round(tmp_path)
    Person(held).judge_all()
    with database.writing(held.engine) as connection:  # as a mistake anywhere else would have it
        connection.execute(database.items.update().where(database.items.c.kind == "gold").values(kind="study"))
    with pytest.raises(AssertionError, match="gold is no sample"):
        rounds.close(held.engine, held.rounds()[0], anyway=True)
    assert not held.pool(0).export.exists()


def test_a_closed_round_of_other_samples_is_not_written_over(tmp_path):
    held = Round(tmp_path)
    Person(held).judge()
    path = rounds.close(held.engine, held.rounds()[0], anyway=True)
    before = path.read_bytes()
    store.write_samples(held.pool(0).samples, store.read_samples(held.pool(0).samples).__class__(images(30, seed=7)))
    held.open(0)
    new = max(held.rounds(), key=lambda one: one["id"])
    with pytest.raises(ValueError, match="nobody has judged anything"):
        rounds.close(held.engine, new, anyway=True)
    with database.writing(held.engine) as connection:
        connection.execute(database.rounds.update().where(database.rounds.c.id == new["id"]).values(closed=1.0))
    with pytest.raises(ValueError, match="holds the ballots of other samples than this round's; move it away"):
        rounds.export(held.engine, new)
    assert path.read_bytes() == before


def test_an_export_stays_as_it_was_when_a_judge_is_forgotten(tmp_path):
    held = Round(tmp_path)
    people = [Person(held), Person(held)]
    for person in people:
        person.judge_all()
    one = held.rounds()[0]
    path = rounds.close(held.engine, one, anyway=True)
    before = path.read_bytes(), store.recorded_hash(path)
    for code in ("J01", "J02"):  # the last one leaves nothing in the database
        with database.writing(held.engine) as connection:
            panel.forget(connection, held.study, held.arm, code)
        assert rounds.is_exported(one) and rounds.export(held.engine, one) == path
        assert (path.read_bytes(), store.recorded_hash(path)) == before
    assert set(store.read_ballots(path).judges) == {"J01", "J02"}


def test_a_waiting_workflow_is_told_who_is_missing(tmp_path):
    held = Round(tmp_path)
    person = Person(held)
    person.judge()
    one = held.rounds()[0]
    path = rounds.waiting_path(held.pool(0).export)
    with held.engine.connect() as connection:
        rounds.say_who_is_missing(connection, one, "https://judge.example.org")
    said = json.loads(path.read_text())
    assert said["link"] == "https://judge.example.org" and said["missing"] == {
        "J01": 43,
        "place 2 (nobody invited)": 44,
    }
    assert said["close"] == "collapselab judge close faces --arm people --seed 0 --generation 0"
    rounds.close(held.engine, one, anyway=True)
    assert not path.exists()


def test_a_round_is_found_by_as_little_as_names_it(tmp_path):
    held = Round(tmp_path, generations=2)
    held.open(1)
    with held.engine.connect() as connection:
        assert rounds.one_round(connection, "faces", None, None, 1)["generation"] == 1
        with pytest.raises(ValueError, match=r"found 2: --arm people --seed 0 --generation 0; .*say --arm"):
            rounds.one_round(connection, "faces", None, None, None)
        with pytest.raises(ValueError, match=r"found none of faces with --seed 4; there are: --arm people"):
            rounds.one_round(connection, "faces", None, 4, None)


def test_the_database_is_whole_after_all_this(opened):
    with sqlite3.connect(opened.folder / "judging.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()


def test_questions_of_a_study_are_asked_in_its_words():
    options = Judging(survey=["inclined", Question(id="liked", text={"en": "Did you like it?"})], languages=["en"])
    assert options.questions(3) == ("inclined", "liked")
    assert survey.words_of(options, "liked", "en") == "Did you like it?" and not survey.words_of(
        options, "inclined", "en"
    )
