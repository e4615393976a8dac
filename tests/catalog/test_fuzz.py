"""Whatever the bytes: papers, rejected records, extras, or one SourceError with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.catalog import Extra, Paper, Rejected, SourceError, open_source
from tests.catalog import samples

SAMPLES = {name: text.encode() for name, text in samples.ALL.items()}
OPENINGS = st.sampled_from(
    [b"", b"[{\"title\":", b'{"kind":"paper"', b'{"id":"1","update_date":1', b"<feed>", b"<rss>", b"<OAI-PMH>", b"<!doctype html><article>",
     b"\n@article{", b"TY  - X\n", "·\nFeb 6".encode(), b"\x1f\x8b", b"PK\x03\x04", b"\xff\xfe", b"<?xml encoding='latin-1'?><feed>"]
)  # fmt: skip
MARKS = [b'"', b"{", b"}", b"[", b"]", b"<", b">", b"&", b"\\", b"$", b"\n", b"\r", b"\0", b"\x1b", b"\xff", b"\xe2\x80\xae", b"<entry>", b"</entry>", b"<![CDATA[", b"]]>", b"@", b"ER  - \n", b"null", b"-1", b"&#0;", b"\xed\xa0\x80"]  # fmt: skip


def is_sane(path: Path) -> None:
    said, found = str(path), []
    try:
        found = list(open_source(path))
    except SourceError as error:
        said = str(error)
    assert said.startswith(str(path))
    assert "\n" not in said
    for item in found:
        assert isinstance(item, (Paper, Rejected, Extra))
        if isinstance(item, Rejected):
            assert item.where
            assert item.why
            assert len(item.raw) <= 200
        if isinstance(item, Paper):
            assert item.title == " ".join(item.title.split())
            assert not any(
                ord(character) < 32 or 0x7F <= ord(character) < 0xA0
                for character in item.title + "".join(a.name for a in item.authors)
            )


@settings(max_examples=250, deadline=None)
@given(OPENINGS, st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, opening: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(opening + rest)
    is_sane(path)


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_samples(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]

    @settings(max_examples=40, deadline=None)
    @given(st.data())
    def damaged(data: st.DataObject) -> None:
        changed = bytearray(sample)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(changed)))
            match data.draw(st.sampled_from(["cut", "flip", "put", "drop", "twice"])):
                case "cut":
                    del changed[max(place, 1) :]
                case "flip" if place < len(changed):
                    changed[place] ^= data.draw(st.integers(1, 255))
                case "put":
                    changed[place:place] = data.draw(st.sampled_from(MARKS))
                case "drop":
                    del changed[place : place + data.draw(st.integers(1, 40))]
                case _:
                    changed[place:place] = changed[place : place + data.draw(st.integers(1, 400))]
        (tmp_path / "damaged").write_bytes(changed)
        is_sane(tmp_path / "damaged")

    damaged()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("nested", [b"[", b"{", b'{"a":', b"<a>", b"{\\x{", b"("])
def test_deep_nesting_does_not_hurt(tmp_path: Path, name: str, nested: bytes) -> None:
    sample = SAMPLES[name]
    place = sample.find(b"Silent") + 3 if b"Silent" in sample else len(sample) // 2
    (tmp_path / "deep").write_bytes(sample[:place] + nested * 20_000 + sample[place:])
    is_sane(tmp_path / "deep")
