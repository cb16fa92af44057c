/*
 * hubwire for C: publish events to Azure Event Hubs over AMQP 1.0, and learn what became of every one.
 *
 *     hubwire_sender *sender;
 *     if (hubwire_open(getenv("CONNECTION_STR"), "telemetry", NULL, &sender) == HUBWIRE_OK) {
 *         hubwire_result sent = hubwire_send(sender, "first event", 11);
 *         ...
 *         hubwire_close(sender);
 *     }
 *
 * Calls block until they are done, for as long as their time allows; no thread is made. A connection is kept between calls,
 * and nothing is done for it meanwhile: a call looks at what became of it, and makes it anew, once, if it must. A process may
 * sleep or freeze between calls.
 *
 * Memory. What is passed in is the caller's, and is not needed after the call. What comes out goes into buffers of the
 * caller's. Senders and batches are made and freed here.
 *
 * Threads. A sender may be used by several threads at a time, a batch by one at a time. hubwire_close and hubwire_batch_free
 * are for the last user alone. What hubwire_last_error, hubwire_last_condition and hubwire_last_outcome tell is of the
 * calling thread's last call; these three, hubwire_batch_count, _size and _clear, and hubwire_version are none.
 *
 * Processes. A sender is not for the child of a fork: it would share the parent's socket. Open one there.
 *
 * Signals. A connection that breaks raises no SIGPIPE in the host. No handler is installed.
 *
 * Faults. No panic crosses this interface: one that happens is HUBWIRE_FAULT. Close the sender then. Pointers must be what
 * they are said to be, as ever in C; NULL is noticed.
 */
#ifndef HUBWIRE_H
#define HUBWIRE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call came to. */
typedef int32_t hubwire_result;
enum {
    /* Done. Of a send: the hub has stored it. */
    HUBWIRE_OK = 0,
    /* The hub looked at it and refused it. None of it is stored. */
    HUBWIRE_REJECTED = 1,
    /* It never left, or came back untouched: to send it again cannot duplicate. */
    HUBWIRE_NOT_SENT = 2,
    /* It left, and no outcome came: it may be stored or not. To send it again may duplicate. */
    HUBWIRE_UNKNOWN = 3,
    /* The batch is full: send it, then add the event to the next one. */
    HUBWIRE_FULL = 4,
    /* No batch can hold the event. */
    HUBWIRE_TOO_LARGE = 5,
    /* An argument is NULL where it may not be, or not what it should be. */
    HUBWIRE_INVALID = 6,
    /* The hub says no, or a setting cannot be used: change something before you try again. */
    HUBWIRE_REFUSED = 7,
    /* No connection could be made, or not in time: the same may work later. */
    HUBWIRE_UNREACHABLE = 8,
    /* A fault of hubwire's own. Of a send: what became of it is not known, and a batch is empty. */
    HUBWIRE_FAULT = 9
};

/* A connection to a namespace, and a link to one of its event hubs. */
typedef struct hubwire_sender hubwire_sender;
/* Events that are sent in one message. */
typedef struct hubwire_batch hubwire_batch;

/* How to connect. Begin with HUBWIRE_OPTIONS_INIT, or with all bytes 0 but `size`. */
typedef struct hubwire_options {
    /* sizeof(hubwire_options): later versions may know more of them. */
    size_t size;
    /* Milliseconds; 0 is the default: 30 s for connecting and as long for the link, 60 s for a send, 5 s for a goodbye. */
    uint32_t open_timeout_ms;
    uint32_t send_timeout_ms;
    uint32_t close_timeout_ms;
    /* 1: AMQP over WebSocket, which takes port 443, in a library that was built with it. */
    uint32_t websocket;
    /* Certificates to trust beside the bundled ones, PEM. NULL: none. */
    const char *ca_pem;
    /* Where to connect instead of the namespace's own host: HOST or HOST:PORT. NULL: nowhere else. */
    const char *endpoint;
    /* http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT. NULL: none. */
    const char *http_proxy;
} hubwire_options;

#define HUBWIRE_OPTIONS_INIT { sizeof(hubwire_options), 0, 0, 0, 0, NULL, NULL, NULL }

/* What this thread's last call came to. */
typedef struct hubwire_outcome {
    hubwire_result result;
    /* 1 if the same call may work later without anybody changing anything. Of HUBWIRE_UNKNOWN it may also duplicate. */
    int32_t is_retryable;
    /* Of a send: the events in the message, and its bytes. */
    uint64_t events;
    uint64_t bytes;
} hubwire_outcome;

/*
 * Connects to the namespace of `connection_string` and attaches a link to `event_hub`, or to that of the string's EntityPath
 * if it is NULL. `options` may be NULL. The text is not kept but for the key, which is wiped when the sender is closed, and
 * no message holds it.
 *
 * HUBWIRE_OK and a sender in `*sender`; else NULL there, and HUBWIRE_INVALID, HUBWIRE_REFUSED or HUBWIRE_UNREACHABLE.
 */
hubwire_result hubwire_open(const char *connection_string, const char *event_hub, const hubwire_options *options,
                            hubwire_sender **sender);

/* Sends one event, the `len` bytes at `body`, and waits for its outcome: one of the first four results. */
hubwire_result hubwire_send(hubwire_sender *sender, const void *body, size_t len);

/*
 * Makes an empty batch of the size that the hub takes. Its events go to the partition of `partition_key`, if that is not
 * NULL. It outlives its sender, and can be sent by another one.
 */
hubwire_result hubwire_batch_new(const hubwire_sender *sender, const char *partition_key, hubwire_batch **batch);

/* Adds one event. HUBWIRE_FULL and HUBWIRE_TOO_LARGE leave the batch as it was. */
hubwire_result hubwire_batch_add(hubwire_batch *batch, const void *body, size_t len);

/* Events in it, and bytes of its message. 0 for NULL. */
size_t hubwire_batch_count(const hubwire_batch *batch);
size_t hubwire_batch_size(const hubwire_batch *batch);

/* Removes every event. */
void hubwire_batch_clear(hubwire_batch *batch);

/*
 * Sends the batch and waits for its outcome: one of the first four results. After HUBWIRE_OK the batch is empty, for the next
 * events; after any other it is as it was, to be sent again or not.
 */
hubwire_result hubwire_send_batch(hubwire_sender *sender, hubwire_batch *batch);

/* Frees the batch, sent or not. NULL is nothing. */
void hubwire_batch_free(hubwire_batch *batch);

/* Says goodbye, and frees the sender, whatever becomes of the goodbye. NULL is nothing. */
void hubwire_close(hubwire_sender *sender);

/*
 * Why this thread's last call did not do what it was asked, in words that hold no secret; or the hub's error condition, e.g.
 * amqp:not-allowed. Written to `buffer` as far as it fits into `len` bytes, with a NUL at its end. The bytes of all of it
 * without the NUL; 0 if there is none. `buffer` may be NULL if `len` is 0.
 */
size_t hubwire_last_error(char *buffer, size_t len);
size_t hubwire_last_condition(char *buffer, size_t len);

/* See hubwire_outcome. */
void hubwire_last_outcome(hubwire_outcome *outcome);

/* The library's version, e.g. "0.1.0". */
const char *hubwire_version(void);

#ifdef __cplusplus
}
#endif

#endif
