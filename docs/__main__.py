"""Writes all that is made from the code: the pages beside this file, DVC's page of plots, and the schema of a study.

python docs
"""

import json
from pathlib import Path

import api
import architecture
import cli
import gallery
import metrics
import models
import plots
import registries
import reports

from collapselab.study.schema import schema

ROOT = Path(__file__).resolve().parents[1]


def written() -> dict[Path, str]:
    """file -> what stands in it."""
    names = architecture.rooms()
    imported = architecture.arrows(names)
    return {
        architecture.PAGE: architecture.page(names, imported),
        architecture.PICTURE: architecture.picture(imported),
        **api.pages(),
        **{page.PAGE: page.page() for page in (cli, gallery, metrics, models, plots, registries)},
        ROOT / "config" / "study.schema.json": json.dumps(schema(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    reports.gather(ROOT / "results")  # of studies that have run here, for the gallery; git ignores them
