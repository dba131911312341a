# The study, what names may stand in paths, and the input functions that carry the loop.

import json
import sys

from collapselab import config as studies
from collapselab.features import FEATURES
from collapselab.models import MODELS as FAMILIES
from collapselab.populations import POPULATIONS
from collapselab.provenance import module_of, source_hash

try:
    STUDY = studies.load(Path("config") / f"{config.get('study', 'quickstart')}.yaml")
except studies.BadStudy as fault:
    print(fault, file=sys.stderr)
    sys.exit(2)

ONE_OF_LINEAGES = "|".join(STUDY.lineages)
ONE_OF_ARMS = "|".join([*STUDY.lineages, *STUDY.bases])  # a base holds only the start that its arms share
ONE_OF_SEEDS = "|".join(str(seed) for seed in range(STUDY.file.seeds))
ONE_OF_GENERATIONS = "|".join(str(t) for t in range(STUDY.file.generations + 1))
POPULATION = STUDY.real_file("population.safetensors") if STUDY.file.data.population else None


wildcard_constraints:
    study=STUDY.name,
    real=STUDY.real,
    arm=ONE_OF_ARMS,
    seed=ONE_OF_SEEDS,
    generation=ONE_OF_GENERATIONS,
    extractor="|".join(STUDY.extractors),
    variant=r"(\.[0-9a-f]{8})?",


def hashed(*files):
    """Outputs: each file and its hash, which is written after it."""
    return [name for file in files for name in (file, f"{file}.sha256")]


def content(*files):
    """Inputs: only the hash counts, so that a checkout or a touched date replans nothing."""
    return [name for file in files for name in (ancient(file), f"{file}.sha256")]


def lineage(wildcards):
    """The arm, the seed and the generation of a job."""
    return wildcards.arm, int(wildcards.seed), int(wildcards.generation)


def cell(wildcards, noun):
    """A file of the job's own generation."""
    return STUDY.cell(*lineage(wildcards), noun)


def arm_of(wildcards):
    """The job's arm; of a base, the first arm that starts from it."""
    return STUDY.bases.get(wildcards.arm) or STUDY.lineages[wildcards.arm]


def family_module(model):
    """The module of a model's family, whose source its jobs depend on."""
    return module_of(FAMILIES[STUDY.family(model)])


def population_modules():
    """The module of the known truth, if there is one."""
    name = STUDY.file.data.population
    return [module_of(POPULATIONS[name])] if name else []


def truth_modules(names):
    """The module of the known truth, if any of these extractors looks through it."""
    return population_modules() if any(FEATURES[name].of_population or FEATURES[name].of_law for name in names) else []


def as_json(value):
    """An option as a rule hands it to its job."""
    return value.model_dump_json() if hasattr(value, "model_dump_json") else json.dumps(value, sort_keys=True)


onerror:
    shell("collapselab explain {log:q} >&2 || true")
