"""Every address of the site, by every role, with a session and with access tokens of every scope: who gets in, and who does not.

An address without a row fails, and so does one that lets somebody in, or keeps somebody out, whom its row does not name.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.cookies import SimpleCookie

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from pressrun.web.community import discussion
from pressrun.web.papers.models import Paper
from pressrun.web.people.accounts import make_account
from pressrun.web.people.roles import Role
from pressrun.web.people.tokens import make
from pressrun.web.runs import sync
from tests.web.people.conftest import PASSWORD
from tests.web.runs import queued

# Who asks. Small letters are programs: the role, then the highest scope of the token.
SESSIONS = ("nobody", "READER", "MEMBER", "CURATOR", "OWNER")
TOKENS = (
    "reader read",
    "member read",
    "member write",
    "curator write",
    "curator admin",
    "owner read",
    "owner run",
    "owner write",
)
ADMIN_TOKEN = "owner admin"
EVERYBODY = frozenset({*SESSIONS, *TOKENS, ADMIN_TOKEN})
WRITING_TOKENS = frozenset({"member write", "curator write", "curator admin", "owner write", ADMIN_TOKEN})

# Who gets through a door.
DOORS = {
    # Reading what is public; asking by POST where a protocol reads so.
    "open": EVERYBODY,
    # Forms for everybody, with or without an account; a program needs the scope to write.
    "form": frozenset(SESSIONS) | WRITING_TOKENS,
    # Pages of accounts for everybody at a browser; for those signed in; for those with an authenticator.
    "browser": frozenset(SESSIONS),
    "account": frozenset(SESSIONS) - {"nobody"},
    # Links that work once, and answers of a sign-in that went wrong: the samples lead nobody anywhere.
    "nobody": frozenset(),
    # One's own things, to read and to write.
    "own": EVERYBODY - {"nobody", "READER", "reader read"},
    "write": frozenset({"MEMBER", "CURATOR", "OWNER"}) | WRITING_TOKENS,
    # What curators and owners do.
    "curator": frozenset({"CURATOR", "OWNER", "curator admin", ADMIN_TOKEN}),
    "owner": frozenset({"OWNER", ADMIN_TOKEN}),
    "owner at a browser": frozenset({"OWNER"}),
    "runs": frozenset({"OWNER", "owner run", ADMIN_TOKEN}),
    # One's own comment; the sample is the member's.
    "author": frozenset({"MEMBER", "member write"}),
    "author's page": frozenset({"MEMBER", "member read", "member write"}),
    # Who a token belongs to: for tokens alone.
    "token": frozenset({*TOKENS, ADMIN_TOKEN}),
}


@dataclass(frozen=True)
class Row:
    """An address, an example of it, and the door of each method that it takes. Other methods are refused or not allowed."""

    route: str
    example: str
    doors: dict[str, str]


def _row(line: str) -> Row:
    route, example, *doors = re.split(r"\s{2,}", line.strip())
    if ":" in example and not example.startswith("/"):
        example, doors = "/" + route, [example, *doors]
    return Row(route, example, dict(door.split(": ") for door in doors))


def _rows(table: str) -> dict[str, Row]:
    return {row.route: row for line in table.strip().splitlines() if line.strip() for row in [_row(line)]}


ROWS = _rows(
    """
    (home)  /  GET: open
    papers  GET: open
    papers/date/<str:when>  /papers/date/2026-04-20  GET: open
    papers/week/<str:when>  /papers/week/2026-W17  GET: open
    papers/month/<str:when>  /papers/month/2026-04  GET: open
    papers/trending  GET: open
    search  GET: open
    authors/<str:slug>  /authors/peiyu-liu  GET: open
    organisations/<str:slug>  /organisations/peking-university  GET: open
    topics/<str:slug>  /topics/inhibition  GET: open
    topics  GET: open
    about  GET: open
    about/ranking  GET: open
    opensearch.xml  GET: open
    robots.txt  GET: open
    papers/<path:paper_id>  /papers/2510.06036  GET: open
    papers/<path:paper_id>.md  /papers/2510.06036.md  GET: open
    papers/<path:paper_id>.bib  /papers/2510.06036.bib  GET: open
    papers/<path:paper_id>.ris  /papers/2510.06036.ris  GET: open
    papers/<path:paper_id>.csl.json  /papers/2510.06036.csl.json  GET: open
    sitemap.xml  GET: open
    sitemap-<section>.xml  /sitemap-papers.xml  GET: open

    runs  GET: open
    runs/<str:first>/compare/<str:second>  /runs/a/compare/b  GET: open
    runs/<str:run_id>/events  /runs/a/events  GET: open
    runs/<str:run_id>/cancel  /runs/{run}/cancel  POST: runs
    runs/<str:run_id>/again  /runs/{run}/again  POST: runs
    runs/<str:run_id>/bundle  /runs/a/bundle  GET: open
    runs/<str:run_id>/files/<str:name>  /runs/a/files/run.json  GET: open
    runs/<str:run_id>  /runs/a  GET: open
    papers/<path:paper_id>/runs  /papers/2510.06036/runs  GET: open  POST: runs
    papers/<path:paper_id>/badge.svg  /papers/2510.06036/badge.svg  GET: open
    ledger  GET: open
    ledger.csv  GET: open
    ledger/feed.rss  GET: open
    ledger/feed.atom  GET: open
    ledger/feed.json  GET: open
    owner  GET: nobody

    api/v1/openapi.json  GET: open
    api/v1/  GET: open
    api/v1/papers  GET: open
    api/v1/papers/<path:paper_id>  /api/v1/papers/2510.06036  GET: open
    api/v1/papers/<path:paper_id>/similar  /api/v1/papers/2510.06036/similar  GET: open
    api/v1/search  /api/v1/search?q=brain  GET: open
    api/v1/topics  GET: open
    api/v1/authors  GET: open
    api/v1/organisations  GET: open
    api/v1/stats  GET: open
    api/v1/papers/<path:paper_id>/mine  /api/v1/papers/2510.06036/mine  GET: own
    api/v1/papers/<path:paper_id>/vote  /api/v1/papers/2510.06036/vote  PUT: write  DELETE: write
    api/v1/papers/<path:paper_id>/bookmark  /api/v1/papers/2510.06036/bookmark  PUT: write  DELETE: write
    api/v1/papers/<path:paper_id>/read  /api/v1/papers/2510.06036/read  PUT: write  DELETE: write
    api/v1/bookmarks  GET: own
    api/v1/papers/<path:paper_id>/comments  /api/v1/papers/2510.06036/comments  GET: open  POST: write
    api/v1/comments/<comment_id>  /api/v1/comments/{comment}  PATCH: author  DELETE: author
    api/v1/follows  /api/v1/follows?kind=topic&key=inhibition  GET: own  POST: write  DELETE: write
    api/v1/submissions  GET: own  POST: write
    api/v1/days/<day>  /api/v1/days/2026-04-20  GET: open
    api/v1/days/<day>/complete  /api/v1/days/2026-04-20/complete  PUT: curator  DELETE: curator

    api/papers-openapi.json  GET: open
    api/  GET: open
    api/daily_papers  GET: open
    api/papers/search  /api/papers/search?q=brain  GET: open
    api/papers/<path:paper_id>  /api/papers/2510.06036  GET: open
    api/arxiv/<path:paper_id>/repos  /api/arxiv/2510.06036/repos  GET: open
    api/collections  GET: open
    api/users/<user>/overview  /api/users/pressrun/overview  GET: open
    api/organizations/<slug>/overview  /api/organizations/peking-university/overview  GET: open
    api/whoami-v2  GET: token
    api/agent-harnesses  GET: open
    api/papers/index  POST: write
    api/settings/papers/claim  POST: write
    api/papers/<path:paper_id>/comment/<comment_id>/reply  /api/papers/2510.06036/comment/{comment}/reply  POST: write
    api/papers/<path:paper_id>/comment  /api/papers/2510.06036/comment  POST: write
    api/papers/<path:paper_id>/upvote  /api/papers/2510.06036/upvote  POST: write  DELETE: write
    api/papers/<path:paper_id>/links  /api/papers/2510.06036/links  POST: curator
    arxiv/api/query  /arxiv/api/query?search_query=all:brain  GET: open  POST: open
    oai  /oai?verb=Identify  GET: open  POST: open

    pwc/api/v1/papers/search  /pwc/api/v1/papers/search?q=brain  GET: open
    pwc/api/v1/papers/recent  GET: open
    pwc/api/v1/papers/trending  GET: open
    pwc/api/v1/papers/  GET: open
    pwc/api/v1/papers  GET: open
    pwc/api/v1/papers/<path:paper_id>/related  /pwc/api/v1/papers/2510.06036/related  GET: open
    pwc/api/v1/papers/<path:paper_id>  /pwc/api/v1/papers/2510.06036  GET: open
    pwc/api/v1/research/papers/<path:paper_id>/read  /pwc/api/v1/research/papers/2510.06036/read  GET: open
    pwc/api/v1/research/papers/<path:paper_id>/lineage  /pwc/api/v1/research/papers/2510.06036/lineage  GET: open
    pwc/api/v1/tasks/  GET: open
    pwc/api/v1/tasks  GET: open
    pwc/api/v1/areas/  GET: open
    pwc/api/v1/areas/with-tasks/  GET: open
    pwc/api/v1/benchmarks/  GET: open
    pwc/api/v1/benchmarks  GET: open

    account  GET: account  POST: account
    account/tokens  GET: account  POST: account
    account/tokens/<int:pk>/revoke  /account/tokens/1/revoke  POST: account
    account/export  GET: account  POST: account
    account/delete  GET: account  POST: account
    account/invitation/<str:secret>  /account/invitation/a  GET: account
    people  GET: owner at a browser
    people/sign-up  POST: owner at a browser
    people/invitations  POST: owner at a browser
    people/invitations/<int:pk>/revoke  /people/invitations/1/revoke  POST: owner at a browser
    people/<int:pk>/role  /people/1/role  POST: owner at a browser
    people/<int:pk>/active  /people/1/active  POST: owner at a browser

    account/login/  GET: browser  POST: browser
    account/logout/  GET: browser  POST: browser
    account/inactive/  GET: browser
    account/signup/  GET: browser  POST: browser
    account/reauthenticate/  GET: account  POST: account
    account/email/  GET: account  POST: account
    account/confirm-email/  GET: browser
    account/^confirm-email/(?P<key>[-:\\w]+)/$  /account/confirm-email/a/  GET: browser  POST: browser
    account/password/change/  GET: account  POST: account
    account/password/set/  GET: account  POST: account
    account/password/reset/  GET: browser  POST: browser
    account/password/reset/key/done/  GET: browser
    account/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$  /account/password/reset/key/1-a/  GET: browser  POST: browser
    account/password/reset/done/  GET: browser
    account/login/code/confirm/  GET: account  POST: account
    account/2fa/  GET: account
    account/2fa/authenticate/  GET: account  POST: account
    account/2fa/reauthenticate/  GET: account  POST: account
    account/2fa/totp/activate/  GET: account  POST: account
    account/2fa/totp/deactivate/  GET: account  POST: account
    account/2fa/recovery-codes/  GET: account
    account/2fa/recovery-codes/generate/  GET: account  POST: account
    account/2fa/recovery-codes/download/  GET: account
    account/2fa/webauthn/  GET: account
    account/2fa/webauthn/add/  GET: account  POST: account
    account/2fa/webauthn/reauthenticate/  GET: account  POST: account
    account/2fa/webauthn/keys/<int:pk>/remove/  /account/2fa/webauthn/keys/1/remove/  GET: account  POST: account
    account/2fa/webauthn/keys/<int:pk>/edit/  /account/2fa/webauthn/keys/1/edit/  GET: account  POST: account
    account/2fa/webauthn/login/  GET: account  POST: account
    account/sessions/  GET: account  POST: account
    account/3rdparty/login/cancelled/  GET: browser
    account/3rdparty/login/error/  GET: nobody
    account/3rdparty/signup/  GET: nobody  POST: nobody
    account/3rdparty/  GET: account  POST: account

    health  GET: open
    metrics  GET: owner

    models/  GET: open  POST: owner
    models/stream  POST: owner

    subscriptions  GET: open  POST: form
    subscriptions/save  POST: write
    subscriptions/confirm/<str:token>  /subscriptions/confirm/a  GET: open  POST: form
    subscriptions/stop/<str:token>  /subscriptions/stop/a  GET: open  POST: form
    subscriptions/of/<str:token>  /subscriptions/of/a  GET: open  POST: form
    notifications  GET: own
    notifications/read  POST: write
    webhooks  GET: own  POST: write
    webhooks/<int:key>  /webhooks/1  POST: write
    mail/  GET: owner
    mail/<str:name>  /mail/a  GET: owner
    mail/<str:name>/html  /mail/a/html  GET: owner
    mail/<str:name>/file  /mail/a/file  GET: owner

    vote/<path:paper_id>  /vote/2510.06036  POST: write
    bookmark/<path:paper_id>  /bookmark/2510.06036  POST: write
    read/<path:paper_id>  /read/2510.06036  POST: write
    note/<path:paper_id>  /note/2510.06036  POST: write
    collect/<path:paper_id>  /collect/2510.06036  POST: write
    follow  POST: write
    discussion/<path:paper_id>  /discussion/2510.06036  GET: open  POST: write
    comments/<str:uid>/history  /comments/{comment}/history  GET: open
    comments/<str:uid>/edit  /comments/{comment}/edit  GET: author's page  POST: author
    comments/<str:uid>/delete  /comments/{comment}/delete  POST: author
    comments/<str:uid>/report  /comments/{comment}/report  GET: own  POST: write
    claim/<path:paper_id>  /claim/2510.06036  GET: own  POST: write
    library  GET: own
    library/collections/new  POST: write
    library/collections/<str:slug>  /library/collections/a  POST: write
    library/<str:tab>  /library/notes  GET: own
    collections/<str:owner>/<str:slug>  /collections/a/b  GET: open
    members/<str:name>  /members/member  GET: open
    submit  GET: own  POST: write
    submissions  GET: own
    desk  GET: curator
    desk/list  GET: curator
    desk/list/change  POST: curator
    desk/log  GET: curator
    desk/submissions/<str:uid>  /desk/submissions/a  POST: curator
    desk/reports/<int:pk>  /desk/reports/1  POST: curator
    desk/comments/<str:uid>  /desk/comments/{comment}  POST: curator
    desk/discussions/<path:paper_id>  /desk/discussions/2510.06036  POST: curator
    desk/members/<str:name>  /desk/members/reader  POST: curator
    desk/claims/<int:pk>  /desk/claims/1  POST: owner
    desk/domains  POST: owner
    """
) | {
    # The feeds of every list.
    f"{route}feed.{kind}": Row(f"{route}feed.{kind}", f"/{example}feed.{kind}", {"GET": "open"})
    for kind in ("rss", "atom", "json")
    for route, example in {
        "": "", "papers/": "papers/", "papers/trending/": "papers/trending/", "search/": "search/",
        "papers/date/<str:of>/": "papers/date/2026-04-20/", "papers/week/<str:of>/": "papers/week/2026-W17/",
        "papers/month/<str:of>/": "papers/month/2026-04/", "authors/<str:of>/": "authors/peiyu-liu/",
        "organisations/<str:of>/": "organisations/peking-university/", "topics/<str:of>/": "topics/inhibition/",
    }.items()
}  # fmt: skip
# What an operation of the JSON APIs is sent. Where nothing is, its sentence about the body would come before the one about the door.
BODIES = {
    "api/v1/papers/<path:paper_id>/comments": {"text": "Well said."},
    "api/v1/comments/<comment_id>": {"text": "Well said."},
    "api/v1/follows": {"kind": "topic", "key": "inhibition"},
    "api/v1/submissions": {"record": {"title": "A paper"}},
    "api/papers/index": {"arxivId": "2510.06036"},
    "api/settings/papers/claim": {"paperId": "2510.06036", "claimAuthorId": "2510.06036#1"},
    "api/papers/<path:paper_id>/comment/<comment_id>/reply": {"comment": "Well said."},
    "api/papers/<path:paper_id>/comment": {"comment": "Well said."},
    "api/papers/<path:paper_id>/links": {"projectPage": ""},
    "comments/<str:uid>/edit": "text=Well+said.",
}


def _routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        at = before + str(each.pattern)
        if isinstance(each, URLPattern):
            yield at or "(home)"
        else:
            yield from _routes(each, at)


ROUTES = list(dict.fromkeys(_routes(get_resolver())))
OURS = [route for route in ROUTES if not route.startswith("admin/")]
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def test_every_address_has_a_row_and_every_row_an_address() -> None:
    assert set(OURS) - set(ROWS) == set()
    assert set(ROWS) - set(OURS) == set()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of refusals are not worth a line each."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def people(papers: object) -> dict[str, User]:
    return {role: make_account(f"the-{role}", f"{role}@example.org", PASSWORD, role) for role in Role}


@pytest.fixture
def actors(people: dict[str, User]) -> dict[str, Client]:
    """A browser or a program for everybody who asks."""
    found = {"nobody": Client()}
    for role, user in people.items():
        found[role.upper()] = Client()
        found[role.upper()].force_login(user)
    for name in (*TOKENS, ADMIN_TOKEN):
        role, _, scope = name.partition(" ")
        _, secret = make(people[Role(role)], name, [scope], 1)
        found[name] = Client(headers={"Authorization": f"Bearer {secret}"})
    return found


@pytest.fixture
def samples(people: dict[str, User], shelf: None) -> dict[str, str]:
    """What the examples of rows name: a run that waits, and a comment of the member."""
    comment = discussion.post(people["member"], Paper.objects.get(public_id="2510.06036"), "A comment.")
    run = queued()
    sync.catch_up()
    return {"run": run.id, "comment": comment.uid}


@pytest.fixture
def rows(samples: dict[str, str]) -> list[Row]:
    return [replace(row, example=row.example.format(**samples)) for row in ROWS.values()]


def _asked(client: Client, method: str, row: Row) -> HttpResponseBase:
    """The answer, after which the database and the browser's cookies are as they were."""
    sent = BODIES.get(row.route, "") if method != "GET" else ""
    body = sent if isinstance(sent, str) else json.dumps(sent)
    cookies = client.cookies.output()
    with transaction.atomic():
        response = client.generic(
            method, row.example, body, "application/x-www-form-urlencoded" if body is sent else "application/json"
        )
        transaction.set_rollback(True)
    client.cookies = SimpleCookie(cookies.replace("Set-Cookie: ", ""))
    return response


def _refused(response: HttpResponseBase) -> bool:
    sent = response.headers.get("Location", "")
    return response.status_code in {401, 403} or (
        response.status_code == 302 and sent.startswith(("/account/login/", "/admin/login/"))
    )


def _strays(actors: dict[str, Client], row: Row, method: str) -> dict[str, int]:
    """Those who got in and should not have, or the other way, with the answer they got."""
    allowed = DOORS[row.doors[method]]
    strays = {}
    # What is open to the least and to the most is open to those between.
    asking = ("nobody", "READER", "OWNER", "reader read", ADMIN_TOKEN) if row.doors[method] == "open" else tuple(actors)
    for name in asking:
        client = actors[name]
        response = _asked(client, method, row)
        code = response.status_code
        if code >= 500 or code == 405 or _refused(response) != (name not in allowed):
            strays[name] = code
    return strays


ROOMS = ("account", "people", "api", "pwc", "papers", "runs", "the rest")


def _room(row: Row) -> str:
    first, _, _ = row.route.partition("/")
    return first if first in ROOMS else "the rest"


@pytest.mark.parametrize("room", ROOMS)
def test_everybody_gets_in_where_they_may_and_nowhere_else(actors: dict[str, Client], rows: list[Row], room: str) -> None:
    inside = [row for row in rows if _room(row) == room]
    assert inside
    wrong = {
        f"{method} {row.example} ({row.doors[method]})": strays
        for row in inside
        for method in row.doors
        if (strays := _strays(actors, row, method))
    }
    assert not wrong, "\n".join(f"{asked}: {got}" for asked, got in wrong.items())


# Descriptions and site maps, which answer alike whatever the method.
METHOD_BLIND = {"sitemap.xml", "sitemap-<section>.xml", "api/v1/openapi.json", "api/papers-openapi.json"}


def test_no_address_takes_a_method_that_its_row_does_not_name(actors: dict[str, Client], rows: list[Row]) -> None:
    wrong = {}
    for row in rows:
        if row.route in METHOD_BLIND or _room(row) == "account":  # forms that take a PUT for a POST, after the same checks
            continue
        for method in {"GET", *UNSAFE} - set(row.doors):
            response = _asked(actors["OWNER"], method, row)
            if response.status_code not in {400, 403, 404, 405}:
                wrong[f"{method} {row.example}"] = response.status_code
    assert not wrong, "\n".join(f"{asked}: {got}" for asked, got in wrong.items())


# Protocols that read by POST, and the one-click unsubscribe that mail programs send (RFC 8058): they act for no session.
WITHOUT_CSRF = {"oai", "arxiv/api/query", "subscriptions/stop/<str:token>"}


def test_no_page_of_another_site_makes_a_browser_change_anything(actors: dict[str, Client], rows: list[Row]) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = actors["OWNER"].cookies
    wrong = {}
    for row in rows:
        for method in set(row.doors) & set(UNSAFE):
            if row.route not in WITHOUT_CSRF and (code := _asked(strict, method, row).status_code) != 403:
                wrong[f"{method} {row.example}"] = code
    assert not wrong, "\n".join(f"{asked}: {got}" for asked, got in wrong.items())


def test_the_admin_is_for_owners_at_a_browser(actors: dict[str, Client]) -> None:
    wrong = {}
    for route in ROUTES:
        if not route.startswith("admin/") or route in {"admin/logout/", "admin/login/"}:
            continue
        address = "/" + re.sub(r"<[^>]+>", "1", route.replace("(?P<url>.*)$", "nothing"))
        for name in ("nobody", "READER", "MEMBER", "CURATOR", ADMIN_TOKEN):
            if not _refused(response := actors[name].get(address)):
                wrong[f"{name} {address}"] = response.status_code
        if (code := actors["OWNER"].get(address).status_code) >= 500:
            wrong[f"OWNER {address}"] = code
    assert not wrong, "\n".join(f"{asked}: {got}" for asked, got in wrong.items())
