"""Tables at the width of the terminal: no number is cut, no line is too long."""

import pytest

from avits_jax.cli import main, table
from avits_jax.cli.judgements import Judgement

NAMES = ["mini_tv", "mini_ta", "mini_av", "javis_score", "video_reward_overall"]
RESULTS = {
    "verifiers": [{"name": name, "guides": True} for name in NAMES]
    + [{"name": "mini_quality_judge", "guides": False}],
    "best_index": 1,
    "candidates": [
        {
            "index": index,
            "rank": None if index == 3 else index + 1,
            "rewards": [10 * index + place + 0.125 for place in range(6)],
            "calibrated": [1000 + 10 * index + place + 0.125 for place in range(5)]
            + [None],
            "score": -index - 0.5,
            "failed": index == 3,
            "reason": None,
        }
        for index in range(4)
    ],
}


@pytest.fixture
def columns(monkeypatch):
    def set_columns(number):
        monkeypatch.setenv("COLUMNS", str(number))

    return set_columns


@pytest.mark.parametrize("width", [60, 80, 120])
def test_candidates_are_whole_at_any_width(capsys, columns, width):
    columns(width)
    table.print_candidates(RESULTS)
    printed = capsys.readouterr().out
    assert all(len(line) <= width for line in printed.splitlines())
    words = printed.split()
    for candidate in RESULTS["candidates"]:
        numbers = [*candidate["rewards"], *candidate["calibrated"][:5]]
        for number in [*numbers, candidate["score"]]:
            assert words.count(f"{number:.3f}") == 1
    tables = words.count("rank")
    assert tables == words.count("failed") == words.count("clip")
    assert tables > 1 if width < 120 else tables == 2
    assert words.count("mini_tv") == words.count("video_reward_overall") == 2


def test_a_file_has_one_table(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table.print_candidates(RESULTS)
    assert capsys.readouterr().out.split().count("rank") == 1


def test_clips_and_reasons_are_broken_but_not_numbers(capsys, columns):
    columns(60)
    clip = "a/folder/" * 8 + "[bold]\x1b[31m.mp4"
    reason = "all of them: the clip has no sound and is too short for it"
    table.print_judgements(
        [
            Judgement(clip, "p", {name: 12345.678 for name in NAMES}, {}),
            Judgement("b.mp4", "p", dict.fromkeys(NAMES), {"": reason}),
        ]
    )
    printed = capsys.readouterr().out
    assert all(len(line) <= 60 for line in printed.splitlines())
    assert printed.split().count("12345.678") == 5 and "\x1b" not in printed
    for text in (clip.replace("\x1b", "\\x1b"), reason.replace(" ", "")):
        assert _column_of(printed, text)


def _column_of(printed, text):
    """Tell whether a text stands in a column, over several lines."""
    rest = text
    for word in printed.split():
        if rest and rest.startswith(word):
            rest = rest[len(word) :]
    return not rest


def test_rewards_fit(capsys, columns):
    columns(44)
    table.print_rewards({"mini_tv": 0.25, "javis_score": None, "mini_av": -3.0})
    printed = capsys.readouterr().out
    assert all(len(line) <= 44 for line in printed.splitlines())
    assert {"0.250", "failed", "-3.000"} <= set(printed.split())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_listing_fits(capsys, columns, width):
    columns(width)
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    # A command is one line, to be copied.
    wide = [line for line in lines if len(line) > width]
    assert all(line.startswith("    avits convert ") for line in wide)
    assert width < 120 or not wide
