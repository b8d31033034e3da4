// The receiving end of the sd_notify(3) protocol: datagrams from the parts, each with the kernel's word on who sent it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <sys/types.h>

// Makes the socket at path and puts it into NOTIFY_SOCKET of this process and its children. -1 on failure.
int notify_open(const char *path, struct error *error) must_check;
// The next datagram: its sender, and whether it says READY=1. False when there is none.
bool notify_next(int fd, pid_t *sender, bool *ready) must_check;
