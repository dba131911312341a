"""The words of the page in each language, which a study may change."""

import functools
import re
from collections.abc import Mapping
from importlib import resources

import yaml

from ...select.judging import LANGUAGES, Judging

PLACE = re.compile(r"\{([a-z]+)\}")


@functools.cache
def shipped(language: str) -> Mapping[str, str]:
    """The words of a language that is shipped, by their keys."""
    return yaml.safe_load(resources.files(__package__).joinpath(f"{language}.yaml").read_text(encoding="utf-8"))


class Words:
    """The words of the page in one language."""

    def __init__(self, options: Judging, language: str):
        self.language = language
        self._words = dict(shipped(language if language in LANGUAGES else LANGUAGES[0]))
        if language in options.consent:
            self._words["consent_text"] = options.consent[language]
        self._words |= options.texts.get(language, {})

    def __call__(self, key: str, **values: object) -> str:
        """What stands under a key, with values in its places; a place that has no value stays as it is."""
        return PLACE.sub(lambda found: str(values.get(found[1], found[0])), self._words[key])


def faults(options: Judging) -> list[str]:
    """What is wrong with the words that a study brings: keys that the page has not, and languages that lack some."""
    known = shipped(LANGUAGES[0])
    found = []
    for language, words in options.texts.items():
        unknown = sorted(set(words) - set(known))
        lacking = sorted(set(known) - set(words)) if language not in LANGUAGES else []
        found += [
            f"texts: {language}: unknown key {key!r}; the keys are those of judge/texts/en.yaml" for key in unknown
        ]
        if lacking:
            found.append(f"texts: {language}: is not shipped, and lacks {', '.join(lacking)}")
    return found


def chosen(accepted: str, options: Judging) -> str:
    """The language of the study that a browser asks for first (``Accept-Language``), or the study's first one."""
    asked = []
    for part in accepted.lower().split(","):
        name, _, quality = part.strip().partition(";q=")
        try:
            asked.append((-float(quality or 1), name.partition("-")[0]))
        except ValueError:
            continue
    return next(
        (name for _, name in sorted(asked, key=lambda one: one[0]) if name in options.languages), options.languages[0]
    )
