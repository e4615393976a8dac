"""The command that serves a language model. It parses and prints; answers are made by `pressrun.serving`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pressrun._terminal import err, fail, out


def serve_model(
    model: Annotated[str, typer.Argument(help="smollm2, qwen2.5-coder-1.5b, an id on the Hugging Face hub or a folder.")],
    steer: Annotated[
        list[str], typer.Option(metavar="[NAME=]FILE", help="A steering vector that requests may use; may be repeated.")
    ] = [],  # noqa: B006  Typer reads it, nobody changes it
    strength: Annotated[
        list[str],
        typer.Option(metavar="NAME=NUMBER", help="Where a request names no strength; default what the file was calibrated to."),
    ] = [],  # noqa: B006
    always: Annotated[
        bool, typer.Option("--always", help="Steer requests that say nothing about steering by every vector, at its strength.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Length of a chat answer where the request names none.")] = 512,
    name: Annotated[str, typer.Option(help="What clients call the model; default what it is called here.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    host: Annotated[str, typer.Option(help="Address to listen on; beyond this machine only with --key.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; default 8019.")] = None,
    key: Annotated[
        str, typer.Option(envvar="PRESSRUN_MODEL_KEY", help="What clients must bring as their API key; other users see options.")
    ] = "",
) -> None:
    """Serve a language model to OpenAI clients, steered a request at a time."""
    try:
        from pressrun.methods import activations as act
        from pressrun.serving import Engine, application, shelf
        from pressrun.serving.server import DEFAULT_PORT, is_loopback, listen, run

        if not is_loopback(host) and not key:
            raise ValueError(f"whoever reaches {host} could use the model: give a key, best as PRESSRUN_MODEL_KEY")
        with listen(host, DEFAULT_PORT if port is None else port) as listener:
            err.print(f"Loading {model}", style="dim", markup=False)
            loaded = act.load(model, device=device)
            vectors = shelf(loaded, steer, strength, always=always)
            engine = Engine(name or Path(model).name, loaded, vectors, usual=max_tokens)
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{listener.getsockname()[1]}/v1"
            held = f" with {', '.join(vectors.vectors)}" if vectors.vectors else ""
            out.print(f"{engine.name}{held} is at {address}  (Ctrl-C stops it)", markup=False, soft_wrap=True)
            sys.stdout.flush()
            run(application(engine, key=key, **({} if is_loopback(host) else {"hosts": None})), listener)
    except (ValueError, FileNotFoundError, ModuleNotFoundError, RuntimeError) as problem:
        fail(f"{str(problem).rstrip('.')}.", 2)
