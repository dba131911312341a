"""The jobs that make models: of training sets, adapted ones, and the further ones of guides."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...adapt import ADAPTERS
from ...compose.regimes import at
from ...guides import GUIDES
from ...models import MODELS
from ...models.options import Outside
from ...store.provenance import entries, named
from .. import looking, sampled
from ..stopping import waited_for
from ..study import Study
from ..telling import as_json, flags
from .base import Job, Place, replicate, seeds, verb_roots
from .real import task_said

# -- guides ------------------------------------------------------------------------------------------------------------


def others(study: Study, place: Place) -> dict[str, str]:
    """The further models that a generation's guide steers by, by role."""
    roles = study.auxiliaries(place.arm, place.generation)
    return {role: study.cell(*place.cell, f"auxiliary-{role}.safetensors") for role in roles}


def guide_said(study: Study, place: Place) -> dict[str, Any]:
    """The guide of an arm, as a sampling is told of it."""
    guide = study.lineages[place.arm].guide
    return {guide.name: study.parsed(GUIDES, guide).model_dump(mode="json")} if guide else {}


def guide_roots(study: Study, arm: str) -> list[str]:
    """The source of an arm's guide, and of how it steers."""
    guide = study.lineages[arm].guide
    if not guide:
        return []
    asked = getattr(MODELS[study.family(study.model_of(arm))], "denoises", ())
    return [*entries("guides:GUIDES", [guide.name]), *verb_roots("sample", "steering"), *asked]


def sampler_roots(study: Study, arm: str) -> list[str]:
    """The source of an arm's sampler, where it takes the place of the model's own."""
    sampler = study.lineages[arm].sampler
    return [*entries("samplers:SAMPLERS", [sampler.name]), *verb_roots("sample", "sampling")] if sampler else []


# -- compose and train -------------------------------------------------------------------------------------------------


def _decisions(study: Study, place: Place) -> list[str]:
    return waited_for(study, *place.cell)


def _draw_inputs(study: Study, place: Place) -> list[str]:
    population, models = looking.truth_file(study), []
    for name, path in study.resampled(*place.cell).items():
        models += [path, *others(study, _ancestor(place, name)).values()]
    return [*models, *([population] if population else [])]


def _ancestor(place: Place, name: str) -> Place:
    """Where an ancestor stands that is called ``arm:generation``."""
    arm, _, generation = name.partition(":")
    return Place(arm, place.seed, int(generation))


def _draw_arguments(study: Study, place: Place) -> Iterator[str]:
    models, about = study.resampled(*place.cell), {}
    for name in models:
        ancestor = _ancestor(place, name)
        own, further = study.lineages[ancestor.arm], others(study, ancestor)
        about[name] = {"stream": own.stream, "sampling_bias": at(own.sampling_bias, ancestor.generation)}
        about[name] |= {"guide": guide_said(study, ancestor), "auxiliary": further} if own.guide else {}
        about[name] |= {"sampler": sampled.said_of(study, ancestor.arm, ancestor.generation)} if own.sampler else {}
    yield from flags(recipe=as_json(study.recipe(place.arm, place.generation)), population=looking.truth_file(study))
    yield from flags(model=[f"{name}={path}" for name, path in models.items()], about=as_json(about))
    yield from flags(study_seed=study.file.seed, seed=replicate(study, place, "training"))
    yield from flags(stream=task_said(study) if study.population_name else None)
    yield from flags(stop=_decisions(study, place))


def _draw_roots(study: Study, place: Place) -> list[str]:
    arms = sorted({name.partition(":")[0] for name in study.resampled(*place.cell)})
    steered = [root for arm in arms for root in [*guide_roots(study, arm), *sampler_roots(study, arm)]]
    families = [root for arm in arms for root in looking.family_roots(study, arm)]
    streamed = verb_roots("compose", "draw_tasks") if study.file.data.stream else []
    return [*verb_roots("compose", "draw"), *families, *steered, *looking.truth_roots(study), *streamed]


def eaten(study: Study, place: Place) -> Iterator[str]:
    """What a training set is made of: stored sample sets, and rows that are drawn for it."""
    for one in study.sources(*place.cell):
        yield from (one[key] for key in ("samples", "kept") if key in one)
    if study.needs_drawing(place.arm, place.generation):
        yield study.cell(*place.cell, "drawn.safetensors")


def _train_inputs(study: Study, place: Place) -> list[str]:
    """All that a training needs; nothing can make a generation 0 outside its base."""
    if (place.generation == 0) != (place.arm in study.bases):
        home = study.lineages[place.arm].base if place.arm in study.lineages else "its arms"
        return [f"(generation {place.generation} of {place.arm} is trained in {home})"]
    start = study.init_file(*place.cell)
    beside = [*([start] if start else []), *study.chosen_by(*place.cell).values()]
    return [*eaten(study, place), *beside]


def _compose_arguments(study: Study, place: Place) -> Iterator[str]:
    drawn = study.needs_drawing(place.arm, place.generation)
    yield from flags(recipe=as_json(study.recipe(place.arm, place.generation)))
    yield from flags(sources=as_json(study.sources(*place.cell)))
    yield from flags(drawn=study.cell(*place.cell, "drawn.safetensors") if drawn else None)
    yield from flags(study_seed=study.file.seed, seed=replicate(study, place, "training"))
    yield from flags(stop=_decisions(study, place))


def _train_arguments(study: Study, place: Place) -> Iterator[str]:
    model, chosen = study.model_of(place.arm), study.chosen_by(*place.cell)
    yield from flags(family=study.family(model), options=as_json(study.model_options(model)))
    yield from flags(images_seen=study.images_seen(place.arm, place.generation), init=study.init_file(*place.cell))
    yield from flags(validation=chosen.get("validation"), chosen_by=chosen.get("model"))
    yield from flags(of="labels" if study.lineage(place.arm).drawn_by else None)
    yield from flags(**seeds(study, place, "training"))


def _compose_roots(study: Study, place: Place) -> list[str]:
    weights = ["row_weights"] if study.eats_weighted(place.arm, place.generation) else []
    return verb_roots("compose", "compose", *weights)


def _rows_roots(study: Study, place: Place) -> list[str]:
    """What makes rows of a training table; only where selectors have weighed them it makes a difference."""
    weights = ["weighted"] if study.eats_weighted(place.arm, place.generation) else []
    return verb_roots("train", "rows_of", *weights)


def _train_roots(study: Study, place: Place) -> list[str]:
    called = ["settle", "budget", "as_it_is", "rows_of", "whole", "training_seed", "train"]
    called += ["labels_of"] if study.lineage(place.arm).drawn_by else []
    return [*verb_roots("train", *called), *_rows_roots(study, place)[1:], *looking.family_roots(study, place.arm)]


def _train_outside(study: Study, place: Place) -> dict[str, str]:
    options = study.parsed_options(study.model_of(place.arm))
    return dict(options.outside()) if isinstance(options, Outside) else {}


# -- adapt -------------------------------------------------------------------------------------------------------------


def home(study: Study, place: Place) -> Place:
    """Where the training set of an arm's generation is composed: that of generation 0 in its base."""
    return place._replace(arm=place.arm if place.generation else study.lineages[place.arm].base)


def _adapt_inputs(study: Study, place: Place) -> list[str]:
    reads = study.adapted_by(place.arm)
    seen = [study.part_file("train"), *looking.weights(study, reads)] if reads else []
    seen += [study.part_file("validation")] if looking.validated(study, place.arm) else []
    own = [study.cell(*place.cell, noun) for noun in ("model.safetensors", "training.parquet")]
    past = [file for one in _earlier(study, place) for file in (_table(study, one), *eaten(study, home(study, one)))]
    return [*own, *eaten(study, home(study, place)), *study.ancestors(*place.cell), *dict.fromkeys(past), *seen]


def _earlier(study: Study, place: Place) -> list[Place]:
    """The generations whose training sets an arm's adapters are handed, too: none, or all that were before."""
    adapters = study.lineages[place.arm].adapters(place.generation)
    needed = any(ADAPTERS[one.name].needs.earlier for one in adapters)
    return [place._replace(generation=t) for t in range(place.generation if needed else 0)]


def _table(study: Study, place: Place) -> str:
    return study.cell(*place.cell, "training.parquet")


def _adapt_arguments(study: Study, place: Place) -> Iterator[str]:
    adapt, reads = study.lineages[place.arm].adapters(place.generation), study.adapted_by(place.arm)
    model, training = (study.cell(*place.cell, noun) for noun in ("model.safetensors", "training.parquet"))
    options = [as_json(study.parsed(ADAPTERS, one)) for one in adapt]
    yield from flags(model=model, training=training, adapter=[one.name for one in adapt], options=options)
    yield from flags(ancestor=study.ancestors(*place.cell), **seeds(study, place, "training"))
    yield from flags(earlier=[_table(study, one) for one in _earlier(study, place)])
    yield from looking.beside(study, reads)
    yield from flags(validation=study.part_file("validation") if looking.validated(study, place.arm) else None)
    yield from flags(**_own_said(study, place))


def _own_said(study: Study, place: Place) -> dict[str, Any]:
    """How an arm's own samples are made, where it is not as the model by itself makes them: as its loop's are, but
    without its guide.
    """
    bias, said = (
        at(study.lineages[place.arm].sampling_bias, place.generation),
        sampled.said_of(study, place.arm, place.generation),
    )
    return {"sampling_bias": bias if bias != 1 else None, "sampler": as_json(said) if said else None}


def _adapt_outside(study: Study, place: Place) -> dict[str, str]:
    own = looking.files(study, ADAPTERS, study.lineages[place.arm].adapters(place.generation))
    return looking.published(study, study.adapted_by(place.arm)) | own


def _adapt_roots(study: Study, place: Place) -> list[str]:
    adapt = study.lineages[place.arm].adapters(place.generation)
    names = [one.name for one in adapt]
    called = (named(one) for choice in adapt for one in ADAPTERS[choice.name].calls(study.parsed(ADAPTERS, choice)))
    adapter = [
        *entries("adapt:ADAPTERS", names),
        *looking.reward_roots(study, ADAPTERS, *adapt),
        *dict.fromkeys(called),
    ]
    verbs = [*verb_roots("adapt", "adapt", "given", "own_samples", "adaptation_seed"), *_rows_roots(study, place)]
    verbs += verb_roots("adapt", "chained", "adaptation_seeds") if len(adapt) > 1 else []
    seen = looking.seer_roots(study, study.adapted_by(place.arm))
    return [*verbs, *adapter, *looking.family_roots(study, place.arm), *sampler_roots(study, place.arm), *seen]


def _auxiliary_inputs(study: Study, place: Place) -> list[str]:
    training = study.cell(*place.cell, "training.parquet")
    return [study.model_file(*place.cell), training, *eaten(study, home(study, place))]


def _auxiliary_arguments(study: Study, place: Place) -> Iterator[str]:
    one = study.auxiliaries(place.arm, place.generation)[place.role]
    own = _own_said(study, place) if one.on == "own" else {}
    yield from flags(model=study.model_file(*place.cell), training=study.cell(*place.cell, "training.parquet"))
    yield from flags(asked=as_json(one._asdict()), role=place.role, **seeds(study, place, "training"), **own)


def _auxiliary_roots(study: Study, place: Place) -> list[str]:
    called = [*verb_roots("adapt", "auxiliary", "auxiliary_seed", "own_samples"), *_rows_roots(study, place)]
    one = study.auxiliaries(place.arm, place.generation)[place.role]
    called += sampler_roots(study, place.arm) if one.on == "own" else []
    return [*called, *looking.family_roots(study, place.arm)]


JOBS: Mapping[str, Job] = {
    "draw": Job(_draw_inputs, _draw_arguments, _draw_roots, decisions=_decisions),
    "compose": Job(_train_inputs, _compose_arguments, _compose_roots, decisions=_decisions),
    "train": Job(_train_inputs, _train_arguments, _train_roots, _train_outside, _decisions),
    "adapt": Job(_adapt_inputs, _adapt_arguments, _adapt_roots, _adapt_outside),
    "auxiliary": Job(_auxiliary_inputs, _auxiliary_arguments, _auxiliary_roots),
}
