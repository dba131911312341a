"""What a stranger's package adds to every step of a generation is carried by the workflow to the end.

A guide with two further models, an adapter with a budget that looks at ancestors and through an extractor, a transform
with a key, and a selector that follows people's ballots run through one study, and are counted by the fairness rules.
"""

import re

import numpy as np
import pytest
from project import Project

from collapselab import store
from collapselab.core.sets import Ballots
from collapselab.store.cells import Cell

pytestmark = pytest.mark.slow  # whole studies, three runs of one

PACKAGE = '''
"""One entry of each kind that a laboratory of its own may add."""

from typing import Annotated

import numpy as np
from pydantic import Field

from collapselab.adapt.base import Adapter
from collapselab.core.choice import Choice, From, Options
from collapselab.core.needs import ALL, Needs
from collapselab.guides.base import Auxiliary, Guide
from collapselab.models.capabilities import Trainable, Weighted
from collapselab.models.tuning import tuned
from collapselab.rewards.base import Reward
from collapselab.select.base import Selection, Selector, ShareOptions
from collapselab.transforms.base import Transform


class AwayOptions(Options):
    weight: float = Field(gt=0)


def away(seen, at, state, draws, options):
    """Away from what the model's own samples teach, towards what half a training teaches, and a little noise."""
    steps = 1 if state is None else state + 1
    assert steps == 1 + 2 * at.step + at.corrects  # the state has seen every level once
    noise = 1e-6 * draws() * at.sigma
    step = options.weight * (seen.others["half"] - seen.others["own"])
    return seen.conditional + step + noise, steps


def further(options, images_seen):
    return {"own": Auxiliary("own", 32, samples=20), "half": Auxiliary("training", images_seen // 2)}


AWAY = Guide(AwayOptions, away, ("conditional",), further)


class RightOptions(Options):
    gain: float = 1.0


def right(samples, seen, options):
    """What the known truth calls possible."""
    names = seen["truth"].names
    return options.gain * seen["truth"].values[:, names.index("possible")]


RIGHT = Reward(RightOptions, right, Needs(features=("truth",)))


class ReplayOptions(Options):
    images_seen: int = Field(gt=0)
    reward: Annotated[Choice, From("rewards")]


def replay(model, given, options, run):
    """Trained on with half its own samples, weighted by the reward; it has been told of all that it asked for."""
    assert run.images_seen == options.images_seen
    assert len(given.train["truth"]) == 40
    assert len(given.look["truth"](given.training.data)) == len(given.training)
    own = given.own(len(given.training) // 2, 0)
    rows = np.concatenate([given.training.data[: len(own)], own.data])
    liked = given.rewards["reward"](own)
    assert set(liked) <= {0.0, 1.0} and len(liked) == len(own)
    mixed = type(given.training)(rows, None, np.concatenate([np.ones(len(own)), 0.5 + liked]))
    adapted = tuned(model, mixed, run)
    moved = {name: array + 1e-3 * len(given.ancestors) for name, array in adapted.weights().items()}
    return adapted.with_weights(moved)


def images(options):
    return options.images_seen


REPLAY = Adapter(ReplayOptions, replay, images, (Trainable, Weighted), Needs(ancestors=ALL))


class MarkOptions(Options):
    by: float = 1.0


def mark(given, options, seed):
    samples = given.samples
    assert len(given.key) == 32
    secret = np.random.default_rng(list(given.key)).standard_normal(samples.data.shape[1])
    return type(samples)(samples.data + options.by * secret, samples.labels, samples.aux, samples.lineage)


MARK = Transform(MarkOptions, mark, Needs(key=True), ("vectors",))


def vote(pool, options, seed):
    """The samples with the most votes of yes; of equal ones the first."""
    votes = np.zeros(len(pool.samples))
    for row, answer in zip(pool.ballots.rows, pool.ballots.answers):
        votes[row] += answer == "yes"
    kept = np.sort(np.argsort(-votes, kind="stable")[: options.keeps(len(pool.samples))])
    assert pool.cell.arm == "judged" and pool.model is not None
    return Selection(kept, votes[kept], ("voted",) * len(kept), "people")


class BestOptions(ShareOptions):
    reward: Annotated[Choice, From("rewards")]


def best(pool, options, seed):
    """The samples that are liked most; of equal ones the first."""
    liked = pool.scores["reward"]
    kept = np.sort(np.argsort(-liked, kind="stable")[: options.keeps(len(pool.samples))])
    return Selection(kept, liked[kept], ("liked",) * len(kept), "a reward")


BEST = Selector(BestOptions, best)
VOTE = Selector(ShareOptions, vote, Needs(ballots=True, model=True))
'''
ENTRIES = """
[collapselab.guides]
away = their_work:AWAY
[collapselab.adapters]
replay = their_work:REPLAY
[collapselab.transforms]
mark = their_work:MARK
[collapselab.selectors]
vote = their_work:VOTE
best = their_work:BEST
[collapselab.rewards]
right = their_work:RIGHT
"""
STUDY = """
name: carried
seeds: 1
generations: 1
data: {population: land, split: {held_out: 40}}
models:
  points: {diffusion: {preset: points, channels: 8, blocks: 1, images_seen: 64, batch: 16, steps: 2, sample_batch: 20}}
initial: {real: 40}
init: previous
samples: 40
extractors: [identity]
metrics: [variance_ratio]
primary: {metric: variance_ratio, extractor: identity}
control: none
waive:
  images_seen: the adapter and the guide train further models
  training_set_size: people judge, and half of the samples stays
arms:
  steered: {model: points, regime: fully_synthetic, guide: {away: {weight: 0.5}}}
  adapted:
    model: points
    regime: {fully_synthetic: {init: {from: trained}}}
    adapt: {replay: {images_seen: 48, reward: right}}
  marked:
    model: points
    regime: fully_synthetic
    transform: [mark, {mark: {by: 2}}]
    select: {best: {share: 1.0, reward: {right: {gain: 2}}}}
  judged: {model: points, regime: {fully_synthetic: {n: 20}}, select: {vote: {share: 0.5}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the workflow in which the laboratory's package is installed."""
    project = Project.create(tmp_path_factory.mktemp("project"))
    place = project.folder / "src"
    info = place / "their_work-1.0.dist-info"
    info.mkdir()
    (place / "their_work.py").write_text(PACKAGE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-work\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRIES, encoding="utf-8")
    (project.folder / "config" / "carried.yaml").write_text(STUDY, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def waiting(project):
    """The first run, which ends where people are waited for."""
    return project.snakemake(study="carried", code=None)


@pytest.fixture(scope="module")
def finished(project, waiting):
    """The study after the rounds of judging are closed."""
    for generation in (0, 1):
        pool = project.folder / Cell("carried", "judged", 0, generation).path("samples.safetensors")
        close(project, generation, store.recorded_hash(pool))
        project.snakemake(study="carried", code=None if generation == 0 else 0)
    return project


def close(project, generation, pool):
    """Close a round: everybody says yes to every second sample, and one judge to the first as well."""
    rows = np.tile(np.arange(40), 2)
    answers = tuple("yes" if row % 2 or (index >= 40 and not row) else "no" for index, row in enumerate(rows))
    judges = ("first",) * 40 + ("second",) * 40
    ballots = Ballots(rows, judges, answers, np.full(80, np.nan), {"pool": pool})
    folder = project.folder / "ballots" / "carried" / "judged" / "seed0"
    folder.mkdir(parents=True, exist_ok=True)
    store.write_ballots(folder / f"gen{generation}.parquet", ballots)


def read(project, arm, generation, noun):
    return store.read_samples(project.folder / Cell("carried", arm, 0, generation).path(noun))


def test_while_people_judge_the_run_says_so_and_everything_else_is_done(project, waiting):
    log = project.folder / Cell("carried", "judged", 0, 0).path("ballots.log").replace("results", "logs", 1)
    said = log.read_text(encoding="utf-8")
    assert waiting.returncode and "waiting for people" in said and "ballots/carried/judged/seed0/gen0.parquet" in said
    assert "collapselab judge serve carried" in said and "waiting for people" in waiting.stderr
    done = project.run("collapselab", "ballots", *arguments_of(project), "--out", "b.parquet", code=6)
    assert "run snakemake again" in done.stderr
    for arm in ("steered", "adapted", "marked"):
        assert (project.folder / Cell("carried", arm, 0, 1).path("metrics.json")).exists()
    assert not (project.folder / Cell("carried", "judged", 0, 1).path("model.safetensors")).exists()


def arguments_of(project):
    pool = Cell("carried", "judged", 0, 0).path("samples.safetensors")
    return ("--pool", pool, "--closed", "ballots/nowhere.parquet")


def test_ballots_of_another_pool_are_refused(project, waiting):
    close(project, 7, "ab" * 32)
    pool, closed = (
        Cell("carried", "judged", 0, 0).path("samples.safetensors"),
        "ballots/carried/judged/seed0/gen7.parquet",
    )
    done = project.run("collapselab", "ballots", "--pool", pool, "--closed", closed, "--out", "b.parquet", code=2)
    assert "another round was closed" in done.stderr and not (project.folder / "b.parquet").exists()


def test_the_study_runs_to_its_report_and_then_nothing_is_left_to_do(finished):
    assert (finished.folder / "results" / "carried" / "report" / "report.html").exists()
    assert finished.plan(study="carried") == {}


def test_what_is_kept_is_what_people_voted_for(finished):
    for generation in (0, 1):
        kept = store.read_kept(finished.folder / Cell("carried", "judged", 0, generation).path("kept.parquet"))
        np.testing.assert_array_equal(kept.rows, np.arange(1, 40, 2))
        assert kept.judge == "people" and set(kept.scores) == {2.0}
    training = store.read_training(finished.folder / Cell("carried", "judged", 0, 1).path("training.parquet"))
    (part,) = training.references
    assert set(part.rows) <= set(range(1, 40, 2)) and len(part.rows) == 20


def test_the_world_sees_released_samples_and_kept_rows_are_theirs(finished):
    for generation in (0, 1):
        made, released = (
            read(finished, "marked", generation, f"{name}.safetensors") for name in ("samples", "released")
        )
        moved = released.data - made.data
        np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-9)
        shift = moved[0] if generation == 0 else shift  # noqa: F821 (the key belongs to the lineage)
        np.testing.assert_allclose(moved[0], shift, atol=1e-9)
    training = store.read_training(finished.folder / Cell("carried", "marked", 0, 1).path("training.parquet"))
    assert [part.path for part in training.references] == [Cell("carried", "marked", 0, 0).path("released.safetensors")]
    record = store.read_json(finished.folder / Cell("carried", "marked", 0, 1).path("metrics.json"))
    assert {value["set"] for value in record["values"]} == {"sampled", "released"}


def test_samples_are_steered_by_the_further_models(finished):
    for generation in (0, 1):
        cell = Cell("carried", "steered", 0, generation)
        samples, raw = (read(finished, "steered", generation, f"{name}.safetensors") for name in ("samples", "raw"))
        assert not np.array_equal(samples.data, raw.data)
        further = {cell.path(f"auxiliary-{role}.safetensors") for role in ("own", "half")}
        assert further < set(samples.lineage["inputs"]) and samples.lineage["guide"] == {"away": {"weight": 0.5}}
        for role, seen in (("own", 32), ("half", 32)):
            _, metadata = store.read_tensors(finished.folder / cell.path(f"auxiliary-{role}.safetensors"))
            assert metadata["lineage"]["images_seen"] == seen and metadata["lineage"]["role"] == role


def test_samples_are_of_the_adapted_model_and_trainings_start_where_the_regime_says(finished):
    for generation in (0, 1):
        cell = Cell("carried", "adapted", 0, generation)
        samples = read(finished, "adapted", generation, "samples.safetensors")
        assert list(samples.lineage["inputs"]) == [cell.path("adapted.safetensors")]
        _, metadata = store.read_tensors(finished.folder / cell.path("adapted.safetensors"))
        home = Cell("carried", "base_points", 0, 0) if generation == 0 else cell
        assert home.path("model.safetensors") in metadata["lineage"]["inputs"]
        assert metadata["lineage"]["images_seen"] == 48 and metadata["lineage"]["adapter"] == {
            "replay": {"images_seen": 48, "reward": "right"}
        }
    _, metadata = store.read_tensors(finished.folder / Cell("carried", "adapted", 0, 1).path("model.safetensors"))
    assert Cell("carried", "base_points", 0, 0).path("model.safetensors") in metadata["lineage"]["inputs"]
    _, metadata = store.read_tensors(finished.folder / Cell("carried", "adapted", 0, 1).path("adapted.safetensors"))
    assert Cell("carried", "adapted", 0, 0).path("adapted.safetensors") in metadata["lineage"]["inputs"]


def test_a_reward_scores_the_samples_for_whoever_names_it(finished):
    kept = store.read_kept(finished.folder / Cell("carried", "marked", 0, 1).path("kept.parquet"))
    assert kept.judge == "a reward" and len(kept.rows) == 40 and set(kept.scores) <= {0.0, 2.0}
    wrong = STUDY.replace("reward: right}}", "reward: rigt}}").replace("{gain: 2}", "{gian: 2}")
    (finished.folder / "config" / "wrong.yaml").write_text(wrong.replace("name: carried", "name: wrong"))
    said = finished.run("collapselab", "validate", "wrong", code=2).stderr
    assert "arms.adapted.adapt.replay.reward: unknown name 'rigt' (did you mean 'right'?); allowed: " in said
    assert "arms.marked.select.best.reward.right.gian: unknown key 'gian' (did you mean 'gain'?); allowed: gain" in said


def test_a_number_says_what_was_done_to_its_samples_and_their_model(finished):
    """Of arms to which nothing was done the fingerprints are those that they always had."""
    said = {}
    for arm in ("steered", "adapted", "marked", "judged"):
        record = store.read_json(finished.folder / Cell("carried", arm, 0, 1).path("metrics.json"))
        for made in record["fingerprints"].values():
            said[arm, made["set"]] = {key: made.get(key) for key in ("guide", "adapter", "transforms") if made.get(key)}
    nothing = {}
    assert said == {
        ("steered", "sampled"): {"guide": {"away": {"weight": 0.5}}},
        ("steered", "raw"): nothing,
        ("adapted", "sampled"): {"adapter": {"replay": {"images_seen": 48, "reward": "right"}}},
        ("marked", "sampled"): nothing,
        ("marked", "released"): {"transforms": [{"mark": {"by": 1.0}}, {"mark": {"by": 2.0}}]},
        ("judged", "sampled"): nothing,
        ("judged", "kept"): nothing,
    }


def test_the_images_of_adapters_and_of_further_models_are_counted(project):
    text = STUDY.replace("  images_seen: the adapter and the guide train further models\n", "")
    (project.folder / "config" / "counted.yaml").write_text(text.replace("carried", "counted"), encoding="utf-8")
    done = project.run("collapselab", "validate", "counted", code=2)
    assert "1 fault" in done.stderr and "all arms see the same number of images" in done.stderr
    found = dict(re.findall(r"(steered|adapted|marked|judged) (\d+) at every generation", done.stderr))
    assert found == {"steered": "128", "adapted": "112", "marked": "64", "judged": "64"}
    told = project.run("collapselab", "plan", "carried").stdout
    # A base, four arms and the controls of two that select train, at 64 images; two generations have what is beside.
    assert f"{7 * 64 + 2 * (48 + 32 + 32):,}" in told


def test_ballots_that_are_closed_anew_are_followed(finished):
    folder = finished.folder / "ballots" / "carried" / "judged" / "seed0"
    ballots = store.read_ballots(folder / "gen1.parquet")
    answers = tuple("no" if answer == "yes" else "yes" for answer in ballots.answers)
    store.write_ballots(
        folder / "gen1.parquet", Ballots(ballots.rows, ballots.judges, answers, ballots.seconds, ballots.lineage)
    )
    # Of the arm, and of the one beside it in which chance keeps as many.
    again = {"ballots": 1, "select": 2, "record": 2, "report": 1, "track": 1}
    assert {rule: count for rule, count in finished.plan(study="carried").items() if rule != "all"} == again
