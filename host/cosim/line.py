# SPDX-License-Identifier: Apache-2.0
"""What the lines of cocotb tests to a simulated device have in common."""

from cocotb.utils import get_sim_time

from ornstein.sim.transport import Transport


class SimulatedLine(Transport):
    """Streams of bytes of a device as a transport for a link in another thread.

    Time is that of the simulation, which goes on only while the link reads, so that nothing depends
    on the load of the machine. A line sends ``_outgoing`` to the device, adds what the device
    sends to ``_arrived``, and ends each read with :meth:`_taken`.
    """

    def __init__(self, dut):
        self.dut = dut
        self._outgoing = bytearray()
        self._arrived = bytearray()
        self._seconds = 0.0

    def now(self):
        return self._seconds

    def write(self, data):
        self._outgoing += data

    def close(self):
        pass

    def _taken(self):
        """Returns the bytes that have arrived, and notes the time."""
        data = bytes(self._arrived)
        self._arrived.clear()
        self._seconds = get_sim_time("sec")
        return data
