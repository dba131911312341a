"""When lineages of a study are stopped: its rules, where each decision lies, and what waits for which.

The plan of a study is fixed before it runs, and knows of no stopping: after each generation a job decides, and writes
that down; a training waits for the decision before it, and where that says so it leaves a marker, as one that diverged
does, and so does all that would be made of it.

A training never runs again for a decision: it waits for its file, and a change of that is no reason. And what was
trained before a study had a rule waits for none, so that who adds one loses nothing: that generation has no decision.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..metrics import METRICS
from ..metrics.parts import several
from ..store import hash_path, read_json, understood
from ..verbs.stop import BOUNDS, OF, Rule
from .faults import Fault
from .file import Stop
from .study import Study

DECISION = "stop.json"
MADE = ("training.parquet", "model.safetensors", "samples.safetensors", "metrics.json")  # of a generation that began


def stop_faults(study: Study) -> Iterator[Fault]:
    """Rules that do not say when, or never would."""
    rules = study.file.stop
    if rules and study.file.together:
        yield Fault(("stop",), "together: all seeds of an arm are one job, and none is cut short; leave it out")
    for index, rule in enumerate(rules):
        where = ("stop", index) if len(rules) > 1 else ("stop",)
        yield from _bound_faults(rule, where)
        yield from _metric_faults(study, rule, where)
        if rule.generations > study.file.generations + 1:
            there = f"the study has {study.file.generations + 1}"
            yield Fault((*where, "generations"), f"found {rule.generations}, but {there}; allowed are so many or fewer")
        elif rule.when == "diverged" and rule.generations > 1:
            yield Fault((*where, "generations"), "a training that diverged has ended its lineage; leave it out")
        elif rule.when == "converged" and rule.generations < 2:
            said = "of one generation nothing can be said to move no more; say generations: 3, or another number from 2"
            yield Fault((*where, "generations"), said)


def _bound_faults(rule: Stop, where: tuple[str | int, ...]) -> Iterator[Fault]:
    allowed, said = OF[rule.when], [name for name in BOUNDS if getattr(rule, name) is not None]
    for name in said:
        if name not in allowed:
            of = " or ".join(allowed) or "none"
            yield Fault((*where, name), f"says nothing of when: {rule.when}, whose bound is {of}; leave it out")
    own = [name for name in said if name in allowed]
    if allowed and len(own) != 1:
        found = " and ".join(own) or "neither" if len(allowed) > 1 else "nothing"
        yield Fault(where, f"when: {rule.when} needs {' or '.join(allowed)}, and one of them; found {found}")


def _metric_faults(study: Study, rule: Stop, where: tuple[str | int, ...]) -> Iterator[Fault]:
    if rule.when == "diverged":
        for name in ("metric", "extractor"):
            if getattr(rule, name) is not None:
                yield Fault((*where, name), "a training diverges by its own numbers, not by a metric; leave it out")
        return
    own = {"metric": list(study.metric_options()), "extractor": study.measured_in}
    bad = False
    for key, names in own.items():
        said = getattr(rule, key)
        if said is not None and said not in names:
            bad = True
            yield Fault((*where, key), f"{said!r} is not among the study's {key}s: {', '.join(names)}")
    metric, extractor = measured(study, rule)
    if not bad and several(METRICS[metric]):
        yield Fault((*where, "metric"), f"{metric!r} gives several numbers; a rule is of one")
    elif not bad and not METRICS[metric].suits(extractor):
        allowed = ", ".join(name for name in study.measured_in if METRICS[metric].suits(name)) or "none of the study's"
        yield Fault((*where, "extractor"), f"{metric!r} is measured in {allowed}; found {extractor!r}")


def measured(study: Study, rule: Stop) -> tuple[str, str]:
    """The metric of a rule, and the features in which it is measured: the primary's, where it says none."""
    return rule.metric or study.file.primary.metric, rule.extractor or study.file.primary.extractor


def rules(study: Study, arm: str) -> list[Rule]:
    """The rules by which the lineages of an arm are stopped; none of what stands beside the study's own arms."""
    if arm not in study.file.arms:
        return []
    told = []
    for rule in study.file.stop:
        metric, extractor = ("", "") if rule.when == "diverged" else measured(study, rule)
        bounds = {name: getattr(rule, name) for name in BOUNDS}
        told.append(Rule(rule.when, metric, extractor, **bounds, generations=rule.generations))
    return told


def words(study: Study) -> list[str]:
    """The rules, as a reader is told of them."""
    told = []
    for rule in study.file.stop:
        metric, extractor = measured(study, rule)
        bounds = {name: getattr(rule, name) for name in BOUNDS}
        told.append(_words({"when": rule.when, "metric": metric, "extractor": extractor, **bounds}, rule.generations))
    return told


def why(decision: Mapping[str, Any]) -> str:
    """A decision that stopped a lineage, as a reader is told of it: after which generation, and by which rule."""
    rule, values = decision["rule"], decision.get("values") or ()
    found = f" ({', '.join(f'{value:.4g}' for value in values)})" if values else ""
    if other := decision.get("with"):
        ended = f"ended after generation {decision['generation']} with {other!r}, which {decision['which']}"
        return f"{ended} and was stopped; {_words(rule, rule.get('generations', 1))}{found}"
    return f"stopped after generation {decision['generation']}; {_words(rule, rule.get('generations', 1))}{found}"


def _words(rule: Mapping[str, Any], generations: int) -> str:
    metric = METRICS.get(rule.get("metric") or "")  # of a decision it may be one that is installed no more
    name = f"{metric.label if metric else rule.get('metric')} ({rule.get('extractor')})"
    bound, value = next(((bound, value) for bound in BOUNDS if (value := rule.get(bound)) is not None), ("", 0.0))
    moves = f"{name} moves by no more than {value:g} over {generations} generations"
    row = f" in {generations} generations one after the other" if generations > 1 else ""
    said = {"diverged": "its training diverged", "converged": moves}
    return f"{rule['when']}: {said.get(rule['when'], f'{name} is {bound} {value:g}{row}')}"


# -- what waits for what -----------------------------------------------------------------------------------------------


def decides(study: Study, arm: str, seed: int, generation: int) -> bool:
    """Whether there is a decision after a generation: where one was made, or where the next has not begun without."""
    if arm not in study.file.arms:
        return False
    if Path(study.cell(arm, seed, generation, DECISION)).exists():
        return True
    began = (Path(study.cell(arm, seed, generation + 1, noun)) for noun in MADE)
    return bool(study.file.stop) and not any(path.exists() for path in began)


def waited_for(study: Study, arm: str, seed: int, generation: int) -> list[str]:
    """The decisions that the training of a generation waits for: of its lineage, and of that whose selectors it is the
    control of, since chance keeps as many as are kept there.
    """
    if generation == 0 or arm not in study.lineages:
        return []
    whose = [arm, *([study.yoked[arm]] if arm in study.yoked else [])]
    before = generation - 1
    return [study.cell(one, seed, before, DECISION) for one in whose if decides(study, one, seed, before)]


def looked_at(study: Study, arm: str, seed: int, generation: int) -> dict[str, Any]:
    """What a decision is made of: the records that the rules ask for, the last one last, and the decision before it."""
    longest = max([1, *(rule.generations for rule in rules(study, arm))])
    records = range(max(0, generation - longest + 1), generation + 1)
    found: dict[str, Any] = {"record": [study.cell(arm, seed, one, "metrics.json") for one in records]}
    if generation and decides(study, arm, seed, generation - 1):
        found["before"] = study.cell(arm, seed, generation - 1, DECISION)
    return found


def stopped(study: Study) -> dict[str, dict[int, Mapping[str, Any]]]:
    """The lineages that were stopped: arm -> seed -> the decision, with the generation after which it was made.

    Those are among them that have ended with another arm's, without which they cannot go on: the decision is that
    arm's, ``with`` is its name, ``which`` says what it is to them, and the generation is the last one that they have.
    Raises Damaged for another file.
    """
    own = _decided(study)
    return _with_others(study, own) if own else own


def _with_others(study: Study, own: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """The same with the lineages that end since there is no model to draw their labels, or no samples to learn from."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {arm: dict(seeds) for arm, seeds in own.items()}
    for seed in sorted({seed for seeds in own.values() for seed in seeds}):
        ends = {arm: seeds[seed] for arm, seeds in own.items() if seed in seeds}
        for generation in range(1, study.file.generations + 1):
            for arm in study.file.arms:  # models first: those that draw labels are of the same generation
                draws = () if arm in ends else study.recipe(arm, generation).draws
                gone = (one.arm for one in draws if one.arm in ends and one.generation > ends[one.arm]["generation"])
                if (other := next(gone, None)) is not None:
                    ends[arm] = _ended_with(ends[other], generation - 1, other, "it learns from")
            for arm in study.file.arms:
                by = study.lineages[arm].drawn_by
                if arm not in ends and by in ends and ends[by]["generation"] < generation:
                    ends[arm] = _ended_with(ends[by], generation - 1, by, "draws its labels")
        for arm, decision in ends.items():
            found.setdefault(arm, {})[seed] = decision
    return found


def _ended_with(decision: Mapping[str, Any], generation: int, other: str, which: str) -> dict[str, Any]:
    return {**decision, "generation": generation, "with": other, "which": which}


def _decided(study: Study) -> dict[str, dict[int, Mapping[str, Any]]]:
    """The lineages that were stopped by decisions on them: each passes on the one before, so that the last says all."""
    found: dict[str, dict[int, Mapping[str, Any]]] = {}
    for arm, seed in dict.fromkeys((arm, seed) for arm, seed, _ in study.all_cells() if arm in study.file.arms):
        paths = (Path(study.cell(arm, seed, one, DECISION)) for one in range(study.file.generations, -1, -1))
        path = next((path for path in paths if path.exists() and hash_path(path).exists()), None)
        if path is None:
            continue
        said = read_json(path)
        with understood(path):
            if said["stopped"] is not None:
                int(said["stopped"]["generation"]), str(said["stopped"]["when"])
                found.setdefault(arm, {})[seed] = said["stopped"]
    return found
