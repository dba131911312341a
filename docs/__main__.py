"""Writes all that is made from the code: the pages beside this file, DVC's page of plots, and the schema of a study.

python docs
"""

import json
from pathlib import Path

import architecture
import metrics
import models
import plots
import registries

from collapselab.study.schema import schema

ROOT = Path(__file__).resolve().parents[1]


def written() -> dict[Path, str]:
    """file -> what stands in it."""
    names = architecture.rooms()
    imported = architecture.arrows(names)
    return {
        architecture.PAGE: architecture.page(names, imported),
        architecture.PICTURE: architecture.picture(imported),
        **{page.PAGE: page.page() for page in (metrics, models, plots, registries)},
        ROOT / "config" / "study.schema.json": json.dumps(schema(), indent=1) + "\n",
    }


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
