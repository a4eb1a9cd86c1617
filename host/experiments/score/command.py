# SPDX-License-Identifier: Apache-2.0
"""``ornstein score``: what a substrate makes of the skips of any network."""

from pathlib import Path
from typing import Annotated

import typer

from ornstein.host.cli.app import (
    ActivationsOption,
    JsonOption,
    SeedOption,
    SkipOption,
    app,
    note,
    stages,
    write_json,
)
from ornstein.host.models.model_file import DEFAULT_MODEL, load_skips


@app.command(
    "score",
    epilog="Example:  ornstein score net.onnx --activations build/activations/skip1.npz",
)
def score_command(
    weights: Annotated[
        Path,
        typer.Argument(
            help="Folder of ornstein train, safetensors (or index of shards), state dict or ONNX "
            "file.",
            show_default="the model of this package",
        ),
    ] = DEFAULT_MODEL,
    activations: ActivationsOption = None,
    skip: SkipOption = None,
    rank: Annotated[
        int | None,
        typer.Option(min=1, help="Rank of the couplings.", show_default="what the data asks for"),
    ] = None,
    device: Annotated[
        str, typer.Option(help="Device URI: rtl, model, float, serial\\[:PORT].")
    ] = "model",
    seed: SeedOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Score programs of a network's skips on held-out activations, beside honest baselines."""
    from ornstein.hdl.config import WIDE
    from ornstein.host.experiments.common import Runner
    from ornstein.host.experiments.score.run import score_network
    from ornstein.host.experiments.score.table import show_scores
    from ornstein.host.models.rank import choose_rank, full_rank

    models = load_skips(weights, skip or (), activations or ())
    document = []
    with Runner(device, seed, fallback=WIDE) as runner:
        for number, model in enumerate(models):
            used = min(rank or choose_rank(model), full_rank(model))
            with stages() as say:
                scores = score_network(model, runner, used, say)
            named = Path(activations[number]).name if activations else weights.name
            title = f"{named}: {model.x_train.shape[1]} to {model.y_train.shape[1]} units"
            show_scores(f"{title}, rank {used}", scores)
            if rank and rank > used:
                note(f"--rank {rank} acts as {used}, the most there is")
            document.append(
                {"skip": named, "rank": used, "rows": [row.document() for row in scores.rows]}
            )
    write_json(json_file, document)
