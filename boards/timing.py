# SPDX-License-Identifier: Apache-2.0
"""How fast a build is: the path that limits its clock, and by how much a clock is missed."""


def missed_mhz(routed: dict) -> float:
    """By how much the clock that misses its target most misses it; zero or less where all
    are met.
    """
    return max(
        (clock["constraint"] - clock["achieved"] for clock in routed["fmax"].values()), default=0.0
    )


def critical_path(routed: dict) -> dict | None:
    """The slowest path within one clock domain of the file that nextpnr's ``--report`` writes; None
    without one.

    ``start`` and ``end`` name cells, ``levels`` counts the lookup tables and other logic between
    them, ``logic_ns`` holds clock-to-output and set-up times too, ``routing_ns`` the wires.
    """

    def total(path, *kinds):
        return sum(part["delay"] for part in path if part["type"] in kinds)

    paths = [
        entry["path"]
        for entry in routed["critical_paths"]
        if entry["from"] == entry["to"] and entry["path"]
    ]
    if not paths:
        return None
    path = max(paths, key=lambda parts: sum(part["delay"] for part in parts))
    return {
        "start": path[0]["from"]["cell"],
        "end": path[-1]["to"]["cell"],
        "levels": sum(part["type"] == "logic" for part in path),
        "logic_ns": round(total(path, "clk-to-q", "logic", "setup"), 2),
        "routing_ns": round(total(path, "routing"), 2),
    }
