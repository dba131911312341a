"""The report as a reader sees it: opened in a browser, without a network."""

import re
import subprocess

import made_up
import pytest
from browsing import CHROMIUM, FLAGS

from collapselab import report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not on the PATH"),
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The report's page after its scripts have run."""
    folder = tmp_path_factory.mktemp("page")
    records = made_up.records()
    page = report.build(made_up.facts(), records, made_up.grids(), made_up.costs(records), figures=False)["report.html"]
    # Charts are drawn as they come in sight, and all of them for a printer.
    prints = b"<script>addEventListener('load', () => dispatchEvent(new Event('beforeprint')))</script>"
    (folder / "report.html").write_bytes(page + prints)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    done = subprocess.run([*command, (folder / "report.html").as_uri()], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return page.decode(), done.stdout


def test_every_chart_is_drawn(drawn):
    page, dom = drawn
    places = re.findall(r'data-chart="(\w+)"', page)
    assert len(places) > 5
    assert dom.count('class="marks"') == len(places)


def test_charts_name_every_arm_and_carry_their_points(drawn):
    _, dom = drawn
    first = dom[dom.index('class="marks"') :]
    first = first[: first.index("</svg>")]
    for arm in made_up.ARMS:
        assert arm in first
    assert first.count("<path") > len(made_up.ARMS) * 5  # lines, ranges and points of five generations


def test_pictures_are_there(drawn):
    _, dom = drawn
    assert dom.count('src="data:image/png;base64,') >= len(made_up.ARMS)
