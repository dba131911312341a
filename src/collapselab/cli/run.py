"""The frame around the verbs: signals, exit codes, what a process costs, several verbs and several processes.

Several verbs joined by ``+`` run in one process, since starting Python and torch costs as much as a small training. A
verb's module is imported when the verb is called: whoever asks for help, or misspells a verb, waits for none.
"""

import errno
import gc
import getpass
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from .. import __version__
from ..core.errors import Interrupted
from ..machine import processes
from ..machine.clock import Clock
from ..machine.progress import shown

EXIT_BAD_INPUT, EXIT_DAMAGED, EXIT_RESOURCES, EXIT_LOCKED, EXIT_WAITING, EXIT_DIVERGED = 2, 3, 4, 5, 6, 7
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)

clock = Clock()
_holding = ExitStack()
_held: set[Path] = set()

# -- verbs ------------------------------------------------------------------------------------------------------------


PANELS = {
    "study": "A study",
    "metrics": "Metrics, and what else is looked at",
    "share": "Tables, sharing, and where data come from",
    "people": "People",
    "machine": "Machine, cluster and models",
    "hand": "By hand: what the jobs of a study call",
}
"""panel of the help -> its title, in their order."""


class Verb(NamedTuple):
    """A verb as it is listed: the module of this package that has it, what its help begins with, and its panel."""

    module: str
    help: str
    panel: str = "study"
    hidden: bool = False


VERBS = {
    "prepare": Verb("prepare", "Read real images, split them once, and write parts of them.", "hand"),
    "populate": Verb("prepare", "Write down a known population, or draw its held-out samples.", "hand"),
    "task": Verb("prepare", "Write down which rows of a part of the real data are of a task.", "hand", hidden=True),
    "learn": Verb("prepare", "Train an extractor on the real training split.", "hand"),
    "draw": Verb("compose", "Draw what a training set needs and no file holds.", "hand"),
    "compose": Verb("compose", "Write down which rows make the training set of a generation.", "hand"),
    "train": Verb("train", "Train a model.", "hand"),
    "adapt": Verb("adapt", "Change a trained model.", "hand"),
    "auxiliary": Verb("adapt", "Train a further model that a guide steers by.", "hand"),
    "sample": Verb("sample", "Sample a model.", "hand"),
    "transform": Verb("transform", "Change samples on their way into the world.", "hand"),
    "ballots": Verb("ballots", "Take over the judgements of a closed round.", "hand", hidden=True),
    "judge": Verb("judge", "Let people judge samples in a web page, and close their rounds.", "people"),
    "select": Verb("select", "Choose which samples are kept for the next generation.", "hand"),
    "extract": Verb("extract", "Turn sample sets into feature matrices.", "hand"),
    "record": Verb("record", "Compare samples with real data and write one record of numbers.", "hand"),
    "stop": Verb("stop", "Decide whether a lineage is stopped after a generation.", "hand", hidden=True),
    "baseline": Verb("record", "Compare real data with real data.", "hand"),
    "replicate": Verb("replicate", "Run all seeds of an arm in one go.", "hand"),
    "measure": Verb("measure", "Compare any two sets of samples, without a study.", "metrics"),
    "look": Verb(
        "look", "Say what a folder, zip or array holds: what is read, what is passed over and why.", "metrics"
    ),
    "gallery": Verb(
        "gallery", "Run the small study of each paper of the field, and write what was found of its claim."
    ),
    "compare": Verb("compare", "Set numbers side by side that were measured alike.", "metrics"),
    "pretrained": Verb(
        "pretrained", "Sample, steer and tune text-to-image pipelines that lie on this machine.", "machine"
    ),
    "weights": Verb("weights", "Published weights: which are here, and how to get the others.", "machine"),
    "new": Verb("new", "Write a commented study to start from: config/NAME.yaml."),
    "init": Verb("new", "Write a commented study to start from: config/NAME.yaml.", hidden=True),
    "validate": Verb("study", "Check a study and report every fault."),
    "guide": Verb("guide", "Search for the guides and strengths of a finished model that no other beats.", "metrics"),
    "hallucinations": Verb("hallucinations", "Say how many samples of a model are impossible.", "metrics"),
    "uncovered": Verb("uncovered", "Say how much of each region of the real rows a study's samples reach.", "metrics"),
    "throughput": Verb("plan", "Time the training and the sampling of a study's models.", "machine"),
    "plan": Verb("plan", "Say what a study comes to, what it costs on this device, and what of it would run now."),
    "run": Verb("running", "Run a study to its report: a line for each job, and a bar on a terminal."),
    "status": Verb("status", "Say how far a study is: what is measured, at work, waiting or failed, and what is left."),
    "gc": Verb("gc", "Show what of a study may go."),
    "recipe": Verb("study", "Print what an arm's regime comes to at a generation.", "hand"),
    "stages": Verb("study", "Write the stages by which DVC runs and shares the studies in config/.", "machine"),
    "schema": Verb("study", "Print the JSON schema of a study, for editors.", "machine"),
    "report": Verb("report", "Draw a study's report: one HTML file, tables as CSV and JSON, figures as PDF."),
    "table": Verb(
        "table", "Print a table of a study: as Markdown, CSV or LaTeX, or its references as BibTeX.", "share"
    ),
    "track": Verb("track", "Mirror a study in MLflow.", "share"),
    "verify": Verb(
        "verify", "Recompute the hash of every file of a study, see that it lies where it belongs.", "share"
    ),
    "export": Verb("export", "Write samples, or a whole study, in formats that say where they come from.", "share"),
    "dossier": Verb("dossier", "Write where a study's data come from, field by field as laws ask it.", "share"),
    "certificate": Verb("export", "Make a key and certificates by which pictures are signed, to try with.", "share"),
    "check": Verb(
        "export", "Say where pictures come from, by themselves, and whether signatures and hashes hold.", "share"
    ),
    "trace": Verb("trace", "Print a sample's line back to real data.", "share"),
    "families": Verb("doctor", "List the model families.", "machine"),
    "doctor": Verb("doctor", "Look at this machine.", "machine"),
    "explain": Verb("doctor", "Say in one place what the failed jobs of a run said.", "hand", hidden=True),
}


@contextmanager
def importing() -> Iterator[None]:
    """Within it Python looks for no garbage: modules are none, and looking is a seventh of what their import costs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Verbs(TyperGroup):
    """The verbs of :data:`VERBS`, of which only the one that is called is imported."""

    def __init__(self, **attributes: Any):
        super().__init__(**attributes)
        # Their names are all that typer asks of them by itself, for what a misspelt one may have meant.
        self.commands = {name: None for name, verb in VERBS.items() if not verb.hidden}

    def get_command(self, context: Any, name: str) -> Any:
        """A verb by its name; None where there is none."""
        if name not in VERBS:
            return None
        with importing():
            module = import_module(f"{__package__}.{VERBS[name].module}")
        return typer.main.get_group(module.app).commands[name]

    def format_commands(self, context: Any, formatter: Any) -> None:
        """What the help of all verbs says of each."""
        width = max(map(len, self.commands))
        for panel, title in PANELS.items():
            with formatter.section(title):
                listed = [name for name in self.commands if VERBS[name].panel == panel]
                formatter.write_dl([(name.ljust(width), VERBS[name].help) for name in listed])

    def shell_complete(self, context: Any, incomplete: str) -> list[Any]:
        """What a beginning may be completed to, for a shell: verbs, of which none is imported, and options."""
        from typer.core import CompletionItem

        listed = [CompletionItem(name, help=VERBS[name].help) for name in self.commands if name.startswith(incomplete)]
        return listed + super(TyperGroup, self).shell_complete(context, incomplete)


app = typer.Typer(
    name="collapselab",
    cls=Verbs,
    help="What happens to a generative model when its training data is its own output, and what stops it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"collapselab {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before the verb."""


# -- signals ----------------------------------------------------------------------------------------------------------

_signals: list[int] = []
_training: list[bool] = []


def stop_requested() -> bool:
    """Whether a signal has come."""
    return bool(_signals)


def _on_signal(number: int, frame: Any) -> None:
    """A training is asked to save its state; everything else, and a second signal, ends at once."""
    _signals.append(number)
    if len(_signals) > 1 or not _training:
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it a signal is a request that the training answers at its next step."""
    _training.append(True)
    try:
        yield
    finally:
        _training.clear()


def _signal_exit() -> int:
    return 130 if _signals and _signals[0] == signal.SIGINT else 143


# -- running verbs ----------------------------------------------------------------------------------------------------


def main() -> None:
    """Run the verbs of the command line, which ``+`` joins, and end with one of the exit codes."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names have letters that a locale may not
    arguments = sys.argv[1:]
    cost = None
    if arguments[:1] == ["--cost"] and len(arguments) > 1:
        cost, arguments = Path(arguments[1]), arguments[2:]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        signal.signal(number, _on_signal)
    _find_home()
    verbs = _joined(arguments)
    code = guarded(_check_processes) or guarded(lambda: _hold(verbs))
    _remember()
    for verb in verbs if not code else ():
        code = run(verb)
        if code or _signals:
            code = code or _signal_exit()
            break
    if not code and cost is not None and processes.is_first():
        code = guarded(lambda: _write_cost(cost, arguments))
    _holding.close()
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        _keep_log()
    # Taking torch down in order costs up to a second, and there is nothing left to save.
    os._exit(code)


def _find_home() -> None:
    """Give a process a home that has none, as containers run one for a user whom their system does not know.

    This package keeps there what can be made again, and libraries look for it and for the user's name as they load.
    """
    try:
        Path.home()
        getpass.getuser()
    except (RuntimeError, KeyError, OSError):
        home = Path(tempfile.gettempdir()) / f"collapselab-{os.getuid()}"
        os.environ.setdefault("HOME", str(home))
        os.environ.setdefault("USER", f"user{os.getuid()}")


def _check_processes() -> None:
    """Raise ValueError unless the environment says how many processes there are in numbers, and both of two, or none.

    A process that is told its place and not their number would take itself for one of none, and write nothing.
    """
    for name in (processes.PROCESSES_VARIABLE, *TORCHRUN):
        text = os.environ.get(name, "1").strip()
        if not re.fullmatch("[0-9]{1,6}", text):
            raise ValueError(f"{name}: found {text!r}, allowed are whole numbers")
    said = [name for name in TORCHRUN if name in os.environ]
    if len(said) == 1:
        other = next(name for name in TORCHRUN if name not in said)
        found = f"found {os.environ[said[0]]!r} and no {other}"
        raise ValueError(f"{said[0]}: {found}; allowed are both, as torchrun sets them, or neither")
    if said and not processes.rank() < processes.count():
        found = f"found {processes.rank()} of {processes.count()} processes"
        raise ValueError(f"RANK: {found}; allowed are 0 to WORLD_SIZE - 1")


def _keep_log() -> None:
    """Put what a failed job of the workflow has said to what those before it did: its log begins anew at each retry."""
    with suppress(OSError):
        log = Path(os.readlink("/proc/self/fd/2"))
        if log.suffix == ".log" and log.is_file():
            said = log.read_bytes()
            with open(f"{log}.failed", "ab") as stream:
                stream.write(f"-- {time.strftime('%Y-%m-%d %H:%M:%S')} on {socket.gethostname()}\n".encode() + said)


def _hold(verbs: list[list[str]]) -> None:
    """Hold all that the verbs will write, until this process ends; Held where another process works at one of it.

    By hand a folder may not be there yet: then a verb that takes long holds its file by itself.
    """
    if processes.rank():  # the first of several processes holds it for all
        return
    for verb in verbs:
        launches = processes.wanted() > 1 and processes.count() == 1 and {*verb[:1]} & SHARED
        for flag, path in () if launches else pairwise(verb):
            if flag == "--out" and Path(path).parent.is_dir() and os.access(Path(path).parent, os.W_OK):
                from ..store.locks import held

                _holding.enter_context(held(Path(path)))
                _held.add(Path(path))


def _remember() -> None:
    """Know the hashes of source that other processes of a workflow have found, and leave it those that this one does.

    To find that of a network takes a quarter of a second, in each of its jobs.
    """
    if Path(".snakemake").is_dir():
        from ..store import provenance

        provenance.remember_in(provenance.FOLDER)
        _holding.callback(provenance.leave)


def holds(path: Path) -> bool:
    """Whether this process alone works at a file, from its beginning to its end."""
    return path in _held


def _joined(arguments: list[str]) -> list[list[str]]:
    verbs: list[list[str]] = [[]]
    for word in arguments:
        if word == "+":
            verbs.append([])
        else:
            verbs[-1].append(word)
    return verbs


def _write_cost(path: Path, arguments: list[str]) -> None:
    from .. import store

    store.write_json(path, {"verbs": [verb[0] for verb in _joined(arguments)], **clock.record()})


def run(verb: list[str]) -> int:
    """Run one verb with its arguments; its exit code."""
    return guarded(lambda: _shared(verb) or _alone(_spelled_out(verb)))


def _alone(verb: list[str]) -> Any:
    """Run a verb in this process, which says that it is at work where it writes results."""
    out = next((after for word, after in pairwise(verb) if word == "--out"), "")
    says = nullcontext()
    if RESULTS in Path(out).parts and processes.is_first():
        from ..store.beats import beating

        says = beating(verb[0], Path(out))
    shows = shown(verb[0]) if verb and processes.is_first() else nullcontext()
    with says, shows:
        return app(verb, prog_name="collapselab", standalone_mode=False)


def _spelled_out(verb: list[str]) -> list[str]:
    """A verb with what it is told by a file, if it is."""
    if "--told" not in verb:
        return verb
    from ..store import told

    return told.spelled_out(verb)


TORCHRUN = ("RANK", "WORLD_SIZE")  # which of several processes this one is, and how many there are
RESULTS = "results"  # the folder in which a verb that writes says that it is at work
SHARED = {"train", "adapt", "auxiliary", "sample"}  # verbs at which several processes work together


def _shared(verb: list[str]) -> int:
    """Run a verb in as many processes as the machine is said to have GPUs for; 0 where there is nothing to share.

    Their costs count as this process's own.
    """
    many = processes.wanted()
    if many == 1 or processes.count() > 1 or not {*verb[:1]} & SHARED:
        return 0
    from .. import store

    with tempfile.TemporaryDirectory() as folder:
        cost = Path(folder) / "cost.json"
        code = processes.launch(many, ["--cost", str(cost), *verb])
        if not code:
            clock.add(store.read_json(cost))
        raise typer.Exit(code)


def guarded(work: Callable[[], Any]) -> int:
    """The exit code of some work; every failure that a user can meet ends in one clear message."""
    try:
        result = work()
        code = result if isinstance(result, int) and not isinstance(result, bool) else 0
        return _signal_exit() if _signals and code else code  # typer returns 130 for every signal
    except typer.Exit as error:
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _signal_exit() if _signals else 130
    except typer.TyperException as error:
        from .slips import show  # after a failure, too

        show(error)
        return EXIT_BAD_INPUT
    except Exception as error:
        if (failure := _failure(error)) is None:
            raise
        message, code = failure
        print(f"collapselab: {message}", file=sys.stderr)
        return code


def _failure(error: Exception) -> tuple[str, int] | None:
    """What a user is told of a failure, and its exit code; None for a fault of ours, which keeps its trace."""
    from ..core.errors import (
        Damaged,
        Held,
        Waiting,  # after a failure, since what raises it is not light
    )

    match error:
        case Interrupted():
            return f"{error}; the same command goes on from there", _signal_exit()
        case Damaged():
            renamed = "; it was renamed to .damaged, and the next run of the workflow remakes it"
            return f"{error}{renamed if error.set_aside else ''}", EXIT_DAMAGED
        case Waiting():
            return str(error), EXIT_WAITING
        case Held():
            return str(error), EXIT_LOCKED
        case FileNotFoundError():
            return f"no such file: {error.filename}", EXIT_BAD_INPUT
        case MemoryError():
            return f"out of memory: {error}", EXIT_RESOURCES
        case ImportError() if _is_for_want_of_memory(error):
            return f"out of memory: {error}; allow more, as by ulimit -v", EXIT_RESOURCES
        case ModuleNotFoundError(name=str(name)) if not name.startswith("collapselab"):
            from ..core.extras import cure

            return f"found no {name}, which this needs; run: {cure(name)}", EXIT_RESOURCES
        case OSError():
            code = EXIT_RESOURCES if error.errno in NO_ROOM else EXIT_BAD_INPUT
            return f"cannot write or read{f' {error.filename}' * bool(error.filename)}: {error.strerror}", code
        case ValueError():
            return str(error), EXIT_BAD_INPUT
        case RuntimeError():
            return _failure_of_torch(error)
    return None


def _is_for_want_of_memory(error: ImportError) -> bool:
    """Whether a library could not be loaded since there was no room for it."""
    said = str(error).lower()
    return any(words in said for words in ("cannot allocate memory", "failed to map segment", "cannot map"))


def _failure_of_torch(error: RuntimeError) -> tuple[str, int] | None:
    said = str(error).lower()
    if processes.count() > 1 and "connection" in said:  # gloo's word; the launcher says which it was
        return "another of these processes is gone", EXIT_RESOURCES
    # torch raises its out-of-memory errors as RuntimeErrors.
    if any(words in said for words in ("out of memory", "can't allocate memory")):
        return f"out of memory: {error}; lower the model's batch or sample_batch", EXIT_RESOURCES
    return None
