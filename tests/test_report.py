"""The report: complete, self-contained, escaped, the same bytes twice; it refuses to compare what is not comparable."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import made_up
import numpy as np
import pytest

from collapselab import report
from collapselab.measure.compare import check_comparable
from collapselab.report import headline, numbers, pictures, sections
from collapselab.report.charts import curve_chart, share_chart, truth_chart
from collapselab.study import FAIRNESS
from collapselab.study.verifying import figures_of
from collapselab.theory.setting import Prediction
from collapselab.verdicts import ANALYSES, CLASSES_GIVEN, Analysis, Endpoint, Finding, Indexed, Table
from collapselab.verdicts.findings import Column
from collapselab.verdicts.laws import against_theory


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


@pytest.mark.parametrize("drawn", [report.glance, lambda facts, records: report.build(facts, records, figures=False)])
def test_records_are_passed_over_once(drawn, records, monkeypatch):
    # A thousand lineages are half a million of them: once for every arm and metric is minutes.
    passed, pass_over = [], Indexed.__init__

    def counted(self, found):
        pass_over(self, found)
        passed.append(len(self))

    monkeypatch.setattr(Indexed, "__init__", counted)
    drawn(made_up.facts(), list(records))
    assert passed.count(len(records)) == 1


def test_the_page_can_be_read_by_ear(page, built):
    reader = Reader(page)
    assert '<html lang="en">' in page and not reader.mute
    beside = [target for target in reader.targets if not re.match("https://(arxiv.org/abs|doi.org)/", target)]
    assert all(target.removeprefix("#") in reader.ids if target[0] == "#" else target in built for target in beside)
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
    assert sorted(figures_of(page)) == sorted(name for name in built if name.startswith("figures/"))


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


def test_energy_and_changed_hardware_stand_below_the_costs(records):
    costs, records = made_up.costs(records), made_up.only(records, "recall")
    spent = [cost | {"joules": 3.6e6, "energy_source": "estimate"} for cost in costs if cost["verb"] == "train"]
    spent[0] |= {"nonidentical": ["device: begun on A, now on B"], "device_name": "A fast GPU"}
    text = report.build(made_up.facts(), records, {}, spent, figures=False)["report.html"].decode()
    table = text[text.index("Processor seconds") :]
    assert "estimated from processor time" in table and "Device: A fast GPU, cpu." in table
    totals = re.search(r'<tr><th scope="row">all</th>(.*?)</tr>', table)[1]
    assert re.findall(r">([^<]*)</td>", totals)[-1] == f"{len(spent):.3g}"  # a kilowatt hour each
    where = "{arm}, seed {seed}, generation {generation}".format(**spent[0])
    assert f"{where} (device: begun on A, now on B)" in table
    assert (
        "other hardware" not in report.build(made_up.facts(), records, {}, costs, figures=False)["report.html"].decode()
    )


def test_a_finished_study_is_not_called_unfinished(page):
    assert "Unfinished" not in page


def test_an_unfinished_study_says_how_much_is_there():
    records = [record for record in made_up.records() if record["generation"] < 2 or record["arm"] == "control"][:40]
    records = made_up.only(records, "recall")
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
    records = made_up.only(made_up.records(generations=1), "recall")
    page = report.build(facts, records, figures=False)["report.html"].decode()
    assert evil not in page and "&lt;script&gt;alert" in page


def test_waivers_are_stated(records):
    facts = made_up.facts(waivers=["budgets: the arms differ in size"])
    page = report.build(facts, made_up.only(records, "recall"), figures=False)["report.html"]
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
    check_comparable(altered(records, "fresh_data", sampling_bias=0.25, sampler="ddim", steps=50))


def test_copies_of_the_training_set_are_counted_against_each_cell_s_own(records):
    own = altered(records, "control", reference="training_set")
    for arm in made_up.ARMS:
        own = altered(own, arm, reference="training_set", reference_hash=arm, n_real=len(arm))
    check_comparable(own)
    in_all, rows = sections.fingerprint_table(own)
    assert [row[0] for row in rows] == ["lenet against training set", "pixels against training set"]
    hashes = re.search("reference hash ([^;]*)", in_all)[1]
    assert hashes.count(",") == len(made_up.ARMS) - 1 and "reference hash" not in rows[0][2]
    assert "extractor accuracy 0.97" in rows[0][2] and "accuracy" not in in_all + rows[1][2]


def with_values(records, extractor, values):
    """The records with more values, of the metric and the number that a function of the generation gives."""

    def rows(record):
        where = {"set": "sampled", "extractor": extractor, "fingerprint": next(iter(record["fingerprints"]))}
        return [where | {"metric": metric, "value": value(record)} for metric, value in values.items()]

    return [record | {"values": record["values"] + rows(record)} for record in records]


def test_channels_of_grey_images_are_drawn_once_and_absent_colours_not_at_all():
    distances = {f"colour_distance.{name}": lambda record: 5.3 + record["generation"] for name in ("red", "green")}
    distances["colour_distance.mean"] = lambda record: (5.3 + record["generation"]) * 3 / 3.0000000000000004
    distances["colour_distance.blue"] = lambda record: 5.4 + record["generation"]
    shares = {f"colour_share.{name}": lambda record, at=at: at for at, name in enumerate(("white", "black", "grey"))}
    facts = made_up.facts(shares=["class_histogram", "colour_share"])
    records = with_values(made_up.records(), "colours", distances | shares)
    twins = numbers.twins(facts, records)
    assert {one.metric: other.metric for one, other in twins.items()} == {
        "colour_distance.green": "colour_distance.red",
        "colour_distance.mean": "colour_distance.red",
    }
    built = report.build(facts, records, figures=False)
    drawn = charts(built["report.html"].decode())
    assert {name for name in drawn if name.startswith("colour_d")} == {
        f"colour_distance_{c}_colours" for c in ("red", "blue")
    }
    assert drawn["colour_share"]["spec"]["encoding"]["y"]["sort"] == ["black", "grey"]  # in the order of the metric


def test_metrics_stand_in_the_order_of_the_labels():
    order = ["frechet_distance", "recall", "precision", "coverage"]
    facts = made_up.facts(labels={name: name for name in order})
    found = [(endpoint.extractor, endpoint.metric) for endpoint in numbers.endpoints(facts, made_up.records())]
    assert found[0] == ("lenet", "recall")  # the primary endpoint
    assert [metric for space, metric in found if space == "pixels"] == order


def test_feature_spaces_stand_in_the_order_of_their_first_metric():
    """After the primary's own space; of two that begin alike the alphabet decides, and what has no label is last."""
    order = ["coverage", "frechet_distance", "class_entropy", "precision", "recall"]
    facts = made_up.facts(labels={name: name for name in order}, primary=Endpoint("precision", "late"))
    more = {"ahead": ["recall"], "late": ["recall", "precision"], "zenith": ["coverage"], "alpha": ["precision"]}
    more |= {"aaa": ["unheard_of", "unheard_of.too"], "omega": ["frechet_distance", "recall"]}
    records = made_up.records(generations=1)
    for extractor, metrics in more.items():
        records = with_values(records, extractor, {metric: lambda record: record["generation"] for metric in metrics})
    found = [endpoint.extractor for endpoint in numbers.endpoints(facts, records)]
    spaces = list(dict.fromkeys(found))
    assert spaces == ["late", "lenet", "pixels", "zenith", "omega", "alpha", "ahead", "aaa"]
    assert found == sorted(found, key=spaces.index)  # each space stands in one piece


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
    assert numbers.final(made_up.facts(), records, "fully_synthetic", endpoint)["mean"] == pytest.approx(direct)
    curve = [row for row in rows(built["curves.csv"]) if (row["arm"], row["generation"]) == ("fully_synthetic", "4")]
    assert float(curve[0]["recall_lenet"]) == pytest.approx(direct)
    assert float(rows(built["primary.csv"])[4]["fully_synthetic"]) == pytest.approx(direct)
    assert json.loads(built["summary.json"])["fully_synthetic"]["recall_lenet"] == pytest.approx(direct, abs=1e-6)
    summary = [row for row in rows(built["summary.csv"]) if row["metric"] == "recall" and row["extractor"] == "lenet"]
    biased = {row["set"]: float(row["mean"]) for row in summary if row["arm"] == "fully_synthetic_biased"}
    assert biased["raw"] > biased["sampled"] == biased["kept"]


def test_few_seeds_are_points_and_range_and_many_a_band(records):
    few = numbers.curve_rows(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"))
    means = [row for row in few if row["what"] == "mean"]
    for mean in means:
        own = [
            row["value"]
            for row in few
            if row["what"] == "lineage" and all(row[k] == mean[k] for k in ("arm", "panel", "generation"))
        ]
        assert (mean["low"], mean["high"]) == (min(own), max(own))
    facts = made_up.facts(seeds=8)
    many = curve_chart(facts, made_up.records(seeds=8), Endpoint("recall", "lenet"), 900, 300)
    marks = [layer["mark"]["type"] for layer in many["spec"]["layer"]]
    assert "area" in marks
    some = curve_chart(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"), 900, 300)
    assert "area" not in [layer["mark"]["type"] for layer in some["spec"]["layer"]]


def test_diverged_lineages_are_marked_where_they_end(records):
    found = numbers.curve_rows(made_up.facts(), records, Endpoint("recall", "lenet"))
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
        assert side <= pictures.GRID_SIDE
        assert abs(first.mean() - plain.mean()) < 1
    assert sheet.shape[1] == shape[0] * (side + 2)


def test_a_grid_of_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"found float32 \(2, 5\), allowed is uint8"):
        report.grid_png(np.zeros((2, 5), np.float32))


@pytest.mark.parametrize("channels", [1, 3])
def test_rows_of_a_sheet_are_labelled_and_their_pictures_stay_as_they_are(channels):
    from PIL import Image

    images = np.random.default_rng(0).integers(0, 256, (6, channels, 8, 8), np.uint8)
    plain = np.asarray(Image.open(io.BytesIO(report.grid_png(images, 2))))
    labels = ["none", "7: cfg\nw 1.5\nlow 0.25\nhigh 2", "8: rescale"]
    sheet = np.asarray(Image.open(io.BytesIO(report.grid_png(images, 2, None, labels))))
    high, wide = plain.shape[0] // 3, plain.shape[1]
    rows, kept = sheet.reshape(3, -1, *sheet.shape[1:]), plain.reshape(3, high, *plain.shape[1:])
    above = (rows.shape[1] - high) // 2
    np.testing.assert_array_equal(rows[:, above : above + high, -wide:], kept)
    written = [np.flatnonzero((row[:, :-wide] < 128).reshape(len(row), -1).any(axis=1)) for row in rows]
    assert all(len(lines) for lines in written)
    assert all(lines[0] > 0 and lines[-1] < rows.shape[1] - 1 for lines in written)  # none is cut off
    assert np.ptp(written[1]) > 3 * np.ptp(written[0])  # four lines, and one
    with pytest.raises(ValueError, match="labels: found 2, allowed is one for each of 3 rows"):
        report.grid_png(images, 2, None, labels[:2])


def test_large_pictures_do_not_break_the_size():
    facts = made_up.facts()
    grids = {
        arm: {t: np.random.default_rng(t).integers(0, 256, (16, 3, 64, 64), np.uint8) for t in range(5)}
        for arm in facts.arms
    }
    assert len(report.build(facts, made_up.records(), grids, figures=False)["report.html"]) < 5_000_000


def test_the_first_line_names_every_arm_in_order_and_real_data(records):
    line = headline.last_numbers(made_up.facts(), made_up.records())
    assert line.startswith("At generation 4 recall (lenet, as sampled) is 0.8")
    assert line.endswith("; other real data in the samples' place scores 0.93.")
    places = [line.index(f" in {arm}") for arm in ("control", "fresh_data", "synthetic_augmentation")]
    assert places == sorted(places)
    lower = made_up.facts(primary=Endpoint("frechet_distance", "lenet"))
    line = headline.last_numbers(lower, made_up.records())
    assert "fréchet" not in line.replace("At generation 4 fréchet", "") and line.index("control") < line.index("fully")
    short = [r for r in made_up.records() if r["arm"] != "control" or r["generation"] < 3]
    assert headline.last_numbers(made_up.facts(), short).endswith(". Not there: control.")
    assert headline.last_numbers(made_up.facts(), []) == ""


def test_whoever_looks_through_the_primarys_space_is_told_of():
    from collapselab.study.file import JUDGING

    held, _ = sections.fairness(made_up.facts())
    assert "and looks in another space" in held[sections.YARDSTICK]
    rule = JUDGING["primary_space"]
    held, waived = sections.fairness(made_up.facts(waivers=[f"{rule}: to see by how much it flatters"]))
    assert "not all look in another space" in held[sections.YARDSTICK]
    assert waived == [(rule, "to see by how much it flatters")]


def test_a_waived_rule_is_not_told_as_fact():
    rule = FAIRNESS["training_set_size"]
    for waivers, matched in ([], ["the control has"]), ([f"{rule}: arms differ: on purpose"], []):
        held, waived = sections.fairness(made_up.facts(waivers=waivers, matched=matched))
        assert (rule in held["Equal budgets"]) == (not waivers)
        assert ("the control has" in held["Equal budgets"]) == bool(matched)
        assert FAIRNESS["images_seen"] in held["Equal budgets"]
        assert waived == ([(rule, "arms differ: on purpose")] if waivers else [])
    facts = made_up.facts(waivers=[f"{rule}: arms differ"])
    page = report.build(facts, [], figures=False)["report.html"].decode()
    assert page.count(rule) == 1 and f"<s>{rule}</s>: arms differ" in page


def test_the_model_itself_is_drawn_of_the_arms_where_it_differs():
    found = numbers.curve_rows(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"))
    arms = {
        panel: {row.get("arm") for row in found if row["panel"] == panel} - {None}
        for panel in dict.fromkeys(row["panel"] for row in found)
    }
    assert list(arms) == ["as sampled (primary)", "the model itself", "as kept"]
    assert arms["as sampled (primary)"] == set(made_up.ARMS)
    assert arms["the model itself"] == arms["as kept"] == {"fully_synthetic_biased"}
    plain = numbers.curve_rows(made_up.facts(), made_up.records(["control"]), Endpoint("recall", "lenet"))
    assert {row["panel"] for row in plain} == {"as sampled (primary)"}


def test_what_would_repeat_another_chart_is_not_drawn():
    """What is kept has the values of what was sampled: it has no chart; the model itself has one, in one space."""
    charts = numbers.charts_of(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"))
    assert charts == {"recall_lenet": "sampled", "recall_lenet_raw": "raw"}
    assert numbers.charts_of(made_up.facts(), made_up.records(), Endpoint("recall", "pixels")) == {
        "recall_pixels": "sampled"
    }
    row = next(
        row for row in sections.numbers_table(made_up.facts(), made_up.records()) if row["extractor"] == "pixels"
    )
    assert [len(cell) for cell in row["cells"]] == [1, 1, 2, 1, 1]  # but it stands among the numbers


def outside_folds(page):
    """A page without what is folded as it comes up: what lies in a fold that is not open, its heading aside."""
    kept, depth = [], 0
    for part in re.split(r"(<details[^>]*>|</details>)", page):
        opens, closes = part.startswith("<details"), part == "</details>"
        shuts = opens and not re.search(r"\bopen\b", part)
        depth += 1 if shuts or (opens and depth) else -1 if closes and depth else 0
        kept += [] if depth else [part]
    return "".join(kept)


def test_what_is_asked_first_is_open_and_the_rest_is_folded(page):
    """The primary endpoint, the Fréchet distance and precision in its space; of definitions of collapse a line each."""
    seen = outside_folds(page)
    assert re.findall(r'data-chart="([^"]+)"', seen) == ["recall_lenet", "frechet_distance_lenet", "precision_lenet"]
    assert len(charts(page)) > 4 * 3  # which are all there, in their folds

    def rows_of(text, section):
        (part,) = re.findall(rf'<section aria-labelledby="{section}">(.*?)</section>', text, re.S)
        return part.count("<tr>")

    per_arm = len(made_up.ARMS) * len(made_up.ARMS)  # what stands row by row of each arm against each other
    assert rows_of(seen, "definitions") < per_arm and rows_of(seen, "numbers") < rows_of(page, "numbers")
    assert rows_of(seen, "lineage") == rows_of(seen, "cost") == 0 < rows_of(page, "lineage")


def test_equal_sets_share_a_number_and_arms_with_one_set_have_one():
    table = [row for row in sections.numbers_table(made_up.facts(), made_up.records()) if row["metric"] == "Recall"]
    assert [row["extractor"] for row in table] == ["lenet", "pixels"]
    cells = dict(zip(made_up.ARMS, table[0]["cells"], strict=True))
    assert [name for name, *_ in cells["fully_synthetic_biased"]] == ["", "the model itself"]
    assert all([name for name, *_ in cells[arm]] == [""] for arm in made_up.ARMS if arm != "fully_synthetic_biased")


def test_the_ends_of_a_range_read_differently():
    assert sections.mean_and_range({"low": 2.30101, "mean": 2.30102, "high": 2.30104}) == (
        "2.30102",
        "2.30101 – 2.30104",
    )
    assert sections.mean_and_range({"low": 0.5, "mean": 0.5, "high": 0.5}) == ("0.500", "0.500 – 0.500")


@pytest.mark.parametrize("better, words", [("lower", "lower is better"), (None, "")])
def test_a_metric_without_a_better_side_has_no_arrow(better, words):
    facts = made_up.facts(better=made_up.BETTER | {"coverage": better})
    chart = curve_chart(facts, made_up.records(), Endpoint("coverage", "lenet"), 500, 200)
    assert chart["title"]["subtitle"] == ([words] if words else [])
    row = next(row for row in sections.numbers_table(facts, made_up.records()) if row["metric"] == "Coverage")
    assert row["better"] == ("↓" if better else "")


def test_classes_are_drawn_as_differences_from_the_real_shares(records):
    real = {f"class_histogram.{index}": 0.1 for index in range(made_up.CLASSES)}
    for reference, start in ({"lenet": real}, "real share"), ({}, "share in generation 0"):
        chart = share_chart(made_up.facts(reference=reference), made_up.records(), "class_histogram", 1000)
        assert chart["title"]["text"] == f"Class histogram minus {start}"
        rows = chart["data"]["values"]
        assert all(row["difference"] == pytest.approx(row["share"] - row["real"]) for row in rows)
        low, high = chart["spec"]["encoding"]["color"]["scale"]["domain"]
        assert -low == high == max(abs(row["difference"]) for row in rows)


def test_given_classes_are_said_beside_the_classes(records):
    records = made_up.only(made_up.records(generations=1), "class_entropy", "class_histogram")
    for told in ([], ["control"], list(made_up.ARMS)):
        page = report.build(made_up.facts(classes_given=told), records, figures=False)
        section = page["report.html"].decode().split('id="classes"')[1].split("</section>")[0]
        assert (CLASSES_GIVEN in section) == bool(told)
        assert ('cannot show in <span class="arm" data-arm="control">' in section) == (told == ["control"])


def test_arms_with_the_same_pictures_have_one_sheet():
    found = pictures.sheets_and_rows(made_up.facts(), made_up.grids(count=40))
    first, last = found["sheets"]
    assert [sheet["arms"] for sheet in first] == [list(made_up.ARMS)]
    assert [sheet["arms"] for sheet in last] == [[arm] for arm in made_up.ARMS]
    assert [len(row["rows"]) for row in found["rows"]] == [5] * len(made_up.ARMS)
    assert pictures.sheets_and_rows(made_up.facts(), {})["sheets"] == []


def test_a_sentence_ends_once():
    page = report.build(made_up.facts(data="Digits. CC BY 4.0."), [], figures=False)["report.html"].decode()
    assert "Data: Digits. CC BY 4.0. Model" in " ".join(page.split())


def test_the_control_s_symbol_in_the_legend_is_not_dashed():
    chart = curve_chart(made_up.facts(), made_up.records(), Endpoint("recall", "lenet"), 900, 300)
    dashes = [layer["encoding"]["strokeDash"] for layer in chart["spec"]["layer"] if "strokeDash" in layer["encoding"]]
    assert len(dashes) == 1 and "scale" not in dashes[0] and '"control"' in dashes[0]["condition"]["test"]


# -- theory, real data's worth, forecast, and known truths -------------------------------------------------------------


def law(mean, sd=None, metric="recall", extractor="lenet", bound="equal"):
    sd = None if sd is None else np.asarray(sd)
    return Prediction("a_law", metric, extractor, np.asarray(mean), sd, bound, "what the law says")


def section(page, name):
    return page.split(f'<h2 id="{name}">')[1].split("</section>")[0] if f'<h2 id="{name}">' in page else ""


def measured(records, more, arm=None):
    """The records with more values: (extractor, metric) -> function of a record."""
    return [
        record
        | {
            "values": record["values"]
            + [
                {"set": "sampled", "extractor": extractor, "metric": metric, "value": float(value(record))}
                | {"fingerprint": record["values"][0]["fingerprint"]}
                for (extractor, metric), value in more.items()
                if arm in (None, record["arm"])
            ]
        }
        for record in records
    ]


def test_theory_is_drawn_over_the_curve_with_the_spread_of_its_mean():
    mean, sd = np.linspace(0.85, 0.65, 5), np.full(5, 0.04)
    facts = made_up.facts(predictions={"synthetic_augmentation": [law(mean, sd)], "control": [law(mean, metric="x")]})
    endpoint = Endpoint("recall", "lenet")
    found = numbers.curve_rows(facts, made_up.records(), endpoint)
    theory = [row for row in found if row["what"] == "theory"]
    assert [row["value"] for row in theory] == list(mean) and {row["panel"] for row in theory} == {
        "as sampled (primary)"
    }
    assert {(row["arm"], row["law"]) for row in theory} == {("synthetic_augmentation", "what the law says")}
    for row in (row for row in found if row["what"] == "expected"):
        assert (row["high"] - row["low"]) / 2 == pytest.approx(1.96 * 0.04 / np.sqrt(3))  # three seeds
        assert (row["high"] + row["low"]) / 2 == pytest.approx(mean[row["generation"]])
    chart = curve_chart(facts, made_up.records(), endpoint, 900, 300)
    assert any("theory" in line for line in chart["title"]["subtitle"])
    plain = curve_chart(made_up.facts(), made_up.records(), endpoint, 900, 300)
    assert len(chart["spec"]["layer"]) == len(plain["spec"]["layer"]) + 2
    bound = made_up.facts(predictions={"control": [law(mean, bound="upper")]})
    rows = [row for row in numbers.curve_rows(bound, made_up.records(), endpoint) if row["what"] == "theory"]
    assert all(row["law"].endswith("(upper bound)") for row in rows)


def test_experiment_is_held_against_theory_and_departures_stand_first():
    flat, fall = np.full(5, 0.85), 0.85 - 0.08 * np.arange(5)
    sd = np.full(5, 0.03)
    given = {"control": [law(flat, sd)], "fully_synthetic": [law(flat, sd), law(fall, sd), law(fall, metric="none")]}
    facts, records = made_up.facts(predictions=given), made_up.only(made_up.records(), "recall")
    table = against_theory(facts, records)
    assert [(row.arm, row.status) for row in table] == [
        ("fully_synthetic", "departs"),
        ("control", "follows"),
        ("fully_synthetic", "follows"),
    ]
    built = report.build(facts, records, figures=False)
    text = section(built["report.html"].decode(), "theory")
    assert text.index("departs") < text.index("follows") and "Recall leaves it from generation" in text
    assert json.loads(built["verdicts.json"])["theory.recall.lenet"]["control"]["status"] == "follows"
    plain = report.build(made_up.facts(), records, figures=False)["report.html"].decode()
    assert not section(plain, "theory") and 'href="#theory"' not in plain
    lone = made_up.facts(seeds=1, predictions={"control": [law(flat)]})
    assert [row.status for row in against_theory(lone, made_up.records(seeds=1))] == ["cannot tell"]


@pytest.fixture(scope="module")
def calibrated():
    """A study of six seeds whose loops are measured against real data alone at three sizes."""
    sizes, seeds = {"real_200": 200, "real_400": 400, "real_1600": 1600}, 6
    arms = {arm: entry[0] for arm, entry in made_up.ARMS.items()} | dict.fromkeys(sizes, "real rows alone")
    rows = {"fresh_data": (400, 400), "fully_synthetic": (0, 800)}
    facts = made_up.facts(
        arms=arms, seeds=seeds, calibration=sizes, rows=rows, primary=Endpoint("frechet_distance", "lenet")
    )
    records = made_up.records(seeds=seeds)
    for arm, n in sizes.items():
        for seed in range(seeds):
            record = made_up.record("control", seed, 0)
            values = [
                entry | {"value": entry["value"] * 1000 / n} if entry["metric"] == "frechet_distance" else entry
                for entry in record["values"]
            ]
            records.append(record | {"arm": arm, "values": values})
    return facts, records, report.build(facts, records, figures=False)


def test_calibration_arms_are_no_curves_and_stand_among_the_numbers(calibrated):
    _, records, built = calibrated
    page = built["report.html"].decode()
    arms = {row["arm"] for row in rows(built["metrics.csv"])}
    assert {"real_200", "real_400", "real_1600"} < arms
    assert "Unfinished" not in page and "5 arms, 6 seeds" in page and "; 3 more of generation 0 alone" in page
    for name in ("curves.csv", "primary.csv", "summary.csv", "summary.json", "verdicts.json"):
        assert "real_200" not in built[name].decode()
    for name, chart in charts(page).items():
        assert "real_200" not in json.dumps(chart), name
    assert "real_200" in section(page, "lineage") and len(records) == 6 * (5 * 5 + 3)


def test_the_loops_are_counted_in_real_rows(calibrated):
    facts, records, built = calibrated
    text = section(built["report.html"].decode(), "worth")
    assert "arms that calibrate it" in text and "no real data" in text
    # The mean of 2 e^(0.05 t) over generations 2 to 4, where 2000 / n is what n real rows give.
    found = json.loads(built["verdicts.json"])["effective_size"]["fresh_data"]
    mean = np.exp(0.05 * np.arange(2, 5)).mean()
    assert found["numbers"]["size"] == pytest.approx(1000 / mean, rel=0.02) and found["status"] == "harmless"
    assert "With 400 real rows a generation the largest synthetic share known to do no harm is 50%" in text
    told = replace(facts, calibration={}, arms=made_up.facts().arms, learning_curve=lambda n: 1000 / n)
    loops = [record for record in records if record["arm"] in told.arms]
    page = report.build(told, loops, figures=False)["report.html"].decode()
    assert "is what theory says" in section(page, "worth")
    assert not section(report.build(made_up.facts(rows=facts.rows), [], figures=False)["report.html"].decode(), "worth")


def test_halvings_are_foretold(records):
    built = report.build(made_up.facts(), made_up.only(records, "recall"), figures=False)
    text = section(built["report.html"].decode(), "forecast")
    assert "foretold from generations 0 to 3 alone" in text and "the median lineage" in text
    found = json.loads(built["verdicts.json"])["halving"]
    assert found["fully_synthetic"]["status"] == "forecast" and found["control"]["status"] == "no halving in sight"
    assert "generation" in found["fully_synthetic"]["numbers"] and "generation" not in found["control"]["numbers"]
    early = made_up.only(made_up.records(generations=2), "recall")
    short = report.build(made_up.facts(generations=2), early, figures=False)
    assert not section(short["report.html"].decode(), "forecast")


def test_a_model_that_is_worse_than_none_is_told_at_the_top(records):
    poor = [one | {"warnings": ["in lenet <x> is far"]} if one["generation"] == 0 else one for one in records]
    page = report.build(made_up.facts(), poor, figures=False)["report.html"].decode()
    assert page.count("In lenet &lt;x&gt; is far (control, seed 0, generation 0; control, seed 1") == 1
    assert "Poor from the start" not in report.build(made_up.facts(), records, figures=False)["report.html"].decode()


def test_a_new_analysis_is_one_entry_of_the_registry(records, monkeypatch):
    """A table of its own, an entry of the contents and of verdicts.json, or a row among the definitions."""

    def answers(facts, records):
        return [
            Finding("ours", arm, "harmless", f"Nothing is <wrong> with {arm}.", {"cells": 5}, {"why": "so & so"})
            for arm in facts.arms
        ]

    def about(facts, found):
        return f"Asked of {len(found)} arms."

    columns = {"before": (Column("Cells", "cells", "number"),), "after": (Column("Why", "why"), Column("Who", "who"))}
    table = Table("ours", "Our own", "Found", about, **columns, beneath=lambda found: ["That is all."])
    monkeypatch.setitem(ANALYSES, "table", Analysis("What we ask", table, answers))
    monkeypatch.setitem(ANALYSES, "ours", Analysis("Our definition", "definitions", answers))
    built = report.build(made_up.facts(), made_up.only(records, "recall"), figures=False)
    page = built["report.html"].decode()
    text = section(page, "ours")
    assert '<li><a href="#ours">Our own</a></li>' in page and text.startswith("What we ask</h2>")
    assert (
        "Asked of 5 arms." in text
        and "<p>That is all.</p>" in text
        and "Nothing is &lt;wrong&gt; with control." in text
    )
    assert '<td class="number">5</td>' in text and "<td>so &amp; so</td><td>–</td>" in text
    assert page.index('id="numbers"') < page.index('id="ours"') < page.index('id="definitions"')
    assert "Our definition" in section(page, "definitions")
    found = json.loads(built["verdicts.json"])["ours"]["control"]
    assert found == {"status": "harmless", "sentence": "Nothing is <wrong> with control.", "numbers": {"cells": 5}}
    monkeypatch.setitem(ANALYSES, "table", Analysis("What we ask", replace(table, early=True), answers))
    page = report.build(made_up.facts(), made_up.only(records, "recall"), figures=False)["report.html"].decode()
    assert page.index('id="verdict"') < page.index('id="ours"') < page.index('id="samples"')


def test_estimates_stand_beside_the_truth():
    def shown(record):
        return next(e["value"] for e in record["values"] if (e["extractor"], e["metric"]) == ("lenet", "recall"))

    truths = {("truth", "true_recall"): lambda r: shown(r) + 0.1, ("truth", "hallucination_rate"): lambda r: 0.25}
    records = measured(made_up.records(), truths)
    found = numbers.truth_rows(made_up.facts(), records)
    panels = {f"{name}, {space} features" for name in ("Recall", "Precision") for space in ("lenet", "pixels")}
    assert {row["panel"] for row in found} == panels and len(found) == 4 * len(records)
    assert {row["truth"] for row in found if row["panel"].startswith("Precision")} == {0.75}
    words = {line.partition(":")[0]: line for line in sections.truth_words(found)}
    assert "correlation 1.00, on average 0.100 below the truth (75 pairs)." in words["Recall, lenet features"]
    assert "no correlation can be told" in words["Precision, lenet features"]
    page = report.build(made_up.facts(), records, figures=False)["report.html"].decode()
    chart = charts(page)["truth"]
    assert words["Recall, lenet features"] in page and len(chart["data"]["values"]) == 4 * len(records) + 4 * 2
    assert truth_chart(made_up.facts(), [], 1000) is None


# -- many seeds --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    """Facts and records of sixty seeds."""
    arms = ["control", "fully_synthetic"]
    facts = made_up.facts(arms={arm: made_up.ARMS[arm][0] for arm in arms}, seeds=60, generations=30)
    return facts, made_up.records(arms, seeds=60, generations=30)


def test_of_many_lineages_a_dozen_are_drawn_and_the_page_says_so(many, monkeypatch):
    facts, records = many
    passes = []
    init = Indexed.__init__
    monkeypatch.setattr(Indexed, "__init__", lambda self, given: (passes.append(1), init(self, given))[0])
    built = report.build(facts, records, figures=False)
    assert len(passes) == 1  # over hundreds of thousands of records one goes once
    page = built["report.html"].decode()
    drawn = [row for row in charts(page)["recall_lenet"]["data"]["values"] if row["what"] == "line"]
    for arm in facts.arms:
        seeds = [row["seed"] for row in drawn if row["arm"] == arm and row["panel"] == "as sampled (primary)"]
        assert len(seeds) == numbers.DRAWN and seeds[0] == 0 and seeds[-1] == 59
        assert set(np.diff(seeds)) <= {5, 6}
    assert all(len(row["xs"]) == len(row["values"]) == 31 for row in drawn)
    assert "thin lines are 12 of the 60 seeds, evenly chosen" in page
    assert len(built["report.html"]) < 5_000_000
    assert len(rows(built["metrics.csv"])) == sum(len(record["values"]) for record in records)


def test_figures_with_bands_are_the_same_bytes_too():
    facts = made_up.facts(arms={arm: made_up.ARMS[arm][0] for arm in ("control", "fresh_data")}, seeds=8)
    records = made_up.records(facts.arms, seeds=8)
    one, other = (report.build(facts, records) for _ in range(2))
    assert [name for name in one if one[name] != other[name]] == []


def test_the_table_of_lineages_is_cut_where_it_would_be_long(many):
    facts, records = many
    _, listed = sections.lineage_table(facts, records)
    assert len(listed) <= sections.LISTED < len(records) and len({row["cell"][1] for row in listed}) == 32
    page = report.build(facts, records, figures=False)["report.html"].decode()
    assert f"The first {len(listed)} of {len(records)} cells" in page
    assert len(sections.lineage_table(made_up.facts(), made_up.records())[1]) == 75
