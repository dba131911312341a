"""Writes docs/gallery.md: a card for each study that is shipped, as its file has it. A test compares the two.

python docs/gallery.py
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from collapselab.features import FEATURES
from collapselab.study import Study
from collapselab.study.loading import check
from collapselab.study.papers import arms_of
from collapselab.study.reading import parse

PAGE = Path(__file__).with_suffix(".md")
CONFIG = Path(__file__).resolve().parents[1] / "config"
INTRODUCTION = """\
# Gallery of studies

All studies that come with collapselab, each with its question, its size and the command that runs it. The name of a
study is all that a command needs: `collapselab validate NAME` checks it, `collapselab plan NAME` says what it costs on
your machine, and `collapselab run NAME` runs it. Studies after papers are called by their file, as their cards say. A
study ends with one HTML file, `results/NAME/report/report.html`.

A training is one model that is trained. Small models take seconds each on one core, networks minutes to days: ask
`collapselab plan`. This page is written by `python docs` from the files in `config/`.
"""
PARTS = {
    "To begin with": ["quickstart", "smoke"],
    "Exact laws, and known truths": [
        *(
            "theory-gaussian",
            "theory-multinomial",
            "theory-updating",
            "scaling",
            "outfits",
            "pixels",
            "land",
            "jars",
            "taxonomy",
        ),
        *("hallucinations", "coverage-repair", "targeted-share", "samplers", "guidance-loop"),
    ],
    "Text": ["text", "text-smoke", "text-chosen", "text-transformer"],
    "Sound": ["tones", "chirps", "drums", "speech"],
    "Selection, and people": ["digits-selection", "education", "marks", "rehearsal"],
    "Cures, rewards, forgetting": [
        *(
            "prevention",
            "prevention-smoke",
            "cures",
            "ddpo",
            "unlearn",
            "unlearn-logo",
            "continual",
            "continual-strength",
            "compliance",
            "samplers-digits",
        ),
    ],
    "Large studies": [
        *("cifar10-regimes", "cifar10-regimes-smoke", "faces64-mad", "faces64-mad-smoke"),
        *("ffhq1024-human", "ffhq1024-human-smoke"),
    ],
    "After papers": [],  # all of config/papers
}
TOLD = {  # study -> the page that goes through it
    "quickstart": "tutorial",
    **dict.fromkeys(("outfits", "pixels", "land", "jars", "taxonomy"), "from-counting-to-diffusion"),
    "hallucinations": "hallucinations",
    **dict.fromkeys(("coverage-repair", "targeted-share"), "coverage"),
    **dict.fromkeys(("samplers", "samplers-digits"), "samplers"),
    "guidance-loop": "guidance",
    **dict.fromkeys(("rehearsal", "education", "ffhq1024-human"), "judging"),
    **dict.fromkeys(("prevention", "prevention-smoke"), "prevention"),
    "cures": "cures",
    "ddpo": "rewards",
    **dict.fromkeys(("unlearn", "unlearn-logo"), "unlearning"),
    **dict.fromkeys(("continual", "continual-strength", "theory-updating"), "updating"),
    "compliance": "compliance",
    **dict.fromkeys(("text", "text-smoke", "text-chosen", "text-transformer"), "sequences"),
    "scaling": "scaling",
    **dict.fromkeys(("tones", "chirps", "drums", "speech"), "sound"),
}
EMBEDDED = ("quickstart",)
"""Studies whose reports are shown in the page itself; those of others are linked from their cards."""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for heading, names in _listed().items():
        parts += [f"## {heading}\n", "::::{grid} 1 1 2 2\n:gutter: 3\n", *map(_card, names), "::::\n"]
        parts += [f"```{{report}} {name}\n```\n" for name in names if name in EMBEDDED]
    return "\n".join(parts)


def _listed() -> dict[str, list[str]]:
    """The parts with the studies of each; what none of them names stands in the last but one."""
    parts = {heading: list(names) for heading, names in PARTS.items()}
    known = {name for names in parts.values() for name in names}
    parts["Large studies"] += sorted({path.stem for path in CONFIG.glob("*.yaml")} - known)
    parts["After papers"] = [f"papers/{path.stem}" for path in sorted((CONFIG / "papers").glob("*.yaml"))]
    return parts


def _card(name: str) -> str:
    path = CONFIG / f"{name}.yaml"
    raw, _, _ = parse(path)
    study, _ = check(raw, path.stem)
    called = path.stem if path.parent == CONFIG else f"config/{name}.yaml"
    lines = [f":::{{grid-item-card}} `{path.stem}`", str(raw.get("question", "")), ""]
    lines += [f"- {said}" for said in _facts(study, raw)]
    page = f"gallery/{path.stem}" if name.startswith("papers/") and "paper" in raw else TOLD.get(name)
    lines += [f"- [The page about it]({page}.md)"] if page else []
    report = [] if name in EMBEDDED else ["```{report} " + path.stem, ":linked:", "```"]
    return "\n".join([*lines, "", *report, "```text", f"collapselab run {called}", "```", ":::", ""])


def _facts(study: Study, raw: Mapping[str, Any]) -> Iterator[str]:
    """What it is made of, in words."""
    cells = list(study.all_cells())
    trainings = sum(1 for _ in study.base_cells()) + sum(1 for _, _, generation in cells if generation)
    size = f"{_many(raw['seeds'], 'seed')}, {_many(raw['generations'], 'generation')}"
    yield f"{trainings:,} trainings: {arms_of(study)}, {size}"
    data = raw["data"].get("source") or raw["data"]["population"]
    yield f"data: `{_name(data)}`; models: {', '.join(sorted({f'`{_name(one)}`' for one in raw['models'].values()}))}"
    if lacking := list(_lacking(raw)):
        yield f"needs {' and '.join(lacking)}"


def _lacking(raw: Mapping[str, Any]) -> Iterator[str]:
    """What it reads that is not the repository's to ship."""
    source = raw["data"].get("source")
    files = isinstance(source, dict) and "path" in (next(iter(source.values())) or {})
    yield from ["data that you bring"] if files else []
    names = [_name(one) for one in raw["extractors"]]
    yield from (f"the weights of `{name}`" for name in names if FEATURES[name].needs.through == "published")
    yield from ["weights to start from"] if "weights" in str(raw.get("init", "")) else []


def _name(choice: Any) -> str:
    return choice if isinstance(choice, str) else next(iter(choice))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
