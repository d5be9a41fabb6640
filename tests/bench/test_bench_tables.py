"""Tables: every column, missing clips, modes, comparisons, published rows."""

import json

import bench_cases
import numpy as np
import pytest

from avits_jax.bench import (
    EvaluatedClip,
    ProtocolError,
    compare,
    javis_inputs,
    join,
    members,
    read_costs,
    read_evaluated,
    read_published_rows,
    references_of,
    tabulate,
    to_json,
)
from avits_jax.bench.columns import columns_of, guided_columns
from avits_jax.bench.costs import EVALUATIONS
from avits_jax.bench.javis_program import Options, run_program
from avits_jax.bench.prompt_rows import PromptRows, read_rows
from avits_jax.bench.protocol import prompts_digest
from avits_jax.bench.published import beside
from avits_jax.bench.references import References
from avits_jax.metrics.divergence import softmax_divergence
from avits_jax.metrics.frechet import (
    FAD_SCALE,
    centred_polynomial_mmd,
    frechet_distance,
    frechet_distance_of_product,
    polynomial_mmd,
)
from avits_jax.runs import log
from avits_jax.runs.records import RECORDS, Record, to_entry
from avits_jax.runs.times import append_time


def _evaluated(folder, made, widths, seed=0, rows=range(6), **method):
    clips = bench_cases.clips(made, widths, seed, rows)
    return read_evaluated([bench_cases.write(folder, made, clips, **method)])


def _stack(features):
    return np.stack([features[row] for row in sorted(features)])


@pytest.fixture(params=["bench", "default"])
def mode(request):
    return request.param


@pytest.fixture
def javis(tmp_path, mode):
    made = bench_cases.protocol(mode=mode)
    widths = bench_cases.JAVIS_FEATURES
    ours = _evaluated(tmp_path / "ours", made, widths, rows=(0, 1, 2, 4, 5))
    real = _evaluated(tmp_path / "real", made, widths, seed=1, name="real clips")
    return ours, real


def test_the_sixteen_columns_of_javisbench(javis, mode):
    ours, real = javis
    table = tabulate(ours, references_of(real))
    keys = (
        "fvd kvd fad visual_quality motion_quality audio_quality ib_tv ib_ta ib_av "
        "clip_score clap_score cavp_score av_align avh_score javis_score desync"
    )
    assert list(table.entries) == keys.split()
    assert all(entry.num_missing == 1 for entry in table.entries.values())
    made = {name: _stack(rows) for name, rows in ours.features.items()}
    rows = [0, 1, 2, 4, 5] if mode == "bench" else range(6)
    true = {n: np.stack([r[i] for i in rows]) for n, r in real.features.items()}
    mmd = centred_polynomial_mmd if mode == "bench" else polynomial_mmd
    expected = {
        "fvd": frechet_distance(true["i3d"], made["i3d"]),
        "kvd": mmd(true["i3d"], made["i3d"]),
        "fad": FAD_SCALE * frechet_distance(true["audioclip"], made["audioclip"]),
        "desync": np.nanmean(ours.scores["desync"]),
    }
    for key, value in expected.items():
        assert table.entries[key].value == pytest.approx(value), key
    entry = table.entries["desync"]
    assert entry.num_clips == 5 and entry.interval[1] < entry.value < entry.interval[2]


def test_a_clip_without_a_number_is_left_out_never_scored_zero(javis):
    ours, real = javis
    ours.scores["desync"][:3] = np.nan
    table = tabulate(ours, references_of(real))
    expected = ours.scores["desync"][4:].mean()
    assert table.entries["desync"].value == pytest.approx(expected)
    assert (table.entries["desync"].num_clips, table.entries["desync"].num_missing) == (
        2,
        4,
    )
    assert table.faults == {3: "not evaluated"}


def test_clips_without_a_real_one_count_only_where_sets_need_no_pairs(javis, mode):
    ours, real = javis
    del real.features["i3d"][0], real.features["audioclip"][0]
    entry = tabulate(ours, references_of(real)).entries["fvd"]
    rows = [1, 2, 4, 5] if mode == "bench" else [0, 1, 2, 4, 5]
    others = rows if mode == "bench" else [1, 2, 3, 4, 5]
    made = np.stack([ours.features["i3d"][row] for row in rows])
    true = np.stack([real.features["i3d"][row] for row in others])
    assert (entry.num_clips, entry.num_missing) == (len(rows), 6 - len(rows))
    assert entry.value == pytest.approx(frechet_distance(true, made))


def test_a_column_that_cannot_be_says_why(javis):
    ours, _ = javis
    del ours.scores["desync"], ours.scores["ib_tv"]
    ours.left_out["desync"] = "no weights of Synchformer"
    entries = tabulate(ours).entries
    assert entries["desync"].reason == "no weights of Synchformer"
    assert entries["ib_tv"].reason == "no clip has a score"
    assert entries["fvd"].reason == "no reference features"
    assert entries["fvd"].value is None and entries["fvd"].num_missing == 6


def test_numbers_by_category_count_their_clips(javis):
    ours, real = javis
    rows = [{f"cat{a}_ind": str(row % 3) for a in range(5)} for row in range(6)]
    table = tabulate(ours, references_of(real), members(rows))
    cells = table.entries["desync"].categories["visual style"]
    assert {title: count for title, (_, count) in cells.items()} == {
        "camera": 1,
        "2D": 2,
        "3D": 2,
    }
    expected = ours.scores["desync"][[1, 4]].mean()
    assert cells["2D"][0] == pytest.approx(expected)
    assert table.entries["fvd"].categories["visual style"]["camera"] == (None, 1)
    pair = (np.stack([f.features["i3d"][r] for r in (1, 4)]) for f in (real, ours))
    assert table.entries["fvd"].categories["visual style"]["2D"][0] == pytest.approx(
        frechet_distance(*pair)
    )
    assert table.entries["ib_tv"].categories["event scenario"]["virtual"] == (None, 0)


def test_av_benchmarks_columns(tmp_path, mode):
    made = bench_cases.protocol("vggsound", mode, num_prompts=6)
    ours = _evaluated(tmp_path / "ours", made, bench_cases.AV_FEATURES)
    for row in range(6):
        pieces = np.random.default_rng(row).normal(size=(2 + row % 2, 3))
        ours.features.setdefault("vggish", {})[row] = pieces.astype(np.float32)
    real = _evaluated(
        tmp_path / "real", made, bench_cases.AV_FEATURES, seed=1, name="r"
    )
    real.features["vggish"] = {r: 2 * v for r, v in ours.features["vggish"].items()}
    table = tabulate(ours, references_of(real))
    distance = frechet_distance_of_product if mode == "bench" else frechet_distance
    pieces = [np.concatenate(list(x.features["vggish"].values())) for x in (real, ours)]
    assert table.entries["fd_vgg"].value == pytest.approx(distance(*pieces))
    few = [_stack(x.features["panns"]) for x in (real, ours)]
    # Fewer clips than features: the two roots differ by their rounding.
    assert frechet_distance_of_product(*few) != frechet_distance(*few)
    assert table.entries["fd_panns"].value == distance(*few)
    logits = [_stack(x.features["panns_logits"]) for x in (real, ours)]
    entry = table.entries["kl_panns"]
    assert entry.value == pytest.approx(softmax_divergence(*logits).mean())
    assert entry.interval is not None and not np.isnan(table.clips["kl_panns"]).any()
    assert table.entries["is_panns"].value is None
    assert "fewer clips" in table.entries["is_panns"].reason
    assert table.entries["ib_score"].num_clips == 6
    titles = [column.title for column in columns_of("vggsound").values()]
    assert titles[:7] == (
        "FD_PANNs FD_VGG FD_PaSST IS_PANNs IS_PaSST KL_PANNs KL_PaSST".split()
    )


def test_references_that_belong_to_no_prompts_serve_whole_sets_alone(tmp_path):
    made = bench_cases.protocol("vggsound", "default")
    ours = _evaluated(tmp_path / "ours", made, bench_cases.AV_FEATURES)
    real = _evaluated(
        tmp_path / "real", made, bench_cases.AV_FEATURES, seed=1, name="r"
    )
    loose = references_of(real)
    loose = References(loose.features, None, made, made.mode, "a folder")
    entries = tabulate(ours, loose).entries
    assert entries["fd_panns"].value is not None
    assert entries["kl_panns"].reason == "the reference features belong to no prompts"


def test_a_table_is_never_joined_with_one_of_another_mode_or_protocol(tmp_path):
    tables = {
        name: tabulate(
            _evaluated(tmp_path / name, bench_cases.protocol(**changed), {}, name=name)
        )
        for name, changed in {
            "ours": {},
            "theirs": {},
            "right": {"mode": "default"},
            "wide": {"resolution": (480, 832)},
            "newer": {"decoders": {"av": "16.0"}},
        }.items()
    }
    # Another model's clips may be of another size; they are measured alike.
    assert len(join([tables["ours"], tables["theirs"], tables["wide"]])) == 3
    sizes = [t["of_clips"] for t in to_json([tables["ours"], tables["wide"]])["tables"]]
    assert [size["resolution"] for size in sizes] == [[240, 426], [480, 832]]
    for name, message in {
        "right": "they differ in mode: bench and default",
        "newer": "they differ in decoders of av: 15.0 and 16.0",
    }.items():
        with pytest.raises(ProtocolError, match=message):
            join([tables["ours"], tables[name]])
        with pytest.raises(ProtocolError, match=message):
            compare(tables["ours"], tables[name])
        with pytest.raises(ProtocolError, match=message):
            to_json([tables["ours"], tables[name]])
    with pytest.raises(ValueError, match="'ours' is twice"):
        join([tables["ours"], tables["ours"]])


def _table_of(made, scores, name, guides=(), costs=None, folder=None):
    clips = [
        EvaluatedClip(row, {key: values[row] for key, values in scores.items()})
        for row in range(6)
    ]
    folder = bench_cases.write(folder / name, made, clips, name=name, guides=guides)
    return tabulate(read_evaluated([folder]), costs=costs)


@pytest.fixture
def pair(tmp_path):
    made, steps = bench_cases.protocol(), np.arange(6) / 100
    base = {"javis_score": steps, "desync": 1 + steps, "ib_tv": steps}
    best = {"javis_score": steps + 0.5, "desync": 0.5 + steps, "ib_tv": steps[::-1]}
    costs = [{EVALUATIONS: np.full(6, count)} for count in (480.0, 30.0)]
    guides = ("javis_score@tiny:bench", "vqa_score")
    ours = _table_of(made, best, "arw", guides, costs[0], tmp_path)
    return ours, _table_of(made, base, "one", (), costs[1], tmp_path)


def test_differences_are_paired_by_prompt_and_know_which_way_is_better(pair):
    found = compare(*pair)
    assert found.against == "one"
    gained = found.differences["javis_score"]
    # Each prompt gains the same: without pairing the interval would be wide.
    assert gained.interval == pytest.approx((0.5, 0.5, 0.5))
    assert gained.better is True and gained.num_prompts == 6
    lag = found.differences["desync"]
    assert lag.interval[0] == pytest.approx(-0.5) and lag.better is True
    assert compare(*pair[::-1]).differences["desync"].better is False
    assert found.differences["ib_tv"].better is None
    assert found.costs == {EVALUATIONS: (480.0, 30.0)}
    assert found.equal_budget is False


def test_columns_that_rewards_guided_are_marked_and_judges_counted_apart(pair):
    ours, base = pair
    marked = [key for key, entry in ours.entries.items() if entry.guided]
    assert marked == ["javis_score"]
    joint = compare(ours, base).domination
    assert joint.no_guide[0] == 1.0
    assert joint.nobody[0] == pytest.approx(0.5)  # ib_tv fell for half of the prompts
    assert joint.some_judge[0] == pytest.approx(0.5)
    assert joint.num_prompts == 6


def test_guides_mark_the_columns_that_measure_them():
    guides = ["video_reward_overall", "clap", "audiobox_pq@tiny"]
    assert guided_columns("javisbench-mini", guides) == {
        "visual_quality",
        "motion_quality",
        "clap_score",
        "audio_quality",
    }
    assert guided_columns("vggsound", ["desync:bench"]) == {"desync_first_last"}


def test_a_prompt_that_only_one_has_is_in_no_difference(pair):
    ours, base = pair
    base.clips["desync"][0] = np.nan
    assert compare(ours, base).differences["desync"].num_prompts == 5
    base.clips["desync"][:] = np.nan
    assert "desync" not in compare(ours, base).differences


def test_numbers_are_strict_json_that_say_mode_variants_and_marks(pair):
    ours, base = pair
    found = to_json(pair, {"arw": [compare(ours, base)]}, read_published_rows())
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again["mode"] == "bench" and again["protocol"]["resolution"] == [240, 426]
    arw = again["tables"][0]
    assert arw["guided"] == ["javis_score"]
    column = arw["columns"]["fvd"]
    assert column["value"] is None and column["reason"] == "no clip has i3d features"
    assert column["variant"].endswith("half range") and column["better"] == "lower"
    assert arw["against"][0]["columns"]["desync"]["better"] is True
    assert arw["against"][0]["domination"]["num_prompts"] == 6
    assert arw["costs"] == {EVALUATIONS: 480.0}
    assert again["published"] == [] and again["published_left_out"]


def test_javisbench_own_json_is_made_of_ours(javis, mode, tmp_path):
    ours, real = javis
    rows = [{f"cat{a}_ind": "0" for a in range(5)} for _ in range(6)]
    prompts = PromptRows(tuple(rows[0]), rows)
    if mode == "default":
        with pytest.raises(ValueError, match="is of mode 'bench' of its prompts"):
            javis_inputs(ours, prompts, references_of(real), "clips")
        return
    with pytest.raises(
        ValueError, match="not written: 1 of 6 clips are missing or bro"
    ):
        javis_inputs(ours, prompts, references_of(real), "clips")
    whole = _evaluated(
        tmp_path / "whole", ours.protocol, bench_cases.JAVIS_FEATURES, name="whole"
    )
    whole.scores["cavp_score"][2] = np.nan
    table = tabulate(whole, references_of(real))
    inputs, groups = javis_inputs(whole, prompts, references_of(real), "clips")
    *_, step = run_program(inputs, Options(groups))
    assert list(step.results) == list(table.entries)
    for key, entry in table.entries.items():
        factor = 5 / 6 if key == "cavp_score" else 1  # theirs takes it as 0
        assert step.results[key] == pytest.approx(factor * entry.value, rel=1e-5), key
    assert javis_inputs(whole, prompts, None, "clips")[1] == groups[1:]


def test_costs_come_from_the_run_that_made_the_clips(tmp_path):
    empty = np.zeros((1, 0), np.float32)
    for row, nfe in ((0, 60), (2, 30), (9, 1)):
        record = Record(
            row, "p", "done", None, 0, empty, empty, (), nfe, 2, nfe // 2, b""
        )
        log.append(tmp_path / RECORDS, to_entry(record), sync=False)
    append_time(tmp_path, 2, 1.5)
    costs = read_costs(tmp_path, 3)
    np.testing.assert_array_equal(costs[EVALUATIONS], [60, np.nan, 30])
    np.testing.assert_array_equal(costs["verifier calls"], [30, np.nan, 15])
    np.testing.assert_array_equal(costs["seconds"], [np.nan, np.nan, 1.5])


def test_published_rows_stand_beside_the_same_protocol_alone():
    rows = read_published_rows()
    assert all(row.source and row.url and row.read for row in rows)
    stated = rows[0].states
    same = bench_cases.protocol(**stated)
    fitting, others = beside(rows, same)
    assert rows[0] in fitting and not others
    assert all("seeds" in row.not_stated for row in fitting)
    assert any(row.disputed for row in fitting)
    for changed, message in (
        ({"num_prompts": 8}, "its num_prompts differ from ours"),
        ({"prompts": "0" * 64}, "its prompts differ from ours"),
        ({"mode": "default"}, "it is of mode 'bench', ours of 'default'"),
    ):
        fitting, others = beside(rows, bench_cases.protocol(**(stated | changed)))
        assert not fitting and set(others.values()) == {message}
    fitting, others = beside(rows, bench_cases.protocol("vggsound"))
    assert not fitting and "its task is another" in list(others.values())[0]


def test_published_variants_and_resolutions_must_agree(tmp_path):
    path = tmp_path / "rows.toml"
    row = """[[row]]
    model = "m"\nbenchmark = "javisbench-mini"\nmode = "bench"\nsource = "s"
    url = "u"\nread = "r"\ncolumns = {fvd = 1.0}
    """
    states = 'states = {prompts = "x", num_prompts = 6, %s}'
    ours = bench_cases.protocol(prompts="x")
    for more, fits in (
        ("resolution = [240, 426]", True),
        ("resolution = [480, 832]", False),
        ('variants = {fvd = "another"}', False),
        ('checkpoints = {unknown = "x"}', True),
    ):
        path.write_text(row + states % more)
        assert bool(beside(read_published_rows(path), ours)[0]) is fits, more
    path.write_text(row)
    (reason,) = beside(read_published_rows(path), ours)[1].values()
    assert reason == "it does not state prompts"


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = 1", r"must hold \[\[row\]\] tables"),
        ("x = ", "are no TOML"),
        ('[[row]]\nmodel = "m"', "row 1: 'benchmark' is missing"),
    ],
)
def test_a_file_of_rows_that_is_none_is_refused(tmp_path, text, message):
    path = tmp_path / "rows.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_published_rows(path)
    with pytest.raises(ValueError, match="do not exist"):
        read_published_rows(tmp_path / "none.toml")


def test_tables_of_prompts_are_read_whole(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('text,cat0_ind\n"a, b","0,2"\nc,1\n')
    found = read_rows(path, ("text", "cat0_ind"))
    assert found.rows[0] == {"text": "a, b", "cat0_ind": "0,2"}
    assert len(read_rows(path, limit=1).rows) == 1
    assert prompts_digest(["a", "b"]) != prompts_digest(["ab", ""])
    tabs = tmp_path / "list.tsv"
    tabs.write_text("id\tlabel\nx_000001\tdog, barking\n")
    assert read_rows(tabs).rows == [{"id": "x_000001", "label": "dog, barking"}]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("p.csv", "text\na\n", "has no column 'cat0_ind'; it has: text"),
        ("p.csv", "cat0_ind,cat0_ind\n", "has 2 columns 'cat0_ind'"),
        ("p.csv", "cat0_ind\n", "has no rows"),
        ("p.csv", "cat0_ind\n1,2\n", "line 2: 2 fields, the header has 1"),
        ("p.csv", 'cat0_ind\n"1', "is malformed"),
        ("p.txt", "", "use .csv or .tsv"),
    ],
)
def test_tables_of_prompts_that_are_none_are_refused(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_rows(path, ("cat0_ind",))


def test_files_and_limits_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_rows(tmp_path / "none.csv")
    path = tmp_path / "p.csv"
    path.write_text("text\na\n")
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        read_rows(path, limit=0)
    path.write_bytes(b"text\n\xff\n")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_rows(path)
