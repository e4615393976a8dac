"""What the pages say, and how they answer bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from lxml import html
from pytest_django import Settings

from pressrun.catalog import Author, Links, Paper
from pressrun.web.papers import models
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.templatetags import press

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script> & "quoted" <b>bold</b>'


def page(client: Client, path: str, status: int = 200, **headers: str) -> html.HtmlElement:
    response = client.get(path, headers=headers)
    assert response.status_code == status, response.content[:2000]
    return html.fromstring(response.content.decode())


def text_of(tree: html.HtmlElement, path: str = "//main") -> str:
    return " ".join(" ".join(node.text_content() for node in tree.xpath(path)).split())


def titles(tree: html.HtmlElement) -> list[str]:
    return [node.text_content() for node in tree.xpath("//article[contains(@class,'card')]//h2")]


def many(count: int) -> list[Paper]:
    return [
        Paper(
            title=f"Paper number {n}",
            arxiv_id=f"2601.{n:05}",
            abstract="Some words. " * 20,
            authors=(Author(f"Ada Number{n}"), Author("Bo Common")),
            published=date(2026, 1, 5),
            organisation=f"Lab {n % 7}",
            topics=(f"topic {n % 5}", "shared"),
        )
        for n in range(1, count + 1)
    ]


# Lists


def test_home_shows_the_last_day_with_papers_most_votes_first(client: Client, papers: object) -> None:
    tree = page(client, "/")
    assert text_of(tree, "//h1") == "Monday 20 April 2026"
    assert titles(tree) == [
        "Lateral Inhibition Trains Deep Spiking Networks",
        "Refusal Falls off a Cliff",
        "Beyond $\\ell_1$ sparse coding in V1",
    ]


def test_a_card_says_what_is_known_of_a_paper(client: Client, papers: object) -> None:
    first, second, _ = page(client, "/").xpath("//article")
    assert text_of(first, ".//p[@class='meta']") == (
        "27 Sep 2025 Peiyu Liu and 2 others Peking University inhibition spiking networks 1 comment "
        "code of Lateral Inhibition Trains Deep Spiking Networks arXiv page of Lateral Inhibition Trains Deep Spiking Networks"
    )
    assert first.xpath(".//p[contains(@class,'summary')]")[0].text_content().startswith("Splitting each layer into")
    assert text_of(first, ".//p[contains(@class,'votes')]") == "31 votes"
    assert "11 authors" in text_of(second, ".//p[@class='meta']")
    assert second.xpath(".//p[contains(@class,'summary')]")[0].text_content().startswith("Reasoning models mean to refuse")


def test_the_list_leads_to_its_neighbours_and_feeds(client: Client, papers: object) -> None:
    tree = page(client, "/papers/date/2026-04-16")
    assert tree.xpath("//nav[@class='pager']/a/@href") == ["/papers/date/2026-04-20"]
    assert tree.xpath("//head/link[@rel='alternate']/@href") == [
        "/papers/date/2026-04-16/feed.atom",
        "/papers/date/2026-04-16/feed.rss",
        "/papers/date/2026-04-16/feed.json",
    ]
    assert tree.xpath("//nav[@class='tabs']/a/@href") == [
        "/papers/date/2026-04-16", "/papers/week/2026-W16", "/papers/month/2026-04", "/papers/trending",
    ]  # fmt: skip


def test_home_is_followed_as_the_latest_list(client: Client, papers: object) -> None:
    tree = page(client, "/?sort=new")
    assert tree.xpath("//head/link[@rel='alternate']/@href")[0] == "/papers/feed.atom?sort=new"
    assert tree.xpath("//head/link[@rel='canonical']/@href") == ["http://testserver/"]


@pytest.mark.parametrize(
    ("path", "heading", "count"),
    [
        ("/papers/week/2026-W17", "Week 17 of 2026", 3),
        ("/papers/month/2026-04", "April 2026", 5),
        ("/papers/trending", "Trending", 5),
        ("/topics/inhibition", "inhibition", 2),
        ("/organisations/rednote-hilab", "rednote-hilab", 1),
        ("/authors/zhouchen-lin", "Zhouchen Lin", 1),
    ],
)
def test_every_kind_of_list_shows_its_papers(client: Client, papers: object, path: str, heading: str, count: int) -> None:
    tree = page(client, path)
    assert text_of(tree, "//h1") == heading
    assert len(titles(tree)) == count


def test_a_day_without_papers_points_to_the_last_and_the_next_with_some(client: Client, papers: object) -> None:
    tree = page(client, "/papers/date/2026-04-18")
    assert "The last list before it is of Thursday 16 April 2026, the next one of Monday 20 April 2026." in text_of(tree)
    assert tree.xpath("//div[@class='empty']//a/@href") == ["/papers/date/2026-04-16", "/papers/date/2026-04-20"]


def test_an_empty_site_says_how_to_fill_it(client: Client) -> None:
    assert "pressrun import" in text_of(page(client, "/"))
    assert "This site holds no papers yet." in text_of(page(client, "/papers/date/2026-04-18"))
    for path in ("/papers/trending", "/topics", "/about", "/about/ranking", "/search"):
        page(client, path)


def test_trending_shows_the_terms_of_the_published_formula(client: Client, papers: object) -> None:
    first = page(client, "/papers/trending").xpath("//article")[0]
    # log2(1 + 31 + 1/2) = 5.022; 2026-04-20 is day 9606 since 2000-01-01, and 9606 / 7 = 1372.29.
    assert text_of(first, ".//details/p").startswith("attention 5.02 + freshness 1372.3 = 1377.31, by the")


def test_the_ranking_page_states_the_constant_in_force(client: Client, papers: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pressrun.web.papers.views.TRENDING_DAYS", 11)
    assert "log₂(1 + votes + comments / 2) + days / 11" in text_of(page(client, "/about/ranking"))


def test_a_withdrawn_paper_leaves_the_lists_and_keeps_its_page(client: Client, papers: object) -> None:
    models.Paper.objects.filter(public_id="2510.06036").update(withdrawn=True)
    assert "Refusal Falls off a Cliff" not in titles(page(client, "/"))
    assert "Its source has taken this paper back." in text_of(page(client, "/papers/2510.06036"))


def test_long_lists_go_on_as_links_and_as_fragments(client: Client) -> None:
    save(many(60), Report())
    first = page(client, "/papers/date/2026-01-05?sort=new")
    assert len(titles(first)) == 50
    assert first.xpath("//a[contains(@class,'show-more')]/@href") == ["?sort=new&page=2"]
    second = client.get("/papers/date/2026-01-05?sort=new&page=2", headers={"HX-Request": "true"})
    assert "<html" not in second.content.decode()
    assert second["Vary"] == "HX-Request, Cookie"
    assert len(titles(html.fromstring(second.content.decode()))) == 10
    assert len(titles(page(client, "/papers/date/2026-01-05?sort=new&page=2"))) == 10


@pytest.mark.parametrize(
    "path", ["/papers/date/2026-01-05", "/papers/trending", "/topics/shared", "/authors/bo-common", "/papers/month/2026-01"]
)
def test_a_list_costs_as_many_queries_with_five_papers_as_with_fifty(client: Client, path: str) -> None:
    save(many(5), Report())
    with CaptureQueriesContext(connection) as few:
        assert len(titles(page(client, path))) == 5
    save(many(50), Report())
    cache.clear()
    with CaptureQueriesContext(connection) as lots:
        assert len(titles(page(client, path))) == 50
    assert len(lots) == len(few)


# Bad input


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/papers/date/2026-02-30", "there is no day 2026-02-30."),
        ("/papers/date/yesterday", "a date is written YYYY-MM-DD, got 'yesterday'."),
        ("/papers/week/2026-W54", "there is no week 2026-W54."),
        ("/papers/month/2026-13", "a month is written YYYY-MM, such as 2026-04, got '2026-13'."),
        ("/?page=0", "page must be from 1 to 1, got 0."),
        ("/?page=-1", "page must be from 1 to 1, got -1."),
        ("/papers/trending?page=999999", "page must be from 1 to 1, got 999999."),
        ("/topics?page=x", "page must be a whole number from 1, got 'x'."),
        ("/papers/date/2026-04-20?sort=beauty", "sort must be one of votes, new, trending, got 'beauty'."),
        ("/search?q=a&page=0", "page must be a whole number from 1 to 50, got '0'."),
        ("/search?q=a&page=²", "page must be a whole number from 1 to 50, got '²'."),
        ("/search?q=a&mode=magic", "mode must be one of hybrid, lexical, semantic, got 'magic'."),
        ("/search?q=year:soon", "year: needs a whole number, as in year:2025, year:10..20 or year:<120, not 'soon'."),
    ],
)
def test_bad_input_is_answered_with_a_sentence_in_html_and_json(
    client: Client, indexed: object, path: str, sentence: str
) -> None:
    tree = page(client, path, 400)
    assert sentence in text_of(tree)
    answer = client.get(path, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_a_query_of_100_kb_is_refused_with_the_limit(client: Client, indexed: object) -> None:
    assert "has 100,000 characters; at most 10,000 can be searched for." in text_of(
        page(client, "/search?q=" + "a" * 100_000, 400)
    )


@pytest.mark.parametrize(
    "path",
    ["/papers/2599.99999", "/authors/nobody", "/topics/none", "/organisations/x", "/nowhere", "/papers/a%00b", "/topics/a%00b"],
)
def test_what_is_not_there_is_a_404_that_offers_a_search(client: Client, papers: object, path: str) -> None:
    tree = page(client, path, 404)
    assert tree.xpath("//main//form[@action='/search']")
    assert client.get(path, headers={"Accept": "application/json"}).json().keys() == {"error"}


@pytest.mark.parametrize("path", ["/", "/search", "/papers/2509.23253", "/about"])
def test_pages_are_read_not_written(client: Client, papers: object, path: str) -> None:
    assert client.post(path).status_code == 405


def test_the_error_page_needs_no_database(django_assert_num_queries: object) -> None:
    request = RequestFactory().get("/")
    with CaptureQueriesContext(connection) as queries:
        shown = render_to_string(
            "papers/error.html", {"title": "Something broke", "sentence": "The server failed.", "status": 500}, request
        )
    assert len(queries) == 0
    assert "500, server error" in shown


# Untrusted text


@pytest.fixture
def hostile(db: None) -> Paper:
    paper = Paper(
        title=HOSTILE,
        arxiv_id="2602.00001",
        abstract=HOSTILE + " spike",
        summary=HOSTILE,
        authors=(Author(HOSTILE, HOSTILE),),
        published=date(2026, 2, 2),
        organisation=HOSTILE,
        topics=(HOSTILE,),
        journal=HOSTILE,
        note=HOSTILE,
        submitted_by=HOSTILE,
        links=Links(code="javascript:alert(1)", project="https://example.org/x"),
    )
    save([paper], Report())
    from pressrun.web.papers.indexing import index_pending

    index_pending()
    return paper


@pytest.mark.parametrize(
    "path",
    ["/", "/papers/2602.00001", "/search?q=spike", "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/topics", "/papers/trending"],
)
def test_markup_from_sources_is_shown_as_text(client: Client, hostile: Paper, path: str) -> None:
    tree = page(client, path)
    scripts = [node for node in tree.iter("script") if not node.get("src") and node.get("type") != "application/ld+json"]
    assert scripts == []
    assert not tree.xpath("//main//b[text()='bold']")
    assert not tree.xpath("//a[starts-with(@href,'javascript')]")
    assert "<script>alert(1)</script>" in tree.text_content()


def test_json_ld_cannot_end_its_script(client: Client, hostile: Paper) -> None:
    (data,) = page(client, "/papers/2602.00001").xpath("//script[@type='application/ld+json']/text()")
    assert json.loads(data)["headline"] == HOSTILE
    assert "<" not in data


def test_links_lead_to_http_only(client: Client, hostile: Paper) -> None:
    links = page(client, "/papers/2602.00001").xpath("//p[contains(@class,'paper-links')]/a")
    assert [link.text for link in links] == ["arXiv 2602.00001", "PDF", "Project", "Hugging Face", "Cite"]
    assert all(link.get("rel") == "noopener" for link in links[:-1])


def test_the_policy_allows_nothing_inline_and_no_other_host(client: Client, papers: object) -> None:
    response = client.get("/papers/2509.23253")
    policy = {rule.strip() for rule in response["Content-Security-Policy"].split(";")}
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= policy
    assert not any("unsafe" in rule for rule in policy)
    tree = html.fromstring(response.content.decode())
    assert not tree.xpath("//*[@style]")
    assert not tree.xpath("//style")
    assert not response.cookies


# Paper page


def test_the_paper_page_tells_everything_known(client: Client, indexed: object) -> None:
    tree = page(client, "/papers/2509.23253")
    assert text_of(tree, "//h1") == "Lateral Inhibition Trains Deep Spiking Networks"
    assert text_of(tree, "//p[@class='authors']") == "Peiyu Liu Zhejiang University, Jianhao Ding, Zhaofei Yu"
    assert tree.xpath("//p[@class='authors']/a/@href") == ["/authors/peiyu-liu", "/authors/jianhao-ding", "/authors/zhaofei-yu"]
    assert tree.xpath("//p[contains(@class,'paper-links')]/a/@href") == [
        "https://arxiv.org/abs/2509.23253",
        "https://arxiv.org/pdf/2509.23253",
        "https://github.com/example/ei-snn",
        "https://huggingface.co/papers/2509.23253",
        "#cite",
    ]
    assert [node.text for node in tree.xpath("//article//h2")] == ["Our summary"]
    assert "2509.23253" in tree.xpath("//pre[@id='bib-text']")[0].text
    assert "ER  -" in tree.xpath("//pre[@id='ris-text']")[0].text
    assert (
        json.loads(tree.xpath("//pre[@id='csl-text']")[0].text)[0]["title"] == "Lateral Inhibition Trains Deep Spiking Networks"
    )


def test_an_abstract_is_told_from_our_summary(client: Client, indexed: object) -> None:
    tree = page(client, "/papers/2510.06036")
    assert [node.text for node in tree.xpath("//article//h2")] == ["Abstract, by the authors"]
    assert text_of(tree, "//p[@class='authors']") == "11 authors, whose names the source does not give"


def test_the_head_carries_the_record_for_reference_managers(client: Client, papers: object) -> None:
    tree = page(client, "/papers/10.1371/journal.pcbi.1011459")
    tags = [(tag.get("name"), tag.get("content")) for tag in tree.xpath("//head/meta[starts-with(@name,'citation_')]")]
    assert tags == [
        ("citation_title", "Beyond $\\ell_1$ sparse coding in V1"),
        ("citation_author", "Rentzeperis, Ilias"),
        ("citation_author", "Calatroni, Luca"),
        ("citation_author", "Perrinet, Laurent U."),
        ("citation_author", "Prandi, Dario"),
        ("citation_date", "2023/01/24"),
        ("citation_publication_date", "2023/01/24"),
        ("citation_journal_title", "PLoS Computational Biology"),
        ("citation_doi", "10.1371/journal.pcbi.1011459"),
        ("citation_keywords", "inhibition; vision"),
        ("citation_public_url", "http://testserver/papers/10.1371/journal.pcbi.1011459"),
    ]
    assert tree.xpath("//head/link[@rel='canonical']/@href") == ["http://testserver/papers/10.1371/journal.pcbi.1011459"]
    assert tree.xpath("//head/meta[@property='og:title']/@content") == ["Beyond $\\ell_1$ sparse coding in V1"]
    facts = json.loads(tree.xpath("//script[@type='application/ld+json']/text()")[0])
    assert facts["@type"] == "ScholarlyArticle"
    assert [person["name"] for person in facts["author"]] == [
        "Ilias Rentzeperis",
        "Luca Calatroni",
        "Laurent U. Perrinet",
        "Dario Prandi",
    ]
    assert facts["sameAs"] == ["https://doi.org/10.1371/journal.pcbi.1011459"]


def test_the_abstract_and_arxiv_id_stand_in_the_head(client: Client, papers: object) -> None:
    tree = page(client, "/papers/2510.06036")
    assert tree.xpath("//meta[@name='citation_arxiv_id']/@content") == ["2510.06036"]
    assert tree.xpath("//meta[@name='citation_abstract']/@content")[0].startswith("Reasoning models mean to refuse")
    assert not tree.xpath("//meta[@name='citation_pdf_url']")


@pytest.mark.parametrize(
    ("path", "status", "to"),
    [
        ("/papers/2509.23253v2", 302, "/papers/2509.23253"),
        ("/papers/arXiv:2509.23253", 302, "/papers/2509.23253"),
        ("/papers/math/0309136v1", 302, "/papers/math/0309136"),
        ("/papers/2509.23253/", 302, "/papers/2509.23253"),
        ("/papers/10.1371/JOURNAL.PCBI.1011459", 302, "/papers/10.1371/journal.pcbi.1011459"),
        ("/papers/old-slug-2025", 301, "/papers/2509.23253"),
    ],
)
def test_other_names_of_a_paper_lead_to_its_address(client: Client, papers: object, path: str, status: int, to: str) -> None:
    models.FormerId.objects.create(public_id="old-slug-2025", paper=models.Paper.objects.get(public_id="2509.23253"))
    response = client.get(path)
    assert (response.status_code, response["Location"]) == (status, to)
    page(client, to)


def test_a_note_on_unsure_facts_is_shown(client: Client) -> None:
    save([Paper(title="Unsure", arxiv_id="2603.00001", note="The arXiv id is not verified.")], Report())
    tree = page(client, "/papers/2603.00001")
    assert "Note: The arXiv id is not verified." in text_of(tree)
    assert "The source gave no abstract, and no summary has been written yet." in text_of(tree)


def test_similar_papers_are_offered(client: Client, indexed: object) -> None:
    near = page(client, "/papers/math/0309136").xpath("//ul[contains(@class,'near')]/li/a")
    assert "Lateral Inhibition Trains Deep Spiking Networks" in [link.text for link in near]


# Search


def test_search_finds_marks_and_says_why(client: Client, indexed: object) -> None:
    tree = page(client, "/search?q=what+makes+a+language+model+refuse")
    assert titles(tree)[0] == "Refusal Falls off a Cliff"
    first = tree.xpath("//article")[0]
    # One stem: what the title calls refusal, the query calls to refuse, so it may be marked in both.
    assert "refuse" in [mark.text for mark in first.xpath(".//p[contains(@class,'summary')]//mark")]
    assert text_of(first, ".//p[@class='why']").startswith("Why this hit:")
    assert "Word rank 1" in text_of(first, ".//p[@class='why']")


def test_search_while_typing_takes_the_last_word_as_a_beginning(client: Client, indexed: object) -> None:
    response = client.get("/search?q=bihemis", headers={"HX-Request": "true", "HX-Trigger-Name": "q"})
    shown = html.fromstring(response.content.decode())
    assert shown.get("id") == "results"
    assert titles(shown) == ["A bihemispheric controller for motor learning"]
    assert response["Vary"] == "HX-Request, Cookie"


def test_facets_edit_the_query_and_chosen_filters_can_be_removed(client: Client, indexed: object) -> None:
    tree = page(client, "/search?q=spiking")
    links = {text_of(link, "./span[1]"): link.get("href") for link in tree.xpath("//div[@class='facet']//a")}
    assert links["2025"] == "/search?q=spiking+year%3A2025"
    assert links["continual learning"] == "/search?q=spiking+topic%3A%22continual+learning%22"
    narrowed = page(client, links["continual learning"])
    assert titles(narrowed) == ["Hebbian projection for continual learning"]
    assert narrowed.xpath("//ul[@class='chosen']//a/@href") == ["/search?q=spiking"]
    assert narrowed.xpath("//div[@class='facet']//a[@class='on']/@href") == ["/search?q=spiking"]


def test_a_query_of_only_filters_works(client: Client, indexed: object) -> None:
    assert sorted(titles(page(client, "/search?q=year:2024"))) == [
        "A bihemispheric controller for motor learning",
        "Hebbian projection for continual learning",
    ]


def test_the_order_is_part_of_the_query(client: Client, indexed: object) -> None:
    tree = page(client, "/search?q=learning+sort:votes")
    assert titles(tree)[0] == "A bihemispheric controller for motor learning"
    order = tree.xpath("//nav[@aria-label='Order']/a")
    assert [(link.text, link.get("href"), link.get("aria-current")) for link in order] == [
        ("relevance", "/search?q=learning", None),
        ("newest", "/search?q=learning+sort%3Adate", None),
        ("most votes", "/search?q=learning+sort%3Avotes", "true"),
    ]


@pytest.mark.parametrize(
    "query",
    ["2509.23253", "2509.23253v3", "https://arxiv.org/abs/2509.23253", "https://arxiv.org/pdf/2509.23253.pdf", "https://huggingface.co/papers/2509.23253",
     "http://testserver/papers/2509.23253"],
)  # fmt: skip
def test_an_id_or_address_goes_straight_to_the_paper(client: Client, indexed: object, query: str) -> None:
    response = client.get("/search", {"q": query})
    assert (response.status_code, response["Location"]) == (302, "/papers/2509.23253")


def test_a_doi_goes_straight_to_the_paper(client: Client, indexed: object) -> None:
    assert (
        client.get("/search", {"q": "https://doi.org/10.1371/journal.pcbi.1011459"})["Location"]
        == "/papers/10.1371/journal.pcbi.1011459"
    )


def test_an_id_typed_is_offered_without_leaving(client: Client, indexed: object) -> None:
    response = client.get("/search?q=2509.23253", headers={"HX-Request": "true", "HX-Trigger-Name": "q"})
    assert response.status_code == 200
    assert "That is a paper here:" in response.content.decode()


def test_an_unknown_id_says_so(client: Client, indexed: object) -> None:
    assert "There is no paper 2512.99999 here." in text_of(page(client, "/search?q=2512.99999"))


def test_no_query_gives_examples(client: Client, indexed: object) -> None:
    links = page(client, "/search").xpath("//ul[@class='questions']//a")
    assert [link.text for link in links] == [
        "what makes a language model refuse",
        "brains that learn without forgetting",
        "motor control",
        "inhibitory neurons",
    ]
    assert links[0].get("href") == "/search?q=what%20makes%20a%20language%20model%20refuse"


def test_nothing_found_says_what_to_try(client: Client, indexed: object) -> None:
    tree = page(client, "/search?q=zzqxv+year:1999&mode=lexical")
    assert "Nothing found" in text_of(tree)
    assert tree.xpath("//div[contains(@class,'empty')]//p[@class='actions']/a/@href") == [
        "/search?q=zzqxv&mode=lexical",
        "/search?q=zzqxv%20year%3A1999",
    ]


def test_a_bad_query_typed_is_told_in_place(client: Client, indexed: object) -> None:
    response = client.get("/search?q=sort:beauty", headers={"HX-Request": "true", "HX-Trigger-Name": "q"})
    assert response.status_code == 400
    assert "sort: takes relevance, date or votes" in response.content.decode()


def test_a_search_can_be_followed(client: Client, indexed: object) -> None:
    tree = page(client, "/search?q=motor+control")
    assert tree.xpath("//head/link[@rel='alternate']/@href")[0] == "/search/feed.atom?q=motor+control"


@pytest.mark.parametrize(
    "query", ['"', '"a', "-", "😀", "нейрон", "' OR 1=1 --", "the of and", "a:b:c", "(((", "[", "%", "\\", "a\0b", "*"]
)
def test_strange_queries_are_answered(client: Client, indexed: object, query: str) -> None:
    assert client.get("/search", {"q": query}).status_code == 200


def test_a_broken_index_stops_search_and_nothing_else(client: Client, indexed: object, settings: Settings) -> None:
    (settings.HOME / "index" / "CURRENT").write_text("rubbish")
    cache.clear()
    assert "Search is out of order" in text_of(page(client, "/search?q=motor", 503))
    assert text_of(page(client, "/papers/2509.23253"), "//h1") == "Lateral Inhibition Trains Deep Spiking Networks"
    page(client, "/about")


# Other pages


def test_topics_are_listed_with_their_numbers(client: Client, papers: object) -> None:
    rows = page(client, "/topics").xpath("//ul[@class='topics']/li")
    assert [text_of(row, ".") for row in rows][:2] == ["inhibition2 papers", "spiking networks2 papers"]


def test_about_tells_the_numbers_of_this_install_and_no_private_path(client: Client, papers: object) -> None:
    models.ImportRun.objects.create(
        location="/home/someone/secret.jsonl",
        identity="x",
        format="jsonl",
        state="finished",
        read=5,
        added=5,
        finished="2026-04-21T00:00:00Z",
    )
    told = text_of(page(client, "/about"))
    assert "Papers5" in told.replace(" ", "")
    assert "jsonl, 21 Apr 2026" in told
    assert "secret" not in told


def test_robots_may_read_everything_and_find_the_sitemap(client: Client) -> None:
    assert "Allow: /\n" in client.get("/robots.txt").content.decode()
    assert "Sitemap: http://testserver/sitemap.xml" in client.get("/robots.txt").content.decode()


def test_browsers_can_add_the_search(client: Client) -> None:
    assert 'template="http://testserver/search?q={searchTerms}"' in client.get("/opensearch.xml").content.decode()


@pytest.mark.parametrize(
    ("names", "count", "said"),
    [
        ((), None, ""),
        ((), 1, "1 author"),
        ((), 7, "7 authors"),
        (("A",), None, "A"),
        (("A", "B"), None, "A and B"),
        (("A", "B", "C"), None, "A and 2 others"),
    ],
)
def test_authors_are_named_or_counted(names: tuple[str, ...], count: int | None, said: str) -> None:
    row = models.Paper(authors=[{"name": name} for name in names], author_count=count)
    assert press.who(row) == said


# The owner's pages


def test_what_is_typed_in_the_admin_is_kept_from_imports(client: Client, papers: tuple[Paper, ...]) -> None:
    client.force_login(User.objects.create_superuser("owner", password="x"))
    row = models.Paper.objects.get(public_id="2509.23253")
    form = client.get(f"/admin/papers/paper/{row.pk}/change/").context["adminform"].form
    values = {name: form.initial.get(name) for name in form.fields}
    categories = json.dumps(row.categories)
    values |= {"topics": [topic.pk for topic in row.topics.all()], "categories": categories, "initial-categories": categories}
    values |= {"title": "A title typed by hand", "upvotes_found": 40}
    response = client.post(
        f"/admin/papers/paper/{row.pk}/change/", {name: value for name, value in values.items() if value not in (None, False)}
    )
    assert response.status_code == 302, response.content.decode()[:3000]
    row.refresh_from_db()
    assert (row.title, row.votes, row.edited, row.to_index) == ("A title typed by hand", 40, ["title", "upvotes"], True)
    save([replace(papers[0], upvotes=99)], Report())
    row.refresh_from_db()
    assert (row.title, row.votes) == ("A title typed by hand", 40)


def test_the_admin_shows_imports_with_their_rejections(client: Client, papers: object) -> None:
    client.force_login(User.objects.create_superuser("owner", password="x"))
    run = models.ImportRun.objects.create(location="x.bib", identity="x", format="bibtex")
    models.Rejection.objects.create(run=run, where="record 3", why="it has no title", raw="@article{}")
    told = client.get(f"/admin/papers/importrun/{run.pk}/change/").content.decode()
    assert "it has no title" in told
    assert client.get("/admin/papers/paper/?q=refusal").status_code == 200


def test_every_vendored_library_comes_with_its_licence() -> None:
    vendor = Path(models.__file__).parent / "static/pressrun/vendor"
    assert {path.parent.name for path in vendor.rglob("LICENSE")} == {"htmx", "katex"}
