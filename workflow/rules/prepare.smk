# Real data: read or drawn, split once, and looked at by every extractor.


if POPULATION:

    rule populate:
        output:
            hashed(*(f"results/real/{{real}}/{part}.safetensors" for part in PARTS)),
        log:
            "logs/real/{real}/prepare.log",
        conda:
            "../../environment.yml"
        params:
            source=source_hash("data", *population_modules()),
            population=STUDY.file.data.population,
            options=as_json(STUDY.file.data.options),
            held_out=STUDY.file.data.split.held_out,
            split_seed=STUDY.file.data.split_seed,
        shell:
            "collapselab populate --population {params.population} --options {params.options:q}"
            " --held-out {params.held_out} --split-seed {params.split_seed}"
            " --out results/real/{wildcards.real} 2> {log}"

else:

    rule prepare:
        output:
            hashed(*(f"results/real/{{real}}/{part}.safetensors" for part in PARTS)),
        log:
            "logs/real/{real}/prepare.log",
        conda:
            "../../environment.yml"
        params:
            source=source_hash("data"),
            dataset=STUDY.file.data.source,
            options=as_json(STUDY.file.data.options),
            sizes=as_json(STUDY.file.data.split.parts()),
            split_seed=STUDY.file.data.split_seed,
            rare=as_json({str(label): share for label, share in STUDY.file.data.rare.items()}),
            files=STUDY.dataset.fingerprint(),
        shell:
            "collapselab prepare --source {params.dataset} --options {params.options:q} --sizes {params.sizes:q}"
            " --rare {params.rare:q} --split-seed {params.split_seed} --out results/real/{wildcards.real} 2> {log}"


rule learn:
    input:
        train=content("results/real/{real}/train.safetensors"),
        held_out=content("results/real/{real}/held_out.safetensors"),
    output:
        weights=hashed("results/real/{real}/weights-{extractor}{variant}.safetensors"),
    log:
        "logs/real/{real}/learn-{extractor}{variant}.log",
    conda:
        "../../environment.yml"
    params:
        source=source_hash("features"),
        split_seed=STUDY.file.data.split_seed,
        options=learn_options,
    shell:
        "collapselab learn --extractor {wildcards.extractor} --options {params.options:q}"
        " --train {input.train[0]} --held-out {input.held_out[0]}"
        " --split-seed {params.split_seed} --out {output.weights[0]} 2> {log}"


rule extract_real:
    input:
        train=content("results/real/{real}/train.safetensors"),
        held_out=content("results/real/{real}/held_out.safetensors"),
        weights=weights,
    output:
        features=hashed("results/real/{real}/features-{extractor}{variant}.safetensors"),
    log:
        "logs/real/{real}/extract-{extractor}{variant}.log",
    conda:
        "../../environment.yml"
    resources:
        gpu=lambda wildcards: int(needs_gpu(wildcards.extractor)),
    params:
        source=lambda wildcards: source_hash("features", *truth_modules([wildcards.extractor])),
        extractor=extractor_flag,
        published=lambda wildcards: as_json(published([wildcards.extractor])),
    shell:
        "collapselab extract --samples train={input.train[0]} --samples held_out={input.held_out[0]}"
        " {params.extractor} --as-reference --out {output.features[0]} 2> {log}"
