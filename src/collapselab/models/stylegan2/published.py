"""Published StyleGAN2-ADA networks as options and tensors of ours.

Karras et al. 2020 (ADA, https://arxiv.org/abs/2006.06676) publish pickles of a dict with ``G_ema``, ``G`` and ``D``.
``pickles.networks`` makes plain data of such a file; here that data is judged. The networks' arguments give the
options, and every tensor must be where a network of ours with these options has one of the same shape. What trains
these networks since 2021 names the synthesis network's arguments beside the generator's own, and not within
``synthesis_kwargs``; the networks are the same.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...store.pickles.networks import Network
from .layers import resampling_filter
from .networks import Discriminator, Generator, resolutions

MOST = 2**20  # of any count in a network's arguments
SHOWN = 4  # names, in a message


@dataclass(frozen=True, eq=False)
class Imported:
    """Published networks in our terms.

    options: the fields of ``StyleGAN2Options`` that say how the networks are built. shape: (C, H, W) of the images.
    generator: the tensors of ``G_ema`` by name, float32. raw: those of ``G``, without the moving average.
    discriminator: those of ``D``. The last two are None where the file has none.
    """

    options: dict[str, Any]
    shape: tuple[int, int, int]
    generator: dict[str, torch.Tensor]
    raw: dict[str, torch.Tensor] | None
    discriminator: dict[str, torch.Tensor] | None


def convert(tree: Any) -> Imported:
    """The networks in what ``pickles.networks.read`` gave of a file.

    Raises ValueError, with the name of what was found, for anything but StyleGAN2 networks that ours can be: other
    classes and arguments, tensors too many, too few, of another shape or not finite, networks that do not fit together.
    """
    if not isinstance(tree, Mapping) or not isinstance(tree.get("G_ema"), Network):
        found = f"a dict of {_some(map(_called, tree.items()))}" if isinstance(tree, Mapping) else _called(tree)
        raise ValueError(f"published weights: found {found}, allowed are dicts with the network G_ema, of StyleGAN2")
    later = _is_later(tree["G_ema"])
    built, generator = _network("G_ema", tree["G_ema"], later)
    raw = discriminator = None
    if tree.get("G") is not None:
        raw_built, raw = _network("G", tree["G"], later)
        _agree("G", raw_built, built)
    if tree.get("D") is not None:
        judge, discriminator = _network("D", tree["D"], later)
        _agree("D", judge, built)
        built = judge | built
    size = built.pop("resolution")
    return Imported(built, (built.pop("colours"), size, size), generator, raw, discriminator)


def model_of(tree: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Options and tensors from which ``StyleGAN2.load`` makes the model of such a file: ``G_ema``, and ``D`` if there.

    What a file does not say, such as how to go on training, is that of config F, whose networks the published defaults
    are; numbers are float32 as in the file. Raises ValueError as :func:`convert`.
    """
    found = convert(tree)
    parts = {"generator": found.generator, "discriminator": found.discriminator or {}}
    tensors = {
        f"{part}.{name}": tensor.numpy()
        for part, named in parts.items()
        for name, tensor in named.items()
        if not name.endswith("resample_filter")  # a constant, checked above and not stored
    }
    options = {"preset": "ffhq1024", "precision": "float32", **found.options}
    # The options ask a batch to be filled by the deviation's groups.
    options["batch"] = math.lcm(32, found.options.get("deviation_group", 1))
    return options, {"shape": np.array(found.shape, np.int64), **tensors}


def _called(found: Any) -> str:
    """What a value is, or what a dict has under a name; a network by its class, too."""
    if not isinstance(found, tuple):
        return f"the network {found.class_name[:60]!r}" if isinstance(found, Network) else f"a {type(found).__name__}"
    name, value = found
    return f"{name} ({value.class_name[:60]})" if isinstance(value, Network) else str(name)


def _network(name: str, network: Any, later: bool) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """How a network is built, and its tensors, which are those of a network of ours that is so built."""
    kind = "Discriminator" if name == "D" else "Generator"
    found = network.class_name if isinstance(network, Network) else f"a {type(network).__name__}"
    if found != kind:
        raise ValueError(f"{name}: found {found!r}, allowed is a network of the class {kind!r}")
    if unnamed := network.state.get("_init_args"):
        raise ValueError(f"{name}: found the arguments {_shown(unnamed)}, allowed are named ones only")
    if name != "D":
        _check_blocks(name, network)
    built = _built(name, network.state.get("_init_kwargs"), DISCRIMINATOR if name == "D" else GENERATOR, later)
    if later and "clamp" in built and (said := _clamps(network)):
        built["clamp"] = _clamp(said.pop())
    tensors = dict(_tensors(name, network))
    _same_depth(name, tensors, built)
    with torch.device("meta"):
        ours = _discriminator(built) if name == "D" else _generator(built)
    _check(name, tensors, {key: tuple(value.shape) for key, value in ours.state_dict().items()})
    return built, tensors


def _check_blocks(name: str, network: Network) -> None:
    """Raise ValueError for a generator of another architecture, such as StyleGAN3's, whose class has the same name."""
    within = network.state.get("_modules")
    synthesis = within.get("synthesis") if isinstance(within, Mapping) else None
    modules = synthesis.state.get("_modules") if isinstance(synthesis, Network) else None
    if isinstance(modules, Mapping) and modules and not any(re.fullmatch(r"b\d+", str(key)) for key in modules):
        raise ValueError(
            f"{name}: found the modules {_some(modules)} in its synthesis network, which is not StyleGAN2's: that has "
            "the blocks b4, b8, ..."
        )


# -- arguments ---------------------------------------------------------------------------------------------------------


def _is_later(network: Network) -> bool:
    """Whether the arguments of the synthesis network stand beside the generator's own."""
    arguments = network.state.get("_init_kwargs")
    return isinstance(arguments, Mapping) and any(f"{WITHIN}{key}" in GENERATOR for key in arguments)


def _within(arguments: Any) -> Any:
    """The arguments with those of the synthesis network in ``synthesis_kwargs``."""
    if not isinstance(arguments, Mapping):
        return arguments
    beside = {key: value for key, value in arguments.items() if f"{WITHIN}{key}" in GENERATOR}
    inside = arguments.get(WITHIN[:-1], {})
    if not beside or not isinstance(inside, Mapping) or beside.keys() & inside.keys():
        return arguments
    return {**{key: arguments[key] for key in arguments if key not in beside}, WITHIN[:-1]: {**inside, **beside}}


def _clamps(network: Network) -> set[float | None]:
    """The bounds of activations that a network's layers have themselves, where all have one: it is their argument's."""
    found, queue = set(), [network]
    while queue:
        state = queue.pop().state
        if "conv_clamp" in state and (state["conv_clamp"] is None or type(state["conv_clamp"]) in (int, float)):
            found.add(state["conv_clamp"])
        members = state.get("_modules", {})
        queue += [one for one in members.values() if isinstance(one, Network)] if isinstance(members, Mapping) else []
    return found if len(found) == 1 else set()


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST:
        raise ValueError(f"integers from 1 to {MOST}")
    return value


def _classes(value: Any) -> int:
    return 0 if type(value) is int and value == 0 else _count(value)


def _resolution(value: Any) -> int:
    try:
        return resolutions(_count(value))[-1]
    except ValueError:
        raise ValueError("powers of two from 8 to 1024") from None


def _clamp(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ValueError("None and numbers above 0")
    return float(value)


def _residual(value: Any) -> bool:
    if not isinstance(value, str) or value not in ("resnet", "orig"):
        raise ValueError("'resnet' and 'orig'")
    return value == "resnet"


def _only(*allowed: Any) -> Callable[[Any], None]:
    """A check of an argument for which our networks have one value."""

    def check(value: Any) -> None:
        if repr(value) not in map(repr, allowed):  # a tensor is not asked whether it equals anything
            raise ValueError(" and ".join(map(repr, allowed)))

    return check


def _anything(value: Any) -> None:
    """An argument that says how to train or compute, and not what."""


def _built(
    name: str, arguments: Any, known: Mapping[str, tuple[str | None, Any, Callable[[Any], Any]]], later: bool = False
) -> dict:
    """Our options from the named arguments of a network; what is not named has the published default."""
    if later and known is GENERATOR:
        arguments = _within(arguments)
    found = dict(_flat(name, "", arguments, known))
    if unknown := sorted(found.keys() - known.keys()):
        raise ValueError(f"{name}: found the argument {_some(unknown)}, allowed are {', '.join(known)}")
    built = {}
    for argument, (option, default, check) in known.items():
        if argument not in found and default is ...:
            raise ValueError(f"{name}: found no argument {argument}, which has no default")
        if later and argument.endswith("conv_clamp"):
            default = LATER_CLAMP
        value = found.get(argument, default)
        try:
            checked = check(value)
        except ValueError as error:
            raise ValueError(f"{name}: found {argument} = {_shown(value)}, allowed are {error}") from None
        if option:
            built[option] = checked
    return built


def _flat(name: str, prefix: str, arguments: Any, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested arguments with their names joined by dots."""
    if not isinstance(arguments, Mapping):
        raise ValueError(f"{name}: found {_shown(arguments)} as {prefix or 'its arguments'}, allowed are dicts")
    for key, value in arguments.items():
        full = f"{prefix}.{key}" if prefix else str(key)
        if any(argument.startswith(f"{full}.") for argument in known):
            yield from _flat(name, full, value, known)
        else:
            yield full, value


def _agree(name: str, built: Mapping[str, Any], with_generator: Mapping[str, Any]) -> None:
    for option in built.keys() & with_generator.keys():
        if built[option] != with_generator[option]:
            raise ValueError(
                f"{name}: found {option} = {built[option]}, allowed is that of G_ema, {with_generator[option]}"
            )


# -- tensors -----------------------------------------------------------------------------------------------------------


def _tensors(name: str, network: Network, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a network and of all within it, by their names joined by dots, as float32 of their own."""
    for group in ("_parameters", "_buffers", "_modules"):
        members = network.state.get(group, {})
        if not isinstance(members, Mapping):
            raise ValueError(f"{name}: found {_shown(members)} as {prefix}{group}, allowed are dicts")
        for key, value in members.items():
            if value is None:
                continue
            if group == "_modules" and isinstance(value, Network):
                yield from _tensors(name, value, f"{prefix}{key}.")
            elif group != "_modules" and isinstance(value, torch.Tensor) and value.is_floating_point():
                yield f"{prefix}{key}", value.detach().to(torch.float32, copy=True)
            else:
                what = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
                raise ValueError(f"{name}: found {what} as {prefix}{key}, allowed are tensors of real numbers")


def _same_depth(name: str, tensors: Mapping[str, torch.Tensor], built: Mapping[str, Any]) -> None:
    """The layers of the mapping are counted before any are built."""
    layers = built["label_layers" if name == "D" else "mapping_layers"] if name != "D" or built["classes"] else 0
    counted = sum(key.startswith("mapping.fc") and key.endswith(".weight") for key in tensors)
    if counted != layers:
        raise ValueError(f"{name}: found {counted} layers of the mapping, allowed are the {layers} of its arguments")


def _check(name: str, tensors: Mapping[str, torch.Tensor], ours: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless the tensors have our names and shapes, are finite, and filter as we do."""
    if missing := sorted(ours.keys() - tensors.keys()):
        raise ValueError(f"{name}: found no tensor {_some(missing)}, which its arguments ask for")
    if unknown := sorted(tensors.keys() - ours.keys()):
        raise ValueError(f"{name}: found the tensor {_some(unknown)}, which its arguments do not ask for")
    for key, tensor in tensors.items():
        if tuple(tensor.shape) != ours[key]:
            raise ValueError(f"{name}: found {key} of shape {tuple(tensor.shape)}, allowed is {ours[key]}")
        if not tensor.isfinite().all():
            raise ValueError(f"{name}: found numbers in {key} that are not finite")
        if key.endswith("resample_filter") and not torch.allclose(tensor, resampling_filter(), atol=1e-6):
            raise ValueError(f"{name}: found another filter in {key}, allowed is that of [1, 3, 3, 1]")


def _generator(built: Mapping[str, Any]) -> Generator:
    return Generator(**built)


def _discriminator(built: Mapping[str, Any]) -> Discriminator:
    return Discriminator(**{"mapping_layers" if key == "label_layers" else key: built[key] for key in built})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _some(names: Any) -> str:
    """The first few names."""
    names = [str(name)[:60] for name in names]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "") or "nothing"


WITHIN = "synthesis_kwargs."
LATER_CLAMP = 256  # the default of conv_clamp where arguments stand beside one another

# An argument's name: (our option, the published default or ... where there is none, what is allowed).
GENERATOR: dict[str, tuple[str | None, Any, Callable[[Any], Any]]] = {
    "z_dim": ("z_width", ..., _count),
    "c_dim": ("classes", ..., _classes),
    "w_dim": ("w_width", ..., _count),
    "img_resolution": ("resolution", ..., _resolution),
    "img_channels": ("colours", ..., _count),
    "mapping_kwargs.num_layers": ("mapping_layers", 8, _count),
    "mapping_kwargs.activation": (None, "lrelu", _only("lrelu")),
    "mapping_kwargs.lr_multiplier": (None, 0.01, _only(0.01)),
    "mapping_kwargs.w_avg_beta": (None, 0.995, _anything),
    "synthesis_kwargs.channel_base": ("channel_base", 32768, _count),
    "synthesis_kwargs.channel_max": ("channel_max", 512, _count),
    "synthesis_kwargs.conv_clamp": ("clamp", None, _clamp),
    "synthesis_kwargs.num_fp16_res": (None, 0, _anything),
    "synthesis_kwargs.fp16_channels_last": (None, False, _anything),
    "synthesis_kwargs.architecture": (None, "skip", _only("skip")),
    "synthesis_kwargs.activation": (None, "lrelu", _only("lrelu")),
    "synthesis_kwargs.resample_filter": (None, [1, 3, 3, 1], _only([1, 3, 3, 1], (1, 3, 3, 1))),
    "synthesis_kwargs.use_noise": (None, True, _only(True)),
    "synthesis_kwargs.fused_modconv_default": (None, True, _anything),
}
DISCRIMINATOR: dict[str, tuple[str | None, Any, Callable[[Any], Any]]] = {
    "c_dim": ("classes", ..., _classes),
    "img_resolution": ("resolution", ..., _resolution),
    "img_channels": ("colours", ..., _count),
    "architecture": ("residual", "resnet", _residual),
    "channel_base": ("channel_base", 32768, _count),
    "channel_max": ("channel_max", 512, _count),
    "conv_clamp": ("clamp", None, _clamp),
    "num_fp16_res": (None, 0, _anything),
    "cmap_dim": (None, None, _only(None)),
    "block_kwargs.activation": (None, "lrelu", _only("lrelu")),
    "block_kwargs.resample_filter": (None, [1, 3, 3, 1], _only([1, 3, 3, 1], (1, 3, 3, 1))),
    "block_kwargs.fp16_channels_last": (None, False, _anything),
    "block_kwargs.freeze_layers": (None, 0, _anything),
    "mapping_kwargs.num_layers": ("label_layers", 8, _count),
    "mapping_kwargs.activation": (None, "lrelu", _only("lrelu")),
    "mapping_kwargs.lr_multiplier": (None, 0.01, _only(0.01)),
    "epilogue_kwargs.mbstd_group_size": ("deviation_group", 4, _count),
    "epilogue_kwargs.mbstd_num_channels": (None, 1, _only(1)),
    "epilogue_kwargs.activation": (None, "lrelu", _only("lrelu")),
}
