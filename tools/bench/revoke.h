// muster bench revoke: from a revocation's request until the device's session is cut, as the device sees it.
#pragma once

// The arguments behind "revoke". Returns the exit code.
int revoke_main(int argc, char **argv);
