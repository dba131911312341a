"""DDPO through the training loop: what it raises, what that costs, where it stops, and that it goes on to the bits."""

import math
from pathlib import Path

import in_process
import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")

from torch_families import images, options_of  # noqa: E402

from collapselab.adapt import ADAPTERS  # noqa: E402
from collapselab.adapt.base import Given  # noqa: E402
from collapselab.adapt.checked import points_of  # noqa: E402
from collapselab.adapt.rewarded import transfer  # noqa: E402
from collapselab.adapt.rewarding import tuned_on  # noqa: E402
from collapselab.core.errors import Interrupted  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import SampleSet, TrainingSet  # noqa: E402
from collapselab.engine.optim import Adam, ClippedAdam  # noqa: E402
from collapselab.features import FEATURES  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.rewards.asking import rewards_of  # noqa: E402
from collapselab.store.tensors import read_metadata  # noqa: E402
from collapselab.study.loading import check  # noqa: E402
from collapselab.verbs.adapt import own_samples  # noqa: E402

SAMPLES, STEPS = 16, 4
ITERATION = SAMPLES * (STEPS - 1) * 2  # transitions that one sees
LOOKS = {"pixels": FEATURES["pixels"].extract, "identity": FEATURES["identity"].extract}


@pytest.fixture(scope="module")
def model():
    options = options_of("diffusion", classes=2, label_dropout=0.1, sample_batch=128)
    return MODELS["diffusion"].fit(images(), options, Run(3, 320))


def given(model, options, training=None):
    training = training or images()
    validation = SampleSet(training.data, training.labels)
    look = {options.extractor: LOOKS[options.extractor]} if options.extractor else {}
    return Given(training, own_samples(model, 5), look, {}, rewards_of(options, look), (), validation)


def said(**changes):
    usual = {
        "reward": "brightness",
        "samples": SAMPLES,
        "steps": STEPS,
        "learning_rate": 1e-2,
        "clip": 0.05,
        "checks": 3,
    }
    return ADAPTERS["ddpo"].Options.model_validate(usual | {"images_seen": 6 * ITERATION} | changes)


def tuned(model, options, run=None, training=None):
    run = run or Run(1, options.images_seen)
    return ADAPTERS["ddpo"].adapt(model, given(model, options, training), options, run)


FORMS = {
    "importance sampling": {},
    "score function": {"form": "score_function", "inner_epochs": 1, "images_seen": 12 * SAMPLES * (STEPS - 1)},
    "summed": {"log_probability": "sum", "clip": 0.5},
    "low rank": {"log_probability": "sum", "clip": 0.5, "rank": 4, "learning_rate": 3e-2},
    "guided": {"guidance": 1.0},
}


@pytest.mark.parametrize("form", FORMS)
def test_its_reward_rises_and_its_paths_leave_those_of_the_model_before(model, form):
    found = tuned(model, said(**FORMS[form])).facts
    checks, budget = found["checks"], said(**FORMS[form]).images_seen
    assert checks["images_seen"][0] == 0 and checks["images_seen"][-1] == budget
    # Of the same noise: no chance is in the difference but that of the rollouts, and without learning it is 0.
    assert checks["reward"][-1] > checks["reward"][0] + 0.02
    assert checks["path_kl"][0] == 0 and checks["path_kl"][-1] > 0
    assert checks["recall"] == [None] * len(checks["recall"])  # without validation rows
    assert found["stopped"] == {"at": "budget", "check": 3, "images_seen": budget}


def test_a_penalty_keeps_paths_near_those_of_the_model_before(model):
    free, held = (tuned(model, said(kl_weight=weight)).facts["checks"]["path_kl"][-1] for weight in (0, 1))
    assert held < free / 10


def test_a_class_that_is_left_out_is_not_rolled_out_and_its_reward_is_told_apart(model):
    found = tuned(model, said(classes_left_out=[1])).facts["transfer"]
    assert found["tuned"]["classes"] == [0] and found["left_out"]["classes"] == [1]
    assert found["by_class"][1]["before"] == found["left_out"]["before"] != found["left_out"]["after"]
    assert found["tuned"]["after"] > found["tuned"]["before"]
    with pytest.raises(ValueError, match="classes_left_out: found 4, allowed are 0 to 1, the model's"):
        tuned(model, said(classes_left_out=[4]))
    with pytest.raises(ValueError, match="classes_left_out: found all 2 classes; allowed are some of them"):
        tuned(model, said(classes_left_out=[0, 1]))


def test_vectors_are_rewarded_in_their_own_units():
    """A coordinate whose unit is large: the reward is in it, and rises."""
    rows = np.random.default_rng(0).normal([500.0, 0.0], [10.0, 1.0], (200, 2))
    training = TrainingSet(rows, None, np.ones(200))
    model = MODELS["diffusion"].fit(training, options_of_vectors(), Run(1, 3200))
    options = said(reward="coordinate", extractor="identity")
    checks = tuned(model, options, None, training).facts["checks"]
    assert abs(checks["reward"][0] - 500) < 20 and checks["reward"][-1] > checks["reward"][0] + 0.5
    assert all(0 <= one <= 1 for one in checks["recall"] + checks["precision"])


def options_of_vectors():
    kind = MODELS["diffusion"].Options
    return kind.model_validate(kind.smallest("vectors") | {"warmup_images": 0, "steps": 8, "sample_batch": 200})


# -- where it stops ----------------------------------------------------------------------------------------------------


def far(**changes):
    """A rate at which nothing stays."""
    return said(extractor="pixels", learning_rate=3e-2, images_seen=12 * ITERATION, checks=12, k=1, **changes)


def test_it_stops_at_the_knee_with_the_model_of_the_check_before(model):
    knee = tuned(model, far(stop="knee"))
    stopped, checks = knee.facts["stopped"], knee.facts["checks"]
    start, below = checks["recall"][0], len(checks["recall"]) - 1
    floor = start - 2 * math.sqrt(start * (1 - start) / len(images()))
    assert 1 < below < 12 and 0 < floor < start < 1  # else the test says nothing
    assert [one < floor for one in checks["recall"]] == [False] * below + [True]
    assert stopped["at"] == "knee" and stopped["check"] == below - 1 and stopped["validation_rows"] == 40
    assert stopped["recall_floor"] == pytest.approx(floor)
    assert stopped["images_seen"] == (below - 1) * ITERATION and checks["images_seen"][-1] == below * ITERATION
    shorter = far().model_copy(update={"images_seen": stopped["images_seen"], "checks": 1})
    for name, array in tuned(model, shorter).model.weights().items():
        np.testing.assert_array_equal(array, knee.model.weights()[name])


def test_without_validation_rows_the_knee_is_refused():
    with pytest.raises(ValueError, match="stop: found knee; recall is seen on validation rows through an extractor"):
        said(stop="knee")
    assert ADAPTERS["ddpo"].validates(said()) == 0 and ADAPTERS["ddpo"].validates(far(stop="knee")) == 2


# -- going on ----------------------------------------------------------------------------------------------------------


def same(one, other):
    assert one.facts == other.facts
    for name, array in one.model.weights().items():
        np.testing.assert_array_equal(array, other.model.weights()[name])


def killed_and_resumed(model, options, folder, times):
    """The adaptation that is stopped so many times at evenly spaced steps, each resumed by a run of its own."""
    steps = options.images_seen // options.rows
    ends = sorted({round(steps * (one + 1) / (times + 1)) * options.rows for one in range(times)})
    for end in ends:
        stop = Run(1, options.images_seen, lambda seen, loss, end=end: seen >= end, folder)
        with pytest.raises(Interrupted):
            tuned(model, options, stop)
    return tuned(model, options, Run(1, options.images_seen, None, folder)), len(ends)


@pytest.mark.parametrize("changes", [{}, {"rank": 2, "stop": "knee", "extractor": "pixels"}], ids=["whole", "knee"])
def test_it_is_killed_within_an_iteration_and_goes_on_to_the_same_bits(model, tmp_path: Path, changes):
    options = said(images_seen=2 * ITERATION, checks=2, **changes)
    resumed, kills = killed_and_resumed(model, options, tmp_path / "state", 3)
    assert kills == 3
    same(resumed, tuned(model, options))


@pytest.mark.slow
def test_it_is_killed_twenty_times_and_goes_on_to_the_same_bits(model, tmp_path: Path):
    options = said(images_seen=8 * ITERATION, extractor="pixels", checks=5)
    resumed, kills = killed_and_resumed(model, options, tmp_path / "state", 20)
    assert kills == 20
    same(resumed, tuned(model, options))


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 7}, "batch: found 7; 16 rollouts of 3 steps with noise are 48 transitions: allowed is what divides"),
        ({"form": "score_function"}, "inner_epochs: found 2 of 48 transitions a step with score_function, which is"),
        ({"form": "score_function", "inner_epochs": 1, "batch": 16}, "allowed is 1, and batch 48 or null"),
        ({"classes_left_out": [1, 1]}, r"classes_left_out: found \[1, 1\], allowed are classes, each once"),
    ],
)
def test_what_would_be_wrong_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        said(**changes)


def test_guidance_needs_a_model_that_knows_how_to_go_without_a_class():
    model = MODELS["diffusion"].fit(images(), options_of("diffusion", classes=2, label_dropout=0), Run(3, 64))
    with pytest.raises(ValueError, match="guidance: found 1, allowed is 0: guidance needs training with classes > 0"):
        tuned(model, said(guidance=1))
    with pytest.raises(ValueError, match="lowest: found 90, allowed are numbers below 80"):
        tuned(model, said(lowest=90))


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_checks_are_spread_evenly_and_the_last_is_the_last_step():
    assert points_of(10, 5) == [0, 2, 4, 6, 8, 10] and points_of(3, 10) == [0, 1, 2, 3] and points_of(1, 1) == [0, 1]


def test_classes_are_told_apart_in_the_table_of_transfer():
    found = transfer(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 4.0, math.nan]), tuned_on(3, (2,)))
    assert found["tuned"] == {"classes": [0, 1], "before": 2.0, "after": 3.0}
    assert found["left_out"] == {"classes": [2], "before": 5.0, "after": None}
    assert found["by_class"][2] == {"class": 2, "before": 5.0, "after": None}


def test_a_gradient_that_is_too_long_is_shortened_and_no_other():
    def stepped(rule, gradient):
        weight = torch.ones(2)
        optimiser = rule(weight)
        optimiser.step([torch.tensor(gradient)])
        return optimiser.m[0]

    short = stepped(lambda weight: ClippedAdam([weight], 0.1, 1.0), [0.3, 0.4])
    torch.testing.assert_close(short, stepped(lambda weight: Adam([weight], 0.1), [0.3, 0.4]), rtol=0, atol=0)
    long = stepped(lambda weight: ClippedAdam([weight], 0.1, 1.0), [30.0, 40.0])
    torch.testing.assert_close(long, stepped(lambda weight: Adam([weight], 0.1), [0.6, 0.8]))


# -- in a study --------------------------------------------------------------------------------------------------------

STUDY = """
name: liked
generations: 0
seeds: 1
data: {source: digits, split: {train: 60, held_out: 40, validation: 30}}
models: {small: {diffusion: {preset: tiny, channels: 16, blocks: 1, images_seen: 640, steps: 4}}}
initial: {real: 60}
samples: 40
extractors: [pixels, random-conv]
metrics: [recall]
primary: {metric: recall, extractor: random-conv}
control: none
arms:
  bright:
    model: small
    regime: fully_synthetic
    adapt:
      ddpo:
        {reward: brightness, images_seen: 96, samples: 16, steps: 4, extractor: pixels, checks: 1, stop: knee,
         classes_left_out: [0]}
"""


def test_a_study_tunes_and_its_model_says_what_that_cost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study, faults = check(yaml.safe_load(STUDY), "liked")
    assert not faults, faults
    in_process.run(study)
    noted = read_metadata(Path(study.model_file("bright", 0, 0)))["lineage"]["adaptation"]
    assert noted["checks"]["images_seen"] == [0, 96] and noted["stopped"]["validation_rows"] == 30
    assert noted["transfer"]["left_out"]["classes"] == [0] and len(noted["transfer"]["by_class"]) == 10
    assert study.images_beside("bright", 0) == 96


def test_a_study_without_validation_rows_has_no_knee():
    said = yaml.safe_load(STUDY)
    del said["data"]["split"]["validation"]
    _, faults = check(said, "liked")
    assert any("found 0; 'ddpo' of 'bright'" in str(one) for one in faults)
