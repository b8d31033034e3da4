// The agent's place in a small device's memory.
#pragma once

// Gives back what only starting and connecting needed: free heap, and the pages of program text and constants, which
// are clean and come back from the page cache when they are used again. A TLS handshake touches some 3 MB of libcrypto.
void memory_settle(void);
