"""OAI-PMH 2.0: the whole catalogue for harvesters, at /oai.

A record's datestamp is the last change of its row. Withdrawn papers, and ids that a paper had before it turned out to be
another one, are deleted records for good. Lists are paged by (datestamp, key), so that a page costs the same at the end of
a million papers as at the beginning; the token holds the whole request and is signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import quote, unquote

from django.conf import settings
from django.core import signing
from django.core.cache import cache
from django.db.models import Max, Min, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from lxml import etree

from pressrun.web.api.answers import absolute, clean, guarded, one_line, site_host
from pressrun.web.api.oai_formats import FORMATS, Format, add, located
from pressrun.web.api.xml import node
from pressrun.web.papers.models import Paper, PaperQuerySet, Topic
from pressrun.web.runs.facts import latest
from pressrun.web.runs.models import Outcome

PAGE = 500
REPLICATED = "replicated"
"""The set of papers whose claims were judged."""
_SALT = "pressrun.oai"

_OAI = "http://www.openarchives.org/OAI/2.0/"
_oai = partial(node, _OAI)


class ProtocolError(Exception):
    """An error of the protocol: its code, and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Harvest:
    """What a list request asks for, and how far it came. Serialised, it is the resumption token."""

    verb: str
    prefix: str
    set: str = ""
    since: str = ""
    until: str = ""
    last: str = ""
    """The datestamp of the last record given, in full precision; "" at the beginning."""
    last_key: int = 0
    cursor: int = 0
    size: int = 0


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def oai(request: HttpRequest) -> HttpResponse:
    """One request of any of the six verbs. Errors of the protocol are answers like others, with status 200."""
    arguments = request.POST if request.method == "POST" else request.GET
    shown: Mapping[str, str] = {}
    try:
        verb, given = _arguments(arguments)
        shown = {"verb": verb, **given}
        body = _VERBS[verb](request, given)
    except ProtocolError as problem:
        if problem.code in {"badVerb", "badArgument"}:
            shown = {}
        body = [_oai("error", clean(str(problem)), code=problem.code)]
    answer = located("OAI-PMH", _OAI, "http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd")
    answer.append(_oai("responseDate", _stamp(datetime.now(UTC))))
    answer.append(_oai("request", absolute(request, request.path), **{name: clean(text) for name, text in shown.items()}))
    answer.extend(body)
    text = etree.tostring(answer, xml_declaration=True, encoding="UTF-8")
    return HttpResponse(text, content_type="text/xml; charset=utf-8")


# What each verb needs and may have beside `verb` itself.
_ARGUMENTS: dict[str, tuple[set[str], set[str]]] = {
    "Identify": (set(), set()),
    "ListMetadataFormats": (set(), {"identifier"}),
    "ListSets": (set(), {"resumptionToken"}),
    "GetRecord": ({"identifier", "metadataPrefix"}, set()),
    "ListIdentifiers": ({"metadataPrefix"}, {"from", "until", "set"}),
    "ListRecords": ({"metadataPrefix"}, {"from", "until", "set"}),
}


def _arguments(given: QueryDict) -> tuple[str, dict[str, str]]:
    verbs = given.getlist("verb")
    if len(verbs) != 1 or verbs[0] not in _ARGUMENTS:
        said = f"got {', '.join(repr(v[:40]) for v in verbs[:3])}" if verbs else "got none"
        raise ProtocolError("badVerb", f"verb must be one of {', '.join(_ARGUMENTS)}, {said}.")
    verb = verbs[0]
    found = {name: values for name, values in given.lists() if name != "verb"}
    if repeated := [name for name, values in found.items() if len(values) > 1]:
        raise ProtocolError("badArgument", f"{repeated[0][:40]!r} is given more than once.")
    arguments = {name: values[0] for name, values in found.items()}
    needed, allowed = _ARGUMENTS[verb]
    if verb in {"ListRecords", "ListIdentifiers"} and "resumptionToken" in arguments:
        needed, allowed = {"resumptionToken"}, set()
    if missing := needed - arguments.keys():
        raise ProtocolError("badArgument", f"{verb} needs {' and '.join(sorted(missing))}.")
    if surplus := arguments.keys() - needed - allowed:
        raise ProtocolError("badArgument", f"{verb} does not take {sorted(surplus)[0][:40]!r} here.")
    if any("\0" in text for text in arguments.values()):
        raise ProtocolError("badArgument", "an argument can't hold a NUL character.")
    return verb, arguments


def _identify(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    earliest = Paper.objects.aggregate(first=Min("modified"))["first"] or datetime(1970, 1, 1, tzinfo=UTC)
    example = Paper.objects.order_by("pk").values_list("public_id", flat=True).first() or "2509.23253"
    about = located("oai-identifier", _IDENTIFIER, "http://www.openarchives.org/OAI/2.0/oai-identifier.xsd")
    for name, text in (
        ("scheme", "oai"),
        ("repositoryIdentifier", site_host()),
        ("delimiter", ":"),
        ("sampleIdentifier", identifier(example)),
    ):
        add(about, _IDENTIFIER, name, text)
    return [
        _oai(
            "Identify",
            _oai("repositoryName", one_line(settings.SITE_NAME)),
            _oai("baseURL", absolute(request, request.path)),
            _oai("protocolVersion", "2.0"),
            _oai("adminEmail", settings.MAIL_SENDER),
            _oai("earliestDatestamp", _stamp(earliest)),
            _oai("deletedRecord", "persistent"),
            _oai("granularity", "YYYY-MM-DDThh:mm:ssZ"),
            _oai("description", about),
        )
    ]


_IDENTIFIER = "http://www.openarchives.org/OAI/2.0/oai-identifier"


def _list_formats(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    paper, _ = _by_identifier(given["identifier"]) if "identifier" in given else (None, False)
    known = [
        _oai(
            "metadataFormat",
            _oai("metadataPrefix", prefix),
            _oai("schema", form.schema),
            _oai("metadataNamespace", form.namespace),
        )
        for prefix, form in FORMATS.items()
        if paper is None or paper.arxiv_id or not form.arxiv_only
    ]
    return [_oai("ListMetadataFormats", *known)]


def _list_sets(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    if "resumptionToken" in given:
        raise ProtocolError("badResumptionToken", "ListSets gives all sets at once and no token.")
    sets = [("topic", "By topic")]
    if _replicated().exists():
        sets.append((REPLICATED, "With verdicts of a replication"))
    sets += [(topic_set(topic), topic.name) for topic in Topic.objects.all()]
    sets += [(spec, f"arXiv {spec.rsplit(':', 1)[-1]}") for spec in _category_sets()]
    return [_oai("ListSets", *(_oai("set", _oai("setSpec", spec), _oai("setName", one_line(name))) for spec, name in sets))]


def _get_record(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    form = _format(given["metadataPrefix"])
    paper, current = _by_identifier(given["identifier"])
    if current and form.arxiv_only and not paper.arxiv_id:
        raise ProtocolError("cannotDisseminateFormat", f"{given['identifier'][:200]!r} is no arXiv paper; ask for oai_dc.")
    former = "" if current else _public_id(given["identifier"])
    return [_oai("GetRecord", _record(request, paper, form, former=former))]


def _list_records(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    harvest = _harvest("ListRecords", given)
    form = _format(harvest.prefix)
    return [
        _page(
            harvest,
            _oai(
                "ListRecords",
            ),
            lambda paper, former: _record(request, paper, form, former=former),
        )
    ]


def _list_identifiers(request: HttpRequest, given: Mapping[str, str]) -> list[etree._Element]:
    return [
        _page(
            _harvest("ListIdentifiers", given),
            _oai(
                "ListIdentifiers",
            ),
            lambda paper, former: _header(paper, former),
        )
    ]


_VERBS: dict[str, Callable[[HttpRequest, Mapping[str, str]], list[etree._Element]]] = {
    "Identify": _identify,
    "ListMetadataFormats": _list_formats,
    "ListSets": _list_sets,
    "GetRecord": _get_record,
    "ListRecords": _list_records,
    "ListIdentifiers": _list_identifiers,
}


def _harvest(verb: str, given: Mapping[str, str]) -> Harvest:
    """The request as it stands, or as it went on from a token."""
    if token := given.get("resumptionToken"):
        try:
            harvest = Harvest(**signing.loads(token, salt=_SALT))
        except (signing.BadSignature, TypeError, ValueError):
            raise ProtocolError("badResumptionToken", "the resumptionToken is not one that this repository gave.") from None
        if harvest.verb != verb:
            raise ProtocolError("badResumptionToken", f"the resumptionToken is one of {harvest.verb}, not of {verb}.")
        return harvest
    harvest = Harvest(verb, given["metadataPrefix"], given.get("set", ""), given.get("from", ""), given.get("until", ""))
    _format(harvest.prefix)
    since, until = _bounds(harvest)
    if harvest.since and harvest.until and len(harvest.since) != len(harvest.until):
        raise ProtocolError("badArgument", "from and until must have the same granularity.")
    if since and until and since >= until:
        raise ProtocolError("badArgument", "from must not be later than until.")
    return replace(harvest, size=_chosen(harvest).count())


def _page(harvest: Harvest, into: etree._Element, write: Callable[[Paper, str], etree._Element]) -> etree._Element:
    """The next records of a harvest, and a token where more follow."""
    papers = _chosen(harvest)
    if harvest.last:
        last = datetime.fromisoformat(harvest.last)
        papers = papers.filter(modified__gte=last).exclude(modified=last, pk__lte=harvest.last_key)
    rows = papers.order_by("modified", "pk").select_related("organisation").prefetch_related("topics", "outcomes", "former_ids")
    page = list(rows[: PAGE + 1])
    if not page:
        raise ProtocolError("noRecordsMatch", "no record matches from, until, set and metadataPrefix.")
    for paper in page[:PAGE]:
        into.append(write(paper, ""))
        into.extend(write(paper, former.public_id) for former in paper.former_ids.all())
    if len(page) > PAGE or harvest.cursor:
        into.append(_token(harvest, page[PAGE - 1] if len(page) > PAGE else None))
    return into


def _token(harvest: Harvest, last: Paper | None) -> etree._Element:
    """The token to go on after `last` with; an empty one, which ends the list, when there is no more."""
    facts = {"cursor": str(harvest.cursor), "completeListSize": str(max(harvest.size, harvest.cursor + 1))}
    if last is None:
        return _oai("resumptionToken", **facts)
    position = replace(harvest, last=last.modified.isoformat(), last_key=last.pk, cursor=harvest.cursor + PAGE)
    return _oai("resumptionToken", signing.dumps(asdict(position), salt=_SALT, compress=True), **facts)


def _chosen(harvest: Harvest) -> PaperQuerySet:
    """The papers of a harvest, withdrawn ones included: they are its deleted records."""
    papers = Paper.objects.all()
    since, until = _bounds(harvest)
    if since:
        papers = papers.filter(modified__gte=since)
    if until:
        papers = papers.filter(modified__lt=until)
    if _format(harvest.prefix).arxiv_only:
        papers = papers.filter(arxiv_id__isnull=False)
    return papers.alias(category_text=Cast("categories", TextField())).filter(_of_set(harvest.set)) if harvest.set else papers


def _bounds(harvest: Harvest) -> tuple[datetime | None, datetime | None]:
    """From when, and until before when."""
    since = _moment("from", harvest.since)[0] if harvest.since else None
    until = _moment("until", harvest.until)[1] if harvest.until else None
    return since, until


def _moment(name: str, text: str) -> tuple[datetime, datetime]:
    """The moment that an argument names, and the first one after it: a day or a second later."""
    for pattern, form, step in (
        (r"\d{4}-\d\d-\d\d", "%Y-%m-%d", timedelta(days=1)),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "%Y-%m-%dT%H:%M:%SZ", timedelta(seconds=1)),
    ):
        if re.fullmatch(pattern, text, re.ASCII):
            try:
                first = datetime.strptime(text, form).replace(tzinfo=UTC)
                return first, first + step
            except (ValueError, OverflowError):
                break
    raise ProtocolError("badArgument", f"{name} is written YYYY-MM-DD or YYYY-MM-DDThh:mm:ssZ, got {text[:40]!r}.")


def _of_set(spec: str) -> Q:
    """The condition that a set stands for. An unknown set has no records."""
    kind, _, rest = spec.partition(":")
    if spec == REPLICATED:
        return Q(pk__in=_replicated().values("paper"))
    if kind == "topic":
        filed = Paper.topics.through.objects.all()
        return Q(pk__in=(filed.filter(_is_topic(rest)) if rest else filed).values("paper_id"))
    parts = spec.split(":")
    if len(parts) == 1:
        archives = list(_PHYSICS) if parts[0] == "physics" else [parts[0]]
    elif len(parts) in (2, 3) and parts[0] == _group(parts[1]):
        archives = [parts[1]]
    else:
        return Q(pk__in=[])
    found = Q(pk__in=[])
    for archive in archives:
        if len(parts) == 3:
            found |= Q(category_text__contains=f'"{archive}.{parts[2]}"')
        else:
            found |= Q(category_text__contains=f'"{archive}"') | Q(category_text__contains=f'"{archive}.')
    return found


def _replicated() -> QuerySet[Outcome]:
    """The outcomes of papers whose claims were judged."""
    return Outcome.objects.filter(latest=True, paper__isnull=False)


def topic_set(topic: Topic) -> str:
    """The set of a topic. The protocol allows no letters beyond ASCII in it: then the topic's number stands there."""
    return f"topic:{topic.slug}" if topic.slug.isascii() else f"topic:id-{topic.pk}"


def _is_topic(text: str) -> Q:
    number = re.fullmatch(r"id-(\d{1,18})", text, re.ASCII)
    return Q(topic__slug=text) | Q(topic_id=int(number[1])) if number else Q(topic__slug=text)


# The archives that arXiv groups as physics; every other archive is a group of its own.
_PHYSICS = [
    "astro-ph",
    "cond-mat",
    "gr-qc",
    "hep-ex",
    "hep-lat",
    "hep-ph",
    "hep-th",
    "math-ph",
    "nlin",
    "nucl-ex",
    "nucl-th",
    "physics",
    "quant-ph",
]
_OTHERS = ["cs", "econ", "eess", "math", "q-bio", "q-fin", "stat"]


def _group(archive: str) -> str:
    return "physics" if archive in _PHYSICS else archive


def set_of(category: str) -> str:
    """The set of an arXiv category: cs:cs:LG, physics:quant-ph; "" for what is no category of arXiv."""
    archive, _, subject = category.partition(".")
    if archive not in _PHYSICS and archive not in _OTHERS:
        return ""
    return ":".join(part for part in (_group(archive), archive, subject) if part)


def _category_sets() -> list[str]:
    """Every arXiv set that has papers here, with the sets above it. Read anew when a paper changed."""
    newest = Paper.objects.aggregate(last=Max("modified"))["last"]
    kept: tuple[datetime | None, list[str]] | None = cache.get(_SALT)
    if kept is None or kept[0] != newest:
        kept = (newest, _read_category_sets())
        cache.set(_SALT, kept, 3600)
    return kept[1]


def _read_category_sets() -> list[str]:
    texts = Paper.objects.annotate(category_text=Cast("categories", TextField())).values_list("category_text", flat=True)
    categories = {name for text in texts.order_by().distinct().iterator() for name in re.findall(r'"([^"]+)"', text)}
    found: set[str] = set()
    for spec in filter(None, map(set_of, categories)):
        parts = spec.split(":")
        found.update(":".join(parts[:length]) for length in range(1, len(parts) + 1))
    return sorted(found)


def identifier(public_id: str) -> str:
    return f"oai:{site_host()}:{quote(public_id, safe='/().;-_')}"


def _public_id(text: str) -> str:
    """The id within an identifier of this repository; "" for others."""
    start = f"oai:{site_host()}:"
    return unquote(text[len(start) :]) if text.startswith(start) else ""


def _by_identifier(text: str) -> tuple[Paper, bool]:
    """The paper of an identifier, and whether it is its present one: an id of old names a deleted record."""
    public_id = _public_id(text)
    rows = Paper.objects.select_related("organisation").prefetch_related("topics", "outcomes")
    if public_id and "\0" not in public_id:
        if paper := rows.filter(public_id=public_id).first():
            return paper, True
        if paper := rows.filter(former_ids__public_id=public_id).first():
            return paper, False
    raise ProtocolError("idDoesNotExist", f"there is no record {text[:200]!r} here; identifiers begin with {identifier('')}.")


def _record(request: HttpRequest, paper: Paper, form: Format, *, former: str) -> etree._Element:
    record = _oai("record", _header(paper, former))
    if not paper.withdrawn and not former:
        record.append(_oai("metadata", form.write(request, paper)))
    return record


def _header(paper: Paper, former: str = "") -> etree._Element:
    """The header of a paper, or of the deleted record that an id of old is."""
    gone = {"status": "deleted"} if paper.withdrawn or former else {}
    header = _oai("header", _oai("identifier", identifier(former or paper.public_id)), **gone)
    header.append(_oai("datestamp", _stamp(paper.modified)))
    header.extend(_oai("setSpec", spec) for spec in _sets_of(paper))
    return header


def _sets_of(paper: Paper) -> Iterator[str]:
    yield from map(topic_set, paper.topics.all())
    if latest(paper):
        yield REPLICATED
    yield from dict.fromkeys(filter(None, map(set_of, paper.categories)))


def _format(prefix: str) -> Format:
    if prefix not in FORMATS:
        raise ProtocolError(
            "cannotDisseminateFormat", f"metadataPrefix must be one of {', '.join(FORMATS)}, got {prefix[:40]!r}."
        )
    return FORMATS[prefix]


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


urlpatterns = guarded([path("oai", oai, name="oai")])
