"""report.html: holds what it must, escapes text, needs nothing from outside."""

import base64
import re
from html.parser import HTMLParser

import pytest
from fake_run import NAMES, fake_results, fake_run

from avits_jax.media import write_json
from avits_jax.report import write_report
from avits_jax.report.first_candidates import first_of_results
from avits_jax.report.page import format_number

VOID = {"meta", "img", "line", "path"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("run"), fake_results(16))


class Outline(HTMLParser):
    """Collects tags, checks that they nest, and keeps what is read aloud."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(folder):
    page = write_report(folder).read_text("utf-8")
    outline = Outline(page)
    assert outline.open == []
    return page, outline, " ".join(" ".join(outline.text).split())


def page_of_results(tmp_path, results):
    write_json(tmp_path / "results.json", results)
    return page_of(tmp_path)


def test_everything_is_on_the_page(run):
    _, outline, text = page_of(run)
    assert "a red circle bounces three times with a bell" in text
    assert "14 March 2026, 15:09 UTC" in text
    assert "Candidate 11 has the highest score of 15: 1.173" in text
    assert "1 of 16 candidates failed and took no part." in text
    assert text.count("mini_ta gave NaN") == 2
    assert len(outline.all("img")) == 16
    for expected in (
        "no. 2 of 15",
        "768",
        "21.4 s",
        "cpu: TFRT_CPU_0",
        "guidance scale",
    ):
        assert expected in text
    for name in NAMES:
        assert text.count(name) >= 4
    cards = re.findall(r"#(\d+) · candidate \d+", text)
    assert [int(rank) for rank in cards[-15:]] == list(range(1, 16))


def test_the_winner_plays(run):
    _, outline, _ = page_of(run)
    (video,) = outline.all("video")
    assert {"controls", "loop", "aria-label"} <= set(video)
    data = video["src"].removeprefix("data:video/mp4;base64,")
    assert base64.b64decode(data) == (run / "best.mp4").read_bytes()


def test_self_contained_and_accessible(run):
    page, outline, _ = page_of(run)
    without_data = re.sub(r"data:[a-z0-9/]+;base64,[A-Za-z0-9+/=]+", "data:", page)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link", without_data)
    sources = [a["src"] for tag in ("img", "video") for a in outline.all(tag)]
    assert all(source.startswith("data:") for source in sources)
    assert all(image["alt"] for image in outline.all("img"))
    assert outline.all("html") == [{"lang": "en"}]
    regions = [attrs for _, attrs in outline.tags if attrs.get("role") == "region"]
    assert all(attrs.get("tabindex") == "0" for attrs in regions) and regions
    assert "prefers-color-scheme: dark" in page


def test_text_of_the_run_is_escaped(tmp_path):
    attack = '<script>alert("x")</script><img src=x onerror=y>'
    results = fake_results(3, prompt=attack)
    results["verifiers"][0]["name"] = results["device"] = attack
    results["candidates"][-1]["reason"] = attack
    results["settings"] = {attack: attack}
    page, outline, text = page_of_results(tmp_path, results)
    assert "<script" not in page and not outline.all("img")
    assert text.count(attack) >= 5


def test_missing_clip_and_previews_are_said(tmp_path):
    _, outline, text = page_of_results(tmp_path, fake_results(4))
    assert "best.mp4 is not in this folder" in text
    assert text.count("No preview was kept") == 4
    assert not outline.all("video")


def test_every_candidate_failed(tmp_path):
    results = fake_results(2)
    results["candidates"] = [results["candidates"][1] | {"index": i} for i in (0, 1)]
    results["best_index"] = -1
    _, outline, text = page_of_results(tmp_path, results)
    assert "All 2 candidates failed" in text and "Nothing was chosen" in text
    assert "What each verifier contributed" not in text


def test_sigma_as_bars_as_lines_or_not_at_all(tmp_path):
    results = fake_results(4)
    _, outline, text = page_of_results(tmp_path, results)
    assert "before" in text and "0.082" in text and not outline.all("svg")
    results["sigma_history"] = [[1.0, 1.0, 1.0], [0.5, 0.9, 0.4], [0.2, 0.8, 0.3]]
    _, outline, _ = page_of_results(tmp_path, results)
    (chart,) = outline.all("svg")
    assert "Sigma over 3 prompts" in chart["aria-label"]
    assert "mini_tv 0.200" in chart["aria-label"] and len(outline.all("path")) == 3
    del results["sigma_history"]
    for verifier in results["verifiers"]:
        verifier["sigma_before"] = verifier["sigma_after"] = None
    _, _, text = page_of_results(tmp_path, results)
    assert "Sigma" not in text


def test_a_verifier_that_did_not_guide_is_marked(tmp_path):
    results = fake_results(4)
    results["verifiers"][2]["guides"] = False
    _, _, text = page_of_results(tmp_path, results)
    assert "mini_av (did not guide)" in text


def test_judges_stand_apart_and_may_disagree(tmp_path):
    results = fake_results(4)
    results["best_index"] = 0
    for index, rewards in enumerate(([0.9, 0.1, 0.5], [0.1] * 3, [0.1] * 3)):
        results["candidates"][index]["rewards"] = rewards
    _, _, text = page_of_results(tmp_path, results)
    # 0.1 is no binary number, but all candidates have the same.
    assert "At least as good as the mean candidate under all 3 guides." in text
    assert "Judges" not in text
    results["verifiers"][2]["guides"] = False
    results["candidates"][0]["rewards"][2] = 0.0
    _, _, text = page_of_results(tmp_path, results)
    assert "under all 2 guides and under 0 of 1 judge." in text
    assert text.index("Guides") < text.index("Judges: they did not guide")


def test_the_first_candidates_alone(tmp_path):
    results = fake_results(6)
    scores = [None, 0.5, 0.25, 2.0, 1.0]
    for candidate, score in zip(results["candidates"], scores, strict=False):
        candidate["score"], candidate["failed"] = score, score is None
    first = first_of_results(results)
    assert [(row.num_candidates, row.chosen, row.score) for row in first] == [
        *((1, None, None), (2, 1, 0.5), (4, 3, 2.0), (6, 3, 2.0))
    ]
    assert first[1].rewards == tuple(results["candidates"][1]["rewards"])
    results["candidates"].reverse()  # they need not stand in order
    assert first_of_results(results) == first
    _, _, text = page_of_results(tmp_path, results)
    assert "More candidates" in text and "6 3 2.000" in text
    assert first_of_results(fake_results(1)) == []
    results["settings"]["search"] = "smc"  # its first candidates are no smaller search
    _, _, text = page_of_results(tmp_path, results)
    assert "More candidates" not in text


def test_many_candidates_and_a_long_prompt(tmp_path):
    results = fake_results(100, prompt="x" * 10_000)
    page, _, text = page_of_results(tmp_path, results)
    assert "The first 64 of 100 candidates are shown" in text
    assert page.count("<tr") > 100 and page.count('class="card') == 64 + 1
    assert '<h1 class="long"' in page


def test_numbers_are_written_for_reading():
    values = [None, 0.0, 0.5, -1.2345, 12345.6, 1e-5, 12_000, "adam", True]
    shown = ["–", "0.000", "0.500", "−1.234", "1.23e+04", "1e−05", "12,000", "adam"]
    assert [format_number(value) for value in values] == [*shown, "True"]
    assert format_number(0.25, signed=True) == "+0.250"


def test_no_results_no_page(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_captions_follow_the_rate_of_the_clip(run, tmp_path):
    assert "(0 to 1 s, then 1 to 2 s)" in page_of(run)[2]
    results = fake_results(2)
    results["clip"] |= {"frames": 8, "fps": 16.0}
    assert "(0 to 0.5 s)" in page_of_results(tmp_path, results)[2]
