/* A plugin that answers what it was told, so that a test sees every argument come and every answer go. */
#include "gantry_plugin.h"

#include <stdlib.h>

static char text[8192];

static const char *join(const char *what, const char *id, const char *const *layers, size_t len) {
    snprintf(text, sizeof text, "%s %s", what, id);
    for (size_t i = 0; i < len; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s", layers[i]);
    return text;
}

/* ---- storage ---- */

static const gantry_host *engine;

static int start(const gantry_host *host, void **driver, gantry_error *error) {
    (void)error;
    engine = host;
    *driver = "the driver";
    host->log(host->context, GANTRY_LOG_INFO, "started");
    host->count(host->context, "starts", 1);
    host->gauge(host->context, "depth", -7);
    return GANTRY_OK;
}

static int init(void *driver, const gantry_dirs *dirs, const gantry_pairs *options, void **store, gantry_error *error) {
    if (strcmp(driver, "the driver") != 0)
        return gantry_fail(error, GANTRY_INTERNAL, "another driver");
    if (strcmp(gantry_option(options, "refuse", ""), "yes") == 0) {
        gantry_hint(error, "do not ask for it");
        return gantry_fail(error, GANTRY_UNSUPPORTED, "cannot use %s\nor %s", dirs->root, dirs->state);
    }
    *store = strdup(dirs->root);
    return GANTRY_OK;
}

static void free_store(void *store) {
    engine->count(engine->context, "freed", 1);
    free(store);
}

static uint64_t capabilities(void *store) {
    (void)store;
    return GANTRY_STORAGE_COPY_ON_WRITE | GANTRY_STORAGE_INDEPENDENT_LAYERS;
}

static int status(void *store, gantry_emit_pair emit, void *to, gantry_error *error) {
    (void)error;
    emit(to, "root", store);
    emit(to, "null", NULL);
    return GANTRY_OK;
}

static int begin_layer(void *store, const char *id, const char *parent, gantry_emit_layer_target emit, void *to,
                       gantry_error *error) {
    (void)store, (void)error;
    const char *layers[] = {parent == NULL ? "none" : parent};
    emit(to, join("/begin", id, layers, 1), GANTRY_WHITEOUTS_OVERLAY_USER);
    return GANTRY_OK;
}

static int on_id(void *store, const char *id, gantry_error *error) {
    (void)store;
    return strcmp(id, "bad") == 0 ? gantry_fail(error, GANTRY_IN_USE, "%s is used", id) : GANTRY_OK;
}

static int has_layer(void *store, const char *id, int *has, gantry_error *error) {
    (void)store, (void)error;
    *has = strcmp(id, "there") == 0;
    return GANTRY_OK;
}

static int create_container(void *store, const char *id, const char *const *layers, size_t len,
                            const gantry_pairs *options, gantry_error *error) {
    (void)store;
    return gantry_fail(error, GANTRY_NO_SPACE, "%s with %s", join("create", id, layers, len),
                       gantry_option(options, "size", "nothing"));
}

static int mount_plan(void *store, const char *id, const char *const *layers, size_t len, int read_only,
                      gantry_emit_mount emit, void *to, gantry_error *error) {
    (void)store, (void)error;
    gantry_pair options[] = {{"lowerdir+", "/a"}, {"lowerdir+", "/b"}, {"volatile", NULL}};
    gantry_mount mount = {.size = sizeof mount, .fstype = "overlay", .source = join("plan", id, layers, len),
                          .flags = (uint64_t)read_only, .options = {options, 3}};
    emit(to, &mount);
    /* An older plugin, whose mounts had no options. */
    gantry_mount old = {.size = offsetof(gantry_mount, options), .fstype = "bind", .source = "/old", .target = "etc",
                        .options = {options, 3}};
    emit(to, &old);
    return GANTRY_OK;
}

static int dir_of(void *store, const char *id, gantry_emit_text emit, void *to, gantry_error *error) {
    (void)store, (void)error;
    if (strcmp(id, "none") != 0)
        emit(to, join("/dir", id, NULL, 0));
    return GANTRY_OK;
}

static int changes(void *store, const char *id, const char *const *layers, size_t len, gantry_emit_change emit, void *to,
                   gantry_error *error) {
    (void)store, (void)error;
    emit(to, 'A', join("/changes", id, layers, len));
    emit(to, 'D', "/\xff");
    return GANTRY_OK;
}

static int usage(void *store, const char *id, uint64_t *bytes, uint64_t *inodes, gantry_error *error) {
    (void)store, (void)error;
    *bytes = strlen(id);
    *inodes = 1ull << 40;
    return GANTRY_OK;
}

static int list(void *store, gantry_emit_layer emit, void *to, gantry_error *error) {
    (void)store, (void)error;
    emit(to, "one", 0);
    emit(to, "two", 1);
    return GANTRY_OK;
}

static int clone_container(void *store, const char *id, const char *from, gantry_error *error) {
    (void)store;
    return gantry_fail(error, -5, "%s from %s", id, from);
}

static int image_plan(void *store, const char *const *layers, size_t len, gantry_emit_mount emit, void *to,
                      gantry_error *error) {
    return mount_plan(store, "image", layers, len, 1, emit, to, error);
}

static const gantry_storage_driver storage = {
    .size = sizeof storage, .start = start, .init = init, .free_store = free_store, .capabilities = capabilities,
    .status = status, .begin_layer = begin_layer, .commit_layer = on_id, .has_layer = has_layer,
    .create_container = create_container, .mount_plan = mount_plan, .writable_dir = dir_of, .changes = changes,
    .usage = usage, .remove = on_id, .list = list, .clone_container = clone_container, .layer_dir = dir_of,
    .image_plan = image_plan,
};

/* ---- network ---- */

static void ip(char *to, size_t room, const gantry_ip *ip) {
    char *at = to;
    *at = '\0';
    for (uint8_t i = 0; i < ip->len; i++)
        at += snprintf(at, room - (size_t)(at - to), i == 0 ? "%d" : ".%d", ip->bytes[i]);
}

static int validate(void *driver, const gantry_network *network, gantry_error *error) {
    (void)driver;
    char net[80], range[80], gateway[80], aux[80];
    const gantry_subnet *subnet = &network->subnets[0];
    ip(net, sizeof net, &subnet->subnet.addr);
    ip(range, sizeof range, &subnet->ip_range.addr);
    ip(gateway, sizeof gateway, &subnet->gateway);
    ip(aux, sizeof aux, &subnet->aux_addresses[0].address);
    return gantry_fail(error, GANTRY_INVALID, "%s %s %zu %s/%d %s/%d %s %s=%s %u%u%u %s=%s %s=%s", network->id,
                       network->name, network->subnets_len, net, subnet->subnet.prefix, range, subnet->ip_range.prefix,
                       gateway, subnet->aux_addresses[0].name, aux, network->internal, network->ipv6,
                       network->predefined, network->labels.items[0].key, network->labels.items[0].value,
                       network->options.items[0].key, network->options.items[0].value);
}

static int create(void *driver, const gantry_network *network, gantry_bytes state, const gantry_dirs *dirs,
                  gantry_emit_bytes emit, void *to, gantry_error *error) {
    (void)driver, (void)error;
    int len = snprintf(text, sizeof text, "%s %.*s %s", network->id, (int)state.len, (const char *)state.data, dirs->root);
    emit(to, (const uint8_t *)text, (size_t)len);
    return GANTRY_OK;
}

static int delete(void *driver, const gantry_network *network, gantry_bytes state, const gantry_dirs *dirs,
                  gantry_error *error) {
    (void)driver;
    return gantry_fail(error, GANTRY_NOT_FOUND, "%s %zu %s", network->name, state.len, dirs->state);
}

static int attach(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                  int netns, const gantry_dirs *dirs, gantry_emit_attachment emit, void *to, gantry_error *error) {
    (void)driver, (void)dirs, (void)network;
    if (netns < 0)
        return gantry_fail(error, GANTRY_INTERNAL, "no namespace");
    gantry_route route = {.destination = endpoint->addresses[0], .gateway = endpoint->link_local_addresses[0]};
    route.destination.prefix = 0;
    const char *warnings[] = {endpoint->container_name, endpoint->options.items[0].value};
    gantry_attachment made = {
        .size = sizeof made, .interface = "eth0", .has_mac = endpoint->has_mac,
        .addresses = endpoint->addresses, .addresses_len = endpoint->addresses_len,
        .routes = &route, .routes_len = 1,
        .gateways = endpoint->link_local_addresses, .gateways_len = endpoint->link_local_addresses_len,
        .published = endpoint->ports, .published_len = endpoint->ports_len,
        .warnings = warnings, .warnings_len = 2,
        .state = state,
    };
    memcpy(made.mac, endpoint->mac, 6);
    emit(to, &made);
    return GANTRY_OK;
}

static int detach(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                  gantry_bytes attachment, int netns, const gantry_dirs *dirs, gantry_error *error) {
    (void)driver, (void)network, (void)dirs;
    char peer[80];
    ip(peer, sizeof peer, &endpoint->links[0].address);
    return gantry_fail(error, GANTRY_DRIVER, "%s %zu %zu %d %u %u%u %s:%d/%d", endpoint->id, state.len, attachment.len,
                       netns, endpoint->index, endpoint->default_route4, endpoint->default_route6, peer,
                       endpoint->links[0].port, endpoint->links[0].protocol);
}

static int route(void *driver, const gantry_network *network, gantry_bytes state, const gantry_endpoint *endpoint,
                 gantry_bytes attachment, int netns, const gantry_dirs *dirs, gantry_emit_route emit, void *to,
                 gantry_error *error) {
    (void)driver, (void)network, (void)state, (void)attachment, (void)netns, (void)dirs, (void)error;
    for (size_t i = 0; i < endpoint->addresses_len; i++) {
        gantry_route route = {.destination = endpoint->addresses[i]};
        emit(to, &route);
    }
    return GANTRY_OK;
}

static int publish(void *driver, const gantry_network *network, const gantry_endpoint *endpoint, gantry_bytes attachment,
                   const gantry_port_mapping *ports, size_t len, const gantry_dirs *dirs, gantry_emit_port emit, void *to,
                   gantry_error *error) {
    (void)driver, (void)network, (void)endpoint, (void)attachment, (void)dirs, (void)error;
    for (size_t i = 0; i < len; i++)
        emit(to, &ports[i]);
    return GANTRY_OK;
}

static int reconcile(void *driver, const gantry_network *network, gantry_bytes state, const gantry_live_endpoint *live,
                     size_t len, const gantry_dirs *dirs, gantry_error *error) {
    (void)driver, (void)network, (void)state, (void)dirs;
    return gantry_fail(error, GANTRY_DRIVER, "%zu %s %zu %d %s %d", len, live[0].endpoint->id, live[0].attachment.len,
                       live[0].netns >= 0, live[1].endpoint->id, live[1].netns);
}

static const gantry_network_driver network = {
    .size = offsetof(gantry_network_driver, unpublish), /* as if reconcile and unpublish were younger than it */
    .capabilities = GANTRY_NETWORK_ADDRESSES | GANTRY_NETWORK_GATEWAY,
    .validate = validate, .create = create, .remove = delete, .attach = attach, .detach = detach, .route = route,
    .publish = publish, .reconcile = reconcile,
};

static const gantry_network_driver whole = {
    .size = sizeof whole, .reconcile = reconcile, .create = create,
};

static const gantry_plugin plugin = {.size = sizeof plugin, .storage = &storage, .network = &network};
static const gantry_plugin second = {.size = sizeof second, .network = &whole};

#ifdef WHOLE
#define NAME "whole"
#else
#define NAME "echo"
#endif

const gantry_plugin *gantry_plugin_v1(void) {
    return strcmp(NAME, "whole") == 0 ? &second : &plugin;
}

GANTRY_PLUGIN(NAME, "0.9", "MIT",
              GANTRY_REQUIRES("overlay, patience")
              GANTRY_HAS_STORAGE
              GANTRY_OPTION("refuse", "choice", "to work") GANTRY_CHOICES("yes,no") GANTRY_DEFAULT("no")
              GANTRY_OPTION("size", "size", "of a container") GANTRY_SCOPE("container") GANTRY_ALIASES("limit")
              GANTRY_HAS_NETWORK GANTRY_HAS_LOG);
