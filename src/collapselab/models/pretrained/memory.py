"""Ways to need less memory, which are the machine's and no option of a study: they change bits by rounding at most."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .pipeline import Pipeline

MEMORY_VARIABLE = "COLLAPSELAB_PRETRAINED_MEMORY"
OFFLOADS = ("model_offload", "sequential_offload")
MODES = {
    "model_offload": "each network is on the device while it computes: about a third less",
    "sequential_offload": "each layer is on the device while it computes: 2 GB are enough, at several times the time",
    "attention_slicing": "attention in parts, one after the other",
    "vae_slicing": "images are decoded one by one",
    "vae_tiling": "a large image is decoded in tiles, whose seams are blended",
    "gradient_checkpointing": "a training computes twice what it would have to keep",
}
"""name -> what it does."""


def modes() -> tuple[str, ...]:
    """The modes that ``COLLAPSELAB_PRETRAINED_MEMORY`` names, with commas between. Raises ValueError for others."""
    return checked(os.environ.get(MEMORY_VARIABLE, "").split(","), MEMORY_VARIABLE)


def checked(said: Sequence[str], where: str) -> tuple[str, ...]:
    """Modes by name. Raises ValueError for what is none, and for both ways of offloading at once."""
    found = tuple(dict.fromkeys(name.strip() for name in said if name.strip()))
    if wrong := [name for name in found if name not in MODES]:
        raise ValueError(f"{where}: found {', '.join(wrong)}; allowed are {', '.join(MODES)}")
    if {*OFFLOADS} <= {*found}:
        raise ValueError(f"{where}: found {' and '.join(OFFLOADS)}; allowed is one of them")
    return found


def check_device(chosen: Sequence[str], where: "torch.device") -> None:
    """Raise ValueError for offloading without a device that is not the processor."""
    if where.type == "cpu" and (offload := [name for name in chosen if name in OFFLOADS]):
        raise ValueError(
            f"{offload[0]}: this machine has no accelerator, and nothing to spare its memory by; leave it out, the "
            "pipeline then runs on the processor"
        )


def placed(pipeline: "Pipeline", chosen: Sequence[str], where: "torch.device", pictured: bool = False) -> None:
    """Put a pipeline's networks on a device, in the chosen modes. pictured: whether it has an IP-Adapter.

    Raises ValueError for offloading without an accelerator, and for sliced attention with an IP-Adapter, whose own
    attention it would replace.
    """
    check_device(chosen, where)
    if "attention_slicing" in chosen and pictured:
        raise ValueError("attention_slicing: found beside ip_adapter, whose attention it would replace; leave one out")
    if "attention_slicing" in chosen:
        pipeline.unet.set_attention_slice("auto")
    if "vae_slicing" in chosen:
        pipeline.vae.enable_slicing()
    if "vae_tiling" in chosen:
        pipeline.vae.enable_tiling()
    if not {*OFFLOADS} & {*chosen}:
        for network in pipeline.networks:
            network.to(where)
        return
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    parts = {name: getattr(pipeline, name) for name in ("unet", "vae", "text_encoder", "tokenizer")}
    bound = StableDiffusionPipeline(
        **parts, scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    if "model_offload" in chosen:
        bound.enable_model_cpu_offload(device=where)
    else:
        bound.enable_sequential_cpu_offload(device=where)
