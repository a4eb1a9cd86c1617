// SPDX-License-Identifier: Apache-2.0
`timescale 1ps / 1ps
`define NO_INCLUDES // by Yosys's models, which follow these
// Cells of an ECP5 netlist for which Yosys brings no simulation model, or none that fits.
//
// Sources: Lattice, "ECP5 Memory Usage Guide" FPGA-TN-02204 and "ECP5 sysDSP Usage Guide" FPGA-TN-02205; where those
// leave pins open, Yosys's description of the block RAM in share/lattice/brams_16kd.txt and brams_map_16kd.v, which
// Project Trellis has tried out. A model has the modes that the boards' builds use and tests/sim/test_cells_ecp5.py tests.
// Any other mode asks for a module that does not exist, or sets a parameter that the model lacks; either way no simulator
// is built.

// A block RAM of 1,024 words of 18 bits, each of two bytes of 9 bits; zero at first. Its ports have no output registers,
// and their resets are not used.
//
// A port of 2 bits leaves the ninth bits of the bytes out. A port of 18 bits has byte enables in place of the lowest
// address bits. With 36 bits, port A only writes and port B only reads: the data pins of both carry the data, and an even
// word is the lower half. A port that writes reads the old word (READBEFOREWRITE) or keeps what it has read (NORMAL).
//
// What a port reads is unknown where the other writes it in the same cycle. There the inverse of what is written is read,
// so that a design that relies on the old or the new word is found out.
module DP16KD #(
  parameter DATA_WIDTH_A = 18, parameter DATA_WIDTH_B = 18, parameter REGMODE_A = "NOREG", parameter REGMODE_B = "NOREG",
  parameter WRITEMODE_A = "NORMAL", parameter WRITEMODE_B = "NORMAL", parameter CSDECODE_A = "0b000",
  parameter CSDECODE_B = "0b000", parameter CLKAMUX = "CLKA", parameter CLKBMUX = "CLKB", parameter RESETMODE = "SYNC",
  parameter ASYNC_RESET_RELEASE = "SYNC", parameter GSR = "ENABLED"
) (
  input [17:0] DIA, DIB, input [13:0] ADA, ADB, input [2:0] CSA, CSB,
  input CEA, OCEA, CLKA, WEA, RSTA, CEB, OCEB, CLKB, WEB, RSTB,
  output [17:0] DOA, DOB
);
  localparam WIDE = DATA_WIDTH_A == 36;

  generate
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG" || CSDECODE_A != "0b000" || CSDECODE_B != "0b000"
        || CLKAMUX != "CLKA" || CLKBMUX != "CLKB" || WIDE != (DATA_WIDTH_B == 36)
        || !(DATA_WIDTH_A inside {2, 9, 18, 36}) || !(DATA_WIDTH_B inside {2, 9, 18, 36})
        || !(WRITEMODE_A inside {"NORMAL", "READBEFOREWRITE"}) || !(WRITEMODE_B inside {"NORMAL", "READBEFOREWRITE"}))
      MODE_OF_DP16KD_WITHOUT_MODEL unsupported();
  endgenerate

  // the bits of a pair of words that a port writes at an address
  function automatic [35:0] mask(input integer width, input [13:0] address);
    case (width)
      2: mask = 36'h3 << 18 * address[4] + 9 * address[3] + 2 * address[2:1];
      9: mask = 36'h1ff << 18 * address[4] + 9 * address[3];
      18: mask = {18'h0, {9{address[1]}}, {9{address[0]}}} << 18 * address[4];
      default: mask = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
    endcase
  endfunction

  // data at every place of a pair of words that they may be written to
  function automatic [35:0] spread(input integer width, input [35:0] data);
    case (width)
      2: spread = {4{1'b0, {4{data[1:0]}}}};
      9: spread = {4{data[8:0]}};
      18: spread = {2{data[17:0]}};
      default: spread = data;
    endcase
  endfunction

  // the part of a pair of words that a port reads at an address
  function automatic [35:0] part(input integer width, input [13:0] address, input [35:0] pair);
    case (width)
      2: part = pair >> 18 * address[4] + 9 * address[3] + 2 * address[2:1] & 36'h3;
      9: part = pair >> 18 * address[4] + 9 * address[3] & 36'h1ff;
      18: part = pair >> 18 * address[4] & 36'h3ffff;
      default: part = pair;
    endcase
  endfunction

  reg [35:0] pairs [0:511];
  integer pair;
  initial for (pair = 0; pair < 512; pair = pair + 1) pairs[pair] = 0;

  wire clocked_a = CEA && CSA == 0, clocked_b = CEB && CSB == 0;
  wire [35:0] mask_a = clocked_a && WEA ? mask(DATA_WIDTH_A, ADA) : 36'h0;
  wire [35:0] mask_b = clocked_b && WEB && !WIDE ? mask(DATA_WIDTH_B, ADB) : 36'h0;
  wire [35:0] data_a = spread(DATA_WIDTH_A, {DIB, DIA}), data_b = spread(DATA_WIDTH_B, {18'h0, DIB});
  wire same = ADA[13:5] == ADB[13:5] && CLKA == CLKB; // clocks that rise together are both high behind the edge

  reg [35:0] read_a = 0, read_b = 0;
  always @(posedge CLKA) begin
    if (clocked_a && !(WEA && WRITEMODE_A == "NORMAL"))
      read_a <= part(DATA_WIDTH_A, ADA, pairs[ADA[13:5]] & ~(same ? mask_b : 36'h0) | ~data_b & (same ? mask_b : 36'h0));
    if (mask_a != 0) pairs[ADA[13:5]] <= pairs[ADA[13:5]] & ~mask_a | data_a & mask_a;
  end
  always @(posedge CLKB) begin
    if (clocked_b && !(WEB && WRITEMODE_B == "NORMAL"))
      read_b <= part(DATA_WIDTH_B, ADB, pairs[ADB[13:5]] & ~(same ? mask_a : 36'h0) | ~data_a & (same ? mask_a : 36'h0));
    if (mask_b != 0) pairs[ADB[13:5]] <= pairs[ADB[13:5]] & ~mask_b | data_b & mask_b;
  end
  assign DOA = WIDE ? read_b[17:0] : read_a[17:0];
  assign DOB = WIDE ? read_b[35:18] : read_b[17:0];
endmodule

// A multiplier of two signed or unsigned factors of 18 bits, with a register for each factor and for the product, all on
// CLK0. Their signs may not change while it works.
module MULT18X18D #(
  parameter REG_INPUTA_CLK = "NONE", parameter REG_INPUTB_CLK = "NONE", parameter REG_OUTPUT_CLK = "NONE",
  parameter RESETMODE = "SYNC", parameter GSR = "ENABLED"
) (
  input [17:0] A, B, C, input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, input [3:0] CLK, CE, RST,
  output [35:0] P
);
  generate
    if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_OUTPUT_CLK != "CLK0" || RESETMODE != "SYNC")
      MODE_OF_MULT18X18D_WITHOUT_MODEL unsupported();
  endgenerate

  reg signed [18:0] a = 0, b = 0; // with the sign in a bit of its own
  wire signed [37:0] product = a * b;
  reg [35:0] held = 0;
  always @(posedge CLK[0]) begin
    if (RST[0]) begin
      a <= 0;
      b <= 0;
      held <= 0;
    end else if (CE[0]) begin
      a <= {SIGNEDA & A[17], A};
      b <= {SIGNEDB & B[17], B};
      held <= product[35:0];
    end
  end
  assign P = held;
endmodule

// The global reset: it releases registers that have their initial values in the simulation anyway. GSR is nextpnr's name.
module SGSR(input GSR, CLK);
endmodule

module GSR #(parameter MODE = "ACTIVE_LOW", parameter SYNCMODE = "SYNC") (input GSR, CLK);
endmodule

// A buffer of a global clock.
module DCCA(input CLKI, CE, output CLKO);
  assign CLKO = CLKI;
endmodule

// Half a slice without its register, as nextpnr writes it: a look-up table; one bit of a carry chain; one of the four
// bits of a distributed memory; or the place of that memory's write port. Behind it is a multiplexer of two tables or, in
// the upper half, of two such multiplexers. Yosys's model drives no carry, tells the halves by a parameter that nextpnr
// does not write, and takes a memory's first contents to be in the order of its addresses.
module TRELLIS_COMB #(
  parameter MODE = "LOGIC", parameter [15:0] INITVAL = 0, parameter CCU2_INJECT1 = "NO", parameter WREMUX = "WRE",
  parameter WCKMUX = "WCK", parameter UPPER = 0
) (
  input A, B, C, D, M, FCI, F1, FXA, FXB, WD, WAD0, WAD1, WAD2, WAD3, WRE, WCK, output F, FCO, OFX
);
  wire table_ = INITVAL[{D, C, B, A}];
  generate
    if (MODE == "LOGIC") begin
      assign F = table_;
    end else if (MODE == "CCU2") begin
      wire carry = CCU2_INJECT1 == "YES" ? 1'b0 : FCI, small_table = CCU2_INJECT1 == "YES" ? 1'b0 : INITVAL[{2'b0, B, A}];
      assign F = table_ ^ carry;
      assign FCO = table_ ? FCI : small_table;
    end else if (MODE == "DPRAM" && WREMUX == "WRE" && WCKMUX == "WCK") begin
      reg [15:0] memory = INITVAL; // in the order of the look-up table, which D, B, C and A address from the lowest bit on
      always @(posedge WCK) if (WRE) memory[{WAD0, WAD2, WAD1, WAD3}] <= WD;
      assign F = memory[{D, C, B, A}];
    end else if (MODE != "RAMW_BLOCK") begin
      MODE_OF_TRELLIS_COMB_WITHOUT_MODEL unsupported();
    end
  endgenerate
  assign OFX = UPPER ? (M ? FXB : FXA) : (M ? F1 : F);
endmodule

// The write port of a distributed memory: it passes address and data on.
module TRELLIS_RAMW(
  input A0, B0, C0, D0, A1, B1, C1, D1, output WADO0, WADO1, WADO2, WADO3, WDO0, WDO1, WDO2, WDO3
);
  assign {WADO3, WADO2, WADO1, WADO0} = {A0, C0, B0, D0};
  assign {WDO3, WDO2, WDO1, WDO0} = {B1, D1, A1, C1};
endmodule

// Two samples of a pin, half a cycle apart: Q0 at the rising edge, Q1 at the falling edge behind it; both come out at the
// next rising edge.
module IDDRX1F(input D, SCLK, RST, output reg Q0, Q1);
  reg rising = 0, falling = 0;
  initial {Q0, Q1} = 0;
  always @(posedge SCLK) begin
    rising <= D & ~RST;
    Q0 <= rising & ~RST;
    Q1 <= falling & ~RST;
  end
  always @(negedge SCLK) falling <= D & ~RST;
endmodule

// Two levels of a pin in a cycle: D0 while the clock is high, then D1. It has two registers more than the one that times
// the pin; Amaranth delays the output enable as much.
module ODDRX1F(input SCLK, RST, D0, D1, output Q);
  reg [1:0] early = 0, middle = 0, late = 0;
  reg second = 0;
  always @(posedge SCLK) begin
    early <= {D1, D0} & {2{~RST}};
    middle <= early & {2{~RST}};
    late <= middle & {2{~RST}};
  end
  always @(negedge SCLK) second <= late[1];
  assign Q = SCLK ? late[0] : second;
endmodule

// The registers beside a pad, as nextpnr writes them: two samples in, two levels out, and a register for the output enable.
module IOLOGIC #(parameter MODE = "NONE", parameter OUTREGMODE = "NONE") (
  input CLK, CE, LSR, PADDI, TXDATA0, TXDATA1, TSDATA0, output RXDATA0, RXDATA1, IOLDO, output reg IOLTO
);
  generate
    if (MODE != "IDDRX1_ODDRX1" || OUTREGMODE != "FF") MODE_OF_IOLOGIC_WITHOUT_MODEL unsupported();
  endgenerate
  initial IOLTO = 0;
  always @(posedge CLK) if (CE) IOLTO <= TSDATA0 & ~LSR;
  IDDRX1F in(.D(PADDI), .SCLK(CLK), .RST(LSR), .Q0(RXDATA0), .Q1(RXDATA1));
  ODDRX1F out(.SCLK(CLK), .RST(LSR), .D0(TXDATA0), .D1(TXDATA1), .Q(IOLDO));
endmodule
