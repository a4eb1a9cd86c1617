// SPDX-License-Identifier: Apache-2.0
// What is Verilated behind native USB as a library: line states in, line states out, a sample every 1/48 us.
// With CROSSED USB has a clock of its own, and the streams' clock has that many edges in a cycle of it. With PADS it is a
// netlist, pins included: they are sampled and driven at every edge of USB's clock.

#include <cstddef>
#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

namespace {
constexpr int SAMPLES = 2;           // in a cycle of the device's clock
constexpr int DELAY_IN = 2, DELAY_OUT = 2;  // cycles that an iCE40's pins take: registers in and out
constexpr int64_t SAMPLE = 1000;     // unit of the host's time: a sample's thousandth
constexpr uint8_t D_P = 1, D_N = 2, J = D_P;

// The last states of a wire pair, a cycle each.
template <int CYCLES>
struct Delay {
    uint8_t held[CYCLES][SAMPLES];
    void push(const uint8_t* samples) {
        for (int n = CYCLES - 1; n > 0; --n)
            for (int s = 0; s < SAMPLES; ++s) held[n][s] = held[n - 1][s];
        for (int s = 0; s < SAMPLES; ++s) held[0][s] = samples[s];
    }
    const uint8_t* oldest() const { return held[CYCLES - 1]; }
};
}  // namespace

struct Usb {
    VerilatedContext context;
    Vtop top;
    Delay<DELAY_IN> in;
    Delay<DELAY_OUT> out;            // with the driver's enable where D_P and D_N leave room
    uint8_t line[SAMPLES];
    int sample = 0;                  // of the cycle
    int64_t now = 0, edge = 0;       // the present sample, and the start of the host's next bit
    int64_t bit = 4 * SAMPLE, jitter = 0;
    uint32_t noise = 1;
    size_t silence = 0;              // samples between the host's last bit and the last answer
    static constexpr uint8_t DRIVEN = 4;

    Usb() : top(&context, "top") {
        for (int s = 0; s < SAMPLES; ++s) line[s] = J;
        for (int n = 0; n < DELAY_IN; ++n) in.push(line);
        for (int n = 0; n < DELAY_OUT; ++n) out.push(line);
        top.sync_clk = 0;
#ifdef CROSSED
        top.usb_clk = 0;
#endif
        top.eval();
    }
#ifdef PADS
    // What the device drives in the present sample, or 0 there.
    uint8_t driven() const {
        return top.d_p__en ? DRIVEN | (top.d_p__out ? D_P : 0) | (top.d_n__out ? D_N : 0) : 0;
    }
    // Half a cycle of USB's clock.
#ifdef CROSSED
    unsigned units = 0;              // of time: a sample has CROSSED of them, and sync_clk an edge after every SAMPLES
    void half_cycle() {
        top.usb_clk = !top.usb_clk;
        for (int n = 0; n < CROSSED; ++n, ++units) {
            const bool edge = units % SAMPLES == 0;
            if (edge) top.sync_clk = !top.sync_clk;
            if (edge || n == 0) top.eval();
        }
    }
#else
    void half_cycle() {
        top.sync_clk = !top.sync_clk;
        top.eval();
    }
#endif
    void step(uint8_t host) {
        const uint8_t state = driven() & DRIVEN ? driven() : host;
        top.d_p = state & D_P ? 1 : 0;
        top.d_n = state & D_N ? 1 : 0;
        top.eval();
        half_cycle();
        now += SAMPLE;
    }
#else
    void clock() {
#ifdef CROSSED
        top.usb_clk = 1;
        for (int cycle = 0; cycle < CROSSED / 2; ++cycle) {
            if (cycle == CROSSED / 4) top.usb_clk = 0;
            top.sync_clk = 1;
            top.eval();
            top.sync_clk = 0;
            top.eval();
        }
#else
        top.sync_clk = 1;
        top.eval();
        top.sync_clk = 0;
        top.eval();
#endif
    }
    // What the device drives in the present sample, or 0 there.
    uint8_t driven() const { return out.oldest()[sample]; }
    void step(uint8_t host) {
        line[sample] = driven() & DRIVEN ? driven() & (D_P | D_N) : host;
        now += SAMPLE;
        if (++sample < SAMPLES) return;
        sample = 0;
        const uint8_t* seen = in.oldest();
        top.d_p_i = (seen[0] & D_P ? 1 : 0) | (seen[1] & D_P ? 2 : 0);
        top.d_n_i = (seen[0] & D_N ? 1 : 0) | (seen[1] & D_N ? 2 : 0);
        top.eval();
        uint8_t drives[SAMPLES];
        for (int s = 0; s < SAMPLES; ++s)
            drives[s] = (top.oe ? DRIVEN : 0) | (top.d_p_o >> s & 1 ? D_P : 0) | (top.d_n_o >> s & 1 ? D_N : 0);
        in.push(line);
        out.push(drives);
        clock();
    }
#endif
    // An edge of the host may come early or late by up to `jitter`.
    int64_t unsteady() {
        noise = noise * 1664525u + 1013904223u;
        return jitter ? static_cast<int64_t>(noise >> 8) % (2 * jitter + 1) - jitter : 0;
    }
};

extern "C" {

void* usb_open() { return new Usb; }

void usb_close(void* handle) { delete static_cast<Usb*>(handle); }

int usb_pulls_up(void* handle) { return static_cast<Usb*>(handle)->top.pullup; }

// How long the host's bits are, in thousandths of a sample, and by how much each edge may be off.
void usb_clock(void* handle, uint32_t bit, uint32_t jitter) {
    static_cast<Usb*>(handle)->bit = bit;
    static_cast<Usb*>(handle)->jitter = jitter;
}

size_t usb_silence(void* handle) { return static_cast<Usb*>(handle)->silence; }

// Drives `bits` line states for a bit's time each and then J, for at most `patience` bit times, until the device
// drives the line. What it drives comes back, a sample each 1/48 us, at most `room` of them; the return value is their
// number.
size_t usb_exchange(void* handle, const uint8_t* states, size_t bits, size_t patience, uint8_t* samples, size_t room) {
    Usb& usb = *static_cast<Usb*>(handle);
    if (usb.edge < usb.now) usb.edge = usb.now;
    for (size_t n = 0; n < bits; ++n) {
        usb.edge += usb.bit;
        for (int64_t end = usb.edge + usb.unsteady(); usb.now < end;) usb.step(states[n]);
    }
    size_t count = 0, silence = 0;
    for (const int64_t end = usb.now + static_cast<int64_t>(patience) * usb.bit;;) {
        const uint8_t driven = usb.driven();
        if (driven & Usb::DRIVEN) {
            if (!count) usb.silence = silence;
            if (count < room) samples[count++] = driven & (D_P | D_N);
        } else if (count || usb.now >= end) {
            return count;
        } else {
            ++silence;
        }
        usb.step(J);
    }
}

}  // extern "C"
