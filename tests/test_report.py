"""The report: complete, self-contained, escaped, the same bytes twice; it refuses to compare what is not comparable."""

import csv
import io
import json
import re
from html.parser import HTMLParser

import made_up
import numpy as np
import pytest

from collapselab import report
from collapselab.verdicts import Endpoint


@pytest.fixture(scope="module")
def records():
    return made_up.diverge(made_up.records(), "fully_synthetic_biased", 1, 3)


@pytest.fixture(scope="module")
def built(records):
    return report.build(made_up.facts(), records, made_up.grids(), made_up.costs(records))


@pytest.fixture(scope="module")
def page(built):
    return built["report.html"].decode()


def rows(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def charts(page):
    return json.loads(re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.S)[1])


class Reader(HTMLParser):
    """Collects what a browser would fetch, the ids and where links lead, and pictures without words."""

    def __init__(self, page):
        super().__init__()
        self.fetched, self.ids, self.targets, self.mute, self.headings = [], [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.fetched += [given["src"]] if "src" in given else []
        self.fetched += [given["href"]] if tag == "link" else []
        self.targets += [given["href"]] if tag == "a" else []
        self.mute += [given] if tag == "img" and not given.get("alt") else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []


def test_the_page_fetches_nothing_and_forbids_it(page):
    reader = Reader(page)
    assert reader.fetched and all(address.startswith("data:image/png;base64,") for address in reader.fetched)
    assert "default-src 'none'" in page
    assert "://" not in json.dumps(
        [{k: v for k, v in spec.items() if k != "$schema"} for spec in charts(page).values()]
    )


def test_the_page_can_be_read_by_ear(page):
    reader = Reader(page)
    assert '<html lang="en">' in page and not reader.mute
    assert all(target.removeprefix("#") in reader.ids for target in reader.targets)
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.headings[0] == 1 and all(
        b - a <= 1 for a, b in zip(reader.headings, reader.headings[1:], strict=False)
    )


def test_every_drawn_chart_has_its_specification_and_its_pdf(built, page):
    placed = re.findall(r'data-chart="([^"]+)"', page)
    assert sorted(placed) == sorted(charts(page)) == sorted(set(placed))
    for name in placed:
        assert built[f"figures/{name}.pdf"].startswith(b"%PDF")
    assert placed[0] == "recall_lenet"


def test_small_enough_to_send(built):
    assert len(built["report.html"]) < 5_000_000


def test_the_same_input_gives_the_same_bytes(built, records):
    assert report.build(made_up.facts(), records, made_up.grids(), made_up.costs(records)) == built


def test_the_order_of_records_is_of_no_matter(built, records):
    again = report.build(made_up.facts(), records[::-1], made_up.grids(), made_up.costs(records), figures=False)
    assert [name for name in again if again[name] != built[name]] == []


def test_the_verdicts_stand_at_the_top(page):
    top = page[: page.index('id="samples"')]
    assert "Recall falls from 0.8" in top and "relative to control" in top
    assert "Training diverged in 1 of 3 lineages" in top
    assert "Lineages at risk" in top
    assert not re.search(r'class="status[^>]*>(no )?collapse<', top)


def test_a_finished_study_is_not_called_unfinished(page):
    assert "Unfinished" not in page


def test_an_unfinished_study_says_how_much_is_there():
    records = [record for record in made_up.records() if record["generation"] < 2 or record["arm"] == "control"][:40]
    page = report.build(made_up.facts(), records, figures=False)["report.html"].decode()
    assert "Unfinished" in page and f"{len(records)} of 75 cells" in page


@pytest.mark.parametrize("records", [[], made_up.records(seeds=1, generations=0)], ids=["nothing", "one generation"])
def test_almost_nothing_is_drawn_too(records):
    page = report.build(made_up.facts(), records, figures=False)["report.html"].decode()
    assert "inconclusive" in page


def test_what_users_write_is_escaped():
    evil = '<script>alert("x")</script>'
    facts = made_up.facts(
        name=evil,
        question=evil,
        data=evil,
        waivers=[evil],
        models={evil: evil},
        labels={"recall": evil},
        arms=dict.fromkeys(made_up.ARMS, evil),
    )
    page = report.build(facts, made_up.records(generations=1), figures=False)["report.html"].decode()
    assert evil not in page and "&lt;script&gt;alert" in page


def test_waivers_are_stated(records):
    page = report.build(made_up.facts(waivers=["budgets: the arms differ in size"]), records, figures=False)[
        "report.html"
    ]
    assert b"Waived in this study" in page and b"budgets: the arms differ in size" in page


def altered(records, arm, **fields):
    """The records, where an arm was measured in another way."""
    return [
        record | {"fingerprints": {key: print_ | fields for key, print_ in record["fingerprints"].items()}}
        if record["arm"] == arm
        else record
        for record in records
    ]


@pytest.mark.parametrize("field, other", [("n_fake", 500), ("k", 5), ("extractor_hash", "abc"), ("comparison", "<")])
def test_records_measured_in_another_way_are_refused(records, field, other):
    with pytest.raises(ValueError, match=f"{field} is .* in control/seed0/gen0 and {other!r} in fresh_data/seed0/gen0"):
        report.build(made_up.facts(), altered(records, "fresh_data", **{field: other}), figures=False)


def test_how_samples_are_made_is_an_arm_s_own_affair(records):
    report.check_comparable(altered(records, "fresh_data", sampling_bias=0.25, sampler="ddim", steps=50))


def test_copies_of_the_training_set_are_counted_against_each_cell_s_own(records):
    own = altered(records, "control", reference="training_set")
    for arm in made_up.ARMS:
        own = altered(own, arm, reference="training_set", reference_hash=arm, n_real=len(arm))
    report.check_comparable(own)
    columns, rows = report._fingerprint_table(own)
    assert columns == ["lenet against training set", "pixels against training set"]
    assert dict(rows)["reference hash"][0].count(",") == len(made_up.ARMS) - 1


def test_records_of_another_study_s_arm_are_refused():
    with pytest.raises(ValueError, match="found arms 'control', allowed are other"):
        report.build(made_up.facts(arms={"other": ""}), made_up.records(arms=["control"]), figures=False)


def test_metrics_csv_is_tidy_and_complete(built, records):
    table = rows(built["metrics.csv"])
    assert len(table) == sum(max(1, len(record["values"])) for record in records)
    lost = [row for row in table if row["status"] == "diverged"]
    assert {(row["seed"], row["generation"], row["metric"]) for row in lost} == {("1", "3", ""), ("1", "4", "")}


def test_tables_agree_with_the_records(built, records):
    endpoint = Endpoint("recall", "lenet")
    direct = np.mean(
        [
            entry["value"]
            for record in records
            if (record["arm"], record["generation"]) == ("fully_synthetic", 4)
            for entry in record["values"]
            if (entry["metric"], entry["extractor"], entry["set"]) == ("recall", "lenet", "sampled")
        ]
    )
    assert report.final(made_up.facts(), records, "fully_synthetic", endpoint)["mean"] == pytest.approx(direct)
    curve = [row for row in rows(built["curves.csv"]) if (row["arm"], row["generation"]) == ("fully_synthetic", "4")]
    assert float(curve[0]["recall_lenet"]) == pytest.approx(direct)
    assert float(rows(built["primary.csv"])[4]["fully_synthetic"]) == pytest.approx(direct)
    assert json.loads(built["summary.json"])["fully_synthetic"]["recall_lenet"] == pytest.approx(direct, abs=1e-6)
    summary = [row for row in rows(built["summary.csv"]) if row["metric"] == "recall" and row["extractor"] == "lenet"]
    biased = {row["set"]: float(row["mean"]) for row in summary if row["arm"] == "fully_synthetic_biased"}
    assert biased["raw"] > biased["sampled"] == biased["kept"]


def test_few_seeds_are_points_and_range_and_many_a_band(records):
    few = report.curve_rows(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"))
    means = [row for row in few if row["what"] == "mean"]
    for mean in means:
        own = [
            row["value"]
            for row in few
            if row["what"] == "lineage" and all(row[k] == mean[k] for k in ("arm", "panel", "generation"))
        ]
        assert (mean["low"], mean["high"]) == (min(own), max(own))
    facts = made_up.facts(seeds=8)
    many = report.curve_chart(facts, made_up.records(seeds=8), Endpoint("recall", "lenet"), 900, 300)
    marks = [layer["mark"]["type"] for layer in many["spec"]["layer"]]
    assert "area" in marks
    some = report.curve_chart(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"), 900, 300)
    assert "area" not in [layer["mark"]["type"] for layer in some["spec"]["layer"]]


def test_diverged_lineages_are_marked_where_they_end(records):
    found = report.curve_rows(made_up.facts(), records, Endpoint("recall", "lenet"))
    marks = [row for row in found if row["what"] == "diverged"]
    assert {(row["arm"], row["seed"], row["generation"]) for row in marks} == {("fully_synthetic_biased", 1, 3)}
    assert {row["text"] for row in found if row["what"] == "few"} == {"n = 2"}


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (3, 3, 32, 32), (2, 3, 256, 256)])
def test_a_grid_enlarges_by_whole_pixels_and_shrinks_by_averaging(shape):
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(report.grid_png(images))))
    side = sheet.shape[0] - 2
    first = sheet[1 : 1 + side, 1 : 1 + side].reshape(side, side, -1)
    plain = images[0].transpose(1, 2, 0)
    if shape[-1] <= side:
        times = side // shape[-1]
        assert np.array_equal(first, plain.repeat(times, 0).repeat(times, 1))
    else:
        assert side <= report.GRID_SIDE
        assert abs(first.mean() - plain.mean()) < 1
    assert sheet.shape[1] == shape[0] * (side + 2)


def test_a_grid_of_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"found float32 \(2, 5\), allowed is uint8"):
        report.grid_png(np.zeros((2, 5), np.float32))


def test_large_pictures_do_not_break_the_size():
    facts = made_up.facts()
    grids = {
        arm: {t: np.random.default_rng(t).integers(0, 256, (16, 3, 64, 64), np.uint8) for t in range(5)}
        for arm in facts.arms
    }
    assert len(report.build(facts, made_up.records(), grids, figures=False)["report.html"]) < 5_000_000
