# What a job is told. A job reads no study file, which may have changed since the plan: whatever it depends on stands
# under the params of its rule, where a change is seen.

from shlex import quote

REFERENCE_FLAGS = " ".join(f"--reference {file}" for file in REFERENCES)
POPULATION_FLAG = f"--population {POPULATION}" if POPULATION else ""


def extractor_flags(names, through=""):
    """Extractors as arguments: with their weights, or the model or the known truth that some look through."""
    paths = {name: looks_with(name, through) for name in names}
    return " ".join(f"--extractor {quote(f'{name}={path}') if path else name}" for name, path in paths.items())


def looks_with(name, model):
    """The file that an extractor looks with; what describes laws looks at the known truth where there is no model."""
    extractor = FEATURES[name]
    if extractor.of_population or (extractor.of_law and not model):
        return POPULATION
    return model if extractor.of_model or extractor.of_law else STUDY.weights(name)


def extracting_flags(names, through=""):
    """The same with their options, as extract is told them."""
    options = {name: said for name in names if (said := STUDY.extractor_options(name))}
    return f"{extractor_flags(names, through)} --options {quote(as_json(options))}"


def extractor_flag(wildcards):
    """The extractor in the path as an argument."""
    return extracting_flags([wildcards.extractor])


def published(names):
    """The hashes of published weights, which lie outside the study and could change there."""
    return {name: STUDY.published_weights(name) for name in names if FEATURES[name].published}


def learn_options(wildcards):
    """What an extractor's training is told."""
    return as_json(STUDY.extractor_options(wildcards.extractor))


def measuring_extractors(wildcards):
    """The extractors that samples are measured in, and the real data that some see with the generation's model."""
    seen = " ".join(f"--real {part}={STUDY.real_file(f'{part}.safetensors')}" for part in ("held_out", "train"))
    flags = extracting_flags(STUDY.measured_in, cell(wildcards, "model.safetensors"))
    return f"{flags} {seen}" if LOOK_THROUGH_MODELS else flags


def recipe(wildcards):
    """What the regime comes to at this generation."""
    return as_json(STUDY.recipe(wildcards.arm, int(wildcards.generation)))


def draw_arguments(wildcards):
    """Where the rows that are made for a training set come from."""
    models, about = STUDY.resampled(*lineage(wildcards)), {}
    for name in models:
        arm, _, generation = name.partition(":")
        own = STUDY.lineages[arm]
        about[name] = {"stream": own.stream, "sampling_bias": studies.at(own.sampling_bias, int(generation))}
    flags = [f"--model {name}={path}" for name, path in models.items()]
    return " ".join([*flags, POPULATION_FLAG, f"--about {quote(as_json(about))}"])


def draw_source(wildcards):
    """The hash of the source that a draw depends on: the families that are asked."""
    arms = {name.partition(":")[0] for name in STUDY.resampled(*lineage(wildcards))}
    families = {family_module(STUDY.lineages[arm].model) for arm in arms}
    return source_hash("compose", *sorted(families), *population_modules())


def compose_arguments(wildcards):
    """Where the rows of a training set lie."""
    arm, seed, generation = lineage(wildcards)
    drawn = STUDY.needs_drawing(arm, generation)
    flags = [f"--sources {quote(as_json(STUDY.sources(arm, seed, generation)))}"]
    flags += [f"--drawn {cell(wildcards, 'drawn.safetensors')}"] if drawn else []
    return " ".join(flags)


def train_arguments(wildcards):
    """What a training is told beside its training set."""
    arm, seed, generation = lineage(wildcards)
    model = arm_of(wildcards).model
    budget, start = STUDY.images_seen(arm, generation), STUDY.init_file(arm, seed, generation)
    flags = [f"--family {STUDY.family(model)} --options {quote(as_json(STUDY.model_options(model)))}"]
    flags += [f"--images-seen {budget}"] if budget is not None else []
    flags += [f"--init {quote(start)}"] if start else []
    chosen = STUDY.chosen_by(arm, seed, generation)
    flags += [f"--validation {chosen['validation']}"] if "validation" in chosen else []
    flags += [f"--chosen-by {chosen['model']}"] if "model" in chosen else []
    return " ".join(flags)


def train_source(wildcards):
    """The hash of the source that a training depends on: of model families only the arm's own."""
    return source_hash("compose", family_module(arm_of(wildcards).model))


def replicated_arm(wildcards):
    """All that the seeds of an arm need."""
    return as_json(STUDY.replicated(wildcards.arm))


def replicate_source(wildcards):
    """The hash of the source that all seeds of an arm depend on."""
    family = family_module(STUDY.lineages[wildcards.arm].model)
    return source_hash("replicates", family, *population_modules())


def sampled_arm(wildcards):
    """How the arm samples: its bias at this generation, and its random stream."""
    arm = STUDY.lineages[wildcards.arm]
    bias = studies.at(arm.sampling_bias, int(wildcards.generation))
    return f"--sampling-bias {bias} --stream {arm.stream}"


def raw_arm(wildcards):
    """The same arm without its bias."""
    return f"--stream {STUDY.lineages[wildcards.arm].stream}"


def select_arguments(wildcards):
    """The arm's selector, and what it may look at."""
    arm = STUDY.lineages[wildcards.arm]
    flags = [f"--selector {arm.selector} --options {quote(as_json(arm.select_options))}"]
    reads = STUDY.read_by(wildcards.arm)
    flags += [extractor_flags([reads]), f"--train {STUDY.real_file('train.safetensors')}"] if reads else []
    return " ".join(flags)


def sample_source(wildcards):
    """The hash of the source that sampling and selecting depend on."""
    reads = STUDY.read_by(wildcards.arm)
    seen = ["features", *truth_modules([reads])] if reads else []
    return source_hash(family_module(STUDY.lineages[wildcards.arm].model), "select", "guidance", *seen)


def measured_flags(wildcards):
    """The sets of samples as arguments."""
    return " ".join(f"--samples {which}={path}" for which, path in measured(wildcards).items())


def record_of(wildcards):
    """Whose record it is."""
    arm, seed, generation = lineage(wildcards)
    return as_json({"study": STUDY.name, "arm": arm, "seed": seed, "generation": generation})
