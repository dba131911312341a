"""What no record can say: the answers of whoever publishes, from a YAML file beside the study.

All of them are optional. One that is missing stays in the dossier as a question, so that a reader sees that it is open.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..study.faults import BadStudy, Fault, validated
from ..study.file import Part
from ..study.reading import parse

Said = Annotated[str, Field(min_length=1)]
YesNo = Literal["yes", "no"]


def _asked(question: str) -> Any:
    return Field(None, description=question)


class Provider(Part):
    """Who publishes."""

    name: Said | None = _asked("Who provides the model or the data: a name, or a firm?")
    address: Said | None = _asked("Under which postal address, e-mail or page are they reached?")
    representative: Said | None = _asked(
        "Who is the authorised representative in the European Union, if one is needed?"
    )
    authors: list[Said] = Field([], description="Who are the authors, as a citation names them: 'Family, Given'?")
    monthly_users: Annotated[int, Field(ge=0)] | None = _asked("How many people use the system each month?")


class System(Part):
    """What is published."""

    name: Said | None = _asked("Under which name is the model or the data set published?")
    version: Said | None = _asked("In which version?")
    licence: Said | None = _asked("Under which licence: an identifier of SPDX, such as CC-BY-4.0?")
    released: Said | None = _asked(
        "When is it placed on the market or put on a website (YYYY-MM-DD), and before that: was it?"
    )
    channels: Said | None = _asked("How is it distributed, and how is it integrated?")
    tasks: Said | None = _asked("For which tasks is it meant?")
    acceptable_use: Said | None = _asked("Which uses are allowed, and which are not?")
    harms: Said | None = _asked("Which risks and harms are known beside those that were measured?")
    detector: Said | None = _asked("Where is the free detector that tells people whether something is from the system?")
    visible_mark: Said | None = _asked("Which visible mark or icon do people see on what the system makes?")
    log: Said | None = _asked("Is a log or registry of fingerprints kept, and where?")
    time_stamps: Said | None = _asked("Who puts a trusted time stamp on the signed metadata?")
    licensees: Said | None = _asked("How are licensees bound to keep the disclosure, and who withdraws a licence?")


class Sources(Part):
    """The real data."""

    owner: Said | None = _asked("Who owns the real data, or publishes them?")
    licence: Said | None = _asked("Under which licence are the real data: an identifier of SPDX, or words?")
    obtained: Said | None = _asked("Were they bought, licensed, public, scraped, or of one's own users?")
    domains: Said | None = _asked("If they were scraped: by which crawler, when, and from which domains most of all?")
    collected: Said | None = _asked("In which period were they collected, and does it go on?")
    first_used: Said | None = _asked("When were they first used in development (YYYY-MM-DD)?")
    purpose: Said | None = _asked("How do they serve the purpose of the system?")
    protected: Said | None = _asked(
        "Are they protected by copyright, trademark or patent, or are they in the public domain?"
    )
    personal: Said | None = _asked("Do they hold personal information, faces or voices, and of whom?")
    consumers: Said | None = _asked("Do they hold aggregate consumer information?")
    cleaned: Said | None = _asked("How were they cleaned or changed before collapselab read them, and why?")
    reservations: Said | None = _asked(
        "How were reservations of rights (opt-outs from text and data mining) respected?"
    )
    illegal: Said | None = _asked("How was illegal content looked for and removed?")


class Answers(Part):
    """All that is asked."""

    provider: Provider = Provider()
    system: System = System()
    sources: Sources = Sources()


SECTIONS = {"provider": Provider, "system": System, "sources": Sources}


def read(path: Path | None) -> Answers:
    """The answers of a file; of none, no answers. Raises BadStudy with every fault: unknown keys, and wrong values."""
    if path is None:
        return Answers()
    path.stat()  # who is lacking is no study
    raw, lines, faults = parse(path)
    raw = {name: _plain(said) for name, said in raw.items()}
    found = validated(Answers, raw, (), faults)
    if found is None or faults:
        raise BadStudy(path, faults or [Fault((), "cannot be read as answers")], lines)
    return found


def _plain(said: Any) -> Any:
    """A section without the keys that are left empty, which are not answered."""
    if not isinstance(said, dict):
        return {} if said is None else said
    return {key: value for key, value in said.items() if value is not None}


def template() -> str:
    """A file of all questions as comments over keys that are not answered yet."""
    lines = [
        "# Answers for `collapselab dossier`. All are optional: what is left empty stays a question in the dossier."
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"{name}:"]
        for key, field in section.model_fields.items():
            lines += [f"  # {field.description}", f"  {key}:"]
    return "\n".join(lines) + "\n"
