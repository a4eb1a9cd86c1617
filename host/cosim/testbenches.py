# SPDX-License-Identifier: Apache-2.0
"""The testbenches of the gateware: what each simulates, on which fabrics, and under which tests."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib.wiring import Component

from ornstein.hdl.config import PRESETS, ConfigError, FabricConfig
from ornstein.hdl.engine.lanes import Lanes
from ornstein.hdl.engine.noise import NoiseSource
from ornstein.hdl.engine.update import Update
from ornstein.hdl.link.bridge import Bridge
from ornstein.hdl.top import Top
from ornstein.sim.cosim.programs import GRID
from ornstein.sim.cosim.programs import fabric as named_fabric
from ornstein.sim.cosim.results import CosimulationError, Outcome
from ornstein.sim.toolchain import ToolError
from ornstein.sim.waves import write_layouts

SIMULATORS = ("verilator", "icarus")

SILENCE = 4096
"""Cycles after which the simulated bridge drops an unfinished request."""


@dataclass(frozen=True, kw_only=True)
class Testbench:
    """A component of the gateware and the cocotb module that tests it.

    Attributes
    ----------
    name : what users call it
    about : what its tests show
    module : dotted name of the cocotb module
    component : makes what is simulated
    fabrics : those on which its tests run, the usual one first; none for a component that every
        fabric has alike
    """

    name: str
    about: str
    module: str
    component: Callable[[FabricConfig], Component]
    fabrics: tuple[str, ...] = ()

    def choose_fabric(self, name: str | None, *, own: bool = False) -> str | None:
        """Returns the fabric to build: the named one, or the usual one.

        Raises ConfigError if the tests do not run on it; with ``own``, tests of the user's, any
        preset will do.
        """
        if name is None or not self.fabrics:
            return next(iter(self.fabrics), None)
        known = dict.fromkeys([*self.fabrics, *(PRESETS if own else ())])
        if name not in known:
            raise ConfigError(
                f"testbench {self.name} does not run on fabric {name!r}; it runs on "
                f"{', '.join(known)}"
                + ("" if own else ", and on every preset with tests of your own")
            )
        return name


TESTBENCHES = {
    bench.name: bench
    for bench in (
        Testbench(
            name="noise",
            about="draws equal the integer model, and their moments are those of the three-point "
            "variable",
            module="ornstein.sim.cosim.cocotb_noise",
            component=lambda config: NoiseSource(),
        ),
        Testbench(
            name="update",
            about="passes equal the integer model, unit by unit",
            module="ornstein.sim.cosim.cocotb_update",
            component=Update,
            fabrics=("tiny", "reference", "icebreaker", "bitsy", "hx8k"),
        ),
        Testbench(
            name="lanes",
            about="inner loops of all operations equal sums of plain integers, in the right cycles",
            module="ornstein.sim.cosim.cocotb_lanes",
            component=Lanes,
            fabrics=(*sorted(PRESETS, key=lambda name: name != "tiny"), GRID.name),
        ),
        Testbench(
            name="link",
            about="the host's link reads and writes through damaged bytes, refusals and waits",
            module="ornstein.host.cosim.cocotb_link",
            component=lambda config: Bridge(config, timeout=SILENCE),
            fabrics=tuple(sorted(PRESETS, key=lambda name: name != "tiny")),
        ),
        Testbench(
            name="top",
            about="random programs equal the integer model in every bit; the states have mean and "
            "covariance of the energy",
            module="ornstein.host.cosim.cocotb_top",
            component=Top,
            fabrics=("tiny", GRID.name),
        ),
    )
}
"""Every testbench by its name."""


def _work(fabric: str | None, simulator: str) -> dict[str, str]:
    """Returns how much the tests of the whole machine have to do.

    The equilibrium is measured on the small fabric alone; Icarus interprets, some fifty times
    slower than Verilator's compiled simulation, and runs two programs only.
    """
    if simulator == "icarus":
        return {"PROGRAMS": "2"}
    return {"PROGRAMS": "16", "STATISTICS": "1"} if fabric == "tiny" else {"PROGRAMS": "12"}


def cosimulate(
    bench: Testbench,
    *,
    folder: Path,
    fabric: str | None = None,
    simulator: str = "verilator",
    seed: int = 1,
    waves: bool = False,
    own: Path | str | None = None,
) -> Outcome:
    """Builds a testbench's component under a simulator and runs its cocotb tests.

    Parameters
    ----------
    folder : for everything that is written; each testbench, fabric and simulator has its own folder
        in it
    fabric : name of the fabric; None for the testbench's usual one
    simulator : one of :data:`SIMULATORS`
    seed : of the tests' random numbers
    waves : write the waveforms of all signals, and their layouts for viewers
    own : tests to run instead of the testbench's: see :func:`find_modules`

    Raises
    ------
    ConfigError
        The testbench cannot be built as that fabric.
    ToolError
        cocotb or the simulator is missing, or the simulation could not be built.
    CosimulationError
        There are no such tests, or the simulation ended without results.
    """
    chosen = bench.choose_fabric(fabric, own=own is not None)
    modules, folders = ([bench.module], []) if own is None else find_modules(own)
    try:
        from ornstein.sim.cosim.runner import run
    except ModuleNotFoundError as error:
        raise ToolError(
            f"the package {error.name} is missing; install it with: pip install 'ornstein[cosim]'"
        ) from error
    outcome = run(
        bench.component(named_fabric(chosen or "tiny")),
        modules=modules,
        folders=folders,
        build_dir=folder / "-".join(filter(None, (bench.name, chosen, simulator))),
        simulator=simulator,
        seed=seed,
        environment={"FABRIC": chosen or "", **_work(chosen, simulator)},
        ports_only=own is None,
        waves=waves,
    )
    if outcome.waves is not None:
        write_layouts(outcome.waves)
    return outcome


_WANTED = "give a folder of cocotb tests, a file, or the name of a module"


def find_modules(tests: Path | str) -> tuple[list[str], list[Path]]:
    """Returns the dotted names of cocotb modules, and the folders in which Python finds them.

    Parameters
    ----------
    tests : a folder of Python files, a Python file, or the dotted name of a module that can be
        imported from the present folder or is installed. Files whose names begin with ``_`` or
        ``conftest`` hold no tests.

    Raises
    ------
    CosimulationError
        There are no such tests.
    """
    path = Path(tests)
    if path.is_dir():
        files = [
            file
            for file in sorted(path.glob("*.py"))
            if not file.name.startswith(("_", "conftest"))
        ]
        if not files:
            raise CosimulationError(f"the folder {path} holds no Python file of tests; {_WANTED}")
        return _in_package(path.resolve(), [file.stem for file in files])
    if path.is_file():
        return _in_package(path.resolve().parent, [path.stem])
    if path.suffix == ".py" or len(path.parts) > 1:
        raise CosimulationError(f"there is no file or folder {path}; {_WANTED}")
    if not _importable(str(tests)):
        raise CosimulationError(f"there is no module {str(tests)!r}; {_WANTED}")
    return [str(tests)], [Path()]


def _importable(name: str) -> bool:
    """Whether a module of that name is in the present folder or installed."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of the package that it is to be in
        return False
    finally:
        sys.path.pop(0)


def _in_package(folder: Path, names: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Returns the names of modules in a folder, which may be a package, and where it is found."""
    package: list[str] = []
    while (folder / "__init__.py").exists():
        package.insert(0, folder.name)
        folder = folder.parent
    return [".".join([*package, name]) for name in names], [folder]
