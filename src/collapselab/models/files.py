"""Models in files: named arrays, and in the metadata the family, its options and the lineage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import store
from ..core.errors import Damaged
from ..machine import processes
from .stored import Stored


def write_model(path: Path, family: str, model: Any, lineage: Mapping[str, Any]) -> None:
    """Write a model of a family, in the first of several processes: all have the same."""
    if not processes.is_first():
        return
    options = model.options.model_dump(mode="json")
    stored = model.stored()
    metadata = {"family": family, "options": options, "lineage": dict(lineage), **stored.metadata}
    store.write_tensors(path, stored.tensors, metadata)


def write_population(path: Path, name: str, population: Any) -> None:
    """Write a known population in a model's place: it is sampled like one."""
    options = population.options.model_dump(mode="json")
    store.write_tensors(path, {}, {"family": name, "population": True, "options": options, "lineage": {}})


def read_model(path: Path, families: Mapping[str, Any], populations: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A stored model, or known population, and its metadata.

    The model is None where its training, or an ancestor's, diverged. Raises Damaged for what is no model of any of the
    families and populations.
    """
    tensors, metadata = store.read_tensors(path)
    store.expect(path, "family" in metadata, "model")
    try:
        if not all(isinstance(metadata[name], Mapping) for name in ("lineage", "options")):
            raise ValueError("neither options nor a lineage that it could have")
        if "diverged" in metadata["lineage"]:
            return None, metadata
        if metadata.get("population"):
            family = populations[metadata["family"]]
            return family.population(family.PopulationOptions.model_validate(metadata["options"])), metadata
        family = families[metadata["family"]]
        stored = Stored.read(tensors, metadata)
        return family.load(stored, family.Options.model_validate(metadata["options"])), metadata
    # What its hash vouches for may still be of another version, or of nobody's program.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        said = " ".join(str(error).split())[:200]
        raise Damaged(path, f"holds no {metadata['family']!s:.40} model of this version: {said}") from None
