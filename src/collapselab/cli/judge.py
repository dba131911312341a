"""People who judge samples: their page, their links, and the rounds that they judge in."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import store
from ..core.extras import expect_extra
from .agreement import agreement, posting
from .run import importing
from .simulate import arm_of_people, people_of, simulate
from .study import StudyName, study_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(rich_markup_mode=None)

judge_app = typer.Typer(
    help="Let people judge samples in a web page, and close their rounds.", rich_markup_mode=None, no_args_is_help=True
)
app.add_typer(judge_app, name="judge")
for verb in (agreement, posting, simulate):
    judge_app.command()(verb)

HOST, PORT, POLL_S = "127.0.0.1", 8000, 10.0

Database = Annotated[
    str | None, typer.Option(help="sqlite:///FILE on a local disk, or postgresql+psycopg://…; judging/STUDY/judging.db")
]
Arm = Annotated[str | None, typer.Option(help="the arm; may be left out where only one has people")]
Seed = Annotated[int | None, typer.Option(min=0, help="the replicate of the round")]
Turn = Annotated[int | None, typer.Option("--generation", min=0, help="the generation of the round")]
Url = Annotated[str | None, typer.Option(help="by what people call the page, as https://judge.example.org")]


# -- what several need -------------------------------------------------------------------------------------------------


def _engine(study: Any, database: str | None, new: bool = False) -> "Engine":
    """The database of a study's rounds. Raises ValueError where there is none, unless it may be ``new``, and where the
    extra is not installed.
    """
    expect_extra("judge", "fastapi", "sqlalchemy", "uvicorn", "jinja2", "multipart")
    with importing():
        from ..judge import database as db

    return db.opened(database or db.default_url(study.name), new)


def _judged(name: str) -> Any:
    """A study in which people judge. Raises ValueError for one in which nobody does."""
    study = study_of(name)
    people_of(study)
    return study


def _options(study: Any, arm: str) -> Any:
    """How the rounds of an arm are held."""
    from ..select.judging import Judging
    from ..study.judged import judging_options

    found = judging_options(study, arm)
    return Judging.model_validate({name: getattr(found, name) for name in Judging.model_fields})


# -- the page ----------------------------------------------------------------------------------------------------------


@judge_app.command()
def serve(
    name: StudyName,
    database: Database = None,
    host: Annotated[str, typer.Option(help="the address at which the server listens")] = HOST,
    port: Annotated[int, typer.Option(min=1, max=65535, help="and its port")] = PORT,
    url: Url = None,
    poll: Annotated[float, typer.Option(min=0.1, help="seconds between looks for samples that wait")] = POLL_S,
) -> None:
    """Serve the judging page of a study, and open a round whenever samples have been made that wait for people."""
    study = _judged(name)
    address = _address(url, f"http://{f'[{host}]' if ':' in host else host}:{port}")
    engine = _engine(study, database, new=True)
    from ..judge import database as db
    from ..judge import panel, serving
    from ..judge.site import Site

    site, source = Site(engine, study.name, address), _source(study)
    with serving.bound(host, port) as listens:
        opened = serving.look_around(site, source)
        with db.writing(engine) as connection:  # at last: it ends the link of a server that may still run
            token = panel.new_admin(connection, study.name)
        print(f"the page: {site.url}\nfor you alone: {site.url}/admin/join/{token}")
        print("\n".join([f"links for people: collapselab judge invite {study.name}", *opened]), flush=True)
        serving.serve(site, source, listens, poll)


def _address(url: str | None, default: str) -> str:
    """By what people call the page. Raises BadParameter for what leads nowhere from a browser or a letter."""
    from urllib.parse import urlsplit

    said = (url or default).rstrip("/")
    try:
        parts = urlsplit(said)
        is_whole = (
            parts.scheme in ("http", "https") and parts.hostname and not parts.path + parts.query + parts.fragment
        )
    except ValueError:  # brackets that do not close
        is_whole = False
    if not is_whole:
        raise typer.BadParameter(
            f"found {said!r}; allowed is https://HOST or http://HOST:PORT, without a path", param_hint="--url"
        )
    return said


def _source(study: Any) -> Any:
    """Where the rounds of a study come from."""
    from ..judge.rounds import Pool
    from ..judge.serving import Source
    from ..study.judged import arms_of_people, waiting

    options = {arm: _options(study, arm) for arm in arms_of_people(study)}

    def pools() -> Any:
        for one in waiting(study):
            place = (study.name, one.arm, one.seed, one.generation, one.pool, one.export)
            yield Pool(*place, study.file.seed, one.turns, one.seeds), options[one.arm]

    def real() -> Any:
        path = Path(study.part_file("train"))
        if not path.exists():
            raise ValueError(f"{path}: is not there, of which examples are made; run: snakemake {path}")
        return store.read_samples(path).data

    return Source(pools, real, Path("judging", study.name))


# -- people ------------------------------------------------------------------------------------------------------------


@judge_app.command()
def invite(
    name: StudyName,
    arm: Arm = None,
    count: Annotated[int | None, typer.Option(min=1, help="how many; all places that are free if left out")] = None,
    replace: Annotated[str, typer.Option(help="CODE of somebody whose place is taken over; what they did stays")] = "",
    renew: Annotated[str, typer.Option(help="CODE of somebody who needs another link; the old one ends")] = "",
    revoke: Annotated[str, typer.Option(help="CODE of somebody whose link ends, and whose place becomes free")] = "",
    database: Database = None,
    url: Url = None,
) -> None:
    """Print invite links, a code and a link a line. They are stored nowhere else."""
    study = _judged(name)
    arm = arm_of_people(study, arm)
    url = url and _address(url, "")
    options, engine = _options(study, arm), _engine(study, database, new=True)
    from ..judge import database as db
    from ..judge import panel
    from ..judge.serving import remembered_link

    if sum(map(bool, (replace, renew, revoke, count))) > 1:
        raise typer.BadParameter("found several of --count, --replace, --renew and --revoke; allowed is one")
    with db.writing(engine) as connection:
        if revoke:
            panel.revoke(connection, study.name, arm, revoke)
            found = []
        elif replace or renew:
            found = [(panel.replace if replace else panel.renew)(connection, study.name, arm, replace or renew)]
        else:
            wanted = panel.free(connection, study.name, arm, options.judges) if count is None else count
            found = panel.invite(connection, study.name, arm, options.judges, wanted)
    if not found and not revoke:
        full = f"all {options.judges} places of {arm} have a link already, which nobody can print again"
        print(f"{full}; who has lost theirs gets another by --renew CODE: collapselab judge status", file=sys.stderr)
    default = f"http://{HOST}:{PORT}"
    url = (url or remembered_link(engine, study.name, default)).rstrip("/")
    if found and url == default and not remembered_link(engine, study.name, ""):
        told = f"nobody has served the page yet: these links lead to {default}, where judge serve serves it by itself"
        print(f"{told}; if it is to be elsewhere, serve it first, or say --url", file=sys.stderr)
    for one in found:
        print(f"{one.code}\t{url}/join/{one.token}")


@judge_app.command()
def forget(
    name: StudyName, code: Annotated[str, typer.Argument(help="whose")], arm: Arm = None, database: Database = None
) -> None:
    """Delete everything that hangs on somebody's code."""
    study = _judged(name)
    arm, engine = arm_of_people(study, arm), _engine(study, database)
    from ..judge import database as db
    from ..judge import panel
    from ..judge.rounds import rounds_of

    with db.writing(engine) as connection:
        gone = panel.forget(connection, study.name, arm, code)
        exports = [Path(one["export"]) for one in rounds_of(connection, study.name, arm)]
    print(f"{code}: {gone} judgements were deleted, and the link has ended")
    if not db.emptied(engine):
        print(f"{engine.url.database}-wal: is being read, and has what was deleted until the server ends")
    held = [path for path in exports if path.exists() and code in store.read_ballots(path).judges]
    for path in held:
        print(
            f"{path}: still has the code {code}, which now leads to nobody; what was trained on it cannot be untrained"
        )


# -- rounds ------------------------------------------------------------------------------------------------------------


@judge_app.command()
def status(
    name: StudyName,
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with what each person does")] = False,
) -> None:
    """Say how rounds and people stand: who is missing, and how well it goes."""
    study = _judged(name)
    engine = _engine(study, database)
    from ..judge.admin import told

    with engine.connect() as connection:
        found = told(connection, study.name, deep=True)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for one in found["rounds"]:
        place = f"arm {one['arm']}, seed {one['seed']}, generation {one['generation']}"
        print(f"{place}: {'open' if one['open'] else 'closed'}, {one['done']} of {one['of']} judgements")
        if one["open"] and one["missing"]:
            print("  missing: " + ", ".join(f"{code} ({count} to go)" for code, count in one["missing"].items()))
        for label, words in one["agreement"].items():
            print(f"  {label}: {words}")
    trained = sum(one["trained"] for one in found["people"])
    print(f"{len(found['people'])} people are invited, {trained} have passed the training")


@judge_app.command()
def close(
    name: StudyName,
    arm: Arm = None,
    seed: Seed = None,
    generation: Turn = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="although somebody is missing")] = False,
    database: Database = None,
) -> None:
    """Close a round, and write its ballots where the workflow waits for them."""
    study = _judged(name)
    engine = _engine(study, database)
    from ..judge import rounds

    with engine.connect() as connection:
        one = rounds.one_round(connection, study.name, arm, seed, generation)
    path = rounds.close(engine, one, anyway)
    print(f"{path}\nnext: collapselab run {study.name}")


@judge_app.command()
def export(
    name: StudyName,
    database: Database = None,
    out: Annotated[Path | None, typer.Option(help="folder for the survey; ballots/STUDY if left out")] = None,
) -> None:
    """Write the ballots of closed rounds that are not there, and the survey, which no code leads to."""
    study = _judged(name)
    engine = _engine(study, database)
    from ..judge import rounds, survey

    with engine.connect() as connection:
        every = rounds.rounds_of(connection, study.name)
        answered = survey.answered(connection, study.name)
    if not every and not answered:
        raise ValueError(f"{study.name}: no round was opened yet, so that there is nothing to export")
    for one in every:
        if one["closed"] is not None and rounds.is_last(engine, one):
            stays = ": is there, and stays as it was" if rounds.is_exported(one) else ""
            print(f"{rounds.export(engine, one)}{stays}")
    path = (out or Path("ballots", study.name)) / "survey.csv"
    text = survey.table(answered)
    store.write_hashed(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    print(f"{path}: {len(answered)} people have answered")
