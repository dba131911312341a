"""What is kept of finished generations: the study's ``keep``, applied to the files of a generation."""

import re
from collections.abc import Mapping

from ..store.cells import NOUNS
from .study import Study

WEIGHTS = ("train", "adapt", "auxiliary")
CURVE = "curve.safetensors"
"""What stays of a model that is thinned: the curve of its training."""
FACTS = "adaptation.safetensors"
"""What stays of an adapted model that is thinned: what its adapters have found out."""


def _kind(noun: str) -> str:
    verb, keep = NOUNS[noun]
    if noun.endswith(".safetensors") and verb in WEIGHTS:
        return "weights"
    return "" if keep == "always" else "features" if verb == "extract" else "samples"


KINDS: Mapping[str, str] = {noun: _kind(noun) for noun in NOUNS}
"""noun -> what ``keep`` calls it: weights, samples or features; empty for what is always kept."""


def kind_of(noun: str) -> str:
    """What ``keep`` calls a file of a generation; empty for what is always kept."""
    return KINDS[re.sub(r"^(auxiliary-)[a-z0-9_]+(\.)", r"\1{role}\2", noun)]


def keeps(study: Study, generation: int, noun: str) -> bool:
    """Whether a study keeps a file of a finished generation, as its ``keep`` says.

    ``every Nth``: of the generations 0, N, 2N and so on, and of the last.
    """
    kind = kind_of(noun)
    said = getattr(study.file.keep, kind) if kind else "all"
    if said in ("all", "none"):
        return said == "all"
    nth = int(re.sub(r"\D", "", said))
    return generation % nth == 0 or generation == study.file.generations
