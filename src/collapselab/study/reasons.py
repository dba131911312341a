"""Why jobs of a study would run again: which definition, which option or which input changed.

Snakemake says that a job's params changed, and both texts. What a job is told is taken apart into its options; of the
hashes of its source the workflow remembers, at each start, of which definitions they are.
"""

import ast
import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from .. import store
from ..core.errors import Damaged
from ..store import provenance, told
from . import jobs
from .study import Study

MEMORY = provenance.FOLDER / "sources.json"
DIGEST = re.compile(r"^[0-9a-f]{12}$")
BLOCK = re.compile(r"^\s*(?:local)?rule (\w+):\n(.*?)(?=^\s*\[|^\s*$|\Z)", re.MULTILINE | re.DOTALL)
REASON = re.compile(r"^\s*reason: (.*)$", re.MULTILINE)
CHANGED = re.compile(r"Params have changed since last execution:.*?before: (.*) now: (.*?)(?:; |$)")
SHOWN = 3  # definitions or values that are named, of more

Sources = Mapping[str, Mapping[str, str]]
"""hash of a source -> the definitions that it is of, with the hash of each."""


def sources(study: Study, known: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """The definitions behind every hash that a job of the study has; not of those that are known."""
    rooted = {jobs.roots(study, verb, place) for verb, place in jobs.every(study)}
    hashes = {provenance.source_hash(*roots): roots for roots in rooted}
    return {digest: provenance.sources(*roots) for digest, roots in hashes.items() if digest not in known}


def remember(study: Study) -> None:
    """Keep the definitions behind the hashes with which a run starts, beside what Snakemake remembers of its jobs."""
    MEMORY.parent.mkdir(parents=True, exist_ok=True)
    before = remembered()
    text = json.dumps({**before, **sources(study, before)}, sort_keys=True)
    store.write_atomically(MEMORY, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def remembered() -> dict[str, dict[str, str]]:
    """The same of all runs before; nothing where there is no such file, or somebody else's."""
    try:
        found = json.loads(MEMORY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def causes(planned: str, before: Sources, now: Sources) -> dict[str, Counter[str]]:
    """For each rule of a dry run why its jobs would run, in words, with the number of jobs.

    planned: what ``snakemake --dry-run`` prints. before, now: the definitions behind hashes.
    """
    found: dict[str, Counter[str]] = {}
    for rule, block in BLOCK.findall(planned):
        reason = REASON.search(block)
        why = "; ".join(words(reason[1], before, now)) if reason else "it is asked for"
        found.setdefault(rule, Counter())[why] += 1
    return found


def words(reason: str, before: Sources, now: Sources) -> Iterator[str]:
    """Why a job would run, in words, from what Snakemake says of it. before, now: the definitions behind hashes."""
    changed = CHANGED.search(reason)
    if changed:
        yield from _changes(*map(_literals, changed.groups()), before, now)
    elif "Missing output files" in reason:
        yield "not made yet"
    elif "Input files updated by another job" in reason:
        yield "its inputs are made anew"
    elif "Updated input files" in reason:
        files = reason.partition("Updated input files: ")[2].split(";")[0].split(", ")
        yield f"input changed: {_some([file.removesuffix('.sha256') for file in files])}"
    elif "Code has changed" in reason:
        yield "the rule of the workflow changed"
    else:
        yield reason.strip()


def _literals(text: str) -> list[str]:
    """The values of params, as Snakemake shows them."""
    try:
        return [str(value) for value in ast.literal_eval(f"[{text.strip().rstrip(',')}]")]
    except (SyntaxError, ValueError):
        return [text]


def _changes(old: list[str], new: list[str], before: Sources, now: Sources) -> Iterator[str]:
    """What differs between the params of two executions."""
    hashes = [[word for text in side for word in text.split() if DIGEST.match(word)] for side in (old, new)]
    if hashes[0] != hashes[1]:
        yield _definitions(*hashes, before, now)
    options = [_options([text for text in side if text.startswith("--")]) for side in (old, new)]
    for name in dict.fromkeys([*options[0], *options[1]]):
        was, became = (side.get(name) for side in options)
        if was != became:
            yield f"{name} {_short(was)} is now {_short(became)}"
    outside = [_outside(side) for side in (old, new)]
    if outside[0] != outside[1]:
        yield f"outside the study: {_some(sorted(outside[1] - outside[0]))}"


def _outside(texts: list[str]) -> set[str]:
    """What a job's identity says beside the hash of its source."""
    return {word for text in texts if DIGEST.match(text.partition(" ")[0]) for word in text.split() if "=" in word}


def _options(texts: list[str]) -> dict[str, str]:
    """``--name value`` words as a mapping; values that are said several times stand one after the other."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in _spelled_out([word for text in texts for word in shlex.split(text)]):
        if word.startswith("--"):
            name = word
            found.setdefault(name, [])
        else:
            found.setdefault(name, []).append(word)
    return {name: " ".join(values) for name, values in found.items()}


def _spelled_out(words: list[str]) -> list[str]:
    """The words with those that a job was told by a file, if it is still there."""
    try:
        return told.spelled_out(words)
    except (OSError, Damaged):
        return words


def _definitions(old: list[str], new: list[str], before: Sources, now: Sources) -> str:
    """Which definitions differ between sources."""
    was = {name: digest for one in old for name, digest in before.get(one, {}).items()}
    became = {name: digest for one in new for name, digest in now.get(one, {}).items()}
    if not was or not became:
        return "source changed (of what, no run has remembered)"
    texts = set(was.values())
    edited = [name for name, digest in became.items() if was.get(name, digest) != digest]
    added = [name for name, digest in became.items() if name not in was and digest not in texts]
    gone = [name for name, digest in was.items() if name not in became and digest not in set(became.values())]
    told = [(edited, "changed"), (added, "is new"), (gone, "is gone")]
    said = [f"{_some([_name(one) for one in names])} {what}" for names, what in told if names]
    return f"source: {'; '.join(said) or 'calls other definitions'}"


def _name(definition: str) -> str:
    return definition.removeprefix(f"{provenance.PACKAGE}.").replace(":", ".")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _short(text: str | None) -> str:
    if text is None:
        return "(not said)"
    return text if len(text) <= 60 else f"{text[:57]}…"
