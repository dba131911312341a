"""Samples as pictures for others, which say where they come from, and what pictures say of it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..data import signing
from ..data.export import export_folder, export_zip
from ..data.provenance import Origin, read_told
from .run import EXIT_DAMAGED

app = typer.Typer(rich_markup_mode=None)


@app.command()
def export(
    samples: Annotated[
        Path, typer.Argument(help="samples of a study, such as results/S/A/seed0/gen1/samples.safetensors")
    ],
    out: Annotated[Path, typer.Option(help="a new folder, or a file.zip, which is written")],
    chain: Annotated[Path | None, typer.Option(help="PEM certificates to sign with by C2PA, one's own first")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the private key of the first of them")] = None,
) -> None:
    """Write samples as pictures that say where they come from, signed on request."""
    if (chain is None) != (key is None):
        raise typer.BadParameter(f"found {chain or key} alone; who signs needs both", param_hint="--chain, --key")
    signer = signing.read_signer(chain, key) if chain and key else None
    pool = store.read_samples(samples)
    if pool.kind != "images":
        raise typer.BadParameter(f"{samples}: found {pool.kind or 'none'}, exported are images", param_hint="samples")
    origin = Origin.of(str(samples), pool.lineage)
    (export_zip if out.suffix == ".zip" else export_folder)(pool, out, origin, signer)
    print(f"{out}: {len(pool)} pictures{', signed' if signer else ''}; {_said(origin.told)}")


DAYS_MAX = 36_500  # a hundred years
LETTERS_MAX = 64 - len(" signer")  # of a common name, X.520 has place for 64


@app.command()
def certificate(
    out: Annotated[Path, typer.Option(help="a new folder for key.pem, chain.pem and root.pem")],
    organisation: Annotated[str, typer.Option(help="who signs, as the certificates say it")] = "collapselab test",
    days: Annotated[int, typer.Option(min=1, max=DAYS_MAX, help="how long they hold")] = 365,
) -> None:
    """Make a key and certificates by which pictures are signed, to try with.

    Nobody trusts them but whoever is given root.pem.
    """
    if not 1 <= len(organisation.strip()) <= LETTERS_MAX:
        found = f"found {len(organisation)} letters; allowed are 1 to {LETTERS_MAX}, which a certificate has place for"
        raise typer.BadParameter(found, param_hint="--organisation")
    if out.exists():
        raise typer.BadParameter(f"{out} is there already; keys are written to a new folder", param_hint="--out")
    found = signing.certificates(organisation, days)
    out.mkdir(parents=True, mode=0o700)
    for role, name in signing.FILES.items():
        (out / name).touch(mode=0o600)
        (out / name).write_bytes(found[role])
    words = " ".join(f"--{option} {out / signing.FILES[option]}" for option in ("chain", "key"))
    print(f"{out}: sign with {words}, and check with --anchors {out / signing.FILES['anchor']}")


@app.command()
def check(
    pictures: Annotated[list[Path], typer.Argument(help="PNG files, and folders of them")],
    anchors: Annotated[Path | None, typer.Option(help="PEM certificates that one trusts")] = None,
) -> None:
    """Say where pictures come from by their own account, and whether their signatures hold.

    It ends with 3 where one does not.
    """
    trusted, states = signing.read_anchors(anchors) if anchors else None, Counter()
    for path in _files(pictures):
        content = path.read_bytes()
        verdict = signing.checked(content, trusted)
        states[verdict.state] += 1
        told = _said(read_told(content)) if verdict.state != "Invalid" else "what it says is not to be believed"
        found = f" ({', '.join(verdict.findings)})" if verdict.findings else ""
        print(f"{path}: signature {verdict.state}{found}; {told}")
    print(", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no pictures")
    if states["Invalid"]:
        raise typer.Exit(EXIT_DAMAGED)


def _files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise typer.BadParameter(f"found no {place}", param_hint="pictures")
        yield from sorted(place.rglob("*.png")) if place.is_dir() else [place]


def _said(told: dict[str, Any]) -> str:
    """What is told of an origin, in a line."""
    plain = {name.removeprefix("collapselab:"): text for name, text in told.items()}
    return ", ".join(f"{name} {text}" for name, text in plain.items()) or "it says nothing of where it comes from"
