"""A model that is changed after its training, and further models that a guide steers by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..adapt.base import Adapted, Adapter, Given, Own
from ..core.ask import Ask
from ..core.choice import nested
from ..core.errors import blamed
from ..core.run import Run
from ..core.seeds import seed_of
from ..core.sets import SampleSet, TrainingSet
from ..guides.base import Auxiliary
from ..models.tuning import settled, taught
from ..rewards.asking import rewards_of
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
    return lambda count, start=0, other=None: (other or model).sample(Ask(count, number, start, bias, sampler=sampler))


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
    return Given(training, own, look, features, rewards, ancestors, validation)


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
