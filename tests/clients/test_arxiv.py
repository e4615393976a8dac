"""The real arxiv client against a live server."""

from __future__ import annotations

from datetime import UTC, datetime

import arxiv
import pytest
from pytest_django.live_server_helper import LiveServer

from pressrun.catalog import Paper

pytestmark = pytest.mark.client


@pytest.fixture
def client(live_server: LiveServer) -> arxiv.Client:
    client = arxiv.Client(page_size=100, delay_seconds=0, num_retries=0)
    client.query_url_format = f"{live_server.url}/arxiv/api/query?{{}}"
    return client


def test_it_pages_through_250_results(client: arxiv.Client, many: tuple[Paper, ...]) -> None:
    search = arxiv.Search(
        "cat:cs.NE", max_results=None, sort_by=arxiv.SortCriterion.SubmittedDate, sort_order=arxiv.SortOrder.Ascending
    )
    found = list(client.results(search))
    assert [result.get_short_id() for result in found] == [f"2401.{n:05}" for n in range(250)]
    assert len(list(client.results(arxiv.Search("cat:cs.NE", max_results=120)))) == 120


def test_a_result_holds_what_the_paper_holds(client: arxiv.Client, papers: tuple[Paper, ...]) -> None:
    (found,) = client.results(arxiv.Search(id_list=["2509.23253v1"]))
    assert found.entry_id == "http://arxiv.org/abs/2509.23253"
    assert found.title == "Lateral Inhibition Trains Deep Spiking Networks"
    assert [author.name for author in found.authors] == ["Peiyu Liu", "Jianhao Ding", "Zhaofei Yu"]
    assert found.authors[0].affiliation == ["Zhejiang University"]
    assert found.published == datetime(2025, 9, 27, tzinfo=UTC)
    assert found.primary_category == "cs.NE"
    assert found.categories == ["cs.NE", "cs.LG"]
    assert found.pdf_url == "https://arxiv.org/pdf/2509.23253"
    assert found.source_url() == "https://arxiv.org/src/2509.23253"


def test_it_keeps_the_order_of_an_id_list_and_leaves_out_unknown_ids(client: arxiv.Client, papers: tuple[Paper, ...]) -> None:
    found = list(client.results(arxiv.Search(id_list=["math/0309136", "9999.99999", "2510.06036v2", "2509.23253"])))
    assert [result.get_short_id() for result in found] == ["math/0309136", "2510.06036", "2509.23253"]


def test_a_query_and_an_id_list_together_intersect(client: arxiv.Client, indexed: tuple[Paper, ...]) -> None:
    search = arxiv.Search("all:spiking", id_list=["2509.23253", "2510.06036"])
    assert [result.get_short_id() for result in client.results(search)] == ["2509.23253"]


def test_a_paper_that_is_not_on_arxiv_is_named_by_its_page(
    client: arxiv.Client, papers: tuple[Paper, ...], live_server: LiveServer
) -> None:
    (found,) = client.results(arxiv.Search("ti:sparse"))
    assert found.entry_id == f"{live_server.url}/papers/10.1371/journal.pcbi.1011459"
    assert found.doi == "10.1371/journal.pcbi.1011459"
    assert found.journal_ref == "PLoS Computational Biology"


def test_nothing_found_is_no_error(client: arxiv.Client, papers: tuple[Paper, ...]) -> None:
    assert list(client.results(arxiv.Search("ti:zebra"))) == []


def test_a_query_that_makes_no_sense_is_an_error(client: arxiv.Client, papers: tuple[Paper, ...]) -> None:
    with pytest.raises(arxiv.HTTPError) as caught:
        list(client.results(arxiv.Search("ti:(spiking")))
    assert caught.value.status == 400
