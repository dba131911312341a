"""What an extractor looks through, and what it is told."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..core.choice import NoOptions
from ..core.needs import looks_anew
from ..features import FEATURES, Extractor
from ..store import weights as published
from ..verbs.extract import Look
from .inputs import model_in
from .options import chosen, json_of, pairs, parsed


def looks_outside(entry: Extractor) -> bool:
    """Whether an extractor looks at samples of which neither model, mark nor truth is there."""
    return not (entry.needs.through_model or looks_anew(entry.needs) or entry.needs.through_truth)


def settings_of(entry: Extractor, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What an extractor is told beside its weights; what a learnt one is told, its training was told."""
    if entry.needs.through == "learnt":
        return {}
    if entry.Options is NoOptions:
        if said:
            raise typer.BadParameter(f"found {said}; {name} has no options", param_hint=f"--options {name}")
        return {}
    settings = parsed(entry.Options, json.dumps(said), f"--options {name}")
    return {key: value for key, value in settings.model_dump(mode="json").items() if key != "weights"}


def weights_of(entry: Extractor, name: str, path: str) -> tuple[Any, dict[str, Any]]:
    """What an extractor looks through, and what of it belongs into the fingerprint."""
    through, facts = entry.needs.through, dict(entry.facts)
    if through == "published":
        found = published.find(entry.needs.published, Path(path) if path else None)
        return found, facts | {"weights": published.digest(found)}
    if not path and through in LOOKED_THROUGH:
        remedy = LOOKED_THROUGH[through].format(name=name)
        raise typer.BadParameter(f"found {name!r}; it needs {remedy}", param_hint="--extractor")
    if through == "nothing":
        if path:
            raise typer.BadParameter(f"found {name}={path}; {name} has no weights", param_hint="--extractor")
        return None, facts
    if through == "learnt":
        weights, metadata = store.read_tensors(Path(path))
        store.expect(Path(path), metadata.get("extractor") == name, f"weights of {name}")
        accuracy = metadata.get("info", {}).get("held_out_accuracy")
        return weights, facts | {"weights": store.recorded_hash(Path(path)), "held_out_accuracy": accuracy}
    model, metadata = model_in(Path(path))
    if through == "truth":
        store.expect(Path(path), bool(metadata.get("population")), "known population")
        return model, facts | {"population": store.recorded_hash(Path(path))}
    return model, facts  # whose model it is, the record says


ExtractorOptions = Annotated[str, typer.Option(help='options of extractors as JSON: {"NAME": {OPTION: VALUE}}')]


def looks_of(extractors: list[str], options: str) -> dict[str, Look]:
    """What selectors and adapters look through, by name. extractors: NAME or NAME=WEIGHTS. options: as JSON."""
    said, looks = json_of(options, "--extractor-options", dict), {}
    for name, path in pairs(extractors, "--extractor").items():
        entry = chosen(FEATURES, name, "--extractor")
        looks[name] = Look(entry, weights_of(entry, name, path)[0], settings_of(entry, name, said.get(name, {})))
    return looks


LOOKED_THROUGH = {
    "learnt": "its weights: {name}=FILE, as learn writes it",
    "model": "a model: {name}=FILE",
    "truth": "the known population: {name}=FILE",
    "law": "a model: {name}=FILE",
}
