"""The network of a base: read from a folder, never from a network, or built with random weights; and its adapter.

The adapter is LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685), as :mod:`models.pretrained.adapter` has it.
"""

import hashlib
import os
from typing import Any

import torch
from torch import nn

from ...core.errors import Damaged
from ...core.extras import expect_extra
from ...core.seeds import seed_of
from ...machine.compat import import_torchvision
from ...machine.device import exact
from ..pretrained.adapter import NAME
from ..pretrained.folders import folder_of
from .folders import TINY_READS, digest_of, reads
from .options import PretrainedTextOptions

# Their libraries look at it as they load: nothing is ever asked of a network.
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"})

import_torchvision()  # transformers needs it

from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, GPT2Config, GPT2LMHeadModel  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402
from transformers.utils import logging as of_transformers  # noqa: E402

LOCAL = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}


class Language(nn.Module):
    """A base as :class:`models.transformer.sampling.Writer`: its law is that of its logits of the first tokens alone.

    p(x_i | x_1 .. x_{i-1}) = softmax over 0 .. vocabulary - 1 of the logits after (start, x_1, .., x_{i-1})
    """

    def __init__(self, model: nn.Module, start: int, vocabulary: int):
        super().__init__()
        self.model, self.start, self.vocabulary = model, start, vocabulary

    @property
    def where(self) -> torch.device:
        """The device that it is on."""
        return next(self.model.parameters()).device

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits of tokens (B, L) int64, each of those before it in its row: (B, L, vocabulary)."""
        started = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens[:, :-1]], dim=1)
        return self.model(started, use_cache=False).logits[..., : self.vocabulary]

    def empty_cache(self, count: int, dtype: torch.dtype) -> Any:
        """Room for keys and values, which grows as tokens are read."""
        return DynamicCache(config=self.model.config)

    def step(self, before: torch.Tensor, place: int, cache: Any) -> torch.Tensor:
        """The logits of the token at ``place``: (B, vocabulary); see :class:`models.transformer.sampling.Writer`."""
        read = before if place else torch.full_like(before, self.start)
        return self.model(read[:, None], past_key_values=cache, use_cache=True).logits[:, -1, : self.vocabulary]


def base_digest(options: PretrainedTextOptions) -> str:
    """The SHA-256 of the options' base."""
    return _digest(_tiny(options.tiny_seed)) if folder_of(options.base) is None else digest_of(options.base)


def read(options: PretrainedTextOptions, digest: str) -> Language:
    """The base with frozen weights on the CPU. digest: of the base that an adapter belongs to.

    Raises ValueError for a folder that holds no such model, Damaged where it is another one than the digest says, or
    cannot be read.
    """
    expect_extra("pretrained", "peft")
    _quiet()
    starts, folder = reads(options.base), folder_of(options.base)
    if (found := base_digest(options)) != digest:
        raise Damaged(
            folder or options.base,
            f"base names it, and it is another model: its SHA-256 is {found[:12]}…, of the one that the adapter adds "
            f"to it was {digest[:12]}…",
        )
    if folder is None:
        model = _tiny(options.tiny_seed)
    else:
        try:
            model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa", **LOCAL)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise Damaged(folder, f"is the base, and cannot be read as a causal language model: {said}") from None
    model.requires_grad_(False).eval().to(DTYPES[options.precision])
    return Language(model, starts.start, options.vocabulary)


def outline(options: PretrainedTextOptions) -> nn.Module:
    """The network of a base with shapes and no numbers. Raises ValueError for a folder that holds none."""
    reads(options.base)
    folder = folder_of(options.base)
    _quiet()
    with torch.device("meta"):
        if folder is None:
            return GPT2LMHeadModel(_tiny_configuration())
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))


def _quiet() -> None:
    of_transformers.set_verbosity_error()
    of_transformers.disable_progress_bar()


# -- the tiny one ------------------------------------------------------------------------------------------------------


def _tiny_configuration() -> GPT2Config:
    size, start, longest = TINY_READS
    return GPT2Config(
        vocab_size=size,
        n_positions=longest,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=start,
        eos_token_id=start,
    )


def _tiny(seed: int) -> nn.Module:
    """A GPT-2 of some thousands of random weights, of bytes."""
    _quiet()
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seed_of(seed, None, None, "tiny language model"))
        return GPT2LMHeadModel(_tiny_configuration())


def _digest(network: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, weight in network.state_dict().items():
        sha.update(f"{name} {tuple(weight.shape)}\n".encode() + weight.contiguous().numpy().tobytes())
    return sha.hexdigest()


# -- the adapter -------------------------------------------------------------------------------------------------------


def added(network: Language, options: PretrainedTextOptions, seed: int = 0) -> dict[str, nn.Parameter]:
    """Put an adapter into a base, and its matrices by name: A as peft draws it from a seed, B zero, float32."""
    from peft import LoraConfig

    updated = _updated(network.model, options)
    turned = isinstance(next(iter(updated.values())), Conv1D)  # GPT-2 keeps its matrices the other way round
    chosen = LoraConfig(
        r=options.lora_rank, lora_alpha=options.alpha, target_modules=list(updated), fan_in_fan_out=turned
    )
    with exact(torch.device("cpu")) as generator:
        generator.manual_seed(seed_of(seed, None, None, "network"))
        network.model.add_adapter(chosen, adapter_name=NAME)
    found = {}
    for name, parameter in network.model.named_parameters():
        if f".{NAME}." in name and ".lora_" in name:
            parameter.data = parameter.data.float()
            found[name.replace(f".{NAME}.", ".")] = parameter.requires_grad_(True)
    return found


def shapes(model: nn.Module, options: PretrainedTextOptions) -> dict[str, tuple[int, ...]]:
    """The names and shapes of an adapter's matrices, of a model that has none; it may be without numbers."""
    found = {}
    for name, module in _updated(model, options).items():
        wide, out = (module.nx, module.nf) if isinstance(module, Conv1D) else (module.in_features, module.out_features)
        found[f"{name}.lora_A.weight"] = (options.lora_rank, wide)
        found[f"{name}.lora_B.weight"] = (out, options.lora_rank)
    return found


def _updated(model: nn.Module, options: PretrainedTextOptions) -> dict[str, nn.Module]:
    """The matrices that an adapter updates, by name. Raises ValueError where there are none, or two sorts of them."""
    found = {
        name: module
        for name, module in model.named_modules()
        if any(name == target or name.endswith(f".{target}") for target in options.lora_targets)
    }
    sorts = {type(module) for module in found.values()}
    if not found:
        raise ValueError(f"lora_targets: found {', '.join(options.lora_targets)}, and the network has no such matrix")
    if len(sorts) > 1 or not sorts <= {nn.Linear, Conv1D}:
        names = ", ".join(sorted(sort.__name__ for sort in sorts))
        raise ValueError(f"lora_targets: found {names}; allowed are matrices of one sort, Linear or Conv1D")
    return found
