"""What an entry of a registry must be handed: from it follow the inputs, flags, faults and hashes of its jobs."""

from dataclasses import dataclass
from typing import Literal

Through = Literal["nothing", "learnt", "published", "model", "mark", "truth", "law"]
"""What one looks through: nothing; weights that the workflow learns from the real data; weights that somebody has
published; the model of each generation; the detector of its arm's mark; the known truth that real data is drawn from;
or laws, which are the exact moments of the model of each generation, and of the known truth for the real ones, whatever
rows there are."""

ALL = -1  # ancestors: as many as there are


@dataclass(frozen=True)
class Needs:
    """What an entry must be handed; it names what it needs, and nobody else decides it again.

    through: what it looks through. published: the weights that ``collapselab weights`` knows by this name, where it
    looks through published ones; it needs a path, and never fetches by itself. features: extractors through which it is
    shown samples and the training split. model: the generation's own model. train: the training split itself, which is
    there, too, where features are. twin: what the selector of another arm has kept, as chance is to keep as many.
    ask: what the model was asked for when it made the samples. ancestors: how many earlier models of the arm, the last
    ones; ``ALL`` for all. earlier: the training sets of all of the arm's earlier generations. ballots: a closed export
    of people's judgements of the samples. key: a secret. mark: whether the samples carry the arm's mark, by its
    detector.
    """

    through: Through = "nothing"
    published: str = ""
    features: tuple[str, ...] = ()
    model: bool = False
    train: bool = False
    twin: bool = False
    ask: bool = False
    ancestors: int = 0
    earlier: bool = False
    ballots: bool = False
    key: bool = False
    mark: bool = False

    @property
    def through_model(self) -> bool:
        """Whether it looks through the generation's own model, or through its law."""
        return self.through in ("model", "law")

    @property
    def through_truth(self) -> bool:
        """Whether it looks at the known truth, itself or its law."""
        return self.through in ("truth", "law")


NOTHING = Needs()


def looks_anew(needs: Needs) -> bool:
    """Whether it looks through what is a generation's own, so that real data are looked at anew in each."""
    return needs.through in ("model", "mark")
