"""What the arms of a study are trained on, in words: from their regimes, so that no sentence can say other numbers.

An arm's line is what its file says ``about`` it. Where that says nothing, or a number of rows that is in nothing that
the arm is made of, the regime speaks: a study whose numbers are changed changes its sentences with them.
"""

import re
from collections.abc import Iterator
from typing import Any

from ..compose.regimes import Regime, Synthetic, at
from ..core.choice import Choice
from ..core.kinds import NOUNS
from ..select import SELECTORS
from .study import Study

# A number of rows in what somebody has written: 400 real images, 12,500 of the original images, 80 samples.
ROWS_SAID = re.compile(
    r"\b(\d{1,3}(?:,\d{3})+|\d+) "
    r"(?:(?:real|fresh|fixed|new|own|synthetic|generated|original|earlier|last|of|the|its) )*"
    r"(?:images|samples|rows|clips|pictures|faces|digits|numbers|points|sequences|texts|lines)\b"
)


def about(study: Study, arm: str) -> str:
    """The line on an arm."""
    said = study.lineages[arm].about
    return said if said and not contradicts(study, arm) else _derived(study, arm)


def contradicts(study: Study, arm: str) -> list[int]:
    """The numbers of rows that a study's file says of an arm, and that are in nothing the arm is made of."""
    if arm not in study.file.arms:
        return []
    known = set(_numbers(study, arm))
    said = [int(number.replace(",", "")) for number in ROWS_SAID.findall(study.lineages[arm].about)]
    return [number for number in said if number not in known]


def contradicted(study: Study) -> dict[str, str]:
    """arm -> what the study's file says of it, where its regime says other numbers."""
    return {arm: study.lineages[arm].about for arm in study.lineages if contradicts(study, arm)}


def remarks(study: Study) -> Iterator[str]:
    """A sentence on each arm of which the file says other numbers than its regime."""
    for arm, said in contradicted(study).items():
        numbers = " and ".join(f"{number:,}" for number in contradicts(study, arm))
        yield (
            f"arms.{arm}.about says {said!r}, but {numbers} rows are in nothing that the arm is made of: the report "
            f"says {_derived(study, arm)!r}; leave about out, or correct it"
        )


def remedies(study: Study) -> dict[str, str]:
    """arm -> what it does to its training sets, as a deed; only where it does nothing else."""
    found = {}
    for arm in study.file.arms:
        one = study.lineages[arm]
        beside = one.adapt or one.guide or one.transform or one.mark or one.select or one.sampler
        if not beside and one.sampling_bias == 1 and (said := _deed(one.regime, one.generations, _noun(study))):
            found[arm] = said
    return found


def weighs_all(study: Study, choice: Choice) -> bool:
    """Whether a selector keeps every sample, with weights: it takes none away, and says how much each counts."""
    entry, count = SELECTORS[choice.name], study.file.samples
    return entry.weighs and not entry.needs.twin and study.parsed(SELECTORS, choice).keeps(count) == count


# -- from the regime ---------------------------------------------------------------------------------------------------


def _derived(study: Study, arm: str) -> str:
    """What a regime comes to, and the names of what else is done."""
    one = study.lineages[arm]
    parts = [_composed(one.regime, one.generations, _noun(study))] if one.generations else []
    biased = isinstance(one.sampling_bias, dict) or one.sampling_bias != 1
    parts += [f"drawn with sampling bias {_over(one.sampling_bias, one.generations)}"] if biased else []
    weighing = [choice for choice in one.select if weighs_all(study, choice)]
    steps = {"adapted by": one.adapt, "changed by": one.transform}
    steps |= {"selected by": [choice for choice in one.select if choice not in weighing], "weighted by": weighing}
    steps |= {
        word: (choice,)
        for word, choice in (("guided by", one.guide), ("sampled by", one.sampler), ("marked by", one.mark))
        if choice
    }
    parts += [f"of labels that {one.drawn_by} draws"] if one.drawn_by else []
    parts += [f"{word} {', '.join(choice.name for choice in chosen)}" for word, chosen in steps.items() if chosen]
    return ", ".join(parts) or "as it is trained, on real data"


def _composed(regime: Regime, last: int, noun: str) -> str:
    real = regime.real
    parts = [
        (real.fixed, f"real {noun} that never change"),
        (real.fresh, f"real {noun} that no model has seen"),
        (real.redrawn, f"real {noun}, drawn anew in every generation"),
        (real.replay, f"earlier real {noun}, once more"),
    ]
    said = [f"{_over(count, last)} {words}" for count, words in parts if _ever(count, last)]
    said += [f"{_over(part.n, last)} {_sampled(part)}" for part in regime.synthetic if _ever(part.n, last)]
    if regime.pool.mode != "replace":
        grown = "all data so far" if len(regime.pool.includes) == 2 else f"all {regime.pool.includes[0]} data so far"
        more = f"{' and '.join(said)} more in every generation" if said else "and nothing more"
        if regime.pool.mode == "accumulate":
            return f"{grown}, {more}"
        return f"{_over(regime.pool.budget or 0, last)} {noun} drawn from {grown}, {more}"
    if len(said) == 1:
        return f"{said[0]}, and nothing else"
    return ", and ".join([", ".join(said[:-1]), said[-1]]) if said else "nothing"


def _sampled(part: Synthetic) -> str:
    whose = "" if part.of == "self" else f" of {part.of}"
    new = "new " if part.draw == "resample" else ""
    if part.from_ == "all":
        return f"{new}samples of every model{whose} so far"
    last = 1 if part.from_ == "last" else part.from_.last
    return f"{new}samples of the last model{whose}" if last == 1 else f"{new}samples of the last {last} models{whose}"


def _deed(regime: Regime, last: int, noun: str) -> str:
    real = regime.real
    if regime.pool.mode != "replace":
        return "keeping all data so far" if len(regime.pool.includes) == 2 else ""
    deeds = [
        (real.fixed, f"keeping {{}} real {noun}"),
        (real.fresh, f"adding {{}} fresh real {noun} a generation"),
        (real.redrawn, f"drawing {{}} real {noun} anew in every generation"),
    ]
    said = [words.format(_over(count, last)) for count, words in deeds if _ever(count, last)]
    steady = all(not isinstance(count, dict) or len(set(count.values())) == 1 for count, _ in deeds)
    return " and ".join(said) if regime.synthetic and steady else ""


def _noun(study: Study) -> str:
    return NOUNS.get(study.kind, "rows")


def _ever(count: Any, last: int) -> bool:
    return any(at(count, generation) for generation in range(1, last + 1))


def _over(number: Any, last: int) -> str:
    """A number from generation 1 to the last: one, or the first and the last."""
    first, end = (f"{one:,}" if isinstance(one, int) else f"{one:.3g}" for one in (at(number, 1), at(number, last)))
    return first if first == end or not last else f"{first} to {end}"


def _numbers(study: Study, arm: str) -> Iterator[int]:
    """Every whole number that an arm is made of: of its regime, its steps, its samples and the parts of the data."""
    one, file = study.lineages[arm], study.file
    yield from study.sizes(arm)
    yield from (file.samples, *file.data.split.parts().values())
    yield from (amounts for used in study.used[arm] for amounts in (used.real, used.generated))
    steps = [*one.adapt, *one.transform, *one.select, *(x for x in (one.guide, one.mark, one.sampler) if x)]
    said = [one.regime.model_dump(mode="json"), *(dict(choice.options) for choice in steps)]
    yield from _whole(said)


def _whole(said: Any) -> Iterator[int]:
    if isinstance(said, dict | list | tuple):
        for part in said.values() if isinstance(said, dict) else said:
            yield from _whole(part)
    elif isinstance(said, int) and not isinstance(said, bool):
        yield said
