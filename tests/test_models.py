"""What holds for every model family, over the whole registry."""

import numpy as np
import pytest

from collapselab.core.ask import Ask
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS
from collapselab.models.capabilities import Scores

pytestmark = pytest.mark.trained

OPTIONS = {
    "gaussian": {"ddof": 1},
    "multinomial": {"categories": 5},
    "naive-bayes": {"levels": [2, 3], "alpha": 0.5},
    "gmm": {"components": 2},
    "kde": {},
    "ppca": {"components": 2, "ddof": 1},
    "box": {},
    "linear-regression": {"inputs": "fresh"},
    "linear-classifier": {"label_error": 0.2},
    "vae": {"hidden": 8, "sample_batch": 8},
    "flow": {"hidden": 8, "bins": 4, "sample_batch": 8},
    "gan": {"hidden": 8, "sample_batch": 8},
    "diffusion": {"preset": "tiny", "channels": 16, "blocks": 1, "classes": 2, "sample_batch": 8},
    "stylegan2": {"channel_max": 8, "z_width": 8, "w_width": 8, "classes": 2, "sample_batch": 8},
}
BUDGET = 512  # images; enough for a few steps of a network


def training_set(family):
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    vectors, signs = random.standard_normal((40, 3)), random.choice([-1.0, 1.0], (40, 1))
    data = {
        "gaussian": vectors,
        "multinomial": random.integers(0, 5, 40),
        "naive-bayes": random.integers(0, 6, 40),
        "gmm": vectors,
        "kde": vectors,
        "ppca": vectors,
        "box": vectors,
        "linear-regression": vectors,
        "linear-classifier": np.concatenate([vectors, signs], axis=1),
        "vae": vectors,
        "flow": vectors,
        "gan": vectors,
        "diffusion": images,
        "stylegan2": images,
    }[family]
    return TrainingSet(data, np.arange(40) % 2 if data is images else None, np.ones(40))


@pytest.fixture(scope="module", params=sorted(MODELS))
def fitted(request):
    family = MODELS[request.param]
    options = family.Options.model_validate(OPTIONS[request.param])
    data = training_set(request.param)
    return family, options, data, family.fit(data, options, Run(7, images_seen=BUDGET))


def test_the_registry_is_covered():
    assert set(OPTIONS) == set(MODELS)


def test_the_same_seed_gives_the_same_model(fitted):
    family, options, data, model = fitted
    again = family.fit(data, options, Run(7, images_seen=BUDGET))
    assert model.stored().tensors.keys() == again.stored().tensors.keys()
    assert all(np.array_equal(array, again.stored().tensors[name]) for name, array in model.stored().tensors.items())


def test_a_sample_does_not_depend_on_the_others(fitted):
    *_, model = fitted
    whole = model.sample(Ask(20, 11)).data
    parts = [model.sample(Ask(count, 11, start=start)).data for start, count in ((0, 3), (3, 9), (12, 8))]
    assert np.array_equal(whole, np.concatenate(parts))
    assert not np.array_equal(whole, model.sample(Ask(20, 12)).data)


def test_a_loaded_model_is_the_same_model(fitted):
    family, options, _, model = fitted
    loaded = family.load(model.stored(), options)
    assert np.array_equal(loaded.sample(Ask(10, 5)).data, model.sample(Ask(10, 5)).data)


def test_samples_can_be_trained_on(fitted):
    family, options, data, model = fitted
    samples = model.sample(Ask(40, 5))
    assert samples.data.dtype == data.data.dtype and samples.data.shape == data.data.shape
    assert (samples.labels is None) == (data.labels is None)
    family.fit(TrainingSet(samples.data, samples.labels, data.weights), options, Run(8, images_seen=BUDGET))


def test_a_plan_knows_how_large_a_model_is(fitted):
    family, options, data, model = fitted
    stored = sum(
        array.nbytes for name, array in model.stored().tensors.items() if not name.startswith(("curve.", "shape"))
    )
    shape = data.data.shape[1:]
    assert family.stored_bytes(options, shape, len(data)) == stored


def test_a_bias_outside_its_range_is_refused(fitted):
    *_, model = fitted
    for bias in (0.0, -0.1, 1.1):
        with pytest.raises(ValueError, match="sampling_bias"):
            model.sample(Ask(2, 0, bias=bias))


def test_a_likelihood_is_each_rows_own(fitted):
    """Where a family has one: it depends neither on the other rows nor on their order."""
    _, _, data, model = fitted
    if not isinstance(model, Scores):
        pytest.skip("the family has no likelihood")
    whole = model.log_likelihood(data.data, 3, steps=4)
    assert whole.shape == (40,) and whole.dtype == np.float64 and np.isfinite(whole).all()
    rows = np.array([39, 5, 5, 17])
    np.testing.assert_allclose(model.log_likelihood(data.data[rows], 3, steps=4), whole[rows], rtol=1e-12)
