# Samples of a model, pictures of it, and which samples are kept. Each is a job of its own: what is cheap shares none
# with what is dear.


rule sample:
    input:
        read_by("sample"),
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/samples.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=source("sample"),
        arguments=told("sample"),
    shell:
        "collapselab --cost {output.cost[0]} sample {params.arguments} --out {output.samples[0]} 2> {log}"


rule sample_raw:
    input:
        read_by("sample_raw"),
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/raw.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=source("sample_raw"),
        arguments=told("sample_raw"),
    shell:
        "collapselab --cost {output.cost[0]} sample {params.arguments} --out {output.samples[0]} 2> {log}"


rule grid:
    input:
        read_by("grid"),
    output:
        grid=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/grid.safetensors"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/grid.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=source("grid"),
        arguments=told("grid"),
    shell:
        "collapselab sample {params.arguments} --out {output.grid[0]} 2> {log}"


rule select:
    input:
        read_by("select"),
    output:
        kept=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/kept.parquet"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/select.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/select.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=source("select"),
        arguments=told("select"),
    shell:
        "collapselab --cost {output.cost[0]} select {params.arguments} --out {output.kept[0]} 2> {log}"
