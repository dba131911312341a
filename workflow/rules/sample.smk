# Sample and select, in one process, as long as no people select.


rule sample:
    input:
        model=model,
        seen=seen,
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/samples.safetensors"),
        grid=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/grid.safetensors"),
        kept=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/kept.parquet"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample.log",
    wildcard_constraints:
        arm=ONE_OF_LINEAGES,
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=sample_source,
        number=STUDY.file.samples,
        grid=STUDY.file.grid,
        sample=sampled_arm,
        select=select_arguments,
        study_seed=STUDY.file.seed,
    shell:
        "collapselab --cost {output.cost[0]} sample --model {input.model[0]} --count {params.number}"
        " {params.sample} --study-seed {params.study_seed} --seed {wildcards.seed}"
        " --generation {wildcards.generation} --out {output.samples[0]} +"
        " sample --model {input.model[0]} --count {params.grid} --stage grid"
        " {params.sample} --study-seed {params.study_seed} --seed {wildcards.seed}"
        " --generation {wildcards.generation} --out {output.grid[0]} +"
        " select --samples {output.samples[0]} {params.select} --study-seed {params.study_seed}"
        " --seed {wildcards.seed} --generation {wildcards.generation} --out {output.kept[0]} 2> {log}"


rule sample_raw:
    input:
        model=model,
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/raw.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.log",
    wildcard_constraints:
        arm=ONE_OF_LINEAGES,
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    params:
        source=sample_source,
        number=STUDY.file.samples,
        sample=raw_arm,
        study_seed=STUDY.file.seed,
    shell:
        "collapselab --cost {output.cost[0]} sample --model {input.model[0]}"
        " --count {params.number} {params.sample}"
        " --study-seed {params.study_seed} --seed {wildcards.seed} --generation {wildcards.generation}"
        " --out {output.samples[0]} 2> {log}"
