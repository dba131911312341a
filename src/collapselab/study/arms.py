"""Faults of arms: of each by itself, of what they eat of one another, and of what makes them comparable."""

import json
from collections.abc import Iterator
from typing import Any

from ..adapt import ADAPTERS
from ..compose.regimes import FromPrevious, at, fresh_before, pooled
from ..core.kinds import NOUNS
from ..models import MODELS
from ..models.asking import WIDENING
from . import sampled
from .faults import Fault, unknown
from .file import FAIRNESS
from .lineages import Lineage
from .looking import validation_rows
from .starts import unlike, weights_fault
from .study import Study

SHOWN = 10  # generations, of what differs between arms


def regime_place(study: Study, arm: str) -> tuple[str | int, ...]:
    """Where the numbers of an arm's regime stand in the file."""
    return ("arms", arm, "regime", *((study.file.arms[arm].regime.name,) if arm in study.file.arms else ()))


def lineage_faults(study: Study, there: bool = True) -> Iterator[Fault]:
    """What is wrong with an arm by itself, or with the budget of its trainings. there: whether the data can be read."""
    shape = _shape(study) if there else None
    arms, generations = study.lineages, study.file.generations
    for name, arm in arms.items():
        init, own = arm.regime.init, study.file.arms.get(name)
        where = (*regime_place(study, name), "init") if own and "init" in own.regime.options else ("init",)
        if hasattr(init, "generation") and init.generation >= max(1, generations):
            yield Fault(where, f"generation {init.generation} is not before the others")
        if hasattr(init, "weights"):
            message = weights_fault(init.weights, study.family(arm.model))
            if message := message or unlike(init.weights, arm.model, study, shape):
                yield Fault((*where, "weights"), message)
        biases, bias = {at(arm.sampling_bias, t) for t in range(generations + 1)}, MODELS[study.family(arm.model)].bias
        if max(biases) > 1 and bias not in WIDENING:
            message = f"found {max(biases):g}; of a {study.family(arm.model)} it is a {bias}" if bias else ""
            message = message or f"{arm.model!r} is a {study.family(arm.model)}, which is sampled as it is"
            yield Fault(("arms", name, "sampling_bias"), f"{message}; allowed is {'at most ' * bool(bias)}1")
        if min(biases) < 1:
            if not MODELS[study.family(arm.model)].bias:
                message = f"{arm.model!r} is a {study.family(arm.model)}, which is sampled as it is; allowed is 1"
                yield Fault(("arms", name, "sampling_bias"), message)
            options = study.model_options(arm.model)
            guided = "label_dropout" in options  # a family without it is biased by other means
            lacking = [key for key in ("classes", "label_dropout") if guided and options[key] == 0]
            if lacking:
                found = " and ".join(f"{key}: 0" for key in lacking)
                message = f"below 1 the sampler is guided by classes, but {arm.model!r} has {found}; allowed is 1"
                yield Fault(("arms", name, "sampling_bias"), message)
            if options.get("between") == 0:
                message = f"below 1 the sampler is guided, but {arm.model!r} has between: 0; allowed is 1"
                yield Fault(("arms", name, "sampling_bias"), message)
        if study.kept(name) < 1:
            yield Fault(("arms", name, "select"), f"keeps none of {study.file.samples} samples")
        for t, pool in enumerate(pooled(arm.regime, name, arm.generations)):
            weights = arm.regime.weights
            real, synthetic = pool.real and at(weights.real, t) > 0, pool.synthetic and at(weights.synthetic, t) > 0
            if t and not (real or synthetic):
                if name in study.file.arms:  # the control's size follows from theirs
                    yield Fault(("arms", name, "regime"), f"the training set of generation {t} is empty")
                break
    for arm in dict.fromkeys([*study.bases, *arms]):
        spans = [0] if arm in study.bases else range(1, arms[arm].generations + 1)
        replaced = arm in arms and arms[arm].replaced  # an adapter is trained there
        empty = [] if replaced else [t for t in spans if study.images_seen(arm, t) == 0]
        if empty and (empty != [0] or study.init_file(arm, 0, 0) is None):
            found = f"found 0 at generation {empty[0]} of {arm}"
            yield Fault(("train", "images_seen"), f"{found}; only generation 0 can do without, from init: {{weights}}")
            break
    for name in study.file.models:
        if (left_open := study.left_open(name)) and not study.file.data.split.validation:
            where = ("data", "split", "validation")
            said = f"{name!r} leaves {', '.join(left_open)} open, which generation 0 chooses on these images"
            yield Fault(where, f"found 0; {said}: say how many, or the option")
    yield from _replacement_faults(study)
    yield from _validation_faults(study)
    train = study.file.train
    if train.images_seen is not None and train.epochs is not None:
        yield Fault(("train",), "the budget is either images_seen or epochs; found both")


def _replacement_faults(study: Study) -> Iterator[Fault]:
    """Adapters in the place of the training that would not go on from the model before, or not alone."""
    for name in study.file.arms:
        arm = study.lineages[name]
        learning = [index for index, one in enumerate(arm.adapt) if ADAPTERS[one.name].instead]
        init = arm.regime.init
        if learning and init != "previous" and not (isinstance(init, FromPrevious) and init.from_ == "adapted"):
            said = f"{arm.adapt[learning[0]].name!r} takes the place of the training from generation 1 on"
            found = init if isinstance(init, str) else json.dumps(init.model_dump(by_alias=True))
            cure = f"and goes on from the model before: found init: {found}; allowed is previous"
            yield Fault(("arms", name, "adapt", learning[0]), f"{said}, {cure}")
        elif learning and learning != [0]:
            said = "one adapter takes the place of the training, and it is the first"
            wrong = next(index for index in learning if index)
            yield Fault(("arms", name, "adapt", wrong), f"{arm.adapt[wrong].name!r} stands too late: {said}")


def _validation_faults(study: Study) -> Iterator[Fault]:
    """Adapters that choose by more validation rows than there are."""
    found = study.file.data.split.validation
    for name in study.file.arms:
        for index, adapt in enumerate(study.lineages[name].adapt):
            where, chooser = ("arms", name, "adapt", index), adapt.name
            try:
                needed = validation_rows(study, adapt)
            except Exception as error:  # whatever a stranger's function does
                yield Fault(where, f"validates: {type(error).__name__}: {error}")
                continue
            if needed <= found:
                continue
            said = f"found {found}; {chooser!r} of {name!r} chooses what its options leave open on these rows, on "
            cure = f"{needed} at least: say how many, or say what it is to choose"
            if study.population_name is not None:
                said, cure = (
                    f"{chooser!r} chooses what its options leave open on validation rows, and a ",
                    ("population has none, for its real data is drawn anew; say what it is to choose"),
                )
                yield Fault(where, said + cure)
            else:
                yield Fault(("data", "split", "validation"), said + cure)


def _shape(study: Study) -> tuple[int, ...] | None:
    """The shape of the study's samples; None where the data cannot be read, of which another fault tells."""
    if not any(hasattr(arm.regime.init, "weights") for arm in study.lineages.values()):
        return None
    try:
        return tuple(study.shape)
    except (ValueError, OSError):
        return None


def eaten_faults(study: Study) -> Iterator[Fault]:
    """What one arm cannot eat of another."""
    arms = study.lineages
    for name, arm in arms.items():
        eaten = {name: arm}
        for index, part in enumerate(arm.regime.synthetic):
            where = (*regime_place(study, name), "synthetic", index)
            if part.of not in (*arms, "self"):
                yield Fault((*where, "of"), unknown(part.of, ("self", *arms), "arm"))
                continue
            other = arms[name if part.of == "self" else part.of]
            twin = next((one.name for one in eaten.values() if one.stream == other.stream and one is not other), None)
            if twin is not None:
                found = f"{other.name!r} and {twin!r} both have stream {other.stream}"
                remedy = "they would sample with the same random numbers; give one of them another stream"
                yield Fault(where[:3], f"arms that feed one another share no stream; {found}: {remedy}")
            eaten[other.name] = other
            passed = [("selector", one.name) for one in other.select]
            passed += [("transform", one.name) for one in other.transform]
            passed += [("mark", other.mark.name)] if other.mark else []
            for what, which in passed if part.draw == "resample" else []:
                found = f"{other.name!r} has the {what} {which!r}"
                yield Fault(where[:3], f"new samples of a model pass no {what}, but {found}; allowed: draw: stored")


def supply_faults(study: Study) -> Iterator[Fault]:
    """Draws that ask for more rows than there are."""
    split, generations, noun = study.file.data.split, study.file.generations, NOUNS[study.kind]
    for name, arm in study.lineages.items():
        added = ("control",) if arm.is_control else ("calibration",)
        where = ("arms", name, "regime") if name in study.file.arms else added
        pools = [one.changed for one in pooled(arm.regime, name, arm.generations)]
        if study.file.data.source is not None:
            fresh = fresh_before(arm.regime, generations + 1)
            if fresh > split.fresh and study.file.data.stream is None:
                asked = f"{generations} generations ask for {fresh} fresh {noun}"
                yield Fault((*where, "real", "fresh"), f"{asked}; the fresh split holds {split.fresh}")
            most = max((draw.count for pool in pools for draw in pool if draw.arm in ("fixed", "redrawn")), default=0)
            if most > split.train:
                yield Fault(where, f"asks for {most} real {noun} at once; the train split holds {split.train}")
        if arm.regime.resamples or name in study.yoked:  # of chance the arm's own fault tells
            continue
        for eaten in (draw for pool in pools for draw in pool if not draw.is_real):
            there = study.kept(eaten.arm)
            if eaten.count > there:
                asked = f"eats {eaten.count} samples of {eaten.arm!r} at generation {eaten.generation}"
                yield Fault(where, f"{asked}; {there} are kept (raise samples, or say draw: resample)")
                break


def fairness_faults(study: Study) -> Iterator[Fault]:
    """The rules that make arms comparable; a study that breaks one says why under ``waive``.

    Along the axes of a sweep arms are unlike on purpose: the rules are those of each of its points.
    """
    values: dict[str, dict[str, Any]] = {rule: {} for rule in FAIRNESS if rule != "sampler"}
    spans, compared = range(study.file.generations + 1), _compared(study)
    for name, arm in study.lineages.items():
        if arm.calibrates is not None:
            continue  # other numbers of images are what they are for
        if not arm.is_control or "real_only" in arm.stands_beside:  # without synthetic rows there are fewer
            values["training_set_size"][name] = study.sizes(name)
        values["images_seen"][name] = [_all_seen(study, name, t) for t in spans]
        values["init"][name] = _start(arm)
    for rule, of in values.items():
        groups = {point: {name: of[name] for name in of if name in arms} for point, arms in compared.items()}
        unlike = [point for point, found in groups.items() if len({*map(json.dumps, found.values())}) > 1]
        if unlike and rule not in study.file.waive:
            said = "; ".join(f"{name} {_brief(value)}" for name, value in groups[unlike[0]].items())
            remedy = f"make them equal, or say why not under waive: {{{rule}: reason}}"
            where = f" at {unlike[0]}" if unlike[0] else ""
            yield Fault(("arms",), f"not comparable: {FAIRNESS[rule]}; found{where} {said}; {remedy}")
        if not unlike and rule in study.file.waive:
            yield Fault(("waive", rule), f"nothing to waive: {FAIRNESS[rule]} here")
    yield from sampled.fairness_faults(study)


def _compared(study: Study) -> dict[str, set[str]]:
    """The arms that are compared with one another, with their controls: all, or in a sweep those of each point."""
    points = study.sweep.points
    if not points:
        return {"": set(study.lineages)}
    beside: dict[str, set[str]] = {}
    for name, arm in study.lineages.items():
        own = {one for of in arm.stands_beside.values() for one in of} | {arm.yoked_to} | set(arm.converges)
        for one in own & points.keys():
            beside.setdefault(one, {one}).add(name)
    found: dict[str, set[str]] = {}
    for point in points.values():
        at = [name for name, other in points.items() if other.agrees(point)]
        found[point.said] = {one for name in at for one in beside.get(name, {name})}
    return found


def _start(arm: Lineage) -> Any:
    """What the trainings of an arm start from: of an arm that adapts its models, previous ones are adapted."""
    init = arm.regime.init
    if init == "previous" or isinstance(init, FromPrevious):
        learnt = arm.replaced and len(arm.adapt) == 1  # what has learnt in the place of the training
        trained = not arm.adapt or learnt or (isinstance(init, FromPrevious) and init.from_ == "trained")
        return "previous" if trained else "previous, adapted"
    return init if isinstance(init, str) else init.model_dump(by_alias=True)


def _all_seen(study: Study, arm: str, generation: int) -> int | None:
    """The images that an arm's generation sees: its training, its adaptation, and its guide's further models."""
    seen, beside = study.images_seen(arm, generation), study.images_beside(arm, generation)
    return (seen or 0) + beside if beside else seen


def _brief(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    said = ["no budget (a closed form)" if one is None else str(one) for one in value]
    if len(set(said)) == 1:
        return f"{said[0]} at every generation"
    return f"[{', '.join(said if len(said) <= SHOWN else [*said[:SHOWN], '…', said[-1]])}]"
