"""JavisDiT's prompts: the aesthetic suffix, and the cleaning of its training captions.

The cleaning is DeepFloyd IF's, applied twice; the same string goes to both text
encoders.

Upstream: deep-floyd/IF, deepfloyd_if/modules/t5.py (clean_caption), which
JavisVerse/JavisDiT at b505b37 has in javisdit/models/text_encoder/t5.py; the suffix is
of its javisdit/utils/inference_utils.py (append_score_to_prompts).
"""

import html
import re
from html.parser import HTMLParser
from urllib.parse import unquote_plus

import ftfy

_DOMAINS = "com|co|ru|net|org|edu|gov|it"
_FILES = "png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4"
_WEB = rf"(?:/{{1,3}}|[a-zA-Z0-9%])|[a-zA-Z0-9.\-]+[.](?:{_DOMAINS})[\w/-]*\b/?(?!@)))"

# Pattern and replacement, in order, on lower-case text.
_LINKS = (
    ("<person>", "person"),
    (rf"\b((?:https?:{_WEB}", ""),
    (rf"\b((?:www:{_WEB}", ""),
)
_SYMBOLS = (
    (r"@[\w\d]+\b", ""),  # nicknames
    # CJK strokes, katakana extensions, enclosed and compatibility CJK, ideographs.
    (r"[\u31c0-\u31ef]+", ""),
    (r"[\u31f0-\u31ff]+", ""),
    (r"[\u3200-\u32ff]+", ""),
    (r"[\u3300-\u33ff]+", ""),
    (r"[\u3400-\u4dbf]+", ""),
    (r"[\u4dc0-\u4dff]+", ""),
    (r"[\u4e00-\u9fff]+", ""),
    # Dashes of all kinds.
    (
        r"[\u002D\u058A\u05BE\u1400\u1806\u2010-\u2015\u2E17\u2E1A\u2E3A\u2E3B\u2E40"
        r"\u301C\u3030\u30A0\uFE31\uFE32\uFE58\uFE63\uFF0D]+",
        "-",
    ),
    ("[`\u00b4\u00ab\u00bb\u201c\u201d\u00a8]", '"'),
    ("[\u2018\u2019]", "'"),
    (r"&quot;?", ""),
    (r"&amp", ""),
    (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", " "),  # network addresses
    (r"\d:\d\d\s+$", ""),
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"[\S]+\.(?:{_FILES})", ""),
    (r"[\"\']{2,}", '"'),
    (r"[\.]{2,}", " "),
    (
        "[#\u00ae\u2022\u00a9\u2122&@\u00b7\u00ba\u00bd\u00be\u00bf\u00a1\u00a7~"
        r")(\]\[}{|\\/*]+",
        " ",
    ),
    (r"\s+\.\s+", " "),
)
_WORDS = (
    (r"\b[a-zA-Z]{1,3}\d{3,15}\b", ""),  # article numbers
    (r"\b[a-zA-Z]+\d+[a-zA-Z]+\b", ""),
    (r"\b\d+[a-zA-Z]+\d+\b", ""),
    (r"(worldwide\s+)?(free\s+)?shipping", ""),
    (r"(free\s)?download(\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b(?:{_FILES})(\simage[s]?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b", " "),
    ("\\b\\d+\\.?\\d*[x\u0445\u00d7]\\d+\\.?\\d*\\b", ""),
    (r"\b\s+\:\s+", ": "),
    (r"(\D[,\./])\b", r"\1 "),
    (r"\s+", " "),
    (r"^[\"\']([\w\W]+)[\"\']$", r"\1"),
    (r"^[\'\_,\-\:;]", ""),
    (r"[\'\_,\-\:\-\+]$", ""),
    (r"^\.\S+$", ""),
)
_HIDDEN_TAGS = ("script", "style", "template")
_JOINERS = re.compile(r"[-_]")


class _Text(HTMLParser):
    """Collects what is neither a tag nor inside one that is not shown."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in _HIDDEN_TAGS

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in _HIDDEN_TAGS))

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def _without_tags(text: str) -> str:
    parser = _Text()
    parser.feed(text)
    parser.close()
    return "".join(parser.parts)


def _replace(text: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def clean_caption(text: str) -> str:
    """Take links, markup, article numbers and such out of a caption; lower-case it."""
    text = _replace(unquote_plus(text).strip().lower(), _LINKS)
    text = _replace(_without_tags(text), _SYMBOLS)
    if len(_JOINERS.findall(text)) > 3:
        text = _JOINERS.sub(" ", text)
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return _replace(text, _WORDS).strip()


def with_scores(
    prompt: str, aesthetic: float | None = 6.5, motion: float | None = None
) -> str:
    """Append the scores that captions had in training, unless the prompt has them."""
    if aesthetic is not None and "aesthetic score:" not in prompt:
        prompt = f"{prompt} aesthetic score: {aesthetic:.1f}."
    if motion is not None and "motion score:" not in prompt:
        prompt = f"{prompt} motion score: {motion:.1f}."
    return prompt


def prepare_prompt(
    prompt: str, aesthetic: float | None = 6.5, motion: float | None = None
) -> str:
    """Return the string that both text encoders get: suffix added, cleaned twice.

    Args:
        prompt: what to show and to hear.
        aesthetic: score of looks that the clip shall have; None adds none.
        motion: score of motion; None adds none.
    """
    return clean_caption(clean_caption(with_scores(prompt, aesthetic, motion)))
