"""What docs/write-a-replication.md prints is what a reader types: files are written, commands are run, in a new environment."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import venv
from pathlib import Path

import pyarrow.parquet as pq

PAGE = (Path(__file__).parent.parent / "docs/write-a-replication.md").read_text()
BLOCKS = re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_is_a_file_or_a_command() -> None:
    assert len(BLOCKS) == PAGE.count("\n```") // 2 == 11
    assert [language for language, file, _ in BLOCKS if not file] == ["sh", "sh", "sh"]


def test_a_reader_who_types_it_gets_verdicts_and_a_bundle(tmp_path: Path) -> None:
    environment = _environment(tmp_path / "venv")
    folder = tmp_path / "pressrun-anti-hebbian"
    said = []
    for language, file, text in BLOCKS:
        if language != "sh":
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.read_text() + "\n\n" + text if path.exists() else text)
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder,
            env=environment | {"PRESSRUN_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    assert "3 passed" in said[0]
    assert re.search(r"decorrelates +toy +✓ matched", said[1].split("5 seeds")[1])
    assert re.search(r"inhibits-what-is-correlated +toy +✓ matched", said[1].split("5 seeds")[1])
    assert (folder / "src/pressrun_anti_hebbian/ledger/anti_hebbian.json").is_file()
    assert "2 verdicts" in said[2]
    seeds = {tuple(pq.read_table(path)["seed"].unique().to_pylist()) for path in (tmp_path / "home").rglob("evidence.parquet")}
    assert (100, 101, 102, 103, 104) in {tuple(sorted(each)) for each in seeds}


def _environment(folder: Path) -> dict[str, str]:
    """Variables of a new environment that sees what this one has, and reaches no index."""
    venv.create(folder, with_pip=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for old in packages.glob("setuptools*"):  # what comes with Python may be too old; the one around is not
        shutil.rmtree(old)
    here = [str(Path(__file__).parent.parent / "src"), *site.getsitepackages()]
    (packages / "around.pth").write_text("\n".join(here) + "\n")
    for name in ("pressrun", "pytest"):
        module = {"pressrun": "pressrun.cli", "pytest": "pytest"}[name]
        script = folder / "bin" / name
        script.write_text(f"#!{folder}/bin/python\nfrom {module} import main\nraise SystemExit(main())\n")
        script.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL")}
    return inherited | {
        "PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(folder),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }
