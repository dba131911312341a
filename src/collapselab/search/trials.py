"""The trials of a search, by Optuna: remembered on disk, and the same however often they were interrupted."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import Damaged, Undefined
from ..core.extras import expect_extra
from ..core.seeds import seed_of
from .objectives import Objective
from .spaces import Among, Searched, Span

if TYPE_CHECKING:
    import optuna

POPULATION = 16  # of NSGA-II: with a budget of a few dozens, Optuna's 50 would all be drawn by chance

Values = Callable[[Searched | None, Mapping[str, Any]], tuple[float, ...]]
"""``f(guide, options)``: the metrics of the objectives. Raises Undefined where one is not determined."""


class Trial(NamedTuple):
    """A choice that was tried: a guide with its options, or none; and the metrics of the objectives.

    values: None where one of them is not determined, and then why.
    """

    guide: str | None
    options: Mapping[str, Any]
    values: tuple[float, ...] | None
    reason: str = ""


def expect_optuna() -> None:
    """Raise ValueError, with the cure, where Optuna is not installed."""
    expect_extra("search", "optuna")


def search(
    journal: Path | None,
    seed: int,
    guides: Sequence[Searched],
    objectives: Sequence[Objective],
    budget: int,
    values: Values,
    tell: Callable[[int], Any] = lambda done: None,
) -> list[Trial]:
    """``budget`` trials, of which those that ``journal`` holds are not made again; before them the model as it is.

    With one objective by TPE (Bergstra et al. 2011, https://papers.nips.cc/paper/4443), with several by NSGA-II (Deb
    et al. 2002, https://doi.org/10.1109/4235.996017). The random numbers of a trial follow from ``seed`` and its
    number, and what it tries from these and the trials before: so twenty and twenty more are forty, and one that was
    interrupted is made again. Whoever calls it holds the journal for itself. journal: None remembers nothing.
    Raises ValueError without Optuna, and Damaged for a file that is no journal.
    """
    expect_optuna()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=_storage(journal),
        study_name="guide",
        directions=["maximize" if one.better == "higher" else "minimize" for one in objectives],
        load_if_exists=True,
    )
    kept = study.user_attrs.get("unguided") or _said(_tried(values, None, {}))
    study.set_user_attr("unguided", kept)
    by_name = {one.name: one for one in guides}
    unfinished = [one for one in study.get_trials(deepcopy=False) if not one.state.is_finished()]
    done = len(study.get_trials(deepcopy=False)) - len(unfinished)
    while done < budget:
        number = unfinished[0].number if unfinished else done
        study.sampler = _sampler(objectives, seed_of(seed, None, None, "guide search", number) % 2**32)
        trial = optuna.Trial(study, unfinished.pop(0)._trial_id) if unfinished else study.ask()
        guide, options = _drawn(trial, by_name, len(objectives) > 1)
        found = _tried(values, guide, options)
        trial.set_user_attr("tried", _said(found))
        if found.values is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, [one.of(value) for one, value in zip(objectives, found.values, strict=True)])
        done += 1
        tell(done)
    trials = [one.user_attrs["tried"] for one in study.get_trials(deepcopy=False) if one.state.is_finished()]
    return [_read(one) for one in (kept, *trials)]


def _sampler(objectives: Sequence[Objective], seed: int) -> "optuna.samplers.BaseSampler":
    import optuna

    if len(objectives) == 1:
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed)


def _drawn(trial: "optuna.Trial", guides: Mapping[str, Searched], crosses: bool) -> tuple[Searched, Mapping[str, Any]]:
    """The guide of a trial, and its options.

    crosses: whether options of guides that are not this one are drawn as well, as genes that do nothing here: NSGA-II
    crosses and changes only what all trials have, and draws the rest by chance.
    """

    def draw(name: str, what: Span | Among) -> Any:
        if isinstance(what, Among):
            return trial.suggest_categorical(name, what.values)
        return trial.suggest_float(name, what.low, what.high, log=what.log)

    chosen = trial.suggest_categorical("guide", list(guides)) if len(guides) > 1 else next(iter(guides))
    options = {name: one.drawn(draw) for name, one in guides.items() if crosses or name == chosen}
    return guides[chosen], options[chosen]


def _tried(values: Values, guide: Searched | None, options: Mapping[str, Any]) -> Trial:
    name = guide.name if guide else None
    try:
        return Trial(name, options, values(guide, options))
    except Undefined as error:
        return Trial(name, options, None, str(error))


def _said(one: Trial) -> dict[str, Any]:
    return {**one._asdict(), "options": dict(one.options), "values": list(one.values) if one.values else None}


def _read(said: Mapping[str, Any]) -> Trial:
    return Trial(said["guide"], said["options"], tuple(said["values"]) if said["values"] else None, said["reason"])


def _storage(journal: Path | None) -> Any:
    """Where Optuna keeps trials: a line of text for each of their steps, or nowhere."""
    if journal is None:
        return None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    class Held(JournalFileSymlinkLock):
        """A lock that is held already; Optuna's own stays behind where a process is killed."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut(journal)
    try:
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=Held(str(journal))))
    except (ValueError, LookupError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise Damaged(journal, f"holds no trials ({said}); move it away, and they are made again") from None


def _cut(journal: Path) -> None:
    """Take off the end of a journal what is no whole line: a process was killed as it wrote."""
    if not journal.exists():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)
