# Compose and train, in one process: nobody wants the table between them remade alone.


rule draw:
    input:
        drawn_from,
    output:
        drawn=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/drawn.safetensors"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/draw.log",
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    params:
        source=draw_source,
        recipe=recipe,
        arguments=draw_arguments,
        study_seed=STUDY.file.seed,
    shell:
        "collapselab draw --recipe {params.recipe:q} {params.arguments} --study-seed {params.study_seed}"
        " --seed {wildcards.seed} --out {output.drawn[0]} 2> {log}"


rule train:
    input:
        ingredients,
    output:
        training=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/training.parquet"),
        model=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/model.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/train.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/train.log",
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=train_source,
        recipe=recipe,
        compose=compose_arguments,
        train=train_arguments,
        study_seed=STUDY.file.seed,
    shell:
        "collapselab --cost {output.cost[0]} compose --recipe {params.recipe:q} {params.compose}"
        " --study-seed {params.study_seed} --seed {wildcards.seed} --out {output.training[0]} +"
        " train --training {output.training[0]} {params.train} --study-seed {params.study_seed}"
        " --seed {wildcards.seed} --generation {wildcards.generation} --mark-diverged --out {output.model[0]} 2> {log}"
