// Enrolment over adb: the script for the computer to which the devices are attached.
#pragma once

#include "common/http.h"

http_handler enrollment_script_get;  // GET /api/v1/enrollment/script?os=bash|windows
http_handler enrollment_script_post; // POST /api/v1/enrollment/script {"os":..,"token":..}: with the token in it
