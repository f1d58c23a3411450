// SPDX-License-Identifier: MIT
// The process of one model: `drover runner`, started by the front (host/) with a socket on descriptor 3 and
// the model file on 4. It shuts itself in (sandbox.h), reads the file, and serves requests until the socket
// ends. Or it answers one question about the file and ends.
#pragma once

// The process's main. 0: the front has ended it; 1: it could not go on; 2: not started by a front.
int runner_main(int argc, char **argv);
