"""Reading and editing a network beside the libraries that people use for it: CPU time against the bare model.

    python benchmarks/activations.py --model FOLDER --environments FOLDER [--only ours nnsight …] [--rounds 3] [--json FILE]

--model is a folder with SmolLM2-135M as transformers saves it; `act.load("smollm2")` leaves one in PRESSRUN_HOME/models.
--environments is where each library gets an environment of its own, made with venv and pip from the pins below where it is not
there yet: some of them cannot be installed together. Each runs in a process of its own (activations_worker.py), on one thread,
in turn and never at once. Every round asks all of them for each row; a ratio is the median over the rounds of the ratios to the
bare model within a round, so that a machine whose speed drifts does not decide.

Before a row is timed, what the library got is compared with what we got: it has to agree within 1e-4 of the largest value of each
vector (generated tokens: exactly), else the table says so. What a library does not do, or fails at, is a dash with a note.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from activations_worker import BLOCKS_RUN, COLUMNS, DEPTH, LIBRARIES, NEW, PROMPT, ROWS, WIDTH

BASE = ("torch==2.13.0", "transformers==5.23.0")
# nnterp 1.3.0 does not import beside nnsight 0.8.
PINS: dict[str, tuple[str, ...]] = {
    "nnsight": ("nnsight==0.8.1",),
    "nnterp": ("nnterp==1.3.0", "nnsight==0.7.0"),
    "transformer-lens": ("transformer-lens==4.3.0",),
    "pyvene": ("pyvene==0.1.8",),
    "repeng": ("repeng==0.4.0",),
    "steering-vectors": ("scikit-learn", "tqdm"),
}
# On no package index, so not to be had everywhere (it is not in the docs' table for that reason): whoever has
# a checkout makes the environment by hand, with BASE and an empty file named "ready" in it. Without one it is left out.
BY_HAND = ("baukit",)
# It asks for transformers before 5 and works with 5.23.
WITHOUT_REQUIREMENTS = {"steering-vectors": ("steering-vectors==0.12.2",)}

WORKER = Path(__file__).with_name("activations_worker.py")
SWEEPS = ("head_sweep", "patch_sweep")
FULL = {
    "model read one": "read one site",
    "model read all": "read all residual sites",
    "model steer": f"steer, {NEW} tokens generated",
    "model ablate": "ablate one head",
    "model patch": "patch one position",
    "model stop": f"stop after block {BLOCKS_RUN} of 30",
    "model head_sweep": "head sweep, 30 x 9",
    "model patch_sweep": f"patching sweep, 30 x {PROMPT}",
}
FIXED = {f"{which} {what}": (which, what) for which in ("mlp", "tiny") for what in ("plain", "read one", "read all")}
FIXED_TITLES = {"mlp": f"{DEPTH}-layer MLP", "tiny": f"{DEPTH}-layer language model"}
FIXED_REPEATS = 100
TOLERANCE = 1e-4


@dataclass
class Contender:
    """A library in a process of its own; it only works while it is asked.

    Attributes:
        notes: by row, why there is no number.
        times: by row, CPU seconds in each round.
    """

    name: str
    process: subprocess.Popen[str]
    notes: dict[str, str] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, row: str, repeats: int = 1, save: Path | None = None) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        request = {"row": row, "repeats": repeats, "save": str(save) if save else None}
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"cannot": "its process ended"}

    def time(self, row: str, repeats: int = 1) -> None:
        """One more round of a row, unless the library cannot do it. The bare model does a plain pass for every row but one."""
        if row in self.notes:
            return
        plain = self.name == "bare" and row not in ("model steer", "model prompt")
        said = self.ask(f"{row.partition(' ')[0]} plain" if plain else row, repeats)
        if "cannot" in said:
            self.notes[row] = said["cannot"]
        else:
            self.times.setdefault(row, []).append(said["seconds"])

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def interpreter(name: str, environments: Path) -> Path:
    """The Python for a library; its environment is made if it is not there."""
    if name not in (*PINS, *BY_HAND):
        return Path(sys.executable)
    folder = environments / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "ready").is_file():
        if name in BY_HAND:
            raise FileNotFoundError(f"{folder} is to be made by hand")
        print(f"making an environment for {name}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *BASE, *PINS[name]], check=True)
        if name in WITHOUT_REQUIREMENTS:
            subprocess.run([*pip, "--no-deps", *WITHOUT_REQUIREMENTS[name]], check=True)
        (folder / "ready").touch()
    return python


def versions(name: str, python: Path) -> str:
    """The library, and what else of it matters, as installed."""
    wanted = [LIBRARIES[name].package, "torch", "transformers"]
    code = f"from importlib.metadata import version as v; print(*[p + ' ' + v(p) for p in {list(dict.fromkeys(wanted))!r}], sep=', ')"
    found = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "not installed"


def start(name: str, python: Path, model: Path, tiny: Path) -> Contender:
    command = [str(python), str(WORKER), name, str(model), str(tiny)]
    return Contender(
        name, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    )


def tiny_model(model: Path, folder: Path) -> None:
    """A language model of twelve layers that takes no time, with the tokenizer of the real one."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model)
    config = LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=WIDTH // 4,
        vocab_size=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def difference(theirs: torch.Tensor, ours: torch.Tensor) -> float:
    """The largest deviation, by the largest value of the vector (last axis) that it is in."""
    if theirs.shape != ours.shape:
        return float("inf")
    scale = ours.double().abs().amax(dim=-1, keepdim=True).clamp(min=1.0)
    return float(((theirs.double() - ours.double()).abs() / scale).max())


def check(contenders: list[Contender], row: str, folder: Path) -> None:
    """Whoever gets something else than we do is not timed. This is everybody's first call; of a sweep it counts as a round."""
    reference: torch.Tensor | None = None
    for one in sorted(contenders, key=lambda one: one.name != "ours"):
        if one.name == "bare":
            continue
        file = folder / f"{one.name}.pt"
        said = one.ask(row, save=file)
        if "cannot" in said:
            one.notes[row] = said["cannot"]
            continue
        got = torch.load(file)
        reference = got if reference is None else reference
        off = difference(got, reference)
        if off > (0 if "steer" in row else TOLERANCE):
            one.notes[row] = f"other values: off by {off:.1g}"
        if row.split()[-1] in SWEEPS:
            one.times.setdefault(row, []).append(said["seconds"])


def exactness(contenders: list[Contender], folder: Path) -> dict[str, tuple[float, float]]:
    """By name: how far unedited logits are from the bare model's, and what is read from a raw hook's (else from ours)."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for one in contenders:
        for row in ("model plain", "model read all"):
            file = folder / f"{one.name}.pt"
            if "cannot" not in one.ask(row, save=file):
                found.setdefault(one.name, {})[row] = torch.load(file)
    references = {"model plain": found["bare"]["model plain"]}
    references["model read all"] = found.get("hooks", found["ours"])["model read all"]
    result = {}
    for name, values in found.items():
        if name != "bare":
            result[name] = tuple(
                float((values[row] - ref).abs().max()) if row in values and values[row].shape == ref.shape else float("nan")
                for row, ref in references.items()
            )
    return result  # type: ignore[return-value]


def measure(contenders: list[Contender], rounds: int, sweep_rounds: int, folder: Path) -> None:
    """Fill in everybody's times."""
    rows = [row for row in FULL if row.split()[-1] not in SWEEPS]
    checked = [row for row in (*FULL, *FIXED) if not row.endswith("plain") and (sweep_rounds or row.split()[-1] not in SWEEPS)]
    for row in checked:
        say(f"checking {row}")
        check(contenders, row, folder)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for row in rows:
            for one in contenders:
                one.time(row)
        for row in FIXED:
            for one in contenders:
                one.time(row, FIXED_REPEATS)
    bare = next(one for one in contenders if one.name == "bare")
    for number in range(max(1, sweep_rounds)):
        bare.time("model prompt", 20)
        if number:  # the check was the first round
            for row in (row for row in FULL if row not in rows):
                for one in contenders:
                    if one is not bare:
                        one.time(row)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ratio(one: Contender, bare: Contender, row: str) -> float | None:
    """Median over rounds of this library's time by the bare model's for the same row."""
    if row in one.notes or not one.times.get(row):
        return None
    sweep = {"head_sweep": 30 * 9, "patch_sweep": 30 * PROMPT}.get(row.split()[-1])
    if sweep:
        return statistics.median(one.times[row]) / (sweep * statistics.median(bare.times["model prompt"]))
    return statistics.median(a / b for a, b in zip(one.times[row], bare.times[row], strict=True))


def fixed(one: Contender, bare: Contender, row: str) -> float | None:
    """Milliseconds that a call takes beyond the bare network's: median over rounds."""
    if row in one.notes or not one.times.get(row):
        return None
    return statistics.median(1e3 * (a - b) for a, b in zip(one.times[row], bare.times[row], strict=True))


def table(titles: list[str], rows: dict[str, list[str]]) -> str:
    head = f"| | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}"
    return "\n".join([head, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def cell(value: float | None, form: str) -> str:
    return "–" if value is None or value != value else format(value, form)


def report(contenders: list[Contender], exact: dict[str, tuple[float, float]], memory: dict[str, float | None]) -> str:
    bare = next(one for one in contenders if one.name == "bare")
    others = [one for one in contenders if one is not bare]
    names = [one.name for one in others]
    ratios = {title: [cell(ratio(one, bare, row), ".2f") for one in others] for row, title in FULL.items()}
    costs = {
        f"{FIXED_TITLES[which]}, {what.replace('plain', 'nothing')}": [cell(fixed(one, bare, row), ".2f") for one in others]
        for row, (which, what) in FIXED.items()
    }
    rest = {
        "peak of reading all sites of 8 x 64 tokens, MiB": [cell(memory[name], ".0f") for name in names],
        "logits without edits, off by": [cell(exact.get(name, (None, None))[0], ".1g") for name in names],
        "read, off from a raw hook by": [cell(exact.get(name, (None, None))[1], ".1g") for name in names],
    }
    notes = [
        f"- {one.name}, {FULL.get(row, row)}: {why}"
        for one in others
        for row, why in one.notes.items()
        if row in {**FULL, **FIXED}
    ]
    seconds = {row: statistics.median(bare.times[row]) * 1e3 for row in ("model ablate", "model steer", "model prompt")}
    return "\n\n".join(
        [
            f"CPU time by the bare model's; a batch of {ROWS} x {COLUMNS} tokens takes it {seconds['model ablate']:.0f} ms, "
            f"generating {NEW} tokens {seconds['model steer']:.0f} ms, a prompt of {PROMPT} tokens {seconds['model prompt']:.0f} ms. "
            "A sweep is measured against one pass of the bare model for each intervention.",
            table(names, ratios),
            "Milliseconds that a call costs beyond the bare network's:",
            table(names, costs),
            f"Memory and exactness. The 30 streams are 34 MiB; a plain pass takes {cell(memory['bare'], '.0f')}, "
            f"with the logits of one column only {cell(memory['without logits'], '.0f')}.",
            table(names, rest),
            "Not in the table:\n" + ("\n".join(notes) or "- nothing"),
        ]
    )


def contend(given: argparse.Namespace, folder: Path) -> None:
    pythons: dict[str, Path] = {}
    for name in ["bare", "ours", *(name for name in given.only if name not in ("bare", "ours"))]:
        try:
            pythons[name] = interpreter(name, given.environments)
        except subprocess.CalledProcessError:
            say(f"{name}: pip could not make its environment; it is left out")
        except FileNotFoundError as error:
            say(f"{name}: {error}; it is left out")
    print("\n".join(f"- {name}: {versions(name, python)}" for name, python in pythons.items()) + "\n", flush=True)
    tiny_model(given.model, folder / "tiny")
    contenders = [start(name, python, given.model, folder / "tiny") for name, python in pythons.items()]
    try:
        exact = exactness(contenders, folder)
        measure(contenders, given.rounds, given.sweep_rounds, folder)
        # Last, because it changes how the process gets its memory.
        memory = {one.name: one.ask("memory").get("mib") for one in contenders}
        memory["without logits"] = contenders[0].ask("memory without logits").get("mib")
    finally:
        for one in contenders:
            one.close()
    print(report(contenders, exact, memory))
    if given.json:
        raw = {one.name: {"seconds": one.times, "notes": one.notes, "mib": memory[one.name]} for one in contenders}
        given.json.write_text(json.dumps(raw, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder with SmolLM2-135M")
    parser.add_argument("--environments", type=Path, required=True, help="folder for one environment a library")
    parser.add_argument("--only", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES), help="libraries beside ours")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sweep-rounds", type=int, default=1, help="rounds of the two sweeps; 0 leaves them out")
    parser.add_argument("--json", type=Path, help="also write the raw numbers here")
    given = parser.parse_args()
    if not (given.model / "config.json").is_file():
        sys.exit(f"{given.model} has no config.json: give the folder of a model that transformers has saved.")
    if given.rounds < 1 or given.sweep_rounds < 0:
        sys.exit(f"--rounds is at least 1 and --sweep-rounds at least 0, got {given.rounds} and {given.sweep_rounds}.")
    with tempfile.TemporaryDirectory() as folder:
        contend(given, Path(folder))


if __name__ == "__main__":
    main()
