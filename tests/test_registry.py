"""What other packages add to a registry: found by their metadata, loaded when asked for, and never in our place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from project import ROOT

import collapselab
from collapselab.core.registry import Registry, _is_one, installed, usable
from collapselab.metrics import SCORES
from collapselab.study.choices import CHOICES, Kind


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers three entries, one of which is broken and one of which has our name."""
    (tmp_path / "somebodys.py").write_text("MORE = 3\nOURS = 4\n")
    info = tmp_path / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[collapselab.test]\nmore = somebodys:MORE\none = somebodys:OURS\nbroken = somebodys:ABSENT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    installed.cache_clear()
    yield "somebodys"
    installed.cache_clear()
    sys.modules.pop("somebodys", None)


def test_entries_of_other_packages_are_found_by_their_metadata_and_loaded_when_asked_for(package):
    registry = Registry("collapselab.test", {"one": 1, "two": 2})
    assert list(registry) == ["one", "two", "broken", "more"] and len(registry) == 4
    assert "more" in registry and package not in sys.modules
    assert registry["more"] == 3 and package in sys.modules
    assert list(registry) == ["one", "two", "more", "broken"]  # what is loaded stands with ours


def test_an_entry_of_ours_is_not_replaced(package):
    assert Registry("collapselab.test", {"one": 1})["one"] == 1


def test_what_is_broken_is_said_with_its_package(package):
    registry = Registry("collapselab.test", {})
    with pytest.raises(ValueError, match=r"collapselab\.test: 'broken' of the package somebodys cannot be loaded"):
        registry["broken"]
    with pytest.raises(KeyError):
        registry["nobodys"]
    assert registry.get("nobodys", 5) == 5 and registry.get("more") == 3 and "nobodys" not in registry


def test_what_is_of_another_kind_is_said_with_its_package(package):
    for kind in (str, type[int]):
        registry = Registry("collapselab.test", {}, kind)
        with pytest.raises(ValueError, match=r"'more' of the package somebodys: found 3 at somebodys:MORE; allowed"):
            registry["more"]
    assert Registry("collapselab.test", {}, int)["more"] == 3


def test_entries_of_ours_are_of_the_kinds_that_are_asked_of_others():
    for kind in [*CHOICES.values(), Kind(SCORES, None)]:
        of = getattr(kind.entries, "kind", object)
        assert all(_is_one(entry, of) for entry in dict.values(kind.entries))
        assert of is object or not any(_is_one(wrong, of) for wrong in (5, print, Registry, json, None))


def test_what_is_broken_is_left_out_and_told_of_where_nobody_asks_for_it(package):
    told = []
    assert dict(usable(Registry("collapselab.test", {"one": 1}), told.append)) == {"one": 1, "more": 3}
    assert len(told) == 1 and "'broken' of the package somebodys" in told[0]


def test_our_own_names_cost_no_search(monkeypatch):
    registry = Registry("collapselab.test", {"one": 1})
    monkeypatch.setattr("collapselab.core.registry.installed", lambda: pytest.fail("searched"))
    assert registry["one"] == 1 and "one" in registry and registry.get("one") == 1


PLUGIN = """
from collapselab.metrics import Metric, Roles


def helper(value):
    return 2 * value


def doubled(real, fake):
    \"\"\"Twice the mean of the fakes.\"\"\"
    return helper(float(fake.values.mean()))


DOUBLED = Metric(doubled, "Twice the mean", None, roles=Roles(stands_for=("tails",), losable=True))
"""
STUDY = """
name: theirs
seeds: 1
generations: 1
data: {population: {gaussian: {dimension: 2}}, split: {held_out: 20}}
models: {moments: {gaussian: {ddof: 0}}}
initial: {real: 20}
samples: 20
extractors: [identity]
metrics: [doubled, frechet_distance]
primary: {metric: doubled, extractor: identity}
arms: {fully_synthetic: {model: moments, regime: fully_synthetic}}
"""


@pytest.fixture
def laboratory(tmp_path):
    """A folder with a study that names the metric of an installed package."""
    place = tmp_path / "site"
    info = place / "their_metrics-1.0.dist-info"
    info.mkdir(parents=True)
    (place / "their_metrics.py").write_text(PLUGIN, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-metrics\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[collapselab.metrics]\ndoubled = their_metrics:DOUBLED\n", encoding="utf-8")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "theirs.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def told(laboratory, *words):
    """What this Python says in the laboratory."""
    path = os.pathsep.join([str(laboratory / "site"), str(Path(collapselab.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, *words],
        cwd=laboratory,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_a_strangers_metric_is_used_checked_hashed_and_fingerprinted_like_ours(laboratory):
    verb = ("-m", "collapselab")
    assert "theirs: ok" in told(laboratory, *verb, "validate", "theirs")
    np.save(laboratory / "a.npy", np.full((8, 2), 3.0))
    np.save(laboratory / "b.npy", np.arange(16.0).reshape(8, 2))
    words = (
        "measure",
        "a.npy",
        "--against",
        "b.npy",
        "--extractor",
        "identity",
        "--metric",
        "doubled",
        "--out",
        "r.json",
    )
    told(laboratory, *verb, *words)
    record = json.loads((laboratory / "r.json").read_text(encoding="utf-8"))
    (value,) = (one for one in record["values"] if one["metric"] == "doubled" and one["set"] == "sampled")
    assert value["value"] == 6.0
    code = (
        "from collapselab import study; from collapselab.study import jobs; one = study.find('theirs');"
        "print(jobs.identity(one, 'record', jobs.Place('fully_synthetic', 0, 1)),"
        "jobs.identity(one, 'extract', jobs.Place('fully_synthetic', 0, 1)))"
    )
    before = told(laboratory, "-c", code).split()
    plugin = laboratory / "site" / "their_metrics.py"
    plugin.write_text(PLUGIN.replace("2 * value", "value + value"), encoding="utf-8")
    after = told(laboratory, "-c", code).split()
    assert after[0] != before[0] and after[1] == before[1]  # its records run again, and no extraction
    plugin.write_text(PLUGIN.replace("helper", "twice"), encoding="utf-8")
    assert told(laboratory, "-c", code).split() == before  # a name is no reason


JUDGED = """
from collapselab.report import build
from collapselab.verdicts import Endpoint, StudyFacts

entry = {"metric": "doubled", "extractor": "identity", "set": "sampled", "fingerprint": "x"}
records = [
    {"study": "theirs", "arm": "loop", "seed": seed, "generation": t, "status": "ok", "composition": []}
    | {"fingerprints": {"x": {}}, "values": [entry | {"value": 0.8 ** t * (1 + 0.001 * seed)}]}
    for seed in range(4) for t in range(6)
]
facts = StudyFacts("theirs", {"loop": "a loop"}, Endpoint("doubled", "identity"), seeds=4, generations=5)
print(build(facts, records, figures=False)["verdicts.json"].decode())
"""
IDENTITIES = """
from collapselab import study
from collapselab.study import jobs

one = study.find("theirs")
for verb in ("record", "baseline", "report"):
    print(jobs.identity(one, verb, jobs.Place("fully_synthetic", 0, 1)))
"""


@pytest.mark.slow
def test_a_strangers_metric_is_judged_by_the_roles_that_it_states(laboratory):
    found = json.loads(told(laboratory, "-c", JUDGED))
    lost = found["lost_tails"]["loop"]
    assert lost["status"] == "collapse" and lost["sentence"].startswith("Doubled falls by 0.67")
    assert found["halving"]["loop"]["status"] == "forecast"
    before = told(laboratory, "-c", IDENTITIES).split()
    plugin = laboratory / "site" / "their_metrics.py"
    plugin.write_text(PLUGIN.replace(', roles=Roles(stands_for=("tails",), losable=True)', ""), encoding="utf-8")
    found = json.loads(told(laboratory, "-c", JUDGED))
    assert found["lost_tails"]["loop"]["sentence"] == "Not testable: no true_recall was measured."
    assert "halving" not in found
    after = told(laboratory, "-c", IDENTITIES).split()
    assert after[:2] == before[:2] and after[2] != before[2]  # the report is drawn again, and nothing measured


BROKEN = """
[collapselab.{group}]
absent = their_metrics:ABSENT
five = their_metrics:FIVE
function = their_metrics:helper
class = their_metrics:Nothing
module = their_metrics
none = their_metrics:NONE
"""
GROUPS = (
    *("metrics", "scores", "extractors", "families", "populations", "datasets", "selectors", "transforms", "guides"),
    *("adapters", "rewards", "samplers"),
)


@pytest.fixture
def cluttered(laboratory):
    """The laboratory, where the same package offers to each registry six entries that are none."""
    plugin, offered = laboratory / "site" / "their_metrics.py", next(laboratory.glob("site/*/entry_points.txt"))
    plugin.write_text(PLUGIN + "\nFIVE, NONE = 5, None\n\n\nclass Nothing:\n    pass\n", encoding="utf-8")
    text = offered.read_text(encoding="utf-8") + "".join(BROKEN.format(group=group) for group in GROUPS)
    text = text.replace("[collapselab.metrics]\nabsent", "absent")  # a group stands once
    offered.write_text(text, encoding="utf-8")
    return laboratory


@pytest.mark.parametrize(
    "words",
    ["validate theirs", "schema", "families", "select --help", "measure --help", "recipe theirs fully_synthetic 1"],
)
def test_what_is_broken_and_not_used_disturbs_nobody(cluttered, words):
    told(cluttered, "-m", "collapselab", *words.split())


def test_a_report_names_the_metrics_of_its_study(cluttered):
    code = "from collapselab import study; from collapselab.study import results; one = study.find('theirs')"
    assert told(cluttered, "-c", f"{code}; print(*results.facts(one).labels)").split() == [
        "frechet_distance",
        "doubled",
    ]


def test_entries_that_are_none_are_faults_with_their_lines(cluttered):
    study = STUDY.replace("[doubled, frechet_distance]", "[doubled, five, function, class, module, none, absent]")
    study = study.replace("[identity]", "[identity, five]").replace("{gaussian: {ddof: 0}}", "class")
    study = study.replace("regime: fully_synthetic}", "regime: fully_synthetic, adapt: five, transform: [module]}")
    (cluttered / "config" / "theirs.yaml").write_text(study, encoding="utf-8")
    said = refused(cluttered, "-m", "collapselab", "validate", "theirs")
    assert "theirs.yaml: 10 faults" in said and "Traceback" not in said
    assert "line 10: metrics.1: collapselab.metrics: 'five' of the package their-metrics: found 5 at " in said
    assert "allowed is an instance of Metric (collapselab.metrics.base)" in said
    assert "line 6: models.moments: collapselab.families: 'class' of the package their-metrics: found <class" in said
    assert "allowed is a class that is a Model (collapselab.models.base)" in said
    assert "metrics.6: collapselab.metrics: 'absent' of the package their-metrics cannot be loaded" in said


def refused(laboratory, *words):
    """What is said where it ends with 2."""
    with pytest.raises(AssertionError) as caught:
        told(laboratory, *words)
    return str(caught.value)


HIDDEN = {
    "handed on with a star": (
        "theirs:DOUBLED",
        {"theirs/__init__.py": "from .impl import *\n", "theirs/impl.py": PLUGIN},
    ),
    "in a namespace": ("theirs.impl:DOUBLED", {"theirs/impl.py": PLUGIN}),
    "of a class": ("theirs:Ours.DOUBLED", {"theirs.py": PLUGIN + "\n\nclass Ours:\n    DOUBLED = DOUBLED\n"}),
    "bound on the way": (
        "theirs:METRIC",
        {"theirs.py": PLUGIN.replace("DOUBLED =", "globals()['METRIC'] =")},
    ),
    "bound on the way, elsewhere": (
        "theirs:METRIC",
        {"theirs/__init__.py": "from . import impl\nglobals()['METRIC'] = impl.DOUBLED\n", "theirs/impl.py": PLUGIN},
    ),
}
HASHES = """
from collapselab.store.provenance import entries, source_hash

roots = [entries("metrics:METRICS", ["doubled"], field) for field in ("", "roles")]
print(*(source_hash(*one) for one in roots))
"""


@pytest.mark.parametrize("how", HIDDEN)
def test_an_entry_is_hashed_wherever_its_package_keeps_it(laboratory, how):
    place, files = HIDDEN[how]
    offered = next(laboratory.glob("site/*/entry_points.txt"))
    offered.write_text(f"[collapselab.metrics]\ndoubled = {place}\n", encoding="utf-8")

    def hashes(*change):
        for name, text in files.items():
            (laboratory / "site" / name).parent.mkdir(exist_ok=True)
            (laboratory / "site" / name).write_text(text.replace(*change) if change else text, encoding="utf-8")
        return told(laboratory, "-c", HASHES).split()

    before = hashes()
    assert hashes("2 * value", "value + value")[0] != before[0]
    assert hashes('stands_for=("tails",), ', "")[1] != before[1]
    assert hashes("Twice the mean of the fakes.", "Something.") == before == hashes()


def test_an_entry_without_any_source_is_refused_with_a_remedy(laboratory):
    (laboratory / "site" / "their_metrics.py").write_text("exec(open(__file__ + '.txt').read())\n", encoding="utf-8")
    (laboratory / "site" / "their_metrics.py.txt").write_text(PLUGIN, encoding="utf-8")
    bare = laboratory / "site" / "theirs.py"
    bare.write_text("from their_metrics import *\n", encoding="utf-8")
    offered = next(laboratory.glob("site/*/entry_points.txt"))
    offered.write_text("[collapselab.metrics]\ndoubled = theirs:DOUBLED\n", encoding="utf-8")
    said = refused(laboratory, "-c", HASHES)
    assert "ValueError: theirs:DOUBLED: its source cannot be read" in said and "let the entry point name" in said


UNSETTLED = """
def unsettled(k: int) -> int:
    raise KeyError("nothing of the kind")


def doubled(real, fake, *, k: Annotated[int, AfterValidator(unsettled)] = 3):
"""


def test_the_workflow_says_in_one_message_what_fails_as_it_is_read(laboratory):
    plugin = "from typing import Annotated\n\nfrom pydantic import AfterValidator\n" + PLUGIN
    plugin = plugin.replace("\ndef doubled(real, fake):\n", UNSETTLED)
    (laboratory / "site" / "their_metrics.py").write_text(plugin, encoding="utf-8")
    study = STUDY.replace("[doubled,", "[{doubled: {k: 4}},")
    (laboratory / "config" / "theirs.yaml").write_text(study, encoding="utf-8")
    for part in ("Snakefile", "workflow"):
        (laboratory / part).symlink_to(ROOT / part)
    said = refused(laboratory, "-m", "snakemake", "-n", "--config", "study=theirs")
    assert "config: KeyError('nothing of the kind')" in said and "Traceback" not in said
