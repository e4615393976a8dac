"""Text as papers carry it: free of control characters, with plain white space; TeX accents decoded where names need it."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from html import unescape

from pylatexenc.latex2text import LatexNodes2Text  # type: ignore[import-untyped]

__all__ = ["from_latex", "one_line", "paragraphs", "without_markup"]

# Controls of ASCII and Latin-1, bidirectional marks and overrides, halves of surrogates, byte order marks, non-characters.
_UNWANTED = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
# Windows-1252 quotes and dashes that were read as Latin-1 stand where its second row of controls is.
_SLIPS = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_BLANK_LINE = re.compile(r"(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))+")
_BLANK_OR_INDENTED_LINE = re.compile(_BLANK_LINE.pattern + r"|\n {2,}")
_TAG = re.compile(
    r"</?(?:p|br|div|span|a|b|i|em|strong|sub|sup|ul|ol|li|img|blockquote|h[1-6]|jats:\w+)"
    r"(?:\s+[\w:-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>]+))*\s*/?>",
    re.IGNORECASE,
)
_TEX = re.compile(r"[\\{}~$`'%&]|--")
# pylatexenc tells about every slip in somebody's TeX on the console.
logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)
_latex = LatexNodes2Text(math_mode="verbatim", keep_comments=True)


def one_line(text: str) -> str:
    """The text on one line, words a single space apart, without characters that nobody can see."""
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return " ".join(_UNWANTED.sub("", line.translate(_SLIPS)).split())


def paragraphs(text: str, *, indented: bool = False) -> str:
    """The text with each paragraph on one line and an empty line in between.

    `indented` is for arXiv's abstracts, whose paragraphs begin with two blanks.
    """
    if not any(sign in text for sign in ("\n\n", "\n ", "\n\t", "\r")):
        return one_line(text)
    parts = (_BLANK_OR_INDENTED_LINE if indented else _BLANK_LINE).split(text.strip())
    return one_line(text) if len(parts) == 1 else "\n\n".join(filter(None, map(one_line, parts)))


def without_markup(text: str) -> str:
    """The text that a description written in HTML shows; any other text, a lone "<" included, as it is."""
    if not _TAG.search(text):
        return text
    return unescape(_TAG.sub(lambda tag: "\n\n" if tag[0].lower().startswith(("<p", "</p", "<br")) else "", text))


# Escaped signs stand for themselves, whatever the library makes of the blanks around them.
_SIGNS = {
    **{f"\\{sign}": sign for sign in "%&#_$"},
    "\\textbackslash{}": "\\",
    "\\textbraceleft{}": "{",
    "\\textbraceright{}": "}",
    "\\textasciitilde{}": "~",
    "\\textasciicircum{}": "^",
    "\\textasciigrave{}": "`",
    "\\{": "{",
    "\\}": "}",
}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_FORMULA = re.compile(r"(?<!\\)\$(?:[^$\\]|\\.)+\$", re.DOTALL)
_LONGEST_TEX = 50_000
_HIDDEN = {sign: chr(0xE000 + number) for number, sign in enumerate(sorted(set(_SIGNS.values())))}
_SHOWN = str.maketrans({hidden: sign for sign, hidden in _HIDDEN.items()})


@lru_cache(maxsize=4096)
def from_latex(text: str) -> str:
    """TeX accents, dashes and escapes as Unicode; formulae between dollars stay TeX.

    Text that is no good TeX, or longer than any abstract, stays as it is.
    """
    if len(text) > _LONGEST_TEX or not _TEX.search(text):
        return text
    pieces, end = [], 0
    for formula in _FORMULA.finditer(text):
        pieces += [_words_from_latex(text[end : formula.start()]), formula[0]]
        end = formula.end()
    return "".join((*pieces, _words_from_latex(text[end:])))


def _words_from_latex(text: str) -> str:
    if not _TEX.search(text):
        return text
    hidden = _SIGN.sub(lambda sign: _HIDDEN[_SIGNS[sign[0]]], text)
    # An address or a percentage that somebody forgot to escape must not turn the rest into a comment or a column.
    hidden = re.sub(r"[%&#_$^]", lambda sign: _HIDDEN[sign[0]], hidden)
    try:
        plain = str(_latex.latex_to_text(hidden, tolerant_parsing=True))
    except Exception:  # whatever strange TeX does to the library, the text is still there to be shown
        return text
    return plain.replace("\xa0", " ").translate(_SHOWN)
