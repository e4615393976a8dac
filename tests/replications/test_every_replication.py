"""What holds for each replication that comes with pressrun: it runs, gives what its claims read, draws it, and repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

from pressrun.replicate import Evidence, check_config, claim_from_json, replications, unrecorded
from pressrun.web.runs import ledger
from tests.replications.conftest import run_smoke

OURS = sorted(name for name, each in replications().items() if each.distribution == "pressrun")


@pytest.mark.parametrize("name", OURS)
def test_every_claim_and_control_finds_its_evidence(name: str, smoke: Callable[[str], Evidence]) -> None:
    module = replications()[name].load()
    assert unrecorded(module.CLAIMS, smoke(name)) == ()
    assert set(smoke(name).metrics) == set(module.METRICS)


@pytest.mark.parametrize("name", OURS)
def test_the_same_seed_gives_the_same_evidence(name: str, smoke: Callable[[str], Evidence], tmp_path: Path) -> None:
    assert run_smoke(name, tmp_path / "again") == smoke(name)


@pytest.mark.parametrize("name", OURS)
def test_the_figure_is_drawn_from_the_evidence_alone(name: str, smoke: Callable[[str], Evidence], tmp_path: Path) -> None:
    figure = replications()[name].load().draw(smoke(name))
    figure.savefig(tmp_path / "figure.svg")
    assert figure.axes
    plt.close(figure)


@pytest.mark.parametrize("name", OURS)
def test_every_card_survives_json_and_every_preset_fits_its_knobs(name: str) -> None:
    module = replications()[name].load()
    for claim in module.CLAIMS:
        assert claim_from_json(claim.to_json()) == claim
    assert set(module.PRESETS) == {"smoke", "laptop", "paper"}
    for preset in module.PRESETS.values():
        check_config(preset)


@pytest.mark.parametrize("name", OURS)
def test_its_ledger_is_of_the_cards_and_the_code_as_they_are_locked(name: str) -> None:
    replication = replications()[name]
    shown = ledger.shipped(replication)
    assert shown is not None
    assert {verdict.claim_id for verdict in shown.verdicts} == {card.id for card in replication.cards}
    assert {card.id: card.sha256 for card in shown.record.cards} == dict(replication.hashes)
    assert shown.record.source_sha256 == replication.source_sha256
    assert (shown.record.preset, len(shown.record.seeds), shown.record.changed) == ("laptop", 5, {})


@pytest.mark.parametrize("name", OURS)
def test_the_lines_that_use_its_method_run(name: str) -> None:
    use = replications()[name].use
    assert "from pressrun.methods." in use
    exec(compile(use, f"USE of {name}", "exec"), {})
