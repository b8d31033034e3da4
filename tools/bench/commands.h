// muster bench commands: how long a command takes from the request to the stored result, and how many go through.
#pragma once

int commands_main(int argc, char **argv);
