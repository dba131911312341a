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
from .charts import VEGA_LITE, colours
from .colours import marks_of
from .lines import STYLE
from .numbers import DRAWN, SETS, endpoints, name_of, twins, unchanged
from .people import of_people
from .pictures import Grids, kept_and_discarded, sheets_and_rows


def page(
    facts: StudyFacts,
    records: Sequence[Record],
    grids: Grids,
    costs: Sequence[Mapping[str, Any]],
    found: Mapping[str, Sequence[Finding]],
    charts: Mapping[str, Mapping[str, Any]],
    truths: Sequence[str],
    selecting: Selecting,
) -> str:
    """The whole page. facts: of all arms, also of those that calibrate; truths: what is said of estimates and truth;
    selecting: what selecting has done.
    """
    every, facts = facts, facts.loops  # calibration arms have no curves
    in_all, fingerprints = sections.fingerprint_table(records)
    nouns, lineage = sections.lineage_table(every, records)
    holds, waived = sections.fairness(facts)
    return _template().render(
        facts=facts,
        cells=len(records),
        expected=facts.seeds * (len(facts.arms) * (facts.generations + 1) + len(every.calibration)),
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
        colours=colours(facts),
        marks=marks_of(facts.arms),
        adaptations=of_study(facts, colours(facts)),
        style=beside("page.css") + STYLE,
        script=beside("page.js"),
        pictures=sheets_and_rows(facts, grids),
        sorted_out=kept_and_discarded(facts.name, selecting.sorted_out),
        topped_up=sections.topped_up(selecting.topped_up),
        people=of_people(selecting.judged),
        numbers=sections.numbers_table(facts, records),
        risk=sections.risk_table(facts, records),
        growth=sections.growth_table(facts, records),
        forgotten=sections.forgetting_matrices(facts, records, found),
        undefined=sections.undefined_table(facts, records),
        warned=sections.warned(records),
        headline=sections.headline(facts, records),
        contract=holds,
        waived=waived,
        classes_given=CLASSES_GIVEN if facts.classes_given else "",
        reads_classes=reads_classes,
        in_all=in_all,
        fingerprints=fingerprints,
        nouns=nouns,
        lineage=lineage,
        costs=sections.cost_table(every, costs),
        library=_library(),
        truths=truths,
    )


def _curves(facts: StudyFacts, records: Sequence[Record]) -> dict[str, Any]:
    """The charts of each feature space but that of the primary endpoint, and in words what is not drawn."""
    level, alike = unchanged(facts, records), twins(facts, records)
    spaces: dict[str, list[str]] = {}
    for endpoint in endpoints(facts, records):
        if name_of(endpoint) != name_of(facts.primary) and endpoint not in level | alike:
            spaces.setdefault(endpoint.extractor, []).append(name_of(endpoint))
    return {
        "spaces": spaces,
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
