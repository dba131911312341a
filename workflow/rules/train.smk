# Compose and train, in one process: nobody wants the table between them remade alone.


rule draw:
    input:
        read_by("draw"),
    output:
        drawn=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/drawn.safetensors"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/draw.log",
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    params:
        source=source("draw"),
        arguments=told("draw"),
    shell:
        "collapselab draw {params.arguments} --out {output.drawn[0]} 2> {log}"


rule train:
    input:
        read_by("train"),
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
        source=source("compose", "train"),
        compose=told("compose"),
        train=told("train"),
    shell:
        "collapselab --cost {output.cost[0]} compose {params.compose} --out {output.training[0]} +"
        " train --training {output.training[0]} {params.train} --mark-diverged --out {output.model[0]} 2> {log}"
