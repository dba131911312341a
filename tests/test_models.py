"""What holds for every model family: the laws of ``collapselab.testing``, over the whole registry."""

from importlib.util import find_spec

import pytest

from collapselab.models import MODELS
from collapselab.testing import check_family

pytestmark = pytest.mark.trained


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_family_keeps_its_contract(name):
    if name.startswith("pretrained") and find_spec("peft") is None:
        pytest.skip("needs collapselab[pretrained]")
    check_family(name)
