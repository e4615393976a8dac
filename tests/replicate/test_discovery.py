"""Replications are found by entry point, known without being imported, and a broken package hides no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pressrun.replicate import LockError, discover, lock, replication_for, replications
from pressrun.replicate.discovery import GROUP
from pressrun.replicate.lock import LOCK
from tests.replicate.test_lock import MODULE

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pressrun-oja"


class Site:
    """A folder of installed packages that is searched before all others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, points: dict[str, str], version: str = "1.0") -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        lines = [f"{name} = {module}" for name, module in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))

    def package(self, name: str, modules: dict[str, str], *, locked: bool = True) -> Path:
        folder = self.folder / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        if locked:
            before = set(sys.modules)
            lock(folder)
            forget(set(sys.modules) - before)
        return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Site(tmp_path)
    forget(set(sys.modules) - before)


def forget(modules: set[str]) -> None:
    for name in modules:
        del sys.modules[name]


def test_the_example_package_is_found_and_known_without_being_imported(site: Site) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "src" / "pressrun_oja", site.folder / "pressrun_oja")
    site.install(project["name"], project["entry-points"][GROUP], project["version"])
    oja = replications()["oja"]
    assert (oja.paper, oja.module, oja.distribution, oja.version) == (
        "10.1007/BF00275687",
        "pressrun_oja.oja",
        "pressrun-oja",
        "1.0",
    )
    assert oja.title == "Oja's rule finds the first principal component of its input and stays bounded (doi:10.1007/BF00275687)."
    assert [card.id for card in oja.cards] == ["finds-the-first-component", "stays-bounded"]
    assert oja.metrics == {"alignment": "1", "log_norm": "1"}
    assert [(each.name, each.takes()) for each in oja.knobs] == [
        ("steps", "a whole number from 100 to 1000000"),
        ("lr", "a number from 1e-06 to 0.05"),
    ]
    assert oja.presets["laptop"] == {"steps": 6000, "lr": 0.001}
    assert oja.not_tested == ("Inputs whose two largest eigenvalues are equal, for which the paper claims nothing.",)
    assert not oja.source_changed
    assert "pressrun_oja.oja" not in sys.modules
    assert discover().problems == ()


def test_the_example_packages_own_tests_pass() -> None:
    paths = os.pathsep.join([str(EXAMPLE / "src"), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:django", "-p", "no:schemathesis"],
        cwd=EXAMPLE,
        env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("paper", ["10.1/x", "10.1/X", "doi:10.1/x", "https://doi.org/10.1/x", " 10.1/x "])
def test_a_replication_is_found_by_its_paper(site: Site, paper: str) -> None:
    site.package("by_doi", {"bigger": MODULE})
    site.install("by-doi", {"bigger": "by_doi.bigger"})
    found = replication_for(paper)
    assert found is not None
    assert found.name == "bigger"


@pytest.mark.parametrize(
    "paper",
    ["2501.00042", "2501.00042v2", "arXiv:2501.00042", "https://arxiv.org/abs/2501.00042v1", "arxiv.org/pdf/2501.00042v3.pdf"],
)
def test_a_version_of_a_paper_is_the_paper(site: Site, paper: str) -> None:
    site.package("by_arxiv", {"bigger": MODULE.replace('"10.1/x"', '"2501.00042"')})
    site.install("by-arxiv", {"bigger": "by_arxiv.bigger"})
    found = replication_for(paper)
    assert found is not None
    assert found.name == "bigger"


@pytest.mark.parametrize("paper", ["", "10.1/y", "2509.2325", "10.1/xv1"])
def test_another_paper_has_none(site: Site, paper: str) -> None:
    site.package("none_such", {"bigger": MODULE})
    site.install("none-such", {"bigger": "none_such.bigger"})
    assert replication_for(paper) is None


def test_ours_comes_first_of_two_for_one_paper(site: Site) -> None:
    site.package("theirs_a", {"alpha": MODULE})
    site.package("ours_b", {"beta": MODULE})
    site.install("another", {"alpha": "theirs_a.alpha"})
    site.install("pressrun", {"beta": "ours_b.beta"}, version="99")
    found = replication_for("10.1/x")
    assert found is not None
    assert (found.name, found.distribution) == ("beta", "pressrun")


def test_it_imports_a_replication_when_asked(site: Site) -> None:
    site.package("to_load", {"bigger": MODULE})
    site.install("to-load", {"bigger": "to_load.bigger"})
    assert callable(replications()["bigger"].load().replicate)


def test_a_source_that_changed_since_it_was_locked_is_seen(site: Site) -> None:
    folder = site.package("edited", {"bigger": MODULE})
    site.install("edited", {"bigger": "edited.bigger"})
    assert not replications()["bigger"].source_changed
    (folder / "bigger.py").write_text(MODULE + "\n# a remark\n")
    assert replications()["bigger"].source_changed
    assert replications()["bigger"].load().PAPER == "10.1/x"


def test_claims_that_are_not_the_locked_ones_are_not_loaded(site: Site) -> None:
    folder = site.package("tuned", {"bigger": MODULE})
    site.install("tuned", {"bigger": "tuned.bigger"})
    (folder / "bigger.py").write_text(MODULE.replace("at_least=0.5", "at_least=0.1"))
    with pytest.raises(LockError, match=r"^the claims of bigger are not those in its claims\.lock; run pressrun lock$"):
        replications()["bigger"].load()


def test_a_new_lock_is_seen_without_a_restart(site: Site) -> None:
    folder = site.package("relocked", {"bigger": MODULE})
    site.install("relocked", {"bigger": "relocked.bigger"})
    assert replications()["bigger"].not_tested == ("How heavy it is.",)
    (folder / "bigger.py").write_text(MODULE.replace("How heavy it is.", "How heavy and how old it is."))
    lock(folder)
    assert replications()["bigger"].not_tested == ("How heavy and how old it is.",)


def problem(site: Site) -> str:
    """The only problem; the sound package beside it is found in spite of it."""
    site.package("sound", {"zeta": MODULE})
    site.install("sound", {"zeta": "sound.zeta"})
    found = discover()
    assert "zeta" in found.replications
    (sentence,) = found.problems
    assert "\n" not in sentence
    return sentence


def test_a_module_that_is_not_there_is_named(site: Site) -> None:
    site.install("absent", {"gone": "absent_package.gone"})
    assert problem(site) == "replication gone cannot be found: ModuleNotFoundError: No module named 'absent_package'"


def test_a_module_missing_in_its_package_is_named(site: Site) -> None:
    site.package("half", {"bigger": MODULE})
    site.install("half", {"gone": "half.gone"})
    assert problem(site) == "replication gone cannot be found: there is no module half.gone"


def test_a_package_that_cannot_be_imported_is_named(site: Site) -> None:
    folder = site.package("crashing", {"bigger": MODULE})
    (folder / "__init__.py").write_text("raise RuntimeError('no licence')\n")
    site.install("crashing", {"bigger": "crashing.bigger"})
    assert problem(site) == "replication bigger cannot be found: RuntimeError: no licence"


def test_a_package_without_a_lock_is_named(site: Site) -> None:
    folder = site.package("unlocked", {"bigger": MODULE}, locked=False)
    site.install("unlocked", {"bigger": "unlocked.bigger"})
    assert problem(site) == (
        f"replication bigger has no claims.lock beside {folder / 'bigger.py'}; its author makes one with pressrun lock"
    )


def test_a_module_that_is_not_locked_is_named(site: Site) -> None:
    folder = site.package("forgotten", {"bigger": MODULE})
    (folder / "smaller.py").write_text(MODULE)
    site.install("forgotten", {"smaller": "forgotten.smaller"})
    assert problem(site) == f"replication smaller is not in {folder / LOCK}; its author puts it there with pressrun lock"


def test_a_name_that_is_not_the_modules_is_named(site: Site) -> None:
    site.package("renamed", {"bigger": MODULE})
    site.install("renamed", {"larger": "renamed.bigger"})
    assert problem(site) == "entry point larger leads to the replication bigger; both need the same name"


def test_two_of_the_same_name_are_named_and_the_first_is_used(site: Site) -> None:
    site.package("one_of", {"bigger": MODULE})
    site.package("two_of", {"bigger": MODULE})
    site.install("a-one", {"bigger": "one_of.bigger"})
    site.install("b-two", {"bigger": "two_of.bigger"})
    assert problem(site) == "two packages have a replication bigger: a-one, which is used, and b-two"
    assert replications()["bigger"].module == "one_of.bigger"


def test_a_threshold_edited_in_the_lock_is_named(site: Site) -> None:
    folder = site.package("forged", {"bigger": MODULE})
    document = json.loads((folder / LOCK).read_text())
    document["replications"]["bigger"]["cards"][0]["card"]["rule"]["at_least"] = 0.1
    (folder / LOCK).write_text(json.dumps(document))
    site.install("forged", {"bigger": "forged.bigger"})
    assert problem(site) == f"{folder / LOCK} was edited by hand: the card of claim is-big does not have the hash beside it"


@pytest.mark.parametrize("broken", ["cards", "config", "presets", "paper", "history"])
def test_a_lock_that_lacks_something_is_named(site: Site, broken: str) -> None:
    folder = site.package(f"lacks_{broken}", {"bigger": MODULE})
    document = json.loads((folder / LOCK).read_text())
    del document["replications"]["bigger"][broken]
    (folder / LOCK).write_text(json.dumps(document))
    site.install("lacks", {"bigger": f"lacks_{broken}.bigger"})
    assert problem(site) == f"{folder / LOCK} cannot be read: '{broken}'"
