# Samples of a model, pictures of it, and which samples are kept. Each is a job of its own: what is cheap shares none
# with what is dear.


localrules:
    ballots,


rule sample:
    input:
        read_by("sample"),
    output:
        samples=cell("samples.safetensors"),
        cost=cell("sample.cost.json"),
    log:
        told_in("sample"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("sample"),
    params:
        source=source("sample"),
        arguments=told("sample"),
    shell:
        "collapselab --cost {output.cost[0]} sample {params.arguments} --out {output.samples[0]} 2> {log}"


rule sample_raw:
    input:
        read_by("sample_raw"),
    output:
        samples=cell("raw.safetensors"),
        cost=cell("sample_raw.cost.json"),
    log:
        told_in("sample_raw"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("sample_raw"),
    params:
        source=source("sample_raw"),
        arguments=told("sample_raw"),
    shell:
        "collapselab --cost {output.cost[0]} sample {params.arguments} --out {output.samples[0]} 2> {log}"


rule sample_marked:
    input:
        read_by("sample_marked"),
    output:
        samples=cell("marked.safetensors"),
        cost=cell("sample_marked.cost.json"),
    log:
        told_in("sample_marked"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("sample_marked"),
    params:
        source=source("sample_marked"),
        arguments=told("sample_marked"),
    shell:
        "collapselab --cost {output.cost[0]} sample {params.arguments} --out {output.samples[0]} 2> {log}"


rule grid:
    input:
        read_by("grid"),
    output:
        grid=cell("grid.safetensors"),
    log:
        told_in("grid"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("grid"),
    params:
        source=source("grid"),
        arguments=told("grid"),
    shell:
        "collapselab sample {params.arguments} --out {output.grid[0]} 2> {log}"


rule transform:
    input:
        read_by("transform"),
    output:
        samples=cell("released.safetensors"),
        cost=cell("transform.cost.json"),
    log:
        told_in("transform"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        generation
    threads: 1
    resources:
        **asked("transform"),
    params:
        source=source("transform"),
        arguments=told("transform"),
    shell:
        "collapselab --cost {output.cost[0]} transform {params.arguments} --out {output.samples[0]} 2> {log}"


# Waits for nobody: while a round of judging is open it ends at once, and says where the judgements are to be put.
rule ballots:
    input:
        read_by("ballots"),
    output:
        ballots=cell("ballots.parquet"),
    log:
        told_in("ballots"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    retries: 0
    params:
        source=source("ballots"),
        arguments=told("ballots"),
    shell:
        "collapselab ballots {params.arguments} --out {output.ballots[0]} 2> {log}"


rule select:
    input:
        read_by("select"),
    output:
        kept=cell("kept.parquet"),
        cost=cell("select.cost.json"),
    log:
        told_in("select"),
    wildcard_constraints:
        arm="|".join(STUDY.lineages),
    priority: turn
    group:
        judged_generation
    threads: 1
    resources:
        **asked("select"),
    params:
        source=source("select"),
        arguments=told("select"),
    shell:
        "collapselab --cost {output.cost[0]} select {params.arguments} --out {output.kept[0]} 2> {log}"
