"""Vector files: exact round trips, what a file of another kind or a broken one says, and nothing half written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    Provenance,
    SteeringVector,
    export_gguf,
    export_svec,
    import_gguf,
    import_svec,
    load_vector,
    save_vector,
)


def vector(*sites: act.Site, **more: Any) -> SteeringVector:  # noqa: ANN401  # fields of a vector
    generator = torch.Generator().manual_seed(0)
    sites = sites or (act.residual[1], act.residual[4])
    return SteeringVector(
        act.Sites(tuple(sites)),
        directions={site: torch.randn(8, generator=generator) for site in sites},
        norms={site: 2.0 + i for i, site in enumerate(sites)},
        **more,
    )


def test_a_saved_vector_comes_back_as_it_was(tmp_path: Path) -> None:
    made = vector(
        act.residual[1],
        act.head[2, 3],
        act.residual[4, [1, 2]],
        act.module("encoder.0", "input"),
        recipe="probe",
        reads=-2,
        positions=slice(-1, None),
        provenance=Provenance("m", "r", "llama", "d"),
    )
    save_vector(tmp_path / "v.safetensors", made, strength=0.2, metric="fine", licence="CC0-1.0")
    again = load_vector(tmp_path / "v.safetensors")
    assert list(again.directions) == list(made.directions)
    assert all(torch.equal(again.directions[site], v) for site, v in made.directions.items())
    assert again.norms == made.norms
    assert (again.recipe, again.reads, again.positions) == ("probe", -2, slice(-1, None))
    assert again.provenance == Provenance("m", "r", "llama", "d", 0.2, "fine", "CC0-1.0")


def test_saving_again_keeps_what_is_not_told_anew(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_vector(path, vector(), strength=0.2, metric="fine", licence="MIT")
    save_vector(path, load_vector(path), metric="better")
    assert load_vector(path).provenance == Provenance(strength=0.2, metric="better", licence="MIT")


def test_a_loaded_vector_steers_as_the_one_that_was_saved(tiny: act.Model, tmp_path: Path) -> None:
    site = act.residual[1]
    made = SteeringVector(site, directions={site: torch.randn(16)}, norms={site: 1.7})
    save_vector(tmp_path / "v.safetensors", made)
    ids = torch.tensor([[1, 2, 3]])
    logits = []
    for each in (made, load_vector(tmp_path / "v.safetensors")):
        with tiny.edit(*each.edits(tiny, ids, 0.5)):
            logits.append(tiny.module(ids).logits)
    assert torch.equal(*logits)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.integers(1, 40), st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3).filter(any), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
def test_both_foreign_formats_keep_every_vector(
    tmp_path_factory: pytest.TempPathFactory, blocks: dict[int, list[float]], family: str
) -> None:
    sites = {b: act.residual[b] for b in sorted(blocks)}
    tensors = {sites[b]: torch.tensor(v) for b, v in blocks.items()}
    norms = {site: float(v.norm()) for site, v in tensors.items()}
    if min(norms.values()) < 1e-20:
        return
    made = SteeringVector(act.Sites(tuple(sites.values())), directions=tensors, norms=norms, provenance=Provenance(family=family))
    folder = tmp_path_factory.mktemp("files")
    for write, read, name in ((export_gguf, import_gguf, "v.gguf"), (export_svec, import_svec, "v.svec")):
        write(folder / name, made)
        again = read(folder / name)
        assert again.provenance.family == family
        assert list(again.directions) == list(sites.values())
        for site, v in tensors.items():
            torch.testing.assert_close(again.absolute(site), v, atol=1e-4, rtol=1e-5)


def test_a_calibrated_export_has_its_strength_at_scale_one(tmp_path: Path) -> None:
    made = vector()
    for write, read, name in ((export_gguf, import_gguf, "v.gguf"), (export_svec, import_svec, "v.svec")):
        write(tmp_path / name, made, strength=0.3)
        again = read(tmp_path / name)
        for site in made.directions:
            torch.testing.assert_close(again.absolute(site), made.absolute(site, 0.3))


def test_the_gguf_file_is_what_llama_cpp_and_repeng_read(tmp_path: Path) -> None:
    made = vector(provenance=Provenance("SmolLM2", family="llama", licence="MIT"))
    export_gguf(tmp_path / "v.gguf", made)
    reader = gguf.GGUFReader(tmp_path / "v.gguf")
    # llama.cpp asks for one-dimensional float32 tensors direction.<block>, the first behind block 1.
    assert [(t.name, t.data.dtype, t.data.shape) for t in reader.tensors] == [
        ("direction.1", np.float32, (8,)),
        ("direction.4", np.float32, (8,)),
    ]
    fields = {name: reader.get_field(name).contents() for name in ("general.architecture", "controlvector.model_hint")}
    assert fields == {"general.architecture": "controlvector", "controlvector.model_hint": "llama"}
    assert reader.get_field("controlvector.layer_count").contents() == 2
    assert import_gguf(tmp_path / "v.gguf").provenance == made.provenance


def test_a_gguf_of_repeng_is_read(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "r.gguf", "controlvector")
    writer.add_string("controlvector.model_hint", "mistral")
    writer.add_uint32("controlvector.layer_count", 1)
    writer.add_tensor("direction.12", np.array([3.0, 4.0], dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = import_gguf(tmp_path / "r.gguf")
    assert read.provenance == Provenance(family="mistral")
    assert read.norms == {act.residual[12]: 5.0}
    assert read.absolute(act.residual[12]).tolist() == pytest.approx([3.0, 4.0])


def test_the_svec_file_is_json_with_a_direction_a_block(tmp_path: Path) -> None:
    site = act.residual[0]
    export_svec(
        tmp_path / "v.svec",
        SteeringVector(site, directions={site: torch.tensor([3.0, 4.0])}, provenance=Provenance(family="gpt2")),
    )
    written = json.loads((tmp_path / "v.svec").read_text())
    assert written["model_type"] == "gpt2"
    assert written["directions"]["0"] == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_a_svec_of_an_older_version_without_the_extra_axis_is_read(tmp_path: Path) -> None:
    (tmp_path / "v.svec").write_text(
        '{"model_type": "llama", "directions": {"3": [3.0, 4.0]}, "explained_variances": {"3": 0.5}}'
    )
    assert import_svec(tmp_path / "v.svec").absolute(act.residual[3]).tolist() == pytest.approx([3.0, 4.0])


def test_a_svec_with_a_direction_for_each_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v.svec").write_text('{"model_type": "llama", "directions": {"3": [[1.0, 2.0], [3.0, 4.0]]}}')
    with pytest.raises(ValueError, match=r"holds \(2, 2\) at block 3: only files with one direction a block are vectors"):
        import_svec(tmp_path / "v.svec")


@pytest.mark.parametrize("read", [load_vector, import_gguf, import_svec])
@pytest.mark.parametrize("content", [b"", b"GGUF", b"{}", b"\x00" * 64, None])
def test_a_broken_or_missing_file_is_one_sentence(
    tmp_path: Path, read: Callable[[Path], SteeringVector], content: bytes | None
) -> None:
    path = tmp_path / "broken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="broken") as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="is not a steering vector of this kind: its header says None"):
        load_vector(tmp_path / "w.safetensors")


def test_a_gguf_model_is_not_a_control_vector(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("w", np.ones(2, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="holds llama, not a control vector"):
        import_gguf(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (vector(act.residual[0], act.residual[1]), "starts behind block 1, and this vector has a direction behind block 0"),
        (
            vector(act.head[1, 2]),
            r"These files hold vectors behind a block, act.residual\[l\], and this one has one at act.head\[1, 2\]",
        ),
        (
            vector(positions="decode"),
            "These files are added at every token, and this vector is for positions='decode', not \"all\"",
        ),
        (SteeringVector(act.residual[1]), "There is nothing to write: the vector holds no direction yet"),
    ],
)
def test_what_the_format_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, made: SteeringVector, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        export_gguf(tmp_path / "v.gguf", made)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_survives_a_failed_save(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_vector(path, vector())
    with pytest.raises(ValueError, match="Positions that are a tensor belong to one batch of inputs"):
        save_vector(path, vector(positions=torch.tensor([1, 2])))
    assert load_vector(path).positions == "all"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no folder .*/missing to write v.safetensors to"):
        save_vector(tmp_path / "missing" / "v.safetensors", vector())
