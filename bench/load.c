/*
 * load: a load generator for one HTTP address of this machine.
 *
 *     load port=5000 path=/orders prefix=0badcafe [orders=1000] [connections=32] [batch=1] [form=array]
 *          [type=NAME] [types=1] [size=300] [rate=0] [seconds=60] [patience=60]
 *
 * Closed loop (rate=0): every connection has one request out at a time, and the next one is sent as
 * soon as its answer is complete. Open loop (rate=R): R orders per second are due, each at its planned
 * instant, whatever became of those before; latencies count from the planned instant, so that a slow
 * server cannot slow its own examination down (Tene, "How NOT to Measure Latency").
 *
 * It ends when `orders` were sent or `seconds` have passed; what is out then is waited for, `patience`
 * seconds at most. With batch=N a request carries N orders: as a JSON array (form=array) or as lines
 * of `{"type":…,"payload":…}` (form=lines). With types=N order number i is of type NAME.t(i mod N), and a
 * path ends likewise. Order number i is a function of i alone, and its id is made of `prefix` (eight hex
 * digits) and i, so that every row can be recomputed afterwards. `size` is an order's length in bytes.
 *
 * One line of JSON goes to standard output: counts, the numbers of the refused requests, the wall
 * clock's time of the start, the seconds up to the last answer, and for each request in the order of
 * sending its latency and the instant of its answer since the start (microseconds, -1 without one).
 *
 *     cc -O2 -std=gnu11 -Wall -Wextra -o load load.c
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_SIZE = 1024,     /* Bytes; the head of a request is about 120. */
    ENVELOPE_SIZE = 512,  /* Bytes around an order of `size` bytes, at the most. */
    ANSWER_SIZE = 65536,  /* Bytes; the head of an answer must fit. */
    CUSTOMERS = 5000      /* Orders are spread over so many customers: bench/work.py knows it too. */
};

/* The longest wait for something to happen, seconds: how late the end of time is noticed. */
static const double LOOK = 0.05;

struct connection {
    int socket;
    long request;         /* The number of the request that is out, or -1. */
    char *buffer;         /* Head and body of the request. */
    size_t length, written;
    bool blocked;         /* The socket took only a part of the request. */
    char answer[ANSWER_SIZE + 1];  /* The head of the answer, and what came with it. */
    size_t received;      /* Bytes of the answer, of which the body is thrown away. */
    size_t expected;      /* Bytes that the answer will have; 0 while its head is incomplete. */
};

static struct {
    int port;
    const char *path, *prefix, *form, *type;
    long orders, connections, batch, types, size;
    double rate, seconds, patience;
} options = {.form = "array", .type = "", .orders = 1000, .connections = 32, .batch = 1, .types = 1,
    .size = 300, .seconds = 60, .patience = 60};

static struct sockaddr_in server = {.sin_family = AF_INET};
static int poller;
static double start;      /* Seconds of the steady clock. */
static long requests, sent, answered, refused_count;
static double *due_at;    /* When a request was sent, or ought to have been. */
static double *answered_at;
static long *refused;     /* Numbers of the requests that were not answered with 200 or 202. */
static struct connection **idle;
static long idle_count;

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

static void *room(size_t count, size_t size)
{
    void *found = calloc(count, size);
    if (!found)
        die("%s", strerror(errno));
    return found;
}

/* ---- What is sent ---- */

/* Fills in order number i. Its fields are what bench/work.py reads; the note makes up the length. */
static size_t write_order(char *to, long i)
{
    static const char note[] = "Please leave the parcel with the neighbours, second door on the left. ";
    long length = sprintf(to,
        "{\"order\":\"%s-0000-4000-8000-%012lx\",\"customer\":\"customer-%ld\",\"amount\":%ld,"
        "\"placed_at\":\"2026-11-20T12:00:00Z\",\"name\":\"Ada Lovelace\","
        "\"items\":[{\"sku\":\"A-1\",\"quantity\":2}],\"note\":\"",
        options.prefix, i, i % CUSTOMERS, i);
    for (long k = 0; length < options.size - 2; k++)
        to[length++] = note[k % (sizeof note - 1)];
    return length + sprintf(to + length, "\"}");
}

/* Writes the number of the order's type, if there are several. */
static size_t write_type(char *to, const char *name, long i)
{
    return options.types > 1 ? sprintf(to, "%s.t%ld", name, i % options.types) : sprintf(to, "%s", name);
}

static size_t write_line(char *to, long i)
{
    char *at = to;
    at += sprintf(at, "{\"type\":\"");
    at += write_type(at, options.type, i);
    at += sprintf(at, "\",\"payload\":");
    at += write_order(at, i);
    at += sprintf(at, "}\n");
    return at - to;
}

/* Writes orders first..last-1. */
static size_t write_body(char *to, long first, long last)
{
    bool lines = !strcmp(options.form, "lines");
    char *at = to;
    if (options.batch == 1)
        return write_order(to, first);
    for (long i = first; i < last; i++) {
        if (!lines)
            *at++ = i == first ? '[' : ',';
        at += lines ? write_line(at, i) : write_order(at, i);
    }
    if (!lines)
        *at++ = ']';
    return at - to;
}

static void write_request(struct connection *c, long number)
{
    long first = number * options.batch, last = first + options.batch;
    bool lines = options.batch > 1 && !strcmp(options.form, "lines");
    char path[HEAD_SIZE / 2], *body = c->buffer + HEAD_SIZE;
    size_t length = write_body(body, first, last < options.orders ? last : options.orders);
    if (options.batch == 1)
        write_type(path, options.path, first);
    else
        strcpy(path, options.path);
    c->length = sprintf(c->buffer,
        "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\n\r\n",
        path, lines ? "x-ndjson" : "json", length);
    memmove(c->buffer + c->length, body, length);
    c->length += length;
}

/* ---- Connections ---- */

/* Asks to be told when the connection can be read and, if `writing`, when it can be written. */
static void watch(struct connection *c, int operation, bool writing)
{
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, operation, c->socket, &event);
}

static void open_connection(struct connection *c)
{
    int yes = 1;
    c->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (c->socket < 0 || connect(c->socket, (struct sockaddr *)&server, sizeof server) < 0)
        die("cannot connect: %s", strerror(errno));
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    fcntl(c->socket, F_SETFL, O_NONBLOCK);
    c->request = -1;
    c->blocked = false;
    watch(c, EPOLL_CTL_ADD, false);
    idle[idle_count++] = c;
}

/* Writes what is left of the request; the rest waits until the socket takes it. */
static void flush_request(struct connection *c)
{
    while (c->written < c->length) {
        ssize_t n = write(c->socket, c->buffer + c->written, c->length - c->written);
        if (n < 0 && errno == EAGAIN) {
            c->blocked = true;
            watch(c, EPOLL_CTL_MOD, true);
            return;
        }
        if (n <= 0)
            return;  /* The connection is broken: the next read says so and counts it. */
        c->written += n;
    }
    if (c->blocked) {
        c->blocked = false;
        watch(c, EPOLL_CTL_MOD, false);
    }
}

static void finish(struct connection *c, int status)
{
    answered_at[c->request] = now();
    answered++;
    if (status != 200 && status != 202)
        refused[refused_count++] = c->request;
    c->request = -1;
}

static void reopen(struct connection *c)
{
    close(c->socket);
    open_connection(c);
}

static void lose(struct connection *c)
{
    if (c->request < 0)
        for (long i = 0; i < idle_count; i++)
            if (idle[i] == c)
                idle[i] = idle[--idle_count];
    if (c->request >= 0)
        finish(c, 0);
    reopen(c);
}

/* ---- What is answered ---- */

/* Returns the value of a header as a string that ends at the end of its line, or NULL. */
static const char *header(const struct connection *c, const char *end, const char *name)
{
    const char *at = strcasestr(c->answer, name);
    return at && at < end ? at + strlen(name) : NULL;
}

/* Returns the answer's length in bytes, 0 while its head is incomplete. */
static size_t full_length(const struct connection *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n"), *length;
    if (!end)
        return 0;
    if (header(c, end, "\r\nTransfer-Encoding:"))
        die("the server answers in chunks, which this client does not read");
    length = header(c, end, "\r\nContent-Length:");
    return end + 4 - c->answer + (length ? strtoul(length, NULL, 10) : 0);
}

static void read_answer(struct connection *c)
{
    static char rest[ANSWER_SIZE];
    size_t left = ANSWER_SIZE - c->received;
    ssize_t n = c->expected ? read(c->socket, rest, sizeof rest) : read(c->socket, c->answer + c->received, left);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || c->request < 0) {
        lose(c);
        return;
    }
    c->received += n;
    if (!c->expected) {
        c->answer[c->received] = 0;
        c->expected = full_length(c);
    }
    if (c->expected && c->received >= c->expected) {
        bool closing = header(c, strstr(c->answer, "\r\n\r\n"), "\r\nConnection: close") != NULL;
        finish(c, atoi(c->answer + strlen("HTTP/1.1 ")));
        if (closing)
            reopen(c);
        else
            idle[idle_count++] = c;
    }
}

/* ---- The loop ---- */

/* The instant from which on a request may be sent. */
static double due(long number)
{
    return options.rate > 0 ? start + number * options.batch / options.rate : start;
}

static bool sending(void)
{
    return sent < requests && now() - start < options.seconds;
}

static void send_due(void)
{
    while (idle_count && sending() && due(sent) <= now()) {
        struct connection *c = idle[--idle_count];
        c->request = sent++;
        c->written = c->received = c->expected = 0;
        write_request(c, c->request);
        due_at[c->request] = options.rate > 0 ? due(c->request) : now();
        flush_request(c);
    }
}

static void wait_for_events(void)
{
    struct epoll_event events[256];
    double wait = sending() && idle_count ? due(sent) - now() : LOOK;
    struct timespec limit = {.tv_nsec = 1e9 * (wait < 0 ? 0 : wait < LOOK ? wait : LOOK)};
    int ready = epoll_pwait2(poller, events, 256, &limit, NULL);
    for (int i = 0; i < ready; i++) {
        struct connection *c = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            flush_request(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            read_answer(c);
    }
}

static void run(void)
{
    while (sending() || (answered < sent && now() - start < options.seconds + options.patience)) {
        send_due();
        wait_for_events();
    }
}

/* ---- What is said ---- */

static void print_instants(const char *name, bool latencies)
{
    printf(",\"%s\":[", name);
    for (long i = 0; i < sent; i++) {
        double from = latencies ? due_at[i] : start;
        printf(i ? ",%.0f" : "%.0f", answered_at[i] ? (answered_at[i] - from) * 1e6 : -1.0);
    }
    printf("]");
}

static void print_result(double started_at)
{
    struct rusage usage;
    double last = start;
    long orders = sent * options.batch;
    getrusage(RUSAGE_SELF, &usage);
    for (long i = 0; i < sent; i++) {
        if (answered_at[i] > last)
            last = answered_at[i];
        if (!answered_at[i])  /* Without an answer it may or may not have been accepted. */
            refused[refused_count++] = i;
    }
    printf("{\"sent\":%ld,\"batch\":%ld,\"started_at\":%.6f,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"refused\":[",
        orders < options.orders ? orders : options.orders, options.batch, started_at, last - start,
        usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + 1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
    for (long i = 0; i < refused_count; i++)
        printf(i ? ",%ld" : "%ld", refused[i]);
    printf("]");
    print_instants("latencies_us", true);
    print_instants("answered_us", false);
    printf("}\n");
}

static void read_options(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        char *value = strchr(words[i], '=');
        if (!value)
            die("options are name=value, not %s", words[i]);
        *value++ = 0;
        if (!strcmp(words[i], "port")) options.port = atoi(value);
        else if (!strcmp(words[i], "path")) options.path = value;
        else if (!strcmp(words[i], "prefix")) options.prefix = value;
        else if (!strcmp(words[i], "form")) options.form = value;
        else if (!strcmp(words[i], "type")) options.type = value;
        else if (!strcmp(words[i], "orders")) options.orders = atol(value);
        else if (!strcmp(words[i], "connections")) options.connections = atol(value);
        else if (!strcmp(words[i], "batch")) options.batch = atol(value);
        else if (!strcmp(words[i], "types")) options.types = atol(value);
        else if (!strcmp(words[i], "size")) options.size = atol(value);
        else if (!strcmp(words[i], "rate")) options.rate = atof(value);
        else if (!strcmp(words[i], "seconds")) options.seconds = atof(value);
        else if (!strcmp(words[i], "patience")) options.patience = atof(value);
        else die("there is no option %s", words[i]);
    }
    if (!options.port || !options.path || !options.prefix)
        die("port, path and prefix are wanted");
    if (strlen(options.path) > HEAD_SIZE / 4 || strlen(options.type) > ENVELOPE_SIZE / 8)
        die("path or type is too long");
    if (options.orders < 1 || options.connections < 1 || options.batch < 1 || options.types < 1)
        die("orders, connections, batch and types are positive numbers");
}

int main(int count, char **words)
{
    struct connection *all;
    double started_at;
    read_options(count, words);
    server.sin_port = htons(options.port);
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    requests = (options.orders + options.batch - 1) / options.batch;

    poller = epoll_create1(0);
    due_at = room(requests, sizeof *due_at);
    answered_at = room(requests, sizeof *answered_at);
    refused = room(requests, sizeof *refused);
    idle = room(options.connections, sizeof *idle);
    all = room(options.connections, sizeof *all);
    for (long i = 0; i < options.connections; i++) {
        all[i].buffer = room(1, HEAD_SIZE + options.batch * (options.size + ENVELOPE_SIZE));
        open_connection(&all[i]);
    }
    started_at = seconds(CLOCK_REALTIME);
    start = now();
    run();
    print_result(started_at);
    return 0;
}
