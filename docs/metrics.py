"""Writes docs/metrics.md: every metric, score and extractor as the code describes it. A test compares the two.

python docs/metrics.py
"""

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path

from collapselab.features import FEATURES, Extractor
from collapselab.metrics import METRICS, SCORES, Metric, Roles

PAGE = Path(__file__).with_suffix(".md")
AGAINST = {
    "held_out": "the reference: held-out real samples, unless the study says `reference: train` or `all`",
    "train": "the real samples that may be trained on",
    "training_set": "the model's own training set",
}
INTRODUCTION = """\
# The numbers

Every number that is measured: what it says, its formula and paper, what a perfect model scores, and what to name when
quoting it. This page is written by `python docs` from the docstrings of the code.

## Which to read

To begin with: `frechet_distance`, which others quote; `kernel_distance`, which needs no equal n; `precision` (are the
samples realistic?) and `recall` (is everything still there?); `authenticity` (are they copies?). The others answer
questions of their own: colours, artefacts, tails, rare classes, likelihood.

## What a perfect model scores

Other real samples in the place of the fakes tell, at the same numbers of rows: the column `real` of a study's report,
and the column `real data` of `collapselab measure` with `--train`. By theory, where real and fake have one law:

| metric | expectation |
|---|---|
| `kernel_distance`, `authenticity.difference`, `data_copying`, `likelihood_gap`, `downstream_loss` | 0 |
| `frechet_distance` | above 0, by about b / n; `frechet_distance_infinity` takes that away |
| `density`, `variance_ratio`, `cross_hatching`, `tail_coverage`, `class_retention` | 1 (ratios of means: nearly) |
| `attribute_odds` | 1, and its logarithm 0 |
| `coverage`, `quantile_coverage` | below 1, by the formulas given there |
| `precision`, `recall`, `realism`, `rarity` | that of the data: no formula; the first two are below 1 |
| `downstream_accuracy` | what as many other real samples teach; 1 / C of C equal classes is chance |
| `class_total_variation`, `colour_distance`, `hue_distance`, `coverage_calibration` | near 0; its `overconfidence` 0 |
| `vendi_score`, `neighbour_entropy`, `inception_score`, `class_entropy`, `nearest_distance`, shares, copies, \
duplicates | those of held-out samples |

## Quoting one

A value is comparable only with values that were made alike. Every value in a record (`metrics.json`, or what
`collapselab measure --out` writes) names its fingerprint; quote from it at least

- the extractor and the hash of its weights, its resize, precision and batch;
- the reference: which real samples, their hash, and how many;
- of images from outside how both sides were stored (JPEG loses something) and their shape;
- how many samples were measured, and which: `raw` (the model itself), `sampled` (with its sampling bias) or `kept`;
- the metric's options, such as `k` and `comparison` (`<` or `<=`);
- how the samples were made: family, sampler, steps, EMA, guide, sampling bias.

`collapselab compare` and the report look at the same fields, and refuse to set values side by side that differ in how
they were measured.

A metric raises `Undefined` where the features at hand determine no value; a record then has `null` and the reason.
Where the error of a value is known it has a 95 % interval (`low`, `high`). It speaks of the chance of drawing these
samples, and of the reference's where the metric says so: the spread between seeds is what a study's report draws.

In Python, every metric is a function of `collapselab.metrics` and takes `Features`, numpy arrays (n, d), or torch
tensors, which it computes on where they are. Sums and distances are in float64.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, "## Metrics\n"]
    parts += [_metric(name, metric) for name, metric in METRICS.items()]
    parts += ["## Scores of every sample\n", "`collapselab measure --scores FILE.csv` writes them.\n"]
    parts += [_metric(name, metric) for name, metric in SCORES.items()]
    parts += ["## Extractors\n", *(_extractor(name, entry) for name, entry in FEATURES.items())]
    return "\n".join(parts)


def _metric(name: str, metric: Metric) -> str:
    facts = [f"{metric.better} is better" if metric.better else "", f"`real` is {AGAINST[metric.against]}"]
    facts += [f"in {_names(metric.extractors)} only" if metric.extractors else ""]
    facts += [f"reads the {metric.reads}" if metric.reads != "values" else ""]
    facts += ["reads the labels of the rows of a study" if metric.labelled else ""]
    facts += [f"options {_options(metric.options)}" if metric.options else "", *_roles(metric.roles)]
    return f"### `{name}`: {metric.label}\n\n{_sentence(facts)}\n\n{_block(metric.function)}\n"


def _roles(roles: Roles) -> Iterator[str]:
    """What is concluded of its numbers, as facts."""
    yield f"in verdicts it can stand for {' and '.join(roles.stands_for)}" if roles.stands_for else ""
    yield "its halving is foretold" if roles.losable else ""
    yield f"{'its rest to one is' if roles.rest else 'it is'} the truth of `{roles.truth_of}`" if roles.truth_of else ""
    yield "its growth a generation is told" if roles.artefact else ""


def _extractor(name: str, entry: Extractor) -> str:
    facts = [f"looks at {' and '.join(entry.takes)}", f"gives {' and '.join(entry.gives)} too" if entry.gives else ""]
    facts += ["read only by metrics that name it" if entry.statistic else ""]
    facts += [f"fingerprint {_options(entry.facts)}" if entry.facts else ""]
    facts += [f"options {_options(_defaults(entry))}" if entry.Options else ""]
    return f"### `{name}`\n\n{_sentence(facts)}\n\n{_block(entry.extract)}\n"


def _defaults(entry: Extractor) -> Mapping[str, object]:
    return entry.Options().model_dump(mode="json")


def _options(options: Mapping[str, object]) -> str:
    return ", ".join(f"`{key}: {value}`" for key, value in options.items())


def _names(names: Iterator[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _sentence(facts: list[str]) -> str:
    words = "; ".join(fact for fact in facts if fact)
    return f"*{words[:1].upper()}{words[1:]}.*"


def _block(function: object) -> str:
    return f"```text\n{inspect.getdoc(function)}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
