"""What a study costs, counted before it is spent: images that its models see and make."""

from ..core.kinds import PICTURED
from .sampled import evaluations
from .study import Study
from .throughput import Work


def work(study: Study) -> dict[str, Work]:
    """The images that each model sees in training and makes, over all arms, seeds and generations.

    A closed form sees its training set once. A sample for which an arm's sampler asks the network twice as often as
    the model's own would counts as two.
    """
    trained, sampled = dict.fromkeys(study.file.models, 0), dict.fromkeys(study.file.models, 0)
    for arm, _, generation in [*study.base_cells(), *(cell for cell in study.all_cells() if cell[2])]:
        lineage, budget = study.lineage(arm), study.images_seen(arm, generation)
        rows = study.sizes(lineage.name)[generation]
        trained[lineage.model] += rows if budget is None else budget
    for arm, seed, generation in study.all_cells():
        model, beside = study.lineages[arm].model, study.auxiliaries(arm, generation).values()
        trained[model] += study.images_beside(arm, generation)
        steered = [name for name in study.measured_sets(arm) if name != "released"]  # which are those that were sampled
        steered += ["marked"] if study.lineages[arm].marks == "noise" else []
        pictures = pictured(study) if study.is_own(seed) else 0
        made = len(steered) * study.file.samples + pictures
        sampled[model] += round(made * evaluations(study, arm)) + sum(one.samples for one in beside)
    return {name: Work(trained[name], sampled[name]) for name in study.file.models}


def longest(study: Study) -> dict[str, tuple[Work, Work]]:
    """The work of the longest job that trains each model, and of one that samples it.

    What an adapter or a guide trains beside it are jobs of their own.
    """
    most = dict.fromkeys(study.file.models, 0)
    for arm, generation in dict.fromkeys((arm, t) for arm, _, t in [*study.base_cells(), *study.all_cells()]):
        lineage, budget = study.lineage(arm), study.images_seen(arm, generation)
        seen = study.sizes(lineage.name)[generation] if budget is None else budget
        most[lineage.model] = max(most[lineage.model], seen)
    return {name: (Work(seen, 0), Work(0, study.file.samples)) for name, seen in most.items()}


def pictured(study: Study) -> int:
    """Samples in the picture of a generation; 0 where there are no pictures."""
    return study.file.grid if study.kind in PICTURED and not study.file.together else 0
