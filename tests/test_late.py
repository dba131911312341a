"""What a study says of generations after its last one is a fault, whatever it is said of."""

import pytest
import yaml
from project import ROOT

from collapselab import study as studies
from collapselab.compose.regimes import Pool, Real, Synthetic, Weights
from collapselab.study.choices import ARM, CHOICES, ORIGINS, SEVERAL
from collapselab.study.file import Arm, StudyFile, Train
from collapselab.study.late import late_faults

LAST = 3
PLACES = {"models": ("models", "m"), **{f"{key}s": ("data", key) for key in ORIGINS}}
PLACES |= {registry: ("arms", "a", key, *([0] if key in SEVERAL else [])) for key, registry in ARM.items()}


def by_generation(model):
    """The fields that may be a sequence, as pydantic reads them: what is either a number or of the tag of schedules."""
    tag = "Tag(tag='schedule')"
    return [name for name, about in model.model_fields.items() if tag in f"{about.annotation!r} {about.metadata!r}"]


def at(path, value):
    """A file that says one value at a path."""
    for key in reversed(path):
        value = [value] if isinstance(key, int) else {key: value}
    return value


REGIME = ("arms", "a", "regime", "algebra")
PARTS = {"real": Real, "pool": Pool, "weights": Weights}
PATHS = [
    *(("train", name) for name in by_generation(Train)),
    *(("arms", "a", name) for name in by_generation(Arm)),
    *((*REGIME, part, name) for part, model in PARTS.items() for name in by_generation(model)),
    *((*REGIME, "synthetic", 0, name) for name in by_generation(Synthetic)),
    *(
        (*PLACES[registry], name, option)
        for registry, kind in CHOICES.items()
        if registry in PLACES
        for name, entry in kind.entries.items()
        for option in by_generation(kind.options(entry))
    ),
]


def test_every_place_is_among_them():
    assert len(PATHS) == len(set(PATHS)) > 20
    named = {path[-1] for path in PATHS}
    assert named >= {"truncation", "sampling_bias", "images_seen", "epochs", "n", "fresh", "fixed", "budget", "real"}
    # Nothing else of a file offers a sequence: what is not in a choice stands in these three.
    assert by_generation(StudyFile) == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
def test_a_sequence_ends_with_its_study(path):
    assert list(late_faults(at(path, {0: 1, LAST: 2}), LAST)) == []
    assert list(late_faults(at(path, 1), LAST)) == []
    (fault,) = late_faults(at(path, {0: 1, LAST + 1: 2, 9: 3}), LAST)
    assert fault.path == path
    assert fault.message.startswith(f"names generations {LAST + 1}, 9; the last of the study is {LAST}: ")


def test_a_study_is_refused_with_all_of_them(tmp_path):
    raw = yaml.safe_load((ROOT / "config" / "samplers.yaml").read_text())
    arm = next(iter(raw["arms"]))
    raw |= {"name": "late", "generations": LAST}
    raw["arms"] = {"sampling_bias": raw["arms"][arm]}  # an arm may have the name of an option
    raw["arms"]["sampling_bias"] |= {"sampler": {"heun": {"steps": 16, "truncation": {0: 1, 9: 2}}}}
    raw["train"] = {"images_seen": {1: 640, 4: 320}}
    file = tmp_path / "late.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False))
    with pytest.raises(studies.BadStudy) as caught:
        studies.load(file)
    said = {".".join(map(str, fault.path)): fault.message for fault in caught.value.faults}
    assert said["arms.sampling_bias.sampler.heun.truncation"] == (
        "names generation 9; the last of the study is 3: leave it out, or say generations: 9"
    )
    assert "generation 4" in said["train.images_seen"] and len(said) == 2, said
