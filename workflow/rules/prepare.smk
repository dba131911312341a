# Real data: read or drawn, split once, and looked at by every extractor. A part is a job: what hangs on it hangs on no
# other. All of it is made for results/real/{real}/{study}.made, by which DVC knows that the folder is the study's.


localrules:
    real,


rule real:
    input:
        lambda wildcards: content(*layout.real_of_split(STUDY.with_split(0, wildcards.real))),
    output:
        touch("results/real/{real}/{study}.made"),


rule prepare:
    output:
        hashed("results/real/{real}/{part}.safetensors"),
    log:
        "logs/real/{real}/prepare-{part}.log",
    priority: turn
    resources:
        **asked("prepare"),
    params:
        verb=layout.preparing(STUDY),
        source=source(layout.preparing(STUDY)),
        arguments=told(layout.preparing(STUDY)),
    shell:
        "collapselab {params.verb} {params.arguments} 2> {log}"


rule task:
    input:
        read_by("task"),
    output:
        rows=hashed("results/real/{real}/task{generation}-{part}{variant}.parquet"),
    log:
        "logs/real/{real}/task{generation}-{part}{variant}.log",
    priority: turn
    resources:
        **asked("task"),
    params:
        source=source("task"),
        arguments=told("task"),
    shell:
        "collapselab task {params.arguments} --out {output.rows[0]} 2> {log}"


rule learn:
    input:
        read_by("learn"),
    output:
        weights=hashed("results/real/{real}/weights-{extractor}{variant}.safetensors"),
    log:
        "logs/real/{real}/learn-{extractor}{variant}.log",
    priority: turn
    resources:
        **asked("learn"),
    params:
        source=source("learn"),
        arguments=told("learn"),
    shell:
        "collapselab learn {params.arguments} --out {output.weights[0]} 2> {log}"


rule extract_real:
    input:
        read_by("extract_real"),
    output:
        features=hashed("results/real/{real}/features-{extractor}{variant}.safetensors"),
    log:
        "logs/real/{real}/extract-{extractor}{variant}.log",
    priority: turn
    resources:
        **asked("extract_real"),
    params:
        source=source("extract_real"),
        arguments=told("extract_real"),
    shell:
        "collapselab extract {params.arguments} --out {output.features[0]} 2> {log}"
