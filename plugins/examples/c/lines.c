/* A log driver: records as frames in one file, which can be read back and followed. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gantry_plugin.h"

/* Before the bytes of each record. */
struct frame {
    uint64_t at;
    uint32_t len;
    uint8_t stream, flags;
    uint16_t reserved;
};

struct sink {
    int fd;
    int sync;
    uint64_t count; /* of records in the file */
    char *buffer;
    size_t room;
};

struct reader {
    int fd;
    off_t offset;
    uint64_t since, until, tail, skip; /* skip: lines before the tail */
    int follow, counted;
    char path[4096];
    uint8_t *buffer;
    size_t room;
};

static void file_of(const gantry_log_container *container, char *path, size_t len) {
    snprintf(path, len, "%s/lines.log", container->dir);
}

/* Makes room for so many bytes. */
static int grow(void *buffer, size_t *room, size_t need) {
    void **place = buffer;
    if (need <= *room)
        return 0;
    void *bigger = realloc(*place, need * 2);
    if (bigger == NULL)
        return -1;
    *place = bigger;
    *room = need * 2;
    return 0;
}

/* The frame at an offset, 0 when the file holds no whole one there. */
static int frame_at(int fd, off_t offset, off_t size, struct frame *frame) {
    if (pread(fd, frame, sizeof *frame, offset) != (ssize_t)sizeof *frame)
        return 0;
    return offset + (off_t)sizeof *frame + (off_t)frame->len <= size;
}

static off_t size_of(int fd) {
    struct stat stat;
    return fstat(fd, &stat) == 0 ? stat.st_size : 0;
}

static int open_sink(void *driver, const gantry_log_container *container, const gantry_pairs *options,
                     const gantry_resume_token *resume, void **sink, uint64_t *beyond, gantry_error *error) {
    (void)driver;
    char path[4096];
    file_of(container, path, sizeof path);
    struct sink *new = calloc(1, sizeof *new);
    if (new == NULL)
        return gantry_fail(error, GANTRY_DRIVER, "out of memory");
    new->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (new->fd < 0) {
        free(new);
        return gantry_fail_errno(error, "cannot open", path);
    }
    new->sync = strcmp(gantry_option(options, "sync", "false"), "true") == 0;
    struct frame frame;
    off_t end = 0, size = size_of(new->fd);
    for (; frame_at(new->fd, end, size, &frame); end += (off_t)sizeof frame + frame.len)
        new->count++;
    /* What a power cut left of the last record. */
    if (end < size && ftruncate(new->fd, end) < 0) {
        close(new->fd);
        free(new);
        return gantry_fail_errno(error, "cannot mend", path);
    }
    *beyond = resume != NULL && resume->words[0] <= new->count ? new->count - resume->words[0] : 0;
    *sink = new;
    return GANTRY_OK;
}

static int write_all(struct sink *sink, size_t len) {
    off_t before = size_of(sink->fd);
    for (size_t done = 0; done < len;) {
        ssize_t now = write(sink->fd, sink->buffer + done, len - done);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0) {
            int number = errno;
            if (ftruncate(sink->fd, before) == 0)
                errno = number;
            return -1;
        }
        done += (size_t)now;
    }
    return sink->sync ? fdatasync(sink->fd) : 0;
}

static int write_sink(void *its, const gantry_log_record *batch, size_t len, gantry_resume_token *token,
                      gantry_error *error) {
    struct sink *sink = its;
    size_t total = 0;
    for (size_t i = 0; i < len; i++) {
        struct frame frame = {batch[i].timestamp_ns, (uint32_t)batch[i].len, batch[i].stream, batch[i].flags, 0};
        if (grow(&sink->buffer, &sink->room, total + sizeof frame + batch[i].len) < 0)
            return gantry_fail(error, GANTRY_DRIVER, "out of memory");
        memcpy(sink->buffer + total, &frame, sizeof frame);
        if (batch[i].len > 0)
            memcpy(sink->buffer + total + sizeof frame, batch[i].line, batch[i].len);
        total += sizeof frame + batch[i].len;
    }
    if (write_all(sink, total) < 0)
        return gantry_fail_errno(error, "cannot write", "lines.log");
    sink->count += len;
    token->words[0] = sink->count;
    return GANTRY_OK;
}

static void free_sink(void *its) {
    struct sink *sink = its;
    close(sink->fd);
    free(sink->buffer);
    free(sink);
}

static int open_reader(void *driver, const gantry_log_container *container, const gantry_pairs *options,
                       const gantry_read_query *query, void **reader, gantry_error *error) {
    (void)driver, (void)options;
    struct reader *new = calloc(1, sizeof *new);
    if (new == NULL)
        return gantry_fail(error, GANTRY_DRIVER, "out of memory");
    file_of(container, new->path, sizeof new->path);
    new->fd = -1;
    new->since = query->since_ns;
    new->until = query->until_ns == 0 ? UINT64_MAX : query->until_ns;
    new->tail = query->tail;
    new->follow = query->follow != 0;
    *reader = new;
    return GANTRY_OK;
}

static int wanted(const struct reader *reader, const struct frame *frame) {
    return frame->at >= reader->since && frame->at <= reader->until;
}

static int ends_line(const struct frame *frame) {
    return (frame->flags & GANTRY_PARTIAL) == 0 || (frame->flags & GANTRY_LAST) != 0;
}

/* How many lines come before the tail. */
static void count_lines(struct reader *reader) {
    struct frame frame;
    uint64_t lines = 0;
    int open = 0;
    off_t size = size_of(reader->fd);
    for (off_t at = 0; frame_at(reader->fd, at, size, &frame); at += (off_t)sizeof frame + frame.len)
        if (wanted(reader, &frame)) {
            open = !ends_line(&frame);
            lines += !open;
        }
    lines += (uint64_t)open;
    reader->skip = lines > reader->tail ? lines - reader->tail : 0;
    reader->counted = 1;
}

/* Gives what is there, at most `max` records; 0 when there is nothing. */
static int give(struct reader *reader, uint32_t max, gantry_emit_records emit, void *to, gantry_error *error,
                uint32_t *given) {
    if (reader->fd < 0 && (reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC)) < 0)
        return errno == ENOENT ? GANTRY_OK : gantry_fail_errno(error, "cannot open", reader->path);
    if (!reader->counted)
        count_lines(reader);
    struct frame frame;
    off_t size = size_of(reader->fd);
    while (*given < max && frame_at(reader->fd, reader->offset, size, &frame)) {
        off_t bytes = reader->offset + (off_t)sizeof frame;
        reader->offset = bytes + frame.len;
        if (!wanted(reader, &frame))
            continue;
        if (reader->skip > 0) {
            reader->skip -= (uint64_t)ends_line(&frame);
            continue;
        }
        if (grow(&reader->buffer, &reader->room, frame.len) < 0)
            return gantry_fail(error, GANTRY_DRIVER, "out of memory");
        if (pread(reader->fd, reader->buffer, frame.len, bytes) != (ssize_t)frame.len)
            return gantry_fail_errno(error, "cannot read", reader->path);
        gantry_log_record record = {.timestamp_ns = frame.at, .line = reader->buffer, .len = frame.len,
                                    .stream = frame.stream, .flags = frame.flags};
        emit(to, &record, 1, NULL);
        ++*given;
    }
    return GANTRY_OK;
}

static int next(void *its, uint32_t max, uint32_t wait_ms, gantry_emit_records emit, void *to, uint32_t *state,
                gantry_error *error) {
    struct reader *reader = its;
    uint32_t given = 0;
    for (uint32_t waited = 0;; waited += 10) {
        int failed = give(reader, max, emit, to, error, &given);
        if (failed != GANTRY_OK)
            return failed;
        if (given > 0 || !reader->follow || waited >= wait_ms)
            break;
        usleep(10000);
    }
    *state = given > 0 ? GANTRY_MORE : reader->follow ? GANTRY_IDLE : GANTRY_END;
    return GANTRY_OK;
}

static void free_reader(void *its) {
    struct reader *reader = its;
    if (reader->fd >= 0)
        close(reader->fd);
    free(reader->buffer);
    free(reader);
}

static const gantry_log_driver log_driver = {
    .size = sizeof log_driver,
    .capabilities = GANTRY_LOG_CAN_READ,
    .open = open_sink,
    .write = write_sink,
    .free_sink = free_sink,
    .open_reader = open_reader,
    .next = next,
    .free_reader = free_reader,
};

static const gantry_plugin plugin = {.size = sizeof plugin, .log = &log_driver};

const gantry_plugin *gantry_plugin_v1(void) {
    return &plugin;
}

GANTRY_PLUGIN("lines", "1.0", "MIT",
              GANTRY_HAS_LOG
              GANTRY_OPTION("sync", "bool", "wait for the disk after each batch") GANTRY_DEFAULT("false"));
