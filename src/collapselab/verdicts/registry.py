"""Every analysis of a study's records, by its name: a new one is a module, and a line here."""

from collections.abc import Sequence

from . import (
    claims,
    converged,
    descent,
    effective,
    effects,
    filters,
    forecast,
    forgetting,
    laws,
    prevention,
    recommendations,
    scaling,
    supply,
    survival,
    unlearned,
    variance,
)
from .definitions import (
    any_rise_of_risk,
    catastrophic_risk,
    collapsing_variance,
    diverging_risk,
    hallucination,
    lost_tails,
)
from .facts import StudyFacts
from .findings import Analysis, Finding
from .modes import lost_modes
from .primary import primary_slope, slope_against_control
from .records import Record, indexed

ANALYSES: dict[str, Analysis] = {
    "primary_slope": Analysis("Slope of the primary endpoint", "primary", primary_slope),
    "slope_against_control": Analysis("Slope against the control, paired by seed", "primary", slope_against_control),
    "catastrophic_risk": Analysis(
        "Catastrophic rise of risk (more than tenfold: this report's threshold)", "definitions", catastrophic_risk
    ),
    "any_rise_of_risk": Analysis("Any rise of risk", "definitions", any_rise_of_risk),
    "diverging_risk": Analysis("Risk that grows without bound", "definitions", diverging_risk),
    "collapsing_variance": Analysis("Variance that goes to zero", "definitions", collapsing_variance),
    "scaling_law": Analysis("Change in the scaling law", "definitions", scaling.scaling_law),
    "lost_modes": Analysis("Modes of the real data disappear", "definitions", lost_modes),
    "lost_tails": Analysis("Tails of the real data disappear", "definitions", lost_tails),
    "hallucination": Analysis("Data appear that are not real", "definitions", hallucination),
    "slope_against_supply": Analysis(
        "Slope against the same real rows alone, paired by seed", supply.TABLE, supply.slope_against_supply
    ),
    "slope_against_converged": Analysis(
        "Slope against enough steps of the same sampler, paired by seed",
        converged.TABLE,
        converged.slope_against_converged,
    ),
    "recommendations": Analysis(
        "What to do, for whom, and by which number", recommendations.TABLE, recommendations.recommendations
    ),
    "prevention": Analysis("What prevents collapse, and what does it cost?", prevention.TABLE, prevention.compared),
    "forgetting": Analysis("What is forgotten of earlier tasks?", forgetting.TABLE, forgetting.forgetting),
    "stopping": Analysis("Which lineages were stopped?", survival.TABLE, survival.stopping),
    "descent": Analysis("How far from real data?", descent.TABLE, descent.descent),
    "filters": Analysis("What does selecting do?", filters.FILTER, filters.filtering),
    "filter_price": Analysis("What is selecting worth in real data?", filters.PRICE, filters.price),
    "unlearned": Analysis("What was forgotten, and what else?", unlearned.TABLE, unlearned.unlearned),
    "scaling": Analysis("How does it depend on size?", scaling.TABLE, scaling.scaling),
    "claims": Analysis("Is what the paper claims found here?", claims.TABLE, claims.claims),
    "theory": Analysis("Theory and experiment", laws.TABLE, laws.against_theory),
    "worth": Analysis("How much real data is the loop worth?", effective.TABLE, effective.worth),
    "contrasts": Analysis("Arm against arm", effects.CONTRASTS, effects.contrasts),
    "resolution": Analysis("What can a study of this size see?", effects.RESOLUTION, effects.resolution),
    "forecast": Analysis("Forecast", forecast.TABLE, forecast.forecast),
    "variance": Analysis("Where the variance comes from", variance.TABLE, variance.sources),
}


def analyse(facts: StudyFacts, records: Sequence[Record]) -> dict[str, list[Finding]]:
    """The findings of every analysis, by its name. Arms that calibrate are no loops, and nothing is asked of them."""
    records, loops = indexed(records), facts.loops
    return {name: analysis.run(loops, records) for name, analysis in ANALYSES.items()}
