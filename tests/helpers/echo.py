# SPDX-License-Identifier: Apache-2.0
"""A line that gives back what is written to it."""

from ornstein.sim.transport import Transport


class Echo(Transport):
    """Gives back what was written; ``closed`` is whether it was closed."""

    def __init__(self):
        self.waiting, self.closed = b"", False

    def write(self, data):
        self.waiting += data

    def read(self, timeout):
        data, self.waiting = self.waiting, b""
        return data

    def close(self):
        self.closed = True
