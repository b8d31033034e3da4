// muster bench dashboard: what people wait for, with 100,000 devices and 30 days of rollups.
#pragma once

// The arguments behind "dashboard". Returns the exit code.
int dashboard_main(int argc, char **argv);
