# SPDX-License-Identifier: Apache-2.0
"""
The paper's pipeline
====================

The paper derives couplings from the weights of a trained U-Net and fits a digital interface of
2,560 weights, which makes biases of the encoder's activations. The mean of the decoder's units is
the answer. Beside it stand our aligned couplings, without any digital weight. ``ornstein paper``
shows all of it.
"""

import numpy as np

from ornstein import TrainedModel, compile_recipe, open_device, recipes

model = TrainedModel.load()


def r_squared(answers, targets):
    rest = np.sum((answers - targets) ** 2)
    return 1 - rest / np.sum((targets - model.y_train.mean(axis=0)) ** 2)


def answers(recipe):
    program = compile_recipe(recipe, model)
    with open_device("model") as device:
        device.load(program)
        return program.problem.decode(device.run(model.x_test).mean)


# %%

aligned = recipes.ours_aligned(model)
scores = {
    recipe.name: r_squared(answers(recipe), model.y_test)
    for recipe in (recipes.ours_full(model), aligned, aligned.without_couplings())
}
for name, score in scores.items():
    print(f"{name}: R2 = {score:.3f}")

# %%
# The control without couplings shows who does the work.

assert scores["ours, aligned skip"] > 0.9 > scores["ours, aligned skip, couplings zeroed"] + 0.5
