"""The networks of a pipeline: read from a folder, never from a network, or built with random weights from a seed."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.errors import Damaged
from ...core.extras import expect_extra
from ...core.seeds import seed_of
from ...machine.compat import import_torchvision
from ...machine.device import exact
from ...store.bytes import write_folder_atomically
from ..diffusion.parameterisations import DDPM
from ..diffusion.parameterisations import SCHEDULES as BETAS
from .folders import TINY_SIDE, Schedule, check_base, digest_of, folder_of, schedule

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
os.environ.update(OFFLINE)  # their libraries look at it as they load: nothing is ever asked of a network

import_torchvision()  # transformers needs it

from diffusers import AutoencoderKL, UNet2DConditionModel  # noqa: E402
from diffusers.utils import logging as of_diffusers  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer  # noqa: E402
from transformers.utils import logging as of_transformers  # noqa: E402

LOCAL = {"local_files_only": True, "use_safetensors": True}  # other formats may carry code
TINY_SCHEDULE = Schedule(1000, "scaled_linear", 0.00085, 0.012, "epsilon")  # that of Stable Diffusion
TINY_TOKENS = 77


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Networks that make images of prompts, frozen and on the CPU as they are read, and the noise they were trained on.

    digest: the SHA-256 of the folder's weights and configurations, or of the random weights.
    """

    unet: nn.Module
    vae: nn.Module
    text_encoder: nn.Module
    tokenizer: Any
    schedule: Schedule
    digest: str

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All that has weights."""
        return self.unet, self.vae, self.text_encoder

    def parameterisation(self, where: torch.device) -> DDPM:
        """How its network's prediction becomes denoised latents, on a device."""
        timesteps, name, start, end, prediction = self.schedule
        return DDPM(prediction, BETAS[name](timesteps, start, end), where)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(base: str, tiny_seed: int = 0, dtype: torch.dtype = torch.float32) -> Pipeline:
    """The pipeline of a base, with frozen weights on the CPU.

    Raises ValueError for a folder that holds no pipeline of this family, Damaged for weights that cannot be read.
    """
    expect_extra("pretrained", "peft")
    of_diffusers.set_verbosity_error()
    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()
    of_diffusers.disable_progress_bar()
    folder = folder_of(base)
    found = tiny(tiny_seed) if folder is None else _read(folder)
    for network in found.networks:
        network.requires_grad_(False).eval().to(dtype)
    return found


def _read(folder: Path) -> Pipeline:
    check_base(folder)

    def network(kind: Any, name: str) -> Any:
        place = folder / name
        half = {} if any(_whole(place)) or not any(place.glob("*.fp16.safetensors")) else {"variant": "fp16"}
        try:
            return kind.from_pretrained(place, **LOCAL, **half)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise Damaged(place, f"is of the base, and cannot be read as a {kind.__name__}: {said}") from None

    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise Damaged(folder / "tokenizer", f"is of the base, and cannot be read as a CLIPTokenizer: {said}") from None
    return Pipeline(
        network(UNet2DConditionModel, "unet"),
        network(AutoencoderKL, "vae"),
        network(CLIPTextModel, "text_encoder"),
        tokenizer,
        schedule(folder),
        digest_of(str(folder)),
    )


def _whole(place: Path) -> list[Path]:
    """The files of weights that are not in half the digits."""
    return [path for path in place.glob("*.safetensors") if ".fp16." not in path.name]


def outline(base: str, tiny_seed: int = 0) -> nn.Module:
    """The network of a base with shapes and no numbers. Raises ValueError for a folder that holds no pipeline."""
    folder = folder_of(base)
    if folder is None:
        return tiny(tiny_seed).unet
    check_base(folder)
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))


# -- the tiny one ------------------------------------------------------------------------------------------------------


def tiny(seed: int = 0) -> Pipeline:
    """A pipeline of some 70,000 random weights, of the layers that Stable Diffusion has: what it makes is noise.

    Images are 4 times as wide as what its network sees at its coarsest, and are a multiple of 4 pixels wide.
    """
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seed_of(seed, None, None, "tiny pipeline"))
        unet = UNet2DConditionModel(
            sample_size=TINY_SIDE // 2,
            block_out_channels=(8, 16),
            layers_per_block=1,
            cross_attention_dim=8,
            attention_head_dim=2,
            norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = AutoencoderKL(
            sample_size=TINY_SIDE,
            block_out_channels=(4, 8),
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        )
        tokenizer = byte_tokenizer()
        text = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=TINY_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        text_encoder = CLIPTextModel(text)
    return Pipeline(unet, vae, text_encoder, tokenizer, TINY_SCHEDULE, _digest((unet, vae, text_encoder)))


def _digest(networks: Sequence[nn.Module]) -> str:
    sha = hashlib.sha256()
    for network in networks:
        for name, weight in network.state_dict().items():
            sha.update(f"{name} {tuple(weight.shape)}\n".encode() + weight.contiguous().numpy().tobytes())
    return sha.hexdigest()


def byte_tokenizer() -> Any:
    """A tokenizer of the 256 bytes, each alone and at the end of a word, and two signs: it knows every text."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    signs = [*map(chr, printed), *(chr(256 + place) for place in range(len(others)))]
    words = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TINY_TOKENS)


# -- writing -----------------------------------------------------------------------------------------------------------


def write(pipeline: Pipeline, folder: Path) -> None:
    """Save a pipeline as diffusers does, so that ``read`` reads it to the same bits. The folder appears whole."""
    write_folder_atomically(folder, lambda beside: _fill(pipeline, beside))


def _fill(pipeline: Pipeline, beside: Path) -> None:
    pipeline.unet.save_pretrained(beside / "unet")
    pipeline.vae.save_pretrained(beside / "vae")
    pipeline.text_encoder.save_pretrained(beside / "text_encoder")
    pipeline.tokenizer.save_pretrained(beside / "tokenizer")
    timesteps, name, start, end, prediction = pipeline.schedule
    called = {"cosine": "squaredcos_cap_v2"}.get(name, name)
    noise = {"_class_name": "DDIMScheduler", "num_train_timesteps": timesteps, "beta_schedule": called}
    noise |= {"beta_start": start, "beta_end": end, "prediction_type": prediction, "steps_offset": 1}
    noise |= {"clip_sample": False, "set_alpha_to_one": False}
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
    }
    (beside / "scheduler").mkdir()
    (beside / "scheduler" / "scheduler_config.json").write_text(json.dumps(noise, indent=2), encoding="utf-8")
    (beside / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


# -- words -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def told(pipeline: Pipeline, prompts: Sequence[str], where: torch.device) -> torch.Tensor:
    """What a network is shown of prompts, (len(prompts), tokens, width), each by itself.

    Raises ValueError for a prompt of more tokens than the text encoder takes: its end would not be heard.
    """
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    most, shown = tokenizer.model_max_length, []
    for prompt in prompts:
        tokens = tokenizer(prompt, padding="max_length", max_length=most).input_ids
        if len(tokens) > most:
            raise ValueError(f"prompts: {prompt[:60]!r}… has {len(tokens)} tokens; allowed are {most}")
        shown.append(encoder(torch.tensor([tokens], device=where))[0])
    return torch.cat(shown)
