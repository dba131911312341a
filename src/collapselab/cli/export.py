"""Samples as pictures for others, which say where they come from, and what pictures say of it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import store
from ..data import signing
from ..data.export import MANIFEST, SUMS, unlike_manifest, unlike_sums
from ..data.formats import FORMATS, Given
from ..data.formats import check as check_format
from ..data.headers import PNG
from ..data.provenance import Origin, read_told
from ..store import hash_path
from .options import chosen
from .run import EXIT_DAMAGED
from .study import study_of

app = typer.Typer(rich_markup_mode=None)


@app.command()
def export(
    what: Annotated[
        str,
        typer.Argument(help="samples, such as results/S/A/seed0/gen1/samples.safetensors, or a study's name or file"),
    ],
    out: Annotated[Path, typer.Option(help="a new folder or file, which is written; its suffix says the format")],
    form: Annotated[
        str, typer.Option("--format", help=f"{', '.join(FORMATS)}; else by the suffix, folder, or parquet of a study")
    ] = "",
    arm: Annotated[list[str] | None, typer.Option(help="of a study: only this arm; may be said again")] = None,
    seed: Annotated[list[int] | None, typer.Option(help="of a study: only this seed; may be said again")] = None,
    generation: Annotated[
        list[int] | None, typer.Option(help="of a study: only this generation; may be said again")
    ] = None,
    real: Annotated[bool, typer.Option("--real", help="of a study: also the real data")] = False,
    so_far: Annotated[bool, typer.Option("--so-far", help="of a study: pass over what is not there")] = False,
    answers: Annotated[Path | None, typer.Option(help="of a study: YAML file of what no record can say")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="say what would be written, and write nothing")
    ] = False,
    chain: Annotated[Path | None, typer.Option(help="PEM certificates to sign with by C2PA, one's own first")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file of the private key of the first of them")] = None,
) -> None:
    """Write samples, or a whole study, in formats that say where they come from.

    Pictures are signed on request.
    """
    if (chain is None) != (key is None):
        raise typer.BadParameter(f"found {chain or key} alone; who signs needs both", param_hint="--chain, --key")
    name = form or next((name for name, one in FORMATS.items() if one.suffix and one.suffix == out.suffix), "")
    if name:
        chosen(FORMATS, name, "--format")
    signer = signing.read_signer(chain, key) if chain and key else None
    if not what.endswith(".safetensors"):
        wanted = (name or "parquet", tuple(arm or ()), tuple(seed or ()), tuple(generation or ()), real, so_far)
        _export_study(what, wanted, out, answers, signer, dry_run)
        return
    if said := [option for option, value in (("--arm", arm), ("--seed", seed), ("--generation", generation)) if value]:
        raise typer.BadParameter(f"found {what}, which is one set of samples; these are of a study", param_hint=said[0])
    _export_samples(Path(what), name or "folder", out, signer, dry_run)


def _export_samples(samples: Path, name: str, out: Path, signer: signing.Signer | None, dry_run: bool) -> None:
    pool = store.read_samples(samples)
    given = Given(pool, Origin.of(str(samples), pool.lineage), signer)
    if faults := list(check_format(name, given, out)):
        raise ValueError("\n".join(f"{samples}: {fault}" for fault in faults))
    if not dry_run:
        FORMATS[name].write(given, out)
    would = "would be written as " if dry_run else ""
    print(f"{out}: {would}{len(pool)} {pool.kind}{', signed' if signer else ''}; {_said(given.origin.plain)}")


def _export_study(
    what: str,
    said: tuple[Any, ...],
    out: Path,
    answers: Path | None,
    signer: signing.Signer | None,
    dry_run: bool,
) -> None:
    from ..publish import answers as answering
    from ..publish import parts, whole
    from ..publish.known import Known
    from ..study import toys
    from ..study.loading import file_of

    known, wanted = Known(study_of(what), answering.read(answers)), parts.Wanted(*said)
    faults = list(parts.faults(known, wanted, out))
    if signer and (known.study.kind != "images" or wanted.form == "safetensors"):
        faults.append(f"--chain, --key: signed are PNG files, and {wanted.form!r} of {known.study.kind} has none")
    if faults:
        raise ValueError(
            "\n".join([f"{what}: {len(faults)} fault{'s' if len(faults) > 1 else ''}", *(f"  {one}" for one in faults)])
        )
    if dry_run:
        for part in parts.parts(known, wanted):
            print(f"{out / part.folder}: {part.path}{'' if part.path.exists() else ' (not there)'}")
        return
    file = toys.base(file_of(what))
    today = datetime.now(UTC).date().isoformat()
    made = whole.write(known, wanted, out, file, today, signer)
    passed = f"; passed over: {', '.join(made.passed)}" if made.passed else ""
    print(f"{out}: {made.sets} sample sets of {made.samples:,} samples in all, as {wanted.form}{passed}")
    print(f"next: read {out / 'dossier.html'}; sha256sum -c SHA256SUMS in the folder checks every file")


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

    def write(folder: Path) -> None:
        folder.chmod(0o700)
        for role, name in signing.FILES.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_bytes(found[role])

    store.write_folder_atomically(out, write)
    words = " ".join(f"--{option} {out / signing.FILES[option]}" for option in ("chain", "key"))
    print(f"{out}: sign with {words}, and check with --anchors {out / signing.FILES['anchor']}")


@app.command()
def check(
    pictures: Annotated[
        list[Path], typer.Argument(help="PNG files, folders of them or of a study, and files with their .sha256")
    ],
    anchors: Annotated[Path | None, typer.Option(help="PEM certificates that one trusts")] = None,
) -> None:
    """Say where pictures come from, by themselves, and whether signatures and hashes hold.

    It ends with 3 where one does not, and where a folder's files are not those of its manifest.
    """
    trusted, states = signing.read_anchors(anchors) if anchors else None, Counter()
    checked = list(_files(pictures))
    lists = [sums for place in pictures for sums in _lists(place)]
    unlike = [fault for place in pictures if (place / MANIFEST).is_file() for fault in unlike_manifest(place)]
    for sums in lists:
        found = list(unlike_sums(sums))
        unlike += found
        print(f"{sums}: {len(found)} of its files are not as it says" if found else f"{sums}: all is as it says")
    for path in checked:
        content = path.read_bytes()
        verdict = signing.checked(content, trusted)
        states[verdict.state] += 1
        told = _told(content) if verdict.state != "Invalid" else "what it says is not to be believed"
        found = f" ({', '.join(verdict.findings)})" if verdict.findings else ""
        print(f"{path}: signature {verdict.state}{found}; {told}")
    if checked or not lists:
        print(", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no pictures")
    for fault in unlike:
        print(fault)
    if states["Invalid"] or unlike:
        raise typer.Exit(EXIT_DAMAGED)


def _lists(place: Path) -> list[Path]:
    """The lists of hashes of a folder, or of a file that is no picture."""
    found = [place / SUMS] if place.is_dir() else [hash_path(place)] if place.suffix.lower() != ".png" else []
    return [path for path in found if path.is_file()]


def _files(places: list[Path]) -> Iterator[Path]:
    """The pictures among what is to be checked."""
    for place in places:
        if not place.exists():
            raise typer.BadParameter(f"found no {place}", param_hint="pictures")
        if place.is_dir():
            yield from sorted(place.rglob("*.png"))
        elif place.suffix.lower() == ".png" or place.read_bytes().startswith(PNG):
            yield place
        elif not _lists(place):
            allowed = "PNG files, folders, and files with their .sha256 beside them"
            raise typer.BadParameter(f"found {place}; allowed are {allowed}", param_hint="pictures")


def _told(content: bytes) -> str:
    """What a picture tells of its origin, in a line."""
    try:
        told = read_told(content)
    except ValueError as error:
        return str(error)
    return _said(told)


def _said(told: dict[str, Any]) -> str:
    """What is told of an origin, in a line."""
    return ", ".join(f"{name} {text}" for name, text in told.items()) or "it says nothing of where it comes from"
