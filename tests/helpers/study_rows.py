# SPDX-License-Identifier: Apache-2.0
"""Rows of studies made by hand, so that what is read off them is known."""

from ornstein.host.experiments.studies.subject import IDEAL, PROGRAMS, summary


def points(axis, program, *scores, values, **more):
    """Rows of a program on an axis; each of ``scores`` holds the draws at one of ``values``."""
    return [
        {"program": program, "axis": axis, "value": value, **summary("model", list(drawn), **more)}
        for value, drawn in zip(values, scores, strict=True)
    ]


def falling_scores(axes, lost_at, **more):
    """Rows in which every program scores 1, and 0.9 from the value of each axis in ``lost_at`` on.

    The value before it, one or a factor of ten gentler, still scores 1.
    So the threshold is a tenth of the way from there to ``lost_at``.
    """
    rows = []
    for program in PROGRAMS:
        rows += points(IDEAL, program, [1.0], values=[0], **more)
        for axis, value in zip(axes, lost_at, strict=True):
            if axis.linear:
                gentle = value + 1 if axis.falling else value - 1
            else:
                gentle = 10 * value if axis.falling else value / 10
            rows += points(axis.name, program, [1.0], [0.9], values=[gentle, value], **more)
    return rows
