"""A model that is changed after its training, and further models that a guide steers by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..adapt.base import Adapted, Adapter, Given, Own
from ..core.ask import Ask
from ..core.choice import nested
from ..core.errors import Diverged, blamed
from ..core.needs import ALL
from ..core.run import Run
from ..core.seeds import seed_of
from ..core.sets import SampleSet, TrainingSet
from ..guides.base import Auxiliary
from ..models.tuning import settled, taught
from ..rewards.asking import looked_through, rewards_of
from ..store.provenance import entries
from .extract import Look
from .select import looked_at


def adaptation_seed(study_seed: int, replicate: int, generation: int, name: str) -> int:
    """The seed of an adaptation: arms that adapt alike share it, so that they are compared in pairs."""
    return seed_of(study_seed, replicate, generation, f"adapt/{name}")


def auxiliary_seed(study_seed: int, replicate: int, generation: int, role: str) -> int:
    """The seed of a further model, and of the own samples that it is trained on."""
    return seed_of(study_seed, replicate, generation, f"auxiliary/{role}")


def own_samples(model: Any, seed: int, bias: float = 1.0, sampler: Any | None = None) -> Own:
    """Own samples of a model with a sampling bias, by a sampler (``Ask.sampler``; None for the model's own), of a
    random stream that no released sample has."""
    number = seed_of(seed, None, None, "own samples")

    def own(count: int, start: int = 0, other: Any = None, guide: Any = None) -> SampleSet:
        return (other or model).sample(Ask(count, number, start, bias, guide=guide, sampler=sampler))

    return own


def given(
    options: Any,
    model: Any,
    training: TrainingSet,
    seed: int,
    looks: Mapping[str, Look],
    train: SampleSet | None,
    ancestors: Sequence[Any],
    validation: SampleSet | None = None,
    bias: float = 1.0,
    sampler: Any | None = None,
) -> Given:
    """What an adapter is handed beside the model. bias, sampler: by which the arm's models are sampled."""
    look = {name: partial(looked_at, one) for name, one in looks.items()}
    features = {name: extract(train.data) for name, extract in look.items()}
    own, rewards = own_samples(model, seed, bias, sampler), rewards_of(options, look)
    return Given(training, own, look, features, rewards, ancestors, validation, split=train)


def adapt(name: str, adapter: Adapter, options: Any, model: Any, shown: Given, run: Run) -> Adapted:
    """The adapted model, and what its adapter says of it.

    Raises Diverged and Interrupted as a training does, ValueError for what is no such model.
    """
    rewards = [choice.name for choice in nested(options, "rewards").values()]
    roots = (*entries("adapt:ADAPTERS", [name]), *entries("rewards:REWARDS", rewards))
    with blamed("adapter", name):
        found = adapter.adapt(model, shown, options, replace(run, images_seen=adapter.images(options), roots=roots))
        adapted, facts = found if isinstance(found, Adapted) else Adapted(found)
        if type(adapted) is not type(model) or adapted.shape != model.shape:
            found = f"{type(adapted).__name__} of {getattr(adapted, 'shape', 'nothing')}"
            raise ValueError(f"gave a {found}, allowed is a {type(model).__name__} of {model.shape}, as it was given")
    return Adapted(adapted, facts)


class Step(NamedTuple):
    """One of several adaptations, each of what the one before has made of a model.

    run: of this step, with a seed and a checkpoint of its own.
    """

    name: str
    adapter: Adapter
    options: Any
    run: Run


class Kept(Protocol):
    """Where finished steps of an adaptation are kept until all are done."""

    def read(self, index: int) -> Adapted | None:
        """What the step has made, if it is there and was made of just this."""
        ...

    def write(self, index: int, made: Adapted) -> None:
        """Keep what the step has made."""
        ...


def adaptation_seeds(study_seed: int, replicate: int, generation: int, names: Sequence[str]) -> list[int]:
    """The seed of each of several adaptations: the first of a name has the seed that it has alone."""
    return [adaptation_seed(study_seed, replicate, generation, name) for name in streams(names)]


def streams(names: Sequence[str]) -> list[str]:
    """Under which name each of several adaptations has its random numbers: one that comes again by its turn, too."""
    turns = [names[:index].count(name) for index, name in enumerate(names)]
    return [f"{name}/{turn}" if turn else name for name, turn in zip(names, turns, strict=True)]


def shown_to(adapter: Adapter, options: Any, model: Any, whole: Given, own: Own) -> Given:
    """What one of several adapters is handed: of all that was read for them what it would be handed alone.

    whole: that of the first. own: own samples of the model as the steps before have made it.
    """
    seen, most = looked_through(adapter, options), adapter.needs.ancestors
    look = {name: whole.look[name] for name in seen}
    past = list(whole.ancestors) if most == ALL else list(whole.ancestors)[-most:] if most else []
    validation = whole.validation if adapter.validates(options) else None
    features, rewards = {name: whole.train[name] for name in seen}, rewards_of(options, look)
    sets = {"validation": validation, "earlier": whole.earlier if adapter.needs.earlier else ()}
    return whole._replace(own=own, look=look, train=features, rewards=rewards, ancestors=past, **sets)


def chained(
    steps: Sequence[Step], model: Any, whole: Given, kept: Kept, bias: float = 1.0, sampler: Any | None = None
) -> Adapted:
    """The model after several adaptations, one after the other; its facts are those of each step, as ``steps``.

    A step whose result is kept is not made again. Each goes on from the model as a file would hold it, so that one that
    was interrupted comes to the same bits. The curve of a step's own training stands among its facts as ``training``,
    as the next step's takes its place in the model. Raises what :func:`adapt` does; images are counted over all steps.
    """
    told: list[dict[str, Any]] = []
    done = 0
    for index, step in enumerate(steps):
        made = kept.read(index)
        if made is None:
            own = own_samples(model, step.run.seed, bias, sampler)
            shown = shown_to(step.adapter, step.options, model, whole, own)
            try:
                made = adapt(step.name, step.adapter, step.options, model, shown, later(step.run, done))
            except Diverged as error:
                raise Diverged(done + error.images_seen, error.loss) from error
            made = with_curve(made, model)
            kept.write(index, made)
        model = type(made.model).load(made.model.stored(), made.model.options)
        told.append(dict(made.facts))
        done += step.adapter.images(step.options)
    return Adapted(model, {"steps": told})


def later(run: Run, done: int) -> Run:
    """A run that begins when ``done`` images have been seen, which it counts among its own where it is watched."""
    progress, inspect = run.progress, run.inspect
    counted = None if progress is None else lambda seen, loss: progress(done + seen, loss)
    looked = None if inspect is None else lambda model, seen: inspect(model, done + seen)
    return replace(run, progress=counted, inspect=looked)


def with_curve(made: Adapted, before: Any) -> Adapted:
    """What an adapter has made, with the curve of its training among its facts as ``training``.

    There is none where the model still has that of the training before.
    """
    found, earlier = _curves(made.model), _curves(before)
    if found.keys() == earlier.keys() and all(np.array_equal(found[name], earlier[name]) for name in found):
        return made
    curve = {name: [_number(value) for value in array] for name, array in found.items()}
    return made._replace(facts=dict(made.facts) | {"training": curve})


def _curves(model: Any) -> dict[str, np.ndarray]:
    tensors = model.stored().tensors
    return {name.removeprefix("curve."): array for name, array in tensors.items() if name.startswith("curve.")}


def _number(value: Any) -> float | None:
    """A number of six digits; None for what JSON has no number for."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def auxiliary(
    one: Auxiliary,
    kind: Any,
    model: Any,
    training: TrainingSet | None,
    run: Run,
    sampler: Any | None = None,
    bias: float = 1.0,
) -> Any:
    """A further model of the family ``kind`` that a guide steers by: trained for it as it asks. sampler, bias: by which
    own samples are made, as the loop's are, but without the guide."""
    run = replace(run, images_seen=one.images_seen)
    if one.on == "own":
        return taught(model, own_samples(model, run.seed, bias, sampler)(one.samples), run)
    return kind.fit(training, changed(settled(model), one.changed or {}), run)


def changed(options: Any, values: Mapping[str, Any]) -> Any:
    """Options of a family with other values for some of them."""
    return type(options).model_validate(options.model_dump() | dict(values)) if values else options
