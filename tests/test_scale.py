"""Studies of many generations and arms: what is planned of them, what is kept of them, and what may go."""

import shutil

from project import ROOT

from collapselab import study as studies
from collapselab.study import layout

SMOKE = studies.load(ROOT / "config" / "smoke.yaml")


# -- planning ----------------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_what_is_missing(smoke):
    # The whole study, file by file, plans the same as what is asked for of it, wherever something is missing.
    assert layout.missing(SMOKE, smoke.folder) == []
    results = smoke.folder / "results" / "smoke"
    shutil.rmtree(results / "control" / "seed0" / "gen1")
    shutil.rmtree(results / "base_moments" / "seed1")
    (results / "fully_synthetic" / "seed0" / "gen2" / "train.cost.json").unlink()
    for file in (results / "k_memory" / "seed1" / "gen2").glob("sample*"):
        file.unlink()
    asked = layout.missing(SMOKE, smoke.folder)
    assert len(asked) == 4 + 1 + 1 + 2 < len(layout.whole(SMOKE)) / 10
    every = [*layout.reported(SMOKE), *layout.whole(SMOKE)]
    planned = smoke.plan()
    assert planned == smoke.plan(*(name for file in every for name in (file, f"{file}.sha256"))) | {"all": 1}
    assert planned["train"] and planned["extract"]
