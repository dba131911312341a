"""Arms whose models are of labels alone, and whoever makes a sample of each label for them: what they cannot have."""

from collections.abc import Iterator

from ..core.ask import Ask
from ..core.registry import usable
from ..features import FEATURES
from ..models import MODELS
from .faults import Fault, unknown
from .file import CONTROLS
from .lineages import Lineage, of_labels
from .starts import unlabelled_real
from .study import Study

PLAIN = ("adapt", "guide", "sampler", "mark")
"""What changes a model of samples, or how it is sampled: a model of labels has nothing of it."""
DRAWN = 10_000  # rows of a population whose labels tell how many there are: one with a share of .001 is missed by e^-10


def shape_of(study: Study, model: str) -> tuple[int, ...]:
    """The shape of what a model is of: that of the study's samples, or (), of labels alone."""
    return () if model in of_labels(study.lineages.values()) else tuple(study.shape)


def drawn_faults(study: Study, there: bool) -> Iterator[Fault]:
    """What keeps labels of one arm's model from becoming samples of another's. there: whether the data can be read."""
    drawn = [study.lineages[name] for name in study.file.arms if study.lineages[name].drawn_by]
    for arm in drawn:
        wrong = [*_painter_faults(study, arm)]
        yield from wrong or _own_faults(study, arm)
        yield from (fault for name in study.file.arms for fault in _eater_faults(study, name, arm))
    if drawn:
        yield from _study_faults(study, drawn[0], there)


def _painter_faults(study: Study, arm: Lineage) -> Iterator[Fault]:
    """Arms that cannot make a sample of a label."""
    where, by = ("arms", arm.name, "drawn_by"), arm.drawn_by
    if by not in study.file.arms:
        yield Fault(where, unknown(by, study.file.arms, "arm"))
        return
    painter = study.lineages[by]
    if painter.drawn_by:
        found = "the arm itself" if by == arm.name else repr(by)
        yield Fault(where, f"found {found}, whose model is of labels alone; allowed is an arm with a model of samples")
        return
    family, options = study.family(painter.model), study.model_options(painter.model)
    if "labels" not in MODELS[family].conditions:
        able = ", ".join(one for one, kind in usable(MODELS) if "labels" in kind.conditions)
        yield Fault(where, f"found {by!r}, whose {family!r} cannot be told a label; families that can: {able}")
    elif not options.get("classes"):
        yield Fault(where, f"found {by!r}, whose model {painter.model!r} has classes: 0; say how many labels there are")
    said = [key for key in ("guide", "sampler") if getattr(painter, key)]
    said += ["sampling_bias"] if painter.sampling_bias != 1 else []
    if said:
        message = f"found {by!r} with {' and '.join(said)}; samples of labels are made by a model as it is"
        yield Fault(where, f"{message}: take an arm without")


def _own_faults(study: Study, arm: Lineage) -> Iterator[Fault]:
    """What an arm of labels cannot have, and categories that are not the labels."""
    for key in PLAIN:
        if getattr(arm, key):
            message = f"is of samples, and the model of {arm.name!r} is of labels alone; allowed is none"
            yield Fault(("arms", arm.name, key), message)
    if study.selecting(arm.name, "model") or study.selecting(arm.name, "ask"):
        message = f"a selector asks the model of the samples, and that of {arm.name!r} is of labels alone"
        yield Fault(("arms", arm.name, "select"), f"{message}; choose another selector")
    family, painter = study.family(arm.model), study.lineages[arm.drawn_by].model
    own, labels = study.model_options(arm.model).get("categories"), study.model_options(painter)["classes"]
    if "categories" not in MODELS[family].takes or own is None:
        said = f"the model of {arm.name!r} is of labels alone, as {arm.drawn_by!r} draws them: found {family!r} without"
        message = f"{said} categories; allowed is multinomial: {{categories: {labels}}}"
        yield Fault(("models", arm.model), message)
    elif own != labels:
        found = f"found {own}, but {painter!r}, which draws them, has classes: {labels}"
        yield Fault(("models", arm.model, family, "categories"), f"{found}; allowed is the same number")


def _eater_faults(study: Study, name: str, arm: Lineage) -> Iterator[Fault]:
    """Arms that would sample a model of labels anew, or take it for one of samples."""
    eater = study.lineages[name]
    if eater.model == arm.model and not eater.drawn_by:
        message = f"{arm.model!r} is of labels alone in {arm.name!r}; say who draws them here, or take another model"
        yield Fault(("arms", name, "model"), message)
    for part in eater.regime.synthetic:
        if part.draw == "resample" and (name if part.of == "self" else part.of) == arm.name:
            message = f"no new samples are made of {arm.name!r}, whose model is of labels alone; allowed: draw: stored"
            yield Fault(("arms", name, "regime"), message)


def _study_faults(study: Study, arm: Lineage, there: bool) -> Iterator[Fault]:
    """What a study with an arm of labels cannot have, and data whose labels are none or too many."""
    alone = f"{arm.name!r} is of labels alone, which only {arm.drawn_by!r} draws"
    if CONTROLS[study.file.control]:
        yield Fault(("control",), f"found {study.file.control}; {alone}: a control has nobody; say control: none")
    if study.file.calibration:
        yield Fault(("calibration",), f"{alone}: a calibration has nobody; leave it out")
    for key in ("together", "prevention"):
        if getattr(study.file, key):
            yield Fault((key,), f"{alone}, with a model that is another arm's; leave it out")
    primary = study.file.primary.extractor
    if FEATURES[primary].needs.through_model:
        message = f"found {primary!r}, which sees through an arm's own model; {arm.name!r} is of labels alone"
        yield Fault(("primary", "extractor"), f"{message}: choose a space in which all arms are measured")
    if not there:
        return
    if lacking := unlabelled_real(study):
        yield Fault(("arms", arm.name, "drawn_by"), f"a model of labels learns from those of real rows, but {lacking}")
        return
    labels = study.model_options(arm.model).get("categories")
    if study.population_name is None or not labels:
        return  # of a data set with more labels than a model has classes label_faults tells
    most = int(study.population.sample(Ask(DRAWN, 0)).labels.max()) + 1
    if most > labels:
        found = f"found {labels}, but the labels of {study.population_name!r} are 0 to {most - 1}"
        where = ("models", arm.model, study.family(arm.model), "categories")
        yield Fault(where, f"{found}; allowed are {most} or more")
