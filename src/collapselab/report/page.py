"""The page: one HTML file that needs no network, from the template beside this module."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import vl_convert

from ..measure.roles import reads_classes
from ..study.selected import Selecting
from ..verdicts import ANALYSES, CLASSES_GIVEN, Finding, Record, StudyFacts, spell
from . import sections
from .adapted import of_study
from .axes import drawn_along, series_of
from .charts import VEGA_LITE, colours
from .colours import marks_of
from .footer import Footer, cited
from .headline import badge, headline, start
from .lines import STYLE
from .meaning import meaning
from .numbers import DRAWN, SETS, charts_of, endpoints, name_of, twins, unchanged
from .people import of_people
from .pictures import Pictures, kept_and_discarded, sheets_and_rows
from .sounds import to_hear
from .texts import sheets_of_texts

OPEN = ("frechet_distance", "precision")  # drawn unfolded beside the primary endpoint, in its feature space


def page(
    facts: StudyFacts,
    records: Sequence[Record],
    pictures: Pictures,
    costs: Sequence[Mapping[str, Any]],
    found: Mapping[str, Sequence[Finding]],
    charts: Mapping[str, Mapping[str, Any]],
    truths: Sequence[str],
    foot: Footer,
) -> str:
    """The whole page. facts: of all arms, also of those that calibrate; truths: what is said of estimates and truth;
    foot: what cites the study and runs it again.
    """
    every, facts = facts, facts.loops  # calibration arms have no curves
    in_all, fingerprints = sections.fingerprint_table(records)
    nouns, lineage = sections.lineage_table(every, records)
    holds, waived = sections.fairness(facts)
    expected = facts.seeds * (len(facts.arms) * (facts.generations + 1) + len(every.calibration))
    return _template().render(
        facts=facts,
        cells=len(records),
        expected=expected,
        calibrations=len(every.calibration),
        drawn=DRAWN if facts.seeds > DRAWN else 0,
        analyses=ANALYSES,
        of_primary=sections.answers(found, "primary"),
        definitions=sections.answers(found, "definitions"),
        tables=sections.tables(facts, found),
        primary=name_of(facts.primary),
        primary_set=SETS[facts.primary.set],
        **_curves(facts, records),
        charts=charts,
        along=[name for name in drawn_along(facts, records) if name in charts],
        adaptations=of_study(facts, colours(facts)),
        **_samples(facts, pictures),
        **_selected(pictures.selecting),
        numbers=_by_space(sections.numbers_table(facts, records)),
        risk=sections.risk_table(facts, records),
        growth=sections.growth_table(facts, records),
        forgotten=sections.forgetting_matrices(facts, records, found),
        undefined=sections.undefined_table(facts, records),
        **_first_screen(facts, records, found, len(records) < expected),
        **_look(facts),
        cited=cited,
        foot=foot,
        contract=holds,
        waived=waived,
        classes_given=CLASSES_GIVEN,
        given=[arm for arm in facts.arms if arm in facts.classes_given],
        reads_classes=reads_classes,
        in_all=in_all,
        fingerprints=fingerprints,
        nouns=nouns,
        lineage=lineage,
        costs=sections.cost_table(every, costs),
        library=_library(),
        truths=truths,
    )


def _selected(selecting: Selecting) -> Mapping[str, Any]:
    """What is said of arms whose samples somebody chose among: what was filled up, what was weighed, and by whom."""
    return {
        "topped_up": sections.topped_up(selecting.topped_up),
        "counted": sections.counted(selecting.counted),
        "people": of_people(selecting.judged),
    }


def _first_screen(
    facts: StudyFacts, records: Sequence[Record], found: Mapping[str, Sequence[Finding]], unfinished: bool
) -> dict[str, Any]:
    """The question, its answer with what stands beneath it, and what was poor from the start."""
    of_start, is_poor = start(facts, records)
    first = headline(facts, records, found, unfinished)
    beneath = [*first.beneath, *([of_start] if of_start and not is_poor else [])]
    return {
        "question": facts.question or "Does it get worse?",
        "headline": first._replace(beneath=beneath),
        "meaning": meaning(facts),
        "warned": [*([of_start] if is_poor else []), *sections.warned(records)],
        "badges": {one.arm: badge(facts, one) for one in found["primary_slope"]},
        "used": sections.used_words(facts),
    }


def _samples(facts: StudyFacts, pictures: Pictures) -> dict[str, Any]:
    """Samples to look at, to read, and to hear."""
    return {
        "pictures": sheets_and_rows(facts, pictures.grids, pictures.real),
        "texts": sheets_of_texts(facts, pictures.texts),
        "heard": to_hear(facts, pictures.clips, pictures.real_clips),
        "sorted_out": kept_and_discarded(facts.name, pictures.selecting.sorted_out),
    }


def _look(facts: StudyFacts) -> dict[str, Any]:
    """Arms' colours and marks, and the styles and scripts that lie beside this module."""
    return {
        "colours": colours(facts),
        "marks": marks_of(facts.arms),
        "series": series_of(facts),
        "style": beside("page.css") + STYLE,
        "script": beside("page.js"),
        "face_style": beside("face.css"),
        "face_script": beside("face.js"),
    }


def _by_space(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each feature space."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["extractor"], []).append(row)
    return found


def _curves(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Any]:
    """The charts beside that of the primary endpoint: those that are shown at once, and those that are folded, by what
    they have in common; and in words what is not drawn.
    """
    level, alike = unchanged(facts, records), twins(facts, records)
    first, folded = [], {}
    for endpoint in (one for one in endpoints(facts, records) if one not in level | alike):
        for name, which in charts_of(facts, records, endpoint).items():
            words = f"In the {endpoint.extractor} features"
            folded.setdefault(words, [])
            if name != name_of(endpoint):
                folded.setdefault(f"{words}, {SETS[which]}", []).append(name)
            elif endpoint.extractor == facts.primary.extractor and endpoint.metric in OPEN:
                first += [name] if name != name_of(facts.primary) else []
            elif name != name_of(facts.primary):
                folded.setdefault(words, []).append(name)
    return {
        "first_curves": first,
        "folded_curves": {words: names for words, names in folded.items() if names},
        "unchanged": [f"{facts.label(one.metric)} ({one.extractor}) {spell(number)}" for one, number in level.items()],
        "twins": [
            f"{facts.label(one.metric)} ({one.extractor}) as {other.metric.partition('.')[2]}"
            for one, other in alike.items()
            if one not in level
        ],
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(beside("page.html.jinja"))


def beside(name: str) -> str:
    """The text of a file that lies beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _library() -> str:
    """Vega, Vega-Lite and their embedder as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
