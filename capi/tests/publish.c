/*
 * What the header promises, tried. Run by tests/run, which gives a connection string in CONNECTION_STR and does what is asked
 * for on standard output: "down" ends the emulator there, "up" starts it again; each is answered by a line.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hubwire.h"

#define THREADS 4
#define SENDS 25

static int checks;

#define CHECK(what)                                                              \
    do {                                                                         \
        checks++;                                                                \
        if (!(what)) {                                                           \
            char why[512] = "";                                                  \
            hubwire_last_error(why, sizeof why);                                 \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #what, why); \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

static int says(const char *words)
{
    char why[1024];
    hubwire_last_error(why, sizeof why);
    return strstr(why, words) != NULL;
}

static void ask(const char *what)
{
    char line[64];
    puts(what);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
        exit(2);
    }
}

static const char *connection_string;

static hubwire_sender *open_sender(void)
{
    hubwire_options options = HUBWIRE_OPTIONS_INIT;
    hubwire_sender *sender = NULL;
    options.send_timeout_ms = 20000;
    CHECK(hubwire_open(connection_string, "telemetry", &options, &sender) == HUBWIRE_OK);
    CHECK(sender != NULL);
    CHECK(hubwire_last_error(NULL, 0) == 0);
    return sender;
}

static void opening(void)
{
    hubwire_sender *sender = (hubwire_sender *)1;
    hubwire_options options = HUBWIRE_OPTIONS_INIT;
    hubwire_outcome outcome;
    char cut[8];

    CHECK(hubwire_open(NULL, "telemetry", NULL, &sender) == HUBWIRE_INVALID && sender == NULL);
    CHECK(says("connection_string is NULL"));
    CHECK(hubwire_open(connection_string, "telemetry", NULL, NULL) == HUBWIRE_INVALID);
    CHECK(hubwire_open("\xff", "telemetry", NULL, &sender) == HUBWIRE_INVALID && says("connection_string is not UTF-8"));
    options.size = 3;
    CHECK(hubwire_open(connection_string, "telemetry", &options, &sender) == HUBWIRE_INVALID && says("options.size"));

    CHECK(hubwire_open("Endpoint=sb://h;SharedAccessKey=hunter2", NULL, NULL, &sender) == HUBWIRE_REFUSED);
    CHECK(!says("hunter2") && says("SharedAccessKeyName"));
    /* As much as fits, and a NUL; and how much there is. */
    CHECK(hubwire_last_error(cut, sizeof cut) > sizeof cut && strlen(cut) == sizeof cut - 1);
    CHECK(hubwire_last_error(cut, 1) > 0 && cut[0] == '\0');

    CHECK(hubwire_open(connection_string, NULL, NULL, &sender) == HUBWIRE_REFUSED && sender == NULL);
    CHECK(hubwire_open(connection_string, "nowhere", NULL, &sender) == HUBWIRE_REFUSED);
    hubwire_last_outcome(&outcome);
    CHECK(outcome.result == HUBWIRE_REFUSED && !outcome.is_retryable);
    CHECK(hubwire_open("Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true",
                       "telemetry", NULL, &sender) == HUBWIRE_UNREACHABLE);
    hubwire_last_outcome(&outcome);
    CHECK(outcome.result == HUBWIRE_UNREACHABLE && outcome.is_retryable);
    CHECK(strcmp(hubwire_version(), "0.1.0") == 0);
}

static void one_event(void)
{
    hubwire_sender *sender = open_sender();
    hubwire_outcome outcome;
    char *large = calloc(1, 1 << 20);

    CHECK(hubwire_send(sender, "first event", 11) == HUBWIRE_OK);
    hubwire_last_outcome(&outcome);
    CHECK(outcome.result == HUBWIRE_OK && outcome.events == 1 && outcome.bytes == 21);
    CHECK(hubwire_send(sender, NULL, 0) == HUBWIRE_OK);
    CHECK(hubwire_send(sender, NULL, 1) == HUBWIRE_INVALID);
    CHECK(hubwire_send(NULL, "x", 1) == HUBWIRE_INVALID && says("sender is NULL"));
    CHECK(hubwire_send(sender, large, 1 << 20) == HUBWIRE_TOO_LARGE);
    free(large);
    hubwire_close(sender);
    hubwire_close(NULL);
}

static void batches(void)
{
    hubwire_sender *sender = open_sender();
    hubwire_batch *batch = NULL;
    hubwire_outcome outcome;
    char body[1000];
    size_t count = 0;

    memset(body, 'x', sizeof body);
    CHECK(hubwire_batch_new(sender, "", &batch) == HUBWIRE_INVALID && batch == NULL);
    CHECK(hubwire_batch_new(sender, "device-42", &batch) == HUBWIRE_OK);
    CHECK(hubwire_batch_add(batch, body, 10) == HUBWIRE_OK && hubwire_batch_count(batch) == 1);
    CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_OK && hubwire_batch_count(batch) == 0);
    hubwire_batch_free(batch);

    CHECK(hubwire_batch_new(sender, NULL, &batch) == HUBWIRE_OK && hubwire_batch_size(batch) == 0);
    CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_NOT_SENT && says("the batch is empty"));
    while (hubwire_batch_add(batch, body, sizeof body) == HUBWIRE_OK) {
        count++;
    }
    hubwire_last_outcome(&outcome);
    CHECK(outcome.result == HUBWIRE_FULL && count == 1032 && hubwire_batch_count(batch) == count);
    CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_OK);
    hubwire_last_outcome(&outcome);
    CHECK(outcome.events == count && outcome.bytes == count * 1016);
    CHECK(hubwire_batch_add(batch, body, sizeof body) == HUBWIRE_OK);
    hubwire_batch_clear(batch);
    CHECK(hubwire_batch_count(batch) == 0 && hubwire_batch_count(NULL) == 0 && hubwire_batch_size(NULL) == 0);
    hubwire_batch_clear(NULL);
    /* A batch outlives its sender. */
    hubwire_close(sender);
    CHECK(hubwire_batch_add(batch, "later", 5) == HUBWIRE_OK);
    sender = open_sender();
    CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_OK);
    hubwire_close(sender);
    hubwire_batch_free(batch);
    hubwire_batch_free(NULL);
}

/* The emulator rejects the fourth message on this hub, once. */
static void a_refusal(void)
{
    hubwire_sender *sender = NULL;
    hubwire_outcome outcome;
    char condition[64];
    int number;

    CHECK(hubwire_open(connection_string, "refusing", NULL, &sender) == HUBWIRE_OK);
    for (number = 1; number < 4; number++) {
        CHECK(hubwire_send(sender, "x", 1) == HUBWIRE_OK);
    }
    CHECK(hubwire_send(sender, "x", 1) == HUBWIRE_REJECTED && says("not today"));
    CHECK(hubwire_last_condition(condition, sizeof condition) == strlen("amqp:not-allowed"));
    CHECK(strcmp(condition, "amqp:not-allowed") == 0);
    hubwire_last_outcome(&outcome);
    CHECK(outcome.result == HUBWIRE_REJECTED && !outcome.is_retryable && outcome.events == 1);
    CHECK(hubwire_send(sender, "x", 1) == HUBWIRE_OK && hubwire_last_condition(condition, sizeof condition) == 0);
    hubwire_close(sender);
}

static void *sends(void *sender)
{
    int number;
    for (number = 0; number < SENDS; number++) {
        CHECK(hubwire_send(sender, "shared", 6) == HUBWIRE_OK);
    }
    return NULL;
}

static void threads(void)
{
    hubwire_sender *sender = open_sender();
    pthread_t all[THREADS];
    int number;

    for (number = 0; number < THREADS; number++) {
        CHECK(pthread_create(&all[number], NULL, sends, sender) == 0);
    }
    for (number = 0; number < THREADS; number++) {
        CHECK(pthread_join(all[number], NULL) == 0);
    }
    hubwire_close(sender);
}

static volatile int breaks;

/* In the place of the system's: what a socket whose peer has gone does, when it is asked for. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    if (breaks) {
        breaks = 0;
        raise(SIGPIPE);
        errno = EPIPE;
        return -1;
    }
    return syscall(SYS_writev, fd, pieces, count);
}

/* With SIGPIPE as it is by default, which ends a process. Nothing had left: the event goes over the next connection. */
static void a_pipe_that_breaks(void)
{
    hubwire_sender *sender = open_sender();
    sigset_t pending;

    breaks = 1;
    CHECK(hubwire_send(sender, "through", 7) == HUBWIRE_OK && !breaks);
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGPIPE));
    hubwire_close(sender);
}

/* With SIGPIPE as it is by default: a host that does nothing about it must live. */
static void a_hub_that_goes_and_comes(void)
{
    hubwire_sender *sender = open_sender();
    hubwire_batch *batch = NULL;
    hubwire_outcome outcome;
    int round;

    CHECK(hubwire_batch_new(sender, NULL, &batch) == HUBWIRE_OK);
    CHECK(hubwire_send(sender, "before", 6) == HUBWIRE_OK);
    for (round = 0; round < 3; round++) {
        ask("down");
        CHECK(hubwire_batch_add(batch, "kept", 4) == HUBWIRE_OK);
        CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_NOT_SENT);
        hubwire_last_outcome(&outcome);
        CHECK(outcome.is_retryable && hubwire_batch_count(batch) == 1);
        ask("up");
        CHECK(hubwire_send_batch(sender, batch) == HUBWIRE_OK);
    }
    ask("down");
    hubwire_batch_free(batch);
    hubwire_close(sender);
}

int main(void)
{
    connection_string = getenv("CONNECTION_STR");
    signal(SIGPIPE, SIG_DFL);
    opening();
    one_event();
    batches();
    a_refusal();
    threads();
    a_pipe_that_breaks();
    a_hub_that_goes_and_comes();
    printf("all %d checks hold\n", checks);
    return 0;
}
