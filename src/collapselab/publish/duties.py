"""What laws ask of whoever publishes a generative model or its samples, field by field: the literal ``LAWS``.

State of November 2026. It is no legal advice, and whether a law applies is not for a program to say.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from . import sayings
from .known import Known


class Duty(NamedTuple):
    """One thing that a law asks.

    where: its article, section or item. asked: what, in a few words. known: what the records say of it. unknown: what
    they cannot know, in words that end "not known to collapselab: …". answer: the key of the publisher's answer, as
    ``sources.owner``; empty where none is needed.
    """

    where: str
    asked: str
    known: Callable[[Known], str] | None = None
    unknown: str = ""
    answer: str = ""


class Law(NamedTuple):
    """A law: its title, what it is and since when, and what it asks."""

    title: str
    about: str
    duties: Sequence[Duty]


LAWS: Mapping[str, Law] = {
    "ai_act_50": Law(
        "EU AI Act, article 50: that samples are told for what they are",
        "Transparency duties of providers and deployers, in application since 2 August 2026; systems that were on the "
        "market before have until 2 December 2026 for the marking of 50(2). The voluntary code of practice of 10 June "
        "2026 asks for two layers: signed metadata, and an imperceptible mark.",
        (
            Duty("50(2)", "Outputs are marked in a machine-readable format", sayings.metadata),
            Duty(
                "Code 1.1.1",
                "The metadata are digitally signed and time-stamped",
                None,
                "whether what you publish was signed (`collapselab check` says it); no time stamp is made here",
                "system.time_stamps",
            ),
            Duty(
                "Code 1.1.2",
                "An imperceptible watermark is in the content",
                sayings.marks,
                "whether it survives what others do to the samples; its key follows from the study's seed, so that "
                "whoever has the study's file finds the mark, and can take it away",
            ),
            Duty(
                "Code 1.1.2",
                "The mark is detectable: hits, and false alarms",
                sayings.detector,
                "rates that nobody measured; a study measures them with the extractor mark",
            ),
            Duty("Code 1.1.3", "A log or registry of fingerprints (optional)", sayings.identifiers, "", "system.log"),
            Duty(
                "Code 1.2",
                "Marks that were in the training data are kept",
                None,
                "whether the real data carried marks or signed metadata: pixels are read, and metadata dropped",
            ),
            Duty("Code", "A free detector for everybody", None, "where it is offered", "system.detector"),
            Duty(
                "50(4), 50(5)",
                "People are told of deep fakes, clearly and at first sight",
                None,
                "how the samples are shown",
                "system.visible_mark",
            ),
        ),
    ),
    "ai_act_53_summary": Law(
        "EU AI Act, article 53(1)(d): summary of the training content",
        "The Commission's mandatory template of 24 July 2025, for general-purpose models. Models that are used for "
        "research alone before they are placed on the market are outside; whoever modifies a model reports the data of "
        "the modification.",
        (
            Duty("1.1", "The provider", None, "", "provider.name"),
            Duty("1.1", "How the provider is reached", None, "", "provider.address"),
            Duty("1.1", "The authorised representative", None, "", "provider.representative"),
            Duty("1.2", "The model's name", None, "", "system.name"),
            Duty("1.2", "Its version", None, "", "system.version"),
            Duty("1.2", "What it is, and on what it is built", sayings.models),
            Duty("1.2", "Date of placing on the market", None, "", "system.released"),
            Duty("1.3", "Modalities", sayings.modality),
            Duty("1.3", "Size of the training data, in ranges", sayings.size),
            Duty(
                "1.3",
                "Latest date of data acquisition, and whether it goes on",
                sayings.collected,
                "",
                "sources.collected",
            ),
            Duty("2.1", "Publicly available data sets", sayings.source, "", "sources.obtained"),
            Duty("2.2", "Private data sets, licensed or otherwise", sayings.licence, "", "sources.licence"),
            Duty(
                "2.3",
                "Data that were crawled and scraped, with crawlers, periods and top domains",
                None,
                "collapselab reads files and crawls nothing; how those files came to be, only their owner can say",
                "sources.domains",
            ),
            Duty("2.4", "User data", None, "collapselab collects none", ""),
            Duty("2.5", "Synthetic data, and which models made it", sayings.synthetic),
            Duty("2.6", "Other sources: people's judgements", sayings.judges),
            Duty("3.1", "How reservations of rights were respected", None, "", "sources.reservations"),
            Duty("3.2", "How illegal content was removed", None, "collapselab looks for none", "sources.illegal"),
            Duty("3.3", "Other processing", sayings.processing, "", "sources.cleaned"),
        ),
    ),
    "ai_act_53_documentation": Law(
        "EU AI Act, article 53(1)(a) and (b): documentation, annexes XI and XII",
        "For the AI Office on request, and for whoever builds on the model; since 2 August 2025. A model counts as "
        "general-purpose by the guidelines of 18 July 2025 from about 1e23 FLOP on, if it makes text, sound, images or "
        "video from text.",
        (
            Duty("XI 1(1)(a), XII 1(a)", "Intended tasks", sayings.purpose, "", "system.tasks"),
            Duty("XI 1(1)(b), XII 1(b)", "Acceptable use", None, "", "system.acceptable_use"),
            Duty("XI 1(1)(c), XII 1(c)", "Release and distribution", None, "", "system.channels"),
            Duty("XI 1(1)(d), XII 1(f)", "Architecture, and number of parameters", sayings.models),
            Duty("XI 1(1)(e), XII 1(g)", "Modality and format of inputs and outputs", sayings.modality),
            Duty("XI 1(1)(f), XII 1(h)", "Licence", None, "", "system.licence"),
            Duty("XI 1(2)(b)", "Design of the training", sayings.reproduce),
            Duty("XI 1(2)(c), XII 2(c)", "Data: type, provenance, curation", sayings.split),
            Duty("XI 1(2)(d)", "Compute and training time", sayings.flop),
            Duty("XI 1(2)(d)", "When", sayings.period),
            Duty("XI 1(2)(e)", "Energy", sayings.energy),
            Duty("XI 2", "Known risks and harms", sayings.harms, "what was not measured", "system.harms"),
        ),
    ),
    "ab_2013": Law(
        "California AB 2013 (Civil Code 3111): documentation of training data",
        "On the developer's website, since 1 January 2026, for generative systems that Californians can use and that "
        "were released or substantially modified since 2022.",
        (
            Duty("(a)(1)", "Sources or owners of the data sets", sayings.source, "", "sources.owner"),
            Duty("(a)(2)", "How they serve the purpose", sayings.purpose, "", "sources.purpose"),
            Duty("(a)(3)", "Number of data points", sayings.size),
            Duty("(a)(4)", "Types of data points, or labels", sayings.labels),
            Duty("(a)(5)", "Copyright, trademark, patent, or public domain", sayings.licence, "", "sources.protected"),
            Duty("(a)(6)", "Bought or licensed", sayings.licence, "", "sources.obtained"),
            Duty(
                "(a)(7)",
                "Personal information",
                sayings.people,
                "collapselab looks at no picture for faces",
                "sources.personal",
            ),
            Duty("(a)(8)", "Aggregate consumer information", None, "", "sources.consumers"),
            Duty("(a)(9)", "Cleaning, processing or modification, and why", sayings.processing, "", "sources.cleaned"),
            Duty("(a)(10)", "Period of collection, and whether it goes on", sayings.collected, "", "sources.collected"),
            Duty("(a)(11)", "When the data were first used", sayings.first_used, "", "sources.first_used"),
            Duty("(a)(12)", "Whether synthetic data generation is or was used", sayings.synthetic),
        ),
    ),
    "sb_942": Law(
        "California SB 942, as amended by AB 853: AI Transparency Act",
        "Operative since 2 August 2026, for providers with more than one million monthly users.",
        (
            Duty("Scope", "Monthly users", None, "", "provider.monthly_users"),
            Duty(
                "Detection tool",
                "A free tool that tells whether the system made something",
                None,
                "",
                "system.detector",
            ),
            Duty("Manifest disclosure", "An optional visible mark", None, "", "system.visible_mark"),
            Duty("Latent disclosure", "Name of the provider", None, "exported files do not carry it", "provider.name"),
            Duty("Latent disclosure", "Name and version of the system", sayings.metadata, "", "system.name"),
            Duty(
                "Latent disclosure",
                "Time and date of creation",
                sayings.period,
                "samples carry no time of their own: the same study makes the same bytes on any day",
            ),
            Duty("Latent disclosure", "Unique identifier", sayings.identifiers),
            Duty("Latent disclosure", "Detectable, and permanent as far as possible", sayings.marks),
            Duty(
                "Licensees",
                "Licensees keep the disclosure, or lose the licence within 96 hours",
                None,
                "",
                "system.licensees",
            ),
        ),
    ),
}
"""Laws by a short name, in the order in which the dossier goes through them."""
