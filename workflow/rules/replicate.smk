# All seeds of an arm in one job, where a study says so: one table, with a row for each seed and generation.


rule replicate:
    output:
        table=hashed("results/{study}/{arm}/replicates.parquet"),
        cost=hashed("results/{study}/{arm}/replicates.cost.json"),
    log:
        "logs/{study}/{arm}/replicate.log",
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    threads: 1
    resources:
        **asked("replicate"),
    params:
        source=source("replicate"),
        arguments=told("replicate"),
    shell:
        "collapselab --cost {output.cost[0]} replicate {params.arguments} --out {output.table[0]} 2> {log}"
