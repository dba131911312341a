# Real data: read or drawn, split once, and looked at by every extractor.


if POPULATION:

    rule populate:
        output:
            hashed(*(f"results/real/{{real}}/{part}.safetensors" for part in ("population", "held_out", "train"))),
        params:
            source=source_hash("datasets", f"models.{STUDY.file.data.population}"),
            options=as_json(STUDY.file.data.options),
        log:
            "logs/real/{real}/prepare.log",
        conda:
            "../../environment.yml"
        shell:
            "collapselab populate --population {STUDY.file.data.population} --options {params.options:q}"
            " --held-out {STUDY.file.data.split.held_out} --split-seed {STUDY.file.data.split_seed}"
            " --out results/real/{wildcards.real} 2> {log}"

else:

    rule prepare:
        output:
            hashed(*(f"results/real/{{real}}/{part}.safetensors" for part in ("train", "held_out", "fresh"))),
        params:
            source=source_hash("datasets"),
            options=as_json(STUDY.file.data.options),
            sizes=as_json(STUDY.file.data.split.model_dump()),
            files=STUDY.dataset.fingerprint(),
        log:
            "logs/real/{real}/prepare.log",
        conda:
            "../../environment.yml"
        shell:
            "collapselab prepare --source {STUDY.file.data.source} --options {params.options:q}"
            " --sizes {params.sizes:q} --split-seed {STUDY.file.data.split_seed}"
            " --out results/real/{wildcards.real} 2> {log}"


rule learn:
    input:
        train=content("results/real/{real}/train.safetensors"),
        held_out=content("results/real/{real}/held_out.safetensors"),
    output:
        hashed("results/real/{real}/weights-{extractor}.safetensors"),
    params:
        source=source_hash("features"),
    log:
        "logs/real/{real}/learn-{extractor}.log",
    conda:
        "../../environment.yml"
    shell:
        "collapselab learn --extractor {wildcards.extractor} --train {input.train[0]} --held-out {input.held_out[0]}"
        " --split-seed {STUDY.file.data.split_seed} --out {output[0]} 2> {log}"


def weights(wildcards):
    """The weights of the study's trained extractors, or of the one in the path."""
    names = [wildcards.extractor] if hasattr(wildcards, "extractor") else STUDY.file.extractors
    trained = [name for name in names if name in STUDY.trained_extractors]
    return content(*(STUDY.real_file(f"weights-{name}.safetensors") for name in trained))


def extractor_flags(names):
    """Extractors as arguments, with the weights of those that are trained."""
    paths = {name: STUDY.real_file(f"weights-{name}.safetensors") for name in STUDY.trained_extractors}
    return " ".join(f"--extractor {name}={paths[name]}" if name in paths else f"--extractor {name}" for name in names)


def extractor_flag(wildcards):
    """The extractor in the path as an argument."""
    return extractor_flags([wildcards.extractor])


rule extract_real:
    input:
        train=content("results/real/{real}/train.safetensors"),
        held_out=content("results/real/{real}/held_out.safetensors"),
        weights=weights,
    output:
        hashed("results/real/{real}/features-{extractor}.safetensors"),
    params:
        source=source_hash("features"),
        extractor=extractor_flag,
    log:
        "logs/real/{real}/extract-{extractor}.log",
    conda:
        "../../environment.yml"
    shell:
        "collapselab extract --samples train={input.train[0]} --samples held_out={input.held_out[0]}"
        " {params.extractor} --out {output[0]} 2> {log}"
