# SPDX-License-Identifier: Apache-2.0
"""Golden values: what the random programs and the demo's rows answered, and in how many cycles.

A reorganisation of the code must reproduce them. A change that is meant to alter answers or cycles
rewrites them and says so in its commit. In about three minutes this command writes
tests/helpers/golden.json from the gateware:

    python -m helpers.golden
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from helpers.programs import random_program
from ornstein.host.compile.program import Program
from ornstein.host.devices.device import Device, Outputs, open_device
from ornstein.host.models import recipes
from ornstein.host.models.model_file import TrainedModel
from ornstein.host.models.run import compile_recipe, recipe_inputs

GOLDEN = Path(__file__).with_name("golden.json")
RANDOM_PROGRAMS = 240
"""Seeds of :func:`programs.random_program` that the equality tests run."""
DEMO_RECIPES = {
    "ours, full interface": recipes.ours_full,
    "ours, aligned skip": recipes.ours_aligned,
    "paper's oracle": recipes.paper_oracle,
    "exact oracle": recipes.exact_oracle,
}
"""Rows of the demo whose fit is fast; two of them mix, two do not."""
SEED = 1


def fingerprint(program: Program, outputs: Outputs) -> dict:
    """Cycles, issued micro-operations, and a digest of every sum, square and sample.

    A program that streams samples waits for the host where the ring is full, so its cycles are left
    out.
    """
    digest = hashlib.sha256()
    for array in (outputs.sums, outputs.squares, outputs.samples):
        if array is not None:
            digest.update(np.ascontiguousarray(array, "<f8").tobytes())
    return {
        "cycles": None if program.layout.sampled_words else outputs.counters["cycles"],
        "issued": outputs.counters["issued"],
        "digest": digest.hexdigest()[:16],
    }


def demo_fingerprint(name: str, device: Device) -> dict:
    """Fingerprint of a demo row at kT = 0 on the held-out activations."""
    model = TrainedModel.load()
    recipe = DEMO_RECIPES[name](model)
    program = compile_recipe(recipe, model, device.config)
    device.load(program)
    return fingerprint(
        program, device.run(recipe_inputs(recipe, model.x_test, model.y_test), seed=SEED)
    )


def _write() -> None:
    devices = {name: open_device(f"rtl:{name}") for name in ("tiny", "reference", "wide")}
    random_programs = []
    for seed in range(RANDOM_PROGRAMS):
        program, inputs = random_program(seed)
        device = devices[program.config.name]
        device.load(program)
        random_programs.append(fingerprint(program, device.run(inputs, seed=seed)))
    demo = {name: demo_fingerprint(name, devices["reference"]) for name in DEMO_RECIPES}
    for device in devices.values():
        device.close()
    GOLDEN.write_text(
        json.dumps({"demo": demo, "random_programs": random_programs}, indent=1) + "\n"
    )


if __name__ == "__main__":
    _write()
