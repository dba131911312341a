"""The files that a verb reads: what it says of them, and models among them."""

from pathlib import Path
from typing import Any

import typer

from .. import store
from ..models import MODELS
from ..models.files import read_model
from ..populations import POPULATIONS


def hashes(*paths: Path) -> dict[str, str]:
    """The hash of each file, for the lineage of what is made of them."""
    return {str(path): store.recorded_hash(path) for path in paths}


def model_in(path: Path) -> tuple[Any, dict[str, Any]]:
    """A model of any family, or a known population, and its metadata; None where its training diverged."""
    return read_model(path, MODELS, POPULATIONS)


def told_of(population: Any) -> dict[str, Any]:
    """What the lineage of a known population's draws says of their vocabulary; nothing where they have none."""
    vocabulary = getattr(population, "vocabulary", None)
    return {} if vocabulary is None else vocabulary.told


def trained_in(path: Path) -> tuple[Any, dict[str, Any]]:
    """A model of a family, and its metadata; None where its training diverged."""
    model, metadata = model_in(path)
    if metadata.get("population"):
        raise typer.BadParameter(f"{path} holds a known population; allowed is a trained model", param_hint="--model")
    return model, metadata
