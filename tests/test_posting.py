"""What people say of posting becomes a synthetic share, and the share a regime."""

import pytest
import yaml

from collapselab.compose.regimes import REGIMES, at
from collapselab.judge.posting import posting, regime_of


def test_the_share_follows_from_the_part_of_posting_that_stays():
    """Of 25 people who answer as by the survey of the tests: 1, 4, 12, 8 of them at the four points."""
    answers = [1] * 1 + [2] * 4 + [3] * 12 + [4] * 8
    kept_up = (1 + 4 * 2 / 3 + 12 / 3) / 25
    found = posting(answers, 0.5)
    assert found.answered == 25 and found.kept_up == pytest.approx(kept_up)
    assert found.share == pytest.approx(0.5 * kept_up / (0.5 + 0.5 * kept_up))  # as much real data, less synthetic
    assert posting([1, 1], 0.3).share == pytest.approx(0.3) and posting([4, 4], 0.3).share == 0
    assert posting([2], 0.0).share == 0
    for answers, share, words in [([], 0.5, "no answers"), ([5], 0.5, "allowed are"), ([1], 1.0, "less than 1")]:
        with pytest.raises(ValueError, match=words):
            posting(answers, share)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.999, 1.0])
def test_the_regime_has_that_share(share):
    ((name, numbers),) = yaml.safe_load(regime_of(share, 1000))["regime"].items()
    regime = REGIMES[name](**numbers, initial=1000)
    rows = sum(at(part.n, 1) for part in regime.synthetic)
    assert rows == round(1000 * share) and rows + regime.real.fixed + regime.real.redrawn == 1000
