// SPDX-License-Identifier: Apache-2.0
// A netlist as a library: bits of a serial line in, bits out, clock cycles run in bulk. Eight data bits, no parity.

#include <cstddef>
#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

struct Netlist {
    VerilatedContext context;
    Vtop top;
    uint16_t sending = 0;     // bits to come on rx, the lowest first; above them a one that ends them
    uint32_t send_timer = 0;  // cycles left of the bit on rx
    uint16_t taken = 0;       // samples of tx, the latest highest
    uint32_t taking = 0;      // samples to come
    uint32_t take_timer = 0;  // cycles to the next one
    Netlist() : top(&context, "top") {
        top.sync_clk = 0;
        top.rx = 1;
        top.eval();
    }
    void tick() {
        top.sync_clk = 1;
        top.eval();
        top.sync_clk = 0;
        top.eval();
    }
};

extern "C" {

void* netlist_open() { return new Netlist; }

void netlist_close(void* handle) { delete static_cast<Netlist*>(handle); }

// Runs at most `cycles` cycles, sending `sent` bytes and collecting at most `room`, `divisor` cycles a bit. Stops early
// once all bytes are sent and an answer has come and the line been quiet for `quiet` bits. A byte that does not end in
// a stop bit is dropped. The counts of bytes taken and given come back in `taken` and `given`; the return value is the
// number of cycles run.
uint64_t netlist_run(void* handle, uint32_t divisor, const uint8_t* bytes, size_t sent, size_t* taken, uint8_t* answer,
                     size_t room, size_t* given, uint64_t cycles, uint64_t quiet) {
    Netlist& n = *static_cast<Netlist*>(handle);
    size_t in = 0, out = 0;
    uint64_t run = 0, silence = 0;
    while (run < cycles && out < room) {
        if (n.send_timer) {
            --n.send_timer;
        } else if (n.sending > 1) {
            n.top.rx = n.sending & 1;
            n.sending >>= 1;
            n.send_timer = divisor - 1;
        } else if (in < sent) {
            n.sending = 0x600 | bytes[in++] << 1;  // stop bit, byte, start bit
            n.top.rx = 0;
            n.sending >>= 1;
            n.send_timer = divisor - 1;
        }
        n.tick();
        ++run;
        ++silence;
        if (!n.taking) {
            if (!n.top.tx) {
                n.taking = 10;
                n.take_timer = divisor / 2;
            }
        } else if (n.take_timer) {
            --n.take_timer;
        } else {
            n.taken = n.taken >> 1 | n.top.tx << 9;
            n.take_timer = divisor - 1;
            if (!--n.taking && n.top.tx) {
                answer[out++] = n.taken >> 1;
                silence = 0;
            }
        }
        if (n.taking) silence = 0;
        if (in == sent && n.sending <= 1 && !n.send_timer && out && silence >= quiet * divisor) break;
    }
    *taken = in;
    *given = out;
    return run;
}
}
