"""What makes a job of a study run again: of a finished quickstart, which jobs an edit replans, and why."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from collapselab.store.cells import left_by
from collapselab.store.provenance import source
from collapselab.study import jobs, layout, load, reasons

ROOT = Path(__file__).parents[1]
PRINTED = """
import json, sys
from collapselab.study import jobs
from collapselab.study import load
from pathlib import Path
study = load(Path("config") / f"{sys.argv[1]}.yaml")
print(json.dumps([
    [verb, place, *(ask(study, verb, place) for ask in (jobs.inputs, jobs.arguments, jobs.identity))]
    for verb, place in jobs.every(study)
]))
"""


class Copy:
    """The package and the studies in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("src", "config"):
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)

    def jobs(self, study="quickstart", **environment):
        """(verb, place) -> inputs, arguments and identity, as this copy has them."""
        setting = {"PYTHONPATH": str(self.folder / "src"), "PATH": "/usr/bin:/bin", **environment}
        done = subprocess.run(
            [sys.executable, "-c", PRINTED, study], cwd=self.folder, env=setting, capture_output=True, check=False
        )
        assert not done.returncode, done.stderr.decode()
        found = json.loads(done.stdout)
        return {
            (verb, tuple(place)): (inputs, arguments, identity) for verb, place, inputs, arguments, identity in found
        }

    def path(self, module):
        """The file of a module, as ``verbs.sample``."""
        place = (self.folder / "src" / "collapselab").joinpath(*module.split("."))
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")

    def edit(self, module, old, new):
        """Replace a text that stands in a module once."""
        path = self.path(module)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{module}: {old!r} stands there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def append(self, module, code):
        """Add code to a module."""
        path = self.path(module)
        path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{code}\n", encoding="utf-8")

    def restore(self, *modules):
        """Undo all edits of modules."""
        for module in modules:
            path = self.path(module)
            shutil.copy2(ROOT / path.relative_to(self.folder), path)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def before(copy):
    return copy.jobs()


@pytest.fixture
def edited(copy, before):
    """edited(module, old, new): the jobs of a finished quickstart that would run after an edit, by verb."""
    touched = []

    def run(*edits, study="quickstart"):
        for module, old, new in edits:
            touched.append(module)
            copy.append(module, new) if old is None else copy.edit(module, old, new)
        return replanned(before, copy.jobs(study))

    yield run
    copy.restore(*touched)


def outputs(study, verb, place):
    """The files that a job makes."""
    if nouns := left_by(verb, place.role):
        return [study.cell(*place.cell, noun) for noun in nouns]
    if verb in ("prepare", "populate"):
        return [study.part_file(place.part)]
    if verb in ("learn", "extract_real"):
        return [study.extractor_file({"learn": "weights"}.get(verb, "features"), place.extractor)]
    return layout.baseline(study) if verb == "baseline" else []


def replanned(before, after):
    """How many jobs of each verb run again: those that are told otherwise, and those that eat what is made anew.

    Compose and train are one job.
    """
    study = load(ROOT / "config" / "quickstart.yaml")
    again = {one for one, now in after.items() if before.get(one) != now}
    while True:
        again |= {("train", place) for verb, place in again if verb == "compose"}
        made = {file for verb, place in again for file in outputs(study, verb, jobs.Place(*place))}
        more = {one for one, (inputs, _, _) in after.items() if one not in again and made.intersection(inputs)}
        if not more:
            return dict(Counter(verb for verb, _ in again if verb != "compose"))
        again |= more


TRAININGS, CELLS, RAW = 63, 75, 15
REPORTED = {"report": 1, "track": 1}
MEASURED = {"record": CELLS, "baseline": 1, **REPORTED}
TRAINED = {"train": TRAININGS, "sample": CELLS, "sample_raw": RAW, "grid": CELLS, "extract": CELLS, "record": CELLS}
LATER = {"train": 48, "sample": 63, "sample_raw": 12, "grid": 63, "extract": 75, "record": 75}

UNUSED = {
    "metric": ("metrics", '"recall": Metric(', '"unused": Metric(recall, "Unused", None),\n    "recall": Metric('),
    "selector": (
        "select",
        '"nobody": Selector(',
        '"unused": Selector(SelectorOptions, nobody),\n    "nobody": Selector(',
    ),
    "extractor": ("features", '"pixels": Extractor(', '"unused": Extractor(pixels),\n    "pixels": Extractor('),
    "family": ("models", '"box": Box,', '"unused": Box,\n    "box": Box,'),
    "guide": (
        "guides",
        '"collapselab.guides",\n    {',
        '"collapselab.guides",\n    {\n        "unused": Guide(Options, lambda seen, *at: (seen.conditional, None)),',
    ),
    "adapter": (
        "adapt",
        '"collapselab.adapters",\n    {',
        '"collapselab.adapters",\n    {\n        "unused": Adapter(Options, lambda model, *given: model, len),',
    ),
    "transform": (
        "transforms",
        '"collapselab.transforms",\n    {',
        '"collapselab.transforms",\n    {\n        "unused": Transform(Options, lambda given, *told: given.samples),',
    ),
    "reward": (
        "rewards",
        '"collapselab.rewards",\n    {',
        '"collapselab.rewards",\n    {\n        "unused": Reward(Options, lambda samples, *told: samples.data),',
    ),
    "mark": (
        "marks",
        '"spread_spectrum": Mark(',
        '"unused": Mark(tree_ring.TreeRingOptions, "noise", print, print, exactly, print),\n'
        '        "spread_spectrum": Mark(',
    ),
    "population": ("populations", '"decay": Decay,', '"unused": Decay,\n    "decay": Decay,'),
}


IMPORTED = ("from .base import", "from ..core.choice import Options\nfrom .base import")


def test_entries_that_the_study_does_not_use_replan_nothing(copy, before):
    """One of each kind, all at once; should any job run again, which kind replans it is found one by one."""
    edits = {kind: [edit] for kind, edit in UNUSED.items()}
    for kind in ("guide", "adapter", "transform", "reward"):
        edits[kind].insert(0, (UNUSED[kind][0], *IMPORTED))
    edits["data set"] = [("data", '"digits": ', '"unused": 1,\n    "digits": ')]
    edits["regime"] = [("compose.regimes", "REGIMES: ", "UNUSED = 1\n\nREGIMES: ")]

    def found(kinds):
        for one in (edit for kind in kinds for edit in edits[kind]):
            copy.edit(*one)
        try:
            return replanned(before, copy.jobs())
        finally:
            copy.restore(*{edit[0] for kind in kinds for edit in edits[kind]})

    assert found(edits) == {} or {kind: found([kind]) for kind in edits} == {}


OF_RECALL = 'roles=Roles(stands_for=("tails",), losable=True, filtered=True), chance="real"'
HOME_OF_RECALL = source.home_of("collapselab.metrics", "recall").module.removeprefix("collapselab.")
SAID_OF_NOTHING = {
    "how a guide steers, where nobody is guided": ("engine.steering", "self.drawn += 1", "self.drawn += 2"),
    "a function that nobody calls": (HOME_OF_RECALL, None, "def _new():\n    return 1"),
    "what no file of a study says": ("metrics", OF_RECALL, OF_RECALL.replace("real", "fake")),
    "whose numbers, where nobody draws": ("verbs.select", 'f"select/{name}{place}"', 'f"other/{name}{place}"'),
    # Of what has learnt to do more for whoever asks, the earlier text counts: ``store.provenance.earlier``.
    "the layout of an earlier text": ("verbs.sample", "parts.append(", "parts.append(  # as ever\n            "),
}


def test_edits_that_no_job_of_the_study_hangs_on_replan_nothing(edited, copy):
    """All at once; should any job run again, which edit replans it is found one by one."""
    found = edited(*SAID_OF_NOTHING.values())
    copy.restore(*{module for module, _, _ in SAID_OF_NOTHING.values()})
    assert found == {} or {name: edited(edit) for name, edit in SAID_OF_NOTHING.items()} == {}


def test_pictures_of_another_number_are_drawn_again_and_nothing_else(copy, before):
    study = copy.folder / "config" / "quickstart.yaml"
    text = study.read_text()
    study.write_text(text.replace("samples: 800", "grid: 24\nsamples: 800"))
    try:
        assert replanned(before, copy.jobs()) == {"grid": CELLS, **REPORTED}
    finally:
        study.write_text(text)


EATERS = dict.fromkeys(("train", "sample", "grid", "extract", "record"), 12)  # fresh_data from generation 1 on
HELD_OUT = {"prepare": 1, "learn": 1, "extract_real": 2, "extract": CELLS, **MEASURED}


def test_a_training_hangs_on_the_rows_that_it_can_eat(copy, before):
    """With other held-out images everything is measured anew; with more fresh ones their eaters are trained again."""
    study = copy.folder / "config" / "quickstart.yaml"
    text = study.read_text(encoding="utf-8")
    try:
        study.write_text(text.replace("held_out: 597", "held_out: 577"), encoding="utf-8")
        fewer = copy.jobs()
        assert replanned(before, fewer) == HELD_OUT
        study.write_text(text.replace("597, fresh: 400", "577, fresh: 420"), encoding="utf-8")
        assert replanned(fewer, copy.jobs()) == {"prepare": 1, **EATERS, **REPORTED}
    finally:
        study.write_text(text, encoding="utf-8")


def test_a_metric_that_is_used_replans_records_and_report_but_no_extraction(edited):
    found = edited(("metrics", 'recall, "Recall"', 'recall, "Share: Recall"'))
    assert found == MEASURED


def test_what_is_concluded_of_a_metric_replans_the_report_alone(copy, edited):
    assert edited(("metrics", OF_RECALL, 'roles=Roles(), chance="real"')) == {"report": 1}
    copy.restore("metrics")
    assert edited(("metrics.roles", "    losable: bool = False\n", "    losable: bool = True\n")) == {"report": 1}


@pytest.mark.slow
def test_sums_over_stacks_replan_the_arms_whose_seeds_run_together_and_no_cell(copy, edited):
    study, stack = "theory-gaussian", ("metrics.stacks", '"""|m_f - m_r|^2 / tr S_r."""', "fake = real")
    before = copy.jobs(study)
    assert edited(stack) == {}
    after = copy.jobs(study)
    assert {verb for verb, _ in after if before[verb, _] != after[verb, _]} == {"replicate"}
    copy.restore("metrics.stacks")
    copy.edit("metrics.stacks", '"""The number of positive shares; a law of vectors has none."""', "fake = real")
    assert copy.jobs(study) == before  # which this study does not measure


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            ("verbs.sample", 'f"sample/{stream}"', 'f"other/{stream}"'),
            {**LATER, "sample": 75, "sample_raw": 15, "grid": 75},
        ),
        (("verbs.record", "measuring.first(one, count)", "measuring.first(one, 50)"), {"record": CELLS}),
        (("verbs.train", 'generation, "train")', 'generation, "fit")'), TRAINED),
        (
            ("verbs.extract", "STORED_NEIGHBOURS = 16", "STORED_NEIGHBOURS = 8"),
            {"extract_real": 2, "extract": CELLS, **MEASURED},
        ),
        (("compose.rows", '"compose/subsample"', '"compose/other"'), TRAINED),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_other_random_numbers_or_counts_replan_what_depends_on_them(edited, edit, expected):
    found = edited(edit)
    assert found == {**expected, **REPORTED}


def test_an_earlier_text_counts_until_the_definition_changes_again(edited):
    """Of what has learnt to do more for whoever asks, the earlier text counts: ``store.provenance.earlier``."""
    found = edited(("verbs.sample", "done(start)", "done(start + 0)"))
    assert {"sample", "train"} <= set(found)


def test_a_definition_that_is_renamed_moved_or_documented_replans_nothing(copy, edited):
    compose = copy.path("compose.rows")
    text = compose.read_text()
    renamed = re.sub(r"\b_subsample\b", "_some_of", text)
    assert renamed != text
    compose.write_text(renamed.replace('"""', '"""Reworded: ', 1) + "\n# the end\n")
    try:
        assert edited() == {}
        # a function, and all that calls it, now finds it elsewhere
        begin, end = renamed.index("def subsample_seed("), renamed.index("def real_seed(")
        moved, rest = renamed[begin:end], renamed[:begin] + renamed[end:]
        helper = copy.path("compose.rows").with_name("orders.py")
        helper.write_text(f"from ..core import seeds\nfrom .regimes import Recipe\n\n\n{moved}")
        compose.write_text(
            rest.replace("from ..core import seeds\n", "from ..core import seeds\nfrom .orders import subsample_seed\n")
        )
        assert edited() == {}
        helper.unlink()
    finally:
        compose.write_text(text)


@pytest.mark.parametrize("locale", ["C", pytest.param("tr_TR.UTF-8", marks=pytest.mark.slow)])  # POSIX is C
def test_hashes_are_the_same_in_every_locale(copy, before, locale):
    """Encodings too: where Python is kept from choosing UTF-8 by itself, files are read as what they are."""
    setting = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert copy.jobs(**setting) == before


def test_entries_that_a_job_calls_are_among_what_its_source_is_of():
    """A registry is a boundary: whoever asks one must name the entries, or an edit of theirs is not seen."""
    named = {"METRICS": "metrics:METRICS", "FEATURES": "features:FEATURES", "MODELS": "models:MODELS"}
    study = load(ROOT / "config" / "quickstart.yaml")
    asked = set()
    for verb in jobs.JOBS:
        place = next((place for one, place in jobs.every(study) if one == verb), None)
        if place is None:
            continue
        roots = jobs.roots(study, verb, place)
        reached = source.reached_from(roots)
        texts = "".join(part for one in reached for part in source.parts_of(one) if isinstance(part, str))
        for registry, root in named.items():
            if f"<edge.{registry}>" in texts and verb not in ("report", "track"):
                asked.add((verb, registry))
                assert any(root in one for one in roots), (verb, registry)
    assert ("record", "METRICS") in asked and ("record", "FEATURES") in asked


def test_a_plan_says_why_each_job_would_run(smoke):
    """After two edits: which definition, and which option."""
    smoke.edit("src/collapselab/verbs/sample.py", ('f"sample/{stream}"', 'f"other/{stream}"'))
    smoke.edit("config/smoke.yaml", ("samples: 200", "samples: 390"))
    said = smoke.run("collapselab", "plan", "smoke", "--no-cost").stdout
    assert re.search(r"^sample +\d+  source: verbs.sample.sample_seed changed; --count 200 is now 390$", said, re.M), (
        said
    )
    assert re.search(r"^baseline +1  --count 200 is now 390$", said, re.M)
    assert re.search(r"^train +\d+  its inputs are made anew$", said, re.M)


def test_reasons_are_read_from_what_snakemake_prints():
    block = """
    rule sample:
        input: a
        reason: Params have changed since last execution: Union of exclusive params before and now across all output: \
before: '--count 3 --model m','0123456789ab' now: '--count 4 --model m','ba9876543210'
        resources: tmpdir=/tmp

rule learn:
    input: a
    reason: Missing output files: x
    resources: none

rule record:
    input: a
    reason: Updated input files: x.json.sha256
"""
    was = {"0123456789ab": {"collapselab.a:f": "1", "collapselab.a:g": "2"}}
    now = {"ba9876543210": {"collapselab.a:f": "3", "collapselab.b:g": "2"}}
    assert reasons.causes(block, was, now) == {
        "sample": Counter(["source: a.f changed; --count 3 is now 4"]),
        "learn": Counter(["not made yet"]),
        "record": Counter(["input changed: x.json"]),
    }
    assert reasons.causes(block, {}, now)["sample"] == Counter(
        ["source changed (of what, no run has remembered); --count 3 is now 4"]
    )
