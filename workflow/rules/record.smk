# Extract features once, and compare them as often as the metrics change.


rule extract:
    input:
        read_by("extract"),
    output:
        features=cell("features.safetensors"),
        cost=cell("extract.cost.json"),
    log:
        told_in("extract"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("extract"),
    params:
        source=source("extract"),
        arguments=told("extract"),
    shell:
        "collapselab --cost {output.cost[0]} extract {params.arguments} --out {output.features[0]} 2> {log}"


rule record:
    input:
        read_by("record"),
    output:
        metrics=cell("metrics.json"),
        cost=cell("record.cost.json"),
    log:
        told_in("record"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        judged_generation
    threads: 1
    resources:
        **asked("record"),
    params:
        source=source("record"),
        arguments=told("record"),
    shell:
        "collapselab --cost {output.cost[0]} record {params.arguments} --out {output.metrics[0]} 2> {log}"


# Whether the lineage goes on. It looks at what was found, and what comes after it waits for it.
rule stop:
    input:
        read_by("stop"),
    output:
        stop=cell("stop.json"),
    log:
        told_in("stop"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        judged_generation
    threads: 1
    resources:
        **asked("stop"),
    params:
        source=source("stop"),
        arguments=told("stop"),
    shell:
        "collapselab stop {params.arguments} --out {output.stop[0]} 2> {log}"


rule baseline:
    input:
        read_by("baseline"),
    output:
        baseline=hashed("results/{study}/report/baseline.json"),
    log:
        "logs/{study}/baseline.log",
    resources:
        **asked("baseline"),
    params:
        source=source("baseline"),
        arguments=told("baseline"),
    shell:
        "collapselab baseline {params.arguments} --out {output.baseline[0]} 2> {log}"
