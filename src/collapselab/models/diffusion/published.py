"""Published denoisers: a folder of diffusers' ``UNet2DModel`` as the beginning of a training, or to sample from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import Damaged
from .networks import build
from .options import DiffusionOptions

WEIGHTS = "diffusion_pytorch_model.safetensors"
HALF = "diffusion_pytorch_model.fp16.safetensors"  # the same in half the digits
INDEX = "diffusion_pytorch_model.safetensors.index.json"  # says in which of several files each tensor lies
PIPELINES = (
    "DDPMPipeline",
    "DDIMPipeline",
    "PNDMPipeline",
)  # of a network that makes pixels of noise, and nothing else
# Rules for one process: x_t = sqrt(a_t) x + sqrt(1 - a_t) e, with a_t by the same betas and defaults.
SCHEDULERS = (
    *("DDPMScheduler", "DDPMParallelScheduler", "DDIMScheduler", "DDIMParallelScheduler", "PNDMScheduler"),
    *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler"),
    *("UniPCMultistepScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "LMSDiscreteScheduler"),
)
# Of other processes: the parameterisation, and what a configuration has to say, or says by being silent. The rules of
# their samplers (spacing, shifts, correction steps) are not taken.
OTHERS: Mapping[str, tuple[str, Mapping[str, tuple[Any, ...]]]] = {
    "EDMEulerScheduler": ("edm", {"prediction_type": ("epsilon",)}),
    "EDMDPMSolverMultistepScheduler": ("edm", {"prediction_type": ("epsilon",)}),
    "FlowMatchEulerDiscreteScheduler": ("flow", {"invert_sigmas": (False,)}),
    "FlowMatchHeunDiscreteScheduler": ("flow", {}),
    "ScoreSdeVeScheduler": ("score", {}),
    "KarrasVeScheduler": ("karras_ve", {}),
}
# What a moving average of weights says beside the network's arguments, where a training stores it.
OF_AVERAGES = {
    *("decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step", "use_ema_warmup"),
}
SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}

# Before diffusers 0.15 the layers of an attention had other names; the arithmetic is the same.
RENAMED = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def from_diffusers(folder: Path, classes: int | None = None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The options and the tensors (:meth:`Diffusion.load`) of a folder that diffusers' ``save_pretrained`` wrote.

    folder: that of a ``UNet2DModel``, or of a pipeline that has one in ``unet``. It holds ``config.json`` and
    ``diffusion_pytorch_model.safetensors``, whole, in several files with their index, or in half precision where there
    is no other; ``scheduler_config.json`` lies beside them or in ``scheduler``.
    classes: how many classes the embeddings are of, where the last one stands for "no label"; None: all.

    Images of a DDPM start from the highest noise level and take its timesteps as DDIM does; those of other processes
    (:data:`OTHERS`) go down by Heun's steps. Of the scheduler the noise and what the network predicts are taken; a rule
    for the sampler (clipping, spacing) is not.
    Raises ValueError for what cannot be taken over exactly, by its name: pipelines, networks and schedulers of other
    classes, and what differs in ours; Damaged for weights that are no safetensors.
    """
    folder = _folder(Path(folder))
    configuration = _configuration(folder)
    size = configuration.get("sample_size")
    height, width = size if isinstance(size, list) and len(size) == 2 else (size, size)
    colours = configuration.get("in_channels", 3)
    for name, value in (("sample_size", height), ("sample_size", width), ("in_channels", colours)):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
            raise ValueError(f"{folder / 'config.json'}: {name}: found {value!r}, allowed are 1 to 4096 pixels")
    embedded = configuration.get("num_class_embeds") or 0
    options = {
        # Where a training goes on from it, that of Ho et al. 2020 (appendix B), in the precision that it came with.
        "preset": "cifar10",
        "batch": 128,
        "learning_rate": 2e-4,
        "augment": 0.0,
        "precision": "float32",
        "network": "diffusers",
        "unet": configuration,
        "classes": embedded if classes is None else classes,
        "label_dropout": 0.0 if classes is None or classes == embedded else 0.1,
        "dropout": configuration.get("dropout", 0.0),
        **_schedule(folder),
    }
    if options["parameterisation"] == "ddpm":
        options["steps"] = max(2, min(50, options["timesteps"])) if isinstance(options["timesteps"], int) else 50
    checked = DiffusionOptions(**options)
    shape = (colours, height, width)
    with torch.device("meta"):  # whether it is this network is known before it takes its memory
        expected = {name: tuple(weight.shape) for name, weight in build(checked, shape).named_parameters()}
    weights = _weights(folder)
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        name = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
        raise ValueError(
            f"{folder / WEIGHTS}: found {name.removeprefix('unet.')!r} of shape {found.get(name)}, the network of "
            f"config.json has it of shape {expected.get(name)}"
        )
    if name := next((name for name, array in weights.items() if not np.isfinite(array).all()), None):
        raise ValueError(f"{folder / WEIGHTS}: {name.removeprefix('unet.')!r} has a number that is not finite")
    curve = {"curve.images_seen": np.zeros(0, np.int64), "curve.loss": np.zeros(0)}
    return options, {
        "shape": np.array(shape, np.int64),
        **{f"network.{name}": weights[name] for name in expected},
        **curve,
    }


def _folder(given: Path) -> Path:
    """Where the network lies. Raises ValueError for a pipeline of which it is not the whole, or which has it twice."""
    folder = given / "unet" if (given / "unet" / "config.json").is_file() else given
    pipeline = folder.parent if folder.name == "unet" else folder
    if folder != given and (given / "unet_ema" / "config.json").is_file():
        raise ValueError(
            f"{given}: has unet and unet_ema, the average of its weights, from which its samples come; say which: "
            f"{given / 'unet_ema'} or {folder}, with scheduler_config.json in it"
        )
    index = pipeline / "model_index.json"
    if not index.is_file():
        return folder
    said = _json(index)
    parts = {name: one for name, one in said.items() if not name.startswith("_")}
    others = sorted(parts.keys() - {"unet", "scheduler"})
    found = f"{index}: found a {_short(said.get('_class_name'))}" + (f" with {', '.join(others)}" if others else "")
    if others or said.get("_class_name") not in PIPELINES:
        what = (
            "what its network makes are no images" if {"vae", "vqvae"} & {*others} else "its network is not all of it"
        )
        raise ValueError(f"{found}: {what}; allowed is a pipeline of unet and scheduler: {', '.join(PIPELINES)}")
    return folder


def _configuration(folder: Path) -> dict[str, Any]:
    """The arguments of the network. Raises ValueError for one of another class."""
    said = _json(folder / "config.json")
    if (found := said.get("_class_name", "UNet2DModel")) != "UNet2DModel":
        raise ValueError(f"{folder / 'config.json'}: found a {_short(found)}, allowed is a UNet2DModel")
    return {name: value for name, value in said.items() if name[:1] != "_" and name not in OF_AVERAGES}


def _short(found: Any) -> str:
    return repr(found) if len(repr(found)) <= 60 else f"{repr(found)[:60]}…"


def _files(folder: Path) -> list[Path]:
    """The files of the weights. Raises ValueError where there are none, or an index names others than lie beside it."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        placed = _json(folder / INDEX).get("weight_map")
        names = sorted(set(map(str, placed.values()))) if isinstance(placed, dict) else []
        if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
            raise ValueError(f"{folder / INDEX}: found no weight_map of safetensors files beside it")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise ValueError(f"{folder / INDEX}: names {', '.join(missing)}, which is not there")
        return [folder / name for name in names]
    return [folder / HALF] if (folder / HALF).is_file() else []


def _weights(folder: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    paths, tensors = _files(folder), {}
    if not paths:
        others = sorted(file.name for file in folder.glob("*.bin")) + sorted(file.name for file in folder.glob("*.pt"))
        there = (
            f"; {others[0]} may carry code and is not read: save the model with safe_serialization" if others else ""
        )
        raise ValueError(f"{folder}: there is no {WEIGHTS}{there}")
    for path in paths:
        try:
            tensors |= load_file(path)
        except (SafetensorError, ValueError, OSError) as error:
            raise Damaged(path, f"it is no safetensors file: {error}") from None
    renamed = {}
    for name, tensor in tensors.items():
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        renamed[f"unet.{name}"] = tensor.float().numpy()
    return renamed


def _schedule(folder: Path) -> dict[str, Any]:
    """The options of the parameterisation, from the scheduler's configuration."""
    places = [folder / "scheduler_config.json", folder.parent / "scheduler" / "scheduler_config.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(f"{folder}: there is no scheduler_config.json, neither here nor in ../scheduler")
    found = _json(path)
    name = found.get("_class_name")
    if isinstance(name, str) and name in OTHERS:
        return _other_process(path, name, found)
    if name not in SCHEDULERS:
        raise ValueError(
            f"{path}: _class_name: found {_short(name)}, allowed are {', '.join(SCHEDULERS)}: a DDPM's noise; and of "
            f"other processes {', '.join(OTHERS)}"
        )
    defaults = {"beta_schedule": "linear", "prediction_type": "epsilon", "num_train_timesteps": 1000}
    defaults |= {"beta_start": 1e-4, "beta_end": 0.02, "trained_betas": None, "rescale_betas_zero_snr": False}
    defaults |= {"use_flow_sigmas": False, "timestep_type": "discrete"}
    given = {name: found.get(name, default) for name, default in defaults.items()}
    allowed = {
        "beta_schedule": tuple(SCHEDULES),
        "prediction_type": ("epsilon", "v_prediction", "sample"),
        "trained_betas": (None,),
        "rescale_betas_zero_snr": (False,),
        "use_flow_sigmas": (False,),
        "timestep_type": ("discrete",),
    }
    _check_said(path, given, allowed)
    return {
        "sampler": "ddim",
        "parameterisation": "ddpm",
        "prediction": given["prediction_type"],
        "timesteps": given["num_train_timesteps"],
        "beta_schedule": SCHEDULES[given["beta_schedule"]],
        "beta_start": given["beta_start"],
        "beta_end": given["beta_end"],
    }


def _other_process(path: Path, name: str, found: dict[str, Any]) -> dict[str, Any]:
    """The options of a process that is no DDPM's, which Heun's sampler goes through from its own noise."""
    parameterised, asked = OTHERS[name]
    _check_said(path, {one: found.get(one, values[0]) for one, values in asked.items()}, asked)
    if parameterised == "flow":
        # A flow begins at t = 1, where sigma has no end: at 80 a share of 1/81 of the data is left.
        return {"parameterisation": "flow", "timesteps": found.get("num_train_timesteps", 1000)}
    usual = {"edm": (0.002, 80.0), "score": (0.01, 1348.0), "karras_ve": (0.02, 100.0)}[parameterised]
    ends = [found.get(end, default) for end, default in zip(("sigma_min", "sigma_max"), usual, strict=True)]
    for end, number in zip(("sigma_min", "sigma_max"), ends, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 1e9:
            raise ValueError(f"{path}: {end}: found {number!r}, allowed are numbers above 0")
    if parameterised == "score":
        ends = [2 * end for end in ends]  # which are of images in [0, 1]
    options = {"parameterisation": parameterised, "sigma_min": ends[0], "sigma_max": ends[1]}
    if parameterised == "edm":
        options |= {one: found.get(one, default) for one, default in (("sigma_data", 0.5), ("rho", 7.0))}
    return options


def _check_said(path: Path, given: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise ValueError where a configuration says what differs in ours."""
    for name, values in allowed.items():
        if given[name] not in values:
            raise ValueError(f"{path}: {name}: found {given[name]!r}, allowed is {' or '.join(map(repr, values))}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent}: there is no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(path, f"it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: found {type(found).__name__}, allowed is a mapping")
    return found
