"""The schema by which editors complete and check a study: as strict of options as the code is, over all registries."""

import json

import jsonschema
import pytest
import yaml
from project import ROOT

from collapselab.models import MODELS
from collapselab.study.choices import ARM, CHOICES, ORIGINS, SEVERAL
from collapselab.study.schema import presets_of

QUICKSTART = yaml.safe_load((ROOT / "config" / "quickstart.yaml").read_text(encoding="utf-8"))
PLACES = {registry: ("arms", "fully_synthetic", key) for key, registry in ARM.items()}
PLACES |= {f"{key}s": ("data", key) for key in ORIGINS}
PLACES |= {"models": ("models", "tiny"), "extractors": ("extractors",), "metrics": ("metrics",)}
NAMES = [(registry, name) for registry in PLACES for name in dict.__iter__(CHOICES[registry].entries)]
PRESETS = [(family, preset) for family in MODELS for preset in presets_of(MODELS[family].Options)]


@pytest.fixture(scope="module")
def schema():
    return jsonschema.Draft202012Validator(json.loads((ROOT / "config" / "study.schema.json").read_text("utf-8")))


def faults(schema, registry, choice):
    """What is wrong with a choice from a registry in the quickstart: every fault, and those in the forms that it may
    have, none of which it has.
    """
    raw = json.loads(json.dumps(QUICKSTART))
    *path, key = PLACES[registry]
    part = raw
    for step in path:
        part = part[step]
    part[key] = [choice] if registry in ("extractors", "metrics") or key == "transform" else choice
    if key == "population":
        del raw["data"]["source"]
    return [one for error in schema.iter_errors(raw) for one in leaves(error)]


def leaves(error):
    """The faults that a fault consists of."""
    return [one for part in error.context for one in leaves(part)] or [error]


def test_every_key_of_an_arm_that_makes_a_choice_is_tried():
    assert set(CHOICES) - set(PLACES) == {"rewards"}  # which stand in options of others
    assert set(SEVERAL) <= {PLACES[registry][-1] for registry in PLACES}


@pytest.mark.parametrize(("registry", "name"), NAMES, ids=lambda word: word)
def test_an_option_that_an_entry_does_not_have_is_underlined_where_it_stands(schema, registry, name):
    found = faults(schema, registry, {name: {"cifra": 10}})
    assert found and any("'cifra' was unexpected" in error.message for error in found), [one.message for one in found]


@pytest.mark.parametrize("registry", PLACES)
def test_a_name_that_a_registry_does_not_have_is_underlined(schema, registry):
    name = next(dict.__iter__(CHOICES[registry].entries))
    for wrong in (f"{name}x", {f"{name}x": {}}, {name: {}, "other": {}}, {name: 3}, {}, 3):
        assert faults(schema, registry, wrong), wrong


@pytest.mark.parametrize(("family", "preset"), PRESETS, ids=lambda word: word)
def test_presets_are_completed_and_checked(schema, family, preset):
    needed = MODELS[family].Options.smallest(MODELS[family].takes[0])
    needed = {name: needed[name] for name, field in MODELS[family].Options.model_fields.items() if field.is_required()}
    assert not faults(schema, "models", {family: {"preset": preset, **needed}})
    found = faults(schema, "models", {family: {"preset": f"{preset}x", **needed}})
    (fault,) = (one for one in found if list(one.absolute_path)[-1] == "preset")
    assert f"'{preset}'" in fault.message
    shown = next(one for one in schema.schema["$defs"]["models"]["anyOf"] if "properties" in one)["properties"][family]
    for option in presets_of(MODELS[family].Options)[preset]:  # another preset has another default
        assert "default" not in shown["properties"][option]


@pytest.mark.parametrize(
    ("registry", "choice"),
    [
        ("models", {"diffusion": {"channels": "many"}}),
        ("models", {"diffusion": {"steps": 1}}),
        ("models", {"gmm": {}}),  # components have to be said
        ("models", "gmm"),
        ("regimes", {"fresh_data": {"fresch": 100}}),
        ("regimes", {"fresh_data": {"fresh": -1}}),
        ("regimes", {"algebra": {"real": {"fixd": 4}}}),
        ("selectors", {"random": {"share": 2}}),
        ("selectors", [{"random": {"share": 0.5}}, {"random": {"shar": 0.5}}]),
        ("guides", {"cfg": {"weight": "strong"}}),
        ("adapters", {"neon": {"samples": 10, "images_seen": 10, "wieght": 1}}),
        ("adapters", {"ddpo": {"reward": "jpeg_sise"}}),
        ("samplers", {"heun": {"steps": 0}}),
        ("sources", {"folder": {"path": "here", "chanels": 1}}),
        ("metrics", {"recall": {"k": 0}}),
    ],
    ids=str,
)
def test_wrong_options_are_underlined(schema, registry, choice):
    assert faults(schema, registry, choice)


def test_the_schema_is_of_a_size_that_editors_read_at_once():
    """They do so at every key that is pressed; what entries share is said once."""
    assert (ROOT / "config" / "study.schema.json").stat().st_size < 350_000
    parts = [
        json.dumps(part, sort_keys=True)
        for part in json.loads((ROOT / "config/study.schema.json").read_text())["$defs"].values()
    ]
    large = [part for part in parts if len(part) > 300]
    assert len(large) == len(set(large))
