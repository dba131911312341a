"""What one lineage of an arm spends, counted before it is spent: the price of whatever it does against collapse."""

from typing import NamedTuple


class Spent(NamedTuple):
    """What one lineage spends from generation 0 to the last.

    images: seen by its trainings, adapters and further models, repeats counted. real: distinct real rows that its
    training sets have had, or that selectors, adapters and choices have looked at. evaluations: of networks, to make
    its samples and those that adapters and further models learn from; a sample of a formula counts one. judgements:
    first answers of people, or of what stands in for them. kept: the most rows that a training set is drawn from.
    discarded: samples that a selector threw away.
    """

    images: int
    real: int
    evaluations: int
    judgements: int = 0
    kept: int = 0
    discarded: int = 0

    @property
    def price(self) -> tuple[int, int, int, int]:
        """What is paid, part by part: nobody says what an image is worth in judgements, and so nothing is added up."""
        return self.images, self.real, self.evaluations, self.judgements
