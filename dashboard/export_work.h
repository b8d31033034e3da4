// The thread that makes exports: one after another, over connections of its own, so that no request waits for them. Of
// several dashboards that share a database and a folder one does the work; the others stand by.
#pragma once

#include "common/error.h"
#include "dashboard/dashboard.h"

struct export_work;

// The folder is made when it is missing. Without exports.dir NULL is no error: there are no exports then.
struct export_work *export_work_new(const struct dashboard_config *config, struct error *error) must_check;
void export_work_free(struct export_work *work); // what is under way goes on after the next start
// There is something to make, or to end. NULL is fine.
void export_work_wake(struct export_work *work);

// <dir>/<id><suffix>
#define EXPORT_PATH_MAX 4200
#define EXPORT_DONE ".data"
#define EXPORT_PART ".part"
void export_path(const struct dashboard_config *config, const char *id, const char *suffix, char out[EXPORT_PATH_MAX]);
