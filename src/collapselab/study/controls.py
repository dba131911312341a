"""The arms that a study gets beside its own: controls of real data alone, and calibrations.

Every arm has a control that is matched to it at every generation, and arms that come to the same share it: in which
order the arms stand in the file changes nothing.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

from ..compose.regimes import ROWS_MAX, Regime, real_only
from ..compose.regimes import sizes as sizes_of
from ..compose.supply import alone, schedule, used
from .faults import Fault
from .file import CONTROLS, StudyFile
from .lineages import Lineage, base_of

LISTED = 4  # arms that a sentence names, of more


class Matched(NamedTuple):
    """What an arm's control comes to. epochs_of: the sizes that epochs count, in a study that has them."""

    model: str
    regime: Regime
    epochs_of: tuple[int, ...]

    @property
    def identity(self) -> str:
        """What makes two of them the same."""
        return json.dumps([self.model, self.regime.model_dump(mode="json", by_alias=True), self.epochs_of])


def size_faults(file: StudyFile, regimes: Mapping[str, Regime]) -> Iterator[Fault]:
    """Arms whose training sets, or those of their controls, would come to more rows than one may have."""
    supplied = "real_supply" in CONTROLS[file.control]
    amounts = used(regimes, file.generations, _train(file)) if supplied else {}
    for arm, regime in regimes.items():
        rows = max([*sizes_of(regime, arm, file.generations), *(one.real for one in amounts.get(arm, ()))])
        if rows > ROWS_MAX:
            yield Fault(("arms", arm, "regime"), f"comes to {rows:,} rows; allowed are {ROWS_MAX:,} and fewer")


def controls(file: StudyFile, arms: Sequence[Lineage]) -> list[Lineage]:
    """The controls of each kind that a study asks for, of which those at the arms' total size come first."""
    found: list[Lineage] = []
    for kind in CONTROLS[file.control]:
        matched = _real_only(file, arms) if kind == "real_only" else _real_supply(file, [*found, *arms])
        same: dict[str, list[str]] = {}
        for name in sorted(arm.name for arm in arms):
            same.setdefault(matched[name].identity, []).append(name)
        groups = {identity: tuple(names) for identity, names in same.items()}
        found = [_shared(one, kind, groups.pop(_identity(one), ())) for one in found]
        found += _new(file, kind, arms, {names: matched[names[0]] for names in groups.values()})
    return found


def _identity(control: Lineage) -> str:
    return Matched(control.model, control.regime, control.epochs_of).identity


def _real_only(file: StudyFile, arms: Iterable[Lineage]) -> dict[str, Matched]:
    """Real rows at each arm's total size; of images all of the train split where there are no more."""
    found = {}
    for arm in arms:
        most = _train(file)
        sizes = [n if most is None or not t else min(n, most) for t, n in enumerate(_sizes(file, arm))]
        regime = real_only(n=schedule(sizes), initial=sizes[0]).model_copy(update={"init": file.init})
        found[arm.name] = Matched(arm.model, regime, tuple(sizes) if file.train.epochs else ())
    return found


def _real_supply(file: StudyFile, arms: Sequence[Lineage]) -> dict[str, Matched]:
    """The real rows that each arm has used by then, without the synthetic ones; its epochs count the arm's sizes."""
    amounts = used({arm.name: arm.regime for arm in arms}, file.generations, _train(file))
    found = {}
    for arm in arms:
        regime = alone(arm.regime, amounts[arm.name], _train(file) is None).model_copy(update={"init": file.init})
        found[arm.name] = Matched(arm.model, regime, tuple(_sizes(file, arm)) if file.train.epochs else ())
    return found


def _shared(control: Lineage, kind: str, arms: tuple[str, ...]) -> Lineage:
    """A control that is also what another kind asks for, of some arms."""
    if not arms:
        return control
    about = f"{control.about}; these are all real rows that {_listed(arms)} used by then"
    return control._replace(about=about, stands_beside={**control.stands_beside, kind: arms})


def _new(
    file: StudyFile, kind: str, arms: Sequence[Lineage], groups: Mapping[tuple[str, ...], Matched]
) -> Iterator[Lineage]:
    """The controls of one kind: for each group of arms one."""
    models = list(dict.fromkeys(arm.model for arm in arms))
    sizes = {of: sizes_of(one.regime, "", file.generations) for of, one in groups.items()}
    # The control at the size that most arms have is called control; of sizes as common, the smaller one.
    order = sorted(groups, key=lambda of: (models.index(groups[of].model), -len(of), sum(sizes[of]), sizes[of]))
    names = _names(kind, groups, sizes, order, several=len(models) > 1)
    for of in order:
        one, model = groups[of], [arm.name for arm in arms if arm.model == groups[of].model]
        if kind == "real_only":
            whose = "the arms'" if len(of) == len(model) else f"{_listed(of)}'s"
            short = [arm.name for arm in arms if arm.name in of and _sizes(file, arm) != sizes[of]]
            about = f"real data only, at {whose} total size"
            about += f", or all {_train(file):,} images where {_listed(short)} had more" if short else ""
        else:
            about = f"the real rows that {_listed(of)} used by then, without synthetic ones"
        base = base_of(file, one.model, one.regime)
        shown = (one.model, one.regime, 1.0, 0, about, file.generations)
        yield Lineage(names[of], base, *shown, stands_beside={kind: of}, epochs_of=one.epochs_of)


def _names(
    kind: str,
    groups: Mapping[tuple[str, ...], Matched],
    sizes: Mapping[tuple[str, ...], Sequence[int]],
    order: Sequence[tuple[str, ...]],
    several: bool,
) -> dict[tuple[str, ...], str]:
    """A name for each group, by its model where there are several, and by its rows."""
    found, plain = {}, set()
    for of in order:
        model = groups[of].model
        words = ["control" if kind == "real_only" else "supply", *([model] if several else [])]
        if kind != "real_only" or model in plain:
            ends = sorted({sizes[of][0], sizes[of][-1]}, key=sizes[of].index)
            words.append(f"n{'_to_'.join(map(str, ends))}")
        plain.add(model)
        found[of] = "_".join(words)
    count = Counter(found.values())  # two schedules between the same ends, or a model that is called as a size is
    digests = {of: hashlib.sha256(groups[of].identity.encode()).hexdigest()[:8] for of in order}
    return {of: name if count[name] == 1 else f"{name}_{digests[of]}" for of, name in found.items()}


def _listed(arms: Sequence[str]) -> str:
    more = [f"{len(arms) - LISTED} more"] if len(arms) > LISTED else []
    words = [*arms[:LISTED], *more]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _sizes(file: StudyFile, arm: Lineage) -> list[int]:
    return sizes_of(arm.regime, arm.name, file.generations)


def _train(file: StudyFile) -> int | None:
    """Images of the train split; None where real rows are drawn from a population, which has as many as one asks."""
    return file.data.split.train if file.data.source else None


def calibrations(file: StudyFile, arms: Sequence[Lineage]) -> Iterator[Lineage]:
    """Models of generation 0 alone, each of another number of real images, for every model of the arms."""
    models = list(dict.fromkeys(arm.model for arm in arms))
    for model, n in product(models, file.calibration):
        name = f"real_n{n}" if len(models) == 1 else f"real_{model}_n{n}"
        regime = real_only(n=n, initial=n).model_copy(update={"init": file.init})
        about = f"{n} real images alone, to compare limits with"
        yield Lineage(name, base_of(file, model, regime), model, regime, 1.0, 0, about, 0, calibrates=n)
