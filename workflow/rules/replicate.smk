# All seeds of an arm in one job, where a study says so: one table, with a row for each seed and generation.


rule replicate:
    output:
        table=hashed("results/{study}/{arm}/replicates.parquet"),
        cost=hashed("results/{study}/{arm}/replicates.cost.json"),
    log:
        "logs/{study}/{arm}/replicate.log",
    wildcard_constraints:
        arm=ONE_OF_LINEAGES,
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=replicate_source,
        arm=replicated_arm,
    shell:
        "collapselab --cost {output.cost[0]} replicate --arm {params.arm:q} --out {output.table[0]} 2> {log}"
