"""What a reader is told of a study: its size, its data, its models and its arms."""

import json
from collections import Counter
from typing import Any

from ..core.kinds import NOUNS
from ..data.planted import Planted
from .budget import pictured, work
from .jobs import every
from .storage import disk
from .study import Study
from .sweep import described


def totals(study: Study) -> dict[str, str]:
    """What the whole study comes to, in words and numbers."""
    cells, bases = list(study.all_cells()), list(study.base_cells())
    trained = [*bases, *(cell for cell in cells if cell[2])]
    budgets = [study.images_seen(arm, generation) or 0 for arm, _, generation in trained]
    apart = sum(study.images_beside(arm, generation) for arm, _, generation in cells)
    own = [cell for cell in cells if study.is_own(cell[1])]
    beside_seeds = len({cell[:2] for cell in cells}) - len({cell[:2] for cell in own})
    pictures = len(own) * pictured(study)
    sampled = sum(todo.sampled for todo in work(study).values()) - pictures
    beside = {
        "adaptations": sum(len(study.lineages[arm].adapters(generation)) for arm, _, generation in cells),
        "further models": sum(len(study.auxiliaries(arm, generation)) for arm, _, generation in cells),
    }
    further = " and ".join(f"{count} {what}" for what, count in beside.items() if count)
    kinds = " and ".join(what for what, count in beside.items() if count)
    seen = f"{sum(budgets) + apart:,}" if sum(budgets) + apart else "closed form"
    return {
        "arms (with the control)": str(len(study.lineages)),
        **{f"  sweep of {arm}": said for arm, said in described(study.sweep.points).items()},
        "lineages": str(len({cell[:2] for cell in cells}))
        + (f", of which {beside_seeds} only for a table of variances" if beside_seeds else ""),
        "trainings": f"{len(trained)}, of which {len(bases)} of generation 0 are shared by arms"
        + (f", and {further}" if further else ""),
        "images seen in training": seen + (f", of which {apart:,} for {kinds}" if apart else ""),
        "samples": f"{sampled:,}" + (f", and {pictures:,} for pictures" if pictures else ""),
        "jobs": said_of_jobs(study),
        "disk": said_of_disk(study),
    }


def said_of_jobs(study: Study) -> str:
    """How many jobs the workflow has for a study, and of which verbs most."""
    counted = Counter(verb for verb, _ in every(study) if verb != "compose")  # which is done in the job that trains
    most = ", ".join(f"{many:,} {verb}" for verb, many in counted.most_common(3))
    return f"{counted.total():,}, of which {most}"


def said_of_disk(study: Study) -> str:
    """What a study takes on disk, of what, and what its ``keep`` saves."""
    found = disk(study)
    parts = [f"{kind} {_mib(size)}" for kind, size in found.bytes.items() if size >= 2**20 / 2]
    said = _mib(found.total) + (f" ({', '.join(parts)})" if len(parts) > 1 else "")
    said += f", and the features of {' and '.join(found.unknown)}" if found.unknown else ""
    return said + (f"; {_mib(found.saved)} less once gc has thinned it" if found.saved else "")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"


def used(study: Study) -> dict[str, str]:
    """How much data each arm has used by the last generation."""
    return {arm: amounts[-1].said for arm, amounts in study.used.items()}


def describe_controls(study: Study) -> list[str]:
    """What the controls of each kind have in common with the arms that they stand beside."""
    said = []
    if only := study.controls_of("real_only"):
        sizes = {arm: study.sizes(arm) for arm in {*only, *only.values()}}
        short = [arm for arm, control in only.items() if sizes[arm] != sizes[control]]
        fewer = (
            f", or all {study.file.data.split.train:,} {NOUNS[study.kind]} where {' and '.join(short)} had more"
            if short
            else ""
        )
        said.append(f"every arm stands beside a control that has its total size in real data{fewer}")
    if study.controls_of("real_supply"):
        said.append("every arm stands beside a control that has the real rows that it used by then, and no others")
    return said


def shared_by_seeds(study: Study) -> list[str]:
    """What all seeds have in common, so that their spread says nothing of it."""
    data, split, vary = study.file.data, study.file.data.split, study.file.seeds_vary
    found = []
    if study.population_name is None:
        found += [
            f"one split of the data (split seed {data.split_seed})",
            f"its {split.held_out:,} held-out {study.kind}",
        ]
        if study.file.initial.real == split.train:
            found.append(f"the {split.train:,} {study.kind} of generation 0")
    elif not study.file.together:
        found.append(f"{split.held_out:,} held-out draws")
    found += [f"one {name}, learnt once" for name in study.trained_extractors]
    found += ["the random numbers of training"] if not vary.training else []
    return found + (["the random numbers of sampling"] if not vary.sampling else [])


def describe_data(study: Study) -> str:
    """One line on the real data."""
    data, split = study.file.data, study.file.data.split
    if study.population_name is not None:
        return f"a known {study.population_name} population, drawn anew for each seed; {split.held_out} held-out draws"
    parts = f"{split.train} to train on, {split.held_out} held out, {split.fresh} fresh"
    parts += f", {split.validation} for validation" if split.validation else ""
    rare = ", ".join(f"class {label} thinned to a share of {share:g}" for label, share in data.rare.items())
    rare += f"{'; ' if rare else ''}{planted(data.planted)}" if data.planted else ""
    seed = f"split seed {data.split_seed}{f'; {rare}' if rare else ''}"
    return f"{study.origin.name}: {parts} ({seed}). {study.dataset.citation}"


def planted(logo: Planted) -> str:
    """A planted logo in words."""
    where, side = logo.corner.replace("_", " "), f"{logo.size} x {logo.size} pixels"
    return f"a logo of {side} at the {where} of a share of {logo.share:g} of what trainings eat"


def describe_model(study: Study, model: str) -> str:
    """One line on a model."""
    said = study.file.models[model].options
    return study.family(model) + "".join(f", {key} {value}" for key, value in said.items())


def describe_arm(study: Study, arm: str) -> dict[str, Any]:
    """An arm's options, flat, as they differ between arms."""
    lineage = study.lineages[arm]
    in_file = study.file.arms.get(arm)
    kind = next(iter(lineage.stands_beside), "real_only")
    role = {"control": True} if lineage.is_control else {"calibration": lineage.calibrates}
    said = in_file.model_dump(mode="json", exclude_unset=True) if in_file else role
    point = study.sweep.points.get(arm)
    if point and point.at:
        said |= {"copy_of": point.arm} | {f"at.{axis}": value for axis, value in point.at.items()}
    regime = lineage.regime.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    model = study.model_options(lineage.model)
    return said | {
        "regime": json.dumps(said.get("regime", kind)),
        "composition": json.dumps(regime, sort_keys=True),
        "sampling_bias": json.dumps(lineage.sampling_bias),
        "family": study.family(lineage.model),
        **{f"model.{key}": value for key, value in model.items()},
    }
