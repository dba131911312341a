"""How much data an arm has used by each generation, and the regime of the same real rows without the synthetic ones.

A loop that eats fresh real rows sees more and more of them, and a control of one training set's size does not: which of
the two differences made a curve rise, only a control with the same real rows can tell.
"""

import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from .regimes import Draw, Initial, Pool, Real, Regime, entering


class Used(NamedTuple):
    """Distinct real rows, and generated samples, that the training sets of an arm have had by a generation.

    fixed: rows that are the same in every generation. fresh: new ones. redrawn: of a population further new ones, of a
    train split the number of rows beside the fixed ones that are expected to have been drawn, to a whole row. What arms
    have used whose samples it eats counts as real rows of its own. generated: samples that entered; of stored ones at
    most as many as there are.
    """

    fixed: int
    fresh: int
    redrawn: int
    generated: int

    @property
    def real(self) -> int:
        """All distinct real rows."""
        return self.fixed + self.fresh + self.redrawn

    @property
    def said(self) -> str:
        """Both in words."""
        generated = f" and {self.generated:,} generated samples" if self.generated else ""
        return f"{self.real:,} distinct real rows{generated}"


@dataclass
class _Ledger:
    """What an arm has used so far: real rows by the generation in which they were drawn.

    Rows of a fresh split are walked through, so that those of all generations stand as one. generated: samples by the
    arm and the generation that they are of; entered: how many of them count.
    """

    fixed: int = 0
    walked: int = 0
    fresh: dict[int, int] = field(default_factory=dict)
    redrawn: dict[int, int] = field(default_factory=dict)
    generated: dict[tuple[str, int], int] = field(default_factory=dict)
    entered: int = 0

    def enter(self, draw: Draw, split: bool, stored: int | None) -> None:
        """Count a draw. split: whether real rows are of a split. stored: of how many samples generated ones are."""
        if draw.arm == "fixed":
            self.fixed = max(self.fixed, draw.count)
        elif draw.arm == "fresh" and split:
            self.walked += draw.count
            self.fresh[0] = max(self.fresh.get(0, 0), self.walked)
        elif draw.is_real:
            rows = self.fresh if draw.arm == "fresh" else self.redrawn
            rows[draw.generation] = max(rows.get(draw.generation, 0), draw.count)
        else:
            before = self.generated.get(draw[:2], 0)
            after = before + draw.count if stored is None else min(before + draw.count, stored)
            self.generated[draw[:2]] = after
            self.entered += after - before

    def share(self, other: "_Ledger") -> None:
        """Count the real rows of another arm, too: arms draw theirs in one order, so that fewer are a part of more."""
        self.fixed = max(self.fixed, other.fixed)
        for own, others in ((self.fresh, other.fresh), (self.redrawn, other.redrawn)):
            for generation, count in others.items():
                own[generation] = max(own.get(generation, 0), count)

    def counted(self, train: int | None) -> Used:
        """What it comes to; of rows redrawn from a train split, N (1 - f/N) (1 - Π (1 - k/N)) beside f fixed ones."""
        redrawn = sum(self.redrawn.values())
        if train is not None:
            rest = max(train - self.fixed, 0)
            missed = math.prod(max(1 - count / train, 0) for count in self.redrawn.values())
            redrawn = round(rest * (1 - missed))
        return Used(self.fixed, sum(self.fresh.values()), redrawn, self.entered)


def used(
    regimes: Mapping[str, Regime], last: int, train: int | None, kept: Mapping[str, int] | None = None
) -> dict[str, list[Used]]:
    """What each arm has used by each generation, 0 to ``last``.

    train: rows of the train split, from which redrawn rows come back; None where real rows are drawn from a population,
    which gives new ones each time. kept: arm -> stored samples of each of its generations; without it a sample that
    enters twice counts twice.
    """
    ledgers = {arm: _Ledger() for arm in regimes}
    eaten = {arm: {part.of for part in one.synthetic} & (regimes.keys() - {arm}) for arm, one in regimes.items()}
    found: dict[str, list[Used]] = {arm: [] for arm in regimes}
    for generation in range(last + 1):
        before = {
            arm: deepcopy(ledgers[arm]) for arms in eaten.values() for arm in arms
        }  # as the last generation left it
        for arm, regime in regimes.items():
            for draw in entering(regime, arm, generation):
                if draw.arm == "fresh" and draw.generation < generation:
                    continue  # it is replayed, and was counted when it was new
                stored = None if kept is None or regime.resamples else kept.get(draw.arm)
                ledgers[arm].enter(draw, train is not None, stored)
            for other in eaten[arm] if generation else ():
                ledgers[arm].share(before[other])
            found[arm].append(ledgers[arm].counted(train))
    return found


def alone(regime: Regime, amounts: list[Used], population: bool) -> Regime:
    """The regime of the real rows that an arm of ``regime`` has used by each generation, with no synthetic ones.

    They are the rows themselves, drawn with the same random numbers, but for two kinds, of which there are as many:
    rows that are redrawn from a train split, and those of other arms that it eats. population: whether real rows are
    draws from a known one.
    """
    again = [0 if population else one.redrawn for one in amounts]
    pairs = list(pairwise(amounts))
    fresh = [0, *(late.fresh - early.fresh for early, late in pairs)]
    redrawn = [0, *(late.redrawn - early.redrawn for early, late in pairs)] if population else [0]
    real = Real(
        fixed=schedule([one.fixed + more for one, more in zip(amounts, again, strict=True)]),
        fresh=schedule(fresh),
        redrawn=schedule(redrawn),
    )
    grows = any(fresh) or any(redrawn)
    pool = Pool(mode="accumulate", includes=["real"]) if grows else Pool()
    return Regime(initial=Initial(real=regime.initial.real), real=real, pool=pool)


def schedule(counts: list[int]) -> int | dict[int, int]:
    """Numbers of rows of generations 0, 1, ... as a regime says those from 1 on: one, or those at which it changes."""
    changes = {t: n for t, n in enumerate(counts) if t and (t == 1 or n != counts[t - 1])}
    return changes if len(changes) > 1 else next(iter(changes.values()), counts[0])
