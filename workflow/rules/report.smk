# What people read: the report, and the mirror in MLflow. Both are made on the machine where snakemake runs.


localrules:
    all,
    report,
    track,


rule report:
    input:
        records=content(*RECORDS),
        grids=content(*GRIDS),
        baseline=content(*BASELINE),
    output:
        files=hashed(*(f"results/{{study}}/report/{name}" for name in WRITTEN)),
        # Emptied before the job: what is no longer drawn does not stay.
        figures=directory("results/{study}/report/figures"),
    log:
        "logs/{study}/report.log",
    conda:
        "../../environment.yml"
    params:
        source=source_hash("report"),
        study=STUDY.plan(),
    shell:
        "collapselab report {wildcards.study} --planned {params.study:q} > {log} 2>&1"


rule track:
    input:
        records=content(*RECORDS),
        models=content(*MODELS),
        baseline=content(*BASELINE),
    output:
        hashed("results/{study}/report/tracked.json"),
    log:
        "logs/{study}/track.log",
    conda:
        "../../environment.yml"
    params:
        source=source_hash("verdicts"),
        study=STUDY.plan(),
    shell:
        "collapselab track {wildcards.study} --planned {params.study:q} > {log} 2>&1"
