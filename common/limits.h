// Every ceiling of the system in one place, each with its reason. A ceiling that an administrator may move is
// a configuration option whose default stands here.
#pragma once

#define DEVICE_ID_MAX 63                    // as a DNS label: it is CN, user name and client id
#define PRINCIPAL_MAX 72                    // "svc." or "op." and a name of up to 63 bytes, and the terminator
#define TOPIC_MAX_BYTES 256                 // the longest of ours is 121; anything longer is foreign
#define EPOCH_MAX 36                        // a UUID in text form
#define STREAM_ID_MAX 63

#define PAYLOAD_MAX_BYTES (256 * 1024)      // one message; broker's message_size_limit is the same
#define READINGS_PER_MESSAGE_MAX 100        // a JSON array of telemetry
#define JSON_DEPTH_MAX 8                    // deeper has no use in our payloads and costs stack
#define JSON_MEMBERS_MAX 1000               // members of one object, checked for duplicates in n log n
#define METRIC_NAME_MAX 64
#define METRICS_PER_READING_MAX 200

#define JWS_MAX_BYTES (64 * 1024)           // a signed command with its parameters
#define COMMAND_ID_BYTES 37                 // UUID text and terminator
#define COMMAND_PARAMS_MAX_BYTES (32 * 1024)
#define COMMAND_RESULT_MAX_BYTES (32 * 1024)
#define COMMAND_TTL_DEFAULT_S 86400
#define COMMAND_TTL_MAX_S (30 * 86400)

#define MQTT_RECEIVE_MAXIMUM 5000           // unacknowledged messages in flight, so the largest batch
#define MQTT_KEEPALIVE_S 60                 // x 1.5 must exceed the longest stall of the database
#define MQTT_BACKOFF_BASE_MS 500
#define MQTT_BACKOFF_MAX_MS 30000

#define HTTP_BODY_MAX_BYTES (64 * 1024)     // API calls and enrolment; uploads have their own ceiling
#define HTTP_HEADERS_MAX_BYTES (16 * 1024)
#define HTTP_TIMEOUT_S 30                   // a slow or silent client is cut
#define HTTP_CONNECTIONS_MAX 2048
#define REQUEST_ID_MAX 64

#define LOG_LINE_MAX_BYTES 8192
#define CONFIG_FILE_MAX_BYTES (256 * 1024)
#define PEM_MAX_BYTES (16 * 1024)

#define OUTBOX_ROWS_MAX 100000              // agent default: a month at 30 s
#define OUTBOX_BYTES_MAX (64 * 1024 * 1024)
#define OUTBOX_IN_FLIGHT_MAX 500            // sent and not yet stored
