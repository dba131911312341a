"""Published weights: which are here, how to get the others, and models made of them."""

import sys
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from .. import store
from ..core.errors import Foreign
from ..core.naming import meant
from ..store import weights as published
from .options import Out
from .run import EXIT_RESOURCES

app = typer.Typer(rich_markup_mode=None)

weights_app = typer.Typer(help="Published weights: which are here, and how to get the others.", rich_markup_mode=None)
app.add_typer(weights_app, name="weights")


@weights_app.callback(invoke_without_command=True)
def weights(context: typer.Context) -> None:
    """Published weights: which are here, and how to get the others."""
    if context.invoked_subcommand is None:
        for name, state, more in published.listing():
            print(f"{state:8} {name:22} {published.WEIGHTS[name].terms}")
            print(textwrap.indent(more, " " * 9))


@weights_app.command()
def fetch(name: Annotated[str, typer.Argument(help=f"one of {', '.join(published.WEIGHTS)}")]) -> None:
    """Download published weights, and verify them."""
    if name not in published.WEIGHTS:
        said = f"found {name!r}{meant(name, published.WEIGHTS)}; allowed: {', '.join(published.WEIGHTS)}"
        raise typer.BadParameter(said)
    try:
        print(published.fetch(name))
    except published.Unreachable as error:
        print(f"collapselab: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_RESOURCES) from None


@weights_app.command("import")
def take_over(
    source: Annotated[Path, typer.Argument(help="a StyleGAN2-ADA .pkl, or a folder of diffusers' UNet2DModel")],
    out: Out,
    classes: Annotated[
        int | None, typer.Option(min=0, help="number of classes of a folder whose last class embedding means: no label")
    ] = None,
) -> None:
    """Make a model of published weights, to start from or to sample. Code in them is never run."""
    if classes is not None and not source.is_dir():
        raise typer.BadParameter(f"found {classes}; a .pkl says its classes itself", param_hint="--classes")
    from ..models import MODELS
    from ..models.diffusion.published import from_diffusers
    from ..models.files import write_model
    from ..models.stored import Stored
    from ..models.stylegan2.published import model_of
    from ..store.pickles import networks as pickled

    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    names = {file: file.relative_to(source).as_posix() if source.is_dir() else file.name for file in files}
    taken = {names[file]: store.content_hash(file) for file in files if file.is_file() or file == source}
    try:
        if source.is_dir():
            family, (options, tensors) = "diffusion", from_diffusers(source, classes)
        else:
            family, (options, tensors) = "stylegan2", model_of(pickled.read(source))
        model = MODELS[family].load(Stored(tensors), MODELS[family].Options.model_validate(options))
    except ValueError as error:
        said = " ".join(str(error).split())[:400]
        raise Foreign(source, said if str(source) in said else f"{source}: {said}") from None
    write_model(out, family, model, {"generation": 0, "imported": taken})
    size = sum(array.nbytes for array in model.stored().tensors.values()) / 2**20
    print(f"{out}: {family} of {' x '.join(map(str, model.shape))} images, {size:,.1f} MiB")
    print(f"as a model of a study: {_as_yaml(family, model.options)}")


def _as_yaml(family: str, options: BaseModel) -> str:
    """What a study says for a model with these options, on one line."""
    import yaml

    said = options.model_dump(mode="json")
    preset = type(options)(preset=said["preset"]).model_dump(mode="json")
    options = {"preset": said["preset"]} | {name: value for name, value in said.items() if value != preset[name]}
    return yaml.safe_dump({family: options}, default_flow_style=True, sort_keys=False, width=sys.maxsize).strip()
