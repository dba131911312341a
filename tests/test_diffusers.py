"""Folders of diffusers' ``UNet2DModel`` as models of ours: the same epsilon, the same samples, or a refusal by name."""

import json

import numpy as np
import pytest
import torch

from collapselab.core.ask import Ask
from collapselab.core.errors import Damaged
from collapselab.core.run import Run
from collapselab.core.sets import TrainingSet
from collapselab.engine.steering import unsteered
from collapselab.machine.compat import import_torchvision
from collapselab.models.diffusion import Diffusion, DiffusionOptions
from collapselab.models.diffusion.networks import loaded
from collapselab.models.diffusion.parameterisations import parameterisation
from collapselab.models.diffusion.published import (
    HALF,
    INDEX,
    OTHERS,
    PIPELINES,
    RENAMED,
    SCHEDULERS,
    WEIGHTS,
    from_diffusers,
)
from collapselab.models.stored import Stored
from collapselab.samplers.ddim import ddim

pytestmark = pytest.mark.trained

CPU = torch.device("cpu")
SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "beta_start": 1e-3,
    "beta_end": 0.05,
    "num_train_timesteps": 100,
    "prediction_type": "epsilon",
}


@pytest.fixture(scope="module")
def diffusers():
    import_torchvision()
    return pytest.importorskip("diffusers")


def save(diffusers, folder, *, scheduler=None, **configuration):
    """A small U-Net far from silent, and its scheduler's configuration beside it."""
    torch.manual_seed(0)
    given = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4,
        "attention_head_dim": 8,
    }
    network = diffusers.UNet2DModel(**(given | configuration)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    network.save_pretrained(folder)
    (folder / "scheduler_config.json").write_text(json.dumps(SCHEDULER | (scheduler or {})))
    return network


def model_of(folder, classes=None, **changed) -> Diffusion:
    options, tensors = from_diffusers(folder, classes)
    return Diffusion.load(Stored(tensors), DiffusionOptions(**(options | changed)))


@pytest.mark.parametrize("classes", [None, 4, 3])
def test_the_network_predicts_what_diffusers_does(diffusers, tmp_path, classes):
    embedded = {} if classes is None else {"num_class_embeds": 4}
    network = save(diffusers, tmp_path, **embedded)
    model = model_of(tmp_path, classes)
    assert model.shape == (1, 8, 8) and model.options.classes == (classes or 0)
    own = loaded(model.options, model.shape, model.averaged, CPU)
    process = parameterisation(model.options, CPU)
    noisy = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0, 42, 99])
    sigma = process.sigmas[times].float()
    labels = torch.tensor([0, 2, 1])
    with torch.no_grad():
        expected = network(noisy, times, class_labels=labels if embedded else None).sample
        one_hot = torch.nn.functional.one_hot(labels, classes).float() if classes else None
        assert torch.equal(own(noisy, times.float(), one_hot), expected)
        # Through the denoiser x = sqrt(1 + sigma^2) x_t, and D = x - sigma epsilon.
        wide = sigma[:, None, None, None]
        x = noisy * (1 + wide**2).sqrt()
        found = (x - process.denoise(own, x, sigma, one_hot)) / wide
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)  # float32, divided by sigma down to .03
        if classes == 3:  # the last embedding stands for no label
            absent = network(noisy, times, class_labels=torch.tensor([3, 3, 3])).sample
            assert torch.equal(own(noisy, times.float(), torch.zeros(3, 3)), absent)


@pytest.mark.parametrize("steps", [10, 100])
@pytest.mark.parametrize(
    "scheduler",
    [
        {},
        {"beta_schedule": "scaled_linear"},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"prediction_type": "v_prediction"},
        {"prediction_type": "sample"},
    ],
)
def test_ddim_is_diffusers_ddim(diffusers, tmp_path, scheduler, steps):
    network = save(diffusers, tmp_path, scheduler=scheduler)
    model = model_of(tmp_path, steps=steps)
    from collapselab.models.diffusion import sampling

    process = parameterisation(model.options, CPU)
    own = loaded(model.options, model.shape, model.averaged, CPU)
    levels = sampling.noise_levels(model.options, process.sigmas)
    start = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    theirs = diffusers.DDIMScheduler(
        **{name: value for name, value in (SCHEDULER | scheduler).items() if name[0] != "_"},
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(steps)
    with torch.no_grad():
        # Both begin with the same x_t; ours is x = x_t / sqrt(alpha), and its first level's noise is x / sigma.
        begin = start.double() * (1 + levels[0] ** 2).sqrt() / levels[0]
        found = sampling.ddim(unsteered(sampling.NetworkDenoiser(own, model.options, process)), begin, levels, None)
        x = start
        for time in theirs.timesteps:
            x = theirs.step(network(x, time).sample, time, x).prev_sample
    # Theirs is float32 throughout. Errors of 6e-8 in x grow by sigma / sigma' in a step, in all by the highest sigma
    # (cosine: 1e4), against samples of about that size.
    size = x.abs().max().item()
    torch.testing.assert_close(found.float(), x, rtol=0, atol=2e-4 * size)


def test_samples_are_images_and_do_not_depend_on_the_cut(diffusers, tmp_path):
    save(diffusers, tmp_path, num_class_embeds=4)
    model = model_of(tmp_path, 3, steps=4, sample_batch=4)
    whole = model.sample(Ask(10, 1, bias=0.7))
    np.testing.assert_array_equal(model.sample(Ask(3, 1, start=5, bias=0.7)).data, whole.data[5:8])
    assert whole.data.shape == (10, 1, 8, 8) and whole.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert np.isfinite(model.log_likelihood(whole.data[:2], 1, steps=2)).all()


def test_a_training_starts_from_it(diffusers, tmp_path):
    save(diffusers, tmp_path)
    changed = {"batch": 4, "learning_rate": 1e-12, "warmup_images": 0, "ema_half_life": 8}
    model = model_of(tmp_path, **changed)
    data = TrainingSet(np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), np.uint8), None, np.ones(8))
    still = Diffusion.fit(data, model.options, Run(1, images_seen=8), model)
    for name, array in model.averaged.items():
        np.testing.assert_allclose(still.averaged[name], array, atol=1e-7)
    options = model.options.model_copy(update={"learning_rate": 1e-3})
    loss = Diffusion.fit(data, options, Run(1, images_seen=160), model).curve["loss"]
    # Over 24 seeds the ratio is .55 (deviation .04) and .65 at most; 1.04 (deviation .06) of a model that stays.
    assert loss[-10:].mean() < 0.8 * loss[:5].mean()


def test_folders_of_pipelines_and_old_names_are_read(diffusers, tmp_path):
    from safetensors.torch import load_file, save_file

    network = save(diffusers, tmp_path / "unet")
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "unet" / "scheduler_config.json").rename(tmp_path / "scheduler" / "scheduler_config.json")
    tensors = load_file(tmp_path / "unet" / WEIGHTS)
    for old, new in RENAMED.items():
        tensors = {name.replace(new, old): tensor for name, tensor in tensors.items()}
    assert any(".proj_attn." in name for name in tensors)
    save_file(tensors, tmp_path / "unet" / WEIGHTS)
    _, found = from_diffusers(tmp_path)
    for name, parameter in network.named_parameters():
        np.testing.assert_array_equal(found[f"network.unet.{name}"], parameter.detach().numpy())


@pytest.mark.parametrize(
    ("configuration", "scheduler", "message"),
    [
        ({"time_embedding_type": "fourier"}, {}, "unet: found time_embedding_type 'fourier', allowed is 'positional'"),
        ({"out_channels": 2}, {}, "unet: found out_channels 2, allowed is 1"),
        ({"class_embed_type": "timestep"}, {}, "unet: found class_embed_type 'timestep', allowed is None"),
        ({"sample_size": None}, {}, "sample_size: found None"),
        ({}, {"num_train_timesteps": "many"}, "timesteps"),
        ({}, {"beta_schedule": "sigmoid"}, "beta_schedule: found 'sigmoid', allowed is 'linear' or 'scaled_linear'"),
        ({}, {"prediction_type": "flow"}, "prediction_type: found 'flow'"),
        ({}, {"trained_betas": [0.1, 0.2]}, "trained_betas: found"),
        ({}, {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr: found True"),
        ({}, {"num_train_timesteps": 10**9}, "timesteps"),
        ({}, {"use_flow_sigmas": True}, "use_flow_sigmas: found True, allowed is False"),
        ({}, {"timestep_type": "continuous"}, "timestep_type: found 'continuous'"),
    ],
)
def test_what_cannot_be_taken_over_exactly_is_refused_by_name(diffusers, tmp_path, configuration, scheduler, message):
    save(diffusers, tmp_path, scheduler=scheduler, **configuration)
    with pytest.raises(ValueError, match=message):
        from_diffusers(tmp_path)


def test_damaged_and_foreign_folders_are_refused(diffusers, tmp_path):
    with pytest.raises(ValueError, match=r"there is no config\.json"):
        from_diffusers(tmp_path)
    save(diffusers, tmp_path)
    config, weights, scheduler = (tmp_path / name for name in ("config.json", WEIGHTS, "scheduler_config.json"))
    whole = {path: path.read_bytes() for path in (config, weights, scheduler)}

    def broken(path, content: bytes | None, error, message: str) -> None:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(error, match=message):
            from_diffusers(tmp_path)
        path.write_bytes(whole[path])

    broken(config, b"{", Damaged, "no JSON")
    broken(config, b"[1]", ValueError, "found list, allowed is a mapping")
    broken(config, json.dumps(json.loads(whole[config]) | {"hidden": 1}).encode(), ValueError, "found 'hidden'")
    wide = json.loads(whole[config]) | {"block_out_channels": [8, 32]}
    broken(config, json.dumps(wide).encode(), ValueError, "of shape .* config.json has it of shape")
    deep = json.loads(whole[config]) | {"layers_per_block": 10**9}
    broken(config, json.dumps(deep).encode(), ValueError, "layers_per_block 1000000000, allowed are at most 100")
    vast = json.loads(whole[config]) | {"block_out_channels": [10**18, 10**18]}
    broken(config, json.dumps(vast).encode(), ValueError, "unet: diffusers cannot build it|of shape")
    odd = json.loads(whole[config]) | {"down_block_types": ["os.system", "DownBlock2D"]}
    broken(config, json.dumps(odd).encode(), ValueError, "unet: diffusers cannot build it")
    broken(weights, whole[weights][:200], Damaged, "no safetensors")
    broken(weights, b"\x80\x04c__builtin__\neval\n.", Damaged, "no safetensors")
    broken(scheduler, None, ValueError, r"there is no scheduler_config\.json, neither here nor in \.\./scheduler")
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    broken(weights, None, ValueError, r"diffusion_pytorch_model\.bin may carry code and is not read")


def test_schedulers_of_another_process_are_refused_by_class_name(diffusers, tmp_path):
    import diffusers.schedulers as module  # what the package ships

    save(diffusers, tmp_path)
    shipped = [name for name in dir(module) if name.endswith("Scheduler") and name[:4] != "Flax"]
    assert set(SCHEDULERS) < set(shipped) and len(shipped) > 2 * len(SCHEDULERS)
    for name in [*shipped, "MyScheduler", None, 3, {"a": 1}]:
        (tmp_path / "scheduler_config.json").write_text(json.dumps({"_class_name": name}))
        if name in SCHEDULERS:
            options, _ = from_diffusers(tmp_path)
            theirs = getattr(diffusers, name)()
            found = parameterisation(DiffusionOptions(**options), CPU).sigmas
            level = ((1 - theirs.alphas_cumprod.double()) / theirs.alphas_cumprod.double()).sqrt()
            torch.testing.assert_close(found.double(), level, rtol=1e-4, atol=0)
            assert options["prediction"] == theirs.config.prediction_type == "epsilon"
        elif isinstance(name, str) and name in OTHERS:
            assert from_diffusers(tmp_path)[0]["parameterisation"] == OTHERS[name][0]
        else:
            with pytest.raises(ValueError, match=r"_class_name: found .*allowed are DDPMScheduler") as raised:
                from_diffusers(tmp_path)
            assert repr(name) in str(raised.value)
    (tmp_path / "scheduler_config.json").write_text("{}")
    with pytest.raises(ValueError, match="_class_name: found None"):
        from_diffusers(tmp_path)


def steered_by(denoise):
    """A network's denoiser as a sampler asks it, in float32 as diffusers' schedulers compute."""
    return unsteered(lambda x, sigma, labels: denoise(x.float(), sigma.float().expand(len(x)), None).double())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("EDMEulerScheduler", {"sigma_data": 0.7, "sigma_max": 20.0}),
        ("FlowMatchEulerDiscreteScheduler", {"num_train_timesteps": 1000}),
        ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "num_train_timesteps": 500}),
    ],
)
def test_eulers_steps_are_those_of_diffusers_schedulers(diffusers, tmp_path, name, said):
    """From the same noisy rows, at the levels of the library's own scheduler, with the same random network."""
    network = save(diffusers, tmp_path, scheduler={"_class_name": name, "prediction_type": "epsilon", **said})
    model = model_of(tmp_path)
    own, process = loaded(model.options, model.shape, model.averaged, CPU), parameterisation(model.options, CPU)
    theirs = getattr(diffusers, name)(**said)
    theirs.set_timesteps(12)
    first = 1 if name.startswith("Flow") else 0  # at its time 1 a flow has no rows of x = y + sigma n
    noisy = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    levels = theirs.sigmas[first:].double()
    with torch.no_grad():
        if first:
            levels = levels / (1 - levels)
            x, begin = noisy, noisy.double() * (1 + levels[0]) / levels[0]
        else:
            x, begin = noisy * levels[0].float(), noisy.double()
        for time in theirs.timesteps[first:]:
            scaled = x if first else theirs.scale_model_input(x, time)
            x = theirs.step(network(scaled, time).sample, time, x).prev_sample
        denoise = steered_by(lambda rows, sigma, labels: process.denoise(own, rows, sigma, labels))
        found = ddim(denoise, begin, levels, None)
    torch.testing.assert_close(found.float(), x, rtol=2e-3, atol=2e-3 * x.abs().max().item())


@pytest.mark.parametrize("name", ["ScoreSdeVeScheduler", "KarrasVeScheduler"])
def test_networks_of_exploding_variance_see_images_between_0_and_1(diffusers, tmp_path, name):
    """The denoised image is u + s^2 score(u), or what the library's own step says of sigma times the score."""
    network = save(diffusers, tmp_path, scheduler={"_class_name": name}, time_embedding_type="fourier")
    model = model_of(tmp_path)
    scores = name == "ScoreSdeVeScheduler"
    assert (model.options.sigma_min, model.options.sigma_max) == ((0.02, 2696.0) if scores else (0.02, 100.0))
    own, process = loaded(model.options, model.shape, model.averaged, CPU), parameterisation(model.options, CPU)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    sigma = torch.tensor([0.1, 1.0, 30.0])
    with torch.no_grad():
        found = process.denoise(own, x, sigma, None)
        wide, images = sigma[:, None, None, None], (x + 1) / 2
        said = network(images, sigma / 2).sample
        if scores:
            expected = 2 * (images + (wide / 2) ** 2 * said) - 1
        else:
            theirs = diffusers.KarrasVeScheduler()
            steps = [theirs.step(said[i], sigma[i], sigma[i] / 2, x[i]).pred_original_sample for i in range(3)]
            expected = torch.stack(steps)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert np.isfinite(model.sample(Ask(2, 0)).data).all()


def test_what_another_process_says_and_ours_cannot_is_refused(diffusers, tmp_path):
    save(diffusers, tmp_path, scheduler={"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"})
    with pytest.raises(ValueError, match=r"prediction_type: found 'v_prediction', allowed is 'epsilon'"):
        from_diffusers(tmp_path)
    save(diffusers, tmp_path, scheduler={"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True})
    with pytest.raises(ValueError, match="invert_sigmas: found True, allowed is False"):
        from_diffusers(tmp_path)
    save(diffusers, tmp_path, time_embedding_type="fourier")
    with pytest.raises(ValueError, match="time_embedding_type 'fourier', allowed is 'positional'"):
        from_diffusers(tmp_path)


def test_networks_of_other_classes_are_refused_by_class_name(diffusers, tmp_path):
    save(diffusers, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("UNet2DConditionModel", "Transformer2DModel", ["UNet2DModel"]):
        (tmp_path / "config.json").write_text(json.dumps(config | {"_class_name": name}))
        with pytest.raises(ValueError, match=r"config\.json: found a .*, allowed is a UNet2DModel") as raised:
            from_diffusers(tmp_path)
        assert repr(name) in str(raised.value)


def pipeline(folder, name, **parts):
    (folder / "model_index.json").write_text(json.dumps({"_class_name": name, "_diffusers_version": "0.42.0", **parts}))


def test_pipelines_of_which_the_network_is_a_part_are_refused_by_class_name(diffusers, tmp_path):
    save(diffusers, tmp_path / "unet")
    parts = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
    for name in PIPELINES:
        pipeline(tmp_path, name, **parts)
        assert from_diffusers(tmp_path)[0] == from_diffusers(tmp_path / "unet")[0]
    for name, more in (
        ("LDMPipeline", {"vqvae": ["diffusers", "VQModel"]}),
        ("StableDiffusionPipeline", {"vae": ["diffusers", "AutoencoderKL"], "text_encoder": [None, None]}),
        ("DDPMPipeline", {"vae": ["diffusers", "AutoencoderKL"]}),
        ("ConsistencyModelPipeline", {}),
        (None, {}),
    ):
        pipeline(tmp_path, name, **parts, **more)
        for given in (tmp_path, tmp_path / "unet"):
            with pytest.raises(ValueError, match=r"model_index\.json: found a .*allowed is a pipeline of") as raised:
                from_diffusers(given)
            assert all(word in str(raised.value) for word in (repr(name), *more))
            assert ("no images" in str(raised.value)) == bool({"vae", "vqvae"} & more.keys())


def test_weights_in_parts_or_in_half_the_digits_are_read(diffusers, tmp_path):
    from safetensors.torch import load_file, save_file

    save(diffusers, tmp_path)
    whole = from_diffusers(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    save_file({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / HALF)
    halved = from_diffusers(tmp_path)
    assert halved[0] == whole[0] and halved[1].keys() == whole[1].keys()
    for name, array in halved[1].items():
        np.testing.assert_allclose(array, whole[1][name], rtol=1e-3, atol=1e-4)
        assert array.dtype == whole[1][name].dtype
    placed = {name: f"part-{number % 3}.safetensors" for number, name in enumerate(tensors)}
    for part in set(placed.values()):
        save_file({name: tensors[name] for name in tensors if placed[name] == part}, tmp_path / part)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": placed}))
    for name, array in from_diffusers(tmp_path)[1].items():  # the whole numbers come before the halves
        np.testing.assert_array_equal(array, whole[1][name])
    (tmp_path / "part-1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"names part-1\.safetensors, which is not there"):
        from_diffusers(tmp_path)
    for odd in ({"weight_map": {"a": "../out.safetensors"}}, {"weight_map": {"a": "a.bin"}}, {"weight_map": []}, {}):
        (tmp_path / INDEX).write_text(json.dumps(odd))
        with pytest.raises(ValueError, match="found no weight_map of safetensors files beside it"):
            from_diffusers(tmp_path)


def test_of_a_network_and_its_average_one_is_named(diffusers, tmp_path):
    save(diffusers, tmp_path / "unet")
    save(diffusers, tmp_path / "unet_ema")
    average = tmp_path / "unet_ema" / "config.json"
    said = {"decay": 0.9999, "inv_gamma": 1.0, "min_decay": 0.0, "optimization_step": 7, "power": 0.75}
    said |= {"update_after_step": 0, "use_ema_warmup": True}
    average.write_text(json.dumps(json.loads(average.read_text()) | said))
    with pytest.raises(ValueError, match="has unet and unet_ema, the average of its weights"):
        from_diffusers(tmp_path)
    assert from_diffusers(tmp_path / "unet_ema")[0] == from_diffusers(tmp_path / "unet")[0]


def test_options_of_the_network_are_checked(diffusers):
    with pytest.raises(ValueError, match="unet: found none with network 'diffusers'"):
        DiffusionOptions(network="diffusers", classes=0)
    with pytest.raises(ValueError, match="unet: found one with network 'mlp'"):
        DiffusionOptions(unet={})
    with pytest.raises(ValueError, match=r"label_dropout: found 0\.1, allowed is 0"):
        DiffusionOptions(network="diffusers", unet={"num_class_embeds": 4}, classes=4)
    with pytest.raises(ValueError, match=r"augment: found 0\.1, allowed is 0"):
        DiffusionOptions(network="diffusers", unet={}, classes=0, augment=0.1)


@pytest.mark.parametrize("process", ["flow", "score", "karras_ve"])
def test_processes_of_others_denoise_by_their_targets_and_weigh_as_they_do(process):
    """A network that says its target denoises to the image; the weighted error is that of what it says: of a velocity,
    of sigma times a score, or of a score at the weight s^2 (Song et al. 2021)."""
    one = parameterisation(DiffusionOptions(parameterisation=process), CPU)
    source = torch.Generator().manual_seed(4)
    clean, noise, off = (torch.randn(5, 1, 4, 4, generator=source) for _ in range(3))
    sigma = one.draw(5)
    wide = sigma[:, None, None, None]
    target = {"flow": noise - clean, "score": -2 * noise / wide, "karras_ve": -noise}[process]
    noisy = clean + wide * noise
    found = one.denoise(lambda *told: target, noisy, sigma, None)
    torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-4 * (1 + sigma.max().item()))
    moved = one.denoise(lambda *told: target + off, noisy, sigma, None)
    weighed = one.loss_weight(sigma) * (moved - found).square().sum(dim=(1, 2, 3))
    expected = off.square().sum(dim=(1, 2, 3)) * ((sigma / 2) ** 2 if process == "score" else 1)
    torch.testing.assert_close(weighed, expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize("process", ["flow", "score", "karras_ve"])
def test_a_training_goes_on_in_the_processes_of_others(process):
    images = np.zeros((64, 1, 8, 8), np.uint8)
    images[:, :, :, 4:] = 255
    small = {"preset": "tiny", "channels": 32, "blocks": 1, "classes": 0, "batch": 32, "warmup_images": 64, "steps": 6}
    options = DiffusionOptions(**small, parameterisation=process, sigma_max=20.0, images_seen=6400)
    model = Diffusion.fit(TrainingSet(images, None, np.ones(64)), options, Run(0))
    assert model.curve["loss"][-1] < 0.95 * model.curve["loss"][0]
    assert model.sample(Ask(3, 1)).data.shape == (3, 1, 8, 8)
