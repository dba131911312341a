# Models: of a training set, which is composed in the same process (nobody wants the table remade alone), adapted where
# an arm says so, and the further ones that a guide steers by.


rule draw:
    input:
        read_by("draw"),
        waited_for_by("draw"),
    output:
        drawn=cell("drawn.safetensors"),
    log:
        told_in("draw"),
    priority: turn
    group:
        training
    resources:
        **asked("draw"),
    params:
        source=source("draw"),
        arguments=told("draw"),
    shell:
        "collapselab draw {params.arguments} --out {output.drawn[0]} 2> {log}"


rule train:
    input:
        read_by("train"),
        waited_for_by("train"),
    output:
        training=cell("training.parquet"),
        model=cell("model.safetensors"),
        cost=cell("train.cost.json"),
    log:
        told_in("train"),
    priority: turn
    group:
        training
    threads: 1
    resources:
        **asked("train"),
    params:
        source=source("compose", "train"),
        compose=told("compose"),
        train=told("train"),
    shell:
        "collapselab --cost {output.cost[0]} compose {params.compose} --out {output.training[0]} +"
        " train --training {output.training[0]} {params.train} --mark-diverged --out {output.model[0]} 2> {log}"


rule adapt:
    input:
        read_by("adapt"),
    output:
        model=cell("adapted.safetensors"),
        cost=cell("adapt.cost.json"),
    log:
        told_in("adapt"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    threads: 1
    resources:
        **asked("adapt"),
    params:
        source=source("adapt"),
        arguments=told("adapt"),
    shell:
        "collapselab --cost {output.cost[0]} adapt {params.arguments} --mark-diverged --out {output.model[0]} 2> {log}"


rule auxiliary:
    input:
        read_by("auxiliary"),
    output:
        model=cell("auxiliary-{role}.safetensors"),
        cost=cell("auxiliary-{role}.cost.json"),
    log:
        told_in("auxiliary-{role}"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    threads: 1
    resources:
        **asked("auxiliary"),
    params:
        source=source("auxiliary"),
        arguments=told("auxiliary"),
    shell:
        "collapselab --cost {output.cost[0]} auxiliary {params.arguments} --mark-diverged"
        " --out {output.model[0]} 2> {log}"
