"""Draws the pictures of README.md and of the tutorial from a finished quickstart, and those of sounds.

python docs/pictures.py [--out FOLDER]        # where results/quickstart lies
python docs/pictures.py chirps drums          # where these studies have run: a sheet of spectrograms each

It draws with the functions that draw the report.
"""

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import vl_convert
from PIL import Image

from collapselab import study as studies
from collapselab.core import sound
from collapselab.report.charts import VEGA_LITE, curve_chart
from collapselab.report.pictures import grid_png
from collapselab.store import read_samples
from collapselab.study import Study, results
from collapselab.verdicts import Endpoint

FOLDER = Path(__file__).parent / "_static" / "quickstart"
SOUNDS = FOLDER.with_name("sound")
CHARTS = {"recall": "recall", "distance": "frechet_distance", "precision": "precision"}
WIDTH, HEIGHT = 760, 320  # of a chart, in pixels
ACROSS = 16  # pictures in a row
COLOURS = 64  # of a chart


def pictures(study: Study) -> Iterator[tuple[str, bytes]]:
    """(file, content) of every picture."""
    records, missing = results.records(study)
    if missing:
        raise SystemExit(f"{len(missing)} cells of {study.name} are not measured yet: run the study first")
    records = [{**one, "values": [value for value in one["values"] if value["set"] == "sampled"]} for one in records]
    facts = results.facts(study)
    for file, metric in CHARTS.items():
        chart = curve_chart(facts, records, Endpoint(metric, "lenet"), WIDTH, HEIGHT)
        yield f"{file}.png", _small(vl_convert.vegalite_to_png(chart, vl_version=VEGA_LITE, scale=2))
    grids: dict[str, dict[int, np.ndarray]] = {}
    for (arm, seed, generation), images in results.grids(study).items():
        if seed == 0:
            grids.setdefault(arm, {})[generation] = images[:ACROSS]
    real = read_samples(Path(study.part_file("held_out"))).data[:ACROSS]
    last = {"real": real} | {arm: grids[arm][max(grids[arm])] for arm in facts.arms if arm in grids}
    yield "samples.png", _rows({arm.replace("_", " "): images for arm, images in last.items()})
    yield "generations.png", _rows({f"generation {t}": row for t, row in sorted(grids["fully_synthetic"].items())})


def spectrograms(study: Study) -> Iterator[tuple[str, bytes]]:
    """(file, content) of a sheet of clips of the first seed: real ones, generation 0, and the last one of every arm."""
    found = {(arm, t): clips for (arm, seed, t), clips in results.grids(study).items() if seed == 0}
    if not found:
        raise SystemExit(f"no samples of {study.name} are there yet: run the study first")
    last = max(t for _, t in found)
    arms = [arm for arm in results.facts(study).arms if (arm, last) in found]
    real = sound.as_images(read_samples(Path(study.part_file("held_out"))).data)
    rows = {"real": real, "generation 0": found[arms[0], 0]}
    rows |= {f"{arm.replace('_', ' ')}, generation {last}": found[arm, last] for arm in arms}
    fewest = min(ACROSS, *(len(clips) for clips in rows.values()))
    yield f"{study.name}.png", _small(_rows({words: clips[:fewest] for words, clips in rows.items()}))


def _small(png: bytes) -> bytes:
    """The same picture in few colours, which is a quarter of the bytes."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        stream, "PNG", optimize=True
    )
    return stream.getvalue()


def _rows(images: dict[str, np.ndarray]) -> bytes:
    """A row of pictures each, with its words to the left."""
    across = len(next(iter(images.values())))
    return grid_png(np.concatenate(list(images.values())), across, labels=list(images))


def main() -> None:
    """Write them all."""
    said = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    said.add_argument("sounds", nargs="*", help="studies of sounds; the quickstart where none is named")
    said.add_argument("--out", type=Path, help="folder to write into")
    asked = said.parse_args()
    out = asked.out or (SOUNDS if asked.sounds else FOLDER)
    out.mkdir(parents=True, exist_ok=True)
    drawn = [spectrograms(studies.find(name)) for name in asked.sounds] or [pictures(studies.find("quickstart"))]
    for file, content in (one for files in drawn for one in files):
        (out / file).write_bytes(content)
        print(out / file)


if __name__ == "__main__":
    main()
