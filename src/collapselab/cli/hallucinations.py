"""How well a model's hallucinations are told by the paths on which they were made."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .. import store
from ..core.ask import Ask
from ..core.seeds import seed_of
from .inputs import model_in
from .run import clock
from .study import study_of
from .work import get_ready

app = typer.Typer(rich_markup_mode=None)

WINDOWS = "0:1,0.5:1,0.75:1"
SHEET = 12  # pictures in a row


class Asked(NamedTuple):
    """A model that is sampled step by step, the truth that judges it, and how it is asked."""

    model: Any
    truth: Any
    ask: Ask
    whose: str
    file: Path


@app.command()
def hallucinations(
    name: Annotated[
        str | None, typer.Argument(help="a study's name, or its YAML file; without one, --model and --truth")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="whose model; the first arm whose model is sampled in steps")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of which replicate, and of the samples")] = 0,
    generation: Annotated[int | None, typer.Option(min=0, help="of which generation; the last one")] = None,
    model: Annotated[Path | None, typer.Option(help="a model's file, without a study")] = None,
    truth: Annotated[Path | None, typer.Option(help="the known population's file, as populate writes it")] = None,
    samples: Annotated[int, typer.Option(min=2, help="samples that are made and watched")] = 1000,
    windows: Annotated[str, typer.Option(help="parts of the path, BEGIN:END with commas between them")] = WINDOWS,
    kept: Annotated[float, typer.Option(help="share of the possible samples that a threshold lets pass")] = 0.96,
    probes: Annotated[int, typer.Option(min=1, help="random vectors of each trace")] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file to write, too")] = None,
    pictures: Annotated[Path | None, typer.Option(help="PNG: in a row for each detector the most suspicious")] = None,
) -> None:
    """Say how many samples of a model are impossible, and how well each detector tells which.

    Whoever measures needs a known truth; who only wants to drop what is suspicious selects by hallucination.
    """
    from ..measure import hallucinations as measuring

    parts, faults = _windows(windows), []
    if parts is None:
        faults.append(f"--windows: found {windows!r}; allowed are shares of the path as 0.5:1, with commas between")
    if not 0 < kept < 1:
        faults.append(f"--kept: found {kept:g}; allowed are numbers between 0 and 1")
    if (name is None) != (model is not None and truth is not None) or (name and (model or truth)):
        faults.append("found neither a study nor --model and --truth, or both; allowed is one of the two")
    for option, path in (("--out", out), ("--pictures", pictures)):
        if path is not None and not path.parent.is_dir():
            faults.append(f"{option}: found {path}; allowed is a file in a folder that is there")
    if faults:
        raise ValueError("\n".join(faults))
    said = (seed, generation, samples)
    asked = _of_files(model, truth, seed, samples) if name is None else _of_study(study_of(name), arm, *said)
    if pictures is not None and asked.truth.gives != "images":
        raise ValueError(f"--pictures: found a truth that gives {asked.truth.gives}; allowed are images")
    get_ready(True)
    with clock.compute():
        found = measuring.told(asked.model, asked.ask, asked.truth, parts, kept, probes)
    _tell(asked.whose, found, kept)
    if out is not None:
        store.write_json(out, _content(asked, found, kept, probes))
    if pictures is not None:
        sheet = _sheet(found)
        store.write_hashed(pictures, lambda temporary: temporary.write_bytes(sheet))


def _windows(text: str) -> list[tuple[float, float]] | None:
    """The parts of the path that are said; None for what are none."""
    try:
        found = [tuple(map(float, one.split(":"))) for one in text.split(",")]
    except ValueError:
        return None
    return found if all(len(one) == 2 and 0 <= one[0] < one[1] <= 1 for one in found) else None


def _of_study(study: Any, arm: str | None, seed: int, generation: int | None, samples: int) -> Asked:
    """A study's model, asked as its samples are but for another random stream, and the study's truth."""
    from ..compose.regimes import at
    from ..models import MODELS
    from ..models.capabilities import Denoises, Judges
    from ..study.sampled import said_of
    from .steering import sampling

    faults, can = [], [one for one, its in study.lineages.items() if issubclass(_family(study, its, MODELS), Denoises)]
    if study.population_name is None or not isinstance(study.population, Judges):
        faults.append(
            f"{study.name}: its data have no known truth that judges samples; allowed is a study whose data come "
            "from a population such as jars, gaussians or outfits"
        )
    arm = arm or next((one for one in study.file.arms if one in can), "")
    if study.file.together or arm not in can:
        words = ", ".join(can) or "none"
        faults.append(f"--arm: found {arm!r}; allowed are arms whose model is sampled step by step: {words}")
        raise ValueError("\n".join(faults))
    most = study.lineages[arm].generations
    generation = most if generation is None else generation
    if generation > most or not study.is_own(seed):
        faults.append(
            f"--seed, --generation: found {seed}, {generation}; allowed are up to {study.file.seeds - 1}, and {most}"
        )
    if faults:
        raise ValueError("\n".join(faults))
    file = Path(study.model_file(arm, seed, generation))
    trained = _trained(file, f"run: collapselab run {study.name}")
    own = study.lineages[arm]
    number = seed_of(study.file.seed, seed, generation, "hallucinations")
    ask = Ask(
        samples, number, bias=at(own.sampling_bias, generation), sampler=sampling(said_of(study, arm, generation))
    )
    return Asked(trained, study.population, ask, f"{study.name}/{arm}/seed {seed}/generation {generation}", file)


def _family(study: Any, lineage: Any, families: Any) -> type:
    return families[study.family(lineage.model)]


def _trained(file: Path, cure: str) -> Any:
    if not file.exists():
        raise ValueError(f"{file}: is not there; {cure}")
    model, metadata = model_in(file)
    if model is None or metadata.get("population"):
        what = "a model that diverged" if model is None else "a known population"
        raise ValueError(f"{file}: holds {what}; allowed is a trained model")
    return model


def _of_files(model: Path, truth: Path, seed: int, samples: int) -> Asked:
    """A model and a truth by their files."""
    from ..models.capabilities import Denoises, Judges

    trained = _trained(model, "say the file of a model")
    judge, _ = model_in(truth)
    if not isinstance(trained, Denoises):
        raise ValueError(f"--model: {model} is not sampled step by step; allowed is a model that denoises")
    if not isinstance(judge, Judges):
        raise ValueError(f"--truth: {truth} judges no samples; allowed is a known population that does")
    if judge.shape != trained.shape:
        raise ValueError(f"--truth: {truth} judges samples of shape {judge.shape}; the model's are {trained.shape}")
    return Asked(trained, judge, Ask(samples, seed_of(seed, None, None, "hallucinations")), str(model), model)


def _tell(whose: str, found: Any, kept: float) -> None:
    from ..measure.compare import aligned

    share, many = found.share, int((~found.possible).sum())
    print(
        f"{whose}: {many} of {len(found.possible)} samples are impossible: "
        f"{float(share):.4f} ({share.low:.4f} to {share.high:.4f})"
    )
    if not found.rows:
        print("nothing can be told apart: all samples are of one kind")
        return
    lines = [("detector", "part of the path", "AUC", f"found where {kept:.0%} of the possible are kept")]
    for row in found.rows:
        begin, end = row.window
        lines.append((row.detector, f"{begin:g} to {end:g}", f"{row.auc:.3f}", f"{row.removed:.3f}"))
    print("\n".join(f"  {line}" for line in aligned(lines)))


def _content(asked: Asked, found: Any, kept: float, probes: int) -> dict[str, Any]:
    from .inputs import hashes

    share = {"value": float(found.share), "low": found.share.low, "high": found.share.high}
    about = {"model": hashes(asked.file), "samples": asked.ask.count, "kept": kept, "probes": probes}
    return about | {"impossible": share, "rows": [row._asdict() for row in found.rows]}


def _sheet(found: Any) -> bytes:
    """A row for each detector, on its best window: the samples with the largest scores, the worst first."""
    import numpy as np

    from ..report import grid_png

    best = {row.detector: row for row in sorted(found.rows, key=lambda row: row.auc)}
    keys = [(name, row.window) for name, row in best.items()] or list(found.scores)[-1:]
    rows = [np.argsort(-found.scores[key], kind="stable")[:SHEET] for key in sorted(keys)]
    return grid_png(found.samples.data[np.concatenate(rows)], SHEET)
