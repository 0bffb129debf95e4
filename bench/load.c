/*
 * load: a closed-loop load generator for one HTTP address.
 *
 *     load HOST PORT PATH REQUESTS CONNECTIONS PREFIX LIMIT_SECONDS
 *
 * It keeps CONNECTIONS keep-alive connections open. Each has one request out at a time and sends
 * the next one as soon as its answer is complete, until REQUESTS were answered or LIMIT_SECONDS
 * have passed. Every request posts one order. Order number i is a function of i alone, and its id
 * is made of PREFIX (eight hex digits) and i, so that every row can be recomputed afterwards.
 *
 * One line of JSON goes to standard output: counts, the numbers of the refused requests, the wall
 * clock's time of the first request, the seconds it took, and the latency of every answer.
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
    REQUEST_SIZE = 2048,  /* Bytes; a request is about 450. */
    ANSWER_SIZE = 65536,  /* Bytes; a longer answer counts as refused. */
    CUSTOMERS = 5000,     /* Orders are spread over so many customers: bench/work.py knows it too. */
    POLL_MS = 200         /* How often the time limit is looked at when nothing arrives. */
};

struct connection {
    int socket;
    long order;           /* The number of the order that is out, or -1. */
    double sent_at;       /* Seconds of the steady clock. */
    char request[REQUEST_SIZE];
    size_t request_length, written;
    bool blocked;         /* The socket took only a part of the request. */
    char answer[ANSWER_SIZE + 1];
    size_t answer_length;
};

static struct sockaddr_in server;
static const char *path, *prefix;
static int poller;
static long wanted, sent, answered, accepted, refused_count;
static double *latencies;  /* Seconds, in the order of arrival. */
static long *refused;      /* Numbers of the orders that were not answered with 200 or 202. */

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
    c->order = -1;
    c->answer_length = 0;
    c->blocked = false;
    watch(c, EPOLL_CTL_ADD, false);
}

static void reopen(struct connection *c)
{
    close(c->socket);
    open_connection(c);
}

/* Writes what is left of the request; the rest waits until the socket takes it. */
static void write_request(struct connection *c)
{
    while (c->written < c->request_length) {
        ssize_t n = write(c->socket, c->request + c->written, c->request_length - c->written);
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

/* Fills in the body of order number i. Its fields are what bench/work.py reads. */
static int write_order(char *to, size_t room, long i)
{
    return snprintf(to, room,
        "{\"order\":\"%s-0000-4000-8000-%012lx\",\"customer\":\"customer-%ld\",\"amount\":%ld,"
        "\"placed_at\":\"2026-11-20T12:00:00Z\",\"name\":\"Ada Lovelace\","
        "\"items\":[{\"sku\":\"A-1\",\"quantity\":2},{\"sku\":\"B-22\",\"quantity\":1}],"
        "\"note\":\"Please leave the parcel with the neighbours, second door on the left.\"}",
        prefix, i, i % CUSTOMERS, i);
}

static void send_next(struct connection *c)
{
    char body[REQUEST_SIZE / 2];
    int length;
    if (sent >= wanted) {
        c->order = -1;
        return;
    }
    c->order = sent++;
    length = write_order(body, sizeof body, c->order);
    c->request_length = snprintf(c->request, sizeof c->request,
        "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s", path, length, body);
    c->written = 0;
    c->answer_length = 0;
    c->sent_at = seconds(CLOCK_MONOTONIC);
    write_request(c);
}

static void count_answer(struct connection *c, int status)
{
    latencies[answered++] = seconds(CLOCK_MONOTONIC) - c->sent_at;
    if (status == 200 || status == 202)
        accepted++;
    else
        refused[refused_count++] = c->order;
}

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

static void lose(struct connection *c)
{
    if (c->order >= 0)
        count_answer(c, 0);
    reopen(c);
    send_next(c);
}

static void finish(struct connection *c)
{
    const char *end = strstr(c->answer, "\r\n\r\n");
    bool closing = header(c, end, "\r\nConnection: close") != NULL;
    count_answer(c, atoi(c->answer + strlen("HTTP/1.1 ")));
    if (closing)
        reopen(c);
    send_next(c);
}

static void read_answer(struct connection *c)
{
    size_t length;
    ssize_t n = read(c->socket, c->answer + c->answer_length, ANSWER_SIZE - c->answer_length);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        lose(c);
        return;
    }
    c->answer_length += n;
    c->answer[c->answer_length] = 0;
    length = full_length(c);
    if (length && c->answer_length >= length && c->order >= 0)
        finish(c);
}

static void run(double limit)
{
    struct epoll_event events[256];
    double start = seconds(CLOCK_MONOTONIC);
    while (answered < wanted && seconds(CLOCK_MONOTONIC) - start < limit) {
        int ready = epoll_wait(poller, events, 256, POLL_MS);
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                write_request(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_answer(c);
        }
    }
}

/* An order without an answer within the limit may or may not have been accepted. */
static void count_unanswered(struct connection *all, int connections)
{
    for (int i = 0; i < connections; i++)
        if (all[i].order >= 0)
            refused[refused_count++] = all[i].order;
}

static void print_result(double started_at, double took)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"sent\":%ld,\"answered\":%ld,\"accepted\":%ld,\"started_at\":%.6f,\"seconds\":%.6f,",
        sent, answered, accepted, started_at, took);
    printf("\"cpu_seconds\":%.6f,\"refused\":[",
        usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        + 1e-6 * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
    for (long i = 0; i < refused_count; i++)
        printf(i ? ",%ld" : "%ld", refused[i]);
    printf("],\"latencies_us\":[");
    for (long i = 0; i < answered; i++)
        printf(i ? ",%.0f" : "%.0f", latencies[i] * 1e6);
    printf("]}\n");
}

int main(int count, char **argument)
{
    struct connection *all;
    double started_at, start, took;
    int connections;
    if (count != 8)
        die("usage: load HOST PORT PATH REQUESTS CONNECTIONS PREFIX LIMIT_SECONDS");
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(argument[2]));
    if (inet_pton(AF_INET, argument[1], &server.sin_addr) != 1)
        die("not an IPv4 address: %s", argument[1]);
    path = argument[3];
    wanted = atol(argument[4]);
    connections = atoi(argument[5]);
    prefix = argument[6];
    if (wanted < 1 || connections < 1)
        die("REQUESTS and CONNECTIONS are positive numbers");

    poller = epoll_create1(0);
    latencies = calloc(wanted, sizeof *latencies);
    refused = calloc(wanted + connections, sizeof *refused);
    all = calloc(connections, sizeof *all);
    if (poller < 0 || !latencies || !refused || !all)
        die("%s", strerror(errno));
    for (int i = 0; i < connections; i++)
        open_connection(&all[i]);

    started_at = seconds(CLOCK_REALTIME);
    start = seconds(CLOCK_MONOTONIC);
    for (int i = 0; i < connections; i++)
        send_next(&all[i]);
    run(atof(argument[7]));
    took = seconds(CLOCK_MONOTONIC) - start;
    count_unanswered(all, connections);
    print_result(started_at, took);
    return 0;
}
