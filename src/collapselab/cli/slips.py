"""What is said to somebody whose command line could not be read, beside what is wrong with it: what to type instead."""

import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.naming import asked, meant, nearest

STUDY = "a study's name, or its YAML file"
"""What the help says of an argument that is a study."""

ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("evaluate", "eval", "score", "metrics", "metric", "fid", "distance"), "measure"),
    **dict.fromkeys(("start", "resume", "continue", "restart", "execute", "snakemake", "loop"), "run"),
    **dict.fromkeys(("generate", "samples"), "sample"),
    **dict.fromkeys(("fit", "training"), "train"),
    **dict.fromkeys(("finetune", "fine-tune", "tune", "lora", "unlearn"), "adapt"),
    **dict.fromkeys(("search", "guidance"), "guide"),
    **dict.fromkeys(("features", "embed"), "extract"),
    **dict.fromkeys(("clean", "prune", "delete", "rm"), "gc"),
    **dict.fromkeys(("create", "begin"), "new"),
    **dict.fromkeys(("lint", "config"), "validate"),
    **dict.fromkeys(("dry-run", "dryrun", "cost", "costs", "studies"), "plan"),
    **dict.fromkeys(("progress", "watch", "queue"), "status"),
    **dict.fromkeys(("plot", "figures", "html"), "report"),
    **dict.fromkeys(("csv", "latex", "bibtex", "cite"), "table"),
    **dict.fromkeys(("mlflow", "mirror"), "track"),
    **dict.fromkeys(("download", "fetch"), "weights"),
    **dict.fromkeys(("models",), "families"),
    **dict.fromkeys(("info", "diagnose", "gpu"), "doctor"),
    **dict.fromkeys(("papers", "field"), "gallery"),
    **dict.fromkeys(("survey", "serve", "rate"), "judge"),
    **dict.fromkeys(("dvc",), "stages"),
    **dict.fromkeys(("diff",), "compare"),
    **dict.fromkeys(("provenance", "c2pa"), "check"),
}
"""word that others call a verb by -> the verb."""

BESIDE: Mapping[str, str] = {"version": "--version", "help": "-h"}
"""word that others call by as a verb -> the option that it is."""

OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(("--output", "-o", "--save"), "--out"),
    **dict.fromkeys(("--n", "-n", "--num", "--number", "--samples"), "--count"),
    **dict.fromkeys(("--real", "--reference", "--ref"), "--against"),
    **dict.fromkeys(("--features", "--network", "--model", "--encoder"), "--extractor"),
    **dict.fromkeys(("--size", "--resize", "--side"), "--resolution"),
    **dict.fromkeys(("--browser", "--show", "--view"), "--open"),
    "--guidance": "--sampling-bias",
}
"""option as other programs call it -> what it may be called here."""


def show(error: Any) -> None:
    """Print what is wrong with a command line, as typer words it, and below it what may have been meant."""
    if getattr(error, "ctx", None) is None and (read := _read_for(error)):
        error.ctx, error.cmd = read, read.command
    error.message = error.message.removeprefix("Value error, ")
    if found := re.fullmatch(r"'([^']*)' is not one of (.*)\.", error.message):
        names = re.findall("'([^']*)'", found[2])
        error.message = f"found {found[1]!r}{meant(found[1], names)}; allowed: {', '.join(names)}"
    if _meant_verb(getattr(error, "ctx", None), error.message):  # typer would name another, which is near in letters
        error.message = error.message.partition(" Did you mean")[0]
    error.show()
    for line in _cures(error):
        print(line, file=sys.stderr)


def _cures(error: Any) -> Iterator[str]:
    context = getattr(error, "ctx", None)
    if context is None:
        return
    if hasattr(error, "param_type"):
        yield from _missing(context, error.param)
    elif (wrong := getattr(error, "option_name", None)) and not hasattr(error, "possibilities"):
        yield from (_taken(wrong, one, context) for one in context.command.params if wrong in one.opts)
    elif wrong:
        known = [word for one in context.command.params for word in one.opts if word.startswith("--")]
        if OPTIONS.get(wrong) in known or not error.possibilities:  # else typer has named the nearest
            yield f"Allowed are {', '.join([*known, '--help'])}{asked(option_meant(wrong, known))}"
    elif verb := _meant_verb(context, error.message):
        yield f"Did you mean {verb!r}?" + ("" if verb in BESIDE.values() else f" See {context.command_path} {verb} -h")
    elif "No such command" in error.message and "Did you mean" not in error.message:
        yield f"All of them: {context.command_path} -h"


def _meant_verb(context: Any, message: str) -> str | None:
    """What is called otherwise here, or in small letters, of a verb that there is not; None of all else."""
    found = re.match(r"No such command '([^']*)'", message)
    if found is None or context is None:
        return None
    word = found[1].lower()
    if word in context.command.commands:
        return word
    beside = BESIDE.get(word)
    if context.parent is None:
        return beside or ELSEWHERE.get(word)
    return beside if beside == BESIDE["help"] else None


def _read_for(error: Any) -> Any:
    """Whose command line was read when an error arose; typer does not say it where an option's value is wrong."""
    found = (frame.f_locals.get("ctx") for frame, _ in traceback.walk_tb(error.__traceback__))
    return next((one for one in reversed([*found]) if hasattr(one, "command")), None)


def _taken(word: str, option: Any, context: Any) -> str:
    """What an option takes, of one that was said without its value, or with one that it has not."""
    if option.is_flag:
        return f"{word} is said by itself, without a value"
    choices = option.display_type(context).strip("<>").split("|")
    if len(choices) > 1:
        return f"{word} takes one of {', '.join(choices)}"
    return f"{word} takes a value" + (f": {option.help}" if option.help else "")


def option_meant(wrong: str, known: list[str]) -> list[str]:
    """The options that one which there is not may have meant: what others call so, or the nearest in letters."""
    if OPTIONS.get(wrong) in known:
        return [OPTIONS[wrong]]
    bare = {one.lstrip("-"): one for one in known if one.startswith("--")}  # hyphens make all options alike
    return [bare[one] for one in nearest(wrong.lstrip("-"), bare)]


def _missing(context: Any, lacking: Any) -> Iterator[str]:
    """What is needed, where more than one thing is; and which studies there are where one is to be named."""
    needed = [one for one in context.command.params if one.required]
    if len(needed) > 1:
        yield "It needs:"
        width = max(len(_called(one)) for one in needed)
        yield from (f"  {_called(one):{width}}  {one.help or ''}".rstrip() for one in needed)
    if lacking is not None and lacking.help == STUDY:
        yield from _studies(context.command_path)


def _called(one: Any) -> str:
    return max((word for word in one.opts), key=len)


def _studies(command: str) -> Iterator[str]:
    """The studies that may be named, by where they lie, and how one begins another."""
    from ..core.shipped import shipped

    own = sorted(file.stem for file in Path("config").glob("*.yaml"))
    with_package = sorted({file.stem for file in shipped("config").glob("*.yaml")} - {*own})
    papers = sorted(file.stem for file in (shipped("config") / "papers").glob("*.yaml"))
    first = next((one for one in ("quickstart", *own, *with_package) if one in {*own, *with_package}), "NAME")
    yield f"Say which study: {command} {first}"
    for where, names in (("in config/ here", own), ("that come with the package", with_package)):
        if names:
            yield f"Studies {where}: {', '.join(names)}"
    if papers:
        yield f"After published papers: {command} config/papers/{papers[-1]}.yaml, and so {', '.join(papers[:-1])}"
    yield "One of your own begins with: collapselab new NAME"
