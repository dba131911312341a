"""A pipeline in a folder, by its configurations alone: is it one that this family takes, and of which images?

Nothing here imports torch: a study is checked in a moment, and on a machine without the weights' libraries.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core.choice import files
from ...store.weights import digest_of_all

if TYPE_CHECKING:
    from .options import PretrainedOptions

TINY, TINY_SIDE = "tiny", 16
# The networks of a pipeline, by the classes that may make them. Their configurations alone say which layers they have.
CLASSES = {
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
    "text_encoder": ("CLIPTextModel",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
}
CONFIGURATIONS = {"unet": "config.json", "vae": "config.json", "text_encoder": "config.json"}
CONFIGURATIONS |= {"tokenizer": "tokenizer_config.json", "scheduler": "scheduler_config.json"}
SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Schedule(NamedTuple):
    """The noise of a pipeline's training: T betas by the name of their schedule, and what its network predicts."""

    timesteps: int
    schedule: str
    beta_start: float
    beta_end: float
    prediction: str


def check_base(folder: Path) -> None:
    """Raise ValueError unless a folder holds a pipeline of the networks that this family takes."""
    if not folder.is_dir():
        raise ValueError(f"found no folder {str(folder)!r}; allowed are tiny, and a pipeline as diffusers saves it")
    said = read_json(folder / "model_index.json")
    lacking = [name for name in CONFIGURATIONS if name not in said]
    strangers = [f"{name} ({said[name][-1]})" for name, allowed in CLASSES.items() if _strange(said.get(name), allowed)]
    if lacking or strangers or said.get("text_encoder_2") is not None:
        found = f"lacks {', '.join(lacking)}" if lacking else f"has {', '.join(strangers) or 'two text encoders'}"
        raise ValueError(
            f"{folder} holds a {said.get('_class_name')!r}, which {found}; allowed are pipelines of Stable Diffusion 1 "
            "and 2: a UNet2DConditionModel, an AutoencoderKL, a CLIPTextModel and its tokenizer"
        )
    for name, file in CONFIGURATIONS.items():
        read_json(folder / name / file)
    if (channels := read_json(folder / "unet" / "config.json").get("in_channels")) != 4:
        raise ValueError(f"{folder}: its network takes {channels} channels; allowed are the 4 of text-to-image")
    schedule(folder)


def _strange(said: Any, allowed: Sequence[str]) -> bool:
    return isinstance(said, list) and bool(said) and said[-1] not in allowed


def schedule(folder: Path) -> Schedule:
    """The noise of the pipeline in a folder. Raises ValueError for one of another process."""
    path = folder / "scheduler" / "scheduler_config.json"
    found = read_json(path)
    name, prediction = found.get("beta_schedule", "linear"), found.get("prediction_type", "epsilon")
    if name not in SCHEDULES or found.get("trained_betas") is not None or found.get("rescale_betas_zero_snr"):
        raise ValueError(f"{path}: found the betas {name!r}; allowed are {', '.join(SCHEDULES)}, as they are")
    if prediction not in PREDICTIONS:
        raise ValueError(f"{path}: prediction_type: found {prediction!r}, allowed are {', '.join(PREDICTIONS)}")
    count = found.get("num_train_timesteps", 1000)
    return Schedule(count, SCHEDULES[name], found.get("beta_start", 1e-4), found.get("beta_end", 0.02), prediction)


def read_json(path: Path) -> Mapping[str, Any]:
    """A configuration. Raises ValueError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent}: there is no {path.name}") from None
    except (OSError, ValueError, RecursionError):
        raise ValueError(f"{path}: is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: found {type(found).__name__}, allowed is a mapping")
    return found


def pixels_a_latent(folder: Path | None) -> tuple[int, int]:
    """How many pixels a latent is wide, and how many latents the network's coarsest level is; None of base tiny."""
    if folder is None:
        return 2, 2
    vae, unet = (read_json(folder / name / "config.json") for name in ("vae", "unet"))
    return tuple(2 ** (len(one.get("block_out_channels", (0,) * 4)) - 1) for one in (vae, unet))


def own_side(base: str) -> int:
    """The side in pixels of the images that a base was trained on; where it does not say, and there is none, 512."""
    folder = folder_of(base)
    if folder is None:
        return TINY_SIDE
    try:
        latents = read_json(folder / "unet" / "config.json").get("sample_size")
        return latents * pixels_a_latent(folder)[0] if isinstance(latents, int) else 512
    except ValueError:
        return 512  # of a folder that is no pipeline another fault tells


def folder_of(base: str) -> Path | None:
    """The folder of a base; None of the tiny one."""
    return None if base == TINY else Path(base)


def digest_of(base: str) -> str:
    """The SHA-256 of what the pipeline in a folder consists of, with the names of the files, in hex."""
    parts = "".join(f"{digest_of_all(Path(base) / name)}  {name}\n" for name in sorted(CONFIGURATIONS))
    return hashlib.sha256(parts.encode()).hexdigest()


def outside(options: "PretrainedOptions") -> dict[str, str]:
    """The hashes of the user's files that options name, by path; of what is not there, nothing."""
    found = {name: digest_of_all(Path(name)) for name in files(options).values() if Path(name).is_file()}
    folder = folder_of(options.base)
    if folder is not None and folder.is_dir():
        found[options.base] = digest_of(options.base)
    if options.controlnet is not None and Path(options.controlnet).is_dir():
        found[options.controlnet] = digest_of_all(Path(options.controlnet))
    if options.ip_adapter is not None and (encoder := encoder_of(options.ip_adapter)).is_dir():
        found[str(encoder)] = digest_of_all(encoder)
    return found


def encoder_of(ip_adapter: str) -> Path:
    """The folder of the image encoder of an IP-Adapter."""
    return Path(ip_adapter).parent / "image_encoder"


def options_fault(options: "PretrainedOptions", shape: Sequence[int]) -> str:
    """What keeps options from being fitted to images of ``shape``, beginning with the option; empty if nothing does."""
    folder = folder_of(options.base)
    try:
        if folder is not None:
            check_base(folder)
    except ValueError as error:
        return f"base: {error}"
    for name in ("controlnet", "control_image", "ip_adapter", "ip_image"):
        path = getattr(options, name)
        if path is not None and not Path(path).exists():
            return f"{name}: there is no {path!r}"
    if options.controlnet is not None and not (Path(options.controlnet) / "config.json").is_file():
        return f"controlnet: {options.controlnet!r} is no folder with a config.json, as diffusers saves a ControlNet"
    if options.ip_adapter is not None and not (encoder := encoder_of(options.ip_adapter)).is_dir():
        return f"ip_adapter: there is no folder {str(encoder)!r} beside it, with the encoder of its pictures"
    return shape_fault(folder, shape)


def shape_fault(folder: Path | None, shape: Sequence[int]) -> str:
    """What keeps a pipeline from making images of a shape (C, H, W); empty if nothing does."""
    pixels, latents = pixels_a_latent(folder)
    step = pixels * latents
    if len(shape) == 3 and (shape[0] not in (1, 3) or any(side % step for side in shape[1:])):
        found = " x ".join(map(str, shape))
        return f"base: found images of {found}; it makes 1 or 3 colours, and sides that are multiples of {step}"
    return ""
