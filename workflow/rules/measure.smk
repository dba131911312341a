# Extract and measure, in one process: none of today's extractors is dear.


def measured(wildcards):
    """The sets of samples that are measured apart."""
    nouns = {"sampled": "samples.safetensors", "raw": "raw.safetensors"}
    return {which: cell(wildcards, nouns[which]) for which in STUDY.measured_sets(wildcards.arm)}


def measured_files(wildcards):
    """Their files."""
    return content(*measured(wildcards).values())


def measured_flags(wildcards):
    """Their files as arguments."""
    return " ".join(f"--samples {which}={path}" for which, path in measured(wildcards).items())


def training(wildcards):
    """The training set of this generation."""
    return content(cell(wildcards, "training.parquet"))


def training_sources(wildcards):
    """What the training set refers to; that of generation 0 is its base's."""
    arm, seed, generation = lineage(wildcards)
    return eaten(arm if generation else STUDY.lineages[arm].base, seed, generation)


def record_of(wildcards):
    """Whose record it is."""
    arm, seed, generation = lineage(wildcards)
    return as_json({"study": STUDY.name, "arm": arm, "seed": seed, "generation": generation})


REFERENCES = [STUDY.real_file(f"features-{name}.safetensors") for name in STUDY.file.extractors]
REFERENCE_FLAGS = " ".join(f"--reference {file}" for file in REFERENCES)
POPULATION_FLAG = f"--population {POPULATION}" if POPULATION else ""


rule measure:
    input:
        samples=measured_files,
        kept=content("results/{study}/{arm}/seed{seed}/gen{generation}/kept.parquet"),
        training=training,
        sources=training_sources,
        references=content(*REFERENCES),
        weights=weights,
    output:
        features=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/features.safetensors"),
        metrics=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/metrics.json"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/measure.cost.json"),
    params:
        source=source_hash("features", "metrics"),
        samples=measured_flags,
        extractors=extractor_flags(STUDY.file.extractors),
        metrics=as_json(STUDY.metric_options()),
        record=record_of,
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/measure.log",
    conda:
        "../../environment.yml"
    group:
        "generation_{generation}"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "collapselab --cost {output.cost[0]} extract {params.samples} {params.extractors} --out {output.features[0]}"
        " + measure --features {output.features[0]} {REFERENCE_FLAGS} {POPULATION_FLAG}"
        " --metrics {params.metrics:q} --training {input.training[0]} --kept {input.kept[0]}"
        " --cell {params.record:q} --out {output.metrics[0]} 2> {log}"


rule baseline:
    input:
        content(*REFERENCES),
    output:
        hashed("results/{study}/report/baseline.json"),
    params:
        source=source_hash("features", "metrics"),
        metrics=as_json(STUDY.metric_options()),
    log:
        "logs/{study}/baseline.log",
    conda:
        "../../environment.yml"
    shell:
        "collapselab baseline {REFERENCE_FLAGS} {POPULATION_FLAG} --metrics {params.metrics:q}"
        " --count {STUDY.file.samples} --out {output[0]} 2> {log}"
