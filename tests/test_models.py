"""What holds for every model family: the laws of ``collapselab.testing``, over the whole registry."""

import pytest

from collapselab.models import MODELS
from collapselab.testing import check_family

pytestmark = pytest.mark.trained


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_family_keeps_its_contract(name):
    if name == "pretrained":
        pytest.importorskip("peft", reason="needs collapselab[pretrained]")
    check_family(name)
