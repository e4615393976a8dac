"""Do repeng and SAELens read what we write, and we what they write? Through the real libraries, each in its own environment.

    python benchmarks/steering_files.py --repeng PYTHON --saelens PYTHON

PYTHON is the interpreter of an environment with the library: repeng 0.4.0 needs numpy below 2 and SAELens 6 a transformer-lens of
its own, so neither shares an environment with us. Checked with repeng 0.4.0 and sae-lens 6.54.12. (AISteer360 is not on the package
index; its `.svec` is tested by its format.)

Each check writes a file here, lets the library read it, use it and write it again there, and compares what comes back.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pressrun.methods import activations as act
from pressrun.methods.steering import (
    Provenance,
    SparseAutoencoder,
    SteeringVector,
    export_gguf,
    import_gguf,
    load_saelens,
    save_saelens,
)
from pressrun.methods.steering.sae import Activation, Normalisation

CASES: tuple[tuple[Activation, Normalisation], ...] = (
    ("topk", "none"),
    ("relu", "none"),
    ("jumprelu", "none"),
    ("relu", "layer_norm"),
    ("topk", "constant_norm_rescale"),
)

REPENG = """
import sys
from repeng import ControlVector
read = ControlVector.import_gguf(sys.argv[1])
assert read.model_type == "llama" and sorted(read.directions) == [1, 5, 29], (read.model_type, sorted(read.directions))
(2 * read).export_gguf(sys.argv[2])
"""

SAELENS = """
import sys
from safetensors.torch import load_file, save_file
from sae_lens import SAE
sae = SAE.load_from_disk(sys.argv[1])
x = load_file(sys.argv[3])["x"]
save_file({"z": sae.encode(x).detach().contiguous(), "y": sae(x).detach().contiguous()}, sys.argv[4])
sae.save_model(sys.argv[2])
"""


def check_repeng(python: str, folder: Path) -> float:
    """Largest difference after writing, repeng's doubling, and reading; relative to the largest number in the vector."""
    sites = [act.residual[block] for block in (1, 5, 29)]
    made = SteeringVector(
        act.Sites(tuple(sites)),
        directions={site: torch.randn(576) for site in sites},
        norms=dict.fromkeys(sites, 37.0),
        provenance=Provenance(family="llama"),
    )
    export_gguf(folder / "ours.gguf", made, strength=0.2)
    run(python, REPENG, folder / "ours.gguf", folder / "theirs.gguf")
    again = import_gguf(folder / "theirs.gguf")
    if list(again.directions) != sites or again.provenance.family != "llama":
        sys.exit(f"repeng wrote blocks {[str(s) for s in again.directions]} of {again.provenance.family!r}")
    return max(float((again.absolute(s) - made.absolute(s, 0.4)).abs().max() / made.absolute(s, 0.4).abs().max()) for s in sites)


def check_saelens(python: str, folder: Path, activation: Activation, normalise: Normalisation) -> float:
    """Largest difference of latents and reconstructions: ours, SAELens's of our folder, and ours of the folder it wrote."""
    sae = SparseAutoencoder(64, 200, activation=activation, k=8 if activation == "topk" else None)
    sae.normalise = normalise
    with torch.no_grad():
        sae.encoder_bias.normal_()
        sae.decoder_bias.normal_()
        if activation == "jumprelu":
            sae.threshold.uniform_(0, 1)
    x = 5 * torch.randn(50, 64)
    ours, theirs = folder / f"{activation}-{normalise}", folder / f"{activation}-{normalise}-theirs"
    save_saelens(ours, sae, {"model_name": "gpt2", "hook_name": "blocks.3.hook_resid_post"})
    save_file({"x": x}, folder / "x.safetensors")
    run(python, SAELENS, ours, theirs, folder / "x.safetensors", folder / "out.safetensors")
    out = load_file(folder / "out.safetensors")
    again, _ = load_saelens(theirs)
    pairs = [(sae.encode(x), out["z"]), (sae(x), out["y"]), (sae(x), again(x))]
    return max(float((a - b).abs().max()) for a, b in pairs)


def run(python: str, code: str, *paths: Path) -> None:
    """The code in the other interpreter; ends here if it fails there."""
    done = subprocess.run([python, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} failed:\n{done.stderr[-2000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeng", metavar="PYTHON")
    parser.add_argument("--saelens", metavar="PYTHON")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        if arguments.repeng:
            print(
                f"repeng, control vector               largest relative difference {check_repeng(arguments.repeng, Path(name)):.1e}"
            )
        for activation, normalise in CASES if arguments.saelens else ():
            difference = check_saelens(arguments.saelens, Path(name), activation, normalise)
            print(f"SAELens, {f'{activation}, {normalise}':<28}largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
