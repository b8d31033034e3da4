// Every ceiling of the system in one place, each with its reason. A ceiling that an administrator may move is
// a configuration option whose default stands here. Plain numbers, not products: they fit size_t and int alike.
#pragma once

#define DEVICE_ID_MAX 63                    // as a DNS label: it is CN, user name and client id
#define PRINCIPAL_MAX 72                    // "svc." or "op." and a name of up to 63 bytes, and the terminator
#define TOPIC_MAX_BYTES 256                 // the longest of ours is 121; anything longer is foreign
#define EPOCH_MAX 36                        // a UUID in text form
#define STREAM_ID_MAX 63

#define PAYLOAD_MAX_BYTES 262144            // one message; broker's message_size_limit is the same
#define READINGS_PER_MESSAGE_MAX 100        // a JSON array of telemetry
#define JSON_DEPTH_MAX 8                    // deeper has no use in our payloads and costs stack
#define JSON_MEMBERS_MAX 1000               // members of one object, checked for duplicates in n log n
#define JSON_CONTAINERS_MAX 10000           // objects and arrays of one text: "{}" is 2 bytes there and 700 in memory
#define JSON_NUMBER_MAX 256                 // digits of one number; a double has 17 that count
#define METRIC_NAME_MAX 64
#define METRICS_PER_READING_MAX 200

#define JWS_MAX_BYTES 65536                 // a signed command with its parameters
#define COMMAND_ID_BYTES 37                 // UUID text and terminator
#define COMMAND_PARAMS_MAX_BYTES 32768
#define COMMAND_RESULT_MAX_BYTES 32768
#define STREAM_COMMAND_MAX_BYTES 262144      // output of one command that a device sends; the rest is cut
#define STREAM_DATA_MAX_BYTES 65536         // text of one chunk; escaped as JSON it may be six times as long
#define STREAM_CHUNKS_MAX 65535             // of one stream
#define COMMAND_TTL_DEFAULT_S 86400
#define COMMAND_TTL_MAX_S 2592000           // 30 days

#define MQTT_RECEIVE_MAXIMUM 5000           // unacknowledged messages in flight, so the largest batch
#define MQTT_PROPERTIES_MAX 8               // user properties of a message that are looked at
#define PEER_MAX 64                         // an address: IPv6 with the name of an interface
#define MQTT_KEEPALIVE_S 60                 // a broker or client that is gone is noticed in 1.5 times this
#define MQTT_LOOK_MS 1000                   // how often a service looks whether its broker still answers
#define MQTT_LOOK_MAX_MS 1500               // of the time between two looks so much counts: lateness is our own
#define MQTT_ASK_AFTER_MS 2000              // without a word, before it is asked
#define MQTT_BACKOFF_BASE_MS 500
#define MQTT_BACKOFF_MAX_MS 30000
#define MQTT_BACKOFF_SERVICE_MAX_MS 2000    // of a service, for which all devices wait
#define MQTT_CONNECT_TIMEOUT_S 20           // TCP, TLS and CONNACK together
#define MQTT_STABLE_MS 10000                // a shorter connection does not reset the backoff

#define PG_CONNECT_TIMEOUT_S 5              // each host of a list
#define PG_ANSWER_TIMEOUT_MS 60000          // a loaded server may stall for long; a stopped one never answers
#define PG_WAITING_MS 1000                  // between two calls of pg_while_waiting
#define PG_BACKOFF_BASE_MS 200
#define PG_BACKOFF_MAX_MS 2000             // a few services: draining is to begin within 5 s of the cure
#define PG_STABLE_MS 5000                   // a shorter connection does not reset the backoff

#define LINK_KINDS_MAX 8                    // kinds of topic that the bridge listens to
#define UNACKED_MAX 20000                   // a service's messages without a PUBACK: beyond, the bridge says 503
#define UNACKED_BYTES_MAX 33554432          // and their payloads; commander takes the broker to be away

#define WORKER_QUEUE_MAX 10000              // jobs for the bridge's database thread: beyond, it says 503
#define WORKER_CHANNELS_MAX 8
#define WORKER_FRESH_MS 3000                // a database silent for longer may have revoked somebody unheard
#define CREDENTIALS_MAX 100000              // bearer credentials in the bridge's memory; the oldest makes room
#define CREDENTIAL_CHECK_MS 300000          // one in memory is looked up again, whatever was notified
#define RELAYED_MAX 20000                   // HTTP requests that wait for the COMMIT of what they brought
#define CONTACTS_MAX 100000                 // HTTP-only devices whose presence a bridge keeps

#define VERIFIER_THREADS_MAX 4              // that check signatures: PostgreSQL is what bounds more of them

#define HTTP_BODY_MAX_BYTES 65536           // API calls and enrolment; uploads have their own ceiling
#define HTTP_HEADERS_MAX_BYTES 16384
#define HTTP_TIMEOUT_S 30                   // a slow or silent client is cut
#define HTTP_CONNECTIONS_MAX 2048
#define HTTP_FIELDS_MAX 64                  // header lines of one request
#define HTTP_QUERY_MAX 64                   // name=value pairs of one query
#define HTTP_STREAM_UNSENT_MAX 262144       // a reader of server-sent events further behind is cut
#define REQUEST_ID_MAX 64

#define LOG_LINE_MAX_BYTES 8192
#define CONFIG_FILE_MAX_BYTES 262144
#define PEM_MAX_BYTES 16384
#define REVOCATIONS_MAX_BYTES 16777216      // the broker's list: some 250,000 lines

#define OUTBOX_ROWS_MAX 100000              // agent default: a month at 30 s
#define OUTBOX_BYTES_MAX 67108864           // 64 MiB
#define OUTBOX_IN_FLIGHT_MAX 500            // sent and not yet stored

#define PACKAGE_MANIFEST_MAX_BYTES 16384    // of a package of the agent
#define PACKAGE_MAX_BYTES 33554432          // the archive; ten times what it has

#define ENROLL_FAILURES_MAX 10              // failed enrolments per address and window, then 429
#define ENROLL_WINDOW_MS 60000
#define RENEWALS_MAX 10                     // renewal requests of one device and window
#define ENROLL_ADDRESSES_MAX 4096           // addresses that are remembered as failing
