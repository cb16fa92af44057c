/*
 * The guide's algorithm: {"events": ["...", "..."]} in, every event in the event hub, and a reply that says so.
 *
 * The platform starts it, asks line by line, and reads answers from /tmp/algoout. CONNECTION_STR is its secret. JSON is
 * jansson's: gcc -o algorithm algorithm.c -lhubwire -ljansson
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "hubwire.h"

static const char *connection_string;
/* Made with the first call, and kept for the next ones. */
static hubwire_sender *sender;

static json_t *failure(const char *type, const char *message)
{
    return json_pack("{s{ss ss}}", "error", "message", message, "error_type", type);
}

/* What the last call to hubwire came to. Events before it may have been accepted. */
static json_t *failed(hubwire_result result, size_t accepted)
{
    char why[1024], message[1100], condition[64];
    const char *type = "AlgorithmError";
    hubwire_outcome outcome;

    hubwire_last_outcome(&outcome);
    hubwire_last_error(why, sizeof why);
    hubwire_last_condition(condition, sizeof condition);
    if (result == HUBWIRE_TOO_LARGE || strcmp(condition, "amqp:link:message-size-exceeded") == 0) {
        type = "TooLargeError";
    } else if (strcmp(condition, "amqp:not-found") == 0) {
        type = "EntityNotFoundError";
    } else if (result == HUBWIRE_REFUSED || strcmp(condition, "amqp:unauthorized-access") == 0) {
        type = "ThirdPartyCredentialError";
    }
    snprintf(message, sizeof message, "%s (%zu events were accepted before)", why, accepted);
    if (result != HUBWIRE_TOO_LARGE && !outcome.is_retryable) {
        /* What was said no to for good is asked anew the next time: somebody may have changed something. */
        hubwire_close(sender);
        sender = NULL;
    }
    return failure(type, message);
}

/* Sends what the batch holds. */
static hubwire_result send_batch(hubwire_batch *batch, size_t *accepted, size_t *batches)
{
    size_t count = hubwire_batch_count(batch);
    hubwire_result result = hubwire_send_batch(sender, batch);
    if (result == HUBWIRE_OK) {
        *accepted += count;
        *batches += 1;
    }
    return result;
}

static json_t *publish(const json_t *events)
{
    size_t number, accepted = 0, batches = 0;
    hubwire_result result = HUBWIRE_OK;
    hubwire_batch *batch = NULL;
    const json_t *event;
    json_t *reply;

    if (sender == NULL) {
        result = hubwire_open(connection_string, getenv("EVENTHUB_NAME"), NULL, &sender);
    }
    if (result == HUBWIRE_OK) {
        result = hubwire_batch_new(sender, NULL, &batch);
    }
    for (number = 0; result == HUBWIRE_OK && number < json_array_size(events); number++) {
        event = json_array_get(events, number);
        result = hubwire_batch_add(batch, json_string_value(event), json_string_length(event));
        if (result == HUBWIRE_FULL && (result = send_batch(batch, &accepted, &batches)) == HUBWIRE_OK) {
            result = hubwire_batch_add(batch, json_string_value(event), json_string_length(event));
        }
    }
    if (result == HUBWIRE_OK && hubwire_batch_count(batch) > 0) {
        result = send_batch(batch, &accepted, &batches);
    }
    reply = result == HUBWIRE_OK ? json_pack("{s{sI sI} s{ss}}", "result", "accepted", (json_int_t)accepted, "batches",
                                             (json_int_t)batches, "metadata", "content_type", "json")
                                 : failed(result, accepted);
    hubwire_batch_free(batch);
    return reply;
}

/* Looks at all of the input before anything is connected. */
static json_t *apply(const json_t *input)
{
    const json_t *events = json_object_get(input, "events");
    char message[64];
    size_t number;

    if (!json_is_array(events)) {
        return failure("InputError", "expected {\"events\": [\"...\", \"...\"]}");
    }
    for (number = 0; number < json_array_size(events); number++) {
        if (!json_is_string(json_array_get(events, number))) {
            snprintf(message, sizeof message, "events[%zu]: expected a string", number);
            return failure("InputError", message);
        }
    }
    return publish(events);
}

static json_t *answer_to(const char *line, size_t len)
{
    json_t *request = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
    const json_t *data = json_object_get(request, "data");
    json_t *text = NULL, *answer;

    /* Text that holds the object is as good as the object. */
    if (json_is_string(data)) {
        data = text = json_loadb(json_string_value(data), json_string_length(data), JSON_ALLOW_NUL, NULL);
    }
    answer = request ? apply(data) : failure("ParsingError", "expected a request in JSON");
    json_decref(text);
    json_decref(request);
    return answer;
}

/* All in as few writes as may be, its line's end too, and closed at once: the platform reads one value, and no further. */
static void put(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    size_t len = text ? strlen(text) : 0, at = 0;
    ssize_t written = 1;
    int fifo;

    fflush(stdout);
    fifo = open("/tmp/algoout", O_WRONLY);
    if (text == NULL || fifo < 0) {
        perror("cannot answer");
        exit(EXIT_FAILURE);
    }
    text[len] = '\n';
    while (at <= len && written > 0) {
        written = write(fifo, text + at, len + 1 - at);
        at += written > 0 ? (size_t)written : 0;
    }
    close(fifo);
    free(text);
    json_decref(answer);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    connection_string = getenv("CONNECTION_STR");
    if (connection_string == NULL || *connection_string == '\0') {
        /* Never ready: that is how the platform learns of it. */
        fprintf(stderr, "set CONNECTION_STR\n");
        return EXIT_FAILURE;
    }
    /* A reader that leaves early has what it wants. */
    signal(SIGPIPE, SIG_IGN);
    puts("PIPE_INIT_COMPLETE");
    fflush(stdout);
    while ((len = getline(&line, &room, stdin)) > 0) {
        put(answer_to(line, (size_t)len));
    }
    free(line);
    hubwire_close(sender);
    return EXIT_SUCCESS;
}
