# Sample and select, in one process, as long as no people select.


def model(wildcards):
    """The model of this generation; that of generation 0 lies in the arm's base."""
    return content(cell(wildcards, "model.safetensors"))


def sampled_arm(wildcards):
    """How the arm samples: its bias at this generation, and its random stream."""
    arm = STUDY.lineages[wildcards.arm]
    bias = studies.at(arm.sampling_bias, int(wildcards.generation))
    return f"--sampling-bias {bias} --stream {arm.stream}"


def raw_arm(wildcards):
    """The same arm without its bias."""
    return f"--stream {STUDY.lineages[wildcards.arm].stream}"


def select_arguments(wildcards):
    """The arm's selector."""
    arm = STUDY.lineages[wildcards.arm]
    return f"--selector {arm.selector} --options '{as_json(arm.select_options)}'"


def sample_source(wildcards):
    """The hash of the source that sampling and selecting depend on."""
    return source_hash(f"models.{STUDY.family(STUDY.lineages[wildcards.arm].model)}", "select", "guidance")


rule sample:
    input:
        model=model,
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/samples.safetensors"),
        grid=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/grid.safetensors"),
        kept=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/kept.parquet"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample.cost.json"),
    params:
        source=sample_source,
        sample=sampled_arm,
        select=select_arguments,
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample.log",
    conda:
        "../../environment.yml"
    group:
        "generation_{generation}"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "collapselab --cost {output.cost[0]} sample --model {input.model[0]} --count {STUDY.file.samples}"
        " {params.sample} --study-seed {STUDY.file.seed} --seed {wildcards.seed}"
        " --generation {wildcards.generation} --out {output.samples[0]}"
        " + sample --model {input.model[0]} --count {STUDY.file.grid} --stage grid"
        " {params.sample} --study-seed {STUDY.file.seed} --seed {wildcards.seed}"
        " --generation {wildcards.generation} --out {output.grid[0]}"
        " + select --samples {output.samples[0]} {params.select} --study-seed {STUDY.file.seed}"
        " --seed {wildcards.seed} --generation {wildcards.generation} --out {output.kept[0]} 2> {log}"


rule sample_raw:
    input:
        model=model,
    output:
        samples=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/raw.safetensors"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.cost.json"),
    params:
        source=sample_source,
        sample=raw_arm,
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/sample_raw.log",
    conda:
        "../../environment.yml"
    group:
        "generation_{generation}"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "collapselab --cost {output.cost[0]} sample --model {input.model[0]}"
        " --count {STUDY.file.samples} {params.sample}"
        " --study-seed {STUDY.file.seed} --seed {wildcards.seed} --generation {wildcards.generation}"
        " --out {output.samples[0]} 2> {log}"
