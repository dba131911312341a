"""A training that is killed, at any moment, goes on to the same file."""

import pytest
from torch_families import TRAINED
from trials import training

pytestmark = pytest.mark.trained

# In the suite two of one; at length all, and more of those whose state is more than the loop's own and one average.
RICH = ("diffusion", "stylegan2")
KILLS = [("diffusion", 2)]
KILLS += [pytest.param(family, 20 if family in RICH else 8, marks=pytest.mark.slow) for family in TRAINED]


@pytest.mark.parametrize(("family", "kills"), KILLS)
def test_kills_change_no_byte(family, kills, tmp_path):
    outcomes = training.run(kills, family, folder=tmp_path)
    assert [outcome["same"] for outcome in outcomes] == [True] * kills
    # The test itself works: all were killed in the act, and most went on from a state rather than from nothing.
    assert all(outcome["killed"] for outcome in outcomes), outcomes
    assert sum(outcome["resumed"] > 0 for outcome in outcomes) >= kills // 2, outcomes
