"""What holds for every model family: the laws of ``collapselab.testing``, over the whole registry."""

from importlib.util import find_spec

import pytest

from collapselab.models import MODELS
from collapselab.study.unsuited import gives_labels
from collapselab.testing import check_family, families

pytestmark = pytest.mark.trained


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_family_keeps_its_contract(name, monkeypatch):
    """And whether its samples have labels, which selectors read, is known before any work."""
    sampled, check = [], families.check_samples
    monkeypatch.setattr(families, "check_samples", lambda *one: sampled.append((one[1], check(*one))) or sampled[-1][1])
    if name.startswith("pretrained") and find_spec("peft") is None:
        pytest.skip("needs collapselab[pretrained]")
    check_family(name)
    assert sampled
    for model, samples in sampled:
        assert gives_labels(MODELS[name], model.options) == (samples.labels is not None)
