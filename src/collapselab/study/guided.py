"""What keeps an arm's guide from steering its model."""

from collections.abc import Iterator

from pydantic import ValidationError

from ..compose.regimes import at
from ..guides import GUIDES
from ..models import MODELS
from ..samplers import SAMPLERS
from .faults import Fault, faults_of
from .lineages import Lineage
from .sampled import own_sampler
from .study import Study


def unguided(study: Study, arm: Lineage) -> Iterator[Fault]:
    """The faults of a guide that does not suit the arm's model, or whose further model cannot be."""
    guide, where = arm.guide, ("arms", arm.name, "guide")
    entry, options = GUIDES[guide.name], study.parsed(GUIDES, guide)
    biased = any(at(arm.sampling_bias, generation) < 1 for generation in range(arm.generations + 1))
    model = study.model_options(arm.model)
    if chosen := arm.sampler:
        own = own_sampler(model).options
        model = {name: value for name, value in model.items() if name not in own}
        model |= {"sampler": chosen.name, **study.parsed(SAMPLERS, chosen).taken()}
    for said in entry.unsuited(options, model, biased):
        yield Fault(where, f"{guide.name!r} {said.format(repr(arm.model))}")
    family = MODELS[study.family(arm.model)]
    for role, one in study.auxiliaries(arm.name, 0).items():
        if not one.changed:
            continue
        said = dict(study.file.models[arm.model].options) | dict(one.changed)
        try:
            family.Options.model_validate(said).check_kind(study.kind)
        except ValidationError as error:
            yield from faults_of(error, family.Options, (*where, guide.name, role))
        except (ValueError, TypeError) as error:
            yield Fault(where, f"{guide.name!r}: {role}: {error}")
