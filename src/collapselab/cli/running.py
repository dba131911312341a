"""A study run from its beginning to its report, with a line a job and, on a terminal, a bar of all of them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.naming import asked as asked_for
from ..machine.programs import search_path
from .run import importing
from .study import StudyName, study_of

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(rich_markup_mode=None)

HEEDED = {signal.SIGINT, signal.SIGTERM}
POLL_S = 0.2
SHOWN = 3  # jobs at work that are named below the bar
RATE_HZ = 4  # at which the bar is drawn


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    name: StudyName,
    opens: Annotated[bool, typer.Option("--open", help="open the report in a browser when it is there")] = False,
) -> None:
    """Run a study to its report: a line for each job, and a bar on a terminal.

    It calls snakemake with the workflow and the profile, and hands on whatever else is said: --cores 4, -n for a dry
    run, --workflow-profile profiles/slurm, --until, --forcerun, a file. The last line is the report's path. The exit
    code is snakemake's.
    """
    if name.startswith("-"):
        raise typer.BadParameter(f"found {name!r}; the study comes first: collapselab run STUDY {name} ...")
    if find_spec("snakemake") is None:
        raise ValueError("found no snakemake, which runs studies; run: pip install collapselab")
    _expect_options(context.args)
    study = study_of(name)
    with importing():
        from ..study import driving
    asked, before = context.args, driving.date_of(study)
    if not driving.runs_jobs(asked):
        raise typer.Exit(with_signals(driving.command(name, asked))[0])
    if before is None:
        print(driving.first_line(name), flush=True)
    shows = _is_terminal() and not driving.said(asked, "--quiet") and not driving.said(asked, "-q")
    how = _with_bar if shows else _plainly
    code, interrupted = how(driving, study.name, name, asked)
    print(driving.last_line(study, code, before, interrupted), flush=True)
    report = Path(study.report_file("report.html"))
    if opens and report.exists() and not code and not webbrowser.open(report.absolute().as_uri()):
        print(f"no browser was found to open {report}", file=sys.stderr)
    raise typer.Exit(code)


USUAL = {"--dry-run", "--quiet", "--forcerun", "--forceall", "-n", "-p", "-k", "-q", "-F", "-R"}
"""Options of snakemake that need no look at all of them, which takes a second."""
TAKING = {"--cores", "--jobs", "--workflow-profile", "--until", "-c", "-j", "-U"}
"""Those of them that take a value."""


def _expect_options(asked: Sequence[str]) -> None:
    """Raise BadParameter for an option that neither this verb nor snakemake has, or that is said without its value.

    Before anything begins: snakemake itself would answer with two hundred lines. As it does, this takes the beginning
    of an option for it, and what stands behind a hyphen and one letter for that one's value, or for more such letters.
    """
    words = asked[: asked.index("--")] if "--" in asked else asked
    wanted = [_option_of(word) for word in words]
    bare = [  # options behind which no value stands
        word
        for word, after in zip(words, [*words, "" if "--" in asked else None][1:], strict=True)
        if _option_of(word) == word and (after is None or _option_of(after))
    ]
    if not {*wanted} - {None} - USUAL - TAKING and not TAKING & {*bare}:
        return
    from snakemake.cli import get_argument_parser

    from .slips import option_meant

    actions = get_argument_parser()._option_string_actions
    known = [*actions, "--open"]
    for word in filter(None, wanted):
        if not any(one.startswith(word) for one in known) and word[:2] not in {*actions} - {"--"}:
            hint = asked_for(option_meant(word, known))
            raise typer.BadParameter(f"found {word}{hint}; allowed are --open, and snakemake's: snakemake --help")
    for word in bare:
        action = actions.get(word)
        if action is not None and (action.nargs in (None, "+") or action.nargs in range(1, 9)):
            takes = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
            raise typer.BadParameter(f"found {word} without a value; it takes one: {word} {takes}")


def _option_of(word: str) -> str | None:
    """The option that a word says, without its value; None of a word that is no option, as a text with a space."""
    if not re.match("--?[A-Za-z]", word) or " " in word:
        return None
    return word.partition("=")[0] if word.startswith("--") else word[:2]


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "dumb")


# -- the process -------------------------------------------------------------------------------------------------------


def with_signals(command: Sequence[str], **pipes: Any) -> tuple[int, bool]:
    """Run a command; its exit code, 128 and more where a signal ended it, and whether one has come here."""
    environment = os.environ | {"PATH": search_path()}  # jobs call collapselab by its name
    with _held_back() as before:
        child = subprocess.Popen(
            command, env=environment, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before), **pipes
        )
        heard = _heed(child)
    code = child.returncode
    return (128 - code if code < 0 else code), heard


@contextmanager
def _held_back() -> Iterator[set[signal.Signals]]:
    """Within it signals wait until they are asked for; what was held back before."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*HEEDED, signal.SIGCHLD})
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _heed(child: subprocess.Popen) -> bool:
    """Wait for a process, and hand on what is sent to this one alone; whether anything has been sent.

    Ctrl-C reaches all that the terminal runs in front, snakemake among them: handed on it would come twice, and a
    second one ends jobs where they are. Such a signal comes from the kernel, and not from a process.
    """
    heard = False
    while child.poll() is None:
        found = signal.sigtimedwait({*HEEDED, signal.SIGCHLD}, POLL_S)
        if found and found.si_signo in HEEDED:
            heard = True
            if found.si_code <= 0:
                child.send_signal(found.si_signo)
    return heard


def _plainly(driving: Any, title: str, name: str, asked: Sequence[str]) -> tuple[int, bool]:
    """Run a study whose lines go where this process's go; what :func:`with_signals` says."""
    return with_signals(driving.command(name, asked))


# -- a terminal --------------------------------------------------------------------------------------------------------


def _with_bar(driving: Any, title: str, name: str, asked: Sequence[str]) -> tuple[int, bool]:
    """Run a study below whose lines a bar stands; what :func:`with_signals` says."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, TextColumn("{task.fields[left]}"))
    task, at_work = bar.add_task(title, total=None, left=""), Text(style="dim", no_wrap=True, overflow="ellipsis")

    def move(text: str) -> None:
        told = json.loads(text)
        bar.update(task, completed=told["done"], total=told["total"], left=told["left"])
        names = told["at_work"]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        at_work.plain = f"at work: {', '.join(names[:SHOWN])}{more}" if names else ""

    with ExitStack() as stack:
        drawn = {"refresh_per_second": RATE_HZ, "transient": True, "redirect_stdout": False}
        stack.enter_context(Live(Group(bar, at_work), console=console, **drawn))
        said = stack.enter_context(_pipe(lambda line: _show(console, line)))
        channel = stack.enter_context(_pipe(move))
        return with_signals(driving.command(name, asked, channel), stdout=said, stderr=said, pass_fds=[channel])


@contextmanager
def _pipe(heed: Callable[[str], None]) -> Iterator[int]:
    """The end of a pipe to write to; each line that comes is heeded, the last of them before this ends."""
    out, into = os.pipe()

    def read() -> None:
        with open(out, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                heed(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield into
    finally:
        os.close(into)
        reader.join()


def _show(console: "Console", line: str) -> None:
    style = "bold red" if line.startswith("FAILED") else "bold yellow" if line.startswith("WAITS") else None
    console.print(line, style=style, markup=False, soft_wrap=True)
