"""How the arms of a study are sampled step by step: by which sampler, in how many steps, and with what beside them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..core.choice import Choice
from ..models import MODELS
from ..models.asking import in_steps
from ..samplers import SAMPLERS
from ..samplers.base import Sampling
from ..samplers.exact import converged_steps
from ..samplers.levels import Noise
from ..samplers.options import SamplerOptions
from .faults import Fault
from .file import FAIRNESS, StudyFile
from .lineages import Lineage, own_samples

if TYPE_CHECKING:
    from .study import Study

OWN = "heun"  # of a family that names no sampler of its own


def steps_through(file: StudyFile, model: str) -> bool:
    """Whether a model is sampled in steps."""
    return in_steps(MODELS[file.models[model].name].Options)


def own_sampler(options: Mapping[str, Any]) -> Choice:
    """The sampler that a model's options name, with all that they say of it."""
    name = options.get("sampler", OWN)
    fields = SAMPLERS[name].Options.model_fields
    return Choice(name, {option: options[option] for option in fields if option in options})


def as_sampled(model: Mapping[str, Any], name: str, options: SamplerOptions) -> dict[str, Any]:
    """A model's options with a sampler in the place of its own."""
    own = own_sampler(model).options
    return {key: value for key, value in model.items() if key not in own} | {"sampler": name, **options.taken()}


def noise_of(options: Mapping[str, Any]) -> Noise:
    """The noise of a model that is sampled in steps; a discrete schedule is taken for a continuous one."""
    return Noise(*(options[name] for name in ("sigma_min", "sigma_max", "rho", "steps")))


def sampler_of(study: "Study", arm: str) -> Choice | None:
    """The sampler of an arm with all its options, its own or its model's; None where it is not sampled in steps."""
    lineage = study.lineages[arm]
    if not steps_through(study.file, lineage.model):
        return None
    model = study.model_options(lineage.model)
    chosen = lineage.sampler or own_sampler(model)
    options = study.parsed(SAMPLERS, chosen).model_dump(mode="json")
    return Choice(chosen.name, options | {"steps": options["steps"] or model["steps"]})


def said_of(study: "Study", arm: str, generation: int) -> dict[str, Any]:
    """An arm's sampler as a job is told of it at a generation; empty where it is the model's own."""
    chosen = study.lineages[arm].sampler
    if chosen is None:
        return {}
    return {chosen.name: study.parsed(SAMPLERS, chosen).at(generation).model_dump(mode="json")}


def evaluations(study: "Study", arm: str) -> float:
    """How often an arm's sampler asks the network for a sample, in units of how often its model's own would."""
    lineage = study.lineages.get(arm)
    if lineage is None or lineage.sampler is None:
        return 1.0
    own = own_sampler(options := study.model_options(lineage.model))
    asked = Sampling(SAMPLERS[lineage.sampler.name], study.parsed(SAMPLERS, lineage.sampler))
    return asked.evaluations(options["steps"]) / SAMPLERS[own.name].evaluations(options["steps"])


# -- the control that is converged -------------------------------------------------------------------------------------


def converged(
    file: StudyFile, arms: Iterable[Lineage], model_options: Callable[[str], Mapping[str, Any]]
) -> list[Lineage]:
    """Beside each arm that is sampled in steps one that takes enough of them, where the study asks for such controls;
    arms that come to the same share it.

    model_options: of a model by its name, resolved. Arms of which the steps are not known have none: :func:`faults`
    tells.
    """
    found: dict[str, Lineage] = {}
    for arm in arms if file.converged else ():
        if not steps_through(file, arm.model) or (steps := enough(file, arm, model_options(arm.model))) is None:
            continue
        chosen = arm.sampler or own_sampler(model_options(arm.model))
        sampler = Choice(chosen.name, {**chosen.options, "steps": steps})
        same = repr(one := own_samples(arm, "")._replace(sampler=sampler, about=""))
        one = found.get(same, one._replace(name=f"converged_{arm.name}"))
        beside = (*one.converges, arm.name)
        about = f"{' and '.join(beside)} in {steps} steps of {chosen.name}, which are enough"
        found[same] = one._replace(about=about, converges=beside)
    return list(found.values())


def enough(file: StudyFile, arm: Lineage, options: Mapping[str, Any]) -> int | None:
    """Steps after which twice as many change the variance of normal data by no more than ``converged_within``.

    The data have the standard deviation for which the model is scaled, sigma_data; 1 where it says none. Where it knows
    some noise levels alone, and its sampler takes those, there are no more steps than they. None where it is not known.
    """
    chosen = arm.sampler or own_sampler(options)
    sampler = SAMPLERS[chosen.name]
    said = sampler.Options.model_validate(dict(chosen.options)).at(arm.generations)
    variance = options.get("sigma_data", 1.0) ** 2
    try:
        steps = converged_steps(
            Sampling(sampler, said, chosen.name), noise_of(options), variance, file.converged_within
        )
    except ValueError:  # it has nowhere to go: faults tells
        return None
    discrete = options.get("parameterisation") == "ddpm" and sampler.spacing == "time"
    return min(steps or options["timesteps"], options["timesteps"]) if discrete else steps


# -- what is wrong, and what is to be known ----------------------------------------------------------------------------


def faults(study: "Study") -> Iterator[Fault]:
    """What keeps arms from being sampled as they say, or from having the controls that the study asks for."""
    for name, arm in study.file.arms.items():
        stepwise, where = steps_through(study.file, arm.model), ("arms", name, "sampler")
        if arm.sampler and not stepwise:
            allowed = ", ".join(one for one, family in dict.items(MODELS) if in_steps(family.Options))
            found, own = f"{study.family(arm.model)!r} is not sampled step by step", study.model_options(arm.model)
            if "steps" in own:  # it is, and by samplers of its own
                found = f"{study.family(arm.model)!r} has samplers of its own, which options of {arm.model!r} name"
            yield Fault(where, f"found {arm.sampler.name!r}, but {found}; families that take one: {allowed}")
        elif arm.sampler and (astray := list(_levels_faults(study, name))):
            yield from astray
        elif study.file.converged and stepwise and name not in study.converged:
            chosen = (arm.sampler or own_sampler(study.model_options(arm.model))).name
            message = f"{name!r} is sampled by {chosen!r}, of which theory does not say how many steps are enough"
            yield Fault(("converged",), f"{message}; leave converged out, or take another sampler")
    for name, control in study.converged.items():
        if study.awaits_ballots(name):
            yield Fault(("converged",), f"{name!r} waits for people, who would have to judge {control!r} as well")
    if study.file.converged and not any(steps_through(study.file, arm.model) for arm in study.file.arms.values()):
        yield Fault(("converged",), "no arm is sampled step by step: there is nothing to converge; leave it out")


def _levels_faults(study: "Study", name: str) -> Iterator[Fault]:
    """Generations in which an arm's sampler has nowhere to go."""
    chosen, options = study.file.arms[name].sampler, study.model_options(study.file.arms[name].model)
    said = study.parsed(SAMPLERS, chosen)
    for generation in range(study.file.generations + 1):
        try:
            levels = Sampling(SAMPLERS[chosen.name], said.at(generation), chosen.name).levels(noise_of(options))
            discrete = options.get("parameterisation") == "ddpm" and SAMPLERS[chosen.name].spacing == "time"
            if discrete and len(levels) - 1 > options["timesteps"]:
                raise ValueError(f"steps: found {len(levels) - 1}, allowed are 2 to timesteps = {options['timesteps']}")
        except ValueError as error:
            option, _, rest = str(error).partition(": ")
            yield Fault(("arms", name, "sampler", chosen.name, option), f"{rest} (generation {generation})")
            return


def differing(study: "Study") -> dict[str, Choice]:
    """The samplers of the study's own arms, where they are not all the same; empty where they are."""
    found = {arm: chosen for arm in study.file.arms if (chosen := sampler_of(study, arm))}
    return found if len({json.dumps(one.said, sort_keys=True) for one in found.values()}) > 1 else {}


def fairness_faults(study: "Study") -> Iterator[Fault]:
    """Arms that say themselves that they are sampled otherwise than others, without a reason."""
    apart = differing(study)
    if "sampler" in study.file.waive and not apart:
        yield Fault(("waive", "sampler"), f"nothing to waive: {FAIRNESS['sampler']} here")
    if apart and "sampler" not in study.file.waive and any(study.file.arms[arm].sampler for arm in apart):
        remedy = "make them equal, or say why not under waive: {sampler: reason}"
        yield Fault(("arms",), f"not comparable: {FAIRNESS['sampler']}; found {listed(apart)}; {remedy}")


def remarks(study: "Study") -> Iterator[str]:
    """What whoever reads a comparison has to know: models that are sampled otherwise, by their own options."""
    apart = differing(study)
    if apart and "sampler" not in study.file.waive:
        yield (
            f"the arms are not sampled alike: {listed(apart)}. A sampler changes the variance by itself, and a loop "
            "does so in every generation (docs/samplers.md); say sampler: in each arm, or converged: true"
        )


def listed(samplers: Mapping[str, Choice]) -> str:
    """Samplers of arms in words: each with its steps, and what it is told beside its defaults."""
    words = []
    for arm, chosen in samplers.items():
        usual = SAMPLERS[chosen.name].Options().model_dump(mode="json") | {"steps": chosen.options["steps"]}
        beside = [f"{name} {value}" for name, value in chosen.options.items() if value != usual[name]]
        words.append(", ".join([f"{arm} {chosen.name} in {chosen.options['steps']} steps", *beside]))
    return "; ".join(words)
