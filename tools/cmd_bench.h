// The options of `muster bench uplink`: muster checks them and shows their help, muster-bench obeys them.
#pragma once

#include "tools/args.h"

extern const struct args_option bench_options[];
extern const struct args_option bench_revoke_options[];
extern const struct args_option bench_enroll_options[];
extern const struct args_option bench_commands_options[];
extern const struct args_option bench_dashboard_options[];
