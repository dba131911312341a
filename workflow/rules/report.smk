# What people read: the report, and the mirror in MLflow. Both are made on the machine where snakemake runs.


localrules:
    all,
    measured,
    report,
    track,


rule report:
    input:
        read_by("report"),
    output:
        files=hashed(*(f"results/{{study}}/report/{name}" for name in layout.WRITTEN)),
        # Emptied before the job: what is no longer drawn does not stay.
        figures=directory("results/{study}/report/figures"),
        glances=[directory(f"results/_{kind}/{{study}}") for kind in layout.GLANCED],
    log:
        "logs/{study}/report.log",
    params:
        source=source("report"),
        arguments=told("report"),
    shell:
        "collapselab report {wildcards.study} {params.arguments} > {log} 2>&1"


rule track:
    input:
        read_by("track"),
    output:
        hashed("results/{study}/report/tracked.json"),
    log:
        "logs/{study}/track.log",
    params:
        source=source("track"),
        arguments=told("track"),
    shell:
        "collapselab track {wildcards.study} {params.arguments} > {log} 2>&1"
