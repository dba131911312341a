"""What a source hash sees: the definitions that are reached from its roots, and nothing else."""

import ast
import json
import subprocess
import sys
import time

import pytest

from collapselab.features import FEATURES
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.populations import POPULATIONS
from collapselab.select import SELECTORS
from collapselab.store import provenance
from collapselab.store.provenance import PACKAGE, earlier, entries, source, source_hash, sources

REGISTRIES = {
    "metrics:METRICS": METRICS,
    "features:FEATURES": FEATURES,
    "models:MODELS": MODELS,
    "populations:POPULATIONS": POPULATIONS,
    "select:SELECTORS": SELECTORS,
}
MAIN = """
\"\"\"A module.\"\"\"

import numpy as np

from .helper import LIMIT, twice
from . import helper

SCALE = 2


def root(x, *, width=SCALE):
    \"\"\"A docstring.\"\"\"
    return helper.thrice(twice(x)) + np.sum(x) + width + LIMIT


def other(x):
    return x
"""
HELPER = """
LIMIT = 3


def twice(x):
    return 2 * x


def thrice(x):
    return 3 * x


def unused(x):
    return 4 * x
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """toy(main=..., helper=...): writes a package of two modules; the hash of its function ``root``."""
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.setitem(provenance.FOLDERS, "toy", folder)

    def write(main=MAIN, helper=HELPER, root="toy.main:root", **others):
        for name, text in {"main": main, "helper": helper, **others}.items():
            path = folder / name.replace("__", "/")
            path = path if path.suffix else path.with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        forget()
        return source_hash(root)

    yield write
    forget()


def forget():
    for found in (source_hash, provenance._own_hash, provenance._memory, source._source, source._path, source.parts_of):
        found.cache_clear()


def main(old, new):
    assert MAIN.count(old) >= 1, old
    return MAIN.replace(old, new)


def helper(old, new):
    assert HELPER.count(old) >= 1, old
    return HELPER.replace(old, new)


@pytest.mark.parametrize(
    "edit",
    [
        {"main": main("return helper", "return 1 + helper")},
        {"main": main("SCALE = 2", "SCALE = 4")},
        {"main": main("import numpy as np", "import cupy as np")},
        {"main": main("np.sum", "np.max")},
        {"helper": helper("LIMIT = 3", "LIMIT = 3.0")},
        {"helper": helper("return 2 * x", "return x + x")},
        {"helper": helper("return 3 * x", "return 3 * x + 0")},
        {"helper": HELPER + "\n\nLIMIT += 1\n"},
        {"helper": HELPER + "\n\nprint(LIMIT)\n"},  # what runs at the import of a module that is used
        {"helper": HELPER, "helper.txt": "a file of data beside the module"},
        {"helper": helper("def twice(x):", "def twice(x, y=None):")},
        {"helper": helper("def twice(x):", "@staticmethod\ndef twice(x):")},
    ],
    ids=lambda edit: next(iter(edit)),
)
def test_what_is_reached_counts(toy, edit):
    before = toy()
    assert toy(**edit) != before


@pytest.mark.parametrize(
    "edit",
    [
        {"main": main("A docstring.", "Another one.")},
        {"main": main("A module.", "Another one.")},
        {"main": main("SCALE = 2", "SCALE = 2  # a comment")},
        {"main": main("SCALE = 2", "SCALE = (\n    2\n)")},
        {"main": main("    return x\n", "    return x + 1\n")},  # of a function that nobody calls
        {"helper": helper("return 4 * x", "return 5 * x")},
        {"main": main("SCALE", "WIDTH")},  # renamed, with all that name it
        {"main": main("twice", "double"), "helper": helper("twice", "double")},
        {"main": main("import numpy as np", "import numpy").replace("np.sum", "numpy.sum")},
        {"main": main("from .helper import LIMIT, twice", "from toy.helper import LIMIT, twice")},
        {
            "main": main(
                "from .helper import LIMIT, twice", "from .helper import LIMIT\nfrom .helper import twice as twice"
            )
        },
        {
            "main": main("    return helper", "    from .helper import thrice\n\n    return helper").replace(
                "helper.thrice", "thrice"
            )
        },
        {"main": MAIN + "\n\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import torch\n"},
        {
            "main": main("from .helper import LIMIT, twice", "from .moved import LIMIT\nfrom .helper import twice"),
            "helper": helper("LIMIT = 3\n", ""),
            "moved": "LIMIT = 3\n",
        },
        {
            "main": main("from .helper import LIMIT, twice", "from .face import LIMIT, twice"),
            "face__x": "",
            "face": "from .helper import LIMIT as LIMIT\nfrom .helper import twice as twice\n",
        },
    ],
    ids=range(15),
)
def test_what_does_not_run_and_where_it_stands_counts_for_nothing(toy, edit):
    before = toy()
    assert toy(**edit) == before


@pytest.mark.parametrize(
    ("code", "reaches"),
    [
        ("def root(x):\n    twice = x\n    return twice", False),  # a variable of the same name
        ("def root(twice):\n    return twice", False),
        ("def root(x):\n    return [twice for twice in x]", False),
        ("def root(x):\n    return [twice for twice in x], twice", True),
        ("def root(x):\n    return [twice for twice in twice]", True),
        ("def root(x, twice=twice):\n    return x", True),
        ("def root(x):\n    def inner():\n        return twice\n    return inner", True),
        ("def root(x):\n    twice = 1\n    def inner():\n        return twice\n    return inner", False),
        ("class root:\n    twice: int = 1", False),  # an attribute
        ("class root:\n    twice: int = 1\n    def method(self):\n        return twice", True),
        ("class root:\n    def method(self):\n        return self.twice", False),
        ("def root(x):\n    global twice\n    twice = x", True),
        ("def root(x):\n    return lambda twice: twice", False),
        ("def root(x):\n    return lambda: twice", True),
        ("def root(x):\n    if (twice := x):\n        return twice", False),
        ("def root(x):\n    with x as twice:\n        return twice", False),
        ("def root(x):\n    try:\n        return x\n    except ValueError as twice:\n        return twice", False),
        ("def root(x):\n    match x:\n        case [twice, *_]:\n            return twice", False),
        ("def root(x):\n    return helper", True),  # a module that is handed on whole
        ("def root(x):\n    return getattr(helper, x)", True),
        ("import toy.helper as h\n\ndef root(x):\n    return h.twice(x)", True),
        ("import toy.helper\n\ndef root(x):\n    return toy.helper.twice(x)", True),
        ("def root(x):\n    import toy.helper as h\n    return h.twice(x)", True),
        (
            "try:\n    from .helper import twice as t\nexcept OSError:\n    t = 0\n\ndef root(x):\n    return t(x)",
            True,
        ),
        ("if True:\n    t = twice\nelse:\n    t = None\n\ndef root(x):\n    return t(x)", True),
        ("A, B = twice, 1\n\ndef root(x):\n    return B", True),
        ("def root(x) -> twice:\n    return x", True),
        ("root = {'a': twice}", True),
        ("@twice\nclass root:\n    pass", True),
        ("class root(twice):\n    pass", True),
        ("def root(x):\n    return root(x - 1)", False),
        ("def even(x):\n    return root(x)\n\ndef root(x):\n    return even(twice(x))", True),
    ],
)
def test_a_name_means_what_it_means_in_its_place(toy, code, reaches):
    text = f"from . import helper\nfrom .helper import twice\n\n{code}\n"
    before = toy(main=text)
    assert (toy(main=text, helper=helper("return 2 * x", "return x + x")) != before) == reaches


def test_a_description_of_an_option_is_documentation_and_its_range_is_not(toy):
    text = "from pydantic import Field\n\nroot = Field(1, ge=0, description='how many')\n"
    before = toy(main=text)
    assert toy(main=text.replace("how many", "the number")) == before
    assert toy(main=text.replace("ge=0", "ge=1")) != before


def test_what_is_quick_to_try_makes_nobody_train_again(toy):
    smallest = "    @classmethod\n    def smallest(cls, kind):\n        return {}\n\n"
    text = f"class Options:\n    pass\n\n\nclass root(Options):\n{smallest}    def other(self):\n        return {{}}\n"
    before = toy(main=text)
    assert toy(main=text.replace("return {}", "return {1: 2}", 1)) == before
    assert toy(main=text.replace(smallest, "")) == before
    # A method of that name that somebody calls on an instance, or on what is no options, counts.
    for other in (text.replace("    @classmethod\n", ""), text.replace("root(Options)", "root")):
        assert toy(main=other) != toy(main=other.replace("return {}", "return {1: 2}", 1))
    assert toy(main=text.replace("other(self):\n        return {}", "other(self):\n        return {1: 2}")) != before


REGISTRY = "from .helper import thrice, twice\n\nMETRICS = {'two': (twice, 1), 'three': (thrice, 1)}\n"
ASKS = "from .registry import METRICS\n\n\ndef root(name):\n    return METRICS[name]\n"


def test_a_registry_is_a_boundary_of_which_the_entries_in_use_are_named(toy):
    two = "toy.registry:METRICS[two]"
    for root, reaches in (("toy.main:root", set()), (two, {"two"}), ("toy.registry:METRICS[three]", {"three"})):
        before = toy(main=ASKS, registry=REGISTRY, root=root)
        changes = {
            "two": toy(main=ASKS, registry=REGISTRY, root=root, helper=helper("return 2 * x", "return x + x")),
            "three": toy(main=ASKS, registry=REGISTRY, root=root, helper=helper("return 3 * x", "return x + 2 * x")),
        }
        assert {name for name, after in changes.items() if after != before} == reaches
    before = toy(registry=REGISTRY, root=two)
    assert toy(registry=REGISTRY.replace("(twice, 1)", "(twice, 2)"), root=two) != before  # what it says of itself
    assert toy(registry=REGISTRY.replace("{", "{'new': (twice, 3), "), root=two) == before


def test_another_layout_of_stored_files_changes_everything(toy, monkeypatch):
    before = toy()
    monkeypatch.setattr(provenance, "FORMAT", provenance.FORMAT + 1)
    assert toy() != before


# -- what is remembered ------------------------------------------------------------------------------------------------

ROOTS = ("collapselab.core.seeds:seed_of",)


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder for what is remembered, of a package that is not this one."""
    monkeypatch.setattr(provenance, "_place", [])
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setitem(provenance.FOLDERS, PACKAGE, tmp_path / "package")
    return provenance.Memory, tmp_path / "workflow" / "collapselab" / "hashes.json"


def test_what_was_found_is_known_to_the_next_process_until_a_file_changes(memory, tmp_path):
    kind, path = memory
    first = kind(path)
    assert first.get(ROOTS) is None
    first.keep(ROOTS, "abc")
    first.write()
    assert not path.exists()  # where no workflow runs, nothing is left
    path.parent.parent.mkdir()
    first.write()
    assert kind(path).get(ROOTS) == "abc"
    (tmp_path / "package" / "module.py").write_text("x = 2\n", encoding="utf-8")
    assert kind(path).get(ROOTS) is None
    (tmp_path / "package" / "module.py").write_text("x = 1\n", encoding="utf-8")
    assert kind(path).get(ROOTS) == "abc"
    for name in ("map.txt", "more.py"):  # a module may read what lies beside it
        (tmp_path / "package" / name).write_text("", encoding="utf-8")
        assert kind(path).get(ROOTS) is None
        (tmp_path / "package" / name).unlink()
    assert kind(path).get(ROOTS) == "abc"


def test_of_two_processes_at_once_each_leaves_what_it_found(memory):
    kind, path = memory
    path.parent.parent.mkdir()
    one, other = kind(path), kind(path)
    one.keep(("one",), "abc")
    other.keep(("other",), "def")
    one.write()
    other.write()
    assert kind(path).found == {"one": "abc", "other": "def"}
    path.unlink()
    path.mkdir()  # whatever stands in the way, nobody's work ends for it
    one.write()
    assert kind(path).found == {}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"source": 1}', '{"source": "SOURCE", "found": 3}'])
def test_what_somebody_else_has_written_is_not_believed(memory, text):
    kind, path = memory
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("SOURCE", kind(path).source), encoding="utf-8")
    assert kind(path).get(ROOTS) is None


def test_what_is_remembered_is_what_would_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_place", [])
    (tmp_path / "snakemake").mkdir()
    forget()
    fresh = source_hash(*ROOTS), entries("metrics:METRICS", ["recall"])
    for _ in range(2):
        provenance.remember_in(tmp_path / "snakemake" / "collapselab")
        forget()
        assert (source_hash(*ROOTS), entries("metrics:METRICS", ["recall"])) == fresh
        provenance._memory().write()
    said = json.loads((tmp_path / "snakemake" / "collapselab" / "hashes.json").read_text(encoding="utf-8"))
    assert said["found"] == {ROOTS[0]: fresh[0], "collapselab.metrics:METRICS|recall|": fresh[1][0]}
    provenance._place.clear()
    forget()


def test_what_hangs_on_another_package_is_found_anew(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_place", [])
    provenance.remember_in(tmp_path)
    before = toy()
    assert not provenance._memory().found and toy(helper=HELPER.replace("2 * x", "5 * x")) != before
    provenance._place.clear()
    forget()


def test_a_root_that_is_not_there_is_an_error(toy):
    toy()
    for root, said in (
        ("toy.main:rot", "toy.main defines no rot"),
        ("toy.mian:root", "no module toy.mian"),
        ("nobodys:root", "no package 'nobodys' is installed"),
        ("collapselab.metrics:METRICS[recal]", "has no entry 'recal'"),
    ):
        with pytest.raises(LookupError, match=said):
            source_hash(root)


def test_the_definitions_behind_a_hash_have_hashes_of_their_own(toy):
    toy()
    before = sources("toy.main:root")
    assert set(before) == {
        f"toy.{name}" for name in ("main:root", "main:SCALE", "helper:LIMIT", "helper:twice", "helper:thrice")
    }
    toy(helper=helper("return 2 * x", "return x + x"))
    after = sources("toy.main:root")
    assert {name for name in after if after[name] != before[name]} == {"toy.helper:twice"}


@pytest.mark.parametrize("registry", REGISTRIES)
def test_every_entry_has_a_hash_of_its_own(registry):
    hashes = {name: source_hash(*entries(registry, [name])) for name in REGISTRIES[registry]}
    assert len(set(hashes.values())) == len(hashes)


def test_the_training_of_one_family_is_reached_and_that_of_another_is_not():
    reached = sources(*entries("models:MODELS", ["diffusion"]))
    modules = {name.partition(":")[0] for name in reached}
    for part in ("training", "sampling", "networks", "parameterisations"):
        assert f"{PACKAGE}.models.diffusion.{part}" in modules  # imported where they are used
    assert not any(".stylegan2" in module or ".metrics" in module for module in modules)
    edges = {f"{PACKAGE}.{edge}" for edge in source.EDGES}
    assert not any(module in edges for module in modules)


def test_of_a_study_all_but_its_results_is_outside():
    folder = provenance.FOLDERS[PACKAGE] / "study"
    modules = {".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in folder.rglob("*.py")}
    outside = {module for module in modules if source._is_edge(f"{PACKAGE}.{module}")}
    assert modules - outside == {"study.results"} and len(outside) > 15
    reached = {name.partition(":")[0] for name in sources(f"{PACKAGE}.study.results:facts")}
    assert {module for module in reached if ".study." in module} == {f"{PACKAGE}.study.results"}


def test_an_entry_of_a_test_is_what_it_consists_of(monkeypatch):
    monkeypatch.setitem(SELECTORS, "ours", SELECTORS["nobody"])
    reached = sources(*entries("select:SELECTORS", ["ours"]))
    assert any(name.endswith(":nobody") for name in reached)


def test_reading_the_source_imports_none_of_it():
    code = (
        "import sys; from collapselab.store.provenance import *; source_hash(*entries('models:MODELS', ['diffusion']));"
    )
    code += "print([name for name in ('torch', 'pandas', 'scipy', 'collapselab.models') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_hashes_of_a_plan_are_computed_once():
    source_hash(*entries("models:MODELS", ["diffusion"]))
    begin = time.process_time()
    for _ in range(10_000):
        source_hash(*entries("models:MODELS", ["diffusion"]))
    assert source_hash.cache_info().hits >= 10_000
    assert time.process_time() > begin


def test_seeds_that_run_together_hang_on_no_other_family_and_on_metrics_by_name_alone():
    reached = sources(f"{PACKAGE}.together.loop:run")
    modules = {name.partition(":")[0] for name in reached}
    assert f"{PACKAGE}.models.gaussian" in modules
    others = ("diffusion", "stylegan2", "vae", "flow", "gan")
    assert not modules & {f"{PACKAGE}.metrics", *(f"{PACKAGE}.models.{family}.family" for family in others)}
    forms = {f"{PACKAGE}.metrics.roles:Stacked", f"{PACKAGE}.metrics.stacks:Laws"}
    assert {name for name in reached if name.startswith(f"{PACKAGE}.metrics.")} == forms
    stacked = sources(*entries("metrics:METRICS", ["variance_ratio"], "stacked"))
    assert f"{PACKAGE}.metrics.stacks:variance_ratio" in stacked and f"{PACKAGE}.metrics.stacks:_over" in stacked
    others = (f"{PACKAGE}.metrics.stacks:mean_drift", f"{PACKAGE}.metrics.variance:variance_ratio")
    assert not stacked.keys() & set(others)


ENTRY = "from collapselab.metrics import Metric, Roles\n\nroot = Metric(len, 'length', None)\n"


def test_a_field_that_few_ask_for_counts_for_those_alone(toy):
    """What a report makes of a metric: its numbers do not hang on that."""
    texts = [ENTRY, ENTRY.replace("None)", "None, roles=Roles(losable=True))")]
    texts += [texts[1].replace("losable=True", "rest=True"), texts[0] + "\nTAILS = Roles(stands_for=('tails',))\n"]
    texts[3] = texts[3].replace("None)", "None, roles=TAILS)")
    assert len({toy(main=text) for text in texts}) == 1
    assert len({toy(main=text, root="toy.main:root/roles") for text in texts}) == len(texts)
    assert len({toy(main=text, root="toy.main:root/stacked") for text in texts}) == 1
    assert toy(main=ENTRY.replace("None)", "'lower')")) != toy(main=ENTRY)
    toy(main=ENTRY, root="toy.main:root/roles")
    assert f"{PACKAGE}.metrics.roles:Roles" in sources("toy.main:root/roles")  # what is not told has a default there
    assert f"{PACKAGE}.metrics.roles:Roles" not in sources("toy.main:root")
    assert entries("metrics:METRICS", ["recall"], "roles") == [f"{PACKAGE}.metrics:METRICS[recall]/roles"]


# -- what counts as it once was ----------------------------------------------------------------------------------------


def literal(module, name):
    """What an entry of a registry is now."""
    registry, _, entry = name.removesuffix("]").partition("[")
    return source.literal_of(source.Definition(f"{PACKAGE}.{module}", registry), entry)


def test_an_entry_counts_as_it_once_was_until_it_is_changed_again(toy, monkeypatch):
    """It reaches what its earlier text reaches, and no more."""
    two = f"{PACKAGE}.select:SELECTORS[weighted]"
    with_fault = source_hash(two)
    assert not any(name.endswith(":fault") for name in sources(two))
    now, text = earlier.texts()["select"]["SELECTORS[weighted]"]
    monkeypatch.setitem(earlier.texts()["select"], "SELECTORS[weighted]", ("0" * len(now), text))
    forget()
    assert source_hash(two) != with_fault and any(name.endswith("weighted:fault") for name in sources(two))


def test_every_earlier_text_is_of_a_definition_as_it_is_now():
    """Else it would count no more, and nobody would notice until all models are trained again."""
    for module, said in earlier.texts().items():
        path, _ = source._path(f"{PACKAGE}.{module}")
        bound = {}
        for one in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = [one] if hasattr(one, "name") else getattr(one, "targets", [getattr(one, "target", one)])
            bound |= {getattr(target, "name", getattr(target, "id", "")): [one] for target in targets}
        for name, (now, text) in said.items():
            found = earlier.hashed([literal(module, name)] if name.endswith("]") else bound[name])
            assert found == now, f"{module}:{name} is {found} now: say so in earlier.txt, or take it out"
            assert earlier.hashed(ast.parse(text).body) != now, f"{module}:{name}: its earlier text is its present one"
