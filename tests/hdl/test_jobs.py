# SPDX-License-Identifier: Apache-2.0
"""Jobs: one runs, one waits, and a repeated start is ignored."""

from helpers.link_bench import simulate
from ornstein.hdl.fabric.jobs import Jobs


def session(script):
    """Runs ``script(ctx, dut, offer)``; ``offer`` writes a job for one cycle, as the bus does."""
    dut = Jobs()

    async def offer(ctx, **fields):
        ctx.set(dut.offer, fields)
        await ctx.tick()
        ctx.set(dut.offered, 1)
        await ctx.tick()
        ctx.set(dut.offered, 0)

    async def bench(ctx):
        await script(ctx, dut, offer)

    simulate(dut, bench, deadline=100)


def test_a_job_begins_in_the_next_cycle_and_keeps_its_bank():
    async def script(ctx, dut, offer):
        assert ctx.get(dut.idle)
        await offer(ctx, first=3, levels=2, reseed=1, bank=1, tag=7)
        assert ctx.get(dut.start) and not ctx.get(dut.idle)
        job = ctx.get(dut.job)
        assert (job.first, job.levels, job.reseed) == (3, 2, 1)
        await ctx.tick()
        ctx.set(dut.running, 1)
        assert ctx.get(dut.bank) and not ctx.get(dut.start)

    session(script)


def test_a_second_job_waits_for_the_end_of_the_first():
    async def script(ctx, dut, offer):
        ctx.set(dut.running, 1)
        await offer(ctx, tag=1)
        assert ctx.get(dut.status.pending) and not ctx.get(dut.start)
        ctx.set(dut.finished, 1)
        await ctx.tick()
        ctx.set(dut.finished, 0)
        ctx.set(dut.running, 0)
        assert ctx.get(dut.start) and ctx.get(dut.status.done) == 1

    session(script)


def test_a_start_with_the_last_tag_is_known_and_ignored():
    async def script(ctx, dut, offer):
        await offer(ctx, first=1, tag=5)
        await ctx.tick()
        await offer(ctx, first=2, tag=5)
        assert ctx.get(dut.known) and not ctx.get(dut.status.pending)
        assert ctx.get(dut.job.first) == 1 and ctx.get(dut.status.tag) == 5

    session(script)


def test_an_abort_drops_what_waits_and_is_held_until_the_running_job_has_ended():
    async def script(ctx, dut, offer):
        ctx.set(dut.abort, 1)
        await ctx.tick()
        ctx.set(dut.abort, 0)
        assert not ctx.get(dut.aborting)  # there was nothing to end
        ctx.set(dut.running, 1)
        await offer(ctx, tag=1)
        ctx.set(dut.abort, 1)
        await ctx.tick()
        ctx.set(dut.abort, 0)
        for _ in range(5):
            await ctx.tick()
            assert ctx.get(dut.aborting) and not ctx.get(dut.status.pending)
        ctx.set(dut.finished, 1)
        await ctx.tick()
        ctx.set(dut.finished, 0)
        ctx.set(dut.running, 0)
        assert not ctx.get(dut.aborting) and ctx.get(dut.idle)
        await offer(ctx, tag=2)
        assert ctx.get(dut.start)

    session(script)


def test_an_abort_meets_a_job_that_just_begins():
    async def script(ctx, dut, offer):
        await offer(ctx, tag=1)
        assert ctx.get(dut.start)
        ctx.set(dut.abort, 1)
        await ctx.tick()
        ctx.set(dut.abort, 0)
        ctx.set(dut.running, 1)
        await ctx.tick()
        assert ctx.get(dut.aborting)

    session(script)
