"""What a network can be shown beside the prompt, in sampling: a picture to follow (ControlNet, Zhang, Rao and Agrawala
2023, https://arxiv.org/abs/2302.05543) and a picture to resemble (IP-Adapter, Ye et al. 2023,
https://arxiv.org/abs/2308.06721)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.errors import Damaged
from .folders import encoder_of
from .options import PretrainedOptions
from .pipeline import LOCAL, Pipeline


@dataclass(frozen=True, eq=False)
class Beside:
    """control: the ControlNet, its picture (1, 3, H, W) in [0, 1] and its scale. image: what the IP-Adapter's encoder
    says of its picture, (1, 1, width). Each is None where there is none."""

    control: tuple[nn.Module, torch.Tensor, float] | None = None
    image: torch.Tensor | None = None
    networks: tuple[nn.Module, ...] = field(default=())

    def arguments(
        self, noisy: torch.Tensor, times: torch.Tensor, words: torch.Tensor, prompted: torch.Tensor
    ) -> Mapping[str, Any]:
        """What the network is called with beside its three inputs.

        prompted: (B,) bool, which rows are told a prompt; the others have no picture to resemble.
        """
        found: dict[str, Any] = {}
        if self.control is not None:
            network, picture, scale = self.control
            shown = picture.expand(len(noisy), -1, -1, -1)
            down, middle = network(noisy, times, words, shown, scale, return_dict=False)
            found |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        if self.image is not None:
            shown = self.image * prompted[:, None, None].to(self.image.dtype)
            found["added_cond_kwargs"] = {"image_embeds": [shown]}
        return found


def put_beside(
    pipeline: Pipeline, options: PretrainedOptions, sides: tuple[int, int], dtype: torch.dtype, where: torch.device
) -> Beside:
    """What the options name, read from their files and put into the pipeline's network, on a device.

    sides: height and width of the images. Raises ValueError for pictures that cannot be read, Damaged for networks that
    cannot, or that belong to another network.
    """
    control = None
    if options.controlnet is not None:
        network = _controlnet(Path(options.controlnet), pipeline).to(where, dtype).eval().requires_grad_(False)
        shown = picture("control_image", Path(options.control_image), sides).to(where, dtype)
        control = network, shown, options.control_scale
    image = _image(pipeline, options, dtype, where) if options.ip_adapter is not None else None
    return Beside(control, image)


def picture(option: str, path: Path, sides: tuple[int, int] | None) -> torch.Tensor:
    """The picture that an option names as numbers in [0, 1], (1, 3, H, W), in a size, or its own. Raises ValueError,
    with the option's name, where it is none.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            found = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{option}: {path} cannot be read as a picture: {error}") from None
    if sides is not None:
        found = found.resize(sides[::-1], Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(found)).permute(2, 0, 1)[None].float() / 255


def _controlnet(folder: Path, pipeline: Pipeline) -> nn.Module:
    from diffusers import ControlNetModel

    try:
        network = ControlNetModel.from_pretrained(folder, **LOCAL)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise Damaged(folder, f"controlnet names it, and it cannot be read as a ControlNet: {said}") from None
    asked, found = (one.config.cross_attention_dim for one in (pipeline.unet, network))
    if asked != found:
        said = f"it hears words of {found} numbers, the base's has {asked}"
        raise Damaged(folder, f"controlnet names it, and it belongs to another network: {said}")
    return network


def _image(pipeline: Pipeline, options: PretrainedOptions, dtype: torch.dtype, where: torch.device) -> torch.Tensor:
    """Put an IP-Adapter into the network; what its encoder says of its picture."""
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

    path = Path(options.ip_adapter)
    folder = encoder_of(options.ip_adapter)
    try:
        parts: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for name, tensor in load_file(path).items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor
        encoder = CLIPVisionModelWithProjection.from_pretrained(folder, **LOCAL).to(where, dtype).eval()
        pipeline.unet._load_ip_adapter_weights([parts], low_cpu_mem_usage=False)
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        found = f"ip_adapter names it, and with {folder} it cannot be read as an IP-Adapter of this network"
        raise Damaged(path, f"{found}: {type(error).__name__}: {said}") from None
    for processor in pipeline.unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [options.ip_scale] * len(processor.scale)
    pipeline.unet.requires_grad_(False)
    size = encoder.config.image_size
    pixels = CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size, do_rescale=False)(
        picture("ip_image", Path(options.ip_image), None)[0], return_tensors="pt"
    ).pixel_values
    with torch.no_grad():
        return encoder(pixels.to(where, dtype)).image_embeds[:, None]
