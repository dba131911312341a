# What people read: the report, and the mirror in MLflow. Both are made on the machine where snakemake runs.

RECORDS = [STUDY.cell(*one, "metrics.json") for one in STUDY.cells()]
GRIDS = [STUDY.cell(*one, "grid.safetensors") for one in STUDY.cells()]
MODELS = list(dict.fromkeys(STUDY.cell(*one, "model.safetensors") for one in STUDY.cells()))


localrules:
    all,
    report,
    track,


rule report:
    input:
        records=content(*RECORDS),
        grids=content(*GRIDS),
        baseline=content(STUDY.report_file("baseline.json")),
    output:
        hashed(*(f"results/{{study}}/report/{name}" for name in ("report.html", "summary.json", "curves.csv"))),
    params:
        source=source_hash("report"),
        study=STUDY.plan(),
    log:
        "logs/{study}/report.log",
    conda:
        "../../environment.yml"
    shell:
        "collapselab report {wildcards.study} --planned {params.study:q} > {log} 2>&1"


rule track:
    input:
        records=content(*RECORDS),
        models=content(*MODELS),
        baseline=content(STUDY.report_file("baseline.json")),
    output:
        hashed("results/{study}/report/tracked.json"),
    params:
        source=source_hash("verdicts"),
        study=STUDY.plan(),
    log:
        "logs/{study}/track.log",
    conda:
        "../../environment.yml"
    shell:
        "collapselab track {wildcards.study} --planned {params.study:q} > {log} 2>&1"
