"""Sparse autoencoders: sums by hand, a planted dictionary, dead latents, single latents, the SAELens folder."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    LatentSteering,
    SparseAutoencoder,
    exclusive_latents,
    latent_edit,
    learn,
    load_saelens,
    sae_quality,
    save_saelens,
    selective_latents,
    shift_latents,
    train_sae,
)
from pressrun.methods.steering.sae import Activation

IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])


def by_hand(activation: Activation, k: int | None = None) -> SparseAutoencoder:
    """Two dimensions, three latents along (1, 0), (0, 1) and (-1, 0)."""
    sae = SparseAutoencoder(2, 3, activation=activation, k=k)
    with torch.no_grad():
        sae.decoder.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
        sae.own_encoder.copy_(sae.decoder.T)
        sae.encoder_bias.copy_(torch.tensor([0.0, -0.5, 0.0]))
        sae.decoder_bias.copy_(torch.tensor([1.0, 1.0]))
        if activation == "jumprelu":
            sae.threshold.fill_(2.0)
    return sae


@pytest.mark.parametrize(
    ("activation", "k", "latents"),
    # x - bias is (3, 2); before the activation (3, 1.5, -3).
    [("relu", None, [3.0, 1.5, 0.0]), ("topk", 1, [3.0, 0.0, 0.0]), ("jumprelu", None, [3.0, 0.0, 0.0])],
)
def test_the_latents_are_those_worked_out_by_hand(activation: str, k: int | None, latents: list[float]) -> None:
    sae = by_hand(activation, k)
    x = torch.tensor([4.0, 3.0])
    assert sae.encode(x).tolist() == latents
    assert sae(x).tolist() == [1.0 + latents[0], 1.0 + latents[1]]


def test_latents_that_top_k_keeps_are_not_negative() -> None:
    assert by_hand("topk", 3).encode(torch.tensor([0.0, 0.0])).tolist() == [0.0, 0.0, 1.0]


def test_the_quality_is_that_worked_out_by_hand() -> None:
    # Rows (4, 3) and (1, 1): errors (0, 2) and (0, 0); around the mean ±(1.5, 1): variance 6.5. One of three latents is ever on.
    quality = sae_quality(by_hand("topk", 1), torch.tensor([[4.0, 3.0], [1.0, 1.0]]))
    assert quality.explained_variance == pytest.approx(1 - 4 / 6.5)
    assert quality.l0 == 0.5
    assert quality.dead == pytest.approx(2 / 3)


def planted(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A dictionary of 24 directions in 16 dimensions, and 4,000 activations with 2 of them on average, far from 0 and large."""
    dictionary = torch.nn.functional.normalize(torch.randn(24, 16, generator=generator), dim=1)
    on = torch.rand(4000, 24, generator=generator) < 2 / 24
    return dictionary, 20 * ((on * (0.5 + torch.rand(4000, 24, generator=generator))) @ dictionary) + 7


@pytest.mark.parametrize(
    ("activation", "k", "sparsity", "tied"),
    [("topk", 3, 0.0, False), ("topk", 3, 0.0, True), ("relu", None, 0.1, False), ("jumprelu", None, 0.1, False)],
)
def test_training_finds_a_planted_dictionary(activation: Activation, k: int | None, sparsity: float, tied: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    dictionary, x = planted(generator)
    sae = SparseAutoencoder(16, 32, activation=activation, k=k, tied=tied, generator=generator)
    quality = train_sae(sae, x, steps=600, batch=128, lr=5e-3, sparsity=sparsity, generator=generator)
    nearest = (dictionary @ sae.decoder.detach().T).amax(1)
    untrained = (dictionary @ SparseAutoencoder(16, 32, activation="relu").decoder.detach().T).amax(1)
    assert (nearest > 0.9).float().mean() > 0.6
    assert (untrained > 0.9).float().mean() < 0.1
    assert quality.explained_variance > 0.7
    assert quality.l0 < 6
    torch.testing.assert_close(sae.decoder.detach().norm(dim=1), torch.ones(32))


@pytest.mark.parametrize("resample", [True, False])
def test_dead_latents_come_back_by_resampling_alone(resample: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    _, x = planted(generator)
    sae = SparseAutoencoder(16, 32, k=3, generator=generator)
    with torch.no_grad():
        sae.encoder_bias[:24] = -1e4
    quality = train_sae(sae, x, steps=200, batch=64, lr=5e-3, resample_every=40 if resample else 1000, generator=generator)
    assert (quality.dead < 0.4) is resample


def test_training_does_not_depend_on_the_scale_of_the_activations() -> None:
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    first, second = (SparseAutoencoder(16, 32, activation="jumprelu", generator=g) for g in generators)
    _, x = planted(torch.Generator().manual_seed(1))
    a = train_sae(first, x, steps=50, sparsity=0.01, generator=generators[0])
    b = train_sae(second, 100 * x, steps=50, sparsity=0.01, generator=generators[1])
    assert a.explained_variance == pytest.approx(b.explained_variance, abs=1e-4)
    assert a.l0 == pytest.approx(b.l0, abs=0.05)


def test_the_threshold_learns_from_what_lies_near_it() -> None:
    sae = by_hand("jumprelu")
    sae(torch.tensor([[3.01, 1.0], [9.0, 1.0]])).sum().backward()
    # The first row is 2.01 along latent 0, within .025 of the threshold 2; the second is far away. One row near: 2 / .05.
    assert sae.threshold.grad is not None
    assert sae.threshold.grad[0] == pytest.approx(-2.0 / 0.05)
    assert sae.threshold.grad[1:].tolist() == [0.0, 0.0]


def test_taking_a_latent_out_leaves_the_rest_and_the_error() -> None:
    sae = by_hand("relu")
    h = torch.tensor([[4.0, 3.0]])
    # Latents (3, 1.5, 0) reconstruct (4, 2.5): the error (0, .5) stays when latent 1 goes.
    assert shift_latents(sae, h, [1], to=0).tolist() == [[4.0, 1.5]]
    assert shift_latents(sae, h, [0], scale=2).tolist() == [[7.0, 3.0]]
    assert shift_latents(sae, h, [0, 2], by=torch.tensor([1.0, 5.0])).tolist() == [[0.0, 3.0]]


def test_one_way_to_shift_a_latent_is_asked_for() -> None:
    with pytest.raises(ValueError, match="Give one of to, scale and by: what the latents become"):
        shift_latents(by_hand("relu"), torch.ones(1, 2), [0], to=1, by=1)


def test_latents_are_clamped_inside_a_model(tiny: act.Model) -> None:
    sae = SparseAutoencoder(16, 8, k=2, generator=torch.Generator().manual_seed(0))
    site = act.residual[1]
    before = tiny.read(IDS, site)[site]
    with tiny.edit(latent_edit(site, sae, [3], to=2.0)):
        after = tiny.read(IDS, site)[site]
    torch.testing.assert_close(after, shift_latents(sae, before, [3], to=2.0))
    assert not torch.allclose(after, before)


def test_latent_steering_learns_the_latent_that_tells_the_groups_apart(tiny: act.Model) -> None:
    site = act.residual[1]
    sae = SparseAutoencoder(16, 8, activation="relu", generator=torch.Generator().manual_seed(0))
    ids = torch.randint(32, (20, 4), generator=torch.Generator().manual_seed(1))
    wanted, unwanted = ids.clone(), ids.clone()
    wanted[:, -1], unwanted[:, -1] = 3, 17
    method = learn(tiny, LatentSteering(site, sae, k=1), wanted, unwanted)
    z = [sae.encode(tiny.read(group, site, "last_prompt")[site]) for group in (wanted, unwanted)]
    assert method.latents is not None
    assert method.amounts is not None
    spread = ((z[0].var(0) + z[1].var(0)) / 2).sqrt()
    assert int(method.latents) == int(((z[0].mean(0) - z[1].mean(0)) / spread).nan_to_num(0).argmax())
    with tiny.edit(*method.edits(tiny, wanted, 2.0)):
        after = tiny.read(wanted, site)[site]
    before = tiny.read(wanted, site)[site]
    added = 2.0 * method.amounts * sae.decoder[method.latents]
    torch.testing.assert_close(after - before, added.expand_as(before), atol=1e-5, rtol=1e-4)


def test_selective_latents_are_few_by_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(60, 2000, generator=generator).relu()
    y = torch.arange(60) % 2
    z[:, 7] += 2.0 * y
    z[:, 9] += 1.5 * y
    found = selective_latents(z, y, shuffles=20, generator=generator)
    assert found.index.tolist() == [7, 9]
    assert (found.q < 0.01).all()
    assert found.effect[0] > found.effect[1] > 0.5
    assert found.by_chance < 0.5


def test_selective_latents_by_presence_are_on_in_one_group() -> None:
    z = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 0.0], [0.0, 1.0, 5.0], [0.0, 0.0, 1.0]])
    assert selective_latents(z, torch.tensor([1, 1, 0, 0]), by="presence").index.tolist() == [0]


def test_exclusive_latents_are_silent_in_the_other_group_without_exception() -> None:
    active = torch.tensor(
        [[1.0, 5.0, 1.0, 0.0], [1.0, 5.0, 1.0, 1.0], [1.0, 5.0, 0.0, 0.0], [1.0, 5.0, 0.0, 0.0], [1.0, 5.0, 1.0, 1.0]]
    )
    silent = torch.zeros(3, 4)
    # Shares 1, 1, .6, .4; of the two at 1 the larger mean comes first.
    assert exclusive_latents(active, silent, share=0.6).tolist() == [1, 0, 2]
    silent[2, 1] = 1e-3
    assert exclusive_latents(active, silent, share=0.6).tolist() == [0, 2]


@pytest.mark.parametrize(("activation", "k"), [("relu", None), ("topk", 2), ("jumprelu", None)])
def test_an_autoencoder_comes_back_from_its_folder(tmp_path: Path, activation: Activation, k: int | None) -> None:
    sae = SparseAutoencoder(6, 10, activation=activation, k=k, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(sae.encoder_bias)
    torch.nn.init.normal_(sae.decoder_bias)
    save_saelens(tmp_path / "sae", sae, {"hook_name": "blocks.3.hook_resid_post"})
    again, told = load_saelens(tmp_path / "sae")
    x = torch.randn(5, 6)
    assert torch.equal(again(x), sae(x))
    assert told["hook_name"] == "blocks.3.hook_resid_post"


def saelens_folder(folder: Path, weights: dict[str, Tensor], **config: object) -> None:
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(weights, folder / "sae_weights.safetensors")


def test_a_folder_of_an_old_version_is_read_by_its_keys(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = {"W_enc": torch.randn(4, 6), "W_dec": torch.randn(6, 4), "b_enc": torch.randn(6), "b_dec": torch.randn(4)}
    saelens_folder(
        tmp_path,
        weights,
        d_in=4,
        d_sae=6,
        activation_fn_str="topk",
        activation_fn_kwargs={"k": 2},
        apply_b_dec_to_input=False,
        hook_name="blocks.2.hook_resid_pre",
    )
    sae, told = load_saelens(tmp_path)
    x = torch.randn(3, 4)
    before = x @ weights["W_enc"] + weights["b_enc"]
    best = before.topk(2)
    z = torch.zeros(3, 6).scatter(1, best.indices, best.values.relu())
    torch.testing.assert_close(sae(x), z @ weights["W_dec"] + weights["b_dec"])
    assert told == {"hook_name": "blocks.2.hook_resid_pre"}


def test_decoder_norms_that_count_in_top_k_are_folded(tmp_path: Path) -> None:
    # Latent 1 is half as large but its row is ten times as long: it is the one that stays.
    weights = {
        "W_enc": torch.tensor([[2.0, 1.0]]),
        "W_dec": torch.tensor([[1.0], [10.0]]),
        "b_enc": torch.zeros(2),
        "b_dec": torch.zeros(1),
    }
    saelens_folder(
        tmp_path, weights, architecture="topk", k=1, rescale_acts_by_decoder_norm=True, metadata={"sae_lens_version": "6.5.0"}
    )
    sae, _ = load_saelens(tmp_path)
    assert sae.encode(torch.tensor([1.0])).tolist() == [0.0, 10.0]
    assert sae(torch.tensor([1.0])).tolist() == [10.0]


@pytest.mark.parametrize("normalise", ["layer_norm", "constant_norm_rescale"])
def test_normalised_inputs_come_back_in_their_own_units(tmp_path: Path, normalise: str) -> None:
    eye = torch.eye(4)
    weights = {"W_enc": eye, "W_dec": eye.clone(), "b_enc": torch.full((4,), 50.0), "b_dec": torch.full((4,), 0.0)}
    saelens_folder(tmp_path, weights, architecture="standard", normalize_activations=normalise)
    sae, _ = load_saelens(tmp_path)
    x = torch.tensor([[3.0, -1.0, 7.0, 4.0]])
    # All latents are on, 50 above the normalised input: the reconstruction is x and 50 of its units in every dimension.
    torch.testing.assert_close(sae(x), x + 50 * sae.spread(x), atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(shift_latents(sae, x, [2], by=1.0)[0, 2] - x[0, 2], sae.spread(x)[0, 0])


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"architecture": "gated"}, "holds an autoencoder of kind 'gated'; those of kind standard, topk, jumprelu are read here"),
        (
            {"architecture": "standard", "normalize_activations": "expected_average_only_in"},
            "by a factor that is not in the folder",
        ),
        ({"architecture": "jumprelu"}, r"holds the tensors \['W_dec', .*\], where jumprelu has .*'threshold'\]"),
    ],
)
def test_a_folder_that_would_not_be_the_same_here_is_refused(tmp_path: Path, config: dict[str, str], sentence: str) -> None:
    weights = {"W_enc": torch.zeros(2, 3), "W_dec": torch.zeros(3, 2), "b_enc": torch.zeros(3), "b_dec": torch.zeros(2)}
    saelens_folder(tmp_path, weights, **config)
    with pytest.raises(ValueError, match=sentence):
        load_saelens(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is not a SAELens folder, cfg.json beside sae_weights.safetensors"):
        load_saelens(tmp_path)


@pytest.mark.parametrize(("activation", "k"), [("topk", None), ("relu", 3), ("topk", 0)])
def test_k_belongs_to_top_k(activation: Activation, k: int | None) -> None:
    with pytest.raises(ValueError, match='k is given for activation "topk" alone, from 1 to 4'):
        SparseAutoencoder(2, 4, activation=activation, k=k)
