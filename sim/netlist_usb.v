// SPDX-License-Identifier: Apache-2.0
// What stands around the netlist of a board with native USB.

module top(input sync_clk, usb_clk, inout d_p, inout d_n, output \pullup );
  wire sync_pin = sync_clk;
  wire usb_pin = usb_clk;
  netlist netlist(/* clocks */, .usb_0__d_p__io(d_p), .usb_0__d_n__io(d_n), .usb_0__pullup__io(\pullup ));
endmodule
