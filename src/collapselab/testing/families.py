"""The laws of model families."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from ..core.ask import Ask, Condition
from ..core.errors import Diverged
from ..core.kinds import KINDS, KindName, kind_of
from ..core.run import Run
from ..core.sets import TrainingSet
from ..models import MODELS
from ..models.asking import called
from ..models.capabilities import Knows
from ..models.files import read_model, write_model
from ..models.options import Options
from .asking import SEED, check_moments, check_refusals, check_samples
from .capabilities import CHECKS
from .said import differing, entry_of, law, named, refused, same

STEPS = 4  # of a training in steps
WHAT = ("Options", "takes", "density", "bias", "conditions", "uses_torch", "fit", "sample", "stored", "stored_bytes")


def check_family(family: Any, options: Mapping[str, Any] | None = None, data: TrainingSet | None = None) -> None:
    """Hold a model family to its contract (:class:`~collapselab.models.base.Model`) and to what it can beside it.

    It is fitted for a moment to a few samples of each kind that it takes; its options survive JSON; the same seed gives
    the same bits; samples do not depend on how they are asked for, are of the kind that it was fitted to and can be
    trained on; a stored model is the same model; a plan knows its size; what it cannot be asked for is refused; and
    what it Scores, Knows, Denoises, Counts or exchanges (:mod:`~collapselab.models.capabilities`) is right.

    family: the class, or its name in the registry. options: what is fitted in a moment; None for what the family's
    ``Options.smallest`` says of each kind. data: what it is fitted to, at least 20 rows; None for
    :func:`training_set` of each kind, of counts for a family that says ``takes_counts``. Raises AssertionError for the
    first law that is broken.
    """
    name, kind_of_family = entry_of(family, MODELS)
    _check_statement(name, kind_of_family)
    for fitted in _fitted(name, kind_of_family, options, data):
        _check_options(fitted)
        _check_fit(fitted)
        samples = check_samples(fitted.name, fitted.model, fitted.kind)
        _check_eats_its_samples(fitted, samples.labels)
        _check_storage(fitted)
        check_refusals(fitted.name, fitted.model)
        for able, check in CHECKS.items():
            if isinstance(fitted.model, able):
                check(fitted.name, fitted.model, fitted.training)
        if isinstance(fitted.model, Knows):
            check_moments(fitted.name, fitted.model)


def training_set(kind: KindName, counts: bool = False) -> TrainingSet:
    """Forty samples of a kind: noise, the same each time.

    Images are grey, of 8 x 8 pixels in two classes; vectors have three normal numbers and a sign, so that they can be
    an input and its response, or its class; categories are 0 .. 4, and sequences six tokens of 0 .. 4; clips have 8
    bands and 8 frames. counts: vectors are of whole numbers from 0.
    """
    source = np.random.default_rng(3)
    weights, signs = np.ones(40), source.choice([-1.0, 1.0], (40, 1))
    if kind == "images":
        return TrainingSet(source.integers(0, 256, (40, 1, 8, 8), np.uint8), np.arange(40) % 2, weights)
    if kind == "vectors" and counts:
        return TrainingSet(source.poisson(3.0, (40, 4)).astype(np.float64), None, weights)
    if kind == "vectors":
        return TrainingSet(np.concatenate([source.standard_normal((40, 3)), signs], axis=1), None, weights)
    if kind == "sequences":
        return TrainingSet(source.integers(0, 5, (40, 6), np.int32), None, weights)
    if kind == "audio":
        pictures = source.uniform(-1, 1, (40, 8, 8)).astype(np.float32)
        return TrainingSet(pictures, np.arange(40) % 2, weights)
    return TrainingSet(source.integers(0, 5, 40), None, weights)


def small_model(kind: KindName, training: TrainingSet, able: tuple[type, ...] = (), trained: bool = False) -> Any:
    """A model of one of our families that takes a kind and can what is asked, fitted in a moment.

    trained: whether it may be one that is trained in steps. Raises LookupError where no family can all of it.
    """
    for family in dict.values(MODELS):
        fits = kind in family.takes and all(issubclass(family, one) for one in able)
        if fits and (trained or not family.uses_torch):
            options = family.Options.model_validate(family.Options.smallest(kind))
            batch = getattr(options, "batch", 1)
            return family.fit(training, options, Run(0, None if options.budget is None else STEPS * batch))
    raise LookupError(f"no family of {kind} can {named(one.__name__ for one in able)}")


@dataclass(frozen=True)
class Fitted:
    """A model, and what it was fitted to and how."""

    name: str
    family: Any
    kind: KindName
    options: Any
    training: TrainingSet
    run: Run
    model: Any


def _fitted(name: str, family: Any, options: Mapping[str, Any] | None, data: TrainingSet | None) -> Iterator[Fitted]:
    """A model of each kind of data that the family takes and the options suit."""
    kinds = family.takes if data is None else (kind_of(data.data),)
    faults = []
    for kind in kinds:
        chosen = _chosen(name, family, kind, options)
        try:
            chosen.check_kind(kind)
        except ValueError as fault:
            law(
                options is not None,
                f"{name}: Options.smallest({kind!r}) does not suit {kind}: {fault}",
            )
            faults.append(str(fault))
            continue
        counts = getattr(family, "takes_counts", False)
        training = training_set(kind, counts) if data is None else data
        budget = None if chosen.budget is None else min(chosen.budget, STEPS * getattr(chosen, "batch", 1))
        run = Run(7, images_seen=budget)
        before = (training.data.copy(), training.weights.copy())
        model = family.fit(training, chosen, run)
        law(
            same(training.data, before[0]) and same(training.weights, before[1]),
            f"{name}: fit has changed the training set, which is not its own",
        )
        yield Fitted(f"{name} of {kind}", family, kind, chosen, training, run, model)
    law(len(faults) < len(kinds), f"{name}: the options suit none of the kinds that it takes: {'; '.join(faults)}")


def _chosen(name: str, family: Any, kind: KindName, options: Mapping[str, Any] | None) -> Any:
    """The options that are given, or the family's smallest. Raises ValueError for given ones that are none."""
    if options is not None:
        return family.Options.model_validate(dict(options)).settled()
    smallest = family.Options.smallest(kind)
    try:
        return family.Options.model_validate(smallest).settled()
    except ValidationError as error:
        raise AssertionError(
            f"{name}: Options.smallest({kind!r}) is {smallest!r}, which are no options of it: {error}"
        ) from error


def _check_statement(name: str, family: Any) -> None:
    """Hold that the class says what a plan asks."""
    missing = [one for one in (*WHAT, "load") if not hasattr(family, one)]
    law(not missing, f"{name}: found no {named(missing)}; models.base.Model says what a family offers")
    law(issubclass(family.Options, Options), f"{name}: its Options are no models.options.Options")
    wrong = [kind for kind in family.takes if kind not in KINDS]
    law(family.takes and not wrong, f"{name}: takes is {named(family.takes)}; asked are some of {named(KINDS)}")
    densities = ("exact", "approximate", "implicit")
    law(family.density in densities, f"{name}: density is {family.density!r}, allowed are {named(densities)}")
    law(isinstance(family.bias, str), f"{name}: bias is {family.bias!r}, asked is a word or two, or nothing")
    wrong = [one for one in family.conditions if one not in get_args(Condition)]
    law(not wrong, f"{name}: conditions are {named(family.conditions)}, allowed are {named(get_args(Condition))}")
    law(isinstance(family.uses_torch, bool), f"{name}: uses_torch is {family.uses_torch!r}, asked is True or False")
    law(family.__doc__, f"{name}: its class has no docstring")


def _check_options(fitted: Fitted) -> None:
    name, options = fitted.name, fitted.options
    kind = type(options)
    again = kind.model_validate(json.loads(json.dumps(options.model_dump(mode="json"))))
    law(again == options, f"{name}: options that went through JSON are {again!r}, they were {options!r}")
    refused(
        lambda: kind.model_validate(options.model_dump() | {"no such option": 1}),
        "no such option",
        f"{name}: an option that it does not have",
        ValidationError,
    )
    unsaid = [option for option, field in kind.model_fields.items() if not field.description]
    law(not unsaid, f"{name}: the options {named(unsaid)} have no description")


def _check_fit(fitted: Fitted) -> None:
    name, model, training = fitted.name, fitted.model, fitted.training
    law(isinstance(model, fitted.family), f"{name}: fit gave a {type(model).__name__}")
    law(model.options == fitted.options, f"{name}: the model's options are not those that it was fitted with")
    found, asked = tuple(model.shape), training.data.shape[1:]
    law(found == asked, f"{name}: the model's shape is {found}, that of the samples it was fitted to is {asked}")
    law(isinstance(model.how, Mapping), f"{name}: how is a {type(model.how).__name__}, asked is a mapping")
    again = fitted.family.fit(training, fitted.options, fitted.run)
    other = differing(model.stored().tensors, again.stored().tensors)
    law(
        other is None,
        f"{name}: two fits with one seed differ in {other!r}; the same seed gives the same bits",
    )
    if fitted.kind == "vectors":
        broken = training.data.copy()
        broken[5] = np.nan
        refused(
            lambda: fitted.family.fit(replace(training, data=broken), fitted.options, fitted.run),
            "",
            f"{name}: a training row of numbers that are not finite",
            Diverged,
        )


def _check_eats_its_samples(fitted: Fitted, labels: np.ndarray | None) -> None:
    """Hold that the next generation can be trained: on as many samples, which may weigh unequally, from this model."""
    name, training = fitted.name, fitted.training
    samples = fitted.model.sample(Ask(len(training), SEED))
    law(
        samples.data.dtype == training.data.dtype or fitted.kind == "vectors",
        f"{name}: samples are {samples.data.dtype}, it was fitted to {training.data.dtype}",
    )
    if getattr(fitted.options, "classes", 0):
        law(labels is not None, f"{name}: a model of classes gave samples without labels")
    uneven = np.random.default_rng(4).uniform(0.5, 1.5, len(training))

    def eat(weights: np.ndarray) -> None:
        fed = TrainingSet(samples.data, samples.labels, weights)
        fitted.family.fit(fed, fitted.options, replace(fitted.run, seed=8), fitted.model)

    try:
        try:
            eat(uneven)
        except ValueError as error:
            law("weights" in str(error), f"{name}: trained on its own samples, from itself, it says {error}")
            eat(training.weights)  # a family may refuse weights that are not equal, in words
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}: it cannot be trained on its own samples, from itself: {error}") from error


def _check_storage(fitted: Fitted) -> None:
    """Hold that a model that went through a file is the same, and as large as a plan says."""
    name, model = fitted.name, fitted.model
    word = called(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        write_model(path, word, model, {})
        loaded, _ = read_model(path, {word: fitted.family}, {})
        law(
            same(loaded.sample(Ask(10, 5, 3)).data, model.sample(Ask(10, 5, 3)).data),
            f"{name}: read from its file it samples otherwise; stored has to hold all that load needs, to the last bit",
        )
        law(loaded.options == model.options, f"{name}: read from its file it has other options")
        law(tuple(loaded.shape) == tuple(model.shape), f"{name}: read from its file it has another shape")
        other = differing(model.stored().tensors, loaded.stored().tensors)
        law(other is None, f"{name}: stored, loaded and stored again it differs in {other!r}")
    tensors = model.stored().tensors
    curves = {"curve.images_seen", "curve.loss"} - tensors.keys()
    law(not curves, f"{name}: stored has no {named(sorted(curves))}; of a closed form it is arrays.no_curve()")
    held = sum(array.nbytes for part, array in tensors.items() if not part.startswith(("curve.", "shape")))
    planned = fitted.family.stored_bytes(fitted.options, fitted.training.data.shape[1:], len(fitted.training))
    law(
        abs(planned - held) <= 0.1 * held,
        f"{name}: stored_bytes says {planned}, the arrays have {held}; a plan has to be right within a tenth",
    )
