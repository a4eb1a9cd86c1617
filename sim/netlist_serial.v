// SPDX-License-Identifier: Apache-2.0
// What stands around the netlist of a board with a UART.

module top(input sync_clk, input rx, output tx);
  wire sync_pin = sync_clk;
  wire rx_pin = rx;
  wire tx_pin;
  assign tx = tx_pin;
  netlist netlist(/* clocks */, .uart_0__rx__io(rx_pin), .uart_0__tx__io(tx_pin));
endmodule
