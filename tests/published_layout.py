"""Published StyleGAN2-ADA pickles, as the tests write them."""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch

from collapselab.models.stylegan2.networks import Discriminator, Generator


class Persistent:
    """What is pickled as a call of ``torch_utils.persistence._reconstruct_persistent_obj`` on a dict."""

    def __init__(self, class_name: str, state: dict[str, Any]):
        source = "raise RuntimeError('the code of a weight file was run')"
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self):
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (self.meta,)


def persistent(module: torch.nn.Module, class_name: str | None = None, **more: Any) -> Persistent:
    """A module as the published files hold one: its attributes, with those of the modules within."""
    names = {"StyledConvolution": "SynthesisLayer", "ToColours": "ToRGBLayer", "Dense": "FullyConnectedLayer"}
    state = {
        "training": False,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_modules": {name: persistent(value) for name, value in module._modules.items() if value is not None},
        **more,
    }
    own = type(module).__name__
    return Persistent(class_name or names.get(own, own), state)


def published_generator(network: Generator, **changes: Any) -> Persistent:
    block, mapping = network.synthesis.b4, network.mapping
    facts = {
        "z_dim": mapping.z_width,
        "c_dim": mapping.classes,
        "w_dim": mapping.w_avg.shape[0],
        "img_resolution": network.resolution,
        "img_channels": block.torgb.weight.shape[0],
    }
    arguments = {
        **facts,
        "mapping_kwargs": {"num_layers": mapping.layers},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8, "num_fp16_res": 2, "conv_clamp": 256},
    }
    arguments.update(changes)
    state = {"num_ws": network.num_ws, "_init_args": (), "_init_kwargs": arguments}
    return persistent(network, "Generator", **facts, **state)


def published_discriminator(network: Discriminator, **changes: Any) -> Persistent:
    facts = {
        "c_dim": 0 if network.mapping is None else network.mapping.classes,
        "img_resolution": network.resolutions[0],
        "img_channels": 3,
    }
    arguments = {
        **facts,
        "channel_base": 64,
        "channel_max": 8,
        "conv_clamp": 256,
        "num_fp16_res": 2,
        "block_kwargs": {"freeze_layers": 0},
        "mapping_kwargs": {},
        "epilogue_kwargs": {"mbstd_group_size": network.b4.deviation_group},
    }
    arguments.update(changes)
    return persistent(network, "Discriminator", **facts, _init_args=(), _init_kwargs=arguments)


def write(path: Path, **networks: Any) -> Path:
    """Write networks as a pickle in the published layout."""

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("a weight file made a call")

    module = ModuleType("torch_utils.persistence")
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    package = ModuleType("torch_utils")
    package.persistence = module
    tree = {"training_set_kwargs": {"path": "ffhq.zip", "use_labels": False}, "augment_pipe": None, **networks}
    with mock.patch.dict(sys.modules, {"torch_utils": package, "torch_utils.persistence": module}):
        path.write_bytes(pickle.dumps(tree, protocol=4))
    return path
