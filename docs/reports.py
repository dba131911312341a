"""Gathers the reports of finished studies into docs/_static/reports, from where the site's gallery shows them.

python docs/reports.py [RESULTS]
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "docs" / "_static" / "reports"


def gather(results: Path) -> list[Path]:
    """Copy every report below a folder of results, under the name of its study. Returns the files written."""
    written = []
    for report in sorted(results.glob("*/report/report.html")):
        PLACE.mkdir(parents=True, exist_ok=True)
        written.append(Path(shutil.copyfile(report, PLACE / f"{report.parents[1].name}.html")))
    return written


if __name__ == "__main__":
    for file in gather(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results"):
        print(file.relative_to(ROOT))
