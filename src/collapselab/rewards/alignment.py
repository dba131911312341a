"""How much of what was asked for is said of a picture: a captioner's words against the prompt's."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import Field, model_validator

from ..core.choice import FileName, Options
from ..core.errors import Foreign
from ..core.facts import Facts
from ..core.sets import SampleSet
from ..features.base import ExtractorName
from .classifier import probabilities

if TYPE_CHECKING:
    from ..features import Features

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class AlignmentOptions(Options):
    """Who says what a picture shows, what was asked for, and who compares sentences."""

    encoder: FileName = Field(
        min_length=1, description="folder with a sentence encoder and its tokenizer, as transformers saves them"
    )
    names: tuple[str, ...] = Field(DIGITS, min_length=1, description="what class 0, 1, ... is called")
    sentence: str = Field("the picture shows a {}", description="what is said, with the class's name in place of {}")
    prompts: tuple[str, ...] = Field(
        (), description="what was asked for, one for all or one for each class; none: the sentence of a sample's class"
    )
    extractor: ExtractorName | None = Field(
        "lenet", description="the classifier that says which class it sees; null where a captioner speaks"
    )
    captioner: FileName | None = Field(
        None, description="folder of a vision-language model that describes pictures, in the classifier's place"
    )

    @model_validator(mode="after")
    def _one_speaks(self) -> Self:
        if (self.extractor is None) == (self.captioner is None):
            found = "neither a classifier nor a captioner" if self.extractor is None else "both a classifier and one"
            raise ValueError(f"captioner: found {found}; one of them speaks: the other is null")
        if self.sentence.count("{}") != 1:
            raise ValueError(f"sentence: found {self.sentence!r}, allowed are sentences with {{}} once")
        return self


def alignment(samples: SampleSet, seen: "Mapping[str, Features]", options: AlignmentOptions) -> np.ndarray:
    """BERTScore recall of what is said of a picture against its prompt, in -1 .. 1: (n,) float64.

    R = (1 / |x|) sum over tokens x_i of the prompt of max over tokens y_j of what is said of cos(x_i, y_j) (Zhang et
    al. 2019, arXiv 1904.09675, equation 1, without weights of rarity): the alignment reward of Black et al. 2023 (arXiv
    2305.13301, section 4.3). A classifier says the name of its likeliest class, which costs nothing; a vision-language
    model describes each picture. Raises ValueError for names that are not as many as the classifier's classes, and for
    samples without the labels that say what was asked for, Foreign for a folder of another network.
    """
    wanted = _wanted(samples, options)
    if not len(samples):
        return np.empty(0)
    said = [options.sentence.format(name) for name in options.names]
    if options.captioner is None:
        shares = probabilities(seen[options.extractor], options.extractor)
        if shares.shape[1] != len(said):
            raise ValueError(f"names: found {len(said)}, allowed are {shares.shape[1]}, the classes of its classifier")
        spoken = [said[one] for one in shares.argmax(axis=1)]
    else:
        from .describing import described

        spoken = described(Path(options.captioner), samples.data)
    folder, pairs = Path(options.encoder), list(zip(wanted, spoken, strict=True))
    worth = {pair: recall(*(tokens_of(folder, one) for one in pair)) for pair in dict.fromkeys(pairs)}
    return np.array([worth[pair] for pair in pairs], np.float64)


def recall(wanted: np.ndarray, said: np.ndarray) -> float:
    """The mean over tokens of the first (n, width) of the largest cosine with one of the second (m, width)."""
    if not (len(wanted) and len(said)):
        return 0.0
    return float((_unit(wanted) @ _unit(said).T).max(axis=1).mean())


def fault(facts: Facts, options: AlignmentOptions) -> str:
    """Other names than there are classes, and no labels to ask by."""
    classes = facts.classes()
    if classes is None:
        return ""
    if len(options.prompts) != 1 and not classes:
        return "prompts: found several, and data without labels; allowed is one for all"
    if options.extractor == "lenet" and classes and len(options.names) != classes:
        return f"names: found {len(options.names)}, allowed are {classes}, one for each class"
    return ""


def _wanted(samples: SampleSet, options: AlignmentOptions) -> Sequence[str]:
    """The prompt of each sample."""
    prompts = options.prompts or tuple(options.sentence.format(name) for name in options.names)
    if len(prompts) == 1:
        return prompts * len(samples)
    if samples.labels is None:
        raise ValueError(f"prompts: found {len(prompts)}, and samples without labels; allowed is one for all")
    if len(samples) and not 0 <= samples.labels.min() <= samples.labels.max() < len(prompts):
        found = f"{samples.labels.min()} to {samples.labels.max()}"
        raise ValueError(f"prompts: found {len(prompts)}, and labels {found}; allowed is one for each class")
    return [prompts[label] for label in samples.labels.tolist()]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)


# -- the sentence encoder ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def tokens_of(folder: Path, sentence: str) -> np.ndarray:
    """The embeddings of a sentence's tokens, but for the marks of its ends: (tokens, width) float64."""
    import torch

    network, tokenizer = encoder_in(folder)
    told = tokenizer([sentence], return_tensors="pt", return_special_tokens_mask=True, truncation=True)
    own = ~told.pop("special_tokens_mask")[0].bool()
    with torch.inference_mode():
        found = network(**told).last_hidden_state[0]
    return found[own].double().numpy()


@lru_cache(maxsize=2)
def encoder_in(folder: Path) -> tuple[Any, Any]:
    """The sentence encoder of a folder, and its tokenizer. Nothing is fetched, and no code is run.

    Raises ValueError for a folder that is not there, and Foreign for one that holds something else.
    """
    from ..features.published import check_configuration, quiet
    from ..machine.compat import import_torchvision

    import_torchvision()  # transformers needs it
    import torch
    import transformers

    if not folder.is_dir():
        raise ValueError(f"encoder: there is no folder {folder}")
    if not (folder / "config.json").is_file():
        raise Foreign(folder, f"encoder: {folder} has no config.json, as the folder of a sentence encoder has")
    check_configuration(folder)
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet(transformers):
        try:
            network, found = transformers.AutoModel.from_pretrained(
                folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **own
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **own)
        except Exception as error:  # the library lets through whatever its parts raise of a file
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise Foreign(folder, f"encoder: {folder} is no sentence encoder with its tokenizer: {said}") from None
    missing = sorted([*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])])
    if missing := [name for name in missing if not name.startswith("pooler")]:
        raise Foreign(
            folder, f"encoder: {folder} is no sentence encoder: it lacks {len(missing)} tensors, as {missing[0]}"
        )
    return network.eval(), tokenizer
