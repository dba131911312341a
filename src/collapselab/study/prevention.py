"""Measures against collapse at one budget: what each arm spends, counted, and what keeps them from being compared."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..adapt import ADAPTERS
from ..adapt.neon import NeonOptions
from ..compose.regimes import at, fresh_before
from ..core.choice import Choice
from ..core.spent import Spent
from ..features import FEATURES
from ..guides import GUIDES
from ..metrics import METRICS
from ..metrics.parts import several
from ..samplers import SAMPLERS
from ..select import SELECTORS
from ..select.judging import Judging
from .faults import Fault, unknown
from .file import BUDGETS
from .looking import validated
from .sampled import sampler_of
from .study import Study


def neon_samples(options: NeonOptions, validation: int) -> int:
    """Own samples that Neon makes: those of the second model, and where w is chosen, at most those of every w tried."""
    tried = 0 if options.weight is not None else 2 + len(options.weights)
    return options.samples + tried * validation


OWN_SAMPLES: Mapping[str, Callable[[Any, int], int]] = {"neon": neon_samples}
"""Adapter -> ``f(options, validation rows)``, the own samples that it makes, of those of which that is known."""


# -- what an arm spends ------------------------------------------------------------------------------------------------


def spent(study: Study, arm: str) -> Spent:
    """What one lineage of an arm spends over all its generations."""
    spans, discarded = range(study.file.generations + 1), study.file.samples - study.kept(arm)
    return Spent(
        images=sum(images_of(study, arm, generation) for generation in spans),
        real=real_of(study, arm),
        evaluations=sum(evaluations_of(study, arm, generation) for generation in spans),
        judgements=judgements_of(study, arm) * len(spans),
        kept=max(sum(draw.count for draw in study.recipe(arm, t).draws) for t in spans),
        discarded=discarded * len(spans) if study.selects(arm) else 0,
    )


def images_of(study: Study, arm: str, generation: int) -> int:
    """The images that a generation sees; of a formula the rows that it is fitted to."""
    seen = study.images_seen(arm, generation)
    return (study.sizes(arm)[generation] if seen is None else seen) + study.images_beside(arm, generation)


def real_of(study: Study, arm: str) -> int:
    """The distinct real rows that an arm has met by the last generation, or that somebody in it has looked at.

    Who looks through features sees the whole train split; fixed and redrawn rows are a part of it. Validation rows are
    further ones. Of a population they see rows of their own, which no training set has.
    """
    used = study.used[arm][-1].real
    if study.population_name is not None:
        return used + shown(study, arm)
    fresh = fresh_before(study.lineages[arm].regime, study.file.generations + 1)
    split = study.file.data.split
    looked = split.train if looks_at_real(study, arm) else 0
    chosen = bool(validated(study, arm) or study.left_open(study.lineages[arm].model))
    return max(used, looked + fresh) + (split.validation if chosen else 0)


def shown(study: Study, arm: str) -> int:
    """The real rows that a selector, a transform or an adapter of an arm is shown, and that it was not trained on.

    Of a population they are as many as are held out, drawn for that alone; of a data set the rest of its train split.
    """
    if not looks_at_real(study, arm):
        return 0
    split, used = study.file.data.split, study.used[arm][-1]
    if study.population_name is not None:
        return split.held_out
    return max(0, split.train - used.fixed - used.redrawn)


def shown_in_words(study: Study) -> dict[str, str]:
    """arm -> how many real rows it was shown beside those that it was trained on, and to what of it."""
    told = {}
    for arm in study.used:
        looks = {
            "selector": study.read_by(arm) or study.selecting(arm, "train"),
            "transform": study.changed_by(arm) or study.transforming(arm, "train"),
            "adapter": study.adapted_by(arm),
        }
        whom = " and ".join(name for name, there in looks.items() if there)
        if whom and (rows := shown(study, arm)):
            told[arm] = f"{rows:,} further real rows were shown to its {whom}"
    return told


def looks_at_real(study: Study, arm: str) -> bool:
    """Whether a selector, a transform or an adapter of an arm is shown the train split."""
    read = (*study.read_by(arm), *study.changed_by(arm), *study.adapted_by(arm))
    return bool(read) or study.selecting(arm, "train") or study.transforming(arm, "train")


def asked_for(study: Study, arm: str, guided: bool = True) -> int:
    """How often networks are asked for one sample of an arm: at each level each of them, and 1 of a formula."""
    lineage, by = study.lineages[arm], sampler_of(study, arm)
    times = 1 if by is None else SAMPLERS[by.name].evaluations(by.options["steps"])
    if guided and lineage.guide:
        return times * GUIDES[lineage.guide.name].evaluations(study.parsed(GUIDES, lineage.guide))
    return times


def evaluations_of(study: Study, arm: str, generation: int) -> int:
    """How often networks are asked to make the samples of a generation, and those that something else learns from.

    What is drawn to be measured alone counts for nothing, and so do pictures. A sampling bias asks a network with
    classes twice.
    """
    lineage = study.lineages[arm]
    twice = at(lineage.sampling_bias, generation) != 1 and study.model_options(lineage.model).get("classes", 0) > 0
    plain = asked_for(study, arm, guided=False) * (1 + twice)
    again = study.selecting(arm, "ask")  # a selector that makes the samples once more
    found = study.file.samples * (asked_for(study, arm) * (1 + twice) + again * plain)
    own = sum(one.samples for one in study.auxiliaries(arm, generation).values() if one.on == "own")
    for one in lineage.adapters(generation):
        own += own_samples(study, one)
    recipe = study.recipe(arm, generation)
    own += sum(draw.count for draw in recipe.draws if not draw.is_real) if recipe.resamples else 0
    return found + own * plain


def own_samples(study: Study, adapt: Choice) -> int:
    """The own samples that an adapter makes, as far as that is known: :func:`uncounted` tells of the others."""
    count = OWN_SAMPLES.get(adapt.name)
    options = study.parsed(ADAPTERS, adapt)
    validation = study.file.data.split.validation if ADAPTERS[adapt.name].validates(options) else 0
    return count(options, validation) if count else 0


def judgements_of(study: Study, arm: str) -> int:
    """First answers in one round of an arm's judges: of every sample that is judged as many as judge it."""
    count = 0
    for one in study.lineages[arm].select:
        options = study.parsed(SELECTORS, one)
        if isinstance(options, Judging):
            count += options.judged(study.file.samples) * options.overlap
    return count


# -- what an arm does --------------------------------------------------------------------------------------------------


def measures(study: Study, arm: str) -> tuple[str, ...]:
    """What an arm does that the arm without a measure does not, by the names that recommendations know."""
    against = study.file.prevention.against
    one, plain = study.lineages[arm], study.lineages[against]
    found = [_selecting(choice) for choice in one.select]
    found += ["guide"] * bool(one.guide) + ["adapter"] * bool(one.adapt)
    if sampler_of(study, arm) != sampler_of(study, against) and not found:
        found.append("sampler")
    found += _composing(study, arm)
    spans = range(study.file.generations + 1)
    if any(images_of(study, arm, t) < images_of(study, against, t) for t in spans):
        found.append("stopping")
    biased = one.sampling_bias != plain.sampling_bias
    return tuple(dict.fromkeys(found + ["bias"] * biased + ["transform"] * bool(one.transform)))


def _selecting(choice: Choice) -> str:
    needs = SELECTORS[choice.name].needs
    if needs.ballots:
        return "taught" if dict(choice.options).get("training", True) else "untaught"
    return "purge" if needs.mark else "chance" if choice.name == "random" else "filter"


def simulates(study: Study, arm: str) -> bool:
    """Whether an arm's judges are simulated: what they find follows from what the study says that they see."""
    return any(
        "simulated" in dict(one.options) for one in study.lineages[arm].select if SELECTORS[one.name].needs.ballots
    )


def _composing(study: Study, arm: str) -> list[str]:
    """What an arm does to its training sets."""
    regime, last = study.lineages[arm].regime, study.file.generations
    real, weights = regime.real, regime.weights

    def ever(count: Any) -> bool:
        return any(at(count, generation) for generation in range(1, last + 1))

    found = [name for name in ("fresh", "redrawn", "fixed") if ever(getattr(real, name))]
    found = ["fresh" if name == "fresh" else "kept" for name in found]
    found += {"accumulate": ["accumulation"], "subsample": ["subsampling"]}.get(regime.pool.mode, [])
    uneven = any(at(weights.real, t) != at(weights.synthetic, t) for t in range(1, last + 1))
    return (["weights"] if uneven else []) + found


# -- what is wrong -----------------------------------------------------------------------------------------------------


def faults(study: Study) -> Iterator[Fault]:
    """Names of a comparison that are none, and arms that spend more than the one without a measure, or unlike it."""
    said = study.file.prevention
    if said is None:
        yield from (
            Fault(("waive", rule), f"nothing to waive: {words}, which is asked of studies with prevention alone")
            for rule, words in BUDGETS.items()
            if rule in study.file.waive
        )
        return
    wrong = [*_names(study), *_endpoints(study), *uncounted(study)]
    yield from wrong
    if not wrong:
        yield from _budgets(study)


def _names(study: Study) -> Iterator[Fault]:
    said, arms = study.file.prevention, study.file.arms
    for key, name in (("against", said.against), ("yardstick", said.yardstick)):
        if name is not None and name not in arms:
            yield Fault(("prevention", key), unknown(name, arms, "arm"))
    if said.yardstick == said.against:
        yield Fault(("prevention", "yardstick"), f"{said.against!r} is the arm without a measure; name another arm")
    if not [arm for arm in arms if arm not in (said.against, said.yardstick)]:
        yield Fault(("prevention",), "compares measures with an arm without one; found no further arm")
    if said.against in arms and (does := measures(study, said.against)):
        message = f"{said.against!r} is a measure itself ({', '.join(does)}); name an arm without one"
        yield Fault(("prevention", "against"), message)
    if said.fidelity == said.diversity:
        yield Fault(("prevention", "diversity"), "is the same number as fidelity; name another metric")
    if study.file.generations < 1:
        yield Fault(("generations",), "found 0; what prevents collapse shows in later generations: say 1 or more")


def _endpoints(study: Study) -> Iterator[Fault]:
    measured = {one.name for one in study.file.metrics}  # of which some may be none that there is
    for key in ("fidelity", "diversity"):
        one, where = getattr(study.file.prevention, key), ("prevention", key)
        if one.metric not in METRICS or one.extractor not in FEATURES:
            registry, name = (METRICS, one.metric) if one.metric not in METRICS else (FEATURES, one.extractor)
            yield Fault(where, unknown(name, registry))
            continue
        metric = METRICS[one.metric]
        if one.metric not in measured or one.extractor not in study.measured_in:
            yield Fault(where, f"{one.metric!r} in {one.extractor!r} is not among what the study measures")
        elif not metric.suits(one.extractor):
            yield Fault(where, f"{one.metric!r} is not measured in {one.extractor!r}")
        elif not FEATURES[one.extractor].tells(metric.reads, study.kind):
            does = f"reads {metric.reads}, which {one.extractor!r} does not tell from {study.kind}"
            yield Fault(where, f"{one.metric!r} {does}")
        elif several(metric) or metric.better is None:
            yield Fault(where, f"{one.metric!r} is no single number that is better when higher or lower")


def uncounted(study: Study) -> Iterator[Fault]:
    """Adapters of which it is not known how many own samples they make: an arm with one would seem to cost less."""
    for arm in study.file.arms:
        for index, one in enumerate(study.lineages[arm].adapt):
            if one.name not in OWN_SAMPLES:
                allowed = ", ".join(OWN_SAMPLES)
                message = f"of {one.name!r} nobody has counted the own samples that it makes; allowed are {allowed}"
                yield Fault(("arms", arm, "adapt", index), f"{message}, or a study without prevention")


def _budgets(study: Study) -> Iterator[Fault]:
    """Arms that spend more than the budget, which no reason excuses, and those that spend less without one."""
    against, spans = study.file.prevention.against, range(study.file.generations + 1)
    counted: dict[str, dict[str, Any]] = {
        "images_seen": {arm: [images_of(study, arm, t) for t in spans] for arm in study.file.arms},
        "real_rows": {arm: [real_of(study, arm)] for arm in study.file.arms},
        "evaluations": {arm: [evaluations_of(study, arm, t) for t in spans] for arm in study.file.arms},
    }
    for rule, found in counted.items():
        budget = found[against]
        for arm, own in found.items():
            if any(one > most for one, most in zip(own, budget, strict=True)):
                said = f"{WORDS[rule]}: {arm} spends {_said(own)}, and {against}, whose spending is the budget of all,"
                yield Fault(("arms", arm), f"{said} {_said(budget)}; let it spend as much or less")
        less = {arm: own for arm, own in found.items() if own != budget}
        if less and rule in BUDGETS and rule not in study.file.waive:
            listed = "; ".join(f"{arm} {_said(own)}" for arm, own in less.items())
            remedy = f"make them equal, or say why not under waive: {{{rule}: reason}}"
            yield Fault(
                ("arms",), f"not comparable: {BUDGETS[rule]}; found {against} {_said(budget)}, {listed}; {remedy}"
            )
        if not less and rule in BUDGETS and rule in study.file.waive:
            yield Fault(("waive", rule), f"nothing to waive: {BUDGETS[rule]} here")


WORDS = {
    "images_seen": "images seen in training",
    "real_rows": "real rows",
    "evaluations": "evaluations of networks to make samples",
}


def _said(numbers: list[int]) -> str:
    words = [f"{one:,}" for one in numbers]
    if len(set(words)) == 1:
        return words[0] + (" a generation" if len(words) > 1 else "")
    return json.dumps(numbers)
