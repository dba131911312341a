"""Sample sets as feature matrices."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .. import store
from ..core.needs import looks_anew
from ..core.progress import counted
from ..core.sets import SampleSet
from ..data.digest import digest
from ..features import FEATURES
from ..features.files import arrays
from ..verbs import extract as verb
from .extractors import settings_of, weights_of
from .inputs import hashes
from .marking import Marked, detector_of
from .options import Out, chosen, json_of, pairs
from .run import clock
from .work import get_ready

app = typer.Typer(rich_markup_mode=None)

ExtractorFlags = Annotated[list[str], typer.Option(help=f"NAME or NAME=WEIGHTS; names: {', '.join(FEATURES)}")]

ExtractorOptions = Annotated[str, typer.Option(help='options as JSON, such as {"likelihood": {"steps": 32}}')]


@app.command()
def extract(
    samples: Annotated[list[str], typer.Option(help="SET=FILE of samples, such as sampled=samples.safetensors")],
    extractor: ExtractorFlags,
    out: Out,
    options: ExtractorOptions = "{}",
    real: Annotated[
        list[str] | None, typer.Option(help="SET=FILE of real data, for extractors that look through the model")
    ] = None,
    as_reference: Annotated[bool, typer.Option(help="store neighbours and moments: many will compare with it")] = False,
    mark: Marked = "{}",
    study_seed: Annotated[int, typer.Option(help="the study's seed, of which the key of the mark is made")] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="the replicate, likewise")] = 0,
    stream: Annotated[int, typer.Option(min=0, help="random stream of the arm, likewise")] = 0,
) -> None:
    """Turn sample sets into feature matrices."""
    sets = {name: Path(path) for name, path in pairs(samples, "--samples", files=True).items()}
    reals = {name: Path(path) for name, path in pairs(real or [], "--real", files=True).items()}
    said = json_of(options, "--options", dict)
    tensors: dict[str, np.ndarray] = {}
    extractors, lineages, names = {}, {}, {}
    pools = {which: store.read_samples(path) for which, path in (sets | reals).items()}
    for which, path in (sets | reals).items():
        content = digest(SampleSet(pools[which].data))  # where the data lay is in the file's hash, and not in this one
        lineages[which] = {**pools[which].lineage, "hash": store.recorded_hash(path), "content": content}
    for name, weights_path in pairs(extractor, "--extractor").items():
        entry = chosen(FEATURES, name, "--extractor")
        settings = settings_of(entry, name, said.get(name, {}))
        if entry.needs.through == "mark":
            asked, key = settings.pop("calibration"), (study_seed, seed, stream)
            train = pools["train"].data if "train" in pools else None
            weights, extractors[name] = detector_of(mark, weights_path, key, asked, train)
        else:
            weights, extractors[name] = weights_of(entry, name, weights_path)
        extractors[name] |= settings
        through = entry.needs.through_model or looks_anew(entry.needs) or entry.needs.through_truth
        get_ready(entry.uses_torch or (through and weights is not None and weights.uses_torch))
        look = verb.Look(entry, weights, settings)
        for which in counted(verb.looked_at(look, list(sets), list(reals), as_reference), "sets"):
            with clock.compute():
                found = verb.extract(look, pools[which], as_reference)
            if found is not None:
                names[name] = found.names
                tensors |= {f"{which}/{name}/{part}": array for part, array in arrays(found)}
    metadata = {"extractors": extractors, "names": names, "sets": lineages}
    store.write_tensors(out, tensors, metadata | {"lineage": hashes(*sets.values(), *reals.values())})
