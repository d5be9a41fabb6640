"""Prompts as both text encoders get them; expected strings are the original's."""

import pytest

from avits_jax.text.captions import prepare_prompt, with_scores

CASES = {
    "A dog barks at a passing car": "a dog barks at a passing car",
    "  A RED fox -- jumps_over the-lazy-dog_and-runs  ": (
        "a red fox jumps over the lazy dog and runs"
    ),
    "see https://example.com/a/b?c=1 or www.foo.org/x now": "see ?c=1 or now",
    "<b>Bold</b> &amp; <i>it</i> &quot;hi&quot; AT&T": 'bold it "hi" at t',
    "call 192.168.1.1 at 10:23 ": "call at 10:23",
    "IMG_1234.jpg of a cat #12345 #12 1234567": "of a cat",
    "\u201cCurly\u201d quotes \u2018here\u2019 and \u2014 dashes \u2013 too": (
        "\"curly\" quotes 'here' and - dashes - too"
    ),
    "free shipping worldwide shipping download free click on link": "",
    "jc6640 jc6640vc 6640vc231 page 12 1920x1080": "",
    "@nick says \u6f22\u5b57 hello\u3002 \u3314 \u3280": "says hello\u3002",
    "***WOW*** [brackets] {braces} (parens) a|b\\c/d*e ~ \u00a7 \u00bd": (
        "wow brackets braces parens a b c d e"
    ),
    "a...b . c , d :e": "a b c , d :e",
    "\ufb01ne \uff46\uff55\uff4c\uff4c width \u00e2\u20ac\u2122s mojibake": (
        "fine full width \u2020s mojibake"
    ),
    "100%25 plus+sign": "100% plus sign",
    "<person> walks <br/> <!-- note --> x < y > z": "person walks x < y > z",
    "caf\u00e9 \u00a9 2024 \\n new": "caf\u00e9 2024 new",
    "thunder, rain:and wind;3.5x4": "thunder, rain:and wind;3.",
    "a.b.c d,e/f g": "a. b. c d, e f g",
    "email me@site.com <script>alert(1)</script> ok": "email me ok",
}


@pytest.mark.parametrize("prompt", CASES)
def test_prompts_are_cleaned_as_in_training(prompt):
    expected = f"{CASES[prompt]} aesthetic score: 6.5.".strip()
    assert prepare_prompt(prompt) == expected


def test_scores_are_added_once():
    assert with_scores("x", 5, 2) == "x aesthetic score: 5.0. motion score: 2.0."
    given = "x aesthetic score: 4.0."
    assert with_scores(given, 6.5) == given
    assert with_scores("x", None) == "x"
