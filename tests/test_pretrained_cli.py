"""Pretrained pipelines by themselves, by the command line: pictures, manifests, tuning, and what is refused."""

import hashlib
import json
import os
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from collapselab import store
from collapselab.cli import run as frame
from collapselab.cli.inputs import model_in
from collapselab.core.choice import Options
from collapselab.data.export import unlike_manifest
from collapselab.guides import GUIDES
from collapselab.guides.base import Guide
from collapselab.models.pretrained.folders import own_side
from collapselab.models.pretrained.memory import MEMORY_VARIABLE

torch = pytest.importorskip("torch")
if find_spec("peft") is None:
    pytest.skip("needs collapselab[pretrained]", allow_module_level=True)

pytestmark = pytest.mark.trained

BRIEF = ["--steps", "2", "--size", "8"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder of its own, in which nobody has asked for less memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(MEMORY_VARIABLE, "")
    return tmp_path


def call(*words, code=0):
    assert frame.run(["pretrained", *map(str, words)]) == code, words


def pictures(folder):
    return [np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def photos(here):
    """Six noisy pictures, in two folders that are called after what they show."""
    for number, name in enumerate(("blue_bird", "red_car")):
        (here / "photos" / name).mkdir(parents=True)
        for row in range(3):
            pixels = np.random.default_rng(10 * number + row).integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(here / "photos" / name / f"{row}.png")
    return here / "photos"


def test_pictures_of_prompts_say_where_they_come_from_and_each_is_its_own(here):
    both = ["--prompt", "a cat", "--prompt", "a dog", "--seed", 4]
    call("sample", *both, "--count", 3, "--out", "some", *BRIEF)
    said = manifest(here / "some")
    assert [one["prompt"] for one in said["pictures"]] == ["a cat", "a dog", "a cat"]
    assert said["seed"] == 4 and len(said["base_sha256"]) == 64 and said["adapter_sha256"] is None and said["generated"]
    assert list(unlike_manifest(here / "some")) == []
    assert said["options"]["steps"] == 2 and [one.shape for one in pictures(here / "some")] == [(8, 8, 3)] * 3
    call("sample", *both, "--count", 1, "--start", 2, "--out", "one", *BRIEF)
    alone = (here / "one" / "img00000002.png").read_bytes()
    assert alone == (here / "some" / "img00000002.png").read_bytes()
    assert hashlib.sha256(alone).hexdigest() == said["pictures"][2]["sha256"]


def test_a_guide_knows_a_prompt_by_one_number_whichever_pictures_are_made(here):
    """Of pieces that begin with other prompts, too: prompt 1 is the second that was said."""
    said = [word for one in ("a cat", "a dog", "a bird") for word in ("--prompt", one)]
    away = ["--guide", '{"perp_neg": {"negative": 1, "negative_weight": 3}}', "--options", '{"sample_batch": 2}']
    call("guide", *said, *away, "--count", 4, "--out", "all", *BRIEF)
    call("guide", *said, *away, "--count", 1, "--start", 2, "--out", "third", *BRIEF)
    np.testing.assert_array_equal(pictures(here / "all")[2], pictures(here / "third")[0])
    call("guide", *said, *[away[0], away[1].replace("1", "0", 1), *away[2:]], "--count", 4, "--out", "other", *BRIEF)
    assert (pictures(here / "all")[2] != pictures(here / "other")[2]).any()


@pytest.mark.parametrize(
    ("guide", "options", "words"),
    [
        ({"dynamic_negative": {"negative": 2}}, {}, "tells the model prompt 2 as negative, allowed is 0 to 1"),
        ({"cads": {}}, {"guidance_scale": 3}, "and cannot beside guidance_scale 3; allowed is 1"),
        ({"cfgpp": {}}, {"sampler": "heun"}, "is not defined for sampler 'heun' of the model"),
    ],
)
def test_a_guide_that_does_not_suit_the_pipeline_is_refused(capsys, guide, options, words):
    said = ["--prompt", "a", "--prompt", "b", "--guide", json.dumps(guide), "--options", json.dumps(options)]
    call("guide", *said, "--out", "never", *BRIEF, code=2)
    assert words in " ".join(capsys.readouterr().err.split())


def test_there_is_one_prompt_or_one_for_each_folder(photos, capsys):
    three = [word for one in "abc" for word in ("--prompt", one)]
    call("finetune", "--images", photos, *three, "--out", "never.safetensors", code=2)
    assert "found 3 prompts; allowed are one, or one for each of blue_bird, red_car" in capsys.readouterr().err
    call("finetune", "--images", photos / "red_car", *three, "--out", "never.safetensors", code=2)
    assert "found 3 prompts; allowed is one: the pictures lie in one folder" in capsys.readouterr().err


def test_photos_of_any_shape_are_cut_to_squares_as_the_message_says(here, capsys):
    """What the message about pictures that are no squares tells to say is there to be said."""
    (here / "wide").mkdir()
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(here / "wide" / "0.png")
    (here / "cut").mkdir()
    Image.fromarray(pixels[:, 5:25]).save(here / "cut" / "0.png")
    tune = ["--prompt", "a", "--images-seen", 2, "--size", 8]
    call("finetune", "--images", "wide", *tune, "--out", "never.safetensors", code=2)
    assert "--crop centre" in capsys.readouterr().err and not (here / "never.safetensors").exists()
    call("finetune", "--images", "wide", "--crop", "centre", *tune, "--out", "wide.safetensors")
    call("finetune", "--images", "cut", *tune, "--out", "cut.safetensors")
    ours, theirs = (model_in(here / f"{name}.safetensors")[0] for name in ("wide", "cut"))
    for name, matrix in ours.adapter.items():
        np.testing.assert_array_equal(matrix, theirs.adapter[name])


def test_prompts_may_lie_in_a_file(here):
    (here / "prompts.txt").write_text("a cat\na dog\n", encoding="utf-8")
    call("sample", "--prompts", "prompts.txt", "--count", 2, "--out", "file", *BRIEF)
    call("sample", "--prompt", "a cat", "--prompt", "a dog", "--count", 2, "--out", "said", *BRIEF)
    assert manifest(here / "file") == manifest(here / "said")


def test_a_saved_tiny_pipeline_makes_the_same_pictures(here):
    call("tiny", "--out", "base")
    call("sample", "--prompt", "a", "--count", 1, "--out", "built", *BRIEF)
    call("sample", "--base", "base", "--prompt", "a", "--count", 1, "--out", "read", *BRIEF)
    assert own_side("base") == own_side("tiny") == 16
    np.testing.assert_array_equal(pictures(here / "built"), pictures(here / "read"))


def test_larger_pictures_are_made_in_a_second_step(here):
    call("sample", "--prompt", "a", "--count", 2, "--upscale", 2, "--out", "large", *BRIEF)
    call("sample", "--prompt", "a", "--count", 1, "--start", 1, "--upscale", 2, "--out", "second", *BRIEF)
    assert [one.shape for one in pictures(here / "large")] == [(16, 16, 3)] * 2
    np.testing.assert_array_equal(pictures(here / "large")[1], pictures(here / "second")[0])
    assert manifest(here / "large")["upscale"] == 2


def test_what_is_tuned_is_used_by_us_and_by_diffusers(here, photos):
    more = ["--options", '{"batch": 3, "learning_rate": 0.05, "steps": 2}', "--size", 8, "--lora", "lora.safetensors"]
    call("finetune", "--images", photos, "--images-seen", 6, "--out", "a.safetensors", *more)
    call("sample", "--adapter", "a.safetensors", "--count", 2, "--out", "tuned", "--steps", 2)
    said = manifest(here / "tuned")
    assert [one["prompt"] for one in said["pictures"]] == ["a photo of blue bird", "a photo of red car"]
    assert said["adapter_sha256"] == store.content_hash(here / "a.safetensors")
    prompts = [word for one in said["pictures"] for word in ("--prompt", one["prompt"])]
    call("sample", "--adapter", "lora.safetensors", *prompts, "--count", 2, "--out", "again", *BRIEF)
    np.testing.assert_array_equal(pictures(here / "tuned"), pictures(here / "again"))
    call("sample", *prompts, "--count", 2, "--out", "plain", *BRIEF)
    assert (np.array(pictures(here / "plain")) != pictures(here / "tuned")).any()
    call("export", "a.safetensors", "--out", "other.safetensors")
    assert (here / "other.safetensors").read_bytes() == (here / "lora.safetensors").read_bytes()
    call("tiny", "--out", "base")
    assert _heard_by_diffusers(here / "base", here / "lora.safetensors") == _heard_by_us(here / "a.safetensors")
    call("finetune", "--images", photos, "--adapter", "a.safetensors", "--images-seen", 3, "--out", "b.safetensors")
    _, metadata = store.read_tensors(here / "b.safetensors")
    assert metadata["lineage"]["inputs"] and metadata["options"]["batch"] == 3


def _heard_by_diffusers(base, lora):
    """The matrices of the adapter as diffusers' own pipeline has them, each as its sum."""
    from diffusers import StableDiffusionPipeline

    bound = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
    bound.load_lora_weights(str(lora.parent), weight_name=lora.name, local_files_only=True)
    named = bound.unet.named_parameters()
    found = {name: one.double().sum().item() for name, one in named if ".lora_" in name}
    return {name.replace(".default_0.", "."): value for name, value in found.items()}


def _heard_by_us(adapter):
    tensors, _ = store.read_tensors(adapter)
    matrices = {name.removeprefix("network."): one for name, one in tensors.items() if name.startswith("network.")}
    return {name: torch.from_numpy(np.array(one)).double().sum().item() for name, one in matrices.items()}


class SharpOptions(Options):
    """How much."""

    weight: float = 1.0


def sharp(seen, at, state, draws, options):
    return seen.unconditional + options.weight * (seen.conditional - seen.unconditional), state


def test_a_rule_of_the_registry_steers_a_pipeline(here, monkeypatch):
    monkeypatch.setitem(GUIDES, "sharp", Guide(SharpOptions, sharp, ("conditional", "unconditional")))
    call("guide", "--guide", '{"sharp": {"weight": 3}}', "--prompt", "a", "--count", 2, "--out", "guided", *BRIEF)
    call("sample", "--guidance-scale", 3, "--prompt", "a", "--count", 2, "--out", "scaled", *BRIEF)
    call("sample", "--prompt", "a", "--count", 2, "--out", "plain", *BRIEF)
    guided, scaled, plain = (np.array(pictures(here / name)).astype(int) for name in ("guided", "scaled", "plain"))
    assert np.abs(guided - scaled).max() <= 1 and (guided != plain).any()
    assert manifest(here / "guided")["guide"] == {"sharp": {"weight": 3}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "--prompt", "a", "--base", "nowhere"], "--base: found no folder 'nowhere'; allowed are tiny, and"),
        (["sample", "--prompt", "a", "--size", 10], "multiples of 4"),
        (["sample", "--prompt", "a", "--prompts", "b.txt"], "allowed is one of them"),
        (["sample", "--prompts", "b.txt"], "b.txt cannot be read: No such file"),
        (["sample", "--prompt", "a", "--memory", "magic"], "--memory: found magic; allowed are model_offload"),
        (["sample", "--prompt", "a", "--controlnet", "c"], "Invalid value for --control-image: found none beside"),
        (["sample", "--prompt", "a", "--ip-adapter", "c", "--ip-image", "d"], "--ip-adapter: there is no 'c'"),
        (["sample", "--prompt", "a", "--adapter", "photos/red_car/0.png"], "is no adapter, but no safetensors"),
        (
            ["sample", "--prompt", "a", "--adapter", "nowhere.safetensors"],
            "--adapter: no such file",
        ),
        (["sample", "--prompt", "a", "--strength", "0.9"], "--strength: found 0.9, and nothing that it"),
        (["sample", "--prompt", "a", "--control-scale", "2"], "say --controlnet, too, or leave it out"),
        (["sample", "--prompt", "a", "--ip-scale", "0"], "say --ip-adapter, too, or leave it out"),
        (["sample", "--prompt", "a", "--options", '{"ip_scale": -1}'], "Invalid value for --options: ip_scale"),
        (["sample", "--prompt", "a", "--options", '{"stepz": 3}'], "stepz: unknown; allowed: "),
        (["guide", "--prompt", "a", "--guide", "cfg"], """allowed is JSON, as --guide '{"cfg": {}}'"""),
        (["guide", "--prompt", "a", "--guide", '{"sims": {}}'], "sims steers by own; say --auxiliary own=FILE"),
        (["guide", "--prompt", "a", "--guide", '{"nobody": {}}'], "--guide: found 'nobody'; allowed"),
        (["finetune", "--images", "photos/red_car"], "say --prompt WORDS"),
        (["finetune", "--images", "nowhere"], "nowhere"),
        (["finetune", "--images", "photos", "--adapter", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_left(here, photos, capsys, words, message):
    before = sorted(here.rglob("*"))
    assert frame.run(["pretrained", *map(str, words), "--out", "out.safetensors"]) in (2, 3)
    assert message in " ".join(capsys.readouterr().err.split()), words
    assert sorted(here.rglob("*")) == before


def test_a_folder_that_is_there_is_not_written_over(here, capsys):
    (here / "out").mkdir()
    call("sample", "--prompt", "a", "--out", "out", code=2)
    assert "out is there already" in capsys.readouterr().err and not os.listdir(here / "out")
