"""Several adapters of one model, one after the other: how they are told, what each needs, and what of them is kept."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import typer

from ..adapt import ADAPTERS
from ..adapt.base import Adapted, Adapter, Given
from ..core.errors import Damaged
from ..core.run import Run
from ..core.sets import SampleSet
from ..machine import processes
from ..models.files import write_model
from ..models.suited import cannot
from ..rewards.asking import looked_through
from ..store import kept, provenance
from ..verbs import adapt as verb
from .inputs import model_in
from .options import chosen, json_of, pairs, parsed

logger = logging.getLogger(__name__)


class Asked(NamedTuple):
    """An adapter by its name, with its options, and as they were said."""

    name: str
    entry: Adapter
    options: Any
    said: Mapping[str, Any]


def asked_of(adapters: Sequence[str], options: Sequence[str]) -> list[Asked]:
    """The adapters in their order. options: of each as JSON; none at all where all are as they come."""
    texts = list(options) or ["{}"] * len(adapters)
    if len(texts) != len(adapters):
        said = f"found {len(texts)} for {len(adapters)} adapters ({', '.join(adapters)})"
        raise typer.BadParameter(f"{said}; allowed is one for each, in their order, or none", param_hint="--options")
    several, found = len(adapters) > 1, []
    for name, text in zip(adapters, texts, strict=True):
        entry, option = chosen(ADAPTERS, name, "--adapter"), f"--options of {name}" if several else "--options"
        found.append(Asked(name, entry, parsed(entry.Options, text, option), json_of(text, option, dict)))
    return found


def images_of(steps: Sequence[Asked]) -> int:
    """The images that adapters see together."""
    return sum(one.entry.images(one.options) for one in steps)


def said_of(steps: Sequence[Asked]) -> Any:
    """The adapters as a lineage has them: ``{name: options}``, or a list of these."""
    told = [{one.name: one.said} for one in steps]
    return told if len(told) > 1 else told[0]


def expect_needed(
    steps: Sequence[Asked], extractors: list[str], validation: Path | None, ancestors: int, earlier: int = 0
) -> None:
    """Raise BadParameter unless adapters are handed just what they need."""
    through = {name for one in steps for name in looked_through(one.entry, one.options)}
    names = list(pairs(extractors, "--extractor"))
    who = "the adapter" if len(steps) == 1 else "the adapters"
    if sorted(names) != sorted(through):
        said = f"found {', '.join(names) or 'none'}; looked through are {', '.join(sorted(through)) or 'none'}"
        raise typer.BadParameter(f"{said} (NAME=WEIGHTS, as learn writes them)", param_hint="--extractor")
    if ancestors and not any(one.entry.needs.ancestors for one in steps):
        raise typer.BadParameter(f"found {ancestors}; {who} can make no use of them", param_hint="--ancestor")
    if earlier and not any(one.entry.needs.earlier for one in steps):
        raise typer.BadParameter(f"found {earlier}; {who} can make no use of them", param_hint="--earlier")
    if not earlier and (past := [one.name for one in steps if one.entry.needs.earlier]):
        said = f"found none; {' and '.join(dict.fromkeys(past))} must have them, to know what is to be held"
        said += ": say what the model was trained on until now, one for each training"
        raise typer.BadParameter(said, param_hint="--earlier")
    choose = [one.name for one in steps if one.entry.validates(one.options)]
    if bool(choose) != (validation is not None):
        said = f"{who} can make no use of it"
        if choose:
            said = (
                f"{' and '.join(choose)} must have it, to choose what options leave open: real rows beside --training"
            )
        raise typer.BadParameter(f"found {validation or 'nothing'}; {said}", param_hint="--validation")


def expect_suited(steps: Sequence[Asked], model: Any, family: str) -> None:
    """Raise BadParameter unless adapters work with a model."""
    for one in steps:
        for asked in one.entry.asks:
            if message := cannot(one.name, family, asked):
                raise typer.BadParameter(message, param_hint="--model")
        if message := one.entry.fault(type(model), one.options):
            hint = f"--options of {one.name}" if len(steps) > 1 else "--options"
            raise typer.BadParameter(message, param_hint=hint)


def expect_rows(steps: Sequence[Asked], validation: SampleSet | None) -> None:
    """Raise BadParameter for fewer validation rows than an adapter needs: it would see nothing, and say nothing."""
    for one in steps:
        needed = one.entry.validates(one.options)
        if needed and validation is not None and len(validation) < needed:
            said = f"found {len(validation)} rows; {one.name} needs {needed} at least"
            raise typer.BadParameter(said, param_hint="--validation")


def source_of(family: str, steps: Sequence[Asked], roots: Sequence[str]) -> str:
    """The hash of the source of adaptations."""
    adapters = provenance.entries("adapt:ADAPTERS", [one.name for one in steps])
    return provenance.source_hash(*provenance.entries("models:MODELS", [family]), *adapters, *roots)


class Plan(NamedTuple):
    """Adaptations as they run, and where what each has made is kept until all are done."""

    steps: list[verb.Step]
    kept: "Kept"


def planned(
    steps: Sequence[Asked],
    run: Run,
    seeds: Sequence[int],
    about: Mapping[str, Any],
    source: Mapping[str, Any],
    family: str,
) -> Plan:
    """The adaptations with their runs: one alone has the checkpoint of the job, of several each has a folder in it.

    about: what the training of each is made of beside its adapter; source: what else the result of a step hangs on.
    """
    several, found, before, identities = len(steps) > 1, [], [], []
    for index, (one, seed) in enumerate(zip(steps, seeds, strict=True)):
        beside: dict[str, Any] = {"adapter": one.name, "options": one.options.model_dump(mode="json"), **about}
        beside |= {"after": list(before)} if before else {}
        folder = run.checkpoint / f"step{index}" if several else run.checkpoint
        own = replace(run, seed=seed, checkpoint=folder, beside=beside)
        found.append(verb.Step(one.name, one.entry, one.options, own))
        before.append({one.name: beside["options"]})
        identities.append(kept.identity(beside=beside, seeds=list(seeds[: index + 1]), **source))
    return Plan(found, Kept(run.checkpoint, family, identities))


class Kept(NamedTuple):
    """What steps have made, in the folder of a job's checkpoint, which goes when the job is done."""

    folder: Path
    family: str
    identities: Sequence[str]

    def read(self, index: int) -> Adapted | None:
        """What a step has made of just this, if it is there and whole."""
        path = self._path(index)
        if not path.exists():
            return None
        try:
            model, metadata = model_in(path)
        except Damaged as damage:
            logger.warning("finished step not used: %s", damage)
            return None
        if metadata["lineage"].get("identity") != self.identities[index]:
            logger.warning("finished step not used: %s: it is of another adaptation", path)
            return None
        return Adapted(model, metadata["lineage"]["facts"])

    def write(self, index: int, made: Adapted) -> None:
        """Keep what a step has made; of the last the job's own file is made at once."""
        if index + 1 < len(self.identities) and processes.is_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            told = {"identity": self.identities[index], "facts": dict(made.facts)}
            write_model(self._path(index), self.family, made.model, told)

    def _path(self, index: int) -> Path:
        return self.folder / f"step{index}.safetensors"


def worked_through(
    plan: Plan, model: Any, shown: Given, tell: Callable[[int, float], bool], bias: float, sampler: Any
) -> Adapted:
    """The adapted model and its facts, of several adapters a list of each one's. tell: is told of progress."""
    steps = [one._replace(run=replace(one.run, progress=tell)) for one in plan.steps]
    if len(steps) == 1:
        one = steps[0]
        return verb.with_curve(verb.adapt(one.name, one.adapter, one.options, model, shown, one.run), model)
    return verb.chained(steps, model, shown, plan.kept, bias, sampler)


def note(facts: Mapping[str, Any], steps: Sequence[Asked], lineage: dict[str, Any], out: Path) -> None:
    """Put what adapters say of their model into the lineage, and tell what they have chosen."""
    several = len(steps) > 1
    found = facts["steps"] if several else [facts]
    if several or facts:
        lineage["adaptation"] = found if several else dict(facts)
    for one, of in zip(steps, found, strict=True):
        for option, value in of.get("chosen", {}).items():
            print(f"{out}: {one.name} has chosen {option} {value} on the validation rows", file=sys.stderr)
