"""Pretrained text-to-image pipelines by themselves: tried, sampled, steered, and tuned on one's own pictures."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import typer

from .. import __version__, store
from ..core.ask import Ask
from ..core.sets import SampleSet, TrainingSet
from ..models.pretrained import Pretrained
from ..models.pretrained.folders import TINY, own_side
from ..models.pretrained.memory import MEMORY_VARIABLE, MODES, checked
from ..models.pretrained.options import PretrainedOptions
from ..models.pretrained.prompts import prompts_in
from ..verbs.train import whole
from .inputs import hashes, model_in
from .learning import AllowNonidentical, at_work, leave, run_of
from .options import parsed
from .run import clock
from .steering import Others, steering
from .work import get_ready, told

app = typer.Typer(rich_markup_mode=None)
pretrained_app = typer.Typer(
    help="Sample, steer and tune text-to-image pipelines that lie on this machine.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(pretrained_app, name="pretrained")

FAMILY = "pretrained"

Base = Annotated[str | None, typer.Option(help="folder of a Stable Diffusion pipeline; or tiny, to try")]
Adapter = Annotated[
    Path | None, typer.Option(help="adapter: a model of a study or of finetune, or a LoRA file of diffusers")
]
Prompts = Annotated[list[str] | None, typer.Option("--prompt", help="what is told; several are told in turn")]
PromptFile = Annotated[Path | None, typer.Option("--prompts", help="file with a prompt a line, or a CSV")]
Said = Annotated[str, typer.Option("--options", help="options of the family as JSON, see docs/models.md")]
Size = Annotated[
    int | None, typer.Option(min=4, help="side of the pictures in pixels; by itself that of the base's training")
]
Crop = Annotated[
    Literal["none", "centre"], typer.Option(help="centre cuts pictures to squares, before they come to the --size")
]
Seed = Annotated[int, typer.Option(min=0, help="picture i of a seed is the same whatever is made beside it")]
Count = Annotated[int, typer.Option(min=1, help="number of pictures")]
Start = Annotated[int, typer.Option(min=0, help="the first of them, of the endless sequence that the seed names")]
Steps = Annotated[int | None, typer.Option(min=2, help="steps of the sampler")]
Scale = Annotated[float | None, typer.Option(min=1, help="how strongly prompts count: 1 as they are, 7.5 much")]
Precision = Annotated[str | None, typer.Option(help="float32, tf32 or bfloat16, which takes half the memory")]
Memory = Annotated[str | None, typer.Option(help=f"ways to need less memory, with commas between: {', '.join(MODES)}")]
Upscale = Annotated[int, typer.Option(min=1, max=8, help="enlarge each picture so many times, and redraw its details")]
STRENGTH = 0.3
Strength = Annotated[
    float | None, typer.Option(min=0.01, max=1, help=f"how much of an --upscale'd picture is drawn anew; {STRENGTH}")
]
Control = Annotated[Path | None, typer.Option(help="folder of a ControlNet")]
ControlImage = Annotated[Path | None, typer.Option(help="picture that the ControlNet follows")]
ControlScale = Annotated[float | None, typer.Option(min=0, help="how closely it is followed")]
IPAdapter = Annotated[Path | None, typer.Option(help="IP-Adapter: safetensors, with image_encoder/ beside it")]
IPImage = Annotated[Path | None, typer.Option(help="picture that the samples are to resemble")]
IPScale = Annotated[float | None, typer.Option(min=0, help="how much they resemble it")]
FLAGS = ("base", "controlnet", "control_image", "control_scale", "ip_adapter", "ip_image", "ip_scale", "precision")
"""Options of the family that have a flag of their own beside ``--options``."""
Folder = Annotated[Path, typer.Option("--out", help="folder to write, which must be new")]


class Wanted(NamedTuple):
    """What is to be made, beside the model that makes it. prompts: of each picture, of those that are listed."""

    prompts: list[str]
    listed: list[str]
    seed: int
    start: int
    upscale: int
    strength: float
    guide: Any
    said: Mapping[str, Any]


# -- what is made ------------------------------------------------------------------------------------------------------


@pretrained_app.command()
def sample(
    out: Folder,
    base: Base = None,
    adapter: Adapter = None,
    prompt: Prompts = None,
    prompts: PromptFile = None,
    count: Count = 4,
    seed: Seed = 0,
    start: Start = 0,
    size: Size = None,
    steps: Steps = None,
    guidance_scale: Scale = None,
    precision: Precision = None,
    memory: Memory = None,
    upscale: Upscale = 1,
    strength: Strength = None,
    controlnet: Control = None,
    control_image: ControlImage = None,
    control_scale: ControlScale = None,
    ip_adapter: IPAdapter = None,
    ip_image: IPImage = None,
    ip_scale: IPScale = None,
    options: Said = "{}",
    guide: Annotated[str, typer.Option(hidden=True)] = "{}",
    auxiliary: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
) -> None:
    """Make pictures of prompts: a folder of PNG files, with a manifest of what made each of them."""
    _remember(memory)
    beside = {"controlnet": controlnet, "control_image": control_image, "control_scale": control_scale}
    beside |= {"ip_adapter": ip_adapter, "ip_image": ip_image, "ip_scale": ip_scale}
    beside |= {"steps": steps, "guidance_scale": guidance_scale, "precision": precision}
    if out.exists():
        raise typer.BadParameter(f"{out} is there already; allowed is a new folder", param_hint="--out")
    told_to_all = _prompts(prompt, prompts)
    steers, others, said = _guided(guide, auxiliary)
    get_ready(True)
    model = _model(base, adapter, {name: value for name, value in beside.items() if value is not None}, options, size)
    wishes = told_to_all or list(model.options.told)
    _expect_suited(steers, model, wishes)
    _expect_of_use(model.options, beside, strength if upscale == 1 else None)
    wanted = Wanted(
        [wishes[(start + place) % len(wishes)] for place in range(count)],
        *(wishes, seed, start, upscale, STRENGTH if strength is None else strength, steers, said),
    )
    _write(out, _made(model, wanted, out), model, wanted, adapter, others)


@pretrained_app.command("guide")
def guided(
    context: typer.Context,
    out: Folder,
    guide: Annotated[str, typer.Option(help='what steers the sampler as JSON, as {"NAME": {OPTION: VALUE}}')],
    auxiliary: Others = None,
    base: Base = None,
    adapter: Adapter = None,
    prompt: Prompts = None,
    prompts: PromptFile = None,
    count: Count = 4,
    seed: Seed = 0,
    start: Start = 0,
    size: Size = None,
    steps: Steps = None,
    precision: Precision = None,
    memory: Memory = None,
    options: Said = "{}",
) -> None:
    """The same, steered by a rule of the registry of guides: for better or more varied pictures without a training.

    guidance_scale is 1 then, unless --options say otherwise: the rule says how strongly prompts count.
    """
    merged = json.dumps({"guidance_scale": 1.0} | json.loads(options)) if options.strip().startswith("{") else options
    given = {name: value for name, value in context.params.items() if name != "options"}
    context.invoke(sample, options=merged, **given)


def _remember(memory: str | None) -> None:
    """Leave the modes where the pipeline looks for them. Raises ValueError for others."""
    if memory is not None:
        os.environ[MEMORY_VARIABLE] = ",".join(checked(memory.split(","), "--memory"))


def _prompts(said: list[str] | None, file: Path | None) -> list[str]:
    """The prompts that are told in turn; none where nothing is said. Raises BadParameter for two sources."""
    if said and file is not None:
        raise typer.BadParameter(f"found {file} beside --prompt; allowed is one of them", param_hint="--prompts")
    try:
        return list(prompts_in(file)) if file is not None else list(said or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--prompts") from None


def _guided(guide: str, auxiliary: list[str] | None) -> tuple[Any, dict[str, str], Mapping[str, Any]]:
    """What steers the sampler, the files of its further models by role, and what is said of it."""
    from .options import json_of, pairs

    said, others = json_of(guide, "--guide", dict), pairs(auxiliary or [], "--auxiliary", files=True)
    steers, lost = steering(said, others)
    if lost:
        raise typer.BadParameter("found a model whose training diverged", param_hint="--auxiliary")
    return steers, others, said


def _expect_suited(steers: Any, model: Pretrained, prompts: list[str]) -> None:
    """Raise BadParameter for a guide that does not suit a model that is told such prompts, which it knows by number."""
    from ..guides import GUIDES

    known = model.options.model_dump() | {"classes": len(dict.fromkeys(prompts))}
    for fault in GUIDES[steers.name].unsuited(steers.options, known) if steers else ():
        said = fault.format("the model").replace("the class", "prompt")
        raise typer.BadParameter(f"{steers.name} {said}", param_hint="--guide")


def _expect_of_use(options: PretrainedOptions, beside: Mapping[str, Any], strength: float | None) -> None:
    """Raise BadParameter for a flag that changes nothing, since what it says something of is not there.

    strength: that is said although nothing is enlarged.
    """
    needs = {"control_scale": (options.controlnet, "--controlnet"), "ip_scale": (options.ip_adapter, "--ip-adapter")}
    lacking = {name: flag for name, (there, flag) in needs.items() if there is None and beside[name] is not None}
    lacking |= {"strength": "--upscale 2"} if strength is not None else {}
    for name, flag in lacking.items():
        said = strength if name == "strength" else beside[name]
        message = f"found {said:g}, and nothing that it says how much of; say {flag}, too, or leave it out"
        raise typer.BadParameter(message, param_hint=f"--{name.replace('_', '-')}")


def _model(
    base: str | None, adapter: Path | None, beside: Mapping[str, Any], options: str, size: int | None
) -> Pretrained:
    """The model that the options name: the base as it is, or with an adapter."""
    from .options import json_of

    said = {**json_of(options, "--options", dict), **{name: _plain(value) for name, value in beside.items()}}
    said |= {"base": base} if base is not None else {}
    tuned, known, matrices = None, {}, None
    if adapter is not None and store.hash_path(adapter).is_file() and not _is_lora(adapter):
        tuned, metadata = model_in(adapter)
        if tuned is None or metadata["family"] != FAMILY:
            found = "a training that diverged" if tuned is None else f"a {metadata['family']!r} model"
            raise typer.BadParameter(f"{adapter} holds {found}; allowed is one of {FAMILY}", param_hint="--adapter")
        known = tuned.options.model_dump(mode="json")
    elif adapter is not None:
        if not adapter.is_file():
            raise typer.BadParameter(f"no such file: {adapter}", param_hint="--adapter")
        from ..models.pretrained.exchange import read_lora

        known, matrices = read_lora(adapter)
    try:
        settings = parsed(PretrainedOptions, json.dumps(known | said), "--options")
    except typer.BadParameter as error:
        option, _, rest = error.message.partition(": ")
        typed = option not in json_of(options, "--options", dict) and option in FLAGS
        raise (typer.BadParameter(rest, param_hint=f"--{option.replace('_', '-')}") if typed else error) from None
    side = size or (tuned.shape[1] if tuned is not None else own_side(settings.base))
    shape = (3 if tuned is None else tuned.shape[0], side, side)
    if fault := settings.fault(_facts(shape)):
        option, _, rest = fault.partition(": ")
        option = "size" if size is not None and rest.startswith("found images") else option
        raise typer.BadParameter(rest, param_hint=f"--{option.replace('_', '-')}")
    if tuned is not None:
        return replace(tuned, options=settings, shape=shape)
    untuned = Pretrained.untuned(settings, shape)
    return untuned if matrices is None else replace(untuned, adapter=matrices)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _is_lora(path: Path) -> bool:
    """Whether a file of ours is an adapter that was written for others."""
    from safetensors import SafetensorError, safe_open

    from ..models.pretrained.exchange import NETWORK

    try:
        with safe_open(path, "numpy") as file:
            return all(name.startswith(NETWORK) for name in sorted(file.keys()))
    except (SafetensorError, OSError):
        return False


def _facts(shape: tuple[int, ...]) -> Any:
    from ..core.facts import Facts

    return Facts(shape, 1, lambda: None, lambda name: ())


def _made(model: Pretrained, wanted: Wanted, out: Path) -> SampleSet:
    """The pictures, in pieces of whole batches; enlarged ones are made of them in a second step."""
    count, size = len(wanted.prompts), model.options.sample_batch
    firsts = [wanted.start, *range(-(-(wanted.start + 1) // size) * size, wanted.start + count, size)]
    # By number and not by their words: a guide knows one by its number, which is the same in every piece.
    known = tuple(dict.fromkeys(wanted.listed))
    told_so = model.options.model_copy(update={"prompts": known, "classes": len(known)})
    model, numbers = replace(model, options=told_so), np.array([known.index(one) for one in wanted.prompts])
    first_step = Ask(count, wanted.seed, wanted.start, guide=wanted.guide)
    with told(f"pretrained {out}", count * (1 if wanted.upscale == 1 else 2)) as tell, clock.work("sampling") as seen:
        parts = []
        for place, first in enumerate(firsts):
            last = firsts[place + 1] if place + 1 < len(firsts) else wanted.start + count
            rows = slice(first - wanted.start, last - wanted.start)
            ask = replace(first_step, count=last - first, start=first, condition=numbers[rows])
            parts.append(model.sample(ask).data)
            seen(last - wanted.start)
            tell(last - wanted.start, None)
        made = np.concatenate(parts)
        if wanted.upscale > 1:
            made = _enlarged(model, made, wanted)
    return SampleSet(made)


def _enlarged(model: Pretrained, small: np.ndarray, wanted: Wanted) -> np.ndarray:
    """The pictures at ``upscale`` times their size, whose details are drawn anew from their own random numbers."""
    from ..core.seeds import seed_of
    from ..models.pretrained.sampling import enlarged

    sides = tuple(side * wanted.upscale for side in model.shape[1:])
    alone = model.options.model_copy(update={"sample_batch": 1})  # one by one: they are large
    wide, large = replace(model, options=alone, shape=(model.shape[0], *sides)), enlarged(small, wanted.upscale)
    number = seed_of(wanted.seed, None, None, "enlarge")
    parts = []
    for row, prompt in enumerate(wanted.prompts):
        ask = Ask(1, number, wanted.start + row, condition=[prompt])
        parts.append(wide.made(ask, large[row : row + 1], wanted.strength).data)
    return np.concatenate(parts)


def _write(
    out: Path, made: SampleSet, model: Pretrained, wanted: Wanted, adapter: Path | None, others: Mapping[str, str]
) -> None:
    """Write pictures and their manifest as one folder, in one step."""
    from ..data.export import MANIFEST
    from ..data.provenance import Origin, encode_told
    from ..models.pretrained.exchange import manifest

    def write(folder: Path) -> None:
        listed = []
        for row, (pixels, prompt) in enumerate(zip(made.data, wanted.prompts, strict=True)):
            index = wanted.start + row
            name, content = f"img{index:08d}.png", encode_told(pixels, Origin(seed=wanted.seed, index=index))
            (folder / name).write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            listed.append({"file": name, "index": index, "sha256": digest, "prompt": prompt, "seed": wanted.seed})
        said = {"seed": wanted.seed, "base_sha256": model.digest, "guide": dict(wanted.said)}
        said["adapter_sha256"] = store.content_hash(adapter) if adapter is not None else None
        said["auxiliary"] = hashes(*map(Path, others.values()))
        said |= {"upscale": wanted.upscale, "strength": wanted.strength} if wanted.upscale > 1 else {}
        said["device"] = clock.facts.get("device_name", "cpu")
        text = json.dumps(manifest(model.options, said, listed, f"collapselab {__version__}"), indent=1)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")

    from ..store.bytes import write_folder_atomically

    write_folder_atomically(out, write)
    print(f"{out}: {len(made)} pictures of {' x '.join(map(str, made.data.shape[1:]))}, and {MANIFEST}")


# -- what is learnt ----------------------------------------------------------------------------------------------------


@pretrained_app.command()
def finetune(
    images: Annotated[Path, typer.Option(help="folder or zip of pictures; a sub-folder a class, or all in one")],
    out: Annotated[Path, typer.Option(help="adapter to write, a .safetensors; its hash is written beside it")],
    base: Base = None,
    prompt: Prompts = None,
    prompts: PromptFile = None,
    adapter: Annotated[Path | None, typer.Option(help="model of finetune or of a study to go on from")] = None,
    images_seen: Annotated[int | None, typer.Option(min=1, help="pictures shown in all; an epoch is all once")] = None,
    size: Size = None,
    crop: Crop = "none",
    seed: Seed = 0,
    precision: Precision = None,
    memory: Memory = None,
    options: Said = "{}",
    lora: Annotated[Path | None, typer.Option(help="write it as a LoRA file of diffusers, too")] = None,
    allow_nonidentical: AllowNonidentical = False,
) -> None:
    """Tune a pipeline on pictures: what is learnt is an adapter of a few megabytes, the pipeline stays as it is.

    Interrupted, the same command goes on where it was, to the same bits.
    """
    from .options import json_of

    _remember(memory)
    told_to_all = _prompts(prompt, prompts)
    start = _start(adapter)
    known = start.options.model_dump(mode="json", exclude={"prompts", "classes"}) if start else {}
    said = known | json_of(options, "--options", dict)
    said |= {name: value for name, value in (("base", base), ("precision", precision)) if value is not None}
    side = size or (start.shape[1] if start else own_side(said.get("base", TINY)))
    training, names, shown = _pictures(images, side, crop)
    said["prompts"] = told_to_all or _called(names)
    if len(said["prompts"]) not in (1, len(names) or 1):
        allowed = (
            f"are one, or one for each of {', '.join(names)}" if names else "is one: the pictures lie in one folder"
        )
        found = f"found {len(said['prompts'])} prompts; allowed {allowed}"
        raise typer.BadParameter(found, param_hint="--prompts" if prompts else "--prompt")
    if training.labels is not None and len(said["prompts"]) > 1:
        said["classes"] = len(said["prompts"])
    settings = parsed(PretrainedOptions, json.dumps(said), "--options")
    if fault := settings.fault(_facts(training.data.shape[1:])):
        raise typer.BadParameter(fault.partition(": ")[2], param_hint=f"--{fault.partition(':')[0].replace('_', '-')}")
    lineage = {"generation": 0, "seed": seed, "inputs": hashes(adapter) if adapter else {}, "images": shown}
    budget = images_seen or settings.images_seen
    run = run_of(out, seed, budget, allow_nonidentical, FAMILY, lineage)

    def fit() -> Pretrained:
        with at_work(f"finetune {out}", budget, True) as tell:
            return Pretrained.fit(training, settings, replace(run, progress=tell), start)

    leave(out, FAMILY, settings, lineage, budget, fit, run, False)
    model, _ = model_in(out)
    if lora is not None:
        from ..models.pretrained.exchange import write_lora

        write_lora(lora, model)
    losses = model.curve["loss"]
    print(f"{out}: {budget} pictures seen, loss {losses[0]:.4g} at first and {losses[-1]:.4g} at last")


def _start(adapter: Path | None) -> Pretrained | None:
    """The model that a training goes on from."""
    if adapter is None:
        return None
    model, metadata = model_in(adapter)
    if model is None or metadata["family"] != FAMILY:
        raise typer.BadParameter(f"{adapter} is no model of {FAMILY}", param_hint="--adapter")
    return model


def _pictures(place: Path, side: int, crop: str) -> tuple[TrainingSet, list[str], dict[str, Any]]:
    """The pictures of a folder or zip in one size, what its classes are called, and what is said of them."""
    from ..data import DATASETS

    kind = DATASETS["folder" if place.is_dir() else "zip"]
    dataset = kind(path=place, resolution=side, crop=crop)
    if faults := dataset.check():
        raise typer.BadParameter("; ".join(faults), param_hint="--images")
    loaded = dataset.load()
    names = list(dataset.listing().classes)
    return whole(loaded), names, {"path": str(place), "count": len(loaded), "fingerprint": dataset.fingerprint()}


def _called(names: list[str]) -> list[str]:
    """A prompt of each class, by what its folder is called. Raises BadParameter without folders."""
    if not names:
        raise typer.BadParameter(
            "found none, and the pictures lie in no folders that are called after what they show; say --prompt WORDS",
            param_hint="--prompt",
        )
    return [f"a photo of {name.replace('_', ' ')}" for name in names]


# -- what is exchanged -------------------------------------------------------------------------------------------------


@pretrained_app.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="a model of finetune or of a study")],
    out: Annotated[Path, typer.Option(help="LoRA file to write, as pytorch_lora_weights.safetensors")],
) -> None:
    """Write an adapter as a LoRA file, which diffusers and programs built on it read."""
    from ..models.pretrained.exchange import write_lora

    model = _start(adapter)
    write_lora(out, model)
    print(f"{out}: {len(model.adapter) // 2} matrices of rank {model.options.lora_rank}")


@pretrained_app.command()
def tiny(
    out: Folder,
    seed: Annotated[int, typer.Option(min=0, help="of its random weights")] = 0,
) -> None:
    """Write the tiny pipeline of random weights as a folder, as diffusers does: to try commands with."""
    from ..models.pretrained.pipeline import read, write

    write(read("tiny", seed), out)
    print(f"{out}: a pipeline of random weights, whose pictures are noise", file=sys.stdout)
