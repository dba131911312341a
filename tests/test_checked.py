"""The record of a tuning on its way, and where it ends: where recall has fallen, or nobody can tell it any more."""

import math
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from collapselab.adapt.checked import Checked  # noqa: E402


class Walk(Checked):
    """A tuning of one number that goes up by 1 a step, whose recalls are told."""

    numbers = ("images_seen", "recall")

    def __init__(self, recalls, stop="knee"):
        self.recalls = recalls
        self.how = SimpleNamespace(stop=stop, checks=len(recalls) - 1, extractor=None)
        self.given = SimpleNamespace(validation=range(100))
        self.parameters = [torch.nn.Parameter(torch.zeros(()))]
        self.check_from(len(recalls) - 1)

    def _measure(self, index, images_seen):
        self._write(index, None, {"images_seen": images_seen, "recall": self.recalls[index]})

    def walked(self):
        self.begun()
        for step in range(1, len(self.recalls)):
            with torch.no_grad():
                self.parameters[0].add_(1)
            self.after_step(step, 1)
            if self.ended():
                break
        return float(self.parameters[0].detach()), self.facts()["stopped"]


def test_it_ends_below_two_standard_errors_with_the_model_of_the_check_before():
    # r = .5 of 100 rows: the floor is .4.
    assert Walk([0.5, 0.45, 0.401, 0.399, 0.9]).walked() == (2, {"at": "knee", "check": 2, "images_seen": 2})
    assert Walk([0.5, 0.45, 0.401, 0.401]).walked() == (3, {"at": "budget", "check": 3, "images_seen": 3})


def test_a_recall_that_nobody_can_tell_counts_as_fallen_and_at_the_start_is_refused():
    assert Walk([0.5, 0.45, math.nan, 0.9]).walked() == (1, {"at": "knee", "check": 1, "images_seen": 1})
    with pytest.raises(ValueError, match="determine no recall at the start: say budget"):
        Walk([math.nan, 0.5]).walked()
    assert Walk([math.nan, 0.5], stop="budget").walked()[1]["at"] == "budget"
