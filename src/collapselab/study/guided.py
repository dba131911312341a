"""What an arm's guide costs, and what keeps it from steering its model."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from ..compose.regimes import at
from ..guides import GUIDES
from ..guides.base import Auxiliary
from ..models import MODELS
from ..models.capabilities import Trainable
from ..samplers import SAMPLERS
from .faults import Fault, faults_of
from .lineages import Lineage
from .sampled import as_sampled, own_sampler, sampler_of, steps_through
from .study import Study


def asked_of(study: Study, arm: Lineage) -> dict[str, Any]:
    """The options of an arm's model with the sampler that samples it, also where they name none."""
    model = study.model_options(arm.model)
    if chosen := arm.sampler:
        return as_sampled(model, chosen.name, study.parsed(SAMPLERS, chosen))
    return {"sampler": own_sampler(model).name, **model} if steps_through(study.file, arm.model) else model


def unguided(study: Study, arm: Lineage) -> Iterator[Fault]:
    """The faults of a guide that does not suit the arm's model, or whose further model cannot be."""
    guide, where = arm.guide, ("arms", arm.name, "guide")
    entry, options = GUIDES[guide.name], study.parsed(GUIDES, guide)
    biased = any(at(arm.sampling_bias, generation) < 1 for generation in range(arm.generations + 1))
    model = asked_of(study, arm)
    for said in entry.unsuited(options, model, biased):
        yield Fault(where, f"{guide.name!r} {said.format(repr(arm.model))}")
    family = MODELS[study.family(arm.model)]
    for role, one in study.auxiliaries(arm.name, 0).items():
        if not issubclass(family, Trainable) and (said := of_formula(one, model)):
            yield Fault(where, f"{guide.name!r}: {role}: {arm.model!r} is fitted by a formula, and {said}")
        if not one.changed:
            continue
        said = dict(study.file.models[arm.model].options) | dict(one.changed)
        try:
            family.Options.model_validate(said).check_kind(study.kind)
        except ValidationError as error:
            yield from faults_of(error, family.Options, (*where, guide.name, role))
        except (ValueError, TypeError) as error:
            yield Fault(where, f"{guide.name!r}: {role}: {error}")


def remarks(study: Study) -> Iterator[str]:
    """Which samples of an arm its guide leaves as they are."""
    for name in study.file.arms:
        arm = study.lineages[name]
        if arm.guide:
            said = GUIDES[arm.guide.name].leaves(study.parsed(GUIDES, arm.guide), asked_of(study, arm))
            if said:
                yield f"the guide {arm.guide.name!r} of {name!r} leaves as they are {said}"


def of_formula(one: Auxiliary, model: Mapping[str, Any]) -> str:
    """What is wrong with a further model that is fitted by a formula as the model is, in words; empty if nothing."""
    changed = one.changed or {}
    if one.on == "training" and all(model.get(name) == value for name, value in changed.items()):
        return "another fit to the same rows is the same model; say under auxiliary which of its options are others"
    if model.get("standardise") and (one.on == "own" or {"ddof", "standardise"} & set(changed)):
        return "each fit standardises by its own rows; allowed is standardise: false"
    return ""


def evaluations(study: Study) -> dict[str, str]:
    """What each guided arm costs, in words: evaluations of networks for a sample (NFE), images of further models."""
    said = {}
    for name, arm in study.lineages.items():
        if not arm.guide or arm.base == name:
            continue
        entry, by = GUIDES[arm.guide.name], sampler_of(study, name)
        steps = by.options["steps"]
        count = SAMPLERS[by.name].evaluations(steps) * entry.evaluations(study.parsed(GUIDES, arm.guide))
        beside = [one.images_seen for one in study.auxiliaries(name, arm.generations).values()]
        said[name] = f"{arm.guide.name}, at most {count} evaluations a sample in {steps} steps"
        said[name] += f", and {sum(beside):,} images a generation for its further models" if beside else ""
    return said
