// SPDX-License-Identifier: Apache-2.0
// The Verilated top as a library: bytes in, bytes out, clock cycles run in bulk. With TRACE it writes the waveforms of
// all signals, clock cycles of 20 ns.

#include <cstddef>
#include <cstdint>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#ifdef TRACE
#include "verilated_fst_c.h"
#endif

// Verilator writes the second of two underscores as its code.
#define i_payload i___05Fpayload
#define i_valid i___05Fvalid
#define i_ready i___05Fready
#define o_payload o___05Fpayload
#define o_valid o___05Fvalid
#define o_ready o___05Fready

#ifdef TRACE
struct Rtl {
    VerilatedContext context;
    Vtop top;
    VerilatedFstC trace;
    uint64_t now = 0;
    explicit Rtl(const char* waves) : top(&context, "top") {
        context.traceEverOn(true);
        top.trace(&trace, 99);
        trace.open(waves);
        top.i_valid = 0;
        top.o_ready = 1;
        level(0);
    }
    ~Rtl() { trace.close(); }
    void level(int clk) {
        top.clk = clk;
        top.eval();
        trace.dump(now);
        now += 10;
    }
    void tick() {
        level(1);
        level(0);
    }
};
#else
void Vtop___024root___eval(Vtop___024root* root);

struct Rtl {
    VerilatedContext context;
    Vtop top;
#ifdef UPSETS
    // The upset to come, and the cycles until then; memory 0 is none.
    uint32_t memory = 0, word = 0, bit = 0;
    uint64_t left = 0;
#endif
    explicit Rtl(const char*) : top(&context, "top") {
        top.clk = 0;
        top.i_valid = 0;
        top.o_ready = 1;
        top.eval();
    }
    // Both edges clock the design, see rtl.py. After the first evaluation only the design itself is evaluated, without
    // the messages and deletions around it, of which it has none.
    void tick() {
#ifdef UPSETS
        top.upset_memory = 0;
        if (memory && left-- == 0) {
            top.upset_memory = memory;
            top.upset_word = word;
            top.upset_bit = bit;
            memory = 0;
        }
#endif
        top.clk = !top.clk;
        Vtop___024root___eval(top.rootp);
    }
};
#endif

extern "C" {

// `waves` is the FST file to write; without TRACE it is ignored.
void* rtl_open(const char* waves) { return new Rtl(waves); }

// The line's rate in force, counted from zero.
uint32_t rtl_rate(void* handle) { return static_cast<Rtl*>(handle)->top.rate; }

#ifdef FAULTS
void rtl_fault(void* handle, uint32_t fault) { static_cast<Rtl*>(handle)->top.fault = fault; }
#endif

#ifdef UPSETS
// Inverts a bit of a memory after that many cycles; memory 0 forgets what was to come.
void rtl_upset(void* handle, uint32_t memory, uint32_t word, uint32_t bit, uint64_t cycles) {
    Rtl& rtl = *static_cast<Rtl*>(handle);
    rtl.memory = memory;
    rtl.word = word;
    rtl.bit = bit;
    rtl.left = cycles;
}

uint32_t rtl_upset_waits(void* handle) { return static_cast<Rtl*>(handle)->memory != 0; }
#endif

void rtl_close(void* handle) { delete static_cast<Rtl*>(handle); }

// Runs at most `cycles` cycles, offering `sent` bytes and collecting at most `room`. Stops early once all bytes are
// taken and an answer has come and been quiet for `quiet` cycles. The counts of bytes taken and given come back in
// `taken` and `given`; the cycles run are added to `elapsed`.
void rtl_run(void* handle, const uint8_t* bytes, size_t sent, size_t* taken, uint8_t* answer, size_t room,
                 size_t* given, uint64_t cycles, uint64_t quiet, uint64_t* elapsed) {
    Vtop& top = static_cast<Rtl*>(handle)->top;
    size_t in = 0, out = 0;
    uint64_t run = 0, silence = 0;
    while (run < cycles && out < room) {
        // i_ready and o_valid come from registers: they do not change with what is offered
        top.i_valid = in < sent;
        if (in < sent) top.i_payload = bytes[in];
        const bool takes = top.i_valid && top.i_ready;
        if (top.o_valid) {
            answer[out++] = top.o_payload;
            silence = 0;
        } else {
            ++silence;
        }
        static_cast<Rtl*>(handle)->tick();
        ++run;
        in += takes;
        if (in == sent && out && silence >= quiet) break;
    }
    *taken = in;
    *given = out;
    *elapsed += run;
}
}
