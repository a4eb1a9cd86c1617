# SPDX-License-Identifier: Apache-2.0
"""The stored untrained network is the one that its seed makes."""

import numpy as np
import pytest


def test_the_stored_network_is_the_one_its_seed_makes(untrained):
    pytest.importorskip("torch")
    from ornstein.host.experiments.paper.untrained import make_net, script_signs, square_weight

    net = make_net()
    weights = {name: square_weight(getattr(net, name).conv1.weight) for name in ("e1", "d1")}
    np.testing.assert_array_equal(weights["e1"], untrained.model.W_enc)
    np.testing.assert_array_equal(weights["d1"], untrained.model.W_dec)
    np.testing.assert_array_equal(script_signs(weights), untrained.signs)
