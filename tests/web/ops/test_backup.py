"""A backup holds one moment of the installation though others write, and brings it back elsewhere as it was."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import Settings

from pressrun.web.errors import BadInput
from pressrun.web.ops import alive
from pressrun.web.ops.backup import backup
from pressrun.web.ops.models import Process
from pressrun.web.ops.restore import check, restore
from pressrun.web.papers.models import Paper
from tests.web.ops.place import ROOT, Place, place

# What a moment of the installation is: every row of every table, and every file. What is to be indexed is not compared.
PICTURE = """
import hashlib, json
from pathlib import Path
from django.db import connection
from pressrun.web.ops.backup import _home, backup, tables
from pressrun.web.ops.restore import restore
def picture():
    rows = {}
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            names = [column.name if hasattr(column, "name") else column[0] for column in cursor.description]
            rows[table] = sorted(repr([v for n, v in zip(names, row) if n != "to_index"]) for row in cursor.fetchall())
    files = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _home(skip=set())}
    return {"rows": rows, "files": files}
def tell(**what): print(json.dumps(what))
"""

FILL = """
from datetime import date
from django.contrib.auth.models import User
from pressrun.catalog import Author, Paper
from pressrun.web.ops.worker import know_jobs
from pressrun.web.papers.ingest import Report, save
def fill(papers, name):
    save([Paper(title=f"Paper {n} on α, \\\\tabs\\t and NULL", summary="line\\nbreak \\\\N", arxiv_id=f"2601.{n:05}",
                authors=(Author("Ada"),), topics=("a topic",), listed=date(2026, 4, 20), upvotes=n) for n in range(papers)], Report())
    User.objects.create_user(name, f"{name}@example.org", "a long pass phrase")
    know_jobs()
"""

# Two rows that are always written together; a backup between them would hold one.
WRITER = """
import sys
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from datetime import UTC, datetime
from django.db import transaction
number = 0
while True:
    number += 1
    with transaction.atomic():
        Group.objects.create(name=f"{sys.argv[1]}-{number}")
        Session.objects.create(session_key=f"{sys.argv[1]}-{number}", expire_date=datetime(2030, 1, 1, tzinfo=UTC))
    if number == 5:
        print("writing", flush=True)
"""

PAIRS = """
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
def pairs():
    names = sorted(Group.objects.values_list("name", flat=True))
    return [names == sorted(Session.objects.values_list("session_key", flat=True)), len(names)]
"""


@dataclass(frozen=True)
class Made:
    """A backup, and the picture of the installation that it was made of."""

    file: Path
    picture: dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Of an installation with papers, a person, a run's directory and keys."""
    folder = tmp_path_factory.mktemp("made")
    with place(folder / "home") as here:
        seeds = here.home / "runs" / "a-run" / "seeds"
        seeds.mkdir(parents=True)
        (seeds / "0.jsonl").write_text('{"value": 1}\n')
        (seeds.parent / "evidence.parquet").write_bytes(os.urandom(5000))
        (here.home / "signing-key").write_bytes(b"a key")
        (here.home / "index").mkdir()
        (here.home / "index" / "segment").write_bytes(b"derived")
        file = folder / "made" / "site.tar.gz"
        file.parent.mkdir()
        said = here.python(f"{PICTURE}{FILL}fill(300, 'ada')\nbackup(Path({str(file)!r}))\ntell(picture=picture())")
        yield Made(file, json.loads(said)["picture"])


def test_everything_is_back_elsewhere(made: Made, tmp_path: Path) -> None:
    with place(tmp_path / "elsewhere") as there:
        done = there.run("restore", str(made.file))
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(
            r"site\.tar\.gz holds 300 papers and 0 runs of [\d-]+ [\d:]+ UTC \(\w+, pressrun \S+\)\. It is back\.\n", done.stdout
        )
        said = there.python(
            f"{PICTURE}{FILL}was = picture()\n"
            "from pressrun.web.papers import models\n"
            # The numbers of rows go on where they stopped.
            "User.objects.create_user('eve')\n"
            "tell(was=was, to_index=models.Paper.objects.filter(to_index=True).count())"
        )
        assert json.loads(said) == {"was": made.picture, "to_index": 300}


def test_a_backup_is_for_its_owners_eyes_and_leaves_out_what_is_derived(made: Made) -> None:
    assert made.file.stat().st_mode & 0o777 == 0o600
    with tarfile.open(made.file) as archive:
        names = {member.name for member in archive}
    assert {"home/secret-key", "home/signing-key", "home/runs/a-run/seeds/0.jsonl", "manifest.json"} <= names
    assert not {name for name in names if name.startswith("home/index") or name.endswith(".lock")}
    assert list(made.file.parent.iterdir()) == [made.file]


def test_a_backup_under_load_is_one_moment_and_is_brought_back_as_such(tmp_path: Path) -> None:
    with place(tmp_path / "busy") as busy, place(tmp_path / "elsewhere") as there:
        writers = [_writing(busy, name) for name in ("a", "b")]
        try:
            busy.python(f"{PICTURE}for number in range(5): backup(Path({str(tmp_path)!r}) / f'{{number}}.tar.gz')")
        finally:
            for writer in writers:
                writer.kill()
                writer.communicate()
        said = there.python(
            f"{PICTURE}{PAIRS}found = []\n"
            f"for number in range(5):\n    restore(Path({str(tmp_path)!r}) / f'{{number}}.tar.gz')\n    found.append(pairs())\n"
            "tell(found=found)"
        )
        found = json.loads(said)["found"]
        assert [whole for whole, _ in found] == [True] * 5
        counts = [count for _, count in found]
        assert counts == sorted(counts)
        assert 10 <= counts[0] < counts[4]


def _writing(where: Place, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import django; django.setup()\n{WRITER}", name]
    writer = subprocess.Popen(command, env=where.environment, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_an_installation_is_replaced_only_when_asked_and_is_backed_up_first(made: Made, tmp_path: Path) -> None:
    with place(tmp_path / "elsewhere") as there:
        before = json.loads(there.python(f"{PICTURE}{FILL}fill(2, 'eve')\ntell(seen=picture())"))["seen"]
        refused = there.run("restore", str(made.file))
        assert refused.returncode == 2
        assert refused.stderr == (
            f"pressrun: there is an installation in {there.home} already; --replace puts the backup in its place.\n"
        )
        said = there.python(
            f"{PICTURE}from pressrun.web.ops.models import Job\nfile = Path({str(made.file)!r})\nhome = Path({str(there.home)!r})\n"
            "untouched = picture()\n"
            "restore(file, replace=True)\n"
            "replaced = picture()\n"
            "(kept,) = (home / 'backups').iterdir()\n"
            "restore(kept, replace=True)\n"
            "back = picture()\n"
            "restore(file, replace=True, paused=True)\n"
            "tell(untouched=untouched, replaced=replaced, back=back, paused=list(set(Job.objects.values_list('paused', flat=True))))"
        )
        seen = json.loads(said)
        assert seen["untouched"] == before
        assert seen["replaced"] == made.picture
        assert seen["back"]["rows"] == before["rows"]
        assert seen["paused"] == [True]


def _cut(file: Path, to: Path) -> None:
    to.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _changed(file: Path, to: Path) -> None:
    """One byte of one file, everything else as it was."""
    with tarfile.open(file) as old, tarfile.open(to, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = content.read()
            if member.name == "home/signing-key":
                data = b"A" + data[1:]
            new.addfile(member, io.BytesIO(data))


def _without_manifest(file: Path, to: Path) -> None:
    with tarfile.open(file) as old, tarfile.open(to, "w:gz") as new:
        for member in old:
            if member.name != "manifest.json":
                new.addfile(member, old.extractfile(member))


def _climbing(file: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz") as new:
        new.addfile(tarfile.TarInfo("../../evil"), io.BytesIO())


def _link(file: Path, to: Path) -> None:
    with tarfile.open(to, "w:gz") as new:
        member = tarfile.TarInfo("home/runs")
        member.type, member.linkname = tarfile.SYMTYPE, "/"
        new.addfile(member)


def _text(file: Path, to: Path) -> None:
    to.write_bytes(gzip.compress(b"just a text"))


def _of_a_later_version(file: Path, to: Path) -> None:
    _with_manifest(file, to, migrations=[["papers", "9999_future"]], version="99.0")


def _of_another_database(file: Path, to: Path) -> None:
    _with_manifest(file, to, engine="oracle")


def _with_manifest(file: Path, to: Path, **changes: object) -> None:
    with tarfile.open(file) as old, tarfile.open(to, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = content.read()
            if member.name == "manifest.json":
                data = json.dumps(json.loads(data) | changes).encode()
                member.size = len(data)
            new.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_cut, "is not a whole backup"),
        (_changed, "is not a whole backup: home/signing-key is missing, added or changed."),
        (_without_manifest, "is not a whole backup of pressrun: it has no manifest that can be read."),
        (_climbing, "is not a backup of pressrun: it holds '../../evil'."),
        (_link, "is not a backup of pressrun: it holds 'home/runs'."),
        (_text, "is not a whole backup"),
        (
            _of_a_later_version,
            "the backup is of pressrun 99.0, which knows papers.9999_future; install that version or a later one.",
        ),
        (_of_another_database, "the backup is of oracle, this site is on"),
    ],
)
@pytest.mark.django_db
def test_what_is_no_whole_backup_changes_nothing(
    spoil: Callable[[Path, Path], None], sentence: str, made: Made, tmp_path: Path, settings: Settings
) -> None:
    settings.HOME = tmp_path / "home"
    settings.HOME.mkdir()
    spoil(made.file, tmp_path / "spoilt.tar.gz")
    with pytest.raises(BadInput) as caught:
        restore(tmp_path / "spoilt.tar.gz")
    assert sentence in str(caught.value)
    assert not Paper.objects.exists()
    assert list(settings.HOME.iterdir()) == []


@pytest.mark.django_db
def test_check_proves_a_backup_and_changes_nothing(made: Made) -> None:
    contents = check(made.file)
    assert (contents.file, contents.papers, contents.runs) == ("site.tar.gz", 300, 0)
    assert not Paper.objects.exists()


@pytest.mark.django_db
def test_nothing_is_restored_under_a_running_site(made: Made) -> None:
    with (
        alive.attending(Process.Kind.WORKER),
        pytest.raises(BadInput, match=r"the site is running \(worker \d+ on .*\); stop it first"),
    ):
        restore(made.file)
    assert not Paper.objects.exists()


@pytest.mark.django_db
def test_a_backup_goes_into_a_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere/b\.tar\.gz: it must be a file in a folder that exists"):
        backup(tmp_path / "nowhere" / "b.tar.gz")
