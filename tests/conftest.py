# SPDX-License-Identifier: Apache-2.0
"""Devices for the whole session: a simulator is built once, opened once, and given one program
after the other.
"""

import contextlib
import os
import sysconfig
from pathlib import Path

import pytest
from hypothesis import settings

from ornstein.hdl.config import preset
from ornstein.host.devices.device import Device, open_device
from ornstein.sim import faults
from ornstein.sim.caches import cache_folder
from ornstein.sim.rtl import library

# the same cases on every run, however slow the machine is
settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")


def _keep_compiled_files() -> None:
    """Makes Verilator's makefiles compile through ccache, where the test extra is installed: most
    of a build is Verilator's runtime, which is the same in every build.
    """
    ccache = Path(sysconfig.get_path("scripts"), "ccache")
    if "OBJCACHE" not in os.environ and ccache.exists():
        os.environ["OBJCACHE"] = str(ccache)
        os.environ["CCACHE_DIR"] = str(cache_folder() / "ccache")
        # builds in temporary folders are alike but for the folders' names
        os.environ["CCACHE_BASEDIR"], os.environ["CCACHE_NOHASHDIR"] = "/", "true"


_keep_compiled_files()


def pytest_collection_modifyitems(config, items):
    """Leaves tests of the gateware alone out of the coverage: they run nothing of host and sim, and
    Amaranth's simulator takes three times as long while coverage is measured.
    """
    if config.getoption("cov_source", None):
        gateware = Path(__file__).with_name("hdl")
        for item in items:
            if gateware in item.path.parents and not _uses_host_or_sim(item.module):
                item.add_marker("no_cover")


def _uses_host_or_sim(module) -> bool:
    """Whether a test module imports anything of the two packages."""
    origins = (
        str(getattr(value, "__module__", getattr(value, "__name__", "")))
        for value in vars(module).values()
    )
    return any(origin.startswith(("ornstein.host", "ornstein.sim")) for origin in origins)


@contextlib.contextmanager
def _alone(name: str):
    """Holds off the other workers of pytest-xdist, so that they do not all build the same
    simulator.
    """
    try:
        import fcntl
    except ImportError:  # no such lock here: building twice is only slower
        yield
        return
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def breakable():
    """Builds the simulator whose faults can be switched on, once for all workers."""
    with _alone("breakable"):
        library(faults.CONFIG, faults.LINE, faulty=True)


@pytest.fixture(scope="session")
def device():
    """``device("rtl:tiny")``: that device, opened on first use and kept until the session ends."""
    opened: dict[str, Device] = {}

    def get(uri: str) -> Device:
        if uri not in opened:
            scheme, _, fabric = uri.partition(":")
            if scheme == "rtl":
                with _alone(fabric):
                    library(preset(fabric))
            opened[uri] = open_device(uri)
        return opened[uri]

    yield get
    for held in opened.values():
        held.close()
