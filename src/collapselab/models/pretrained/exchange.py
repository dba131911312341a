"""Adapters in the files of other programs, and the manifest of what a pipeline has made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.errors import Damaged
from .family import Pretrained
from .options import PretrainedOptions
from .prompts import digest

NETWORK = "unet."  # how diffusers' files begin the names of the network's matrices


def write_lora(path: Path, model: Pretrained) -> None:
    """Write an adapter as diffusers' ``load_lora_weights`` reads it, with its alpha in the metadata."""
    import json

    from safetensors.numpy import save

    from ...store import write_hashed

    options = model.options
    said = {"unet.r": options.lora_rank, "unet.lora_alpha": options.alpha}
    said["unet.target_modules"] = list(options.lora_targets)
    arrays = {f"{NETWORK}{name}": np.ascontiguousarray(array) for name, array in model.adapter.items()}
    content = save(arrays, {"lora_adapter_metadata": json.dumps(said)})  # several would stand there in any order
    write_hashed(path, lambda temporary: temporary.write_bytes(content))


def read_lora(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file of diffusers' LoRA of a network says: the options ``lora_rank``, ``lora_alpha`` and ``lora_targets``,
    and the matrices by name.

    Raises Damaged for a file that is none, has matrices of another part or of several ranks.
    """
    import json

    from safetensors import SafetensorError, safe_open

    arrays = {}
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            for name in sorted(file.keys()):
                arrays[name] = np.asarray(file.get_tensor(name), np.float32)
    except (SafetensorError, OSError, TypeError) as error:
        raise Damaged(path, f"is no adapter, but no safetensors file of numbers: {error}") from None
    ends = (".lora_A.weight", ".lora_B.weight")
    strangers = [name for name in arrays if not name.startswith(NETWORK) or not name.endswith(ends)]
    if strangers or not arrays:
        found = strangers[0] if strangers else "nothing"
        raise Damaged(
            path,
            f"is no adapter of a network alone, whose names are unet.….lora_A.weight as diffusers writes: has {found}",
        )
    ranks = {array.shape[0] for name, array in arrays.items() if name.endswith(ends[0])}
    if len(ranks) != 1:
        raise Damaged(path, f"is no adapter that is read: has the ranks {sorted(ranks)}; allowed is one of all")
    said = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    names = [name.removeprefix(NETWORK) for name in arrays if name.endswith(ends[0])]
    options = {"lora_rank": ranks.pop(), "lora_targets": [name.removesuffix(ends[0]) for name in names]}
    if (alpha := said.get("unet.lora_alpha")) is not None:
        options["lora_alpha"] = alpha
    if targets := said.get("unet.target_modules"):
        options["lora_targets"] = targets
    return options, {name.removeprefix(NETWORK): array for name, array in arrays.items()}


def manifest(
    options: PretrainedOptions, said: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]], made_by: str
) -> dict[str, Any]:
    """What a folder of pictures says of itself: what made them, of what, and which each is.

    said: beside the options, as the seed, the guide, and the hashes of the base and of the adapter. pictures: one a
    picture, with its ``file``, ``index``, ``sha256`` and ``prompt``.
    """
    own = options.model_dump(mode="json", exclude={"prompts"})
    prompts = [picture["prompt"] for picture in pictures]
    beside = {"options": own, "prompts_sha256": digest(list(dict.fromkeys(prompts))), **said}
    return {"made_by": made_by, "generated": True, **beside, "pictures": list(pictures)}
