"""What other packages add to a registry: found by their metadata, loaded when asked for, and never in our place."""

import sys

import pytest

from collapselab.core.registry import Registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers three entries, one of which is broken and one of which has our name."""
    (tmp_path / "somebodys.py").write_text("MORE = 3\nOURS = 4\n")
    info = tmp_path / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[collapselab.test]\nmore = somebodys:MORE\none = somebodys:OURS\nbroken = somebodys:ABSENT\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "somebodys"
    sys.modules.pop("somebodys", None)


def test_entries_of_other_packages_are_found_by_their_metadata_and_loaded_when_asked_for(package):
    registry = Registry("collapselab.test", {"one": 1, "two": 2})
    assert list(registry) == ["one", "two", "broken", "more"] and len(registry) == 4
    assert "more" in registry and package not in sys.modules
    assert registry["more"] == 3 and package in sys.modules
    assert list(registry) == ["one", "two", "more", "broken"]  # what is loaded stands with ours


def test_an_entry_of_ours_is_not_replaced(package):
    assert Registry("collapselab.test", {"one": 1})["one"] == 1


def test_what_is_broken_is_said_with_its_package(package):
    registry = Registry("collapselab.test", {})
    with pytest.raises(ValueError, match=r"collapselab\.test: 'broken' of the package somebodys cannot be loaded"):
        registry["broken"]
    with pytest.raises(KeyError):
        registry["nobodys"]
    assert registry.get("nobodys", 5) == 5 and registry.get("more") == 3 and "nobodys" not in registry


def test_our_own_names_cost_no_search(monkeypatch):
    registry = Registry("collapselab.test", {"one": 1})
    monkeypatch.setattr("collapselab.core.registry.entry_points", lambda **_: pytest.fail("searched"))
    assert registry["one"] == 1 and "one" in registry and registry.get("one") == 1
