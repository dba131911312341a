"""Pretrained pipelines, whole, on tiny random ones: read as they were saved, tuned by an adapter alone, offline."""

import json
import socket
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from pydantic import ValidationError
from torch_families import images

from collapselab.core.ask import Ask
from collapselab.core.errors import Damaged
from collapselab.core.facts import Facts
from collapselab.core.run import Run
from collapselab.engine.steering import Steering
from collapselab.engine.task import Batch
from collapselab.models import MODELS
from collapselab.models.files import read_model, write_model
from collapselab.models.pretrained import Pretrained
from collapselab.models.pretrained.options import PRESETS, PretrainedOptions
from collapselab.models.pretrained.prompts import digest, prompts_in

torch = pytest.importorskip("torch")
if find_spec("peft") is None:
    pytest.skip("needs collapselab[pretrained]", allow_module_level=True)

from collapselab.models.pretrained import adapter, memory, pipeline, sampling, training  # noqa: E402
from collapselab.models.pretrained.beside import put_beside  # noqa: E402

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
SHAPE = (3, 8, 8)
SMALL = PretrainedOptions.smallest("images")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Whoever opens a socket here is caught: nothing is ever downloaded, nor asked for."""

    def refused(*given, **named):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny pipeline as diffusers saves one."""
    place = tmp_path_factory.mktemp("base") / "tiny"
    pipeline.write(pipeline.tiny(), place)
    return place


@pytest.fixture(scope="module")
def tuned():
    """A model whose adapter has learnt a little of grey noise in two classes."""
    return MODELS["pretrained"].fit(images(), PretrainedOptions(**SMALL), Run(1, images_seen=64))


def options(**more):
    return PretrainedOptions.model_validate(SMALL | more)


def made(model, **asked):
    return model.sample(Ask(5, 3, **asked)).data


def fit(**more):
    return Pretrained.fit(images(), options(**more), Run(1, images_seen=32))


# -- the base ----------------------------------------------------------------------------------------------------------


def test_a_saved_pipeline_is_read_to_the_same_bits(folder, tuned):
    saved, built = pipeline.read(str(folder)), pipeline.tiny()
    for ours, theirs in zip(saved.networks, built.networks, strict=True):
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        assert all(torch.equal(one, theirs.state_dict()[name]) for name, one in ours.state_dict().items())
    assert saved.schedule == built.schedule
    same = Pretrained.untuned(options(base=str(folder)), SHAPE)
    np.testing.assert_array_equal(made(same), made(Pretrained.untuned(options(), SHAPE)))
    prompts = ["a cat, über-alles", "🐈"]
    assert saved.tokenizer(prompts).input_ids == built.tokenizer(prompts).input_ids


def test_diffusers_itself_makes_the_same_of_a_prompt(folder):
    """Its own pipeline, from the same noise and at the same steps, ends where ours does, to the rounding of bytes."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    own = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    own.scheduler = DDIMScheduler.from_config(own.scheduler.config, timestep_spacing="trailing", set_alpha_to_one=True)
    own.set_progress_bar_config(disable=True)
    chosen = options(base=str(folder), prompts=["a cat"], steps=10, guidance_scale=3.0, sample_batch=2)
    ours = Pretrained.untuned(chosen, SHAPE).sample(Ask(2, 3)).data
    ready = sampling.ready(chosen, SHAPE, {}, "", CPU)
    noise = torch.from_numpy(sampling.seeds.normals(3, 0, 2, 64).reshape(2, 4, 4, 4)).float()
    # Ours begins with the highest noise level times the noise; theirs with the noise, as if that level had no image.
    sigma = ready.parameterised.sigmas[-1].item()
    theirs = own(
        ["a cat"] * 2,
        latents=noise * sigma / np.sqrt(1 + sigma**2),
        num_inference_steps=10,
        guidance_scale=3.0,
        height=8,
        width=8,
        output_type="np",
    ).images
    found = np.rint(theirs.transpose(0, 3, 1, 2) * 255)
    assert np.abs(found - ours).max() <= 1 and len(np.unique(ours)) > 20


def test_the_seed_of_tiny_is_all_that_tells_one_from_another():
    first, again, other = (pipeline.tiny(seed).digest for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "two text encoders"),
        ("model_index.json", {"unet": ["diffusers", "FluxTransformer2DModel"]}, r"has unet \(FluxTransformer2DModel\)"),
        ("model_index.json", {"unet": ["my_code", "Mine"]}, r"has unet \(Mine\)"),
        ("unet/config.json", {"in_channels": 9}, "takes 9 channels; allowed are the 4"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "found 'flow', allowed are epsilon"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "found the betas 'sigmoid'"),
    ],
)
def test_other_pipelines_are_refused_by_what_they_are(folder, tmp_path, file, change, message):
    import shutil

    place = tmp_path / "other"
    shutil.copytree(folder, place)
    said = json.loads((place / file).read_text())
    (place / file).write_text(json.dumps(said | change))
    with pytest.raises(ValueError, match=message):
        pipeline.read(str(place))
    assert options(base=str(place)).fault(Facts((1, 8, 8), 40, lambda: 2, lambda name: ())).startswith("base: ")


def test_weights_that_may_carry_code_are_not_read(folder, tmp_path):
    import shutil

    place = tmp_path / "pickled"
    shutil.copytree(folder, place)
    weights = place / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(Damaged, match="unet: is of the base, and cannot be read as a UNet2DConditionModel"):
        pipeline.read(str(place))


def test_an_adapter_is_not_used_on_another_base(folder, tmp_path, tuned):
    import shutil

    place = tmp_path / "moved"
    shutil.copytree(folder, place)
    model = fit(base=str(place))
    assert model.digest == pipeline.read(str(place)).digest
    before = made(model)
    pipeline.write(pipeline.tiny(5), tmp_path / "five")
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "five", place)
    loaded = Pretrained.load(model.stored(), model.options)
    with pytest.raises(
        Damaged, match=r"moved: base names it, and it is another pipeline: its SHA-256 is .{12}…, of the one that"
    ):
        made(loaded)
    np.testing.assert_array_equal(made(model), before)  # what is loaded already stays what it was


def test_images_that_it_cannot_make_are_refused_before_any_work():
    for shape in ((1, 6, 8), (2, 8, 8)):
        said = options().fault(Facts(shape, 40, lambda: 2, lambda name: ()))
        assert said.startswith("base: found images of ") and "multiples of 4" in said
    wrong = replace(images(), data=np.zeros((40, 1, 8, 10), np.uint8))
    with pytest.raises(ValueError, match="multiples of 4"):
        Pretrained.fit(wrong, options(), Run(1, images_seen=16))


# -- the adapter -------------------------------------------------------------------------------------------------------


def test_an_adapter_that_has_learnt_nothing_changes_nothing():
    base = Pretrained.untuned(options(), SHAPE)
    network = pipeline.tiny().unet
    fresh = {name: one.detach().numpy() for name, one in adapter.added(network, options(), 3).items()}
    assert any(np.abs(one).max() > 0 for one in fresh.values())  # A is drawn, B is zero
    np.testing.assert_array_equal(made(replace(base, adapter=fresh)), made(base))


def test_an_adapter_is_stored_and_read_to_the_same_bits_and_the_base_is_not_in_it(tmp_path, tuned):
    path = tmp_path / "model.safetensors"
    write_model(path, "pretrained", tuned, {})
    loaded, said = read_model(path, MODELS, {})
    np.testing.assert_array_equal(made(loaded), made(tuned))
    assert path.stat().st_size < 40_000 < 4 * sum(one.numel() for one in pipeline.tiny().unet.parameters())
    assert said["options"]["prompts"] == SMALL["prompts"] and loaded.digest == pipeline.tiny().digest


def test_training_moves_the_adapter_alone():
    built = pipeline.tiny()
    before = {name: one.clone() for name, one in built.unet.state_dict().items()}
    task = training.task(options(), SHAPE, Run(1, images_seen=32), None, built.digest, CPU)
    trained = {id(one) for one in task.networks["network"].parameters()}
    assert trained == {id(one) for one in task.unet.parameters() if one.requires_grad}
    assert sum(one.numel() for one in task.adam.parameters) == sum(one.size for one in fit().adapter.values())
    for name, weight in task.unet.named_parameters():
        if ".lora_" not in name:
            assert torch.equal(weight, before[name.replace(".base_layer", "")]), name


def loss_of(chosen, data, weights):
    """The training's loss of an adapter on all images, with the same noise whenever it is asked for."""
    task = training.task(chosen, SHAPE, Run(1, images_seen=32), weights, "", CPU)
    torch.manual_seed(0)
    rows = torch.from_numpy(data.data / 127.5 - 1).float(), torch.from_numpy(data.labels), torch.ones(40)
    with torch.no_grad():
        return task.loss(Batch(*rows, task.draw(40))).mean().item()


def test_tuning_fits_the_training_images_and_starts_where_it_is_told_to():
    """With the same noise before and after, the loss of dark and bright pictures falls from 1.078 to 1.003."""
    data = images()
    grey = np.repeat((40 + 150 * data.labels.astype(np.uint8))[:, None], 64, axis=1).reshape(40, 1, 8, 8)
    data, chosen = replace(data, data=grey), options(lora_rank=8, learning_rate=2e-2)
    first = Pretrained.fit(data, chosen, Run(1, images_seen=320))
    assert loss_of(chosen, data, first.adapter) < 0.97 * loss_of(chosen, data, None)
    still = Pretrained.fit(data, options(lora_rank=8, learning_rate=1e-9), Run(2, images_seen=16), first)
    assert still.adapter.keys() == first.adapter.keys()
    for name, one in first.adapter.items():
        np.testing.assert_allclose(still.adapter[name], one, atol=1e-8)


def test_targets_that_the_network_has_not_are_refused():
    with pytest.raises(ValueError, match="lora_targets: found to_nothing, and the network has no such matrix"):
        fit(lora_targets=("to_nothing",))
    with pytest.raises(ValueError, match=r"lora_targets: .*conv1 is a Conv2d; allowed are matrices"):
        fit(lora_targets=("conv1",))


def test_without_the_extra_the_cure_is_told(monkeypatch):
    monkeypatch.setattr("collapselab.core.extras.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"found no peft.*pip install 'collapselab\[pretrained\]'"):
        fit()


def test_the_precision_of_small_gpus_runs_through():
    model = fit(precision="bfloat16", guidance_scale=2.0)
    assert {one.dtype for one in model.adapter.values()} == {np.dtype(np.float32)}
    assert np.abs(made(model).astype(int) - made(replace(model, options=options(guidance_scale=2.0)))).mean() < 8


# -- prompts -----------------------------------------------------------------------------------------------------------


def test_labels_are_prompts_by_another_name(tuned):
    labels = np.array([1, 1, 0, 1, 0], np.int64)
    by_label = tuned.sample(Ask(5, 3, condition=labels))
    by_prompt = tuned.sample(Ask(5, 3, condition=[SMALL["prompts"][label] for label in labels]))
    np.testing.assert_array_equal(by_label.data, by_prompt.data)
    np.testing.assert_array_equal(by_label.labels, labels)
    assert by_prompt.labels is None
    other = tuned.sample(Ask(5, 3, condition=["something else"] * 5)).data
    assert (other != by_prompt.data).any()


def test_a_prompt_is_heard_whatever_stands_beside_it(tuned):
    asked = ["a", "b", "c", "a", "b"]
    whole = tuned.sample(Ask(5, 3, condition=asked)).data
    for row in range(5):
        np.testing.assert_array_equal(tuned.sample(Ask(1, 3, start=row, condition=[asked[row]])).data[0], whole[row])


def test_a_prompt_that_would_be_cut_off_is_refused(tuned):
    with pytest.raises(ValueError, match=r"prompts: 'xx.*… has 92 tokens; allowed are 77"):
        tuned.sample(Ask(1, 0, condition=["x" * 90]))


def test_prompts_of_a_file_are_the_options_themselves(tmp_path):
    lines, table = tmp_path / "prompts.txt", tmp_path / "prompts.csv"
    lines.write_text("a dark picture\na bright picture\n", encoding="utf-8")
    table.write_text('class,prompt\n1,a bright picture\n0,"a dark picture"\n', encoding="utf-8")
    for path in (lines, table):
        found = PretrainedOptions(prompts=str(path))
        assert list(found.prompts) == SMALL["prompts"] and found.classes == 2
        assert PretrainedOptions.model_validate(found.model_dump(mode="json")) == found
    assert digest(prompts_in(lines)) == digest(prompts_in(table)) != digest(["a bright picture", "a dark picture"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.txt", "", "has no prompt"),
        ("p.txt", "a\n\nb\n", "the prompt of class 1 is empty"),
        ("p.csv", "words\na\n", "has the columns words; needed is one called prompt"),
        ("p.csv", "class,prompt\n0,a\n0,b\n", "the column class has to hold each of 0 to 1 once"),
        ("none.txt", None, "cannot be read: No such file"),
    ],
)
def test_files_without_prompts_are_refused(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValidationError, match=message):
        PretrainedOptions(prompts=str(tmp_path / name))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"prompts": ["a", "b"], "classes": 3}, "prompts: found 2 for 3 classes"),
        ({"prompts": ["a", "b"], "classes": 0}, "classes: found 0 with 2 prompts"),
        ({"prompts": ["a", " "]}, "prompts: that of class 1 is empty"),
        ({"controlnet": "folder"}, "control_image: found none beside controlnet"),
        ({"ip_image": "picture"}, "ip_adapter: found none beside ip_image"),
        ({"preset": "sdxl"}, "preset: found 'sdxl'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(said, message):
    with pytest.raises(ValidationError, match=message):
        PretrainedOptions.model_validate(said)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_options(preset):
    assert PretrainedOptions(preset=preset).preset == preset


# -- what is shown beside the prompt -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A ControlNet as it is begun, an IP-Adapter of random weights, and a picture, in files."""
    from diffusers import ControlNetModel
    from PIL import Image
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    place, generator = tmp_path_factory.mktemp("beside"), torch.Generator().manual_seed(0)
    network = pipeline.tiny().unet
    torch.manual_seed(0)
    # The picture is brought to the size of the latents, half of its own: one stage of the embedding's.
    ControlNetModel.from_unet(network, conditioning_channels=3).save_pretrained(place / "controlnet")
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8,
        projection_dim=12,
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained(place / "image_encoder")

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    width, tokens, tensors = network.config.cross_attention_dim, 4, {}
    tensors |= {"image_proj.proj.weight": normal(tokens * width, 12), "image_proj.proj.bias": normal(tokens * width)}
    tensors |= {"image_proj.norm.weight": normal(width), "image_proj.norm.bias": normal(width)}
    number = 1
    for name in network.attn_processors:
        if "attn2" in name:  # those that hear words have odd numbers
            size = network.get_submodule(name.removesuffix(".processor")).to_k.out_features
            tensors[f"ip_adapter.{number}.to_k_ip.weight"] = normal(size, width)
            tensors[f"ip_adapter.{number}.to_v_ip.weight"] = normal(size, width)
            number += 2
    save_file(tensors, place / "ip_adapter.safetensors")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(place / "picture.png")
    return place


def controlled(beside, **more):
    return {"controlnet": str(beside / "controlnet"), "control_image": str(beside / "picture.png"), **more}


def pictured(beside, **more):
    return {"ip_adapter": str(beside / "ip_adapter.safetensors"), "ip_image": str(beside / "picture.png"), **more}


def test_a_controlnet_as_it_is_begun_changes_nothing_and_one_that_has_learnt_does(beside, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    plain = made(Pretrained.untuned(options(), SHAPE))
    chosen = options(**controlled(beside))
    np.testing.assert_array_equal(made(Pretrained.untuned(chosen, SHAPE)), plain)
    shutil.copytree(beside / "controlnet", tmp_path / "controlnet")
    file = tmp_path / "controlnet" / "diffusion_pytorch_model.safetensors"
    save_file({name: one + 0.1 for name, one in load_file(file).items()}, file)
    moved = options(**controlled(beside) | {"controlnet": str(tmp_path / "controlnet")})
    assert (made(Pretrained.untuned(moved, SHAPE)) != plain).mean() > 0.5
    silent = options(**moved.model_dump() | {"control_scale": 0.0})
    np.testing.assert_array_equal(made(Pretrained.untuned(silent, SHAPE)), plain)


def test_an_ip_adapter_of_scale_0_changes_nothing_and_of_scale_1_does(beside):
    plain = made(Pretrained.untuned(options(), SHAPE))
    silent, heard = (Pretrained.untuned(options(**pictured(beside, ip_scale=scale)), SHAPE) for scale in (0.0, 1.0))
    np.testing.assert_array_equal(made(silent), plain)
    assert (made(heard) != plain).mean() > 0.5


def test_both_go_with_an_adapter_that_has_learnt(beside, tuned):
    plain = made(tuned)
    both = options(**controlled(beside), **pictured(beside, ip_scale=0.0))
    np.testing.assert_array_equal(made(replace(tuned, options=both)), plain)
    heard = options(**controlled(beside), **pictured(beside))
    assert (made(replace(tuned, options=heard)) != plain).mean() > 0.5


def test_what_cannot_be_shown_is_refused(beside, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    (tmp_path / "no.safetensors").write_bytes(b"no weights")
    for wrong, message in (
        (controlled(beside, control_image=str(tmp_path / "no.png")), r"^control_image: .*no\.png cannot be read as"),
        (pictured(beside, ip_image=str(tmp_path / "no.png")), r"^ip_image: .*no\.png cannot be read as a picture"),
        (controlled(beside, controlnet=str(tmp_path)), "controlnet names it, and it cannot be read as a ControlNet"),
        (pictured(beside, ip_adapter=str(tmp_path / "no.safetensors")), "ip_adapter names it, and .*as an IP-Adapter"),
    ):
        with pytest.raises((ValueError, Damaged), match=message):
            made(Pretrained.untuned(options(**wrong), SHAPE))
    absent = options(**controlled(beside, control_image="nowhere.png"))
    facts = Facts((1, 8, 8), 40, lambda: 2, lambda name: ())
    assert absent.fault(facts) == "control_image: there is no 'nowhere.png'"
    # What a look at the folders tells, a study is told before any work.
    bare, alone = options(**controlled(beside, controlnet=str(tmp_path))), tmp_path / "no.safetensors"
    assert bare.fault(facts).startswith(f"controlnet: '{tmp_path}' is no folder with a config.json")
    said = options(**pictured(beside, ip_adapter=str(alone))).fault(facts)
    assert said.startswith("ip_adapter: there is no folder ") and str(tmp_path / "image_encoder") in said
    assert options(**controlled(beside), **pictured(beside)).fault(facts) == ""


def test_a_tokenizer_that_cannot_be_read_is_said_with_its_folder(folder, tmp_path):
    import shutil

    shutil.copytree(folder, tmp_path / "base")
    for file in (tmp_path / "base" / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.write_text("[")
    with pytest.raises(Damaged, match="tokenizer: is of the base, and cannot be read as a CLIPTokenizer"):
        pipeline.read(str(tmp_path / "base"))


def test_what_options_name_is_hashed(folder, beside):
    chosen = options(base=str(folder), **controlled(beside), **pictured(beside))
    found = chosen.outside()
    assert set(found) == {
        str(folder), str(beside / "controlnet"), str(beside / "picture.png"), str(beside / "ip_adapter.safetensors"),
        str(beside / "image_encoder"),
    }  # fmt: skip
    assert found[str(folder)] == pipeline.read(str(folder)).digest and options().outside() == {}


# -- steering ----------------------------------------------------------------------------------------------------------


def doubled(seen, at, state, draws, settings):
    """Guidance of scale 2, written as a rule."""
    return seen.unconditional + 2 * (seen.conditional - seen.unconditional), state


def test_guidance_is_the_same_as_a_scale_a_bias_or_a_rule(tuned):
    scaled = replace(tuned, options=options(guidance_scale=2.0))
    plain, by_scale, by_bias = made(tuned), made(scaled), made(tuned, bias=0.5)
    by_rule = made(tuned, guide=Steering(doubled, None, ("conditional", "unconditional")))
    np.testing.assert_array_equal(by_scale, by_bias)
    assert np.abs(by_rule.astype(int) - by_scale).max() <= 1 and (by_scale != plain).any()
    double = replace(tuned, options=options(guidance_scale=4.0))
    np.testing.assert_array_equal(made(scaled, bias=0.5), made(double))


def against(seen, at, state, draws, settings):
    """Away from another model: autoguidance of weight 1."""
    return 2 * seen.conditional - seen.others["weak"], state


def test_a_further_model_steers_by_the_same_words(tuned):
    same = Steering(against, None, others={"weak": replace(tuned)})
    np.testing.assert_array_equal(made(tuned, guide=same), made(tuned))
    weak = Steering(against, None, others={"weak": Pretrained.untuned(tuned.options, tuned.shape)})
    asked = ["a", "b", "a", "b", "c"]
    assert (made(tuned, guide=weak, condition=asked) != made(tuned, condition=asked)).any()
    other = Steering(against, None, others={"weak": Pretrained.untuned(tuned.options, (3, 16, 16))})
    with pytest.raises(ValueError, match="guide: found a model 'weak' of other rows"):
        made(tuned, guide=other)


def test_heun_and_ddim_end_alike_with_many_steps(tuned):
    """Two solvers of one ODE, of which DDIM's error falls as 1 / steps: 3 times less, of which a half is asked."""
    ends = {}
    for steps in (8, 24):
        both = [made(replace(tuned, options=options(sampler=one, steps=steps))) for one in ("heun", "ddim")]
        ends[steps] = np.abs(both[0].astype(float) - both[1]).mean()
    assert ends[24] < ends[8] / 2, ends


def test_more_steps_than_noise_levels_are_refused(tuned):
    with pytest.raises(ValueError, match="steps: found 1001, allowed are 2 to 1000"):
        made(replace(tuned, options=options(steps=1001)))


# -- larger ------------------------------------------------------------------------------------------------------------


def test_a_picture_is_changed_by_as_much_as_it_is_asked(tuned):
    """From a picture the last steps alone lead to less than all; from more noise to what is less like it."""
    chosen = options(steps=10)
    small = Pretrained.untuned(chosen, (3, 8, 8)).sample(Ask(4, 3)).data
    wide = Pretrained.untuned(chosen, (3, 16, 16))
    large = sampling.enlarged(small, 2)
    assert large.shape == (4, 3, 16, 16)
    far = []
    for strength in (0.1, 0.4, 1.0):
        changed = wide.made(Ask(4, 3), large, strength).data
        far.append(np.abs(changed.astype(float) - _through(wide, large)).mean())
    assert far[0] < far[1] < far[2]
    part = wide.made(Ask(2, 3, start=0), large[:2], 0.4).data
    np.testing.assert_array_equal(part, wide.made(Ask(4, 3), large, 0.4).data[:2])


def _through(model, rows):
    """Pictures through the autoencoder and back."""
    ready = sampling.ready(model.options, model.shape, {}, "", CPU)
    with torch.no_grad():
        latents = sampling.encoded(ready.pipeline.vae, torch.from_numpy(rows / 127.5 - 1).float())
        return np.clip((sampling.decoded(ready, latents) + 1) * 127.5, 0, 255)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["attention_slicing", "vae_slicing", "vae_tiling"])
def test_ways_to_need_less_memory_change_no_more_than_rounding(monkeypatch, tuned, mode):
    plain = made(tuned)
    monkeypatch.setenv(memory.MEMORY_VARIABLE, mode)
    assert np.abs(made(tuned).astype(int) - plain).max() <= 1


def test_a_checkpointed_training_learns_the_same(monkeypatch, tuned):
    monkeypatch.setenv(memory.MEMORY_VARIABLE, "gradient_checkpointing")
    again = Pretrained.fit(images(), tuned.options, Run(1, images_seen=64))
    for name, one in tuned.adapter.items():
        np.testing.assert_allclose(again.adapter[name], one, atol=1e-5)


@pytest.mark.parametrize("mode", memory.OFFLOADS)
def test_offloading_without_an_accelerator_is_told(monkeypatch, tuned, mode):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    monkeypatch.setenv(memory.MEMORY_VARIABLE, mode)
    with pytest.raises(ValueError, match=f"{mode}: this machine has no accelerator"):
        made(tuned)


def test_other_modes_are_refused(monkeypatch, tuned, beside):
    for said, message in (
        ("magic", "found magic; allowed are model_offload"),
        ("model_offload,sequential_offload", "allowed is one of them"),
    ):
        monkeypatch.setenv(memory.MEMORY_VARIABLE, said)
        with pytest.raises(ValueError, match=message):
            made(tuned)
    monkeypatch.setenv(memory.MEMORY_VARIABLE, "attention_slicing")
    with pytest.raises(ValueError, match="found beside ip_adapter"):
        made(Pretrained.untuned(options(**pictured(beside)), SHAPE))
    parts = pipeline.tiny()
    assert put_beside(parts, options(), (8, 8), torch.float32, CPU).control is None
