"""One small, invented file of every format, each with two papers."""

from __future__ import annotations

import json

PAGE = """new

Get trending papers in your email inbox!

Subscribe

Daily Papers

byAK and the research community

Apr 20

Silent Synapses: Learning When to Listen

We show that synapses which stay silent still learn. Gains of 84.4\\% with 3times3 kernels follow from $\\ell_1$ costs. Code is at https://example.org/silent.

  • 3 authors
·
Sep 27, 2025

Which Neurons Say No?

Refusal sits in few neurons, as we find by asking many questions of many models and counting who answers.

quiet-lab quiet-lab
·
Oct 7, 2025 2

Paper Without a Last Block

The abstract of this one is followed by the next title at once, because its card showed neither authors nor a day.

Feet That Think Ahead

Walking needs prediction, and prediction needs feet. We build both and let them walk together over stones.

  • 1 authors
·
Feb 6
"""

SNAPSHOT = (
    json.dumps(
        {
            "id": "0704.0001",
            "submitter": "Pavel Nadolsky",
            "authors": "C. Bal\\'azs, E. L. Berger (Argonne) and P. M. van der Berg",
            "title": "Calculation of prompt\n  diphoton production",
            "comments": "37 pages, 15 figures",
            "journal-ref": "Phys.Rev.D76:013009,2007",
            "doi": "10.1103/PhysRevD.76.013009",
            "report-no": "ANL-HEP-PR-07-12",
            "categories": "hep-ph hep-ex",
            "license": None,
            "abstract": "  A fully differential calculation\nis presented.\n  The second paragraph.\n",
            "versions": [
                {"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"},
                {"version": "v2", "created": "Tue, 24 Jul 2007 20:10:27 GMT"},
            ],
            "update_date": "2008-11-26",
            "authors_parsed": [["Bal\\'azs", "C.", ""], ["Berger", "E. L.", "Jr.", "Argonne"]],
        }
    )
    + "\n"
    + json.dumps(
        {
            "id": "hep-th/9901001",
            "authors": "A. Bee (1), C. Dee and E. Fee ((1) MIT (Cambridge), (2) Oxford)",
            "title": "Old style",
            "comments": "This paper has been withdrawn by the author",
            "categories": "hep-th",
            "abstract": "Short.",
            "update_date": "2009-11-30",
        }
    )
    + "\n"
)

HF_JSON = json.dumps(
    [
        {
            "paper": {
                "id": "2509.23253",
                "title": "Silent\nSynapses",
                "summary": "They learn.",
                "authors": [{"name": "Ada Bee", "hidden": False}, {"name": "Cy Dee"}],
                "publishedAt": "2025-09-27T10:00:00.000Z",
                "submittedOnDailyBy": {"user": "ak", "fullname": "A K"},
                "upvotes": 0,
                "ai_keywords": ["spiking networks"],
                "organization": {"name": "quiet-lab", "fullname": "Quiet Lab"},
                "githubRepo": "https://github.com/example/silent",
                "projectPage": "javascript:alert(1)",
            },
            "publishedAt": "2025-10-01T00:00:00.000Z",
            "numComments": 3,
        },
        {
            "id": "quant-ph/0201082",
            "title": "Flat",
            "summary": 'One { brace and "quotes" ] in it.',
            "publishedAt": "2002-01-16T00:00:00Z",
            "submittedOnDailyAt": "2025-10-02T00:00:00Z",
            "upvotes": 7,
            "withdrawnAt": None,
        },
    ]
)

ATOM = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/" xmlns:arxiv="http://arxiv.org/schemas/atom">
  <id>http://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <opensearch:totalResults>2</opensearch:totalResults>
  <entry>
    <id>http://arxiv.org/abs/2509.23253v2</id>
    <updated>2025-10-03T08:00:00Z</updated>
    <published>2025-09-27T10:00:00Z</published>
    <title>Silent
      Synapses &lt;b&gt;bold&lt;/b&gt;</title>
    <summary>  They learn.
But x &lt; y.
</summary>
    <author><name>Ada Bee</name><arxiv:affiliation>Quiet Lab</arxiv:affiliation></author>
    <author><name>Cy Dee</name></author>
    <arxiv:doi>10.1000/XYZ.1</arxiv:doi>
    <arxiv:journal_ref>J. Quiet 3 (2025)</arxiv:journal_ref>
    <arxiv:comment>12 pages</arxiv:comment>
    <link href="http://arxiv.org/abs/2509.23253v2" rel="alternate"/>
    <link title="pdf" href="http://arxiv.org/pdf/2509.23253v2" rel="related"/>
    <category term="cs.LG"/><category term="cs.NE"/>
    <arxiv:primary_category term="cs.NE"/>
  </entry>
  <entry>
    <id>http://arxiv.org/abs/hep-th/9901001v1</id>
    <updated>1999-01-04T08:00:00Z</updated>
    <published>1999-01-04T08:00:00Z</published>
    <title>Old style</title>
    <summary>Short.</summary>
    <author><name>Ed Fee</name></author>
  </entry>
</feed>
"""

OAI = """<?xml version="1.0" encoding="UTF-8"?>
<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<responseDate>2025-10-03T08:00:00Z</responseDate>
<ListRecords>
<record><header><identifier>oai:arXiv.org:2509.23253</identifier><datestamp>2025-10-02</datestamp><setSpec>cs:cs:NE</setSpec></header>
<metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>2509.23253</id><created>2025-09-27</created><updated>2025-10-01</updated>
<authors><author><keyname>Bee</keyname><forenames>Ada</forenames><suffix>Jr.</suffix></author><author><keyname>Collective</keyname><forenames/></author></authors>
<title>Silent Synapses</title><categories>cs.NE cs.LG</categories><comments>12 pages</comments><doi>10.1000/XYZ.1</doi>
<abstract>  They learn.
</abstract></arXiv></metadata></record>
<record><header status="deleted"><identifier>oai:arXiv.org:math.GT/0309136</identifier><datestamp>2025-10-03</datestamp></header></record>
<record><header><identifier>oai:arXiv.org:0704.0001</identifier><datestamp>2025-10-01</datestamp></header>
<metadata><arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>0704.0001</id><submitter>Pavel</submitter>
<version version="v1"><date>Mon, 02 Apr 2007 19:18:42 GMT</date><size>100kb</size></version>
<title>Diphotons</title><authors>C. Bal\\'azs, E. Fee</authors><categories>hep-ph</categories><abstract>Short.</abstract></arXivRaw></metadata></record>
<record><header><identifier>oai:example.org:77</identifier><datestamp>2025-10-01T10:00:00Z</datestamp></header>
<metadata><oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:title>From Elsewhere</dc:title><dc:creator>Fee, Ed</dc:creator><dc:creator>Bee, Ada</dc:creator><dc:subject>Robotics</dc:subject>
<dc:description>It walks.</dc:description><dc:description>Comment: 3 pages</dc:description>
<dc:date>2025-09-30</dc:date><dc:date>2025-09-28</dc:date><dc:identifier>https://example.org/77</dc:identifier></oai_dc:dc></metadata></record>
<resumptionToken completeListSize="900" cursor="0">6511260|1001</resumptionToken>
</ListRecords>
</OAI-PMH>
"""

ARXIV_RSS = """<?xml version='1.0' encoding='UTF-8'?>
<rss xmlns:arxiv="http://arxiv.org/schemas/atom" xmlns:dc="http://purl.org/dc/elements/1.1/" version="2.0">
  <channel>
    <title>cs.NE updates on arXiv.org</title>
    <link>http://rss.arxiv.org/rss/cs.NE</link>
    <item>
      <title>Silent Synapses</title>
      <link>https://arxiv.org/abs/2509.23253</link>
      <description>arXiv:2509.23253v1 Announce Type: new
Abstract: They learn, for x &lt; y.</description>
      <guid isPermaLink="false">oai:arXiv.org:2509.23253v1</guid>
      <category>cs.NE</category>
      <pubDate>Mon, 29 Sep 2025 00:00:00 -0400</pubDate>
      <arxiv:announce_type>new</arxiv:announce_type>
      <dc:creator>Ada Bee, Cy Dee</dc:creator>
    </item>
    <item>
      <title>Feet That Think</title>
      <link>https://arxiv.org/abs/2509.00007</link>
      <description>arXiv:2509.00007v3 Announce Type: replace
Abstract: They walk.</description>
      <pubDate>Mon, 29 Sep 2025 00:00:00 -0400</pubDate>
      <arxiv:announce_type>replace</arxiv:announce_type>
      <dc:creator>Ed Fee</dc:creator>
    </item>
  </channel>
</rss>
"""

BLOG_ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Journal</title>
<entry><title>Robots &amp; us</title><id>urn:1</id><link rel="alternate" href="https://doi.org/10.1000/ABC.7"/><updated>2025-09-29T00:00:00Z</updated>
<author><name>Ada Bee</name></author><author><name>Cy Dee</name></author><summary type="html">&lt;p&gt;First.&lt;/p&gt;&lt;p&gt;Second &lt;em&gt;part&lt;/em&gt;.&lt;/p&gt;</summary><category term="robots"/></entry>
<entry><title>No id at all</title><id>urn:2</id><link rel="alternate" href="https://example.org/post"/></entry>
</feed>
"""

BIBTEX = """% a comment line
@string{quiet = "Journal of Quiet"}
@comment{ignored}
@article{bee2025silent,
  title = {{Silent {S}ynapses} -- {\\'E}tudes of $\\ell_1$ \\& others},
  author = {Bee, Ada and van der Berg, Jr., Pieter and {Quiet Lab, Inc. and Friends} and J{\\"o}rg M{\\"u}ller and others},
  journal = quiet,
  year = 2025, month = sep, day = 27,
  eprint = {2509.23253}, archivePrefix = {arXiv}, primaryClass = {cs.NE},
  doi = {10.1000/XYZ\\_1},
  url = {https://arxiv.org/abs/2509.23253},
  keywords = {spiking networks, silence},
  abstract = {They learn,
    50\\% of the time.},
}
@inproceedings{fee, title="Feet That Think", author="Fee, Ed", booktitle="Proc. Walking", year="1999", url="https://example.org/feet"}
"""

RIS = """TY  - JOUR
TI  - Silent Synapses
AU  - Bee, Ada
AU  - Berg, Pieter van der, Jr.
AU  - Quiet Lab
PY  - 2025
DA  - 2025/09/27
JO  - Journal of Quiet
DO  - 10.1000/XYZ_1
AB  - They learn.
KW  - silence
KW  - spiking networks
UR  - https://arxiv.org/abs/2509.23253
L1  - https://arxiv.org/pdf/2509.23253
ER  -

TY  - CONF
T1  - Feet That Think
A1  - Fee, Ed
Y1  - 1999///
UR  - https://example.org/feet
ER  -
"""

CSL = json.dumps(
    [
        {
            "id": "a",
            "type": "article-journal",
            "title": "Silent Synapses",
            "author": [{"family": "Bee", "given": "Ada"}, {"literal": "Quiet Lab"}],
            "issued": {"date-parts": [["2025", 9]]},
            "DOI": "10.1000/XYZ_1",
            "container-title": "Journal of Quiet",
        },
        {
            "id": "b",
            "type": "article",
            "title": "Feet That Think",
            "issued": {"date-parts": [[1999]]},
            "URL": "https://example.org/feet",
        },
    ]
)

OWN = """{"kind":"pressrun","version":1}
{"kind":"paper","title":"Silent Synapses","arxiv_id":"2509.23253","authors":[{"name":"Ada Bee","orcid":"0000-0001"}],"listed":"2025-10-01","unknown":1}
{"kind":"vote","data":{"paper":"2509.23253","by":"ada"}}
"""

PROPS = json.dumps({"dateString": "2025-10-01", "dailyPapers": json.loads(HF_JSON)})

HTML_PROPS = (
    '<!DOCTYPE html><html><head><title>Daily Papers</title></head><body><div class=\'x\' data-target="DailyPapers" data-props="'
    + PROPS.replace("&", "&amp;").replace('"', "&quot;")
    + '"></div></body></html>'
)

HTML_CARDS = """<!doctype html><html><body><main>
<article><a href="/papers/2509.23253" class="img"></a><div><h3><a href="/papers/2509.23253">Silent
 Synapses</a></h3><p>They learn.</p><div>· 3 authors</div><div>· <time>Sep 27, 2025</time></div><a href="/papers/2509.23253#community"> 12 </a></div></article>
<article><h3><a href="/papers/2509.00007">Feet That Think</a></h3></article>
<article><p>An advertisement</p></article>
</main></body></html>
"""

ALL = {
    "page": PAGE,
    "snapshot": SNAPSHOT,
    "hf_json": HF_JSON,
    "atom": ATOM,
    "oai": OAI,
    "arxiv_rss": ARXIV_RSS,
    "blog_atom": BLOG_ATOM,
    "bibtex": BIBTEX,
    "ris": RIS,
    "csl": CSL,
    "own": OWN,
    "html_props": HTML_PROPS,
    "html_cards": HTML_CARDS,
}
