"""What a training starts from is held against the study: weights against models and data, labels against what asks."""

import json
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from collapselab import store
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.models import MODELS
from collapselab.models.files import write_model
from collapselab.study import BadStudy
from collapselab.study.loading import load

SMALLEST = {name: MODELS[name].Options(**MODELS[name].Options.smallest(MODELS[name].takes[0])) for name in MODELS}
NETWORKS = [name for name in MODELS if MODELS[name].uses_torch and SMALLEST[name].of_weights()]
KINDS = [(name, kind) for name in NETWORKS for kind in MODELS[name].takes]
SHAPES = {"images": (1, 8, 8), "vectors": (3,), "sequences": (6,), "audio": (8, 8)}


def others(options, name):
    """Values of an option beside the one that it has, which are allowed one by one."""
    annotation, now = type(options).model_fields[name].annotation, getattr(options, name)
    if get_origin(annotation) is Literal:
        yield from (value for value in get_args(annotation) if value != now)
    elif isinstance(now, bool):
        yield not now
    elif isinstance(now, int):
        yield from (2 * now + 2, now + 1, 2 * now)
    elif isinstance(now, float):
        yield from (now / 2, 0.0 if now else 0.1)
    elif now is None:
        yield 0.1
    elif isinstance(now, tuple):
        yield from ((*now, now[-1]), (2 * now[0], *now[1:]))


@pytest.mark.parametrize(("family", "kind"), KINDS)
def test_options_on_which_weights_depend_are_told_and_no_others(family, kind):
    model = MODELS[family]
    base = model.Options.model_validate(model.Options.smallest(kind))
    told, bytes_ = base.of_weights(), model.stored_bytes(base, SHAPES[kind], 0)
    assert told.keys() <= type(base).model_fields.keys()
    weighed = set()
    for name in type(base).model_fields:
        for value in others(base, name):
            try:
                changed = type(base).model_validate(base.model_dump() | {name: value})
                size = model.stored_bytes(changed, SHAPES[kind], 0)
            except (ValidationError, ValueError):
                continue
            if size != bytes_:
                weighed.add(name)
                assert changed.of_weights() != told, f"{name}: {value!r}"
    assert weighed, "no option changes the weights: the test looks at nothing"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """family and kind of data -> a small trained model in a file."""
    made, folder = {}, tmp_path_factory.mktemp("weights")

    def of(family, kind, shape=None, **options):
        shape, key = shape or SHAPES[kind], json.dumps([family, kind, shape, options])
        if key not in made:
            path, draws = folder / f"{len(made)}.safetensors", np.random.default_rng(0)
            data = (
                draws.integers(0, 256, (16, *shape), np.uint8) if kind == "images" else draws.normal(size=(16, *shape))
            )
            model = MODELS[family]
            said = model.Options.model_validate({**model.Options.smallest(kind), **options})
            training = TrainingSet(data, np.arange(16) % 2, np.ones(16))
            write_model(path, family, model.fit(training, said, Run(0, images_seen=16)), {"generation": 0})
            made[key] = path
        return made[key]

    return of


def study_of(tmp_path, family, options, weights, data):
    raw = {
        "name": "study",
        "seeds": 1,
        "generations": 1,
        "data": data,
        "models": {"m": {family: options}},
        "initial": {"real": 16},
        "samples": 16,
        "init": {"weights": str(weights), "then": "previous"},
        "train": {"images_seen": 16},
        "extractors": ["random-conv"],
        "metrics": ["recall", "frechet_distance"],
        "primary": {"metric": "recall", "extractor": "random-conv"},
        "arms": {"own": {"model": "m", "regime": "fully_synthetic"}},
    }
    if weights is None:
        del raw["init"]
    if "population" in data:
        raw |= {"extractors": ["identity"], "primary": {"metric": "recall", "extractor": "identity"}}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    try:
        load(path)
    except BadStudy as error:
        return {".".join(map(str, fault.path)): fault.message for fault in error.faults}
    return {}


DIGITS = {"source": "digits", "split": {"train": 40, "held_out": 40}}


@pytest.mark.parametrize("family", [name for name, kind in KINDS if kind == "images"])
def test_weights_of_other_images_are_a_fault_with_the_cure(tmp_path, weights, family):
    options = MODELS[family].Options.smallest("images")
    said = {"classes": 0} if "classes" in options else {}  # the digits have more classes than these
    if family == "pretrained":
        said = {"prompts": [f"a {number}" for number in range(10)]}  # one for each of them
    options |= said
    fits = weights(family, "images", **said)
    assert study_of(tmp_path, family, options, fits, DIGITS) == {}
    larger = DIGITS | {"source": {"digits": {"resolution": 16}}}
    found = study_of(tmp_path, family, options, fits, larger)
    assert list(found) == ["init.weights"]
    assert "makes images of 1 x 8 x 8; the study's data are images of 1 x 16 x 16" in found["init.weights"]
    assert "resolution: 8" in found["init.weights"]


@pytest.mark.parametrize(
    ("family", "changed"),
    [
        ("stylegan2", {"z_width": 64}),
        ("stylegan2", {"classes": 10}),
        ("stylegan2", {"channel_base": 512}),
        ("diffusion", {"parameterisation": "ddpm"}),
        ("diffusion", {"channels": 32}),
        ("diffusion", {"classes": 10}),
        ("diffusion", {"augment": 0.12}),
        ("vae", {"channels": 8}),
        ("gan", {"latent": 5}),
        ("flow", {"transforms": 3}),
    ],
)
def test_weights_of_another_network_are_a_fault_that_says_both(tmp_path, weights, family, changed):
    options = MODELS[family].Options.smallest("images")
    without = {"classes": 0} if "classes" in options else {}
    found = study_of(tmp_path, family, options | without | changed, weights(family, "images", **without), DIGITS)
    assert list(found) == ["init.weights"]
    for key, value in changed.items():
        said = "'above 0'" if key == "augment" else repr(value)
        assert f"the model 'm' says {key}: {said}" in found["init.weights"].replace("sigma_data", "")
    # What belongs to training and sampling alone is no fault.
    free = {"images_seen": 32, "learning_rate": 1e-4, "batch": 8}
    assert study_of(tmp_path, family, options | without | free, weights(family, "images", **without), DIGITS) == {}


def test_weights_of_vectors_are_no_start_for_images_and_the_other_way_round(tmp_path, weights):
    options = {"latent": 2, "hidden": 8, "network": "mlp"}
    found = study_of(tmp_path, "vae", options, weights("vae", "vectors"), DIGITS)
    assert "makes vectors of 3; the study's data are images of 1 x 8 x 8" in found["init.weights"]
    plane = {"population": "two-moons", "split": {"held_out": 50}}
    found = study_of(tmp_path, "vae", options, weights("vae", "vectors"), plane)
    assert "makes vectors of 3; the study's data are vectors of 2" in found["init.weights"]


def test_grey_weights_are_no_start_for_colours(tmp_path, weights):
    folder = pictures(tmp_path / "colours", {"": 80})
    data = {"source": {"folder": {"path": str(folder)}}, "split": {"train": 40, "held_out": 40}}
    found = study_of(tmp_path, "vae", MODELS["vae"].Options.smallest("images"), weights("vae", "images"), data)
    assert "makes images of 1 x 8 x 8; the study's data are images of 3 x 8 x 8" in found["init.weights"]


def test_a_training_that_diverged_is_no_start(tmp_path):
    path = tmp_path / "weights.safetensors"
    store.write_tensors(path, {}, {"family": "vae", "options": {}, "lineage": {"diverged": {"generation": 0}}})
    found = study_of(tmp_path, "vae", MODELS["vae"].Options.smallest("images"), path, DIGITS)
    assert found == {"init.weights": f"{str(path)!r} holds a training that diverged, and no weights"}


def test_weights_whose_options_nobody_knows_are_of_another_version(tmp_path):
    path = tmp_path / "weights.safetensors"
    for said in ({"options": {"of_tomorrow": 1}}, {"options": 3}, {}):
        store.write_tensors(path, {"shape": np.array([1, 8, 8])}, {"family": "vae", **said})
        found = study_of(tmp_path, "vae", MODELS["vae"].Options.smallest("images"), path, DIGITS)
        assert found == {"init.weights": f"{str(path)!r} holds a 'vae' model of another version"}
    store.write_tensors(path, {"shape": np.zeros(10_000, np.int64)}, {"family": "vae", "options": {}})
    found = study_of(tmp_path, "vae", MODELS["vae"].Options.smallest("images"), path, DIGITS)
    assert found == {"init.weights": f"{str(path)!r} is not a model of this program"}


# -- labels ------------------------------------------------------------------------------------------------------------


def pictures(folder, counts):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def labels(tmp_path, folder, classes, extractor="lenet", **data):
    path = tmp_path / "study.yaml"
    raw = {
        "name": "study",
        "seeds": 1,
        "generations": 1,
        "data": {"source": {"folder": {"path": str(folder)}}, "split": {"train": 40, "held_out": 40}, **data},
        "models": {"m": {"diffusion": {"classes": classes}}},
        "initial": {"real": 20},
        "samples": 20,
        "extractors": [extractor],
        "metrics": ["recall"],
        "primary": {"metric": "recall", "extractor": extractor},
        "arms": {"own": {"model": "m", "regime": "fully_synthetic"}},
    }
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    try:
        load(path)
    except BadStudy as error:
        return {".".join(map(str, fault.path)): fault.message for fault in error.faults}
    return {}


def test_labels_that_nobody_gave_are_missed_before_any_work(tmp_path):
    folder = pictures(tmp_path / "flat", {"": 90})
    found = labels(tmp_path, folder, 10, rare={2: 0.1})
    assert set(found) == {"models.m.diffusion.classes", "extractors.0", "data.rare"}
    for message in found.values():
        assert "the images have no labels" in message and "a folder a class" in message
    assert "say classes: 0" in found["models.m.diffusion.classes"]
    assert "random-conv" in found["extractors.0"]
    assert labels(tmp_path, folder, 0, "random-conv") == {}


def test_a_model_has_as_many_classes_as_the_labels(tmp_path):
    folder = pictures(tmp_path / "classes", {"a": 40, "b": 30, "c": 30})
    assert labels(tmp_path, folder, 3) == labels(tmp_path, folder, 5) == labels(tmp_path, folder, 0) == {}
    found = labels(tmp_path, folder, 2, rare={3: 0.1})
    assert found["models.m.diffusion.classes"].startswith("found 2, but the images have labels 0 to 2; allowed are 3")
    assert found["data.rare"] == "found the label 3, but the images have labels 0 to 2"
