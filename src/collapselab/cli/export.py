"""Samples as pictures for others, which say where they come from, and what pictures say of it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..data import signing
from ..data.export import MANIFEST, unlike_manifest
from ..data.formats import FORMATS, Given
from ..data.formats import check as check_format
from ..data.provenance import Origin, read_told
from .options import chosen
from .run import EXIT_DAMAGED

app = typer.Typer(rich_markup_mode=None)


@app.command()
def export(
    samples: Annotated[
        Path, typer.Argument(help="samples of a study, such as results/S/A/seed0/gen1/samples.safetensors")
    ],
    out: Annotated[Path, typer.Option(help="a new folder or file, which is written; its suffix says the format")],
    form: Annotated[
        str, typer.Option("--format", help=f"{', '.join(FORMATS)}; by the suffix of --out, else folder")
    ] = "",
    chain: Annotated[Path | None, typer.Option(help="PEM certificates to sign with by C2PA, one's own first")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the private key of the first of them")] = None,
) -> None:
    """Write samples as pictures or columns that say where they come from, signed on request."""
    if (chain is None) != (key is None):
        raise typer.BadParameter(f"found {chain or key} alone; who signs needs both", param_hint="--chain, --key")
    name = form or next((name for name, one in FORMATS.items() if one.suffix and one.suffix == out.suffix), "folder")
    wanted = chosen(FORMATS, name, "--format")
    signer = signing.read_signer(chain, key) if chain and key else None
    pool = store.read_samples(samples)
    given = Given(pool, Origin.of(str(samples), pool.lineage), signer)
    if faults := list(check_format(name, given, out)):
        raise ValueError("\n".join(f"{samples}: {fault}" for fault in faults))
    wanted.write(given, out)
    print(f"{out}: {len(pool)} {pool.kind}{', signed' if signer else ''}; {_said(given.origin.plain)}")


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

    It ends with 3 where one does not, and where a folder's pictures are not those of its manifest.
    """
    trusted, states = signing.read_anchors(anchors) if anchors else None, Counter()
    unlike = [fault for place in pictures if (place / MANIFEST).is_file() for fault in unlike_manifest(place)]
    for path in _files(pictures):
        content = path.read_bytes()
        verdict = signing.checked(content, trusted)
        states[verdict.state] += 1
        told = _said(read_told(content)) if verdict.state != "Invalid" else "what it says is not to be believed"
        found = f" ({', '.join(verdict.findings)})" if verdict.findings else ""
        print(f"{path}: signature {verdict.state}{found}; {told}")
    print(", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no pictures")
    for fault in unlike:
        print(fault)
    if states["Invalid"] or unlike:
        raise typer.Exit(EXIT_DAMAGED)


def _files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise typer.BadParameter(f"found no {place}", param_hint="pictures")
        yield from sorted(place.rglob("*.png")) if place.is_dir() else [place]


def _said(told: dict[str, Any]) -> str:
    """What is told of an origin, in a line."""
    return ", ".join(f"{name} {text}" for name, text in told.items()) or "it says nothing of where it comes from"
