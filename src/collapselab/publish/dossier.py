"""The data-lineage dossier: what a study's records say to the duties of laws on generative models, and what not.

Every field says how it is known: from the records, from the publisher's answers, or not at all.
"""

from collections.abc import Iterator

from .. import __version__
from ..verdicts import spell
from . import sayings
from .document import Document, Field, Section, State, Table
from .duties import LAWS, Duty
from .known import Known

HASHES_SHOWN = 200  # files that are listed one by one; an export's crate has them all


def dossier(known: Known, made_on: str) -> Document:
    """The whole dossier. made_on: the day, YYYY-MM-DD."""
    study = known.study
    foreword = [
        f"Where the data of the study {study.name} come from, and what became of them: made by collapselab "
        f"{__version__} on {made_on} from the study's own records.",
        "It goes through the fields that the EU AI Act (articles 50 and 53), California AB 2013 and California SB 942 "
        "ask for. It is no legal advice: whether a law applies to you, and whether an answer is enough, a program "
        "cannot say.",
    ]
    if known.missing:
        foreword.append(f"The study is not finished: {len(known.missing)} generations are not measured yet.")
    laws = [
        Section(name, law.title, [law.about], (), [_field(duty, known) for duty in law.duties])
        for name, law in LAWS.items()
    ]
    title = f"Data lineage of {study.name}"
    return Document(title, foreword, [_study(known), _data(known), _generations(known), *laws, _files(known)])


def _field(duty: Duty, known: Known) -> Field:
    said: list[tuple[State, str]] = []
    if duty.known and (words := duty.known(known)):
        said.append(("known", words))
    answer = _answer(duty.answer, known) if duty.answer else None
    if answer is not None:
        said.append(("answered", answer))
    elif duty.answer:
        said.append(("open", f"{_question(duty.answer, known)} ({duty.answer} in the file of answers)"))
    if duty.unknown:
        said.append(("unknown", duty.unknown))
    return Field(duty.where, duty.asked, said or [("unknown", "the records say nothing of it")])


def _answer(key: str, known: Known) -> str | None:
    section, _, name = key.partition(".")
    found = getattr(getattr(known.answers, section), name)
    return None if found is None else str(found)


def _question(key: str, known: Known) -> str:
    section, _, name = key.partition(".")
    return type(getattr(known.answers, section)).model_fields[name].description


# -- what the records say, as tables -----------------------------------------------------------------------------------


def _study(known: Known) -> Section:
    study = known.study
    rows = {
        "question": study.file.question,
        "arms": "; ".join(f"{name}: {study.lineages[name].about or 'as its regime says'}" for name in study.file.arms),
        "seeds and generations": f"{study.file.seeds} seeds, generations 0 to {study.file.generations}",
        "models": sayings.models(known),
        "operations": sayings.flop(known),
        "energy": sayings.energy(known),
        "when": sayings.period(known),
        "harms": sayings.harms(known),
        "to make it again": sayings.reproduce(known),
    }
    return Section("study", "The study", (), [_facts("The study in short", rows)])


def _data(known: Known) -> Section:
    rights = known.rights
    rows = {
        "source": sayings.source(known),
        "owner": rights.owner,
        "licence": rights.licence,
        "collected": rights.collected,
        "of people": rights.people,
        "note": rights.note,
        "kind": sayings.modality(known),
        "labels": sayings.labels(known),
        "split": sayings.split(known),
    }
    return Section("data", "The real data", (), [_facts("Whose data they are, and which rows went where", rows)])


def _facts(caption: str, rows: dict[str, str]) -> Table:
    said = [[name, words or "not known to collapselab"] for name, words in rows.items()]
    return Table(caption, ("what", "as the records say it"), said)


def _generations(known: Known) -> Section:
    words = [
        "Rows of the training sets, of one seed each; real rows are of the real data above, and synthetic ones are "
        "samples of the study's own models. Models to real data: how many of them stand between a row and real data, "
        "on average over the rows. A kept sample is one that the arm's selectors let the next generation eat."
    ]
    columns = (
        "arm",
        "generation",
        "real rows",
        "synthetic rows",
        "synthetic share",
        "of which models",
        "models to real data",
        "bias",
        "made",
        "kept",
    )
    rows = [
        [
            one.arm,
            str(one.generation),
            f"{one.real:,g}",
            f"{one.synthetic:,g}",
            f"{one.share:.0%}",
            one.eaten or "none",
            "–" if one.depth is None else spell(one.depth),
            f"{one.bias:g}",
            f"{one.made:,}",
            f"{one.kept:,}",
        ]
        for one in known.generations
    ]
    found = [Table("Generations", columns, rows, (1, 2, 3, 4, 6, 7, 8, 9))] if rows else []
    words += [] if rows else ["Nothing is measured yet."]
    return Section("generations", "Real and synthetic, generation by generation", words, [*found, *_steps(known)])


def _steps(known: Known) -> Iterator[Table]:
    """What the study measured at the last generation of each arm."""
    rows = []
    for metric in known.study.metric_options():
        for arm, space, which, mean in known.last(metric):
            rows.append([f"{known.label(metric)} ({space})", arm, which, spell(mean)])
    if rows:
        yield Table(
            "What was measured at the last generation, means over seeds", ("metric", "arm", "set", "mean"), rows, (3,)
        )


def _files(known: Known) -> Section:
    stored = known.stored
    more = f", of which the first {HASHES_SHOWN} are listed" if len(stored) > HASHES_SHOWN else ""
    words = [
        "The SHA-256 of every model and of every sample set as it was released; `sha256sum` computes it anew. "
        f"{len(stored):,} files are there{more}."
    ]
    rows = [[path, digest] for path, digest in stored[:HASHES_SHOWN]]
    return Section("files", "Identifiers", words, [Table("Files", ("file", "SHA-256"), rows)] if rows else [])
