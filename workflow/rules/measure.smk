# Extract and record, in one process: starting one takes longer than most extractors do.


rule measure:
    input:
        samples=measured_files,
        kept=content("results/{study}/{arm}/seed{seed}/gen{generation}/kept.parquet"),
        training=training,
        sources=training_sources,
        model=looked_through,
        references=content(*REFERENCES),
        weights=weights,
    output:
        features=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/features.safetensors"),
        metrics=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/metrics.json"),
        cost=hashed("results/{study}/{arm}/seed{seed}/gen{generation}/measure.cost.json"),
    log:
        "logs/{study}/{arm}/seed{seed}/gen{generation}/measure.log",
    wildcard_constraints:
        arm=ONE_OF_LINEAGES,
    group:
        "generation_{generation}"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=int(any(needs_gpu(name) for name in STUDY.measured_in)),
    params:
        source=source_hash("measure", *truth_modules(STUDY.measured_in)),
        samples=measured_flags,
        extractors=measuring_extractors,
        published=as_json(published(STUDY.measured_in)),
        references=REFERENCE_FLAGS,
        population=POPULATION_FLAG,
        metrics=as_json(STUDY.metric_options()),
        against=STUDY.file.reference,
        record=record_of,
        number=STUDY.measured,
    shell:
        "collapselab --cost {output.cost[0]} extract {params.samples} {params.extractors} --out {output.features[0]} +"
        " record --features {output.features[0]} {params.references} {params.population}"
        " --against {params.against} --count {params.number} --metrics {params.metrics:q}"
        " --training {input.training[0]} --kept {input.kept[0]}"
        " --cell {params.record:q} --out {output.metrics[0]} 2> {log}"


rule baseline:
    input:
        content(*REFERENCES),
    output:
        baseline=hashed("results/{study}/report/baseline.json"),
    log:
        "logs/{study}/baseline.log",
    conda:
        "../../environment.yml"
    params:
        source=source_hash("measure", *truth_modules(STUDY.measured_in)),
        references=REFERENCE_FLAGS,
        population=POPULATION_FLAG,
        metrics=as_json(STUDY.metric_options()),
        against=STUDY.file.reference,
        number=STUDY.measured,
    shell:
        "collapselab baseline {params.references} {params.population} --metrics {params.metrics:q}"
        " --against {params.against}"
        " --count {params.number} --out {output.baseline[0]} 2> {log}"
