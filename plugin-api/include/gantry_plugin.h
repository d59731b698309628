/*
 * The C door of Gantry: drivers in C, and in any language that can make a shared library.
 *
 * A driver is a table of functions. GANTRY_PLUGIN writes into the file what the plugin says about itself (name, version,
 * licence, kinds, options), which the engine reads without running it; the one symbol gantry_plugin_v1 answers the tables.
 * The file is installed as <plugin dir>/<kind>/<name>.so. What each call must do, when it comes and on which thread, is
 * told by the documentation of the Rust traits in plugin-api/src; here stands what is particular to C.
 *
 *  - Structs that begin with `size` may grow at their end in later versions. Whoever makes one sets `size` to its own
 *    sizeof; whoever reads one looks no further than that. A plugin that reads a member younger than version 1.0 asks
 *    GANTRY_HAS first. Structs without `size` never change.
 *  - A member that is NULL, or lies beyond `size`, is a call the driver does not have. Optional members say so.
 *  - Calls answer GANTRY_OK or a class of error, with a text in `error` (see gantry_fail).
 *  - No memory changes hands. What the engine passes lives until the call returns; results are given to the `emit`
 *    function of the call, with its `to`, and are copied before emit returns.
 *  - Texts are UTF-8 and end with NUL; a NULL text given to the engine counts as empty. Lines of logs are bytes with a
 *    length. Arrays of length 0 may be NULL.
 *  - Calls block, have a deadline, and may come from any thread; those on one sink or reader come one after the other.
 *    No threads before the first open, init or create; no signal handlers; nothing on stdout or stderr, which are the
 *    user's: gantry_host.log is the way to operators.
 *
 * Compile with: cc -shared -fPIC -O2 -o hello.so hello.c
 */
#ifndef GANTRY_PLUGIN_H
#define GANTRY_PLUGIN_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The plugin API this header speaks: every engine of the same major version takes the plugin. */
#define GANTRY_API_MAJOR 1
#define GANTRY_API_MINOR 1

/* True when whoever made *ptr knew the member. */
#define GANTRY_HAS(ptr, member) ((ptr)->size >= (size_t)((const char *)(&(ptr)->member + 1) - (const char *)(ptr)))

/* ---- errors ---- */

enum {
    GANTRY_OK = 0,
    GANTRY_NOT_FOUND = 1,     /* the named thing does not exist */
    GANTRY_EXISTS = 2,        /* the thing exists already */
    GANTRY_INVALID = 3,       /* the request or an option is wrong */
    GANTRY_IN_USE = 4,        /* the thing is used by something else */
    GANTRY_NOT_PERMITTED = 5, /* the kernel or the file system refused for lack of rights */
    GANTRY_UNSUPPORTED = 6,   /* this host, kernel or driver cannot do it */
    GANTRY_UNAVAILABLE = 7,   /* a peer or device does not answer; trying later may help */
    GANTRY_TIMED_OUT = 8,     /* a deadline passed */
    GANTRY_DRIVER = 9,        /* the driver failed in its own work */
    GANTRY_INTERNAL = 10,     /* a fault of the engine */
    GANTRY_NO_SPACE = 11      /* no space left, quota reached */
};

/* Where the text of an error goes; both buffers are the engine's. */
typedef struct gantry_error {
    size_t size;
    char *message; /* the act and the thing, lower case, no full stop */
    size_t message_len;
    char *hint; /* what the user can do; optional */
    size_t hint_len;
} gantry_error;

/* ---- what several kinds share ---- */

typedef struct gantry_pair {
    const char *key;
    const char *value; /* NULL where a bare word is meant */
} gantry_pair;

/* Options, labels and the like, sorted by key. */
typedef struct gantry_pairs {
    const gantry_pair *items;
    size_t len;
} gantry_pairs;

/* State that a driver gave to the engine to keep. */
typedef struct gantry_bytes {
    const uint8_t *data;
    size_t len;
} gantry_bytes;

/* The directories a driver may use: nothing outside them is its own. */
typedef struct gantry_dirs {
    size_t size;
    const char *root;  /* persistent */
    const char *state; /* dies with the boot */
} gantry_dirs;

/* A mount the driver wants made. Drivers never mount: the engine does, in the right namespace. */
typedef struct gantry_mount {
    size_t size;
    const char *fstype; /* as in mount(8); "bind" for a bind mount of source */
    const char *source;
    const char *target;   /* relative to the object's root; "" is the root itself */
    uint64_t flags;       /* MS_* of mount(2) */
    gantry_pairs options; /* in order, keys may repeat; a NULL value is a bare flag */
} gantry_mount;

enum { GANTRY_LOG_ERROR = 1, GANTRY_LOG_WARN = 2, GANTRY_LOG_INFO = 3, GANTRY_LOG_DEBUG = 4 };

/* The engine, as a driver may speak to it; lives as long as the process. Pass `context` back as it is. */
typedef struct gantry_host {
    size_t size;
    void *context;
    void (*log)(void *context, uint32_t level, const char *message);
    void (*count)(void *context, const char *name, uint64_t by);
    void (*gauge)(void *context, const char *name, int64_t value);
} gantry_host;

typedef void (*gantry_emit_text)(void *to, const char *text);
typedef void (*gantry_emit_pair)(void *to, const char *key, const char *value);
typedef void (*gantry_emit_bytes)(void *to, const uint8_t *data, size_t len);
typedef void (*gantry_emit_mount)(void *to, const gantry_mount *mount);

/* Each table has `start`: called once per process before anything else; what it stores in *driver is passed to the other
 * calls. Optional: without it `driver` is NULL. A driver is never stopped, its process ends. */

/* ---- log ---- */

enum { GANTRY_STDOUT = 1, GANTRY_STDERR = 2 };
/* flags of a record: a piece of a line; the piece that ends it */
enum { GANTRY_PARTIAL = 1, GANTRY_LAST = 2 };

/* A line without its newline, or a piece of one. */
typedef struct gantry_log_record {
    uint64_t timestamp_ns;
    uint64_t sequence;   /* counts the records of the container from 1 */
    uint64_t partial_id; /* the same for all pieces of one line, else 0 */
    const uint8_t *line;
    size_t len;
    uint32_t partial_ordinal; /* 1, 2, ... within one line, else 0 */
    uint8_t stream;
    uint8_t flags;
    uint16_t reserved;
} gantry_log_record;

/* What a driver wants to find again after its process was killed. */
typedef struct gantry_resume_token {
    uint64_t words[4];
} gantry_resume_token;

typedef struct gantry_log_container {
    size_t size;
    const char *id;
    const char *name;
    const char *image_id;
    const char *image_name;
    const char *const *command;
    size_t command_len;
    uint64_t created_ns;
    const char *const *env;
    size_t env_len;
    gantry_pairs labels;
    gantry_pairs attributes; /* chosen by labels, env, tag */
    const char *tag;
    const char *hostname;
    const char *dir; /* the container's log directory: the driver's files go here */
} gantry_log_container;

typedef struct gantry_read_query {
    size_t size;
    uint64_t since_ns; /* 0: all */
    uint64_t until_ns; /* 0: all */
    uint64_t tail;     /* the last so many lines; UINT64_MAX: all */
    uint32_t follow;
    uint32_t reserved;
} gantry_read_query;

enum { GANTRY_MORE = 1, GANTRY_IDLE = 2, GANTRY_END = 3 };

enum {
    GANTRY_LOG_CAN_READ = 1,
    GANTRY_LOG_CAN_ROTATE = 2,
    GANTRY_LOG_IS_REMOTE = 4,  /* records leave this host */
    GANTRY_LOG_CAN_REMOVE = 8, /* `remove` has something to do */
    GANTRY_LOG_CAN_TRIM = 16   /* `trim` works */
};

/* `attributes` may be NULL. */
typedef void (*gantry_emit_records)(void *to, const gantry_log_record *batch, size_t len, const gantry_pairs *attributes);

typedef struct gantry_log_driver {
    size_t size;
    uint64_t capabilities; /* GANTRY_LOG_CAN_... */
    uint32_t max_line;     /* bytes after which a line is cut; 0: the engine's default */
    uint32_t reserved;
    int (*start)(const gantry_host *host, void **driver, gantry_error *error);                       /* optional */
    int (*validate)(void *driver, const gantry_pairs *options, gantry_error *error);                 /* optional */
    /* `resume` is NULL, or the last token a killed predecessor answered. */
    int (*open)(void *driver, const gantry_log_container *container, const gantry_pairs *options,
                const gantry_resume_token *resume, void **sink, uint64_t *beyond, gantry_error *error);
    int (*write)(void *sink, const gantry_log_record *batch, size_t len, gantry_resume_token *token,
                 gantry_error *error);
    int (*flush)(void *sink, gantry_error *error);  /* optional */
    int (*reopen)(void *sink, gantry_error *error); /* optional */
    int (*close)(void *sink, gantry_error *error);  /* optional */
    void (*free_sink)(void *sink);                  /* optional; the very last call */
    int (*open_reader)(void *driver, const gantry_log_container *container, const gantry_pairs *options,
                       const gantry_read_query *query, void **reader, gantry_error *error); /* optional */
    int (*next)(void *reader, uint32_t max, uint32_t wait_ms, gantry_emit_records emit, void *to, uint32_t *state,
                gantry_error *error);  /* needed with open_reader */
    void (*free_reader)(void *reader); /* optional */
    int (*remove)(void *driver, const gantry_log_container *container, const gantry_pairs *options,
                  gantry_error *error); /* optional */
    /* Deletes the oldest whole files until so many bytes are free; with `all` nobody writes. Optional. */
    int (*trim)(void *driver, const gantry_log_container *container, const gantry_pairs *options, uint64_t bytes, int all,
                uint64_t *records, uint64_t *freed, gantry_error *error);
} gantry_log_driver;

/* ---- storage ---- */

enum { GANTRY_WHITEOUTS_APPLY = 1, GANTRY_WHITEOUTS_OVERLAY_TRUSTED = 2, GANTRY_WHITEOUTS_OVERLAY_USER = 3 };

enum {
    GANTRY_STORAGE_COPY_ON_WRITE = 1,
    GANTRY_STORAGE_NATIVE_DIFF = 2,
    GANTRY_STORAGE_QUOTA = 4,
    GANTRY_STORAGE_IDMAP = 8,
    GANTRY_STORAGE_REFLINK = 16,
    GANTRY_STORAGE_ROOTLESS = 32,
    GANTRY_STORAGE_INDEPENDENT_LAYERS = 64
};

typedef void (*gantry_emit_layer_target)(void *to, const char *path, uint32_t whiteouts);
typedef void (*gantry_emit_change)(void *to, char kind, const char *path); /* 'A', 'C', 'D' */
typedef void (*gantry_emit_layer)(void *to, const char *id, int writable);

/* `layers` come nearest first. */
typedef struct gantry_storage_driver {
    size_t size;
    int (*start)(const gantry_host *host, void **driver, gantry_error *error);       /* optional */
    int (*validate)(void *driver, const gantry_pairs *options, gantry_error *error); /* optional */
    int (*init)(void *driver, const gantry_dirs *dirs, const gantry_pairs *options, void **store, gantry_error *error);
    void (*free_store)(void *store);                                                       /* optional */
    uint64_t (*capabilities)(void *store);                                                 /* optional */
    int (*status)(void *store, gantry_emit_pair emit, void *to, gantry_error *error);      /* optional */
    int (*begin_layer)(void *store, const char *id, const char *parent, gantry_emit_layer_target emit, void *to,
                       gantry_error *error);
    int (*commit_layer)(void *store, const char *id, gantry_error *error);
    int (*has_layer)(void *store, const char *id, int *has, gantry_error *error);
    int (*create_container)(void *store, const char *id, const char *const *layers, size_t len,
                            const gantry_pairs *options, gantry_error *error);
    int (*mount_plan)(void *store, const char *id, const char *const *layers, size_t len, int read_only,
                      gantry_emit_mount emit, void *to, gantry_error *error);
    int (*writable_dir)(void *store, const char *id, gantry_emit_text emit, void *to, gantry_error *error); /* optional */
    int (*changes)(void *store, const char *id, const char *const *layers, size_t len, gantry_emit_change emit, void *to,
                   gantry_error *error);
    int (*usage)(void *store, const char *id, uint64_t *bytes, uint64_t *inodes, gantry_error *error);
    int (*remove)(void *store, const char *id, gantry_error *error);
    int (*list)(void *store, gantry_emit_layer emit, void *to, gantry_error *error);
    int (*collect)(void *store, gantry_error *error);                                                    /* optional */
    int (*clone_container)(void *store, const char *id, const char *from, gantry_error *error);          /* optional */
    int (*layer_dir)(void *store, const char *id, gantry_emit_text emit, void *to, gantry_error *error); /* optional */
    int (*image_plan)(void *store, const char *const *layers, size_t len, gantry_emit_mount emit, void *to,
                      gantry_error *error); /* optional */
} gantry_storage_driver;

/* ---- network ---- */

/* 4 or 16 bytes count; len 0: none. */
typedef struct gantry_ip {
    uint8_t len;
    uint8_t bytes[16];
} gantry_ip;

/* addr.len 0: none. */
typedef struct gantry_cidr {
    gantry_ip addr;
    uint8_t prefix;
} gantry_cidr;

typedef struct gantry_named_ip {
    const char *name;
    gantry_ip address;
} gantry_named_ip;

typedef struct gantry_subnet {
    gantry_cidr subnet;
    gantry_cidr ip_range;
    gantry_ip gateway;
    const gantry_named_ip *aux_addresses;
    size_t aux_addresses_len;
} gantry_subnet;

typedef struct gantry_network {
    size_t size;
    const char *id;
    const char *name;
    const gantry_subnet *subnets;
    size_t subnets_len;
    uint32_t internal;   /* no way out */
    uint32_t ipv6;       /* IPv6 wanted */
    uint32_t predefined; /* the engine's own network of this driver */
    uint32_t reserved;
    gantry_pairs labels;
    gantry_pairs options;
} gantry_network;

/* `count` ports from host_port lead to as many from container_port; protocol 6 tcp, 17 udp, 132 sctp. */
typedef struct gantry_port_mapping {
    gantry_ip host_ip;
    uint8_t protocol;
    uint16_t host_port;
    uint16_t container_port;
    uint16_t count;
} gantry_port_mapping;

/* A port of a neighbour that this endpoint may use although the network keeps its containers apart. */
typedef struct gantry_peer_port {
    gantry_ip address;
    uint8_t protocol;
    uint16_t port;
} gantry_peer_port;

typedef struct gantry_endpoint {
    size_t size;
    const char *id;
    const char *container_id;
    const char *container_name;
    const gantry_cidr *addresses;
    size_t addresses_len;
    const gantry_ip *link_local_addresses;
    size_t link_local_addresses_len;
    uint8_t mac[6];
    uint8_t has_mac;
    uint8_t reserved;
    uint32_t index; /* of the interface's name, when the driver names it */
    uint32_t default_route4;
    uint32_t default_route6;
    const gantry_port_mapping *ports;
    size_t ports_len;
    const gantry_peer_port *links;
    size_t links_len;
    gantry_pairs options;
} gantry_endpoint;

/* gateway.len 0: on link. */
typedef struct gantry_route {
    gantry_cidr destination;
    gantry_ip gateway;
} gantry_route;

typedef struct gantry_attachment {
    size_t size;
    const char *interface; /* "" when there is none */
    uint8_t mac[6];
    uint8_t has_mac;
    uint8_t reserved;
    const gantry_cidr *addresses;
    size_t addresses_len;
    const gantry_route *routes;
    size_t routes_len;
    const gantry_ip *gateways;
    size_t gateways_len;
    const gantry_port_mapping *published;
    size_t published_len;
    const char *const *warnings;
    size_t warnings_len;
    gantry_bytes state; /* kept by the engine for detach, publish and reconcile */
} gantry_attachment;

/* netns is a descriptor, or -1. */
typedef struct gantry_live_endpoint {
    const gantry_endpoint *endpoint;
    gantry_bytes attachment;
    int netns;
} gantry_live_endpoint;

enum {
    GANTRY_NETWORK_HOST_NAMESPACE = 1,
    GANTRY_NETWORK_ADDRESSES = 2,
    GANTRY_NETWORK_OWN_IPAM = 4,
    GANTRY_NETWORK_PORTS = 8,
    GANTRY_NETWORK_DNS = 16,
    GANTRY_NETWORK_ROOTLESS = 32,
    GANTRY_NETWORK_CREATE = 64,
    GANTRY_NETWORK_GATEWAY = 128
};

typedef void (*gantry_emit_attachment)(void *to, const gantry_attachment *attachment);
typedef void (*gantry_emit_route)(void *to, const gantry_route *route);
typedef void (*gantry_emit_port)(void *to, const gantry_port_mapping *port);

typedef struct gantry_network_driver {
    size_t size;
    uint64_t capabilities;                                                               /* GANTRY_NETWORK_... */
    int (*start)(const gantry_host *host, void **driver, gantry_error *error);           /* optional */
    int (*validate)(void *driver, const gantry_network *network, gantry_error *error);   /* optional */
    int (*create)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_dirs *dirs,
                  gantry_emit_bytes emit, void *to, gantry_error *error);
    /* Undoes create. */
    int (*remove)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_dirs *dirs,
                  gantry_error *error);
    int (*attach)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                  int netns, const gantry_dirs *dirs, gantry_emit_attachment emit, void *to, gantry_error *error);
    int (*detach)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                  gantry_bytes attachment, int netns, const gantry_dirs *dirs, gantry_error *error);
    int (*route)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                 gantry_bytes attachment, int netns, const gantry_dirs *dirs, gantry_emit_route emit, void *to,
                 gantry_error *error); /* optional */
    int (*publish)(void *driver, const gantry_network *network, const gantry_endpoint *endpoint, gantry_bytes attachment,
                   const gantry_port_mapping *ports, size_t len, const gantry_dirs *dirs, gantry_emit_port emit, void *to,
                   gantry_error *error); /* optional */
    int (*unpublish)(void *driver, const gantry_network *network, const gantry_endpoint *endpoint,
                     gantry_bytes attachment, const gantry_port_mapping *ports, size_t len, const gantry_dirs *dirs,
                     gantry_error *error); /* optional */
    int (*reconcile)(void *driver, const gantry_network *network, gantry_bytes state, const gantry_live_endpoint *live,
                     size_t len, const gantry_dirs *dirs, gantry_error *error);
} gantry_network_driver;

/* ---- volume ---- */

enum { GANTRY_VOLUME_GLOBAL = 1, GANTRY_VOLUME_QUOTA = 2, GANTRY_VOLUME_CLONE = 4, GANTRY_VOLUME_RENAME = 8 };

typedef struct gantry_volume_info {
    size_t size;
    const char *name;
    const char *mountpoint; /* where its data lies on the host; "" when it has no lasting place */
    uint64_t created_ns;    /* 0: unknown */
    gantry_pairs status;    /* facts for inspect */
} gantry_volume_info;

typedef void (*gantry_emit_volume)(void *to, const gantry_volume_info *info);
/* A directory of the host, or a file system of its own: the other one is NULL. */
typedef void (*gantry_emit_volume_mount)(void *to, const char *directory, const gantry_mount *file_system);

typedef struct gantry_volume_driver {
    size_t size;
    uint64_t capabilities;                                                     /* GANTRY_VOLUME_... */
    int (*start)(const gantry_host *host, void **driver, gantry_error *error); /* optional */
    int (*validate)(void *driver, const char *name, const gantry_pairs *options, gantry_error *error); /* optional */
    int (*create)(void *driver, const char *name, const gantry_pairs *options, const gantry_dirs *dirs,
                  gantry_emit_volume emit, void *to, gantry_error *error);
    int (*remove)(void *driver, const char *name, const gantry_dirs *dirs, gantry_error *error);
    int (*get)(void *driver, const char *name, const gantry_dirs *dirs, gantry_emit_volume emit, void *to,
               gantry_error *error);
    int (*list)(void *driver, const gantry_dirs *dirs, gantry_emit_volume emit, void *to, gantry_error *error);
    int (*mount)(void *driver, const char *name, const gantry_dirs *dirs, gantry_emit_volume_mount emit, void *to,
                 gantry_error *error);
    int (*unmount)(void *driver, const char *name, const gantry_dirs *dirs, gantry_error *error); /* optional */
    int (*clone_volume)(void *driver, const char *from, const char *name, const gantry_dirs *dirs,
                        gantry_emit_volume emit, void *to, gantry_error *error); /* optional */
    int (*rename)(void *driver, const char *from, const char *name, const gantry_dirs *dirs, gantry_emit_volume emit,
                  void *to, gantry_error *error); /* optional */
} gantry_volume_driver;

/* ---- the plugin ---- */

/* The drivers of a file, at most one of each kind. */
typedef struct gantry_plugin {
    size_t size;
    const gantry_log_driver *log;
    const gantry_storage_driver *storage;
    const gantry_network_driver *network;
    const gantry_volume_driver *volume;
} gantry_plugin;

/* The one symbol a plugin exports. */
__attribute__((visibility("default"))) const gantry_plugin *gantry_plugin_v1(void);

/*
 * What the plugin says about itself, once per plugin:
 *
 *     GANTRY_PLUGIN("hello", "1.0", "MIT",
 *         GANTRY_HAS_LOG
 *             GANTRY_OPTION("greeting", "string", "printed before each line") GANTRY_DEFAULT("hello")
 *     )
 *
 * Types of options: string, bool, int, size, binary-size, duration, choice, list, regex, template, path, ip, ifname.
 * Options belong to the driver named before them, what follows an option to that option. Texts hold no newline.
 */
#define GANTRY_HAS_LOG "driver log\n"
#define GANTRY_HAS_STORAGE "driver storage\n"
#define GANTRY_HAS_NETWORK "driver network\n"
#define GANTRY_HAS_VOLUME "driver volume\n"
#define GANTRY_OPTION(key, type, help) "option " key "\ntype " type "\nhelp " help "\n"
#define GANTRY_DEFAULT(value) "default " value "\n"
#define GANTRY_CHOICES(words) "choices " words "\n"   /* comma separated */
#define GANTRY_ALIASES(keys) "aliases " keys "\n"     /* comma separated */
#define GANTRY_SCOPE(scope) "scope " scope "\n"       /* object (the default), endpoint or container */
#define GANTRY_REQUIRED "required\n"
#define GANTRY_SECRET "secret\n"
#define GANTRY_REQUIRES(features) "requires " features "\n" /* of the kernel, comma separated: overlay, nf_tables */

#define GANTRY_PLUGIN(name, version, license, drivers)                                                               \
    static const struct {                                                                                            \
        uint32_t owner_len, data_len, type;                                                                          \
        char owner[8];                                                                                               \
        uint32_t format;                                                                                             \
        uint16_t major, minor;                                                                                       \
        char text[sizeof("name " name "\nversion " version "\nlicense " license "\n" drivers)];                      \
    } gantry_note __attribute__((section(".note.gantry"), used, aligned(4))) = {                                     \
        7, 8 + sizeof("name " name "\nversion " version "\nlicense " license "\n" drivers), 1, "Gantry", 2,          \
        GANTRY_API_MAJOR, GANTRY_API_MINOR, "name " name "\nversion " version "\nlicense " license "\n" drivers}

/* ---- conveniences ---- */

/* Writes the text of an error and answers its class: return gantry_fail(error, GANTRY_INVALID, "bad size %s", text); */
__attribute__((format(printf, 3, 4), unused)) static int gantry_fail(gantry_error *error, int error_class,
                                                                     const char *format, ...) {
    va_list words;
    va_start(words, format);
    if (error != NULL && error->message_len > 0)
        vsnprintf(error->message, error->message_len, format, words);
    va_end(words);
    return error_class;
}

/* Says what the user can do; to be called beside gantry_fail. */
__attribute__((unused)) static void gantry_hint(gantry_error *error, const char *text) {
    if (error != NULL && error->hint_len > 0)
        snprintf(error->hint, error->hint_len, "%s", text);
}

/* A failed system call: errno decides the class. */
__attribute__((unused)) static int gantry_fail_errno(gantry_error *error, const char *act, const char *thing) {
    int number = errno;
    int error_class = number == ENOENT                                        ? GANTRY_NOT_FOUND
                      : number == EEXIST                                      ? GANTRY_EXISTS
                      : number == EACCES || number == EPERM || number == EROFS ? GANTRY_NOT_PERMITTED
                      : number == ENOSPC || number == EDQUOT                  ? GANTRY_NO_SPACE
                      : number == EBUSY                                       ? GANTRY_IN_USE
                      : number == ENOSYS || number == EOPNOTSUPP              ? GANTRY_UNSUPPORTED
                      : number == ETIMEDOUT                                   ? GANTRY_TIMED_OUT
                                                                              : GANTRY_DRIVER;
    return gantry_fail(error, error_class, "%s %s: %s", act, thing, strerror(number));
}

/* The value of an option, or `otherwise`. Defaults of the schema are filled in by the engine. */
__attribute__((unused)) static const char *gantry_option(const gantry_pairs *options, const char *key,
                                                         const char *otherwise) {
    for (size_t i = 0; i < options->len; i++)
        if (strcmp(options->items[i].key, key) == 0)
            return options->items[i].value;
    return otherwise;
}

#ifdef __cplusplus
}
#endif

#endif
