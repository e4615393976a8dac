"""What people write comes out as the HTML that it stands for, and as nothing else."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import html

from pressrun.web.community import markdown
from pressrun.web.community.markdown import mentioned, render

SAFE_TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "ol", "ul", "li", "a", "em", "strong", "s", "del"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
SAFE_ATTRIBUTES = {("a", "href"), ("a", "title"), ("a", "class"), ("a", "rel"), ("ol", "start")}

# Ways in that were tried elsewhere: raw HTML, schemes, entities, broken nesting, code fences, formulas, autolinks, tables.
ATTACKS = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<a href='javascript:alert(1)'>x</a>",
    "<details open ontoggle=alert(1)>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror=alert(1)></style></mglyph></math>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'></noscript>",
    "<form action=/account/delete><button>Win</button></form>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<link rel=stylesheet href=//evil.example>",
    "<style>*{display:none}</style>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<p style='position:fixed;inset:0'>",
    "<p id=main class=masthead>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](data:image/svg+xml;base64,PHN2Zy8+)",
    "[x](file:///etc/passwd)",
    "[x](\x01javascript:alert(1))",
    '[x](https://e.example "onmouseover=alert(1)")',
    "[x](https://e.example '\" onmouseover=\"alert(1)')",
    '[x](<https://e.example/" onclick="alert(1)>)',
    "![x](javascript:alert(1))",
    "![x](https://track.example/pixel.gif)",
    '![x"onerror="alert(1)](x)',
    "<javascript:alert(1)>",
    '<https://e.example/"><img/src=x/onerror=alert(1)>',
    'https://e.example/"onmouseover=alert(1)',
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "$<img src=x onerror=alert(1)>$",
    "$$\n<script>alert(1)</script>\n$$",
    "$\\href{javascript:alert(1)}{x}$",
    "$</p><script>alert(1)</script>$",
    "| <img src=x onerror=alert(1)> |\n|--|\n| <script>alert(1)</script> |",
    '|x|\n|:--:" onclick=alert(1)|\n|y|',
    "[x]: javascript:alert(1)\n\n[x]",
    '[x]: <data:text/html,x> "t"\n\n[x][x]',
    "> <script>alert(1)</script>",
    "* <img src=x onerror=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "@<script>alert(1)</script>",
    '@ada"onclick=alert(1)',
    "@ada'><script>alert(1)</script>",
    "a\u2028<script>alert(1)</script>",
    "\u0000<scr\u0000ipt>alert(1)</scr\u0000ipt>",
    "<<script>script>alert(1)<</script>/script>",
    "\\<script\\>alert(1)\\</script\\>",
    '[a](#" onfocus=alert(1) autofocus)',
    '[x](//evil.example/\\"onclick=alert(1))',
    "<xmp><script>alert(1)</script></xmp>",
    "<textarea><script>alert(1)</script></textarea>",
    "<title><img src=x onerror=alert(1)></title>",
    "~~<script>~~alert(1)~~</script>~~",
    "**[**](javascript:alert(1))**",
]


def assert_harmless(text: str) -> None:
    tree = html.fragment_fromstring(render(text, ["ada"]), create_parent="main")
    for element in tree.iterdescendants():
        assert element.tag in SAFE_TAGS, html.tostring(element)
        for name, value in element.attrib.items():
            assert (element.tag, name) in SAFE_ATTRIBUTES, html.tostring(element)
            if name == "href":
                scheme = value.partition(":")[0].lower() if ":" in value.split("/")[0] else ""
                assert scheme in {"", "http", "https", "mailto"}, value
            if name == "class":
                assert value == "mention"


@pytest.mark.parametrize("text", ATTACKS)
def test_an_attack_becomes_text(text: str) -> None:
    assert_harmless(text)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.sampled_from([*ATTACKS, "**", "`", "```\n", "\n\n", "> ", "- ", "$", "|", "[", "](", ")", "@ada", "<", '"']),
        max_size=6,
    )
)
def test_attacks_put_together_become_text(parts: list[str]) -> None:
    assert_harmless("".join(parts))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_becomes_safe_html(text: str) -> None:
    assert_harmless(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a *b* **c** ~~d~~ `e`", "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e</code></p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("> q", "<blockquote>\n<p>q</p>\n</blockquote>\n"),
        ("3. c", '<ol start="3">\n<li>c</li>\n</ol>\n'),
        ("# no heading", "<p># no heading</p>\n"),
        ("[x](https://e.example)", '<p><a href="https://e.example" rel="nofollow ugc noopener">x</a></p>\n'),
        ("https://e.example/a", '<p><a href="https://e.example/a" rel="nofollow ugc noopener">https://e.example/a</a></p>\n'),
        ("[claim](#stays-bounded)", '<p><a href="#stays-bounded" rel="nofollow ugc noopener">claim</a></p>\n'),
    ],
)
def test_it_knows_a_subset_of_markdown(text: str, shown: str) -> None:
    assert render(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("$a_1 * b * c_2$", "<p>$a_1 * b * c_2$</p>\n"),
        ("$x<y$ and $$z>1$$", "<p>$x&lt;y$ and $$z&gt;1$$</p>\n"),
        ("$$\n\\sum_i *x*\n$$", "<p>$\\sum_i *x*$</p>\n"),
        ("it costs $5 and *not* $6", "<p>it costs $5 and <em>not</em> $6</p>\n"),
        ("`$a$`", "<p><code>$a$</code></p>\n"),
    ],
)
def test_formulas_are_left_as_they_were_written(text: str, shown: str) -> None:
    assert render(text) == shown


def test_an_at_leads_to_people_who_are_here() -> None:
    link = '<a href="/members/ada" class="mention" rel="nofollow ugc noopener">@Ada</a>'
    assert render("@Ada and @nobody", ["ada"]) == f"<p>{link} and @nobody</p>\n"


def test_an_at_in_an_address_code_or_link_is_no_mention() -> None:
    text = "mail a@ada.example, `@ada`, [@ada](https://e.example), $@ada$, https://e.example/@ada"
    assert "mention" not in render(text, ["ada"])
    assert mentioned(text) == []


def test_mentions_are_found_once_each_without_the_full_stop() -> None:
    assert mentioned("@bo.li, @ada and @bo.li. (@eve)\n\n> @carl-2") == ["bo.li", "ada", "eve", "carl-2"]


def test_a_text_that_is_all_signs_is_shown_as_typed() -> None:
    assert render("[" * (markdown.MOST_SIGNS + 1)) == f"<p>{'[' * (markdown.MOST_SIGNS + 1)}</p>"
    assert mentioned("@ada " + "*" * (markdown.MOST_SIGNS + 1)) == []


def test_what_is_too_long_is_cut() -> None:
    assert len(render("a" * (markdown.LONGEST + 500))) == markdown.LONGEST + len("<p></p>\n")
