"""What the records say of each thing that a law asks, in words; empty where they say nothing.

All have one signature, ``f(known) -> str``, so that the list of duties names them.
"""

from ..marks import MARKS
from ..metrics.marks import mark_detection, mark_false_alarms
from ..study.composed import weighs_all
from ..study.words import planted
from ..verdicts import spell
from .known import GPAI_FLOP, SYSTEMIC_FLOP, Known

HARMS = ("precision", "recall", "class_retention", "copies_of_training", "copies_of_real", "authenticity")
"""Metrics that tell of what is missing in samples, of what is copied, and of what is unlike anything real."""

RANGES = ((1_000_000, "fewer than 1 million"), (1_000_000_000, "1 million to 1 billion"))
FORMULA = "its fit is a formula, whose operations nobody counts; they are as many as a few passes over its rows"


def modality(known: Known) -> str:
    """What kind of data it is, and of which shape."""
    shape = " x ".join(map(str, known.study.shape)) or "one number"
    if known.study.kind == "sequences":
        return f"sequences of {shape} tokens each; no images, sound or video"
    return f"{known.study.kind} of the shape {shape}; no text, sound, video or language"


def size(known: Known) -> str:
    """How many real rows there are, and in which range of the template."""
    split = known.study.file.data.split
    if known.study.population_name is not None:
        return f"rows drawn anew for each seed by a formula, {split.held_out:,} of them held out"
    total = sum(split.parts().values())
    range_of = next((words for most, words in RANGES if total < most), "more than 1 billion")
    return f"{range_of} {known.study.kind}: {total:,} real ones"


def split(known: Known) -> str:
    """Which real rows went where."""
    data, parts = known.study.file.data, known.study.file.data.split.parts()
    if known.study.population_name is not None:
        return f"{data.split.held_out:,} draws are held out for the metrics; training rows are drawn anew for each seed"
    words = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in parts.items() if number)
    rare = "".join(f"; class {label} thinned to a share of {share:g}" for label, share in data.rare.items())
    rare += f"; {planted(data.planted)}" if data.planted else ""
    return f"{words}, by split seed {data.split_seed}{rare}; held-out rows are never trained on"


def source(known: Known) -> str:
    """Where the real data are from."""
    rights = known.rights
    words = [f"{known.study.origin.name}: {known.citation.rstrip('.')}", rights.owner, rights.address, rights.note]
    return "; ".join(word for word in words if word)


def owner(known: Known) -> str:
    """Who published the real data."""
    return known.rights.owner


def licence(known: Known) -> str:
    """The licence of the real data."""
    return known.rights.licence


def collected(known: Known) -> str:
    """When the real data were collected, as far as their publisher says it."""
    return known.rights.collected


def people(known: Known) -> str:
    """What of people is in the real data."""
    return known.rights.people


def first_used(known: Known) -> str:
    """When this study first used them."""
    begun, _ = known.period
    return f"in this study on {begun}, the first day on which a job has left its costs" if begun else ""


def labels(known: Known) -> str:
    """Of what kind the data points are, and which labels they have."""
    if known.study.population_name is not None:
        return f"{known.study.kind}, with the labels that the population gives"
    classes = known.study.dataset.labelled()
    return f"{known.study.kind}, {f'labelled with {classes} classes' if classes else 'without labels'}"


def models(known: Known) -> str:
    """The models, by what they are."""
    found = []
    for name in known.study.file.models:
        many = known.parameters(name)
        size = "" if many is None else f", {many:,} parameters"
        start = known.study.file.init
        begun = "" if isinstance(start, str) else ", from published weights or an earlier generation"
        found.append(f"{name}: {known.study.family(name)}{size}{begun}")
    return "; ".join(found)


def flop(known: Known) -> str:
    """The floating-point operations of each model, all trainings and samplings of the study together."""
    found = []
    for name, count in known.flop.items():
        found.append(f"{name}: {FORMULA}" if count is None else f"{name}: {count:.1e} FLOP in all")
    total = sum(count or 0 for count in known.flop.values())
    if not total:
        return "; ".join(found)
    below = f"below the indicative {GPAI_FLOP:.0e} of a general-purpose model"
    above = f"at or above {SYSTEMIC_FLOP:.0e}" if total >= SYSTEMIC_FLOP else f"at or above {GPAI_FLOP:.0e}"
    return f"{'; '.join(found)}; {below if total < GPAI_FLOP else above}"


def energy(known: Known) -> str:
    """The energy of what was measured, and by what."""
    ways = {"nvml": "read from the GPU", "rapl": "read from the processor", "estimate": "estimated from busy time"}
    parts = [f"{joules / 3.6e6:.3g} kWh {ways[way]}" for way, joules in known.joules.items()]
    return f"{', '.join(parts)}, of trainings and samplings" if parts else ""


def period(known: Known) -> str:
    """When the study ran."""
    begun, ended = known.period
    return f"{begun} to {ended}, by the cost files of its jobs" if begun else ""


def synthetic(known: Known) -> str:
    """Whether synthetic data was used, and by which models it was made."""
    fed = [one for one in known.generations if one.synthetic]
    if not fed:
        return "none: every training set that is measured is of real rows alone"
    arms = list(dict.fromkeys(one.arm for one in fed))
    shares = [one.share for one in fed]
    made_by = ", ".join(dict.fromkeys(known.study.family(known.study.model_of(arm)) for arm in arms))
    low, high = min(shares), max(shares)
    span = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
    said = f"yes: in {len(fed)} training sets of {', '.join(arms)}, {span} of the rows are samples of the study's own"
    return f"{said} earlier models ({made_by}); the table of generations says which"


def processing(known: Known) -> str:
    """What was done to real data and to samples."""
    found = []
    if known.study.population_name is None:
        dataset = known.study.dataset
        side = (
            f"resized to {dataset.resolution} pixels ({dataset.resize})" if dataset.resolution else "as they are stored"
        )
        found.append(f"real images {side}, doubles not looked for")
    for name in known.study.file.arms:
        lineage = known.study.lineages[name]
        steps = [f"adapted by {' then '.join(one.name for one in lineage.adapt)}"] if lineage.adapt else []
        steps += [f"its labels drawn by {lineage.drawn_by}"] if lineage.drawn_by else []
        steps += [f"steered by {lineage.guide.name}"] if lineage.guide else []
        steps += [f"sampled by {lineage.sampler.name}"] if lineage.sampler else []
        steps += [f"sampling bias {lineage.sampling_bias}"] if lineage.sampling_bias != 1.0 else []
        steps += [f"changed by {', '.join(one.name for one in lineage.transform)}"] if lineage.transform else []
        weighing = [one for one in lineage.select if weighs_all(known.study, one)]
        chosen = [one.name for one in lineage.select if one not in weighing]
        steps += [f"selected by {', '.join(chosen)}"] if chosen else []
        steps += [f"weighted by {', '.join(one.name for one in weighing)}"] if weighing else []
        found += [f"{name}: {', '.join(steps)}"] if steps else []
    return "; ".join(found)


def judges(known: Known) -> str:
    """Who judged samples."""
    judged = known.judged
    if judged is None:
        return "nobody was asked: no arm of the study keeps what people choose"
    everybody = {(one.arm, judge) for one in judged.rounds for judge in one.ballots.judges}
    count = sum(len(one.ballots) for one in judged.rounds)
    simulated = [arm for arm, options in judged.options.items() if options.simulated]
    stood_in = f"; simulated judges stood in for people in {', '.join(simulated)}" if simulated else ""
    rounds = f"{len(judged.rounds)} closed rounds"
    return f"{len(everybody)} judges, known by codes alone, in {rounds}: {count:,} answers{stood_in}"


def marks(known: Known) -> str:
    """The marks that arms put into their samples."""
    found = []
    for name, lineage in known.study.lineages.items():
        if lineage.mark and lineage.calibrates is None:
            keys = known.study.parsed(MARKS, lineage.mark).keys
            which = "one key for all" if keys == "constant" else "a key for each sample"
            secret = f"{which}, by the study's seed {known.study.file.seed} and the seed of the lineage"
            found.append(f"{name}: {lineage.mark.name}, on the {lineage.marks}, {secret}")
    return "; ".join(found)


def detector(known: Known) -> str:
    """How often a mark is found where it is, and where it is not, as measured."""
    found = []
    for metric, words in ((mark_detection, "found in"), (mark_false_alarms, "found in real data, which have none, in")):
        for arm, _, which, share in known.last(metric.__name__):
            if metric is mark_false_alarms or which == "released":
                found.append(f"{arm} {words} {share:.1%}")
    return ", ".join(dict.fromkeys(found))


def metadata(known: Known) -> str:
    """What exported pictures say of themselves."""
    if known.study.kind != "images":
        return "a Parquet file's schema says study, arm, seed and generation, and that a model made the rows"
    said = "each exported PNG says study, arm, seed, generation and index, and IPTC's trainedAlgorithmicMedia"
    return f"{said}; `collapselab export --chain --key` signs it by C2PA"


def identifiers(known: Known) -> str:
    """By what each sample is known again."""
    if not (stored := known.stored):
        return ""
    names = "study, arm, seed, generation and index name each sample"
    return f"{names}; {len(stored)} files of models and samples have a SHA-256"


def harms(known: Known) -> str:
    """What was measured of what is lost, copied or unlike anything real, at the last generation."""
    found = []
    for metric in known.measured(*HARMS):
        means = {f"{arm} {spell(mean)}" for arm, _, which, mean in known.last(metric) if which == "sampled"}
        found += [f"{known.label(metric)}: {', '.join(sorted(means))}"] if means else []
    return f"measured at the last generation: {'; '.join(found)}" if found else ""


def purpose(known: Known) -> str:
    """What the data were used for."""
    asked = f": {known.study.file.question}" if known.study.file.question else ""
    return f"to study what becomes of a generative model that is trained on its own samples{asked}"


def reproduce(known: Known) -> str:
    """How all of it is made again."""
    return f"snakemake --config study={known.study.name}; every random number follows from seed {known.study.file.seed}"
