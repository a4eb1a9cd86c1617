// The Verilated machine behind native USB as a library: line states in, line states out, a sample every 1/48 us.

#include <cstddef>
#include <cstdint>

#include "Vtop.h"
#include "verilated.h"

namespace {
constexpr int SAMPLES = 4;  // in a bit, cycles of usb_io; one cycle of usb
constexpr uint8_t D_P = 1, D_N = 2;
}  // namespace

struct Usb {
    VerilatedContext context;
    Vtop top;
    Usb() : top(&context, "top") {
        top.sync_clk = top.usb_io_clk = top.usb_clk = 0;
        top.d_p_i = 1;
        top.d_n_i = 0;
        top.eval();
    }
    // One cycle of usb_io: the fabric's clock falls between the edges of the other two.
    void tick(int phase, uint8_t host) {
        top.d_p_i = top.oe ? top.d_p_o : !!(host & D_P);
        top.d_n_i = top.oe ? top.d_n_o : !!(host & D_N);
        top.usb_io_clk = 1;
        top.usb_clk = phase < SAMPLES / 2;
        top.eval();
        top.sync_clk = 1;
        top.eval();
        top.usb_io_clk = 0;
        top.eval();
        top.sync_clk = 0;
        top.eval();
    }
};

extern "C" {

void* usb_open() { return new Usb; }

void usb_close(void* handle) { delete static_cast<Usb*>(handle); }

int usb_pulls_up(void* handle) { return static_cast<Usb*>(handle)->top.pullup; }

// Drives `bits` line states for a bit's time each and then J, for at most `patience` bit times, until the device
// drives the line. What it drives comes back, a sample each 1/48 us, at most `room` of them; the return value is their
// number.
size_t usb_exchange(void* handle, const uint8_t* states, size_t bits, size_t patience, uint8_t* samples, size_t room) {
    Usb& usb = *static_cast<Usb*>(handle);
    for (size_t bit = 0; bit < bits; ++bit)
        for (int phase = 0; phase < SAMPLES; ++phase) usb.tick(phase, states[bit]);
    size_t count = 0;
    for (size_t wait = 0; (wait < patience || usb.top.oe) && !(count && !usb.top.oe); ++wait)
        for (int phase = 0; phase < SAMPLES; ++phase) {
            if (usb.top.oe && count < room) samples[count++] = usb.top.d_p_o * D_P | usb.top.d_n_o * D_N;
            usb.tick(phase, D_P);
        }
    return count;
}
}
