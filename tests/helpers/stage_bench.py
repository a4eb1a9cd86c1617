# SPDX-License-Identifier: Apache-2.0
"""Runs a component of the engine beside a pipeline of random micro-operations."""

from amaranth.sim import Simulator


class StageBench:
    """Issues micro-operations into the ``stages`` of a component, one a cycle.

    Parameters
    ----------
    component : with ``stages`` and ``times``
    micros : fields of the micro-operation of each cycle, or None for a cycle without one
    """

    def __init__(self, component, micros: list):
        self._component, self._micros = component, micros

    def at(self, cycle: int, time: int):
        """The micro-operation that is at that time of the pipeline in a cycle, with its number; a
        cycle counts from the first issue into the first of the component's stages."""
        number = cycle - (time - self._component.times[0])
        if 0 <= number < len(self._micros) and self._micros[number] is not None:
            return number, self._micros[number]
        return None

    def run(self, check) -> None:
        """Calls ``check(ctx, cycle)`` in every cycle, with the stages set; fails if that does not
        end in time."""
        cycles = len(self._micros) + len(self._component.times) + 1
        ended = False

        async def bench(ctx):
            nonlocal ended
            for cycle in range(cycles):
                for time, stage in zip(self._component.times, self._component.stages, strict=True):
                    found = self.at(cycle, time)
                    ctx.set(stage.valid, found is not None)
                    ctx.set(stage.micro, found[1] if found else {})
                check(ctx, cycle)
                await ctx.tick()
            ended = True

        simulator = Simulator(self._component)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run_until(1e-6 * 2 * cycles)
        assert ended, "the bench has not ended"
