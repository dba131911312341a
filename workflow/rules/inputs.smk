# What a job reads, as far as it depends on the arm, the generation or the study.

PARTS = ("population", "held_out", "train") if POPULATION else tuple(STUDY.file.data.split.parts())
LOOK_THROUGH_MODELS = [name for name in STUDY.measured_in if FEATURES[name].of_model]
REFERENCES = [STUDY.extractor_file("features", name) for name in STUDY.measured_in if not FEATURES[name].of_model]
WEIGHTS = [STUDY.weights(name) for name in STUDY.trained_extractors]
TOGETHER = STUDY.file.together  # then no file is of one cell, and none of real data
CELLS = [] if TOGETHER else list(STUDY.cells())
REAL = [] if TOGETHER else [*(STUDY.real_file(f"{part}.safetensors") for part in PARTS), *WEIGHTS, *REFERENCES]
TABLES = [STUDY.table(arm, noun) for noun in ("parquet", "cost.json") for arm in STUDY.lineages] if TOGETHER else []
RECORDS = [*(STUDY.cell(*one, "metrics.json") for one in CELLS), *TABLES]
GRIDS = [STUDY.cell(*one, "grid.safetensors") for one in CELLS]
MODELS = list(dict.fromkeys(STUDY.cell(*one, "model.safetensors") for one in CELLS))
BASELINE = [] if TOGETHER else [STUDY.report_file("baseline.json")]
WRITTEN = (
    *("report.html", "metrics.csv", "summary.csv", "curves.csv", "primary.csv"),
    *("summary.json", "verdicts.json"),
)
REPORTED = (*([] if TOGETHER else ["baseline.json"]), *WRITTEN, "tracked.json")
NOUNS = (
    *("training.parquet", "model.safetensors", "train.cost.json"),
    *("samples.safetensors", "grid.safetensors", "kept.parquet", "sample.cost.json"),
    *("features.safetensors", "metrics.json", "measure.cost.json"),
)


def needs_gpu(extractor):
    """Whether an extractor looks with a network, its own or the arm's model."""
    return FEATURES[extractor].uses_torch or (FEATURES[extractor].of_model and STUDY.kind == "images")


def whole(arm, seed, generation):
    """All files of one generation: asked for one by one, since a file that is missing in the middle is no reason to
    Snakemake to make it again, as long as what was made from it is there.
    """
    nouns = [*NOUNS, *(["drawn.safetensors"] if STUDY.needs_drawing(arm, generation) else [])]
    nouns += ["raw.safetensors", "sample_raw.cost.json"] if "raw" in STUDY.measured_sets(arm) else []
    return [STUDY.cell(arm, seed, generation, noun) for noun in nouns]


def weights(wildcards):
    """The weights of the study's trained extractors, or of the one in the path."""
    names = [wildcards.extractor] if hasattr(wildcards, "extractor") else STUDY.measured_in
    trained = [STUDY.weights(name) for name in names if name in STUDY.trained_extractors]
    return content(*trained, *known_truth(names))


def known_truth(names):
    """The population, if any of these extractors looks through it."""
    return [POPULATION] if truth_modules(names) else []


WHOLE = [*TABLES, *dict.fromkeys(file for one in CELLS for file in whole(*one))]


def drawn_from(wildcards):
    """The population, or the ancestors' models that are asked again."""
    models = STUDY.resampled(*lineage(wildcards)).values()
    return content(*models, *([POPULATION] if POPULATION else []))


def eaten(arm, seed, generation):
    """What a training set is made of: stored sample sets, and rows that are drawn for it."""
    sources = STUDY.sources(arm, seed, generation)
    files = [source[key] for source in sources for key in ("samples", "kept") if key in source]
    if STUDY.needs_drawing(arm, generation):
        files.append(STUDY.cell(arm, seed, generation, "drawn.safetensors"))
    return content(*dict.fromkeys(files))


def ingredients(wildcards):
    """All that a training needs; nothing can make a generation 0 outside its base."""
    arm, seed, generation = lineage(wildcards)
    if (generation == 0) != (arm in STUDY.bases):
        home = STUDY.lineages[arm].base if arm in STUDY.lineages else "its arms"
        return f"(generation {generation} of {arm} is trained in {home})"
    start = STUDY.init_file(arm, seed, generation)
    beside = [*([start] if start else []), *STUDY.chosen_by(arm, seed, generation).values()]
    return eaten(arm, seed, generation) + content(*dict.fromkeys(beside))


def model(wildcards):
    """The model of this generation; that of generation 0 lies in the arm's base."""
    return content(cell(wildcards, "model.safetensors"))


def seen(wildcards):
    """What the arm's selector may look at beside the samples: the training split, through an extractor."""
    reads = STUDY.read_by(wildcards.arm)
    if not reads:
        return []
    weights = [STUDY.weights(reads)] if reads in STUDY.trained_extractors else []
    return content(STUDY.real_file("train.safetensors"), *weights, *known_truth([reads]))


def looked_through(wildcards):
    """The generation's model and the real data that some extractors see with it."""
    parts = [STUDY.real_file(f"{part}.safetensors") for part in ("held_out", "train")] if LOOK_THROUGH_MODELS else []
    own = any(FEATURES[name].of_model or FEATURES[name].of_law for name in STUDY.measured_in)
    return content(cell(wildcards, "model.safetensors"), *parts) if own else []


def measured(wildcards):
    """The sets of samples that are measured apart."""
    nouns = {"sampled": "samples.safetensors", "raw": "raw.safetensors"}
    return {which: cell(wildcards, nouns[which]) for which in STUDY.measured_sets(wildcards.arm)}


def measured_files(wildcards):
    """Their files."""
    return content(*measured(wildcards).values())


def training(wildcards):
    """The training set of this generation."""
    return content(cell(wildcards, "training.parquet"))


def training_sources(wildcards):
    """What the training set refers to; that of generation 0 is its base's."""
    arm, seed, generation = lineage(wildcards)
    return eaten(arm if generation else STUDY.lineages[arm].base, seed, generation)
