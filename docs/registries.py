"""Writes docs/registries.md: every name that a study may choose, as the code describes it. A test compares the two.

python docs/registries.py
"""

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from models import option_rows

from collapselab.adapt import ADAPTERS
from collapselab.compose.regimes import REGIMES
from collapselab.data import DATASETS
from collapselab.features import FEATURES
from collapselab.guides import GUIDES
from collapselab.marks import MARKS
from collapselab.metrics import METRICS
from collapselab.models import MODELS
from collapselab.models.capabilities import Judges, Knows
from collapselab.populations import POPULATIONS
from collapselab.rewards import REWARDS
from collapselab.samplers import SAMPLERS
from collapselab.select import SELECTORS
from collapselab.study.choices import arguments
from collapselab.transforms import TRANSFORMS

PAGE = Path(__file__).with_suffix(".md")
INTRODUCTION = """\
# What a study can name

Every name that a study can write, with its options and the paper that it comes from. Wherever a study chooses one of
these, it says the name, or `{name: {option: value}}`; [config/README.md](../config/README.md) has the keys under which
they stand. Installed packages add entries of their own ([CONTRIBUTING.md](../CONTRIBUTING.md)). This page is written by
`python docs` from the docstrings of the code.
"""
SECTIONS = {
    "Data": "Under `data.source`: images that somebody has taken or drawn. Any of them is resized and cut by options.",
    "Known truths": """\
Under `data.population`: laws that are known exactly, from which real data is drawn anew for each seed. What is
possible, and how likely, is then no estimate: the extractor `truth` says it of every sample, and the metrics
`true_precision`, `true_recall`, `true_coverage`, `hallucination_rate` and `true_total_variation` stand beside those
that are estimated from neighbours.""",
    "Models": "Under `models`. [The models](models.md) has their presets and options, and how a training runs.",
    "Regimes": """\
Under an arm's `regime`: how a training set is composed. `n` is the size of a training set from generation 1 on and
`initial` that of generation 0; both are the study's `initial.real` where an arm does not say them. Any of them takes
`init` as well. The algebra that they are written in is one more, [`algebra`](../config/README.md#the-algebra).""",
    "Adapters": "Under an arm's `adapt`: what is done to a model between training and sampling.",
    "Guides": """\
Under an arm's `guide`: what steers a sampler that denoises, beside the model itself.
[Guidance](guidance.md) says when to use which, and what each costs. Classifier-free guidance with one weight at all
levels is an arm's `sampling_bias`, too.""",
    "Samplers": """\
Under an arm's `sampler`: which sampler takes the place of the model's own, of families that are sampled step by step.
Where an arm names none its model's options say which. [Samplers](samplers.md) says what each does to a loop.""",
    "Transforms": "Under an arm's `transform`, a list: what is done to the samples, in order, before anybody sees any.",
    "Marks": """\
Under an arm's `mark`: a secret in what the arm releases. One of the noise is put into the noise that a sampler begins
with, and found again by the model; one of pixels is the last thing that is done to samples. The samples without it stay
beside them, so that the extractor `mark` and its metrics say whether a later model has learnt it.""",
    "Rewards": """\
Under an option of a selector or of an adapter that takes one: a number that says how much somebody likes a sample.""",
    "Selectors": """\
Under an arm's `select`: who keeps which samples; a list of them is a chain. `yoked` is the control that every arm with
a selector gets by itself, and no arm's to choose.""",
    "Extractors": "Under `extractors`: what metrics look at. [The numbers](metrics.md#extractors) has them in full.",
    "Metrics": "Under `metrics`. [The numbers](metrics.md#metrics) has them in full, with the papers and the options.",
}
NONE = "None in this version.\n"


def page() -> str:
    """The page as Markdown."""
    written = {
        "Data": (_source(name, entry) for name, entry in DATASETS.items()),
        "Known truths": (_population(name, entry) for name, entry in POPULATIONS.items()),
        "Models": _table({name: _module(entry) for name, entry in MODELS.items()}),
        "Regimes": (_entry(name, preset, arguments(preset)) for name, preset in REGIMES.items()),
        "Adapters": (_step(name, one.adapt, one, _adapter(one)) for name, one in ADAPTERS.items()),
        "Guides": (_step(name, one.rule, one, _guide(one)) for name, one in GUIDES.items()),
        "Samplers": (_entry(name, one.run, one.Options, _sampler(one)) for name, one in SAMPLERS.items()),
        "Transforms": (_step(name, one.transform, one, _needs(one)) for name, one in TRANSFORMS.items()),
        "Marks": (_step(name, one.mark, one, [f"acts on {one.acts}"]) for name, one in MARKS.items()),
        "Rewards": (_step(name, one.reward, one, _needs(one)) for name, one in REWARDS.items()),
        "Selectors": (_step(name, one.select, one, _needs(one)) for name, one in SELECTORS.items()),
        "Extractors": _table({name: entry.extract for name, entry in FEATURES.items()}),
        "Metrics": _table({name: entry.function for name, entry in METRICS.items()}),
    }
    parts = [INTRODUCTION]
    for heading, about in SECTIONS.items():
        parts += [f"## {heading}\n", f"{about}\n", *(list(written[heading]) or [NONE])]
    return "\n".join(parts)


def _table(described: Mapping[str, Any]) -> Iterator[str]:
    """What another page has in full, in a sentence each."""
    yield "| name | what it is |"
    yield "|---|---|"
    yield from (f"| `{name}` | {_first(thing).replace('|', '&#124;')} |" for name, thing in described.items())
    yield ""


def _source(name: str, entry: Any) -> str:
    return _entry(name, entry, entry, [entry.citation.rstrip(".")], leave_out=("source",))


def _population(name: str, entry: Any) -> str:
    facts = [f"gives {entry.gives}"]
    facts += ["knows its moments"] if issubclass(entry, Knows) else []
    facts += ["knows what is possible"] if issubclass(entry, Judges) else []
    return _entry(name, entry, entry.PopulationOptions, facts, _first(_module(entry)))


def _adapter(entry: Any) -> Iterator[str]:
    yield f"of models that are {_list(one.__name__ for one in entry.asks)}" if entry.asks else ""
    yield from _needs(entry)


def _guide(entry: Any) -> Iterator[str]:
    yield f"reads the {' and the '.join(entry.reads)} prediction{'s' if len(entry.reads) > 1 else ''}"
    yield "changes what the model is told" if entry.changes else ""
    for option, values in entry.among.items():
        yield f"asks for {option} {' or '.join(map(str, values))}"
    yield (
        f"does nothing with {', '.join(f'{name} {value}' for name, value in entry.neutral.items())}"
        if entry.neutral
        else ""
    )


def _sampler(entry: Any) -> Iterator[str]:
    yield f"of order {entry.order}"
    yield f"asks the network {entry.evaluations(18)} times in 18 steps"
    yield f"steps are even in {'DDPM time' if entry.spacing == 'time' else 'sigma^(1/rho)'}"
    yield "adds noise of its own" if entry.stochastic else ""


def _needs(entry: Any) -> Iterator[str]:
    needs = entry.needs
    yield f"looks through {_list(f'`{one}`' for one in needs.features)}" if needs.features else ""
    yield "looks through the model" if needs.model else ""
    earlier = "all" if needs.ancestors < 0 else f"the last {needs.ancestors}"
    yield f"needs {earlier} earlier models of the arm" if needs.ancestors else ""
    yield "needs people's ballots" if needs.ballots else ""
    yield "needs a key" if needs.key else ""
    yield "needs the arm's mark" if needs.mark else ""


def _step(name: str, function: Callable[..., Any], entry: Any, facts: Iterable[str]) -> str:
    return _entry(name, function, entry.Options, [f"takes {_list(entry.takes)}", *facts])


def _entry(
    name: str, thing: Any, options: Any, facts: Iterable[str] = (), about: str = "", leave_out: tuple[str, ...] = ()
) -> str:
    """One entry: its facts, its docstring as it stands, and its options."""
    words = "; ".join(fact for fact in facts if fact)
    words = "; ".join(fact for fact in facts if fact)
    parts = [f"### `{name}`", f"*{words[:1].upper()}{words[1:]}.*" if words else "", about]
    parts.append(f"```text\n{inspect.getdoc(thing)}\n```")
    rows = list(option_rows(options, leave_out))
    parts.append("\n".join(["| option | default | what it is |", "|---|---|---|", *rows]) if rows else "")
    return "\n\n".join(part for part in parts if part) + "\n"


def _module(entry: type) -> Any:
    """The module of a class, which says of it in words what its docstring says in symbols."""
    return sys.modules[entry.__module__]


def _first(thing: Any) -> str:
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
