"""What a guide sees on a sampler's path, what it may draw and remember, and which further models it may steer by."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_families import FAMILIES, images, options_of  # noqa: E402

from collapselab.core.ask import Ask  # noqa: E402
from collapselab.core.run import Run  # noqa: E402
from collapselab.core.sets import TrainingSet  # noqa: E402
from collapselab.engine.steering import Level, Steering, levels_of, unsteered  # noqa: E402
from collapselab.machine.device import exact  # noqa: E402
from collapselab.models import MODELS  # noqa: E402
from collapselab.models.capabilities import Denoises  # noqa: E402
from collapselab.models.diffusion import sampling as samplers  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
BATCH = 8  # of samples, as torch_families has it
STEPS = 5


def vectors(dimension=2, shift=0.0):
    """Points in two dimensions or more, of a weight of 1 each."""
    data = shift + np.random.default_rng(0).normal(3, 2, (40, dimension))
    return TrainingSet(data, None, np.ones(len(data)))


@pytest.fixture(scope="module")
def model():
    """Of images in two classes, to which it makes a difference what it is told."""
    data = images()
    data = replace(data, data=data.data // 4 + 128 * data.labels.astype(np.uint8)[:, None, None, None])
    options = options_of("diffusion", learning_rate=1e-2, ema_half_life=0, steps=STEPS, label_dropout=0.2)
    return MODELS["diffusion"].fit(data, options, Run(1, images_seen=320))


@pytest.fixture(scope="module")
def points():
    """Of vectors."""
    options = options_of("diffusion", preset="points", flip=False, classes=0, steps=STEPS, sample_batch=BATCH)
    return MODELS["diffusion"].fit(vectors(), options, Run(1, images_seen=64))


def with_options(made, **changes):
    """The same weights, sampled otherwise."""
    return replace(made, options=made.options.model_copy(update=changes))


def as_it_is(seen, at, state, draws, options):
    return seen.conditional, state


# -- levels ------------------------------------------------------------------------------------------------------------


def asked_levels(name, levels, **chosen):
    found = []

    def denoise(x, at, labels):
        found.append(at)
        return x / 2

    rows = torch.ones(2, 3, dtype=torch.float64)
    samplers.OWN[name][0](denoise, rows, levels, None, draws=lambda: torch.zeros_like(rows), **chosen)
    return found


def test_heun_asks_at_each_level_and_again_at_the_next_but_never_at_zero():
    levels = samplers.power_levels(STEPS, 0.01, 50.0, 7.0)
    found = asked_levels("heun", levels)
    assert len(found) == 2 * STEPS - 1
    expected = []
    for step, (now, following) in enumerate(pairwise(levels)):
        expected.append(Level(now, following, step, STEPS, False))
        expected += [Level(following, following, step, STEPS, True)] if following else []
    assert found == expected
    assert [at.corrects for at in found] == [False, True] * (STEPS - 1) + [False]


def test_ddim_asks_once_a_step():
    levels = samplers.diffusion_time_levels(STEPS, 0.01, 50.0, 7.0)
    found = asked_levels("ddim", levels)
    assert found == levels_of(levels) == [Level(levels[i], levels[i + 1], i, STEPS) for i in range(STEPS)]
    assert not any(at.corrects for at in found)


@pytest.mark.parametrize(("name", "chosen"), [("heun", {}), ("ddim", {}), ("heun", {"churn": 3.0})])
def test_levels_fall_and_each_step_goes_where_the_next_one_begins(name, chosen):
    """With churn a step is asked at the level to which its noise took x, and still goes to the next one."""
    levels = samplers.OWN[name][1](STEPS, 0.01, 50.0, 7.0)
    first = [at for at in asked_levels(name, levels, **chosen) if not at.corrects]
    assert [at.step for at in first] == list(range(STEPS)) and {at.steps for at in first} == {STEPS}
    assert [at.next_sigma for at in first] == list(levels[1:])
    growth = 1 + min(chosen.get("churn", 0) / STEPS, math.sqrt(2) - 1)
    assert [at.sigma.item() for at in first] == pytest.approx((growth * levels[:-1]).tolist(), rel=1e-12)
    assert all(at.sigma.dim() == at.next_sigma.dim() == 0 for at in first)


def test_nothing_steers_a_denoiser_that_is_unsteered():
    at = Level(torch.tensor(2.0), torch.tensor(1.0), 0, 1)
    told = []
    assert unsteered(lambda x, sigma, condition: told.append((x, sigma, condition)) or "D")("x", at, "c") == "D"
    assert told == [("x", at.sigma, "c")]


# -- what a rule sees, and what is made of what it gives ---------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["heun", "ddim"])
@pytest.mark.parametrize("bias", [0.1, 0.5])
def test_classifier_free_guidance_as_a_rule_is_the_sampling_bias(model, sampler, bias):
    weight = 1 / bias - 1

    def cfg(seen, at, state, draws, options):
        return (1 + options) * seen.conditional - options * seen.unconditional, state

    asked = with_options(model, sampler=sampler)
    guide = Steering(cfg, weight, ("conditional", "unconditional"))
    guided = asked.sample(Ask(11, 3, guide=guide)).data
    np.testing.assert_array_equal(guided, asked.sample(Ask(11, 3, bias=bias)).data)
    assert not np.array_equal(guided, asked.sample(Ask(11, 3)).data)


def test_a_rule_is_applied_after_the_bias(model):
    """What it gives back as it is leaves biased samples as they are."""
    for bias in (1.0, 0.5):
        guided = model.sample(Ask(11, 3, bias=bias, guide=Steering(as_it_is, None))).data
        np.testing.assert_array_equal(guided, model.sample(Ask(11, 3, bias=bias)).data)


@pytest.mark.parametrize("reads", [("conditional",), ("conditional", "unconditional")])
def test_a_rule_sees_the_models_own_predictions(model, reads):
    """With the label of each row and without, at the level that is asked for; without only where it reads it."""
    seen_there = []

    def rule(seen, at, state, draws, options):
        seen_there.append((seen, at, options))
        return seen.conditional, state

    model.sample(Ask(BATCH, 3, guide=Steering(rule, "options", reads)))
    assert len(seen_there) == 2 * STEPS - 1
    labels = torch.arange(BATCH) % 2
    with torch.inference_mode(), exact(CPU):
        denoise = model.denoiser(CPU)
        for seen, at, options in seen_there:
            assert options == "options" and dict(seen.others) == {}
            assert seen.noisy.shape == seen.conditional.shape == (BATCH, *model.shape)
            assert seen.noisy.dtype == seen.conditional.dtype == torch.float64
            assert torch.equal(seen.conditional, denoise(seen.noisy, at.sigma, labels))
            if "unconditional" in reads:
                assert torch.equal(seen.unconditional, denoise(seen.noisy, at.sigma, None))
                assert not torch.equal(seen.unconditional, seen.conditional)
            else:
                assert seen.unconditional is None


# -- state -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sampler", "evaluations"), [("heun", 2 * STEPS - 1), ("ddim", STEPS)])
def test_a_state_begins_anew_in_each_batch_and_goes_from_level_to_level(model, sampler, evaluations):
    """Rows first: each row of the state is of one sample, the sum of what was seen of it so far."""
    path = []

    def rule(seen, at, state, draws, options):
        total = torch.zeros(len(seen.noisy), dtype=torch.float64) if state is None else state
        assert total.shape == (BATCH,)
        path.append((state is None, at.step, at.corrects, total.clone(), seen.conditional.flatten(1).mean(1)))
        return seen.conditional, total + seen.conditional.flatten(1).mean(1)

    asked = with_options(model, sampler=sampler)
    asked.sample(Ask(2 * BATCH + 1, 3, guide=Steering(rule, None)))
    assert len(path) == 3 * evaluations
    for batch in range(3):
        own = path[batch * evaluations : (batch + 1) * evaluations]
        assert [first for first, *_ in own] == [True] + [False] * (evaluations - 1)
        assert len({(step, corrects) for _, step, corrects, *_ in own}) == evaluations  # each level once
        assert [step for _, step, *_ in own] == sorted(step for _, step, *_ in own)
        so_far = torch.zeros(BATCH, dtype=torch.float64)
        for _, _, _, total, added in own:
            assert torch.equal(total, so_far)
            so_far = so_far + added


def test_samples_of_a_rule_with_a_state_do_not_depend_on_the_cut(model):
    def momentum(seen, at, state, draws, options):
        state = seen.conditional if state is None else 0.7 * state + 0.3 * seen.conditional
        return state, state

    guide = Steering(momentum, None)
    whole = model.sample(Ask(21, 3, guide=guide)).data
    cuts = [(0, 3), (3, 8), (11, 10)]
    parts = [model.sample(Ask(count, 3, start, guide=guide)).data for start, count in cuts]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(whole, model.sample(Ask(21, 3)).data)
    np.testing.assert_array_equal(whole, model.sample(Ask(21, 3, guide=guide)).data)  # and nothing is left behind


# -- draws -------------------------------------------------------------------------------------------------------------


def drawn_of(made, count, start=0, seed=3, times=1, **changes):
    """What was drawn for each row, by evaluation and draw: (evaluations, times, count, ...)."""
    made = with_options(made, **changes)
    size, found = made.options.sample_batch, []

    def rule(seen, at, state, draws, options):
        drawn = [draws() for _ in range(times)]
        assert all(one.shape == seen.noisy.shape and one.dtype == torch.float64 for one in drawn)
        state = [*(state or []), torch.stack(drawn)]
        if at.next_sigma == 0:
            found.append(torch.stack(state).numpy())
        return seen.conditional, state

    made.sample(Ask(count, seed, start, guide=Steering(rule, None)))
    first = start - start // size * size
    return np.concatenate(found, axis=2)[:, :, first : first + count]


@pytest.mark.parametrize("fixture", ["model", "points"])
def test_a_row_draws_from_its_own_stream_however_the_sequence_is_cut(fixture, request):
    made = request.getfixturevalue(fixture)
    whole = drawn_of(made, 21)
    assert whole.shape == (2 * STEPS - 1, 1, 21, *made.shape)
    for start, count in [(0, 3), (3, 8), (11, 10)]:
        np.testing.assert_array_equal(drawn_of(made, count, start), whole[:, :, start : start + count])
    for size in (1, 5, 32):
        np.testing.assert_array_equal(drawn_of(made, 21, sample_batch=size), whole)
        np.testing.assert_array_equal(drawn_of(made, 9, 4, sample_batch=size), whole[:, :, 4:13])


def test_draws_are_normal_and_never_the_same_twice(points):
    found = drawn_of(points, 200, times=2, sample_batch=200)
    flat = found.reshape(-1, *points.shape)
    assert len(np.unique(flat)) == flat.size  # other numbers at each level, at each draw, for each row
    assert not np.isin(drawn_of(points, 200, seed=4, sample_batch=200), flat).any()
    noise = samplers.seeds.normals(3, 0, 200, 2)
    assert not np.isin(noise, flat).any()  # nor those from which the sampler begins
    # 7200 numbers: standard errors 1 / sqrt(n) of the mean and sqrt(2 / n) of the variance, at 4.5 of them.
    assert abs(flat.mean()) < 4.5 / math.sqrt(flat.size)
    assert abs(flat.var() - 1) < 4.5 * math.sqrt(2 / flat.size)


def test_drawing_changes_nothing_but_what_the_rule_makes_of_it(model):
    """The noise that a sampler adds is the same, whether a rule draws or not."""
    noisy = with_options(model, churn=2.0)

    def draws_in_vain(seen, at, state, draws, options):
        draws()
        return seen.conditional, state

    plain = noisy.sample(Ask(11, 3)).data
    np.testing.assert_array_equal(noisy.sample(Ask(11, 3, guide=Steering(draws_in_vain, None))).data, plain)


def test_draws_are_numbered_within_one_batch():
    """The number of a draw is how often the rule has drawn there, whatever level it is at."""
    numbers = []

    def rule(seen, at, state, draws, options):
        for _ in range(options):
            draws()
        return seen.conditional, state

    def denoise(x, sigma, condition):
        return x

    for _ in range(2):
        asked = Steering(rule, 2).steered(denoise, denoise, {}, numbers.append)
        for at in levels_of(torch.tensor([3.0, 2.0, 1.0, 0.0])):
            asked(torch.zeros(1), at, None)
    assert numbers == [*range(6)] * 2


# -- further models ----------------------------------------------------------------------------------------------------


def test_a_rule_steers_by_the_denoiser_of_a_further_model(model):
    other = MODELS["diffusion"].fit(images(), model.options, Run(2, images_seen=32))
    seen_there = []

    def theirs(seen, at, state, draws, options):
        seen_there.append((seen, at))
        return seen.others["weak"], state

    guided = model.sample(Ask(BATCH, 3, guide=Steering(theirs, None, others={"weak": other})))
    np.testing.assert_array_equal(guided.data, other.sample(Ask(BATCH, 3)).data)  # it alone is followed
    assert not np.array_equal(guided.data, model.sample(Ask(BATCH, 3)).data)
    labels = torch.arange(BATCH) % 2
    with torch.inference_mode(), exact(CPU):
        denoise = other.denoiser(CPU)
        for seen, at in seen_there:
            assert set(seen.others) == {"weak"}
            assert torch.equal(seen.others["weak"], denoise(seen.noisy, at.sigma, labels))


def test_autoguidance_by_the_model_itself_is_no_guidance(model):
    """D + w (D - D') with D' = D: to the bit, since the difference is exactly 0."""

    def auto(seen, at, state, draws, options):
        return seen.conditional + options * (seen.conditional - seen.others["weak"]), state

    guided = model.sample(Ask(11, 3, guide=Steering(auto, 2.0, others={"weak": model})))
    np.testing.assert_array_equal(guided.data, model.sample(Ask(11, 3)).data)


def test_a_further_model_of_vectors_is_one_in_the_same_units(points):
    same = MODELS["diffusion"].fit(vectors(), points.options, Run(7, images_seen=32))
    found = points.sample(Ask(5, 1, guide=Steering(as_it_is, None, others={"weak": same})))
    np.testing.assert_array_equal(found.data, points.sample(Ask(5, 1)).data)
    for shift, dimension, said in [(1.0, 2, "trained on vectors of other units"), (0.0, 3, "of other rows")]:
        other = MODELS["diffusion"].fit(vectors(dimension, shift), points.options, Run(1, images_seen=32))
        with pytest.raises(ValueError, match=f"guide: found a model 'weak' {said}; allowed is one that sees rows as"):
            points.sample(Ask(5, 1, guide=Steering(as_it_is, None, others={"weak": other})))


def test_a_further_model_of_images_is_one_of_their_shape(model, points):
    wide = TrainingSet(np.zeros((40, 1, 16, 16), np.uint8), images().labels, np.ones(40))
    for other in (MODELS["diffusion"].fit(wide, model.options, Run(1, images_seen=16)), points):
        with pytest.raises(ValueError, match="guide: found a model 'weak' of other rows"):
            model.sample(Ask(5, 1, guide=Steering(as_it_is, None, others={"weak": other})))


# -- who can be guided -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [name for name in MODELS if not issubclass(MODELS[name], Denoises)])
def test_who_does_not_denoise_takes_no_guide(family):
    kind = MODELS[family]
    with pytest.raises(ValueError, match=r"guide: found .*, allowed is none: samples of .* cannot be guided"):
        kind.__new__(kind).sample(Ask(3, 0, guide=Steering(as_it_is, None)))


@pytest.mark.parametrize("family", [name for name in FAMILIES if not issubclass(MODELS[name], Denoises)])
def test_a_trained_network_that_does_not_denoise_takes_no_guide_either(family):
    trained = MODELS[family].fit(images(), options_of(family), Run(1, images_seen=16))
    with pytest.raises(ValueError, match=r"guide: found .*, allowed is none: samples of .* cannot be guided"):
        trained.sample(Ask(3, 0, guide=Steering(as_it_is, None)))
