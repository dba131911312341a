# Extract features once, and compare them as often as the metrics change.


rule extract:
    input:
        read_by("extract"),
    output:
        features=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/features.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/extract.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/extract.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=int(looking.needs_gpu(STUDY, STUDY.measured_in)),
    params:
        source=source("extract"),
        arguments=told("extract"),
    shell:
        "collapselab --cost {output.cost[0]} extract {params.arguments} --out {output.features[0]} 2> {log}"


rule record:
    input:
        read_by("record"),
    output:
        metrics=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/metrics.json"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/record.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/record.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=source("record"),
        arguments=told("record"),
    shell:
        "collapselab --cost {output.cost[0]} record {params.arguments} --out {output.metrics[0]} 2> {log}"


rule baseline:
    input:
        read_by("baseline"),
    output:
        baseline=hashed("results/{study}/report/baseline.json"),
    log:
        "logs/{study}/baseline.log",
    conda:
        "../../environment.yml"
    params:
        source=source("baseline"),
        arguments=told("baseline"),
    shell:
        "collapselab baseline {params.arguments} --out {output.baseline[0]} 2> {log}"
