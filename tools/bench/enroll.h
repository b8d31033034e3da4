// muster bench enroll: enrolments, and heartbeats of devices that speak only HTTP, answered after COMMIT.
#pragma once

// The arguments behind "enroll". Returns the exit code.
int enroll_main(int argc, char **argv);
