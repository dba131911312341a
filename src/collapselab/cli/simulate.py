"""Judges that only seem to be people, sent to the judging page of a study."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from .. import store
from ..core.choice import Choice
from ..core.extras import expect_extra
from ..core.sets import Ballots
from .extractors import settings_of, weights_of
from .options import chosen
from .study import StudyName, study_of

if TYPE_CHECKING:
    from ..judge.eyes import Eyes
    from ..select.simulated import Simulated

Arm = Annotated[str | None, typer.Option(help="the arm; may be left out where only one has people")]


def simulate(
    name: StudyName,
    links: Annotated[Path, typer.Option(help="what `judge invite` printed; - for standard input")],
    arm: Arm = None,
    policy: Annotated[
        str, typer.Option(help='the judges, as noisy or {"noisy": {"error": 0.2}}; what the study says if left out')
    ] = "",
    fitted_to: Annotated[
        Path | None, typer.Option(help="ballots of people: the judges are graded ones, fitted to what those said")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, help="judges at the page at one time")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="of all that these judges decide by chance")] = 0,
) -> None:
    """Send simulated judges to the page: they consent, pass the training, judge every item, and answer the survey.

    They do over HTTP what people do, and see the images that the page serves. How real an image looks to them is
    measured in feature spaces beside the real images of the training split, which are read from files.
    """
    expect_extra("judge", "httpx2")
    study = study_of(name)
    arm = arm_of_people(study, arm)
    said = policy_of(study, arm, policy)
    visitors = _links(links)
    eyes = eyes_of(study, arm, said)
    if fitted_to:
        said = _fitted(study, eyes, said, fitted_to)
        print(f"fitted: {Choice('graded', said.policy.model_dump()).said}")
    for pool in open_pools(study, arm):
        eyes.remember(pool)
    _sent(said, visitors, eyes, at_once, seed)


def _sent(said: "Simulated", visitors: list[Any], eyes: "Eyes", at_once: int, seed: int) -> None:
    from ..core.seeds import seed_of
    from ..judge.visits import Simulation, visits

    def who(index: int) -> Simulation:
        return Simulation(said, eyes, seed_of(seed, None, None, "simulated judge", index))

    done = visits(visitors, who, at_once)
    stages = sorted({one.stage for one in done})
    judged, tried = sum(one.judged for one in done), max((one.attempts for one in done), default=0)
    print(f"{len(done)} judges: {judged} items judged", end="")
    print(f", the training passed at attempt {tried} at the latest" if tried else "", end="")
    print(f", {answered} surveys answered" if (answered := sum(one.surveyed for one in done)) else "", end="")
    print(f"; they are at: {', '.join(stages)}")
    if waits := sum(one.stage == "waiting" for one in done):
        print(f"{waits} wait: no round is open for them; send them again when judge serve has opened the next one")


def _links(path: Path) -> list[Any]:
    from ..judge.visits import links_of

    if str(path) == "-":
        return links_of(sys.stdin)
    try:
        return links_of(path.read_text(encoding="utf-8").splitlines())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def people_of(study: Any) -> list[str]:
    """The arms in which people judge. Raises ValueError for a study in which nobody does."""
    from ..study.judged import arms_of_people

    if arms := arms_of_people(study):
        return arms
    raise ValueError(
        f"{study.name}: nobody judges there: no arm selects by people; say select: {{people: {{share: …}}}} of one"
    )


def arm_of_people(study: Any, arm: str | None) -> str:
    """The arm that is meant. Raises BadParameter where nobody judges in it, or in several and none is said."""
    arms = people_of(study)
    if arm is None and len(arms) == 1:
        return arms[0]
    if arm not in arms:
        raise typer.BadParameter(f"found {arm or 'none'}; people judge in {', '.join(arms)}", param_hint="--arm")
    return arm


def policy_of(study: Any, arm: str, text: str) -> "Simulated":
    """The simulated judges that are asked for, or that the study says. Raises BadParameter without either."""
    from ..select.simulated import Simulated
    from ..study.judged import judging_options
    from .options import parsed

    if text:
        return parsed(Simulated, text if text.lstrip().startswith("{") else f'{{"{text}": {{}}}}', "--policy")
    said = judging_options(study, arm).simulated
    if said is None:
        raise typer.BadParameter(
            f"found none, and {study.name} says none of {arm} (people: {{simulated: noisy}})", param_hint="--policy"
        )
    return said


def eyes_of(study: Any, arm: str, said: "Simulated") -> "Eyes":
    """What judges of an arm see by: extractors, and the training split of the study beside them."""
    from ..features import FEATURES
    from ..judge.eyes import Eyes

    looks: dict[str, Callable[[np.ndarray], Any]] = {}
    for one in said.through:
        entry = chosen(FEATURES, one, "through")
        if entry.needs.through_model or entry.needs.through_truth:
            raise ValueError(f"through: found {one!r}, which sees no image by itself; people see images")
        path = study.weights(one)
        if entry.needs.through == "learnt" and not Path(path).exists():
            raise ValueError(f"through: {one!r} sees by {path}, which is not there; list {one} under extractors")
        options: Mapping[str, Any] = study.extractor_options(one) if one in study.extractors else {}
        weights, settings = weights_of(entry, one, path)[0], settings_of(entry, one, options)
        looks[one] = lambda data, entry=entry, weights=weights, settings=settings: entry.extract(
            data, weights, **settings
        )
    return Eyes(looks, store.read_samples(Path(study.part_file("train"))), said.levels)


def open_pools(study: Any, arm: str) -> list[np.ndarray]:
    """The images of the arm's rounds that wait for people, (n, C, H, W) uint8 each."""
    from ..study.judged import waiting

    return [store.read_samples(one.pool).data for one in waiting(study) if one.arm == arm]


def _fitted(study: Any, eyes: "Eyes", said: "Simulated", path: Path) -> "Simulated":
    """Graded judges that say what people said. Raises ValueError for ballots of samples that are not there."""
    from ..judge.policies import fitted
    from ..select.simulated import POLICIES

    quality, good = judged_quality(study, eyes, store.read_ballots(path), path)
    options = said.model_dump(exclude=set(POLICIES))
    return type(said).model_validate(options | {"graded": fitted(quality, good).model_dump()})


def judged_quality(study: Any, eyes: "Eyes", ballots: Ballots, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """How real each judged image looks, and whether it was called good: (n,) float64 and (n,) bool, a vote each."""
    from ..judge.eyes import impressions
    from ..select.judging import GOOD

    place = [ballots.lineage.get(name) for name in ("arm", "seed", "generation")]
    pool = Path(study.released_file(*place)) if None not in place and place[0] in study.lineages else None
    if pool is None or not pool.exists() or store.recorded_hash(pool) != ballots.lineage.get("pool"):
        raise ValueError(f"{path}: holds ballots of samples that are not those of {pool or study.name}")
    votes = ballots.votes
    rows = np.asarray(ballots.rows)[votes]
    seen = impressions(eyes, rows, store.read_samples(pool))
    quality = np.array([seen[row].quality for row in rows.tolist()])
    return quality, np.array([ballots.answers[one] == GOOD for one in votes])
