# Compose and train, in one process: nobody wants the table between them remade alone.


def draw_arguments(wildcards):
    """Where the rows that are made for a training set come from."""
    models = STUDY.resampled(*lineage(wildcards))
    arms = {name.partition(":")[0] for name in models}
    about = {
        arm: {"stream": STUDY.lineages[arm].stream, "sampling_bias": STUDY.lineages[arm].sampling_bias} for arm in arms
    }
    flags = [f"--model {name}={path}" for name, path in models.items()]
    flags += [f"--population {POPULATION}"] if POPULATION else []
    return " ".join(flags) + f" --about '{as_json(about)}'"


def drawn_from(wildcards):
    """The population, or the ancestors' models that are asked again."""
    models = STUDY.resampled(*lineage(wildcards)).values()
    return content(*models, *([POPULATION] if POPULATION else []))


def recipe(wildcards):
    """What the regime comes to at this generation."""
    return as_json(STUDY.recipe(wildcards.arm, int(wildcards.generation)))


def train_arguments(wildcards):
    """What a training is told beside its training set."""
    arm, seed, generation = lineage(wildcards)
    model = arm_of(wildcards).model
    budget, start = STUDY.images_seen(arm, generation), STUDY.init_file(arm, seed, generation)
    flags = [f"--family {STUDY.family(model)}", f"--options '{as_json(STUDY.model_options(model))}'"]
    flags += [f"--images-seen {budget}"] if budget else []
    flags += [f"--init {start}"] if start else []
    return " ".join(flags)


def compose_arguments(wildcards):
    """Where the rows of a training set lie."""
    arm, seed, generation = lineage(wildcards)
    drawn = STUDY.needs_drawing(arm, generation)
    flags = [f"--sources '{as_json(STUDY.sources(arm, seed, generation))}'"]
    flags += [f"--drawn {cell(wildcards, 'drawn.safetensors')}"] if drawn else []
    return " ".join(flags)


def train_source(wildcards):
    """The hash of the source that a training depends on: of model families only the arm's own."""
    return source_hash("compose", f"models.{STUDY.family(arm_of(wildcards).model)}")


rule draw:
    input:
        drawn_from,
    output:
        hashed("results/{study}/{arm}/seed{seed}/gen{generation}/drawn.safetensors"),
    params:
        source=train_source,
        recipe=recipe,
        arguments=draw_arguments,
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/draw.log",
    conda:
        "../../environment.yml"
    group:
        "generation_{generation}"
    shell:
        "collapselab draw --recipe {params.recipe:q} {params.arguments} --study-seed {STUDY.file.seed}"
        " --seed {wildcards.seed} --out {output[0]} 2> {log}"


rule train:
    input:
        ingredients,
    output:
        training=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/training.parquet"),
        model=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/model.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/train.cost.json"),
    params:
        source=train_source,
        recipe=recipe,
        compose=compose_arguments,
        train=train_arguments,
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/train.log",
    conda:
        "../../environment.yml"
    group:
        "generation_{generation}"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "collapselab --cost {output.cost[0]} compose --recipe {params.recipe:q} {params.compose}"
        " --study-seed {STUDY.file.seed} --seed {wildcards.seed} --out {output.training[0]}"
        " + train --training {output.training[0]} {params.train} --study-seed {STUDY.file.seed}"
        " --seed {wildcards.seed} --generation {wildcards.generation} --mark-diverged --out {output.model[0]} 2> {log}"
