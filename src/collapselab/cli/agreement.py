"""What people's ballots and surveys say, on the terminal."""

from pathlib import Path
from typing import Annotated

import typer

from .. import store
from .simulate import arm_of_people, people_of
from .study import StudyName, study_of

Arm = Annotated[str | None, typer.Option(help="the arm; all arms in which people judge if left out")]


def agreement(
    ballots: Annotated[Path, typer.Argument(help="the ballots of a closed round")],
    dawid_skene: Annotated[
        bool, typer.Option("--dawid-skene", help="also what is likely true, each judge having errors of its own")
    ] = False,
) -> None:
    """Say how far judges agree, and what each of them did, beside the share that was called good."""
    from ..judge import agreement as agreeing
    from ..metrics.estimates import Estimate
    from ..select.judging import ANSWERS, GOOD

    found = store.read_ballots(ballots)
    gold = {code: tuple(told["gold"]) for code, told in found.lineage.get("checks", {}).items()}
    told = agreeing.agreement(found, ANSWERS)
    print(f"{told.judges} judges, {told.samples} samples, {told.twice} of them judged by two or more")
    print(f"{'called good':32} {told.prevalence[GOOD]:.3f}")
    for name, value in told.coefficients.items():
        said = f"{value:.3f} ({value.low:.3f} to {value.high:.3f})" if isinstance(value, Estimate) else f"– {value}"
        print(f"{name:32} {said}")

    def share(one: Estimate | None) -> str:
        return "–" if one is None else f"{one:.2f} ({one.low:.2f}-{one.high:.2f})"

    print(f"\n{'judge':10} {'judged':>7}  {'called good':18} {'gold right':18} {'same again':18} seconds")
    for one in agreeing.per_judge(found, ANSWERS, gold):
        words = " ".join(f"{share(each):18}" for each in (one.kept, one.right, one.same))
        print(f"{one.judge:10} {one.judged:7}  {words} {one.seconds:.2f}")
    if dawid_skene:
        chances = agreeing.dawid_skene(found, ANSWERS)
        good = sum(chance > 0.5 for chance in chances.values())
        print(f"\nby Dawid and Skene {good} of {len(chances)} samples are good")


def posting(
    name: StudyName,
    arm: Arm = None,
    share: Annotated[float, typer.Option(help="the synthetic share before people judged")] = 0.5,
    n: Annotated[int, typer.Option(min=2, help="rows of a training set of the next study")] = 1000,
) -> None:
    """Say which synthetic share follows from what people say of posting, and the regime of a next study with it.

    Whoever disagrees with posting less posts on as before, whoever agrees posts nothing more, and between them it is
    even. Real data stays what it was.
    """
    from ..judge.posting import INCLINED, regime_of
    from ..judge.posting import posting as following
    from ..study.selected import judged, survey_file

    study = study_of(name)
    arms = people_of(study) if arm is None else [arm_of_people(study, arm)]
    told = judged(study)
    answers = {
        one: [said for row in told.surveys.get(one, ()) if (said := row.get(INCLINED)) is not None] for one in arms
    }
    if not any(answers.values()):
        raise ValueError(f"{survey_file(study)}: has no answers; write it by: collapselab judge export {study.name}")
    for one, given in answers.items():
        if given:
            found = following(given, share)
            print(f"# {one}: {found.answered} people, who go on with {found.kept_up:.0%} of their posting:")
            print(f"# a synthetic share of {share:.0%} becomes {found.share:.1%}")
            print(f"{one}: {{{regime_of(found.share, n)}}}")
